//! The chain of custody: what a daemon seals is verified, and every edit of it is named.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use custodex::archive::verify::{Bytes, Options, Page, Report, Source, verify};
use custodex::archive::{Envelope, MANIFEST_TYPE, Manifest, PublicKey, SigningKey, seal};
use custodex::digest::{hex, sha256};
use futures_util::future::BoxFuture;

use crate::archive::{files, objects, place, small};

/// Objects by key.
type Objects = BTreeMap<String, Vec<u8>>;

/// An archive in memory; pages are small, so that there are many.
struct Held(Objects);

impl Source for Held {
    fn list<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Page, String>> {
        let keys = self
            .0
            .iter()
            .filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        let mut page: Vec<(String, u64)> =
            keys.take(8).map(|(key, bytes)| (key.clone(), bytes.len() as u64)).collect();
        let more = page.len() > 7;
        page.truncate(7);
        Box::pin(async move { Ok((page, more)) })
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, String>> {
        let bytes = self.0.get(key).cloned();
        Box::pin(async move { Ok(bytes.map(|bytes| Box::new(Cursor::new(bytes)) as Bytes)) })
    }
}

fn held(folder: &Path) -> Objects {
    let key = |path: &PathBuf| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    files(folder).iter().map(|path| (key(path), fs::read(path).unwrap())).collect()
}

fn manifests(objects: &Objects) -> Vec<String> {
    objects.keys().filter(|key| key.starts_with("manifest/") && !key.contains(".pub.")).cloned().collect()
}

fn public_key(objects: &Objects) -> (String, PublicKey) {
    let (name, pem) = objects.iter().find(|(key, _)| key.contains(".pub.")).unwrap();
    (name.clone(), PublicKey::from_pem(std::str::from_utf8(pem).unwrap()).unwrap())
}

fn manifest(bytes: &[u8]) -> Manifest {
    Manifest::read(&Envelope::read(bytes).unwrap().payload).unwrap()
}

#[test]
fn a_run_is_verified_and_the_next_adds_to_the_chain() {
    let simulator = small();
    let (place, folder) = place(&simulator, "");
    place.run_to(&["run", "--once"], 0);
    let checked = place.run_to(&["check", "--offline"], 0);
    let pem = String::from_utf8(checked.stderr).unwrap();
    let pem = &pem[pem.find("-----BEGIN").unwrap()..];
    let key = place.data().parent().unwrap().join("key.pem");
    fs::write(&key, pem).unwrap();
    let key = key.to_str().unwrap();
    let from = ["verify", "--from", "archive", "--deep"];
    let trusted = [&from[..], &["--public-key", key]].concat();
    let out = String::from_utf8(place.run_to(&trusted, 0).stdout).unwrap();
    let objects_count = objects(&folder).len();
    assert!(out.contains(&format!("{objects_count} log files sealed")), "{out}");
    assert!(out.contains("1 manifests, head 1:") && out.contains("collected"), "{out}");
    let head = out.split("head ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    place.run_to(&["run", "--once"], 0);
    let out = String::from_utf8(place.run_to(&[&trusted[..], &["--expect-head", &head]].concat(), 0).stdout)
        .unwrap();
    assert!(out.contains("2 manifests, head 2:"), "{out}");
    let unpinned = place.run_to(&["verify", "--from", folder.to_str().unwrap()], 0);
    assert!(String::from_utf8_lossy(&unpinned.stderr).contains("warning"));
    // Another instance beside the first has a chain of its own, and seals the same objects.
    place.begin_anew();
    place.run_to(&["run", "--once"], 0);
    let out = String::from_utf8(place.run_to(&from, 0).stdout).unwrap();
    assert_eq!(out.matches("chain manifest/v1/").count(), 2, "{out}");
    let victim = objects(&folder).remove(0);
    fs::remove_file(&victim).unwrap();
    let out = String::from_utf8(place.run_to(&from[..3], 3).stdout).unwrap();
    let name = victim.file_name().unwrap().to_str().unwrap();
    assert!(out.lines().any(|line| line.starts_with("FAULT raw/v1/") && line.contains(name)), "{out}");
}

#[test]
fn the_proof_of_a_record_is_checked_without_the_archive() {
    let simulator = small();
    let (place, folder) = place(&simulator, "");
    place.run_to(&["run", "--once"], 0);
    let checked = place.run_to(&["check", "--offline"], 0);
    let pem = String::from_utf8(checked.stderr).unwrap();
    let root = place.data().parent().unwrap().to_owned();
    let [key, other, proof] = ["key.pem", "other.pem", "proof.json"].map(|name| root.join(name));
    fs::write(&key, &pem[pem.find("-----BEGIN").unwrap()..]).unwrap();
    fs::write(&other, SigningKey::generate().unwrap().0.public().pem()).unwrap();
    let lines = fs::read_to_string(place.output().join("custodex.jsonl")).unwrap();
    let records: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let from = folder.to_str().unwrap();
    let out = proof.to_str().unwrap();
    let check = |key: &Path, code| {
        place.run_to(&["verify", "--proof", out, "--public-key", key.to_str().unwrap()], code)
    };
    for record in [&records[0], &records[records.len() / 2], &records[records.len() - 1]] {
        let provenance = &record["provenance"];
        let by_place =
            format!("{}:{}", provenance["log_file_id"].as_str().unwrap(), provenance["byte_offset"]);
        for id in [record["id"].as_str().unwrap(), by_place.as_str()] {
            place.run_to(&["prove", id, "--from", from, "--out", out], 0);
            let said: serde_json::Value = serde_json::from_slice(&fs::read(&proof).unwrap()).unwrap();
            assert_eq!(said["id"], record["id"]);
            check(&key, 0);
            check(&other, 3);
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/check_proof.py");
    let script = |key: &Path| Command::new("python3").arg(&script).arg(&proof).arg(key).output().unwrap();
    let output = script(&key);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!script(&other).status.success());
    let text = fs::read_to_string(&proof).unwrap();
    let mut said: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (field, value) in [("index", 1.into()), ("record", "eA==".into()), ("path", serde_json::json!([]))] {
        let was = std::mem::replace(&mut said[field], value);
        fs::write(&proof, said.to_string()).unwrap();
        check(&key, 3);
        assert!(!script(&key).status.success(), "{field}");
        said[field] = was;
    }
    place.run_to(&["prove", &"0".repeat(32), "--from", "archive", "--out", out], 3);
    place.run_to(&["prove", "nothing", "--from", "archive", "--out", out], 2);
}

#[test]
fn a_lost_ledger_pauses_the_archive_with_the_next_step() {
    let simulator = small();
    let (place, folder) = place(&simulator, "");
    place.run_to(&["run", "--once"], 0);
    let before = held(&folder);
    fs::remove_dir_all(place.data()).unwrap();
    let output = place.run_to(&["run", "--once"], 3);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ledger.db back") && said.contains("instance"), "{said}");
    assert_eq!(held(&folder), before);
}

/// One edit: its name, whether names, sizes and manifests alone show it, and what a report must name.
struct Edit {
    what: &'static str,
    shallow: bool,
    places: Vec<String>,
}

/// Signs a manifest that was changed.
fn resealed(bytes: &[u8], key: &SigningKey, change: impl FnOnce(&mut Manifest)) -> Vec<u8> {
    let mut manifest = manifest(bytes);
    change(&mut manifest);
    seal(MANIFEST_TYPE, &manifest.write(), key)
}

fn two<'a>(keys: &'a [String], random: &mut fastrand::Rng) -> (&'a String, &'a String) {
    let one = random.usize(..keys.len());
    let other = (one + random.usize(1..keys.len())) % keys.len();
    (&keys[one], &keys[other])
}

#[expect(clippy::too_many_lines, reason = "a list of edits")]
fn tamper(objects: &mut Objects, forger: &SigningKey, random: &mut fastrand::Rng) -> Edit {
    let raw: Vec<String> = objects.keys().filter(|key| key.starts_with("raw/")).cloned().collect();
    let chain = manifests(objects);
    let (name, other) = two(&raw, random);
    let (name, other) = (name.clone(), other.clone());
    let link = chain[random.usize(..chain.len())].clone();
    let last = chain[chain.len() - 1].clone();
    let edit = |what, shallow, places: &[&String]| Edit {
        what,
        shallow,
        places: places.iter().map(ToString::to_string).collect(),
    };
    match random.u8(..17) {
        0 | 1 => {
            let object = objects.get_mut(&name).unwrap();
            let at = random.usize(..object.len());
            object[at] ^= 1 << random.u8(..8);
            edit("flip a bit of an object", false, &[&name])
        }
        2 => {
            let object = objects.get_mut(&name).unwrap();
            object.truncate(random.usize(..object.len()));
            edit("truncate an object", true, &[&name])
        }
        3 => {
            let length = random.usize(1..9);
            objects.get_mut(&name).unwrap().extend((0..length).map(|_| random.u8(..)));
            edit("append to an object", true, &[&name])
        }
        4 => {
            objects.remove(&name);
            edit("drop an object", true, &[&name])
        }
        5 => {
            let (one, two) = (objects[&name].clone(), objects[&other].clone());
            let shallow = one.len() != two.len();
            objects.insert(name.clone(), two);
            objects.insert(other.clone(), one);
            edit("swap two objects", shallow, &[&name, &other])
        }
        6 => {
            let bytes = objects.remove(&name).unwrap();
            let renamed = name.replace("/dt=2", "/dt=1");
            objects.insert(renamed.clone(), bytes);
            edit("rename an object", true, &[&name, &renamed])
        }
        7 => {
            let copied = name.replace("event_type=", "event_type=X");
            objects.insert(copied.clone(), objects[&name].clone());
            edit("add a copy", true, &[&copied])
        }
        8 => {
            let added =
                format!("{}/20260101T000000Z_added_00000000.jsonl.zst", name.rsplit_once('/').unwrap().0);
            objects.insert(added.clone(), zstd::encode_all(&b"{}\n"[..], 3).unwrap());
            edit("add an object", false, &[&added])
        }
        9 => {
            // Packed anew: the same log file, other bytes.
            let content = zstd::decode_all(&objects[&name][..]).unwrap();
            objects.insert(name.clone(), zstd::encode_all(&content[..], -5).unwrap());
            edit("pack an object anew", false, &[&name])
        }
        10 => {
            objects.remove(&link);
            let shallow = true;
            edit("remove a manifest", shallow, &[&link])
        }
        11 => {
            let bytes = objects.get_mut(&link).unwrap();
            let at = random.usize(..bytes.len() - 1);
            bytes[at] ^= 1;
            edit("flip a bit of a manifest", true, &[&link])
        }
        12 => {
            let shorter = resealed(&objects[&link], forger, |manifest| drop(manifest.files.pop()));
            objects.insert(link.clone(), shorter);
            edit("sign a shorter manifest with another key", true, &[&link])
        }
        13 => {
            let (one, other) = two(&chain, random);
            let bytes = (objects[one].clone(), objects[other].clone());
            objects.insert(one.clone(), bytes.1);
            objects.insert(other.clone(), bytes.0);
            edit("swap two manifests", true, &[one, other])
        }
        14 => {
            objects.remove(&last);
            edit("cut off the end", true, &[&last])
        }
        15 => {
            let (name, _) = public_key(objects);
            objects.insert(name.clone(), forger.public().pem().into_bytes());
            edit("replace the public key", true, &[&name])
        }
        _ => {
            // The whole chain, and its key: only a pinned one tells.
            let mut previous = None;
            for key in &chain {
                let bytes = resealed(&objects[key], forger, |manifest| manifest.previous = previous);
                previous = Some(custodex::archive::Hash(sha256(&bytes)));
                objects.insert(key.clone(), bytes);
            }
            let (name, _) = public_key(objects);
            objects.remove(&name);
            let id = forger.public().id();
            let theirs = format!("{}/{id}.pub.pem", name.rsplit_once('/').unwrap().0);
            objects.insert(theirs.clone(), forger.public().pem().into_bytes());
            edit("sign the chain with another key", true, &[&chain[0], &theirs])
        }
    }
}

fn verified(objects: &Objects, options: Options) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(verify(Arc::new(Held(objects.clone())), options)).unwrap()
}

/// Whether something that the edit touched is named; a head that is gone is named by its number.
fn names(report: &Report, edit: &Edit) -> bool {
    let number = |place: &str| place.rsplit('/').next().unwrap().to_owned();
    report.faults.iter().any(|fault| {
        edit.places.iter().any(|place| {
            fault.place == *place || (place.starts_with("manifest/") && number(place) == number(&fault.place))
        })
    })
}

#[test]
fn every_edit_of_an_archive_is_named() {
    let edits: u64 = std::env::var("CUSTODEX_EDITS").map_or(60, |text| text.parse().unwrap());
    let seed = std::env::var("CUSTODEX_SEED").map_or(1, |text| text.parse().unwrap());
    let simulator = small();
    let (place, folder) = place(&simulator, "");
    for _ in 0..4 {
        place.run_to(&["run", "--once"], 0);
    }
    let clean = held(&folder);
    let chain = manifests(&clean);
    let head = &clean[chain.last().unwrap()];
    let (_, key) = public_key(&clean);
    let options = |deep| Options {
        pinned: vec![key.clone()],
        expected_head: Some((chain.len() as u64, sha256(head))),
        deep,
        ..Options::default()
    };
    for deep in [false, true] {
        let report = verified(&clean, options(deep));
        assert_eq!((report.faults, report.unsealed), (vec![], vec![]));
    }
    assert_eq!(verified(&clean, Options::default()).faults, []);
    let (forger, _) = SigningKey::generate().unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut done: BTreeMap<&str, u64> = BTreeMap::new();
    for round in 0..edits {
        let mut objects = clean.clone();
        let edit = tamper(&mut objects, &forger, &mut random);
        assert_ne!(objects, clean, "{} changes nothing", edit.what);
        let report = verified(&objects, options(true));
        let shown = || format!("edit {round}: {} {:?}: {:#?}", edit.what, edit.places, report.faults);
        assert!(names(&report, &edit), "{}", shown());
        if edit.shallow {
            assert!(names(&verified(&objects, options(false)), &edit), "without --deep, {}", shown());
        }
        *done.entry(edit.what).or_default() += 1;
    }
    eprintln!("{done:#?}");
    // What nobody can tell from a log file that was archived since: it is named, as not sealed.
    let content = b"{\"event_id\":\"x\"}\n";
    let first = objects(&folder).remove(0);
    let dir = first.parent().unwrap().strip_prefix(&folder).unwrap().to_str().unwrap();
    let added = format!("{dir}/20260101T000000Z_new_{}.jsonl", &hex(&sha256(content))[..8]);
    let mut later = clean.clone();
    later.insert(added.clone(), content.to_vec());
    let report = verified(&later, options(true));
    assert_eq!((report.faults, report.unsealed), (vec![], vec![added]));
}

#[test]
fn a_byte_that_changes_no_content_is_named_too() {
    let simulator = small();
    let (place, folder) = place(&simulator, "compression = \"gzip\"");
    place.run_to(&["run", "--once"], 0);
    let mut edited = held(&folder);
    assert_eq!(verified(&edited, Options { deep: true, ..Options::default() }).faults, []);
    let (key, object) = edited.iter_mut().find(|(key, _)| key.starts_with("raw/")).unwrap();
    let key = key.clone();
    // The time in the header of gzip, which nothing else covers.
    object[4] ^= 1;
    let faults = verified(&edited, Options { deep: true, ..Options::default() }).faults;
    assert!(faults.len() == 1 && faults[0].place == key, "{faults:?}");
    assert!(faults[0].what.contains("as object the sha256"), "{faults:?}");
}
