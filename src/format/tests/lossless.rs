//! Whatever upstream sends: one record a line, valid JSON, and nothing of it lost.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::rebuild::{Tree, rebuild};
use super::*;

/// Sample lines that lie beside the project.
pub(super) fn shared_samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples/compliance")
}

pub(super) fn lines() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (event_type, path) in samples() {
        let text = [golden::folder(), shared_samples()]
            .iter()
            .filter_map(|folder| std::fs::read_to_string(folder.join(&path)).ok())
            .collect::<String>()
            .replace("4f6c2a1e-93b7-4d58-8e02-7a1b5c9d3e64", WORKSPACE)
            .replace("org-T7sampleQ2vK9mXw4Rb1", ORGANIZATION);
        let event_type = if event_type == "drift" { "CODEX_LOG" } else { &event_type };
        all.extend(text.lines().map(|line| (event_type.to_owned(), line.to_owned())));
    }
    all.retain(|(_, line)| json::members(line).is_some());
    all
}

/// Encodes and rebuilds; what is wrong, if anything.
fn check(event_type: &str, line: &str) -> Result<(), String> {
    let options = Options { include_raw: true, ..FULL };
    let record = encode(event_type, line, options);
    let whole = json::members(&record).ok_or("the record is no JSON object")?;
    if record.contains('\n') {
        return Err("a line feed in the record".to_owned());
    }
    let mut keys: Vec<&str> = whole.iter().map(|(key, _)| *key).collect();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() != whole.len() {
        return Err("a key of ours is there twice".to_owned());
    }
    if text_at(&record, "raw").as_deref() != Some(line) {
        return Err("raw is not the line".to_owned());
    }
    let (rebuilt, given) = (rebuild(&record), Tree::parse(line, 0).sorted());
    if rebuilt == given {
        Ok(())
    } else {
        Err(format!("given {given:?}\nrebuilt {rebuilt:?}\nrecord {record}"))
    }
}

#[test]
fn every_sample_can_be_rebuilt() {
    const OTHERS: [&str; 6] =
        ["CODEX_LOG", "AUDIT_LOG", "COSTS", "CODEX_TURN", "CONVERSATION_MESSAGE", "HOLOGRAM_LOG"];
    for (number, (event_type, line)) in lines().into_iter().enumerate() {
        // In the log file of another stream, nothing is where it is expected.
        for stream in [&event_type, OTHERS[number % OTHERS.len()]] {
            check(stream, &line).unwrap_or_else(|problem| panic!("as {stream}: {line}\n{problem}"));
        }
    }
}

#[test]
fn the_samples_beside_the_project_are_whole() {
    let folder = shared_samples();
    if !folder.try_exists().unwrap() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", folder.display());
        return eprintln_absent(&folder);
    }
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let Some(event_type) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".jsonl") else {
            continue;
        };
        let file = std::fs::read(&path).unwrap();
        let given: Vec<&[u8]> = file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let records = encode_all(&origin(event_type), &file, Options { include_raw: true, ..FULL });
        assert_eq!(records.len(), given.len(), "{event_type}: one record a line");
        for (record, line) in records.iter().zip(given) {
            assert!(json::members(record).is_some(), "{record}");
            assert_eq!(text_at(record, "raw").unwrap().as_bytes(), line);
            assert_ne!(text_at(record, "category").as_deref(), Some("malformed"));
        }
    }
}

#[expect(clippy::print_stderr, reason = "a test that did not run says so")]
fn eprintln_absent(folder: &Path) {
    eprintln!("passed over: {} is not there", folder.display());
}

