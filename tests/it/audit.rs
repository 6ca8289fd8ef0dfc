//! The audit trail: it arrives once and in order wherever it is taken, it is sealed with all else, and no account
//! of anybody else knows of it. And drift, which it tells of too.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use custodex::digest::{hex, sha256};
use serde_json::{Value, json};

use crate::archive::{archived, is_own, objects, served, small};
use crate::support::{
    Place, Process, Simulator, assert_accounts_close, kill_after, output_bytes, pause, seed_of_kills,
    wait_within,
};

/// A place with a file sink that does not name the trail, one that names only it, and an archive.
struct Watched {
    place: Place,
    trail: PathBuf,
    archive: PathBuf,
}

fn watched(simulator: &Simulator, more: &str) -> Watched {
    let place = Place::new(simulator, &simulator.sources, "");
    let [trail, archive] = ["trail", "archive"].map(|name| place.data().parent().unwrap().join(name));
    let [to_trail, to_archive] = [&trail, &archive].map(|path| path.display());
    let sinks = format!(
        "{more}\n[sinks.trail]\ntype = \"file\"\ndirectory = \"{to_trail}\"\n\
         select = {{ event_types = [\"CUSTODEX_LOG\"] }}\n\
         [sinks.archive]\ntype = \"directory\"\ndirectory = \"{to_archive}\"\n"
    );
    place.configure(&simulator.sources, &sinks);
    Watched { place, trail, archive }
}

impl Watched {
    /// What the sink that names the trail got: native records, in order.
    fn events(&self) -> Vec<Value> {
        if !self.trail.is_dir() {
            return Vec::new();
        }
        let text = String::from_utf8(output_bytes(&self.trail)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn actions(&self) -> Vec<String> {
        self.events().iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits for an action in the trail.
    fn await_action(&self, action: &str) {
        let seen = (0..300).any(|_| {
            pause(Duration::from_millis(50));
            self.actions().iter().any(|one| one == action)
        });
        assert!(seen, "{action}: {:?}", self.actions());
    }

    fn sink(&self, name: &str) -> Value {
        let status: Value = self.place.status();
        let sinks = status["sinks"].as_array().unwrap();
        sinks.iter().find(|sink| sink["name"] == name).unwrap().clone()
    }

    /// Every account closes, and only the sink that names the trail counts it.
    fn assert_closed(&self) {
        let status = self.place.status();
        let streams = status["streams"].as_array().unwrap();
        assert!(streams.iter().all(|stream| stream["event_type"] != "CUSTODEX_LOG"), "{status:#}");
        let collected: u64 = streams.iter().map(|one| one["records_collected"].as_u64().unwrap()).sum();
        assert_eq!(status["spool"]["records_collected"], collected);
        for (name, own) in [("out", 0), ("archive", 0), ("trail", self.events().len() as u64)] {
            let sink = self.sink(name);
            let count = |key: &str| sink[key].as_u64().unwrap();
            let of = ["records_delivered", "repeats_suppressed", "deselected", "dead_letters"].map(count);
            assert_eq!(of.iter().sum::<u64>(), collected + own, "{name}: {sink:#}");
            assert_eq!((count("records_pending"), count("files_pending")), (0, 0), "{name}");
        }
        let delivered = output_bytes(&self.place.output());
        assert!(!String::from_utf8_lossy(&delivered).contains("CUSTODEX_LOG"), "not named, not delivered");
    }

    /// Nothing is there twice, out of order, or missing.
    fn assert_in_order(&self) {
        let numbers: Vec<u64> =
            self.events().iter().map(|event| event["unmapped"]["sequence"].as_u64().unwrap()).collect();
        let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "{:?}", self.actions());
    }

    /// The archive has the same events, and every byte of it is sealed.
    fn assert_sealed(&self, more: &[&str]) {
        let verify = [&["verify", "--deep", "--from", "archive"][..], more].concat();
        let out = String::from_utf8(self.place.run_to(&verify, 0).stdout).unwrap();
        assert!(!out.contains("not sealed yet"), "{out}");
        let own: Vec<PathBuf> =
            objects(&self.archive).into_iter().filter(|path| is_own(path.to_str().unwrap())).collect();
        assert!(out.contains(&format!("{} log files sealed", objects(&self.archive).len())), "{out}");
        let lines = own.iter().map(|path| zstd::decode_all(&fs::read(path).unwrap()[..]).unwrap());
        let lines: usize = lines.map(|text| String::from_utf8(text).unwrap().lines().count()).sum();
        assert_eq!(lines, self.events().len(), "{own:?}");
    }
}

fn last<'a>(events: &'a [Value], action: &str) -> &'a Value {
    events.iter().rev().find(|event| event["action"] == action).unwrap()
}

