//! The way through a JSON text: what is valid, and where its tokens begin and end.
//!
//! As strict as `serde_json` is about values that it skips, which a test holds it to: a half of a surrogate
//! pair is let pass, a number may have any size. Depth costs no stack. The text is UTF-8 already.

/// A place in a JSON text. Each step passes what it names and the blanks before it; `None` means that the
/// text is not valid there.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A string: its first byte, and whether anything in it is escaped.
#[derive(Clone, Copy)]
pub(super) struct Text {
    pub(super) start: usize,
    pub(super) escaped: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0 }
    }

    /// How far it came.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next byte that is not blank.
    #[inline]
    pub(super) fn next(&mut self) -> Option<u8> {
        loop {
            match *self.bytes.get(self.at)? {
                b' ' | b'\n' | b'\t' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Nothing may follow.
    pub(super) fn end(mut self) -> Option<()> {
        self.next().is_none().then_some(())
    }

    /// The start of an object; whether it has a member.
    #[inline]
    pub(super) fn open(&mut self) -> Option<bool> {
        self.pass(b'{')?;
        let member = self.next()? != b'}';
        self.at += usize::from(!member);
        Some(member)
    }

    /// What follows a member; whether another one does.
    #[inline]
    pub(super) fn more(&mut self) -> Option<bool> {
        let byte = self.next()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            b'}' => Some(false),
            _ => None,
        }
    }

    /// A key; [`Self::at`] is its end.
    #[inline]
    pub(super) fn key(&mut self) -> Option<Text> {
        if self.next()? != b'"' {
            return None;
        }
        let start = self.at;
        Some(Text { start, escaped: self.string()? })
    }

    #[inline]
    pub(super) fn colon(&mut self) -> Option<()> {
        self.pass(b':')
    }

    #[inline]
    fn pass(&mut self, byte: u8) -> Option<()> {
        let here = self.next()? == byte;
        self.at += usize::from(here);
        here.then_some(())
    }

    /// A value, whatever it is.
    #[inline]
    pub(super) fn value(&mut self) -> Option<()> {
        match self.next()? {
            b'"' => self.string().map(|_| ()),
            b'{' | b'[' => self.nested(),
            byte => self.plain(byte),
        }
    }

    /// An object or a list with all that is in it.
    fn nested(&mut self) -> Option<()> {
        let mut levels = Levels::default();
        loop {
            match self.next()? {
                b'"' => {
                    self.string()?;
                }
                open @ (b'{' | b'[') => {
                    self.at += 1;
                    let object = open == b'{';
                    let empty = self.next()? == if object { b'}' } else { b']' };
                    if !empty {
                        levels.push(object);
                        if object {
                            self.key()?;
                            self.colon()?;
                        }
                        continue;
                    }
                    self.at += 1;
                }
                byte => self.plain(byte)?,
            }
            loop {
                let Some(object) = levels.top() else { return Some(()) };
                let byte = self.next()?;
                self.at += 1;
                match byte {
                    b',' => {
                        if object {
                            self.key()?;
                            self.colon()?;
                        }
                        break;
                    }
                    b'}' if object => levels.pop(),
                    b']' if !object => levels.pop(),
                    _ => return None,
                }
            }
        }
    }

    /// A number or a word.
    #[inline]
    fn plain(&mut self, first: u8) -> Option<()> {
        match first {
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => None,
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let here = self.bytes[self.at..].starts_with(word);
        self.at += word.len();
        here.then_some(())
    }

    fn number(&mut self) -> Option<()> {
        self.at += usize::from(self.is(b'-'));
        if self.is(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.is(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if self.is(b'e') || self.is(b'E') {
            self.at += 1;
            self.at += usize::from(self.is(b'+') || self.is(b'-'));
            self.digits()?;
        }
        // A zero in front of other digits ends a number, and nothing can follow there.
        Some(())
    }

    fn is(&self, byte: u8) -> bool {
        self.bytes.get(self.at) == Some(&byte)
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// A string, at its first quote; whether anything in it is escaped.
    #[inline]
    fn string(&mut self) -> Option<bool> {
        self.at = plain_until(self.bytes, self.at + 1);
        if self.is(b'"') {
            self.at += 1;
            return Some(false);
        }
        self.escapes().map(|()| true)
    }

    /// What is left of a string from its first escape on.
    fn escapes(&mut self) -> Option<()> {
        loop {
            match *self.bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.at += 1,
                _ => return None,
            }
            let length = match *self.bytes.get(self.at)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 1,
                b'u' => {
                    let digits = self.bytes.get(self.at + 1..self.at + 5)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    5
                }
                _ => return None,
            };
            self.at = plain_until(self.bytes, self.at + length);
        }
    }
}

/// What lists and objects a place is in: a bit each, the innermost last.
#[derive(Default)]
struct Levels {
    /// The innermost, up to 64 of them.
    last: u64,
    count: usize,
    /// Those around them.
    rest: Vec<u64>,
}

impl Levels {
    fn push(&mut self, object: bool) {
        if self.count > 0 && self.count.is_multiple_of(64) {
            self.rest.push(self.last);
        }
        self.last = self.last << 1 | u64::from(object);
        self.count += 1;
    }

    fn pop(&mut self) {
        self.last >>= 1;
        self.count -= 1;
        if self.count > 0 && self.count.is_multiple_of(64) {
            self.last = self.rest.pop().unwrap_or_default();
        }
    }

    /// Whether the innermost is an object.
    fn top(&self) -> Option<bool> {
        (self.count > 0).then_some(self.last & 1 == 1)
    }
}

/// The first place from `at` on where a string does not simply go on: a quote, a backslash, a control
/// character, or the end.
#[inline]
pub(super) fn plain_until(bytes: &[u8], at: usize) -> usize {
    let (words, _) = bytes.get(at..).unwrap_or_default().as_chunks::<8>();
    let mut end = at;
    for word in words.iter().take(SHORT) {
        let found = ends(u64::from_le_bytes(*word));
        if found != 0 {
            return end + found.trailing_zeros() as usize / 8;
        }
        end += 8;
    }
    further_until(bytes, end)
}

/// Words that are looked at before a text is taken for a long one.
const SHORT: usize = 6;

/// Many bytes at a time, then few.
#[inline(never)]
fn further_until(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let clean = rest.as_chunks::<32>().0.iter().take_while(|chunk| is_clean(chunk)).count() * 32;
    let (words, last) = rest[clean..].as_chunks::<8>();
    let mut end = at + clean;
    for word in words {
        let found = ends(u64::from_le_bytes(*word));
        if found != 0 {
            return end + found.trailing_zeros() as usize / 8;
        }
        end += 8;
    }
    end + last.iter().take_while(|byte| !is_end(**byte)).count()
}

/// A compiler makes few instructions of this, so it has no branch.
fn is_clean(chunk: &[u8; 32]) -> bool {
    chunk.iter().fold(0, |odd, byte| odd | u8::from(is_end(*byte))) == 0
}

#[inline]
#[expect(
    clippy::needless_bitwise_bool,
    reason = "a branch would keep many bytes from being looked at together"
)]
fn is_end(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < b' ')
}

/// The high bit of the first byte that is an end; perhaps of bytes behind it, never of one before it.
#[inline]
fn ends(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let less = |word: u64, byte: u8| word.wrapping_sub(ONES * u64::from(byte)) & !word;
    let is = |byte: u8| less(word ^ (ONES * u64::from(byte)), 1);
    (less(word, b' ') | is(b'"') | is(b'\\')) & (ONES << 7)
}
