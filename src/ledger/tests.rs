//! What the ledger promises: no fourth state, no step back, accounts that close.

use std::collections::HashSet;

use super::*;
use crate::words::{Principal, PrincipalKind};

const NOW: i64 = 1_800_000_000;

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(second).unwrap()
}

fn by() -> Stamp {
    Stamp { at: at(NOW), actor: Actor::user(7, Some("ann".into()), None) }
}

struct Bench {
    ledger: Ledger,
    stream: StreamId,
    _folder: tempfile::TempDir,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _thread) = Ledger::open(&folder.path().join("ledger.db")).unwrap();
    let principal = Principal { kind: PrincipalKind::Workspace, id: "w".into() };
    let stream =
        ledger.enable_stream("codex".into(), principal, "CODEX_LOG".into(), NOW - 100, NOW).await.unwrap();
    Bench { ledger, stream, _folder: folder }
}

fn entry(id: &str, end_at: i64) -> PageEntry {
    let end_time = format!("t{end_at}");
    PageEntry { file_id: id.into(), end_time, end_at, size: Some(10), sha256: Some([7; 32]) }
}

impl Bench {
    async fn page(&self, entries: &[(&str, i64)], cursor: Option<i64>, now: i64) -> usize {
        let entries = entries.iter().map(|(id, end_at)| entry(id, *end_at)).collect();
        let covered = cursor.map(|until| Interval { from: NOW - 100, until, listed_at: Some(now) });
        let cursor = cursor.map(|end| format!("t{end}"));
        self.ledger.record_page(self.stream, entries, cursor, covered, now).await.unwrap()
    }

    async fn row(&self) -> StreamRow {
        self.ledger.stream(self.stream).await.unwrap()
    }

    async fn pending(&self, now: i64) -> Vec<PendingFile> {
        self.ledger.due_files(self.stream, now, 100, HashSet::new()).await.unwrap()
    }

    async fn spool(&self, file: &PendingFile, sequence: u64, records: u64) -> Result<(), LedgerError> {
        let new = NewFile {
            row: file.row,
            sequence,
            fetched_at: format!("2027-01-15T08:00:0{sequence}Z"),
            fetched_with: Some("sk-…abcd".into()),
            bytes: 10,
            sha256: [7; 32],
            records,
            malformed: 0,
            repeats: Vec::new(),
            seen: Vec::new(),
        };
        self.ledger.record_files(vec![new]).await.map(drop)
    }
}

#[tokio::test]
async fn a_page_and_its_cursor_are_one_and_known_ids_cost_nothing() {
    let bench = bench().await;
    assert_eq!(bench.page(&[("a", NOW - 50), ("b", NOW - 40)], Some(NOW - 40), NOW).await, 2);
    assert_eq!(bench.page(&[("b", NOW - 40), ("c", NOW - 45)], None, NOW + 10).await, 1);
    let row = bench.row().await;
    assert_eq!(row.cursor, Some(format!("t{}", NOW - 40)));
    assert_eq!((row.uncovered, row.files_pending), (NOW - 40, 3));
    assert_eq!(row.lateness_max, 5, "c came after b, which is newer");
    assert_eq!(row.oldest_pending, Some(NOW - 50));
    let order: Vec<String> = bench.pending(NOW).await.into_iter().map(|file| file.file_id).collect();
    assert_eq!(order, ["a", "c", "b"], "the soonest to expire first");
}

