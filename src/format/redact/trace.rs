//! What rules took out of a record, so that it is found wherever else the record says it.
//!
//! A value of four characters and more is replaced inside any text, a shorter one where it is the whole
//! text. Mail addresses count as equal whatever their case.

use std::collections::HashSet;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use memchr::{memchr_iter, memmem};

use super::text::{Kind, Leaf, encode};

/// Values with fewer characters are replaced as a whole only.
const LEAST: usize = 4;
/// Numbers with fewer digits too: a year is in every time.
const LEAST_NUMBER: usize = 6;
/// So much of a value is searched for; the rest is compared.
const SEARCHED: usize = 24;
/// Up to so many searched texts are looked for one by one, which costs less than an automaton for all.
const FEW: usize = 24;
/// Longest mail address.
const ADDRESS: usize = 320;
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
    /// Searched texts, each with the value it belongs to.
    needles: Vec<(String, usize)>,
    search: Search,
}

/// How the needles are looked for.
enum Search {
    Each(Vec<memmem::Finder<'static>>),
    /// By their beginnings.
    Together(AhoCorasick),
    /// There are more than can be searched for, so no text is shown.
    Never,
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
        let search = if needles.len() <= FEW {
            let finder = |(needle, _): &(String, usize)| memmem::Finder::new(needle.as_bytes()).into_owned();
            Search::Each(needles.iter().map(finder).collect())
        } else {
            let starts = needles.iter().map(|(text, _)| &text.as_bytes()[..text.len().min(SEARCHED)]);
            let mut builder = AhoCorasick::builder();
            builder.kind(Some(AhoCorasickKind::NoncontiguousNFA)).ascii_case_insensitive(true);
            builder.build(starts).map_or(Search::Never, Search::Together)
        };
        Finder { trace: self, needles, search }
    }
}

impl Finder<'_> {
    /// Whether a token may hold a value; one that does not need not be walked.
    pub(super) fn may_be_in(&self, token: &str) -> bool {
        token.contains('\\')
            || self.trace.values.iter().any(|value| value.whole)
            || self.hits(token).is_none_or(|hits| !hits.is_empty())
    }

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
        let Some(mut hits) = self.hits(text) else { return Some(super::DROPPED.to_owned()) };
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

    /// Where values are, and which; `None` when finding out would take too long.
    fn hits(&self, text: &str) -> Option<Vec<(Range<usize>, usize)>> {
        match &self.search {
            Search::Each(finders) => {
                let each = finders.iter().zip(&self.needles);
                Some(
                    each.flat_map(|(finder, (needle, value))| one_by_one(text, needle, finder, *value))
                        .collect(),
                )
            }
            Search::Together(automaton) => self.together(automaton, text),
            Search::Never => None,
        }
    }

    fn together(&self, automaton: &AhoCorasick, text: &str) -> Option<Vec<(Range<usize>, usize)>> {
        let (mut hits, mut compared) = (Vec::new(), 0);
        for hit in automaton.find_overlapping_iter(text) {
            let (needle, value) = &self.needles[hit.pattern().as_usize()];
            if is_there(text, hit.start(), needle) {
                hits.push((hit.start()..hit.start() + needle.len(), *value));
            }
            compared += if hit.start() + needle.len() > text.len() { 0 } else { needle.len() };
            if compared > COMPARED * (text.len() + SEARCHED * COMPARED) {
                return None;
            }
        }
        Some(hits)
    }
}

fn one_by_one(
    text: &str,
    needle: &str,
    finder: &memmem::Finder<'_>,
    value: usize,
) -> Vec<(Range<usize>, usize)> {
    let sign = needle.find('@').filter(|_| needle.len() <= ADDRESS);
    let found = |start: usize| (start..start + needle.len(), value);
    match sign {
        Some(sign) => memchr_iter(b'@', text.as_bytes())
            .filter_map(|at| at.checked_sub(sign))
            .filter(|start| is_there(text, *start, needle))
            .map(found)
            .collect(),
        None => finder.find_iter(text.as_bytes()).map(found).collect(),
    }
}

fn is_there(text: &str, start: usize, needle: &str) -> bool {
    let Some(there) = text.get(start..start + needle.len()) else { return false };
    there == needle || (needle.contains('@') && there.eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_nearly_holds_a_value_everywhere_is_replaced_whole() {
        let mut trace = Trace::default();
        for number in 0..=FEW {
            trace.add(&format!("{}{number}b", "a".repeat(5000)), "x", Kind::Text);
        }
        let finder = trace.finder();
        let (long, short) = ("a".repeat(400_000), "a".repeat(2000));
        assert_eq!(finder.replace_parts(&long).as_deref(), Some(super::super::DROPPED));
        assert_eq!(finder.replace_parts(&short), None);
    }

    #[test]
    fn few_and_many_values_are_found_alike() {
        let texts = ["see ann@example.com, ANN@Example.COM and sk-12345678", "nothing", "sk-12345678"];
        for more in [0, 2 * FEW] {
            let mut trace = Trace::default();
            trace.add("Ann@example.com", "[m]", Kind::Text);
            trace.add("sk-12345678", "[k]", Kind::Text);
            (0..more).for_each(|number| trace.add(&format!("other value {number}"), "[o]", Kind::Text));
            let finder = trace.finder();
            let found = texts.map(|text| finder.replace_parts(text));
            assert_eq!(found[0].as_deref(), Some("see [m], [m] and [k]"));
            assert_eq!((found[1].as_deref(), found[2].as_deref()), (None, Some("[k]")));
        }
    }
}
