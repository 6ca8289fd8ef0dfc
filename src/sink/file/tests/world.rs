//! A world that plays the worker and the ledger: it delivers numbered records in batches of any size, commits
//! position and memory together, and after a crash begins again from what was committed. After each step a
//! reader looks at every file: what it saw before must still be there.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use tempfile::TempDir;

use super::super::config::FileConfig;
use super::super::rotate::Name;
use super::super::sink::FileSink;
use crate::clock::ManualClock;
use crate::disk::{Disk, DiskFile, Entry, RealDisk};
use crate::ground::{Ground, Points};
use crate::sink::{Batch, Sink, SinkError};
/// What a test may let go wrong.
#[derive(Debug)]
pub(super) struct Faults {
    /// Bytes that may still be written.
    pub(super) room: AtomicU64,
    pub(super) sync_fails: AtomicBool,
    /// Points that pass before one fails.
    pub(super) points: AtomicU64,
}

impl Default for Faults {
    fn default() -> Self {
        let never = || AtomicU64::new(u64::MAX);
        Self { room: never(), sync_fails: AtomicBool::default(), points: never() }
    }
}

impl Points for Faults {
    fn reach(&self, name: &'static str) -> io::Result<()> {
        let left = self.points.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::Error::other(name));
        }
        self.points.store(left - u64::from(left != u64::MAX), Ordering::Relaxed);
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct FaultyDisk(Arc<Faults>);

pub(super) struct FaultyFile(Box<dyn DiskFile>, Arc<Faults>);

impl Disk for FaultyDisk {
    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.create(path, mode)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open(path)
    }
    fn open_or_create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FaultyFile(RealDisk.open_or_create(path, mode)?, self.0.clone())))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename_new(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(()) // what a power cut takes is played by the tests, so nothing waits for a real disk
    }
    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        RealDisk.create_folder(path, mode)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        RealDisk.list(path)
    }
    fn folders(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.folders(path)
    }
    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        RealDisk.length(path)
    }
}

