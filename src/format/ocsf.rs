//! `ocsf`: events of the Open Cybersecurity Schema Framework, in one of two versions.
//!
//! Every record becomes a valid event of some class: one that lacks what its class requires, or that
//! nobody has heard of, is a Base Event. A value that a typed attribute would refuse is in
//! `unmapped.misfits`; what a class or version has no attribute for is in `unmapped` too, under our names.

mod classes;
mod event;
mod fields;
mod rest;

use serde::Deserialize;

use super::mapping::{Field, Row, Slot, Slots};
use super::trim::Cuts;
use super::{Options, trim};
use crate::record::Record;
use event::Event;

/// The versions that can be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Version {
    /// 1.8.0.
    #[default]
    #[serde(rename = "1.8.0")]
    V1_8,
    /// 1.9.0: prompts and responses have attributes of their own, users a class of their own.
    #[serde(rename = "1.9.0")]
    V1_9,
}

type Get = fn(&Event<'_>, Slot<'_, '_>);
type Table = &'static [Field<Get>];

/// All of them, in the order of the output.
const TABLES: [Table; 5] = [fields::CLASS, fields::METADATA, fields::WHO, fields::WHAT, rest::UNMAPPED];

/// What is left of a record that is too long even without its texts: a Base Event.
const OUTLINE: [&str; 29] = [
    "activity_id",
    "activity_name",
    "category_uid",
    "category_name",
    "class_uid",
    "class_name",
    "type_uid",
    "severity_id",
    "severity",
    "time",
    "metadata.uid",
    "metadata.version",
    "metadata.event_code",
    "metadata.is_truncated",
    "metadata.log_name",
    "metadata.logged_time",
    "metadata.original_event_uid",
    "metadata.product.name",
    "metadata.product.vendor_name",
    "metadata.sequence",
    "metadata.tenant_uid",
    "metadata.untruncated_size",
    "raw_data_hash.algorithm",
    "raw_data_hash.algorithm_id",
    "raw_data_hash.value",
    "unmapped.replay.id",
    "unmapped.replay.at",
    "unmapped.truncated",
    "unmapped.provenance",
];

/// Appends a record, without what `cuts` took away.
pub(super) fn encode(record: &Record<'_>, options: Options, cuts: &Cuts, out: &mut Vec<u8>) {
    let event = Event::new(record, options, cuts);
    let mut slots = Slots::new(out);
    for field in TABLES.iter().copied().flatten() {
        (field.write)(&event, slots.at(&field.path));
    }
    slots.end();
}

/// Appends what the record was and where it lies, and no more: in `max` bytes if it can be.
pub(super) fn outline(record: &Record<'_>, options: Options, max: usize, out: &mut Vec<u8>) {
    let (start, cuts) = (out.len(), Cuts::outline(record));
    let mut event = Event::new(record, options, &cuts);
    event.class = classes::base();
    for longest in [trim::SHORT_TOKEN, 0] {
        out.truncate(start);
        let mut slots = Slots::new(out);
        slots.longest = longest;
        for field in TABLES.iter().copied().flatten().filter(|field| OUTLINE.contains(&field.row.target)) {
            (field.write)(&event, slots.at(&field.path));
        }
        slots.end();
        if out.len() - start <= max {
            break;
        }
    }
}

/// The mapping.
pub(super) fn rows() -> Vec<Row> {
    TABLES.iter().copied().flatten().map(|field| field.row).collect()
}
