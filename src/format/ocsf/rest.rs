//! The table of `unmapped`: what a class or a version of OCSF has no attribute for, under our names.
//! Long texts and upstream's own leftovers come last.

use super::Table;
use super::classes::Kind;
use super::event::Event;
use super::fields::model;
use crate::format::mapping::{field, noted};
use crate::format::native;
use crate::format::object::Object;

pub(super) const UNMAPPED: Table = &[
    field("category", "unmapped.category", |e, s| s.text(Some(e.record.category))),
    field("self_poll", "unmapped.self_poll", |e, s| s.token(e.record.self_poll.then_some("true"))),
    field("replay.id", "unmapped.replay.id", |e, s| s.text(e.record.replay.map(|replay| &*replay.id))),
    field("replay.at", "unmapped.replay.at", |e, s| s.text(e.record.replay.map(|replay| &*replay.at))),
    field("principal.kind", "unmapped.principal.kind", |e, s| {
        s.text(Some(e.record.origin.principal.kind.as_str()));
    }),
    noted("actor.kind", "unmapped.actor.kind", "where there is no user", |e, s| {
        s.token(e.record.actor.kind.filter(|_| e.view.agent || !e.has_user()));
    }),
    field("actor.id_base", "unmapped.actor.id_base", |e, s| {
        // Cut out of a token, so it is valid inside quotes as it is.
        s.quoted(e.record.actor.id_base.as_deref());
    }),
    noted("actor.email", "unmapped.actor.email", "of an agent", |e, s| {
        s.token(e.record.actor.email.filter(|_| e.view.agent));
    }),
    noted("actor.ip", "unmapped.actor.ip", "0, 2004", |e, s| {
        s.token(e.record.actor.ip.filter(|_| elsewhere(e)));
    }),
    noted("actor.user_agent", "unmapped.actor.user_agent", "0, 2004", |e, s| {
        s.token(e.record.actor.user_agent.filter(|_| elsewhere(e)));
    }),
    noted("actor.geo", "unmapped.actor.geo", "0, 2004; else region_code", |e, s| {
        let whole = elsewhere(e);
        let geo = &e.record.actor.geo;
        let mut shown = geo.iter().filter(|(key, _)| whole || *key == "region_code").peekable();
        if shown.peek().is_some() {
            let mut object = Object::new(s.open());
            shown.for_each(|(key, token)| object.token(key, Some(token)));
            object.end();
        }
    }),
    noted("actor.asn", "unmapped.actor.asn", "0, 2004", |e, s| {
        s.token(e.record.actor.asn.filter(|_| elsewhere(e)));
    }),
    noted("actor.ja3", "unmapped.actor.ja3", "0, 2004", |e, s| {
        s.token(e.record.actor.ja3.filter(|_| elsewhere(e)));
    }),
    noted("actor.ja4", "unmapped.actor.ja4", "0, 2004", |e, s| {
        s.token(e.record.actor.ja4.filter(|_| elsewhere(e)));
    }),
    noted("actor.delegator", "unmapped.actor.delegator", "as it came", |e, s| {
        let Some(delegator) = e.record.actor.delegator else { return };
        if e.view.full {
            return s.token(Some(delegator));
        }
        let names = native::names(delegator);
        if !names.is_empty() {
            let mut object = Object::new(s.open());
            for (key, token) in names {
                object.token(key, Some(token));
            }
            object.end();
        }
    }),
    noted("client.surface", "unmapped.client.surface", "where no message_context says it", |e, s| {
        s.token(e.record.surface.filter(|_| !e.has_model()));
    }),
    noted("target.kind", "unmapped.target.kind", "all but 3004", |e, s| {
        s.text(e.record.target.kind.as_deref().filter(|_| !e.is(Kind::Entity)));
    }),
    noted("target.id", "unmapped.target.id", "where the class has no place for it", |e, s| {
        let placed =
            matches!(e.class.kind, Kind::User | Kind::Access | Kind::Group | Kind::Entity | Kind::Finding);
        s.token(e.record.target.id.filter(|_| !placed));
    }),
    noted("target.name", "unmapped.target.name", "where the class has no place for it", |e, s| {
        let placed = matches!(e.class.kind, Kind::User | Kind::Access | Kind::Group | Kind::Entity);
        s.token(e.record.target.name.filter(|_| !placed));
    }),
    noted("target.email", "unmapped.target.email", "all but 3001, 3005, 3007", |e, s| {
        s.token(e.record.target.email.filter(|_| !e.class.has_target_user()));
    }),
    field("session.thread_id", "unmapped.session.thread_id", |e, s| s.token(e.record.session.thread_id)),
    field("session.turn_id", "unmapped.session.turn_id", |e, s| s.token(e.record.session.turn_id)),
    field("session.call_id", "unmapped.session.call_id", |e, s| s.token(e.record.session.call_id)),
    field("session.message_id", "unmapped.session.message_id", |e, s| s.token(e.record.session.message_id)),
    field("session.conversation_id", "unmapped.session.conversation_id", |e, s| {
        s.token(e.record.session.conversation_id);
    }),
    field("session.run_id", "unmapped.session.run_id", |e, s| s.token(e.record.session.run_id)),
    field("session.environment_id", "unmapped.session.environment_id", |e, s| {
        s.token(e.record.session.environment_id);
    }),
    noted("model.request", "unmapped.model.request", "where ai_model does not say it", |e, s| {
        s.token(e.record.model.request.filter(|request| model(e) != Some(request)));
    }),
    noted("model.response", "unmapped.model.response", "where ai_model does not say it", |e, s| {
        s.token(e.record.model.response.filter(|response| model(e) != Some(response)));
    }),
    field("model.service_tier", "unmapped.model.service_tier", |e, s| s.token(e.record.model.service_tier)),
    field("model.reasoning_effort", "unmapped.model.reasoning_effort", |e, s| {
        s.token(e.record.model.reasoning_effort);
    }),
    noted("usage.input", "unmapped.usage.input", "where there is no message_context", |e, s| {
        s.count(e.record.usage.input.filter(|_| !e.has_model()));
    }),
    noted(
        "usage.cached_input",
        "unmapped.usage.cached_input",
        "part of the input; in COSTS beside it",
        |e, s| {
            s.count(e.record.usage.cached_input);
        },
    ),
    noted("usage.output", "unmapped.usage.output", "where there is no message_context", |e, s| {
        s.count(e.record.usage.output.filter(|_| !e.has_model()));
    }),
    noted("usage.reasoning", "unmapped.usage.reasoning", "part of the output", |e, s| {
        s.count(e.record.usage.reasoning);
    }),
    noted("usage.total", "unmapped.usage.total", "where there is no message_context", |e, s| {
        s.count(e.view.total().filter(|_| !e.has_model()).as_deref());
    }),
    field("usage.total_derived", "unmapped.usage.total_derived", |e, s| {
        s.token(e.record.usage.total_derived.map(|_| "true"));
    }),
    noted("outcome.result", "unmapped.outcome.result", "2004", |e, s| {
        s.text(e.record.outcome.result.filter(|_| e.is(Kind::Finding)));
    }),
    field("outcome.upstream", "unmapped.outcome.upstream", |e, s| s.token(e.record.outcome.upstream)),
    noted(
        "tool_calls.id",
        "unmapped.tool_call.id",
        "with name, type, approval; all but long texts",
        |e, s| {
            s.token(e.record.tool_call.id);
        },
    ),
    field("tool_calls.name", "unmapped.tool_call.name", |e, s| s.token(e.record.tool_call.name)),
    field("tool_calls.type", "unmapped.tool_call.type", |e, s| s.token(e.record.tool_call.kind)),
    field("tool_calls.approval", "unmapped.tool_call.approval", |e, s| s.token(e.record.tool_call.approval)),
    noted("tool_calls.arguments", "unmapped.tool_call.arguments", "all but 6003", |e, s| {
        s.token(
            e.view.part("tool_calls.arguments", e.record.tool_call.arguments).filter(|_| !e.is(Kind::Api)),
        );
    }),
    noted("tool_calls.result", "unmapped.tool_call.result", "all but 6003", |e, s| {
        s.token(e.view.part("tool_calls.result", e.record.tool_call.result).filter(|_| !e.is(Kind::Api)));
    }),
    noted("truncated", "unmapped.truncated", "native path, its bytes and hash", |e, s| {
        if !e.view.cuts.is_empty() {
            let mut object = Object::new(s.open());
            e.view.cuts.write(&mut object);
            object.end();
        }
    }),
    field("redacted", "unmapped.redacted", |e, s| {
        let removed = native::removed(e.record, e.view.options);
        if !removed.is_empty() {
            serde_json::to_writer(s.open(), &removed).expect("texts always become tokens");
        }
    }),
    noted("provenance", "unmapped.provenance", "all of it", |e, s| {
        native::write_provenance(e.record, s.open());
    }),
    noted("warnings", "unmapped.warnings", "with one more where time is not upstream's", |e, s| {
        e.view.warnings(e.time.is_none(), s);
    }),
    noted("", "unmapped.misfits", "values that their typed attribute would refuse", |e, s| {
        let mut all = e.view.misfits().peekable();
        if all.peek().is_some() {
            let mut object = Object::new(s.open());
            all.for_each(|(path, token)| object.token(path, Some(&token)));
            object.end();
        }
    }),
    noted("raw_encoding", "unmapped.raw_encoding", "base64, of raw_data", |e, s| {
        s.text(e.view.raw().filter(|bytes| std::str::from_utf8(bytes).is_err()).map(|_| "base64"));
    }),
    noted("prompt_text", "unmapped.prompt_text", "all but 6003", |e, s| {
        s.token(e.view.part("prompt_text", e.record.prompt_text).filter(|_| !e.is(Kind::Api)));
    }),
    noted("response_text", "unmapped.response_text", "all but 6003", |e, s| {
        s.token(e.view.part("response_text", e.record.response_text).filter(|_| !e.is(Kind::Api)));
    }),
    noted("unmapped", "unmapped.upstream", "as it came", |e, s| {
        if e.view.shows_unmapped() {
            e.record.write_unmapped(s.open());
        }
    }),
];

/// Whether the class has no attributes for where a request came from.
fn elsewhere(event: &Event<'_>) -> bool {
    !event.class.has_endpoint()
}
