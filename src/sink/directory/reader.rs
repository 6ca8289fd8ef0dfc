//! Reading a directory archive, or any folder that is laid out like one.
//!
//! A listing walks the folders in the order of their keys, so that it can begin anywhere and end after a
//! page; it holds the names of one folder a level. Names with a leading dot are not part of an archive.
//! Follows no symbolic link while listing, and never writes.

use std::io;
use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;

use crate::ground::Ground;
use crate::limits;
use crate::recovery::Recovery;
use crate::sink::SinkError;
use crate::sink::reader::{ArchiveReader, Body, Found, Listed, Page, is_inside};

/// See the module.
#[derive(Debug)]
pub struct DirectoryReader {
    ground: Ground,
    directory: PathBuf,
}

/// What is asked for, and what of it was found.
struct Walk<'a> {
    prefix: &'a str,
    after: Option<&'a str>,
    page: Page,
}

impl Walk<'_> {
    /// Whether a folder, its slash included, may hold what is asked for.
    fn enters(&self, folder: &str) -> bool {
        let fits = folder.starts_with(self.prefix) || self.prefix.starts_with(folder);
        fits && self.after.is_none_or(|after| folder > after || after.starts_with(folder))
    }

    fn takes(&self, key: &str) -> bool {
        key.starts_with(self.prefix) && self.after.is_none_or(|after| key > after)
    }
}

impl DirectoryReader {
    /// A reader of the archive in this folder.
    pub(in crate::sink) fn new(ground: Ground, directory: PathBuf) -> Self {
        Self { ground, directory }
    }

    /// Takes what lies in one folder, and below it; ends early when the page is full.
    fn walk(&self, folder: &str, walk: &mut Walk<'_>) -> io::Result<()> {
        let disk = &self.ground.disk;
        let path = self.directory.join(folder);
        let files = disk.list(&path)?.into_iter().map(|entry| (entry.name, Some(entry.length)));
        let folders = disk.folders(&path)?.into_iter().map(|name| (name + "/", None));
        let mut entries: Vec<(String, Option<u64>)> = files.chain(folders).collect();
        entries.retain(|(name, _)| !name.starts_with('.'));
        entries.sort();
        for (name, length) in entries {
            let key = format!("{folder}{name}");
            match length {
                None if walk.enters(&key) => self.walk(&key, walk)?,
                Some(_) if walk.takes(&key) && walk.page.objects.len() >= limits::ARCHIVE_PAGE => {
                    walk.page.more = true;
                }
                Some(size) if walk.takes(&key) => walk.page.objects.push(Listed { key, size, etag: None }),
                _ => {}
            }
            if walk.page.more {
                break;
            }
        }
        Ok(())
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        is_inside(key).then(|| self.directory.join(key))
    }

