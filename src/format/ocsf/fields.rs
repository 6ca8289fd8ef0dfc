//! The tables of OCSF but for `unmapped`: which native field goes where, in the order of the output.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::classes::Kind;
use super::event::{Event, PRODUCT, is_mail};
use super::{Table, Version};
use crate::format::mapping::{self, Slot, asn, field, noted};
use crate::format::object::Object;
use crate::record::json;

pub(super) const CLASS: Table = &[
    noted("category", "activity_id", "by class and action", |e, s| s.number(e.class.activity)),
    noted("action", "activity_name", "where the class does not know it: the action", |e, s| {
        let action = Some(e.view.action.as_ref()).filter(|action| !action.is_empty() && action.len() <= 96);
        s.text(e.class.activity_name.or(action).or(Some(&e.record.origin.event_type)));
    }),
    field("category", "category_uid", |e, s| s.number(e.class.category().0)),
    field("category", "category_name", |e, s| s.text(Some(e.class.category().1))),
    field("category", "class_uid", |e, s| s.number(e.class.uid)),
    field("category", "class_name", |e, s| s.text(Some(e.class.name))),
    noted("category", "type_uid", "class_uid * 100 + activity_id", |e, s| {
        s.number(i64::from(e.class.uid) * 100 + i64::from(e.class.activity));
    }),
    noted("category", "severity_id", "unknown for findings, else informational", |e, s| {
        s.number(u8::from(!e.is(Kind::Finding)));
    }),
    noted("category", "severity", "", |e, s| {
        s.text(Some(if e.is(Kind::Finding) { "Unknown" } else { "Informational" }));
    }),
    noted("time", "time", "milliseconds; observed_time where upstream has none since 1970", |e, s| {
        s.number(e.time.unwrap_or_else(|| observed(e)));
    }),
    noted("time", "time_dt", "nine digits at most", |e, s| {
        let time = e.record.time.as_deref().filter(|_| e.time.is_some());
        s.text(time.map(mapping::readable).as_deref());
    }),
    noted("outcome.result", "status_id", "1 success, 2 failure, 99 unknown; not for findings", |e, s| {
        if let Some(status) = status(e) {
            s.number(status);
        }
    }),
    noted("outcome.result", "status", "upstream's word where it is unknown", |e, s| match status(e) {
        Some(1) => s.text(Some("Success")),
        Some(2) => s.text(Some("Failure")),
        Some(_) => s.token(e.record.outcome.upstream.or(Some("\"Other\""))),
        None => {}
    }),
    field("outcome.code", "status_code", |e, s| s.token(e.record.outcome.code)),
    field("outcome.message", "status_detail", |e, s| {
        s.token(e.view.part("outcome.message", e.record.outcome.message));
    }),
    noted("", "message", "event type, action, who and outcome in one line", |e, s| {
        s.text(Some(&mapping::summary(&e.view)));
    }),
];

