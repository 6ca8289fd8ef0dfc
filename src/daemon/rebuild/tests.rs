//! What manifests say comes back, whatever they leave out, and whenever it is broken off.

use std::fs;
use std::io;
use std::sync::Mutex;

use super::*;
use crate::archive::{
    Covered, Hash, Hole, LogFile, MANIFEST_TYPE, MANIFEST_VERSION, Manifest, NextRecord, Packing, Pending,
    SealedFile, SigningKey, SinkPosition, StreamCoverage, Tree, key, manifest_key, merkle, public_key_key,
    seal,
};
use crate::clock::ManualClock;
use crate::config::Secrets;
use crate::digest::sha256;
use crate::ground::Points;
use crate::ledger::{Position, StreamRow};

const NOW: i64 = 1_800_000_000;
const WORKSPACE: &str = "11111111-2222-4333-8444-555555555555";
const DAY: i64 = 86_400;

fn text(second: i64) -> String {
    Timestamp::from_second(second).unwrap().to_string()
}

/// Fails at one point, once.
#[derive(Debug, Default)]
struct Trip(Mutex<Option<&'static str>>);

impl Points for Trip {
    fn reach(&self, name: &'static str) -> io::Result<()> {
        let mut trip = self.0.lock().unwrap();
        if *trip == Some(name) {
            *trip = None;
            return Err(io::Error::other("tripped"));
        }
        Ok(())
    }
}

/// Archives in folders, and what becomes of them.
struct World {
    folder: tempfile::TempDir,
    key: SigningKey,
    config: Config,
    ground: Ground,
    trip: Arc<Trip>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let config = format!(
            "data_dir = {:?}\n[sources.codex]\ntype = 'compliance_logs'\nworkspace_id = '{WORKSPACE}'\n\
             api_key = {{ env = 'X' }}\n[sinks.out]\ntype = 'stdout'\n[sinks.late]\ntype = 'file'\ndirectory = {:?}\n\
             [sinks.a]\ntype = 'directory'\ndirectory = {:?}\n[sinks.b]\ntype = 'directory'\ndirectory = {:?}\n",
            at("data"),
            at("late"),
            at("a"),
            at("b")
        );
        let config = Config::parse(&config, Path::new("x"), Secrets::Unread, &|_| None).unwrap();
        for name in ["a", "b"] {
            fs::create_dir(at(name)).unwrap();
        }
        let trip = Arc::new(Trip::default());
        let mut ground = Ground::real();
        (ground.clock, ground.points) =
            (Arc::new(ManualClock::new(Timestamp::from_second(NOW).unwrap())), trip.clone());
        let key = SigningKey::generate().unwrap().0;
        Self { folder, key, config, ground, trip }
    }

    /// Puts a log file into an archive; what a manifest says of it.
    fn file(&self, archive: &str, file_id: &str, end_at: i64) -> SealedFile {
        let content = format!("{{\"event_id\":\"{file_id}\"}}\n");
        let hash = sha256(content.as_bytes());
        let end_time = text(end_at);
        let file = LogFile {
            principal: WORKSPACE,
            event_type: "CODEX_LOG",
            end_time: &end_time,
            file_id,
            sha256: &hash,
        };
        let name = key(Tree::Raw, &file, Packing::None);
        let path = self.folder.path().join(archive).join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &content).unwrap();
        let mut tree = merkle::Merkle::default();
        tree.push(&sha256(content.trim_end().as_bytes()));
        SealedFile {
            key: name,
            file_id: file_id.to_owned(),
            principal: WORKSPACE.to_owned(),
            event_type: "CODEX_LOG".to_owned(),
            oldest_event: None,
            newest_event: None,
            bytes: content.len() as u64,
            records: 1,
            sha256: Hash(hash),
            object_bytes: content.len() as u64,
            object_sha256: Hash(hash),
            record_root: Hash(tree.root()),
            listed_at: text(end_at + 60),
            fetched_at: text(end_at + 120),
            end_time,
            found: false,
        }
    }

    /// Writes a chain; what each manifest says is up to the caller.
    fn chain(&self, archive: &str, manifests: Vec<Manifest>) {
        let mut previous = None;
        for (number, mut manifest) in (1..).zip(manifests) {
            (manifest.number, manifest.previous) = (number, previous);
            let bytes = seal(MANIFEST_TYPE, &manifest.write(), &self.key);
            previous = Some(Hash(sha256(&bytes)));
            self.put(archive, &manifest_key("custodex", number), &bytes);
        }
        let public = self.key.public();
        self.put(archive, &public_key_key("custodex", &public.id()), public.pem().as_bytes());
    }

    fn put(&self, archive: &str, key: &str, bytes: &[u8]) {
        let path = self.folder.path().join(archive).join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    async fn rebuild(&self, replace: bool) -> Result<Rebuilt, RebuildError> {
        let from = self.config.sinks.iter().find(|entry| entry.name == "a").unwrap();
        let wanted = Wanted { from, pinned: vec![self.key.public().clone()], replace, since: None };
        rebuild(&self.config, &self.ground, wanted, &|_, _| ()).await
    }

    async fn ledger<T>(&self, look: impl AsyncFnOnce(Ledger) -> T) -> T {
        let (ledger, thread) = Ledger::open(&self.config.data_dir.join("ledger.db")).unwrap();
        let seen = look(ledger).await;
        thread.join();
        seen
    }
}

