//! `explain`: the life of one record, from ledger, spool and archive, as far as they are at hand.

use std::sync::Arc;

use super::args::ExplainOptions;
use super::search::Reader;
use super::status::viewer;
use super::{Exit, Failure, Outcome, Place, print, say, shown};
use crate::archive::Wanted;
use crate::archive::find::{PlanFile, Query, Sealing, sealing};
use crate::config::{Config, Secrets};
use crate::daemon::folder;
use crate::deliver::life::{Copy, Fate, LifeError, copies};
use crate::digest::hex;
use crate::disk::RealDisk;
use crate::ground::Ground;
use crate::ledger::{FileLife, SinkRow, Viewer};
use crate::record::Record;
use crate::sink::Keys;
use crate::spool::Spool;
use crate::units::{Size, spoken};

pub fn explain(at: &Place, options: &ExplainOptions) -> Outcome {
    let wanted = Wanted::parse(&options.id).ok_or_else(|| {
        Failure::Usage("a record is named by its id of 32 hex digits, or FILE_ID:BYTE_OFFSET".to_owned())
    })?;
    let own = Own::open(at)?;
    if own.is_none() && options.from.is_none() {
        let what = "there is no ledger at hand: name the configuration with -c, or an archive with --from";
        return Err(Failure::Usage(what.to_owned()));
    }
    let copies = own.as_ref().map(|own| own.copies(&wanted)).transpose()?.unwrap_or_default();
    let (archived, broken) = match &options.from {
        Some(from) => Archived::find(at, from, &wanted, &copies)?,
        None => (Vec::new(), 0),
    };
    let mut page = Page::default();
    match (&own, copies.first(), archived.first()) {
        (Some(own), Some(copy), found) => own.tell(copy, &copies, found, &mut page)?,
        (_, _, Some(found)) => found.tell_record(&mut page),
        _ => {}
    }
    for found in &archived {
        found.tell_object(&mut page);
    }
    if let (Some(own), true) = (&own, copies.is_empty()) {
        own.tell_file(&wanted, archived.first(), &mut page)?;
    }
    if own.is_none() {
        say("note: there is no ledger at hand, so what sinks did is not known here");
    }
    print(page.0.as_bytes())?;
    if copies.is_empty() && archived.is_empty() {
        say(&format!("no record {} was found", shown::line(&options.id, 200)));
        if options.from.is_none() {
            say("hint: the spool forgets old records; name an archive with --from");
        }
        return Ok(Exit::Attention);
    }
    Ok(if broken == 0 { Exit::Done } else { Exit::Attention })
}

/// Lines with a title before each.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, title: &str, text: &str) {
        // Ids and reasons come from outside.
        let text = shown::line(text, usize::MAX);
        self.0.push_str(format!("{title:<11} {text}").trim_end());
        self.0.push('\n');
    }

    /// What a record is, when, and by whom.
    fn record(&mut self, record: &Record<'_>) {
        let action = shown::value(record.action);
        let event_type = &record.origin.event_type;
        let by = shown::user(record);
        let by = if by.is_empty() { String::new() } else { format!(", by {by}") };
        self.line("record", &record.id);
        self.line("what", &format!("{action} of {event_type}, category {}{by}", record.category));
        self.line("event time", record.time.as_deref().unwrap_or("none that can be read"));
        for warning in record.map.iter().flat_map(|map| &map.warnings).chain(&record.warnings) {
            self.line("warning", &format!("{} {}", warning.path, warning.problem));
        }
    }

    fn place(&mut self, line: u64, offset: u64, length: u64, sha256: &[u8; 32]) {
        self.line("place", &format!("line {line}, byte {offset}, {length} bytes, sha256 {}", hex(sha256)));
    }

    /// How long after the event its log file was fetched.
    fn lateness(&mut self, event: Option<&str>, fetched_at: Option<&str>) {
        let moment = |text: &str| text.parse::<jiff::Timestamp>().ok();
        if let Some((event, fetched)) = event.and_then(moment).zip(fetched_at.and_then(moment)) {
            let seconds = fetched.as_second() - event.as_second();
            self.line("lateness", &format!("fetched {} after it happened", spoken(seconds)));
        }
    }
}

/// What lies in the data folder.
struct Own {
    config: Config,
    viewer: Viewer,
    spool: Spool,
}

impl Own {
    /// None where there is no configuration, or no ledger where it says.
    fn open(at: &Place) -> Result<Option<Self>, Failure> {
        if at.config.is_none() && !at.path().try_exists().unwrap_or(true) {
            return Ok(None);
        }
        let config = at.load(Secrets::Unread)?;
        match viewer(&config.data_dir) {
            Err(Failure::NoLedger(_)) => Ok(None),
            Err(other) => Err(other),
            Ok(viewer) => {
                let spool = Spool::look(Arc::new(RealDisk), &folder::spool(&config.data_dir));
                Ok(Some(Self { config, viewer, spool }))
            }
        }
    }

