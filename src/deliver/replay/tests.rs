//! Replays out of an archive in memory, to a real folder and to a sink that misbehaves.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use toml::de::ValueDeserializer;

use super::*;
use crate::archive::find::{Query, plan};
use crate::archive::verify::{Bytes, Page};
use crate::archive::{LogFile, Packing, Tree, key};
use crate::digest::sha256;
use crate::format::Options;
use crate::ground::Points;
use crate::sink::{Batch, Keys, SinkConfig, TYPES};

const WORKSPACE: &str = "11111111-2222-4333-8444-555555555555";
const BEGAN: &str = "2026-08-01T00:00:00Z";

/// Log files by the names of their objects.
#[derive(Clone, Default)]
struct Archive {
    objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// Nothing can be had for now.
    away: Arc<AtomicBool>,
}

impl Source for Archive {
    fn list<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Page, String>> {
        let objects = self.objects.lock().unwrap();
        let keys = objects
            .iter()
            .filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        let page = keys.map(|(key, bytes)| (key.clone(), bytes.len() as u64)).collect();
        let away = self.away.load(Ordering::Relaxed);
        Box::pin(async move { if away { Err("it is away".into()) } else { Ok((page, false)) } })
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, String>> {
        let bytes = self.objects.lock().unwrap().get(key).cloned();
        let away = self.away.load(Ordering::Relaxed);
        Box::pin(async move {
            if away {
                Err("it is away".into())
            } else {
                Ok(bytes.map(|bytes| Box::new(Cursor::new(bytes)) as Bytes))
            }
        })
    }
}

impl Archive {
    /// Files of ten records each, one an hour; in each, the first is a repeat of one an hour before.
    fn of(files: usize) -> Self {
        let archive = Self::default();
        for file in 0..files {
            let line = |n: usize| {
                format!(
                    r#"{{"event_id":"e{n}","type":"CODEX_LOG","event_details":{{"prompt_text":"{n} é"}}}}"#
                )
            };
            let own = (0..9).map(|n| line(file * 9 + n));
            let repeat = file
                .checked_sub(1)
                .map_or_else(|| r#"{"no":"id"}"#.to_owned(), |before| line(before * 9 + 4));
            let lines: Vec<String> = std::iter::once(repeat).chain(own).collect();
            archive.put(file, &lines.join("\n"));
        }
        archive
    }

    fn put(&self, hour: usize, content: &str) -> String {
        let (end_time, file_id) =
            (format!("2026-07-{:02}T{:02}:30:00Z", 1 + hour / 24, hour % 24), format!("f{hour}"));
        let hash = sha256(content.as_bytes());
        let named = LogFile {
            principal: WORKSPACE,
            event_type: "CODEX_LOG",
            end_time: &end_time,
            file_id: &file_id,
            sha256: &hash,
        };
        let name = key(Tree::Raw, &named, Packing::None);
        self.objects.lock().unwrap().insert(name.clone(), content.into());
        name
    }

    fn source(&self) -> Arc<dyn Source> {
        Arc::new(self.clone())
    }

    async fn plan(&self) -> Vec<Arc<PlanFile>> {
        plan(&self.source(), &Query::default()).await.unwrap().files
    }
}

fn request() -> Request {
    Request { from: "memory".into(), to: "out".into(), query: Query::default(), into_live: false, run: 0 }
}

fn settings(window: u64) -> ReplaySettings {
    ReplaySettings {
        sink: "out".into(),
        max_unconfirmed_records: window,
        rate: None,
        select: Select::default(),
        encoder: Encoder::new(Options::default(), None),
        own_keys: vec![(WORKSPACE.into(), OwnKey::of("sk-example-not-a-key-9zZ9").unwrap())],
    }
}

/// The same replay, begun or gone on with.
async fn remembered(archive: &Archive, base: &Path) -> (Store, State, Vec<Arc<PlanFile>>) {
    let disk = Ground::real().disk;
    let id = request().id();
    let store = Store::hold(disk.clone(), base, &id).unwrap();
    if let Some(state) = Store::look(disk.as_ref(), base, &id).unwrap() {
        let plan = store.plan().unwrap();
        return (store, state, plan);
    }
    let plan = archive.plan().await;
    let state = State::new(request(), BEGAN.into(), &plan);
    store.begin(&state, &plan).unwrap();
    (store, state, plan)
}

fn file_sink(folder: &Path) -> Box<dyn SinkConfig> {
    let line = TYPES.iter().find(|line| line.name == "file").unwrap();
    let keys = format!("{{ directory = '{}', rotate_bytes = '5KB' }}", folder.display());
    match (line.read)(ValueDeserializer::parse(&keys).unwrap()).unwrap() {
        Keys::Records(config) => config,
        Keys::Files(_) => unreachable!("a file sink takes records"),
    }
}

/// One run of the replay into a folder; `ground` may end it.
async fn run_to_file(archive: &Archive, base: &Path, folder: &Path, ground: Ground) -> (ReplayEnd, State) {
    let (store, state, plan) = remembered(archive, base).await;
    let settings = settings(7);
    let memory = Some(state.memory.clone()).filter(|memory| !memory.is_empty());
    let sink = file_sink(folder).open(ground.clone(), memory, settings.encoder.fingerprint());
    let (stop, source) = (CancellationToken::new(), archive.source());
    Replayer::new(ground, stop, settings, source, sink, (store, state, plan)).run().await.unwrap()
}

fn written(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort_by_key(|path| path.to_str().unwrap().replace("custodex.jsonl", "custodex~"));
    let text: String = names.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    text.lines().map(str::to_owned).collect()
}

/// From the commit of this number on, none is kept any more.
#[derive(Debug)]
struct Fails {
    from: u64,
    reached: AtomicU64,
}

impl Points for Fails {
    fn reach(&self, name: &'static str) -> io::Result<()> {
        let number = if name == "confirmed" { self.reached.fetch_add(1, Ordering::Relaxed) } else { 0 };
        if number >= self.from { Err(io::Error::other("a crash")) } else { Ok(()) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_once_marked_and_in_order() {
    let (archive, folder) = (Archive::of(5), tempfile::tempdir().unwrap());
    let (base, out) = (folder.path().join("state"), folder.path().join("out"));
    let (end, state) = run_to_file(&archive, &base, &out, Ground::real()).await;
    assert_eq!(end, ReplayEnd::Done);
    let counts = state.place.counts;
    assert_eq!((counts.delivered, counts.repeats, counts.files, counts.unread), (46, 4, 5, 0));
    let lines = written(&out);
    assert_eq!(lines.len(), 46);
    for (n, line) in lines.iter().skip(1).enumerate() {
        assert!(line.contains(&format!(r#""upstream_id":"e{n}""#)), "{line}");
        assert!(
            line.contains(&format!(r#""replay":{{"id":"{}","at":"{BEGAN}"}}"#, request().id())),
            "{line}"
        );
    }
    // It is remembered as done, and the plan is gone.
    let known = Store::look(Ground::real().disk.as_ref(), &base, &request().id()).unwrap().unwrap();
    assert_eq!((&known, known.ended_at.is_some()), (&state, true));
    assert!(!base.join(request().id()).join("plan.json").try_exists().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_it_crashes_a_folder_gets_each_record_once() {
    let archive = Archive::of(6);
    let whole = tempfile::tempdir().unwrap();
    let (base, out) = (whole.path().join("state"), whole.path().join("out"));
    assert_eq!(run_to_file(&archive, &base, &out, Ground::real()).await.0, ReplayEnd::Done);
    let expected = written(&out);
    let mut crashes = 0;
    loop {
        crashes += 1;
        let archive = Archive::of(6);
        let folder = tempfile::tempdir().unwrap();
        let (base, out) = (folder.path().join("state"), folder.path().join("out"));
        let mut ground = Ground::real();
        ground.points = Arc::new(Fails { from: crashes, reached: AtomicU64::new(0) });
        let (end, _) = run_to_file(&archive, &base, &out, ground).await;
        if end == ReplayEnd::Done {
            break;
        }
        // What was archived meanwhile, also before where it stands, is of no replay that began before.
        archive.put(0, r#"{"event_id":"late"}"#);
        let (end, state) = run_to_file(&archive, &base, &out, Ground::real()).await;
        assert_eq!((end, state.place.counts.delivered), (ReplayEnd::Done, 55), "crash {crashes}");
        assert!(written(&out) == expected, "crash {crashes}");
    }
    assert!(crashes > 8, "only {crashes} places");
}

/// Confirms one batch at a time, and loses what is on its way now and then.
#[derive(Default)]
struct Flaky {
    waiting: Vec<usize>,
    asked: u32,
    got: Arc<Mutex<Vec<String>>>,
    /// Never takes the record with this in it.
    refuses: Option<&'static str>,
}

impl Sink for Flaky {
    fn deliver<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<(), SinkError>> {
        let lines: Vec<String> =
            batch.records().map(|line| String::from_utf8(line.into()).unwrap()).collect();
        let refused = self.refuses.and_then(|text| lines.iter().position(|line| line.contains(text)));
        Box::pin(async move {
            if let Some(record) = refused {
                let recovery = Recovery::DeadLetter { record, answer: "never".into() };
                return Err(SinkError::new("refused", recovery));
            }
            self.waiting.push(lines.len());
            self.got.lock().unwrap().extend(lines);
            Ok(())
        })
    }

    fn confirm(&mut self) -> BoxFuture<'_, Result<Confirmation, SinkError>> {
        self.asked += 1;
        let lost = self.asked.is_multiple_of(5) && !self.waiting.is_empty();
        let batches = usize::from(!self.waiting.is_empty());
        if lost {
            self.waiting.clear();
        } else {
            self.waiting.drain(..batches);
        }
        let memory = self.asked.to_string().into_bytes();
        Box::pin(async move {
            if lost {
                return Err(SinkError::new("lost", Recovery::Retry { after: Some(Duration::ZERO) }).losing());
            }
            Ok(Confirmation { batches, memory })
        })
    }

    fn committed(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async { Ok(()) })
    }
}

async fn run_flaky(archive: &Archive, base: &Path, sink: Flaky) -> (ReplayEnd, State) {
    let remembered = remembered(archive, base).await;
    let (stop, source) = (CancellationToken::new(), archive.source());
    Replayer::new(Ground::real(), stop, settings(12), source, Box::new(sink), remembered).run().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_on_the_way_is_sent_again_and_counted_once() {
    let (archive, folder) = (Archive::of(8), tempfile::tempdir().unwrap());
    let got: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = Flaky { got: got.clone(), ..Flaky::default() };
    let (end, state) = run_flaky(&archive, folder.path(), sink).await;
    assert_eq!(end, ReplayEnd::Done);
    let counts = state.place.counts;
    assert_eq!((counts.delivered, counts.repeats, counts.bytes > 0), (73, 7, true));
    let got = got.lock().unwrap();
    let once: BTreeSet<&String> = got.iter().collect();
    assert_eq!(once.len(), 73);
    assert!(got.len() > 73, "nothing was lost, so nothing was tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_is_named_and_the_others_go_on() {
    let (archive, folder) = (Archive::of(3), tempfile::tempdir().unwrap());
    let got: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = Flaky { got: got.clone(), refuses: Some("\"e13\""), ..Flaky::default() };
    let (end, state) = run_flaky(&archive, folder.path(), sink).await;
    assert_eq!(end, ReplayEnd::Done);
    assert_eq!((state.place.counts.delivered, state.place.counts.dead_letters), (27, 1));
    assert_eq!(got.lock().unwrap().iter().collect::<BTreeSet<_>>().len(), 27);
    let letters =
        std::fs::read_to_string(folder.path().join(request().id()).join("dead-letters.jsonl")).unwrap();
    let letter: serde_json::Value = serde_json::from_str(letters.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&letter["log_file_id"], &letter["reason"]),
        (&"f1".into(), &"refused; it answered: never".into())
    );
    assert!(!letters.contains("prompt") && letter["byte_offset"].as_u64() > Some(0), "{letters}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_file_is_passed_over_and_an_archive_that_is_away_is_waited_for() {
    let (archive, folder) = (Archive::of(4), tempfile::tempdir().unwrap());
    let (base, out) = (folder.path().join("state"), folder.path().join("out"));
    drop(remembered(&archive, &base).await);
    archive.away.store(true, Ordering::Relaxed);
    let (end, state) = run_to_file(&archive, &base, &out, Ground::real()).await;
    let ReplayEnd::GivenUp(what, _) = end else { panic!("{end:?}") };
    assert!(what.contains("does not answer") && state.place == Place::default(), "{what} {state:?}");
    archive.away.store(false, Ordering::Relaxed);
    let gone = archive.objects.lock().unwrap().keys().nth(1).cloned().unwrap();
    archive.objects.lock().unwrap().remove(&gone);
    let (end, state) = run_to_file(&archive, &base, &out, Ground::real()).await;
    let counts = state.place.counts;
    // The repeat in the third file is of a record that only the lost one had besides.
    assert_eq!((end, counts.unread, counts.files, counts.delivered), (ReplayEnd::Done, 1, 3, 29));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_counts_what_would_be_delivered() {
    let (archive, folder) = (Archive::of(5), tempfile::tempdir().unwrap());
    let plan = archive.plan().await;
    let state = State::new(request(), BEGAN.into(), &plan);
    let seen = rehearse(settings(7), archive.source(), &state, plan).await;
    let (base, out) = (folder.path().join("state"), folder.path().join("out"));
    let (_, done) = run_to_file(&archive, &base, &out, Ground::real()).await;
    assert_eq!(seen.counts, done.place.counts);
    let bytes: usize = written(&out).iter().map(|line| line.len() + 1).sum();
    assert_eq!(seen.by_type["CODEX_LOG"], (46, bytes as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_keeps_what_is_confirmed() {
    let (archive, folder) = (Archive::of(3), tempfile::tempdir().unwrap());
    let remembered = remembered(&archive, folder.path()).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let sink = Box::new(Flaky::default());
    let replayer = Replayer::new(Ground::real(), stop, settings(12), archive.source(), sink, remembered);
    let (end, state) = replayer.run().await.unwrap();
    assert_eq!((end, state.ended_at), (ReplayEnd::Stopped, None));
    let (end, state) = run_flaky(&archive, folder.path(), Flaky::default()).await;
    assert_eq!((end, state.place.counts.delivered), (ReplayEnd::Done, 28));
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_the_sink_hold_and_our_own_requests_are_known() {
    let (archive, folder) = (Archive::default(), tempfile::tempdir().unwrap());
    let by =
        |id: &str| format!(r#"{{"event_id":"{id}","actor":{{"type":"API_KEY","redacted_id":"sk-…{id}"}}}}"#);
    archive.put(0, &[by("9zZ9"), by("else")].join("\n"));
    let plan = archive.plan().await;
    let state = State::new(request(), BEGAN.into(), &plan);
    let select = Select { exclude_self_poll: true, ..Select::default() };
    let seen = rehearse(ReplaySettings { select, ..settings(7) }, archive.source(), &state, plan).await;
    assert_eq!((seen.counts.delivered, seen.counts.deselected), (1, 1));
    assert_eq!(
        run_to_file(&archive, folder.path(), &folder.path().join("out"), Ground::real()).await.0,
        ReplayEnd::Done
    );
    let own: Vec<bool> =
        written(&folder.path().join("out")).iter().map(|line| line.contains("\"self_poll\":true")).collect();
    assert_eq!(own, [true, false]);
}

#[test]
fn one_process_at_a_time_and_no_state_of_a_later_version() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Ground::real().disk;
    let first = Store::hold(disk.clone(), folder.path(), "a").unwrap();
    assert!(matches!(Store::hold(disk.clone(), folder.path(), "a"), Err(StoreError::Held)));
    let other = Store::hold(disk.clone(), folder.path(), "b").unwrap();
    drop(first);
    drop((Store::hold(disk.clone(), folder.path(), "a").unwrap(), other));
    let path = folder.path().join("a/state.json");
    let state = serde_json::to_string(&State::new(request(), BEGAN.into(), &[])).unwrap();
    std::fs::write(&path, state.replace("\"version\":1", "\"version\":2")).unwrap();
    let error = Store::look(disk.as_ref(), folder.path(), "a").unwrap_err();
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn the_same_request_is_the_same_replay() {
    assert_eq!(request().id(), request().id());
    let others = [
        Request { from: "x".into(), ..request() },
        Request { to: "x".into(), ..request() },
        Request { into_live: true, ..request() },
        Request { run: 1, ..request() },
        Request { query: Query { users: vec!["x".into()], ..Query::default() }, ..request() },
    ];
    let ids: BTreeSet<String> = others.iter().chain([&request()]).map(Request::id).collect();
    assert_eq!((ids.len(), ids.iter().all(|id| id.len() == 16)), (6, true));
}
