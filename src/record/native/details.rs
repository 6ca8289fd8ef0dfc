//! What each event type keeps where.

use std::borrow::Cow;

use super::super::json;
use super::super::map::{Map, Node, ROOT};
use super::{Record, result_of};

impl<'a> Record<'a> {
    pub(super) fn read_details(&mut self, map: &mut Map<'a>) {
        let event_type = self.origin.event_type.as_str();
        if matches!(event_type, "COSTS" | "CODEX_TURN" | "CODEX_ANALYTICS") {
            return self.read_usage(map);
        }
        self.surface = map.take_text(ROOT, "client_id");
        match event_type {
            "CODEX_LOG" | "CHATGPT_PLUGIN_SPREADSHEET" => self.read_codex(map),
            "CODEX_SECURITY_LOG" => self.read_security(map),
            "AUTH_LOG" => self.read_auth(map),
            "AUDIT_LOG" => self.read_audit(map),
            "APP_LOG" | "APP_AUTH_LOG" => self.read_app(map, event_type == "APP_LOG"),
            "CUSTOM_AGENTS_LOG" => self.read_agents(map),
            "CONVERSATION_MESSAGE" => self.read_message(map),
            "CUSTODEX_LOG" => self.read_own(map),
            _ => {
                if event_type.starts_with("CHATGPT_") && event_type.ends_with("_ANALYTICS") {
                    self.category = "usage";
                }
                self.copy_action(map);
            }
        }
    }

