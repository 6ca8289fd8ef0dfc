//! Fetches pending files of one source, several at a time, soonest to expire first, fair across streams.
//!
//! A failed fetch is put off and tried again, for ever. A file becomes a hole only when the provider
//! answers 404 and a fresh listing no longer shows it, or when it fails after its 30 days are over.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, error, warn};

use super::finish::Finished;
use super::{Mode, Progress, RETENTION, Shared, Signal, Stream, backoff};
use crate::disk::PRIVATE_FILE;
use crate::ledger::{LedgerError, PendingFile, StreamId, StreamState};
use crate::limits;
use crate::source::openai::{ApiError, ErrorKind, Expected};
use crate::spool;

/// Fetches the files of one source.
pub struct Fetcher {
    shared: Shared,
    streams: HashMap<StreamId, Stream>,
    slots: usize,
    signal: Arc<Signal>,
    finisher: mpsc::Sender<Finished>,
}

/// Why a file was not collected.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the spool could not be written: {0}")]
    Disk(#[from] std::io::Error),
    #[error("the program is stopping")]
    Stopping,
}

impl Fetcher {
    /// A fetcher with `slots` downloads in flight.
    pub fn new(
        shared: Shared,
        streams: impl IntoIterator<Item = Stream>,
        slots: usize,
        signal: Arc<Signal>,
        finisher: mpsc::Sender<Finished>,
    ) -> Self {
        let streams = streams.into_iter().map(|stream| (stream.id, stream)).collect();
        Self { shared, streams, slots, signal, finisher }
    }

