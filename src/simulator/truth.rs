//! What a test compares with: every file, with what can be had of it.

use serde::Serialize;

use super::catalogue::File;
use super::chaos::{self, Case};
use super::state::State;
use super::{ORGANIZATION, WORKSPACE};
use crate::digest::hex;
use crate::words::PrincipalKind;

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Log files in all.
    pub files: u64,
    /// Records in them, repeats included.
    pub records: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Answers with a file's bytes so far.
    pub served_files: u64,
    /// Bytes in those answers.
    pub served_bytes: u64,
}

/// Every file there is or will be, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Truth {
    /// The files.
    pub files: Vec<TruthFile>,
}

/// One log file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TruthFile {
    /// Id of the workspace or organization.
    pub principal: &'static str,
    /// Event type.
    pub event_type: &'static str,
    /// File id.
    pub id: String,
    /// As it is listed.
    pub end_time: String,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
    /// JSON texts, and lines that are none.
    pub records: u64,
    /// Listed, but it can never be had.
    pub gone: bool,
    /// The API refuses its event type: it is never listed.
    pub unsupported: bool,
    /// Shown only after this many listings to the stream's end.
    pub late: u32,
    /// Its case of chaos, by name.
    pub case: Option<&'static str>,
}

/// Id of a principal.
pub(super) fn principal(kind: PrincipalKind) -> &'static str {
    if kind == PrincipalKind::Organization { ORGANIZATION } else { WORKSPACE }
}

pub(super) fn of(state: &State) -> Truth {
    let one = |file: &File| TruthFile {
        principal: principal(file.kind),
        event_type: file.event_type,
        id: file.id.clone(),
        end_time: file.end_time(),
        size: file.size,
        sha256: hex(&file.sha256),
        records: file.records,
        gone: file.case.is_some_and(Case::is_gone),
        unsupported: state.chaos && file.event_type == chaos::UNSUPPORTED,
        late: chaos::shown_after(file.case),
        case: file.case.map(Case::name),
    };
    Truth { files: state.catalogue.files.iter().map(one).collect() }
}

pub(super) fn summary(state: &State) -> Summary {
    let files = &state.catalogue.files;
    let (served_files, served_bytes) = state.served();
    Summary {
        files: files.len() as u64,
        records: files.iter().map(|file| file.records).sum(),
        bytes: files.iter().map(|file| file.size).sum(),
        served_files,
        served_bytes,
    }
}
