//! Cookies of a balancer: an acknowledgement is known only to the indexer that took the events.
//!
//! All requests go to one origin, so a cookie is a name and a value; it lives as long as the process.

use reqwest::header::HeaderValue;

use crate::limits;

/// The cookies to send.
#[derive(Debug, Default)]
pub(super) struct Jar(Vec<(String, String)>);

impl Jar {
    /// Takes what a `Set-Cookie` header says.
    pub(super) fn take(&mut self, header: &HeaderValue) {
        let Ok(text) = header.to_str() else { return };
        let mut parts = text.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let over = parts.any(|part| {
            let lower = part.to_ascii_lowercase();
            lower.strip_prefix("max-age=").is_some_and(|age| age.starts_with(['0', '-']))
        });
        self.0.retain(|(known, _)| known != name);
        let fits = self.0.len() < limits::HEC_COOKIES && text.len() <= limits::HEC_COOKIE_BYTES;
        if !over && fits && !name.is_empty() {
            self.0.push((name.to_owned(), value.to_owned()));
        }
    }

    /// The `Cookie` header, if there is anything to say.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut header = HeaderValue::from_str(&pairs.join("; ")).ok().filter(|_| !pairs.is_empty())?;
        header.set_sensitive(true);
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_value_counts_until_it_is_taken_back() {
        let mut jar = Jar::default();
        let mut take = |text| jar.take(&HeaderValue::from_static(text));
        take("AWSALB=a; Path=/; Expires=Wed, 25 Nov 2026 00:00:00 GMT");
        take("other=1; Max-Age=60; Secure");
        take("AWSALB=b==; Path=/");
        take("nonsense");
        assert_eq!(jar.header().unwrap(), "other=1; AWSALB=b==");
        jar.take(&HeaderValue::from_static("other=; Max-Age=0"));
        jar.take(&HeaderValue::from_static("AWSALB=; max-age=-1"));
        assert_eq!(jar.header(), None);
    }
}
