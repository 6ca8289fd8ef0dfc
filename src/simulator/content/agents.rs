//! `CUSTOM_AGENTS_LOG` as whole runs of an agent.

use super::Maker;
use super::people::Person;
use crate::simulator::WORKSPACE;

/// One run: created, some calls and messages, completed or failed.
pub(super) fn run(maker: &mut Maker) {
    let person = maker.person();
    let run = maker.name("thread_");
    begin(maker, None, person, "AGENT_RUN_CREATED", &run);
    maker.raw(r#","invoker":{"type":"chatgpt","is_shared_invocation":true,"user_message_text":""#);
    let length = maker.length(200);
    maker.prose(length).raw("\"}}");
    maker.close();
    for _ in 0..maker.below(4) {
        let call = maker.name("call-");
        begin(maker, Some(&run), person, "CONNECTOR_CALL_REQUESTED", &run);
        maker.text("tool_call_id", &call).text("connector_id", "connector-orders");
        maker.text("connector_name", "Orders").text("action_name", "read").raw("}");
        maker.close();
        begin(maker, Some(&run), person, "CONNECTOR_CALL_COMPLETED", &run);
        maker.text("tool_call_id", &call).text("connector_id", "connector-orders").raw("}");
        maker.close();
    }
    begin(maker, Some(&run), person, "AGENT_RUN_MESSAGE", &run);
    let (message, length) = (maker.name("msg-"), maker.length(600));
    maker.text("message_id", &message).text("phase", "final").raw(",\"text\":\"").prose(length).raw("\"}");
    maker.close();
    if maker.one_in(3) {
        begin(maker, Some(&run), person, "MEMORY_WRITE", &run);
        maker.text("memory_path", "shelves/größe.md").text("access_method", "update").raw("}");
        maker.close();
    }
    if maker.one_in(10) {
        begin(maker, Some(&run), person, "AGENT_RUN_FAILED", &run);
        maker.text("failure_message", "orders.example.com did not answer").raw("}");
    } else {
        begin(maker, Some(&run), person, "AGENT_RUN_COMPLETED", &run);
        maker.raw("}");
    }
    maker.close();
}

fn begin(maker: &mut Maker, as_agent: Option<&str>, person: &Person, action: &str, run: &str) {
    maker.open(|maker| match as_agent {
        None => maker.user(person),
        Some(run) => {
            maker.raw(r#"{"type":"AGENT","product_type":"COLLAB_AGENT","name":"Order desk","product_id":"agt-orders","id":"harness-"#);
            maker.raw(&run[7..]).raw("\",\"agent_runtime\":{\"id\":\"rt-orders\",\"delegator\":");
            maker.user(person);
            maker.raw("}}");
        }
    });
    maker.text("event_type", action).text("client_id", "CHATGPT_WEB").text("workspace_id", WORKSPACE);
    maker.raw(",\"event_details\":{\"detail_type\":\"").raw(action).raw("\"");
    maker.text("agent_id", "agt-orders").text("version_id", "agtver-3").text("run_id", run);
}
