//! A JSON object while it is being written, for every format that is one. Members keep the order they are
//! written in; what has no value is left out, and so is an inner object without members.

use crate::digest::push_hex;
use crate::record::json;

/// An object being written; members without a value are left out.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    first: bool,
}

impl<'o> Object<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        out.push(b'{');
        Self { out, start, first: true }
    }

    /// Begins a member; its value is to be appended to what is answered.
    #[inline]
    pub(super) fn key(&mut self, key: &str) -> &mut Vec<u8> {
        self.out.reserve(key.len() + 4);
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// A value that is JSON already. A line feed between tokens is not possible: records are lines.
    #[inline]
    pub(super) fn token(&mut self, key: &str, token: Option<&str>) {
        if let Some(token) = token {
            self.key(key).extend_from_slice(token.as_bytes());
        }
    }

    #[inline]
    pub(super) fn text(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            json::push_text(text, self.key(key));
        }
    }

    pub(super) fn number(&mut self, key: &str, number: u64) {
        json::push_number(number, self.key(key));
    }

    pub(super) fn hash(&mut self, key: &str, hash: &[u8; 32]) {
        let out = self.key(key);
        out.push(b'"');
        push_hex(hash, out);
        out.push(b'"');
    }

    pub(super) fn object(&mut self, key: &str, write: impl FnOnce(&mut Object<'_>)) {
        let (before, first) = (self.out.len(), self.first);
        let mut inner = Object::new(self.key(key));
        write(&mut inner);
        if inner.first {
            self.out.truncate(before);
            self.first = first;
        } else {
            inner.out.push(b'}');
        }
    }

    /// What was written so far, to append to.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Closes it.
    pub(super) fn end(self) {
        debug_assert!(self.out.len() > self.start);
        self.out.push(b'}');
    }
}