    /// Fetches until stopped, or until nothing is left that is worth another try.
    pub async fn run(self, mode: Mode) -> Result<(), LedgerError> {
        let this = Arc::new(self);
        let mut queue = VecDeque::new();
        let mut running = JoinSet::new();
        let mut busy = HashSet::new();
        let mut tries: HashMap<i64, u32> = HashMap::new();
        while !this.shared.stop.is_cancelled() {
            let last_look = this.signal.all_listed();
            if queue.is_empty() {
                let mut except = busy.clone();
                if matches!(mode, Mode::Once { .. }) {
                    except
                        .extend(tries.iter().filter(|(_, n)| **n >= limits::ONCE_TRIES).map(|(row, _)| row));
                }
                queue = this.due(&except).await?;
                let over = matches!(mode, Mode::Once { .. }) && last_look;
                if over && queue.is_empty() && busy.is_empty() && !this.later(&except).await? {
                    return Ok(());
                }
            }
            while running.len() < this.slots && !this.spool_is_full() {
                let Some(file) = queue.pop_front() else { break };
                busy.insert(file.row);
                *tries.entry(file.row).or_default() += 1;
                let this = this.clone();
                running.spawn(async move {
                    let row = file.row;
                    (row, this.collect(file).await)
                });
            }
            tokio::select! {
                Some(done) = running.join_next() => match done {
                    Ok((row, result)) => {
                        busy.remove(&row);
                        if result? { tries.remove(&row); }
                    }
                    Err(panic) => error!(%panic, "a download task failed"),
                },
                () = this.signal.work.notified() => {}
                () = tokio::time::sleep(limits::FETCH_LOOK) => {}
                () = this.shared.stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Files that may be tried now: the soonest to expire of every stream, in turns.
    async fn due(&self, except: &HashSet<i64>) -> Result<VecDeque<PendingFile>, LedgerError> {
        let now = self.shared.ground.now();
        let mut turns = Vec::new();
        for &id in self.streams.keys() {
            let files = self.shared.ledger.due_files(id, now, limits::FETCH_AHEAD, except.clone()).await?;
            turns.extend(files.into_iter().enumerate());
        }
        turns.sort_by_key(|(turn, file)| (*turn, file.end_at, file.row));
        Ok(turns.into_iter().map(|(_, file)| file).collect())
    }

    /// Whether files are put off that a run with an end should still wait for.
    async fn later(&self, except: &HashSet<i64>) -> Result<bool, LedgerError> {
        let horizon = self.shared.ground.now() + limits::ONCE_RETRY_MAX.as_secs().cast_signed() * 2;
        for &id in self.streams.keys() {
            if !self.shared.ledger.due_files(id, horizon, 1, except.clone()).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn spool_is_full(&self) -> bool {
        let held = Progress::get(&self.shared.progress.spool_bytes);
        if held >= self.shared.spool_max_bytes {
            warn!(held, "the spool is full: collecting waits until the sinks have caught up");
            return true;
        }
        false
    }

    /// One try; `true` when it was collected, or never will be.
    async fn collect(&self, file: PendingFile) -> Result<bool, LedgerError> {
        let row = file.row;
        let stop = self.shared.stop.clone();
        let error = match stop.run_until_cancelled(self.fetch(&file)).await {
            Some(Ok(())) => return Ok(true),
            None | Some(Err(FetchError::Stopping)) => return Ok(false),
            Some(Err(error)) => error,
        };
        let now = self.shared.ground.now();
        if let Some(reason) = self.gone(&file, &error, now).await {
            error!(file_id = file.file_id, reason, "log file lost at the provider: recorded as a hole");
            self.shared.ledger.record_hole(row, reason.to_owned()).await?;
            return Ok(true);
        }
        let delay = self.shared.ground.jitter(self.delay(&file, &error).await?);
        let seconds = i64::try_from(delay.as_secs().max(1)).unwrap_or(i64::MAX);
        warn!(file_id = file.file_id, %error, seconds, "log file not collected, it is tried again");
        self.shared.ledger.put_off(row, now + seconds, error.to_string()).await?;
        Ok(false)
    }

    async fn delay(&self, file: &PendingFile, error: &FetchError) -> Result<Duration, LedgerError> {
        if let FetchError::Api(api) = error {
            let state = match api.kind {
                ErrorKind::Refused => Some(StreamState::Waiting),
                ErrorKind::Denied => Some(StreamState::Denied),
                _ => None,
            };
            if let Some(state) = state {
                let (message, hint) = (Some(api.to_string()), api.hint());
                self.shared.ledger.record_stream_state(file.stream, state, message, hint).await?;
            }
        }
        Ok(backoff(file.attempts, limits::FETCH_RETRY_MAX))
    }

    /// The reason why a file can never be had, if that is so.
    async fn gone(&self, file: &PendingFile, error: &FetchError, now: i64) -> Option<&'static str> {
        if file.end_at + RETENTION < now {
            return Some("its 30 days at the provider were over before it could be fetched");
        }
        let FetchError::Api(ApiError { kind: ErrorKind::Gone, .. }) = error else { return None };
        let stream = self.streams.get(&file.stream)?;
        let end = file.end_time.parse::<Timestamp>().ok()?;
        let second = Duration::from_secs(1);
        let (after, before) = (end.checked_sub(second).ok()?, end.checked_add(second).ok()?);
        let page = stream
            .client
            .list(&stream.event_type, &after.to_string(), Some(&before.to_string()), limits::PAGE)
            .await
            .ok()?;
        let listed = page.has_more || page.files.iter().any(|listed| listed.id == file.file_id);
        (!listed).then_some("the provider answered 404 and no longer lists it")
    }

    async fn fetch(&self, file: &PendingFile) -> Result<(), FetchError> {
        let Some(stream) = self.streams.get(&file.stream) else { return Err(FetchError::Stopping) };
        let Shared { ground, spool, big, .. } = &self.shared;
        let names = spool.incoming(file.row);
        let create = || ground.disk.create(&names.data, PRIVATE_FILE);
        let expected = Expected { size: file.size, sha256: file.sha256 };
        let stored = stream.client.fetch(&file.file_id, expected, limits::MAX_LOG_FILE_BYTES, &create).await;
        let scanned = match stored {
            Ok((stored, data)) => {
                // Held while cutting: one file at a time may need memory for a huge record.
                let permit = big.acquire().await.map_err(|_| FetchError::Stopping)?;
                let (disk, names) = (ground.disk.clone(), names.clone());
                let scanned = tokio::task::spawn_blocking(move || spool::scan(disk.as_ref(), data, &names));
                let scanned = scanned.await.map_err(|_| FetchError::Stopping)?;
                drop(permit);
                scanned.map(|scanned| (stored, scanned)).map_err(FetchError::from)
            }
            Err(error) => Err(error.into()),
        };
        let (stored, scanned) = match scanned {
            Ok(both) => both,
            Err(error) => {
                spool.discard(&names)?;
                return Err(error);
            }
        };
        debug!(file_id = file.file_id, size = stored.size, records = scanned.records, "log file fetched");
        let fetched_at = ground.clock.now();
        let (finished, done) = Finished::new(file.clone(), names, stored, scanned, fetched_at);
        self.finisher.send(finished).await.map_err(|_| FetchError::Stopping)?;
        done.await.map_err(|_| FetchError::Stopping)?.map_err(FetchError::Disk)
    }
}
