//! Charts as SVG, each with the same figures as text behind it.
//!
//! Colours are the style sheet's, by class; sizes are attributes, since the page allows no inline style.

use jiff::Timestamp;
use maud::{Markup, html};

use super::picture::{Calendar, Picture};
use super::spans::{DAY, State, by_day};
use super::view::{count, table};
use crate::ledger::HourRow;
use crate::limits::PAGE_DAYS;
use crate::status::StreamStatus;
use crate::units::spoken;
use crate::words::printable;

/// Units of a day's column, and of the gap behind it.
const COLUMN: i64 = 10;
const GAP: i64 = 2;
/// Units of a whole day, downwards: four an hour.
const HEIGHT: i64 = 96;
/// Rows of the table behind a calendar; a stream that was interrupted more often shows its newest.
const ROWS: usize = 100;

/// What the colours of a calendar mean.
pub(super) fn legend() -> Markup {
    let states = [State::Covered, State::Open, State::Lost, State::Coming];
    html! {
        ul class="legend small" aria-label="Colours of the calendars" {
            @for state in states {
                li {
                    svg width="12" height="12" aria-hidden="true" { rect class=(state.class()) width="12" height="12" rx="2" {} }
                    (state.words())
                }
            }
            li {
                svg width="12" height="12" aria-hidden="true" { circle class="hole" cx="6" cy="6" r="4" {} }
                "hole"
            }
            li { "a column is a day, midnight (UTC) on top, a line every six hours" }
        }
    }
}

/// The last 30 days of a stream: a column a day, midnight on top.
pub(super) fn calendar(picture: &Picture, stream: &StreamStatus, calendar: &Calendar) -> Markup {
    let total = |state: State| {
        let of_state = calendar.spans.iter().filter(|span| span.state == state);
        of_state.map(|span| span.until - span.from).sum::<i64>()
    };
    let said = [State::Covered, State::Open, State::Lost]
        .map(|state| format!("{} {}", spoken(total(state)), state.words()))
        .join(", ");
    let label = format!("Coverage of {} in the last {PAGE_DAYS} days: {said}", printable(&stream.event_type));
    let place = |at: i64| ((at - calendar.from).div_euclid(DAY), at.rem_euclid(DAY));
    let down = |second: i64| second as f64 * HEIGHT as f64 / DAY as f64;
    let holes = picture.holes.iter().filter(|hole| {
        (hole.principal.as_str(), hole.event_type.as_str()) == (&*stream.principal, &*stream.event_type)
    });
    let holes = holes.filter_map(|hole| hole.end_time.parse().ok().map(Timestamp::as_second));
    let holes = holes.filter(|at| (calendar.from..calendar.from + PAGE_DAYS * DAY).contains(at));
    let width = PAGE_DAYS * COLUMN - GAP;
    html! {
        figure class="calendar" {
            svg viewBox=(format!("0 0 {width} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(label) {
                @for span in by_day(&calendar.spans) {
                    @let (day, second) = place(span.from);
                    rect class=(span.state.class()) x=(day * COLUMN) y=(format!("{:.2}", down(second)))
                        width=(COLUMN - GAP) height=(format!("{:.2}", down(span.until - span.from))) {}
                }
                @for quarter in 1..4 {
                    rect class="mark" x="0" y=(quarter * HEIGHT / 4) width=(width) height="0.7" {}
                }
                @for at in holes {
                    @let (day, second) = place(at);
                    circle class="hole" cx=(day * COLUMN + (COLUMN - GAP) / 2) cy=(format!("{:.2}", down(second))) r="3" {}
                }
            }
            figcaption class="quiet small" {
                span { (date(calendar.from)) }
                span { "today" }
            }
            details {
                summary class="small" { "Coverage as a table" }
                (table(
                    &format!("Coverage of {}", printable(&stream.event_type)),
                    &["From (UTC)", "Until", "State"],
                    calendar.spans.iter().rev().take(ROWS).map(|span| [
                        html! { (minute(span.from)) },
                        html! { (minute(span.until)) },
                        html! { (span.state.words()) },
                    ]),
                ))
            }
        }
    }
}

/// What was collected hour by hour.
pub(super) fn hours(hours: &[HourRow]) -> Markup {
    let most = hours.iter().map(|row| row.records).max().unwrap_or(0).max(1);
    let total: u64 = hours.iter().map(|row| row.records).sum();
    let label = format!("{} records were collected in the last 24 hours", count(total));
    let tall = |records: u64| records as f64 * 80.0 / most as f64;
    let oclock = |row: &HourRow| row.hour.get(11..).unwrap_or_default().to_owned();
    html! {
        section aria-labelledby="hours" {
            h2 id="hours" { "Collected in the last 24 hours" }
            figure class="card" {
                p { strong { (count(total)) } " records" span class="quiet" { ", at most " (count(most)) " in an hour" } }
                svg class="bars" viewBox="0 0 480 80" preserveAspectRatio="none" role="img" aria-label=(label) {
                    @for (at, row) in hours.iter().enumerate() {
                        rect class="track" x=(at * 20) y="79" width="16" height="1" {}
                        rect class="bar" x=(at * 20) y=(format!("{:.2}", 80.0 - tall(row.records))) width="16"
                            height=(format!("{:.2}", tall(row.records))) {}
                    }
                }
                figcaption class="quiet small" {
                    span { (hours.first().map(oclock).unwrap_or_default()) ":00 UTC" }
                    span { "this hour" }
                }
                details {
                    summary class="small" { "As a table" }
                    (table("Collected in the last 24 hours", &["Hour (UTC)", "Log files", "Records"], hours.iter().rev().map(|row| [
                        html! { (row.hour.replace('T', " ")) ":00" },
                        html! { (count(row.files)) },
                        html! { (count(row.records)) },
                    ])))
                }
            }
        }
    }
}

/// Headroom on a scale up to what the provider keeps, with a mark for each alarm.
pub(super) fn headroom(seconds: i64, most: i64, alarms: &[i64]) -> Markup {
    let along = |seconds: i64| format!("{:.1}", seconds.clamp(0, most) as f64 * 600.0 / most as f64);
    html! {
        svg class="gauge" viewBox="0 0 600 12" preserveAspectRatio="none" aria-hidden="true" {
            rect class="track" width="600" height="12" {}
            rect class=(super::view::level(seconds)) width=(along(seconds)) height="12" {}
            @for alarm in alarms {
                rect class="mark" x=(along(*alarm)) y="0" width="2" height="12" {}
            }
        }
    }
}

fn date(second: i64) -> String {
    Timestamp::from_second(second).unwrap_or_default().strftime("%e %b").to_string()
}

fn minute(second: i64) -> String {
    Timestamp::from_second(second).unwrap_or_default().strftime("%Y-%m-%d %H:%M").to_string()
}
