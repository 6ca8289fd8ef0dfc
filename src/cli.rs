//! The command line: what is asked, and how it ends.
//!
//! Owns the exit codes, all of them, and the only places that print. Data goes to standard output,
//! everything else to standard error.

mod arenas;
mod args;
mod audit;
mod case;
mod check;
mod demo;
mod explain;
mod fields;
mod holes;
mod letters;
mod logs;
mod preview;
mod progress;
mod prove;
mod rebuild;
mod replay;
mod run;
mod search;
mod selectors;
mod send_test;
mod shown;
mod simulate;
mod status;
mod summary;
mod timeline;
mod verify;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::config::{self, Config, ConfigError, Secrets};
use crate::daemon::StartError;
use crate::daemon::folder::FolderError;
use crate::daemon::rebuild::RebuildError;
use crate::ledger::LedgerError;
use crate::secret::environment;
use args::{Arguments, Command};

/// How a command ends; the numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// A defect or a machine that fails.
    Internal = 1,
    /// The command line is wrong, or names what does not exist.
    Usage = 2,
    /// Finished, but something needs attention.
    Attention = 3,
    /// Another daemon holds the data folder.
    Held = 4,
    /// The configuration is wrong, or what it names cannot be used.
    Configuration = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Start(#[from] StartError),
    #[error("{0}")]
    Rebuild(#[from] RebuildError),
    #[error("{0}")]
    Ledger(#[from] LedgerError),
    #[error("there is no ledger in {0}: has `custodex run` been started with this configuration?")]
    NoLedger(PathBuf),
    #[error("{0}")]
    Usage(String),
    #[error("{0:#}")]
    Internal(#[from] anyhow::Error),
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Self::Start(StartError::Folder(FolderError::Held(_)))
            | Self::Rebuild(RebuildError::Folder(FolderError::Held(_))) => Exit::Held,
            Self::Config(_)
            | Self::Start(_)
            | Self::NoLedger(_)
            | Self::Rebuild(
                RebuildError::Folder(_)
                | RebuildError::Signing(_)
                | RebuildError::Ledger(LedgerError::Pragma { .. }),
            )
            | Self::Ledger(LedgerError::Newer { .. } | LedgerError::Pragma { .. }) => Exit::Configuration,
            Self::Usage(_) | Self::Rebuild(RebuildError::Known(_) | RebuildError::NoChain { .. }) => {
                Exit::Usage
            }
            Self::Rebuild(RebuildError::Faults { .. }) => Exit::Attention,
            Self::Ledger(_) | Self::Rebuild(_) | Self::Internal(_) => Exit::Internal,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Internal(error.into())
    }
}

type Outcome = Result<Exit, Failure>;

/// Does what the arguments of the process ask for.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, not errors.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            return if error.print().is_ok() { exit.into() } else { Exit::Internal.into() };
        }
    };
    let exit = match dispatch(arguments) {
        Ok(exit) => exit,
        Err(failure) => {
            let text = failure.to_string();
            // A configuration error begins with its own `error:`.
            let start = if text.starts_with("error") { "" } else { "error: " };
            say(&format!("{start}{text}"));
            failure.exit()
        }
    };
    exit.into()
}

fn dispatch(arguments: Arguments) -> Outcome {
    let at = Place { config: arguments.config };
    match arguments.command {
        Command::Run(options) => run::run(&at, options),
        Command::Demo(options) => demo::demo(&options),
        Command::Check(options) => check::check(&at, &options),
        Command::Status { json } => status::status(&at, json),
        Command::Holes(options) => holes::holes(&at, &options),
        Command::DeadLetters(options) => letters::letters(&at, options),
        Command::Fields(options) => fields::fields(&options),
        Command::Preview(options) => preview::preview(&at, &options),
        Command::Verify(options) => verify::verify(&at, &options),
        Command::Prove(options) => prove::prove(&at, &options),
        Command::Search(options) => search::search(&at, &options),
        Command::Explain(options) => explain::explain(&at, &options),
        Command::Timeline(options) => timeline::timeline(&at, &options),
        Command::Case(options) => case::case(&at, &options),
        Command::Rebuild(options) => rebuild::rebuild(&at, &options),
        Command::Replay(options) => replay::replay(&at, &options),
        Command::Simulate(options) => simulate::simulate(options),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "custodex", &mut text);
            print(&text)
        }
        Command::Man { folder: Some(folder) } => {
            clap_mangen::generate_to(Arguments::command(), &folder).map_err(|error| {
                anyhow::anyhow!("cannot write manual pages to {}: {error}", folder.display())
            })?;
            Ok(Exit::Done)
        }
        Command::Man { folder: None } => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Arguments::command()).render(&mut text)?;
            print(&text)
        }
    }
}

/// Where the configuration lies.
struct Place {
    config: Option<PathBuf>,
}

impl Place {
    fn path(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| config::default_path(&environment))
    }

    fn load(&self, secrets: Secrets<'_>) -> Result<Config, Failure> {
        Ok(Config::load(&self.path(), secrets, &environment)?)
    }
}

/// Files made by another user would be in the daemon's way.
fn same_user(config: &Config, command: &str) -> Result<(), Failure> {
    let shown = config.data_dir.display();
    match fs::metadata(&config.data_dir) {
        Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => {
            let user = found.uid();
            let hint = format!("do it as that user: sudo -u '#{user}' custodex {command} …");
            Err(Failure::Usage(format!("the data folder {shown} belongs to user {user}; {hint}")))
        }
        _ => Ok(()),
    }
}

/// A runtime of modest size: the work is on the network and the disk.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(2, 4))
        .max_blocking_threads(16)
        .enable_all()
        .build()
}

/// Data, to standard output; a reader that has gone is no error.
fn print(bytes: &[u8]) -> Outcome {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Done),
    }
}

/// Words for people, to standard error; nothing can be done where even that fails.
fn say(text: &str) {
    drop(writeln!(io::stderr(), "{}", text.trim_end()));
}
