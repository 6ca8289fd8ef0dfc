//! Streams: cursor, coverage and state.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;

use super::own::{self, Action, Event, Stamp, Target};
use super::{Interval, Ledger, LedgerError, coverage, files};
use crate::words::{Principal, PrincipalKind};

/// Names a stream's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub(super) i64);

/// How a stream fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamState {
    /// Listed without trouble.
    Ok,
    /// The key is refused; everything under it waits.
    Waiting,
    /// The key may not read this stream.
    Denied,
    /// The provider does not know this event type here.
    Unsupported,
    /// Something that passes by itself.
    Failing,
}

impl StreamState {
    /// The word `status` shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Waiting => "waiting",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::Failing => "failing",
        }
    }

    fn parse(text: &str) -> Self {
        [Self::Ok, Self::Waiting, Self::Denied, Self::Unsupported]
            .into_iter()
            .find(|state| state.as_str() == text)
            .unwrap_or(Self::Failing)
    }
}

/// One stream, with its accounts. Times are seconds since 1970.
#[derive(Clone, Debug)]
pub struct StreamRow {
    /// The row.
    pub id: StreamId,
    /// Whose stream.
    pub principal: Principal,
    /// What it carries.
    pub event_type: String,
    /// The source that covers it.
    pub source: String,
    /// How far back the first listing reaches.
    pub started_at: i64,
    /// `last_end_time` of the last page, verbatim.
    pub cursor: Option<String>,
    /// The first moment that was not listed completely, and is not known to be gone.
    pub uncovered: i64,
    /// End of the last complete listing.
    pub listed_at: Option<i64>,
    /// When the whole retention window was last listed.
    pub swept_at: Option<i64>,
    /// How it fares.
    pub state: StreamState,
    /// What went wrong last, while it does.
    pub last_error: Option<String>,
    /// The next step for an operator.
    pub hint: Option<String>,
    /// The latest a file appeared after newer ones, seconds.
    pub lateness_max: i64,
    /// Files in the spool or once in it.
    pub files_collected: i64,
    /// Their records.
    pub records_collected: i64,
    /// Listed, not collected yet.
    pub files_pending: i64,
    /// `end_time` of the oldest of them.
    pub oldest_pending: Option<i64>,
    /// Pending files that fail again and again.
    pub files_failing: i64,
    /// Why one of them did.
    pub failing_error: Option<String>,
    /// Listed and gone.
    pub holes: i64,
    /// Holes nobody acknowledged.
    pub holes_open: i64,
}

/// One row of a listing.
#[derive(Clone, Debug)]
pub struct PageEntry {
    /// The file id.
    pub file_id: String,
    /// Verbatim.
    pub end_time: String,
    /// Parsed, or the time of the listing when it is unreadable.
    pub end_at: i64,
    /// As listed.
    pub size: Option<u64>,
    /// As listed.
    pub sha256: Option<[u8; 32]>,
}

const SELECT: &str = "SELECT id, principal_kind, principal, event_type, source, started_at, cursor,
    listed_at, swept_at, state, last_error, hint, lateness_max, files_collected,
    records_collected,
    (SELECT count(*) FROM file WHERE stream = stream.id AND state = 'pending'),
    (SELECT min(end_at) FROM file WHERE stream = stream.id AND state = 'pending'),
    (SELECT count(*) FROM file WHERE stream = stream.id AND state = 'pending' AND attempts >= 6)
        + (SELECT count(*) FROM file WHERE stream = stream.id AND damaged = 1 AND attempts >= 6),
    coalesce(
        (SELECT last_error FROM file WHERE stream = stream.id AND state = 'pending' AND attempts >= 6 LIMIT 1),
        (SELECT last_error FROM file WHERE stream = stream.id AND damaged = 1 AND attempts >= 6 LIMIT 1)),
    (SELECT count(*) FROM file WHERE stream = stream.id AND state = 'hole'),
    (SELECT count(*) FROM file WHERE stream = stream.id AND state = 'hole' AND acknowledged = 0)
    FROM stream";

