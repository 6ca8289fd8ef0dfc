//! Names are documented, labels are bounded, and no text breaks the format.

use std::collections::BTreeSet;

use super::*;
use crate::health::readiness;
use crate::ledger::{Ledger, SinkStart};
use crate::words::{Principal, PrincipalKind};

const STREAMS: [&str; 3] = ["CODEX_LOG", "AUTH_LOG", "odd\"\\\nname"];
const SINKS: [&str; 2] = ["out", "archive"];

async fn scraped() -> String {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _thread) = Ledger::open(&folder.path().join("ledger.db")).unwrap();
    let vitals = Vitals::default();
    let mut pulses = vec![vitals.pulses.task("finisher".into()), vitals.pulses.task("cleaner".into())];
    pulses.push(vitals.pulses.task("fetcher of w/CODEX_LOG".into()));
    for event_type in STREAMS {
        let principal = Principal { kind: PrincipalKind::Workspace, id: "w".into() };
        ledger.enable_stream("codex".into(), principal, event_type.into(), 0, 0).await.unwrap();
        pulses.push(vitals.pulses.task(format!("lister of w/{event_type}")));
    }
    for sink in SINKS {
        ledger.enable_sink(sink.into(), "file", "durable", SinkStart::Beginning, false).await.unwrap();
        pulses.push(vitals.pulses.task(format!("sink {sink}")));
        vitals.meter.delivered(sink, 3);
        vitals.meter.sink_failed(sink, "retry");
    }
    for stage in ["list", "fetch"] {
        vitals.meter.source_failed(stage, "network");
    }
    vitals.meter.request("api", "2xx");
    vitals.meter.collected(700, 1);
    let now: Timestamp = "2026-11-25T09:00:00Z".parse().unwrap();
    let status = Status::of(ledger.facts(now.as_second()).await.unwrap(), now, true, u64::MAX);
    let readiness = readiness(&status, &[]);
    render(&Scrape {
        status: &status,
        now,
        started: now,
        spool_max_bytes: 1,
        progress_bytes: 7,
        vitals: &vitals,
        stuck: &[],
        readiness: &readiness,
    })
}

#[tokio::test]
async fn there_are_as_many_series_as_the_documentation_says_and_no_more() {
    let text = scraped().await;
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let most = 16 * STREAMS.len() + 28 * SINKS.len() + 1 + 80;
    assert!(samples.len() <= most && samples.len() > most - 40, "{} of {most}", samples.len());
    let names: BTreeSet<&str> = samples.iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    assert_eq!(names.len(), samples.len(), "a series is there twice");
    assert!(text.contains(r#"event_type="odd\"\\\nname""#), "{text}");
    assert!(text.contains("\ncustodex_listing_delay_seconds_bucket{le=\"600\"} 0\n"));
    assert!(text.contains("\ncustodex_listing_delay_seconds_bucket{le=\"900\"} 1\n"));
    assert!(text.contains("\ncustodex_delivery_delay_seconds_bucket{sink=\"out\",le=\"+Inf\"} 1\n"));
    assert!(text.contains("\ncustodex_sink_failures_total{sink=\"archive\",meaning=\"retry\"} 1\n"));
}

#[test]
fn the_documentation_has_every_metric() {
    let documented = include_str!("../../docs/metrics.md");
    let rows: Vec<&str> = documented.lines().filter(|line| line.matches(" | ").count() == 3).collect();
    let expected = FAMILIES.iter().map(|family| {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        format!("| `{}` | {kind} | {} | {} |", family.name, family.labels.join(", "), family.help)
    });
    let expected: Vec<String> = expected.collect();
    assert_eq!(rows[1..], expected, "docs/metrics.md and metrics/families.rs differ");
}
