//! Whatever a log file holds, its bytes are cut completely, exactly, and always in the same way.

use std::io::{self, Read};

use proptest::prelude::*;

use super::*;

/// Gives at most `most` bytes at a time, and is interrupted now and then.
struct Dripping<'a> {
    bytes: &'a [u8],
    most: usize,
    calls: usize,
}

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = self.most.min(buffer.len()).min(self.bytes.len());
        buffer[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        Ok(count)
    }
}

fn cuts_of(input: impl Read) -> Vec<Cut> {
    let mut reader = Reader::new(input);
    let mut cuts = Vec::new();
    while let Some(cut) = reader.next().expect("no error") {
        cuts.push(cut);
    }
    assert!(reader.next().expect("no error").is_none(), "the end stays the end");
    cuts
}

fn cuts(bytes: &[u8]) -> Vec<Cut> {
    cuts_of(bytes)
}

/// What was cut, as text, with line and shape.
fn seen(bytes: &[u8]) -> Vec<(u64, Shape, String)> {
    let part = |cut: &Cut| {
        let start = usize::try_from(cut.offset).unwrap();
        bytes[start..start + usize::try_from(cut.length).unwrap()].to_vec()
    };
    let all = cuts(bytes);
    all.iter().map(|cut| (cut.line, cut.shape, String::from_utf8_lossy(&part(cut)).into_owned())).collect()
}

fn object(line: u64, text: &str) -> (u64, Shape, String) {
    (line, Shape::Object, text.to_owned())
}

fn malformed(line: u64, text: &str) -> (u64, Shape, String) {
    (line, Shape::Malformed, text.to_owned())
}

#[test]
fn lines_end_in_every_way() {
    assert_eq!(seen(b""), []);
    assert_eq!(seen(b"\n\r\n \t\r\n"), []);
    assert_eq!(
        seen(b"{}\n{}\r\n\n\r\n{\"a\":1}"),
        [object(1, "{}"), object(2, "{}"), object(5, "{\"a\":1}")]
    );
    assert_eq!(seen(b"{}\r"), [object(1, "{}")]);
    assert_eq!(seen(b"x\r\r\n"), [malformed(1, "x\r")]);
    assert_eq!(seen(b" { \"a\" : 1 } \t\n"), [object(1, " { \"a\" : 1 } \t")]);
}

#[test]
fn a_byte_order_mark_is_passed_at_the_start_only() {
    let bytes = "\u{feff}{}\n\u{feff}{}\n".as_bytes();
    assert_eq!(seen(bytes), [object(1, "{}"), malformed(2, "\u{feff}{}")]);
    assert_eq!(cuts(bytes)[0].offset, 3);
    assert_eq!(seen("\u{feff}".as_bytes()), []);
    assert_eq!(seen("\u{feff}\u{feff}{}".as_bytes()), [malformed(1, "\u{feff}{}")]);
    for most in 1..5 {
        let dripped = cuts_of(Dripping { bytes, most, calls: 0 });
        assert_eq!(dripped.len(), 2, "{most} bytes at a time");
    }
}

