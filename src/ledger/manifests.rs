//! Chains of manifests: what each archive holds, how far it is sealed, and the envelope that is on its way.
//!
//! An envelope's exact bytes are here before they are put, so that a crash repeats the same bytes; there is no
//! next one before it was put.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;

use super::coverage::{self, Interval};
use super::own::{self, Action, Event, Stamp, Target};
use super::{Counts, Ledger, LedgerError, Position, StreamId};
use crate::digest::hex;

/// An object of an archive, as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedFile {
    /// The log file.
    pub sequence: u64,
    /// Its name.
    pub key: String,
    /// Its bytes.
    pub object_bytes: u64,
    /// Of these.
    pub object_sha256: [u8; 32],
    /// Merkle root of the log file's records.
    pub record_root: [u8; 32],
    /// Time of the oldest record, UTC.
    pub oldest_event: Option<String>,
    /// Of the newest.
    pub newest_event: Option<String>,
    /// A rebuild found it there; nobody saw it fetched.
    pub found: bool,
}

/// An archived log file that no manifest names yet.
#[derive(Clone, Debug)]
pub struct UnsealedFile {
    /// The object.
    pub object: ArchivedFile,
    /// Id upstream.
    pub file_id: String,
    /// Whose.
    pub principal: String,
    /// Of which type.
    pub event_type: String,
    /// Verbatim.
    pub end_time: String,
    /// Of the log file.
    pub bytes: u64,
    /// Of the log file.
    pub records: u64,
    /// Of the log file.
    pub sha256: [u8; 32],
    /// Seconds since 1970.
    pub listed_at: i64,
    /// RFC 3339.
    pub fetched_at: String,
}

/// How far a chain is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Number of the newest manifest, 0 for none.
    pub number: u64,
    /// SHA-256 of its envelope.
    pub head: Option<[u8; 32]>,
    /// The key that signed it.
    pub key_id: Option<String>,
    /// When it was written, seconds since 1970.
    pub written_at: Option<i64>,
    /// Its bytes, while nobody knows that they are in the archive.
    pub envelope: Option<Vec<u8>>,
}

/// Coverage of one stream.
#[derive(Clone, Debug)]
pub struct Covering {
    /// Whose stream.
    pub principal: String,
    /// Of which type.
    pub event_type: String,
    /// In order.
    pub intervals: Vec<Interval>,
}

/// A listed log file that is not fetched yet.
#[derive(Clone, Debug)]
pub struct ListedFile {
    /// Whose.
    pub principal: String,
    /// Of which type.
    pub event_type: String,
    /// Id upstream.
    pub file_id: String,
    /// Verbatim.
    pub end_time: String,
    /// Seconds since 1970.
    pub listed_at: i64,
}

/// How far a sink is, told without sequence numbers, which a lost ledger takes with it.
#[derive(Clone, Debug)]
pub struct SinkPlace {
    /// Its name.
    pub sink: String,
    /// What it gets next; none when it has all there is.
    pub next: Option<NextPlace>,
}

/// The next record of a sink.
#[derive(Clone, Debug)]
pub struct NextPlace {
    /// Whose.
    pub principal: String,
    /// Of which type.
    pub event_type: String,
    /// The log file's id upstream.
    pub file_id: String,
    /// When that was fetched, RFC 3339.
    pub fetched_at: String,
    /// Which of its records.
    pub record: u64,
}

fn blob(row: &Row<'_>, at: usize) -> rusqlite::Result<[u8; 32]> {
    Ok(row.get::<_, Vec<u8>>(at)?.try_into().unwrap_or_default())
}

fn unsealed(row: &Row<'_>) -> rusqlite::Result<UnsealedFile> {
    Ok(UnsealedFile {
        object: ArchivedFile {
            sequence: row.get(0)?,
            key: row.get(1)?,
            object_bytes: row.get(2)?,
            object_sha256: blob(row, 3)?,
            record_root: blob(row, 4)?,
            oldest_event: row.get(5)?,
            newest_event: row.get(6)?,
            found: row.get(16)?,
        },
        file_id: row.get(7)?,
        principal: row.get(8)?,
        event_type: row.get(9)?,
        end_time: row.get(10)?,
        bytes: row.get(11)?,
        records: row.get(12)?,
        sha256: blob(row, 13)?,
        listed_at: row.get(14)?,
        fetched_at: row.get(15)?,
    })
}

