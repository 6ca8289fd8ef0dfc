//! Buckets of real servers: moto for what only it has, Ceph's gateway for true signatures and locks.
//!
//! CONTRIBUTING.md says how to install them. What lies there is looked at with another client.
#![cfg(feature = "s3")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use custodex::digest::{hex, sha256};
use custodex::ground::Ground;
use custodex::net::NetworkConfig;
use custodex::recovery::Recovery;
use custodex::sink::{TYPES, reader};
use serde_json::Value;
use toml::de::ValueDeserializer;

use crate::archive::{content_of, is_own, served};
use crate::support::{Place, Process, Simulator, kill_after, pause, seed_of_kills, wait_within};

const BUCKET: &str = "audit-archive";

/// A server, its credentials, and a bucket in it.
pub struct Store {
    process: Process,
    endpoint: String,
    id: &'static str,
    key: &'static str,
    folder: tempfile::TempDir,
}

/// One version of an object, as the other client sees it.
pub type Seen = Value;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn helper(name: &str) -> String {
    format!("{}/tests/support/{name}", env!("CARGO_MANIFEST_DIR"))
}

impl Store {
    pub fn moto() -> Self {
        Self::moto_with(&[])
    }

    fn moto_with(more: &[&str]) -> Self {
        let port = free_port();
        let child = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto_server is needed: pip install 'moto[server]' boto3");
        let process = Process(child);
        let up = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(
            (0..600).any(|_| up() || {
                pause(Duration::from_millis(100));
                false
            }),
            "moto does not answer"
        );
        Self::at(process, port, "tester", "tester-secret")
    }

    fn ceph() -> Self {
        let mut log = String::new();
        // Somebody may take a port between its choice and its use.
        for _ in 0..3 {
            match Self::try_ceph() {
                Ok(store) => return store,
                Err(said) => log = said,
            }
        }
        panic!("Ceph is needed: apt-get install radosgw ceph-osd ceph-mon\n{log}");
    }

