//! The sink: what happens in which order.
//!
//! Deliver writes; confirm syncs and may decide a rotation; the ledger commits; committed renames. The first
//! thing asked of the worker is a commit, so that what was found at start is known before anything is
//! written.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tracing::{error, warn};

use super::active::Active;
use super::config::FileConfig;
use super::keep::Keeper;
use super::rotate::{self, Memory, Name};
use super::trouble::cannot;
use crate::ground::Ground;
use crate::sink::local::Access;
use crate::sink::{Batch, Confirmation, Sink, SinkError};

/// See the module.
pub(super) struct FileSink {
    ground: Ground,
    config: Arc<FileConfig>,
    fingerprint: String,
    /// What the ledger holds, until it is looked at.
    remembered: Option<Vec<u8>>,
    /// Known once the folder was looked at.
    access: Option<Access>,
    /// What the next confirmation answers.
    memory: Memory,
    /// The rotation in the memory is committed: the rename may be done.
    may_rename: bool,
    active: Option<Active>,
    keeper: Keeper,
}

impl FileSink {
    pub(super) fn new(
        ground: Ground,
        config: Arc<FileConfig>,
        remembered: Option<Vec<u8>>,
        fingerprint: String,
    ) -> Self {
        let memory = Memory::new(&config.directory, &fingerprint);
        let (access, may_rename, active, keeper) = (None, false, None, Keeper::new());
        Self { ground, config, fingerprint, remembered, access, memory, may_rename, active, keeper }
    }

    /// Looks at the folder, once, and takes up what the memory says.
    fn start(&mut self) -> Result<Access, SinkError> {
        if let Some(access) = self.access {
            return Ok(access);
        }
        let access = self.config.prepare(&self.ground)?;
        let folder = &self.config.directory;
        let entries = self.ground.disk.list(folder).map_err(cannot("read the folder", folder))?;
        let last = entries.iter().filter_map(|entry| Some(Name::parse(&entry.name)?.number)).max();
        let known = self.remembered.as_deref().and_then(|bytes| Memory::read(bytes, folder));
        let unknown = known.is_none();
        if unknown && self.remembered.as_ref().is_some_and(|bytes| !bytes.is_empty()) {
            error!(folder = %folder.display(), "what the ledger remembers is not about this folder, it begins anew");
        }
        if let Some(memory) = known {
            self.memory = memory;
            self.may_rename = self.memory.rotation.is_some();
        }
        self.memory.next = self.memory.next.max(last.map_or(1, |last| last + 1));
        if unknown {
            self.put_aside()?;
        }
        self.access = Some(access);
        Ok(access)
    }

    /// A file the ledger knows nothing of is kept, under a name of its own.
    fn put_aside(&mut self) -> Result<(), SinkError> {
        let path = self.config.active();
        let found = self.ground.disk.length(&path).map_err(cannot("look at", &path))?;
        if let Some(length) = found.filter(|length| *length > 0) {
            warn!(file = %path.display(), length, "an active file from before is rotated, it is not appended to");
            self.memory.length = length;
            self.memory.decide(self.ground.now());
        }
        Ok(())
    }

    /// Does the rename that was decided.
    fn rename(&mut self) -> Result<(), SinkError> {
        let Some(name) = &self.memory.rotation else { return Ok(()) };
        self.active = None;
        let path = self.config.active();
        rotate::finish(&self.ground, &path, name, self.memory.length).map_err(cannot("rotate", &path))?;
        self.keeper.hold();
        (self.memory.rotation, self.memory.length, self.memory.begun) = (None, 0, None);
        self.may_rename = false;
        Ok(())
    }

    fn active(&mut self, access: Access) -> Result<&mut Active, SinkError> {
        if self.active.is_none() {
            let old = self.memory.fingerprint != self.fingerprint;
            let (ground, path) = (self.ground.clone(), self.config.active());
            self.active = Some(Active::open(ground, path, access, self.memory.length, old)?);
        }
        Ok(self.active.as_mut().expect("it was just opened"))
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let access = self.start()?;
        self.rename()?;
        self.active(access)?.deliver(batch)?;
        self.memory.begun = self.memory.begun.or_else(|| Some(self.ground.now()));
        Ok(())
    }

    fn sync(&mut self) -> Result<Vec<u8>, SinkError> {
        let access = self.start()?;
        if self.may_rename {
            self.rename()?;
        }
        if self.memory.rotation.is_some() {
            return Ok(self.memory.bytes());
        }
        let active = self.active(access)?;
        let length = active.confirm()?;
        let (settled, old) = (active.is_settled(), active.has_old_lines());
        self.memory.length = length;
        // Until the old lines are passed, old and new ones lie beyond the confirmed length. That is
        // committed before the first new one is written, so any later start counts lines.
        self.memory.fingerprint = if old { String::new() } else { self.fingerprint.clone() };
        self.keeper.poke(&self.ground, &self.config, access, self.memory.next);
        if settled && self.is_due() {
            self.memory.decide(self.ground.now());
        }
        Ok(self.memory.bytes())
    }

    fn is_due(&mut self) -> bool {
        let now = self.ground.now();
        // A clock that was set back makes a rotation late, not early and not never.
        let begun = self.memory.begun.map_or(now, |begun| begun.min(now));
        self.memory.begun = self.memory.begun.map(|_| begun);
        let interval = i64::try_from(self.config.rotate_interval.0.as_secs()).unwrap_or(i64::MAX);
        let length = self.memory.length;
        length >= self.config.rotate_bytes.0 || (length > 0 && now.saturating_sub(begun) >= interval)
    }

    fn settle(&mut self) -> Result<(), SinkError> {
        if self.memory.rotation.is_some() {
            self.may_rename = true;
            return self.rename();
        }
        self.keeper.release();
        if let Some(access) = self.access {
            self.keeper.poke(&self.ground, &self.config, access, self.memory.next);
        }
        Ok(())
    }

    /// Waits for the care of rotated files.
    #[cfg(test)]
    pub(super) async fn kept(&mut self) {
        self.keeper.finish().await;
    }
}

impl Sink for FileSink {
    fn wants_commit(&self) -> bool {
        let full = |active: &Active| active.is_settled() && active.length() >= self.config.rotate_bytes.0;
        self.access.is_none() || self.may_rename || self.active.as_ref().is_some_and(full)
    }

    fn is_unsettled(&self) -> bool {
        self.active.as_ref().is_some_and(|active| !active.is_settled())
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(async { tokio::task::block_in_place(|| self.write(batch)) })
    }

    fn confirm(&mut self) -> BoxFuture<'_, Result<Confirmation, SinkError>> {
        Box::pin(async { tokio::task::block_in_place(|| self.sync()).map(Confirmation::all) })
    }

    fn committed(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async { tokio::task::block_in_place(|| self.settle()) })
    }
}
