//! What the API, or the way to it, can answer instead of data.

use std::time::Duration;

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
