//! `content = "metadata"`: no free text of any kind gets out, and what names somebody or something does.

use super::*;

const METADATA: Options = Options { content: Content::Metadata, include_raw: true, ..FULL };

const FREE: &str = "CANARY free text";

#[test]
fn no_free_text_survives() {
    let codex = |action: &str| {
        format!(
            r#"{{"event_id":"e","event_type":"{action}","note":"{FREE}","{FREE}":1,"{FREE}":2,"actor":{{"type":"AGENT",
            "id":"keep-agent","agent_runtime":{{"delegator":{{"type":"ACCOUNT_USER","user_id":"keep-user","{FREE}":1,
            "note":"{FREE}","user_email":{{"x":"{FREE}"}}}}}}}},"event_details":{{"session_id":"keep-session",
            "prompt_text":"{FREE}","response_text":"{FREE}","tool_name":"keep-tool","name":"keep-tool",
            "tool_input":"{FREE}","arguments":{{"q":"{FREE}"}},"result_preview":"{FREE}","error_code":"keep-code",
            "error_message":"{FREE}","extra":["{FREE}"],"{FREE}":1,"{FREE}":2}}}}"#
        )
        .replace('\n', "")
    };
    let message = |author: &str| {
        format!(
            r#"{{"event_id":"e","message":{{"id":"keep","author":{{"type":"{author}"}},"content":{{"value":"{FREE}","quote":"{FREE}"}}}},
            "conversation":{{"id":"keep","title":"{FREE}"}}}}"#
        )
        .replace('\n', "")
    };
    let app = format!(
        r#"{{"log_type":"request","app_name":"keep-app","input":{{"q":"{FREE}"}},"output":["{FREE}"]}}"#
    );
    let mut lines: Vec<(&str, String)> = [
        "PROMPT_SENT",
        "PROMPT_RESPONSE_RECEIVED",
        "TOOL_CALL_FAILED",
        "APP_MCP_RESULT",
        "SITE_PROJECT_CREATED",
    ]
    .map(|action| ("CODEX_LOG", codex(action)))
    .to_vec();
    lines.extend(["user", "assistant", "critic"].map(|author| ("CONVERSATION_MESSAGE", message(author))));
    lines.push(("APP_LOG", app));
    lines.push(("CODEX_LOG", format!("{FREE} that is no JSON")));
    lines.push(("HOLOGRAM_LOG", format!(r#"{{"event_type":"keep","x":"{FREE}"}}"#)));
    for (event_type, line) in lines {
        for format in [Format::Native, Format::Raw] {
            let record = encode(event_type, &line, Options { format, ..METADATA });
            assert!(!record.contains("CANARY"), "{record}");
            assert!(json::members(&record).is_some());
            let redacted = at(&record, "redacted").expect("what is left out is named");
            assert!(redacted.contains("\"raw\""), "{redacted}");
            if record.contains("\"malformed\"") {
                continue;
            }
            assert!(redacted.contains("\"unmapped\""), "{redacted}");
            assert!(record.contains("keep"), "{record}");
        }
        for options in schemas::MAPPED {
            let options = Options { content: Content::Metadata, include_raw: true, ..options };
            let record = encode(event_type, &line, options);
            schemas::check(options, &record).unwrap();
            assert!(!record.contains("CANARY"), "{record}");
            let path = if options.format == Format::Ecs { "openai.compliance" } else { "unmapped" };
            let native = at(&encode(event_type, &line, METADATA), "redacted");
            assert_eq!(at(&record, &format!("{path}.redacted")), native, "{record}");
        }
    }
}

#[test]
fn names_ids_and_figures_stay() {
    let line = r#"{"event_type":"TOOL_CALL_FAILED","event_details":{"session_id":"s","tool_name":"shell","tool_input":"x","token_usage":{"input_tokens":3}}}"#;
    let record = encode("CODEX_LOG", line, Options { include_raw: false, ..METADATA });
    assert_eq!(at(&record, "tool_calls").as_deref(), Some(r#"[{"name":"shell"}]"#));
    assert_eq!(at(&record, "usage.input").as_deref(), Some("3"));
    assert_eq!(at(&record, "redacted").as_deref(), Some(r#"["tool_calls.arguments"]"#));
    let bare =
        encode("CODEX_LOG", r#"{"event_type":"TOOL_DECISION","event_details":{"tool_input":"x"}}"#, METADATA);
    assert_eq!(at(&bare, "tool_calls"), None, "no empty call");
}

#[test]
fn samples_keep_nothing_long() {
    for (event_type, path) in samples() {
        let Ok(file) = std::fs::read(golden::folder().join(path)) else { continue };
        for record in encode_all(&origin(&event_type), &file, METADATA) {
            for key in ["prompt_text", "response_text", "unmapped", "raw", "outcome.message"] {
                assert_eq!(at(&record, key), None, "{record}");
            }
        }
    }
}
