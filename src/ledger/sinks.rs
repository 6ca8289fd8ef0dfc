//! Sinks: position, accounts and what each must remember.

use rusqlite::{Connection, Row, params};

use super::{Ledger, LedgerError};

/// A place in the spool: the next record to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Sequence number of the file.
    pub sequence: u64,
    /// Index of the record in it, from 0.
    pub record: u64,
}

/// What became of the records before a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Confirmed by the sink.
    pub delivered: u64,
    /// Left out because the sink had a copy.
    pub repeats: u64,
    /// Left out by choice.
    pub deselected: u64,
    /// Never to be taken by this sink.
    pub dead_letters: u64,
}

/// Where a sink that is new begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkStart {
    /// At the oldest file the spool still holds.
    Beginning,
    /// After everything that is there.
    Now,
}

/// One sink's row.
#[derive(Clone, Debug)]
pub struct SinkRow {
    /// Its name in the configuration.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// What a confirmation means.
    pub guarantee: String,
    /// The sequence it began at: copies before it never reached this sink.
    pub start: u64,
    /// The next record.
    pub position: Position,
    /// What the sink must know again after a crash.
    pub memory: Option<Vec<u8>>,
    /// Accounts.
    pub counts: Counts,
    /// `ok`, `retrying` or `paused`.
    pub state: String,
    /// What went wrong last, while it does.
    pub last_error: Option<String>,
    /// The next step for an operator.
    pub hint: Option<String>,
    /// Records of the spool not delivered yet.
    pub records_pending: u64,
    /// Files with such records.
    pub files_pending: u64,
    /// When the oldest of them was fetched.
    pub oldest_pending: Option<String>,
}

/// The start of a sink that never began; files are numbered from 1.
const UNBEGUN: u64 = 0;

/// Our own audit trail counts where a sink's `select` names it; any other passes it over, and an archive gets
/// it beside what it counts.
const SELECT: &str = "SELECT name, type, guarantee, start, sink.sequence, record, memory, delivered,
    repeats, deselected, dead_letters, state, last_error, hint,
    coalesce((SELECT tail.records_before + tail.records - file.records_before - record FROM file,
        (SELECT records_before, records FROM file WHERE sequence IS NOT NULL
         ORDER BY sequence DESC LIMIT 1) AS tail WHERE sequence = sink.sequence), 0)
        - iif(sink.own, 0, (SELECT coalesce(sum(records), 0) FROM file INDEXED BY file_own
                            WHERE own = 1 AND sequence >= sink.sequence)),
    max(coalesce((SELECT max(sequence) FROM file), 0) + 1 - sink.sequence, 0)
        - iif(sink.own, 0, (SELECT count(*) FROM file INDEXED BY file_own
                            WHERE own = 1 AND sequence >= sink.sequence)),
    (SELECT fetched_at FROM file WHERE sequence >= sink.sequence AND own <= sink.own
     ORDER BY sequence LIMIT 1)
    FROM sink";

fn read(row: &Row<'_>) -> rusqlite::Result<SinkRow> {
    Ok(SinkRow {
        name: row.get(0)?,
        kind: row.get(1)?,
        guarantee: row.get(2)?,
        start: row.get(3)?,
        position: Position { sequence: row.get(4)?, record: row.get(5)? },
        memory: row.get(6)?,
        counts: Counts {
            delivered: row.get(7)?,
            repeats: row.get(8)?,
            deselected: row.get(9)?,
            dead_letters: row.get(10)?,
        },
        state: row.get(11)?,
        last_error: row.get(12)?,
        hint: row.get(13)?,
        records_pending: row.get(14)?,
        files_pending: row.get(15)?,
        oldest_pending: row.get(16)?,
    })
}

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<SinkRow>> {
    connection
        .prepare_cached(&format!("{SELECT} WHERE enabled = 1 ORDER BY name"))?
        .query_map([], read)?
        .collect()
}

/// Moves a sink's position, with its accounts and its memory.
pub(super) fn move_to(
    connection: &Connection,
    name: &str,
    position: Position,
    counts: Counts,
    memory: &[u8],
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE sink SET sequence = ?2, record = ?3, delivered = ?4, repeats = ?5,
             deselected = ?6, dead_letters = ?7, memory = ?8 WHERE name = ?1",
        )?
        .execute(params![
            name,
            position.sequence,
            position.record,
            counts.delivered,
            counts.repeats,
            counts.deselected,
            counts.dead_letters,
            memory
        ])
        .map(drop)
}

