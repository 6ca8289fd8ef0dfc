//! Tests of the built program, and of the shape of the code; one binary, so that it links once.
#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "a test that cannot be run says so")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod archive;
mod audit;
mod case;
mod chaos;
mod cli;
mod custody;
mod demo;
mod faults;
mod hec;
mod integrations;
mod kill;
mod layers;
mod page;
mod rebuild;
mod redact;
mod replay;
mod s3;
mod samples;
mod search;
mod send_test;
mod silence;
mod support;
mod syslog;
mod together;
mod units;