#[test]
fn the_trail_is_delivered_where_it_is_named_archived_and_sealed() {
    let simulator = small();
    let watched = watched(&simulator, "");
    let place = &watched.place;
    place.run_to(&["run", "--once"], 0);
    assert_eq!(watched.actions(), ["DAEMON_STARTED", "SIGNING_KEY_CREATED", "DAEMON_STOPPED"]);
    let before = sha256(&fs::read(place.config()).unwrap());
    let text = fs::read_to_string(place.config()).unwrap() + "# a remark that nobody may see\n";
    fs::write(place.config(), &text).unwrap();
    place.run_to(&["run", "--once"], 0);
    let events = watched.events();
    assert_eq!(
        watched.actions()[3..],
        ["SIGNING_KEY_USED", "MANIFEST_SEALED", "DAEMON_STARTED", "CONFIGURATION_CHANGED", "DAEMON_STOPPED"]
    );
    assert_eq!(last(&events, "DAEMON_STARTED")["unmapped"]["last_end"], "clean");
    let changed = last(&events, "CONFIGURATION_CHANGED");
    assert_eq!(changed["unmapped"]["previous_sha256"], hex(&before));
    assert_eq!(changed["target"]["id"], hex(&sha256(text.as_bytes())));
    assert_eq!(changed["category"], "admin");
    assert_eq!(changed["principal"], json!({ "kind": "instance", "id": "custodex" }));
    assert_eq!(changed.get("warnings"), None);
    assert!(!output_bytes(&watched.trail).windows(8).any(|part| part == b"a remark"));
    let head = last(&events, "MANIFEST_SEALED")["target"]["id"].as_str().unwrap().to_owned();
    assert!(head.starts_with("1:"), "{head}");
    watched.assert_in_order();
    watched.assert_closed();
    watched.assert_sealed(&["--expect-head", &head]);
    assert_eq!(archived(&watched.archive), served(&simulator));
    let forged = format!("1:{}", "0".repeat(64));
    place.run_to(&["verify", "--from", "archive", "--expect-head", &forged], 3);
}

#[test]
fn killed_at_any_moment_no_event_is_lost_or_twice() {
    let kills: u64 = std::env::var("CUSTODEX_KILLS").map_or(20, |text| text.parse().unwrap());
    let simulator = small();
    let mut random = fastrand::Rng::with_seed(seed_of_kills());
    let watched = watched(&simulator, "");
    for _ in 0..kills {
        // The longest lives come to their end by themselves, and are killed for good as a rule.
        let mut run =
            Process(watched.place.command(&["run", "--once"]).stderr(Stdio::null()).spawn().unwrap());
        pause(Duration::from_millis(random.u64(1..900)));
        drop(run.0.kill());
        run.0.wait().unwrap();
        watched.assert_in_order();
    }
    watched.place.run_to(&["run", "--once"], 0);
    watched.assert_in_order();
    watched.assert_closed();
    watched.assert_sealed(&[]);
    let started = watched.events().into_iter().filter(|event| event["action"] == "DAEMON_STARTED");
    let ends: Vec<Value> = started.map(|event| event["unmapped"]["last_end"].clone()).collect();
    assert!(ends.contains(&json!("unclean")), "{ends:?}");
    assert_eq!(archived(&watched.archive), served(&simulator));
}

#[test]
fn what_somebody_does_is_told_with_who_did_it_and_a_stop_seals_the_end() {
    let simulator = small();
    let watched = watched(&simulator, "");
    let place = &watched.place;
    place.run_to(&["run", "--once"], 0);
    let ledger = rusqlite::Connection::open(place.data().join("ledger.db")).unwrap();
    let hole = "INSERT INTO file (stream, file_id, end_time, end_at, listed_at, state, reason)
                SELECT id, 'gap:x', 't', 1, 1, 'hole', 'for a test' FROM stream WHERE enabled = 1 LIMIT 1
                RETURNING id";
    let hole: i64 = ledger.query_row(hole, [], |row| row.get(0)).unwrap();
    drop(ledger);
    let acknowledge = ["holes", "--acknowledge", &hole.to_string()];
    place.command(&acknowledge).env("SUDO_USER", "ann").status().unwrap();
    let mut daemon = Process(place.command(&["run"]).stderr(Stdio::null()).spawn().unwrap());
    watched.await_action("HOLE_ACKNOWLEDGED");
    let acknowledged = watched.events().len();
    // Through the daemon, which knows the user from the system.
    let ready = (0..100).any(|_| {
        pause(Duration::from_millis(50));
        place.run(&["status", "--json"]).stdout.windows(15).any(|part| part == b"\"running\": true")
    });
    assert!(ready);
    place.run_to(&acknowledge, 0);
    let seen = (0..200).any(|_| {
        pause(Duration::from_millis(50));
        watched.actions().iter().filter(|action| *action == "HOLE_ACKNOWLEDGED").count() == 2
    });
    assert!(seen && watched.events().len() > acknowledged, "{:?}", watched.actions());
    rustix::process::kill_process(rustix::process::Pid::from_child(&daemon.0), rustix::process::Signal::TERM)
        .unwrap();
    assert_eq!(wait_within(&mut daemon, Duration::from_secs(20)), Some(0));
    let events = watched.events();
    assert_eq!(events.last().unwrap()["action"], "DAEMON_STOPPED", "{:?}", watched.actions());
    let user = rustix::process::geteuid().as_raw().to_string();
    for event in events.iter().filter(|event| event["action"] == "HOLE_ACKNOWLEDGED") {
        assert_eq!((&event["actor"]["kind"], &event["actor"]["id"]), (&json!("USER"), &json!(user)));
        assert_eq!(event["target"]["id"], "gap:x");
    }
    let first = events.iter().find(|event| event["action"] == "HOLE_ACKNOWLEDGED").unwrap();
    assert_eq!(first["unmapped"]["actor"]["on_behalf_of"], "ann", "{first:#}");
    watched.assert_in_order();
    watched.assert_sealed(&[]);
}

