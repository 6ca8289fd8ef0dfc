//! From configuration to parts: streams with their clients, sinks with their positions.

use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::error;

use super::RunMode;
use crate::archive::SigningKey;
use crate::collect::{Fetcher, Finished, Lister, Mode, RETENTION, Shared, Signal, Stream, Unclaimed};
use crate::config::{Config, SinkEntry, Source};
use crate::deliver::{ArchiveSettings, ArchiveWorker, Letters, Refill, Seal, Settings, Worker};
use crate::digest::{hex, sha256};
use crate::format::{Encoder, Format};
use crate::ledger::{LedgerError, SinkRow};
use crate::limits;
use crate::net::Transport;
use crate::secret::Secret;
use crate::sink::reader::ArchiveReader;
use crate::sink::{Archive, ArchiveConfig, Keys, Sink};
use crate::source::openai::{Client, Key};

/// Folder of the data folder where objects lie while they are on their way to an archive.
const OUTGOING: &str = "outgoing";

/// One source, ready to collect.
pub(super) struct SourceParts {
    pub(super) signal: Arc<Signal>,
    streams: Vec<Stream>,
    unclaimed: Unclaimed,
    mode: Mode,
}

/// One sink, ready to deliver.
pub(super) enum SinkParts {
    Records { row: SinkRow, sink: Box<dyn Sink>, encoder: Encoder, settings: Settings },
    Files { row: SinkRow, archive: (Arc<dyn Archive>, Arc<dyn ArchiveReader>), settings: ArchiveSettings },
}

impl SourceParts {
    /// Starts its listers and its fetcher.
    pub(super) fn spawn(self, shared: &Shared, fetched: &mpsc::Sender<Finished>, tasks: &mut JoinSet<()>) {
        let Self { signal, streams, unclaimed, mode } = self;
        signal.expect(streams.iter().map(|stream| stream.id));
        for stream in &streams {
            tasks.spawn(Lister::new(shared.clone(), stream.clone(), signal.clone()).run(mode));
        }
        if matches!(mode, Mode::Forever { .. }) {
            tasks.spawn(unclaimed.run());
        }
        let slots = limits::FETCHES_IN_FLIGHT;
        tasks.spawn(Fetcher::new(shared.clone(), streams, slots, signal, fetched.clone()).run(mode));
    }
}

impl SinkParts {
    /// Starts its worker.
    pub(super) fn spawn(
        self,
        shared: &Shared,
        letters: &Letters,
        over: watch::Receiver<bool>,
        tasks: &mut JoinSet<()>,
    ) {
        let shared = shared.clone();
        match self {
            Self::Records { row, sink, encoder, settings } => {
                let letters = letters.clone();
                tasks.spawn(Worker::new(shared, row, sink, encoder, settings, letters, over).run());
            }
            Self::Files { row, archive, settings } => {
                tasks.spawn(ArchiveWorker::new(shared, row, archive, settings, over).run());
            }
        }
    }
}

/// Every source, its streams enabled in the ledger and no others.
pub(super) async fn sources(
    shared: &Shared,
    config: &Config,
    transport: &Arc<dyn Transport>,
    mode: RunMode,
) -> Result<Vec<SourceParts>, LedgerError> {
    shared.ledger.disable_streams().await?;
    let mut keys = Vec::new();
    let mut sources = Vec::new();
    for source in &config.sources {
        let key = key(source, mode, &mut keys);
        let (base, principal) = (&source.config.base_url, &source.config.principal);
        let clock = shared.ground.clock.clone();
        let client = Arc::new(Client::new(transport.clone(), clock, key, base, principal));
        let mut streams = Vec::new();
        for event_type in &source.config.event_types {
            streams.push(stream(shared, source, event_type, &client).await?);
        }
        let unclaimed = unclaimed(config, source);
        let unclaimed = Unclaimed::new(shared.clone(), principal.clone(), client.clone(), unclaimed);
        let mode = match mode {
            RunMode::Forever => Mode::Forever { poll_interval: source.config.poll_interval },
            RunMode::Once { sweep } => Mode::Once { sweep },
        };
        sources.push(SourceParts { signal: Arc::default(), streams, unclaimed, mode });
    }
    Ok(sources)
}

/// What the principal of a source may have and no source collects; the first source of a principal looks.
fn unclaimed(config: &Config, source: &Source) -> Vec<String> {
    let mut siblings =
        config.sources.iter().filter(|other| other.config.principal == source.config.principal).peekable();
    if siblings.peek().is_none_or(|first| first.name != source.name) {
        return Vec::new();
    }
    let claimed: Vec<&String> = siblings.flat_map(|sibling| &sibling.config.event_types).collect();
    let known = source.config.known_event_types().iter();
    known.filter(|known| claimed.iter().all(|one| one != *known)).map(ToString::to_string).collect()
}

