//! Keys of `s3`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde::de::value::MapDeserializer;
use serde::de::{Deserializer, Error as _, value};
use url::Url;

use super::reader::S3Reader;
use super::sink::S3Archive;
use crate::archive::Packing;
use crate::ground::Ground;
use crate::limits;
use crate::net::{NetworkConfig, is_loopback};
use crate::secret::Secret;
use crate::sink::reader::ArchiveReader;
use crate::sink::{Archive, ArchiveConfig, SinkError};

/// The sink's own keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// The bucket's name.
    #[serde(deserialize_with = "bucket")]
    pub(super) bucket: String,
    /// What every key begins with.
    #[serde(default, deserialize_with = "prefix")]
    pub(super) prefix: String,
    /// Where the bucket lies; as the SDK finds it when absent.
    #[serde(default)]
    pub(super) region: Option<String>,
    /// A store other than Amazon's.
    #[serde(default, deserialize_with = "endpoint")]
    pub(super) endpoint_url: Option<Url>,
    /// The bucket in the path, not in the host's name; for other stores when absent.
    #[serde(default)]
    path_style: Option<bool>,
    /// With the next one; the SDK's chain when absent.
    #[serde(default)]
    pub(super) access_key_id: Option<Secret>,
    /// See above.
    #[serde(default)]
    pub(super) secret_access_key: Option<Secret>,
    /// A profile of the SDK's own files.
    #[serde(default)]
    pub(super) profile: Option<String>,
    /// A role to take on with these credentials.
    #[serde(default)]
    pub(super) role_arn: Option<String>,
    /// What the role's owner asked for.
    #[serde(default)]
    pub(super) external_id: Option<String>,
    /// Of every object.
    #[serde(default, deserialize_with = "compression")]
    compression: Packing,
    /// What the store checks each object against.
    #[serde(default)]
    pub(super) checksum: Checksum,
    /// The KMS key objects are encrypted with; the bucket's rule when absent.
    #[serde(default)]
    pub(super) kms_key_id: Option<String>,
    /// Keeps each object from being changed or deleted.
    #[serde(default)]
    pub(super) object_lock: Option<ObjectLock>,
    /// The store's default when absent.
    #[serde(default)]
    pub(super) storage_class: Option<String>,
    /// Of every object.
    #[serde(default, deserialize_with = "tags")]
    pub(super) tags: BTreeMap<String, String>,
    /// The account that must own the bucket.
    #[serde(default)]
    pub(super) expected_bucket_owner: Option<String>,
    /// Whom to trust.
    #[serde(default)]
    pub(super) tls: Tls,
}

/// What the store checks an object against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Checksum {
    /// Given with the request, kept by the store.
    #[default]
    Sha256,
    /// Sent behind the body.
    Crc32c,
    /// For stores that refuse both.
    None,
}

/// For how long an object cannot be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ObjectLock {
    pub(super) mode: LockMode,
    /// From when it is put.
    pub(super) days: NonZeroU32,
}

/// Who may lift a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LockMode {
    /// Some.
    Governance,
    /// Nobody.
    Compliance,
}

/// The keys of `[tls]` that mean something here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// Certificates (PEM) to trust instead of those of the system.
    #[serde(default)]
    pub(super) ca_file: Option<PathBuf>,
}

impl ArchiveConfig for S3Config {
    fn packing(&self) -> Packing {
        self.compression
    }

    fn place(&self) -> String {
        let at = self.endpoint_url.as_ref().map(|url| format!(" at {url}")).unwrap_or_default();
        format!("{}{at}", self.shown())
    }

    fn open(&self, ground: Ground, network: &NetworkConfig, _: &str) -> Arc<dyn Archive> {
        Arc::new(S3Archive::new(ground, self.clone(), network.clone()))
    }

    fn reader(&self, _: Ground, network: &NetworkConfig) -> Arc<dyn ArchiveReader> {
        Arc::new(S3Reader::new(self.clone(), network.clone()))
    }

