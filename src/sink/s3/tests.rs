//! Against a store that answers what it is told to.

use std::collections::VecDeque;
use std::fs;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;

use super::S3Config;
use crate::archive::Packing;
use crate::digest::{hex, sha256};
use crate::ground::Ground;
use crate::net::NetworkConfig;
use crate::recovery::Recovery;
use crate::sink::{Archive, ArchiveConfig, Object, Put, SinkError};

const BYTES: &[u8] = b"compressed, let us say";

/// An answer: status, headers, body.
type Answer = (u16, Vec<(&'static str, String)>, &'static str);

#[derive(Debug)]
struct Asked {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<Answer>,
    asked: Vec<Asked>,
}

struct World {
    folder: TempDir,
    archive: Arc<dyn Archive>,
    config: S3Config,
    script: Arc<Mutex<Script>>,
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let path = parts.uri.path().to_owned();
    let mut script = script.lock().unwrap();
    script.asked.push(Asked { method: parts.method, path, headers: parts.headers, body });
    let (status, headers, body) = script.answers.pop_front().unwrap_or((501, Vec::new(), ""));
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).unwrap()
}

impl World {
    async fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        let path = |name: &str| folder.path().join(name);
        fs::write(path("id"), "FIRST").unwrap();
        fs::write(path("key"), "secret").unwrap();
        fs::write(path("body"), BYTES).unwrap();
        let keys = format!(
            "bucket = 'b'\nprefix = 'p'\nendpoint_url = 'http://{address}'\nregion = 'eu-west-1'\n\
             access_key_id = {{ file = {:?} }}\nsecret_access_key = {{ file = {:?} }}\n{more}",
            path("id"),
            path("key")
        );
        let config: S3Config = toml::from_str(&keys).unwrap();
        let archive = config.open(Ground::real(), &NetworkConfig::default(), "w");
        Self { folder, archive, config, script }
    }

    fn object(&self) -> Object {
        Object {
            key: "raw/v1/x_%2F.jsonl.zst".into(),
            body: self.folder.path().join("body"),
            length: BYTES.len() as u64,
            sha256: sha256(BYTES),
            packing: Packing::Zstd,
            verbatim_sha256: [7; 32],
            verbatim: true,
            evidence: true,
            file_id: "a/é\n".into(),
            records: 3,
        }
    }

    /// The next answers; then one put.
    async fn put(&self, answers: impl IntoIterator<Item = Answer>) -> Result<Put, SinkError> {
        self.script.lock().unwrap().answers = answers.into_iter().collect();
        let result = self.archive.put(&self.object()).await;
        assert_eq!(self.script.lock().unwrap().answers.len(), 0, "everything was asked for");
        result
    }

    fn methods(&self) -> Vec<Method> {
        self.script.lock().unwrap().asked.iter().map(|asked| asked.method.clone()).collect()
    }
}

fn plain(status: u16) -> Answer {
    (status, Vec::new(), "")
}

fn coded(status: u16, body: &'static str) -> Answer {
    (status, vec![("content-type", "application/xml".into())], body)
}

fn holding(hash: [u8; 32]) -> Answer {
    (200, vec![("x-amz-meta-custodex-sha256", hex(&hash))], "")
}

fn hint(result: Result<Put, SinkError>) -> String {
    match result.unwrap_err().recovery {
        Recovery::Pause { hint } => hint,
        other => panic!("{other:?}"),
    }
}

fn is_tried_again(result: Result<Put, SinkError>) -> bool {
    matches!(result.unwrap_err().recovery, Recovery::Retry { .. })
}

