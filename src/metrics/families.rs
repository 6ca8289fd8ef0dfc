//! Every metric: name, type, labels, what it means, where its value comes from.

use jiff::Timestamp;

use super::text::Samples;
use super::{Scrape, process};
use crate::status::{SinkStatus, StreamStatus};
use crate::vitals::Counts;

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many took how long.
    Histogram,
}

/// One metric.
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
    pub(super) fill: fn(&Sight<'_>, &mut Samples<'_>),
}

/// A scrape with the counts of its moment.
pub struct Sight<'a> {
    scrape: &'a Scrape<'a>,
    counts: Counts,
}

const STREAM: &[&str] = &["source", "principal", "event_type"];
const STREAM_STATE: &[&str] = &["source", "principal", "event_type", "state"];
const SINK: &[&str] = &["sink"];
/// Every state a stream can have.
const STREAM_STATES: [&str; 5] = ["ok", "waiting", "denied", "unsupported", "failing"];
/// Every state a sink can have.
const SINK_STATES: [&str; 3] = ["ok", "retrying", "paused"];

impl<'a> Sight<'a> {
    pub(super) fn of(scrape: &'a Scrape<'a>) -> Self {
        Self { scrape, counts: scrape.vitals.meter.read() }
    }

    fn streams(&self, out: &mut Samples<'_>, value: impl Fn(&StreamStatus) -> Option<i64>) {
        for stream in &self.scrape.status.streams {
            if let Some(value) = value(stream) {
                out.add(&[&stream.source, &stream.principal, &stream.event_type], value);
            }
        }
    }

    fn sinks(&self, out: &mut Samples<'_>, value: impl Fn(&SinkStatus) -> u64) {
        for sink in &self.scrape.status.sinks {
            out.add(&[&sink.name], value(sink));
        }
    }

    /// Seconds since a moment; none for a text that is none.
    fn since(&self, moment: &str) -> Option<i64> {
        let moment: Timestamp = moment.parse().ok()?;
        Some((self.scrape.now.as_second() - moment.as_second()).max(0))
    }
}

const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    fill: fn(&Sight<'_>, &mut Samples<'_>),
) -> Family {
    Family { name, kind, labels, help, fill }
}

use Kind::{Counter, Gauge, Histogram};

