//! What the records of a log file show: paths with their JSON types, and actions; and what of it may be new.
//!
//! Looks at the first records of each file only, and at no value. Keys come from upstream and can be anything, so
//! a path holds plain names only: what looks like an id, or is no name, is `*`. What a tool is given and answers
//! is content, and is not looked into. Known names are held as hashes, a bounded number for each stream.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::ledger::{Ledger, LedgerError, Seen, StreamId};
use crate::limits;
use crate::record::reader::Shape;
use crate::record::{Origin, RawRecord, Record, json};
use crate::spool::{FileReader, Names, Spool};
use crate::words::{Principal, PrincipalKind};

/// Whatever a tool takes and gives: its keys are content.
const FREE: [&str; 3] = ["arguments", "result_preview", "tool_input"];

type Known = Arc<Mutex<HashSet<u64>>>;

/// What every stream has shown so far.
#[derive(Debug, Default)]
pub struct Shapes(Mutex<HashMap<StreamId, Known>>);

impl Shapes {
    async fn known(&self, ledger: &Ledger, stream: StreamId) -> Result<Known, LedgerError> {
        let held = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = held().get(&stream) {
            return Ok(known.clone());
        }
        let names = ledger.shape(stream).await?;
        let hashes = names.iter().map(|(name, kind)| hash(name, kind)).collect();
        Ok(held().entry(stream).or_insert_with(|| Arc::new(Mutex::new(hashes))).clone())
    }

    /// What a file shows that its stream has not shown yet, as far as is known here.
    pub(super) async fn look(
        &self,
        ledger: &Ledger,
        stream: (StreamId, &str),
        file: (Spool, Names, u64),
    ) -> io::Result<Vec<Seen>> {
        let (known, event_type) =
            (self.known(ledger, stream.0).await.map_err(io::Error::other)?, stream.1.to_owned());
        let (spool, names, records) = file;
        let looking = tokio::task::spawn_blocking(move || {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= limits::SHAPE_NAMES {
                return Ok(Vec::new());
            }
            let mut sample = Sample { known: &known, new: HashMap::new() };
            let mut reader = FileReader::of(&spool, &names, records, 0)?;
            sample.read(&mut reader, &event_type)?;
            let mut seen: Vec<Seen> = sample.new.into_values().collect();
            seen.sort_by(|one, other| (&one.name, one.kind).cmp(&(&other.name, other.kind)));
            Ok(seen)
        });
        looking.await.map_err(io::Error::other)?
    }

    /// These are in the ledger.
    pub(super) fn learned(&self, stream: StreamId, seen: &[Seen]) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&stream).cloned();
        if let Some(known) = known {
            let hashes = seen.iter().map(|seen| hash(&seen.name, seen.kind));
            known.lock().unwrap_or_else(PoisonError::into_inner).extend(hashes);
        }
    }
}

fn hash(name: &str, kind: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, kind).hash(&mut hasher);
    hasher.finish()
}

struct Sample<'a> {
    known: &'a HashSet<u64>,
    new: HashMap<u64, Seen>,
}

impl Sample<'_> {
    fn read(&mut self, reader: &mut FileReader, event_type: &str) -> io::Result<()> {
        // Nothing but the event type decides where the action is.
        let origin = Origin {
            principal: Principal { kind: PrincipalKind::Workspace, id: String::new() },
            event_type: event_type.to_owned(),
            file_id: String::new(),
            file_sha256: [0; 32],
            observed: Timestamp::UNIX_EPOCH,
            own_key: None,
        };
        let mut path = String::new();
        let mut left = limits::SHAPE_FILE_BYTES;
        for _ in 0..limits::SHAPE_RECORDS {
            let Some(next) = reader.peek()?.filter(|_| left > 0) else { break };
            if next.shape != Shape::Object || next.length > limits::SHAPE_RECORD_BYTES {
                reader.skip()?;
                continue;
            }
            let Some((entry, bytes)) = reader.next()? else { break };
            left = left.saturating_sub(entry.length);
            let record = Record::parse(&origin, RawRecord::alone(bytes, entry.sha256));
            if let Some(action) = record.action.and_then(json::text) {
                let mut name = String::new();
                push(&action, b"_-.:", &mut name);
                self.see(&name, "action");
            }
            path.clear();
            let walk = Walk { sample: self, path: &mut path, keys: 0, array: false };
            // What is no JSON was said to be malformed already.
            drop(walk.deserialize(&mut serde_json::Deserializer::from_slice(bytes)));
        }
        Ok(())
    }

    fn see(&mut self, name: &str, kind: &'static str) {
        let hash = hash(name, kind);
        if !self.known.contains(&hash) && self.new.len() < limits::SHAPE_NAMES {
            self.new.entry(hash).or_insert_with(|| Seen { name: name.to_owned(), kind });
        }
    }
}

/// Appends a name as it may be shown, of letters, digits and `marks`. What is called by somebody else than the
/// API's authors rarely looks like that: ids, hashes and times have many digits, or letters behind them.
fn push(name: &str, marks: &[u8], out: &mut String) {
    let bytes = name.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let mixed = bytes.windows(2).any(|two| two[0].is_ascii_digit() && two[1].is_ascii_alphabetic());
    let is_name = (1..=limits::SHAPE_KEY_BYTES).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || marks.contains(byte))
        && !mixed
        && digits < 4.min(bytes.len());
    out.push_str(if is_name { name } else { "*" });
}

