//! Delivers archived records again: archive → select → encode → send → confirm → commit.
//!
//! A replay has a position of its own, kept in a folder of its own; the ledger, the spool and the positions of
//! the daemon are never touched. The order is that of every delivery: the sink confirms, only then position,
//! accounts and the sink's memory move, in one file that is replaced as a whole. So a replay that was killed goes
//! on behind the last confirmed record, repeats at most what was on its way, and in a folder nothing at all.
//! Every record carries the mark of its replay. What an archive cannot give is named and passed over once the
//! archive answers otherwise; one that is away ends the run, to be gone on with.

mod feed;
mod seen;
mod store;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use self::feed::{Fed, Feed, Maker, Portion};
use super::bury;
use super::health::Verdict;
use super::worker::{TryError, hand_over};
use crate::archive::MANIFESTS;
use crate::archive::find::{Matcher, PlanFile};
use crate::archive::verify::Source;
use crate::format::{Encoder, Select};
use crate::ground::Ground;
use crate::limits;
use crate::record::{OwnKey, Replay};
use crate::recovery::{Recovery, backoff};
use crate::sink::{Confirmation, Sink, SinkError};

pub use store::{Counts, Place, Request, State, Store, StoreError};

/// What the configuration and the command say about one replay.
#[derive(Clone, Debug)]
pub struct ReplaySettings {
    /// The sink's name.
    pub sink: String,
    /// Records handed over and not confirmed.
    pub max_unconfirmed_records: u64,
    /// Records a second.
    pub rate: Option<u64>,
    /// Which records the sink gets.
    pub select: Select,
    /// How they are encoded for it.
    pub encoder: Encoder,
    /// Our keys by the ids of their principals: an archive does not say which key fetched a log file.
    pub own_keys: Vec<(String, OwnKey)>,
}

/// How a run of a replay ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayEnd {
    /// Everything of the plan is dealt with.
    Done,
    /// Somebody stopped it.
    Stopped,
    /// What is wrong does not pass by itself, or not soon: what, and the next step if there is one.
    GivenUp(String, Option<String>),
}

/// A place, and how many records were met up to there.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    place: Place,
    sightings: u64,
}

/// A replay under way.
pub struct Replayer {
    ground: Ground,
    stop: CancellationToken,
    settings: ReplaySettings,
    source: Arc<dyn Source>,
    sink: Box<dyn Sink>,
    store: Store,
    /// As far as it is confirmed.
    state: State,
    feed: Feed,
    /// Behind all that was handed over.
    at: Mark,
    /// Where each batch that is handed over and not confirmed ends, oldest first.
    handed: VecDeque<Mark>,
    /// Failures in a row.
    tries: u32,
    /// Failures in a row to read the log file that is next.
    reads: u32,
    /// What was handed over was lost, and nothing confirmed since.
    unproven: bool,
    shown: watch::Sender<Place>,
}

impl Replayer {
    /// Goes on with what the state says, which is held by `store`; `sink` was opened with its memory.
    pub fn new(
        ground: Ground,
        stop: CancellationToken,
        settings: ReplaySettings,
        source: Arc<dyn Source>,
        sink: Box<dyn Sink>,
        (store, state, plan): (Store, State, Vec<Arc<PlanFile>>),
    ) -> Self {
        let feed = settings.feed(source.clone(), &state, plan);
        let (at, shown) = (Mark { place: state.place, sightings: 0 }, watch::Sender::new(state.place));
        Self {
            ground,
            stop,
            settings,
            source,
            sink,
            store,
            state,
            feed,
            at,
            handed: VecDeque::new(),
            tries: 0,
            reads: 0,
            unproven: false,
            shown,
        }
    }

    /// How far it is, for people who watch.
    pub fn progress(&self) -> watch::Receiver<Place> {
        self.shown.subscribe()
    }

