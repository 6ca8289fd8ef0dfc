//! Finds records in an archive, with nothing but the archive.
//!
//! [`plan`] reads the manifests and says which objects may hold what a [`Query`] asks for, in a fixed order;
//! [`read`] reads one of these objects, and [`Finding`] all of them in that order. Both give what matches, each
//! with its place, its bytes and its fields. [`sealing`] says what seals a file.
//!
//! Objects are picked by the times of their records, never by the day in their name: a late record lies in a later
//! log file. What no manifest names yet is read too. Finding is not verifying: no signature is looked at here.
//! Memory is the plan, one manifest, and a few bounded windows.

mod needle;
mod plan;
mod query;
mod read;
mod run;
mod sealing;
mod text;

#[cfg(test)]
mod tests;

pub use plan::{Plan, PlanFile, plan};
pub use query::{Matcher, Moment, Query};
pub use read::{Tally, read, read_content};
pub use run::{Finding, Piece};
pub use sealing::{Sealing, sealing};
