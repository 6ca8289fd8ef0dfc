//! `stdout`: records on standard output, for pipes and for a first look.
//!
//! Guarantee `sent`: the bytes were given to the operating system, who reads them is unknown. Goes on
//! in the middle of a batch where a write stopped, so that nothing is there twice. Never buffers.

mod config;
mod sink;

pub use config::StdoutConfig;
