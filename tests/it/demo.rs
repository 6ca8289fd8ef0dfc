//! The first thing a newcomer does.

use std::process::Command;

use crate::support::PROGRAM;

#[test]
fn the_demo_collects_and_delivers_everything() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(PROGRAM).arg("demo").env("TMPDIR", folder.path()).output().unwrap();
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    let records = out.split(" log files: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(records.replace(',', "").parse::<u64>().unwrap() >= 50_000, "{out}");
    for part in
        ["CODEX_LOG", "INPUT TOKENS", "headroom    29 d", "manifests: 0 faults", "config.toml", "Try next"]
    {
        assert!(out.contains(part), "{part} is not in\n{out}");
    }
}
