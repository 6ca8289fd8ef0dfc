//! The spool over a real folder: what was downloaded comes back record by record, and repeats are found.

use std::io::Write;

use super::ids::{IdsReader, IdsWriter, Key, RUN};
use super::*;
use crate::digest::{self, sha256};
use crate::disk::{PRIVATE_FILE, RealDisk};
use crate::limits;
use crate::record::reader::Shape;

struct Folder {
    _folder: tempfile::TempDir,
    spool: Spool,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(Arc::new(RealDisk), &folder.path().join("spool")).unwrap();
        Self { _folder: folder, spool }
    }

    /// As a download: written, scanned, not adopted.
    fn download(&self, row: i64, bytes: &[u8]) -> (Names, Scanned) {
        let names = self.spool.incoming(row);
        let mut data = self.spool.disk().create(&names.data, PRIVATE_FILE).unwrap();
        data.write_all(bytes).unwrap();
        let scanned = scan(self.spool.disk().as_ref(), data, &names).unwrap();
        (names, scanned)
    }

    /// Takes a whole file in, and says what of it repeats.
    fn collect(&self, sequence: u64, bytes: &[u8], earlier: &[u64]) -> Repeats {
        let (names, _) = self.download(1, bytes);
        let repeats = Finder::new(&self.spool, &names).unwrap().find(sequence, earlier).unwrap();
        self.spool.adopt(&names, sequence).unwrap();
        self.spool.sync().unwrap();
        repeats
    }

    fn names(&self) -> Vec<String> {
        let entries = self.spool.disk().list(&self.spool.folder).unwrap();
        entries.into_iter().map(|entry| entry.name).collect()
    }
}

fn line(event_id: &str, text: &str) -> String {
    format!("{{\"event_id\":\"{event_id}\",\"text\":\"{text}\"}}\n")
}

#[test]
fn records_come_back_as_they_were() {
    let folder = Folder::new();
    let file = format!("{}\r\n\nnot JSON\n{{}}{{}}", line("a", "é").trim_end());
    let (names, scanned) = folder.download(7, file.as_bytes());
    assert_eq!(scanned, Scanned { records: 4, malformed: 1 });
    folder.spool.adopt(&names, 42).unwrap();
    let mut reader = FileReader::open(&folder.spool, 42, 4, 0).unwrap();
    let mut seen = Vec::new();
    while let Some(next) = reader.peek().unwrap() {
        let (entry, bytes) = reader.next().unwrap().unwrap();
        assert_eq!(entry, next);
        assert_eq!(entry.sha256, sha256(bytes));
        let start = usize::try_from(entry.offset).unwrap();
        assert_eq!(bytes, &file.as_bytes()[start..start + entry.length as usize]);
        seen.push((entry.line, entry.shape, entry.has_event_id, String::from_utf8(bytes.to_vec()).unwrap()));
    }
    assert!(reader.next().unwrap().is_none());
    assert_eq!(
        seen,
        [
            (1, Shape::Object, true, line("a", "é").trim_end().to_owned()),
            (3, Shape::Malformed, false, "not JSON".to_owned()),
            (4, Shape::Object, false, "{}".to_owned()),
            (4, Shape::Object, false, "{}".to_owned()),
        ]
    );
    let mut later = FileReader::open(&folder.spool, 42, 4, 2).unwrap();
    later.skip().unwrap();
    assert_eq!(later.peek().unwrap().unwrap().offset, file.len() as u64 - 2);
    later.skip().unwrap();
    assert_eq!(later.peek().unwrap(), None);
    assert!(FileReader::open(&folder.spool, 42, 4, 4).unwrap().next().unwrap().is_none());
}

#[test]
fn an_empty_file_is_a_file() {
    let folder = Folder::new();
    for (sequence, bytes) in [(1, &b""[..]), (2, b"\n\r\n")] {
        let (names, scanned) = folder.download(1, bytes);
        assert_eq!(scanned, Scanned::default());
        let repeats = Finder::new(&folder.spool, &names).unwrap().find(sequence, &[]).unwrap();
        assert_eq!(repeats, Repeats::default());
        folder.spool.adopt(&names, sequence).unwrap();
        assert_eq!(FileReader::open(&folder.spool, sequence, 0, 0).unwrap().peek().unwrap(), None);
    }
}