    fn try_ceph() -> Result<Self, String> {
        let (port, monitor) = (free_port(), free_port());
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(helper("ceph.sh"))
            .args([folder.path().to_str().unwrap(), &port.to_string(), &monitor.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let log = fs::read_to_string(folder.path().join("setup.log")).unwrap_or_default();
        let process = Process(child);
        if line != "ready\n" {
            return Err(log);
        }
        let mut store = Self::at(process, port, "tester", "tester-secret");
        store.folder = folder;
        Ok(store)
    }

    fn at(process: Process, port: u16, id: &'static str, key: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { process, endpoint: format!("http://127.0.0.1:{port}"), id, key, folder }
    }

    /// The other client.
    pub fn tool(&self, arguments: &[&str]) -> String {
        let output = Command::new("python3")
            .arg(helper("s3.py"))
            .args(arguments)
            .env("S3_ENDPOINT", &self.endpoint)
            .env("AWS_ACCESS_KEY_ID", self.id)
            .env("AWS_SECRET_ACCESS_KEY", self.key)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn versions(&self) -> Vec<Seen> {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap();
        let lines = self.tool(&["dump", BUCKET, folder.path().to_str().unwrap()]);
        let mut seen: Vec<Seen> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        // The chain has a test of its own.
        seen.retain(|version| !version["key"].as_str().unwrap().contains("/manifest/v1/"));
        for version in &mut seen {
            let bytes = fs::read(version["path"].as_str().unwrap()).unwrap();
            version["bytes"] = BASE64_STANDARD.encode(bytes).into();
        }
        seen
    }

    /// A place whose archive is the bucket, with more keys.
    pub fn place(&self, simulator: &Simulator, more: &str) -> Place {
        let place = Place::new(simulator, &simulator.sources, "");
        let sink = format!(
            "\n[sinks.archive]\ntype = \"s3\"\nbucket = {BUCKET:?}\nprefix = \"openai/\"\nendpoint_url = {:?}\n{more}",
            self.endpoint
        );
        place.configure(&simulator.sources, &sink);
        place
    }

    /// The program with the store's credentials in its environment, and no others.
    pub fn command(&self, place: &Place, arguments: &[&str]) -> Command {
        let mut command = place.command(arguments);
        command
            .env("AWS_ACCESS_KEY_ID", self.id)
            .env("AWS_SECRET_ACCESS_KEY", self.key)
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    pub fn run(&self, place: &Place, arguments: &[&str], code: i32) -> String {
        said(&mut self.command(place, arguments), code)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Ceph's helper ends its daemons when its input ends.
        drop(self.process.0.stdin.take());
        if self.folder.path().join("ceph.conf").is_file() {
            wait_within(&mut self.process, Duration::from_secs(20));
        }
    }
}

fn said(command: &mut Command, code: i32) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert_eq!(status.code(), Some(code), "{text}");
    text
}

fn small() -> Simulator {
    Simulator::start(&["--days", "4", "--files-per-day", "3", "--records-per-file", "30"])
}

fn bytes(version: &Seen) -> Vec<u8> {
    BASE64_STANDARD.decode(version["bytes"].as_str().unwrap()).unwrap()
}

/// Each served log file is there once, with its hash beside it.
pub fn assert_archived(seen: &[Seen], simulator: &Simulator) {
    let mut found = BTreeMap::new();
    for version in seen {
        let key = version["key"].as_str().unwrap();
        if is_own(key) {
            continue;
        }
        assert!(key.starts_with("openai/raw/v1/principal="), "{key}");
        let (id, hash) = content_of(key, &bytes(version));
        assert_eq!(version["metadata"]["custodex-sha256"], hash);
        assert_eq!(version["type"], "application/x-ndjson");
        assert!(matches!(version["encoding"].as_str(), None | Some("")), "{version:#}");
        assert!(found.insert(id, hash).is_none(), "{key} is there twice");
    }
    assert_eq!(found, served(simulator));
}

/// What a second delivery must leave as it is.
fn identities(seen: &[Seen]) -> Vec<(&Value, &Value)> {
    let others = seen.iter().filter(|version| !is_own(version["key"].as_str().unwrap()));
    others.map(|version| (&version["key"], &version["version"])).collect()
}

fn a_second_delivery_changes_nothing(store: &Store, place: &Place, simulator: &Simulator) -> Vec<Seen> {
    store.run(place, &["check"], 0);
    store.run(place, &["run", "--once"], 0);
    let first = store.versions();
    assert_archived(&first, simulator);
    place.begin_anew();
    store.run(place, &["run", "--once"], 0);
    assert_eq!(identities(&store.versions()), identities(&first));
    first
}

#[test]
fn moto_has_each_object_once_as_it_was_asked_for() {
    let (store, simulator) = (Store::moto(), small());
    store.tool(&["make", BUCKET, "lock"]);
    let place = store.place(
        &simulator,
        "kms_key_id = \"key-1\"\nstorage_class = \"STANDARD_IA\"\ntags = { team = \"a b=c/d\" }\n\
         object_lock = { mode = \"governance\", days = 7 }",
    );
    for version in a_second_delivery_changes_nothing(&store, &place, &simulator) {
        let hash = BASE64_STANDARD.encode(sha256(&bytes(&version)));
        assert_eq!(version["checksum"], hash, "{}", version["key"]);
        assert!(version["kms"].as_str().unwrap().ends_with("key-1"), "{}", version["kms"]);
        assert_eq!((&version["class"], &version["lock"]), (&"STANDARD_IA".into(), &"GOVERNANCE".into()));
        assert_eq!(version["tags"], serde_json::json!({ "team": "a b=c/d" }));
        let days = (version["until"].as_f64().unwrap() - now()) / 86_400.0;
        assert!((6.9..=7.0).contains(&days), "{days}");
    }
    let verified = store.run(&place, &["verify", "--from", "archive", "--deep"], 0);
    assert_eq!(verified.matches("chain manifest/v1/").count(), 2, "{verified}");
}

#[test]
fn moto_takes_the_other_checksums_and_gzip() {
    for (checksum, compression) in [("crc32c", "gzip"), ("none", "zstd")] {
        let (store, simulator) = (Store::moto(), small());
        store.tool(&["make", BUCKET]);
        let keys = format!("checksum = {checksum:?}\ncompression = {compression:?}");
        let place = store.place(&simulator, &keys);
        let seen = a_second_delivery_changes_nothing(&store, &place, &simulator);
        assert!(seen.iter().all(|version| version["checksum"].is_null()));
        assert_eq!(seen.iter().all(|version| version["crc32c"].is_string()), checksum == "crc32c");
    }
}

#[test]
fn moto_killed_at_any_moment_holds_each_log_file_once() {
    let kills: u64 = std::env::var("CUSTODEX_KILLS").map_or(10, |text| text.parse().unwrap());
    let simulator = small();
    let mut random = fastrand::Rng::with_seed(seed_of_kills());
    for _ in 0..kills.div_ceil(10) {
        let store = Store::moto();
        // Every put that replaces something makes a version.
        store.tool(&["make", BUCKET, "lock"]);
        let place = store.place(&simulator, "");
        for _ in 0..10 {
            kill_after(&mut store.command(&place, &["run"]), Duration::from_millis(random.u64(1..900)));
        }
        store.run(&place, &["run", "--once"], 0);
        assert_archived(&store.versions(), &simulator);
    }
}

#[test]
fn moto_with_other_content_or_no_bucket_pauses_with_the_next_step() {
    let (store, simulator) = (Store::moto(), small());
    let place = store.place(&simulator, "");
    let checked = store.run(&place, &["check"], 3);
    assert!(checked.contains("make the bucket \"audit-archive\""), "{checked}");
    let paused = store.run(&place, &["run", "--once"], 3);
    assert!(paused.contains("make the bucket \"audit-archive\""), "{paused}");
    store.tool(&["make", BUCKET]);
    store.run(&place, &["run", "--once"], 0);
    let seen = store.versions();
    let key = seen[0]["key"].as_str().unwrap();
    store.tool(&["put", BUCKET, key, "forged"]);
    place.begin_anew();
    let alarm = store.run(&place, &["run", "--once"], 3);
    assert!(alarm.contains("without our hash") && alarm.contains("ERROR"), "{alarm}");
    let after = store.versions();
    assert!(after.iter().any(|version| version["key"] == key && bytes(version) == b"forged"));
    let locking = store.place(&simulator, "object_lock = { mode = \"compliance\", days = 1 }");
    let checked = store.run(&locking, &["check"], 3);
    assert!(checked.contains("cannot lock objects"), "{checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn moto_and_ceph_give_back_what_lies_there() {
    // Where a store keeps no checksum it was given, the object's own metadata has it.
    for store in [Store::moto(), Store::ceph()] {
        store.tool(&["make", BUCKET]);
        let simulator = small();
        let place = store.place(&simulator, "");
        let (id, key) = (store.folder.path().join("id"), store.folder.path().join("key"));
        fs::write(&id, store.id).unwrap();
        fs::write(&key, store.key).unwrap();
        let line = TYPES.iter().find(|line| line.name == "s3").unwrap();
        let keys = |bucket: &str| {
            let text = format!(
                "{{ bucket = {bucket:?}, prefix = 'openai', endpoint_url = {:?}, region = 'us-east-1', \
                 access_key_id = {{ file = {id:?} }}, secret_access_key = {{ file = {key:?} }} }}",
                store.endpoint
            );
            (line.read)(ValueDeserializer::parse(&text).unwrap()).unwrap()
        };
        let (here, nowhere) = (keys(BUCKET), keys("no-such-bucket"));
        let open =
            |keys| reader::open("kept", [("kept", keys)], Ground::real(), &NetworkConfig::default()).unwrap();
        store.run(&place, &["run", "--once"], 0);
        let seen = store.versions();
        let reader = open(&here);
        let page = reader.list("raw/", None).await.unwrap();
        assert!(!page.more && page.objects.len() == seen.len());
        let middle = &page.objects[page.objects.len() / 2];
        let rest = reader.list("raw/v1/", Some(&middle.key)).await.unwrap();
        assert_eq!(rest.objects, page.objects[page.objects.len() / 2 + 1..]);
        for object in &page.objects {
            let version = seen.iter().find(|version| version["key"] == format!("openai/{}", object.key));
            let stored = bytes(version.unwrap());
            let mut body = reader.get(&object.key).await.unwrap().unwrap();
            let read = tokio::task::spawn_blocking(move || {
                let mut read = Vec::new();
                body.bytes.read_to_end(&mut read).map(|_| read)
            });
            assert_eq!(read.await.unwrap().unwrap(), stored);
            let found = reader.head(&object.key).await.unwrap().unwrap();
            assert_eq!(found.size, stored.len() as u64);
            assert_eq!(found.sha256, Some(sha256(&stored)));
            assert_eq!((object.size, &object.etag), (found.size, &found.etag));
            let (id, hash) = content_of(&object.key, &stored);
            assert_eq!(found.verbatim_sha256.map(|hash| hex(&hash)), Some(hash));
            assert_eq!(found.file_id, Some(id));
        }
        assert!(reader.get("raw/v1/nothing").await.unwrap().is_none());
        assert_eq!(reader.head("raw/v1/nothing").await.unwrap(), None);
        let other = open(&nowhere);
        for error in [
            other.list("", None).await.map(drop).unwrap_err(),
            other.get("raw/v1/x").await.map(drop).unwrap_err(),
            other.head("raw/v1/x").await.map(drop).unwrap_err(),
        ] {
            assert!(
                matches!(&error.recovery, Recovery::Pause { hint } if hint.contains("make the bucket")),
                "{error:?}"
            );
        }
        fs::write(&key, "wrong").unwrap();
        assert!(reader.get("raw/v1/nothing").await.unwrap().is_none(), "a session goes on");
    }
}

#[test]
fn moto_keeps_a_probe_and_a_store_that_would_replace_it_is_found_out() {
    let (mut store, simulator) = (Store::moto(), small());
    store.tool(&["make", BUCKET]);
    let place = store.place(&simulator, "");
    for says in ["stored custodex-probe", "already has custodex-probe"] {
        let said = store.run(&place, &["check", "--send-test", "archive"], 0);
        assert!(said.contains(says) && said.contains("does not let it be replaced"), "{said}");
    }
    let seen = store.versions();
    let keys: Vec<&Value> = seen.iter().map(|version| &version["key"]).collect();
    assert_eq!(keys, ["openai/custodex-probe"]);
    store.run(&place, &["run", "--once"], 0);
    let (replacing, heads) = replacing_store();
    store.endpoint = format!("http://127.0.0.1:{replacing}");
    let place = store.place(&simulator, "");
    let said = store.run(&place, &["check", "--send-test", "archive"], 3);
    assert!(said.contains("ignores `If-None-Match`, so objects could be overwritten"), "{said}");
    assert!(said.contains("next step: use a store that honours"), "{said}");
    let heads: Vec<String> = heads.try_iter().collect();
    assert!(heads.len() == 2 && heads.iter().all(|head| head.contains("if-none-match: *")), "{heads:?}");
}

/// A store that answers 200 to everything; its port, and the heads of the requests.
fn replacing_store() -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            loop {
                let mut head = String::new();
                while stream.read_line(&mut head).unwrap_or(0) > 2 {}
                if head.is_empty() {
                    break;
                }
                let head = head.to_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
                stream.read_exact(&mut body).unwrap();
                stream
                    .get_mut()
                    .write_all(b"HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 0\r\n\r\n")
                    .unwrap();
                if tell.send(head).is_err() {
                    return;
                }
            }
        }
    });
    (port, told)
}

