//! Cuts a log file into records.
//!
//! Line based: LF or CRLF, a byte order mark at the start, blank lines, no last line end. Where a line
//! holds several objects with nothing but blanks between, it is cut between them. Every byte of a line
//! that is not blank belongs to exactly one record, and the cuts never depend on how the bytes arrive.
//! Blank is what JSON calls white space. Memory is one buffer, which grows to the longest line, and to
//! little more than [`MAX_RECORD_BYTES`]; a longer line is hashed while it passes.

use std::io::{self, Read};

use serde_json::value::RawValue;

use super::{RawRecord, json};
use crate::digest::{Sha256, sha256};
use crate::limits::{BIG_BUFFER_BYTES, MAX_RECORD_BYTES, READ_WINDOW};

mod scanner;

pub use scanner::IdScanner;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One JSON object.
    Object,
    /// Anything else.
    Malformed,
    /// Over 16 MiB: it goes by reference.
    Oversized,
}

/// One record, where it lies and what it is.
#[derive(Debug)]
pub struct Cut {
    /// First byte in the file.
    pub offset: u64,
    /// Bytes, without line end.
    pub length: u64,
    /// Line in the file, from 1.
    pub line: u64,
    /// What it is.
    pub shape: Shape,
    /// Hash of its bytes.
    pub sha256: [u8; 32],
    /// Its event id, if it is a string that is not empty.
    pub event_id: Option<String>,
    /// Its top-level `timestamp`, likewise.
    pub timestamp: Option<String>,
}

impl Cut {
    /// The record in its file; its event id is told only where it goes by reference, as the token that
    /// [`Self::reference`] gives.
    pub fn record<'a>(&self, file: &'a [u8], reference: Option<&'a str>) -> RawRecord<'a> {
        let bytes = match (usize::try_from(self.offset), usize::try_from(self.length)) {
            (Ok(start), Ok(length)) => file.get(start..start + length).unwrap_or_default(),
            _ => &[],
        };
        self.of(bytes, reference)
    }

    /// The record, whose bytes these are.
    pub fn of<'a>(&self, bytes: &'a [u8], reference: Option<&'a str>) -> RawRecord<'a> {
        let bytes = if self.shape == Shape::Oversized { &[] } else { bytes };
        RawRecord {
            bytes,
            shape: self.shape,
            offset: self.offset,
            length: self.length,
            line: self.line,
            sha256: self.sha256,
            event_id: reference,
        }
    }

    /// For a record that goes by reference: its event id, as a JSON token.
    pub fn reference(&self) -> Option<String> {
        let id = self.event_id.as_ref().filter(|_| self.shape == Shape::Oversized)?;
        let mut token = Vec::new();
        json::push_text(id, &mut token);
        String::from_utf8(token).ok()
    }
}

/// What a record says of itself.
#[derive(Default)]
struct Says {
    event_id: Option<String>,
    timestamp: Option<String>,
}

/// Reads records one after another.
pub struct Reader<R> {
    input: R,
    buffer: Vec<u8>,
    /// What of the buffer is valid: `start..end`.
    start: usize,
    end: usize,
    offset: u64,
    line: u64,
    finished: bool,
    /// What is left of a line that holds several objects.
    rest: Option<Held>,
}

/// A line in the buffer: its bytes, and those with the line end behind them.
#[derive(Clone, Copy)]
struct Held {
    length: usize,
    with_end: usize,
}

/// A line in the buffer, or one that was too long for it.
enum Line {
    Held(Held),
    Passed(Cut),
}

impl<R: Read> Reader<R> {
    /// Reads from the start of a file.
    pub fn new(input: R) -> Self {
        let buffer = vec![0; READ_WINDOW];
        Self { input, buffer, start: 0, end: 0, offset: 0, line: 0, finished: false, rest: None }
    }

