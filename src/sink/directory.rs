//! `directory`: an archive in a folder, on a local disk or a mounted share.
//!
//! ```text
//! <directory>/raw/v1/principal=…/event_type=…/dt=…/<name>.jsonl.zst      see `archive`
//! <directory>/…/.<name>.<writer>.tmp                                     being written
//! <directory>/custodex-probe                                             of `check --send-test`
//! ```
//!
//! Invariants:
//! - A name without a leading dot has all its bytes, durable, and never changes: a file is written and
//!   synced under another name, and gets its own only if nothing has it.
//! - A folder's name is durable before a file in it is confirmed.
//! - What is there already is compared by its content, since another version may compress otherwise.
//!
//! Never removes or replaces an object.

mod config;
mod reader;
mod sink;
#[cfg(test)]
mod tests;

pub use config::DirectoryConfig;
pub use reader::DirectoryReader;
