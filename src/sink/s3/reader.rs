//! Reading from a bucket: the same client, credentials and judgement of answers as for writing.
//!
//! A listing holds one page. A body streams; the store's checksum is compared by the SDK where it keeps
//! one. Needs `s3:ListBucket` on the bucket and `s3:GetObject` below the prefix, and for objects encrypted
//! with a key of their own `kms:Decrypt`.

use std::sync::Arc;

use aws_sdk_s3::error::ProvideErrorMetadata;
use futures_util::future::BoxFuture;
use tokio_util::io::SyncIoBridge;

use super::config::S3Config;
use super::error::{Trouble, judge};
use super::send;
use super::session::{Bucket, Session};
use crate::limits;
use crate::net::NetworkConfig;
use crate::sink::SinkError;
use crate::sink::reader::{ArchiveReader, Body, Found, Listed, Page, is_inside};

/// See the module.
#[derive(Debug)]
pub(super) struct S3Reader {
    bucket: Bucket,
}

impl S3Reader {
    pub(super) fn new(config: S3Config, network: NetworkConfig) -> Self {
        Self { bucket: Bucket::new(config, network) }
    }

    async fn page(&self, session: &Session, prefix: &str, after: Option<&str>) -> Result<Page, Trouble> {
        let config = &self.bucket.config;
        let request = session
            .client
            .list_objects_v2()
            .bucket(&config.bucket)
            .prefix(config.key(prefix))
            .set_start_after(after.map(|after| config.key(after)))
            .max_keys(i32::try_from(limits::ARCHIVE_PAGE).unwrap_or(i32::MAX))
            .set_expected_bucket_owner(config.expected_bucket_owner.clone());
        let found = request.send().await.map_err(|error| judge("list objects", config, &error))?;
        let own = config.key("");
        let objects = found.contents().iter().filter_map(|object| {
            let key = object.key()?.strip_prefix(&own)?.to_owned();
            let size = object.size().unwrap_or_default().try_into().unwrap_or_default();
            Some(Listed { key, size, etag: object.e_tag().map(str::to_owned) })
        });
        Ok(Page { objects: objects.collect(), more: found.is_truncated().unwrap_or_default() })
    }

    async fn body(&self, session: &Session, key: &str) -> Result<Body, Trouble> {
        let config = &self.bucket.config;
        let request = session
            .client
            .get_object()
            .bucket(&config.bucket)
            .key(config.key(key))
            .set_expected_bucket_owner(config.expected_bucket_owner.clone());
        let found = request.send().await.map_err(|error| match error.code() {
            // Judged below with its own words; 404 alone would be a missing bucket as well.
            Some("NoSuchKey") => Trouble::Missing,
            _ => judge("get an object", config, &error),
        })?;
        let size = found.content_length().unwrap_or_default().try_into().unwrap_or_default();
        Ok(Body { size, bytes: Box::new(SyncIoBridge::new(found.body.into_async_read())) })
    }

    /// Which of the two is missing, since neither looks the same to some requests.
    async fn nothing<T>(&self, session: &Session) -> Result<Option<T>, Trouble> {
        match send::head_bucket(&session.client, &self.bucket.config).await {
            Ok(_) => Ok(None),
            Err(Trouble::Missing) => Err(self.bucket.missing()),
            Err(trouble) => Err(trouble),
        }
    }

    /// What came of a request, or none to ask again.
    async fn settle<T>(
        &self,
        session: &Arc<Session>,
        result: Result<T, Trouble>,
    ) -> Result<Option<T>, SinkError> {
        match result {
            Ok(found) => {
                Bucket::prove(session);
                Ok(Some(found))
            }
            Err(trouble) => self.bucket.refused(session, trouble).await.map(|()| None),
        }
    }
}

impl ArchiveReader for S3Reader {
    fn place(&self) -> String {
        self.bucket.config.shown()
    }

    fn list<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Page, SinkError>> {
        Box::pin(async move {
            loop {
                let session = self.bucket.session().await?;
                let page = self.page(&session, prefix, after).await;
                if let Some(page) = self.settle(&session, page).await? {
                    return Ok(page);
                }
            }
        })
    }

    fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Found>, SinkError>> {
        Box::pin(async move {
            while is_inside(key) {
                let session = self.bucket.session().await?;
                let found = match send::head(&session.client, &self.bucket.config, key, true).await {
                    Ok(seen) => Ok(Some(seen.found)),
                    Err(Trouble::Missing) => self.nothing(&session).await,
                    Err(trouble) => Err(trouble),
                };
                if let Some(found) = self.settle(&session, found).await? {
                    return Ok(found);
                }
            }
            Ok(None)
        })
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Body>, SinkError>> {
        Box::pin(async move {
            while is_inside(key) {
                let session = self.bucket.session().await?;
                let found = match self.body(&session, key).await {
                    Ok(body) => Ok(Some(body)),
                    Err(Trouble::Missing) => self.nothing(&session).await,
                    Err(trouble) => Err(trouble),
                };
                if let Some(found) = self.settle(&session, found).await? {
                    return Ok(found);
                }
            }
            Ok(None)
        })
    }
}
