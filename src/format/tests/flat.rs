//! CEF and LEEF, read back by readers that share nothing with the writers.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::lossless::{all_keys, lines, mutate, write};
use super::rebuild::Tree;
use super::*;

pub(super) const CEF: Options = Options { format: Format::Cef, prompts: true, ..FULL };
pub(super) const LEEF: Options = Options { format: Format::Leef, prompts: true, ..FULL };

pub(super) type Pairs = BTreeMap<String, String>;

/// Reads one line of CEF: header fields, and pairs.
pub(super) fn read_cef(line: &str) -> Result<(Vec<String>, Pairs), String> {
    let mut header = vec![String::new()];
    let mut characters = line.chars();
    while header.len() < 8 {
        match characters.next().ok_or("the header ends early")? {
            '\\' => match characters.next() {
                Some(c @ ('\\' | '|')) => header.last_mut().unwrap().push(c),
                other => return Err(format!("escape {other:?} in the header")),
            },
            '|' => header.push(String::new()),
            c => header.last_mut().unwrap().push(c),
        }
    }
    header.pop();
    // Text between two `=` that are not escaped: a value, a space, the next key.
    let mut parts = vec![String::new()];
    while let Some(c) = characters.next() {
        match c {
            '\\' => parts.last_mut().unwrap().push(match characters.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('\\') => '\\',
                // Must not be taken for the end of a key.
                Some('=') => '\u{1}',
                other => return Err(format!("escape {other:?} in a value")),
            }),
            '=' => parts.push(String::new()),
            c => parts.last_mut().unwrap().push(c),
        }
    }
    let mut pairs = Pairs::new();
    let mut key = parts.remove(0);
    let last = parts.len().checked_sub(1).ok_or("no pair")?;
    for (position, part) in parts.into_iter().enumerate() {
        let (value, next) = if position == last {
            (part.as_str(), "")
        } else {
            part.rsplit_once(' ').ok_or_else(|| format!("no key behind {part:?}"))?
        };
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(format!("{key:?} is no key"));
        }
        if pairs.insert(key, value.replace('\u{1}', "=")).is_some() {
            return Err("a key is there twice".to_owned());
        }
        key = next.to_owned();
    }
    Ok((header, pairs))
}

/// Reads one line of LEEF 2.0.
pub(super) fn read_leef(line: &str) -> Result<(Vec<String>, Pairs), String> {
    let parts: Vec<&str> = line.splitn(7, '|').collect();
    let [header @ .., rest] = parts.as_slice() else { return Err("no header".to_owned()) };
    if header.len() != 6 || header[0] != "LEEF:2.0" || header[5] != "x09" {
        return Err(format!("header {header:?}"));
    }
    let mut pairs = Pairs::new();
    for pair in rest.split('\t') {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is no pair"))?;
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(format!("{key:?} is no key"));
        }
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("{key} is there twice"));
        }
    }
    Ok((header.iter().map(|part| (*part).to_owned()).collect(), pairs))
}

/// Which key tells what of the native record, and its limit.
const CEF_KEYS: &[(&str, &str, usize)] = &[
    ("externalId", "id", 40),
    ("cat", "event_type", 1023),
    ("act", "action", 63),
    ("outcome", "outcome.result", 63),
    ("suser", "actor.email", 1023),
    ("suid", "actor.id", 1023),
    ("duid", "target.id", 1023),
    ("cs2", "session.turn_id", 4000),
    ("cs6", "client.surface", 4000),
    ("cs3", "model.response", 4000),
    ("cn1", "usage.input", 18),
    ("cn2", "usage.output", 18),
    ("cn3", "usage.cached_input", 18),
    ("OpenAIComplianceTotalTokens", "usage.total", 18),
    ("cs4", "prompt_text", 4000),
    ("cs5", "response_text", 4000),
    ("deviceExternalId", "principal.id", 255),
    ("fileId", "provenance.log_file_id", 1023),
    ("fileHash", "provenance.raw_sha256", 255),
    ("OpenAIComplianceLine", "provenance.line_number", 18),
    ("OpenAIComplianceEventId", "upstream_id", 1023),
    ("requestClientApplication", "actor.user_agent", 1023),
];

