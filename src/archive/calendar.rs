//! What an archive says of each day of each stream: collected, listed and empty, or unknown.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use super::manifest::{Manifest, SealedFile};
use crate::record::time;
use crate::words::OWN_EVENT_TYPE;

const DAY: i64 = 86_400;

/// Days by stream, gathered from manifests.
#[derive(Clone, Debug, Default)]
pub struct Calendar(BTreeMap<(String, String), Days>);

#[derive(Clone, Debug, Default)]
struct Days {
    /// Log files that end on a day.
    files: BTreeMap<i64, u64>,
    /// What was listed, in order and apart.
    covered: Vec<(i64, i64)>,
    /// When a day was last listed.
    listed: BTreeMap<i64, i64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Collected,
    Empty,
    Partly,
    Unknown,
}

impl Calendar {
    /// Takes what one manifest says.
    pub fn add(&mut self, manifest: &Manifest) {
        // Nobody lists our own audit trail: a day without it is no day that is missing.
        let own =
            |file: &&SealedFile| file.event_type == OWN_EVENT_TYPE && file.principal == manifest.instance;
        for file in manifest.files.iter().filter(|file| !own(file)) {
            self.add_file(file);
        }
        for stream in &manifest.coverage {
            let days = self.0.entry((stream.principal.clone(), stream.event_type.clone())).or_default();
            for one in &stream.intervals {
                let Some(at) = one.listed_at.filter(|_| one.from < one.until) else { continue };
                days.cover(one.from, one.until);
                for day in one.from.div_euclid(DAY)..=(one.until - 1).div_euclid(DAY) {
                    let listed = days.listed.entry(day).or_insert(at);
                    *listed = at.max(*listed);
                }
            }
        }
    }

    /// Forgets the days that lie before the first of these seconds, or behind the last.
    pub fn keep(&mut self, since: Option<i64>, until: Option<i64>) {
        let first = since.map_or(i64::MIN, |second| second.div_euclid(DAY));
        let last = until.map_or(i64::MAX, |second| (second - 1).div_euclid(DAY));
        for days in self.0.values_mut() {
            days.files.retain(|day, _| (first..=last).contains(day));
            days.listed.retain(|day, _| (first..=last).contains(day));
        }
    }

    fn add_file(&mut self, file: &SealedFile) {
        let utc = time::to_utc(&file.end_time).and_then(|utc| utc.parse::<Timestamp>().ok());
        let days = self.0.entry((file.principal.clone(), file.event_type.clone())).or_default();
        if let Some(utc) = utc {
            *days.files.entry(utc.as_second().div_euclid(DAY)).or_default() += 1;
        }
    }
}

impl Days {
    fn cover(&mut self, mut from: i64, mut until: i64) {
        self.covered.retain(|&(start, end)| {
            let apart = end < from || until < start;
            if !apart {
                (from, until) = (from.min(start), until.max(end));
            }
            apart
        });
        let at = self.covered.partition_point(|one| one.0 < from);
        self.covered.insert(at, (from, until));
    }

    fn state(&self, day: i64) -> State {
        let (from, until) = (day * DAY, (day + 1) * DAY);
        if self.files.contains_key(&day) {
            State::Collected
        } else if self.covered.iter().any(|one| one.0 <= from && until <= one.1) {
            State::Empty
        } else if self.covered.iter().any(|one| one.0 < until && from < one.1) {
            State::Partly
        } else {
            State::Unknown
        }
    }

    /// Days of which anything is known, and those between.
    fn range(&self) -> Option<(i64, i64)> {
        let ends = [self.files.keys().next(), self.listed.keys().next()];
        let first = ends.into_iter().flatten().min()?;
        let last =
            [self.files.keys().next_back(), self.listed.keys().next_back()].into_iter().flatten().max()?;
        Some((*first, *last))
    }

    /// Runs of days that are alike.
    fn runs(&self) -> Vec<(i64, i64, State)> {
        let Some((first, last)) = self.range() else { return Vec::new() };
        let mut runs: Vec<(i64, i64, State)> = Vec::new();
        for day in first..=last {
            let state = self.state(day);
            match runs.last_mut() {
                Some(run) if run.2 == state => run.1 = day,
                _ => runs.push((day, day, state)),
            }
        }
        runs
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((principal, event_type), days) in &self.0 {
            writeln!(f, "{event_type} of {principal}")?;
            for (first, last, state) in days.runs() {
                let span =
                    if first == last { date(first) } else { format!("{} to {}", date(first), date(last)) };
                let as_of = days.listed.range(first..=last).map(|(_, at)| *at).min();
                let as_of = as_of.map(moment).unwrap_or_default();
                match state {
                    State::Collected => {
                        let files: u64 = days.files.range(first..=last).map(|(_, count)| count).sum();
                        writeln!(f, "  {span}: collected, {files} log files")?;
                    }
                    State::Empty => writeln!(f, "  {span}: listed, empty as of {as_of}")?,
                    State::Partly => writeln!(f, "  {span}: listed in part, empty as of {as_of}")?,
                    State::Unknown => writeln!(f, "  {span}: unknown")?,
                }
            }
        }
        Ok(())
    }
}

fn date(day: i64) -> String {
    moment(day.saturating_mul(DAY)).chars().take(10).collect()
}

fn moment(second: i64) -> String {
    Timestamp::from_second(second).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_that_meet_cover_a_day_together() {
        let mut days = Days::default();
        days.cover(0, DAY / 2);
        assert!(days.state(0) == State::Partly && days.state(1) == State::Unknown);
        days.cover(DAY, 2 * DAY);
        days.cover(DAY / 2, DAY);
        assert_eq!(days.covered, [(0, 2 * DAY)]);
        assert!(days.state(0) == State::Empty && days.state(1) == State::Empty);
        days.files.insert(1, 3);
        assert!(days.state(1) == State::Collected);
    }
}
