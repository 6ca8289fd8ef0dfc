//! The simulator as a client sees it, over real connections.

use std::collections::{BTreeMap, HashSet};

use reqwest::header::{AUTHORIZATION, LOCATION, RETRY_AFTER};
use serde_json::Value;

use super::*;
use crate::clock::ManualClock;
use crate::digest::{hex, sha256};

const START: &str = "2026-07-15T10:53:24Z";

struct Bench {
    simulator: Simulator,
    clock: ManualClock,
    client: reqwest::Client,
}

impl Bench {
    async fn new(options: Options) -> Self {
        let clock = ManualClock::new(START.parse().expect("a time"));
        let listen = "127.0.0.1:0".parse().expect("an address");
        let simulator = Simulator::start(listen, options, Arc::new(clock.clone())).await.expect("started");
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        Self { simulator, clock, client: builder.build().expect("a client") }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        let url = format!("{}{path}", self.simulator.base_url());
        let request = self.client.get(url).header(AUTHORIZATION, format!("Bearer {API_KEY}"));
        request.send().await.expect("an answer")
    }

    async fn page(&self, query: &str) -> Value {
        let response = self.get(&format!("/compliance/workspaces/{WORKSPACE}/logs?{query}")).await;
        assert_eq!(response.status(), 200, "{query}");
        serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON")
    }

    async fn status(&self, path: &str) -> u16 {
        self.get(path).await.status().as_u16()
    }

    async fn signed(&self, id: &str) -> String {
        let response = self.get(&format!("/compliance/workspaces/{WORKSPACE}/logs/{id}")).await;
        assert_eq!(response.status(), 307);
        response.headers()[LOCATION].to_str().expect("text").to_owned()
    }
}

fn small(chaos: bool) -> Options {
    Options { seed: 4, days: 2, files_per_day: 2, records_per_file: 10, records_from: None, chaos }
}

