//! Makes a lost data folder anew, from what archives say.
//!
//! Every archive of the configuration that keeps log files as they are is verified, and its chain of this
//! instance becomes rows of a ledger beside the real one. That one gets its name last, in one step, so there is
//! no half rebuilt ledger: after a crash the next try begins anew. What was there before is moved aside, never
//! removed. Writes nothing into an archive, and asks the provider nothing: the next start lists the whole
//! retention window, where known log files cost nothing.

mod aside;
mod found;
mod gather;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::folder::{Folder, FolderError};
use super::signing::{self, SigningError};
use crate::archive::verify::{self, ChainSummary, Fault, Report};
use crate::archive::{NextRecord, PublicKey, chain_folder};
use crate::collect::RETENTION;
use crate::config::{Config, SinkEntry};
use crate::format::Format;
use crate::ground::Ground;
use crate::ledger::{Chain, Ledger, LedgerError, NextPlace, Restored, Viewer, Whole};
use crate::sink::reader::{ArchiveReader, Reading};
use crate::sink::{ArchiveConfig, Keys};
pub use aside::Aside;
use gather::Gathered;

/// The ledger in the making.
const MAKING: &str = "ledger.rebuild.db";
/// What ends later than this before now will still be listed; the rest is taken from the archive. A day of
/// the retention is left for the listing to come. Seconds.
const STILL_LISTED: i64 = RETENTION - 86_400;

/// What is asked for.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The archive sink whose chain must be there.
    pub from: &'a SinkEntry,
    /// Keys that are trusted; none trusts those that lie in the archives.
    pub pinned: Vec<PublicKey>,
    /// Move a ledger aside that is there.
    pub replace: bool,
    /// Deliver again what was fetched since.
    pub since: Option<Timestamp>,
}

/// Why there is no new ledger; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The data folder cannot be had.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// There is a ledger.
    #[error(
        "{0} is there and holds log files: nothing has to be rebuilt, and nothing was changed. If it was begun after \
         the right one was lost, --replace moves it aside, with its spool"
    )]
    Known(PathBuf),
    /// No chain of this instance.
    #[error("{place} holds no chain of the instance {instance:?}{others}")]
    NoChain {
        /// The archive.
        place: String,
        /// Whose chain was looked for.
        instance: String,
        /// What to do.
        others: String,
    },
    /// The chain has faults.
    #[error(
        "the chain {folder} in {place} has faults, and nothing was changed. Keep the archive as evidence and find out \
         who wrote to it. To collect on meanwhile, set another `instance` and start with an empty data folder"
    )]
    Faults {
        /// The archive.
        place: String,
        /// The chain.
        folder: String,
        /// Those that are named.
        faults: Vec<Fault>,
    },
    /// An archive cannot be read.
    #[error("the archive sink {sink:?} cannot be read: {what}. Without it, its chain could not go on")]
    Archive {
        /// The sink.
        sink: String,
        /// Why.
        what: String,
    },
    /// The new ledger cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The signing key cannot be read.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The data folder cannot be changed.
    #[error("the data folder cannot be used: {0}")]
    Disk(#[from] std::io::Error),
}

/// What is there now.
#[derive(Debug)]
pub struct Rebuilt {
    /// What the ledger holds.
    pub whole: Whole,
    /// Each archive with a chain, and what of it is there.
    pub archives: Vec<Recovered>,
    /// Every other sink of the configuration.
    pub sinks: Vec<Resumed>,
    /// What was moved aside.
    pub aside: Option<Aside>,
    /// The key that will sign; none when the next start makes one.
    pub key: Option<String>,
}

/// Where a sink goes on.
#[derive(Debug)]
pub struct Resumed {
    /// The sink.
    pub sink: String,
    /// The newest manifest names it.
    pub known: bool,
    /// What it will get.
    pub restored: Option<Restored>,
}

/// What came from one archive.
#[derive(Debug)]
pub struct Recovered {
    /// The sink.
    pub sink: String,
    /// The archive.
    pub place: String,
    /// Its chain; none when there is none.
    pub chain: Option<ChainSummary>,
    /// Objects that lay there unsealed and were taken in.
    pub taken: u64,
    /// Other objects that no manifest names.
    pub unsealed: u64,
    /// What is wrong with its objects.
    pub faults: Vec<Fault>,
    /// Log files of which another archive holds a different version; these are left out.
    pub contradicting: u64,
    /// Where it goes on.
    pub restored: Option<Restored>,
}

