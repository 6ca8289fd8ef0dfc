//! Keys of `splunk_hec`, and the look before delivery.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use url::Url;

use super::encode::Envelope;
use super::probe;
use super::sink::SplunkHecSink;
use crate::ground::Ground;
use crate::net::{TlsConfig, is_loopback};
use crate::secret::Secret;
use crate::sink::{Batch, Guarantee, Origin, Sink, SinkConfig, SinkError};
use crate::units::{Size, Span};

/// What people paste behind the address; the sink adds its own.
const ENDPOINTS: [&str; 3] = ["/services/collector/event", "/services/collector", "/"];

/// The sink's own keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplunkHecConfig {
    /// Scheme, host, port, and what lies before `/services/collector`.
    #[serde(deserialize_with = "address")]
    pub(super) url: Url,
    pub(super) token: Secret,
    /// The token's own when absent.
    #[serde(default)]
    pub(super) index: Option<Template>,
    #[serde(default = "default_sourcetype")]
    pub(super) sourcetype: Template,
    #[serde(default = "default_source")]
    pub(super) source: Template,
    /// This machine's name when absent.
    #[serde(default)]
    pub(super) host: Option<String>,
    /// Whether the indexer's acknowledgement confirms a record, not only the collector's answer.
    #[serde(default = "default_true")]
    pub(super) acknowledgements: bool,
    /// A body that is not acknowledged for this time is sent again.
    #[serde(default = "default_ack_timeout", deserialize_with = "some_time")]
    pub(super) ack_timeout: Span,
    #[serde(default)]
    pub(super) compression: Packing,
    /// A request is not larger than this before compression, unless one event is.
    #[serde(default = "one_megabyte", deserialize_with = "some_bytes")]
    pub(super) batch_bytes: Size,
    /// Few records wait at most this long for more.
    #[serde(default = "default_batch_interval")]
    pub(super) batch_interval: Span,
    /// A longer record is trimmed.
    #[serde(default = "one_megabyte", deserialize_with = "event_bytes")]
    pub(super) max_event_bytes: Size,
    #[serde(default)]
    pub(super) tls: TlsConfig,
    /// For records that are delivered again.
    #[serde(default)]
    replay: Option<ReplayKeys>,
}

/// What a replay has instead; what is absent stays as it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayKeys {
    index: Option<Template>,
    sourcetype: Option<Template>,
    source: Option<Template>,
}

/// How bodies are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Packing {
    #[default]
    Gzip,
    None,
}

/// A text with `{event_type}` and `{principal}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(String);

impl SinkConfig for SplunkHecConfig {
    fn guarantee(&self) -> Guarantee {
        if self.acknowledgements { Guarantee::Durable } else { Guarantee::Accepted }
    }

    fn open(&self, ground: Ground, memory: Option<Vec<u8>>, _: String) -> Box<dyn Sink> {
        Box::new(SplunkHecSink::new(&ground, Arc::new(self.clone()), memory))
    }

    fn max_record_bytes(&self) -> Option<usize> {
        Some(bytes(self.max_event_bytes))
    }

    fn replaying(&self, _: &str) -> Option<Box<dyn SinkConfig>> {
        let ReplayKeys { index, sourcetype, source } = self.replay.clone()?;
        Some(Box::new(Self {
            index: index.or_else(|| self.index.clone()),
            sourcetype: sourcetype.unwrap_or_else(|| self.sourcetype.clone()),
            source: source.unwrap_or_else(|| self.source.clone()),
            replay: None,
            ..self.clone()
        }))
    }

    fn replay_fault(&self) -> Option<(&'static str, &'static str)> {
        let ReplayKeys { index, sourcetype, .. } = self.replay.as_ref()?;
        let same = index.as_ref().is_none_or(|index| Some(index) == self.index.as_ref())
            && sourcetype.as_ref().is_none_or(|sourcetype| *sourcetype == self.sourcetype);
        same.then_some((
            "replays would be where live records are searched",
            "name another `index` or another `sourcetype` for replays",
        ))
    }

    fn render(&self, batch: &Batch) -> Vec<u8> {
        let mut envelope = Envelope::new(Arc::new(self.clone()));
        let mut out = Vec::new();
        for (record, about) in batch.records().zip(&batch.about) {
            envelope.write(record, about, &mut out);
            out.push(b'\n');
        }
        out
    }

    fn secrets(&self) -> Vec<(&'static str, &Secret)> {
        vec![("token", &self.token)]
    }

    fn probe<'a>(&'a self, ground: &'a Ground) -> BoxFuture<'a, Result<String, SinkError>> {
        Box::pin(probe::probe(Arc::new(self.clone()), ground.random()))
    }
}

impl Template {
    /// The text for records of this origin.
    pub(super) fn fill(&self, event_type: &str, principal: &str) -> String {
        self.0.replace("{event_type}", event_type).replace("{principal}", principal)
    }

    /// The same with the event type in lower case.
    pub(super) fn fill_lower(&self, origin: &Origin) -> String {
        self.fill(&origin.event_type.to_lowercase(), &origin.principal)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let template = Self(String::deserialize(deserializer)?);
        let rest = template.fill("", "");
        if template.0.is_empty() || rest.contains(['{', '}']) || rest.contains(char::is_control) {
            let next = "write a text; {event_type} and {principal} in it are filled in";
            return Err(D::Error::custom(format!("not a text for every record\n{next}")));
        }
        Ok(template)
    }
}

/// A size as a length in memory.
pub(super) fn bytes(size: Size) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

