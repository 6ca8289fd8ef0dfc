//! Every bound of the program, named and argued, in one place.

use std::time::Duration;

/// Records up to this size are normalized and delivered whole; larger ones go by reference.
pub const MAX_RECORD_BYTES: u64 = 16 * 1024 * 1024;

/// Jobs that may wait for the ledger's thread.
pub const LEDGER_QUEUE: usize = 256;
/// Jobs that share one transaction.
pub const LEDGER_GROUP: usize = 64;
/// How long a command waits for a database that another process holds.
pub const LEDGER_BUSY: Duration = Duration::from_secs(10);
/// Page cache of the ledger; negative is KiB, as SQLite has it.
pub const LEDGER_CACHE_KIB: i64 = -2048;
