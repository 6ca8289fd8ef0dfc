//! Every message is what the standards say, whatever a record holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use syslog_loose::{ProcId, Protocol, Variant};

use super::*;
use crate::sink::Origin;

fn style(enterprise: Option<u32>) -> Style {
    Style {
        header: Header::Rfc5424,
        facility: 13,
        hostname: "host.example".into(),
        app_name: "custodex".into(),
        enterprise,
    }
}

fn about(time: Option<&str>) -> About {
    About {
        id: "172dd902613b7513792a68207ec6b70b".into(),
        time: time.map(Into::into),
        observed: "2026-07-15T11:00:00Z".into(),
        action: None,
        outcome: None,
        replay: None,
        origin: Arc::new(Origin {
            principal: "11111111-2222-4333-8444-555555555555".into(),
            event_type: "CODEX_LOG".into(),
            file_id: "eclf_1".into(),
        }),
    }
}

fn text(style: &Style, about: &About, record: &[u8]) -> String {
    let mut messages = Messages::default();
    let length = messages.push(style, about, record);
    let bytes = messages.iter().next().unwrap().to_vec();
    assert_eq!(length, bytes.len());
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_message_looks_as_the_standard_says() {
    let about = about(Some("2026-07-15T10:48:58.7623929Z"));
    assert_eq!(
        text(&style(None), &about, b"{\"a\":1}\n"),
        "<110>1 2026-07-15T10:48:58.762392Z host.example custodex - CODEX_LOG - {\"a\":1}"
    );
    assert_eq!(
        text(&style(Some(32473)), &about, b"{}\n"),
        "<110>1 2026-07-15T10:48:58.762392Z host.example custodex - CODEX_LOG \
         [custodex@32473 id=\"172dd902613b7513792a68207ec6b70b\" \
         principal=\"11111111-2222-4333-8444-555555555555\" file_id=\"eclf_1\" event_type=\"CODEX_LOG\"] {}"
    );
    let old = Style { header: Header::Rfc3164, facility: 16, ..style(Some(1)) };
    assert_eq!(text(&old, &about, b"{}\r\n"), "<134>Jul 15 10:48:58 host.example custodex: {}");
    let first = self::about(Some("2026-12-01T00:00:00Z"));
    assert!(text(&old, &first, b"{}\n").starts_with("<134>Dec  1 00:00:00 "));
}

#[test]
fn the_event_s_own_time_is_sent() {
    for (given, sent) in [
        (Some("2026-07-15T10:48:58Z"), "2026-07-15T10:48:58Z"),
        (Some("2026-06-30T23:59:60.25Z"), "2026-06-30T23:59:59.25Z"),
        (Some("2026-07-15T10:48:58.1234567890120Z"), "2026-07-15T10:48:58.123456Z"),
        (None, "2026-07-15T11:00:00Z"),
        (Some("2026-13-15T10:48:58Z"), "2026-07-15T11:00:00Z"),
        (Some("2026-07-15T10:48:58.Z"), "2026-07-15T11:00:00Z"),
        (Some("\u{e9}"), "2026-07-15T11:00:00Z"),
    ] {
        let message = text(&style(None), &about(given), b"{}\n");
        assert_eq!(message.split(' ').nth(1), Some(sent), "{given:?}");
    }
    let mut nothing = about(None);
    nothing.observed = "yesterday".into();
    assert_eq!(text(&style(None), &nothing, b"{}").split(' ').nth(1), Some("-"));
}

#[test]
fn severity_follows_the_outcome() {
    let priority = |outcome| {
        let about = About { outcome, ..about(None) };
        text(&style(None), &about, b"{}").split('>').next().unwrap().to_owned()
    };
    assert_eq!(
        [Some("failure"), Some("success"), None, Some("unknown")].map(priority),
        ["<108", "<110", "<110", "<109"]
    );
}

#[test]
fn control_characters_never_leave() {
    let record = b"x\0\x1b[2J\r\n<13>1 - forged\ty\x7f\n";
    let message = text(&style(None), &about(None), record);
    assert!(message.ends_with(" - x\\u0000\\u001b[2J  <13>1 - forged\ty\u{7f}"), "{message}");
    let mut evil = about(None);
    evil.id = "a\n<13>1 \"]\\".into();
    let message = text(&style(Some(1)), &evil, b"{}");
    assert!(message.contains(r#"id="a?<13>1 \"\]\\" "#), "{message}");
}

/// Header fields, parameters, and the rest.
type Parts = (Vec<String>, Vec<(String, String)>, Vec<u8>);

/// As strict as RFC 5424 section 6: the parts of a message, unescaped, or a reason.
fn strict(message: &[u8]) -> Result<Parts, &'static str> {
    let end = message.iter().position(|byte| *byte == b'>').ok_or("no PRI")?;
    let priority = std::str::from_utf8(&message[1..end]).map_err(|_| "PRI")?;
    if message[0] != b'<' || priority.parse::<u8>().map_err(|_| "PRI")? > 191 {
        return Err("PRI");
    }
    let mut rest = message[end + 1..].strip_prefix(b"1 ").ok_or("version")?;
    let mut fields = vec![priority.to_owned()];
    for most in [32, 255, 48, 128, 32] {
        let end = rest.iter().position(|byte| *byte == b' ').ok_or("no space")?;
        let field = &rest[..end];
        if field.is_empty() || field.len() > most || !field.iter().all(u8::is_ascii_graphic) {
            return Err("a field");
        }
        fields.push(String::from_utf8(field.to_vec()).map_err(|_| "a field")?);
        rest = &rest[end + 1..];
    }
    if let Some(rest) = rest.strip_prefix(b"- ") {
        return Ok((fields, Vec::new(), rest.to_vec()));
    }
    let name_end = rest.iter().position(|byte| *byte == b' ').ok_or("SD-ID")?;
    fields.push(String::from_utf8_lossy(&rest[1..name_end]).into_owned());
    let mut parameters = Vec::new();
    rest = &rest[name_end..];
    while let Some(parameter) = rest.strip_prefix(b" ") {
        let equals = parameter.iter().position(|byte| *byte == b'=').ok_or("no =")?;
        let name = String::from_utf8_lossy(&parameter[..equals]).into_owned();
        let mut value = Vec::new();
        let mut bytes = parameter[equals + 1..].strip_prefix(b"\"").ok_or("no quote")?;
        loop {
            match bytes {
                [b'\\', escaped @ (b'"' | b'\\' | b']'), ..] => {
                    value.push(*escaped);
                    bytes = &bytes[2..];
                }
                [b'"', ..] => break,
                [b']' | b'\\', ..] | [] => return Err("not escaped"),
                [byte, ..] => {
                    value.push(*byte);
                    bytes = &bytes[1..];
                }
            }
        }
        parameters.push((name, String::from_utf8(value).map_err(|_| "no UTF-8")?));
        rest = &bytes[1..];
    }
    Ok((fields, parameters, rest.strip_prefix(b"] ").ok_or("no end")?.to_vec()))
}

fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

proptest! {
    /// Whatever the fields hold, an independent strict parser finds them where they belong.
    #[test]
    fn any_text_in_any_field_parses_back(
        id in any::<String>(), principal in any::<String>(), event_type in any::<String>(), file_id in any::<String>(),
        hostname in any::<String>(), record in any::<Vec<u8>>(), time in proptest::option::of(any::<String>()),
    ) {
        let origin = Origin { principal, event_type, file_id };
        let about = About { id, time, origin: Arc::new(origin), ..about(None) };
        let style = Style { hostname, ..style(Some(32473)) };
        let mut messages = Messages::default();
        let length = messages.push(&style, &about, &record);
        let message = messages.iter().next().unwrap();
        prop_assert!(message.iter().all(|byte| *byte >= b' ' || *byte == b'\t'));
        let (fields, parameters, body) = strict(message).map_err(TestCaseError::fail)?;
        prop_assert_eq!(fields.len(), 7);
        prop_assert_eq!(&fields[6], "custodex@32473");
        let given = [&about.id, &about.origin.principal, &about.origin.file_id, &about.origin.event_type];
        prop_assert_eq!(parameters.len(), given.len());
        for ((name, value), (given, (known, most))) in parameters.iter().zip(given.iter().zip(PARAMETERS)) {
            prop_assert_eq!(name, known);
            let given = cut(given);
            prop_assert!(given.starts_with(value.as_str()) && (value.len() == given.len() || value.len() > most / 2 - 4));
        }
        prop_assert!(length - body.len() <= style.longest_head(), "{} {}", length - body.len(), style.longest_head());
        let old = Style { header: Header::Rfc3164, ..style };
        messages.clear();
        prop_assert!(messages.push(&old, &about, b"") <= old.longest_head());
    }

    /// JSON of our own goes out byte for byte, and a reader of loose syslog agrees.
    #[test]
    fn a_json_text_is_not_touched(prompt in any::<String>()) {
        let record = serde_json::to_string(&serde_json::json!({ "prompt_text": prompt })).unwrap();
        let about = about(Some("2026-07-15T10:48:58.762392Z"));
        let message = text(&style(Some(32473)), &about, format!("{record}\n").as_bytes());
        let loose = syslog_loose::parse_message(message.as_str(), Variant::RFC5424);
        prop_assert_eq!(loose.protocol, Protocol::RFC5424(1));
        prop_assert_eq!(loose.msg, record.as_str());
        prop_assert_eq!(loose.msgid, Some("CODEX_LOG"));
        prop_assert_eq!(loose.appname, Some("custodex"));
        prop_assert_eq!(loose.procid, None::<ProcId<&str>>);
        prop_assert_eq!(loose.timestamp.unwrap().timestamp_micros(), 1_784_112_538_762_392);
        let element = &loose.structured_data[0];
        prop_assert_eq!(element.id, "custodex@32473");
        prop_assert_eq!(element.params.len(), 4);
    }
}

/// The crate `syslog` knows neither the event's time nor a text as MSGID; the rest has to be the same.
#[test]
fn an_independent_writer_agrees() {
    use syslog::LogFormat;
    let formatter = syslog::Formatter5424 {
        facility: syslog::Facility::LOG_LOCAL0,
        hostname: Some("host.example".into()),
        process: "custodex".into(),
        pid: 0,
    };
    let mut theirs = Vec::new();
    formatter
        .format(&mut theirs, syslog::Severity::LOG_WARNING, (7, BTreeMap::default(), "{\"a\":1}"))
        .unwrap();
    let theirs = String::from_utf8(theirs).unwrap();
    let style = Style { facility: 16, ..style(None) };
    let ours = text(&style, &About { outcome: Some("failure"), ..about(None) }, b"{\"a\":1}\n");
    let parts = |message: &str| message.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (theirs, ours) = (parts(&theirs), parts(&ours));
    let same = [0, 2, 3, 6, 7];
    assert_eq!(same.map(|at| &theirs[at]), same.map(|at| &ours[at]), "{theirs:?}");
}
