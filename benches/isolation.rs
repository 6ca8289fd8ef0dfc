//! What sick sinks cost the others, in time and memory, and how they drain afterwards.
//!
//! `cargo bench --bench isolation [-- MEGABYTES ROUNDS BACKLOG]` delivers log files to a file and to a
//! directory archive, in turn alone and beside three sick sinks: a collector that refuses everything, a
//! syslog receiver that takes the connection and reads nothing, and a sink that may take 10 records a
//! second. It prints the rate of each round and the ratio of the medians. Then it lets BACKLOG megabytes
//! pile up for the sick sinks, prints the peak memory of the process, makes them well, and checks that
//! each gets every record in the order of the file sink.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "wall time of another process is what is measured")]

mod served;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde_json::Value;
use served::{TYPES, WORKSPACE, make, serve};

const PROGRAM: &str = env!("CARGO_BIN_EXE_custodex");
/// What the process may need at its peak.
const MOST_MIB: f64 = 64.0;
/// How sick sinks are left to their retries, once the others are done.
const SICK: Duration = Duration::from_secs(35);
/// No round and no drain takes longer.
const PATIENCE: Duration = Duration::from_secs(900);

/// Two receivers that are sick until told otherwise, and the ids of the records they got.
struct Receivers {
    well: Arc<AtomicBool>,
    collector: SocketAddr,
    collected: Ids,
    syslog: SocketAddr,
    logged: Ids,
}

type Ids = Arc<Mutex<Vec<String>>>;

fn main() -> anyhow::Result<()> {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let number = |at: usize, default| numbers.get(at).copied().unwrap_or(default);
    let folder = std::env::temp_dir().join(format!("custodex-isolation-{}", std::process::id()));
    let result = measure(&folder, number(0, 300), number(1, 5).max(1), number(2, 1000));
    fs::remove_dir_all(&folder)?;
    result
}

fn measure(folder: &Path, megabytes: u64, rounds: u64, backlog: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let provider = |name: &str, megabytes: u64| -> anyhow::Result<(SocketAddr, u64)> {
        fs::create_dir_all(folder.join(name))?;
        let files = make(&folder.join(name), megabytes * 1_000_000)?;
        let records = files.iter().map(|file| file.records).sum();
        let (api, _) = runtime.block_on(serve(folder.join(name), files))?;
        Ok((api, records))
    };
    let (api, records) = provider("served", megabytes)?;
    let receivers = Receivers::start(&runtime)?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        for sick in [round % 2 == 0, round % 2 != 0] {
            let place = Place::new(folder, api, sick.then_some(&receivers))?;
            let began = Instant::now();
            let mut child = place.run()?;
            let result = place.await_sinks(&["out", "kept"], records);
            let rate = records as f64 / began.elapsed().as_secs_f64();
            end(&mut child)?;
            result?;
            println!(
                "round {round} {:22} {rate:8.0} records/s",
                if sick { "beside sick sinks" } else { "alone" }
            );
            if sick { beside.push(rate) } else { alone.push(rate) }
        }
    }
    let ratio = median(&mut beside) / median(&mut alone);
    println!("beside sick sinks the others deliver at {:.1} % of their rate alone", ratio * 100.0);
    let (api, records) = provider("backlog", backlog)?;
    // Connections of the rounds above hold records of those, which came in another order.
    pile_up(folder, api, records, &Receivers::start(&runtime)?)
}

