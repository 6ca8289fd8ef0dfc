//! A data folder that is gone comes back from an archive: nothing is lost, nothing is archived twice.
//!
//! `CUSTODEX_KILLS=100 cargo nextest run --release --test it rebuild` is the long campaign.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use custodex::archive::{Envelope, Manifest};
use custodex::digest::{hex, sha256};
use serde_json::Value;

use crate::archive::{archived, files, is_own, objects, of_sources, place, served, small};
use crate::support::{
    Place, Process, Simulator, kill_after, output_bytes, pause, seed_of_kills, wait_within,
};

/// Runs the daemon until it has archived something and so much longer, and ends it cleanly: it seals that.
fn run_for(place: &Place, folder: &Path, life: Duration) {
    let mut process = Process(place.command(&["run"]).spawn().unwrap());
    while objects(folder).is_empty() {
        pause(Duration::from_millis(20));
    }
    pause(life);
    let pid = rustix::process::Pid::from_child(&process.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(wait_within(&mut process, Duration::from_secs(20)), Some(0));
}

fn said(place: &Place, arguments: &[&str], code: i32) -> String {
    let output = place.run_to(arguments, code);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The public key that `check` prints, in a file.
fn public_key(place: &Place, name: &str) -> PathBuf {
    let text = said(place, &["check", "--offline"], 0);
    let pem = &text[text.find("-----BEGIN").unwrap()..];
    let path = place.config().with_file_name(name);
    fs::write(&path, pem).unwrap();
    path
}

/// What tells one object from another that was put in its place.
fn stamps(folder: &Path) -> BTreeSet<(PathBuf, u64, i64, i64)> {
    let stamp = |path: PathBuf| {
        let found = fs::metadata(&path).unwrap();
        (path, found.ino(), found.mtime(), found.mtime_nsec())
    };
    // What a crash left half written has no name yet.
    let is_named = |path: &PathBuf| {
        !path.file_name().unwrap().to_str().unwrap().starts_with('.') && !is_own(path.to_str().unwrap())
    };
    files(folder).into_iter().filter(is_named).map(stamp).collect()
}

/// SHA-256 of every record of every archived log file.
fn archived_records(folder: &Path) -> BTreeSet<String> {
    let content =
        of_sources(folder).into_iter().map(|path| zstd::decode_all(&fs::read(path).unwrap()[..]).unwrap());
    content
        .flat_map(|text| {
            text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| hex(&sha256(l))).collect::<Vec<_>>()
        })
        .collect()
}

/// SHA-256 of every record that the file sink got, at least once; and how many came again.
fn delivered(place: &Place) -> (BTreeSet<String>, usize) {
    let text = String::from_utf8(output_bytes(&place.output())).unwrap();
    let hash = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["provenance"]["raw_sha256"].as_str().unwrap().to_owned()
    };
    let all: Vec<String> = text.lines().map(hash).collect();
    let once: BTreeSet<String> = all.iter().cloned().collect();
    let again = all.len() - once.len();
    (once, again)
}

