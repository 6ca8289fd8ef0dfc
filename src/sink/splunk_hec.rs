//! `splunk_hec`: events to Splunk's HTTP Event Collector, confirmed by indexer acknowledgement.
//!
//! ```text
//! batch ► envelope ► request ──► POST /services/collector/event ──► ackId ► window ► confirmation
//!                    ▲   body kept until its ackId reads true         │
//!                    └── sent again after ack_timeout, for ever ◄─────┘
//! ```
//!
//! Invariants:
//! - With acknowledgements, nothing is confirmed before the indexer says it is indexed, and then oldest
//!   first. A body that is not acknowledged in time is sent again, byte for byte, and never given up.
//! - An id reads true once, so the answer that says so is evaluated in the step that receives it. A
//!   question outlives whoever asked it.
//! - Ids belong to one indexer and one life of it. They only ever rise; one that does not rise shows that
//!   another indexer answers now, and no older id means anything from then on.
//! - A record is refused only alone: whatever names it or whatever was refused together with it, it is sent
//!   by itself before it becomes a dead letter.
//! - A refused credential, a missing index and a token without acknowledgements consume nothing, and there
//!   is no silent fallback to less.
//!
//! Small batches are gathered for `batch_interval`; a refusal among gathered ones cannot be told to the
//! batch it belongs to any more, so everything unconfirmed is then handed over again, and sent batch by
//! batch until the place is passed. Never holds more than the bounds in `limits`.

mod ack;
mod client;
mod config;
mod confirm;
mod cookie;
mod encode;
mod probe;
mod reply;
mod send;
mod sink;

pub use config::SplunkHecConfig;
