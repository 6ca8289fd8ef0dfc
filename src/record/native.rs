//! The native view of a record: which of its fields mean what.
//!
//! Fields are JSON tokens of the record itself. A field is *taken* only where its place follows from
//! the record's kind, so that fields and `unmapped` together give the upstream object back.

mod details;

use std::borrow::Cow;

use super::map::{Map, Node, ROOT, Warning};
use super::reader::Shape;
use super::{Origin, OwnKey, RawRecord, Replay, id, json, time};

/// A token of the record, or one of ours.
pub type Token<'a> = Cow<'a, str>;

/// Who did it.
#[derive(Debug, Default)]
pub struct Actor<'a> {
    /// Upstream's word for the kind.
    pub kind: Option<&'a str>,
    /// User id, redacted key, or whatever names it.
    pub id: Option<&'a str>,
    /// The user id without the workspace behind it, where it has one.
    pub id_base: Option<String>,
    /// Mail address.
    pub email: Option<&'a str>,
    /// Name.
    pub name: Option<&'a str>,
    /// Address the request came from.
    pub ip: Option<&'a str>,
    /// User agent.
    pub user_agent: Option<&'a str>,
    /// Place of the address: upstream's keys and values.
    pub geo: Vec<(&'static str, &'a str)>,
    /// Autonomous system.
    pub asn: Option<&'a str>,
    /// TLS fingerprint.
    pub ja3: Option<&'a str>,
    /// TLS fingerprint.
    pub ja4: Option<&'a str>,
    /// On whose behalf an agent acts, verbatim.
    pub delegator: Option<&'a str>,
}

/// What was acted on.
#[derive(Debug, Default)]
pub struct Target<'a> {
    /// Its kind, in our words.
    pub kind: Option<String>,
    /// Its id.
    pub id: Option<&'a str>,
    /// Its name.
    pub name: Option<&'a str>,
    /// Its mail address.
    pub email: Option<&'a str>,
}

/// What a record belongs to.
#[derive(Debug, Default)]
pub struct Session<'a> {
    /// See upstream's field of the same name; so with all of these.
    pub session_id: Option<&'a str>,
    /// Thread.
    pub thread_id: Option<&'a str>,
    /// Turn.
    pub turn_id: Option<&'a str>,
    /// Call.
    pub call_id: Option<&'a str>,
    /// Message.
    pub message_id: Option<&'a str>,
    /// Conversation.
    pub conversation_id: Option<&'a str>,
    /// Run of an agent.
    pub run_id: Option<&'a str>,
    /// Environment.
    pub environment_id: Option<&'a str>,
}

/// The model and how it was asked.
#[derive(Debug, Default)]
pub struct Model<'a> {
    /// The model asked for.
    pub request: Option<&'a str>,
    /// The model that answered.
    pub response: Option<&'a str>,
    /// Service tier.
    pub service_tier: Option<&'a str>,
    /// Reasoning effort.
    pub reasoning_effort: Option<&'a str>,
}

/// Tokens used, digits as written.
#[derive(Debug, Default)]
pub struct Usage<'a> {
    /// Of the input, cached ones included. Not so for `COSTS`, where upstream counts cached input apart:
    /// there the input is what was not cached.
    pub input: Option<&'a str>,
    /// Of these, cached.
    pub cached_input: Option<&'a str>,
    /// Of the output, reasoning included.
    pub output: Option<&'a str>,
    /// Of these, reasoning.
    pub reasoning: Option<&'a str>,
    /// All.
    pub total: Option<&'a str>,
    /// Input and output, where upstream gives no total.
    pub total_derived: Option<u64>,
}

/// How it ended.
#[derive(Debug, Default)]
pub struct Outcome<'a> {
    /// `success`, `failure` or `unknown`.
    pub result: Option<&'static str>,
    /// Upstream's word.
    pub upstream: Option<&'a str>,
    /// Error code.
    pub code: Option<&'a str>,
    /// Error message.
    pub message: Option<&'a str>,
}

/// A tool call.
#[derive(Debug, Default)]
pub struct ToolCall<'a> {
    /// Its id.
    pub id: Option<&'a str>,
    /// The tool's name.
    pub name: Option<&'a str>,
    /// The tool's type.
    pub kind: Option<&'a str>,
    /// Its input, verbatim.
    pub arguments: Option<&'a str>,
    /// Its result, verbatim.
    pub result: Option<&'a str>,
    /// What was decided about it.
    pub approval: Option<&'a str>,
}

