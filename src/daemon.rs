//! One custodex at work: builds the parts, runs them, ends them in order.
//!
//! Order of the end: listers and fetchers, then the end of the audit trail, then the finisher, then the
//! sinks' workers, which commit what is still confirmed, then the ledger's thread. A crash instead of that
//! order loses nothing. Holds the data folder from start to end.

mod build;
pub mod control;
mod counting;
pub mod folder;
mod notify;
pub mod rebuild;
pub mod signing;
mod who;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sd_notify::NotifyState;
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::collect::{Finisher, OwnTrail, Progress, RETENTION, Shared, Signal};
use crate::config::{Config, SinkEntry};
use crate::deliver::{Cleaner, Letters};
use crate::ground::Ground;
use crate::ledger::{Action, Beginning, Event, Ledger, LedgerError, LedgerThread, Stamp, Target};
use crate::limits;
use crate::net::Transport;
use crate::page::Page;
use crate::spool::Spool;
use crate::status::Status;
use build::{SinkParts, SourceParts};
use control::Server;
use counting::Counting;
use folder::{Folder, FolderError};

/// Why custodex cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be had.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The spool holds what the ledger has never heard of, more than a crash leaves.
    #[error(
        "{spool} holds {files} log files that the ledger {ledger} does not know: it was lost, or is an older copy. \
         Nothing was touched. Put the right ledger.db back; or make one with `custodex rebuild --from ARCHIVE`; or, \
         without an archive, move the spool folder away, and what the provider still has is collected again"
    )]
    Unknown {
        /// The spool's folder.
        spool: PathBuf,
        /// The ledger.
        ledger: PathBuf,
        /// How many.
        files: usize,
    },
    /// Manifests could not be signed.
    #[error("{0}")]
    Signing(#[from] signing::SigningError),
    /// Commands could not reach the daemon.
    #[error(
        "the control socket {path} cannot be made: {source}; data_dir must be a short path on a local disk"
    )]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The page has no place.
    #[error(
        "[http] listen = \"{listen}\" cannot be used: {source}; choose another port, or see who has it with \
         `ss -ltnp`"
    )]
    Page {
        /// Where.
        listen: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The spool or the control socket cannot be used.
    #[error("the data folder cannot be used: {0}")]
    Disk(#[from] std::io::Error),
}

/// For ever, or to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunMode {
    /// Poll until stopped.
    Forever,
    /// Collect and deliver all there is.
    Once {
        /// List the whole retention window.
        sweep: bool,
    },
}

/// A daemon that is ready to run.
pub struct Daemon {
    shared: Shared,
    thread: LedgerThread,
    sources: Vec<SourceParts>,
    sinks: Vec<SinkParts>,
    cleaner: Cleaner,
    server: Server,
    page: Option<Page>,
    folder: Folder,
    mode: RunMode,
    instance: String,
    /// Some sink takes the audit trail.
    trail_wanted: bool,
}

impl Daemon {
    /// Takes the data folder, mends what a crash left, and builds every part.
    pub async fn open(
        config: &Config,
        ground: Ground,
        transport: Arc<dyn Transport>,
        mode: RunMode,
    ) -> Result<Self, StartError> {
        let folder = Folder::hold(ground.disk.as_ref(), &config.data_dir)?;
        let (ledger, thread) = Ledger::open(&folder.ledger())?;
        let spool = Spool::open(ground.disk.clone(), &folder.spool())?;
        let collected = ledger.collected().await?;
        let unknown = spool.beyond(collected.next_sequence)?;
        if unknown > limits::CRASH_LEFTOVERS || (unknown > 0 && !collected.listed) {
            let (spool, ledger) = (folder.spool(), folder.ledger());
            return Err(StartError::Unknown { spool, ledger, files: unknown });
        }
        recover(&ledger, &spool, ground.now(), collected.next_sequence).await?;
        let shared = Shared::new(ground, ledger, spool, config.spool.max_bytes, &collected);
        let transport: Arc<dyn Transport> =
            Arc::new(Counting { inner: transport, vitals: shared.vitals.clone() });
        let sources = build::sources(&shared, config, &transport, mode).await?;
        let refill = build::refill(&shared, config);
        let key = Arc::new(signing::key(shared.ground.disk.as_ref(), config, &folder.keys())?);
        let sinks = build::sinks(&shared, config, mode, &refill, &key).await?;
        let path = folder.socket();
        let server = Server::bind(&path).map_err(|source| StartError::Socket { path, source })?;
        let page = page(&shared, config).await?;
        let cleaner = Cleaner::new(shared.clone(), config.spool.keep, refill);
        begin(&shared, config, mode, key.public().id()).await?;
        let (instance, trail_wanted) =
            (config.instance.clone(), config.sinks.iter().any(SinkEntry::takes_own_trail));
        Ok(Self {
            shared,
            thread,
            sources,
            sinks,
            cleaner,
            server,
            page,
            folder,
            mode,
            instance,
            trail_wanted,
        })
    }

