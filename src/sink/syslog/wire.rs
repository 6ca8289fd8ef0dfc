//! One connection: frames on their way out, answers on their way in.
//!
//! Owns the rule that a frame which was begun is finished, also when whoever sends is stopped half-way.
//! Reads while it writes, so that a peer that closes is noticed and one that answers is never blocked.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::timeout;

use crate::limits;

/// Any byte stream.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// See the module.
pub(super) struct Wire {
    reader: ReadHalf<Box<dyn Duplex>>,
    writer: WriteHalf<Box<dyn Duplex>>,
    out: Vec<u8>,
    /// Ends of the frames in `out`.
    ends: VecDeque<usize>,
    /// Of `out`.
    written: usize,
    flushed: bool,
    window: Box<[u8]>,
    /// What the peer said and nobody took yet.
    pub(super) inbox: Vec<u8>,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Duplex>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer,
            out: Vec::new(),
            ends: VecDeque::new(),
            written: 0,
            flushed: true,
            window: vec![0; limits::ANSWER_WINDOW].into(),
            inbox: Vec::new(),
        }
    }

    /// Appends a frame.
    pub(super) fn push(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.out.extend_from_slice(part);
        }
        self.ends.push_back(self.out.len());
        self.flushed = false;
    }

    /// Whether everything is with the transport.
    pub(super) fn is_idle(&self) -> bool {
        self.flushed && self.out.is_empty()
    }

    /// Forgets the frames that were not begun; how many.
    pub(super) fn keep_begun(&mut self) -> usize {
        let keep = self.whole() + usize::from(self.is_torn());
        let dropped = self.ends.len() - keep;
        self.ends.truncate(keep);
        self.out.truncate(self.ends.back().copied().unwrap_or(0));
        if self.out.len() == self.written {
            self.forget_written();
        }
        dropped
    }

    /// Frames that are written to their end.
    fn whole(&self) -> usize {
        self.ends.iter().take_while(|end| **end <= self.written).count()
    }

    /// Whether the last byte written is inside a frame.
    fn is_torn(&self) -> bool {
        let boundary = self.whole().checked_sub(1).map_or(0, |last| self.ends[last]);
        self.written > boundary
    }

    fn forget_written(&mut self) {
        self.out.clear();
        self.out.shrink_to(limits::SEND_BUFFER_BYTES);
        self.ends.clear();
        self.written = 0;
    }

    /// Writes some or reads some, whichever can be done; an error when neither can for too long.
    pub(super) async fn step(&mut self) -> io::Result<()> {
        match timeout(limits::SEND_STALL, self.either()).await {
            Ok(done) => done,
            Err(_) => Err(io::Error::new(ErrorKind::TimedOut, "the receiver takes nothing")),
        }
    }

    async fn either(&mut self) -> io::Result<()> {
        let wants_write = !self.is_idle();
        tokio::select! {
            biased;
            read = self.reader.read(&mut self.window) => {
                let count = heard(read?)?;
                hear(&mut self.inbox, &self.window[..count])?;
            }
            written = write_some(&mut self.writer, &self.out[self.written..]), if wants_write => {
                let count = written?;
                self.written += count;
                // The write that had nothing to write was a flush.
                self.flushed = count == 0;
                if self.written == self.out.len() {
                    self.forget_written();
                }
            }
        }
        Ok(())
    }

    /// Writes until everything is with the transport.
    pub(super) async fn drain(&mut self) -> io::Result<()> {
        while !self.is_idle() {
            self.step().await?;
        }
        Ok(())
    }

    /// Takes what the peer has said by now, without waiting; a peer that is gone is an error.
    pub(super) async fn look(&mut self) -> io::Result<()> {
        for _ in 0..limits::ANSWER_READS {
            let count = tokio::select! {
                biased;
                read = self.reader.read(&mut self.window) => heard(read?)?,
                () = std::future::ready(()) => break,
            };
            hear(&mut self.inbox, &self.window[..count])?;
        }
        Ok(())
    }

    /// Finishes a frame that was begun, as far as that goes at once, and looks at the peer.
    pub(super) async fn tidy(&mut self) -> io::Result<()> {
        if !self.is_idle() {
            // Not in time is no error: it is tried again.
            if let Ok(done) = timeout(limits::CONFIRM_LOOK, self.drain()).await {
                done?;
            }
        }
        self.look().await
    }

    /// Ends the connection as far as that goes at once: last words, if any, then the end of the stream.
    pub(super) fn close(&mut self, words: &[u8]) {
        if self.is_torn() {
            // The peer must not take words, or a proper end, for a part of the frame.
            return;
        }
        let mut context = Context::from_waker(Waker::noop());
        let mut writer = Pin::new(&mut self.writer);
        if !words.is_empty() && !matches!(writer.as_mut().poll_write(&mut context, words), Poll::Ready(Ok(_)))
        {
            return;
        }
        // Nobody waits: what cannot be said now stays unsaid.
        drop(writer.as_mut().poll_flush(&mut context));
        drop(writer.poll_shutdown(&mut context));
    }
}

async fn write_some(writer: &mut WriteHalf<Box<dyn Duplex>>, rest: &[u8]) -> io::Result<usize> {
    if rest.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write(rest).await? {
        0 => Err(ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}

fn heard(count: usize) -> io::Result<usize> {
    match count {
        0 => Err(io::Error::new(ErrorKind::UnexpectedEof, "the receiver closed the connection")),
        count => Ok(count),
    }
}

fn hear(inbox: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    if inbox.len() + bytes.len() > limits::RELP_ANSWER_BYTES {
        return Err(io::Error::new(ErrorKind::InvalidData, "the receiver says more than it should"));
    }
    inbox.extend_from_slice(bytes);
    Ok(())
}