fn newest_manifest(folder: &Path) -> Manifest {
    let manifests = files(&folder.join("manifest"));
    let newest = manifests.iter().rfind(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
    Manifest::read(&Envelope::read(&fs::read(newest).unwrap()).unwrap().payload).unwrap()
}

/// What must hold after a rebuild and a run to the end: each served file once, no object touched, all sealed.
fn assert_whole(place: &Place, folder: &Path, simulator: &Simulator, keys: &[PathBuf]) -> String {
    assert_eq!(archived(folder), served(simulator));
    let mut arguments = vec!["verify", "--from", "archive", "--deep"];
    for key in keys {
        arguments.extend(["--public-key", key.to_str().unwrap()]);
    }
    let text = said(place, &arguments, 0);
    assert!(!text.contains("not sealed yet"), "{text}");
    assert!(text.contains(&format!("{} log files sealed", objects(folder).len())), "{text}");
    text
}

#[test]
fn a_data_folder_that_is_deleted_in_mid_run_comes_back() {
    let rounds = std::env::var("CUSTODEX_KILLS").map_or(3, |text| text.parse().unwrap());
    let simulator = Simulator::start(&["--files-per-day", "3", "--records-per-file", "30"]);
    let mut random = fastrand::Rng::with_seed(seed_of_kills());
    for round in 0..rounds {
        let (place, folder) = place(&simulator, "");
        run_for(&place, &folder, Duration::from_millis(random.u64(1..400)));
        let old = public_key(&place, "old.pem");
        let mut keys = vec![old.clone()];
        if round % 3 > 0 {
            kill_after(&mut place.command(&["run"]), Duration::from_millis(random.u64(1..900)));
        }
        let before = stamps(&folder);
        let kept = place.config().with_file_name("kept");
        if round % 2 == 0 {
            fs::rename(place.data().join("keys"), &kept).unwrap();
        }
        fs::remove_dir_all(place.data()).unwrap();
        // Killed on its way, it leaves nothing that the next one minds.
        let rebuild = ["rebuild", "--from", "archive", "--public-key", old.to_str().unwrap()];
        for _ in 0..3 {
            let mut process = Process(place.command(&rebuild).spawn().unwrap());
            pause(Duration::from_millis(random.u64(1..60)));
            drop(process.0.kill());
            process.0.wait().unwrap();
            if place.data().join("ledger.db").try_exists().unwrap() {
                fs::remove_dir_all(place.data()).unwrap();
            }
        }
        if round % 2 == 0 {
            fs::create_dir_all(place.data()).unwrap();
            drop(fs::remove_dir_all(place.data().join("keys")));
            fs::rename(&kept, place.data().join("keys")).unwrap();
        }
        let text = said(&place, &rebuild, 0);
        assert!(text.contains("the chain goes on"), "{text}");
        assert_eq!(text.contains("KEY CHANGE"), round % 2 == 1, "{text}");
        assert_eq!(stamps(&folder), before, "a rebuild writes nothing into the archive");
        place.run_to(&["run", "--once"], 0);
        let after = stamps(&folder);
        assert!(before.is_subset(&after), "round {round}: an object was replaced");
        if round % 2 == 1 {
            let refused =
                said(&place, &["verify", "--from", "archive", "--public-key", old.to_str().unwrap()], 3);
            assert!(refused.contains("give it as --public-key too"), "{refused}");
            keys.push(public_key(&place, "new.pem"));
        }
        let text = assert_whole(&place, &folder, &simulator, &keys);
        assert_eq!(text.contains("KEY CHANGE"), round % 2 == 1, "{text}");
        let (got, again) = delivered(&place);
        assert_eq!(got, archived_records(&folder), "round {round}: what the file sink lacks");
        eprintln!("round {round}: {again} records came again");
        let status = place.status();
        assert_eq!(
            (&status["sinks"][0]["state"], &status["sinks"][1]["state"]),
            (&"ok".into(), &"ok".into())
        );
    }
}

#[test]
fn what_sinks_had_is_not_sent_again_and_what_was_pending_is_fetched() {
    let simulator = small();
    let (place, folder) = place(&simulator, "");
    place.run_to(&["run", "--once"], 0);
    let manifest = newest_manifest(&folder);
    assert_eq!(manifest.positions.len(), 2);
    assert!(manifest.positions.iter().find(|one| one.sink == "out").unwrap().next.is_none());
    let status = place.status();
    let before = (delivered(&place), stamps(&folder.join("raw")));
    fs::remove_dir_all(place.data()).unwrap();
    let text = said(&place, &["rebuild", "--from", folder.to_str().unwrap()], 0);
    assert!(text.contains(&format!("rebuilt: {} log files", manifest.files.len())), "{text}");
    assert!(text.contains("no --public-key is given"), "{text}");
    let rebuilt = place.status();
    assert_same_streams(&status, &rebuilt);
    place.run_to(&["run", "--once"], 0);
    assert_eq!((delivered(&place), stamps(&folder.join("raw"))), before, "nothing came again");
    assert_same_streams(&status, &place.status());
    // All of it, to whoever did not have it after all.
    fs::remove_dir_all(place.data()).unwrap();
    fs::remove_dir_all(place.output()).unwrap();
    let since = ["rebuild", "--from", "archive", "--deliver-since", "2000-01-01T00:00:00Z"];
    let text = said(&place, &since, 0);
    assert!(text.contains(&format!("it gets {} log files", served(&simulator).len())), "{text}");
    place.run_to(&["run", "--once"], 0);
    assert_eq!(delivered(&place).0, archived_records(&folder));
}

#[test]
fn only_what_is_lost_is_made_anew_and_never_beside_a_daemon() {
    let simulator = small();
    let (place, folder) = place(&simulator, "");
    let rebuild = ["rebuild", "--from", "archive"];
    assert!(said(&place, &rebuild, 1).contains("cannot be read"));
    fs::create_dir(&folder).unwrap();
    assert!(said(&place, &rebuild, 2).contains("nor anything else"));
    place.run_to(&["run", "--once"], 0);
    let before = stamps(&folder);
    assert!(said(&place, &rebuild, 2).contains("--replace"));
    let mut daemon = Process(place.command(&["run"]).spawn().unwrap());
    let socket = place.data().join("control.sock");
    while !socket.try_exists().unwrap() {
        pause(Duration::from_millis(20));
    }
    said(&place, &rebuild, 4);
    daemon.0.kill().unwrap();
    daemon.0.wait().unwrap();
    // Only the ledger is gone: the spool stays, aside.
    let before_spool = fs::read_dir(place.data().join("spool")).unwrap().count();
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        drop(fs::remove_file(place.data().join(name)));
    }
    let refused = said(&place, &["run", "--once"], 78);
    assert!(refused.contains("custodex rebuild"), "{refused}");
    fs::remove_file(place.data().join("ledger.db")).unwrap();
    let text = said(&place, &rebuild, 0);
    assert!(text.contains("moved aside") && text.contains("0 are in no archive"), "{text}");
    let lost: Vec<PathBuf> = fs::read_dir(place.data())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("lost-"))
        .collect();
    assert_eq!(fs::read_dir(lost[0].join("spool")).unwrap().count(), before_spool);
    place.run_to(&["run", "--once"], 0);
    assert!(before.is_subset(&stamps(&folder)));
    assert_whole(&place, &folder, &simulator, &[]);
    // A ledger begun after the loss is in the way, until it is told to go.
    fs::remove_dir_all(place.data()).unwrap();
    let paused = said(&place, &["run", "--once"], 3);
    assert!(paused.contains("rebuild --from archive"), "{paused}");
    pause(Duration::from_millis(1100));
    said(&place, &rebuild, 2);
    said(&place, &["rebuild", "--from", "archive", "--replace"], 0);
    place.run_to(&["run", "--once"], 0);
    assert_whole(&place, &folder, &simulator, &[]);
}