    /// Ends the run cleanly when cancelled.
    pub fn stop(&self) -> CancellationToken {
        self.shared.stop.clone()
    }

    /// What was done since the start.
    pub fn progress(&self) -> Arc<Progress> {
        self.shared.progress.clone()
    }

    /// Runs to the end; answers how things stand then.
    pub async fn run(self) -> Result<Status, LedgerError> {
        let Self {
            shared,
            thread,
            sources,
            sinks,
            cleaner,
            server,
            page,
            folder,
            mode,
            instance,
            trail_wanted,
        } = self;
        info!(version = env!("CARGO_PKG_VERSION"), sources = sources.len(), sinks = sinks.len(), "started");
        let signals: Vec<Arc<Signal>> = sources.iter().map(|source| source.signal.clone()).collect();
        let (finisher, fetched) = Finisher::new(shared.clone());
        let mut collecting = JoinSet::new();
        for source in sources {
            source.spawn(&shared, &fetched, &mut collecting);
        }
        let acted = Arc::new(Notify::new());
        let trail = OwnTrail::new(shared.clone(), instance.clone(), trail_wanted, fetched, acted.clone());
        let trail = Arc::new(trail);
        if mode == RunMode::Forever {
            let trail = trail.clone();
            collecting.spawn(async move { trail.run().await });
        }
        let finishing = tokio::spawn(finisher.run());
        let (over, collected_all) = watch::channel(false);
        let letters = Letters::new(shared.ground.disk.clone(), folder.dead_letters());
        let mut delivering = JoinSet::new();
        // Sinks are told to stop after all others, so that the end of the audit trail still reaches them.
        let for_sinks = Shared { stop: CancellationToken::new(), ..shared.clone() };
        for sink in sinks {
            sink.spawn(&for_sinks, &letters, collected_all.clone(), &mut delivering);
        }
        let telling = tokio::spawn(stop_sinks(shared.clone(), collected_all, for_sinks.stop.clone()));
        let cleaner = Arc::new(cleaner);
        let wake = wake(&shared, signals, acted);
        let aside = aside(&shared, &cleaner, server, page, wake);
        notify::tell(NotifyState::Ready);
        join_all(collecting).await;
        notify::tell(NotifyState::Stopping);
        end_trail(&shared, &trail, instance).await;
        drop(trail);
        if let Err(panic) = finishing.await {
            error!(%panic, "keeping fetched files failed");
        }
        over.send_replace(true);
        join_all(delivering).await;
        telling.abort();
        // It is over or was called off; what it held of the ledger has to be gone.
        drop(telling.await);
        drop(for_sinks);
        shared.stop.cancel();
        join_all(aside).await;
        cleaner.clean().await?;
        drop(cleaner);
        shared.ledger.end_run().await?;
        let status = Status::read(&shared.ledger, shared.ground.clock.now(), shared.spool_max_bytes).await;
        drop(shared);
        thread.join();
        info!("stopped");
        status
    }
}

