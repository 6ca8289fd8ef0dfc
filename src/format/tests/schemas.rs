//! ECS and OCSF records against the schemas: small checks of our own always, the published schemas where
//! they lie beside the project.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

pub(super) const ECS: Options = Options { format: Format::Ecs, ..FULL };
pub(super) const OCSF: Options = Options { format: Format::Ocsf, ..FULL };
pub(super) const NEW_OCSF: Options = Options { ocsf_version: OcsfVersion::V1_9, ..OCSF };

/// Everything that is written from a mapping.
pub(super) const MAPPED: [Options; 3] = [ECS, OCSF, NEW_OCSF];

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/schemas");
    let there = folder.is_dir();
    assert!(there || std::env::var("CI").as_deref() != Ok("true"), "{} is missing", folder.display());
    there.then_some(folder)
}

/// Reads a record; what no reader of JSON takes is swapped for what one does.
pub(super) fn read(record: &str) -> Value {
    let readable = || without_surrogates(record).replace("1e400", "1e40");
    serde_json::from_str(record).or_else(|_| serde_json::from_str(&readable())).expect("valid JSON")
}

fn without_surrogates(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape: String = rest[at..].chars().take(4).collect::<String>().to_ascii_lowercase();
        let surrogate = ["\\ud8", "\\ud9", "\\uda", "\\udb", "\\udc", "\\udd", "\\ude", "\\udf"];
        if surrogate.iter().any(|start| escape.starts_with(start)) {
            out.push('?');
            rest = &rest[at + 6..];
        } else {
            out.push_str(&rest[at..at + 2]);
            rest = &rest[at + 2..];
        }
    }
    out + rest
}

/// What is wrong with a record, if anything.
pub(super) fn check(options: Options, record: &str) -> Result<(), String> {
    if record.contains('\n') || json::members(record).is_none() {
        return Err(format!("not one line of JSON: {record}"));
    }
    let value = read(record);
    let problem = match options.format {
        Format::Ecs => ecs(&value),
        _ => ocsf(&value, options.ocsf_version),
    };
    problem.map_err(|problem| format!("{problem}\n{record}"))
}

fn ensure(condition: bool, problem: impl Into<String>) -> Result<(), String> {
    if condition { Ok(()) } else { Err(problem.into()) }
}

fn there(value: &Value, paths: &[&str]) -> Result<(), String> {
    let missing: Vec<&&str> =
        paths.iter().filter(|path| value.pointer(&format!("/{path}")).is_none()).collect();
    ensure(missing.is_empty(), format!("missing {missing:?}"))
}

/// What OCSF asks of an event of each class, as far as it concerns us.
fn ocsf(value: &Value, version: OcsfVersion) -> Result<(), String> {
    there(value, &["activity_id", "activity_name", "category_uid", "class_uid", "type_uid", "time"])?;
    there(value, &["severity_id", "metadata/uid", "metadata/version", "metadata/product/name"])?;
    let number = |key: &str| value[key].as_i64().unwrap_or(-1);
    let (class, activity) = (number("class_uid"), number("activity_id"));
    ensure(number("type_uid") == class * 100 + activity, "type_uid")?;
    ensure(number("category_uid") == class / 1000, "category_uid")?;
    ensure([0, 1].contains(&number("severity_id")) && number("time") >= 0, "severity or time")?;
    there(
        value,
        match class {
            0 => &[],
            2004 => &["finding_info/uid"],
            3001 | 3007 => &["user"],
            3002 => &["user", "service/name"],
            3004 => &["entity/type_id", "entity/type"],
            3005 => &["user", "privileges/0"],
            3006 => &["group"],
            6003 => &["actor", "api/operation", "api/request/uid", "src_endpoint"],
            _ => return Err(format!("class {class}")),
        },
    )?;
    if value.get("ai_model").is_some() {
        there(value, &["ai_model/name", "ai_model/ai_provider"])?;
    }
    let Some(schemas) = ocsf_schemas(version) else { return Ok(()) };
    let schema = schemas.get(&class).ok_or("a class without a schema")?;
    let errors: Vec<String> = schema
        .iter_errors(value)
        .map(|error| {
            format!("{}: {}", error.instance_path(), error.to_string().chars().take(300).collect::<String>())
        })
        .collect();
    ensure(errors.is_empty(), errors.join("\n"))
}

type Schemas = HashMap<i64, jsonschema::Validator>;