#[test]
fn what_comes_more_than_once_keeps_its_place() {
    for line in [
        r#"{"event_type":"PROMPT_SENT","event_details":{"prompt_text":"a"},"event_details":{"prompt_text":"b"}}"#,
        r#"{"event_type":"PROMPT_SENT","event_details":{"prompt_text":"a"},"event_details":null}"#,
        r#"{"event_type":"PROMPT_SENT","event_details":null,"event_details":{"prompt_text":"b"}}"#,
        r#"{"event_details":{"token_usage":{"input_tokens":1},"token_usage":{"input_tokens":2}}}"#,
        r#"{"event_details":{},"event_details":{"session_id":"s"},"event_details":{}}"#,
        r#"{"principal":{"id":"11111111-2222-4333-8444-555555555555"},"principal":null,"type":1,"type":"CODEX_LOG"}"#,
        r#"{"type":"CODEX_LOG","type":"CODEX_LOG","event_id":null,"event_id":"e","timestamp":"","timestamp":"x"}"#,
        r#"{"actor":{"type":"API_KEY","redacted_id":"a","redacted_id":"b"},"actor":{"type":"API_KEY"}}"#,
    ] {
        check("CODEX_LOG", line).unwrap_or_else(|problem| panic!("{line}\n{problem}"));
    }
}

#[test]
fn an_action_from_elsewhere_is_told_apart() {
    for event_type in
        ["CODEX_LOG", "AUTH_LOG", "AUDIT_LOG", "APP_LOG", "APP_AUTH_LOG", "CUSTOM_AGENTS_LOG", "X"]
    {
        for line in [
            r#"{"event_type":"A"}"#,
            r#"{"action":"A"}"#,
            r#"{"log_type":"A"}"#,
            r#"{"action_data":{"action":"A"}}"#,
            r#"{"event_type":"A","action":"A","log_type":"A","action_data":{"action":"A"}}"#,
            r#"{"event_type":5,"action":"A"}"#,
        ] {
            check(event_type, line).unwrap_or_else(|problem| panic!("{event_type} {line}\n{problem}"));
            assert_eq!(
                text_at(&native(event_type, line), "action").as_deref(),
                Some("A"),
                "{event_type} {line}"
            );
        }
    }
}

#[test]
fn a_status_that_repeats_the_decision_is_told_apart() {
    let line = |rest: &str| format!(r#"{{"event_type":"TOOL_DECISION","event_details":{{{rest}}}}}"#);
    for rest in [
        r#""decision":"approved""#,
        r#""decision":"approved","status":"approved""#,
        r#""decision":"denied","status":"completed""#,
        r#""status":"completed""#,
        r#""decision":"denied","status":"completed","status":"denied""#,
    ] {
        check("CODEX_LOG", &line(rest)).unwrap_or_else(|problem| panic!("{rest}\n{problem}"));
    }
}

#[test]
fn an_empty_key_is_no_field() {
    let line =
        r#"{"event_type":"ENVIRONMENT_CREATED","":"root","event_details":{"":"inner","environment_id":"e"}}"#;
    check("CODEX_LOG", line).unwrap();
    let costs = r#"{"client_id":"outer","payload":{"surface":"inner","product_client_id":"p"}}"#;
    check("COSTS", costs).unwrap();
    check("CODEX_TURN", costs).unwrap();
}

#[test]
fn depth_costs_no_stack() {
    let nested = format!("{}1{}", "{\"a\":[".repeat(100_000), "]}".repeat(100_000));
    for path in [
        "",
        "\"event_details\":",
        "\"event_details\":{\"tool_input\":",
        "\"actor\":{\"agent_runtime\":{\"delegator\":",
    ] {
        let open = path.matches('{').count();
        let path = if path.is_empty() { "\"x\":" } else { path };
        let line = format!("{{\"event_type\":\"TOOL_DECISION\",{path}{nested}{}}}", "}".repeat(open));
        assert!(native("CODEX_LOG", &line).contains(&nested));
    }
}

#[test]
fn huge_objects_cost_no_more_than_their_size() {
    let many =
        |key: &dyn Fn(u32) -> String| (0..200_000).map(|n| format!("\"{}\":1", key(n))).collect::<Vec<_>>();
    let different = format!("{{\"event_details\":{{{}}}}}", many(&|n| format!("k{n}")).join(","));
    let same = format!("{{\"event_details\":{{{}}}}}", many(&|n| format!("k{}", n % 1000)).join(","));
    assert!(native("CODEX_LOG", &different).len() < different.len() + 2000);
    assert!(native("CODEX_LOG", &same).len() < same.len() + 3000, "warnings are bounded");
}

/// Values that are seldom expected.
const ODD: [&str; 18] = [
    "null",
    "\"\"",
    "true",
    "0",
    "-1",
    "1e400",
    "123456789012345678901234567890",
    "[]",
    "{}",
    "[{\"a\":null}]",
    "\"\\ud800\"",
    "\"failed\"",
    "\"ACCOUNT_USER\"",
    "\"CODEX_LOG\"",
    "{\"type\":\"user\",\"id\":\"x\",\"value\":\"v\"}",
    "\"PROMPT_RESPONSE_RECEIVED\"",
    "{\"input_tokens\":3,\"output_tokens\":4}",
    "\"2026-07-22T10:00:00+02:00\"",
];

pub(super) fn write(tree: &Tree, out: &mut String) {
    let Tree::Object(members) = tree else {
        let Tree::Token(token) = tree else { unreachable!() };
        return out.push_str(token);
    };
    out.push('{');
    for (position, (key, value)) in members.iter().enumerate() {
        if position > 0 {
            out.push_str(" ,");
        }
        // A key that stands for no text is a token already.
        if json::text(key).is_none() && key.starts_with('"') && key.contains("\\u") {
            out.push_str(key);
        } else {
            out.push_str(&serde_json::to_string(key).unwrap());
        }
        out.push_str(": ");
        write(value, out);
    }
    out.push('}');
}

/// Changes one member somewhere in the tree.
pub(super) fn mutate(tree: &mut Tree, seed: &mut u32, keys: &[String]) {
    let mut draw = |below: usize| {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*seed >> 8) as usize % below.max(1)
    };
    let Tree::Object(members) = tree else { return };
    let (place, choice) = (draw(members.len()), draw(8));
    let odd = Tree::parse(ODD[draw(ODD.len())], 0);
    let key = keys[draw(keys.len())].clone();
    match (choice, members.get(place).cloned()) {
        (0..=2, Some((_, Tree::Object(_)))) => mutate(&mut members[place].1, seed, keys),
        (_, None) => members.push((key, odd)),
        (0, _) => members[place].1 = odd,
        (1, _) => drop(members.remove(place)),
        (2, Some((own, _))) => members.insert(0, (own, odd)),
        (3, Some((own, _))) => members.push((own, odd)),
        (4, Some(twin)) => members.push(twin),
        (5, _) => members[place].0 = key,
        (6, _) => members.insert(0, (key, odd)),
        (_, Some((_, value))) => members.push((key, value)),
    }
}

