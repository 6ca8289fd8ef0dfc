//! Real rsyslog and real syslog-ng get every record, hostile ones too, as one message each.
//!
//! `CUSTODEX_HOSTILE=100000 cargo nextest run --release syslog` is the long campaign.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::support::{Place, Process, Simulator, output_bytes, pause, wait_within};
use receivers::{Authority, Received, free_port, rsyslog, syslog_ng};

pub mod receivers;

const HOST: &str = "forwarder.example";
/// Datagrams are spared: nobody says when one was dropped.
const UDP_RATE: u32 = 4000;

/// Texts that were made to break out of a message.
const HOSTILE: &[&str] = &[
    "\n<13>1 2026-01-01T00:00:00Z evil evil - EVIL - forged",
    "\r\n<13>Jan  1 00:00:00 evil evil: forged",
    "\0<13>1 - - - - - - forged",
    "]\"\\] [evil@1 a=\"b\"] \u{feff}forged",
    "999999 <13>1 - evil - - - - forged",
    "\u{1b}[2J\u{1b}]0;forged\u{7}\u{9b}31m\u{7f}",
    "a\u{2028}b\u{2029}c\u{85}d\u{b}e\u{c}f",
    "%s%n${jndi:ldap://x} $(touch x) `touch x` |=\\|cef:0| & <b>",
    "\u{1f4a5}\u{10ffff}\u{e000}\u{202e}txt.exe e\u{301}\u{200d}",
    "\t \u{a0}\u{3000} trailing \t",
];

fn count() -> usize {
    std::env::var("CUSTODEX_HOSTILE").map_or(5000, |text| text.parse().unwrap())
}

/// Lines of a log file: nearly all are JSON, every tenth is not.
fn write_hostile(folder: &Path, count: usize) -> Vec<Vec<u8>> {
    fs::create_dir_all(folder).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let mut lines = Vec::new();
    for number in 0..count {
        let evil = HOSTILE[number % HOSTILE.len()];
        let any: String = (0..random.usize(..60)).map(|_| random.char(..)).collect();
        // Every control character by turns.
        let status = ["completed", "failed", "odd"][number % 3];
        let control = char::from(u8::try_from(number % 160).unwrap());
        let line = json!({
            "event_id": format!("hostile-{number}"),
            "type": "CODEX_LOG",
            "timestamp": format!("2026-07-{:02}T{:02}:{:02}:{:02}.{:06}Z", 1 + number % 20, number % 24, number % 60,
                (number / 60) % 60, number % 1_000_000),
            "event_type": "PROMPT_SENT",
            "status": status,
            "actor": { "type": "ACCOUNT_USER", "user_email": format!("{control}{evil}@example.com") },
            "event_details": { "prompt_text": format!("{evil}{control}{any}"), "model": evil },
        });
        let mut bytes = serde_json::to_vec(&line).unwrap();
        if number % 10 == 9 {
            // Raw bytes that no JSON has: control characters as they are, and no UTF-8.
            let raw: Vec<u8> =
                (0..random.usize(1..40)).map(|_| random.u8(..)).filter(|byte| *byte != b'\n').collect();
            let begin = format!("{number} \0\x1b[2J\r<13>1 - evil - - - - forged \u{1}\u{1f}\u{7f} ");
            bytes = [begin.as_bytes(), &raw, b"\xff\xfe\xc0\x80 end"].concat();
        }
        lines.push(bytes);
    }
    fs::write(folder.join("CODEX_LOG.jsonl"), lines.join(&b'\n')).unwrap();
    lines
}

/// What a message has to say, by its text.
#[derive(Deserialize)]
struct Record {
    id: String,
    time: Option<String>,
    observed_time: String,
    event_type: String,
    outcome: Option<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    result: String,
}

