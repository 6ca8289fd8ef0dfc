//! Keys of `file`, and the look before delivery.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::sink::FileSink;
use super::trouble::cannot;
use super::{ACTIVE, rotate::Packing};
use crate::ground::Ground;
use crate::sink::local::{self, Access, FOLDER_MODE, Group, default_mode, mode, parent, some_path};
use crate::sink::{Guarantee, Sink, SinkConfig, SinkError};
use crate::units::{Size, Span};

/// The sink's own keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// Where the files lie.
    #[serde(deserialize_with = "some_path")]
    pub(super) directory: PathBuf,
    /// The active file is rotated at this size.
    #[serde(default = "default_rotate_bytes", deserialize_with = "some_bytes")]
    pub(super) rotate_bytes: Size,
    /// The active file is rotated at this age.
    #[serde(default = "default_rotate_interval", deserialize_with = "some_time")]
    pub(super) rotate_interval: Span,
    /// Of rotated files.
    #[serde(default)]
    pub(super) compression: Packing,
    /// Rotated files go after this time.
    #[serde(default = "default_keep_for", deserialize_with = "some_time")]
    pub(super) keep_for: Span,
    /// The oldest rotated files go when all of them take more.
    #[serde(default = "default_keep_bytes", deserialize_with = "some_bytes")]
    pub(super) keep_bytes: Size,
    /// Of every file.
    #[serde(default = "default_mode", deserialize_with = "mode")]
    mode: u32,
    /// Of every file; the daemon's own when absent.
    #[serde(default)]
    group: Option<Group>,
    /// For records that are delivered again.
    #[serde(default)]
    replay: Option<ReplayKeys>,
}

/// Where a replay goes instead.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayKeys {
    /// Each replay has a folder of its own in this one.
    #[serde(deserialize_with = "some_path")]
    directory: PathBuf,
}

impl SinkConfig for FileConfig {
    fn guarantee(&self) -> Guarantee {
        Guarantee::Durable
    }

    fn exclusive(&self) -> Option<String> {
        let folder =
            std::fs::canonicalize(&self.directory).unwrap_or_else(|_| self.directory.components().collect());
        Some(format!("the folder {}", folder.display()))
    }

    fn open(&self, ground: Ground, memory: Option<Vec<u8>>, fingerprint: String) -> Box<dyn Sink> {
        Box::new(FileSink::new(ground, Arc::new(self.clone()), memory, fingerprint))
    }

    /// A folder of its own, so that no other replay and no daemon writes there; nothing is removed from it,
    /// since somebody asked for it.
    fn replaying(&self, id: &str) -> Option<Box<dyn SinkConfig>> {
        let directory = self.replay.as_ref()?.directory.join(id);
        let (keep_for, keep_bytes) = (Span(Duration::MAX), Size(u64::MAX));
        Some(Box::new(Self { directory, keep_for, keep_bytes, replay: None, ..self.clone() }))
    }

    fn replay_fault(&self) -> Option<(&'static str, &'static str)> {
        let inside = self.replay.as_ref()?.directory.starts_with(&self.directory);
        inside.then_some((
            "replays would lie among the live records",
            "name another folder as `directory`, one that no agent reads as live",
        ))
    }

    fn probe<'a>(&'a self, ground: &'a Ground) -> BoxFuture<'a, Result<String, SinkError>> {
        Box::pin(async { self.look(ground) })
    }
}

impl FileConfig {
    /// The active file.
    pub(super) fn active(&self) -> PathBuf {
        self.directory.join(ACTIVE)
    }

    /// Makes the folder when it is missing; answers who may read what is written there.
    pub(super) fn prepare(&self, ground: &Ground) -> Result<Access, SinkError> {
        let access = Access::find(ground, self.mode, self.group.as_ref())?;
        make_folder(ground, &self.directory, access).map_err(cannot("use the folder", &self.directory))?;
        Ok(access)
    }

    fn look(&self, ground: &Ground) -> Result<String, SinkError> {
        Access::find(ground, self.mode, self.group.as_ref())?;
        let found = local::look(ground, &self.directory, self.mode)?;
        let active = self.active();
        if ground.disk.length(&active).map_err(cannot("look at", &active))?.is_some() {
            ground.disk.open_or_create(&active, self.mode).map_err(cannot("open", &active))?;
        }
        Ok(found)
    }
}