/// One validator for each class.
fn ocsf_schemas(version: OcsfVersion) -> Option<&'static Schemas> {
    static OLD: OnceLock<Option<Schemas>> = OnceLock::new();
    static NEW: OnceLock<Option<Schemas>> = OnceLock::new();
    let (all, name) = match version {
        OcsfVersion::V1_8 => (&OLD, "1.8.0"),
        OcsfVersion::V1_9 => (&NEW, "1.9.0-dev"),
    };
    let load = || {
        let entries = std::fs::read_dir(folder()?.join("ocsf").join(name)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let schema = |path: PathBuf| {
            let class = path.file_name().unwrap().to_str().unwrap()[..4].parse().unwrap();
            // The copy was made shortly before the release that it became.
            let text = std::fs::read_to_string(path).unwrap().replace("1.9.0-dev", "1.9.0");
            (class, jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap())
        };
        Some(paths.map(schema).collect())
    };
    all.get_or_init(load).as_ref()
}

/// What ECS asks of a document, as far as it concerns us.
fn ecs(value: &Value) -> Result<(), String> {
    there(value, &["@timestamp", "ecs/version", "event/id", "event/kind"])?;
    let kind = value["event"]["kind"].as_str().unwrap_or_default();
    ensure(["alert", "event", "metric", "pipeline_error"].contains(&kind), "event.kind")?;
    for path in ["/event/category", "/event/type", "/related/user", "/related/ip", "/related/hash"] {
        ensure(value.pointer(path).is_none_or(Value::is_array), path)?;
    }
    let time = value["@timestamp"].as_str().unwrap_or_default();
    ensure(is_time(time), "@timestamp")?;
    let Some(fields) = ecs_fields() else { return Ok(()) };
    let mut problems = Vec::new();
    walk(fields, "", value, &mut problems);
    if let Some(types) = value["event"]["type"].as_array() {
        let allowed = &fields["event.category"].types[value["event"]["category"][0].as_str().unwrap()];
        for kind in types {
            if !allowed.iter().any(|one| one == kind.as_str().unwrap()) {
                problems.push(format!("event.type {kind}"));
            }
        }
    }
    ensure(problems.is_empty(), problems.join("\n"))
}

/// A moment in UTC, of any year that has four digits.
fn is_time(text: &str) -> bool {
    text.strip_suffix('Z').is_some_and(|text| text.parse::<jiff::civil::DateTime>().is_ok())
}

/// What is known of a field.
#[derive(Default)]
struct Known {
    kind: String,
    list: bool,
    allowed: Vec<String>,
    /// Of a category: the types that go with it.
    types: HashMap<String, Vec<String>>,
}

fn walk(fields: &HashMap<String, Known>, path: &str, value: &Value, problems: &mut Vec<String>) {
    if path.starts_with("openai.") {
        return;
    }
    let Some(known) = fields.get(path) else {
        let Value::Object(members) = value else { return problems.push(format!("unknown field {path}")) };
        for (key, value) in members {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            walk(fields, &path, value, problems);
        }
        return;
    };
    let items = match value {
        Value::Array(items) if known.list || matches!(known.kind.as_str(), "flattened" | "object") => {
            &items[..]
        }
        single if !known.list => std::slice::from_ref(single),
        _ => return problems.push(format!("{path} is no list")),
    };
    for item in items {
        let text = item.as_str();
        let fits = match known.kind.as_str() {
            "keyword" | "match_only_text" | "wildcard" => text.is_some(),
            "date" => text.is_some_and(is_time),
            "ip" => text.is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()),
            "long" => item.as_i64().is_some(),
            "integer" => item.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            "boolean" => item.is_boolean(),
            "flattened" | "object" => item.is_object(),
            "geo_point" => item["lat"].is_number() && item["lon"].is_number(),
            _ => false,
        };
        let allowed =
            known.allowed.is_empty() || text.is_some_and(|text| known.allowed.iter().any(|one| one == text));
        if !fits || !allowed {
            problems.push(format!("{path} ({}) is {item}", known.kind));
        }
    }
}

/// The published fields, with the two names that are OpenTelemetry's until ECS has them.
fn ecs_fields() -> Option<&'static HashMap<String, Known>> {
    static FIELDS: OnceLock<Option<HashMap<String, Known>>> = OnceLock::new();
    let load = || {
        let text = std::fs::read_to_string(folder()?.join("ecs/ecs_flat_9.5.0-dev.trimmed.yml")).unwrap();
        Some(parse_fields(&text))
    };
    FIELDS.get_or_init(load).as_ref()
}