    fn copies(&self, wanted: &Wanted) -> Result<Vec<Copy>, Failure> {
        copies(&self.viewer, &self.spool, wanted).map_err(told)
    }

    /// All that is known here; what the record says is in the archive where the spool holds it no more.
    fn tell(
        &self,
        copy: &Copy,
        all: &[Copy],
        found: Option<&Archived>,
        page: &mut Page,
    ) -> Result<(), Failure> {
        let mut event = None;
        let mut selected = Vec::new();
        let seen = copy.record(&self.spool, |record| {
            page.record(record);
            event.clone_from(&record.time);
            for sink in &self.config.sinks {
                selected.push((sink.name.clone(), sink.select.takes(record)));
            }
        });
        let seen = seen.map_err(told)?.is_some();
        if let (false, Some(found)) = (seen, found) {
            page.0.push_str(&found.record);
            event.clone_from(&found.time);
        } else if !seen {
            page.line("record", &copy.id);
            page.line("what", &format!("a record of {}; the spool holds it no more", copy.file.event_type));
        }
        file(&copy.file, page);
        page.place(copy.line, copy.offset, copy.length, &copy.sha256);
        page.lateness(event.as_deref(), copy.file.fetched_at.as_deref());
        for other in &all[1..] {
            let when = if other.position < copy.position { "earlier" } else { "later" };
            let fetched = other.file.fetched_at.as_deref().unwrap_or("-");
            let text =
                format!("{when} in {} at byte {}, fetched {fetched}", other.file.file_id, other.offset);
            page.line("copy", &text);
        }
        for object in self.viewer.object_lives(copy.position.sequence)? {
            page.line("archived", &format!("by {} as {}", object.sink, object.key));
        }
        let letters = self.viewer.letters(None)?;
        for sink in self.viewer.facts(Ground::real().now())?.sinks {
            let archive = self.config.sinks.iter().find(|one| one.name == sink.name);
            let archive = archive.is_some_and(|one| matches!(one.config, Keys::Files(_)));
            let taken = selected.iter().find(|(name, _)| *name == sink.name).map(|(_, taken)| *taken);
            for one in all {
                let fate = one.fate(&sink, archive, &letters, taken);
                let which = if all.len() > 1 { format!(" (of {})", one.file.file_id) } else { String::new() };
                page.line("sink", &format!("{}: {}{which}", sink.name, words(&fate, &sink)));
            }
        }
        Ok(())
    }

    /// What the ledger knows of a log file whose records the spool does not know any more, or never had.
    fn tell_file(&self, wanted: &Wanted, found: Option<&Archived>, page: &mut Page) -> Result<(), Failure> {
        let file_id = match (wanted, found) {
            (Wanted::Place { file_id, .. }, _) => file_id,
            (_, Some(found)) => &found.file.file_id,
            _ => return Ok(()),
        };
        for life in self.viewer.file_lives(file_id)? {
            // Else the archive has said it.
            if found.is_none() {
                file(&life, page);
            }
            let Some(sequence) = life.sequence else { continue };
            page.line("spool", "what was in this log file is not known there any more");
            for sink in self.viewer.facts(Ground::real().now())?.sinks {
                let text = if sequence < sink.start {
                    "began after this log file"
                } else if sequence < sink.position.sequence {
                    "is past this log file"
                } else {
                    "has not got all of this log file yet"
                };
                page.line("sink", &format!("{}: {text}", sink.name));
            }
        }
        Ok(())
    }
}

fn told(error: LifeError) -> Failure {
    match error {
        LifeError::Ledger(error) => error.into(),
        other => Failure::Internal(other.into()),
    }
}

fn file(life: &FileLife, page: &mut Page) {
    page.line("log file", &format!("{} of {}, ends {}", life.file_id, life.principal, life.end_time));
    let listed =
        jiff::Timestamp::from_second(life.listed_at).map_or_else(|_| "-".to_owned(), |at| at.to_string());
    let after = spoken(life.listed_at - life.end_at);
    page.line("listed", &format!("{listed}, {after} after its end"));
    let trouble = life.trouble.as_deref().unwrap_or("no reason is known");
    match (life.state.as_str(), life.fetched_at.as_deref()) {
        ("spooled", Some(fetched)) => {
            let hash = life.sha256.as_ref().map(|hash| hex(hash)).unwrap_or_default();
            let size = Size(life.bytes);
            page.line("fetched", &format!("{fetched}: {} records, {size}, sha256 {hash}", life.records));
            let here = if life.removed { "the log file has left it" } else { "the log file is here" };
            page.line("spool", &format!("number {}; {here}", life.sequence.unwrap_or_default()));
        }
        ("hole", _) => page.line("hole", trouble),
        _ => page.line("pending", &format!("not fetched yet, after {} tries: {trouble}", life.attempts)),
    }
}

