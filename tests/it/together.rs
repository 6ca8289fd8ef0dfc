//! All sinks on together: killed at any moment, and with a spool that is too small for a sink that is down.
//!
//! `CUSTODEX_KILLS=200 cargo nextest run --release --test it together` is the long campaign.
#![cfg(feature = "s3")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::archive::{archived, served};
use crate::hec::receiver::{Receiver as Collector, TOKEN, Ways};
use crate::kill::follow;
use crate::s3::{Store, assert_archived};
use crate::support::{
    Place, Process, Simulator, assert_accounts_close, kill_after, output_bytes, pause, seed_of_kills,
};
use crate::syslog::receivers::{Authority, rsyslog};
use crate::syslog::{assert_same, delivered, section};

/// Kills of one data folder before it is let finish.
const KILLS_A_ROUND: usize = 10;
/// A process lives at most this long before it is killed, milliseconds.
const LIFE: u64 = 1500;
/// Records on their way at most, to each sink that can repeat any.
const WINDOW: usize = 400;

fn hec(folder: &Path, collector: &Collector) -> String {
    let token = folder.join("token");
    fs::write(&token, TOKEN).unwrap();
    format!(
        "\n[sinks.splunk]\ntype = \"splunk_hec\"\nurl = \"http://{}\"\ntoken = {{ file = \"{}\" }}\n\
         max_unconfirmed_records = {WINDOW}\nbatch_interval = \"20ms\"\n",
        collector.address,
        token.display(),
    )
}

fn directory(folder: &Path) -> (String, PathBuf) {
    let path = folder.join("archive");
    (format!("\n[sinks.folder]\ntype = \"directory\"\ndirectory = \"{}\"\n", path.display()), path)
}

/// The collector has what the file has, by the same ids; answers how many came again.
fn assert_indexed(collector: &Collector, lines: &[String]) -> usize {
    let id = |line: &String| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["id"].as_str().unwrap().to_owned()
    };
    let expected: BTreeSet<String> = lines.iter().map(id).collect();
    let known = collector.known();
    let indexed: BTreeSet<String> = known.indexed.keys().cloned().collect();
    assert_eq!(expected.difference(&indexed).count(), 0, "missing at the collector");
    assert_eq!(indexed.difference(&expected).count(), 0, "made up at the collector");
    known.indexed.values().map(|times| *times as usize - 1).sum()
}

#[test]
fn killed_with_all_sinks_together_each_keeps_its_promise() {
    let kills: usize = std::env::var("CUSTODEX_KILLS").map_or(20, |text| text.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed_of_kills());
    let simulator = Simulator::start(&["--days", "6", "--files-per-day", "4", "--records-per-file", "60"]);
    for round in 0..kills.div_ceil(KILLS_A_ROUND) {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(&folder.path().join("tls"));
        authority.issue("server", "localhost", true, false);
        let (syslog, at) = rsyslog(&folder.path().join("rsyslog"), &authority);
        let collector = Collector::start(Ways::default());
        let store = Store::moto();
        store.tool(&["make", "audit-archive", "lock"]);
        let bound = format!("max_unconfirmed_records = {WINDOW}");
        let (to_folder, archive) = directory(folder.path());
        let sinks = [
            to_folder,
            hec(folder.path(), &collector),
            section("relp", &format!("relp://127.0.0.1:{}", at.relp), &bound),
            section("tcp", &format!("tcp://127.0.0.1:{}", at.tcp), &bound),
        ];
        let place = store.place(&simulator, &sinks.concat());
        let mut read = Vec::new();
        for _ in 0..KILLS_A_ROUND {
            let life = Duration::from_millis(random.u64(1..LIFE));
            kill_after(&mut store.command(&place, &["run"]), life);
            follow(&place, &mut read, round as u64);
        }
        store.run(&place, &["run", "--once"], 0);
        follow(&place, &mut read, round as u64);
        assert_accounts_close(&place, &simulator);
        assert_archived(&store.versions(), &simulator);
        assert_eq!(archived(&archive), served(&simulator));
        let lines = delivered(&place);
        let again = assert_indexed(&collector, &lines);
        assert!(again <= KILLS_A_ROUND * WINDOW, "splunk: {again} came again");
        let received = syslog.await_messages(2 * lines.len());
        for input in ["relp", "tcp"] {
            assert_same(input, &lines, &received, 1, KILLS_A_ROUND + 1);
            let count = received.iter().filter(|message| message.input == input).count();
            let again = count - lines.len();
            eprintln!("round {round}: {} records, {input} {again} again", lines.len());
            assert!(again <= KILLS_A_ROUND * WINDOW, "{input}: {again} came again");
        }
    }
}

