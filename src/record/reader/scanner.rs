//! Finds the event id of a record too large to be held, byte by byte.
//!
//! Sees what the reader sees in a record that is held: the first `event_id` of the outermost object, if
//! it is a string that is not empty. Knows no key that is written with escapes. Never gives a token that
//! is not valid JSON, whatever the bytes.

use serde_json::value::RawValue;

use super::super::json;

/// Finds the `event_id` of an object that is not held.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a state machine of independent flags")]
pub struct IdScanner {
    depth: u64,
    in_text: bool,
    escaped: bool,
    /// The last text on the top level, while it can still be a key or an id.
    token: Vec<u8>,
    after_key: bool,
    found: Option<String>,
    over: bool,
}

/// A longer event id is none that anybody would look for.
const MAX_ID_BYTES: usize = 4096;

impl IdScanner {
    /// Looks at more bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.over {
                return;
            }
            if self.in_text {
                self.text_byte(byte);
            } else {
                self.other_byte(byte);
            }
        }
    }

    /// Whether more bytes can change nothing.
    pub fn is_over(&self) -> bool {
        self.over
    }

    fn other_byte(&mut self, byte: u8) {
        match byte {
            b' ' | b'\t' | b'\r' => {}
            b'"' => {
                self.in_text = true;
                self.token.clear();
            }
            // The id is no string.
            _ if self.after_key => self.over = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if self.depth == 1 => self.after_key = self.token == b"event_id",
            _ => {}
        }
    }

    fn text_byte(&mut self, byte: u8) {
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.in_text = false;
            if self.after_key {
                self.over = true;
                self.found = self.id();
            }
            return;
        }
        if self.depth == 1 && self.token.len() <= MAX_ID_BYTES {
            self.token.push(byte);
        }
    }

    fn id(&self) -> Option<String> {
        let token = [b"\"", self.token.as_slice(), b"\""].concat();
        let token = String::from_utf8(token).ok()?;
        let valid = serde_json::from_str::<&RawValue>(&token).is_ok();
        (valid && json::is_text(&token) && self.token.len() <= MAX_ID_BYTES).then_some(token)
    }

    /// The id found, unescaped where it can be.
    pub fn event_id(self) -> Option<String> {
        self.found.map(|token| json::text(&token).map_or_else(|| token.clone(), Into::into))
    }

    /// The id found, as a JSON token.
    pub fn token(self) -> Option<String> {
        self.found
    }
}
