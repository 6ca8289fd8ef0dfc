//! Checks a case, for `verify --proof`.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use crate::archive::{Files, Measured, PublicKey, check_case};
use crate::cli::{Exit, Failure, Outcome, print, say, shown};
use crate::limits;

/// How a zip begins.
const MAGIC: &[u8] = b"PK\x03\x04";

/// Whether a file is a case rather than a proof.
pub fn is_case(path: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *MAGIC
}

/// Holds a case against the keys that are trusted.
pub fn check(path: &Path, keys: &[PublicKey]) -> Outcome {
    let wrong = |error: String| Failure::Usage(format!("the case {}: {error}", path.display()));
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut zip = Zip(ZipArchive::new(file).map_err(|error| wrong(error.to_string()))?);
    let checked = check_case(&mut zip, keys).map_err(|error| wrong(error.to_string()))?;
    let mut lines = vec![format!("{} records are proved", checked.proved)];
    if checked.not_sealed > 0 {
        lines.push(format!("{} records were not sealed when the case was made", checked.not_sealed));
    }
    lines.push(match &checked.sealed_by {
        Some(id) => format!("its list, page and coverage are sealed with {id}"),
        None => "its list, page and coverage are not sealed with a trusted key".to_owned(),
    });
    lines.extend(checked.faults.iter().map(|fault| format!("FAULT {}", shown::line(fault, usize::MAX))));
    lines.push(String::new());
    print(lines.join("\n").as_bytes())?;
    let clean = checked.faults.is_empty();
    say(if clean { "verified: no faults" } else { "FAULTS: this case is not what was made" });
    Ok(if clean { Exit::Done } else { Exit::Attention })
}

struct Zip(ZipArchive<File>);

impl Zip {
    /// Reads a file, at most so many bytes of it.
    fn with<T>(
        &mut self,
        name: &str,
        most: u64,
        read: impl FnOnce(&mut dyn Read) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        match self.0.by_name(name) {
            Ok(file) => read(&mut file.take(most.saturating_add(1))).map(Some),
            Err(ZipError::FileNotFound) => Ok(None),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

impl Files for Zip {
    type Error = io::Error;

    fn names(&self) -> Vec<String> {
        self.0.file_names().map(|name| name.map_or_else(|error| error.to_string(), Cow::into_owned)).collect()
    }

    fn sha256(&mut self, name: &str, most: u64) -> io::Result<Option<[u8; 32]>> {
        let found = self.with(name, most, |content| {
            let mut content = Measured::new(content);
            io::copy(&mut content, &mut io::sink())?;
            Ok(content.finish())
        })?;
        Ok(found.filter(|(length, _)| *length <= most).map(|(_, hash)| hash))
    }

    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let most = limits::MANIFEST_BYTES;
        let found = self.with(name, most, |content| {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).map(|_| bytes)
        })?;
        Ok(found.filter(|bytes| bytes.len() as u64 <= most))
    }
}
