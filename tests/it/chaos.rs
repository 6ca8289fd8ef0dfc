//! The API misbehaves in every way that was ever seen.

use crate::support::{Place, Simulator, TYPES, assert_accounts_close};

#[test]
fn chaos_costs_nothing() {
    for seed in ["1", "2"] {
        let simulator = Simulator::start(&[
            "--chaos",
            "--seed",
            seed,
            "--files-per-day",
            "2",
            "--records-per-file",
            "20",
        ]);
        let place = Place::new(&simulator, &simulator.sources_with(TYPES), "rotate_bytes = \"4MB\"");
        for arguments in [&["run", "--once"][..], &["run", "--once"], &["run", "--once", "--sweep"]] {
            let code = place.run(arguments).status.code();
            assert!(matches!(code, Some(0 | 3)), "seed {seed}: {arguments:?} exits {code:?}");
        }
        assert_accounts_close(&place, &simulator);
        let violations = simulator.tell("/simulator/violations");
        assert_eq!(violations.as_array().map(Vec::len), Some(0), "seed {seed}: {violations:#}");
        holes_are_only_what_is_gone(&place, &simulator);
    }
}

fn holes_are_only_what_is_gone(place: &Place, simulator: &Simulator) {
    let truth = simulator.tell("/simulator/truth");
    let gone = truth["files"].as_array().unwrap().iter().filter(|file| file["gone"] == true);
    let mut gone: Vec<String> = gone.map(|file| file["id"].as_str().unwrap().to_owned()).collect();
    let listed = String::from_utf8(place.run_to(&["holes"], 0).stdout).unwrap();
    let rows: Vec<Vec<&str>> = listed.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let mut holes: Vec<String> = rows.iter().map(|row| row[2].to_owned()).collect();
    gone.sort();
    holes.sort();
    assert!(!gone.is_empty());
    assert_eq!(holes, gone);
    // Attention ends when somebody has looked.
    place.run_to(&["run", "--once"], 3);
    for row in &rows {
        place.run_to(&["holes", "--acknowledge", row[0]], 0);
    }
    place.run_to(&["run", "--once"], 0);
}
