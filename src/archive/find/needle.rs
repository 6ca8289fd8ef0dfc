//! Looks for texts in bytes that were not parsed, and never misses one.
//!
//! JSON may write a character as it is or as an escape. So what is looked for is the longest part of a text that
//! needs no escape, as it is; and, since even that may be escaped, each `\uXXXX` that stands for one of its
//! characters. What is found may still be something else; what is not found is not there.

use aho_corasick::AhoCorasick;
use memchr::memmem::Finder;

/// What every record has that holds one of some texts.
#[derive(Debug)]
pub(super) struct Probe {
    parts: AhoCorasick,
    escape: Finder<'static>,
    /// UTF-16 units of the parts, sorted.
    units: Vec<u16>,
    /// Bytes of the longest part.
    longest: usize,
}

/// Both forms are looked for in so many bytes at a time: where one is in every line, the other, which is nowhere,
/// must not be looked for in all that follows each time.
const BLOCK: usize = 32 * 1024;

impl Probe {
    /// None when there is no text, or one of them has no part to look for.
    pub(super) fn of(texts: &[String], any_case: bool) -> Option<Self> {
        let parts: Vec<&str> = texts.iter().map(|text| plain_part(text)).collect();
        if parts.is_empty() || parts.contains(&"") {
            return None;
        }
        let mut units = Vec::new();
        for part in &parts {
            units.extend(part.encode_utf16());
            if any_case {
                units.extend(part.to_ascii_lowercase().encode_utf16());
                units.extend(part.to_ascii_uppercase().encode_utf16());
            }
        }
        units.sort_unstable();
        units.dedup();
        let longest = parts.iter().map(|part| part.len()).max().unwrap_or_default();
        let parts = AhoCorasick::builder().ascii_case_insensitive(any_case).build(&parts).ok()?;
        Some(Self { parts, escape: Finder::new(b"\\u"), units, longest })
    }

    /// Where the first trace of them is.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<usize> {
        let mut from = 0;
        while from < bytes.len() {
            let to = (from + BLOCK).min(bytes.len());
            // What begins in the block may end behind it.
            let block = &bytes[from..(to + self.longest).min(bytes.len())];
            let as_it_is = self.parts.find(block).map(|found| from + found.start());
            let before = &bytes[from..as_it_is.unwrap_or((to + 1).min(bytes.len()))];
            let escapes = self.escape.find_iter(before).map(|at| from + at);
            let trace = escapes.into_iter().find(|at| self.is_one(&bytes[at + 2..])).or(as_it_is);
            if trace.is_some() {
                return trace;
            }
            from = to;
        }
        None
    }

    /// Whether four digits stand for one of our characters.
    fn is_one(&self, rest: &[u8]) -> bool {
        let digits = rest.get(..4).and_then(|digits| std::str::from_utf8(digits).ok());
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        unit.is_some_and(|unit| self.units.binary_search(&unit).is_ok())
    }
}

/// The longest part of a text without what JSON escapes by rule or by habit.
fn plain_part(text: &str) -> &str {
    let parts = text.split(|c: char| c.is_control() || matches!(c, '"' | '\\' | '/'));
    parts.max_by_key(|part| part.len()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(texts: &[&str], any_case: bool, bytes: &str) -> Option<usize> {
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        Probe::of(&texts, any_case).expect("something to look for").find(bytes.as_bytes())
    }

    #[test]
    fn every_form_of_a_text_leaves_a_trace() {
        for (text, bytes, at) in [
            ("plain", "a plain text", Some(2)),
            ("é", "caf\u{e9}", Some(3)),
            ("é", r"caf\u00E9", Some(3)),
            ("a", r"\u0061", Some(0)),
            ("😀", r"x\ud83d\uDE00", Some(1)),
            ("/etc/passwd", r"\/etc\/passwd", Some(7)),
            ("x\ny\"long\\", r"long", Some(0)),
            ("plain", r"plai \u003c \u005z \u", None),
        ] {
            assert_eq!(found(&[text], false, bytes), at, "{text} in {bytes}");
        }
        assert_eq!(found(&["Ann@X.org", "b"], true, "a aNN@x.ORG"), Some(2));
        assert_eq!(found(&["Ann@X.org", "z"], true, r"ann\u0040"), Some(3));
        assert_eq!(found(&["Ann@X.org"], false, "ann@x.org"), None);
    }

    #[test]
    fn no_edge_of_a_block_hides_a_trace() {
        for text in ["needle", r"\u006E", r"\u0065"] {
            for at in BLOCK - 8..=BLOCK + 2 {
                let bytes = format!("{}{text} {}", " ".repeat(at), "needle".repeat(3));
                assert_eq!(found(&["needle"], false, &bytes), Some(at), "{text}");
                assert_eq!(found(&["needle", "x"], true, &bytes), Some(at), "{text}");
            }
        }
    }

    #[test]
    fn what_has_no_plain_part_is_not_looked_for() {
        for texts in [&[][..], &[String::new()], &["\"\n".to_owned(), "x".to_owned()]] {
            assert!(Probe::of(texts, false).is_none(), "{texts:?}");
        }
    }
}
