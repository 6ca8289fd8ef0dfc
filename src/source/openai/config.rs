//! The keys of a source of type `compliance_logs`.
//!
//! Owns [`ComplianceConfig`]: what may be written, the defaults, and every rule that one source can break
//! by itself. An error carries its place in the file; after a line feed in its message, the next step.

use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use toml::Spanned;
use toml::de::{Error, ValueDeserializer};
use url::Url;

use crate::net::is_loopback;
use crate::refusal::refused;
use crate::secret::Secret;
use crate::units::Span;
use crate::words::{Principal, PrincipalKind};

const DAY: Duration = Duration::from_secs(86_400);
/// How long the provider keeps log files.
const RETENTION: Duration = Duration::from_secs(30 * 86_400);
const BASE_URL: &str = "https://api.chatgpt.com/v1";
const POLL_INTERVAL: Duration = Duration::from_secs(300);
/// Log files turn up in listings a little after the moment they cover.
const OVERLAP: Duration = Duration::from_secs(2 * 3600);
/// Costs are compiled afterwards and turn up later.
const OVERLAP_COSTS: Duration = Duration::from_secs(12 * 3600);
const REQUESTS_PER_MINUTE: u32 = 50;
const OF_WORKSPACE: [&str; 4] = ["CODEX_LOG", "CODEX_SECURITY_LOG", "AUTH_LOG", "AUDIT_LOG"];
/// The event type of costs.
pub const COSTS: &str = "COSTS";
/// Types that hold log files of a workspace or an organization, as far as the provider has told.
const KNOWN_OF_WORKSPACE: [&str; 14] = [
    "CODEX_LOG",
    "CODEX_SECURITY_LOG",
    "CODEX_TURN",
    "AUTH_LOG",
    "AUDIT_LOG",
    "CONVERSATION_MESSAGE",
    "APP_LOG",
    "APP_AUTH_LOG",
    "CUSTOM_AGENTS_LOG",
    "CHATGPT_PLUGIN_SPREADSHEET",
    "CHATGPT_USER_ANALYTICS",
    "CHATGPT_PROJECT_ANALYTICS",
    "CHATGPT_GPT_ANALYTICS",
    "CHATGPT_SURVEY_ANALYTICS",
];
const KNOWN_OF_ORGANIZATION: [&str; 3] = ["COSTS", "APP_LOG", "APP_AUTH_LOG"];

/// A source's own keys, read and checked.
#[derive(Clone, Debug)]
pub struct ComplianceConfig {
    /// Whose log files.
    pub principal: Principal,
    /// Where the API key lies.
    pub api_key: Secret,
    /// Which of them, as written; at least one, none twice.
    pub event_types: Vec<String>,
    /// The API, with its version.
    pub base_url: Url,
    /// Time between two listings of a stream.
    pub poll_interval: Duration,
    /// How far back a new stream begins.
    pub start_from: Duration,
    /// How much is listed again each time, where it is the same for every stream.
    pub overlap: Option<Duration>,
    /// Budget of the key, never 0.
    pub requests_per_minute: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    workspace_id: Option<Spanned<String>>,
    organization_id: Option<Spanned<String>>,
    api_key: Secret,
    event_types: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default, deserialize_with = "address")]
    base_url: Option<Url>,
    poll_interval: Option<Spanned<Span>>,
    start_from: Option<Spanned<Span>>,
    overlap: Option<Spanned<Span>>,
    requests_per_minute: Option<NonZeroU32>,
}

impl ComplianceConfig {
    /// Reads a source's table, without `type`.
    pub fn read(keys: ValueDeserializer<'_>) -> Result<Self, Error> {
        let table = Spanned::<Keys>::deserialize(keys)?;
        let (span, keys) = (table.span(), table.into_inner());
        let principal = principal(span, keys.workspace_id, keys.organization_id)?;
        let event_types = event_types(principal.kind, keys.event_types)?;
        let base_url = match keys.base_url {
            Some(url) => url,
            None => BASE_URL.parse().map_err(Error::custom)?,
        };
        if let Some(interval) = &keys.poll_interval
            && interval.get_ref().0.is_zero()
        {
            let message = "poll_interval cannot be zero\nwrite the time between two listings, such as \"5m\"";
            return Err(refused(interval.span(), message));
        }
        Ok(Self {
            principal,
            api_key: keys.api_key,
            event_types,
            base_url,
            poll_interval: at_most("poll_interval", keys.poll_interval, "1d", DAY)?.unwrap_or(POLL_INTERVAL),
            start_from: at_most("start_from", keys.start_from, "30d", RETENTION)?.unwrap_or(RETENTION),
            overlap: at_most("overlap", keys.overlap, "30d", RETENTION)?,
            requests_per_minute: keys.requests_per_minute.map_or(REQUESTS_PER_MINUTE, NonZeroU32::get),
        })
    }

    /// Event types that the principal may have; the provider adds to them now and then.
    pub fn known_event_types(&self) -> &'static [&'static str] {
        if self.principal.kind == PrincipalKind::Organization {
            &KNOWN_OF_ORGANIZATION
        } else {
            &KNOWN_OF_WORKSPACE
        }
    }

    /// How much of a stream is listed again each time.
    pub fn overlap_of(&self, event_type: &str) -> Duration {
        let usual = if event_type.eq_ignore_ascii_case(COSTS) { OVERLAP_COSTS } else { OVERLAP };
        self.overlap.unwrap_or(usual)
    }
}

