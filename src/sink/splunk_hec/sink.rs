//! The flow: batches become requests, requests wait in the window, acknowledgements confirm batches.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::ack::{Count, Window};
use super::config::{Packing, SplunkHecConfig, bytes};
use super::confirm::Question;
use super::encode::{Envelope, pack};
use super::reply::{Verdict, judge, no_acknowledgements};
use super::send::{self, Link, exchange};
use crate::ground::Ground;
use crate::limits;
use crate::recovery::Recovery;
use crate::sink::{Batch, Confirmation, Sink, SinkError};

/// What one event takes beside its record, about.
const ENVELOPE_BYTES: usize = 320;

/// See the module above.
pub(super) struct SplunkHecSink {
    pub(super) config: Arc<SplunkHecConfig>,
    /// The channel, as the ledger keeps it.
    pub(super) memory: Vec<u8>,
    pub(super) link: Link,
    envelope: Envelope,
    pub(super) window: Window,
    pub(super) held: Held,
    current: Current,
    pub(super) asking: Option<Question>,
    pub(super) ask_at: Instant,
    /// Questions since the last acknowledgement.
    pub(super) fruitless: u32,
    /// The collector answered a question for acknowledgements.
    pub(super) acknowledges: bool,
    /// How bodies are packed; gzip only as long as it is understood.
    packing: Packing,
    /// Nothing is sent before.
    slow_until: Instant,
    /// No request is larger, unless one event is.
    body_limit: usize,
    /// Records to be sent batch by batch, so that a refusal can be told to the batch.
    careful: usize,
    /// Confirmed and not reported yet.
    pub(super) confirmed: Count,
}

/// Whole batches that wait for more.
#[derive(Default)]
pub(super) struct Held {
    plain: Vec<u8>,
    count: Count,
    pub(super) since: Option<Instant>,
}

/// How far the batch in hand is.
#[derive(Default)]
struct Current {
    /// Records of it that were taken.
    sent: usize,
    /// The last of them and its end, to know the batch again.
    mark: Option<(String, usize)>,
    /// How many records to send next, and after that, last first; then as many as fit.
    cuts: Vec<usize>,
}

/// What became of a body.
pub(super) enum Posted {
    Taken(Option<u64>),
    Refused(Option<usize>, String),
    TooLarge(String),
}

impl SplunkHecSink {
    pub(super) fn new(ground: &Ground, config: Arc<SplunkHecConfig>, memory: Option<Vec<u8>>) -> Self {
        let known = memory.and_then(|memory| String::from_utf8(memory).ok()).filter(|text| is_channel(text));
        let channel = known.unwrap_or_else(|| new_channel(&mut ground.random()));
        let now = Instant::now();
        Self {
            memory: channel.clone().into_bytes(),
            link: Link::new(config.clone(), channel),
            envelope: Envelope::new(config.clone()),
            window: Window::default(),
            held: Held::default(),
            current: Current::default(),
            asking: None,
            ask_at: now,
            fruitless: 0,
            acknowledges: false,
            packing: config.compression,
            slow_until: now,
            body_limit: bytes(config.batch_bytes),
            careful: 0,
            confirmed: Count::default(),
            config,
        }
    }

    async fn take(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.current.recognise(batch);
        let size = batch.bytes.len() + batch.ends.len() * ENVELOPE_BYTES;
        let small = size < self.body_limit / 2;
        let fresh = self.current.sent == 0 && self.current.cuts.is_empty() && self.careful == 0;
        if fresh && small && !batch.ends.is_empty() && !self.config.batch_interval.0.is_zero() {
            if self.held.plain.len() + size > self.body_limit {
                self.flush().await?;
            }
            self.hold(batch);
            return Ok(());
        }
        self.flush().await?;
        while self.current.sent < batch.ends.len() {
            self.send_some(batch).await?;
        }
        self.careful = self.careful.saturating_sub(batch.ends.len());
        self.current = Current::default();
        if !self.window.end_batch() {
            self.confirmed.batches += 1;
        }
        Ok(())
    }

    /// Keeps a whole batch, to send it with others.
    fn hold(&mut self, batch: &Batch) {
        self.envelope.write_all(batch, &mut self.held.plain);
        self.held.count.batches += 1;
        self.held.count.records += batch.ends.len();
        self.held.since.get_or_insert_with(Instant::now);
    }

