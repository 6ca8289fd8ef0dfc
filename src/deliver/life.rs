//! The life of one record, as ledger and spool have it: where it lies, its copies, and what each sink did.
//!
//! Only looks. A record is looked for in the spool's indexes, which stay for a while after the log files they are
//! of; an older one is found by its log file's id alone.

use std::collections::HashSet;
use std::io;

use jiff::Timestamp;

use crate::archive::Wanted;
use crate::ledger::{FileLife, LedgerError, LetterRow, Position, SinkRow, Viewer};
use crate::record::reader::Shape;
use crate::record::{Origin, OwnKey, Record, id};
use crate::spool::{Earlier, Entry, FileReader, Repeats, Spool};
use crate::words::{Principal, PrincipalKind};

/// A place where the record lies.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Its log file.
    pub file: FileLife,
    /// The place in the spool.
    pub position: Position,
    /// Our id of it.
    pub id: String,
    /// Line in the file, from 1.
    pub line: u64,
    /// First byte in it.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Of these.
    pub sha256: [u8; 32],
    /// The latest earlier copy lies in the file at this place in the spool.
    pub repeats: Option<u64>,
}

/// What a sink did with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The sink began behind it.
    Before,
    /// It got an earlier copy, in the file at this place.
    Repeat(u64),
    /// It can never take it.
    DeadLetter {
        /// Since when.
        at: String,
        /// Why.
        reason: String,
    },
    /// Its `select`, as it is now, does not ask for it.
    Deselected,
    /// It confirmed it.
    Confirmed,
    /// It is past it, and whether its `select` asked for it is not known without the record.
    Passed,
    /// It has not come to it yet.
    Waiting,
}

/// Why nothing could be told.
#[derive(Debug, thiserror::Error)]
pub enum LifeError {
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The spool could not.
    #[error("spool file {sequence} cannot be read: {source}")]
    Spool {
        /// Which file.
        sequence: u64,
        /// Why.
        source: io::Error,
    },
    /// Not even its folder.
    #[error("the spool cannot be listed: {0}")]
    Folder(io::Error),
}

/// Every place where the record lies, in the order of the spool; a place that is asked for comes first.
pub fn copies(viewer: &Viewer, spool: &Spool, wanted: &Wanted) -> Result<Vec<Copy>, LifeError> {
    let id = match wanted {
        Wanted::Id(id) => id.clone(),
        Wanted::Place { file_id, offset } => {
            let mut found = None;
            for file in viewer.file_lives(file_id)? {
                each(spool, &file, |_, entry| {
                    found = found.take().or_else(|| (entry.offset == *offset).then(|| id_of(&file, entry)));
                })?;
            }
            let Some(id) = found else { return Ok(Vec::new()) };
            id
        }
    };
    let sequences = match spool.sequences() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => HashSet::new(),
        listed => listed.map_err(LifeError::Folder)?,
    };
    let mut sequences: Vec<u64> = sequences.into_iter().collect();
    sequences.sort_unstable();
    let mut copies = Vec::new();
    for sequence in sequences {
        let Some(file) = viewer.file_life(sequence)? else { continue };
        let repeats = Repeats::decode(sequence, &file.repeats);
        each(spool, &file, |record, entry| {
            if id_of(&file, entry) == id {
                copies.push(Copy {
                    file: file.clone(),
                    position: Position { sequence, record },
                    id: id.clone(),
                    line: entry.line.into(),
                    offset: entry.offset,
                    length: entry.length.into(),
                    sha256: entry.sha256,
                    repeats: match repeats.get(record) {
                        Some(Earlier::Same(copy)) => Some(copy),
                        _ => None,
                    },
                });
            }
        })?;
    }
    if let Wanted::Place { file_id, offset } = wanted {
        copies.sort_by_key(|copy| copy.file.file_id != *file_id || copy.offset != *offset);
    }
    Ok(copies)
}

/// Goes through the index of a file, if there still is one.
fn each(spool: &Spool, file: &FileLife, see: impl FnMut(u64, &Entry)) -> Result<(), LifeError> {
    let Some(sequence) = file.sequence else { return Ok(()) };
    match spool.entries(sequence, see) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(LifeError::Spool { sequence, source }),
        _ => Ok(()),
    }
}

fn id_of(file: &FileLife, entry: &Entry) -> String {
    if entry.has_event_id {
        id::by_content(&file.principal, &file.event_type, &entry.sha256)
    } else {
        id::by_place(&file.file_id, entry.offset)
    }
}

