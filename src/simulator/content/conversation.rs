//! `CONVERSATION_MESSAGE` and `CHATGPT_PLUGIN_SPREADSHEET`: questions and answers.

use super::Maker;
use crate::simulator::WORKSPACE;

const TITLES: [&str; 5] = ["Shelf plan", "Überblick 📦", "週報の下書き", "Say \\\"hello\\\"", ""];

/// A question and its answer in one conversation.
pub(super) fn exchange(maker: &mut Maker) {
    let person = maker.person();
    let conversation = maker.name("conv-");
    let title = maker.pick(&TITLES);
    let question = maker.name("msg-");
    for answer in [false, true] {
        maker.open(|maker| maker.user(person));
        let message = if answer { maker.name("msg-") } else { question.clone() };
        if answer {
            maker.text("previous_message_id", &question);
        }
        maker.raw(",\"message\":{\"id\":\"").raw(&message).raw("\",\"author\":");
        if answer {
            maker.raw(r#"{"type":"assistant","model":"gpt-5.5","tools_used":["browser"]}"#);
        } else {
            let client = maker.pick(&["web", "ios_app", "android_app", "desktop_app"]);
            maker.raw("{\"type\":\"user\",\"client_type\":\"").raw(client).raw("\"}");
        }
        let length = maker.length(if answer { 1500 } else { 400 });
        maker.raw(",\"content\":{\"type\":\"text\",\"value\":\"").prose(length).raw("\"}");
        if !answer && maker.one_in(9) {
            maker.raw(r#","files":[{"id":"file-9c2","name":"stock été.csv"}]"#);
        }
        maker.raw("},\"conversation\":{\"id\":\"").raw(&conversation).raw("\"").text("title", title);
        maker.raw(",\"is_pinned\":false,\"is_temporary_chat\":false}");
        maker.close();
    }
}

/// A prompt and its answer from a spreadsheet.
pub(super) fn spreadsheet(maker: &mut Maker) {
    let person = maker.person();
    let client = maker.pick(&["excel_addin", "sheets_addin"]);
    let session = maker.name("sheet-sess-");
    for (action, field) in [("PROMPT_SENT", "prompt_text"), ("PROMPT_RESPONSE_RECEIVED", "response_text")] {
        maker.open(|maker| maker.user(person));
        maker.text("event_type", action).text("client_id", client).text("workspace_id", WORKSPACE);
        maker.raw(",\"event_details\":{\"detail_type\":\"").raw(action).raw("\"");
        let length = maker.length(300);
        maker.text("session_id", &session).raw(",\"").raw(field).raw("\":\"").prose(length).raw("\"");
        maker.text("model", "gpt-5.4");
        if action == "PROMPT_RESPONSE_RECEIVED" {
            let (input, output) = (maker.below(4000) + 60, maker.below(900) + 10);
            maker.text("status", "completed");
            maker.raw(",\"token_usage\":{\"input_tokens\":").digits(input).number("output_tokens", output);
            maker.raw(",\"cached_input_tokens\":0,\"reasoning_output_tokens\":0}");
        }
        maker.raw("}");
        maker.close();
    }
}
