//! The fields of a record that rules can reach, each with its native path.
//!
//! Owns the one list of them, and the record that is shown once some are changed. What custodex itself
//! says of a record (its id, stream, category, provenance) is not among them.

use std::borrow::Cow;

use crate::record::map::Warning;
use crate::record::native::{Actor, Model, Outcome, Session, Target, ToolCall, Usage};
use crate::record::{Record, json};

/// Fields that hold more than one value.
pub(super) const CONTAINERS: [&str; 4] =
    ["actor.delegator", "tool_calls.arguments", "tool_calls.result", "unmapped"];

/// Paths of fields and of groups of fields.
#[rustfmt::skip]
pub(super) const PATHS: [&str; 64] = [
    "action", "actor", "actor.asn", "actor.delegator", "actor.email", "actor.geo", "actor.geo.city",
    "actor.geo.country", "actor.geo.latitude", "actor.geo.longitude", "actor.geo.region",
    "actor.geo.region_code", "actor.id", "actor.id_base", "actor.ip", "actor.ja3", "actor.ja4", "actor.kind",
    "actor.name", "actor.user_agent", "client", "client.surface", "model", "model.reasoning_effort",
    "model.request", "model.response", "model.service_tier", "outcome", "outcome.code", "outcome.message",
    "outcome.upstream", "prompt_text", "response_text", "session", "session.call_id",
    "session.conversation_id", "session.environment_id", "session.message_id", "session.run_id",
    "session.session_id", "session.thread_id", "session.turn_id", "target", "target.email", "target.id",
    "target.kind", "target.name", "time", "time_original", "tool_calls", "tool_calls.approval",
    "tool_calls.arguments", "tool_calls.id", "tool_calls.name", "tool_calls.result", "tool_calls.type",
    "unmapped", "upstream_id", "usage", "usage.cached_input", "usage.input", "usage.output",
    "usage.reasoning", "usage.total",
];

/// Sees each field that is a token of the record itself and there; what it leaves in place is shown.
fn each<'a>(record: &mut Record<'a>, see: &mut dyn FnMut(&'static str, &mut Option<&'a str>)) {
    let Record { actor, target, session, model, usage, outcome, tool_call, .. } = record;
    let fields: [(&'static str, &mut Option<&'a str>); 44] = [
        ("time_original", &mut record.time_original),
        ("action", &mut record.action),
        ("actor.kind", &mut actor.kind),
        ("actor.id", &mut actor.id),
        ("actor.email", &mut actor.email),
        ("actor.name", &mut actor.name),
        ("actor.ip", &mut actor.ip),
        ("actor.user_agent", &mut actor.user_agent),
        ("actor.asn", &mut actor.asn),
        ("actor.ja3", &mut actor.ja3),
        ("actor.ja4", &mut actor.ja4),
        ("actor.delegator", &mut actor.delegator),
        ("target.id", &mut target.id),
        ("target.name", &mut target.name),
        ("target.email", &mut target.email),
        ("session.session_id", &mut session.session_id),
        ("session.thread_id", &mut session.thread_id),
        ("session.turn_id", &mut session.turn_id),
        ("session.call_id", &mut session.call_id),
        ("session.message_id", &mut session.message_id),
        ("session.conversation_id", &mut session.conversation_id),
        ("session.run_id", &mut session.run_id),
        ("session.environment_id", &mut session.environment_id),
        ("client.surface", &mut record.surface),
        ("model.request", &mut model.request),
        ("model.response", &mut model.response),
        ("model.service_tier", &mut model.service_tier),
        ("model.reasoning_effort", &mut model.reasoning_effort),
        ("usage.input", &mut usage.input),
        ("usage.cached_input", &mut usage.cached_input),
        ("usage.output", &mut usage.output),
        ("usage.reasoning", &mut usage.reasoning),
        ("usage.total", &mut usage.total),
        ("outcome.upstream", &mut outcome.upstream),
        ("outcome.code", &mut outcome.code),
        ("outcome.message", &mut outcome.message),
        ("tool_calls.id", &mut tool_call.id),
        ("tool_calls.name", &mut tool_call.name),
        ("tool_calls.type", &mut tool_call.kind),
        ("tool_calls.arguments", &mut tool_call.arguments),
        ("tool_calls.result", &mut tool_call.result),
        ("tool_calls.approval", &mut tool_call.approval),
        ("prompt_text", &mut record.prompt_text),
        ("response_text", &mut record.response_text),
    ];
    for (path, token) in fields.into_iter().filter(|(_, token)| token.is_some()) {
        see(path, token);
    }
    for (key, token) in &mut actor.geo {
        let path = match *key {
            "country" => "actor.geo.country",
            "city" => "actor.geo.city",
            "region" => "actor.geo.region",
            "region_code" => "actor.geo.region_code",
            "latitude" => "actor.geo.latitude",
            _ => "actor.geo.longitude",
        };
        let mut shown = Some(*token);
        see(path, &mut shown);
        *token = shown.unwrap_or_default();
    }
    actor.geo.retain(|(_, token)| !token.is_empty());
}

