//! Destinations: the seam, and one folder for each type.
//!
//! Owns the two traits, and in `reader` that of reading archives. A [`Sink`] takes encoded batches in order and says when they are confirmed. An
//! [`Archive`] takes whole log files, each under a name that is a pure function of the file. Neither
//! knows anything of positions, of the ledger or of other sinks. What a sink must remember across a
//! crash is its *state*, bytes that are committed in one transaction with its position; an archive
//! remembers nothing, since what is there already is never written again.

pub mod directory;
pub mod file;
mod local;
pub mod reader;
#[cfg(feature = "s3")]
pub mod s3;
pub mod splunk_hec;
pub mod stdout;
pub mod syslog;

use std::borrow::Cow;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use toml::de::ValueDeserializer;

use crate::archive::Packing;
use crate::ground::Ground;
use crate::net::NetworkConfig;
use crate::record::{Record, json};
use crate::recovery::Recovery;
use crate::secret::Secret;
use reader::ArchiveReader;

/// Every type of sink there is.
pub const TYPES: &[SinkType] = &[
    SinkType::of::<file::FileConfig>("file"),
    SinkType::of::<stdout::StdoutConfig>("stdout"),
    SinkType::of::<splunk_hec::SplunkHecConfig>("splunk_hec"),
    SinkType { name: "syslog", read: syslog::read },
    SinkType::archive::<directory::DirectoryConfig>("directory"),
    #[cfg(feature = "s3")]
    SinkType::archive::<s3::S3Config>("s3"),
];

/// One line of the registry.
#[derive(Clone, Copy, Debug)]
pub struct SinkType {
    /// What `type` says.
    pub name: &'static str,
    /// Reads the sink's own keys.
    pub read: fn(ValueDeserializer<'_>) -> Result<Keys, toml::de::Error>,
}

/// A sink's own keys, by what it takes.
#[derive(Debug)]
pub enum Keys {
    /// Encoded records.
    Records(Box<dyn SinkConfig>),
    /// Whole log files.
    Files(Box<dyn ArchiveConfig>),
}

impl Keys {
    /// What its confirmations will mean.
    pub fn guarantee(&self) -> Guarantee {
        match self {
            Self::Records(config) => config.guarantee(),
            Self::Files(_) => Guarantee::Durable,
        }
    }

    /// As [`SinkConfig::exclusive`]; an archive of each format has a place of its own.
    pub fn exclusive(&self, format: &str) -> Option<String> {
        match self {
            Self::Records(config) => config.exclusive(),
            Self::Files(config) => Some(format!("the {format} archive in {}", config.place())),
        }
    }

    /// As [`SinkConfig::render`]; an archive has no envelope.
    pub fn render(&self, batch: &Batch) -> Vec<u8> {
        match self {
            Self::Records(config) => config.render(batch),
            Self::Files(_) => batch.bytes.clone(),
        }
    }

    /// As [`SinkConfig::max_record_bytes`].
    pub fn max_record_bytes(&self) -> Option<usize> {
        match self {
            Self::Records(config) => config.max_record_bytes(),
            Self::Files(_) => None,
        }
    }

    /// As [`SinkConfig::secrets`].
    pub fn secrets(&self) -> Vec<(&'static str, &Secret)> {
        match self {
            Self::Records(config) => config.secrets(),
            Self::Files(config) => config.secrets(),
        }
    }

    /// Looks whether delivery would work, without writing anything that stays; answers what was found.
    pub async fn probe(&self, ground: &Ground, network: &NetworkConfig) -> Result<String, SinkError> {
        match self {
            Self::Records(config) => config.probe(ground).await,
            Self::Files(config) => config.probe(ground, network).await,
        }
    }
}

impl SinkType {
    /// The line for a sink whose own keys are `C`.
    pub const fn of<C: SinkConfig + for<'de> Deserialize<'de> + 'static>(name: &'static str) -> Self {
        Self { name, read: |keys| C::deserialize(keys).map(|config| Keys::Records(Box::new(config))) }
    }

    /// The line for an archive whose own keys are `C`.
    pub const fn archive<C: ArchiveConfig + for<'de> Deserialize<'de> + 'static>(name: &'static str) -> Self {
        Self { name, read: |keys| C::deserialize(keys).map(|config| Keys::Files(Box::new(config))) }
    }
}

