//! Records, byte for byte: `tests/golden/<EVENT TYPE>.jsonl` and what becomes of it in each format, beside it.
//!
//! A difference is a change of the published format. `UPDATE_GOLDEN=1` writes what is made now; read it
//! before it is kept.

use std::path::{Path, PathBuf};

use super::*;

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

#[test]
fn native_records_are_as_they_were() {
    are_as_they_were(FULL);
}

#[test]
fn ecs_documents_are_as_they_were() {
    are_as_they_were(Options { format: Format::Ecs, ..FULL });
}

#[test]
fn ocsf_events_are_as_they_were() {
    are_as_they_were(Options { format: Format::Ocsf, ..FULL });
}

fn are_as_they_were(options: Options) {
    let update = std::env::var("UPDATE_GOLDEN").is_ok();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(event_type) = name.strip_suffix(".jsonl").filter(|stem| !stem.contains('.')) else {
            continue;
        };
        let records = encode_all(&origin(event_type), &std::fs::read(&path).unwrap(), options);
        let made: String = records.iter().flat_map(|record| [record.as_str(), "\n"]).collect();
        let expected = path.with_file_name(format!("{event_type}.{}.jsonl", options.format.name()));
        if update {
            std::fs::write(&expected, &made).unwrap();
        }
        let kept = std::fs::read_to_string(&expected).unwrap_or_default();
        for (number, (made, kept)) in made.lines().zip(kept.lines()).enumerate() {
            assert_eq!(made, kept, "{event_type}, record {}", number + 1);
        }
        assert_eq!(made, kept, "{event_type}");
        seen += 1;
    }
    assert!(seen >= 13, "every event type has its file");
}
