//! From TOML to the configuration, section by section.
//!
//! Owns the top level and the keys that all sinks share. Each section is read by itself, so that a fault
//! in one hides none in another, and each value keeps its place in the file until it is accepted.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error, ValueDeserializer};
use url::Url;

use super::error::Problem;
use super::{Config, HttpConfig, NetworkConfig, SinkEntry, Source, SpoolConfig, explain};
use crate::format::{Content, Format, OcsfVersion, Options, Redaction, Select};
use crate::ledger::SinkStart;
use crate::secret::Secret;
use crate::sink::{Keys, SinkType};
use crate::source::openai::ComplianceConfig;
use crate::units::{Size, Span};

/// Every type of source there is.
const SOURCE_TYPES: [&str; 1] = ["compliance_logs"];
const DATA_DIR: &str = "/var/lib/custodex";
const INSTANCE: &str = "custodex";
const KEEP: Duration = Duration::from_secs(7 * 86_400);
const MAX_BYTES: u64 = 20_000_000_000;
const MAX_UNCONFIRMED_RECORDS: u64 = 10_000;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Top {
    #[serde(default, deserialize_with = "path")]
    data_dir: Option<PathBuf>,
    #[serde(default, deserialize_with = "instance")]
    instance: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spool {
    keep: Option<Span>,
    #[serde(default, deserialize_with = "some_bytes")]
    max_bytes: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Custody {
    signing_key: Option<Secret>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    #[serde(default, deserialize_with = "listen")]
    listen: Option<SocketAddr>,
    token: Option<Secret>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    #[serde(default, deserialize_with = "proxy")]
    proxy: Option<Url>,
    #[serde(default, deserialize_with = "path")]
    ca_file: Option<PathBuf>,
}

/// What any sink may say.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Common {
    start: Start,
    max_unconfirmed_records: Option<NonZeroU64>,
    rate: Option<NonZeroU64>,
    format: Option<Format>,
    include_raw: bool,
    conversation_id: bool,
    ocsf_version: OcsfVersion,
    content: Content,
    prompts: bool,
    select: Select,
    redact: Redaction,
}

/// The keys of [`Common`].
pub(super) const COMMON: [&str; 11] = [
    "start",
    "max_unconfirmed_records",
    "rate",
    "format",
    "include_raw",
    "conversation_id",
    "ocsf_version",
    "content",
    "prompts",
    "select",
    "redact",
];

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Start {
    #[default]
    Beginning,
    Now,
}

struct Section<'i> {
    name: String,
    place: Range<usize>,
    keys: DeTable<'i>,
}

/// Reads the whole file; what is wrong goes to `problems`, and its default stands in for it.
pub(super) fn document(
    mut root: DeTable<'_>,
    path: &Path,
    types: &[SinkType],
    problems: &mut Vec<Problem>,
) -> Config {
    let sources = sections(&mut root, "sources", problems);
    let sources = sources.into_iter().filter_map(|section| source(section, problems)).collect();
    let sinks = sections(&mut root, "sinks", problems);
    let sinks = sinks.into_iter().filter_map(|section| sink(section, types, problems)).collect();
    let spool = part::<Spool>(&mut root, "spool", problems);
    let custody = part::<Custody>(&mut root, "custody", problems);
    let http = http(&mut root, problems);
    let network = part::<Network>(&mut root, "network", problems);
    let top = Spanned::new(0..0, DeValue::Table(root));
    let top = accept(
        Top::deserialize(ValueDeserializer::from(top)),
        &["sources", "sinks", "spool", "custody", "http", "network"],
        problems,
    );
    let top = top.unwrap_or_default();
    Config {
        path: path.to_owned(),
        data_dir: top.data_dir.unwrap_or_else(|| DATA_DIR.into()),
        instance: top.instance.unwrap_or_else(|| INSTANCE.to_owned()),
        spool: SpoolConfig {
            keep: spool.keep.map_or(KEEP, |keep| keep.0),
            max_bytes: spool.max_bytes.unwrap_or(MAX_BYTES),
        },
        signing_key: custody.signing_key,
        http,
        network: NetworkConfig { proxy: network.proxy, ca_file: network.ca_file },
        sources,
        sinks,
        warnings: Vec::new(),
        sha256: [0; 32],
    }
}

