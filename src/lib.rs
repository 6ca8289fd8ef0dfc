//! custodex takes custody of an organization's compliance logs.
#![forbid(unsafe_code)]

pub mod archive;
pub mod cli;
pub mod clock;
pub mod collect;
pub mod config;
pub mod daemon;
pub mod deliver;
pub mod digest;
pub mod disk;
pub mod format;
pub mod ground;
pub mod health;
pub mod ledger;
pub mod limits;
pub mod metrics;
pub mod net;
pub mod page;
pub mod record;
pub mod recovery;
pub mod refusal;
pub mod secret;
pub mod simulator;
pub mod sink;
pub mod source;
pub mod spool;
pub mod status;
pub mod units;
pub mod vitals;
pub mod words;
