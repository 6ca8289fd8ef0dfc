//! The Compliance API: lists log files and downloads them, GET only.
//!
//! Owns the wire contract: addresses, redirects, statuses, what is checked of an answer. Never writes to
//! the ledger, never decides what a failure means for a stream; it names the failure and the next step.

mod client;
mod config;
mod download;
mod error;
mod key;
mod page;

pub use client::{Client, Create};
pub use config::{COSTS, ComplianceConfig};
pub use download::{Expected, Stored};
pub use error::{ApiError, ErrorKind};
pub use key::{Key, KeySource};
pub use page::{Listed, Page};

#[cfg(test)]
mod tests;
