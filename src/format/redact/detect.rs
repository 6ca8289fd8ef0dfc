//! Detectors: what in a text looks like a secret, by name.
//!
//! Owns the search. One quick pass tells most texts that hold nothing; in the others, one more finds where
//! something may begin, and only there a pattern is held against the text. Every pattern takes time linear in the text, those of the operator too. Never changes a text.

mod grams;
mod shapes;
mod table;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use aho_corasick::AhoCorasick;
use regex::Regex;

use grams::Grams;
use table::{ASSIGNED, PREFIXED, Prefixed, SHAPES, Shape};

/// No secret is shorter.
const LEAST: usize = 6;
/// A pattern that does not match within so many bytes does not match; none needs more.
const WINDOW: usize = 320;

/// A part of a text that looks like a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) range: Range<usize>,
    pub(super) name: Arc<str>,
}

/// A pattern of the operator's.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) name: Arc<str>,
    pub(super) regex: Regex,
}

/// All names of built-in detectors.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PREFIXED.iter().map(|one| one.name).chain(SHAPES.iter().map(|one| one.name)).chain([ASSIGNED])
}

struct Pattern {
    known: &'static Prefixed,
    name: Arc<str>,
    regex: Regex,
}

impl Pattern {
    /// Where the secret is in a text that begins as this one does.
    ///
    /// What does not match near its start does not match: a text full of starts costs no square of its size.
    fn hold(&self, text: &str) -> Option<Range<usize>> {
        let mut near = text.len().min(WINDOW);
        while !text.is_char_boundary(near) {
            near -= 1;
        }
        let held = &text[..near];
        let whole = self.regex.find(held)?;
        let (secret, sure) = self.secret(held)?;
        if !sure && !(self.known.check)(&held[secret.clone()]) {
            return None;
        }
        // It goes on behind the window, and what it takes is never looked at again.
        let further = if whole.end() == near && near < text.len() { self.secret(text) } else { None };
        Some(further.map_or(secret, |(further, _)| further))
    }

    /// The part of the match that is secret, and whether nothing else must hold for it, as in quotes.
    fn secret(&self, text: &str) -> Option<(Range<usize>, bool)> {
        if !self.known.pattern.contains("(?P<") {
            return self.regex.find(text).map(|found| (found.range(), false));
        }
        let groups = self.regex.captures(text)?;
        let quoted = groups.name("double").or_else(|| groups.name("single"));
        let found = quoted.or_else(|| groups.name("secret"))?;
        Some((found.range(), quoted.is_some()))
    }
}

/// What one rule looks for.
pub(super) struct Detectors {
    starts: Option<AhoCorasick>,
    /// Tells where neither a start nor the sign of a shape is.
    grams: Grams,
    /// The pattern each start belongs to.
    owners: Vec<usize>,
    patterns: Vec<Arc<Pattern>>,
    shapes: Vec<(&'static Shape, Arc<str>)>,
    own: Vec<Own>,
    assigned: Option<Arc<str>>,
}

/// Compiled once for the process: it takes milliseconds.
fn patterns() -> &'static [Arc<Pattern>] {
    static ALL: OnceLock<Vec<Arc<Pattern>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let compile = |known: &'static Prefixed| {
            let regex = Regex::new(&format!("^(?:{})", known.pattern)).expect("a test compiles them all");
            Arc::new(Pattern { known, name: known.name.into(), regex })
        };
        PREFIXED.iter().map(compile).collect()
    })
}

impl Detectors {
    /// The built-in ones of which `wants` is true, and `own`.
    pub(super) fn new(wants: impl Fn(&str) -> bool, own: Vec<Own>) -> Self {
        let patterns: Vec<_> = patterns().iter().filter(|one| wants(one.known.name)).cloned().collect();
        let (mut starts, mut owners) = (Vec::new(), Vec::new());
        for (owner, pattern) in patterns.iter().enumerate() {
            starts.extend_from_slice(pattern.known.starts);
            owners.resize(starts.len(), owner);
        }
        let searcher = || {
            let mut builder = AhoCorasick::builder();
            builder.kind(Some(aho_corasick::AhoCorasickKind::DFA)).build(&starts).expect("a few short texts")
        };
        let starts = (!starts.is_empty()).then(searcher);
        let shapes: Vec<_> =
            SHAPES.iter().filter(|one| wants(one.name)).map(|one| (one, one.name.into())).collect();
        let signs = shapes.iter().filter_map(|(shape, _)| shape.sign);
        let grams = Grams::of(patterns.iter().flat_map(|one| one.known.starts).copied().chain(signs));
        let assigned = wants(ASSIGNED).then(|| ASSIGNED.into());
        Self { starts, grams, owners, patterns, shapes, own, assigned }
    }

    /// What is found in a text, in order, nothing overlapping.
    pub(super) fn find(&self, text: &str) -> Vec<Found> {
        let mut found = Vec::new();
        if text.len() >= LEAST {
            let told = self.grams.may_be_in(text);
            if let Some(starts) = self.starts.as_ref().filter(|_| told) {
                self.find_prefixed(starts, text, &mut found);
            }
            for (shape, name) in self
                .shapes
                .iter()
                .filter(|(shape, _)| shape.least <= text.len() && (told || shape.sign.is_none()))
            {
                (shape.find)(text, &mut |range| found.push(Found { range, name: name.clone() }));
            }
        }
        for own in &self.own {
            let matches = own.regex.find_iter(text).filter(|one| !one.is_empty());
            found.extend(matches.map(|one| Found { range: one.range(), name: own.name.clone() }));
        }
        merge(found)
    }

    fn find_prefixed(&self, starts: &AhoCorasick, text: &str, found: &mut Vec<Found>) {
        let mut done = 0;
        for start in starts.find_overlapping_iter(text) {
            let pattern = &self.patterns[self.owners[start.pattern().as_usize()]];
            if start.start() < done || (pattern.known.apart && !shapes::begins(text, start.start())) {
                continue;
            }
            if let Some(secret) = pattern.hold(&text[start.start()..]) {
                let range = start.start() + secret.start..start.start() + secret.end;
                done = range.end;
                found.push(Found { range, name: pattern.name.clone() });
            }
        }
    }

    /// The name under which a value is taken for a secret because of the key it has.
    pub(super) fn by_key(&self, key: &str) -> Option<&Arc<str>> {
        self.assigned.as_ref().filter(|_| table::is_secret_key(key))
    }
}

/// Makes one of those that overlap.
fn merge(mut found: Vec<Found>) -> Vec<Found> {
    if found.len() < 2 {
        return found;
    }
    found.sort_by_key(|one| (one.range.start, std::cmp::Reverse(one.range.end)));
    let mut merged: Vec<Found> = Vec::with_capacity(found.len());
    for one in found {
        match merged.last_mut() {
            Some(last) if one.range.start < last.range.end => {
                last.range.end = last.range.end.max(one.range.end);
            }
            _ => merged.push(one),
        }
    }
    merged
}

#[cfg(test)]
mod tests;
