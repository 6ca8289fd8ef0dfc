//! The spool: log files as they were served, and the only queue there is.
//!
//! ```text
//! spool/000000000042.jsonl   the verbatim log file
//! spool/000000000042.index   one entry a record: where it lies, what it is, its sha256
//! spool/000000000042.ids     sorted hashes of event ids, to find repeats without random access
//! spool/incoming-<row>.*     a download in progress; removed at the next start
//! spool/incoming-back-<n>.*  the same, from an archive
//! ```
//!
//! Invariants: a name with a sequence number exists only with durable content; the ledger's transaction,
//! which comes last, makes it real; files the ledger does not hold are removed at start. A file is
//! never changed after its rename. Never parses more of a record than the reader does.

mod ids;
mod index;
mod read;
mod repeats;
mod scan;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use index::Entry;
pub use read::FileReader;
pub use repeats::{Earlier, Finder, Repeats};
pub use scan::{Scanned, longest_line, scan};

use crate::disk::{Disk, PRIVATE_FOLDER};

/// The three files that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The verbatim log file.
    pub data: PathBuf,
    /// Its records.
    pub index: PathBuf,
    /// Its event ids.
    pub ids: PathBuf,
}

impl Names {
    fn new(folder: &Path, stem: &str) -> Self {
        let name = |end: &str| folder.join(format!("{stem}.{end}"));
        Self { data: name("jsonl"), index: name("index"), ids: name("ids") }
    }

    fn all(&self) -> [&Path; 3] {
        [&self.data, &self.index, &self.ids]
    }
}

/// The spool's folder.
#[derive(Clone, Debug)]
pub struct Spool {
    disk: Arc<dyn Disk>,
    folder: Arc<PathBuf>,
}

impl Spool {
    /// The spool in `folder`, which is created when absent.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path) -> io::Result<Self> {
        disk.create_folder(folder, PRIVATE_FOLDER)?;
        Ok(Self { disk, folder: Arc::new(folder.to_owned()) })
    }

    /// The spool in `folder`, to look at; creates nothing.
    pub fn look(disk: Arc<dyn Disk>, folder: &Path) -> Self {
        Self { disk, folder: Arc::new(folder.to_owned()) }
    }

    /// The file system it lies on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Names of the file with this sequence number.
    pub fn names(&self, sequence: u64) -> Names {
        Names::new(&self.folder, &format!("{sequence:012}"))
    }

    /// Names of the download for the ledger's file row.
    pub fn incoming(&self, row: i64) -> Names {
        Names::new(&self.folder, &format!("incoming-{row}"))
    }

    /// Names of a file on its way back from an archive.
    pub fn returning(&self, sequence: u64) -> Names {
        Names::new(&self.folder, &format!("incoming-back-{sequence}"))
    }

    /// Removes what no transaction made real: downloads in progress, files renamed but not committed,
    /// files marked as removed. Lists of ids outlive their data while repeats can still come.
    pub fn recover(&self, kept: &HashSet<u64>, ids_from: u64, next: u64) -> io::Result<()> {
        for entry in self.disk.list(&self.folder)? {
            let (stem, end) = entry.name.split_once('.').unwrap_or((&entry.name, ""));
            let Ok(sequence) = stem.parse::<u64>() else {
                // Whatever else lies here is not ours to remove.
                if stem.starts_with("incoming-") {
                    self.disk.remove(&self.folder.join(&entry.name))?;
                }
                continue;
            };
            let stays = kept.contains(&sequence) || (end != "jsonl" && (ids_from..next).contains(&sequence));
            if !stays {
                self.disk.remove(&self.folder.join(&entry.name))?;
            }
        }
        Ok(())
    }

    /// How many log files lie here that got a number the ledger has not given out.
    pub fn beyond(&self, next: u64) -> io::Result<usize> {
        let entries = self.disk.list(&self.folder)?;
        let numbers =
            entries.iter().filter_map(|entry| entry.name.strip_suffix(".jsonl")?.parse::<u64>().ok());
        Ok(numbers.filter(|sequence| *sequence >= next).count())
    }

    /// Sequence numbers under which anything lies.
    pub fn sequences(&self) -> io::Result<HashSet<u64>> {
        let entries = self.disk.list(&self.folder)?;
        Ok(entries.iter().filter_map(|entry| entry.name.split_once('.')?.0.parse().ok()).collect())
    }

    /// Gives a finished download its sequence number; durable only after [`Self::sync`].
    pub fn adopt(&self, incoming: &Names, sequence: u64) -> io::Result<()> {
        let names = self.names(sequence);
        for (from, to) in incoming.all().into_iter().zip(names.all()) {
            self.disk.rename(from, to)?;
        }
        Ok(())
    }

    /// Makes the names durable.
    pub fn sync(&self) -> io::Result<()> {
        self.disk.sync_folder(&self.folder)
    }

    /// Removes whatever there is under these names.
    pub fn discard(&self, names: &Names) -> io::Result<()> {
        names.all().into_iter().try_for_each(|path| self.disk.remove(path))
    }

    /// Removes the verbatim file, and keeps its ids for the repeats to come.
    pub fn remove_data(&self, sequence: u64) -> io::Result<()> {
        self.disk.remove(&self.names(sequence).data)
    }
}

#[cfg(test)]
mod tests;
