//! Reads a log file as it streams by, and says what a manifest says of it.
//!
//! The same code runs when an object is made and when it is verified, so both see the same records. Memory is
//! that of the record reader.

use std::io::{self, Read};

use super::merkle::Merkle;
use crate::digest::Sha256;
use crate::record::reader::Reader;
use crate::record::time;

/// What was seen of a log file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// Its length.
    pub bytes: u64,
    /// Its hash.
    pub sha256: [u8; 32],
    /// Its records.
    pub records: u64,
    /// Merkle root whose leaf data are the records' SHA-256.
    pub record_root: [u8; 32],
    /// Time of its oldest record, UTC.
    pub oldest_event: Option<String>,
    /// Of its newest.
    pub newest_event: Option<String>,
}

/// Counts and hashes what is read through it.
pub struct Measured<R> {
    inner: R,
    sum: Sha256,
    length: u64,
}

impl<R> Measured<R> {
    /// Nothing was read yet.
    pub fn new(inner: R) -> Self {
        Self { inner, sum: Sha256::new(), length: 0 }
    }

    /// How much was read, and its hash.
    pub fn finish(self) -> (u64, [u8; 32]) {
        (self.length, self.sum.finish())
    }
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(window)?;
        self.sum.update(&window[..count]);
        self.length += count as u64;
        Ok(count)
    }
}

/// Reads to the end.
pub fn inspect(content: impl Read) -> io::Result<Inspected> {
    let mut content = Measured::new(content);
    let mut tree = Merkle::default();
    let (mut oldest, mut newest) = (None, None);
    let mut records = Reader::new(&mut content);
    while let Some(cut) = records.next()? {
        tree.push(&cut.sha256);
        let Some(time) = cut.timestamp.as_deref().and_then(time::to_utc) else { continue };
        if oldest.as_deref().is_none_or(|oldest| moment(&time) < moment(oldest)) {
            oldest = Some(time.clone());
        }
        if newest.as_deref().is_none_or(|newest| moment(&time) > moment(newest)) {
            newest = Some(time);
        }
    }
    let (bytes, sha256) = content.finish();
    let (records, record_root) = (tree.leaves(), tree.root());
    Ok(Inspected { bytes, sha256, records, record_root, oldest_event: oldest, newest_event: newest })
}

/// Without the `Z`, which sorts behind a fraction, the order of the texts is that of time.
fn moment(time: &str) -> &str {
    time.trim_end_matches('Z')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;

    #[test]
    fn a_log_file_is_counted_hashed_and_dated() {
        let lines = [
            r#"{"timestamp":"2026-07-15T10:48:58.5Z","n":1}"#,
            r#"{"timestamp":"2026-07-15T12:48:58+02:00"}"#,
            r#"{"inner":{"timestamp":"2020-01-01T00:00:00Z"}}"#,
            "no json",
        ];
        let content = lines.join("\n");
        let seen = inspect(content.as_bytes()).unwrap();
        let mut tree = Merkle::default();
        for line in lines {
            tree.push(&sha256(line.as_bytes()));
        }
        assert_eq!((seen.records, seen.record_root), (4, tree.root()));
        assert_eq!((seen.bytes, seen.sha256), (content.len() as u64, sha256(content.as_bytes())));
        assert_eq!(seen.oldest_event.as_deref(), Some("2026-07-15T10:48:58Z"));
        assert_eq!(seen.newest_event.as_deref(), Some("2026-07-15T10:48:58.5Z"));
        let empty = inspect(&b""[..]).unwrap();
        assert_eq!((empty.records, empty.oldest_event), (0, None));
    }
}