/// A sink's own keys, read and checked.
pub trait SinkConfig: Debug + Send + Sync {
    /// What its confirmations will mean.
    fn guarantee(&self) -> Guarantee;
    /// The sink, untouched so far: what can fail is done by its first `deliver` or `confirm`.
    ///
    /// `memory` is the last committed state; `fingerprint` changes when the same records would be
    /// encoded otherwise.
    fn open(&self, ground: Ground, memory: Option<Vec<u8>>, fingerprint: String) -> Box<dyn Sink>;
    /// What no other sink may write to as well, for people; none when sharing does no harm.
    fn exclusive(&self) -> Option<String> {
        None
    }
    /// A record longer than this, in bytes, is trimmed before it comes here.
    fn max_record_bytes(&self) -> Option<usize> {
        None
    }
    /// The same sink for the replay of this id, where its records stay apart from live ones; none when
    /// no such place is named.
    fn replaying(&self, _id: &str) -> Option<Box<dyn SinkConfig>> {
        None
    }
    /// Why what is named for replays would not keep them apart, and the next step.
    fn replay_fault(&self) -> Option<(&'static str, &'static str)> {
        None
    }
    /// What the other side would get for a batch, each record in its envelope and on a line of its own,
    /// without framing and compression. Needs no secret and no network.
    fn render(&self, batch: &Batch) -> Vec<u8> {
        batch.bytes.clone()
    }
    /// What has to be readable at the start, each with its key.
    fn secrets(&self) -> Vec<(&'static str, &Secret)> {
        Vec::new()
    }
    /// Looks whether delivery would work, without writing anything that stays; answers what was found.
    fn probe<'a>(&'a self, ground: &'a Ground) -> BoxFuture<'a, Result<String, SinkError>>;
}

/// An archive's own keys, read and checked.
pub trait ArchiveConfig: Debug + Send + Sync {
    /// How objects are compressed.
    fn packing(&self) -> Packing;
    /// Where it lies, for people.
    fn place(&self) -> String;
    /// The archive, untouched so far: what can fail is done by its first `put`.
    ///
    /// `writer` names this sink of this forwarder among all that may write to the same place.
    fn open(&self, ground: Ground, network: &NetworkConfig, writer: &str) -> Arc<dyn Archive>;
    /// The same place to read from; what can fail is done by its first request.
    fn reader(&self, ground: Ground, network: &NetworkConfig) -> Arc<dyn ArchiveReader>;
    /// As [`SinkConfig::probe`].
    fn probe<'a>(
        &'a self,
        ground: &'a Ground,
        network: &'a NetworkConfig,
    ) -> BoxFuture<'a, Result<String, SinkError>>;
    /// As [`SinkConfig::secrets`].
    fn secrets(&self) -> Vec<(&'static str, &Secret)> {
        Vec::new()
    }
    /// Keys that do not go together: the key, what, the next step.
    fn faults(&self) -> Vec<(&'static str, String, &'static str)> {
        Vec::new()
    }
}

/// What a confirmation of a sink means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// The bytes survive a power cut on the other side.
    Durable,
    /// The other side answered that it has them.
    Accepted,
    /// They were handed to the transport; no answer exists.
    Sent,
}

impl Guarantee {
    /// The word `status` shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Accepted => "accepted",
            Self::Sent => "sent",
        }
    }
}

/// Where records come from: the same for all of a log file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The principal's id.
    pub principal: String,
    /// The stream's event type.
    pub event_type: String,
    /// The log file's id upstream.
    pub file_id: String,
}

/// What a sink may say of a record in its own envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Our id of the record.
    pub id: String,
    /// RFC 3339, UTC, every digit; none when upstream's is unreadable.
    pub time: Option<String>,
    /// RFC 3339, UTC: when its log file was fetched.
    pub observed: Arc<str>,
    /// Its sub type.
    pub action: Option<String>,
    /// `success`, `failure` or `unknown`; none when upstream says nothing.
    pub outcome: Option<&'static str>,
    /// The replay it is part of.
    pub replay: Option<String>,
    /// Where it comes from.
    pub origin: Arc<Origin>,
}

impl About {
    /// Of a record as the sink may see it.
    pub fn of(record: &Record<'_>, observed: &Arc<str>, origin: &Arc<Origin>) -> Self {
        Self {
            id: record.id.clone(),
            time: record.time.clone(),
            observed: observed.clone(),
            action: record.action.and_then(json::text).map(Cow::into_owned),
            outcome: record.outcome.result,
            replay: record.replay.map(|replay| replay.id.clone()),
            origin: origin.clone(),
        }
    }
}

/// Encoded records in spool order.
#[derive(Debug, Default)]
pub struct Batch {
    /// Every record followed by a line feed.
    pub bytes: Vec<u8>,
    /// End of each record in `bytes`, after its line feed.
    pub ends: Vec<usize>,
    /// One for each record.
    pub about: Vec<About>,
}

