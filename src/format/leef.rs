//! `leef`: one line of IBM's Log Event Extended Format, version 2.0, pairs separated by tabs.
//!
//! ```text
//! LEEF:2.0|OpenAI|ChatGPT Enterprise Compliance|<version>|<action>|x09|key=value<TAB>key=value…
//! ```
//!
//! There is no escaping: tabs, line breaks and other control characters in a value become spaces, and so
//! does `|` in the header. `cat` is the event type: text that is the same for all of a kind, since receivers
//! classify by it. Prompts, responses and tool input are told only when they are asked for. Pure.

use std::borrow::Cow;

use super::Options;
use super::flat::{
    ADDRESS, DELEGATOR_IDS, Field, NUMBER, Syntax, address, agent, delegator, is_unfit, moment, plain,
    reason, redacted, severity, spoken, summary, text,
};
use super::mapping::Row;
use crate::digest::hex;
use crate::record::Record;

const SYNTAX: Syntax = Syntax {
    fields: FIELDS,
    long: &["prompt", "response", "toolInput", "toolResult", "msg"],
    truncated: "truncated",
    between: '\t',
    escape,
};

/// What `devTime` looks like, in Java's words.
const TIME_FORMAT: &str = "yyyy-MM-dd'T'HH:mm:ss.SSSX";

