//! Our own audit trail: events that wait to become a log file, and the content of the files made of them.
//!
//! An event that belongs to a change is appended in the transaction of that change, so neither is there without
//! the other. Events are numbered without gaps. The bytes of a file are here, with its pending row, before
//! anything is written, so a crash repeats the same bytes. Never holds content, a secret, or the configuration.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::files::pending;
use super::{Ledger, LedgerError, PendingFile, StreamId};
use crate::digest::{hex, sha256};
use crate::limits;
use crate::words::{OWN_EVENT_TYPE, PrincipalKind};

/// What an event may not say twice.
const RESERVED: [&str; 8] =
    ["event_id", "type", "timestamp", "sequence", "principal", "actor", "action", "target"];

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Action {
    /// A daemon, or a run with an end, began.
    DaemonStarted,
    /// It came to its end by itself.
    DaemonStopped,
    /// It began with another configuration file than the one before.
    ConfigurationChanged,
    /// A key to sign with was made.
    SigningKeyCreated,
    /// Another key signs from now on.
    SigningKeyChanged,
    /// A chain has its first manifest by this key.
    SigningKeyUsed,
    /// A manifest is in its archive: the head of its chain.
    ManifestSealed,
    /// Something could not be had.
    HoleRecorded,
    /// What could not be had is listed once more.
    HoleListedAgain,
    /// Somebody wants it tried again.
    HoleRetried,
    /// Somebody has seen it.
    HoleAcknowledged,
    /// A stream was listed, or is to be, from further back than its cursor asks for.
    CursorRepaired,
    /// Somebody wants dead letters tried again.
    DeadLettersRetried,
    /// Records show what their stream never showed before.
    DriftSeen,
    /// Archived records are delivered again.
    ReplayStarted,
    /// That is over.
    ReplayFinished,
    /// Records were put together for somebody.
    CaseMade,
    /// The data folder was made anew from an archive.
    Rebuilt,
    /// A test event was sent through a sink.
    SendTest,
}

impl Action {
    fn name(self) -> String {
        json!(self).as_str().unwrap_or_default().to_owned()
    }
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Actor {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<String>,
}

impl Actor {
    /// The program by itself.
    pub fn program() -> Self {
        Self { kind: "SYSTEM", id: "custodex".to_owned(), name: None, on_behalf_of: None }
    }

    /// A user of this machine, by number and name; `on_behalf_of` is what `sudo` says of who is behind it.
    pub fn user(id: u32, name: Option<String>, on_behalf_of: Option<String>) -> Self {
        Self { kind: "USER", id: id.to_string(), name, on_behalf_of }
    }
}

/// Who did something, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
}

impl Stamp {
    /// The program itself, at this moment.
    pub fn program(at: Timestamp) -> Self {
        Self { at, actor: Actor::program() }
    }

    pub(super) fn at_second(second: i64) -> Self {
        Self::program(Timestamp::from_second(second).unwrap_or_default())
    }
}

/// What was acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    kind: String,
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl Target {
    /// A thing of this kind with this id.
    pub fn new(kind: &str, id: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), id: id.into(), name: None }
    }

    /// The same with a name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    action: Action,
    target: Target,
    details: Map<String, Value>,
}

impl Event {
    /// What happened to what; `details` is an object of more, with names of its own.
    pub fn new(action: Action, target: Target, details: Value) -> Self {
        let details = if let Value::Object(details) = details { details } else { Map::new() };
        Self { action, target, details }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    actor: &'a Actor,
    action: Action,
    target: &'a Target,
    #[serde(flatten)]
    details: Map<String, Value>,
}

/// Appends an event to the transaction at hand.
pub(super) fn append(connection: &Connection, stamp: &Stamp, event: &Event) -> rusqlite::Result<()> {
    let mut details = event.details.clone();
    details.retain(|name, _| !RESERVED.contains(&name.as_str()));
    let body = Body { actor: &stamp.actor, action: event.action, target: &event.target, details };
    let body = serde_json::to_string(&body)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    connection
        .prepare_cached("INSERT INTO own_event (at, action, body) VALUES (?1, ?2, ?3)")?
        .execute(params![stamp.at.to_string(), event.action.name(), body])
        .map(drop)
}

/// What a run begins with.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// This custodex.
    pub instance: String,
    /// `daemon`, or how a run with an end collects.
    pub mode: &'static str,
    /// SHA-256 of the configuration file.
    pub configuration: [u8; 32],
    /// Id of the key that signs.
    pub key_id: String,
    /// The key lies in the data folder, and is none that was given.
    pub key_is_ours: bool,
}

