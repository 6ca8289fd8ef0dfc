//! The tables of all formats: which native field is called what there.
//!
//! Owns the list of the native record's fields. A format that maps has its table beside its encoder.

use super::mapping::Row;
use super::{Format, cef, ecs, leef, ocsf};

const RAW: Row = Row { native: "raw", target: "(the line)", note: "the provider's own bytes" };

/// The native record, in its order.
const NATIVE: &[(&str, &str)] = &[
    ("schema", "version of this format, \"1\""),
    ("id", "ours: the same for the same record, wherever it is delivered"),
    ("upstream_id", "upstream's event_id"),
    ("time", "RFC 3339, UTC, every digit; absent if unreadable"),
    ("time_original", "upstream's timestamp as written"),
    ("observed_time", "when the record's log file was fetched"),
    ("event_type", "of the stream, such as CODEX_LOG"),
    ("action", "sub type, such as PROMPT_SENT"),
    (
        "category",
        "prompt, response, tool, admin, finding, auth, app, agent, conversation, usage, other, malformed, oversized",
    ),
    ("principal.kind", "workspace or organization"),
    ("principal.id", "whose log it is"),
    ("actor.kind", "upstream's word for who acted"),
    ("actor.id", "user id, redacted key, or whatever names it"),
    ("actor.id_base", "the user id without the workspace behind it"),
    ("actor.email", ""),
    ("actor.name", ""),
    ("actor.ip", "where the request came from"),
    ("actor.user_agent", ""),
    ("actor.geo", "place of the address, upstream's keys"),
    ("actor.asn", "autonomous system of the address"),
    ("actor.ja3", "TLS fingerprint"),
    ("actor.ja4", "TLS fingerprint"),
    ("actor.delegator", "on whose behalf an agent acts"),
    ("target.kind", "what was acted on"),
    ("target.id", ""),
    ("target.name", ""),
    ("target.email", ""),
    ("session.session_id", ""),
    ("session.thread_id", ""),
    ("session.turn_id", ""),
    ("session.call_id", ""),
    ("session.message_id", ""),
    ("session.conversation_id", ""),
    ("session.run_id", "run of an agent"),
    ("session.environment_id", ""),
    ("client.surface", "such as CODEX_CLI"),
    ("model.provider", "openai, where a model is named"),
    ("model.request", "the model asked for"),
    ("model.response", "the model that answered"),
    ("model.service_tier", ""),
    ("model.reasoning_effort", ""),
    ("usage.input", "tokens, cached ones included"),
    ("usage.cached_input", "part of input"),
    ("usage.output", "tokens, reasoning included"),
    ("usage.reasoning", "part of output"),
    ("usage.total", ""),
    ("usage.total_derived", "true when total is input and output added up here"),
    ("outcome.result", "success, failure or unknown; no outcome where upstream says nothing"),
    ("outcome.upstream", "upstream's word"),
    ("outcome.code", ""),
    ("outcome.message", "free text"),
    ("tool_calls.id", "tool_calls is a list"),
    ("tool_calls.name", ""),
    ("tool_calls.type", ""),
    ("tool_calls.arguments", "free text or an object"),
    ("tool_calls.result", "free text or an object"),
    ("tool_calls.approval", "what was decided about it"),
    ("self_poll", "true when custodex's own key did it"),
    ("replay.id", "which replay delivers the record again, out of an archive"),
    ("replay.at", "when that replay began"),
    ("truncated", "what was cut to the sink's limit: original length and hash by path"),
    ("redacted", "paths that rules or content = metadata took out"),
    ("provenance.log_file_id", ""),
    ("provenance.file_sha256", "of the verbatim log file"),
    ("provenance.line_number", "from 1"),
    ("provenance.byte_offset", "from 0"),
    ("provenance.byte_length", ""),
    ("provenance.raw_sha256", "of the record's bytes"),
    ("warnings.path", "warnings is a list: what was not as expected"),
    ("warnings.problem", ""),
    ("prompt_text", "free text"),
    ("response_text", "free text"),
    ("unmapped", "everything of upstream's that has no field above"),
    ("raw", "the exact bytes, with include_raw = true and in malformed records"),
    ("raw_encoding", "base64 when they are not UTF-8"),
];

/// The table of a format.
pub(super) fn rows(format: Format) -> Vec<Row> {
    match format {
        Format::Raw => vec![RAW],
        Format::Native => {
            NATIVE.iter().map(|(path, note)| Row { native: path, target: path, note }).collect()
        }
        Format::Ecs => ecs::rows(),
        Format::Ocsf => ocsf::rows(),
        Format::Cef => cef::rows(),
        Format::Leef => leef::rows(),
    }
}
