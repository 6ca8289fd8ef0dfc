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
