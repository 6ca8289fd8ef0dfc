//! `check`: the configuration, then every stream and every sink, with the next step for what fails.

use std::sync::Arc;

use super::args::CheckOptions;
use super::run::transport;
use super::status::{exit_of, table};
use super::{Exit, Failure, Outcome, Place, logs, print, progress, runtime, say, send_test};
use crate::config::{Config, Secrets, SinkEntry, Source};
use crate::daemon::{StartError, folder, signing};
use crate::ground::Ground;
use crate::limits;
use crate::net::Transport;
use crate::recovery::Recovery;
use crate::source::openai::{Client, ErrorKind, Key};

/// How far back the list call of a probe looks, seconds.
const LOOK_BACK: i64 = 3600;

/// One line of the table.
struct Finding {
    what: String,
    well: bool,
    /// Fails the check.
    counts: bool,
    found: String,
    hint: Option<String>,
}

pub fn check(at: &Place, options: &CheckOptions) -> Outcome {
    if let Some(sink) = &options.send_test {
        return send_test::send_test(at, sink);
    }
    logs::start("error", &progress::bars());
    let config = at.load(Secrets::Checked)?;
    say(&format!("{}: the configuration is good", config.path.display()));
    for warning in &config.warnings {
        say(&format!("warning: {warning}"));
    }
    let ground = Ground::real();
    signing(&config, &ground)?;
    if options.offline {
        return Ok(Exit::Done);
    }
    let findings = runtime()?.block_on(async {
        let transport = transport(&config)?;
        Ok::<_, Failure>(probe(&config, &ground, &transport).await)
    })?;
    let rows = findings.iter().map(|finding| {
        let state = if finding.well {
            "ok"
        } else if finding.counts {
            "FAILED"
        } else {
            "warning"
        };
        vec![finding.what.clone(), state.to_owned(), finding.found.clone()]
    });
    let mut lines = table(&["what", "state", "found"], rows);
    for finding in findings.iter().filter(|finding| !finding.well) {
        lines.extend(finding.hint.iter().map(|hint| format!("next step for {}: {hint}", finding.what)));
    }
    print(format!("{}\n", lines.join("\n")).as_bytes())?;
    Ok(exit_of(findings.iter().all(|finding| finding.well || !finding.counts)))
}

/// Shows which key signs the manifests of archives.
fn signing(config: &Config, ground: &Ground) -> Result<(), Failure> {
    let folder = folder::keys(&config.data_dir);
    let public = signing::public(ground.disk.as_ref(), config, &folder).map_err(StartError::from)?;
    say(&public.map_or_else(
        || "manifests: a signing key is made at the first start".to_owned(),
        |key| {
            format!(
                "manifests are signed with {}; keep this to verify archives with:\n{}",
                key.id(),
                key.pem()
            )
        },
    ));
    Ok(())
}

async fn probe(config: &Config, ground: &Ground, transport: &Arc<dyn Transport>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &config.sources {
        let client = client(source, ground, transport);
        for event_type in &source.config.event_types {
            findings.push(stream(source, event_type, &client, ground).await);
        }
    }
    for entry in &config.sinks {
        findings.push(sink(entry, ground, config).await);
    }
    findings
}

fn client(source: &Source, ground: &Ground, transport: &Arc<dyn Transport>) -> Client {
    let secret = source.config.api_key.clone();
    let read = Arc::new(move || secret.read().map_err(|error| error.to_string()));
    let key = Key::new(read, source.config.requests_per_minute, limits::ONCE_PATIENCE);
    let (base, principal) = (&source.config.base_url, &source.config.principal);
    Client::new(transport.clone(), ground.clock.clone(), Arc::new(key), base, principal)
}

async fn stream(source: &Source, event_type: &str, client: &Client, ground: &Ground) -> Finding {
    let what = format!("stream {}/{event_type}", source.name);
    let now = ground.clock.now();
    let after = jiff::Timestamp::from_second(now.as_second() - LOOK_BACK).unwrap_or(now);
    match client.list(event_type, &after.to_string(), None, 1).await {
        Ok(_) => Finding { what, well: true, counts: true, found: "listed".to_owned(), hint: None },
        Err(error) => Finding {
            what,
            well: false,
            counts: error.kind != ErrorKind::Unsupported,
            found: error.to_string(),
            hint: error.hint(),
        },
    }
}

async fn sink(entry: &SinkEntry, ground: &Ground, config: &Config) -> Finding {
    let what = format!("sink {}", entry.name);
    match entry.config.probe(ground, &config.network).await {
        Ok(found) => Finding { what, well: true, counts: true, found, hint: None },
        Err(error) => {
            let hint = match &error.recovery {
                Recovery::Pause { hint } => Some(hint.clone()),
                Recovery::Retry { .. } | Recovery::DeadLetter { .. } | Recovery::Fatal => None,
            };
            Finding { what, well: false, counts: true, found: error.to_string(), hint }
        }
    }
}
