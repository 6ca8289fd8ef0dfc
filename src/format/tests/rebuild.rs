//! Makes the upstream object from a native record alone, by the published mapping. Shares nothing with
//! the code that took it apart but the splitting of JSON into tokens.

use super::{at, text_at};
use crate::record::json;

/// An object as far as anybody looks into it; lists and deep objects stay tokens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tree {
    Token(String),
    Object(Vec<(String, Tree)>),
}

/// Objects below this depth are compared byte for byte.
const DEPTH: usize = 5;

impl Tree {
    pub(super) fn parse(token: &str, depth: usize) -> Self {
        match json::members(token).filter(|_| depth < DEPTH) {
            None => Self::Token(token.trim_ascii().to_owned()),
            Some(members) => Self::Object(
                members.iter().map(|(key, value)| (name(key), Self::parse(value, depth + 1))).collect(),
            ),
        }
    }

    /// The same for any order of members.
    pub(super) fn sorted(self) -> Self {
        let Self::Object(members) = self else { return self };
        let mut members: Vec<_> = members.into_iter().map(|(key, value)| (key, value.sorted())).collect();
        members.sort();
        Self::Object(members)
    }

    fn put(&mut self, path: &str, depth: usize, token: &str) {
        let Self::Object(members) = self else { panic!("{path} leads into what is no object") };
        let Some((first, rest)) = path.split_once('.') else {
            return members.push((path.to_owned(), Self::parse(token, depth)));
        };
        let place = members.iter().position(|(key, _)| key == first).unwrap_or_else(|| {
            members.push((first.to_owned(), Self::Object(Vec::new())));
            members.len() - 1
        });
        members[place].1.put(rest, depth + 1, token);
    }
}

fn name(key: &str) -> String {
    json::text(key).map_or_else(|| key.to_owned(), Into::into)
}

/// The upstream object of a native record.
pub(super) fn rebuild(record: &str) -> Tree {
    let event_type = text_at(record, "event_type").unwrap();
    let mut tree = Tree::parse(&at(record, "unmapped").unwrap_or_else(|| "{}".to_owned()), 0);
    for (from, to) in fields(record, &event_type) {
        if let Some(token) = at(record, from) {
            tree.put(to, 1, &token);
        }
    }
    if !warned(record, "type", &["missing", "not the event type of the stream"]) {
        tree.put("type", 1, &format!("\"{event_type}\""));
    }
    let principal = at(record, "unmapped.principal").unwrap_or_else(|| "{}".to_owned());
    if principal.starts_with('{') && !warned(record, "principal", &["missing"]) {
        let kind = match text_at(record, "principal.kind").unwrap().as_str() {
            "workspace" => "\"CHATGPT_WORKSPACE\"".to_owned(),
            "instance" => "\"CUSTODEX_INSTANCE\"".to_owned(),
            _ => "\"API_PLATFORM_ORG\"".to_owned(),
        };
        let id = at(record, "principal.id").unwrap();
        for (path, token) in [("principal.id", id), ("principal.type", kind)] {
            if !warned(record, path, &["not the principal of the stream"]) {
                tree.put(path, 1, &token);
            }
        }
    }
    tree.sorted()
}

fn warned(record: &str, path: &str, problems: &[&str]) -> bool {
    (0..).map_while(|n| at(record, &format!("warnings.{n}"))).any(|warning| {
        text_at(&warning, "path").as_deref() == Some(path)
            && problems.contains(&text_at(&warning, "problem").unwrap().as_str())
    })
}

/// Native path and upstream path of what every record has.
const ENVELOPE: [(&str, &str); 17] = [
    ("upstream_id", "event_id"),
    ("time_original", "timestamp"),
    ("actor.kind", "actor.type"),
    ("actor.email", "actor.user_email"),
    ("actor.name", "actor.name"),
    ("actor.delegator", "actor.agent_runtime.delegator"),
    ("actor.ip", "request_metadata.client_ip"),
    ("actor.user_agent", "request_metadata.client_user_agent"),
    ("actor.ja3", "request_metadata.client_ja3"),
    ("actor.ja4", "request_metadata.client_ja4"),
    ("actor.asn", "request_metadata.client_ip_details.asn"),
    ("actor.geo.country", "request_metadata.client_ip_details.country"),
    ("actor.geo.city", "request_metadata.client_ip_details.city"),
    ("actor.geo.region", "request_metadata.client_ip_details.region"),
    ("actor.geo.region_code", "request_metadata.client_ip_details.region_code"),
    ("actor.geo.latitude", "request_metadata.client_ip_details.latitude"),
    ("actor.geo.longitude", "request_metadata.client_ip_details.longitude"),
];

