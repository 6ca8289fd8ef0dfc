//! `CODEX_LOG` as whole sessions, and `CODEX_SECURITY_LOG`.

use super::Maker;
use super::people::{PEOPLE, Person};
use crate::simulator::WORKSPACE;

const MODELS: [&str; 4] = ["gpt-5.5-codex", "gpt-5.5-codex", "gpt-5.5", "gpt-5.4-mini"];
const TOOLS: [(&str, &str); 5] = [
    ("shell", "function"),
    ("apply_patch", "custom"),
    ("web_search", "function"),
    ("tickets.search", "mcp"),
    ("read_file", "function"),
];
const COMMANDS: [&str; 4] = [
    r#"{\"command\":[\"rg\",\"-n\",\"next_due\",\"src\"],\"workdir\":\"/srv/stock\"}"#,
    r#"{\"command\":[\"cargo\",\"test\",\"--\",\"counts_twice\"],\"workdir\":\"/srv/stock\"}"#,
    r#"{\"command\":[\"bash\",\"-c\",\"git diff --stat | tail -3\"],\"workdir\":\"/srv/stock\"}"#,
    r#"{\"query\":\"shelf B7 \\\"negative stock\\\"\",\"limit\":20}"#,
];

/// What all records of a session share.
struct Session {
    person: &'static Person,
    id: String,
    model: &'static str,
    environment: Option<String>,
    turn: String,
    call: String,
}

/// One session: prompts, tool calls and answers, and now and then something administrative.
pub(super) fn session(maker: &mut Maker) {
    let person = maker.person();
    let model = maker.pick(&MODELS);
    let environment = maker.one_in(3).then(|| maker.name("env-"));
    let id = maker.name("sess-");
    let mut session = Session { person, id, model, environment, turn: String::new(), call: String::new() };
    for _ in 0..=maker.below(4) {
        session.turn = maker.name("turn-");
        session.call = maker.name("call-");
        prompt(maker, &session);
        for _ in 0..maker.below(4) {
            tool_call(maker, &session);
        }
        response(maker, &session);
    }
    if maker.one_in(6) {
        administration(maker, person);
    }
}

/// Begins a record up to the details, which start with `detail_type`.
fn begin(maker: &mut Maker, person: &Person, action: &str) {
    maker.open(|maker| maker.user(person));
    if maker.one_in(4) {
        maker.request(person.ip);
    }
    maker.text("event_type", action).text("client_id", person.client).text("workspace_id", WORKSPACE);
    maker.raw(",\"event_details\":{\"detail_type\":\"").raw(action).raw("\"");
}

fn end(maker: &mut Maker) {
    maker.raw("}");
    maker.close();
}

fn shared(maker: &mut Maker, session: &Session) {
    maker.text("turn_id", &session.turn).text("call_id", &session.call).text("model", session.model);
    match &session.environment {
        Some(environment) => maker.text("environment_id", environment),
        None => maker.raw(",\"environment_id\":null"),
    };
}

fn prompt(maker: &mut Maker, session: &Session) {
    begin(maker, session.person, "PROMPT_SENT");
    maker.text("session_id", &session.id).raw(",\"prompt_text\":\"");
    let length = maker.length(1100);
    maker.prose(length).raw("\"");
    shared(maker, session);
    end(maker);
}

fn response(maker: &mut Maker, session: &Session) {
    begin(maker, session.person, "PROMPT_RESPONSE_RECEIVED");
    maker.text("session_id", &session.id);
    if maker.one_in(30) {
        maker.raw(",\"response_text\":\"\"").text("status", "error");
        maker.text("error_code", "stream_interrupted").text("error_message", "the answer broke off");
    } else {
        let length = maker.length(3200);
        maker.raw(",\"response_text\":\"").prose(length).raw("\"").text("status", "completed");
    }
    shared(maker, session);
    let effort = maker.pick(&["low", "medium", "medium", "high"]);
    maker.text("service_tier", "default").text("reasoning_effort", effort);
    let (input, output) = (maker.below(60_000) + 400, maker.below(3_000) + 20);
    let (cached, reasoning) = (input * maker.below(90) / 100, output * maker.below(60) / 100);
    maker.raw(",\"token_usage\":{\"input_tokens\":").digits(input).number("output_tokens", output);
    maker.number("cached_input_tokens", cached).number("reasoning_output_tokens", reasoning).raw("}");
    end(maker);
}

