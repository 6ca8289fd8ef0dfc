//! What formats made of a mapping table share: the table's rows, the writer that turns a row's path into
//! nested objects, and the checks that a typed field of theirs asks for.
//!
//! A table is in the order of the output, fields of one object beside each other; the writer relies on it.
//! A row that has nothing to say leaves no trace. Pure: a view is the record and what a sink asked for.

mod path;

use std::borrow::Cow;
use std::io::Write;
use std::net::IpAddr;

use jiff::Timestamp;
use path::Path;

use super::native;
use super::trim::Cuts;
use super::verbs::{self, Subject, Verb};
use super::{Options, trim};
use crate::digest::push_hex;
use crate::record::map::Warning;
use crate::record::{Record, json};

/// Digits of a second that receivers read.
const FRACTION_DIGITS: usize = 9;
/// Longest address that is one.
const MAX_ADDRESS: usize = 40;
/// Whole numbers up to this fit every receiver's field for counts.
const MAX_COUNT: u64 = i32::MAX as u64;

/// One line of a mapping, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Path in the native record; empty for what is built.
    pub native: &'static str,
    /// Path in the format.
    pub target: &'static str,
    /// What a reader should know; empty where there is nothing.
    pub note: &'static str,
}

/// One line of a mapping, with a way to its value.
pub(super) struct Field<F> {
    pub(super) row: Row,
    pub(super) path: Path,
    pub(super) write: F,
}

/// A line of a table.
pub(super) const fn field<F>(native: &'static str, target: &'static str, write: F) -> Field<F> {
    noted(native, target, "", write)
}

/// The same with a note.
pub(super) const fn noted<F>(
    native: &'static str,
    target: &'static str,
    note: &'static str,
    write: F,
) -> Field<F> {
    Field { row: Row { native, target, note }, path: Path::of(target), write }
}

/// A record as a table's rows see it.
pub(super) struct View<'r> {
    pub(super) record: &'r Record<'r>,
    pub(super) options: Options,
    pub(super) cuts: &'r Cuts,
    /// Whether what people wrote goes out.
    pub(super) full: bool,
    pub(super) action: Cow<'r, str>,
    pub(super) verb: Verb,
    pub(super) subject: Subject,
    /// The address, if it is one.
    pub(super) ip: Option<&'r str>,
    /// Whether an agent did it, on somebody's behalf.
    pub(super) agent: bool,
    /// On whose behalf: id and mail address.
    pub(super) delegator: [Option<&'r str>; 2],
    /// Latitude and longitude, each if it can be read.
    degrees: [Option<f64>; 2],
}

impl<'r> View<'r> {
    pub(super) fn new(record: &'r Record<'r>, options: Options, cuts: &'r Cuts) -> Self {
        let agent = record.actor.kind == Some("\"AGENT\"");
        let mut delegator = [None; 2];
        for (key, token) in record.actor.delegator.map(native::names).unwrap_or_default() {
            match key {
                "user_id" => delegator[0] = Some(token),
                "user_email" => delegator[1] = Some(token),
                _ => {}
            }
        }
        let action = record.action.and_then(json::text).unwrap_or_default();
        Self {
            verb: verbs::of(&action),
            subject: verbs::subject(&action, &record.origin.event_type),
            record,
            options,
            cuts,
            full: native::is_full(options),
            action,
            ip: record.actor.ip.and_then(plain).filter(|text| is_address(text)),
            agent,
            delegator,
            degrees: [("latitude", 90.0), ("longitude", 180.0)]
                .map(|(key, most)| geo(record, key).and_then(|token| degrees(token, most))),
        }
    }

    /// The token of a part that may be cut or kept out.
    pub(super) fn part(&self, path: &str, token: Option<&'r str>) -> Option<&str> {
        if self.full { self.cuts.of(path, token) } else { None }
    }

