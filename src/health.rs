//! Whether custodex is alive, and whether it does what it is for: for the watchdog, for `/healthz` and `/readyz`.
//!
//! Alive means that every task moves and the ledger answers, whatever the network does; a restart may help who
//! is not. Ready means that listing works and sinks take what they are given; there an operator helps, or
//! time. Both say what is wrong, and of whom. Never changes anything.

use serde::Serialize;

use crate::collect::Shared;
use crate::ledger::LedgerError;
use crate::limits;
use crate::status::Status;
use crate::vitals::Stuck;

/// Whether everything moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Liveness {
    /// Nothing is stuck.
    pub alive: bool,
    /// What is.
    pub stuck: Vec<Stuck>,
}

/// Whether everything works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Nothing stands in the way.
    pub ready: bool,
    /// What does.
    pub reasons: Vec<Reason>,
}

/// What stands in the way of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// `stream PRINCIPAL/TYPE`, `sink NAME`, `spool` or the name of a task.
    pub what: String,
    /// As `status` has it.
    pub state: &'static str,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Looks at every task, and asks the ledger.
pub async fn liveness(shared: &Shared) -> Liveness {
    let answered = tokio::time::timeout(limits::STUCK_LEDGER, shared.ledger.ping()).await;
    let problem = match answered {
        // A disk that is full or gone is told by `status`; the thread is there.
        Ok(Ok(()) | Err(LedgerError::Sqlite { .. })) => None,
        Ok(Err(_)) => Some("its thread has ended: see the log, and restart"),
        Err(_) => Some("it does not answer"),
    };
    let seconds = limits::STUCK_LEDGER.as_secs();
    let ledger = problem.map(|problem| Stuck { task: "ledger".to_owned(), seconds, problem });
    let stuck: Vec<Stuck> = shared.vitals.pulses.stuck().into_iter().chain(ledger).collect();
    Liveness { alive: stuck.is_empty(), stuck }
}

/// What keeps it from doing what it is for.
pub fn readiness(status: &Status, stuck: &[Stuck]) -> Readiness {
    let streams = status.streams.iter().filter_map(|stream| {
        let listed = stream.last_listed_at.is_some();
        let state = match stream.state {
            "ok" if listed => return None,
            "ok" => "not listed yet",
            // Nothing of what was asked for is missing.
            "unsupported" => return None,
            state => state,
        };
        Some(Reason {
            what: format!("stream {}/{}", stream.principal, stream.event_type),
            state,
            error: stream.last_error.clone(),
            hint: stream.hint.clone(),
        })
    });
    let sinks = status.sinks.iter().filter(|sink| sink.state == "paused").map(|sink| Reason {
        what: format!("sink {}", sink.name),
        state: "paused",
        error: sink.last_error.clone(),
        hint: sink.hint.clone(),
    });
    let spool = status.spool.full.then(|| Reason {
        what: "spool".to_owned(),
        state: "full",
        error: Some("collecting waits until the sinks have caught up".to_owned()),
        hint: Some("see which sink is behind, or raise max_bytes in [spool]".to_owned()),
    });
    let stuck = stuck.iter().map(|stuck| Reason {
        what: stuck.task.clone(),
        state: "stuck",
        error: Some(stuck.problem.to_owned()),
        hint: None,
    });
    let reasons: Vec<Reason> = streams.chain(sinks).chain(spool).chain(stuck).collect();
    Readiness { ready: reasons.is_empty(), reasons }
}
