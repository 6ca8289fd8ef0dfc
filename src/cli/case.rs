//! `case`: the records somebody asked for, in one file that stands for itself.
//!
//! A zip with the records (verbatim and native), a proof of each, the manifests they hang on, what was listed, a page
//! to read, and how to check all of it. Records are written as they are found; what is held is an index of them, and one log
//! file's hashes at a time. The file gets its name when it is whole and on the disk.

mod check;
mod pack;
mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::args::CaseOptions;
use super::search::Reader;
use super::selectors::Selectors;
use super::{Exit, Failure, Outcome, Place, audit, runtime, say};
use crate::archive::find::PlanFile;
use crate::archive::verify::Source;
use crate::archive::{self, Contents, Overview, SigningKey};
use crate::config::{Config, Secrets};
use crate::daemon::{folder, signing};
use crate::digest::hex;
use crate::disk::RealDisk;
use crate::format::{Encode, Encoder, Options};
use crate::ground::Ground;
use crate::ledger::{Action, Event, Target};
use crate::record::Record;
use crate::record::reader::Shape;
use pack::Pack;

pub use check::{check, is_case};

/// A record, as it goes into the case.
struct Taken {
    id: String,
    time: Option<String>,
    native: Vec<u8>,
    /// None for one that is too large to be held.
    bytes: Option<Vec<u8>>,
    place: archive::Within,
    page: String,
}

/// The records of one log file.
type Chosen = (Arc<PlanFile>, Vec<(String, archive::Within)>);

pub fn case(at: &Place, options: &CaseOptions) -> Outcome {
    let query = options.selectors.query()?;
    let wrong = |error: io::Error| anyhow::anyhow!("cannot write {}: {error}", options.out.display());
    let config = configuration(at);
    let key = config.as_ref().and_then(sealing_key);
    let reader = Reader::open(at, &options.from)?;
    let source = reader.source().clone();
    let now = Ground::real().clock.now().to_string();
    let contents = Contents::new(options.from.clone(), words(&options.selectors), now);
    let mut building = Building::start(&options.out, contents).map_err(wrong)?;
    let mut failed: Option<io::Error> = None;
    let broken = reader.each(query.clone(), Taken::of, |file, taken: Taken| {
        if failed.is_none() {
            failed = building.take(file, taken).err();
        }
    })?;
    if let Some(error) = failed {
        return Err(wrong(error).into());
    }
    let records = building.pack.contents.records;
    if records == 0 {
        building.drop_file().map_err(wrong)?;
        say("no record matches; nothing was written");
        return Ok(if broken == 0 { Exit::Done } else { Exit::Attention });
    }
    if broken > 0 {
        building.pack.contents.problems.push(format!("{broken} objects that may match could not be read"));
    }
    let runtime = runtime()?;
    let overview =
        runtime.block_on(archive::overview(&source, &query)).map_err(|error| anyhow::anyhow!(error))?;
    runtime.block_on(building.prove(&source))?;
    let not_sealed = building.pack.contents.not_sealed;
    let list = building.finish(&overview, key.as_ref()).map_err(wrong)?;
    if let Some(config) = &config {
        let target = Target::new("case", hex(&list));
        let details = json!({ "archive": options.from, "records": records, "not_sealed": not_sealed });
        audit::note(config, Event::new(Action::CaseMade, target, details));
    }
    say(&format!("{records} records are in {}", options.out.display()));
    if not_sealed > 0 {
        say(&format!("note: {not_sealed} of them are not sealed yet and have no proof"));
    }
    match key {
        Some(key) => say(&format!("sealed with {}", key.public().id())),
        None => say(
            "warning: the case is not sealed, since there is no signing key here: its records are proved, its list, \
             page and coverage are not",
        ),
    }
    Ok(if broken == 0 { Exit::Done } else { Exit::Attention })
}

/// The configuration, where there is one: a case can also be made elsewhere.
fn configuration(at: &Place) -> Option<Config> {
    at.path().try_exists().ok().filter(|there| *there)?;
    at.load(Secrets::Unread).ok()
}

