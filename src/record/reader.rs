//! Cuts a log file into records.
//!
//! Line based: LF or CRLF, a byte order mark at the start, blank lines, no last line end. Where a line
//! may hold several objects with nothing between, it is cut between them. Every byte of a line that
//! is not blank belongs to exactly one record. Memory is one buffer, which grows to the longest line,
//! and to no more than [`MAX_RECORD_BYTES`]; a longer line is hashed while it passes.

use std::io::{self, Read};

use serde_json::value::RawValue;

use super::json;
use crate::digest::{Sha256, sha256};
use crate::limits::{MAX_RECORD_BYTES, READ_WINDOW};

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
    /// Cuts of the current line that were not handed out.
    waiting: Vec<Cut>,
}

/// A line in the buffer, or one that was too long for it.
enum Line {
    Held { length: usize, with_end: usize },
    Passed(Cut),
}

impl<R: Read> Reader<R> {
    /// Reads from the start of a file.
    pub fn new(input: R) -> Self {
        let buffer = vec![0; READ_WINDOW];
        let waiting = Vec::new();
        Self { input, buffer, start: 0, end: 0, offset: 0, line: 0, finished: false, waiting }
    }

    /// The next record, `None` at the end.
    #[expect(clippy::should_implement_trait, reason = "it can fail, and must not be collected")]
    pub fn next(&mut self) -> io::Result<Option<Cut>> {
        loop {
            if let Some(cut) = self.waiting.pop() {
                return Ok(Some(cut));
            }
            match self.line()? {
                None => return Ok(None),
                Some(Line::Passed(cut)) => return Ok(Some(cut)),
                Some(Line::Held { length, with_end }) => {
                    let line = &self.buffer[self.start..self.start + length];
                    cut_line(line, self.offset, self.line, &mut self.waiting);
                    self.waiting.reverse();
                    self.start += with_end;
                    self.offset += with_end as u64;
                }
            }
        }
    }

    /// Finds the next line; counts it.
    fn line(&mut self) -> io::Result<Option<Line>> {
        let mut searched = 0;
        loop {
            let held = &self.buffer[self.start..self.end];
            if self.offset == 0 && held.starts_with("\u{feff}".as_bytes()) {
                self.start += 3;
                self.offset += 3;
                continue;
            }
            if let Some(at) = memchr::memchr(b'\n', &held[searched..]) {
                let length = searched + at;
                self.line += 1;
                return Ok(Some(Line::Held { length: without_cr(&held[..length]), with_end: length + 1 }));
            }
            searched = held.len();
            if self.finished {
                if held.is_empty() {
                    return Ok(None);
                }
                self.line += 1;
                return Ok(Some(Line::Held { length: without_cr(held), with_end: held.len() }));
            }
            if held.len() as u64 > MAX_RECORD_BYTES {
                self.line += 1;
                return self.pass().map(|cut| Some(Line::Passed(cut)));
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
            // Doubling, but never past what a record may need.
            let most = usize::try_from(MAX_RECORD_BYTES).unwrap_or(usize::MAX) + READ_WINDOW;
            let wanted = (self.buffer.len() * 2).min(most);
            self.buffer.reserve_exact(wanted - self.buffer.len());
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
            self.start += taken;
            self.offset += taken as u64;
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
        })
    }
}

fn without_cr(line: &[u8]) -> usize {
    line.len() - usize::from(line.last() == Some(&b'\r'))
}

