//! The requests.

use std::borrow::Cow;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ObjectLockEnabled, ObjectLockMode, ServerSideEncryption, StorageClass,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::form_urlencoded;

use super::config::{Checksum, LockMode, S3Config};
use super::error::{Trouble, judge};
use crate::digest::{hex, unhex32};
use crate::recovery::Recovery;
use crate::sink::reader::Found;
use crate::sink::{Object, SinkError};

const CONTENT_TYPE: &str = "application/x-ndjson";
/// Metadata: hash of the verbatim log file.
const SHA256: &str = "custodex-sha256";
/// Metadata: hash of the object itself, for stores that keep none.
const OBJECT_SHA256: &str = "custodex-object-sha256";
/// Metadata: the log file's id, percent-encoded.
const FILE_ID: &str = "custodex-file-id";
/// Metadata: how many records it has.
const RECORDS: &str = "custodex-records";
const DAY: u64 = 86_400;

/// What the store tells of an object.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) found: Found,
    pub(super) locked: bool,
}

/// Stores an object unless something lies under its key.
pub(super) async fn put(
    client: &Client,
    config: &S3Config,
    object: &Object,
    now: i64,
) -> Result<(), Trouble> {
    let body = ByteStream::from_path(&object.body).await.map_err(|error| {
        let message = format!("cannot read {}: {error}", object.body.display());
        Trouble::Other(SinkError::new(message, Recovery::Retry { after: None }))
    })?;
    let length = i64::try_from(object.length).unwrap_or(i64::MAX);
    let request = client
        .put_object()
        .bucket(&config.bucket)
        .key(config.key(&object.key))
        .if_none_match("*")
        .content_length(length)
        .content_type(CONTENT_TYPE)
        .metadata(SHA256, hex(&object.verbatim_sha256))
        .metadata(OBJECT_SHA256, hex(&object.sha256))
        .metadata(FILE_ID, utf8_percent_encode(&object.file_id, NON_ALPHANUMERIC).to_string())
        .metadata(RECORDS, object.records.to_string())
        .body(body);
    let request = kept(checked(request, config, object), config, object, now);
    request.send().await.map(drop).map_err(|error| judge("store an object", config, &error))
}

/// With what the store checks the body against.
fn checked(request: PutObjectFluentBuilder, config: &S3Config, object: &Object) -> PutObjectFluentBuilder {
    match config.checksum {
        // The value makes the SDK compute none; some stores lock only what also names the algorithm.
        Checksum::Sha256 => request
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(BASE64_STANDARD.encode(object.sha256)),
        Checksum::Crc32c => request.checksum_algorithm(ChecksumAlgorithm::Crc32C),
        Checksum::None => request,
    }
}

/// With how the store is to keep it.
fn kept(
    request: PutObjectFluentBuilder,
    config: &S3Config,
    object: &Object,
    now: i64,
) -> PutObjectFluentBuilder {
    let mut request = request
        .set_expected_bucket_owner(config.expected_bucket_owner.clone())
        .set_storage_class(config.storage_class.as_deref().map(StorageClass::from))
        .set_tagging(
            (!config.tags.is_empty())
                .then(|| form_urlencoded::Serializer::new(String::new()).extend_pairs(&config.tags).finish()),
        );
    if let Some(key) = &config.kms_key_id {
        request = request
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .ssekms_key_id(key)
            .bucket_key_enabled(true);
    }
    if let Some(lock) = config.object_lock.filter(|_| object.evidence) {
        let mode = match lock.mode {
            LockMode::Governance => ObjectLockMode::Governance,
            LockMode::Compliance => ObjectLockMode::Compliance,
        };
        let days = Duration::from_secs(u64::from(lock.days.get()) * DAY);
        let until = now.saturating_add(i64::try_from(days.as_secs()).unwrap_or(i64::MAX));
        request = request.object_lock_mode(mode).object_lock_retain_until_date(DateTime::from_secs(until));
    }
    request
}

/// What is known of the object under a key; with the store's checksum, for which a key may be needed.
pub(super) async fn head(
    client: &Client,
    config: &S3Config,
    key: &str,
    checksum: bool,
) -> Result<Seen, Trouble> {
    let request = client
        .head_object()
        .bucket(&config.bucket)
        .key(config.key(key))
        .set_checksum_mode(checksum.then_some(ChecksumMode::Enabled))
        .set_expected_bucket_owner(config.expected_bucket_owner.clone());
    let found = request.send().await.map_err(|error| judge("look at an object", config, &error))?;
    let told = |name| found.metadata().and_then(|metadata| metadata.get(name)).map(String::as_str);
    let file_id = told(FILE_ID).and_then(|text| percent_decode_str(text).decode_utf8().ok());
    let kept = found.checksum_sha256().and_then(|text| BASE64_STANDARD.decode(text).ok());
    Ok(Seen {
        locked: found.object_lock_mode().is_some(),
        found: Found {
            size: found.content_length().unwrap_or_default().try_into().unwrap_or_default(),
            etag: found.e_tag().map(str::to_owned),
            sha256: kept
                .and_then(|hash| hash.try_into().ok())
                .or_else(|| told(OBJECT_SHA256).and_then(unhex32)),
            verbatim_sha256: told(SHA256).and_then(unhex32),
            file_id: file_id.map(Cow::into_owned),
            records: told(RECORDS).and_then(|text| text.parse().ok()),
        },
    })
}

/// Looks at the bucket; answers the region the store names.
pub(super) async fn head_bucket(client: &Client, config: &S3Config) -> Result<Option<String>, Trouble> {
    let request = client
        .head_bucket()
        .bucket(&config.bucket)
        .set_expected_bucket_owner(config.expected_bucket_owner.clone());
    let found = request.send().await.map_err(|error| judge("look at the bucket", config, &error))?;
    Ok(found.bucket_region().map(str::to_owned))
}

/// Whether the bucket can lock objects.
pub(super) async fn can_lock(client: &Client, config: &S3Config) -> Result<bool, Trouble> {
    let request = client
        .get_object_lock_configuration()
        .bucket(&config.bucket)
        .set_expected_bucket_owner(config.expected_bucket_owner.clone());
    match request.send().await.map_err(|error| judge("look at the lock of the bucket", config, &error)) {
        Ok(found) => {
            let enabled = found.object_lock_configuration().and_then(|lock| lock.object_lock_enabled());
            Ok(enabled == Some(&ObjectLockEnabled::Enabled))
        }
        // No lock configuration is answered with 404.
        Err(Trouble::Missing) => Ok(false),
        Err(trouble) => Err(trouble),
    }
}
