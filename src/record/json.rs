//! JSON as text: objects are split into tokens, values are copied, never read into numbers and back.
//!
//! Depth costs nothing here: a nested value is skipped without recursion.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One member of an object: both parts are valid JSON, verbatim.
pub type Member<'a> = (&'a str, &'a str);

/// Sees the members of an object one after another.
struct Members<F>(F);

impl<'de, F: FnMut(Member<'de>)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            self.0((key.get(), value.get()));
        }
        Ok(())
    }
}

/// Calls `see` for each member of an object; `None` when the text is no JSON object, and whatever was
/// seen of it means nothing.
fn each<'a>(text: &'a str, see: impl FnMut(Member<'a>)) -> Option<()> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_map(Members(see)).ok()?;
    deserializer.end().ok()
}

/// Splits an object; `None` when the text is no JSON object.
pub fn members(text: &str) -> Option<Vec<Member<'_>>> {
    let mut members = Vec::with_capacity(12);
    each(text, |member| members.push(member))?;
    Some(members)
}

/// The first value of each key; `None` when the text is no JSON object.
pub fn first<'a, const N: usize>(text: &'a str, keys: [&str; N]) -> Option<[Option<&'a str>; N]> {
    let mut found = [None; N];
    each(text, |(name, value)| {
        let name = self::text(name);
        for (found, key) in found.iter_mut().zip(keys) {
            if found.is_none() && name.as_deref() == Some(key) {
                *found = Some(value);
            }
        }
    })?;
    Some(found)
}

/// The text a string token stands for; `None` for another token, or one that stands for no text.
pub fn text(token: &str) -> Option<Cow<'_, str>> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(token).ok().map(Cow::Owned)
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
    serde_json::to_writer(out, text).expect("a text always becomes a token");
}
