//! What the TOML reader says, in an operator's words.
//!
//! Owns the wording. A message keeps no value from the file: the excerpt shows it, or masks it. A rule of
//! our own puts the next step after a line feed; what the reader itself says is taken apart here.

use toml::de::Error;

use super::error::Problem;

/// Names that are this much alike are meant.
const ALIKE: f64 = 0.8;
const EXAMPLE: &str = "config.example.toml shows every key with its default";

/// An error of a table's reader; `also` are keys of the same table that others read.
pub(super) fn error(error: &Error, also: &[&str]) -> Problem {
    let message = error.message();
    let (what, hint) = if let Some((what, hint)) = message.split_once('\n') {
        (what.to_owned(), hint.to_owned())
    } else if message.starts_with("unknown field ") {
        let names = quoted(message);
        unknown("key", names.first().copied().unwrap_or_default(), names.iter().skip(1).chain(also).copied())
    } else if message.starts_with("unknown variant ") {
        let names = quoted(message);
        unknown("value", names.first().copied().unwrap_or_default(), names.iter().skip(1).copied())
    } else if message.starts_with("missing field ") {
        let name = quoted(message).first().copied().unwrap_or_default();
        (format!("missing key `{name}`"), format!("add `{name} = …`; {EXAMPLE}"))
    } else if let Some((found, expected)) = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.rsplit_once(", expected "))
    {
        mismatch(found, expected)
    } else if message.starts_with("wanted string or table") {
        mismatch("", "a string")
    } else {
        (message.to_owned(), EXAMPLE.to_owned())
    };
    Problem::new(error.span(), what, hint)
}

/// An error of the TOML parser.
pub(super) fn syntax(text: &str, error: &Error) -> Problem {
    let message = error.message();
    let end = text.len();
    let span = error.span().map_or(end..end, |span| span.start.min(end)..span.end.min(end));
    let (what, hint) = if message.starts_with("duplicate key") {
        (
            "this key or section is there twice",
            "keep one of the two; a second source or sink needs another name",
        )
    } else if message.starts_with("string values must be quoted") && span.is_empty() {
        ("not valid TOML: the value is missing", "write a value after `=`, or remove the line")
    } else if message.starts_with("string values must be quoted") {
        ("not valid TOML: text without quotes", "write texts, durations and sizes in double quotes: \"…\"")
    } else if message.starts_with("unclosed ") {
        (message, "add the closing bracket")
    } else if message.contains("escape") {
        ("not valid TOML: no such escape", "write a backslash twice, or the whole text in single quotes: '…'")
    } else if message.contains("string") {
        (message, "write texts as \"text\", on one line")
    } else {
        (message, "write `key = value`, one on a line, below a [section]")
    };
    let what = if what == message { format!("not valid TOML: {message}") } else { what.to_owned() };
    Problem::new(Some(span), what, hint)
}

/// A name that is none of `known`, and which of them may be meant.
pub(super) fn unknown<'a>(
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> (String, String) {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    let alike = |other: &str| strsim::jaro_winkler(name, other);
    let nearest = known.iter().copied().max_by(|a, b| alike(a).total_cmp(&alike(b)));
    let hint = match nearest {
        Some(nearest) if alike(nearest) >= ALIKE => format!("did you mean `{nearest}`?"),
        _ if known.is_empty() => format!("remove it: no {what} is known here"),
        _ => format!("known here: {}", known.join(", ")),
    };
    (format!("unknown {what} `{name}`"), hint)
}

/// A value of the wrong kind.
pub(super) fn mismatch(found: &str, expected: &str) -> (String, String) {
    let found = match found.split([' ', '`']).next().unwrap_or_default() {
        "integer" => ", found a number",
        "floating" => ", found a number with a point",
        "boolean" => ", found true or false",
        "string" => ", found a text",
        "sequence" => ", found an array",
        "map" => ", found a table",
        _ => "",
    };
    let (expected, hint) = match expected {
        "a string" | "path string" => ("a text", "write it in double quotes: \"…\""),
        "a boolean" => ("true or false", "write true or false, without quotes"),
        "a sequence" => ("an array", "write it in brackets: [\"…\", \"…\"]"),
        "a table that says where the secret lies" => {
            (expected, "write { env = \"NAME\" }, { file = \"/path\" } or { credential = \"name\" }")
        }
        _ if expected.starts_with("a nonzero ") => {
            ("a whole number of at least 1", "write the number without quotes, a point or a sign")
        }
        "u8" | "u16" | "u32" | "u64" | "usize" => {
            ("a whole number of at least 0", "write the number without quotes, a point or a sign")
        }
        "i8" | "i16" | "i32" | "i64" | "isize" => ("a whole number", "write a whole number, without quotes"),
        _ if expected.starts_with("struct ") => ("a table", "write a section [name], or { key = value }"),
        _ if expected.contains('"') => (expected, "write a whole number and a unit, in double quotes"),
        _ => (expected, EXAMPLE),
    };
    let found = if expected.contains("number") && found == ", found a number" { "" } else { found };
    (format!("expected {expected}{found}"), hint.to_owned())
}

/// The names a message holds in back quotes.
fn quoted(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}
