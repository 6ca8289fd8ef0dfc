//! `replay`: archived records, delivered again and marked.
//!
//! Refuses to send old records where live ones go unless told to. What was sent is told on standard error, what
//! would be sent on standard output. Beside the daemon it changes nothing of the daemon's.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::args::ReplayOptions;
use super::verify::open;
use super::{Exit, Failure, Outcome, audit, logs, print, progress, runtime, same_user, say};
use crate::archive::find::{Plan, PlanFile, plan};
use crate::archive::verify::Source as Objects;
use crate::config::{Config, Secrets, SinkEntry, Source};
use crate::deliver::{
    Rehearsal, ReplayCounts, ReplayEnd, ReplayPlace, ReplayRequest, ReplaySettings, ReplayState, ReplayStore,
    ReplayStoreError, Replayer, rehearse,
};
use crate::format::{Content, Encoder, Format};
use crate::ground::Ground;
use crate::ledger::{self as events, Action, Event};
use crate::record::OwnKey;
use crate::sink::reader::Reading;
use crate::sink::{Keys, SinkConfig};
use crate::units::Size;

/// Folder of the data folder where replays are remembered.
const REPLAYS: &str = "replays";
/// A sink is asked for its place in a replay before that has an id.
const NO_ID: &str = "any";

/// A sink in a replay.
struct Target<'c> {
    config: &'c Config,
    entry: &'c SinkEntry,
    keys: &'c dyn SinkConfig,
    into_live: bool,
}

pub fn replay(at: &super::Place, options: &ReplayOptions) -> Outcome {
    let query = options.selectors.query()?;
    let bars = progress::bars();
    logs::start("warn", &bars);
    let config = at.load(Secrets::Checked)?;
    let target = Target::find(&config, options)?;
    let archive = open(at, &options.from)?;
    let request = ReplayRequest {
        from: archive.place(),
        to: options.to.clone(),
        query,
        into_live: options.into_live,
        run: 0,
    };
    let source: Arc<dyn Objects> = Arc::new(Reading(archive));
    let runtime = runtime()?;
    let ended = if options.dry_run {
        runtime.block_on(rehearsed(&target, options, source, request))
    } else {
        let base = base(&config, options)?;
        runtime.block_on(replayed(&target, options, (source, request), &base, &bars))
    };
    // What hangs in the archive's network must not hold the end up.
    runtime.shutdown_background();
    ended
}

impl<'c> Target<'c> {
    fn find(config: &'c Config, options: &ReplayOptions) -> Result<Self, Failure> {
        let name = &options.to;
        let usage = |what: String| Err(Failure::Usage(what));
        let Some(entry) = config.sinks.iter().find(|entry| entry.name == *name) else {
            let names: Vec<&str> = config.sinks.iter().map(|entry| entry.name.as_str()).collect();
            return usage(format!(
                "there is no sink {name} in the configuration, only: {}",
                names.join(", ")
            ));
        };
        let Keys::Records(keys) = &entry.config else {
            return usage(format!(
                "the sink {name} is an archive, which keeps log files and takes no records"
            ));
        };
        let keys = keys.as_ref();
        if options.into_live && keys.exclusive().is_some() {
            return usage(format!(
                "the sink {name} has one writer, which is the daemon: set `replay` of [sinks.{name}], and leave \
                 --into-live out"
            ));
        }
        if !options.into_live && keys.replaying(NO_ID).is_none() {
            return usage(format!(
                "old records would go among the live ones of {name}, where receivers give them a new date and rules \
                 fire on them: set `replay` of [sinks.{name}] to a place for them, or say --into-live"
            ));
        }
        Ok(Self { config, entry, keys, into_live: options.into_live })
    }

    /// The sink as the replay of this id has it.
    fn with<T>(&self, id: &str, make: impl FnOnce(&dyn SinkConfig) -> T) -> T {
        match self.keys.replaying(id).filter(|_| !self.into_live) {
            Some(apart) => make(apart.as_ref()),
            None => make(self.keys),
        }
    }