#[test]
fn a_chain_that_is_broken_or_anothers_is_named_and_nothing_is_made() {
    let simulator = small();
    let (place, folder) = place(&simulator, "");
    for _ in 0..3 {
        place.run_to(&["run", "--once"], 0);
    }
    let text = fs::read_to_string(place.config()).unwrap();
    fs::remove_dir_all(place.data()).unwrap();
    fs::write(place.config(), format!("instance = \"other\"\n{text}")).unwrap();
    let refused = said(&place, &["rebuild", "--from", "archive"], 2);
    assert!(refused.contains("manifest/v1/custodex/"), "{refused}");
    fs::write(place.config(), &text).unwrap();
    assert!(said(&place, &["rebuild", "--from", "/"], 2).contains("[\"archive\"]"));
    assert!(said(&place, &["rebuild", "--from", "out"], 2).contains("[\"archive\"]"));
    let victim = folder.join("manifest/v1/custodex/000000000002.json");
    let whole = fs::read(&victim).unwrap();
    let other = fs::read(folder.join("manifest/v1/custodex/000000000001.json")).unwrap();
    for broken in [None, Some(&whole[1..]), Some(&other[..])] {
        match broken {
            Some(bytes) => fs::write(&victim, bytes).unwrap(),
            None => fs::remove_file(&victim).unwrap(),
        }
        let refused = said(&place, &["rebuild", "--from", "archive"], 3);
        assert!(
            refused.contains("FAULT manifest/v1/custodex/") && refused.contains("another `instance`"),
            "{refused}"
        );
        assert_eq!(files(&place.data()), Vec::<PathBuf>::new(), "nothing is left of it");
    }
    fs::write(&victim, whole).unwrap();
    // An object that is gone is told, and stops nothing.
    let gone = objects(&folder).remove(0);
    let bytes = fs::read(&gone).unwrap();
    fs::remove_file(&gone).unwrap();
    let text = said(&place, &["rebuild", "--from", "archive"], 0);
    assert!(text.contains("and is gone"), "{text}");
    fs::write(&gone, bytes).unwrap();
    place.run_to(&["run", "--once"], 0);
    assert_whole(&place, &folder, &simulator, &[]);
}

/// What the ledger knew of streams is known again.
fn assert_same_streams(before: &Value, after: &Value) {
    let of = |status: &Value| -> Vec<Vec<Value>> {
        let fields = [
            "source",
            "principal",
            "event_type",
            "cursor",
            "files_collected",
            "records_collected",
            "files_pending",
            "holes",
            "lateness_max_seconds",
        ];
        let streams = status["streams"].as_array().unwrap().iter();
        streams.map(|stream| fields.map(|field| stream[field].clone()).to_vec()).collect()
    };
    assert_eq!(of(before), of(after));
}

