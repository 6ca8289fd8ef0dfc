//! What the API, or the way to it, can answer instead of data.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::limits;
use crate::net::NetError;

/// Kinds of failure that are met differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 400: the provider does not know this event type for this principal.
    Unsupported,
    /// 401: the key is refused.
    Refused,
    /// 403: the key may not read this.
    Denied,
    /// 404 or 410: there is no such thing.
    Gone,
    /// 429: too many requests.
    Limited,
    /// Another status: a 5xx passes by itself, a 4xx is looked at by somebody.
    Status,
    /// No answer: no route, no name, no TLS, time over.
    Network,
    /// An answer that breaks the contract.
    Protocol,
    /// Bytes that are not the listed ones.
    Mismatch,
    /// The bytes could not be written.
    Disk,
}

impl ErrorKind {
    /// One word, for counting.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsupported => "unsupported",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::Gone => "gone",
            Self::Limited => "limited",
            Self::Status => "status",
            Self::Network => "network",
            Self::Protocol => "protocol",
            Self::Mismatch => "mismatch",
            Self::Disk => "disk",
        }
    }
}

/// Why a request gave no data.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// How to meet it.
    pub kind: ErrorKind,
    /// What happened and where; no query string, no secret.
    pub message: String,
    /// The other side asked to wait this long.
    pub after: Option<Duration>,
}

impl ApiError {
    /// An error without a delay.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), after: None }
    }

    /// The next step for an operator, where there is one.
    pub fn hint(&self) -> Option<String> {
        let hint = match self.kind {
            ErrorKind::Unsupported => {
                "the provider does not offer this event type to this principal: remove it from event_types, \
                 or ask for it to be enabled; it is tried again every few hours"
            }
            ErrorKind::Refused => {
                "check that the key exists, has not expired and that its creator is still an owner; \
                 write the new key to where api_key points, it is read again by itself"
            }
            ErrorKind::Denied => {
                "give the key the read scope of this event type, check workspace_id, \
                 and allow this machine's address in the workspace's IP allow-list"
            }
            ErrorKind::Gone => "check workspace_id or organization_id, and base_url",
            ErrorKind::Network => {
                "check that this machine reaches base_url: name resolution, proxy, firewall, ca_file"
            }
            ErrorKind::Disk => "make room where data_dir lies",
            ErrorKind::Limited | ErrorKind::Status | ErrorKind::Protocol | ErrorKind::Mismatch => {
                return None;
            }
        };
        Some(hint.to_owned())
    }
}

impl From<NetError> for ApiError {
    fn from(error: NetError) -> Self {
        Self::new(ErrorKind::Network, error.0)
    }
}

/// What a status means that is no success; `what` names the request.
pub(super) fn of_status(what: &str, status: u16, body: &[u8], key: &str) -> ApiError {
    let kind = match status {
        400 => ErrorKind::Unsupported,
        401 => ErrorKind::Refused,
        403 => ErrorKind::Denied,
        404 | 410 => ErrorKind::Gone,
        407 => ErrorKind::Network,
        429 => ErrorKind::Limited,
        _ => ErrorKind::Status,
    };
    let said = message(body, key);
    let said = if said.is_empty() { said } else { format!(": {said}") };
    ApiError::new(kind, format!("{what} answered {status}{said}"))
}

/// The text of an error body of any shape, short, on one line, without the key or an address's query.
fn message(body: &[u8], key: &str) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => words(&value),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    if text.trim_start().starts_with('<') {
        return "a page for browsers".to_owned();
    }
    let words = text.split_whitespace().map(|word| {
        let secret = (!key.is_empty() && word.contains(key)) || word.contains("sk-");
        let word = if secret { "…" } else { word };
        word.split_once('?').filter(|_| word.contains("://")).map_or(word, |(address, _)| address)
    });
    let line: String = words.collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(limits::ERROR_TEXT).collect()
}

fn words(value: &Value) -> String {
    let inside = ["error", "detail", "message", "msg"].iter().find_map(|key| value.get(key));
    match (inside, value) {
        (Some(inside), _) => words(inside),
        (None, Value::String(text)) => text.clone(),
        (None, Value::Array(all)) => {
            let said: Vec<_> = all.iter().map(words).filter(|said| !said.is_empty()).collect();
            said.join("; ")
        }
        _ => String::new(),
    }
}

/// `Retry-After` in seconds or as a date, never longer than we are willing to wait.
pub(super) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let delay = match value.parse::<f64>() {
        // Beyond what a duration holds is still a wish to wait long.
        Ok(seconds) if seconds >= 0.0 => Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
        Ok(_) => return None,
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
            Duration::try_from(at.duration_since(now)).unwrap_or_default()
        }
    };
    Some(delay.min(limits::RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_of_any_shape_give_a_message() {
        for (body, said) in [
            (r#"{"error":{"message":"Invalid event_type COSTS"}}"#, "Invalid event_type COSTS"),
            (r#"{"detail":"no"}"#, "no"),
            (r#"{"detail":[{"loc":["query"],"msg":"missing"},{"msg":"bad"}]}"#, "missing; bad"),
            (r#"{"message":"key sk-admin-1 is bad"}"#, "key … is bad"),
            ("see https://x.example/a?sig=1 now", "see https://x.example/a now"),
            ("the-key refused\n\u{1b}[31m", "… refused [31m"),
            ("<html>", "a page for browsers"),
            ("[1,2]", ""),
            ("", ""),
        ] {
            assert_eq!(message(body.as_bytes(), "the-key"), said, "{body}");
        }
        assert_eq!(message(&[b'a'; 9000], "").len(), limits::ERROR_TEXT);
    }

    #[test]
    fn the_wait_asked_for_is_bounded() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().expect("a time");
        let wait = |value| retry_after(value, now);
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Tue, 24 Nov 2026 12:00:09 GMT"), Some(Duration::from_secs(9)));
        assert_eq!(wait("Tue, 24 Nov 2026 11:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("99999999999999999999999"), Some(limits::RETRY_AFTER_MAX));
        assert_eq!(wait("-1"), None);
        assert_eq!(wait("soon"), None);
    }
}
