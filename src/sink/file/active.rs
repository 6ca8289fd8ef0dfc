//! The file that grows.
//!
//! One rule covers a crash, a write that stopped half-way and a failed sync: each batch has a place in
//! the file, and what already lies there is compared with it and written over with the same bytes. A
//! reader sees no change; pages that never reached the disk become dirty again and are synced. Zero
//! bytes count as equal: that is what a file system shows for pages a power cut kept it from writing,
//! and no encoded record has any.
//!
//! After a failed sync the kernel may hold pages as clean that are not on the disk, so to sync again
//! proves nothing. The bytes since the last confirmation are read back, their hash is compared with what
//! was written, and they are written again in place; only then a sync counts. If they do not read
//! back, delivery stops: after a restart they are delivered again from the ledger's position.
//!
//! Records encoded in another way (other format, other version) cannot be compared. They are counted:
//! one line is one record.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};

use tracing::{error, warn};

use super::trouble::cannot;
use crate::digest::Sha256;
use crate::disk::DiskFile;
use crate::ground::Ground;
use crate::recovery::Recovery;
use crate::sink::local::Access;
use crate::sink::{Batch, SinkError};

/// What is read of the file at a time; little in tests, so that every edge is met.
const WINDOW: usize = if cfg!(test) { 16 } else { 8 * 1024 };

/// See the module.
pub(super) struct Active {
    ground: Ground,
    path: PathBuf,
    access: Access,
    file: Box<dyn DiskFile>,
    /// Durable up to here.
    confirmed: u64,
    place: Place,
    /// Something was written since the last sync.
    unsynced: bool,
    /// The name is new and the folder not synced.
    unnamed: bool,
    /// The last sync failed.
    suspect: bool,
    /// Length of the file when last looked at; the next batch will tell what lies beyond the place.
    end: u64,
}

/// Where the next batch belongs.
#[derive(Clone)]
struct Place {
    cursor: u64,
    /// Of the bytes from the confirmed length to the cursor.
    sum: Sha256,
    /// Lines before this offset are encoded in another way.
    old_until: u64,
}

/// A line that ends before a limit.
struct Line {
    /// Offset after its line feed.
    end: u64,
    /// It has zero bytes: a part of it is lost.
    damaged: bool,
}

impl Active {
    /// Opens or makes the file, which was confirmed up to `length`; `old` says that what lies beyond
    /// was encoded in another way.
    pub(super) fn open(
        ground: Ground,
        path: PathBuf,
        access: Access,
        length: u64,
        old: bool,
    ) -> Result<Self, SinkError> {
        let (file, new) = open(&ground, &path, access).map_err(cannot("open", &path))?;
        let found = file.length().map_err(cannot("look at", &path))?;
        let old_until = if old { found } else { 0 };
        let place = Place { cursor: length, sum: Sha256::new(), old_until };
        let mut active = Self {
            ground,
            path,
            access,
            file,
            confirmed: length,
            place,
            unsynced: false,
            unnamed: new,
            suspect: false,
            end: found,
        };
        if found < length {
            active.report_loss(Some(found));
            active.go_on_at_end().map_err(cannot("write", &active.path))?;
        }
        Ok(active)
    }

    /// Bytes up to the end of the last batch.
    pub(super) fn length(&self) -> u64 {
        self.place.cursor
    }

    /// Nothing lies beyond the last batch.
    pub(super) fn is_settled(&self) -> bool {
        self.end <= self.place.cursor
    }

    /// Some of what lies beyond the last batch is encoded in another way.
    pub(super) fn has_old_lines(&self) -> bool {
        self.place.cursor < self.place.old_until
    }

    /// Puts a batch where it belongs; after an error the same batch again goes on from what is there.
    pub(super) fn deliver(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.look()?;
        let mut place = self.place.clone();
        let laid = self.lay(&mut place, batch);
        laid.and_then(|()| self.file.length())
            .map(|length| {
                self.end = length;
                self.place = place;
            })
            .map_err(cannot("write", &self.path))
    }

