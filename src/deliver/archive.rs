//! The worker of one archive: log files in spool order, several on their way, confirmed in order.
//!
//! Its position is always the beginning of a file. A file's records count as delivered when its object is
//! in the archive, whether by this worker or from before: repeats are in it, files are kept verbatim.
//! Objects are put create-only, so what a crash repeats changes nothing.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::health::{Health, Stop, trouble, unfilled};
use super::object::{MakeError, Maker};
use super::refill::Refill;
use super::seal::{Seal, Sealer};
use crate::archive::{Measured, Packing};
use crate::collect::{Progress, Shared};
use crate::format::{Format, Options, Redaction};
use crate::ledger::{ArchivedFile, Counts, FileFacts, LedgerError, Position, SinkRow};
use crate::limits;
use crate::recovery::Recovery;
use crate::sink::reader::ArchiveReader;
use crate::sink::{Archive, Object, Put, SinkError};

/// What the configuration says about delivery to one archive.
#[derive(Clone, Debug)]
pub struct ArchiveSettings {
    /// How log files are written there.
    pub options: Options,
    /// What is taken out of records on their way there.
    pub redaction: Redaction,
    /// How they are compressed.
    pub packing: Packing,
    /// Records a second.
    pub rate: Option<u64>,
    /// End when everything that is there was delivered.
    pub once: bool,
    /// Where objects lie while they are on their way.
    pub folder: PathBuf,
    /// Seals the archive, when log files are kept as they are.
    pub seal: Seal,
    /// Where log files come back from that only another archive has, after a rebuild.
    pub refill: Refill,
}

/// Delivers to one archive.
pub struct ArchiveWorker {
    shared: Shared,
    archive: Arc<dyn Archive>,
    reader: Arc<dyn ArchiveReader>,
    /// None where other programs' formats are kept, which no chain covers.
    sealer: Option<Sealer>,
    /// When the next manifest is written.
    seal_at: Instant,
    maker: Arc<Maker>,
    refill: Refill,
    rate: Option<u64>,
    once: bool,
    health: Health,
    /// What the ledger holds.
    committed: (Position, Counts),
    /// What it will hold: everything before this place is in the archive.
    confirmed: (Position, Counts),
    /// What was confirmed and is not in the ledger.
    archived: Vec<ArchivedFile>,
    flights: VecDeque<Flight>,
    collected: watch::Receiver<u64>,
    /// Turns true when nothing more will be collected.
    over: watch::Receiver<bool>,
}

/// A file on its way.
struct Flight {
    sequence: u64,
    records: u64,
    /// When the file came to the spool, seconds.
    spooled_at: i64,
    task: JoinHandle<Result<(Put, ArchivedFile), MakeError>>,
}

impl ArchiveWorker {
    /// A worker for the sink with this row.
    pub fn new(
        shared: Shared,
        row: SinkRow,
        (archive, reader): (Arc<dyn Archive>, Arc<dyn ArchiveReader>),
        settings: ArchiveSettings,
        over: watch::Receiver<bool>,
    ) -> Self {
        let ArchiveSettings { options, redaction, packing, rate, once, folder, seal, refill } = settings;
        let sealer = (options.format == Format::Raw).then(|| {
            let (archive, reader) = (archive.clone(), reader.clone());
            Sealer::new(shared.clone(), row.name.clone(), archive, reader, seal, folder.clone())
        });
        let maker = Arc::new(Maker { shared: shared.clone(), options, redaction, packing, folder });
        let committed = (row.position, row.counts);
        let health = Health::new(shared.clone(), row.name, &row.state, once);
        let collected = shared.next_sequence.subscribe();
        let (confirmed, flights) = (committed, VecDeque::new());
        let (archived, seal_at) = (Vec::new(), Instant::now());
        Self {
            shared,
            archive,
            reader,
            sealer,
            seal_at,
            maker,
            refill,
            rate,
            once,
            health,
            committed,
            confirmed,
            archived,
            flights,
            collected,
            over,
        }
    }

    /// Delivers until stopped, or until everything is delivered in a run with an end.
    pub async fn run(mut self) {
        let ended = self.work().await;
        self.land().await;
        let stopping = matches!(ended, Err(Stop::Stopping));
        if !self.health.ended(&ended) {
            return;
        }
        if let Err(error) = self.record().await {
            return warn!(sink = self.health.sink, %error, "not recorded before the end, it is looked at again");
        }
        if stopping {
            let sealed = tokio::time::timeout(limits::SEAL_AT_STOP, self.seal()).await;
            if !matches!(sealed, Ok(Ok(()))) {
                warn!(
                    sink = self.health.sink,
                    "the last manifest is not in the archive yet, the next start puts it"
                );
            }
        }
    }

