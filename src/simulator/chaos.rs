//! Everything the other side may do wrong, each case once in one table.
//!
//! The sections are those of the wire contract's list of cases. A fault that passes fires once or twice
//! and never again, so that a client which tries again gets everything except what is truly gone.

use super::content::COSTS;

/// One way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    InclusiveAfter,
    MoreWithoutEnd,
    MoreWithoutMoving,
    EmptyButMore,
    EmptyPage,
    TieAcrossEdge,
    LateInOverlap,
    LateBeyondOverlap,
    OtherHost,
    PlainLocation,
    NoLocation,
    RedirectLoop,
    SignedRefused,
    SignedExpired,
    WrongHash,
    WrongSize,
    Truncated,
    Stalled,
    NoFinalNewline,
    Crlf,
    BlankLines,
    Concatenated,
    BadLine,
    InvalidUtf8,
    ByteOrderMark,
    NulByte,
    LongLine,
    BigFile,
    Gzip,
    LimitedSeconds,
    LimitedDate,
    LimitedBare,
    UnsupportedType,
    RefusedKey,
    DeniedStream,
    MissingOnce,
    Gone404,
    Gone410,
    Invalid422,
    Html500,
    Html502,
    SameIdSameBytes,
    SameIdOtherBytes,
    UnknownType,
    UnknownAction,
    UnknownActor,
    NullActor,
    GroupsAsText,
    KilledClient,
    OldCheckpoint,
    ClockSkew,
    OwnPolling,
}

/// Where a case shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Without chaos too.
    Always,
    /// In answers to list requests.
    Listing,
    /// In which files there are, and when they are listed.
    Catalogue,
    /// In the API's answer to a download.
    Download,
    /// In the signed host's answer.
    Signed,
    /// In the bytes of a file.
    Bytes,
    /// For whoever tests the client: it needs nothing from this side.
    Client,
}

/// Section of the contract's list, case, name, place.
pub(super) const TABLE: [(u8, Case, &str, At); 52] = [
    (1, Case::InclusiveAfter, "inclusive_after", At::Listing),
    (2, Case::MoreWithoutEnd, "more_without_end", At::Listing),
    (2, Case::MoreWithoutMoving, "more_without_moving", At::Listing),
    (2, Case::EmptyButMore, "empty_but_more", At::Listing),
    (3, Case::EmptyPage, "empty_page", At::Always),
    (4, Case::TieAcrossEdge, "tie_across_edge", At::Catalogue),
    (5, Case::LateInOverlap, "late_in_overlap", At::Catalogue),
    (5, Case::LateBeyondOverlap, "late_beyond_overlap", At::Catalogue),
    (6, Case::OtherHost, "other_host", At::Always),
    (6, Case::PlainLocation, "plain_location", At::Download),
    (6, Case::NoLocation, "no_location", At::Download),
    (6, Case::RedirectLoop, "redirect_loop", At::Download),
    (7, Case::SignedRefused, "signed_refused", At::Signed),
    (7, Case::SignedExpired, "signed_expired", At::Download),
    (8, Case::WrongHash, "wrong_hash", At::Signed),
    (8, Case::WrongSize, "wrong_size", At::Signed),
    (8, Case::Truncated, "truncated", At::Signed),
    (8, Case::Stalled, "stalled", At::Signed),
    (9, Case::NoFinalNewline, "no_final_newline", At::Bytes),
    (9, Case::Crlf, "crlf", At::Bytes),
    (9, Case::BlankLines, "blank_lines", At::Bytes),
    (9, Case::Concatenated, "concatenated", At::Bytes),
    (9, Case::BadLine, "bad_line", At::Bytes),
    (9, Case::InvalidUtf8, "invalid_utf8", At::Bytes),
    (9, Case::ByteOrderMark, "byte_order_mark", At::Bytes),
    (9, Case::NulByte, "nul_byte", At::Bytes),
    (9, Case::LongLine, "long_line", At::Bytes),
    (9, Case::BigFile, "big_file", At::Bytes),
    (9, Case::Gzip, "gzip", At::Signed),
    (10, Case::LimitedSeconds, "limited_seconds", At::Download),
    (10, Case::LimitedDate, "limited_date", At::Download),
    (10, Case::LimitedBare, "limited_bare", At::Download),
    (11, Case::UnsupportedType, "unsupported_type", At::Listing),
    (11, Case::RefusedKey, "refused_key", At::Listing),
    (11, Case::DeniedStream, "denied_stream", At::Listing),
    (11, Case::MissingOnce, "missing_once", At::Download),
    (11, Case::Gone404, "gone_404", At::Download),
    (11, Case::Gone410, "gone_410", At::Download),
    (11, Case::Invalid422, "invalid_422", At::Listing),
    (11, Case::Html500, "html_500", At::Download),
    (11, Case::Html502, "html_502", At::Download),
    (12, Case::SameIdSameBytes, "same_id_same_bytes", At::Bytes),
    (12, Case::SameIdOtherBytes, "same_id_other_bytes", At::Bytes),
    (12, Case::UnknownType, "unknown_type", At::Bytes),
    (12, Case::UnknownAction, "unknown_action", At::Bytes),
    (12, Case::UnknownActor, "unknown_actor", At::Bytes),
    (12, Case::NullActor, "null_actor", At::Bytes),
    (12, Case::GroupsAsText, "groups_as_text", At::Bytes),
    (13, Case::KilledClient, "killed_client", At::Client),
    (14, Case::OldCheckpoint, "old_checkpoint", At::Always),
    (14, Case::ClockSkew, "clock_skew", At::Listing),
    (15, Case::OwnPolling, "own_polling", At::Always),
];

