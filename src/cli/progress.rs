//! The progress line of a terminal: files, records, bytes, rate, time left.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::collect::Progress;
use crate::units::{Size, spoken};

/// How often the line is drawn.
pub const INTERVAL: Duration = Duration::from_millis(200);

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

/// How much of something of known size was read; drawn until dropped.
pub struct Share(Option<ProgressBar>);

impl Share {
    /// Of so many bytes. Where the data goes to the same terminal, it shows by itself how far things are.
    pub fn new(bars: &MultiProgress, bytes: u64) -> Self {
        if bars.is_hidden() || std::io::stdout().is_terminal() {
            return Self(None);
        }
        let style = ProgressStyle::with_template("{spinner} {percent}% {msg} · {eta} left");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bars.add(ProgressBar::new(bytes).with_style(style));
        bar.enable_steady_tick(INTERVAL);
        Self(Some(bar))
    }

    /// So many bytes more.
    pub fn passed(&self, bytes: u64, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
            bar.set_message(message());
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
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
        let seconds = elapsed.as_secs().max(1);
        let (bytes, files) = (self.bytes - since.bytes, self.files - since.files);
        let left = self.listed.saturating_sub(self.files);
        let rate = Size(bytes / seconds);
        let eta = match (seconds * left).checked_div(files) {
            Some(eta) if left > 0 => format!(" · {} left", spoken(eta.cast_signed())),
            _ => String::new(),
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