/// A backlog for sick sinks: what memory it takes, and whether they drain in order.
fn pile_up(folder: &Path, api: SocketAddr, records: u64, receivers: &Receivers) -> anyhow::Result<()> {
    let place = Place::new(folder, api, Some(receivers))?;
    let mut child = place.run()?;
    place.await_sinks(&["out", "kept"], records)?;
    sleep(SICK);
    let peak = peak_mib(child.id())?;
    println!("peak memory with a backlog of {records} records: {peak:.1} MiB");
    receivers.well.store(true, Ordering::Relaxed);
    let began = Instant::now();
    let drained = place.await_sinks(&["refusing", "hanging"], records);
    println!(
        "drained in {:.1} s; peak memory then {:.1} MiB",
        began.elapsed().as_secs_f64(),
        peak_mib(child.id())?
    );
    end(&mut child)?;
    drained?;
    let expected = ids_of(&place.folder.join("out"))?;
    let slow = ids_of(&place.folder.join("slow"))?;
    for (name, got) in [("refusing", &receivers.collected), ("hanging", &receivers.logged)] {
        // Those of earlier rounds are none: both were sick then.
        let got = got.lock().unwrap_or_else(PoisonError::into_inner);
        let again = in_order(&got, &expected).with_context(|| format!("sink {name}"))?;
        println!("{name}: every record in order, {again} came again");
    }
    ensure!(!slow.is_empty() && expected.starts_with(&slow), "the slow sink is out of order");
    println!("slow: {} records in order", slow.len());
    ensure!(peak <= MOST_MIB, "more than {MOST_MIB} MiB");
    Ok(())
}

/// Each record's first copy has its place; answers how many further copies there are.
fn in_order(got: &[String], expected: &[String]) -> anyhow::Result<usize> {
    let mut seen = HashSet::new();
    let first: Vec<&String> = got.iter().filter(|id| seen.insert(id.as_str())).collect();
    ensure!(first.len() == expected.len(), "{} of {} records", first.len(), expected.len());
    ensure!(first.into_iter().eq(expected.iter()), "records are out of order");
    Ok(got.len() - expected.len())
}

/// A data folder and a configuration, anew.
struct Place {
    folder: PathBuf,
}

impl Place {
    fn new(folder: &Path, api: SocketAddr, sick: Option<&Receivers>) -> anyhow::Result<Self> {
        let folder = folder.join("place");
        if folder.try_exists()? {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let types: Vec<String> = TYPES.iter().map(|name| format!("{name:?}")).collect();
        let at = folder.display();
        let sick = sick.map(|receivers| {
            format!(
                "[sinks.refusing]\ntype = \"splunk_hec\"\nurl = \"http://{}\"\ntoken = {{ env = \"BENCH_KEY\" }}\n\
                 acknowledgements = false\ncompression = \"none\"\n\
                 [sinks.hanging]\ntype = \"syslog\"\naddress = \"tcp://{}\"\n\
                 [sinks.slow]\ntype = \"file\"\ndirectory = \"{at}/slow\"\nrate = 10\n",
                receivers.collector, receivers.syslog
            )
        });
        let config = format!(
            "data_dir = \"{at}/data\"\n[sources.bench]\ntype = \"compliance_logs\"\n\
             workspace_id = \"{WORKSPACE}\"\napi_key = {{ env = \"BENCH_KEY\" }}\nbase_url = \"http://{api}/v1\"\n\
             requests_per_minute = 1000000\nevent_types = [{}]\n\
             [sinks.out]\ntype = \"file\"\ndirectory = \"{at}/out\"\n\
             [sinks.kept]\ntype = \"directory\"\ndirectory = \"{at}/kept\"\n{}",
            types.join(", "),
            sick.unwrap_or_default()
        );
        fs::write(folder.join("config.toml"), config)?;
        Ok(Self { folder })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("-c").arg(self.folder.join("config.toml")).args(arguments);
        command.env("BENCH_KEY", "sk-admin-bench-key").stderr(Stdio::null());
        command
    }

    fn run(&self) -> anyhow::Result<Child> {
        let said = File::create(self.folder.join("said"))?;
        Ok(self.command(&["run"]).stdout(Stdio::null()).stderr(said).spawn()?)
    }

    /// Waits until each of these sinks has everything.
    fn await_sinks(&self, names: &[&str], records: u64) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            sleep(Duration::from_millis(100));
            let status = self.command(&["status", "--json"]).output()?.stdout;
            let Ok(status) = serde_json::from_slice::<Value>(&status) else { continue };
            let sinks = status["sinks"].as_array().cloned().unwrap_or_default();
            let done = |name: &&str| {
                sinks.iter().any(|sink| sink["name"] == *name && sink["records_delivered"] == records)
            };
            if names.iter().all(done) {
                return Ok(());
            }
        }
        anyhow::bail!(
            "not delivered in time: {}",
            String::from_utf8_lossy(&self.command(&["status"]).output()?.stdout)
        )
    }
}