/// Each message is one of the records, and each record is there: so often, and all of the header is right.
pub fn assert_same(input: &str, records: &[String], received: &[Received], least: usize, most: usize) {
    let mut seen: HashMap<&str, usize> = records.iter().map(|record| (record.as_str(), 0)).collect();
    for message in received.iter().filter(|message| message.input == input) {
        let times = seen.get_mut(message.msg.as_str());
        *times.unwrap_or_else(|| panic!("{input}: forged or changed: {message:?}")) += 1;
        let record: Record = serde_json::from_str(&message.msg).unwrap();
        let time: Timestamp = record.time.unwrap_or(record.observed_time).parse().unwrap();
        let sent: Timestamp = message.time.parse().unwrap();
        assert_eq!(sent.as_microsecond(), time.as_microsecond(), "{input}: {message:?}");
        assert_eq!((message.msgid.as_str(), message.app.as_str()), (record.event_type.as_str(), "custodex"));
        assert_eq!(message.host, HOST);
        if let (Some(pri), Some(sd)) = (&message.pri, &message.sd) {
            let severity = match record.outcome.as_ref().map(|outcome| outcome.result.as_str()) {
                Some("failure") => 4,
                Some("unknown") => 5,
                _ => 6,
            };
            assert_eq!(*pri, (13 * 8 + severity).to_string());
            assert!(sd.starts_with(&format!("[custodex@32473 id=\"{}\" principal=\"", record.id)), "{sd}");
        }
    }
    let wrong: Vec<_> = seen.iter().filter(|(_, times)| !(least..=most).contains(*times)).take(3).collect();
    assert!(wrong.is_empty(), "{input}: not there as often as they should be: {wrong:?}");
}

pub fn section(name: &str, address: &str, more: &str) -> String {
    format!(
        "\n[sinks.{name}]\ntype = \"syslog\"\naddress = \"{address}\"\nhostname = \"{HOST}\"\nfacility = \"audit\"\n\
         enterprise_id = 32473\nmax_message_bytes = 60000\n{more}\n"
    )
}

fn tls(name: &str, authority: &Authority, identity: &str) -> String {
    let identity = match identity {
        "" => String::new(),
        identity => format!(
            "cert_file = \"{}\"\nkey_file = \"{}\"\n",
            authority.file(&format!("{identity}.pem")),
            authority.file(&format!("{identity}.key"))
        ),
    };
    format!("[sinks.{name}.tls]\nca_file = \"{}\"\n{identity}", authority.file("ca.pem"))
}

pub fn delivered(place: &Place) -> Vec<String> {
    let text = String::from_utf8(output_bytes(&place.output())).unwrap();
    text.split_terminator('\n').map(str::to_owned).collect()
}

#[test]
fn every_hostile_record_is_one_message() {
    let folder = tempfile::tempdir().unwrap();
    let count = count();
    let lines = write_hostile(&folder.path().join("records"), count);
    let authority = Authority::new(&folder.path().join("tls"));
    authority.issue("server", "localhost", true, false);
    authority.issue("client", "client.test", false, false);
    let (one, at) = rsyslog(&folder.path().join("rsyslog"), &authority);
    let (two, ng) = syslog_ng(&folder.path().join("syslog-ng"), &authority);
    let records = folder.path().join("records");
    let simulator =
        Simulator::start(&["--records-from", records.to_str().unwrap(), "--records-per-file", "1000"]);
    let spared = format!("rate = {UDP_RATE}");
    let identified = |name| tls(name, &authority, "client");
    let sinks = [
        section("udp", &format!("udp://127.0.0.1:{}", at.udp), &spared),
        section("tcp", &format!("tcp://127.0.0.1:{}", at.tcp), ""),
        section("tls", &format!("tls://localhost:{}", at.tls), &identified("tls")),
        section("relp", &format!("relp://127.0.0.1:{}", at.relp), ""),
        section("relp_tls", &format!("relp+tls://localhost:{}", at.relp_tls), &identified("relp_tls")),
        section("ng_udp", &format!("udp://127.0.0.1:{}", ng.udp), &spared),
        section("ng_tcp", &format!("tcp://127.0.0.1:{}", ng.tcp), ""),
        section("ng_tls", &format!("tls://localhost:{}", ng.tls), &identified("ng_tls")),
    ];
    let place = Place::new(&simulator, &simulator.sources, &sinks.concat());
    place.run_to(&["run", "--once"], 0);
    let records = delivered(&place);
    assert_eq!(records.len(), count);
    let received = one.await_messages(5 * count);
    assert_eq!(received.len(), 5 * count, "parsed by rsyslog");
    for input in ["udp", "tcp", "tls", "relp", "relp_tls"] {
        assert_same(input, &records, &received, 1, 1);
    }
    let received = two.await_messages(3 * count);
    assert_eq!(received.len(), 3 * count, "parsed by syslog-ng");
    for input in ["udp", "tcp", "tls"] {
        assert_same(input, &records, &received, 1, 1);
    }
    drop(one);
    raw_lines_stay_lines(&folder.path().join("raw"), &authority, &simulator, &lines);
}

