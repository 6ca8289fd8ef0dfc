//! Seals what an archive holds: one signed manifest after another, each naming the one before.
//!
//! A manifest is in the ledger before it is in the archive, and there is no next one before it is there: what
//! a crash repeats are the same bytes. Where other bytes lie under its name, somebody else writes this chain,
//! and the archive pauses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tracing::{info, warn};

use super::object::MakeError;
use crate::archive::{
    self, Covered, Hash, Hole, MANIFEST_TYPE, MANIFEST_VERSION, Manifest, NextRecord, Packing, Pending,
    SealedFile, SigningKey, SinkPosition, StreamCoverage, manifest_key, public_key_key,
};
use crate::collect::Shared;
use crate::digest::sha256;
use crate::disk::PRIVATE_FILE;
use crate::ledger::{ArchivedFile, Chain, ListedFile, NextPlace, SinkPlace, UnsealedFile};
use crate::limits;
use crate::recovery::Recovery;
use crate::sink::reader::ArchiveReader;
use crate::sink::{Archive, Object, SinkError};

const DAY: i64 = 86_400;

/// Who seals, and with what.
#[derive(Clone, Debug)]
pub struct Seal {
    /// Whose chain it is.
    pub instance: String,
    /// Signs it.
    pub key: Arc<SigningKey>,
}

/// The chain of one archive.
pub(super) struct Sealer {
    shared: Shared,
    sink: String,
    archive: Arc<dyn Archive>,
    reader: Arc<dyn ArchiveReader>,
    seal: Seal,
    folder: PathBuf,
    /// As the ledger has it; none before it was looked at.
    chain: Option<Chain>,
    /// The public key is in the archive.
    published: bool,
}

impl Sealer {
    pub(super) fn new(
        shared: Shared,
        sink: String,
        archive: Arc<dyn Archive>,
        reader: Arc<dyn ArchiveReader>,
        seal: Seal,
        folder: PathBuf,
    ) -> Self {
        Self { shared, sink, archive, reader, seal, folder, chain: None, published: false }
    }

    /// Whether [`Self::begin`] was done.
    pub(super) fn is_ready(&self) -> bool {
        self.chain.is_some()
    }

    /// Reads where the chain stands, and looks once whether the archive is ahead of the ledger.
    pub(super) async fn begin(&mut self) -> Result<(), MakeError> {
        let instance = self.seal.instance.clone();
        let chain = self.shared.ledger.chain(self.sink.clone(), instance).await?;
        let next = manifest_key(&self.seal.instance, chain.number + 1);
        match self.reader.head(&next).await {
            Ok(None) => {}
            Ok(Some(_)) => return Err(self.foreign(&next).into()),
            Err(error) if matches!(error.recovery, Recovery::Pause { .. }) => {
                // Who may only write finds out when the name of the next manifest is taken.
                warn!(sink = self.sink, %error, "could not look for manifests of others");
            }
            Err(error) => return Err(error.into()),
        }
        self.chain = Some(chain);
        Ok(())
    }

    fn foreign(&self, key: &str) -> SinkError {
        let place = self.reader.place();
        let hint = format!(
            "if this data folder lost its ledger, put the right ledger.db back, or stop custodex and run `custodex \
             rebuild --from {} --replace`; if another custodex writes there, set another `instance` (now {:?})",
            self.sink, self.seal.instance
        );
        let message = format!("{place} holds {key}, which the ledger does not know");
        SinkError::new(message, Recovery::Pause { hint })
    }

    /// Seconds until the next manifest is due.
    pub(super) fn due_in(&self) -> u64 {
        let interval = limits::SEAL_INTERVAL.as_secs();
        let written = self.chain.as_ref().and_then(|chain| chain.written_at);
        let age = written.map_or(0, |at| self.shared.ground.now().saturating_sub(at));
        interval.saturating_sub(u64::try_from(age).unwrap_or(0))
    }

    /// Puts what a crash left, then seals all that is confirmed: one manifest, or several where it is much.
    pub(super) async fn seal(&mut self) -> Result<(), MakeError> {
        self.put().await?;
        loop {
            let most = limits::MANIFEST_FILES;
            let files = self.shared.ledger.unsealed(self.sink.clone(), most).await?;
            let full = files.len() == most;
            self.link(files).await?;
            self.put().await?;
            if !full {
                return Ok(());
            }
        }
    }