fn read(row: &Row<'_>) -> rusqlite::Result<StreamRow> {
    let kind: String = row.get(1)?;
    let state: String = row.get(9)?;
    Ok(StreamRow {
        id: StreamId(row.get(0)?),
        principal: Principal {
            kind: PrincipalKind::parse(&kind).unwrap_or(PrincipalKind::Workspace),
            id: row.get(2)?,
        },
        event_type: row.get(3)?,
        source: row.get(4)?,
        started_at: row.get(5)?,
        cursor: row.get(6)?,
        uncovered: 0,
        listed_at: row.get(7)?,
        swept_at: row.get(8)?,
        state: StreamState::parse(&state),
        last_error: row.get(10)?,
        hint: row.get(11)?,
        lateness_max: row.get(12)?,
        files_collected: row.get(13)?,
        records_collected: row.get(14)?,
        files_pending: row.get(15)?,
        oldest_pending: row.get(16)?,
        files_failing: row.get(17)?,
        failing_error: row.get(18)?,
        holes: row.get(19)?,
        holes_open: row.get(20)?,
    })
}

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<StreamRow>> {
    let mut statement = connection
        .prepare_cached(&format!("{SELECT} WHERE enabled = 1 ORDER BY source, principal, event_type"))?;
    let rows: Vec<StreamRow> = statement.query_map([], read)?.collect::<Result<_, _>>()?;
    rows.into_iter().map(|row| with_coverage(connection, row)).collect()
}

fn with_coverage(connection: &Connection, row: StreamRow) -> rusqlite::Result<StreamRow> {
    Ok(StreamRow { uncovered: coverage::uncovered(connection, row.id, row.started_at)?, ..row })
}

/// What the ledger knows of a listed file.
enum Known {
    New,
    /// Nothing new.
    Same,
    /// It is to be fetched (again), as it is listed now: its size or hash was corrected, or it was a hole.
    Again {
        row: i64,
        hole: bool,
    },
    /// It is spooled, and is listed with another hash now.
    Other,
}

fn known(connection: &Connection, stream: StreamId, entry: &PageEntry) -> rusqlite::Result<Known> {
    let row = connection
        .prepare_cached("SELECT id, state, size, sha256 FROM file WHERE stream = ?1 AND file_id = ?2")?
        .query_row(params![stream.0, entry.file_id], |row| {
            let (size, sha256): (Option<u64>, Option<Vec<u8>>) = (row.get(2)?, row.get(3)?);
            Ok((row.get(0)?, row.get::<_, String>(1)?, size, sha256))
        })
        .optional()?;
    let Some((row, state, size, sha256)) = row else { return Ok(Known::New) };
    let same_hash = entry.sha256.is_none_or(|listed| sha256.as_deref() == Some(&listed[..]));
    Ok(match state.as_str() {
        "hole" => Known::Again { row, hole: true },
        "pending" if !same_hash || (entry.size.is_some() && entry.size != size) => {
            Known::Again { row, hole: false }
        }
        "spooled" if !same_hash => Known::Other,
        _ => Known::Same,
    })
}

fn insert(connection: &Connection, id: StreamId, entry: &PageEntry, now: i64) -> rusqlite::Result<()> {
    let size = entry.size.and_then(|size| i64::try_from(size).ok());
    connection
        .prepare_cached(
            "INSERT INTO file (stream, file_id, end_time, end_at, listed_at, size, sha256, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'pending')",
        )?
        .execute(params![id.0, entry.file_id, entry.end_time, entry.end_at, now, size, entry.sha256])
        .map(drop)
}

fn list_again(connection: &Connection, row: i64, entry: &PageEntry) -> rusqlite::Result<()> {
    let size = entry.size.and_then(|size| i64::try_from(size).ok());
    connection
        .prepare_cached(
            "UPDATE file SET state = 'pending', size = ?2, sha256 = ?3, next_attempt = 0, reason = NULL,
             acknowledged = 0 WHERE id = ?1",
        )?
        .execute(params![row, size, entry.sha256])
        .map(drop)
}

