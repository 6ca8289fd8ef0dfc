//! What to do about an error.
//!
//! Owns the one question every source and sink error answers. Only `collect` and `deliver` act on it.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Tries after which the delay has long reached its most.
const DOUBLINGS: u32 = 32;

/// The delay before try number `attempt`, from 0: doubles from `least` up to `most`.
pub fn backoff(attempt: u32, least: Duration, most: Duration) -> Duration {
    let delays = ExponentialBuilder::new().with_min_delay(least).with_max_delay(most).without_max_times();
    delays.build().nth(attempt.min(DOUBLINGS) as usize).unwrap_or(most)
}

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
    /// One record can never be taken; the others can.
    DeadLetter {
        /// Which of the batch, from 0.
        record: usize,
        /// What the other side answered, short.
        answer: String,
    },
    /// A bug or a broken promise: stop rather than guess.
    Fatal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_their_most() {
        let delay = |attempt| backoff(attempt, Duration::from_secs(1), Duration::from_secs(60)).as_secs();
        assert_eq!([0, 1, 5, 6, 1000].map(delay), [1, 2, 32, 60, 60]);
    }
}
