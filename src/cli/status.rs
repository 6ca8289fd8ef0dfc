//! `status`: how it goes, headroom first.

use super::{Exit, Failure, Outcome, Place, print, say};
use crate::clock::{Clock, SystemClock};
use crate::config::Secrets;
use crate::daemon::{control, folder};
use crate::ledger::{DriftRow, Viewer};
use crate::status::{Headroom, SinkStatus, Status, StreamStatus};
use crate::units::{Size, spoken};
use crate::words::printable;

/// What is new about streams, printed.
const DRIFT_LINES: usize = 5;

pub fn status(at: &Place, json: bool) -> Outcome {
    let config = at.load(Secrets::Unread)?;
    let viewer = viewer(&config.data_dir)?;
    let socket = folder::socket(&config.data_dir);
    // A socket that may not be used is one that somebody holds.
    let running = control::ask(&socket, &control::Request::Ping).map_or(true, |answer| answer.is_some());
    let status = Status::view(&viewer, SystemClock.now(), running, config.spool.max_bytes)?;
    if json {
        let mut text = serde_json::to_vec_pretty(&status).map_err(anyhow::Error::from)?;
        text.push(b'\n');
        return print(&text);
    }
    print(text(&status).as_bytes())
}

/// The ledger of a data folder, to look at.
pub fn viewer(data_dir: &std::path::Path) -> Result<Viewer, Failure> {
    let path = folder::ledger(data_dir);
    match path.try_exists() {
        Ok(false) => Err(Failure::NoLedger(data_dir.to_owned())),
        Err(error) => {
            say("hint: run this as the daemon's user, or as root");
            Err(anyhow::anyhow!("{} cannot be looked at: {error}", path.display()).into())
        }
        Ok(true) => Ok(Viewer::open(&path)?),
    }
}

fn text(status: &Status) -> String {
    let daemon = if status.running { "running" } else { "not running" };
    let mut lines = Vec::new();
    match &status.headroom {
        Some(least) => lines.push(format!(
            "headroom    {} until the first loss ({}); {}",
            spoken(least.seconds),
            least.stream,
            progress(status, least)
        )),
        None => lines.push("headroom    unknown: no stream is enabled".to_owned()),
    }
    lines.push(format!("daemon      {daemon}, version {}", status.version));
    let full = if status.spool.full { ", full" } else { "" };
    lines.push(format!("spool       {} in log files{full}", Size(status.spool.bytes)));
    lines.push(String::new());
    lines.extend(table(
        &["stream", "state", "files", "pending", "holes", "records", "listed", "headroom"],
        status.streams.iter().map(stream),
    ));
    lines.push(String::new());
    lines.extend(table(
        &["sink", "type", "state", "guarantee", "delivered", "waiting", "repeats", "dead letters"],
        status.sinks.iter().map(sink),
    ));
    lines.push(String::new());
    if status.attention.is_empty() {
        lines.push("nothing needs attention".to_owned());
    }
    lines.extend(status.attention.iter().map(|line| format!("attention: {line}")));
    lines.extend(status.unclaimed.iter().map(|one| {
        format!("note: {}/{} holds log files that no source collects", one.principal, one.event_type)
    }));
    lines.extend(drift(&status.drift));
    lines.push(String::new());
    lines.join("\n")
}

/// What is new about streams; the newest are shown.
fn drift(rows: &[DriftRow]) -> Vec<String> {
    let line = |row: &DriftRow| {
        let kind = row.kind.replace('_', " ");
        let json_type = row.json_type.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        format!(
            "drift: {} shows a {kind} {}{json_type} since {}, first in {}",
            row.event_type,
            row.name,
            row.first_seen,
            printable(&row.log_file_id)
        )
    };
    let mut lines: Vec<String> = rows.iter().take(DRIFT_LINES).map(line).collect();
    if rows.len() > DRIFT_LINES {
        lines.push(format!("drift: and {} more: see `custodex status --json`", rows.len() - DRIFT_LINES));
    }
    lines
}

fn progress(status: &Status, least: &Headroom) -> String {
    let pending: i64 = status.streams.iter().map(|stream| stream.files_pending).sum();
    match least.caught_up_in_seconds {
        _ if least.caught_up => "caught up".to_owned(),
        Some(time) => format!("behind by {pending} log files, caught up in about {}", spoken(time)),
        None if pending > 0 => format!("behind by {pending} log files that do not move"),
        None => "not listed of late".to_owned(),
    }
}

fn stream(stream: &StreamStatus) -> Vec<String> {
    vec![
        format!("{}/{}", stream.source, stream.event_type),
        stream.state.to_owned(),
        stream.files_collected.to_string(),
        stream.files_pending.to_string(),
        stream.holes.to_string(),
        stream.records_collected.to_string(),
        stream.last_listed_at.clone().unwrap_or_else(|| "never".to_owned()),
        spoken(stream.headroom_seconds),
    ]
}

fn sink(sink: &SinkStatus) -> Vec<String> {
    vec![
        sink.name.clone(),
        sink.kind.clone(),
        sink.state.clone(),
        sink.guarantee.clone(),
        sink.records_delivered.to_string(),
        sink.records_pending.to_string(),
        sink.repeats_suppressed.to_string(),
        sink.dead_letters.to_string(),
    ]
}

/// Columns as wide as their widest cell.
pub fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<String> {
    let head: Vec<String> = head.iter().map(|title| title.to_uppercase()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// An exit that reflects whether everything is well.
pub fn exit_of(well: bool) -> Exit {
    if well { Exit::Done } else { Exit::Attention }
}
