//! Writes batches to a stream that only goes forward.

use std::io::{self, Write};

use futures_util::future::BoxFuture;

use crate::recovery::Recovery;
use crate::sink::{Batch, Confirmation, Sink, SinkError};

/// Opens the stream; a test gives its own.
type Opener = fn() -> io::Result<Box<dyn Write + Send>>;

/// See the module above.
pub(super) struct StdoutSink<O = Opener> {
    opener: O,
    out: Option<Box<dyn Write + Send>>,
    /// Bytes of the batch in hand that are written already.
    sent: usize,
}

impl StdoutSink {
    /// Writes to what `opener` opens, at the first batch.
    pub(super) fn new(opener: Opener) -> Self {
        Self { opener, out: None, sent: 0 }
    }
}

impl<O: Fn() -> io::Result<Box<dyn Write + Send>>> StdoutSink<O> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let out = match &mut self.out {
            Some(out) => out,
            empty => empty.insert((self.opener)()?),
        };
        while self.sent < bytes.len() {
            match out.write(&bytes[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        out.flush()?;
        self.sent = 0;
        Ok(())
    }
}

impl<O: Fn() -> io::Result<Box<dyn Write + Send>> + Send> Sink for StdoutSink<O> {
    fn deliver<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(async {
            tokio::task::block_in_place(|| self.write(&batch.bytes)).map_err(|error| trouble(&error))
        })
    }

    fn confirm(&mut self) -> BoxFuture<'_, Result<Confirmation, SinkError>> {
        Box::pin(async { Ok(Confirmation::all(Vec::new())) })
    }

    fn committed(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async { Ok(()) })
    }
}

fn trouble(error: &io::Error) -> SinkError {
    let recovery = match error.kind() {
        io::ErrorKind::BrokenPipe => Recovery::Pause { hint: "nothing reads standard output".into() },
        _ => Recovery::Retry { after: None },
    };
    SinkError::new(format!("cannot write to standard output: {error}"), recovery)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Takes a few bytes at a time and fails once in the middle.
    #[derive(Clone, Default)]
    struct Stream(Arc<Mutex<(Vec<u8>, Option<io::ErrorKind>)>>);

    impl Write for Stream {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.0.lock().unwrap();
            if state.0.len() >= 6
                && let Some(kind) = state.1.take()
            {
                return Err(kind.into());
            }
            let count = bytes.len().min(3);
            state.0.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_batch_goes_on_where_it_stopped() {
        let stream = Stream::default();
        stream.0.lock().unwrap().1 = Some(io::ErrorKind::BrokenPipe);
        let same = stream.clone();
        let opener = move || Ok(Box::new(same.clone()) as Box<dyn Write + Send>);
        let mut sink = StdoutSink { opener, out: None, sent: 0 };
        let batch = Batch { bytes: b"first\nsecond\n".to_vec(), ends: vec![6, 13], ..Batch::default() };
        let error = sink.deliver(&batch).await.unwrap_err();
        assert_eq!(error.recovery, Recovery::Pause { hint: "nothing reads standard output".into() });
        let longer =
            Batch { bytes: b"first\nsecond\nthird\n".to_vec(), ends: vec![6, 13, 19], ..Batch::default() };
        sink.deliver(&longer).await.unwrap();
        sink.deliver(&batch).await.unwrap();
        assert_eq!(sink.confirm().await.unwrap().memory, b"");
        assert_eq!(stream.0.lock().unwrap().0, b"first\nsecond\nthird\nfirst\nsecond\n");
    }
}
