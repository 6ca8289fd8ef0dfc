//! Turns spool records into batches of encoded bytes.
//!
//! A batch is a pure function of the spool, the ledger's file rows and the position it begins at, so
//! a retry sends the same bytes. Repeats are left out where the sink has a copy.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use jiff::Timestamp;

use crate::digest;
use crate::format::{Encoder, Select};
use crate::ledger::{Counts, FileFacts, Ledger, LedgerError, Position, StreamId};
use crate::limits;
use crate::record::map::Warning;
use crate::record::reader::Shape;
use crate::record::{Origin, OwnKey, Record};
use crate::sink::{self, About, Batch};
use crate::spool::{Earlier, FileReader, Repeats, Spool};
use crate::words::Principal;

/// A file that is being delivered.
struct Current {
    facts: FileFacts,
    origin: Arc<Origin>,
    /// The same, as a sink may tell it.
    shown: Arc<sink::Origin>,
    observed: Arc<str>,
    repeats: Repeats,
    reader: FileReader,
}

/// Why no batch could be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum FillError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("spool file {sequence} cannot be read: {source}")]
    Spool { sequence: u64, source: io::Error },
    #[error("spool file {0} has to come back from an archive")]
    Dropped(u64),
}

/// Why filling ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The batch is full.
    Full,
    /// The spool holds no more for now.
    Dry,
    /// The next record is to be handled alone, under the permit for big ones.
    Big,
}

/// Reads on behalf of one sink.
pub(super) struct Filler {
    ledger: Ledger,
    spool: Spool,
    encoder: Arc<Encoder>,
    /// None takes everything, as archives do.
    select: Option<Select>,
    /// Copies in files before this one never reached the sink.
    start: u64,
    streams: HashMap<StreamId, (Principal, String)>,
    current: Option<Current>,
    /// The next record, and what became of those before it.
    pub(super) place: Place,
    /// Records the sink can never take.
    pub(super) dead: BTreeSet<Position>,
    /// Where the records of the batch in hand lie.
    pub(super) taken: Vec<Position>,
    /// Files that were begun and are not confirmed, and when each came to the spool, seconds.
    pub(super) opened: VecDeque<(u64, i64)>,
}

/// A place in the spool, and what became of the records before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) position: Position,
    pub(super) counts: Counts,
}

impl Filler {
    pub(super) fn new(
        ledger: Ledger,
        spool: Spool,
        encoder: Arc<Encoder>,
        select: Option<Select>,
        start: u64,
        place: Place,
    ) -> Self {
        let streams = HashMap::new();
        let (dead, taken, opened) = (BTreeSet::new(), Vec::new(), VecDeque::new());
        Self { ledger, spool, encoder, select, start, streams, current: None, place, dead, taken, opened }
    }

    /// Goes back to a place; what was read beyond it is read again.
    pub(super) fn rewind(&mut self, place: Place) {
        (self.place, self.current) = (place, None);
        self.opened.retain(|(sequence, _)| *sequence < place.position.sequence);
    }

    /// Changes whenever another configuration would give the sink something else.
    pub(super) fn settings(&self) -> String {
        let text = format!("{} {:?}", self.encoder.settings(), self.select);
        digest::hex(&digest::sha256(text.as_bytes()))[..16].to_owned()
    }

    /// One record as the sink gets it now, whatever became of it before: an empty batch where `select` leaves it
    /// out by now, `None` where the spool does not hold it any more.
    pub(super) async fn alone(&mut self, position: Position) -> Result<Option<Batch>, FillError> {
        let place = Place { position, counts: Counts::default() };
        let (ledger, spool, encoder) = (self.ledger.clone(), self.spool.clone(), self.encoder.clone());
        let mut one = Self::new(ledger, spool, encoder, self.select.clone(), self.start, place);
        let sequence = position.sequence;
        let wrap = |source| FillError::Spool { sequence, source };
        let here = self.spool.disk().length(&self.spool.names(sequence).data).map_err(wrap)?.is_some();
        if !here || !one.open().await? {
            return Ok(None);
        }
        if let Some(current) = &mut one.current {
            // It ends behind this record.
            current.facts.records = position.record + 1;
            current.reader = FileReader::open(&self.spool, sequence, position.record + 1, position.record)
                .map_err(wrap)?;
        }
        let mut batch = Batch::default();
        tokio::task::block_in_place(|| one.take(&mut batch, 1, true)).map_err(wrap)?;
        Ok(Some(batch))
    }