fn words(fate: &Fate, sink: &SinkRow) -> String {
    match fate {
        Fate::Before => "began after it, and never gets it".to_owned(),
        Fate::Repeat(_) => "left out as a repeat of an earlier copy".to_owned(),
        Fate::DeadLetter { at, reason } => format!("DEAD LETTER since {at}: {reason}"),
        Fate::Deselected => "left out by `select` as it is now".to_owned(),
        Fate::Confirmed => format!("confirmed, {}", sink.guarantee),
        Fate::Passed => format!("is past it: confirmed, {}, unless `select` leaves it out", sink.guarantee),
        Fate::Waiting => {
            let state = sink.last_error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
            format!("waiting; {} records are to go to it, it is {}{state}", sink.records_pending, sink.state)
        }
    }
}

/// The record in an archive.
struct Archived {
    file: Arc<PlanFile>,
    sealing: Option<Sealing>,
    /// What [`Page::record`] says of it.
    record: String,
    time: Option<String>,
    line: u64,
    offset: u64,
    length: u64,
    sha256: [u8; 32],
}

impl Archived {
    fn find(at: &Place, from: &str, wanted: &Wanted, copies: &[Copy]) -> Result<(Vec<Self>, usize), Failure> {
        let reader = Reader::open(at, from)?;
        let mut query = Query::default();
        let at_offset = match wanted {
            Wanted::Place { file_id, offset } => {
                query.files = vec![file_id.clone()];
                Some(*offset)
            }
            Wanted::Id(id) => {
                query.ids = vec![id.clone()];
                query.files = copies.iter().map(|copy| copy.file.file_id.clone()).collect();
                if copies.is_empty() {
                    say("note: an id names no log file, so every record of the archive is looked at");
                }
                None
            }
        };
        let make = move |file: &PlanFile, record: &Record<'_>| {
            if at_offset.is_some_and(|offset| offset != record.raw.offset) {
                return None;
            }
            let mut page = Page::default();
            page.record(record);
            let raw = record.raw;
            Some(Self {
                file: Arc::new(file.clone()),
                sealing: None,
                record: page.0,
                time: record.time.clone(),
                line: raw.line,
                offset: raw.offset,
                length: raw.length,
                sha256: raw.sha256,
            })
        };
        let mut found = Vec::new();
        let source = reader.source().clone();
        let mut broken = reader.each(query, make, |_, one| found.extend(one))?;
        let runtime = super::runtime()?;
        for one in &mut found {
            match runtime.block_on(sealing(&source, &one.file)) {
                Ok(sealing) => one.sealing = sealing,
                Err(what) => {
                    say(&format!("FAULT {}", shown::line(&what, usize::MAX)));
                    broken += 1;
                }
            }
        }
        Ok((found, broken))
    }

    /// All of it, where the data folder does not know it.
    fn tell_record(&self, page: &mut Page) {
        let file = &self.file;
        page.0.push_str(&self.record);
        page.line("log file", &format!("{} of {}, ends {}", file.file_id, file.principal, file.end_time));
        if let Some(sealing) = &self.sealing {
            let sealed = &sealing.file;
            page.line("listed", &sealed.listed_at);
            let (size, hash) = (Size(sealed.bytes), hex(&sealed.sha256.0));
            page.line(
                "fetched",
                &format!("{}: {} records, {size}, sha256 {hash}", sealed.fetched_at, sealed.records),
            );
        }
        page.place(self.line, self.offset, self.length, &self.sha256);
        page.lateness(self.time.as_deref(), file.fetched_at.as_deref());
    }

    fn tell_object(&self, page: &mut Page) {
        let at = format!("line {}, byte {}", self.line, self.offset);
        page.line("object", &format!("{} ({at}), {} as stored", self.file.key, Size(self.file.object_bytes)));
        match &self.sealing {
            None => page.line("sealed", "not yet"),
            Some(Sealing { instance, number, written_at, keys, file }) => {
                let keys = keys.join(", ");
                page.line(
                    "sealed",
                    &format!("in manifest {number} of {instance}, written {written_at}, key {keys}"),
                );
                page.line("root", &format!("{} over {} records", hex(&file.record_root.0), file.records));
            }
        }
    }
}
