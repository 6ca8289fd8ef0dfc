//! Event types that hold log files and that no source collects.

use rusqlite::{Connection, params};

use super::{Ledger, LedgerError};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct UnclaimedType {
    /// The principal's id.
    pub principal: String,
    /// What nobody collects.
    pub event_type: String,
}

/// Those that are still not configured.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<UnclaimedType>> {
    let mut statement = connection.prepare_cached(
        "SELECT principal, event_type FROM unclaimed WHERE NOT EXISTS (SELECT 1 FROM stream
         WHERE stream.principal = unclaimed.principal AND stream.event_type = unclaimed.event_type AND enabled = 1)
         ORDER BY principal, event_type",
    )?;
    let read =
        |row: &rusqlite::Row<'_>| Ok(UnclaimedType { principal: row.get(0)?, event_type: row.get(1)? });
    statement.query_map([], read)?.collect()
}

impl Ledger {
    /// Records whether a type that nobody collects holds log files; answers whether that is news.
    pub async fn record_unclaimed(
        &self,
        principal: String,
        event_type: String,
        holds: bool,
        now: i64,
    ) -> Result<bool, LedgerError> {
        self.call(move |connection| {
            if !holds {
                let delete = "DELETE FROM unclaimed WHERE principal = ?1 AND event_type = ?2";
                return connection.execute(delete, params![principal, event_type]).map(|_| false);
            }
            let insert = "INSERT INTO unclaimed (principal, event_type, seen_at) VALUES (?1, ?2, ?3)
                          ON CONFLICT DO NOTHING";
            connection.execute(insert, params![principal, event_type, now]).map(|rows| rows == 1)
        })
        .await
    }
}
