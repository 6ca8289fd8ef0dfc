//! The file-system seam.
//!
//! Owns the two traits through which everything durable is read and written, and the real
//! implementation. A failed [`DiskFile::sync_data`] is final for that file: callers throw the bytes
//! away and write them again, they never sync the same file twice in hope.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// Mode of the files of the data folder.
pub const PRIVATE_FILE: u32 = 0o600;
/// Mode of the folders of the data folder.
pub const PRIVATE_FOLDER: u32 = 0o700;

/// A file system; every path is absolute or relative to the working directory.
pub trait Disk: Send + Sync + Debug {
    /// Creates `path`, or empties it, for reading and writing.
    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>>;
    /// Opens `path` for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens `path` for reading and writing where it stands, creating it when absent.
    fn open_or_create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file, replacing the target.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a name that nothing has yet; fails with `AlreadyExists` where something has.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; one that is already gone is no error.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Creates a folder and its parents.
    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// The regular files of a folder, by name.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// The folders in a folder, by name; no symbolic links.
    fn folders(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Length of a file in bytes, `None` when it does not exist.
    fn length(&self, path: &Path) -> io::Result<Option<u64>>;
    /// Bytes that may still be written to the file system that holds `path`; `None` when it does not tell.
    fn free(&self, _path: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

/// An open file.
pub trait DiskFile: Read + Write + Seek + Send {
    /// Makes the bytes written so far durable.
    fn sync_data(&mut self) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_length(&mut self, length: u64) -> io::Result<()>;
    /// Length of the file in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Sets mode and, if given, group of the file or folder, whatever the process's umask is. A file
    /// system without owners does nothing.
    fn set_access(&mut self, _mode: u32, _group: Option<u32>) -> io::Result<()> {
        Ok(())
    }
}

/// One regular file of a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name; names that are not UTF-8 are not ours and are left out.
    pub name: String,
    /// Length in bytes.
    pub length: u64,
    /// Seconds since 1970 of the last change.
    pub modified: i64,
}

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        Ok(Box::new(options.read(true).write(true).create(true).truncate(true).mode(mode).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::open(path)?))
    }

    fn open_or_create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        Ok(Box::new(options.read(true).write(true).create(true).truncate(false).mode(mode).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Network file systems cannot do it, but most can link.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                fs::hard_link(from, to)?;
                fs::remove_file(from)
            }
            renamed => Ok(renamed?),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(mode).create(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                entries.push(Entry { name, length: metadata.len(), modified: metadata.mtime() });
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn folders(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if let (true, Ok(name)) = (entry.file_type()?.is_dir(), entry.file_name().into_string()) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn free(&self, path: &Path) -> io::Result<Option<u64>> {
        let found = rustix::fs::statvfs(path)?;
        Ok(Some(found.f_bavail.saturating_mul(found.f_frsize)))
    }
}

impl DiskFile for File {
    fn sync_data(&mut self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_access(&mut self, mode: u32, group: Option<u32>) -> io::Result<()> {
        // The group first: changing it may clear bits of the mode.
        if group.is_some() {
            fchown(&*self, None, group)?;
        }
        self.set_permissions(Permissions::from_mode(mode))
    }
}

/// Writes `bytes` to `path` so that a crash leaves the old content or the new, never a part.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = PathBuf::from(format!("{}.new", path.display()));
    let mut file = disk.create(&temporary, PRIVATE_FILE)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    disk.rename(&temporary, path)?;
    disk.sync_folder(path.parent().unwrap_or(Path::new(".")))
}
