//! Workers against sinks that hang, confirm late, lose and fail.

mod letters;
mod refill;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::collect::{Progress, Shared};
use crate::deliver::spooled::spooled;
use crate::digest::sha256;
use crate::format::{Encoder, Format, Options, Select};
use crate::ground::Ground;
use crate::ledger::{SinkStart, Stamp};
use crate::recovery::Recovery;
use crate::sink::{Batch, Confirmation, Sink, SinkError};

const FILES: u64 = 6;
const RECORDS: u64 = 40;

/// What a sink does, and what it saw.
#[derive(Debug, Default)]
struct Script {
    /// Deliveries that succeed before one fails.
    fails_after: Option<usize>,
    /// That failure loses what is not confirmed.
    loses: bool,
    /// Deliveries that succeed before one never ends.
    hangs_after: Option<usize>,
    /// Records that can never be taken.
    refuses: Vec<Vec<u8>>,
    /// Confirmations that lose what was handed over.
    forgets: usize,
    /// The call, counted from 0, that never ends.
    dies_at: Option<usize>,
    calls: usize,
    /// Batches confirmed by each call; all when none is given.
    confirms: Option<usize>,
    lines: Vec<Vec<u8>>,
    deliveries: usize,
}

struct Scripted {
    script: Arc<Mutex<Script>>,
    waiting: usize,
}

impl Scripted {
    /// Counts a call; the one at which the program is to be killed does not come back.
    async fn called(&self) {
        let dies = {
            let mut script = self.script.lock().unwrap();
            script.calls += 1;
            script.dies_at.is_some_and(|at| script.calls > at)
        };
        if dies {
            std::future::pending::<()>().await;
        }
    }
}

impl Sink for Scripted {
    fn deliver<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(async move {
            self.called().await;
            let hangs = {
                let mut script = self.script.lock().unwrap();
                script.deliveries += 1;
                if script.fails_after.is_some_and(|after| script.deliveries > after) {
                    script.fails_after = None;
                    let error = SinkError::new("refused once", Recovery::Retry { after: None });
                    if script.loses {
                        self.waiting = 0;
                        return Err(error.losing());
                    }
                    return Err(error);
                }
                let refused =
                    batch.records().position(|line| script.refuses.iter().any(|refused| refused == line));
                if let Some(record) = refused {
                    let answer = "no".to_owned();
                    return Err(SinkError::new("refused", Recovery::DeadLetter { record, answer }));
                }
                script.hangs_after.is_some_and(|after| script.deliveries > after)
            };
            if hangs {
                std::future::pending::<()>().await;
            }
            self.script.lock().unwrap().lines.extend(batch.records().map(<[u8]>::to_vec));
            self.waiting += 1;
            Ok(())
        })
    }

    fn confirm(&mut self) -> BoxFuture<'_, Result<Confirmation, SinkError>> {
        Box::pin(async {
            self.called().await;
            let mut script = self.script.lock().unwrap();
            if script.forgets > 0 && self.waiting > 0 {
                (script.forgets, self.waiting) = (script.forgets - 1, 0);
                return Err(SinkError::new("forgotten", Recovery::Retry { after: None }).losing());
            }
            let batches = script.confirms.unwrap_or(usize::MAX).min(self.waiting);
            self.waiting -= batches;
            Ok(Confirmation { batches, memory: Vec::new() })
        })
    }

    fn committed(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async {
            self.called().await;
            Ok(())
        })
    }
}

/// A spool with files in it, and the sinks' rows.
struct Bench {
    shared: Shared,
    folder: TempDir,
    refill: Refill,
    encoder: Encoder,
    select: Select,
}

fn line(file: u64, record: u64) -> Vec<u8> {
    format!("{{\"event_id\":\"{file}-{record}\",\"text\":\"{}\"}}\n", "x".repeat(20)).into_bytes()
}

fn content(file: u64) -> Vec<u8> {
    (0..RECORDS).flat_map(|record| line(file, record)).collect()
}

fn all_lines() -> Vec<Vec<u8>> {
    (1..=FILES).flat_map(|file| (0..RECORDS).map(move |record| line(file, record))).collect()
}

impl Bench {
    async fn new() -> Self {
        let contents: Vec<Vec<u8>> = (1..=FILES).map(content).collect();
        Self::with(&contents).await
    }

