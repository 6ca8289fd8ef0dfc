//! Rules that no section can check by itself, and the files a configuration refers to.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

use reqwest::Certificate;
use secrecy::ExposeSecret;
use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::{Config, SinkEntry, Source};
use crate::secret::{Environment, Secret, read_text, why};
use crate::sink::Keys;

/// No bundle of certificates is larger than this.
const MOST_CA_BYTES: u64 = 16 * 1024 * 1024;

/// A token has at least this many characters, so that nobody finds it by trying.
const LEAST_TOKEN: usize = 16;

/// No two sources collect the same stream.
pub(super) fn streams(config: &Config, root: &DeTable<'_>, problems: &mut Vec<Problem>) {
    for (index, source) in config.sources.iter().enumerate() {
        let shared = config.sources[..index].iter().find_map(|other| Some((other, shared(source, other)?)));
        if let Some((other, event_type)) = shared {
            let what = format!(
                "{} of {} is collected by [sources.{}] already",
                source.config.event_types[event_type], source.config.principal, other.name
            );
            let listed = place(root, &["sources", &source.name, "event_types"]);
            let span = listed.map(|(value, span)| match value {
                DeValue::Array(items) => items.get(event_type).map_or(span, toml::Spanned::span),
                _ => span,
            });
            let span = span.or_else(|| principal(root, &source.name));
            let hint = "a stream belongs to one source: set event_types so that the two share none";
            problems.push(Problem::new(span, what, hint));
        }
    }
}

/// No two sinks write to the same place, and replays stay apart from live records.
pub(super) fn sinks(config: &Config, root: &DeTable<'_>, problems: &mut Vec<Problem>) {
    for sink in &config.sinks {
        let Keys::Records(keys) = &sink.config else { continue };
        if let Some((what, hint)) = keys.replay_fault() {
            let span = place(root, &["sinks", &sink.name, "replay"]).map(|(_, span)| span);
            problems.push(Problem::new(span, what, hint));
        }
    }
    for (index, sink) in config.sinks.iter().enumerate() {
        let exclusive = |sink: &SinkEntry| sink.config.exclusive(sink.options.format.name());
        let Some(place) = exclusive(sink) else { continue };
        let earlier = &config.sinks[..index];
        if let Some(other) = earlier.iter().find(|other| exclusive(other).as_ref() == Some(&place)) {
            let what = format!("[sinks.{}] writes to {place} already", other.name);
            let span = self::place(root, &["sinks", &sink.name]).map(|(_, span)| span);
            problems.push(Problem::new(span, what, "give each sink a place of its own"));
        }
    }
}

/// Nobody beyond this machine sees anything without a token.
pub(super) fn http(config: &Config, root: &DeTable<'_>, problems: &mut Vec<Problem>) {
    let Some(http) = config.http.as_ref().filter(|http| http.token.is_none()) else { return };
    if !http.listen.ip().to_canonical().is_loopback() {
        let what = format!("{} can be reached from other machines, and there is no token", http.listen);
        let hint = "add token = { credential = \"page-token\" } to [http], or listen on 127.0.0.1";
        let span = place(root, &["http", "listen"]).map(|(_, span)| span);
        problems.push(Problem::new(span, what, hint));
    }
}

/// Which event type of `source` is also one of `other`.
fn shared(source: &Source, other: &Source) -> Option<usize> {
    let (ours, theirs) = (&source.config, &other.config);
    let same = ours.principal.kind == theirs.principal.kind
        && ours.principal.id.eq_ignore_ascii_case(&theirs.principal.id);
    let taken = |ours: &String| theirs.event_types.iter().any(|theirs| theirs.eq_ignore_ascii_case(ours));
    if same { ours.event_types.iter().position(taken) } else { None }
}