fn default_sourcetype() -> Template {
    Template("openai:compliance:{event_type}".into())
}

fn default_source() -> Template {
    Template("{principal}/{event_type}".into())
}

fn default_true() -> bool {
    true
}

fn default_ack_timeout() -> Span {
    Span(Duration::from_secs(300))
}

fn default_batch_interval() -> Span {
    Span(Duration::from_secs(1))
}

fn one_megabyte() -> Size {
    Size(1_000_000)
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = |what: &str| {
        D::Error::custom(format!("{what}\nwrite an address such as \"https://splunk.example.com:8088\""))
    };
    let mut url = Url::parse(&text).map_err(|_| wrong("not an address"))?;
    if url.host_str().is_none_or(str::is_empty) || !matches!(url.scheme(), "https" | "http") {
        return Err(wrong("not the address of a collector"));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(wrong("the token and the events would cross the network in plain text"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("an address here has neither a query nor a fragment"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "an address here holds no user and no password; `token` says where the token lies",
        ));
    }
    let path = url.path().to_owned();
    let base = ENDPOINTS.iter().find_map(|end| path.strip_suffix(end)).unwrap_or(&path);
    url.set_path(base.trim_end_matches('/'));
    Ok(url)
}

fn some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
    let size = Size::deserialize(deserializer)?;
    if size.0 == 0 { Err(D::Error::custom("must be more than 0, such as \"1MB\"")) } else { Ok(size) }
}

fn event_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
    let size = Size::deserialize(deserializer)?;
    if size.0 < 1024 { Err(D::Error::custom("must be at least \"1KiB\", such as \"1MB\"")) } else { Ok(size) }
}

fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    if span.0.is_zero() { Err(D::Error::custom("must be more than 0, such as \"5m\"")) } else { Ok(span) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SplunkHecConfig, String> {
        toml::from_str(&format!("token = {{ env = 'T' }}\n{text}")).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_design() {
        let config = read("url = 'https://splunk.example.com:8088'").unwrap();
        assert_eq!((config.acknowledgements, config.ack_timeout), (true, "5m".parse().unwrap()));
        assert_eq!((config.batch_bytes, config.batch_interval), (Size(1_000_000), "1s".parse().unwrap()));
        assert_eq!((config.max_record_bytes(), config.compression), (Some(1_000_000), Packing::Gzip));
        let origin = Origin { principal: "p".into(), event_type: "CODEX_LOG".into(), file_id: "f".into() };
        assert_eq!(config.sourcetype.fill_lower(&origin), "openai:compliance:codex_log");
        assert_eq!(config.source.fill(&origin.event_type, &origin.principal), "p/CODEX_LOG");
        assert_eq!(config.guarantee(), Guarantee::Durable);
        let fast = read("url = 'https://x'\nacknowledgements = false").unwrap();
        assert_eq!(fast.guarantee(), Guarantee::Accepted);
    }

    #[test]
    fn a_replay_goes_elsewhere() {
        let config = |lines: &str| read(&format!("url = 'https://x'\nindex = 'live'\n{lines}")).unwrap();
        assert!(config("").replaying("r").is_none() && config("").replay_fault().is_none());
        let about = crate::sink::About { id: "i".into(), replay: Some("r".into()), ..Default::default() };
        let batch = Batch { bytes: b"{}\n".to_vec(), ends: vec![3], about: vec![about] };
        let named = config("replay = { index = 'again', source = 's' }\nhost = 'h'");
        let shown = String::from_utf8(named.replaying("r").unwrap().render(&batch)).unwrap();
        let rest = r#""source":"s","sourcetype":"openai:compliance:","index":"again","event":{},"fields":{"id":"i","replay_id":"r"}"#;
        assert!(shown.contains(rest), "{shown}");
        assert!(named.replay_fault().is_none());
        assert!(config("replay = { sourcetype = 'again' }").replay_fault().is_none());
        for same in ["{}", "{ index = 'live' }", "{ source = 'x' }"] {
            assert!(config(&format!("replay = {same}")).replay_fault().is_some(), "{same}");
        }
    }

    #[test]
    fn what_is_pasted_behind_the_address_is_cut_off() {
        for url in ["https://x:8088", "https://x:8088/", "https://x:8088/services/collector/event"] {
            assert_eq!(read(&format!("url = '{url}'")).unwrap().url.as_str(), "https://x:8088/");
        }
        let behind = read("url = 'https://x/splunk/services/collector'").unwrap();
        assert_eq!(behind.url.path(), "/splunk");
    }

    #[test]
    fn wrong_values_are_named() {
        for (lines, says) in [
            ("url = 'http://splunk.example.com'", "in plain text"),
            ("url = 'ftp://x'", "not the address of a collector"),
            ("url = 'https://x/?token=abc'", "neither a query"),
            ("url = 'https://me:abc@x'", "no user and no password"),
            ("url = 'https://x'\nsourcetype = '{type}'", "not a text for every record"),
            ("url = 'https://x'\nmax_event_bytes = '1B'", "at least \"1KiB\""),
            ("url = 'https://x'\nack_timeout = '0s'", "more than 0"),
            ("url = 'https://x'\ncompression = 'zstd'", "unknown variant"),
            ("url = 'https://x'\nverify = false", "unknown field"),
        ] {
            let error = read(lines).unwrap_err();
            assert!(error.contains(says), "{lines}: {error}");
        }
        assert!(read("url = 'http://127.0.0.1:8088'").is_ok());
    }
}