#[test]
fn a_full_spool_is_refilled_from_an_archive_for_a_sink_that_was_down() {
    let simulator = Simulator::start(&["--days", "6", "--files-per-day", "4", "--records-per-file", "60"]);
    let folder = tempfile::tempdir().unwrap();
    let mut collector = Collector::start(Ways::default());
    let (to_folder, archive) = directory(folder.path());
    let spool = "\n[spool]\nmax_bytes = \"300KB\"\n";
    let place = Place::new(&simulator, &simulator.sources, "");
    let sinks = [to_folder, hec(folder.path(), &collector), spool.to_owned()];
    place.configure(&simulator.sources, &sinks.concat());
    collector.kill();
    let mut daemon = Process(place.command(&["run"]).stderr(Stdio::null()).spawn().unwrap());
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let seen = (0..900).any(|_| {
            pause(Duration::from_millis(100));
            done()
        });
        assert!(seen, "{what}: {:#}", place.status());
    };
    let sink = |name: &str| {
        let text = place.run(&["status", "--json"]).stdout;
        let status: Value = serde_json::from_slice(&text).unwrap_or_default();
        let sinks = status["sinks"].as_array().cloned().unwrap_or_default();
        sinks.into_iter().find(|sink| sink["name"] == name).unwrap_or_default()
    };
    let wanted = served(&simulator);
    until("all is collected and archived while a sink is down", &|| {
        sink("folder")["records_pending"] == 0
            && sink("out")["records_pending"] == 0
            && archived_whole(&archive) == wanted.len()
    });
    assert_eq!(archived(&archive), wanted);
    let held = spool_bytes(&place);
    assert!(held < 1_000_000, "the spool holds {held} bytes");
    assert_eq!(sink("splunk")["records_delivered"], 0);
    // A crash in this state, and while files come back, changes nothing.
    daemon.0.kill().unwrap();
    daemon.0.wait().unwrap();
    collector.revive();
    let mut random = fastrand::Rng::with_seed(seed_of_kills());
    for _ in 0..4 {
        kill_after(&mut place.command(&["run"]), Duration::from_millis(random.u64(100..900)));
    }
    let daemon = Process(place.command(&["run"]).stderr(Stdio::null()).spawn().unwrap());
    until("the sink that was down has all", &|| sink("splunk")["records_pending"] == 0);
    drop(daemon);
    let text = String::from_utf8(output_bytes(&place.output())).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let again = assert_indexed(&collector, &lines);
    assert!(again <= 6 * WINDOW, "{again} came again");
    assert!(spool_bytes(&place) < 1_000_000);
}

fn spool_bytes(place: &Place) -> u64 {
    let entries = fs::read_dir(place.data().join("spool")).unwrap().map(|entry| entry.unwrap());
    let data = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "jsonl"));
    data.map(|entry| entry.metadata().unwrap().len()).sum()
}

/// How many objects have their final names.
fn archived_whole(folder: &Path) -> usize {
    let names = crate::archive::of_sources(folder);
    let hidden = |path: &&PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with('.');
    names.len() - names.iter().filter(hidden).count()
}
