//! Every command and option, as clap reads them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use jiff::Timestamp;

use super::search::Output;
use super::selectors::{self, Selectors};
use super::timeline::TimelineOutput;
use crate::archive::find::Moment;
use crate::format::Format;

const AFTER: &str = "\
Exit codes:
  0   done
  1   internal error
  2   wrong use
  3   finished, but something needs attention: pending files, refused streams, unacknowledged holes,
      undelivered records, dead letters, a failed probe, an archive with faults
  4   another daemon holds the data folder
  78  configuration

Start here: `custodex demo` shows everything on this machine, without a key.";

/// Takes custody of an organization's Codex and ChatGPT Enterprise compliance logs.
#[derive(Debug, Parser)]
#[command(name = "custodex", version, about, after_help = AFTER, max_term_width = 100)]
pub struct Arguments {
    /// The configuration [default: $`CUSTODEX_CONFIG`, then /etc/custodex/config.toml].
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole of it on this machine: a simulated API, the daemon, a file sink.
    Demo(DemoOptions),
    /// Collect and deliver, for ever or to an end.
    Run(RunOptions),
    /// Check the configuration, then every stream and every sink.
    Check(CheckOptions),
    /// Show how it goes: headroom first, then streams and sinks.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List log files that could not be had, or act on one.
    Holes(HolesOptions),
    /// List records that a sink can never take, or try them again.
    DeadLetters(LettersOptions),
    /// Show what a format calls each field.
    Fields(FieldsOptions),
    /// Show how a sink would send given raw lines; needs no daemon and no network.
    Preview(PreviewOptions),
    /// Verify the chain of custody of an archive; names every fault.
    Verify(VerifyOptions),
    /// Write the proof of one record, which can be checked without the archive.
    Prove(ProveOptions),
    /// Find records in an archive.
    ///
    /// Needs the archive alone: no daemon, no ledger, no keys. What is found is not verified; `verify` and `prove`
    /// do that.
    Search(SearchOptions),
    /// Tell the life of one record: its log file, its place, its copies, what seals it, what each sink did.
    Explain(ExplainOptions),
    /// Show one session in order: prompts, responses, tool calls, tokens.
    Timeline(TimelineOptions),
    /// Put records, their proofs and a page to read them into one sealed file.
    Case(CaseOptions),
    /// Make a lost data folder anew from an archive.
    Rebuild(RebuildOptions),
    /// Deliver archived records again, marked as a replay.
    ///
    /// They go where the sink's `replay` keys say, apart from live records. A replay that was stopped or killed
    /// goes on when the same command is given again.
    Replay(ReplayOptions),
    /// Run the API simulator alone.
    Simulate(SimulateOptions),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Print the manual page.
    Man {
        /// Write it and one of each command to this folder instead.
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

/// Of `demo`.
#[derive(Debug, Args)]
pub struct DemoOptions {
    /// Other seeds show other content.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Go on afterwards, and keep the status page up.
    #[arg(long)]
    pub serve: bool,
}

/// Of `run`.
#[derive(Clone, Copy, Debug, Args)]
pub struct RunOptions {
    /// Collect all there is, deliver all of it, exit.
    #[arg(long)]
    pub once: bool,
    /// List the whole 30 days again, to find files that appeared late.
    #[arg(long, requires = "once")]
    pub sweep: bool,
}

/// Of `check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// Look at the configuration only.
    #[arg(long)]
    pub offline: bool,
    /// Send one test event through this sink, marked as such, and wait for its confirmation.
    ///
    /// Whatever the sink's `select` says. Streams and other sinks are not looked at. An archive gets the object
    /// `custodex-probe`, which stays there; `object_lock` is not asked for it, but a default retention of the
    /// bucket holds for it, too.
    #[arg(long, value_name = "SINK", conflicts_with = "offline")]
    pub send_test: Option<String>,
}

/// Of `holes`.
#[derive(Debug, Args)]
pub struct HolesOptions {
    /// Try again to fetch the log file of this hole.
    #[arg(long, value_name = "ID", conflicts_with = "acknowledge")]
    pub retry: Option<i64>,
    /// Note that somebody has seen this hole, so that it needs no more attention.
    #[arg(long, value_name = "ID")]
    pub acknowledge: Option<i64>,
}

/// Of `dead-letters`.
#[derive(Debug, Args)]
pub struct LettersOptions {
    /// Only those of this sink.
    #[arg(long, value_name = "SINK")]
    pub sink: Option<String>,
    /// Deliver them after all.
    #[arg(long)]
    pub retry: bool,
}

/// Of `fields`.
#[derive(Debug, Args)]
pub struct FieldsOptions {
    /// Which format.
    #[arg(long, value_name = "FORMAT", default_value = "native", value_parser = format)]
    pub format: Format,
}

/// Of `preview`.
#[derive(Debug, Args)]
pub struct PreviewOptions {
    /// The sink, by its name in the configuration.
    #[arg(long, value_name = "NAME")]
    pub sink: String,
    /// A log file as the provider serves it; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// The stream's event type, instead of what each line says.
    #[arg(long, value_name = "TYPE")]
    pub event_type: Option<String>,
}

/// Of `verify`.
#[derive(Debug, Args)]
pub struct VerifyOptions {
    /// The name of an archive sink, `s3://bucket/prefix` or a folder.
    #[arg(long, value_name = "ARCHIVE", required_unless_present = "proof")]
    pub from: Option<String>,
    /// A key that is trusted, PEM; may be given again. `custodex check` prints it.
    #[arg(long, value_name = "FILE")]
    pub public_key: Vec<PathBuf>,
    /// A manifest that must be there, as an earlier `verify` printed it: finds an end that was cut off.
    #[arg(long, value_name = "N:SHA256")]
    pub expect_head: Option<String>,
    /// Read every object: hashes, records, times.
    #[arg(long)]
    pub deep: bool,
    /// Check this proof of one record instead, with the public keys given.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["deep", "expect_head"])]
    pub proof: Option<PathBuf>,
}

/// Of `prove`.
#[derive(Debug, Args)]
pub struct ProveOptions {
    /// A record's id, or `FILE_ID:BYTE_OFFSET`.
    #[arg(value_name = "ID")]
    pub id: String,
    /// The name of an archive sink, `s3://bucket/prefix` or a folder.
    #[arg(long, value_name = "ARCHIVE")]
    pub from: String,
    /// Where the proof goes.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Of `search`.
#[derive(Debug, Args)]
pub struct SearchOptions {
    /// The name of an archive sink, `s3://bucket/prefix` or a folder.
    #[arg(long, value_name = "ARCHIVE")]
    pub from: String,
    /// How records are written.
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Stop after so many records.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Say how much there is to read, and read none of it.
    #[arg(long)]
    pub dry_run: bool,
    /// Which records.
    #[command(flatten)]
    pub selectors: Selectors,
}

/// Of `case`.
#[derive(Debug, Args)]
pub struct CaseOptions {
    /// The name of an archive sink, `s3://bucket/prefix` or a folder.
    #[arg(long, value_name = "ARCHIVE")]
    pub from: String,
    /// The zip that is written.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Which records.
    #[command(flatten)]
    pub selectors: Selectors,
}

/// Of `explain`.
#[derive(Debug, Args)]
pub struct ExplainOptions {
    /// A record's id, or `FILE_ID:BYTE_OFFSET`.
    #[arg(value_name = "ID")]
    pub id: String,
    /// The name of an archive sink, `s3://bucket/prefix` or a folder. Without it, ledger and spool alone are asked.
    #[arg(long, value_name = "ARCHIVE")]
    pub from: Option<String>,
}

/// Of `timeline`.
#[derive(Debug, Args)]
pub struct TimelineOptions {
    /// The id of a session, thread or conversation.
    #[arg(value_name = "SESSION")]
    pub session: String,
    /// The name of an archive sink, `s3://bucket/prefix` or a folder.
    #[arg(long, value_name = "ARCHIVE")]
    pub from: String,
    /// Only records of this moment or later: RFC 3339, or a date in UTC. Less has to be read then.
    #[arg(long, value_name = "TIME", value_parser = selectors::moment)]
    pub since: Option<Moment>,
    /// Only records before this moment.
    #[arg(long, value_name = "TIME", value_parser = selectors::moment)]
    pub until: Option<Moment>,
    /// How it is written.
    #[arg(long, value_name = "FORM", value_enum, default_value_t = TimelineOutput::Table)]
    pub output: TimelineOutput,
}

/// Of `rebuild`.
#[derive(Debug, Args)]
pub struct RebuildOptions {
    /// The archive sink, by its name in the configuration or by its place.
    #[arg(long, value_name = "ARCHIVE")]
    pub from: String,
    /// A key that is trusted, PEM; may be given again. Keys in the archive are used else.
    #[arg(long, value_name = "FILE")]
    pub public_key: Vec<PathBuf>,
    /// Deliver again, to every sink but the archives, what was fetched since then, RFC 3339.
    ///
    /// Else each goes on where the newest manifest says that it was.
    #[arg(long, value_name = "TIME")]
    pub deliver_since: Option<Timestamp>,
    /// Move a ledger that was begun after the right one was lost aside, with its spool.
    #[arg(long)]
    pub replace: bool,
}

/// Of `replay`.
#[derive(Debug, Args)]
pub struct ReplayOptions {
    /// The name of an archive sink, `s3://bucket/prefix` or a folder.
    #[arg(long, value_name = "ARCHIVE")]
    pub from: String,
    /// The sink that gets them, by its name in the configuration.
    #[arg(long, value_name = "SINK")]
    pub to: String,
    /// Read and encode all of it, say how much it is, and send nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Records a second at most, instead of the sink's `rate`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// Deliver among live records, where receivers give old events a new date and rules fire on them.
    #[arg(long)]
    pub into_live: bool,
    /// Deliver once more what this command delivered before.
    #[arg(long)]
    pub again: bool,
    /// Keep how far it is in this folder, instead of the folder `replays` of `data_dir`.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Which records.
    #[command(flatten)]
    pub selectors: Selectors,
}

/// Of `simulate`.
#[derive(Debug, Args)]
pub struct SimulateOptions {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The same seed gives the same content.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Days of history.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub days: u32,
    /// Log files a day, of every event type.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub files_per_day: u32,
    /// Records in a log file.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub records_per_file: u32,
    /// Serve the JSON lines of this folder instead.
    #[arg(long, value_name = "DIR")]
    pub records_from: Option<PathBuf>,
    /// Misbehave in every way that was ever seen.
    #[arg(long)]
    pub chaos: bool,
}

fn format(name: &str) -> Result<Format, String> {
    let names: Vec<&str> = Format::ALL.iter().map(|(name, _)| *name).collect();
    name.parse().map_err(|()| format!("not a format; known are {}", names.join(", ")))
}
