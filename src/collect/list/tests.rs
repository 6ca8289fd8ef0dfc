//! A month of a provider that publishes late, with equal end times, watched poll by poll.

use std::collections::HashSet;
use std::fmt::{Debug, Formatter};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use tempfile::TempDir;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::collect::{Unclaimed, settle};
use crate::ground::Ground;
use crate::ledger::{Collected, Ledger};
use crate::net::{NetError, Request, Response, Transport};
use crate::source::openai::{Client, Key};
use crate::spool::Spool;
use crate::words::{Principal, PrincipalKind};

const DAY: i64 = 86_400;
const START: i64 = 1_790_000_000;
/// Between two polls.
const POLL: i64 = 30 * 60;

#[derive(Clone)]
struct File {
    id: String,
    end_at: i64,
    published_at: i64,
}

/// Answers listings as of the clock, in order of `end_time`.
struct Provider {
    clock: ManualClock,
    files: Vec<File>,
}

impl Debug for Provider {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} files", self.files.len())
    }
}

impl Provider {
    /// Two months of files; one in twenty appears up to seven days late, one in ten ends with another.
    fn new(clock: ManualClock, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut files, mut end_at) = (Vec::new(), START - 30 * DAY);
        while end_at < START + 30 * DAY {
            end_at += if random.u8(..10) == 0 { 0 } else { random.i64(300..1500) };
            let late = if random.u8(..20) == 0 { 7 * DAY } else { 25 * 60 };
            let published_at = end_at + random.i64(60..late);
            files.push(File { id: format!("f{}", files.len()), end_at, published_at });
        }
        Self { clock, files }
    }

    fn page(&self, after: Timestamp, limit: usize) -> (Vec<&File>, bool) {
        let now = self.clock.now().as_second();
        let there = self.files.iter().filter(|file| file.published_at <= now && file.end_at > now - 30 * DAY);
        let mut after = there.filter(|file| Timestamp::from_second(file.end_at).unwrap() > after);
        let page: Vec<&File> = after.by_ref().take(limit).collect();
        (page, after.next().is_some())
    }
}

impl Transport for Provider {
    fn get(&self, request: Request) -> BoxFuture<'_, Result<Response, NetError>> {
        let value = |name| request.url.query_pairs().find(|(key, _)| key == name).unwrap().1;
        let (page, has_more) = self.page(value("after").parse().unwrap(), value("limit").parse().unwrap());
        let row = |file: &&File| serde_json::json!({ "id": file.id, "end_time": rfc3339(file.end_at) });
        let last = page.last().map(|file| rfc3339(file.end_at));
        let data: Vec<_> = page.iter().map(row).collect();
        let body = serde_json::json!({ "data": data, "has_more": has_more, "last_end_time": last });
        let chunk = Ok(Bytes::from(body.to_string()));
        let body = futures_util::stream::iter([chunk]).boxed();
        Box::pin(async move { Ok(Response { status: 200, headers: HeaderMap::new(), body }) })
    }
}

struct Bench {
    clock: ManualClock,
    provider: Arc<Provider>,
    lister: Lister,
    _folder: TempDir,
}

impl Bench {
    async fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(Timestamp::from_second(START).unwrap());
        let provider = Arc::new(Provider::new(clock.clone(), seed));
        let mut ground = Ground::real();
        ground.clock = Arc::new(clock.clone());
        let (ledger, _thread) = Ledger::open(&folder.path().join("ledger.db")).unwrap();
        let spool = Spool::open(ground.disk.clone(), &folder.path().join("spool")).unwrap();
        let principal = Principal { kind: PrincipalKind::Workspace, id: "w".into() };
        let began = START - 30 * DAY;
        let id = ledger
            .enable_stream("s".into(), principal.clone(), "CODEX_LOG".into(), began, began)
            .await
            .unwrap();
        let key = Arc::new(Key::new(
            Arc::new(|| Ok("sk-admin-secret".to_owned().into())),
            50,
            limits::RETRY_AFTER_MAX,
        ));
        let base = "https://api.example.com/v1".parse().unwrap();
        let client = Client::new(provider.clone(), ground.clock.clone(), key, &base, &principal);
        let shared = Shared::new(ground, ledger, spool, u64::MAX, &Collected::default());
        let stream = Stream {
            id,
            principal: "w".into(),
            event_type: "CODEX_LOG".into(),
            overlap: 7200,
            client: Arc::new(client),
        };
        let lister = Lister::new(shared, stream, Arc::default());
        Self { clock, provider, lister, _folder: folder }
    }

    fn now(&self) -> i64 {
        self.clock.now().as_second()
    }

    async fn known(&self) -> HashSet<String> {
        let ledger = &self.lister.shared.ledger;
        let files = ledger.due_files(self.lister.stream.id, i64::MAX / 4, usize::MAX >> 1, HashSet::new());
        files.await.unwrap().into_iter().map(|file| file.file_id).collect()
    }

    /// What coverage says is held against every file there is: what was not listed appeared only after the
    /// moment that its interval names, or lies in none.
    async fn assert_exact(&self, known: &HashSet<String>) {
        let coverage = self.lister.shared.ledger.coverage(self.lister.stream.id).await.unwrap();
        for file in self.provider.files.iter().filter(|file| !known.contains(&file.id)) {
            let interval = coverage.iter().find(|one| one.from <= file.end_at && file.end_at < one.until);
            let listed_at = interval.and_then(|interval| interval.listed_at);
            assert!(listed_at.is_none_or(|at| at < file.published_at), "{} at {}", file.id, file.end_at);
        }
    }

    async fn uncovered(&self) -> i64 {
        self.lister.shared.ledger.stream(self.lister.stream.id).await.unwrap().uncovered
    }
}

