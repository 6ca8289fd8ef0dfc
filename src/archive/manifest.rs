//! What a manifest says, and its names in an archive.
//!
//! Fields are written in this order, so the same manifest has the same bytes. A reader passes over fields
//! it does not know, and refuses a version it does not know.

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use super::envelope::{Envelope, MANIFEST_TYPE};
use super::keys::PublicKey;
use super::layout::part;
use crate::digest::{hex, unhex32};

/// The version written.
pub const MANIFEST_VERSION: u32 = 1;
/// Where all manifests lie.
pub const MANIFESTS: &str = "manifest/v1/";

/// A SHA-256, in JSON as hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        unhex32(&text).map(Self).ok_or_else(|| D::Error::custom("a sha256 has 64 hex digits"))
    }
}

/// One link of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Manifest {
    /// See [`MANIFEST_VERSION`].
    pub version: u32,
    /// Whose chain it is.
    pub instance: String,
    /// From 1, without gaps.
    pub number: u64,
    /// SHA-256 of the envelope before it; none for the first.
    pub previous: Option<Hash>,
    /// RFC 3339.
    pub written_at: String,
    /// The program that wrote it.
    pub software: String,
    /// What was archived since the one before.
    pub files: Vec<SealedFile>,
    /// What was listed since about the one before.
    pub coverage: Vec<StreamCoverage>,
    /// Listed log files that could not be had, all that are known.
    pub holes: Vec<Hole>,
    /// Holes left out because there are too many.
    #[serde(default)]
    pub holes_omitted: u64,
    /// Listed log files that were not fetched yet, the soonest to expire first.
    #[serde(default)]
    pub pending: Vec<Pending>,
    /// Those left out because there are too many.
    #[serde(default)]
    pub pending_omitted: u64,
    /// How far every sink was.
    #[serde(default)]
    pub positions: Vec<SinkPosition>,
}

/// One log file, and the object that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SealedFile {
    /// Name of the object.
    pub key: String,
    /// Its id upstream.
    pub file_id: String,
    /// Whose it is.
    pub principal: String,
    /// Its type.
    pub event_type: String,
    /// As upstream wrote it.
    pub end_time: String,
    /// Time of its oldest record, UTC; none when no record has one.
    pub oldest_event: Option<String>,
    /// Of its newest.
    pub newest_event: Option<String>,
    /// Bytes of the log file.
    pub bytes: u64,
    /// Its records.
    pub records: u64,
    /// Of the log file.
    pub sha256: Hash,
    /// Bytes of the object.
    pub object_bytes: u64,
    /// Of the object as it lies there.
    pub object_sha256: Hash,
    /// Merkle root whose leaf data are the records' SHA-256.
    pub record_root: Hash,
    /// When it was first listed, RFC 3339.
    pub listed_at: String,
    /// When it was fetched, RFC 3339.
    pub fetched_at: String,
    /// A rebuild found it in the archive: nobody saw it fetched, and the times are those of the rebuild.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub found: bool,
}

/// The moments of one stream that were listed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct StreamCoverage {
    /// Whose stream.
    pub principal: String,
    /// Of which type.
    pub event_type: String,
    /// In order.
    pub intervals: Vec<Covered>,
}

/// One interval; seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Covered {
    /// The first moment.
    pub from: i64,
    /// Behind the last.
    pub until: i64,
    /// When it was listed completely; none for what expired before it was.
    pub listed_at: Option<i64>,
}

/// A log file that could not be had.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Hole {
    /// Whose.
    pub principal: String,
    /// Of which type.
    pub event_type: String,
    /// Its id upstream, or `gap:…`.
    pub file_id: String,
    /// As upstream wrote it.
    pub end_time: String,
    /// Why.
    pub reason: String,
}

/// A log file that was listed and not fetched yet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Pending {
    /// Whose.
    pub principal: String,
    /// Of which type.
    pub event_type: String,
    /// Its id upstream.
    pub file_id: String,
    /// As upstream wrote it.
    pub end_time: String,
    /// When it was first listed, RFC 3339.
    pub listed_at: String,
}

/// How far a sink was.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SinkPosition {
    /// Its name in the configuration.
    pub sink: String,
    /// What it gets next; none when it had all there was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextRecord>,
}

/// The next record of a sink.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct NextRecord {
    /// Whose.
    pub principal: String,
    /// Of which type.
    pub event_type: String,
    /// The log file's id upstream.
    pub file_id: String,
    /// When that was fetched, RFC 3339.
    pub fetched_at: String,
    /// Which of its records, from 0.
    pub record: u64,
}

impl Manifest {
    /// Its bytes.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are always JSON")
    }

    /// A manifest in its envelope, and the id of the key that signed it; says what is wrong with it.
    pub fn open(bytes: &[u8], keys: &[PublicKey]) -> Result<(Self, String), String> {
        let envelope = Envelope::read(bytes).ok_or("is no DSSE envelope")?;
        let Some(signer) = envelope.signer(keys) else {
            let ids: Vec<&str> = envelope.signatures.iter().map(|(id, _)| id.as_str()).collect();
            return Err(format!("is not signed with a trusted key; it names {ids:?}"));
        };
        if envelope.payload_type != MANIFEST_TYPE {
            return Err(format!("is no manifest but {:?}", envelope.payload_type));
        }
        let id = signer.id();
        if envelope.signatures.iter().all(|(named, _)| *named != id) {
            return Err(format!("does not name the key {id} that signed it"));
        }
        Ok((Self::read(&envelope.payload)?, id))
    }

    /// Reads one; says what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let unreadable = |error: serde_json::Error| format!("its payload cannot be read: {error}");
        let Version { version } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if version != MANIFEST_VERSION {
            return Err(format!("it has version {version}, this program knows {MANIFEST_VERSION}"));
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }
}

/// Where the chain of an instance lies.
pub fn chain_folder(instance: &str) -> String {
    format!("{MANIFESTS}{}/", part(instance))
}

/// The name of a manifest.
pub fn manifest_key(instance: &str, number: u64) -> String {
    format!("{}{number:012}.json", chain_folder(instance))
}

/// The name of a public key.
pub fn public_key_key(instance: &str, id: &str) -> String {
    format!("{}{id}.pub.pem", chain_folder(instance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_has_one_form_and_later_fields_do_no_harm() {
        let manifest = Manifest {
            version: 1,
            instance: "custodex".into(),
            number: 2,
            previous: Some(Hash([0xab; 32])),
            written_at: "2026-11-20T00:00:00Z".into(),
            software: "custodex 0.1.0".into(),
            files: Vec::new(),
            coverage: Vec::new(),
            holes: Vec::new(),
            holes_omitted: 0,
            pending: Vec::new(),
            pending_omitted: 0,
            positions: Vec::new(),
        };
        let bytes = manifest.write();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(
            text.starts_with(r#"{"version":1,"instance":"custodex","number":2,"previous":"abab"#),
            "{text}"
        );
        assert_eq!(Manifest::read(&bytes).as_ref(), Ok(&manifest));
        let later = text.replacen("\"number\"", "\"colour\":[1],\"number\"", 1);
        assert_eq!(Manifest::read(later.as_bytes()), Ok(manifest));
        let newer = text.replacen(":1,", ":2,\"x\":1,", 1);
        assert!(Manifest::read(newer.as_bytes()).unwrap_err().contains("version 2"));
        assert_eq!(manifest_key("a.b", 7), "manifest/v1/a.b/000000000007.json");
        assert_eq!(public_key_key("a", "00ff"), "manifest/v1/a/00ff.pub.pem");
    }
}
