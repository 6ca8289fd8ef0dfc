//! Removes spool files that every sink is past: the ledger first, the unlink after.
//!
//! From a full spool also those that an archive has, although another sink still needs them: see `refill`.
//! Never a file that a sink is about to read, nor one that any archive has still to get.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{debug, info, warn};

use super::refill::Refill;
use crate::collect::{Progress, RETENTION, Shared};
use crate::ledger::LedgerError;
use crate::limits;

/// Keeps the spool small.
pub struct Cleaner {
    shared: Shared,
    keep: Duration,
    refill: Refill,
}

impl Cleaner {
    /// A cleaner that leaves every file for `keep` after it was fetched.
    pub fn new(shared: Shared, keep: Duration, refill: Refill) -> Self {
        Self { shared, keep, refill }
    }

    /// Cleans now and then until stopped.
    pub async fn run(&self) {
        let stop = self.shared.stop.clone();
        let cleaning = async {
            let pulse = self.shared.vitals.pulses.task("cleaner".to_owned());
            loop {
                pulse.beat(limits::CLEAN_INTERVAL + limits::STUCK_TASK);
                let cleaned = tokio::select! {
                    () = tokio::time::sleep(limits::CLEAN_INTERVAL) => self.clean().await,
                    () = self.shared.room.notified() => self.make_room().await,
                };
                if let Err(error) = cleaned {
                    warn!(%error, "the spool could not be cleaned");
                }
            }
        };
        stop.run_until_cancelled(cleaning).await;
    }

    /// Removes what may go.
    pub async fn clean(&self) -> Result<(), LedgerError> {
        let Some(below) = self.delivered_below().await? else { return Ok(()) };
        let now = self.shared.ground.clock.now();
        let before = now.checked_sub(self.keep).unwrap_or(now);
        while self.remove(below, before.to_string(), limits::CLEAN_GROUP).await? {}
        self.drop_ids(below, now.as_second()).await
    }

    /// Lets delivered files go before their time, oldest first, until the spool is below its limit.
    pub(super) async fn make_room(&self) -> Result<(), LedgerError> {
        let Some(below) = self.delivered_below().await? else { return Ok(()) };
        let full = || Progress::get(&self.shared.progress.spool_bytes) >= self.shared.spool_max_bytes;
        while full() && self.remove(below, Timestamp::MAX.to_string(), 1).await? {}
        if !full() || !self.refill.is_possible() {
            return Ok(());
        }
        let Some(archived) = self.archived_below().await? else { return Ok(()) };
        while full() {
            let Some((sequence, bytes)) = self.shared.ledger.drop_file(archived, self.refill.held()).await?
            else {
                break;
            };
            self.unlink(sequence, bytes);
            info!(sequence, "the spool is full: a log file left it early, an archive has it");
        }
        Ok(())
    }

    /// Every archive has the files below this number.
    async fn archived_below(&self) -> Result<Option<u64>, LedgerError> {
        let sinks = self.shared.ledger.sinks().await?;
        let archives = sinks.iter().filter(|sink| self.refill.archives.contains(&sink.name));
        Ok(archives.map(|sink| sink.position.sequence).min())
    }

    fn unlink(&self, sequence: u64, bytes: u64) {
        if let Err(error) = self.shared.spool.remove_data(sequence) {
            warn!(%error, sequence, "a spool file could not be removed, the next start removes it");
        }
        Progress::take(&self.shared.progress.spool_bytes, bytes);
    }

    /// Every sink is past the files below this number.
    async fn delivered_below(&self) -> Result<Option<u64>, LedgerError> {
        Ok(self.shared.ledger.sinks().await?.iter().map(|sink| sink.position.sequence).min())
    }

    /// Removes up to `most` files; `false` when there was none.
    async fn remove(&self, below: u64, before: String, most: usize) -> Result<bool, LedgerError> {
        let removed = self.shared.ledger.remove_files(below, before, most).await?;
        for &(sequence, bytes) in &removed {
            self.unlink(sequence, bytes);
        }
        if !removed.is_empty() {
            debug!(files = removed.len(), "delivered files left the spool");
        }
        Ok(!removed.is_empty())
    }

    /// Lists of ids go when no file can repeat theirs any more.
    async fn drop_ids(&self, below: u64, now: i64) -> Result<(), LedgerError> {
        let since = now - RETENTION - limits::REPEAT_WINDOW;
        let Some(first) = self.shared.ledger.oldest_sequence_since(since).await? else { return Ok(()) };
        let names = self.shared.spool.sequences().unwrap_or_default();
        for sequence in names.into_iter().filter(|sequence| *sequence < first.min(below)) {
            let names = self.shared.spool.names(sequence);
            let held = self.shared.spool.disk().length(&names.data).ok().flatten().is_some();
            if !held && let Err(error) = self.shared.spool.discard(&names) {
                warn!(%error, sequence, "a list of ids could not be removed");
            }
        }
        Ok(())
    }
}
