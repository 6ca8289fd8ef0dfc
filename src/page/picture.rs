//! What the page shows, read from the ledger in one go.

use jiff::Timestamp;

use super::spans::{DAY, Span, spans};
use crate::collect;
use crate::ledger::{HoleRow, HourRow, LedgerError, LetterRow, Viewer};
use crate::limits;
use crate::status::Status;

/// Hours that the chart of what was collected shows.
pub(super) const HOURS: i64 = 24;

/// How everything stood at one moment.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) now: Timestamp,
    pub(super) status: Status,
    /// Coverage of each stream of the status, in its order.
    pub(super) calendars: Vec<Calendar>,
    /// The newest ones, oldest first.
    pub(super) holes: Vec<HoleRow>,
    /// The newest ones, newest first.
    pub(super) letters: Vec<LetterRow>,
    /// The last [`HOURS`], oldest first.
    pub(super) hours: Vec<HourRow>,
}

/// The last days of one stream.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    /// Midnight at which it begins, seconds since 1970.
    pub(super) from: i64,
    /// Every moment up to the end of today.
    pub(super) spans: Vec<Span>,
}

impl Picture {
    pub(super) fn take(viewer: &Viewer, now: Timestamp, most: u64) -> Result<Self, LedgerError> {
        let facts = viewer.facts(now.as_second())?;
        let second = now.as_second();
        let today = second.div_euclid(DAY) * DAY;
        let from = today - (limits::PAGE_DAYS - 1) * DAY;
        let mut calendars = Vec::new();
        for row in &facts.streams {
            let known = viewer.coverage(row.id)?;
            let due = second - collect::settle(&row.event_type) - limits::COVERAGE_DUE;
            let spans = spans(&known, from, today + DAY, row.started_at, due);
            calendars.push(Calendar { from, spans });
        }
        let holes = viewer.recent_holes(limits::PAGE_ROWS as usize)?;
        let letters = viewer.recent_letters(limits::PAGE_ROWS)?;
        let first = second.div_euclid(3600) - (HOURS - 1);
        let found = viewer.hours(&hour(first))?;
        let hours = (first..first + HOURS)
            .map(|at| {
                let name = hour(at);
                let known = found.iter().find(|row| row.hour == name).cloned();
                known.unwrap_or(HourRow { hour: name, files: 0, records: 0 })
            })
            .collect();
        Ok(Self { now, status: Status::of(facts, now, true, most), calendars, holes, letters, hours })
    }
}

/// The name of an hour, counted since 1970.
fn hour(number: i64) -> String {
    let moment = Timestamp::from_second(number * 3600).unwrap_or_default();
    moment.to_string().chars().take(13).collect()
}
