//! The HTTP client, made from `[tls]` and made anew when its files were replaced.
//!
//! Never falls back to less than was asked for: without its files there is no client.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Identity};
use tokio::time::Instant;
use tracing::warn;
use url::Url;

use super::config::SplunkHecConfig;
use crate::limits;
use crate::net::{TlsConfig, plain};
use crate::recovery::Recovery;
use crate::sink::SinkError;

/// A client and what it was made from.
pub(super) struct Client {
    http: reqwest::Client,
    files: Vec<Option<(SystemTime, u64)>>,
    looked: Instant,
}

/// Answers every name with the addresses of one: the certificate carries another than the address.
struct Fixed(Arc<(String, u16)>);

impl Resolve for Fixed {
    fn resolve(&self, _: Name) -> Resolving {
        let target = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((target.0.as_str(), target.1)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl Client {
    pub(super) fn new(config: &SplunkHecConfig) -> Result<Self, SinkError> {
        let files = stamps(&config.tls);
        Ok(Self { http: build(config)?, files, looked: Instant::now() })
    }

    /// The client; a new one when a file was replaced, and the old one while the new ones cannot be used.
    pub(super) fn http(&mut self, config: &SplunkHecConfig) -> &reqwest::Client {
        if self.looked.elapsed() >= limits::HEC_TLS_LOOK {
            self.looked = Instant::now();
            let files = stamps(&config.tls);
            if files != self.files {
                match build(config) {
                    Ok(http) => (self.http, self.files) = (http, files),
                    Err(error) => warn!(%error, "the new certificates cannot be used, the old ones stay"),
                }
            }
        }
        &self.http
    }
}

/// The address of an endpoint, with the name the certificate has to carry.
pub(super) fn endpoint(config: &SplunkHecConfig, path: &str) -> Url {
    let mut url = config.url.clone();
    let base = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}{path}"));
    if let Some(name) = &config.tls.server_name {
        let set = url.set_host(Some(name));
        debug_assert!(set.is_ok(), "looked at when the client was made");
    }
    url
}

/// When and how large: enough to see that a file was replaced.
fn stamps(tls: &TlsConfig) -> Vec<Option<(SystemTime, u64)>> {
    let files = [&tls.ca_file, &tls.cert_file, &tls.key_file];
    let stamp = |path: &std::path::PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.into_iter().map(|file| file.as_ref().and_then(stamp)).collect()
}

fn build(config: &SplunkHecConfig) -> Result<reqwest::Client, SinkError> {
    let tls = &config.tls;
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("custodex/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(limits::CONNECT_TIMEOUT)
        .read_timeout(limits::READ_TIMEOUT)
        .pool_idle_timeout(limits::HEC_IDLE_CONNECTION);
    if let Some(path) = &tls.ca_file {
        let roots = Certificate::from_pem_bundle(&read(path)?).map_err(|error| unusable(path, &error))?;
        if roots.is_empty() {
            return Err(unusable(path, &"no certificate in it"));
        }
        builder = builder.tls_certs_only(roots);
    }
    match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => {
            let pem = [read(cert)?, b"\n".to_vec(), read(key)?].concat();
            let identity = Identity::from_pem(&pem).map_err(|error| unusable(cert, &error))?;
            builder = builder.identity(identity);
        }
        (None, None) => {}
        (Some(_), None) => return Err(incomplete("cert_file without key_file")),
        (None, Some(_)) => return Err(incomplete("key_file without cert_file")),
    }
    if let Some(name) = &tls.server_name {
        let mut url = config.url.clone();
        url.set_host(Some(name)).map_err(|_| incomplete("server_name is no name of a host"))?;
        let host = config.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = config.url.port_or_known_default().unwrap_or_default();
        // A proxy would be told the certificate's name instead of the address.
        builder = builder.dns_resolver(Arc::new(Fixed(Arc::new((host, port))))).no_proxy();
    }
    builder.build().map_err(|error| {
        let hint = "see that the files of [tls] belong together".into();
        SinkError::new(format!("cannot set up TLS: {}", plain(error)), Recovery::Pause { hint })
    })
}

fn read(path: &Path) -> Result<Vec<u8>, SinkError> {
    std::fs::read(path).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> SinkError {
    let hint = format!("put PEM into {}, readable by the daemon's user", path.display());
    SinkError::new(format!("cannot use {}: {error}", path.display()), Recovery::Pause { hint })
}

fn incomplete(what: &str) -> SinkError {
    let hint = "complete [tls] of this sink".into();
    SinkError::new(format!("[tls]: {what}"), Recovery::Pause { hint })
}