/// An object is in an archive; whether it is sealed stays as it is.
pub(super) fn insert(connection: &Connection, sink: &str, file: &ArchivedFile) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO archived (sink, sequence, key, bytes, sha256, record_root, oldest_event, newest_event,
             found) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (sink, sequence) DO UPDATE SET key = ?3, bytes = ?4, sha256 = ?5, record_root = ?6,
             oldest_event = ?7, newest_event = ?8",
        )?
        .execute(params![
            sink,
            file.sequence,
            file.key,
            file.object_bytes,
            file.object_sha256,
            file.record_root,
            file.oldest_event,
            file.newest_event,
            file.found
        ])
        .map(drop)
}

/// Says that a chain has its first manifest by a key, while the chain is as it was before.
fn tell_of_key(connection: &Connection, sink: &str, instance: &str, next: &Chain) -> rusqlite::Result<()> {
    let Some(key_id) = &next.key_id else { return Ok(()) };
    let before: Option<String> = connection
        .prepare_cached("SELECT key_id FROM chain WHERE sink = ?1 AND instance = ?2")?
        .query_row([sink, instance], |row| row.get(0))
        .optional()?;
    if before.as_ref() == Some(key_id) {
        return Ok(());
    }
    let details = json!({
        "sink": sink, "instance": instance, "first_manifest": next.number, "previous_key_id": before
    });
    let event = Event::new(Action::SigningKeyUsed, Target::new("signing_key", key_id.clone()), details);
    own::append(connection, &Stamp::at_second(next.written_at.unwrap_or_default()), &event)
}

impl Ledger {
    /// Moves an archive's position, with what it confirmed on the way.
    pub async fn record_archived(
        &self,
        sink: String,
        position: Position,
        counts: Counts,
        files: Vec<ArchivedFile>,
    ) -> Result<(), LedgerError> {
        self.call(move |connection| {
            files.iter().try_for_each(|file| insert(connection, &sink, file))?;
            super::sinks::move_to(connection, &sink, position, counts, &[])
        })
        .await
    }

    /// How far a chain is.
    pub async fn chain(&self, sink: String, instance: String) -> Result<Chain, LedgerError> {
        self.call(move |connection| {
            let found = connection
                .prepare_cached(
                    "SELECT number, head, key_id, written_at, envelope FROM chain
                     WHERE sink = ?1 AND instance = ?2",
                )?
                .query_row([&sink, &instance], |row| {
                    Ok(Chain {
                        number: row.get(0)?,
                        head: Some(blob(row, 1)?),
                        key_id: row.get(2)?,
                        written_at: row.get(3)?,
                        envelope: row.get(4)?,
                    })
                })
                .optional()?;
            Ok(found.unwrap_or_default())
        })
        .await
    }