fn manifest(written_at: i64, files: Vec<SealedFile>) -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        instance: "custodex".into(),
        number: 0,
        previous: None,
        written_at: text(written_at),
        software: "test".into(),
        files,
        coverage: Vec::new(),
        holes: Vec::new(),
        holes_omitted: 0,
        pending: Vec::new(),
        pending_omitted: 0,
        positions: Vec::new(),
    }
}

fn hole(file_id: &str) -> Hole {
    Hole {
        principal: WORKSPACE.into(),
        event_type: "CODEX_LOG".into(),
        file_id: file_id.into(),
        end_time: text(NOW - 40 * DAY),
        reason: "gone".into(),
    }
}

fn covered(from: i64, until: i64, listed_at: Option<i64>) -> StreamCoverage {
    let intervals = vec![Covered { from, until, listed_at }];
    StreamCoverage { principal: WORKSPACE.into(), event_type: "CODEX_LOG".into(), intervals }
}

fn next(file: &SealedFile, record: u64) -> NextRecord {
    let SealedFile { principal, event_type, file_id, fetched_at, .. } = file.clone();
    NextRecord { principal, event_type, file_id, fetched_at, record }
}

fn position(sink: &str, next: Option<NextRecord>) -> SinkPosition {
    SinkPosition { sink: sink.into(), next }
}

