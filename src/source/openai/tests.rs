//! The contract, played by a scripted network.

use std::collections::VecDeque;
use std::io::{Read, Seek, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use url::Url;

use super::*;
use crate::clock::ManualClock;
use crate::digest::sha256;
use crate::disk::DiskFile;
use crate::limits;
use crate::net::{NetError, Request, Response, Transport};
use crate::words::{Principal, PrincipalKind};

const BASE: &str = "https://api.example.com/v1";
const SIGNED: &str = "https://files.example.com/a?sig=secret";

type Answer = (u16, Vec<(&'static str, String)>, Vec<Result<Vec<u8>, NetError>>);

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    seen: Mutex<Vec<(String, bool, Instant)>>,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    fn urls(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(url, ..)| url.clone()).collect()
    }
}

impl Transport for Script {
    fn get(&self, request: Request) -> BoxFuture<'_, Result<Response, NetError>> {
        let authorized = request.authorization.is_some();
        self.seen.lock().unwrap().push((request.url.to_string(), authorized, Instant::now()));
        let next = self.answers.lock().unwrap().pop_front();
        let (status, fields, chunks) = next.expect("a request that the script does not know");
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
        }
        let body = futures_util::stream::iter(chunks.into_iter().map(|chunk| chunk.map(Bytes::from))).boxed();
        Box::pin(async move { Ok(Response { status, headers, body }) })
    }
}

fn answer(status: u16, body: &[u8]) -> Answer {
    (status, Vec::new(), vec![Ok(body.to_vec())])
}

fn redirect(status: u16, to: &str) -> Answer {
    (status, vec![("location", to.to_owned())], Vec::new())
}

fn with_base(base: &str, answers: impl IntoIterator<Item = Answer>) -> (Arc<Script>, Client) {
    let script = Arc::new(Script { answers: Mutex::new(answers.into_iter().collect()), ..Script::default() });
    let key =
        Arc::new(Key::new(Arc::new(|| Ok("sk-admin-secret".to_owned().into())), 50, limits::RETRY_AFTER_MAX));
    let clock = Arc::new(ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap()));
    let base: Url = base.parse().unwrap();
    let principal = Principal { kind: PrincipalKind::Workspace, id: "w/1".into() };
    (script.clone(), Client::new(script, clock, key, &base, &principal))
}

fn client(answers: impl IntoIterator<Item = Answer>) -> (Arc<Script>, Client) {
    with_base(BASE, answers)
}

fn expected(bytes: &[u8]) -> Expected {
    Expected { size: Some(bytes.len() as u64), sha256: Some(sha256(bytes)) }
}