#[test]
fn the_window_slides_and_shrinks() {
    let folder = Folder::new();
    let huge = line("huge", &"x".repeat(3 * limits::READ_WINDOW));
    let mut file = String::new();
    for number in 0..5000 {
        file.push_str(&line(&format!("e{number}"), &"y".repeat(number % 300)));
        if number % 2000 == 1999 {
            file.push_str(&huge);
        }
    }
    let (names, scanned) = folder.download(1, file.as_bytes());
    folder.spool.adopt(&names, 1).unwrap();
    let mut reader = FileReader::open(&folder.spool, 1, scanned.records, 0).unwrap();
    for (number, line) in file.lines().enumerate() {
        reader.peek().unwrap();
        assert!(
            reader.window.capacity() <= limits::READ_WINDOW,
            "memory is given back before record {number}"
        );
        if number % 7 == 3 {
            reader.skip().unwrap();
        } else {
            assert_eq!(reader.next().unwrap().unwrap().1, line.as_bytes());
        }
    }
    assert!(reader.next().unwrap().is_none());
}

#[test]
fn huge_records_go_by_reference() {
    let folder = Folder::new();
    let limit = usize::try_from(limits::MAX_RECORD_BYTES).unwrap();
    let file =
        [line("h\\u0031", &"x".repeat(limit)), line("", &"x".repeat(limit)), line("small", "")].concat();
    let (names, scanned) = folder.download(1, file.as_bytes());
    assert_eq!(scanned, Scanned { records: 3, malformed: 0 });
    folder.spool.adopt(&names, 1).unwrap();
    let mut reader = FileReader::open(&folder.spool, 1, 3, 0).unwrap();
    assert_eq!(reader.event_id().unwrap().as_deref(), Some(r#""h\u0031""#));
    let (entry, bytes) = reader.next().unwrap().unwrap();
    assert_eq!((entry.shape, entry.has_event_id, bytes.len()), (Shape::Oversized, true, 0));
    assert_eq!(entry.length as usize, line("h\\u0031", "").len() - 1 + limit);
    assert!(!reader.peek().unwrap().unwrap().has_event_id);
    assert_eq!(reader.event_id().unwrap(), None);
    reader.skip().unwrap();
    assert_eq!(reader.next().unwrap().unwrap().1, line("small", "").trim_end().as_bytes());
    let again = folder.collect(2, file.as_bytes(), &[1]);
    assert_eq!(
        [again.get(0), again.get(1), again.get(2)],
        [Some(Earlier::Same(1)), None, Some(Earlier::Same(1))]
    );
}

#[test]
fn a_spool_file_that_lost_bytes_is_an_error() {
    let folder = Folder::new();
    let file = line("a", "b");
    folder.collect(1, file.as_bytes(), &[]);
    let mut data = folder.spool.disk().open_or_create(&folder.spool.names(1).data, PRIVATE_FILE).unwrap();
    data.set_length(file.len() as u64 - 4).unwrap();
    let error = FileReader::open(&folder.spool, 1, 1, 0).unwrap().next().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn repeats_are_found_in_the_same_file_and_in_others() {
    let folder = Folder::new();
    let first = [line("a", "1"), line("b", "1"), line("c", "1"), "{\"n\":1}\n".to_owned()].concat();
    assert_eq!(folder.collect(3, first.as_bytes(), &[]), Repeats::default());
    let second = [
        line("b", "1"),
        line("b", "1"),
        line("c", "2"),
        line("d", "1"),
        "{\"n\":1}\n".to_owned(),
        line("c", "1"),
    ];
    let repeats = folder.collect(5, second.concat().as_bytes(), &[3]);
    let all: Vec<_> = (0..7).map(|record| repeats.get(record)).collect();
    assert_eq!(
        all,
        [
            Some(Earlier::Same(3)),
            Some(Earlier::Same(5)),
            Some(Earlier::Different),
            None,
            None,
            Some(Earlier::Same(3)),
            None
        ]
    );
    assert_eq!(repeats.different(), 1);
    // The latest copy counts, and only files that are asked for.
    let third = [line("b", "1"), line("a", "1"), line("c", "2"), line("c", "3")].concat();
    let repeats = folder.collect(9, third.as_bytes(), &[3, 5]);
    let all: Vec<_> = (0..4).map(|record| repeats.get(record)).collect();
    assert_eq!(
        all,
        [Some(Earlier::Same(5)), Some(Earlier::Same(3)), Some(Earlier::Same(5)), Some(Earlier::Different)]
    );
    assert_eq!(folder.collect(11, line("a", "1").as_bytes(), &[5]).get(0), None);
    assert_eq!(Repeats::decode(9, &repeats.encode(9)), repeats);
}

#[test]
fn an_id_with_other_content_is_told_in_one_file_too() {
    // Whichever of the two hashes sorts first.
    for texts in [["1", "2"], ["2", "1"], ["3", "1"], ["1", "3"]] {
        let folder = Folder::new();
        let file =
            [line("a", texts[0]), line("a", texts[1]), line("a", texts[1]), line("a", texts[0])].concat();
        let repeats = folder.collect(1, file.as_bytes(), &[]);
        let all: Vec<_> = (0..4).map(|record| repeats.get(record)).collect();
        let same = Some(Earlier::Same(1));
        assert_eq!(all, [None, Some(Earlier::Different), same, same], "{texts:?}");
    }
}

#[test]
fn ids_of_a_removed_file_still_find_repeats() {
    let folder = Folder::new();
    folder.collect(1, line("a", "1").as_bytes(), &[]);
    folder.spool.remove_data(1).unwrap();
    assert_eq!(folder.collect(2, line("a", "1").as_bytes(), &[1]).get(0), Some(Earlier::Same(1)));
    // Half of the lists, or none: then it is no repeat that anybody knows of.
    folder.spool.disk().remove(&folder.spool.names(1).index).unwrap();
    assert_eq!(folder.collect(3, line("a", "1").as_bytes(), &[1]).get(0), None);
    assert_eq!(folder.collect(4, line("a", "1").as_bytes(), &[77]).get(0), None);
}

#[test]
fn repeats_are_found_across_runs() {
    let folder = Folder::new();
    let many = RUN + 10;
    let mut file: String = (0..many).map(|number| line(&format!("e{number}"), "1")).collect();
    file.push_str(&line("e0", "1"));
    file.push_str(&line(&format!("e{}", many - 1), "2"));
    let repeats = folder.collect(1, file.as_bytes(), &[]);
    let last = many as u64;
    assert_eq!(
        [repeats.get(last - 1), repeats.get(last), repeats.get(last + 1)],
        [None, Some(Earlier::Same(1)), Some(Earlier::Different)]
    );
    assert_eq!(repeats.get(0), None);
    let again = folder.collect(2, file.as_bytes(), &[1]);
    assert!((0..last).all(|record| again.get(record) == Some(Earlier::Same(1))));
    assert_eq!(again.get(last), Some(Earlier::Same(2)));
    assert_eq!(again.get(last + 1), Some(Earlier::Same(1)));
}

#[test]
fn ids_come_back_in_sorted_runs() {
    let mut writer = IdsWriter::new(Vec::new());
    let count = u32::try_from(RUN).unwrap() + 3;
    for record in 0..count {
        writer.push(Key::new(&format!("e{record}"), &digest::sha256(&record.to_le_bytes()), record)).unwrap();
    }
    let bytes = writer.finish().unwrap();
    let mut reader = IdsReader::new(&bytes[..]);
    let (mut run, mut records) = (Vec::new(), Vec::new());
    let mut lengths = Vec::new();
    while reader.next_run(&mut run).unwrap() {
        assert!(run.is_sorted());
        lengths.push(run.len());
        records.extend(run.iter().map(|key| key.record));
    }
    assert_eq!(lengths, [RUN, 3]);
    records.sort_unstable();
    assert!(records.into_iter().eq(0..count));
}

#[test]
fn recovery_removes_what_no_transaction_made_real() {
    let folder = Folder::new();
    for sequence in [1, 2, 3, 8] {
        folder.collect(sequence, line("a", "1").as_bytes(), &[]);
    }
    folder.download(5, b"{}\n");
    std::fs::write(folder.spool.folder.join("notes.txt"), "an operator's").unwrap();
    // 1: too old even for its ids; 2: removed, its ids are kept; 3: kept; 8: renamed, never recorded.
    for _ in 0..2 {
        folder.spool.recover(&HashSet::from([3]), 2, 8).unwrap();
        assert_eq!(
            folder.names(),
            [
                "000000000002.ids",
                "000000000002.index",
                "000000000003.ids",
                "000000000003.index",
                "000000000003.jsonl",
                "notes.txt"
            ]
        );
    }
    assert_eq!(folder.spool.sequences().unwrap(), HashSet::from([2, 3]));
    folder.spool.discard(&folder.spool.names(3)).unwrap();
    folder.spool.discard(&folder.spool.names(3)).unwrap();
    assert_eq!(folder.spool.sequences().unwrap(), HashSet::from([2]));
}

#[test]
fn names_sort_as_numbers() {
    let folder = Folder::new();
    let names = folder.spool.names(42);
    assert!(names.data.ends_with("000000000042.jsonl") && names.index.ends_with("000000000042.index"));
    assert!(names.ids.ends_with("000000000042.ids"));
    assert!(folder.spool.incoming(5).data.ends_with("incoming-5.jsonl"));
}
