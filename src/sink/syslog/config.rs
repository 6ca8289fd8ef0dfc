//! Keys of `syslog`, and the look before delivery.
//!
//! Owns every rule that one `[sinks.NAME]` of this type can break. An error carries its place in the
//! file; after a line feed in its message, the next step.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde::de::{self, Deserializer, Error as _, Visitor};
use toml::Spanned;
use toml::de::{Error, ValueDeserializer};

use super::encode::{APP_NAME_MOST, HOSTNAME_MOST, Header, Messages, Style, TAG_MOST};
use super::sink::SyslogSink;
use super::{send, sink};
use crate::ground::Ground;
use crate::limits;
use crate::net::TlsConfig;
use crate::refusal::refused;
use crate::sink::{Batch, Guarantee, Sink, SinkConfig, SinkError};
use crate::units::Size;

const APP_NAME: &str = "custodex";
/// `local0`
const FACILITY: u8 = 16;
/// RFC 5424's facilities by number.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
const FORM: &str = "write udp://, tcp://, tls://, relp:// or relp+tls:// with host and port, such as \
                    \"tls://collector.example.com:6514\", or unix: with a path, such as \"unix:/dev/log\"";

/// The sink's own keys, read and checked.
#[derive(Clone, Debug)]
pub struct SyslogConfig {
    pub(super) address: Address,
    pub(super) framing: Framing,
    pub(super) style: Style,
    pub(super) max_message_bytes: usize,
    pub(super) tls: TlsConfig,
    /// What messages of a replay have instead.
    replay: Option<Style>,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// Over the network.
    Host { transport: Transport, name: String, port: u16 },
    /// A socket of this machine.
    Unix(PathBuf),
}

/// How they get there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
    Tls,
    Relp,
    RelpTls,
}

/// How a stream is cut into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Framing {
    /// Each message behind its length.
    OctetCounted,
    /// Each message on a line.
    Newline,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    address: Spanned<Address>,
    #[serde(default)]
    header: Header,
    framing: Option<Spanned<Framing>>,
    facility: Option<Facility>,
    hostname: Option<Spanned<String>>,
    app_name: Option<Spanned<String>>,
    enterprise_id: Option<NonZeroU32>,
    max_message_bytes: Option<Spanned<Bytes>>,
    tls: Option<Spanned<TlsConfig>>,
    replay: Option<ReplayKeys>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayKeys {
    facility: Option<Facility>,
    app_name: Option<Spanned<String>>,
}

struct Facility(u8);

/// A number of bytes, as a number or as a size.
struct Bytes(usize);

/// Reads the sink's table, without `type` and the keys all sinks share.
pub fn read(keys: ValueDeserializer<'_>) -> Result<crate::sink::Keys, Error> {
    SyslogConfig::read(keys).map(|config| crate::sink::Keys::Records(Box::new(config)))
}

impl SyslogConfig {
    pub(super) fn read(keys: ValueDeserializer<'_>) -> Result<Self, Error> {
        let keys = Keys::deserialize(keys)?;
        let address = keys.address.into_inner();
        let (tag, most) = match keys.header {
            Header::Rfc5424 => (false, APP_NAME_MOST),
            Header::Rfc3164 => (true, TAG_MOST),
        };
        let style = Style {
            header: keys.header,
            facility: keys.facility.map_or(FACILITY, |facility| facility.0),
            hostname: name("hostname", keys.hostname, HOSTNAME_MOST, false)?.unwrap_or_else(machine),
            app_name: name("app_name", keys.app_name, most, tag)?.unwrap_or_else(|| APP_NAME.to_owned()),
            enterprise: keys.enterprise_id.map(NonZeroU32::get),
        };
        let replay = keys.replay.map(|replay| {
            Ok::<_, Error>(Style {
                facility: replay.facility.map_or(style.facility, |facility| facility.0),
                app_name: name("app_name", replay.app_name, most, tag)?
                    .unwrap_or_else(|| style.app_name.clone()),
                ..style.clone()
            })
        });
        Ok(Self {
            replay: replay.transpose()?,
            framing: framing(&address, keys.framing)?,
            max_message_bytes: most_bytes(&address, keys.max_message_bytes)?,
            tls: tls(&address, keys.tls)?,
            address,
            style,
        })
    }
}

