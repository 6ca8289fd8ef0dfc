//! Records are found in an archive, followed through it, and shown as one session.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::archive::{objects, place, small};
use crate::support::{PROGRAM, Place};

/// Whether a record is what selectors ask for.
type Fits<'a> = &'a dyn Fn(&Value) -> bool;

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What the file sink got.
fn delivered(place: &Place) -> Vec<Value> {
    lines(&fs::read(place.output().join("custodex.jsonl")).unwrap())
}

/// Runs it on a machine without a configuration.
fn alone(arguments: &[&str], code: i32) -> (String, String) {
    let mut command = Command::new(PROGRAM);
    command.env("CUSTODEX_CONFIG", "/nowhere/config.toml").args(arguments);
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?} said:\n{said}");
    (text(&output.stdout), said)
}

#[test]
fn a_record_is_followed_by_hand() {
    let simulator = small();
    let (place, folder) = place(&simulator, "");
    place.run_to(&["run", "--once"], 0);
    let from = folder.to_str().unwrap();
    let records = delivered(&place);
    let wanted = records.iter().find(|record| record["category"] == "prompt").unwrap();
    let prompt = wanted["prompt_text"].as_str().unwrap();
    let session = wanted["session"]["session_id"].as_str().unwrap();
    // It is found by its text, with all its fields, as the sink got it.
    let search =
        ["search", "--from", "archive", "--output", "jsonl", "--contains", prompt, "--session", session];
    let found = lines(&place.run_to(&search, 0).stdout);
    let same = found.iter().find(|record| record["id"] == wanted["id"]).unwrap();
    assert_eq!(same, wanted);
    let id = wanted["id"].as_str().unwrap();
    // Its life.
    let life = text(&place.run_to(&["explain", id, "--from", "archive"], 0).stdout);
    let provenance = &wanted["provenance"];
    let file_id = provenance["log_file_id"].as_str().unwrap();
    let at = format!("line {}, byte {}, ", provenance["line_number"], provenance["byte_offset"]);
    for part in [
        id,
        "PROMPT_SENT of CODEX_LOG, category prompt",
        file_id,
        provenance["file_sha256"].as_str().unwrap(),
        provenance["raw_sha256"].as_str().unwrap(),
        &at,
        wanted["time"].as_str().unwrap(),
        wanted["observed_time"].as_str().unwrap(),
        "sink        out: confirmed, durable",
        "sink        archive: confirmed, durable",
        "in manifest 1 of custodex",
        "after it happened",
    ] {
        assert!(life.contains(part), "{part} is not in\n{life}");
    }
    // By its place it is the same, from the ledger alone and from the archive alone.
    let by_place = format!("{file_id}:{}", provenance["byte_offset"]);
    let own = text(&place.run_to(&["explain", &by_place], 0).stdout);
    assert!(own.contains(id) && own.contains("confirmed") && !own.contains("sealed"), "{own}");
    let (far, said) = alone(&["explain", &by_place, "--from", from], 0);
    assert!(far.contains(id) && far.contains(&at) && far.contains("manifest 1"), "{far}");
    assert!(said.contains("no ledger at hand"), "{said}");
    let (far, said) = alone(&["explain", id, "--from", from], 0);
    assert!(far.contains(id) && said.contains("every record of the archive"), "{far}{said}");
    // And it is proved.
    let root = place.data().parent().unwrap().to_owned();
    let [key, proof] = ["key.pem", "proof.json"].map(|name| root.join(name));
    let pem = text(&place.run_to(&["check", "--offline"], 0).stderr);
    fs::write(&key, &pem[pem.find("-----BEGIN").unwrap()..]).unwrap();
    let [key, proof] = [&key, &proof].map(|path| path.to_str().unwrap());
    place.run_to(&["prove", id, "--from", "archive", "--out", proof], 0);
    place.run_to(&["verify", "--proof", proof, "--public-key", key], 0);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/check_proof.py");
    assert!(Command::new("python3").arg(script).args([proof, key]).output().unwrap().status.success());
    // What nobody knows.
    place.run_to(&["explain", &"0".repeat(32), "--from", "archive"], 3);
    place.run_to(&["explain", "nothing"], 2);
    alone(&["explain", id], 2);
    // The spool forgets; ledger and archive do not.
    fs::remove_dir_all(place.data().join("spool")).unwrap();
    let life = text(&place.run_to(&["explain", id, "--from", "archive"], 0).stdout);
    for part in
        [id, &at, "in manifest 1 of custodex", "is not known there any more", "out: is past this log file"]
    {
        assert!(life.contains(part), "{part} is not in\n{life}");
    }
    assert!(!place.data().join("spool").try_exists().unwrap());
    place.run_to(&["explain", id], 3);
    let file = text(&place.run_to(&["explain", &by_place], 3).stdout);
    assert!(file.contains(provenance["file_sha256"].as_str().unwrap()), "{file}");
}

