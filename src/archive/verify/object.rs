//! One object against what its manifest and its name say.

use std::io::{self, Read};
use std::sync::Arc;

use super::{Bytes, Source};
use crate::archive::{Inspected, LogFile, Measured, Packing, SealedFile, Tree, inspect, key, unpack};
use crate::digest::hex;
use crate::limits;

const PACKINGS: [Packing; 3] = [Packing::Zstd, Packing::Gzip, Packing::None];

/// The parts of an object's name that a reader needs.
pub(in crate::archive) struct Name<'a> {
    pub(in crate::archive) folder: &'a str,
    /// The last part, up to `.jsonl`.
    pub(in crate::archive) stem: &'a str,
    pub(in crate::archive) hash: &'a str,
    pub(in crate::archive) packing: Packing,
}

impl<'a> Name<'a> {
    /// None for what is no name of a log file.
    pub(in crate::archive) fn read(name: &'a str) -> Option<Self> {
        let (folder, last) = name.rsplit_once('/')?;
        let parts: Vec<&str> = folder.split('/').collect();
        let starts = ["raw", "v1", "principal=", "event_type=", "dt="];
        let fits = parts.len() == starts.len()
            && parts[..2] == starts[..2]
            && parts.iter().zip(starts).all(|(part, start)| part.starts_with(start));
        let packing = Packing::of(last)?;
        let stem = &last[..last.rfind(".jsonl")?];
        let (_, hash) = stem.rsplit_once('_')?;
        let is_hash = hash.len() == 8 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (fits && is_hash).then_some(Self { folder, stem, hash, packing })
    }
}

/// Whether a sealed file's name is the one its facts make.
pub(super) fn is_named(file: &SealedFile) -> bool {
    let facts = LogFile {
        principal: &file.principal,
        event_type: &file.event_type,
        end_time: &file.end_time,
        file_id: &file.file_id,
        sha256: &file.sha256.0,
    };
    PACKINGS.into_iter().any(|packing| key(Tree::Raw, &facts, packing) == file.key)
}

/// What is wrong with a sealed object; one that is gone is found by the listing.
pub(super) async fn check(source: &Arc<dyn Source>, file: &SealedFile) -> Result<Vec<String>, String> {
    let (Some(body), Some(name)) = (source.get(&file.key).await?, Name::read(&file.key)) else {
        return Ok(Vec::new());
    };
    let (object, content) = read(body, name.packing).await?;
    let mut wrong = Vec::new();
    let mut differ = |what: &str, found: &dyn std::fmt::Display, sealed: &dyn std::fmt::Display| {
        wrong.push(format!("has {what} {found}, {sealed} was sealed"));
    };
    if object.1 != file.object_sha256.0 {
        differ("as object the sha256", &hex(&object.1), &hex(&file.object_sha256.0));
    }
    match content {
        Err(error) => wrong.push(format!("cannot be unpacked: {error}")),
        Ok(content) => {
            if content.sha256 != file.sha256.0 {
                differ("the verbatim sha256", &hex(&content.sha256), &hex(&file.sha256.0));
            }
            if content.bytes != file.bytes {
                differ("a log file of bytes", &content.bytes, &file.bytes);
            }
            if content.records != file.records {
                differ("a count of records", &content.records, &file.records);
            }
            if content.record_root != file.record_root.0 {
                differ("the record root", &hex(&content.record_root), &hex(&file.record_root.0));
            }
            let times =
                |oldest: &Option<String>, newest: &Option<String>| format!("{oldest:?} to {newest:?}");
            let found = times(&content.oldest_event, &content.newest_event);
            let sealed = times(&file.oldest_event, &file.newest_event);
            if found != sealed {
                differ("events from", &found, &sealed);
            }
        }
    }
    Ok(wrong)
}

/// What is wrong with an object that only its name speaks of.
pub(super) async fn check_name(source: &Arc<dyn Source>, key: &str) -> Result<Vec<String>, String> {
    let (Some(body), Some(name)) = (source.get(key).await?, Name::read(key)) else { return Ok(Vec::new()) };
    let (_, content) = read(body, name.packing).await?;
    Ok(match content {
        Err(error) => vec![format!("is not sealed, and cannot be unpacked: {error}")],
        Ok(content) if hex(&content.sha256)[..8] != *name.hash => {
            vec!["is not sealed, and its content is not the one its name says".to_owned()]
        }
        Ok(_) => Vec::new(),
    })
}

/// Length and hash of an object, and what was seen of the log file in it.
type Read2 = ((u64, [u8; 32]), io::Result<Inspected>);

/// Reads all of an object, and what is packed in it.
pub async fn read(body: Bytes, packing: Packing) -> Result<Read2, String> {
    let read = tokio::task::spawn_blocking(move || {
        let mut raw = Measured::new(body);
        let content = unpack(packing, &mut raw).and_then(inspect);
        // Also what follows the content belongs to the object.
        let mut window = vec![0; limits::COPY_WINDOW];
        let drained = loop {
            match raw.read(&mut window) {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        (raw.finish(), drained.and(content))
    });
    read.await.map_err(|panic| format!("reading failed inside: {panic}"))
}
