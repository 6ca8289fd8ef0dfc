//! The worker of one sink.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{SemaphorePermit, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::fill::{End, FillError, Filler, Place};
use super::health::{Health, Stop, trouble, unfilled};
use super::letters::Letters;
use super::refill::{Refill, RefillError};
use crate::collect::{Progress, Shared};
use crate::format::{Encoder, Select};
use crate::ledger::{LedgerError, LetterRow, SinkRow};
use crate::limits;
use crate::recovery::Recovery;
use crate::sink::{Batch, Confirmation, Sink, SinkError};

/// What the configuration says about delivery to one sink.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Records handed over and not confirmed.
    pub max_unconfirmed_records: u64,
    /// Records a second.
    pub rate: Option<u64>,
    /// Which records it gets.
    pub select: Select,
    /// End when everything that is there was delivered.
    pub once: bool,
    /// Where files come back from that left the spool early.
    pub refill: Refill,
}

/// Delivers to one sink.
pub struct Worker {
    pub(super) shared: Shared,
    pub(super) health: Health,
    pub(super) sink: Box<dyn Sink>,
    settings: Settings,
    pub(super) letters: Letters,
    pub(super) filler: Filler,
    committed: (Place, Vec<u8>),
    /// Where each batch that was handed over and not confirmed ends, oldest first.
    pub(super) handed: VecDeque<Place>,
    /// What was handed over was lost, and nothing confirmed since.
    unproven: bool,
    /// The dead letter that was handed over last, while nothing else is on its way.
    pub(super) letter: Option<LetterRow>,
    collected: watch::Receiver<u64>,
    /// Turns true when nothing more will be collected.
    over: watch::Receiver<bool>,
}

impl Worker {
    /// A worker for the sink with this row.
    pub fn new(
        shared: Shared,
        row: SinkRow,
        sink: Box<dyn Sink>,
        encoder: Encoder,
        settings: Settings,
        letters: Letters,
        over: watch::Receiver<bool>,
    ) -> Self {
        let place = Place { position: row.position, counts: row.counts };
        let (ledger, spool) = (shared.ledger.clone(), shared.spool.clone());
        let select = Some(settings.select.clone());
        let filler = Filler::new(ledger, spool, Arc::new(encoder), select, row.start, place);
        let collected = shared.next_sequence.subscribe();
        let committed = (place, row.memory.unwrap_or_default());
        let health = Health::new(shared.clone(), row.name, &row.state, settings.once);
        Self {
            shared,
            health,
            sink,
            settings,
            letters,
            filler,
            committed,
            handed: VecDeque::new(),
            unproven: false,
            letter: None,
            collected,
            over,
        }
    }

