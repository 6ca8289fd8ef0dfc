//! The control socket: how a command changes something while a daemon holds the data folder.
//!
//! One request and one answer a connection, each one line of JSON. Only the daemon's user reaches it
//! (0600 in a 0700 folder). Never carries a record.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream as Peer};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::who;
use crate::clock::Clock;
use crate::ledger::{Event, Ledger, LedgerError, Stamp};

/// A request or an answer has at most this many bytes.
const LINE_BYTES: u64 = 64 * 1024;
/// One side waits this long for the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Are you there?
    Ping,
    /// Make a hole pending again.
    RetryHole(i64),
    /// Somebody has seen a hole.
    AcknowledgeHole(i64),
    /// Try the dead letters of a sink, or of all, again.
    RetryLetters(Option<String>),
    /// Something a command did, for the audit trail.
    Note(Event),
}

/// A request as it travels.
#[derive(Serialize, Deserialize)]
struct Asked {
    request: Request,
    on_behalf_of: Option<String>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done,
    /// There is no such thing.
    Unknown,
    /// It could not be done.
    Failed(String),
}

/// Does what this process was asked by its own user, in the ledger of this process.
pub async fn act_here(ledger: &Ledger, request: Request, at: Timestamp) -> Result<Answer, LedgerError> {
    act(ledger, request, Stamp { at, actor: who::here() }).await
}

async fn act(ledger: &Ledger, request: Request, by: Stamp) -> Result<Answer, LedgerError> {
    let found = match request {
        Request::Ping => true,
        Request::RetryHole(id) => ledger.retry_hole(id, by).await?,
        Request::AcknowledgeHole(id) => ledger.acknowledge_hole(id, by).await?,
        Request::RetryLetters(sink) => ledger.retry_letters(sink, by).await? > 0,
        Request::Note(event) => {
            ledger.append_event(by, event).await?;
            true
        }
    };
    Ok(if found { Answer::Done } else { Answer::Unknown })
}

/// The daemon's side.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Takes the place of a socket that an earlier daemon left; the caller holds the data folder.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers until stopped; `changed` is called after something was changed.
    pub async fn run(
        self,
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
        changed: impl Fn(),
    ) {
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            let served = match accepted {
                Ok((peer, _)) => tokio::time::timeout(PATIENCE, serve(peer, &ledger, clock.now())).await,
                Err(error) => Ok(Err(error)),
            };
            match served {
                Ok(Ok(true)) => changed(),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => warn!(%error, "a command could not be answered"),
                Err(_) => warn!("a command did not say in time what it wants"),
            }
        }
        // Gone before the folder is let go of; a leftover would only be replaced.
        if let Err(error) = std::fs::remove_file(&self.path) {
            warn!(%error, "the control socket could not be removed");
        }
    }
}

async fn serve(peer: Peer, ledger: &Ledger, at: Timestamp) -> io::Result<bool> {
    // The system says who it is; only on whose behalf is theirs to say.
    let user = peer.peer_cred()?.uid();
    let (read, mut write) = peer.into_split();
    let mut line = String::new();
    tokio::io::BufReader::new(read.take(LINE_BYTES)).read_line(&mut line).await?;
    let (answer, changed) = match serde_json::from_str::<Asked>(&line) {
        Ok(Asked { request, on_behalf_of }) => {
            let changes = request != Request::Ping;
            let by = Stamp { at, actor: who::user(user, on_behalf_of) };
            match act(ledger, request, by).await {
                Ok(answer) => (answer, changes),
                Err(error) => (Answer::Failed(error.to_string()), false),
            }
        }
        Err(_) => (Answer::Failed("this daemon does not know the request".to_owned()), false),
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    write.write_all(&text).await?;
    Ok(changed)
}

/// Asks the daemon of a data folder; `None` when none answers.
pub fn ask(socket: &Path, request: &Request) -> io::Result<Option<Answer>> {
    let mut stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let asked = Asked { request: request.clone(), on_behalf_of: who::on_behalf_of() };
    let mut text = serde_json::to_vec(&asked)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE_BYTES)).read_line(&mut line)?;
    Ok(Some(serde_json::from_str(&line)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::ledger::{Action, Target};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn requests_are_answered() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, thread) = Ledger::open(&folder.path().join("ledger.db")).unwrap();
        let socket = folder.path().join("control.sock");
        assert_eq!(ask(&socket, &Request::Ping).unwrap(), None);
        let stop = CancellationToken::new();
        let server = Server::bind(&socket).unwrap();
        let running = tokio::spawn(server.run(ledger.clone(), Arc::new(SystemClock), stop.clone(), || ()));
        let note = Event::new(Action::SendTest, Target::new("sink", "x"), serde_json::Value::Null);
        for (request, answer) in [
            (Request::Ping, Answer::Done),
            (Request::RetryHole(7), Answer::Unknown),
            (Request::AcknowledgeHole(7), Answer::Unknown),
            (Request::RetryLetters(None), Answer::Unknown),
            (Request::Note(note), Answer::Done),
        ] {
            let (asked, what) = (socket.clone(), request.clone());
            let answered = tokio::task::spawn_blocking(move || ask(&asked, &what)).await.unwrap();
            assert_eq!(answered.unwrap(), Some(answer), "{request:?}");
        }
        stop.cancel();
        running.await.unwrap();
        assert_eq!(ask(&socket, &Request::Ping).unwrap(), None);
        drop(ledger);
        thread.join();
    }
}