    /// Who is taken for the user: the one an agent acts for, else the actor.
    pub(super) fn user_id(&self) -> Option<&'r str> {
        if self.agent { self.delegator[0] } else { self.record.actor.id }
    }

    pub(super) fn user_email(&self) -> Option<&'r str> {
        if self.agent { self.delegator[1] } else { self.record.actor.email }
    }

    /// Whether the unmapped fields go out.
    pub(super) fn shows_unmapped(&self) -> bool {
        self.full && self.record.has_unmapped() && !self.cuts.drops(trim::UNMAPPED)
    }

    /// The exact bytes, where they go out.
    pub(super) fn raw(&self) -> Option<&'r [u8]> {
        let shown = self.full && native::wants_raw(self.record, self.options) && !self.cuts.drops(trim::RAW);
        shown.then_some(self.record.raw.bytes)
    }

    /// The total, as upstream says it or derived.
    pub(super) fn total(&self) -> Option<Cow<'r, str>> {
        let usage = &self.record.usage;
        usage.total.map(Cow::Borrowed).or_else(|| usage.total_derived.map(|total| total.to_string().into()))
    }

    /// Values that do not fit the typed field they belong to, by native path.
    pub(super) fn misfits(&self) -> impl Iterator<Item = (&'static str, Cow<'r, str>)> + use<'r> {
        let usage = &self.record.usage;
        let counts = [
            ("usage.input", usage.input.map(Cow::Borrowed)),
            ("usage.cached_input", usage.cached_input.map(Cow::Borrowed)),
            ("usage.output", usage.output.map(Cow::Borrowed)),
            ("usage.reasoning", usage.reasoning.map(Cow::Borrowed)),
            ("usage.total", self.total()),
        ];
        let counts = counts.into_iter().filter_map(|(path, token)| Some((path, token?)));
        let counts = counts.filter(|(_, token)| count(token).is_none());
        let asn = self.record.actor.asn.filter(|token| asn(token).is_none());
        let [north, east] = self.degrees;
        let geo = self.record.actor.geo.iter().filter_map(|(key, token)| match *key {
            "latitude" if north.is_none() => Some(("actor.geo.latitude", *token)),
            "longitude" if east.is_none() => Some(("actor.geo.longitude", *token)),
            _ => None,
        });
        let geo: Vec<_> = geo.collect();
        let texts = asn.map(|token| ("actor.asn", token)).into_iter().chain(geo);
        counts.chain(texts.map(|(path, token)| (path, Cow::Borrowed(token))))
    }

    /// The value of a place, by upstream's key.
    pub(super) fn geo(&self, key: &str) -> Option<&'r str> {
        geo(self.record, key)
    }

    /// Latitude and longitude, where both can be read.
    pub(super) fn coordinates(&self) -> Option<(f64, f64)> {
        let [north, east] = self.degrees;
        north.zip(east)
    }

    /// Appends the list of warnings, and one more where upstream has no time.
    pub(super) fn warnings(&self, timeless: bool, slot: Slot<'_, '_>) {
        let more = timeless.then(|| Warning { path: "timestamp".to_owned(), problem: NO_TIME });
        let from_map = self.record.map.as_ref().map_or(&[][..], |map| &map.warnings);
        let all = from_map.iter().chain(&self.record.warnings).chain(&more);
        native::write_warnings(all, || slot.open());
    }
}

fn geo<'r>(record: &Record<'r>, key: &str) -> Option<&'r str> {
    let mut all = record.actor.geo.iter();
    all.find(|(name, _)| *name == key).map(|(_, token)| *token)
}

/// The object being written.
pub(super) struct Slots<'o> {
    out: &'o mut Vec<u8>,
    last: Option<&'o Path>,
    /// Tokens of upstream's that are longer are left out.
    pub(super) longest: usize,
}

impl<'o> Slots<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, last: None, longest: usize::MAX }
    }

    #[inline]
    pub(super) fn at(&mut self, path: &'o Path) -> Slot<'_, 'o> {
        Slot { slots: self, path }
    }

    /// Closes what is open.
    pub(super) fn end(self) {
        let open = self.last.map_or(0, Path::objects);
        self.out.resize(self.out.len() + open + 1, b'}');
    }

    /// Closes and opens objects until `path` is the next member.
    fn go(&mut self, path: &'o Path) {
        const CLOSING: &[u8] = b"}}}},";
        let mut open = 0;
        if let Some(last) = self.last.replace(path) {
            open = last.common(path);
            let closed = last.objects() - open;
            self.out.extend_from_slice(&CLOSING[CLOSING.len() - 1 - closed..]);
        }
        self.out.extend_from_slice(path.behind(open));
    }
}

