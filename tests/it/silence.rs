//! What people wrote, and the key, are in the output and in nothing else.

use std::fs;

use crate::support::{Place, Simulator, output_bytes};

const CANARY: &str = "canary-7f3b9c";

#[test]
fn content_and_key_are_never_told() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        format!(r#"{{"event_id":"1","type":"CODEX_LOG","event_details":{{"prompt_text":"{CANARY} a"}}}}"#),
        format!(r#"{{"event_id":"2","type":"CODEX_LOG","timestamp":"{CANARY}","actor":"{CANARY}"}}"#),
        format!("{CANARY} is no JSON"),
        format!(r#"{{"event_id":"3","{CANARY}":1,"{CANARY}":2}}"#),
    ];
    fs::write(folder.path().join("CODEX_LOG.jsonl"), lines.join("\n")).unwrap();
    let simulator = Simulator::start(&["--records-from", folder.path().to_str().unwrap()]);
    let place = Place::new(&simulator, &simulator.sources, "");
    let run = place.command(&["run", "--once"]).env("CUSTODEX_LOG", "trace").output().unwrap();
    assert_eq!(run.status.code(), Some(0));
    assert_eq!(String::from_utf8(output_bytes(&place.output())).unwrap().matches(CANARY).count(), 6);
    let ledger = fs::read(place.data().join("ledger.db")).unwrap();
    let status = place.run_to(&["status", "--json"], 0).stdout;
    for (what, bytes) in
        [("log", run.stderr), ("ledger", ledger), ("status", status), ("standard output", run.stdout)]
    {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(CANARY), "content in the {what}");
        assert!(!text.contains(simulator.key()), "the key in the {what}");
    }
}