    /// Sends what is held.
    pub(super) async fn flush(&mut self) -> Result<(), SinkError> {
        if self.held.count.batches == 0 {
            return Ok(());
        }
        let body = self.pack(&self.held.plain);
        match self.post_new(body.clone()).await? {
            Posted::Taken(id) => {
                let held = std::mem::take(&mut self.held);
                self.window.push(body, held.count, id, Instant::now());
                Ok(())
            }
            Posted::Refused(_, answer) => Err(self.start_over(&answer)),
            Posted::TooLarge(answer) => {
                self.shrink(self.held.plain.len());
                Err(self.start_over(&answer))
            }
        }
    }

    /// Sends the next records of a batch in one request; goes on with fewer when they are refused.
    async fn send_some(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let (plain, count) = self.some(batch);
        let mut body = self.pack(&plain);
        let mut posted = self.post_new(body.clone()).await?;
        if count == 1 && self.packing == Packing::Gzip && matches!(posted, Posted::Refused(..)) {
            // Not the event may be bad but its packing, and with it every event.
            body = pack(&plain, Packing::None);
            posted = self.post_new(body.clone()).await?;
            if matches!(posted, Posted::Taken(_)) {
                warn!(to = send::name(&self.config), "gzip is not understood, bodies go as they are");
                self.packing = Packing::None;
            }
        }
        match posted {
            Posted::Taken(id) => {
                self.window.push(body, Count { records: count, batches: 0 }, id, Instant::now());
                self.current.advance(batch, count);
                self.body_limit =
                    (self.body_limit + self.body_limit / 64).min(bytes(self.config.batch_bytes));
            }
            Posted::Refused(_, answer) | Posted::TooLarge(answer) if count == 1 => {
                self.current.cuts.clear();
                let recovery = Recovery::DeadLetter { record: self.current.sent, answer: answer.clone() };
                return Err(SinkError::new(format!("an event was refused: {answer}"), recovery));
            }
            // What lies before the refused one may be indexed or not: it is sent again, with the same ids.
            Posted::Refused(Some(0), _) => self.current.cuts.push(1),
            Posted::Refused(Some(event), _) if event < count => self.current.cuts.extend([1, event]),
            Posted::Refused(..) => self.current.cuts.push(count / 2),
            Posted::TooLarge(_) => {
                self.shrink(plain.len());
                self.current.cuts.push(count / 2);
            }
        }
        Ok(())
    }

    /// The next records of a batch as a body, and how many they are.
    fn some(&mut self, batch: &Batch) -> (Vec<u8>, usize) {
        let most = self.current.cuts.last().copied().unwrap_or(usize::MAX);
        let mut plain = Vec::with_capacity(self.body_limit.min(batch.bytes.len() + ENVELOPE_BYTES));
        let mut count = 0;
        let left = batch.records().zip(&batch.about).skip(self.current.sent);
        for (record, about) in left.take(most) {
            let before = plain.len();
            self.envelope.write(record, about, &mut plain);
            if count > 0 && plain.len() > self.body_limit {
                plain.truncate(before);
                break;
            }
            count += 1;
        }
        (plain, count)
    }

    fn pack(&self, plain: &[u8]) -> Bytes {
        match self.packing {
            Packing::None => pack(plain, Packing::None),
            Packing::Gzip => block_in_place(|| pack(plain, Packing::Gzip)),
        }
    }

    fn shrink(&mut self, refused: usize) {
        self.body_limit = (refused / 2).max(limits::HEC_LEAST_BODY).min(bytes(self.config.batch_bytes));
        warn!(to = send::name(&self.config), bytes = self.body_limit, "requests are made smaller");
    }

    /// Gives up what is not confirmed: a refusal that cannot be told to the batch in hand.
    pub(super) fn start_over(&mut self, answer: &str) -> SinkError {
        // Everything that may come again before the place is passed.
        self.careful += self.held.count.records + self.window.records() + self.confirmed.records;
        self.window.clear();
        (self.held, self.current, self.confirmed) = Default::default();
        let message = format!("an event among several batches was refused: {answer}");
        SinkError::new(message, Recovery::Retry { after: None }).losing()
    }

