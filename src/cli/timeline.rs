//! `timeline`: one session of an archive in the order of time, each record once.
//!
//! Holds what it shows of the session: of each text in a table at most [`SHOWN`] characters.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::args::TimelineOptions;
use super::search::Reader;
use super::{Exit, Outcome, Place, print, say, shown};
use crate::archive::find::{Moment, PlanFile, Query};
use crate::format::{Encode, Encoder, Options};
use crate::record::Record;

/// Characters of a text that are shown.
const SHOWN: usize = 2000;
/// Lines of it.
const LINES: usize = 30;

/// How a timeline is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TimelineOutput {
    /// For people.
    Table,
    /// Native records with all their fields, one a line.
    Jsonl,
}

/// What is kept of a record.
struct Entry {
    id: String,
    time: Option<String>,
    user: String,
    models: Vec<String>,
    tokens: Option<Tokens>,
    /// As it will be written.
    text: Vec<u8>,
}

/// Tokens of one response, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tokens {
    input: u64,
    cached: u64,
    output: u64,
    reasoning: u64,
    total: u64,
}

pub fn timeline(at: &Place, options: &TimelineOptions) -> Outcome {
    let query = Query {
        since: options.since.clone(),
        until: options.until.clone(),
        sessions: vec![options.session.clone()],
        ..Query::default()
    };
    let output = options.output;
    let reader = Reader::open(at, &options.from)?;
    let mut entries: Vec<Entry> = Vec::new();
    let (mut ids, mut repeats) = (BTreeSet::new(), 0);
    let broken = reader.each(
        query,
        move |_: &PlanFile, record| Entry::of(record, output),
        |_, entry: Entry| {
            if ids.insert(entry.id.clone()) { entries.push(entry) } else { repeats += 1 }
        },
    )?;
    // Of the same moment, the order of the log files; what has no time comes last.
    entries.sort_by_cached_key(|entry| (entry.time.is_none(), entry.time.as_deref().map(Moment::of)));
    let mut text = Vec::new();
    if output == TimelineOutput::Table && !entries.is_empty() {
        text.extend(head(&options.session, &entries, repeats).into_bytes());
    }
    for entry in &entries {
        text.extend_from_slice(&entry.text);
    }
    if output == TimelineOutput::Table && !entries.is_empty() {
        text.extend(foot(&entries).into_bytes());
    }
    print(&text)?;
    if entries.is_empty() {
        say(&format!("no record of {} was found", shown::line(&options.session, 100)));
    }
    Ok(if broken == 0 { Exit::Done } else { Exit::Attention })
}

fn head(session: &str, entries: &[Entry], repeats: u64) -> String {
    let users: BTreeSet<&str> =
        entries.iter().map(|entry| entry.user.as_str()).filter(|user| !user.is_empty()).collect();
    let users = users.into_iter().collect::<Vec<_>>().join(", ");
    let mut times = entries.iter().filter_map(|entry| entry.time.as_deref());
    let first = times.next().unwrap_or("an unknown time");
    let last = times.next_back().unwrap_or(first);
    let left_out = if repeats > 0 { format!(", {repeats} repeats left out") } else { String::new() };
    let session = shown::line(session, usize::MAX);
    format!(
        "session   {session}\nuser      {users}\nrecords   {} from {first} to {last}{left_out}\n\n",
        entries.len()
    )
}

fn foot(entries: &[Entry]) -> String {
    let mut sum = Tokens::default();
    let mut responses = 0;
    for tokens in entries.iter().filter_map(|entry| entry.tokens) {
        responses += 1;
        sum = sum.and(tokens);
    }
    let mut models: BTreeMap<&str, u64> = BTreeMap::new();
    for model in entries.iter().flat_map(|entry| &entry.models) {
        *models.entry(model).or_default() += 1;
    }
    let models: Vec<String> = models.iter().map(|(model, times)| format!("{model} ({times})")).collect();
    format!("tokens    {sum}, in {responses} records\nmodels    {}\n", models.join(", "))
}

impl Entry {
    fn of(record: &Record<'_>, output: TimelineOutput) -> Self {
        let model = &record.model;
        let models = [model.request, model.response].into_iter().flatten();
        let mut text = Vec::new();
        match output {
            TimelineOutput::Jsonl => {
                Encoder::new(Options::default(), None).encode(record, &mut text);
                text.push(b'\n');
            }
            TimelineOutput::Table => text = block(record).into_bytes(),
        }
        Self {
            id: record.id.clone(),
            time: record.time.clone(),
            user: shown::line(&shown::user(record), usize::MAX),
            models: models.map(|model| shown::line(&shown::value(Some(model)), usize::MAX)).collect(),
            tokens: Tokens::of(record),
            text,
        }
    }
}

