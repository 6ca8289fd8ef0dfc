//! The table of categories, targets and outcomes, row by row.

use super::*;

/// What is expected: event type, line, category, target (kind, id, name, email), outcome.
type Row<'a> = (&'a str, String, &'a str, [&'a str; 4], &'a str);

fn check(rows: &[Row<'_>]) {
    for (event_type, line, category, target, result) in rows {
        let record = native(event_type, line);
        let seen = |path: &str| text_at(&record, path).unwrap_or_default();
        assert_eq!(seen("category"), *category, "{event_type} {line}");
        let of = ["kind", "id", "name", "email"].map(|key| seen(&format!("target.{key}")));
        assert_eq!(of, target.map(str::to_owned), "{event_type} {line}");
        assert_eq!(seen("outcome.result"), *result, "{event_type} {line}");
    }
}

fn details(action: &str, rest: &str) -> String {
    format!(r#"{{"event_type":"{action}","workspace_id":"w-1","event_details":{{{rest}}}}}"#)
}

const NONE: [&str; 4] = [""; 4];

#[test]
fn prompts_responses_and_tools() {
    let row = |action: &str, rest: &str, category, result| -> Vec<Row<'_>> {
        ["CODEX_LOG", "CHATGPT_PLUGIN_SPREADSHEET"]
            .map(|event_type| (event_type, details(action, rest), category, NONE, result))
            .to_vec()
    };
    let rows = [
        row("PROMPT_SENT", r#""prompt_text":"x""#, "prompt", ""),
        row("PROMPT_SENT", r#""status":"success""#, "prompt", "success"),
        row("PROMPT_RESPONSE_RECEIVED", r#""status":"completed""#, "response", "success"),
        row("PROMPT_RESPONSE_RECEIVED", r#""status":"error""#, "response", "failure"),
        row("PROMPT_RESPONSE_RECEIVED", r#""status":"strange""#, "response", "unknown"),
        row("PROMPT_RESPONSE_RECEIVED", r#""status":"""#, "response", ""),
        row("PROMPT_RESPONSE_RECEIVED", r#""status":null,"error_code":"e""#, "response", "failure"),
        row("PROMPT_RESPONSE_RECEIVED", r#""error_message":"no""#, "response", "failure"),
        row("TOOL_CALL_SUGGESTED", "", "tool", ""),
        row("TOOL_CALL_COMPLETED", "", "tool", "success"),
        row("TOOL_CALL_COMPLETED", r#""status":"failed""#, "tool", "failure"),
        row("TOOL_CALL_FAILED", r#""status":"completed""#, "tool", "failure"),
        row("TOOL_CALL_RENAMED", "", "tool", ""),
        row("TOOL_DECISION", r#""decision":"approved""#, "tool", "success"),
        row("TOOL_DECISION", r#""decision":"approved_for_session""#, "tool", "success"),
        row("TOOL_DECISION", r#""decision":"denied""#, "tool", "failure"),
        row("TOOL_DECISION", r#""decision":"denied_with_network_policy_deny""#, "tool", "failure"),
        row("TOOL_DECISION", r#""decision":"timed_out""#, "tool", "failure"),
        row("TOOL_DECISION", r#""decision":"abort""#, "tool", "failure"),
        row("TOOL_DECISION", r#""decision":"asked_again""#, "tool", "unknown"),
        row("APP_MCP_CALL", "", "tool", ""),
        row("APP_MCP_RESULT", r#""status":"success""#, "tool", "success"),
        row("APP_MCP_ELICITATION", r#""decision":"denied""#, "tool", "failure"),
        row("DREAM_SHARED", r#""status":"completed""#, "other", "success"),
        row("TOOL_DECISIONS", "", "other", ""),
        row("WORKSPACE_UPDATED_TWICE", "", "other", ""),
    ];
    check(&rows.concat());
    let failed = r#"{"event_type":"TOOL_CALL_FAILED","event_details":null}"#.to_owned();
    check(&[("CODEX_LOG", failed, "tool", NONE, "failure")]);
}

#[test]
fn administration_of_codex() {
    let row = |action: &str, rest: &str, target, result| -> Row<'_> {
        ("CODEX_LOG", details(action, rest), "admin", target, result)
    };
    let token = r#""access_token_id":"at","access_token_name":"n""#;
    let environment = r#""environment_id":"e","environment_fields":{"label":"n"}"#;
    let plugin = r#""plugin_id":"p","plugin_name":"n","plugin_display_name":"N""#;
    let site = r#""project_id":"pr","slug":"s""#;
    let (a, p, s) = (["access_token", "at", "n", ""], ["plugin", "p", "n", ""], ["site", "pr", "s", ""]);
    check(&[
        row("ACCESS_TOKEN_CREATED", token, a, ""),
        row("ACCESS_TOKEN_REVOKED", token, a, ""),
        row("ENVIRONMENT_CREATED", environment, ["environment", "e", "n", ""], ""),
        row("ENVIRONMENT_UPDATED", environment, ["environment", "e", "n", ""], ""),
        row("ENVIRONMENT_DELETED", r#""environment_id":"e""#, ["environment", "e", "", ""], ""),
        row("PLUGIN_CREATED", plugin, p, ""),
        row("PLUGIN_DELETED", plugin, p, ""),
        row("PLUGIN_INSTALLED", plugin, p, ""),
        row("PLUGIN_UNINSTALLED", plugin, p, ""),
        row("SITE_PROJECT_CREATED", site, s, ""),
        row("SITE_PROJECT_DELETED", site, s, ""),
        row("SITE_VERSION_CREATED", r#""project_id":"pr""#, ["site", "pr", "", ""], ""),
        row("SITE_DEPLOYMENT_STARTED", site, s, ""),
        row(
            "SITE_DEPLOYMENT_COMPLETED",
            r#""project_id":"pr","status":"failed""#,
            ["site", "pr", "", ""],
            "failure",
        ),
        row("WORKSPACE_UPDATED", "", ["workspace", "w-1", "", ""], ""),
    ]);
    let bare = r#"{"event_type":"WORKSPACE_UPDATED","workspace_id":"w-1"}"#.to_owned();
    check(&[("CODEX_LOG", bare, "admin", ["workspace", "w-1", "", ""], "")]);
}

#[test]
fn security_and_agents() {
    let security = |action: &str, category, target| -> Row<'_> {
        let line = details(action, r#""scan_configuration_id":"sc","finding_id":"fi","status":"failed""#);
        ("CODEX_SECURITY_LOG", line, category, target, "")
    };
    let agents = |action: &str, category, result| -> Row<'_> {
        let target = ["agent", "agt", "", ""];
        ("CUSTOM_AGENTS_LOG", details(action, r#""agent_id":"agt""#), category, target, result)
    };
    check(&[
        security("SCAN_CONFIGURATION_CREATED", "admin", ["scan_configuration", "sc", "", ""]),
        security("SCAN_CONFIGURATION_UPDATED", "admin", ["scan_configuration", "sc", "", ""]),
        security("SCAN_FINDING_UPDATED", "finding", ["finding", "fi", "", ""]),
        security("PROPOSED_PATCH_PR_CREATED", "finding", ["finding", "fi", "", ""]),
        security("SCAN_STARTED", "other", NONE),
        agents("AGENT_CREATED", "admin", ""),
        agents("AGENT_DELETED", "admin", ""),
        agents("AGENT_PUBLISHED", "admin", ""),
        agents("AGENT_UPDATED", "admin", ""),
        agents("TRIGGER_DELETED", "admin", ""),
        agents("CONNECTOR_CALL_REQUESTED", "tool", ""),
        agents("CONNECTOR_CALL_COMPLETED", "tool", "success"),
        agents("CONNECTOR_OAUTH_RESOLVED", "tool", ""),
        agents("AGENT_RUN_CREATED", "agent", ""),
        agents("AGENT_RUN_COMPLETED", "agent", "success"),
        agents("AGENT_RUN_FAILED", "agent", "failure"),
        agents("MEMORY_WRITE", "agent", ""),
        agents("SKILL_USED", "agent", ""),
    ]);
}

#[test]
fn sign_ins() {
    let row = |action: &str, result| -> Row<'_> {
        ("AUTH_LOG", format!(r#"{{"action_data":{{"action":"{action}"}}}}"#), "auth", NONE, result)
    };
    check(&[
        row("login_success", "success"),
        row("native_login_success", "success"),
        row("signup_success", "success"),
        row("logout_success", "success"),
        row("token_issued", "success"),
        row("token_revoked", "success"),
        row("password_reset_initiated", "success"),
        row("password_reset_admin", "success"),
        row("password_login_sentinel_challenge", "success"),
        row("password_reset_error", "failure"),
        row("password_login_invalid_password", "failure"),
        row("password_login_sentinel_blocked", "failure"),
        row("login_failed", "failure"),
        row("login_failure", "failure"),
        row("failed_login", "failure"),
        ("AUTH_LOG", r#"{"action":"login_failed"}"#.to_owned(), "auth", NONE, "failure"),
        ("AUTH_LOG", r#"{"action_data":null}"#.to_owned(), "auth", NONE, ""),
    ]);
}

#[test]
fn audits_and_apps() {
    let audit = |action: &str, result: &str, data: &str| {
        format!(r#"{{"action":"{action}","action_result":"{result}","action_data":{data}}}"#)
    };
    let invite = r#"{"role":"r","invite_id":"i","account_id":"a","name":"n","email":"e@example.com"}"#;
    let app = |rest: &str| format!(r#"{{"app_id":"a","app_name":"n"{rest}}}"#);
    let wiki = ["app", "a", "n", ""];
    check(&[
        (
            "AUDIT_LOG",
            audit("INVITE_CREATE", "SUCCESS", invite),
            "admin",
            ["invite", "i", "n", "e@example.com"],
            "success",
        ),
        ("AUDIT_LOG", audit("USER_DELETE", "BLOCKED", "null"), "admin", ["user", "", "", ""], "failure"),
        (
            "AUDIT_LOG",
            audit("USER_DELETE", "ERROR", r#"{"a_id":5,"b_id":"","c_id":"c"}"#),
            "admin",
            ["user", "c", "", ""],
            "failure",
        ),
        ("AUDIT_LOG", audit("X", "PARTIAL", "{}"), "admin", ["x", "", "", ""], "unknown"),
        ("AUDIT_LOG", "{}".to_owned(), "admin", NONE, ""),
        ("APP_AUTH_LOG", app(r#","action":"link""#), "admin", wiki, ""),
        ("APP_LOG", app(r#","log_type":"request""#), "app", wiki, ""),
        ("APP_LOG", app(r#","log_type":"response""#), "app", wiki, ""),
        ("APP_LOG", app(r#","log_type":"error""#), "app", wiki, "failure"),
    ]);
}

#[test]
fn conversations_usage_and_the_rest() {
    let message = |author: &str| {
        format!(r#"{{"message":{{"author":{{"type":"{author}"}},"content":{{"value":"text"}}}}}}"#)
    };
    let empty = || "{}".to_owned();
    let own =
        r#"{"action":"KEY_CHANGED","target":{"kind":"key","id":"k","name":"n","email":"e"}}"#.to_owned();
    check(&[
        ("CONVERSATION_MESSAGE", message("user"), "prompt", NONE, ""),
        ("CONVERSATION_MESSAGE", message("assistant"), "response", NONE, ""),
        ("CONVERSATION_MESSAGE", message("critic"), "conversation", NONE, ""),
        ("CONVERSATION_MESSAGE", empty(), "conversation", NONE, ""),
        ("COSTS", empty(), "usage", NONE, ""),
        ("CODEX_TURN", empty(), "usage", NONE, ""),
        ("CODEX_ANALYTICS", empty(), "usage", NONE, ""),
        ("CHATGPT_USER_ANALYTICS", empty(), "usage", NONE, ""),
        ("CHATGPT_SURVEY_ANALYTICS", empty(), "usage", NONE, ""),
        ("CUSTODEX_LOG", own, "admin", ["key", "k", "n", "e"], ""),
        ("HOLOGRAM_LOG", empty(), "other", NONE, ""),
        ("CHATGPT_SOMETHING", empty(), "other", NONE, ""),
        ("CODEX_LOG", "no JSON".to_owned(), "malformed", NONE, ""),
        ("COSTS", "[]".to_owned(), "malformed", NONE, ""),
    ]);
    let user = native("CONVERSATION_MESSAGE", &message("user"));
    assert_eq!(text_at(&user, "prompt_text").as_deref(), Some("text"));
    let assistant = native("CONVERSATION_MESSAGE", &message("assistant"));
    assert_eq!(text_at(&assistant, "response_text").as_deref(), Some("text"));
    assert_eq!(text_at(&native("CONVERSATION_MESSAGE", &message("critic")), "response_text"), None);
}
