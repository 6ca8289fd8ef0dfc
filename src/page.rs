//! The HTTP face: the status page, `/metrics`, `/healthz` and `/readyz`.
//!
//! Owns the one listener. It reads, and only that: GET and HEAD, no body, no script, one request a connection, with
//! bounds on headers, time and connections. Everything shown comes from a read-only look at the ledger beside
//! its thread, so the page answers while the daemon catches up or hangs. Never shows a record.

mod admit;
mod answer;
mod cards;
mod charts;
mod picture;
mod spans;
mod view;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::collect::Shared;
use crate::limits;
use crate::secret::Secret;

/// After a connection could not be accepted, such as for want of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Who serves, before it does.
#[derive(Debug)]
pub struct Page {
    listener: TcpListener,
    address: SocketAddr,
    site: Arc<Site>,
}

/// What answers are made from.
#[derive(Debug)]
struct Site {
    shared: Shared,
    instance: String,
    token: Option<Secret>,
    started: Timestamp,
    /// Answers that read the ledger.
    readers: Arc<Semaphore>,
}

impl Page {
    /// Listens; the caller has made sure that an address beyond this machine comes with a token.
    pub async fn bind(
        listen: SocketAddr,
        token: Option<Secret>,
        instance: String,
        shared: Shared,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let (address, started) = (listener.local_addr()?, shared.ground.clock.now());
        let readers = Arc::new(Semaphore::new(limits::HTTP_READERS));
        Ok(Self { listener, address, site: Arc::new(Site { shared, instance, token, started, readers }) })
    }

    /// Serves until stopped.
    pub async fn run(self) {
        let Self { listener, address, site } = self;
        info!(%address, "the page is served");
        let stop = site.shared.stop.clone();
        let seats = Arc::new(Semaphore::new(limits::HTTP_CONNECTIONS));
        let mut connections = JoinSet::new();
        let next = || async {
            let seat = seats.clone().acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((seat, listener.accept().await?.0))
        };
        while let Some(accepted) = stop.run_until_cancelled(next()).await {
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((seat, stream)) => {
                    let site = site.clone();
                    connections.spawn(async move {
                        serve(stream, site).await;
                        drop(seat);
                    });
                }
                Err(error) => {
                    warn!(%error, "a request to the page could not be accepted");
                    stop.run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE)).await;
                }
            }
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(limits::HTTP_STOP, ended).await.is_err() {
            connections.shutdown().await;
        }
    }
}

/// One connection with one request.
async fn serve(stream: TcpStream, site: Arc<Site>) {
    let service = service_fn(|request| {
        let site = site.clone();
        async move { Ok::<_, Infallible>(site.answer(&request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HTTP_HEADER_TIME)
        .max_headers(limits::HTTP_HEADERS)
        .max_buf_size(limits::HTTP_HEADER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(limits::HTTP_TIME, connection).await {
        Ok(Ok(())) => {}
        // Whoever asks may go away at any time.
        Ok(Err(error)) => debug!(%error, "a request to the page ended early"),
        Err(_) => debug!("a request to the page took too long"),
    }
}

#[cfg(test)]
mod tests;