/// The provider's own bytes, some of which are no JSON, on lines and in datagrams.
fn raw_lines_stay_lines(folder: &Path, authority: &Authority, simulator: &Simulator, lines: &[Vec<u8>]) {
    let (collector, at) = rsyslog(folder, authority);
    let raw = "format = \"raw\"\nframing = \"newline\"";
    let sinks = [
        section("lines", &format!("tcp://127.0.0.1:{}", at.tcp), raw),
        section(
            "datagrams",
            &format!("udp://127.0.0.1:{}", at.udp),
            &format!("format = \"raw\"\nrate = {UDP_RATE}"),
        ),
        section("old", &format!("relp://127.0.0.1:{}", at.relp), "header = \"rfc3164\""),
    ];
    let place = Place::new(simulator, &simulator.sources, &sinks.concat());
    place.run_to(&["run", "--once"], 0);
    let mut expected: Vec<String> = lines.iter().map(|line| shown(line)).collect();
    expected.sort();
    let received = collector.await_messages(3 * lines.len());
    let old: Vec<_> = received.iter().filter(|message| message.input == "relp").collect();
    assert_eq!(old.len(), lines.len());
    for message in old {
        assert_eq!((message.host.as_str(), message.app.as_str()), (HOST, "custodex"));
        assert!(serde_json::from_str::<Record>(&message.msg).is_ok(), "{message:?}");
    }
    for input in ["tcp", "udp"] {
        let messages = received.iter().filter(|message| message.input == input);
        let mut texts: Vec<String> = messages.map(|message| message.msg.clone()).collect();
        texts.sort();
        assert_eq!(texts.len(), expected.len(), "{input}");
        let differs = texts.iter().zip(&expected).find(|(one, other)| one != other);
        assert!(differs.is_none(), "{input}: {differs:?}");
    }
}