#[tokio::test]
async fn a_file_is_pending_spooled_or_a_hole() {
    let bench = bench().await;
    bench.page(&[("a", NOW - 50), ("b", NOW - 40), ("c", NOW - 30)], Some(NOW - 30), NOW).await;
    let files = bench.pending(NOW).await;
    bench.spool(&files[0], 1, 5).await.unwrap();
    assert!(bench.spool(&files[0], 2, 5).await.is_err(), "a file becomes real once");
    bench.ledger.put_off(files[1].row, NOW + 60, "no route".into()).await.unwrap();
    bench.ledger.record_hole(files[2].row, "gone".into(), at(NOW)).await.unwrap();
    let row = bench.row().await;
    assert_eq!((row.files_collected, row.files_pending, row.holes, row.holes_open), (1, 1, 1, 1));
    assert!(bench.pending(NOW).await.is_empty(), "b is put off");
    assert_eq!(bench.ledger.next_attempt(bench.stream).await.unwrap(), Some(NOW + 60));
    bench.ledger.forgive_pending().await.unwrap();
    assert_eq!(bench.pending(NOW).await[0].attempts, 1);
    let hole = bench.ledger.holes().await.unwrap().remove(0);
    assert!(bench.ledger.acknowledge_hole(hole.id, by()).await.unwrap());
    assert_eq!(bench.row().await.holes_open, 0);
    assert!(bench.ledger.retry_hole(hole.id, by()).await.unwrap());
    assert!(!bench.ledger.retry_hole(hole.id, by()).await.unwrap(), "it is pending now");
    assert_eq!(bench.row().await.files_pending, 2);
}

#[tokio::test]
async fn a_sink_knows_what_is_left_for_it() {
    let bench = bench().await;
    bench.page(&[("a", NOW - 50), ("b", NOW - 40)], Some(NOW - 40), NOW).await;
    let files = bench.pending(NOW).await;
    bench.spool(&files[0], 1, 5).await.unwrap();
    let sink = |name: &str, start| bench.ledger.enable_sink(name.to_owned(), "file", "durable", start, false);
    let first = sink("first", SinkStart::Beginning).await.unwrap();
    let late = sink("late", SinkStart::Now).await.unwrap();
    bench.spool(&files[1], 2, 3).await.unwrap();
    assert_eq!((first.start, late.start), (1, 2));
    let position = Position { sequence: 1, record: 4 };
    let counts = Counts { delivered: 3, repeats: 1, ..Counts::default() };
    bench.ledger.record_position("first".into(), position, counts, b"memory".to_vec()).await.unwrap();
    let rows = bench.ledger.sinks().await.unwrap();
    assert_eq!((rows[0].records_pending, rows[0].files_pending), (4, 2));
    assert_eq!((rows[1].records_pending, rows[1].files_pending), (3, 1));
    assert_eq!(rows[0].oldest_pending.as_deref(), Some("2027-01-15T08:00:01Z"));
    assert_eq!(bench.ledger.collected().await.unwrap().records, 8);
    bench.ledger.disable_sinks().await.unwrap();
    let again = sink("first", SinkStart::Beginning).await.unwrap();
    assert_eq!((again.position, again.counts, again.memory), (position, counts, Some(b"memory".to_vec())));
}

#[tokio::test]
async fn removed_files_are_named_once_and_the_rest_stays() {
    let bench = bench().await;
    bench.page(&[("a", NOW - 50), ("b", NOW - 40)], Some(NOW - 40), NOW).await;
    for (file, sequence) in bench.pending(NOW).await.iter().zip(1..) {
        bench.spool(file, sequence, 1).await.unwrap();
    }
    let before = "2027-01-15T08:00:09Z".to_owned();
    assert_eq!(bench.ledger.remove_files(2, before.clone(), 9).await.unwrap(), [(1, 10)]);
    assert_eq!(bench.ledger.remove_files(2, before, 9).await.unwrap(), []);
    assert_eq!(bench.ledger.kept().await.unwrap(), HashSet::from([2]));
    assert_eq!(bench.ledger.collected().await.unwrap().spool_bytes, 10);
}

