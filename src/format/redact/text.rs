//! The texts inside a JSON token: found, handed out decoded, and put back.
//!
//! Owns the walk. It goes through valid JSON without recursion, so depth costs nothing, and copies what is
//! not changed verbatim. A text that is JSON itself is walked too. Never makes a token invalid.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::record::json;

/// JSON inside texts inside JSON is walked so deep.
const NESTED: usize = 4;

/// What a leaf is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Key,
    Text,
    Number,
}

/// A text, or the digits of a number.
pub(super) struct Leaf<'l> {
    pub(super) kind: Kind,
    pub(super) text: &'l str,
    /// The key it has.
    pub(super) key: Option<&'l str>,
}

/// What is to stand for a leaf; `None` when it stays.
pub(super) type Edit<'e> = dyn FnMut(&Leaf<'_>) -> Option<String> + 'e;

/// A token with its leaves changed; `None` when none was.
pub(super) fn rewrite(token: &str, edit: &mut Edit<'_>) -> Option<String> {
    if token.starts_with('"') {
        return edit_text(&decode(token), None, 0, edit).map(|new| encode(&new));
    }
    walk(token, 0, edit)
}

fn walk(token: &str, depth: usize, edit: &mut Edit<'_>) -> Option<String> {
    let bytes = token.as_bytes();
    let (mut out, mut copied, mut at) = (String::new(), 0, 0);
    let mut key: Option<Cow<'_, str>> = None;
    while let Some(byte) = bytes.get(at) {
        let start = at;
        let new = match byte {
            b'"' => {
                let escaped;
                (at, escaped) = json::string_end(bytes, at);
                let text = match token.get(start + 1..at - 1) {
                    Some(text) if !escaped => Cow::Borrowed(text),
                    _ => decode(&token[start..at]),
                };
                let is_key = bytes[at..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
                let new = if is_key {
                    edit(&Leaf { kind: Kind::Key, text: &text, key: None })
                } else {
                    edit_text(&text, key.as_deref(), depth, edit)
                };
                key = if is_key { Some(text) } else { key };
                new
            }
            b'-' | b'0'..=b'9' => {
                let number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
                at += bytes[at..].iter().take_while(|byte| number(byte)).count();
                edit(&Leaf { kind: Kind::Number, text: &token[start..at], key: key.as_deref() })
            }
            b'}' => {
                (key, at) = (None, at + 1);
                None
            }
            _ => {
                at += 1;
                None
            }
        };
        if let Some(new) = new {
            out.push_str(&token[copied..start]);
            out.push_str(&encode(&new));
            copied = at;
        }
    }
    if copied == 0 {
        return None;
    }
    out.push_str(&token[copied..]);
    Some(out)
}

/// A text: first as the JSON it may be, then as it is.
fn edit_text(text: &str, key: Option<&str>, depth: usize, edit: &mut Edit<'_>) -> Option<String> {
    let nested = if depth < NESTED && is_json(text) { walk(text, depth + 1, edit) } else { None };
    let whole = edit(&Leaf { kind: Kind::Text, text: nested.as_deref().unwrap_or(text), key });
    whole.or(nested)
}

fn is_json(text: &str) -> bool {
    let start = text.trim_ascii_start().as_bytes().first();
    matches!(start, Some(b'{' | b'[' | b'"')) && json::is_valid(text)
}

/// The text of a string token; halves of characters, which stand for no text, are replaced.
pub(super) fn decode(token: &str) -> Cow<'_, str> {
    if let Some(text) = json::text(token) {
        return text;
    }
    let (mut mended, mut rest) = (String::with_capacity(token.len()), token);
    while let Some(at) = rest.find('\\') {
        mended.push_str(&rest[..at]);
        rest = &rest[at..];
        let unit = |from: usize| rest.get(from..from + 4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let surrogate = rest.starts_with("\\u").then(|| unit(2)).flatten();
        let pair = rest.get(6..8) == Some("\\u") && unit(8).is_some_and(|low| low & 0xfc00 == 0xdc00);
        let (piece, length) = match surrogate {
            Some(unit) if unit & 0xfc00 == 0xd800 && pair => (&rest[..12], 12),
            Some(unit) if unit & 0xf800 == 0xd800 => ("\\ufffd", 6),
            _ => (&rest[..2.min(rest.len())], 2.min(rest.len())),
        };
        mended.push_str(piece);
        rest = &rest[length..];
    }
    mended.push_str(rest);
    json::text(&mended).map_or_else(|| Cow::Owned(String::new()), |text| Cow::Owned(text.into_owned()))
}

/// A text as a token.
pub(super) fn encode(text: &str) -> String {
    serde_json::to_string(text).expect("a text always becomes a token")
}

/// What becomes of a value: it stays, it goes, or another token takes its place.
pub(super) enum Fate {
    Stays,
    Goes,
    Becomes(String),
}

/// Changes the values at a path inside a token, in every element of a list on the way.
pub(super) fn within(token: &str, path: &[String], change: &mut dyn FnMut(&str) -> Fate) -> Fate {
    let Some((key, rest)) = path.split_first() else { return change(token) };
    match token.as_bytes().first() {
        Some(b'{') => {
            let Some(members) = json::members(token) else { return Fate::Stays };
            let parts = members.into_iter().map(|(name, value)| {
                let here = json::text(name).as_deref() == Some(key);
                (Some(name), value, if here { within(value, rest, change) } else { Fate::Stays })
            });
            join('{', parts.collect(), '}')
        }
        Some(b'[') => {
            let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(token) else { return Fate::Stays };
            let parts = items.into_iter().map(|item| (None, item.get(), within(item.get(), path, change)));
            join('[', parts.collect(), ']')
        }
        Some(b'"') => {
            let text = decode(token);
            if !text.trim_ascii_start().starts_with(['{', '[']) {
                return Fate::Stays;
            }
            match within(text.trim_ascii(), path, change) {
                Fate::Becomes(new) => Fate::Becomes(encode(&new)),
                fate => fate,
            }
        }
        _ => Fate::Stays,
    }
}

fn join(open: char, parts: Vec<(Option<&str>, &str, Fate)>, close: char) -> Fate {
    if parts.iter().all(|(.., fate)| matches!(fate, Fate::Stays)) {
        return Fate::Stays;
    }
    let mut out = String::from(open);
    for (name, value, fate) in parts {
        let value = match &fate {
            Fate::Stays => value,
            Fate::Becomes(new) => new,
            Fate::Goes => continue,
        };
        if out.len() > 1 {
            out.push(',');
        }
        if let Some(name) = name {
            out.push_str(name);
            out.push(':');
        }
        out.push_str(value);
    }
    out.push(close);
    Fate::Becomes(out)
}