/// Cuts one line; several objects only where one object's end meets another's beginning.
fn cut_line(line: &[u8], offset: u64, number: u64, cuts: &mut Vec<Cut>) {
    if line.iter().all(u8::is_ascii_whitespace) {
        return;
    }
    let text = std::str::from_utf8(line).ok();
    let mut push = |start: usize, bytes: &[u8], event_id: Option<Option<String>>| {
        let (shape, event_id) = match event_id {
            _ if bytes.len() as u64 > MAX_RECORD_BYTES => {
                let mut scanner = IdScanner::default();
                scanner.feed(bytes);
                (Shape::Oversized, scanner.event_id())
            }
            Some(event_id) => (Shape::Object, event_id),
            None => (Shape::Malformed, None),
        };
        cuts.push(Cut {
            offset: offset + start as u64,
            length: bytes.len() as u64,
            line: number,
            shape,
            sha256: sha256(bytes),
            event_id,
        });
    };
    let Some(text) = text else { return push(0, line, None) };
    if let Some(event_id) = object(text) {
        return push(0, line, Some(event_id));
    }
    let mut from = 0;
    if objects_may_meet(line) {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
        while let Some(Ok(value)) = values.next() {
            let value = value.get();
            let Some(event_id) = object(value) else { break };
            let end = values.byte_offset();
            push(end - value.len(), value.as_bytes(), Some(event_id));
            from = end;
        }
    }
    let rest = &text[from..];
    let rest = if from == 0 { rest } else { rest.trim_ascii_start() };
    if !rest.trim_ascii().is_empty() {
        push(text.len() - rest.len(), rest.as_bytes(), None);
    }
}

/// Whether a `}` is followed by a `{`, with nothing but blanks between.
fn objects_may_meet(line: &[u8]) -> bool {
    memchr::memchr_iter(b'{', line).skip(1).any(|at| line[..at].trim_ascii_end().last() == Some(&b'}'))
}

/// The event id of an object; `None` when it is none.
#[expect(clippy::option_option, reason = "no object, no id, an id are three things")]
fn object(text: &str) -> Option<Option<String>> {
    if !text.trim_ascii_start().starts_with('{') {
        return None;
    }
    let members = json::members(text)?;
    Some(event_id(&members))
}

/// The first `event_id` of an object, if it is a string that is not empty.
pub fn event_id(members: &[json::Member<'_>]) -> Option<String> {
    let (_, value) = members.iter().find(|(key, _)| json::text(key).as_deref() == Some("event_id"))?;
    json::is_text(value).then(|| json::text(value).map_or_else(|| (*value).to_owned(), Into::into))
}

/// Finds the `event_id` of an object that is not held, byte by byte.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the scanner is a state machine of independent flags")]
pub struct IdScanner {
    depth: u32,
    in_text: bool,
    escaped: bool,
    /// The last text on the top level, while it can still be a key or an id.
    token: Vec<u8>,
    after_key: bool,
    found: Option<String>,
    over: bool,
}

/// An event id longer than this is none that anybody would look for.
const MAX_ID_BYTES: usize = 4096;

impl IdScanner {
    /// Looks at more bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.over {
            return;
        }
        for &byte in bytes {
            if self.in_text {
                self.text_byte(byte);
            } else {
                match byte {
                    b'"' => {
                        self.in_text = true;
                        self.token.clear();
                    }
                    b'{' | b'[' => {
                        self.depth += 1;
                        self.after_key = false;
                    }
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    b':' if self.depth == 1 => self.after_key = self.token == b"event_id",
                    b',' => self.after_key = false,
                    _ => {}
                }
            }
            if self.over {
                return;
            }
        }
    }

    fn text_byte(&mut self, byte: u8) {
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.in_text = false;
            if self.depth == 1 && self.after_key {
                self.over = true;
                let token = [b"\"", self.token.as_slice(), b"\""].concat();
                let text = String::from_utf8(token).ok();
                self.found = text.filter(|text| json::is_text(text));
            }
            return;
        }
        if self.depth == 1 && self.token.len() < MAX_ID_BYTES {
            self.token.push(byte);
        }
    }

    /// The id found, unescaped where it can be.
    pub fn event_id(self) -> Option<String> {
        self.found.map(|token| json::text(&token).map_or_else(|| token.clone(), Into::into))
    }

    /// The id found, as a JSON token.
    pub fn token(self) -> Option<String> {
        self.found
    }
}
