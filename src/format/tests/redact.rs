//! What rules take out of a record is in no output, whatever its format, and nothing else changes.

use proptest::prelude::*;

use super::lossless::{lines, mutate, write};
use super::rebuild::Tree;
use super::*;

pub(super) fn rules(text: &str) -> Redaction {
    #[derive(serde::Deserialize)]
    struct Keys {
        redact: Redaction,
    }
    let mut rules = toml::from_str::<Keys>(&format!("redact = [{text}]")).unwrap().redact;
    let env = |name: &str| (name == "KEY").then(|| "a key of thirty-two characters !!".to_owned());
    assert_eq!(rules.read_keys(&env), []);
    rules
}

const HMAC: &str = "action = 'hmac', key = { env = 'KEY' }";

/// The record of a line under these rules, and all that is told beside it.
pub(super) fn redacted(
    event_type: &str,
    line: &str,
    rules: &Redaction,
    options: Options,
) -> (String, String) {
    let origin = origin(event_type);
    let mut reader = Reader::new(line.as_bytes());
    let cut = reader.next().unwrap().unwrap();
    let raw = RawRecord {
        bytes: line.as_bytes(),
        shape: cut.shape,
        offset: 0,
        length: cut.length,
        line: 1,
        sha256: cut.sha256,
        event_id: None,
    };
    let mut out = Vec::new();
    let encoder = Encoder::new(options, None).redacting(rules.clone());
    let record = Record::parse(&origin, raw);
    let told = encoder.encode_and(&record, &mut out, |shown| {
        format!("{:?} {:?} {:?}", shown.action, shown.time, shown.outcome.result)
    });
    (String::from_utf8(out).unwrap(), told)
}

fn shown(event_type: &str, line: &str, text: &str) -> String {
    redacted(event_type, line, &rules(text), FULL).0
}

/// Every text of a JSON value, also of JSON inside texts, one a line.
fn texts(token: &str, depth: usize, out: &mut String) {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(token) else {
        out.push_str(token);
        return out.push('\n');
    };
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            serde_json::Value::String(text) => {
                out.push_str(&text);
                out.push('\n');
                if depth < 4 && text.starts_with(['{', '[', '"']) {
                    texts(&text, depth + 1, out);
                }
            }
            serde_json::Value::Array(items) => left.extend(items),
            serde_json::Value::Object(members) => {
                for (key, value) in members {
                    left.extend([serde_json::Value::String(key), value]);
                }
            }
            other => out.extend([other.to_string().as_str(), "\n"]),
        }
    }
}

pub(super) fn all_texts(record: &str) -> String {
    let mut out = record.to_owned();
    texts(record, 0, &mut out);
    out
}

const PROMPT: &str = r#"{"event_id":"e","type":"CODEX_LOG","timestamp":"2026-07-22T10:00:00Z","event_type":"PROMPT_SENT","actor":{"type":"ACCOUNT_USER","user_id":"user-Abc__11111111-2222-4333-8444-555555555555","user_email":"ada@ex\u0061mple.com"},"event_details":{"prompt_text":"I am ADA@example.com, user-Abc","x":{"ada@example.com":["see {\"m\":\"ada\\u0040example.com\"}","{\"m\":\"ada\\u0040example.com\"}"]}}}"#;

