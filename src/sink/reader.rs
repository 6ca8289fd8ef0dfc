//! The reading side of archives: list, look at, fetch.
//!
//! Owns the trait that each type of archive implements beside its writer, and what a command means by
//! ARCHIVE. A reader changes nothing, holds one page or one window at a time, and trusts nothing: whoever
//! reads compares hashes. Keys may come from a manifest that somebody forged, so one that leads out of the
//! archive names nothing.

use std::fmt::Debug;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::directory::DirectoryReader;
#[cfg(feature = "s3")]
use super::s3::S3Config;
use super::{Keys, SinkError};
use crate::archive::verify;
use crate::ground::Ground;
use crate::net::NetworkConfig;
use crate::recovery::Recovery;

/// Objects of an archive, in the byte order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most [`crate::limits::ARCHIVE_PAGE`].
    pub objects: Vec<Listed>,
    /// Whether there are others behind the last of these.
    pub more: bool,
}

/// An object as a listing tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Relative to the archive's own prefix.
    pub key: String,
    /// Bytes as stored.
    pub size: u64,
    /// The store's own word for this content.
    pub etag: Option<String>,
}

/// What is known of one object without reading it. A store may tell less, and may tell lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Bytes as stored.
    pub size: u64,
    /// The store's own word for this content.
    pub etag: Option<String>,
    /// Of the stored bytes, as the store keeps it.
    pub sha256: Option<[u8; 32]>,
    /// Of the verbatim log file, as whoever put it said.
    pub verbatim_sha256: Option<[u8; 32]>,
    /// The log file's id upstream, likewise.
    pub file_id: Option<String>,
    /// Its records, likewise.
    pub records: Option<u64>,
}

/// The bytes of an object.
pub struct Body {
    /// How many the store promises.
    pub size: u64,
    /// The bytes as stored. Reading blocks, so it belongs on a thread that may.
    pub bytes: Box<dyn Read + Send>,
}

/// An archive to read from.
pub trait ArchiveReader: Send + Sync + Debug {
    /// Its place, for people.
    fn place(&self) -> String;
    /// The next objects whose keys begin with `prefix` and come after `after`.
    fn list<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Page, SinkError>>;
    /// What is known of an object; none when nothing lies there.
    fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Found>, SinkError>>;
    /// An object's bytes; none when nothing lies there.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Body>, SinkError>>;
}

/// Opens what ARCHIVE means on a command line: the name of an archive sink, `s3://bucket/prefix`, a folder.
pub fn open<'a>(
    archive: &str,
    sinks: impl IntoIterator<Item = (&'a str, &'a Keys)>,
    ground: Ground,
    network: &NetworkConfig,
) -> Result<Arc<dyn ArchiveReader>, SinkError> {
    let wrong = |what: String, hint: &str| SinkError::new(what, Recovery::Pause { hint: hint.into() });
    match sinks.into_iter().find(|(name, _)| *name == archive) {
        Some((_, Keys::Files(config))) => return Ok(config.reader(ground, network)),
        Some((name, Keys::Records(_))) => {
            return Err(wrong(
                format!("the sink {name:?} keeps no log files"),
                "name a sink of type s3 or directory",
            ));
        }
        None => {}
    }
    match archive.split_once("://") {
        #[cfg(feature = "s3")]
        Some(("s3", place)) => {
            let config = S3Config::at(place).map_err(|what| wrong(what, "write s3://bucket/prefix"))?;
            Ok(super::ArchiveConfig::reader(&config, ground, network))
        }
        Some((scheme, _)) => Err(wrong(
            format!("this program reads no archives at {scheme}://"),
            "name an archive sink, s3://bucket/prefix or a folder",
        )),
        None if ground.disk.length(Path::new(archive)).is_ok_and(|found| found.is_some()) => {
            Ok(Arc::new(DirectoryReader::new(ground, archive.into())))
        }
        None => Err(wrong(
            format!("there is neither an archive sink nor a folder {archive:?}"),
            "name an archive sink of the configuration, s3://bucket/prefix or a folder",
        )),
    }
}

/// An archive, as who verifies it wants to see it.
pub struct Reading(pub Arc<dyn ArchiveReader>);

impl verify::Source for Reading {
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> BoxFuture<'a, Result<verify::Page, String>> {
        Box::pin(async move {
            let page = self.0.list(prefix, after).await.map_err(|error| told(&error))?;
            Ok((page.objects.into_iter().map(|one| (one.key, one.size)).collect(), page.more))
        })
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<verify::Bytes>, String>> {
        Box::pin(async move {
            let body = self.0.get(key).await.map_err(|error| told(&error))?;
            Ok(body.map(|body| body.bytes))
        })
    }
}

/// An error with its next step.
pub fn told(error: &SinkError) -> String {
    match &error.recovery {
        Recovery::Pause { hint } => format!("{error}; {hint}"),
        _ => error.to_string(),
    }
}

/// Whether a key stays within the archive, and names what an archive shows.
pub(super) fn is_inside(key: &str) -> bool {
    !key.contains('\0') && key.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::TYPES;
    use toml::de::ValueDeserializer;

    #[test]
    fn an_archive_is_named_in_three_ways() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let keys = |name: &str, text: &str| {
            let line = TYPES.iter().find(|line| line.name == name).unwrap();
            (line.read)(ValueDeserializer::parse(text).unwrap()).unwrap()
        };
        let sinks = [("kept", keys("directory", "{ directory = '/kept' }")), ("out", keys("stdout", "{}"))];
        let place = |archive: &str| {
            let sinks = sinks.iter().map(|(name, keys)| (*name, keys));
            let opened = open(archive, sinks, Ground::real(), &NetworkConfig::default());
            opened.map(|reader| reader.place()).map_err(|error| error.message)
        };
        assert_eq!(place("kept"), Ok("/kept".into()));
        assert_eq!(place(path), Ok(path.into()));
        assert!(place("out").unwrap_err().contains("keeps no log files"));
        assert!(place("ftp://x/y").unwrap_err().contains("ftp://"));
        assert!(place("/nowhere/at/all").unwrap_err().contains("neither"));
        if cfg!(feature = "s3") {
            assert_eq!(place("s3://bucket/a/b/"), Ok("s3://bucket/a/b".into()));
            assert_eq!(place("s3://bucket"), Ok("s3://bucket".into()));
            assert!(place("s3://bucket/../x").unwrap_err().contains("prefix"));
            assert!(place("s3:///x").unwrap_err().contains("bucket"));
        }
    }

    #[test]
    fn a_key_that_leads_out_names_nothing() {
        for (key, inside) in [
            ("raw/v1/x.jsonl", true),
            ("x", true),
            ("../x", false),
            ("a/../../x", false),
            ("/etc/passwd", false),
            ("a//b", false),
            ("a/.b.tmp", false),
            ("", false),
            ("a\0b", false),
        ] {
            assert_eq!(is_inside(key), inside, "{key:?}");
        }
    }
}