/// Event types that files with a case of their own are spread over: what a client collects by default.
pub(super) const STREAMS: [&str; 4] = ["CODEX_LOG", "AUTH_LOG", "AUDIT_LOG", "CODEX_SECURITY_LOG"];
/// The event type the API does not know under chaos.
pub(super) const UNSUPPORTED: &str = "CUSTOM_AGENTS_LOG";
/// The stream with so many small files that a page's edge falls into a tie.
pub(super) const TIED: &str = "AUTH_LOG";
/// Files of a page before the tie, and files of the tie.
pub(super) const TIE: (u64, u64) = (97, 7);
/// Of the usual files, every so many has one of the [`LIGHT`] faults.
pub(super) const LIGHT_EVERY: u64 = 40;
/// Faults that cost a client nothing but another try.
pub(super) const LIGHT: [Case; 5] =
    [Case::Html500, Case::SignedRefused, Case::WrongHash, Case::Truncated, Case::MissingOnce];

/// Faults of the first and second list request of a stream.
const OPENING: [(&str, u32, Case); 7] = [
    ("CODEX_LOG", 2, Case::LimitedSeconds),
    ("AUTH_LOG", 1, Case::Html502),
    ("AUTH_LOG", 2, Case::LimitedDate),
    ("AUDIT_LOG", 1, Case::DeniedStream),
    ("CODEX_SECURITY_LOG", 1, Case::Invalid422),
    ("CODEX_SECURITY_LOG", 2, Case::LimitedBare),
    (COSTS, 1, Case::Html500),
];

impl Case {
    /// What the table calls it.
    pub(super) fn name(self) -> &'static str {
        TABLE.iter().find(|row| row.1 == self).map_or("", |row| row.2)
    }

    /// Where it shows.
    pub(super) fn at(self) -> At {
        TABLE.iter().find(|row| row.1 == self).map_or(At::Client, |row| row.3)
    }

    /// Whether the file can never be had.
    pub(super) fn is_gone(self) -> bool {
        matches!(self, Self::Gone404 | Self::Gone410)
    }
}

/// The fault of a stream's `number`th list request, counted from 1.
pub(super) fn of_listing(event_type: &str, number: u32) -> Option<Case> {
    if event_type == UNSUPPORTED {
        return Some(Case::UnsupportedType);
    }
    match number {
        3 => Some(Case::MoreWithoutEnd),
        5 => Some(Case::MoreWithoutMoving),
        7 => Some(Case::EmptyButMore),
        _ if number.is_multiple_of(4) => Some(Case::InclusiveAfter),
        _ => OPENING.iter().find(|row| row.0 == event_type && row.1 == number).map(|row| row.2),
    }
}

/// How many list requests that reach the end of a stream are answered before a file is shown.
pub(super) fn shown_after(case: Option<Case>) -> u32 {
    match case {
        Some(Case::LateInOverlap) => 1,
        Some(Case::LateBeyondOverlap) => 2,
        _ => 0,
    }
}

/// The cases that need a file of their own, and the event type it has.
pub(super) fn with_own_file() -> impl Iterator<Item = (Case, &'static str)> {
    let cases = TABLE.iter().filter(|row| matches!(row.3, At::Download | At::Signed | At::Bytes));
    cases.enumerate().map(|(number, row)| match row.1 {
        case @ Case::GroupsAsText => (case, COSTS),
        case @ (Case::BigFile | Case::UnknownAction) => (case, "CODEX_LOG"),
        case => (case, STREAMS[number % STREAMS.len()]),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_section_of_the_contract_is_covered() {
        let sections: HashSet<_> = TABLE.iter().map(|row| row.0).collect();
        assert_eq!(sections, (1..=15).collect());
        let names: HashSet<_> = TABLE.iter().map(|row| row.2).collect();
        assert_eq!(names.len(), TABLE.len());
        for name in [
            "inclusive_after",
            "more_without_end",
            "more_without_moving",
            "empty_page",
            "tie_across_edge",
            "late_in_overlap",
            "plain_location",
            "no_location",
            "redirect_loop",
            "signed_refused",
            "wrong_hash",
            "wrong_size",
            "truncated",
            "stalled",
            "no_final_newline",
            "crlf",
            "blank_lines",
            "concatenated",
            "bad_line",
            "invalid_utf8",
            "long_line",
            "big_file",
            "gzip",
            "limited_seconds",
            "limited_date",
            "limited_bare",
            "unsupported_type",
            "refused_key",
            "denied_stream",
            "gone_404",
            "gone_410",
            "invalid_422",
            "html_500",
            "html_502",
            "same_id_same_bytes",
            "unknown_type",
            "unknown_action",
            "unknown_actor",
            "null_actor",
            "groups_as_text",
            "own_polling",
        ] {
            assert!(names.contains(name), "{name}");
        }
    }

    #[test]
    fn every_listing_fault_is_scheduled_and_passes() {
        let elsewhere = [Case::RefusedKey, Case::ClockSkew];
        for (_, case, name, at) in TABLE {
            if at == At::Listing && !elsewhere.contains(&case) {
                let streams = STREAMS.into_iter().chain([COSTS, UNSUPPORTED]);
                let mut hits =
                    streams.flat_map(|stream| (1..9).map(move |number| of_listing(stream, number)));
                assert!(hits.any(|hit| hit == Some(case)), "{name}");
            }
        }
        for number in (9..99).filter(|number: &u32| !number.is_multiple_of(4)) {
            assert_eq!(of_listing("AUTH_LOG", number), None);
        }
    }
}
