//! Coverage: which moments of a stream were listed completely, and when they last were.
//!
//! Owns the intervals of each stream and their arithmetic. They are disjoint and in order. Where an interval
//! was listed twice the later listing counts; neighbours that were listed on the same day become one, with the
//! earlier of the two moments, so a stream has about one row a day, for ever. What the provider dropped
//! before it was listed is an interval too: one that nobody saw.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Ledger, LedgerError, StreamId, Viewer};
use crate::limits;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Moments of a stream, seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The first.
    pub from: i64,
    /// Behind the last.
    pub until: i64,
    /// When it was last listed completely; none for what expired before it was.
    pub listed_at: Option<i64>,
}

impl Interval {
    fn part(self, from: i64, until: i64) -> Option<Self> {
        let (from, until) = (self.from.max(from), self.until.min(until));
        (from < until).then_some(Self { from, until, ..self })
    }

    /// Both as one, where that says nothing wrong.
    fn joined(self, next: Self) -> Option<Self> {
        let listed_at = match (self.listed_at, next.listed_at) {
            (None, None) => None,
            (Some(one), Some(other)) if one.div_euclid(DAY) == other.div_euclid(DAY) => Some(one.min(other)),
            _ => return None,
        };
        (self.until == next.from).then_some(Self { from: self.from, until: next.until, listed_at })
    }
}

/// The same intervals with one more; what it overlaps gives way, but what nobody saw only fills gaps.
pub fn merged(known: &[Interval], new: Interval) -> Vec<Interval> {
    if new.from >= new.until {
        return known.to_vec();
    }
    let mut all = Vec::with_capacity(known.len() + 2);
    if new.listed_at.is_some() {
        all.extend(
            known.iter().flat_map(|old| [old.part(i64::MIN, new.from), old.part(new.until, i64::MAX)]),
        );
        all.push(Some(new));
    } else {
        let mut from = new.from;
        for old in known {
            all.push(new.part(from, old.from));
            from = from.max(old.until);
        }
        all.push(new.part(from, i64::MAX));
        all.extend(known.iter().copied().map(Some));
    }
    let mut all: Vec<Interval> = all.into_iter().flatten().filter(|one| one.from < one.until).collect();
    all.sort_by_key(|one| one.from);
    let mut joined: Vec<Interval> = Vec::with_capacity(all.len());
    for next in all {
        match joined.last_mut().and_then(|last| last.joined(next).map(|both| (last, both))) {
            Some((last, both)) => *last = both,
            None => joined.push(next),
        }
    }
    joined
}

/// The first moment from `start` on that no interval holds.
fn first_unknown(known: &[Interval], start: i64) -> i64 {
    known.iter().fold(start, |at, one| if one.from <= at { at.max(one.until) } else { at })
}

/// The intervals of one stream, in order.
pub(super) fn intervals(connection: &Connection, stream: StreamId) -> rusqlite::Result<Vec<Interval>> {
    let mut statement = connection.prepare_cached(
        "SELECT from_at, until_at, listed_at FROM coverage WHERE stream = ?1 ORDER BY from_at",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Interval { from: row.get(0)?, until: row.get(1)?, listed_at: row.get(2)? })
    };
    statement.query_map([stream.0], read)?.collect()
}

/// The first moment of a stream, from `start` on, that was not listed completely and is not known to be gone.
pub(super) fn uncovered(connection: &Connection, stream: StreamId, start: i64) -> rusqlite::Result<i64> {
    Ok(first_unknown(&intervals(connection, stream)?, start))
}

/// Writes one more interval; what lies ahead of `now` is from a time when the clock was wrong.
pub(super) fn record(
    connection: &Connection,
    stream: StreamId,
    new: Interval,
    now: i64,
) -> rusqlite::Result<()> {
    let known = intervals(connection, stream)?;
    let before: Vec<Interval> = known.iter().filter_map(|one| one.part(i64::MIN, now)).collect();
    let after = merged(&before, new);
    for gone in known.iter().filter(|one| !after.contains(one)) {
        connection
            .prepare_cached("DELETE FROM coverage WHERE stream = ?1 AND from_at = ?2")?
            .execute(params![stream.0, gone.from])?;
    }
    for one in after.iter().filter(|one| !known.contains(one)) {
        connection
            .prepare_cached(
                "INSERT INTO coverage (stream, from_at, until_at, listed_at) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![stream.0, one.from, one.until, one.listed_at])?;
    }
    Ok(())
}

/// How fast files were collected of late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    files: i64,
    since: i64,
    last: i64,
}

