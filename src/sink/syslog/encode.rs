//! From a record to a syslog message. Pure: the same record always gives the same bytes.
//!
//! Header fields hold printable ASCII within the lengths of RFC 5424, parameters are escaped. In the
//! message itself a control character (below U+0020, not tab) can only come from bytes that are no JSON,
//! or from space between tokens: CR and LF become a space, others a `\u00XX`, so that neither a line nor
//! a datagram can be made to look like two. JSON from our own formats goes out as it is.

use crate::limits;
use crate::sink::About;

/// Limits of RFC 5424, section 6.
pub(super) const HOSTNAME_MOST: usize = 255;
/// See [`HOSTNAME_MOST`].
pub(super) const APP_NAME_MOST: usize = 48;
/// What RFC 3164 allows for a tag.
pub(super) const TAG_MOST: usize = 32;
const MSGID_MOST: usize = 32;
/// `2026-11-23T14:50:00.000000Z`
const TIME_MOST: usize = 27;
const FRACTION_MOST: usize = 6;
/// Parameters of our structured data, and how much room each may take, escaped.
const PARAMETERS: [(&str, usize); 4] = [("id", 64), ("principal", 64), ("file_id", 128), ("event_type", 64)];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Which header a message begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Header {
    /// Structured, with the event's full time.
    #[default]
    Rfc5424,
    /// For old collectors: `Nov 23 14:50:00 host tag:`, in UTC.
    Rfc3164,
}

/// What is the same in all messages of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) header: Header,
    /// 0 to 23.
    pub(super) facility: u8,
    pub(super) hostname: String,
    pub(super) app_name: String,
    /// Private enterprise number; structured data is sent when there is one.
    pub(super) enterprise: Option<u32>,
}

/// Encoded messages, without framing.
#[derive(Debug, Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Messages {
    /// Forgets the messages.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        // What a big record took is given back.
        self.bytes.shrink_to(limits::SEND_BUFFER_BYTES);
        self.ends.clear();
    }

    /// Appends one; its length.
    pub(super) fn push(&mut self, style: &Style, about: &About, record: &[u8]) -> usize {
        let start = self.bytes.len();
        style.write(about, record, &mut self.bytes);
        self.ends.push(self.bytes.len());
        self.bytes.len() - start
    }

    /// The messages in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }
}

impl Style {
    /// Appends the message for one record.
    fn write(&self, about: &About, record: &[u8], out: &mut Vec<u8>) {
        let priority = u32::from(self.facility) * 8 + severity(about.outcome);
        let moment = about.time.as_deref().and_then(Moment::read).or_else(|| Moment::read(&about.observed));
        out.extend_from_slice(format!("<{priority}>").as_bytes());
        match self.header {
            Header::Rfc5424 => {
                out.extend_from_slice(b"1 ");
                match moment {
                    Some(moment) => moment.write_full(out),
                    None => out.push(b'-'),
                }
                out.push(b' ');
                push_field(&self.hostname, HOSTNAME_MOST, out);
                out.push(b' ');
                push_field(&self.app_name, APP_NAME_MOST, out);
                out.extend_from_slice(b" - ");
                push_field(&about.origin.event_type, MSGID_MOST, out);
                out.push(b' ');
                self.push_data(about, out);
            }
            Header::Rfc3164 => {
                moment.unwrap_or(Moment::NONE).write_old(out);
                out.push(b' ');
                push_field(&self.hostname, HOSTNAME_MOST, out);
                out.push(b' ');
                push_field(&self.app_name, TAG_MOST, out);
                out.push(b':');
            }
        }
        out.push(b' ');
        push_record(record, out);
    }

    fn push_data(&self, about: &About, out: &mut Vec<u8>) {
        let Some(enterprise) = self.enterprise else { return out.push(b'-') };
        out.extend_from_slice(format!("[custodex@{enterprise}").as_bytes());
        let origin = &about.origin;
        let values = [&about.id, &origin.principal, &origin.file_id, &origin.event_type];
        for ((name, most), value) in PARAMETERS.into_iter().zip(values) {
            push_parameter(name, value, most, out);
        }
        out.push(b']');
    }

