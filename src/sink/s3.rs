//! `s3`: an archive in a bucket of Amazon S3, or of a store that speaks its protocol.
//!
//! Invariants:
//! - One request stores one object, and only if its key is free (`If-None-Match: *`). 412 means that it is
//!   there: its metadata tells the verbatim hash, equal is success, different is an alarm. A store that
//!   ignores the condition would let anybody replace objects: `check --send-test` finds it out.
//! - Nothing is stored that did not arrive whole: length and SHA-256 are given before the body.
//! - With `object_lock`, a store that answers 200 and locks nothing is found out at the first object.
//! - Credentials, certificates and profiles are read again after a refusal; one refusal of a client that
//!   worked before costs nothing.
//! - No `Content-Encoding`: clients would decompress what the archive's names promise compressed.
//!
//! The smallest policy: `s3:PutObject` and `s3:GetObject` on `<bucket>/<prefix>/*`, `s3:ListBucket` on the
//! bucket (for `check`, and for 404 in place of 403); with `tags` also `s3:PutObjectTagging`; with
//! `object_lock` also `s3:PutObjectRetention` and `s3:GetObjectRetention`; with `kms_key_id` also
//! `kms:GenerateDataKey` on the key. The writer never lists, deletes, or
//! reads the content of objects; the reader never writes.

mod client;
mod config;
mod error;
mod reader;
mod send;
mod session;
mod sink;
#[cfg(test)]
mod tests;

pub use config::S3Config;
