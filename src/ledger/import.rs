//! Fills an empty ledger with what archives say: log files, holes, coverage, chains, positions.
//!
//! Log files get their sequence numbers in the order they come, without gaps, and count as dropped early: an
//! archive has them. One that is known already, from another archive, keeps its number. Only for a ledger
//! that no daemon uses yet.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::manifests::{ArchivedFile, NextPlace};
use super::{Interval, Ledger, LedgerError, Position, StreamId, coverage, files, manifests};

/// A log file as an archive tells of it.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Its stream.
    pub stream: StreamId,
    /// Id upstream.
    pub file_id: String,
    /// Verbatim.
    pub end_time: String,
    /// Seconds since 1970.
    pub end_at: i64,
    /// Seconds since 1970.
    pub listed_at: i64,
    /// RFC 3339.
    pub fetched_at: String,
    /// Its length.
    pub bytes: u64,
    /// Its records.
    pub records: u64,
    /// Its hash.
    pub sha256: [u8; 32],
    /// What lies in the archive; the number in it means nothing.
    pub object: ArchivedFile,
    /// A manifest names it.
    pub sealed: bool,
    /// It is of our own audit trail.
    pub own: bool,
}

/// A log file that was listed and that no archive holds.
#[derive(Clone, Debug)]
pub struct Missing {
    /// Its stream.
    pub stream: StreamId,
    /// Id upstream, or `gap:…`.
    pub file_id: String,
    /// Verbatim.
    pub end_time: String,
    /// Seconds since 1970.
    pub end_at: i64,
    /// Seconds since 1970.
    pub listed_at: i64,
    /// Why it could not be had; none when it is to be fetched.
    pub hole: Option<String>,
}

/// What is known of a stream beside its log files.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Its row.
    pub stream: StreamId,
    /// What was listed of it, in order.
    pub coverage: Vec<Interval>,
}

/// Where a sink goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The next record.
    pub position: Position,
    /// Log files from there on.
    pub files: u64,
    /// Their records.
    pub records: u64,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// Log files.
    pub files: u64,
    /// Their records.
    pub records: u64,
    /// Holes.
    pub holes: u64,
    /// To be fetched.
    pub pending: u64,
}

fn number_of(connection: &Connection, file: &Imported) -> rusqlite::Result<Option<(u64, bool)>> {
    connection
        .prepare_cached("SELECT sequence, sha256 = ?3 FROM file WHERE stream = ?1 AND file_id = ?2")?
        .query_row(params![file.stream.0, file.file_id, file.sha256], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

fn insert(connection: &Connection, file: &Imported, sequence: u64, before: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO file (stream, file_id, end_time, end_at, listed_at, size, sha256, state, sequence,
             fetched_at, bytes, records, malformed, records_before, repeats, removed, own)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'spooled', ?8, ?9, ?6, ?10, 0, ?11, x'', 2, ?12)",
        )?
        .execute(params![
            file.stream.0,
            file.file_id,
            file.end_time,
            file.end_at,
            file.listed_at,
            file.bytes,
            file.sha256,
            sequence,
            file.fetched_at,
            file.records,
            before,
            file.own
        ])
        .map(drop)
}

fn place(connection: &Connection, next: &NextPlace) -> rusqlite::Result<Position> {
    let known: Option<u64> = connection
        .prepare_cached(
            "SELECT sequence FROM file JOIN stream ON stream.id = file.stream
             WHERE principal = ?1 AND event_type = ?2 AND file_id = ?3 AND sequence IS NOT NULL",
        )?
        .query_row([&next.principal, &next.event_type, &next.file_id], |row| row.get(0))
        .optional()?;
    if let Some(sequence) = known {
        return Ok(Position { sequence, record: next.record });
    }
    // No archive has it: what was fetched later is behind it.
    Ok(Position { sequence: fetched_since(connection, &next.fetched_at)?, record: 0 })
}

