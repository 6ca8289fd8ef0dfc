//! How a sink fares: what `status` shows of it, and how long to wait before it is tried again.
//!
//! Owns the one back-off of delivery, for sinks of records and archives alike. A ledger that cannot be used
//! for now, and a spool file that cannot be read, are met as a sink that cannot take anything.

use std::time::Duration;

use tracing::{error, info, warn};

use super::fill::FillError;
use crate::collect::Shared;
use crate::ledger::LedgerError;
use crate::limits;
use crate::recovery::{Recovery, backoff};
use crate::sink::SinkError;
use crate::vitals::Pulse;

/// The state of one sink.
pub(super) struct Health {
    shared: Shared,
    pub(super) sink: String,
    /// A run with an end gives up where nothing helps by itself.
    once: bool,
    well: bool,
    /// Failures in a row.
    tries: u32,
    pulse: Pulse,
}

/// Why a worker ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("stopping")]
    Stopping,
    #[error("gave up for now")]
    GivenUp,
    #[error("the ledger is closed")]
    Closed,
}

impl Health {
    pub(super) fn new(shared: Shared, sink: String, state: &str, once: bool) -> Self {
        let pulse = shared.vitals.pulses.task(format!("sink {sink}"));
        Self { shared, sink, once, well: state == "ok", tries: 0, pulse }
    }

    /// The worker moved, and goes on after so much.
    pub(super) fn beat(&self, pause: Duration) {
        self.pulse.beat(pause + limits::STUCK_SINK);
    }

    /// The worker waits for something to deliver.
    pub(super) fn rest(&self) {
        self.pulse.rest();
    }

    /// A file that came to the spool at this moment, seconds, is confirmed.
    pub(super) fn confirmed(&self, spooled_at: i64) {
        let took = self.shared.ground.now() - spooled_at;
        self.shared.vitals.meter.delivered(&self.sink, took);
    }

    /// Whether the last try failed.
    pub(super) fn is_failing(&self) -> bool {
        self.tries > 0
    }

    /// Something was delivered.
    pub(super) async fn recovered(&mut self) {
        self.tries = 0;
        if !self.well {
            self.well = true;
            info!(sink = self.sink, "the sink takes what it is given again");
            self.record("ok", None, None).await;
        }
    }

    /// Something was not: records the trouble, and waits before the next try.
    pub(super) async fn suffer(&mut self, trouble: &SinkError) -> Result<(), Stop> {
        self.well = false;
        let verdict = Verdict::on(&self.sink, trouble, self.tries);
        let ends = verdict.ends_a_run(self.tries);
        let Verdict { state, hint, delay } = verdict;
        let meaning = match trouble.recovery {
            Recovery::Retry { .. } => "retry",
            Recovery::Pause { .. } => "pause",
            Recovery::DeadLetter { .. } | Recovery::Fatal => "fatal",
        };
        self.shared.vitals.meter.sink_failed(&self.sink, meaning);
        self.record(state, Some(trouble.to_string()), hint).await;
        if self.once && ends {
            return Err(Stop::GivenUp);
        }
        self.tries += 1;
        let delay = self.shared.ground.jitter(delay);
        self.pulse.beat(delay + limits::STUCK_TASK);
        let waiting = tokio::time::sleep(delay);
        self.shared.stop.run_until_cancelled(waiting).await.ok_or(Stop::Stopping)
    }

    /// Tells why a worker ended; whether the ledger still takes what is confirmed.
    pub(super) fn ended(&self, how: &Result<(), Stop>) -> bool {
        match how {
            Ok(()) | Err(Stop::Stopping) => true,
            Err(Stop::GivenUp) => {
                warn!(sink = self.sink, "what could not be delivered now stays in the spool");
                true
            }
            Err(Stop::Closed) => {
                error!(sink = self.sink, "delivery ends: the ledger is closed");
                false
            }
        }
    }

    /// What `status` shows is worth no stop of its own.
    async fn record(&mut self, state: &'static str, message: Option<String>, hint: Option<String>) {
        let recorded = self.shared.ledger.record_sink_state(self.sink.clone(), state, message, hint).await;
        if let Err(error) = recorded {
            warn!(sink = self.sink, %error, "the state of the sink could not be recorded");
        }
    }
}

/// What an error of a sink means to whoever delivers to it.
pub(super) struct Verdict {
    /// What `status` shows.
    pub(super) state: &'static str,
    /// The next step, where an operator has to act.
    pub(super) hint: Option<String>,
    /// How long to wait before the next try.
    pub(super) delay: Duration,
}

impl Verdict {
    /// Judges an error after `tries` failures in a row, and tells it.
    pub(super) fn on(sink: &str, trouble: &SinkError, tries: u32) -> Self {
        let (state, hint, delay) = match &trouble.recovery {
            Recovery::Retry { after } => {
                warn!(sink, error = %trouble, "delivery failed, it is tried again");
                let delay = backoff(tries, limits::SINK_RETRY_MIN, limits::SINK_RETRY_MAX);
                ("retrying", None, after.unwrap_or(delay))
            }
            Recovery::Pause { hint } => {
                error!(sink, error = %trouble, hint, "delivery paused");
                ("paused", Some(hint.clone()), limits::SINK_PROBE)
            }
            Recovery::DeadLetter { .. } | Recovery::Fatal => {
                error!(sink, error = %trouble, "delivery stopped");
                ("paused", Some("see the log; restart when it is mended".into()), limits::SINK_PROBE)
            }
        };
        Self { state, hint, delay }
    }

    /// Whether a run with an end gives up where nothing helps by itself.
    pub(super) fn ends_a_run(&self, tries: u32) -> bool {
        self.state == "paused" || tries >= limits::ONCE_TRIES
    }
}

/// What a ledger that cannot be used for now means to delivery.
pub(super) fn trouble(error: &LedgerError) -> Result<SinkError, Stop> {
    if matches!(error, LedgerError::Closed) { Err(Stop::Closed) } else { Ok(out_of_order(error)) }
}

/// The same where nothing goes on without it.
pub(super) fn out_of_order(error: &LedgerError) -> SinkError {
    let hint = "make room where data_dir lies, and check that it can be written".to_owned();
    SinkError::new(error.to_string(), Recovery::Pause { hint })
}

/// What records that cannot be had mean to delivery: a damaged spool file is marked, to be fetched again.
pub(super) async fn unfilled(shared: &Shared, error: &FillError) -> Result<SinkError, Stop> {
    let sequence = match error {
        FillError::Ledger(error) => return trouble(error),
        FillError::Spool { sequence, .. } => *sequence,
        FillError::Dropped(_) => {
            let hint = "restore the file in the spool folder from another archive".to_owned();
            return Ok(SinkError::new(error.to_string(), Recovery::Pause { hint }));
        }
    };
    if let Err(error) = shared.ledger.mark_damaged(sequence).await {
        return trouble(&error);
    }
    shared.damage.notify_waiters();
    let message = format!("{error}; it is fetched again if the provider still has it");
    Ok(SinkError::new(message, Recovery::Retry { after: None }))
}
