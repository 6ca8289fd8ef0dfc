//! What it costs to deliver archived records again, against how much lies in the archive.
//!
//! `cargo bench --bench replay [-- DAYS FILES RECORDS]` has the simulator serve DAYS days with FILES log files of
//! RECORDS records a day for each event type, archives all of them, and then replays, each into a folder of its own
//! and on one core: one user's day, one day, everything. For each it prints the log files and bytes read, the
//! records delivered, and MB of log files a second. The archive lies in the folder for temporary files; set TMPDIR
//! to one in memory, so that no disk is measured.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "wall time of another process is what is measured")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use custodex::archive::{Packing, unpack};
use jiff::civil::Date;

const PROGRAM: &str = env!("CARGO_BIN_EXE_custodex");

/// A process that ends with the benchmark.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn main() -> anyhow::Result<()> {
    let numbers: Vec<u32> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let number = |at: usize, default| numbers.get(at).copied().unwrap_or(default);
    let folder = tempfile::tempdir()?;
    let archive = folder.path().join("archive");
    collect(folder.path(), [number(0, 30), number(1, 4), number(2, 5000)])?;
    let objects = objects(&archive)?;
    let size: u64 = objects.iter().filter_map(|path| fs::metadata(path).ok()).map(|found| found.len()).sum();
    println!("the archive has {} log files, {} MB as objects", objects.len(), size / 1_000_000);
    let (day, user) = somebody(&objects)?;
    let next = day.tomorrow()?.to_string();
    let day = day.to_string();
    replay(folder.path(), "a user's day", &["--user", &user, "--since", &day, "--until", &next])?;
    replay(folder.path(), "a day", &["--since", &day, "--until", &next])?;
    replay(folder.path(), "everything", &[])
}

/// Fills the archive from a simulator.
fn collect(folder: &Path, [days, files, records]: [u32; 3]) -> anyhow::Result<()> {
    let numbers = [days, files, records].map(|number| number.to_string());
    let [days, files, records] = &numbers;
    let mut child = Command::new(PROGRAM)
        .args(["simulate", "--listen", "127.0.0.1:0", "--days", days])
        .args(["--files-per-day", files, "--records-per-file", records])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let lines = BufReader::new(child.stdout.take().context("its output is piped")?).lines();
    let _served = Served(child);
    let (mut sources, mut key) = (String::new(), String::new());
    for line in lines {
        let line = line?;
        if let Some((_, told)) = line.split_once("SIMULATOR_KEY=") {
            told.clone_into(&mut key);
        }
        sources.extend([&line, "\n"]);
        if sources.matches("requests_per_minute").count() == 2 {
            break;
        }
    }
    let shown = |name: &str| format!("{:?}", folder.join(name).to_string_lossy());
    let head = format!("data_dir = {}\n{sources}\n", shown("data"));
    let kept = format!("[sinks.kept]\ntype = \"directory\"\ndirectory = {}\n", shown("archive"));
    fs::write(folder.join("collect.toml"), format!("{head}{kept}"))?;
    let out = format!(
        "[sinks.out]\ntype = \"file\"\ndirectory = {}\nreplay = {{ directory = {} }}\n",
        shown("live"),
        shown("again")
    );
    fs::write(folder.join("replay.toml"), format!("{head}{out}"))?;
    let mut run = Command::new(PROGRAM);
    run.arg("-c").arg(folder.join("collect.toml")).args(["run", "--once"]).env("SIMULATOR_KEY", &key);
    let began = Instant::now();
    let ended = run.stderr(Stdio::null()).status()?;
    ensure!(ended.success(), "not everything was archived: {ended}");
    println!("collected and archived in {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

fn objects(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(objects(&path)?);
        } else if Packing::of(path.to_str().unwrap_or_default()).is_some() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A day in the middle, and who acted in one of its log files.
fn somebody(objects: &[PathBuf]) -> anyhow::Result<(Date, String)> {
    let shown = |path: &&PathBuf| path.to_string_lossy().contains("event_type=CODEX_LOG");
    let of_type: Vec<&PathBuf> = objects.iter().filter(shown).collect();
    let path =
        of_type.get(of_type.len() / 2).context("there is no CODEX_LOG")?.to_string_lossy().into_owned();
    let day = path.split("dt=").nth(1).and_then(|rest| rest.get(..10)).context("no day in its name")?;
    let mut text = String::new();
    unpack(Packing::Zstd, fs::File::open(&path)?)?.read_to_string(&mut text)?;
    let user = text.split("\"user_email\":\"").nth(1).and_then(|rest| rest.split('"').next());
    Ok((day.parse()?, user.context("nobody acted")?.to_owned()))
}

/// One replay on one core; what it told, and how fast it was.
fn replay(folder: &Path, what: &str, selectors: &[&str]) -> anyhow::Result<()> {
    let archive = folder.join("archive");
    let mut command = Command::new("taskset");
    command.args(["-c", "0", PROGRAM, "-c"]).arg(folder.join("replay.toml")).arg("replay");
    command
        .arg("--from")
        .arg(archive)
        .args(["--to", "out"])
        .args(selectors)
        .env("SIMULATOR_KEY", "unused-here");
    let began = Instant::now();
    let output = command.output()?;
    let seconds = began.elapsed().as_secs_f64();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{what}: {told}");
    let last = told.lines().last().unwrap_or_default();
    println!("{what}: {seconds:.2} s\n  {}", told.lines().next().unwrap_or_default());
    let again = folder.join("again");
    let newest = fs::read_dir(&again)?.filter_map(|entry| Some(entry.ok()?.path()));
    let delivered: u64 = newest
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten())
        .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()))
        .sum();
    println!(
        "  {last}\n  {} MB written, {:.0} MB/s",
        delivered / 1_000_000,
        delivered as f64 / seconds / 1e6
    );
    // Each is measured with the same room.
    fs::remove_dir_all(again)?;
    Ok(())
}
