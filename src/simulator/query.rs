//! A request's query, as a server reads it.

use axum::http::Uri;
use jiff::Timestamp;
use serde_json::{Value, json};

/// The pairs of a query, in order, decoded; a raw `+` is a blank.
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    raw: String,
}

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        let raw = uri.query().unwrap_or_default().to_owned();
        Self { pairs: url::form_urlencoded::parse(raw.as_bytes()).into_owned().collect(), raw }
    }

    /// The last value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// All values of a key, repeated or separated by commas.
    pub(super) fn all(&self, key: &str) -> Vec<&str> {
        let values = self.pairs.iter().filter(|(name, _)| name == key);
        values.flat_map(|(_, value)| value.split(',')).filter(|value| !value.is_empty()).collect()
    }

    /// Whether the value of a key was sent with a `+` as it is.
    pub(super) fn has_raw_plus(&self, key: &str) -> bool {
        let mut pairs = self.raw.split('&').filter_map(|pair| pair.split_once('='));
        pairs.any(|(name, value)| name == key && value.contains('+'))
    }

    /// A whole number within bounds, or what a validator says.
    pub(super) fn number(&self, key: &str, bounds: (i64, i64)) -> Result<Option<i64>, Value> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let wrong = |kind: &str, message: String| {
            let place = ["query", key];
            json!({"type": kind, "loc": place, "msg": message, "input": text})
        };
        let number = text.parse::<i64>().map_err(|_| {
            wrong(
                "int_parsing",
                "Input should be a valid integer, unable to parse string as an integer".to_owned(),
            )
        })?;
        if number < bounds.0 {
            let message = format!("Input should be greater than or equal to {}", bounds.0);
            return Err(wrong("greater_than_equal", message));
        }
        if number > bounds.1 {
            return Err(wrong(
                "less_than_equal",
                format!("Input should be less than or equal to {}", bounds.1),
            ));
        }
        Ok(Some(number))
    }

    /// A moment, or the text that is none.
    pub(super) fn moment(&self, key: &str) -> Result<Option<Timestamp>, String> {
        self.get(key).map(|text| text.parse().map_err(|_| text.to_owned())).transpose()
    }
}

/// What a validator says about a parameter that is not there.
pub(super) fn missing(key: &str) -> Value {
    json!({"type": "missing", "loc": ["query", key], "msg": "Field required", "input": null})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_checked() {
        let query = Query::of(
            &"/x?event_type=A,B&event_type=C&after=2026-07-15T10:53:24+00:00&limit=101&n=x"
                .parse()
                .expect("an address"),
        );
        assert_eq!(query.all("event_type"), ["A", "B", "C"]);
        assert!(query.has_raw_plus("after") && query.moment("after").is_err());
        assert_eq!(query.number("limit", (1, 101)), Ok(Some(101)));
        assert!(query.number("limit", (1, 100)).is_err() && query.number("n", (1, 2)).is_err());
        assert_eq!(query.number("page", (1, 2)), Ok(None));
        let query = Query::of(&"/x?after=2026-07-15T10:53:24%2B00:00".parse().expect("an address"));
        assert!(!query.has_raw_plus("after") && query.moment("after").is_ok());
    }
}
