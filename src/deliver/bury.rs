//! What the worker does about records its sink can never take.
//!
//! Such a record is kept, then recorded, then passed over; it is never tried again unless somebody asks. A
//! letter is forgotten in the transaction that counts it as delivered, so a crash neither loses it nor counts
//! it twice.

use tracing::{error, info, warn};

use super::fill::FillError;
use super::health::{Stop, trouble};
use super::worker::{TryError, Worker, hand_over};
use crate::ledger::{ANSWERED, LedgerError, LetterRow, Position};
use crate::limits;
use crate::recovery::Recovery;
use crate::sink::{About, Batch, SinkError};

/// Of what the other side answered, this much is kept, in characters.
const ANSWER: usize = 1000;
/// Why a letter cannot be tried: what was kept is not what the sink would get now.
const OTHERWISE: &str = "the sink is configured otherwise than when this was refused, and the log file has left \
                         the spool: set it back to deliver what was kept";

impl Worker {
    /// Records that are dead letters since before the start are not tried again.
    pub(super) async fn know_the_dead(&mut self) -> Result<(), Stop> {
        match self.shared.ledger.letters(self.health.sink.clone()).await {
            Ok(letters) => {
                if let Err(error) = self.letters.sweep(&self.health.sink, &letters) {
                    warn!(sink = self.health.sink, %error, "dead letters that are none could not be removed");
                }
                let from = self.filler.place.position;
                let positions = letters.into_iter().map(|letter| letter.position);
                self.filler.dead.extend(positions.filter(|position| *position >= from));
                Ok(())
            }
            Err(LedgerError::Closed) => Err(Stop::Closed),
            // At worst they are refused once more.
            Err(_) => Ok(()),
        }
    }

    /// Buries the record an error names, if it names one; answers what is left to do about it.
    pub(super) async fn bury(&mut self, failed: SinkError, batch: &Batch) -> Option<TryError> {
        let Recovery::DeadLetter { record, answer } = &failed.recovery else {
            return Some(TryError::Sink(failed));
        };
        let found = self.filler.taken.get(*record).copied();
        let (Some(position), Some(about), Some(bytes)) =
            (found, batch.about.get(*record), batch.records().nth(*record))
        else {
            return Some(TryError::Sink(SinkError::new(failed.message, Recovery::Fatal)));
        };
        let reason = reason(&failed.message, answer);
        match self.keep(position, (about, bytes), reason).await {
            Ok(()) => {
                error!(sink = self.health.sink, record = about.id, error = %failed, "a record was refused for good, it is kept as a dead letter");
                self.filler.dead.insert(position);
                None
            }
            Err(error) => Some(error),
        }
    }

    async fn keep(
        &mut self,
        position: Position,
        (about, bytes): (&About, &[u8]),
        reason: String,
    ) -> Result<(), TryError> {
        let kept = self.letters.keep(&self.health.sink, position, (about, bytes), self.filler.settings());
        kept.map_err(|error| {
            let hint = "make room where data_dir lies".to_owned();
            SinkError::new(format!("a dead letter cannot be kept: {error}"), Recovery::Pause { hint })
        })?;
        self.record(LetterRow {
            id: 0,
            sink: self.health.sink.clone(),
            position,
            record_id: about.id.clone(),
            principal: about.origin.principal.clone(),
            event_type: about.origin.event_type.clone(),
            at: self.shared.ground.clock.now().to_string(),
            reason,
            retry: false,
        })
        .await
    }

    async fn record(&mut self, letter: LetterRow) -> Result<(), TryError> {
        match self.shared.ledger.record_letter(letter).await {
            Ok(()) => Ok(()),
            Err(error) => Err(TryError::Sink(trouble(&error)?)),
        }
    }

