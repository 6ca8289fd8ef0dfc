//! Which log files there are.
//!
//! Owns the facts of every file: computed once from its bytes, which are then dropped and made again
//! on demand. Fixed after the start; equal for equal seed, options and rounded start time.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;

use super::chaos::{self, Case};
use super::content::{COSTS, Plan, WORKSPACE_TYPES};
use super::folder::{self, Lines};
use super::{Options, shape};
use crate::digest::{hex, sha256};
use crate::words::PrincipalKind;

/// Files are kept, and listed, for this long, seconds.
pub(super) const RETENTION: i64 = 30 * 86_400;
/// No file is so old at the start that it expires within this time, seconds.
const SPARE: i64 = 4 * 3600;
/// The small files of a tie lie in this time before all others.
const TIE_SPAN: i64 = 7200;
/// Records of a file that exists for one case.
const FEW: usize = 12;

/// One log file.
#[derive(Debug)]
pub(super) struct File {
    pub id: String,
    pub kind: PrincipalKind,
    pub event_type: &'static str,
    /// `end_time`, seconds.
    pub end: i64,
    pub size: u64,
    pub sha256: [u8; 32],
    pub records: u64,
    pub case: Option<Case>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    /// Made from a plan; the first records of another one repeat at the end.
    Made { plan: Plan, repeats: Option<(Plan, usize)> },
    /// Lines of files on disk.
    Lines(Lines),
}

/// The files of one principal and event type, oldest first.
#[derive(Debug)]
pub(super) struct Stream {
    pub kind: PrincipalKind,
    pub event_type: &'static str,
    /// Places in [`Catalogue::files`].
    pub files: Vec<usize>,
}

/// All files.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub files: Vec<File>,
    pub streams: Vec<Stream>,
    by_id: HashMap<String, usize>,
}

/// A file before its bytes were looked at.
struct Draft {
    event_type: &'static str,
    end: i64,
    case: Option<Case>,
    body: Body,
}

impl Body {
    fn make(&self, case: Option<Case>) -> io::Result<(Vec<u8>, u64)> {
        match self {
            Self::Lines(lines) => Ok((lines.read()?, lines.records)),
            Self::Made { plan, repeats: None } => Ok(shape::make(*plan, case)),
            Self::Made { plan, repeats: Some((other, repeats)) } => {
                let (mut bytes, _) = plan.first(plan.count - repeats);
                bytes.extend_from_slice(&other.first(*repeats).0);
                Ok((bytes, plan.count as u64))
            }
        }
    }
}

impl File {
    /// The bytes, made anew.
    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        self.body.make(self.case).map(|made| made.0)
    }

    /// `end_time` as it is listed.
    pub(super) fn end_time(&self) -> String {
        end_time(self.end)
    }
}

/// A moment as the API writes it: `2026-07-15T10:53:24+00:00`.
pub(super) fn end_time(second: i64) -> String {
    let at = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// Who the files of an event type belong to.
pub(super) fn kind_of(event_type: &str) -> PrincipalKind {
    if event_type == COSTS { PrincipalKind::Organization } else { PrincipalKind::Workspace }
}

impl Catalogue {
    /// The files of `options` as seen from `now`, seconds.
    pub(super) fn build(options: &Options, now: i64) -> anyhow::Result<Self> {
        let base = now - now.rem_euclid(600);
        let drafts = match &options.records_from {
            Some(folder) => from_folder(options, base, folder::read(folder, options.records_per_file)?),
            None => generated(options, base),
        };
        let mut files = facts(options.seed, &drafts)?;
        files.sort_by(|a, b| (a.end, &a.id).cmp(&(b.end, &b.id)));
        let by_id = files.iter().enumerate().map(|(place, file)| (file.id.clone(), place)).collect();
        let streams = WORKSPACE_TYPES.into_iter().chain([COSTS]).map(|event_type| Stream {
            kind: kind_of(event_type),
            event_type,
            files: (0..files.len()).filter(|place| files[*place].event_type == event_type).collect(),
        });
        Ok(Self { streams: streams.collect(), files, by_id })
    }

    /// The file with this id.
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }
}

fn span(options: &Options) -> i64 {
    (i64::from(options.days.max(1)) * 86_400).min(RETENTION - SPARE)
}