    /// Posts a body for the first time, when the window has room for it.
    async fn post_new(&mut self, body: Bytes) -> Result<Posted, SinkError> {
        while self.window.is_full() {
            self.ask().await?;
            self.send_overdue().await?;
            if self.window.is_full() {
                tokio::time::sleep(limits::HEC_FULL_LOOK).await;
            }
        }
        self.post(body).await
    }

    pub(super) async fn post(&mut self, body: Bytes) -> Result<Posted, SinkError> {
        sleep_until(self.slow_until).await;
        if self.config.acknowledgements && !self.acknowledges {
            self.require_acknowledgements().await?;
        }
        loop {
            let request = self.link.events(body.clone())?;
            let answer = exchange(request, send::name(&self.config)).await?;
            self.link.learn(&answer);
            match judge(&answer) {
                Verdict::Taken { id: None, .. } if self.config.acknowledgements => {
                    self.acknowledges = false;
                    return Err(no_acknowledgements("an answer without ackId"));
                }
                Verdict::Taken { id, slow } => {
                    if slow {
                        warn!(to = send::name(&self.config), "the collector's queues are filling");
                        self.slow_until = Instant::now() + limits::HEC_SLOW;
                    }
                    return Ok(Posted::Taken(id.filter(|_| self.config.acknowledgements)));
                }
                Verdict::Refused { event, answer } => return Ok(Posted::Refused(event, answer)),
                Verdict::TooLarge { answer } => return Ok(Posted::TooLarge(answer)),
                Verdict::Denied(error) if !self.link.has_new_token()? => return Err(error),
                Verdict::Denied(_) => {}
                Verdict::Trouble(error) => return Err(error),
            }
        }
    }
}

impl Current {
    /// Begins anew when this is not the batch that was begun.
    fn recognise(&mut self, batch: &Batch) {
        let known = self.mark.as_ref().is_none_or(|(id, end)| {
            let at = self.sent - 1;
            batch.ends.get(at) == Some(end) && batch.about[at].id == *id
        });
        if !known {
            *self = Self::default();
        }
    }

    fn advance(&mut self, batch: &Batch, count: usize) {
        self.sent += count;
        self.mark = Some((batch.about[self.sent - 1].id.clone(), batch.ends[self.sent - 1]));
        self.cuts.pop();
    }
}

impl Sink for SplunkHecSink {
    fn deliver<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(self.take(batch))
    }

    fn confirm(&mut self) -> BoxFuture<'_, Result<Confirmation, SinkError>> {
        Box::pin(self.look())
    }

    fn committed(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async { Ok(()) })
    }
}

/// A GUID (version 4), in lower case.
pub(super) fn new_channel(random: &mut fastrand::Rng) -> String {
    let bits = random.u128(..) & !(0xf << 76) | (4 << 76);
    let bits = bits & !(0b11 << 62) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn is_channel(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.concat().bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_known_again() {
        let mut random = fastrand::Rng::with_seed(1);
        let channel = new_channel(&mut random);
        assert!(is_channel(&channel) && channel.as_bytes()[14] == b'4', "{channel}");
        assert_ne!(channel, new_channel(&mut random));
        assert!(!is_channel("") && !is_channel("x") && !is_channel(&channel.replace('-', "_")));
        let keys = "url = 'https://x'\ntoken = { env = 'T' }";
        let config: Arc<SplunkHecConfig> = Arc::new(toml::from_str(keys).unwrap());
        let open =
            |memory: Option<Vec<u8>>| SplunkHecSink::new(&Ground::real(), config.clone(), memory).memory;
        assert_eq!(open(Some(channel.clone().into_bytes())), channel.as_bytes());
        assert!(is_channel(&String::from_utf8(open(Some(b"torn".to_vec()))).unwrap()));
    }

    #[test]
    fn a_batch_is_known_again_by_what_was_sent_of_it() {
        let about = |id: &str| crate::sink::About { id: id.into(), ..Default::default() };
        let batch = |ids: [&str; 3]| Batch {
            bytes: b"{}\n{}\n{}\n".to_vec(),
            ends: vec![3, 6, 9],
            about: ids.map(about).into(),
        };
        let mut current = Current::default();
        current.advance(&batch(["a", "b", "c"]), 2);
        current.recognise(&batch(["a", "b", "d"]));
        assert_eq!(current.sent, 2);
        current.recognise(&batch(["a", "x", "d"]));
        assert_eq!(current.sent, 0);
    }
}
