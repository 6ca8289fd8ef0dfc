//! From configuration to parts: streams with their clients, sinks with their positions.

use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::error;

use super::RunMode;
use crate::collect::{Fetcher, Finished, Lister, Mode, RETENTION, Shared, Signal, Stream};
use crate::config::{Config, Source};
use crate::deliver::{Letters, Settings, Worker};
use crate::format::Encoder;
use crate::ledger::{LedgerError, SinkRow};
use crate::limits;
use crate::net::Transport;
use crate::secret::Secret;
use crate::sink::Sink;
use crate::source::openai::{Client, Key};

/// One source, ready to collect.
pub(super) struct SourceParts {
    pub(super) signal: Arc<Signal>,
    streams: Vec<Stream>,
    mode: Mode,
}

/// One sink, ready to deliver.
pub(super) struct SinkParts {
    row: SinkRow,
    sink: Box<dyn Sink>,
    encoder: Encoder,
    settings: Settings,
}

impl SourceParts {
    /// Starts its listers and its fetcher.
    pub(super) fn spawn(self, shared: &Shared, fetched: &mpsc::Sender<Finished>, tasks: &mut JoinSet<()>) {
        let Self { signal, streams, mode } = self;
        signal.expect(streams.iter().map(|stream| stream.id));
        for stream in &streams {
            tasks.spawn(Lister::new(shared.clone(), stream.clone(), signal.clone()).run(mode));
        }
        let slots = limits::FETCHES_IN_FLIGHT;
        tasks.spawn(Fetcher::new(shared.clone(), streams, slots, signal, fetched.clone()).run(mode));
    }
}

impl SinkParts {
    /// Its worker.
    pub(super) fn worker(self, shared: &Shared, letters: &Letters, over: watch::Receiver<bool>) -> Worker {
        let Self { row, sink, encoder, settings } = self;
        Worker::new(shared.clone(), row, sink, encoder, settings, letters.clone(), over)
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
        let mode = match mode {
            RunMode::Forever => Mode::Forever { poll_interval: source.config.poll_interval },
            RunMode::Once { sweep } => Mode::Once { sweep },
        };
        sources.push(SourceParts { signal: Arc::default(), streams, mode });
    }
    Ok(sources)
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
    let started_at = shared.ground.now() - back;
    let principal = config.principal.clone();
    let ledger = &shared.ledger;
    let id = ledger.enable_stream(source.name.clone(), principal, event_type.to_owned(), started_at).await?;
    let overlap = i64::try_from(config.overlap_of(event_type).as_secs()).unwrap_or(RETENTION);
    Ok(Stream { id, event_type: event_type.to_owned(), overlap, client: client.clone() })
}

/// Every sink, enabled in the ledger and no others.
pub(super) async fn sinks(
    shared: &Shared,
    config: &Config,
    mode: RunMode,
) -> Result<Vec<SinkParts>, LedgerError> {
    shared.ledger.disable_sinks().await?;
    let mut sinks = Vec::new();
    for entry in &config.sinks {
        let guarantee = entry.config.guarantee().as_str();
        let enable = || shared.ledger.enable_sink(entry.name.clone(), entry.kind, guarantee, entry.start);
        let mut row = enable().await?;
        let missed = shared.ledger.skip_removed(entry.name.clone()).await?;
        if missed > 0 {
            error!(
                sink = entry.name,
                records = missed,
                "while the sink was not configured, log files left the spool that it never got"
            );
            row = enable().await?;
        }
        let encoder = Encoder::new(entry.options);
        let sink = entry.config.open(shared.ground.clone(), row.memory.clone(), encoder.fingerprint());
        let settings = Settings {
            max_unconfirmed_records: entry.max_unconfirmed_records,
            rate: entry.rate,
            select: entry.select.clone(),
            once: matches!(mode, RunMode::Once { .. }),
        };
        sinks.push(SinkParts { row, sink, encoder, settings });
    }
    Ok(sinks)
}
