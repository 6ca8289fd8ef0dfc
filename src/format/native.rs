//! `native`: one JSON object, keys in a fixed order, long texts last.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::object::Object;
use super::trim::{self, Cuts};
use super::{Content, Options};
use crate::record::map::Warning;
use crate::record::reader::Shape;
use crate::record::{Record, json, time};

/// Whether what people wrote goes out.
pub(super) fn is_full(options: Options) -> bool {
    options.content == Content::Full
}

/// Appends a record, without what `cuts` took away.
pub(super) fn encode(record: &Record<'_>, options: Options, cuts: &Cuts, out: &mut Vec<u8>) {
    let full = is_full(options);
    let mut object = Object::new(out);
    object.text("schema", Some("1"));
    object.text("id", Some(&record.id));
    object.token("upstream_id", record.upstream_id.as_deref());
    object.text("time", record.time.as_deref());
    object.token("time_original", record.time_original);
    push_observed(record, object.key("observed_time"));
    object.text("event_type", Some(&record.origin.event_type));
    object.token("action", record.action);
    object.text("category", Some(record.category));
    principal(record, &mut object);
    who_and_what(record, full, &mut object);
    how(record, full, cuts, &mut object);
    tool_calls(record, full, cuts, &mut object);
    if record.self_poll {
        object.token("self_poll", Some("true"));
    }
    replay(record, &mut object);
    object.object("truncated", |inner| cuts.write(inner));
    redacted(record, options, &mut object);
    provenance(record, &mut object);
    warnings(record, &mut object);
    if full {
        object.token("prompt_text", cuts.of("prompt_text", record.prompt_text));
        object.token("response_text", cuts.of("response_text", record.response_text));
    }
    if full && !cuts.drops("unmapped") {
        unmapped(record, &mut object);
    }
    if full && wants_raw(record, options) && !cuts.drops("raw") {
        raw(record.raw.bytes, &mut object);
    }
    object.end();
}

/// Appends what the record was and where it lies, and no more: in `max` bytes if it can be.
pub(super) fn outline(record: &Record<'_>, _: Options, max: usize, out: &mut Vec<u8>) {
    let start = out.len();
    for named in [true, false] {
        out.truncate(start);
        let own = |token| trim::short(token).filter(|_| named);
        let mut object = Object::new(out);
        object.text("schema", Some("1"));
        object.text("id", Some(&record.id));
        object.token("upstream_id", own(record.upstream_id.as_deref()));
        object.text("time", trim::short(record.time.as_deref()));
        object.text("event_type", Some(&record.origin.event_type));
        object.token("action", own(record.action));
        object.text("category", Some(record.category));
        principal(record, &mut object);
        replay(record, &mut object);
        object.object("truncated", |inner| Cuts::outline(record).write(inner));
        provenance(record, &mut object);
        object.end();
        if out.len() - start <= max {
            break;
        }
    }
}

fn principal(record: &Record<'_>, object: &mut Object<'_>) {
    object.object("principal", |inner| {
        inner.text("kind", Some(record.origin.principal.kind.as_str()));
        inner.text("id", Some(&record.origin.principal.id));
    });
}

fn replay(record: &Record<'_>, object: &mut Object<'_>) {
    if let Some(replay) = record.replay {
        object.object("replay", |inner| {
            inner.text("id", Some(&replay.id));
            inner.text("at", Some(&replay.at));
        });
    }
}

/// Whether the exact bytes go out.
pub(super) fn wants_raw(record: &Record<'_>, options: Options) -> bool {
    match record.raw.shape {
        Shape::Object => options.include_raw && record.removed.is_empty(),
        Shape::Malformed => record.removed.is_empty(),
        Shape::Oversized => false,
    }
}

fn who_and_what(record: &Record<'_>, full: bool, object: &mut Object<'_>) {
    object.object("actor", |inner| {
        let actor = &record.actor;
        inner.token("kind", actor.kind);
        inner.token("id", actor.id);
        if let Some(base) = &actor.id_base {
            // Cut out of a token, so it is valid inside quotes as it is.
            let out = inner.key("id_base");
            out.push(b'"');
            out.extend_from_slice(base.as_bytes());
            out.push(b'"');
        }
        inner.token("email", actor.email);
        inner.token("name", actor.name);
        inner.token("ip", actor.ip);
        inner.token("user_agent", actor.user_agent);
        inner.object("geo", |geo| actor.geo.iter().for_each(|(key, token)| geo.token(key, Some(token))));
        inner.token("asn", actor.asn);
        inner.token("ja3", actor.ja3);
        inner.token("ja4", actor.ja4);
        if let Some(delegator) = actor.delegator {
            write_delegator(delegator, full, inner);
        }
    });
    object.object("target", |inner| {
        inner.text("kind", record.target.kind.as_deref());
        inner.token("id", record.target.id);
        inner.token("name", record.target.name);
        inner.token("email", record.target.email);
    });
    object.object("session", |inner| {
        let session = &record.session;
        inner.token("session_id", session.session_id);
        inner.token("thread_id", session.thread_id);
        inner.token("turn_id", session.turn_id);
        inner.token("call_id", session.call_id);
        inner.token("message_id", session.message_id);
        inner.token("conversation_id", session.conversation_id);
        inner.token("run_id", session.run_id);
        inner.token("environment_id", session.environment_id);
    });
    object.object("client", |inner| inner.token("surface", record.surface));
}

/// On whose behalf: as it came, or only what names somebody.
fn write_delegator(delegator: &str, full: bool, actor: &mut Object<'_>) {
    if full {
        return actor.token("delegator", Some(delegator));
    }
    actor.object("delegator", |inner| {
        for (key, token) in names(delegator) {
            inner.token(key, Some(token));
        }
    });
}

