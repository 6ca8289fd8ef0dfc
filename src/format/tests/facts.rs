//! Who, when, which model, how many tokens: what upstream said of these is in every format, also in a record
//! that is cut to what a sink takes. Values are told apart, so that none is found by chance.

use std::cell::Cell;

use jiff::Timestamp;
use proptest::prelude::*;

use super::flat::{CEF, LEEF, read_cef, read_leef};
use super::lossless::{lines, write};
use super::rebuild::Tree;
use super::schemas::{ECS, NEW_OCSF, OCSF, read};
use super::*;

/// Keys whose values say who or which model.
const NAMES: [&str; 9] = [
    "user_id",
    "user_email",
    "redacted_id",
    "provider_user_id",
    "actor_email",
    "model",
    "requested_model",
    "model_slug",
    "response_model",
];
/// Keys whose values people wrote, of any length.
const TEXTS: [&str; 6] =
    ["prompt_text", "response_text", "tool_input", "tool_result", "error_message", "note"];
/// Native paths of what is to be told.
const FACTS: [&str; 12] = [
    "actor.email",
    "actor.id",
    "actor.delegator.user_id",
    "actor.delegator.user_email",
    "model.request",
    "model.response",
    "usage.input",
    "usage.cached_input",
    "usage.output",
    "usage.reasoning",
    "usage.total",
    "time",
];

/// Gives what says who, which model and how many a value of its own, and what people wrote a length.
fn tell(tree: &mut Tree, name: &str, number: &mut u32, length: usize) {
    let Tree::Object(members) = tree else { return };
    for (key, value) in members.iter_mut() {
        let Tree::Token(token) = value else {
            tell(value, name, number, length);
            continue;
        };
        *number += 1;
        let text = token.starts_with('"');
        if text && NAMES.contains(&key.as_str()) {
            *token = serde_json::to_string(&format!("{name}-{number}")).unwrap();
        } else if text && TEXTS.contains(&key.as_str()) {
            *token = serde_json::to_string(&"long text ".repeat(length)).unwrap();
        } else if key.ends_with("_tokens") && token.bytes().all(|byte| byte.is_ascii_digit()) {
            *token = (1_900_000_000 + *number).to_string();
        }
    }
}

/// Every text and number of a JSON record, at any depth, one a line.
fn values(record: &str) -> Vec<String> {
    let (mut found, mut left) = (Vec::new(), vec![read(record)]);
    while let Some(value) = left.pop() {
        match value {
            serde_json::Value::Array(items) => left.extend(items),
            serde_json::Value::Object(members) => left.extend(members.into_iter().map(|(_, value)| value)),
            serde_json::Value::String(text) => found.push(text),
            other => found.push(other.to_string()),
        }
    }
    found
}

/// What a record of this format must hold for the time of the event; the last hours of all years have no number.
fn moment(format: Format, time: &str) -> Option<String> {
    if matches!(format, Format::Native | Format::Ecs) {
        return Some(time.to_owned());
    }
    let moment: Timestamp = time.parse().ok()?;
    Some(match format {
        Format::Leef => format!("{moment:.3}"),
        _ => moment.as_millisecond().to_string(),
    })
}

/// What of the facts a record does not tell, if anything.
fn missing(event_type: &str, line: &str, options: Options, max: Option<usize>) -> Option<String> {
    let native = native(event_type, line);
    let record = encode_within(&origin(event_type), line.as_bytes(), options, max).remove(0);
    assert!(max.is_none_or(|max| record.len() <= max), "{} bytes, at most {max:?}", record.len());
    let told = match options.format {
        Format::Cef => read_cef(&record).unwrap().1.into_values().collect(),
        Format::Leef => read_leef(&record).unwrap().1.into_values().collect(),
        _ => values(&record),
    };
    FACTS.into_iter().find_map(|path| {
        let token = at(&native, path)?;
        if path == "usage.total" && at(&native, "usage.total_derived").is_some() {
            return None;
        }
        // The model that was asked for stands back behind the one that answered.
        let behind = options.format.is_flat() && path == "model.request";
        if behind && at(&native, "model.response").is_some() {
            return None;
        }
        let value = json::text(&token).map_or_else(|| token.clone(), Into::into);
        let value = if path == "time" { moment(options.format, &value)? } else { value };
        (!told.contains(&value)).then(|| format!("{path} {value} is not in {record}"))
    })
}

/// Each format with the tightest limit under which nothing of this is lost.
const TIGHT: [(Options, usize); 6] =
    [(FULL, 3000), (ECS, 3000), (OCSF, 3500), (NEW_OCSF, 3500), (CEF, 1000), (LEEF, 1000)];

#[test]
fn who_when_which_model_and_how_many_tokens_are_told_in_every_format() {
    let lines = lines();
    let cases = ProptestConfig { cases: 300, ..ProptestConfig::default() };
    let seen = [const { Cell::new(0_u32) }; 3];
    proptest!(cases, |(
        which in any::<prop::sample::Index>(),
        name in "[a-zA-Z0-9é@.|=\\\\ ]{1,30}",
        length in 0..2000_usize,
        more in prop::option::of(0..6000_usize),
    )| {
        let (event_type, line) = which.get(&lines);
        let mut tree = Tree::parse(line, 0);
        tell(&mut tree, name.trim(), &mut 0, length);
        let mut line = String::new();
        write(&tree, &mut line);
        let native = native(event_type, &line);
        for (count, path) in seen.iter().zip(["actor.id", "model", "usage"]) {
            count.set(count.get() + u32::from(at(&native, path).is_some()));
        }
        for (options, tightest) in TIGHT {
            let missing = missing(event_type, &line, options, more.map(|more| tightest + more));
            prop_assert!(missing.is_none(), "{event_type} {:?}: {}", options.format, missing.unwrap());
        }
    });
    assert!(seen.iter().all(|count| count.get() > 10), "{seen:?}");
}
