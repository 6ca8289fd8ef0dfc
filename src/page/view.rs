//! The page: its frame, headroom first, what needs attention, and what was lost.
//!
//! Every text goes through maud, which escapes it. No script, no inline style: the answer's policy forbids both.

use indicatif::HumanCount;
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use super::cards;
use super::charts;
use super::picture::Picture;
use crate::collect::RETENTION;
use crate::status::{HEADROOM_ALARMS, Headroom, Status};
use crate::units::{Size, spoken};
use crate::vitals::Stuck;
use crate::words::printable;

pub(super) fn page(picture: &Picture, instance: &str, stuck: &[Stuck], reload: bool) -> String {
    let status = &picture.status;
    let short = status.headroom.as_ref().map_or("no streams".to_owned(), |least| spoken(least.seconds));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (short) " · custodex" }
                link rel="icon" href="icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="style.css";
            }
            body {
                header class="top" {
                    h1 { "custodex" }
                    p class="quiet" { (instance) " · " (status.version) }
                    @if status.healthy && stuck.is_empty() {
                        p class="pill ok" { "All is well" }
                    } @else {
                        p class="pill bad" { "Needs attention" }
                    }
                }
                main {
                    (headroom(status))
                    (attention(status, stuck))
                    (cards::streams(picture))
                    (cards::sinks(picture))
                    (charts::hours(&picture.hours))
                    (holes(picture))
                    (letters(picture))
                }
                footer class="quiet" { (foot(picture, reload)) }
            }
        }
    }
    .into_string()
}

fn headroom(status: &Status) -> Markup {
    html! {
        section class="hero" aria-labelledby="headroom" {
            h2 id="headroom" { "Headroom" }
            @if let Some(least) = &status.headroom {
                p class=(format!("figure {}", level(least.seconds))) { (spoken(least.seconds)) }
                p {
                    "until the provider drops something that is not collected"
                    span class="quiet" { ", first of " (printable(&least.stream)) }
                }
                (charts::headroom(least.seconds, RETENTION, &HEADROOM_ALARMS))
                p { strong { (progress(status, least)) } }
            } @else {
                p { "No stream is enabled." }
            }
            p class="quiet" {
                (count(status.spool.records_collected)) " records collected, spool " (Size(status.spool.bytes))
                @if status.spool.full { ", full" }
            }
        }
    }
}

/// How grave it is that so little is left.
pub(super) fn level(headroom: i64) -> &'static str {
    match HEADROOM_ALARMS.iter().filter(|alarm| headroom < **alarm).count() {
        0 => "ok",
        1 => "warn",
        _ => "bad",
    }
}

fn progress(status: &Status, least: &Headroom) -> String {
    let pending: i64 = status.streams.iter().map(|stream| stream.files_pending).sum();
    match least.caught_up_in_seconds {
        _ if least.caught_up => "Caught up.".to_owned(),
        Some(time) => format!("Behind by {pending} log files, caught up in about {}.", spoken(time)),
        None if pending > 0 => format!("Behind by {pending} log files."),
        None => "Not listed of late.".to_owned(),
    }
}

fn attention(status: &Status, stuck: &[Stuck]) -> Markup {
    html! {
        @if !(status.healthy && stuck.is_empty() && status.unclaimed.is_empty()) {
            section class="attention" aria-labelledby="attention" {
                h2 id="attention" { "Needs attention" }
                ul {
                    @for one in stuck {
                        li { (one.task) ": " (one.problem) }
                    }
                    @for line in &status.attention {
                        @let (what, hint) = line.split_once("\n  hint: ").map_or((line.as_str(), None), |(what, hint)| (what, Some(hint)));
                        li {
                            (told(what))
                            @if let Some(hint) = hint { p class="hint" { (told(hint)) } }
                        }
                    }
                    @for one in &status.unclaimed {
                        li { (printable(&one.event_type)) " of " (printable(&one.principal)) " holds log files that no source collects" }
                    }
                }
            }
        }
    }
}

