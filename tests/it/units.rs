//! The systemd units: what systemd itself says of them, offline, and that both have one sandbox.

use std::path::{Path, PathBuf};
use std::process::Command;

const UNITS: [&str; 2] = ["custodex.service", "custodex-once.service"];
/// Tenths of systemd's exposure level, where 100 is a unit without any sandbox. The network costs 10.
const EXPOSURE: &str = "--threshold=12";

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name)
}

fn analyze(arguments: &[&str], unit: &Path) -> (bool, String) {
    let done = Command::new("systemd-analyze").args(arguments).arg(unit).output();
    let done = done.expect("systemd-analyze, of the package systemd, is needed");
    let text = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_sandbox_leaves_little_open() {
    for name in UNITS {
        let (good, text) = analyze(&["security", "--offline=true", EXPOSURE], &unit(name));
        assert!(good, "{name}:\n{text}");
    }
}

#[test]
fn systemd_takes_every_line() {
    let folder = tempfile::tempdir().unwrap();
    for name in UNITS.into_iter().chain(["custodex-once.timer"]) {
        let text = std::fs::read_to_string(unit(name)).unwrap();
        let here = text.replace("/usr/bin/custodex", env!("CARGO_BIN_EXE_custodex"));
        std::fs::write(folder.path().join(name), here).unwrap();
    }
    for name in UNITS.into_iter().chain(["custodex-once.timer"]) {
        let (good, text) = analyze(&["verify", "--man=no"], &folder.path().join(name));
        assert!(good && !text.contains(name), "{name}:\n{text}");
    }
}

#[test]
fn both_units_have_the_same_sandbox() {
    let sandbox = |name: &str| {
        let text = std::fs::read_to_string(unit(name)).unwrap();
        let begin = text.find("User=custodex").unwrap();
        let end = text.find("[Install]").unwrap_or(text.len());
        text[begin..end].trim().to_owned()
    };
    assert_eq!(sandbox(UNITS[0]), sandbox(UNITS[1]));
}
