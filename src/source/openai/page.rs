//! A page of a listing, read as tolerantly as it can be without losing a file id.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::digest::unhex32;

/// One listed log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Verbatim; the empty text when upstream gave none.
    pub end_time: String,
    /// Bytes, where upstream says.
    pub size: Option<u64>,
    /// Of the file, where upstream says.
    pub sha256: Option<[u8; 32]>,
}

/// One page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In upstream's order.
    pub files: Vec<Listed>,
    /// Whether another page follows.
    pub has_more: bool,
    /// Verbatim.
    pub last_end_time: Option<String>,
    /// Rows without an id.
    pub unusable_rows: u32,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    has_more: bool,
    #[serde(borrow, default)]
    last_end_time: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow, default)]
    end_time: Option<&'a RawValue>,
    #[serde(borrow, default)]
    file_size: Option<&'a RawValue>,
    #[serde(borrow, default)]
    file_sha256: Option<&'a RawValue>,
}

impl Page {
    /// Reads the body of a list answer; `None` when it is none.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let body: Body<'_> = serde_json::from_slice(body).ok()?;
        let mut page = Self { has_more: body.has_more, ..Self::default() };
        page.last_end_time = body.last_end_time.and_then(text);
        for row in body.data {
            match listed(row) {
                Some(file) => page.files.push(file),
                None => page.unusable_rows += 1,
            }
        }
        Some(page)
    }
}

/// Only the id cannot be missing; what else is odd is as if upstream had said nothing.
fn listed(row: &RawValue) -> Option<Listed> {
    let row: Row<'_> = serde_json::from_str(row.get()).ok()?;
    Some(Listed {
        // No address can end in a step to the same or the upper folder.
        id: text(row.id).filter(|id| id != "." && id != "..")?,
        end_time: row.end_time.and_then(text).unwrap_or_default(),
        size: row.file_size.and_then(|size| size.get().parse().ok()),
        sha256: row.file_sha256.and_then(text).and_then(|hash| unhex32(&hash)),
    })
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str::<String>(value.get()).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read() {
        let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let body = format!(
            r#"{{"object":"list","data":[
            {{"id":"eclf_1","event_type":"CODEX_LOG","end_time":"2026-07-15T10:53:24+00:00","file_name":"x",
              "file_size":73211,"file_sha256":"{hash}"}},
            {{"id":"eclf_2","end_time":null,"file_size":"7","file_sha256":12,"new":{{}}}},
            {{"id":7}}, "odd"],"has_more":true,"last_end_time":"2026-07-15T10:53:24.5+00:00"}}"#
        );
        let page = Page::read(body.as_bytes()).expect("a page");
        assert_eq!(page.files.len(), 2);
        assert_eq!(page.files[0].size, Some(73211));
        assert_eq!(page.files[0].sha256, unhex32(hash));
        assert_eq!(
            page.files[1],
            Listed { id: "eclf_2".into(), end_time: String::new(), size: None, sha256: None }
        );
        assert_eq!(page.unusable_rows, 2);
        assert_eq!(page.last_end_time.as_deref(), Some("2026-07-15T10:53:24.5+00:00"));
    }

    #[test]
    fn what_is_no_page_is_refused() {
        let empty = Page::read(br#"{"data":[],"has_more":false,"last_end_time":null}"#);
        assert_eq!(empty, Some(Page::default()));
        for wrong in
            ["", "[]", "<html>", r#"{"data":[]}"#, r#"{"has_more":false}"#, r#"{"data":{},"has_more":true}"#]
        {
            assert_eq!(Page::read(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
