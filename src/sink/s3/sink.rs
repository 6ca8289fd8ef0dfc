//! The archive: which request follows which answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::Client;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tracing::debug;

use super::config::S3Config;
use super::error::Trouble;
use super::{client, send};
use crate::digest::hex;
use crate::ground::Ground;
use crate::net::NetworkConfig;
use crate::recovery::Recovery;
use crate::sink::{Archive, Object, Put, SinkError};

/// See the module.
#[derive(Debug)]
pub(super) struct S3Archive {
    ground: Ground,
    config: S3Config,
    network: NetworkConfig,
    session: Mutex<Option<Arc<Session>>>,
}

/// A client, with what is known of what it can do.
#[derive(Debug)]
struct Session {
    client: Client,
    /// Its credentials were taken before.
    proven: AtomicBool,
    /// An object it put was found to be locked.
    locks: AtomicBool,
}

impl S3Archive {
    pub(super) fn new(ground: Ground, config: S3Config, network: NetworkConfig) -> Self {
        Self { ground, config, network, session: Mutex::new(None) }
    }

    async fn session(&self) -> Result<Arc<Session>, SinkError> {
        let mut held = self.session.lock().await;
        if let Some(session) = &*held {
            return Ok(session.clone());
        }
        let client = client::connect(&self.config, &self.network).await?;
        let session = Session { client, proven: AtomicBool::new(false), locks: AtomicBool::new(false) };
        Ok(held.insert(Arc::new(session)).clone())
    }

    /// The next request reads everything anew.
    async fn forget(&self, session: &Arc<Session>) {
        let mut held = self.session.lock().await;
        if held.as_ref().is_some_and(|current| Arc::ptr_eq(current, session)) {
            *held = None;
        }
    }

    async fn store(&self, object: &Object) -> Result<Put, SinkError> {
        loop {
            let session = self.session().await?;
            match self.try_store(&session, object).await {
                Ok(put) => {
                    session.proven.store(true, Ordering::Relaxed);
                    return Ok(put);
                }
                Err(Trouble::Denied(error)) => {
                    self.forget(&session).await;
                    if !session.proven.load(Ordering::Relaxed) {
                        return Err(error);
                    }
                    debug!(%error, "what was taken before is refused, it is read again");
                }
                Err(trouble) => return Err(trouble.into_error()),
            }
        }
    }

    async fn try_store(&self, session: &Session, object: &Object) -> Result<Put, Trouble> {
        let put = send::put(&session.client, &self.config, object, self.ground.now()).await;
        match put {
            Ok(()) => {
                self.see_lock(session, object).await?;
                Ok(Put::Stored)
            }
            Err(Trouble::Exists) => {
                let found = send::head(&session.client, &self.config, &object.key).await?;
                self.compare(object, found.sha256.as_deref()).map(|()| Put::AlreadyThere)
            }
            Err(Trouble::Missing) => Err(self.no_bucket()),
            Err(trouble) => Err(trouble),
        }
    }

    /// What is there has to be made from the same log file.
    fn compare(&self, object: &Object, found: Option<&str>) -> Result<(), Trouble> {
        let ours = hex(&object.verbatim_sha256);
        if found == Some(ours.as_str()) {
            return Ok(());
        }
        let what = if found.is_some() { "with other content" } else { "without our hash" };
        let message = format!("{} holds {} {what}", self.config.shown(), object.key);
        let hint =
            "find out who wrote it; keep it elsewhere as evidence, and remove it or change prefix".into();
        Err(Trouble::Other(SinkError::new(message, Recovery::Pause { hint })))
    }

    /// A store may take the order to lock, and do nothing: the first object of a session tells.
    async fn see_lock(&self, session: &Session, object: &Object) -> Result<(), Trouble> {
        if self.config.object_lock.is_none() || session.locks.load(Ordering::Relaxed) {
            return Ok(());
        }
        if send::head(&session.client, &self.config, &object.key).await?.locked {
            session.locks.store(true, Ordering::Relaxed);
            return Ok(());
        }
        let message = format!("{} took an object and shows no lock on it", self.config.shown());
        let hint =
            "let these credentials do s3:GetObjectRetention; if they can, the store does not lock".into();
        Err(Trouble::Other(SinkError::new(message, Recovery::Pause { hint })))
    }

    fn no_bucket(&self) -> Trouble {
        let hint = format!("make the bucket {:?}, or mend its name", self.config.bucket);
        let message = format!("there is no bucket {:?}", self.config.bucket);
        Trouble::Other(SinkError::new(message, Recovery::Pause { hint }))
    }

    /// What a probe finds; writes nothing.
    pub(super) async fn look(&self) -> Result<String, SinkError> {
        let session = self.session().await?;
        let trouble = |trouble| match trouble {
            Trouble::Missing => self.no_bucket().into_error(),
            trouble => trouble.into_error(),
        };
        let region = send::head_bucket(&session.client, &self.config).await.map_err(trouble)?;
        let region = region.map(|region| format!(" in {region}")).unwrap_or_default();
        let lock = if self.config.object_lock.is_none() {
            ""
        } else if send::can_lock(&session.client, &self.config).await.map_err(trouble)? {
            ", can lock objects"
        } else {
            let hint = "make a bucket with Object Lock, or remove object_lock".into();
            let message = format!("the bucket {:?} cannot lock objects", self.config.bucket);
            return Err(SinkError::new(message, Recovery::Pause { hint }));
        };
        Ok(format!("{} can be reached{region}{lock}", self.config.shown()))
    }
}

impl Archive for S3Archive {
    fn put<'a>(&'a self, object: &'a Object) -> BoxFuture<'a, Result<Put, SinkError>> {
        Box::pin(self.store(object))
    }
}
