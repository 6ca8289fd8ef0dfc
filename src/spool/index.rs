//! Where each record of a spool file lies.
//!
//! Fixed entries, little endian: offset u64, length u32, line u32, flags u32, sha256.

use std::io::{self, Read, Seek, SeekFrom};

use crate::record::RawRecord;
use crate::record::reader::{Cut, Shape};

/// Bytes of one entry.
pub const ENTRY_BYTES: usize = 52;

const HAS_EVENT_ID: u32 = 4;
const SHAPE: u32 = 3;

/// One record of a spool file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From the start of the file.
    pub offset: u64,
    /// Without the line end.
    pub length: u32,
    /// From 1.
    pub line: u32,
    /// What the reader made of it.
    pub shape: Shape,
    /// It names itself, so it can be a repeat.
    pub has_event_id: bool,
    /// Of its bytes.
    pub sha256: [u8; 32],
}

impl Entry {
    pub(super) fn of(cut: &Cut) -> io::Result<Self> {
        let narrow = |value: u64| {
            u32::try_from(value)
                .map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, "log file over 4 GiB"))
        };
        Ok(Self {
            offset: cut.offset,
            length: narrow(cut.length)?,
            line: narrow(cut.line)?,
            shape: cut.shape,
            has_event_id: cut.event_id.is_some(),
            sha256: cut.sha256,
        })
    }

    /// The record, whose bytes these are; its event id is told only where it goes by reference.
    pub fn record<'a>(&self, bytes: &'a [u8], event_id: Option<&'a str>) -> RawRecord<'a> {
        RawRecord {
            bytes,
            shape: self.shape,
            offset: self.offset,
            length: self.length.into(),
            line: self.line.into(),
            sha256: self.sha256,
            event_id,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let shape = match self.shape {
            Shape::Object => 0,
            Shape::Malformed => 1,
            Shape::Oversized => 2,
        };
        let flags: u32 = shape | if self.has_event_id { HAS_EVENT_ID } else { 0 };
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.line.to_le_bytes());
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&self.sha256);
    }

    pub(super) fn read(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let flags = word(16);
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(&bytes[20..]);
        Self {
            offset: u64::from(word(0)) | u64::from(word(4)) << 32,
            length: word(8),
            line: word(12),
            shape: match flags & SHAPE {
                0 => Shape::Object,
                1 => Shape::Malformed,
                _ => Shape::Oversized,
            },
            has_event_id: flags & HAS_EVENT_ID != 0,
            sha256,
        }
    }
}

/// Reads the entry of record `record`.
pub(super) fn read_at(index: &mut (impl Read + Seek + ?Sized), record: u64) -> io::Result<Entry> {
    let mut bytes = [0; ENTRY_BYTES];
    index.seek(SeekFrom::Start(record * ENTRY_BYTES as u64))?;
    index.read_exact(&mut bytes)?;
    Ok(Entry::read(&bytes))
}
