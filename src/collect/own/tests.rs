//! The trail on its way into the spool: a failure at any step changes nothing of what arrives.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use super::*;
use crate::collect::Finisher;
use crate::digest::{hex, sha256};
use crate::ground::{Ground, Points};
use crate::ledger::{Action, Event, Ledger, LedgerThread, Stamp, Target};
use crate::spool::Spool;

/// Fails once at a point.
#[derive(Debug, Default)]
struct Once(Mutex<Option<&'static str>>);

impl Points for Once {
    fn reach(&self, name: &'static str) -> io::Result<()> {
        let mut at = self.0.lock().unwrap();
        if *at == Some(name) {
            *at = None;
            return Err(io::Error::other("failed for a test"));
        }
        Ok(())
    }
}

struct Bench {
    shared: Shared,
    points: Arc<Once>,
    thread: LedgerThread,
}

/// A program that just started in this folder.
async fn start(folder: &Path) -> Bench {
    let points = Arc::new(Once::default());
    let mut ground = Ground::real();
    ground.points = points.clone();
    let (ledger, thread) = Ledger::open(&folder.join("ledger.db")).unwrap();
    let spool = Spool::open(ground.disk.clone(), &folder.join("spool")).unwrap();
    let collected = ledger.collected().await.unwrap();
    spool.recover(&ledger.kept().await.unwrap(), 1, collected.next_sequence).unwrap();
    Bench { shared: Shared::new(ground, ledger, spool, u64::MAX, &collected), points, thread }
}

impl Bench {
    async fn note(&self, id: &str) {
        let stamp = Stamp::program(self.shared.ground.clock.now());
        let event = Event::new(Action::CaseMade, Target::new("case", id), Value::Null);
        self.shared.ledger.append_event(stamp, event).await.unwrap();
    }

    async fn flush(&self, wanted: bool) {
        let (finisher, way) = Finisher::new(self.shared.clone());
        let finishing = tokio::spawn(finisher.run());
        let soon = Arc::default();
        OwnTrail::new(self.shared.clone(), "here".into(), wanted, way, soon).flush().await;
        finishing.await.unwrap();
    }

    fn end(self) {
        drop(self.shared);
        self.thread.join();
    }
}

/// Log files of the spool, in order.
fn spooled(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder.join("spool")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    names.sort();
    names.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_at_any_step_changes_nothing_of_what_arrives() {
    for point in ["files renamed", "files recorded"] {
        let folder = tempfile::tempdir().unwrap();
        let bench = start(folder.path()).await;
        bench.note("1").await;
        bench.note("2").await;
        let ready = bench.shared.ledger.next_own_file("here".into(), 1).await.unwrap().unwrap();
        *bench.points.0.lock().unwrap() = Some(point);
        bench.flush(true).await;
        assert_eq!(*bench.points.0.lock().unwrap(), None, "{point} was reached");
        bench.note("3").await;
        bench.end();
        let bench = start(folder.path()).await;
        bench.flush(true).await;
        bench.flush(true).await;
        let files = spooled(folder.path());
        assert_eq!(files[0].as_bytes(), ready.content, "{point}");
        assert_eq!(files.len(), 2, "{point}");
        let facts = bench.shared.ledger.file_at(1).await.unwrap().unwrap();
        assert_eq!((facts.own, facts.records, facts.sha256), (true, 2, sha256(&ready.content)));
        assert_eq!(facts.file_id, format!("custodex-{}", hex(&facts.sha256[..16])));
        let all = files.concat();
        let ids: Vec<&str> = all.lines().map(|line| line.split("\"target\":").nth(1).unwrap()).collect();
        assert_eq!(ids, [1, 2, 3].map(|id| format!("{{\"kind\":\"case\",\"id\":\"{id}\"}}}}")), "{point}");
        assert_eq!(crate::collect::Progress::get(&bench.shared.progress.records), 0, "it counts nowhere");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_mended_and_without_a_taker_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let bench = start(folder.path()).await;
    bench.note("1").await;
    bench.flush(false).await;
    assert_eq!(spooled(folder.path()), [""; 0]);
    bench.flush(true).await;
    let whole = spooled(folder.path());
    assert_eq!(whole.len(), 1, "kept for a taker to come");
    let names = bench.shared.spool.names(1);
    fs::write(&names.data, "torn").unwrap();
    bench.shared.ledger.mark_damaged(1).await.unwrap();
    bench.flush(true).await;
    assert_eq!(spooled(folder.path()), whole);
    assert!(bench.shared.ledger.next_own_file("here".into(), 1).await.unwrap().is_none());
}
