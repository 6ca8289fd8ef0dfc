//! The worker against an archive that fails, hangs and alarms.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::archive::{Envelope, Manifest, SigningKey, unpack};
use crate::deliver::spooled::spooled;
use crate::digest::{hex, sha256};
use crate::format::Format;
use crate::ground::Points;
use crate::ledger::{PendingFile, SinkStart};
use crate::sink::Object;
use crate::sink::reader::{Body, Found, Page};
use crate::words::{Principal, PrincipalKind};

const FILES: u64 = 9;
const RECORDS: u64 = 20;

/// What an archive does, and what it holds.
#[derive(Debug, Default)]
struct Script {
    /// Puts that succeed before some fail.
    fails_after: Option<usize>,
    /// How many fail then.
    failures: usize,
    pauses: bool,
    /// A failed put was done nevertheless.
    commits: bool,
    /// Puts that succeed before the others never end.
    hangs_after: Option<usize>,
    puts: usize,
    /// By key.
    objects: BTreeMap<String, Vec<u8>>,
    in_flight: usize,
    most_in_flight: usize,
}

#[derive(Clone, Debug, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    fn store(&self, object: &Object) -> Result<Put, SinkError> {
        let bytes = fs::read(&object.body).unwrap();
        assert_eq!((bytes.len() as u64, sha256(&bytes)), (object.length, object.sha256));
        let mut script = self.0.lock().unwrap();
        script.in_flight -= 1;
        let fails = script.fails_after.is_some_and(|after| script.puts > after) && script.failures > 0;
        let stored = !script.objects.contains_key(&object.key);
        if (!fails || script.commits) && stored {
            script.objects.insert(object.key.clone(), bytes);
        }
        if fails {
            script.failures -= 1;
            let recovery = if script.pauses {
                Recovery::Pause { hint: "mend it".into() }
            } else {
                Recovery::Retry { after: Some(Duration::ZERO) }
            };
            return Err(SinkError::new("refused", recovery));
        }
        Ok(if stored { Put::Stored } else { Put::AlreadyThere })
    }
}

impl Archive for Scripted {
    fn put<'a>(&'a self, object: &'a Object) -> BoxFuture<'a, Result<Put, SinkError>> {
        Box::pin(async {
            let hangs = {
                let mut script = self.0.lock().unwrap();
                script.puts += 1;
                script.in_flight += 1;
                script.most_in_flight = script.most_in_flight.max(script.in_flight);
                script.hangs_after.is_some_and(|after| script.puts > after)
            };
            if hangs {
                std::future::pending::<()>().await;
            }
            // Later ones end first.
            tokio::time::sleep(Duration::from_millis(10 - object.records % 10)).await;
            self.store(object)
        })
    }
}

impl ArchiveReader for Scripted {
    fn place(&self) -> String {
        "script".into()
    }

    fn list<'a>(&'a self, _: &'a str, _: Option<&'a str>) -> BoxFuture<'a, Result<Page, SinkError>> {
        unreachable!("a writer lists nothing")
    }

    fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Found>, SinkError>> {
        let size = self.0.lock().unwrap().objects.get(key).map(|bytes| bytes.len() as u64);
        Box::pin(async move { Ok(size.map(|size| Found { size, ..Found::default() })) })
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Body>, SinkError>> {
        let bytes = self.0.lock().unwrap().objects.get(key).cloned();
        Box::pin(async move {
            Ok(bytes.map(|bytes| Body { size: bytes.len() as u64, bytes: Box::new(io::Cursor::new(bytes)) }))
        })
    }
}

/// Fails at one point, once.
#[derive(Debug)]
struct Trip(&'static str, std::sync::atomic::AtomicBool);

impl Points for Trip {
    fn reach(&self, name: &'static str) -> io::Result<()> {
        if name == self.0 && !self.1.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return Err(io::Error::other("tripped"));
        }
        Ok(())
    }
}

struct Bench {
    shared: Shared,
    key: Arc<SigningKey>,
    folder: TempDir,
    options: Options,
    once: bool,
}

