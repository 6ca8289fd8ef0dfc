//! Bytes that are not as they should be: one edit of a well-formed file for each case.
//!
//! Pure. Answers how many records the result holds: JSON texts, and lines that are none.

use std::borrow::Cow;

use super::chaos::Case;
use super::content::Plan;
use crate::digest::{hex, sha256};

/// The cap of a log file.
const FILE_BYTES: usize = 15_000_000;
/// A line of this length is rare, but allowed.
const LONG_LINE: usize = 10_000_000;
/// Whose records the files with a known event id repeat.
pub(super) const DONOR: u64 = 2_000_000;

/// A file's bytes, well formed, or as its case wants them.
pub(super) fn make(plan: Plan, case: Option<Case>) -> (Vec<u8>, u64) {
    let donor = Plan { index: DONOR, ..plan };
    let wanted = if case == Some(Case::BigFile) { plan.count * 16 } else { plan.count };
    let (mut bytes, ends) = Plan { count: wanted, ..plan }.first(wanted);
    let mut records = ends.len() as u64;
    let middle = ends.get(ends.len() / 2).copied().unwrap_or(0);
    let mut put = |bytes: &mut Vec<u8>, line: &[u8]| {
        bytes.splice(middle..middle, line.iter().copied());
        records += 1;
    };
    match case {
        Some(Case::NoFinalNewline) => drop(bytes.pop()),
        Some(Case::Crlf) => bytes = line_ends(&bytes, |_| b"\r\n"),
        Some(Case::BlankLines) => {
            bytes = line_ends(&bytes, |line| if line % 2 == 0 { b"\n\n" } else { b"\n \t\n\r\n" });
        }
        Some(Case::Concatenated) => bytes = line_ends(&bytes, |line| if line % 3 == 2 { b"\n" } else { b"" }),
        Some(Case::ByteOrderMark) => drop(bytes.splice(0..0, *b"\xef\xbb\xbf")),
        Some(Case::BigFile) => {
            let kept = ends.iter().take_while(|end| **end <= FILE_BYTES).count();
            bytes.truncate(ends[..kept].last().copied().unwrap_or(0));
            records = kept as u64;
        }
        Some(Case::BadLine) => put(&mut bytes, b"{\"event_id\":\"cut-off\",\"type\":\n"),
        Some(Case::SameIdSameBytes) => put(&mut bytes, &donor.first(1).0),
        Some(Case::SameIdOtherBytes) => {
            let mut line = donor.first(1).0;
            line.truncate(line.len().saturating_sub(2));
            line.extend_from_slice(b",\"revision\":2}\n");
            put(&mut bytes, &line);
        }
        Some(case) => {
            if let Some(line) = odd_line(plan, case) {
                put(&mut bytes, &line);
            }
        }
        None => {}
    }
    (bytes, records)
}

/// The same lines with other ends.
fn line_ends(bytes: &[u8], end: impl Fn(usize) -> &'static [u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 11 / 10);
    for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        out.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        out.extend_from_slice(end(number));
    }
    out
}

/// A record that breaks one expectation.
fn odd_line(plan: Plan, case: Case) -> Option<Vec<u8>> {
    let person =
        r#"{"type":"ACCOUNT_USER","user_id":"user-k4Tn81QwE","user_email":"ines.moreau@example.com"}"#;
    let (mut event_type, mut actor) = (plan.event_type, person);
    let mut rest = Cow::Borrowed(r#""event_type":"PROMPT_SENT","client_id":"CODEX_CLI""#);
    match case {
        Case::UnknownType => event_type = "CODEX_WEATHER_LOG",
        Case::UnknownAction => rest = r#""event_type":"PROMPT_FOLDED","event_details":{"folds":7}"#.into(),
        Case::UnknownActor => actor = r#"{"type":"LIGHTHOUSE","lamp":"green"}"#,
        Case::NullActor => actor = "null",
        Case::GroupsAsText => {
            rest = r#""payload":{"day":"2026-07-01","hour":3,"identity":{"groups":"Lager"}}"#.into();
        }
        Case::InvalidUtf8 | Case::NulByte => rest = r#""note":"~""#.into(),
        Case::LongLine => rest = format!(r#""note":"{}""#, "shelf ".repeat(LONG_LINE / 6)).into(),
        _ => return None,
    }
    let hash = hex(&sha256(format!("{} {} {}", plan.seed, plan.index, case.name()).as_bytes()));
    let (at, id) = (jiff::Timestamp::from_second(plan.end - 1).ok()?, &hash[..32]);
    let line = format!(
        r#"{{"event_id":"{id}","type":"{event_type}","timestamp":"{at:.6}","actor":{actor},{rest}}}{}"#,
        "\n"
    );
    let mut line = line.into_bytes();
    let place = line.iter().rposition(|byte| *byte == b'~').unwrap_or(0);
    match case {
        Case::InvalidUtf8 => drop(line.splice(place..=place, *b"caf\xe9 \xff\xfe")),
        Case::NulByte => drop(line.splice(place..=place, *b"a\0b")),
        _ => {}
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { seed: 3, event_type: "CODEX_LOG", index: 9, end: 1_784_000_000, count: 12 };

    #[test]
    fn each_shape_is_what_its_name_says() {
        let bytes = |case| make(PLAN, Some(case)).0;
        let (plain, records) = make(PLAN, None);
        assert_eq!(records, 12);
        assert_eq!([bytes(Case::NoFinalNewline), b"\n".to_vec()].concat(), plain);
        assert_eq!(bytes(Case::Crlf).len(), plain.len() + 12);
        assert!(bytes(Case::Concatenated).windows(2).any(|pair| pair == b"}{"));
        assert!(bytes(Case::ByteOrderMark).starts_with(b"\xef\xbb\xbf{"));
        assert!(std::str::from_utf8(&bytes(Case::InvalidUtf8)).is_err());
        assert!(bytes(Case::NulByte).contains(&0));
        assert!(bytes(Case::LongLine).len() > LONG_LINE - 100);
        assert!(String::from_utf8_lossy(&bytes(Case::NullActor)).contains("\"actor\":null,"));
        assert_eq!(make(PLAN, Some(Case::BadLine)).1, 13);
        let donor = Plan { index: DONOR, ..PLAN }.first(1).0;
        let holds = |case| bytes(case).windows(donor.len()).any(|part| part == donor);
        assert!(holds(Case::SameIdSameBytes) && !holds(Case::SameIdOtherBytes));
    }

    #[test]
    fn a_big_file_stays_just_below_the_cap() {
        let big = make(Plan { count: 600, ..PLAN }, Some(Case::BigFile)).0;
        assert!((FILE_BYTES - 200_000..=FILE_BYTES).contains(&big.len()), "{}", big.len());
    }
}