/// A member that is there once something is written.
pub(super) struct Slot<'s, 'o> {
    slots: &'s mut Slots<'o>,
    path: &'o Path,
}

impl<'s> Slot<'s, '_> {
    /// Begins the member; its value is to be appended to what is answered.
    pub(super) fn open(self) -> &'s mut Vec<u8> {
        self.slots.go(self.path);
        self.slots.out
    }

    /// A value that is JSON already.
    pub(super) fn token(self, token: Option<&str>) {
        if let Some(token) = token.filter(|token| token.len() <= self.slots.longest) {
            self.open().extend_from_slice(token.as_bytes());
        }
    }

    /// A count, if receivers can read it.
    pub(super) fn count(self, token: Option<&str>) {
        self.token(token.filter(|token| count(token).is_some()));
    }

    /// What is valid inside quotes as it is.
    pub(super) fn quoted(self, inner: Option<&str>) {
        if let Some(inner) = inner.filter(|inner| inner.len() + 2 <= self.slots.longest) {
            let out = self.open();
            out.push(b'"');
            out.extend_from_slice(inner.as_bytes());
            out.push(b'"');
        }
    }

    pub(super) fn text(self, text: Option<&str>) {
        if let Some(text) = text {
            json::push_text(text, self.open());
        }
    }

    /// A text that upstream chose, so that it may be too long.
    pub(super) fn short_text(self, text: Option<&str>) {
        let longest = self.slots.longest;
        self.text(text.filter(|text| text.len() <= longest));
    }

    pub(super) fn unsigned(self, number: u64) {
        json::push_number(number, self.open());
    }

    pub(super) fn float(self, number: f64) {
        write!(self.open(), "{number}").expect("memory takes every byte");
    }

    pub(super) fn number(self, number: impl Into<i64>) {
        let (number, out) = (number.into(), self.open());
        if number < 0 {
            out.push(b'-');
        }
        json::push_number(number.unsigned_abs(), out);
    }

    pub(super) fn hash(self, hash: &[u8; 32]) {
        let out = self.open();
        out.push(b'"');
        push_hex(hash, out);
        out.push(b'"');
    }

    /// A list of these tokens, without repeats; nothing when there are none.
    pub(super) fn list<'t>(self, tokens: impl IntoIterator<Item = Option<&'t str>>) {
        let mut seen: Vec<&str> = Vec::with_capacity(6);
        for token in tokens.into_iter().flatten() {
            if !seen.contains(&token) && token.len() <= self.slots.longest {
                seen.push(token);
            }
        }
        if seen.is_empty() {
            return;
        }
        let out = self.open();
        out.push(b'[');
        for (position, token) in seen.into_iter().enumerate() {
            if position > 0 {
                out.push(b',');
            }
            out.extend_from_slice(token.as_bytes());
        }
        out.push(b']');
    }

    /// A token that must be an object: another one is put into one.
    pub(super) fn object(self, token: Option<&str>) {
        let Some(token) = token else { return };
        let out = self.open();
        if token.starts_with('{') {
            return out.extend_from_slice(token.as_bytes());
        }
        out.extend_from_slice(b"{\"value\":");
        out.extend_from_slice(token.as_bytes());
        out.push(b'}');
    }
}

/// A line for people: what happened, who did it, how it ended.
pub(super) fn summary(view: &View<'_>) -> String {
    let record = view.record;
    let mut text = String::with_capacity(96);
    text.push_str(&record.origin.event_type);
    for (before, word) in [
        (" ", view.action.get(..view.action.len().min(trim::SHORT_TOKEN)).filter(|word| !word.is_empty())),
        (" by ", view.user_email().or(view.user_id()).and_then(plain)),
        (": ", record.outcome.result),
    ] {
        if let Some(word) = word.filter(|word| word.len() <= trim::SHORT_TOKEN) {
            text.push_str(before);
            text.push_str(word);
        }
    }
    text
}

pub(super) use json::plain;

