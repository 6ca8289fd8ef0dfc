//! `cef`: one line of the Common Event Format, version 0.
//!
//! ```text
//! CEF:0|OpenAI|ChatGPT Enterprise Compliance|<version>|<event type>:<action>|<category>|<severity>|key=value …
//! ```
//!
//! A notification, not the record: values are cut to the dictionary's lengths, `fileId`, line and hash say
//! where the whole lies. Line breaks in a value become `\n` and `\r`, other control characters a space.
//! Prompts, responses and tool input are told only when they are asked for. Pure.

use std::borrow::Cow;
use std::net::IpAddr;

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
    long: &["cs4", "cs5", "msg"],
    truncated: "OpenAIComplianceTruncated",
    between: ' ',
    escape,
};

/// Keys with the dictionary's lengths; keys of our own are held to 1023 bytes. What must survive comes first.
const FIELDS: &[Field] = &[
    Field::new("externalId", "id", 40, "the record's id", |record, _| plain(&record.id)).whole(),
    Field::new(
        "rt",
        "time",
        NUMBER,
        "milliseconds since 1970; observed_time where time is unreadable",
        |record, _| Some(Cow::Owned(moment(record).as_millisecond().to_string())),
    )
    .whole(),
    Field::new("OpenAIComplianceReplayId", "replay.id", 40, "which replay delivers it again", |record, _| {
        record.replay.and_then(|replay| plain(&replay.id))
    })
    .whole(),
    Field::new("OpenAIComplianceReplayAt", "replay.at", 40, "when that replay began", |record, _| {
        record.replay.and_then(|replay| plain(&replay.at))
    })
    .whole(),
    Field::new("cat", "event_type", 1023, "of the stream", |record, _| plain(&record.origin.event_type)),
    Field::new("act", "action", 63, "", |record, _| text(record.action)),
    Field::new("outcome", "outcome.result", 63, "success, failure or unknown", |record, _| {
        record.outcome.result.map(Cow::Borrowed)
    }),
    Field::new("suser", "actor.email", 1023, "", |record, _| text(record.actor.email)),
    Field::new(
        "suser",
        "actor.delegator",
        1023,
        "where an agent acts for a user: the user's email",
        |record, _| delegator(record, &["user_email"]),
    ),
    Field::new("suser", "actor.name", 1023, "where there is neither", |record, _| text(record.actor.name)),
    Field::new("suid", "actor.id", 1023, "", |record, _| text(record.actor.id)),
    Field::new("OpenAIComplianceDelegator", "actor.delegator", 1023, "the user's id", |record, _| {
        delegator(record, DELEGATOR_IDS)
    }),
    Field::new("cs3", "model.response", 4000, "", |record, _| text(record.model.response)).labelled("model"),
    Field::new("cs3", "model.request", 4000, "where no model answered", |record, _| {
        text(record.model.request)
    })
    .labelled("model"),
    Field::new("cn1", "usage.input", NUMBER, "", |record, _| text(record.usage.input))
        .whole()
        .labelled("input_tokens"),
    Field::new("cn2", "usage.output", NUMBER, "", |record, _| text(record.usage.output))
        .whole()
        .labelled("output_tokens"),
    Field::new("cn3", "usage.cached_input", NUMBER, "part of the input", |record, _| {
        text(record.usage.cached_input)
    })
    .whole()
    .labelled("cached_input_tokens"),
    Field::new(
        "OpenAIComplianceReasoningTokens",
        "usage.reasoning",
        NUMBER,
        "part of the output",
        |record, _| text(record.usage.reasoning),
    )
    .whole(),
    Field::new(
        "OpenAIComplianceTotalTokens",
        "usage.total",
        NUMBER,
        "where upstream says it",
        |record, _| text(record.usage.total),
    )
    .whole(),
    Field::new("fileId", "provenance.log_file_id", 1023, "", |record, _| plain(&record.origin.file_id)),
    Field::new("OpenAIComplianceLine", "provenance.line_number", NUMBER, "from 1", |record, _| {
        Some(Cow::Owned(record.raw.line.to_string()))
    })
    .whole(),
    Field::new("fileHash", "provenance.raw_sha256", 255, "of the record's bytes", |record, _| {
        Some(Cow::Owned(hex(&record.raw.sha256)))
    })
    .whole(),
    Field::new("OpenAIComplianceEventId", "upstream_id", 1023, "", |record, _| {
        text(record.upstream_id.as_deref())
    }),
    Field::new("deviceExternalId", "principal.id", 255, "", |record, _| plain(&record.origin.principal.id)),
    Field::new("OpenAIComplianceRedacted", "redacted", 1023, "native paths, with commas", redacted),
    Field::new("cs1", "session.session_id", 4000, "", |record, _| text(record.session.session_id))
        .labelled("session_id"),
    Field::new("cs1", "session.thread_id", 4000, "where there is no session_id", |record, _| {
        text(record.session.thread_id)
    })
    .labelled("thread_id"),
    Field::new("cs1", "session.conversation_id", 4000, "where there is neither", |record, _| {
        text(record.session.conversation_id)
    })
    .labelled("conversation_id"),
    Field::new("cs2", "session.turn_id", 4000, "", |record, _| text(record.session.turn_id))
        .labelled("turn_id"),
    Field::new("src", "actor.ip", ADDRESS, "IPv4 only", |record, _| {
        address(record, |ip| ip.is_some_and(|ip| IpAddr::is_ipv4(&ip)))
    })
    .whole(),
    Field::new("c6a2", "actor.ip", ADDRESS, "IPv6", |record, _| {
        address(record, |ip| ip.is_some_and(|ip| IpAddr::is_ipv6(&ip)))
    })
    .whole()
    .labelled("Source IPv6 Address"),
    Field::new("OpenAIComplianceSource", "actor.ip", 1023, "what is no address", |record, _| {
        address(record, |ip| ip.is_none())
    }),
    Field::new("OpenAIComplianceActorType", "actor.kind", 1023, "", |record, _| text(record.actor.kind)),
    Field::new("sourceServiceName", "actor.name", 1023, "of an agent, or its id", |record, _| agent(record)),
    Field::new("OpenAIComplianceTargetType", "target.kind", 1023, "", |record, _| {
        record.target.kind.as_deref().map(Cow::Borrowed)
    }),
    Field::new("duid", "target.id", 1023, "", |record, _| text(record.target.id)),
    Field::new("duser", "target.email", 1023, "", |record, _| text(record.target.email)),
    Field::new("duser", "target.name", 1023, "where there is no email", |record, _| text(record.target.name)),
    Field::new("OpenAIComplianceTool", "tool_calls.name", 1023, "", |record, _| text(record.tool_call.name)),
    Field::new("cs6", "client.surface", 4000, "", |record, _| text(record.surface)).labelled("surface"),
    Field::new("requestClientApplication", "actor.user_agent", 1023, "", |record, _| {
        text(record.actor.user_agent)
    }),
    Field::new(
        "OpenAIComplianceSelfPoll",
        "self_poll",
        4,
        "true for custodex's own requests",
        |record, _| record.self_poll.then_some(Cow::Borrowed("true")),
    ),
    Field::new(
        "reason",
        "outcome.code, outcome.message",
        1023,
        "message not with content = metadata",
        reason,
    ),
    Field::new("msg", "", 1023, "the record in a few words, built", |record, _| summary(record)),
    Field::new("cs4", "prompt_text", 4000, "only with prompts = true", |record, options| {
        spoken(record.prompt_text, options)
    })
    .labelled("prompt"),
    Field::new("cs4", "tool_calls.arguments", 4000, "only with prompts = true", |record, options| {
        spoken(record.tool_call.arguments, options)
    })
    .labelled("tool_input"),
    Field::new("cs5", "response_text", 4000, "only with prompts = true", |record, options| {
        spoken(record.response_text, options)
    })
    .labelled("response"),
    Field::new("cs5", "tool_calls.result", 4000, "only with prompts = true", |record, options| {
        spoken(record.tool_call.result, options)
    })
    .labelled("tool_result"),
];

