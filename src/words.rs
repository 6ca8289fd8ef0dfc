//! The words every layer shares: who the log files belong to.
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
}

impl PrincipalKind {
    /// The word used in records, the ledger and `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Organization => "organization",
        }
    }

    /// The value upstream writes into `principal.type`.
    pub fn upstream(self) -> &'static str {
        match self {
            Self::Workspace => "CHATGPT_WORKSPACE",
            Self::Organization => "API_PLATFORM_ORG",
        }
    }

    /// Reads back what [`Self::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Workspace, Self::Organization].into_iter().find(|kind| kind.as_str() == text)
    }
}

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