/// A count that fits every receiver.
pub(super) fn count(token: &str) -> Option<u64> {
    token.parse().ok().filter(|number| *number <= MAX_COUNT)
}

/// The number of an autonomous system, with or without its letters.
pub(super) fn asn(token: &str) -> Option<u32> {
    let text = plain(token)?;
    let digits = text.strip_prefix("AS").unwrap_or(text);
    digits.parse().ok().filter(|number| *number <= i32::MAX.unsigned_abs())
}

fn degrees(token: &str, most: f64) -> Option<f64> {
    plain(token)?.parse().ok().filter(|degrees: &f64| degrees.abs() <= most)
}

fn is_address(text: &str) -> bool {
    text.len() <= MAX_ADDRESS && text.parse::<IpAddr>().is_ok()
}

/// A moment as receivers read it: nine digits at most, and no leap second. The original says the rest.
pub(super) fn readable(time: &str) -> Cow<'_, str> {
    let leap = time.as_bytes().get(17..19) == Some(b"60");
    let most = "2026-01-01T00:00:00.".len() + FRACTION_DIGITS;
    if !leap && time.len() <= most + 1 {
        return Cow::Borrowed(time);
    }
    let (date, rest) = time.split_at(17);
    let seconds = if leap { "59" } else { &rest[..2] };
    let fraction = rest[2..].trim_end_matches('Z');
    let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS + 1)];
    Cow::Owned([date, seconds, fraction, "Z"].concat())
}

/// Milliseconds since 1970; none before.
pub(super) fn milliseconds(time: &str) -> Option<i64> {
    if let Some(milliseconds) = crate::record::time::milliseconds(time) {
        return Some(milliseconds);
    }
    let moment: Timestamp = readable(time).parse().ok()?;
    Some(moment.as_millisecond()).filter(|millisecond| *millisecond >= 0)
}

/// What is said where upstream has no time that can be used.
const NO_TIME: &str = "no usable time: when the log file was fetched stands in for it";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_open_and_close_as_paths_say() {
        let mut out = Vec::new();
        let mut slots = Slots::new(&mut out);
        let paths = ["a", "b.c", "b.cd", "b.d.e.f", "b.d.e.g", "b.dx.y", "h.i.j", "k"].map(Path::of);
        let none = Path::of("b.none");
        for path in &paths {
            slots.at(path).number(1);
            slots.at(&none).token(None);
        }
        slots.end();
        let expected =
            r#"{"a":1,"b":{"c":1,"cd":1,"d":{"e":{"f":1,"g":1}},"dx":{"y":1}},"h":{"i":{"j":1}},"k":1}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn what_does_not_fit_a_type_is_no_value_of_it() {
        assert_eq!(count("2147483647"), Some(2_147_483_647));
        assert_eq!(count("2147483648"), None);
        assert_eq!((asn("\"AS29518\""), asn("\"29518\""), asn("\"AS-1\"")), (Some(29518), Some(29518), None));
        assert_eq!((degrees("\"-90\"", 90.0), degrees("\"NaN\"", 90.0)), (Some(-90.0), None));
        assert!(is_address("2001:db8::1") && !is_address("192.0.2.1:443") && !is_address("192.0.2.0/24"));
        assert_eq!(readable("2026-06-30T23:59:60.1234567890Z"), "2026-06-30T23:59:59.123456789Z");
        assert_eq!(milliseconds("2026-07-22T12:00:00.5Z"), Some(1_784_721_600_500));
        assert_eq!(milliseconds("1965-01-01T00:00:00Z"), None);
        for time in [
            "2026-06-30T23:59:60.9999Z",
            "2024-02-29T00:00:00Z",
            "2000-03-01T01:02:03.0456Z",
            "1970-01-01T00:00:00.001Z",
            "1969-12-31T23:59:59.9995Z",
            "9998-12-31T23:59:59.12Z",
            "9999-12-31T23:59:59Z",
            "2100-03-01T12:00:00.1234567890Z",
        ] {
            let moment = readable(time).parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
            assert_eq!(milliseconds(time), moment.filter(|moment| *moment >= 0), "{time}");
        }
    }
}
