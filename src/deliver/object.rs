//! Makes the object of one log file: its name, and its bytes in a temporary file.
//!
//! A pure function of the spool and the ledger's file row. The spool file is hashed as it is read: what
//! is not, byte for byte, what was collected never gets into an archive. Memory is constant.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::SemaphorePermit;

use super::fill::{End, FillError, Filler, Place};
use super::refill::RefillError;
use crate::archive::{self, Inspected, LogFile, Packer, Packing, Tree};
use crate::collect::Shared;
use crate::digest::Sha256;
use crate::disk::{Disk, DiskFile, PRIVATE_FILE};
use crate::format::{Encoder, Format, Options, Redaction};
use crate::ledger::{Counts, FileFacts, LedgerError, Position};
use crate::recovery::Recovery;
use crate::sink::{Batch, Object, SinkError};

/// How objects are made for one archive.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    pub(super) shared: Shared,
    pub(super) options: Options,
    pub(super) redaction: Redaction,
    pub(super) packing: Packing,
    /// Where temporary files lie.
    pub(super) folder: PathBuf,
}

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
pub(super) enum MakeError {
    #[error(transparent)]
    Fill(#[from] FillError),
    #[error(transparent)]
    Sink(#[from] SinkError),
}

impl From<LedgerError> for MakeError {
    fn from(error: LedgerError) -> Self {
        Self::Fill(error.into())
    }
}

impl From<RefillError> for MakeError {
    fn from(error: RefillError) -> Self {
        match error {
            RefillError::Ledger(error) => error.into(),
            RefillError::Sink(error) => error.into(),
        }
    }
}

/// An object whose bytes go with it.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) object: Object,
    /// What a manifest says of the log file.
    pub(super) inspected: Inspected,
    disk: Arc<dyn Disk>,
}

impl Drop for Made {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        drop(self.disk.remove(&self.object.body));
    }
}

/// Counts and hashes what goes into a file.
struct Measured {
    file: Box<dyn DiskFile>,
    sum: Sha256,
    length: u64,
}