/// The content of a file; the second record of each is a repeat of its first.
fn content(file: u64) -> Vec<u8> {
    let records = (0..RECORDS + file).map(|record| {
        let id = if record == 1 { 0 } else { record };
        format!("{{\"event_id\":\"{file}-{id}\",\"text\":\"{}\"}}\n", "x".repeat(20))
    });
    records.collect::<String>().into_bytes()
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let contents: Vec<Vec<u8>> = (1..=FILES).map(content).collect();
        Self {
            shared: spooled(folder.path(), &contents).await,
            key: Arc::new(SigningKey::generate().unwrap().0),
            folder,
            options: Options { format: Format::Raw, ..Options::default() },
            once: true,
        }
    }

    /// A worker as after a start of the program; a new stop belongs to it.
    async fn worker(&mut self, archive: &Scripted) -> ArchiveWorker {
        self.shared.stop = CancellationToken::new();
        let ledger = &self.shared.ledger;
        let row = ledger.enable_sink("a".into(), "t", "durable", SinkStart::Beginning, false).await.unwrap();
        let settings = ArchiveSettings {
            options: self.options,
            redaction: crate::format::Redaction::default(),
            packing: Packing::Zstd,
            rate: None,
            once: self.once,
            folder: self.outgoing(),
            seal: Seal { instance: "i".into(), key: self.key.clone() },
            refill: Refill::default(),
        };
        let over = watch::Sender::new(true).subscribe();
        let archive = (Arc::new(archive.clone()) as _, Arc::new(archive.clone()) as _);
        ArchiveWorker::new(self.shared.clone(), row, archive, settings, over)
    }

    /// The first file that is to be fetched again.
    async fn damaged(&self) -> Option<PendingFile> {
        let ledger = &self.shared.ledger;
        let principal = Principal { kind: PrincipalKind::Workspace, id: "w".into() };
        let stream = ledger.enable_stream("s".into(), principal, "CODEX_LOG".into(), 0, 0).await.unwrap();
        ledger.due_files(stream, 1, 1, [].into()).await.unwrap().pop()
    }

    fn outgoing(&self) -> PathBuf {
        self.folder.path().join("outgoing").join("a")
    }

    async fn row(&self) -> SinkRow {
        self.shared.ledger.sinks().await.unwrap().remove(0)
    }

    /// Every log file is there once, with its bytes, and nothing is left on the way.
    async fn assert_complete(&self, archive: &Scripted) {
        let objects = archive.0.lock().unwrap().objects.clone();
        let found: Vec<(String, Vec<u8>)> = objects
            .iter()
            .filter(|(key, _)| key.starts_with("raw/"))
            .map(|(key, bytes)| (key.clone(), unpacked(bytes)))
            .collect();
        let expected: Vec<(String, Vec<u8>)> = (1..=FILES)
            .map(|file| {
                let key = format!(
                    "raw/v1/principal=w/event_type=CODEX_LOG/dt=2026-11-20/20261120T000000Z_f{file}_{}.jsonl.zst",
                    &hex(&sha256(&content(file)))[..8]
                );
                (key, content(file))
            })
            .collect();
        assert!(found == expected, "{:?}", objects.keys());
        assert_eq!(fs::read_dir(self.outgoing()).unwrap().count(), 0);
        let row = self.row().await;
        let all: u64 = (1..=FILES).map(|file| RECORDS + file).sum();
        assert_eq!((row.counts.delivered, row.records_pending, row.state.as_str()), (all, 0, "ok"));
        assert_eq!(row.position, Position { sequence: FILES + 1, record: 0 });
    }
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    unpack(Packing::Zstd, bytes).unwrap().read_to_end(&mut content).unwrap();
    content
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_arrives_verbatim_repeats_included() {
    let mut bench = Bench::new().await;
    let archive = Scripted::default();
    bench.worker(&archive).await.run().await;
    bench.assert_complete(&archive).await;
    let most = archive.0.lock().unwrap().most_in_flight;
    assert!((2..=limits::ARCHIVE_IN_FLIGHT).contains(&most), "{most} in flight");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_tried_again_and_what_was_done_nevertheless_is_found() {
    for commits in [false, true] {
        let mut bench = Bench::new().await;
        let script = Script { fails_after: Some(3), failures: 4, commits, ..Script::default() };
        let archive = Scripted(Arc::new(Mutex::new(script)));
        bench.worker(&archive).await.run().await;
        bench.assert_complete(&archive).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_ends_a_run_with_an_end_and_the_next_goes_on() {
    let mut bench = Bench::new().await;
    let script = Script { fails_after: Some(5), failures: 99, pauses: true, ..Script::default() };
    let archive = Scripted(Arc::new(Mutex::new(script)));
    bench.worker(&archive).await.run().await;
    let row = bench.row().await;
    assert_eq!((row.state.as_str(), row.hint.as_deref()), ("paused", Some("mend it")));
    // Confirmed is what was confirmed in order, whatever else got through.
    let delivered = row.position.sequence - 1;
    assert!((1..=5).contains(&delivered), "{delivered}");
    assert_eq!(row.counts.delivered, (1..=delivered).map(|file| RECORDS + file).sum::<u64>());
    archive.0.lock().unwrap().failures = 0;
    bench.worker(&archive).await.run().await;
    bench.assert_complete(&archive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_nobody_and_a_restart_goes_on() {
    let mut bench = Bench::new().await;
    let script = Script { hangs_after: Some(4), ..Script::default() };
    let archive = Scripted(Arc::new(Mutex::new(script)));
    let worker = bench.worker(&archive).await;
    let stop = bench.shared.stop.clone();
    let running = tokio::spawn(worker.run());
    while archive.0.lock().unwrap().objects.len() < 4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
    assert!(bench.row().await.position.sequence <= 5);
    archive.0.lock().unwrap().hangs_after = None;
    fs::write(bench.outgoing().join("7"), "left by a crash").unwrap();
    bench.worker(&archive).await.run().await;
    bench.assert_complete(&archive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_file_that_changed_is_never_archived_and_is_fetched_again() {
    let changes: [fn(&mut Vec<u8>); 3] =
        [|bytes| bytes[3] ^= 1, |bytes| bytes.push(b'\n'), |bytes| bytes.truncate(9)];
    for change in changes {
        let mut bench = Bench::new().await;
        let path = bench.shared.spool.names(3).data;
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let archive = Scripted::default();
        let running = tokio::spawn(bench.worker(&archive).await.run());
        let damaged = loop {
            if let Some(damaged) = bench.damaged().await {
                break damaged;
            }
            assert!(!running.is_finished(), "it gave up, and nobody knows of the damage");
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        assert_eq!(damaged.repairs, Some(3));
        assert!(!archive.0.lock().unwrap().objects.keys().any(|key| key.contains("_f3_")));
        // As the fetcher does it.
        fs::write(&path, content(3)).unwrap();
        bench.shared.ledger.record_repair(damaged.row).await.unwrap();
        running.await.unwrap();
        bench.assert_complete(&archive).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_format_has_every_record_beside_the_raw_ones() {
    let mut bench = Bench::new().await;
    bench.options = Options { format: Format::Native, ..Options::default() };
    let archive = Scripted::default();
    bench.worker(&archive).await.run().await;
    let script = archive.0.lock().unwrap();
    assert_eq!(script.objects.len() as u64, FILES);
    for (file, (key, bytes)) in (1..).zip(&script.objects) {
        assert!(key.starts_with("normalized/v1/native/principal=w/"), "{key}");
        let text = String::from_utf8(unpacked(bytes)).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len() as u64, RECORDS + file);
        assert!(lines.iter().all(|line| line["provenance"]["log_file_id"] == format!("f{file}")));
        assert_eq!(lines[0]["id"], lines[1]["id"], "the repeat is in it");
    }
}

/// The manifests of the archive, in order, and the hashes of their envelopes.
fn manifests(archive: &Scripted) -> Vec<(Manifest, [u8; 32])> {
    let script = archive.0.lock().unwrap();
    let envelopes =
        script.objects.iter().filter(|(key, _)| key.starts_with("manifest/") && !key.contains(".pub."));
    envelopes
        .map(|(_, bytes)| (Manifest::read(&Envelope::read(bytes).unwrap().payload).unwrap(), sha256(bytes)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_run_adds_a_link_and_each_file_is_sealed_once() {
    let mut bench = Bench::new().await;
    let archive = Scripted::default();
    for _ in 0..3 {
        bench.worker(&archive).await.run().await;
    }
    let chain = manifests(&archive);
    let numbers: Vec<u64> = chain.iter().map(|(manifest, _)| manifest.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    for two in chain.windows(2) {
        assert_eq!(two[1].0.previous.map(|hash| hash.0), Some(two[0].1));
    }
    let sealed: Vec<u64> = chain.iter().map(|(manifest, _)| manifest.files.len() as u64).collect();
    assert_eq!(sealed, [FILES, 0, 0]);
    let script = archive.0.lock().unwrap();
    for (number, file) in (1..).zip(&chain[0].0.files) {
        let object = &script.objects[&file.key];
        assert_eq!((file.object_bytes, file.object_sha256.0), (object.len() as u64, sha256(object)));
        assert_eq!((file.sha256.0, file.records), (sha256(&content(number)), RECORDS + number));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_around_a_put_repeats_the_same_bytes() {
    for point in ["manifest put", "manifest recorded"] {
        let mut bench = Bench::new().await;
        let archive = Scripted::default();
        bench.once = false;
        bench.shared.ground.points = Arc::new(Trip(point, false.into()));
        let worker = bench.worker(&archive).await;
        let (stop, running) = (bench.shared.stop.clone(), tokio::spawn(worker.run()));
        while bench.row().await.position.sequence <= FILES {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stop.cancel();
        running.await.unwrap();
        let chain = bench.shared.ledger.chain("a".into(), "i".into()).await.unwrap();
        let written = chain.envelope.clone().unwrap();
        bench.once = true;
        bench.worker(&archive).await.run().await;
        let (key, next) = ("manifest/v1/i/000000000001.json", "manifest/v1/i/000000000002.json");
        let script = archive.0.lock().unwrap();
        assert_eq!(script.objects[key], written, "{point}");
        let next = Manifest::read(&Envelope::read(&script.objects[next]).unwrap().payload).unwrap();
        assert_eq!((next.previous.map(|hash| hash.0), next.files.len()), (Some(sha256(&written)), 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_the_ledger_does_not_know_pauses_before_anything_is_put() {
    let mut bench = Bench::new().await;
    let archive = Scripted::default();
    let foreign = ("manifest/v1/i/000000000001.json".to_owned(), b"{}".to_vec());
    archive.0.lock().unwrap().objects.extend([foreign]);
    bench.worker(&archive).await.run().await;
    let row = bench.row().await;
    assert_eq!((row.state.as_str(), row.position.sequence), ("paused", 1));
    assert!(row.hint.unwrap().contains("rebuild"));
    assert_eq!(archive.0.lock().unwrap().objects.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_there_is_sealed_as_it_lies_there() {
    let mut bench = Bench::new().await;
    let archive = Scripted::default();
    bench.worker(&archive).await.run().await;
    let (key, other) = {
        let mut script = archive.0.lock().unwrap();
        let key = script.objects.keys().find(|key| key.contains("_f3_")).unwrap().clone();
        let other = zstd::encode_all(&content(3)[..], 19).unwrap();
        script.objects.retain(|one, _| *one == key);
        assert_ne!(script.objects.insert(key.clone(), other.clone()), Some(other.clone()));
        (key, other)
    };
    let mut again = Bench::new().await;
    again.worker(&archive).await.run().await;
    let chain = manifests(&archive);
    let file = chain[0].0.files.iter().find(|file| file.key == key).unwrap();
    assert_eq!((file.object_bytes, file.object_sha256.0), (other.len() as u64, sha256(&other)));
}
