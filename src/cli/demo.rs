//! `demo`: everything on this machine in one process, without a key.
//!
//! The simulator, the daemon and the verification are the real ones; only the folder is temporary. It is left
//! for a look.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;

use super::args::{DemoOptions, ExplainOptions};
use super::explain::explain;
use super::run::{transport, until_ended};
use super::summary::Summary;
use super::verify::hold;
use super::{Exit, Failure, Outcome, Place, logs, print, progress, runtime, say};
use crate::archive::verify::{self, Report};
use crate::clock::SystemClock;
use crate::collect::Progress;
use crate::config::{Config, Secrets};
use crate::daemon::{Daemon, RunMode, StartError, folder, signing};
use crate::ground::Ground;
use crate::secret::environment;
use crate::simulator::{API_KEY, ORGANIZATION, Options, Simulator, WORKSPACE};
use crate::sink::reader;
use crate::status::Status;
use crate::units::{Size, spoken};

/// Thirty days of a small organization: about 60,000 records.
fn history(seed: u64) -> Options {
    Options { seed, days: 30, files_per_day: 4, records_per_file: 100, records_from: None, chaos: false }
}

/// Names of the two sinks.
const OUTPUT: &str = "output";
const ARCHIVE: &str = "archive";

/// What the demo leaves behind.
struct Places {
    folder: PathBuf,
    config: PathBuf,
    output: PathBuf,
    archive: PathBuf,
    data: PathBuf,
}

/// What was done.
struct Done {
    status: Status,
    figures: Arc<Progress>,
    seconds: f64,
    /// The archive, held against its manifests and the key of this run.
    verified: Report,
}

pub fn demo(options: &DemoOptions) -> Outcome {
    let bars = progress::bars();
    logs::start("warn", &bars);
    let runtime = runtime()?;
    runtime.block_on(async {
        say("starting a simulated Compliance API with 30 days of history …");
        let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let simulator = Simulator::start(listen, history(options.seed), Arc::new(SystemClock)).await?;
        let page = options.serve.then(free_port).transpose()?;
        let places = prepare(&simulator.base_url(), page)?;
        say(&format!("collecting from {} …", simulator.base_url()));
        if let Some(page) = page {
            say(&format!("watch it at http://{page}/"));
        }
        let done = collect(&places.config, &bars).await?;
        let Some(done) = done else {
            say("interrupted");
            return Ok(Exit::Attention);
        };
        let exit = show(&places, &done)?;
        if let Some(page) = page {
            say(&format!("\nthe status page is up at http://{page}/ until you press Ctrl-C"));
            serve(&places.config, &bars).await?;
        }
        simulator.stop().await;
        Ok(exit)
    })
}

/// Prints what was done; how the command ends.
fn show(places: &Places, done: &Done) -> Outcome {
    let summary = Summary::read(&places.output)?;
    print(text(places, done, &summary).as_bytes())?;
    if let Some(id) = summary.prompt {
        print(format!("\nThe life of one prompt, as `explain {id} --from {ARCHIVE}` tells it\n").as_bytes())?;
        let at = Place { config: Some(places.config.clone()) };
        let options = ExplainOptions { id, from: Some(ARCHIVE.to_owned()) };
        // It has a runtime of its own.
        tokio::task::block_in_place(|| explain(&at, &options))?;
    }
    let mut unfinished = done.status.unfinished();
    unfinished.extend(done.verified.faults.iter().map(|fault| format!("{} {}", fault.place, fault.what)));
    for line in &unfinished {
        say(&format!("attention: {line}"));
    }
    Ok(if unfinished.is_empty() { Exit::Done } else { Exit::Attention })
}

/// A folder of its own, with the key and a configuration as an operator would write it.
fn prepare(base_url: &str, page: Option<SocketAddr>) -> Result<Places, Failure> {
    let name = format!("custodex-demo-{}-{:04x}", std::process::id(), fastrand::u16(..));
    let folder = std::env::temp_dir().join(name);
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let key = folder.join("api-key");
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key)?;
    writeln!(file, "{API_KEY}")?;
    let places = Places {
        config: folder.join("config.toml"),
        output: folder.join("output"),
        archive: folder.join("archive"),
        data: folder.join("data"),
        folder,
    };
    let mut text = configuration(&places, &key, base_url);
    if let Some(page) = page {
        text = format!("{text}\n[http]\nlisten = \"{page}\"\n");
    }
    fs::write(&places.config, text)?;
    Ok(places)
}

