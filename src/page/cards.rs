//! One card for each stream and each sink: how it fares, and what to do when it does not.

use maud::{Markup, html};

use super::charts;
use super::picture::{Calendar, Picture};
use super::view::{count, level, moment, told};
use crate::status::{SinkStatus, StreamStatus};
use crate::units::spoken;
use crate::words::printable;

pub(super) fn streams(picture: &Picture) -> Markup {
    html! {
        section aria-labelledby="streams" {
            h2 id="streams" { "Streams" }
            (charts::legend())
            div class="cards" {
                @for (stream, calendar) in picture.status.streams.iter().zip(&picture.calendars) {
                    (self::stream(picture, stream, calendar))
                }
            }
        }
    }
}

fn stream(picture: &Picture, stream: &StreamStatus, calendar: &Calendar) -> Markup {
    let whole = |value: i64| count(value.unsigned_abs());
    let lag = picture.now.as_second() - stream.covered_until.parse().map_or(0, jiff::Timestamp::as_second);
    html! {
        article class="card" {
            header {
                h3 { (printable(&stream.event_type)) }
                (pill(stream.state, match stream.state {
                    "ok" => "ok",
                    "unsupported" => "calm",
                    "failing" => "warn",
                    _ => "bad",
                }))
            }
            p class="quiet small" { (stream.source) " · " (printable(&stream.principal)) }
            (trouble(stream.last_error.as_deref(), stream.hint.as_deref()))
            dl {
                (fact("Headroom", &html! { span class=(level(stream.headroom_seconds)) { (spoken(stream.headroom_seconds)) } }))
                (fact("Listed", &maybe(picture, stream.last_listed_at.as_deref(), "never")))
                (fact("Behind now", &html! { (spoken(lag.max(0))) }))
                (fact("Latest late file", &html! { (spoken(stream.lateness_max_seconds)) }))
                (fact("Log files", &html! { (whole(stream.files_collected)) }))
                (fact("Records", &html! { (whole(stream.records_collected)) }))
                (fact("Pending", &html! {
                    (whole(stream.files_pending))
                    @if stream.files_failing > 0 { " (" (whole(stream.files_failing)) " failing)" }
                }))
                (fact("Holes", &html! {
                    (whole(stream.holes))
                    @if stream.holes_unacknowledged > 0 { " (" (whole(stream.holes_unacknowledged)) " open)" }
                }))
            }
            (charts::calendar(picture, stream, calendar))
        }
    }
}

pub(super) fn sinks(picture: &Picture) -> Markup {
    html! {
        section aria-labelledby="sinks" {
            h2 id="sinks" { "Sinks" }
            div class="cards" {
                @for sink in &picture.status.sinks { (self::sink(picture, sink)) }
            }
        }
    }
}

fn sink(picture: &Picture, sink: &SinkStatus) -> Markup {
    html! {
        article class="card" {
            header {
                h3 { (sink.name) }
                (pill(&sink.state, match sink.state.as_str() {
                    "ok" => "ok",
                    "retrying" => "warn",
                    _ => "bad",
                }))
            }
            p class="quiet small" { (sink.kind) " · confirmed means " (sink.guarantee) }
            (trouble(sink.last_error.as_deref(), sink.hint.as_deref()))
            dl {
                (fact("Delivered", &html! { (count(sink.records_delivered)) }))
                (fact("Waiting", &html! {
                    (count(sink.records_pending))
                    @if sink.files_pending > 0 { " in " (count(sink.files_pending)) " files" }
                }))
                (fact("Oldest waiting", &maybe(picture, sink.oldest_pending.as_deref(), "none")))
                (fact("Position", &html! { "file " (sink.position.file) ", record " (sink.position.record) }))
                (fact("Repeats left out", &html! { (count(sink.repeats_suppressed)) }))
                (fact("Deselected", &html! { (count(sink.deselected)) }))
                (fact("Dead letters", &html! { (count(sink.dead_letters)) }))
            }
        }
    }
}

fn maybe(picture: &Picture, at: Option<&str>, otherwise: &str) -> Markup {
    at.map_or_else(|| html! { (otherwise) }, |at| moment(picture.now, at))
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn pill(state: &str, class: &str) -> Markup {
    html! { p class=(format!("pill {class}")) { (state) } }
}

fn trouble(error: Option<&str>, hint: Option<&str>) -> Markup {
    html! {
        @if let Some(error) = error {
            div class="trouble" {
                p { (error) }
                @if let Some(hint) = hint { p class="hint" { (told(hint)) } }
            }
        }
    }
}
