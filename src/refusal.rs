//! A refusal of a value, with its place in the configuration file.
//!
//! For rules that are checked after a section was read, when only spans are left of where its values stood.
//! After a line feed in a message comes the next step.

use std::fmt;
use std::ops::Range;

use serde::de::{self, Deserializer, Visitor};
use toml::Spanned;
use toml::de::{DeValue, Error, ValueDeserializer};

struct Refusal<'a>(&'a str);

/// The error that says `message` about the value at `span`.
pub fn refused(span: Range<usize>, message: &str) -> Error {
    // Only the deserializer can give an error its place, so one is made for that.
    let place = ValueDeserializer::from(Spanned::new(span, DeValue::Boolean(false)));
    place.deserialize_any(Refusal(message)).unwrap_or_else(|error| error)
}

impl Visitor<'_> for Refusal<'_> {
    type Value = Error;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Error, E> {
        Err(E::custom(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_its_place_and_its_words() {
        let error = refused(3..7, "no\nwrite yes");
        assert_eq!((error.span(), error.message()), (Some(3..7), "no\nwrite yes"));
    }
}
