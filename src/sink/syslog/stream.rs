//! TCP, TLS and unix streams: octet counting or lines, and no answer.
//!
//! A write that succeeds says little: after the peer's end or reset the first one still does. So a batch
//! counts as confirmed when the connection stayed whole for a while after it. What a peer holds that dies
//! later, or a network that swallows packets without a word, can still lose the last window: RELP cannot.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::config::{Address, Framing};
use super::encode::Messages;
use super::trouble;
use super::wire::Wire;
use crate::limits;
use crate::sink::SinkError;

/// See the module.
pub(super) struct Stream {
    wire: Wire,
    framing: Framing,
    address: Address,
    /// When each batch that is not confirmed was written.
    handed: VecDeque<Instant>,
}

impl Stream {
    pub(super) fn new(wire: Wire, framing: Framing, address: Address) -> Self {
        Self { wire, framing, address, handed: VecDeque::new() }
    }

    pub(super) async fn send(&mut self, messages: &Messages) -> Result<(), SinkError> {
        // A batch that was stopped half-way comes again.
        self.wire.keep_begun();
        for message in messages.iter() {
            let (head, tail) = self.framing.around(message);
            self.wire.push(&[head.as_bytes(), message, tail]);
        }
        let sent = async {
            // One look before, so that nothing is written after the peer's end if that is known already.
            self.wire.look().await?;
            self.wire.inbox.clear();
            while !self.wire.is_idle() {
                self.wire.step().await?;
                // Receivers have nothing to say.
                self.wire.inbox.clear();
            }
            self.wire.look().await
        };
        sent.await.map_err(|error| trouble::of(&self.address, &error))?;
        self.handed.push_back(Instant::now());
        Ok(())
    }

    /// Batches that are confirmed by now, the oldest first.
    pub(super) async fn confirmed(&mut self) -> Result<usize, SinkError> {
        self.wire.keep_begun();
        self.wire.tidy().await.map_err(|error| trouble::of(&self.address, &error))?;
        self.wire.inbox.clear();
        Ok(self.handed.iter().take_while(|at| at.elapsed() >= limits::SYSLOG_SETTLE).count())
    }

    /// The batches still to be confirmed.
    pub(super) fn handed(&mut self) -> &mut VecDeque<Instant> {
        &mut self.handed
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.wire.close(b"");
    }
}
