//! The words every layer shares: who the log files belong to, and what our own are called.
//!
//! Owns [`Principal`]. Knows nothing of any other module.

use std::fmt;

/// What kind of account a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalKind {
    /// A `ChatGPT` workspace, named by a UUID.
    Workspace,
    /// An API organization, named `org-…`.
    Organization,
    /// A custodex, named by `instance`: whose audit trail it is. Nothing upstream.
    Instance,
}

impl PrincipalKind {
    /// The word used in records, the ledger and `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Organization => "organization",
            Self::Instance => "instance",
        }
    }

    /// The value upstream writes into `principal.type`.
    pub fn upstream(self) -> &'static str {
        match self {
            Self::Workspace => "CHATGPT_WORKSPACE",
            Self::Organization => "API_PLATFORM_ORG",
            Self::Instance => "CUSTODEX_INSTANCE",
        }
    }

    /// Reads back what [`Self::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Workspace, Self::Organization, Self::Instance].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Event type of custodex's own audit trail.
pub const OWN_EVENT_TYPE: &str = "CUSTODEX_LOG";

/// The account whose log files are collected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal {
    /// Workspace or organization.
    pub kind: PrincipalKind,
    /// The UUID or `org-…` name, as configured.
    pub id: String,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

/// Upstream's name of something, fit for a line of a log or a terminal: no control characters, not too long.
pub fn printable(name: &str) -> String {
    const MOST: usize = 200;
    let mut text: String = name.chars().take(MOST).flat_map(char::escape_debug).collect();
    if name.chars().nth(MOST).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_forge_lines() {
        assert_eq!(printable("eclf_1-ü"), "eclf_1-ü");
        assert_eq!(printable("x\n\u{1b}[31m"), "x\\n\\u{1b}[31m");
        assert_eq!(printable(&"a".repeat(300)).chars().count(), 201);
    }
}
