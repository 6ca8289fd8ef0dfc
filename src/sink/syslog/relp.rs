//! RELP, the part of a client that sends syslog messages.
//!
//! ```text
//! frame   TXNR SP COMMAND SP LENGTH [SP DATA] LF
//! offer   1 open 68 relp_version=0 LF relp_software=… LF commands=syslog LF
//! answer  1 rsp … 200 OK …
//! ```
//!
//! Every frame is answered under its number; at most a window of them waits for that. A batch is
//! confirmed when each of its frames was taken (200); any other answer loses the connection, and the
//! batch comes again.

use std::collections::VecDeque;
use std::io::ErrorKind;

use tokio::time::{Instant, timeout};

use super::config::Address;
use super::encode::Messages;
use super::trouble;
use super::wire::Wire;
use crate::limits;
use crate::sink::SinkError;

const OFFER: &str =
    concat!("relp_version=0\nrelp_software=custodex,", env!("CARGO_PKG_VERSION"), "\ncommands=syslog\n");
/// Numbers have at most nine digits; 0 is the receiver's.
const NUMBERS: u64 = 999_999_999;
/// The longest command of the protocol.
const COMMAND_MOST: usize = 32;
const TAKEN: &[u8] = b"200";
const FAULT: &str = "what answers does not speak RELP";

/// See the module.
pub(super) struct Relp {
    wire: Wire,
    address: Address,
    /// Frames made so far, which gives the next one its number.
    made: u64,
    /// The latest of them, and whether each was taken; the first one was not.
    waiting: VecDeque<bool>,
    /// For each batch that is not confirmed: how many frames were made up to its end.
    handed: VecDeque<u64>,
    heard_at: Instant,
}

/// One frame of the receiver.
#[derive(Debug, PartialEq, Eq)]
struct Frame<'a> {
    number: u64,
    command: &'a [u8],
    data: &'a [u8],
}

impl Relp {
    /// Offers a session and waits for the answer.
    pub(super) async fn open(wire: Wire, address: Address) -> Result<Self, SinkError> {
        let (waiting, handed) = (VecDeque::new(), VecDeque::new());
        let mut relp = Self { wire, address, made: 0, waiting, handed, heard_at: Instant::now() };
        relp.push("open", OFFER.as_bytes());
        let answered = async {
            while !relp.waiting.is_empty() {
                relp.turn().await?;
            }
            Ok(())
        };
        match timeout(limits::CONNECT_TIMEOUT, answered).await {
            Ok(done) => done.map(|()| relp),
            Err(_) => Err(trouble::passing(&relp.address, &"no answer to the offer of a RELP session")),
        }
    }

    pub(super) async fn send(&mut self, messages: &Messages) -> Result<(), SinkError> {
        self.keep_begun();
        self.look().await?;
        for message in messages.iter() {
            while self.waiting.len() >= limits::RELP_WINDOW {
                self.turn().await?;
            }
            self.push("syslog", message);
        }
        while !self.wire.is_idle() {
            self.turn().await?;
        }
        self.handed.push_back(self.made);
        Ok(())
    }

    /// Batches that are confirmed by now, the oldest first.
    pub(super) async fn confirmed(&mut self) -> Result<usize, SinkError> {
        self.keep_begun();
        self.wire.tidy().await.map_err(|error| trouble::of(&self.address, &error))?;
        self.take_answers()?;
        if !self.waiting.is_empty() && self.heard_at.elapsed() > limits::SEND_STALL {
            return Err(self.silent());
        }
        let taken = self.made - self.waiting.len() as u64;
        Ok(self.handed.iter().take_while(|end| **end <= taken).count())
    }

    /// The batches still to be confirmed.
    pub(super) fn handed(&mut self) -> &mut VecDeque<u64> {
        &mut self.handed
    }

    /// Frames of a batch that was stopped half-way, and not begun, are as if never made.
    fn keep_begun(&mut self) {
        let dropped = self.wire.keep_begun();
        self.waiting.truncate(self.waiting.len().saturating_sub(dropped));
        self.made -= dropped as u64;
    }

    fn push(&mut self, command: &str, data: &[u8]) {
        if self.waiting.is_empty() {
            self.heard_at = Instant::now();
        }
        let (head, tail) = around(self.made, command, data);
        self.wire.push(&[head.as_bytes(), data, tail]);
        self.made += 1;
        self.waiting.push_back(false);
    }

    async fn turn(&mut self) -> Result<(), SinkError> {
        self.wire.step().await.map_err(|error| match error.kind() {
            // All is written: it is the receiver's turn.
            ErrorKind::TimedOut if self.wire.is_idle() => self.silent(),
            _ => trouble::of(&self.address, &error),
        })?;
        self.take_answers()
    }

    async fn look(&mut self) -> Result<(), SinkError> {
        self.wire.look().await.map_err(|error| trouble::of(&self.address, &error))?;
        self.take_answers()
    }

    fn take_answers(&mut self) -> Result<(), SinkError> {
        let inbox = std::mem::take(&mut self.wire.inbox);
        let mut rest = inbox.as_slice();
        while let Some((frame, behind)) = parse(rest).map_err(|fault| self.broken(fault))? {
            self.take(&frame)?;
            rest = behind;
        }
        self.wire.inbox = rest.to_vec();
        Ok(())
    }

