//! What the simulator remembers between two requests: counts, never contents.
//!
//! Owns the counters that decide which fault is next, and the list of what a client did wrong. Both are
//! bounded by the number of files and by [`VIOLATIONS`].

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::hmac;
use tokio::sync::Semaphore;

use super::catalogue::{Catalogue, RETENTION};
use super::chaos::{self, Case};
use crate::clock::Clock;
use crate::digest::{hex, sha256};

/// Violations kept.
const VIOLATIONS: usize = 1000;
/// Files made at the same time.
const MAKERS: usize = 4;

/// Everything the two listeners share.
#[derive(Debug)]
pub(super) struct State {
    pub seed: u64,
    pub chaos: bool,
    pub catalogue: Catalogue,
    /// The host that signed addresses lead to.
    pub files: SocketAddr,
    /// Taken while a file is made.
    pub makers: Semaphore,
    clock: Arc<dyn Clock>,
    key: hmac::Key,
    memory: Mutex<Memory>,
    leaks: AtomicU64,
    served_files: AtomicU64,
    served_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Memory {
    key_refused: bool,
    /// For each stream: list requests, and those that reached its end.
    listings: Vec<(u32, u32)>,
    /// For each file: requests for a signed address, and for the bytes.
    tries: Vec<(u32, u32)>,
    shown: BTreeSet<&'static str>,
    violations: Vec<String>,
}

impl State {
    pub(super) fn new(
        seed: u64,
        chaos: bool,
        clock: Arc<dyn Clock>,
        catalogue: Catalogue,
        files: SocketAddr,
    ) -> Self {
        let memory = Memory {
            listings: vec![(0, 0); catalogue.streams.len()],
            tries: vec![(0, 0); catalogue.files.len()],
            ..Memory::default()
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &sha256(&seed.to_be_bytes()));
        Self {
            seed,
            chaos,
            catalogue,
            files,
            makers: Semaphore::new(MAKERS),
            clock,
            key,
            memory: Mutex::new(memory),
            leaks: AtomicU64::new(0),
            served_files: AtomicU64::new(0),
            served_bytes: AtomicU64::new(0),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds since 1970.
    pub(super) fn now(&self) -> i64 {
        self.clock.now().as_second()
    }

    /// What a signed address for `id` carries.
    pub(super) fn signature(&self, id: &str, expires: i64) -> String {
        hex(hmac::sign(&self.key, format!("{id} {expires}").as_bytes()).as_ref())
    }

    /// Whether the key is refused this time: the very first request under chaos.
    pub(super) fn refuses_key(&self) -> bool {
        let refused = self.chaos && !std::mem::replace(&mut self.memory().key_refused, true);
        refused && self.show(Case::RefusedKey)
    }

    /// Counts a list request; answers the fault it meets.
    pub(super) fn fault_of_listing(&self, stream: usize) -> Option<Case> {
        let number = {
            let mut memory = self.memory();
            memory.listings[stream].0 += 1;
            memory.listings[stream].0
        };
        let event_type = self.catalogue.streams[stream].event_type;
        let fault = chaos::of_listing(event_type, number).filter(|_| self.chaos);
        fault.inspect(|case| {
            self.show(*case);
        })
    }

    /// A stream was listed to its end.
    pub(super) fn reached_end(&self, stream: usize) {
        self.memory().listings[stream].1 += 1;
    }

    /// Counts a request for a signed address, from 1.
    pub(super) fn count_download(&self, place: usize) -> u32 {
        let tries = &mut self.memory().tries[place].0;
        *tries += 1;
        *tries
    }

    /// Counts a request for the bytes, from 1.
    pub(super) fn count_signed(&self, place: usize) -> u32 {
        let tries = &mut self.memory().tries[place].1;
        *tries += 1;
        *tries
    }

    /// Whether a file is listed now.
    pub(super) fn is_listed(&self, stream: usize, place: usize, now: i64) -> bool {
        let file = &self.catalogue.files[place];
        if file.end > now || file.end <= now - RETENTION {
            return false;
        }
        let Some(case) = file.case.filter(|_| self.chaos) else { return true };
        let memory = self.memory();
        let vanished = case.is_gone() && memory.tries[place].0 > 0;
        !vanished && memory.listings[stream].1 >= chaos::shown_after(Some(case))
    }

    /// Notes that a case has shown.
    pub(super) fn show(&self, case: Case) -> bool {
        self.memory().shown.insert(case.name());
        true
    }

    pub(super) fn shown(&self) -> Vec<&'static str> {
        self.memory().shown.iter().copied().collect()
    }

    /// Notes what a client did wrong.
    pub(super) fn violate(&self, what: String) {
        let violations = &mut self.memory().violations;
        if violations.len() < VIOLATIONS {
            violations.push(what);
        }
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.memory().violations.clone()
    }

    pub(super) fn leaked(&self) {
        self.leaks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leaks(&self) -> u64 {
        self.leaks.load(Ordering::Relaxed)
    }

    /// A file's bytes are on their way.
    pub(super) fn serve(&self, bytes: u64) {
        self.served_files.fetch_add(1, Ordering::Relaxed);
        self.served_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Files and bytes served so far.
    pub(super) fn served(&self) -> (u64, u64) {
        (self.served_files.load(Ordering::Relaxed), self.served_bytes.load(Ordering::Relaxed))
    }
}