    fn encoder(&self, id: &str) -> Encoder {
        let most = self.with(id, |keys| keys.max_record_bytes());
        Encoder::new(self.entry.options, most).redacting(self.entry.redaction.clone())
    }

    fn settings(&self, id: &str, options: &ReplayOptions) -> ReplaySettings {
        ReplaySettings {
            sink: self.entry.name.clone(),
            max_unconfirmed_records: self.entry.max_unconfirmed_records,
            rate: options.rate.or(self.entry.rate),
            select: self.entry.select.clone(),
            encoder: self.encoder(id),
            own_keys: self.config.sources.iter().filter_map(own_key).collect(),
        }
    }

    /// Whether its records have no place for the mark.
    fn is_verbatim(&self) -> bool {
        self.entry.options.format == Format::Raw && self.entry.options.content == Content::Full
    }
}

/// A key, and whose it is.
fn own_key(source: &Source) -> Option<(String, OwnKey)> {
    let secret = source.config.api_key.read().ok()?;
    Some((source.config.principal.id.clone(), OwnKey::of(secret.expose_secret())?))
}

/// Where replays are remembered.
fn base(config: &Config, options: &ReplayOptions) -> Result<PathBuf, Failure> {
    if let Some(folder) = &options.state {
        return Ok(folder.clone());
    }
    let shown = config.data_dir.display();
    if !config.data_dir.is_dir() {
        let what =
            format!("there is no data folder {shown} to keep in how far this is: name a folder with --state");
        return Err(Failure::Usage(what));
    }
    same_user(config, "replay …, or name a folder of your own with --state")?;
    Ok(config.data_dir.join(REPLAYS))
}

async fn planned(source: &Arc<dyn Objects>, request: &ReplayRequest) -> Result<Plan, Failure> {
    let plan = plan(source, &request.query).await.map_err(|error| anyhow::anyhow!(error))?;
    for what in &plan.unreadable {
        say(&format!("FAULT {what}; what it seals is read as not sealed, see `custodex verify`"));
    }
    Ok(plan)
}

async fn rehearsed(
    target: &Target<'_>,
    options: &ReplayOptions,
    source: Arc<dyn Objects>,
    request: ReplayRequest,
) -> Outcome {
    let plan = planned(&source, &request).await?;
    let passed_over = plan.passed_over;
    let state = ReplayState::new(request, Ground::real().clock.now().to_string(), &plan.files);
    let seen = rehearse(target.settings(&state.id, options), source, &state, plan.files).await;
    for what in &seen.unread {
        say(&format!("FAULT {what}"));
    }
    print(table(&state, &seen, passed_over).as_bytes())?;
    Ok(if seen.unread.is_empty() { Exit::Done } else { Exit::Attention })
}

fn table(state: &ReplayState, seen: &Rehearsal, passed_over: u64) -> String {
    let counts = &seen.counts;
    let bytes: u64 = seen.by_type.values().map(|(_, bytes)| bytes).sum();
    let mut lines = vec![
        format!("would be delivered to {}: {} records, {}", state.request.to, counts.delivered, Size(bytes)),
        format!(
            "log files read: {} of {} ({} archived, {} unpacked), passed over: {passed_over}",
            counts.files,
            state.files,
            Size(state.object_bytes),
            Size(counts.bytes)
        ),
        format!("left out: {} repeats, {} that the sink does not select", counts.repeats, counts.deselected),
    ];
    for (event_type, (records, bytes)) in &seen.by_type {
        lines.push(format!("  {event_type:<28} {records:>10} records {:>10}", Size(*bytes).to_string()));
    }
    lines.push(String::new());
    lines.join("\n")
}

