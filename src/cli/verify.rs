//! `verify`: an archive against its chains of manifests; every fault on a line of its own.

use std::fs;
use std::sync::Arc;

use super::args::VerifyOptions;
use super::{Exit, Failure, Outcome, Place, logs, print, progress, prove, runtime, say};
use crate::archive::PublicKey;
use crate::archive::verify::{Fault, Options, Report, verify as check};
use crate::config::{NetworkConfig, Secrets};
use crate::digest::{hex, unhex32};
use crate::ground::Ground;
use crate::sink::reader::{self, ArchiveReader, Reading, told};
use crate::units::Size;

/// Names of objects that are not sealed yet, printed.
const SHOWN: usize = 20;

pub fn verify(at: &Place, options: &VerifyOptions) -> Outcome {
    logs::start("error", &progress::bars());
    if let Some(proof) = &options.proof {
        return prove::check(proof, options);
    }
    let from = options.from.as_deref().unwrap_or_default();
    let wanted = Options {
        pinned: options.public_key.iter().map(|path| pinned(path)).collect::<Result<_, _>>()?,
        expected_head: options.expect_head.as_deref().map(head).transpose()?,
        deep: options.deep,
        ..Options::default()
    };
    let trusted = !wanted.pinned.is_empty();
    let reader = open(at, from)?;
    let place = reader.place();
    let report = runtime()?.block_on(hold(reader, wanted))?;
    if !trusted {
        say(
            "warning: no --public-key is given: the keys that lie in the archive are used, and whoever can write \
             there could have replaced them",
        );
    }
    print(text(&place, &report, options.deep).as_bytes())?;
    let clean = report.faults.is_empty();
    say(if clean {
        "verified: no faults"
    } else {
        "FAULTS: keep this archive as evidence, and find out who wrote to it"
    });
    Ok(if clean { Exit::Done } else { Exit::Attention })
}

/// Holds an archive against its chains.
pub async fn hold(archive: Arc<dyn ArchiveReader>, wanted: Options) -> Result<Report, Failure> {
    Ok(check(Arc::new(Reading(archive)), wanted).await.map_err(|error| anyhow::anyhow!(error))?)
}

/// The archive of this name; where there is no configuration, an archive can still be named by its place.
pub fn open(at: &Place, from: &str) -> Result<Arc<dyn ArchiveReader>, Failure> {
    let given = at.config.is_some() || at.path().try_exists().unwrap_or(true);
    let config = given.then(|| at.load(Secrets::Unread)).transpose()?;
    let network = config.as_ref().map_or_else(NetworkConfig::default, |config| config.network.clone());
    let sinks = config.iter().flat_map(|config| &config.sinks).map(|sink| (sink.name.as_str(), &sink.config));
    reader::open(from, sinks, Ground::real(), &network).map_err(|error| Failure::Usage(told(&error)))
}

/// A key that is trusted.
pub fn pinned(path: &std::path::Path) -> Result<PublicKey, Failure> {
    let wrong = |what: String| Failure::Usage(format!("the public key {}: {what}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    PublicKey::from_pem(&text).map_err(|error| wrong(error.to_string()))
}

fn head(text: &str) -> Result<(u64, [u8; 32]), Failure> {
    let parts = text.split_once(':');
    parts.and_then(|(number, hash)| Some((number.parse().ok()?, unhex32(hash)?))).ok_or_else(|| {
        Failure::Usage("--expect-head is the number of a manifest, a colon and its 64 hex digits".to_owned())
    })
}

fn text(place: &str, report: &Report, deep: bool) -> String {
    let mut lines = vec![format!(
        "{place}: {} log files sealed, {} records, {}; {}",
        report.files,
        report.records,
        Size(report.bytes),
        if deep {
            "every object was read"
        } else {
            "names, sizes and manifests were looked at (--deep reads all)"
        }
    )];
    for chain in &report.chains {
        let head =
            chain.head.map(|(number, hash)| format!("head {number}:{}", hex(&hash.0))).unwrap_or_default();
        lines.push(format!(
            "chain {}: {} manifests, {head}, written {}",
            printable(&chain.folder),
            chain.manifests,
            printable(&chain.written_at)
        ));
        for (number, key) in &chain.keys {
            let change = if *number == 1 { "signed" } else { "KEY CHANGE: signed" };
            lines.push(format!("  {change} with {key} from manifest {number} on"));
        }
    }
    lines.push(String::new());
    lines.extend(report.calendar.to_string().lines().map(printable));
    for hole in &report.holes {
        let line = format!(
            "hole: {} of {} {} ({}): {}",
            hole.event_type, hole.principal, hole.file_id, hole.end_time, hole.reason
        );
        lines.push(printable(&line));
    }
    if report.found > 0 {
        lines.push(format!(
            "found by a rebuild: {} of the log files lay in the archive unsealed when the data folder was lost; that \
             they are the provider's rests on the archive alone",
            report.found
        ));
    }
    let unsealed = report.unsealed.len() as u64 + report.more_unsealed;
    if unsealed > 0 {
        lines.push(format!("not sealed yet: {unsealed} objects"));
        lines.extend(report.unsealed.iter().take(SHOWN).map(|key| format!("  {}", printable(key))));
    }
    lines.extend(report.faults.iter().map(fault));
    if report.more_faults > 0 {
        lines.push(format!("FAULT and {} more", report.more_faults));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// A line about a fault.
pub fn fault(fault: &Fault) -> String {
    format!("FAULT {} {}", printable(&fault.place), printable(&fault.what))
}

/// Whole, since a place is of no use without its end; an archive may hold anything, a terminal obeys it.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
