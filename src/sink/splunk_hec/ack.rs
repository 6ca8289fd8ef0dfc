//! The window: bodies that were sent, until they are acknowledged, oldest first.
//!
//! Owns which id stands for which body. Never asks and never sends.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::limits;

/// One request that was taken.
#[derive(Debug)]
struct Sent {
    /// Gone when acknowledged.
    body: Bytes,
    records: usize,
    /// Worker batches that end with it.
    batches: usize,
    /// What it can be acknowledged by: one for each time it was sent.
    ids: Vec<u64>,
    acked: bool,
    at: Instant,
}

/// What was sent and not confirmed.
#[derive(Debug, Default)]
pub(super) struct Window {
    sent: VecDeque<Sent>,
    unacked: usize,
    bytes: usize,
    last_id: Option<u64>,
    /// Changes when ids from before mean nothing any more.
    epoch: u64,
}

/// What is confirmed, or waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) records: usize,
    pub(super) batches: usize,
}

impl Window {
    /// Whether no request may be added for now.
    pub(super) fn is_full(&self) -> bool {
        self.unacked >= limits::HEC_UNACKED_REQUESTS || self.bytes >= limits::HEC_UNACKED_BYTES
    }

    /// A body was taken: to be acknowledged by `id`, or by nothing more.
    pub(super) fn push(&mut self, body: Bytes, count: Count, id: Option<u64>, now: Instant) {
        let Count { records, batches } = count;
        let mut sent = Sent { body, records, batches, ids: Vec::new(), acked: id.is_none(), at: now };
        if let Some(id) = id {
            self.notice(id);
            sent.ids.push(id);
            self.unacked += 1;
            self.bytes += sent.body.len();
        } else {
            sent.body = Bytes::new();
        }
        self.sent.push_back(sent);
    }

    /// The batch in hand ends with what was sent last; `false` when nothing of it waits any more.
    pub(super) fn end_batch(&mut self) -> bool {
        self.sent.back_mut().map(|sent| sent.batches += 1).is_some()
    }

    /// Records that were sent and not confirmed.
    pub(super) fn records(&self) -> usize {
        self.sent.iter().map(|sent| sent.records).sum()
    }

    /// The oldest body whose acknowledgement is overdue, and its place.
    pub(super) fn overdue(&self, timeout: Duration, now: Instant) -> Option<(usize, Bytes)> {
        let late = |sent: &Sent| !sent.acked && now.duration_since(sent.at) >= timeout;
        self.sent.iter().position(late).map(|at| (at, self.sent[at].body.clone()))
    }

    /// The body at a place was taken once more. Its older ids stay: the first that reads true counts.
    pub(super) fn sent_again(&mut self, at: usize, id: Option<u64>, now: Instant) {
        if let Some(id) = id {
            self.notice(id);
        }
        let Some(sent) = self.sent.get_mut(at) else { return };
        sent.at = now;
        match id {
            Some(id) => {
                sent.ids.push(id);
                let surplus = sent.ids.len().saturating_sub(limits::HEC_IDS_OF_A_BODY);
                sent.ids.drain(..surplus);
            }
            None => self.acknowledge(at),
        }
    }

    /// What the ids of now belong to.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Ids to ask for.
    pub(super) fn ids(&self) -> Vec<u64> {
        self.sent.iter().filter(|sent| !sent.acked).flat_map(|sent| sent.ids.iter().copied()).collect()
    }

    /// Ids that read true, asked for in this epoch; answers whether any of them was waited for.
    pub(super) fn record(&mut self, read: &[u64], epoch: u64) -> bool {
        let mut any = false;
        if epoch != self.epoch {
            return any;
        }
        for at in 0..self.sent.len() {
            let sent = &self.sent[at];
            if !sent.acked && sent.ids.iter().any(|id| read.contains(id)) {
                self.acknowledge(at);
                any = true;
            }
        }
        any
    }

    /// Takes out what is confirmed, oldest first.
    pub(super) fn take_confirmed(&mut self) -> Count {
        let mut count = Count::default();
        while let Some(sent) = self.sent.pop_front_if(|sent| sent.acked) {
            count.records += sent.records;
            count.batches += sent.batches;
        }
        count
    }

    /// Forgets everything that was sent; ids keep rising.
    pub(super) fn clear(&mut self) {
        self.sent.clear();
        (self.unacked, self.bytes) = (0, 0);
        self.epoch += 1;
    }

    /// An id that does not rise comes from another indexer, or another life of it: ids from before mean
    /// something else there. Their bodies wait until they are overdue.
    fn notice(&mut self, id: u64) {
        if self.last_id.is_some_and(|last| id <= last) {
            self.sent.iter_mut().for_each(|sent| sent.ids.clear());
            self.epoch += 1;
        }
        self.last_id = Some(id);
    }

    fn acknowledge(&mut self, at: usize) {
        let sent = &mut self.sent[at];
        self.bytes -= sent.body.len();
        self.unacked -= 1;
        (sent.body, sent.ids, sent.acked) = (Bytes::new(), Vec::new(), true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Count = Count { records: 1, batches: 1 };

    fn window(ids: &[u64]) -> Window {
        let mut window = Window::default();
        for id in ids {
            window.push(Bytes::from_static(b"{}"), ONE, Some(*id), Instant::now());
        }
        window
    }

    #[tokio::test]
    async fn confirmed_is_a_prefix() {
        let mut window = window(&[3, 4, 5]);
        assert!(window.record(&[4, 5, 99], window.epoch()));
        assert_eq!((window.take_confirmed().batches, window.ids()), (0, vec![3]));
        assert!(!window.record(&[4], window.epoch()), "an id reads true once");
        assert!(window.record(&[3], window.epoch()));
        assert_eq!(window.take_confirmed().batches, 3);
        assert_eq!((window.unacked, window.bytes), (0, 0));
    }

    #[tokio::test]
    async fn a_batch_of_several_requests_ends_with_the_last() {
        let mut window = Window::default();
        assert!(!window.end_batch());
        for (id, batches) in [(0, 0), (1, 0), (2, 1)] {
            let count = Count { records: 1, batches };
            window.push(Bytes::from_static(b"{}"), count, Some(id), Instant::now());
        }
        assert!(window.end_batch());
        window.record(&[0, 1], window.epoch());
        assert_eq!(window.take_confirmed().batches, 0);
        window.record(&[2], window.epoch());
        assert_eq!(window.take_confirmed().batches, 2);
    }

    #[tokio::test]
    async fn ids_that_begin_again_void_the_older_ones() {
        let mut window = window(&[7, 8]);
        window.push(Bytes::from_static(b"{}"), ONE, Some(0), Instant::now());
        assert_eq!(window.ids(), [0]);
        assert!(!window.record(&[7, 8], window.epoch()));
        let (at, _) = window.overdue(Duration::ZERO, Instant::now()).unwrap();
        window.sent_again(at, Some(1), Instant::now());
        assert_eq!(window.ids(), [1, 0]);
        assert!(!window.record(&[0], window.epoch() - 1), "asked for before");
    }

    #[tokio::test]
    async fn every_time_it_was_sent_counts() {
        let mut window = window(&[1]);
        for id in 2..20 {
            window.sent_again(0, Some(id), Instant::now());
        }
        assert_eq!(window.ids().len(), limits::HEC_IDS_OF_A_BODY);
        assert!(
            window.record(&[12], window.epoch()),
            "an acknowledgement may come after the body was sent again"
        );
        assert_eq!(window.take_confirmed().batches, 1);
    }
}