/// The key of a source; sources with the same key share it, and so its budget, wherever it lies.
fn key(source: &Source, mode: RunMode, keys: &mut Vec<(Secret, Arc<Key>)>) -> Arc<Key> {
    let secret = source.config.api_key.clone();
    let same = |other: &Secret| {
        let values = other.read().ok().zip(secret.read().ok());
        values.is_some_and(|(other, ours)| other.expose_secret() == ours.expose_secret())
    };
    if let Some((_, key)) = keys.iter().find(|(other, _)| same(other)) {
        return key.clone();
    }
    let patience = match mode {
        RunMode::Forever => limits::RETRY_AFTER_MAX,
        RunMode::Once { .. } => limits::ONCE_PATIENCE,
    };
    let read = secret.clone();
    let read = Arc::new(move || read.read().map_err(|error| error.to_string()));
    let key = Arc::new(Key::new(read, source.config.requests_per_minute, patience));
    keys.push((secret, key.clone()));
    key
}

async fn stream(
    shared: &Shared,
    source: &Source,
    event_type: &str,
    client: &Arc<Client>,
) -> Result<Stream, LedgerError> {
    let config = &source.config;
    let back = i64::try_from(config.start_from.as_secs()).unwrap_or(RETENTION).min(RETENTION);
    let now = shared.ground.now();
    let started_at = now - back;
    let principal = config.principal.clone();
    let ledger = &shared.ledger;
    let event_type = event_type.to_owned();
    let id =
        ledger.enable_stream(source.name.clone(), principal, event_type.clone(), started_at, now).await?;
    let overlap = i64::try_from(config.overlap_of(&event_type).as_secs()).unwrap_or(RETENTION);
    let principal = config.principal.id.clone();
    Ok(Stream { id, principal, event_type, overlap, client: client.clone() })
}

/// Every sink, enabled in the ledger and no others.
pub(super) async fn sinks(
    shared: &Shared,
    config: &Config,
    mode: RunMode,
    refill: &Refill,
    key: &Arc<SigningKey>,
) -> Result<Vec<SinkParts>, LedgerError> {
    shared.ledger.disable_sinks().await?;
    let mut sinks = Vec::new();
    for entry in &config.sinks {
        let row = enable(shared, entry).await?;
        let once = matches!(mode, RunMode::Once { .. });
        sinks.push(match &entry.config {
            Keys::Records(keys) => {
                let encoder = Encoder::new(entry.options, keys.max_record_bytes());
                let encoder = encoder.redacting(entry.redaction.clone());
                let sink = keys.open(shared.ground.clone(), row.memory.clone(), encoder.fingerprint());
                let (max_unconfirmed_records, rate) = (entry.max_unconfirmed_records, entry.rate);
                let (select, refill) = (entry.select.clone(), refill.clone());
                let settings = Settings { max_unconfirmed_records, rate, select, once, refill };
                SinkParts::Records { row, sink, encoder, settings }
            }
            Keys::Files(keys) => {
                let archive = keys.open(shared.ground.clone(), &config.network, &writer(config, entry));
                let archive = (archive, keys.reader(shared.ground.clone(), &config.network));
                let (options, packing, rate) = (entry.options, keys.packing(), entry.rate);
                let redaction = entry.redaction.clone();
                let folder = config.data_dir.join(OUTGOING).join(&entry.name);
                let seal = Seal { instance: config.instance.clone(), key: key.clone() };
                let refill = refill.clone();
                let settings =
                    ArchiveSettings { options, redaction, packing, rate, once, folder, seal, refill };
                SinkParts::Files { row, archive, settings }
            }
        });
    }
    Ok(sinks)
}

fn archives(config: &Config) -> impl Iterator<Item = (&SinkEntry, &dyn ArchiveConfig)> {
    config.sinks.iter().filter_map(|entry| match &entry.config {
        Keys::Files(keys) => Some((entry, keys.as_ref())),
        Keys::Records(_) => None,
    })
}

/// Where log files can come back from: the archives that keep them verbatim.
pub(super) fn refill(shared: &Shared, config: &Config) -> Refill {
    let verbatim = archives(config).filter(|(entry, _)| entry.options.format == Format::Raw);
    let readers = verbatim.map(|(_, keys)| keys.reader(shared.ground.clone(), &config.network));
    Refill::new(readers.collect(), archives(config).map(|(entry, _)| entry.name.clone()).collect())
}

/// This sink of this forwarder, among all that may write to one archive.
fn writer(config: &Config, entry: &SinkEntry) -> String {
    hex(&sha256(format!("{}/{}", config.instance, entry.name).as_bytes()))[..8].to_owned()
}

/// The row of a sink, which begins where it was, or where the spool begins if that is later.
async fn enable(shared: &Shared, entry: &SinkEntry) -> Result<SinkRow, LedgerError> {
    let guarantee = entry.config.guarantee().as_str();
    let own = entry.names_own_trail();
    let enable = || shared.ledger.enable_sink(entry.name.clone(), entry.kind, guarantee, entry.start, own);
    enable().await?;
    let missed = shared.ledger.skip_removed(entry.name.clone()).await?;
    if missed > 0 {
        error!(
            sink = entry.name,
            records = missed,
            "while the sink was not configured, log files left the spool that it never got"
        );
    }
    // Where it stands may have changed, also without a record that is missed.
    enable().await
}