/// One record for people: a line about it, and its texts below.
fn block(record: &Record<'_>) -> String {
    let call = &record.tool_call;
    let plain = |text: Cow<'_, str>| shown::line(&text, usize::MAX);
    let mut about = vec![
        record.time.clone().unwrap_or_else(|| "no time".to_owned()),
        record.category.to_owned(),
        plain(shown::value(record.action)),
    ];
    about.extend(call.name.map(|name| plain(shown::value(Some(name)))));
    let model = record.model.response.or(record.model.request);
    about.extend(model.map(|model| plain(shown::value(Some(model)))));
    about.extend(outcome(record));
    about.extend(Tokens::of(record).map(|tokens| tokens.to_string()));
    about.push(record.id.clone());
    let mut text = about.join("  ");
    text.push('\n');
    let error = record.outcome.message;
    let texts = [record.prompt_text, record.response_text, call.arguments, call.result, error];
    for token in texts.into_iter().flatten() {
        indented(&shown::value(Some(token)), &mut text);
    }
    text.push('\n');
    text
}

fn outcome(record: &Record<'_>) -> Option<String> {
    let outcome = &record.outcome;
    let result = outcome.result?;
    let said = shown::value(outcome.upstream.or(outcome.code));
    let said = shown::line(&said, 80);
    Some(if said.is_empty() || said == result { result.to_owned() } else { format!("{result} ({said})") })
}

/// Appends a text below its record, and says when that is not all of it.
fn indented(whole: &str, out: &mut String) {
    let end = whole.char_indices().nth(SHOWN).map_or(whole.len(), |(at, _)| at);
    let mut left = end < whole.len();
    for (number, line) in shown::lines(&whole[..end]).enumerate() {
        left |= number == LINES;
        if number == LINES {
            break;
        }
        out.extend(["    ", &line, "\n"]);
    }
    if left {
        let count = whole.chars().count().to_string();
        out.extend(["    … ", &count, " characters in all; --output jsonl has them\n"]);
    }
}

impl Tokens {
    /// Those of a record; what sums up others, as usage records do, would count twice.
    fn of(record: &Record<'_>) -> Option<Self> {
        let usage = &record.usage;
        let number = |token: Option<&str>| token.and_then(|token| token.parse::<u64>().ok());
        let (input, output) = (number(usage.input), number(usage.output));
        if record.category == "usage" || (input.is_none() && output.is_none()) {
            return None;
        }
        Some(Self {
            input: input.unwrap_or_default(),
            cached: number(usage.cached_input).unwrap_or_default(),
            output: output.unwrap_or_default(),
            reasoning: number(usage.reasoning).unwrap_or_default(),
            total: number(usage.total).or(usage.total_derived).unwrap_or_default(),
        })
    }

    fn and(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            total: self.total.saturating_add(other.total),
        }
    }
}

impl std::fmt::Display for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { input, cached, output, reasoning, total } = self;
        write!(f, "{input} in ({cached} cached), {output} out ({reasoning} reasoning), {total} tokens")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Origin, RawRecord};
    use crate::words::{Principal, PrincipalKind};

    #[test]
    fn a_response_shows_what_it_cost_and_how_it_ended() {
        let origin = Origin {
            principal: Principal { kind: PrincipalKind::Workspace, id: "w".into() },
            event_type: "CODEX_LOG".into(),
            file_id: "f".into(),
            file_sha256: [0; 32],
            observed: jiff::Timestamp::UNIX_EPOCH,
            own_key: None,
        };
        let line = format!(
            r#"{{"timestamp":"2026-07-15T10:00:00Z","event_type":"PROMPT_RESPONSE_RECEIVED","event_details":{{"model":"m","status":"failed","error_message":"no\u001b","response_text":"{}","token_usage":{{"input_tokens":5,"cached_input_tokens":4,"output_tokens":3,"reasoning_output_tokens":2}}}}}}"#,
            "a\\n".repeat(40)
        );
        let record = Record::parse(&origin, RawRecord::alone(line.as_bytes(), [0; 32]));
        let entry = Entry::of(&record, TimelineOutput::Table);
        let text = String::from_utf8(entry.text.clone()).unwrap();
        let first = text.lines().next().unwrap();
        let said = "  response  PROMPT_RESPONSE_RECEIVED  m  failure (failed)  5 in (4 cached), 3 out (2 reasoning), 8 tokens  ";
        assert!(first.starts_with("2026-07-15T10:00:00Z") && first.contains(said), "{first}");
        assert_eq!(text.matches("    a\n").count(), LINES);
        assert!(text.contains("… 80 characters in all") && text.contains("    no\u{fffd}\n"), "{text}");
        let twice = foot(&[entry, Entry::of(&record, TimelineOutput::Table)]);
        assert_eq!(
            twice,
            "tokens    10 in (8 cached), 6 out (4 reasoning), 16 tokens, in 2 records\nmodels    m (2)\n"
        );
    }
}
