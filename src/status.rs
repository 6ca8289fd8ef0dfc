//! How custodex fares, as `status` shows it: made from the ledger alone, running or not.
//!
//! Owns the status JSON, whose names are fixed, and the rules for what needs attention. Never changes
//! anything.

use jiff::Timestamp;
use serde::Serialize;

use crate::collect::{self, RETENTION};
use crate::ledger::{
    DriftRow, Facts, Ledger, LedgerError, Pace, SinkRow, StreamRow, StreamState, UnclaimedType, Viewer,
};
use crate::limits;

/// Headroom below the first of these needs attention; each is told once more, seconds.
pub const HEADROOM_ALARMS: [i64; 3] = [20 * 86_400, 10 * 86_400, 3 * 86_400];

/// A stream that fails to be listed for longer than this needs attention, seconds.
const LONG_FAILING: i64 = 3600;

/// The status.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Of the program.
    pub version: &'static str,
    /// RFC 3339.
    pub now: String,
    /// Nothing needs an operator.
    pub healthy: bool,
    /// A daemon answers on the control socket.
    pub running: bool,
    /// The least of all streams; none without streams.
    pub headroom: Option<Headroom>,
    /// What needs attention, for people.
    pub attention: Vec<String>,
    /// What holds log files that no source collects.
    pub unclaimed: Vec<UnclaimedType>,
    /// What streams showed for the first time of late, the newest first.
    pub drift: Vec<DriftRow>,
    /// The spool.
    pub spool: SpoolStatus,
    /// Every enabled stream.
    pub streams: Vec<StreamStatus>,
    /// Every enabled sink.
    pub sinks: Vec<SinkStatus>,
}

/// Time left before something is lost for good.
#[derive(Clone, Debug, Serialize)]
pub struct Headroom {
    /// Seconds.
    pub seconds: i64,
    /// `principal/event type`.
    pub stream: String,
    /// Everything that is there was listed and collected.
    pub caught_up: bool,
    /// While it was not: how long the files listed so far will take at the pace of late, if they move at all.
    pub caught_up_in_seconds: Option<i64>,
}

/// What the spool holds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SpoolStatus {
    /// Bytes of the log files in it.
    pub bytes: u64,
    /// As much as it may hold, or more: collecting waits until the sinks have caught up.
    pub full: bool,
    /// Records ever collected; our own audit trail is none of them.
    pub records_collected: u64,
}

/// One stream.
#[derive(Clone, Debug, Serialize)]
pub struct StreamStatus {
    /// The source that covers it.
    pub source: String,
    /// Whose.
    pub principal: String,
    /// What.
    pub event_type: String,
    /// `ok`, `waiting`, `denied`, `unsupported` or `failing`.
    pub state: &'static str,
    /// `last_end_time`, verbatim.
    pub cursor: Option<String>,
    /// RFC 3339.
    pub last_listed_at: Option<String>,
    /// What went wrong last, while it does.
    pub last_error: Option<String>,
    /// The next step.
    pub hint: Option<String>,
    /// Everything before it was listed completely or has expired; RFC 3339.
    pub covered_until: String,
    /// Files in the spool or once in it.
    pub files_collected: i64,
    /// Files listed and not collected yet.
    pub files_pending: i64,
    /// Of the pending ones, those that fail again and again.
    pub files_failing: i64,
    /// Records of the collected files.
    pub records_collected: i64,
    /// Files listed and gone.
    pub holes: i64,
    /// Of these, not acknowledged.
    pub holes_unacknowledged: i64,
    /// See [`Headroom`].
    pub headroom_seconds: i64,
    /// The latest a file appeared behind newer ones.
    pub lateness_max_seconds: i64,
}