#[tokio::test]
async fn a_gap_is_a_hole_of_its_own_and_told_once() {
    let bench = bench().await;
    bench.page(&[("a", NOW - 50)], Some(NOW - 50), NOW).await;
    for _ in 0..2 {
        let moment = ("t".to_owned(), NOW - 20);
        bench.ledger.record_gap(bench.stream, "tie".into(), moment, "why", NOW).await.unwrap();
    }
    bench.ledger.record_expired(bench.stream, NOW - 60, NOW - 10, NOW).await.unwrap();
    let row = bench.row().await;
    assert_eq!((row.holes, row.files_pending, row.uncovered), (1, 1, NOW - 10));
    let hole = bench.ledger.holes().await.unwrap().remove(0);
    assert_eq!((hole.file_id.as_str(), hole.reason.as_str()), ("gap:tie", "why"));
    assert!(!bench.ledger.retry_hole(hole.id, by()).await.unwrap(), "there is nothing to fetch");
    assert!(bench.ledger.acknowledge_hole(hole.id, by()).await.unwrap());
}

#[tokio::test]
async fn a_stream_that_shall_reach_further_back_is_listed_from_there() {
    let bench = bench().await;
    let covered = Interval { from: NOW - 100, until: NOW, listed_at: Some(NOW) };
    bench.ledger.record_listing(bench.stream, covered, NOW, true, None).await.unwrap();
    let enable = async |started_at| {
        let principal = Principal { kind: PrincipalKind::Workspace, id: "w".into() };
        bench
            .ledger
            .enable_stream("codex".into(), principal, "CODEX_LOG".into(), started_at, NOW)
            .await
            .unwrap()
    };
    enable(NOW - 50).await;
    assert_eq!((bench.row().await.started_at, bench.row().await.swept_at), (NOW - 100, Some(NOW)));
    enable(NOW - 500).await;
    assert_eq!((bench.row().await.started_at, bench.row().await.swept_at), (NOW - 500, Some(NOW)));
    assert_eq!(bench.row().await.uncovered, NOW - 500);
}

#[tokio::test]
async fn a_listing_that_was_corrected_and_a_hole_that_is_listed_again_are_fetched() {
    let bench = bench().await;
    bench.page(&[("a", NOW - 50), ("b", NOW - 40), ("c", NOW - 30)], Some(NOW - 30), NOW).await;
    let files = bench.pending(NOW).await;
    bench.ledger.put_off(files[0].row, NOW + 900, "mismatch".into()).await.unwrap();
    bench.ledger.record_hole(files[1].row, "gone".into(), at(NOW)).await.unwrap();
    bench.spool(&files[2], 1, 5).await.unwrap();
    let listed = |id: &str, hash: u8| PageEntry { sha256: Some([hash; 32]), ..entry(id, NOW - 50) };
    let again = vec![listed("a", 9), listed("b", 7), listed("c", 7)];
    assert_eq!(bench.ledger.record_page(bench.stream, again, None, None, NOW).await.unwrap(), 2);
    let pending = bench.pending(NOW).await;
    assert_eq!(pending.len(), 2);
    assert_eq!(pending.iter().find(|file| file.file_id == "a").unwrap().sha256, Some([9; 32]));
    for _ in 0..2 {
        let changed = vec![listed("c", 8)];
        assert_eq!(bench.ledger.record_page(bench.stream, changed, None, None, NOW).await.unwrap(), 0);
    }
    let holes = bench.ledger.holes().await.unwrap();
    assert_eq!(holes.len(), 1, "a spooled file that changes is an alarm, once");
    assert!(holes[0].file_id.ends_with("-c"));
}

#[tokio::test]
async fn a_damaged_file_is_fetched_again_for_its_own_place() {
    let bench = bench().await;
    bench.page(&[("a", NOW - 50)], Some(NOW - 50), NOW).await;
    let file = bench.pending(NOW).await.remove(0);
    bench.spool(&file, 1, 5).await.unwrap();
    assert_eq!(bench.ledger.next_attempt(bench.stream).await.unwrap(), None);
    bench.ledger.mark_damaged(1).await.unwrap();
    let due = bench.pending(NOW).await;
    assert_eq!((due[0].row, due[0].repairs, due[0].size), (file.row, Some(1), Some(10)));
    bench.ledger.record_repair(file.row).await.unwrap();
    assert!(bench.pending(NOW).await.is_empty());
    assert_eq!(bench.row().await.files_collected, 1);
}
