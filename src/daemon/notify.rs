//! What is looked at while the daemon runs, and who is told: systemd that it is ready, alive and how it goes; the
//! log when headroom falls below one of its alarms. Without systemd only the log is told.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{error, info, warn};

use crate::collect::Shared;
use crate::health::{self, Liveness};
use crate::limits;
use crate::status::{Headroom, Status};
use crate::units;
use crate::vitals::Stuck;

/// How often the status line is renewed.
const STATUS_INTERVAL: Duration = Duration::from_secs(60);

/// Tells systemd one thing.
pub fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "systemd could not be told");
    }
}

/// Keeps the watchdog quiet as long as every task moves, the status line true, and the alarms told, until
/// stopped.
pub async fn keep(shared: &Shared) {
    let watchdog = sd_notify::watchdog_enabled();
    let interval = watchdog.map_or(STATUS_INTERVAL, |within| (within / 3).min(STATUS_INTERVAL));
    let (mut alarm, mut told) = (Alarm::default(), Vec::<String>::new());
    while !shared.stop.is_cancelled() {
        let Liveness { alive, stuck } = health::liveness(shared).await;
        if alive {
            tell(NotifyState::Watchdog);
        }
        for Stuck { task, seconds, problem } in stuck.iter().filter(|stuck| !told.contains(&stuck.task)) {
            error!(task, seconds, problem, "a task is stuck");
        }
        told = stuck.into_iter().map(|stuck| stuck.task).collect();
        let now = shared.ground.clock.now();
        let reading = Status::read(&shared.ledger, now, shared.spool_max_bytes);
        if let Ok(Ok(status)) = tokio::time::timeout(limits::STUCK_LEDGER, reading).await {
            tell(NotifyState::Status(&line(&status)));
            if let Some(headroom) = &status.headroom {
                alarm.look(headroom);
            }
        }
        shared.stop.run_until_cancelled(tokio::time::sleep(interval)).await;
    }
}

/// Tells the log once when headroom has fallen below an alarm, or is above all of them again.
#[derive(Debug, Default)]
struct Alarm {
    /// What was seen last: a daemon that just started catches up before anybody need know.
    seen: usize,
    told: usize,
}

impl Alarm {
    /// Answers whether it told anything.
    fn look(&mut self, headroom: &Headroom) -> bool {
        let alarms = headroom.alarms();
        let holds = std::mem::replace(&mut self.seen, alarms) == alarms;
        if !holds || alarms == self.told {
            return false;
        }
        let (stream, left) = (headroom.stream.as_str(), units::spoken(headroom.seconds));
        match alarms {
            0 => info!("headroom is over 20 days again"),
            1 => warn!(stream, left, "headroom is below 20 days: see `custodex status`"),
            _ => error!(stream, left, "the provider drops what is not collected: see `custodex status`"),
        }
        self.told = alarms;
        true
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_alarm_is_told_once_when_it_holds() {
        let mut alarm = Alarm::default();
        let days = [29, 29, 19, 29, 19, 19, 18, 9, 9, 2, 2, 29, 29, 29];
        let told = days.map(|days| {
            let headroom = Headroom {
                seconds: days * 86_400,
                stream: "s".into(),
                caught_up: false,
                caught_up_in_seconds: None,
            };
            alarm.look(&headroom)
        });
        let moments: Vec<usize> = (0..told.len()).filter(|at| told[*at]).collect();
        assert_eq!(moments, [5, 8, 10, 12]);
    }
}
