//! Keys of `stdout`: none of its own.

use std::io::{self, Write};
use std::os::fd::AsFd;

use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::sink::StdoutSink;
use crate::ground::Ground;
use crate::sink::{Guarantee, Sink, SinkConfig, SinkError};

/// The sink's own keys.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StdoutConfig {}

impl SinkConfig for StdoutConfig {
    fn guarantee(&self) -> Guarantee {
        Guarantee::Sent
    }

    fn open(&self, _: Ground, _: Option<Vec<u8>>, _: String) -> Box<dyn Sink> {
        Box::new(StdoutSink::new(standard_output))
    }

    /// Whoever reads it asked for it.
    fn replaying(&self, _: &str) -> Option<Box<dyn SinkConfig>> {
        Some(Box::new(self.clone()))
    }

    fn probe<'a>(&'a self, _: &'a Ground) -> BoxFuture<'a, Result<String, SinkError>> {
        Box::pin(async { Ok("standard output, nothing to look at".into()) })
    }
}

/// A descriptor of its own: the standard library's handle would keep a part of a line back.
fn standard_output() -> io::Result<Box<dyn Write + Send>> {
    let descriptor = io::stdout().as_fd().try_clone_to_owned()?;
    Ok(Box::new(std::fs::File::from(descriptor)))
}
