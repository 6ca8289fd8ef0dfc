//! What is found in archives in memory, and that nothing is missed.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::*;
use crate::archive::verify::{Bytes, Page, Source};
use crate::archive::{
    Hash, LogFile, MANIFEST_TYPE, Manifest, Packing, SealedFile, SigningKey, Tree, inspect, key,
    manifest_key, pack, seal,
};
use crate::digest::sha256;

mod property;

const WORKSPACE: &str = "11111111-2222-4333-8444-555555555555";

/// Objects by key; pages are small, so that there are many.
#[derive(Clone, Default)]
pub struct Objects(BTreeMap<String, Vec<u8>>);

impl Source for Objects {
    fn list<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Page, String>> {
        let keys = self
            .0
            .iter()
            .filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        let mut page: Vec<(String, u64)> =
            keys.take(4).map(|(key, bytes)| (key.clone(), bytes.len() as u64)).collect();
        let more = page.len() > 3;
        page.truncate(3);
        Box::pin(async move { Ok((page, more)) })
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, String>> {
        let bytes = self.0.get(key).cloned();
        Box::pin(async move { Ok(bytes.map(|bytes| Box::new(Cursor::new(bytes)) as Bytes)) })
    }
}

impl Objects {
    /// Puts a log file of an event type, and says what a manifest says of it.
    fn put(
        &mut self,
        event_type: &str,
        end_time: &str,
        file_id: &str,
        content: &str,
        packing: Packing,
    ) -> SealedFile {
        let facts = inspect(content.as_bytes()).unwrap();
        let named = LogFile { principal: WORKSPACE, event_type, end_time, file_id, sha256: &facts.sha256 };
        let name = key(Tree::Raw, &named, packing);
        let mut packer = pack(packing, Vec::new(), None).unwrap();
        packer.write_all(content.as_bytes()).unwrap();
        let object = packer.finish().unwrap();
        let sealed = SealedFile {
            key: name.clone(),
            file_id: file_id.into(),
            principal: WORKSPACE.into(),
            event_type: event_type.into(),
            end_time: end_time.into(),
            oldest_event: facts.oldest_event,
            newest_event: facts.newest_event,
            bytes: facts.bytes,
            records: facts.records,
            sha256: Hash(facts.sha256),
            object_bytes: object.len() as u64,
            object_sha256: Hash(sha256(&object)),
            record_root: Hash(facts.record_root),
            listed_at: "2026-07-20T00:00:00Z".into(),
            fetched_at: "2026-07-20T00:00:01Z".into(),
            found: false,
        };
        self.0.insert(name, object);
        sealed
    }

    fn seal(&mut self, instance: &str, number: u64, files: Vec<SealedFile>) {
        let manifest = Manifest {
            version: 1,
            instance: instance.into(),
            number,
            previous: None,
            written_at: "2026-07-20T01:00:00Z".into(),
            software: "test".into(),
            files,
            coverage: Vec::new(),
            holes: Vec::new(),
            holes_omitted: 0,
            pending: Vec::new(),
            pending_omitted: 0,
            positions: Vec::new(),
        };
        let key = SigningKey::generate().unwrap().0;
        self.0.insert(manifest_key(instance, number), seal(MANIFEST_TYPE, &manifest.write(), &key));
    }