    /// Writes the next manifest into the ledger.
    async fn link(&mut self, files: Vec<UnsealedFile>) -> Result<(), MakeError> {
        let Some(chain) = self.chain.clone() else { return Ok(()) };
        let now = self.shared.ground.now();
        let last = files.last().map(|file| file.object.sequence);
        // Intervals of one day are told as one, with its first listing.
        let since = chain.written_at.map_or(i64::MIN, |at| at.div_euclid(DAY) * DAY);
        let covered = self.shared.ledger.covered_since(since).await?;
        let mut holes = self.shared.ledger.holes().await?;
        let omitted = holes.len().saturating_sub(limits::MANIFEST_HOLES);
        holes.drain(..omitted);
        let (pending, pending_omitted) = self.shared.ledger.listed(limits::MANIFEST_PENDING).await?;
        let positions = self.shared.ledger.sink_places().await?;
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            instance: self.seal.instance.clone(),
            number: chain.number + 1,
            previous: chain.head.map(Hash),
            written_at: text(now),
            software: concat!("custodex ", env!("CARGO_PKG_VERSION")).to_owned(),
            files: files.into_iter().map(sealed_file).collect(),
            coverage: covered
                .into_iter()
                .map(|one| StreamCoverage {
                    principal: one.principal,
                    event_type: one.event_type,
                    intervals: one
                        .intervals
                        .iter()
                        .map(|one| Covered { from: one.from, until: one.until, listed_at: one.listed_at })
                        .collect(),
                })
                .collect(),
            holes: holes
                .into_iter()
                .map(|hole| Hole {
                    principal: hole.principal,
                    event_type: hole.event_type,
                    file_id: hole.file_id,
                    end_time: hole.end_time,
                    reason: hole.reason,
                })
                .collect(),
            holes_omitted: omitted as u64,
            pending: pending.into_iter().map(pending_file).collect(),
            pending_omitted,
            positions: positions.into_iter().map(position).collect(),
        };
        let envelope = archive::seal(MANIFEST_TYPE, &manifest.write(), &self.seal.key);
        let next = Chain {
            number: manifest.number,
            head: Some(sha256(&envelope)),
            key_id: Some(self.seal.key.public().id()),
            written_at: Some(now),
            envelope: Some(envelope),
        };
        let instance = self.seal.instance.clone();
        self.shared.ledger.record_manifest(self.sink.clone(), instance, next.clone(), last).await?;
        self.chain = Some(next);
        Ok(())
    }

    /// Puts the envelope that the ledger holds, if it holds one.
    async fn put(&mut self) -> Result<(), MakeError> {
        let Some(Chain { number, envelope: Some(envelope), .. }) = &self.chain else { return Ok(()) };
        let (number, instance) = (*number, &self.seal.instance);
        if !self.published {
            let public = self.seal.key.public();
            self.store(public_key_key(instance, &public.id()), public.pem().as_bytes()).await?;
            self.published = true;
        }
        self.reach("manifest put")?;
        let key = manifest_key(instance, number);
        if let Err(error) = self.store(key.clone(), envelope).await {
            // Only other content makes a store pause about an object that it shows.
            let taken = matches!(error.recovery, Recovery::Pause { .. })
                && self.reader.head(&key).await.is_ok_and(|found| found.is_some());
            return Err(if taken { self.foreign(&key) } else { error }.into());
        }
        self.reach("manifest recorded")?;
        let at = self.shared.ground.clock.now();
        self.shared.ledger.record_manifest_put(self.sink.clone(), instance.clone(), at).await?;
        if let Some(chain) = &mut self.chain {
            chain.envelope = None;
        }
        info!(sink = self.sink, number, "a manifest is in the archive");
        Ok(())
    }

    async fn store(&self, key: String, bytes: &[u8]) -> Result<(), SinkError> {
        let body = self.folder.join("manifest");
        let disk = &self.shared.ground.disk;
        let write = || {
            let mut file = disk.create(&body, PRIVATE_FILE)?;
            file.write_all(bytes)
        };
        tokio::task::block_in_place(write).map_err(|error| no_room(&self.folder, &error))?;
        let hash = sha256(bytes);
        let object = Object {
            key,
            body: body.clone(),
            length: bytes.len() as u64,
            sha256: hash,
            packing: Packing::None,
            verbatim_sha256: hash,
            verbatim: true,
            evidence: true,
            file_id: "manifest".to_owned(),
            records: 0,
        };
        let put = self.archive.put(&object).await;
        // What cannot be removed now is removed at the next start.
        drop(disk.remove(&body));
        put.map(drop)
    }

    fn reach(&self, point: &'static str) -> Result<(), SinkError> {
        let reached = self.shared.ground.points.reach(point);
        reached.map_err(|error| SinkError::new(error.to_string(), Recovery::Retry { after: None }))
    }
}

fn pending_file(file: ListedFile) -> Pending {
    let ListedFile { principal, event_type, file_id, end_time, listed_at } = file;
    Pending { principal, event_type, file_id, end_time, listed_at: text(listed_at) }
}

fn position(place: SinkPlace) -> SinkPosition {
    let next = place.next.map(|next| {
        let NextPlace { principal, event_type, file_id, fetched_at, record } = next;
        NextRecord { principal, event_type, file_id, fetched_at, record }
    });
    SinkPosition { sink: place.sink, next }
}

fn sealed_file(file: UnsealedFile) -> SealedFile {
    let ArchivedFile {
        key, object_bytes, object_sha256, record_root, oldest_event, newest_event, found, ..
    } = file.object;
    SealedFile {
        key,
        file_id: file.file_id,
        principal: file.principal,
        event_type: file.event_type,
        end_time: file.end_time,
        oldest_event,
        newest_event,
        bytes: file.bytes,
        records: file.records,
        sha256: Hash(file.sha256),
        object_bytes,
        object_sha256: Hash(object_sha256),
        record_root: Hash(record_root),
        listed_at: text(file.listed_at),
        fetched_at: file.fetched_at,
        found,
    }
}

fn text(second: i64) -> String {
    Timestamp::from_second(second).unwrap_or_default().to_string()
}

fn no_room(folder: &Path, error: &std::io::Error) -> SinkError {
    let hint = format!("make room for temporary files in {}, writable by custodex", folder.display());
    SinkError::new(format!("cannot write to {}: {error}", folder.display()), Recovery::Pause { hint })
}
