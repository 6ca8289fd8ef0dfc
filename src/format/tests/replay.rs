//! Records that are delivered again carry their mark in every format that can carry one, also when they are
//! trimmed or redacted; all others are what they were.

use super::*;

const ID: &str = "0123456789abcdef";
const AT: &str = "2026-11-25T10:00:00Z";

/// A line as a replay delivers it.
pub(super) fn marked(event_type: &str, line: &str, options: Options, max: Option<usize>) -> String {
    let encoder = Encoder::new(options, max);
    write(event_type, line, &encoder, Some(&Replay { id: ID.into(), at: AT.into() }))
}

fn write(event_type: &str, line: &str, encoder: &Encoder, replay: Option<&Replay>) -> String {
    let (origin, hash) = (origin(event_type), crate::digest::sha256(line.as_bytes()));
    let mut record = Record::parse(&origin, RawRecord::alone(line.as_bytes(), hash));
    record.replay = replay;
    let mut out = Vec::new();
    encoder.encode(&record, &mut out);
    String::from_utf8(out).unwrap()
}

fn mark_in(format: Format) -> (&'static str, &'static str) {
    match format {
        Format::Ecs => ("openai.compliance.replay.id", "openai.compliance.replay.at"),
        Format::Ocsf => ("unmapped.replay.id", "unmapped.replay.at"),
        _ => ("replay.id", "replay.at"),
    }
}

fn is_marked(format: Format, record: &str) -> bool {
    match format {
        Format::Cef => {
            record.contains(&format!(" OpenAIComplianceReplayId={ID} OpenAIComplianceReplayAt={AT} "))
        }
        Format::Leef => record.contains(&format!("\treplayId={ID}\treplayAt={AT}\t")),
        _ => {
            let (id, at_) = mark_in(format);
            text_at(record, id).as_deref() == Some(ID) && text_at(record, at_).as_deref() == Some(AT)
        }
    }
}

#[test]
fn every_format_but_raw_carries_the_mark_and_nothing_else_changes() {
    let long = "x".repeat(5000);
    let line = format!(
        r#"{{"event_id":"e","timestamp":"2026-07-01T00:00:00Z","event_type":"PROMPT_SENT","other":"{long}","event_details":{{"prompt_text":"{long}"}}}}"#
    );
    for (name, format) in Format::ALL {
        let options = Options { format, ..FULL };
        let plain = write("CODEX_LOG", &line, &Encoder::new(options, None), None);
        assert!(!plain.contains("eplay"), "{name}: {plain}");
        if format == Format::Raw {
            assert_eq!(marked("CODEX_LOG", &line, options, None), line);
            continue;
        }
        // From whole, over shorter texts, to an outline.
        for max in [None, Some(4000), Some(1500), Some(1100)] {
            let again = marked("CODEX_LOG", &line, options, max);
            assert!(is_marked(format, &again), "{name} {max:?}: {again}");
            assert!(max.is_none_or(|max| again.len() <= max), "{name} {max:?}: {}", again.len());
        }
        let rules: Redaction = toml::from_str::<std::collections::HashMap<String, Redaction>>(
            "rules = [{ field = 'prompt_text', action = 'drop' }]",
        )
        .unwrap()
        .remove("rules")
        .unwrap();
        let encoder = Encoder::new(options, None).redacting(rules);
        let replay = Replay { id: ID.into(), at: AT.into() };
        let redacted = write("CODEX_LOG", &line, &encoder, Some(&replay));
        assert!(is_marked(format, &redacted), "{name}: {redacted}");
    }
}

#[test]
fn the_mark_stands_between_self_poll_and_truncated() {
    let line = r#"{"event_id":"e","actor":{"type":"API_KEY","redacted_id":"sk-...9zZ9"},"event_details":{"prompt_text":"AAAA"}}"#
        .replace("AAAA", &"A".repeat(3000));
    let record = marked("CODEX_LOG", &line, FULL, Some(1500));
    let members = json::members(&record).unwrap();
    let keys: Vec<&str> = members.iter().map(|(key, _)| key.trim_matches('"')).collect();
    let place = keys.iter().position(|key| *key == "replay").expect("it is marked");
    assert_eq!((keys[place - 1], keys[place + 1]), ("self_poll", "truncated"), "{record}");
    assert_eq!(at(&record, "replay").unwrap(), format!(r#"{{"id":"{ID}","at":"{AT}"}}"#));
}
