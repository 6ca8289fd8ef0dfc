//! Reads the records of a spool file in order, through one window that slides over it.

use std::io::{self, Read, Seek, SeekFrom};

use super::index::{ENTRY_BYTES, Entry};
use super::{Names, Spool};
use crate::disk::DiskFile;
use crate::limits;
use crate::record::reader::{IdScanner, Shape};

/// Index entries read at a time.
const ENTRIES: usize = 1024;

impl Spool {
    /// Shows the entry of each record of a file, with its number; the log file itself may be gone.
    pub fn entries(&self, sequence: u64, mut see: impl FnMut(u64, &Entry)) -> io::Result<()> {
        let mut index = self.disk().open(&self.names(sequence).index)?;
        let mut window = Vec::with_capacity(ENTRIES * ENTRY_BYTES);
        let mut record = 0;
        loop {
            window.clear();
            index.as_mut().take((ENTRIES * ENTRY_BYTES) as u64).read_to_end(&mut window)?;
            for bytes in window.as_chunks::<ENTRY_BYTES>().0 {
                see(record, &Entry::read(bytes));
                record += 1;
            }
            if window.is_empty() {
                return Ok(());
            }
        }
    }
}

/// A spool file being read.
pub struct FileReader {
    data: Box<dyn DiskFile>,
    index: Box<dyn DiskFile>,
    entries: std::vec::IntoIter<Entry>,
    left: u64,
    pub(super) window: Vec<u8>,
    window_start: u64,
}

impl FileReader {
    /// Opens the file at `sequence`, which has `records` records, before record `from`.
    pub fn open(spool: &Spool, sequence: u64, records: u64, from: u64) -> io::Result<Self> {
        Self::of(spool, &spool.names(sequence), records, from)
    }

    /// The same for a file under any names.
    pub fn of(spool: &Spool, Names { data, index, .. }: &Names, records: u64, from: u64) -> io::Result<Self> {
        let mut index = spool.disk().open(index)?;
        index.seek(SeekFrom::Start(from * ENTRY_BYTES as u64))?;
        Ok(Self {
            data: spool.disk().open(data)?,
            index,
            entries: Vec::new().into_iter(),
            left: records.saturating_sub(from),
            window: Vec::new(),
            window_start: 0,
        })
    }

    /// The next record's entry, without moving. Memory that a huge record needed is given back here: its
    /// bytes are no longer lent, and nobody knows when the next one is wanted.
    pub fn peek(&mut self) -> io::Result<Option<Entry>> {
        if self.window.capacity() > limits::READ_WINDOW {
            (self.window, self.window_start) = (Vec::new(), 0);
        }
        if self.entries.as_slice().is_empty() && self.left > 0 {
            let count = self.left.min(ENTRIES as u64);
            let mut bytes = vec![0; usize::try_from(count).unwrap_or(ENTRIES) * ENTRY_BYTES];
            self.index.read_exact(&mut bytes)?;
            self.left -= count;
            let entries: Vec<Entry> = bytes.as_chunks::<ENTRY_BYTES>().0.iter().map(Entry::read).collect();
            self.entries = entries.into_iter();
        }
        Ok(self.entries.as_slice().first().copied())
    }

    /// The next record and its bytes; none for one that goes by reference.
    #[expect(clippy::should_implement_trait, reason = "it can fail, and lends its buffer")]
    pub fn next(&mut self) -> io::Result<Option<(Entry, &[u8])>> {
        let Some(entry) = self.peek()? else { return Ok(None) };
        self.entries.next();
        if entry.shape == Shape::Oversized {
            return Ok(Some((entry, &[])));
        }
        let length = entry.length as usize;
        if !self.holds(entry.offset, length) {
            self.load(entry.offset, length)?;
        }
        let start = usize::try_from(entry.offset - self.window_start).unwrap_or(usize::MAX);
        Ok(Some((entry, &self.window[start..start + length])))
    }

    /// The event id of the next record, as a JSON token, for one that goes by reference.
    pub fn event_id(&mut self) -> io::Result<Option<String>> {
        let Some(entry) = self.peek()? else { return Ok(None) };
        let mut scanner = IdScanner::default();
        let mut part = vec![0; limits::READ_WINDOW];
        self.data.seek(SeekFrom::Start(entry.offset))?;
        let mut record = self.data.as_mut().take(entry.length.into());
        while !scanner.is_over() {
            match record.read(&mut part) {
                Ok(0) => break,
                Ok(count) => scanner.feed(&part[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(scanner.token())
    }

    /// Passes the next record without reading it.
    pub fn skip(&mut self) -> io::Result<()> {
        self.peek()?;
        self.entries.next();
        Ok(())
    }

    fn holds(&self, offset: u64, length: usize) -> bool {
        offset >= self.window_start && offset + length as u64 <= self.window_start + self.window.len() as u64
    }

    fn load(&mut self, offset: u64, length: usize) -> io::Result<()> {
        let wanted = length.max(limits::READ_WINDOW);
        self.window.clear();
        let big = wanted >= limits::BIG_RECORD_BYTES as usize;
        self.window.reserve_exact(if big { limits::BIG_BUFFER_BYTES } else { wanted });
        self.data.seek(SeekFrom::Start(offset))?;
        self.data.as_mut().take(wanted as u64).read_to_end(&mut self.window)?;
        self.window_start = offset;
        if self.window.len() < length {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "spool file is shorter than its index"));
        }
        Ok(())
    }
}