/// A text in which commands stand between backticks.
pub(super) fn told(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn holes(picture: &Picture) -> Markup {
    let all: i64 = picture.status.streams.iter().map(|stream| stream.holes).sum();
    html! {
        section aria-labelledby="holes" {
            h2 id="holes" { "Holes" }
            @if picture.holes.is_empty() {
                p class="quiet" { "None: every log file that was listed is here or still to be had." }
            } @else {
                p class="quiet" {
                    (all) " log files could not be had. "
                    @if usize::try_from(all).is_ok_and(|all| all > picture.holes.len()) {
                        "These are the newest. "
                    }
                    "Act on them with " code { "custodex holes" } "."
                }
                (table("Holes", &["Id", "Stream", "Log file", "Until", "Why"], picture.holes.iter().rev().map(|hole| {
                    [
                        html! { (hole.id) },
                        html! { (printable(&hole.principal)) "/" (printable(&hole.event_type)) },
                        html! { code { (printable(&hole.file_id)) } },
                        html! { (printable(&hole.end_time)) },
                        html! { (hole.reason) @if hole.acknowledged { " (acknowledged)" } },
                    ]
                })))
            }
        }
    }
}

fn letters(picture: &Picture) -> Markup {
    let all: u64 = picture.status.sinks.iter().map(|sink| sink.dead_letters).sum();
    html! {
        section aria-labelledby="letters" {
            h2 id="letters" { "Dead letters" }
            @if picture.letters.is_empty() {
                p class="quiet" { "None: no record was refused for good." }
            } @else {
                p class="quiet" {
                    (count(all)) " records were refused for good and are kept. "
                    @if usize::try_from(all).is_ok_and(|all| all > picture.letters.len()) {
                        "These are the newest. "
                    }
                    "What receivers answered, and a second try: " code { "custodex dead-letters" } "."
                }
                (table("Dead letters", &["Sink", "Record", "Stream", "Since", "Why"], picture.letters.iter().map(|letter| {
                    [
                        html! { (letter.sink) },
                        html! { code { (letter.record_id) } },
                        html! { (printable(&letter.principal)) "/" (printable(&letter.event_type)) },
                        html! { (moment(picture.now, &letter.at)) },
                        html! { (letter.problem()) },
                    ]
                })))
            }
        }
    }
}

/// A table that may be wider than the screen; it can be moved with the keyboard then.
pub(super) fn table<const N: usize>(
    name: &str,
    head: &[&str; N],
    rows: impl Iterator<Item = [Markup; N]>,
) -> Markup {
    html! {
        div class="wide" role="group" aria-label=(name) tabindex="0" {
            table {
                thead { tr { @for title in head { th scope="col" { (title) } } } }
                tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
            }
        }
    }
}

fn foot(picture: &Picture, reload: bool) -> Markup {
    html! {
        p {
            "As of " time datetime=(picture.now) { (clock(picture.now)) " UTC" } ". "
            @if reload {
                "Reloads every 30 seconds. " a href="./" { "Stop that" }
            } @else {
                a href="?reload" { "Reload every 30 seconds" }
            }
        }
        p {
            a href="metrics" { "Metrics" } " · " a href="healthz" { "Health" } " · " a href="readyz" { "Readiness" }
        }
    }
}

fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// How long ago a moment was.
pub(super) fn moment(now: Timestamp, text: &str) -> Markup {
    let Ok(at) = text.parse::<Timestamp>() else { return html! { (printable(text)) } };
    html! { time datetime=(at) title={ (clock(at)) " UTC" } { (ago(now, at)) } }
}

fn ago(now: Timestamp, at: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    if seconds < 0 { "just now".to_owned() } else { format!("{} ago", spoken(seconds)) }
}

pub(super) fn count(value: u64) -> String {
    HumanCount(value).to_string()
}
