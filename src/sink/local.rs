//! What the sinks that write into a folder share: who may read, what an error means, the look beforehand.
//!
//! Never writes anything that stays.

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, de};

use crate::ground::Ground;
use crate::recovery::Recovery;
use crate::sink::SinkError;
use crate::units::Size;

/// Where groups are looked up; services that answer for other sources of groups are not asked.
const GROUPS: &str = "/etc/group";
/// Mode of a folder that a sink makes.
pub(super) const FOLDER_MODE: u32 = 0o750;
/// Made and removed to see whether the folder is writable.
const PROBE: &str = ".custodex-probe";

/// A group of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Id(u32),
    Name(String),
}

/// Who may read the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) mode: u32,
    pub(super) group: Option<u32>,
}

impl Access {
    /// Looks the group up.
    pub(super) fn find(ground: &Ground, mode: u32, group: Option<&Group>) -> Result<Self, SinkError> {
        let group = match group {
            None => None,
            Some(Group::Id(id)) => Some(*id),
            Some(Group::Name(name)) => Some(group_id(ground, name)?),
        };
        Ok(Self { mode, group })
    }
}

/// Whether files of this mode can be made in the folder, or in the one in which it will be made; answers
/// what was found.
pub(super) fn look(ground: &Ground, directory: &Path, mode: u32) -> Result<String, SinkError> {
    let cannot = |what, path| cannot(what, path, "");
    let missing = match ground.disk.list(directory) {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(cannot("read the folder", directory)(error)),
    };
    let mut folder = directory;
    while ground.disk.length(folder).map_err(cannot("look at", folder))?.is_none() {
        folder = parent(folder);
    }
    let probe = folder.join(PROBE);
    ground.disk.create(&probe, mode).map_err(cannot("write to", folder))?;
    ground.disk.remove(&probe).map_err(cannot("write to", folder))?;
    let free = ground.disk.free(folder).map_err(cannot("look at", folder))?;
    let free = free.map(|free| format!(", {} free", Size(free))).unwrap_or_default();
    let state = if missing { "can be made" } else { "is writable" };
    Ok(format!("{} {state}{free}", directory.display()))
}

/// Says what could not be done, where, and what comes next; `room` is what else helps against a full disk.
pub(super) fn cannot(what: &str, path: &Path, room: &'static str) -> impl Fn(io::Error) -> SinkError {
    move |error| {
        let recovery = match hint(error.kind(), path, room) {
            Some(hint) => Recovery::Pause { hint },
            None => Recovery::Retry { after: None },
        };
        SinkError::new(format!("cannot {what} {}: {error}", path.display()), recovery)
    }
}

fn hint(kind: ErrorKind, path: &Path, room: &str) -> Option<String> {
    let path = path.display();
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Some(format!("make room on the file system of {path}{room}"))
        }
        ErrorKind::PermissionDenied => Some(format!("let the daemon's user write to {path}")),
        ErrorKind::ReadOnlyFilesystem => Some(format!("mount the file system of {path} for writing")),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            Some(format!("see that every part of {path} is what it should be, and writable"))
        }
        _ => None,
    }
}

/// The folder a path lies in.
pub(super) fn parent(path: &Path) -> &Path {
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
    read.map_err(cannot("read", path, ""))?;
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

/// Readable by the group.
pub(super) fn default_mode() -> u32 {
    0o640
}

/// A path that is not empty.
pub(super) fn some_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    let empty = path.as_os_str().is_empty();
    if empty { Err(D::Error::custom("give a folder, such as \"/var/log/custodex\"")) } else { Ok(path) }
}

/// A file mode in octal digits.
pub(super) fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
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

    #[test]
    fn groups_are_found_by_their_whole_name() {
        assert_eq!(find_group("root:x:0:\nadm:x:4:syslog,me\n", "adm"), Some(4));
        assert_eq!(find_group("root:x:0:\nadm:x:4:syslog,me\n", "ad"), None);
    }
}