pub(super) const METADATA: Table = &[
    field("id", "metadata.uid", |e, s| s.text(Some(&e.record.id))),
    noted("", "metadata.version", "of the schema", |e, s| {
        s.text(Some(if e.version == Version::V1_8 { "1.8.0" } else { "1.9.0" }));
    }),
    noted("", "metadata.profiles", "those in use", |e, s| s.list(e.profiles())),
    noted(
        "session.session_id",
        "metadata.correlation_uid",
        "else thread_id, else conversation_id",
        |e, s| {
            s.token(e.correlation());
        },
    ),
    field("action", "metadata.event_code", |e, s| s.token(e.record.action)),
    field("truncated", "metadata.is_truncated", |e, s| s.token((!e.view.cuts.is_empty()).then_some("true"))),
    field("event_type", "metadata.log_name", |e, s| s.text(Some(&e.record.origin.event_type))),
    field("observed_time", "metadata.logged_time", |e, s| s.number(observed(e))),
    noted("", "metadata.loggers", "custodex and its version", |_, s| {
        s.open().extend_from_slice(
            concat!(
                "[{\"name\":\"custodex\",\"product\":{\"name\":\"custodex\",\"version\":\"",
                env!("CARGO_PKG_VERSION"),
                "\"}}]"
            )
            .as_bytes(),
        );
    }),
    field("upstream_id", "metadata.original_event_uid", |e, s| s.token(e.record.upstream_id.as_deref())),
    field("time_original", "metadata.original_time", |e, s| s.token(e.record.time_original)),
    noted("", "metadata.product.name", "ChatGPT Enterprise", |_, s| s.token(Some(PRODUCT))),
    noted("", "metadata.product.vendor_name", "OpenAI", |_, s| s.text(Some("OpenAI"))),
    noted("event_type", "metadata.product.feature.name", "Codex, for its event types", |e, s| {
        s.text(e.record.origin.event_type.starts_with("CODEX").then_some("Codex"));
    }),
    field("provenance.line_number", "metadata.sequence", |e, s| s.unsigned(e.record.raw.line)),
    field("principal.id", "metadata.tenant_uid", |e, s| s.text(Some(&e.record.origin.principal.id))),
    noted("provenance.byte_length", "metadata.untruncated_size", "kB, of a record that was cut", |e, s| {
        if !e.view.cuts.is_empty() {
            s.unsigned(e.record.raw.length.div_ceil(1024));
        }
    }),
];

pub(super) const WHO: Table = &[
    noted("actor.id", "actor.user.uid", "of an agent: actor.delegator.user_id", |e, s| {
        s.token(e.view.user_id());
    }),
    noted("actor.email", "actor.user.name", "else actor.name; of an agent: of its delegator", |e, s| {
        s.token(e.user_name());
    }),
    noted("actor.email", "actor.user.email_addr", "where it is one in ASCII", |e, s| {
        s.token(e.view.user_email().filter(|token| is_mail(token)));
    }),
    field("actor.name", "actor.user.full_name", |e, s| {
        s.token(e.record.actor.name.filter(|_| !e.view.agent));
    }),
    field("actor.kind", "actor.user.type", |e, s| {
        s.token(e.record.actor.kind.filter(|_| e.has_user() && !e.view.agent));
    }),
    noted("actor.kind", "actor.user.type_id", "1 user, 4 service, 99 other", |e, s| {
        if e.has_user() && !e.view.agent {
            s.number(match e.record.actor.kind {
                Some("\"ACCOUNT_USER\"") => 1,
                Some("\"API_KEY\"") => 4,
                Some(_) => 99,
                None => 0,
            });
        }
    }),
    noted("principal.id", "actor.user.org.uid", "beside a user", |e, s| {
        s.text(Some(e.record.origin.principal.id.as_str()).filter(|_| e.has_user()));
    }),
    noted("actor.id", "actor.user.programmatic_credentials", "of an API key", credentials),
    noted(
        "actor.name",
        "actor.app_name",
        "of an agent; the client where nobody is named but one must be",
        |e, s| {
            let needed = e.is(Kind::Api) && !e.has_actor();
            s.token(if needed { Some(e.application()) } else { e.agent()[1] });
        },
    ),
    noted("actor.id", "actor.app_uid", "of an agent", |e, s| s.token(e.agent()[0])),
    field("session.session_id", "actor.session.uid", |e, s| s.token(e.record.session.session_id)),
    noted("actor.id", "ai_agent.uid", "of an agent, 1.9.0", |e, s| {
        s.token(e.agent()[0].filter(|_| new_agent(e)));
    }),
    noted("actor.name", "ai_agent.name", "of an agent, 1.9.0", |e, s| {
        s.token(e.agent()[1].filter(|_| new_agent(e)));
    }),
    field("actor.ip", "src_endpoint.ip", |e, s| s.text(e.view.ip.filter(|_| e.has_endpoint()))),
    noted("actor.ip", "src_endpoint.name", "where it is no address", |e, s| {
        s.token(e.record.actor.ip.filter(|_| e.has_endpoint() && e.view.ip.is_none()));
    }),
    noted("client.surface", "src_endpoint.svc_name", "where there is no address", |e, s| {
        s.token(Some(e.application()).filter(|_| e.has_endpoint() && e.record.actor.ip.is_none()));
    }),
    field("actor.geo.city", "src_endpoint.location.city", |e, s| s.token(place(e, "city"))),
    field("actor.geo.country", "src_endpoint.location.country", |e, s| s.token(place(e, "country"))),
    noted("actor.geo.region", "src_endpoint.location.region", "else region_code", |e, s| {
        s.token(place(e, "region").or(place(e, "region_code")));
    }),
    noted("actor.geo.latitude", "src_endpoint.location.lat", "with the longitude", |e, s| {
        if let Some((latitude, _)) = e.view.coordinates().filter(|_| e.has_location()) {
            s.float(latitude);
        }
    }),
    noted("actor.geo.longitude", "src_endpoint.location.long", "with the latitude", |e, s| {
        if let Some((_, longitude)) = e.view.coordinates().filter(|_| e.has_location()) {
            s.float(longitude);
        }
    }),
    noted("actor.asn", "src_endpoint.autonomous_system.number", "without letters", |e, s| {
        if let Some(number) = e.record.actor.asn.and_then(asn).filter(|_| e.has_endpoint()) {
            s.number(number);
        }
    }),
    noted("actor.ja3", "src_endpoint.fingerprints", "with actor.ja4", fingerprints),
    field("actor.user_agent", "http_request.user_agent", |e, s| {
        s.token(e.record.actor.user_agent.filter(|_| e.class.has_endpoint()));
    }),
    noted("actor", "observables", "address, user, mail address, user agent", observables),
];

