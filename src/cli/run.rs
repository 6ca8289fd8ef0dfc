//! `run`: the daemon, for ever or to an end.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::args::RunOptions;
use super::{Exit, Failure, Outcome, Place, arenas, logs, progress, runtime, say};
use crate::collect::Progress;
use crate::config::{Config, Secrets};
use crate::daemon::{Daemon, RunMode};
use crate::ground::Ground;
use crate::net::{HttpTransport, Transport};
use crate::status::Status;
use crate::units::Size;

/// After a signal, everything has this long to end by itself.
const GRACE: Duration = Duration::from_millis(4500);

pub fn run(at: &Place, options: RunOptions) -> Outcome {
    arenas::limit();
    let bars = progress::bars();
    logs::start("info", &bars);
    let config = at.load(Secrets::Checked)?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let mode = if options.once { RunMode::Once { sweep: options.sweep } } else { RunMode::Forever };
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let transport = transport(&config)?;
        let daemon = Daemon::open(&config, Ground::real(), transport, mode).await?;
        until_ended(daemon, &bars).await
    });
    // What hangs in the disk or in name resolution must not hold the end up.
    runtime.shutdown_background();
    let Some((status, figures)) = ended? else {
        warn!("not everything ended in time; the next start mends what is left");
        return Ok(Exit::Internal);
    };
    if mode == RunMode::Forever { Ok(Exit::Done) } else { Ok(report(&status, &figures)) }
}

/// The network as the configuration has it.
pub fn transport(config: &Config) -> Result<Arc<dyn Transport>, Failure> {
    let network = &config.network;
    let transport = HttpTransport::new(network.proxy.as_ref(), network.ca_file.as_deref());
    Ok(Arc::new(transport.map_err(|error| Failure::Usage(error.to_string()))?))
}

/// Runs until it ends by itself or a signal comes; `None` when it did not end in time after one.
pub async fn until_ended(
    daemon: Daemon,
    bars: &indicatif::MultiProgress,
) -> Result<Option<(Status, Arc<Progress>)>, Failure> {
    let (stop, figures) = (daemon.stop(), daemon.progress());
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let running = daemon.run();
    let drawing = progress::draw(bars.clone(), figures.clone());
    tokio::pin!(running);
    let drawn = async {
        tokio::select! {
            ended = &mut running => Some(ended),
            () = async { drawing.await; std::future::pending().await } => None,
            _ = interrupted.recv() => None,
            _ = terminated.recv() => None,
        }
    };
    let ended = if let Some(ended) = drawn.await {
        Some(ended)
    } else {
        info!("stopping");
        stop.cancel();
        tokio::time::timeout(GRACE, running).await.ok()
    };
    ended.transpose().map(|status| status.map(|status| (status, figures))).map_err(Failure::from)
}

/// What a run with an end did and what it leaves, for people.
fn report(status: &Status, figures: &Progress) -> Exit {
    let get = |counter| Progress::get(counter);
    say(&format!(
        "collected {} log files with {} records ({}), delivered {} records",
        get(&figures.files),
        get(&figures.records),
        Size(get(&figures.bytes)),
        get(&figures.delivered)
    ));
    let unfinished = status.unfinished();
    for line in &unfinished {
        say(&format!("attention: {line}"));
    }
    if unfinished.is_empty() { Exit::Done } else { Exit::Attention }
}
