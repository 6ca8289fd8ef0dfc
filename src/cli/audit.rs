//! What a command did, noted in the audit trail of this custodex.
//!
//! Through the daemon where one runs, else straight into the ledger. Never makes a data folder, and never fails a
//! command: what it did is done, and a warning says that the trail does not know.

use super::holes::change;
use super::say;
use crate::config::Config;
use crate::daemon::control::{Answer, Request};
use crate::daemon::folder;
use crate::ledger::Event;

/// Notes an event of the user who runs this command.
pub fn note(config: &Config, event: Event) {
    if let Err(problem) = try_note(config, event) {
        say(&format!("warning: the audit trail does not know of this: {problem}"));
    }
}

fn try_note(config: &Config, event: Event) -> Result<(), String> {
    if !folder::ledger(&config.data_dir).try_exists().unwrap_or(true) {
        return Err(format!("there is no ledger in {}", config.data_dir.display()));
    }
    match change(config, &Request::Note(event)) {
        Ok(Answer::Done) => Ok(()),
        Ok(Answer::Failed(problem)) => Err(problem),
        Ok(Answer::Unknown) => Err("the daemon does not know it".to_owned()),
        Err(failure) => Err(failure.to_string()),
    }
}
