//! The data folder, and the lock that one daemon has on it.
//!
//! The lock lies on the folder itself, so no command ever leaves a file there. The system lets go of it
//! when the process ends, however it ends.

use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, PRIVATE_FOLDER};

/// The folder, held.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

/// Why the folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Somebody else has it.
    #[error("another custodex holds the data folder {0}")]
    Held(PathBuf),
    /// It cannot be made or opened.
    #[error("the data folder {path} cannot be used: {source}")]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Folder {
    /// Creates the folder when absent, and holds it.
    pub fn hold(disk: &dyn Disk, path: &Path) -> Result<Self, FolderError> {
        let wrap = |source| FolderError::Disk { path: path.to_owned(), source };
        disk.create_folder(path, PRIVATE_FOLDER).map_err(wrap)?;
        let lock = File::open(path).map_err(wrap)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::Held(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(wrap(source)),
        }
        let mode = lock.metadata().map_err(wrap)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            // What lies inside is private in any case; the folder should not even show the names.
            let shown = path.display();
            tracing::warn!(path = %shown, mode = format!("{mode:o}"), "the data folder was open to other users");
            lock.set_permissions(Permissions::from_mode(PRIVATE_FOLDER)).map_err(wrap)?;
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where the ledger lies.
    pub fn ledger(&self) -> PathBuf {
        ledger(&self.path)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the spool lies.
    pub fn spool(&self) -> PathBuf {
        spool(&self.path)
    }

    /// Where dead letters lie.
    pub fn dead_letters(&self) -> PathBuf {
        self.path.join("dead-letters")
    }

    /// Where the signing key lies.
    pub fn keys(&self) -> PathBuf {
        keys(&self.path)
    }

    /// Where commands reach the daemon.
    pub fn socket(&self) -> PathBuf {
        socket(&self.path)
    }
}

/// Where the spool of a data folder lies.
pub fn spool(data_dir: &Path) -> PathBuf {
    data_dir.join("spool")
}

/// Where the ledger of a data folder lies.
pub fn ledger(data_dir: &Path) -> PathBuf {
    data_dir.join("ledger.db")
}

/// Where the signing key of a data folder lies.
pub fn keys(data_dir: &Path) -> PathBuf {
    data_dir.join("keys")
}

/// Where the control socket of a data folder lies.
pub fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn only_one_holds_it() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let first = Folder::hold(&RealDisk, &path).unwrap();
        assert!(matches!(Folder::hold(&RealDisk, &path), Err(FolderError::Held(_))));
        drop(first);
        Folder::hold(&RealDisk, &path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, PRIVATE_FOLDER);
    }
}
