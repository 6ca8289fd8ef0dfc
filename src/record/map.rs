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

#[derive(Debug)]
struct Field<'a> {
    name: Cow<'a, str>,
    member: Member<'a>,
    taken: bool,
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
        let fields: Vec<Field<'a>> = members
            .into_iter()
            .map(|member| Field {
                name: json::text(member.0).unwrap_or(Cow::Borrowed(member.0)),
                member,
                taken: false,
                child: None,
            })
            .collect();
        for (position, field) in fields.iter().enumerate() {
            if fields[..position].iter().any(|earlier| earlier.name == field.name) {
                let path = join(&path, &field.name);
                self.warnings.push(Warning { path, problem: "the key is there twice" });
            }
        }
        self.nodes.push((path, fields));
        Node(self.nodes.len() - 1)
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

    /// Appends what was not taken, as an object; nothing when all was.
    pub fn write_rest(&self, out: &mut Vec<u8>) -> bool {
        self.write_node(ROOT, out)
    }

    fn write_node(&self, node: Node, out: &mut Vec<u8>) -> bool {
        let fields = &self.nodes[node.0].1;
        let before = out.len();
        out.push(b'{');
        let mut any = fields.is_empty() && node != ROOT;
        for field in fields.iter().filter(|field| !field.taken) {
            let start = out.len();
            if start > before + 1 {
                out.push(b',');
            }
            out.extend_from_slice(field.member.0.as_bytes());
            out.push(b':');
            let written = if let Some(child) = field.child {
                self.write_node(child, out)
            } else {
                out.extend_from_slice(field.member.1.as_bytes());
                true
            };
            any |= written;
            if !written {
                out.truncate(start);
            }
        }
        out.push(b'}');
        if !any {
            out.truncate(before);
        }
        any
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
