//! What is looked for, and whether a record is it.
//!
//! A list that is empty asks for nothing; of a list with several, one is enough. Values are compared with what
//! the record's tokens stand for, so an escape in the record hides nothing.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use super::needle::Probe;
use super::text;
use crate::record::reader::{Cut, Shape};
use crate::record::{Origin, Record, id, json, time};

/// A moment of UTC as a text whose order is that of time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Moment(String);

impl Moment {
    /// Reads RFC 3339, or a date, which is its midnight in UTC.
    pub fn parse(text: &str) -> Option<Self> {
        let utc = time::to_utc(text).or_else(|| time::to_utc(&format!("{text}T00:00:00Z")))?;
        Some(Self::of(&utc))
    }

    /// Of a time in UTC, as records and manifests have it.
    pub fn of(utc: &str) -> Self {
        let text = utc.trim_end_matches('Z');
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
        Self(text.to_owned())
    }

    /// Seconds since 1970.
    pub fn second(&self) -> Option<i64> {
        self.to_string().parse::<Timestamp>().ok().map(Timestamp::as_second)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Z", self.0)
    }
}

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Query {
    /// At this moment or later.
    pub since: Option<Moment>,
    /// Before this moment.
    pub until: Option<Moment>,
    /// Event types of streams.
    pub event_types: Vec<String>,
    /// Upstream's sub types.
    pub actions: Vec<String>,
    /// Our categories.
    pub categories: Vec<String>,
    /// Ids of users, with or without the workspace behind them, or mail addresses, whose case does not matter.
    pub users: Vec<String>,
    /// Any id of the native record's `session`.
    pub sessions: Vec<String>,
    /// In one of the record's texts, as written: keys, strings with their escapes read, numbers.
    pub contains: Option<String>,
    /// Log files, by their ids upstream.
    pub files: Vec<String>,
    /// Our ids of records.
    pub ids: Vec<String>,
}

impl Query {
    /// Whether it asks for times.
    pub fn is_timed(&self) -> bool {
        self.since.is_some() || self.until.is_some()
    }

    /// Whether it asks for what only a record's fields or texts can tell.
    pub(super) fn looks_inside(&self) -> bool {
        let lists = [&self.actions, &self.users, &self.sessions];
        lists.iter().any(|list| !list.is_empty()) || self.contains.is_some()
    }

    /// Whether an event between these moments may be one that is asked for.
    pub(super) fn overlaps(&self, oldest: &Moment, newest: &Moment) -> bool {
        self.since.as_ref().is_none_or(|since| newest >= since)
            && self.until.as_ref().is_none_or(|until| oldest < until)
    }

    /// Whether log files of this type and id may hold what is asked for.
    pub(super) fn may_be_in(&self, event_type: &str, file_id: Option<&str>) -> bool {
        among(&self.event_types, event_type) && file_id.is_none_or(|file_id| among(&self.files, file_id))
    }
}

fn among(list: &[String], value: &str) -> bool {
    list.is_empty() || list.iter().any(|one| one == value)
}

/// What a matcher says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is asked for.
    Match,
    /// It is not.
    Other,
    /// All fits, but it has no time, and times were asked for.
    Untimed,
    /// It is too large to be looked into, and nothing else speaks against it.
    Unseen,
}

/// A query, made ready.
#[derive(Debug)]
pub struct Matcher {
    query: Query,
    needle: Option<Finder<'static>>,
    /// Each of them is in the bytes of every record that matches.
    probes: Vec<Probe>,
}

impl Matcher {
    /// For a query.
    pub fn new(query: Query) -> Self {
        let contains: Vec<String> = query.contains.iter().cloned().collect();
        let any_case = query.users.iter().any(|user| is_email(user));
        // The first is looked for in everything, so it is the one that is in the fewest records.
        let texts =
            [(&contains, false), (&query.sessions, false), (&query.users, any_case), (&query.actions, false)];
        let probes = texts.into_iter().filter_map(|(texts, any_case)| Probe::of(texts, any_case)).collect();
        let needle = query.contains.as_ref().map(|text| Finder::new(text.as_bytes()).into_owned());
        Self { query, needle, probes }
    }