/// What stands in the header.
const HEAD: &[Row] = &[
    Row {
        native: "event_type, action",
        target: "(signature id)",
        note: "with a colon; each cut to 48 bytes",
    },
    Row { native: "category", target: "(name)", note: "" },
    Row {
        native: "outcome.result, category",
        target: "(severity)",
        note: "5: failure, finding; 3: unknown, malformed, oversized; else 1",
    },
];

/// Appends a record as one line, of at most `max` bytes where the sink has a limit.
pub(super) fn encode(record: &Record<'_>, options: Options, max: Option<usize>, out: &mut Vec<u8>) {
    let part = |text: &str| Syntax::head_part(text, escape_head);
    let event_type = part(&record.origin.event_type);
    let action = text(record.action).map_or_else(String::new, |action| format!(":{}", part(&action)));
    let head = format!(
        "CEF:0|OpenAI|ChatGPT Enterprise Compliance|{}|{event_type}{action}|{}|{}|",
        env!("CARGO_PKG_VERSION"),
        record.category,
        severity(record)
    );
    SYNTAX.write(&head, record, options, max, out);
}

/// The table for people.
pub(super) fn rows() -> Vec<Row> {
    SYNTAX.rows(HEAD)
}

fn escape(c: char, out: &mut String) {
    match c {
        '\\' => out.push_str("\\\\"),
        '=' => out.push_str("\\="),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        c if is_unfit(c) && c != '\t' => out.push(' '),
        c => out.push(c),
    }
}

fn escape_head(c: char, out: &mut String) {
    match c {
        '\\' => out.push_str("\\\\"),
        '|' => out.push_str("\\|"),
        c if is_unfit(c) => out.push(' '),
        c => out.push(c),
    }
}