fn list(text: &str) -> Vec<String> {
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    inner.split(", ").map(str::to_owned).collect()
}

/// Reads the little of YAML that the list is written in.
fn parse_fields(text: &str) -> HashMap<String, Known> {
    let (mut fields, mut name) = (HashMap::<String, Known>::new(), String::new());
    let mut expected: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if !line.starts_with(' ') {
            let (key, rest) = line.split_once(':').unwrap();
            key.trim_matches('\'').clone_into(&mut name);
            let field = fields.entry(name.clone()).or_default();
            if let Some((_, kind)) = rest.split_once("type: ") {
                field.kind = kind.split([',', '}']).next().unwrap().to_owned();
            }
            continue;
        }
        let field = fields.get_mut(&name).unwrap();
        let line = line.trim().trim_start_matches("- ");
        if let Some(kind) = line.strip_prefix("type: ") {
            kind.clone_into(&mut field.kind);
        } else if line == "normalize: [array]" {
            field.list = true;
        } else if let Some(types) = line.strip_prefix("expected_event_types: ") {
            expected = list(types);
        } else if let Some(value) = line.strip_prefix("name: ").or_else(|| line.strip_prefix("{name: ")) {
            let value = value.trim_end_matches('}').split(',').next().unwrap().to_owned();
            field.types.insert(value.clone(), std::mem::take(&mut expected));
            field.allowed.push(value);
        }
    }
    fields
}

#[test]
fn every_sample_is_valid() {
    const OTHERS: [&str; 6] =
        ["CODEX_LOG", "AUDIT_LOG", "COSTS", "CODEX_TURN", "CONVERSATION_MESSAGE", "HOLOGRAM_LOG"];
    let mut problems = Vec::new();
    let mut seen = 0;
    for (number, (event_type, line)) in lossless::lines().into_iter().enumerate() {
        for stream in [&event_type, OTHERS[number % OTHERS.len()]] {
            for options in MAPPED {
                for content in [Content::Full, Content::Metadata] {
                    let options = Options { content, include_raw: number % 2 == 0, ..options };
                    let record = encode(stream, &line, options);
                    problems
                        .extend(check(options, &record).err().map(|problem| format!("{stream} {problem}")));
                    seen += 1;
                }
            }
        }
    }
    assert!(
        problems.is_empty(),
        "{} of {seen}:\n{}",
        problems.len(),
        problems[..problems.len().min(12)].join("\n\n")
    );
}

#[test]
fn what_is_no_object_is_valid() {
    let mut file = b"no JSON at all\n[1,2]\n\xff\xfe\n".to_vec();
    file.extend(format!("{{\"event_id\":\"big\",\"x\":\"{}\"}}\n", "y".repeat(17 << 20)).into_bytes());
    for options in MAPPED {
        let records = encode_all(&origin("CODEX_LOG"), &file, Options { include_raw: true, ..options });
        assert_eq!(records.len(), 4);
        for record in records {
            check(options, &record).unwrap_or_else(|problem| panic!("{problem}"));
        }
    }
}

#[test]
fn tables_keep_siblings_together() {
    for format in [Format::Ecs, Format::Ocsf] {
        let rows = format.fields();
        let mut closed: Vec<String> = Vec::new();
        let mut last: Vec<&str> = Vec::new();
        for row in &rows {
            let parts: Vec<&str> = row.target.split('.').collect();
            let same = last.iter().zip(&parts).take_while(|(left, right)| left == right).count();
            assert!(same < parts.len() || row.target == last.join("."), "{} is an object, too", row.target);
            closed.extend((same + 1..last.len()).map(|depth| last[..depth].join(".")));
            for depth in 1..parts.len() {
                let object = parts[..depth].join(".");
                assert!(!closed.contains(&object), "{object} is opened twice, at {}", row.target);
            }
            last = parts;
        }
        assert!(rows.iter().any(|row| row.native == "prompt_text"));
    }
}