/// A second archive, in a folder of its own.
fn with_second(place: &Place) -> PathBuf {
    let folder = place.config().with_file_name("second");
    let text = fs::read_to_string(place.config()).unwrap();
    let sink =
        format!("\n[sinks.second]\ntype = \"directory\"\ndirectory = {:?}\n", folder.to_str().unwrap());
    fs::write(place.config(), text + &sink).unwrap();
    folder
}

#[test]
fn two_archives_go_on_each_with_its_own_chain() {
    let simulator = small();
    for from in ["archive", "second"] {
        let (place, first) = place(&simulator, "");
        let second = with_second(&place);
        run_for(&place, &first, Duration::from_millis(50));
        kill_after(&mut place.command(&["run"]), Duration::from_millis(100));
        // One of them was away meanwhile.
        let away = place.config().with_file_name("away");
        fs::rename(&second, &away).unwrap();
        fs::write(&second, "").unwrap();
        place.run_to(&["run", "--once"], 3);
        fs::remove_file(&second).unwrap();
        let before = stamps(&first);
        fs::remove_dir_all(place.data()).unwrap();
        fs::write(&second, "").unwrap();
        assert!(said(&place, &["rebuild", "--from", "archive"], 1).contains("\"second\""));
        fs::remove_file(&second).unwrap();
        fs::rename(&away, &second).unwrap();
        let before_second = stamps(&second);
        let text = said(&place, &["rebuild", "--from", from], 0);
        assert_eq!(text.matches("the chain goes on").count(), 2, "{text}");
        place.run_to(&["run", "--once"], 0);
        for folder in [&first, &second] {
            assert_eq!(archived(folder), served(&simulator), "{}", folder.display());
            let text = said(&place, &["verify", "--from", folder.to_str().unwrap(), "--deep"], 0);
            assert!(!text.contains("not sealed yet"), "{text}");
        }
        assert!(before.is_subset(&stamps(&first)) && before_second.is_subset(&stamps(&second)));
        assert_eq!(delivered(&place).0, archived_records(&first));
    }
}

#[test]
fn an_archive_that_lacks_log_files_gets_them_from_the_other() {
    let simulator = small();
    let (place, first) = place(&simulator, "");
    let second = with_second(&place);
    // Away from the start: there is no chain, but the other's says how far it is.
    fs::write(&second, "").unwrap();
    place.run_to(&["run", "--once"], 3);
    fs::remove_file(&second).unwrap();
    fs::create_dir(&second).unwrap();
    fs::remove_dir_all(place.data()).unwrap();
    assert!(said(&place, &["rebuild", "--from", "second"], 2).contains("nor anything else"));
    let text = said(&place, &["rebuild", "--from", "archive"], 0);
    let all = served(&simulator).len();
    assert!(text.contains("no chain yet") && text.contains(&format!("it gets {all} from there")), "{text}");
    place.run_to(&["run", "--once"], 0);
    for folder in [&first, &second] {
        assert_eq!(archived(folder), served(&simulator));
        said(&place, &["verify", "--from", folder.to_str().unwrap(), "--deep"], 0);
    }
}

#[test]
fn an_unsealed_log_file_that_is_listed_no_more_is_sealed_as_found() {
    let simulator = small();
    let (place, folder) = place(&simulator, "");
    place.run_to(&["run", "--once"], 0);
    let content = b"{\"event_id\":\"old\",\"timestamp\":\"2020-01-02T03:04:05Z\"}\n";
    let stream = objects(&folder).remove(0);
    let stream = stream.parent().unwrap().parent().unwrap();
    let (day, digits) = (stream.join("dt=2020-01-02"), &hex(&sha256(content))[..8]);
    fs::create_dir_all(&day).unwrap();
    let (old, bad) =
        (format!("20200102T030405Z_eclf_old_{digits}.jsonl"), "20200102T030405Z_eclf_bad_00000000.jsonl");
    fs::write(day.join(&old), content).unwrap();
    fs::write(day.join(bad), content).unwrap();
    fs::remove_dir_all(place.data()).unwrap();
    let text = said(&place, &["rebuild", "--from", "archive"], 0);
    assert!(text.contains("1 log files lay there unsealed"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("FAULT raw/v1/") && line.contains(bad)), "{text}");
    assert!(text.contains("sink out: goes on") && text.contains("1 log files with 1 records"), "{text}");
    fs::remove_file(day.join(bad)).unwrap();
    place.run_to(&["run", "--once"], 0);
    let text = said(&place, &["verify", "--from", "archive", "--deep"], 0);
    assert!(text.contains("found by a rebuild: 1 of") && !text.contains("not sealed yet"), "{text}");
    assert!(delivered(&place).0.contains(&hex(&sha256(&content[..content.len() - 1]))));
    let sealed = newest_manifest(&folder).files;
    let mut served = sealed.iter().filter(|file| !is_own(&file.key));
    assert!(served.all(|file| file.found && file.file_id == "eclf_old"));
}

