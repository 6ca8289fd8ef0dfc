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
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::finish::{Fetched, Finished};
use super::{Mode, Progress, RETENTION, Shared, Signal, Stream};
use crate::disk::PRIVATE_FILE;
use crate::ledger::{LedgerError, PendingFile, StreamId, StreamState};
use crate::limits;
use crate::recovery::backoff;
use crate::source::openai::{ApiError, ErrorKind, Expected};
use crate::vitals::Pulse;

/// Fetches the files of one source.
pub struct Fetcher {
    shared: Shared,
    streams: HashMap<StreamId, Stream>,
    slots: usize,
    signal: Arc<Signal>,
    finisher: mpsc::Sender<Finished>,
    pulse: Pulse,
}

/// What is under way.
#[derive(Default)]
struct Work {
    queue: VecDeque<PendingFile>,
    running: JoinSet<(i64, Result<bool, LedgerError>)>,
    /// Rows being fetched, and their streams.
    busy: HashMap<i64, StreamId>,
    /// Tries of rows in this run, and when the first failed.
    tries: HashMap<i64, (u32, Option<Instant>)>,
    full_since: Option<Instant>,
    row_of_failures: Option<Failures>,
}

/// Tries that failed one after another, of whichever files: then it is not the files.
struct Failures {
    count: u32,
    first: Instant,
    last: Instant,
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

impl Work {
    fn begin(&mut self, fetcher: &Arc<Fetcher>, file: PendingFile, mode: Mode) {
        self.busy.insert(file.row, file.stream);
        self.tries.entry(file.row).or_default().0 += 1;
        let fetcher = fetcher.clone();
        self.running.spawn(async move {
            let row = file.row;
            (row, fetcher.collect(file, mode).await)
        });
    }

    /// The next file to start: while a slot is free, or of a stream that has none, so that slow downloads of
    /// one stream never hold up another.
    fn next(&mut self, slots: usize) -> Option<PendingFile> {
        if self.running.len() < slots {
            return self.queue.pop_front();
        }
        let idle = |file: &PendingFile| !self.busy.values().any(|stream| *stream == file.stream);
        let at = self.queue.iter().position(idle)?;
        self.queue.remove(at)
    }

    fn ended(&mut self, row: i64, collected: bool) {
        self.busy.remove(&row);
        if collected {
            self.tries.remove(&row);
            self.row_of_failures = None;
            return;
        }
        let now = Instant::now();
        self.tries.entry(row).or_default().1.get_or_insert(now);
        let row = self.row_of_failures.get_or_insert(Failures { count: 0, first: now, last: now });
        (row.count, row.last) = (row.count + 1, now);
    }

    /// Whether everything fails, so that one try now and then is enough.
    fn holds_back(&self, slots: usize) -> bool {
        let allowed = u32::try_from(slots).unwrap_or(u32::MAX);
        self.row_of_failures.as_ref().is_some_and(|row| {
            row.count >= allowed
                && row.last.elapsed()
                    < backoff(row.count - allowed, limits::RETRY_MIN, limits::ONCE_RETRY_MAX)
        })
    }

    /// Whether everything has failed for longer than a run with an end waits.
    fn is_hopeless(&self, slots: usize) -> bool {
        let hopeless =
            |row: &Failures| row.count as usize >= slots && row.first.elapsed() >= limits::ONCE_PATIENCE;
        self.row_of_failures.as_ref().is_some_and(hopeless)
    }

    /// Rows that a run with an end has tried often enough.
    fn exhausted(&self) -> impl Iterator<Item = i64> {
        let enough = |(tries, failed): &(u32, Option<Instant>)| {
            *tries >= limits::ONCE_TRIES || failed.is_some_and(|at| at.elapsed() >= limits::ONCE_PATIENCE)
        };
        self.tries.iter().filter(move |(_, tries)| enough(tries)).map(|(row, _)| *row)
    }
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
        let streams: HashMap<_, _> = streams.into_iter().map(|stream| (stream.id, stream)).collect();
        let first =
            streams.values().map(|stream| format!("{}/{}", stream.principal, stream.event_type)).min();
        let pulse = shared.vitals.pulses.task(format!("fetcher of {}", first.unwrap_or_default()));
        Self { shared, streams, slots, signal, finisher, pulse }
    }