/// What README promises: control characters are spelled out, CR is a space.
fn shown(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut bytes = Vec::new();
    for &byte in line {
        match byte {
            b'\r' => bytes.push(b' '),
            b'\t' => bytes.push(byte),
            0..b' ' => bytes.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_killed_receiver_loses_nothing_under_relp() {
    let folder = tempfile::tempdir().unwrap();
    let count = count().max(6000);
    write_hostile(&folder.path().join("records"), count);
    let authority = Authority::new(&folder.path().join("tls"));
    authority.issue("server", "localhost", true, false);
    let (mut collector, at) = rsyslog(&folder.path().join("rsyslog"), &authority);
    let records = folder.path().join("records");
    let simulator =
        Simulator::start(&["--records-from", records.to_str().unwrap(), "--records-per-file", "1000"]);
    let sink = section(
        "relp",
        &format!("relp://127.0.0.1:{}", at.relp),
        "rate = 2000\nmax_unconfirmed_records = 1000",
    );
    let place = Place::new(&simulator, &simulator.sources, &sink);
    let mut running = Process(place.command(&["run", "--once"]).stderr(Stdio::null()).spawn().unwrap());
    for part in 1..=3 {
        // Each time when a part of it has arrived.
        while collector.received().len() < part * count / 5 {
            assert!(running.0.try_wait().unwrap().is_none(), "it ended before the receiver was killed");
            pause(Duration::from_millis(10));
        }
        collector.kill();
        pause(Duration::from_millis(100));
        collector.start_again();
    }
    let limit = Duration::from_secs(60 + count as u64 / 500);
    assert_eq!(wait_within(&mut running, limit), Some(0));
    let received = collector.received();
    let records = delivered(&place);
    assert_eq!(records.len(), count);
    assert_same("relp", &records, &received, 1, 4);
    let repeated = received.len() - count;
    eprintln!("{count} records, 3 kills, {repeated} repeated");
    assert!(repeated <= 3 * 1000, "{repeated} repeated: more than the window for each kill");
}

/// A record far longer than a datagram, and the default of 2048 bytes.
#[test]
fn a_big_record_arrives_trimmed_in_a_datagram() {
    let folder = tempfile::tempdir().unwrap();
    let prompt = "\u{1f4a5} \"é\" ".repeat(4000);
    let line = json!({
        "event_id": "big-1", "type": "CODEX_LOG", "timestamp": "2026-07-02T03:04:05Z", "event_type": "PROMPT_SENT",
        "event_details": { "prompt_text": prompt },
    });
    let records = folder.path().join("records");
    fs::create_dir_all(&records).unwrap();
    fs::write(records.join("CODEX_LOG.jsonl"), line.to_string()).unwrap();
    let simulator = Simulator::start(&["--records-from", records.to_str().unwrap()]);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let sink = format!("\n[sinks.siem]\ntype = \"syslog\"\naddress = \"udp://{address}\"\n");
    let place = Place::new(&simulator, &simulator.sources, &sink);
    place.run_to(&["run", "--once"], 0);
    let mut datagram = vec![0; 65_536];
    let length = socket.recv(&mut datagram).unwrap();
    assert!((1500..=2048).contains(&length), "{length}");
    let message = std::str::from_utf8(&datagram[..length]).expect("no character is cut");
    let record: serde_json::Value = serde_json::from_str(&message[message.find('{').unwrap()..]).unwrap();
    let kept = record["prompt_text"].as_str().unwrap();
    assert!(prompt.starts_with(kept) && !kept.is_empty(), "{kept}");
    let trimmed = &record["truncated"]["prompt_text"];
    assert_eq!(
        trimmed["sha256"],
        custodex::digest::hex(&custodex::digest::sha256(prompt.as_bytes())),
        "{record:#}"
    );
    let status = place.status();
    let sink = status["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == "siem").unwrap();
    assert_eq!((&sink["records_delivered"], &sink["dead_letters"]), (&1.into(), &0.into()));
}

/// `openssl s_server` with these arguments, until it is dropped.
fn server(port: u16, arguments: &[&str]) -> Process {
    let child = Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    for _ in 0..250 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break;
        }
        pause(Duration::from_millis(20));
    }
    Process(child)
}

#[test]
fn bad_peers_are_refused_with_a_clear_message() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(&folder.path().join("tls"));
    authority.issue("good", "localhost", true, false);
    authority.issue("expired", "localhost", true, true);
    authority.issue("other", "other.example", false, false);
    let stranger = Authority::new(&folder.path().join("stranger"));
    let simulator = Simulator::start(&["--days", "1", "--records-per-file", "1"]);
    let old = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
    for (name, trusts, more, says, next) in [
        ("expired", &authority, &[][..], "has expired", "renew the receiver's certificate"),
        ("other", &authority, &[], "is for another name", "server_name"),
        ("good", &stranger, &[], "authority that is not trusted", "set ca_file in [tls]"),
        ("good", &authority, &old, "offers no TLS 1.2 or 1.3", "TLS 1.2 or newer"),
    ] {
        for scheme in ["tls", "relp+tls"] {
            let port = free_port();
            let (certificate, key) =
                (authority.file(&format!("{name}.pem")), authority.file(&format!("{name}.key")));
            let _server = server(port, &[&["-cert", &certificate, "-key", &key], more].concat());
            let address = format!("{scheme}://localhost:{port}");
            let sink = section("collector", &address, &tls("collector", trusts, ""));
            let place = Place::new(&simulator, &simulator.sources, &sink);
            let checked = place.run_to(&["check"], 3);
            let said = String::from_utf8(checked.stdout).unwrap();
            assert!(said.contains(says) && said.contains(next), "{name} {address}: {said}");
            place.run_to(&["run", "--once"], 3);
            let sink = &place.status()["sinks"][0];
            assert_eq!((&sink["name"], &sink["state"]), (&"collector".into(), &"paused".into()), "{sink}");
            assert_eq!(sink["records_delivered"], 0);
        }
    }
    // The same server with what it should be is fine.
    let port = free_port();
    let (certificate, key) = (authority.file("good.pem"), authority.file("good.key"));
    let _server = server(port, &["-cert", &certificate, "-key", &key]);
    let sink = section("collector", &format!("tls://localhost:{port}"), &tls("collector", &authority, ""));
    let place = Place::new(&simulator, &simulator.sources, &sink);
    let said = String::from_utf8(place.run_to(&["check"], 0).stdout).unwrap();
    assert!(said.contains("connected with TLS 1.3"), "{said}");
}
