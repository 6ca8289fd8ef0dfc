//! Lines of keys and values: what `cef` and `leef` share.
//!
//! A value is cut to its limit on a character boundary before it is escaped, so no escape is ever split. A
//! line that is longer than its sink takes loses its long texts first, then its other long values down to
//! what still names them, then keys from the end of the table; one key names what was cut. Whatever a record
//! holds, its line stays one line. Never knows a key by name: the tables are in `cef` and `leef`. Pure.

use std::borrow::Cow;

use jiff::Timestamp;

use super::mapping::Row;
use super::{Content, Options, native};
use crate::record::{Record, json};

/// What a value keeps when others must go, bytes as written.
const SHORT: usize = 64;
/// A beginning shorter than this tells nothing.
const LEAST: usize = 16;
/// What event type and action may each take of a header, bytes as written.
const HEAD_PART: usize = 48;
/// Most digits of a number that every receiver can hold in 64 bits.
pub(super) const NUMBER: usize = 18;
/// Most bytes of an IP address, as text.
pub(super) const ADDRESS: usize = 45;
/// Stands for the list of what was cut where that itself has no room.
const MUCH: &str = "*";

/// A way from a record to a text.
type Get = for<'r> fn(&'r Record<'_>, Options) -> Option<Cow<'r, str>>;

/// One row of a format's table. Several may share a key: the first that has a value is told.
pub(super) struct Field {
    key: &'static str,
    native: &'static str,
    /// Bytes, unescaped.
    limit: usize,
    note: &'static str,
    get: Get,
    /// What the key means, told in a key of its own.
    label: Option<&'static str>,
    /// A beginning of it means nothing.
    whole: bool,
}

impl Field {
    pub(super) const fn new(
        key: &'static str,
        native: &'static str,
        limit: usize,
        note: &'static str,
        get: Get,
    ) -> Self {
        Self { key, native, limit, note, get, label: None, whole: false }
    }

    pub(super) const fn labelled(self, label: &'static str) -> Self {
        Self { label: Some(label), ..self }
    }

    pub(super) const fn whole(self) -> Self {
        Self { whole: true, ..self }
    }
}

/// How a format writes its lines.
pub(super) struct Syntax {
    /// What must survive first.
    pub(super) fields: &'static [Field],
    /// Keys that go first when a line is too long.
    pub(super) long: &'static [&'static str],
    /// The key that names what was cut.
    pub(super) truncated: &'static str,
    /// Between two pairs.
    pub(super) between: char,
    /// Appends one character of a value.
    pub(super) escape: fn(char, &mut String),
}

/// A key with its value, as written.
struct Pair {
    field: &'static Field,
    value: String,
}

impl Syntax {
    /// Appends the pairs of a record behind `head`; the whole has at most `max` bytes if it can be.
    pub(super) fn write(
        &self,
        head: &str,
        record: &Record<'_>,
        options: Options,
        max: Option<usize>,
        out: &mut Vec<u8>,
    ) {
        let mut cut = Vec::new();
        let mut pairs: Vec<Pair> = Vec::with_capacity(self.fields.len());
        for field in self.fields {
            if pairs.iter().any(|pair| pair.field.key == field.key) {
                continue;
            }
            let Some(text) = (field.get)(record, options) else { continue };
            let mut kept = beginning(&text, field.limit);
            if kept.len() < text.len() {
                cut.push(field.key);
                kept = if field.whole { "" } else { kept };
            }
            let value = self.escaped(kept, usize::MAX);
            if !value.trim().is_empty() {
                pairs.push(Pair { field, value });
            }
        }
        if let Some(max) = max {
            self.fit(max.saturating_sub(head.len()), &mut pairs, &mut cut);
        }
        let mut line = head.to_owned();
        let rest = max.map(|max| max.saturating_sub(head.len()));
        self.join(&pairs, &self.told(&pairs, &cut, rest), &mut line);
        out.extend_from_slice(line.as_bytes());
    }

    /// Makes the pairs shorter until they fit.
    fn fit(&self, max: usize, pairs: &mut Vec<Pair>, cut: &mut Vec<&'static str>) {
        let mut others: Vec<&str> = pairs.iter().map(|pair| pair.field.key).collect();
        others.retain(|key| !self.long.contains(key));
        let mut longest = others.clone();
        let length = |pairs: &[Pair], key: &str| {
            pairs.iter().find(|pair| pair.field.key == key).map_or(0, |pair| pair.value.len())
        };
        longest.sort_by_key(|key| std::cmp::Reverse(length(pairs, key)));
        let long = self.long.iter().map(|key| (*key, 0));
        let longest = longest.into_iter().map(|key| (key, SHORT));
        let last = others.into_iter().rev().map(|key| (key, 0));
        for (key, least) in long.chain(longest).chain(last) {
            let Some(at) = pairs.iter().position(|pair| pair.field.key == key) else { continue };
            if self.length(pairs, cut) <= max {
                return;
            }
            let field = pairs[at].field;
            if least > 0 && (pairs[at].value.len() <= least || field.whole) {
                continue;
            }
            if !cut.contains(&field.key) {
                cut.push(field.key);
            }
            let over = self.length(pairs, cut).saturating_sub(max);
            let room = pairs[at].value.len().saturating_sub(over).max(least);
            let shorter = if field.whole { String::new() } else { self.shortened(&pairs[at].value, room) };
            if shorter.len() < LEAST || shorter.trim().is_empty() {
                pairs.remove(at);
            } else {
                pairs[at].value = shorter;
            }
        }
    }

