//! Plays the worker: hands batches over, takes confirmations, and does what errors ask for.
//!
//! After each confirmation it looks at the receiver: what is confirmed must be indexed there.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use custodex::ground::Ground;
use custodex::recovery::Recovery;
use custodex::sink::{About, Batch, Origin, Sink, SinkConfig, SinkError, TYPES};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use toml::de::ValueDeserializer;

use super::receiver::{Receiver, TOKEN};

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A sink and what became of it.
pub struct Driver {
    pub config: Box<dyn SinkConfig>,
    pub token: std::path::PathBuf,
    pub pauses: Vec<String>,
    pub retries: Vec<String>,
    pub dead: Vec<(String, String)>,
    pub lost: u32,
    pub memory: Vec<u8>,
    _folder: TempDir,
}

/// A record and its id.
pub type Item = (String, String);

/// So many records of about `size` bytes.
pub fn items(count: usize, size: usize) -> Vec<Item> {
    (0..count)
        .map(|n| (format!("r{n:05}"), format!("{{\"n\":{n},\"x\":\"{}\"}}", "x".repeat(size))))
        .collect()
}

impl Driver {
    /// With more keys.
    pub fn new(receiver: &Receiver, keys: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, TOKEN).unwrap();
        let mut all = vec![
            format!("url = 'http://{}'", receiver.address),
            format!("token = {{ file = '{}' }}", token.display()),
            "ack_timeout = '500ms'".to_owned(),
        ];
        // The first to name a key wins.
        let named = |line: &String| keys.contains(line.split(' ').next().unwrap());
        all.retain(|line| !named(line));
        all.extend(keys.split("; ").filter(|key| !key.is_empty()).map(str::to_owned));
        let text = format!("{{ {} }}", all.join(", "));
        let line = TYPES.iter().find(|line| line.name == "splunk_hec").unwrap();
        let config = (line.read)(ValueDeserializer::parse(&text).unwrap()).unwrap();
        let (pauses, retries, dead, memory) = Default::default();
        let custodex::sink::Keys::Records(config) = config else { unreachable!("it takes records") };
        Self { config, token, pauses, retries, dead, lost: 0, memory, _folder: folder }
    }

    pub fn open(&self) -> Box<dyn Sink> {
        let memory = Some(self.memory.clone()).filter(|memory| !memory.is_empty());
        self.config.open(Ground::real(), memory, String::new())
    }

    /// Delivers all, in batches of so many; `act` is called after each try.
    pub async fn run(
        &mut self,
        receiver: &mut Receiver,
        items: &[Item],
        most: usize,
        mut act: impl FnMut(&mut Receiver, &Self),
    ) {
        let mut sink = self.open();
        let until = Instant::now() + PATIENCE;
        let (mut next, mut committed) = (0, 0);
        let mut handed = VecDeque::new();
        let mut dead = HashSet::new();
        while committed < items.len() {
            assert!(
                Instant::now() < until,
                "{committed} of {}: {:?} {:?}",
                items.len(),
                self.pauses,
                self.retries
            );
            let chosen: Vec<usize> = (next..items.len()).filter(|at| !dead.contains(at)).take(most).collect();
            let mut trouble = None;
            if let Some(last) = chosen.last() {
                match sink.deliver(&batch(items, &chosen)).await {
                    Ok(()) => {
                        next = last + 1;
                        while dead.contains(&next) {
                            next += 1;
                        }
                        handed.push_back(next);
                    }
                    Err(error) => trouble = Some(error),
                }
            }
            if chosen.is_empty() && next < items.len() {
                // Nothing but dead letters is left.
                next = items.len();
                *handed.back_mut().unwrap_or(&mut committed) = next;
            }
            if trouble.is_none() {
                match sink.confirm().await {
                    Ok(confirmed) => {
                        let count = confirmed.batches.min(handed.len());
                        committed = handed.drain(..count).next_back().unwrap_or(committed);
                        self.memory = confirmed.memory;
                    }
                    Err(error) => trouble = Some(error),
                }
                if next == items.len() || trouble.is_some() {
                    sleep(Duration::from_millis(10)).await;
                }
            }
            if let Some(error) = trouble {
                if error.lost {
                    self.lost += 1;
                    handed.clear();
                    next = committed;
                }
                self.suffer(error, &chosen, &mut dead, items).await;
            }
            Self::check(receiver, items, committed, &dead);
            act(receiver, self);
        }
    }

    async fn suffer(
        &mut self,
        error: SinkError,
        chosen: &[usize],
        dead: &mut HashSet<usize>,
        items: &[Item],
    ) {
        assert!(!error.message.contains("xxx") && !error.message.contains(TOKEN), "{error}");
        match error.recovery {
            Recovery::DeadLetter { record, answer } => {
                assert!(dead.insert(chosen[record]));
                self.dead.push((items[chosen[record]].0.clone(), answer));
            }
            Recovery::Retry { .. } => self.retries.push(error.message),
            Recovery::Pause { hint } => self.pauses.push(format!("{}; {hint}", error.message)),
            Recovery::Fatal => panic!("{error}"),
        }
        sleep(Duration::from_millis(20)).await;
    }

    fn check(receiver: &Receiver, items: &[Item], committed: usize, dead: &HashSet<usize>) {
        let known = receiver.known();
        let missing =
            (0..committed).find(|at| !dead.contains(at) && !known.indexed.contains_key(&items[*at].0));
        assert_eq!(missing, None, "confirmed and not indexed");
    }
}

fn batch(items: &[Item], chosen: &[usize]) -> Batch {
    let origin = Arc::new(Origin {
        principal: "11111111-2222-4333-8444-555555555555".into(),
        event_type: "CODEX_LOG".into(),
        file_id: "eclf_1".into(),
    });
    let mut batch = Batch::default();
    for at in chosen {
        let (id, text) = &items[*at];
        batch.bytes.extend_from_slice(text.as_bytes());
        batch.bytes.push(b'\n');
        batch.ends.push(batch.bytes.len());
        batch.about.push(About {
            id: id.clone(),
            time: Some("2026-07-22T12:00:00.5Z".into()),
            observed: "2026-07-22T12:01:00Z".into(),
            action: Some("PROMPT_SENT".into()),
            outcome: None,
            replay: None,
            origin: origin.clone(),
        });
    }
    batch
}
