//! What it costs to parse and encode records, against what it costs to find that they are JSON.
//!
//! `cargo bench --bench encode [-- MEGABYTES ROUNDS]` takes the sample lines, as often as they fill so many
//! megabytes of memory, and in turn validates them with `serde_json`, then parses and encodes them as
//! native records, ECS and OCSF. It prints the median of each and its ratio to the validation of the same
//! round.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use custodex::digest::sha256;
use custodex::format::{Encode, Encoder, Format, Options};
use custodex::record::{Origin, RawRecord, Record};
use custodex::words::{Principal, PrincipalKind};

const WORKSPACE: &str = "11111111-2222-4333-8444-555555555555";

/// The lines of one event type, with their hashes, which the reader finds when it cuts them.
struct Lines {
    origin: Origin,
    lines: Vec<(String, [u8; 32])>,
}

fn main() -> anyhow::Result<()> {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let megabytes = numbers.first().copied().unwrap_or(32);
    let rounds = numbers.get(1).copied().unwrap_or(9);
    let all = samples()?;
    let bytes: usize = all.iter().flat_map(|part| &part.lines).map(|(line, _)| line.len()).sum();
    let times = (megabytes << 20) / bytes + 1;
    let total = (bytes * times) as f64;
    let formats = [Format::Native, Format::Ecs, Format::Ocsf];
    let mut figures = vec![Vec::new(); formats.len() + 1];
    for _ in 0..rounds {
        let control = validate(&all, times);
        figures[0].push((control, 1.0));
        for (place, format) in formats.into_iter().enumerate() {
            let time = encode(&all, times, format);
            figures[place + 1].push((time, time / control));
        }
    }
    println!("{:.0} MB of {bytes} bytes of samples, medians of {rounds} rounds", total / 1e6);
    for (name, mut figures) in ["serde_json validates", "native", "ecs", "ocsf"].into_iter().zip(figures) {
        let mut middle = |by: fn(&(f64, f64)) -> f64| {
            figures.sort_by(|left, right| by(left).total_cmp(&by(right)));
            by(&figures[figures.len() / 2])
        };
        let (time, ratio) = (middle(|figure| figure.0), middle(|figure| figure.1));
        println!("{name:20} {:6.0} MB/s  {ratio:.2}", total / 1e6 / time);
    }
    Ok(())
}

fn validate(all: &[Lines], times: usize) -> f64 {
    let begun = Instant::now();
    for _ in 0..times {
        for (line, _) in all.iter().flat_map(|part| &part.lines) {
            black_box(serde_json::from_str::<serde::de::IgnoredAny>(black_box(line)).is_ok());
        }
    }
    begun.elapsed().as_secs_f64()
}

fn encode(all: &[Lines], times: usize, format: Format) -> f64 {
    let encoder = Encoder::new(Options { format, ..Options::default() }, None);
    let mut out = Vec::with_capacity(1 << 20);
    let begun = Instant::now();
    for _ in 0..times {
        for part in all {
            for (line, sha256) in &part.lines {
                let raw = RawRecord::alone(line.as_bytes(), *sha256);
                out.clear();
                encoder.encode(&Record::parse(&part.origin, raw), &mut out);
                black_box(&out);
            }
        }
    }
    begun.elapsed().as_secs_f64()
}

/// The samples beside the project, else the golden ones.
fn samples() -> anyhow::Result<Vec<Lines>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = root.join("../shared/samples/compliance");
    let folder = if shared.is_dir() { shared } else { root.join("tests/golden") };
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(event_type) = name.strip_suffix(".jsonl").filter(|stem| !stem.contains('.')) else {
            continue;
        };
        let event_type = if event_type == "drift" { "CODEX_LOG" } else { event_type };
        let text = std::fs::read_to_string(&path)?;
        let lines = text.lines().filter(|line| line.starts_with('{'));
        all.push(Lines {
            origin: Origin {
                principal: Principal { kind: PrincipalKind::Workspace, id: WORKSPACE.to_owned() },
                event_type: event_type.to_owned(),
                file_id: "eclf_1".to_owned(),
                file_sha256: [0xab; 32],
                observed: "2026-07-22T12:00:00Z".parse()?,
                own_key: None,
            },
            lines: lines.map(|line| (line.to_owned(), sha256(line.as_bytes()))).collect(),
        });
    }
    ensure!(all.iter().any(|part| !part.lines.is_empty()), "no samples in {}", folder.display());
    Ok(all)
}
