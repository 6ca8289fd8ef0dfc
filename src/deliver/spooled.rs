//! A spool with log files in it, as collecting would leave it, for the tests of delivery.

use std::io::Write;
use std::path::Path;

use crate::collect::Shared;
use crate::digest::sha256;
use crate::disk::PRIVATE_FILE;
use crate::ground::Ground;
use crate::ledger::{Collected, Ledger, NewFile, PageEntry};
use crate::spool::{self, Spool};
use crate::words::{Principal, PrincipalKind};

/// Data folder with files of these contents, numbered from 1, in one stream.
pub(super) async fn spooled(folder: &Path, contents: &[Vec<u8>]) -> Shared {
    let ground = Ground::real();
    let (ledger, _thread) = Ledger::open(&folder.join("ledger.db")).unwrap();
    let spool = Spool::open(ground.disk.clone(), &folder.join("spool")).unwrap();
    let principal = Principal { kind: PrincipalKind::Workspace, id: "w".into() };
    let stream = ledger.enable_stream("s".into(), principal, "CODEX_LOG".into(), 0, 0).await.unwrap();
    for (file, content) in (1..).zip(contents) {
        let entry = PageEntry {
            file_id: format!("f{file}"),
            end_time: "2026-11-20T00:00:00Z".into(),
            end_at: 1,
            size: None,
            sha256: None,
        };
        ledger.record_page(stream, vec![entry], None, None, 1).await.unwrap();
        let pending = ledger.due_files(stream, 1, 1, [].into()).await.unwrap().remove(0);
        let names = spool.incoming(pending.row);
        let mut data = ground.disk.create(&names.data, PRIVATE_FILE).unwrap();
        data.write_all(content).unwrap();
        let scanned = spool::scan(ground.disk.as_ref(), data, &names).unwrap();
        let repeats = spool::Finder::new(&spool, &names).unwrap().find(file, &[]).unwrap();
        spool.adopt(&names, file).unwrap();
        let new = NewFile {
            row: pending.row,
            sequence: file,
            fetched_at: "2026-11-20T00:00:00Z".into(),
            fetched_with: None,
            bytes: content.len() as u64,
            sha256: sha256(content),
            records: scanned.records,
            malformed: 0,
            repeats: repeats.encode(file),
            seen: Vec::new(),
        };
        ledger.record_files(vec![new]).await.unwrap();
    }
    let spool_bytes = contents.iter().map(|content| content.len() as u64).sum();
    let next_sequence = contents.len() as u64 + 1;
    let collected = Collected { next_sequence, spool_bytes, ..Collected::default() };
    Shared::new(ground, ledger, spool, u64::MAX, &collected)
}