    /// What [`Self::join`] appends, without doing it.
    fn length(&self, pairs: &[Pair], cut: &[&str]) -> usize {
        // Each with its `=` and what stands between it and the next.
        let pair = |key: usize, value: usize| key + value + 2;
        let told = pairs.iter().map(|Pair { field, value }| {
            let label = field.label.map_or(0, |label| pair(field.key.len() + "Label".len(), label.len()));
            pair(field.key.len(), value.len()) + label
        });
        let names: usize = cut.iter().map(|key| key.len() + 1).sum();
        let cut = if cut.is_empty() { 0 } else { pair(self.truncated.len(), names - 1) };
        (told.sum::<usize>() + cut).saturating_sub(1)
    }

    /// The names of what was cut, or less where there is no room for them.
    fn told(&self, pairs: &[Pair], cut: &[&str], max: Option<usize>) -> String {
        if max.is_some_and(|max| self.length(pairs, cut) > max) { MUCH.to_owned() } else { cut.join(",") }
    }

    fn join(&self, pairs: &[Pair], cut: &str, line: &mut String) {
        let mut between = false;
        let mut push = |key: &str, end: &str, value: &str| {
            if between {
                line.push(self.between);
            }
            between = true;
            line.extend([key, end, "=", value]);
        };
        for Pair { field, value } in pairs {
            push(field.key, "", value);
            if let Some(label) = field.label {
                push(field.key, "Label", label);
            }
        }
        if !cut.is_empty() {
            push(self.truncated, "", cut);
        }
    }

    /// As much of a text as fits into `most` bytes once it is escaped.
    fn escaped(&self, text: &str, most: usize) -> String {
        let mut written = String::with_capacity(text.len().min(most));
        for c in text.chars() {
            let before = written.len();
            (self.escape)(c, &mut written);
            if written.len() > most {
                written.truncate(before);
                break;
            }
        }
        written
    }

    /// The beginning of a value that is escaped already, never ending inside an escape.
    fn shortened(&self, value: &str, most: usize) -> String {
        let kept = beginning(value, most);
        let escapes = kept.len() - kept.trim_end_matches('\\').len();
        // Only a format that escapes a backslash writes one for anything but itself.
        let splits = self.escaped("\\", usize::MAX).len() > 1 && escapes % 2 == 1;
        kept[..kept.len() - usize::from(splits)].to_owned()
    }

    /// What the header shows as the kind of event.
    pub(super) fn head_part(text: &str, escape: fn(char, &mut String)) -> String {
        let mut written = String::new();
        for c in text.chars() {
            let before = written.len();
            escape(c, &mut written);
            if written.len() > HEAD_PART {
                written.truncate(before);
                break;
            }
        }
        written
    }

    /// The table for people.
    pub(super) fn rows(&self, head: &[Row]) -> Vec<Row> {
        let fields = self.fields.iter().flat_map(|field| {
            let label = field.label.and_then(|label| {
                let key = LABELS.iter().find(|key| key.strip_suffix("Label") == Some(field.key))?;
                Some(Row { native: "", target: key, note: label })
            });
            let row = Row { native: field.native, target: field.key, note: field.note };
            std::iter::once(row).chain(label)
        });
        let cut =
            Row { native: "", target: self.truncated, note: "keys of this line that were cut or left out" };
        head.iter().copied().chain(fields).chain([cut]).collect()
    }
}

/// Keys that say what another one means.
const LABELS: [&str; 10] = [
    "c6a2Label",
    "cn1Label",
    "cn2Label",
    "cn3Label",
    "cs1Label",
    "cs2Label",
    "cs3Label",
    "cs4Label",
    "cs5Label",
    "cs6Label",
];

/// Whether a character could end a line, or be no text at all.
pub(super) fn is_unfit(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// The beginning of a text, at most `most` bytes, whole characters.
fn beginning(text: &str, most: usize) -> &str {
    if text.len() <= most { text } else { &text[..text.floor_char_boundary(most)] }
}

/// The text of a token; one that stands for no text is told as it is written.
pub(super) fn text(token: Option<&str>) -> Option<Cow<'_, str>> {
    let token = token?;
    let inner = || token.strip_prefix('"').and_then(|token| token.strip_suffix('"')).unwrap_or(token);
    Some(json::text(token).unwrap_or_else(|| Cow::Borrowed(inner())))
}

