//! Keys of `file`, and the look before delivery.

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, de};

use super::sink::FileSink;
use super::trouble::cannot;
use super::{ACTIVE, rotate::Packing};
use crate::ground::Ground;
use crate::recovery::Recovery;
use crate::sink::{Guarantee, Sink, SinkConfig, SinkError};
use crate::units::{Size, Span};

/// Where groups are looked up; services that answer for other sources of groups are not asked.
const GROUPS: &str = "/etc/group";
/// Mode of a folder the sink makes.
const FOLDER_MODE: u32 = 0o750;
/// Made and removed to see whether the folder is writable.
const PROBE: &str = ".custodex-probe";

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
}

/// A group of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Group {
    Id(u32),
    Name(String),
}

/// Who may read the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) mode: u32,
    pub(super) group: Option<u32>,
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
        let access = self.access(ground)?;
        self.make_folder(ground, access).map_err(cannot("use the folder", &self.directory))?;
        Ok(access)
    }

    fn make_folder(&self, ground: &Ground, access: Access) -> io::Result<()> {
        if ground.disk.length(&self.directory)?.is_some() {
            return Ok(());
        }
        ground.disk.create_folder(&self.directory, FOLDER_MODE)?;
        ground.disk.open(&self.directory)?.set_access(FOLDER_MODE, access.group)?;
        ground.disk.sync_folder(parent(&self.directory))
    }

    fn access(&self, ground: &Ground) -> Result<Access, SinkError> {
        let group = match &self.group {
            None => None,
            Some(Group::Id(id)) => Some(*id),
            Some(Group::Name(name)) => Some(group_id(ground, name)?),
        };
        Ok(Access { mode: self.mode, group })
    }

    fn look(&self, ground: &Ground) -> Result<String, SinkError> {
        self.access(ground)?;
        let missing = match ground.disk.list(&self.directory) {
            Ok(_) => false,
            Err(error) if error.kind() == ErrorKind::NotFound => true,
            Err(error) => return Err(cannot("read the folder", &self.directory)(error)),
        };
        let mut folder = self.directory.as_path();
        while ground.disk.length(folder).map_err(cannot("look at", folder))?.is_none() {
            folder = parent(folder);
        }
        let probe = folder.join(PROBE);
        ground.disk.create(&probe, self.mode).map_err(cannot("write to", folder))?;
        ground.disk.remove(&probe).map_err(cannot("write to", folder))?;
        let active = self.active();
        if ground.disk.length(&active).map_err(cannot("look at", &active))?.is_some() {
            ground.disk.open_or_create(&active, self.mode).map_err(cannot("open", &active))?;
        }
        let free = ground.disk.free(folder).map_err(cannot("look at", folder))?;
        let free = free.map(|free| format!(", {} free", Size(free))).unwrap_or_default();
        let state = if missing { "can be made" } else { "is writable" };
        Ok(format!("{} {state}{free}", self.directory.display()))
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

fn group_id(ground: &Ground, name: &str) -> Result<u32, SinkError> {
    let mut text = String::new();
    let path = Path::new(GROUPS);
    let read = ground.disk.open(path).and_then(|mut file| file.read_to_string(&mut text));
    read.map_err(cannot("read", path))?;
    find_group(&text, name).ok_or_else(|| {
        let hint = "make the group, or give its number as `group`".into();
        SinkError::new(format!("there is no group {name:?} in {GROUPS}"), Recovery::Pause { hint })
    })
}

fn find_group(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
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

fn default_mode() -> u32 {
    0o640
}

fn some_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    let empty = path.as_os_str().is_empty();
    if empty { Err(D::Error::custom("give a folder, such as \"/var/log/custodex\"")) } else { Ok(path) }
}

fn some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
    let size = Size::deserialize(deserializer)?;
    if size.0 == 0 { Err(D::Error::custom("must be more than 0, such as \"100MB\"")) } else { Ok(size) }
}

fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    if span.0.is_zero() { Err(D::Error::custom("must be more than 0, such as \"1h\"")) } else { Ok(span) }
}

fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = !text.is_empty() && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| digits && *mode <= 0o777);
    match mode {
        None => Err(D::Error::custom("not a file mode: write octal digits, such as \"0640\"")),
        Some(mode) if mode & 0o600 != 0o600 => {
            Err(D::Error::custom("the owner must be able to read and write, such as \"0640\""))
        }
        Some(mode) => Ok(mode),
    }
}

impl<'de> Deserialize<'de> for Group {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Group;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name or the number of a group")
            }

            fn visit_i64<E: de::Error>(self, id: i64) -> Result<Group, E> {
                let no_group = || E::invalid_value(de::Unexpected::Signed(id), &self);
                u32::try_from(id).map(Group::Id).map_err(|_| no_group())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Group, E> {
                if let Ok(id) = text.parse() {
                    return Ok(Group::Id(id));
                }
                let odd = |c: char| c == ':' || c.is_whitespace() || c.is_control();
                if text.is_empty() || text.contains(odd) {
                    return Err(E::invalid_value(de::Unexpected::Str(text), &self));
                }
                Ok(Group::Name(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Reader)
    }
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
        assert_eq!(find_group("root:x:0:\nadm:x:4:syslog,me\n", "adm"), Some(4));
        assert_eq!(find_group("root:x:0:\nadm:x:4:syslog,me\n", "ad"), None);
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