    /// Seals what is confirmed.
    async fn seal(&mut self) -> Result<(), MakeError> {
        let Some(sealer) = self.sealer.as_mut().filter(|sealer| sealer.is_ready()) else { return Ok(()) };
        sealer.seal().await?;
        self.seal_at = Instant::now() + limits::SEAL_INTERVAL;
        Ok(())
    }

    async fn begin_sealing(&mut self) -> Result<(), MakeError> {
        let Some(sealer) = &mut self.sealer else { return Ok(()) };
        sealer.begin().await?;
        self.seal_at = Instant::now() + Duration::from_secs(sealer.due_in());
        Ok(())
    }

    async fn work(&mut self) -> Result<(), Stop> {
        while let Err(trouble) = tokio::task::block_in_place(|| self.maker.prepare()) {
            self.suffer(trouble).await?;
        }
        while let Err(error) = self.begin_sealing().await {
            self.meet(error).await?;
        }
        let mut due = Instant::now() + limits::COMMIT_INTERVAL;
        loop {
            if self.shared.stop.is_cancelled() {
                return Err(Stop::Stopping);
            }
            self.health.beat(Duration::ZERO);
            if self.sealer.is_some() && Instant::now() >= self.seal_at {
                // Nothing is added to an archive that takes no manifest.
                while let Err(error) = self.seal().await {
                    self.meet(error).await?;
                }
                self.health.recovered().await;
            }
            let result = self.step().await;
            if Instant::now() >= due || self.flights.is_empty() {
                self.commit().await?;
                due = Instant::now() + limits::COMMIT_INTERVAL;
            }
            let ends = self.once && *self.over.borrow() && self.is_drained();
            match result {
                Ok(false) if ends => match self.seal().await {
                    Ok(()) => {
                        self.health.recovered().await;
                        return Ok(());
                    }
                    Err(error) => self.meet(error).await?,
                },
                Ok(true) => {}
                Ok(false) => self.wait().await?,
                Err(error) => self.meet(error).await?,
            }
        }
    }

    /// Sends off what may go, and waits for the oldest on its way; `false` when there was none.
    async fn step(&mut self) -> Result<bool, MakeError> {
        // While nothing gets through, one is enough to see when that changes.
        let most = if self.health.is_failing() { 1 } else { limits::ARCHIVE_IN_FLIGHT };
        while self.flights.len() < most {
            let next = self.confirmed.0.sequence + self.flights.len() as u64;
            let Some(facts) = self.shared.ledger.file_at(next).await? else { break };
            if facts.dropped {
                let coming = self.refill.bring_back(&self.shared, &self.health.sink, next);
                // A stop ends the wait, and is seen before the next step.
                let Some(came) = self.shared.stop.run_until_cancelled(coming).await else { return Ok(true) };
                came?;
            }
            self.send(facts);
        }
        let Some(oldest) = self.flights.front_mut() else { return Ok(false) };
        let Some(ended) = self.shared.stop.run_until_cancelled(&mut oldest.task).await else {
            return Ok(true);
        };
        let Some(Flight { sequence, records, spooled_at, .. }) = self.flights.pop_front() else {
            return Ok(false);
        };
        let (put, archived) = ended.unwrap_or_else(|panic| {
            Err(SinkError::new(format!("delivery failed inside: {panic}"), Recovery::Fatal).into())
        })?;
        debug!(sink = self.health.sink, sequence, ?put, "a log file is in the archive");
        // A sink that took records before may stand in the middle of a file.
        let new = records.saturating_sub(self.confirmed.0.record);
        self.archived.push(archived);
        self.confirmed.0 = Position { sequence: sequence + 1, record: 0 };
        self.confirmed.1.delivered += new;
        self.health.confirmed(spooled_at);
        self.health.recovered().await;
        self.pace(records).await;
        Ok(true)
    }

