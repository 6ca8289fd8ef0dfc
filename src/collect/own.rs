//! Makes our own audit trail into log files like any source's: a few events become one file, which goes the way
//! of a download.
//!
//! The ledger holds a file's bytes before anything is written and until the spool lets go of it, so a crash
//! repeats the same bytes, and damage is mended from there. Nothing here lists, and nothing of it counts as
//! collected. Without a sink that takes the trail no file is made, and only the newest events are kept.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tracing::warn;

use super::Shared;
use super::finish::{Fetched, Finished};
use crate::disk::PRIVATE_FILE;
use crate::ledger::{LedgerError, OwnFile};
use crate::limits;
use crate::source::openai::Stored;

/// The audit trail of this custodex.
pub struct OwnTrail {
    shared: Shared,
    instance: String,
    /// Some sink takes it.
    wanted: bool,
    finisher: mpsc::Sender<Finished>,
    /// Somebody acted on the daemon.
    soon: Arc<Notify>,
}

/// Why a file could not be made; it is tried again.
#[derive(Debug, thiserror::Error)]
enum TrailError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the spool could not be written: {0}")]
    Disk(#[from] io::Error),
}

impl OwnTrail {
    /// The trail of `instance`; `wanted` says whether any sink takes it.
    pub fn new(
        shared: Shared,
        instance: String,
        wanted: bool,
        finisher: mpsc::Sender<Finished>,
        soon: Arc<Notify>,
    ) -> Self {
        Self { shared, instance, wanted, finisher, soon }
    }

    /// Makes files of what waits, now and then, until stopped.
    pub async fn run(&self) {
        let stop = self.shared.stop.clone();
        let mut interval = limits::OWN_SOON;
        while stop.run_until_cancelled(self.pause(interval)).await.is_some() {
            self.flush().await;
            interval = limits::OWN_INTERVAL;
        }
    }

    async fn pause(&self, interval: Duration) {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = self.soon.notified() => tokio::time::sleep(limits::OWN_SOON).await,
        }
    }

    /// Makes files of all that waits.
    pub async fn flush(&self) {
        if let Err(error) = self.try_flush().await {
            warn!(%error, "the audit trail could not be written, it is tried again");
        }
    }

    async fn try_flush(&self) -> Result<(), TrailError> {
        let Shared { ground, ledger, .. } = &self.shared;
        if !self.wanted {
            return Ok(ledger.trim_events(limits::OWN_EVENTS_KEPT).await?);
        }
        while let Some(file) = ledger.next_own_file(self.instance.clone(), ground.now()).await? {
            self.write(file).await?;
        }
        Ok(())
    }

    async fn write(&self, OwnFile { file, content }: OwnFile) -> Result<(), TrailError> {
        let Shared { ground, ledger, spool, .. } = &self.shared;
        let names = spool.incoming(file.row);
        let (size, sha256) = (content.len() as u64, file.sha256.unwrap_or_default());
        let create = || {
            let mut data = ground.disk.create(&names.data, PRIVATE_FILE)?;
            data.write_all(&content)?;
            io::Result::Ok(data)
        };
        let cut = async { self.shared.cut(tokio::task::block_in_place(create)?, &names).await };
        let scanned = match cut.await {
            Ok(scanned) => scanned,
            Err(error) => {
                spool.discard(&names)?;
                return Err(error.into());
            }
        };
        if let Some(sequence) = file.repairs {
            spool.adopt(&names, sequence)?;
            spool.sync()?;
            return Ok(ledger.record_repair(file.row).await?);
        }
        let fetched = Fetched { at: ground.clock.now(), with: None, seen: Vec::new(), own: true };
        let (finished, done) = Finished::new(file, names, Stored { size, sha256 }, scanned, fetched);
        self.finisher.send(finished).await.map_err(io::Error::other)?;
        Ok(done.await.map_err(io::Error::other)??)
    }
}

#[cfg(test)]
mod tests;