/// A record, seen as fields.
#[derive(Debug)]
pub struct Record<'a> {
    /// Its log file.
    pub origin: &'a Origin,
    /// Its place and bytes.
    pub raw: RawRecord<'a>,
    /// Our id.
    pub id: String,
    /// Upstream's id, a JSON token.
    pub upstream_id: Option<Token<'a>>,
    /// UTC, with every digit.
    pub time: Option<String>,
    /// Upstream's timestamp, a JSON token.
    pub time_original: Option<&'a str>,
    /// The sub type, a JSON token.
    pub action: Option<&'a str>,
    /// One of design's categories.
    pub category: &'static str,
    /// Who.
    pub actor: Actor<'a>,
    /// What.
    pub target: Target<'a>,
    /// Belonging to.
    pub session: Session<'a>,
    /// Client surface.
    pub surface: Option<&'a str>,
    /// Model.
    pub model: Model<'a>,
    /// Tokens.
    pub usage: Usage<'a>,
    /// End.
    pub outcome: Outcome<'a>,
    /// Tools.
    pub tool_call: ToolCall<'a>,
    /// Our own key did it.
    pub self_poll: bool,
    /// The replay it is part of.
    pub replay: Option<&'a Replay>,
    /// The prompt, a JSON token.
    pub prompt_text: Option<&'a str>,
    /// The response, a JSON token.
    pub response_text: Option<&'a str>,
    /// Everything else; none for a record that is no object.
    pub map: Option<Map<'a>>,
    /// What is odd about a record that is no object.
    pub warnings: Vec<Warning>,
    /// Native paths of what a sink's rules took out of it; then its exact bytes are not shown either.
    pub removed: Vec<Cow<'static, str>>,
    /// What is shown instead of the fields that were not taken, an object, once rules changed them.
    pub unmapped: Option<Token<'a>>,
}

impl<'a> Record<'a> {
    /// Sees a record as fields. Never fails: what does not fit stays.
    pub fn parse(origin: &'a Origin, raw: RawRecord<'a>) -> Self {
        let map = match raw.shape {
            Shape::Object => std::str::from_utf8(raw.bytes).ok().and_then(Map::read),
            Shape::Malformed | Shape::Oversized => None,
        };
        let mut record = Self::empty(origin, raw);
        match map {
            Some(map) => record.read(map),
            None => record.explain(),
        }
        let identified = record.upstream_id.is_some();
        record.id = if identified {
            id::by_content(&origin.principal.id, &origin.event_type, &raw.sha256)
        } else {
            id::by_place(&origin.file_id, raw.offset)
        };
        record
    }

    fn empty(origin: &'a Origin, raw: RawRecord<'a>) -> Self {
        Self {
            origin,
            raw,
            id: String::new(),
            upstream_id: None,
            time: None,
            time_original: None,
            action: None,
            category: "other",
            actor: Actor::default(),
            target: Target::default(),
            session: Session::default(),
            surface: None,
            model: Model::default(),
            usage: Usage::default(),
            outcome: Outcome::default(),
            tool_call: ToolCall::default(),
            self_poll: false,
            replay: None,
            prompt_text: None,
            response_text: None,
            map: None,
            warnings: Vec::new(),
            removed: Vec::new(),
            unmapped: None,
        }
    }

    /// Whether this key did it.
    pub fn is_by(&self, key: &OwnKey) -> bool {
        let redacted = self.actor.id.filter(|_| self.actor.kind == Some("\"API_KEY\"")).and_then(json::text);
        redacted.is_some_and(|redacted| key.matches(&redacted))
    }

    /// Whether any field of upstream's has no place of its own.
    pub fn has_unmapped(&self) -> bool {
        match &self.unmapped {
            Some(instead) => instead != "{}",
            None => self.map.as_ref().is_some_and(Map::has_rest),
        }
    }

    /// Appends these fields as an object; nothing when there are none.
    pub fn write_unmapped(&self, out: &mut Vec<u8>) {
        match (&self.unmapped, &self.map) {
            (Some(instead), _) if self.has_unmapped() => out.extend_from_slice(instead.as_bytes()),
            (None, Some(map)) => map.write_rest(out),
            _ => {}
        }
    }

    /// Says why a record has no fields.
    fn explain(&mut self) {
        let (category, problem) = match self.raw.shape {
            Shape::Oversized => ("oversized", "over 16 MiB: see provenance for where it lies"),
            _ => ("malformed", "not a JSON object"),
        };
        self.category = category;
        self.upstream_id = self.raw.event_id.map(Cow::Borrowed);
        self.warnings.push(Warning { path: String::new(), problem });
    }

