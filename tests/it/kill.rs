//! Killed at any moment, nothing is lost and nothing is there twice.
//!
//! `CUSTODEX_KILLS=200 cargo nextest run --release --test it killed` is the long campaign; CONTRIBUTING.md says more.

use std::time::Duration;

use crate::support::{Place, Simulator, assert_accounts_close, kill_after, output_bytes, seed_of_kills};

/// Kills of one data folder before it is let finish.
const KILLS_A_ROUND: u64 = 10;
/// A process lives at most this long before it is killed, milliseconds.
const LIFE: u64 = 700;

#[test]
fn killed_at_any_moment_nothing_is_lost_or_twice() {
    let kills: u64 = std::env::var("CUSTODEX_KILLS").map_or(20, |text| text.parse().unwrap());
    let simulator = Simulator::start(&["--files-per-day", "6", "--records-per-file", "60"]);
    let mut random = fastrand::Rng::with_seed(seed_of_kills());
    for round in 0..kills.div_ceil(KILLS_A_ROUND) {
        let place = Place::new(&simulator, &simulator.sources, "rotate_bytes = \"3MB\"");
        let mut read = Vec::new();
        for _ in 0..KILLS_A_ROUND {
            kill_after(&mut place.command(&["run"]), Duration::from_millis(random.u64(1..LIFE)));
            follow(&place, &mut read, round);
        }
        place.run_to(&["run", "--once"], 0);
        follow(&place, &mut read, round);
        assert_accounts_close(&place, &simulator);
    }
}

/// A reader that went by offset must find what it has read unchanged, and only more behind it.
pub fn follow(place: &Place, seen: &mut Vec<u8>, round: u64) {
    if !place.output().is_dir() {
        return;
    }
    let now = output_bytes(&place.output());
    // A torn last line is no record yet; a reader waits for its end.
    let whole = seen.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    assert!(now.len() >= whole, "round {round}: the output became shorter");
    assert!(now[..whole] == seen[..whole], "round {round}: what was read has changed");
    *seen = now;
}