pub(super) const WHAT: Table = &[
    noted("target.id", "user.uid", "3001, 3005, 3007; in 3002 as actor.user", |e, s| {
        s.token(match e.class.kind {
            Kind::Authentication => e.view.user_id(),
            _ => e.record.target.id.filter(|_| e.class.has_target_user()),
        });
    }),
    noted("target.email", "user.name", "else target.name; in 3002 as actor.user", |e, s| {
        s.token(match e.class.kind {
            Kind::Authentication => e.user_name(),
            _ => e.record.target.email.or(e.record.target.name).filter(|_| e.class.has_target_user()),
        });
    }),
    noted("target.email", "user.email_addr", "in 3002 as actor.user", |e, s| {
        let address = match e.class.kind {
            Kind::Authentication => e.view.user_email(),
            _ => e.record.target.email.filter(|_| e.class.has_target_user()),
        };
        s.token(address.filter(|token| is_mail(token)));
    }),
    noted("target.name", "user.full_name", "3001, 3005, 3007", |e, s| {
        s.token(e.record.target.name.filter(|_| e.class.has_target_user()));
    }),
    noted("", "service.name", "3002", |e, s| s.token(e.is(Kind::Authentication).then_some(PRODUCT))),
    noted("unmapped", "privileges", "3005: the role", |e, s| s.list([e.class.privilege.as_deref()])),
    noted("target.id", "group.uid", "3006", |e, s| s.token(e.record.target.id.filter(|_| e.is(Kind::Group)))),
    noted("target.name", "group.name", "3006", |e, s| {
        s.token(e.record.target.name.filter(|_| e.is(Kind::Group)));
    }),
    noted("target.id", "finding_info.uid", "2004", |e, s| {
        s.token(e.record.target.id.filter(|_| e.is(Kind::Finding)));
    }),
    noted("target.kind", "entity.type", "3004", |e, s| {
        let kind = e.record.target.kind.as_deref().or(Some("workspace"));
        s.text(kind.filter(|_| e.is(Kind::Entity)));
    }),
    noted("target.kind", "entity.type_id", "3004: 99", |e, s| s.token(e.is(Kind::Entity).then_some("99"))),
    noted("target.id", "entity.uid", "3004", |e, s| {
        s.token(e.record.target.id.filter(|_| e.is(Kind::Entity)));
    }),
    noted("target.name", "entity.name", "3004", |e, s| {
        s.token(e.record.target.name.filter(|_| e.is(Kind::Entity)));
    }),
    noted("principal.id", "entity.org.uid", "3004, where upstream names no target", |e, s| {
        let nothing = e.record.target.id.or(e.record.target.name).is_none();
        s.text(Some(e.record.origin.principal.id.as_str()).filter(|_| nothing && e.is(Kind::Entity)));
    }),
    noted("model.provider", "ai_model.ai_provider", "OpenAI", |e, s| s.text(model(e).map(|_| "OpenAI"))),
    noted("model.response", "ai_model.name", "else model.request", |e, s| s.token(model(e))),
    noted("category", "message_context.ai_role_id", "1 user, 2 assistant, 3 tool, 4 agent", |e, s| {
        if e.has_model() {
            s.number(match e.record.category {
                "prompt" => 1,
                "response" => 2,
                "tool" => 3,
                "agent" => 4,
                _ => 0,
            });
        }
    }),
    noted("client.surface", "message_context.application.name", "else the product", |e, s| {
        s.token(Some(e.application()).filter(|_| e.has_model()));
    }),
    noted("session.thread_id", "message_context.uid", "else conversation_id", |e, s| {
        let session = &e.record.session;
        s.token(session.thread_id.or(session.conversation_id).filter(|_| e.has_model()));
    }),
    field("usage.input", "message_context.prompt_tokens", |e, s| {
        s.count(e.record.usage.input.filter(|_| e.has_model()));
    }),
    field("usage.output", "message_context.completion_tokens", |e, s| {
        s.count(e.record.usage.output.filter(|_| e.has_model()));
    }),
    field("usage.total", "message_context.total_tokens", |e, s| {
        s.count(e.view.total().filter(|_| e.has_model()).as_deref());
    }),
    noted("prompt_text", "message_context.prompt_text", "1.9.0", |e, s| {
        s.token(e.view.part("prompt_text", e.record.prompt_text).filter(|_| new_texts(e)));
    }),
    noted("response_text", "message_context.response_text", "1.9.0", |e, s| {
        s.token(e.view.part("response_text", e.record.response_text).filter(|_| new_texts(e)));
    }),
    noted("action", "api.operation", "of a tool call the tool's name", |e, s| {
        if e.is(Kind::Api) {
            let event_type = || Cow::Owned(json_text(&e.record.origin.event_type));
            let tool = e.record.tool_call.name.filter(|_| e.record.category == "tool");
            s.token(Some(&tool.or(e.record.action).map_or_else(event_type, Cow::Borrowed)));
        }
    }),
    noted("session.call_id", "api.request.uid", "else message_id, tool_calls.id, id", |e, s| {
        if e.is(Kind::Api) {
            let session = &e.record.session;
            match session.call_id.or(session.message_id).or(e.record.tool_call.id) {
                Some(token) => s.token(Some(token)),
                None => s.text(Some(&e.record.id)),
            }
        }
    }),
    noted("prompt_text", "api.request.data.prompt", "1.8.0", |e, s| {
        s.token(
            e.view.part("prompt_text", e.record.prompt_text).filter(|_| e.is(Kind::Api) && !new_texts(e)),
        );
    }),
    field("tool_calls.arguments", "api.request.data.arguments", |e, s| {
        s.token(
            e.view.part("tool_calls.arguments", e.record.tool_call.arguments).filter(|_| e.is(Kind::Api)),
        );
    }),
    noted("response_text", "api.response.data.text", "1.8.0", |e, s| {
        s.token(
            e.view.part("response_text", e.record.response_text).filter(|_| e.is(Kind::Api) && !new_texts(e)),
        );
    }),
    field("tool_calls.result", "api.response.data.result", |e, s| {
        s.token(e.view.part("tool_calls.result", e.record.tool_call.result).filter(|_| e.is(Kind::Api)));
    }),
    noted("provenance.raw_sha256", "raw_data_hash.algorithm", "SHA-256", |_, s| s.text(Some("SHA-256"))),
    noted("", "raw_data_hash.algorithm_id", "3", |_, s| s.number(3)),
    field("provenance.raw_sha256", "raw_data_hash.value", |e, s| s.hash(&e.record.raw.sha256)),
    noted("provenance.byte_length", "raw_data_size", "bytes", |e, s| s.unsigned(e.record.raw.length)),
    noted("raw", "raw_data", "with include_raw; base64 where it is no text", |e, s| {
        if let Some(bytes) = e.view.raw() {
            s.text(Some(
                &std::str::from_utf8(bytes).map_or_else(|_| STANDARD.encode(bytes).into(), Cow::Borrowed),
            ));
        }
    }),
];

