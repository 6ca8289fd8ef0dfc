//! `syslog`: one message for each record, to a collector.
//!
//! ```text
//! udp://   one datagram a message (RFC 5426)          confirmed at once
//! tcp://   octet counting or lines (RFC 6587)         confirmed when the connection stayed whole
//! tls://   the same inside TLS (RFC 5425)             confirmed when the connection stayed whole
//! relp://  and relp+tls://: RELP                      confirmed by the receiver's answer
//! unix:    datagrams, else a stream                   as udp, or as tcp
//! ```
//!
//! Invariants:
//! - A message is never forged: whatever a record or a field holds, it stays inside its own message.
//! - A record is sent whole or not at all; one that does not fit is a dead letter.
//! - A frame that was begun is finished before anything else goes over the same connection.
//! - When a connection breaks, all that was not confirmed is handed over again.
//! - What is to go through TLS never goes without.
//!
//! The message carries the event's own time. Never holds more than the batch it is given, framed.

mod config;
mod datagram;
mod encode;
mod relp;
mod send;
mod sink;
mod stream;
#[cfg(test)]
mod tests;
mod trouble;
mod wire;

pub use config::{SyslogConfig, read};