/// The format states no lengths: short values are held to 1023 bytes, long ones to 4000, as in CEF.
const FIELDS: &[Field] = &[
    Field::new("cat", "event_type", 1023, "of the stream", |record, _| plain(&record.origin.event_type)),
    Field::new(
        "devTime",
        "time",
        30,
        "three decimals, UTC; observed_time where time is unreadable",
        |record, _| Some(Cow::Owned(format!("{:.3}", moment(record)))),
    )
    .whole(),
    Field::new("devTimeFormat", "", 30, "constant", |_, _| plain(TIME_FORMAT)).whole(),
    Field::new(
        "sev",
        "outcome.result, category",
        2,
        "5: failure, finding; 3: unknown, malformed, oversized; else 1",
        |record, _| plain(severity(record)),
    )
    .whole(),
    Field::new("recordId", "id", 40, "", |record, _| plain(&record.id)).whole(),
    Field::new("replayId", "replay.id", 40, "which replay delivers it again", |record, _| {
        record.replay.and_then(|replay| plain(&replay.id))
    })
    .whole(),
    Field::new("replayAt", "replay.at", 40, "when that replay began", |record, _| {
        record.replay.and_then(|replay| plain(&replay.at))
    })
    .whole(),
    Field::new("action", "action", 1023, "", |record, _| text(record.action)),
    Field::new("outcome", "outcome.result", 63, "success, failure or unknown", |record, _| {
        record.outcome.result.map(Cow::Borrowed)
    }),
    Field::new("usrName", "actor.email", 1023, "", |record, _| text(record.actor.email)),
    Field::new(
        "usrName",
        "actor.delegator",
        1023,
        "where an agent acts for a user: the user's email",
        |record, _| delegator(record, &["user_email"]),
    ),
    Field::new("usrName", "actor.id", 1023, "where there is neither", |record, _| text(record.actor.id)),
    Field::new("usrName", "actor.name", 1023, "where there is no id, either", |record, _| {
        text(record.actor.name)
    }),
    Field::new("actorId", "actor.id", 1023, "", |record, _| text(record.actor.id)),
    Field::new("delegatorId", "actor.delegator", 1023, "the user an agent acts for", |record, _| {
        delegator(record, DELEGATOR_IDS)
    }),
    Field::new("model", "model.response", 1023, "", |record, _| text(record.model.response)),
    Field::new("model", "model.request", 1023, "where no model answered", |record, _| {
        text(record.model.request)
    }),
    Field::new("inputTokens", "usage.input", NUMBER, "", |record, _| text(record.usage.input)).whole(),
    Field::new("outputTokens", "usage.output", NUMBER, "", |record, _| text(record.usage.output)).whole(),
    Field::new("cachedInputTokens", "usage.cached_input", NUMBER, "part of the input", |record, _| {
        text(record.usage.cached_input)
    })
    .whole(),
    Field::new("reasoningTokens", "usage.reasoning", NUMBER, "part of the output", |record, _| {
        text(record.usage.reasoning)
    })
    .whole(),
    Field::new("totalTokens", "usage.total", NUMBER, "where upstream says it", |record, _| {
        text(record.usage.total)
    })
    .whole(),
    Field::new("fileId", "provenance.log_file_id", 1023, "", |record, _| plain(&record.origin.file_id)),
    Field::new("line", "provenance.line_number", NUMBER, "from 1", |record, _| {
        Some(Cow::Owned(record.raw.line.to_string()))
    })
    .whole(),
    Field::new("rawSha256", "provenance.raw_sha256", 64, "of the record's bytes", |record, _| {
        Some(Cow::Owned(hex(&record.raw.sha256)))
    })
    .whole(),
    Field::new("eventId", "upstream_id", 1023, "", |record, _| text(record.upstream_id.as_deref())),
    Field::new("accountName", "principal.id", 1023, "", |record, _| plain(&record.origin.principal.id)),
    Field::new("redacted", "redacted", 1023, "native paths, with commas", redacted),
    Field::new("resource", "session.session_id", 1023, "", |record, _| text(record.session.session_id)),
    Field::new("resource", "target.id", 1023, "where there is no session", |record, _| {
        text(record.target.id)
    }),
    Field::new("sessionId", "session.session_id", 1023, "", |record, _| text(record.session.session_id)),
    Field::new("threadId", "session.thread_id", 1023, "", |record, _| text(record.session.thread_id)),
    Field::new("conversationId", "session.conversation_id", 1023, "", |record, _| {
        text(record.session.conversation_id)
    }),
    Field::new("turnId", "session.turn_id", 1023, "", |record, _| text(record.session.turn_id)),
    Field::new("src", "actor.ip", ADDRESS, "IPv4 or IPv6", |record, _| address(record, |ip| ip.is_some()))
        .whole(),
    Field::new("source", "actor.ip", 1023, "what is no address", |record, _| {
        address(record, |ip| ip.is_none())
    }),
    Field::new("actorType", "actor.kind", 1023, "", |record, _| text(record.actor.kind)),
    Field::new("agent", "actor.name", 1023, "of an agent, or its id", |record, _| agent(record)),
    Field::new("targetType", "target.kind", 1023, "", |record, _| {
        record.target.kind.as_deref().map(Cow::Borrowed)
    }),
    Field::new("targetId", "target.id", 1023, "", |record, _| text(record.target.id)),
    Field::new("targetName", "target.email", 1023, "", |record, _| text(record.target.email)),
    Field::new("targetName", "target.name", 1023, "where there is no email", |record, _| {
        text(record.target.name)
    }),
    Field::new("tool", "tool_calls.name", 1023, "", |record, _| text(record.tool_call.name)),
    Field::new("surface", "client.surface", 1023, "", |record, _| text(record.surface)),
    Field::new("userAgent", "actor.user_agent", 1023, "", |record, _| text(record.actor.user_agent)),
    Field::new("selfPoll", "self_poll", 4, "true for custodex's own requests", |record, _| {
        record.self_poll.then_some(Cow::Borrowed("true"))
    }),
    Field::new(
        "reason",
        "outcome.code, outcome.message",
        1023,
        "message not with content = metadata",
        reason,
    ),
    Field::new("msg", "", 1023, "the record in a few words, built", |record, _| summary(record)),
    Field::new("prompt", "prompt_text", 4000, "only with prompts = true", |record, options| {
        spoken(record.prompt_text, options)
    }),
    Field::new("response", "response_text", 4000, "only with prompts = true", |record, options| {
        spoken(record.response_text, options)
    }),
    Field::new("toolInput", "tool_calls.arguments", 4000, "only with prompts = true", |record, options| {
        spoken(record.tool_call.arguments, options)
    }),
    Field::new("toolResult", "tool_calls.result", 4000, "only with prompts = true", |record, options| {
        spoken(record.tool_call.result, options)
    }),
];

/// What stands in the header.
const HEAD: &[Row] =
    &[Row { native: "action", target: "(event id)", note: "or the event type; cut to 48 bytes" }];

/// Appends a record as one line, of at most `max` bytes where the sink has a limit.
pub(super) fn encode(record: &Record<'_>, options: Options, max: Option<usize>, out: &mut Vec<u8>) {
    let action = text(record.action).unwrap_or(Cow::Borrowed(&record.origin.event_type));
    let head = format!(
        "LEEF:2.0|OpenAI|ChatGPT Enterprise Compliance|{}|{}|x09|",
        env!("CARGO_PKG_VERSION"),
        Syntax::head_part(&action, escape_head)
    );
    SYNTAX.write(&head, record, options, max, out);
}

/// The table for people.
pub(super) fn rows() -> Vec<Row> {
    SYNTAX.rows(HEAD)
}

fn escape(c: char, out: &mut String) {
    out.push(if is_unfit(c) { ' ' } else { c });
}

fn escape_head(c: char, out: &mut String) {
    out.push(if is_unfit(c) || c == '|' { ' ' } else { c });
}
