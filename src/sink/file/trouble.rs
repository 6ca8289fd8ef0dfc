//! What an error of the file system means for delivery.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::recovery::Recovery;
use crate::sink::SinkError;

/// Says what could not be done, where, and what comes next.
pub(super) fn cannot(what: &str, path: &Path) -> impl Fn(io::Error) -> SinkError {
    move |error| {
        let recovery = match hint(error.kind(), path) {
            Some(hint) => Recovery::Pause { hint },
            None => Recovery::Retry { after: None },
        };
        SinkError::new(format!("cannot {what} {}: {error}", path.display()), recovery)
    }
}

fn hint(kind: ErrorKind, path: &Path) -> Option<String> {
    let path = path.display();
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Some(format!("make room on the file system of {path}, or lower keep_bytes or keep_for"))
        }
        ErrorKind::PermissionDenied => Some(format!("let the daemon's user write to {path}")),
        ErrorKind::ReadOnlyFilesystem => Some(format!("mount the file system of {path} for writing")),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            Some(format!("see that every part of {path} is what it should be, and writable"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_pauses_and_a_bad_one_is_tried_again() {
        let full = cannot("write", Path::new("/x/custodex.jsonl"))(ErrorKind::StorageFull.into());
        assert!(matches!(full.recovery, Recovery::Pause { hint } if hint.contains("keep_bytes")));
        assert!(full.message.starts_with("cannot write /x/custodex.jsonl: "), "{}", full.message);
        let bad = cannot("sync", Path::new("/x"))(io::Error::from_raw_os_error(5));
        assert_eq!(bad.recovery, Recovery::Retry { after: None });
    }
}