    /// Delivers until all is done, or somebody stops it, or it cannot go on; answers how far it is.
    pub async fn run(mut self) -> Result<(ReplayEnd, State), StoreError> {
        let end = match self.work().await {
            Ok(()) => {
                self.state.ended_at = Some(self.ground.clock.now().to_string());
                block_in_place(|| self.store.end(&self.state))?;
                return Ok((ReplayEnd::Done, self.state));
            }
            Err(Halt::Stopping) => ReplayEnd::Stopped,
            Err(Halt::GivenUp(what, hint)) => ReplayEnd::GivenUp(what, hint),
            Err(Halt::Store(error)) => return Err(error),
        };
        // What the sink can still confirm need not be sent again.
        match timeout(limits::STOP_CONFIRM, self.settle()).await {
            Ok(Err(CommitError::Store(error))) => return Err(error),
            Ok(Err(CommitError::Sink(_))) | Err(_) if !self.handed.is_empty() => {
                warn!(
                    "not all was confirmed before the end, the rest is sent once more when this is gone on with"
                );
            }
            _ => {}
        }
        Ok((end, self.state))
    }

    async fn work(&mut self) -> Result<(), Halt> {
        let stop = self.stop.clone();
        let place = self.state.place;
        if place != Place::default() {
            stop.run_until_cancelled(self.feed.recall(place)).await.ok_or(Halt::Stopping)?;
            self.at.sightings = self.feed.seen.total();
        }
        self.feed.start(place.file, place.offset);
        let mut portion = None;
        let mut due = Instant::now() + limits::COMMIT_INTERVAL;
        loop {
            if stop.is_cancelled() {
                return Err(Halt::Stopping);
            }
            if self.sink.wants_commit() || Instant::now() >= due || self.is_crowded(portion.as_ref()) {
                // After a loss, what is in hand comes again.
                if self.commit().await? {
                    portion = None;
                }
                due = Instant::now() + limits::COMMIT_INTERVAL;
                if self.is_crowded(portion.as_ref()) {
                    self.wait(limits::CONFIRM_LOOK).await?;
                }
                continue;
            }
            if portion.is_none() {
                let fed = tokio::select! {
                    fed = self.feed.next() => fed,
                    () = sleep_until(due) => continue,
                    () = stop.cancelled() => return Err(Halt::Stopping),
                };
                match fed {
                    Fed::Portion(next) => (portion, self.reads) = (Some(next), 0),
                    Fed::Failed(what) => self.cannot_read(&what).await?,
                    Fed::End if self.is_done() => return Ok(()),
                    Fed::End => {
                        self.commit().await?;
                        if !self.is_done() {
                            self.wait(limits::CONFIRM_LOOK).await?;
                        }
                    }
                }
                continue;
            }
            portion = self.deliver(portion).await?;
        }
    }

    fn is_done(&self) -> bool {
        self.handed.is_empty()
            && self.state.place == self.at.place
            && self.feed.file(self.at.place.file).is_none()
    }

    /// Whether something has to be confirmed before this can be handed over.
    fn is_crowded(&self, portion: Option<&Portion>) -> bool {
        let next = portion.map_or(0, |portion| portion.batch.ends.len() as u64);
        let unconfirmed = self.at.place.counts.delivered - self.state.place.counts.delivered;
        unconfirmed > 0 && next > 0 && unconfirmed + next > self.settings.max_unconfirmed_records
    }

    /// Hands a portion over; gives it back when it has to be handed over again.
    async fn deliver(&mut self, portion: Option<Portion>) -> Result<Option<Portion>, Halt> {
        let Some(mut portion) = portion else { return Ok(None) };
        let records = portion.batch.ends.len() as u64;
        if records > 0 {
            match hand_over(self.sink.as_mut(), &portion.batch, false, &self.stop).await {
                Ok(()) => {}
                Err(TryError::Sink(error)) => {
                    if self.bury(&error, &mut portion)? {
                        return Ok(Some(portion));
                    }
                    let lost = error.lost;
                    self.suffer(error).await?;
                    return Ok(Some(portion).filter(|_| !lost));
                }
                Err(_) => return Err(Halt::Stopping),
            }
        }
        let (file, offset) = portion.end;
        let mut counts = self.at.place.counts;
        counts.add(portion.counts);
        counts.delivered += records;
        self.at = Mark { place: Place { file, offset, counts }, sightings: portion.sightings };
        if records > 0 {
            self.handed.push_back(self.at);
            self.recovered();
            self.pace(records).await;
        }
        self.shown.send_replace(self.at.place);
        Ok(None)
    }

