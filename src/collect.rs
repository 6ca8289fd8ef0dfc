//! Collecting: list → fetch → spool → ledger.
//!
//! The durable order, and nothing may change it: a page's ids and its cursor in one transaction; then
//! for each file: temporary file → size and sha256 checked → index and ids → fdatasync of all three →
//! rename → fsync of the folder → one transaction. Only that transaction makes a file real. A crash
//! before it leaves a pending row and rubbish that the next start removes.
//!
//! Streams do not wait for each other: each has its own lister; fetches of a source share its slots
//! fairly. Nothing is given up but by the provider's word (see `fetch`).

mod fetch;
mod finish;
mod list;
mod own;
mod shape;
mod unclaimed;

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

pub use fetch::Fetcher;
pub use finish::{Finished, Finisher};
pub use list::Lister;
pub use own::OwnTrail;
pub use shape::Shapes;
pub use unclaimed::Unclaimed;

use crate::disk::DiskFile;
use crate::ground::Ground;
use crate::ledger::{Collected, Ledger, StreamId};
use crate::limits;
use crate::source::openai::{COSTS, Client};
use crate::spool::{self, Names, Scanned, Spool};
use crate::vitals::Vitals;

/// How long the provider keeps a log file, seconds.
pub const RETENTION: i64 = 30 * 86_400;

/// How long after a moment files may still appear that end before it; later ones are found
/// by the sweep. Seconds.
pub fn settle(event_type: &str) -> i64 {
    if event_type.eq_ignore_ascii_case(COSTS) { limits::SETTLE_COSTS } else { limits::SETTLE }
}

/// What the parts of collecting share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Clock, disk and so on.
    pub ground: Ground,
    /// The ledger.
    pub ledger: Ledger,
    /// The spool.
    pub spool: Spool,
    /// One file is cut into records at a time, which may take memory for a huge one.
    pub cutting: Arc<Semaphore>,
    /// One big record is delivered at a time.
    pub big: Arc<Semaphore>,
    /// Ends everything cleanly.
    pub stop: CancellationToken,
    /// What was done since the start.
    pub progress: Arc<Progress>,
    /// Which parts move, and what happened how often.
    pub vitals: Arc<Vitals>,
    /// The spool may hold this many bytes.
    pub spool_max_bytes: u64,
    /// A spooled file was found damaged.
    pub damage: Arc<Notify>,
    /// Collecting waits for room in the spool.
    pub room: Arc<Notify>,
    /// The sequence number the next file gets; delivery waits on it.
    pub next_sequence: Arc<watch::Sender<u64>>,
    /// What the records of each stream have shown so far.
    pub shapes: Arc<Shapes>,
}

impl Shared {
    /// What the parts of a program that begins now share; `collected` is what the ledger says.
    pub fn new(
        ground: Ground,
        ledger: Ledger,
        spool: Spool,
        spool_max_bytes: u64,
        collected: &Collected,
    ) -> Self {
        let progress = Progress::default();
        Progress::add(&progress.spool_bytes, collected.spool_bytes);
        Self {
            ground,
            ledger,
            spool,
            cutting: Arc::new(Semaphore::new(1)),
            big: Arc::new(Semaphore::new(1)),
            stop: CancellationToken::new(),
            progress: Arc::new(progress),
            vitals: Arc::default(),
            spool_max_bytes,
            damage: Arc::new(Notify::new()),
            room: Arc::new(Notify::new()),
            next_sequence: Arc::new(watch::Sender::new(collected.next_sequence)),
            shapes: Arc::default(),
        }
    }
}

impl Shared {
    /// Cuts a whole log file into records; one with a huge line waits until no huge record is delivered.
    pub async fn cut(&self, mut data: Box<dyn DiskFile>, names: &Names) -> io::Result<Scanned> {
        let _cutting = self.cutting.acquire().await.map_err(io::Error::other)?;
        let longest = tokio::task::block_in_place(|| spool::longest_line(data.as_mut()))?;
        let _big = if longest >= limits::BIG_RECORD_BYTES.into() {
            Some(self.big.acquire().await.map_err(io::Error::other)?)
        } else {
            None
        };
        let (disk, names) = (self.ground.disk.clone(), names.clone());
        let scanned = tokio::task::spawn_blocking(move || spool::scan(disk.as_ref(), data, &names));
        scanned.await.map_err(io::Error::other)?
    }
}

/// Counters since the start, for people who watch.
#[derive(Debug, Default)]
pub struct Progress {
    /// New files listed.
    pub listed: AtomicU64,
    /// Files collected.
    pub files: AtomicU64,
    /// Their records.
    pub records: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
    /// Records all sinks together have confirmed.
    pub delivered: AtomicU64,
    /// Bytes the spool holds.
    pub spool_bytes: AtomicU64,
}

impl Progress {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    /// Takes from a counter.
    pub fn take(counter: &AtomicU64, amount: u64) {
        counter.fetch_sub(amount, Ordering::Relaxed);
    }

    /// Reads a counter.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// One stream as it is collected.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its row.
    pub id: StreamId,
    /// Whose.
    pub principal: String,
    /// What it carries.
    pub event_type: String,
    /// How far back each poll looks again, seconds.
    pub overlap: i64,
    /// The API.
    pub client: Arc<Client>,
}

/// Whether to run for ever or to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For ever, polling.
    Forever {
        /// Time between listings.
        poll_interval: Duration,
    },
    /// Until all that is there was collected or given up for now.
    Once {
        /// List the whole retention window.
        sweep: bool,
    },
}

/// Tells a source's fetcher that there is work, and when no more will come.
#[derive(Debug, Default)]
pub struct Signal {
    /// New pending files, or files to be tried again.
    pub work: Notify,
    listing: Mutex<HashSet<StreamId>>,
    started: AtomicBool,
}

impl Signal {
    /// The streams whose listers will call [`Self::listed`].
    pub fn expect(&self, streams: impl IntoIterator<Item = StreamId>) {
        self.listing.lock().unwrap_or_else(PoisonError::into_inner).extend(streams);
        self.started.store(true, Ordering::Release);
    }

    /// A lister of a run with an end is done.
    pub fn listed(&self, stream: StreamId) {
        self.listing.lock().unwrap_or_else(PoisonError::into_inner).remove(&stream);
        self.work.notify_one();
    }

    /// All of them are.
    pub fn all_listed(&self) -> bool {
        self.started.load(Ordering::Acquire)
            && self.listing.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}
