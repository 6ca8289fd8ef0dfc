//! Formats: a record's bytes for a sink. Pure: the same record always gives the same bytes.

mod cef;
mod ecs;
mod fields;
mod flat;
mod leef;
mod mapping;
mod native;
mod object;
mod ocsf;
mod raw;
mod redact;
mod select;
mod trim;
mod verbs;

#[cfg(test)]
mod tests;

use std::str::FromStr;

use serde::Deserialize;

use crate::record::Record;

pub use mapping::Row;
pub use ocsf::Version as OcsfVersion;
pub use redact::Redaction;
pub use select::{CATEGORIES, Select};

/// How records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The bytes as they came.
    Raw,
    /// One JSON object of our own.
    #[default]
    Native,
    /// Elastic Common Schema.
    Ecs,
    /// Open Cybersecurity Schema Framework.
    Ocsf,
    /// One line of the Common Event Format.
    Cef,
    /// One line of the Log Event Extended Format.
    Leef,
}

impl Format {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 6] = [
        ("raw", Self::Raw),
        ("native", Self::Native),
        ("ecs", Self::Ecs),
        ("ocsf", Self::Ocsf),
        ("cef", Self::Cef),
        ("leef", Self::Leef),
    ];

    /// What it calls the fields of the native record.
    pub fn fields(self) -> Vec<Row> {
        fields::rows(self)
    }

    /// Whether it has pairs of short values, with no place for the whole record.
    pub fn is_flat(self) -> bool {
        matches!(self, Self::Cef | Self::Leef)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.into_iter().find(|(_, format)| *format == self);
        found.map_or("native", |(name, _)| name)
    }
}

impl FromStr for Format {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, format)| format).ok_or(())
    }
}

/// How much of what people wrote goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Everything.
    #[default]
    Full,
    /// No prompts, responses, tool input or other free text.
    Metadata,
}

/// What a sink wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How.
    pub format: Format,
    /// With the exact bytes inside.
    pub include_raw: bool,
    /// How much.
    pub content: Content,
    /// CEF, LEEF: with prompts, responses and tool input.
    pub prompts: bool,
    /// ECS: with the conversation under the name that OpenTelemetry gives it, too.
    pub conversation_id: bool,
    /// OCSF: which version.
    pub ocsf_version: OcsfVersion,
}

/// Writes records.
pub trait Encode: Send + Sync {
    /// Appends one record, without a line end and without a line feed inside.
    fn encode(&self, record: &Record<'_>, out: &mut Vec<u8>);
}

/// The encoder for a sink's options and rules.
#[derive(Clone, Debug)]
pub struct Encoder {
    options: Options,
    /// A record longer than this, in bytes, is trimmed.
    max: Option<usize>,
    rules: Redaction,
}

impl Encoder {
    /// For these options, and a sink that takes records up to `max` bytes.
    pub fn new(options: Options, max: Option<usize>) -> Self {
        Self { options, max, rules: Redaction::default() }
    }

    /// The same for a sink with rules about what it may get.
    #[must_use]
    pub fn redacting(self, rules: Redaction) -> Self {
        Self { rules, ..self }
    }

    /// Changes whenever the same record would give other bytes.
    pub fn fingerprint(&self) -> String {
        format!("{} {}", self.settings(), env!("CARGO_PKG_VERSION"))
    }

    /// Changes with what is configured, rules and their keys included; not with the program's version.
    pub fn settings(&self) -> String {
        let most = self.max.map_or_else(String::new, |max| format!(" at most {max}"));
        format!("{:?}{most}{}", self.options, self.rules.fingerprint())
    }

    /// Appends one record as the rules leave it, and answers what `tell` makes of that: nothing of the
    /// record itself may go beside its bytes.
    pub fn encode_and<T>(
        &self,
        record: &Record<'_>,
        out: &mut Vec<u8>,
        tell: impl FnOnce(&Record<'_>) -> T,
    ) -> T {
        if let Some(changes) = self.rules.change(record, self.options) {
            let shown = changes.show(record);
            self.write(&shown, out);
            return tell(&shown);
        }
        self.write(record, out);
        tell(record)
    }

    fn write(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        match self.options.format {
            Format::Raw => raw::encode(record, self.options, out),
            Format::Native => native::encode(record, self.options, &trim::Cuts::default(), out),
            Format::Cef => return cef::encode(record, self.options, self.max, out),
            Format::Leef => return leef::encode(record, self.options, self.max, out),
            Format::Ecs => ecs::encode(record, self.options, &trim::Cuts::default(), out),
            Format::Ocsf => ocsf::encode(record, self.options, &trim::Cuts::default(), out),
        }
        if let Some(max) = self.max.filter(|max| out.len() - start > *max) {
            out.truncate(start);
            trim::encode(record, self.options, max, out);
        }
    }
}

impl Encode for Encoder {
    fn encode(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        self.encode_and(record, out, |_| ());
    }
}
