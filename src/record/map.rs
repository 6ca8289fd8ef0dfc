//! A record's object while its fields are being taken.
//!
//! Owns the tree of objects that are looked into and what was taken from them. What is never taken
//! stays, in upstream's order and with upstream's own tokens: that is `unmapped`.

use std::borrow::Cow;

use super::json;
use super::json::tree::{Span, Tree};

/// An object that is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node(usize);

/// The outermost object.
pub const ROOT: Node = Node(0);

/// Something about a field that a reader should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Upstream's path.
    pub path: String,
    /// What is odd there.
    pub problem: &'static str,
}

/// Of the keys that an object has more than once, so many are named.
const DOUBLED_SAID: usize = 8;

/// The tree.
#[derive(Debug)]
pub struct Map<'a> {
    tree: Tree<'a>,
    /// What was odd so far.
    pub warnings: Vec<Warning>,
}

impl<'a> Map<'a> {
    /// Looks into the outermost object; `None` when the text is none.
    pub fn read(text: &'a str) -> Option<Self> {
        let tree = Tree::read(text)?;
        let mut map = Self { tree, warnings: Vec::new() };
        map.mark_doubled(ROOT);
        Some(map)
    }

    /// Marks fields of the same name, and says so once a name. Sorting keeps a huge object from costing
    /// the square of its size.
    fn mark_doubled(&mut self, node: Node) {
        if !self.tree.may_repeat(node.0) {
            return;
        }
        let first = self.tree.range(node.0).start;
        let fields = self.tree.fields_of(node.0);
        let names: Vec<Cow<'a, str>> = fields.iter().map(|field| self.tree.name(field)).collect();
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by(|&left, &right| names[left].cmp(&names[right]));
        let mut seconds = Vec::new();
        for same in order.chunk_by(|&left, &right| names[left] == names[right]) {
            if let [_, second, ..] = *same {
                for at in same {
                    self.tree.fields[first + at].mark.doubled = true;
                }
                seconds.push(second);
            }
        }
        seconds.sort_unstable();
        for at in seconds.into_iter().take(DOUBLED_SAID) {
            let name = &names[at];
            let plain = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            self.warn(node, if plain { name } else { "*" }, "the key is there more than once");
        }
    }

    /// Notes something odd about a field.
    pub fn warn(&mut self, node: Node, key: &str, problem: &'static str) {
        let path = join(&self.path(node), key);
        self.warnings.push(Warning { path, problem });
    }

    /// Where an object lies.
    fn path(&self, node: Node) -> String {
        if node == ROOT {
            return String::new();
        }
        let parent = Node(self.tree.parent(node.0));
        let holder = self.tree.fields_of(parent.0).iter().find(|field| field.child() == node.0);
        let name = holder.map(|field| self.tree.name(field)).unwrap_or_default();
        join(&self.path(parent), &name)
    }

    #[inline]
    fn find(&self, node: Node, key: &str) -> Option<usize> {
        self.tree.find(node.0, key)
    }

