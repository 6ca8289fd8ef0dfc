//! Trimming: a record that is longer than its sink takes still goes out, and says what it lacks.
//!
//! Long texts share what room there is, short ones stay whole. A text ends on a character boundary, never
//! inside an escape or between two halves of a surrogate pair, so what is left is the beginning of the
//! original. What has no beginning of its own (`unmapped`, `raw`, tool input that is no text) stays whole
//! or is left out. `truncated` names each such part with its original length and hash. Where even that is
//! too long, what is left says what the record was and where it lies. Pure, like all formats.

use std::borrow::Cow;

use super::object::Object;
use super::{Format, Options, ecs, native, ocsf};
use crate::digest::sha256;
use crate::record::{Record, json};

/// What a member costs beside its token, at most: keys, punctuation, and the objects around it.
const MEMBER_BYTES: usize = 40;
const DEEP_MEMBER_BYTES: usize = 160;
/// Longest token of upstream's that a record without its fields still shows.
pub(super) const SHORT_TOKEN: usize = 96;

/// The path of `raw`; unlike the others it is there only when it is asked for.
pub(super) const RAW: &str = "raw";
/// The path of `unmapped`.
pub(super) const UNMAPPED: &str = "unmapped";

/// The parts of a record that may be cut, by path, with a way to their tokens.
const TEXTS: [(&str, Find); 5] = [
    ("outcome.message", |record| record.outcome.message),
    ("tool_calls.arguments", |record| record.tool_call.arguments),
    ("tool_calls.result", |record| record.tool_call.result),
    ("prompt_text", |record| record.prompt_text),
    ("response_text", |record| record.response_text),
];
type Find = for<'a> fn(&Record<'a>) -> Option<&'a str>;

/// What is left of the parts that were cut; empty for a record that goes out whole.
#[derive(Debug, Default)]
pub(super) struct Cuts(Vec<Cut>);

/// One part that does not go out as it is.
#[derive(Debug)]
struct Cut {
    path: &'static str,
    /// The token that takes its place.
    left: Option<String>,
    bytes: u64,
    sha256: [u8; 32],
}

/// A part that may be cut.
struct Part<'a> {
    path: &'static str,
    token: Cow<'a, str>,
    /// Whether a beginning of it means something.
    text: bool,
    /// How often it is written.
    copies: usize,
    /// What the member takes beside it.
    member: usize,
}

/// How a format writes whole records, and what is left of one that is too long even without its texts.
struct Layout {
    whole: fn(&Record<'_>, Options, &Cuts, &mut Vec<u8>),
    outline: fn(&Record<'_>, Options, usize, &mut Vec<u8>),
    /// How often it writes a text.
    copies: fn(&str) -> usize,
    member: usize,
}

impl Layout {
    /// For a raw record that is too long, the native one stands in. Flat formats shorten their own lines and
    /// never come here.
    fn of(format: Format) -> Self {
        let once = |_: &str| 1;
        match format {
            Format::Raw | Format::Native | Format::Cef | Format::Leef => {
                Self { whole: native::encode, outline: native::outline, copies: once, member: MEMBER_BYTES }
            }
            Format::Ecs => Self {
                whole: ecs::encode,
                outline: ecs::outline,
                copies: ecs::copies,
                member: DEEP_MEMBER_BYTES,
            },
            Format::Ocsf => {
                Self { whole: ocsf::encode, outline: ocsf::outline, copies: once, member: DEEP_MEMBER_BYTES }
            }
        }
    }
}

impl Cuts {
    /// What an outline says: all of the record is somewhere else.
    pub(super) fn outline(record: &Record<'_>) -> Self {
        let (bytes, sha256) = (record.raw.length, record.raw.sha256);
        Self(vec![Cut { path: "record", left: None, bytes, sha256 }])
    }

    /// What is written at `path` instead of `token`.
    pub(super) fn of<'t>(&'t self, path: &str, token: Option<&'t str>) -> Option<&'t str> {
        match self.0.iter().find(|cut| cut.path == path) {
            Some(cut) => cut.left.as_deref(),
            None => token,
        }
    }

    /// Whether the part at `path` is not there at all.
    pub(super) fn drops(&self, path: &str) -> bool {
        self.0.iter().any(|cut| cut.path == path && cut.left.is_none())
    }

    /// Whether the record goes out whole.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes what was cut, a member each.
    pub(super) fn write(&self, object: &mut Object<'_>) {
        for cut in &self.0 {
            object.object(cut.path, |entry| {
                entry.number("bytes", cut.bytes);
                entry.hash("sha256", &cut.sha256);
            });
        }
    }
}

/// Appends a record of at most `max` bytes, made from one that is longer.
pub(super) fn encode(record: &Record<'_>, options: Options, max: usize, out: &mut Vec<u8>) {
    let start = out.len();
    let layout = Layout::of(options.format);
    if options.format == Format::Raw {
        (layout.whole)(record, options, &Cuts::default(), out);
        if out.len() - start <= max {
            return;
        }
        out.truncate(start);
    }
    let parts = parts(record, options, &layout);
    let mut cuts = Cuts(parts.iter().map(|part| cut(record, part, 0)).collect());
    (layout.whole)(record, options, &cuts, out);
    let Some(room) = max.checked_sub(out.len() - start) else {
        out.truncate(start);
        return (layout.outline)(record, options, max, out);
    };
    out.truncate(start);
    cuts.0.clear();
    for (part, grant) in parts.iter().zip(share(&parts, room)) {
        if part.path == RAW || grant < part.token.len() {
            cuts.0.push(cut(record, part, grant));
        }
    }
    (layout.whole)(record, options, &cuts, out);
    debug_assert!(out.len() - start <= max, "what was counted is what was written");
}

/// A token of upstream's, if it is short.
pub(super) fn short(token: Option<&str>) -> Option<&str> {
    token.filter(|token| token.len() <= SHORT_TOKEN)
}

/// The parts of a record that go out with these options.
fn parts<'a>(record: &Record<'a>, options: Options, layout: &Layout) -> Vec<Part<'a>> {
    if !native::is_full(options) {
        return Vec::new();
    }
    let part = |path, token: Cow<'a, str>| {
        let text = token.starts_with('"');
        Part { path, token, text, copies: (layout.copies)(path), member: layout.member }
    };
    let found = TEXTS.iter().filter_map(|(path, find)| find(record).map(|token| (*path, token)));
    let mut parts: Vec<Part<'a>> = found.map(|(path, token)| part(path, token.into())).collect();
    if record.has_unmapped() {
        let mut rest = Vec::new();
        record.write_unmapped(&mut rest);
        let token = String::from_utf8(rest).expect("made of tokens, which are text");
        parts.push(part(UNMAPPED, token.into()));
    }
    if native::wants_raw(record, options) {
        parts.push(part(RAW, Cow::Borrowed("")));
    }
    parts
}