/// Archives of the configuration with chains.
fn archives(config: &Config) -> impl Iterator<Item = (&SinkEntry, &dyn ArchiveConfig)> {
    config.sinks.iter().filter_map(|entry| match &entry.config {
        Keys::Files(keys) if entry.options.format == Format::Raw => Some((entry, keys.as_ref())),
        _ => None,
    })
}

/// The archive sink that is meant by its name, or by its place.
pub fn archive_of<'a>(config: &'a Config, ground: &Ground, from: &str) -> Result<&'a SinkEntry, String> {
    let all = || archives(config);
    if let Some((entry, _)) = all().find(|(entry, _)| entry.name == from) {
        return Ok(entry);
    }
    let plain = |place: &str| match std::fs::canonicalize(place) {
        Ok(path) if !place.contains("://") => path.display().to_string(),
        _ => place.trim_end_matches('/').to_owned(),
    };
    let place = |keys: &dyn ArchiveConfig| plain(&keys.reader(ground.clone(), &config.network).place());
    let there: Vec<&SinkEntry> =
        all().filter(|(_, keys)| place(*keys) == plain(from)).map(|(entry, _)| entry).collect();
    match there[..] {
        [entry] => Ok(entry),
        [] => {
            let names: Vec<&str> = all().map(|(entry, _)| entry.name.as_str()).collect();
            Err(format!(
                "{from:?} is no archive of this configuration that keeps log files in format \"raw\"; those are \
                 {names:?}. Configure it as a sink first: the rebuilt ledger goes on there"
            ))
        }
        _ => Err(format!("several sinks write to {from}: give the name of one")),
    }
}