/// What runs beside collecting and delivering.
fn aside(
    shared: &Shared,
    cleaner: &Arc<Cleaner>,
    server: Server,
    page: Option<Page>,
    wake: impl Fn() + Send + Sync + 'static,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let cleaner = cleaner.clone();
    tasks.spawn(async move { cleaner.run().await });
    let clock = shared.ground.clock.clone();
    tasks.spawn(server.run(shared.ledger.clone(), clock, shared.stop.clone(), wake));
    if let Some(page) = page {
        tasks.spawn(page.run());
    }
    let shared = shared.clone();
    tasks.spawn(async move { notify::keep(&shared).await });
    tasks
}

/// Wakes all who may have work after a command changed something.
fn wake(shared: &Shared, signals: Vec<Arc<Signal>>, acted: Arc<Notify>) -> impl Fn() + use<> {
    let next_sequence = shared.next_sequence.clone();
    move || {
        for signal in &signals {
            signal.work.notify_one();
        }
        // Wakes the sinks too, without news.
        next_sequence.send_modify(|_| ());
        acted.notify_one();
    }
}

/// The audit trail begins with what this run begins with.
async fn begin(shared: &Shared, config: &Config, mode: RunMode, key_id: String) -> Result<(), LedgerError> {
    let run = Beginning {
        instance: config.instance.clone(),
        mode: match mode {
            RunMode::Forever => "daemon",
            RunMode::Once { sweep: false } => "once",
            RunMode::Once { sweep: true } => "once_sweep",
        },
        configuration: config.sha256,
        key_id,
        key_is_ours: config.signing_key.is_none(),
    };
    shared.ledger.begin_run(run, shared.ground.clock.now()).await
}

/// The last event of the audit trail, and the last log file of it.
async fn end_trail(shared: &Shared, trail: &OwnTrail, instance: String) {
    let reason = if shared.stop.is_cancelled() { "asked" } else { "done" };
    let event =
        Event::new(Action::DaemonStopped, Target::new("instance", instance), json!({ "reason": reason }));
    let stamp = Stamp::program(shared.ground.clock.now());
    match shared.ledger.append_event(stamp, event).await {
        Ok(()) => trail.flush().await,
        Err(error) => error!(%error, "the end of the audit trail could not be written"),
    }
}

/// Tells sinks to stop when everything has been: not before those that are well and have nothing else to do got
/// the end of the audit trail, and not for ever.
async fn stop_sinks(shared: Shared, mut over: watch::Receiver<bool>, sinks: CancellationToken) {
    shared.stop.cancelled().await;
    let ended = tokio::time::timeout(limits::COLLECT_AT_STOP, over.wait_for(|over| *over)).await.is_ok();
    if ended {
        let taking = async {
            while matches!(shared.ledger.own_file_is_next().await, Ok(true)) {
                tokio::time::sleep(limits::OWN_AT_STOP_LOOK).await;
            }
        };
        // Who is too slow gets it after the next start.
        drop(tokio::time::timeout(limits::OWN_AT_STOP, taking).await);
    }
    sinks.cancel();
}

/// The page, where the configuration has one.
async fn page(shared: &Shared, config: &Config) -> Result<Option<Page>, StartError> {
    let Some(http) = &config.http else { return Ok(None) };
    let listen = http.listen;
    let bound = Page::bind(listen, http.token.clone(), config.instance.clone(), shared.clone()).await;
    bound.map(Some).map_err(|source| StartError::Page { listen, source })
}

/// Removes what no transaction made real, and lets every pending file be tried at once.
async fn recover(ledger: &Ledger, spool: &Spool, now: i64, next: u64) -> Result<(), StartError> {
    let since = now - RETENTION - limits::REPEAT_WINDOW;
    let ids_from = ledger.oldest_sequence_since(since).await?.unwrap_or(next);
    spool.recover(&ledger.kept().await?, ids_from, next)?;
    Ok(ledger.forgive_pending().await?)
}

async fn join_all(mut tasks: JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(panic) = ended {
            error!(%panic, "a task failed");
        }
    }
}