#[test]
fn moto_lends_a_role() {
    let (store, simulator) = (Store::moto(), small());
    store.tool(&["make", BUCKET]);
    let role = "role_arn = \"arn:aws:iam::123456789012:role/custodex\"\nexternal_id = \"example\"";
    let place = store.place(&simulator, role);
    let mut command = store.command(&place, &["run", "--once"]);
    said(command.env("AWS_ENDPOINT_URL_STS", &store.endpoint), 0);
    assert_archived(&store.versions(), &simulator);
    // Without that service there is no role, and nothing goes out with the credentials as they are.
    let other = store.place(&simulator, role);
    let mut command = store.command(&other, &["check"]);
    said(command.env("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9"), 3);
}

#[test]
fn moto_behind_a_certificate_of_our_own_is_trusted_when_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name).display().to_string());
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", &key, "-out", &cert])
        .output()
        .expect("openssl is needed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let simulator = small();
    let mut store = Store::moto_with(&["-c", &cert, "-k", &key]);
    store.endpoint = store.endpoint.replace("http:", "https:");
    let unknown = store.place(&simulator, "");
    let checked = store.run(&unknown, &["check"], 3);
    assert!(checked.contains("certificate"), "{checked}");
    let place = store.place(&simulator, &format!("tls = {{ ca_file = {cert:?} }}"));
    let checked = store.run(&place, &["check"], 3);
    assert!(checked.contains("make the bucket"), "{checked}");
}

