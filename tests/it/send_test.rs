//! `check --send-test`: what is shown is what arrives, and nothing else changes.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Place, Process, Simulator, output_bytes, pause};

fn small() -> Simulator {
    Simulator::start(&["--days", "2", "--files-per-day", "2", "--records-per-file", "10"])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What was shown, and what was said, of a test that exits with `code`.
fn send(place: &Place, sink: &str, code: i32) -> (String, String) {
    let output = place.run_to(&["check", "--send-test", sink], code);
    (text(&output.stdout), text(&output.stderr))
}

fn assert_marked(event: &Value) {
    assert_eq!((&event["event_type"], &event["action"]), (&"CUSTODEX_LOG".into(), &"TEST".into()), "{event}");
    assert_eq!(event["target"]["name"], "custodex");
    assert_eq!(event["unmapped"]["synthetic"], true);
    assert!(event["actor"]["email"].is_null() && event["warnings"].is_null(), "{event}");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_tailing_agent_sees_the_event_and_the_daemon_goes_on_behind_it() {
    let simulator = small();
    let place = Place::new(&simulator, &simulator.sources, "");
    let (_, said) = send(&place, "out", 78);
    assert!(said.contains("there is no ledger"), "{said}");
    place.run_to(&["run", "--once"], 0);
    let (before, status) = (output_bytes(&place.output()), place.status());
    let (shown, said) = send(&place, "out", 0);
    assert!(said.contains("durable: out acknowledged"), "{said}");
    assert_marked(&serde_json::from_str(&shown).unwrap());
    let behind = [before, shown.into_bytes()].concat();
    assert_eq!(output_bytes(&place.output()), behind);
    assert_eq!(place.status()["sinks"], status["sinks"], "no position moves, nothing is counted");
    send(&place, "nobody", 2);
    // Everything is collected anew and delivered behind the event.
    fs::remove_dir_all(place.data().join("spool")).unwrap();
    let ledger = rusqlite::Connection::open(place.data().join("ledger.db")).unwrap();
    let memory: Vec<u8> = ledger.query_row("SELECT memory FROM sink", [], |row| row.get(0)).unwrap();
    let empty = "DELETE FROM file; UPDATE sink SET sequence = 1, record = 0, delivered = 0;
                 UPDATE stream SET cursor = NULL, files_collected = 0, records_collected = 0";
    ledger.execute_batch(empty).unwrap();
    drop(ledger);
    assert!(text(&memory).contains(&format!("\"length\":{}", behind.len())), "{}", text(&memory));
    place.run_to(&["run", "--once", "--sweep"], 0);
    assert_eq!(names(&place.output()), ["custodex.jsonl"], "nothing is put aside");
    let after = output_bytes(&place.output());
    assert!(after.starts_with(&behind) && after.len() > behind.len());
}

#[test]
fn a_sink_that_is_new_begins_at_its_first_run_and_not_at_its_test() {
    let simulator = small();
    let place = Place::new(&simulator, &simulator.sources_with(&["CODEX_LOG"]), "");
    let configure = |types: &[&str], sink: &str| place.configure(&simulator.sources_with(types), sink);
    place.run_to(&["run", "--once"], 0);
    let folder = place.output().with_file_name("later");
    let later = format!(
        "[sinks.later]\ntype = \"file\"\ndirectory = {:?}\nstart = \"now\"\n",
        folder.to_str().unwrap()
    );
    configure(&["CODEX_LOG"], &later);
    let (shown, _) = send(&place, "later", 0);
    let sinks = place.status()["sinks"].as_array().unwrap().len();
    assert_eq!(sinks, 1, "it does not take part yet");
    // What is collected now lies before its first run.
    configure(&["CODEX_LOG", "AUTH_LOG"], "");
    place.run_to(&["run", "--once"], 0);
    configure(&["CODEX_LOG", "AUTH_LOG"], &later);
    place.run_to(&["run", "--once"], 0);
    let status = place.status();
    let row =
        status["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == "later").unwrap().clone();
    assert_eq!((&row["records_delivered"], &row["records_pending"]), (&0.into(), &0.into()), "{row:#}");
    configure(&["CODEX_LOG", "AUTH_LOG", "AUDIT_LOG"], &later);
    place.run_to(&["run", "--once"], 0);
    assert_eq!(names(&folder), ["custodex.jsonl"], "it goes on behind the event");
    let lines = text(&output_bytes(&folder));
    assert!(lines.starts_with(&shown) && lines.lines().count() > 10, "{}", lines.lines().count());
    assert!(lines.lines().skip(1).all(|line| line.contains("\"event_type\":\"AUDIT_LOG\"")));
}

#[test]
fn a_file_that_a_daemon_or_a_crash_has_in_hand_is_left_alone() {
    let simulator = small();
    let place = Place::new(&simulator, &simulator.sources, "");
    place.run_to(&["run", "--once"], 0);
    let active = place.output().join("custodex.jsonl");
    let settled = fs::read(&active).unwrap();
    let unconfirmed = [settled.as_slice(), b"{\"left\":\"by a crash\"}\n"].concat();
    fs::write(&active, &unconfirmed).unwrap();
    let (_, said) = send(&place, "out", 3);
    assert!(said.contains("a crash left unconfirmed") && said.contains("start custodex"), "{said}");
    assert_eq!(fs::read(&active).unwrap(), unconfirmed);
    fs::write(&active, &settled).unwrap();
    let _daemon = Process(place.command(&["run"]).stderr(Stdio::null()).spawn().unwrap());
    let up = |_| place.status()["running"] == true;
    assert!((0..500).any(up), "the daemon does not answer");
    let (shown, said) = send(&place, "out", 4);
    assert!(said.contains("stop custodex, send the test"), "{said}");
    assert_eq!((shown.as_str(), fs::read(&active).unwrap()), ("", settled));
}

fn syslog(simulator: &Simulator, address: &str, more: &str) -> Place {
    let sink =
        format!("\n[sinks.siem]\ntype = \"syslog\"\naddress = \"{address}\"\nhostname = \"h\"\n{more}\n");
    Place::new(simulator, &simulator.sources, &sink)
}

#[test]
fn a_syslog_message_is_shown_as_it_is_sent_but_for_its_framing() {
    let simulator = small();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let place = syslog(&simulator, &format!("udp://{}", socket.local_addr().unwrap()), "");
    let (shown, said) = send(&place, "siem", 0);
    assert!(said.contains("sent: siem got the test event; no answer exists"), "{said}");
    let mut datagram = vec![0; 65536];
    let length = socket.recv(&mut datagram).unwrap();
    assert_eq!(shown, format!("{}\n", text(&datagram[..length])));
    assert!(shown.starts_with("<134>1 2") && shown.contains(" h custodex - CUSTODEX_LOG - {"), "{shown}");
    assert_marked(&serde_json::from_str(&shown[shown.find('{').unwrap()..]).unwrap());
    for framing in ["octet_counted", "newline"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let place = syslog(&simulator, &address, &format!("framing = {framing:?}"));
        let received = thread::spawn(move || {
            let mut bytes = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut bytes).unwrap();
            text(&bytes)
        });
        let (shown, _) = send(&place, "siem", 0);
        let received = received.join().unwrap();
        let message = shown.trim_end();
        let framed = match framing {
            "newline" => shown.clone(),
            _ => format!("{} {message}", message.len()),
        };
        assert_eq!(received, framed);
    }
}

#[test]
fn a_relp_message_is_shown_and_answered() {
    let simulator = small();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = syslog(&simulator, &format!("relp://{}", listener.local_addr().unwrap()), "");
    let receiver = thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let offer = "200 OK\nrelp_version=0\ncommands=syslog";
        let mut lines = String::new();
        while !lines.contains("commands=syslog\n\n") {
            stream.read_line(&mut lines).unwrap();
        }
        writeln!(stream.get_mut(), "1 rsp {} {offer}", offer.len()).unwrap();
        let mut frame = String::new();
        stream.read_line(&mut frame).unwrap();
        stream.get_mut().write_all(b"2 rsp 6 200 OK\n").unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        (frame, rest)
    });
    let (shown, said) = send(&place, "siem", 0);
    let (frame, rest) = receiver.join().unwrap();
    let message = shown.trim_end();
    assert_eq!(frame, format!("2 syslog {} {shown}", message.len()));
    assert!(frame.starts_with("2 syslog ") && rest.starts_with("3 close 0"), "{frame}{rest}");
    assert!(said.contains("accepted: siem acknowledged the test event"), "{said}");
}

