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
    /// Log files before this number are sealed.
    pub sealed: u64,
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

fn insert(connection: &Connection, sink: &str, file: &ArchivedFile) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO archived (sink, sequence, key, bytes, sha256, record_root, oldest_event, newest_event)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
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
            file.newest_event
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

    /// How far a chain is; a new one begins behind what other chains of this sink have sealed.
    pub async fn chain(&self, sink: String, instance: String) -> Result<Chain, LedgerError> {
        self.call(move |connection| {
            let found = connection
                .prepare_cached(
                    "SELECT number, head, key_id, sealed, written_at, envelope FROM chain
                     WHERE sink = ?1 AND instance = ?2",
                )?
                .query_row([&sink, &instance], |row| {
                    Ok(Chain {
                        number: row.get(0)?,
                        head: Some(blob(row, 1)?),
                        key_id: row.get(2)?,
                        sealed: row.get(3)?,
                        written_at: row.get(4)?,
                        envelope: row.get(5)?,
                    })
                })
                .optional()?;
            if let Some(chain) = found {
                return Ok(chain);
            }
            let sealed = connection.query_row(
                "SELECT coalesce(max(sealed), 0) FROM chain WHERE sink = ?1",
                [&sink],
                |row| row.get(0),
            )?;
            Ok(Chain { sealed, ..Chain::default() })
        })
        .await
    }

    /// What an archive holds from this number on, at most so many.
    pub async fn unsealed(
        &self,
        sink: String,
        sealed: u64,
        most: usize,
    ) -> Result<Vec<UnsealedFile>, LedgerError> {
        self.call(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT a.sequence, a.key, a.bytes, a.sha256, a.record_root, a.oldest_event, a.newest_event,
                 file_id, principal, event_type, end_time, f.bytes, f.records, f.sha256, f.listed_at, f.fetched_at
                 FROM archived a JOIN file f ON f.sequence = a.sequence JOIN stream ON stream.id = f.stream
                 WHERE a.sink = ?1 AND a.sequence >= ?2 ORDER BY a.sequence LIMIT ?3",
            )?;
            statement.query_map(params![sink, sealed, most as u64], unsealed)?.collect()
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

    /// A chain has a new head, whose envelope is to be put.
    pub async fn record_manifest(
        &self,
        sink: String,
        instance: String,
        chain: Chain,
    ) -> Result<(), LedgerError> {
        self.call(move |connection| {
            tell_of_key(connection, &sink, &instance, &chain)?;
            connection
                .prepare_cached(
                    "INSERT INTO chain (sink, instance, number, head, key_id, sealed, written_at, envelope)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                     ON CONFLICT (sink, instance) DO UPDATE SET number = ?3, head = ?4, key_id = ?5, sealed = ?6,
                     written_at = ?7, envelope = ?8",
                )?
                .execute(params![
                    sink,
                    instance,
                    chain.number,
                    chain.head,
                    chain.key_id,
                    chain.sealed,
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