#[test]
fn ceph_takes_true_signatures_only_and_a_new_secret_needs_no_restart() {
    let (store, simulator) = (Store::ceph(), small());
    store.tool(&["make", BUCKET]);
    let secret = store.folder.path().join("secret");
    fs::write(&secret, "wrong-secret").unwrap();
    fs::write(store.folder.path().join("id"), store.id).unwrap();
    let keys = format!(
        "access_key_id = {{ file = {:?} }}\nsecret_access_key = {{ file = {secret:?} }}",
        store.folder.path().join("id")
    );
    let place = store.place(&simulator, &keys);
    let checked = store.run(&place, &["check"], 3);
    assert!(checked.contains("403") && !checked.contains("wrong-secret"), "{checked}");
    let refused = store.run(&place, &["run", "--once"], 3);
    assert!(refused.contains("SignatureDoesNotMatch") && refused.contains("check access key"), "{refused}");
    let mut daemon = Process(store.command(&place, &["run"]).stderr(Stdio::null()).spawn().unwrap());
    let state = |wanted: &str| {
        let text = String::from_utf8(place.run(&["status", "--json"]).stdout).unwrap();
        let status: Value = serde_json::from_str(&text).unwrap_or_default();
        let sinks = status["sinks"].as_array().cloned().unwrap_or_default();
        status["running"] == true
            && sinks.iter().any(|sink| {
                sink["name"] == "archive"
                    && sink["state"] == wanted
                    && (wanted != "ok" || sink["records_pending"] == 0)
            })
    };
    let reached = |wanted: &str| {
        (0..600).any(|_| {
            state(wanted) || {
                pause(Duration::from_millis(100));
                false
            }
        })
    };
    assert!(reached("paused"));
    fs::write(&secret, store.key).unwrap();
    assert!(reached("ok"), "{:#}", place.status());
    daemon.0.kill().unwrap();
    a_second_delivery_changes_nothing(&store, &place, &simulator);
    credentials_of_a_process(&store, &simulator);
}

