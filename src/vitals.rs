//! What the running parts tell of themselves, for whoever watches: that they move, and how often what happened.
//!
//! Owns pulses and counts of this process. Nothing is decided by them, nothing waits for them, and none of it
//! is kept: what must be known after a restart is in the ledger. Labels come from the code and the
//! configuration, never from a record.

mod meter;
mod pulse;

pub use meter::{Counts, Histogram, Meter};
pub use pulse::{Pulse, Pulses, Stuck};

/// All of it.
#[derive(Debug, Default)]
pub struct Vitals {
    /// Which parts move.
    pub pulses: Pulses,
    /// What was counted.
    pub meter: Meter,
}
