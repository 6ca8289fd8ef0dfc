//! The audit trail: an event is there with its change or not at all, and a file of it has the same bytes twice.

use std::collections::HashSet;

use super::*;
use crate::ledger::{Chain, Counts, Interval, NewFile, PageEntry, Position, Seen, SinkStart, StreamId};
use crate::words::Principal;

const NOW: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn by() -> Stamp {
    Stamp { at: at(NOW), actor: Actor::user(7, Some("ann".into()), Some("bo".into())) }
}

struct Bench {
    ledger: Ledger,
    stream: StreamId,
    folder: tempfile::TempDir,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _thread) = Ledger::open(&folder.path().join("ledger.db")).unwrap();
    let principal = Principal { kind: PrincipalKind::Workspace, id: "w".into() };
    let stream = ledger.enable_stream("s".into(), principal, "AUTH_LOG".into(), NOW, NOW).await.unwrap();
    Bench { ledger, stream, folder }
}

impl Bench {
    /// Lists files; answers their rows.
    async fn list(&self, ids: &[&str]) -> Vec<PendingFile> {
        let entry = |id: &&str| PageEntry {
            file_id: (*id).to_owned(),
            end_time: "t".into(),
            end_at: NOW,
            size: None,
            sha256: None,
        };
        let entries = ids.iter().map(entry).collect();
        self.ledger.record_page(self.stream, entries, None, None, NOW).await.unwrap();
        self.ledger.due_files(self.stream, NOW, 99, HashSet::new()).await.unwrap()
    }

    async fn spool(&self, file: &PendingFile, sequence: u64, records: u64, seen: Vec<Seen>) -> Vec<String> {
        let new = NewFile {
            row: file.row,
            sequence,
            fetched_at: at(NOW).to_string(),
            fetched_with: None,
            bytes: 1,
            sha256: file.sha256.unwrap_or_default(),
            records,
            malformed: 0,
            repeats: Vec::new(),
            seen,
        };
        let news = self.ledger.record_files(vec![new]).await.unwrap();
        news.into_iter().map(|row| format!("{} {}", row.kind, row.name)).collect()
    }