pub(super) fn all_keys(tree: &Tree, keys: &mut Vec<String>) {
    let Tree::Object(members) = tree else { return };
    for (key, value) in members {
        keys.push(key.clone());
        all_keys(value, keys);
    }
}

/// Every key of these lines, and some more.
pub(super) fn keys(lines: &[(String, String)]) -> Vec<String> {
    let mut keys: Vec<String> = ["", "client_id", "status", "decision", "total_tokens", "action", "log_type"]
        .map(str::to_owned)
        .to_vec();
    for (_, line) in lines {
        all_keys(&Tree::parse(line, 0), &mut keys);
    }
    keys.sort();
    keys.dedup();
    keys
}

/// A line with so many changes.
pub(super) fn mutated(line: &str, mut seed: u32, times: i32, keys: &[String]) -> String {
    let mut tree = Tree::parse(line, 0);
    (0..times).for_each(|_| mutate(&mut tree, &mut seed, keys));
    let mut text = String::new();
    write(&tree, &mut text);
    text
}

#[test]
fn every_mutation_of_a_sample_can_be_rebuilt() {
    let lines = lines();
    let keys = keys(&lines);
    let cases = ProptestConfig { cases: 2000, ..ProptestConfig::default() };
    proptest!(cases, |(which in any::<prop::sample::Index>(), seed in any::<u32>(), times in 1..12)| {
        let (event_type, line) = which.get(&lines);
        let text = mutated(line, seed, times, &keys);
        prop_assert!(json::members(&text).is_some(), "the mutation is at fault: {text}");
        if let Err(problem) = check(event_type, &text) {
            return Err(TestCaseError::fail(format!("{event_type} {text}\n{problem}")));
        }
    });
}
