//! What a sink's `[tls]` says: whom to trust, and who we are.

use std::path::PathBuf;

use serde::Deserialize;

/// The keys of `[tls]`; all are optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// Certificates (PEM) to trust instead of those of the system.
    pub ca_file: Option<PathBuf>,
    /// Our certificate (PEM), with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// Its private key (PEM).
    pub key_file: Option<PathBuf>,
    /// The name the other side's certificate has to carry, if not that of the address.
    pub server_name: Option<String>,
}
