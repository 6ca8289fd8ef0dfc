//! What `status` is made from, read in one go.

use rusqlite::Connection;

use super::{Collected, DriftRow, Ledger, LedgerError, Pace, SinkRow, StreamRow, UnclaimedType, Viewer};
use super::{coverage, drift, files, sinks, streams, unclaimed};
use crate::limits;

/// How everything stands.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Every enabled stream.
    pub streams: Vec<StreamRow>,
    /// Every enabled sink.
    pub sinks: Vec<SinkRow>,
    /// Totals.
    pub collected: Collected,
    /// How fast files were collected of late.
    pub pace: Option<Pace>,
    /// What holds log files and is not collected.
    pub unclaimed: Vec<UnclaimedType>,
    /// What was new about streams of late, the newest first.
    pub drift: Vec<DriftRow>,
}

fn facts(connection: &Connection, now: i64) -> rusqlite::Result<Facts> {
    Ok(Facts {
        streams: streams::all(connection)?,
        sinks: sinks::all(connection)?,
        collected: files::collected(connection)?,
        pace: coverage::pace(connection)?,
        unclaimed: unclaimed::all(connection)?,
        drift: drift::recent(connection, now - limits::DRIFT_AGE)?,
    })
}

impl Viewer {
    /// How everything stands.
    pub fn facts(&self, now: i64) -> Result<Facts, LedgerError> {
        self.view(|connection| facts(connection, now))
    }
}

impl Ledger {
    /// How everything stands.
    pub async fn facts(&self, now: i64) -> Result<Facts, LedgerError> {
        self.call(move |connection| facts(connection, now)).await
    }
}
