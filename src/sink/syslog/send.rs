//! Connections: how each kind is made.
//!
//! What is to be encrypted is, or there is no connection. Certificates and keys are read for each one.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::config::{Address, SyslogConfig, Transport};
use super::datagram::{Datagram, Socket};
use super::relp::Relp;
use super::stream::Stream;
use super::wire::{Duplex, Wire};
use super::{sink::Link, trouble};
use crate::limits;
use crate::net::TlsTrouble;
use crate::sink::SinkError;

/// A new connection, and what is worth saying of it.
pub(super) async fn connect(config: &Arc<SyslogConfig>) -> Result<(Link, String), SinkError> {
    let address = &config.address;
    let (transport, name, port) = match address {
        Address::Unix(path) => return unix(path, config).await,
        Address::Host { transport, name, port } => (*transport, name, *port),
    };
    let unreachable = |error: io::Error| trouble::of(address, &error);
    let targets = resolve(name, port).await.map_err(unreachable)?;
    if transport == Transport::Udp {
        let socket = udp(&targets).await.map_err(unreachable)?;
        let found = "the address is known; UDP does not tell more".to_owned();
        return Ok((Link::Datagram(Datagram::new(Socket::Udp(socket), address.clone())), found));
    }
    let stream = tcp(&targets).await.map_err(unreachable)?;
    let (stream, mut found): (Box<dyn Duplex>, _) = if transport.is_encrypted() {
        tls(stream, name, config).await?
    } else {
        (Box::new(stream), "connected, in plaintext".to_owned())
    };
    let mut wire = Wire::new(stream);
    if transport.is_encrypted() {
        await_refusal(&mut wire).await.map_err(unreachable)?;
    }
    if matches!(transport, Transport::Relp | Transport::RelpTls) {
        found.push_str(", speaks RELP");
        return Ok((Link::Relp(Relp::open(wire, address.clone()).await?), found));
    }
    Ok((Link::Stream(Stream::new(wire, config.framing, address.clone())), found))
}

async fn resolve(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let what = |why: &str| io::Error::new(ErrorKind::NotFound, format!("the name cannot be resolved: {why}"));
    let found = timeout(limits::CONNECT_TIMEOUT, tokio::net::lookup_host((name, port))).await;
    let targets: Vec<_> = match found {
        Ok(Ok(targets)) => targets.collect(),
        Ok(Err(error)) => return Err(what(&error.to_string())),
        Err(_) => return Err(what("no answer in time")),
    };
    if targets.is_empty() { Err(what("it has no address")) } else { Ok(targets) }
}

/// To the first address that answers.
async fn tcp(targets: &[SocketAddr]) -> io::Result<TcpStream> {
    let each = limits::CONNECT_TIMEOUT / u32::try_from(targets.len().max(1)).unwrap_or(1);
    let mut last = io::Error::from(ErrorKind::NotFound);
    for target in targets {
        match timeout(each, TcpStream::connect(target)).await {
            Ok(Ok(stream)) => return watch(&stream).map(|()| stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(ErrorKind::TimedOut, "no connection in time"),
        }
    }
    Err(last)
}

/// A peer that is gone is to be noticed, idle or not.
fn watch(stream: &TcpStream) -> io::Result<()> {
    let whole = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, limits::KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, limits::KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, limits::KEEPALIVE_PROBES)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(stream, whole(limits::SEND_STALL))?;
    Ok(())
}

async fn tls(
    stream: TcpStream,
    name: &str,
    config: &Arc<SyslogConfig>,
) -> Result<(Box<dyn Duplex>, String), SinkError> {
    let address = &config.address;
    let fresh = config.clone();
    let client = tokio::task::spawn_blocking(move || fresh.tls.client()).await;
    let client = client.map_err(|error| trouble::passing(address, &error))?;
    let client = client.map_err(|error| trouble::of_tls(address, &error))?;
    let name = config.tls.server_name.as_deref().unwrap_or(name);
    let server = ServerName::try_from(name.to_owned()).map_err(|_| {
        let hint = "set server_name in [tls] to the name of the receiver's certificate";
        let message = "the receiver's certificate cannot carry this name".to_owned();
        trouble::of_tls(address, &TlsTrouble { message, hint: hint.to_owned() })
    })?;
    let shaking = TlsConnector::from(Arc::new(client)).connect(server, stream);
    let stream = match timeout(limits::CONNECT_TIMEOUT, shaking).await {
        Ok(done) => done.map_err(|error| trouble::of(address, &during_handshake(error)))?,
        Err(_) => return Err(trouble::passing(address, &"the TLS handshake did not end in time")),
    };
    let version = match stream.get_ref().1.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS 1.2",
    };
    Ok((Box::new(stream), format!("connected with {version}")))
}

fn during_handshake(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => io::Error::new(
            ErrorKind::UnexpectedEof,
            "the receiver closed the connection during the TLS handshake",
        ),
        _ => error,
    }
}

/// With TLS 1.3 the receiver looks at our certificate after we are done.
async fn await_refusal(wire: &mut Wire) -> io::Result<()> {
    match timeout(limits::TLS_REFUSAL_WAIT, wire.step()).await {
        Ok(done) => done,
        Err(_) => Ok(()),
    }
}

async fn udp(targets: &[SocketAddr]) -> io::Result<UdpSocket> {
    let mut last = io::Error::from(ErrorKind::NotFound);
    for target in targets {
        let any = if target.is_ipv4() { IpAddr::from([0; 4]) } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        match socket.connect(target).await {
            Ok(()) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Datagrams when the other side takes them, else a stream.
async fn unix(path: &Path, config: &SyslogConfig) -> Result<(Link, String), SinkError> {
    let address = &config.address;
    let failed = |error: io::Error| trouble::of(address, &error);
    let socket = UnixDatagram::unbound().map_err(failed)?;
    match socket.connect(path) {
        Ok(()) => {
            let link = Datagram::new(Socket::Unix(socket), address.clone());
            Ok((Link::Datagram(link), "takes datagrams".to_owned()))
        }
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PROTOTYPE.raw_os_error()) => {
            let stream = UnixStream::connect(path).await.map_err(failed)?;
            let link = Stream::new(Wire::new(Box::new(stream)), config.framing, address.clone());
            Ok((Link::Stream(link), "takes a stream".to_owned()))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Whether a certificate can carry this name.
pub(super) fn is_server_name(name: &str) -> bool {
    ServerName::try_from(name).is_ok()
}

/// As in an address; only an IPv6 address has colons.
pub(super) fn host_and_port(name: &str, port: u16) -> String {
    if name.contains(':') { format!("[{name}]:{port}") } else { format!("{name}:{port}") }
}