    /// The query.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// Where in some lines the first is that may match; none when no record of them can.
    pub(super) fn first(&self, lines: &[u8]) -> Option<usize> {
        let Some((first, others)) = self.probes.split_first() else { return Some(0) };
        let mut from = 0;
        loop {
            let hit = from + first.find(&lines[from..])?;
            let start = memchr::memrchr(b'\n', &lines[..hit]).map_or(0, |at| at + 1);
            let end = memchr::memchr(b'\n', &lines[hit..]).map_or(lines.len(), |at| hit + at + 1);
            let line = &lines[start..end];
            if others.iter().all(|probe| probe.find(line).is_some()) {
                return Some(start);
            }
            from = end;
        }
    }

    /// Whether a record of these bytes may match.
    pub(super) fn may_match(&self, origin: &Origin, cut: &Cut, bytes: &[u8]) -> bool {
        if cut.shape == Shape::Oversized {
            return self.is_wanted(origin, cut);
        }
        self.probes.iter().all(|probe| probe.find(bytes).is_some()) && self.is_wanted(origin, cut)
    }

    /// Whether it has one of the ids that are asked for.
    fn is_wanted(&self, origin: &Origin, cut: &Cut) -> bool {
        self.query.ids.is_empty() || among(&self.query.ids, &id_of(origin, cut))
    }

    /// Whether a record is asked for.
    pub(super) fn verdict(&self, record: &Record<'_>) -> Verdict {
        let query = &self.query;
        if !among(&query.categories, record.category) {
            return Verdict::Other;
        }
        if record.raw.shape == Shape::Oversized && (query.looks_inside() || query.is_timed()) {
            return Verdict::Unseen;
        }
        let word = record.action.and_then(json::text);
        let fits = (query.actions.is_empty() || word.is_some_and(|word| among(&query.actions, &word)))
            && self.is_by(record)
            && self.is_of(record)
            && self.needle.as_ref().is_none_or(|needle| text::holds(&record.raw, needle));
        if !fits {
            return Verdict::Other;
        }
        if !query.is_timed() {
            return Verdict::Match;
        }
        let Some(time) = record.time.as_deref().map(Moment::of) else { return Verdict::Untimed };
        if query.overlaps(&time, &time) { Verdict::Match } else { Verdict::Other }
    }

    fn is_by(&self, record: &Record<'_>) -> bool {
        let actor = &record.actor;
        let [id, email] = [actor.id, actor.email].map(|token| token.and_then(json::text));
        let base = actor.id_base.as_deref().map(unescaped);
        let users = &self.query.users;
        users.is_empty()
            || users.iter().any(|user| {
                [&id, &base].into_iter().flatten().any(|id| id == user)
                    || is_email(user) && email.as_ref().is_some_and(|email| email.eq_ignore_ascii_case(user))
            })
    }

    fn is_of(&self, record: &Record<'_>) -> bool {
        let session = &record.session;
        let ids = [
            session.session_id,
            session.thread_id,
            session.conversation_id,
            session.turn_id,
            session.call_id,
            session.message_id,
            session.run_id,
            session.environment_id,
        ];
        let sessions = &self.query.sessions;
        sessions.is_empty() || ids.into_iter().flatten().filter_map(json::text).any(|id| among(sessions, &id))
    }
}

/// Whether a user is named by a mail address.
fn is_email(user: &str) -> bool {
    user.contains('@')
}

/// What a part of a token stands for.
fn unescaped(inner: &str) -> Cow<'_, str> {
    match json::text(&format!("\"{inner}\"")) {
        Some(text) if text != inner => Cow::Owned(text.into_owned()),
        _ => Cow::Borrowed(inner),
    }
}

/// Our id of a record, without looking into it.
pub(super) fn id_of(origin: &Origin, cut: &Cut) -> String {
    match cut.event_id {
        Some(_) => id::by_content(&origin.principal.id, &origin.event_type, &cut.sha256),
        None => id::by_place(&origin.file_id, cut.offset),
    }
}
