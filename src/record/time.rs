//! Upstream's timestamps: RFC 3339, with however many digits, of any year that has four.

use jiff::SignedDuration;
use jiff::civil::DateTime;

/// The same moment in UTC with every digit of the fraction kept; `None` when it is unreadable.
pub fn to_utc(text: &str) -> Option<String> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let digits = rest.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    if rest.starts_with('.') && digits == 0 {
        return None;
    }
    let (fraction, zone) = rest.split_at(if digits > 0 { digits + 1 } else { 0 });
    let moment = read(date_time.as_bytes())?;
    // Copied, not formatted: a leap second keeps its 60, and no offset has seconds.
    let seconds = &date_time[17..];
    if zone.eq_ignore_ascii_case("z") {
        let (date, time) = (&date_time[..10], &date_time[11..17]);
        return Some([date, "T", time, seconds, fraction, "Z"].concat());
    }
    let utc = moment.checked_sub(offset(zone.as_bytes())?).ok().filter(|utc| utc.year() >= 0)?;
    Some([&utc.to_string()[..17], seconds, fraction, "Z"].concat())
}

fn read(text: &[u8]) -> Option<DateTime> {
    let marks = text[4] == b'-' && text[7] == b'-' && text[13] == b':' && text[16] == b':';
    if !marks || !matches!(text[10], b'T' | b't' | b' ') {
        return None;
    }
    let year = i16::from(pair(&text[..2])?) * 100 + i16::from(pair(&text[2..4])?);
    let (month, day) = (pair(&text[5..7])?, pair(&text[8..10])?);
    let (hour, minute, second) = (pair(&text[11..13])?, pair(&text[14..16])?, pair(&text[17..])?);
    if second > 60 {
        return None;
    }
    DateTime::new(year, month, day, hour, minute, second.min(59), 0).ok()
}

fn offset(zone: &[u8]) -> Option<SignedDuration> {
    let &[sign @ (b'+' | b'-'), h, hh, b':', m, mm] = zone else { return None };
    let (hours, minutes) = (pair(&[h, hh])?, pair(&[m, mm])?);
    let offset = SignedDuration::from_mins(i64::from(hours) * 60 + i64::from(minutes));
    (hours < 24 && minutes < 60).then_some(if sign == b'-' { -offset } else { offset })
}

/// Two digits.
fn pair(digits: &[u8]) -> Option<i8> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| (byte - b'0').cast_signed());
    Some(digit(digits[0])? * 10 + digit(digits[1])?)
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
            ("2026-06-30T18:29:60.25-05:30", Some("2026-06-30T23:59:60.25Z")),
            ("1970-01-01T00:00:00Z", Some("1970-01-01T00:00:00Z")),
            ("1965-02-03t04:05:06z", Some("1965-02-03T04:05:06Z")),
            ("0000-01-01 00:00:00Z", Some("0000-01-01T00:00:00Z")),
            ("9999-12-31T23:59:59.999999Z", Some("9999-12-31T23:59:59.999999Z")),
            ("9999-12-31T23:59:59-00:01", None),
            ("0000-01-01T00:00:00+00:01", None),
            ("2026-07-15T10:48:58+24:00", None),
            ("2026-07-15T10:48:58+0100", None),
            ("2026-07-15T10:48:61Z", None),
            ("2025-02-29T10:00:00Z", None),
            ("2026-07-15T10:48:5\u{e9}Z", None),
            ("2026-07-22T10:00:00\u{ff0e}1Z", None),
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
