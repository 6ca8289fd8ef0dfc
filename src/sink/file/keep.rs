//! Care of rotated files: compression, and what goes when.
//!
//! One job at a time, on a thread where waiting is allowed, never in the way of delivery. A compressed file
//! gets its name only when it is whole and durable, and the other one goes after that. Whatever a job
//! leaves half done, the next one does again.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flate2::write::GzEncoder;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};
use zstd::stream::write::Encoder as ZstdEncoder;

use super::config::FileConfig;
use super::rotate::{Name, PART, Packing};
use crate::disk::DiskFile;
use crate::ground::Ground;
use crate::sink::local::Access;

/// An idle sink looks at its rotated files this often.
const INTERVAL: Duration = Duration::from_secs(300);
/// The compressor remembers this many bytes, as a power of two: a bound on memory, on both sides.
const ZSTD_WINDOW_LOG: u32 = 20;
const ZSTD_LEVEL: i32 = 3;
/// What is read of a file at a time.
const WINDOW: usize = 64 * 1024;

/// Starts the jobs.
#[derive(Debug)]
pub(super) struct Keeper {
    /// A rotation that may still have to be finished after a crash: nothing is done until it is over.
    held: bool,
    due: Option<Instant>,
    running: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Keeper {
    pub(super) fn new() -> Self {
        Self { held: false, due: None, running: None, stop: Arc::default() }
    }

    /// A file was rotated, and the ledger does not know yet.
    pub(super) fn hold(&mut self) {
        (self.held, self.due) = (true, None);
    }

    /// The ledger knows.
    pub(super) fn release(&mut self) {
        self.held = false;
    }

    /// Starts a job when one is due and none is running, for the files with numbers below `next`.
    pub(super) fn poke(&mut self, ground: &Ground, config: &Arc<FileConfig>, access: Access, next: u64) {
        let now = Instant::now();
        let busy = self.running.as_ref().is_some_and(|job| !job.is_finished());
        if self.held || busy || self.due.is_some_and(|due| now < due) {
            return;
        }
        self.due = Some(now + INTERVAL);
        let stop = self.stop.clone();
        let job = Job { ground: ground.clone(), config: config.clone(), access, next, stop };
        self.running = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = job.run() {
                let folder = job.config.directory.display();
                warn!(%folder, %error, "rotated files could not be cared for, it is tried again");
            }
        }));
    }

    /// Waits for the job in hand.
    #[cfg(test)]
    pub(super) async fn finish(&mut self) {
        if let Some(job) = self.running.take() {
            job.await.unwrap();
        }
    }
}

struct Job {
    ground: Ground,
    config: Arc<FileConfig>,
    access: Access,
    /// A file rotated while the job runs may still be needed to finish that rotation after a crash.
    next: u64,
    stop: Arc<AtomicBool>,
}

impl Job {
    fn run(&self) -> io::Result<()> {
        let entries = self.ground.disk.list(&self.config.directory)?;
        for entry in &entries {
            // The only job there is just began, so nobody writes these any more.
            if entry.name.strip_suffix(PART).and_then(Name::parse).is_some() {
                self.ground.disk.remove(&self.path(&entry.name))?;
            }
        }
        self.drop_old()?;
        if self.config.compression != Packing::None {
            let plain = entries.iter().filter_map(|entry| self.name(&entry.name));
            for name in plain.filter(|name| name.packing == Packing::None) {
                self.compress(name)?;
            }
            self.drop_old()?;
        }
        Ok(())
    }

    fn name(&self, text: &str) -> Option<Name> {
        Name::parse(text).filter(|name| name.number < self.next)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.config.directory.join(name)
    }

    fn stopped(&self) -> io::Result<()> {
        let stopped = self.stop.load(Ordering::Relaxed);
        if stopped { Err(io::Error::other("stopping")) } else { Ok(()) }
    }

    /// Removes what is over its time or beyond the room there is, the oldest first.
    fn drop_old(&self) -> io::Result<()> {
        let entries = self.ground.disk.list(&self.config.directory)?;
        let mut rotated: Vec<_> =
            entries.iter().filter_map(|entry| Some((self.name(&entry.name)?, entry))).collect();
        rotated.sort_by_key(|(name, _)| std::cmp::Reverse(name.number));
        let keep_for = i64::try_from(self.config.keep_for.0.as_secs()).unwrap_or(i64::MAX);
        let oldest = self.ground.now().saturating_sub(keep_for);
        let mut total = 0_u64;
        for (name, entry) in rotated {
            total = total.saturating_add(entry.length);
            if name.time >= oldest && total <= self.config.keep_bytes.0 {
                continue;
            }
            self.stopped()?;
            self.ground.disk.remove(&self.path(&entry.name))?;
            info!(
                file = entry.name,
                bytes = entry.length,
                "removed a rotated file, as keep_for and keep_bytes say"
            );
        }
        Ok(())
    }

    fn compress(&self, name: Name) -> io::Result<()> {
        let plain = self.path(&name.to_string());
        if self.ground.disk.length(&plain)?.is_none() {
            return Ok(());
        }
        let packed = self.path(&Name { packing: self.config.compression, ..name }.to_string());
        let part = PathBuf::from(format!("{}{PART}", packed.display()));
        let mut target = self.ground.disk.create(&part, self.access.mode)?;
        target.set_access(self.access.mode, self.access.group)?;
        let mut target = self.pack(&plain, target)?;
        target.sync_data()?;
        self.stopped()?;
        self.ground.points.reach("file compressed")?;
        self.ground.disk.rename(&part, &packed)?;
        self.ground.disk.sync_folder(&self.config.directory)?;
        self.ground.points.reach("uncompressed file removed")?;
        self.ground.disk.remove(&plain)
    }

    fn pack(&self, plain: &Path, target: Box<dyn DiskFile>) -> io::Result<Box<dyn DiskFile>> {
        match self.config.compression {
            Packing::None => Ok(target),
            Packing::Zstd => {
                let mut encoder = ZstdEncoder::new(target, ZSTD_LEVEL)?;
                encoder.window_log(ZSTD_WINDOW_LOG)?;
                encoder.include_checksum(true)?;
                self.copy(plain, &mut encoder)?;
                encoder.finish()
            }
            Packing::Gzip => {
                let mut encoder = GzEncoder::new(target, flate2::Compression::default());
                self.copy(plain, &mut encoder)?;
                encoder.finish()
            }
        }
    }

    fn copy(&self, plain: &Path, target: &mut dyn Write) -> io::Result<()> {
        let mut source = self.ground.disk.open(plain)?;
        let mut window = vec![0; WINDOW];
        loop {
            self.stopped()?;
            match source.read(&mut window) {
                Ok(0) => return Ok(()),
                Ok(count) => target.write_all(&window[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_leaves_alone_what_was_rotated_after_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("directory = '{}'\nkeep_bytes = '1B'", folder.path().display());
        let names = [1, 2].map(|number| Name { time: 0, number, packing: Packing::None }.to_string());
        for name in &names {
            std::fs::write(folder.path().join(name), "a record\n").unwrap();
        }
        let access = Access { mode: 0o640, group: None };
        let config = Arc::new(toml::from_str(&text).unwrap());
        let job = Job { ground: Ground::real(), config, access, next: 2, stop: Arc::default() };
        job.run().unwrap();
        assert!(!folder.path().join(&names[0]).try_exists().unwrap());
        assert!(folder.path().join(&names[1]).try_exists().unwrap());
    }
}