/// A log file is immutable: another hash under its id is an alarm. The first version is kept.
fn changed(connection: &Connection, id: StreamId, entry: &PageEntry, now: i64) -> rusqlite::Result<()> {
    let hash = entry.sha256.map(|hash| crate::digest::hex(&hash[..4])).unwrap_or_default();
    let name = format!("changed-{hash}-{}", entry.file_id);
    let reason = "listed again with another sha256, though log files never change; the first version is kept";
    gap(connection, id, &name, (&entry.end_time, entry.end_at), now, reason)
}

/// A hole for what could never be listed, once for each name.
fn gap(
    connection: &Connection,
    id: StreamId,
    name: &str,
    (end_time, end_at): (&str, i64),
    now: i64,
    reason: &str,
) -> rusqlite::Result<()> {
    let row = connection
        .prepare_cached(
            "INSERT INTO file (stream, file_id, end_time, end_at, listed_at, state, reason)
             VALUES (?1, 'gap:' || ?2, ?3, ?4, ?5, 'hole', ?6) ON CONFLICT DO NOTHING RETURNING id",
        )?
        .query_row(params![id.0, name, end_time, end_at, now, reason], |row| row.get(0))
        .optional()?;
    row.map_or(Ok(()), |row| files::tell(connection, row, Action::HoleRecorded, &Stamp::at_second(now)))
}

/// Says that a stream is listed from further back than its cursor asks for.
fn repaired(
    connection: &Connection,
    id: StreamId,
    (from, instead_of): (i64, i64),
    reason: &str,
    now: i64,
) -> rusqlite::Result<()> {
    let text = |second| Timestamp::from_second(second).unwrap_or_default().to_string();
    let stream: String = connection
        .prepare_cached("SELECT principal || '/' || event_type FROM stream WHERE id = ?1")?
        .query_row([id.0], |row| row.get(0))?;
    let details = json!({ "from": text(from), "instead_of": text(instead_of), "reason": reason });
    let event = Event::new(Action::CursorRepaired, Target::new("stream", stream), details);
    own::append(connection, &Stamp::at_second(now), &event)
}

impl Ledger {
    /// Marks every stream as not configured; [`Self::enable_stream`] follows for those that are.
    pub async fn disable_streams(&self) -> Result<(), LedgerError> {
        self.call(|connection| connection.execute("UPDATE stream SET enabled = 0", []).map(drop)).await
    }

    /// Finds the stream, or starts it at `started_at`; one that began later is listed from there.
    pub async fn enable_stream(
        &self,
        source: String,
        principal: Principal,
        event_type: String,
        started_at: i64,
        now: i64,
    ) -> Result<StreamId, LedgerError> {
        self.call(move |connection| {
            let before: Option<i64> = connection
                .prepare_cached("SELECT started_at FROM stream WHERE principal = ?1 AND event_type = ?2")?
                .query_row([&principal.id, &event_type], |row| row.get(0))
                .optional()?;
            let id = connection.query_row(
                "INSERT INTO stream (principal_kind, principal, event_type, source, enabled, started_at)
                 VALUES (?1, ?2, ?3, ?4, 1, ?5)
                 ON CONFLICT (principal, event_type) DO UPDATE SET source = ?4, enabled = 1,
                     started_at = min(started_at, ?5)
                 RETURNING id",
                params![principal.kind.as_str(), principal.id, event_type, source, started_at],
                |row| row.get(0).map(StreamId),
            )?;
            if let Some(before) = before.filter(|before| started_at < *before) {
                let reason = "the configuration reaches further back than before: all of it is listed again";
                repaired(connection, id, (started_at, before), reason, now)?;
            }
            Ok(id)
        })
        .await
    }

    /// One stream's row.
    pub async fn stream(&self, id: StreamId) -> Result<StreamRow, LedgerError> {
        self.call(move |connection| {
            let row =
                connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?.query_row([id.0], read)?;
            with_coverage(connection, row)
        })
        .await
    }

