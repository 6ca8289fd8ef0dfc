//! A page of a listing, read as tolerantly as it can be without losing a file id.

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