    /// Makes everything up to the end of the last batch durable.
    pub(super) fn confirm(&mut self) -> Result<u64, SinkError> {
        self.look()?;
        if self.suspect {
            self.repair()?;
        }
        if self.unsynced {
            self.ground.points.reach("file synced").map_err(cannot("sync", &self.path))?;
            self.suspect = true;
            self.file.sync_data().map_err(cannot("sync", &self.path))?;
            (self.suspect, self.unsynced) = (false, false);
        }
        if self.unnamed {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            self.ground.disk.sync_folder(folder).map_err(cannot("sync the folder", folder))?;
            self.unnamed = false;
        }
        if self.confirmed != self.place.cursor {
            (self.confirmed, self.place.sum) = (self.place.cursor, Sha256::new());
        }
        Ok(self.confirmed)
    }

    /// Looks whether the file is still the one that was opened, and as long as it was.
    fn look(&mut self) -> Result<(), SinkError> {
        let length = self.file.length().map_err(cannot("look at", &self.path))?;
        let named = self.ground.disk.length(&self.path).map_err(cannot("look at", &self.path))?;
        self.end = length;
        if named == Some(length) && length >= self.place.cursor {
            return Ok(());
        }
        self.report_loss(named);
        // It may live on under another name; what it holds was delivered and is never sent again.
        if self.unsynced && self.file.sync_data().is_err() {
            warn!(file = %self.path.display(), "the last records of the file that went away may not be durable");
        }
        let (file, new) = open(&self.ground, &self.path, self.access).map_err(cannot("open", &self.path))?;
        (self.file, self.unnamed) = (file, self.unnamed || new);
        self.go_on_at_end().map_err(cannot("write", &self.path))
    }

    fn report_loss(&self, found: Option<u64>) {
        let (file, expected) = (self.path.display(), self.place.cursor);
        error!(
            %file, expected, found,
            "something else removed, replaced or shortened the active file; delivery goes on at its end"
        );
    }

    /// Takes the file as it is; a last line without its line feed gets one, so that records stay apart.
    fn go_on_at_end(&mut self) -> io::Result<()> {
        let end = self.file.length()?;
        let place = Place { cursor: end, sum: Sha256::new(), old_until: 0 };
        (self.place, self.confirmed, self.end, self.suspect) = (place.clone(), end, end, false);
        let mut last = [b'\n'];
        if end > 0 {
            self.read_at(end - 1, &mut last)?;
        }
        if last != [b'\n'] {
            let mut place = place;
            self.write(&mut place, b"\n")?;
            self.place = place;
        }
        Ok(())
    }

    fn lay(&mut self, place: &mut Place, batch: &Batch) -> io::Result<()> {
        let done = self.pass_old_lines(place, batch)?;
        let mut rest = &batch.bytes[done..];
        let mut strange: Option<(u64, u64)> = None;
        while let Some(differs) = self.compare(place.cursor, rest)? {
            let whole = memchr::memrchr(b'\n', &rest[..differs]).map_or(0, |feed| feed + 1);
            self.write(place, &rest[..whole])?;
            rest = &rest[whole..];
            if let Some(line) = self.line(place.cursor, u64::MAX)? {
                strange = strange.map_or(Some((place.cursor, 1)), |(at, lines)| Some((at, lines + 1)));
                self.pass(place, line.end)?;
            } else {
                self.file.set_length(place.cursor + (differs - whole) as u64)?;
            }
        }
        if let Some((offset, lines)) = strange {
            let file = self.path.display();
            error!(%file, offset, lines, "lines that were not delivered are in the active file; they are kept");
        }
        self.write(place, rest)
    }

    /// Passes one line in the other encoding for each record; answers the bytes of the batch done so.
    fn pass_old_lines(&mut self, place: &mut Place, batch: &Batch) -> io::Result<usize> {
        let mut done = 0;
        for &end in &batch.ends {
            if place.cursor >= place.old_until {
                break;
            }
            match self.line(place.cursor, place.old_until)? {
                Some(line) if !line.damaged => self.pass(place, line.end)?,
                Some(_) => {
                    // Lost line feeds make counting wrong, and a record too many passed would be lost.
                    let (file, offset) = (self.path.display(), place.cursor);
                    error!(%file, offset, "the end of the active file is damaged, it is cut and delivered again");
                    self.file.set_length(place.cursor)?;
                    place.old_until = 0;
                    break;
                }
                None => {
                    place.old_until = 0;
                    break;
                }
            }
            done = end;
        }
        Ok(done)
    }

