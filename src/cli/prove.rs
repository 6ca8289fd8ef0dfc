//! `prove`: writes the proof of one record. `verify --proof`: checks one.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::args::{ProveOptions, VerifyOptions};
use super::verify::{open, pinned};
use super::{Exit, Failure, Outcome, Place, case, logs, print, progress, runtime, say};
use crate::archive::verify::Source;
use crate::archive::{Proof, Proved, Wanted};
use crate::sink::reader::Reading;

pub fn prove(at: &Place, options: &ProveOptions) -> Outcome {
    logs::start("error", &progress::bars());
    let wanted = Wanted::parse(&options.id).ok_or_else(|| {
        Failure::Usage("a record is named by its id of 32 hex digits, or FILE_ID:BYTE_OFFSET".to_owned())
    })?;
    let source: Arc<dyn Source> = Arc::new(Reading(open(at, &options.from)?));
    let made = runtime()?.block_on(Proof::make(&source, &wanted)).map_err(|error| anyhow::anyhow!(error))?;
    let Some(proof) = made else {
        say(&format!("no sealed log file of this archive holds {}", options.id));
        say("hint: what was archived after the newest manifest is sealed by the next one, within an hour");
        return Ok(Exit::Attention);
    };
    let mut text = serde_json::to_vec_pretty(&proof).map_err(anyhow::Error::from)?;
    text.push(b'\n');
    fs::write(&options.out, text)
        .map_err(|error| anyhow::anyhow!("cannot write {}: {error}", options.out.display()))?;
    say(&format!("the proof of {} is in {}", proof.id, options.out.display()));
    Ok(Exit::Done)
}

/// Checks a proof against the keys that are given.
pub fn check(file: &Path, options: &VerifyOptions) -> Outcome {
    let keys = options.public_key.iter().map(|path| pinned(path)).collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        let what = "a proof is checked with --public-key: a key that you did not get with the proof";
        return Err(Failure::Usage(what.to_owned()));
    }
    if case::is_case(file) {
        return case::check(file, &keys);
    }
    let wrong = |what: String| Failure::Usage(format!("the proof {}: {what}", file.display()));
    let bytes = fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let proof: Result<Proof, _> = serde_json::from_slice(&bytes);
    match proof.map_err(|error| format!("it is no proof: {error}")).and_then(|proof| proof.check(&keys)) {
        Ok(proved) => {
            print(text(&proved).as_bytes())?;
            say("verified: the proof holds");
            Ok(Exit::Done)
        }
        Err(what) => {
            say(&format!("FAULT {}: {what}", file.display()));
            Ok(Exit::Attention)
        }
    }
}

fn text(proved: &Proved) -> String {
    let Proved { record, file, manifest, signer } = proved;
    format!(
        "record of {} bytes, one of {} of {} log file {} ({})\nsealed in manifest {} of {}, written {}, signed with {signer}\n",
        record.len(),
        file.records,
        file.event_type,
        file.file_id,
        file.end_time,
        manifest.number,
        manifest.instance,
        manifest.written_at
    )
}
