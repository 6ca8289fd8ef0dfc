//! One synthetic event, sent to see that a sink takes it; and the same for archives.
//!
//! The event goes the way of any other: encoded by the sink's options, handed over, confirmed. Moves no
//! position and counts nowhere. What a sink must remember is kept in the ledger where it is given one;
//! without, the sink begins with nothing and is a stranger to the one of a daemon that runs.
//!
//! An archive holds log files and manifests only, so its probe is one object of a fixed name and content
//! outside their folders, put twice: the second time has to be refused.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::health::out_of_order;
use crate::archive::Packing;
use crate::digest::sha256;
use crate::format::Encoder;
use crate::ledger::{Ledger, SinkRow};
use crate::limits;
use crate::record::{Origin, RawRecord, Record};
use crate::recovery::Recovery;
use crate::sink::{self, About, Archive, Batch, Object, Put, Sink, SinkError};
use crate::words::{OWN_EVENT_TYPE as EVENT_TYPE, Principal};

const FILE_ID: &str = "custodex-test";
/// Name of the probe of an archive, and of nothing else there.
pub const PROBE_KEY: &str = "custodex-probe";
/// Its content: the same in every version, so that a probe from before is known again.
pub const PROBE: &[u8] = b"custodex put this here to see whether what lies here can be replaced.\n";

/// The event as a batch. Marked as a test, with no person in it.
pub fn sample(encoder: &Encoder, instance: &str, principal: &Principal, now: Timestamp) -> Batch {
    let line = json!({
        "event_id": format!("{FILE_ID}-{}", now.as_nanosecond()),
        "type": EVENT_TYPE,
        "timestamp": now.to_string(),
        "principal": { "id": principal.id, "type": principal.kind.upstream() },
        "action": "TEST",
        "synthetic": true,
        "target": { "kind": "instance", "name": instance },
    });
    let line = line.to_string().into_bytes();
    let hash = sha256(&line);
    let origin = Origin {
        principal: principal.clone(),
        event_type: EVENT_TYPE.to_owned(),
        file_id: FILE_ID.to_owned(),
        file_sha256: hash,
        observed: now,
        own_key: None,
    };
    let shown = Arc::new(sink::Origin {
        principal: principal.id.clone(),
        event_type: EVENT_TYPE.to_owned(),
        file_id: FILE_ID.to_owned(),
    });
    let (record, observed) = (Record::parse(&origin, RawRecord::alone(&line, hash)), now.to_string().into());
    let mut batch = Batch::default();
    let about = encoder.encode_and(&record, &mut batch.bytes, |seen| About::of(seen, &observed, &shown));
    batch.close(about);
    batch
}

/// Hands the event over and waits, not for ever, until the sink confirms it.
pub async fn send_sample(
    sink: &mut dyn Sink,
    batch: &Batch,
    memory: Option<(&Ledger, &SinkRow)>,
) -> Result<(), SinkError> {
    timeout(limits::SEND_TEST_PATIENCE, send(sink, batch, memory)).await.unwrap_or_else(|_| {
        let message = format!("no confirmation within {} s", limits::SEND_TEST_PATIENCE.as_secs());
        Err(SinkError::new(message, Recovery::Retry { after: None }))
    })
}

async fn send(
    sink: &mut dyn Sink,
    batch: &Batch,
    memory: Option<(&Ledger, &SinkRow)>,
) -> Result<(), SinkError> {
    while sink.wants_commit() {
        commit(sink, memory).await?;
    }
    if sink.is_unsettled() {
        let hint = "start custodex, which goes on there, stop it cleanly, and send the test again".to_owned();
        let message = "records that a crash left unconfirmed lie where the test would go";
        return Err(SinkError::new(message, Recovery::Pause { hint }));
    }
    let mut again = true;
    loop {
        match hand_over(sink, batch, memory).await {
            // Handed over anew after a loss, a sink tells better what was wrong.
            Err(error) if error.lost && again => again = false,
            done => return done,
        }
    }
}

async fn hand_over(
    sink: &mut dyn Sink,
    batch: &Batch,
    memory: Option<(&Ledger, &SinkRow)>,
) -> Result<(), SinkError> {
    sink.deliver(batch).await?;
    while commit(sink, memory).await? == 0 {
        sleep(limits::CONFIRM_LOOK).await;
    }
    Ok(())
}

/// As the worker does it, at the same position; answers how many batches were confirmed.
async fn commit(sink: &mut dyn Sink, memory: Option<(&Ledger, &SinkRow)>) -> Result<usize, SinkError> {
    let confirmation = sink.confirm().await?;
    if let Some((ledger, row)) = memory {
        let kept = ledger.record_position(row.name.clone(), row.position, row.counts, confirmation.memory);
        kept.await.map_err(|error| out_of_order(&error))?;
    }
    sink.committed().await?;
    Ok(confirmation.batches)
}

/// Puts the probe twice; `body` holds [`PROBE`].
pub async fn probe_archive(archive: &dyn Archive, body: PathBuf) -> Result<Put, SinkError> {
    let hash = sha256(PROBE);
    let object = Object {
        key: PROBE_KEY.to_owned(),
        body,
        length: PROBE.len() as u64,
        sha256: hash,
        packing: Packing::None,
        verbatim_sha256: hash,
        verbatim: true,
        evidence: false,
        file_id: PROBE_KEY.to_owned(),
        records: 0,
    };
    let twice = async {
        let first = archive.put(&object).await?;
        Ok((first, archive.put(&object).await?))
    };
    match timeout(limits::SEND_TEST_PATIENCE, twice).await {
        Ok(Ok((first, Put::AlreadyThere))) => Ok(first),
        Ok(Ok((_, Put::Stored))) => {
            let hint = "use a store that honours `If-None-Match: *`, or protect the bucket by versions or \
                        Object Lock"
                .to_owned();
            let message = format!(
                "{PROBE_KEY} was stored twice: this store ignores `If-None-Match`, so objects could be overwritten"
            );
            Err(SinkError::new(message, Recovery::Pause { hint }))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => {
            let message = format!("no answer within {} s", limits::SEND_TEST_PATIENCE.as_secs());
            Err(SinkError::new(message, Recovery::Retry { after: None }))
        }
    }
}
