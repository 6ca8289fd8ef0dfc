//! What systemd is told: ready, how it goes, still alive, stopping. Does nothing without systemd.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock::Clock;
use crate::ledger::Ledger;
use crate::status::Status;
use crate::units;

/// How often the status line is renewed.
const STATUS_INTERVAL: Duration = Duration::from_secs(60);

/// Tells systemd one thing.
pub fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "systemd could not be told");
    }
}

/// Keeps the watchdog quiet as long as the ledger answers, and the status line true, until stopped.
pub async fn keep(ledger: &Ledger, clock: &dyn Clock, stop: &CancellationToken) {
    let watchdog = sd_notify::watchdog_enabled();
    let interval = watchdog.map_or(STATUS_INTERVAL, |within| (within / 3).min(STATUS_INTERVAL));
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return stop.cancelled().await;
    }
    while !stop.is_cancelled() {
        if let Ok(status) = Status::read(ledger, clock.now()).await {
            tell(NotifyState::Watchdog);
            tell(NotifyState::Status(&line(&status)));
        }
        stop.run_until_cancelled(tokio::time::sleep(interval)).await;
    }
}

fn line(status: &Status) -> String {
    let pending: i64 = status.streams.iter().map(|stream| stream.files_pending).sum();
    let headroom = status.headroom.as_ref().map_or(0, |headroom| headroom.seconds);
    let attention = match status.attention.len() {
        0 => String::new(),
        some => format!(", {some} need attention"),
    };
    format!("headroom {}, {pending} files pending{attention}", units::spoken(headroom))
}
