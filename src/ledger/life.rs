//! What the ledger knows of one log file, for `explain`; reads only.

use rusqlite::{OptionalExtension, Row};

use super::{LedgerError, Viewer};

/// A log file, whatever became of it.
#[derive(Clone, Debug)]
pub struct FileLife {
    /// Kind of its principal.
    pub principal_kind: String,
    /// Whose it is.
    pub principal: String,
    /// Of which type.
    pub event_type: String,
    /// Its id upstream.
    pub file_id: String,
    /// Verbatim.
    pub end_time: String,
    /// Seconds since 1970.
    pub end_at: i64,
    /// When it was first listed, seconds since 1970.
    pub listed_at: i64,
    /// `pending`, `spooled` or `hole`.
    pub state: String,
    /// As stored, or as listed.
    pub sha256: Option<[u8; 32]>,
    /// Its place in the spool, once it has one.
    pub sequence: Option<u64>,
    /// RFC 3339.
    pub fetched_at: Option<String>,
    /// The recognisable part of the key.
    pub fetched_with: Option<String>,
    /// Length as stored.
    pub bytes: u64,
    /// Records.
    pub records: u64,
    /// Encoded by the spool.
    pub repeats: Vec<u8>,
    /// Whether the spool holds it no more.
    pub removed: bool,
    /// Fetches that failed.
    pub attempts: u32,
    /// Why it is a hole, or what went wrong last.
    pub trouble: Option<String>,
}

/// The object of an archive that holds a log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectLife {
    /// The archive.
    pub sink: String,
    /// Its name there.
    pub key: String,
}

const SELECT: &str =
    "SELECT principal_kind, principal, event_type, file_id, end_time, end_at, file.listed_at,
    file.state, sha256, sequence, fetched_at, fetched_with, coalesce(bytes, 0), coalesce(records, 0),
    coalesce(repeats, x''), removed, attempts, coalesce(reason, file.last_error)
    FROM file JOIN stream ON stream.id = file.stream";

fn read(row: &Row<'_>) -> rusqlite::Result<FileLife> {
    Ok(FileLife {
        principal_kind: row.get(0)?,
        principal: row.get(1)?,
        event_type: row.get(2)?,
        file_id: row.get(3)?,
        end_time: row.get(4)?,
        end_at: row.get(5)?,
        listed_at: row.get(6)?,
        state: row.get(7)?,
        sha256: row.get::<_, Option<Vec<u8>>>(8)?.and_then(|blob| blob.try_into().ok()),
        sequence: row.get(9)?,
        fetched_at: row.get(10)?,
        fetched_with: row.get(11)?,
        bytes: row.get(12)?,
        records: row.get(13)?,
        repeats: row.get(14)?,
        removed: row.get::<_, i64>(15)? != 0,
        attempts: row.get(16)?,
        trouble: row.get(17)?,
    })
}

impl Viewer {
    /// The log files of this id, of every stream: there is one at most as long as upstream's ids are unique.
    pub fn file_lives(&self, file_id: &str) -> Result<Vec<FileLife>, LedgerError> {
        self.view(|connection| {
            connection
                .prepare_cached(&format!(
                    "{SELECT} WHERE file.stream IN (SELECT id FROM stream) AND file_id = ?1 ORDER BY sequence"
                ))?
                .query_map([file_id], read)?
                .collect()
        })
    }

    /// The log file at a place in the spool.
    pub fn file_life(&self, sequence: u64) -> Result<Option<FileLife>, LedgerError> {
        self.view(|connection| {
            connection
                .prepare_cached(&format!("{SELECT} WHERE sequence = ?1"))?
                .query_row([sequence], read)
                .optional()
        })
    }

    /// The objects that hold the log file at this place.
    pub fn object_lives(&self, sequence: u64) -> Result<Vec<ObjectLife>, LedgerError> {
        self.view(|connection| {
            connection
                .prepare_cached("SELECT sink, key FROM archived WHERE sequence = ?1 ORDER BY sink")?
                .query_map([sequence], |row| Ok(ObjectLife { sink: row.get(0)?, key: row.get(1)? }))?
                .collect()
        })
    }
}
