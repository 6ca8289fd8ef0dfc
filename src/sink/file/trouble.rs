//! What an error of the file system means for delivery.

use std::io;
use std::path::Path;

use crate::sink::{SinkError, local};

/// See [`local::cannot`]; a full disk may also be one that keeps too much.
pub(super) fn cannot(what: &str, path: &Path) -> impl Fn(io::Error) -> SinkError {
    local::cannot(what, path, ", or lower keep_bytes or keep_for")
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::recovery::Recovery;

    #[test]
    fn a_full_disk_pauses_and_a_bad_one_is_tried_again() {
        let full = cannot("write", Path::new("/x/custodex.jsonl"))(ErrorKind::StorageFull.into());
        assert!(matches!(full.recovery, Recovery::Pause { hint } if hint.contains("keep_bytes")));
        assert!(full.message.starts_with("cannot write /x/custodex.jsonl: "), "{}", full.message);
        let bad = cannot("sync", Path::new("/x"))(io::Error::from_raw_os_error(5));
        assert_eq!(bad.recovery, Recovery::Retry { after: None });
    }
}
