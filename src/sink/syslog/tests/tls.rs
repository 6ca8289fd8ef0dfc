//! TLS: who is refused and what is said, on both sides.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use super::*;

/// An authority and what it has issued, in a folder.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Test Authority");
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, certificate: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `NAME.pem` and `NAME.key` for a host.
    fn issue(&self, name: &str, host: &str, expired: bool) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        if expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// A server with an issued certificate that wants one of ours, or not.
    fn server(&self, name: &str, wants_client: bool) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = if wants_client {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.certificate.clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let chain = CertificateDer::pem_file_iter(self.file(&format!("{name}.pem"))).unwrap();
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(self.file(&format!("{name}.key"))).unwrap();
        TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
    }

    fn sink(&self, address: &str, more: &str) -> SyslogSink {
        let ca = self.file("ca.pem");
        sink(&format!("address = 'tls://{address}'\ntls = {{ ca_file = {ca:?}, {more} }}"))
    }

    fn identity(&self, name: &str) -> String {
        let (certificate, key) = (self.file(&format!("{name}.pem")), self.file(&format!("{name}.key")));
        format!("cert_file = {certificate:?}, key_file = {key:?}")
    }
}

/// Takes one connection; what it said, if the handshake went well.
fn serve(
    listener: TcpListener,
    server: TlsAcceptor,
) -> tokio::task::JoinHandle<(TcpListener, Option<String>)> {
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        let said = match server.accept(stream).await {
            Ok(mut stream) => stream.read_to_string(&mut text).await.ok().map(|_| text),
            Err(_) => None,
        };
        (listener, said)
    })
}

fn hint(error: &SinkError) -> &str {
    match &error.recovery {
        Recovery::Pause { hint } => hint,
        other => panic!("{error}: {other:?}"),
    }
}

#[tokio::test]
async fn bad_certificates_are_refused_with_the_reason() {
    let authority = Authority::new();
    authority.issue("good", "127.0.0.1", false);
    authority.issue("expired", "127.0.0.1", true);
    authority.issue("other", "other.example", false);
    let stranger = Authority::new();
    for (server, trusts, says, next) in [
        ("expired", &authority, "has expired", "renew"),
        ("other", &authority, "is for another name", "server_name"),
        ("good", &stranger, "an authority that is not trusted", "ca_file"),
    ] {
        let (listener, address) = listen().await;
        let receiver = serve(listener, authority.server(server, false));
        let error = trusts.sink(&address, "").deliver(&batch(&numbered(1, 1))).await.unwrap_err();
        assert!(error.message.contains(says), "{error}");
        assert!(hint(&error).contains(next), "{error:?}");
        assert_eq!(receiver.await.unwrap().1, None, "nothing was sent");
    }
}

#[tokio::test]
async fn the_system_s_authorities_are_not_ours() {
    let authority = Authority::new();
    authority.issue("good", "127.0.0.1", false);
    let (listener, address) = listen().await;
    let receiver = serve(listener, authority.server("good", false));
    let error =
        sink(&format!("address = 'tls://{address}'")).deliver(&batch(&numbered(1, 1))).await.unwrap_err();
    assert!(!hint(&error).is_empty(), "{error}");
    assert_eq!(receiver.await.unwrap().1, None);
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_read_again() {
    let authority = Authority::new();
    authority.issue("good", "collector.example", false);
    authority.issue("client", "client.example", true);
    let (listener, address) = listen().await;
    let name = "server_name = 'collector.example'";
    let receiver = serve(listener, authority.server("good", true));
    let error = authority.sink(&address, name).deliver(&batch(&numbered(1, 1))).await.unwrap_err();
    assert!(error.message.contains("wants a client certificate"), "{error}");
    assert!(hint(&error).contains("cert_file"), "{error:?}");
    let (listener, _) = receiver.await.unwrap();
    // An expired one, replaced on the disk without a restart.
    let mut sink = authority.sink(&address, &format!("{name}, {}", authority.identity("client")));
    let receiver = serve(listener, authority.server("good", true));
    let error = sink.deliver(&batch(&numbered(1, 1))).await.unwrap_err();
    assert!(error.message.contains("refuses our certificate"), "{error}");
    let (listener, _) = receiver.await.unwrap();
    authority.issue("client", "client.example", false);
    let receiver = serve(listener, authority.server("good", true));
    sink.deliver(&batch(&numbered(2, 10))).await.unwrap();
    await_confirmed(&mut sink, 1).await.unwrap();
    drop(sink);
    let said = receiver.await.unwrap().1.expect("ended with close_notify");
    assert_eq!(said.matches("<134>1 - ").count(), 2, "{said}");
}

#[tokio::test]
async fn files_that_cannot_be_used_pause() {
    let authority = Authority::new();
    authority.issue("one", "a.example", false);
    authority.issue("two", "a.example", false);
    std::fs::write(authority.file("empty.pem"), "nothing").unwrap();
    let (listener, address) = listen().await;
    let (one, two) = (authority.file("one.pem"), authority.file("two.key"));
    for (keys, says) in [
        (format!("cert_file = {one:?}, key_file = {two:?}"), "do not belong together"),
        (format!("cert_file = {one:?}, key_file = {one:?}"), "holds no private key"),
        (
            format!("cert_file = {:?}, key_file = {two:?}", authority.file("empty.pem")),
            "holds no certificate",
        ),
        (format!("cert_file = {:?}, key_file = {two:?}", authority.file("missing")), "cannot be read"),
    ] {
        let error = authority.sink(&address, &keys).deliver(&batch(&numbered(1, 1))).await.unwrap_err();
        assert!(error.message.contains(says) && !hint(&error).is_empty(), "{error}");
    }
    drop(listener);
}

#[tokio::test]
async fn what_speaks_no_tls_gets_no_plaintext() {
    let authority = Authority::new();
    let (listener, address) = listen().await;
    let receiver = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut said = vec![0; 4096];
        let length = stream.read(&mut said).await.unwrap();
        stream.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        said.truncate(length);
        said
    });
    let error = authority.sink(&address, "").deliver(&batch(&numbered(1, 1))).await.unwrap_err();
    assert!(error.message.contains("does not speak TLS"), "{error}");
    assert!(hint(&error).contains("port"), "{error:?}");
    let said = receiver.await.unwrap();
    assert_eq!(said[0], 22, "a handshake and nothing else");
}
