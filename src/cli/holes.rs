//! `holes`: log files that could not be had; list them, or act on one.

use super::args::HolesOptions;
use super::status::{table, viewer};
use super::{Exit, Failure, Outcome, Place, print, runtime, say};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Secrets};
use crate::daemon::control::{self, Answer, Request};
use crate::daemon::{StartError, folder};
use crate::disk::RealDisk;
use crate::ledger::{HoleRow, Ledger};
use crate::words::printable;

pub fn holes(at: &Place, options: &HolesOptions) -> Outcome {
    let config = at.load(Secrets::Unread)?;
    let viewer = viewer(&config.data_dir)?;
    let request = match (options.retry, options.acknowledge) {
        (Some(id), _) => Request::RetryHole(id),
        (None, Some(id)) => Request::AcknowledgeHole(id),
        (None, None) => return list(&viewer.holes()?),
    };
    drop(viewer);
    match change(&config, &request)? {
        Answer::Done => {
            say(if options.retry.is_some() {
                "the log file is pending again"
            } else {
                "the hole is acknowledged"
            });
            Ok(Exit::Done)
        }
        Answer::Unknown => {
            Err(Failure::Usage("there is no hole with this number: see `custodex holes`".to_owned()))
        }
        Answer::Failed(problem) => Err(anyhow::anyhow!("the daemon answered: {problem}").into()),
    }
}

/// Through the daemon where one runs, else directly, holding the data folder meanwhile.
pub fn change(config: &Config, request: &Request) -> Result<Answer, Failure> {
    if let Some(answer) = control::ask(&folder::socket(&config.data_dir), request)? {
        return Ok(answer);
    }
    let folder = folder::Folder::hold(&RealDisk, &config.data_dir).map_err(StartError::from)?;
    let (ledger, thread) = Ledger::open(&folder.ledger())?;
    let answer = runtime()?.block_on(control::act_here(&ledger, request.clone(), SystemClock.now()));
    drop(ledger);
    thread.join();
    Ok(answer?)
}

fn list(holes: &[HoleRow]) -> Outcome {
    if holes.is_empty() {
        say("no holes: every log file that was ever listed is collected or pending");
        return Ok(Exit::Done);
    }
    let rows = holes.iter().map(|hole| {
        vec![
            hole.id.to_string(),
            format!("{}/{}", hole.principal, hole.event_type),
            printable(&hole.file_id),
            printable(&hole.end_time),
            if hole.acknowledged { "yes" } else { "no" }.to_owned(),
            hole.reason.clone(),
        ]
    });
    let lines = table(&["id", "stream", "log file", "end time", "acknowledged", "reason"], rows);
    print(format!("{}\n", lines.join("\n")).as_bytes())
}
