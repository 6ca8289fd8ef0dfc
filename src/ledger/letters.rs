//! Dead letters: records that one sink can never take.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;

use super::own::{self, Action, Event, Stamp, Target};
use super::sinks::move_to;
use super::{Counts, Ledger, LedgerError, Position, Viewer};

/// One dead letter; its bytes lie in the data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterRow {
    /// The number `dead-letters` shows.
    pub id: i64,
    /// Whose.
    pub sink: String,
    /// Where the record lies in the spool.
    pub position: Position,
    /// Our id of the record.
    pub record_id: String,
    /// Of its stream.
    pub principal: String,
    /// Of its stream.
    pub event_type: String,
    /// RFC 3339.
    pub at: String,
    /// What happened, and what the other side answered.
    pub reason: String,
    /// Somebody wants it delivered after all.
    pub retry: bool,
}

/// Between what happened and what the other side answered, in a reason.
pub const ANSWERED: &str = "; it answered: ";

impl LetterRow {
    /// What happened, without what the other side answered: that may repeat the record.
    pub fn problem(&self) -> &str {
        self.reason.split_once(ANSWERED).map_or(&self.reason, |(problem, _)| problem)
    }
}

const SELECT: &str =
    "SELECT id, sink, sequence, record, record_id, principal, event_type, at, reason, retry FROM dead_letter";

fn read(row: &Row<'_>) -> rusqlite::Result<LetterRow> {
    Ok(LetterRow {
        id: row.get(0)?,
        sink: row.get(1)?,
        position: Position { sequence: row.get(2)?, record: row.get(3)? },
        record_id: row.get(4)?,
        principal: row.get(5)?,
        event_type: row.get(6)?,
        at: row.get(7)?,
        reason: row.get(8)?,
        retry: row.get(9)?,
    })
}

fn letters(connection: &Connection, sink: Option<&str>) -> rusqlite::Result<Vec<LetterRow>> {
    connection
        .prepare_cached(&format!("{SELECT} WHERE ?1 IS NULL OR sink = ?1 ORDER BY id"))?
        .query_map([sink], read)?
        .collect()
}

impl Viewer {
    /// All dead letters, or those of one sink, oldest first.
    pub fn letters(&self, sink: Option<&str>) -> Result<Vec<LetterRow>, LedgerError> {
        self.view(|connection| letters(connection, sink))
    }

    /// The newest `most` dead letters, newest first.
    pub fn recent_letters(&self, most: u32) -> Result<Vec<LetterRow>, LedgerError> {
        self.view(|connection| {
            let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY id DESC LIMIT ?1"))?;
            statement.query_map([most], read)?.collect()
        })
    }
}

impl Ledger {
    /// The dead letters of a sink, oldest first.
    pub async fn letters(&self, sink: String) -> Result<Vec<LetterRow>, LedgerError> {
        self.call(move |connection| letters(connection, Some(&sink))).await
    }

    /// Records a dead letter, or why it is one again; `id` and `retry` of the row do not matter.
    pub async fn record_letter(&self, letter: LetterRow) -> Result<(), LedgerError> {
        self.call(move |connection| {
            connection
                .execute(
                    "INSERT INTO dead_letter
                     (sink, sequence, record, record_id, principal, event_type, at, reason)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                     ON CONFLICT (sink, sequence, record) DO UPDATE SET at = ?7, reason = ?8, retry = 0",
                    params![
                        letter.sink,
                        letter.position.sequence,
                        letter.position.record,
                        letter.record_id,
                        letter.principal,
                        letter.event_type,
                        letter.at,
                        letter.reason
                    ],
                )
                .map(drop)
        })
        .await
    }

    /// Wants the dead letters of a sink, or of all, delivered after all; answers how many there are.
    pub async fn retry_letters(&self, sink: Option<String>, by: Stamp) -> Result<usize, LedgerError> {
        self.call(move |connection| {
            let retry = "UPDATE dead_letter SET retry = 1 WHERE ?1 IS NULL OR sink = ?1";
            let letters = connection.execute(retry, [&sink])?;
            if letters > 0 {
                let target = Target::new("sink", sink.as_deref().unwrap_or("all"));
                let event =
                    Event::new(Action::DeadLettersRetried, target, json!({ "dead_letters": letters }));
                own::append(connection, &by, &event)?;
            }
            Ok(letters)
        })
        .await
    }

    /// The oldest dead letter of a sink that somebody wants delivered after all.
    pub async fn letter_to_retry(&self, sink: String) -> Result<Option<LetterRow>, LedgerError> {
        self.call(move |connection| {
            connection
                .prepare_cached(&format!("{SELECT} WHERE sink = ?1 AND retry = 1 ORDER BY id LIMIT 1"))?
                .query_row([sink], read)
                .optional()
        })
        .await
    }

    /// Moves a sink's accounts, and with them forgets the dead letter that they no longer count as one.
    pub async fn settle_letter(
        &self,
        letter: LetterRow,
        position: Position,
        counts: Counts,
        memory: Vec<u8>,
    ) -> Result<(), LedgerError> {
        self.call(move |connection| {
            move_to(connection, &letter.sink, position, counts, &memory)?;
            connection.execute("DELETE FROM dead_letter WHERE id = ?1", [letter.id]).map(drop)
        })
        .await
    }
}
