//! The sink against crashes, full disks, failed syncs and other hands.
//!
//! A world plays the worker and the ledger: it delivers numbered records in batches of any size, commits
//! position and memory together, and after a crash begins again from what was committed. After each step a
//! reader looks at every file: what it saw before must still be there. At the end every record is
//! there once, in order.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::config::FileConfig;
use super::rotate::Name;
use super::sink::FileSink;
use crate::clock::ManualClock;
use crate::disk::{Disk, DiskFile, Entry, RealDisk};
use crate::ground::{Ground, Points};
use crate::recovery::Recovery;
use crate::sink::{Batch, Sink, SinkError};

/// What a test may let go wrong.
#[derive(Debug)]
struct Faults {
    /// Bytes that may still be written.
    room: AtomicU64,
    sync_fails: AtomicBool,
    /// Points that pass before one fails.
    points: AtomicU64,
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
struct FaultyDisk(Arc<Faults>);

struct FaultyFile(Box<dyn DiskFile>, Arc<Faults>);

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
fn record(number: usize, format: &str) -> String {
    format!("{{\"n\":{number},\"as\":\"{format}\",\"text\":\"{}\"}}\n", "x".repeat(number * 7 % 23))
}

fn batch(from: usize, count: usize, format: &str) -> Batch {
    let mut batch = Batch::default();
    for number in from..from + count {
        batch.bytes.extend_from_slice(record(number, format).as_bytes());
        batch.ends.push(batch.bytes.len());
    }
    batch
}

struct World {
    folder: TempDir,
    faults: Arc<Faults>,
    clock: ManualClock,
    config: Arc<FileConfig>,
    format: &'static str,
    sink: FileSink,
    /// Records handed over, and what the ledger holds.
    delivered: usize,
    committed: (usize, Option<Vec<u8>>),
    seen: Mutex<HashMap<u64, Vec<u8>>>,
    /// The most records ever handed over; after damage, the reader looks again when all of them are back.
    peak: usize,
    blind_until: usize,
    /// Half a line in the other encoding cannot be completed: the reader looks at whole lines.
    other_format: bool,
}

impl World {
    fn new(keys: &str) -> Self {
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

    fn path(&self) -> PathBuf {
        self.folder.path().join("custodex.jsonl")
    }

    async fn deliver(&mut self, count: usize) -> Result<(), SinkError> {
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

    async fn commit(&mut self) -> Result<(), SinkError> {
        let memory = self.sink.confirm().await?;
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
    async fn care(&mut self) {
        for _ in 0..3 {
            self.commit().await.unwrap();
            self.sink.kept().await;
        }
    }

    fn restart(&mut self) {
        self.faults.points.store(u64::MAX, Ordering::Relaxed);
        self.faults.room.store(u64::MAX, Ordering::Relaxed);
        self.faults.sync_fails.store(false, Ordering::Relaxed);
        let (ground, memory) = (ground(&self.faults, &self.clock), self.committed.1.clone());
        self.sink = FileSink::new(ground, self.config.clone(), memory, self.format.into());
        self.delivered = self.committed.0;
    }

    /// What the folder held beyond the committed length is lost or damaged, as after a power cut.
    fn tear(&mut self, kind: Tear, at: u16) {
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

    fn blind(&mut self) {
        self.seen.lock().unwrap().clear();
        self.blind_until = self.peak + 1;
    }

    /// The reader: what it saw in a file is still there.
    fn look(&self) {
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
    fn content(&self) -> String {
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

    fn rotated(&self) -> Vec<Name> {
        let entries = RealDisk.list(self.folder.path()).unwrap();
        entries.iter().filter_map(|entry| Name::parse(&entry.name)).collect()
    }

    fn assert_once(&self) {
        let content = self.content();
        let lines: Vec<_> = content.split_inclusive('\n').collect();
        for (number, line) in lines.iter().enumerate() {
            assert!(*line == record(number, "a") || *line == record(number, "b"), "line {number}: {line:?}");
        }
        assert_eq!(lines.len(), self.delivered);
    }
}

fn ground(faults: &Arc<Faults>, clock: &ManualClock) -> Ground {
    let mut ground = Ground::real();
    ground.disk = Arc::new(FaultyDisk(faults.clone()));
    ground.points = faults.clone();
    ground.clock = Arc::new(clock.clone());
    ground
}

#[derive(Clone, Copy, Debug)]
enum Tear {
    Cut,
    Zeros,
    Hole,
    Garbage,
}

#[derive(Clone, Debug)]
enum Action {
    Deliver(usize),
    Commit,
    /// Confirmed, and then a crash before the commit.
    ConfirmAndCrash,
    Crash,
    PowerCut(Tear, u16),
    OtherFormat,
    FullDisk(usize, u64),
    SyncFails,
    /// A crash just before the step with this number.
    Point(u64),
    Later(u16),
}

fn action() -> impl Strategy<Value = Action> {
    let tear = prop_oneof![Just(Tear::Cut), Just(Tear::Zeros), Just(Tear::Hole), Just(Tear::Garbage)];
    prop_oneof![
        4 => (1_usize..6).prop_map(Action::Deliver),
        3 => Just(Action::Commit),
        1 => Just(Action::ConfirmAndCrash),
        2 => Just(Action::Crash),
        2 => (tear, any::<u16>()).prop_map(|(tear, at)| Action::PowerCut(tear, at)),
        1 => Just(Action::OtherFormat),
        1 => (1_usize..6, 0_u64..150).prop_map(|(count, room)| Action::FullDisk(count, room)),
        1 => Just(Action::SyncFails),
        2 => (0_u64..5).prop_map(Action::Point),
        1 => (0_u16..5000).prop_map(Action::Later),
    ]
}

async fn act(world: &mut World, action: &Action) {
    match *action {
        Action::Deliver(count) => world.deliver(count).await.unwrap(),
        Action::Commit => world.commit().await.unwrap(),
        Action::ConfirmAndCrash => {
            world.sink.confirm().await.unwrap();
            world.restart();
        }
        Action::Crash => world.restart(),
        Action::PowerCut(tear, at) => {
            world.tear(tear, at);
            world.restart();
        }
        Action::OtherFormat => {
            world.format = if world.format == "a" { "b" } else { "a" };
            world.other_format = true;
            world.restart();
        }
        Action::FullDisk(count, room) => {
            world.faults.room.store(room, Ordering::Relaxed);
            if let Err(error) = world.deliver(count).await {
                assert!(matches!(error.recovery, Recovery::Pause { .. }), "{error:?}");
            }
            world.faults.room.store(u64::MAX, Ordering::Relaxed);
        }
        Action::SyncFails => {
            world.faults.sync_fails.store(true, Ordering::Relaxed);
            if let Err(error) = world.commit().await {
                assert_eq!(error.recovery, Recovery::Retry { after: None });
            }
            world.commit().await.unwrap();
            world.faults.sync_fails.store(false, Ordering::Relaxed);
        }
        Action::Point(left) => {
            world.faults.points.store(left, Ordering::Relaxed);
            let outcome = match world.deliver(3).await {
                Ok(()) => world.commit().await,
                error => error,
            };
            if outcome.is_err() {
                world.restart();
            }
            world.faults.points.store(u64::MAX, Ordering::Relaxed);
        }
        Action::Later(seconds) => world.clock.advance(Duration::from_secs(seconds.into())),
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn every_record_is_there_once(actions in prop::collection::vec(action(), 1..30)) {
        runtime().block_on(async {
            let mut world = World::new("rotate_bytes = '300B'");
            for action in &actions {
                act(&mut world, action).await;
            }
            // What was handed over before the last crash is delivered again, and more.
            world.deliver(200).await.unwrap();
            world.commit().await.unwrap();
            world.assert_once();
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_a_rotation_is_finished() {
    for left in 0..12 {
        let mut world = World::new("rotate_bytes = '100B'");
        world.deliver(2).await.unwrap();
        world.commit().await.unwrap();
        world.faults.points.store(left, Ordering::Relaxed);
        let mut crashed = false;
        for _ in 0..3 {
            if world.deliver(4).await.is_err() || world.commit().await.is_err() {
                crashed = true;
                break;
            }
        }
        assert!(crashed, "there are fewer points than {left}");
        world.restart();
        for count in [1, 5, 2, 9] {
            world.deliver(count).await.unwrap();
        }
        world.commit().await.unwrap();
        world.assert_once();
        assert!(world.rotated().len() >= 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_rename_is_done_before_anything_else() {
    let mut world = World::new("rotate_bytes = '100B'");
    world.deliver(5).await.unwrap();
    world.faults.points.store(1, Ordering::Relaxed);
    assert!(world.commit().await.is_err());
    assert!(world.rotated().is_empty() && world.sink.wants_commit());
    world.faults.points.store(u64::MAX, Ordering::Relaxed);
    world.commit().await.unwrap();
    assert_eq!(world.rotated().len(), 1);
    world.assert_once();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_file_is_rotated_by_age_and_an_empty_one_never() {
    let mut world = World::new("rotate_interval = '1h'");
    world.commit().await.unwrap();
    world.clock.advance(Duration::from_secs(7200));
    world.commit().await.unwrap();
    assert!(world.rotated().is_empty());
    world.deliver(1).await.unwrap();
    world.clock.advance(Duration::from_secs(3599));
    world.commit().await.unwrap();
    assert!(world.rotated().is_empty());
    world.clock.advance(Duration::from_secs(1));
    world.commit().await.unwrap();
    assert_eq!(world.rotated().len(), 1);
    world.assert_once();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_the_ledger_does_not_know_is_put_aside() {
    let mut world = World::new("");
    fs::write(world.path(), "from before\n").unwrap();
    world.deliver(2).await.unwrap();
    world.commit().await.unwrap();
    let [name] = world.rotated()[..] else { panic!("not rotated") };
    assert_eq!(fs::read_to_string(world.folder.path().join(name.to_string())).unwrap(), "from before\n");
    assert_eq!(fs::read_to_string(world.path()).unwrap(), record(0, "a") + &record(1, "a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_others_are_kept() {
    let mut world = World::new("");
    world.deliver(1).await.unwrap();
    world.commit().await.unwrap();
    let mut other = fs::OpenOptions::new().append(true).open(world.path()).unwrap();
    other.write_all(b"not ours\n").unwrap();
    world.deliver(1).await.unwrap();
    other.write_all(b"nor this").unwrap();
    world.blind(); // half a line of others goes
    world.restart();
    world.deliver(3).await.unwrap();
    world.commit().await.unwrap();
    let own = |number| record(number, "a");
    assert_eq!(world.content(), format!("{}not ours\n{}{}{}", own(0), own(1), own(2), own(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_goes_on_after_the_file_was_taken_away_or_shortened() {
    let mut world = World::new("");
    world.deliver(2).await.unwrap();
    world.commit().await.unwrap();
    let moved = world.folder.path().join("moved");
    fs::rename(world.path(), &moved).unwrap();
    world.deliver(1).await.unwrap();
    world.commit().await.unwrap();
    assert_eq!(fs::read_to_string(world.path()).unwrap(), record(2, "a"));
    assert_eq!(fs::read_to_string(&moved).unwrap(), record(0, "a") + &record(1, "a"));

    world.seen.lock().unwrap().clear();
    fs::write(world.path(), "cu").unwrap();
    world.restart();
    world.deliver(1).await.unwrap();
    world.restart();
    world.deliver(2).await.unwrap();
    world.commit().await.unwrap();
    assert_eq!(
        fs::read_to_string(world.path()).unwrap(),
        format!("cu\n{}{}", record(3, "a"), record(4, "a"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_sync_nothing_is_confirmed_that_does_not_read_back() {
    let mut world = World::new("");
    world.deliver(2).await.unwrap();
    world.commit().await.unwrap();
    let safe = fs::metadata(world.path()).unwrap().len();
    world.deliver(2).await.unwrap();
    world.faults.sync_fails.store(true, Ordering::Relaxed);
    assert_eq!(world.commit().await.unwrap_err().recovery, Recovery::Retry { after: None });
    // The kernel threw the dirty pages away.
    let mut bytes = fs::read(world.path()).unwrap();
    bytes[usize::try_from(safe).unwrap()..].fill(0);
    fs::write(world.path(), bytes).unwrap();
    world.blind();
    assert_eq!(world.commit().await.unwrap_err().recovery, Recovery::Fatal);
    assert_eq!(world.committed.0, 2);
    world.restart();
    world.deliver(5).await.unwrap();
    world.commit().await.unwrap();
    world.assert_once();
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_files_are_compressed_and_the_oldest_go() {
    for (packing, ending) in [("zstd", ".zst"), ("gzip", ".gz")] {
        let mut world =
            World::new(&format!("rotate_bytes = '1B'\ncompression = '{packing}'\nkeep_for = '2h'"));
        world.blind_until = usize::MAX; // files go, and their inodes come back
        let (dir, foreign) =
            (world.folder.path().to_owned(), world.folder.path().join("custodex-mine.jsonl"));
        fs::write(&foreign, "mine").unwrap();
        let left = dir.join(format!("custodex-20200101T000000Z-000001.jsonl{ending}.tmp"));
        fs::write(&left, "half").unwrap();
        world.deliver(3).await.unwrap();
        world.care().await;
        let [name] = world.rotated()[..] else { panic!("{:?}", world.rotated()) };
        let bytes = fs::read(dir.join(name.to_string())).unwrap();
        let mut text = String::new();
        match packing {
            "zstd" => text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap(),
            _ => drop(flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap()),
        }
        assert_eq!(text.as_bytes(), batch(0, 3, "a").bytes);
        assert!(!left.try_exists().unwrap());

        world.clock.advance(Duration::from_secs(3 * 3600));
        world.deliver(1).await.unwrap();
        world.care().await;
        assert_eq!(world.rotated().iter().map(|name| name.number).collect::<Vec<_>>(), [2]);
        assert!(foreign.try_exists().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_files_stay_within_their_room() {
    let mut world = World::new("rotate_bytes = '1B'\nkeep_bytes = '150B'");
    world.blind_until = usize::MAX; // files go, and their inodes come back
    for _ in 0..6 {
        world.deliver(1).await.unwrap();
        world.care().await;
    }
    let entries = RealDisk.list(world.folder.path()).unwrap();
    let numbers: Vec<_> = world.rotated().iter().map(|name| name.number).collect();
    assert!(entries.iter().map(|entry| entry.length).sum::<u64>() <= 150);
    assert!(numbers.ends_with(&[5, 6]) && numbers.len() < 6, "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_while_a_rotated_file_is_compressed_loses_nothing() {
    let mut world = World::new("rotate_bytes = '1B'\ncompression = 'gzip'");
    world.blind_until = usize::MAX; // files go, and their inodes come back
    world.deliver(1).await.unwrap();
    world.commit().await.unwrap();
    let name = world.rotated()[0];
    // Both names are there: the crash came before the uncompressed file was removed.
    fs::write(world.folder.path().join(format!("{name}.gz")), "stale").unwrap();
    world.restart();
    world.care().await;
    let bytes = fs::read(world.folder.path().join(format!("{name}.gz"))).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    assert_eq!((text, world.rotated().len()), (record(0, "a"), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn mode_is_what_was_asked_for() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::new("mode = '0664'");
    world.deliver(1).await.unwrap();
    assert_eq!(fs::metadata(world.path()).unwrap().permissions().mode() & 0o7777, 0o664);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_does_not_become_the_rotated_one_that_was_taken_away() {
    let mut world = World::new("rotate_bytes = '100B'");
    world.deliver(5).await.unwrap();
    world.commit().await.unwrap();
    let [name] = world.rotated()[..] else { panic!("not rotated") };
    fs::remove_file(world.folder.path().join(name.to_string())).unwrap();
    world.seen.lock().unwrap().clear();
    world.deliver(1).await.unwrap();
    world.restart();
    world.deliver(2).await.unwrap();
    world.commit().await.unwrap();
    assert_eq!(world.rotated(), []);
    assert_eq!(world.content(), record(5, "a") + &record(6, "a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_file_stays_until_the_ledger_knows_that_it_is_one() {
    let mut world = World::new("rotate_bytes = '1B'\nkeep_bytes = '1B'");
    world.blind_until = usize::MAX; // files go, and their inodes come back
    world.deliver(1).await.unwrap();
    world.commit().await.unwrap();
    world.sink.kept().await;
    assert_eq!(world.rotated().len(), 1);
    world.restart();
    world.sink.confirm().await.unwrap();
    world.sink.kept().await;
    assert_eq!(world.rotated().len(), 1, "a crash here needs it");
    world.care().await;
    assert_eq!((world.rotated().len(), world.committed.0), (0, 1));
}
