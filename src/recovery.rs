//! What to do about an error.
//!
//! Owns the one question every source and sink error answers. Only `collect` and `deliver` act on it.

use std::time::Duration;

/// The way on after an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// It passes by itself: try again, not before `after` when the other side asked for that.
    Retry {
        /// The delay the other side asked for, already clamped.
        after: Option<Duration>,
    },
    /// It stays until an operator acts; keep probing slowly.
    Pause {
        /// What the operator can do.
        hint: String,
    },
    /// A bug or a broken promise: stop rather than guess.
    Fatal,
}
