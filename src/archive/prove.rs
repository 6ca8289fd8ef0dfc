//! The proof of one record: its bytes, the path to the root of its log file, and the manifest that signs it.
//!
//! Whoever holds a public key can check one with nothing else at hand: `docs/proof.md` tells how,
//! `docs/check_proof.py` does it. A proof says that the record, byte for byte, is record number `index` of a log file that this
//! instance had archived when the manifest was written. Where it lies in the file is told, not proved.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::verify::{Source, small};
use super::{Envelope, Hash, MANIFESTS, Manifest, Packing, PublicKey, SealedFile, merkle, unpack};
use crate::digest::sha256;
use crate::limits;
use crate::record::id;
use crate::record::reader::{Cut, Reader};

/// The version written.
const PROOF_VERSION: u32 = 1;

/// Which record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// By its id; every log file may hold it.
    Id(String),
    /// By its place.
    Place {
        /// The log file's id upstream.
        file_id: String,
        /// First byte in it.
        offset: u64,
    },
}

/// A proof, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Proof {
    /// See [`PROOF_VERSION`].
    pub version: u32,
    /// Our id of the record.
    pub id: String,
    /// The log file's id upstream.
    pub file_id: String,
    /// Line in it, from 1.
    pub line_number: u64,
    /// First byte in it.
    pub byte_offset: u64,
    /// The record's bytes without line end, base64; empty where `record_file` has them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub record: String,
    /// In a case: the file there that holds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_file: Option<String>,
    /// Which record of the file it is, from 0.
    pub index: u64,
    /// Nodes beside the way from the record up to the root.
    pub path: Vec<Hash>,
    /// Name of the object in the archive.
    pub key: String,
    /// The envelope of the manifest, byte for byte; empty where `manifest_file` has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub manifest: String,
    /// In a case: the file there that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_file: Option<String>,
}

/// Where a record lies in its log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// The way of a record up to the root of its log file.
#[derive(Clone, Debug)]
pub struct Climb {
    index: u64,
    line: u64,
    path: Vec<Hash>,
}

/// What a proof proves.
#[derive(Clone, Debug)]
pub struct Proved {
    /// The record's bytes.
    pub record: Vec<u8>,
    /// Its log file, as it was sealed.
    pub file: SealedFile,
    /// The manifest that seals it.
    pub manifest: Manifest,
    /// Id of the key that signed that.
    pub signer: String,
}

/// Where a record was found.
struct Place {
    cut: Cut,
    index: usize,
    path: Vec<merkle::Node>,
}

impl Wanted {
    /// `FILE_ID:BYTE_OFFSET`, or the 32 hex digits of an id.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((file_id, offset)) = text.rsplit_once(':') {
            let offset = offset.parse().ok()?;
            return Some(Self::Place { file_id: file_id.to_owned(), offset });
        }
        let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| Self::Id(text.to_ascii_lowercase()))
    }

    fn may_be_in(&self, file: &SealedFile) -> bool {
        match self {
            Self::Id(_) => true,
            Self::Place { file_id, .. } => *file_id == file.file_id,
        }
    }

    fn is(&self, file: &SealedFile, cut: &Cut) -> bool {
        match self {
            Self::Id(wanted) => *wanted == id_of(file, cut),
            Self::Place { offset, .. } => *offset == cut.offset,
        }
    }
}

impl Proof {
    /// Makes the proof of a record; none when no sealed log file holds it.
    pub async fn make(source: &Arc<dyn Source>, wanted: &Wanted) -> Result<Option<Self>, String> {
        let mut after: Option<String> = None;
        loop {
            let (page, more) = source.list(MANIFESTS, after.as_deref()).await?;
            after = page.last().map(|last| last.0.clone());
            for (key, _) in page.iter().filter(|(key, _)| !key.ends_with(".pub.pem")) {
                if let Some(proof) = Self::under(source, wanted, key).await? {
                    return Ok(Some(proof));
                }
            }
            if !more {
                return Ok(None);
            }
        }
    }

    /// Looks into the log files of one manifest.
    async fn under(source: &Arc<dyn Source>, wanted: &Wanted, name: &str) -> Result<Option<Self>, String> {
        let text = small(source, name).await?.and_then(|bytes| String::from_utf8(bytes).ok());
        let envelope = text.as_deref().and_then(|text| Envelope::read(text.as_bytes()));
        let (Some(text), Some(envelope)) = (text, envelope) else {
            return Err(format!("{name} is no DSSE envelope: see `custodex verify`"));
        };
        let manifest = Manifest::read(&envelope.payload).map_err(|what| format!("{name} {what}"))?;
        let files = manifest.files.into_iter().filter(|file| wanted.may_be_in(file));
        let looked = stream::iter(files).map(|file| async move {
            let place = look(source, wanted, &file).await?;
            Ok::<_, String>(place.map(|place| (file, place)))
        });
        let mut looked = std::pin::pin!(looked.buffer_unordered(limits::VERIFY_IN_FLIGHT));
        while let Some(found) = looked.next().await {
            let Some((file, place)) = found? else { continue };
            let within = Within { offset: place.cut.offset, length: place.cut.length };
            let record = record_bytes(source, &file.key, within).await?;
            return Ok(Some(Self {
                version: PROOF_VERSION,
                id: id_of(&file, &place.cut),
                file_id: file.file_id,
                line_number: place.cut.line,
                byte_offset: place.cut.offset,
                record: BASE64_STANDARD.encode(record),
                record_file: None,
                index: place.index as u64,
                path: place.path.into_iter().map(Hash).collect(),
                key: file.key,
                manifest: text,
                manifest_file: None,
            }));
        }
        Ok(None)
    }