/// One field while rules look at it.
pub(super) struct Slot<'a> {
    pub(super) path: &'static str,
    /// A JSON token; none once it is taken out.
    pub(super) token: Option<Cow<'a, str>>,
    pub(super) changed: bool,
}

/// Every field of a record that is there.
pub(super) fn slots<'a>(record: &'a Record<'_>) -> Vec<Slot<'a>> {
    let mut slots = Vec::with_capacity(32);
    let mut add = |path, token: Cow<'a, str>| slots.push(Slot { path, token: Some(token), changed: false });
    each(&mut bare(record), &mut |path, token| add(path, token.unwrap_or_default().into()));
    if let Some(id) = &record.upstream_id {
        add("upstream_id", id.as_ref().into());
    }
    if let Some(base) = &record.actor.id_base {
        add("actor.id_base", format!("\"{base}\"").into());
    }
    if let Some(kind) = &record.target.kind {
        add("target.kind", super::text::encode(kind).into());
    }
    for warning in warnings(record) {
        add("warnings", super::text::encode(&warning.path).into());
    }
    if record.has_unmapped() {
        let mut rest = Vec::new();
        record.write_unmapped(&mut rest);
        add("unmapped", String::from_utf8(rest).expect("made of tokens, which are text").into());
    }
    slots
}

fn warnings<'a>(record: &'a Record<'_>) -> impl Iterator<Item = &'a Warning> {
    record.map.iter().flat_map(|map| &map.warnings).chain(&record.warnings)
}

/// The record with the fields as they are in the slots, which are those of this record.
pub(super) fn show<'a>(record: &'a Record<'_>, slots: &'a [Slot<'_>]) -> Record<'a> {
    let mut shown = bare(record);
    let mut left = slots.iter();
    each(&mut shown, &mut |_, token| *token = left.next().and_then(|slot| slot.token.as_deref()));
    let changed = |path: &str| slots.iter().any(|slot| slot.changed && slot.path == path);
    for slot in left {
        let text = || slot.token.as_deref().and_then(json::text);
        match slot.path {
            "upstream_id" => shown.upstream_id = slot.token.as_deref().map(Cow::Borrowed),
            "actor.id_base" => {
                shown.actor.id_base = slot.token.as_deref().map(|token| token[1..token.len() - 1].to_owned());
            }
            "target.kind" => shown.target.kind = text().map(Cow::into_owned),
            "warnings" => {
                let problem =
                    warnings(record).nth(shown.warnings.len()).map_or("", |warning| warning.problem);
                shown.warnings.push(Warning { path: text().unwrap_or_default().into_owned(), problem });
            }
            _ => shown.unmapped = slot.token.as_deref().map(Cow::Borrowed),
        }
    }
    // What follows from a field goes with it.
    if changed("time_original") {
        shown.time = None;
    }
    if changed("outcome.upstream") {
        shown.outcome.result = None;
    }
    if slots.iter().any(|slot| slot.changed && slot.path.starts_with("usage.")) {
        shown.usage.total_derived = None;
    }
    shown
}

/// A record without what it owns, and with no way to its bytes.
fn bare<'a>(record: &'a Record<'_>) -> Record<'a> {
    let Record { actor, target, session, model, usage, outcome, tool_call, .. } = record;
    Record {
        origin: record.origin,
        raw: record.raw,
        id: record.id.clone(),
        upstream_id: None,
        time: record.time.clone(),
        time_original: record.time_original,
        action: record.action,
        category: record.category,
        actor: Actor { id_base: None, geo: actor.geo.clone(), ..*actor },
        target: Target { kind: None, ..*target },
        session: Session { ..*session },
        surface: record.surface,
        model: Model { ..*model },
        usage: Usage { ..*usage },
        outcome: Outcome { ..*outcome },
        tool_call: ToolCall { ..*tool_call },
        self_poll: record.self_poll,
        replay: record.replay,
        prompt_text: record.prompt_text,
        response_text: record.response_text,
        map: None,
        warnings: Vec::new(),
        removed: Vec::new(),
        unmapped: None,
    }
}