#[test]
fn without_any_manifest_the_listing_alone_brings_it_back() {
    let simulator = Simulator::start(&["--files-per-day", "3", "--records-per-file", "30"]);
    let (place, folder) = place(&simulator, "");
    let mut process = Process(place.command(&["run"]).spawn().unwrap());
    while stamps(&folder.join("raw")).len() < 10 {
        pause(Duration::from_millis(20));
    }
    process.0.kill().unwrap();
    process.0.wait().unwrap();
    let before = stamps(&folder);
    fs::remove_dir_all(place.data()).unwrap();
    let text = said(&place, &["rebuild", "--from", "archive"], 0);
    assert!(text.contains("no chain yet") && text.contains("not sealed yet"), "{text}");
    place.run_to(&["run", "--once"], 0);
    assert!(before.is_subset(&stamps(&folder)));
    assert_whole(&place, &folder, &simulator, &[]);
    assert_eq!(delivered(&place).0, archived_records(&folder));
}

#[test]
fn what_another_instance_sealed_is_not_taken_in() {
    let simulator = small();
    let (place, folder) = place(&simulator, "");
    place.run_to(&["run", "--once"], 0);
    let text = fs::read_to_string(place.config()).unwrap();
    fs::remove_dir_all(place.data()).unwrap();
    fs::write(place.config(), format!("instance = \"other\"\n{text}")).unwrap();
    place.run_to(&["run", "--once"], 0);
    // An old log file that only the first instance knows, and the key that only the other pins.
    let key = public_key(&place, "other.pem");
    let content = b"{}\n";
    let stream = objects(&folder).remove(0).parent().unwrap().parent().unwrap().to_owned();
    fs::create_dir_all(stream.join("dt=2020-01-02")).unwrap();
    let name = format!("20200102T030405Z_old_{}.jsonl", &hex(&sha256(content))[..8]);
    fs::write(stream.join("dt=2020-01-02").join(name), content).unwrap();
    for (instance, taken) in [("", true), ("instance = \"other\"\n", false)] {
        fs::write(place.config(), format!("{instance}{text}")).unwrap();
        fs::remove_dir_all(place.data()).unwrap();
        let mut arguments = vec!["rebuild", "--from", "archive"];
        if !taken {
            arguments.extend(["--public-key", key.to_str().unwrap()]);
        }
        let text = said(&place, &arguments, 0);
        assert_eq!(text.contains("1 log files lay there unsealed"), taken, "{text}");
        place.run_to(&["run", "--once"], 0);
    }
    said(&place, &["verify", "--from", "archive", "--deep"], 0);
}

#[cfg(feature = "s3")]
#[test]
fn moto_gives_a_data_folder_back() {
    use crate::s3::{Store, assert_archived};

    let simulator = small();
    for round in 0..2 {
        let store = Store::moto();
        // Every put that replaces something makes a version.
        store.tool(&["make", "audit-archive", "lock"]);
        let place = store.place(&simulator, "");
        let run = |arguments: &[&str], code| store.run(&place, arguments, code);
        let mut process = Process(store.command(&place, &["run"]).spawn().unwrap());
        pause(Duration::from_millis(700));
        let pid = rustix::process::Pid::from_child(&process.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(wait_within(&mut process, Duration::from_secs(20)), Some(0));
        kill_after(&mut store.command(&place, &["run"]), Duration::from_millis(300 + 300 * round));
        fs::remove_dir_all(place.data()).unwrap();
        let from = ["archive", "s3://audit-archive/openai/"][usize::try_from(round).unwrap()];
        for _ in 0..3 {
            let mut process = Process(store.command(&place, &["rebuild", "--from", from]).spawn().unwrap());
            pause(Duration::from_millis(40));
            drop(process.0.kill());
            process.0.wait().unwrap();
        }
        drop(fs::remove_dir_all(place.data()));
        let text = run(&["rebuild", "--from", from], 0);
        assert!(text.contains("the chain goes on") && text.contains("KEY CHANGE"), "{text}");
        run(&["run", "--once"], 0);
        assert_archived(&store.versions(), &simulator);
        let text = run(&["verify", "--from", "archive", "--deep"], 0);
        assert!(text.contains("KEY CHANGE") && !text.contains("not sealed yet"), "{text}");
    }
}
