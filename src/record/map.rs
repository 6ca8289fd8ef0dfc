//! A record's object while its fields are being taken.
//!
//! Owns the tree of objects that are looked into and what was taken from them. What is never taken
//! stays, in upstream's order and with upstream's own tokens: that is `unmapped`.

use std::borrow::Cow;

use super::json::{self, Member};

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

/// Objects with so few fields are compared pair by pair.
const COMPARED_FIELDS: usize = 24;
/// Of the keys that an object has more than once, so many are named.
const DOUBLED_SAID: usize = 8;

#[derive(Debug)]
struct Field<'a> {
    name: Cow<'a, str>,
    member: Member<'a>,
    taken: bool,
    /// Another field of the object has the same name.
    doubled: bool,
    child: Option<Node>,
}

/// The tree.
#[derive(Debug)]
pub struct Map<'a> {
    nodes: Vec<(Cow<'static, str>, Vec<Field<'a>>)>,
    /// What was odd so far.
    pub warnings: Vec<Warning>,
}

impl<'a> Map<'a> {
    /// Looks into the outermost object.
    pub fn new(members: Vec<Member<'a>>) -> Self {
        let mut map = Self { nodes: Vec::with_capacity(6), warnings: Vec::new() };
        map.add(Cow::Borrowed(""), members);
        map
    }

    fn add(&mut self, path: Cow<'static, str>, members: Vec<Member<'a>>) -> Node {
        let mut fields: Vec<Field<'a>> = members
            .into_iter()
            .map(|member| Field {
                name: json::text(member.0).unwrap_or(Cow::Borrowed(member.0)),
                member,
                taken: false,
                doubled: false,
                child: None,
            })
            .collect();
        self.mark_doubled(&path, &mut fields);
        self.nodes.push((path, fields));
        Node(self.nodes.len() - 1)
    }

    /// Marks fields of the same name, and says so once a name. Sorting keeps a huge object from costing
    /// the square of its size.
    fn mark_doubled(&mut self, path: &str, fields: &mut [Field<'a>]) {
        let few = fields.len() <= COMPARED_FIELDS;
        if few && (1..fields.len()).all(|at| fields[..at].iter().all(|other| other.name != fields[at].name)) {
            return;
        }
        let mut order: Vec<usize> = (0..fields.len()).collect();
        order.sort_by(|&left, &right| fields[left].name.cmp(&fields[right].name));
        let (mut doubled, mut seconds) = (Vec::new(), Vec::new());
        for same in order.chunk_by(|&left, &right| fields[left].name == fields[right].name) {
            if let [_, second, ..] = *same {
                doubled.extend_from_slice(same);
                seconds.push(second);
            }
        }
        for at in doubled {
            fields[at].doubled = true;
        }
        seconds.sort_unstable();
        for at in seconds.into_iter().take(DOUBLED_SAID) {
            let name = &fields[at].name;
            let plain = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let path = join(path, if plain { name } else { "*" });
            self.warnings.push(Warning { path, problem: "the key is there more than once" });
        }
    }

    /// Notes something odd about a field.
    pub fn warn(&mut self, node: Node, key: &str, problem: &'static str) {
        let path = join(&self.nodes[node.0].0, key);
        self.warnings.push(Warning { path, problem });
    }

    fn find(&self, node: Node, key: &str) -> Option<usize> {
        self.nodes[node.0].1.iter().position(|field| field.name == key)
    }

    /// The value of a key, verbatim, without taking it.
    pub fn peek(&self, node: Node, key: &str) -> Option<&'a str> {
        self.find(node, key).map(|at| self.nodes[node.0].1[at].member.1)
    }

    /// The text of a key, without taking it; none when it is no text or empty.
    pub fn peek_text(&self, node: Node, key: &str) -> Option<&'a str> {
        self.peek(node, key).filter(|token| json::is_text(token))
    }

    /// The first key that satisfies `test` and has a text.
    pub fn first_text(&self, node: Node, test: impl Fn(&str) -> bool) -> Option<&'a str> {
        let mut fields = self.nodes[node.0].1.iter();
        fields.find(|field| test(&field.name) && json::is_text(field.member.1)).map(|field| field.member.1)
    }

    /// Takes a text: a string that is not empty. Another type stays, with a warning.
    pub fn take_text(&mut self, node: Node, key: &str) -> Option<&'a str> {
        self.take_if(node, key, json::is_text, "not a string")
    }

    /// Takes a whole number, zero or more.
    pub fn take_count(&mut self, node: Node, key: &str) -> Option<&'a str> {
        self.take_if(node, key, json::is_count, "not a whole number of zero or more")
    }

    /// Takes a value of any type but null and the empty string.
    pub fn take_any(&mut self, node: Node, key: &str) -> Option<&'a str> {
        self.take_if(node, key, |_| true, "")
    }

    fn take_if(
        &mut self,
        node: Node,
        key: &str,
        fits: impl Fn(&str) -> bool,
        problem: &'static str,
    ) -> Option<&'a str> {
        let at = self.find(node, key)?;
        let field = &mut self.nodes[node.0].1[at];
        let token = field.member.1;
        if field.taken || token == "null" || token == "\"\"" {
            return None;
        }
        if !fits(token) {
            self.warn(node, key, problem);
            return None;
        }
        field.taken = true;
        Some(token)
    }

    /// Takes a key whatever it holds.
    pub fn take(&mut self, node: Node, key: &str) {
        if let Some(at) = self.find(node, key) {
            self.nodes[node.0].1[at].taken = true;
        }
    }

    /// Looks into an object inside; null is absent, another type stays, with a warning.
    pub fn enter(&mut self, node: Node, key: &str) -> Option<Node> {
        let at = self.find(node, key)?;
        let field = &self.nodes[node.0].1[at];
        if field.taken || field.child.is_some() {
            return field.child;
        }
        let token = field.member.1;
        if token == "null" {
            return None;
        }
        let Some(members) = token.starts_with('{').then(|| json::members(token)).flatten() else {
            self.warn(node, key, "not an object");
            return None;
        };
        let path = Cow::Owned(join(&self.nodes[node.0].0, key));
        let child = self.add(path, members);
        self.nodes[node.0].1[at].child = Some(child);
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
        let fields = &self.nodes[node.0].1;
        (fields.is_empty() && node != ROOT) || fields.iter().any(|field| self.keeps(field))
    }

    /// Whether a field is among what was not taken. An object that was taken whole stays as an empty one
    /// where its key comes again, so that what was taken still has its place.
    fn keeps(&self, field: &Field<'a>) -> bool {
        !field.taken && (field.doubled || field.child.is_none_or(|child| self.keeps_any(child)))
    }

    /// Appends what was not taken, as an object; nothing when all was.
    pub fn write_rest(&self, out: &mut Vec<u8>) {
        if self.has_rest() {
            self.write_node(ROOT, out);
        }
    }

    fn write_node(&self, node: Node, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut first = true;
        for field in self.nodes[node.0].1.iter().filter(|field| self.keeps(field)) {
            if !first {
                out.push(b',');
            }
            first = false;
            out.extend_from_slice(field.member.0.as_bytes());
            out.push(b':');
            match field.child {
                Some(child) => self.write_node(child, out),
                None => out.extend_from_slice(field.member.1.as_bytes()),
            }
        }
        out.push(b'}');
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
