//! The client.
use super::{ApiError, ErrorKind, Page};
use crate::disk::DiskFile;

/// What the listing promised.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Bytes.
    pub size: Option<u64>,
    /// Hash.
    pub sha256: Option<[u8; 32]>,
}

/// What was stored.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// Bytes.
    pub size: u64,
    /// Hash.
    pub sha256: [u8; 32],
}

/// The API of one principal.
#[derive(Debug)]
pub struct Client;

/// An open download.
pub struct Download;

impl Client {
    /// One page.
    pub async fn list(&self, _e: &str, _a: &str, _b: Option<&str>, _l: u32) -> Result<Page, ApiError> {
        Err(ApiError::new(ErrorKind::Network, ""))
    }
    /// Opens.
    pub async fn open(&self, _id: &str) -> Result<Download, ApiError> {
        Err(ApiError::new(ErrorKind::Network, ""))
    }
}
impl Download {
    /// Stores.
    pub async fn store(
        self,
        _d: Box<dyn DiskFile>,
        _e: Expected,
        _c: u64,
    ) -> Result<(Stored, Box<dyn DiskFile>), ApiError> {
        Err(ApiError::new(ErrorKind::Network, ""))
    }
}
