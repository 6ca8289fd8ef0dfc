//! The worker of one archive: log files in spool order, several on their way, confirmed in order.
//!
//! Its position is always the beginning of a file. A file's records count as delivered when its object is
//! in the archive, whether by this worker or from before: repeats are in it, files are kept verbatim.
//! Objects are put create-only, so what a crash repeats changes nothing.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::fill::FillError;
use super::health::{Health, Stop, trouble, unfilled};
use super::object::{MakeError, Maker};
use crate::archive::Packing;
use crate::collect::{Progress, Shared};
use crate::format::{Options, Redaction};
use crate::ledger::{Counts, FileFacts, LedgerError, Position, SinkRow};
use crate::limits;
use crate::recovery::Recovery;
use crate::sink::{Archive, Put, SinkError};

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
}

/// Delivers to one archive.
pub struct ArchiveWorker {
    shared: Shared,
    archive: Arc<dyn Archive>,
    maker: Arc<Maker>,
    rate: Option<u64>,
    once: bool,
    health: Health,
    /// What the ledger holds.
    committed: (Position, Counts),
    /// What it will hold: everything before this place is in the archive.
    confirmed: (Position, Counts),
    flights: VecDeque<Flight>,
    collected: watch::Receiver<u64>,
    /// Turns true when nothing more will be collected.
    over: watch::Receiver<bool>,
}

/// A file on its way.
struct Flight {
    sequence: u64,
    records: u64,
    task: JoinHandle<Result<Put, MakeError>>,
}

impl ArchiveWorker {
    /// A worker for the sink with this row.
    pub fn new(
        shared: Shared,
        row: SinkRow,
        archive: Arc<dyn Archive>,
        settings: ArchiveSettings,
        over: watch::Receiver<bool>,
    ) -> Self {
        let ArchiveSettings { options, redaction, packing, rate, once, folder } = settings;
        let maker = Arc::new(Maker { shared: shared.clone(), options, redaction, packing, folder });
        let committed = (row.position, row.counts);
        let health = Health::new(shared.clone(), row.name, &row.state, once);
        let collected = shared.next_sequence.subscribe();
        let (confirmed, flights) = (committed, VecDeque::new());
        Self { shared, archive, maker, rate, once, health, committed, confirmed, flights, collected, over }
    }

    /// Delivers until stopped, or until everything is delivered in a run with an end.
    pub async fn run(mut self) {
        let ended = self.work().await;
        self.land().await;
        if !self.health.ended(&ended) {
            return;
        }
        if let Err(error) = self.record().await {
            warn!(sink = self.health.sink, %error, "not recorded before the end, it is looked at again");
        }
    }

    async fn work(&mut self) -> Result<(), Stop> {
        while let Err(trouble) = tokio::task::block_in_place(|| self.maker.prepare()) {
            self.suffer(trouble).await?;
        }
        let mut due = Instant::now() + limits::COMMIT_INTERVAL;
        loop {
            if self.shared.stop.is_cancelled() {
                return Err(Stop::Stopping);
            }
            let result = self.step().await;
            if Instant::now() >= due || self.flights.is_empty() {
                self.commit().await?;
                due = Instant::now() + limits::COMMIT_INTERVAL;
            }
            match result {
                Ok(true) => {}
                Ok(false) if self.once && *self.over.borrow() && self.is_drained() => return Ok(()),
                Ok(false) => self.wait().await?,
                Err(MakeError::Sink(trouble)) => self.suffer(trouble).await?,
                Err(MakeError::Fill(error)) => {
                    let trouble = unfilled(&self.shared, &error).await?;
                    self.suffer(trouble).await?;
                }
            }
        }
    }

    /// Sends off what may go, and waits for the oldest on its way; `false` when there was none.
    async fn step(&mut self) -> Result<bool, MakeError> {
        // While nothing gets through, one is enough to see when that changes.
        let most = if self.health.is_failing() { 1 } else { limits::ARCHIVE_IN_FLIGHT };
        while self.flights.len() < most {
            let next = self.confirmed.0.sequence + self.flights.len() as u64;
            let facts = self.shared.ledger.file_at(next).await.map_err(FillError::from)?;
            let Some(facts) = facts else { break };
            self.send(facts);
        }
        let Some(oldest) = self.flights.front_mut() else { return Ok(false) };
        let Some(ended) = self.shared.stop.run_until_cancelled(&mut oldest.task).await else {
            return Ok(true);
        };
        let Some(Flight { sequence, records, .. }) = self.flights.pop_front() else { return Ok(false) };
        let put = ended.unwrap_or_else(|panic| {
            Err(SinkError::new(format!("delivery failed inside: {panic}"), Recovery::Fatal).into())
        })?;
        debug!(sink = self.health.sink, sequence, ?put, "a log file is in the archive");
        // A sink that took records before may stand in the middle of a file.
        let new = records.saturating_sub(self.confirmed.0.record);
        self.confirmed.0 = Position { sequence: sequence + 1, record: 0 };
        self.confirmed.1.delivered += new;
        self.health.recovered().await;
        self.pace(records).await;
        Ok(true)
    }

    fn send(&mut self, facts: FileFacts) {
        let (maker, archive) = (self.maker.clone(), self.archive.clone());
        let (sequence, records) = (facts.sequence, facts.records);
        let task = tokio::spawn(async move {
            let made = maker.make(&facts).await?;
            maker
                .shared
                .ground
                .points
                .reach("archive put")
                .map_err(|error| SinkError::new(error.to_string(), Recovery::Retry { after: None }))?;
            Ok(archive.put(&made.object).await?)
        });
        self.flights.push_back(Flight { sequence, records, task });
    }

    fn is_drained(&self) -> bool {
        self.flights.is_empty() && self.confirmed.0.sequence >= *self.collected.borrow()
    }

    /// Waits for more to deliver.
    async fn wait(&mut self) -> Result<(), Stop> {
        let over = *self.over.borrow();
        tokio::select! {
            () = self.shared.stop.cancelled() => Err(Stop::Stopping),
            changed = self.collected.changed() => changed.map_err(|_| Stop::Stopping),
            changed = self.over.changed(), if !over => changed.map_err(|_| Stop::Stopping),
        }
    }

    /// A stop ends the wait, and is seen before the next file.
    async fn pace(&mut self, records: u64) {
        if let Some(rate) = self.rate {
            let wait = Duration::from_secs_f64(records as f64 / rate as f64);
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
        self.shared.ledger.record_position(self.health.sink.clone(), position, counts, Vec::new()).await?;
        let new = counts.delivered - self.committed.1.delivered;
        Progress::add(&self.shared.progress.delivered, new);
        self.committed = self.confirmed;
        Ok(())
    }

    /// Records the trouble and waits before the next try.
    async fn suffer(&mut self, trouble: SinkError) -> Result<(), Stop> {
        self.land().await;
        self.health.suffer(&trouble).await
    }
}

#[cfg(test)]
mod tests;
