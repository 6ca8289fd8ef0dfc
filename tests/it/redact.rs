//! What a rule takes out is in nothing that leaves: the output, a syslog message, the log, the status.

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use crate::support::{Place, Simulator, output_bytes};

const CANARY: &str = "canary.7f3b9c@example.com";

#[test]
fn what_is_taken_out_leaves_by_no_way() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        format!(
            r#"{{"event_id":"1","type":"CODEX_LOG","event_type":"PROMPT_SENT {CANARY}","actor":{{"user_email":"{CANARY}"}},"event_details":{{"prompt_text":"I am {CANARY}"}}}}"#
        ),
        format!("{CANARY} is no JSON"),
        r#"{"event_id":"2","type":"CODEX_LOG","event_type":"PROMPT_SENT"}"#.to_owned(),
    ];
    fs::write(folder.path().join("CODEX_LOG.jsonl"), lines.join("\n")).unwrap();
    let simulator = Simulator::start(&["--records-from", folder.path().to_str().unwrap()]);
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let rule = "redact = [{ field = 'actor.email', action = 'hmac', key = { env = 'REDACTION_KEY' } }]\nselect = { categories = ['prompt', 'malformed', 'other'], actions = ['PROMPT_SENT'] }";
    let mask = "redact = [{ action = 'mask' }]";
    let address = receiver.local_addr().unwrap();
    let sink =
        format!("{rule}\n[sinks.collector]\ntype = \"syslog\"\naddress = \"udp://{address}\"\n{mask}\n");
    let place = Place::new(&simulator, &simulator.sources, &sink);
    let key = "a key of thirty-two characters !!";
    let run = place
        .command(&["run", "--once"])
        .env("CUSTODEX_LOG", "trace")
        .env("REDACTION_KEY", key)
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    let status = place.run_to(&["status", "--json"], 0).stdout;
    let told: serde_json::Value = serde_json::from_slice(&status).unwrap();
    let sinks = told["sinks"].as_array().unwrap();
    let of = |name: &str| sinks.iter().find(|sink| sink["name"] == name).unwrap().clone();
    assert_eq!((&of("out")["records_delivered"], &of("out")["deselected"]), (&1.into(), &2.into()));
    let again = place.command(&["run", "--once"]).env("REDACTION_KEY", key).output().unwrap();
    assert_eq!(again.status.code(), Some(0));
    assert_eq!(
        place.status()["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == "out").unwrap()["deselected"],
        2
    );
    let mut sent = Vec::new();
    for _ in 0..3 {
        let mut message = [0; 4096];
        let length = receiver.recv(&mut message).unwrap();
        sent.extend_from_slice(&message[..length]);
    }
    let output = output_bytes(&place.output());
    for (what, bytes) in [("output", output), ("message", sent), ("log", run.stderr), ("status", status)] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("canary.7f3b9c"), "content in the {what}: {text}");
        assert!(!text.contains(key), "the key in the {what}");
    }
}
