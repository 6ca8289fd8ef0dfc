//! Redaction: what a sink's rules take out of a record before any format sees it.
//!
//! Rules work in order, on decoded texts. What one took out of a field is then looked for in every other
//! field of the record, since people repeat themselves and upstream does. Pure: the same record, rules and
//! keys give the same record. Never shows the provider's own bytes of a record that rules changed, nor of one
//! that is no JSON object, which has no fields to hold a rule to.

mod detect;
mod fields;
mod rule;
mod text;
mod trace;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use secrecy::ExposeSecret;
use serde::de::{Deserialize, Deserializer};

use super::{Format, Options};
use crate::digest::{HmacKey, hex, sha256};
use crate::record::reader::Shape;
use crate::record::{Record, json};
use crate::secret::{Environment, Secret, SecretError};
use detect::Detectors;
use fields::Slot;
use rule::{Action, Field, Rule};
use text::{Fate, Kind};
use trace::Trace;

/// A shorter key could be guessed like what it hides.
const KEY_LEAST: usize = 16;
/// What stands for a value elsewhere when it was dropped.
const DROPPED: &str = "[redacted]";

/// The rules of a sink.
#[derive(Clone, Default)]
pub struct Redaction(Arc<[Armed]>);

/// A rule that is ready.
struct Armed {
    rule: Rule,
    detectors: Option<Arc<Detectors>>,
    /// None until it was read; what it would hash is dropped then.
    key: Option<HmacKey>,
}

impl<'de> Deserialize<'de> for Redaction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rules = Vec::<Rule>::deserialize(deserializer)?;
        let arm = |rule: Rule| {
            let detectors = match &rule.action {
                Action::Mask { built_in, own } => {
                    Some(Arc::new(Detectors::new(|name| built_in.contains(&name), own.clone())))
                }
                _ => None,
            };
            Armed { rule, detectors, key: None }
        };
        Ok(Self(rules.into_iter().map(arm).collect()))
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|armed| &armed.rule)).finish()
    }
}

impl Redaction {
    /// Whether there is any rule.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where the keys of the rules lie.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter().filter_map(|armed| match &armed.rule.action {
            Action::Hmac(secret) => Some(secret),
            _ => None,
        })
    }

    /// Reads the keys of the rules; those that cannot be had, by the place of their rule.
    pub fn read_keys(&mut self, env: Environment<'_>) -> Vec<(usize, SecretError)> {
        let mut faults = Vec::new();
        let mut read = |place: usize, armed: &Armed| {
            let Action::Hmac(secret) = &armed.rule.action else { return None };
            let long = secret.read_from(env).and_then(|key| {
                let long = key.expose_secret().len() >= KEY_LEAST;
                let problem = format!("{secret} has fewer than {KEY_LEAST} characters");
                let hint = "put a random key there, such as `openssl rand -hex 32` gives".to_owned();
                if long { Ok(key) } else { Err(SecretError { problem, hint }) }
            });
            match long {
                Ok(key) => Some(HmacKey::new(key.expose_secret().as_bytes())),
                Err(error) => {
                    faults.push((place, error));
                    None
                }
            }
        };
        let armed = self.0.iter().enumerate().map(|(place, armed)| Armed {
            key: read(place, armed),
            rule: armed.rule.clone(),
            detectors: armed.detectors.clone(),
        });
        self.0 = armed.collect();
        faults
    }

    /// Changes with the rules and with their keys, and tells neither.
    pub(super) fn fingerprint(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mut text = format!("{self:?}");
        for armed in self.0.iter() {
            text.push_str(
                &armed.key.as_ref().map_or_else(String::new, |key| hex(&key.sign(b"custodex fingerprint"))),
            );
        }
        format!(" redacted {}", &hex(&sha256(text.as_bytes()))[..16])
    }

    /// What the rules make of a record; `None` when they change nothing.
    pub(super) fn change<'a>(&self, record: &'a Record<'_>, options: Options) -> Option<Changes<'a>> {
        if self.is_empty() {
            return None;
        }
        let mut slots = fields::slots(record);
        let mut removed = Removed { trace: Trace::default(), paths: Vec::new() };
        for armed in self.0.iter() {
            for slot in &mut slots {
                armed.change(slot, &mut removed);
            }
        }
        if !removed.trace.is_empty() {
            follow(&mut slots, &removed.trace);
        }
        if slots.iter().any(|slot| slot.changed && slot.path == "action") && !is_own_word(record) {
            let kinds = slots.iter_mut().filter(|slot| slot.path == "target.kind");
            kinds.for_each(|slot| slot.settle(Fate::Goes));
        }
        let unread = record.map.is_none() && record.raw.shape != Shape::Oversized;
        let mut paths = removed.paths;
        for slot in slots.iter().filter(|slot| slot.changed) {
            let inner = paths
                .iter()
                .any(|path| path.strip_prefix(slot.path).is_some_and(|rest| rest.starts_with('.')));
            if !inner && !paths.contains(&Cow::Borrowed(slot.path)) {
                paths.push(Cow::Borrowed(slot.path));
            }
        }
        if unread || (!paths.is_empty() && (options.include_raw || options.format == Format::Raw)) {
            paths.push(Cow::Borrowed("raw"));
        }
        (!paths.is_empty()).then_some(Changes { slots, paths })
    }
}

/// A record's fields after the rules.
pub(super) struct Changes<'a> {
    slots: Vec<Slot<'a>>,
    paths: Vec<Cow<'static, str>>,
}

impl Changes<'_> {
    /// The record as it is shown.
    pub(super) fn show<'a>(&'a self, record: &'a Record<'_>) -> Record<'a> {
        let mut shown = fields::show(record, &self.slots);
        shown.removed.clone_from(&self.paths);
        shown
    }
}

