//! Confirming: asking for acknowledgements, sending again what has none, reporting what is confirmed.

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::ack::Count;
use super::reply::{Verdict, acknowledged, is_unknown_channel, judge, no_acknowledgements};
use super::send::{self, Answer, exchange};
use super::sink::{Posted, SplunkHecSink};
use crate::limits;
use crate::recovery::backoff;
use crate::sink::{Confirmation, SinkError};

/// A question for acknowledgements on its way, and the epoch of its ids.
pub(super) type Question = (u64, BoxFuture<'static, Result<Answer, SinkError>>);

impl SplunkHecSink {
    /// Before the first event: a token without acknowledgements would index it over and over.
    pub(super) async fn require_acknowledgements(&mut self) -> Result<(), SinkError> {
        loop {
            let request = self.link.question(&[0])?;
            let answer = exchange(request, send::name(&self.config)).await?;
            self.link.learn(&answer);
            if acknowledged(&answer).is_some() || is_unknown_channel(&answer) {
                self.acknowledges = true;
                return Ok(());
            }
            match judge(&answer) {
                Verdict::Denied(error) if !self.link.has_new_token()? => return Err(error),
                Verdict::Denied(_) => {}
                Verdict::Trouble(error) => return Err(error),
                _ => return Err(no_acknowledgements("it gave none when asked for them")),
            }
        }
    }

    /// Asks for acknowledgements when it is time, and takes the answer when it is there.
    pub(super) async fn ask(&mut self) -> Result<(), SinkError> {
        let asking = match &mut self.asking {
            Some((_, asking)) => asking,
            none => {
                let ids = self.window.ids();
                if ids.is_empty() || Instant::now() < self.ask_at {
                    return Ok(());
                }
                let request = self.link.question(&ids)?;
                let asking = exchange(request, send::name(&self.config));
                &mut none.insert((self.window.epoch(), Box::pin(asking))).1
            }
        };
        // Dropped half-way, the question stays and its answer is still taken.
        let Ok(answered) = timeout(limits::HEC_ACK_PATIENCE, asking).await else { return Ok(()) };
        let epoch = self.asking.take().map_or(0, |(epoch, _)| epoch);
        let new = match &answered {
            Ok(answer) => acknowledged(answer).map(|read| self.window.record(&read, epoch)),
            Err(_) => None,
        };
        self.fruitless = if new == Some(true) { 0 } else { self.fruitless.saturating_add(1) };
        let wait = backoff(self.fruitless, limits::HEC_ACK_LOOK_MIN, limits::HEC_ACK_LOOK_MAX);
        self.ask_at = Instant::now() + wait;
        let answer = answered?;
        self.link.learn(&answer);
        match judge(&answer) {
            _ if new.is_some() => Ok(()),
            Verdict::Denied(error) if !self.link.has_new_token()? => Err(error),
            Verdict::Denied(_) => {
                self.ask_at = Instant::now();
                Ok(())
            }
            Verdict::Trouble(error) => Err(error),
            _ => Err(no_acknowledgements("it gave none when asked for them")),
        }
    }

    /// Sends the oldest body again whose acknowledgement did not come in time.
    pub(super) async fn send_overdue(&mut self) -> Result<(), SinkError> {
        let Some((at, body)) = self.window.overdue(self.config.ack_timeout.0, Instant::now()) else {
            return Ok(());
        };
        warn!(to = send::name(&self.config), "no acknowledgement in time, the same events are sent again");
        match self.post(body).await? {
            Posted::Taken(id) => {
                self.window.sent_again(at, id, Instant::now());
                self.fruitless = 0;
                Ok(())
            }
            Posted::Refused(_, answer) | Posted::TooLarge(answer) => Err(self.start_over(&answer)),
        }
    }

    fn collect(&mut self) {
        let Count { records, batches } = self.window.take_confirmed();
        self.confirmed.records += records;
        self.confirmed.batches += batches;
    }

    async fn tend(&mut self) -> Result<(), SinkError> {
        self.ask().await?;
        self.send_overdue().await?;
        let due = self.held.since.is_some_and(|since| since.elapsed() >= self.config.batch_interval.0);
        if due { self.flush().await } else { Ok(()) }
    }

    pub(super) async fn look(&mut self) -> Result<Confirmation, SinkError> {
        // First what is known: an error below may give up the rest.
        self.collect();
        if self.confirmed.batches == 0 {
            self.tend().await?;
            self.collect();
        } else if let Err(error) = self.ask().await {
            // It comes again when there is nothing to report.
            debug!(%error, "acknowledgements could not be asked for");
        }
        let batches = std::mem::take(&mut self.confirmed).batches;
        Ok(Confirmation { batches, memory: self.memory.clone() })
    }
}