impl SinkConfig for SyslogConfig {
    fn guarantee(&self) -> Guarantee {
        match self.address.transport() {
            Some(Transport::Relp | Transport::RelpTls) => Guarantee::Accepted,
            _ => Guarantee::Sent,
        }
    }

    fn open(&self, _: Ground, _: Option<Vec<u8>>, _: String) -> Box<dyn Sink> {
        Box::new(SyslogSink::new(Arc::new(self.clone())))
    }

    fn max_record_bytes(&self) -> Option<usize> {
        Some(self.max_message_bytes.saturating_sub(self.style.longest_head()))
    }

    fn replaying(&self, _: &str) -> Option<Box<dyn SinkConfig>> {
        let style = self.replay.clone()?;
        Some(Box::new(Self { style, replay: None, ..self.clone() }))
    }

    fn replay_fault(&self) -> Option<(&'static str, &'static str)> {
        (self.replay.as_ref()? == &self.style).then_some((
            "replays would look like live records",
            "name another `app_name` or another `facility` for replays",
        ))
    }

    fn render(&self, batch: &Batch) -> Vec<u8> {
        let mut messages = Messages::default();
        for (bytes, about) in batch.records().zip(&batch.about) {
            messages.push(&self.style, about, bytes);
        }
        messages.iter().flat_map(|message| [message, b"\n"]).flatten().copied().collect()
    }

    fn probe<'a>(&'a self, _: &'a Ground) -> BoxFuture<'a, Result<String, SinkError>> {
        Box::pin(sink::probe(self))
    }
}

impl Address {
    pub(super) fn transport(&self) -> Option<Transport> {
        match self {
            Self::Host { transport, .. } => Some(*transport),
            Self::Unix(_) => None,
        }
    }
}

impl Framing {
    /// What goes before and behind a message.
    pub(super) fn around(self, message: &[u8]) -> (String, &'static [u8]) {
        match self {
            Self::OctetCounted => (format!("{} ", message.len()), b""),
            Self::Newline => (String::new(), b"\n"),
        }
    }
}

impl Transport {
    const ALL: [(&'static str, Self); 5] = [
        ("udp", Self::Udp),
        ("tcp", Self::Tcp),
        ("tls", Self::Tls),
        ("relp", Self::Relp),
        ("relp+tls", Self::RelpTls),
    ];

    pub(super) fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::RelpTls)
    }

    fn scheme(self) -> &'static str {
        Self::ALL.iter().find(|(_, transport)| *transport == self).map_or("", |(scheme, _)| scheme)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Unix(path)) } else { Err(wrong("not a full path")) };
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("not a full address"))?;
        let transport = Transport::ALL.iter().find(|(name, _)| *name == scheme).map(|(_, kind)| *kind);
        let transport = transport.ok_or_else(|| wrong("syslog does not go this way"))?;
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| wrong("the address has no port"))?;
        let port: u16 = port.parse().map_err(|_| wrong("the address has no port, or something behind it"))?;
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let literal = inner.is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
        let name = inner.unwrap_or(host);
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if port == 0 || !(literal || !name.is_empty() && inner.is_none() && name.chars().all(named)) {
            return Err(wrong("not a host and a port"));
        }
        Ok(Self::Host { transport, name: name.to_owned(), port })
    }
}

