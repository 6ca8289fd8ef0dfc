//! The worker of one sink.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{SemaphorePermit, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::fill::{End, FillError, Filler};
use crate::collect::{Progress, Shared};
use crate::format::Encoder;
use crate::ledger::{Counts, LedgerError, Position, SinkRow};
use crate::limits;
use crate::recovery::{Recovery, backoff};
use crate::sink::{Batch, Sink, SinkError};

/// What the configuration says about delivery to one sink.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Records handed over and not confirmed.
    pub max_unconfirmed_records: u64,
    /// Records a second.
    pub rate: Option<u64>,
    /// End when everything that is there was delivered.
    pub once: bool,
}

/// Delivers to one sink.
pub struct Worker {
    shared: Shared,
    name: String,
    sink: Box<dyn Sink>,
    settings: Settings,
    filler: Filler,
    committed: (Position, Counts, Vec<u8>),
    healthy: bool,
    collected: watch::Receiver<u64>,
    /// Turns true when nothing more will be collected.
    over: watch::Receiver<bool>,
}

/// Why a worker ended early.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("stopping")]
    Stopping,
    #[error("gave up for now")]
    GivenUp,
    #[error("the ledger is closed")]
    Closed,
}

impl Worker {
    /// A worker for the sink with this row.
    pub fn new(
        shared: Shared,
        row: SinkRow,
        sink: Box<dyn Sink>,
        encoder: Encoder,
        settings: Settings,
        over: watch::Receiver<bool>,
    ) -> Self {
        let filler = Filler::new(
            shared.ledger.clone(),
            shared.spool.clone(),
            Arc::new(encoder),
            row.start,
            (row.position, row.counts),
        );
        let collected = shared.next_sequence.subscribe();
        let committed = (row.position, row.counts, row.memory.unwrap_or_default());
        let healthy = row.state == "ok";
        Self { shared, name: row.name, sink, settings, filler, committed, healthy, collected, over }
    }

