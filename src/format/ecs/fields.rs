//! The tables of ECS: which native field goes where, in the order of the output.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::category;
use crate::format::mapping::{self, Field, Slot, View, asn, field, noted, plain};
use crate::format::native;
use crate::format::object::Object;
use crate::format::verbs::Subject;
use crate::record::json;

/// The version whose names these are.
const VERSION: &str = "9.5.0";

type Get = fn(&View<'_>, Slot<'_, '_>);
type Table = &'static [Field<Get>];

/// All of them, in the order of the output.
pub(super) const TABLES: [Table; 8] = [BASE, EVENT, USER, PLACE, RELATED, GEN_AI, OURS, CONTENT];

/// What is left of a record that is too long even without its texts.
pub(super) const OUTLINE: [&str; 15] = [
    "@timestamp",
    "ecs.version",
    "event.id",
    "event.kind",
    "event.action",
    "event.hash",
    "event.provider",
    "event.sequence",
    "organization.id",
    "openai.compliance.upstream_id",
    "openai.compliance.category",
    "openai.compliance.replay.id",
    "openai.compliance.replay.at",
    "openai.compliance.truncated",
    "openai.compliance.provenance",
];

const BASE: Table =
    &[
        noted("time", "@timestamp", "nine digits at most; observed_time where upstream has none", |v, s| {
            match v.record.time.as_deref() {
                Some(time) => s.text(Some(&mapping::readable(time))),
                None => moment(v, s),
            }
        }),
        noted("", "ecs.version", "9.5.0", |_, s| s.text(Some(VERSION))),
        noted("", "message", "event type, action, who and outcome in one line", |v, s| {
            s.text(Some(&mapping::summary(v)));
        }),
    ];

const EVENT: Table = &[
    noted("id", "event.id", "use it as _id with op_type create", |v, s| s.text(Some(&v.record.id))),
    noted("category", "event.kind", "", |v, s| s.text(Some(category::kind(v)))),
    noted("category", "event.category", "with event.type by category and action", |v, s| {
        if let Some((category, _)) = category::of(v) {
            texts(&[category], s.open());
        }
    }),
    noted("category", "event.type", "", |v, s| {
        if let Some((_, types)) = category::of(v) {
            texts(types, s.open());
        }
    }),
    noted("action", "event.action", "lower case", |v, s| {
        let lower = |action: &str| {
            if action.is_ascii() { action.to_ascii_lowercase() } else { action.to_lowercase() }
        };
        s.short_text(Some(&*v.action).filter(|action| !action.is_empty()).map(lower).as_deref());
    }),
    field("action", "event.code", |v, s| s.token(v.record.action)),
    field("event_type", "event.provider", |v, s| s.text(Some(&v.record.origin.event_type))),
    field("outcome.result", "event.outcome", |v, s| s.text(v.record.outcome.result)),
    noted("outcome.message", "event.reason", "error.message on failure", |v, s| {
        s.token(message(v).filter(|_| !failed(v)));
    }),
    field("observed_time", "event.created", moment),
    field("provenance.line_number", "event.sequence", |v, s| s.unsigned(v.record.raw.line)),
    field("provenance.raw_sha256", "event.hash", |v, s| s.hash(&v.record.raw.sha256)),
    noted("raw", "event.original", "with include_raw; base64 where it is no text", |v, s| {
        if let Some(bytes) = v.raw() {
            s.text(Some(
                &std::str::from_utf8(bytes).map_or_else(|_| STANDARD.encode(bytes).into(), Cow::Borrowed),
            ));
        }
    }),
    field("outcome.code", "error.code", |v, s| s.token(v.record.outcome.code)),
    noted("outcome.message", "error.message", "on failure", |v, s| s.token(message(v).filter(|_| failed(v)))),
];

const USER: Table = &[
    field("principal.id", "organization.id", |v, s| s.text(Some(&v.record.origin.principal.id))),
    noted("actor.id", "user.id", "of an agent: actor.delegator.user_id", |v, s| s.token(v.user_id())),
    noted("actor.email", "user.email", "of an agent: actor.delegator.user_email", |v, s| {
        s.token(v.user_email());
    }),
    noted("actor.email", "user.domain", "behind the @", |v, s| {
        let address = v.user_email().and_then(plain).and_then(|address| address.rsplit_once('@'));
        s.text(address.map(|(_, domain)| domain));
    }),
    field("actor.name", "user.full_name", |v, s| s.token(v.record.actor.name.filter(|_| !v.agent))),
    noted("target.id", "user.target.id", "where a user was acted on", |v, s| {
        s.token(v.record.target.id.filter(|_| on_user(v)));
    }),
    noted("target.name", "user.target.name", "where a user was acted on", |v, s| {
        s.token(v.record.target.name.filter(|_| on_user(v)));
    }),
    noted("target.email", "user.target.email", "where a user was acted on", |v, s| {
        s.token(v.record.target.email.filter(|_| on_user(v)));
    }),
    field("actor.user_agent", "user_agent.original", |v, s| s.token(v.record.actor.user_agent)),
];

const PLACE: Table = &[
    field("actor.ip", "source.ip", |v, s| s.text(v.ip)),
    noted("actor.ip", "source.address", "where it is no address", |v, s| {
        s.token(v.record.actor.ip.filter(|_| v.ip.is_none()));
    }),
    noted("actor.asn", "source.as.number", "without letters", |v, s| {
        if let Some(number) = v.record.actor.asn.and_then(asn) {
            s.number(number);
        }
    }),
    field("actor.geo.city", "source.geo.city_name", |v, s| s.token(v.geo("city"))),
    noted("actor.geo.country", "source.geo.country_iso_code", "two capital letters", |v, s| {
        s.token(v.geo("country").filter(|token| is_code(token)));
    }),
    noted("actor.geo.country", "source.geo.country_name", "anything else", |v, s| {
        s.token(v.geo("country").filter(|token| !is_code(token)));
    }),
    field("actor.geo.region", "source.geo.region_name", |v, s| s.token(v.geo("region"))),
    field("actor.geo.region_code", "source.geo.region_iso_code", |v, s| s.token(v.geo("region_code"))),
    noted("actor.geo.latitude", "source.geo.location.lat", "with the longitude", |v, s| {
        if let Some((latitude, _)) = v.coordinates() {
            s.float(latitude);
        }
    }),
    noted("actor.geo.longitude", "source.geo.location.lon", "with the latitude", |v, s| {
        if let Some((_, longitude)) = v.coordinates() {
            s.float(longitude);
        }
    }),
    field("actor.ja3", "tls.client.ja3", |v, s| s.token(v.record.actor.ja3)),
    field("client.surface", "service.name", |v, s| s.token(v.record.surface)),
    field("provenance.log_file_id", "log.file.path", |v, s| s.text(Some(&v.record.origin.file_id))),
];

const RELATED: Table = &[
    field("provenance.raw_sha256", "related.hash", |v, s| {
        let out = s.open();
        out.extend_from_slice(b"[\"");
        crate::digest::push_hex(&v.record.raw.sha256, out);
        out.extend_from_slice(b"\"]");
    }),
    field("actor.ip", "related.ip", |v, s| {
        if let Some(ip) = v.ip {
            texts(&[ip], s.open());
        }
    }),
    noted(
        "actor.id",
        "related.user",
        "ids and addresses of the actor, its delegator and a target user",
        |v, s| {
            let (actor, target) = (&v.record.actor, &v.record.target);
            let named = if on_user(v) { [target.id, target.email] } else { [None, target.email] };
            s.list([actor.id, actor.email].into_iter().chain(v.delegator).chain(named));
        },
    ),
];

const GEN_AI: Table = &[
    noted("actor.id", "gen_ai.agent.id", "of an agent; else target.id where that is one", |v, s| {
        let target = v.record.target.id.filter(|_| v.record.target.kind.as_deref() == Some("agent"));
        s.token(if v.agent { v.record.actor.id } else { target });
    }),
    noted("actor.name", "gen_ai.agent.name", "of an agent", |v, s| {
        s.token(v.record.actor.name.filter(|_| v.agent));
    }),
    noted(
        "session.conversation_id",
        "gen_ai.conversation.id",
        "with conversation_id = true; else thread_id",
        |v, s| {
            s.token(conversation(v).filter(|_| v.options.conversation_id));
        },
    ),
    noted("category", "gen_ai.operation.name", "chat, execute_tool or invoke_agent", |v, s| {
        s.text(match v.record.category {
            "prompt" | "response" | "conversation" => Some("chat"),
            "tool" => Some("execute_tool"),
            "agent" => Some("invoke_agent"),
            _ => None,
        });
    }),
    noted("model.provider", "gen_ai.provider.name", "openai", |v, s| {
        s.text(v.record.model.request.or(v.record.model.response).map(|_| "openai"));
    }),
    field("model.request", "gen_ai.request.model", |v, s| s.token(v.record.model.request)),
    field("model.response", "gen_ai.response.model", |v, s| s.token(v.record.model.response)),
    field("session.message_id", "gen_ai.response.id", |v, s| s.token(v.record.session.message_id)),
    field("tool_calls.name", "gen_ai.tool.name", |v, s| s.token(v.record.tool_call.name)),
    field("tool_calls.type", "gen_ai.tool.type", |v, s| s.token(v.record.tool_call.kind)),
    field("tool_calls.id", "gen_ai.tool.call.id", |v, s| s.token(v.record.tool_call.id)),
    noted(
        "tool_calls.arguments",
        "gen_ai.tool.call.arguments",
        "under value where it is no object",
        |v, s| {
            s.object(v.part("tool_calls.arguments", v.record.tool_call.arguments));
        },
    ),
    noted("tool_calls.result", "gen_ai.tool.call.result", "under value where it is no object", |v, s| {
        s.object(v.part("tool_calls.result", v.record.tool_call.result));
    }),
    field("usage.input", "gen_ai.usage.input_tokens", |v, s| s.count(v.record.usage.input)),
    field("usage.output", "gen_ai.usage.output_tokens", |v, s| s.count(v.record.usage.output)),
    noted("prompt_text", "gen_ai.input.messages", "one message of role user", |v, s| {
        if let Some(text) = v.part("prompt_text", v.record.prompt_text) {
            turn("user", text, "", s.open());
        }
    }),
    noted("response_text", "gen_ai.output.messages", "one message of role assistant", |v, s| {
        if let Some(text) = v.part("response_text", v.record.response_text) {
            let reason =
                if failed(v) { ",\"finish_reason\":\"error\"" } else { ",\"finish_reason\":\"unknown\"" };
            turn("assistant", text, reason, s.open());
        }
    }),
];

const OURS: Table = &[
    field("upstream_id", "openai.compliance.upstream_id", |v, s| s.token(v.record.upstream_id.as_deref())),
    field("time_original", "openai.compliance.time_original", |v, s| s.token(v.record.time_original)),
    field("event_type", "openai.compliance.event_type", |v, s| s.text(Some(&v.record.origin.event_type))),
    field("category", "openai.compliance.category", |v, s| s.text(Some(v.record.category))),
    field("principal.kind", "openai.compliance.principal.type", |v, s| {
        s.text(Some(v.record.origin.principal.kind.as_str()));
    }),
    field("actor.kind", "openai.compliance.actor.type", |v, s| s.token(v.record.actor.kind)),
    field("actor.id_base", "openai.compliance.actor.id_base", |v, s| {
        // Cut out of a token, so it is valid inside quotes as it is.
        s.quoted(v.record.actor.id_base.as_deref());
    }),
    noted("actor.email", "openai.compliance.actor.email", "of an agent", |v, s| {
        s.token(v.record.actor.email.filter(|_| v.agent));
    }),
    noted("actor.delegator", "openai.compliance.actor.delegator", "flattened", delegator),
    field("target.kind", "openai.compliance.target.type", |v, s| s.text(v.record.target.kind.as_deref())),
    field("target.id", "openai.compliance.target.id", |v, s| s.token(v.record.target.id)),
    field("target.name", "openai.compliance.target.name", |v, s| s.token(v.record.target.name)),
    field("target.email", "openai.compliance.target.email", |v, s| s.token(v.record.target.email)),
    field("session.session_id", "openai.compliance.session.id", |v, s| s.token(v.record.session.session_id)),
    field("session.thread_id", "openai.compliance.thread.id", |v, s| s.token(v.record.session.thread_id)),
    noted("session.conversation_id", "openai.compliance.conversation.id", "else thread_id", |v, s| {
        s.token(conversation(v));
    }),
    field("session.turn_id", "openai.compliance.turn.id", |v, s| s.token(v.record.session.turn_id)),
    field("session.call_id", "openai.compliance.call.id", |v, s| s.token(v.record.session.call_id)),
    field("session.run_id", "openai.compliance.run.id", |v, s| s.token(v.record.session.run_id)),
    field("session.environment_id", "openai.compliance.environment.id", |v, s| {
        s.token(v.record.session.environment_id);
    }),
    field("client.surface", "openai.compliance.client.surface", |v, s| s.token(v.record.surface)),
    field("actor.ja4", "openai.compliance.client.ja4", |v, s| s.token(v.record.actor.ja4)),
    field("model.service_tier", "openai.compliance.service_tier", |v, s| {
        s.token(v.record.model.service_tier);
    }),
    field("model.reasoning_effort", "openai.compliance.reasoning_effort", |v, s| {
        s.token(v.record.model.reasoning_effort);
    }),
    noted(
        "usage.cached_input",
        "openai.compliance.usage.cached_input_tokens",
        "part of the input; in COSTS beside it",
        |v, s| {
            s.count(v.record.usage.cached_input);
        },
    ),
    noted("usage.reasoning", "openai.compliance.usage.reasoning_tokens", "part of the output", |v, s| {
        s.count(v.record.usage.reasoning);
    }),
    field("usage.total", "openai.compliance.usage.total_tokens", |v, s| s.count(v.total().as_deref())),
    field("usage.total_derived", "openai.compliance.usage.total_derived", |v, s| {
        s.token(v.record.usage.total_derived.map(|_| "true"));
    }),
    field("outcome.upstream", "openai.compliance.outcome", |v, s| s.token(v.record.outcome.upstream)),
    field("tool_calls.approval", "openai.compliance.tool.approval", |v, s| {
        s.token(v.record.tool_call.approval);
    }),
    field("self_poll", "openai.compliance.self_poll", |v, s| s.token(v.record.self_poll.then_some("true"))),
    field("replay.id", "openai.compliance.replay.id", |v, s| {
        s.text(v.record.replay.map(|replay| &*replay.id));
    }),
    field("replay.at", "openai.compliance.replay.at", |v, s| {
        s.text(v.record.replay.map(|replay| &*replay.at));
    }),
];

const CONTENT: Table = &[
    noted(
        "truncated",
        "openai.compliance.truncated",
        "flattened: native path, its bytes and hash",
        |v, s| {
            if !v.cuts.is_empty() {
                let mut object = Object::new(s.open());
                v.cuts.write(&mut object);
                object.end();
            }
        },
    ),
    field("redacted", "openai.compliance.redacted", |v, s| {
        let removed = native::removed(v.record, v.options);
        if !removed.is_empty() {
            texts(&removed, s.open());
        }
    }),
    noted("provenance", "openai.compliance.provenance", "all of it", |v, s| {
        native::write_provenance(v.record, s.open());
    }),
    noted(
        "warnings",
        "openai.compliance.warnings",
        "with one more where @timestamp is not upstream's",
        |v, s| {
            v.warnings(v.record.time.is_none(), s);
        },
    ),
    noted(
        "",
        "openai.compliance.misfits",
        "flattened: values that their typed field would refuse",
        |v, s| {
            let mut all = v.misfits().peekable();
            if all.peek().is_some() {
                let mut object = Object::new(s.open());
                all.for_each(|(path, token)| object.token(path, Some(&token)));
                object.end();
            }
        },
    ),
    noted("prompt_text", "openai.compliance.prompt_text", "for full-text search", |v, s| {
        s.token(v.part("prompt_text", v.record.prompt_text));
    }),
    noted("response_text", "openai.compliance.response_text", "for full-text search", |v, s| {
        s.token(v.part("response_text", v.record.response_text));
    }),
    noted("unmapped", "openai.compliance.unmapped", "flattened", |v, s| {
        if v.shows_unmapped() {
            v.record.write_unmapped(s.open());
        }
    }),
    noted("raw_encoding", "openai.compliance.raw_encoding", "base64, of event.original", |v, s| {
        s.text(v.raw().filter(|bytes| std::str::from_utf8(bytes).is_err()).map(|_| "base64"));
    }),
];

fn moment(view: &View<'_>, slot: Slot<'_, '_>) {
    native::push_observed(view.record, slot.open());
}

fn message<'v>(view: &'v View<'_>) -> Option<&'v str> {
    view.part("outcome.message", view.record.outcome.message)
}

fn failed(view: &View<'_>) -> bool {
    view.record.outcome.result == Some("failure")
}

fn on_user(view: &View<'_>) -> bool {
    view.subject == Subject::User
}

fn conversation<'r>(view: &View<'r>) -> Option<&'r str> {
    view.record.session.conversation_id.or(view.record.session.thread_id)
}

/// A list of texts of ours.
fn texts(texts: &[&str], out: &mut Vec<u8>) {
    out.push(b'[');
    for (position, text) in texts.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        json::push_text(text, out);
    }
    out.push(b']');
}

/// One message of a conversation, as a list of one.
fn turn(role: &str, text: &str, more: &str, out: &mut Vec<u8>) {
    for part in
        ["[{\"role\":\"", role, "\",\"parts\":[{\"type\":\"text\",\"content\":", text, "}]", more, "}]"]
    {
        out.extend_from_slice(part.as_bytes());
    }
}

/// On whose behalf: as it came, or only what names somebody.
fn delegator(view: &View<'_>, slot: Slot<'_, '_>) {
    let Some(token) = view.record.actor.delegator else { return };
    if view.full {
        return slot.object(Some(token));
    }
    let names = native::names(token);
    if !names.is_empty() {
        let mut object = Object::new(slot.open());
        for (key, token) in names {
            object.token(key, Some(token));
        }
        object.end();
    }
}

/// Whether a country is told by its code.
fn is_code(token: &str) -> bool {
    plain(token).is_some_and(|text| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()))
}
