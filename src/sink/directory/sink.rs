//! One object: look, write aside, sync, give it its name, sync the folder.

use std::collections::HashSet;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tracing::debug;

use super::config::DirectoryConfig;
use crate::archive::unpack;
use crate::digest::Sha256;
use crate::ground::Ground;
use crate::limits;
use crate::recovery::Recovery;
use crate::sink::local::{self, Access, FOLDER_MODE, parent};
use crate::sink::{Archive, Object, Put, SinkError};

/// See the module.
#[derive(Debug)]
pub(super) struct DirectoryArchive {
    ground: Ground,
    config: DirectoryConfig,
    /// Keeps names of files being written apart from those of other writers.
    writer: String,
    /// Folders whose names, up to the archive's own, are durable.
    known: Mutex<HashSet<PathBuf>>,
}

impl DirectoryArchive {
    pub(super) fn new(ground: Ground, config: DirectoryConfig, writer: &str) -> Self {
        Self { ground, config, writer: writer.to_owned(), known: Mutex::default() }
    }

    fn store(&self, object: &Object) -> Result<Put, SinkError> {
        let access = self.config.access(&self.ground)?;
        let path = self.config.directory.join(&object.key);
        let folder = parent(&path);
        self.make_folders(folder, access)?;
        let aside = self.aside(&path);
        let put = match self.ground.disk.length(&path).map_err(cannot("look at", &path))? {
            Some(_) => Put::AlreadyThere,
            None => self.write(object, &aside, &path, access)?,
        };
        if put == Put::AlreadyThere {
            self.compare(object, &path)?;
            self.ground.disk.remove(&aside).map_err(cannot("remove", &aside))?;
        }
        self.reach("archive name synced")?;
        // Also for one that was there: its writer may not have come to that.
        self.ground.disk.sync_folder(folder).map_err(cannot("sync the folder", folder))?;
        Ok(put)
    }

    /// Only one object of a name is on its way from one writer, so this name is taken at most by what a
    /// crash left, which is written over.
    fn aside(&self, path: &Path) -> PathBuf {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.with_file_name(format!(".{name}.{}.tmp", self.writer))
    }

    fn write(&self, object: &Object, aside: &Path, path: &Path, access: Access) -> Result<Put, SinkError> {
        self.copy(object, aside, access).map_err(cannot("write", aside))?;
        self.reach("archive named")?;
        match self.ground.disk.rename_new(aside, path) {
            Ok(()) => Ok(Put::Stored),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Put::AlreadyThere),
            Err(error) => Err(cannot("name", path)(error)),
        }
    }

    fn copy(&self, object: &Object, aside: &Path, access: Access) -> io::Result<()> {
        let mut from = self.ground.disk.open(&object.body)?;
        let mut to = self.ground.disk.create(aside, access.mode)?;
        let written = (|| {
            to.set_access(access.mode, access.group)?;
            let mut sum = Sha256::new();
            let length = each_window(from.as_mut(), |bytes| {
                sum.update(bytes);
                to.write_all(bytes)
            })?;
            if length != object.length || sum.finish() != object.sha256 {
                return Err(io::Error::other("what was read back is not what was written"));
            }
            self.ground.points.reach("archive synced")?;
            to.sync_data()
        })();
        if written.is_err() {
            // What is half written takes room that may be what is missing.
            drop(self.ground.disk.remove(aside));
        }
        written
    }

    /// Makes what is missing and sees to it that all the names are durable, once for each folder.
    fn make_folders(&self, folder: &Path, access: Access) -> Result<(), SinkError> {
        if self.lock().contains(folder) && self.is_there(folder)? {
            return Ok(());
        }
        let top = &self.config.directory;
        let mut below: Vec<&Path> = folder.ancestors().take_while(|path| *path != top).collect();
        below.push(top);
        while let Some(path) = below.pop() {
            let make = || {
                if self.ground.disk.length(path)?.is_none() {
                    self.ground.disk.create_folder(path, FOLDER_MODE)?;
                    self.ground.disk.open(path)?.set_access(FOLDER_MODE, access.group)?;
                }
                self.ground.disk.sync_folder(parent(path))
            };
            make().map_err(cannot("make the folder", path))?;
        }
        let mut known = self.lock();
        if known.len() >= limits::KNOWN_FOLDERS {
            known.clear();
        }
        known.insert(folder.to_owned());
        Ok(())
    }

    fn is_there(&self, folder: &Path) -> Result<bool, SinkError> {
        Ok(self.ground.disk.length(folder).map_err(cannot("look at", folder))?.is_some())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is there has to be this log file.
    fn compare(&self, object: &Object, path: &Path) -> Result<(), SinkError> {
        debug!(file = %path.display(), "is in the archive already");
        if !object.verbatim {
            // Its name says which log file it was made from.
            return Ok(());
        }
        let different = |what: String| {
            let hint = format!(
                "{} never changes by itself: find out who wrote it, keep it elsewhere as evidence, and move it away",
                path.display()
            );
            SinkError::new(format!("{} {what}", path.display()), Recovery::Pause { hint })
        };
        let found = self.content_hash(object, path);
        match found {
            Ok(hash) if hash == object.verbatim_sha256 => Ok(()),
            Ok(_) => Err(different("is in the archive with other content".into())),
            // The system's own errors say nothing of the content.
            Err(error) if error.raw_os_error().is_some() => Err(cannot("read", path)(error)),
            Err(error) => Err(different(format!("is in the archive and cannot be read: {error}"))),
        }
    }

    fn content_hash(&self, object: &Object, path: &Path) -> io::Result<[u8; 32]> {
        let file = BufReader::with_capacity(limits::COPY_WINDOW, self.ground.disk.open(path)?);
        let mut sum = Sha256::new();
        each_window(unpack(object.packing, file)?.as_mut(), |bytes| {
            sum.update(bytes);
            Ok(())
        })?;
        Ok(sum.finish())
    }

    fn reach(&self, point: &'static str) -> Result<(), SinkError> {
        let reached = self.ground.points.reach(point);
        reached.map_err(|error| SinkError::new(error.to_string(), Recovery::Retry { after: None }))
    }
}

impl Archive for DirectoryArchive {
    fn put<'a>(&'a self, object: &'a Object) -> BoxFuture<'a, Result<Put, SinkError>> {
        Box::pin(async { tokio::task::block_in_place(|| self.store(object)) })
    }
}

/// Reads to the end; answers how much that was.
fn each_window(from: &mut dyn Read, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
    let mut window = vec![0; limits::COPY_WINDOW];
    let mut length = 0;
    loop {
        match from.read(&mut window) {
            Ok(0) => return Ok(length),
            Ok(count) => {
                take(&window[..count])?;
                length += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn cannot(what: &str, path: &Path) -> impl Fn(io::Error) -> SinkError {
    local::cannot(what, path, "; an archive never removes anything by itself")
}
