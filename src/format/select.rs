//! Which records a sink gets at all. What is left out is counted, never silent.

use serde::de::{Deserialize, Deserializer, Error as _};

use crate::record::{Record, json};
use crate::words::OWN_EVENT_TYPE;

/// Every category a record can have.
pub const CATEGORIES: [&str; 13] = [
    "prompt",
    "response",
    "tool",
    "admin",
    "finding",
    "auth",
    "app",
    "agent",
    "conversation",
    "usage",
    "other",
    "malformed",
    "oversized",
];
const OUTCOMES: [&str; 3] = ["success", "failure", "unknown"];

/// The keys of `[select]`; a list that is not given selects everything, but our own audit trail only when
/// it is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Select {
    /// Event types of streams.
    pub event_types: Option<Vec<String>>,
    /// Our categories.
    #[serde(deserialize_with = "categories")]
    pub categories: Option<Vec<String>>,
    /// Upstream's sub types.
    pub actions: Option<Vec<String>>,
    /// Ids of principals.
    pub principals: Option<Vec<String>>,
    /// `success`, `failure`, `unknown`; a record without an outcome is not selected then.
    #[serde(deserialize_with = "outcomes")]
    pub outcomes: Option<Vec<String>>,
    /// Leaves out what our own key did: the requests of collecting are audited too.
    pub exclude_self_poll: bool,
}

impl Select {
    /// Whether it names our own audit trail, which no sink of records gets else.
    pub fn names_own_trail(&self) -> bool {
        self.event_types.as_ref().is_some_and(|list| list.iter().any(|one| one == OWN_EVENT_TYPE))
    }

    /// Whether the sink gets this record.
    pub fn takes(&self, record: &Record<'_>) -> bool {
        let among = |list: &Option<Vec<String>>, value: Option<&str>| {
            list.as_ref().is_none_or(|list| value.is_some_and(|value| list.iter().any(|one| one == value)))
        };
        let action = record.action.and_then(json::text);
        let event_type = record.origin.event_type.as_str();
        (event_type != OWN_EVENT_TYPE || self.event_types.is_some())
            && among(&self.event_types, Some(event_type))
            && among(&self.categories, Some(record.category))
            && among(&self.actions, action.as_deref())
            && among(&self.principals, Some(&record.origin.principal.id))
            && among(&self.outcomes, record.outcome.result)
            && !(self.exclude_self_poll && record.self_poll)
    }
}

fn categories<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    known(deserializer, &CATEGORIES)
}

fn outcomes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    known(deserializer, &OUTCOMES)
}

fn known<'de, D: Deserializer<'de>>(
    deserializer: D,
    names: &[&str],
) -> Result<Option<Vec<String>>, D::Error> {
    let list = Vec::<String>::deserialize(deserializer)?;
    if list.iter().all(|name| names.contains(&name.as_str())) {
        return Ok(Some(list));
    }
    Err(D::Error::custom(format!("a name that no record has\nknown are {}", names.join(", "))))
}
