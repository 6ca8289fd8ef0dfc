//! What an error on the way means for delivery. Shows no content, and of a receiver's answer only its number.

use std::fmt::Display;
use std::io::{self, ErrorKind};

use super::config::Address;
use crate::net::TlsTrouble;
use crate::recovery::Recovery;
use crate::sink::SinkError;

/// An error of the way to `address`.
pub(super) fn of(address: &Address, error: &io::Error) -> SinkError {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return match TlsTrouble::of(inner) {
            Some(trouble) => of_tls(address, &trouble),
            None => passing(address, &format!("TLS: {inner}")),
        };
    }
    let hint = match (address, error.kind()) {
        (Address::Unix(path), ErrorKind::NotFound) => {
            format!("start the collector that listens on {}, or change address", path.display())
        }
        (_, ErrorKind::PermissionDenied) => format!("let the daemon's user send to {address}"),
        _ => return passing(address, error),
    };
    SinkError::new(format!("{address}: {error}"), Recovery::Pause { hint })
}

/// An error that an operator has to mend.
pub(super) fn of_tls(address: &Address, trouble: &TlsTrouble) -> SinkError {
    SinkError::new(format!("{address}: {trouble}"), Recovery::Pause { hint: trouble.hint.clone() })
}

/// An error that passes by itself.
pub(super) fn passing(address: &Address, what: &dyn Display) -> SinkError {
    SinkError::new(format!("{address}: {what}"), Recovery::Retry { after: None })
}