    fn send(&mut self, facts: FileFacts) {
        let (maker, archive, reader) = (self.maker.clone(), self.archive.clone(), self.reader.clone());
        // Our own audit trail is archived beside what counts.
        let (sequence, records) = (facts.sequence, if facts.own { 0 } else { facts.records });
        let fetched: Option<Timestamp> = facts.fetched_at.parse().ok();
        let spooled_at = fetched.map_or_else(|| self.shared.ground.now(), Timestamp::as_second);
        let task = tokio::spawn(async move {
            let made = maker.make(&facts).await?;
            maker
                .shared
                .ground
                .points
                .reach("archive put")
                .map_err(|error| SinkError::new(error.to_string(), Recovery::Retry { after: None }))?;
            let put = archive.put(&made.object).await?;
            let (object_bytes, object_sha256) = match put {
                Put::AlreadyThere if made.object.verbatim => lying(reader.as_ref(), &made.object).await?,
                Put::AlreadyThere | Put::Stored => (made.object.length, made.object.sha256),
            };
            let archived = ArchivedFile {
                sequence,
                key: made.object.key.clone(),
                object_bytes,
                object_sha256,
                record_root: made.inspected.record_root,
                oldest_event: made.inspected.oldest_event.clone(),
                newest_event: made.inspected.newest_event.clone(),
                found: false,
            };
            Ok((put, archived))
        });
        self.flights.push_back(Flight { sequence, records, spooled_at, task });
    }

    fn is_drained(&self) -> bool {
        self.flights.is_empty() && self.confirmed.0.sequence >= *self.collected.borrow()
    }

    /// Waits for more to deliver.
    async fn wait(&mut self) -> Result<(), Stop> {
        self.health.rest();
        let over = *self.over.borrow();
        let due = tokio::time::sleep_until(self.seal_at);
        tokio::select! {
            () = self.shared.stop.cancelled() => Err(Stop::Stopping),
            () = due, if self.sealer.is_some() => Ok(()),
            changed = self.collected.changed() => changed.map_err(|_| Stop::Stopping),
            changed = self.over.changed(), if !over => changed.map_err(|_| Stop::Stopping),
        }
    }

    /// A stop ends the wait, and is seen before the next file.
    async fn pace(&mut self, records: u64) {
        if let Some(rate) = self.rate {
            let wait = Duration::from_secs_f64(records as f64 / rate as f64);
            self.health.beat(wait);
            self.shared.stop.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
    }

    /// Calls back what is on its way, and waits until nothing of it is at work any more: the next try uses
    /// the same names.
    async fn land(&mut self) {
        for flight in &self.flights {
            flight.task.abort();
        }
        for flight in self.flights.drain(..) {
            // Whatever became of it: it is put again, and found if it is there.
            drop(flight.task.await);
        }
    }

    async fn commit(&mut self) -> Result<(), Stop> {
        while let Err(error) = self.record().await {
            self.suffer(trouble(&error)?).await?;
        }
        Ok(())
    }

    async fn record(&mut self) -> Result<(), LedgerError> {
        if self.confirmed == self.committed {
            return Ok(());
        }
        let (position, counts) = self.confirmed;
        let (ledger, sink) = (&self.shared.ledger, self.health.sink.clone());
        if self.sealer.is_some() {
            ledger.record_archived(sink, position, counts, self.archived.clone()).await?;
        } else {
            ledger.record_position(sink, position, counts, Vec::new()).await?;
        }
        self.archived.clear();
        let new = counts.delivered - self.committed.1.delivered;
        Progress::add(&self.shared.progress.delivered, new);
        self.committed = self.confirmed;
        Ok(())
    }

    async fn meet(&mut self, error: MakeError) -> Result<(), Stop> {
        match error {
            MakeError::Sink(trouble) => self.suffer(trouble).await,
            MakeError::Fill(error) => {
                let trouble = unfilled(&self.shared, &error).await?;
                self.suffer(trouble).await
            }
        }
    }

    /// Records the trouble and waits before the next try.
    async fn suffer(&mut self, trouble: SinkError) -> Result<(), Stop> {
        self.land().await;
        self.health.suffer(&trouble).await
    }
}

/// Length and hash of an object that was there: another version may have compressed it otherwise.
async fn lying(reader: &dyn ArchiveReader, object: &Object) -> Result<(u64, [u8; 32]), SinkError> {
    let again = |what: String| SinkError::new(what, Recovery::Retry { after: None });
    if let Some(found) = reader.head(&object.key).await?
        && let Some(sha256) = found.sha256
    {
        return Ok((found.size, sha256));
    }
    let gone = || again(format!("{} was in {} and is gone", object.key, reader.place()));
    let body = reader.get(&object.key).await?.ok_or_else(gone)?;
    let read = tokio::task::spawn_blocking(move || {
        let mut measured = Measured::new(body.bytes);
        let mut window = vec![0; limits::COPY_WINDOW];
        loop {
            match measured.read(&mut window) {
                Ok(0) => return Ok(measured.finish()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    });
    match read.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(again(format!("cannot read {} back: {error}", object.key))),
        Err(panic) => Err(again(format!("reading {} back failed inside: {panic}", object.key))),
    }
}

#[cfg(test)]
mod tests;