/// One sink.
#[derive(Clone, Debug, Serialize)]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `durable`, `accepted` or `sent`.
    pub guarantee: String,
    /// `ok`, `retrying` or `paused`.
    pub state: String,
    /// What went wrong last, while it does.
    pub last_error: Option<String>,
    /// The next step.
    pub hint: Option<String>,
    /// Records confirmed.
    pub records_delivered: u64,
    /// Records of the spool still to come.
    pub records_pending: u64,
    /// Files with such records.
    pub files_pending: u64,
    /// Records left out because the sink has a copy.
    pub repeats_suppressed: u64,
    /// Records left out by choice.
    pub deselected: u64,
    /// Records this sink can never take.
    pub dead_letters: u64,
    /// When the oldest file still to come was fetched.
    pub oldest_pending: Option<String>,
    /// The next record.
    pub position: PlaceStatus,
}

/// A place in the spool.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PlaceStatus {
    /// The number of the file.
    pub file: u64,
    /// The record in it, from 0.
    pub record: u64,
}

impl Status {
    /// From a ledger that nobody need hold.
    ///
    /// `most` is what the spool may hold, bytes.
    pub fn view(viewer: &Viewer, now: Timestamp, running: bool, most: u64) -> Result<Self, LedgerError> {
        Ok(Self::of(viewer.facts(now.as_second())?, now, running, most))
    }

    /// From the ledger of this process.
    pub async fn read(ledger: &Ledger, now: Timestamp, most: u64) -> Result<Self, LedgerError> {
        Ok(Self::of(ledger.facts(now.as_second()).await?, now, true, most))
    }

    /// From what was read of a ledger.
    pub fn of(facts: Facts, now: Timestamp, running: bool, most: u64) -> Self {
        let Facts { streams: rows, sinks, collected, pace, unclaimed, drift } = facts;
        let (bytes, full) = (collected.spool_bytes, collected.spool_bytes >= most);
        let spool = SpoolStatus { bytes, full, records_collected: collected.records };
        let second = now.as_second();
        let headroom = Headroom::of(&rows, pace, second);
        let streams: Vec<_> = rows.iter().map(|row| stream(row, second)).collect();
        let sinks: Vec<_> = sinks.into_iter().map(sink).collect();
        let mut attention: Vec<String> = rows.iter().flat_map(|row| stream_attention(row, second)).collect();
        attention.extend(sinks.iter().flat_map(sink_attention));
        if full && rows.iter().any(|row| row.files_pending > 0) {
            attention.push("the spool is full: collecting waits until the sinks have caught up".to_owned());
        }
        if let Some(least) = headroom.as_ref().filter(|least| least.alarms() > 0) {
            let left = crate::units::spoken(least.seconds);
            attention.push(format!("{}: {left} left before the provider drops files", least.stream));
        }
        Self {
            version: env!("CARGO_PKG_VERSION"),
            now: now.to_string(),
            healthy: attention.is_empty(),
            running,
            headroom,
            attention,
            unclaimed,
            drift,
            spool,
            streams,
            sinks,
        }
    }

    /// What a run with an end leaves undone, beside what needs attention at any time.
    pub fn unfinished(&self) -> Vec<String> {
        let files: i64 = self.streams.iter().map(|stream| stream.files_pending).sum();
        let mut left: Vec<String> = self.attention.clone();
        if files > 0 {
            left.push(format!("{files} log files are listed and not collected yet"));
        }
        for stream in self.streams.iter().filter(|stream| stream.state == StreamState::Failing.as_str()) {
            let error = stream.last_error.as_deref().unwrap_or("listing failed");
            let line = with_hint(&format!("{}: {error}", stream.event_type), stream.hint.as_deref());
            if !left.contains(&line) {
                left.push(line);
            }
        }
        for sink in self.sinks.iter().filter(|sink| sink.records_pending > 0 && sink.state != "paused") {
            let error = sink.last_error.as_deref().unwrap_or("not delivered yet");
            left.push(format!("sink {}: {} records wait: {error}", sink.name, sink.records_pending));
        }
        left
    }
}

impl Headroom {
    fn of(rows: &[StreamRow], pace: Option<Pace>, now: i64) -> Option<Self> {
        let known = || rows.iter().filter(|row| row.state != StreamState::Unsupported);
        let least = known().min_by_key(|row| headroom(row, now))?;
        let pending: i64 = known().map(|row| row.files_pending).sum();
        let covered =
            |row: &StreamRow| row.uncovered + collect::settle(&row.event_type) + limits::COVERAGE_DUE >= now;
        Some(Self {
            seconds: headroom(least, now),
            stream: format!("{}/{}", least.principal, least.event_type),
            caught_up: pending == 0 && known().all(covered),
            caught_up_in_seconds: pace.filter(|_| pending > 0).and_then(|pace| pace.time_for(pending, now)),
        })
    }

