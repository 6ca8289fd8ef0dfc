//! The texts of a record: keys, strings with their escapes read, numbers as written.

use memchr::memmem::Finder;

use crate::record::reader::Shape;
use crate::record::{RawRecord, json};

/// Whether one of them holds what is looked for; of a record that is no object, whether its bytes do.
pub(super) fn holds(record: &RawRecord<'_>, needle: &Finder<'_>) -> bool {
    let text = (record.shape == Shape::Object).then(|| std::str::from_utf8(record.bytes).ok()).flatten();
    match text {
        Some(text) => any(text, |part| needle.find(part.as_bytes()).is_some()),
        None => needle.find(record.bytes).is_some(),
    }
}

/// Whether one text of an object is what `test` looks for.
fn any(object: &str, test: impl Fn(&str) -> bool) -> bool {
    let mut rest = object;
    while let Some(open) = memchr::memchr(b'"', rest.as_bytes()) {
        if between(&rest[..open]).any(&test) {
            return true;
        }
        let length = string(&rest[open..]);
        let token = &rest[open..open + length];
        // What stands for no text, a lone surrogate, is looked at as it is written.
        if json::text(token).map_or_else(|| test(token), |text| test(&text)) {
            return true;
        }
        rest = &rest[open + length..];
    }
    between(rest).any(test)
}

/// The numbers between two strings.
fn between(part: &str) -> impl Iterator<Item = &str> {
    let words = part.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
    words.filter(|word| word.starts_with(|c: char| c.is_ascii_digit() || c == '-'))
}

/// How long the string token is that this begins with.
fn string(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        // What follows a backslash is ASCII in valid JSON.
        at += 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_structure_is_not() {
        let bytes = br#"{"k\u00e9y": [1.5e3, -7, true], "p": "C:\\a\/b \"q\"\n", "lone": "ab\ud800c", "in": {"x": "\\"}, "n": 12}"#;
        let record = RawRecord::alone(bytes, [0; 32]);
        for (needle, there) in [
            ("kéy", true),
            ("C:\\a/b \"q\"\n", true),
            ("1.5e3", true),
            ("-7", true),
            ("12", true),
            ("ab", true),
            ("\\ud800", true),
            ("k\\u00e9y", false),
            ("true", false),
            ("\": ", false),
            ("[", false),
        ] {
            assert_eq!(holds(&record, &Finder::new(needle)), there, "{needle}");
        }
        let record = RawRecord { shape: Shape::Malformed, ..RawRecord::alone(b"no \xff json [", [0; 32]) };
        assert!(holds(&record, &Finder::new("json [")));
    }
}