    /// Delivers until stopped, or until everything is delivered in a run with an end.
    pub async fn run(mut self) {
        let how = self.work().await;
        if !self.health.ended(&how) {
            return;
        }
        // A clean stop commits what the sink can still confirm.
        match tokio::time::timeout(limits::STOP_CONFIRM, self.settle()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(sink = self.health.sink, %error, "not confirmed before the end, it is delivered again");
            }
            Err(_) => warn!(sink = self.health.sink, "no confirmation in time, it is delivered again"),
        }
    }

    /// Commits until everything that was handed over is confirmed.
    async fn settle(&mut self) -> Result<(), CommitError> {
        self.commit_once().await?;
        while !self.handed.is_empty() {
            tokio::time::sleep(limits::CONFIRM_LOOK).await;
            self.commit_once().await?;
        }
        Ok(())
    }

    async fn work(&mut self) -> Result<(), Stop> {
        self.know_the_dead().await?;
        let mut batch = Batch::default();
        let mut due = Instant::now() + limits::COMMIT_INTERVAL;
        loop {
            if self.shared.stop.is_cancelled() {
                return Err(Stop::Stopping);
            }
            self.health.beat(Duration::ZERO);
            let room = self.room();
            if room == 0 || Instant::now() >= due || self.sink.wants_commit() {
                self.commit().await?;
                due = Instant::now() + limits::COMMIT_INTERVAL;
                if room == 0 && self.room() == 0 {
                    self.wait(limits::CONFIRM_LOOK).await?;
                }
                continue;
            }
            let end = self.deliver_some(&mut batch, room).await?;
            if end == End::Dry {
                let place = self.filler.place;
                self.commit().await?;
                if self.filler.place != place {
                    // Something was lost: there is more to deliver again.
                    continue;
                }
                if self.retry_letter().await? {
                    // What was collected meanwhile goes before the next one.
                    continue;
                }
                due = Instant::now() + limits::COMMIT_INTERVAL;
                if self.settings.once && *self.over.borrow() && self.is_drained() {
                    return Ok(());
                }
                let look = if self.handed.is_empty() { limits::IDLE_CONFIRM } else { limits::CONFIRM_LOOK };
                self.wait(look).await?;
            }
        }
    }

    /// Records that may be handed over before something has to be confirmed.
    fn room(&self) -> u64 {
        let unconfirmed = self.filler.place.counts.delivered - self.committed.0.counts.delivered;
        self.settings.max_unconfirmed_records.saturating_sub(unconfirmed)
    }

    fn is_drained(&self) -> bool {
        self.handed.is_empty() && self.filler.place.position.sequence >= *self.collected.borrow()
    }

    /// Waits for more to deliver, or until it is time to look at the sink again.
    pub(super) async fn wait(&mut self, look: Duration) -> Result<(), Stop> {
        let over = *self.over.borrow();
        tokio::select! {
            () = self.shared.stop.cancelled() => Err(Stop::Stopping),
            changed = self.collected.changed() => changed.map_err(|_| Stop::Stopping),
            changed = self.over.changed(), if !over => changed.map_err(|_| Stop::Stopping),
            () = tokio::time::sleep(look) => Ok(()),
        }
    }

    /// Fills one batch and hands it over.
    async fn deliver_some(&mut self, batch: &mut Batch, room: u64) -> Result<End, Stop> {
        let most = match self.settings.rate {
            Some(rate) => room.min((rate / 4).max(1)),
            None => room,
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        loop {
            let from = self.filler.place;
            let error = match self.try_once(batch, most).await {
                Ok(end) => return Ok(end),
                Err(TryError::Sink(error)) => self.bury(error, batch).await,
                Err(TryError::Dropped(sequence)) => self.refill(sequence).await.err(),
                Err(stop @ TryError::Stop(_)) => Some(stop),
            };
            // Not handed over, so never to be committed with what was; it is read again, the same bytes, so
            // that no memory is held while a sink is down.
            self.filler.rewind(from);
            *batch = Batch::default();
            let error = match error {
                Some(TryError::Sink(error)) => error,
                Some(TryError::Stop(stop)) => return Err(stop),
                // The rest of the batch goes on at once.
                Some(TryError::Dropped(_)) | None => continue,
            };
            let lost = error.lost && !self.handed.is_empty();
            self.suffer(error).await?;
            if lost {
                // Delivery begins again further back.
                return Ok(End::Full);
            }
        }
    }

    /// One batch, alone under the permit when it is a big record.
    async fn try_once(&mut self, batch: &mut Batch, most: usize) -> Result<End, TryError> {
        let shared = self.shared.clone();
        batch.clear();
        self.filler.taken.clear();
        let mut permit: Option<SemaphorePermit<'_>> = None;
        let mut end = self.fill(batch, most, false).await?;
        if end == End::Big {
            permit = Some(shared.big.acquire().await.map_err(|_| Stop::Stopping)?);
            batch.bytes.reserve(limits::BIG_BUFFER_BYTES);
            end = self.fill(batch, most, true).await?;
        }
        if batch.ends.is_empty() {
            return Ok(end);
        }
        hand_over(self.sink.as_mut(), batch, permit.is_some(), &shared.stop).await?;
        self.handed.push_back(self.filler.place);
        self.recovered().await;
        self.pace(batch.ends.len()).await;
        if permit.is_some() {
            *batch = Batch::default();
        }
        Ok(end)
    }

    async fn fill(&mut self, batch: &mut Batch, most: usize, big: bool) -> Result<End, TryError> {
        match self.filler.fill(batch, most, big).await {
            Ok(end) => Ok(end),
            Err(FillError::Dropped(sequence)) => Err(TryError::Dropped(sequence)),
            Err(error) => Err(TryError::Sink(unfilled(&self.shared, &error).await?)),
        }
    }

    /// Brings a file back.
    async fn refill(&mut self, sequence: u64) -> Result<(), TryError> {
        let (shared, refill) = (self.shared.clone(), self.settings.refill.clone());
        // Its turn may come late, and each turn has a bound of its own.
        self.health.rest();
        let coming = refill.bring_back(&shared, &self.health.sink, sequence);
        match shared.stop.run_until_cancelled(coming).await.ok_or(Stop::Stopping)? {
            Ok(()) => Ok(()),
            Err(RefillError::Ledger(error)) => Err(TryError::Sink(trouble(&error)?)),
            Err(RefillError::Sink(error)) => Err(TryError::Sink(error)),
        }
    }

    /// A stop ends the wait, and is seen before the next batch.
    pub(super) async fn pace(&mut self, records: usize) {
        if let Some(rate) = self.settings.rate {
            let wait = Duration::from_secs_f64(records as f64 / rate as f64);
            self.shared.stop.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
    }

    pub(super) async fn commit(&mut self) -> Result<(), Stop> {
        loop {
            match self.commit_once().await {
                Ok(()) => {
                    self.recovered().await;
                    return Ok(());
                }
                Err(CommitError::Sink(error)) => self.suffer(error).await?,
                Err(CommitError::Ledger(error)) => self.suffer(trouble(&error)?).await?,
            }
        }
    }

    /// Confirm, then commit, then tell the sink.
    async fn commit_once(&mut self) -> Result<(), CommitError> {
        let Confirmation { batches, memory } = self.sink.confirm().await?;
        let batches = batches.min(self.handed.len());
        let place = match batches.checked_sub(1) {
            // What was passed behind the last batch, such as repeats, waits for nothing.
            _ if batches == self.handed.len() => self.filler.place,
            Some(last) => self.handed[last],
            None => self.committed.0,
        };
        if (place, &memory) == (self.committed.0, &self.committed.1) {
            self.handed.drain(..batches);
        } else {
            let reached = self.shared.ground.points.reach("confirmed");
            reached.map_err(|error| SinkError::new(error.to_string(), Recovery::Fatal))?;
            let Place { position, counts } = place;
            let (ledger, name) = (&self.shared.ledger, self.health.sink.clone());
            match self.letter.clone().filter(|_| batches == self.handed.len()) {
                Some(letter) => {
                    ledger.settle_letter(letter, position, counts, memory.clone()).await?;
                    self.forget_letter();
                }
                None => ledger.record_position(name, position, counts, memory.clone()).await?,
            }
            let new = counts.delivered - self.committed.0.counts.delivered;
            Progress::add(&self.shared.progress.delivered, new);
            self.committed = (place, memory);
            self.handed.drain(..batches);
            self.unproven &= batches == 0;
            self.filler.dead = self.filler.dead.split_off(&position);
            while let Some((_, spooled_at)) =
                self.filler.opened.pop_front_if(|(sequence, _)| *sequence < position.sequence)
            {
                self.health.confirmed(spooled_at);
            }
            self.sink.committed().await?;
        }
        Ok(())
    }

    /// A sink that takes everything and confirms nothing is in trouble all the same.
    pub(super) async fn recovered(&mut self) {
        if !self.unproven {
            self.health.recovered().await;
        }
    }

    /// Takes back what was lost, and waits before the next try.
    pub(super) async fn suffer(&mut self, trouble: SinkError) -> Result<(), Stop> {
        if trouble.lost {
            self.letter = None;
            self.unproven = true;
            self.handed.clear();
            self.filler.rewind(self.committed.0);
        }
        self.health.suffer(&trouble).await
    }
}

/// Delivers one batch; a big one must be taken in time, since others wait for the memory it holds.
pub(super) async fn hand_over(
    sink: &mut dyn Sink,
    batch: &Batch,
    big: bool,
    stop: &CancellationToken,
) -> Result<(), TryError> {
    let delivering = async {
        let delivering = sink.deliver(batch);
        if !big {
            return delivering.await;
        }
        tokio::time::timeout(limits::BIG_HOLD, delivering).await.unwrap_or_else(|_| {
            Err(SinkError::new("a big record was not taken in time", Recovery::Retry { after: None }))
        })
    };
    Ok(stop.run_until_cancelled(delivering).await.ok_or(Stop::Stopping)??)
}

/// Why a batch was not handed over.
#[derive(Debug, thiserror::Error)]
pub(super) enum TryError {
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Stop(#[from] Stop),
    #[error("spool file {0} has to come back from an archive")]
    Dropped(u64),
}

#[derive(Debug, thiserror::Error)]
enum CommitError {
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}
