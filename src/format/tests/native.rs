//! Single properties of native records: order of keys, ids, totals, raw bytes, what goes by reference.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::digest::{hex, sha256};

const RAW: Options = Options { include_raw: true, ..FULL };

#[test]
fn keys_come_in_their_order() {
    const ORDER: [&str; 27] = [
        "schema",
        "id",
        "upstream_id",
        "time",
        "time_original",
        "observed_time",
        "event_type",
        "action",
        "category",
        "principal",
        "actor",
        "target",
        "session",
        "client",
        "model",
        "usage",
        "outcome",
        "tool_calls",
        "self_poll",
        "truncated",
        "redacted",
        "provenance",
        "warnings",
        "prompt_text",
        "response_text",
        "unmapped",
        "raw",
    ];
    let everything = r#"{"event_id":"e","timestamp":"2026-01-01T00:00:00Z","event_type":"TOOL_DECISION",
        "client_id":"c","x":1,"actor":{"type":"API_KEY","redacted_id":"sk-...9zZ9"},"event_details":{"session_id":"s",
        "model":"m","token_usage":{"input_tokens":1},"tool_name":"t","decision":"approved","prompt_text":"p",
        "response_text":"r"}}"#
        .replace('\n', "");
    let record = encode("CODEX_LOG", &everything, RAW);
    let members = json::members(&record).unwrap();
    let places: Vec<usize> = members
        .iter()
        .map(|(key, _)| ORDER.iter().position(|known| json::text(key).as_deref() == Some(known)).expect(key))
        .collect();
    assert!(places.is_sorted(), "{record}");
    assert_eq!(places.len(), 24, "all but target, truncated and redacted: {record}");
    assert_eq!(text_at(&record, "raw").as_deref(), Some(everything.as_str()));
    assert_eq!(at(&record, "self_poll").as_deref(), Some("true"));
}

#[test]
fn absent_values_are_left_out() {
    let record = native("HOLOGRAM_LOG", "{}");
    let members = json::members(&record).unwrap();
    let keys: Vec<&str> = members.iter().map(|(key, _)| key.trim_matches('"')).collect();
    assert_eq!(
        keys,
        ["schema", "id", "observed_time", "event_type", "category", "principal", "provenance", "warnings"]
    );
    assert_eq!(text_at(&record, "observed_time").as_deref(), Some("2026-07-22T12:00:00.5Z"));
}

