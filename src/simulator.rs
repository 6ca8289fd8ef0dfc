//! The API's other side: log files, listings, signed downloads and analytics, all invented.
//!
//! Owns two listeners: the API and the host that signed addresses lead to. Shares no parsing code with
//! the client, so that both cannot be wrong in the same way. Content is a function of seed and options
//! and is made on demand; memory holds only facts about files. Never logs, and no request makes it
//! panic.

mod analytics;
mod answer;
mod api;
mod catalogue;
mod chaos;
mod content;
mod download;
mod folder;
mod listing;
mod query;
mod shape;
mod signed;
mod state;
mod truth;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use catalogue::Catalogue;
use state::State;
pub use truth::{Summary, Truth, TruthFile};

/// The workspace whose log files are served.
pub const WORKSPACE: &str = "4f6c2a1e-93b7-4d58-8e02-7a1b5c9d3e64";
/// The organization whose costs are served.
pub const ORGANIZATION: &str = "org-T7sampleQ2vK9mXw4Rb1";
/// The one key that is accepted.
pub const API_KEY: &str = "sk-admin-simulator-not-a-secret-Zk7q";

/// A stopping simulator lets answers end for this long.
const STOP: Duration = Duration::from_secs(1);

/// What to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything invented follows from it.
    pub seed: u64,
    /// Days of history; at most the 30 days that are kept.
    pub days: u32,
    /// Log files a day, of each event type.
    pub files_per_day: u32,
    /// Records of a log file.
    pub records_per_file: u32,
    /// Serve the lines of this folder's `*.jsonl` instead.
    pub records_from: Option<PathBuf>,
    /// Misbehave, as the table of cases says.
    pub chaos: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 1, days: 30, files_per_day: 4, records_per_file: 100, records_from: None, chaos: false }
    }
}

/// A running simulator; it ends when dropped.
#[derive(Debug)]
pub struct Simulator {
    state: Arc<State>,
    address: SocketAddr,
    stop: CancellationToken,
    servers: JoinSet<std::io::Result<()>>,
}

impl Simulator {
    /// Listens on `listen`, and with a second listener on another port of the same address.
    pub async fn start(listen: SocketAddr, options: Options, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let api = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
        let files = TcpListener::bind((listen.ip(), 0)).await.context("listening for signed addresses")?;
        let (address, files_address) = (reachable(api.local_addr()?), reachable(files.local_addr()?));
        let (now, chaos, seed) = (clock.now().as_second(), options.chaos, options.seed);
        let made = tokio::task::spawn_blocking(move || Catalogue::build(&options, now));
        let catalogue = made.await.context("making the log files")??;
        let state = Arc::new(State::new(seed, chaos, clock, catalogue, files_address));
        let stop = CancellationToken::new();
        let mut servers = JoinSet::new();
        let routes = [
            (api, Router::new().fallback(api::answer).with_state(state.clone())),
            (files, Router::new().fallback(signed::answer).with_state(state.clone())),
        ];
        for (listener, router) in routes {
            let stopped = stop.clone().cancelled_owned();
            let server = axum::serve(listener, router).with_graceful_shutdown(stopped);
            servers.spawn(async move { server.await });
        }
        Ok(Self { state, address, stop, servers })
    }

    /// What a client is configured with: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// How much there is, and how much of it was downloaded so far.
    pub fn summary(&self) -> Summary {
        truth::summary(&self.state)
    }

    /// Every file there is or will be.
    pub fn truth(&self) -> Truth {
        truth::of(&self.state)
    }

    /// What a client did that the contract forbids, in order; the first thousand.
    pub fn violations(&self) -> Vec<String> {
        self.state.violations()
    }

    /// How often the signed host was sent a credential.
    pub fn leaks(&self) -> u64 {
        self.state.leaks()
    }

    /// The cases of chaos that have shown so far, by name, sorted.
    pub fn cases_shown(&self) -> Vec<&'static str> {
        self.state.shown()
    }

    /// Stops both listeners; answers under way have a second to end.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let ended = async { while self.servers.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP, ended).await.is_err() {
            self.servers.shutdown().await;
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Where a client on this machine finds a listener.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests;