/// All of them, in the order of the text.
pub const FAMILIES: &[Family] = &[
    family("custodex_build_info", Gauge, &["version"], "Always 1; the version is in its label.", |s, out| {
        out.add(&[s.scrape.status.version], 1);
    }),
    family(
        "custodex_healthy",
        Gauge,
        &[],
        "1 while nothing needs an operator, as status has it.",
        |s, out| {
            out.add(&[], u8::from(s.scrape.status.healthy));
        },
    ),
    family("custodex_ready", Gauge, &[], "1 while listing works and no sink is paused.", |s, out| {
        out.add(&[], u8::from(s.scrape.readiness.ready));
    }),
    family(
        "custodex_caught_up",
        Gauge,
        &[],
        "1 while everything the provider has was listed and collected.",
        |s, out| {
            let headroom = s.scrape.status.headroom.as_ref();
            out.add(&[], u8::from(headroom.is_some_and(|headroom| headroom.caught_up)));
        },
    ),
    family(
        "custodex_headroom_seconds",
        Gauge,
        STREAM,
        "Time until the provider drops something of the stream that is not collected.",
        |s, out| s.streams(out, |stream| Some(stream.headroom_seconds)),
    ),
    family("custodex_stream_state", Gauge, STREAM_STATE, "1 for the state the stream is in.", |s, out| {
        for stream in &s.scrape.status.streams {
            for state in STREAM_STATES {
                let labels = [&*stream.source, &stream.principal, &stream.event_type, state];
                out.add(&labels, u8::from(stream.state == state));
            }
        }
    }),
    family(
        "custodex_stream_lag_seconds",
        Gauge,
        STREAM,
        "Age of the first moment that was not listed completely.",
        |s, out| s.streams(out, |stream| s.since(&stream.covered_until)),
    ),
    family(
        "custodex_stream_listed_age_seconds",
        Gauge,
        STREAM,
        "Time since the stream was last listed completely; absent before that.",
        |s, out| s.streams(out, |stream| s.since(stream.last_listed_at.as_deref()?)),
    ),
    family(
        "custodex_stream_lateness_max_seconds",
        Gauge,
        STREAM,
        "The latest a log file ever appeared behind newer ones.",
        |s, out| s.streams(out, |stream| Some(stream.lateness_max_seconds)),
    ),
    family("custodex_files_collected_total", Counter, STREAM, "Log files ever collected.", |s, out| {
        s.streams(out, |stream| Some(stream.files_collected));
    }),
    family("custodex_records_collected_total", Counter, STREAM, "Records ever collected.", |s, out| {
        s.streams(out, |stream| Some(stream.records_collected));
    }),
    family("custodex_collected_bytes_total", Counter, &[], "Bytes collected since the start.", |s, out| {
        out.add(&[], s.scrape.progress_bytes);
    }),
    family("custodex_files_pending", Gauge, STREAM, "Log files listed and not collected yet.", |s, out| {
        s.streams(out, |stream| Some(stream.files_pending));
    }),
    family(
        "custodex_files_failing",
        Gauge,
        STREAM,
        "Of these, those that fail again and again.",
        |s, out| {
            s.streams(out, |stream| Some(stream.files_failing));
        },
    ),
    family(
        "custodex_holes",
        Gauge,
        STREAM,
        "Log files that were listed and can no longer be had.",
        |s, out| {
            s.streams(out, |stream| Some(stream.holes));
        },
    ),
    family(
        "custodex_holes_unacknowledged",
        Gauge,
        STREAM,
        "Of these, those that nobody has acknowledged.",
        |s, out| s.streams(out, |stream| Some(stream.holes_unacknowledged)),
    ),
    family(
        "custodex_unclaimed_event_types",
        Gauge,
        &[],
        "Event types with log files that no source collects.",
        |s, out| out.add(&[], s.scrape.status.unclaimed.len()),
    ),
    family("custodex_spool_bytes", Gauge, &[], "Bytes of log files in the spool.", |s, out| {
        out.add(&[], s.scrape.status.spool.bytes);
    }),
    family("custodex_spool_max_bytes", Gauge, &[], "Bytes the spool may hold.", |s, out| {
        out.add(&[], s.scrape.spool_max_bytes);
    }),
    family("custodex_sink_state", Gauge, &["sink", "state"], "1 for the state the sink is in.", |s, out| {
        for sink in &s.scrape.status.sinks {
            for state in SINK_STATES {
                out.add(&[&sink.name, state], u8::from(sink.state == state));
            }
        }
    }),
    family(
        "custodex_sink_records_delivered_total",
        Counter,
        SINK,
        "Records the sink confirmed.",
        |s, out| {
            s.sinks(out, |sink| sink.records_delivered);
        },
    ),
    family(
        "custodex_sink_repeats_total",
        Counter,
        SINK,
        "Records left out because the sink has a copy.",
        |s, out| s.sinks(out, |sink| sink.repeats_suppressed),
    ),
    family("custodex_sink_deselected_total", Counter, SINK, "Records left out by select.", |s, out| {
        s.sinks(out, |sink| sink.deselected);
    }),
    family("custodex_sink_dead_letters", Gauge, SINK, "Records the sink can never take.", |s, out| {
        s.sinks(out, |sink| sink.dead_letters);
    }),
    family("custodex_sink_records_pending", Gauge, SINK, "Records of the spool still to come.", |s, out| {
        s.sinks(out, |sink| sink.records_pending);
    }),
    family("custodex_sink_files_pending", Gauge, SINK, "Log files with such records.", |s, out| {
        s.sinks(out, |sink| sink.files_pending);
    }),
    family(
        "custodex_sink_oldest_pending_seconds",
        Gauge,
        SINK,
        "Time since the oldest log file still to come was collected; 0 when there is none.",
        |s, out| {
            let age = |sink: &SinkStatus| s.since(sink.oldest_pending.as_deref()?);
            s.sinks(out, |sink| age(sink).unwrap_or(0).unsigned_abs());
        },
    ),
    family(
        "custodex_requests_total",
        Counter,
        &["to", "answer"],
        "Requests since the start: to the api or for files, and the class of the answer or none.",
        |s, out| {
            for to in ["api", "files"] {
                for answer in ["2xx", "3xx", "4xx", "5xx", "none"] {
                    out.add(&[to, answer], s.counts.requests.get(&(to, answer)).unwrap_or(&0));
                }
            }
        },
    ),
    family(
        "custodex_source_failures_total",
        Counter,
        &["stage", "reason"],
        "Listings and downloads that failed since the start and are tried again.",
        |s, out| s.counts.source_failures.iter().for_each(|((stage, why), n)| out.add(&[stage, why], n)),
    ),
    family(
        "custodex_sink_failures_total",
        Counter,
        &["sink", "meaning"],
        "Deliveries that failed since the start: retry, pause or fatal.",
        |s, out| {
            for sink in &s.scrape.status.sinks {
                for meaning in ["retry", "pause", "fatal"] {
                    let count = s.counts.sink_failures.get(&(sink.name.clone(), meaning));
                    out.add(&[&sink.name, meaning], count.unwrap_or(&0));
                }
            }
        },
    ),
    family(
        "custodex_listing_delay_seconds",
        Histogram,
        &[],
        "From the end of a log file to its listing, of those collected since the start.",
        |s, out| out.histogram(&[], &s.counts.listing),
    ),
    family(
        "custodex_collecting_delay_seconds",
        Histogram,
        &[],
        "From its listing to its place in the spool, since the start.",
        |s, out| out.histogram(&[], &s.counts.collecting),
    ),
    family(
        "custodex_delivery_delay_seconds",
        Histogram,
        SINK,
        "From the spool to the confirmation of the whole log file by the sink, since the start.",
        |s, out| s.counts.delivering.iter().for_each(|(sink, times)| out.histogram(&[sink], times)),
    ),
    family(
        "custodex_task_idle_seconds",
        Gauge,
        &["task"],
        "Time since a task moved last, 0 while it has nothing to do.",
        |s, out| {
            for (task, age) in s.scrape.vitals.pulses.ages() {
                out.add(&[&task], age.as_secs());
            }
        },
    ),
    family("custodex_stuck_tasks", Gauge, &[], "Tasks that should have moved and did not.", |s, out| {
        out.add(&[], s.scrape.stuck.len());
    }),
    family("process_start_time_seconds", Gauge, &[], "When the process began, since 1970.", |s, out| {
        out.add(&[], s.scrape.started.as_second());
    }),
    family("process_resident_memory_bytes", Gauge, &[], "Memory in use.", |_, out| {
        if let Some(bytes) = process::resident_bytes() {
            out.add(&[], bytes);
        }
    }),
    family("process_open_fds", Gauge, &[], "Files and connections that are open.", |_, out| {
        if let Some(count) = process::open_files() {
            out.add(&[], count);
        }
    }),
];
