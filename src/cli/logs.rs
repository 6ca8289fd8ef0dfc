//! Log lines on standard error, drawn around a progress line where there is one.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Writes whole lines while the progress line is out of the way.
#[derive(Clone)]
struct Around(MultiProgress);

impl Write for Around {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Around {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Starts logging at `level` unless `CUSTODEX_LOG` says otherwise; where a command calls another, the first counts.
/// What libraries tell of their own workings is no news for an operator.
pub fn start(level: &str, bars: &MultiProgress) {
    let usual = || EnvFilter::new(format!("{level},aws_config=error"));
    let filter = EnvFilter::try_from_env("CUSTODEX_LOG").unwrap_or_else(|_| usual());
    let colours = std::io::IsTerminal::is_terminal(&io::stderr());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Around(bars.clone()))
        .with_target(false)
        .with_ansi(colours);
    // The journal has a clock of its own.
    let begun = if std::env::var_os("JOURNAL_STREAM").is_some() {
        subscriber.without_time().try_init()
    } else {
        subscriber.try_init()
    };
    drop(begun);
}
