//! What a rule takes out is in nothing that leaves: outputs, messages, events, objects, dead letters, the log,
//! the status, the ledger.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::archive::is_own;
use crate::hec::receiver::{Receiver, TOKEN, Ways};
use crate::support::{Place, Simulator, TYPES, output_bytes, shared};

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

/// Every text of a record, with a canary of its own in it; the envelope only where it is said.
fn plant(value: &mut Value, key: &str, envelope: bool, number: &mut u32) {
    match value {
        Value::String(text) => {
            let fixed = ["type", "event_type", "action", "log_type", "timestamp", "event_id"].contains(&key);
            if envelope || !fixed {
                *number += 1;
                *text = format!("{text} {number}.{CANARY}");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| plant(item, "", envelope, number)),
        Value::Object(members) => {
            for (key, value) in members.iter_mut() {
                plant(value, key, envelope, number);
            }
        }
        _ => {}
    }
}

/// Records of each event type, as the simulator makes them and as they lie beside the project, with canaries.
fn canaries(folder: &Path) -> u32 {
    let simulator = Simulator::start(&["--days", "2", "--files-per-day", "2", "--records-per-file", "10"]);
    let place = Place::new(&simulator, &simulator.sources_with(TYPES), "format = \"raw\"");
    place.run_to(&["run", "--once"], 0);
    let mut lines = String::from_utf8(output_bytes(&place.output())).unwrap();
    for path in shared("samples/compliance").iter().flat_map(|folder| fs::read_dir(folder).unwrap()) {
        let path = path.unwrap().path();
        if path.extension().is_some_and(|end| end == "jsonl") {
            lines.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    let mut number = 0;
    for line in lines.lines() {
        let Ok(record @ Value::Object(_)) = serde_json::from_str::<Value>(line) else { continue };
        let Some(event_type) = record["type"].as_str().filter(|name| TYPES.contains(name)) else { continue };
        let path = folder.join(format!("{event_type}.jsonl"));
        let mut planted = fs::read_to_string(&path).unwrap_or_default();
        for envelope in [false, true] {
            let mut record = record.clone();
            plant(&mut record, "", envelope, &mut number);
            planted += &record.to_string();
            planted.push('\n');
        }
        fs::write(&path, planted).unwrap();
    }
    number
}

/// Takes lines for as long as somebody connects.
fn collector() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let taken = Arc::new(Mutex::new(Vec::new()));
    let keep = taken.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut window) = (stream.unwrap(), vec![0; 65536]);
            while let Ok(count @ 1..) = stream.read(&mut window) {
                keep.lock().unwrap().extend_from_slice(&window[..count]);
            }
        }
    });
    (address, taken)
}

/// Every file below a folder but the spool, with its name; objects unpacked.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("data/spool") {
                all.extend(files(&path));
            }
        } else if let Ok(bytes) = fs::read(&path) {
            let packed = path.extension().is_some_and(|end| end == "zst");
            let bytes = if packed { zstd::decode_all(bytes.as_slice()).unwrap() } else { bytes };
            all.push((path, bytes));
        }
    }
    all
}

