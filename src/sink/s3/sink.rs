//! The archive: which request follows which answer.

use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;

use super::config::S3Config;
use super::error::Trouble;
use super::send;
use super::session::{Bucket, Session};
use crate::ground::Ground;
use crate::net::NetworkConfig;
use crate::recovery::Recovery;
use crate::sink::{Archive, Object, Put, SinkError};

/// See the module.
#[derive(Debug)]
pub(super) struct S3Archive {
    ground: Ground,
    bucket: Bucket,
}

impl S3Archive {
    pub(super) fn new(ground: Ground, config: S3Config, network: NetworkConfig) -> Self {
        Self { ground, bucket: Bucket::new(config, network) }
    }

    async fn store(&self, object: &Object) -> Result<Put, SinkError> {
        loop {
            let session = self.bucket.session().await?;
            match self.try_store(&session, object).await {
                Ok(put) => {
                    Bucket::prove(&session);
                    return Ok(put);
                }
                Err(trouble) => self.bucket.refused(&session, trouble).await?,
            }
        }
    }

    async fn try_store(&self, session: &Session, object: &Object) -> Result<Put, Trouble> {
        let put = send::put(&session.client, &self.bucket.config, object, self.ground.now()).await;
        match put {
            Ok(()) => {
                self.see_lock(session, object).await?;
                Ok(Put::Stored)
            }
            Err(Trouble::Exists) => {
                let found = send::head(&session.client, &self.bucket.config, &object.key, false).await?.found;
                self.compare(object, found.verbatim_sha256).map(|()| Put::AlreadyThere)
            }
            Err(Trouble::Missing) => Err(self.bucket.missing()),
            Err(trouble) => Err(trouble),
        }
    }

    /// What is there has to be made from the same log file.
    fn compare(&self, object: &Object, found: Option<[u8; 32]>) -> Result<(), Trouble> {
        if found == Some(object.verbatim_sha256) {
            return Ok(());
        }
        let what = if found.is_some() { "with other content" } else { "without our hash" };
        let message = format!("{} holds {} {what}", self.bucket.config.shown(), object.key);
        let hint =
            "find out who wrote it; keep it elsewhere as evidence, and remove it or change prefix".into();
        Err(Trouble::Other(SinkError::new(message, Recovery::Pause { hint })))
    }

    /// A store may take the order to lock, and do nothing: the first object of a session tells.
    async fn see_lock(&self, session: &Session, object: &Object) -> Result<(), Trouble> {
        let asked = self.bucket.config.object_lock.is_some() && object.evidence;
        if !asked || session.locks.load(Ordering::Relaxed) {
            return Ok(());
        }
        if send::head(&session.client, &self.bucket.config, &object.key, false).await?.locked {
            session.locks.store(true, Ordering::Relaxed);
            return Ok(());
        }
        let message = format!("{} took an object and shows no lock on it", self.bucket.config.shown());
        let hint =
            "let these credentials do s3:GetObjectRetention; if they can, the store does not lock".into();
        Err(Trouble::Other(SinkError::new(message, Recovery::Pause { hint })))
    }

    /// What a probe finds; writes nothing.
    pub(super) async fn look(&self) -> Result<String, SinkError> {
        let session = self.bucket.session().await?;
        let trouble = |trouble| match trouble {
            Trouble::Missing => self.bucket.missing().into_error(),
            trouble => trouble.into_error(),
        };
        let region = send::head_bucket(&session.client, &self.bucket.config).await.map_err(trouble)?;
        let region = region.map(|region| format!(" in {region}")).unwrap_or_default();
        let lock = if self.bucket.config.object_lock.is_none() {
            ""
        } else if send::can_lock(&session.client, &self.bucket.config).await.map_err(trouble)? {
            ", can lock objects"
        } else {
            let hint = "make a bucket with Object Lock, or remove object_lock".into();
            let message = format!("the bucket {:?} cannot lock objects", self.bucket.config.bucket);
            return Err(SinkError::new(message, Recovery::Pause { hint }));
        };
        Ok(format!("{} can be reached{region}{lock}", self.bucket.config.shown()))
    }
}

impl Archive for S3Archive {
    fn put<'a>(&'a self, object: &'a Object) -> BoxFuture<'a, Result<Put, SinkError>> {
        Box::pin(self.store(object))
    }
}
