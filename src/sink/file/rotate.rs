//! Names of rotated files, what the sink remembers, and the one step between them.
//!
//! A rotation is decided in the memory, which the ledger commits with the position; only then is the file
//! renamed. So after a crash the memory says that the rename is due, and the folder says whether it
//! was done.

use std::fmt;
use std::io;
use std::path::Path;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::strtime};
use serde::{Deserialize, Serialize};

use crate::ground::Ground;

const TIME: &str = "%Y%m%dT%H%M%SZ";
/// Ending of a file that is being compressed.
pub(super) const PART: &str = ".tmp";

/// How rotated files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Packing {
    /// They are not.
    #[default]
    None,
    Zstd,
    Gzip,
}

impl Packing {
    const ALL: [Self; 3] = [Self::None, Self::Zstd, Self::Gzip];

    /// What a name ends with after `.jsonl`.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }
}

/// The name of a rotated file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// When it was rotated, seconds since 1970; a label, numbers give the order.
    pub(super) time: i64,
    pub(super) number: u64,
    pub(super) packing: Packing,
}

impl Name {
    /// Reads a name that is exactly one of ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (label, rest) = text.strip_prefix("custodex-")?.split_once('-')?;
        let (number, ending) = rest.split_once(".jsonl")?;
        let packing = Packing::ALL.into_iter().find(|packing| packing.ending() == ending)?;
        let time = TimeZone::UTC.to_timestamp(DateTime::strptime(TIME, label).ok()?).ok()?.as_second();
        let name = Self { time, number: number.parse().ok()?, packing };
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = Timestamp::from_second(self.time).map_err(|_| fmt::Error)?;
        let label = strtime::format(TIME, time).map_err(|_| fmt::Error)?;
        write!(f, "custodex-{label}-{:06}.jsonl{}", self.number, self.packing.ending())
    }
}

/// What the sink knows again after a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Of this layout; others are not read.
    version: u32,
    /// The folder all this is about.
    directory: String,
    /// How the records beyond `length` were encoded; empty when in more than one way.
    pub(super) fingerprint: String,
    /// The active file is confirmed up to here.
    pub(super) length: u64,
    /// When the active file got its first record, seconds since 1970.
    pub(super) begun: Option<i64>,
    /// Number of the next rotated file.
    pub(super) next: u64,
    /// The name the active file is to get, or has got.
    pub(super) rotation: Option<String>,
}

impl Memory {
    const VERSION: u32 = 1;

    /// Nothing is there yet.
    pub(super) fn new(directory: &Path, fingerprint: &str) -> Self {
        Self {
            version: Self::VERSION,
            directory: directory.display().to_string(),
            fingerprint: fingerprint.to_owned(),
            length: 0,
            begun: None,
            next: 1,
            rotation: None,
        }
    }

    /// Reads what [`Self::bytes`] wrote; `None` when it is not about this folder or not readable.
    pub(super) fn read(bytes: &[u8], directory: &Path) -> Option<Self> {
        let memory: Self = serde_json::from_slice(bytes).ok()?;
        let ours = memory.version == Self::VERSION && memory.directory == directory.display().to_string();
        ours.then_some(memory)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts are always JSON")
    }

    /// Decides that the active file becomes a rotated one.
    pub(super) fn decide(&mut self, now: i64) {
        let name = Name { time: now, number: self.next, packing: Packing::None };
        self.next += 1;
        self.rotation = Some(name.to_string());
    }
}

/// Renames the active file unless that was done before; safe to repeat.
///
/// When both are missing or the active one is shorter than what was confirmed, it is a new one: the
/// rotated file was taken away by someone.
pub(super) fn finish(ground: &Ground, active: &Path, name: &str, length: u64) -> io::Result<()> {
    let folder = active.parent().unwrap_or(Path::new("."));
    if !renamed(ground, folder, name)? && ground.disk.length(active)?.is_some_and(|found| found >= length) {
        ground.points.reach("file rotated")?;
        ground.disk.rename(active, &folder.join(name))?;
    }
    ground.points.reach("file name synced")?;
    ground.disk.sync_folder(folder)
}

fn renamed(ground: &Ground, folder: &Path, name: &str) -> io::Result<bool> {
    for packing in Packing::ALL {
        if ground.disk.length(&folder.join(format!("{name}{}", packing.ending())))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_are_ours() {
        let name = Name { time: 1_764_041_000, number: 7, packing: Packing::Zstd };
        assert_eq!(name.to_string(), "custodex-20251125T032320Z-000007.jsonl.zst");
        assert_eq!(Name::parse(&name.to_string()), Some(name));
        let large = Name { number: 12_345_678, ..name };
        assert_eq!(Name::parse(&large.to_string()), Some(large));
        for wrong in [
            "custodex.jsonl",
            "custodex-20251125T032320Z-7.jsonl",
            "custodex-20251125T032320Z-+00007.jsonl",
            "custodex-20251325T032320Z-000007.jsonl",
            "custodex-20251125T032320Z-000007.jsonl.zst.tmp",
            "custodex-20251125T032320Z-000007.jsonl.old",
            "custodex-notes-000007.jsonl",
            "custodex-20251125T032320Z-000007.JSONL",
            "my-custodex-20251125T032320Z-000007.jsonl",
        ] {
            assert_eq!(Name::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_memory_is_about_one_folder() {
        let mut memory = Memory::new(Path::new("/x"), "native 1");
        memory.decide(1_764_041_000);
        assert_eq!(memory.rotation.as_deref(), Some("custodex-20251125T032320Z-000001.jsonl"));
        assert_eq!(Memory::read(&memory.bytes(), Path::new("/x")), Some(memory.clone()));
        assert_eq!(Memory::read(&memory.bytes(), Path::new("/y")), None);
        assert_eq!(Memory::read(b"{}", Path::new("/x")), None);
    }

    #[test]
    fn a_memory_of_version_1_stays_readable() {
        let golden = br#"{"version":1,"directory":"/x","fingerprint":"f","length":9,"begun":5,"next":3,"rotation":null}"#;
        let memory = Memory::read(golden, Path::new("/x")).unwrap();
        assert_eq!(memory.bytes(), golden);
        assert_eq!((memory.length, memory.begun, memory.next), (9, Some(5), 3));
    }
}