    /// Nothing before the record is longer than this, whatever the record.
    pub(super) fn longest_head(&self) -> usize {
        let names = self.hostname.len().min(HOSTNAME_MOST) + self.app_name.len().min(APP_NAME_MOST);
        let data = self.enterprise.map_or(1, |enterprise| {
            let parameters: usize = PARAMETERS.iter().map(|(name, most)| name.len() + most + 4).sum();
            format!("[custodex@{enterprise}]").len() + parameters
        });
        // The longest of both headers: `<191>1 `, six spaces and PROCID.
        "<191>1 ".len() + TIME_MOST + names + MSGID_MOST + data + 7
    }
}

/// RFC 5424's severity: what an analyst filters by.
fn severity(outcome: Option<&str>) -> u32 {
    match outcome {
        Some("failure") => 4,
        None | Some("success") => 6,
        Some(_) => 5,
    }
}

/// Parts of an RFC 3339 time in UTC that syslog can carry.
#[derive(Clone, Copy)]
struct Moment<'a> {
    /// `2026-11-23T14:50:`
    minute: &'a str,
    second: &'a str,
    fraction: &'a str,
}

impl<'a> Moment<'a> {
    /// What the old header shows where there is no time at all; it has no word for that.
    const NONE: Self = Self { minute: "1970-01-01T00:00:", second: "00", fraction: "" };

    fn read(text: &'a str) -> Option<Self> {
        let (whole, rest) = text.strip_suffix('Z')?.split_at_checked(19)?;
        let shape = |(at, byte): (usize, u8)| match at {
            4 | 7 => byte == b'-',
            10 => byte == b'T',
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        };
        let digits = rest.strip_prefix('.').unwrap_or(rest);
        let has_point = digits.len() < rest.len();
        if has_point == digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        if !whole.bytes().enumerate().all(shape) {
            return None;
        }
        let in_range = |at: usize, least: u8, most: u8| {
            whole[at..at + 2].parse().is_ok_and(|value: u8| (least..=most).contains(&value))
        };
        let real = in_range(5, 1, 12)
            && in_range(8, 1, 31)
            && in_range(11, 0, 23)
            && in_range(14, 0, 59)
            && in_range(17, 0, 60);
        // Syslog knows no leap second.
        let second = if &whole[17..] == "60" { "59" } else { &whole[17..] };
        let fraction = &digits[..digits.len().min(FRACTION_MOST)];
        real.then_some(Self { minute: &whole[..17], second, fraction })
    }

    fn write_full(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.minute.as_bytes());
        out.extend_from_slice(self.second.as_bytes());
        if !self.fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(self.fraction.as_bytes());
        }
        out.push(b'Z');
    }

    fn write_old(self, out: &mut Vec<u8>) {
        let month = self.minute[5..7].parse::<usize>().map_or(0, |month| month - 1);
        let day = &self.minute[8..10];
        let day = day.strip_prefix('0').map_or_else(|| day.to_owned(), |digit| format!(" {digit}"));
        let text = format!("{} {day} {}{}", MONTHS[month], &self.minute[11..], self.second);
        out.extend_from_slice(text.as_bytes());
    }
}

/// Printable ASCII, `?` for every other character, `-` for nothing.
fn push_field(text: &str, most: usize, out: &mut Vec<u8>) {
    let start = out.len();
    let printable = |c: char| if c.is_ascii_graphic() { c as u8 } else { b'?' };
    out.extend(text.chars().take(most).map(printable));
    if out.len() == start {
        out.push(b'-');
    }
}

/// ` name="value"`, cut on a character when it takes more than `most`.
fn push_parameter(name: &str, value: &str, most: usize, out: &mut Vec<u8>) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    let end = out.len() + most;
    for c in value.chars() {
        let c = if c.is_control() { '?' } else { c };
        let escaped = matches!(c, '"' | '\\' | ']');
        if out.len() + usize::from(escaped) + c.len_utf8() > end {
            break;
        }
        if escaped {
            out.push(b'\\');
        }
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    out.push(b'"');
}

/// The record without its line end, and without a control character.
fn push_record(record: &[u8], out: &mut Vec<u8>) {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    let mut rest = record.strip_suffix(b"\r").unwrap_or(record);
    while let Some(at) = rest.iter().position(|byte| *byte < b' ' && *byte != b'\t') {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'\r' | b'\n' => out.push(b' '),
            byte => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests;
