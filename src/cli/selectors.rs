//! The options that say which records of an archive are meant, the same for every command that asks for some.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::Failure;
use crate::archive::find::{Moment, Query};
use crate::format::CATEGORIES;

/// Which records. Each option narrows further; one that is given several times takes any of its values.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which records")]
pub struct Selectors {
    /// Records of this moment or later, by their own time: RFC 3339, or a date in UTC.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Moment>,
    /// Records before this moment; a date is its midnight.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Moment>,
    /// Of streams of this event type, such as `CODEX_LOG`.
    #[arg(long, value_name = "TYPE", value_parser = NonEmptyStringValueParser::new())]
    pub event_type: Vec<String>,
    /// With this action, such as `PROMPT_SENT`.
    #[arg(long, value_name = "ACTION", value_parser = NonEmptyStringValueParser::new())]
    pub action: Vec<String>,
    /// Of this category, such as prompt or tool.
    #[arg(long, value_name = "CATEGORY", value_parser = category)]
    pub category: Vec<String>,
    /// Of the actor with this id, with or without the workspace behind it, or this mail address in any case.
    #[arg(long, value_name = "USER", value_parser = NonEmptyStringValueParser::new())]
    pub user: Vec<String>,
    /// With this id of a session, thread, conversation, turn, call, message, run or environment.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub session: Vec<String>,
    /// With this text in any string, key or number, escapes read, in this very case.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub contains: Option<String>,
}

impl Selectors {
    /// What they ask for.
    pub fn query(&self) -> Result<Query, Failure> {
        if let (Some(since), Some(until)) = (&self.since, &self.until)
            && since >= until
        {
            let what = "--until is not after --since: it is the first moment that is left out";
            return Err(Failure::Usage(what.to_owned()));
        }
        Ok(Query {
            since: self.since.clone(),
            until: self.until.clone(),
            event_types: self.event_type.clone(),
            actions: self.action.clone(),
            categories: self.category.clone(),
            users: self.user.clone(),
            sessions: self.session.clone(),
            contains: self.contains.clone(),
            ..Query::default()
        })
    }
}

pub(super) fn moment(text: &str) -> Result<Moment, String> {
    let wrong = "not a time: write 2026-07-15T10:48:58Z, with any offset, or a date such as 2026-07-15";
    Moment::parse(text).ok_or_else(|| wrong.to_owned())
}

fn category(name: &str) -> Result<String, String> {
    let known = CATEGORIES.contains(&name);
    known
        .then(|| name.to_owned())
        .ok_or_else(|| format!("not a category; known are {}", CATEGORIES.join(", ")))
}