#[test]
fn standard_output_gets_it_once_and_a_receiver_that_is_gone_is_named() {
    let simulator = small();
    let nowhere = "[sinks.siem]\ntype = \"syslog\"\naddress = \"tcp://127.0.0.1:9\"";
    let sinks = format!("\n[sinks.shown]\ntype = \"stdout\"\nformat = \"raw\"\n{nowhere}\n");
    let place = Place::new(&simulator, &simulator.sources, &sinks);
    let (shown, _) = send(&place, "shown", 0);
    let event: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&event["type"], &event["synthetic"]), (&"CUSTODEX_LOG".into(), &true.into()));
    let (_, said) = send(&place, "siem", 3);
    assert!(said.contains("error: siem: tcp://127.0.0.1:9"), "{said}");
    assert!(!place.data().try_exists().unwrap(), "no data folder is made");
}

#[test]
fn a_directory_archive_keeps_its_probe_and_nothing_else() {
    let simulator = small();
    let place = Place::new(&simulator, &simulator.sources, "");
    let folder = place.data().with_file_name("archive");
    let sink = format!("\n[sinks.archive]\ntype = \"directory\"\ndirectory = {folder:?}\n");
    place.configure(&simulator.sources, &sink);
    for says in ["stored custodex-probe", "already has custodex-probe"] {
        let (shown, said) = send(&place, "archive", 0);
        assert!(said.contains("durable: archive") && said.contains(says), "{said}");
        assert_eq!(shown, fs::read_to_string(folder.join("custodex-probe")).unwrap());
        assert_eq!(names(&folder), ["custodex-probe"]);
    }
    fs::write(folder.join("custodex-probe"), "something else").unwrap();
    let (_, said) = send(&place, "archive", 3);
    assert!(said.contains("with other content") && said.contains("next step: "), "{said}");
    place.run_to(&["run", "--once"], 0);
}

