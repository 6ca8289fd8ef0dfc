//! Splunk's HTTP Event Collector: the sink against a receiver of ours, and the built program with it.

mod driver;
mod flow;
pub mod receiver;
mod tls;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Place, Process, Simulator, output_bytes, pause};
use receiver::{Receiver, TOKEN, Ways};

/// Records on their way at most, in these tests.
const WINDOW: usize = 400;

/// A simulator, and a place that delivers to a file and to a collector.
struct World {
    simulator: Simulator,
    receiver: Receiver,
    place: Place,
}

impl World {
    fn new(ways: Ways, keys: &str) -> Self {
        let simulator =
            Simulator::start(&["--days", "5", "--files-per-day", "4", "--records-per-file", "40"]);
        let place = Place::new(&simulator, &simulator.sources, "");
        let world = Self { simulator, receiver: Receiver::start(ways), place };
        fs::write(world.token(), TOKEN).unwrap();
        let sink = format!(
            "[sinks.splunk]\ntype = \"splunk_hec\"\nurl = \"http://{}\"\ntoken = {{ file = {:?} }}\n\
             max_unconfirmed_records = {WINDOW}\n{keys}\n",
            world.receiver.address,
            world.token().to_str().unwrap(),
        );
        let text = fs::read_to_string(world.place.config()).unwrap();
        fs::write(world.place.config(), format!("{text}\n{sink}")).unwrap();
        world
    }

    fn token(&self) -> PathBuf {
        self.place.config().with_file_name("token")
    }

    fn daemon(&self) -> Process {
        Process(self.place.command(&["run"]).stderr(Stdio::null()).spawn().unwrap())
    }