    fn open(&self, key: &str) -> Result<Option<Body>, SinkError> {
        let Some(path) = self.path(key) else { return Ok(None) };
        let opened = self.ground.disk.open(&path).and_then(|file| Ok((file.length()?, file)));
        match opened {
            Ok((size, bytes)) => Ok(Some(Body { size, bytes: Box::new(bytes) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.is_there().map(|()| None),
            Err(error) => Err(unreadable(&path, &error)),
        }
    }

    fn look(&self, key: &str) -> Result<Option<Found>, SinkError> {
        let Some(path) = self.path(key) else { return Ok(None) };
        let length = self.ground.disk.length(&path).map_err(|error| unreadable(&path, &error))?;
        if length.is_none() {
            self.is_there()?;
        }
        Ok(length.map(|size| Found { size, ..Found::default() }))
    }

    /// A share that is not mounted must not look like an archive that lost everything.
    fn is_there(&self) -> Result<(), SinkError> {
        match self.ground.disk.list(&self.directory) {
            Ok(_) => Ok(()),
            Err(error) => Err(unreadable(&self.directory, &error)),
        }
    }
}

impl ArchiveReader for DirectoryReader {
    fn place(&self) -> String {
        self.directory.display().to_string()
    }

    fn list<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Page, SinkError>> {
        Box::pin(async move {
            let mut walk = Walk { prefix, after, page: Page::default() };
            tokio::task::block_in_place(|| self.walk("", &mut walk))
                .map_err(|error| unreadable(&self.directory, &error))?;
            Ok(walk.page)
        })
    }

    fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Found>, SinkError>> {
        Box::pin(async move { tokio::task::block_in_place(|| self.look(key)) })
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Body>, SinkError>> {
        Box::pin(async move { tokio::task::block_in_place(|| self.open(key)) })
    }
}

fn unreadable(path: &Path, error: &io::Error) -> SinkError {
    let shown = path.display();
    let recovery = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Recovery::Pause { hint: format!("see that {shown} is the folder of an archive, and mounted") }
        }
        io::ErrorKind::PermissionDenied => {
            Recovery::Pause { hint: format!("let the user that runs custodex read {shown}") }
        }
        _ => Recovery::Retry { after: None },
    };
    SinkError::new(format!("cannot read {shown}: {error}"), recovery)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;

    use super::*;

    fn reader(keys: &[&str]) -> (tempfile::TempDir, DirectoryReader) {
        let folder = tempfile::tempdir().unwrap();
        for key in keys {
            let path = folder.path().join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, *key).unwrap();
        }
        let reader = DirectoryReader::new(Ground::real(), folder.path().into());
        (folder, reader)
    }

    async fn all(reader: &DirectoryReader, prefix: &str) -> Vec<String> {
        let (mut keys, mut pages) = (Vec::<String>::new(), 0);
        loop {
            let page = reader.list(prefix, keys.last().map(String::as_str)).await.unwrap();
            assert!(page.objects.len() <= limits::ARCHIVE_PAGE);
            assert!(page.objects.iter().all(|object| object.size == object.key.len() as u64));
            keys.extend(page.objects.into_iter().map(|object| object.key));
            pages += 1;
            if !page.more {
                assert!(pages == keys.len().div_ceil(limits::ARCHIVE_PAGE).max(1), "no page too many");
                return keys;
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_listing_is_in_the_order_of_the_keys() {
        let keys = ["a.b", "a/x", "a/y/z", "a0", "b/1", "b/10", "b/2"];
        let hidden = ["b/.1.w.tmp", ".snapshot/a"];
        let (folder, reader) = reader(&[&keys[..], &hidden].concat());
        std::os::unix::fs::symlink(folder.path(), folder.path().join("b/loop")).unwrap();
        assert_eq!(all(&reader, "").await, keys);
        for (prefix, from, to) in [("a", 0, 4), ("a/", 1, 3), ("b/1", 4, 6), ("c", 7, 7), ("a/y/z", 2, 3)] {
            assert_eq!(all(&reader, prefix).await, keys[from..to], "{prefix}");
        }
        for (at, after) in keys.iter().enumerate() {
            let page = reader.list("", Some(after)).await.unwrap();
            let found: Vec<_> = page.objects.iter().map(|object| object.key.as_str()).collect();
            assert_eq!(found, keys[at + 1..], "after {after}");
        }
        assert_eq!(reader.list("", Some("a/")).await.unwrap().objects[0].key, "a/x");
        assert_eq!(reader.list("", Some("b/3")).await.unwrap(), Page::default());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_objects_come_in_pages() {
        let keys: Vec<String> =
            (0..2 * limits::ARCHIVE_PAGE).map(|n| format!("dt={}/{n:06}", n % 3)).collect();
        let (_folder, reader) = reader(&keys.iter().map(String::as_str).collect::<Vec<_>>());
        let mut sorted = keys.clone();
        sorted.sort();
        assert_eq!(all(&reader, "").await, sorted);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_lies_there_is_told_from_what_cannot_be_seen() {
        let (folder, reader) = reader(&["a/x"]);
        let mut text = String::new();
        let mut body = reader.get("a/x").await.unwrap().unwrap();
        body.bytes.read_to_string(&mut text).unwrap();
        assert_eq!((body.size, text.as_str()), (3, "a/x"));
        assert_eq!(reader.head("a/x").await.unwrap().map(|found| found.size), Some(3));
        for missing in ["a/y", "../a/x", "a/../a/x"] {
            assert!(reader.get(missing).await.unwrap().is_none(), "{missing}");
            assert_eq!(reader.head(missing).await.unwrap(), None, "{missing}");
        }
        fs::remove_dir_all(folder.path()).unwrap();
        for error in [
            reader.get("a/x").await.map(drop).unwrap_err(),
            reader.head("a/x").await.map(drop).unwrap_err(),
            reader.list("", None).await.map(drop).unwrap_err(),
        ] {
            let Recovery::Pause { hint } = error.recovery else { panic!("{error}") };
            assert!(hint.contains("mounted"), "{hint}");
        }
    }
}
