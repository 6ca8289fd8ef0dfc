//! What `/metrics` says: the text that Prometheus and all that read its format take.
//!
//! Owns the names, which docs/metrics.md repeats and a test compares. Values come from the ledger and the
//! process at the moment of the scrape, nothing is kept here. Labels are names of the configuration and words
//! of the code: no id of a file, of a record or of a person, and no text.

mod families;
mod process;
mod text;

use jiff::Timestamp;

pub use families::{FAMILIES, Family, Kind};

use crate::health::Readiness;
use crate::status::Status;
use crate::vitals::{Stuck, Vitals};
use text::Text;

/// The format, as a scrape is told it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a scrape looks at.
pub struct Scrape<'a> {
    /// As the ledger has it.
    pub status: &'a Status,
    /// When that was.
    pub now: Timestamp,
    /// When the process began.
    pub started: Timestamp,
    /// The spool may hold this many bytes.
    pub spool_max_bytes: u64,
    /// Bytes collected since the start.
    pub progress_bytes: u64,
    /// Pulses and counts.
    pub vitals: &'a Vitals,
    /// Tasks that do not move.
    pub stuck: &'a [Stuck],
    /// Whether everything works.
    pub readiness: &'a Readiness,
}

/// All metrics as text.
pub fn render(scrape: &Scrape<'_>) -> String {
    let sight = families::Sight::of(scrape);
    let mut text = Text::default();
    for family in FAMILIES {
        text.family(family, &sight);
    }
    text.into_string()
}

#[cfg(test)]
mod tests;