    fn take(&mut self, frame: &Frame<'_>) -> Result<(), SinkError> {
        if frame.number == 0 && frame.command == b"serverclose" {
            return Err(self.broken("the receiver ends the session"));
        }
        let first = self.made - self.waiting.len() as u64;
        let waiting = self.waiting.iter_mut().enumerate();
        let mut same = waiting.filter(|(at, _)| number(first + *at as u64) == frame.number);
        let Some((at, taken)) = same.next().filter(|_| frame.command == b"rsp") else {
            return Err(self.broken("the receiver answers what was not sent"));
        };
        let code = frame.data.get(..3).filter(|code| code.iter().all(u8::is_ascii_digit));
        if code != Some(TAKEN) {
            let code = code.and_then(|code| std::str::from_utf8(code).ok()).unwrap_or("no code");
            return Err(self.broken(&format!("the receiver did not take a message: {code}")));
        }
        *taken = true;
        self.heard_at = Instant::now();
        if first + at as u64 == 0 && !offers_syslog(frame.data) {
            return Err(self.broken("the receiver takes no syslog over RELP"));
        }
        while self.waiting.front() == Some(&true) {
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// The receiver takes messages and does not say so.
    fn silent(&self) -> SinkError {
        let stall = limits::SEND_STALL.as_secs();
        self.broken(&format!(
            "no answer for {stall} s to what was sent: see whether the receiver's queue is full"
        ))
    }

    fn broken(&self, what: &str) -> SinkError {
        trouble::passing(&self.address, &what)
    }
}

impl Drop for Relp {
    fn drop(&mut self) {
        let words = format!("{} close 0\n", number(self.made));
        self.wire.close(words.as_bytes());
    }
}

/// What goes before and behind the data of a frame at this place of the session.
pub(super) fn around(place: u64, command: &str, data: &[u8]) -> (String, &'static [u8]) {
    (format!("{} {command} {} ", number(place), data.len()), b"\n")
}

/// The number of a frame, by its place in the session.
fn number(place: u64) -> u64 {
    place % NUMBERS + 1
}

fn offers_syslog(answer: &[u8]) -> bool {
    let lines = answer.split(|byte| *byte == b'\n');
    let mut commands = lines.filter_map(|line| line.strip_prefix(b"commands="));
    commands.any(|list| list.split(|byte| *byte == b',').any(|command| command == b"syslog"))
}

/// The first frame and what follows; `None` while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(Frame<'_>, &[u8])>, &'static str> {
    let Some((number, rest)) = digits(bytes)? else { return Ok(None) };
    let Some(rest) = behind_space(rest)? else { return Ok(None) };
    let letters = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    if letters > COMMAND_MOST || (letters == 0 && !rest.is_empty()) {
        return Err(FAULT);
    }
    let (command, rest) = rest.split_at(letters);
    let Some(rest) = behind_space(rest)? else { return Ok(None) };
    let Some((length, rest)) = digits(rest)? else { return Ok(None) };
    let length = usize::try_from(length).map_err(|_| FAULT)?;
    if length > limits::RELP_ANSWER_BYTES {
        return Err(FAULT);
    }
    // A frame without data may leave out the space before it.
    let rest = match rest.split_first() {
        None => return Ok(None),
        Some((b' ', rest)) => rest,
        Some((b'\n', _)) if length == 0 => rest,
        Some(_) => return Err(FAULT),
    };
    match rest.get(length) {
        None => Ok(None),
        Some(b'\n') => Ok(Some((Frame { number, command, data: &rest[..length] }, &rest[length + 1..]))),
        Some(_) => Err(FAULT),
    }
}

fn behind_space(bytes: &[u8]) -> Result<Option<&[u8]>, &'static str> {
    match bytes.split_first() {
        None => Ok(None),
        Some((b' ', rest)) => Ok(Some(rest)),
        Some(_) => Err(FAULT),
    }
}

/// A number of one to nine digits; `None` while it may go on.
fn digits(bytes: &[u8]) -> Result<Option<(u64, &[u8])>, &'static str> {
    let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count > 9 || (count == 0 && !bytes.is_empty()) {
        return Err(FAULT);
    }
    if count == bytes.len() {
        return Ok(None);
    }
    let number = bytes[..count].iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Ok(Some((number, &bytes[count..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_whole_or_not_at_all() {
        let bytes = b"12 rsp 6 200 OK\n0 serverclose 0\n3 rsp";
        let (frame, rest) = parse(bytes).unwrap().unwrap();
        assert_eq!(frame, Frame { number: 12, command: b"rsp", data: b"200 OK" });
        let (frame, rest) = parse(rest).unwrap().unwrap();
        assert_eq!(frame, Frame { number: 0, command: b"serverclose", data: b"" });
        assert_eq!((parse(rest), rest), (Ok(None), &b"3 rsp"[..]));
        for end in 0..16 {
            assert_eq!(parse(&bytes[..end]), Ok(None), "{end}");
        }
        for wrong in [
            "HTTP/1.1 400",
            "1234567890 rsp 0\n",
            "1 rsp 3 200 OK\n",
            "1  3 200\n",
            "1 rsp -1\n",
            "1 rsp 99999 ",
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_begin_again_and_are_never_zero() {
        assert_eq!([0, NUMBERS - 1, NUMBERS].map(number), [1, NUMBERS, 1]);
        assert!(offers_syslog(b"200 OK\nrelp_version=0\ncommands=eventlog,syslog"));
        assert!(!offers_syslog(b"200 OK\ncommands=syslogs"));
    }
}
