//! The network seam.
//!
//! Owns the one trait through which requests leave, and the real implementation. Redirects are never
//! followed here and bodies are handed over as they came: what they mean is for the caller. An error
//! never shows a query string; signed addresses carry their credential there.

mod rate;
mod tls;

use std::error::Error;
use std::fmt::{self, Debug};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue};
use url::{Host, Url};

pub use rate::RateLimit;
pub use tls::{TlsConfig, TlsTrouble};

use crate::limits;

/// How the network is reached.
#[derive(Clone, Default)]
pub struct NetworkConfig {
    /// Proxy; may hold credentials.
    pub proxy: Option<Url>,
    /// Certificates to trust beside those of the system.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for NetworkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkConfig")
            .field("proxy", &self.proxy.as_ref().map(shown))
            .field("ca_file", &self.ca_file)
            .finish()
    }
}

/// A GET request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where to.
    pub url: Url,
    /// `Authorization`, marked as sensitive; none to a foreign origin.
    pub authorization: Option<HeaderValue>,
}

/// An answer whose body is still to come.
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body as it came, chunk by chunk.
    pub body: BoxStream<'static, Result<Bytes, NetError>>,
}

/// No answer, or not all of it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NetError(pub String);

/// A way to send requests.
pub trait Transport: Send + Sync + Debug {
    /// Sends one request.
    fn get(&self, request: Request) -> BoxFuture<'_, Result<Response, NetError>>;
}

/// The real network.
#[derive(Debug)]
pub struct HttpTransport(reqwest::Client);

impl HttpTransport {
    /// Over `proxy`, or the one of the environment; trusts the system's roots and those of `ca_file`.
    pub fn new(proxy: Option<&Url>, ca_file: Option<&Path>) -> Result<Self, NetError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("custodex/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(limits::CONNECT_TIMEOUT)
            .read_timeout(limits::READ_TIMEOUT);
        if let Some(proxy) = proxy {
            let proxy = reqwest::Proxy::all(proxy.clone()).map_err(plain)?;
            builder = builder.proxy(proxy.no_proxy(reqwest::NoProxy::from_env()));
        }
        if let Some(path) = ca_file {
            let unusable = |error: &dyn Error| NetError(format!("ca_file {}: {error}", path.display()));
            let pem = std::fs::read(path).map_err(|error| unusable(&error))?;
            let roots = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unusable(&error))?;
            if roots.is_empty() {
                return Err(NetError(format!("ca_file {}: no certificate in it", path.display())));
            }
            builder = builder.tls_certs_merge(roots);
        }
        builder.build().map(Self).map_err(plain)
    }
}

impl Transport for HttpTransport {
    fn get(&self, request: Request) -> BoxFuture<'_, Result<Response, NetError>> {
        Box::pin(async move {
            let mut sent = self.0.get(request.url).header(ACCEPT_ENCODING, "identity");
            if let Some(value) = request.authorization {
                sent = sent.header(AUTHORIZATION, value);
            }
            let response = sent.send().await.map_err(plain)?;
            Ok(Response {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                body: response.bytes_stream().map_err(plain).boxed(),
            })
        })
    }
}

/// What went wrong and why, without the address.
pub(crate) fn plain(error: reqwest::Error) -> NetError {
    let timed_out = error.is_timeout();
    let error = error.without_url();
    let text = if timed_out { "timed out".to_owned() } else { error.to_string() };
    NetError(with_causes(text, &error))
}

/// `text` about an error, and the error's causes, each once.
pub(crate) fn with_causes(mut text: String, error: &dyn Error) -> String {
    let mut cause = error.source();
    while let Some(next) = cause {
        let part = next.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = next.source();
    }
    text
}

/// An address for people: scheme, host, port and path, nothing that could be a credential.
pub fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // Fails only for addresses that cannot have a password.
    let cleared = shown.set_password(None).and_then(|()| shown.set_username(""));
    debug_assert!(cleared.is_ok() || !url.has_authority());
    shown.to_string()
}

/// Whether an address names this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).to_canonical().is_loopback(),
        None => false,
    }
}

/// Whether an address is a literal that no public server has: a place to be lured to.
pub fn is_inside(url: &Url) -> bool {
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).to_canonical(),
        Some(Host::Domain(name)) => return name == "localhost" || name.ends_with(".localhost"),
        None => return true,
    };
    match ip {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            shared
                || ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_broadcast()
                || ip.is_multicast()
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_inside_are_known() {
        let url = |text: &str| text.parse::<Url>().expect("an address");
        for inside in [
            "https://169.254.169.254/x",
            "https://10.0.0.1/",
            "https://100.64.0.1/",
            "https://[::1]/",
            "https://[fd00::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://2130706433/",
            "https://localhost/",
        ] {
            assert!(is_inside(&url(inside)), "{inside}");
        }
        for outside in ["https://files.example.com/", "https://192.0.2.1/", "https://[2001:db8::1]/"] {
            assert!(!is_inside(&url(outside)), "{outside}");
        }
        assert!(is_loopback(&url("http://127.0.0.2:80/")));
        assert!(!is_loopback(&url("http://127.0.0.1.example.com/")));
    }

    #[test]
    fn shown_addresses_hold_no_credential() {
        let url: Url =
            "https://user:secret@files.example.com/a?sig=secret#secret".parse().expect("an address");
        assert_eq!(shown(&url), "https://files.example.com/a");
    }
}
