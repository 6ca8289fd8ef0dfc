//! What a replay remembers: a folder of its own with its state, its plan and its dead letters.
//!
//! The plan is fixed when a replay begins, so that going on gives the same records in the same order and with
//! the same bytes, whatever was archived meanwhile. The state is replaced as a whole, and only once the sink
//! confirmed what it tells. One process at a time holds the folder; the system lets go of it when that ends.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use crate::archive::find::{PlanFile, Query};
use crate::digest::{hex, sha256};
use crate::disk::{self, Disk, PRIVATE_FILE, PRIVATE_FOLDER};
use crate::sink::About;

/// The version written.
const VERSION: u32 = 1;
/// Digits of an id.
const ID_DIGITS: usize = 16;
const STATE: &str = "state.json";
const PLAN: &str = "plan.json";
const LETTERS: &str = "dead-letters.jsonl";

/// What is replayed, and to where: what makes one replay the same as another.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Request {
    /// The archive's place.
    pub from: String,
    /// The sink.
    pub to: String,
    /// Which records.
    pub query: Query,
    /// Whether they go where live records go.
    pub into_live: bool,
    /// How often the same was done before.
    pub run: u32,
}

impl Request {
    /// Its id: that of the same request is the same.
    pub fn id(&self) -> String {
        let text = serde_json::to_vec(self).expect("texts are always JSON");
        hex(&sha256(&text))[..ID_DIGITS].to_owned()
    }
}

/// Accounts: what became of the records that match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Counts {
    /// Records delivered.
    pub delivered: u64,
    /// Left out: the same record was met in another log file.
    pub repeats: u64,
    /// Left out by the sink's `select`.
    pub deselected: u64,
    /// Refused for good.
    pub dead_letters: u64,
    /// Records without a time that fit in all else, while times were asked for.
    pub untimed: u64,
    /// Records too large to be looked into.
    pub unseen: u64,
    /// Log files read.
    pub files: u64,
    /// Log files that are missing or damaged.
    pub unread: u64,
    /// Bytes of log files read.
    pub bytes: u64,
}

/// A place in the plan; everything before it is dealt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Place {
    /// Which of its files.
    pub file: usize,
    /// From where in that.
    pub offset: u64,
    /// What became of all before.
    pub counts: Counts,
}

/// A replay, as far as it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct State {
    /// See [`VERSION`].
    pub(super) version: u32,
    /// Its id.
    pub id: String,
    /// What is replayed.
    pub request: Request,
    /// When it began, RFC 3339: also what its records say.
    pub began_at: String,
    /// When all was done.
    pub ended_at: Option<String>,
    /// Log files of the plan.
    pub files: u64,
    /// Bytes of their objects.
    pub object_bytes: u64,
    /// How far it is.
    pub place: Place,
    /// What the sink must know again.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub memory: Vec<u8>,
}

impl State {
    /// Of a replay that begins.
    pub fn new(request: Request, began_at: String, files: &[Arc<PlanFile>]) -> Self {
        Self {
            version: VERSION,
            id: request.id(),
            request,
            began_at,
            ended_at: None,
            files: files.len() as u64,
            object_bytes: files.iter().map(|file| file.object_bytes).sum(),
            place: Place::default(),
            memory: Vec::new(),
        }
    }
}

/// Why the folder of a replay cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("this replay is under way already, in another process")]
    Held,
    /// The disk.
    #[error("{path} cannot be used: {source}")]
    Disk {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The folder of one replay, held.
#[derive(Debug)]
pub struct Store {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    _lock: File,
}

impl Store {
    /// Makes the folder in `base` when it is missing, and holds it.
    pub fn hold(disk: Arc<dyn Disk>, base: &Path, id: &str) -> Result<Self, StoreError> {
        let folder = base.join(id);
        let wrap = |source| StoreError::Disk { path: folder.clone(), source };
        disk.create_folder(&folder, PRIVATE_FOLDER).map_err(wrap)?;
        let lock = File::open(&folder).map_err(wrap)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Held),
            Err(TryLockError::Error(source)) => return Err(wrap(source)),
        }
        disk.sync_folder(base).map_err(wrap)?;
        Ok(Self { disk, folder, _lock: lock })
    }

    /// The state of a replay without holding it; none when it never began.
    pub fn look(disk: &dyn Disk, base: &Path, id: &str) -> Result<Option<State>, StoreError> {
        let path = base.join(id).join(STATE);
        let state: Option<State> = read(disk, &path)?;
        match state {
            Some(state) if state.version != VERSION => {
                let what = format!("it has version {}, this program knows {VERSION}", state.version);
                Err(StoreError::Disk { path, source: io::Error::new(ErrorKind::InvalidData, what) })
            }
            state => Ok(state),
        }
    }

    /// The plan of a replay that began.
    pub fn plan(&self) -> Result<Vec<Arc<PlanFile>>, StoreError> {
        let path = self.folder.join(PLAN);
        let files: Option<Vec<PlanFile>> = read(self.disk.as_ref(), &path)?;
        let files = files.ok_or_else(|| StoreError::Disk { path, source: ErrorKind::NotFound.into() })?;
        Ok(files.into_iter().map(Arc::new).collect())
    }

    /// Begins: from now on the same request goes on with this plan.
    pub fn begin(&self, state: &State, plan: &[Arc<PlanFile>]) -> Result<(), StoreError> {
        self.write(PLAN, &plan.iter().map(AsRef::as_ref).collect::<Vec<&PlanFile>>())?;
        self.save(state)
    }

    /// Keeps how far it is.
    pub fn save(&self, state: &State) -> Result<(), StoreError> {
        self.write(STATE, state)
    }

    /// Keeps that all is done; the plan is of no use any more.
    pub fn end(&self, state: &State) -> Result<(), StoreError> {
        self.save(state)?;
        let path = self.folder.join(PLAN);
        self.disk.remove(&path).map_err(|source| StoreError::Disk { path, source })
    }

    /// Notes a record that the sink can never take; where it lies, not what it says.
    pub fn bury(&self, about: &About, offset: u64, reason: &str) -> Result<(), StoreError> {
        let path = self.folder.join(LETTERS);
        let line = serde_json::json!({
            "id": about.id,
            "principal": about.origin.principal,
            "event_type": about.origin.event_type,
            "log_file_id": about.origin.file_id,
            "byte_offset": offset,
            "reason": reason,
        });
        let append = || {
            let mut file = self.disk.open_or_create(&path, PRIVATE_FILE)?;
            file.seek(SeekFrom::End(0))?;
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_data()?;
            self.disk.sync_folder(&self.folder)
        };
        append().map_err(|source| StoreError::Disk { path: path.clone(), source })
    }

    /// Where its dead letters are listed.
    pub fn letters(&self) -> PathBuf {
        self.folder.join(LETTERS)
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), StoreError> {
        let path = self.folder.join(name);
        let bytes = serde_json::to_vec(value).map_err(io::Error::from);
        bytes
            .and_then(|bytes| disk::replace(self.disk.as_ref(), &path, &bytes))
            .map_err(|source| StoreError::Disk { path, source })
    }
}

fn read<T: DeserializeOwned>(disk: &dyn Disk, path: &Path) -> Result<Option<T>, StoreError> {
    let mut bytes = Vec::new();
    let read = || match disk.open(path) {
        Ok(mut file) => {
            file.read_to_end(&mut bytes)?;
            Ok(Some(serde_json::from_slice(&bytes)?))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let mut read = read;
    read().map_err(|source| StoreError::Disk { path: path.to_owned(), source })
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
}
