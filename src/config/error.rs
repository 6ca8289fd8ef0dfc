//! What is wrong with a configuration, as text for people.
//!
//! Owns the layout of the report. Every excerpt is of the masked text.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

use super::mask::masked;

/// One thing that is wrong.
#[derive(Debug)]
pub(super) struct Problem {
    /// Where, if at a place in the text.
    pub(super) span: Option<Range<usize>>,
    /// What.
    pub(super) what: String,
    /// The next step.
    pub(super) hint: String,
}

impl Problem {
    pub(super) fn new(span: Option<Range<usize>>, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { span, what: what.into(), hint: hint.into() }
    }
}

/// Why a configuration cannot be used: the whole report, next steps included.
pub struct ConfigError {
    text: String,
    /// The next step for the first fault.
    pub hint: String,
}

impl ConfigError {
    pub(super) fn new(text: &str, path: &Path, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |span| span.start));
        let (source, path) = (masked(text), path.display().to_string());
        let reports: Vec<String> = problems.iter().map(|problem| render(problem, &source, &path)).collect();
        let hint = problems.into_iter().next().map(|first| first.hint).unwrap_or_default();
        Self { text: reports.join("\n\n"), hint }
    }
}

fn render(problem: &Problem, source: &str, path: &str) -> String {
    let title = Level::ERROR.primary_title(problem.what.as_str());
    let hint = Level::HELP.message(problem.hint.as_str());
    let group = match &problem.span {
        Some(span) => {
            let place = AnnotationKind::Primary.span(within(source, span));
            title.element(Snippet::source(source).path(path).annotation(place))
        }
        None => title.element(Origin::path(path)),
    };
    Renderer::plain().render(&[group.element(hint)])
}

/// The part of a place that one line shows, on whole characters.
fn within(source: &str, span: &Range<usize>) -> Range<usize> {
    let start = source.floor_char_boundary(span.start);
    let line = source[start..].find('\n').map_or(source.len(), |length| start + length);
    start..source.floor_char_boundary(span.end).clamp(start, line.max(start))
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ConfigError {}
