//! UDP and unix datagrams: one message each, confirmed when it was sent.

use std::io::{self, ErrorKind};

use tokio::net::{UdpSocket, UnixDatagram};
use tokio::time::timeout;

use super::config::Address;
use super::encode::Messages;
use super::trouble;
use crate::limits;
use crate::recovery::Recovery;
use crate::sink::SinkError;

/// A connected socket.
pub(super) enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// See the module.
pub(super) struct Datagram {
    socket: Socket,
    address: Address,
    /// Batches sent and not told of.
    handed: usize,
}

impl Datagram {
    pub(super) fn new(socket: Socket, address: Address) -> Self {
        Self { socket, address, handed: 0 }
    }

    /// After an error the whole batch comes again: which of its datagrams arrived is not known.
    pub(super) async fn send(&mut self, messages: &Messages) -> Result<(), SinkError> {
        for (record, message) in messages.iter().enumerate() {
            let sent = match timeout(limits::SEND_STALL, self.socket.send(message)).await {
                Ok(sent) => sent,
                Err(_) => Err(io::Error::new(ErrorKind::TimedOut, "the receiver takes nothing")),
            };
            match sent {
                Ok(_) => {}
                Err(error) if is_too_long(&error) => {
                    let answer = format!("a datagram of {} bytes cannot be sent", message.len());
                    let message = format!("{}: {answer}", self.address);
                    return Err(SinkError::new(message, Recovery::DeadLetter { record, answer }));
                }
                Err(error) => return Err(trouble::of(&self.address, &error)),
            }
        }
        self.handed += 1;
        Ok(())
    }

    /// The batches sent and not told of; all are confirmed.
    pub(super) fn handed(&mut self) -> &mut usize {
        &mut self.handed
    }
}

impl Socket {
    async fn send(&self, message: &[u8]) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.send(message).await,
            Self::Unix(socket) => socket.send(message).await,
        }
    }
}

fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
}
