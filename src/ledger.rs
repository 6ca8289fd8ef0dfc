//! The ledger: what was listed, what was collected, how far every sink is.
//!
//! Owns the one SQLite database and the thread that alone touches it. Invariants: every change is a
//! transaction with `synchronous=FULL`; jobs that wait together share one transaction, and nobody is
//! answered before its commit; a job that fails undoes only itself. Never holds content or a secret.

mod coverage;
mod drift;
mod facts;
mod files;
mod hours;
mod import;
mod letters;
mod life;
mod manifests;
mod own;
mod schema;
mod sinks;
mod streams;
mod unclaimed;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{mpsc, oneshot};

#[cfg(test)]
mod tests;

pub use coverage::{Interval, Pace, merged};
pub use drift::{DriftRow, Seen};
pub use facts::Facts;
pub use files::{Candidate, Collected, FileFacts, HoleRow, NewFile, PendingFile};
pub use hours::HourRow;
pub use import::{Imported, Missing, Origin, Restored, Whole};
pub use letters::{ANSWERED, LetterRow};
pub use life::{FileLife, ObjectLife};
pub use manifests::{ArchivedFile, Chain, Covering, ListedFile, NextPlace, SinkPlace, UnsealedFile};
pub use own::{Action, Actor, Beginning, Event, OwnFile, Stamp, Target};
pub use schema::SCHEMA_VERSION;
pub use sinks::{Counts, Position, SinkRow, SinkStart};
pub use streams::{PageEntry, StreamId, StreamRow, StreamState};
pub use unclaimed::UnclaimedType;

use crate::limits;

/// What went wrong in the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database could not be opened or changed.
    #[error("the ledger {path} could not be used: {source}")]
    Sqlite {
        /// Where it lies.
        path: PathBuf,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
    /// The file could not be created.
    #[error("the ledger {path} cannot be opened: {source}")]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A newer program wrote it.
    #[error(
        "the ledger {path} has version {found}, this program knows up to {SCHEMA_VERSION}: \
         install the newer custodex again, or point data_dir to another folder"
    )]
    Newer {
        /// Where it lies.
        path: PathBuf,
        /// The version found.
        found: i64,
    },
    /// A setting that durability rests on did not hold.
    #[error(
        "the ledger {path} refuses {pragma}: put data_dir on a local file system (ext4, xfs), not on a network share"
    )]
    Pragma {
        /// Where it lies.
        path: PathBuf,
        /// The setting.
        pragma: &'static str,
    },
    /// The machine gives no thread.
    #[error("the ledger's thread could not be started: {source}")]
    Thread {
        /// Why.
        source: std::io::Error,
    },
    /// Its thread has ended.
    #[error("the ledger is closed")]
    Closed,
}

type Finish = Box<dyn FnOnce(Result<(), Arc<rusqlite::Error>>) + Send>;
type Job = Box<dyn FnOnce(&Connection) -> Finish + Send>;

/// A handle to the ledger's thread; clones share it.
#[derive(Clone, Debug)]
pub struct Ledger {
    jobs: mpsc::Sender<Job>,
    path: Arc<PathBuf>,
}

/// The ledger's thread; joined to be sure that everything is closed.
#[derive(Debug)]
pub struct LedgerThread(JoinHandle<()>);

impl LedgerThread {
    /// Waits until every handle is gone and the database is closed.
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the ledger thread panicked");
        }
    }
}

impl Ledger {
    /// Opens or creates the database, brings its schema up to date and starts the thread.
    pub fn open(path: &Path) -> Result<(Self, LedgerThread), LedgerError> {
        let connection = schema::open(path)?;
        let (jobs, queue) = mpsc::channel(limits::LEDGER_QUEUE);
        let thread = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || serve(&connection, queue))
            .map_err(|source| LedgerError::Thread { source })?;
        Ok((Self { jobs, path: Arc::new(path.to_owned()) }, LedgerThread(thread)))
    }

    /// A connection of its own, which looks past the thread.
    pub fn viewer(&self) -> Result<Viewer, LedgerError> {
        Viewer::open(&self.path)
    }

    /// Comes back when the thread has come round to it.
    pub async fn ping(&self) -> Result<(), LedgerError> {
        self.call(|_| Ok(())).await
    }

    /// Runs `job` in a transaction; the answer comes after the commit.
    async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (answer, answered) = oneshot::channel();
        let boxed: Job = Box::new(move |connection| {
            let result = savepoint(connection, job).map_err(Arc::new);
            Box::new(move |committed| {
                // The caller may have given up; then nobody waits for the answer.
                drop(answer.send(result.and_then(|value| committed.map(|()| value))));
            })
        });
        self.jobs.send(boxed).await.map_err(|_| LedgerError::Closed)?;
        let result = answered.await.map_err(|_| LedgerError::Closed)?;
        result.map_err(|source| LedgerError::Sqlite { path: (*self.path).clone(), source })
    }
}

/// A connection for commands that only look, beside a daemon or without one.
pub struct Viewer {
    connection: Connection,
    path: PathBuf,
}

impl Viewer {
    /// Opens the database without changing it.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let wrap = |source| LedgerError::Sqlite { path: path.to_owned(), source: Arc::new(source) };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(wrap)?;
        connection.busy_timeout(limits::LEDGER_BUSY).map_err(wrap)?;
        connection.pragma_update(None, "query_only", true).map_err(wrap)?;
        schema::check_version(&connection, path)?;
        Ok(Self { connection, path: path.to_owned() })
    }

    fn view<T>(&self, job: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        job(&self.connection)
            .map_err(|source| LedgerError::Sqlite { path: self.path.clone(), source: Arc::new(source) })
    }
}

fn savepoint<T>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.execute_batch("SAVEPOINT job")?;
    let result = job(connection);
    let end = if result.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    connection.execute_batch(end)?;
    result
}

fn serve(connection: &Connection, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.blocking_recv() {
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            let error = Arc::new(error);
            refuse(first, connection, &error);
            continue;
        }
        let mut finishes = vec![first(connection)];
        while finishes.len() < limits::LEDGER_GROUP {
            let Ok(job) = queue.try_recv() else { break };
            finishes.push(job(connection));
        }
        let committed = connection.execute_batch("COMMIT").map_err(Arc::new);
        if committed.is_err() && !connection.is_autocommit() {
            // A failed commit can leave the transaction open; nothing of it may survive.
            if let Err(error) = connection.execute_batch("ROLLBACK") {
                tracing::error!(%error, "the ledger could not roll back");
            }
        }
        for finish in finishes {
            finish(committed.clone());
        }
    }
}

/// Answers a job that could not even begin; its work is undone at once.
fn refuse(job: Job, connection: &Connection, error: &Arc<rusqlite::Error>) {
    let finish = if connection.execute_batch("SAVEPOINT refused").is_ok() {
        let finish = job(connection);
        drop(connection.execute_batch("ROLLBACK TO refused; RELEASE refused"));
        finish
    } else {
        return;
    };
    finish(Err(error.clone()));
}