fn end(child: &mut Child) -> anyhow::Result<()> {
    child.kill()?;
    child.wait()?;
    Ok(())
}

impl Receivers {
    fn start(runtime: &tokio::runtime::Runtime) -> anyhow::Result<Self> {
        let well = Arc::new(AtomicBool::new(false));
        let (collected, logged) = (Ids::default(), Ids::default());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let collector = listener.local_addr()?;
        let router = Router::new()
            .route("/services/collector/event", post(event))
            .route(
                "/services/collector/health",
                get(|| async { "{\"text\":\"HEC is healthy\",\"code\":17}" }),
            )
            .with_state((well.clone(), collected.clone()));
        runtime.spawn(async move { axum::serve(listener, router).await });
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let syslog = listener.local_addr()?;
        let (is_well, ids) = (well.clone(), logged.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // One after the other: what an older connection still holds comes before the next one's.
                log(stream, &is_well, &ids);
            }
        });
        Ok(Self { well, collector, collected, syslog, logged })
    }
}

async fn event(State((well, ids)): State<(Arc<AtomicBool>, Ids)>, body: Bytes) -> (StatusCode, &'static str) {
    if !well.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "{\"text\":\"Server is busy\",\"code\":9}");
    }
    for event in serde_json::Deserializer::from_slice(&body).into_iter::<Value>().flatten() {
        let id = event["event"]["id"].as_str().unwrap_or_default().to_owned();
        ids.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }
    (StatusCode::OK, "{\"text\":\"Success\",\"code\":0}")
}

/// Reads nothing until it is well; then messages by their octet counts. A connection that broke while it
/// waited may still hold some: what the kernel took counts as sent.
fn log(stream: TcpStream, well: &AtomicBool, ids: &Ids) {
    while !well.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(50));
    }
    let mut stream = BufReader::new(stream);
    loop {
        let mut count = Vec::new();
        if stream.read_until(b' ', &mut count).unwrap_or(0) == 0 {
            return;
        }
        let count = std::str::from_utf8(&count).ok().and_then(|text| text.trim().parse::<usize>().ok());
        let mut message = vec![0; count.unwrap_or_default()];
        if stream.read_exact(&mut message).is_err() {
            return;
        }
        ids.lock().unwrap_or_else(PoisonError::into_inner).push(id_in(&String::from_utf8_lossy(&message)));
    }
}

/// The id in a native record.
fn id_in(text: &str) -> String {
    let behind = text.split_once("\"schema\":\"1\",\"id\":\"").map_or("", |(_, behind)| behind);
    behind.get(..32).unwrap_or_default().to_owned()
}

/// Ids of what a file sink wrote, in order.
fn ids_of(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let mut names: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    names.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    // The active file, which has no time in its name, is the newest.
    names.sort_by_key(|path| path.display().to_string().replace("custodex.jsonl", "custodex~"));
    let mut ids = Vec::new();
    for name in names {
        for line in BufReader::with_capacity(1 << 20, File::open(name)?).lines() {
            ids.push(id_in(&line?));
        }
    }
    Ok(ids)
}

fn peak_mib(process: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM")).context("no VmHWM")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
    Ok(kib / 1024.0)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn sleep(time: Duration) {
    std::thread::sleep(time);
}
