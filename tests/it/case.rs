//! A case stands for itself: every record in it is proved, and any change of it is found.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::archive::{place, small};
use crate::support::Place;

/// What Python's own zip reader makes of the case.
fn python(script: &str, arguments: &[&str]) -> String {
    let output = Command::new("python3").args(["-c", script]).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

const UNPACK: &str = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])";
/// Copies a case but for one file, whose bytes become others, or which goes when there are none.
const CHANGE: &str = "
import sys, zipfile
old, new, name, data = sys.argv[1:]
with zipfile.ZipFile(old) as old, zipfile.ZipFile(new, 'w') as new:
    for one in old.namelist():
        if one != name:
            new.writestr(one, old.read(one))
    if data:
        new.writestr(name, data)
";

const WHICH: [&str; 4] = ["--event-type", "CODEX_LOG", "--category", "prompt"];

/// Collects, makes a case, and answers how to name a file beside it, the public key and the case.
fn made(place: &Place) -> (impl Fn(&str) -> String, String, String) {
    place.run_to(&["run", "--once"], 0);
    let root = place.data().parent().unwrap().to_owned();
    let at = move |name: &str| root.join(name).to_str().unwrap().to_owned();
    let pem = String::from_utf8(place.run_to(&["check", "--offline"], 0).stderr).unwrap();
    let (key, case) = (at("key.pem"), at("case.zip"));
    fs::write(&key, &pem[pem.find("-----BEGIN").unwrap()..]).unwrap();
    place.run_to(&[&["case", "--from", "archive", "--out", &case], &WHICH[..]].concat(), 0);
    (at, key, case)
}

#[test]
fn a_case_is_whole_proved_and_sealed() {
    let simulator = small();
    let (place, _) = place(&simulator, "");
    let (at, key, case) = made(&place);
    let search = [&["search", "--from", "archive", "--output", "jsonl"], &WHICH[..]].concat();
    let found = String::from_utf8(place.run_to(&search, 0).stdout).unwrap();

    let seen = place.run_to(&["verify", "--proof", &case, "--public-key", &key], 0).stdout;
    let seen = String::from_utf8(seen).unwrap();
    let unpacked = at("unpacked");
    python(UNPACK, &[&case, &unpacked]);
    let folder = Path::new(&unpacked);
    let native = fs::read_to_string(folder.join("native.jsonl")).unwrap();
    let ids = |text: &str| {
        let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].clone();
        text.lines().map(|line| id(line).as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let ids = (ids(&native), ids(&found));
    assert!(!ids.0.is_empty());
    let mut once = ids.1.clone();
    once.sort();
    once.dedup();
    let mut kept = ids.0.clone();
    kept.sort();
    assert_eq!(kept, once, "each record that is found, once");
    assert!(
        seen.contains(&format!("{} records are proved", kept.len())) && seen.contains("sealed with"),
        "{seen}"
    );

    // Whoever has only Python comes to the same.
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/check_proof.py");
    for id in kept.iter().take(3) {
        let proof = folder.join(format!("proofs/{id}.json"));
        assert!(
            Command::new("python3").arg(&script).arg(&proof).arg(&key).output().unwrap().status.success()
        );
        fs::write(folder.join(format!("records/{id}.json")), "{}").unwrap();
        assert!(
            !Command::new("python3").arg(&script).arg(&proof).arg(&key).output().unwrap().status.success()
        );
    }
    let page = fs::read_to_string(folder.join("timeline.html")).unwrap();
    assert!(kept.iter().all(|id| page.contains(&format!("proofs/{id}.json"))));
    let coverage = fs::read_to_string(folder.join("coverage.txt")).unwrap();
    assert!(coverage.contains("CODEX_LOG of ") && !coverage.contains("AUTH_LOG of "), "{coverage}");
}

#[test]
fn any_change_of_a_case_is_named() {
    let simulator = small();
    let (place, _) = place(&simulator, "");
    let (at, key, case) = made(&place);
    let changed = at("changed.zip");
    let listed = python("import sys, zipfile; print(*zipfile.ZipFile(sys.argv[1]).namelist())", &[&case]);
    let record = listed.split_whitespace().find(|name| name.starts_with("records/")).unwrap();
    for (name, data) in [
        (record, "{}"),
        (record, ""),
        ("timeline.html", "nothing happened"),
        ("case.json", "{}"),
        ("seal.json", "{}"),
        ("extra.txt", "more"),
        ("coverage.txt", ""),
    ] {
        python(CHANGE, &[&case, &changed, name, data]);
        let said = place.run_to(&["verify", "--proof", &changed, "--public-key", &key], 3).stdout;
        assert!(String::from_utf8(said).unwrap().contains("FAULT"), "{name}");
    }
    // A case of nothing is no file, and another key proves nothing.
    let none = at("none.zip");
    place.run_to(&["case", "--from", "archive", "--out", &none, "--session", "nobody"], 0);
    assert!(!fs::exists(&none).unwrap() && !fs::exists(format!("{none}.part")).unwrap());
    let other = at("other.pem");
    let made = "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as K
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
print(K.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())";
    fs::write(&other, python(made, &[])).unwrap();
    place.run_to(&["verify", "--proof", &case, "--public-key", &other], 3);
}
