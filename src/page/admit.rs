//! Who may look: the token, and where there is none, a name of this machine.
//!
//! Without a token only this machine can connect, but a page from elsewhere, open in a browser here, may have
//! made its own name lead here: so the name that was asked for must be one of this machine. With a token such
//! a page has nothing to show. Tokens are compared in a time that tells nothing about them.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Request, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use crate::digest::sha256;

/// Why somebody may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The name is none of this machine.
    Name,
    /// No token, or not this one.
    Token,
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Name => StatusCode::MISDIRECTED_REQUEST,
            Self::Token => StatusCode::UNAUTHORIZED,
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Name => {
                "this page is asked for as 127.0.0.1, [::1] or localhost; for other names set `token` in [http]\n"
            }
            Self::Token => {
                "show the token of [http]: Authorization: Bearer TOKEN, or as the password of any user\n"
            }
        }
    }
}

/// Whether a request is answered.
pub(super) fn admit<B>(request: &Request<B>, token: Option<&SecretString>) -> Result<(), Refusal> {
    let headers = request.headers();
    if let Some(token) = token {
        return shown(headers).filter(|shown| same(shown, token)).map(drop).ok_or(Refusal::Token);
    }
    let asked = request.uri().authority().is_none_or(is_here);
    let named = only(headers, &HOST).and_then(|name| name.to_str().ok()?.parse().ok());
    if asked && named.as_ref().is_some_and(is_here) { Ok(()) } else { Err(Refusal::Name) }
}

/// A header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &hyper::header::HeaderName) -> Option<&'a HeaderValue> {
    let mut all = headers.get_all(name).iter();
    all.next().filter(|_| all.next().is_none())
}

/// Whatever the port: it is another one where a tunnel leads here.
fn is_here(name: &Authority) -> bool {
    let host = name.host();
    let ip = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let loopback = ip.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    !name.as_str().contains('@') && (loopback || host.eq_ignore_ascii_case("localhost"))
}

/// The token of a request: as a bearer's, or as a password.
fn shown(headers: &HeaderMap) -> Option<SecretString> {
    let (scheme, value) = only(headers, &AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.into());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = SecretString::from(String::from_utf8(STANDARD.decode(value).ok()?).ok()?);
    let (_, password) = decoded.expose_secret().split_once(':')?;
    Some(password.into())
}

fn same(shown: &SecretString, token: &SecretString) -> bool {
    let hash = |secret: &SecretString| sha256(secret.expose_secret().as_bytes());
    verify_slices_are_equal(&hash(shown), &hash(token)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let request =
            headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap()
    }

    #[test]
    fn without_a_token_only_names_of_this_machine_are_answered() {
        for name in
            ["localhost", "LOCALHOST:9464", "127.0.0.1:9464", "127.9.9.9", "[::1]:9464", "[::ffff:127.0.0.1]"]
        {
            assert_eq!(admit(&request("/", &[("host", name)]), None), Ok(()), "{name}");
        }
        let names = [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
            "a@localhost",
            "::1",
        ];
        for name in names {
            assert_eq!(admit(&request("/", &[("host", name)]), None), Err(Refusal::Name), "{name}");
        }
        assert_eq!(admit(&request("/", &[]), None), Err(Refusal::Name));
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(admit(&request("/", &two), None), Err(Refusal::Name));
        let absolute = request("http://evil.example/", &[("host", "localhost")]);
        assert_eq!(admit(&absolute, None), Err(Refusal::Name));
    }

    #[test]
    fn the_token_comes_as_bearer_or_password() {
        let token = SecretString::from("0123456789abcdef");
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let answer = |value: &str| admit(&request("/", &[("authorization", value)]), Some(&token));
        let right = [
            "Bearer 0123456789abcdef".to_owned(),
            "bearer  0123456789abcdef".to_owned(),
            basic(":0123456789abcdef"),
            basic("anybody:0123456789abcdef"),
        ];
        for value in right {
            assert_eq!(answer(&value), Ok(()), "{value}");
        }
        let wrong = [
            String::new(),
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            "Bearer 0123456789abcde".to_owned(),
            "Bearer 0123456789abcdef0".to_owned(),
            "Token 0123456789abcdef".to_owned(),
            basic("0123456789abcdef:"),
            basic("0123456789abcdef"),
            "Basic ?".to_owned(),
        ];
        for value in wrong {
            assert_eq!(answer(&value), Err(Refusal::Token), "{value}");
        }
        let named =
            request("/", &[("host", "custodex.example"), ("authorization", "Bearer 0123456789abcdef")]);
        assert_eq!(admit(&named, Some(&token)), Ok(()), "with a token the name does not matter");
        assert_eq!(admit(&request("/", &[("host", "localhost")]), Some(&token)), Err(Refusal::Token));
    }
}
