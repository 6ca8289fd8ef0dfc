//! What `status` is made from, read in one go.

use rusqlite::Connection;

use super::{Collected, Ledger, LedgerError, Pace, SinkRow, StreamRow, UnclaimedType, Viewer};
use super::{coverage, files, sinks, streams, unclaimed};

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
}

fn facts(connection: &Connection) -> rusqlite::Result<Facts> {
    Ok(Facts {
        streams: streams::all(connection)?,
        sinks: sinks::all(connection)?,
        collected: files::collected(connection)?,
        pace: coverage::pace(connection)?,
        unclaimed: unclaimed::all(connection)?,
    })
}

impl Viewer {
    /// How everything stands.
    pub fn facts(&self) -> Result<Facts, LedgerError> {
        self.view(facts)
    }
}

impl Ledger {
    /// How everything stands.
    pub async fn facts(&self) -> Result<Facts, LedgerError> {
        self.call(facts).await
    }
}