    /// The action as plain text.
    fn action_text(&self) -> Cow<'a, str> {
        self.action.and_then(json::text).unwrap_or_default()
    }

    /// Takes the action from where this event type has it. Where it is not there, one that is found
    /// elsewhere is shown and stays where it is; the warning tells the two apart.
    fn read_action(&mut self, map: &mut Map<'a>, node: Option<Node>, key: &str, path: &str) {
        self.action = node.and_then(|node| map.take_text(node, key));
        if self.action.is_none() {
            self.copy_action(map);
            map.warn(ROOT, path, "no action here");
        }
    }

    /// For a type that has no place for its action: shows what looks like one, and leaves it there.
    fn copy_action(&mut self, map: &mut Map<'a>) {
        self.action = map.peek_text(ROOT, "event_type").or_else(|| map.peek_text(ROOT, "action"));
        if self.action.is_none() {
            let data = map.enter_quietly(ROOT, "action_data");
            self.action = data.and_then(|node| map.peek_text(node, "action"));
        }
        self.action = self.action.or_else(|| map.peek_text(ROOT, "log_type"));
    }

    fn read_codex(&mut self, map: &mut Map<'a>) {
        self.read_action(map, Some(ROOT), "event_type", "event_type");
        let action = self.action_text();
        let tool =
            action.starts_with("TOOL_CALL_") || action == "TOOL_DECISION" || action.starts_with("APP_MCP_");
        let kind = [
            ("ACCESS_TOKEN_", "access_token"),
            ("ENVIRONMENT_", "environment"),
            ("PLUGIN_", "plugin"),
            ("SITE_", "site"),
        ]
        .into_iter()
        .find_map(|(start, kind)| action.starts_with(start).then_some(kind));
        let kind = kind.or((action == "WORKSPACE_UPDATED").then_some("workspace"));
        self.category = match action.as_ref() {
            "PROMPT_SENT" => "prompt",
            "PROMPT_RESPONSE_RECEIVED" => "response",
            _ if tool => "tool",
            _ if kind.is_some() => "admin",
            _ => "other",
        };
        self.target.kind = kind.map(str::to_owned);
        if kind == Some("workspace") {
            self.target.id = map.peek_text(ROOT, "workspace_id");
        }
        let Some(node) = map.enter(ROOT, "event_details") else { return self.tool_outcome(&action) };
        if let Some(kind) = kind {
            self.read_target(map, node, kind);
        }
        self.read_session(map, node);
        self.read_model(map, node, action == "PROMPT_RESPONSE_RECEIVED");
        if let Some(usage) = map.enter(node, "token_usage") {
            self.read_tokens(map, usage);
            self.derive_total();
        }
        if tool {
            self.read_tool(map, node, action.starts_with("APP_MCP_"));
        }
        self.read_outcome(map, node);
        self.tool_outcome(&action);
        self.prompt_text = map.take_text(node, "prompt_text");
        self.response_text = map.take_text(node, "response_text");
    }

    fn read_target(&mut self, map: &mut Map<'a>, node: Node, kind: &str) {
        let target = &mut self.target;
        match kind {
            "access_token" => {
                target.id = map.take_text(node, "access_token_id");
                target.name = map.take_text(node, "access_token_name");
            }
            "environment" => {
                target.id = map.take_text(node, "environment_id");
                let fields = map.enter(node, "environment_fields");
                target.name = fields.and_then(|fields| map.peek_text(fields, "label"));
            }
            "plugin" => {
                target.id = map.take_text(node, "plugin_id");
                target.name = map.take_text(node, "plugin_name");
            }
            "site" => {
                target.id = map.take_text(node, "project_id");
                target.name = map.take_text(node, "slug");
            }
            _ => {}
        }
    }

    fn read_session(&mut self, map: &mut Map<'a>, node: Node) {
        let session = &mut self.session;
        session.session_id = map.take_text(node, "session_id");
        session.thread_id = map.take_text(node, "thread_id");
        session.turn_id = map.take_text(node, "turn_id");
        session.call_id = map.take_text(node, "call_id");
        session.environment_id = map.take_text(node, "environment_id");
    }

    fn read_model(&mut self, map: &mut Map<'a>, node: Node, answered: bool) {
        let model = map.take_text(node, "model");
        if answered {
            self.model.response = model;
        } else {
            self.model.request = model;
        }
        self.model.service_tier = map.take_text(node, "service_tier");
        self.model.reasoning_effort = map.take_text(node, "reasoning_effort");
    }

    fn read_tokens(&mut self, map: &mut Map<'a>, node: Node) {
        let usage = &mut self.usage;
        usage.input = map.take_count(node, "input_tokens");
        usage.cached_input = map.take_count(node, "cached_input_tokens");
        usage.output = map.take_count(node, "output_tokens");
        usage.reasoning = map.take_count(node, "reasoning_output_tokens");
        usage.total = map.take_count(node, "total_tokens");
    }

    fn derive_total(&mut self) {
        let number = |token: Option<&str>| token.and_then(|token| token.parse::<u64>().ok());
        if self.usage.total.is_none() {
            let parts = number(self.usage.input).zip(number(self.usage.output));
            self.usage.total_derived = parts.and_then(|(input, output)| input.checked_add(output));
        }
    }

    fn read_tool(&mut self, map: &mut Map<'a>, node: Node, app: bool) {
        let call = &mut self.tool_call;
        call.id = map.take_text(node, "tool_call_id");
        call.name = map.take_text(node, if app { "name" } else { "tool_name" });
        call.kind = map.take_text(node, "tool_type");
        call.arguments = map.take_any(node, if app { "arguments" } else { "tool_input" });
        call.result = map.take_any(node, "result_preview");
        call.approval = map.take_text(node, "decision");
    }

    fn read_outcome(&mut self, map: &mut Map<'a>, node: Node) {
        let decision = self.tool_call.approval;
        let outcome = &mut self.outcome;
        outcome.code = map.take_text(node, "error_code");
        outcome.message = map.take_text(node, "error_message");
        // A status that repeats the decision stays: here it could not be told from no status at all.
        let repeated = decision.is_some() && map.peek(node, "status") == decision;
        let status = if repeated { None } else { map.take_text(node, "status") };
        outcome.upstream = status.or(decision);
        outcome.result = match outcome.upstream {
            Some(said) => Some(result_of(&json::text(said).unwrap_or_default())),
            None => outcome.code.or(outcome.message).map(|_| "failure"),
        };
    }

    /// What the action alone says about the end of a tool call.
    fn tool_outcome(&mut self, action: &str) {
        match action {
            "TOOL_CALL_FAILED" => self.outcome.result = Some("failure"),
            "TOOL_CALL_COMPLETED" if self.outcome.result.is_none() => self.outcome.result = Some("success"),
            _ => {}
        }
    }

    fn read_security(&mut self, map: &mut Map<'a>) {
        self.read_action(map, Some(ROOT), "event_type", "event_type");
        let action = self.action_text();
        let (category, kind, id) = if action.starts_with("SCAN_CONFIGURATION_") {
            ("admin", "scan_configuration", "scan_configuration_id")
        } else if action == "SCAN_FINDING_UPDATED" || action == "PROPOSED_PATCH_PR_CREATED" {
            ("finding", "finding", "finding_id")
        } else {
            return;
        };
        self.category = category;
        self.target.kind = Some(kind.to_owned());
        if let Some(node) = map.enter(ROOT, "event_details") {
            self.target.id = map.take_text(node, id);
        }
    }

    fn read_auth(&mut self, map: &mut Map<'a>) {
        self.category = "auth";
        let data = map.enter(ROOT, "action_data");
        self.read_action(map, data, "action", "action_data.action");
        let action = self.action_text().to_ascii_lowercase();
        let failed = ["failed", "failure", "_invalid_"].iter().any(|part| action.contains(part))
            || action.ends_with("_blocked")
            || action.ends_with("_error");
        if !action.is_empty() {
            self.outcome.result = Some(if failed { "failure" } else { "success" });
        }
    }

    fn read_audit(&mut self, map: &mut Map<'a>) {
        self.category = "admin";
        self.read_action(map, Some(ROOT), "action", "action");
        let first = self.action_text().split('_').next().unwrap_or_default().to_ascii_lowercase();
        self.target.kind = (!first.is_empty()).then_some(first);
        self.outcome.upstream = map.take_text(ROOT, "action_result");
        let result = self.outcome.upstream.map(|said| result_of(&json::text(said).unwrap_or_default()));
        self.outcome.result = result;
        if let Some(node) = map.enter(ROOT, "action_data") {
            self.target.id = map.first_text(node, |key| key.ends_with("_id"));
            self.target.name = map.peek_text(node, "name");
            self.target.email = map.peek_text(node, "email");
        }
    }

    fn read_app(&mut self, map: &mut Map<'a>, log: bool) {
        self.category = if log { "app" } else { "admin" };
        let key = if log { "log_type" } else { "action" };
        self.read_action(map, Some(ROOT), key, key);
        self.target.kind = Some("app".to_owned());
        self.target.id = map.take_text(ROOT, "app_id");
        self.target.name = map.take_text(ROOT, "app_name");
        self.session.conversation_id = map.take_text(ROOT, "conversation_id");
        if log && map.peek_text(ROOT, "log_type").and_then(json::text).as_deref() == Some("error") {
            self.outcome.result = Some("failure");
        }
    }

    /// Our own audit trail: what was acted on is in `target`.
    fn read_own(&mut self, map: &mut Map<'a>) {
        self.category = "admin";
        self.read_action(map, Some(ROOT), "action", "action");
        if let Some(node) = map.enter(ROOT, "target") {
            let kind = map.peek_text(node, "kind").and_then(json::text);
            self.target.kind = kind.map(Cow::into_owned);
            self.target.id = map.take_text(node, "id");
            self.target.name = map.take_text(node, "name");
            self.target.email = map.take_text(node, "email");
        }
    }

    fn read_agents(&mut self, map: &mut Map<'a>) {
        self.read_action(map, Some(ROOT), "event_type", "event_type");
        let action = self.action_text();
        let managed = ["AGENT_CREATED", "AGENT_DELETED", "AGENT_PUBLISHED", "AGENT_UPDATED"];
        self.category = if managed.contains(&action.as_ref()) || action.starts_with("TRIGGER_") {
            "admin"
        } else if action.starts_with("CONNECTOR_") {
            "tool"
        } else {
            "agent"
        };
        self.target.kind = Some("agent".to_owned());
        if action.ends_with("_FAILED") {
            self.outcome.result = Some("failure");
        } else if action.ends_with("_COMPLETED") {
            self.outcome.result = Some("success");
        }
        if let Some(node) = map.enter(ROOT, "event_details") {
            self.target.id = map.take_text(node, "agent_id");
            self.session.run_id = map.take_text(node, "run_id");
            self.tool_call.id = map.take_text(node, "tool_call_id");
        }
    }

    fn read_message(&mut self, map: &mut Map<'a>) {
        self.category = "conversation";
        self.copy_action(map);
        if let Some(node) = map.enter(ROOT, "conversation") {
            self.session.conversation_id = map.take_text(node, "id");
        }
        let Some(message) = map.enter(ROOT, "message") else { return };
        self.session.message_id = map.take_text(message, "id");
        let author = map.enter(message, "author");
        let kind = author.and_then(|author| map.peek_text(author, "type"));
        if let Some(author) = author {
            self.model.response = map.take_text(author, "model");
        }
        let known = matches!(kind, Some("\"user\"" | "\"assistant\""));
        let content = if known { map.enter(message, "content") } else { None };
        let text = content.and_then(|content| map.take_text(content, "value"));
        match kind {
            Some("\"user\"") => (self.category, self.prompt_text) = ("prompt", text),
            Some("\"assistant\"") => (self.category, self.response_text) = ("response", text),
            _ => {}
        }
    }

    fn read_usage(&mut self, map: &mut Map<'a>) {
        self.category = "usage";
        self.copy_action(map);
        let Some(payload) = map.enter(ROOT, "payload") else { return };
        self.session.session_id = map.take_text(payload, "session_id");
        self.session.thread_id = map.take_text(payload, "thread_id");
        self.model.request = map.take_text(payload, "model");
        self.model.service_tier = map.take_text(payload, "service_tier");
        self.model.reasoning_effort = map.take_text(payload, "reasoning");
        if self.origin.event_type == "CODEX_TURN" {
            self.surface = map.take_text(payload, "product_client_id");
            if let Some(node) = map.enter(payload, "token_usage") {
                self.usage.cached_input = map.take_count(node, "cached_input_tokens");
                self.usage.output = map.take_count(node, "output_tokens");
            }
            return;
        }
        self.surface = map.take_text(payload, "surface");
        let measures = map.enter(payload, "measures");
        if let Some(node) = measures.and_then(|measures| map.enter(measures, "usage")) {
            // Here upstream counts cached input apart, so no total follows from the parts.
            self.usage.input = map.take_count(node, "text_input_tokens");
            self.usage.cached_input = map.take_count(node, "text_cached_input_tokens");
            self.usage.output = map.take_count(node, "text_output_tokens");
            self.usage.total = map.take_count(node, "text_total_tokens");
        }
    }
}