/// `[http]`, if it is there; then it says where to listen.
fn http(root: &mut DeTable<'_>, problems: &mut Vec<Problem>) -> Option<HttpConfig> {
    let header = root.get_key_value("http")?.0.span();
    let known = problems.len();
    let Http { listen, token } = part(root, "http", problems);
    if listen.is_none() && problems.len() == known {
        let hint = "write listen = \"127.0.0.1:9464\", or remove [http]: then nothing listens";
        problems.push(Problem::new(Some(header), "missing key `listen`", hint));
    }
    Some(HttpConfig { listen: listen?, token })
}

fn source(mut section: Section<'_>, problems: &mut Vec<Problem>) -> Option<Source> {
    kind(&mut section, "source", &SOURCE_TYPES, problems)?;
    let keys = ValueDeserializer::from(Spanned::new(section.place, DeValue::Table(section.keys)));
    let config = accept(ComplianceConfig::read(keys), &[], problems)?;
    Some(Source { name: section.name, config })
}

fn sink(mut section: Section<'_>, types: &[SinkType], problems: &mut Vec<Problem>) -> Option<SinkEntry> {
    let names: Vec<&str> = types.iter().map(|known| known.name).collect();
    let found = types[kind(&mut section, "sink", &names, problems)?];
    let mut common = DeTable::new();
    let written = |key| Some(section.keys.get_key_value(key)?.0.span());
    let partly = ["content", "include_raw", "redact"].into_iter().find_map(written);
    let [include_raw, prompts, selected] = ["include_raw", "prompts", "select"].map(written);
    for key in COMMON {
        if let Some((key, value)) = section.keys.remove_entry(key) {
            common.insert(key, value);
        }
    }
    let table = |keys| ValueDeserializer::from(Spanned::new(section.place.clone(), DeValue::Table(keys)));
    let common = accept(Common::deserialize(table(common)), &[], problems);
    let own: Vec<_> = section.keys.keys().map(Spanned::span).collect();
    let config = (found.read)(table(section.keys)).map_err(|error| {
        // Further down, in a table of the sink's own, these keys mean nothing.
        let also = if error.span().is_some_and(|span| own.contains(&span)) { &COMMON[..] } else { &[] };
        problems.push(explain::error(&error, also));
    });
    let (common, config) = (common?, config.ok()?);
    let files = matches!(config, Keys::Files(_));
    let format = common.format.unwrap_or(if files { Format::Raw } else { Format::Native });
    let whole = common.content == Content::Full && !common.include_raw && common.redact.is_empty();
    if files && let Some(selected) = selected {
        let what = "an archive keeps log files whole";
        problems.push(Problem::new(Some(selected), what, "remove `select` here: it is for other sinks"));
    }
    if files && format == Format::Raw && !whole {
        let what = "an archive in format \"raw\" keeps log files byte for byte";
        let hint = "remove this line, or set another `format`: its objects lie beside the raw ones";
        problems.push(Problem::new(partly, what, hint));
    }
    let options = Options {
        format,
        include_raw: common.include_raw,
        content: common.content,
        prompts: common.prompts,
        conversation_id: common.conversation_id,
        ocsf_version: common.ocsf_version,
    };
    if let Some((key, what, hint)) = contradiction(options) {
        let span = if key == "prompts" { prompts } else { include_raw };
        problems.push(Problem::new(span, what, hint));
    }
    Some(SinkEntry {
        name: section.name,
        kind: found.name,
        start: match common.start {
            Start::Beginning => SinkStart::Beginning,
            Start::Now => SinkStart::Now,
        },
        max_unconfirmed_records: common
            .max_unconfirmed_records
            .map_or(MAX_UNCONFIRMED_RECORDS, NonZeroU64::get),
        rate: common.rate.map(NonZeroU64::get),
        options,
        select: common.select,
        redaction: common.redact,
        config,
    })
}

/// Options that mean nothing together: the key to change, what is wrong, the next step.
fn contradiction(options: Options) -> Option<(&'static str, &'static str, &'static str)> {
    if options.prompts && !options.format.is_flat() {
        let what = "prompts is for the formats \"cef\" and \"leef\"";
        return Some((
            "prompts",
            what,
            "remove this line: other formats leave prompts out with content = \"metadata\"",
        ));
    }
    if options.prompts && options.content == Content::Metadata {
        let what = "prompts = true, and content = \"metadata\" that keeps prompts out";
        return Some(("prompts", what, "remove one of the two lines"));
    }
    if options.include_raw && options.format.is_flat() {
        let what = "the formats \"cef\" and \"leef\" have no place for the exact bytes";
        return Some(("include_raw", what, "remove this line; an archive keeps log files byte for byte"));
    }
    None
}

