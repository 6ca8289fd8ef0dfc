//! Full disks and folders that cannot be written: delivery and collecting wait, and go on by themselves.

use std::fs;

use crate::support::{Place, Simulator, assert_accounts_close};

#[test]
fn a_sink_that_cannot_write_waits_and_loses_nothing() {
    let simulator = Simulator::start(&["--days", "3", "--records-per-file", "20"]);
    let place = Place::new(&simulator, &simulator.sources, "");
    fs::write(place.output(), "a file where the folder should be").unwrap();
    let output = place.run_to(&["run", "--once"], 3);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("attention: sink out"), "{said}");
    let status = place.status();
    assert_eq!(status["sinks"][0]["state"], "paused");
    assert!(status["sinks"][0]["records_pending"].as_u64().unwrap() > 0);
    fs::remove_file(place.output()).unwrap();
    place.run_to(&["run", "--once"], 0);
    assert_accounts_close(&place, &simulator);
}

#[test]
fn a_spool_smaller_than_the_backlog_still_lets_everything_through() {
    let simulator = Simulator::start(&["--days", "5", "--records-per-file", "50"]);
    let place = Place::new(&simulator, &simulator.sources, "\n[spool]\nmax_bytes = \"500KB\"");
    place.run_to(&["run", "--once"], 0);
    let truth = simulator.tell("/simulator/truth");
    let served: u64 = truth["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|file| {
            ["CODEX_LOG", "CODEX_SECURITY_LOG", "AUTH_LOG", "AUDIT_LOG", "COSTS"]
                .contains(&file["event_type"].as_str().unwrap())
        })
        .map(|file| file["records"].as_u64().unwrap())
        .sum();
    let status = place.status();
    let sink = &status["sinks"][0];
    let accounted =
        sink["records_delivered"].as_u64().unwrap() + sink["repeats_suppressed"].as_u64().unwrap();
    assert_eq!(accounted, served);
    assert!(status["spool"]["bytes"].as_u64().unwrap() < 2_000_000);
}

/// Collected, with nothing delivered: the folder of the sink is a file.
fn collected_only(simulator: &Simulator) -> Place {
    let place = Place::new(simulator, &simulator.sources, "");
    fs::write(place.output(), "in the way").unwrap();
    place.run_to(&["run", "--once"], 3);
    fs::remove_file(place.output()).unwrap();
    place
}

#[test]
fn damaged_spool_files_are_never_delivered_and_fetched_again() {
    let simulator = Simulator::start(&["--days", "2", "--records-per-file", "20"]);
    let place = collected_only(&simulator);
    let spool = place.data().join("spool");
    let flipped = spool.join("000000000002.jsonl");
    let mut bytes = fs::read(&flipped).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&flipped, bytes).unwrap();
    fs::remove_file(spool.join("000000000004.index")).unwrap();
    // Damage is found while delivering, one file after the other, and mended by the next run.
    for _ in 0..6 {
        if place.run(&["run", "--once"]).status.code() == Some(0) {
            break;
        }
    }
    assert_accounts_close(&place, &simulator);
}

#[test]
fn a_spool_without_its_ledger_is_never_emptied() {
    let simulator = Simulator::start(&["--days", "2", "--records-per-file", "20"]);
    let place = collected_only(&simulator);
    let count = || fs::read_dir(place.data().join("spool")).unwrap().count();
    let before = count();
    let ledger = place.data().join("ledger.db");
    let kept = fs::read(&ledger).unwrap();
    for broken in [None, Some(b"")] {
        fs::remove_file(&ledger).unwrap();
        if let Some(bytes) = broken {
            fs::write(&ledger, bytes).unwrap();
        }
        let refused = place.run_to(&["run", "--once"], 78);
        assert!(String::from_utf8_lossy(&refused.stderr).contains("Put the right ledger.db back"));
        assert_eq!(count(), before);
    }
    fs::write(&ledger, kept).unwrap();
    for left in ["ledger.db-wal", "ledger.db-shm"] {
        drop(fs::remove_file(place.data().join(left)));
    }
    place.run_to(&["run", "--once"], 0);
    assert_accounts_close(&place, &simulator);
}

#[test]
fn a_crash_before_the_first_commit_is_mended() {
    let simulator = Simulator::start(&["--days", "1", "--files-per-day", "1", "--records-per-file", "20"]);
    let place = collected_only(&simulator);
    // As a crash leaves it between the first renames and their transaction.
    let ledger = rusqlite::Connection::open(place.data().join("ledger.db")).unwrap();
    let reset = "UPDATE file SET state = 'pending', sequence = NULL, records_before = NULL;
                 UPDATE stream SET files_collected = 0, records_collected = 0";
    ledger.execute_batch(reset).unwrap();
    drop(ledger);
    place.run_to(&["run", "--once"], 0);
    assert_accounts_close(&place, &simulator);
}
