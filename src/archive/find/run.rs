//! Reads many log files at the same time, and gives what was found in the order of the plan.
//!
//! Whoever asks for the next piece sets the pace: an object that is ahead waits with what it found, of which at most
//! two parts of about [`limits::FIND_BYTES`], or of one record, are in memory for each of
//! [`limits::FIND_IN_FLIGHT`] objects. Dropping it ends the reading.

use std::collections::VecDeque;
use std::mem;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::vec;

use tokio::sync::mpsc;

use super::plan::PlanFile;
use super::query::Matcher;
use super::read::{Tally, read};
use crate::archive::verify::Source;
use crate::limits;
use crate::record::Record;

/// What comes next of a log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<T> {
    /// What was made of a record that matches.
    Found(T),
    /// All of the file was read.
    Done(Tally),
    /// Its object is missing or damaged; the message names it.
    Failed(String),
}

type Make<T> = Arc<dyn Fn(&PlanFile, Record<'_>) -> T + Send + Sync>;

/// Part of what a file gives.
enum Part<T> {
    Found(Vec<T>),
    End(Result<Tally, String>),
}

/// The log files of a plan, being read.
pub struct Finding<T> {
    source: Arc<dyn Source>,
    matcher: Arc<Matcher>,
    make: Make<T>,
    files: vec::IntoIter<Arc<PlanFile>>,
    open: VecDeque<(Arc<PlanFile>, mpsc::Receiver<Part<T>>)>,
    /// Of the first that is open.
    ready: vec::IntoIter<T>,
}

impl<T: Send + 'static> Finding<T> {
    /// Reads these files in this order; `make` runs on the threads that read.
    pub fn start(
        source: &Arc<dyn Source>,
        files: Vec<Arc<PlanFile>>,
        matcher: &Arc<Matcher>,
        make: impl Fn(&PlanFile, Record<'_>) -> T + Send + Sync + 'static,
    ) -> Self {
        Self {
            source: source.clone(),
            matcher: matcher.clone(),
            make: Arc::new(make),
            files: files.into_iter(),
            open: VecDeque::new(),
            ready: Vec::new().into_iter(),
        }
    }

    /// The next piece and the file it belongs to; none at the end. Each file ends with `Done` or `Failed`.
    pub async fn next(&mut self) -> Option<(Arc<PlanFile>, Piece<T>)> {
        loop {
            while self.open.len() < limits::FIND_IN_FLIGHT
                && let Some(file) = self.files.next()
            {
                let parts = self.open(file.clone());
                self.open.push_back((file, parts));
            }
            let (file, parts) = self.open.front_mut()?;
            let file = file.clone();
            if let Some(found) = self.ready.next() {
                return Some((file, Piece::Found(found)));
            }
            let end = match parts.recv().await {
                Some(Part::Found(found)) => {
                    self.ready = found.into_iter();
                    continue;
                }
                Some(Part::End(end)) => end,
                None => Err(format!("{}: reading failed inside", file.key)),
            };
            self.open.pop_front();
            return Some((file, end.map_or_else(Piece::Failed, Piece::Done)));
        }
    }

    fn open(&self, file: Arc<PlanFile>) -> mpsc::Receiver<Part<T>> {
        let (parts, received) = mpsc::channel(1);
        let (source, matcher, make) = (self.source.clone(), self.matcher.clone(), self.make.clone());
        tokio::spawn(async move {
            let held = Arc::new(Mutex::new(Held { found: Vec::new(), bytes: 0 }));
            let (holding, handing) = (held.clone(), parts.clone());
            let end = read(&source, &file, &matcher, move |file, record| {
                let length = record.raw.length;
                let found = make(file, record);
                let full = holding.lock().unwrap_or_else(PoisonError::into_inner).add(found, length);
                // Nobody waits for it any more when it cannot be handed over.
                match full.map(|found| handing.blocking_send(Part::Found(found))) {
                    Some(Err(_)) => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                }
            });
            let end = end.await;
            let rest = mem::take(&mut held.lock().unwrap_or_else(PoisonError::into_inner).found);
            if parts.send(Part::Found(rest)).await.is_ok() {
                drop(parts.send(Part::End(end)).await);
            }
        });
        received
    }
}

/// What was found and not handed over yet.
struct Held<T> {
    found: Vec<T>,
    bytes: u64,
}

impl<T> Held<T> {
    /// One more; gives all of it when that is enough to be handed over.
    fn add(&mut self, found: T, bytes: u64) -> Option<Vec<T>> {
        self.found.push(found);
        self.bytes += bytes;
        if self.bytes < limits::FIND_BYTES {
            return None;
        }
        self.bytes = 0;
        Some(mem::take(&mut self.found))
    }
}