    fn sink(&self) -> Value {
        let status = self.place.status();
        status["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == "splunk").unwrap().clone()
    }

    /// Ids of what the file sink wrote.
    fn expected(&self) -> BTreeSet<String> {
        let lines = output_bytes(&self.place.output());
        let records = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        records
            .map(|line| {
                let record: Value = serde_json::from_slice(line).unwrap();
                record["id"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    /// Nothing is missing, nothing is made up; answers how many events came again.
    fn assert_complete(&self) -> usize {
        let known = self.receiver.known();
        let indexed: BTreeSet<String> = known.indexed.keys().cloned().collect();
        let expected = self.expected();
        assert!(expected.len() > 500, "{}", expected.len());
        let missing: Vec<_> = expected.difference(&indexed).collect();
        assert!(missing.is_empty(), "{} are missing", missing.len());
        assert_eq!(indexed.len(), expected.len());
        known.indexed.values().map(|times| *times as usize - 1).sum()
    }
}

#[test]
fn every_record_arrives_once_and_is_acknowledged() {
    let world = World::new(Ways { false_first: 1, ..Ways::default() }, "");
    world.place.run_to(&["run", "--once"], 0);
    assert_eq!(world.assert_complete(), 0, "events came again");
    let sink = world.sink();
    assert_eq!((sink["guarantee"].as_str(), sink["state"].as_str()), (Some("durable"), Some("ok")));
    let known = world.receiver.known();
    assert_eq!(sink["records_delivered"], known.indexed.len());
    assert_eq!(known.channels.len(), 1);
    let envelope = &known.envelopes[0];
    assert_eq!(envelope["event"]["id"], envelope["fields"]["id"]);
    assert!(envelope["event"]["schema"] == "1" && envelope["time"].is_number(), "{envelope}");
}

#[test]
fn a_test_event_is_acknowledged_and_shown_in_its_envelope() {
    let world = World::new(Ways::default(), "index = \"codex\"");
    world.place.run_to(&["run", "--once"], 0);
    let before = (world.sink(), world.receiver.known().indexed.len());
    let output = world.place.run_to(&["check", "--send-test", "splunk"], 0);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("durable: splunk acknowledged"), "{said}");
    assert_eq!(shown["fields"]["action"], "TEST");
    assert_eq!(
        (&shown["index"], &shown["sourcetype"]),
        (&"codex".into(), &"openai:compliance:custodex_log".into())
    );
    {
        let known = world.receiver.known();
        assert_eq!((known.envelopes.last(), known.indexed.len()), (Some(&shown), before.1 + 1));
        // A channel of its own: what a daemon waits for is not read away.
        assert_eq!(known.channels.len(), 2);
    }
    assert_eq!(world.sink(), before.0);
    // What a collector refuses is told with its own words, also of an event that was not alone.
    world.receiver.known().ways.poison = Some(("TEST", 6));
    let refused = world.place.run_to(&["check", "--send-test", "splunk"], 3);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("error: splunk: ") && said.contains("400 code 6"), "{said}");
    world.receiver.known().ways.poison = Some(("TEST", 7));
    let refused = world.place.run_to(&["check", "--send-test", "splunk"], 3);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("next step: create the index"), "{said}");
    world.receiver.known().ways.no_acks = true;
    let refused = world.place.run_to(&["check", "--send-test", "splunk"], 3);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("next step: turn on indexer acknowledgement"), "{said}");
}

#[test]
fn a_check_tells_what_is_wrong() {
    let world = World::new(Ways { no_acks: true, ..Ways::default() }, "");
    let output = world.place.run(&["check"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("turn on indexer acknowledgement"), "{said}");
    world.receiver.known().ways.no_acks = false;
    let said = world.place.run_to(&["check"], 0).stdout;
    assert!(String::from_utf8_lossy(&said).contains("accepts the token and acknowledges"));
    assert!(world.receiver.known().indexed.is_empty());
}

#[test]
fn either_side_killed_at_any_moment_loses_nothing_and_repeats_at_most_the_window() {
    let most: usize = std::env::var("CUSTODEX_KILLS").map_or(12, |text| text.parse().unwrap());
    let seed = std::env::var("CUSTODEX_SEED").map_or(7, |text| text.parse().unwrap());
    let keys = "ack_timeout = \"300ms\"\nbatch_interval = \"20ms\"";
    let mut world = World::new(Ways { false_first: 1, ..Ways::default() }, keys);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut kills = 0;
    for round in 0.. {
        if kills >= most {
            break;
        }
        let mut daemon = world.daemon();
        pause(Duration::from_millis(random.u64(100..600)));
        if round % 2 == 0 {
            world.receiver.kill();
            kills += 1;
            pause(Duration::from_millis(random.u64(1..200)));
            world.receiver.revive();
            pause(Duration::from_millis(random.u64(1..400)));
        }
        daemon.0.kill().unwrap();
        daemon.0.wait().unwrap();
        kills += 1;
    }
    world.place.run_to(&["run", "--once"], 0);
    let again = world.assert_complete();
    assert!(again <= WINDOW * kills, "{again} came again after {kills} kills");
    assert_eq!(world.sink()["dead_letters"], 0);
    assert_eq!(world.simulator.tell("/simulator/violations").as_array().map(Vec::len), Some(0));
}

#[test]
fn a_replaced_token_is_found_without_a_restart() {
    let world = World::new(Ways::default(), "");
    fs::write(world.token(), "00000000-0000-4000-8000-000000000000\n").unwrap();
    let _daemon = world.daemon();
    let begun = (0..100).any(|_| {
        pause(Duration::from_millis(100));
        world.place.run(&["status"]).status.success()
    });
    assert!(begun, "the daemon has made its ledger");
    let until = |what: &dyn Fn(&Value) -> bool| {
        // A paused sink is looked at again after 15 to 19 seconds.
        (0..300).any(|_| {
            pause(Duration::from_millis(100));
            what(&world.sink())
        })
    };
    assert!(until(&|sink| sink["state"] == "paused"), "{}", world.sink());
    let hint = world.sink()["hint"].to_string();
    assert!(hint.contains("enabled HEC input"), "{hint}");
    fs::write(world.token(), TOKEN).unwrap();
    assert!(until(&|sink| sink["state"] == "ok" && sink["records_pending"] == 0), "{}", world.sink());
    assert_eq!(world.assert_complete(), 0);
}
