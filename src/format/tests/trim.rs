//! Records that are longer than their sink takes.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::lossless::lines;
use super::*;
use crate::digest::{hex, sha256};

const RAW_TOO: Options = Options { include_raw: true, ..FULL };

/// The paths whose texts may be cut.
const TEXTS: [&str; 5] =
    ["outcome.message", "tool_calls.0.arguments", "tool_calls.0.result", "prompt_text", "response_text"];

fn within(event_type: &str, line: &str, options: Options, max: usize) -> String {
    let mut all = encode_within(&origin(event_type), line.as_bytes(), options, Some(max));
    assert_eq!(all.len(), 1, "one line, one record: {line}");
    all.remove(0)
}

/// The keys of `truncated`, none when the record is whole.
fn truncated(record: &str) -> Vec<String> {
    let Some(token) = at(record, "truncated") else { return Vec::new() };
    let members = json::members(&token).unwrap();
    members.iter().map(|(key, _)| json::text(key).unwrap().into_owned()).collect()
}

/// What `truncated` says of one part.
fn said(record: &str, path: &str) -> (usize, String) {
    let members = json::members(&at(record, "truncated").unwrap())
        .unwrap()
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect::<Vec<_>>();
    let (_, entry) = members.into_iter().find(|(key, _)| json::text(key).as_deref() == Some(path)).unwrap();
    (at(&entry, "bytes").unwrap().parse().unwrap(), text_at(&entry, "sha256").unwrap())
}

fn check(event_type: &str, line: &str, options: Options, max: usize) {
    let whole = encode(event_type, line, options);
    let record = within(event_type, line, options, max);
    if whole.len() <= max {
        assert_eq!(record, whole, "what fits is not touched");
        return;
    }
    assert!(record.len() <= max, "{} of {max}: {record}", record.len());
    assert!(json::members(&record).is_some(), "{record}");
    let native = encode(event_type, line, Options { format: Format::Native, ..options });
    let paths = truncated(&record);
    assert!(!paths.is_empty() || native.len() <= max, "it says so: {record}");
    assert_eq!(text_at(&record, "id"), text_at(&native, "id"));
    if paths == ["record"] {
        assert_eq!(said(&record, "record"), (line.len(), hex(&sha256(line.as_bytes()))));
        return;
    }
    for path in TEXTS {
        let (Some(given), Some(token)) = (text_at(&native, path), at(&record, path)) else { continue };
        let left = json::text(&token).unwrap();
        assert!(given.starts_with(&*left), "{path}");
        let path = path.replace(".0", "");
        assert_eq!(paths.contains(&path), left.len() < given.len(), "{path}: {record}");
        if paths.contains(&path) {
            assert_eq!(said(&record, &path), (given.len(), hex(&sha256(given.as_bytes()))));
        }
    }
    for path in ["unmapped", "raw"] {
        let left_out = at(&record, path).is_none() && at(&native, path).is_some();
        assert_eq!(paths.iter().any(|cut| cut == path), left_out, "{path}: {record}");
        assert!(left_out || at(&record, path) == at(&native, path));
    }
}