    /// Notes the record an error names, if it names one, and takes it out.
    fn bury(&mut self, failed: &SinkError, portion: &mut Portion) -> Result<bool, Halt> {
        let Recovery::DeadLetter { record, answer } = &failed.recovery else { return Ok(false) };
        let Some((offset, about)) = portion.take_out(*record) else { return Ok(false) };
        let reason = bury::reason(&failed.message, answer);
        block_in_place(|| self.store.bury(&about, offset, &reason)).map_err(Halt::Store)?;
        error!(sink = self.settings.sink, record = about.id, error = %failed, "a record was refused for good");
        self.feed.dead.insert((portion.file, offset));
        Ok(true)
    }

    /// An archive that answers otherwise will not give this file: it is passed over. One that does not is away.
    async fn cannot_read(&mut self, what: &str) -> Result<(), Halt> {
        let Place { file, offset, .. } = self.at.place;
        if self.reads < limits::REPLAY_READS {
            warn!(error = what, "a log file cannot be read, it is tried again");
            let delay = backoff(self.reads, limits::SINK_RETRY_MIN, limits::SINK_RETRY_MAX);
            self.reads += 1;
            self.wait(self.ground.jitter(delay)).await?;
            self.feed.start(file, offset);
            return Ok(());
        }
        if let Err(away) = self.source.list(MANIFESTS, None).await {
            return Err(Halt::GivenUp(format!("the archive does not answer: {away}"), None));
        }
        error!(
            error = what,
            "a log file is missing or damaged, what could not be read of it is not delivered"
        );
        self.reads = 0;
        let counts = Counts { unread: self.at.place.counts.unread + 1, ..self.at.place.counts };
        self.at.place = Place { file: file + 1, offset: 0, counts };
        self.feed.start(file + 1, 0);
        Ok(())
    }

    /// A stop ends the wait, and is seen before the next batch.
    async fn pace(&self, records: u64) {
        if let Some(rate) = self.settings.rate {
            let wait = Duration::from_secs_f64(records as f64 / rate as f64);
            self.stop.run_until_cancelled(sleep(wait)).await;
        }
    }

    async fn wait(&self, time: Duration) -> Result<(), Halt> {
        self.stop.run_until_cancelled(sleep(time)).await.ok_or(Halt::Stopping)
    }

    /// Commits what is confirmed; whether something was lost, so that it comes again.
    async fn commit(&mut self) -> Result<bool, Halt> {
        let mut lost = false;
        loop {
            match self.commit_once().await {
                Ok(()) => {
                    self.recovered();
                    return Ok(lost);
                }
                Err(CommitError::Sink(error)) => {
                    lost |= error.lost;
                    self.suffer(error).await?;
                }
                Err(CommitError::Store(error)) => return Err(Halt::Store(error)),
            }
        }
    }

    /// Confirm, then keep, then tell the sink.
    async fn commit_once(&mut self) -> Result<(), CommitError> {
        let Confirmation { batches, memory } = self.sink.confirm().await?;
        let batches = batches.min(self.handed.len());
        let mark = match batches.checked_sub(1) {
            // What was passed behind the last batch waits for nothing.
            _ if batches == self.handed.len() => Some(self.at),
            Some(last) => Some(self.handed[last]),
            None => None,
        };
        let place = mark.map_or(self.state.place, |mark| mark.place);
        if (place, &memory) != (self.state.place, &self.state.memory) {
            let reached = self.ground.points.reach("confirmed");
            reached.map_err(|error| SinkError::new(error.to_string(), Recovery::Fatal))?;
            let state = State { place, memory, ..self.state.clone() };
            block_in_place(|| self.store.save(&state))?;
            self.state = state;
            self.unproven &= batches == 0;
            self.feed.dead = self.feed.dead.split_off(&(place.file, place.offset));
            self.sink.committed().await?;
        }
        self.handed.drain(..batches);
        if let Some(mark) = mark {
            self.feed.seen.settle(mark.sightings);
        }
        Ok(())
    }