fn observed(event: &Event<'_>) -> i64 {
    event.record.origin.observed.as_millisecond().max(0)
}

fn status(event: &Event<'_>) -> Option<u8> {
    // Findings have states of their own, which upstream does not tell apart.
    match event.record.outcome.result.filter(|_| !event.is(Kind::Finding))? {
        "success" => Some(1),
        "failure" => Some(2),
        _ => Some(99),
    }
}

fn place<'r>(event: &Event<'r>, key: &str) -> Option<&'r str> {
    event.view.geo(key).filter(|_| event.has_endpoint())
}

/// The model, where the class has an attribute for it.
pub(super) fn model<'r>(event: &Event<'r>) -> Option<&'r str> {
    event.record.model.response.or(event.record.model.request).filter(|_| event.has_model())
}

/// Whether prompts and responses have attributes of their own.
fn new_texts(event: &Event<'_>) -> bool {
    event.version == Version::V1_9 && event.has_model()
}

fn new_agent(event: &Event<'_>) -> bool {
    event.version == Version::V1_9 && event.has_model()
}

fn json_text(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    json::push_text(text, &mut out);
    String::from_utf8(out).expect("made of text")
}

fn credentials(event: &Event<'_>, slot: Slot<'_, '_>) {
    let key = event.record.actor.id.filter(|_| event.record.actor.kind == Some("\"API_KEY\""));
    if let Some(key) = key {
        let out = slot.open();
        out.push(b'[');
        let mut object = Object::new(out);
        object.text("type", Some("api_key"));
        object.token("uid", Some(key));
        object.end();
        out.push(b']');
    }
}

