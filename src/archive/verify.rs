//! Holds an archive against its chains of manifests, with nothing but the archive and public keys.
//!
//! Every fault has its place. What is in memory is one manifest, a few objects on their way, and about a hundred
//! bytes for each sealed object. Objects that no manifest names are not sealed yet, which is no fault as long
//! as each is what its name says.

mod chain;
mod object;

pub(super) use object::Name;

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;

pub use object::read as read_object;

use super::manifest::{Hole, MANIFESTS};
use super::{Calendar, Hash, Manifest, PublicKey};
use crate::digest::{hex, sha256};
use crate::limits;

/// Faults that are named; the others are counted.
const NAMED: usize = 10_000;
/// Where sealed objects lie.
pub(super) const RAW: &str = "raw/";

/// A page of a listing: keys with sizes, in order, and whether there are more.
pub type Page = (Vec<(String, u64)>, bool);
/// The bytes of an object.
pub type Bytes = Box<dyn Read + Send>;

/// An archive to verify; an error is one of reading, and ends it.
pub trait Source: Send + Sync {
    /// The next objects below a prefix.
    fn list<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Page, String>>;
    /// An object; none when nothing lies there.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, String>>;
}

/// Sees what chains say while they are verified.
pub trait Visitor: Send {
    /// A manifest that a trusted key signed; whether its chain holds is known at the end.
    fn manifest<'a>(
        &'a mut self,
        folder: &'a str,
        manifest: &'a Manifest,
    ) -> BoxFuture<'a, Result<(), String>>;
    /// An object that no manifest names.
    fn unsealed(&mut self, key: &str);
}

/// For whom the report says enough.
struct Nobody;

impl Visitor for Nobody {
    fn manifest<'a>(&'a mut self, _: &'a str, _: &'a Manifest) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn unsealed(&mut self, _: &str) {}
}

/// What to hold it against.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The keys that are trusted; none trusts those that lie in the archive.
    pub pinned: Vec<PublicKey>,
    /// Whose chain those keys are for; none for all of them.
    pub instance: Option<String>,
    /// A manifest that must be there.
    pub expected_head: Option<(u64, [u8; 32])>,
    /// Read every object.
    pub deep: bool,
}

/// Something that is not as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The object.
    pub place: String,
    /// What.
    pub what: String,
}

/// One chain.
#[derive(Clone, Debug, Default)]
pub struct ChainSummary {
    /// Its folder.
    pub folder: String,
    /// Its manifests.
    pub manifests: u64,
    /// Number and hash of the newest.
    pub head: Option<(u64, Hash)>,
    /// When that was written.
    pub written_at: String,
    /// From which manifest on which key signs.
    pub keys: Vec<(u64, String)>,
    /// What is wrong with it, its objects aside.
    pub faults: u64,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// The first of them.
    pub faults: Vec<Fault>,
    /// Others.
    pub more_faults: u64,
    /// Objects that no manifest names yet; the first of them.
    pub unsealed: Vec<String>,
    /// Others.
    pub more_unsealed: u64,
    /// Every chain.
    pub chains: Vec<ChainSummary>,
    /// Sealed log files.
    pub files: u64,
    /// Their records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that a rebuild found in the archive.
    pub found: u64,
    /// Day by day.
    pub calendar: Calendar,
    /// What could not be had, as the newest manifests have it.
    pub holes: Vec<Hole>,
}

impl Report {
    fn fault(&mut self, place: impl Into<String>, what: impl Into<String>) {
        if self.faults.len() < NAMED {
            self.faults.push(Fault { place: place.into(), what: what.into() });
        } else {
            self.more_faults += 1;
        }
    }

    fn all_faults(&self) -> u64 {
        self.faults.len() as u64 + self.more_faults
    }

    fn unsealed(&mut self, key: String) {
        if self.unsealed.len() < NAMED { self.unsealed.push(key) } else { self.more_unsealed += 1 }
    }
}

/// A sealed object.
struct Sealed {
    size: u64,
    chain: u32,
    number: u32,
    seen: bool,
}

/// A short hash of a name: nobody can look for two names with the same one at a price worth it.
pub(super) fn short(name: &str) -> u128 {
    let hash = sha256(name.as_bytes());
    hash.iter().take(16).fold(0, |short, byte| short << 8 | u128::from(*byte))
}

/// An archive being verified.
struct Verifier<'v> {
    visitor: &'v mut dyn Visitor,
    source: Arc<dyn Source>,
    options: Options,
    report: Report,
    sealed: HashMap<u128, Sealed>,
    /// By the last part of a name up to its ending, the folder it is in.
    stems: HashMap<u128, u128>,
    head_found: bool,
}

/// What lies in the folder of a chain.
#[derive(Default)]
struct ChainFolder {
    numbers: Vec<u64>,
    /// Ids of public keys.
    keys: Vec<String>,
}

/// Reads the archive and says what is wrong with it.
pub async fn verify(source: Arc<dyn Source>, options: Options) -> Result<Report, String> {
    visit(source, options, &mut Nobody).await
}