    /// Checks a proof against keys that are trusted; says what is wrong with it.
    pub fn check(&self, keys: &[PublicKey]) -> Result<Proved, String> {
        let record = BASE64_STANDARD.decode(&self.record).map_err(|_| "the record is no base64")?;
        self.check_with(self.manifest.as_bytes(), record, keys)
    }

    /// The same where record and manifest lie beside the proof.
    pub fn check_with(&self, manifest: &[u8], record: Vec<u8>, keys: &[PublicKey]) -> Result<Proved, String> {
        if self.version != PROOF_VERSION {
            return Err(format!("version {} of proofs is not known here", self.version));
        }
        let (manifest, signer) =
            Manifest::open(manifest, keys).map_err(|what| format!("the manifest in it {what}"))?;
        let file = manifest.files.iter().find(|file| file.key == self.key).cloned();
        let file = file.ok_or("the manifest in it does not name the object")?;
        if file.file_id != self.file_id {
            return Err(format!("the log file is {}, not {}", file.file_id, self.file_id));
        }
        let path: Vec<merkle::Node> = self.path.iter().map(|node| node.0).collect();
        let root = merkle::climb(&sha256(&record), self.index, file.records, &path);
        if root != Some(file.record_root.0) {
            return Err("the record is not the one that was sealed".to_owned());
        }
        Ok(Proved { record, file, manifest, signer })
    }
}

fn id_of(file: &SealedFile, cut: &Cut) -> String {
    match cut.event_id {
        Some(_) => id::by_content(&file.principal, &file.event_type, &cut.sha256),
        None => id::by_place(&file.file_id, cut.offset),
    }
}

/// Looks for the record in one object.
async fn look(source: &Arc<dyn Source>, wanted: &Wanted, file: &SealedFile) -> Result<Option<Place>, String> {
    let (wanted, sealed) = (wanted.clone(), file.clone());
    reading(source, &file.key, move |content| {
        let mut records = Reader::new(content);
        let (mut leaves, mut found) = (Vec::new(), None);
        while let Some(cut) = records.next()? {
            leaves.push(cut.sha256);
            if found.is_none() && wanted.is(&sealed, &cut) {
                found = Some((leaves.len() - 1, cut));
            }
        }
        Ok(found.and_then(|(index, cut)| Some(Place { cut, index, path: merkle::path(&leaves, index)? })))
    })
    .await
}

/// The ways of some records of one object, in the order of `places`; none for a place where no record begins.
pub async fn climbs(
    source: &Arc<dyn Source>,
    key: &str,
    places: &[Within],
) -> Result<Vec<Option<Climb>>, String> {
    let wanted: Vec<u64> = places.iter().map(|place| place.offset).collect();
    reading(source, key, move |content| {
        let mut records = Reader::new(content);
        let (mut leaves, mut found) = (Vec::new(), HashMap::new());
        while let Some(cut) = records.next()? {
            found.insert(cut.offset, (leaves.len(), cut.line));
            leaves.push(cut.sha256);
        }
        let climb = |offset: u64| {
            let (index, line) = *found.get(&offset)?;
            let path = merkle::path(&leaves, index)?.into_iter().map(Hash).collect();
            Some(Climb { index: index as u64, line, path })
        };
        Ok(wanted.into_iter().map(climb).collect())
    })
    .await
}

impl Climb {
    /// The proof of a record of a case, where bytes and manifest lie in files of their own.
    pub fn proof(
        self,
        (id, place): (&str, Within),
        (file_id, key): (&str, &str),
        record_file: String,
        manifest_file: String,
    ) -> Proof {
        Proof {
            version: PROOF_VERSION,
            id: id.to_owned(),
            file_id: file_id.to_owned(),
            line_number: self.line,
            byte_offset: place.offset,
            record: String::new(),
            record_file: Some(record_file),
            index: self.index,
            path: self.path,
            key: key.to_owned(),
            manifest: String::new(),
            manifest_file: Some(manifest_file),
        }
    }
}

/// The bytes of a record.
pub async fn record_bytes(source: &Arc<dyn Source>, key: &str, place: Within) -> Result<Vec<u8>, String> {
    let Within { offset, length } = place;
    reading(source, key, move |mut content| {
        io::copy(&mut content.by_ref().take(offset), &mut io::sink())?;
        let mut record = Vec::new();
        content.take(length).read_to_end(&mut record).map(|_| record)
    })
    .await
}

/// Reads the content of an object on a thread that may wait.
async fn reading<T: Send + 'static>(
    source: &Arc<dyn Source>,
    key: &str,
    read: impl FnOnce(Box<dyn Read>) -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let body = source.get(key).await?.ok_or_else(|| format!("{key} is sealed and is gone"))?;
    let packing = Packing::of(key).ok_or_else(|| format!("{key} is no name of a log file"))?;
    let done = tokio::task::spawn_blocking(move || read(Box::new(unpack(packing, body)?)));
    let done = done.await.map_err(|panic| format!("reading failed inside: {panic}"))?;
    done.map_err(|error| format!("cannot read {key}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_by_id_or_place() {
        let place = Wanted::Place { file_id: "eclf_1:a".into(), offset: 1024 };
        assert_eq!(Wanted::parse("eclf_1:a:1024"), Some(place));
        let id = "172DD902613b7513792a68207ec6b70b";
        assert_eq!(Wanted::parse(id), Some(Wanted::Id(id.to_ascii_lowercase())));
        assert_eq!((Wanted::parse("eclf_1"), Wanted::parse("eclf_1:x")), (None, None));
    }
}
