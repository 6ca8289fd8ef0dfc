//! Records: cut from log files, named, and seen as fields.
//!
//! Pure and synchronous. Owns the reader, the ids and the native view of a record. Never drops a byte
//! silently: what is no JSON object becomes a `malformed` record, what does not fit a field stays in
//! `unmapped` with a warning.

pub mod id;
pub mod json;
pub mod map;
pub mod native;
pub mod reader;
pub mod time;

use std::fmt;

use jiff::Timestamp;

use crate::words::Principal;
use reader::Shape;

pub use native::Record;

/// What is known of the log file a record comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Whose stream.
    pub principal: Principal,
    /// The stream's event type.
    pub event_type: String,
    /// The log file's id upstream.
    pub file_id: String,
    /// Hash of the verbatim file.
    pub file_sha256: [u8; 32],
    /// When the file was fetched.
    pub observed: Timestamp,
    /// The key it was fetched with, to recognise our own requests.
    pub own_key: Option<OwnKey>,
}

/// What marks a record that is delivered again out of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Which replay.
    pub id: String,
    /// When it began, RFC 3339, UTC.
    pub at: String,
}

/// An API key as upstream shows it: its first three and last four characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnKey {
    /// First three characters.
    pub start: String,
    /// Last four characters.
    pub end: String,
}

impl OwnKey {
    /// The recognisable part of a key; `None` for one too short to have any.
    pub fn of(key: &str) -> Option<Self> {
        let characters: Vec<char> = key.chars().collect();
        (characters.len() >= 12).then(|| Self {
            start: characters[..3].iter().collect(),
            end: characters[characters.len() - 4..].iter().collect(),
        })
    }

    /// Reads back what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (start, end) = text.split_once('…')?;
        Some(Self { start: start.to_owned(), end: end.to_owned() })
    }

    /// Whether a redacted id shows this key.
    pub fn matches(&self, redacted: &str) -> bool {
        redacted.starts_with(&self.start) && redacted.ends_with(&self.end)
    }
}

impl fmt::Display for OwnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…{}", self.start, self.end)
    }
}

/// One record as it was cut.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Its bytes without line end; none when it goes by reference.
    pub bytes: &'a [u8],
    /// What the reader made of it.
    pub shape: Shape,
    /// First byte in the file, from 0.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Line in the file, from 1.
    pub line: u64,
    /// Hash of its bytes.
    pub sha256: [u8; 32],
    /// For a record that goes by reference: its event id, as a JSON token.
    pub event_id: Option<&'a str>,
}

impl<'a> RawRecord<'a> {
    /// An object that is all of its log file.
    pub fn alone(bytes: &'a [u8], sha256: [u8; 32]) -> Self {
        let length = bytes.len() as u64;
        Self { bytes, shape: Shape::Object, offset: 0, length, line: 1, sha256, event_id: None }
    }
}