/// The same, with somebody who sees all of it.
pub async fn visit(
    source: Arc<dyn Source>,
    options: Options,
    visitor: &mut dyn Visitor,
) -> Result<Report, String> {
    let (report, sealed, stems) = (Report::default(), HashMap::new(), HashMap::new());
    let mut verifier = Verifier { visitor, source, options, report, sealed, stems, head_found: false };
    // Before the objects: what is archived meanwhile is not sealed yet.
    let folders = verifier.folders().await?;
    if folders.is_empty() {
        verifier.report.fault(MANIFESTS, "there is no chain of manifests");
    }
    for (at, (folder, files)) in (0..).zip(&folders) {
        verifier.chain(at, folder, files).await?;
    }
    if let (Some((number, hash)), false) = (verifier.options.expected_head, verifier.head_found) {
        let what = format!(
            "no chain has a manifest {number} with sha256 {}: its end is cut off, or it was replaced",
            hex(&hash)
        );
        verifier.report.fault(format!("{MANIFESTS}*/{number:012}.json"), what);
    }
    verifier.objects().await?;
    verifier.missing(&folders).await?;
    verifier.report.holes.sort();
    verifier.report.holes.dedup();
    Ok(verifier.report)
}

/// An object that is held in memory; none when it is gone or too large.
pub async fn small(source: &Arc<dyn Source>, key: &str) -> Result<Option<Vec<u8>>, String> {
    let Some(body) = source.get(key).await? else { return Ok(None) };
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        body.take(limits::MANIFEST_BYTES + 1).read_to_end(&mut bytes).map(|_| bytes)
    });
    let bytes = read.await.map_err(|panic| panic.to_string())?;
    let bytes = bytes.map_err(|error| format!("cannot read {key}: {error}"))?;
    Ok((bytes.len() as u64 <= limits::MANIFEST_BYTES).then_some(bytes))
}

impl Verifier<'_> {
    /// Every chain, by its folder.
    async fn folders(&mut self) -> Result<BTreeMap<String, ChainFolder>, String> {
        let mut folders: BTreeMap<String, ChainFolder> = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let (page, more) = self.source.list("manifest/", after.as_deref()).await?;
            after = page.last().map(|last| last.0.clone());
            for (key, _) in page {
                let parts = key.strip_prefix(MANIFESTS).and_then(|rest| rest.split_once('/'));
                let Some((instance, name)) = parts else {
                    self.report.fault(key, "is no part of a chain");
                    continue;
                };
                let folder = folders.entry(format!("{MANIFESTS}{instance}/")).or_default();
                let digits =
                    |text: &str, many| text.len() == many && text.bytes().all(|b| b.is_ascii_hexdigit());
                let number = name.strip_suffix(".json").filter(|text| digits(text, 12));
                if let Some(number) = number.and_then(|text| text.parse().ok()) {
                    folder.numbers.push(number);
                } else if let Some(id) = name.strip_suffix(".pub.pem").filter(|id| digits(id, 16)) {
                    folder.keys.push(id.to_owned());
                } else {
                    self.report.fault(key, "is no part of a chain");
                }
            }
            if !more {
                return Ok(folders);
            }
        }
    }

    /// Holds every object against what is sealed.
    async fn objects(&mut self) -> Result<(), String> {
        let mut after: Option<String> = None;
        loop {
            let (page, more) = self.source.list(RAW, after.as_deref()).await?;
            after = page.last().map(|last| last.0.clone());
            let mut others = Vec::new();
            for (key, size) in page {
                let Some(sealed) = self.sealed.get_mut(&short(&key)) else {
                    others.push(key);
                    continue;
                };
                sealed.seen = true;
                if sealed.size != size {
                    let what = format!("has {size} bytes, {} were sealed", sealed.size);
                    self.report.fault(key, what);
                }
            }
            self.others(others).await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Objects that no manifest names.
    async fn others(&mut self, keys: Vec<String>) -> Result<(), String> {
        let mut named = Vec::new();
        for key in keys {
            let Some(name) = object::Name::read(&key) else {
                self.report.fault(key, "is not sealed, and has no name of a log file");
                continue;
            };
            if self.stems.get(&short(name.stem)).is_some_and(|folder| *folder != short(name.folder)) {
                self.report.fault(key, "holds a log file that is sealed under another name");
                continue;
            }
            named.push(key);
        }
        if self.options.deep {
            let source = &self.source;
            let read =
                stream::iter(&named).map(|key| async move { (key, object::check_name(source, key).await) });
            let found: Vec<_> = read.buffer_unordered(limits::VERIFY_IN_FLIGHT).collect().await;
            for (key, result) in found {
                for what in result? {
                    self.report.fault(key.clone(), what);
                }
            }
        }
        for key in named {
            self.visitor.unsealed(&key);
            self.report.unsealed(key);
        }
        Ok(())
    }

    /// Names what is sealed and was not seen, from the manifests again.
    async fn missing(&mut self, folders: &BTreeMap<String, ChainFolder>) -> Result<(), String> {
        let gone: std::collections::BTreeSet<(u32, u32)> =
            self.sealed.values().filter(|one| !one.seen).map(|one| (one.chain, one.number)).collect();
        for (chain, number) in gone {
            let Some(folder) = folders.keys().nth(chain as usize) else { continue };
            let Some(manifest) = self.manifest_again(folder, number.into()).await? else { continue };
            for file in manifest.files {
                if self.sealed.get(&short(&file.key)).is_some_and(|one| !one.seen) {
                    self.report.fault(file.key, format!("is sealed in manifest {number} and is gone"));
                }
            }
        }
        Ok(())
    }
}
