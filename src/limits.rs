//! Every bound of the program, named and argued, in one place.

/// Records up to this size are normalized and delivered whole; larger ones go by reference.
pub const MAX_RECORD_BYTES: u64 = 16 * 1024 * 1024;
