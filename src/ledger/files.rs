//! Log files: pending, spooled, hole; there is no fourth state.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;

use super::own::{self, Action, Event, Stamp, Target};
use super::{DriftRow, Ledger, LedgerError, Seen, StreamId, Viewer, drift};
use crate::limits;

/// A listed file that is to be fetched.
#[derive(Clone, Debug)]
pub struct PendingFile {
    /// Its row.
    pub row: i64,
    /// Its stream.
    pub stream: StreamId,
    /// Its id upstream.
    pub file_id: String,
    /// Verbatim.
    pub end_time: String,
    /// Seconds since 1970.
    pub end_at: i64,
    /// Seconds since 1970.
    pub listed_at: i64,
    /// As listed.
    pub size: Option<u64>,
    /// As listed.
    pub sha256: Option<[u8; 32]>,
    /// Fetches that failed so far.
    pub attempts: u32,
    /// Not to be tried before, seconds since 1970.
    pub next_attempt: i64,
    /// It is spooled under this number already, but damaged there.
    pub repairs: Option<u64>,
}

/// What is committed when a file becomes real.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Its row.
    pub row: i64,
    /// The place it got.
    pub sequence: u64,
    /// RFC 3339.
    pub fetched_at: String,
    /// The recognisable part of the key.
    pub fetched_with: Option<String>,
    /// Length as stored.
    pub bytes: u64,
    /// Hash as stored.
    pub sha256: [u8; 32],
    /// Records cut from it.
    pub records: u64,
    /// Of these, no JSON objects.
    pub malformed: u64,
    /// Its repeats, encoded by the spool.
    pub repeats: Vec<u8>,
    /// What its records show that may be new to the stream.
    pub seen: Vec<Seen>,
}

/// What delivery needs to know of a spooled file.
#[derive(Clone, Debug)]
pub struct FileFacts {
    /// Its place.
    pub sequence: u64,
    /// Whose it is.
    pub stream: StreamId,
    /// Its id upstream.
    pub file_id: String,
    /// RFC 3339.
    pub fetched_at: String,
    /// The recognisable part of the key.
    pub fetched_with: Option<String>,
    /// Verbatim.
    pub end_time: String,
    /// Hash as stored.
    pub sha256: [u8; 32],
    /// Length.
    pub bytes: u64,
    /// Records.
    pub records: u64,
    /// Encoded by the spool.
    pub repeats: Vec<u8>,
    /// It left the spool early, since an archive has it.
    pub dropped: bool,
    /// It is of our own audit trail.
    pub own: bool,
}

/// A file in which repeats may have their first copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its place.
    pub sequence: u64,
}

/// Totals of what was ever collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Records of all spooled files but our own.
    pub records: u64,
    /// The sequence the next file gets.
    pub next_sequence: u64,
    /// Whether any file was ever listed.
    pub listed: bool,
    /// Bytes of the files the spool still holds.
    pub spool_bytes: u64,
}

/// A hole, for people.
#[derive(Clone, Debug)]
pub struct HoleRow {
    /// The number `holes` shows and takes.
    pub id: i64,
    /// Whose file.
    pub principal: String,
    /// Of which type.
    pub event_type: String,
    /// Its id upstream.
    pub file_id: String,
    /// Verbatim.
    pub end_time: String,
    /// Why it could not be had.
    pub reason: String,
    /// Somebody has seen it.
    pub acknowledged: bool,
}

fn hash(blob: Option<Vec<u8>>) -> Option<[u8; 32]> {
    blob.and_then(|blob| blob.try_into().ok())
}

pub(super) fn pending(row: &Row<'_>) -> rusqlite::Result<PendingFile> {
    Ok(PendingFile {
        row: row.get(0)?,
        stream: StreamId(row.get(1)?),
        file_id: row.get(2)?,
        end_time: row.get(3)?,
        end_at: row.get(4)?,
        size: row.get::<_, Option<i64>>(5)?.and_then(|size| size.try_into().ok()),
        sha256: hash(row.get(6)?),
        attempts: row.get(7)?,
        next_attempt: row.get(8)?,
        repairs: row.get(9)?,
        listed_at: row.get(10)?,
    })
}

