//! Counts since the start, and how long files took from one stage to the next.
//!
//! Owns counters whose keys are words of the code or names of the configuration, so that there are only so many.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bounds of histograms of what should take seconds.
const WAIT_SECONDS: &[u32] = &[1, 2, 5, 10, 30, 60, 300, 1800, 3600, 21_600, 86_400];
/// Bounds of histograms of how old files are.
const FILE_SECONDS: &[u32] =
    &[60, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400, 604_800, 2_592_000];

/// What is counted.
#[derive(Debug)]
pub struct Meter(Mutex<Counts>);

/// All counts, as they stand.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Requests by where they went and how they were answered.
    pub requests: BTreeMap<(&'static str, &'static str), u64>,
    /// Listings and downloads that failed, by stage and reason.
    pub source_failures: BTreeMap<(&'static str, &'static str), u64>,
    /// Deliveries that failed, by sink and what it meant.
    pub sink_failures: BTreeMap<(String, &'static str), u64>,
    /// From the end of a log file to its listing.
    pub listing: Histogram,
    /// From there to its place in the spool.
    pub collecting: Histogram,
    /// From there to the confirmation of each sink.
    pub delivering: BTreeMap<String, Histogram>,
}

/// How many took up to so many seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Upper bounds, seconds.
    pub bounds: &'static [u32],
    /// How many were not above each bound, and above the one before.
    pub counts: Vec<u64>,
    /// How many there were.
    pub count: u64,
    /// All of them together, seconds.
    pub sum: u64,
}

impl Histogram {
    /// An empty one.
    pub fn new(bounds: &'static [u32]) -> Self {
        Self { bounds, counts: vec![0; bounds.len()], count: 0, sum: 0 }
    }

    /// Adds one; a clock that was set back makes it zero.
    fn observe(&mut self, seconds: i64) {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        if let Some(at) = self.bounds.iter().position(|bound| seconds <= u64::from(*bound)) {
            self.counts[at] += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self(Mutex::new(Counts {
            requests: BTreeMap::new(),
            source_failures: BTreeMap::new(),
            sink_failures: BTreeMap::new(),
            listing: Histogram::new(FILE_SECONDS),
            collecting: Histogram::new(WAIT_SECONDS),
            delivering: BTreeMap::new(),
        }))
    }
}

impl Meter {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As it stands.
    pub fn read(&self) -> Counts {
        self.counts().clone()
    }

    /// A request was answered, or not.
    pub fn request(&self, to: &'static str, answer: &'static str) {
        *self.counts().requests.entry((to, answer)).or_default() += 1;
    }

    /// A listing or a download failed.
    pub fn source_failed(&self, stage: &'static str, reason: &'static str) {
        *self.counts().source_failures.entry((stage, reason)).or_default() += 1;
    }

    /// A sink did not take what it was given.
    pub fn sink_failed(&self, sink: &str, meaning: &'static str) {
        *self.counts().sink_failures.entry((sink.to_owned(), meaning)).or_default() += 1;
    }

    /// A file is in the spool: how old it was when it was listed, and how long it took from there; seconds.
    pub fn collected(&self, age_listed: i64, took: i64) {
        let mut counts = self.counts();
        counts.listing.observe(age_listed);
        counts.collecting.observe(took);
    }

    /// A sink confirmed a file, so many seconds after it came to the spool.
    pub fn delivered(&self, sink: &str, took: i64) {
        let mut counts = self.counts();
        let empty = || Histogram::new(WAIT_SECONDS);
        counts.delivering.entry(sink.to_owned()).or_insert_with(empty).observe(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_longer_than_all_bounds_is_counted() {
        let mut histogram = Histogram::new(&[1, 10]);
        for seconds in [-5, 1, 2, 10, 11] {
            histogram.observe(seconds);
        }
        let expected = Histogram { bounds: &[1, 10], counts: vec![2, 2], count: 5, sum: 24 };
        assert_eq!(histogram, expected);
    }
}