#[test]
fn objects_that_meet_on_a_line_are_cut_apart() {
    assert_eq!(seen(br#"{"a":1}{"b":2}"#), [object(1, r#"{"a":1}"#), object(1, r#"{"b":2}"#)]);
    assert_eq!(seen(b"{} \t{}\r{} \n"), [object(1, "{}"), object(1, "{}"), object(1, "{} ")].map(trimmed));
    assert_eq!(seen(br#"{"a":"}{"}"#), [object(1, r#"{"a":"}{"}"#)]);
    // What follows the last whole object is one record more.
    assert_eq!(seen(br#"{"a":1}{"b":"#), [object(1, r#"{"a":1}"#), malformed(1, r#"{"b":"#)]);
    assert_eq!(seen(b"{}{} x"), [object(1, "{}"), object(1, "{}"), malformed(1, "x")]);
    // Nothing else is cut.
    assert_eq!(seen(b"{},{}"), [malformed(1, "{},{}")]);
    assert_eq!(seen(b"{}x"), [malformed(1, "{}x")]);
    assert_eq!(seen(b"[{}]"), [malformed(1, "[{}]")]);
    assert_eq!(seen(b"[1]{}"), [malformed(1, "[1]{}")]);
}

fn trimmed((line, shape, text): (u64, Shape, String)) -> (u64, Shape, String) {
    (line, shape, text.trim_end().to_owned())
}

#[test]
fn what_is_no_object_is_malformed() {
    for text in
        ["1", "null", "\"x\"", "[]", "{", "{\"a\":1,}", "{'a':1}", "{\"a\":01}", "\u{c}", "\u{b}{}", "{}\0"]
    {
        assert_eq!(seen(text.as_bytes()), [malformed(1, text)]);
    }
    assert_eq!(
        cuts(b"{\"a\":\"\xff\"}\n{}\n").iter().map(|cut| cut.shape).collect::<Vec<_>>(),
        [Shape::Malformed, Shape::Object]
    );
    assert_eq!(cuts(b"{\"a\":\"\0\"}")[0].shape, Shape::Malformed);
}

#[test]
fn odd_objects_are_objects() {
    for text in [
        r#"{"a":1e400,"b":123456789012345678901234567890,"c":-0,"d":1E-400}"#,
        r#"{"\ud800":"\udc00\ud800"}"#,
        r#"{"a":1,"a":2}"#,
        "{\"a\":\"\u{2028}\u{feff}\u{ffff}\"}",
        "\t{\r}",
    ] {
        assert_eq!(seen(text.as_bytes()), [object(1, text)]);
    }
}

#[test]
fn depth_costs_no_stack() {
    let deep = 100_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let text = format!("{{\"event_id\":\"e\",\"a\":{}1{}}}", open.repeat(deep), close.repeat(deep));
        let cuts = cuts(text.as_bytes());
        assert_eq!((cuts.len(), cuts[0].shape), (1, Shape::Object));
        assert_eq!(cuts[0].event_id.as_deref(), Some("e"));
    }
    assert_eq!(cuts("{\"a\":".repeat(deep).as_bytes())[0].shape, Shape::Malformed);
}

#[test]
fn event_ids_are_texts_that_are_not_empty() {
    let id = |text: &str| cuts(text.as_bytes())[0].event_id.clone();
    assert_eq!(id(r#"{"a":{"event_id":"inner"},"event_id":"outer"}"#).as_deref(), Some("outer"));
    assert_eq!(id(r#"{"\u0065vent_id":"\u0065"}"#).as_deref(), Some("e"));
    assert_eq!(id(r#"{"event_id":"first","event_id":"second"}"#).as_deref(), Some("first"));
    assert_eq!(id(r#"{"event_id":"\ud800"}"#).as_deref(), Some(r#""\ud800""#));
    for none in
        [r#"{"event_id":1}"#, r#"{"event_id":""}"#, r#"{"event_id":null}"#, r#"{"event_id":{"a":"b"}}"#, "{}"]
    {
        assert_eq!(id(none), None, "{none}");
    }
}

#[test]
fn records_larger_than_the_window_are_whole() {
    let long = format!("{{\"event_id\":\"e\",\"a\":\"{}\"}}", "é".repeat(READ_WINDOW));
    let bytes = format!("{{}}\n{long}\r\n{{}}");
    assert_eq!(seen(bytes.as_bytes()), [object(1, "{}"), object(2, &long), object(3, "{}")]);
}

const MOST: usize = 16 * 1024 * 1024;

/// An object of exactly `length` bytes.
fn object_of(length: usize) -> Vec<u8> {
    let (start, end) = (r#"{"x":{"event_id":"no"},"event_id":"huge","a":""#, r#""}"#);
    [start, &"x".repeat(length - start.len() - end.len()), end].concat().into_bytes()
}

#[test]
fn records_over_the_limit_go_by_reference() {
    for (length, shape) in [(MOST - 1, Shape::Object), (MOST, Shape::Object), (MOST + 1, Shape::Oversized)] {
        for end in ["\n", "\r\n", ""] {
            let huge = object_of(length);
            let bytes = [b"{}\n", &huge[..], end.as_bytes(), b"{\"event_id\":\"next\"}\n"].concat();
            let bytes = if end.is_empty() { &bytes[..3 + length] } else { &bytes[..] };
            let cuts = cuts(bytes);
            assert_eq!(cuts.len(), if end.is_empty() { 2 } else { 3 });
            let cut = &cuts[1];
            assert_eq!((cut.offset, cut.length, cut.line, cut.shape), (3, length as u64, 2, shape));
            assert_eq!(cut.event_id.as_deref(), Some("huge"));
            assert_eq!(cut.sha256, sha256(&huge));
            assert!(
                cuts.get(2).is_none_or(|next| next.event_id.as_deref() == Some("next") && next.line == 3)
            );
        }
    }
}

#[test]
fn line_ends_of_passing_lines_may_lie_on_any_edge() {
    // Carriage returns inside and at the end, with the edges of what is read moving over them.
    for extra in 0..4 {
        let mut line = object_of(MOST + READ_WINDOW - 2 + extra);
        line.extend_from_slice(b"\r\r");
        let bytes = [&line[..], b"\r\n{}\n"].concat();
        for most in [READ_WINDOW, READ_WINDOW - 1, usize::MAX] {
            let cuts = cuts_of(Dripping { bytes: &bytes, most, calls: 0 });
            assert_eq!(cuts.len(), 2);
            assert_eq!((cuts[0].length, cuts[0].sha256), (line.len() as u64, sha256(&line)));
            assert_eq!((cuts[1].offset, cuts[1].line), (line.len() as u64 + 2, 2));
        }
    }
}

#[test]
fn huge_lines_are_cut_alike_however_they_arrive() {
    // Two objects and bytes that are no UTF-8, just over the limit: not held in one case, held in another.
    let two = [object_of(MOST / 2 + 8), object_of(MOST / 2 + 8)].concat();
    let mut bad = object_of(MOST + 10);
    bad[100] = 0xff;
    for line in [two, bad] {
        let bytes = [&line[..], b"\n{}"].concat();
        let expected = format!("{:?}", cuts(&bytes));
        assert_eq!(format!("{:?}", cuts_of(Dripping { bytes: &bytes, most: 4099, calls: 0 })), expected);
        assert_eq!(cuts(&bytes)[0].shape, Shape::Oversized);
    }
}

#[test]
fn many_small_objects_on_one_line_are_cut_one_by_one() {
    let count = 200_000;
    let line = "{} ".repeat(count) + "{";
    let cuts = cuts(line.as_bytes());
    assert_eq!(cuts.len(), count + 1);
    assert_eq!((cuts[count].offset, cuts[count].shape), (3 * count as u64, Shape::Malformed));
}

#[test]
fn the_buffer_is_bounded() {
    let bytes = vec![b'x'; 2 * MOST];
    let mut reader = Reader::new(&bytes[..]);
    assert_eq!(reader.next().unwrap().unwrap().shape, Shape::Oversized);
    assert!(reader.buffer.len() <= MOST + READ_WINDOW);
}

#[test]
fn the_scanner_gives_valid_tokens_only() {
    let scan = |text: &[u8]| {
        let mut scanner = IdScanner::default();
        for byte in text {
            scanner.feed(&[*byte]);
        }
        scanner.token()
    };
    assert_eq!(scan(br#"{"a":["event_id"],"event_id" : "x\"y"}"#).as_deref(), Some(r#""x\"y""#));
    assert_eq!(scan(br#"{"event_id":"\ud800"}"#).as_deref(), Some(r#""\ud800""#));
    let long = "i".repeat(4096);
    assert_eq!(scan(format!("{{\"event_id\":\"{long}\"}}").as_bytes()), Some(format!("\"{long}\"")));
    for none in [
        format!("{{\"event_id\":\"{long}i\"}}").as_bytes(),
        br#"{"event_id":1,"event_id":"second"}"#,
        br#"{"event_id":null}"#,
        br#"{"event_id":["a"]}"#,
        br#"{"event_id":""}"#,
        br#"{"event_id":"\q"}"#,
        b"{\"event_id\":\"\0\"}",
        b"{\"event_id\":\"\xff\"}",
        br#"{"event_id":"no end"#,
        br#"{"a":{"event_id":"inner"}}"#,
        br#"{"a":"event_id"}"#,
    ] {
        assert_eq!(scan(none), None, "{}", String::from_utf8_lossy(none));
    }
}

/// Bytes that hold many of the things a reader can stumble over.
fn stumbling() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "{", "}", "{}", "\n", "\r\n", "\r", " ", "\t", "\u{c}", "\0", "\"", "\\", ":", ",", "[", "]", "\u{feff}",
            "{\"event_id\":\"a\"}", "{\"a\":\"}{\"}", "{\"event_id\":\"\\ud800\"}", "\u{2028}", "1e999", "é",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn every_byte_belongs_to_one_record(bytes in stumbling(), most in 1_usize..9) {
        let cuts = cuts(&bytes);
        prop_assert_eq!(format!("{:?}", cuts_of(Dripping { bytes: &bytes, most, calls: 0 })), format!("{:?}", &cuts));
        let mark = if bytes.starts_with(BYTE_ORDER_MARK) { 3 } else { 0 };
        let mut at = mark;
        for cut in &cuts {
            let (start, end) = (usize::try_from(cut.offset).unwrap(), usize::try_from(cut.offset + cut.length).unwrap());
            prop_assert!(start >= at && end > start && end <= bytes.len());
            prop_assert!(bytes[at..start].iter().all(|byte| is_blank(*byte)), "only blanks lie between records");
            let record = &bytes[start..end];
            prop_assert!(!record.contains(&b'\n'));
            prop_assert_eq!(cut.sha256, sha256(record));
            prop_assert_eq!(cut.line, 1 + memchr::memchr_iter(b'\n', &bytes[..start]).count() as u64);
            let is_object = std::str::from_utf8(record).is_ok_and(|text| json::members(text).is_some());
            prop_assert_eq!(cut.shape == Shape::Object, is_object);
            at = end;
        }
        prop_assert!(bytes[at..].iter().all(|byte| is_blank(*byte)));
    }
}
