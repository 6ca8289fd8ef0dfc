//! Looks for event types that hold log files and that no source collects: those are being lost.
//!
//! Slow on purpose: a request for one row, a type at a time, once a day. Never fetches anything, and never
//! makes a stream of what it finds; that is for the configuration to say.

use std::sync::Arc;

use jiff::Timestamp;
use tracing::warn;

use super::{RETENTION, Shared};
use crate::ledger::LedgerError;
use crate::limits;
use crate::source::openai::Client;
use crate::words::Principal;

/// Looks on behalf of one principal.
pub struct Unclaimed {
    shared: Shared,
    principal: Principal,
    client: Arc<Client>,
    /// Types that no source of this principal names.
    event_types: Vec<String>,
}

impl Unclaimed {
    /// For the types of a principal that nobody collects.
    pub fn new(shared: Shared, principal: Principal, client: Arc<Client>, event_types: Vec<String>) -> Self {
        Self { shared, principal, client, event_types }
    }

    /// Looks until stopped.
    pub async fn run(self) {
        let stop = self.shared.stop.clone();
        let looking = async {
            loop {
                for event_type in &self.event_types {
                    tokio::time::sleep(limits::UNCLAIMED_PAUSE).await;
                    if let Err(error) = self.look(event_type).await {
                        warn!(event_type, %error, "what nobody collects could not be recorded");
                    }
                }
                tokio::time::sleep(limits::UNCLAIMED_INTERVAL).await;
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    async fn look(&self, event_type: &str) -> Result<(), LedgerError> {
        let now = self.shared.ground.now();
        let since = Timestamp::from_second(now - RETENTION).unwrap_or(Timestamp::UNIX_EPOCH);
        // A type that may not be read, or is not known here, says nothing.
        let Ok(page) = self.client.list(event_type, &since.to_string(), None, 1).await else { return Ok(()) };
        let holds = !page.files.is_empty();
        let ledger = &self.shared.ledger;
        if ledger.record_unclaimed(self.principal.id.clone(), event_type.to_owned(), holds, now).await? {
            warn!(
                principal = self.principal.id,
                event_type,
                "there are log files of this type that no source collects; add it to event_types to keep them"
            );
        }
        Ok(())
    }
}
