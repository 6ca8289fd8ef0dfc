//! Records as rows: a table for people, JSON lines and CSV for programs.

use std::borrow::Cow;

use crate::cli::shown;
use crate::format::{Encode, Encoder, Options};
use crate::record::Record;

/// Characters of a text in the table.
const EXCERPT: usize = 100;
/// Characters of it before what was looked for.
const BEFORE: usize = 30;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people: one line each, with the beginning of its text.
    Table,
    /// Native records with all their fields, one a line.
    Jsonl,
    /// For spreadsheets: RFC 4180, with what would be a formula made a text by a leading '.
    Csv,
}

/// Columns of CSV; never changed, only added to.
const COLUMNS: [&str; 15] = [
    "time",
    "event_type",
    "action",
    "category",
    "user_id",
    "user_email",
    "session",
    "outcome",
    "model",
    "tool",
    "id",
    "log_file_id",
    "line_number",
    "byte_offset",
    "text",
];

/// Writes rows.
pub struct Rows {
    output: Output,
    encoder: Encoder,
    contains: Option<String>,
}

impl Rows {
    /// In this form; of a text that holds `contains`, the table shows that part.
    pub fn new(output: Output, contains: Option<String>) -> Self {
        Self { output, encoder: Encoder::new(Options::default(), None), contains }
    }

    /// What comes before the first row.
    pub fn head(&self) -> Vec<u8> {
        match self.output {
            Output::Table => {
                table(&["TIME", "EVENT TYPE", "ACTION", "USER", "SESSION", "ID", "TEXT"].map(Cow::Borrowed))
            }
            Output::Csv => csv(&COLUMNS.map(Cow::Borrowed)),
            Output::Jsonl => Vec::new(),
        }
    }

    /// A row with its line end.
    pub fn row(&self, record: &Record<'_>) -> Vec<u8> {
        match self.output {
            Output::Table => self.shown(record),
            Output::Csv => csv(&cells(record)),
            Output::Jsonl => {
                let mut out = Vec::new();
                self.encoder.encode(record, &mut out);
                out.push(b'\n');
                out
            }
        }
    }

    fn shown(&self, record: &Record<'_>) -> Vec<u8> {
        let text = shown::text(record);
        let found = self.contains.as_deref().and_then(|needle| text.find(needle)).unwrap_or_default();
        let start = text[..found].char_indices().rev().nth(BEFORE).map_or(0, |(at, _)| at);
        let more = if start > 0 { "…" } else { "" };
        let cell = |text: Cow<'_, str>| Cow::Owned(shown::line(&text, usize::MAX));
        table(&[
            record.time.as_deref().unwrap_or("-").into(),
            cell(record.origin.event_type.as_str().into()),
            cell(shown::value(record.action)),
            cell(shown::user(record)),
            cell(shown::session(record)),
            record.id.as_str().into(),
            format!("{more}{}", shown::line(&text[start..], EXCERPT)).into(),
        ])
    }
}

/// Columns as wide as what is usual in them: nobody knows the widest before the end.
fn table(cells: &[Cow<'_, str>; 7]) -> Vec<u8> {
    let widths = [27, 18, 24, 24, 36, 32, 0];
    let padded = cells.iter().zip(widths).map(|(cell, width)| {
        let cell = if cell.is_empty() { "-" } else { cell };
        format!("{cell:width$}")
    });
    let mut line = padded.collect::<Vec<_>>().join("  ");
    line.truncate(line.trim_end().len());
    line.push('\n');
    line.into_bytes()
}

fn cells<'a>(record: &'a Record<'_>) -> [Cow<'a, str>; 15] {
    let (model, tool) = (&record.model, &record.tool_call);
    [
        record.time.as_deref().unwrap_or_default().into(),
        record.origin.event_type.as_str().into(),
        shown::value(record.action),
        record.category.into(),
        shown::value(record.actor.id),
        shown::value(record.actor.email),
        shown::session(record),
        record.outcome.result.unwrap_or_default().into(),
        shown::value(model.response.or(model.request)),
        shown::value(tool.name),
        record.id.as_str().into(),
        record.origin.file_id.as_str().into(),
        record.raw.line.to_string().into(),
        record.raw.offset.to_string().into(),
        shown::text(record),
    ]
}

/// A line of CSV.
fn csv(cells: &[Cow<'_, str>]) -> Vec<u8> {
    let mut line = String::new();
    for (position, cell) in cells.iter().enumerate() {
        if position > 0 {
            line.push(',');
        }
        // What a spreadsheet would take for a formula is data here.
        let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
        let start = if formula { "'" } else { "" };
        if cell.contains([',', '"', '\n', '\r']) {
            line.extend(["\"", start, &cell.replace('"', "\"\""), "\""]);
        } else {
            line.extend([start, cell.as_ref()]);
        }
    }
    line.push_str("\r\n");
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Origin, RawRecord};
    use crate::words::{Principal, PrincipalKind};

    fn row(output: Output, contains: Option<&str>, line: &str) -> String {
        let origin = Origin {
            principal: Principal { kind: PrincipalKind::Workspace, id: "w".into() },
            event_type: "CODEX_LOG".into(),
            file_id: "=f".into(),
            file_sha256: [0; 32],
            observed: jiff::Timestamp::UNIX_EPOCH,
            own_key: None,
        };
        let rows = Rows::new(output, contains.map(str::to_owned));
        let record = Record::parse(&origin, RawRecord::alone(line.as_bytes(), [0; 32]));
        String::from_utf8(rows.row(&record)).unwrap()
    }

    #[test]
    fn a_row_is_one_line_that_drives_nothing() {
        let text = format!("{}needle\\n\\u001b[2J{}", "x".repeat(200), "y".repeat(200));
        let line = format!(
            r#"{{"timestamp":"2026-07-15T10:00:00Z","event_type":"PROMPT_SENT","actor":{{"user_email":"a\u001bb"}},"event_details":{{"prompt_text":"{text}"}}}}"#
        );
        let shown = row(Output::Table, Some("needle"), &line);
        assert!(shown.contains("…xxx") && shown.contains("needle \u{fffd}[2Jyy"), "{shown}");
        assert_eq!(shown.chars().filter(|c| c.is_control()).collect::<String>(), "\n");
        assert!(shown.chars().count() < 330, "{shown}");
        let shown = row(Output::Table, None, "no json");
        assert!(shown.starts_with("-  ") && shown.ends_with("-\n"), "{shown}");
    }

    #[test]
    fn no_cell_is_a_formula_or_breaks_its_row() {
        let line = r#"{"event_type":"-X","event_details":{"prompt_text":"=1,\"2\"\n3","session_id":"@s"}}"#;
        let shown = row(Output::Csv, None, line);
        let (before, text) = shown.split_once("0,\"").unwrap();
        assert_eq!(text, "'=1,\"\"2\"\"\n3\"\r\n");
        assert!(before.starts_with(",CODEX_LOG,'-X,") && before.contains(",'@s,"), "{shown}");
        assert!(before.contains(",'=f,1,"), "{shown}");
        assert_eq!(before.matches(',').count(), 13);
    }

    #[test]
    fn json_lines_are_native_records() {
        let shown = row(Output::Jsonl, None, r#"{"event_id":"e"}"#);
        let value: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!((&value["schema"], &value["provenance"]["line_number"]), (&"1".into(), &1.into()));
    }
}
