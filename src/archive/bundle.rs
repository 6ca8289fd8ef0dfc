//! What lies in a case: its list of files, and what seals it.
//!
//! A case is a set of named files for somebody who has neither custodex nor the archive. The list names each with its hash, and
//! is signed as manifests are; every record has a proof of its own, so that what was collected does not rest on the
//! seal. Where the files lie is not known here.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Envelope, Hash, Proof, PublicKey, SigningKey, seal};

/// What the payload of a seal is.
const CASE_TYPE: &str = "application/vnd.custodex.case+json";
/// The version written.
const CASE_VERSION: u32 = 1;
/// Name of the seal; all other files are in the list.
pub const SEAL: &str = "seal.json";
/// Name of the list.
pub const LIST: &str = "case.json";
/// Where proofs lie.
pub const PROOFS: &str = "proofs/";

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Listed {
    /// Its name in the case.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Of its bytes.
    pub sha256: Hash,
}

/// The list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Contents {
    /// See [`CASE_VERSION`].
    pub version: u32,
    /// Where the records come from.
    pub archive: String,
    /// What was asked for, in the words of the command line.
    pub selectors: Vec<String>,
    /// RFC 3339.
    pub made_at: String,
    /// The program that made it.
    pub software: String,
    /// Its records.
    pub records: u64,
    /// Of these, such as no manifest seals yet; they have no proof.
    pub not_sealed: u64,
    /// Places that matched and cannot be read, or were too large to be looked into.
    pub problems: Vec<String>,
    /// All files but this list and its seal.
    pub files: Vec<Listed>,
}

/// What was found when a case was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is wrong with it.
    pub faults: Vec<String>,
    /// Id of the trusted key that sealed it.
    pub sealed_by: Option<String>,
    /// Records that are proved.
    pub proved: u64,
    /// Records that no manifest sealed when the case was made.
    pub not_sealed: u64,
}

impl Contents {
    /// A list of nothing yet.
    pub fn new(archive: String, selectors: Vec<String>, made_at: String) -> Self {
        Self {
            version: CASE_VERSION,
            archive,
            selectors,
            made_at,
            software: concat!("custodex ", env!("CARGO_PKG_VERSION")).to_owned(),
            records: 0,
            not_sealed: 0,
            problems: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Its bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("texts and numbers are always JSON");
        bytes.push(b'\n');
        bytes
    }

    /// The list signed, byte for byte.
    pub fn seal(list: &[u8], key: &SigningKey) -> Vec<u8> {
        seal(CASE_TYPE, list, key)
    }
}

/// The files of a case that is read; an error is one of reading.
pub trait Files {
    /// What reading ends with.
    type Error;
    /// Their names.
    fn names(&self) -> Vec<String>;
    /// The hash of a file of at most so many bytes; none when it is not there or longer.
    fn sha256(&mut self, name: &str, most: u64) -> Result<Option<[u8; 32]>, Self::Error>;
    /// A file that is held in memory; none when it is not there or too long for that.
    fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, Self::Error>;
}

/// Checks a case: the list against the seal, every file against the list, then every proof.
pub fn check<F: Files>(files: &mut F, keys: &[PublicKey]) -> Result<Checked, F::Error> {
    let mut checked = Checked::default();
    let Some(list) = files.read(LIST)? else {
        checked.faults.push(format!("{LIST} is missing"));
        return Ok(checked);
    };
    if let Some(bytes) = files.read(SEAL)? {
        match sealed_by(&bytes, &list, keys) {
            Ok(id) => checked.sealed_by = Some(id),
            Err(what) => checked.faults.push(format!("{SEAL} {what}")),
        }
    }
    let contents: Contents = match serde_json::from_slice(&list) {
        Ok(contents) => contents,
        Err(error) => {
            checked.faults.push(format!("{LIST} cannot be read: {error}"));
            return Ok(checked);
        }
    };
    if contents.version != CASE_VERSION {
        checked.faults.push(format!("version {} of cases is not known here", contents.version));
        return Ok(checked);
    }
    let listed: BTreeSet<&str> = contents.files.iter().map(|file| file.name.as_str()).collect();
    for name in files.names().iter().map(String::as_str).filter(|name| ![SEAL, LIST].contains(name)) {
        if !listed.contains(name) {
            checked.faults.push(format!("{name} is not in the list"));
        }
    }
    for file in &contents.files {
        if files.sha256(&file.name, file.bytes)? != Some(file.sha256.0) {
            checked.faults.push(format!("{} is missing, or not the file that was listed", file.name));
        } else if file.name.starts_with(PROOFS) {
            match prove(files, &file.name, keys)? {
                Ok(()) => checked.proved += 1,
                Err(what) => checked.faults.push(format!("{}: {what}", file.name)),
            }
        }
    }
    let unproved = contents.records.saturating_sub(checked.proved);
    if unproved > contents.not_sealed {
        let missing = unproved - contents.not_sealed;
        checked.faults.push(format!("{missing} records have no proof that holds"));
    }
    checked.not_sealed = contents.not_sealed;
    Ok(checked)
}

fn sealed_by(bytes: &[u8], list: &[u8], keys: &[PublicKey]) -> Result<String, String> {
    let envelope = Envelope::read(bytes).ok_or("is no DSSE envelope")?;
    if envelope.payload_type != CASE_TYPE || envelope.payload != list {
        return Err(format!("does not seal {LIST}"));
    }
    let signer = envelope.signer(keys).ok_or("is not signed with a trusted key")?;
    Ok(signer.id())
}

/// Checks one proof with the files that it names.
fn prove<F: Files>(files: &mut F, name: &str, keys: &[PublicKey]) -> Result<Result<(), String>, F::Error> {
    let Some(proof) = files.read(name)?.and_then(|bytes| serde_json::from_slice::<Proof>(&bytes).ok()) else {
        return Ok(Err("cannot be read".to_owned()));
    };
    let (Some(manifest), Some(record)) = (&proof.manifest_file, &proof.record_file) else {
        return Ok(proof.check(keys).map(drop));
    };
    let (Some(manifest), Some(record)) = (files.read(manifest)?, files.read(record)?) else {
        return Ok(Err("names files that are missing".to_owned()));
    };
    Ok(proof.check_with(&manifest, record, keys).map(drop))
}
