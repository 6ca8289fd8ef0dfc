//! Lists one stream: every file id gets a row before the cursor passes it.
//!
//! Paging follows `last_end_time` verbatim. Wherever a page says there is more, the second before its
//! edge is listed again, so that files which share an `end_time` with the edge are not skipped; a tie
//! too large for a page is a gap and an alarm. Each poll lists the overlap again, once a day the whole
//! retention window: a file that appears late is found, a known id costs nothing.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{Mode, Progress, RETENTION, Shared, Signal, Stream, settle};
use crate::ledger::{Interval, LedgerError, PageEntry, StreamState};
use crate::limits;
use crate::recovery::backoff;
use crate::source::openai::{ApiError, ErrorKind, Page};
use crate::vitals::Pulse;

/// Lists one stream.
pub struct Lister {
    shared: Shared,
    stream: Stream,
    signal: Arc<Signal>,
    pulse: Pulse,
    /// The failure that was told last; the same again is no news.
    told: Option<(StreamState, String)>,
}

/// Why a listing ended early.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("{0}")]
    Protocol(&'static str),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl ListError {
    /// One word, for counting.
    fn reason(&self) -> &'static str {
        match self {
            Self::Api(error) => error.kind.as_str(),
            Self::Protocol(_) => ErrorKind::Protocol.as_str(),
            Self::Ledger(_) => "ledger",
        }
    }
}

impl Lister {
    /// A lister that tells `signal` what it found.
    pub fn new(shared: Shared, stream: Stream, signal: Arc<Signal>) -> Self {
        let pulse =
            shared.vitals.pulses.task(format!("lister of {}/{}", stream.principal, stream.event_type));
        Self { shared, stream, signal, pulse, told: None }
    }

    /// Lists until stopped, or until one listing is complete or given up.
    pub async fn run(mut self, mode: Mode) {
        let (stop, signal, id) = (self.shared.stop.clone(), self.signal.clone(), self.stream.id);
        let listing = async {
            match mode {
                Mode::Forever { poll_interval } => self.poll(poll_interval).await,
                Mode::Once { sweep } => self.once(sweep).await,
            }
        };
        // Every step is a transaction of its own, so a listing may end anywhere.
        stop.run_until_cancelled(listing).await;
        signal.listed(id);
    }

    async fn poll(&mut self, poll_interval: Duration) {
        let mut failures = 0;
        loop {
            let delay = match self.list(false).await {
                Ok(()) => {
                    failures = 0;
                    poll_interval
                }
                Err(error) => {
                    failures += 1;
                    Self::delay_after(&error, failures, poll_interval)
                }
            };
            let delay = self.shared.ground.jitter(delay);
            self.pulse.beat(delay + limits::STUCK_TASK);
            tokio::time::sleep(delay).await;
        }
    }

    async fn once(&mut self, sweep: bool) {
        let mut first_failure = None;
        for failures in 1..=limits::ONCE_TRIES {
            let Err(error) = self.list(sweep).await else { return };
            let since = *first_failure.get_or_insert_with(Instant::now);
            let (tries, asked) = match &error {
                ListError::Api(api) => match api.kind {
                    ErrorKind::Unsupported => (1, None),
                    ErrorKind::Denied => (limits::ONCE_TRIES_DENIED, None),
                    _ => (limits::ONCE_TRIES, api.after),
                },
                _ => (limits::ONCE_TRIES, None),
            };
            if failures >= tries {
                return;
            }
            let delay = backoff(failures - 1, limits::RETRY_MIN, limits::ONCE_RETRY_MAX);
            let delay = delay.max(asked.unwrap_or_default());
            if since.elapsed() + delay > limits::ONCE_PATIENCE {
                return;
            }
            tokio::time::sleep(self.shared.ground.jitter(delay)).await;
        }
    }

    fn delay_after(error: &ListError, failures: u32, most: Duration) -> Duration {
        match error {
            ListError::Api(api) => match api.kind {
                ErrorKind::Unsupported => limits::UNSUPPORTED_PROBE,
                // Only the key's place is looked at until it is due or has changed.
                ErrorKind::Refused => limits::REFUSED_LOOK.min(most),
                ErrorKind::Denied => most,
                _ => backoff(failures - 1, limits::RETRY_MIN, most).max(api.after.unwrap_or_default()),
            },
            _ => backoff(failures - 1, limits::RETRY_MIN, most),
        }
    }