    fn source(&self) -> Arc<dyn Source> {
        Arc::new(self.clone())
    }
}

/// A record at a time with a text.
fn record(time: &str, text: &str) -> String {
    format!(
        r#"{{"event_id":"{text}-{time}","timestamp":"{time}","event_type":"PROMPT_SENT","event_details":{{"prompt_text":"{text}"}}}}"#
    )
}

fn about(since: &str, until: &str) -> Query {
    let moment = |text: &str| Moment::parse(text);
    Query { since: moment(since), until: moment(until), ..Query::default() }
}

/// What a query finds: file id and line, in order; and what was said at the end of each file.
async fn found(objects: &Objects, query: Query) -> (Vec<String>, Vec<Piece<()>>) {
    let source = objects.source();
    let plan = plan(&source, &query).await.unwrap();
    let matcher = Arc::new(Matcher::new(query));
    let make =
        |file: &PlanFile, record: crate::record::Record<'_>| format!("{}:{}", file.file_id, record.raw.line);
    let mut finding = Finding::start(&source, plan.files, &matcher, make);
    let (mut found, mut ends) = (Vec::new(), Vec::new());
    while let Some((_, piece)) = finding.next().await {
        match piece {
            Piece::Found(place) => found.push(place),
            Piece::Done(tally) => ends.push(Piece::Done(tally)),
            Piece::Failed(what) => ends.push(Piece::Failed(what)),
        }
    }
    (found, ends)
}

#[tokio::test]
async fn late_records_are_found_by_their_time_and_not_by_the_day_of_their_file() {
    let mut objects = Objects::default();
    let on_time = record("2026-07-15T10:00:00Z", "a");
    let late = [record("2026-07-18T00:00:00Z", "b"), record("2026-07-15T10:00:00.5Z", "c")].join("\n");
    let first = objects.put("CODEX_LOG", "2026-07-15T10:30:00Z", "one", &on_time, Packing::Zstd);
    let second = objects.put("CODEX_LOG", "2026-07-18T09:00:00Z", "two", &late, Packing::Gzip);
    let other = record("2026-07-19T09:00:00Z", "d");
    let third = objects.put("CODEX_LOG", "2026-07-19T09:30:00Z", "three", &other, Packing::None);
    objects.seal("a", 1, vec![third, first]);
    objects.seal("a", 2, vec![second]);
    let query = about("2026-07-15", "2026-07-16");
    let made = plan(&objects.source(), &query).await.unwrap();
    assert_eq!((made.files.len(), made.passed_over, made.unsealed()), (2, 1, 0));
    assert_eq!(made.bytes(), (on_time.len() + late.len()) as u64);
    assert_eq!(found(&objects, query).await.0, ["one:1", "two:2"]);
    // The first moment belongs to it, the last does not.
    assert_eq!(found(&objects, about("2026-07-15T10:00:00.500Z", "2026-07-18T00:00:00Z")).await.0, ["two:2"]);
    assert_eq!(
        found(&objects, about("2026-07-15T12:00:00+02:00", "2026-07-15T10:00:00.5Z")).await.0,
        ["one:1"]
    );
    assert_eq!(found(&objects, Query::default()).await.0, ["one:1", "two:1", "two:2", "three:1"]);
}

#[tokio::test]
async fn records_without_a_time_match_no_time_and_are_counted() {
    let mut objects = Objects::default();
    let timed = record("2026-07-15T10:00:00Z", "a");
    let without = objects.put("AUTH_LOG", "2026-07-15T10:30:00Z", "without", r#"{"n":1}"#, Packing::Zstd);
    let mixed =
        objects.put("AUTH_LOG", "2026-07-15T10:31:00Z", "mixed", &format!("{{}}\n{timed}"), Packing::Zstd);
    objects.seal("a", 1, vec![without, mixed]);
    let query = about("2026-07-15", "");
    let made = plan(&objects.source(), &query).await.unwrap();
    assert_eq!((made.files.len(), made.passed_over, made.without_times), (1, 1, 1));
    let (places, ends) = found(&objects, query).await;
    assert_eq!(places, ["mixed:2"]);
    assert!(matches!(ends[..], [Piece::Done(Tally { matched: 1, untimed: 1, .. })]), "{ends:?}");
    assert_eq!(found(&objects, Query::default()).await.0, ["without:1", "mixed:1", "mixed:2"]);
}

#[tokio::test]
async fn what_is_not_sealed_yet_is_read_and_keeps_its_place_in_the_order() {
    let mut objects = Objects::default();
    let text = |n: u32| record(&format!("2026-07-15T10:00:0{n}.25Z"), "x");
    let end = "2026-07-15T10:30:00.9Z";
    let sealed: Vec<SealedFile> =
        [1, 3].map(|n| objects.put("CODEX_LOG", end, &format!("tie%{n}/é"), &text(n), Packing::Zstd)).into();
    let unsealed = objects.put("CODEX_LOG", end, "tie%2/é", &text(2), Packing::Zstd);
    objects.seal("a", 1, sealed);
    let query = about("2026-07-15", "2026-07-16");
    let before = plan(&objects.source(), &query).await.unwrap();
    let ids = |plan: &Plan| plan.files.iter().map(|file| file.file_id.clone()).collect::<Vec<_>>();
    assert_eq!(
        (ids(&before), before.unsealed()),
        (vec!["tie%1/é".into(), "tie%2/é".into(), "tie%3/é".into()], 1)
    );
    let file = &before.files[1];
    assert_eq!((file.fetched_at.as_deref(), file.end_time.as_str()), (None, "2026-07-15T10:30:00Z"));
    assert_eq!(found(&objects, query.clone()).await.0, ["tie%1/é:1", "tie%2/é:1", "tie%3/é:1"]);
    // Its hash is that of its content all the same, and its records have the ids they have when it is sealed.
    let seen = |objects: Objects| async move {
        let source = objects.source();
        let plan = plan(&source, &Query::default()).await.unwrap();
        let (keep, kept) = std::sync::mpsc::channel();
        let matcher = Arc::new(Matcher::new(Query::default()));
        read(&source, &plan.files[1], &matcher, move |_, record| {
            keep.send((record.id.clone(), record.origin.file_sha256)).unwrap();
            ControlFlow::Continue(())
        })
        .await
        .unwrap();
        kept.recv().unwrap()
    };
    let early = seen(objects.clone()).await;
    objects.seal("a", 2, vec![unsealed.clone()]);
    assert_eq!(seen(objects.clone()).await, early);
    assert_eq!(early.1, unsealed.sha256.0);
    let after = plan(&objects.source(), &query).await.unwrap();
    assert_eq!((ids(&after), after.unsealed()), (ids(&before), 0));
}

#[tokio::test]
async fn a_log_file_that_lies_there_twice_is_taken_once() {
    let mut objects = Objects::default();
    let text = record("2026-07-15T10:00:00Z", "x");
    let end = "2026-07-15T10:30:00Z";
    let one = objects.put("CODEX_LOG", end, "one", &text, Packing::Zstd);
    let packed = objects.put("CODEX_LOG", end, "one", &text, Packing::Gzip);
    let other = objects.put("CODEX_LOG", end, "two", &text, Packing::Zstd);
    objects.put("CODEX_LOG", end, "two", &text, Packing::None);
    objects.seal("a", 1, vec![one.clone(), other]);
    objects.seal("b", 1, vec![one, packed]);
    assert_eq!(found(&objects, Query::default()).await.0, ["one:1", "two:1"]);
    // What was passed over does not come back by its other copies.
    assert_eq!(found(&objects, about("2026-07-16", "")).await.0, [""; 0]);
}

#[tokio::test]
async fn every_selector_selects() {
    let mut objects = Objects::default();
    let user = format!("user-a__{WORKSPACE}");
    let lines = [
        format!(r#"{{"event_type":"PROMPT_SENT","actor":{{"type":"ACCOUNT_USER","user_id":"{user}","user_email":"Ann@x.org"}},"event_details":{{"session_id":"s1","thread_id":"t1"}}}}"#),
        r#"{"event_type":"PROMPT_\u0053ENT","actor":{"user_id":"user-\u0062"},"event_details":{"turn_id":"s\u0031","prompt_text":"caf\u00e9 \"au\nlait\""}}"#.into(),
        r#"{"event_type":"TOOL_DECISION","event_details":{"prompt_text":"café 12.5"}}"#.into(),
    ];
    let codex = objects.put("CODEX_LOG", "2026-07-15T10:30:00Z", "f", &lines.join("\r\n"), Packing::Zstd);
    let auth = objects.put("AUTH_LOG", "2026-07-15T10:31:00Z", "g", "{}", Packing::Zstd);
    objects.seal("a", 1, vec![codex, auth]);
    let list = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let empty = Query::default;
    let contains = |text: &str| Query { contains: Some(text.into()), ..empty() };
    for (query, expected) in [
        (Query { users: list(&["user-a"]), ..empty() }, &["f:1"][..]),
        (Query { users: list(&[&user, "user-b"]), ..empty() }, &["f:1", "f:2"]),
        (Query { users: list(&["ANN@X.org"]), ..empty() }, &["f:1"]),
        (Query { users: list(&["ann"]), ..empty() }, &[]),
        (Query { sessions: list(&["s1"]), ..empty() }, &["f:1", "f:2"]),
        (Query { sessions: list(&["t1", "none"]), ..empty() }, &["f:1"]),
        (Query { actions: list(&["PROMPT_SENT"]), ..empty() }, &["f:1", "f:2"]),
        (Query { categories: list(&["tool", "auth"]), ..empty() }, &["f:3", "g:1"]),
        (Query { event_types: list(&["AUTH_LOG"]), ..empty() }, &["g:1"]),
        (Query { files: list(&["g"]), ..empty() }, &["g:1"]),
        (contains("café"), &["f:2", "f:3"]),
        (contains("é \"au\nlait"), &["f:2"]),
        (contains("\""), &["f:2"]),
        (contains("12.5"), &["f:3"]),
        (contains("Café"), &[]),
        (Query { sessions: list(&["s1"]), contains: Some("lait".into()), ..empty() }, &["f:2"]),
    ] {
        assert_eq!(found(&objects, query.clone()).await.0, expected, "{query:?}");
    }
}

#[tokio::test]
async fn records_are_found_by_their_ids() {
    let mut objects = Objects::default();
    let line = r#"{"event_id":"e1","type":"CODEX_LOG"}"#;
    let text = format!("{}\n{line}\n{{}}\n", " ".repeat(1023 - 1 - line.len()));
    objects.put("CODEX_LOG", "2026-07-15T10:30:00Z", "eclf_1", &text, Packing::Zstd);
    // The second lies behind 1024 bytes and has no id of its own: both ids are published vectors.
    for (id, place) in
        [("172dd902613b7513792a68207ec6b70b", "eclf_1:2"), ("83988c0a4e3c69a5bcbee2e31588f711", "eclf_1:3")]
    {
        let query = Query { ids: vec![id.to_owned()], ..Query::default() };
        assert_eq!(found(&objects, query).await.0, [place]);
    }
}

#[tokio::test]
async fn a_damaged_object_is_named_and_the_others_are_read() {
    let mut objects = Objects::default();
    let text = record("2026-07-15T10:00:00Z", "x");
    let mut files = Vec::new();
    for (minute, file_id) in ["gone", "torn", "short", "forged", "whole"].into_iter().enumerate() {
        let packing = if file_id == "short" { Packing::None } else { Packing::Zstd };
        let sealed =
            objects.put("CODEX_LOG", &format!("2026-07-15T10:0{minute}:00Z"), file_id, &text, packing);
        let object = objects.0.get_mut(&sealed.key).unwrap();
        match file_id {
            "gone" => drop(objects.0.remove(&sealed.key)),
            "torn" | "short" => object.truncate(object.len() - 6),
            "forged" => *object = zstd::encode_all(&b"{}"[..], 3).unwrap(),
            _ => {}
        }
        if file_id != "forged" {
            files.push(sealed);
        }
    }
    objects.seal("a", 1, files);
    objects.0.insert(manifest_key("a", 2), b"{}".to_vec());
    let (places, ends) = found(&objects, Query { contains: Some("x".into()), ..Query::default() }).await;
    // Of a log file that is cut short, what is there is given before that is said.
    assert_eq!(places, ["short:1", "whole:1"]);
    for (end, (file_id, what)) in ends.iter().zip([
        ("gone", "is sealed and is gone"),
        ("torn", "cannot be read"),
        ("short", "were sealed"),
        ("forged", "not the one its name says"),
    ]) {
        let Piece::Failed(said) = end else { panic!("{file_id}: {end:?}") };
        assert!(said.contains(file_id) && said.contains(what), "{said}");
    }
    assert!(matches!(ends[4], Piece::Done(Tally { matched: 1, .. })));
    let made = plan(&objects.source(), &Query::default()).await.unwrap();
    assert!(
        matches!(&made.unreadable[..], [one] if one.contains("000000000002.json is no DSSE")),
        "{made:?}"
    );
}

#[tokio::test]
async fn many_files_come_in_order_whoever_is_faster() {
    let mut objects = Objects::default();
    let mut expected = Vec::new();
    for n in 0..30_usize {
        // Files of very different lengths, some of which need many parts.
        let lines = if n % 7 == 3 { 3000 } else { n };
        let text: String =
            (0..lines).map(|_| record("2026-07-15T10:00:00Z", &"y".repeat(200)) + "\n").collect();
        let id = format!("{n:02}");
        objects.put("CODEX_LOG", "2026-07-15T10:30:00Z", &id, &text, Packing::Zstd);
        expected.extend((1..=lines).map(|line| format!("{id}:{line}")));
    }
    let (places, ends) = found(&objects, Query::default()).await;
    assert_eq!((places == expected, ends.len()), (true, 30));
}

#[tokio::test]
async fn long_files_are_searched_across_every_window() {
    let mut random = fastrand::Rng::with_seed(7);
    let (mut text, mut expected) = (String::new(), Vec::new());
    for line in 1..=6000 {
        // Lines of very different lengths, some longer than a window.
        let length = if line % 1500 == 0 { 300_000 } else { random.usize(..500) };
        let mut filler: String = (0..length).map(|_| random.lowercase()).collect();
        if random.u8(..100) == 0 || line % 1500 == 0 {
            filler.push_str(if random.bool() { "-NEEDLE-" } else { r"-N\u0045EDLE-" });
            expected.push(format!("long:{line}"));
        }
        let end = if random.u8(..9) == 0 { "\r\n" } else { "\n" };
        text.extend([r#"{"text":""#, &filler, r#""}"#, end]);
    }
    let mut objects = Objects::default();
    objects.put("CODEX_LOG", "2026-07-15T10:30:00Z", "long", &text, Packing::Zstd);
    let query = Query { contains: Some("-NEEDLE-".into()), ..Query::default() };
    let (places, ends) = found(&objects, query).await;
    assert_eq!(places, expected);
    assert!(matches!(ends[..], [Piece::Done(Tally { bytes, .. })] if bytes == text.len() as u64), "{ends:?}");
}
