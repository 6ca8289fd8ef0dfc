//! Delivering: read → decode → select → encode → send → confirm → commit.
//!
//! One worker for each sink, with its own position; none can slow, stop or repeat another. Archives have
//! a worker of their own kind, which delivers whole log files. The order
//! that makes a crash harmless: records are handed to the sink, the sink confirms them, and only then
//! position, accounts and the sink's own memory move, in one transaction. What was handed over and not
//! confirmed is bounded by `max_unconfirmed_records`, and that is all a crash can repeat.

mod archive;
mod bury;
mod clean;
mod fill;
mod health;
mod letters;
pub mod life;
mod object;
mod refill;
mod replay;
mod sample;
mod seal;
mod worker;

#[cfg(test)]
mod spooled;
#[cfg(test)]
mod tests;

pub use archive::{ArchiveSettings, ArchiveWorker};
pub use clean::Cleaner;
pub use letters::Letters;
pub use refill::Refill;
pub use replay::{
    Counts as ReplayCounts, Place as ReplayPlace, Rehearsal, ReplayEnd, ReplaySettings, Replayer,
    Request as ReplayRequest, State as ReplayState, Store as ReplayStore, StoreError as ReplayStoreError,
    rehearse,
};
pub use sample::{PROBE, PROBE_KEY, probe_archive, sample, send_sample};
pub use seal::Seal;
pub use worker::{Settings, Worker};
