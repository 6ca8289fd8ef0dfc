//! The configuration: one TOML file, read and checked as a whole.
//!
//! Owns what the file may say at the top level and around sources and sinks; the keys of each source and
//! sink belong to its own folder. What is wrong is reported with file, line, caret and the next step, as
//! many independent faults at once as there are, and no report shows a secret. Relative paths are
//! relative to the working directory. Never imported by a layer below, never writes.

mod check;
mod error;
mod explain;
mod mask;
mod read;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;
use std::time::Duration;

use toml::de::DeTable;

pub use error::ConfigError;

use crate::digest::sha256;
use crate::format;
use crate::ledger::SinkStart;
pub use crate::net::NetworkConfig;
use crate::secret::{Environment, Secret, read_text, why};
use crate::sink::{Keys, TYPES};
use crate::source::openai::ComplianceConfig;
use error::Problem;

/// No configuration is larger than this.
const MOST_BYTES: u64 = 1024 * 1024;

/// All the file says, defaults filled in.
#[derive(Debug)]
pub struct Config {
    /// The file.
    pub path: PathBuf,
    /// Where everything of the daemon's own lies.
    pub data_dir: PathBuf,
    /// This forwarder's name in archives and manifests.
    pub instance: String,
    /// `[spool]`.
    pub spool: SpoolConfig,
    /// `[custody] signing_key`: signs manifests instead of the data folder's own.
    pub signing_key: Option<Secret>,
    /// `[http]`; none where nothing listens.
    pub http: Option<HttpConfig>,
    /// `[network]`.
    pub network: NetworkConfig,
    /// `[sources.NAME]`, in the order of the file; at least one.
    pub sources: Vec<Source>,
    /// `[sinks.NAME]`, in the order of the file; at least one.
    pub sinks: Vec<SinkEntry>,
    /// What is no fault and should be otherwise.
    pub warnings: Vec<String>,
    /// SHA-256 of the file: what the audit trail says of it.
    pub sha256: [u8; 32],
}

/// How much of the spool is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// For how long a file stays at least after it was fetched.
    pub keep: Duration,
    /// How much at most.
    pub max_bytes: u64,
}

/// Where the page, metrics and health are served.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// The address; of this machine only, unless there is a token.
    pub listen: SocketAddr,
    /// What a request has to show.
    pub token: Option<Secret>,
}

/// One source.
#[derive(Clone, Debug)]
pub struct Source {
    /// NAME.
    pub name: String,
    /// Its own keys.
    pub config: ComplianceConfig,
}

/// One sink.
#[derive(Debug)]
pub struct SinkEntry {
    /// NAME.
    pub name: String,
    /// What `type` says.
    pub kind: &'static str,
    /// Where it begins when it is new.
    pub start: SinkStart,
    /// How many records may be on their way, never 0.
    pub max_unconfirmed_records: u64,
    /// Records a second at most, never 0.
    pub rate: Option<u64>,
    /// Which records it gets.
    pub select: format::Select,
    /// How records are encoded for it.
    pub options: format::Options,
    /// What is taken out of them; keys are there once secrets were checked.
    pub redaction: format::Redaction,
    /// Its own keys.
    pub config: Keys,
}

impl SinkEntry {
    /// Whether our own audit trail is selected for it; archives get it beside what they count.
    pub fn names_own_trail(&self) -> bool {
        matches!(self.config, Keys::Records(_)) && self.select.names_own_trail()
    }

    /// Whether any of our own audit trail gets there.
    pub fn takes_own_trail(&self) -> bool {
        matches!(self.config, Keys::Files(_)) || self.select.names_own_trail()
    }
}

/// Whether to look at what the file refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets<'a> {
    /// Every secret and certificate file must be readable now: for the daemon and for `check`.
    Checked,
    /// Only the keys of the rules of the sink with this name, which change what it gets.
    Rules(&'a str),
    /// They are left alone: for commands that send nothing, perhaps as another user.
    Unread,
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path, secrets: Secrets<'_>, env: Environment<'_>) -> Result<Self, ConfigError> {
        let text = read_text(path, MOST_BYTES).map_err(|error| {
            let what = format!("the configuration file {}", why(&error));
            // Up to the first byte that is no UTF-8, the text shows where it stands.
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<FromUtf8Error>());
            let text = inner.map(|inner| String::from_utf8_lossy(inner.as_bytes())).unwrap_or_default();
            let span = inner.map(|inner| inner.utf8_error().valid_up_to()).map(|at| at..at + 3);
            ConfigError::new(&text, path, vec![Problem::new(span, what, next_step(&error))])
        })?;
        let text = text.ok_or_else(|| {
            let hint = "name the configuration file with --config or CUSTODEX_CONFIG";
            let what = "this file is too large to be a configuration";
            ConfigError::new("", path, vec![Problem::new(None, what, hint)])
        })?;
        Self::parse(&text, path, secrets, env)
    }

    /// Checks the text of a file; `path` is what errors call it.
    pub fn parse(
        text: &str,
        path: &Path,
        secrets: Secrets<'_>,
        env: Environment<'_>,
    ) -> Result<Self, ConfigError> {
        let root = DeTable::parse(text)
            .map_err(|error| ConfigError::new(text, path, vec![explain::syntax(text, &error)]))?
            .into_inner();
        let mut problems = Vec::new();
        let mut config = read::document(root.clone(), path, TYPES, &mut problems);
        config.sha256 = sha256(text.as_bytes());
        check::streams(&config, &root, &mut problems);
        check::sinks(&config, &root, &mut problems);
        check::http(&config, &root, &mut problems);
        match secrets {
            Secrets::Checked => {
                config.warnings = check::files(&config, &root, env, &mut problems);
                check::redaction_keys(&mut config, None, &root, env, &mut problems);
            }
            Secrets::Rules(sink) => {
                check::redaction_keys(&mut config, Some(sink), &root, env, &mut problems);
            }
            Secrets::Unread => {}
        }
        if problems.is_empty() { Ok(config) } else { Err(ConfigError::new(text, path, problems)) }
    }
}

/// The file to read when no argument names one.
pub fn default_path(env: Environment<'_>) -> PathBuf {
    match env("CUSTODEX_CONFIG") {
        Some(path) if !path.is_empty() => path.into(),
        _ => "/etc/custodex/config.toml".into(),
    }
}

fn next_step(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "write it, beginning with config.example.toml, or name another with --config"
        }
        io::ErrorKind::PermissionDenied => {
            "let the user that runs this command read it, or run it as its owner"
        }
        io::ErrorKind::InvalidData => "save it as UTF-8",
        _ => "name the configuration file with --config or CUSTODEX_CONFIG",
    }
}

#[cfg(test)]
mod tests;