/// What upstream said about who, when, which model and how many tokens, as tokens of the native record.
fn facts(native: &str) -> Vec<String> {
    let paths = [
        "id",
        "upstream_id",
        "time_original",
        "action",
        "actor.id",
        "actor.email",
        "actor.name",
        "actor.ip",
        "actor.kind",
        "actor.user_agent",
        "actor.ja3",
        "actor.ja4",
        "actor.delegator",
        "target.id",
        "target.name",
        "target.email",
        "session.session_id",
        "session.thread_id",
        "session.turn_id",
        "session.call_id",
        "session.message_id",
        "session.conversation_id",
        "session.run_id",
        "session.environment_id",
        "client.surface",
        "model.request",
        "model.response",
        "model.service_tier",
        "model.reasoning_effort",
        "usage.input",
        "usage.cached_input",
        "usage.output",
        "usage.reasoning",
        "usage.total",
        "outcome.code",
        "outcome.message",
        "outcome.upstream",
        "tool_calls.0.id",
        "tool_calls.0.name",
        "tool_calls.0.type",
        "tool_calls.0.arguments",
        "tool_calls.0.result",
        "tool_calls.0.approval",
        "prompt_text",
        "response_text",
        "unmapped",
        "provenance",
        "actor.id_base",
    ];
    let number = text_at(native, "actor.asn").map(|text| text.trim_start_matches("AS").to_owned());
    let geo = ["country", "city", "region"].map(|key| at(native, &format!("actor.geo.{key}")));
    paths.into_iter().map(|path| at(native, path)).chain(geo).chain([number]).flatten().collect()
}

/// Whether a record is valid and has everything that the native one has.
fn check_whole(event_type: &str, line: &str) -> Result<(), String> {
    let facts = facts(&native(event_type, line));
    for options in MAPPED {
        let record = encode(event_type, line, options);
        check(options, &record)?;
        if let Some(missing) = facts.iter().find(|fact| !record.contains(fact.as_str())) {
            return Err(format!("{options:?} lacks {missing}: {record}"));
        }
    }
    Ok(())
}

#[test]
fn samples_keep_every_fact() {
    for (event_type, line) in lossless::lines() {
        check_whole(&event_type, &line).unwrap_or_else(|problem| panic!("{event_type} {problem}"));
    }
}

#[test]
fn every_mutation_of_a_sample_is_valid() {
    let lines = lossless::lines();
    let keys = lossless::keys(&lines);
    let cases = ProptestConfig { cases: 700, ..ProptestConfig::default() };
    proptest!(cases, |(which in any::<prop::sample::Index>(), seed in any::<u32>(), times in 1..12)| {
        let (event_type, line) = which.get(&lines);
        let text = lossless::mutated(line, seed, times, &keys);
        if let Err(problem) = check_whole(event_type, &text) {
            return Err(TestCaseError::fail(format!("{event_type} {text}\n{problem}")));
        }
    });
}

