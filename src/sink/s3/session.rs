//! The session with a store: one client for as long as its credentials are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::Client;
use tokio::sync::Mutex;
use tracing::debug;

use super::client;
use super::config::S3Config;
use super::error::Trouble;
use crate::net::NetworkConfig;
use crate::recovery::Recovery;
use crate::sink::SinkError;

/// A client, with what is known of what it can do.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    /// Its credentials were taken before.
    proven: AtomicBool,
    /// An object it put was found to be locked.
    pub(super) locks: AtomicBool,
}

/// A bucket, and the session with it while there is one.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) config: S3Config,
    network: NetworkConfig,
    held: Mutex<Option<Arc<Session>>>,
}

impl Bucket {
    pub(super) fn new(config: S3Config, network: NetworkConfig) -> Self {
        Self { config, network, held: Mutex::new(None) }
    }

    pub(super) async fn session(&self) -> Result<Arc<Session>, SinkError> {
        let mut held = self.held.lock().await;
        if let Some(session) = &*held {
            return Ok(session.clone());
        }
        let client = client::connect(&self.config, &self.network).await?;
        let session = Session { client, proven: AtomicBool::new(false), locks: AtomicBool::new(false) };
        Ok(held.insert(Arc::new(session)).clone())
    }

    /// Its credentials work.
    pub(super) fn prove(session: &Session) {
        session.proven.store(true, Ordering::Relaxed);
    }

    /// Judges what a session answered with: `Ok` to ask again, with everything read anew.
    pub(super) async fn refused(&self, session: &Arc<Session>, trouble: Trouble) -> Result<(), SinkError> {
        let Trouble::Denied(error) = trouble else { return Err(trouble.into_error()) };
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|current| Arc::ptr_eq(current, session)) {
            *held = None;
        }
        if !session.proven.load(Ordering::Relaxed) {
            return Err(error);
        }
        debug!(%error, "what was taken before is refused, it is read again");
        Ok(())
    }

    pub(super) fn missing(&self) -> Trouble {
        let hint = format!("make the bucket {:?}, or mend its name", self.config.bucket);
        let message = format!("there is no bucket {:?}", self.config.bucket);
        Trouble::Other(SinkError::new(message, Recovery::Pause { hint }))
    }
}
