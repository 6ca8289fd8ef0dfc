//! What a browser and a scraper get, from a server on a real socket.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::ground::Ground;
use crate::ledger::{ANSWERED, Collected, Ledger, LetterRow, PageEntry, Position, SinkStart, StreamState};
use crate::spool::Spool;
use crate::words::{Principal, PrincipalKind};

const HOSTILE: &str = "\"><script>alert(1)</script>";

struct Served {
    address: SocketAddr,
    shared: Shared,
    _folder: tempfile::TempDir,
}

async fn served() -> Served {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::real();
    let (ledger, _thread) = Ledger::open(&folder.path().join("ledger.db")).unwrap();
    let spool = Spool::open(ground.disk.clone(), &folder.path().join("spool")).unwrap();
    let shared = Shared::new(ground, ledger, spool, 1000, &Collected::default());
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let page = Page::bind(listen, None, "here".into(), shared.clone()).await.unwrap();
    let address = page.address;
    tokio::spawn(page.run());
    Served { address, shared, _folder: folder }
}

impl Served {
    async fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A server that refuses may close before it has read everything.
        drop(stream.read_to_end(&mut answer).await);
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_is_answered_and_nothing_else() {
    let served = served().await;
    let paths = ["/", "/?reload", "/metrics", "/healthz", "/style.css", "/icon.svg"];
    for path in paths {
        let answer = served.get(path).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200") && !body.is_empty(), "{path}: {answer}");
        assert_eq!(head.contains("\r\nrefresh: 30\r\n"), path == "/?reload");
        for part in [
            "content-security-policy: default-src 'none'; style-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(head.contains(part), "{path} lacks {part}");
        }
    }
    for (request, status) in [
        ("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        ("GET /../ledger.db HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421"),
        ("GET / HTTP/1.0\r\n\r\n", "421"),
        ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx", "405"),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let answer = served.send(request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}"))
                || answer.starts_with(&format!("HTTP/1.0 {status}")),
            "{request}: {answer}"
        );
    }
    let many = "X: x\r\n".repeat(100);
    let answer = served.send(&format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let long = "x".repeat(64 * 1024);
    let answer = served.send(&format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    assert!(!answer.starts_with("HTTP/1.1 200") && !answer.starts_with("HTTP/1.1 404"), "{answer}");
    let head = served.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_connects_and_says_nothing_makes_nobody_wait_for_long() {
    let served = served().await;
    let mut silent = Vec::new();
    for _ in 0..limits::HTTP_CONNECTIONS + 8 {
        silent.push(TcpStream::connect(served.address).await.unwrap());
    }
    let patience = 3 * limits::HTTP_HEADER_TIME;
    let answer = tokio::time::timeout(patience, served.get("/healthz")).await;
    assert!(answer.unwrap().starts_with("HTTP/1.1 200"));
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(patience, silent[0].read_to_end(&mut rest)).await;
    assert!(closed.is_ok() && !rest.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_names_are_shown_as_text_and_answers_of_receivers_not_at_all() {
    let served = served().await;
    let ledger = &served.shared.ledger;
    let principal = Principal { kind: PrincipalKind::Workspace, id: HOSTILE.into() };
    let stream = ledger.enable_stream("codex".into(), principal, HOSTILE.into(), 0, 0).await.unwrap();
    let entry =
        PageEntry { file_id: HOSTILE.into(), end_time: HOSTILE.into(), end_at: 1, size: None, sha256: None };
    ledger.record_page(stream, vec![entry], None, None, 1).await.unwrap();
    let file = ledger.due_files(stream, 1, 1, [].into()).await.unwrap().remove(0);
    ledger.record_hole(file.row, HOSTILE.into(), jiff::Timestamp::UNIX_EPOCH).await.unwrap();
    let trouble = Some(HOSTILE.to_owned());
    ledger.record_stream_state(stream, StreamState::Denied, trouble.clone(), trouble.clone()).await.unwrap();
    ledger.enable_sink(HOSTILE.into(), "file", "durable", SinkStart::Beginning, false).await.unwrap();
    ledger.record_sink_state(HOSTILE.into(), "paused", trouble.clone(), trouble).await.unwrap();
    let letter = LetterRow {
        id: 0,
        sink: HOSTILE.into(),
        position: Position::default(),
        record_id: HOSTILE.into(),
        principal: HOSTILE.into(),
        event_type: HOSTILE.into(),
        at: HOSTILE.into(),
        reason: format!("{HOSTILE}{ANSWERED}the prompt was: canary-7f3b9c"),
        retry: false,
    };
    ledger.record_letter(letter).await.unwrap();
    let page = served.get("/").await;
    assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    assert!(!page.contains("<script"), "{page}");
    for path in ["/", "/metrics", "/readyz", "/healthz"] {
        assert!(!served.get(path).await.contains("canary"), "{path}");
    }
    let metrics = served.get("/metrics").await;
    assert!(metrics.contains(r#"event_type="\"><script>alert(1)</script>""#), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_names_who_is_stuck_and_readiness_why() {
    let served = served().await;
    assert!(served.get("/healthz").await.contains(r#"{"alive":true,"stuck":[]}"#));
    let ledger = &served.shared.ledger;
    ledger.enable_sink("out".into(), "file", "durable", SinkStart::Beginning, false).await.unwrap();
    assert!(served.get("/readyz").await.contains(r#"{"ready":true,"reasons":[]}"#));
    ledger
        .record_sink_state("out".into(), "paused", Some("full".into()), Some("make room".into()))
        .await
        .unwrap();
    let pulse = served.shared.vitals.pulses.task("sink out".to_owned());
    pulse.beat(Duration::ZERO);
    tokio::task::yield_now().await;
    let (health, ready) = (served.get("/healthz").await, served.get("/readyz").await);
    assert!(health.starts_with("HTTP/1.1 503") && health.contains(r#""task":"sink out""#), "{health}");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(ready.contains(r#""state":"paused","error":"full","hint":"make room""#), "{ready}");
    assert!(served.get("/").await.contains("sink out: it should have moved by now"));
    pulse.beat(Duration::from_secs(60));
    ledger.record_sink_state("out".into(), "ok", None, None).await.unwrap();
    for path in ["/healthz", "/readyz"] {
        assert!(served.get(path).await.starts_with("HTTP/1.1 200"), "{path}");
    }
}