/// The sections `[key.NAME]` in the order of the file.
fn sections<'i>(root: &mut DeTable<'i>, key: &str, problems: &mut Vec<Problem>) -> Vec<Section<'i>> {
    let one = key.trim_end_matches('s');
    let form = format!("write [{key}.NAME], with a name of your choice, and the keys of the {one} below it");
    let Some((header, value)) = root.remove_entry(key) else {
        problems.push(Problem::new(None, format!("there is no {one}"), form));
        return Vec::new();
    };
    let DeValue::Table(named) = value.into_inner() else {
        problems.push(Problem::new(Some(header.span()), format!("{key} have names"), form));
        return Vec::new();
    };
    if named.is_empty() {
        problems.push(Problem::new(Some(header.span()), format!("there is no {one}"), form.clone()));
    }
    let mut sections = Vec::new();
    for (name, value) in named {
        if !is_name(name.get_ref()) {
            let hint = "write 1 to 64 letters, digits, `_` or `-`";
            problems.push(Problem::new(Some(name.span()), format!("not a name for a {one}"), hint));
            continue;
        }
        let place = name.span();
        match value.into_inner() {
            DeValue::Table(keys) => {
                sections.push(Section { name: name.into_inner().into_owned(), place, keys });
            }
            _ => problems.push(Problem::new(Some(place), format!("{key} have names"), form.clone())),
        }
    }
    sections.sort_by_key(|section| section.place.start);
    sections
}

/// Takes `type` out; which of `known` it is.
fn kind(section: &mut Section<'_>, what: &str, known: &[&str], problems: &mut Vec<Problem>) -> Option<usize> {
    let list = known.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let (span, (message, hint)) = match section.keys.remove("type") {
        None => {
            let hint = format!("say what kind of {what} this is: type = …, one of {list}");
            (section.place.clone(), ("missing key `type`".to_owned(), hint))
        }
        Some(value) => match value.get_ref() {
            DeValue::String(name) => {
                let found = known.iter().position(|other| other == name);
                if found.is_some() {
                    return found;
                }
                let message = format!("unknown type of {what} `{name}`");
                (value.span(), (message, format!("write one of {list}")))
            }
            _ => (value.span(), explain::mismatch("", "a string")),
        },
    };
    problems.push(Problem::new(Some(span), message, hint));
    None
}

/// One section of the top level, empty where it is left out.
fn part<T: Default + for<'de> Deserialize<'de>>(
    root: &mut DeTable<'_>,
    key: &str,
    problems: &mut Vec<Problem>,
) -> T {
    let value = root.remove(key).unwrap_or_else(|| Spanned::new(0..0, DeValue::Table(DeTable::new())));
    accept(T::deserialize(ValueDeserializer::from(value)), &[], problems).unwrap_or_default()
}

fn accept<T>(result: Result<T, Error>, also: &[&str], problems: &mut Vec<Problem>) -> Option<T> {
    result.map_err(|error| problems.push(explain::error(&error, also))).ok()
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    if path.as_os_str().is_empty() {
        return Err(D::Error::custom("this path is empty\nwrite a path, or remove the line"));
    }
    Ok(Some(path))
}

fn instance<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(deserializer)?;
    // Dots, as in the name of a host, but not at the ends: it becomes part of paths.
    if !is_name(&name.replace('.', "_")) || name.starts_with('.') || name.ends_with('.') {
        return Err(D::Error::custom(
            "instance is part of names in archives\nwrite 1 to 64 letters, digits, `_`, `-` or dots inside",
        ));
    }
    Ok(Some(name))
}

fn some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Size::deserialize(deserializer)?.0 {
        0 => Err(D::Error::custom(
            "max_bytes cannot be zero\nwrite how much the spool may hold, such as \"20GB\"",
        )),
        bytes => Ok(Some(bytes)),
    }
}

fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    const FORM: &str = "write an IP address and a port, such as \"127.0.0.1:9464\" or \"[::1]:9464\"";
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(|_| D::Error::custom(format!("not an address to listen on\n{FORM}")))
}

fn proxy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    const FORM: &str = "write an address such as \"http://proxy.example.com:3128\"";
    let text = String::deserialize(deserializer)?;
    let url: Url = text.parse().map_err(|_| D::Error::custom(format!("not a full address\n{FORM}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(D::Error::custom(format!("proxy is not an http or https address\n{FORM}")));
    }
    if url.query().is_some() || url.fragment().is_some() || url.path() != "/" {
        let message = "proxy has a path, a query or a fragment\nremove everything after the port";
        return Err(D::Error::custom(message));
    }
    Ok(Some(url))
}
