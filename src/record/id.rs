//! The id of a record: the same for the same record, wherever and whenever it is made.

use crate::digest::{hex, push_hex, sha256};

/// For a record with an event id: principal, event type and hash of the bytes make it.
pub fn by_content(principal: &str, event_type: &str, raw_sha256: &[u8; 32]) -> String {
    let mut text = Vec::with_capacity(principal.len() + event_type.len() + 70);
    for part in ["v1", principal, event_type] {
        text.extend_from_slice(part.as_bytes());
        text.push(0);
    }
    push_hex(raw_sha256, &mut text);
    id(&text)
}

/// For a record without one: the place where it lies makes it.
pub fn by_place(file_id: &str, offset: u64) -> String {
    id(format!("v1-offset\0{file_id}\0{offset}").as_bytes())
}

fn id(text: &[u8]) -> String {
    hex(&sha256(text)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_published_ones() {
        let id = |line: &str| {
            by_content("11111111-2222-4333-8444-555555555555", "CODEX_LOG", &sha256(line.as_bytes()))
        };
        assert_eq!(id(r#"{"event_id":"e1","type":"CODEX_LOG"}"#), "172dd902613b7513792a68207ec6b70b");
        assert_eq!(id(r#"{"event_id":"é","n":1}"#), "a38a62a14302cc120a451d0204be2465");
        assert_eq!(by_place("eclf_1", 1024), "83988c0a4e3c69a5bcbee2e31588f711");
    }
}