/// A profile whose credentials a program tells.
fn credentials_of_a_process(store: &Store, simulator: &Simulator) {
    let program = store.folder.path().join("credentials.sh");
    let text = format!(
        "echo '{{\"Version\": 1, \"AccessKeyId\": {:?}, \"SecretAccessKey\": {:?}}}'",
        store.id, store.key
    );
    fs::write(&program, text).unwrap();
    let profile = store.folder.path().join("profile");
    let line = format!("[profile audit]\ncredential_process = sh {}\n", program.display());
    fs::write(&profile, line).unwrap();
    let place = store.place(simulator, "profile = \"audit\"");
    place.begin_anew();
    let mut command = place.command(&["run", "--once"]);
    said(command.env("AWS_CONFIG_FILE", profile).env("AWS_EC2_METADATA_DISABLED", "true"), 0);
}

#[test]
fn ceph_locks_what_is_put() {
    let (store, simulator) = (Store::ceph(), small());
    store.tool(&["make", BUCKET, "lock"]);
    let place = store.place(&simulator, "object_lock = { mode = \"compliance\", days = 1 }");
    let checked = store.run(&place, &["check"], 0);
    assert!(checked.contains("can lock objects"), "{checked}");
    store.run(&place, &["run", "--once"], 0);
    let seen = store.versions();
    assert_archived(&seen, &simulator);
    assert!(seen.iter().all(|version| version["lock"] == "COMPLIANCE"));
    assert_eq!(store.tool(&["delete", BUCKET]), "0\n", "nothing can be deleted");
}

#[expect(clippy::disallowed_methods, reason = "a server has its own clock")]
fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}