    /// How many of [`HEADROOM_ALARMS`] it is below.
    pub fn alarms(&self) -> usize {
        HEADROOM_ALARMS.iter().filter(|alarm| self.seconds < **alarm).count()
    }
}

/// Seconds until something not yet collected is dropped by the provider.
fn headroom(row: &StreamRow, now: i64) -> i64 {
    let uncovered = row.uncovered.min(now);
    row.oldest_pending.map_or(uncovered, |oldest| oldest.min(uncovered)) + RETENTION - now
}

fn stream(row: &StreamRow, now: i64) -> StreamStatus {
    let listed = row.listed_at.and_then(|at| Timestamp::from_second(at).ok());
    let covered = Timestamp::from_second(row.uncovered).unwrap_or_default();
    StreamStatus {
        source: row.source.clone(),
        principal: row.principal.id.clone(),
        event_type: row.event_type.clone(),
        state: row.state.as_str(),
        cursor: row.cursor.clone(),
        last_listed_at: listed.map(|at| at.to_string()),
        last_error: row.last_error.clone(),
        hint: row.hint.clone(),
        covered_until: covered.to_string(),
        files_collected: row.files_collected,
        files_pending: row.files_pending,
        files_failing: row.files_failing,
        records_collected: row.records_collected,
        holes: row.holes,
        holes_unacknowledged: row.holes_open,
        headroom_seconds: headroom(row, now),
        lateness_max_seconds: row.lateness_max,
    }
}

fn sink(row: SinkRow) -> SinkStatus {
    SinkStatus {
        name: row.name,
        kind: row.kind,
        guarantee: row.guarantee,
        state: row.state,
        last_error: row.last_error,
        hint: row.hint,
        records_delivered: row.counts.delivered,
        records_pending: row.records_pending,
        files_pending: row.files_pending,
        repeats_suppressed: row.counts.repeats,
        deselected: row.counts.deselected,
        dead_letters: row.counts.dead_letters,
        oldest_pending: row.oldest_pending,
        position: PlaceStatus { file: row.position.sequence, record: row.position.record },
    }
}

fn stream_attention(row: &StreamRow, now: i64) -> Vec<String> {
    let mut found = Vec::new();
    let event_type = &row.event_type;
    let error = row.last_error.as_deref().unwrap_or("listing failed");
    let stale = row.listed_at.is_none_or(|at| now - at > LONG_FAILING);
    let troubled = match row.state {
        StreamState::Waiting | StreamState::Denied => true,
        StreamState::Failing => stale,
        StreamState::Ok | StreamState::Unsupported => false,
    };
    if troubled {
        found.push(with_hint(&format!("{event_type}: {error}"), row.hint.as_deref()));
    }
    if row.files_failing > 0 {
        let error = row.failing_error.as_deref().unwrap_or("unknown");
        let count = row.files_failing;
        found.push(format!("{event_type}: {count} log files fail again and again, such as: {error}"));
    }
    if row.holes_open > 0 {
        found.push(format!("{event_type}: {} holes: see `custodex holes`", row.holes_open));
    }
    found
}

fn sink_attention(sink: &SinkStatus) -> Vec<String> {
    let mut found = Vec::new();
    if sink.state == "paused" {
        let error = sink.last_error.as_deref().unwrap_or("paused");
        found.push(with_hint(&format!("sink {}: {error}", sink.name), sink.hint.as_deref()));
    }
    if sink.dead_letters > 0 {
        let count = sink.dead_letters;
        found.push(format!("sink {}: {count} dead letters: see `custodex dead-letters`", sink.name));
    }
    found
}

fn with_hint(text: &str, hint: Option<&str>) -> String {
    hint.map_or_else(|| text.to_owned(), |hint| format!("{text}\n  hint: {hint}"))
}