const LEEF_KEYS: &[(&str, &str, usize)] = &[
    ("recordId", "id", 40),
    ("cat", "event_type", 1023),
    ("action", "action", 1023),
    ("outcome", "outcome.result", 63),
    ("actorId", "actor.id", 1023),
    ("sessionId", "session.session_id", 1023),
    ("turnId", "session.turn_id", 1023),
    ("model", "model.response", 1023),
    ("inputTokens", "usage.input", 18),
    ("outputTokens", "usage.output", 18),
    ("cachedInputTokens", "usage.cached_input", 18),
    ("totalTokens", "usage.total", 18),
    ("prompt", "prompt_text", 4000),
    ("response", "response_text", 4000),
    ("accountName", "principal.id", 1023),
    ("fileId", "provenance.log_file_id", 1023),
    ("rawSha256", "provenance.raw_sha256", 64),
    ("line", "provenance.line_number", 18),
    ("eventId", "upstream_id", 1023),
];

/// What a value of the native record becomes, before it is cut.
fn expected(token: &str, keeps_lines: bool) -> String {
    let inner = token.strip_prefix('"').and_then(|token| token.strip_suffix('"')).unwrap_or(token);
    let text = json::text(token).map_or_else(|| inner.to_owned(), Into::into);
    let fit = |c: char| match c {
        '\n' | '\r' | '\t' if keeps_lines => c,
        '\u{2028}' | '\u{2029}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    };
    text.chars().map(fit).collect()
}

/// Compares a line with the native record of the same bytes; what is wrong, if anything.
fn check(event_type: &str, line: &str, options: Options, max: Option<usize>) -> Result<(), String> {
    let written = encode_within(&origin(event_type), line.as_bytes(), options, max).remove(0);
    if written.chars().any(|c| c != '\t' && (c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))) {
        return Err(format!("a character that ends a line: {written:?}"));
    }
    if let Some(max) = max.filter(|max| written.len() > *max) {
        return Err(format!("{} bytes, {max} allowed: {written}", written.len()));
    }
    let cef = options.format == Format::Cef;
    let ((_, pairs), keys, cut) = if cef {
        (read_cef(&written)?, CEF_KEYS, "OpenAIComplianceTruncated")
    } else {
        (read_leef(&written)?, LEEF_KEYS, "truncated")
    };
    let cut: Vec<&str> = pairs.get(cut).map(|list| list.split(',').collect()).unwrap_or_default();
    let native = encode(event_type, line, FULL);
    for (key, path, limit) in keys {
        let Some(token) = at(&native, path) else { continue };
        if *path == "usage.total" && at(&native, "usage.total_derived").is_some() {
            continue;
        }
        let (value, shown) = (expected(&token, cef), pairs.get(*key).map_or("", String::as_str));
        let is_cut = cut.contains(key) || cut == ["*"];
        let whole = token.starts_with('"');
        let right = if is_cut {
            (shown.is_empty() || whole) && shown.len() <= *limit && value.starts_with(shown)
        } else {
            shown == value || value.trim().is_empty() && shown.is_empty()
        };
        if !right {
            return Err(format!("{key} is {shown:?}, {path} is {value:?}, cut {cut:?}\n{written}"));
        }
        // These take more bytes before they are replaced.
        let shrinks = line.contains(['\u{85}', '\u{2028}', '\u{2029}']);
        if is_cut && !shrinks && max.is_none() && *limit > 18 && shown.len() + 16 < *limit {
            return Err(format!("{key} is cut to {} bytes without need", shown.len()));
        }
    }
    let who = if cef { ["suid", "suser", "rt"] } else { ["actorId", "usrName", "devTime"] };
    let named = at(&native, "actor.id").is_some() || at(&native, "actor.email").is_some();
    if max.is_none_or(|max| max >= 2048)
        && (!pairs.contains_key(who[2]) || named && !who[..2].iter().any(|key| pairs.contains_key(*key)))
        && !cut.iter().any(|key| who.contains(key))
    {
        return Err(format!("who and when are not told: {written}"));
    }
    Ok(())
}

#[test]
fn every_sample_reads_back() {
    for (event_type, line) in lines() {
        for options in [CEF, LEEF] {
            for max in [None, Some(8000), Some(1700), Some(1000), Some(300)] {
                check(&event_type, &line, options, max)
                    .unwrap_or_else(|problem| panic!("{event_type} {line}\nat most {max:?}: {problem}"));
            }
        }
    }
}

