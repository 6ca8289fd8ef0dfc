//! `check --send-test`: one marked event goes through a sink, as delivery would send it.
//!
//! What is sent goes to standard output, what became of it to standard error. A sink that is the only
//! writer of a place is opened with the memory the ledger keeps for it, while no daemon runs. Any other
//! begins without memory, beside the daemon, and the ledger is left alone. Where a sink that is new begins is
//! never decided here.

use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;

use serde_json::json;

use super::status::viewer;
use super::{Exit, Failure, Outcome, Place, audit, logs, print, progress, runtime, same_user, say};
use crate::config::{Config, Secrets, SinkEntry};
use crate::daemon::StartError;
use crate::daemon::folder::{Folder, FolderError};
use crate::deliver::{PROBE, PROBE_KEY, probe_archive, sample, send_sample};
use crate::format::Encoder;
use crate::ground::Ground;
use crate::ledger::{Action, Event, Ledger, Target};
use crate::recovery::Recovery;
use crate::sink::{ArchiveConfig, Batch, Guarantee, Keys, Put, Sink, SinkConfig, SinkError};

/// Keeps what it writes apart from what a daemon writes into the same archive.
const WRITER: &str = "check";

pub fn send_test(at: &Place, name: &str) -> Outcome {
    logs::start("warn", &progress::bars());
    let config = at.load(Secrets::Checked)?;
    let Some(entry) = config.sinks.iter().find(|entry| entry.name == name) else {
        let names: Vec<&str> = config.sinks.iter().map(|entry| entry.name.as_str()).collect();
        let names = names.join(", ");
        return Err(Failure::Usage(format!("there is no sink {name} in the configuration, only: {names}")));
    };
    same_user(&config, "check --send-test")?;
    let done = match &entry.config {
        Keys::Records(keys) => send(&config, entry, keys.as_ref())?,
        Keys::Files(keys) => probe(&config, keys.as_ref())?,
    };
    let outcome = if done.is_ok() { "success" } else { "failure" };
    let target = Target::new("sink", name).named(entry.kind);
    audit::note(&config, Event::new(Action::SendTest, target, json!({ "outcome": outcome })));
    match done {
        Ok(answer) => {
            say(&format!("{}: {name} {answer}", entry.config.guarantee().as_str()));
            Ok(Exit::Done)
        }
        Err(error) => {
            say(&format!("error: {name}: {error}"));
            if let Recovery::Pause { hint } = &error.recovery {
                say(&format!("next step: {hint}"));
            }
            Ok(Exit::Attention)
        }
    }
}

type Sent = Result<String, SinkError>;

fn send(config: &Config, entry: &SinkEntry, keys: &dyn SinkConfig) -> Result<Sent, Failure> {
    let ground = Ground::real();
    let encoder = Encoder::new(entry.options, keys.max_record_bytes()).redacting(entry.redaction.clone());
    let principal = config.sources.first().map(|source| source.config.principal.clone());
    let principal = principal.ok_or_else(|| Failure::Usage("the configuration has no source".to_owned()))?;
    let batch = sample(&encoder, &config.instance, &principal, ground.clock.now());
    let open = |memory| keys.open(ground.clone(), memory, encoder.fingerprint());
    let sent = match keys.exclusive() {
        None => runtime()?.block_on(send_sample(open(None).as_mut(), &batch, None)),
        Some(place) => remembered(config, entry, &batch, &place, &open)?,
    };
    // Standard output has it already.
    if entry.kind != "stdout" {
        let mut shown = keys.render(&batch);
        if !shown.ends_with(b"\n") {
            shown.push(b'\n');
        }
        print(&shown)?;
    }
    let answer = match keys.guarantee() {
        Guarantee::Durable => "acknowledged the test event as durable",
        Guarantee::Accepted => "acknowledged the test event",
        Guarantee::Sent => "got the test event; no answer exists",
    };
    Ok(sent.map(|()| answer.to_owned()))
}

/// With the sink's memory, holding the data folder meanwhile.
fn remembered(
    config: &Config,
    entry: &SinkEntry,
    batch: &Batch,
    place: &str,
    open: &dyn Fn(Option<Vec<u8>>) -> Box<dyn Sink>,
) -> Result<Result<(), SinkError>, Failure> {
    // Without one, nobody knows which user the daemon will be.
    drop(viewer(&config.data_dir)?);
    let folder = Folder::hold(Ground::real().disk.as_ref(), &config.data_dir).map_err(|error| {
        if matches!(error, FolderError::Held(_)) {
            say(&format!("{place} has one writer at a time: stop custodex, send the test, start it again"));
        }
        StartError::from(error)
    })?;
    let (ledger, thread) = Ledger::open(&folder.ledger())?;
    let sent = runtime()?.block_on(async {
        let guarantee = entry.config.guarantee().as_str();
        let row = ledger.remember_sink(entry.name.clone(), entry.kind, guarantee).await?;
        let mut sink = open(row.memory.clone());
        Ok::<_, Failure>(send_sample(sink.as_mut(), batch, Some((&ledger, &row))).await)
    });
    drop(ledger);
    thread.join();
    sent
}

fn probe(config: &Config, keys: &dyn ArchiveConfig) -> Result<Sent, Failure> {
    let folder = format!("custodex-probe-{}-{:04x}", std::process::id(), fastrand::u16(..));
    let folder = std::env::temp_dir().join(folder);
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let body = folder.join(PROBE_KEY);
    let put = fs::File::create_new(&body).and_then(|mut file| file.write_all(PROBE)).map(|()| {
        let archive = keys.open(Ground::real(), &config.network, WRITER);
        Ok::<_, Failure>(runtime()?.block_on(probe_archive(archive.as_ref(), body)))
    });
    drop(fs::remove_dir_all(&folder));
    let put = put??;
    if put.is_ok() {
        print(PROBE)?;
    }
    Ok(put.map(|put| {
        let first = match put {
            Put::Stored => "stored",
            Put::AlreadyThere => "already has",
        };
        format!("{first} {PROBE_KEY}, and does not let it be replaced")
    }))
}