    /// Records a page in one transaction: a pending row for every new id, the cursor, and what the page
    /// covers.
    ///
    /// The cursor only ever moves forward. Answers how many files there are to fetch now.
    pub async fn record_page(
        &self,
        id: StreamId,
        entries: Vec<PageEntry>,
        cursor: Option<String>,
        covered: Option<Interval>,
        now: i64,
    ) -> Result<usize, LedgerError> {
        self.call(move |connection| {
            let mut new = 0;
            let newest: Option<i64> = connection
                .query_row(
                    // What a rebuilt ledger does not know was lost with the old one, and is not late.
                    "SELECT end_at FROM file WHERE stream = ?1 AND listed_at < ?2 AND NOT EXISTS (
                         SELECT 1 FROM stream WHERE id = ?1 AND swept_at = 0 AND listed_at IS NULL)
                     ORDER BY end_at DESC LIMIT 1",
                    params![id.0, now],
                    |row| row.get(0),
                )
                .optional()?;
            let mut lateness = 0;
            for entry in entries {
                match known(connection, id, &entry)? {
                    Known::New => {
                        insert(connection, id, &entry, now)?;
                        new += 1;
                        lateness = lateness.max(newest.map_or(0, |newest| newest - entry.end_at));
                    }
                    Known::Again { row, hole } => {
                        if hole {
                            files::tell(connection, row, Action::HoleListedAgain, &Stamp::at_second(now))?;
                        }
                        list_again(connection, row, &entry)?;
                        new += 1;
                    }
                    Known::Other => changed(connection, id, &entry, now)?,
                    Known::Same => {}
                }
            }
            if let Some(interval) = covered {
                coverage::record(connection, id, interval, now)?;
            }
            connection
                .prepare_cached(
                    "UPDATE stream SET cursor = coalesce(?2, cursor), lateness_max = max(lateness_max, ?3)
                     WHERE id = ?1",
                )?
                .execute(params![id.0, cursor, lateness])?;
            Ok(new)
        })
        .await
    }

    /// Records something that can never be listed as a hole of its own, once for each `name`.
    pub async fn record_gap(
        &self,
        id: StreamId,
        name: String,
        moment: (String, i64),
        reason: &'static str,
        now: i64,
    ) -> Result<(), LedgerError> {
        self.call(move |connection| {
            let (end_time, end_at) = moment;
            gap(connection, id, &name, (&end_time, end_at), now, reason)
        })
        .await
    }

    /// Records that these moments expired before they were listed.
    pub async fn record_expired(
        &self,
        id: StreamId,
        from: i64,
        until: i64,
        now: i64,
    ) -> Result<(), LedgerError> {
        let expired = Interval { from, until, listed_at: None };
        self.call(move |connection| coverage::record(connection, id, expired, now)).await
    }

    /// Records that a complete listing saw everything there was in an interval; `repairs` is where it would
    /// have begun but for an earlier stretch that no listing had seen completely.
    pub async fn record_listing(
        &self,
        id: StreamId,
        covered: Interval,
        now: i64,
        swept: bool,
        repairs: Option<i64>,
    ) -> Result<(), LedgerError> {
        self.call(move |connection| {
            coverage::record(connection, id, covered, now)?;
            if let Some(usual) = repairs {
                let reason = "an earlier stretch was never listed completely: it has been now";
                repaired(connection, id, (covered.from, usual), reason, now)?;
            }
            connection
                .prepare_cached(
                    "UPDATE stream SET listed_at = ?2, swept_at = CASE WHEN ?3 THEN ?2 ELSE swept_at END,
                     learned = coalesce(learned, (SELECT coalesce(max(id), 0) FROM file WHERE stream = ?1)),
                     state = 'ok', last_error = NULL, hint = NULL WHERE id = ?1",
                )?
                .execute(params![id.0, now, swept])
                .map(drop)
        })
        .await
    }

    /// Records how a stream fares.
    pub async fn record_stream_state(
        &self,
        id: StreamId,
        state: StreamState,
        error: Option<String>,
        hint: Option<String>,
    ) -> Result<(), LedgerError> {
        self.call(move |connection| {
            connection
                .prepare_cached("UPDATE stream SET state = ?2, last_error = ?3, hint = ?4 WHERE id = ?1")?
                .execute(params![id.0, state.as_str(), error, hint])
                .map(drop)
        })
        .await
    }
}
