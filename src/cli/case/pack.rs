//! The zip of a case while it is written: every file once, listed with its hash.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use zip::write::{SimpleFileOptions, ZipWriter};

use crate::archive::{Contents, Hash, LIST, Listed, Measured, SEAL, SigningKey};
use crate::digest::sha256;
use crate::disk::PRIVATE_FILE;

/// Files that are known to be smaller than this need no wide sizes in the zip.
const WIDE: u64 = 2_000_000_000;

/// A zip in the making.
pub struct Pack {
    out: PathBuf,
    /// Where it lies until it is whole.
    part: PathBuf,
    zip: ZipWriter<BufWriter<File>>,
    pub contents: Contents,
}

impl Pack {
    pub fn create(out: &Path, contents: Contents) -> io::Result<Self> {
        let mut part = out.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let zip = ZipWriter::new(BufWriter::new(private(&part)?));
        Ok(Self { out: out.to_owned(), part, zip, contents })
    }

    /// Adds a file.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.zip.start_file(name, options(bytes.len() as u64))?;
        self.zip.write_all(bytes)?;
        self.list(name, bytes.len() as u64, sha256(bytes));
        Ok(())
    }

    /// Adds a file that is not held in memory.
    pub fn add_from(&mut self, name: &str, from: &mut File) -> io::Result<()> {
        self.zip.start_file(name, options(from.metadata()?.len()))?;
        let mut measured = Measured::new(from);
        io::copy(&mut measured, &mut self.zip)?;
        let (bytes, hash) = measured.finish();
        self.list(name, bytes, hash);
        Ok(())
    }

    fn list(&mut self, name: &str, bytes: u64, hash: [u8; 32]) {
        self.contents.files.push(Listed { name: name.to_owned(), bytes, sha256: Hash(hash) });
    }

    /// Adds the list and its seal, and gives the file its name; answers the hash of the list.
    pub fn seal(mut self, key: Option<&SigningKey>) -> io::Result<[u8; 32]> {
        let contents = self.contents.write();
        let hash = sha256(&contents);
        let signed = key.map(|key| (SEAL, Contents::seal(&contents, key)));
        let mut last = vec![(LIST, contents)];
        last.extend(signed);
        for (name, bytes) in last {
            self.zip.start_file(name, options(bytes.len() as u64))?;
            self.zip.write_all(&bytes)?;
        }
        let file = self.zip.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&self.part, &self.out)?;
        let folder = self.out.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(hash)
    }

    /// Removes what was written.
    pub fn abandon(self) -> io::Result<()> {
        fs::remove_file(&self.part)
    }
}

/// The same case gives the same bytes, so no file in it has a time.
fn options(bytes: u64) -> SimpleFileOptions {
    SimpleFileOptions::default().large_file(bytes >= WIDE)
}

fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create(true).truncate(true).mode(PRIVATE_FILE).open(path)
}