fn wrong(what: &str) -> String {
    format!("{what}\n{FORM}")
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Host { transport, name, port } => {
                write!(f, "{}://{}", transport.scheme(), send::host_and_port(name, *port))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Facility {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = FACILITIES.iter().position(|known| *known == name);
        let number = found.and_then(|number| u8::try_from(number).ok());
        let hint = || format!("not a facility\nknown here: {}", FACILITIES.join(", "));
        number.map(Self).ok_or_else(|| D::Error::custom(hint()))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes such as 8000, or a size such as \"8KB\"")
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Bytes, E> {
                let no_size = || E::custom("not a size\nwrite a number of bytes such as 8000");
                usize::try_from(bytes).map(Bytes).map_err(|_| no_size())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                let size: Size = text.parse().map_err(|_| {
                    E::custom("not a size\nwrite a number of bytes such as 8000, or a size such as \"8KB\"")
                })?;
                Ok(Bytes(usize::try_from(size.0).unwrap_or(usize::MAX)))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

fn name(key: &str, value: Option<Spanned<String>>, most: usize, tag: bool) -> Result<Option<String>, Error> {
    let Some(value) = value else { return Ok(None) };
    let of_tag = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let allowed = |c: char| if tag { of_tag(c) } else { c.is_ascii_graphic() };
    let text = value.get_ref();
    if (1..=most).contains(&text.len()) && text.chars().all(allowed) {
        return Ok(Some(value.into_inner()));
    }
    let which =
        if tag { "letters, digits, `_`, `-`, `.` or `/`" } else { "printable ASCII characters, no space" };
    Err(refused(value.span(), &format!("{key} does not fit into the header\nwrite 1 to {most} {which}")))
}

/// The name of this machine.
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn framing(address: &Address, given: Option<Spanned<Framing>>) -> Result<Framing, Error> {
    let usual = match address.transport() {
        Some(Transport::Tcp | Transport::Tls) => Framing::OctetCounted,
        None => Framing::Newline,
        Some(Transport::Udp | Transport::Relp | Transport::RelpTls) => match &given {
            None => Framing::OctetCounted,
            Some(given) => {
                let message =
                    "framing means nothing here\nremove it: it is for tcp://, tls:// and unix: streams";
                return Err(refused(given.span(), message));
            }
        },
    };
    Ok(given.map_or(usual, Spanned::into_inner))
}

fn most_bytes(address: &Address, given: Option<Spanned<Bytes>>) -> Result<usize, Error> {
    let udp = address.transport() == Some(Transport::Udp);
    let usual = if udp { limits::SYSLOG_UDP_BYTES } else { limits::SYSLOG_MESSAGE_BYTES };
    let Some(given) = given else { return Ok(usual) };
    let largest = usize::try_from(limits::MAX_RECORD_BYTES).unwrap_or(usize::MAX);
    let most = if udp { limits::UDP_PAYLOAD_BYTES } else { largest };
    let (span, least) = (given.span(), limits::SYSLOG_LEAST_BYTES);
    match given.into_inner().0 {
        bytes if (least..=most).contains(&bytes) => Ok(bytes),
        _ => Err(refused(span, &format!("max_message_bytes is out of range\nwrite {least} to {most}"))),
    }
}

fn tls(address: &Address, given: Option<Spanned<TlsConfig>>) -> Result<TlsConfig, Error> {
    let Some(given) = given else { return Ok(TlsConfig::default()) };
    let (span, tls) = (given.span(), given.into_inner());
    let message = match address.transport() {
        Some(transport) if transport.is_encrypted() => match (&tls.cert_file, &tls.key_file) {
            (Some(_), None) => "cert_file needs its key\nadd key_file",
            (None, Some(_)) => "key_file needs its certificate\nadd cert_file",
            _ if tls.server_name.as_deref().is_some_and(|name| !send::is_server_name(name)) => {
                "server_name is no name of a host\nwrite a name or an IP address, without a port"
            }
            _ => return Ok(tls),
        },
        Some(Transport::Tcp) => "tcp:// sends in plaintext\nwrite the address with tls://, or remove [tls]",
        Some(Transport::Relp) => {
            "relp:// sends in plaintext\nwrite the address with relp+tls://, or remove [tls]"
        }
        _ => {
            "this way of sending knows no TLS\nwrite the address with tls:// or relp+tls://, or remove [tls]"
        }
    };
    Err(refused(span, message))
}

#[cfg(test)]
mod tests;
