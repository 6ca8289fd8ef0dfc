//! Removes spool files that every sink is past: the ledger first, the unlink after.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{info, warn};

use crate::collect::{RETENTION, Shared};
use crate::ledger::LedgerError;
use crate::limits;

/// Keeps the spool small.
pub struct Cleaner {
    shared: Shared,
    keep: Duration,
}

impl Cleaner {
    /// A cleaner that leaves every file for `keep` after it was fetched.
    pub fn new(shared: Shared, keep: Duration) -> Self {
        Self { shared, keep }
    }

    /// Cleans now and then until stopped.
    pub async fn run(self) {
        let stop = self.shared.stop.clone();
        let cleaning = async {
            loop {
                tokio::time::sleep(limits::CLEAN_INTERVAL).await;
                if let Err(error) = self.clean().await {
                    warn!(%error, "the spool could not be cleaned");
                }
            }
        };
        stop.run_until_cancelled(cleaning).await;
    }

    /// Removes what may go.
    pub async fn clean(&self) -> Result<(), LedgerError> {
        let Shared { ledger, spool, ground, progress, .. } = &self.shared;
        let sinks = ledger.sinks().await?;
        let Some(below) = sinks.iter().map(|sink| sink.position.sequence).min() else { return Ok(()) };
        let now = ground.clock.now();
        let before = now.checked_sub(self.keep).unwrap_or(now);
        loop {
            let removed = ledger.remove_files(below, before.to_string(), limits::CLEAN_GROUP).await?;
            for &sequence in &removed {
                if let Err(error) = spool.remove_data(sequence) {
                    warn!(%error, sequence, "a spool file could not be removed, the next start removes it");
                }
            }
            if removed.is_empty() {
                break;
            }
            info!(files = removed.len(), "delivered files left the spool");
        }
        let held = ledger.collected().await?.spool_bytes;
        progress.spool_bytes.store(held, Ordering::Relaxed);
        self.drop_ids(below, now.as_second()).await
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