    /// Fetches until stopped, or until nothing is left that is worth another try.
    pub async fn run(self, mode: Mode) {
        let this = Arc::new(self);
        let mut work = Work::default();
        while !this.shared.stop.is_cancelled() {
            this.pulse.beat(limits::STUCK_TASK);
            match this.turn(&mut work, mode).await {
                Ok(false) => {}
                Ok(true) | Err(LedgerError::Closed) => return,
                Err(error) => {
                    error!(%error, "the ledger cannot be used: collecting waits");
                    let wait = tokio::time::sleep(limits::LEDGER_RETRY);
                    this.shared.stop.run_until_cancelled(wait).await;
                }
            }
        }
    }

    /// Starts what may start, then waits for something to happen; `true` at the end of a run that has one.
    async fn turn(self: &Arc<Self>, work: &mut Work, mode: Mode) -> Result<bool, LedgerError> {
        let once = matches!(mode, Mode::Once { .. });
        let last_look = self.signal.all_listed();
        if work.queue.is_empty() {
            let mut except: HashSet<i64> = work.busy.keys().copied().collect();
            if once {
                except.extend(work.exhausted());
            }
            work.queue = self.due(&except).await?;
            if once
                && last_look
                && work.queue.is_empty()
                && work.busy.is_empty()
                && !self.later(&except).await?
            {
                return Ok(true);
            }
        }
        if once && work.running.is_empty() && (work.is_hopeless(self.slots) || last_look && self.is_refused())
        {
            return Ok(true);
        }
        while let Some(file) = work.next(self.slots) {
            if work.holds_back(self.slots) || self.is_refused() || self.spool_is_full(work) {
                work.queue.push_front(file);
                if once && work.full_since.is_some_and(|at| at.elapsed() >= limits::ONCE_PATIENCE) {
                    return Ok(true);
                }
                break;
            }
            work.begin(self, file, mode);
        }
        let idle = work.queue.is_empty() && work.running.is_empty() && !once && !self.any_pending().await?;
        if idle {
            self.pulse.rest();
        }
        tokio::select! {
            Some(done) = work.running.join_next() => match done {
                Ok((row, result)) => work.ended(row, matches!(result, Ok(true))),
                Err(panic) => error!(%panic, "a download task failed"),
            },
            // New files may belong to a stream that none of the queue belongs to.
            () = self.signal.work.notified() => work.queue.clear(),
            () = self.shared.damage.notified() => work.queue.clear(),
            () = tokio::time::sleep(limits::FETCH_LOOK), if !idle => {}
            () = self.shared.stop.cancelled() => {}
        }
        Ok(false)
    }

    /// Whether the key is refused, so that no file of the source can be had until it changes.
    fn is_refused(&self) -> bool {
        self.streams.values().next().is_some_and(|stream| stream.client.is_refused())
    }

