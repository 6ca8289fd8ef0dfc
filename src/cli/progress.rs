//! The progress line of a terminal: files, records, bytes, rate, time left.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::collect::Progress;
use crate::units::{Size, spoken};

/// How often the line is drawn.
const INTERVAL: Duration = Duration::from_millis(200);

/// A place for progress lines; nothing is drawn without a terminal.
pub fn bars() -> MultiProgress {
    let bars = MultiProgress::new();
    if !std::io::stderr().is_terminal() {
        bars.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    bars
}

/// Draws until dropped; gone when nothing is left to catch up with.
pub async fn draw(bars: MultiProgress, progress: Arc<Progress>) {
    if bars.is_hidden() {
        return;
    }
    let style =
        ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = bars.add(ProgressBar::new_spinner().with_style(style));
    let mut since = Figures::read(&progress);
    let mut began = Instant::now();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let now = Figures::read(&progress);
        if now.busy() {
            bar.set_message(now.line(&since, began.elapsed()));
            bar.tick();
        } else {
            bar.set_message("");
            (since, began) = (now, Instant::now());
        }
    }
}

/// The counters at one moment.
#[derive(Clone, Copy)]
struct Figures {
    listed: u64,
    files: u64,
    records: u64,
    bytes: u64,
    delivered: u64,
}

impl Figures {
    fn read(progress: &Progress) -> Self {
        Self {
            listed: Progress::get(&progress.listed),
            files: Progress::get(&progress.files),
            records: Progress::get(&progress.records),
            bytes: Progress::get(&progress.bytes),
            delivered: Progress::get(&progress.delivered),
        }
    }

    fn busy(&self) -> bool {
        self.listed > self.files || self.records > self.delivered
    }

    fn line(&self, since: &Self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(0.001);
        let bytes = self.bytes - since.bytes;
        let files = self.files - since.files;
        // Lossless for any figure a person can watch.
        let rate = Size((bytes as f64 / seconds).round().max(0.0) as u64);
        let left = self.listed.saturating_sub(self.files);
        let eta = if files == 0 || left == 0 {
            String::new()
        } else {
            let seconds = seconds / files as f64 * left as f64;
            format!(" · {} left", spoken(seconds.ceil() as i64))
        };
        format!(
            "{} of {} files · {} records · {} · {rate}/s · {} delivered{eta}",
            HumanCount(self.files),
            HumanCount(self.listed),
            HumanCount(self.records),
            Size(self.bytes),
            HumanCount(self.delivered),
        )
    }
}
