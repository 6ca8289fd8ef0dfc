//! Envelopes and bodies: concatenated objects, each with one record as its event. Pure.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde_json::to_writer;

use super::config::{Packing, SplunkHecConfig};
use crate::limits;
use crate::sink::{About, Batch, Origin};

/// Digits of a second that Splunk keeps at most.
const MOST_DIGITS: usize = 9;

/// Writes envelopes.
pub(super) struct Envelope {
    config: Arc<SplunkHecConfig>,
    host: String,
    /// What is the same for all records of an origin.
    shared: Option<(Arc<Origin>, Vec<u8>)>,
}

impl Envelope {
    pub(super) fn new(config: Arc<SplunkHecConfig>) -> Self {
        let host = config.host.clone().unwrap_or_else(machine);
        Self { config, host, shared: None }
    }

    /// Appends every record of a batch.
    pub(super) fn write_all(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        for (record, about) in batch.records().zip(&batch.about) {
            self.write(record, about, out);
        }
    }

    /// Appends one event.
    pub(super) fn write(&mut self, record: &[u8], about: &About, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(time) = about.time.as_deref().and_then(epoch).or_else(|| epoch(&about.observed)) {
            out.extend_from_slice(b"\"time\":");
            out.extend_from_slice(time.as_bytes());
            out.push(b',');
        }
        out.extend_from_slice(self.shared(&about.origin));
        out.extend_from_slice(b",\"event\":");
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        if is_object(record) {
            out.extend_from_slice(record);
        } else {
            text(&String::from_utf8_lossy(record), out);
        }
        out.extend_from_slice(b",\"fields\":{\"id\":");
        text(&about.id, out);
        for (key, value) in [
            ("event_type", Some(about.origin.event_type.as_str())),
            ("action", about.action.as_deref()),
            ("replay_id", about.replay.as_deref()),
        ] {
            // Splunk takes no empty ones.
            if let Some(value) = value.filter(|value| (1..=limits::HEC_FIELD_BYTES).contains(&value.len())) {
                out.extend_from_slice(b",\"");
                out.extend_from_slice(key.as_bytes());
                out.extend_from_slice(b"\":");
                text(value, out);
            }
        }
        out.extend_from_slice(b"}}");
    }

    fn shared(&mut self, origin: &Arc<Origin>) -> &[u8] {
        if self.shared.as_ref().is_none_or(|(known, _)| !Arc::ptr_eq(known, origin)) {
            let config = &self.config;
            let mut out = b"\"host\":".to_vec();
            text(&self.host, &mut out);
            out.extend_from_slice(b",\"source\":");
            text(&config.source.fill(&origin.event_type, &origin.principal), &mut out);
            out.extend_from_slice(b",\"sourcetype\":");
            text(&config.sourcetype.fill_lower(origin), &mut out);
            if let Some(index) = &config.index {
                out.extend_from_slice(b",\"index\":");
                text(&index.fill_lower(origin), &mut out);
            }
            self.shared = Some((origin.clone(), out));
        }
        self.shared.as_ref().map_or(&[], |(_, bytes)| bytes)
    }
}

/// Packs a body; the same bytes give the same body.
pub(super) fn pack(plain: &[u8], packing: Packing) -> Bytes {
    match packing {
        Packing::None => Bytes::copy_from_slice(plain),
        Packing::Gzip => {
            let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
            let packed = encoder.write_all(plain).and_then(|()| encoder.finish());
            // Kept for minutes: not with room to spare.
            Bytes::from(packed.expect("memory takes every byte").into_boxed_slice())
        }
    }
}

/// Whether a body is packed; a plain one begins with a brace.
pub(super) fn is_packed(body: &[u8]) -> bool {
    body.first().is_some_and(|first| *first != b'{')
}

/// Seconds since 1970 with their decimals as written.
fn epoch(time: &str) -> Option<String> {
    let (whole, fraction) = match time.split_once('.') {
        Some((whole, rest)) => (whole, rest.trim_end_matches(|c: char| !c.is_ascii_digit())),
        None => (time.trim_end_matches('Z'), ""),
    };
    let second = format!("{whole}Z").parse::<Timestamp>().ok()?.as_second();
    // Nobody sends events from before 1970; a time like that would be refused.
    let second = u64::try_from(second).ok()?;
    let digits = &fraction[..fraction.len().min(MOST_DIGITS)];
    let all = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    Some(if all { format!("{second}.{digits}") } else { second.to_string() })
}

fn is_object(record: &[u8]) -> bool {
    record.first() == Some(&b'{') && serde_json::from_slice::<IgnoredAny>(record).is_ok()
}

fn text(text: &str, out: &mut Vec<u8>) {
    to_writer(out, text).expect("a text always becomes a token");
}

/// This machine's name.
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn envelope(keys: &str) -> Envelope {
        let keys = format!("url = 'https://x'\ntoken = {{ env = 'T' }}\nhost = 'h'\n{keys}");
        Envelope::new(Arc::new(toml::from_str(&keys).unwrap()))
    }

    fn about(time: Option<&str>) -> About {
        About {
            id: "i1".into(),
            time: time.map(Into::into),
            observed: "2026-07-22T12:00:00.5Z".into(),
            action: Some("PROMPT_SENT".into()),
            outcome: None,
            replay: None,
            origin: Arc::new(Origin {
                principal: "p1".into(),
                event_type: "CODEX_LOG".into(),
                file_id: "f".into(),
            }),
        }
    }

    #[test]
    fn an_event_has_its_time_its_names_and_its_bytes() {
        let mut out = Vec::new();
        let mut envelope = envelope("index = 'codex'");
        envelope.write(b"{\"a\" : 1.0}\n", &about(Some("2024-11-23T14:13:20.123000Z")), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"time":1732371200.123000,"host":"h","source":"p1/CODEX_LOG","sourcetype":"openai:compliance:codex_log","index":"codex","event":{"a" : 1.0},"fields":{"id":"i1","event_type":"CODEX_LOG","action":"PROMPT_SENT"}}"#
        );
    }

    #[test]
    fn what_is_no_object_goes_as_a_text() {
        let event = |record: &[u8]| {
            let mut out = Vec::new();
            envelope("").write(record, &about(None), &mut out);
            serde_json::from_slice::<serde_json::Value>(&out).unwrap()["event"].clone()
        };
        assert_eq!(event(b"no \"JSON\"\n"), "no \"JSON\"");
        assert_eq!(event(b"{\"a\":\n"), "{\"a\":");
        assert_eq!(event(b"\xff\n"), "\u{fffd}");
        assert_eq!(event(b"{}\n"), serde_json::json!({}));
    }

    #[test]
    fn times_keep_their_digits() {
        for (time, expected) in [
            ("2024-11-23T14:13:20Z", Some("1732371200")),
            ("2024-11-23T14:13:20.10Z", Some("1732371200.10")),
            ("2024-11-23T14:13:20.1234567891234Z", Some("1732371200.123456789")),
            ("1965-02-03T04:05:06Z", None),
            ("nonsense", None),
        ] {
            assert_eq!(epoch(time).as_deref(), expected, "{time}");
        }
    }

    #[test]
    fn bodies_are_packed_the_same_each_time() {
        let packed = pack(b"{\"event\":1}", Packing::Gzip);
        assert_eq!(packed, pack(b"{\"event\":1}", Packing::Gzip));
        let mut plain = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut plain).unwrap();
        assert_eq!(plain, "{\"event\":1}");
        assert!(is_packed(&packed) && !is_packed(plain.as_bytes()));
    }
}