/// What a client has seen that goes on from the newest file it knows.
#[derive(Default)]
struct Plain {
    after: Option<i64>,
    seen: HashSet<String>,
}

impl Plain {
    fn poll(&mut self, provider: &Provider) {
        loop {
            let after = Timestamp::from_second(self.after.unwrap_or(START - 30 * DAY)).unwrap();
            let (page, more) = provider.page(after, 100);
            self.after = page.last().map(|file| file.end_at).or(self.after);
            self.seen.extend(page.into_iter().map(|file| file.id.clone()));
            if !more {
                return;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
#[expect(clippy::print_stderr, reason = "both figures are what the test is for")]
async fn in_a_month_of_late_files_none_is_missed_and_coverage_is_exact() {
    let mut bench = Bench::new(1).await;
    let mut plain = Plain::default();
    for poll in 0..30 * DAY / POLL {
        // Three days without a network.
        if (480..624).contains(&poll) {
            assert_eq!(bench.uncovered().await, START + 479 * POLL - settle("CODEX_LOG"));
        } else {
            bench.lister.list(false).await.unwrap();
            plain.poll(&bench.provider);
            assert_eq!(bench.uncovered().await, bench.now() - settle("CODEX_LOG"));
        }
        if poll % 48 == 0 {
            bench.assert_exact(&bench.known().await).await;
        }
        bench.clock.advance(Duration::from_secs(POLL.cast_unsigned()));
    }
    bench.lister.list(true).await.unwrap();
    plain.poll(&bench.provider);
    let known = bench.known().await;
    bench.assert_exact(&known).await;
    let there = |file: &&File| file.published_at <= bench.now() && file.end_at > START - 30 * DAY;
    let all: Vec<&File> = bench.provider.files.iter().filter(there).collect();
    let missed = |seen: &HashSet<String>| all.iter().filter(|file| !seen.contains(&file.id)).count();
    let (ours, theirs) = (missed(&known), missed(&plain.seen));
    eprintln!("{} files: missed {ours}, by a plain cursor {theirs}", all.len());
    assert_eq!(ours, 0);
    assert!(theirs > 50, "the provider was late often enough: {theirs}");
}

#[tokio::test(start_paused = true)]
async fn what_expired_before_it_was_listed_is_a_hole_and_headroom_goes_on() {
    let mut bench = Bench::new(2).await;
    bench.lister.list(false).await.unwrap();
    bench.clock.advance(Duration::from_secs(40 * DAY.cast_unsigned()));
    bench.lister.list(false).await.unwrap();
    assert_eq!(bench.uncovered().await, bench.now() - settle("CODEX_LOG"));
    let ledger = &bench.lister.shared.ledger;
    let holes = ledger.holes().await.unwrap();
    assert_eq!(holes.len(), 1);
    assert!(holes[0].file_id.starts_with("gap:unlisted-until-"));
    let coverage = ledger.coverage(bench.lister.stream.id).await.unwrap();
    let unseen: Vec<_> = coverage.iter().filter(|one| one.listed_at.is_none()).collect();
    let floor = bench.now() - 30 * DAY;
    assert_eq!(
        unseen.iter().map(|one| (one.from, one.until)).collect::<Vec<_>>(),
        [(START - settle("CODEX_LOG"), floor)]
    );
}

#[tokio::test(start_paused = true)]
async fn what_nobody_collects_is_told_until_it_is_configured() {
    let bench = Bench::new(3).await;
    let Lister { shared, stream, .. } = &bench.lister;
    let principal = Principal { kind: PrincipalKind::Workspace, id: "w".into() };
    let types = vec!["APP_LOG".to_owned()];
    let looking = Unclaimed::new(shared.clone(), principal.clone(), stream.client.clone(), types).run();
    let unclaimed = async || -> Vec<String> {
        let facts = shared.ledger.facts(START).await.unwrap();
        facts.unclaimed.into_iter().map(|one| one.event_type).collect()
    };
    let found = async {
        while unclaimed().await.is_empty() {
            tokio::task::yield_now().await;
        }
        shared.stop.cancel();
    };
    tokio::join!(looking, found);
    assert_eq!(unclaimed().await, ["APP_LOG"]);
    shared.ledger.enable_stream("s".into(), principal, "APP_LOG".into(), START, START).await.unwrap();
    assert!(unclaimed().await.is_empty());
}