impl Write for Measured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.sum.update(&bytes[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Copies what is read through it.
struct Tee<W> {
    data: Box<dyn DiskFile>,
    out: W,
    /// More than there should be is found by its hash, and must not get into a file of known length.
    left: u64,
    failed: Option<io::Error>,
}

impl<W: Write> Read for Tee<W> {
    fn read(&mut self, window: &mut [u8]) -> io::Result<usize> {
        let count = self.data.read(window)?;
        let copied = count.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= copied as u64;
        if let Err(error) = self.out.write_all(&window[..copied]) {
            self.failed = Some(error);
            return Err(io::Error::other("the copy failed"));
        }
        Ok(count)
    }
}

impl Maker {
    /// Makes the folder of temporary files, and empties it of what a crash left.
    pub(super) fn prepare(&self) -> Result<(), SinkError> {
        let disk = &self.shared.ground.disk;
        let prepare = || {
            disk.create_folder(&self.folder, crate::disk::PRIVATE_FOLDER)?;
            let left = disk.list(&self.folder)?;
            left.iter().try_for_each(|entry| disk.remove(&self.folder.join(&entry.name)))
        };
        prepare().map_err(|error| self.no_room(&error))
    }

    /// The object of a spooled file.
    pub(super) async fn make(&self, facts: &FileFacts) -> Result<Made, MakeError> {
        let stream = self.shared.ledger.stream(facts.stream).await?;
        let verbatim = self.options.format == Format::Raw;
        let tree = if verbatim { Tree::Raw } else { Tree::Normalized(self.options.format.name()) };
        let file = LogFile {
            principal: &stream.principal.id,
            event_type: &stream.event_type,
            end_time: &facts.end_time,
            file_id: &facts.file_id,
            sha256: &facts.sha256,
        };
        let object = Object {
            key: archive::key(tree, &file, self.packing),
            body: self.folder.join(facts.sequence.to_string()),
            length: 0,
            sha256: [0; 32],
            packing: self.packing,
            verbatim_sha256: facts.sha256,
            verbatim,
            evidence: true,
            file_id: facts.file_id.clone(),
            records: facts.records,
        };
        let disk = self.shared.ground.disk.clone();
        let packer = self.begin(&object.body, verbatim.then_some(facts.bytes));
        // From here on the file goes whatever happens.
        let mut made = Made { object, inspected: Inspected::default(), disk };
        let packer = packer?;
        let packer = if verbatim {
            // Cutting may take memory for a huge record.
            let _cutting = self.shared.cutting.acquire().await;
            let (packer, inspected) = tokio::task::block_in_place(|| self.read(facts, packer))?;
            made.inspected = inspected;
            packer
        } else {
            tokio::task::block_in_place(|| self.read(facts, io::sink()))?;
            self.encode(facts, packer).await?
        };
        let measured = packer.finish().map_err(|error| self.no_room(&error))?;
        (made.object.length, made.object.sha256) = (measured.length, measured.sum.finish());
        Ok(made)
    }

    fn begin(&self, body: &Path, length: Option<u64>) -> Result<Packer<Measured>, SinkError> {
        let file = self.shared.ground.disk.create(body, PRIVATE_FILE);
        let begin = file.and_then(|file| {
            archive::pack(self.packing, Measured { file, sum: Sha256::new(), length: 0 }, length)
        });
        begin.map_err(|error| self.no_room(&error))
    }

    /// Reads the whole spool file into `out`, and compares its hash.
    fn read<W: Write>(&self, facts: &FileFacts, out: W) -> Result<(W, Inspected), MakeError> {
        let sequence = facts.sequence;
        let unreadable = |source| FillError::Spool { sequence, source };
        let data =
            self.shared.ground.disk.open(&self.shared.spool.names(sequence).data).map_err(unreadable)?;
        let mut tee = Tee { data, out, left: facts.bytes, failed: None };
        let inspected = archive::inspect(&mut tee);
        if let Some(error) = tee.failed {
            return Err(self.no_room(&error).into());
        }
        let inspected = inspected.map_err(unreadable)?;
        if inspected.bytes != facts.bytes || inspected.sha256 != facts.sha256 {
            let changed = io::Error::new(io::ErrorKind::InvalidData, "it is not what was collected");
            return Err(unreadable(changed).into());
        }
        Ok((tee.out, inspected))
    }

    /// Every record of the file, repeats included, as other sinks would get it.
    async fn encode(
        &self,
        facts: &FileFacts,
        mut packer: Packer<Measured>,
    ) -> Result<Packer<Measured>, MakeError> {
        let (ledger, spool) = (self.shared.ledger.clone(), self.shared.spool.clone());
        let position = Position { sequence: facts.sequence, record: 0 };
        let place = Place { position, counts: Counts::default() };
        // No copy is ever in a file at or behind this number, so nothing is left out.
        let encoder = Arc::new(Encoder::new(self.options, None).redacting(self.redaction.clone()));
        let mut filler = Filler::new(ledger, spool, encoder, None, u64::MAX, place);
        let mut batch = Batch::default();
        let mut left = facts.records;
        while left > 0 {
            batch.clear();
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let mut permit: Option<SemaphorePermit<'_>> = None;
            let mut end = filler.fill(&mut batch, most, false).await?;
            if end == End::Big {
                permit = self.shared.big.acquire().await.ok();
                end = filler.fill(&mut batch, most, true).await?;
            }
            tokio::task::block_in_place(|| packer.write_all(&batch.bytes))
                .map_err(|error| self.no_room(&error))?;
            left -= (batch.ends.len() as u64).min(left);
            if permit.is_some() {
                batch = Batch::default();
            }
            if end == End::Dry && left > 0 {
                let source = io::Error::new(io::ErrorKind::UnexpectedEof, "it has fewer records than before");
                return Err(FillError::Spool { sequence: facts.sequence, source }.into());
            }
        }
        Ok(packer)
    }

    fn no_room(&self, error: &io::Error) -> SinkError {
        let hint =
            format!("make room for temporary files in {}, writable by custodex", self.folder.display());
        let message = format!("cannot write to {}: {error}", self.folder.display());
        SinkError::new(message, Recovery::Pause { hint })
    }
}
