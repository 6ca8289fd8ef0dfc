//! Keys of `directory`, and the look before delivery.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::reader::DirectoryReader;
use super::sink::DirectoryArchive;
use crate::archive::Packing;
use crate::ground::Ground;
use crate::net::NetworkConfig;
use crate::sink::local::{self, Access, Group, default_mode, mode, some_path};
use crate::sink::reader::ArchiveReader;
use crate::sink::{Archive, ArchiveConfig, SinkError};

/// The sink's own keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryConfig {
    /// Where the archive lies.
    #[serde(deserialize_with = "some_path")]
    pub(super) directory: PathBuf,
    /// Of every object.
    #[serde(default)]
    compression: Packing,
    /// Of every object.
    #[serde(default = "default_mode", deserialize_with = "mode")]
    mode: u32,
    /// Of every object and folder; the daemon's own when absent.
    #[serde(default)]
    group: Option<Group>,
}

impl ArchiveConfig for DirectoryConfig {
    fn packing(&self) -> Packing {
        self.compression
    }

    fn place(&self) -> String {
        let folder =
            std::fs::canonicalize(&self.directory).unwrap_or_else(|_| self.directory.components().collect());
        folder.display().to_string()
    }

    fn open(&self, ground: Ground, _: &NetworkConfig, writer: &str) -> Arc<dyn Archive> {
        Arc::new(DirectoryArchive::new(ground, self.clone(), writer))
    }

    fn reader(&self, ground: Ground, _: &NetworkConfig) -> Arc<dyn ArchiveReader> {
        Arc::new(DirectoryReader::new(ground, self.directory.clone()))
    }

    fn probe<'a>(
        &'a self,
        ground: &'a Ground,
        _: &'a NetworkConfig,
    ) -> BoxFuture<'a, Result<String, SinkError>> {
        Box::pin(async {
            self.access(ground)?;
            local::look(ground, &self.directory, self.mode)
        })
    }
}

impl DirectoryConfig {
    /// Who may read what is written.
    pub(super) fn access(&self, ground: &Ground) -> Result<Access, SinkError> {
        Access::find(ground, self.mode, self.group.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_design() {
        let config: DirectoryConfig = toml::from_str("directory = '/x'").unwrap();
        assert_eq!((config.compression, config.mode, config.group), (Packing::Zstd, 0o640, None));
        for wrong in
            ["directory = ''", "", "directory = '/x'\ncompression = 'lz4'", "directory = '/x'\nx = 1"]
        {
            assert!(toml::from_str::<DirectoryConfig>(wrong).is_err(), "{wrong}");
        }
    }
}