/// The key that signs manifests here.
fn sealing_key(config: &Config) -> Option<SigningKey> {
    match signing::known(&RealDisk, config, &folder::keys(&config.data_dir)) {
        Ok(key) => key,
        Err(error) => {
            say(&format!("warning: {error}"));
            None
        }
    }
}

/// What was asked for, as it was asked.
fn words(selectors: &Selectors) -> Vec<String> {
    let mut words = Vec::new();
    let moment = |one: &Option<archive::find::Moment>| one.iter().map(ToString::to_string).collect();
    let named: [(&str, Vec<String>); 8] = [
        ("--since", moment(&selectors.since)),
        ("--until", moment(&selectors.until)),
        ("--event-type", selectors.event_type.clone()),
        ("--action", selectors.action.clone()),
        ("--category", selectors.category.clone()),
        ("--user", selectors.user.clone()),
        ("--session", selectors.session.clone()),
        ("--contains", selectors.contains.iter().cloned().collect()),
    ];
    for (name, values) in named {
        words.extend(values.into_iter().map(|value| format!("{name} {value}")));
    }
    words
}

impl Taken {
    fn of(file: &PlanFile, record: &Record<'_>) -> Self {
        let mut native = Vec::new();
        Encoder::new(Options::default(), None).encode(record, &mut native);
        native.push(b'\n');
        let whole = record.raw.shape != Shape::Oversized;
        Self {
            id: record.id.clone(),
            time: record.time.clone(),
            native,
            bytes: whole.then(|| record.raw.bytes.to_vec()),
            place: archive::Within { offset: record.raw.offset, length: record.raw.length },
            page: page::entry(record, &record.id, file.manifest.is_some()),
        }
    }
}

/// A case being made.
struct Building {
    pack: Pack,
    /// Where the case will lie, and until then what is too large to be held.
    folder: PathBuf,
    native: File,
    pages: File,
    /// Time, and where its part of `pages` lies.
    order: Vec<(Option<String>, u64, usize)>,
    at: u64,
    ids: BTreeSet<String>,
    repeats: u64,
    files: Vec<Chosen>,
    /// Records whose bytes are not in the case yet.
    large: BTreeSet<String>,
}

