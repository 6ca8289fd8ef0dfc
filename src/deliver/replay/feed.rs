//! From an archive to batches: reads, leaves out, encodes, in the order of the plan.
//!
//! Log files are read and records encoded on several threads at once; what comes out depends on the plan and the
//! place it begins at alone, so going on after a crash gives the same bytes. Never ahead of what is asked for by
//! more than a few bounded parts (see [`Finding`]).

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tracing::warn;

use super::seen::{Key, Seen};
use super::store::{Counts, Place};
use crate::archive::find::{Finding, Matcher, Piece, PlanFile, Tally};
use crate::archive::verify::Source;
use crate::format::{Encoder, Select};
use crate::limits;
use crate::record::{OwnKey, Record, Replay};
use crate::sink::{About, Batch, Origin};

/// How records become what the sink gets.
pub(super) struct Maker {
    pub(super) encoder: Encoder,
    pub(super) select: Select,
    /// By the ids of their principals.
    pub(super) own_keys: Vec<(String, OwnKey)>,
    pub(super) replay: Replay,
    /// What sinks may tell of a file, while it is read.
    pub(super) origins: Origins,
}

/// Where the records of a file come from, and when it was fetched; by the name of its object.
type Origins = Mutex<HashMap<String, (Arc<Origin>, Arc<str>)>>;

/// A record that matches.
struct Made {
    key: Key,
    /// Where it lies.
    offset: u64,
    /// None when the sink does not select it.
    taken: Option<(Vec<u8>, About)>,
}

/// The next records of one log file.
#[derive(Default)]
pub(super) struct Portion {
    /// Those that go out.
    pub(super) batch: Batch,
    /// Where each of these lies.
    pub(super) offsets: Vec<u64>,
    /// What became of the others, and what was read.
    pub(super) counts: Counts,
    /// Which file of the plan.
    pub(super) file: usize,
    /// Behind the last record: the next file and where in it.
    pub(super) end: (usize, u64),
    /// Of [`Seen`], up to here; before the first record while it is made.
    pub(super) sightings: u64,
}

/// What comes next.
pub(super) enum Fed {
    Portion(Portion),
    /// The log file at the place is missing or damaged, or the archive is away.
    Failed(String),
    End,
}

/// See the module.
pub(super) struct Feed {
    source: Arc<dyn Source>,
    matcher: Arc<Matcher>,
    maker: Arc<Maker>,
    plan: Vec<Arc<PlanFile>>,
    /// Records a portion may have.
    most: usize,
    finding: Finding<Option<Made>>,
    /// The file that is read.
    file: usize,
    making: Portion,
    /// When it ends, seconds since 1970.
    time: u32,
    /// What did not fit any more.
    next: Option<Made>,
    /// The file failed behind what was given.
    failed: Option<String>,
    pub(super) seen: Seen,
    /// Records the sink can never take.
    pub(super) dead: BTreeSet<(usize, u64)>,
}

impl Feed {
    /// From the beginning of a plan.
    pub(super) fn new(
        source: Arc<dyn Source>,
        matcher: Arc<Matcher>,
        maker: Arc<Maker>,
        plan: Vec<Arc<PlanFile>>,
        most: usize,
    ) -> Self {
        let finding = Finding::start(&source, Vec::new(), &matcher, |_, _| None);
        Self {
            source,
            matcher,
            maker,
            plan,
            most,
            finding,
            file: 0,
            time: 0,
            next: None,
            failed: None,
            making: Portion::default(),
            seen: Seen::default(),
            dead: BTreeSet::new(),
        }
    }

    pub(super) fn file(&self, at: usize) -> Option<&Arc<PlanFile>> {
        self.plan.get(at)
    }

    /// Begins at a place again; what was met behind it was not.
    pub(super) fn rewind(&mut self, place: Place) {
        self.seen.take_back();
        self.start(place.file, place.offset);
    }

