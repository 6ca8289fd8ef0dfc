//! A JSON object as one flat list of fields: its own, and those of the objects inside it.
//!
//! Made in one pass, so that nobody who looks into an inner object reads its bytes again. The fields of one
//! object lie side by side. Objects in lists, and those deeper than anybody looks, are passed as values.

use std::borrow::Cow;
use std::ops::Range;

use super::scan::{Scanner, Text};
use super::{is_name, text};

/// Objects inside objects are taken apart so deep; upstream has nothing deeper that has a place of its own.
const LEVELS: usize = 4;
/// Fields with equal tags are noticed while they are read, in objects with up to so many.
const COMPARED: usize = 24;
/// Room that most records need; an allocator has pieces of this size at hand.
const FIELDS: usize = 36;
/// Tag of a key with escapes.
const ESCAPED: u32 = u32::MAX;
/// Where a token lies in the text.
#[derive(Clone, Copy, Debug)]
pub(in crate::record) struct Span {
    start: u32,
    end: u32,
}

/// A member of an object.
#[derive(Debug)]
pub(in crate::record) struct Field {
    pub(in crate::record) key: Span,
    pub(in crate::record) value: Span,
    child: u32,
    /// Keys with different tags are different, unless one is [`ESCAPED`].
    tag: u32,
    pub(in crate::record) mark: Mark,
}

/// What became of a field.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::record) struct Mark {
    pub(in crate::record) taken: bool,
    /// Another field of the object has the same name.
    pub(in crate::record) doubled: bool,
    /// The object that it holds is looked into.
    pub(in crate::record) entered: bool,
}

impl Field {
    /// All of it as it is written, if there are no blanks between key and value.
    #[inline]
    pub(in crate::record) fn compact(&self) -> Option<Span> {
        self.key.joined(self.value)
    }

    /// The object that the value is; the outermost, which is nobody's value, when it is none.
    #[inline]
    pub(in crate::record) fn child(&self) -> usize {
        self.child as usize
    }
}

/// An object.
#[derive(Debug, Default)]
struct Object {
    fields: Range<usize>,
    parent: usize,
    /// A bit for each key; the same key always has the same one.
    keys: u64,
    may_repeat: bool,
}

/// All of it.
#[derive(Debug)]
pub(in crate::record) struct Tree<'a> {
    text: &'a str,
    pub(in crate::record) fields: Vec<Field>,
    objects: Vec<Object>,
}

impl<'a> Tree<'a> {
    /// Of a text; `None` when that is no JSON object.
    pub(in crate::record) fn read(text: &'a str) -> Option<Self> {
        u32::try_from(text.len()).ok()?;
        let tree = Self { text, fields: Vec::with_capacity(FIELDS), objects: Vec::with_capacity(8) };
        let mut reader = Reader { scanner: Scanner::new(text), tree, pending: Vec::with_capacity(FIELDS) };
        reader.object(0, 0)?;
        reader.scanner.end()?;
        Some(reader.tree)
    }

    /// Whether two keys of an object may be the same.
    pub(in crate::record) fn may_repeat(&self, object: usize) -> bool {
        self.objects[object].may_repeat
    }

    /// The object in which this one is a value; the outermost itself.
    pub(in crate::record) fn parent(&self, object: usize) -> usize {
        self.objects[object].parent
    }

    /// Where the fields of an object lie.
    #[inline]
    pub(in crate::record) fn range(&self, object: usize) -> Range<usize> {
        self.objects[object].fields.clone()
    }

    #[inline]
    pub(in crate::record) fn fields_of(&self, object: usize) -> &[Field] {
        &self.fields[self.range(object)]
    }

