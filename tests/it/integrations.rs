//! Content packs say what the program does: `integrations/` against what is emitted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use custodex::format::Format;

use crate::support::{PROGRAM, TYPES, shared};

/// Stanza, then key and value.
type Conf = BTreeMap<String, BTreeMap<String, String>>;

/// Fields that Splunk itself gives to every event.
const GIVEN: [&str; 3] = ["sourcetype", "source", "host"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("integrations").join(name)
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn conf(name: &str) -> Conf {
    let mut all = Conf::new();
    let mut stanza = String::new();
    for line in fs::read_to_string(folder("splunk/default").join(name)).unwrap().lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut stanza);
            assert!(all.insert(stanza.clone(), BTreeMap::new()).is_none(), "[{name}] is there twice");
        } else if !line.is_empty() && !line.starts_with('#') {
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
            let twice = all.get_mut(&stanza).unwrap().insert(key.trim().into(), value.trim().into());
            assert!(twice.is_none(), "[{stanza}] {key} is there twice");
        }
    }
    all
}

/// Event types of the golden files: all that are known.
fn event_types() -> BTreeSet<String> {
    let names =
        fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let stems = names.filter_map(|name| name.strip_suffix(".native.jsonl").map(str::to_owned));
    // The hologram stands for a type that nobody knows.
    stems.filter(|name| name != "HOLOGRAM_LOG").collect()
}