    /// Delivers the oldest letter that somebody wants delivered after all; whether there was one. Nothing else
    /// is on its way meanwhile, so that what is confirmed or lost is this letter.
    pub(super) async fn retry_letter(&mut self) -> Result<bool, Stop> {
        if !self.handed.is_empty() {
            return Ok(false);
        }
        let letter = match self.shared.ledger.letter_to_retry(self.health.sink.clone()).await {
            Ok(Some(letter)) => letter,
            Err(LedgerError::Closed) => return Err(Stop::Closed),
            Ok(None) | Err(_) => return Ok(false),
        };
        loop {
            match self.try_letter(&letter).await {
                Ok(()) => break,
                Err(TryError::Sink(error)) => self.suffer(error).await?,
                Err(TryError::Stop(stop)) => return Err(stop),
                Err(TryError::Dropped(_)) => return Ok(false),
            }
        }
        while !self.handed.is_empty() {
            self.commit().await?;
            if !self.handed.is_empty() {
                self.wait(limits::CONFIRM_LOOK).await?;
            }
        }
        Ok(true)
    }

    async fn try_letter(&mut self, letter: &LetterRow) -> Result<(), TryError> {
        let shared = self.shared.clone();
        let length = self.letters.length(&self.health.sink, letter.position).ok().flatten().unwrap_or(0);
        let big = length >= limits::BIG_RECORD_BYTES.into();
        let _permit = if big { Some(shared.big.acquire().await.map_err(|_| Stop::Stopping)?) } else { None };
        let batch = match self.letter_now(letter).await? {
            Ok(batch) => batch,
            Err(problem) => {
                warn!(sink = self.health.sink, record = letter.record_id, problem, "a dead letter stays one");
                return self.record(LetterRow { reason: problem.to_owned(), ..letter.clone() }).await;
            }
        };
        let Some(about) = batch.about.first() else {
            let counts = &mut self.filler.place.counts;
            counts.dead_letters = counts.dead_letters.saturating_sub(1);
            counts.deselected += 1;
            self.letter = Some(letter.clone());
            return Ok(self.commit().await?);
        };
        match hand_over(self.sink.as_mut(), &batch, big, &shared.stop).await {
            Err(TryError::Sink(SinkError {
                message, recovery: Recovery::DeadLetter { answer, .. }, ..
            })) => {
                return self.keep(letter.position, (about, &batch.bytes), reason(&message, &answer)).await;
            }
            done => done?,
        }
        let counts = &mut self.filler.place.counts;
        counts.dead_letters = counts.dead_letters.saturating_sub(1);
        counts.delivered += 1;
        self.handed.push_back(self.filler.place);
        self.letter = Some(letter.clone());
        self.recovered().await;
        self.pace(1).await;
        Ok(())
    }

    /// What the sink is to get of a letter: as it was kept, or encoded anew where something else is configured
    /// by now, so that no rule is passed by; or why neither can be had.
    async fn letter_now(&mut self, letter: &LetterRow) -> Result<Result<Batch, &'static str>, TryError> {
        let kept = self.letters.read(&self.health.sink, letter.position);
        if let Ok(kept) = kept
            && kept.settings == self.filler.settings()
        {
            return Ok(Ok(kept.batch));
        }
        match self.filler.alone(letter.position).await {
            Ok(Some(batch)) => Ok(Ok(batch)),
            Ok(None) => Ok(Err(OTHERWISE)),
            Err(FillError::Ledger(error)) => Err(TryError::Sink(trouble(&error)?)),
            Err(_) => Ok(Err("its log file in the spool cannot be read")),
        }
    }

    /// The ledger has forgotten the letter that was handed over.
    pub(super) fn forget_letter(&mut self) {
        let Some(letter) = self.letter.take() else { return };
        info!(sink = self.health.sink, record = letter.record_id, "a dead letter is none any more");
        if let Err(error) = self.letters.remove(&self.health.sink, letter.position) {
            error!(%error, "the file of a dead letter could not be removed, the next start removes it");
        }
    }
}

pub(super) fn reason(message: &str, answer: &str) -> String {
    let answer: String = answer.chars().take(ANSWER).collect();
    if answer.is_empty() { message.to_owned() } else { format!("{message}{ANSWERED}{answer}") }
}
