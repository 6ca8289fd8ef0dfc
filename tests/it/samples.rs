//! Real-shaped records of every event type arrive, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::support::{Place, Simulator, TYPES, shared};

#[derive(Deserialize)]
struct Named {
    event_id: String,
}

#[test]
fn every_sample_line_arrives_once_byte_for_byte() {
    let Some(folder) = shared("samples/compliance") else { return };
    let simulator = Simulator::start(&["--records-from", folder.to_str().unwrap()]);
    let place = Place::new(&simulator, &simulator.sources_with(TYPES), "include_raw = true");
    place.run_to(&["run", "--once"], 0);
    let mut expected: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "jsonl") {
            let bytes = fs::read(path).unwrap();
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.for_each(|line| *expected.entry(line.to_vec()).or_default() += 1);
        }
    }
    // A line that is there twice and names itself is a repeat, and arrives once.
    let named =
        |line: &[u8]| serde_json::from_slice::<Named>(line).is_ok_and(|line| !line.event_id.is_empty());
    for (line, count) in &mut expected {
        if named(line) {
            *count = 1;
        }
    }
    let records = place.records();
    let mut arrived: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for record in &records {
        let raw = record.raw.as_deref().unwrap();
        let raw = match record.raw_encoding.as_deref() {
            Some("base64") => STANDARD.decode(raw).unwrap(),
            _ => raw.into(),
        };
        *arrived.entry(raw).or_default() += 1;
    }
    let missing = expected.iter().filter(|(line, count)| arrived.get(*line) != Some(count)).count();
    assert_eq!((missing, arrived.len()), (0, expected.len()), "lines that arrived otherwise than once");
    let types: BTreeSet<&str> = records.iter().map(|record| record.event_type.as_str()).collect();
    assert_eq!(types.len(), TYPES.len() + 1, "{types:?}");
    let categories: BTreeSet<&str> = records.iter().map(|record| record.category.as_str()).collect();
    assert!(categories.len() >= 10, "{categories:?}");
}
