//! The budget of requests that one API key has.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

const WINDOW: Duration = Duration::from_secs(60);

/// At most so many requests in any minute, in the order of asking; shared by all users of a key.
#[derive(Debug)]
pub struct RateLimit {
    per_minute: usize,
    /// Held by the one who waits; all others queue for it.
    place: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sent: VecDeque<Instant>,
    paused_until: Option<Instant>,
}

impl RateLimit {
    /// A full budget.
    pub fn new(per_minute: u32) -> Self {
        let (place, state) = (tokio::sync::Mutex::default(), Mutex::default());
        Self { per_minute: per_minute.max(1) as usize, place, state }
    }

    /// Waits for the turn; `false`, at once, while the other side asked for a longer wait than `patience`.
    pub async fn turn(&self, patience: Duration) -> bool {
        let _place = self.place.lock().await;
        while let Err(ready) = self.take() {
            if self.state().paused_until.is_some_and(|until| until > Instant::now() + patience) {
                return false;
            }
            sleep_until(ready).await;
        }
        true
    }

    /// Takes a request out of the budget, or tells when to ask again.
    fn take(&self) -> Result<(), Instant> {
        let mut state = self.state();
        let now = Instant::now();
        while state.sent.front().is_some_and(|sent| *sent + WINDOW <= now) {
            state.sent.pop_front();
        }
        let oldest = state.sent.front().filter(|_| state.sent.len() >= self.per_minute);
        let ready = oldest.map(|sent| *sent + WINDOW).max(state.paused_until.filter(|until| *until > now));
        ready.map_or(Ok(()), Err)?;
        state.sent.push_back(now);
        Ok(())
    }

    /// Lets nobody through for `delay`.
    pub fn pause(&self, delay: Duration) {
        let mut state = self.state();
        state.paused_until = state.paused_until.max(Some(Instant::now() + delay));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_minute_never_sees_more_than_its_budget() {
        let limit = RateLimit::new(5);
        let began = Instant::now();
        let mut turns = Vec::new();
        for _ in 0..17 {
            assert!(limit.turn(WINDOW).await);
            turns.push(began.elapsed());
        }
        assert!(turns.windows(6).all(|six| six[5].checked_sub(six[0]).unwrap() >= WINDOW), "{turns:?}");
        assert_eq!(turns[4], Duration::ZERO, "the first minute's budget is free at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everybody() {
        let limit = RateLimit::new(5);
        let began = Instant::now();
        limit.pause(Duration::from_secs(7));
        limit.pause(Duration::from_secs(3));
        assert!(!limit.turn(Duration::from_secs(6)).await, "not worth waiting for");
        assert!(limit.turn(Duration::from_secs(7)).await);
        assert_eq!(began.elapsed(), Duration::from_secs(7));
    }
}
