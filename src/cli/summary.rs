//! What lies in the output of a file sink: from when to when, records by type, tokens by model.
//!
//! Reads the delivered records as any consumer would, not the program's own counters.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use indicatif::HumanCount;
use serde::Deserialize;

use super::status::table;

/// The figures.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    first: Option<String>,
    last: Option<String>,
    by_type: BTreeMap<String, u64>,
    by_model: BTreeMap<String, Tokens>,
    /// Id of a prompt.
    pub prompt: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tokens {
    input: u64,
    cached_input: u64,
    output: u64,
}

/// The members of a native record that the summary looks at.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    category: Cow<'a, str>,
    #[serde(borrow, default)]
    model: Model<'a>,
    #[serde(default)]
    usage: Usage,
}

#[derive(Default, Deserialize)]
struct Model<'a> {
    #[serde(borrow, default)]
    request: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    response: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    input: u64,
    #[serde(default)]
    cached_input: u64,
    #[serde(default)]
    output: u64,
}

impl Summary {
    /// Of every native record in a folder of JSON lines.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let mut summary = Self::default();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "jsonl") {
                summary.add_all(BufReader::with_capacity(256 * 1024, File::open(path)?))?;
            }
        }
        Ok(summary)
    }

    fn add_all(&mut self, mut lines: impl BufRead) -> io::Result<()> {
        let mut text = String::new();
        while lines.read_line(&mut text)? > 0 {
            self.add(&serde_json::from_str(&text)?);
            text.clear();
        }
        Ok(())
    }

    fn add(&mut self, line: &Line<'_>) {
        if self.prompt.is_none() && line.category == "prompt" {
            self.prompt = Some(line.id.clone().into_owned());
        }
        if let Some(time) = &line.time {
            if self.first.as_deref().is_none_or(|first| &**time < first) {
                self.first = Some(time.to_string());
            }
            if self.last.as_deref().is_none_or(|last| &**time > last) {
                self.last = Some(time.to_string());
            }
        }
        *counted(&mut self.by_type, &line.event_type) += 1;
        // Usage rows, such as those of COSTS, count again what the responses counted.
        let counts = line.category != "usage" && line.usage.any();
        let model = line.model.response.as_ref().or(line.model.request.as_ref());
        if let Some(model) = model.filter(|_| counts) {
            let tokens = counted(&mut self.by_model, model);
            tokens.input += line.usage.input;
            tokens.cached_input += line.usage.cached_input;
            tokens.output += line.usage.output;
        }
    }
}

impl Usage {
    fn any(&self) -> bool {
        self.input + self.output > 0
    }
}

/// The entry of a name, which is copied only when it is new.
fn counted<'m, T: Default>(map: &'m mut BTreeMap<String, T>, name: &str) -> &'m mut T {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), T::default());
    }
    map.get_mut(name).expect("it was just made sure of")
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(first), Some(last)) = (&self.first, &self.last) {
            writeln!(f, "events      from {first} to {last}")?;
        }
        writeln!(f)?;
        let types =
            self.by_type.iter().map(|(name, count)| vec![name.clone(), HumanCount(*count).to_string()]);
        for line in table(&["event type", "records"], types) {
            writeln!(f, "  {line}")?;
        }
        writeln!(f)?;
        let models = self.by_model.iter().map(|(name, tokens)| {
            let counts = [tokens.input, tokens.cached_input, tokens.output];
            let counts = counts.map(|count| HumanCount(count).to_string());
            std::iter::once(name.clone()).chain(counts).collect()
        });
        for line in table(&["model", "input tokens", "of these cached", "output tokens"], models) {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_summed_up() {
        let lines = concat!(
            r#"{"id":"a","time":"2026-01-02T00:00:00Z","event_type":"CODEX_LOG","category":"response","model":{"response":"m"},"usage":{"input":5,"output":2}}"#,
            "\n",
            r#"{"id":"a","time":"2026-01-01T00:00:00Z","event_type":"AUTH_LOG","category":"auth"}"#,
            "\n",
        );
        let mut summary = Summary::default();
        summary.add_all(lines.as_bytes()).unwrap();
        assert_eq!(summary.first.as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(summary.last.as_deref(), Some("2026-01-02T00:00:00Z"));
        assert_eq!(summary.by_type["AUTH_LOG"], 1);
        assert_eq!(summary.by_model["m"], Tokens { input: 5, cached_input: 0, output: 2 });
    }
}