/// Paths of native records, from the program's own table, which tests hold against its records.
fn native_paths() -> BTreeSet<String> {
    let table = run(&["fields"]);
    table.lines().skip(1).map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// The fields an expression reads: what is in single quotes, and bare words that are no function.
fn fields_of(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (number, outside) in expression.split('"').enumerate() {
        if number % 2 == 1 {
            continue;
        }
        for (number, part) in outside.split('\'').enumerate() {
            if number % 2 == 1 {
                found.insert(part.to_owned());
                continue;
            }
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let mut rest = part;
            while let Some(at) = rest.find(is_word) {
                let word = &rest[at..];
                let (word, behind) = word.split_at(word.find(|c| !is_word(c)).unwrap_or(word.len()));
                let operator = matches!(word, "OR" | "AND" | "NOT");
                if !behind.starts_with('(') && !operator && !word.starts_with(|c: char| c.is_ascii_digit()) {
                    found.insert(word.to_owned());
                }
                rest = behind;
            }
        }
    }
    found
}

#[test]
fn every_known_event_type_has_its_stanza() {
    let props = conf("props.conf");
    let known: BTreeSet<String> =
        event_types().into_iter().chain(TYPES.iter().map(|name| (*name).to_owned())).collect();
    let expected: BTreeSet<String> =
        known.iter().map(|name| format!("openai:compliance:{}", name.to_lowercase())).collect();
    assert_eq!(props.keys().cloned().collect::<BTreeSet<_>>(), expected);
    for (stanza, keys) in &props {
        assert_eq!(keys.get("KV_MODE").map(String::as_str), Some("json"), "{stanza}");
        assert!(!keys.contains_key("INDEXED_EXTRACTIONS"), "{stanza}: every field would show twice");
    }
}

#[test]
fn the_add_on_reads_fields_that_exist() {
    let known = native_paths();
    for (stanza, keys) in conf("props.conf") {
        for (key, value) in keys {
            let read = if key.starts_with("FIELDALIAS-") {
                let (field, _) = value.split_once(" AS ").unwrap();
                BTreeSet::from([field.trim_matches('"').to_owned()])
            } else if key.starts_with("EVAL-") {
                fields_of(&value)
            } else {
                continue;
            };
            for field in read {
                assert!(known.contains(&field), "[{stanza}] {key} reads {field}, which no record has");
            }
        }
    }
    let fields = |search: &str| -> Vec<String> {
        let pairs = search.split([' ', '(', ')']).filter_map(|word| word.split_once('='));
        pairs.map(|(field, _)| field.trim_matches('"').to_owned()).collect()
    };
    for (name, keys) in conf("eventtypes.conf") {
        for field in fields(&keys["search"]) {
            assert!(known.contains(&field) || GIVEN.contains(&field.as_str()), "[{name}] searches {field}");
        }
    }
    assert_eq!(
        fields_of("case(category!=\"a\",'b.c',like(lower(d),\"%e%\") OR f,1)"),
        ["b.c", "category", "d", "f"].map(str::to_owned).into()
    );
}

#[test]
fn tags_are_of_event_types_that_exist() {
    let event_types = conf("eventtypes.conf");
    for stanza in conf("tags.conf").keys() {
        let name = stanza.strip_prefix("eventtype=").unwrap();
        assert!(event_types.contains_key(name), "{name}");
    }
}

/// Names that a stanza gives to fields, and those that a record brings itself.
fn produced(keys: &BTreeMap<String, String>) -> BTreeSet<String> {
    let aliases = keys.iter().filter(|(key, _)| key.starts_with("FIELDALIAS-"));
    let aliases = aliases.map(|(_, value)| value.split_once(" AS ").unwrap().1.to_owned());
    let evals = keys.keys().filter_map(|key| key.strip_prefix("EVAL-").map(str::to_owned));
    aliases.chain(evals).chain(["id".to_owned()]).collect()
}

#[test]
fn fields_that_cim_requires_are_produced() {
    let Some(folder) = shared("schemas/splunk-cim") else { return };
    let (props, tags) = (conf("props.conf"), conf("tags.conf"));
    let of_model = [
        ("Authentication", "Authentication", "custodex_authentication", &["auth_log"][..]),
        (
            "Change",
            "All_Changes",
            "custodex_change",
            &[
                "audit_log",
                "codex_log",
                "codex_security_log",
                "app_auth_log",
                "custom_agents_log",
                "custodex_log",
            ],
        ),
        ("Alerts", "Alerts", "custodex_alert", &["codex_security_log"]),
    ];
    for (model, object, event_type, stanzas) in of_model {
        let text = fs::read_to_string(folder.join(format!("{model}.json"))).unwrap();
        let model: Value = serde_json::from_str(&text).unwrap();
        let objects = model["objects"].as_array().unwrap();
        let object = objects.iter().find(|one| one["name"] == object).unwrap();
        let tag = object["tags"][0][0].as_str().unwrap();
        assert_eq!(tags[&format!("eventtype={event_type}")].get(tag).map(String::as_str), Some("enabled"));
        for stanza in stanzas {
            let produced = produced(&props[&format!("openai:compliance:{stanza}")]);
            for field in object["fields"].as_array().unwrap() {
                let name = field["name"].as_str().unwrap();
                let required = field["type"] == "required";
                assert!(!required || produced.contains(name), "{stanza}: {name} of {event_type} is missing");
            }
        }
    }
}

/// Every event type that has records of category `admin` is one whose changes are described.
#[test]
fn what_is_tagged_as_a_change_has_the_fields_of_one() {
    let props = conf("props.conf");
    for event_type in event_types() {
        let path = golden().join(format!("{event_type}.native.jsonl"));
        let admin = fs::read_to_string(path).unwrap().contains("\"category\":\"admin\"");
        let stanza = &props[&format!("openai:compliance:{}", event_type.to_lowercase())];
        assert!(!admin || stanza.contains_key("EVAL-object_category"), "{event_type}");
    }
}

#[test]
fn the_page_of_cef_holds_the_programs_own_table() {
    let page = fs::read_to_string(folder("cef/README.md")).unwrap();
    for format in ["cef", "leef"] {
        let table = run(&["fields", "--format", format]);
        assert!(page.contains(&format!("```text\n{table}```\n")), "write {format} anew:\n{table}");
    }
}

/// The mapping at a dotted name of the template, or of a field that holds everything below it.
fn mapping<'t>(template: &'t Value, name: &str) -> Option<&'t Value> {
    let mut node = &template["template"]["mappings"];
    for part in name.split('.') {
        if node["type"] == "flattened" || node["type"] == "geo_point" {
            return Some(node);
        }
        node = node["properties"].get(part)?;
    }
    Some(node)
}

fn each_leaf(node: &Value, path: &str, see: &mut dyn FnMut(&str, &Value)) {
    match node.as_object().filter(|members| !members.is_empty()) {
        Some(members) => {
            for (key, value) in members {
                each_leaf(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, see);
            }
        }
        None => see(path, node),
    }
}

/// What is indexed has a bound below what Lucene takes.
fn look(node: &Value, path: &str) {
    for (name, field) in node["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let searched = field["index"] != false || field["doc_values"] != false;
        if matches!(field["type"].as_str(), Some("keyword" | "flattened")) && searched {
            // Lucene counts bytes, ignore_above characters, each of at most four bytes.
            assert!(field["ignore_above"].as_u64().is_some_and(|most| most * 4 <= 32_766), "{path}");
        }
        look(field, &path);
    }
}