    fn read(&mut self, mut map: Map<'a>) {
        self.upstream_id = map.take_text(ROOT, "event_id").map(Cow::Borrowed);
        if self.upstream_id.is_none() {
            match map.peek(ROOT, "event_id") {
                None => map.warn(ROOT, "event_id", "missing"),
                Some("null" | "\"\"") => map.warn(ROOT, "event_id", "empty"),
                Some(_) => {}
            }
        }
        self.read_time(&mut map);
        self.read_envelope(&mut map);
        self.read_actor(&mut map);
        if let Some(node) = map.enter(ROOT, "request_metadata") {
            self.read_request(&mut map, node);
        }
        self.read_details(&mut map);
        self.self_poll = self.origin.own_key.as_ref().is_some_and(|key| self.is_by(key));
        self.map = Some(map);
    }

    fn read_time(&mut self, map: &mut Map<'a>) {
        self.time_original = map.take_text(ROOT, "timestamp");
        self.time = self.time_original.and_then(json::text).and_then(|text| time::to_utc(&text));
        if self.time.is_none() {
            match (self.time_original, map.peek(ROOT, "timestamp")) {
                (Some(_), _) => map.warn(ROOT, "timestamp", "not a time with a zone"),
                (None, None) => map.warn(ROOT, "timestamp", "missing"),
                // Another type was warned about when it was not taken.
                (None, Some("null" | "\"\"")) => map.warn(ROOT, "timestamp", "empty"),
                (None, Some(_)) => {}
            }
        }
    }

    /// Type and principal say again what the stream says; they stay where they differ.
    fn read_envelope(&mut self, map: &mut Map<'a>) {
        let event_type = self.origin.event_type.as_str();
        if event_type.contains('\\') || !map.take_same(ROOT, "type", event_type) {
            let there = map.peek(ROOT, "type").is_some();
            map.warn(ROOT, "type", if there { "not the event type of the stream" } else { "missing" });
        }
        let Some(node) = map.enter(ROOT, "principal") else {
            return match map.peek(ROOT, "principal") {
                None => map.warn(ROOT, "principal", "missing"),
                Some("null") => map.warn(ROOT, "principal", "empty"),
                // Another type was warned about when it was not entered.
                Some(_) => {}
            };
        };
        let principal = &self.origin.principal;
        for (key, expected) in [("id", principal.id.as_str()), ("type", principal.kind.upstream())] {
            if !map.take_same(node, key, expected) {
                map.warn(node, key, "not the principal of the stream");
            }
        }
    }

    fn read_actor(&mut self, map: &mut Map<'a>) {
        let Some(node) = map.enter(ROOT, "actor") else { return };
        let actor = &mut self.actor;
        actor.kind = map.take_text(node, "type");
        let id = match actor.kind {
            Some("\"ACCOUNT_USER\"") | None => "user_id",
            Some("\"API_KEY\"") => "redacted_id",
            Some("\"EXTERNAL_COLLABORATION_USER\"") => "provider_user_id",
            Some(_) => "id",
        };
        actor.id = map.take_text(node, id);
        actor.email = map.take_text(node, "user_email");
        actor.name = map.take_text(node, "name");
        if let Some((base, workspace)) = actor.id.and_then(|id| id.trim_matches('"').rsplit_once("__")) {
            let workspace_id = workspace.len() == 36 && workspace.matches('-').count() == 4;
            actor.id_base = (workspace_id && !base.is_empty()).then(|| base.to_owned());
        }
        if let Some(runtime) = map.enter(node, "agent_runtime") {
            actor.delegator = map.take_any(runtime, "delegator");
        }
    }

    fn read_request(&mut self, map: &mut Map<'a>, node: Node) {
        let actor = &mut self.actor;
        actor.ip = map.take_text(node, "client_ip");
        actor.user_agent = map.take_text(node, "client_user_agent");
        actor.ja3 = map.take_text(node, "client_ja3");
        actor.ja4 = map.take_text(node, "client_ja4");
        if let Some(details) = map.enter(node, "client_ip_details") {
            actor.asn = map.take_text(details, "asn");
            for key in ["country", "city", "region", "region_code", "latitude", "longitude"] {
                if let Some(token) = map.take_text(details, key) {
                    actor.geo.push((key, token));
                }
            }
        }
    }
}

/// What a text of upstream's says about the end of a thing.
fn result_of(text: &str) -> &'static str {
    let text = text.to_ascii_lowercase();
    match text.as_str() {
        "success" | "completed" => "success",
        "failed" | "error" | "blocked" | "timed_out" | "abort" => "failure",
        _ if text.starts_with("approved") => "success",
        _ if text.starts_with("denied") => "failure",
        _ => "unknown",
    }
}
