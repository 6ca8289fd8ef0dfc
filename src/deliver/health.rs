//! How a sink fares: what `status` shows of it, and how long to wait before it is tried again.

use std::time::Duration;

use tracing::{error, info, warn};

use crate::collect::Shared;
use crate::limits;
use crate::recovery::{Recovery, backoff};
use crate::sink::SinkError;

/// The state of one sink.
pub(super) struct Health {
    shared: Shared,
    pub(super) sink: String,
    well: bool,
    /// Failures in a row.
    tries: u32,
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Try again after this time.
    After(Duration),
    /// A run with an end stops here.
    GiveUp,
}

impl Health {
    pub(super) fn new(shared: Shared, sink: String, state: &str) -> Self {
        Self { shared, sink, well: state == "ok", tries: 0 }
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
            info!(sink = self.sink, "the sink takes log files again");
            self.record("ok", None, None).await;
        }
    }

    /// Something was not.
    pub(super) async fn failed(&mut self, trouble: &SinkError, once: bool) -> Next {
        self.well = false;
        let (state, hint, delay) = match &trouble.recovery {
            Recovery::Retry { after } => {
                warn!(sink = self.sink, error = %trouble, "delivery failed, it is tried again");
                let delay = backoff(self.tries, limits::SINK_RETRY_MIN, limits::SINK_RETRY_MAX);
                ("retrying", None, after.unwrap_or(delay))
            }
            Recovery::Pause { hint } => {
                error!(sink = self.sink, error = %trouble, hint, "delivery paused");
                ("paused", Some(hint.clone()), limits::SINK_PROBE)
            }
            Recovery::DeadLetter { .. } | Recovery::Fatal => {
                error!(sink = self.sink, error = %trouble, "delivery stopped");
                ("paused", Some("see the log; restart when it is mended".into()), limits::SINK_PROBE)
            }
        };
        self.record(state, Some(trouble.to_string()), hint).await;
        let gives_up = once && (state == "paused" || self.tries >= limits::ONCE_TRIES);
        self.tries += 1;
        if gives_up { Next::GiveUp } else { Next::After(self.shared.ground.jitter(delay)) }
    }

    /// What `status` shows is worth no stop of its own.
    async fn record(&mut self, state: &'static str, message: Option<String>, hint: Option<String>) {
        let recorded = self.shared.ledger.record_sink_state(self.sink.clone(), state, message, hint).await;
        if let Err(error) = recorded {
            warn!(sink = self.sink, %error, "the state of the sink could not be recorded");
        }
    }
}