#[test]
fn every_mutation_of_a_sample_reads_back() {
    let lines = lines();
    let mut keys: Vec<String> =
        ["prompt_text", "model", "input_tokens", "client_ip", "user_id"].map(str::to_owned).to_vec();
    for (_, line) in &lines {
        all_keys(&Tree::parse(line, 0), &mut keys);
    }
    keys.sort();
    keys.dedup();
    let cases = ProptestConfig { cases: 150, ..ProptestConfig::default() };
    proptest!(cases, |(
        which in any::<prop::sample::Index>(),
        mut seed in any::<u32>(),
        times in 1..12,
        text in "(\\PC|[|=\\\\ \t\r\n\u{0}\u{85}\u{2028}\u{1b}]){0,60}",
        repeat in 1..100_usize,
        max in prop::option::of(300..9000_usize),
    )| {
        let (event_type, line) = which.get(&lines);
        let mut tree = Tree::parse(line, 0);
        (0..times).for_each(|_| mutate(&mut tree, &mut seed, &keys));
        let odd = serde_json::to_string(&text.repeat(repeat)).unwrap();
        if let Tree::Object(members) = &mut tree {
            members.push(("client_id".to_owned(), Tree::Token(odd.clone())));
            for (_, value) in members {
                if let Tree::Object(inner) = value {
                    for key in ["prompt_text", "model", "session_id", "user_id", "error_message"] {
                        inner.retain(|(own, _)| own != key);
                        inner.push((key.to_owned(), Tree::Token(odd.clone())));
                    }
                }
            }
        }
        let mut line = String::new();
        write(&tree, &mut line);
        for options in [CEF, LEEF] {
            if let Err(problem) = check(event_type, &line, options, max) {
                return Err(TestCaseError::fail(format!("{event_type} {line}\n{problem}")));
            }
        }
    });
}

#[test]
fn whatever_a_line_holds_it_stays_one_line() {
    for bytes in [&b"no json\x00|=\\ \xff\xfe"[..], b"{", b"[1]", "\u{2028}CEF:0|a|b".as_bytes()] {
        for options in [CEF, LEEF] {
            let lines = encode_all(&origin("CODEX_LOG"), bytes, options);
            assert_eq!(lines.len(), 1);
            let (_, pairs) =
                if options.format == Format::Cef { read_cef(&lines[0]) } else { read_leef(&lines[0]) }
                    .unwrap();
            assert!(pairs["msg"].contains("malformed: not a JSON object"), "{}", lines[0]);
        }
    }
    let odd = origin("A|B\n\u{85}\\C");
    let line = encode_all(&odd, b"{\"action\":\"x|y\\\\z\\n\"}", CEF).remove(0);
    let (header, pairs) = read_cef(&line).unwrap();
    assert_eq!(header[4], "A|B  \\C:x|y\\z ");
    assert_eq!((pairs["cat"].as_str(), pairs["act"].as_str()), ("A|B\n \\C", "x|y\\z\n"));
    read_leef(&encode_all(&odd, b"{\"action\":\"x|y\\tz\"}", LEEF).remove(0)).unwrap();
}

#[test]
fn an_oversized_record_goes_by_reference() {
    let mut line = b"{\"event_id\":\"e1\",\"x\":\"".to_vec();
    line.resize(17 * 1024 * 1024, b'x');
    line.extend_from_slice(b"\"}");
    for options in [CEF, LEEF] {
        let written = encode_all(&origin("CODEX_LOG"), &line, options).remove(0);
        assert!(written.len() < 1024 && written.contains("oversized") && written.contains("e1"), "{written}");
    }
}

#[test]
fn headers_are_those_of_the_formats() {
    let version = env!("CARGO_PKG_VERSION");
    let line = r#"{"event_id":"e","type":"CODEX_LOG","event_type":"PROMPT_SENT","timestamp":"2026-07-22T10:00:00.1239Z","request_metadata":{"client_ip":"2001:db8::1"},"event_details":{"status":"failed","error_code":"E1","error_message":"m"}}"#;
    let cef = encode("CODEX_LOG", line, CEF);
    let (header, pairs) = read_cef(&cef).unwrap();
    assert_eq!(
        header,
        ["CEF:0", "OpenAI", "ChatGPT Enterprise Compliance", version, "CODEX_LOG:PROMPT_SENT", "prompt", "5"]
    );
    assert_eq!(pairs["rt"], "1784714400123");
    assert_eq!((pairs["c6a2"].as_str(), pairs["c6a2Label"].as_str()), ("2001:db8::1", "Source IPv6 Address"));
    assert_eq!(pairs["reason"], "E1: m");
    let leef = encode("CODEX_LOG", line, LEEF);
    let (header, pairs) = read_leef(&leef).unwrap();
    assert_eq!(header[..5], ["LEEF:2.0", "OpenAI", "ChatGPT Enterprise Compliance", version, "PROMPT_SENT"]);
    assert_eq!((pairs["devTime"].as_str(), pairs["sev"].as_str()), ("2026-07-22T10:00:00.123Z", "5"));
    let untimed = encode("CODEX_LOG", "{}", CEF);
    assert_eq!(read_cef(&untimed).unwrap().1["rt"], "1784721600500", "when the file was fetched");
}