    /// One complete listing; records how the stream fares either way.
    async fn list(&mut self, sweep: bool) -> Result<(), ListError> {
        let result = self.pages(sweep).await;
        if let Err(error) = &result {
            self.shared.vitals.meter.source_failed("list", error.reason());
            let (state, hint) = match error {
                ListError::Api(api) => (
                    match api.kind {
                        ErrorKind::Refused => StreamState::Waiting,
                        ErrorKind::Denied => StreamState::Denied,
                        ErrorKind::Unsupported => StreamState::Unsupported,
                        _ => StreamState::Failing,
                    },
                    api.hint(),
                ),
                _ => (StreamState::Failing, None),
            };
            let message = error.to_string();
            let known = |(told, text): &(StreamState, String)| {
                *told == state && (state == StreamState::Waiting || *text == message)
            };
            if self.told.as_ref().is_some_and(known) {
                return result;
            }
            let event_type = self.stream.event_type.as_str();
            match state {
                StreamState::Waiting | StreamState::Denied => {
                    error!(event_type, %error, hint = hint.as_deref(), "listing refused");
                }
                _ => warn!(event_type, %error, "listing failed, it is tried again"),
            }
            let ledger = &self.shared.ledger;
            ledger.record_stream_state(self.stream.id, state, Some(message.clone()), hint).await?;
            self.told = Some((state, message));
        } else {
            self.told = None;
        }
        result
    }

    async fn pages(&self, sweep: bool) -> Result<(), ListError> {
        let Shared { ground, ledger, .. } = &self.shared;
        let row = ledger.stream(self.stream.id).await?;
        let began = ground.now();
        let floor = began - RETENTION;
        // Moments ahead of the clock are from a time when it was wrong.
        let due = |at: i64| at > began || began - at >= limits::SWEEP_INTERVAL;
        let sweep = sweep || row.swept_at.is_some_and(due);
        let started_at = if row.started_at > began { floor } else { row.started_at };
        let cursor = row.cursor.as_deref().and_then(seconds);
        let usual = cursor.map_or(started_at, |cursor| cursor.min(began) - self.stream.overlap);
        let resume = usual.min(row.uncovered).max(started_at);
        let from = if sweep { floor.max(started_at) } else { resume.max(floor) };
        // Within its settle time a stretch is never covered, which is no gap.
        let unsettled = settle(&self.stream.event_type) + limits::UNSETTLED_UNSAID;
        let repairs = Some(usual).filter(|usual| !sweep && cursor.is_some() && from + unsettled < *usual);
        if row.uncovered < floor {
            self.expired(row.uncovered, floor, began).await?;
        }
        let mut after = rfc3339(from);
        let mut reached = cursor;
        let settled = began - settle(&self.stream.event_type);
        let covered = Interval { from, until: settled, listed_at: Some(began) };
        loop {
            self.pulse.beat(limits::STUCK_REQUEST);
            let page = self.stream.client.list(&self.stream.event_type, &after, None, limits::PAGE).await?;
            if page.has_more && page.files.is_empty() {
                return Err(ListError::Protocol("a page claims more, but is empty"));
            }
            let end = self.record(&page, &mut reached, Some(covered)).await?;
            if !page.has_more {
                break;
            }
            let (Some(last), Some(end)) = (edge(&page), end) else {
                return Err(ListError::Protocol("a page claims more, but has no last_end_time"));
            };
            if moment(&last) <= moment(&after) {
                return Err(ListError::Protocol("a page claims more, but does not move on"));
            }
            self.check_ties(&page, end, &mut reached).await?;
            after = last;
        }
        // The first listing reaches back to the start, which is as good as a sweep.
        let swept = sweep || row.swept_at.is_none();
        ledger.record_listing(self.stream.id, covered, ground.now(), swept, repairs).await?;
        Ok(())
    }

    /// What expired before it was listed is a hole, but for the moments that a first listing takes to begin.
    async fn expired(&self, from: i64, floor: i64, began: i64) -> Result<(), ListError> {
        let ledger = &self.shared.ledger;
        if floor - from > limits::EXPIRED_UNSAID {
            error!(
                event_type = self.stream.event_type,
                "this stream was not listed for over 30 days: files that expired meanwhile are unknown"
            );
            let moment = (rfc3339(floor), floor);
            let reason = "nothing was listed for over 30 days: what expired meanwhile is unknown";
            let name = format!("unlisted-until-{}", rfc3339(floor));
            ledger.record_gap(self.stream.id, name, moment, reason, began).await?;
        }
        Ok(ledger.record_expired(self.stream.id, from, floor, began).await?)
    }

