//! `rebuild`: a lost data folder, made anew from an archive; says what came back and what follows.

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;

use super::args::RebuildOptions;
use super::verify::{fault, pinned, printable};
use super::{Exit, Failure, Outcome, Place, audit, logs, print, progress, runtime, same_user, say};
use crate::archive::verify::Fault;
use crate::config::Secrets;
use crate::daemon::rebuild::{
    Aside, RebuildError, Rebuilt, Recovered, Resumed, Wanted, archive_of, rebuild as make,
};
use crate::digest::hex;
use crate::ground::Ground;
use crate::ledger::{Action, Event, Restored, Target};

/// Faults and names that are shown.
const SHOWN: usize = 20;

pub fn rebuild(at: &Place, options: &RebuildOptions) -> Outcome {
    let bars = progress::bars();
    logs::start("error", &bars);
    let config = at.load(Secrets::Unread)?;
    same_user(&config, "rebuild")?;
    let ground = Ground::real();
    let from = archive_of(&config, &ground, &options.from).map_err(Failure::Usage)?;
    let pinned = options.public_key.iter().map(|path| pinned(path)).collect::<Result<Vec<_>, _>>()?;
    if pinned.is_empty() {
        say(
            "warning: no --public-key is given: the keys that lie in the archive are used, and whoever can write \
             there could have replaced them",
        );
    }
    let wanted = Wanted { from, pinned, replace: options.replace, since: options.deliver_since };
    let bar = bar(&bars);
    let told = |manifests, files| {
        bar.set_message(format!("{} manifests · {} log files", HumanCount(manifests), HumanCount(files)));
        bar.tick();
    };
    let made = runtime()?.block_on(make(&config, &ground, wanted, &told));
    bar.finish_and_clear();
    if let Err(RebuildError::Faults { faults, .. }) = &made {
        print(format!("{}\n", faults_of(faults).join("\n")).as_bytes())?;
    }
    let made = made?;
    let target = Target::new("instance", config.instance.clone());
    let details =
        json!({ "archive": options.from, "log_files": made.whole.files, "records": made.whole.records });
    audit::note(&config, Event::new(Action::Rebuilt, target, details));
    print(text(&made).as_bytes())?;
    for line in next_steps(&made) {
        say(&line);
    }
    Ok(Exit::Done)
}

fn bar(bars: &MultiProgress) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    bars.add(ProgressBar::new_spinner().with_style(style))
}

fn faults_of(faults: &[Fault]) -> Vec<String> {
    let mut lines: Vec<String> = faults.iter().take(SHOWN).map(fault).collect();
    if faults.len() > SHOWN {
        lines.push(format!("FAULT and {} more: see `custodex verify`", faults.len() - SHOWN));
    }
    lines
}

fn text(made: &Rebuilt) -> String {
    let whole = &made.whole;
    let mut lines = vec![format!(
        "rebuilt: {} log files with {} records, {} holes, {} to be fetched",
        whole.files, whole.records, whole.holes, whole.pending
    )];
    lines.extend(made.archives.iter().flat_map(archive));
    lines.extend(made.sinks.iter().map(sink));
    lines.extend(made.aside.iter().flat_map(aside));
    lines.push(String::new());
    lines.join("\n")
}

fn archive(one: &Recovered) -> Vec<String> {
    let place = printable(&one.place);
    let mut lines = vec![match one.chain.as_ref().and_then(|chain| Some((chain, chain.head?))) {
        Some((chain, (number, hash))) => format!(
            "archive {} in {place}: {} manifests, head {number}:{}, written {}; the chain goes on",
            one.sink,
            chain.manifests,
            hex(&hash.0),
            printable(&chain.written_at)
        ),
        None => format!("archive {} in {place}: no chain yet", one.sink),
    }];
    if let Some(Restored { files, .. }) = one.restored.as_ref().filter(|restored| restored.files > 0) {
        lines.push(format!("  it lacks log files that another archive has: it gets {files} from there"));
    }
    if one.taken > 0 {
        lines.push(format!(
            "  {} log files lay there unsealed and too old to be listed: the next manifest seals them, as found",
            one.taken
        ));
    }
    if one.unsealed > 0 {
        lines.push(format!(
            "  {} objects are not sealed yet: the next listing finds those that are ours",
            one.unsealed
        ));
    }
    if one.contradicting > 0 {
        lines.push(format!(
            "  {} log files were left out: another archive holds them with other content",
            one.contradicting
        ));
    }
    lines.extend(faults_of(&one.faults));
    lines
}

fn sink(one: &Resumed) -> String {
    let Some(restored) = &one.restored else { return format!("sink {}: begins as a new one", one.sink) };
    let Restored { files, records, .. } = restored;
    let why = if one.known {
        "goes on where the newest manifest says that it was"
    } else {
        "is in no manifest: begins behind what is sealed"
    };
    match files {
        0 => format!("sink {}: {why}", one.sink),
        _ => format!(
            "sink {}: {why}; it gets {files} log files with {records} records from the archive",
            one.sink
        ),
    }
}

fn aside(aside: &Aside) -> Vec<String> {
    let mut lines = vec![format!(
        "moved aside: {}; of {} log files of its spool {} are in no archive, and are fetched again while the provider \
         has them",
        aside.folder.display(),
        aside.spooled,
        aside.unarchived.len()
    )];
    lines.extend(aside.unarchived.iter().take(SHOWN).map(|name| format!("  spool/{name}")));
    if aside.unarchived.len() > SHOWN {
        lines.push(format!("  and {} more", aside.unarchived.len() - SHOWN));
    }
    lines
}

/// What the operator should know or do before the next start.
fn next_steps(made: &Rebuilt) -> Vec<String> {
    let signed = made.archives.iter().filter_map(|one| Some(one.chain.as_ref()?.keys.last()?.1.as_str()));
    let mut lines = Vec::new();
    for old in signed.collect::<std::collections::BTreeSet<_>>() {
        match made.key.as_deref() {
            Some(key) if key == old => {}
            Some(key) => lines.push(format!(
                "KEY CHANGE: {old} signed so far, {key} will sign from here on; `verify` then needs both public keys"
            )),
            None => lines.push(format!(
                "KEY CHANGE: the key {old} is gone. If you have it, put it back as keys/signing.pem in the data folder \
                 before the next start; else a new one is made, `custodex check` prints it, and `verify` needs both"
            )),
        }
    }
    lines.push(
        "what was fetched or delivered after the newest manifest was forgotten: it is fetched again while the provider \
         has it, and sinks other than archives get it again"
            .into(),
    );
    lines.push("next: `custodex run`, which first lists the whole 30 days".into());
    lines
}
