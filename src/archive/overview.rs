//! What the manifests of an archive say of a time: what was listed and when, and what could not be had.
//!
//! Not verified here: whoever wants to know reads the archive with [`super::verify`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::find::Query;
use super::verify::{Source, small};
use super::{Calendar, Envelope, Hole, MANIFESTS, Manifest};

/// Days, holes and public keys.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// Of the event types and days that were asked for.
    calendar: Calendar,
    /// Of these types, as the newest manifests have them.
    holes: Vec<Hole>,
    /// Public keys beside the chains: names and PEM.
    pub keys: Vec<(String, Vec<u8>)>,
}

/// Reads every manifest, one at a time.
pub async fn overview(source: &Arc<dyn Source>, query: &Query) -> Result<Overview, String> {
    let asked = |event_type: &str| {
        query.event_types.is_empty() || query.event_types.iter().any(|one| one == event_type)
    };
    let mut overview = Overview::default();
    let mut holes: BTreeMap<String, Vec<Hole>> = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let (page, more) = source.list(MANIFESTS, after.as_deref()).await?;
        after = page.last().map(|last| last.0.clone());
        for (key, _) in page {
            let Some(bytes) = small(source, &key).await? else { continue };
            if key.ends_with(".pub.pem") {
                overview.keys.push((key, bytes));
                continue;
            }
            let envelope = Envelope::read(&bytes).ok_or_else(|| format!("{key} is no DSSE envelope"))?;
            let mut manifest = Manifest::read(&envelope.payload).map_err(|what| format!("{key} {what}"))?;
            manifest.files.retain(|file| asked(&file.event_type));
            manifest.coverage.retain(|stream| asked(&stream.event_type));
            overview.calendar.add(&manifest);
            let chain = key.rsplit_once('/').map_or(key.as_str(), |(folder, _)| folder).to_owned();
            manifest.holes.retain(|hole| asked(&hole.event_type));
            holes.insert(chain, manifest.holes);
        }
        if !more {
            break;
        }
    }
    overview.holes = holes.into_values().flatten().collect();
    overview.holes.sort();
    overview.holes.dedup();
    let day = |moment: Option<&super::find::Moment>| moment.and_then(super::find::Moment::second);
    overview.calendar.keep(day(query.since.as_ref()), day(query.until.as_ref()));
    Ok(overview)
}

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "What was asked of the provider, day by day (UTC), as the manifests have it.\n")?;
        writeln!(f, "{}", self.calendar)?;
        if self.holes.is_empty() {
            return writeln!(f, "No listed log file of these event types is missing.");
        }
        writeln!(f, "Log files that could not be had:")?;
        for hole in &self.holes {
            let Hole { principal, event_type, file_id, end_time, reason } = hole;
            writeln!(f, "  {event_type} of {principal}: {file_id} ({end_time}): {reason}")?;
        }
        Ok(())
    }
}
