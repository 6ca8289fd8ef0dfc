//! `fields`: what a format calls each field of the native record, as a table.

use super::args::FieldsOptions;
use super::status::table;
use super::{Outcome, print};

pub fn fields(options: &FieldsOptions) -> Outcome {
    let rows = options.format.fields().into_iter();
    let rows = rows.map(|row| [row.native, row.target, row.note].map(str::to_owned).to_vec());
    let lines = table(&["native", options.format.name(), "note"], rows);
    print(format!("{}\n", lines.join("\n")).as_bytes())
}