#[test]
fn prompts_are_told_only_when_asked_for() {
    let line = r#"{"event_type":"PROMPT_RESPONSE_RECEIVED","event_details":{"prompt_text":"SECRET","response_text":"SECRET","error_message":"SECRET","tool_input":"SECRET"}}"#;
    for format in [Format::Cef, Format::Leef] {
        let silent = encode("CODEX_LOG", line, Options { format, content: Content::Full, ..FULL });
        assert_eq!(silent.matches("SECRET").count(), 1, "the error message: {silent}");
        let metadata = Options { format, content: Content::Metadata, prompts: true, ..FULL };
        let metadata = encode("CODEX_LOG", line, metadata);
        assert!(!metadata.contains("SECRET"), "{metadata}");
        assert!(metadata.contains("outcome.message,prompt_text,response_text"), "{metadata}");
        let spoken = encode("CODEX_LOG", line, Options { format, prompts: true, ..FULL });
        assert!(spoken.matches("SECRET").count() >= 3, "{spoken}");
    }
}

/// The tables tell what is emitted, no more and no less.
#[test]
fn the_tables_are_what_is_emitted() {
    for options in [CEF, LEEF] {
        let mut emitted = BTreeSet::new();
        for (event_type, line) in lines() {
            for max in [None, Some(600)] {
                let written = encode_within(&origin(&event_type), line.as_bytes(), options, max).remove(0);
                let (_, pairs) =
                    if options.format == Format::Cef { read_cef(&written) } else { read_leef(&written) }
                        .unwrap();
                emitted.extend(pairs.into_keys());
            }
        }
        let redacted = r#"{"event_details":{"error_message":"m"},"actor":{"type":"API_KEY","redacted_id":"sk-…9zZ9"},"request_metadata":{"client_ip":"here"}}"#;
        let written = encode("CODEX_LOG", redacted, Options { content: Content::Metadata, ..options });
        emitted.extend(
            if options.format == Format::Cef { read_cef(&written) } else { read_leef(&written) }
                .unwrap()
                .1
                .into_keys(),
        );
        let written = replay::marked("CODEX_LOG", "{}", options, None);
        emitted.extend(
            if options.format == Format::Cef { read_cef(&written) } else { read_leef(&written) }
                .unwrap()
                .1
                .into_keys(),
        );
        let told = options.format.fields().into_iter().map(|row| row.target.to_owned());
        let told: BTreeSet<String> = told.filter(|target| !target.starts_with('(')).collect();
        assert_eq!(emitted, told, "{:?}", options.format);
    }
    let native: BTreeSet<&str> = Format::Native.fields().iter().map(|row| row.native).collect();
    let mut emitted = BTreeSet::new();
    for (event_type, line) in lines().into_iter().chain([("X".to_owned(), "no json".to_owned())]) {
        let options = [FULL, Options { include_raw: true, content: Content::Full, ..FULL }];
        let metadata = Options { content: Content::Metadata, ..FULL };
        for record in options.into_iter().chain([metadata]).map(|options| encode(&event_type, &line, options))
        {
            paths(&record, "", &native, &mut emitted);
        }
        for record in encode_within(&origin(&event_type), line.as_bytes(), FULL, Some(1500)) {
            paths(&record, "", &native, &mut emitted);
        }
    }
    paths(&replay::marked("CODEX_LOG", "{}", FULL, None), "", &native, &mut emitted);
    emitted.insert("raw_encoding".to_owned());
    emitted.insert("self_poll".to_owned());
    assert_eq!(emitted, native.into_iter().map(str::to_owned).collect(), "native");
}

/// Every path of a native record, no deeper than the table goes.
fn paths(token: &str, path: &str, known: &BTreeSet<&str>, found: &mut BTreeSet<String>) {
    let items: Vec<&serde_json::value::RawValue> = serde_json::from_str(token).unwrap_or_default();
    for item in &items {
        paths(item.get(), path, known, found);
    }
    let members = json::members(token).unwrap_or_default();
    if known.contains(path) || members.is_empty() && items.is_empty() {
        found.insert(path.to_owned());
        return;
    }
    for (key, value) in members {
        let key = json::text(key).unwrap();
        let inner = if path.is_empty() { key.into_owned() } else { format!("{path}.{key}") };
        paths(value, &inner, known, found);
    }
}
