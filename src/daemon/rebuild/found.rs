//! Log files that lie in an archive unsealed and that no listing will show any more: only the archive has them.
//!
//! They are read whole, and the next manifest seals them as found: that they are the provider's, nobody saw. What the
//! provider may still list is left to the listing, which fetches it again and finds it there.

use std::io::Read;

use super::RebuildError;
use super::gather::{Gathered, second};
use crate::archive::verify::{Fault, read_object};
use crate::archive::{Inspected, Named, Packing, unpack};
use crate::digest::hex;
use crate::ledger::{ArchivedFile, Imported, StreamId};
use crate::limits;
use crate::sink::reader::{ArchiveReader, told};

/// What there was.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) taken: u64,
    pub(super) faults: Vec<Fault>,
}

/// Takes them in, of the streams that are this instance's.
pub(super) async fn take(
    gathered: &mut Gathered<'_>,
    sink: &str,
    reader: &dyn ArchiveReader,
) -> Result<Found, RebuildError> {
    gathered.begin(sink);
    let archive = |what: String| RebuildError::Archive { sink: sink.to_owned(), what };
    let mut found = Found::default();
    for key in gathered.old(sink) {
        let Some(named) = Named::read(&key) else { continue };
        let Some(stream) = gathered.own_stream(&named.principal, &named.event_type).await? else { continue };
        let body = reader.get(&key).await.map_err(|error| archive(told(&error)))?;
        let Some(body) = body else { continue };
        let (object, content) = read_object(body.bytes, named.packing).await.map_err(archive)?;
        match content {
            Ok(content) if hex(&content.sha256)[..8] == named.hash => {
                found.taken += 1;
                let own = gathered.is_trail(&named.principal, &named.event_type);
                let file = imported(key, named, stream, object, content, gathered.now);
                gathered.take(Imported { own, ..file }).await?;
            }
            Ok(_) => {
                let what =
                    "is not sealed, and its content is not the one its name says: it was left out".to_owned();
                found.faults.push(Fault { place: key, what });
            }
            Err(error) => {
                let what = format!("is not sealed, and cannot be unpacked: {error}; it was left out");
                found.faults.push(Fault { place: key, what });
            }
        }
    }
    gathered.flush().await?;
    Ok(found)
}

/// The number of the last event in an object of the audit trail.
pub(super) async fn last_event(reader: &dyn ArchiveReader, key: &str) -> Option<u64> {
    let (body, packing) = (reader.get(key).await.ok()??, Packing::of(key)?);
    let read = tokio::task::spawn_blocking(move || {
        let mut content = String::new();
        let most = 2 * limits::OWN_FILE_BYTES as u64;
        unpack(packing, body.bytes)?.take(most).read_to_string(&mut content).map(|_| content)
    });
    let content = read.await.ok()?.ok()?;
    let event: serde_json::Value = serde_json::from_str(content.lines().last()?).ok()?;
    event.get("sequence")?.as_u64()
}

fn imported(
    key: String,
    named: Named,
    stream: StreamId,
    (object_bytes, object_sha256): (u64, [u8; 32]),
    content: Inspected,
    now: jiff::Timestamp,
) -> Imported {
    let end_at = second(&named.end_time).unwrap_or_default();
    let Inspected { bytes, sha256, records, record_root, oldest_event, newest_event } = content;
    Imported {
        stream,
        file_id: named.file_id,
        end_time: named.end_time,
        end_at,
        listed_at: now.as_second(),
        fetched_at: now.to_string(),
        bytes,
        records,
        sha256,
        object: ArchivedFile {
            sequence: 0,
            key,
            object_bytes,
            object_sha256,
            record_root,
            oldest_event,
            newest_event,
            found: true,
        },
        sealed: false,
        own: false,
    }
}
