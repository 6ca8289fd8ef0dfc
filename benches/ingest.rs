//! Collecting and delivering against `curl`, in one run, on the same server and disk.
//!
//! `cargo bench --bench ingest [-- MEGABYTES ROUNDS]` makes a gigabyte of log files, serves them from the
//! page cache, and in turn fetches them with `curl` to files plus `sync`, and with `custodex run --once`
//! into a durable spool and a file sink, native format. It prints wall time, processor time and peak
//! memory of each, and the ratio of the medians. Every run of custodex is checked: each record is in the
//! output once, or the run is void.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, ensure};
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

const PROGRAM: &str = env!("CARGO_BIN_EXE_custodex");
const WORKSPACE: &str = "11111111-2222-4333-8444-555555555555";
const TYPES: [&str; 8] =
    ["AUDIT_LOG", "AUTH_LOG", "CODEX_LOG", "CODEX_SECURITY_LOG", "T_FIVE", "T_SIX", "T_SEVEN", "T_EIGHT"];
const FILE_BYTES: u64 = 8_000_000;

struct LogFile {
    id: String,
    event_type: &'static str,
    end_time: Timestamp,
    size: u64,
    sha256: String,
    records: u64,
}

struct Served {
    folder: PathBuf,
    files: Vec<LogFile>,
    signed: String,
}

struct Figures {
    wall: f64,
    processor: f64,
    peak_mib: f64,
}

fn main() -> anyhow::Result<()> {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let (megabytes, rounds) =
        (numbers.first().copied().unwrap_or(1000), numbers.get(1).copied().unwrap_or(3));
    let folder = std::env::temp_dir().join(format!("custodex-bench-{}", std::process::id()));
    fs::create_dir_all(folder.join("served"))?;
    let result = measure(&folder, megabytes * 1_000_000, rounds.max(1));
    fs::remove_dir_all(&folder)?;
    result
}

fn measure(folder: &Path, bytes: u64, rounds: u64) -> anyhow::Result<()> {
    let files = make(&folder.join("served"), bytes)?;
    let records: u64 = files.iter().map(|file| file.records).sum();
    let bytes: u64 = files.iter().map(|file| file.size).sum();
    println!("{} files, {records} records, {:.0} MB", files.len(), bytes as f64 / 1e6);
    let runtime = tokio::runtime::Runtime::new()?;
    let (api, signed) = runtime.block_on(serve(folder.join("served"), files))?;
    let ids: Vec<String> = list(&folder.join("served"))?;
    let (mut curl, mut own) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        curl.push(run_curl(folder, &ids, signed)?);
        own.push(run_custodex(folder, api, records)?);
        show(&format!("round {round} curl + sync"), &curl[curl.len() - 1], bytes);
        show(&format!("round {round} custodex"), &own[own.len() - 1], bytes);
    }
    let ratio = median(&own) / median(&curl);
    println!("custodex takes {ratio:.2} times the wall time of curl + sync (medians of {rounds})");
    Ok(())
}

/// Log files of fresh text, about 2.5 kB a record.
fn make(folder: &Path, bytes: u64) -> anyhow::Result<Vec<LogFile>> {
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

async fn serve(folder: PathBuf, files: Vec<LogFile>) -> anyhow::Result<(SocketAddr, SocketAddr)> {
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

fn list(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().into_string().ok().context("a name of ours")?);
    }
    names.sort();
    Ok(names)
}

/// One process, one connection after the other kept alive, then everything on the disk.
fn run_curl(folder: &Path, ids: &[String], store: SocketAddr) -> anyhow::Result<Figures> {
    let out = folder.join("curl");
    fs::create_dir_all(&out)?;
    let urls = ids.iter().map(|id| {
        format!(
            "url = http://{store}/{id}
output = {}",
            out.join(id).display()
        )
    });
    let list = urls.collect::<Vec<_>>().join(
        "
",
    );
    fs::write(folder.join("curl.config"), list)?;
    let script =
        format!("curl -s -S -K {} && sync {}/*", folder.join("curl.config").display(), out.display());
    let figures = timed(Command::new("sh").arg("-c").arg(script), folder)?;
    fs::remove_dir_all(out)?;
    Ok(figures)
}

fn run_custodex(folder: &Path, api: SocketAddr, records: u64) -> anyhow::Result<Figures> {
    let (data, output) = (folder.join("data"), folder.join("output"));
    let types: Vec<String> = TYPES.iter().map(|name| format!("{name:?}")).collect();
    let config = format!(
        "data_dir = \"{}\"\n[sources.bench]\ntype = \"compliance_logs\"\nworkspace_id = \"{WORKSPACE}\"\n\
         api_key = {{ env = \"BENCH_KEY\" }}\nbase_url = \"http://{api}/v1\"\nrequests_per_minute = 1000000\n\
         event_types = [{}]\n[sinks.out]\ntype = \"file\"\ndirectory = \"{}\"\nformat = \"native\"\n",
        data.display(),
        types.join(", "),
        output.display()
    );
    fs::write(folder.join("config.toml"), config)?;
    let mut command = Command::new(PROGRAM);
    command
        .arg("-c")
        .arg(folder.join("config.toml"))
        .args(["run", "--once"])
        .env("BENCH_KEY", "sk-admin-bench-key");
    let figures = timed(&mut command, folder)?;
    let mut delivered = 0;
    for entry in fs::read_dir(&output)? {
        let mut lines = BufReader::with_capacity(1 << 20, File::open(entry?.path())?);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            ensure!(line.starts_with(b"{\"schema\":\"1\""), "no native record");
            delivered += 1;
            line.clear();
        }
    }
    ensure!(delivered == records, "{delivered} records of {records} arrived: the run is void");
    fs::remove_dir_all(data)?;
    fs::remove_dir_all(output)?;
    Ok(figures)
}

/// Runs under `/usr/bin/time`, which knows processor time and peak memory of a child.
fn timed(command: &mut Command, folder: &Path) -> anyhow::Result<Figures> {
    let report = folder.join("time");
    let mut timed = Command::new("/usr/bin/time");
    timed
        .arg("-f")
        .arg("%e %U %S %M")
        .arg("-o")
        .arg(&report)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        timed.env(name, value.unwrap_or_default());
    }
    let status =
        timed.stdout(Stdio::null()).stderr(Stdio::null()).status().context("/usr/bin/time is needed")?;
    ensure!(status.success(), "{} ended with {status}", command.get_program().display());
    let text = fs::read_to_string(report)?;
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [wall, user, system, peak] = numbers[..] else { anyhow::bail!("time said {text:?}") };
    Ok(Figures { wall, processor: user + system, peak_mib: peak / 1024.0 })
}

fn show(name: &str, figures: &Figures, bytes: u64) {
    println!(
        "{name:22} {:6.2} s wall  {:5.0} MB/s  {:6.2} s processor  {:4.0} MiB peak",
        figures.wall,
        bytes as f64 / 1e6 / figures.wall,
        figures.processor,
        figures.peak_mib
    );
}

fn median(runs: &[Figures]) -> f64 {
    let mut walls: Vec<f64> = runs.iter().map(|run| run.wall).collect();
    walls.sort_by(f64::total_cmp);
    walls[walls.len() / 2]
}