    /// A token, verbatim.
    #[inline]
    pub(in crate::record) fn token(&self, span: Span) -> &'a str {
        &self.text[span.start as usize..span.end as usize]
    }

    /// What a key says; its token, where it stands for no text.
    pub(in crate::record) fn name(&self, field: &Field) -> Cow<'a, str> {
        let token = self.token(field.key);
        if field.tag == ESCAPED {
            return text(token).unwrap_or(Cow::Borrowed(token));
        }
        Cow::Borrowed(&token[1..token.len() - 1])
    }

    /// The first field with this name. What needs the name alone is done where the name is known.
    #[inline]
    pub(in crate::record) fn find(&self, object: usize, name: &str) -> Option<usize> {
        let tag = tag(name.as_bytes());
        if self.objects[object].keys & bit(tag) == 0 { None } else { self.find_tagged(object, name, tag) }
    }

    fn find_tagged(&self, object: usize, name: &str, sought: u32) -> Option<usize> {
        let Range { start, end } = self.objects[object].fields;
        let found = self.fields[start..end].iter().position(|field| {
            (field.tag == sought && is_name(self.token(field.key), false, name))
                || (field.tag == ESCAPED && self.name(field) == name)
        });
        found.map(|at| start + at)
    }
}

impl Span {
    /// Both, if `next` follows after one byte.
    #[inline]
    pub(in crate::record) fn joined(self, next: Self) -> Option<Self> {
        (self.end + 1 == next.start).then_some(Self { start: self.start, end: next.end })
    }
}

struct Reader<'a> {
    scanner: Scanner<'a>,
    tree: Tree<'a>,
    /// Fields of objects that are not at their end.
    pending: Vec<Field>,
}

impl Reader<'_> {
    /// Reads an object with those inside it.
    fn object(&mut self, parent: usize, level: usize) -> Option<usize> {
        let (number, start) = (self.tree.objects.len(), self.pending.len());
        self.tree.objects.push(Object::default());
        let (mut keys, mut may_repeat) = (0, false);
        let mut more = self.scanner.open()?;
        while more {
            let key = self.scanner.key()?;
            let (tag, key) = self.tag(key);
            self.scanner.colon()?;
            let object = self.scanner.next()? == b'{' && level < LEVELS;
            let from = self.scanner.at();
            let child = if object {
                u32::try_from(self.object(number, level + 1)?).ok()?
            } else {
                self.scanner.value()?;
                0
            };
            may_repeat |= tag == ESCAPED || (keys & bit(tag) != 0 && self.has(start, tag));
            keys |= if tag == ESCAPED { u64::MAX } else { bit(tag) };
            let value = span(from, self.scanner.at());
            self.pending.push(Field { key, value, child, tag, mark: Mark::default() });
            more = self.scanner.more()?;
        }
        let first = self.tree.fields.len();
        self.tree.fields.extend(self.pending.drain(start..));
        let end = self.tree.fields.len();
        self.tree.objects[number] = Object { fields: first..end, parent, keys, may_repeat };
        Some(number)
    }

    #[inline]
    fn tag(&self, key: Text) -> (u32, Span) {
        let end = self.scanner.at();
        let name = &self.tree.text.as_bytes()[key.start + 1..end - 1];
        (if key.escaped { ESCAPED } else { tag(name) }, span(key.start, end))
    }

    /// Whether a key read so far may be the same; in large objects any may.
    fn has(&self, start: usize, tag: u32) -> bool {
        let fields = &self.pending[start..];
        fields.len() > COMPARED || fields.iter().any(|field| field.tag == tag)
    }
}

#[inline]
fn span(start: usize, end: usize) -> Span {
    // The whole text was measured.
    let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { start: narrow(start), end: narrow(end) }
}

/// Length, first and last byte of a name.
#[inline]
fn tag(name: &[u8]) -> u32 {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return 0 };
    let length = u32::try_from(name.len() & 0xffff).unwrap_or_default();
    length << 16 | u32::from(*first) << 8 | u32::from(*last)
}

/// The bit of a tag.
#[inline]
fn bit(tag: u32) -> u64 {
    1 << (tag.wrapping_mul(0x9e37_79b1) >> 26)
}
