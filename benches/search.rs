//! How fast records are found in archived objects, against unpacking the same objects.
//!
//! `cargo bench --bench search [-- MEGABYTES ROUNDS]` packs log files of fresh text as an archive does, and in turn,
//! on one thread each, unpacks them with nothing else, looks for a text that is nowhere, for one that is in few
//! records, for one session, and for all records. It prints MB of log files a second, each the median, and its
//! share of the unpacking of the same round.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::ensure;
use custodex::archive::find::{Matcher, Query, read_content};
use custodex::archive::{Packing, pack, unpack};
use custodex::limits::COPY_WINDOW;
use custodex::record::Origin;
use custodex::words::{Principal, PrincipalKind};

#[expect(dead_code, reason = "other benchmarks serve what this one only makes")]
mod served;

fn main() -> anyhow::Result<()> {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let megabytes = numbers.first().copied().unwrap_or(64);
    let rounds = numbers.get(1).copied().unwrap_or(7);
    let (objects, bytes) = objects(megabytes as u64 * 1_000_000)?;
    let queries = [
        ("nowhere", Query { contains: Some("not in there".into()), ..Query::default() }),
        ("few", Query { contains: Some("0000-4000-8000-0000000000ff".into()), ..Query::default() }),
        ("session", Query { sessions: vec!["sess-17".into()], ..Query::default() }),
        ("all", Query::default()),
    ];
    let matchers: Vec<Matcher> = queries.iter().map(|(_, query)| Matcher::new(query.clone())).collect();
    let mut control = Vec::new();
    let mut figures = vec![(Vec::new(), Vec::new()); queries.len()];
    let mut matched = vec![0; queries.len()];
    for _ in 0..rounds {
        let alone = timed(&objects, |content| drain(content))?;
        control.push(bytes / alone / 1e6);
        for ((matcher, (rates, shares)), matched) in matchers.iter().zip(&mut figures).zip(&mut matched) {
            *matched = 0;
            let time = timed(&objects, |content| {
                *matched += search(content, matcher)?;
                Ok(())
            })?;
            rates.push(bytes / time / 1e6);
            shares.push(alone / time);
        }
    }
    println!("unpack    {:>7.0} MB/s", median(&mut control));
    for (((name, _), (mut rates, mut shares)), matched) in queries.iter().zip(figures).zip(matched) {
        println!(
            "{name:<9} {:>7.0} MB/s  {:.2} of unpacking, {matched} records",
            median(&mut rates),
            median(&mut shares)
        );
    }
    Ok(())
}

/// Packed log files, and their bytes unpacked.
fn objects(bytes: u64) -> anyhow::Result<(Vec<Vec<u8>>, f64)> {
    let folder = tempfile::tempdir()?;
    let mut total = 0;
    served::make(folder.path(), bytes)?;
    let mut objects = Vec::new();
    for entry in std::fs::read_dir(folder.path())? {
        let mut content = File::open(entry?.path())?;
        let mut packer = pack(Packing::Zstd, Vec::new(), None)?;
        total += io::copy(&mut content, &mut packer)?;
        objects.push(packer.finish()?);
    }
    ensure!(!objects.is_empty(), "no log files");
    Ok((objects, total as f64))
}

/// Seconds that it takes to do something with the content of every object.
fn timed(objects: &[Vec<u8>], mut work: impl FnMut(&mut dyn Read) -> io::Result<()>) -> io::Result<f64> {
    let start = Instant::now();
    for object in objects {
        work(&mut unpack(Packing::Zstd, object.as_slice())?)?;
    }
    Ok(start.elapsed().as_secs_f64())
}

fn drain(content: &mut dyn Read) -> io::Result<()> {
    let mut window = vec![0; COPY_WINDOW];
    while content.read(&mut window)? > 0 {
        black_box(&window);
    }
    Ok(())
}

fn search(content: &mut dyn Read, matcher: &Matcher) -> io::Result<u64> {
    let origin = Origin {
        principal: Principal { kind: PrincipalKind::Workspace, id: served::WORKSPACE.into() },
        event_type: "CODEX_LOG".into(),
        file_id: "eclf_1".into(),
        file_sha256: [0; 32],
        observed: jiff::Timestamp::UNIX_EPOCH,
        own_key: None,
    };
    let tally = read_content(content, &origin, matcher, &mut |record| {
        black_box(record);
        ControlFlow::Continue(())
    })?;
    Ok(tally.matched)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