    async fn with(contents: &[Vec<u8>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shared = spooled(folder.path(), contents).await;
        let encoder = Encoder::new(Options { format: Format::Raw, ..Options::default() }, None);
        Self { shared, folder, refill: Refill::default(), encoder, select: Select::default() }
    }

    /// A worker as after a start of the program; a new stop belongs to it.
    async fn worker(&mut self, name: &str, script: &Arc<Mutex<Script>>, window: u64) -> Worker {
        self.shared.stop = CancellationToken::new();
        let ledger = &self.shared.ledger;
        let row = ledger.enable_sink(name.into(), "t", "sent", SinkStart::Beginning, false).await.unwrap();
        let settings = Settings {
            max_unconfirmed_records: window,
            rate: None,
            select: self.select.clone(),
            once: true,
            refill: self.refill.clone(),
        };
        let over = watch::Sender::new(true).subscribe();
        let sink = Box::new(Scripted { script: script.clone(), waiting: 0 });
        let letters = Letters::new(self.shared.ground.disk.clone(), self.folder.path().join("dead-letters"));
        Worker::new(self.shared.clone(), row, sink, self.encoder.clone(), settings, letters, over)
    }

    async fn row(&self, name: &str) -> crate::ledger::SinkRow {
        let rows = self.shared.ledger.sinks().await.unwrap();
        rows.into_iter().find(|row| row.name == name).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_a_stop_cut_off_is_never_committed() {
    let mut bench = Bench::new().await;
    let script = Arc::new(Mutex::new(Script { hangs_after: Some(2), ..Script::default() }));
    let worker = bench.worker("a", &script, 7).await;
    let stop = bench.shared.stop.clone();
    let running = tokio::spawn(worker.run());
    while script.lock().unwrap().deliveries < 3 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.unwrap();
    let row = bench.row("a").await;
    assert_eq!(row.counts.delivered, script.lock().unwrap().lines.len() as u64);
    script.lock().unwrap().hangs_after = None;
    bench.worker("a", &script, 7).await.run().await;
    assert_eq!(script.lock().unwrap().lines, all_lines(), "each record once, in order");
    assert_eq!(bench.row("a").await.records_pending, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_follow_what_is_confirmed_and_the_window_holds() {
    let mut bench = Bench::new().await;
    let script = Arc::new(Mutex::new(Script { confirms: Some(0), ..Script::default() }));
    let worker = bench.worker("a", &script, 100).await;
    let stop = bench.shared.stop.clone();
    let running = tokio::spawn(worker.run());
    while script.lock().unwrap().lines.len() < 100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(bench.row("a").await.counts.delivered, 0, "nothing is confirmed");
    script.lock().unwrap().confirms = Some(1);
    running.await.unwrap();
    assert_eq!(script.lock().unwrap().lines, all_lines());
    assert_eq!(bench.row("a").await.counts.delivered, FILES * RECORDS);
    assert!(!stop.is_cancelled());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_is_handed_over_again_and_nothing_else() {
    for (loses, window) in [(true, 90), (false, 90)] {
        let mut bench = Bench::new().await;
        let first = Script { fails_after: Some(2), loses, confirms: Some(1), ..Script::default() };
        let script = Arc::new(Mutex::new(first));
        bench.worker("a", &script, window).await.run().await;
        let lines = std::mem::take(&mut script.lock().unwrap().lines);
        let mut once = lines.clone();
        let mut seen = std::collections::HashSet::new();
        once.retain(|line| seen.insert(line.clone()));
        assert_eq!(once, all_lines(), "nothing is missing, order is kept");
        let again = lines.len() - once.len();
        assert!(again <= usize::try_from(window).unwrap() && (loses || again == 0), "{again} came again");
        assert_eq!(bench.row("a").await.counts.delivered, FILES * RECORDS);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_hangs_holds_nobody_else() {
    let mut bench = Bench::new().await;
    let stuck = Arc::new(Mutex::new(Script { hangs_after: Some(0), ..Script::default() }));
    let well = Arc::new(Mutex::new(Script::default()));
    let hanging = tokio::spawn(bench.worker("stuck", &stuck, 50).await.run());
    let stop = bench.shared.stop.clone();
    bench.worker("well", &well, 50).await.run().await;
    assert_eq!(well.lock().unwrap().lines, all_lines());
    stop.cancel();
    hanging.await.unwrap();
    assert_eq!(bench.row("stuck").await.records_pending, FILES * RECORDS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_refused_for_good_holds_up_nothing_and_can_be_tried_again() {
    let mut bench = Bench::new().await;
    let bad = line(2, 17);
    let script = Arc::new(Mutex::new(Script { refuses: vec![bad.clone()], ..Script::default() }));
    bench.worker("a", &script, 50).await.run().await;
    let others: Vec<_> = all_lines().into_iter().filter(|line| *line != bad).collect();
    assert_eq!(script.lock().unwrap().lines, others);
    let row = bench.row("a").await;
    assert_eq!((row.counts.delivered, row.counts.dead_letters), (FILES * RECORDS - 1, 1));
    let letters = bench.shared.ledger.letters("a".into()).await.unwrap();
    assert_eq!((letters.len(), letters[0].reason.as_str()), (1, "refused; it answered: no"));
    script.lock().unwrap().refuses.clear();
    bench.worker("a", &script, 50).await.run().await;
    assert_eq!(script.lock().unwrap().lines.len(), others.len(), "not tried again unasked");
    let by = Stamp::program(bench.shared.ground.clock.now());
    assert_eq!(bench.shared.ledger.retry_letters(None, by).await.unwrap(), 1);
    bench.worker("a", &script, 50).await.run().await;
    assert_eq!(script.lock().unwrap().lines.last(), Some(&bad));
    let row = bench.row("a").await;
    assert_eq!((row.counts.delivered, row.counts.dead_letters), (FILES * RECORDS, 0));
    assert!(bench.shared.ledger.letters("a".into()).await.unwrap().is_empty());
    assert_eq!(std::fs::read_dir(bench.folder.path().join("dead-letters")).unwrap().count(), 0);
}