#[test]
fn the_same_value_gives_the_same_token_everywhere() {
    let record = shown("CODEX_LOG", PROMPT, &format!("{{ field = 'actor.email', {HMAC} }}"));
    let token = text_at(&record, "actor.email").unwrap();
    assert!(token.starts_with("hmac:") && token.len() == 37, "{token}");
    assert_eq!(text_at(&record, "prompt_text").unwrap(), format!("I am {token}, user-Abc"));
    assert!(at(&record, "unmapped").unwrap().contains(&format!("\"{token}\":[")), "{record}");
    assert!(!all_texts(&record).to_lowercase().contains("ada@example.com"), "{record}");
    assert_eq!(at(&record, "redacted").unwrap(), r#"["actor.email","prompt_text","unmapped"]"#);
    let other = PROMPT.replace("\"e\"", "\"f\"");
    let other = shown("CODEX_LOG", &other, &format!("{{ field = 'actor.email', {HMAC} }}"));
    assert_eq!(text_at(&other, "actor.email").unwrap(), token);
}

#[test]
fn what_is_made_of_a_field_goes_with_it() {
    let record = shown("CODEX_LOG", PROMPT, "{ field = 'actor.id', action = 'drop' }");
    assert_eq!((at(&record, "actor.id"), at(&record, "actor.id_base")), (None, None));
    assert!(!record.contains("user-Abc"), "{record}");
    let record = shown("CODEX_LOG", PROMPT, "{ field = 'time', action = 'drop' }");
    assert_eq!((at(&record, "time"), at(&record, "time_original")), (None, None));
    let audit = r#"{"event_id":"e","action":"project_deleted","action_result":"success"}"#;
    let dropped = shown(
        "AUDIT_LOG",
        audit,
        "{ field = 'action', action = 'drop' }, { field = 'outcome', action = 'drop' }",
    );
    assert!(!dropped.contains("project") && at(&dropped, "outcome").is_none(), "{dropped}");
}

#[test]
fn each_action_does_what_it_says() {
    let line = r#"{"event_id":"e","event_type":"TOOL_DECISION","event_details":{"tool_input":{"a":{"b":"sécret text","n":7},"c":"keep"},"note":"abc"}}"#;
    let field =
        |path: &str, action: &str| shown("CODEX_LOG", line, &format!("{{ field = '{path}', {action} }}"));
    let arguments = |record: &str| at(record, "tool_calls.0.arguments").unwrap_or_default();
    assert_eq!(
        arguments(&field("tool_calls.arguments.a.b", "action = 'drop'")),
        r#"{"a":{"n":7},"c":"keep"}"#
    );
    assert_eq!(
        arguments(&field("tool_calls.arguments.a", "action = 'truncate', to = 2")),
        r#"{"a":{"b":"sé","n":7},"c":"keep"}"#
    );
    let hashed = field("unmapped.event_details.note", "action = 'sha256'");
    let expected = crate::digest::hex(&crate::digest::sha256(b"abc"));
    assert_eq!(text_at(&hashed, "unmapped.event_details.note").unwrap(), format!("sha256:{expected}"));
    assert_eq!(at(&hashed, "redacted").unwrap(), r#"["unmapped.event_details.note"]"#);
    let own = "action = 'mask', patterns = [{ name = 'word', regex = 's.cret' }]";
    assert!(arguments(&field("*", own)).contains(r#""[redacted:word] text""#));
    assert_eq!(field("prompt_text", "action = 'drop'"), native("CODEX_LOG", line), "nothing to do");
}

#[test]
fn bytes_that_are_no_object_are_left_out() {
    for line in ["secret no JSON", r#"{"actor":{"user_email":"secret"#, "\"secret\""] {
        for (_, format) in Format::ALL {
            let options = Options { format, include_raw: true, ..FULL };
            let (record, _) =
                redacted("CODEX_LOG", line, &rules("{ field = 'actor.email', action = 'drop' }"), options);
            assert!(!record.contains("secret"), "{record}");
        }
    }
}

#[test]
fn rules_and_keys_are_in_the_fingerprint_and_the_key_is_not() {
    let with = |rules: Redaction| Encoder::new(FULL, None).redacting(rules);
    let one = with(rules(&format!("{{ field = 'actor.email', {HMAC} }}")));
    let mut other = rules(&format!("{{ field = 'actor.email', {HMAC} }}"));
    assert_eq!(one.fingerprint(), with(other.clone()).fingerprint());
    assert_eq!(other.read_keys(&|_| Some("another key of many characters".to_owned())), []);
    assert_ne!(one.fingerprint(), with(other).fingerprint());
    assert_ne!(one.fingerprint(), with(rules("{ field = 'actor.email', action = 'sha256' }")).fingerprint());
    assert!(!one.fingerprint().contains("thirty") && !format!("{one:?}").contains("thirty"));
    assert_eq!(with(Redaction::default()).fingerprint(), Encoder::new(FULL, None).fingerprint());
}

/// The paths whose values are texts of their own in a native record.
const DROPPED: [&str; 5] = ["actor", "prompt_text", "unmapped", "tool_calls.arguments", "target"];

#[test]
fn whatever_comes_what_is_removed_is_gone_and_the_rest_is_as_it_was() {
    let lines = lines();
    let cases = ProptestConfig { cases: 1000, ..ProptestConfig::default() };
    let keys = ["prompt_text", "user_email", "tool_input", "note"].map(str::to_owned);
    let actions = ["action = 'drop'", "action = 'sha256'", HMAC];
    let all: Vec<Vec<Redaction>> = DROPPED
        .iter()
        .map(|path| {
            actions.iter().map(|action| rules(&format!("{{ field = '{path}', {action} }}"))).collect()
        })
        .collect();
    proptest!(cases, |(which in any::<prop::sample::Index>(), mut seed in any::<u32>(), times in 0..8, path in 0..DROPPED.len(), action in 0..3usize)| {
        let (event_type, line) = which.get(&lines);
        let mut tree = Tree::parse(line, 0);
        (0..times).for_each(|_| mutate(&mut tree, &mut seed, &keys));
        let mut text = String::new();
        write(&tree, &mut text);
        let text = mark(&text, seed);
        let plain = native(event_type, &text);
        let (record, _) = redacted(event_type, &text, &all[path][action], FULL);
        prop_assert!(json::members(&record).is_some(), "{record}");
        let path = DROPPED[path];
        let path = if path.starts_with("tool_calls") { "tool_calls.0.arguments" } else { path };
        let Some(before) = at(&plain, path) else { return Ok(()) };
        let mut values = String::new();
        texts(&before, 0, &mut values);
        let after = all_texts(&record);
        for value in values.split(|c: char| !c.is_alphanumeric()).filter(|word| word.starts_with("CANARY")) {
            prop_assert!(!after.contains(value), "{value} of {path} in {record}");
        }
        for (key, token) in json::members(&plain).unwrap() {
            let key = json::text(key).unwrap();
            let named = at(&record, "redacted").unwrap_or_default().contains(&format!("\"{key}"));
            let derived = key == "redacted" || key == "time" || key == "outcome";
            if !named && !derived {
                prop_assert_eq!(at(&record, &key), Some(token.to_owned()), "{} of {}", key, record);
            }
        }
    });
}

/// Gives each free text a canary.
fn walk(tree: &mut Tree, number: &mut u32, seed: u32) {
    match tree {
        Tree::Object(members) => {
            for (key, value) in members.iter_mut() {
                let envelope = matches!(key.as_str(), "type" | "event_type" | "action" | "id" | "timestamp");
                if !envelope {
                    walk(value, number, seed);
                }
            }
        }
        Tree::Token(token) if token.starts_with('"') && json::text(token).is_some() => {
            *number += 1;
            *token = format!("\"CANARY{number}x{seed}q\"");
        }
        Tree::Token(_) => {}
    }
}

/// A line in which each free text has a canary of its own.
fn mark(line: &str, seed: u32) -> String {
    let mut number = 0;
    let mut tree = Tree::parse(line, 0);
    walk(&mut tree, &mut number, seed);
    let mut text = String::new();
    write(&tree, &mut text);
    text
}

#[test]
fn select_is_about_the_record_as_it_came() {
    let origin = origin("CUSTODEX_LOG");
    let raw = RawRecord {
        bytes: br#"{"action":"a"}"#,
        shape: Shape::Object,
        offset: 0,
        length: 14,
        line: 1,
        sha256: [0; 32],
        event_id: None,
    };
    let record = Record::parse(&origin, raw);
    let select = |text: &str| toml::from_str::<Select>(text).unwrap();
    assert!(!select("").takes(&record), "our own audit trail is for archives");
    assert!(!select("actions = ['a']").takes(&record));
    assert!(select("event_types = ['CUSTODEX_LOG']\nactions = ['a']").takes(&record));
    assert!(!select("event_types = ['CODEX_LOG']").takes(&record));
}
