//! What redaction costs: every built-in pattern over the golden records, against validating them.
//!
//! `cargo bench --bench redact [-- ROUNDS]` prints, for the same lines in the same run, the time that
//! `serde_json` takes to validate them, that it takes to write native records, and to write them with
//! `mask`; and the ratios to the first, each of medians.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use custodex::format::{Encode, Encoder, Options, Redaction};
use custodex::record::{Origin, RawRecord, Record};
use custodex::words::{Principal, PrincipalKind};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Times that the lines of a round are gone through.
const TIMES: usize = 200;

#[derive(Deserialize)]
struct Keys {
    redact: Redaction,
}

fn main() -> anyhow::Result<()> {
    let rounds = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(9);
    let lines = lines()?;
    let mask: Keys = toml::from_str("redact = [{ action = 'mask' }]")?;
    let plain = Encoder::new(Options::default(), None);
    let masking = plain.clone().redacting(mask.redact);
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..rounds {
        times[0].push(measure(|| {
            for (_, line) in &lines {
                black_box(serde_json::from_str::<IgnoredAny>(line).is_ok());
            }
        }));
        times[1].push(measure(|| encode(&lines, &plain)));
        times[2].push(measure(|| encode(&lines, &masking)));
    }
    let [control, plain, masked] = times.map(median);
    let ratio = |time: Duration| time.as_secs_f64() / control.as_secs_f64();
    println!("validate  {control:>10.2?}");
    println!("native    {plain:>10.2?}  {:.2} times that", ratio(plain));
    println!("masked    {masked:>10.2?}  {:.2} times that", ratio(masked));
    println!("redaction alone           {:.2} times that", ratio(masked.saturating_sub(plain)));
    Ok(())
}

fn lines() -> anyhow::Result<Vec<(Origin, String)>> {
    let mut all = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).context("a name")?;
        let Some(event_type) = name.strip_suffix(".jsonl").filter(|stem| !stem.contains('.')) else {
            continue;
        };
        let id = "11111111-2222-4333-8444-555555555555".to_owned();
        let origin = Origin {
            principal: Principal { kind: PrincipalKind::Workspace, id },
            event_type: event_type.to_owned(),
            file_id: "eclf_1".to_owned(),
            file_sha256: [0; 32],
            observed: "2026-07-22T12:00:00Z".parse()?,
            own_key: None,
        };
        let text = fs::read_to_string(&path)?;
        let valid = text.lines().filter(|line| serde_json::from_str::<IgnoredAny>(line).is_ok());
        all.extend(valid.map(|line| (origin.clone(), line.to_owned())));
    }
    Ok(all)
}

fn encode(lines: &[(Origin, String)], encoder: &Encoder) {
    let mut out = Vec::new();
    for (origin, line) in lines {
        out.clear();
        let raw = RawRecord::alone(line.as_bytes(), [0; 32]);
        encoder.encode(&Record::parse(origin, raw), &mut out);
        black_box(&out);
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn measure(mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..TIMES).for_each(|_| work());
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