fn ids(page: &Value) -> Vec<String> {
    let rows = page["data"].as_array().expect("rows").iter();
    rows.map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

fn encoded(text: &str) -> String {
    text.replace('+', "%2B")
}

#[tokio::test]
async fn pages_are_strict_and_ascending() {
    let bench = Bench::new(small(false)).await;
    let all = bench.page("event_type=AUTH_LOG&after=2026-06-15T12:00:00Z").await;
    assert_eq!((ids(&all).len(), &all["has_more"]), (4, &Value::Bool(false)));
    let first = bench.page("event_type=AUTH_LOG&after=2026-06-15T12:00:00Z&limit=2").await;
    assert_eq!((&ids(&first)[..], &first["has_more"]), (&ids(&all)[..2], &Value::Bool(true)));
    let edge = encoded(first["last_end_time"].as_str().expect("a time"));
    assert!(edge.ends_with("%2B00:00"), "{edge}");
    let second = bench.page(&format!("event_type=AUTH_LOG&after={edge}&limit=2")).await;
    assert_eq!(ids(&second), ids(&all)[2..]);
    let before = bench.page(&format!("event_type=AUTH_LOG&after=2026-06-15T12:00:00Z&before={edge}")).await;
    assert_eq!(ids(&before), ids(&all)[..1]);
    let empty = bench.page("event_type=AUTH_LOG&after=2026-07-15T10:53:24Z").await;
    assert_eq!((ids(&empty).len(), &empty["last_end_time"]), (0, &Value::Null));
    assert!(bench.simulator.violations().is_empty());
    bench.clock.advance(Duration::from_secs(29 * 86_400));
    assert!(ids(&bench.page("event_type=AUTH_LOG&after=2026-06-15T12:00:00Z").await).len() < 4);
    bench.simulator.stop().await;
}

#[tokio::test]
async fn a_tie_is_split_by_the_edge_of_a_page() {
    let bench = Bench::new(small(true)).await;
    let (mut page, mut after) = (Value::Null, "2026-06-15T12:00:00Z".to_owned());
    for _ in 0..8 {
        let response = bench
            .get(&format!("/compliance/workspaces/{WORKSPACE}/logs?event_type=AUTH_LOG&after={after}"))
            .await;
        if response.status() == 200 {
            page = serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON");
            if page["last_end_time"].is_string() && ids(&page).len() == 100 {
                break;
            }
        }
    }
    let edge = page["last_end_time"].as_str().expect("a time").to_owned();
    after = encoded(&edge);
    let truth = bench.simulator.truth();
    let listed: HashSet<_> = ids(&page).into_iter().collect();
    let tied = truth.files.iter().filter(|file| file.event_type == "AUTH_LOG" && file.end_time == edge);
    let split: Vec<bool> = tied.map(|file| listed.contains(&file.id)).collect();
    assert_eq!((split.len(), split.iter().filter(|seen| **seen).count()), (7, 3), "{after}");
}

#[tokio::test]
async fn wrong_requests_are_answered_and_noted() {
    let bench = Bench::new(small(false)).await;
    let logs = format!("/compliance/workspaces/{WORKSPACE}/logs");
    for (path, status) in [
        (format!("{logs}?event_type=AUTH_LOG"), 422),
        (format!("{logs}?after=2026-07-01T00:00:00Z"), 422),
        (format!("{logs}?event_type=AUTH_LOG&after=2026-07-01T00:00:00Z&limit=101"), 422),
        (format!("{logs}?event_type=AUTH_LOG&after=2026-07-01T00:00:00+00:00"), 400),
        (format!("{logs}?event_type=COSTS&after=2026-07-01T00:00:00Z"), 400),
        (format!("{logs}?event_type=NEWS&after=2026-07-01T00:00:00Z"), 400),
        (format!("{logs}?event_type=AUTH_LOG,APP_LOG&after=2026-07-01T00:00:00Z"), 200),
        (format!("{logs}/nonsense"), 400),
        (format!("{logs}/eclf_%C3%A9"), 400),
        (format!("{logs}/eclf_0000"), 404),
        ("/compliance/workspaces/another/logs".to_owned(), 403),
        ("/compliance/%ff/%00".to_owned(), 404),
        (
            format!(
                "/compliance/organizations/{ORGANIZATION}/logs?event_type=COSTS&after=2026-07-01T00:00:00Z"
            ),
            200,
        ),
        (format!("/compliance/workspaces/{WORKSPACE}/max_event_time?event_type=AUTH_LOG"), 200),
        (format!("/analytics/codex/workspaces/{WORKSPACE}/usage?limit=0"), 422),
    ] {
        assert_eq!(bench.status(&path).await, status, "{path}");
    }
    let url = format!("{}{logs}", bench.simulator.base_url());
    assert_eq!(bench.client.get(&url).send().await.expect("an answer").status(), 401);
    assert_eq!(bench.client.delete(&url).send().await.expect("an answer").status(), 405);
    let noted = bench.simulator.violations().join("\n");
    for part in ["no after", "over 100", "not percent-encoded", "more than one event_type", "DELETE"] {
        assert!(noted.contains(part), "{part} in {noted}");
    }
}

#[tokio::test]
async fn signed_addresses_expire_and_take_no_credential() {
    let bench = Bench::new(small(false)).await;
    let page = bench.page("event_type=CODEX_LOG&after=2026-06-15T12:00:00Z").await;
    let row = &page["data"][0];
    let url = bench.signed(row["id"].as_str().expect("an id")).await;
    let bytes = bench.client.get(&url).send().await.expect("an answer").bytes().await.expect("a body");
    assert_eq!(row["file_sha256"], hex(&sha256(&bytes)));
    assert_eq!(row["file_size"], bytes.len());
    let status = async |url: String| bench.client.get(url).send().await.expect("an answer").status();
    assert_eq!(status(url.replace("sig=", "sig=0")).await, 403);
    let leaking = bench.client.get(&url).header(AUTHORIZATION, "Bearer x").send();
    assert_eq!(leaking.await.expect("an answer").status(), 400);
    assert_eq!(bench.simulator.leaks(), 1);
    bench.clock.advance(Duration::from_secs(61));
    assert_eq!(status(url).await, 403);
    assert_eq!(bench.simulator.summary().served_files, 1);
}

#[tokio::test]
async fn analytics_pages_hold_every_row_once() {
    let bench = Bench::new(small(false)).await;
    let path = format!("/analytics/codex/workspaces/{WORKSPACE}");
    let rows = async |query: &str| -> Value {
        let response = bench.get(&format!("{path}/{query}")).await;
        assert_eq!(response.status(), 200, "{query}");
        serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON")
    };
    let all = rows("usage").await;
    let mut paged = Vec::new();
    let mut page = rows("usage?limit=50").await;
    loop {
        paged.extend(page["data"].as_array().expect("rows").clone());
        let Some(next) = page["next_page"].as_str() else { break };
        page = rows(&format!("usage?limit=50&page={next}")).await;
    }
    assert_eq!(Value::Array(paged), all["data"]);
    assert_eq!(rows("usage?group=workspace").await["data"].as_array().map(Vec::len), Some(30));
    let one_day = rows("code_reviews?start_time=1783987200&end_time=1784073600").await;
    assert_eq!(one_day["data"][0]["start_time"], 1_783_987_200);
    assert_eq!(one_day["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn lines_of_a_folder_are_served_under_their_principal() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("AUTH_LOG.jsonl"), "{\"n\":1}\n{\"n\":2}\n{\"n\":3}").expect("written");
    std::fs::write(folder.path().join("drift.jsonl"), "{\"type\":\"COSTS\"}\n").expect("written");
    let options =
        Options { records_from: Some(folder.path().to_owned()), records_per_file: 2, ..small(false) };
    let bench = Bench::new(options).await;
    let url = bench.simulator.base_url().replace("/v1", "/simulator/truth");
    let body = bench.client.get(url).send().await.expect("an answer").bytes().await.expect("a body");
    let told: Value = serde_json::from_slice(&body).expect("JSON");
    let truth = bench.simulator.truth();
    assert_eq!(told, serde_json::to_value(&truth).expect("JSON"));
    let files: Vec<_> =
        truth.files.iter().map(|file| (file.principal, file.event_type, file.records, file.size)).collect();
    let expected =
        [(WORKSPACE, "AUTH_LOG", 2, 16), (WORKSPACE, "AUTH_LOG", 1, 7), (ORGANIZATION, "COSTS", 1, 17)];
    assert_eq!(files, expected);
    for file in &truth.files {
        assert_eq!(fetch(&bench, file).await, Some(file.sha256.clone()));
    }
    assert_eq!(bench.simulator.summary().records, 4);
}

/// What a patient client gets of one file: its hash, or that it is gone.
async fn fetch(bench: &Bench, file: &TruthFile) -> Option<String> {
    let kind = if file.principal == WORKSPACE { "workspaces" } else { "organizations" };
    let path = format!("/compliance/{kind}/{}/logs/{}", file.principal, file.id);
    for _ in 0..4 {
        let response = bench.get(&path).await;
        if let Some(after) = response.headers().get(RETRY_AFTER) {
            assert!(!after.is_empty());
        }
        let Some(location) = response.headers().get(LOCATION).and_then(|url| url.to_str().ok()) else {
            continue;
        };
        if !location.contains("/files/") || location.contains("example.com") {
            continue;
        }
        let Ok(response) = bench.client.get(location).send().await else { continue };
        let packed = response.headers().contains_key("content-encoding");
        let Ok(mut bytes) = response.bytes().await.map(|bytes| bytes.to_vec()) else { continue };
        if packed {
            let mut plain = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut plain)
                .expect("gzip");
            bytes = plain;
        }
        let hash = hex(&sha256(&bytes));
        if hash == file.sha256 {
            return Some(hash);
        }
    }
    None
}

#[tokio::test]
async fn every_fault_passes_except_what_is_gone() {
    let bench = Bench::new(small(true)).await;
    let mut listed = BTreeMap::new();
    for (kind, id, event_type) in [
        ("workspaces", WORKSPACE, "CODEX_LOG"),
        ("workspaces", WORKSPACE, "AUTH_LOG"),
        ("workspaces", WORKSPACE, "AUDIT_LOG"),
        ("workspaces", WORKSPACE, "CODEX_SECURITY_LOG"),
        ("organizations", ORGANIZATION, "COSTS"),
        ("workspaces", WORKSPACE, "CUSTOM_AGENTS_LOG"),
    ] {
        for _ in 0..14 {
            let mut after = "2026-06-15T12:00:00Z".to_owned();
            for _ in 0..4 {
                let path = format!("/compliance/{kind}/{id}/logs?event_type={event_type}&after={after}");
                let response = bench.get(&path).await;
                if response.status() != 200 {
                    break;
                }
                let body = response.bytes().await.expect("a body");
                let page: Value = serde_json::from_slice(&body).expect("JSON");
                for id in ids(&page) {
                    listed.insert(id, event_type);
                }
                match page["last_end_time"].as_str() {
                    Some(last) if page["has_more"] == true => after = encoded(last),
                    _ => break,
                }
            }
        }
    }
    let truth = bench.simulator.truth();
    let mut unlisted = 0;
    for file in truth.files.iter().filter(|file| listed.values().any(|listed| *listed == file.event_type)) {
        assert!(!file.unsupported);
        // The tie is the client's to resolve.
        unlisted += usize::from(!listed.contains_key(&file.id));
        assert_eq!(fetch(&bench, file).await.is_none(), file.gone, "{:?}", file.case);
    }
    assert!(unlisted <= 4, "{unlisted}");
    assert!(truth.files.iter().any(|file| file.unsupported));
    let shown = bench.simulator.cases_shown();
    for (_, case, name, at) in chaos::TABLE {
        let passive = matches!(at, chaos::At::Always | chaos::At::Client);
        assert!(passive || shown.contains(&name), "{case:?}");
    }
    assert_eq!(bench.simulator.leaks(), 0);
    assert!(bench.simulator.violations().is_empty());
    bench.simulator.stop().await;
}
