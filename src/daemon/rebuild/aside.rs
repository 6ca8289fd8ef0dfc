//! Moves what a lost ledger left out of the way, and gives the new one its name.
//!
//! Nothing is removed but what an earlier try left of the ledger in the making. The new name comes last: before it
//! there is no ledger, or the old one, and the next try begins anew.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::daemon::folder::Folder;
use crate::digest::Sha256;
use crate::disk::PRIVATE_FOLDER;
use crate::ground::Ground;
use crate::ledger::Ledger;
use crate::limits;

/// What SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

/// What was moved aside.
#[derive(Clone, Debug)]
pub struct Aside {
    /// Where to.
    pub folder: PathBuf,
    /// Log files of the spool in it.
    pub spooled: u64,
    /// Those of them that are in no archive.
    pub unarchived: Vec<String>,
    /// Names in the data folder.
    names: Vec<String>,
}

fn beside(path: &Path) -> [PathBuf; 3] {
    BESIDE.map(|end| PathBuf::from(format!("{}{end}", path.display())))
}

/// Removes a ledger that an earlier try did not finish.
pub(super) fn discard(ground: &Ground, making: &Path) -> io::Result<()> {
    beside(making).iter().try_for_each(|path| ground.disk.remove(path))
}

/// What is to be moved, and which of its log files no archive has.
pub(super) async fn look(
    ledger: &Ledger,
    ground: &Ground,
    folder: &Folder,
) -> Result<Option<Aside>, super::RebuildError> {
    let mut names = Vec::new();
    for path in beside(&folder.ledger()) {
        if ground.disk.length(&path)?.is_some() {
            names.extend(name(&path));
        }
    }
    for path in [folder.spool(), folder.dead_letters()] {
        if ground.disk.length(&path)?.is_some() && !ground.disk.list(&path)?.is_empty() {
            names.extend(name(&path));
        }
    }
    if names.is_empty() {
        return Ok(None);
    }
    let mut aside = Aside { folder: new_folder(ground, folder)?, spooled: 0, unarchived: Vec::new(), names };
    let (hashes, spooled) = tokio::task::block_in_place(|| hashes(ground, &folder.spool()))?;
    aside.spooled = spooled;
    let unknown = ledger.unknown(hashes.keys().copied().collect()).await?;
    aside.unarchived =
        hashes.into_iter().filter(|(hash, _)| unknown.contains(hash)).map(|(_, name)| name).collect();
    aside.unarchived.sort();
    Ok(Some(aside))
}

/// A name that nothing has yet.
fn new_folder(ground: &Ground, folder: &Folder) -> io::Result<PathBuf> {
    let now = Timestamp::from_second(ground.now()).unwrap_or_default().to_string();
    let mut path = folder.path().join(format!("lost-{}", now.replace(['-', ':'], "")));
    while ground.disk.length(&path)?.is_some() {
        path.as_mut_os_string().push("-");
    }
    Ok(path)
}

fn name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

/// The log files of a spool by their hashes, and how many there are.
fn hashes(ground: &Ground, spool: &Path) -> io::Result<(HashMap<[u8; 32], String>, u64)> {
    let (mut found, mut count) = (HashMap::new(), 0);
    if ground.disk.length(spool)?.is_none() {
        return Ok((found, count));
    }
    let mut window = vec![0; limits::COPY_WINDOW];
    for entry in ground.disk.list(spool)? {
        if entry.name.strip_suffix(".jsonl").is_none_or(|stem| stem.parse::<u64>().is_err()) {
            continue;
        }
        let (mut file, mut sum) = (ground.disk.open(&spool.join(&entry.name))?, Sha256::new());
        loop {
            match file.read(&mut window) {
                Ok(0) => break,
                Ok(length) => sum.update(&window[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        count += 1;
        found.insert(sum.finish(), entry.name);
    }
    Ok((found, count))
}

/// The new ledger becomes the ledger.
pub(super) fn put_in_place(
    ground: &Ground,
    folder: &Folder,
    making: &Path,
    aside: Option<&Aside>,
) -> io::Result<()> {
    let disk = &ground.disk;
    let [_, log, _] = beside(making);
    if disk.length(&log)?.is_some_and(|length| length > 0) {
        return Err(io::Error::other(format!("{} was not taken into the ledger", log.display())));
    }
    if let Some(aside) = aside {
        disk.create_folder(&aside.folder, PRIVATE_FOLDER)?;
        for name in &aside.names {
            ground.points.reach("moved aside")?;
            disk.rename(&folder.path().join(name), &aside.folder.join(name))?;
        }
        disk.sync_folder(&aside.folder)?;
        disk.sync_folder(folder.path())?;
    }
    ground.points.reach("rebuilt")?;
    disk.rename(making, &folder.ledger())?;
    disk.sync_folder(folder.path())
}
