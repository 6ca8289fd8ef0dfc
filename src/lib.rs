//! custodex takes custody of an organization's compliance logs.
#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod disk;
pub mod ground;
pub mod ledger;
pub mod limits;
pub mod record;
pub mod recovery;
pub mod secret;
pub mod simulator;
pub mod sink;
pub mod source;
pub mod spool;
pub mod units;
pub mod words;
