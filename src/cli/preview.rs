//! `preview`: given raw lines as a configured sink would send them.
//!
//! Data to standard output, what is left out to standard error. Reads no secret but the keys of the sink's
//! rules, opens no connection, touches no ledger: the log file has a made-up id and was fetched now. Repeats are
//! not looked for.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::args::PreviewOptions;
use super::{Exit, Failure, Outcome, Place, print, say};
use crate::config::{Config, Secrets, SinkEntry};
use crate::digest::sha256;
use crate::format::Encoder;
use crate::ground::Ground;
use crate::record::reader::{Cut, Reader};
use crate::record::{Origin, Record, json};
use crate::sink::{self, About, Batch};
use crate::words::Principal;

/// Stands for a log file that has none.
const FILE_ID: &str = "preview";

pub fn preview(at: &Place, options: &PreviewOptions) -> Outcome {
    let config = at.load(Secrets::Rules(&options.sink))?;
    let entry = config.sinks.iter().find(|entry| entry.name == options.sink);
    let entry = entry.ok_or_else(|| {
        let known: Vec<&str> = config.sinks.iter().map(|entry| entry.name.as_str()).collect();
        Failure::Usage(format!("there is no sink `{}`; known here: {}", options.sink, known.join(", ")))
    })?;
    let file = read(&options.input)
        .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", options.input.display())))?;
    let observed = Ground::real().clock.now();
    let mut preview = Preview {
        config: &config,
        entry,
        given: options.event_type.as_deref(),
        observed,
        origins: HashMap::new(),
    };
    let encoder = Encoder::new(entry.options, entry.config.max_record_bytes());
    let encoder = encoder.redacting(entry.redaction.clone());
    let mut reader = Reader::new(file.as_slice());
    while let Some(cut) = reader.next()? {
        if let Some(batch) = preview.encode(&encoder, &file, &cut) {
            print(&entry.config.render(&batch))?;
        }
    }
    Ok(Exit::Done)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// What is the same for all lines.
struct Preview<'c> {
    config: &'c Config,
    entry: &'c SinkEntry,
    given: Option<&'c str>,
    observed: Timestamp,
    /// By event type.
    origins: HashMap<String, (Origin, Arc<sink::Origin>)>,
}

impl Preview<'_> {
    /// One record as a batch; none when the sink does not get it.
    fn encode(&mut self, encoder: &Encoder, file: &[u8], cut: &Cut) -> Option<Batch> {
        let own = || {
            let [token] = json::first(std::str::from_utf8(cut.record(file, None).bytes).ok()?, ["type"])?;
            json::text(token?).map(Cow::into_owned)
        };
        let event_type = self.given.map(str::to_owned).or_else(own).unwrap_or_else(|| {
            let first = &self.config.sources[0].config.event_types[0];
            say(&format!("line {}: no `type` of its own, shown as {first}", cut.line));
            first.clone()
        });
        if !self.origins.contains_key(&event_type) {
            let made = self.origin(&event_type, file);
            self.origins.insert(event_type.clone(), made);
        }
        let (origin, shown) = &self.origins[&event_type];
        let reference = cut.reference();
        let record = Record::parse(origin, cut.record(file, reference.as_deref()));
        if !self.entry.select.takes(&record) {
            say(&format!("line {}: left out by `select`", cut.line));
            return None;
        }
        let mut batch = Batch::default();
        let observed = self.observed.to_string().into();
        let about = encoder.encode_and(&record, &mut batch.bytes, |seen| About::of(seen, &observed, shown));
        batch.close(about);
        Some(batch)
    }

    /// The stream that would deliver this event type: of the source that collects it, or of the first.
    fn origin(&self, event_type: &str, file: &[u8]) -> (Origin, Arc<sink::Origin>) {
        let sources = &self.config.sources;
        let collects = |name: &String| name == event_type;
        let source = sources.iter().find(|source| source.config.event_types.iter().any(collects));
        let principal: Principal = source.unwrap_or(&sources[0]).config.principal.clone();
        let shown = sink::Origin {
            principal: principal.id.clone(),
            event_type: event_type.to_owned(),
            file_id: FILE_ID.to_owned(),
        };
        let origin = Origin {
            principal,
            event_type: event_type.to_owned(),
            file_id: FILE_ID.to_owned(),
            file_sha256: sha256(file),
            observed: self.observed,
            own_key: None,
        };
        (origin, Arc::new(shown))
    }
}