impl Copy {
    /// Shows the record itself; none when the spool holds its log file no more.
    pub fn record<T>(
        &self,
        spool: &Spool,
        see: impl FnOnce(&Record<'_>) -> T,
    ) -> Result<Option<T>, LifeError> {
        let Position { sequence, record } = self.position;
        let read = || {
            let mut reader = FileReader::open(spool, sequence, self.file.records, record)?;
            let next = reader.peek()?.filter(|next| next.shape == Shape::Oversized && next.has_event_id);
            let event_id = if next.is_some() { reader.event_id()? } else { None };
            let Some((entry, bytes)) = reader.next()? else { return io::Result::Ok(None) };
            let raw = entry.record(bytes, event_id.as_deref());
            Ok(Some(see(&Record::parse(&self.origin(), raw))))
        };
        let seen: io::Result<Option<T>> = read();
        match seen {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(LifeError::Spool { sequence, source })
            }
            seen => Ok(seen.ok().flatten()),
        }
    }

    fn origin(&self) -> Origin {
        let file = &self.file;
        let kind = PrincipalKind::parse(&file.principal_kind).unwrap_or(PrincipalKind::Workspace);
        let fetched = file.fetched_at.as_deref().and_then(|text| text.parse().ok());
        Origin {
            principal: Principal { kind, id: file.principal.clone() },
            event_type: file.event_type.clone(),
            file_id: file.file_id.clone(),
            file_sha256: file.sha256.unwrap_or_default(),
            observed: fetched.unwrap_or(Timestamp::UNIX_EPOCH),
            own_key: file.fetched_with.as_deref().and_then(OwnKey::parse),
        }
    }

    /// What a sink did with this copy. `selected` says whether its `select` asks for it, if that is known; an archive
    /// takes whole log files.
    pub fn fate(&self, sink: &SinkRow, archive: bool, letters: &[LetterRow], selected: Option<bool>) -> Fate {
        let letter =
            letters.iter().find(|letter| letter.sink == sink.name && letter.position == self.position);
        if self.position.sequence < sink.start {
            return Fate::Before;
        }
        if let Some(letter) = letter {
            return Fate::DeadLetter { at: letter.at.clone(), reason: letter.reason.clone() };
        }
        if self.position >= sink.position {
            return Fate::Waiting;
        }
        match (self.repeats.filter(|copy| *copy >= sink.start), selected) {
            _ if archive => Fate::Confirmed,
            (Some(copy), _) => Fate::Repeat(copy),
            (None, Some(true)) => Fate::Confirmed,
            (None, Some(false)) => Fate::Deselected,
            (None, None) => Fate::Passed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Counts;

    fn copy(sequence: u64, record: u64, repeats: Option<u64>) -> Copy {
        let file = FileLife {
            principal_kind: "workspace".into(),
            principal: "w".into(),
            event_type: "CODEX_LOG".into(),
            file_id: "f".into(),
            end_time: String::new(),
            end_at: 0,
            listed_at: 0,
            state: "spooled".into(),
            sha256: None,
            sequence: Some(sequence),
            fetched_at: None,
            fetched_with: None,
            bytes: 0,
            records: 9,
            repeats: Vec::new(),
            removed: false,
            attempts: 0,
            trouble: None,
        };
        let (id, position) = (String::new(), Position { sequence, record });
        Copy { file, position, id, line: 1, offset: 0, length: 2, sha256: [0; 32], repeats }
    }

    #[test]
    fn a_fate_follows_from_the_position() {
        let sink = SinkRow {
            name: "out".into(),
            kind: "file".into(),
            guarantee: "durable".into(),
            start: 3,
            position: Position { sequence: 5, record: 2 },
            memory: None,
            counts: Counts::default(),
            state: "ok".into(),
            last_error: None,
            hint: None,
            records_pending: 0,
            files_pending: 0,
            oldest_pending: None,
        };
        let letter = |name: &str| LetterRow {
            id: 1,
            sink: name.into(),
            position: Position { sequence: 5, record: 1 },
            record_id: String::new(),
            principal: String::new(),
            event_type: String::new(),
            at: "then".into(),
            reason: "why".into(),
            retry: false,
        };
        let letters = [letter("other"), letter("out")];
        let dead = Fate::DeadLetter { at: "then".into(), reason: "why".into() };
        for (copy, selected, fate, archived) in [
            (copy(2, 8, None), Some(true), Fate::Before, Fate::Before),
            (copy(5, 0, None), Some(true), Fate::Confirmed, Fate::Confirmed),
            (copy(5, 0, None), Some(false), Fate::Deselected, Fate::Confirmed),
            (copy(5, 0, None), None, Fate::Passed, Fate::Confirmed),
            (copy(5, 0, Some(3)), Some(true), Fate::Repeat(3), Fate::Confirmed),
            // The sink began behind the earlier copy, so this is its first.
            (copy(5, 0, Some(2)), Some(true), Fate::Confirmed, Fate::Confirmed),
            (copy(5, 1, None), Some(true), dead.clone(), dead),
            (copy(5, 2, None), Some(true), Fate::Waiting, Fate::Waiting),
            (copy(6, 0, Some(5)), Some(true), Fate::Waiting, Fate::Waiting),
        ] {
            assert_eq!(copy.fate(&sink, false, &letters, selected), fate, "{:?}", copy.position);
            assert_eq!(copy.fate(&sink, true, &letters, selected), archived, "{:?}", copy.position);
        }
    }
}