/// A file of the trail that is to be written into the spool.
#[derive(Clone, Debug)]
pub struct OwnFile {
    /// Its row.
    pub file: PendingFile,
    /// Its bytes.
    pub content: Vec<u8>,
}

fn state(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM own_state WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// Remembers a value; answers the one before.
fn replace(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<Option<String>> {
    let before = state(connection, name)?;
    let put =
        "INSERT INTO own_state (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
    connection.prepare_cached(put)?.execute([name, value])?;
    Ok(before)
}

fn begin(connection: &Connection, run: &Beginning, at: Timestamp) -> rusqlite::Result<()> {
    let stamp = Stamp::program(at);
    let target = || Target::new("instance", run.instance.clone());
    let configuration = hex(&run.configuration);
    let before = replace(connection, "configuration", &configuration)?;
    let crashed = replace(connection, "running", "1")?.is_some();
    let last_end = before.as_ref().map(|_| if crashed { "unclean" } else { "clean" });
    let version = env!("CARGO_PKG_VERSION");
    let details = json!({ "version": version, "mode": run.mode, "configuration_sha256": configuration, "last_end": last_end });
    append(connection, &stamp, &Event::new(Action::DaemonStarted, target(), details))?;
    if let Some(before) = before.filter(|before| *before != configuration) {
        let target = Target::new("configuration", configuration).named(run.instance.clone());
        let details = json!({ "previous_sha256": before });
        append(connection, &stamp, &Event::new(Action::ConfigurationChanged, target, details))?;
    }
    let before = replace(connection, "signing_key", &run.key_id)?;
    if before.as_ref() != Some(&run.key_id) {
        let made = before.is_none() && run.key_is_ours;
        let action = if made { Action::SigningKeyCreated } else { Action::SigningKeyChanged };
        let origin = if run.key_is_ours { "data_dir" } else { "configuration" };
        let details = json!({ "origin": origin, "previous_key_id": before });
        append(
            connection,
            &stamp,
            &Event::new(action, Target::new("signing_key", run.key_id.clone()), details),
        )?;
    }
    Ok(())
}

/// The file that is to be written now: one that a crash or a full disk left, or one of what waits.
fn next(connection: &Connection, instance: &str, now: i64) -> rusqlite::Result<Option<OwnFile>> {
    let read = |row: &rusqlite::Row<'_>| Ok(OwnFile { file: pending(row)?, content: row.get(11)? });
    let mut statement = connection.prepare_cached(
        "SELECT id, stream, file_id, end_time, end_at, size, sha256, attempts, next_attempt,
         iif(damaged = 1, sequence, NULL), listed_at, content
         FROM own_file JOIN file ON file.id = own_file.file
         WHERE own = 1 AND (state = 'pending' OR (damaged = 1 AND removed = 0)) ORDER BY file.id LIMIT 1",
    )?;
    if let Some(left) = statement.query_row([], read).optional()? {
        return Ok(Some(left));
    }
    seal(connection, instance, now)?;
    statement.query_row([], read).optional()
}

/// Makes a pending file of the events that wait, of so many as one file holds.
fn seal(connection: &Connection, instance: &str, now: i64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("SELECT id, at, body FROM own_event ORDER BY id")?;
    let mut rows = statement.query([])?;
    let (mut content, mut newest, mut last, mut count) = (String::new(), Timestamp::MIN, 0_i64, 0);
    while let Some(row) = rows.next()? {
        let (id, at, body): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        content.push_str(&line(instance, id, &at, &body));
        newest = newest.max(at.parse().unwrap_or(Timestamp::MIN));
        (last, count) = (id, count + 1);
        if count >= limits::OWN_FILE_EVENTS || content.len() >= limits::OWN_FILE_BYTES {
            break;
        }
    }
    if count == 0 {
        return Ok(());
    }
    let hash = sha256(content.as_bytes());
    let row: i64 = connection.query_row(
        "INSERT INTO file (stream, file_id, end_time, end_at, listed_at, size, sha256, state, own)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'pending', 1) RETURNING id",
        params![
            stream(connection, instance, now)?,
            format!("custodex-{}", hex(&hash[..16])),
            newest.to_string(),
            newest.as_second(),
            now,
            content.len() as u64,
            hash
        ],
        |row| row.get(0),
    )?;
    connection.execute(
        "INSERT INTO own_file (file, content) VALUES (?1, ?2)",
        params![row, content.into_bytes()],
    )?;
    connection.execute("DELETE FROM own_event WHERE id <= ?1", [last]).map(drop)
}

/// The trail's stream: of no source, so never enabled.
fn stream(connection: &Connection, instance: &str, now: i64) -> rusqlite::Result<i64> {
    connection.query_row(
        "INSERT INTO stream (principal_kind, principal, event_type, source, enabled, started_at)
         VALUES (?1, ?2, ?3, 'custodex', 0, ?4)
         ON CONFLICT (principal, event_type) DO UPDATE SET source = source RETURNING id",
        params![PrincipalKind::Instance.as_str(), instance, OWN_EVENT_TYPE, now],
        |row| row.get(0),
    )
}

/// An event as a record: the same for the same event.
fn line(instance: &str, id: i64, at: &str, body: &str) -> String {
    let digest = sha256(format!("custodex\0{instance}\0{id}\0{at}\0{body}").as_bytes());
    let principal = json!({ "id": instance, "type": PrincipalKind::Instance.upstream() });
    format!(
        "{{\"event_id\":\"{}\",\"type\":\"{OWN_EVENT_TYPE}\",\"timestamp\":{},\"sequence\":{id},\
         \"principal\":{principal},{}\n",
        hex(&digest[..16]),
        json!(at),
        body.trim_start_matches('{'),
    )
}

impl Ledger {
    /// Appends an event that belongs to no change of the ledger.
    pub async fn append_event(&self, stamp: Stamp, event: Event) -> Result<(), LedgerError> {
        self.call(move |connection| append(connection, &stamp, &event)).await
    }

    /// The trail's stream.
    pub async fn own_stream(&self, instance: String, now: i64) -> Result<StreamId, LedgerError> {
        self.call(move |connection| stream(connection, &instance, now).map(StreamId)).await
    }

    /// Events are numbered on from here; for a ledger that has none yet.
    pub async fn resume_trail(&self, last: u64) -> Result<(), LedgerError> {
        self.call(move |connection| {
            // The table remembers the largest number it ever gave.
            let number = "INSERT INTO own_event (id, at, action, body) VALUES (?1, '', '', '{}')";
            connection.execute(number, [last])?;
            connection.execute("DELETE FROM own_event WHERE id = ?1", [last]).map(drop)
        })
        .await
    }

    /// A run begins: says so, and what has changed since the last one.
    pub async fn begin_run(&self, run: Beginning, at: Timestamp) -> Result<(), LedgerError> {
        self.call(move |connection| begin(connection, &run, at)).await
    }

    /// The run has ended in order.
    pub async fn end_run(&self) -> Result<(), LedgerError> {
        self.call(|connection| {
            connection.execute("DELETE FROM own_state WHERE name = 'running'", []).map(drop)
        })
        .await
    }

    /// The file of the trail that is to be written now, made of what waits if there is no other.
    pub async fn next_own_file(&self, instance: String, now: i64) -> Result<Option<OwnFile>, LedgerError> {
        self.call(move |connection| next(connection, &instance, now)).await
    }

    /// Forgets all but the newest events, while nobody wants them.
    pub async fn trim_events(&self, keep: u64) -> Result<(), LedgerError> {
        self.call(move |connection| {
            let trim = "DELETE FROM own_event WHERE id <= (SELECT max(id) FROM own_event) - ?1";
            connection.execute(trim, [keep]).map(drop)
        })
        .await
    }

    /// Whether a file of the trail is next for a sink that is well: it will be past it in a moment.
    pub async fn own_file_is_next(&self) -> Result<bool, LedgerError> {
        self.call(|connection| {
            connection.query_row(
                "SELECT EXISTS (SELECT 1 FROM sink JOIN file ON file.sequence = sink.sequence
                 WHERE enabled = 1 AND sink.state = 'ok' AND file.own = 1)",
                [],
                |row| row.get(0),
            )
        })
        .await
    }
}

#[cfg(test)]
mod tests;