    /// Writes at the place, over the same bytes where some are there.
    fn write(&mut self, place: &mut Place, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.ground.points.reach("file written")?;
        self.unsynced = true;
        self.file.seek(SeekFrom::Start(place.cursor))?;
        self.file.write_all(bytes)?;
        place.sum.update(bytes);
        place.cursor += bytes.len() as u64;
        Ok(())
    }

    /// Moves the place to `end` over what is there, and makes it dirty again.
    fn pass(&mut self, place: &mut Place, end: u64) -> io::Result<()> {
        self.each_window(place.cursor, end, true, &mut place.sum)?;
        place.cursor = end;
        Ok(())
    }

    fn repair(&mut self) -> Result<(), SinkError> {
        let (from, to) = (self.confirmed, self.place.cursor);
        let mut sum = Sha256::new();
        let read = self.each_window(from, to, false, &mut sum);
        read.map_err(cannot("read back", &self.path))?;
        if sum.finish() != self.place.sum.clone().finish() {
            let message = format!(
                "{} lost what was written after byte {from}: check the disk, then restart, and it is delivered again",
                self.path.display()
            );
            return Err(SinkError::new(message, Recovery::Fatal));
        }
        let (file, _) = open(&self.ground, &self.path, self.access).map_err(cannot("open", &self.path))?;
        self.file = file;
        let written = self.each_window(from, to, true, &mut Sha256::new());
        written.map_err(cannot("write", &self.path))
    }

    /// Reads a range and, when asked, writes the same bytes back in place.
    fn each_window(&mut self, from: u64, to: u64, rewrite: bool, sum: &mut Sha256) -> io::Result<()> {
        let mut window = [0; WINDOW];
        let mut at = from;
        while at < to {
            let most = usize::try_from(to - at).unwrap_or(WINDOW).min(WINDOW);
            let count = self.read_at(at, &mut window[..most])?;
            if count < most {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if rewrite {
                self.unsynced = true;
                self.file.seek(SeekFrom::Start(at))?;
                self.file.write_all(&window[..count])?;
            }
            sum.update(&window[..count]);
            at += count as u64;
        }
        Ok(())
    }

    /// The first of `bytes` that differs from what is in the file at `at`, if any is.
    fn compare(&mut self, at: u64, bytes: &[u8]) -> io::Result<Option<usize>> {
        let mut window = [0; WINDOW];
        let mut done = 0;
        while done < bytes.len() && at + (done as u64) < self.file.length()? {
            let most = (bytes.len() - done).min(WINDOW);
            let count = self.read_at(at + done as u64, &mut window[..most])?;
            let mut pairs = window[..count].iter().zip(&bytes[done..]);
            if let Some(differs) = pairs.position(|(found, due)| found != due && *found != 0) {
                return Ok(Some(done + differs));
            }
            done += count;
        }
        Ok(None)
    }

    /// The line at `from`, if it ends at or before `until`.
    fn line(&mut self, from: u64, until: u64) -> io::Result<Option<Line>> {
        let mut window = [0; WINDOW];
        let (mut at, mut damaged) = (from, false);
        while at < until {
            let most = usize::try_from(until - at).unwrap_or(WINDOW).min(WINDOW);
            let count = self.read_at(at, &mut window[..most])?;
            let feed = memchr::memchr(b'\n', &window[..count]);
            damaged |= memchr::memchr(0, &window[..feed.unwrap_or(count)]).is_some();
            if let Some(feed) = feed {
                return Ok(Some(Line { end: at + feed as u64 + 1, damaged }));
            }
            if count < most {
                break;
            }
            at += count as u64;
        }
        Ok(None)
    }

    /// Fills `window` from the file as far as the file goes.
    fn read_at(&mut self, at: u64, window: &mut [u8]) -> io::Result<usize> {
        self.file.seek(SeekFrom::Start(at))?;
        let mut filled = 0;
        while filled < window.len() {
            match self.file.read(&mut window[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

/// Opens the file, or makes one with the right access; answers whether its name may be new.
fn open(ground: &Ground, path: &Path, access: Access) -> io::Result<(Box<dyn DiskFile>, bool)> {
    let mut file = ground.disk.open_or_create(path, access.mode)?;
    let empty = file.length()? == 0;
    if empty {
        file.set_access(access.mode, access.group)?;
    }
    Ok((file, empty))
}
