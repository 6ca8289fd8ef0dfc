//! The pulses of long-running tasks: each says by when it will have moved again.
//!
//! Owns one deadline for each task. A task at rest waits for others and has none. One that is late is stuck;
//! one that panicked is too, for good; one that ended is forgotten.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

type Tasks = Arc<Mutex<BTreeMap<String, Beat>>>;

/// The pulses of all tasks.
#[derive(Clone, Debug, Default)]
pub struct Pulses(Tasks);

/// The pulse of one task.
#[derive(Debug)]
pub struct Pulse {
    task: String,
    tasks: Tasks,
}

#[derive(Clone, Copy, Debug)]
struct Beat {
    at: Instant,
    expectation: Expectation,
}

#[derive(Clone, Copy, Debug)]
enum Expectation {
    /// It moves again by then.
    Move(Instant),
    /// It waits for others.
    Rest,
    /// It panicked.
    Dead,
}

/// A task that does not move.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Stuck {
    /// Its name.
    pub task: String,
    /// Since it moved last.
    pub seconds: u64,
    /// What is wrong.
    pub problem: &'static str,
}

fn locked(tasks: &Tasks) -> MutexGuard<'_, BTreeMap<String, Beat>> {
    tasks.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pulses {
    /// The pulse of a task that begins; at rest until it says more.
    pub fn task(&self, task: String) -> Pulse {
        let pulse = Pulse { task, tasks: self.0.clone() };
        pulse.set(Expectation::Rest);
        pulse
    }

    /// Tasks that should have moved and did not.
    pub fn stuck(&self) -> Vec<Stuck> {
        let now = Instant::now();
        let late = |(task, beat): (&String, &Beat)| {
            let problem = match beat.expectation {
                Expectation::Move(until) if until < now => "it should have moved by now",
                Expectation::Dead => "it ended through a defect: see the log, and restart",
                Expectation::Move(_) | Expectation::Rest => return None,
            };
            Some(Stuck { task: task.clone(), seconds: (now - beat.at).as_secs(), problem })
        };
        locked(&self.0).iter().filter_map(late).collect()
    }

    /// Every task, and for how long it has not moved although it does not rest.
    pub fn ages(&self) -> Vec<(String, Duration)> {
        let now = Instant::now();
        let age = |beat: &Beat| match beat.expectation {
            Expectation::Rest => Duration::ZERO,
            Expectation::Move(_) | Expectation::Dead => now - beat.at,
        };
        locked(&self.0).iter().map(|(task, beat)| (task.clone(), age(beat))).collect()
    }
}

impl Pulse {
    /// It moved, and will again within this time.
    pub fn beat(&self, within: Duration) {
        self.set(Expectation::Move(Instant::now() + within));
    }

    /// It waits for others, for as long as it takes.
    pub fn rest(&self) {
        self.set(Expectation::Rest);
    }

    fn set(&self, expectation: Expectation) {
        let beat = Beat { at: Instant::now(), expectation };
        let mut tasks = locked(&self.tasks);
        match tasks.get_mut(&self.task) {
            Some(known) => *known = beat,
            None => drop(tasks.insert(self.task.clone(), beat)),
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.set(Expectation::Dead);
        } else {
            locked(&self.tasks).remove(&self.task);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_late_is_named_until_it_moves() {
        let pulses = Pulses::default();
        let (lister, sink) = (pulses.task("lister a".into()), pulses.task("sink b".into()));
        lister.beat(Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(11)).await;
        let named: Vec<_> = pulses.stuck().into_iter().map(|stuck| (stuck.task, stuck.seconds)).collect();
        assert_eq!(named, [("lister a".to_owned(), 11)], "one at rest is never late");
        assert_eq!(pulses.ages()[1], ("sink b".to_owned(), Duration::ZERO));
        lister.beat(Duration::from_secs(10));
        assert_eq!(pulses.stuck(), []);
        drop((lister, sink));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(pulses.stuck(), [], "who ended is forgotten");
    }

    #[tokio::test]
    async fn who_panicked_stays_named() {
        let pulses = Pulses::default();
        let pulse = pulses.task("sink b".into());
        let task = tokio::spawn(async move {
            pulse.beat(Duration::from_secs(60));
            tokio::task::yield_now().await;
            assert!(pulse.task.is_empty(), "on purpose");
        });
        assert!(task.await.is_err());
        assert!(pulses.stuck()[0].problem.contains("defect"));
    }
}
