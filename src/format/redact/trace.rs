//! What rules took out of a record, so that it is found wherever else the record says it.
//!
//! A value of four characters and more is replaced inside any text, a shorter one where it is the whole
//! text. Mail addresses count as equal whatever their case.

use std::collections::HashSet;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::text::{Kind, Leaf, encode};

/// Values with fewer characters are replaced as a whole only.
const LEAST: usize = 4;
/// Numbers with fewer digits too: a year is in every time.
const LEAST_NUMBER: usize = 6;
/// So much of a value is searched for; the rest is compared.
const SEARCHED: usize = 24;
/// Comparing takes at most so many bytes for each byte of a text; one that needs more is replaced as a whole.
const COMPARED: usize = 64;

struct Value {
    text: String,
    instead: String,
    whole: bool,
}

/// Values and what stands for them.
#[derive(Default)]
pub(super) struct Trace {
    values: Vec<Value>,
    known: HashSet<String>,
    instead: HashSet<String>,
}

/// A trace that can be followed.
pub(super) struct Finder<'t> {
    trace: &'t Trace,
    /// Searched texts, each with the value it is the beginning of.
    needles: Vec<(String, usize)>,
    search: Option<AhoCorasick>,
}

impl Trace {
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Notes a value that was taken out.
    pub(super) fn add(&mut self, text: &str, instead: &str, kind: Kind) {
        if text.is_empty() || self.instead.contains(text) || !self.known.insert(text.to_owned()) {
            return;
        }
        let least = if kind == Kind::Number { LEAST_NUMBER } else { LEAST };
        let whole = text.chars().take(least).count() < least;
        self.instead.insert(instead.to_owned());
        self.values.push(Value { text: text.to_owned(), instead: instead.to_owned(), whole });
    }

    /// Makes it ready to be searched for.
    pub(super) fn finder(&self) -> Finder<'_> {
        let mut needles = Vec::new();
        for (at, value) in self.values.iter().enumerate().filter(|(_, value)| !value.whole) {
            // Inside a piece of JSON that is no JSON as a whole, it is written with escapes.
            let once = encode(&value.text);
            let once = &once[1..once.len() - 1];
            needles.push((value.text.clone(), at));
            if once != value.text {
                let twice = encode(once);
                needles.push((once.to_owned(), at));
                needles.push((twice[1..twice.len() - 1].to_owned(), at));
            }
        }
        let starts: Vec<&[u8]> =
            needles.iter().map(|(text, _)| &text.as_bytes()[..text.len().min(SEARCHED)]).collect();
        let build = || {
            let mut builder = AhoCorasick::builder();
            builder.kind(Some(AhoCorasickKind::NoncontiguousNFA)).ascii_case_insensitive(true);
            // Only more values than a record can have would be too many.
            builder.build(&starts).ok()
        };
        let search = if starts.is_empty() { None } else { build() };
        Finder { trace: self, needles, search }
    }
}

impl Finder<'_> {
    /// What is to stand for a leaf that holds a value.
    pub(super) fn replace(&self, leaf: &Leaf<'_>) -> Option<String> {
        let text = leaf.text;
        if self.trace.instead.contains(text) {
            return None;
        }
        if leaf.kind == Kind::Number || text.chars().take(LEAST_NUMBER).count() < LEAST_NUMBER {
            let long = leaf.kind != Kind::Number || text.len() >= LEAST;
            let same = self.trace.values.iter().find(|value| long && value.text == text);
            if let Some(value) = same {
                return Some(value.instead.clone());
            }
        }
        if leaf.kind == Kind::Number { None } else { self.replace_parts(text) }
    }

    fn replace_parts(&self, text: &str) -> Option<String> {
        let mut hits = Vec::new();
        let mut compared = 0;
        for hit in self.search.as_ref()?.find_overlapping_iter(text) {
            let (needle, value) = &self.needles[hit.pattern().as_usize()];
            if Self::is_there(text, hit.start(), needle) {
                hits.push((hit.start()..hit.start() + needle.len(), *value));
            }
            compared += if hit.start() + needle.len() > text.len() { 0 } else { needle.len() };
            if compared > COMPARED * (text.len() + SEARCHED * COMPARED) {
                return Some(super::DROPPED.to_owned());
            }
        }
        hits.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let mut hits = hits.into_iter().peekable();
        let (mut out, mut copied) = (String::new(), 0);
        while let Some((mut range, value)) = hits.next() {
            // What overlaps is replaced together.
            while let Some((next, _)) = hits.next_if(|(next, _)| next.start < range.end) {
                range.end = range.end.max(next.end);
            }
            out.push_str(&text[copied..range.start]);
            out.push_str(&self.trace.values[value].instead);
            copied = range.end;
        }
        if copied == 0 {
            return None;
        }
        out.push_str(&text[copied..]);
        Some(out)
    }

    fn is_there(text: &str, start: usize, needle: &str) -> bool {
        let Some(there) = text.get(start..start + needle.len()) else { return false };
        there == needle || (needle.contains('@') && there.eq_ignore_ascii_case(needle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_nearly_holds_a_value_everywhere_is_replaced_whole() {
        let mut trace = Trace::default();
        trace.add(&format!("{}b", "a".repeat(5000)), "x", Kind::Text);
        let finder = trace.finder();
        let (long, short) = ("a".repeat(400_000), "a".repeat(6000));
        assert_eq!(finder.replace_parts(&long).as_deref(), Some(super::super::DROPPED));
        assert_eq!(finder.replace_parts(&short[..2000]), None);
    }
}