/// Makes the data folder anew.
pub async fn rebuild(
    config: &Config,
    ground: &Ground,
    wanted: Wanted<'_>,
    told: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Rebuilt, RebuildError> {
    let folder = Folder::hold(ground.disk.as_ref(), &config.data_dir)?;
    if !wanted.replace && holds_files(&folder.ledger()) {
        return Err(RebuildError::Known(folder.ledger()));
    }
    let key = signing::public(ground.disk.as_ref(), config, &folder.keys())?;
    let making = folder.path().join(MAKING);
    aside::discard(ground, &making)?;
    let (ledger, thread) = Ledger::open(&making)?;
    let made = fill(config, ground, &wanted, &ledger, told).await;
    let aside = match &made {
        Ok(_) => aside::look(&ledger, ground, &folder).await,
        Err(_) => Ok(None),
    };
    drop(ledger);
    thread.join();
    if made.is_err() || aside.is_err() {
        aside::discard(ground, &making)?;
    }
    let ((whole, archives, sinks), aside) = (made?, aside?);
    aside::put_in_place(ground, &folder, &making, aside.as_ref())?;
    Ok(Rebuilt { whole, archives, sinks, aside, key: key.map(|key| key.id()) })
}

/// Whether a ledger ever heard of a log file; one that cannot be read may have.
fn holds_files(path: &Path) -> bool {
    match path.try_exists() {
        Ok(false) => false,
        Ok(true) => Viewer::open(path).and_then(|viewer| viewer.listed()).unwrap_or(true),
        Err(_) => true,
    }
}

type Filled = (Whole, Vec<Recovered>, Vec<Resumed>);

/// Fills the new ledger.
async fn fill(
    config: &Config,
    ground: &Ground,
    wanted: &Wanted<'_>,
    ledger: &Ledger,
    told: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Filled, RebuildError> {
    let mut all: Vec<(&SinkEntry, Arc<dyn ArchiveReader>)> =
        archives(config).map(|(entry, keys)| (entry, keys.reader(ground.clone(), &config.network))).collect();
    // The one that is named gives the order.
    all.sort_by_key(|(entry, _)| entry.name != wanted.from.name);
    let mut gathered = Gathered::new(config, ground, ledger, told);
    let mut recovered = Vec::new();
    for (entry, reader) in &all {
        recovered.push(chain_of(config, wanted, &mut gathered, entry, reader).await?);
    }
    let mut sinks = restore_sinks(config, wanted, ledger, &gathered).await?;
    // Behind all positions: nobody knows who had got these.
    for ((entry, reader), one) in all.iter().zip(&mut recovered) {
        let found = found::take(&mut gathered, &entry.name, reader.as_ref()).await?;
        one.taken = found.taken;
        one.unsealed = one.unsealed.saturating_sub(found.taken);
        one.faults.extend(found.faults);
        one.contradicting = gathered.contradicting(&entry.name);
    }
    for (entry, reader) in &all {
        let Some(key) = gathered.trail(&entry.name) else { continue };
        if let Some(last) = found::last_event(reader.as_ref(), key).await {
            ledger.resume_trail(last).await?;
        }
    }
    gathered.finish().await?;
    for one in &mut recovered {
        ledger.import_archive(one.sink.clone()).await?;
        one.restored = ledger.restored(one.sink.clone()).await?;
    }
    for one in &mut sinks {
        one.restored = ledger.restored(one.sink.clone()).await?;
    }
    Ok((ledger.whole().await?, recovered, sinks))
}

/// Verifies one archive, and takes its chain of this instance into the ledger.
async fn chain_of(
    config: &Config,
    wanted: &Wanted<'_>,
    gathered: &mut Gathered<'_>,
    entry: &SinkEntry,
    reader: &Arc<dyn ArchiveReader>,
) -> Result<Recovered, RebuildError> {
    let place = reader.place();
    let (pinned, instance) = (wanted.pinned.clone(), Some(config.instance.clone()));
    let options = verify::Options { pinned, instance, ..verify::Options::default() };
    gathered.begin(&entry.name);
    let visited = verify::visit(Arc::new(Reading(reader.clone())), options, gathered).await;
    // An error of the ledger is told by its own name.
    gathered.failure()?;
    let report = visited.map_err(|what| RebuildError::Archive { sink: entry.name.clone(), what })?;
    let folder = chain_folder(&config.instance);
    let chain = report.chains.iter().find(|chain| chain.folder == folder).cloned();
    let (unsealed, sink) = (report.unsealed.len() as u64 + report.more_unsealed, entry.name.clone());
    match &chain {
        Some(chain) if chain.faults > 0 => {
            return Err(RebuildError::Faults { place, folder, faults: report.faults });
        }
        Some(chain) => gathered.chain(&config.instance, head(chain)).await?,
        None if entry.name == wanted.from.name => no_chain(config, &place, &report)?,
        None => {}
    }
    let faults = report.faults.into_iter().filter(|fault| !fault.place.starts_with("manifest/")).collect();
    Ok(Recovered { sink, place, chain, taken: 0, unsealed, faults, contradicting: 0, restored: None })
}

/// An archive that nobody sealed yet has objects only; anything else is the wrong one.
fn no_chain(config: &Config, place: &str, report: &Report) -> Result<(), RebuildError> {
    let (place, instance) = (place.to_owned(), config.instance.clone());
    let folders: Vec<&str> = report.chains.iter().map(|chain| chain.folder.as_str()).collect();
    let others = if folders.is_empty() && report.unsealed.is_empty() {
        ", nor anything else: it is another place, or nothing was archived there yet, and `custodex run` begins".into()
    } else if folders.is_empty() {
        return Ok(());
    } else {
        format!(
            ", but {folders:?}: set `instance` as it was. If this instance never wrote a manifest there, nothing has to \
             be rebuilt: `custodex run` finds what is there"
        )
    };
    Err(RebuildError::NoChain { place, instance, others })
}

/// Sinks go on where the newest manifest says that they were, or behind all that is sealed.
async fn restore_sinks(
    config: &Config,
    wanted: &Wanted<'_>,
    ledger: &Ledger,
    gathered: &Gathered<'_>,
) -> Result<Vec<Resumed>, RebuildError> {
    let since = wanted.since.map(|since| since.to_string());
    let is_archive = |name: &str| archives(config).any(|(entry, _)| entry.name == name);
    for position in gathered.positions() {
        let next = position.next.clone().map(|next| {
            let NextRecord { principal, event_type, file_id, fetched_at, record } = next;
            NextPlace { principal, event_type, file_id, fetched_at, record }
        });
        let since = since.clone().filter(|_| !is_archive(&position.sink));
        ledger.import_sink(position.sink.clone(), next, since).await?;
    }
    let mut resumed = Vec::new();
    for entry in config.sinks.iter().filter(|entry| !is_archive(&entry.name)) {
        let sink = entry.name.clone();
        let known = ledger.restored(sink.clone()).await?.is_some();
        if !known {
            ledger.import_sink(sink.clone(), None, since.clone()).await?;
        }
        resumed.push(Resumed { sink, known, restored: None });
    }
    Ok(resumed)
}

/// How far a chain is, as the ledger has it; none where only a public key lies.
fn head(chain: &ChainSummary) -> Option<Chain> {
    let (number, hash) = chain.head?;
    let written_at = Some(gather::second(&chain.written_at).unwrap_or(0));
    let key_id = Some(chain.keys.last()?.1.clone());
    Some(Chain { number, head: Some(hash.0), key_id, written_at, envelope: None })
}

#[cfg(test)]
mod tests;