struct Removed {
    trace: Trace,
    /// Paths inside of fields.
    paths: Vec<Cow<'static, str>>,
}

impl Armed {
    fn change(&self, slot: &mut Slot<'_>, removed: &mut Removed) {
        let Some(token) = slot.token.as_deref() else { return };
        let fate = match &self.rule.field {
            Field::Inside(container, path) if *container == slot.path => {
                let fate =
                    text::within(token, path, &mut |value| self.fate(slot.path, value, &mut removed.trace));
                let path = Cow::Owned(format!("{container}.{}", path.join(".")));
                if !matches!(fate, Fate::Stays) && !removed.paths.contains(&path) {
                    removed.paths.push(path);
                }
                fate
            }
            Field::Path(path) if reaches(path, slot.path) => self.fate(slot.path, token, &mut removed.trace),
            Field::All => self.fate(slot.path, token, &mut removed.trace),
            _ => return,
        };
        slot.settle(fate);
    }

    fn fate(&self, path: &str, token: &str, trace: &mut Trace) -> Fate {
        if token == "null" {
            return Fate::Stays;
        }
        let figures = path.starts_with("usage.");
        let changed = match &self.rule.action {
            Action::Drop => {
                note(token, trace, &|_| DROPPED.to_owned());
                return Fate::Goes;
            }
            Action::Sha256 => {
                Some(hash(token, trace, &|text| format!("sha256:{}", hex(&sha256(text.as_bytes())))))
            }
            Action::Hmac(_) => {
                let Some(key) = &self.key else {
                    note(token, trace, &|_| DROPPED.to_owned());
                    return Fate::Goes;
                };
                Some(hash(token, trace, &|text| format!("hmac:{}", &hex(&key.sign(text.as_bytes()))[..32])))
            }
            Action::Truncate(to) => text::rewrite(token, &mut |leaf| {
                let end = leaf.text.char_indices().nth(*to).filter(|_| leaf.kind == Kind::Text);
                end.map(|(end, _)| leaf.text[..end].to_owned())
            }),
            Action::Mask { .. } => {
                let detectors = self.detectors.as_deref();
                detectors.and_then(|detectors| text::rewrite(token, &mut |leaf| mask(detectors, leaf, trace)))
            }
        };
        match changed {
            // A figure that is none is no use to whoever reads figures.
            Some(_) if figures => Fate::Goes,
            Some(new) => Fate::Becomes(new),
            None => Fate::Stays,
        }
    }
}

impl Slot<'_> {
    fn settle(&mut self, fate: Fate) {
        match fate {
            Fate::Stays => return,
            Fate::Goes => self.token = None,
            Fate::Becomes(new) => self.token = Some(new.into()),
        }
        self.changed = true;
    }
}

/// Whether a rule for `path` is one for this field: the field, a group it is in, or what it is made of.
fn reaches(path: &str, field: &str) -> bool {
    field == path
        || field.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
        || matches!((path, field), ("actor.id", "actor.id_base") | ("time", "time_original"))
}

/// Whether the kind of the target is a word of ours, not one of upstream's.
fn is_own_word(record: &Record<'_>) -> bool {
    let action = record.action.and_then(json::text).unwrap_or_default().to_ascii_lowercase();
    record.target.kind.as_deref().is_none_or(|kind| !action.starts_with(kind))
}

/// Notes every text of a token that is taken out.
fn note(token: &str, trace: &mut Trace, instead: &dyn Fn(&str) -> String) {
    text::rewrite(token, &mut |leaf| {
        if leaf.kind != Kind::Key {
            trace.add(leaf.text, &instead(leaf.text), leaf.kind);
        }
        None
    });
}

fn hash(token: &str, trace: &mut Trace, hash: &dyn Fn(&str) -> String) -> String {
    note(token, trace, hash);
    let text = if token.starts_with('"') { text::decode(token) } else { token.into() };
    text::encode(&hash(&text))
}

fn mask(detectors: &Detectors, leaf: &text::Leaf<'_>, trace: &mut Trace) -> Option<String> {
    if let Some(name) = leaf.key.filter(|_| leaf.kind == Kind::Text).and_then(|key| detectors.by_key(key))
        && leaf.text.len() >= KEY_VALUE_LEAST
        && !leaf.text.starts_with(MASKED)
    {
        let instead = format!("{MASKED}{name}]");
        trace.add(leaf.text, &instead, leaf.kind);
        return Some(instead);
    }
    let found = detectors.find(leaf.text);
    if found.is_empty() {
        return None;
    }
    let (mut out, mut copied) = (String::new(), 0);
    for one in found {
        let instead = format!("{MASKED}{}]", one.name);
        trace.add(&leaf.text[one.range.clone()], &instead, Kind::Text);
        out.push_str(&leaf.text[copied..one.range.start]);
        out.push_str(&instead);
        copied = one.range.end;
    }
    out.push_str(&leaf.text[copied..]);
    Some(out)
}

/// How what stands for a masked part begins; the name of its detector follows.
const MASKED: &str = "[redacted:";
/// A value whose key says that it is secret has so many bytes at least.
const KEY_VALUE_LEAST: usize = 4;

/// Replaces what was taken out wherever else it is.
fn follow(slots: &mut [Slot<'_>], trace: &Trace) {
    let finder = trace.finder();
    for slot in slots {
        let Some(token) = slot.token.as_deref().filter(|token| finder.may_be_in(token)) else { continue };
        let Some(new) = text::rewrite(token, &mut |leaf| finder.replace(leaf)) else { continue };
        let figures = slot.path.starts_with("usage.");
        slot.settle(if figures { Fate::Goes } else { Fate::Becomes(new) });
    }
}
