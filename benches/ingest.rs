//! Collecting and delivering against `curl`, in one run, on the same server and disk.
//!
//! `cargo bench --bench ingest [-- MEGABYTES ROUNDS]` makes a gigabyte of log files, serves them from the
//! page cache, and in turn fetches them with `curl` to files plus `sync`, and with `custodex run --once`
//! into a durable spool and a file sink, native format. It prints wall time, processor time and peak
//! memory of each, and the ratio of the medians. Every run of custodex is checked: each record is in the
//! output once, or the run is void.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod served;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use served::{TYPES, WORKSPACE, make, serve};

const PROGRAM: &str = env!("CARGO_BIN_EXE_custodex");

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