fn fingerprints(event: &Event<'_>, slot: Slot<'_, '_>) {
    let actor = &event.record.actor;
    let found = [("JA3", actor.ja3), ("JA4", actor.ja4)];
    objects(
        slot,
        found.iter().filter(|_| event.has_endpoint()).filter_map(|(name, token)| Some((*name, (*token)?))),
        |(name, token), object| {
            object.number("algorithm_id", 99);
            object.text("algorithm", Some(name));
            object.token("value", Some(token));
        },
    );
}

fn observables(event: &Event<'_>, slot: Slot<'_, '_>) {
    let address = event.view.ip.and(event.record.actor.ip);
    let endpoint = event.class.has_endpoint();
    let found = [
        (2, "IP Address", if endpoint { "src_endpoint.ip" } else { "unmapped.actor.ip" }, address),
        // Type 31 is a user's id since 1.7.
        (31, "User", "actor.user.uid", event.view.user_id()),
        (4, "User Name", "actor.user.name", event.user_name()),
        (5, "Email Address", "actor.user.email_addr", event.view.user_email().filter(|token| is_mail(token))),
        (
            16,
            "HTTP User-Agent",
            if endpoint { "http_request.user_agent" } else { "unmapped.actor.user_agent" },
            event.record.actor.user_agent,
        ),
    ];
    let found = found.into_iter().filter_map(|(id, kind, name, token)| Some((id, kind, name, token?)));
    objects(slot, found, |(id, kind, name, token), object| {
        object.text("name", Some(name));
        object.text("type", Some(kind));
        object.number("type_id", id);
        object.token("value", Some(token));
    });
}

/// A list of objects; nothing when there are none.
fn objects<T>(slot: Slot<'_, '_>, items: impl Iterator<Item = T>, write: impl Fn(T, &mut Object<'_>)) {
    let mut items = items.peekable();
    if items.peek().is_none() {
        return;
    }
    let out = slot.open();
    out.push(b'[');
    for (position, item) in items.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        let mut object = Object::new(out);
        write(item, &mut object);
        object.end();
    }
    out.push(b']');
}
