//! The first thing a newcomer does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{PROGRAM, Process, pause, wait_within};

/// The page, which comes back a moment after the summary.
fn until_answered(address: &str) -> String {
    for _ in 0..100 {
        if let Ok(mut stream) = TcpStream::connect(address) {
            let mut answer = String::new();
            write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
            stream.read_to_string(&mut answer).unwrap();
            return answer;
        }
        pause(Duration::from_millis(100));
    }
    panic!("nobody listens on {address}");
}

#[test]
fn the_demo_collects_and_delivers_everything_and_keeps_the_page_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Command::new(PROGRAM);
    demo.args(["demo", "--serve"]).env("TMPDIR", folder.path());
    let mut demo = Process(demo.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut said = String::new();
    let mut lines = BufReader::new(demo.0.stderr.take().unwrap());
    while !said.contains("until you press Ctrl-C") {
        assert!(lines.read_line(&mut said).unwrap() > 0, "{said}");
    }
    let address = said.rsplit("http://").next().unwrap().split('/').next().unwrap();
    let page = until_answered(address);
    assert!(page.contains("Headroom") && page.contains("CODEX_LOG"), "{page}");
    let process = rustix::process::Pid::from_child(&demo.0);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    assert_eq!(wait_within(&mut demo, Duration::from_secs(20)), Some(0));
    let mut out = String::new();
    demo.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    let records = out.split(" log files: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(records.replace(',', "").parse::<u64>().unwrap() >= 50_000, "{out}");
    for part in [
        "CODEX_LOG",
        "INPUT TOKENS",
        "headroom    29 d",
        "manifests: 0 faults",
        "config.toml",
        "Try next",
        "confirmed, durable",
        "in manifest",
    ] {
        assert!(out.contains(part), "{part} is not in\n{out}");
    }
}
