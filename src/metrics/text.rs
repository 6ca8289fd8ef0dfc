//! The text format, version 0.0.4: help, type, samples. Owns escaping and the shape of histograms.

use std::fmt::{Display, Write};

use super::families::{Family, Kind, Sight};
use crate::vitals::Histogram;

/// The text so far.
#[derive(Default)]
pub(super) struct Text(String);

/// Where one family's samples go.
pub struct Samples<'a> {
    text: &'a mut String,
    family: &'a Family,
}

impl Text {
    pub(super) fn family(&mut self, family: &Family, sight: &Sight<'_>) {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        line(&mut self.0, format_args!("# HELP {} {}", family.name, family.help));
        line(&mut self.0, format_args!("# TYPE {} {kind}", family.name));
        (family.fill)(sight, &mut Samples { text: &mut self.0, family });
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

impl Samples<'_> {
    /// One sample; the values of its labels in the family's order.
    pub(super) fn add(&mut self, labels: &[&str], value: impl Display) {
        self.sample("", labels, None, value);
    }

    /// A histogram's samples.
    pub(super) fn histogram(&mut self, labels: &[&str], histogram: &Histogram) {
        let mut below = 0;
        for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
            below += count;
            self.sample("_bucket", labels, Some(&bound.to_string()), below);
        }
        self.sample("_bucket", labels, Some("+Inf"), histogram.count);
        self.sample("_sum", labels, None, histogram.sum);
        self.sample("_count", labels, None, histogram.count);
    }

    fn sample(&mut self, suffix: &str, values: &[&str], bound: Option<&str>, value: impl Display) {
        debug_assert_eq!(values.len(), self.family.labels.len(), "{}", self.family.name);
        let pairs = self.family.labels.iter().copied().zip(values.iter().copied());
        let pairs = pairs.chain(bound.map(|bound| ("le", bound)));
        let labels: Vec<String> =
            pairs.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        line(self.text, format_args!("{}{suffix}{labels} {value}", self.family.name));
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    writeln!(text, "{content}").expect("a string takes everything");
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