impl Batch {
    /// The record whose bytes were appended last is whole.
    pub fn close(&mut self, about: About) {
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
        self.about.push(about);
    }

    /// Forgets the records, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.about.clear();
    }

    /// The records, each with its line feed.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }
}

/// What a sink has confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// How many of the batches handed over and not confirmed before, oldest first.
    pub batches: usize,
    /// What the sink must know again after a crash; committed together with the position.
    pub memory: Vec<u8>,
}

impl Confirmation {
    /// Everything that was handed over.
    pub fn all(memory: Vec<u8>) -> Self {
        Self { batches: usize::MAX, memory }
    }
}

/// Why a sink did not take or confirm a batch.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SinkError {
    /// What happened and where, fit for a log: no secret, no content.
    pub message: String,
    /// The way on. After `Retry` and `Pause` the worker asks again for the same thing.
    pub recovery: Recovery,
    /// All that was handed over and not confirmed is gone with it, and has to be handed over again.
    pub lost: bool,
}

impl SinkError {
    /// An error that loses nothing.
    pub fn new(message: impl Into<String>, recovery: Recovery) -> Self {
        Self { message: message.into(), recovery, lost: false }
    }

    /// The same, but what was not confirmed is gone.
    #[must_use]
    pub fn losing(self) -> Self {
        Self { lost: true, ..self }
    }
}

/// A destination.
///
/// The worker calls `deliver` for each batch and `confirm` when a commit is due (and now and then while
/// idle); it commits position and memory together, and then calls `committed`. After an error it calls
/// the same method again; a batch then begins with the same bytes (more records may follow them), and an
/// implementation goes on where it stopped. After an error that is `lost`, delivery begins again behind
/// the last confirmed batch. A `deliver` that is dropped half-way counts as one that was never called.
pub trait Sink: Send {
    /// Whether the sink wants a commit before the next batch: to rotate, or to make what it found at
    /// start known before it writes.
    fn wants_commit(&self) -> bool {
        false
    }
    /// Whether something an earlier start handed over lies there unconfirmed, so that only the same records
    /// may follow.
    fn is_unsettled(&self) -> bool {
        false
    }
    /// Hands over one batch; its confirmation may come later.
    fn deliver<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<(), SinkError>>;
    /// What is confirmed by now. Asks or syncs if it has to, but does not wait for what may take seconds:
    /// it is called again as long as something is not confirmed.
    fn confirm(&mut self) -> BoxFuture<'_, Result<Confirmation, SinkError>>;
    /// Position and memory of the last `confirm` are in the ledger now.
    fn committed(&mut self) -> BoxFuture<'_, Result<(), SinkError>>;
}

/// One log file on its way into an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name: relative, parts separated by `/`, each fit for a file name.
    pub key: String,
    /// Where its bytes lie; they go when the `put` is over.
    pub body: PathBuf,
    /// How many.
    pub length: u64,
    /// Their hash.
    pub sha256: [u8; 32],
    /// How they are compressed.
    pub packing: Packing,
    /// Hash of the verbatim log file.
    pub verbatim_sha256: [u8; 32],
    /// Whether the content is the verbatim log file; else it was made from it, and another version of
    /// this program may make it otherwise.
    pub verbatim: bool,
    /// Whether it is evidence, which a lock of the archive is for.
    pub evidence: bool,
    /// The log file's id upstream.
    pub file_id: String,
    /// Records in it.
    pub records: u64,
}

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is there now, durable.
    Stored,
    /// The same content was there before.
    AlreadyThere,
}

/// A destination of whole log files.
///
/// A `put` never replaces anything: where other content lies under the key it fails with `Pause`. It may be
/// dropped half-way, or fail after it was done; the same object is put again, later or by another start.
pub trait Archive: Send + Sync + Debug {
    /// Makes sure that the object is there.
    fn put<'a>(&'a self, object: &'a Object) -> BoxFuture<'a, Result<Put, SinkError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_reads_its_own_keys() {
        let read = |name: &str, keys: &str| {
            let line = TYPES.iter().find(|line| line.name == name).unwrap();
            (line.read)(ValueDeserializer::parse(keys).unwrap()).map(|config| config.guarantee())
        };
        assert_eq!(read("file", "{ directory = '/x' }"), Ok(Guarantee::Durable));
        assert_eq!(read("stdout", "{}"), Ok(Guarantee::Sent));
        assert_eq!(read("directory", "{ directory = '/x' }"), Ok(Guarantee::Durable));
        assert!(read("stdout", "{ directory = '/x' }").is_err());
    }
}