    /// The next record, `None` at the end.
    #[expect(clippy::should_implement_trait, reason = "it can fail, and must not be collected")]
    pub fn next(&mut self) -> io::Result<Option<Cut>> {
        loop {
            let cut = if let Some(rest) = self.rest.take() {
                self.cut_first(rest)
            } else {
                match self.line()? {
                    None => return Ok(None),
                    Some(Line::Passed(cut)) => return Ok(Some(cut)),
                    Some(Line::Held(held)) => self.cut_line(held),
                }
            };
            if cut.is_some() {
                return Ok(cut);
            }
        }
    }

    /// The bytes of the record that was cut last; none of one that goes by reference.
    pub fn bytes(&self, cut: &Cut) -> &[u8] {
        let held = usize::try_from(self.offset - cut.offset).ok().zip(usize::try_from(cut.length).ok());
        let range = held.and_then(|(back, length)| {
            let from = self.start.checked_sub(back)?;
            Some(from..from + length)
        });
        range
            .filter(|_| cut.shape != Shape::Oversized)
            .and_then(|range| self.buffer.get(range))
            .unwrap_or_default()
    }

    /// How much of the file was cut or passed over.
    pub fn position(&self) -> u64 {
        self.offset
    }

    /// Passes over lines without cutting them: `first` says where in some whole lines that one begins which
    /// has to be cut, and none when there is none. A line longer than the window is never passed over.
    pub fn pass_over(&mut self, first: impl Fn(&[u8]) -> Option<usize>) -> io::Result<()> {
        while self.rest.is_none() {
            let held = &self.buffer[self.start..self.end];
            let whole = memchr::memrchr(b'\n', &held[..held.len().min(READ_WINDOW)]);
            let Some(last) = whole else {
                if self.finished || held.len() >= READ_WINDOW {
                    break;
                }
                self.more()?;
                continue;
            };
            let lines = &held[..=last];
            let passed = first(lines).unwrap_or(lines.len());
            let found = passed < lines.len();
            self.line += memchr::memchr_iter(b'\n', &lines[..passed]).count() as u64;
            self.advance(passed);
            if found {
                break;
            }
        }
        Ok(())
    }

    /// Cuts a line that is one record; of another one, the objects follow.
    fn cut_line(&mut self, held: Held) -> Option<Cut> {
        let line = &self.buffer[self.start..self.start + held.length];
        let cut = if line.iter().all(|byte| is_blank(*byte)) {
            None
        } else if let Some(says) = object(line) {
            Some(self.cut(0, held.length, Shape::Object, says))
        } else if std::str::from_utf8(line).is_ok() && objects_may_meet(line) {
            self.rest = Some(held);
            return None;
        } else {
            Some(self.cut(0, held.length, Shape::Malformed, Says::default()))
        };
        self.advance(held.with_end);
        cut
    }

    /// Cuts the first object off the rest of a line; where there is none, the whole rest.
    fn cut_first(&mut self, rest: Held) -> Option<Cut> {
        let line = &self.buffer[self.start..self.start + rest.length];
        let blanks = line.iter().take_while(|byte| is_blank(**byte)).count();
        let mut values = serde_json::Deserializer::from_slice(&line[blanks..]).into_iter::<&RawValue>();
        let first = values.next().and_then(Result::ok).map(|value| value.get().as_bytes());
        let found = first.and_then(|first| Some((blanks + first.len(), object(first)?)));
        let Some((end, says)) = found else {
            let malformed = || self.cut(blanks, rest.length, Shape::Malformed, Says::default());
            let cut = (blanks < rest.length).then(malformed);
            self.advance(rest.with_end);
            return cut;
        };
        let cut = self.cut(blanks, end, Shape::Object, says);
        self.advance(end);
        self.rest = Some(Held { length: rest.length - end, with_end: rest.with_end - end });
        Some(cut)
    }

    /// A record from `from` to `to` behind what was handed out.
    fn cut(&self, from: usize, to: usize, shape: Shape, says: Says) -> Cut {
        let bytes = &self.buffer[self.start + from..self.start + to];
        Cut {
            offset: self.offset + from as u64,
            length: bytes.len() as u64,
            line: self.line,
            shape,
            sha256: sha256(bytes),
            event_id: says.event_id,
            timestamp: says.timestamp,
        }
    }