    /// Commits until everything that was handed over is confirmed.
    async fn settle(&mut self) -> Result<(), CommitError> {
        self.commit_once().await?;
        while !self.handed.is_empty() {
            sleep(limits::CONFIRM_LOOK).await;
            self.commit_once().await?;
        }
        Ok(())
    }

    /// A sink that takes everything and confirms nothing is in trouble all the same.
    fn recovered(&mut self) {
        if !self.unproven {
            self.tries = 0;
        }
    }

    /// Takes back what was lost, and waits before the next try.
    async fn suffer(&mut self, trouble: SinkError) -> Result<(), Halt> {
        if trouble.lost {
            self.unproven = true;
            self.handed.clear();
            self.feed.rewind(self.state.place);
            self.at = Mark { place: self.state.place, sightings: self.feed.seen.total() };
        }
        let verdict = Verdict::on(&self.settings.sink, &trouble, self.tries);
        if verdict.ends_a_run(self.tries) {
            return Err(Halt::GivenUp(trouble.message, verdict.hint));
        }
        self.tries += 1;
        self.wait(self.ground.jitter(verdict.delay)).await
    }
}

/// What a replay would do, reading and encoding all of it and sending nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rehearsal {
    /// As they would be.
    pub counts: Counts,
    /// By event type: records that would be delivered, and their bytes as the sink would get them.
    pub by_type: BTreeMap<String, (u64, u64)>,
    /// Log files that are missing or damaged.
    pub unread: Vec<String>,
}

/// Counts what a replay would deliver.
pub async fn rehearse(
    settings: ReplaySettings,
    source: Arc<dyn Source>,
    state: &State,
    plan: Vec<Arc<PlanFile>>,
) -> Rehearsal {
    let mut feed = settings.feed(source, state, plan);
    let (mut seen, mut file) = (Rehearsal::default(), 0);
    feed.start(file, 0);
    loop {
        match feed.next().await {
            Fed::Portion(portion) => {
                seen.counts.add(portion.counts);
                seen.counts.delivered += portion.batch.ends.len() as u64;
                for (record, about) in portion.batch.records().zip(&portion.batch.about) {
                    let of_type = seen.by_type.entry(about.origin.event_type.clone()).or_default();
                    *of_type = (of_type.0 + 1, of_type.1 + record.len() as u64);
                }
                feed.seen.settle(portion.sightings);
                file = portion.end.0;
            }
            Fed::Failed(what) => {
                seen.counts.unread += 1;
                seen.unread.push(what);
                file += 1;
                feed.start(file, 0);
            }
            Fed::End => return seen,
        }
    }
}

impl ReplaySettings {
    fn feed(&self, source: Arc<dyn Source>, state: &State, plan: Vec<Arc<PlanFile>>) -> Feed {
        let maker = Maker {
            encoder: self.encoder.clone(),
            select: self.select.clone(),
            own_keys: self.own_keys.clone(),
            replay: Replay { id: state.id.clone(), at: state.began_at.clone() },
            origins: Mutex::default(),
        };
        let most = self.max_unconfirmed_records.min(self.rate.map_or(u64::MAX, |rate| rate.div_ceil(4)));
        let matcher = Arc::new(Matcher::new(state.request.query.clone()));
        Feed::new(source, matcher, Arc::new(maker), plan, usize::try_from(most).unwrap_or(usize::MAX))
    }
}

impl Counts {
    /// All that matched, whatever became of it.
    pub fn matched(&self) -> u64 {
        self.delivered + self.repeats + self.deselected + self.dead_letters
    }

    fn add(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.repeats += other.repeats;
        self.deselected += other.deselected;
        self.dead_letters += other.dead_letters;
        self.untimed += other.untimed;
        self.unseen += other.unseen;
        self.files += other.files;
        self.unread += other.unread;
        self.bytes += other.bytes;
    }
}

/// Why work ended early.
enum Halt {
    Stopping,
    GivenUp(String, Option<String>),
    Store(StoreError),
}

#[derive(Debug, thiserror::Error)]
enum CommitError {
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
