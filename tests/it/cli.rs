//! Commands, exit codes and messages.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{PROGRAM, Place, Process, Simulator, wait_within};

fn small() -> Simulator {
    Simulator::start(&["--days", "2", "--files-per-day", "2", "--records-per-file", "10"])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_and_wrong_use_have_their_exit_codes() {
    for (arguments, code) in [
        (&["--version"][..], 0),
        (&["help"], 0),
        (&["man"], 0),
        (&["completions", "bash"], 0),
        (&[], 2),
        (&["nonsense"], 2),
        (&["run", "--sweep"], 2),
        (&["-c", "/nowhere/config.toml", "run"], 78),
        (&["-c", "/nowhere/config.toml", "status"], 78),
    ] {
        let output = Command::new(PROGRAM).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn status_tells_what_was_done() {
    let simulator = small();
    let place = Place::new(&simulator, &simulator.sources, "");
    place.run_to(&["status"], 78);
    place.run_to(&["run", "--once"], 0);
    let status = place.status();
    assert_eq!((&status["healthy"], &status["running"]), (&true.into(), &false.into()));
    assert!(status["headroom"]["seconds"].as_i64().unwrap() > 29 * 86_400, "{status:#}");
    for name in [
        "source",
        "principal",
        "event_type",
        "state",
        "cursor",
        "last_listed_at",
        "last_error",
        "hint",
        "files_collected",
        "files_pending",
        "records_collected",
        "holes",
        "headroom_seconds",
        "lateness_max_seconds",
    ] {
        assert!(status["streams"][0].get(name).is_some(), "streams: {name}");
    }
    for name in [
        "name",
        "type",
        "guarantee",
        "state",
        "last_error",
        "hint",
        "records_delivered",
        "records_pending",
        "files_pending",
        "repeats_suppressed",
        "deselected",
        "dead_letters",
        "oldest_pending",
    ] {
        assert!(status["sinks"][0].get(name).is_some(), "sinks: {name}");
    }
    let shown = text(&place.run_to(&["status"], 0).stdout);
    assert!(shown.starts_with("headroom"), "{shown}");
    place.run_to(&["holes", "--retry", "7"], 2);
    let checked = place.run_to(&["check"], 0);
    assert!(text(&checked.stdout).contains("sink out"), "{}", text(&checked.stdout));
}

#[test]
fn a_daemon_holds_its_folder_answers_and_ends_in_time() {
    let simulator = small();
    let place = Place::new(&simulator, &simulator.sources, "");
    let mut daemon = Process(place.command(&["run"]).stderr(Stdio::null()).spawn().unwrap());
    // Each look starts a process, which takes time enough.
    let answers = |_| place.run(&["status", "--json"]).status.success() && place.status()["running"] == true;
    assert!((0..500).any(answers), "the daemon does not answer");
    let second = place.run_to(&["run", "--once"], 4);
    assert!(text(&second.stderr).contains("another custodex holds the data folder"));
    place.run_to(&["holes", "--acknowledge", "7"], 2);
    let pid = rustix::process::Pid::from_child(&daemon.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = wait_within(&mut daemon, Duration::from_secs(5));
    assert_eq!(ended, Some(0), "it ends cleanly within five seconds");
    assert!(!place.data().join("control.sock").try_exists().unwrap());
    place.run_to(&["run", "--once"], 0);
}

#[test]
fn a_refused_key_says_what_to_do_and_a_new_one_heals() {
    let simulator = small();
    let place = Place::new(&simulator, &simulator.sources, "");
    let refused =
        place.command(&["run", "--once"]).env("SIMULATOR_KEY", "sk-admin-wrong-key-0000").output().unwrap();
    assert_eq!(refused.status.code(), Some(3));
    let said = text(&refused.stderr);
    assert!(said.contains("hint: check that the key exists"), "{said}");
    assert!(!said.contains("wrong-key"), "{said}");
    let status = place.status();
    assert_eq!(status["streams"][0]["state"], "waiting");
    let checked = place.command(&["check"]).env("SIMULATOR_KEY", "sk-admin-wrong-key-0000").output().unwrap();
    assert_eq!(checked.status.code(), Some(3));
    assert!(text(&checked.stdout).contains("next step"), "{}", text(&checked.stdout));
    place.run_to(&["run", "--once"], 0);
}

#[test]
fn a_wrong_workspace_and_no_network_say_what_to_do() {
    let simulator = small();
    let other = simulator
        .sources
        .replace("4f6c2a1e-93b7-4d58-8e02-7a1b5c9d3e64", "00000000-0000-4000-8000-000000000000");
    let place = Place::new(&simulator, &other, "");
    let denied = place.run_to(&["run", "--once"], 3);
    assert!(text(&denied.stderr).contains("check workspace_id"), "{}", text(&denied.stderr));
    let address =
        simulator.sources.lines().find_map(|line| line.strip_prefix("base_url = ")).unwrap().to_owned();
    let nowhere = simulator.sources.replace(&address, "\"http://127.0.0.1:9/v1\"");
    let place = Place::new(&simulator, &nowhere, "");
    let checked = place.run_to(&["check"], 3);
    assert!(text(&checked.stdout).contains("proxy, firewall"), "{}", text(&checked.stdout));
}

#[test]
fn a_newer_ledger_is_refused_clearly() {
    let simulator = small();
    let place = Place::new(&simulator, &simulator.sources, "");
    place.run_to(&["run", "--once"], 0);
    let ledger = rusqlite::Connection::open(place.data().join("ledger.db")).unwrap();
    ledger.pragma_update(None, "user_version", 99).unwrap();
    drop(ledger);
    let refused = place.run_to(&["run", "--once"], 78);
    assert!(text(&refused.stderr).contains("has version 99"), "{}", text(&refused.stderr));
}
