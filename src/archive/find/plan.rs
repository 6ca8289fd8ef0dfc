//! Which objects may hold what is asked for, from manifests and names.
//!
//! What is in memory is one manifest, the files of the plan, and about a hundred bytes for each object. A log file
//! that two chains seal, or that lies there in two packings, is taken once. The order is that of the end times in
//! the names, then of the names: it does not change when an object is sealed, so whoever goes on after a while
//! finds the same order.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::query::{Moment, Query};
use crate::archive::verify::{Name, RAW, Source, short, small};
use crate::archive::{Envelope, Hash, MANIFESTS, Manifest, Packing, SealedFile};
use crate::record::Origin;
use crate::words::{Principal, PrincipalKind};

/// Manifests that cannot be read, named.
const NAMED: usize = 100;

/// A log file that may hold what is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct PlanFile {
    /// Name of the object.
    pub key: String,
    /// Its id upstream.
    pub file_id: String,
    /// Id of its principal.
    pub principal: String,
    /// Its type.
    pub event_type: String,
    /// As upstream wrote it; to the second where only the name tells it.
    pub end_time: String,
    /// Of the verbatim bytes; none as long as only the name tells, with 8 digits.
    pub sha256: Option<Hash>,
    /// When it was fetched, RFC 3339.
    pub fetched_at: Option<String>,
    /// Time of its oldest record, UTC.
    pub oldest_event: Option<String>,
    /// Of its newest.
    pub newest_event: Option<String>,
    /// Bytes of the log file.
    pub bytes: Option<u64>,
    /// Its records.
    pub records: Option<u64>,
    /// Bytes of the object.
    pub object_bytes: u64,
    /// Name of the manifest that seals it; none when it is not sealed yet.
    #[serde(skip)]
    pub manifest: Option<Arc<str>>,
    /// Its id is longer than a name can hold, so it is not known in full, nor are the ids that it is part of.
    pub id_is_cut: bool,
}

/// What there is to read.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In order.
    pub files: Vec<Arc<PlanFile>>,
    /// Log files that cannot hold what is asked for.
    pub passed_over: u64,
    /// Of these, such as have no record with a time, while times are asked for.
    pub without_times: u64,
    /// Manifests that cannot be read, and why; what they seal is taken as not sealed.
    pub unreadable: Vec<String>,
}

impl Plan {
    /// Bytes of the objects.
    pub fn object_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.object_bytes).sum()
    }

    /// Bytes of the log files, of those for which they are known.
    pub fn bytes(&self) -> u64 {
        self.files.iter().filter_map(|file| file.bytes).sum()
    }

    /// Files that no manifest names yet.
    pub fn unsealed(&self) -> usize {
        self.files.iter().filter(|file| file.manifest.is_none()).count()
    }
}

impl PlanFile {
    fn sealed(file: SealedFile, manifest: &Arc<str>) -> Self {
        Self {
            key: file.key,
            file_id: file.file_id,
            principal: file.principal,
            event_type: file.event_type,
            end_time: file.end_time,
            sha256: Some(file.sha256),
            fetched_at: Some(file.fetched_at),
            oldest_event: file.oldest_event,
            newest_event: file.newest_event,
            bytes: Some(file.bytes),
            records: Some(file.records),
            object_bytes: file.object_bytes,
            manifest: Some(manifest.clone()),
            id_is_cut: false,
        }
    }

    /// What a name alone tells.
    fn named(key: &str, name: &Name<'_>, object_bytes: u64) -> Option<Self> {
        let mut parts = name.folder.split('/').skip(2);
        let principal = decoded(parts.next()?.strip_prefix("principal=")?);
        let event_type = decoded(parts.next()?.strip_prefix("event_type=")?);
        let (rest, _) = name.stem.rsplit_once('_')?;
        let (time, file_id) = rest.split_once('_')?;
        Some(Self {
            key: key.to_owned(),
            file_id: decoded(file_id),
            principal,
            event_type,
            end_time: spelled(time).unwrap_or_default(),
            sha256: None,
            fetched_at: None,
            oldest_event: None,
            newest_event: None,
            bytes: (name.packing == Packing::None).then_some(object_bytes),
            records: None,
            object_bytes,
            manifest: None,
            // In no other name is this character.
            id_is_cut: file_id.contains('~'),
        })
    }

    /// Where its records come from. Of one that is not sealed yet nobody here knows when it was fetched; its end is
    /// the nearest moment that is known.
    pub fn origin(&self, sha256: [u8; 32]) -> Origin {
        let is_organization = self.principal.starts_with("org-");
        let kind = if is_organization { PrincipalKind::Organization } else { PrincipalKind::Workspace };
        let moment = |text: &str| text.parse::<Timestamp>().ok();
        let observed = self.fetched_at.as_deref().and_then(moment).or_else(|| moment(&self.end_time));
        Origin {
            principal: Principal { kind, id: self.principal.clone() },
            event_type: self.event_type.clone(),
            file_id: self.file_id.clone(),
            file_sha256: sha256,
            observed: observed.unwrap_or(Timestamp::UNIX_EPOCH),
            own_key: None,
        }
    }

    /// What the order goes by.
    fn order(&self) -> (&str, &str) {
        (self.key.rsplit('/').next().unwrap_or_default(), &self.key)
    }
}

