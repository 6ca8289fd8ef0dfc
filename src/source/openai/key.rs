//! An API key in use: read when refused, never shown.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::{ApiError, ErrorKind};
use crate::limits;
use crate::net::RateLimit;
use crate::record::OwnKey;
use crate::recovery::backoff;

/// Where a key comes from; an error says where it was looked for and what to do.
pub type KeySource = Arc<dyn Fn() -> Result<SecretString, String> + Send + Sync>;

/// One key, with its budget; all that use the key share it.
pub struct Key {
    /// Its budget.
    pub rate: RateLimit,
    /// A longer wait that the provider asks for is not waited for.
    pub(super) patience: Duration,
    source: KeySource,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    secret: Option<SecretString>,
    refusals: u32,
    not_before: Option<Instant>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// A key that is read when it is first needed.
    pub fn new(source: KeySource, requests_per_minute: u32, patience: Duration) -> Self {
        Self { rate: RateLimit::new(requests_per_minute), patience, source, state: Mutex::default() }
    }

    /// The key to send; an error while a refused one has not changed and is not due to be tried again.
    pub(super) fn secret(&self) -> Result<SecretString, ApiError> {
        let mut state = self.state();
        let waiting = state.not_before.is_some_and(|at| Instant::now() < at);
        if waiting || state.secret.is_none() {
            let secret = (self.source)().map_err(|problem| ApiError::new(ErrorKind::Refused, problem))?;
            let same = state.secret.as_ref().is_some_and(|old| old.expose_secret() == secret.expose_secret());
            if waiting && same {
                return Err(ApiError::new(ErrorKind::Refused, "the API key was refused and has not changed"));
            }
            *state = State { secret: Some(secret), ..State::default() };
        }
        state.secret.clone().ok_or_else(|| ApiError::new(ErrorKind::Refused, "there is no API key"))
    }

    /// The recognisable part of the key in use.
    pub(super) fn own(&self) -> Option<OwnKey> {
        self.state().secret.as_ref().and_then(|secret| OwnKey::of(secret.expose_secret()))
    }

    /// The provider refused it: `true` when another one is there now and may be tried at once.
    pub(super) fn refused(&self, sent: &SecretString) -> bool {
        let mut state = self.state();
        if state.secret.as_ref().is_some_and(|now| now.expose_secret() != sent.expose_secret()) {
            return true;
        }
        if let Ok(secret) = (self.source)()
            && secret.expose_secret() != sent.expose_secret()
        {
            *state = State { secret: Some(secret), ..State::default() };
            return true;
        }
        let delay = backoff(state.refusals, limits::RETRY_MIN, limits::REFUSED_RETRY_MAX);
        state.refusals += 1;
        state.not_before = Some(Instant::now() + delay);
        false
    }

    /// The provider took it.
    pub(super) fn accepted(&self) {
        let mut state = self.state();
        (state.refusals, state.not_before) = (0, None);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `Authorization` for a key, marked as sensitive.
pub(super) fn authorization(secret: &SecretString) -> Result<HeaderValue, ApiError> {
    let text = format!("Bearer {}", secret.expose_secret());
    let mut value = HeaderValue::try_from(text).map_err(|_| {
        ApiError::new(ErrorKind::Refused, "the API key holds characters that no header can carry")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_waits_until_it_changes_or_time_passes() {
        let text = Arc::new(Mutex::new("old".to_owned()));
        let read = text.clone();
        let source: KeySource = Arc::new(move || Ok(read.lock().unwrap().clone().into()));
        let key = Key::new(source, 1, limits::RETRY_AFTER_MAX);
        let first = key.secret().unwrap();
        assert!(!key.refused(&first));
        assert_eq!(key.secret().unwrap_err().kind, ErrorKind::Refused);
        tokio::time::advance(Duration::from_secs(1)).await;
        let again = key.secret().unwrap();
        assert_eq!(again.expose_secret(), "old");
        assert!(!key.refused(&again));
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert!(key.secret().is_err(), "the wait doubles");
        *text.lock().unwrap() = "new".to_owned();
        assert_eq!(key.secret().unwrap().expose_secret(), "new");
        *text.lock().unwrap() = "newer".to_owned();
        assert!(key.refused(&key.secret().unwrap()), "a changed key may be tried at once");
        assert_eq!(key.secret().unwrap().expose_secret(), "newer");
    }
}