    /// Actions of the events that wait.
    async fn waiting(&self) -> Vec<String> {
        let read = |connection: &Connection| {
            let mut statement = connection.prepare("SELECT action FROM own_event ORDER BY id")?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        self.ledger.call(read).await.unwrap()
    }

    async fn next(&self) -> Option<OwnFile> {
        self.ledger.next_own_file("here".into(), NOW).await.unwrap()
    }
}

fn records(file: &OwnFile) -> Vec<Value> {
    let text = std::str::from_utf8(&file.content).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn an_event_is_there_with_its_change_and_only_then() {
    let bench = bench().await;
    let files = bench.list(&["a", "b"]).await;
    for _ in 0..2 {
        bench.ledger.record_hole(files[0].row, "gone".into(), at(NOW)).await.unwrap();
    }
    assert!(!bench.ledger.acknowledge_hole(files[1].row, by()).await.unwrap(), "it is no hole");
    assert!(bench.ledger.acknowledge_hole(files[0].row, by()).await.unwrap());
    assert!(bench.ledger.retry_hole(files[0].row, by()).await.unwrap());
    assert!(!bench.ledger.retry_hole(files[0].row, by()).await.unwrap());
    for _ in 0..2 {
        bench.ledger.record_gap(bench.stream, "tie".into(), ("t".into(), NOW), "why", NOW).await.unwrap();
    }
    assert_eq!(bench.ledger.retry_letters(None, by()).await.unwrap(), 0);
    bench.ledger.record_hole(files[1].row, "gone".into(), at(NOW)).await.unwrap();
    bench.list(&["b"]).await;
    let expected = [
        "HOLE_RECORDED",
        "HOLE_ACKNOWLEDGED",
        "HOLE_RETRIED",
        "HOLE_RECORDED",
        "HOLE_RECORDED",
        "HOLE_LISTED_AGAIN",
    ];
    assert_eq!(bench.waiting().await, expected);
    // A change that is undone takes its event with it.
    let undone = bench.ledger.call(|connection| {
        append(connection, &by(), &Event::new(Action::SendTest, Target::new("sink", "s"), Value::Null))?;
        Err::<(), _>(rusqlite::Error::InvalidQuery)
    });
    assert!(undone.await.is_err());
    assert_eq!(bench.waiting().await, expected);
    let file = bench.next().await.unwrap();
    let all = records(&file);
    assert_eq!(
        all[1],
        json!({
            "event_id": all[1]["event_id"], "type": "CUSTODEX_LOG", "timestamp": "2027-01-15T08:00:00Z",
            "sequence": 2, "principal": { "id": "here", "type": "CUSTODEX_INSTANCE" },
            "actor": { "type": "USER", "id": "7", "name": "ann", "on_behalf_of": "bo" },
            "action": "HOLE_ACKNOWLEDGED",
            "target": { "kind": "log_file", "id": "a", "name": "AUTH_LOG" },
            "hole": files[0].row, "stream": "w/AUTH_LOG", "end_time": "t", "reason": "gone"
        })
    );
    let numbers: Vec<i64> = all.iter().map(|one| one["sequence"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_crash_repeats_the_same_bytes_until_the_file_is_real() {
    let bench = bench().await;
    let event = |number: u32| {
        let details = json!({ "number": number, "actor": "forged", "sequence": 9 });
        Event::new(Action::CaseMade, Target::new("case", "c"), details)
    };
    for number in 0..3 {
        bench.ledger.append_event(by(), event(number)).await.unwrap();
    }
    let first = bench.next().await.unwrap();
    bench.ledger.append_event(by(), event(3)).await.unwrap();
    // As a new process would find it.
    let (again, _thread) = Ledger::open(&bench.folder.path().join("ledger.db")).unwrap();
    let second = again.next_own_file("here".into(), NOW + 5).await.unwrap().unwrap();
    assert_eq!((&second.file.file_id, second.file.row), (&first.file.file_id, first.file.row));
    assert_eq!(second.content, first.content);
    assert_eq!(first.file.sha256, Some(sha256(&first.content)));
    assert_eq!(first.file.file_id, format!("custodex-{}", hex(&sha256(&first.content)[..16])));
    assert!(records(&first).iter().all(|one| one["actor"]["type"] == "USER" && one["number"].is_u64()));
    bench.spool(&first.file, 1, 3, Vec::new()).await;
    let third = bench.next().await.unwrap();
    assert_eq!(records(&third).len(), 1);
    assert_eq!(records(&third)[0]["sequence"], 4);
    bench.spool(&third.file, 2, 1, Vec::new()).await;
    assert!(bench.next().await.is_none());
    // Damage is mended from here, as long as the spool holds the file.
    bench.ledger.mark_damaged(1).await.unwrap();
    let mended = bench.next().await.unwrap();
    assert_eq!((mended.file.repairs, &mended.content), (Some(1), &first.content));
    bench.ledger.record_repair(mended.file.row).await.unwrap();
    bench.ledger.remove_files(2, "9".into(), 9).await.unwrap();
    let kept = "SELECT count(*) FROM own_file";
    let kept =
        bench.ledger.call(move |connection| connection.query_row(kept, [], |row| row.get::<_, u64>(0)));
    assert_eq!(kept.await.unwrap(), 1);
}

#[tokio::test]
async fn the_trail_is_no_stream_and_counts_where_it_is_named() {
    let bench = bench().await;
    let listed = bench.list(&["a"]).await;
    let enable = async |name: &str, own| {
        let kind = bench.ledger.enable_sink(name.into(), "t", "durable", SinkStart::Beginning, own);
        kind.await.unwrap()
    };
    enable("named", true).await;
    enable("other", false).await;
    bench.spool(&listed[0], 1, 5, Vec::new()).await;
    let event = Event::new(Action::CaseMade, Target::new("case", "c"), Value::Null);
    bench.ledger.append_event(by(), event).await.unwrap();
    let own = bench.next().await.unwrap();
    bench.spool(&own.file, 2, 1, Vec::new()).await;
    let facts = bench.ledger.facts(NOW).await.unwrap();
    assert_eq!(facts.streams.len(), 1);
    assert_eq!((facts.collected.records, facts.collected.next_sequence), (5, 3));
    let left: Vec<(u64, u64)> =
        facts.sinks.iter().map(|sink| (sink.records_pending, sink.files_pending)).collect();
    assert_eq!(left, [(6, 2), (5, 1)]);
    assert_eq!(bench.ledger.covered_since(0).await.unwrap().len(), 1, "nobody lists it");
    assert!(!bench.ledger.own_file_is_next().await.unwrap());
    for name in ["named", "other"] {
        let position = Position { sequence: 2, record: 0 };
        bench.ledger.record_position(name.into(), position, Counts::default(), Vec::new()).await.unwrap();
    }
    assert!(bench.ledger.own_file_is_next().await.unwrap());
    let sinks = bench.ledger.sinks().await.unwrap();
    assert_eq!((sinks[0].records_pending, sinks[1].records_pending, sinks[1].files_pending), (1, 0, 0));
    assert_eq!((sinks[0].oldest_pending.is_some(), sinks[1].oldest_pending.is_some()), (true, false));
}

#[tokio::test]
async fn what_nobody_takes_is_bounded() {
    let bench = bench().await;
    for number in 0..5 {
        let event = Event::new(Action::CaseMade, Target::new("case", number.to_string()), Value::Null);
        bench.ledger.append_event(by(), event).await.unwrap();
    }
    bench.ledger.trim_events(2).await.unwrap();
    let file = bench.next().await.unwrap();
    let numbers: Vec<i64> = records(&file).iter().map(|one| one["sequence"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [4, 5], "what is missing shows in the numbers");
}

#[tokio::test]
async fn much_becomes_several_files() {
    let bench = bench().await;
    let events = limits::OWN_FILE_EVENTS + 1;
    let many = move |connection: &Connection| {
        let event = Event::new(Action::CaseMade, Target::new("case", "c"), Value::Null);
        (0..events).try_for_each(|_| append(connection, &by(), &event))
    };
    bench.ledger.call(many).await.unwrap();
    let mut sizes = Vec::new();
    for sequence in 1..=2 {
        let file = bench.next().await.unwrap();
        sizes.push(records(&file).len());
        bench.spool(&file.file, sequence, 1, Vec::new()).await;
    }
    assert_eq!((sizes, bench.next().await.is_none()), (vec![limits::OWN_FILE_EVENTS, 1], true));
}

#[tokio::test]
async fn a_run_says_what_it_begins_with_and_what_changed() {
    let bench = bench().await;
    let begin = async |configuration: u8, key: &str| {
        let run = Beginning {
            instance: "here".into(),
            mode: "once",
            configuration: [configuration; 32],
            key_id: key.into(),
            key_is_ours: true,
        };
        bench.ledger.begin_run(run, at(NOW)).await.unwrap();
        let file = bench.next().await.unwrap();
        let sequence = bench.ledger.collected().await.unwrap().next_sequence;
        bench.spool(&file.file, sequence, 1, Vec::new()).await;
        let all = records(&file);
        let actions: Vec<String> = all.iter().map(|one| one["action"].as_str().unwrap().to_owned()).collect();
        (actions, all[0]["last_end"].clone())
    };
    let (actions, end) = begin(1, "k1").await;
    assert_eq!((actions, end), (vec!["DAEMON_STARTED".into(), "SIGNING_KEY_CREATED".into()], Value::Null));
    bench.ledger.end_run().await.unwrap();
    assert_eq!(begin(1, "k1").await, (vec!["DAEMON_STARTED".into()], json!("clean")));
    let (actions, end) = begin(2, "k2").await;
    assert_eq!(actions, ["DAEMON_STARTED", "CONFIGURATION_CHANGED", "SIGNING_KEY_CHANGED"]);
    assert_eq!(end, "unclean");
}

#[tokio::test]
async fn the_head_of_a_chain_is_told_once_it_is_put_and_a_key_with_its_first_manifest() {
    let bench = bench().await;
    for (number, key) in [(1, "k1"), (2, "k1"), (3, "k2")] {
        let chain = Chain {
            number,
            head: Some([number.try_into().unwrap(); 32]),
            key_id: Some(key.into()),
            written_at: Some(NOW),
            envelope: Some(vec![1]),
        };
        bench.ledger.record_manifest("a".into(), "here".into(), chain, None).await.unwrap();
        for _ in 0..2 {
            bench.ledger.record_manifest_put("a".into(), "here".into(), at(NOW)).await.unwrap();
        }
    }
    let sealed = "MANIFEST_SEALED";
    assert_eq!(bench.waiting().await, ["SIGNING_KEY_USED", sealed, sealed, "SIGNING_KEY_USED", sealed]);
    let all = records(&bench.next().await.unwrap());
    assert_eq!(all[2]["target"]["id"], format!("2:{}", "02".repeat(32)));
    assert_eq!((&all[2]["target"]["name"], &all[3]["previous_key_id"]), (&json!("a"), &json!("k1")));
}

#[tokio::test]
async fn a_repaired_cursor_is_told() {
    let bench = bench().await;
    let covered = Interval { from: NOW - 100, until: NOW, listed_at: Some(NOW) };
    bench.ledger.record_listing(bench.stream, covered, NOW, true, Some(NOW - 10)).await.unwrap();
    let principal = || Principal { kind: PrincipalKind::Workspace, id: "w".into() };
    for started_at in [NOW + 5, NOW - 500, NOW - 500] {
        let enabled = bench.ledger.enable_stream("s".into(), principal(), "AUTH_LOG".into(), started_at, NOW);
        enabled.await.unwrap();
    }
    assert_eq!(bench.waiting().await, ["CURSOR_REPAIRED", "CURSOR_REPAIRED"]);
    let all = records(&bench.next().await.unwrap());
    assert_eq!(
        (&all[0]["from"], &all[0]["instead_of"]),
        (&json!("2027-01-15T07:58:20Z"), &json!("2027-01-15T07:59:50Z"))
    );
}

#[tokio::test]
async fn what_a_stream_shows_is_news_once_and_not_at_the_beginning() {
    let bench = bench().await;
    let field = |name: &str, kind| Seen { name: name.into(), kind };
    let files = bench.list(&["a", "b", "c", "d"]).await;
    assert_eq!(bench.spool(&files[0], 1, 1, vec![field("x", "string")]).await, [""; 0]);
    let covered = Interval { from: NOW - 100, until: NOW, listed_at: Some(NOW) };
    bench.ledger.record_listing(bench.stream, covered, NOW, true, None).await.unwrap();
    assert_eq!(
        bench.spool(&files[1], 2, 1, vec![field("y", "string")]).await,
        [""; 0],
        "of the first listing"
    );
    let later = bench.list(&["e", "f"]).await;
    let later: Vec<&PendingFile> = later.iter().filter(|file| file.row > files[3].row).collect();
    let shown = || {
        vec![field("x", "number"), field("x", "string"), field("z", "object"), Seen::action("MADE".into())]
    };
    let news = bench.spool(later[0], 3, 1, shown()).await;
    assert_eq!(news, ["new_action MADE", "new_type x", "new_field z"]);
    assert_eq!(bench.spool(later[1], 4, 1, shown()).await, [""; 0]);
    assert_eq!(bench.waiting().await, ["DRIFT_SEEN"]);
    let rows = bench.ledger.facts(NOW).await.unwrap().drift;
    assert_eq!((rows.len(), rows[0].log_file_id.as_str()), (3, "e"));
    let all = records(&bench.next().await.unwrap());
    assert_eq!(all[0]["changes"][1], json!({ "kind": "new_type", "name": "x", "json_type": "number" }));
    let old = bench.ledger.facts(NOW + limits::DRIFT_AGE + 1).await.unwrap().drift;
    assert!(old.is_empty(), "told long enough");
}