    /// Lists from before a page's edge: from the moment before the last one of the page, or a second before.
    /// A tie that fills a whole page cannot be resolved.
    async fn check_ties(&self, page: &Page, end: i64, reached: &mut Option<i64>) -> Result<(), ListError> {
        let last = page.files.iter().filter_map(|file| moment(&file.end_time)).max();
        let before = page.files.iter().filter(|file| moment(&file.end_time) < last);
        let before = before.max_by_key(|file| moment(&file.end_time));
        let after = match before {
            Some(file) if moment(&file.end_time) > moment(&rfc3339(end - 1)) => file.end_time.clone(),
            _ => rfc3339(end - 1),
        };
        let page = self.stream.client.list(&self.stream.event_type, &after, None, limits::PAGE).await?;
        if page.has_more && page.files.is_empty() {
            return Err(ListError::Protocol("a page claims more, but is empty"));
        }
        self.record(&page, reached, None).await?;
        let beyond = newest(&page).as_deref().and_then(moment) > last;
        if page.has_more && !beyond {
            let (end_time, event_type) = (rfc3339(end), self.stream.event_type.as_str());
            error!(event_type, end_time, "more files share one end_time than a page holds");
            let reason = "more files share this end_time than a page holds: some of them cannot be listed";
            let (name, moment) = (format!("tie-{end_time}"), (end_time, end));
            let now = self.shared.ground.now();
            self.shared.ledger.record_gap(self.stream.id, name, moment, reason, now).await?;
        }
        Ok(())
    }

    /// Records a page, and that everything of `listing` up to its end was seen; answers the moment it reaches to.
    async fn record(
        &self,
        page: &Page,
        reached: &mut Option<i64>,
        listing: Option<Interval>,
    ) -> Result<Option<i64>, ListError> {
        let now = self.shared.ground.now();
        let last = edge(page).or_else(|| newest(page));
        let end = last.as_deref().and_then(seconds);
        let forward = end.is_some() && end >= *reached;
        let cursor = last.filter(|_| forward);
        let covered = listing.zip(end);
        let covered = covered.map(|(listing, end)| Interval { until: listing.until.min(end), ..listing });
        let entries: Vec<_> = page
            .files
            .iter()
            .map(|file| PageEntry {
                file_id: file.id.clone(),
                end_time: file.end_time.clone(),
                end_at: seconds(&file.end_time).unwrap_or(now),
                size: file.size,
                sha256: file.sha256,
            })
            .collect();
        if page.unusable_rows > 0 {
            let (event_type, rows) = (self.stream.event_type.as_str(), page.unusable_rows);
            error!(event_type, rows, "listed rows without a usable id cannot be fetched");
            // Seen again by every poll of the overlap: one row a day says it.
            let today = rfc3339(now - now.rem_euclid(86_400));
            let reason = "listed rows without a usable id: see the log";
            let (name, moment) = (format!("rows-{today}"), (today, now));
            self.shared.ledger.record_gap(self.stream.id, name, moment, reason, now).await?;
        }
        let new = self.shared.ledger.record_page(self.stream.id, entries, cursor, covered, now).await?;
        if forward {
            *reached = end;
        }
        if new > 0 {
            info!(event_type = self.stream.event_type, new, "log files listed");
            Progress::add(&self.shared.progress.listed, new as u64);
            self.signal.work.notify_one();
        }
        Ok(end)
    }
}

/// `last_end_time`, verbatim; one far beyond every file of its page is not believed, since paging on from
/// there would skip what lies between.
fn edge(page: &Page) -> Option<String> {
    let newest = newest(page);
    let (last, end) = (page.last_end_time.clone()?, newest.as_deref().and_then(seconds));
    let beyond = seconds(&last).zip(end).is_some_and(|(last, end)| last > end + 1);
    if beyond { newest } else { Some(last) }
}

fn newest(page: &Page) -> Option<String> {
    page.files.iter().max_by_key(|file| moment(&file.end_time)).map(|file| file.end_time.clone())
}

fn rfc3339(second: i64) -> String {
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

fn seconds(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests;
