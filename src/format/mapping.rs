//! What a format calls the fields of the native record, for people and for tests.

/// One field of a record, by both names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its path in the native record; empty for what is built.
    pub native: &'static str,
    /// What the format calls it.
    pub target: &'static str,
    /// What it means, or how it differs.
    pub note: &'static str,
}