async fn fetch(client: &Client, expected: Expected) -> Result<Vec<u8>, ApiError> {
    let create = || Ok(Box::new(tempfile::tempfile()?) as Box<dyn DiskFile>);
    let (stored, mut file) = client.fetch("eclf_1", expected, 1000, &create).await?;
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!((stored.size, stored.sha256), (bytes.len() as u64, sha256(&bytes)));
    Ok(bytes)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_listing_asks_for_one_type_with_its_time_verbatim() {
    let empty = br#"{"data":[],"has_more":false,"last_end_time":null}"#;
    let (script, client) = client([answer(200, empty), answer(200, empty)]);
    client.list("CODEX_LOG", "2026-07-15T10:53:24.123456+00:00", None, 100).await.unwrap();
    client.list("COSTS", "2026-07-15T10:53:24Z", Some("2026-07-16T00:00:00Z"), 1).await.unwrap();
    let urls = script.urls();
    assert_eq!(
        urls[0],
        "https://api.example.com/v1/compliance/workspaces/w%2F1/logs?event_type=CODEX_LOG\
         &after=2026-07-15T10%3A53%3A24.123456%2B00%3A00&limit=100"
    );
    assert!(urls[1].ends_with("&before=2026-07-16T00%3A00%3A00Z&limit=1"));
}

#[tokio::test(start_paused = true)]
async fn statuses_become_kinds_and_say_what_to_do() {
    for (status, kind) in [
        (400, ErrorKind::Unsupported),
        (401, ErrorKind::Refused),
        (403, ErrorKind::Denied),
        (404, ErrorKind::Gone),
        (410, ErrorKind::Gone),
        (422, ErrorKind::Status),
        (429, ErrorKind::Limited),
        (500, ErrorKind::Status),
        (301, ErrorKind::Status),
    ] {
        let (_, client) = client([answer(status, br#"{"error":{"message":"bad sk-admin-secret"}}"#)]);
        let error = client.list("AUTH_LOG", "2026-07-15T10:53:24Z", None, 1).await.unwrap_err();
        assert_eq!(error.kind, kind, "{status}");
        assert_eq!(error.to_string(), format!("listing AUTH_LOG answered {status}: bad …"));
    }
    let (_, client) = client([answer(200, b"<html>")]);
    let error = client.list("AUTH_LOG", "2026-07-15T10:53:24Z", None, 1).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol);
}

#[tokio::test(start_paused = true)]
async fn after_a_429_everybody_with_the_key_waits() {
    let limited = (429, vec![("retry-after", "7".to_owned())], Vec::new());
    let page = answer(200, br#"{"data":[],"has_more":false}"#);
    let (script, client) = client([limited, page]);
    let error = client.list("AUTH_LOG", "2026-07-15T10:53:24Z", None, 1).await.unwrap_err();
    assert_eq!(error.after, Some(Duration::from_secs(7)));
    client.list("CODEX_LOG", "2026-07-15T10:53:24Z", None, 1).await.unwrap();
    let seen = script.seen.lock().unwrap();
    assert_eq!(seen[1].2 - seen[0].2, Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn the_key_stays_at_home() {
    let redirects = [redirect(307, "/elsewhere"), redirect(302, SIGNED)];
    let (script, client) = client(redirects.into_iter().chain([answer(200, b"{}\n")]));
    assert_eq!(fetch(&client, expected(b"{}\n")).await.unwrap(), b"{}\n");
    let seen = script.seen.lock().unwrap();
    let authorized: Vec<bool> = seen.iter().map(|(_, authorized, _)| *authorized).collect();
    assert_eq!(authorized, [true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn redirects_lead_nowhere_unsafe() {
    for to in [
        "http://files.example.com/a",
        "https://169.254.169.254/latest",
        "https://127.0.0.1/a",
        "http://127.0.0.1/a",
        "ftp://files.example.com/a",
        "https://",
    ] {
        let (script, client) = client([redirect(307, to)]);
        let error = fetch(&client, expected(b"")).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Protocol, "{to}");
        assert_eq!(script.urls().len(), 1, "{to}");
    }
    let (_, lost) = client([(307, Vec::new(), Vec::new())]);
    assert_eq!(fetch(&lost, expected(b"")).await.unwrap_err().kind, ErrorKind::Protocol);
    let (script, looping) = client((0..4).map(|_| redirect(307, SIGNED)));
    let error = fetch(&looping, expected(b"")).await.unwrap_err();
    assert_eq!((error.kind, script.urls().len()), (ErrorKind::Protocol, 4));
    assert!(!error.to_string().contains("secret"));
    let answers = [redirect(307, "http://127.0.0.1:9/a"), answer(200, b"x")];
    let (_, local) = with_base("http://127.0.0.1:8/v1", answers);
    assert_eq!(fetch(&local, expected(b"x")).await.unwrap(), b"x");
}

#[tokio::test(start_paused = true)]
async fn a_refused_signed_address_is_asked_for_again() {
    let pair = || [redirect(307, SIGNED), answer(403, b"<Error/>")];
    let good = [redirect(307, SIGNED), answer(200, b"x")];
    let (_, second) = client(pair().into_iter().chain(good));
    assert_eq!(fetch(&second, expected(b"x")).await.unwrap(), b"x");
    let (script, never) = client((0..3).flat_map(|_| pair()));
    let error = fetch(&never, expected(b"x")).await.unwrap_err();
    assert_eq!((error.kind, script.urls().len()), (ErrorKind::Status, 6));
    assert!(!error.to_string().contains("secret"), "{error}");
    let (_, gone) = client([answer(404, b"")]);
    assert_eq!(fetch(&gone, expected(b"x")).await.unwrap_err().kind, ErrorKind::Gone);
}

#[tokio::test(start_paused = true)]
async fn only_the_listed_bytes_are_kept() {
    let wrong_hash = Expected { size: Some(3), sha256: Some([0; 32]) };
    let cut = vec![Ok(b"a".to_vec()), Err(NetError("reset".into()))];
    for (body, expected, kind) in [
        (vec![Ok(b"abc".to_vec())], wrong_hash, ErrorKind::Mismatch),
        (vec![Ok(b"ab".to_vec())], expected(b"abc"), ErrorKind::Mismatch),
        (vec![Ok(b"abcd".to_vec())], expected(b"abc"), ErrorKind::Mismatch),
        (cut, expected(b"abc"), ErrorKind::Network),
        (vec![Ok(vec![0; 1001])], Expected { size: None, sha256: None }, ErrorKind::Mismatch),
    ] {
        let (_, client) = client([(200, Vec::new(), body)]);
        assert_eq!(fetch(&client, expected).await.unwrap_err().kind, kind);
    }
}

#[tokio::test(start_paused = true)]
async fn an_encoded_body_is_decoded_or_kept_as_the_hash_says() {
    let bytes = b"{\"a\":1}\n".repeat(50);
    let packed = gzip(&bytes);
    let encoded =
        |name: &str, body: &[u8]| (200, vec![("content-encoding", name.to_owned())], vec![Ok(body.to_vec())]);
    let members = [gzip(&bytes[..8]), gzip(&bytes[8..])].concat();
    let zstd = zstd::encode_all(bytes.as_slice(), 3).unwrap();
    for (name, body) in [("gzip", &packed), ("gzip", &members), ("zstd", &zstd)] {
        let (_, client) = client([encoded(name, body)]);
        assert_eq!(fetch(&client, expected(&bytes)).await.unwrap(), bytes);
    }
    // The header is there, but the listed hash is that of the bytes as they are.
    for body in [&packed, &bytes] {
        let (_, client) = client([encoded("gzip", body), encoded("gzip", body)]);
        assert_eq!(fetch(&client, expected(body)).await.unwrap(), *body);
    }
    let bomb = gzip(&vec![0; 100_000]);
    let (_, client) = client((0..3).map(|_| encoded("gzip", &bomb)));
    let error = fetch(&client, Expected { size: None, sha256: None }).await;
    assert!(error.is_ok_and(|stored| stored == bomb), "over the limit when decoded: kept as it came");
}

#[tokio::test(start_paused = true)]
async fn a_crawling_download_is_given_up() {
    // Moved by hand: a paused clock does not run on while the writer's thread is at work.
    let drops = futures_util::stream::unfold((), |()| async {
        tokio::time::advance(Duration::from_secs(10)).await;
        Some((Ok(Bytes::from_static(b"x")), ()))
    });
    let file = Box::new(tempfile::tempfile().unwrap());
    let anything = Expected { size: None, sha256: None };
    let stored =
        super::download::store(drops.boxed(), super::download::Encoding::Identity, file, anything, 99);
    assert!(matches!(stored.await.err(), Some(super::download::Failed::Slow)));
}
