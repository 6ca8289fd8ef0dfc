//! `raw`: the bytes of the record; one that goes by reference, or that rules changed, becomes a
//! native record.

use super::trim::Cuts;
use super::{Content, Options, native};
use crate::record::Record;
use crate::record::reader::Shape;

pub(super) fn encode(record: &Record<'_>, options: Options, out: &mut Vec<u8>) {
    let redacted = !record.removed.is_empty();
    if record.raw.shape == Shape::Oversized || options.content == Content::Metadata || redacted {
        return native::encode(record, options, &Cuts::default(), out);
    }
    out.extend_from_slice(record.raw.bytes);
}