/// Makes a folder and those it lies in, as far as they are missing: who may read the files can get to them.
fn make_folder(ground: &Ground, folder: &Path, access: Access) -> io::Result<()> {
    if ground.disk.length(folder)?.is_some() {
        return Ok(());
    }
    let above = parent(folder);
    if above != folder {
        make_folder(ground, above, access)?;
    }
    ground.disk.create_folder(folder, FOLDER_MODE)?;
    ground.disk.open(folder)?.set_access(FOLDER_MODE, access.group)?;
    ground.disk.sync_folder(above)
}

fn default_rotate_bytes() -> Size {
    Size(100_000_000)
}

fn default_rotate_interval() -> Span {
    Span(Duration::from_hours(1))
}

fn default_keep_for() -> Span {
    Span(Duration::from_hours(7 * 24))
}

fn default_keep_bytes() -> Size {
    Size(10_000_000_000)
}

fn some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
    let size = Size::deserialize(deserializer)?;
    if size.0 == 0 { Err(D::Error::custom("must be more than 0, such as \"100MB\"")) } else { Ok(size) }
}

fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    if span.0.is_zero() { Err(D::Error::custom("must be more than 0, such as \"1h\"")) } else { Ok(span) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FileConfig, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_design() {
        let config = read("directory = '/x'").unwrap();
        assert_eq!(
            (config.rotate_bytes, config.keep_bytes),
            ("100MB".parse().unwrap(), "10GB".parse().unwrap())
        );
        assert_eq!((config.rotate_interval, config.keep_for), ("1h".parse().unwrap(), "7d".parse().unwrap()));
        assert_eq!((config.mode, config.group, config.compression), (0o640, None, Packing::None));
    }

    #[test]
    fn wrong_values_are_named_where_they_stand() {
        for (line, says) in [
            ("mode = 'abc'", "not a file mode"),
            ("mode = '+640'", "not a file mode"),
            ("mode = '1777'", "not a file mode"),
            ("mode = '0440'", "the owner must be able to read and write"),
            ("rotate_bytes = '0B'", "must be more than 0"),
            ("rotate_interval = '0s'", "must be more than 0"),
            ("compression = 'lz4'", "unknown variant `lz4`"),
            ("group = ''", "the name or the number of a group"),
            ("group = -1", "the name or the number of a group"),
            ("rotate = '1h'", "unknown field `rotate`"),
        ] {
            let error = read(&format!("directory = '/x'\n{line}\n")).unwrap_err();
            assert!(error.contains(says) && error.contains("line 2"), "{line}: {error}");
        }
        assert!(read("directory = ''").unwrap_err().contains("give a folder"));
        assert!(read("").unwrap_err().contains("missing field `directory`"));
    }

    #[test]
    fn groups_have_names_or_numbers() {
        assert_eq!(read("directory = '/x'\ngroup = 'adm'").unwrap().group, Some(Group::Name("adm".into())));
        assert_eq!(read("directory = '/x'\ngroup = '4'").unwrap().group, Some(Group::Id(4)));
        assert_eq!(read("directory = '/x'\ngroup = 4").unwrap().group, Some(Group::Id(4)));
    }

    #[test]
    fn each_replay_has_a_folder_that_nobody_else_writes_to() {
        let config = |replay: &str| read(&format!("directory = '/x'\nkeep_for = '1d'\n{replay}")).unwrap();
        assert!(config("").replaying("a").is_none() && config("").replay_fault().is_none());
        let named = config("replay = { directory = '/y' }");
        let place = |id| named.replaying(id).and_then(|config| config.exclusive());
        assert_eq!(place("a").as_deref(), Some("the folder /y/a"));
        assert_ne!(place("a"), place("b"));
        assert!(named.replay_fault().is_none());
        for live in ["/x", "/x/", "/x/replay"] {
            assert!(
                config(&format!("replay = {{ directory = '{live}' }}")).replay_fault().is_some(),
                "{live}"
            );
        }
        assert!(read("directory = '/x'\nreplay = {}").unwrap_err().contains("missing field `directory`"));
    }

    #[tokio::test]
    async fn a_probe_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let ground = Ground::real();
        let config = |name: &str| read(&format!("directory = '{}/{name}'", folder.path().display())).unwrap();
        let found = config("a/b").probe(&ground).await.unwrap();
        assert!(found.contains("a/b can be made, ") && found.ends_with(" free"), "{found}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(config(".").probe(&ground).await.unwrap().contains("is writable"));
        std::fs::write(folder.path().join("taken"), "").unwrap();
        assert!(config("taken").probe(&ground).await.is_err());
        let mut unknown = config(".");
        unknown.group = Some(Group::Name("no-such-group".into()));
        let error = unknown.probe(&ground).await.unwrap_err();
        assert!(error.message.contains("no-such-group"), "{error}");
    }
}