fn configuration(places: &Places, key: &Path, base_url: &str) -> String {
    format!(
        "data_dir = {data:?}\n\
         \n\
         [sources.workspace]\n\
         type = \"compliance_logs\"\n\
         workspace_id = \"{WORKSPACE}\"\n\
         api_key = {{ file = {key:?} }}\n\
         base_url = \"{base_url}\"\n\
         requests_per_minute = 100000      # the simulator has no limit; the real API wants 50\n\
         \n\
         [sources.organization]\n\
         type = \"compliance_logs\"\n\
         organization_id = \"{ORGANIZATION}\"\n\
         api_key = {{ file = {key:?} }}\n\
         base_url = \"{base_url}\"\n\
         requests_per_minute = 100000\n\
         \n\
         [sinks.{OUTPUT}]\n\
         type = \"file\"\n\
         directory = {output:?}\n\
         \n\
         [sinks.{ARCHIVE}]\n\
         type = \"directory\"\n\
         directory = {archive:?}\n",
        data = places.data.display().to_string(),
        key = key.display().to_string(),
        output = places.output.display().to_string(),
        archive = places.archive.display().to_string(),
    )
}

/// A port of this machine that nobody has at the moment.
fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// The daemon as it runs day after day, until somebody stops it.
async fn serve(config: &Path, bars: &indicatif::MultiProgress) -> Result<(), Failure> {
    let config = Config::load(config, Secrets::Checked, &environment)?;
    let daemon = Daemon::open(&config, Ground::real(), transport(&config)?, RunMode::Forever).await?;
    until_ended(daemon, bars).await.map(drop)
}

async fn collect(config: &Path, bars: &indicatif::MultiProgress) -> Result<Option<Done>, Failure> {
    let began = Instant::now();
    let config = Config::load(config, Secrets::Checked, &environment)?;
    let transport = transport(&config)?;
    let mode = RunMode::Once { sweep: false };
    let daemon = Daemon::open(&config, Ground::real(), transport, mode).await?;
    let Some((status, figures)) = until_ended(daemon, bars).await? else { return Ok(None) };
    let seconds = began.elapsed().as_secs_f64();
    say("verifying the archive …");
    let verified = verified(&config).await?;
    Ok(Some(Done { status, figures, seconds, verified }))
}

/// Reads the whole archive, trusting the key of this run alone.
async fn verified(config: &Config) -> Result<Report, Failure> {
    let ground = Ground::real();
    let key = signing::public(ground.disk.as_ref(), config, &folder::keys(&config.data_dir));
    let key = key.map_err(StartError::from)?;
    let sinks = config.sinks.iter().map(|sink| (sink.name.as_str(), &sink.config));
    let archive = reader::open(ARCHIVE, sinks, ground, &config.network).map_err(anyhow::Error::from)?;
    let wanted =
        verify::Options { pinned: key.into_iter().collect(), deep: true, ..verify::Options::default() };
    hold(archive, wanted).await
}

fn text(places: &Places, done: &Done, summary: &Summary) -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| "custodex".into());
    let (program, config) = (program.display(), places.config.display());
    let sink = done.status.sinks.iter().find(|sink| sink.name == OUTPUT);
    let count = |value: u64| indicatif::HumanCount(value).to_string();
    let headroom = done.status.headroom.as_ref().map_or(0, |least| least.seconds);
    format!(
        "\ncustodex took custody of {files} log files: {records} records, {bytes}, in {seconds:.1} s.\n\n\
         {summary}\n\
         delivered   {delivered} records, each once; {repeats} repeats of the provider left out\n\
         headroom    {headroom} until anything could be lost at the provider\n\
         archive     {sealed} log files with our own audit trail, every byte held against the signed manifests: {faults} faults\n\n\
         Everything lies in {folder}\n\
         \x20 output/      what an agent of a SIEM reads: one JSON object a line\n\
         \x20 archive/     every log file for years, sealed: what `verify` and an auditor read\n\
         \x20 data/spool/  the log files, byte for byte as they were served\n\
         \x20 config.toml  the configuration this used\n\n\
         Try next\n\
         \x20 head -n 1 {output}/custodex.jsonl\n\
         \x20 {program} -c {config} status\n\
         \x20 {program} -c {config} verify --deep --from archive   then change a file there, and again\n\
         \x20 {program} demo --serve   the same, with its status page\n\
         \x20 {program} simulate --chaos --listen 127.0.0.1:8080   an API that misbehaves\n\
         \x20 then write your own configuration: see config.example.toml and README.md\n",
        files = count(Progress::get(&done.figures.files)),
        records = count(Progress::get(&done.figures.records)),
        bytes = Size(Progress::get(&done.figures.bytes)),
        seconds = done.seconds,
        delivered = count(sink.map_or(0, |sink| sink.records_delivered)),
        repeats = count(sink.map_or(0, |sink| sink.repeats_suppressed)),
        headroom = spoken(headroom),
        sealed = count(done.verified.files),
        faults = done.verified.faults.len(),
        folder = places.folder.display(),
        output = places.output.display(),
    )
}