    /// What an archive holds and no manifest names, at most so many; what another chain of this sink has sealed
    /// is sealed.
    pub async fn unsealed(&self, sink: String, most: usize) -> Result<Vec<UnsealedFile>, LedgerError> {
        self.call(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT a.sequence, a.key, a.bytes, a.sha256, a.record_root, a.oldest_event, a.newest_event,
                 file_id, principal, event_type, end_time, f.bytes, f.records, f.sha256, f.listed_at,
                 f.fetched_at, a.found
                 FROM archived a INDEXED BY archived_unsealed JOIN file f ON f.sequence = a.sequence
                 JOIN stream ON stream.id = f.stream
                 WHERE a.sink = ?1 AND a.sealed = 0 ORDER BY a.sequence LIMIT ?2",
            )?;
            statement.query_map(params![sink, most as u64], unsealed)?.collect()
        })
        .await
    }

    /// What was listed and is not fetched, the soonest to expire first, at most so many; and how many more.
    pub async fn listed(&self, most: usize) -> Result<(Vec<ListedFile>, u64), LedgerError> {
        self.call(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT principal, event_type, file_id, end_time, file.listed_at
                 FROM file JOIN stream ON stream.id = file.stream
                 WHERE file.state = 'pending' AND file.own = 0 ORDER BY end_at, file.id LIMIT ?1",
            )?;
            let read = |row: &Row<'_>| {
                Ok(ListedFile {
                    principal: row.get(0)?,
                    event_type: row.get(1)?,
                    file_id: row.get(2)?,
                    end_time: row.get(3)?,
                    listed_at: row.get(4)?,
                })
            };
            let files: Vec<_> = statement.query_map([most as u64], read)?.collect::<Result<_, _>>()?;
            let all: u64 = connection.query_row(
                "SELECT count(*) FROM file WHERE state = 'pending' AND own = 0",
                [],
                |row| row.get(0),
            )?;
            let more = all.saturating_sub(files.len() as u64);
            Ok((files, more))
        })
        .await
    }

    /// How far every sink is, those that are not configured now included.
    pub async fn sink_places(&self) -> Result<Vec<SinkPlace>, LedgerError> {
        self.call(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, record, principal, event_type, file_id, fetched_at FROM sink
                 LEFT JOIN file ON file.sequence = sink.sequence
                 LEFT JOIN stream ON stream.id = file.stream ORDER BY name",
            )?;
            let read = |row: &Row<'_>| {
                let principal: Option<String> = row.get(2)?;
                let next = match principal {
                    Some(principal) => Some(NextPlace {
                        principal,
                        event_type: row.get(3)?,
                        file_id: row.get(4)?,
                        fetched_at: row.get(5)?,
                        record: row.get(1)?,
                    }),
                    None => None,
                };
                Ok(SinkPlace { sink: row.get(0)?, next })
            };
            statement.query_map([], read)?.collect()
        })
        .await
    }

    /// What was listed of each stream, by listings since this moment; what expired unseen is always there.
    pub async fn covered_since(&self, since: i64) -> Result<Vec<Covering>, LedgerError> {
        self.call(move |connection| {
            let streams: Vec<(i64, String, String)> = connection
                .prepare_cached(
                    "SELECT id, principal, event_type FROM stream WHERE principal_kind <> 'instance'
                     ORDER BY principal, event_type",
                )?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            let mut found = Vec::new();
            for (id, principal, event_type) in streams {
                let mut intervals = coverage::intervals(connection, StreamId(id))?;
                intervals.retain(|one| one.listed_at.is_none_or(|at| at >= since));
                found.push(Covering { principal, event_type, intervals });
            }
            Ok(found)
        })
        .await
    }

    /// A chain has a new head, whose envelope is to be put, and which names what is unsealed up to `last`.
    pub async fn record_manifest(
        &self,
        sink: String,
        instance: String,
        chain: Chain,
        last: Option<u64>,
    ) -> Result<(), LedgerError> {
        self.call(move |connection| {
            tell_of_key(connection, &sink, &instance, &chain)?;
            if let Some(last) = last {
                connection
                    .prepare_cached(
                        "UPDATE archived SET sealed = 1 WHERE sink = ?1 AND sealed = 0 AND sequence <= ?2",
                    )?
                    .execute(params![sink, last])?;
            }
            connection
                .prepare_cached(
                    "INSERT INTO chain (sink, instance, number, head, key_id, written_at, envelope)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                     ON CONFLICT (sink, instance) DO UPDATE SET number = ?3, head = ?4, key_id = ?5,
                     written_at = ?6, envelope = ?7",
                )?
                .execute(params![
                    sink,
                    instance,
                    chain.number,
                    chain.head,
                    chain.key_id,
                    chain.written_at,
                    chain.envelope
                ])
                .map(drop)
        })
        .await
    }

    /// The head of a chain is in the archive.
    pub async fn record_manifest_put(
        &self,
        sink: String,
        instance: String,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        self.call(move |connection| {
            let put = connection
                .prepare_cached(
                    "UPDATE chain SET envelope = NULL WHERE sink = ?1 AND instance = ?2 AND envelope IS NOT NULL
                     RETURNING number, head, key_id",
                )?
                .query_row([&sink, &instance], |row| Ok((row.get(0)?, blob(row, 1)?, row.get(2)?)))
                .optional()?;
            put.map_or(Ok(()), |(number, head, key): (u64, _, String)| {
                // Its id is what `verify --expect-head` takes: every format has room for an id.
                let target = Target::new("manifest", format!("{number}:{}", hex(&head))).named(sink);
                let details = json!({ "instance": instance, "number": number, "key_id": key });
                own::append(connection, &Stamp::program(at), &Event::new(Action::ManifestSealed, target, details))
            })
        })
        .await
    }
}
