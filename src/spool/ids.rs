//! Sorted hashes of event ids: what repeats are found by.
//!
//! A list is a sequence of runs; a run holds up to [`RUN`] keys, sorted, each (hash of the event id u64,
//! start of the record's sha256 u64, record u32) little endian. Sorting in runs bounds memory for any
//! file; merging runs of two files reads both once, in order, and writes nothing.

use std::io::{self, BufReader, Read, Write};

use crate::digest;

/// Entries in one run.
pub const RUN: usize = 65_536;
const KEY_BYTES: usize = 20;

/// One record that carries an event id; the order of the fields is the order of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Of the event id.
    pub hash: u64,
    /// The first bytes of the record's sha256.
    pub content: u64,
    /// Its number in the file.
    pub record: u32,
}

impl Key {
    /// The key of record `record`.
    pub fn new(event_id: &str, sha256: &[u8; 32], record: u32) -> Self {
        Self { hash: start(&digest::sha256(event_id.as_bytes())), content: start(sha256), record }
    }
}

fn start(digest: &[u8]) -> u64 {
    digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Collects keys and writes them in sorted runs.
pub struct IdsWriter<W> {
    out: W,
    run: Vec<Key>,
}

impl<W: Write> IdsWriter<W> {
    pub fn new(out: W) -> Self {
        Self { out, run: Vec::new() }
    }

    pub fn push(&mut self, key: Key) -> io::Result<()> {
        self.run.push(key);
        if self.run.len() == RUN { self.end_run() } else { Ok(()) }
    }

    fn end_run(&mut self) -> io::Result<()> {
        self.run.sort_unstable();
        let mut bytes = Vec::with_capacity(self.run.len() * KEY_BYTES);
        for key in self.run.drain(..) {
            bytes.extend_from_slice(&key.hash.to_le_bytes());
            bytes.extend_from_slice(&key.content.to_le_bytes());
            bytes.extend_from_slice(&key.record.to_le_bytes());
        }
        self.out.write_all(&bytes)
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.end_run()?;
        Ok(self.out)
    }
}

/// Reads a list run by run.
pub struct IdsReader<R> {
    input: BufReader<R>,
}

impl<R: Read> IdsReader<R> {
    pub fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(KEY_BYTES * 4096, input) }
    }

    /// Fills `run` with the next run; `false` at the end.
    pub fn next_run(&mut self, run: &mut Vec<Key>) -> io::Result<bool> {
        run.clear();
        let mut bytes = [0; KEY_BYTES];
        while run.len() < RUN {
            match self.input.read_exact(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                result => result?,
            }
            let record = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
            run.push(Key { hash: start(&bytes), content: start(&bytes[8..]), record });
        }
        Ok(!run.is_empty())
    }
}