#[test]
fn without_a_taker_there_is_no_file_and_one_that_is_added_gets_all() {
    let simulator = small();
    let place = Place::new(&simulator, &simulator.sources, "");
    for _ in 0..2 {
        place.run_to(&["run", "--once"], 0);
    }
    // The spool holds what was served, and nothing else.
    assert_accounts_close(&place, &simulator);
    let trail = place.data().parent().unwrap().join("trail");
    let to_trail = trail.display();
    let sinks = format!(
        "\n[sinks.trail]\ntype = \"file\"\ndirectory = \"{to_trail}\"\nselect = {{ event_types = [\"CUSTODEX_LOG\"] }}\n"
    );
    place.configure(&simulator.sources, &sinks);
    place.run_to(&["run", "--once"], 0);
    let text = String::from_utf8(output_bytes(&trail)).unwrap();
    assert_eq!(text.matches("\"action\":\"DAEMON_STARTED\"").count(), 3, "{text}");
}

#[test]
fn a_killed_daemon_is_told_after_its_next_start() {
    let simulator = small();
    let watched = watched(&simulator, "");
    kill_after(&mut watched.place.command(&["run"]), Duration::from_millis(1500));
    watched.place.run_to(&["run", "--once"], 0);
    assert_eq!(last(&watched.events(), "DAEMON_STARTED")["unmapped"]["last_end"], "unclean");
    watched.assert_in_order();
    watched.assert_sealed(&[]);
}

#[test]
fn a_new_field_is_told_once() {
    let simulator = small();
    let watched = watched(&simulator, "");
    let place = &watched.place;
    let first = place.run_to(&["run", "--once"], 0);
    assert!(!String::from_utf8_lossy(&first.stderr).contains("never showed"), "a beginning only teaches");
    assert_eq!(place.status()["drift"], json!([]));
    // A log file that comes later and shows what the stream has not shown.
    let ledger = rusqlite::Connection::open(place.data().join("ledger.db")).unwrap();
    let stream = "(SELECT id FROM stream WHERE event_type = 'AUTH_LOG')";
    let forget = format!(
        "DELETE FROM file WHERE id = (SELECT min(id) FROM file WHERE stream = {stream});
         DELETE FROM shape WHERE stream = {stream} AND name = 'timestamp'"
    );
    ledger.execute_batch(&forget).unwrap();
    drop(ledger);
    let said = place.run_to(&["run", "--once", "--sweep"], 0).stderr;
    let said = String::from_utf8_lossy(&said).into_owned();
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("never showed")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(lines[0].contains("new_field") && lines[0].contains("timestamp"), "{said}");
    place.run_to(&["run", "--once", "--sweep"], 0);
    let drift = &place.status()["drift"];
    assert_eq!(drift.as_array().unwrap().len(), 1, "{drift:#}");
    assert_eq!(
        (&drift[0]["event_type"], &drift[0]["kind"], &drift[0]["name"], &drift[0]["json_type"]),
        (&json!("AUTH_LOG"), &json!("new_field"), &json!("timestamp"), &json!("string"))
    );
    let shown = String::from_utf8(place.run_to(&["status"], 0).stdout).unwrap();
    assert_eq!(shown.matches("drift: AUTH_LOG shows a new field timestamp (string)").count(), 1, "{shown}");
    let events = watched.events();
    assert_eq!(watched.actions().iter().filter(|action| *action == "DRIFT_SEEN").count(), 1);
    assert_eq!(last(&events, "DRIFT_SEEN")["unmapped"]["changes"][0]["name"], "timestamp");
    watched.assert_in_order();
}

#[test]
fn a_sent_test_is_told() {
    let simulator = small();
    let watched = watched(&simulator, "");
    watched.place.run_to(&["run", "--once"], 0);
    watched.place.run_to(&["check", "--send-test", "archive"], 0);
    watched.place.run_to(&["run", "--once"], 0);
    let events = watched.events();
    let told = last(&events, "SEND_TEST");
    assert_eq!((&told["target"]["id"], &told["unmapped"]["outcome"]), (&json!("archive"), &json!("success")));
    if let Ok(output) = Command::new("id").arg("-un").output() {
        let name = String::from_utf8(output.stdout).unwrap();
        assert_eq!(told["actor"]["name"], name.trim());
    }
}
