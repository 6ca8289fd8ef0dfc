//! Durations and sizes as people write them: `"5m"`, `"64MB"`.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

const SPANS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];
const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// A length of time, whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A text that is no such thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// See [`Span`].
    #[error("not a duration: write a whole number and a unit (ms, s, m, h, d, w), such as \"5m\"")]
    Span,
    /// See [`Size`].
    #[error(
        "not a size: write a whole number and a unit (B, KB, MB, GB, TB, KiB, MiB, GiB), such as \"64MB\""
    )]
    Size,
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        scaled(text, &SPANS).map(|millis| Self(Duration::from_millis(millis))).ok_or(UnitError::Span)
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        scaled(text, &SIZES).map(Self).ok_or(UnitError::Size)
    }
}

impl fmt::Display for Size {
    /// With three digits: `12.3 MB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut value, mut unit) = (self.0 as f64, "B");
        for next in ["kB", "MB", "GB", "TB"] {
            if value < 1000.0 {
                break;
            }
            (value, unit) = (value / 1000.0, next);
        }
        let digits = usize::from(!(unit == "B" || value >= 100.0));
        write!(f, "{value:.digits$} {unit}")
    }
}

/// Reads a text; what is wrong and what to write are two lines of the error.
struct Text<T>(&'static str, PhantomData<T>);

impl<T: FromStr<Err = UnitError>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|error: UnitError| E::custom(error.to_string().replacen(": ", "\n", 1)))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text("a duration such as \"5m\"", PhantomData))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text("a size such as \"64MB\"", PhantomData))
    }
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = (text[..split].parse::<u64>().ok()?, text[split..].trim());
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*scale)
}

/// Whole seconds as people say them: `29 d 4 h`.
pub fn spoken(seconds: i64) -> String {
    let (sign, seconds) = (if seconds < 0 { "-" } else { "" }, seconds.unsigned_abs());
    let parts = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let first = parts.iter().position(|(scale, _)| seconds >= *scale).unwrap_or(3);
    let (scale, unit) = parts[first];
    let mut text = format!("{sign}{} {unit}", seconds / scale);
    if let Some((next, unit)) = parts.get(first + 1)
        && seconds % scale / next > 0
    {
        text = format!("{text} {} {unit}", seconds % scale / next);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_are_read() {
        assert_eq!("5m".parse(), Ok(Span(Duration::from_secs(300))));
        assert_eq!("1500 ms".parse(), Ok(Span(Duration::from_millis(1500))));
        assert_eq!("64MB".parse(), Ok(Size(64_000_000)));
        assert_eq!("16MiB".parse(), Ok(Size(1 << 24)));
        for wrong in ["", "5", "m", "-5m", "5 minutes", "99999999999999999999w", "18446744073709551615w"] {
            assert_eq!(wrong.parse::<Span>(), Err(UnitError::Span), "{wrong}");
        }
        assert_eq!("5m".parse::<Size>(), Err(UnitError::Size));
    }

    #[test]
    fn figures_are_shown_short() {
        assert_eq!(Size(999).to_string(), "999 B");
        assert_eq!(Size(12_345_678).to_string(), "12.3 MB");
        assert_eq!(spoken(2_500_000), "28 d 22 h");
        assert_eq!(spoken(-61), "-1 min 1 s");
        assert_eq!(spoken(0), "0 s");
    }
}