fn facts(row: &Row<'_>) -> rusqlite::Result<FileFacts> {
    Ok(FileFacts {
        sequence: row.get(0)?,
        stream: StreamId(row.get(1)?),
        file_id: row.get(2)?,
        fetched_at: row.get(3)?,
        end_time: row.get(4)?,
        sha256: hash(row.get(5)?).unwrap_or_default(),
        bytes: row.get(6)?,
        records: row.get(7)?,
        repeats: row.get(8)?,
        fetched_with: row.get(9)?,
        dropped: row.get(10)?,
        own: row.get(11)?,
    })
}

/// The sequence the next file gets, and the records before it.
pub(super) fn tail(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let last = connection
        .query_row(
            "SELECT sequence + 1, records_before + records FROM file
             WHERE sequence IS NOT NULL ORDER BY sequence DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    Ok(last.unwrap_or((1, 0)))
}

pub(super) fn collected(connection: &Connection) -> rusqlite::Result<Collected> {
    let (next_sequence, records) = tail(connection)?;
    let own: u64 = connection.query_row(
        "SELECT coalesce(sum(records_collected), 0) FROM stream WHERE principal_kind = 'instance'",
        [],
        |row| row.get(0),
    )?;
    let spool_bytes = connection.query_row(
        "SELECT coalesce(sum(bytes), 0) FROM file WHERE state = 'spooled' AND removed = 0",
        [],
        |row| row.get(0),
    )?;
    let listed = connection.query_row("SELECT EXISTS (SELECT 1 FROM file)", [], |row| row.get(0))?;
    Ok(Collected { records: records - own, next_sequence, listed, spool_bytes })
}

/// The newest `most`, oldest first.
fn holes(connection: &Connection, most: usize) -> rusqlite::Result<Vec<HoleRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT file.id, principal, event_type, file_id, end_time, coalesce(reason, ''), acknowledged
         FROM file JOIN stream ON stream.id = file.stream WHERE file.state = 'hole'
         ORDER BY end_at DESC, file.id DESC LIMIT ?1",
    )?;
    let most = i64::try_from(most).unwrap_or(-1);
    let rows = statement.query_map([most], |row| {
        Ok(HoleRow {
            id: row.get(0)?,
            principal: row.get(1)?,
            event_type: row.get(2)?,
            file_id: row.get(3)?,
            end_time: row.get(4)?,
            reason: row.get(5)?,
            acknowledged: row.get(6)?,
        })
    })?;
    let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
    rows.reverse();
    Ok(rows)
}

/// Why a file is a hole, while it is one.
fn reason(connection: &Connection, row: i64) -> rusqlite::Result<Option<String>> {
    let read = connection
        .prepare_cached("SELECT reason FROM file WHERE id = ?1")?
        .query_row([row], |row| row.get(0))
        .optional();
    Ok(read?.flatten())
}

/// Appends an event about a hole to the audit trail.
pub(super) fn tell(connection: &Connection, row: i64, action: Action, stamp: &Stamp) -> rusqlite::Result<()> {
    let reason = reason(connection, row)?;
    tell_with(connection, row, action, stamp, reason.as_deref())
}

fn tell_with(
    connection: &Connection,
    row: i64,
    action: Action,
    stamp: &Stamp,
    reason: Option<&str>,
) -> rusqlite::Result<()> {
    let event = connection
        .prepare_cached(
            "SELECT principal, event_type, file_id, end_time FROM file JOIN stream ON stream.id = file.stream
             WHERE file.id = ?1",
        )?
        .query_row([row], |found| {
            let (principal, event_type): (String, String) = (found.get(0)?, found.get(1)?);
            let (file_id, end_time): (String, String) = (found.get(2)?, found.get(3)?);
            let details = json!({
                "hole": row, "stream": format!("{principal}/{event_type}"), "end_time": end_time, "reason": reason
            });
            Ok(Event::new(action, Target::new("log_file", file_id).named(event_type), details))
        })?;
    own::append(connection, stamp, &event)
}

