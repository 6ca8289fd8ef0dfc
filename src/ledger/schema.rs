//! Tables, their migrations and the settings that make a commit durable.
//!
//! Every version of the schema is one entry of [`MIGRATIONS`]; an entry is never changed after a release.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::LedgerError;
use crate::disk::PRIVATE_FILE;
use crate::limits;

/// The version this program writes: `PRAGMA user_version`.
pub const SCHEMA_VERSION: i64 = 1;

const MIGRATIONS: &[&str] = &["
CREATE TABLE stream (
    id INTEGER PRIMARY KEY,
    principal_kind TEXT NOT NULL,
    principal TEXT NOT NULL,
    event_type TEXT NOT NULL,
    source TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    started_at INTEGER NOT NULL,         -- how far back the first listing reaches
    cursor TEXT,                         -- last_end_time, verbatim
    listed_at INTEGER,                   -- end of the last complete listing
    swept_at INTEGER,
    state TEXT NOT NULL DEFAULT 'ok',
    last_error TEXT,
    hint TEXT,
    lateness_max INTEGER NOT NULL DEFAULT 0,
    files_collected INTEGER NOT NULL DEFAULT 0,
    records_collected INTEGER NOT NULL DEFAULT 0,
    learned INTEGER,                     -- the last file row of the first complete listing: no drift up to it
    UNIQUE (principal, event_type)
) STRICT;
CREATE TABLE coverage (
    stream INTEGER NOT NULL REFERENCES stream (id),
    from_at INTEGER NOT NULL,
    until_at INTEGER NOT NULL,
    listed_at INTEGER,                   -- completely; null for what expired before it was
    PRIMARY KEY (stream, from_at)
) STRICT, WITHOUT ROWID;
CREATE TABLE unclaimed (                 -- event types with log files that no source collects
    principal TEXT NOT NULL,
    event_type TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (principal, event_type)
) STRICT, WITHOUT ROWID;
CREATE TABLE file (
    id INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL REFERENCES stream (id),
    file_id TEXT NOT NULL,               -- `gap:…` for what could never be listed
    end_time TEXT NOT NULL,              -- verbatim
    end_at INTEGER NOT NULL,
    listed_at INTEGER NOT NULL,
    size INTEGER,                        -- as listed
    sha256 BLOB,                         -- as listed; as stored once it is spooled
    state TEXT NOT NULL CHECK (state IN ('pending', 'spooled', 'hole')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    sequence INTEGER UNIQUE,
    fetched_at TEXT,
    fetched_with TEXT,                   -- the key, as upstream shows it
    bytes INTEGER,
    records INTEGER,
    malformed INTEGER,
    records_before INTEGER,              -- in all files with a smaller sequence
    repeats BLOB,
    removed INTEGER NOT NULL DEFAULT 0   -- 1: every sink was past it; 2: early, an archive has it
        CHECK (removed IN (0, 1, 2)),
    damaged INTEGER NOT NULL DEFAULT 0,  -- what lies in the spool is not what was spooled
    reason TEXT,
    acknowledged INTEGER NOT NULL DEFAULT 0,
    own INTEGER NOT NULL DEFAULT 0,      -- our own audit trail, listed nowhere
    UNIQUE (stream, file_id)
) STRICT;
CREATE INDEX file_pending ON file (stream, end_at) WHERE state = 'pending';
CREATE INDEX file_end ON file (stream, end_at);
CREATE INDEX file_hole ON file (stream) WHERE state = 'hole';
CREATE INDEX file_damaged ON file (stream) WHERE damaged = 1;
CREATE INDEX file_own ON file (sequence) WHERE own = 1;
CREATE INDEX file_kept ON file (sequence) WHERE state = 'spooled' AND removed = 0;
CREATE TABLE sink (
    name TEXT PRIMARY KEY,
    type TEXT NOT NULL,
    guarantee TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    start INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    record INTEGER NOT NULL,
    memory BLOB,                         -- what the sink must know again after a crash
    delivered INTEGER NOT NULL DEFAULT 0,
    repeats INTEGER NOT NULL DEFAULT 0,
    deselected INTEGER NOT NULL DEFAULT 0,
    dead_letters INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'ok',
    last_error TEXT,
    hint TEXT,
    own INTEGER NOT NULL DEFAULT 0       -- its select names our own audit trail
) STRICT, WITHOUT ROWID;
CREATE TABLE archived (                  -- objects of archives, as they lie there
    sink TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    key TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    record_root BLOB NOT NULL,
    oldest_event TEXT,
    newest_event TEXT,
    sealed INTEGER NOT NULL DEFAULT 0,   -- a manifest names it
    found INTEGER NOT NULL DEFAULT 0,    -- by a rebuild; nobody saw it fetched
    PRIMARY KEY (sink, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX archived_unsealed ON archived (sink, sequence) WHERE sealed = 0;
CREATE TABLE chain (
    sink TEXT NOT NULL,
    instance TEXT NOT NULL,
    number INTEGER NOT NULL,             -- of the newest manifest
    head BLOB NOT NULL,                  -- sha256 of its envelope
    key_id TEXT NOT NULL,
    written_at INTEGER NOT NULL,
    envelope BLOB,                       -- to be put, exactly so
    PRIMARY KEY (sink, instance)
) STRICT, WITHOUT ROWID;
CREATE TABLE dead_letter (
    id INTEGER PRIMARY KEY,
    sink TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    record INTEGER NOT NULL,
    record_id TEXT NOT NULL,
    principal TEXT NOT NULL,
    event_type TEXT NOT NULL,
    at TEXT NOT NULL,
    reason TEXT NOT NULL,                -- what happened, and what the other side answered
    retry INTEGER NOT NULL DEFAULT 0,
    UNIQUE (sink, sequence, record)
) STRICT;
CREATE TABLE own_event (                 -- of our audit trail, on its way into a log file
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never twice, and without gaps
    at TEXT NOT NULL,
    action TEXT NOT NULL,
    body TEXT NOT NULL                   -- an object: who, what was acted on, and more
) STRICT;
CREATE TABLE own_file (                  -- the log files made of them, as long as the spool holds them
    file INTEGER PRIMARY KEY,            -- its row
    content BLOB NOT NULL
) STRICT;
CREATE TABLE own_state (                 -- what the last run was started with
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE shape (                     -- what the records of a stream have shown so far
    stream INTEGER NOT NULL REFERENCES stream (id),
    name TEXT NOT NULL,                  -- a path, or an action
    type TEXT NOT NULL,                  -- of JSON; `action`
    seen_at INTEGER NOT NULL,
    file_id TEXT NOT NULL,               -- the log file it was seen in first
    drift TEXT,                          -- what was new about it; null for what the stream began with
    PRIMARY KEY (stream, name, type)
) STRICT, WITHOUT ROWID;
CREATE INDEX shape_drift ON shape (seen_at) WHERE drift IS NOT NULL;
"];

/// Opens, checks, migrates.
pub(super) fn open(path: &Path) -> Result<Connection, LedgerError> {
    let wrap = |source| LedgerError::Sqlite { path: path.to_owned(), source: Arc::new(source) };
    private(path).map_err(|source| LedgerError::Disk { path: path.to_owned(), source })?;
    let mut connection = Connection::open(path).map_err(wrap)?;
    connection.busy_timeout(limits::LEDGER_BUSY).map_err(wrap)?;
    check_version(&connection, path)?;
    for (pragma, value, expected) in [
        ("journal_mode", "WAL", "wal"),
        ("synchronous", "FULL", "2"),
        ("foreign_keys", "ON", "1"),
        ("trusted_schema", "OFF", "0"),
    ] {
        connection.pragma_update(None, pragma, value).map_err(wrap)?;
        let read: rusqlite::types::Value =
            connection.pragma_query_value(None, pragma, |row| row.get(0)).map_err(wrap)?;
        let holds = match read {
            rusqlite::types::Value::Text(text) => text == expected,
            rusqlite::types::Value::Integer(number) => number.to_string() == expected,
            _ => false,
        };
        if !holds {
            return Err(LedgerError::Pragma { path: path.to_owned(), pragma });
        }
    }
    connection.pragma_update(None, "cache_size", limits::LEDGER_CACHE_KIB).map_err(wrap)?;
    migrate(&mut connection).map_err(wrap)?;
    Ok(connection)
}

/// Creates the file for its owner only; SQLite gives the same mode to what it puts beside it.
fn private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(PRIVATE_FILE).open(path).map(drop)
}

/// Refuses a database that a newer program wrote.
pub(super) fn check_version(connection: &Connection, path: &Path) -> Result<(), LedgerError> {
    let found = version(connection)
        .map_err(|source| LedgerError::Sqlite { path: path.to_owned(), source: Arc::new(source) })?;
    if found > SCHEMA_VERSION {
        return Err(LedgerError::Newer { path: path.to_owned(), found });
    }
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let found = version(connection)?;
    for (number, script) in (1..).zip(MIGRATIONS.iter().copied()) {
        if number > found {
            let transaction = connection.transaction()?;
            transaction.execute_batch(script)?;
            transaction.pragma_update(None, "user_version", number)?;
            transaction.commit()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_ledger_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let connection = open(&path).unwrap();
        connection.pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
        drop(connection);
        let error = open(&path).unwrap_err();
        assert!(matches!(error, LedgerError::Newer { .. }), "{error}");
    }

    #[test]
    fn the_version_counts_the_migrations() {
        assert_eq!(i64::try_from(MIGRATIONS.len()).unwrap(), SCHEMA_VERSION);
    }

    #[test]
    fn opening_twice_migrates_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        drop(open(&path).unwrap());
        assert_eq!(version(&open(&path).unwrap()).unwrap(), SCHEMA_VERSION);
    }
}
