//! `file`: JSON lines in a folder, for an agent to tail.
//!
//! ```text
//! custodex.jsonl                                      the active file; it only grows
//! custodex-<YYYYMMDDTHHMMSSZ>-<number>.jsonl          rotated; never changes
//! custodex-<YYYYMMDDTHHMMSSZ>-<number>.jsonl.zst      the same, compressed in the background
//! ```
//!
//! Invariants:
//! - What is confirmed is durable: the file is synced, and so is the folder when a name is new.
//! - Each record is there once, after any crash. Batches are pure functions of the spool, so what lies
//!   beyond the confirmed length is what will be delivered again: it is compared, not cut.
//! - A byte that a reader may have seen is neither changed nor taken away. The one exception is a last
//!   line without its line feed that differs from what belongs there.
//! - A file is rotated only at a commit, so it ends with a whole record.
//! - A rotated file is left alone until the ledger no longer names it as a rotation in progress: before
//!   that, its absence has to mean "not renamed yet".
//!
//! Never holds more than the batch it is given, and never touches a name that is not exactly its own.

mod active;
mod config;
mod keep;
mod rotate;
mod sink;
#[cfg(test)]
mod tests;
mod trouble;

pub use config::FileConfig;

/// The file that grows.
const ACTIVE: &str = "custodex.jsonl";
