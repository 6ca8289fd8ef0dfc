//! From a body to a file: decoded, counted, hashed, checked.
//!
//! Decoding, hashing and writing happen on one blocking task behind a short queue, so that a slow disk
//! slows the network and not the other way round. Never keeps a file that differs from its listing.

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{ApiError, ErrorKind};
use crate::digest::Sha256;
use crate::disk::DiskFile;
use crate::limits;
use crate::net::NetError;

/// What the listing promised.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Bytes.
    pub size: Option<u64>,
    /// Hash.
    pub sha256: Option<[u8; 32]>,
}

/// What was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Bytes.
    pub size: u64,
    /// Hash.
    pub sha256: [u8; 32],
}

/// How a body travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Why nothing was stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("the download broke off: {0}")]
    Network(#[from] NetError),
    #[error("the download came too slowly")]
    Slow,
    #[error("{0}")]
    Mismatch(String),
    #[error("the spool cannot be written: {0}")]
    Disk(io::Error),
}

impl From<Failed> for ApiError {
    fn from(failed: Failed) -> Self {
        let kind = match failed {
            Failed::Network(_) | Failed::Slow => ErrorKind::Network,
            Failed::Mismatch(_) => ErrorKind::Mismatch,
            Failed::Disk(_) => ErrorKind::Disk,
        };
        Self::new(kind, failed.to_string())
    }
}

/// Stores a body in `file`.
pub(super) async fn store(
    mut body: BoxStream<'static, Result<Bytes, NetError>>,
    encoding: Encoding,
    file: Box<dyn DiskFile>,
    expected: Expected,
    most: u64,
) -> Result<(Stored, Box<dyn DiskFile>), Failed> {
    let (chunks, queue) = mpsc::channel(limits::CHUNKS_IN_FLIGHT);
    let most = expected.size.filter(|_| encoding == Encoding::Identity).unwrap_or(most).min(most);
    let writing = tokio::task::spawn_blocking(move || write(queue, encoding, file, most));
    let pump = async {
        let (began, mut bytes) = (Instant::now(), 0);
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            bytes += chunk.len() as u64;
            let late = began.elapsed().saturating_sub(Duration::from_secs(60)).as_secs();
            if bytes < late * limits::SLOWEST_DOWNLOAD {
                return Err(Failed::Slow);
            }
            if chunks.send(chunk).await.is_err() {
                // The writer has a reason of its own to stop.
                break;
            }
        }
        Ok(())
    };
    let pumped: Result<(), Failed> = pump.await;
    drop(chunks);
    let written = writing.await.map_err(|error| Failed::Disk(io::Error::other(error)))?;
    pumped?;
    let (stored, file) = written?;
    check(stored, expected)?;
    Ok((stored, file))
}

fn check(stored: Stored, expected: Expected) -> Result<(), Failed> {
    if let Some(size) = expected.size.filter(|size| *size != stored.size) {
        return Err(Failed::Mismatch(format!("{} bytes came, {size} were listed", stored.size)));
    }
    if expected.sha256.is_some_and(|hash| hash != stored.sha256) {
        return Err(Failed::Mismatch("the sha256 of what came is not the listed one".to_owned()));
    }
    Ok(())
}

/// Hashes and counts what passes.
struct Writer<W> {
    inner: W,
    hash: Sha256,
    size: u64,
    most: u64,
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size + bytes.len() as u64 > self.most {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, TooLong));
        }
        self.inner.write_all(bytes)?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("more bytes came than the listing or the limit allows")]
struct TooLong;

enum Decoder<W: Write> {
    Identity(Writer<W>),
    Gzip(Box<MultiGzDecoder<Writer<W>>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Writer<W>>>),
}

impl<W: Write> Decoder<W> {
    fn new(encoding: Encoding, inner: W, most: u64) -> io::Result<Self> {
        let writer = Writer { inner, hash: Sha256::new(), size: 0, most };
        Ok(match encoding {
            Encoding::Identity => Self::Identity(writer),
            Encoding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(writer))),
            Encoding::Zstd => {
                let mut decoder = zstd::stream::write::Decoder::new(writer)?;
                decoder.window_log_max(limits::ZSTD_WINDOW_LOG)?;
                Self::Zstd(Box::new(decoder))
            }
        })
    }

    fn take(&mut self, chunk: &[u8]) -> io::Result<()> {
        match self {
            Self::Identity(writer) => writer.write_all(chunk),
            Self::Gzip(decoder) => decoder.write_all(chunk),
            Self::Zstd(decoder) => decoder.write_all(chunk),
        }
    }

    fn finish(self) -> io::Result<(Stored, W)> {
        let writer = match self {
            Self::Identity(writer) => writer,
            Self::Gzip(decoder) => decoder.finish()?,
            Self::Zstd(mut decoder) => {
                decoder.flush()?;
                decoder.into_inner()
            }
        };
        Ok((Stored { size: writer.size, sha256: writer.hash.finish() }, writer.inner))
    }
}

fn write(
    mut queue: mpsc::Receiver<Bytes>,
    encoding: Encoding,
    file: Box<dyn DiskFile>,
    most: u64,
) -> Result<(Stored, Box<dyn DiskFile>), Failed> {
    let mut decoder = Decoder::new(encoding, file, most).map_err(Failed::Disk)?;
    while let Some(chunk) = queue.blocking_recv() {
        decoder.take(&chunk).map_err(failed)?;
    }
    decoder.finish().map_err(failed)
}

/// Bytes that are too many or cannot be decoded are the other side's fault, the rest is the disk's.
fn failed(error: io::Error) -> Failed {
    match error.kind() {
        io::ErrorKind::FileTooLarge
            if error.get_ref().is_some_and(
                <dyn std::error::Error + std::marker::Send + std::marker::Sync + 'static>::is::<TooLong>,
            ) =>
        {
            Failed::Mismatch(TooLong.to_string())
        }
        _ if error.raw_os_error().is_some() => Failed::Disk(error),
        _ => Failed::Mismatch(format!("the body cannot be decoded: {error}")),
    }
}

/// A short body that is held; `None` when it is longer than `most` or cannot be decoded.
pub(super) fn decode(body: &[u8], encoding: Encoding, most: usize) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new(encoding, Vec::new(), most as u64).ok()?;
    decoder.take(body).ok()?;
    decoder.finish().ok().map(|(_, bytes)| bytes)
}
