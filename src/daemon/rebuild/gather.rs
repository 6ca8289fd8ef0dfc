//! Takes what manifests say into a ledger, one manifest at a time.
//!
//! Log files of every manifest of this instance; coverage of all of them, the latest listing counting; holes, what
//! is pending and how far sinks were from the newest. Nothing counts before the chain is known to hold: the
//! ledger is thrown away else.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::{RebuildError, STILL_LISTED};
use crate::archive::verify::Visitor;
use crate::archive::{Hole, Manifest, Named, Pending, SealedFile, SinkPosition, chain_folder};
use crate::config::Config;
use crate::ground::Ground;
use crate::ledger::{
    ArchivedFile, Chain, Imported, Interval, Ledger, LedgerError, Missing, Origin, StreamId, merged,
};
use crate::limits;
use crate::words::{OWN_EVENT_TYPE, Principal, PrincipalKind};

/// Principal and event type.
type StreamName = (String, String);

/// One stream, and what was listed of it.
struct Stream {
    id: StreamId,
    coverage: Vec<Interval>,
}

/// What the newest manifest says.
#[derive(Default)]
struct Newest {
    written_at: i64,
    holes: BTreeSet<Hole>,
    pending: Vec<Pending>,
    positions: Vec<SinkPosition>,
}

/// See the module.
pub(super) struct Gathered<'a> {
    config: &'a Config,
    ledger: &'a Ledger,
    told: &'a (dyn Fn(u64, u64) + Send + Sync),
    pub(super) now: Timestamp,
    /// The sink whose archive is being read.
    sink: String,
    streams: BTreeMap<StreamName, Stream>,
    waiting: Vec<Imported>,
    newest: Option<Newest>,
    /// By sink, objects that no manifest names and no listing will show.
    old: BTreeMap<String, Vec<String>>,
    contradicting: BTreeMap<String, u64>,
    failure: Option<LedgerError>,
    /// The newest log file of the audit trail: its end, the sink and the object.
    trail: Option<(i64, String, String)>,
    manifests: u64,
    files: u64,
}

impl<'a> Gathered<'a> {
    pub(super) fn new(
        config: &'a Config,
        ground: &Ground,
        ledger: &'a Ledger,
        told: &'a (dyn Fn(u64, u64) + Send + Sync),
    ) -> Self {
        Self {
            config,
            ledger,
            told,
            now: ground.clock.now(),
            sink: String::new(),
            streams: BTreeMap::new(),
            waiting: Vec::new(),
            newest: None,
            old: BTreeMap::new(),
            contradicting: BTreeMap::new(),
            failure: None,
            trail: None,
            manifests: 0,
            files: 0,
        }
    }

    /// What comes now is of this sink's archive.
    pub(super) fn begin(&mut self, sink: &str) {
        sink.clone_into(&mut self.sink);
    }

    /// Why a visit ended early, if the ledger was why.
    pub(super) fn failure(&mut self) -> Result<(), LedgerError> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// The archive's chain is whole.
    pub(super) async fn chain(&mut self, instance: &str, head: Option<Chain>) -> Result<(), RebuildError> {
        self.flush().await?;
        if let Some(head) = head {
            self.ledger.record_manifest(self.sink.clone(), instance.to_owned(), head, None).await?;
        }
        Ok(())
    }

    /// How far sinks were.
    pub(super) fn positions(&self) -> &[SinkPosition] {
        self.newest.as_ref().map_or(&[], |newest| &newest.positions)
    }

    pub(super) fn contradicting(&self, sink: &str) -> u64 {
        self.contradicting.get(sink).copied().unwrap_or(0)
    }

    /// The newest object of the audit trail that a sink's archive gave.
    pub(super) fn trail(&self, sink: &str) -> Option<&str> {
        self.trail.as_ref().filter(|(_, of, _)| of == sink).map(|(.., key)| key.as_str())
    }

    /// Objects of a sink's archive that no manifest names and no listing will show.
    pub(super) fn old(&mut self, sink: &str) -> Vec<String> {
        self.old.remove(sink).unwrap_or_default()
    }

    /// A stream that manifests or the configuration name.
    pub(super) async fn own_stream(
        &mut self,
        principal: &str,
        event_type: &str,
    ) -> Result<Option<StreamId>, LedgerError> {
        let known = self.streams.contains_key(&(principal.to_owned(), event_type.to_owned()));
        let ours = self.is_trail(principal, event_type) || self.source(principal, event_type).is_some();
        if !known && !ours {
            return Ok(None);
        }
        self.stream(principal, event_type).await.map(Some)
    }

    /// Whether a stream is the audit trail of this instance, which nobody lists.
    pub(super) fn is_trail(&self, principal: &str, event_type: &str) -> bool {
        principal == self.config.instance && event_type == OWN_EVENT_TYPE
    }

    /// The source that collects a stream now.
    fn source(&self, principal: &str, event_type: &str) -> Option<(String, Principal)> {
        let source = self.config.sources.iter().find(|source| {
            source.config.principal.id == principal
                && source.config.event_types.iter().any(|one| one == event_type)
        })?;
        Some((source.name.clone(), source.config.principal.clone()))
    }

    async fn stream(&mut self, principal: &str, event_type: &str) -> Result<StreamId, LedgerError> {
        let name = (principal.to_owned(), event_type.to_owned());
        if let Some(stream) = self.streams.get(&name) {
            return Ok(stream.id);
        }
        let (source, owner) = self.source(principal, event_type).unwrap_or_else(|| {
            let organization = principal.starts_with("org-");
            let kind = if organization { PrincipalKind::Organization } else { PrincipalKind::Workspace };
            (String::new(), Principal { kind, id: principal.to_owned() })
        });
        let now = self.now.as_second();
        let id = if self.is_trail(principal, event_type) {
            self.ledger.own_stream(principal.to_owned(), now).await?
        } else {
            self.ledger.enable_stream(source, owner, event_type.to_owned(), now, now).await?
        };
        self.streams.insert(name, Stream { id, coverage: Vec::new() });
        Ok(id)
    }