/// Prompts, responses and what tools were given.
pub(super) fn spoken(token: Option<&str>, options: Options) -> Option<Cow<'_, str>> {
    text(token.filter(|_| options.prompts && options.content == Content::Full))
}

/// A text of our own.
#[expect(clippy::unnecessary_wraps, reason = "what a row of a table answers")]
pub(super) fn plain(text: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(text))
}

/// The source address, if it is one that `wanted` takes.
pub(super) fn address<'r>(
    record: &'r Record<'_>,
    wanted: fn(Option<std::net::IpAddr>) -> bool,
) -> Option<Cow<'r, str>> {
    text(record.actor.ip).filter(|ip| wanted(ip.parse().ok()))
}

/// The event's own time, or when its file was fetched.
pub(super) fn moment(record: &Record<'_>) -> Timestamp {
    let own = record.time.as_deref().and_then(|time| {
        let second = format!("{}Z", time.get(..19)?).parse::<Timestamp>().ok()?.as_second();
        let digits = time[19..].trim_start_matches('.').bytes().take_while(u8::is_ascii_digit);
        let fraction =
            digits.chain([b'0'; 3]).take(3).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        Timestamp::from_millisecond(second * 1000 + fraction).ok()
    });
    own.unwrap_or(record.origin.observed)
}

/// How it ended, as far as upstream says.
pub(super) fn reason<'r>(record: &'r Record<'_>, options: Options) -> Option<Cow<'r, str>> {
    let message = record.outcome.message.filter(|_| options.content == Content::Full);
    match (text(record.outcome.code), text(message)) {
        (Some(code), Some(message)) => Some(Cow::Owned(format!("{code}: {message}"))),
        (code, message) => code.or(message),
    }
}

/// The agent that did it.
pub(super) fn agent<'r>(record: &'r Record<'_>) -> Option<Cow<'r, str>> {
    let actor = &record.actor;
    let agent = text(actor.kind).is_some_and(|kind| kind == "AGENT");
    text(actor.name.or(actor.id).filter(|_| agent))
}

/// Paths of what was taken out of the record, and of what `content` keeps out of this line.
pub(super) fn redacted<'r>(record: &'r Record<'_>, options: Options) -> Option<Cow<'r, str>> {
    let free_text = [
        ("outcome.message", record.outcome.message, true),
        ("tool_calls.arguments", record.tool_call.arguments, options.prompts),
        ("tool_calls.result", record.tool_call.result, options.prompts),
        ("prompt_text", record.prompt_text, options.prompts),
        ("response_text", record.response_text, options.prompts),
    ];
    let kept_out = free_text.into_iter().filter(|(_, token, shown)| token.is_some() && *shown);
    let kept_out = kept_out.filter(|_| options.content == Content::Metadata).map(|(path, ..)| path);
    let all: Vec<&str> = record.removed.iter().map(AsRef::as_ref).chain(kept_out).collect();
    (!all.is_empty()).then(|| Cow::Owned(all.join(",")))
}

/// Where the id of such a user is, by its kind.
pub(super) const DELEGATOR_IDS: &[&str] = &["user_id", "redacted_id", "provider_user_id", "id"];

/// What names the user an agent acts for.
pub(super) fn delegator<'r>(record: &'r Record<'_>, keys: &[&str]) -> Option<Cow<'r, str>> {
    let names = record.actor.delegator.map(native::names).unwrap_or_default();
    let found = keys.iter().find_map(|key| names.iter().find(|(name, _)| name == key));
    text(found.map(|(_, token)| *token))
}

/// The record in a few words.
#[expect(clippy::unnecessary_wraps, reason = "what a row of a table answers")]
pub(super) fn summary<'r>(record: &'r Record<'_>) -> Option<Cow<'r, str>> {
    let mut words = record.origin.event_type.clone();
    match text(record.action) {
        Some(action) => words.extend([" ", &*action]),
        None => words.extend([" ", record.category]),
    }
    if let Some(who) = text(record.actor.email.or(record.actor.name).or(record.actor.id)) {
        words.extend([" by ", &*who]);
    }
    if let Some(target) = text(record.target.name.or(record.target.email).or(record.target.id)) {
        words.extend([" on ", &*target]);
    }
    if let Some(result) = record.outcome.result {
        words.extend([": ", result]);
    }
    for warning in record.warnings.iter().filter(|_| record.map.is_none()) {
        words.extend([": ", warning.problem]);
    }
    Some(Cow::Owned(words))
}

/// 0 to 10. A failure and a finding are medium; what cannot be read or ended otherwise than known, low.
pub(super) fn severity(record: &Record<'_>) -> &'static str {
    match (record.category, record.outcome.result) {
        (_, Some("failure")) | ("finding", _) => "5",
        ("malformed" | "oversized", _) | (_, Some("unknown")) => "3",
        _ => "1",
    }
}