/// Secrets and certificates can be read now; answers what should not be readable for others.
pub(super) fn files(
    config: &Config,
    root: &DeTable<'_>,
    env: Environment<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<String> {
    for sink in &config.sinks {
        let Keys::Files(keys) = &sink.config else { continue };
        for (key, what, hint) in keys.faults() {
            let span = place(root, &["sinks", &sink.name, key]).map(|(_, span)| span);
            problems.push(Problem::new(span, what, hint));
        }
    }
    for (path, secret) in secrets(config) {
        let span = || place(root, &path).map(|(_, span)| span);
        match secret.read_from(env) {
            Err(error) => problems.push(Problem::new(span(), error.problem, error.hint)),
            Ok(value) if path[0] == "http" && value.expose_secret().len() < LEAST_TOKEN => {
                let what = format!("{secret} has fewer than {LEAST_TOKEN} characters");
                let hint = "put a random token there, such as `openssl rand -hex 32` gives";
                problems.push(Problem::new(span(), what, hint));
            }
            Ok(_) => {}
        }
    }
    network(config, root, problems);
    let rules = config.sinks.iter().flat_map(|sink| sink.redaction.secrets());
    let mut shown: Vec<_> =
        secrets(config).map(|(_, secret)| secret).chain(rules).filter_map(Secret::shown_to_others).collect();
    let mut seen = HashSet::new();
    shown.retain(|path| seen.insert(*path));
    let warn = |path: &Path| {
        let path = path.display();
        format!("the secret in {path} can be read by other users: chmod 600 {path}")
    };
    let mut warnings: Vec<String> = shown.into_iter().map(warn).collect();
    if let Some(http) = config.http.as_ref().filter(|http| !http.listen.ip().to_canonical().is_loopback()) {
        let listen = http.listen;
        warnings.push(format!("[http] listens on {listen} without TLS: put a proxy with TLS in front of it"));
    }
    warnings
}

/// Every secret there is but the keys of rules, and where the file names it.
fn secrets(config: &Config) -> impl Iterator<Item = (Vec<&str>, &Secret)> {
    let token = config.http.as_ref().and_then(|http| http.token.as_ref());
    let token = token.map(|token| (vec!["http", "token"], token));
    let of_sources = config
        .sources
        .iter()
        .map(|source| (vec!["sources", &source.name, "api_key"], &source.config.api_key));
    let of_sinks = config.sinks.iter().flat_map(|sink| {
        sink.config.secrets().into_iter().map(|(key, secret)| (vec!["sinks", &sink.name, key], secret))
    });
    let signing = config.signing_key.iter().map(|secret| (vec!["custody", "signing_key"], secret));
    of_sources.chain(of_sinks).chain(signing).chain(token)
}

fn network(config: &Config, root: &DeTable<'_>, problems: &mut Vec<Problem>) {
    if let Some(path) = &config.network.ca_file {
        let fault = match read_text(path, MOST_CA_BYTES) {
            Err(error) => Some(why(&error)),
            Ok(None) => Some("is larger than any bundle of certificates".to_owned()),
            Ok(Some(pem)) => match Certificate::from_pem_bundle(pem.as_bytes()) {
                Ok(found) if found.is_empty() => Some("holds no certificate".to_owned()),
                Ok(_) => None,
                Err(_) => Some("holds something that is no certificate".to_owned()),
            },
        };
        if let Some(fault) = fault {
            let what = format!("file {} {fault}", path.display());
            let hint = "name a PEM file with the certificates to trust, readable by custodex";
            let span = place(root, &["network", "ca_file"]).map(|(_, span)| span);
            problems.push(Problem::new(span, what, hint));
        }
    }
}

/// Reads the keys of the rules about what sinks may get, of all of them or of one.
pub(super) fn redaction_keys(
    config: &mut Config,
    only: Option<&str>,
    root: &DeTable<'_>,
    env: Environment<'_>,
    problems: &mut Vec<Problem>,
) {
    let wanted = |sink: &&mut SinkEntry| only.is_none_or(|name| sink.name == name);
    for sink in config.sinks.iter_mut().filter(wanted) {
        for (rule, error) in sink.redaction.read_keys(env) {
            let rules = place(root, &["sinks", &sink.name, "redact"]);
            let span = rules.and_then(|(rules, _)| match rules.get(rule)?.get_ref() {
                DeValue::Table(keys) => keys.get("key").map(toml::Spanned::span),
                _ => None,
            });
            problems.push(Problem::new(span, error.problem, error.hint));
        }
    }
}

fn principal(root: &DeTable<'_>, source: &str) -> Option<Range<usize>> {
    let of = |key| place(root, &["sources", source, key]);
    of("workspace_id").or_else(|| of("organization_id")).map(|(_, span)| span)
}

/// A value of the file, and where it stands.
fn place<'a, 'i>(root: &'a DeTable<'i>, path: &[&str]) -> Option<(&'a DeValue<'i>, Range<usize>)> {
    let (last, tables) = path.split_last()?;
    let mut table = root;
    for key in tables {
        let DeValue::Table(inner) = table.get(*key)?.get_ref() else { return None };
        table = inner;
    }
    let value = table.get(*last)?;
    Some((value.get_ref(), value.span()))
}
