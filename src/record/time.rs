//! Upstream's timestamps: RFC 3339, with however many digits.

use jiff::Timestamp;

/// The same moment in UTC with every digit of the fraction kept; `None` when it is unreadable.
pub fn to_utc(text: &str) -> Option<String> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let digits = rest.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    if rest.starts_with('.') && digits == 0 {
        return None;
    }
    let (fraction, zone) = rest.split_at(if digits > 0 { digits + 1 } else { 0 });
    let shape = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        10 => matches!(byte, b'T' | b't' | b' '),
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    };
    if !date_time.bytes().enumerate().all(shape) || !is_zone(zone) {
        return None;
    }
    let moment: Timestamp = format!("{date_time}{zone}").parse().ok()?;
    if zone.eq_ignore_ascii_case("z") {
        // Copied, not formatted: a leap second keeps its 60.
        return Some(format!("{}T{}{fraction}Z", &date_time[..10], &date_time[11..]));
    }
    let utc = moment.to_string();
    Some(format!("{}{fraction}Z", utc.strip_suffix('Z')?))
}

fn is_zone(zone: &str) -> bool {
    let bytes = zone.as_bytes();
    zone.eq_ignore_ascii_case("z")
        || (bytes.len() == 6
            && matches!(bytes[0], b'+' | b'-')
            && bytes[3] == b':'
            && [1, 2, 4, 5].iter().all(|&at| bytes[at].is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_stays() {
        for (given, expected) in [
            ("2026-07-15T10:48:58.762392Z", Some("2026-07-15T10:48:58.762392Z")),
            ("2026-07-15T10:48:58Z", Some("2026-07-15T10:48:58Z")),
            ("2026-07-15T10:48:58.1234567890120Z", Some("2026-07-15T10:48:58.1234567890120Z")),
            ("2026-07-21T23:59:59.5-08:00", Some("2026-07-22T07:59:59.5Z")),
            ("2026-07-15T10:48:58+00:00", Some("2026-07-15T10:48:58Z")),
            ("2026-06-30T23:59:60Z", Some("2026-06-30T23:59:60Z")),
            ("1970-01-01T00:00:00Z", Some("1970-01-01T00:00:00Z")),
            ("2026-07-22T10:00:00.123456", None),
            ("2026-07-22T10:00:00.Z", None),
            ("2026-13-22T10:00:00Z", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(to_utc(given).as_deref(), expected, "{given}");
        }
    }
}
