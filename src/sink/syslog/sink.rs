//! Sends batches, and tells which of them arrived.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::time::sleep;
use tracing::debug;

use super::config::SyslogConfig;
use super::datagram::Datagram;
use super::encode::Messages;
use super::relp::Relp;
use super::send::connect;
use super::stream::Stream;
use crate::limits;
use crate::recovery::{Recovery, backoff};
use crate::sink::{Batch, Confirmation, Sink, SinkError};

/// A connection that stands.
pub(super) enum Link {
    Datagram(Datagram),
    Stream(Stream),
    Relp(Relp),
}

/// See the module above.
pub(super) struct SyslogSink {
    config: Arc<SyslogConfig>,
    messages: Messages,
    link: Option<Link>,
    /// Batches that the last confirmation named.
    told: usize,
    /// Connections lost since something was confirmed.
    losses: u32,
}

impl SyslogSink {
    /// Connects at the first batch.
    pub(super) fn new(config: Arc<SyslogConfig>) -> Self {
        Self { config, messages: Messages::default(), link: None, told: 0, losses: 0 }
    }

    /// Every record has to fit before any is sent.
    fn encode(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.messages.clear();
        for (record, (bytes, about)) in batch.records().zip(&batch.about).enumerate() {
            let length = self.messages.push(&self.config.style, about, bytes);
            let most = self.config.max_message_bytes;
            if length > most {
                let answer = format!("a message of {length} bytes is longer than max_message_bytes ({most})");
                let message = format!("{}: {answer}", self.config.address);
                return Err(SinkError::new(message, Recovery::DeadLetter { record, answer }));
            }
        }
        Ok(())
    }

    async fn hand_over(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.encode(batch)?;
        self.leave_when_idle_and_gone().await;
        let link = match &mut self.link {
            Some(link) => link,
            empty => empty.insert(connect(&self.config).await?.0),
        };
        let sent = link.send(&self.messages).await;
        self.watched(sent)
    }

    /// A receiver may close a connection on which nothing waits: the next batch makes a new one.
    async fn leave_when_idle_and_gone(&mut self) {
        if let Some(link) = &mut self.link
            && link.is_idle()
            && let Err(error) = link.confirmed().await
        {
            debug!(%error, "an idle connection is over");
            self.link = None;
        }
    }

    /// A connection with an error is none, and what it carried is in doubt.
    fn watched<T>(&mut self, result: Result<T, SinkError>) -> Result<T, SinkError> {
        let mut error = match result {
            Ok(done) => return Ok(done),
            Err(error) if matches!(error.recovery, Recovery::DeadLetter { .. }) => return Err(error),
            Err(error) => error,
        };
        self.link = None;
        if let Recovery::Retry { after } = &mut error.recovery {
            // A receiver that takes connections and drops them is met with patience, too.
            *after = Some(backoff(self.losses, limits::SINK_RETRY_MIN, limits::SINK_RETRY_MAX));
            self.losses = self.losses.saturating_add(1);
        }
        Err(error.losing())
    }
}

impl Sink for SyslogSink {
    fn deliver<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(self.hand_over(batch))
    }

    fn confirm(&mut self) -> BoxFuture<'_, Result<Confirmation, SinkError>> {
        Box::pin(async {
            self.leave_when_idle_and_gone().await;
            self.told = match &mut self.link {
                None => 0,
                Some(link) => {
                    let confirmed = link.confirmed().await;
                    self.watched(confirmed)?
                }
            };
            Ok(Confirmation { batches: self.told, memory: Vec::new() })
        })
    }

    fn committed(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async {
            let told = std::mem::take(&mut self.told);
            if let Some(link) = &mut self.link
                && told > 0
            {
                self.losses = 0;
                link.forget(told);
            }
            Ok(())
        })
    }
}

impl Link {
    async fn send(&mut self, messages: &Messages) -> Result<(), SinkError> {
        match self {
            Self::Datagram(link) => link.send(messages).await,
            Self::Stream(link) => link.send(messages).await,
            Self::Relp(link) => link.send(messages).await,
        }
    }

    /// Batches that are confirmed by now, the oldest first; they count until they are forgotten.
    async fn confirmed(&mut self) -> Result<usize, SinkError> {
        match self {
            Self::Datagram(link) => Ok(*link.handed()),
            Self::Stream(link) => link.confirmed().await,
            Self::Relp(link) => link.confirmed().await,
        }
    }

    fn is_idle(&mut self) -> bool {
        match self {
            Self::Datagram(link) => *link.handed() == 0,
            Self::Stream(link) => link.handed().is_empty(),
            Self::Relp(link) => link.handed().is_empty(),
        }
    }

    fn forget(&mut self, batches: usize) {
        match self {
            Self::Datagram(link) => *link.handed() -= batches,
            Self::Stream(link) => drop(link.handed().drain(..batches)),
            Self::Relp(link) => drop(link.handed().drain(..batches)),
        }
    }
}

/// Connects, looks whether the connection stays, and closes it. No message is sent.
pub(super) async fn probe(config: &SyslogConfig) -> Result<String, SinkError> {
    let (mut link, found) = connect(&Arc::new(config.clone())).await?;
    sleep(limits::SYSLOG_SETTLE).await;
    link.confirmed().await?;
    Ok(format!("{}: {found}", config.address))
}
