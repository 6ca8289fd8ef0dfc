//! `raw`: the bytes of the record; one that goes by reference becomes a native record.

use super::trim::Cuts;
use super::{Content, Options, native};
use crate::record::Record;
use crate::record::reader::Shape;

pub(super) fn encode(record: &Record<'_>, options: Options, out: &mut Vec<u8>) {
    if record.raw.shape == Shape::Oversized || options.content == Content::Metadata {
        return native::encode(record, options, &Cuts::default(), out);
    }
    out.extend_from_slice(record.raw.bytes);
}
