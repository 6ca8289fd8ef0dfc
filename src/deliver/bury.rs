//! What the worker does about records its sink can never take.
//!
//! Such a record is kept, then recorded, then passed over; it is never tried again unless somebody asks.

use tracing::{error, info};

use super::health::{Stop, trouble};
use super::worker::{TryError, Worker};
use crate::ledger::{LedgerError, LetterRow, Position};
use crate::recovery::Recovery;
use crate::sink::{About, Batch, SinkError};

/// Of what the other side answered, this much is kept, in characters.
const ANSWER: usize = 1000;

impl Worker {
    /// Records that are dead letters since before the start are not tried again.
    pub(super) async fn know_the_dead(&mut self) -> Result<(), Stop> {
        match self.shared.ledger.letters(self.health.sink.clone()).await {
            Ok(letters) => {
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
        match self.keep(position, about, bytes, reason).await {
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
        about: &About,
        bytes: &[u8],
        reason: String,
    ) -> Result<(), TryError> {
        self.letters.keep(&self.health.sink, position, about, bytes).map_err(|error| {
            let hint = "make room where data_dir lies".to_owned();
            SinkError::new(format!("a dead letter cannot be kept: {error}"), Recovery::Pause { hint })
        })?;
        let letter = LetterRow {
            id: 0,
            sink: self.health.sink.clone(),
            position,
            record_id: about.id.clone(),
            principal: about.origin.principal.clone(),
            event_type: about.origin.event_type.clone(),
            at: self.shared.ground.clock.now().to_string(),
            reason,
            retry: false,
        };
        match self.shared.ledger.record_letter(letter).await {
            Ok(()) => Ok(()),
            Err(error) => Err(TryError::Sink(trouble(&error)?)),
        }
    }

    /// Delivers the letters that somebody wants delivered after all.
    pub(super) async fn retry_letters(&mut self) -> Result<(), Stop> {
        let letters = match self.shared.ledger.letters(self.health.sink.clone()).await {
            Ok(letters) => letters,
            Err(LedgerError::Closed) => return Err(Stop::Closed),
            Err(_) => return Ok(()),
        };
        for letter in letters.into_iter().filter(|letter| letter.retry) {
            self.retry(letter).await?;
        }
        Ok(())
    }

    async fn retry(&mut self, letter: LetterRow) -> Result<(), Stop> {
        let batch = match self.letters.read(&self.health.sink, letter.position) {
            Ok(batch) => batch,
            Err(error) => {
                error!(sink = self.health.sink, record = letter.record_id, %error, "a dead letter cannot be read");
                return Ok(());
            }
        };
        match self.sink.deliver(&batch).await {
            Ok(()) => {}
            Err(failed) => {
                let answer =
                    if let Recovery::DeadLetter { answer, .. } = &failed.recovery { answer } else { "" };
                let reason = reason(&failed.message, answer);
                let again = self.keep(letter.position, &batch.about[0], &batch.bytes, reason).await;
                return if let Err(TryError::Stop(stop)) = again { Err(stop) } else { Ok(()) };
            }
        }
        let counts = &mut self.filler.place.counts;
        (counts.delivered, counts.dead_letters) =
            (counts.delivered + 1, counts.dead_letters.saturating_sub(1));
        self.handed.push_back(self.filler.place);
        while !self.handed.is_empty() {
            self.commit().await?;
            if !self.handed.is_empty() {
                self.wait(crate::limits::CONFIRM_LOOK).await?;
            }
        }
        info!(sink = self.health.sink, record = letter.record_id, "a dead letter was delivered after all");
        match self.shared.ledger.remove_letter(letter.id).await {
            Err(LedgerError::Closed) => return Err(Stop::Closed),
            Err(error) => error!(%error, "a delivered dead letter could not be forgotten"),
            Ok(()) => {
                if let Err(error) = self.letters.remove(&self.health.sink, letter.position) {
                    error!(%error, "a delivered dead letter could not be removed");
                }
            }
        }
        Ok(())
    }
}

fn reason(message: &str, answer: &str) -> String {
    let answer: String = answer.chars().take(ANSWER).collect();
    if answer.is_empty() { message.to_owned() } else { format!("{message}: {answer}") }
}