/// What names somebody in a delegator.
pub(super) fn names(delegator: &str) -> Vec<(&'static str, &str)> {
    let members = json::members(delegator).unwrap_or_default();
    let keys = ["type", "id", "user_id", "user_email", "name", "redacted_id", "provider_user_id"];
    let found = keys.into_iter().filter_map(|key| {
        let mut values = members.iter().filter(|(name, _)| json::text(name).as_deref() == Some(key));
        values.next().map(|(_, token)| (key, *token)).filter(|(_, token)| json::is_text(token))
    });
    found.collect()
}

fn how(record: &Record<'_>, full: bool, cuts: &Cuts, object: &mut Object<'_>) {
    object.object("model", |inner| {
        let model = &record.model;
        if model.request.or(model.response).is_some() {
            inner.text("provider", Some("openai"));
        }
        inner.token("request", model.request);
        inner.token("response", model.response);
        inner.token("service_tier", model.service_tier);
        inner.token("reasoning_effort", model.reasoning_effort);
    });
    object.object("usage", |inner| {
        let usage = &record.usage;
        inner.token("input", usage.input);
        inner.token("cached_input", usage.cached_input);
        inner.token("output", usage.output);
        inner.token("reasoning", usage.reasoning);
        inner.token("total", usage.total);
        if let Some(total) = usage.total_derived {
            inner.number("total", total);
            inner.token("total_derived", Some("true"));
        }
    });
    object.object("outcome", |inner| {
        inner.text("result", record.outcome.result);
        inner.token("upstream", record.outcome.upstream);
        inner.token("code", record.outcome.code);
        if full {
            inner.token("message", cuts.of("outcome.message", record.outcome.message));
        }
    });
}

fn tool_calls(record: &Record<'_>, full: bool, cuts: &Cuts, object: &mut Object<'_>) {
    let call = &record.tool_call;
    let (arguments, result) = if full { (call.arguments, call.result) } else { (None, None) };
    let arguments = cuts.of("tool_calls.arguments", arguments);
    let result = cuts.of("tool_calls.result", result);
    let parts = [call.id, call.name, call.kind, arguments, result, call.approval];
    if parts.iter().all(Option::is_none) {
        return;
    }
    let out = object.key("tool_calls");
    out.push(b'[');
    let mut inner = Object::new(out);
    for (key, token) in ["id", "name", "type", "arguments", "result", "approval"].into_iter().zip(parts) {
        inner.token(key, token);
    }
    inner.end();
    object.out().push(b']');
}

fn redacted(record: &Record<'_>, options: Options, object: &mut Object<'_>) {
    let removed = removed(record, options);
    if !removed.is_empty() {
        serde_json::to_writer(object.key("redacted"), &removed).expect("texts always become tokens");
    }
}

/// What was taken out of this record: by rules, and by `content = "metadata"`.
pub(super) fn removed<'r>(record: &'r Record<'_>, options: Options) -> Vec<&'r str> {
    if is_full(options) {
        return record.removed.iter().map(AsRef::as_ref).collect();
    }
    let free_text = [
        ("outcome.message", record.outcome.message.is_some()),
        ("tool_calls.arguments", record.tool_call.arguments.is_some()),
        ("tool_calls.result", record.tool_call.result.is_some()),
        ("prompt_text", record.prompt_text.is_some()),
        ("response_text", record.response_text.is_some()),
        ("unmapped", record.has_unmapped()),
        ("raw", wants_raw(record, options)),
    ];
    let kept_out = free_text.into_iter().filter_map(|(path, there)| there.then_some(path));
    let kept_out = kept_out.filter(|path| record.removed.iter().all(|one| one != path));
    record.removed.iter().map(AsRef::as_ref).chain(kept_out).collect()
}

fn provenance(record: &Record<'_>, object: &mut Object<'_>) {
    write_provenance(record, object.key("provenance"));
}

/// Appends when its log file was fetched.
pub(super) fn push_observed(record: &Record<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    time::push(record.origin.observed, out);
    out.push(b'"');
}

/// Appends where the record lies.
pub(super) fn write_provenance(record: &Record<'_>, out: &mut Vec<u8>) {
    let mut inner = Object::new(out);
    inner.text("log_file_id", Some(&record.origin.file_id));
    inner.hash("file_sha256", &record.origin.file_sha256);
    inner.number("line_number", record.raw.line);
    inner.number("byte_offset", record.raw.offset);
    inner.number("byte_length", record.raw.length);
    inner.hash("raw_sha256", &record.raw.sha256);
    inner.end();
}

fn warnings(record: &Record<'_>, object: &mut Object<'_>) {
    let from_map = record.map.as_ref().map_or(&[][..], |map| &map.warnings);
    write_warnings(from_map.iter().chain(&record.warnings), || object.key("warnings"));
}

/// Writes warnings, if there are any, to where `open` says.
pub(super) fn write_warnings<'w, 'o>(
    all: impl Iterator<Item = &'w Warning>,
    open: impl FnOnce() -> &'o mut Vec<u8>,
) {
    let mut all = all.peekable();
    if all.peek().is_none() {
        return;
    }
    let out = open();
    out.push(b'[');
    for (position, warning) in all.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        let mut inner = Object::new(out);
        inner.text("path", Some(&warning.path));
        inner.text("problem", Some(warning.problem));
        inner.end();
    }
    out.push(b']');
}

fn unmapped(record: &Record<'_>, object: &mut Object<'_>) {
    if record.has_unmapped() {
        record.write_unmapped(object.key("unmapped"));
    }
}

fn raw(bytes: &[u8], object: &mut Object<'_>) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        object.text("raw", Some(text));
    } else {
        object.text("raw", Some(&STANDARD.encode(bytes)));
        object.text("raw_encoding", Some("base64"));
    }
}