fn principal(
    table: Range<usize>,
    workspace: Option<Spanned<String>>,
    organization: Option<Spanned<String>>,
) -> Result<Principal, Error> {
    match (workspace, organization) {
        (Some(id), None) if is_uuid(id.get_ref()) => {
            Ok(Principal { kind: PrincipalKind::Workspace, id: id.into_inner() })
        }
        (Some(id), None) if is_organization(id.get_ref()) => {
            let message = "this is the id of an API organization\nwrite it as organization_id = \"org-…\"";
            Err(refused(id.span(), message))
        }
        (Some(id), None) => Err(refused(
            id.span(),
            "workspace_id is not a UUID\ncopy the workspace id from the admin settings of ChatGPT: \
             it looks like 11111111-2222-4333-8444-555555555555",
        )),
        (None, Some(id)) if is_organization(id.get_ref()) => {
            Ok(Principal { kind: PrincipalKind::Organization, id: id.into_inner() })
        }
        (None, Some(id)) if is_uuid(id.get_ref()) => {
            let message = "this is the id of a ChatGPT workspace\nwrite it as workspace_id = \"…\"";
            Err(refused(id.span(), message))
        }
        (None, Some(id)) => Err(refused(
            id.span(),
            "organization_id does not look like `org-…`\ncopy the organization id from the settings of the \
             API platform",
        )),
        (Some(one), Some(two)) => Err(refused(
            if one.span().start > two.span().start { one.span() } else { two.span() },
            "a source has one principal, this one names a workspace and an organization\nkeep one of the \
             two, and write a second source for the other",
        )),
        (None, None) => Err(refused(
            table,
            "missing key `workspace_id`\nsay whose log files to collect: workspace_id = \"…\", the UUID of a \
             ChatGPT workspace, or organization_id = \"org-…\"",
        )),
    }
}

type Listed = Option<Spanned<Vec<Spanned<String>>>>;

fn event_types(kind: PrincipalKind, listed: Listed) -> Result<Vec<String>, Error> {
    let Some(listed) = listed else {
        let of_organization = kind == PrincipalKind::Organization;
        return Ok(if of_organization {
            vec![COSTS.to_owned()]
        } else {
            OF_WORKSPACE.map(str::to_owned).to_vec()
        });
    };
    if listed.get_ref().is_empty() {
        let message = "event_types is empty\nlist at least one, or remove the line to collect the usual ones";
        return Err(refused(listed.span(), message));
    }
    let mut types: Vec<String> = Vec::new();
    for event_type in listed.into_inner() {
        let span = event_type.span();
        let event_type = event_type.into_inner();
        if !is_event_type(&event_type) {
            let message = "not an event type\nwrite letters, digits and `_` only, such as \"CODEX_LOG\"";
            return Err(refused(span, message));
        }
        if types.iter().any(|other| other.eq_ignore_ascii_case(&event_type)) {
            return Err(refused(span, &format!("{event_type} is listed twice\nremove one of the two")));
        }
        types.push(event_type);
    }
    Ok(types)
}

fn at_most(
    key: &str,
    value: Option<Spanned<Span>>,
    shown: &str,
    most: Duration,
) -> Result<Option<Duration>, Error> {
    let Some(value) = value else { return Ok(None) };
    if value.get_ref().0 <= most {
        return Ok(Some(value.get_ref().0));
    }
    let reason = if most == RETENTION { ", what the provider keeps" } else { "" };
    Err(refused(value.span(), &format!("{key} is too long\nwrite at most \"{shown}\"{reason}")))
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = |what: &str, step: &str| D::Error::custom(format!("{what}\n{step}"));
    let usual = format!("write an address such as \"{BASE_URL}\"");
    let url: Url = text.parse().map_err(|_| wrong("not a full address", &usual))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "base_url holds a user name or a password",
            "remove it: the API takes only api_key",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("base_url has a query or a fragment", "remove everything from `?` or `#` on"));
    }
    match url.scheme() {
        "https" => Ok(Some(url)),
        "http" if is_loopback(&url) => Ok(Some(url)),
        "http" => Err(wrong(
            "base_url is not encrypted, the API key would be sent in the clear",
            "write https://; http:// is for addresses of this machine only",
        )),
        _ => Err(wrong("base_url is not an https address", &usual)),
    }
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_organization(text: &str) -> bool {
    text.strip_prefix("org-").is_some_and(|rest| {
        (1..=128).contains(&rest.len())
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    })
}

fn is_event_type(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_listed_again_for_longer() {
        let text =
            "{ organization_id = 'org-1', api_key = { env = 'KEY' }, event_types = ['COSTS', 'other'] }";
        let mut config = ComplianceConfig::read(ValueDeserializer::parse(text).unwrap()).unwrap();
        assert_eq!(config.overlap_of("COSTS"), Duration::from_secs(12 * 3600));
        assert_eq!(config.overlap_of("other"), Duration::from_secs(2 * 3600));
        config.overlap = Some(Duration::ZERO);
        assert_eq!(config.overlap_of("COSTS"), Duration::ZERO);
    }
}