/// Native path and upstream path of what was taken.
fn fields(record: &str, event_type: &str) -> Vec<(&'static str, &'static str)> {
    let mut all = ENVELOPE.to_vec();
    all.push(match at(record, "actor.kind").as_deref() {
        None | Some("\"ACCOUNT_USER\"") => ("actor.id", "actor.user_id"),
        Some("\"API_KEY\"") => ("actor.id", "actor.redacted_id"),
        Some("\"EXTERNAL_COLLABORATION_USER\"") => ("actor.id", "actor.provider_user_id"),
        Some(_) => ("actor.id", "actor.id"),
    });
    let place = match event_type {
        "CODEX_LOG" | "CHATGPT_PLUGIN_SPREADSHEET" | "CODEX_SECURITY_LOG" | "CUSTOM_AGENTS_LOG" => {
            "event_type"
        }
        "AUTH_LOG" => "action_data.action",
        "AUDIT_LOG" | "APP_AUTH_LOG" | "CUSTODEX_LOG" => "action",
        "APP_LOG" => "log_type",
        _ => "",
    };
    if !place.is_empty() && !warned(record, place, &["no action here"]) {
        all.push(("action", place));
    }
    all.extend(match event_type {
        "CODEX_TURN" | "COSTS" | "CODEX_ANALYTICS" => usage(event_type),
        _ => vec![("client.surface", "client_id")],
    });
    let action = text_at(record, "action").unwrap_or_default();
    match event_type {
        "CODEX_LOG" | "CHATGPT_PLUGIN_SPREADSHEET" => all.extend(codex(record, &action)),
        "CODEX_SECURITY_LOG" if action.starts_with("SCAN_CONFIGURATION_") => {
            all.push(("target.id", "event_details.scan_configuration_id"));
        }
        "CODEX_SECURITY_LOG" => all.push(("target.id", "event_details.finding_id")),
        "AUDIT_LOG" => all.push(("outcome.upstream", "action_result")),
        "APP_LOG" | "APP_AUTH_LOG" => all.extend([
            ("target.id", "app_id"),
            ("target.name", "app_name"),
            ("session.conversation_id", "conversation_id"),
        ]),
        "CUSTOM_AGENTS_LOG" => all.extend([
            ("target.id", "event_details.agent_id"),
            ("session.run_id", "event_details.run_id"),
            ("tool_calls.0.id", "event_details.tool_call_id"),
        ]),
        "CONVERSATION_MESSAGE" => all.extend([
            ("session.conversation_id", "conversation.id"),
            ("session.message_id", "message.id"),
            ("model.response", "message.author.model"),
            ("prompt_text", "message.content.value"),
            ("response_text", "message.content.value"),
        ]),
        "CUSTODEX_LOG" => {
            all.extend([
                ("target.id", "target.id"),
                ("target.name", "target.name"),
                ("target.email", "target.email"),
            ]);
        }
        _ => {}
    }
    all
}

fn usage(event_type: &str) -> Vec<(&'static str, &'static str)> {
    let mut all = vec![
        ("session.session_id", "payload.session_id"),
        ("session.thread_id", "payload.thread_id"),
        ("model.request", "payload.model"),
        ("model.service_tier", "payload.service_tier"),
        ("model.reasoning_effort", "payload.reasoning"),
    ];
    if event_type == "CODEX_TURN" {
        all.extend([
            ("client.surface", "payload.product_client_id"),
            ("usage.cached_input", "payload.token_usage.cached_input_tokens"),
            ("usage.output", "payload.token_usage.output_tokens"),
        ]);
    } else {
        all.extend([
            ("client.surface", "payload.surface"),
            ("usage.input", "payload.measures.usage.text_input_tokens"),
            ("usage.cached_input", "payload.measures.usage.text_cached_input_tokens"),
            ("usage.output", "payload.measures.usage.text_output_tokens"),
            ("usage.total", "payload.measures.usage.text_total_tokens"),
        ]);
    }
    all
}

fn codex(record: &str, action: &str) -> Vec<(&'static str, &'static str)> {
    let app = action.starts_with("APP_MCP_");
    let mut all = vec![
        ("session.session_id", "event_details.session_id"),
        ("session.thread_id", "event_details.thread_id"),
        ("session.turn_id", "event_details.turn_id"),
        ("session.call_id", "event_details.call_id"),
        ("session.environment_id", "event_details.environment_id"),
        ("model.request", "event_details.model"),
        ("model.response", "event_details.model"),
        ("model.service_tier", "event_details.service_tier"),
        ("model.reasoning_effort", "event_details.reasoning_effort"),
        ("usage.input", "event_details.token_usage.input_tokens"),
        ("usage.cached_input", "event_details.token_usage.cached_input_tokens"),
        ("usage.output", "event_details.token_usage.output_tokens"),
        ("usage.reasoning", "event_details.token_usage.reasoning_output_tokens"),
        ("tool_calls.0.id", "event_details.tool_call_id"),
        ("tool_calls.0.name", if app { "event_details.name" } else { "event_details.tool_name" }),
        ("tool_calls.0.type", "event_details.tool_type"),
        ("tool_calls.0.arguments", if app { "event_details.arguments" } else { "event_details.tool_input" }),
        ("tool_calls.0.result", "event_details.result_preview"),
        ("tool_calls.0.approval", "event_details.decision"),
        ("outcome.code", "event_details.error_code"),
        ("outcome.message", "event_details.error_message"),
        ("prompt_text", "event_details.prompt_text"),
        ("response_text", "event_details.response_text"),
    ];
    if at(record, "usage.total_derived").is_none() {
        all.push(("usage.total", "event_details.token_usage.total_tokens"));
    }
    // A status that says the same as the decision was left where it was.
    if at(record, "outcome.upstream") != at(record, "tool_calls.0.approval") {
        all.push(("outcome.upstream", "event_details.status"));
    }
    match text_at(record, "target.kind").as_deref() {
        Some("access_token") => all.extend([
            ("target.id", "event_details.access_token_id"),
            ("target.name", "event_details.access_token_name"),
        ]),
        Some("environment") => all.push(("target.id", "event_details.environment_id")),
        Some("plugin") => {
            all.extend([
                ("target.id", "event_details.plugin_id"),
                ("target.name", "event_details.plugin_name"),
            ]);
        }
        Some("site") => {
            all.extend([("target.id", "event_details.project_id"), ("target.name", "event_details.slug")]);
        }
        _ => {}
    }
    all
}