#[tokio::test]
async fn one_request_stores_an_object_with_all_it_has_to_say() {
    let world = World::new("").await;
    assert_eq!(world.put([plain(200)]).await.unwrap(), Put::Stored);
    let script = world.script.lock().unwrap();
    let [asked] = &script.asked[..] else { panic!("{script:?}") };
    assert_eq!((&asked.method, asked.path.as_str()), (&Method::PUT, "/b/p/raw/v1/x_%252F.jsonl.zst"));
    let header = |name: &str| asked.headers.get(name).map(|value| value.to_str().unwrap());
    for (name, value) in [
        ("if-none-match", "*"),
        ("content-length", "22"),
        ("content-type", "application/x-ndjson"),
        ("x-amz-checksum-sha256", &BASE64_STANDARD.encode(sha256(BYTES))),
        ("x-amz-meta-custodex-sha256", &hex(&[7; 32])),
        ("x-amz-meta-custodex-file-id", "a%2F%C3%A9%0A"),
        ("x-amz-meta-custodex-records", "3"),
    ] {
        assert_eq!(header(name), Some(value), "{name}");
    }
    assert!(header("authorization").unwrap().contains("Credential=FIRST/"));
    assert_eq!((header("content-encoding"), header("transfer-encoding")), (None, None));
    assert_eq!(asked.body, BYTES);
}

#[tokio::test]
async fn what_is_there_is_compared_by_the_log_files_hash() {
    let world = World::new("").await;
    assert_eq!(world.put([plain(412), holding([7; 32])]).await.unwrap(), Put::AlreadyThere);
    assert!(hint(world.put([plain(412), holding([8; 32])]).await).contains("find out who wrote it"));
    assert!(hint(world.put([plain(412), plain(200)]).await).contains("find out who wrote it"));
    assert!(is_tried_again(world.put([plain(412), plain(404)]).await));
    let methods = world.methods();
    let pairs = methods.chunks(2).all(|pair| pair == [Method::PUT, Method::HEAD]);
    assert!(methods.len() == 8 && pairs, "{methods:?}");
}

#[tokio::test]
async fn what_was_stored_in_spite_of_an_error_is_found() {
    let world = World::new("").await;
    assert!(is_tried_again(world.put([coded(500, "<Error><Code>InternalError</Code></Error>")]).await));
    assert_eq!(world.put([plain(412), holding([7; 32])]).await.unwrap(), Put::AlreadyThere);
    for body in ["<Error><Code>SlowDown</Code></Error>", "not XML", ""] {
        assert!(is_tried_again(world.put([coded(503, body)]).await), "{body}");
    }
    assert!(is_tried_again(
        world.put([coded(409, "<Error><Code>ConditionalRequestConflict</Code></Error>")]).await
    ));
    assert_eq!(world.methods().len(), 7, "the SDK itself tries nothing again");
}

