//! Secrets in the text of a configuration, before any of it is shown.
//!
//! Owns what counts as one: the value of a key whose name says so, whatever looks like a provider's key,
//! and what addresses carry. Masks keep the length, so that places stay right. Rather masks too much.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::secret::is_variable;

const WORDS: [&str; 6] = ["key", "token", "secret", "passw", "credential", "authorization"];
const ENDS: &[char] = &['"', '\'', ' ', '\t', '\r', '\n', ',', ']', '}'];

/// The text with every secret replaced by asterisks.
pub(super) fn masked(text: &str) -> String {
    let mut hidden = Vec::new();
    let (root, errors) = DeTable::parse_recoverable(text);
    table(root.get_ref(), false, &mut hidden);
    if !errors.is_empty() {
        lines(text, &mut hidden);
    }
    provider_keys(text, &mut hidden);
    addresses(text, &mut hidden);
    hidden.sort_by_key(|range| range.start);
    let mut shown = String::with_capacity(text.len());
    let (mut ranges, mut end) = (hidden.into_iter().peekable(), 0);
    for (at, c) in text.char_indices() {
        while let Some(range) = ranges.next_if(|range| range.start <= at) {
            end = end.max(range.end);
        }
        if at >= end || matches!(c, '"' | '\'' | '\r' | '\n') {
            shown.push(c);
        } else {
            shown.extend(std::iter::repeat_n('*', c.len_utf8()));
        }
    }
    shown
}

fn names_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    WORDS.iter().any(|word| key.contains(word))
}

/// Values under keys that name a secret, but for those that say where it lies.
fn table(table: &DeTable<'_>, secret: bool, hidden: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        let place = match (key.get_ref().as_ref(), value.get_ref()) {
            ("env", DeValue::String(name)) => is_variable(name),
            ("file" | "credential", DeValue::String(_)) => true,
            _ => false,
        };
        if !(secret && place) {
            self::value(value.get_ref(), value.span(), secret || names_secret(key.get_ref()), hidden);
        }
    }
}

fn value(value: &DeValue<'_>, span: Range<usize>, secret: bool, hidden: &mut Vec<Range<usize>>) {
    match value {
        DeValue::Table(inner) => table(inner, secret, hidden),
        DeValue::Array(items) => {
            for item in items {
                self::value(item.get_ref(), item.span(), secret, hidden);
            }
        }
        _ if secret => hidden.push(span),
        _ => {}
    }
}

/// What follows such a word on its line, or up to the end of a text of many lines that begins there.
fn lines(text: &str, hidden: &mut Vec<Range<usize>>) {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let lower = line.to_ascii_lowercase();
        let word = WORDS.iter().filter_map(|word| lower.find(word).map(|at| at + word.len())).min();
        if let Some(at) = word {
            let rest = &line[at..];
            let past = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_-\"'".contains(c)));
            let from =
                at + past.map_or(0, |past| past + rest[past..].find(|c| !" =:".contains(c)).unwrap_or(0));
            let opened =
                ["\"\"\"", "'''"].into_iter().find(|quotes| line[from..].matches(quotes).count() == 1);
            let end = opened.map_or(start + line.len(), |quotes| {
                let next = start + line.len();
                text[next..].find(quotes).map_or(text.len(), |length| next + length)
            });
            hidden.push(start + from..end);
        }
        start += line.len();
    }
}

/// `sk-…`, wherever it stands.
fn provider_keys(text: &str, hidden: &mut Vec<Range<usize>>) {
    for (at, _) in text.match_indices("sk-") {
        let inside = text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
        let length = text[at..].find(ENDS).unwrap_or(text.len() - at);
        if !inside && length >= 8 {
            hidden.push(at + 3..at + length);
        }
    }
}

/// User and password of an address, and its query.
fn addresses(text: &str, hidden: &mut Vec<Range<usize>>) {
    for (at, scheme) in text.match_indices("://") {
        let start = at + scheme.len();
        let rest = &text[start..start + text[start..].find(ENDS).unwrap_or(text.len() - start)];
        if let Some(user) = rest.rfind('@') {
            hidden.push(start..start + user);
        }
        if let Some(query) = rest.find('?') {
            hidden.push(start + query + 1..start + rest.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_never_show_and_places_do() {
        for (text, shown) in [
            ("api_key = \"abc\"", "api_key = \"***\""),
            ("api_key = { env = \"KEY\" }", "api_key = { env = \"KEY\" }"),
            ("api_key = { env = \"a-b\" }", "api_key = { env = \"***\" }"),
            (
                "api_key = { file = \"/run/a\", value = \"x\" }",
                "api_key = { file = \"/run/a\", value = \"*\" }",
            ),
            ("[a.token]\nvalue = 'é'", "[a.token]\nvalue = '**'"),
            ("name = \"sk-abcdefgh\"", "name = \"sk-********\""),
            ("name = \"desk-abcdefgh\"", "name = \"desk-abcdefgh\""),
            ("proxy = \"http://u:p@h/?q\"", "proxy = \"http://***@h/?*\""),
            ("api_key = abc", "api_key = ***"),
            ("x = { api_key = \"abc\"", "x = { api_key = \"***\""),
            ("api_key = \"\"\"\nabc\n", "api_key = \"\"\"\n***\n"),
            ("api_key: abc", "api_key: ***"),
            ("Password \"abc", "Password \"***"),
            ("a = 1\nb = 'x'", "a = 1\nb = 'x'"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }
}
