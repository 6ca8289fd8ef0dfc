//! Whatever a log file holds: what is found without parsing everything is what parsing everything finds.

use std::io::{self, Read};
use std::ops::ControlFlow;

use proptest::prelude::*;
use serde_json::Value;

use super::super::*;
use crate::record::reader::{Reader, Shape};
use crate::record::{Origin, RawRecord, Record};
use crate::words::{Principal, PrincipalKind};

/// Gives at most `most` bytes at a time.
struct Dripping<'a>(&'a [u8], usize);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.1.min(self.0.len());
        let count = (&self.0[..most]).read(buffer)?;
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn origin() -> Origin {
    Origin {
        principal: Principal { kind: PrincipalKind::Workspace, id: super::WORKSPACE.into() },
        event_type: "CODEX_LOG".into(),
        file_id: "f".into(),
        file_sha256: [0; 32],
        observed: jiff::Timestamp::UNIX_EPOCH,
        own_key: None,
    }
}

/// Places, lines and ids of what matches, by parsing everything in the most simple way.
fn naive(bytes: &[u8], query: &Query) -> Vec<(u64, u64, u64, String)> {
    let origin = origin();
    let mut records = Reader::new(bytes);
    let mut found = Vec::new();
    while let Some(cut) = records.next().unwrap() {
        let record = Record::parse(&origin, cut.record(bytes, None));
        if fits(&record, query) {
            found.push((cut.offset, cut.length, cut.line, record.id));
        }
    }
    found
}

fn fits(record: &Record<'_>, query: &Query) -> bool {
    let value: Option<Value> =
        serde_json::from_slice(record.raw.bytes).ok().filter(|_| record.raw.shape == Shape::Object);
    let at = |path: &str| value.as_ref().and_then(|value| value.pointer(path)).and_then(Value::as_str);
    let is = |list: &[String], path: &str| at(path).is_some_and(|text| list.iter().any(|one| one == text));
    let text = |needle: &String| match &value {
        Some(value) => holds(value, needle),
        None => memchr::memmem::find(record.raw.bytes, needle.as_bytes()).is_some(),
    };
    (query.sessions.is_empty() || is(&query.sessions, "/event_details/session_id"))
        && (query.users.is_empty() || is(&query.users, "/actor/user_id"))
        && (query.actions.is_empty() || is(&query.actions, "/event_type"))
        && query.contains.as_ref().is_none_or(text)
}

fn holds(value: &Value, needle: &str) -> bool {
    match value {
        Value::String(text) => text.contains(needle),
        Value::Number(number) => number.to_string().contains(needle),
        Value::Array(values) => values.iter().any(|value| holds(value, needle)),
        Value::Object(values) => {
            values.iter().any(|(key, value)| key.contains(needle) || holds(value, needle))
        }
        _ => false,
    }
}

/// Few characters, so that needles are found; each of another kind.
fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop::sample::select(vec![
            "a", "b", "u0061", "é", "😀", "\"", "\\", "/", "\n", "\t", "1", "}{", "\u{7f}",
        ]),
        0..6,
    )
    .prop_map(|parts| parts.concat())
}

/// A text as a token, each character in one of its forms.
fn token() -> impl Strategy<Value = String> {
    (text(), any::<u64>()).prop_map(|(text, seed)| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut token = String::from("\"");
        for c in text.chars() {
            let mut units = [0; 2];
            let escaped: String = c
                .encode_utf16(&mut units)
                .iter()
                .map(|unit| if random.bool() { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") })
                .collect();
            let plain = match c {
                '"' => "\\\"".to_owned(),
                '\\' => "\\\\".to_owned(),
                '\n' => "\\n".to_owned(),
                '\t' => "\\t".to_owned(),
                '/' if random.bool() => "\\/".to_owned(),
                c => c.to_string(),
            };
            token.push_str(if random.u8(..4) == 0 { &escaped } else { &plain });
        }
        token.push('"');
        token
    })
}

fn object() -> impl Strategy<Value = String> {
    let fields = (token(), token(), token(), token(), token());
    fields.prop_map(|(user, session, action, key, text)| {
        format!(r#"{{"event_type":{action},"actor":{{"user_id":{user}}},"event_details":{{"session_id":{session}, "n": 1, "other":[{{{key}:{text}}}]}}}}"#)
    })
}

/// Log files with lines and line ends of every kind.
fn file() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => object(),
        1 => (object(), object()).prop_map(|(one, other)| format!("{one} {other}")),
        1 => (object(), text()).prop_map(|(one, rest)| format!("{one}{rest}")),
        1 => text(),
        1 => Just(" \t".to_owned()),
    ];
    let line = line.prop_map(String::into_bytes);
    let line = prop_oneof![9 => line, 1 => Just(b"\xff a \x00".to_vec())];
    let ends = prop_oneof![3 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\n\n")];
    (any::<bool>(), proptest::collection::vec((line, ends), 0..30), any::<bool>()).prop_map(
        |(mark, lines, ended)| {
            let mut bytes = if mark { "\u{feff}".as_bytes().to_vec() } else { Vec::new() };
            for (line, end) in lines {
                bytes.extend(line);
                bytes.extend(end.as_bytes());
            }
            if !ended {
                bytes.pop();
            }
            bytes
        },
    )
}

fn query() -> impl Strategy<Value = Query> {
    let some = || prop_oneof![3 => Just(Vec::new()), 1 => proptest::collection::vec(text().prop_filter("no id is empty", |text| !text.is_empty() && !text.contains('@')), 1..3)];
    (some(), some(), some(), proptest::option::weighted(0.8, text())).prop_map(
        |(users, sessions, actions, contains)| {
            let contains = contains.filter(|text| !text.is_empty());
            Query { actions, users, sessions, contains, ..Query::default() }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_is_missed_and_nothing_is_made_up(bytes in file(), query in query(), most in 1..200_usize) {
        let expected = naive(&bytes, &query);
        let matcher = Matcher::new(query);
        let mut found = Vec::new();
        let origin = origin();
        let tally = read_content(Dripping(&bytes, most), &origin, &matcher, &mut |record| {
            let RawRecord { offset, length, line, bytes: own, .. } = record.raw;
            let start = usize::try_from(offset).unwrap();
            assert_eq!(own, &bytes[start..start + own.len()]);
            found.push((offset, length, line, record.id.clone()));
            ControlFlow::Continue(())
        });
        prop_assert_eq!(tally.unwrap().bytes, bytes.len() as u64);
        prop_assert_eq!(found, expected);
    }
}