#[test]
fn secrets_are_looked_at_before_anything_begins() {
    use std::os::unix::fs::PermissionsExt;
    let simulator = small();
    let place = Place::new(&simulator, &simulator.sources, "");
    let token = place.config().with_file_name("token");
    let sink = format!(
        "\n[sinks.splunk]\ntype = \"splunk_hec\"\nurl = \"http://127.0.0.1:9\"\ntoken = {{ file = {token:?} }}\n"
    );
    place.configure(&simulator.sources, &sink);
    for arguments in [&["run", "--once"][..], &["check", "--offline"]] {
        let said = text(&place.run_to(arguments, 78).stderr);
        assert!(said.contains("does not exist") && said.contains("token = {"), "{said}");
    }
    fs::write(&token, "abc").unwrap();
    for (mode, warned) in [(0o640, true), (0o600, false)] {
        fs::set_permissions(&token, fs::Permissions::from_mode(mode)).unwrap();
        let said = text(&place.run_to(&["check", "--offline"], 0).stderr);
        let next = format!("chmod 600 {}", token.display());
        assert_eq!(said.matches(&next).count(), usize::from(warned), "{said}");
    }
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let mut daemon = Process(place.command(&["run"]).stderr(Stdio::piped()).spawn().unwrap());
    let said = BufReader::new(daemon.0.stderr.take().unwrap());
    let line = said.lines().map(Result::unwrap).find(|line| line.contains("chmod 600"));
    assert!(line.is_some_and(|line| line.contains("WARN")), "the daemon says it, too");
}

#[test]
fn a_full_spool_is_shown() {
    let simulator = small();
    let place = Place::new(&simulator, &simulator.sources, "");
    fs::create_dir_all(place.output().parent().unwrap()).unwrap();
    fs::write(place.output(), "in the way").unwrap();
    let config = fs::read_to_string(place.config()).unwrap();
    fs::write(place.config(), format!("{config}\n[spool]\nmax_bytes = \"1KB\"\n")).unwrap();
    let _daemon = Process(place.command(&["run"]).stderr(Stdio::null()).spawn().unwrap());
    let status = || serde_json::from_slice::<Value>(&place.run(&["status", "--json"]).stdout).ok();
    let full = |_| {
        pause(Duration::from_millis(20));
        status().is_some_and(|status| status["spool"]["full"] == true)
    };
    assert!((0..500).any(full), "{:#?}", status());
    let shown = text(&place.run_to(&["status"], 0).stdout);
    assert!(shown.contains("in log files, full"), "{shown}");
    assert!(shown.contains("attention: the spool is full"), "{shown}");
    let config = fs::read_to_string(place.config()).unwrap();
    fs::write(place.config(), config.replace("1KB", "1GB")).unwrap();
    assert_eq!(place.status()["spool"]["full"], false);
}