    fn advance(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }

    /// Finds the next line; counts it.
    fn line(&mut self) -> io::Result<Option<Line>> {
        let mut searched = 0;
        loop {
            let held = &self.buffer[self.start..self.end];
            if self.offset == 0 && held.starts_with(BYTE_ORDER_MARK) {
                self.advance(BYTE_ORDER_MARK.len());
                searched = 0;
                continue;
            }
            let end = memchr::memchr(b'\n', &held[searched..]).map(|at| searched + at);
            searched = held.len();
            if end.is_none() && self.finished && held.is_empty() {
                return Ok(None);
            }
            let length = without_cr(&held[..end.unwrap_or(held.len())]);
            if length as u64 > MAX_RECORD_BYTES {
                self.line += 1;
                return self.pass().map(|cut| Some(Line::Passed(cut)));
            }
            if end.is_some() || self.finished {
                self.line += 1;
                let with_end = end.map_or(held.len(), |end| end + 1);
                return Ok(Some(Line::Held(Held { length, with_end })));
            }
            self.more()?;
        }
    }

    /// Reads more behind what is held, making room first.
    fn more(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            // Doubling, but never past what the longest record and its line end need.
            let most = usize::try_from(MAX_RECORD_BYTES).unwrap_or(usize::MAX) + READ_WINDOW;
            let wanted = (self.buffer.len() * 2).min(most);
            let room = if wanted > READ_WINDOW * 4 { BIG_BUFFER_BYTES } else { wanted };
            self.buffer.reserve_exact(room - self.buffer.len());
            self.buffer.resize(wanted, 0);
        }
        let count = loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.end += count;
        self.finished = count == 0;
        Ok(())
    }

    /// Lets a line pass that is too long to be held.
    fn pass(&mut self) -> io::Result<Cut> {
        let (offset, mut length, mut hash) = (self.offset, 0_u64, Sha256::new());
        let mut scanner = IdScanner::default();
        // A carriage return is part of the line end only if the line feed follows it.
        let mut held_cr = false;
        loop {
            let held = &self.buffer[self.start..self.end];
            let end = memchr::memchr(b'\n', held);
            let part = &held[..end.unwrap_or(held.len())];
            if held_cr && !part.is_empty() {
                hash.update(b"\r");
                length += 1;
            }
            let keep = if part.is_empty() { 0 } else { without_cr(part) };
            held_cr = if part.is_empty() { held_cr } else { keep < part.len() };
            hash.update(&part[..keep]);
            scanner.feed(&part[..keep]);
            length += keep as u64;
            let taken = part.len() + usize::from(end.is_some());
            self.advance(taken);
            if end.is_some() || self.finished {
                break;
            }
            self.more()?;
        }
        Ok(Cut {
            offset,
            length,
            line: self.line,
            shape: Shape::Oversized,
            sha256: hash.finish(),
            event_id: scanner.event_id(),
            timestamp: None,
        })
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

fn without_cr(line: &[u8]) -> usize {
    line.len() - usize::from(line.last() == Some(&b'\r'))
}

/// JSON's white space.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether a `}` is followed by a `{`, with nothing but blanks between.
fn objects_may_meet(line: &[u8]) -> bool {
    let before = |at: usize| line[..at].iter().rfind(|byte| !is_blank(**byte));
    memchr::memchr_iter(b'{', line).any(|at| before(at) == Some(&b'}'))
}

/// What an object says: of each the first one, if it is a text that is not empty. `None` for no object.
fn object(bytes: &[u8]) -> Option<Says> {
    let tokens = json::first(std::str::from_utf8(bytes).ok()?, ["event_id", "timestamp"])?;
    let [event_id, timestamp] = tokens.map(|token| {
        let token = token.filter(|token| json::is_text(token))?;
        Some(json::text(token).map_or_else(|| token.to_owned(), Into::into))
    });
    Some(Says { event_id, timestamp })
}

#[cfg(test)]
mod tests;
