//! Log files for benchmarks, and a provider that serves them from the page cache.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path as At, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use custodex::digest;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;
use tokio_util::io::ReaderStream;

pub const WORKSPACE: &str = "11111111-2222-4333-8444-555555555555";
pub const TYPES: [&str; 8] =
    ["AUDIT_LOG", "AUTH_LOG", "CODEX_LOG", "CODEX_SECURITY_LOG", "T_FIVE", "T_SIX", "T_SEVEN", "T_EIGHT"];
const FILE_BYTES: u64 = 8_000_000;

pub struct LogFile {
    id: String,
    event_type: &'static str,
    end_time: Timestamp,
    pub size: u64,
    sha256: String,
    pub records: u64,
}

struct Served {
    folder: PathBuf,
    files: Vec<LogFile>,
    signed: String,
}

/// Log files of fresh text, about 2.5 kB a record.
pub fn make(folder: &Path, bytes: u64) -> anyhow::Result<Vec<LogFile>> {
    let mut random = fastrand::Rng::with_seed(1);
    let newest = Timestamp::now_for_bench();
    let mut files: Vec<LogFile> = Vec::new();
    let mut made = 0;
    while made < bytes {
        let number = files.len();
        let (event_type, id) = (TYPES[number % TYPES.len()], format!("eclf_{number:06}"));
        let mut hash = digest::Sha256::new();
        let (mut size, mut records) = (0, 0);
        let mut out = BufWriter::new(File::create(folder.join(&id))?);
        while size < FILE_BYTES.min(bytes - made) {
            let line = record(&mut random, event_type, number, records);
            hash.update(line.as_bytes());
            out.write_all(line.as_bytes())?;
            size += line.len() as u64;
            records += 1;
        }
        out.flush()?;
        let end_time = newest - SignedDuration::from_mins(10 * i64::try_from(1000 - number)?);
        let sha256 = digest::hex(&hash.finish());
        files.push(LogFile { id, event_type, end_time, size, sha256, records });
        made += size;
    }
    Ok(files)
}

/// Where wall time enters a benchmark.
trait NowForBench {
    fn now_for_bench() -> Self;
}

impl NowForBench for Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the listing must lie within retention")]
    fn now_for_bench() -> Self {
        Self::now()
    }
}

fn record(random: &mut fastrand::Rng, event_type: &str, file: usize, number: u64) -> String {
    let words = random.usize(40..640);
    let mut text = String::with_capacity(words * 7);
    for _ in 0..words {
        for _ in 0..random.usize(2..9) {
            text.push(random.lowercase());
        }
        text.push_str(if random.u8(..12) == 0 { "\\n" } else { " " });
    }
    let (action, key) = if number.is_multiple_of(2) {
        ("PROMPT_SENT", "prompt_text")
    } else {
        ("PROMPT_RESPONSE_RECEIVED", "response_text")
    };
    format!(
        "{{\"event_id\":\"{file:08x}-0000-4000-8000-{number:012x}\",\"type\":\"{event_type}\",\
         \"timestamp\":\"2026-07-15T10:48:58.762392Z\",\
         \"principal\":{{\"id\":\"{WORKSPACE}\",\"type\":\"CHATGPT_WORKSPACE\"}},\
         \"actor\":{{\"type\":\"ACCOUNT_USER\",\"user_id\":\"user-{:04}\",\"user_email\":\"dev@example.com\"}},\
         \"event_type\":\"{action}\",\"client_id\":\"CODEX_CLI\",\"workspace_id\":\"{WORKSPACE}\",\
         \"event_details\":{{\"detail_type\":\"{action}\",\"session_id\":\"sess-{}\",\"turn_id\":\"turn-7\",\
         \"call_id\":\"call-3\",\"{key}\":\"{text}\",\"status\":\"completed\",\"model\":\"gpt-5.5-codex\",\
         \"token_usage\":{{\"input_tokens\":1200,\"output_tokens\":80,\"cached_input_tokens\":1024,\
         \"reasoning_output_tokens\":32}},\"environment_id\":null}}}}\n",
        random.u16(..5000),
        number / 8,
    )
}

pub async fn serve(folder: PathBuf, files: Vec<LogFile>) -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let store = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let api = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let (at_api, at_store) = (api.local_addr()?, store.local_addr()?);
    let served = Arc::new(Served { folder, files, signed: format!("http://{at_store}/") });
    let listing = Router::new()
        .route("/v1/compliance/workspaces/{workspace}/logs", get(page))
        .route("/v1/compliance/workspaces/{workspace}/logs/{id}", get(redirect))
        .with_state(served.clone());
    let bodies = Router::new().route("/{id}", get(body)).with_state(served);
    tokio::spawn(async move { axum::serve(api, listing).await });
    tokio::spawn(async move { axum::serve(store, bodies).await });
    Ok((at_api, at_store))
}

#[derive(Deserialize)]
struct Asked {
    event_type: String,
    after: String,
    limit: usize,
}

async fn page(
    State(served): State<Arc<Served>>,
    Query(asked): Query<Asked>,
) -> Result<impl IntoResponse, StatusCode> {
    let after: Timestamp = asked.after.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    let mut rows =
        served.files.iter().filter(|file| file.event_type == asked.event_type && file.end_time > after);
    let data: Vec<&LogFile> = rows.by_ref().take(asked.limit).collect();
    let last = data.last().map(|file| file.end_time);
    let rows_shown: Vec<_> = data
        .iter()
        .map(|file| {
            json!({"id": file.id, "event_type": file.event_type, "end_time": file.end_time.to_string(),
                   "file_name": file.id, "file_size": file.size, "file_sha256": file.sha256})
        })
        .collect();
    let body = json!({"data": rows_shown, "has_more": rows.next().is_some(),
                      "last_end_time": last.map(|at| at.to_string())});
    Ok(([(header::CONTENT_TYPE, "application/json")], body.to_string()))
}

async fn redirect(State(served): State<Arc<Served>>, At((_, id)): At<(String, String)>) -> impl IntoResponse {
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, format!("{}{id}", served.signed))])
}

async fn body(
    State(served): State<Arc<Served>>,
    At(id): At<String>,
) -> Result<impl IntoResponse, StatusCode> {
    let file = tokio::fs::File::open(served.folder.join(id)).await.map_err(|_| StatusCode::NOT_FOUND)?;
    let length = file.metadata().await.map_err(|_| StatusCode::NOT_FOUND)?.len();
    let stream = ReaderStream::with_capacity(file, 512 * 1024);
    Ok(([(header::CONTENT_LENGTH, length.to_string())], Body::from_stream(stream)))
}