    async fn any_pending(&self) -> Result<bool, LedgerError> {
        for &id in self.streams.keys() {
            if self.shared.ledger.next_attempt(id).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
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

    /// Whether to wait for room; asks the cleaner for some.
    fn spool_is_full(&self, work: &mut Work) -> bool {
        let held = Progress::get(&self.shared.progress.spool_bytes);
        let full = held >= self.shared.spool_max_bytes;
        if !full {
            if work.full_since.take().is_some() {
                info!("the spool has room again: collecting goes on");
            }
        } else if work.full_since.is_none() {
            work.full_since = Some(Instant::now());
            error!(held, "the spool is full: collecting waits until the sinks have caught up");
        }
        if full {
            self.shared.room.notify_one();
        }
        full
    }

    /// One try; `true` when it was collected, or never will be.
    async fn collect(&self, file: PendingFile, mode: Mode) -> Result<bool, LedgerError> {
        let row = file.row;
        let stop = self.shared.stop.clone();
        let error = match stop.run_until_cancelled(self.fetch(&file)).await {
            Some(Ok(())) => return Ok(true),
            None | Some(Err(FetchError::Stopping)) => return Ok(false),
            Some(Err(error)) => error,
        };
        let reason = if let FetchError::Api(api) = &error { api.kind.as_str() } else { "disk" };
        self.shared.vitals.meter.source_failed("fetch", reason);
        let now = self.shared.ground.now();
        if let Some(reason) = self.gone(&file, &error, now).await
            && file.repairs.is_none()
        {
            error!(file_id = file.file_id, reason, "log file lost at the provider: recorded as a hole");
            self.shared.ledger.record_hole(row, reason.to_owned(), self.shared.ground.clock.now()).await?;
            return Ok(true);
        }
        self.note_refusal(&file, &error).await?;
        let most = match mode {
            Mode::Once { .. } => limits::ONCE_RETRY_MAX,
            Mode::Forever { .. } => limits::FETCH_RETRY_MAX,
        };
        let asked =
            if let FetchError::Api(api) = &error { api.after.unwrap_or_default() } else { Duration::ZERO };
        let delay = backoff(file.attempts, limits::RETRY_MIN, most).max(asked);
        let delay = self.shared.ground.jitter(delay);
        let seconds = i64::try_from(delay.as_secs().max(1)).unwrap_or(i64::MAX);
        warn!(file_id = file.file_id, %error, seconds, "log file not collected, it is tried again");
        self.shared.ledger.put_off(row, now + seconds, error.to_string()).await?;
        Ok(false)
    }

    /// A key refused while fetching concerns the whole stream.
    async fn note_refusal(&self, file: &PendingFile, error: &FetchError) -> Result<(), LedgerError> {
        let FetchError::Api(api) = error else { return Ok(()) };
        let state = match api.kind {
            ErrorKind::Refused => StreamState::Waiting,
            ErrorKind::Denied => StreamState::Denied,
            _ => return Ok(()),
        };
        let (message, hint) = (Some(api.to_string()), api.hint());
        self.shared.ledger.record_stream_state(file.stream, state, message, hint).await
    }

    /// The reason why a file can never be had, if that is so.
    ///
    /// The provider has to say it: a fresh listing no longer shows the file. Neither a clock that runs ahead
    /// nor a network that fails makes a hole.
    async fn gone(&self, file: &PendingFile, error: &FetchError, now: i64) -> Option<&'static str> {
        let FetchError::Api(ApiError { kind, .. }) = error else { return None };
        let reason = if *kind == ErrorKind::Gone {
            "the provider answered 404 and no longer lists it"
        } else if file.end_at + RETENTION < now {
            "its 30 days at the provider were over before it could be fetched"
        } else {
            return None;
        };
        let stream = self.streams.get(&file.stream)?;
        let end = file.end_time.parse::<Timestamp>().ok()?;
        let second = Duration::from_secs(1);
        let (after, before) = (end.checked_sub(second).ok()?, end.checked_add(second).ok()?);
        let page = stream
            .client
            .list(&stream.event_type, &after.to_string(), Some(&before.to_string()), limits::PAGE)
            .await
            .ok()?;
        // Files come by end_time: one beyond the moment shows that the moment itself was listed whole.
        let whole = !page.has_more
            || page.files.iter().any(|other| other.end_time.parse::<Timestamp>().is_ok_and(|at| at > end));
        let listed = page.files.iter().any(|listed| listed.id == file.file_id);
        (whole && !listed).then_some(reason)
    }

    async fn fetch(&self, file: &PendingFile) -> Result<(), FetchError> {
        let Some(stream) = self.streams.get(&file.stream) else { return Err(FetchError::Stopping) };
        let Shared { ground, spool, .. } = &self.shared;
        let names = spool.incoming(file.row);
        let create = || ground.disk.create(&names.data, PRIVATE_FILE);
        let expected = Expected { size: file.size, sha256: file.sha256 };
        let stored = stream.client.fetch(&file.file_id, expected, limits::MAX_LOG_FILE_BYTES, &create).await;
        let scanned = match stored {
            Ok((stored, data)) => {
                self.shared.cut(data, &names).await.map(|scanned| (stored, scanned)).map_err(FetchError::Disk)
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
        if let Some(sequence) = file.repairs {
            // The same bytes, which the hash has shown, so the place and everything known of it stays.
            spool.adopt(&names, sequence)?;
            spool.sync()?;
            self.shared.ledger.record_repair(file.row).await.map_err(std::io::Error::other)?;
            warn!(file_id = file.file_id, sequence, "a damaged spool file was fetched again and is whole");
            return Ok(());
        }
        let (at, with) = (ground.clock.now(), stream.client.own_key());
        let looked = (spool.clone(), names.clone(), scanned.records);
        let of = (stream.id, stream.event_type.as_str());
        let seen = self.shared.shapes.look(&self.shared.ledger, of, looked).await.unwrap_or_else(|error| {
            warn!(file_id = file.file_id, %error, "not looked at for what is new about its stream");
            Vec::new()
        });
        let fetched = Fetched { at, with, seen, own: false };
        let (finished, done) = Finished::new(file.clone(), names, stored, scanned, fetched);
        self.finisher.send(finished).await.map_err(|_| FetchError::Stopping)?;
        done.await.map_err(|_| FetchError::Stopping)?.map_err(FetchError::Disk)
    }
}
