//! Brings log files back that left a full spool early, or were lost with the data folder: an archive has them.
//!
//! Invariants: what comes back is, by size and SHA-256, what was collected, and is durable under its old
//! number before the ledger says that it is here; one file comes at a time, when the sink that stands
//! before it asks. A crash on the way leaves what the next start removes. Writes to no archive, and makes
//! nobody wait but who asked.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use tokio::sync::Mutex;
use tracing::info;

use crate::archive::{self, LogFile, Packing, Tree};
use crate::collect::{Progress, Shared};
use crate::digest::Sha256;
use crate::disk::PRIVATE_FILE;
use crate::ledger::{FileFacts, LedgerError, StreamRow};
use crate::limits;
use crate::recovery::Recovery;
use crate::sink::SinkError;
use crate::sink::reader::{ArchiveReader, Body};
use crate::spool::Names;

/// Archives that keep log files verbatim.
#[derive(Clone, Default)]
pub struct Refill {
    readers: Vec<Arc<dyn ArchiveReader>>,
    /// Every archive there is: what one of them has still to get stays in the spool.
    pub(super) archives: Vec<String>,
    /// Files come one at a time, whoever asks.
    turn: Arc<Mutex<()>>,
    /// The last file each sink got back, which must not go again before it was read.
    held: Arc<StdMutex<BTreeMap<String, u64>>>,
}

impl fmt::Debug for Refill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refill").field("readers", &self.readers).finish_non_exhaustive()
    }
}

/// Why a file did not come back.
#[derive(Debug, thiserror::Error)]
pub(super) enum RefillError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Sink(#[from] SinkError),
}

impl Refill {
    /// From these readers, the first that has a file; `archives` names every archive sink.
    pub fn new(readers: Vec<Arc<dyn ArchiveReader>>, archives: Vec<String>) -> Self {
        Self { readers, archives, turn: Arc::default(), held: Arc::default() }
    }

    /// Whether any archive gives log files back.
    pub(super) fn is_possible(&self) -> bool {
        !self.readers.is_empty()
    }

    /// Files that came back last, by number.
    pub(super) fn held(&self) -> Vec<u64> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
    }

    /// Sees to it that the spool holds the file with this number, for a sink that stands before it.
    pub(super) async fn bring_back(
        &self,
        shared: &Shared,
        sink: &str,
        sequence: u64,
    ) -> Result<(), RefillError> {
        let _turn = self.turn.lock().await;
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(sink.to_owned(), sequence);
        let Some(facts) = shared.ledger.file_at(sequence).await?.filter(|facts| facts.dropped) else {
            return Ok(());
        };
        let stream = shared.ledger.stream(facts.stream).await?;
        let (body, packing) = self.find(&facts, &stream).await?;
        let names = shared.spool.returning(sequence);
        let written = self.write(shared, &facts, body, packing, &names).await;
        let adopted = written.and_then(|()| {
            shared.ground.points.reach("file returned").map_err(|error| no_room(&error))?;
            let adopt = shared.spool.adopt(&names, sequence).and_then(|()| shared.spool.sync());
            adopt.map_err(|error| no_room(&error))
        });
        if let Err(error) = adopted {
            shared.spool.discard(&names).map_err(|error| no_room(&error))?;
            return Err(error.into());
        }
        shared.ledger.record_return(sequence).await?;
        Progress::add(&shared.progress.spool_bytes, facts.bytes);
        info!(sequence, bytes = facts.bytes, "a log file came back from an archive");
        if Progress::get(&shared.progress.spool_bytes) >= shared.spool_max_bytes {
            shared.room.notify_one();
        }
        Ok(())
    }

    /// Where it lies; packed as it may have been when it was put.
    async fn find(&self, facts: &FileFacts, stream: &StreamRow) -> Result<(Body, Packing), SinkError> {
        let file = LogFile {
            principal: &stream.principal.id,
            event_type: &stream.event_type,
            end_time: &facts.end_time,
            file_id: &facts.file_id,
            sha256: &facts.sha256,
        };
        let mut failed = None;
        for archive in &self.readers {
            for packing in [Packing::Zstd, Packing::Gzip, Packing::None] {
                match archive.get(&archive::key(Tree::Raw, &file, packing)).await {
                    Ok(Some(body)) => return Ok((body, packing)),
                    Ok(None) => {}
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
        }
        let waits = format!("log file {} is not in the spool any more and is to come back", facts.sequence);
        if let Some(error) = failed {
            return Err(SinkError { message: format!("{waits}: {}", error.message), ..error });
        }
        let hint =
            "put the object back where the archive sink keeps its log files, or configure that sink again";
        Err(SinkError::new(format!("{waits}, and no archive has it"), Recovery::Pause { hint: hint.into() }))
    }

    async fn write(
        &self,
        shared: &Shared,
        facts: &FileFacts,
        body: Body,
        packing: Packing,
        names: &Names,
    ) -> Result<(), SinkError> {
        let data = shared.ground.disk.create(&names.data, PRIVATE_FILE).map_err(|error| no_room(&error))?;
        let (copied, bytes, sha256) = (shared.clone(), facts.bytes, facts.sha256);
        // On a thread of its own: the store may take its time, and others go on.
        let copying = tokio::task::spawn_blocking(move || copy(&copied, body, packing, bytes, sha256, data));
        let data = copying.await.map_err(|panic| broken(facts.sequence, &panic))??;
        let scanned = shared.cut(data, names).await.map_err(|error| no_room(&error))?;
        if scanned.records == facts.records { Ok(()) } else { Err(broken(facts.sequence, &"records differ")) }
    }
}

/// Unpacks an object into a file, and compares.
fn copy<W: Write>(
    shared: &Shared,
    body: Body,
    packing: Packing,
    bytes: u64,
    sha256: [u8; 32],
    mut out: W,
) -> Result<W, SinkError> {
    let again = |error: io::Error| {
        let message = format!("a log file could not be read from its archive: {error}");
        SinkError::new(message, Recovery::Retry { after: None })
    };
    let (mut sum, mut length) = (Sha256::new(), 0);
    let mut content = archive::unpack(packing, body.bytes).map_err(again)?;
    let mut window = vec![0; limits::COPY_WINDOW];
    loop {
        let count = match content.read(&mut window) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(again(error)),
        };
        if shared.stop.is_cancelled() {
            return Err(again(io::Error::other("stopping")));
        }
        length += count as u64;
        if count == 0 || length > bytes {
            break;
        }
        sum.update(&window[..count]);
        out.write_all(&window[..count]).map_err(|error| no_room(&error))?;
    }
    if length == bytes && sum.finish() == sha256 {
        return Ok(out);
    }
    let hint = "find out who changed the object in the archive; put the right one back".into();
    let message = "an archive holds other content than the log file that was put there";
    Err(SinkError::new(message, Recovery::Pause { hint }))
}

fn no_room(error: &io::Error) -> SinkError {
    let hint = "make room where data_dir lies, and check that it can be written".into();
    SinkError::new(format!("the spool could not be written: {error}"), Recovery::Pause { hint })
}

fn broken(sequence: u64, what: &dyn fmt::Display) -> SinkError {
    SinkError::new(format!("log file {sequence} did not come back: {what}"), Recovery::Retry { after: None })
}
