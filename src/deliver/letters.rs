//! The bytes of dead letters, as the sink was to get them: `dead-letters/<sink>-<sequence>-<record>.json`.
//!
//! So it holds what the sink's rules leave of a record, and nothing else of it. A letter is durable before the
//! ledger knows of it, and is removed after the ledger has forgotten it.

use std::collections::HashSet;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::disk::{self, Disk, PRIVATE_FOLDER};
use crate::ledger::{LetterRow, Position};
use crate::sink::{About, Batch, Origin};

/// The folder.
#[derive(Clone, Debug)]
pub struct Letters {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

/// What is kept of a record.
#[derive(Serialize, Deserialize)]
struct Kept {
    id: String,
    time: Option<String>,
    observed: String,
    action: Option<String>,
    outcome: Option<String>,
    principal: String,
    event_type: String,
    file_id: String,
    /// The settings it was encoded with, as a hash.
    #[serde(default)]
    settings: String,
    /// `base64` where the record is no text; any other stays legible for the operator who looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<String>,
    /// The encoded record.
    record: String,
}

/// A letter as it was kept.
pub(super) struct Letter {
    /// Just this record.
    pub(super) batch: Batch,
    /// What was configured then: see [`Kept`].
    pub(super) settings: String,
}

impl Letters {
    /// The letters in `folder`, which is created with the first one.
    pub fn new(disk: Arc<dyn Disk>, folder: PathBuf) -> Self {
        Self { disk, folder }
    }

    fn path(&self, sink: &str, position: Position) -> PathBuf {
        self.folder.join(name(sink, position))
    }

    /// Keeps one record of a batch.
    pub(super) fn keep(
        &self,
        sink: &str,
        position: Position,
        (about, bytes): (&About, &[u8]),
        settings: String,
    ) -> io::Result<()> {
        self.disk.create_folder(&self.folder, PRIVATE_FOLDER)?;
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).ok();
        let kept = Kept {
            id: about.id.clone(),
            time: about.time.clone(),
            observed: about.observed.to_string(),
            action: about.action.clone(),
            outcome: about.outcome.map(str::to_owned),
            principal: about.origin.principal.clone(),
            event_type: about.origin.event_type.clone(),
            file_id: about.origin.file_id.clone(),
            settings,
            encoding: text.is_none().then(|| "base64".to_owned()),
            record: text.map_or_else(|| STANDARD.encode(bytes), str::to_owned),
        };
        disk::replace(self.disk.as_ref(), &self.path(sink, position), &serde_json::to_vec(&kept)?)
    }

    /// How much the letter takes; `None` when it is not there.
    pub(super) fn length(&self, sink: &str, position: Position) -> io::Result<Option<u64>> {
        self.disk.length(&self.path(sink, position))
    }

    pub(super) fn read(&self, sink: &str, position: Position) -> io::Result<Letter> {
        let mut text = String::new();
        self.disk.open(&self.path(sink, position))?.read_to_string(&mut text)?;
        let kept: Kept = serde_json::from_str(&text)?;
        let known = ["success", "failure", "unknown"];
        let about = About {
            id: kept.id,
            time: kept.time,
            observed: kept.observed.into(),
            action: kept.action,
            outcome: known.into_iter().find(|word| kept.outcome.as_deref() == Some(word)),
            replay: None,
            origin: Arc::new(Origin {
                principal: kept.principal,
                event_type: kept.event_type,
                file_id: kept.file_id,
            }),
        };
        let bytes = match kept.encoding {
            None => kept.record.into_bytes(),
            Some(_) => STANDARD.decode(kept.record).map_err(io::Error::other)?,
        };
        let mut batch = Batch { bytes, ..Batch::default() };
        batch.close(about);
        Ok(Letter { batch, settings: kept.settings })
    }

    pub(super) fn remove(&self, sink: &str, position: Position) -> io::Result<()> {
        self.disk.remove(&self.path(sink, position))
    }

    /// Removes the letters of a sink that the ledger does not know: a crash left them.
    pub(super) fn sweep(&self, sink: &str, known: &[LetterRow]) -> io::Result<()> {
        let entries = match self.disk.list(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let known: HashSet<String> = known.iter().map(|letter| name(sink, letter.position)).collect();
        for entry in entries.into_iter().filter(|entry| !known.contains(&entry.name)) {
            // `replace` writes under another name first.
            let whole = entry.name.strip_suffix(".new").unwrap_or(&entry.name);
            let mut parts = whole.strip_suffix(".json").unwrap_or_default().rsplitn(3, '-');
            let numbers = parts.by_ref().take(2).filter(|part| part.parse::<u64>().is_ok()).count();
            if numbers == 2 && parts.next() == Some(sink) {
                self.disk.remove(&self.folder.join(entry.name))?;
            }
        }
        Ok(())
    }
}

fn name(sink: &str, position: Position) -> String {
    format!("{sink}-{}-{}.json", position.sequence, position.record)
}
