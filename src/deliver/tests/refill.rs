//! A full spool, an archive that has its files, and a sink that comes late.

use std::fs;
use std::path::PathBuf;
use std::time::Duration as Keep;

use super::*;
use crate::archive::{LogFile, Packing, Tree, key};
use crate::ground::Points;
use crate::ledger::{Counts, Position, SinkRow};
use crate::net::NetworkConfig;
use crate::sink::ArchiveConfig;
use crate::sink::directory::DirectoryConfig;

/// Files that a full spool keeps here: those the late sink reads next.
const KEPT: u64 = 2;

struct World {
    bench: Bench,
    cleaner: Cleaner,
    late: Arc<Mutex<Script>>,
}

/// Fails at one point, once.
#[derive(Debug)]
struct Trip(Mutex<Option<&'static str>>);

impl Points for Trip {
    fn reach(&self, name: &'static str) -> std::io::Result<()> {
        let mut trip = self.0.lock().unwrap();
        if *trip == Some(name) {
            *trip = None;
            return Err(std::io::Error::other("tripped"));
        }
        Ok(())
    }
}

impl World {
    /// Everything is in the archive, and the late sink has had nothing.
    async fn new() -> Self {
        let mut bench = Bench::new().await;
        bench.shared.spool_max_bytes = 1;
        let archive = bench.folder.path().join("archive");
        for file in 1..=FILES {
            let path = object(&bench, file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content(file)).unwrap();
        }
        let config: DirectoryConfig = toml::from_str(&format!("directory = {archive:?}")).unwrap();
        let reader = config.reader(Ground::real(), &NetworkConfig::default());
        bench.refill = Refill::new(vec![reader], vec!["kept".into()]);
        let ledger = &bench.shared.ledger;
        for name in ["kept", "late"] {
            ledger.enable_sink(name.into(), "t", "durable", SinkStart::Beginning, false).await.unwrap();
        }
        let cleaner = Cleaner::new(bench.shared.clone(), Keep::ZERO, bench.refill.clone());
        let world = Self { bench, cleaner, late: Arc::default() };
        world.archived_to(FILES + 1).await;
        world
    }

    async fn archived_to(&self, sequence: u64) {
        let position = Position { sequence, record: 0 };
        let ledger = &self.bench.shared.ledger;
        ledger.record_position("kept".into(), position, Counts::default(), Vec::new()).await.unwrap();
    }

    fn spooled(&self) -> Vec<u64> {
        let spool = &self.bench.shared.spool;
        (1..=FILES).filter(|file| spool.names(*file).data.try_exists().unwrap()).collect()
    }

    /// The late sink, until it can do no more.
    async fn deliver(&mut self) -> SinkRow {
        let late = self.late.clone();
        self.bench.worker("late", &late, 1000).await.run().await;
        self.bench.row("late").await
    }

    fn bytes(&self) -> u64 {
        Progress::get(&self.bench.shared.progress.spool_bytes)
    }
}

fn object(bench: &Bench, file: u64) -> PathBuf {
    let file_id = format!("f{file}");
    let sha256 = sha256(&content(file));
    let end_time = "2026-11-20T00:00:00Z";
    let file =
        LogFile { principal: "w", event_type: "CODEX_LOG", end_time, file_id: &file_id, sha256: &sha256 };
    bench.folder.path().join("archive").join(key(Tree::Raw, &file, Packing::None))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_lets_archived_files_go_and_a_late_sink_gets_them_back() {
    let mut world = World::new().await;
    world.archived_to(4).await;
    world.cleaner.make_room().await.unwrap();
    assert_eq!(world.spooled(), [1, 2, 4, 5, 6], "only what the archive has, and nobody reads next");
    world.archived_to(FILES + 1).await;
    world.cleaner.make_room().await.unwrap();
    assert_eq!(world.spooled(), [1, 2]);
    assert_eq!(world.bytes(), KEPT * content(1).len() as u64);
    let row = world.deliver().await;
    assert_eq!((row.state.as_str(), row.records_pending), ("ok", 0), "{:?}", row.last_error);
    assert_eq!(world.late.lock().unwrap().lines, all_lines(), "each record once, in order");
    for file in 1..=FILES {
        assert_eq!(fs::read(world.bench.shared.spool.names(file).data).unwrap(), content(file));
    }
    assert_eq!(world.bytes(), FILES * content(1).len() as u64);
    world.cleaner.make_room().await.unwrap();
    assert_eq!((world.spooled(), world.bytes()), (Vec::new(), 0), "what everybody has goes for good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_came_back_stays_until_the_next_one_does() {
    let world = World::new().await;
    world.cleaner.make_room().await.unwrap();
    let (refill, shared) = (&world.bench.refill, &world.bench.shared);
    for (file, spooled) in [(4, [1, 2, 4]), (5, [1, 2, 5]), (5, [1, 2, 5])] {
        refill.bring_back(shared, "late", file).await.unwrap();
        world.cleaner.make_room().await.unwrap();
        assert_eq!(world.spooled(), spooled);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_archive_that_gives_them_back_no_file_goes() {
    let world = World::new().await;
    let none = Refill::new(Vec::new(), vec!["kept".into()]);
    Cleaner::new(world.bench.shared.clone(), Keep::ZERO, none).make_room().await.unwrap();
    assert_eq!(world.spooled().len() as u64, FILES);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_away_or_changed_holds_up_only_the_late_sink() {
    let mut world = World::new().await;
    world.cleaner.make_room().await.unwrap();
    let (archive, away) = (world.bench.folder.path().join("archive"), world.bench.folder.path().join("away"));
    fs::rename(&archive, &away).unwrap();
    let row = world.deliver().await;
    assert_eq!((row.state.as_str(), row.counts.delivered), ("paused", KEPT * RECORDS));
    assert!(row.last_error.unwrap().contains("is to come back"));
    assert!(row.hint.unwrap().contains("mounted"));
    assert_eq!(world.bench.row("kept").await.state, "ok");
    fs::rename(&away, &archive).unwrap();
    let victim = object(&world.bench, 4);
    fs::write(&victim, content(5)).unwrap();
    let row = world.deliver().await;
    assert_eq!((row.state.as_str(), row.counts.delivered), ("paused", 3 * RECORDS));
    assert!(row.last_error.unwrap().contains("other content"));
    assert_eq!(world.spooled(), [1, 2, 3], "nothing of it stays");
    fs::remove_file(&victim).unwrap();
    assert!(world.deliver().await.last_error.unwrap().contains("no archive has it"));
    fs::write(&victim, content(4)).unwrap();
    assert_eq!(world.deliver().await.records_pending, 0);
    assert_eq!(world.late.lock().unwrap().lines, all_lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_a_file_comes_back_changes_nothing() {
    let mut world = World::new().await;
    world.cleaner.make_room().await.unwrap();
    // As after a crash behind the rename: the bytes are there, and the ledger does not know it.
    let Shared { ledger, spool, .. } = world.bench.shared.clone();
    fs::write(spool.names(5).data, "half").unwrap();
    fs::write(spool.returning(4).data, "half").unwrap();
    spool.recover(&ledger.kept().await.unwrap(), FILES + 1, FILES + 1).unwrap();
    assert_eq!(world.spooled(), [1, 2]);
    assert!(!spool.returning(4).data.try_exists().unwrap());
    world.bench.shared.ground.points = Arc::new(Trip(Mutex::new(Some("file returned"))));
    let row = world.deliver().await;
    assert_eq!((row.state.as_str(), row.counts.delivered), ("paused", KEPT * RECORDS));
    assert_eq!(world.spooled(), [1, 2]);
    assert_eq!(world.deliver().await.records_pending, 0);
    assert_eq!(world.late.lock().unwrap().lines, all_lines());
}