#[tokio::test]
async fn each_refusal_names_the_next_step() {
    let world = World::new("").await;
    let elsewhere = (301, vec![("x-amz-bucket-region", "us-east-2".to_owned())], "");
    assert!(hint(world.put([elsewhere]).await).contains("set region = \"us-east-2\""));
    for (status, body, says) in [
        (404, "<Error><Code>NoSuchBucket</Code></Error>", "make the bucket"),
        (403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", "clock"),
        (403, "<Error><Code>AccessDenied</Code></Error>", "let these credentials"),
        (400, "<Error><Code>ExpiredToken</Code></Error>", "renew the credentials"),
    ] {
        let found = hint(world.put([coded(status, body)]).await);
        assert!(found.contains(says), "{body}: {found}");
    }
}

#[tokio::test]
async fn new_credentials_are_found_without_a_pause() {
    let world = World::new("").await;
    world.put([plain(200)]).await.unwrap();
    fs::write(world.folder.path().join("id"), "SECOND").unwrap();
    let refused = || coded(403, "<Error><Code>InvalidAccessKeyId</Code></Error>");
    assert_eq!(world.put([refused(), plain(200)]).await.unwrap(), Put::Stored);
    let last = world.script.lock().unwrap().asked.pop().unwrap();
    assert!(last.headers["authorization"].to_str().unwrap().contains("Credential=SECOND/"));
    assert!(hint(world.put([refused(), refused()]).await).contains("check access key"));
    fs::write(world.folder.path().join("key"), "").unwrap();
    assert!(hint(world.put([]).await).contains("put the secret there"));
}

#[tokio::test]
async fn a_store_that_only_says_it_locks_is_found_out() {
    let world = World::new("object_lock = { mode = 'compliance', days = 2 }").await;
    assert!(hint(world.put([plain(200), plain(200)]).await).contains("does not lock"));
    let locked = (200, vec![("x-amz-object-lock-mode", "COMPLIANCE".to_owned())], "");
    world.put([plain(200), locked]).await.unwrap();
    // Once is enough.
    world.put([plain(200)]).await.unwrap();
    let asked = world.script.lock().unwrap().asked.pop().unwrap();
    let until: jiff::Timestamp =
        asked.headers["x-amz-object-lock-retain-until-date"].to_str().unwrap().parse().unwrap();
    let left = until.as_second() - Ground::real().now();
    assert!((2 * 86_400 - 60..=2 * 86_400).contains(&left), "{left}");
}

#[tokio::test]
async fn what_is_no_evidence_is_not_locked() {
    let world = World::new("object_lock = { mode = 'compliance', days = 2 }").await;
    world.script.lock().unwrap().answers = [plain(200)].into();
    world.archive.put(&Object { evidence: false, ..world.object() }).await.unwrap();
    let asked = world.script.lock().unwrap().asked.pop().unwrap();
    assert!(asked.headers.keys().all(|name| !name.as_str().contains("lock")), "{:?}", asked.headers);
}

#[tokio::test]
async fn a_probe_writes_nothing() {
    let world = World::new("").await;
    world.script.lock().unwrap().answers.push_back(plain(200));
    let found = world.config.probe(&Ground::real(), &NetworkConfig::default()).await.unwrap();
    assert_eq!((found.as_str(), world.methods()), ("s3://b/p can be reached", vec![Method::HEAD]));
}

#[tokio::test]
async fn nobody_at_home_is_tried_again_and_shows_no_secret() {
    let world = World::new("").await;
    let keys = |port: u16| {
        format!(
            "bucket = 'b'\nendpoint_url = 'http://127.0.0.1:{port}'\naccess_key_id = {{ file = {:?} }}\n\
             secret_access_key = {{ file = {:?} }}",
            world.folder.path().join("id"),
            world.folder.path().join("key")
        )
    };
    let config: S3Config = toml::from_str(&keys(9)).unwrap();
    let archive = config.open(Ground::real(), &NetworkConfig::default(), "w");
    let error = archive.put(&world.object()).await.unwrap_err();
    assert_eq!(error.recovery, Recovery::Retry { after: None }, "{error}");
    assert!(error.message.contains("refused") && !error.message.contains("FIRST"), "{error}");
}

#[test]
fn keys_are_checked_where_they_stand() {
    let read = |line: &str| toml::from_str::<S3Config>(&format!("bucket = 'b'\n{line}\n"));
    for (line, says) in [
        ("endpoint_url = 'http://s3.example.com'", "has to be https"),
        ("endpoint_url = 'https://me:secret@s3.example.com'", "more than scheme"),
        ("prefix = '/x'", "an empty part"),
        ("prefix = 'a/../b'", "dots only"),
        ("compression = 'none'", "always compressed"),
        ("checksum = 'md5'", "unknown variant `md5`"),
        ("object_lock = { mode = 'governance' }", "missing field `days`"),
        ("object_lock = { mode = 'governance', days = 0 }", "nonzero"),
        ("tls = { server_name = 'x' }", "unknown field `server_name`"),
    ] {
        let error = read(line).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("line 2"), "{line}: {error}");
    }
    assert!(
        toml::from_str::<S3Config>("bucket = 's3://b'").unwrap_err().to_string().contains("the name alone")
    );
    let config = read("prefix = 'a/b//'").unwrap();
    assert_eq!(
        (config.key("k").as_str(), config.path_style(), config.shown()),
        ("a/b/k", false, "s3://b/a/b".into())
    );
    assert!(read("endpoint_url = 'https://s3.example.com'").unwrap().path_style());
    let half = read("access_key_id = { env = 'ID' }\nexternal_id = 'x'").unwrap();
    let faults = half.faults();
    assert_eq!(faults.iter().map(|(key, ..)| *key).collect::<Vec<_>>(), ["access_key_id", "external_id"]);
}