fn generated(options: &Options, base: i64) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (number, event_type) in WORKSPACE_TYPES.into_iter().chain([COSTS]).enumerate() {
        usual_files(options, base, (number, event_type), &mut drafts);
    }
    if options.chaos {
        files_with_a_case(options, base, &mut drafts);
        late_and_tied_files(options, base, &mut drafts);
    }
    drafts
}

/// Evenly spread files; each ends with a few records of the one before.
fn usual_files(options: &Options, base: i64, stream: (usize, &'static str), drafts: &mut Vec<Draft>) {
    let total = u64::from(options.days.max(1)) * u64::from(options.files_per_day);
    let count = usize::try_from(options.records_per_file.max(1)).unwrap_or(usize::MAX);
    let (number, event_type) = stream;
    let step = span(options) / i64::try_from(total.max(1)).unwrap_or(i64::MAX);
    let own_delay = i64::try_from(number).unwrap_or(0) * 41 + 13;
    let plan = |index: u64| {
        let back = i64::try_from(total - 1 - index).unwrap_or(i64::MAX);
        Plan { seed: options.seed, event_type, index, end: base - own_delay - back * step, count }
    };
    for index in 0..total {
        let (plan, before) = (plan(index), index.checked_sub(1).map(plan));
        // Three in a hundred, over many files also when a file has fewer.
        let more = usize::from(index * 37 % 100 < (count * 3 % 100) as u64);
        let repeats = (count * 3 / 100 + more).min(count / 2);
        let light = options.chaos && index % chaos::LIGHT_EVERY == chaos::LIGHT_EVERY / 2;
        let which = usize::try_from(index / chaos::LIGHT_EVERY).unwrap_or(0) + number;
        drafts.push(Draft {
            event_type,
            end: plan.end,
            case: light.then(|| chaos::LIGHT[which % chaos::LIGHT.len()]),
            body: Body::Made { plan, repeats: before.filter(|_| repeats > 0).map(|plan| (plan, repeats)) },
        });
    }
}

fn files_with_a_case(options: &Options, base: i64, drafts: &mut Vec<Draft>) {
    for (number, (case, event_type)) in chaos::with_own_file().enumerate() {
        let number = i64::try_from(number).unwrap_or(0);
        let end = base - SPARE - number * 240;
        let count = if case == Case::BigFile { 600 } else { FEW };
        let plan =
            Plan { seed: options.seed, event_type, index: 1_000_000 + number.unsigned_abs(), end, count };
        drafts.push(small(plan, end, Some(case)));
        if matches!(case, Case::SameIdSameBytes | Case::SameIdOtherBytes) {
            // The same window, so that the first record is the one the other file repeats.
            drafts.push(small(Plan { index: shape::DONOR, ..plan }, end + 60, None));
        }
    }
}

fn late_and_tied_files(options: &Options, base: i64, drafts: &mut Vec<Draft>) {
    let mut put = |event_type, index, end, case| {
        let plan = Plan { seed: options.seed, event_type, index, end, count: FEW };
        drafts.push(small(plan, end, case));
    };
    for (number, event_type) in (0..).zip(chaos::STREAMS) {
        let index = 4_000_000 + number;
        put(
            event_type,
            index,
            base - 3900 - i64::try_from(number).unwrap_or(0) * 60,
            Some(Case::LateInOverlap),
        );
    }
    put("AUDIT_LOG", 4_100_000, base - span(options) * 3 / 5, Some(Case::LateBeyondOverlap));
    put("CODEX_LOG", 4_100_001, base - span(options) * 4 / 5, Some(Case::LateBeyondOverlap));
    let start = base - span(options) - TIE_SPAN;
    let (before, tied) = chaos::TIE;
    for number in 0..before + tied {
        let minutes = i64::try_from(number.min(before)).unwrap_or(0);
        put(chaos::TIED, 3_000_000 + number, start + minutes * 60, Some(Case::TieAcrossEdge));
    }
}

fn small(plan: Plan, end: i64, case: Option<Case>) -> Draft {
    Draft { event_type: plan.event_type, end, case, body: Body::Made { plan, repeats: None } }
}

/// Files of given lines, evenly spread; under chaos the first ones get the faults of the transfer.
fn from_folder(options: &Options, base: i64, all: Vec<(&'static str, Lines)>) -> Vec<Draft> {
    let step = span(options) / i64::try_from(all.len().max(1)).unwrap_or(i64::MAX);
    let newest = all.len();
    let passing = |case: &Case| {
        matches!(case.at(), chaos::At::Download | chaos::At::Signed) && !case.is_gone() && options.chaos
    };
    let mut cases = chaos::TABLE.iter().map(|row| row.1).filter(passing);
    let drafts = all.into_iter().enumerate().map(|(number, (event_type, lines))| {
        let back = i64::try_from(newest - 1 - number).unwrap_or(0);
        Draft { event_type, end: base - 60 - back * step, case: cases.next(), body: Body::Lines(lines) }
    });
    drafts.collect()
}

/// Makes every file once, on a few threads, and keeps size and hash.
fn facts(seed: u64, drafts: &[Draft]) -> anyhow::Result<Vec<File>> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(drafts.len())));
    let work = || -> io::Result<()> {
        while let Some(draft) = drafts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let file = fact(seed, draft)?;
            done.lock().unwrap_or_else(PoisonError::into_inner).push(file);
        }
        Ok(())
    };
    std::thread::scope(|scope| -> io::Result<()> {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().map_err(|_| io::Error::other("a thread that made log files ended early"))??;
        }
        Ok(())
    })?;
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn fact(seed: u64, draft: &Draft) -> io::Result<File> {
    let (bytes, records) = draft.body.make(draft.case)?;
    let sha256_of_bytes = sha256(&bytes);
    let Draft { event_type, end, case, body } = draft;
    let index = match body {
        Body::Made { plan, .. } => plan.index,
        Body::Lines(_) => 0,
    };
    let name = sha256(format!("{seed} {event_type} {end} {index}").as_bytes());
    Ok(File {
        id: format!("eclf_{}", &hex(&name)[..20]),
        kind: kind_of(event_type),
        event_type,
        end: *end,
        size: bytes.len() as u64,
        sha256: sha256_of_bytes,
        records,
        case: *case,
        body: body.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const NOW: i64 = 1_783_999_860;

    fn options(chaos: bool) -> Options {
        Options { seed: 5, days: 2, files_per_day: 3, records_per_file: 40, records_from: None, chaos }
    }

    #[test]
    fn equal_options_make_equal_files() {
        let (one, two) =
            (Catalogue::build(&options(false), NOW), Catalogue::build(&options(false), NOW + 300));
        let (one, two) = (one.expect("files"), two.expect("files"));
        assert_eq!(one.files.len(), 10 * 6);
        for (a, b) in one.files.iter().zip(&two.files) {
            assert_eq!((&a.id, a.end, a.size, a.sha256), (&b.id, b.end, b.size, b.sha256));
            assert!(a.end <= NOW && a.end > NOW - 2 * 86_400 - 600);
            assert_eq!(sha256(&a.bytes().expect("bytes")), a.sha256);
        }
        let other = Catalogue::build(&Options { seed: 6, ..options(false) }, NOW).expect("files");
        assert_ne!(one.files[0].sha256, other.files[0].sha256);
    }

    #[test]
    fn about_three_in_a_hundred_records_repeat_an_earlier_one() {
        let all = Catalogue::build(&options(false), NOW).expect("files");
        for stream in &all.streams {
            let (mut seen, mut repeats, mut records) = (HashSet::new(), 0, 0);
            for place in &stream.files {
                for line in all.files[*place].bytes().expect("bytes").split_inclusive(|byte| *byte == b'\n') {
                    records += 1;
                    repeats += usize::from(!seen.insert(sha256(line)));
                }
            }
            assert_eq!(records, 240);
            assert!((4..=12).contains(&repeats), "{} {repeats}", stream.event_type);
        }
    }

    #[test]
    fn chaos_puts_a_tie_across_the_first_page() {
        let all = Catalogue::build(&options(true), NOW).expect("files");
        let ids: HashSet<_> = all.files.iter().map(|file| &file.id).collect();
        assert_eq!(ids.len(), all.files.len());
        let tied = all.streams.iter().find(|stream| stream.event_type == chaos::TIED).expect("the stream");
        let end = |number: usize| all.files[tied.files[number]].end;
        assert!(end(98) == end(99) && end(99) == end(100) && end(103) == end(99));
        assert!(end(96) < end(97) && end(103) < end(104));
        for (case, event_type) in chaos::with_own_file() {
            let found = all.files.iter().any(|file| file.case == Some(case) && file.event_type == event_type);
            assert!(found, "{}", case.name());
        }
    }
}
