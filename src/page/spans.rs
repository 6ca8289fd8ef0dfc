//! What is known of each moment of the last days, cut into days: for the calendar and the table behind it.

use crate::ledger::Interval;

pub(super) const DAY: i64 = 86_400;

/// What became of some moments of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Listed completely.
    Covered,
    /// Dropped by the provider before anybody looked.
    Lost,
    /// Not listed yet, and due.
    Open,
    /// Files of it may still appear, or it is in the future.
    Coming,
    /// Before what was asked for.
    Before,
}

impl State {
    /// As people read it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Covered => "covered",
            Self::Lost => "lost before it was listed",
            Self::Open => "not listed yet",
            Self::Coming => "still to come",
            Self::Before => "before the start",
        }
    }

    /// As the style sheet calls it.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Covered => "covered",
            Self::Lost => "lost",
            Self::Open => "open",
            Self::Coming => "coming",
            Self::Before => "before",
        }
    }
}

/// Moments of one state, seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: i64,
    pub(super) until: i64,
    pub(super) state: State,
}

/// Every moment of `from..until`, in order; neighbours differ in state.
///
/// `started` is how far back the stream goes, `due` the moment from which on files may still appear.
pub(super) fn spans(known: &[Interval], from: i64, until: i64, started: i64, due: i64) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut push = |begin: i64, end: i64, state: State| {
        let (begin, end) = (begin.max(from), end.min(until));
        match spans.last_mut() {
            _ if begin >= end => {}
            Some(last) if last.state == state && last.until == begin => last.until = end,
            _ => spans.push(Span { from: begin, until: end, state }),
        }
    };
    let unknown = |push: &mut dyn FnMut(i64, i64, State), begin: i64, end: i64| {
        push(begin, end.min(started), State::Before);
        push(begin.max(started), end.min(due), State::Open);
        push(begin.max(started).max(due), end, State::Coming);
    };
    let mut at = from;
    for one in known {
        unknown(&mut push, at, one.from);
        push(one.from.max(at), one.until, if one.listed_at.is_some() { State::Covered } else { State::Lost });
        at = at.max(one.until);
    }
    unknown(&mut push, at, until);
    spans
}

/// The same, cut where a day (UTC) ends.
pub(super) fn by_day(spans: &[Span]) -> Vec<Span> {
    let mut cut = Vec::new();
    for span in spans {
        let mut at = span.from;
        while at < span.until {
            let end = span.until.min((at.div_euclid(DAY) + 1) * DAY);
            cut.push(Span { from: at, until: end, ..*span });
            at = end;
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_part_has_its_state() {
        let known = [
            Interval { from: 10, until: 20, listed_at: Some(1) },
            Interval { from: 20, until: 30, listed_at: Some(2) },
            Interval { from: 30, until: 40, listed_at: None },
        ];
        let states: Vec<_> =
            spans(&known, 0, 60, 5, 50).iter().map(|span| (span.from, span.until, span.state)).collect();
        let expected = [
            (0, 5, State::Before),
            (5, 10, State::Open),
            (10, 30, State::Covered),
            (30, 40, State::Lost),
            (40, 50, State::Open),
            (50, 60, State::Coming),
        ];
        assert_eq!(states, expected);
    }

    proptest! {
        #[test]
        fn every_moment_is_there_once(
            cuts in prop::collection::vec(0..40 * DAY, 0..12),
            (started, due) in (0..40 * DAY, 0..40 * DAY),
        ) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let known: Vec<Interval> = cuts
                .chunks_exact(2)
                .map(|two| Interval { from: two[0], until: two[1], listed_at: (two[0] % 2 == 0).then_some(0) })
                .collect();
            let (from, until) = (5 * DAY, 35 * DAY);
            let spans = spans(&known, from, until, started, due);
            prop_assert_eq!(spans.first().unwrap().from, from);
            prop_assert_eq!(spans.last().unwrap().until, until);
            prop_assert!(spans.windows(2).all(|two| two[0].until == two[1].from && two[0].state != two[1].state));
            let cut = by_day(&spans);
            prop_assert!(cut.iter().all(|span| span.from.div_euclid(DAY) == (span.until - 1).div_euclid(DAY)));
            prop_assert_eq!(cut.iter().map(|span| span.until - span.from).sum::<i64>(), until - from);
        }
    }
}