/// The first log file fetched at this moment or later, or the number behind all.
fn fetched_since(connection: &Connection, moment: &str) -> rusqlite::Result<u64> {
    // Without its `Z`, a whole second comes before its fractions.
    let first: Option<u64> = connection.query_row(
        "SELECT min(sequence) FROM file WHERE fetched_at >= ?1",
        [moment.trim_end_matches('Z')],
        |row| row.get(0),
    )?;
    Ok(match first {
        Some(first) => first,
        None => files::tail(connection)?.0,
    })
}

impl Ledger {
    /// Log files of one archive; answers how many contradict what is known of the same file, and are left out.
    pub async fn import_files(&self, sink: String, files: Vec<Imported>) -> Result<u64, LedgerError> {
        self.call(move |connection| {
            let (mut next, mut before) = files::tail(connection)?;
            let mut contradicting = 0;
            for file in files {
                let sequence = match number_of(connection, &file)? {
                    Some((sequence, true)) => sequence,
                    Some((_, false)) => {
                        contradicting += 1;
                        continue;
                    }
                    None => {
                        insert(connection, &file, next, before)?;
                        (next, before) = (next + 1, before + file.records);
                        next - 1
                    }
                };
                manifests::insert(connection, &sink, &ArchivedFile { sequence, ..file.object })?;
                connection
                    .prepare_cached("UPDATE archived SET sealed = ?3 WHERE sink = ?1 AND sequence = ?2")?
                    .execute(params![sink, sequence, file.sealed])?;
            }
            Ok(contradicting)
        })
        .await
    }

