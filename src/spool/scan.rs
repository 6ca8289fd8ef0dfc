//! One pass over a finished download: cut it into records, write index and ids, make all durable.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use super::Names;
use super::ids::{IdsWriter, Key};
use super::index::Entry;
use crate::disk::{Disk, DiskFile, PRIVATE_FILE};
use crate::limits;
use crate::record::reader::{Reader, Shape};

/// What a log file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Records.
    pub records: u64,
    /// Of these, no JSON objects.
    pub malformed: u64,
}

/// Length of the longest line in bytes, its end included: what cutting the file will need memory for.
pub fn longest_line(data: &mut dyn DiskFile) -> io::Result<u64> {
    data.seek(SeekFrom::Start(0))?;
    let mut window = vec![0; limits::READ_WINDOW];
    let (mut at, mut start, mut longest) = (0, 0, 0);
    loop {
        let count = data.read(&mut window)?;
        for end in memchr::memchr_iter(b'\n', &window[..count]) {
            let next = at + end as u64 + 1;
            longest = longest.max(next - start);
            start = next;
        }
        at += count as u64;
        if count == 0 {
            return Ok(longest.max(at - start));
        }
    }
}

/// Cuts the downloaded file into records and makes data, index and ids durable.
///
/// An error means that nothing of it may be used: the caller discards the names and fetches again.
pub fn scan(disk: &dyn Disk, mut data: Box<dyn DiskFile>, names: &Names) -> io::Result<Scanned> {
    data.seek(SeekFrom::Start(0))?;
    let mut index = BufWriter::with_capacity(64 * 1024, disk.create(&names.index, PRIVATE_FILE)?);
    let mut ids = IdsWriter::new(BufWriter::with_capacity(64 * 1024, disk.create(&names.ids, PRIVATE_FILE)?));
    let mut scanned = Scanned::default();
    let mut bytes = Vec::new();
    let mut reader = Reader::new(&mut data);
    while let Some(cut) = reader.next()? {
        bytes.clear();
        Entry::of(&cut)?.write(&mut bytes);
        index.write_all(&bytes)?;
        if let (Some(event_id), Ok(record)) = (&cut.event_id, u32::try_from(scanned.records)) {
            ids.push(Key::new(event_id, &cut.sha256, record))?;
        }
        scanned.records += 1;
        scanned.malformed += u64::from(cut.shape == Shape::Malformed);
    }
    drop(reader);
    data.sync_data()?;
    index.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
    ids.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
    Ok(scanned)
}
