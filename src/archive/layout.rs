//! Names of objects.
//!
//! ```text
//! raw/v1/principal=<id>/event_type=<TYPE>/dt=<day>/<time>_<file id>_<hash>.jsonl[.zst|.gz]
//! normalized/v1/<format>/principal=…                                    the same
//! ```
//!
//! `day` and `time` are those of the file's `end_time`, UTC; `hash` is the first 8 digits of the verbatim
//! SHA-256. What came from outside is percent-encoded, so that it can neither leave its part of the name
//! nor mean another one. Every part is short enough for a file name, the whole for an S3 key.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Packing;
use crate::digest::{hex, sha256};
use crate::limits;
use crate::record::time;

/// Everything but `[A-Za-z0-9._-]`.
const OTHERS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-');
/// Stands for a time that cannot be read.
const NO_DAY: &str = "unknown";
/// The same, where digits are expected.
const NO_TIME: &str = "00000000T000000Z";

/// Which part of an archive an object belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// Log files, verbatim.
    Raw,
    /// Log files, record by record in the format of this name.
    Normalized(&'static str),
}

/// What a log file's name is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFile<'a> {
    /// Id of its principal.
    pub principal: &'a str,
    /// Its event type.
    pub event_type: &'a str,
    /// As upstream wrote it.
    pub end_time: &'a str,
    /// Its id upstream.
    pub file_id: &'a str,
    /// Of its verbatim bytes.
    pub sha256: &'a [u8; 32],
}

/// The object's name, relative to the archive's own prefix.
pub fn key(tree: Tree, file: &LogFile<'_>, packing: Packing) -> String {
    let tree = match tree {
        Tree::Raw => "raw/v1".to_owned(),
        Tree::Normalized(format) => format!("normalized/v1/{format}"),
    };
    let (day, time) = day_and_time(file.end_time);
    format!(
        "{tree}/principal={}/event_type={}/dt={day}/{time}_{}_{}.jsonl{}",
        part(file.principal),
        part(file.event_type),
        part(file.file_id),
        &hex(file.sha256)[..8],
        packing.ending()
    )
}

/// What an object's name tells of its log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Id of its principal.
    pub principal: String,
    /// Its event type.
    pub event_type: String,
    /// RFC 3339, to the second.
    pub end_time: String,
    /// Its id upstream.
    pub file_id: String,
    /// The first digits of the hash of its verbatim bytes.
    pub hash: String,
    /// How it is packed.
    pub packing: Packing,
}

impl Named {
    /// Reads the name of a verbatim log file. None for another one, and for one that does not tell all: where
    /// a long part was cut, or the time could not be read.
    pub fn read(key: &str) -> Option<Self> {
        let mut parts = key.strip_prefix("raw/v1/")?.split('/');
        let principal = parts.next()?.strip_prefix("principal=")?;
        let event_type = parts.next()?.strip_prefix("event_type=")?;
        let (_, last) = (parts.next()?.strip_prefix("dt=")?, parts.next()?);
        let packing = Packing::of(last)?;
        let (rest, hash) = last[..last.rfind(".jsonl")?].rsplit_once('_')?;
        let (time, file_id) = rest.split_once('_')?;
        let digit = |at: usize| time.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
        let shaped = time.len() == 16 && time != NO_TIME && (0..8).chain(9..15).all(digit);
        let end_time = shaped.then(|| {
            let at = |from: usize| &time[from..from + 2];
            format!("{}-{}-{}T{}:{}:{}Z", &time[..4], at(4), at(6), at(9), at(11), at(13))
        });
        let named = Self {
            principal: whole(principal)?,
            event_type: whole(event_type)?,
            end_time: end_time?,
            file_id: whole(file_id)?,
            hash: hash.to_owned(),
            packing,
        };
        // Only a name that would be written so: anything else was not put by this program.
        named.is_key(key).then_some(named)
    }

    fn is_key(&self, name: &str) -> bool {
        let Self { principal, event_type, end_time, file_id, .. } = self;
        let mut sha256 = [0; 32];
        let Some(Ok(first)) = self.hash.get(..8).map(|digits| u32::from_str_radix(digits, 16)) else {
            return false;
        };
        sha256[..4].copy_from_slice(&first.to_be_bytes());
        key(Tree::Raw, &LogFile { principal, event_type, end_time, file_id, sha256: &sha256 }, self.packing)
            == name
    }
}