impl Read for FaultyFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Seek for FaultyFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.1.room.load(Ordering::Relaxed);
        let count = bytes.len().min(usize::try_from(room).unwrap());
        if count == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        let count = self.0.write(&bytes[..count])?;
        self.1.room.store(room.saturating_sub(count as u64), Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl DiskFile for FaultyFile {
    fn sync_data(&mut self) -> io::Result<()> {
        let fails = self.1.sync_fails.swap(false, Ordering::Relaxed);
        if fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
    fn set_access(&mut self, mode: u32, group: Option<u32>) -> io::Result<()> {
        self.0.set_access(mode, group)
    }
}

/// One record in one of two encodings.
pub(super) fn record(number: usize, format: &str) -> String {
    format!("{{\"n\":{number},\"as\":\"{format}\",\"text\":\"{}\"}}\n", "x".repeat(number * 7 % 23))
}

pub(super) fn batch(from: usize, count: usize, format: &str) -> Batch {
    let mut batch = Batch::default();
    for number in from..from + count {
        batch.bytes.extend_from_slice(record(number, format).as_bytes());
        batch.ends.push(batch.bytes.len());
    }
    batch
}

pub(super) struct World {
    pub(super) folder: TempDir,
    pub(super) faults: Arc<Faults>,
    pub(super) clock: ManualClock,
    pub(super) config: Arc<FileConfig>,
    pub(super) format: &'static str,
    pub(super) sink: FileSink,
    /// Records handed over, and what the ledger holds.
    pub(super) delivered: usize,
    pub(super) committed: (usize, Option<Vec<u8>>),
    pub(super) seen: Mutex<HashMap<u64, Vec<u8>>>,
    /// The most records ever handed over; after damage, the reader looks again when all of them are back.
    pub(super) peak: usize,
    pub(super) blind_until: usize,
    /// Half a line in the other encoding cannot be completed: the reader looks at whole lines.
    pub(super) other_format: bool,
}

impl World {
    pub(super) fn new(keys: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("directory = '{}'\n{keys}", folder.path().display());
        let config: Arc<FileConfig> = Arc::new(toml::from_str(&text).unwrap());
        let (faults, clock) =
            (Arc::default(), ManualClock::new(Timestamp::from_second(1_764_000_000).unwrap()));
        let sink = FileSink::new(ground(&faults, &clock), config.clone(), None, "a".into());
        Self {
            folder,
            faults,
            clock,
            config,
            format: "a",
            sink,
            delivered: 0,
            committed: (0, None),
            seen: Mutex::default(),
            peak: 0,
            blind_until: 0,
            other_format: false,
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("custodex.jsonl")
    }

    pub(super) async fn deliver(&mut self, count: usize) -> Result<(), SinkError> {
        if self.sink.wants_commit() {
            self.commit().await?;
        }
        let batch = batch(self.delivered, count, self.format);
        self.peak = self.peak.max(self.delivered + count);
        let result = self.sink.deliver(&batch).await;
        self.look();
        result?;
        self.delivered += count;
        self.other_format &= self.delivered < self.peak;
        Ok(())
    }

    pub(super) async fn commit(&mut self) -> Result<(), SinkError> {
        let memory = self.sink.confirm().await?.memory;
        self.look();
        if self.committed != (self.delivered, Some(memory.clone())) {
            self.committed = (self.delivered, Some(memory));
            self.sink.committed().await?;
        }
        assert!(!self.sink.wants_commit(), "one commit is enough");
        self.look();
        Ok(())
    }

    /// Commits until a rotation is known, and waits until all rotated files were cared for.
    pub(super) async fn care(&mut self) {
        for _ in 0..3 {
            self.commit().await.unwrap();
            self.sink.kept().await;
        }
    }

    pub(super) fn restart(&mut self) {
        self.faults.points.store(u64::MAX, Ordering::Relaxed);
        self.faults.room.store(u64::MAX, Ordering::Relaxed);
        self.faults.sync_fails.store(false, Ordering::Relaxed);
        let (ground, memory) = (ground(&self.faults, &self.clock), self.committed.1.clone());
        self.sink = FileSink::new(ground, self.config.clone(), memory, self.format.into());
        self.delivered = self.committed.0;
    }

    /// What the folder held beyond the committed length is lost or damaged, as after a power cut.
    pub(super) fn tear(&mut self, kind: Tear, at: u16) {
        let memory: Option<serde_json::Value> =
            self.committed.1.as_ref().map(|memory| serde_json::from_slice(memory).unwrap());
        let Some(memory) = memory.filter(|memory| memory["rotation"].is_null()) else { return };
        let Ok(mut bytes) = fs::read(self.path()) else { return };
        let safe = usize::try_from(memory["length"].as_u64().unwrap()).unwrap();
        let from = safe + usize::from(at) % (bytes.len() - safe + 1);
        match kind {
            Tear::Cut => bytes.truncate(from),
            Tear::Zeros => bytes[from..].fill(0),
            Tear::Hole => {
                let to = bytes.len().min(from + 40);
                bytes[from..to].fill(0);
            }
            Tear::Garbage => {
                bytes.truncate(from);
                bytes.extend_from_slice(b"\x01\x02garbage");
            }
        }
        fs::write(self.path(), bytes).unwrap();
        self.blind();
    }

    pub(super) fn blind(&mut self) {
        self.seen.lock().unwrap().clear();
        self.blind_until = self.peak + 1;
    }

    /// The reader: what it saw in a file is still there.
    pub(super) fn look(&self) {
        let mut seen = self.seen.lock().unwrap();
        if self.other_format {
            for before in seen.values_mut() {
                before.truncate(memchr::memrchr(b'\n', before).map_or(0, |feed| feed + 1));
            }
        }
        if self.delivered < self.blind_until {
            return;
        }
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let content = fs::read(&path).unwrap();
            let before = seen.entry(fs::metadata(&path).unwrap().ino()).or_default();
            assert!(content.starts_with(before), "{} changed what was there", path.display());
            *before = content;
        }
    }

    /// Rotated files in order, and the active one.
    pub(super) fn content(&self) -> String {
        let mut names: Vec<_> = self.rotated();
        names.sort_by_key(|name| name.number);
        let mut text = String::new();
        for name in names {
            let part = fs::read_to_string(self.folder.path().join(name.to_string())).unwrap();
            assert!(part.ends_with('\n'), "{name} ends within a record");
            text.push_str(&part);
        }
        text + &fs::read_to_string(self.path()).unwrap_or_default()
    }

    pub(super) fn rotated(&self) -> Vec<Name> {
        let entries = RealDisk.list(self.folder.path()).unwrap();
        entries.iter().filter_map(|entry| Name::parse(&entry.name)).collect()
    }

    pub(super) fn assert_once(&self) {
        let content = self.content();
        let lines: Vec<_> = content.split_inclusive('\n').collect();
        for (number, line) in lines.iter().enumerate() {
            assert!(*line == record(number, "a") || *line == record(number, "b"), "line {number}: {line:?}");
        }
        assert_eq!(lines.len(), self.delivered);
    }
}

pub(super) fn ground(faults: &Arc<Faults>, clock: &ManualClock) -> Ground {
    let mut ground = Ground::real();
    ground.disk = Arc::new(FaultyDisk(faults.clone()));
    ground.points = faults.clone();
    ground.clock = Arc::new(clock.clone());
    ground
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Tear {
    Cut,
    Zeros,
    Hole,
    Garbage,
}
