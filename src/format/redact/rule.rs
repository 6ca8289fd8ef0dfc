//! One rule of `[[sinks.NAME.redact]]`, read and checked. Never holds the value of a key.

use std::num::NonZeroUsize;

use regex::RegexBuilder;
use serde::de::{Deserialize, Deserializer, Error};

use super::detect::{self, Own};
use super::fields::{CONTAINERS, PATHS};
use crate::secret::Secret;

/// Bounds on a pattern of the operator's: its text, and what it is compiled to.
const PATTERN_MOST: usize = 1000;
const COMPILED_MOST: usize = 256 * 1024;
/// Longest label of such a pattern.
const NAME_MOST: usize = 32;
const PATTERN_FORM: &str = "write { name = \"…\", regex = '…' }, or the name of a built-in pattern";

/// What a rule reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Every text.
    All,
    /// A field, or a group of fields.
    Path(String),
    /// What lies inside a field.
    Inside(&'static str, Vec<String>),
}

/// What a rule does.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Drop,
    Sha256,
    Hmac(Secret),
    Truncate(usize),
    Mask { built_in: Vec<&'static str>, own: Vec<Own> },
}

/// A rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) field: Field,
    pub(super) action: Action,
}

#[derive(Clone, Copy, serde::Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Word {
    Drop,
    Sha256,
    Hmac,
    Truncate,
    Mask,
}

enum Pattern {
    BuiltIn(&'static str),
    Own(Own),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    field: Option<Field>,
    action: Word,
    key: Option<Secret>,
    to: Option<NonZeroUsize>,
    patterns: Option<Vec<Pattern>>,
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keys = Keys::deserialize(deserializer)?;
        let field = keys.field.unwrap_or(Field::All);
        let extra = [
            (keys.key.is_some() && keys.action != Word::Hmac, "key", "hmac"),
            (keys.to.is_some() && keys.action != Word::Truncate, "to", "truncate"),
            (keys.patterns.is_some() && keys.action != Word::Mask, "patterns", "mask"),
        ];
        if let Some((_, key, action)) = extra.iter().find(|(there, ..)| *there) {
            return Err(D::Error::custom(format!(
                "`{key}` means nothing to this action\nremove it, or set action = \"{action}\""
            )));
        }
        if field == Field::All && !matches!(keys.action, Word::Mask | Word::Truncate) {
            let what =
                "this rule has no field\nadd `field = \"…\"`; only mask and truncate go over every text";
            return Err(D::Error::custom(what));
        }
        let figures = matches!(&field, Field::Path(path) if path == "usage" || path.starts_with("usage."));
        if figures && keys.action != Word::Drop {
            return Err(D::Error::custom("usage holds figures, not texts\nset action = \"drop\""));
        }
        let action = match (keys.action, keys.key, keys.to) {
            (Word::Drop, ..) => Action::Drop,
            (Word::Sha256, ..) => Action::Sha256,
            (Word::Hmac, Some(key), _) => Action::Hmac(key),
            (Word::Hmac, None, _) => {
                return Err(D::Error::custom(
                    "action \"hmac\" needs a key\nadd `key = { credential = \"name\" }`, a secret of its own",
                ));
            }
            (Word::Truncate, _, Some(to)) => Action::Truncate(to.get()),
            (Word::Truncate, ..) => {
                return Err(D::Error::custom(
                    "action \"truncate\" needs a length\nadd `to = …`, the characters that stay",
                ));
            }
            (Word::Mask, ..) => mask(keys.patterns),
        };
        Ok(Self { field, action })
    }
}

fn mask(patterns: Option<Vec<Pattern>>) -> Action {
    let Some(patterns) = patterns else {
        return Action::Mask { built_in: detect::names().collect(), own: Vec::new() };
    };
    let (mut built_in, mut own) = (Vec::new(), Vec::new());
    for pattern in patterns {
        match pattern {
            Pattern::BuiltIn(name) => built_in.push(name),
            Pattern::Own(one) => own.push(one),
        }
    }
    Action::Mask { built_in, own }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = String::deserialize(deserializer)?;
        if path == "*" {
            return Ok(Self::All);
        }
        if PATHS.contains(&path.as_str()) {
            return Ok(Self::Path(path));
        }
        let inside = CONTAINERS.iter().find_map(|container| {
            let rest = path.strip_prefix(container)?.strip_prefix('.')?;
            let keys: Vec<String> = rest.split('.').map(str::to_owned).collect();
            keys.iter().all(|key| !key.is_empty()).then_some(Self::Inside(container, keys))
        });
        inside.ok_or_else(|| {
            let nearest = PATHS.iter().max_by(|one, other| {
                strsim::jaro_winkler(&path, one).total_cmp(&strsim::jaro_winkler(&path, other))
            });
            let nearest = nearest.copied().unwrap_or("unmapped");
            D::Error::custom(format!(
                "not a field that can be redacted\ndid you mean `{nearest}`? write a path of the native record, \
                 `unmapped.KEY` for what has no place of its own, or `*` for every text"
            ))
        })
    }
}

#[derive(serde::Deserialize)]
#[serde(untagged, expecting = "the name of a built-in pattern, or a table with name and regex")]
enum Written {
    Name(String),
    Own(OwnKeys),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnKeys {
    name: String,
    regex: String,
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = |problem: &str| D::Error::custom(format!("{problem}\n{PATTERN_FORM}"));
        match Written::deserialize(deserializer).map_err(|_| wrong("not a pattern"))? {
            Written::Name(name) => {
                let known = detect::names().find(|known| *known == name);
                known.map(Self::BuiltIn).ok_or_else(|| {
                    let names = detect::names().collect::<Vec<_>>().join(", ");
                    D::Error::custom(format!(
                        "no built-in pattern has this name\nknown are {names}; your own is {{ name = \"…\", regex = '…' }}"
                    ))
                })
            }
            Written::Own(own) => own.compile().map(Self::Own).map_err(|problem| wrong(&problem)),
        }
    }
}

impl OwnKeys {
    fn compile(&self) -> Result<Own, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if self.name.is_empty() || self.name.len() > NAME_MOST || !self.name.bytes().all(plain) {
            return Err("the name of a pattern has 1 to 32 letters, digits, `_` or `-`".to_owned());
        }
        if self.regex.len() > PATTERN_MOST {
            return Err(format!("this regex has more than {PATTERN_MOST} characters"));
        }
        let built =
            RegexBuilder::new(&self.regex).size_limit(COMPILED_MOST).dfa_size_limit(COMPILED_MOST).build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                "this regex is too large when compiled: repeat less".to_owned()
            }
            // The whole message draws the pattern over several lines.
            error => {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                format!("not a regex that can be used: {last}")
            }
        })?;
        if regex.is_match("") {
            return Err("this regex also matches nothing at all".to_owned());
        }
        Ok(Own { name: self.name.as_str().into(), regex })
    }
}