/// One value at a path.
struct Walk<'a, 'b> {
    sample: &'a mut Sample<'b>,
    path: &'a mut String,
    /// Keys of the path.
    keys: usize,
    /// The value is an element of an array.
    array: bool,
}

impl Walk<'_, '_> {
    fn see(&mut self, kind: &'static str) {
        if !self.path.is_empty() {
            self.sample.see(self.path, kind);
        }
    }

    fn is_free(&self) -> bool {
        FREE.iter().any(|name| self.path.rsplit('.').next() == Some(name))
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(mut self, _: bool) -> Result<(), E> {
        self.see("boolean");
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, _: i64) -> Result<(), E> {
        self.see("number");
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, _: u64) -> Result<(), E> {
        self.see("number");
        Ok(())
    }

    fn visit_f64<E: Error>(mut self, _: f64) -> Result<(), E> {
        self.see("number");
        Ok(())
    }

    fn visit_str<E: Error>(mut self, _: &str) -> Result<(), E> {
        self.see("string");
        Ok(())
    }

    /// Null is no value: a field that comes and goes is no news.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        self.see("array");
        let length = self.path.len();
        // An array of arrays is a matrix of content.
        let most = if self.array || self.is_free() { 0 } else { limits::SHAPE_ELEMENTS };
        self.path.push_str("[]");
        for _ in 0..most {
            let walk = Walk { sample: self.sample, path: self.path, keys: self.keys, array: true };
            if elements.next_element_seed(walk)?.is_none() {
                break;
            }
        }
        self.path.truncate(length);
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        self.see("object");
        let length = self.path.len();
        if self.keys >= limits::SHAPE_DEPTH || self.is_free() {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        loop {
            if length > 0 {
                self.path.push('.');
            }
            if members.next_key_seed(Key(self.path))?.is_none() {
                break;
            }
            members.next_value_seed(Walk {
                sample: self.sample,
                path: self.path,
                keys: self.keys + 1,
                array: false,
            })?;
            self.path.truncate(length);
        }
        self.path.truncate(length);
        Ok(())
    }
}

/// Appends a key to a path.
struct Key<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        push(key, b"_", self.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(event_type: &str, lines: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let disk: Arc<dyn crate::disk::Disk> = Arc::new(crate::disk::RealDisk);
        let spool = Spool::open(disk.clone(), folder.path()).unwrap();
        let names = spool.incoming(1);
        let mut data = disk.create(&names.data, crate::disk::PRIVATE_FILE).unwrap();
        io::Write::write_all(&mut data, lines.as_bytes()).unwrap();
        let scanned = crate::spool::scan(disk.as_ref(), data, &names).unwrap();
        let mut sample = Sample { known: &HashSet::new(), new: HashMap::new() };
        let mut reader = FileReader::of(&spool, &names, scanned.records, 0).unwrap();
        sample.read(&mut reader, event_type).unwrap();
        let mut all: Vec<String> =
            sample.new.into_values().map(|seen| format!("{}:{}", seen.name, seen.kind)).collect();
        all.sort();
        all
    }

    #[test]
    fn paths_types_and_actions_are_seen_and_no_content() {
        let line =
            r#"{"a":1,"b":{"c":{"d":{"e":1}},"n":null},"l":[{"x":"s"},{"y":true},[1]],"action":"MADE"}"#;
        assert_eq!(
            seen("AUDIT_LOG", line),
            [
                "MADE:action",
                "a:number",
                "action:string",
                "b.c.d:object",
                "b.c:object",
                "b:object",
                "l:array",
                "l[].x:string",
                "l[].y:boolean",
                "l[]:array",
                "l[]:object"
            ]
        );
        let line = "{\"event_details\":{\"tool_input\":{\"salary of Ann\":1}},\n";
        assert_eq!(seen("CODEX_LOG", line), [""; 0], "what is no JSON shows nothing");
        let line = "{\"event_details\":{\"tool_input\":{\"salary\":1},\"arguments\":[{\"x\":1}]}}\n";
        assert_eq!(
            seen("CODEX_LOG", line),
            ["event_details.arguments:array", "event_details.tool_input:object", "event_details:object"]
        );
    }

    #[test]
    fn keys_that_are_no_names_are_folded() {
        for key in [
            "11111111-2222-4333-8444-555555555555",
            "user-abc123DEF456",
            "ann@example.com",
            "two words",
            "with-dash",
            "canary_7f3b9c",
            "\\u001b[31m",
            "12",
            "",
            "é",
            &"x".repeat(60),
        ] {
            assert_eq!(seen("X", &format!("{{\"{key}\":1}}")), ["*:number"], "{key}");
        }
        assert_eq!(seen("AUDIT_LOG", "{\"action\":\"a\\nb\"}"), ["*:action", "action:string"]);
        assert_eq!(seen("X", r#"{"sha256":1,"client_ja3":1}"#), ["client_ja3:number", "sha256:number"]);
        let name = |number: u32| -> String {
            number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
        };
        let many: Vec<String> = (0..20_000).map(|number| format!("\"{}\":1", name(number))).collect();
        assert_eq!(seen("X", &format!("{{{}}}", many.join(","))).len(), limits::SHAPE_NAMES);
    }
}
