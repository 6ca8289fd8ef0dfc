//! `dead-letters`: records a sink can never take; list them, or try them again.

use super::args::LettersOptions;
use super::holes::change;
use super::status::{table, viewer};
use super::{Exit, Failure, Outcome, Place, print, say};
use crate::config::Secrets;
use crate::daemon::control::{Answer, Request};

pub fn letters(at: &Place, options: LettersOptions) -> Outcome {
    let config = at.load(Secrets::Unread)?;
    let viewer = viewer(&config.data_dir)?;
    if let Some(name) = &options.sink
        && !config.sinks.iter().any(|sink| sink.name == *name)
    {
        return Err(Failure::Usage(format!("there is no sink {name} in the configuration")));
    }
    if !options.retry {
        let letters = viewer.letters(options.sink.as_deref())?;
        if letters.is_empty() {
            say("no dead letters: no record was refused for good");
            return Ok(Exit::Done);
        }
        let rows = letters.into_iter().map(|letter| {
            let state = if letter.retry { "to be tried again" } else { "kept" };
            let stream = format!("{}/{}", letter.principal, letter.event_type);
            vec![letter.sink, letter.record_id, stream, letter.at, state.to_owned(), letter.reason]
        });
        let lines = table(&["sink", "record", "stream", "since", "state", "reason"], rows);
        return print(format!("{}\n", lines.join("\n")).as_bytes());
    }
    drop(viewer);
    match change(&config, &Request::RetryLetters(options.sink))? {
        Answer::Done => say("they are tried again when the sink has taken what waits"),
        Answer::Unknown => say("there are no dead letters to try again"),
        Answer::Failed(problem) => return Err(anyhow::anyhow!("the daemon answered: {problem}").into()),
    }
    Ok(Exit::Done)
}