impl Building {
    fn start(out: &Path, contents: Contents) -> io::Result<Self> {
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Self {
            pack: Pack::create(out, contents)?,
            folder: folder.to_owned(),
            native: tempfile::tempfile_in(folder)?,
            pages: tempfile::tempfile_in(folder)?,
            order: Vec::new(),
            at: 0,
            ids: BTreeSet::new(),
            repeats: 0,
            files: Vec::new(),
            large: BTreeSet::new(),
        })
    }

    fn take(&mut self, file: &PlanFile, taken: Taken) -> io::Result<()> {
        if !self.ids.insert(taken.id.clone()) {
            self.repeats += 1;
            return Ok(());
        }
        self.pack.contents.records += 1;
        match &taken.bytes {
            Some(bytes) => self.pack.add(&record_name(&taken.id), bytes)?,
            None => drop(self.large.insert(taken.id.clone())),
        }
        self.native.write_all(&taken.native)?;
        self.pages.write_all(taken.page.as_bytes())?;
        self.order.push((taken.time, self.at, taken.page.len()));
        self.at += taken.page.len() as u64;
        match self.files.last_mut().filter(|(last, _)| last.key == file.key) {
            Some((_, records)) => records.push((taken.id, taken.place)),
            None => self.files.push((Arc::new(file.clone()), vec![(taken.id, taken.place)])),
        }
        Ok(())
    }

    /// Adds what ties each record to a manifest, and these manifests.
    async fn prove(&mut self, source: &Arc<dyn Source>) -> Result<(), Failure> {
        let mut manifests: BTreeMap<Arc<str>, String> = BTreeMap::new();
        for (file, records) in std::mem::take(&mut self.files) {
            let Some(manifest) = file.manifest.clone() else {
                self.pack.contents.not_sealed += records.len() as u64;
                self.large_ones(source, &file, &records).await?;
                continue;
            };
            let name = manifests.entry(manifest.clone()).or_insert_with(|| manifest.to_string()).clone();
            let places: Vec<archive::Within> = records.iter().map(|(_, place)| *place).collect();
            let proofs = archive::climbs(source, &file.key, &places).await.map_err(failed)?;
            self.large_ones(source, &file, &records).await?;
            for ((id, place), climb) in records.into_iter().zip(proofs) {
                let Some(climb) = climb else {
                    self.pack.contents.problems.push(format!("{id} was not found again in {}", file.key));
                    continue;
                };
                let proof =
                    climb.proof((&id, place), (&file.file_id, &file.key), record_name(&id), name.clone());
                let mut text = serde_json::to_vec(&proof).map_err(anyhow::Error::from)?;
                text.push(b'\n');
                self.pack
                    .add(&format!("{}{id}.json", archive::PROOFS), &text)
                    .map_err(anyhow::Error::from)?;
            }
        }
        for (key, name) in manifests {
            let bytes = archive::verify::small(source, &key).await.map_err(failed)?;
            let bytes = bytes.ok_or_else(|| anyhow::anyhow!("{key} is gone"))?;
            self.pack.add(&name, &bytes).map_err(anyhow::Error::from)?;
        }
        Ok(())
    }

    async fn large_ones(
        &mut self,
        source: &Arc<dyn Source>,
        file: &PlanFile,
        records: &[(String, archive::Within)],
    ) -> Result<(), Failure> {
        for (id, place) in records {
            if self.large.remove(id) {
                let bytes = archive::record_bytes(source, &file.key, *place).await.map_err(failed)?;
                self.pack.add(&record_name(id), &bytes).map_err(anyhow::Error::from)?;
            }
        }
        Ok(())
    }

    fn finish(mut self, overview: &Overview, key: Option<&SigningKey>) -> io::Result<[u8; 32]> {
        self.native.seek(SeekFrom::Start(0))?;
        self.pack.add_from("native.jsonl", &mut self.native)?;
        self.pack.add("coverage.txt", overview.to_string().as_bytes())?;
        for (name, pem) in &overview.keys {
            self.pack.add(name, pem)?;
        }
        self.timeline()?;
        let how = include_str!("case/HOW_TO_CHECK.txt");
        self.pack.add("HOW_TO_CHECK.txt", how.as_bytes())?;
        self.pack.seal(key)
    }

    /// The page: its parts in the order of time, those without one last.
    fn timeline(&mut self) -> io::Result<()> {
        let contents = &self.pack.contents;
        let mut facts = vec![
            ("Records", contents.records.to_string()),
            ("From the archive", contents.archive.clone()),
            ("Asked for", contents.selectors.join(", ")),
            ("Made at", contents.made_at.clone()),
            ("Made by", contents.software.clone()),
        ];
        for (name, count) in [("Copies left out", self.repeats), ("Not sealed yet", contents.not_sealed)] {
            if count > 0 {
                facts.push((name, count.to_string()));
            }
        }
        let moment = |time: &Option<String>| time.as_deref().map(archive::find::Moment::of);
        self.order.sort_by_cached_key(|(time, at, _)| (time.is_none(), moment(time), *at));
        let mut parts: Vec<u8> = page::head(&facts).into_bytes();
        let mut whole = tempfile::tempfile_in(&self.folder)?;
        for (_, at, length) in &self.order {
            whole.write_all(&parts)?;
            parts.resize(*length, 0);
            self.pages.seek(SeekFrom::Start(*at))?;
            self.pages.read_exact(&mut parts)?;
        }
        whole.write_all(&parts)?;
        whole.seek(SeekFrom::Start(0))?;
        self.pack.add_from("timeline.html", &mut whole)
    }

    fn drop_file(self) -> io::Result<()> {
        self.pack.abandon()
    }
}

fn record_name(id: &str) -> String {
    format!("records/{id}.json")
}

fn failed(error: String) -> Failure {
    anyhow::anyhow!(error).into()
}
