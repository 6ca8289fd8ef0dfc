//! The built program as a child process, a simulator to collect from, and what came out.

use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_custodex");

/// Every event type a workspace has.
pub const TYPES: &[&str] = &[
    "APP_AUTH_LOG",
    "APP_LOG",
    "AUDIT_LOG",
    "AUTH_LOG",
    "CHATGPT_PLUGIN_SPREADSHEET",
    "CODEX_LOG",
    "CODEX_SECURITY_LOG",
    "CONVERSATION_MESSAGE",
    "CUSTOM_AGENTS_LOG",
];

/// In every record of custodex's own audit trail, and in none that was served.
const OWN: &[u8] = b"\"type\":\"CUSTODEX_INSTANCE\"";

/// A process that does not outlive its test.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The exit code of a process that ends in time.
pub fn wait_within(process: &mut Process, time: Duration) -> Option<i32> {
    let step = Duration::from_millis(20);
    for _ in 0..time.as_millis() / step.as_millis() {
        if let Some(status) = process.0.try_wait().unwrap() {
            return status.code();
        }
        pause(step);
    }
    None
}

/// Lets a command run for so long and kills it; one that ended by itself before fails with what it said.
pub fn kill_after(command: &mut Command, life: Duration) {
    let mut said = tempfile::tempfile().unwrap();
    let mut process = Process(command.stderr(said.try_clone().unwrap()).spawn().unwrap());
    // The moment itself is what is tested.
    pause(life);
    process.0.kill().unwrap();
    let status = process.0.wait().unwrap();
    if status.signal() != Some(9) {
        let mut text = String::new();
        said.rewind().unwrap();
        said.read_to_string(&mut text).unwrap();
        panic!("it ended by itself, {status}, and said:\n{text}");
    }
}

/// Seed of the moments at which processes are killed.
pub fn seed_of_kills() -> u64 {
    std::env::var("CUSTODEX_SEED").map_or(1, |text| text.parse().unwrap())
}

/// Between two looks at something another process does.
#[expect(clippy::disallowed_methods, reason = "another process has no clock that could be moved")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A simulator in a process of its own.
pub struct Simulator {
    _process: Process,
    /// The sources for a configuration file, as the simulator printed them.
    pub sources: String,
    address: String,
}

impl Simulator {
    /// Starts one with more arguments.
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["simulate", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut sources = String::new();
        // The last line of what it prints belongs to the second source.
        while sources.matches("requests_per_minute").count() < 2 {
            sources.push_str(&lines.next().expect("the simulator prints its sources").unwrap());
            sources.push('\n');
        }
        let base = sources.lines().find_map(|line| line.strip_prefix("base_url = \"http://")).unwrap();
        let address = base.split('/').next().unwrap().to_owned();
        Self { _process: Process(child), sources, address }
    }

    /// The key it accepts.
    pub fn key(&self) -> &str {
        let line = self.sources.lines().find(|line| line.contains("SIMULATOR_KEY=")).unwrap();
        line.split_once('=').unwrap().1
    }

    /// The sources with more event types of the workspace.
    pub fn sources_with(&self, event_types: &[&str]) -> String {
        let list: Vec<String> = event_types.iter().map(|name| format!("{name:?}")).collect();
        let keys = format!("event_types = [{}]\napi_key", list.join(", "));
        self.sources.replacen("api_key", &keys, 1)
    }

    /// A JSON document that the simulator tells about itself.
    pub fn tell(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: simulator\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

/// A folder with a configuration, a data folder and an output.
pub struct Place {
    folder: tempfile::TempDir,
    key: String,
}

impl Place {
    /// With these sources and one file sink with more keys.
    pub fn new(simulator: &Simulator, sources: &str, sink: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), key: simulator.key().to_owned() };
        place.configure(sources, sink);
        place
    }