#[test]
fn no_field_of_the_template_can_refuse_a_document_for_its_length() {
    let text = fs::read_to_string(folder("elastic/index-template.json")).unwrap();
    let template: Value = serde_json::from_str(&text).unwrap();
    look(&template["template"]["mappings"], "");
    for name in ["prompt_text", "response_text"] {
        let field = mapping(&template, &format!("openai.compliance.{name}")).unwrap();
        assert_eq!(field["type"], "match_only_text");
    }
    for name in ["gen_ai.input.messages", "gen_ai.output.messages", "openai.compliance.unmapped"] {
        assert_eq!(mapping(&template, name).unwrap()["type"], "flattened", "{name}");
    }
    for row in Format::Ecs.fields().iter().filter(|row| row.target != "@timestamp") {
        assert!(mapping(&template, row.target).is_some(), "{} has no mapping", row.target);
    }
    for entry in fs::read_dir(golden()).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().ends_with(".ecs.jsonl") {
            for line in fs::read_to_string(&path).unwrap().lines() {
                let record: Value = serde_json::from_str(line).unwrap();
                each_leaf(&record, "", &mut |name, _| {
                    assert!(
                        mapping(&template, name).is_some(),
                        "{name} of {} has no mapping",
                        path.display()
                    );
                });
            }
        }
    }
}

/// A configuration with one sink.
fn configuration(folder: &Path, sink: &str) -> PathBuf {
    let path = folder.join("config.toml");
    let source = "[sources.codex]\ntype = \"compliance_logs\"\nworkspace_id = \"11111111-2222-4333-8444-555555555555\"\n\
                  api_key = { env = \"CUSTODEX_TEST_UNSET\" }\n";
    fs::write(&path, format!("{source}[sinks.s]\n{sink}\n")).unwrap();
    path
}

fn preview(sink: &str, input: &str, more: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), sink);
    let mut child = Command::new(PROGRAM)
        .args(["-c", config.to_str().unwrap(), "preview", "--sink", "s", "--input", "-"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{err}");
    (out, err)
}

const LINES: &str = concat!(
    r#"{"event_id":"e1","type":"CODEX_LOG","event_type":"PROMPT_SENT","timestamp":"2026-07-22T10:00:00Z","event_details":{"prompt_text":"hello"}}"#,
    "\n",
    r#"{"event_id":"e2","type":"AUTH_LOG","timestamp":"2026-07-22T10:00:01Z","action_data":{"action":"login_failed"}}"#,
    "\nno json\n",
);

#[test]
fn preview_shows_what_a_sink_would_send() {
    let (out, err) =
        preview("type = \"stdout\"\nformat = \"cef\"\nselect = { categories = [\"auth\"] }", LINES, &[]);
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(out.contains("|AUTH_LOG:login_failed|auth|5|externalId="), "{out}");
    assert!(err.contains("line 1: left out by `select`"), "{err}");
    let syslog = "type = \"syslog\"\naddress = \"tcp://127.0.0.1:1\"\nformat = \"leef\"\nhostname = \"h\"";
    let (out, _) = preview(syslog, LINES, &[]);
    assert_eq!(out.lines().count(), 3, "{out}");
    assert!(
        out.starts_with("<134>1 2026-07-22T10:00:00Z h custodex - CODEX_LOG - LEEF:2.0|OpenAI|"),
        "{out}"
    );
    let splunk =
        "type = \"splunk_hec\"\nurl = \"https://127.0.0.1:1\"\ntoken = { env = \"UNSET\" }\nhost = \"h\"";
    let (out, _) = preview(splunk, LINES, &["--event-type", "CODEX_LOG"]);
    for line in out.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["sourcetype"], "openai:compliance:codex_log");
        assert_eq!(event["event"]["event_type"], "CODEX_LOG");
    }
    let (out, _) = preview(&format!("{splunk}\nformat = \"cef\""), LINES, &[]);
    let event: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert!(event["event"].as_str().unwrap().starts_with("CEF:0|OpenAI|"), "{event}");
}

/// A CEF parser that somebody else wrote reads every sample line the same way.
#[test]
fn pycef_reads_what_is_written() {
    let Some(samples) = shared("samples/compliance") else { return };
    let Some(schema) = shared("schemas/cef") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut lines = 0;
    for (number, entry) in fs::read_dir(&samples).unwrap().enumerate() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "jsonl") {
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        lines += text.lines().count();
        let event_type = path.file_stem().unwrap().to_str().unwrap();
        let more = if event_type == "drift" { vec![] } else { vec!["--event-type", event_type] };
        for (format, prompts) in [("cef", "prompts = true"), ("native", "")] {
            let (out, _) =
                preview(&format!("type = \"stdout\"\nformat = \"{format}\"\n{prompts}"), &text, &more);
            fs::write(folder.path().join(format!("{number}.{format}")), out).unwrap();
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/cef.py");
    let output = Command::new("python3")
        .arg(script)
        .args([folder.path(), &schema.join("extension_keys.json")])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(told.trim(), format!("{lines} lines"));
}