async fn stream(ledger: &Ledger) -> StreamRow {
    let principal =
        crate::words::Principal { kind: crate::words::PrincipalKind::Workspace, id: WORKSPACE.into() };
    let id = ledger.enable_stream("codex".into(), principal, "CODEX_LOG".into(), NOW, NOW).await.unwrap();
    ledger.stream(id).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_holes_and_what_is_pending_come_back() {
    let world = World::new();
    let (start, end) = (NOW - 50 * DAY, NOW - 35 * DAY);
    let [one, two, late] =
        [("1", 3), ("2", 2), ("late", 1)].map(|(id, day)| world.file("a", id, end - day * DAY));
    let mut first = manifest(end - 3600, vec![one, two]);
    first.coverage =
        vec![covered(start, start + DAY, None), covered(start + DAY, end - DAY, Some(end - DAY))];
    first.holes = vec![hole("h1"), hole("late"), hole("back")];
    let mut second = manifest(end, vec![late]);
    second.coverage = vec![covered(end - 2 * DAY, end, Some(end))];
    // More than fit: the first is left out.
    (second.holes, second.holes_omitted) = (vec![hole("h2")], 1);
    second.pending = ["1", "p"]
        .map(|id| Pending {
            principal: WORKSPACE.into(),
            event_type: "CODEX_LOG".into(),
            file_id: id.into(),
            end_time: text(end - 100),
            listed_at: text(end - 50),
        })
        .into();
    world.chain("a", vec![first, second]);
    let rebuilt = world.rebuild(false).await.unwrap();
    assert_eq!(rebuilt.whole, Whole { files: 3, records: 3, holes: 3, pending: 1 });
    assert!(rebuilt.aside.is_none() && rebuilt.key.is_none());
    world
        .ledger(async |ledger| {
            let row = stream(&ledger).await;
            assert_eq!((row.started_at, row.uncovered, row.swept_at), (start, end, Some(0)));
            assert_eq!((row.files_collected, row.records_collected, row.files_pending), (3, 3, 1));
            assert_eq!(row.cursor, Some(text(end - 100)));
            let holes: Vec<String> =
                ledger.holes().await.unwrap().into_iter().map(|hole| hole.file_id).collect();
            assert_eq!(holes, ["back", "h1", "h2"], "what was archived after all is none");
            let facts = ledger.file_at(3).await.unwrap().unwrap();
            assert_eq!((facts.file_id.as_str(), facts.dropped, facts.bytes), ("late", true, 20));
            let chain = ledger.chain("a".into(), "custodex".into()).await.unwrap();
            assert_eq!((chain.number, chain.key_id), (2, Some(world.key.public().id())));
            assert_eq!((chain.written_at, chain.envelope), (Some(end), None));
            assert!(ledger.unsealed("a".into(), 9).await.unwrap().is_empty());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sink_goes_on_where_the_newest_manifest_of_all_archives_has_it() {
    let world = World::new();
    let files = [1, 2, 3, 4, 5].map(|day| world.file("a", &day.to_string(), NOW - 20 * DAY + day * DAY));
    // The second archive began later and is further: it has what the first lacks.
    let others = [3, 4, 5, 6].map(|day| world.file("b", &day.to_string(), NOW - 20 * DAY + day * DAY));
    let gone = world.file("b", "gone", NOW - 20 * DAY + 3 * DAY + 1000);
    let mut older = manifest(NOW - 3 * DAY, files.to_vec());
    older.positions = vec![position("out", Some(next(&files[0], 0))), position("late", None)];
    let mut newer = manifest(NOW - 2 * DAY, others.to_vec());
    newer.positions = vec![
        position("out", Some(next(&others[1], 7))),
        position("late", Some(next(&gone, 3))),
        position("away", None),
    ];
    world.chain("a", vec![older]);
    world.chain("b", vec![newer]);
    let rebuilt = world.rebuild(false).await.unwrap();
    let place = |name: &str| {
        let other = rebuilt.sinks.iter().find(|one| one.sink == name).map(|one| one.restored.clone());
        let archive = rebuilt.archives.iter().find(|one| one.sink == name).map(|one| one.restored.clone());
        let position = other.or(archive).flatten().unwrap().position;
        (position.sequence, position.record)
    };
    assert_eq!(place("out"), (4, 7), "the newest manifest of both counts");
    assert_eq!(place("late"), (4, 0), "a log file that no archive has: what was fetched after it");
    assert_eq!((place("a"), place("b")), ((6, 0), (7, 0)), "the first lacks what only the second has");
    world
        .ledger(async |ledger| {
            let sink =
                ledger.enable_sink("away".into(), "t", "sent", crate::ledger::SinkStart::Beginning, false);
            assert_eq!(sink.await.unwrap().position, Position { sequence: 7, record: 0 });
            let numbers: Vec<String> = futures_util::future::join_all((1..=6).map(|n| ledger.file_at(n)))
                .await
                .into_iter()
                .map(|found| found.unwrap().unwrap().file_id)
                .collect();
            assert_eq!(numbers, ["1", "2", "3", "4", "5", "6"]);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_off_anywhere_it_begins_anew_and_keeps_what_was_there() {
    let world = World::new();
    world.chain("a", vec![manifest(NOW - DAY, vec![world.file("a", "1", NOW - 2 * DAY)])]);
    let data = world.config.data_dir.clone();
    let spooled = data.join("spool/000000000009.jsonl");
    fs::create_dir_all(spooled.parent().unwrap()).unwrap();
    fs::write(&spooled, "only here\n").unwrap();
    fs::write(data.join("ledger.db"), "no database").unwrap();
    fs::write(data.join("ledger.rebuild.db-wal"), "of another try").unwrap();
    assert!(matches!(world.rebuild(false).await, Err(RebuildError::Known(_))), "it may be a ledger");
    for point in ["moved aside", "rebuilt"] {
        *world.trip.0.lock().unwrap() = Some(point);
        assert!(matches!(world.rebuild(true).await, Err(RebuildError::Disk(_))), "{point}");
        assert_eq!(data.join("ledger.db").try_exists().unwrap(), point == "moved aside");
    }
    let rebuilt = world.rebuild(false).await.unwrap();
    assert_eq!(rebuilt.whole.files, 1);
    let kept = |name: &str| -> Vec<String> {
        let entries = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
        let lost = entries.filter(|path| path.display().to_string().contains("/lost-"));
        lost.filter_map(|path| fs::read_to_string(path.join(name)).ok()).collect()
    };
    assert_eq!(kept("ledger.db"), ["no database"]);
    assert_eq!(kept("spool/000000000009.jsonl"), ["only here\n"]);
    assert!(matches!(world.rebuild(false).await, Err(RebuildError::Known(_))));
    let rebuilt = world.rebuild(true).await.unwrap();
    assert_eq!(rebuilt.aside.unwrap().spooled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_archive_has_is_named() {
    let world = World::new();
    world.chain("a", vec![manifest(NOW - DAY, vec![world.file("a", "1", NOW - 2 * DAY)])]);
    let spool = world.config.data_dir.join("spool");
    fs::create_dir_all(&spool).unwrap();
    for (name, content) in [
        ("000000000001.jsonl", "{\"event_id\":\"1\"}\n"),
        ("000000000002.jsonl", "not archived\n"),
        ("000000000002.index", "x"),
        ("incoming-7.jsonl", "half"),
    ] {
        fs::write(spool.join(name), content).unwrap();
    }
    let aside = world.rebuild(false).await.unwrap().aside.unwrap();
    assert_eq!((aside.spooled, aside.unarchived), (2, vec!["000000000002.jsonl".to_owned()]));
    assert!(
        aside.folder.join("spool/000000000002.index").try_exists().unwrap() && !spool.try_exists().unwrap()
    );
}
