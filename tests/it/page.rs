//! The HTTP face of a real daemon: trouble is told everywhere within a poll and clears when it is mended; the page in
//! a real browser; metrics before promtool.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Place, Process, Simulator, pause};

/// Another process has this long to get somewhere.
const PATIENCE: Duration = Duration::from_secs(90);

fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// An answer: status, head and body; none while nobody listens.
fn get(address: SocketAddr, path: &str, more: &str) -> Option<(u16, String, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{more}\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head.to_owned(), body.to_owned()))
}

fn body(address: SocketAddr, path: &str) -> String {
    get(address, path, "").unwrap_or_else(|| panic!("{path} is not answered")).2
}

/// Looks until it is so; what was seen last otherwise.
fn until(what: &str, mut look: impl FnMut() -> Result<(), String>) {
    let step = Duration::from_millis(200);
    let mut last = Ok(());
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        last = look();
        if last.is_ok() {
            return;
        }
        pause(step);
    }
    panic!("{what}: {}", last.unwrap_err());
}

fn holds(text: &str, parts: &[&str]) -> Result<(), String> {
    match parts.iter().find(|part| !text.contains(**part)) {
        Some(part) => Err(format!("no {part:?} in {text}")),
        None => Ok(()),
    }
}

/// A daemon with a page, its key in a file and more sinks.
fn daemon(place: &Place, simulator: &Simulator, listen: SocketAddr, key: &Path, more: &str) -> Process {
    let key_file = format!("api_key = {{ file = {:?} }}\npoll_interval = \"1s\"", key.to_str().unwrap());
    let sources = simulator.sources.replace("api_key = { env = \"SIMULATOR_KEY\" }", &key_file);
    place.configure(&sources, &format!("{more}\n[http]\nlisten = \"{listen}\"\n"));
    let log = fs::File::create(place.config().with_file_name("log")).unwrap();
    Process(place.command(&["run"]).stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

/// The same trouble on the page, in the status, in metrics and in readiness.
fn told_everywhere(
    place: &Place,
    address: SocketAddr,
    error: &str,
    hint: &str,
    series: &str,
) -> Result<(), String> {
    holds(&body(address, "/readyz"), &[error, hint])?;
    holds(&body(address, "/"), &[error, hint])?;
    holds(&body(address, "/metrics"), &[series])?;
    holds(&place.status().to_string(), &[error, hint])
}

#[test]
fn trouble_is_told_everywhere_and_clears_when_it_is_mended() {
    let simulator = Simulator::start(&["--days", "2", "--records-per-file", "20"]);
    let place = Place::new(&simulator, &simulator.sources, "");
    let (address, key) = (free_port(), place.config().with_file_name("key"));
    let hung = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let hung_sink =
        format!("[sinks.hung]\ntype = \"syslog\"\naddress = \"relp://{}\"", hung.local_addr().unwrap());
    fs::write(&key, "sk-revoked").unwrap();
    fs::write(place.output(), "in the way").unwrap();
    let mut process = daemon(&place, &simulator, address, &key, &hung_sink);
    until("a revoked key", || {
        get(address, "/healthz", "").ok_or("nobody listens")?;
        let series = "event_type=\"CODEX_LOG\",state=\"waiting\"} 1";
        told_everywhere(&place, address, "401", "key", series)
    });
    assert_eq!(get(address, "/readyz", "").unwrap().0, 503);
    assert_eq!(get(address, "/healthz", "").unwrap().0, 200, "a restart would not help");
    fs::write(&key, simulator.key()).unwrap();
    until("a paused sink", || {
        let series = "custodex_sink_state{sink=\"out\",state=\"paused\"} 1";
        told_everywhere(&place, address, "Not a directory", "directory", series)
    });
    until("a hung sink", || {
        let metrics = body(address, "/metrics");
        holds(&metrics, &["custodex_sink_state{sink=\"hung\",state=\"retrying\"} 1"])?;
        holds(&body(address, "/"), &["hung", "retrying"])
    });
    assert_eq!(get(address, "/healthz", "").unwrap().0, 200);
    fs::remove_file(place.output()).unwrap();
    until("all mended", || {
        let (status, _, text) = get(address, "/readyz", "").ok_or("nobody listens")?;
        if status != 200 {
            return Err(text);
        }
        let metrics = body(address, "/metrics");
        holds(&metrics, &["custodex_sink_state{sink=\"out\",state=\"ok\"} 1", "\ncustodex_healthy 1\n"])?;
        let waits =
            metrics.lines().find(|line| line.starts_with("custodex_sink_records_pending{sink=\"out\"}"));
        if waits.is_some_and(|line| line.ends_with(" 0")) { Ok(()) } else { Err(format!("{waits:?}")) }
    });
    let page = body(address, "/");
    holds(&page, &["All is well", "Caught up."]).unwrap();
    assert!(!page.contains(simulator.key()));
    promtool_finds_nothing(&body(address, "/metrics"));
    assert!(process.0.try_wait().unwrap().is_none());
}

#[test]
fn the_watchdog_is_fed_while_every_task_moves() {
    let simulator = Simulator::start(&["--days", "1", "--records-per-file", "5"]);
    let place = Place::new(&simulator, &simulator.sources, "");
    let path = place.config().with_file_name("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = place.command(&["run"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "3000000").stderr(Stdio::null());
    let _process = Process(command.spawn().unwrap());
    let mut fed = 0;
    let mut message = [0; 4096];
    while fed < 3 {
        let length = systemd.recv(&mut message).expect("systemd hears of it");
        fed += usize::from(message[..length].starts_with(b"WATCHDOG=1"));
    }
}

#[test]
fn a_page_beyond_this_machine_wants_its_token() {
    let simulator = Simulator::start(&["--days", "1", "--records-per-file", "5"]);
    let place = Place::new(&simulator, &simulator.sources, "[http]\nlisten = \"0.0.0.0:0\"\n");
    let refused = place.run_to(&["run"], 78);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("there is no token"));
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = other.local_addr().unwrap();
    place.configure(&simulator.sources, &format!("[http]\nlisten = \"{address}\"\n"));
    let refused = place.run_to(&["run"], 78);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("choose another port"));
    drop(other);
    let token = place.config().with_file_name("token");
    fs::write(&token, "0123456789abcdef-first").unwrap();
    let http = format!("[http]\nlisten = \"0.0.0.0:{}\"\ntoken = {{ file = {token:?} }}\n", address.port());
    place.configure(&simulator.sources, &http);
    let _process = Process(place.command(&["run"]).stderr(Stdio::null()).spawn().unwrap());
    until("a page", || get(address, "/", "").map(drop).ok_or_else(|| "nobody listens".to_owned()));
    let (status, head, text) = get(address, "/", "").unwrap();
    assert_eq!(status, 401);
    assert!(head.to_lowercase().contains("www-authenticate: basic"), "{head}");
    assert!(!text.contains("CODEX"));
    let with =
        |token: &str| get(address, "/metrics", &format!("Authorization: Bearer {token}\r\n")).unwrap().0;
    assert_eq!((with("0123456789abcdef-first"), with("0123456789abcdef-other")), (200, 401));
    fs::write(&token, "0123456789abcdef-other").unwrap();
    assert_eq!(
        (with("0123456789abcdef-first"), with("0123456789abcdef-other")),
        (401, 200),
        "it was replaced"
    );
}

#[test]
fn the_page_in_a_browser_is_whole_and_usable() {
    let simulator = Simulator::start(&["--days", "30", "--records-per-file", "20"]);
    let place = Place::new(&simulator, &simulator.sources, "");
    let (address, key) = (free_port(), place.config().with_file_name("key"));
    fs::write(&key, simulator.key()).unwrap();
    let archive = place.config().with_file_name("archive");
    fs::write(&archive, "in the way").unwrap();
    let paused = format!("[sinks.archive]\ntype = \"directory\"\ndirectory = {archive:?}");
    let _process = daemon(&place, &simulator, address, &key, &paused);
    let mut while_behind = 0;
    until("something to show", || {
        let page = get(address, "/", "").ok_or("nobody listens")?.2;
        while_behind += usize::from(page.contains("Behind by") || page.contains("Not listed of late"));
        let metrics = body(address, "/metrics");
        let parts = ["\ncustodex_caught_up 1\n", "custodex_sink_state{sink=\"archive\",state=\"paused\"} 1"];
        holds(&metrics, &parts)
    });
    assert!(while_behind > 0, "the page is answered while the daemon catches up");
    let pictures = std::env::var_os("CUSTODEX_PICTURES").map_or_else(|| place.data(), PathBuf::from);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/browser.py");
    let Some(script) = tool("chromium", script) else { return };
    let output =
        Command::new("python3").arg(script).arg(format!("http://{address}/")).arg(pictures).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let views: BTreeMap<String, Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(views.len(), 3);
    for (name, seen) in views {
        for nothing in ["console", "elsewhere", "axe"] {
            assert_eq!(seen[nothing], serde_json::json!([]), "{name}: {nothing}");
        }
        assert_eq!((&seen["styled"], &seen["sideways"]), (&true.into(), &false.into()), "{name}");
        assert!(seen["summaries"].as_u64().unwrap() > 1, "{name}");
        assert_eq!(seen["reached"], seen["summaries"], "{name}: with the keyboard");
        let text = seen["text"].as_str().unwrap();
        holds(text, &["Headroom", "Caught up.", "CODEX_LOG", "archive", "paused", "Holes"]).unwrap();
    }
}

/// `script`, or a file of the tools folder, where what it needs is installed.
fn tool(program: &str, path: PathBuf) -> Option<PathBuf> {
    let there = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{program} is missing: run tests/support/receivers");
    eprintln!("not tested: {program} is not there");
    None
}

fn promtool() -> Option<PathBuf> {
    let tools = std::env::var_os("CUSTODEX_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"), PathBuf::from);
    let path = tools.join("prometheus/usr/bin/promtool");
    tool(path.to_str().unwrap(), path.clone())
}