    /// Writes the configuration anew.
    pub fn configure(&self, sources: &str, sink: &str) {
        let text = format!(
            "data_dir = {:?}\n\n{sources}\n[sinks.out]\ntype = \"file\"\ndirectory = {:?}\n{sink}\n",
            self.data().to_str().unwrap(),
            self.output().to_str().unwrap(),
        );
        fs::write(self.config(), text).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn output(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    /// Loses the data folder, if there is one; what begins then is another instance, with a chain of its own.
    pub fn begin_anew(&self) {
        drop(fs::remove_dir_all(self.data()));
        let text = fs::read_to_string(self.config()).unwrap();
        let text = match text.strip_prefix("instance") {
            Some(rest) => rest.split_once('\n').unwrap().1.to_owned(),
            None => text,
        };
        fs::write(self.config(), format!("instance = \"anew-{}\"\n{text}", fastrand::u32(..))).unwrap();
    }

    /// The program with this configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("-c").arg(self.config()).args(arguments).env("SIMULATOR_KEY", &self.key);
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it and asserts how it exits; a failure shows what it said.
    pub fn run_to(&self, arguments: &[&str], code: i32) -> Output {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} said:\n{said}");
        output
    }

    /// `status --json`.
    pub fn status(&self) -> Value {
        serde_json::from_slice(&self.run_to(&["status", "--json"], 0).stdout).unwrap()
    }

    /// The delivered records in order, of all files of the output.
    pub fn records(&self) -> Vec<Record> {
        let bytes = output_bytes(&self.output());
        let text = String::from_utf8(bytes).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}")))
            .collect()
    }
}

/// What tests look at in a native record.
#[derive(Deserialize)]
pub struct Record {
    pub event_type: String,
    pub category: String,
    pub provenance: Provenance,
    pub raw: Option<String>,
    pub raw_encoding: Option<String>,
}

/// Where it lies.
#[derive(Deserialize)]
pub struct Provenance {
    pub log_file_id: String,
    pub byte_offset: u64,
}

/// Everything a file sink wrote, oldest first.
pub fn output_bytes(folder: &Path) -> Vec<u8> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // Rotated names carry their time; the active file, which has none, sorts behind them.
    names.sort_by_key(|path| {
        path.file_name().unwrap().to_str().unwrap().replace("custodex.jsonl", "custodex~")
    });
    names.iter().flat_map(|path| fs::read(path).unwrap()).collect()
}

/// A folder beside the project that some tests need; it is there wherever changes are checked.
pub fn shared(path: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(path);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", folder.display());
    eprintln!("not tested: {} is not there", folder.display());
    None
}

/// Checks what lies in the spool and what was delivered against what the simulator knows.
///
/// Every record of every log file that is not gone was delivered once or is a repeat, and every spooled
/// file is, byte for byte, one that was served.
pub fn assert_accounts_close(place: &Place, simulator: &Simulator) {
    let truth = simulator.tell("/simulator/truth");
    let files = truth["files"].as_array().unwrap();
    let can_be_had = |file: &&Value| file["gone"] != true && file["unsupported"] != true;
    let status = place.status();
    let streams = status["streams"].as_array().unwrap();
    let collected = |file: &&Value| {
        streams.iter().any(|stream| {
            stream["event_type"] == file["event_type"] && stream["principal"] == file["principal"]
        })
    };
    let wanted: Vec<&Value> = files.iter().filter(can_be_had).filter(collected).collect();
    let mut hashes: Vec<String> =
        wanted.iter().map(|file| file["sha256"].as_str().unwrap().to_owned()).collect();
    let mut spooled: Vec<String> = fs::read_dir(place.data().join("spool"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .map(|path| fs::read(path).unwrap())
        // Where an archive takes it, custodex's own audit trail lies there too.
        .filter(|bytes| !bytes[..bytes.len().min(400)].windows(OWN.len()).any(|part| part == OWN))
        .map(|bytes| custodex::digest::hex(&custodex::digest::sha256(&bytes)))
        .collect();
    hashes.sort();
    spooled.sort();
    assert_eq!(spooled.len(), hashes.len(), "log files: {status:#}");
    assert_eq!(spooled, hashes, "spooled files are the served ones");
    let records = place.records();
    let mut keys: Vec<(&str, u64)> = records
        .iter()
        .map(|record| (record.provenance.log_file_id.as_str(), record.provenance.byte_offset))
        .collect();
    keys.sort_unstable();
    let delivered = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), delivered, "a record is there twice");
    let sinks = status["sinks"].as_array().unwrap();
    let sink = sinks.iter().find(|sink| sink["name"] == "out").unwrap();
    assert_eq!(sink["records_delivered"], delivered);
    let served: u64 = wanted.iter().map(|file| file["records"].as_u64().unwrap()).sum();
    let repeats = sink["repeats_suppressed"].as_u64().unwrap();
    assert_eq!(delivered as u64 + repeats, served, "records missing or made up: {sink:#}");
    assert_eq!(sink["records_pending"], 0);
}
