//! What seals a log file, as its manifest says it; whether that is true, `verify` and a proof tell.

use std::sync::Arc;

use super::plan::PlanFile;
use crate::archive::verify::{Source, small};
use crate::archive::{Envelope, Manifest, SealedFile};

/// A manifest and the line of it about one log file.
#[derive(Clone, Debug)]
pub struct Sealing {
    /// Whose chain.
    pub instance: String,
    /// Its number there.
    pub number: u64,
    /// RFC 3339.
    pub written_at: String,
    /// Ids of the keys that it says it is signed with.
    pub keys: Vec<String>,
    /// What it says of the log file.
    pub file: SealedFile,
}

/// What seals a file of a plan; none when it is not sealed yet.
pub async fn sealing(source: &Arc<dyn Source>, file: &PlanFile) -> Result<Option<Sealing>, String> {
    let Some(name) = file.manifest.as_deref() else { return Ok(None) };
    let bytes = small(source, name).await?;
    let Some(envelope) = bytes.as_deref().and_then(Envelope::read) else {
        return Err(format!("{name} is gone, or no DSSE envelope any more"));
    };
    let manifest = Manifest::read(&envelope.payload).map_err(|what| format!("{name} {what}"))?;
    let found = manifest.files.into_iter().find(|sealed| sealed.key == file.key);
    Ok(found.map(|file| Sealing {
        instance: manifest.instance,
        number: manifest.number,
        written_at: manifest.written_at,
        keys: envelope.signatures.into_iter().map(|(id, _)| id).collect(),
        file,
    }))
}
