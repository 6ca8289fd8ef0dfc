//! What a sink's `[tls]` says: whom to trust, and who we are.
//!
//! Owns how a TLS client is made of it, and what a failed handshake means for an operator. TLS 1.2 and
//! 1.3 over aws-lc-rs; nothing turns verification off. Files are read each time a client is made, so a
//! rotated one is picked up by the next connection. Never shows what is inside a key file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{ClientConfig, Resumption, WantsClientCert};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ConfigBuilder, Error, RootCertStore};
use rustls_platform_verifier::Verifier;
use serde::Deserialize;

use crate::limits;

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

/// What stays wrong until an operator acts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TlsTrouble {
    /// What it is.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl TlsTrouble {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }

    /// What an error of a connection means; `None` when it may pass by itself.
    pub fn of(error: &Error) -> Option<Self> {
        match error {
            Error::InvalidCertificate(error) => Some(certificate(error)),
            Error::AlertReceived(alert) => refusal(*alert),
            Error::PeerIncompatible(_) => Some(Self::new(
                "the other side offers no TLS 1.2 or 1.3 that we could agree on",
                "let the receiver speak TLS 1.2 or newer",
            )),
            Error::InvalidMessage(_) | Error::InappropriateHandshakeMessage { .. } => Some(Self::new(
                "what answers does not speak TLS",
                "check the port: plaintext and TLS need different ones",
            )),
            Error::NoCertificatesPresented => Some(Self::new(
                "the other side shows no certificate",
                "give the receiver a certificate; anonymous TLS is not accepted",
            )),
            _ => None,
        }
    }
}

impl TlsConfig {
    /// A client as the files are now. Reads them, so it blocks.
    pub fn client(&self) -> Result<ClientConfig, TlsTrouble> {
        let unusable =
            |error: Error| TlsTrouble::new(format!("TLS cannot be used: {error}"), "check the keys of [tls]");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = if let Some(path) = &self.ca_file {
            builder.with_root_certificates(roots(path)?)
        } else {
            let verifier = Verifier::new(provider).map_err(unusable)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        };
        let mut config = self.identity(builder)?;
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn identity(
        &self,
        builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    ) -> Result<ClientConfig, TlsTrouble> {
        let (certificate, key) = match (&self.cert_file, &self.key_file) {
            (Some(certificate), Some(key)) => (certificate, key),
            (None, None) => return Ok(builder.with_no_client_auth()),
            _ => {
                let hint = "set both cert_file and key_file, or none of them";
                return Err(TlsTrouble::new("a certificate needs its key, and a key its certificate", hint));
            }
        };
        let chain = certificates("cert_file", certificate)?;
        let pem = read("key_file", key)?;
        let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
            let hint = "name a PEM file with an unencrypted private key (PKCS#8, PKCS#1 or SEC1)";
            TlsTrouble::new(format!("key_file {} holds no private key", key.display()), hint)
        })?;
        builder.with_client_auth_cert(chain, private).map_err(|error| {
            let what = format!("cert_file {} and key_file {}", certificate.display(), key.display());
            match error {
                Error::InconsistentKeys(_) => TlsTrouble::new(
                    format!("{what} do not belong together"),
                    "name the key of that certificate",
                ),
                error => TlsTrouble::new(
                    format!("{what} cannot be used: {error}"),
                    "name a certificate and its key",
                ),
            }
        })
    }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsTrouble> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca_file", path)? {
        roots.add(certificate).map_err(|_| {
            let message = format!("ca_file {} holds a certificate that cannot be used", path.display());
            TlsTrouble::new(message, "name a PEM file with the certificates of authorities to trust")
        })?;
    }
    Ok(roots)
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsTrouble> {
    let pem = read(key, path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let fault = match all {
        Ok(all) if !all.is_empty() => return Ok(all),
        Ok(_) => "holds no certificate",
        Err(_) => "holds something that is no certificate",
    };
    Err(TlsTrouble::new(format!("{key} {} {fault}", path.display()), "name a PEM file with certificates"))
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, TlsTrouble> {
    let hint = || format!("let custodex read {}, or name another {key}", path.display());
    let mut pem = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limits::PEM_BYTES).read_to_end(&mut pem));
    match read {
        Ok(_) => Ok(pem),
        Err(error) => {
            Err(TlsTrouble::new(format!("{key} {} cannot be read: {error}", path.display()), hint()))
        }
    }
}

fn certificate(error: &CertificateError) -> TlsTrouble {
    let (message, hint) = match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "the receiver's certificate has expired".to_owned(),
            "renew the receiver's certificate, and check the clock of this machine",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "the receiver's certificate is not valid yet".to_owned(),
            "check the clock of this machine and the receiver's certificate",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            "the receiver's certificate is for another name".to_owned(),
            "use the name of the certificate in the address, or set server_name in [tls] to it",
        ),
        // A signature does not fit when two authorities have the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => (
            "the receiver's certificate comes from an authority that is not trusted".to_owned(),
            "set ca_file in [tls] to the certificate of the receiver's authority",
        ),
        CertificateError::Revoked => {
            ("the receiver's certificate is revoked".to_owned(), "renew the receiver's certificate")
        }
        other => (
            format!("the receiver's certificate cannot be accepted: {other}"),
            "give the receiver a server certificate (X.509 v3) with its name, from the authority of ca_file",
        ),
    };
    TlsTrouble::new(message, hint)
}

fn refusal(alert: AlertDescription) -> Option<TlsTrouble> {
    use AlertDescription as Alert;
    match alert {
        Alert::ProtocolVersion | Alert::InsufficientSecurity => Some(TlsTrouble::new(
            "the other side offers no TLS 1.2 or 1.3 that we could agree on",
            "let the receiver speak TLS 1.2 or newer",
        )),
        Alert::CertificateRequired => Some(TlsTrouble::new(
            "the receiver wants a client certificate",
            "set cert_file and key_file in [tls]",
        )),
        Alert::UnrecognisedName => Some(TlsTrouble::new(
            "the receiver does not know the name it was asked for",
            "set server_name in [tls] to a name of the receiver",
        )),
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied
        | Alert::DecryptError => Some(TlsTrouble::new(
            format!("the receiver refuses our certificate ({alert:?})"),
            "set cert_file and key_file in [tls] to a certificate that the receiver trusts",
        )),
        Alert::HandshakeFailure => Some(TlsTrouble::new(
            "the receiver refused the handshake",
            "the receiver may want a client certificate (cert_file and key_file in [tls]), or share no cipher",
        )),
        _ => None,
    }
}