#[test]
fn ids_are_the_published_ones() {
    let id = |line| text_at(&native("CODEX_LOG", line), "id").unwrap();
    assert_eq!(id(r#"{"event_id":"e1","type":"CODEX_LOG"}"#), "172dd902613b7513792a68207ec6b70b");
    assert_eq!(id(r#"{"event_id":"é","n":1}"#), "a38a62a14302cc120a451d0204be2465");
    let at_1024 = format!("{}{{\"event_id\":null}}\n{{\"event_id\":7}}\nx", "\n".repeat(1024));
    let records = encode_all(&origin("CODEX_LOG"), at_1024.as_bytes(), FULL);
    assert_eq!(text_at(&records[0], "id").as_deref(), Some("83988c0a4e3c69a5bcbee2e31588f711"));
    let ids: std::collections::HashSet<_> = records.iter().map(|record| text_at(record, "id")).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(at(&records[0], "provenance.line_number").as_deref(), Some("1025"));
    assert_eq!(at(&records[0], "provenance.byte_offset").as_deref(), Some("1024"));
    assert_eq!(at(&records[0], "provenance.byte_length").as_deref(), Some("17"));
    let hash = hex(&sha256(br#"{"event_id":null}"#));
    assert_eq!(text_at(&records[0], "provenance.raw_sha256"), Some(hash));
}

#[test]
fn totals_are_derived_where_upstream_gives_none() {
    let usage = |tokens: &str| {
        let line =
            format!(r#"{{"event_type":"PROMPT_SENT","event_details":{{"token_usage":{{{tokens}}}}}}}"#);
        at(&native("CODEX_LOG", &line), "usage").unwrap_or_default()
    };
    assert_eq!(
        usage(r#""input_tokens":5,"output_tokens":6"#),
        r#"{"input":5,"output":6,"total":11,"total_derived":true}"#
    );
    assert_eq!(
        usage(
            r#""input_tokens":5,"output_tokens":6,"total_tokens":7,"cached_input_tokens":1,"reasoning_output_tokens":2"#
        ),
        r#"{"input":5,"cached_input":1,"output":6,"reasoning":2,"total":7}"#
    );
    assert_eq!(usage(r#""input_tokens":5"#), r#"{"input":5}"#);
    assert_eq!(
        usage(r#""input_tokens":18446744073709551615,"output_tokens":1"#),
        r#"{"input":18446744073709551615,"output":1}"#
    );
    assert_eq!(
        usage(r#""input_tokens":123456789012345678901234567890,"output_tokens":1"#),
        r#"{"input":123456789012345678901234567890,"output":1}"#
    );
    assert_eq!(usage(r#""input_tokens":"5","output_tokens":-6,"total_tokens":1.5"#), "");
}

#[test]
fn wrong_types_stay_with_a_warning() {
    let record = native(
        "CODEX_LOG",
        r#"{"event_id":1,"event_type":"PROMPT_SENT","event_details":{"session_id":7,"prompt_text":null,"token_usage":[]}}"#,
    );
    let warnings = at(&record, "warnings").unwrap();
    for path in ["event_id", "event_details.session_id", "event_details.token_usage"] {
        assert!(
            warnings.contains(&format!("{{\"path\":\"{path}\",\"problem\":\"not a")),
            "{path}: {warnings}"
        );
    }
    assert!(!warnings.contains("prompt_text"), "null is absent");
    assert_eq!(
        at(&record, "unmapped.event_details").as_deref(),
        Some(r#"{"session_id":7,"prompt_text":null,"token_usage":[]}"#)
    );
}

#[test]
fn raw_is_exact_and_only_where_it_is_wanted() {
    let line = r#"{"event_id" : "e", "x":"\u0041"}"#;
    assert_eq!(at(&native("CODEX_LOG", line), "raw"), None);
    assert_eq!(text_at(&encode("CODEX_LOG", line, RAW), "raw").as_deref(), Some(line));
    let malformed = native("CODEX_LOG", "no\0 JSON");
    assert_eq!(text_at(&malformed, "raw").as_deref(), Some("no\0 JSON"));
    assert_eq!(text_at(&malformed, "raw_encoding"), None);
    assert_eq!(text_at(&malformed, "warnings.0.problem").as_deref(), Some("not a JSON object"));
    let bytes = b"{\"a\":\"\xff\xfe\"}";
    let odd = &encode_all(&origin("CODEX_LOG"), bytes, FULL)[0];
    assert_eq!(text_at(odd, "category").as_deref(), Some("malformed"));
    assert_eq!(text_at(odd, "raw_encoding").as_deref(), Some("base64"));
    assert_eq!(STANDARD.decode(text_at(odd, "raw").unwrap()).unwrap(), bytes);
}

#[test]
fn records_over_the_limit_are_described() {
    let huge = format!("{{\"event_id\":\"huge\",\"a\":\"{}\"}}", "x".repeat(16 * 1024 * 1024));
    for format in [Format::Native, Format::Raw] {
        let record = encode("CODEX_LOG", &huge, Options { format, ..RAW });
        assert!(record.len() < 1000);
        assert_eq!(text_at(&record, "category").as_deref(), Some("oversized"));
        assert_eq!(text_at(&record, "upstream_id").as_deref(), Some("huge"));
        assert_eq!(at(&record, "provenance.byte_length").unwrap(), huge.len().to_string());
        let expected = id::by_content(WORKSPACE, "CODEX_LOG", &sha256(huge.as_bytes()));
        assert_eq!(text_at(&record, "id"), Some(expected));
        assert_eq!(at(&record, "raw"), None);
    }
}

#[test]
fn actors_are_named_by_their_kind() {
    let actor =
        |actor: &str| at(&native("X", &format!("{{\"actor\":{actor}}}")), "actor").unwrap_or_default();
    assert_eq!(
        actor(r#"{"type":"ACCOUNT_USER","user_id":"user-A__11111111-2222-4333-8444-555555555555"}"#),
        r#"{"kind":"ACCOUNT_USER","id":"user-A__11111111-2222-4333-8444-555555555555","id_base":"user-A"}"#
    );
    assert_eq!(
        actor(r#"{"type":"ACCOUNT_USER","user_id":"user__A"}"#),
        r#"{"kind":"ACCOUNT_USER","id":"user__A"}"#
    );
    assert_eq!(actor(r#"{"type":"SATELLITE","id":"s","user_id":"u"}"#), r#"{"kind":"SATELLITE","id":"s"}"#);
    assert_eq!(
        actor(r#"{"type":"EXTERNAL_COLLABORATION_USER","provider":"p","provider_user_id":"u"}"#),
        r#"{"kind":"EXTERNAL_COLLABORATION_USER","id":"u"}"#
    );
    assert_eq!(actor(r#"{"user_id":"u","user_email":"e"}"#), r#"{"id":"u","email":"e"}"#);
    assert_eq!(actor(r#""plain""#), "");
    let other_key = native("X", r#"{"actor":{"type":"API_KEY","redacted_id":"sk-...0000"}}"#);
    assert_eq!(at(&other_key, "self_poll"), None);
}