    /// Delivers until stopped, or until everything is delivered in a run with an end.
    pub async fn run(mut self) {
        match self.work().await {
            Ok(()) | Err(Stop::Stopping) => {}
            Err(Stop::GivenUp) => {
                warn!(sink = self.name, "what could not be delivered now stays in the spool");
            }
            Err(Stop::Closed) => return error!(sink = self.name, "delivery ends: the ledger is closed"),
        }
        // A clean stop commits what the sink can still confirm.
        match tokio::time::timeout(limits::STOP_CONFIRM, self.commit_once()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(sink = self.name, %error, "not confirmed before the end, it is delivered again");
            }
            Err(_) => warn!(sink = self.name, "no confirmation in time, it is delivered again"),
        }
    }

    async fn work(&mut self) -> Result<(), Stop> {
        let mut batch = Batch::default();
        let mut due = Instant::now() + limits::COMMIT_INTERVAL;
        loop {
            let unconfirmed = self.filler.counts.delivered - self.committed.1.delivered;
            if self.shared.stop.is_cancelled() {
                return Err(Stop::Stopping);
            }
            let room = self.settings.max_unconfirmed_records.saturating_sub(unconfirmed);
            if room == 0 || Instant::now() >= due || self.sink.wants_commit() {
                self.commit().await?;
                due = Instant::now() + limits::COMMIT_INTERVAL;
                continue;
            }
            let end = self.deliver_some(&mut batch, room).await?;
            if end == End::Dry {
                self.commit().await?;
                due = Instant::now() + limits::COMMIT_INTERVAL;
                if self.settings.once && *self.over.borrow() && self.drained() {
                    return Ok(());
                }
                self.wait().await?;
            }
        }
    }

    fn drained(&self) -> bool {
        self.filler.position.sequence >= *self.collected.borrow()
    }

    /// Waits for more to deliver; while idle the sink is asked now and then, so that it can rotate.
    async fn wait(&mut self) -> Result<(), Stop> {
        let over = *self.over.borrow();
        tokio::select! {
            () = self.shared.stop.cancelled() => Err(Stop::Stopping),
            changed = self.collected.changed() => changed.map_err(|_| Stop::Stopping),
            changed = self.over.changed(), if !over => changed.map_err(|_| Stop::Stopping),
            () = tokio::time::sleep(limits::IDLE_CONFIRM) => Ok(()),
        }
    }

    /// Fills one batch and hands it over.
    async fn deliver_some(&mut self, batch: &mut Batch, room: u64) -> Result<End, Stop> {
        let shared = self.shared.clone();
        let most = match self.settings.rate {
            Some(rate) => room.min((rate / 4).max(1)),
            None => room,
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut permit: Option<SemaphorePermit<'_>> = None;
        let mut tries = 0;
        loop {
            let from = (self.filler.position, self.filler.counts);
            batch.clear();
            let filled = self.filler.fill(batch, most, permit.is_some()).await;
            let error = match filled {
                Ok(End::Big) if permit.is_none() => {
                    permit = Some(shared.big.acquire().await.map_err(|_| Stop::Stopping)?);
                    batch.bytes.reserve(limits::BIG_BUFFER_BYTES);
                    continue;
                }
                Ok(end) if batch.ends.is_empty() => return Ok(end),
                Ok(end) => {
                    match hand_over(self.sink.as_mut(), batch, permit.is_some(), &shared.stop).await? {
                        Ok(()) => {
                            self.recovered().await;
                            self.pace(batch.ends.len()).await?;
                            if permit.is_some() {
                                *batch = Batch::default();
                            }
                            return Ok(end);
                        }
                        Err(error) => error,
                    }
                }
                Err(FillError::Ledger(error)) => trouble(&error)?,
                Err(error @ FillError::Spool { .. }) => SinkError {
                    message: error.to_string(),
                    recovery: Recovery::Pause { hint: "restore the file in the spool folder".into() },
                },
            };
            // The batch is read again, the same bytes: no memory is held while a sink is down.
            self.filler.rewind(from.0, from.1);
            *batch = Batch::default();
            permit = None;
            self.suffer(&error, tries).await?;
            tries += 1;
        }
    }

    async fn pace(&mut self, records: usize) -> Result<(), Stop> {
        let Some(rate) = self.settings.rate else { return Ok(()) };
        let wait = Duration::from_secs_f64(records as f64 / rate as f64);
        self.shared.stop.run_until_cancelled(tokio::time::sleep(wait)).await.ok_or(Stop::Stopping)
    }

    async fn commit(&mut self) -> Result<(), Stop> {
        let mut tries = 0;
        loop {
            match self.commit_once().await {
                Ok(()) => {
                    self.recovered().await;
                    return Ok(());
                }
                Err(CommitError::Sink(error)) => self.suffer(&error, tries).await?,
                Err(CommitError::Ledger(error)) => self.suffer(&trouble(&error)?, tries).await?,
            }
            tries += 1;
        }
    }

    /// Confirm, then commit, then tell the sink.
    async fn commit_once(&mut self) -> Result<(), CommitError> {
        let memory = self.sink.confirm().await?;
        let (position, counts) = (self.filler.position, self.filler.counts);
        if (position, counts, &memory) == (self.committed.0, self.committed.1, &self.committed.2) {
            return Ok(());
        }
        self.shared
            .ground
            .points
            .reach("confirmed")
            .map_err(|error| SinkError { message: error.to_string(), recovery: Recovery::Fatal })?;
        self.shared.ledger.record_position(self.name.clone(), position, counts, memory.clone()).await?;
        let new = counts.delivered - self.committed.1.delivered;
        Progress::add(&self.shared.progress.delivered, new);
        self.committed = (position, counts, memory);
        Ok(self.sink.committed().await?)
    }

    async fn recovered(&mut self) {
        if !self.healthy {
            self.healthy = true;
            info!(sink = self.name, "the sink takes records again");
            self.record_state("ok", None, None).await;
        }
    }

    /// What `status` shows is worth no stop of its own.
    async fn record_state(&mut self, state: &'static str, message: Option<String>, hint: Option<String>) {
        let recorded = self.shared.ledger.record_sink_state(self.name.clone(), state, message, hint).await;
        if let Err(error) = recorded {
            warn!(sink = self.name, %error, "the state of the sink could not be recorded");
        }
    }

    /// Records the trouble and waits before the next try.
    async fn suffer(&mut self, trouble: &SinkError, tries: u32) -> Result<(), Stop> {
        self.healthy = false;
        let (state, hint, delay) = match &trouble.recovery {
            Recovery::Retry { after } => {
                warn!(sink = self.name, error = %trouble, "delivery failed, it is tried again");
                let delay = backoff(tries, limits::SINK_RETRY_MIN, limits::SINK_RETRY_MAX);
                ("retrying", None, after.unwrap_or(delay))
            }
            Recovery::Pause { hint } => {
                error!(sink = self.name, error = %trouble, hint, "delivery paused");
                ("paused", Some(hint.clone()), limits::SINK_PROBE)
            }
            Recovery::Fatal => {
                error!(sink = self.name, error = %trouble, "delivery stopped");
                ("paused", Some("see the log; restart when it is mended".into()), limits::SINK_PROBE)
            }
        };
        let message = Some(trouble.to_string());
        self.record_state(state, message, hint).await;
        if self.settings.once && (state == "paused" || tries >= limits::ONCE_TRIES) {
            return Err(Stop::GivenUp);
        }
        let delay = self.shared.ground.jitter(delay);
        self.shared.stop.run_until_cancelled(tokio::time::sleep(delay)).await.ok_or(Stop::Stopping)
    }
}

/// Delivers one batch; a big one must be taken in time, since others wait for the memory it holds.
async fn hand_over(
    sink: &mut dyn Sink,
    batch: &Batch,
    big: bool,
    stop: &CancellationToken,
) -> Result<Result<(), SinkError>, Stop> {
    let delivering = sink.deliver(batch);
    if !big {
        return stop.run_until_cancelled(delivering).await.ok_or(Stop::Stopping);
    }
    let timed = tokio::time::timeout(limits::BIG_HOLD, delivering);
    let taken = stop.run_until_cancelled(timed).await.ok_or(Stop::Stopping)?;
    Ok(taken.unwrap_or_else(|_| {
        let message = "a big record was not taken in time".to_owned();
        Err(SinkError { message, recovery: Recovery::Retry { after: None } })
    }))
}

/// A ledger that cannot be used for now is met as a sink that cannot.
fn trouble(error: &LedgerError) -> Result<SinkError, Stop> {
    if matches!(error, LedgerError::Closed) {
        return Err(Stop::Closed);
    }
    let hint = "make room where data_dir lies, and check that it can be written".to_owned();
    Ok(SinkError { message: error.to_string(), recovery: Recovery::Pause { hint } })
}

#[derive(Debug, thiserror::Error)]
enum CommitError {
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}
