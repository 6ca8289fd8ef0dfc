//! Upstream's timestamps: RFC 3339, with however many digits, of any year that has four.

use std::io::Write;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Days from the first of March of the year 0 to 1970.
const EPOCH: i64 = 719_468;
/// Days of 400 years, after which the calendar repeats.
const CYCLE: i64 = 146_097;

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

/// Appends a moment in UTC as it displays itself: several times a record, so without its machinery.
pub fn push(moment: Timestamp, out: &mut Vec<u8>) {
    let (seconds, nanoseconds) = (moment.as_second(), moment.subsec_nanosecond());
    let (day, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    // Years that begin in March, so that a leap day is the last one.
    let shifted = day + EPOCH;
    let of_cycle = shifted.rem_euclid(CYCLE);
    let year_of_cycle = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month = (5 * of_year + 2) / 153;
    let (date, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = shifted.div_euclid(CYCLE) * 400 + year_of_cycle + i64::from(month <= 2);
    if !(0..=9999).contains(&year) || nanoseconds < 0 {
        return write!(out, "{moment}").expect("memory takes every byte");
    }
    let two = |number: i64| [number / 10, number % 10].map(|n| b'0' + u8::try_from(n).unwrap_or_default());
    let parts = [
        (two(year / 100), None),
        (two(year % 100), Some(b'-')),
        (two(month), Some(b'-')),
        (two(date), Some(b'T')),
        (two(second / 3600), Some(b':')),
        (two(second / 60 % 60), Some(b':')),
        (two(second % 60), None),
    ];
    for (digits, mark) in parts {
        out.extend_from_slice(&digits);
        out.extend(mark);
    }
    if nanoseconds > 0 {
        // The one in front keeps the zeros behind it.
        let point = out.len();
        super::json::push_number(1_000_000_000 + u64::from(nanoseconds.unsigned_abs()), out);
        out[point] = b'.';
        let zeros = out.iter().rev().take_while(|digit| **digit == b'0').count();
        out.truncate(out.len() - zeros);
    }
    out.push(b'Z');
}

/// Milliseconds since 1970 of what [`to_utc`] gave, a leap second as the one before it; `None` where that is
/// not plain: before 1970, and at the end of all years.
pub fn milliseconds(time: &str) -> Option<i64> {
    let bytes = time.as_bytes();
    let pair = |at: usize| Some(i64::from(pair(bytes.get(at..at + 2)?)?));
    let (year, month, date) = (pair(0)? * 100 + pair(2)?, pair(5)?, pair(8)?);
    let seconds = pair(11)? * 3600 + pair(14)? * 60 + pair(17)?.min(59);
    let fraction = bytes.get(19..)?.strip_suffix(b"Z")?;
    if !(1970..9999).contains(&year) || !matches!(fraction, [] | [b'.', _, ..]) {
        return None;
    }
    let digits = fraction.iter().skip(1).chain(b"000").take(3);
    let thousandths = digits.fold(0, |sum, digit| sum * 10 + i64::from(digit.wrapping_sub(b'0')));
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + date - 1;
    let days = year / 400 * CYCLE + year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + of_year - EPOCH;
    Some((days * DAY + seconds) * 1000 + thousandths)
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
    fn a_moment_is_written_as_it_displays_itself() {
        let mut moment = Timestamp::MIN;
        let step = SignedDuration::from_secs(86_400 * 37 + 3723);
        let odd =
            ["2024-02-29T23:59:59Z", "2000-02-29T00:00:00Z", "1900-03-01T00:00:00Z", "0000-03-01T00:00:00Z"];
        let odd = odd.into_iter().chain(["2026-07-22T12:00:00.05Z", "0000-01-01T00:00:00.123456789Z"]);
        let mut moments: Vec<Timestamp> = odd.map(|text| text.parse().unwrap()).collect();
        while let Ok(next) = moment.checked_add(step) {
            moments.push(next);
            moment = next;
        }
        for moment in moments {
            let mut out = Vec::new();
            push(moment, &mut out);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text, moment.to_string());
            if let Some(milliseconds) = milliseconds(&text) {
                assert_eq!(milliseconds, moment.as_millisecond());
            }
        }
    }

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