    fn value(&self, at: usize) -> &'a str {
        self.tree.token(self.tree.fields[at].value)
    }

    /// The value of a key, verbatim, without taking it.
    #[inline]
    pub fn peek(&self, node: Node, key: &str) -> Option<&'a str> {
        self.find(node, key).map(|at| self.value(at))
    }

    /// The text of a key, without taking it; none when it is no text or empty.
    #[inline]
    pub fn peek_text(&self, node: Node, key: &str) -> Option<&'a str> {
        self.peek(node, key).filter(|token| json::is_text(token))
    }

    /// The first key that satisfies `test` and has a text.
    pub fn first_text(&self, node: Node, test: impl Fn(&str) -> bool) -> Option<&'a str> {
        let mut fields = self.tree.fields_of(node.0).iter();
        let field = fields
            .find(|field| json::is_text(self.tree.token(field.value)) && test(&self.tree.name(field)))?;
        Some(self.tree.token(field.value))
    }

    /// Takes a text: a string that is not empty. Another type stays, with a warning.
    #[inline]
    pub fn take_text(&mut self, node: Node, key: &str) -> Option<&'a str> {
        self.take_if(node, key, json::is_text, "not a string")
    }

    /// Takes a whole number, zero or more.
    #[inline]
    pub fn take_count(&mut self, node: Node, key: &str) -> Option<&'a str> {
        self.take_if(node, key, json::is_count, "not a whole number of zero or more")
    }

    /// Takes a value of any type but null and the empty string.
    #[inline]
    pub fn take_any(&mut self, node: Node, key: &str) -> Option<&'a str> {
        self.take_if(node, key, |_| true, "")
    }

    #[inline]
    fn take_if(
        &mut self,
        node: Node,
        key: &str,
        fits: fn(&str) -> bool,
        problem: &'static str,
    ) -> Option<&'a str> {
        let at = self.find(node, key)?;
        let token = self.value(at);
        if self.tree.fields[at].mark.taken || token == "null" || token == "\"\"" {
            return None;
        }
        if !fits(token) {
            self.warn(node, key, problem);
            return None;
        }
        self.tree.fields[at].mark.taken = true;
        Some(token)
    }

    /// Takes a text that is written as `same`, without escapes; whether it was there.
    pub fn take_same(&mut self, node: Node, key: &str, same: &str) -> bool {
        let Some(at) = self.find(node, key) else { return false };
        let token = self.value(at);
        let here = token.strip_prefix('"').and_then(|token| token.strip_suffix('"')) == Some(same);
        self.tree.fields[at].mark.taken |= here;
        here
    }

    /// Looks into an object inside; null is absent, another type stays, with a warning.
    pub fn enter(&mut self, node: Node, key: &str) -> Option<Node> {
        let at = self.find(node, key)?;
        let child = Node(self.tree.fields[at].child());
        if self.tree.fields[at].mark.taken || self.tree.fields[at].mark.entered {
            return self.tree.fields[at].mark.entered.then_some(child);
        }
        if child == ROOT {
            let token = self.value(at);
            debug_assert!(!token.starts_with('{'), "what is looked into was taken apart");
            if token != "null" {
                self.warn(node, key, "not an object");
            }
            return None;
        }
        self.tree.fields[at].mark.entered = true;
        self.mark_doubled(child);
        Some(child)
    }

    /// As [`Self::enter`], for a field that may rightly be of another type.
    pub fn enter_quietly(&mut self, node: Node, key: &str) -> Option<Node> {
        if self.peek(node, key)?.starts_with('{') { self.enter(node, key) } else { None }
    }

    /// Whether anything was not taken.
    pub fn has_rest(&self) -> bool {
        self.keeps_any(ROOT)
    }

    fn keeps_any(&self, node: Node) -> bool {
        let fields = self.tree.range(node.0);
        (fields.is_empty() && node != ROOT) || fields.into_iter().any(|at| self.keeps(at))
    }

    /// Whether a field is among what was not taken. An object that was taken whole stays as an empty one
    /// where its key comes again, so that what was taken still has its place.
    fn keeps(&self, at: usize) -> bool {
        let mark = self.tree.fields[at].mark;
        !mark.taken && (mark.doubled || !mark.entered || self.keeps_any(Node(self.tree.fields[at].child())))
    }

    /// Appends what was not taken, as an object; nothing when all was.
    pub fn write_rest(&self, out: &mut Vec<u8>) {
        if self.has_rest() {
            self.write_node(ROOT, out);
        }
    }

    /// Fields that follow one another without blanks between are copied in one piece.
    fn write_node(&self, node: Node, out: &mut Vec<u8>) {
        out.push(b'{');
        let (start, mut piece): (_, Option<Span>) = (out.len(), None);
        for at in self.tree.range(node.0).filter(|at| self.keeps(*at)) {
            let field = &self.tree.fields[at];
            let compact = field.compact().filter(|_| !self.tree.fields[at].mark.entered);
            if let Some(joined) = piece.zip(compact).and_then(|(piece, next)| piece.joined(next)) {
                piece = Some(joined);
                continue;
            }
            self.write_piece(&mut piece, out);
            if out.len() > start {
                out.push(b',');
            }
            if compact.is_some() {
                piece = compact;
                continue;
            }
            out.extend_from_slice(self.tree.token(field.key).as_bytes());
            out.push(b':');
            if self.tree.fields[at].mark.entered {
                self.write_node(Node(field.child()), out);
            } else {
                out.extend_from_slice(self.tree.token(field.value).as_bytes());
            }
        }
        self.write_piece(&mut piece, out);
        out.push(b'}');
    }

    fn write_piece(&self, piece: &mut Option<Span>, out: &mut Vec<u8>) {
        if let Some(span) = piece.take() {
            out.extend_from_slice(self.tree.token(span).as_bytes());
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { [path, ".", key].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_written_without_the_blanks_between_tokens() {
        let text = r#"{ "a" : 1 , "b":2,"c": [1, 2] ,"d":3,"e":4, "f":{"x":1 ,"y":2,"z":{} },"g":"", "b":5}"#;
        let mut map = Map::read(text).unwrap();
        let inner = map.enter(ROOT, "f").unwrap();
        assert_eq!((map.take_count(inner, "x"), map.take_count(ROOT, "b")), (Some("1"), Some("2")));
        let mut out = Vec::new();
        map.write_rest(&mut out);
        let left = r#"{"a":1,"c":[1, 2],"d":3,"e":4,"f":{"y":2,"z":{}},"g":"","b":5}"#;
        assert_eq!(String::from_utf8(out).unwrap(), left);
        assert_eq!(
            map.warnings,
            [Warning { path: "b".to_owned(), problem: "the key is there more than once" }]
        );
    }

    #[test]
    fn a_warning_says_where() {
        let mut map = Map::read(r#"{"a":{"b":{"c":1}},"n":null}"#).unwrap();
        let node = map.enter(ROOT, "a").and_then(|node| map.enter(node, "b")).unwrap();
        assert_eq!(
            (map.take_text(node, "c"), map.enter(ROOT, "n"), map.enter(node, "c")),
            (None, None, None)
        );
        let said: Vec<_> = map.warnings.iter().map(|one| (one.path.as_str(), one.problem)).collect();
        assert_eq!(said, [("a.b.c", "not a string"), ("a.b.c", "not an object")]);
    }
}