impl Viewer {
    /// Whether any file was ever listed.
    pub fn listed(&self) -> Result<bool, LedgerError> {
        Ok(self.view(collected)?.listed)
    }

    /// All holes, oldest first.
    pub fn holes(&self) -> Result<Vec<HoleRow>, LedgerError> {
        self.view(|connection| holes(connection, usize::MAX))
    }

    /// The newest `most` holes, oldest first.
    pub fn recent_holes(&self, most: usize) -> Result<Vec<HoleRow>, LedgerError> {
        self.view(|connection| holes(connection, most))
    }
}

impl Ledger {
    /// Totals.
    pub async fn collected(&self) -> Result<Collected, LedgerError> {
        self.call(collected).await
    }

    /// Up to `limit` files of one stream that may be tried now, soonest to expire first.
    pub async fn due_files(
        &self,
        stream: StreamId,
        now: i64,
        limit: usize,
        except: HashSet<i64>,
    ) -> Result<Vec<PendingFile>, LedgerError> {
        self.call(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, stream, file_id, end_time, end_at, size, sha256, attempts, next_attempt, NULL,
                 listed_at
                 FROM file WHERE stream = ?1 AND state = 'pending'
                 AND (next_attempt <= ?2 OR next_attempt > ?3)
                 UNION ALL
                 SELECT id, stream, file_id, end_time, end_at, bytes, sha256, attempts, next_attempt, sequence,
                 listed_at
                 FROM file INDEXED BY file_damaged WHERE stream = ?1 AND damaged = 1
                 AND (next_attempt <= ?2 OR next_attempt > ?3)
                 ORDER BY end_at, id",
            )?;
            // Put off for longer than is ever asked for: the clock was set back meanwhile.
            let never = now + 2 * limits::RETRY_AFTER_MAX.as_secs().cast_signed();
            let rows = statement.query_map(params![stream.0, now, never], pending)?;
            rows.filter(|row| row.as_ref().map_or(true, |file| !except.contains(&file.row)))
                .take(limit)
                .collect()
        })
        .await
    }

    /// When the next pending file of a stream may be tried, seconds since 1970.
    pub async fn next_attempt(&self, stream: StreamId) -> Result<Option<i64>, LedgerError> {
        self.call(move |connection| {
            connection
                .prepare_cached("SELECT min(next_attempt) FROM file WHERE stream = ?1 AND state = 'pending'")?
                .query_row([stream.0], |row| row.get(0))
        })
        .await
    }

    /// Notes that what lies in the spool under a number is not what was spooled: it is fetched again.
    pub async fn mark_damaged(&self, sequence: u64) -> Result<(), LedgerError> {
        self.call(move |connection| {
            connection
                .execute(
                    "UPDATE file SET damaged = 1, attempts = 0, next_attempt = 0
                     WHERE sequence = ?1 AND damaged = 0 AND removed = 0",
                    [sequence],
                )
                .map(drop)
        })
        .await
    }

    /// The file of this row is whole again.
    pub async fn record_repair(&self, row: i64) -> Result<(), LedgerError> {
        self.call(move |connection| {
            connection
                .execute("UPDATE file SET damaged = 0, last_error = NULL WHERE id = ?1", [row])
                .map(drop)
        })
        .await
    }

    /// Puts a failed fetch off until `next_attempt`.
    pub async fn put_off(&self, row: i64, next_attempt: i64, error: String) -> Result<(), LedgerError> {
        self.call(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE file SET attempts = attempts + 1, next_attempt = ?2, last_error = ?3
                     WHERE id = ?1 AND (state = 'pending' OR damaged = 1)",
                )?
                .execute(params![row, next_attempt, error])
                .map(drop)
        })
        .await
    }

    /// Lets every pending file of the enabled streams be tried at once.
    pub async fn forgive_pending(&self) -> Result<(), LedgerError> {
        self.call(|connection| {
            connection
                .execute(
                    "UPDATE file SET next_attempt = 0
                     WHERE (state = 'pending' OR damaged = 1) AND next_attempt > 0",
                    [],
                )
                .map(drop)
        })
        .await
    }

    /// Turns a pending file into a hole.
    pub async fn record_hole(&self, row: i64, reason: String, at: Timestamp) -> Result<(), LedgerError> {
        self.call(move |connection| {
            let changed = connection.execute(
                "UPDATE file SET state = 'hole', reason = ?2 WHERE id = ?1 AND state = 'pending'",
                params![row, reason],
            )?;
            if changed == 1 {
                tell(connection, row, Action::HoleRecorded, &Stamp::program(at))
            } else {
                Ok(())
            }
        })
        .await
    }

    /// Makes files real, all or none; their sequence numbers must follow the last one. Answers what of their
    /// records is new to their streams.
    pub async fn record_files(&self, files: Vec<NewFile>) -> Result<Vec<DriftRow>, LedgerError> {
        self.call(move |connection| {
            let mut before = tail(connection)?.1;
            let mut drifts = Vec::new();
            for file in files {
                let stream: i64 = connection
                    .prepare_cached(
                        "UPDATE file SET state = 'spooled', sequence = ?2, fetched_at = ?3, bytes = ?4,
                         sha256 = ?5, records = ?6, malformed = ?7, repeats = ?8, records_before = ?9,
                         fetched_with = ?10,
                         last_error = NULL WHERE id = ?1 AND state = 'pending' RETURNING stream",
                    )?
                    .query_row(
                        params![
                            file.row,
                            file.sequence,
                            file.fetched_at,
                            file.bytes,
                            file.sha256,
                            file.records,
                            file.malformed,
                            file.repeats,
                            before,
                            file.fetched_with
                        ],
                        |row| row.get(0),
                    )?;
                before += file.records;
                connection
                    .prepare_cached(
                        "UPDATE stream SET files_collected = files_collected + 1,
                         records_collected = records_collected + ?2 WHERE id = ?1",
                    )?
                    .execute(params![stream, file.records])?;
                drifts.extend(drift::record(connection, stream, &file)?);
            }
            Ok(drifts)
        })
        .await
    }

    /// Spooled files of a stream whose `end_time` lies within `window` seconds of `end_at`.
    pub async fn candidates(
        &self,
        stream: StreamId,
        end_at: i64,
        window: i64,
    ) -> Result<Vec<Candidate>, LedgerError> {
        self.call(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT sequence FROM file INDEXED BY file_end WHERE stream = ?1 AND state = 'spooled'
                 AND end_at BETWEEN ?2 AND ?3 ORDER BY sequence",
            )?;
            let rows = statement.query_map(params![stream.0, end_at - window, end_at + window], |row| {
                Ok(Candidate { sequence: row.get(0)? })
            })?;
            rows.collect()
        })
        .await
    }

    /// The spooled file at `sequence`, if there is one.
    pub async fn file_at(&self, sequence: u64) -> Result<Option<FileFacts>, LedgerError> {
        self.call(move |connection| {
            connection
                .prepare_cached(
                    "SELECT sequence, stream, file_id, fetched_at, end_time, sha256, bytes, records, repeats,
                     fetched_with, removed = 2, own FROM file WHERE sequence = ?1",
                )?
                .query_row([sequence], facts)
                .optional()
        })
        .await
    }

    /// Marks files as removed that every sink is past and that were fetched before `fetched_before`.
    ///
    /// Answers their sequence numbers and sizes; the caller unlinks them afterwards.
    pub async fn remove_files(
        &self,
        below: u64,
        fetched_before: String,
        limit: usize,
    ) -> Result<Vec<(u64, u64)>, LedgerError> {
        self.call(move |connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE file SET removed = 1 WHERE id IN (
                     SELECT id FROM file WHERE state = 'spooled' AND removed = 0 AND sequence < ?1
                     AND fetched_at < ?2 ORDER BY sequence LIMIT ?3) RETURNING sequence, bytes",
            )?;
            let rows = params![below, fetched_before, limit];
            let removed = statement.query_map(rows, |row| Ok((row.get(0)?, row.get(1)?)))?;
            let removed = removed.collect::<rusqlite::Result<_>>()?;
            connection.execute(
                "DELETE FROM own_file WHERE file IN (
                     SELECT file.id FROM own_file JOIN file ON file.id = own_file.file WHERE removed = 1)",
                [],
            )?;
            Ok(removed)
        })
        .await
    }

    /// Marks the oldest file before `below` as dropped that is in the spool, not among `held`, and not about to
    /// be read by a sink.
    ///
    /// Only for files that an archive has: whoever still needs one brings it back from there. Answers its
    /// sequence number and size; the caller unlinks it afterwards.
    pub async fn drop_file(&self, below: u64, held: Vec<u64>) -> Result<Option<(u64, u64)>, LedgerError> {
        self.call(move |connection| {
            let held = held.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            connection
                .prepare(&format!(
                    "UPDATE file SET removed = 2 WHERE id = (
                         SELECT id FROM file WHERE state = 'spooled' AND removed = 0 AND damaged = 0
                         AND sequence < ?1 AND sequence NOT IN ({held}) AND NOT EXISTS (
                             SELECT 1 FROM sink WHERE enabled = 1
                             AND file.sequence BETWEEN sink.sequence AND sink.sequence + 1)
                         ORDER BY sequence LIMIT 1) RETURNING sequence, bytes"
                ))?
                .query_row([below], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
        .await
    }

    /// A dropped file is in the spool again.
    pub async fn record_return(&self, sequence: u64) -> Result<(), LedgerError> {
        self.call(move |connection| {
            connection
                .execute("UPDATE file SET removed = 0 WHERE sequence = ?1 AND removed = 2", [sequence])
                .map(drop)
        })
        .await
    }

    /// Sequence numbers the spool still has to hold.
    pub async fn kept(&self) -> Result<HashSet<u64>, LedgerError> {
        self.call(|connection| {
            let mut statement =
                connection.prepare("SELECT sequence FROM file WHERE state = 'spooled' AND removed = 0")?;
            statement.query_map([], |row| row.get(0))?.collect()
        })
        .await
    }

    /// The lowest sequence whose `end_time` is at or after `end_at`: older id lists are of no use.
    pub async fn oldest_sequence_since(&self, end_at: i64) -> Result<Option<u64>, LedgerError> {
        self.call(move |connection| {
            // Through the index, a stream at a time: the work must not grow with what is older.
            connection.query_row(
                "SELECT min(first) FROM (SELECT (SELECT min(sequence) FROM file INDEXED BY file_end
                 WHERE file.stream = stream.id AND end_at >= ?1 AND state = 'spooled') AS first FROM stream)",
                [end_at],
                |row| row.get(0),
            )
        })
        .await
    }

    /// All holes, oldest first.
    pub async fn holes(&self) -> Result<Vec<HoleRow>, LedgerError> {
        self.call(|connection| holes(connection, usize::MAX)).await
    }

    /// Makes a hole pending again; `false` when there is no such hole.
    pub async fn retry_hole(&self, id: i64, by: Stamp) -> Result<bool, LedgerError> {
        self.call(move |connection| {
            let reason = reason(connection, id)?;
            let changed = connection.execute(
                "UPDATE file SET state = 'pending', reason = NULL, next_attempt = 0, acknowledged = 0
                 WHERE id = ?1 AND state = 'hole' AND file_id NOT LIKE 'gap:%'",
                [id],
            )?;
            if changed == 1 {
                tell_with(connection, id, Action::HoleRetried, &by, reason.as_deref())?;
            }
            Ok(changed == 1)
        })
        .await
    }

    /// Notes that somebody has seen a hole; `false` when there is no such hole.
    pub async fn acknowledge_hole(&self, id: i64, by: Stamp) -> Result<bool, LedgerError> {
        self.call(move |connection| {
            let changed = connection
                .execute("UPDATE file SET acknowledged = 1 WHERE id = ?1 AND state = 'hole'", [id])?;
            if changed == 1 {
                tell(connection, id, Action::HoleAcknowledged, &by)?;
            }
            Ok(changed == 1)
        })
        .await
    }
}