#[test]
fn values_that_no_typed_field_takes_are_told_apart() {
    let line = r#"{"event_id":"e","timestamp":"1965-01-01T00:00:00Z","event_type":"PROMPT_SENT",
        "actor":{"type":"ACCOUNT_USER","user_id":"u","user_email":"j\u00f6rg@example.com"},
        "request_metadata":{"client_ip":"192.0.2.1:443","client_ip_details":{"asn":"ASX","latitude":"north","longitude":"1"}},
        "event_details":{"token_usage":{"input_tokens":99999999999999999999,"output_tokens":4}}}"#.replace('\n', "");
    for (options, place, address) in [
        (ECS, "openai.compliance", "source.address"),
        (OCSF, "unmapped", "src_endpoint.name"),
        (NEW_OCSF, "unmapped", "src_endpoint.name"),
    ] {
        let record = encode("CODEX_LOG", &line, options);
        check(options, &record).unwrap();
        let misfits = at(&record, &format!("{place}.misfits")).unwrap();
        for path in ["usage.input", "actor.asn", "actor.geo.latitude"] {
            assert!(misfits.contains(path), "{misfits}");
        }
        assert_eq!(text_at(&record, address).as_deref(), Some("192.0.2.1:443"));
        let said = at(&record, &format!("{place}.warnings")).unwrap();
        assert_eq!(said.contains("stands in for it"), options.format == Format::Ocsf, "{said}");
    }
    let timeless = encode("CODEX_LOG", r#"{"event_type":"PROMPT_SENT"}"#, ECS);
    assert_eq!(text_at(&timeless, "@timestamp").as_deref(), Some("2026-07-22T12:00:00.5Z"));
    assert!(timeless.contains("stands in for it"));
    let timeless = encode("CODEX_LOG", r#"{"event_type":"PROMPT_SENT"}"#, OCSF);
    assert_eq!(at(&timeless, "time").as_deref(), Some("1784721600500"));
}

#[test]
fn events_have_the_class_of_the_table() {
    for (event_type, line, old, new) in [
        ("CODEX_LOG", r#"{"event_type":"PROMPT_SENT"}"#, 600_301, 600_301),
        ("CUSTOM_AGENTS_LOG", r#"{"event_type":"MEMORY_READ"}"#, 600_302, 600_302),
        (
            "AUTH_LOG",
            r#"{"actor":{"user_id":"u"},"action_data":{"action":"login_success"}}"#,
            300_201,
            300_201,
        ),
        (
            "AUTH_LOG",
            r#"{"actor":{"user_id":"u"},"action_data":{"action":"logout_success"}}"#,
            300_202,
            300_202,
        ),
        (
            "AUTH_LOG",
            r#"{"actor":{"user_id":"u"},"action_data":{"action":"token_issued"}}"#,
            300_203,
            300_203,
        ),
        ("AUTH_LOG", r#"{"action_data":{"action":"login_failed"}}"#, 99, 99),
        ("AUDIT_LOG", r#"{"action":"USER_DELETE","action_data":{"deleted_user_id":"u"}}"#, 300_106, 300_703),
        (
            "AUDIT_LOG",
            r#"{"action":"USER_ROLE_UPDATED","action_data":{"user_id":"u","new_role":"r"}}"#,
            300_501,
            300_501,
        ),
        ("AUDIT_LOG", r#"{"action":"USER_ROLE_UPDATED","action_data":{"user_id":"u"}}"#, 300_199, 300_799),
        ("AUDIT_LOG", r#"{"action":"GROUP_CREATE","action_data":{"group_id":"g"}}"#, 300_606, 300_606),
        ("AUDIT_LOG", r#"{"action":"GROUP_REMOVE_USER","action_data":{"group_id":"g"}}"#, 300_604, 300_604),
        ("AUDIT_LOG", r#"{"action":"DOMAIN_DELETE","action_data":{"domain_id":"d"}}"#, 300_404, 300_404),
        ("AUDIT_LOG", r#"{"action":"WORKSPACE_SET_POLICY","action_data":{}}"#, 300_403, 300_403),
        ("AUDIT_LOG", r#"{"action":"LIST_WORKSPACE_USERS","action_data":{}}"#, 600_302, 600_302),
        ("CODEX_LOG", r#"{"event_type":"ACCESS_TOKEN_CREATED"}"#, 300_401, 300_401),
        (
            "CODEX_SECURITY_LOG",
            r#"{"event_type":"SCAN_FINDING_UPDATED","event_details":{"finding_id":"f"}}"#,
            200_402,
            200_402,
        ),
        ("CODEX_SECURITY_LOG", r#"{"event_type":"SCAN_FINDING_UPDATED"}"#, 99, 99),
        ("HOLOGRAM_LOG", r#"{"event_type":"X"}"#, 99, 99),
    ] {
        for (options, expected) in [(OCSF, old), (NEW_OCSF, new)] {
            let record = encode(event_type, line, options);
            check(options, &record).unwrap();
            assert_eq!(at(&record, "type_uid"), Some(expected.to_string()), "{line}: {record}");
        }
    }
}

#[test]
fn options_change_what_they_say() {
    let line = r#"{"event_type":"PROMPT_SENT","event_details":{"thread_id":"t","prompt_text":"p"}}"#;
    assert_eq!(at(&encode("CODEX_LOG", line, ECS), "gen_ai.conversation"), None);
    let named = encode("CODEX_LOG", line, Options { conversation_id: true, ..ECS });
    assert_eq!(text_at(&named, "gen_ai.conversation.id").as_deref(), Some("t"));
    assert_eq!(text_at(&encode("CODEX_LOG", line, OCSF), "api.request.data.prompt").as_deref(), Some("p"));
    let new = encode("CODEX_LOG", line, NEW_OCSF);
    assert_eq!(text_at(&new, "message_context.prompt_text").as_deref(), Some("p"));
    assert_eq!(text_at(&new, "metadata.version").as_deref(), Some("1.9.0"));
    for (options, path) in [(ECS, "event.original"), (OCSF, "raw_data")] {
        let record = encode("CODEX_LOG", line, Options { include_raw: true, ..options });
        assert_eq!(text_at(&record, path).as_deref(), Some(line));
        assert_eq!(at(&encode("CODEX_LOG", line, options), path), None);
    }
}
