//! What the records of a stream have shown so far, and what was new about it.
//!
//! Written in the transaction that makes a file real, so each thing is new once, whatever crashes. What a stream
//! began with is no news: the files of its first complete listing, and its first file, only teach. Holds names
//! and types, never a value; a bounded number for each stream.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use serde::Serialize;
use serde_json::json;

use super::files::NewFile;
use super::own::{self, Action, Event, Stamp, Target};
use super::{Ledger, LedgerError, StreamId};
use crate::limits;

/// The `type` of an action.
const ACTION: &str = "action";

/// Something a record shows: a path and a JSON type, or an action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// The path, or the action: plain, whatever upstream has there.
    pub name: String,
    /// `object`, `array`, `string`, `number`, `boolean` or `action`.
    pub kind: &'static str,
}

impl Seen {
    /// An action.
    pub fn action(name: String) -> Self {
        Self { name, kind: ACTION }
    }
}

/// What was new about a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DriftRow {
    /// The principal's id.
    pub principal: String,
    /// Of the stream.
    pub event_type: String,
    /// `new_field`, `new_type` or `new_action`.
    pub kind: String,
    /// The path, or the action.
    pub name: String,
    /// JSON type of a field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_type: Option<String>,
    /// When its file was fetched, RFC 3339.
    pub first_seen: String,
    /// The log file it was seen in first.
    pub log_file_id: String,
}

const SELECT: &str = "SELECT principal, event_type, drift, name, type, seen_at, file_id
    FROM shape JOIN stream ON stream.id = shape.stream";

fn read(row: &Row<'_>) -> rusqlite::Result<DriftRow> {
    let json_type: String = row.get(4)?;
    Ok(DriftRow {
        principal: row.get(0)?,
        event_type: row.get(1)?,
        kind: row.get(2)?,
        name: row.get(3)?,
        json_type: (json_type != ACTION).then_some(json_type),
        first_seen: Timestamp::from_second(row.get(5)?).unwrap_or_default().to_string(),
        log_file_id: row.get(6)?,
    })
}

/// The newest of what was new since a moment.
pub(super) fn recent(connection: &Connection, since: i64) -> rusqlite::Result<Vec<DriftRow>> {
    connection
        .prepare_cached(&format!(
            "{SELECT} WHERE drift IS NOT NULL AND seen_at >= ?1 ORDER BY seen_at DESC, shape.stream, name LIMIT ?2"
        ))?
        .query_map(params![since, limits::DRIFT_SHOWN], read)?
        .collect()
}

/// Learns what a file shows; answers what of it is news.
pub(super) fn record(
    connection: &Connection,
    stream: i64,
    file: &NewFile,
) -> rusqlite::Result<Vec<DriftRow>> {
    if file.seen.is_empty() {
        return Ok(Vec::new());
    }
    let (mut known, taught): (usize, bool) = connection
        .prepare_cached(
            "SELECT (SELECT count(*) FROM shape WHERE stream = ?1),
             (SELECT learned IS NOT NULL AND learned < ?2 FROM stream WHERE id = ?1)",
        )?
        .query_row([stream, file.row], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let news = taught && known > 0;
    let at: Timestamp = file.fetched_at.parse().unwrap_or_default();
    let mut count = 0;
    for seen in &file.seen {
        if known >= limits::SHAPE_NAMES {
            break;
        }
        let drift = if seen.kind == ACTION {
            "new_action"
        } else if has_name(connection, stream, &seen.name)? {
            "new_type"
        } else {
            "new_field"
        };
        let new = connection
            .prepare_cached(
                "INSERT INTO shape (stream, name, type, seen_at, file_id, drift)
                 SELECT ?1, ?2, ?3, ?4, file_id, ?6 FROM file WHERE id = ?5 ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                stream,
                seen.name,
                seen.kind,
                at.as_second(),
                file.row,
                news.then_some(drift)
            ])?;
        (known, count) = (known + new, count + new);
    }
    if !news || count == 0 {
        return Ok(Vec::new());
    }
    let found: Vec<DriftRow> = connection
        .prepare_cached(&format!(
            "{SELECT} WHERE drift IS NOT NULL AND shape.stream = ?1
             AND file_id = (SELECT file_id FROM file WHERE id = ?2)"
        ))?
        .query_map([stream, file.row], read)?
        .collect::<rusqlite::Result<_>>()?;
    tell(connection, &found, at)?;
    Ok(found)
}

fn has_name(connection: &Connection, stream: i64, name: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM shape WHERE stream = ?1 AND name = ?2 AND type <> 'action')",
        )?
        .query_row(params![stream, name], |row| row.get(0))
}

fn tell(connection: &Connection, found: &[DriftRow], at: Timestamp) -> rusqlite::Result<()> {
    let Some(first) = found.first() else { return Ok(()) };
    let changes: Vec<_> = found
        .iter()
        .take(limits::DRIFT_SHOWN)
        .map(|one| json!({ "kind": one.kind, "name": one.name, "json_type": one.json_type }))
        .collect();
    let more = found.len() - changes.len();
    let details = json!({ "log_file_id": first.log_file_id, "changes": changes, "more": more });
    let target = Target::new("stream", format!("{}/{}", first.principal, first.event_type));
    own::append(connection, &Stamp::program(at), &Event::new(Action::DriftSeen, target, details))
}

impl Ledger {
    /// All that a stream has shown so far: names, with their types.
    pub async fn shape(&self, stream: StreamId) -> Result<Vec<(String, String)>, LedgerError> {
        self.call(move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT name, type FROM shape WHERE stream = ?1")?;
            statement.query_map([stream.0], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
        .await
    }
}
