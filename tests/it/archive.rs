//! Directory archives: what was served lies there, once, whatever happens.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use custodex::archive::{Packing, unpack};
use custodex::digest::{hex, sha256};

use crate::support::{Place, Simulator, kill_after, seed_of_kills};

/// Event types the default sources collect.
const COLLECTED: [&str; 5] = ["CODEX_LOG", "CODEX_SECURITY_LOG", "AUTH_LOG", "AUDIT_LOG", "COSTS"];
/// Kills of one data folder before it is let finish.
const KILLS_A_ROUND: u64 = 10;
/// A process lives at most this long before it is killed, milliseconds.
const LIFE: u64 = 700;

pub fn small() -> Simulator {
    Simulator::start(&["--days", "4", "--files-per-day", "3", "--records-per-file", "30"])
}

/// A place whose only other sink is a directory archive with more keys.
pub fn place(simulator: &Simulator, more: &str) -> (Place, PathBuf) {
    let place = Place::new(simulator, &simulator.sources, "");
    let folder = place.data().parent().unwrap().join("archive");
    let sink = format!(
        "\n[sinks.archive]\ntype = \"directory\"\ndirectory = {:?}\n{more}",
        folder.to_str().unwrap()
    );
    place.configure(&simulator.sources, &sink);
    (place, folder)
}

/// SHA-256 of what each served log file holds, by its id.
pub fn served(simulator: &Simulator) -> BTreeMap<String, String> {
    let truth = simulator.tell("/simulator/truth");
    let files = truth["files"].as_array().unwrap().iter();
    let files = files.filter(|file| COLLECTED.contains(&file["event_type"].as_str().unwrap()));
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    files.map(|file| (text(&file["id"]), text(&file["sha256"]))).collect()
}

/// Every file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// SHA-256 of the content of each object, by the file id in its name; checks the rest of the name.
pub fn content_of(key: &str, bytes: &[u8]) -> (String, String) {
    let packing = [Packing::Zstd, Packing::Gzip, Packing::None]
        .into_iter()
        .find(|packing| key.ends_with(&format!(".jsonl{}", packing.ending())))
        .unwrap_or_else(|| panic!("{key}"));
    let mut content = Vec::new();
    unpack(packing, bytes).unwrap().read_to_end(&mut content).unwrap();
    let hash = hex(&sha256(&content));
    let name = key.rsplit('/').next().unwrap().split(".jsonl").next().unwrap();
    let (rest, digits) = name.rsplit_once('_').unwrap();
    let (time, id) = rest.split_once('_').unwrap();
    assert_eq!(digits, &hash[..8], "{key}");
    let day = format!("dt={}-{}-{}", &time[..4], &time[4..6], &time[6..8]);
    assert!(key.contains(&day) && key.contains("raw/v1/principal="), "{key}");
    (id.to_owned(), hash)
}

/// Those that hold log files.
pub fn objects(folder: &Path) -> Vec<PathBuf> {
    files(&folder.join("raw"))
}

/// Whether an object is of custodex's own audit trail, which archives get beside what was served.
pub fn is_own(key: &str) -> bool {
    key.contains("/event_type=CUSTODEX_LOG/")
}

/// Objects that hold what was served.
pub fn of_sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = objects(folder);
    found.retain(|path| !is_own(path.to_str().unwrap()));
    found
}

pub fn archived(folder: &Path) -> BTreeMap<String, String> {
    let files = of_sources(folder);
    let found: BTreeMap<String, String> = files
        .iter()
        .map(|path| {
            content_of(path.strip_prefix(folder).unwrap().to_str().unwrap(), &fs::read(path).unwrap())
        })
        .collect();
    assert_eq!(found.len(), files.len(), "a log file is there twice");
    found
}

#[test]
fn every_served_file_is_archived_and_a_second_delivery_changes_nothing() {
    let simulator = small();
    for compression in ["zstd", "gzip", "none"] {
        let (place, folder) = place(&simulator, &format!("compression = {compression:?}"));
        place.run_to(&["check"], 0);
        assert!(!folder.try_exists().unwrap(), "a probe writes nothing");
        place.run_to(&["run", "--once"], 0);
        assert_eq!(archived(&folder), served(&simulator));
        let status = place.status();
        let sink =
            &status["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == "archive").unwrap();
        assert_eq!((&sink["guarantee"], &sink["state"]), (&"durable".into(), &"ok".into()));
        assert_eq!((&sink["records_pending"], &sink["repeats_suppressed"]), (&0.into(), &0.into()));
        let stamps = |folder: &Path| -> Vec<(u64, i64, i64)> {
            let metadata = of_sources(folder).into_iter().map(|path| fs::metadata(path).unwrap());
            metadata.map(|found| (found.ino(), found.mtime(), found.mtime_nsec())).collect()
        };
        let before = stamps(&folder);
        place.begin_anew();
        place.run_to(&["run", "--once"], 0);
        assert_eq!(stamps(&folder), before, "{compression}");
        assert_eq!(files(&place.data().join("outgoing")), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_changed_object_is_an_alarm_and_nothing_is_overwritten() {
    let simulator = small();
    let (place, folder) = place(&simulator, "");
    place.run_to(&["run", "--once"], 0);
    let victim = of_sources(&folder).remove(0);
    let whole = fs::read(&victim).unwrap();
    fs::write(&victim, zstd::encode_all(&b"forged\n"[..], 3).unwrap()).unwrap();
    let forged = fs::read(&victim).unwrap();
    place.begin_anew();
    let output = place.run_to(&["run", "--once"], 3);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ERROR") && said.contains("with other content"), "{said}");
    assert_eq!(fs::read(&victim).unwrap(), forged);
    fs::write(&victim, whole).unwrap();
    place.run_to(&["run", "--once"], 0);
    assert_eq!(archived(&folder), served(&simulator));
}

#[test]
fn killed_at_any_moment_each_log_file_is_archived_once() {
    let kills: u64 = std::env::var("CUSTODEX_KILLS").map_or(20, |text| text.parse().unwrap());
    let simulator = Simulator::start(&["--files-per-day", "6", "--records-per-file", "60"]);
    let mut random = fastrand::Rng::with_seed(seed_of_kills());
    for round in 0..kills.div_ceil(KILLS_A_ROUND) {
        let (place, folder) = place(&simulator, "");
        for _ in 0..KILLS_A_ROUND {
            kill_after(&mut place.command(&["run"]), Duration::from_millis(random.u64(1..LIFE)));
            // A name that can be seen is a whole object.
            let whole = objects(&folder)
                .into_iter()
                .filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.'));
            for path in whole {
                content_of(path.to_str().unwrap(), &fs::read(&path).unwrap());
            }
        }
        place.run_to(&["run", "--once"], 0);
        assert_eq!(archived(&folder), served(&simulator), "round {round}");
    }
}