    /// Appends records until the batch is full, the spool is dry, or a big record is next.
    pub(super) async fn fill(&mut self, batch: &mut Batch, most: usize, big: bool) -> Result<End, FillError> {
        loop {
            if self.current.is_none() {
                match self.open().await {
                    Ok(true) => {}
                    Ok(false) => return Ok(End::Dry),
                    // What is at hand goes first.
                    Err(FillError::Dropped(_)) if !batch.ends.is_empty() => return Ok(End::Full),
                    Err(error) => return Err(error),
                }
            }
            let sequence = self.place.position.sequence;
            let end = tokio::task::block_in_place(|| self.take(batch, most, big))
                .map_err(|source| FillError::Spool { sequence, source });
            if end.is_err() {
                self.current = None;
            }
            if let Some(end) = end? {
                return Ok(end);
            }
            self.current = None;
            self.place.position = Position { sequence: self.place.position.sequence + 1, record: 0 };
            if batch.ends.len() >= most {
                return Ok(End::Full);
            }
        }
    }

    async fn open(&mut self) -> Result<bool, FillError> {
        let facts = loop {
            let Some(facts) = self.ledger.file_at(self.place.position.sequence).await? else {
                return Ok(false);
            };
            // Our own audit trail is passed over where it is not named, and counts nowhere.
            let named = self.select.as_ref().is_none_or(Select::names_own_trail);
            if named || !facts.own {
                break facts;
            }
            self.place.position = Position { sequence: facts.sequence + 1, record: 0 };
        };
        let sequence = facts.sequence;
        if facts.dropped {
            return Err(FillError::Dropped(sequence));
        }
        if !self.streams.contains_key(&facts.stream) {
            let row = self.ledger.stream(facts.stream).await?;
            self.streams.insert(facts.stream, (row.principal, row.event_type));
        }
        let (principal, event_type) = self.streams[&facts.stream].clone();
        let origin = Arc::new(Origin {
            own_key: facts.fetched_with.as_deref().and_then(OwnKey::parse),
            principal,
            event_type,
            file_id: facts.file_id.clone(),
            file_sha256: facts.sha256,
            observed: facts.fetched_at.parse().unwrap_or(Timestamp::UNIX_EPOCH),
        });
        if self.opened.back().is_none_or(|(last, _)| *last < sequence) {
            self.opened.push_back((sequence, origin.observed.as_second()));
        }
        let shown = Arc::new(sink::Origin {
            principal: origin.principal.id.clone(),
            event_type: origin.event_type.clone(),
            file_id: origin.file_id.clone(),
        });
        let observed = facts.fetched_at.as_str().into();
        let repeats = Repeats::decode(sequence, &facts.repeats);
        let reader = FileReader::open(&self.spool, sequence, facts.records, self.place.position.record)
            .map_err(|source| FillError::Spool { sequence, source })?;
        self.current = Some(Current { facts, origin, shown, observed, repeats, reader });
        Ok(true)
    }

    /// Takes records of the current file; `None` at its end.
    fn take(&mut self, batch: &mut Batch, most: usize, big: bool) -> io::Result<Option<End>> {
        let Some(current) = &mut self.current else { return Ok(None) };
        while let Some(next) = current.reader.peek()? {
            if batch.ends.len() >= most || batch.bytes.len() >= limits::BATCH_BYTES {
                return Ok(Some(End::Full));
            }
            if next.length >= limits::BIG_RECORD_BYTES && !(big && batch.ends.is_empty()) {
                return Ok(Some(if batch.ends.is_empty() { End::Big } else { End::Full }));
            }
            let position = self.place.position;
            let earlier = current.repeats.get(position.record);
            self.place.position.record += 1;
            if matches!(earlier, Some(Earlier::Same(copy)) if copy >= self.start) {
                current.reader.skip()?;
                self.place.counts.repeats += 1;
                continue;
            }
            if self.dead.contains(&position) {
                current.reader.skip()?;
                self.place.counts.dead_letters += 1;
                continue;
            }
            let by_reference = next.shape == Shape::Oversized && next.has_event_id;
            let event_id = if by_reference { current.reader.event_id()? } else { None };
            let Some((entry, bytes)) = current.reader.next()? else { break };
            if entry.shape != Shape::Oversized && digest::sha256(bytes) != entry.sha256 {
                self.place.position = position;
                let problem = format!("record {} is not what was spooled", position.record);
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            let raw = entry.record(bytes, event_id.as_deref());
            let mut record = Record::parse(&current.origin, raw);
            if self.select.as_ref().is_some_and(|select| !select.takes(&record)) {
                self.place.counts.deselected += 1;
                continue;
            }
            self.taken.push(position);
            if earlier == Some(Earlier::Different) {
                let problem = "an earlier record has the same event_id and other content";
                record.warnings.push(Warning { path: "event_id".into(), problem });
            }
            let tell = |shown: &Record<'_>| About::of(shown, &current.observed, &current.shown);
            let about = self.encoder.encode_and(&record, &mut batch.bytes, tell);
            batch.close(about);
            self.place.counts.delivered += 1;
        }
        debug_assert_eq!(self.place.position.record, current.facts.records, "the index and the ledger agree");
        Ok(None)
    }
}