impl Ledger {
    /// Every enabled sink.
    pub async fn sinks(&self) -> Result<Vec<SinkRow>, LedgerError> {
        self.call(all).await
    }

    /// Marks every sink as not configured; [`Self::enable_sink`] follows for those that are.
    pub async fn disable_sinks(&self) -> Result<(), LedgerError> {
        self.call(|connection| connection.execute("UPDATE sink SET enabled = 0", []).map(drop)).await
    }

    /// Finds the sink's row, or makes one that begins at `start`; `own` says whether its `select` names our own
    /// audit trail.
    pub async fn enable_sink(
        &self,
        name: String,
        kind: &'static str,
        guarantee: &'static str,
        start: SinkStart,
        own: bool,
    ) -> Result<SinkRow, LedgerError> {
        self.call(move |connection| {
            let next = "(SELECT coalesce(max(sequence), 0) + 1 FROM file)";
            let first = match start {
                SinkStart::Now => next.to_owned(),
                SinkStart::Beginning => format!(
                    "coalesce((SELECT min(sequence) FROM file WHERE state = 'spooled' AND removed = 0), {next})"
                ),
            };
            connection.execute(
                &format!(
                    "INSERT INTO sink (name, type, guarantee, enabled, start, sequence, record, own)
                     VALUES (?1, ?2, ?3, 1, {first}, {first}, 0, ?4)
                     ON CONFLICT (name) DO UPDATE SET enabled = 1, type = ?2, guarantee = ?3, own = ?4,
                         start = iif(start = {UNBEGUN}, excluded.start, start),
                         sequence = iif(start = {UNBEGUN}, excluded.sequence, sequence)"
                ),
                params![name, kind, guarantee, own],
            )?;
            connection.prepare_cached(&format!("{SELECT} WHERE name = ?1"))?.query_row([name], read)
        })
        .await
    }

    /// Finds the sink's row, or makes one that only remembers: where the sink begins is for
    /// [`Self::enable_sink`] to say.
    pub async fn remember_sink(
        &self,
        name: String,
        kind: &'static str,
        guarantee: &'static str,
    ) -> Result<SinkRow, LedgerError> {
        self.call(move |connection| {
            connection.execute(
                &format!(
                    "INSERT INTO sink (name, type, guarantee, enabled, start, sequence, record)
                     VALUES (?1, ?2, ?3, 0, {UNBEGUN}, {UNBEGUN}, 0) ON CONFLICT (name) DO NOTHING"
                ),
                params![name, kind, guarantee],
            )?;
            connection.prepare_cached(&format!("{SELECT} WHERE name = ?1"))?.query_row([name], read)
        })
        .await
    }

    /// Moves a sink that was away for long to the oldest file the spool still holds; answers how many records
    /// it can no longer get.
    pub async fn skip_removed(&self, name: String) -> Result<u64, LedgerError> {
        self.call(move |connection| {
            let row =
                connection.prepare_cached(&format!("{SELECT} WHERE name = ?1"))?.query_row([&name], read)?;
            let from = row.position.sequence;
            let own: bool =
                connection.query_row("SELECT own FROM sink WHERE name = ?1", [&name], |row| row.get(0))?;
            let (first, missed): (Option<u64>, u64) = connection.query_row(
                "SELECT max(sequence) + 1, coalesce(sum(records) FILTER (WHERE own <= ?2), 0) FROM file
                 WHERE sequence >= ?1 AND removed = 1",
                params![from, own],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let Some(first) = first else { return Ok(0) };
            connection.execute(
                "UPDATE sink SET sequence = ?2, record = 0, start = ?2 WHERE name = ?1",
                params![name, first],
            )?;
            Ok(missed.saturating_sub(row.position.record))
        })
        .await
    }

    /// Moves a sink's position, with its accounts and its memory.
    pub async fn record_position(
        &self,
        name: String,
        position: Position,
        counts: Counts,
        memory: Vec<u8>,
    ) -> Result<(), LedgerError> {
        self.call(move |connection| move_to(connection, &name, position, counts, &memory)).await
    }

    /// Records how a sink fares.
    pub async fn record_sink_state(
        &self,
        name: String,
        state: &'static str,
        error: Option<String>,
        hint: Option<String>,
    ) -> Result<(), LedgerError> {
        self.call(move |connection| {
            connection
                .prepare_cached("UPDATE sink SET state = ?2, last_error = ?3, hint = ?4 WHERE name = ?1")?
                .execute(params![name, state, error, hint])
                .map(drop)
        })
        .await
    }
}