impl Pace {
    /// Seconds that this many files will take; none when nothing moved lately.
    pub fn time_for(self, files: i64, now: i64) -> Option<i64> {
        let stands = self.files < 1 || now - self.last > limits::PACE_WINDOW;
        (!stands).then(|| files * (now - self.since).max(1) / self.files)
    }
}

pub(super) fn pace(connection: &Connection) -> rusqlite::Result<Option<Pace>> {
    let at = |sequence: i64| {
        connection
            .prepare_cached("SELECT fetched_at FROM file WHERE sequence = ?1")?
            .query_row([sequence], |row| row.get::<_, String>(0))
            .optional()
    };
    let last: Option<i64> = connection
        .query_row(
            // What custodex tells of itself says nothing of the pace.
            "SELECT sequence FROM file WHERE sequence IS NOT NULL AND own = 0 ORDER BY sequence DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .optional()?;
    let Some(last) = last else { return Ok(None) };
    let first = (last - limits::PACE_FILES).max(1);
    let second = |text: String| text.parse::<Timestamp>().ok().map(Timestamp::as_second);
    let times = at(first)?.and_then(second).zip(at(last)?.and_then(second));
    Ok(times.map(|(since, newest)| Pace { files: last - first, since, last: newest }))
}

impl Viewer {
    /// The coverage of one stream, in order.
    pub fn coverage(&self, stream: StreamId) -> Result<Vec<Interval>, LedgerError> {
        self.view(|connection| intervals(connection, stream))
    }
}

impl Ledger {
    /// The coverage of one stream, in order.
    pub async fn coverage(&self, stream: StreamId) -> Result<Vec<Interval>, LedgerError> {
        self.call(move |connection| intervals(connection, stream)).await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn interval() -> impl Strategy<Value = Interval> {
        let listed = prop::option::of(0..4 * DAY);
        (0..200_i64, 1..60_i64, listed).prop_map(|(from, length, listed_at)| Interval {
            from,
            until: from + length,
            listed_at,
        })
    }

    proptest! {
        #[test]
        fn each_moment_has_what_was_last_said_of_it(added in prop::collection::vec(interval(), 1..20)) {
            let mut known = Vec::new();
            let mut moments = vec![None; 300];
            for new in added {
                known = merged(&known, new);
                for at in new.from..new.until {
                    let moment = &mut moments[usize::try_from(at).unwrap()];
                    if new.listed_at.is_some() || moment.is_none() {
                        *moment = Some(new.listed_at);
                    }
                }
                prop_assert!(known.windows(2).all(|two| two[0].until <= two[1].from), "{known:?}");
                for (at, said) in (0_i64..).zip(&moments) {
                    let found = known.iter().find(|one| one.from <= at && at < one.until);
                    prop_assert_eq!(found.is_some(), said.is_some());
                    let Some((found, said)) = found.zip(*said) else { continue };
                    prop_assert_eq!(found.listed_at.is_some(), said.is_some());
                    if let Some((found, said)) = found.listed_at.zip(said) {
                        prop_assert!(found <= said && found / DAY == said / DAY);
                    }
                }
                let first = moments.iter().skip(20).position(Option::is_none).unwrap() + 20;
                prop_assert_eq!(first_unknown(&known, 20), i64::try_from(first).unwrap());
            }
        }
    }

    #[test]
    fn a_year_of_polls_is_a_row_a_day() {
        let mut known = Vec::new();
        for day in 0..365 {
            for poll in 0..24 {
                let now = day * DAY + poll * 3600;
                known =
                    merged(&known, Interval { from: now - 7200, until: now - 1800, listed_at: Some(now) });
            }
            let now = day * DAY + DAY - 1;
            known =
                merged(&known, Interval { from: now - 30 * DAY, until: now - 1800, listed_at: Some(now) });
        }
        assert!(known.len() < 370, "{}", known.len());
    }
}
