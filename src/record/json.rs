//! JSON as text: objects are split into tokens, values are copied, never read into numbers and back.
//!
//! Depth costs nothing here: a nested value is skipped without recursion.

mod scan;
pub(super) mod tree;

use std::borrow::Cow;

use scan::Scanner;

/// One member of an object: both parts are valid JSON, verbatim.
pub type Member<'a> = (&'a str, &'a str);

/// Calls `see` for each member of an object, with whether its key is escaped; `None` when the text is no
/// JSON object, and whatever was seen of it means nothing.
#[inline]
fn each<'a>(text: &'a str, mut see: impl FnMut(Member<'a>, bool)) -> Option<()> {
    let mut scanner = Scanner::new(text);
    let mut more = scanner.open()?;
    while more {
        let key = scanner.key()?;
        let name = &text[key.start..scanner.at()];
        scanner.colon()?;
        scanner.next()?;
        let start = scanner.at();
        scanner.value()?;
        see((name, &text[start..scanner.at()]), key.escaped);
        more = scanner.more()?;
    }
    scanner.end()
}

/// Splits an object; `None` when the text is no JSON object.
pub fn members(text: &str) -> Option<Vec<Member<'_>>> {
    let mut members = Vec::with_capacity(12);
    each(text, |member, _| members.push(member))?;
    Some(members)
}

/// The first value of each key; `None` when the text is no JSON object.
pub fn first<'a, const N: usize>(text: &'a str, keys: [&str; N]) -> Option<[Option<&'a str>; N]> {
    let mut found = [None; N];
    each(text, |(name, value), escaped| {
        for (found, key) in found.iter_mut().zip(keys) {
            if found.is_none() && is_name(name, escaped, key) {
                *found = Some(value);
            }
        }
    })?;
    Some(found)
}

/// Whether a key's token stands for `name`.
pub(super) fn is_name(token: &str, escaped: bool, name: &str) -> bool {
    if escaped {
        return text(token).as_deref() == Some(name);
    }
    token.len() == name.len() + 2 && token.as_bytes()[1..=name.len()] == *name.as_bytes()
}

/// Whether a text is one JSON value.
pub fn is_valid(text: &str) -> bool {
    let mut scanner = Scanner::new(text);
    scanner.value().and_then(|()| scanner.end()).is_some()
}

/// The end of the string that begins at `start` of a valid text, and whether anything in it is escaped.
pub fn string_end(bytes: &[u8], start: usize) -> (usize, bool) {
    let (mut at, mut escaped) = (scan::plain_until(bytes, start + 1), false);
    while bytes.get(at) == Some(&b'\\') {
        (at, escaped) = (scan::plain_until(bytes, at + 2), true);
    }
    ((at + 1).min(bytes.len()), escaped)
}

/// The text a string token stands for; `None` for another token, or one that stands for no text.
pub fn text(token: &str) -> Option<Cow<'_, str>> {
    if let Some(text) = plain(token) {
        return Some(Cow::Borrowed(text));
    }
    serde_json::from_str::<String>(token).ok().map(Cow::Owned)
}

/// The text of a string token that has no escapes.
pub fn plain(token: &str) -> Option<&str> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    (scan::plain_until(inner.as_bytes(), 0) == inner.len()).then_some(inner)
}

/// Whether a token is a string that is not empty.
pub fn is_text(token: &str) -> bool {
    token.len() > 2 && token.starts_with('"')
}

/// Whether a token is a whole number, zero or more.
pub fn is_count(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit())
}

/// Appends `text` as a string token.
pub fn push_text(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let (bytes, mut copied) = (text.as_bytes(), 0);
    loop {
        let end = scan::plain_until(bytes, copied);
        out.extend_from_slice(&bytes[copied..end]);
        let Some(byte) = bytes.get(end) else { break };
        push_escape(*byte, out);
        copied = end + 1;
    }
    out.push(b'"');
}

/// Appends a whole number.
pub fn push_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[start..]);
        }
    }
}

fn push_escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            return crate::digest::push_hex(&[byte], out);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests;
