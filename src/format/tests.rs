//! What records look like to a sink, tested from outside: bytes in, native records out.

mod canaries;
mod facts;
mod flat;
mod golden;
mod lossless;
mod metadata;
mod native;
mod rebuild;
mod redact;
mod replay;
mod schemas;
mod table;
mod trim;

use super::*;
use crate::record::reader::{Reader, Shape};
use crate::record::{Origin, OwnKey, RawRecord, Replay, id, json};
use crate::words::{Principal, PrincipalKind};

const WORKSPACE: &str = "11111111-2222-4333-8444-555555555555";
const ORGANIZATION: &str = "org-Example1";
const FULL: Options = Options {
    format: Format::Native,
    include_raw: false,
    content: Content::Full,
    prompts: false,
    conversation_id: false,
    ocsf_version: OcsfVersion::V1_8,
};

fn origin(event_type: &str) -> Origin {
    let (kind, id) = match event_type {
        "COSTS" => (PrincipalKind::Organization, ORGANIZATION),
        "CUSTODEX_LOG" => (PrincipalKind::Instance, "custodex"),
        _ => (PrincipalKind::Workspace, WORKSPACE),
    };
    Origin {
        principal: Principal { kind, id: id.to_owned() },
        event_type: event_type.to_owned(),
        file_id: "eclf_1".to_owned(),
        file_sha256: [0xab; 32],
        observed: "2026-07-22T12:00:00.5Z".parse().unwrap(),
        own_key: OwnKey::of("sk-example-not-a-key-9zZ9"),
    }
}

/// Every record of a log file as a sink gets it.
fn encode_all(origin: &Origin, file: &[u8], options: Options) -> Vec<String> {
    encode_within(origin, file, options, None)
}

/// The same for a sink that takes records up to `max` bytes.
fn encode_within(origin: &Origin, file: &[u8], options: Options, max: Option<usize>) -> Vec<String> {
    let mut reader = Reader::new(file);
    let mut all = Vec::new();
    while let Some(cut) = reader.next().unwrap() {
        let reference = cut.reference();
        let raw = cut.record(file, reference.as_deref());
        let mut out = Vec::new();
        Encoder::new(options, max).encode(&Record::parse(origin, raw), &mut out);
        all.push(String::from_utf8(out).expect("native records are UTF-8"));
    }
    all
}

/// The one record of a line.
fn encode(event_type: &str, line: &str, options: Options) -> String {
    let mut all = encode_all(&origin(event_type), line.as_bytes(), options);
    assert_eq!(all.len(), 1, "one line, one record: {line}");
    all.remove(0)
}

fn native(event_type: &str, line: &str) -> String {
    encode(event_type, line, FULL)
}

/// The token at a path of a native record; a number is a place in a list.
fn at(record: &str, path: &str) -> Option<String> {
    let mut token = record.to_owned();
    for part in path.split('.') {
        token = if let Ok(place) = part.parse::<usize>() {
            let items: Vec<&serde_json::value::RawValue> = serde_json::from_str(&token).ok()?;
            items.get(place)?.get().to_owned()
        } else {
            let members = json::members(&token)?;
            members.iter().find(|(key, _)| json::text(key).as_deref() == Some(part))?.1.to_owned()
        };
    }
    Some(token)
}

/// The text at a path.
fn text_at(record: &str, path: &str) -> Option<String> {
    at(record, path).and_then(|token| json::text(&token).map(std::borrow::Cow::into_owned))
}

/// Sample lines of every event type: the golden ones, and those beside the project where they are.
fn samples() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for folder in [golden::folder(), lossless::shared_samples()] {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        for name in names {
            let Some(stem) = name.strip_suffix(".jsonl").filter(|stem| !stem.contains('.')) else { continue };
            all.push((stem.to_owned(), name));
        }
    }
    all
}