    /// What is known of streams beside their log files; each is listed completely at the next start.
    pub async fn import_streams(&self, streams: Vec<Origin>) -> Result<(), LedgerError> {
        self.call(move |connection| {
            for Origin { stream, coverage } in streams {
                for interval in coverage {
                    // It may lie ahead of a clock that is right.
                    coverage::record(connection, stream, interval, i64::MAX)?;
                }
                connection.execute(
                    "UPDATE stream SET swept_at = 0,
                     started_at = min(started_at, coalesce(
                         (SELECT min(from_at) FROM coverage WHERE stream = ?1), started_at)),
                     cursor = (SELECT end_time FROM file WHERE stream = ?1 ORDER BY end_at DESC LIMIT 1),
                     files_collected = (SELECT count(*) FROM file WHERE stream = ?1 AND state = 'spooled'),
                     records_collected = (SELECT coalesce(sum(records), 0) FROM file
                         WHERE stream = ?1 AND state = 'spooled') WHERE id = ?1",
                    [stream.0],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// What manifests say of log files that no archive holds, unless they are known otherwise: holes, and those that
    /// are to be fetched.
    pub async fn import_missing(&self, files: Vec<Missing>) -> Result<(), LedgerError> {
        self.call(move |connection| {
            for file in files {
                connection
                    .prepare_cached(
                        "INSERT INTO file (stream, file_id, end_time, end_at, listed_at, state, reason)
                         VALUES (?1, ?2, ?3, ?4, ?5, iif(?6 IS NULL, 'pending', 'hole'), ?6)
                         ON CONFLICT DO NOTHING",
                    )?
                    .execute(params![
                        file.stream.0,
                        file.file_id,
                        file.end_time,
                        file.end_at,
                        file.listed_at,
                        file.hole
                    ])?;
            }
            Ok(())
        })
        .await
    }

    /// Lets a sink go on at `next`, or behind the log files that are known now; at the latest at what was
    /// fetched `since`.
    pub async fn import_sink(
        &self,
        name: String,
        next: Option<NextPlace>,
        since: Option<String>,
    ) -> Result<(), LedgerError> {
        self.call(move |connection| {
            let mut position = match next {
                Some(next) => place(connection, &next)?,
                None => Position { sequence: files::tail(connection)?.0, record: 0 },
            };
            if let Some(since) = since {
                position = position.min(Position { sequence: fetched_since(connection, &since)?, record: 0 });
            }
            // What came before was confirmed, in whatever way.
            connection
                .execute(
                    "INSERT INTO sink (name, type, guarantee, enabled, start, sequence, record, delivered)
                     VALUES (?1, '', '', 0, ?2, ?2, ?3, ?3) ON CONFLICT DO NOTHING",
                    params![name, position.sequence, position.record],
                )
                .map(drop)
        })
        .await
    }

    /// Lets an archive go on at the first log file it lacks, from the first one that it has on; `false` when it
    /// has none.
    pub async fn import_archive(&self, name: String) -> Result<bool, LedgerError> {
        self.call(move |connection| {
            let start: Option<u64> = connection.query_row(
                "SELECT min(sequence) FROM archived WHERE sink = ?1",
                [&name],
                |row| row.get(0),
            )?;
            let Some(start) = start else { return Ok(false) };
            let lacks: Option<u64> = connection.query_row(
                "SELECT min(sequence) FROM file WHERE sequence > ?2 AND NOT EXISTS (
                     SELECT 1 FROM archived WHERE sink = ?1 AND archived.sequence = file.sequence)",
                params![name, start],
                |row| row.get(0),
            )?;
            let position = lacks.unwrap_or(files::tail(connection)?.0);
            connection.execute(
                "INSERT INTO sink (name, type, guarantee, enabled, start, sequence, record, delivered)
                 VALUES (?1, '', '', 0, ?2, ?3, 0, (SELECT coalesce(sum(records), 0) FROM file
                     WHERE sequence >= ?2 AND sequence < ?3 AND own = 0))
                 ON CONFLICT (name) DO UPDATE SET start = excluded.start, sequence = excluded.sequence,
                     record = 0, delivered = excluded.delivered",
                params![name, start, position],
            )?;
            Ok(true)
        })
        .await
    }

    /// What a sink will get; none when nothing is known of it.
    pub async fn restored(&self, name: String) -> Result<Option<Restored>, LedgerError> {
        self.call(move |connection| {
            connection
                .query_row(
                    "SELECT sequence, record,
                     (SELECT count(*) FROM file WHERE file.sequence >= sink.sequence AND file.own = 0),
                     (SELECT coalesce(sum(records), 0) FROM file
                         WHERE file.sequence >= sink.sequence AND file.own = 0)
                     FROM sink WHERE name = ?1",
                    [name],
                    |row| {
                        let (sequence, record): (u64, u64) = (row.get(0)?, row.get(1)?);
                        let records: u64 = row.get(3)?;
                        let position = Position { sequence, record };
                        Ok(Restored { position, files: row.get(2)?, records: records.saturating_sub(record) })
                    },
                )
                .optional()
        })
        .await
    }

    /// How much there is.
    pub async fn whole(&self) -> Result<Whole, LedgerError> {
        self.call(|connection| {
            connection.query_row(
                "SELECT count(*) FILTER (WHERE state = 'spooled'), coalesce(sum(records), 0),
                 count(*) FILTER (WHERE state = 'hole'), count(*) FILTER (WHERE state = 'pending') FROM file",
                [],
                |row| {
                    Ok(Whole {
                        files: row.get(0)?,
                        records: row.get(1)?,
                        holes: row.get(2)?,
                        pending: row.get(3)?,
                    })
                },
            )
        })
        .await
    }

    /// Those of these hashes that no collected log file has.
    pub async fn unknown(&self, mut hashes: HashSet<[u8; 32]>) -> Result<HashSet<[u8; 32]>, LedgerError> {
        self.call(move |connection| {
            let mut statement = connection.prepare("SELECT sha256 FROM file WHERE state = 'spooled'")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if let Ok(hash) = <[u8; 32]>::try_from(row.get::<_, Vec<u8>>(0)?) {
                    hashes.remove(&hash);
                }
            }
            Ok(hashes)
        })
        .await
    }
}