async fn replayed(
    target: &Target<'_>,
    options: &ReplayOptions,
    (source, request): (Arc<dyn Objects>, ReplayRequest),
    base: &Path,
    bars: &MultiProgress,
) -> Outcome {
    let ground = Ground::real();
    let (request, done) = due(&ground, base, request)?;
    if let Some(done) = done.filter(|_| !options.again) {
        let at = done.ended_at.unwrap_or_default();
        say(&format!("already done at {at}: replay {}; --again delivers it once more", done.id));
        return Ok(Exit::Done);
    }
    let id = request.id();
    let store = ReplayStore::hold(ground.disk.clone(), base, &id)?;
    // As it is now that nobody else changes it.
    let (state, plan) = match ReplayStore::look(ground.disk.as_ref(), base, &id)? {
        Some(state) => (state, store.plan()?),
        None => begin(&ground, &source, request, &store).await?,
    };
    if target.is_verbatim() {
        say("warning: format \"raw\" has no place for the mark of a replay: its records look like live ones");
    }
    tell(target.config, &begun(&state));
    let settings = target.settings(&id, options);
    let memory = Some(state.memory.clone()).filter(|memory| !memory.is_empty());
    let fingerprint = settings.encoder.fingerprint();
    let sink = target.with(&id, |keys| keys.open(ground.clone(), memory, fingerprint));
    let stop = CancellationToken::new();
    let letters = store.letters();
    let replayer = Replayer::new(ground, stop.clone(), settings, source, sink, (store, state, plan));
    let drawn = (target.entry.kind != "stdout").then(|| draw(bars.clone(), replayer.progress()));
    let (end, state) = until_ended(replayer, stop, drawn).await??;
    tell(target.config, &ended(&state, &end));
    let counts = &state.place.counts;
    if counts.dead_letters > 0 {
        say(&format!(
            "attention: {} records were refused for good, see {}",
            counts.dead_letters,
            letters.display()
        ));
    }
    if counts.unread > 0 {
        say(&format!("attention: {} log files are missing or damaged, see `custodex verify`", counts.unread));
    }
    let clean = end == ReplayEnd::Done && counts.dead_letters == 0 && counts.unread == 0;
    Ok(if clean { Exit::Done } else { Exit::Attention })
}

/// The first run of a request that is not over, and the one before it where that one has yet to begin.
fn due(
    ground: &Ground,
    base: &Path,
    mut request: ReplayRequest,
) -> Result<(ReplayRequest, Option<ReplayState>), Failure> {
    let mut last = None;
    while let Some(state) = ReplayStore::look(ground.disk.as_ref(), base, &request.id())? {
        if state.ended_at.is_none() {
            return Ok((request, None));
        }
        last = Some(state);
        request.run += 1;
    }
    Ok((request, last))
}

async fn begin(
    ground: &Ground,
    source: &Arc<dyn Objects>,
    request: ReplayRequest,
    store: &ReplayStore,
) -> Result<(ReplayState, Vec<Arc<PlanFile>>), Failure> {
    let plan = planned(source, &request).await?;
    if plan.without_times > 0 {
        say(&format!(
            "note: {} log files have no record with a time, and are in no range of times",
            plan.without_times
        ));
    }
    let state = ReplayState::new(request, ground.clock.now().to_string(), &plan.files);
    store.begin(&state, &plan.files)?;
    Ok((state, plan.files))
}

/// Runs until it ends by itself, or is told to.
async fn until_ended(
    replayer: Replayer,
    stop: CancellationToken,
    drawn: Option<impl Future<Output = ()>>,
) -> Result<Result<(ReplayEnd, ReplayState), ReplayStoreError>, Failure> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let running = replayer.run();
    tokio::pin!(running);
    tokio::select! {
        ended = &mut running => return Ok(ended),
        () = async { if let Some(drawn) = drawn { drawn.await } std::future::pending().await } => {}
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    stop.cancel();
    Ok(running.await)
}

/// Draws how far it is until dropped.
async fn draw(bars: MultiProgress, mut shown: watch::Receiver<ReplayPlace>) {
    if bars.is_hidden() {
        return;
    }
    let style =
        ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = bars.add(ProgressBar::new_spinner().with_style(style));
    while shown.changed().await.is_ok() {
        let place = *shown.borrow_and_update();
        let (files, delivered) = (HumanCount(place.file as u64), HumanCount(place.counts.delivered));
        bar.set_message(format!("{files} log files · {} · {delivered} delivered", Size(place.counts.bytes)));
        bar.tick();
        tokio::time::sleep(progress::INTERVAL).await;
    }
}