    fn probe<'a>(
        &'a self,
        ground: &'a Ground,
        network: &'a NetworkConfig,
    ) -> BoxFuture<'a, Result<String, SinkError>> {
        let archive = S3Archive::new(ground.clone(), self.clone(), network.clone());
        Box::pin(async move { archive.look().await })
    }

    fn secrets(&self) -> Vec<(&'static str, &Secret)> {
        let all = [("access_key_id", &self.access_key_id), ("secret_access_key", &self.secret_access_key)];
        all.into_iter().filter_map(|(key, secret)| Some((key, secret.as_ref()?))).collect()
    }

    fn faults(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut faults = Vec::new();
        if let [(key, _)] = self.secrets()[..] {
            let what = format!("{key} alone is no credential");
            faults.push((key, what, "give both access_key_id and secret_access_key, or none"));
        }
        if self.external_id.is_some() && self.role_arn.is_none() {
            let what = "external_id is for a role".to_owned();
            faults.push(("external_id", what, "give role_arn, or remove this line"));
        }
        faults
    }
}

impl S3Config {
    /// All defaults, at `bucket/prefix`.
    pub(in crate::sink) fn at(place: &str) -> Result<Self, String> {
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let keys = MapDeserializer::new([("bucket", bucket), ("prefix", prefix)].into_iter());
        Self::deserialize(keys).map_err(|error: value::Error| error.to_string().replace('\n', ": "))
    }

    /// Whether the bucket is named in the path.
    pub(super) fn path_style(&self) -> bool {
        self.path_style.unwrap_or(self.endpoint_url.is_some())
    }

    /// The object's key in the bucket.
    pub(super) fn key(&self, key: &str) -> String {
        if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) }
    }

    /// The bucket and prefix, for people.
    pub(super) fn shown(&self) -> String {
        format!("s3://{}", [self.bucket.as_str(), &self.prefix].join("/").trim_end_matches('/'))
    }
}

fn bucket<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    // Access points have names of their own.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/');
    let arn = name.starts_with("arn:");
    if name.is_empty() || !name.chars().all(plain) || (!arn && name.contains(['/', ':'])) {
        return Err(D::Error::custom(
            "not the name of a bucket\nwrite the name alone, such as \"audit-archive\"",
        ));
    }
    Ok(name)
}

fn prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let prefix = String::deserialize(deserializer)?;
    let prefix = prefix.trim_end_matches('/').to_owned();
    let odd = |part: &str| part.is_empty() || part == "." || part == "..";
    let fault = if prefix.is_empty() {
        None
    } else if prefix.starts_with('/') || prefix.split('/').any(odd) {
        Some("prefix has an empty part, or one of dots only\nwrite it without a slash at its beginning")
    } else if prefix.len() > limits::S3_PREFIX_BYTES || prefix.contains(char::is_control) {
        Some(
            "prefix is too long, or has control characters\nwrite at most 200 bytes, such as \"openai/codex\"",
        )
    } else {
        None
    };
    fault.map_or(Ok(prefix), |fault| Err(D::Error::custom(fault)))
}

fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    const FORM: &str = "write an address such as \"https://s3.example.com\"";
    let text = String::deserialize(deserializer)?;
    let url: Url = text.parse().map_err(|_| D::Error::custom(format!("not a full address\n{FORM}")))?;
    if !(url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url))) {
        let what = "endpoint_url has to be https, unless it is an address of this machine";
        return Err(D::Error::custom(format!("{what}\n{FORM}")));
    }
    if url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err(D::Error::custom(format!(
            "endpoint_url has more than scheme, host, port and path\n{FORM}"
        )));
    }
    Ok(Some(url))
}

fn compression<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Packing, D::Error> {
    match Packing::deserialize(deserializer)? {
        Packing::None => {
            Err(D::Error::custom("objects in a bucket are always compressed\nwrite \"zstd\" or \"gzip\""))
        }
        packing => Ok(packing),
    }
}

fn tags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let tags: BTreeMap<String, String> = BTreeMap::deserialize(deserializer)?;
    if tags.len() > limits::S3_TAGS {
        return Err(D::Error::custom("an object has at most 10 tags\nremove some"));
    }
    Ok(tags)
}
