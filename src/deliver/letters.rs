//! The bytes of dead letters, as the sink was to get them: `dead-letters/<sink>-<sequence>-<record>.json`.
//!
//! A letter is durable before the ledger knows of it, and is removed after the ledger has forgotten it.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::disk::{self, Disk, PRIVATE_FOLDER};
use crate::ledger::Position;
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
    /// The encoded record; base64 would hide it from the operator who looks, so odd bytes are replaced.
    record: String,
}

impl Letters {
    /// The letters in `folder`, which is created with the first one.
    pub fn new(disk: Arc<dyn Disk>, folder: PathBuf) -> Self {
        Self { disk, folder }
    }

    fn path(&self, sink: &str, position: Position) -> PathBuf {
        self.folder.join(format!("{sink}-{}-{}.json", position.sequence, position.record))
    }

    /// Keeps one record of a batch.
    pub(super) fn keep(&self, sink: &str, position: Position, about: &About, bytes: &[u8]) -> io::Result<()> {
        self.disk.create_folder(&self.folder, PRIVATE_FOLDER)?;
        let kept = Kept {
            id: about.id.clone(),
            time: about.time.clone(),
            observed: about.observed.to_string(),
            action: about.action.clone(),
            outcome: about.outcome.map(str::to_owned),
            principal: about.origin.principal.clone(),
            event_type: about.origin.event_type.clone(),
            file_id: about.origin.file_id.clone(),
            record: String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(bytes)).into_owned(),
        };
        disk::replace(self.disk.as_ref(), &self.path(sink, position), &serde_json::to_vec(&kept)?)
    }

    /// A batch of just this record.
    pub(super) fn read(&self, sink: &str, position: Position) -> io::Result<Batch> {
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
            origin: Arc::new(Origin {
                principal: kept.principal,
                event_type: kept.event_type,
                file_id: kept.file_id,
            }),
        };
        let mut bytes = kept.record.into_bytes();
        bytes.push(b'\n');
        Ok(Batch { ends: vec![bytes.len()], bytes, about: vec![about] })
    }

    pub(super) fn remove(&self, sink: &str, position: Position) -> io::Result<()> {
        self.disk.remove(&self.path(sink, position))
    }
}