/// What there is to tell of a replay, to people and to whoever keeps account of what was done.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its id, in each of its records too.
    pub id: String,
    /// What was asked for.
    pub request: ReplayRequest,
    /// When it began, RFC 3339.
    pub began_at: String,
    /// Log files to read, and the bytes of their objects.
    pub files: (u64, u64),
    /// What became of the records so far.
    pub counts: ReplayCounts,
    /// How this run ended; none while it is under way.
    pub end: Option<ReplayEnd>,
}

/// Says it, and notes it in the audit trail.
fn tell(config: &Config, facts: &Facts) {
    say(&facts.to_string());
    let Facts { id, request, began_at, files: (files, _), counts, end } = facts;
    let action = if end.is_none() { Action::ReplayStarted } else { Action::ReplayFinished };
    let end = end.as_ref().map(|end| match end {
        ReplayEnd::Done => "done",
        ReplayEnd::Stopped => "stopped",
        ReplayEnd::GivenUp(..) => "given up",
    });
    let details = json!({
        "archive": request.from, "began_at": began_at, "log_files": files, "records": counts.matched(), "end": end,
    });
    let event =
        Event::new(action, events::Target::new("sink", request.to.clone()).named(id.clone()), details);
    // It may wait for the daemon.
    tokio::task::block_in_place(|| audit::note(config, event));
}

/// A replay begins, or goes on.
fn begun(state: &ReplayState) -> Facts {
    Facts {
        id: state.id.clone(),
        request: state.request.clone(),
        began_at: state.began_at.clone(),
        files: (state.files, state.object_bytes),
        counts: state.place.counts,
        end: None,
    }
}

/// A run of a replay is over.
fn ended(state: &ReplayState, end: &ReplayEnd) -> Facts {
    Facts { end: Some(end.clone()), ..begun(state) }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self { id, request, began_at, files: (files, bytes), counts, end }, to) =
            (self, &self.request.to);
        let Some(end) = end else {
            write!(
                f,
                "replay {id} from {} to {to}: {files} log files to read, {}",
                request.from,
                Size(*bytes)
            )?;
            let going_on = counts.matched() > 0 || counts.files > 0;
            return if going_on {
                write!(f, "; began at {began_at}, goes on behind {} log files", counts.files)
            } else {
                Ok(())
            };
        };
        match end {
            ReplayEnd::Done => write!(f, "replay {id} is done")?,
            ReplayEnd::Stopped => write!(f, "replay {id} was stopped, repeat the command to go on")?,
            ReplayEnd::GivenUp(what, hint) => {
                write!(f, "replay {id} cannot go on: {what}")?;
                if let Some(hint) = hint {
                    write!(f, "\nnext step: {hint}")?;
                }
                write!(f, "\nthen repeat the command to go on")?;
            }
        }
        write!(
            f,
            "\n{} records delivered to {to}; {} repeats and {} not selected left out; {} of {files} log files read, {}",
            counts.delivered,
            counts.repeats,
            counts.deselected,
            counts.files,
            Size(counts.bytes)
        )?;
        if counts.untimed + counts.unseen > 0 {
            let (untimed, unseen) = (counts.untimed, counts.unseen);
            write!(
                f,
                "\nnot in any range of times: {untimed} records without a time; not looked into: {unseen} over 16 MiB"
            )?;
        }
        Ok(())
    }
}

impl From<ReplayStoreError> for Failure {
    fn from(error: ReplayStoreError) -> Self {
        match error {
            ReplayStoreError::Held => Self::Usage(error.to_string()),
            ReplayStoreError::Disk { .. } => Self::Internal(anyhow::anyhow!(
                "{error}; make it usable, or name another folder with --state"
            )),
        }
    }
}