fn is_there(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

/// The word by which the collector knows what it will not have.
const POISON: &str = "POISONED";

/// Keys of the file sink, and other sinks; all of them mask mail addresses.
fn masking(place: &Place, receiver: &Receiver, address: &str) -> String {
    let beside = |name: &str| place.config().with_file_name(name);
    let mask = "redact = [{ action = 'mask', patterns = ['email'] }]";
    let archive = |format: &str| {
        let folder = beside(format).to_str().unwrap().to_owned();
        format!("[sinks.{format}]\ntype = 'directory'\ndirectory = {folder:?}\nformat = '{format}'\n{mask}")
    };
    let (collector, token) = (receiver.address, beside("token").to_str().unwrap().to_owned());
    [
        mask.to_owned(),
        format!("[sinks.splunk]\ntype = 'splunk_hec'\nurl = 'http://{collector}'\ntoken = {{ file = {token:?} }}\n{mask}"),
        format!("[sinks.line]\ntype = 'syslog'\naddress = 'tcp://{address}'\nframing = 'newline'\nformat = 'cef'\n{mask}"),
        archive("native"),
        archive("ecs"),
    ]
    .join("\n")
}

#[test]
fn canaries_in_every_field_of_every_record_get_through_no_masking_sink() {
    let folder = tempfile::tempdir().unwrap();
    assert!(canaries(folder.path()) > 5000);
    let codex = folder.path().join("CODEX_LOG.jsonl");
    let bad = format!(
        r#"{{"event_id":"bad {CANARY}","type":"CODEX_LOG","event_type":"PROMPT_SENT","actor":{{"user_email":"{CANARY}"}},"event_details":{{"prompt_text":"{POISON} {CANARY}"}}}}"#
    );
    fs::write(&codex, format!("{bad}\n{}", fs::read_to_string(&codex).unwrap())).unwrap();
    let simulator = Simulator::start(&["--records-from", folder.path().to_str().unwrap()]);
    let poison = Some((POISON, 6));
    let receiver = Receiver::start(Ways { poison, echo: true, number: true, ..Ways::default() });
    let (address, messages) = collector();
    let place = Place::new(&simulator, &simulator.sources_with(TYPES), "");
    fs::write(place.config().with_file_name("token"), TOKEN).unwrap();
    let sinks = masking(&place, &receiver, &address);
    place.configure(&simulator.sources_with(TYPES), &sinks);
    let run = place.command(&["run", "--once"]).env("CUSTODEX_LOG", "trace").output().unwrap();
    let log = run.stderr;
    assert_eq!(run.status.code(), Some(3), "a dead letter needs attention");
    assert!(is_there(&log, "kept as a dead letter"));
    let letters = place.run_to(&["dead-letters"], 0).stdout;
    assert!(is_there(&letters, "400 code 6"), "{}", String::from_utf8_lossy(&letters));
    let kept = fs::read_dir(place.data().join("dead-letters")).unwrap();
    let kept: Vec<String> = kept.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    assert!(kept.len() == 1 && kept[0].contains(&format!("{POISON} [redacted:email]")), "{kept:?}");
    // Mended, it goes out as any other.
    receiver.known().ways.poison = None;
    place.run_to(&["dead-letters", "--retry"], 0);
    place.run_to(&["run", "--once"], 0);
    assert_eq!(fs::read_dir(place.data().join("dead-letters")).unwrap().count(), 0);
    let status = place.status();
    let of = |name: &str| {
        status["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == name).unwrap().clone()
    };
    let all = of("out")["records_delivered"].clone();
    assert!(all.as_u64() > Some(500), "{all}");
    assert_eq!((&of("splunk")["records_delivered"], &of("splunk")["dead_letters"]), (&all, &0.into()));
    assert_eq!(of("line")["records_delivered"], all);
    let events = receiver.known().envelopes.clone();
    let poisoned: Vec<_> = events.iter().filter(|event| event.to_string().contains(POISON)).collect();
    assert_eq!(poisoned.len(), 1);
    assert_eq!(poisoned[0]["event"]["prompt_text"], format!("{POISON} [redacted:email]"));
    assert_eq!(poisoned[0]["event"]["id"], poisoned[0]["fields"]["id"]);
    let messages = messages.lock().unwrap().clone();
    assert!(is_there(&messages, "[redacted:email]") && is_there(&log, "TRACE"));
    let told = |arguments: &[&str]| place.run_to(arguments, 0).stdout;
    let mut ways_out: Vec<(PathBuf, Vec<u8>)> = files(place.config().parent().unwrap());
    let archived = ways_out.iter().filter(|(path, _)| {
        path.extension().is_some_and(|end| end == "zst") && !is_own(path.to_str().unwrap())
    });
    assert!(
        archived.clone().count() > 10
            && archived.clone().all(|(_, bytes)| is_there(bytes, "[redacted:email]"))
    );
    ways_out.extend([
        ("log".into(), log.clone()),
        ("events".into(), Value::from(events).to_string().into_bytes()),
        ("messages".into(), messages),
        ("dead letters".into(), letters),
        ("dead letter".into(), kept.concat().into_bytes()),
        ("status".into(), told(&["status"])),
        ("status as JSON".into(), told(&["status", "--json"])),
        ("verify".into(), place.run(&["verify", "--from", "native"]).stderr),
    ]);
    for (what, bytes) in ways_out {
        assert!(!is_there(&bytes, "canary.7f3b9c"), "content in {}", what.display());
        assert!(!what.to_string_lossy().contains("canary"), "{}", what.display());
    }
    assert!(!is_there(&log, POISON), "content in the log");
}

#[test]
fn a_key_that_is_missing_is_told_where_it_stands_by_every_command() {
    let simulator = Simulator::start(&["--days", "1", "--files-per-day", "1", "--records-per-file", "1"]);
    let rule = "redact = [{ field = 'actor.email', action = 'hmac', key = { env = 'REDACTION_KEY' } }]";
    let place = Place::new(&simulator, &simulator.sources, rule);
    let input = place.config().with_file_name("input.jsonl");
    fs::write(&input, "{}\n").unwrap();
    let preview = ["preview", "--sink", "out", "--input", input.to_str().unwrap()];
    for arguments in
        [&preview[..], &["check", "--offline"], &["check", "--send-test", "out"], &["run", "--once"]]
    {
        let said = String::from_utf8(place.run_to(arguments, 78).stderr).unwrap();
        assert!(said.contains("config.toml:") && said.contains("key = { env = 'REDACTION_KEY' }"), "{said}");
        assert!(said.contains("REDACTION_KEY is not set") && said.contains("help: "), "{said}");
    }
    // The key of another sink is nothing to a preview of this one.
    place.configure(&simulator.sources, &format!("[sinks.other]\ntype = \"stdout\"\n{rule}"));
    place.run_to(&preview, 0);
}

#[test]
fn keys_that_others_may_read_are_named() {
    let simulator = Simulator::start(&["--days", "1", "--files-per-day", "1", "--records-per-file", "1"]);
    let place = Place::new(&simulator, &simulator.sources, "");
    let beside = |name: &str| place.config().with_file_name(name);
    let pem = custodex::archive::SigningKey::generate().unwrap().1;
    fs::write(beside("signing"), pem.lines().nth(1).unwrap()).unwrap();
    fs::write(beside("hmac"), "a key of thirty-two characters !!").unwrap();
    let keys = format!(
        "redact = [{{ field = 'actor.email', action = 'hmac', key = {{ file = {:?} }} }}]\n\n[custody]\nsigning_key = {{ file = {:?} }}",
        beside("hmac"),
        beside("signing")
    );
    place.configure(&simulator.sources, &keys);
    for (mode, warned) in [(0o644, 1), (0o600, 0)] {
        for name in ["hmac", "signing"] {
            fs::set_permissions(beside(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let said = String::from_utf8(place.run_to(&["check", "--offline"], 0).stderr).unwrap();
        for name in ["hmac", "signing"] {
            assert_eq!(
                said.matches(&format!("chmod 600 {}", beside(name).display())).count(),
                warned,
                "{said}"
            );
        }
    }
    fs::remove_file(beside("signing")).unwrap();
    let said = String::from_utf8(place.run_to(&["check", "--offline"], 78).stderr).unwrap();
    assert!(said.contains("signing_key = {") && said.contains("does not exist"), "{said}");
}
