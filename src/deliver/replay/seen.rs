//! The records a replay met lately, so that one that lies in several log files goes out once.
//!
//! Knows what lies within [`limits::REPEAT_WINDOW`], by the files' end, and of that at most
//! [`limits::REPLAY_SEEN`] sightings. What was met behind the last confirmed record can be forgotten again.

use std::collections::{HashMap, VecDeque};

use crate::limits;

/// Our id of a record, as bytes.
pub(super) type Key = [u8; 16];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// When each was met last, seconds since 1970.
    last: HashMap<Key, u32>,
    /// All sightings, oldest first.
    order: VecDeque<(Key, u32)>,
    /// What each sighting that is not settled replaced.
    journal: VecDeque<Option<u32>>,
    /// How many sightings there were in all.
    total: u64,
}

impl Seen {
    /// Notes a record of a file that ends at `time`; whether it was met before, not too long ago.
    pub(super) fn note(&mut self, key: Key, time: u32) -> bool {
        let before = self.last.insert(key, time);
        self.order.push_back((key, time));
        self.journal.push_back(before);
        self.total += 1;
        if self.order.len() > limits::REPLAY_SEEN {
            self.drop_oldest();
        }
        before.is_some_and(|before| i64::from(time.saturating_sub(before)) <= limits::REPEAT_WINDOW)
    }

    /// How many were noted so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The first `total` sightings stay, whatever comes.
    pub(super) fn settle(&mut self, total: u64) {
        let left = usize::try_from(self.total - total).unwrap_or(usize::MAX);
        self.journal.drain(..self.journal.len().saturating_sub(left));
        let now = self.order.back().map_or(0, |(_, time)| i64::from(*time));
        while self.order.len() > self.journal.len()
            && self.order.front().is_some_and(|(_, time)| now - i64::from(*time) > limits::REPEAT_WINDOW)
        {
            self.drop_oldest();
        }
    }

    /// Forgets what is not settled; those records come again.
    pub(super) fn take_back(&mut self) {
        while let (Some(before), Some((key, _))) = (self.journal.pop_back(), self.order.pop_back()) {
            self.total -= 1;
            match before {
                Some(before) => self.last.insert(key, before),
                None => self.last.remove(&key),
            };
        }
        // Of more than fit nothing is known any more.
        self.total -= self.journal.len() as u64;
        self.journal.clear();
    }

    fn drop_oldest(&mut self) {
        if let Some((key, time)) = self.order.pop_front()
            && self.last.get(&key) == Some(&time)
        {
            self.last.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        u128::try_from(n).unwrap().to_be_bytes()
    }

    #[test]
    fn a_repeat_is_known_for_two_days_after_it_was_met_last() {
        let mut seen = Seen::default();
        let day = 86_400;
        let met = [0, day, 3 * day, 3 * day, 5 * day + 1].map(|time| seen.note(key(1), time));
        assert_eq!(met, [false, true, true, true, false]);
        seen.settle(seen.total());
        assert_eq!((seen.order.len(), seen.last.len()), (1, 1), "what is too old is not kept");
    }

    #[test]
    fn what_is_taken_back_was_never_met() {
        let mut seen = Seen::default();
        seen.note(key(1), 10);
        let settled = seen.total();
        seen.note(key(2), 11);
        seen.note(key(1), 12);
        seen.settle(settled);
        seen.take_back();
        assert_eq!((seen.total(), seen.last.get(&key(1))), (1, Some(&10)));
        assert!(!seen.note(key(2), 13) && seen.note(key(1), 13));
    }

    #[test]
    fn memory_is_bounded() {
        let mut seen = Seen::default();
        for n in 0..=limits::REPLAY_SEEN {
            seen.note(key(n), 1);
        }
        assert_eq!((seen.order.len(), seen.last.len()), (limits::REPLAY_SEEN, limits::REPLAY_SEEN));
        assert!(!seen.note(key(0), 1) && seen.note(key(2), 1));
    }
}