/// A part of a name as it was before [`part`]; none for one that was cut.
fn whole(part: &str) -> Option<String> {
    if part.contains('~') {
        return None;
    }
    percent_decode_str(part).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn day_and_time(end_time: &str) -> (String, String) {
    let Some(utc) = time::to_utc(end_time) else { return (NO_DAY.to_owned(), NO_TIME.to_owned()) };
    let digits: String = utc[..19].chars().filter(|c| !matches!(c, '-' | ':')).collect();
    (utc[..10].to_owned(), format!("{digits}Z"))
}

/// A text from outside as part of a name. One that is too long keeps its beginning, and its hash behind
/// `~`, which is in no other.
pub(super) fn part(text: &str) -> String {
    let whole = utf8_percent_encode(text, OTHERS).to_string();
    if whole.len() <= limits::NAME_PART_BYTES {
        return whole;
    }
    let mut end = limits::NAME_PART_BYTES - HASH_DIGITS - 1;
    // An escape is not cut.
    while whole[end - 2..end].contains('%') {
        end -= 1;
    }
    format!("{}~{}", &whole[..end], &hex(&sha256(text.as_bytes()))[..HASH_DIGITS])
}

/// Digits of the hash that stands for the end of a long part.
const HASH_DIGITS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: [u8; 32] = [0xab; 32];

    fn named<'a>(end_time: &'a str, file_id: &'a str) -> LogFile<'a> {
        LogFile { principal: "org-1", event_type: "CODEX_LOG", end_time, file_id, sha256: &HASH }
    }

    #[test]
    fn names_are_those_of_the_public_layout() {
        for (end_time, file_id, day, name) in [
            ("2026-07-15T10:48:58.762392Z", "eclf_1", "2026-07-15", "20260715T104858Z_eclf_1_abababab"),
            ("2026-07-21T23:59:59-08:00", "a.b-c", "2026-07-22", "20260722T075959Z_a.b-c_abababab"),
            ("2026-06-30T23:59:60Z", "x", "2026-06-30", "20260630T235960Z_x_abababab"),
            (
                "2026-07-15T10:48:58Z",
                "../é a=%",
                "2026-07-15",
                "20260715T104858Z_..%2F%C3%A9%20a%3D%25_abababab",
            ),
            ("2026-07-15T10:48:58Z", "a\0b\n~", "2026-07-15", "20260715T104858Z_a%00b%0A%7E_abababab"),
            ("yesterday", "x", "unknown", "00000000T000000Z_x_abababab"),
            ("", "", "unknown", "00000000T000000Z__abababab"),
        ] {
            let expected = format!("raw/v1/principal=org-1/event_type=CODEX_LOG/dt={day}/{name}.jsonl.zst");
            assert_eq!(key(Tree::Raw, &named(end_time, file_id), Packing::Zstd), expected);
        }
        let file = named("2026-07-15T10:48:58Z", "x");
        assert_eq!(
            key(
                Tree::Normalized("native"),
                &LogFile { principal: "..", event_type: "A/B", ..file },
                Packing::None
            ),
            "normalized/v1/native/principal=../event_type=A%2FB/dt=2026-07-15/20260715T104858Z_x_abababab.jsonl"
        );
    }

    #[test]
    fn a_name_tells_its_log_file() {
        for file_id in ["eclf_1", "_a__b_", "../é a=%", "", "x~y"] {
            let file = named("2026-07-15T10:48:58.762392+02:00", file_id);
            let name = key(Tree::Raw, &file, Packing::Gzip);
            let read = Named::read(&name).unwrap();
            assert_eq!((read.file_id.as_str(), read.hash.as_str()), (file_id, "abababab"));
            assert_eq!((read.principal.as_str(), read.event_type.as_str()), ("org-1", "CODEX_LOG"));
            assert_eq!((read.end_time.as_str(), read.packing), ("2026-07-15T08:48:58Z", Packing::Gzip));
        }
        let cut = key(Tree::Raw, &named("2026-07-15T10:48:58Z", &"x".repeat(2000)), Packing::None);
        let undated = key(Tree::Raw, &named("yesterday", "x"), Packing::None);
        let good = key(Tree::Raw, &named("2026-07-15T10:48:58Z", "x"), Packing::None);
        let moved = good.replace("dt=2026", "dt=2025");
        for wrong in
            [cut, undated, moved, good.replace("ab.jsonl", "AB.jsonl"), format!("x{good}"), "raw/v1/".into()]
        {
            assert_eq!(Named::read(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn long_ids_stay_apart_and_fit() {
        let long = |end: &str| format!("{}{end}", "é".repeat(2000));
        let (one, other) = (long("1"), long("2"));
        let of = |id: &str| key(Tree::Raw, &named("2026-07-15T10:48:58Z", id), Packing::Gzip);
        assert_ne!(of(&one), of(&other));
        for id in [&one, &other, &format!("a{one}"), &format!("ab{one}")] {
            let name = of(id);
            assert!(name.len() <= 700 && name.split('/').all(|part| part.len() <= 200), "{name}");
            let escapes = name.split('%').skip(1);
            assert!(
                escapes.into_iter().all(|rest| rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit)),
                "{name}"
            );
        }
    }
}
