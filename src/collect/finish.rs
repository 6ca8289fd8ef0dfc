//! Makes fetched files real, in one order for all sources, several behind one barrier.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::{Progress, Shared};
use crate::ledger::{DriftRow, NewFile, PendingFile, Seen};
use crate::limits;
use crate::record::OwnKey;
use crate::source::openai::Stored;
use crate::spool::{Finder, Names, Repeats, Scanned};
use crate::words::printable;

/// A file on disk, durable, without a sequence number.
pub struct Finished {
    file: PendingFile,
    names: Names,
    stored: Stored,
    scanned: Scanned,
    fetched: Fetched,
    answer: oneshot::Sender<io::Result<()>>,
}

/// How a file came here, and what was seen of it.
pub struct Fetched {
    /// When.
    pub at: Timestamp,
    /// The recognisable part of the key.
    pub with: Option<OwnKey>,
    /// What its records show that may be new to the stream.
    pub seen: Vec<Seen>,
    /// It is of our own audit trail, which counts nowhere.
    pub own: bool,
}

impl Finished {
    /// The file, and where the outcome will be told.
    pub fn new(
        file: PendingFile,
        names: Names,
        stored: Stored,
        scanned: Scanned,
        fetched: Fetched,
    ) -> (Self, oneshot::Receiver<io::Result<()>>) {
        let (answer, done) = oneshot::channel();
        (Self { file, names, stored, scanned, fetched, answer }, done)
    }
}

/// Gives out sequence numbers; there is one for the whole program.
pub struct Finisher {
    shared: Shared,
    queue: mpsc::Receiver<Finished>,
}

impl Finisher {
    /// A finisher and the way to it.
    pub fn new(shared: Shared) -> (Self, mpsc::Sender<Finished>) {
        let (sender, queue) = mpsc::channel(limits::FINISH_GROUP);
        (Self { shared, queue }, sender)
    }

    /// Works until every sender is gone.
    pub async fn run(mut self) {
        let mut group = Vec::new();
        let pulse = self.shared.vitals.pulses.task("finisher".to_owned());
        while self.queue.recv_many(&mut group, limits::FINISH_GROUP).await > 0 {
            pulse.beat(limits::STUCK_TASK);
            let files = std::mem::take(&mut group);
            let (answers, files): (Vec<_>, Vec<_>) = files
                .into_iter()
                .map(|finished| {
                    let Finished { file, names, stored, scanned, fetched, answer } = finished;
                    (answer, Arc::new(Ready { file, names, stored, scanned, fetched }))
                })
                .unzip();
            let result = self.finish(&files).await;
            if let Err(error) = &result {
                warn!(%error, "fetched files could not be kept, they are fetched again");
                self.resume_numbering().await;
            }
            for answer in answers {
                let outcome = result.as_ref().map(drop).map_err(|error| io::Error::other(error.to_string()));
                // The fetch may have been stopped meanwhile; the ledger knows the outcome.
                drop(answer.send(outcome));
            }
            pulse.rest();
        }
    }

    /// A commit that reported an error may have happened all the same: the ledger knows the next number.
    async fn resume_numbering(&self) {
        if let Ok(collected) = self.shared.ledger.collected().await {
            self.shared.next_sequence.send_replace(collected.next_sequence);
        }
    }

    async fn finish(&self, files: &[Arc<Ready>]) -> io::Result<()> {
        let first = *self.shared.next_sequence.borrow();
        let mut new = Vec::new();
        let result = self.adopt(files, first, &mut new).await;
        if let Err(error) = result {
            for (sequence, ready) in (first..).zip(files) {
                self.shared.spool.discard(&self.shared.spool.names(sequence))?;
                self.shared.spool.discard(&ready.names)?;
            }
            return Err(error);
        }
        self.shared.ground.points.reach("files renamed")?;
        let news = self.shared.ledger.record_files(new).await.map_err(io::Error::other)?;
        self.shared.ground.points.reach("files recorded")?;
        tell(&news);
        let progress = &self.shared.progress;
        for ready in files {
            self.shared.shapes.learned(ready.file.stream, &ready.fetched.seen);
            if !ready.fetched.own {
                Progress::add(&progress.files, 1);
                Progress::add(&progress.records, ready.scanned.records);
                Progress::add(&progress.bytes, ready.stored.size);
            }
            Progress::add(&progress.spool_bytes, ready.stored.size);
            let file = &ready.file;
            let took = self.shared.ground.now() - file.listed_at;
            self.shared.vitals.meter.collected(file.listed_at - file.end_at, took);
        }
        self.shared.next_sequence.send_replace(first + files.len() as u64);
        Ok(())
    }

    async fn adopt(&self, files: &[Arc<Ready>], first: u64, new: &mut Vec<NewFile>) -> io::Result<()> {
        for (position, ready) in files.iter().enumerate() {
            let sequence = first + position as u64;
            let near = |other: &Ready| {
                other.file.stream == ready.file.stream
                    && (other.file.end_at - ready.file.end_at).abs() <= limits::REPEAT_WINDOW
            };
            let candidates = self
                .shared
                .ledger
                .candidates(ready.file.stream, ready.file.end_at, limits::REPEAT_WINDOW)
                .await
                .map_err(io::Error::other)?;
            let mut earlier: Vec<u64> = candidates.into_iter().map(|candidate| candidate.sequence).collect();
            earlier
                .extend((first..).zip(&files[..position]).filter(|(_, other)| near(other)).map(|(n, _)| n));
            let (spool, ready_too) = (self.shared.spool.clone(), ready.clone());
            let repeats = tokio::task::spawn_blocking(move || {
                let repeats = Finder::new(&spool, &ready_too.names)?.find(sequence, &earlier)?;
                spool.adopt(&ready_too.names, sequence)?;
                io::Result::Ok(repeats)
            });
            let repeats = repeats.await.map_err(io::Error::other)??;
            new.push(ready.row(sequence, &repeats));
        }
        self.shared.spool.sync()
    }
}

/// Says what is new about streams: a name and a type, never a value; so much of one group of files.
fn tell(news: &[DriftRow]) {
    for DriftRow { principal, event_type, kind, name, json_type, log_file_id, .. } in
        news.iter().take(limits::DRIFT_SHOWN)
    {
        let (file_id, json_type) = (printable(log_file_id), json_type.as_deref());
        warn!(principal, event_type, kind, name, json_type, file_id, "the stream shows what it never showed");
    }
    if news.len() > limits::DRIFT_SHOWN {
        let more = news.len() - limits::DRIFT_SHOWN;
        warn!(more, "and more: see `drift` in `custodex status --json`");
    }
}

struct Ready {
    file: PendingFile,
    names: Names,
    stored: Stored,
    scanned: Scanned,
    fetched: Fetched,
}

impl Ready {
    fn row(&self, sequence: u64, repeats: &Repeats) -> NewFile {
        if repeats.different() > 0 {
            let (file_id, records) = (self.file.file_id.as_str(), repeats.different());
            warn!(
                file_id,
                records, "event ids seen before came again with other content, they are delivered"
            );
        }
        NewFile {
            row: self.file.row,
            sequence,
            fetched_at: self.fetched.at.to_string(),
            fetched_with: self.fetched.with.as_ref().map(ToString::to_string),
            bytes: self.stored.size,
            sha256: self.stored.sha256,
            records: self.scanned.records,
            malformed: self.scanned.malformed,
            repeats: repeats.encode(sequence),
            seen: self.fetched.seen.clone(),
        }
    }
}