fn decoded(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// `20260715T104858Z` with its marks.
fn spelled(time: &str) -> Option<String> {
    let digits = time.strip_suffix('Z').filter(|text| text.len() == 15 && text.is_ascii())?;
    let (day, clock) = digits.split_once('T').filter(|(day, _)| day.len() == 8)?;
    let clock = format!("{}:{}:{}", &clock[..2], &clock[2..4], &clock[4..]);
    Some(format!("{}-{}-{}T{clock}Z", &day[..4], &day[4..6], &day[6..]))
}

/// A plan in the making.
struct Planner<'q> {
    query: &'q Query,
    plan: Plan,
    /// By what a name says without its packing, the hash of the log file as it is sealed.
    seen: HashMap<u128, Option<Hash>>,
}

/// Says what has to be read to answer a query; reads manifests and lists objects.
pub async fn plan(source: &Arc<dyn Source>, query: &Query) -> Result<Plan, String> {
    let mut planner = Planner { query, plan: Plan::default(), seen: HashMap::new() };
    // Before the objects: what is sealed meanwhile is then taken as not sealed, and not missed.
    let mut after: Option<String> = None;
    loop {
        let (page, more) = source.list(MANIFESTS, after.as_deref()).await?;
        after = page.last().map(|last| last.0.clone());
        for (key, _) in page.iter().filter(|(key, _)| !key.ends_with(".pub.pem")) {
            match manifest(source, key).await? {
                Ok(manifest) => planner.seal(&key.as_str().into(), manifest.files),
                Err(what) if planner.plan.unreadable.len() < NAMED => {
                    planner.plan.unreadable.push(format!("{key} {what}"));
                }
                Err(_) => {}
            }
        }
        if !more {
            break;
        }
    }
    let mut after: Option<String> = None;
    loop {
        let (page, more) = source.list(RAW, after.as_deref()).await?;
        after = page.last().map(|last| last.0.clone());
        for (key, size) in &page {
            planner.lies(key, *size);
        }
        if !more {
            break;
        }
    }
    let mut plan = planner.plan;
    plan.files.sort_by(|one, other| one.order().cmp(&other.order()));
    Ok(plan)
}

/// A manifest as it says it is; whether that is true, `verify` tells.
pub(super) async fn manifest(
    source: &Arc<dyn Source>,
    key: &str,
) -> Result<Result<Manifest, String>, String> {
    let Some(bytes) = small(source, key).await? else {
        return Ok(Err("is gone, or larger than any manifest".to_owned()));
    };
    let Some(envelope) = Envelope::read(&bytes) else { return Ok(Err("is no DSSE envelope".to_owned())) };
    Ok(Manifest::read(&envelope.payload))
}

impl Planner<'_> {
    fn seal(&mut self, manifest: &Arc<str>, files: Vec<SealedFile>) {
        for file in files {
            if self.is_new(&file.key, Some(file.sha256)) {
                self.consider(PlanFile::sealed(file, manifest));
            }
        }
    }

    fn lies(&mut self, key: &str, size: u64) {
        // What has another name is no log file; `verify` names it.
        let Some(name) = Name::read(key) else { return };
        if let Some(file) = PlanFile::named(key, &name, size)
            && self.is_new(key, None)
        {
            self.consider(file);
        }
    }

    /// Whether this log file is seen for the first time.
    fn is_new(&mut self, key: &str, sha256: Option<Hash>) -> bool {
        let stem = key.rfind(".jsonl").map_or(key, |end| &key[..end]);
        match self.seen.entry(short(stem)) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(sha256);
                true
            }
            // Another log file whose hash begins in the same way.
            std::collections::hash_map::Entry::Occupied(entry) => {
                sha256.is_some() && entry.get().is_some_and(|seen| Some(seen) != sha256)
            }
        }
    }

    fn consider(&mut self, file: PlanFile) {
        let file_id = if file.id_is_cut { None } else { Some(file.file_id.as_str()) };
        let mut fits = self.query.may_be_in(&file.event_type, file_id);
        if fits && self.query.is_timed() && file.manifest.is_some() {
            let times = file.oldest_event.as_deref().zip(file.newest_event.as_deref());
            fits = times.is_some_and(|(oldest, newest)| {
                self.query.overlaps(&Moment::of(oldest), &Moment::of(newest))
            });
            self.plan.without_times += u64::from(times.is_none());
        }
        if fits {
            self.plan.files.push(Arc::new(file));
        } else {
            self.plan.passed_over += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_what_it_can() {
        let folder = "raw/v1/principal=org-1/event_type=A%2FB/dt=2026-07-15";
        let key = format!("{folder}/20260715T104858Z_a_%C3%A9_abababab.jsonl.zst");
        let file = PlanFile::named(&key, &Name::read(&key).unwrap(), 7).unwrap();
        assert_eq!((file.principal.as_str(), file.event_type.as_str()), ("org-1", "A/B"));
        assert_eq!((file.file_id.as_str(), file.end_time.as_str()), ("a_é", "2026-07-15T10:48:58Z"));
        assert_eq!((file.bytes, file.object_bytes, file.id_is_cut), (None, 7, false));
        assert_eq!(file.origin([0; 32]).principal.kind, PrincipalKind::Organization);
        let key = format!("{folder}/00000000T000000Z_~0_abababab.jsonl");
        let file = PlanFile::named(&key, &Name::read(&key).unwrap(), 7).unwrap();
        assert_eq!((file.bytes, file.id_is_cut), (Some(7), true));
        assert_eq!(spelled("2026"), None);
    }
}