#[test]
fn what_is_found_is_what_was_delivered() {
    let simulator = small();
    let (place, folder) = place(&simulator, "");
    place.run_to(&["run", "--once"], 0);
    let from = folder.to_str().unwrap();
    let records = delivered(&place);
    let ids = |records: &[&Value]| records.iter().map(|one| one["id"].to_string()).collect::<BTreeSet<_>>();
    let search = |more: &[&str]| {
        let arguments = [&["search", "--from", from, "--output", "jsonl"], more].concat();
        lines(alone(&arguments, 0).0.as_bytes())
    };
    let user = records.iter().find_map(|record| record["actor"]["email"].as_str()).unwrap();
    let mut times: Vec<&str> = records.iter().filter_map(|record| record["time"].as_str()).collect();
    times.sort_unstable();
    let middle = times[times.len() / 2];
    let at = |record: &Value| record["time"].as_str().unwrap_or_default().to_owned();
    let selectors: [(&[&str], Fits<'_>); 6] = [
        (&[], &|_| true),
        (&["--since", middle], &|record| at(record).as_str() >= middle),
        (&["--until", middle], &|record| !at(record).is_empty() && at(record).as_str() < middle),
        (&["--user", user], &|record| record["actor"]["email"] == user),
        (&["--category", "auth", "--category", "tool"], &|record| {
            record["category"] == "auth" || record["category"] == "tool"
        }),
        (&["--event-type", "CODEX_LOG", "--action", "PROMPT_SENT"], &|record| {
            record["event_type"] == "CODEX_LOG" && record["action"] == "PROMPT_SENT"
        }),
    ];
    for (more, fits) in selectors {
        let found = search(more);
        let served = |record: &&Value| record["event_type"] != "CUSTODEX_LOG";
        let expected: Vec<&Value> = records.iter().filter(|record| fits(record)).collect();
        // Repeats have left the sink's records, not the archive.
        assert_eq!(ids(&found.iter().filter(served).collect::<Vec<_>>()), ids(&expected), "{more:?}");
        assert!(!expected.is_empty(), "{more:?}");
    }
    let table = alone(&["search", "--from", from, "--limit", "3"], 0);
    assert_eq!((table.0.lines().count(), table.1.contains("--limit was reached")), (4, true), "{table:?}");
    let csv = alone(&["search", "--from", from, "--output", "csv", "--category", "auth"], 0).0;
    assert!(csv.starts_with("time,event_type,action,category,"), "{csv}");
    assert_eq!(csv.matches("\r\n").count(), 1 + search(&["--category", "auth"]).len());
    let dry = alone(&["search", "--from", from, "--dry-run", "--event-type", "AUTH_LOG"], 0).0;
    let auth = objects(&folder).iter().filter(|path| path.to_str().unwrap().contains("AUTH_LOG")).count();
    assert!(dry.starts_with(&format!("{auth} objects to read, ")), "{dry}");
    let (out, said) = alone(&["search", "--from", from, "--contains", "nobody wrote this"], 0);
    assert_eq!((out.lines().count(), said.contains("nothing matched")), (1, true), "{said}");
    alone(&["search", "--from", from, "--since", "yesterday"], 2);
    alone(&["search", "--from", from, "--since", "2026-07-02", "--until", "2026-07-01"], 2);
    alone(&["search", "--from", from, "--category", "none"], 2);
    // What is damaged is named, and the others are read.
    let (gone, torn) = (objects(&folder).remove(0), objects(&folder).remove(1));
    fs::remove_file(&gone).unwrap();
    let bytes = fs::read(&torn).unwrap();
    fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    let (out, said) = alone(&["search", "--from", from, "--output", "jsonl"], 3);
    assert!(!out.is_empty() && said.matches("FAULT raw/v1/").count() == 2, "{said}");
    assert!(said.contains("is gone") && said.contains("cannot be read"), "{said}");
}

#[test]
fn a_session_is_shown_in_order_and_each_record_once() {
    let simulator = small();
    let (place, folder) = place(&simulator, "");
    place.run_to(&["run", "--once"], 0);
    let from = folder.to_str().unwrap();
    let records = delivered(&place);
    let response = records.iter().find(|record| record["category"] == "response").unwrap();
    let session = response["session"]["session_id"].as_str().unwrap();
    let mut expected: Vec<&Value> =
        records.iter().filter(|record| record["session"]["session_id"] == session).collect();
    expected.sort_by_key(|record| record["time"].as_str().unwrap().to_owned());
    let (out, _) = alone(&["timeline", session, "--from", from, "--output", "jsonl"], 0);
    let shown = lines(out.as_bytes());
    let ids = |records: Vec<&Value>| records.iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(shown.iter().collect()), ids(expected.clone()));
    let (page, _) = alone(&["timeline", session, "--from", from], 0);
    assert!(page.starts_with(&format!("session   {session}\n")), "{page}");
    let prompt = expected.iter().find_map(|record| record["prompt_text"].as_str()).unwrap_or_default();
    assert!(page.contains(prompt.lines().next().unwrap_or_default()), "{page}");
    let input: u64 = expected.iter().filter_map(|record| record["usage"]["input"].as_u64()).sum();
    assert!(page.contains(&format!("tokens    {input} in (")), "{page}");
    let (out, said) = alone(&["timeline", "no-such-session", "--from", from], 0);
    assert!(out.is_empty() && said.contains("no record of no-such-session"), "{said}");
}