/// A call that is suggested and then completed or failed: two records with one `tool_call_id`.
fn tool_call(maker: &mut Maker, session: &Session) {
    let (tool, kind) = maker.pick(&TOOLS);
    let call = maker.name("tc-");
    let command = maker.pick(&COMMANDS);
    let patch = maker.length(2200);
    let outcome = if maker.one_in(12) { "TOOL_CALL_FAILED" } else { "TOOL_CALL_COMPLETED" };
    // Both records hold the same input.
    let input = maker.out.len();
    if tool == "apply_patch" {
        maker.raw("*** Begin Patch\\n*** Update File: src/stock.rs\\n").prose(patch).raw("*** End Patch");
    } else {
        maker.raw(command);
    }
    let text = maker.out.split_off(input);
    for (action, status) in [("TOOL_CALL_SUGGESTED", None), (outcome, Some(outcome))] {
        begin(maker, session.person, action);
        maker.text("session_id", &session.id).text("tool_name", tool).text("tool_type", kind);
        maker.raw(",\"tool_input\":\"");
        maker.out.extend_from_slice(&text);
        maker.raw("\"").text("tool_call_id", &call);
        if let Some(status) = status {
            maker.text("status", if status == "TOOL_CALL_FAILED" { "failed" } else { "completed" });
        }
        shared(maker, session);
        end(maker);
    }
}

fn administration(maker: &mut Maker, person: &'static Person) {
    let call = maker.name("call-");
    match maker.below(5) {
        0 => {
            begin(maker, person, "APP_MCP_CALL");
            maker.text("call_id", &call).text("name", "tickets.search");
            maker.raw(r#","arguments":{"query":"shelf B7","open":true,"limit":20}"#);
            maker.raw(r#","tool_meta":{"connector_id":"connector-tickets","resource_id":null}"#);
            end(maker);
            begin(maker, person, "APP_MCP_RESULT");
            maker.text("call_id", &call).text("name", "tickets.search").text("status", "success");
            maker.raw(r#","result_preview":"[{\"id\":2041,\"title\":\"Negative stock\"}, …""#);
        }
        1 => {
            begin(maker, person, "ACCESS_TOKEN_CREATED");
            let token = maker.name("tok-");
            maker.text("access_token_id", &token).text("access_token_name", "nightly count");
            maker.text("created_by_user_id", person.id).raw(",\"expires_at\":null");
        }
        2 => {
            begin(maker, person, "ENVIRONMENT_UPDATED");
            let environment = maker.name("env-");
            maker.text("environment_id", &environment);
            maker.raw(r#","environment_fields":{"label":"stock – staging","repos":["example/stock"],"env_var_keys":["STOCK_URL"],"cache_settings":{"enabled":true},"permissions":{"network_access":false}}"#);
        }
        3 => {
            begin(maker, &PEOPLE[11], "WORKSPACE_UPDATED");
            maker.raw(r#","previous_settings":{"default_model":"gpt-5.4","network_access":false},"current_settings":{"default_model":"gpt-5.5-codex","network_access":false}"#);
        }
        _ => {
            begin(maker, person, "TOOL_DECISION");
            maker.text("call_id", &call).text("tool_name", "shell").text("decision", "denied");
        }
    }
    end(maker);
}

/// Administration of security scans.
pub(super) fn security(maker: &mut Maker) {
    let person = maker.person();
    let (finding, scan) = (maker.name("fnd-"), maker.name("scancfg-"));
    match maker.below(6) {
        0 => {
            begin(maker, person, "SCAN_CONFIGURATION_CREATED");
            maker.text("scan_configuration_id", &scan);
            maker.raw(r#","scan_configuration_fields":{"scan_type":"continuous","repo_url":"https://git.example.com/stock/service","state":"active","lookback_days":30,"notification_rules_created_count":1}"#);
        }
        1 => {
            begin(maker, person, "SCAN_CONFIGURATION_UPDATED");
            maker.text("scan_configuration_id", &scan);
            maker.raw(r#","updated_fields":{"state":"paused","project_overview":{"project_overview_updated":true,"project_overview_length":812}}"#);
        }
        2 => {
            begin(maker, person, "PROPOSED_PATCH_PR_CREATED");
            maker.text("finding_id", &finding).raw(",\"pr_url\":");
            if maker.one_in(3) {
                maker.raw("null");
            } else {
                let number = maker.below(4000);
                maker.raw("\"https://git.example.com/stock/service/pull/").digits(number).raw("\"");
            }
        }
        _ => {
            begin(maker, person, "SCAN_FINDING_UPDATED");
            let status = maker.pick(&["open", "assigned", "resolved", "dismissed"]);
            let criticality = maker.pick(&["low", "medium", "high", "critical"]);
            maker
                .text("finding_id", &finding)
                .raw(",\"updated_fields\":{\"status\":\"")
                .raw(status)
                .raw("\"");
            maker.text("assignee_user_email", "lena.brandt@example.com").text("criticality", criticality);
            let length = maker.below(300);
            maker
                .raw(",\"criticality_reason\":\"")
                .prose(length)
                .raw("\",\"criticality_reason_updated\":true}");
        }
    }
    end(maker);
}