fn promtool_finds_nothing(metrics: &str) {
    let Some(promtool) = promtool() else { return };
    let mut check = Command::new(promtool);
    let check =
        check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().unwrap();
    check.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.is_empty(), "{said}");
}

fn prometheus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("integrations/prometheus")
}

#[test]
fn alerts_come_when_they_should() {
    let Some(promtool) = promtool() else { return };
    for arguments in [["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]] {
        let output = Command::new(&promtool).args(arguments).current_dir(prometheus()).output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
    let [rules, tests] =
        ["rules.yml", "rules_test.yml"].map(|name| fs::read_to_string(prometheus().join(name)).unwrap());
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.matches(&format!("alertname: {alert}\n")).count() >= 2, "{alert} is not tested");
    }
}

#[test]
fn alerts_and_dashboard_use_metrics_that_are_there() {
    let known: BTreeSet<&str> = custodex::metrics::FAMILIES.iter().map(|family| family.name).collect();
    for name in ["rules.yml", "rules_test.yml", "dashboard.json", "README.md"] {
        let text = fs::read_to_string(prometheus().join(name)).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let mut used = 0;
        for word in words.filter(|word| word.starts_with("custodex_") || word.starts_with("process_")) {
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
            assert!(known.contains(family), "{name}: there is no metric {word}");
            used += 1;
        }
        assert!(used > 0, "{name}");
        if name == "dashboard.json" {
            let dashboard: Value = serde_json::from_str(&text).unwrap();
            let panels = dashboard["panels"].as_array().unwrap();
            let mut ids: Vec<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
            ids.dedup();
            assert_eq!(ids.len(), panels.len());
            assert!(panels.iter().all(|panel| !panel["targets"].as_array().unwrap().is_empty()));
        }
    }
}
