//! TLS: what must be refused is, with a reason; what was replaced is found.
//!
//! The certificates in `tls/` are made for these tests and know nobody: two authorities, servers (by address,
//! by another name, expired) and a client, valid to the year 2120 except where they should not be.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::serve::Listener;
use custodex::ground::Ground;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::driver::{Driver, items};
use super::receiver::{Receiver, Ways};

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/it/hec/tls", name].iter().collect()
}

struct Tls(TcpListener, TlsAcceptor);

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, from) = self.0.accept().await.unwrap();
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Serves the receiver with a certificate, asking for one if wanted; answers the port.
async fn serve(receiver: &Receiver, certificate: &str, asks: bool) -> u16 {
    let chain = vec![CertificateDer::from_pem_file(file(&format!("{certificate}.pem"))).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file(&format!("{certificate}.key.pem"))).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = if asks {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(file("ca.pem")).unwrap()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let config = builder.with_single_cert(chain, key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let listener = Tls(listener, TlsAcceptor::from(Arc::new(config)));
    tokio::spawn(axum::serve(listener, receiver.router()).into_future());
    port
}

/// What a probe of such a server says.
async fn probe(certificate: &str, asks: bool, tls: &str) -> Result<String, String> {
    let receiver = Receiver::start(Ways::default());
    let port = serve(&receiver, certificate, asks).await;
    let driver = Driver::new(&receiver, &format!("url = 'https://127.0.0.1:{port}'; tls = {{ {tls} }}"));
    driver.config.probe(&Ground::real()).await.map_err(|error| error.to_string())
}

fn key(name: &str, path: &str) -> String {
    format!("{name} = '{}'", file(path).display())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_trusted_is_refused_with_its_reason() {
    let ca = key("ca_file", "ca.pem");
    assert!(probe("server", false, &ca).await.unwrap().contains("accepts the token"));
    let said = |result: Result<String, String>| result.unwrap_err();
    let unknown = said(probe("server", false, &key("ca_file", "other-ca.pem")).await);
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    assert!(said(probe("server", false, "").await).contains("certificate"), "the system knows it not");
    let expired = said(probe("expired", false, &ca).await);
    assert!(expired.contains("expired"), "{expired}");
    let named = said(probe("named", false, &ca).await);
    assert!(named.contains("not valid for name"), "{named}");
    let missing = said(probe("server", false, &key("ca_file", "missing.pem")).await);
    assert!(missing.contains("missing.pem"), "{missing}");
    let half = said(probe("server", false, &format!("{ca}, {}", key("cert_file", "client.pem"))).await);
    assert!(half.contains("cert_file without key_file"), "{half}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_carry_another_name_and_ask_who_we_are() {
    let ca = key("ca_file", "ca.pem");
    let named = format!("{ca}, server_name = 'splunk.example.com'");
    assert!(probe("named", false, &named).await.unwrap().contains("accepts the token"));
    assert!(probe("named", false, &format!("{ca}, server_name = 'other.example.com'")).await.is_err());
    let client = format!("{ca}, {}, {}", key("cert_file", "client.pem"), key("key_file", "client.key.pem"));
    assert!(probe("server", true, &client).await.unwrap().contains("accepts the token"));
    assert!(probe("server", true, &ca).await.is_err(), "no certificate of ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_certificate_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("ca.pem");
    std::fs::copy(file("other-ca.pem"), &trusted).unwrap();
    let mut receiver = Receiver::start(Ways::default());
    let port = serve(&receiver, "server", false).await;
    let keys = format!("url = 'https://127.0.0.1:{port}'; tls = {{ ca_file = '{}' }}", trusted.display());
    let mut driver = Driver::new(&receiver, &keys);
    let mut replaced = false;
    let items = items(50, 100);
    let replace = |_: &mut Receiver, driver: &Driver| {
        if !driver.retries.is_empty() && !replaced {
            replaced = true;
            std::fs::copy(file("ca.pem"), &trusted).unwrap();
        }
    };
    driver.run(&mut receiver, &items, 10, replace).await;
    assert!(replaced && driver.pauses.is_empty());
    assert_eq!(receiver.known().indexed.len(), items.len());
}
