//! How much was collected in each hour of late: for a chart, read from the newest file backwards.

use rusqlite::Connection;

use super::{LedgerError, Viewer};

/// Files that are looked at; where a day has more, its earliest hours are left out.
const MOST_FILES: usize = 50_000;

/// What was collected in one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourRow {
    /// `2026-11-25T09`, UTC.
    pub hour: String,
    /// Log files.
    pub files: u64,
    /// Their records.
    pub records: u64,
}

fn hours(connection: &Connection, since: &str) -> rusqlite::Result<Vec<HourRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT substr(fetched_at, 1, 13), records FROM file WHERE sequence IS NOT NULL AND own = 0
         ORDER BY sequence DESC LIMIT ?1",
    )?;
    let mut rows = statement.query([MOST_FILES])?;
    let mut hours: Vec<HourRow> = Vec::new();
    while let Some(row) = rows.next()? {
        let (hour, records): (String, u64) = (row.get(0)?, row.get(1)?);
        if hour.as_str() < since {
            break;
        }
        match hours.iter_mut().find(|known| known.hour == hour) {
            Some(known) => (known.files, known.records) = (known.files + 1, known.records + records),
            None => hours.push(HourRow { hour, files: 1, records }),
        }
    }
    Ok(hours)
}

impl Viewer {
    /// The hours from `since` on (`2026-11-25T09`) in which anything was collected, newest first.
    pub fn hours(&self, since: &str) -> Result<Vec<HourRow>, LedgerError> {
        self.view(|connection| hours(connection, since))
    }
}
