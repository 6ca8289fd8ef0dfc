//! Secrets that are told by their shape: keys in PEM, cards, bank accounts, mail addresses.
//!
//! Each function looks at every byte a bounded number of times.

use std::ops::Range;

use memchr::{memchr_iter, memmem};

/// Takes what was found.
pub(super) type See<'a> = dyn FnMut(Range<usize>) + 'a;

/// Longest part of a mail address before the `@`, and after it.
const LOCAL_MOST: usize = 64;
const DOMAIN_MOST: usize = 255;
/// Digits of a card number.
const CARD: std::ops::RangeInclusive<usize> = 13..=19;

/// Whether something may begin at `at`: no letter or digit stands before it, unless it is part of an escape.
pub(super) fn begins(text: &str, at: usize) -> bool {
    let before = &text.as_bytes()[..at];
    match before {
        [] | [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f'] => true,
        [.., b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => true,
        [.., last] => !last.is_ascii_alphanumeric(),
    }
}

/// How PEM begins.
pub(super) const PEM: &str = "-----BEGIN ";

/// Blocks of PEM that hold a private key, also with written-out line ends; one without an end goes on as
/// long as it looks like one.
pub(super) fn private_keys(text: &str, see: &mut See<'_>) {
    let (mut from, mut any_end) = (0, true);
    while let Some(start) = memmem::find(&text.as_bytes()[from..], PEM.as_bytes()).map(|at| at + from) {
        let label = start + PEM.len();
        from = label;
        let line = &text.as_bytes()[label..text.len().min(label + 64)];
        let Some(length) = memmem::find(line, b"-----") else { continue };
        if memmem::find(&line[..length], b"PRIVATE KEY").is_none() {
            continue;
        }
        let body = label + length + "-----".len();
        let rest = &text.as_bytes()[body..];
        // Where one begins without an end, none of those behind it has one.
        let end = if any_end { memmem::find(rest, b"-----END ") } else { None };
        any_end = end.is_some();
        let end = end.and_then(|at| {
            let label = at + "-----END ".len();
            let tail = &rest[label..rest.len().min(label + 64)];
            memmem::find(tail, b"-----").map(|close| body + label + close + "-----".len())
        });
        let looks = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\\ \r\n\t:,-".contains(byte);
        let end = end.unwrap_or_else(|| body + rest.iter().take_while(|byte| looks(byte)).count());
        see(start..end);
        from = end;
    }
}

/// Card numbers of known issuers whose check digit is right, in groups or not.
pub(super) fn cards(text: &str, see: &mut See<'_>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    // Of two neighbours inside such a number, one is a digit.
    while let Some(pair) = bytes.get(at..at + 2) {
        if !pair.iter().any(u8::is_ascii_digit) {
            at += CARD.start() - 1;
            continue;
        }
        let inside = |byte: u8| byte.is_ascii_digit() || byte == b' ' || byte == b'-';
        let mut start = at;
        while start > 0 && inside(bytes[start - 1]) {
            start -= 1;
        }
        let mut end = at;
        while end < bytes.len() && inside(bytes[end]) {
            end += 1;
        }
        if end - start >= *CARD.start() {
            runs(text, start..end, see);
        }
        at = end + 1;
    }
}

/// Looks for cards in what has digits, spaces and hyphens only.
fn runs(text: &str, range: Range<usize>, see: &mut See<'_>) {
    let bytes = text.as_bytes();
    let groups: Vec<Range<usize>> = bytes[range]
        .split(|byte| !byte.is_ascii_digit())
        .map(|group| {
            let start = group.as_ptr() as usize - bytes.as_ptr() as usize;
            start..start + group.len()
        })
        .filter(|group| !group.is_empty())
        .collect();
    let mut first = 0;
    while first < groups.len() {
        let start = groups[first].start;
        let decimals = start >= 2 && bytes[start - 1] == b'.' && bytes[start - 2].is_ascii_digit();
        let mut digits = Vec::with_capacity(20);
        let mut found = None;
        for (count, group) in groups[first..].iter().enumerate() {
            let near = count == 0 || group.start == groups[first + count - 1].end + 1;
            if !near || digits.len() + group.len() > *CARD.end() || (count > 0 && group.len() < 2) {
                break;
            }
            digits.extend(bytes[group.clone()].iter().map(|byte| byte - b'0'));
            if is_card(&digits) && begins(text, start) && !decimals && ends(bytes, group.end) {
                found = Some((group.end, count + 1));
            }
        }
        if let Some((end, count)) = found {
            see(start..end);
            first += count;
        } else {
            first += 1;
        }
    }
}

fn ends(bytes: &[u8], at: usize) -> bool {
    !bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Whether these digits are a card number.
fn is_card(digits: &[u8]) -> bool {
    if !CARD.contains(&digits.len()) || digits.iter().all(|digit| *digit == digits[0]) {
        return false;
    }
    let start = digits[..4].iter().fold(0u32, |sum, digit| sum * 10 + u32::from(*digit));
    let length = digits.len();
    let known = match start {
        4000..=4999 => matches!(length, 13 | 16 | 19),
        5100..=5599 | 2221..=2720 => length == 16,
        3400..=3499 | 3700..=3799 => length == 15,
        3000..=3059 | 3600..=3699 | 3800..=3999 => (14..=19).contains(&length),
        3528..=3589 | 6011 | 6440..=6599 | 6200..=6299 => (16..=19).contains(&length),
        5000..=5099 | 5600..=5899 | 6000..=6999 => (13..=19).contains(&length),
        _ => false,
    };
    let luhn = digits.iter().rev().enumerate().fold(0u32, |sum, (place, digit)| {
        let digit = u32::from(*digit) * if place % 2 == 1 { 2 } else { 1 };
        sum + digit / 10 + digit % 10
    });
    known && luhn.is_multiple_of(10)
}

/// Lengths of the account numbers of each country.
#[rustfmt::skip]
const COUNTRIES: [(&[u8; 2], usize); 87] = [
    (b"AD", 24), (b"AE", 23), (b"AL", 28), (b"AT", 20), (b"AZ", 28), (b"BA", 20), (b"BE", 16), (b"BG", 22),
    (b"BH", 22), (b"BI", 27), (b"BR", 29), (b"BY", 28), (b"CH", 21), (b"CR", 22), (b"CY", 28), (b"CZ", 24),
    (b"DE", 22), (b"DJ", 27), (b"DK", 18), (b"DO", 28), (b"EE", 20), (b"EG", 29), (b"ES", 24), (b"FI", 18),
    (b"FK", 18), (b"FO", 18), (b"FR", 27), (b"GB", 22), (b"GE", 22), (b"GI", 23), (b"GL", 18), (b"GR", 27),
    (b"GT", 28), (b"HN", 28), (b"HR", 21), (b"HU", 28), (b"IE", 22), (b"IL", 23), (b"IQ", 23), (b"IS", 26),
    (b"IT", 27), (b"JO", 30), (b"KW", 30), (b"KZ", 20), (b"LB", 28), (b"LC", 32), (b"LI", 21), (b"LT", 20),
    (b"LU", 20), (b"LV", 21), (b"LY", 25), (b"MC", 27), (b"MD", 24), (b"ME", 22), (b"MK", 19), (b"MN", 20),
    (b"MR", 27), (b"MT", 31), (b"MU", 30), (b"NI", 28), (b"NL", 18), (b"NO", 15), (b"OM", 23), (b"PK", 24),
    (b"PL", 28), (b"PS", 29), (b"PT", 25), (b"QA", 29), (b"RO", 24), (b"RS", 22), (b"RU", 33), (b"SA", 24),
    (b"SC", 31), (b"SD", 18), (b"SE", 24), (b"SI", 19), (b"SK", 24), (b"SM", 27), (b"SO", 23), (b"ST", 25),
    (b"SV", 28), (b"TL", 23), (b"TN", 24), (b"TR", 26), (b"UA", 29), (b"VA", 22), (b"VG", 24),
];

/// International bank account numbers whose check digits are right, in groups of four or not.
pub(super) fn ibans(text: &str, see: &mut See<'_>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    // Of two neighbours one is looked at: the third or the fourth sign, both digits.
    for digit in (2..bytes.len()).step_by(2).filter(|at| bytes[*at].is_ascii_digit()) {
        for at in digit.saturating_sub(3)..=digit - 2 {
            let here = bytes.get(at..at + 4).is_some_and(|four| {
                four[..2].iter().all(u8::is_ascii_uppercase) && four[2..].iter().all(u8::is_ascii_digit)
            });
            if here
                && at >= from
                && begins(text, at)
                && let Some(end) = iban(bytes, at)
            {
                see(at..end);
                from = end;
            }
        }
    }
}

/// The end of the account number that begins at `at`.
fn iban(bytes: &[u8], at: usize) -> Option<usize> {
    let (_, length) = COUNTRIES.iter().find(|(country, _)| bytes[at..].starts_with(*country))?;
    let mut signs = Vec::with_capacity(*length);
    let mut end = at;
    while signs.len() < *length {
        match bytes.get(end)? {
            sign if sign.is_ascii_alphanumeric() => signs.push(sign.to_ascii_uppercase()),
            b' ' | b'-' if signs.len() % 4 == 0 => {}
            _ => return None,
        }
        end += 1;
    }
    let turned = signs[4..].iter().chain(&signs[..4]);
    let rest = turned.fold(0u32, |rest, sign| match sign {
        b'0'..=b'9' => (rest * 10 + u32::from(sign - b'0')) % 97,
        _ => (rest * 100 + u32::from(sign - b'A') + 10) % 97,
    });
    (rest == 1 && ends(bytes, end)).then_some(end)
}

/// Mail addresses, also with letters beyond ASCII.
pub(super) fn emails(text: &str, see: &mut See<'_>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    for at in memchr_iter(b'@', bytes) {
        let local = |byte: &u8| {
            byte.is_ascii_alphanumeric() || !byte.is_ascii() || b".!#$&'*+/=?^_`{|}~-%".contains(byte)
        };
        let least = at.saturating_sub(LOCAL_MOST).max(from);
        let mut start = at - bytes[least..at].iter().rev().take_while(|byte| local(byte)).count();
        // An escape that is written out is no part of it, nor is what opens or assigns.
        while start < at && (bytes[start] & 0xc0 == 0x80 || b".'`={|}*/?&!#$^~".contains(&bytes[start])) {
            start += 1;
        }
        if start > 0 && bytes[start - 1] == b'\\' && b"nrtbf".contains(&bytes[start]) && start + 1 < at {
            start += 1;
        }
        if start == at {
            continue;
        }
        let most = bytes.len().min(at + 1 + DOMAIN_MOST);
        let domain =
            |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii() || *byte == b'.' || *byte == b'-';
        let mut end = at + 1 + bytes[at + 1..most].iter().take_while(|byte| domain(byte)).count();
        while end > at + 1 && (b".-".contains(&bytes[end - 1]) || !text.is_char_boundary(end)) {
            end -= 1;
        }
        if is_domain(&text[at + 1..end]) {
            see(start..end);
            from = end;
        }
    }
}

/// Names with dots between, the last one letters.
fn is_domain(text: &str) -> bool {
    let Some((names, last)) = text.rsplit_once('.') else { return false };
    last.chars().count() >= 2
        && (last.chars().all(char::is_alphabetic) || last.starts_with("xn--"))
        && names.split('.').all(|name| !name.is_empty() && !name.starts_with('-'))
}
