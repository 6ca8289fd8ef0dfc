//! `search`: records of an archive, as they are found.

mod rows;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use indicatif::MultiProgress;
use tokio::runtime::Runtime;

use super::args::SearchOptions;
use super::verify::open;
use super::{Exit, Failure, Outcome, Place, logs, progress, runtime, say, shown};
use crate::archive::find::{Finding, Matcher, Piece, Plan, PlanFile, Query, Tally, plan};
use crate::archive::verify::Source;
use crate::limits;
use crate::record::Record;
use crate::sink::reader::Reading;
use crate::units::Size;
use rows::Rows;

pub use rows::Output;

/// An archive that is read for records.
pub struct Reader {
    source: Arc<dyn Source>,
    runtime: Runtime,
    bars: MultiProgress,
}

pub fn search(at: &Place, options: &SearchOptions) -> Outcome {
    let query = options.selectors.query()?;
    let reader = Reader::open(at, &options.from)?;
    let plan = reader.plan(&query)?;
    if options.dry_run {
        return dry(&plan);
    }
    let rows = Arc::new(Rows::new(options.output, query.contains.clone()));
    let mut out = Out { held: rows.head(), lost: false };
    let mut matched = 0;
    let found = reader.run(
        plan,
        query,
        move |_: &PlanFile, record: &Record<'_>| rows.row(record),
        |_, row: Vec<u8>| {
            out.held.extend_from_slice(&row);
            matched += 1;
            let full = out.held.len() >= limits::COPY_WINDOW;
            let ended = options.limit.is_some_and(|limit| matched >= limit);
            Ok(if (full && !out.flush()?) || ended {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        },
    )?;
    if !out.flush()? {
        return Ok(Exit::Done);
    }
    found.tell();
    if options.limit.is_some_and(|limit| matched >= limit) {
        say("note: --limit was reached, there may be more");
    }
    Ok(if found.broken == 0 { Exit::Done } else { Exit::Attention })
}

fn dry(plan: &Plan) -> Outcome {
    let unsealed = plan.unsealed();
    let text = format!(
        "{} objects to read, {}; {} of log files unpacked{}\n{} passed over by type and time\n",
        plan.files.len(),
        Size(plan.object_bytes()),
        Size(plan.bytes()),
        if unsealed > 0 {
            format!(", not counting {unsealed} that are not sealed yet")
        } else {
            String::new()
        },
        plan.passed_over,
    );
    super::print(text.as_bytes())
}

impl Reader {
    /// The archive of this name.
    pub fn open(at: &Place, from: &str) -> Result<Self, Failure> {
        let bars = progress::bars();
        logs::start("error", &bars);
        Ok(Self { source: Arc::new(Reading(open(at, from)?)), runtime: runtime()?, bars })
    }

    /// What it reads from.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// What has to be read; says what is odd about the archive.
    pub fn plan(&self, query: &Query) -> Result<Plan, Failure> {
        let plan =
            self.runtime.block_on(plan(&self.source, query)).map_err(|error| anyhow::anyhow!(error))?;
        for what in &plan.unreadable {
            say(&format!("FAULT {what}; what it seals is read as not sealed, see `custodex verify`"));
        }
        if plan.files.is_empty() && plan.passed_over == 0 {
            say("note: no log file lies in this archive");
        }
        Ok(plan)
    }

    /// Everything that matches, in order; says what cannot be read, and answers how much that is.
    pub fn each<T: Send + 'static>(
        self,
        query: Query,
        make: impl Fn(&PlanFile, &Record<'_>) -> T + Send + Sync + 'static,
        mut take: impl FnMut(&PlanFile, T),
    ) -> Result<usize, Failure> {
        let plan = self.plan(&query)?;
        let found = self.run(plan, query, make, |file, item| {
            take(file, item);
            Ok(ControlFlow::Continue(()))
        })?;
        found.tell();
        Ok(found.broken)
    }

    fn run<T: Send + 'static>(
        self,
        plan: Plan,
        query: Query,
        make: impl Fn(&PlanFile, &Record<'_>) -> T + Send + Sync + 'static,
        mut take: impl FnMut(&PlanFile, T) -> io::Result<ControlFlow<()>>,
    ) -> Result<Found, Failure> {
        let matcher = Arc::new(Matcher::new(query));
        let bar = progress::Share::new(&self.bars, plan.object_bytes());
        let mut found = Found::new(&plan);
        let ended = self.runtime.block_on(async {
            let mut finding =
                Finding::start(&self.source, plan.files, &matcher, move |file, record| make(file, &record));
            while let Some((file, piece)) = finding.next().await {
                match piece {
                    Piece::Found(item) => {
                        found.matched += 1;
                        if take(&file, item)?.is_break() {
                            break;
                        }
                    }
                    Piece::Done(tally) => {
                        found.tally += tally;
                        found.read += 1;
                        bar.passed(file.object_bytes, || found.so_far());
                    }
                    Piece::Failed(what) => {
                        self.bars.suspend(|| say(&format!("FAULT {}", shown::line(&what, usize::MAX))));
                        found.broken += 1;
                    }
                }
            }
            Ok(())
        });
        // Objects that are left in the middle are not waited for.
        self.runtime.shutdown_background();
        ended.map(|()| found)
    }
}

/// What was read.
struct Found {
    files: usize,
    passed_over: u64,
    without_times: u64,
    cut_ids: bool,
    matched: u64,
    read: usize,
    broken: usize,
    tally: Tally,
}

impl Found {
    fn new(plan: &Plan) -> Self {
        Self {
            files: plan.files.len(),
            passed_over: plan.passed_over,
            without_times: plan.without_times,
            cut_ids: plan.files.iter().any(|file| file.id_is_cut),
            matched: 0,
            read: 0,
            broken: plan.unreadable.len(),
            tally: Tally::default(),
        }
    }

    fn so_far(&self) -> String {
        format!("{} of {} log files · {} records found", self.read, self.files, self.matched)
    }

    fn tell(&self) {
        let Self { files, matched, read, broken, tally, .. } = self;
        let count = if *matched == 0 { "nothing matched".to_owned() } else { format!("{matched} records") };
        let size = Size(tally.bytes);
        say(&format!(
            "{count}; {read} of {files} log files read, {size}; {} passed over by type and time",
            self.passed_over
        ));
        if tally.untimed > 0 || self.without_times > 0 {
            let files = self.without_times;
            say(&format!(
                "note: what has no time is in no range of time: {} records, and {files} log files without any",
                tally.untimed
            ));
        }
        if tally.unseen > 0 {
            say(&format!("note: {} records over 16 MiB were not looked into", tally.unseen));
        }
        if self.cut_ids {
            say("note: ids of log files that a name holds only in part are not known before they are sealed");
        }
        if *broken > 0 {
            say(&format!(
                "ATTENTION: {broken} objects could not be read; what they hold may be missing here"
            ));
        }
    }
}

/// Standard output, in larger pieces.
struct Out {
    held: Vec<u8>,
    /// Nobody reads any more.
    lost: bool,
}

impl Out {
    /// Whether somebody still reads.
    fn flush(&mut self) -> io::Result<bool> {
        let mut out = io::stdout().lock();
        match out.write_all(&self.held).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.lost = true,
            result => result?,
        }
        self.held.clear();
        Ok(!self.lost)
    }
}