    /// Reads on from there, whatever was met before.
    pub(super) fn start(&mut self, file: usize, offset: u64) {
        let (maker, files) = (self.maker.clone(), self.plan[file.min(self.plan.len())..].to_vec());
        let first = files.first().map(|file| file.key.clone());
        let make = move |file: &PlanFile, record: Record<'_>| {
            let passed = record.raw.offset < offset && first.as_ref() == Some(&file.key);
            (!passed).then(|| maker.make(file, record))
        };
        self.finding = Finding::start(&self.source, files, &self.matcher, make);
        (self.next, self.failed) = (None, None);
        self.stand_at(file);
        let sightings = self.seen.total();
        self.making = Portion { file, end: (file, offset), sightings, ..Portion::default() };
    }

    fn stand_at(&mut self, file: usize) {
        self.file = file;
        self.time = self.plan.get(file).map_or(0, |file| time_of(file));
    }

    /// Learns what an earlier process met before this place, as far as it still matters.
    pub(super) async fn recall(&mut self, place: Place) {
        let last = place.file.min(self.plan.len().saturating_sub(1));
        let Some(end) = self.plan.get(last).map(|file| time_of(file)) else { return };
        let recent =
            |file: &&Arc<PlanFile>| i64::from(end.saturating_sub(time_of(file))) <= limits::REPEAT_WINDOW;
        let files: Vec<_> = self.plan[..=last].iter().filter(recent).cloned().collect();
        let standing = self.plan.get(place.file).map(|file| file.key.clone());
        let make = move |file: &PlanFile, record: Record<'_>| {
            let ahead = standing.as_ref() == Some(&file.key) && record.raw.offset >= place.offset;
            (!ahead).then(|| key_of(&record.id))
        };
        let mut finding = Finding::start(&self.source, files, &self.matcher, make);
        while let Some((file, piece)) = finding.next().await {
            match piece {
                Piece::Found(Some(key)) => drop(self.seen.note(key, time_of(&file))),
                Piece::Failed(what) => warn!(error = what, "its records may be delivered once more"),
                Piece::Found(None) | Piece::Done(_) => {}
            }
        }
        self.seen.settle(self.seen.total());
    }

    /// The next portion. Dropped half-way, it goes on where it was.
    pub(super) async fn next(&mut self) -> Fed {
        if let Some(what) = self.failed.take() {
            return Fed::Failed(what);
        }
        loop {
            let piece = match self.next.take() {
                Some(made) => Piece::Found(Some(made)),
                None => match self.finding.next().await {
                    Some((_, piece)) => piece,
                    None => return Fed::End,
                },
            };
            match piece {
                Piece::Found(None) => {}
                Piece::Found(Some(made)) => {
                    if self.is_full(&made) {
                        self.next = Some(made);
                        return Fed::Portion(self.take());
                    }
                    self.add(made);
                }
                Piece::Done(tally) => {
                    self.making.count(tally);
                    self.stand_at(self.file + 1);
                    self.making.end = (self.file, 0);
                    return Fed::Portion(self.take());
                }
                Piece::Failed(what) if self.making.sightings == self.seen.total() => {
                    return Fed::Failed(what);
                }
                Piece::Failed(what) => {
                    self.failed = Some(what);
                    return Fed::Portion(self.take());
                }
            }
        }
    }

    fn is_full(&self, made: &Made) -> bool {
        let batch = &self.making.batch;
        let length = made.taken.as_ref().map_or(0, |(bytes, _)| bytes.len());
        batch.ends.len() >= self.most
            || !batch.ends.is_empty() && batch.bytes.len() + length > limits::BATCH_BYTES
    }

    fn add(&mut self, made: Made) {
        let Made { key, offset, taken } = made;
        let making = &mut self.making;
        making.end = (self.file, offset + 1);
        if self.seen.note(key, self.time) {
            making.counts.repeats += 1;
        } else if self.dead.contains(&(self.file, offset)) {
            making.counts.dead_letters += 1;
        } else if let Some((bytes, about)) = taken {
            making.batch.bytes.extend_from_slice(&bytes);
            making.batch.close(about);
            making.offsets.push(offset);
        } else {
            making.counts.deselected += 1;
        }
    }

    fn take(&mut self) -> Portion {
        let (end, sightings) = (self.making.end, self.seen.total());
        let fresh = Portion { file: self.file, end, sightings, ..Portion::default() };
        Portion { sightings, ..mem::replace(&mut self.making, fresh) }
    }
}

impl Portion {
    /// Takes a record out that the sink can never take; where it lies, and what it is.
    pub(super) fn take_out(&mut self, record: usize) -> Option<(u64, About)> {
        let end = *self.batch.ends.get(record)?;
        let start = record.checked_sub(1).map_or(0, |before| self.batch.ends[before]);
        self.batch.bytes.drain(start..end);
        self.batch.ends.remove(record);
        for later in &mut self.batch.ends[record..] {
            *later -= end - start;
        }
        self.counts.dead_letters += 1;
        Some((self.offsets.remove(record), self.batch.about.remove(record)))
    }

    fn count(&mut self, tally: Tally) {
        self.counts.files += 1;
        self.counts.bytes += tally.bytes;
        self.counts.untimed += tally.untimed;
        self.counts.unseen += tally.unseen;
    }
}

impl Maker {
    fn make<'a>(&'a self, file: &PlanFile, mut record: Record<'a>) -> Made {
        let (key, offset) = (key_of(&record.id), record.raw.offset);
        let ours = self.own_keys.iter().filter(|(principal, _)| *principal == file.principal);
        record.self_poll = ours.into_iter().any(|(_, key)| record.is_by(key));
        if !self.select.takes(&record) {
            return Made { key, offset, taken: None };
        }
        record.replay = Some(&self.replay);
        let (origin, observed) = self.origin(file, &record);
        let mut bytes = Vec::with_capacity(record.raw.bytes.len() * 2 + 1024);
        let tell = |shown: &Record<'_>| About::of(shown, &observed, &origin);
        let about = self.encoder.encode_and(&record, &mut bytes, tell);
        Made { key, offset, taken: Some((bytes, about)) }
    }

    /// The same for all records of a file.
    fn origin(&self, file: &PlanFile, record: &Record<'_>) -> (Arc<Origin>, Arc<str>) {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = origins.get(&file.key) {
            return known.clone();
        }
        if origins.len() >= limits::FIND_IN_FLIGHT {
            origins.clear();
        }
        let origin = Origin {
            principal: file.principal.clone(),
            event_type: file.event_type.clone(),
            file_id: file.file_id.clone(),
        };
        let made = (Arc::new(origin), record.origin.observed.to_string().into());
        origins.entry(file.key.clone()).or_insert(made).clone()
    }
}

/// Our id of a record, shorter.
fn key_of(id: &str) -> Key {
    let digits = u128::from_str_radix(id, 16);
    digits.map_or([0; 16], u128::to_be_bytes)
}

/// When a log file ends, seconds since 1970.
fn time_of(file: &PlanFile) -> u32 {
    let time = file.end_time.parse::<Timestamp>().map_or(0, Timestamp::as_second);
    u32::try_from(time).unwrap_or(0)
}
