//! `ecs`: documents of the Elastic Common Schema, with `gen_ai.*` and our own fields under
//! `openai.compliance.*`.
//!
//! The tables say which native field goes where. A value that a typed field would refuse is never put
//! there: it is in `openai.compliance.misfits`. Fields that upstream may fill with anything are objects of
//! one level to the index (`flattened`). No field that is mapped `nested` is ever written.

mod category;
mod fields;

use super::mapping::{Row, Slots, View};
use super::trim::Cuts;
use super::{Options, trim};
use crate::record::Record;
use fields::{OUTLINE, TABLES};

/// Appends a record, without what `cuts` took away.
pub(super) fn encode(record: &Record<'_>, options: Options, cuts: &Cuts, out: &mut Vec<u8>) {
    let view = View::new(record, options, cuts);
    let mut slots = Slots::new(out);
    for field in TABLES.iter().copied().flatten() {
        (field.write)(&view, slots.at(&field.path));
    }
    slots.end();
}

/// Appends what the record was and where it lies, and no more: in `max` bytes if it can be.
pub(super) fn outline(record: &Record<'_>, options: Options, max: usize, out: &mut Vec<u8>) {
    let (start, cuts) = (out.len(), Cuts::outline(record));
    let view = View::new(record, options, &cuts);
    for longest in [trim::SHORT_TOKEN, 0] {
        out.truncate(start);
        let mut slots = Slots::new(out);
        slots.longest = longest;
        for field in TABLES.iter().copied().flatten().filter(|field| OUTLINE.contains(&field.row.target)) {
            (field.write)(&view, slots.at(&field.path));
        }
        slots.end();
        if out.len() - start <= max {
            break;
        }
    }
}

/// How often a text is in a document: messages have it for tools, the plain field for full-text search.
pub(super) fn copies(path: &str) -> usize {
    if matches!(path, "prompt_text" | "response_text") { 2 } else { 1 }
}

/// The mapping.
pub(super) fn rows() -> Vec<Row> {
    TABLES.iter().copied().flatten().map(|field| field.row).collect()
}