/// A record with every text there is.
fn talkative(texts: &[String; 4], extra: &str) -> String {
    let texts: Vec<String> = texts.iter().map(|text| serde_json::to_string(text).unwrap()).collect();
    let mut line = String::from(r#"{"event_id":"e","timestamp":"2026-01-01T00:00:00Z","type":"CODEX_LOG","#);
    write!(
        line,
        r#""event_type":"PROMPT_SENT","event_details":{{"prompt_text":{},"response_text":{},"error_message":{},"tool_arguments":{}}},"extra":"{extra}"}}"#,
        texts[0], texts[1], texts[2], texts[3],
    )
    .unwrap();
    line
}

#[test]
fn every_sample_fits_every_limit() {
    for (event_type, line) in lines() {
        for max in [1024, 1025, 1100, 1500, 2048, 4096, 65_536] {
            check(&event_type, &line, FULL, max);
            check(&event_type, &line, RAW_TOO, max);
        }
    }
}

#[test]
fn long_texts_share_and_short_parts_stay() {
    let line = talkative(
        &["p".repeat(100_000), "r".repeat(50_000), "short".into(), String::new()],
        &"x".repeat(500),
    );
    let record = within("CODEX_LOG", &line, RAW_TOO, 20_000);
    assert_eq!(truncated(&record), ["prompt_text", "response_text", "raw"]);
    let lengths = ["prompt_text", "response_text"].map(|path| text_at(&record, path).unwrap().len());
    assert_eq!(lengths[0], lengths[1]);
    assert!(record.len() > 19_000, "the room is used: {}", record.len());
    assert!(at(&record, "unmapped").unwrap().len() > 500);
    assert!(record.find("\"truncated\"") < record.find("\"provenance\""));
    let only_raw = within("CODEX_LOG", &line, RAW_TOO, 200_000);
    assert_eq!(truncated(&only_raw), ["raw"]);
}

#[test]
fn a_raw_record_becomes_a_trimmed_native_one() {
    let raw = Options { format: Format::Raw, ..FULL };
    let line = talkative(&["p".repeat(5000), "r".into(), "m".into(), "a".into()], "");
    assert_eq!(within("CODEX_LOG", &line, raw, line.len()), line);
    let record = within("CODEX_LOG", &line, raw, line.len() - 1);
    assert_eq!(truncated(&record), ["prompt_text"]);
    let malformed = "no JSON ".repeat(1000);
    let record = within("CODEX_LOG", &malformed, raw, 4000);
    assert_eq!(text_at(&record, "category").as_deref(), Some("malformed"));
    assert_eq!(said(&record, "raw"), (malformed.len(), hex(&sha256(malformed.as_bytes()))));
}

#[test]
fn without_room_for_its_fields_a_record_says_where_it_lies() {
    let line = format!(r#"{{"event_id":"e","actor":{{"name":"{}"}}}}"#, "n".repeat(3000));
    let record = within("CODEX_LOG", &line, FULL, 2000);
    assert_eq!(truncated(&record), ["record"]);
    assert_eq!(text_at(&record, "upstream_id").as_deref(), Some("e"));
    assert_eq!(at(&record, "provenance.byte_length"), Some(line.len().to_string()));
    let metadata = Options { content: Content::Metadata, ..FULL };
    assert_eq!(truncated(&within("CODEX_LOG", &line, metadata, 2000)), ["record"]);
    let named = format!(r#"{{"event_id":"{}"}}"#, "i".repeat(3000));
    assert_eq!(at(&within("CODEX_LOG", &named, FULL, 1024), "upstream_id"), None);
}

/// In a mapped format: within the limit, valid, and saying what it lacks.
fn check_mapped(event_type: &str, line: &str, options: Options, max: usize) {
    let whole = encode(event_type, line, options);
    let record = within(event_type, line, options, max);
    if whole.len() <= max {
        return assert_eq!(record, whole, "what fits is not touched");
    }
    assert!(record.len() <= max, "{} of {max}: {record}", record.len());
    schemas::check(options, &record).unwrap();
    let place = if options.format == Format::Ecs { "openai.compliance" } else { "unmapped" };
    assert!(at(&record, &format!("{place}.truncated")).is_some(), "{record}");
    if options.format == Format::Ocsf {
        assert_eq!(at(&record, "metadata.is_truncated").as_deref(), Some("true"));
    }
}

#[test]
fn every_sample_fits_every_limit_in_every_mapping() {
    for (number, (event_type, line)) in lines().into_iter().enumerate().step_by(3) {
        for options in schemas::MAPPED {
            for max in [1536, 2500, 4096] {
                let options = Options { include_raw: number % 2 == 0, ..options };
                check_mapped(&event_type, &line, options, max);
            }
        }
    }
}

#[test]
fn texts_that_are_there_twice_count_twice() {
    let line = talkative(&["p".repeat(100_000), String::new(), String::new(), String::new()], "");
    for options in schemas::MAPPED {
        let record = within("CODEX_LOG", &line, options, 20_000);
        schemas::check(options, &record).unwrap();
        assert!((19_000..=20_000).contains(&record.len()), "the room is used: {}", record.len());
        let times = if options.format == Format::Ecs { 2 } else { 1 };
        let long = record.split(|c| c != 'p').filter(|run| run.len() > 1000).count();
        assert_eq!(long, times);
    }
}

proptest! {
    #[test]
    fn whatever_people_write_fits_in_every_mapping(
        texts in prop::array::uniform4(".{0,900}"),
        extra in "[a-z]{0,900}",
        max in 1536usize..8000,
        include_raw: bool,
        which in 0usize..3,
    ) {
        let options = Options { include_raw, ..schemas::MAPPED[which] };
        check_mapped("CODEX_LOG", &talkative(&texts, &extra), options, max);
    }

    #[test]
    fn whatever_people_write_fits(
        texts in prop::array::uniform4(".{0,900}"),
        extra in "[a-z]{0,900}",
        max in 1024usize..6000,
        include_raw: bool,
        raw: bool,
    ) {
        let format = if raw { Format::Raw } else { Format::Native };
        check("CODEX_LOG", &talkative(&texts, &extra), Options { format, include_raw, ..FULL }, max);
    }
}