    /// Takes a log file in, sooner or later.
    pub(super) async fn take(&mut self, file: Imported) -> Result<(), LedgerError> {
        self.files += 1;
        if file.own && self.trail.as_ref().is_none_or(|(at, ..)| *at <= file.end_at) {
            self.trail = Some((file.end_at, self.sink.clone(), file.object.key.clone()));
        }
        self.waiting.push(file);
        if self.waiting.len() >= limits::MANIFEST_FILES { self.flush().await } else { Ok(()) }
    }

    /// Every log file that was taken in is in the ledger.
    pub(super) async fn flush(&mut self) -> Result<(), LedgerError> {
        let files = std::mem::take(&mut self.waiting);
        if !files.is_empty() {
            let contradicting = self.ledger.import_files(self.sink.clone(), files).await?;
            *self.contradicting.entry(self.sink.clone()).or_default() += contradicting;
        }
        (self.told)(self.manifests, self.files);
        Ok(())
    }

    /// What is left: holes, what is pending, what was listed.
    pub(super) async fn finish(&mut self) -> Result<(), LedgerError> {
        let now = self.now.as_second();
        let newest = self.newest.take().unwrap_or_default();
        let mut missing = Vec::new();
        for Hole { principal, event_type, file_id, end_time, reason } in newest.holes {
            let stream = self.stream(&principal, &event_type).await?;
            let end_at = second(&end_time).unwrap_or(now);
            missing.push(Missing {
                stream,
                file_id,
                end_time,
                end_at,
                listed_at: end_at,
                hole: Some(reason),
            });
        }
        for Pending { principal, event_type, file_id, end_time, listed_at } in newest.pending {
            let stream = self.stream(&principal, &event_type).await?;
            let end_at = second(&end_time).unwrap_or(now);
            let listed_at = second(&listed_at).unwrap_or(now);
            missing.push(Missing { stream, file_id, end_time, end_at, listed_at, hole: None });
        }
        self.ledger.import_missing(missing).await?;
        let streams = std::mem::take(&mut self.streams).into_values();
        let streams = streams.map(|Stream { id, coverage }| Origin { stream: id, coverage }).collect();
        self.ledger.import_streams(streams).await
    }

    async fn read(&mut self, manifest: &Manifest) -> Result<(), LedgerError> {
        self.manifests += 1;
        for file in &manifest.files {
            let stream = self.stream(&file.principal, &file.event_type).await?;
            let own = self.is_trail(&file.principal, &file.event_type);
            self.take(Imported { own, ..sealed(file, stream, self.now.as_second()) }).await?;
        }
        for listed in &manifest.coverage {
            self.stream(&listed.principal, &listed.event_type).await?;
            let name = (listed.principal.clone(), listed.event_type.clone());
            let Some(stream) = self.streams.get_mut(&name) else { continue };
            for one in &listed.intervals {
                let interval = Interval { from: one.from, until: one.until, listed_at: one.listed_at };
                stream.coverage = merged(&stream.coverage, interval);
            }
        }
        self.note(manifest);
        (self.told)(self.manifests, self.files);
        Ok(())
    }

    /// Keeps what only the newest manifest says.
    fn note(&mut self, manifest: &Manifest) {
        let written_at = second(&manifest.written_at).unwrap_or(0);
        let newest = self.newest.get_or_insert_default();
        if written_at < newest.written_at {
            return;
        }
        newest.written_at = written_at;
        if manifest.holes_omitted == 0 {
            newest.holes.clear();
        }
        // Those that are omitted were told before.
        newest.holes.extend(manifest.holes.iter().cloned());
        newest.pending.clone_from(&manifest.pending);
        newest.positions.clone_from(&manifest.positions);
    }
}

impl Visitor for Gathered<'_> {
    fn manifest<'a>(
        &'a mut self,
        folder: &'a str,
        manifest: &'a Manifest,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            if folder != chain_folder(&self.config.instance) {
                return Ok(());
            }
            let read = self.read(manifest).await;
            read.map_err(|error| {
                let text = error.to_string();
                self.failure = Some(error);
                text
            })
        })
    }

    fn unsealed(&mut self, key: &str) {
        let Some(named) = Named::read(key) else { return };
        let gone = second(&named.end_time).is_some_and(|at| at < self.now.as_second() - STILL_LISTED);
        if gone || self.is_trail(&named.principal, &named.event_type) {
            self.old.entry(self.sink.clone()).or_default().push(key.to_owned());
        }
    }
}

fn sealed(file: &SealedFile, stream: StreamId, now: i64) -> Imported {
    Imported {
        stream,
        file_id: file.file_id.clone(),
        end_time: file.end_time.clone(),
        end_at: second(&file.end_time).unwrap_or(now),
        listed_at: second(&file.listed_at).unwrap_or(now),
        fetched_at: file.fetched_at.clone(),
        bytes: file.bytes,
        records: file.records,
        sha256: file.sha256.0,
        object: ArchivedFile {
            sequence: 0,
            key: file.key.clone(),
            object_bytes: file.object_bytes,
            object_sha256: file.object_sha256.0,
            record_root: file.record_root.0,
            oldest_event: file.oldest_event.clone(),
            newest_event: file.newest_event.clone(),
            found: file.found,
        },
        sealed: true,
        own: false,
    }
}

/// Seconds since 1970.
pub(super) fn second(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}