/// What a part takes of the room when it stays whole.
fn cost(part: &Part<'_>) -> usize {
    part.token.len() * part.copies + if part.text { 0 } else { part.member }
}

/// Divides the room, in the order of the parts: short ones stay whole and leave what they do not need to
/// the long ones; what can only be whole and is longer than its share is left out, the longest first.
fn share(parts: &[Part<'_>], room: usize) -> Vec<usize> {
    // Of a record that is too long, `raw` is more than all other parts together.
    let mut rest: Vec<usize> = (0..parts.len()).filter(|at| parts[*at].path != RAW).collect();
    rest.sort_by_key(|at| cost(&parts[*at]));
    let level = loop {
        let level = level(rest.iter().map(|at| cost(&parts[*at])), room);
        let longest = rest.iter().rposition(|at| !parts[*at].text && cost(&parts[*at]) > level);
        let Some(longest) = longest else { break level };
        rest.remove(longest);
    };
    let mut grants = vec![0; parts.len()];
    for at in rest {
        let part = &parts[at];
        grants[at] = if cost(part) <= level { part.token.len() } else { level / part.copies };
    }
    grants
}

/// What each of these costs, shortest first, may take at most so that all fit.
fn level(costs: impl ExactSizeIterator<Item = usize>, room: usize) -> usize {
    let (mut left, mut sharers) = (room, costs.len());
    for cost in costs {
        let fair = left / sharers;
        if cost > fair {
            return fair;
        }
        (left, sharers) = (left - cost, sharers - 1);
    }
    usize::MAX
}

/// Cuts one part to at most `most` bytes.
fn cut(record: &Record<'_>, part: &Part<'_>, most: usize) -> Cut {
    let left = part.text.then(|| beginning(&part.token, most));
    let (bytes, sha256) = match part.path {
        RAW => (record.raw.length, record.raw.sha256),
        _ => measure(part),
    };
    Cut { path: part.path, left, bytes, sha256 }
}

/// Length and hash of the text a token stands for; of the token itself where it stands for none.
fn measure(part: &Part<'_>) -> (u64, [u8; 32]) {
    let text = if part.text { json::text(&part.token) } else { None };
    let text = text.as_deref().unwrap_or(&part.token);
    (text.len() as u64, sha256(text.as_bytes()))
}

/// The beginning of a string token as a token of at most `most` bytes, but always a token.
fn beginning(token: &str, most: usize) -> String {
    let inner = &token[1..token.len() - 1];
    let room = most.saturating_sub(2);
    let mut end = 0;
    while let Some(next) = inner.get(end..).filter(|rest| !rest.is_empty()).map(step) {
        if end + next > room {
            break;
        }
        end += next;
    }
    format!("\"{}\"", &inner[..end])
}

/// Bytes of the first character, as it is written inside a string token.
fn step(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    match bytes {
        [b'\\', b'u', ..] => {
            let low = bytes.len() >= 12 && bytes[6..8] == *b"\\u" && is_surrogate(&bytes[8..12], 0xdc00);
            if low && is_surrogate(&bytes[2..6], 0xd800) { 12 } else { 6.min(bytes.len()) }
        }
        [b'\\', ..] => 2.min(bytes.len()),
        _ => rest.chars().next().map_or(1, char::len_utf8),
    }
}

/// Whether four hex digits are a surrogate of the half that begins at `half`.
fn is_surrogate(digits: &[u8], half: u16) -> bool {
    let number = std::str::from_utf8(digits).ok().and_then(|digits| u16::from_str_radix(digits, 16).ok());
    number.is_some_and(|number| number & 0xfc00 == half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_never_goes_through_a_character() {
        let token = r#""a\n\u00e9\ud83d\ude00é\ud83dz""#;
        let all: Vec<String> = (0..=token.len()).map(|most| beginning(token, most)).collect();
        let mut different = all.clone();
        different.dedup();
        assert_eq!(
            different,
            [
                r#""""#,
                r#""a""#,
                r#""a\n""#,
                r#""a\n\u00e9""#,
                r#""a\n\u00e9\ud83d\ude00""#,
                r#""a\n\u00e9\ud83d\ude00é""#,
                r#""a\n\u00e9\ud83d\ude00é\ud83d""#,
                token
            ]
        );
        assert!(all.iter().enumerate().all(|(most, cut)| cut.len() <= most.max(2)));
    }
}
