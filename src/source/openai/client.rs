//! Requests of one principal: what is asked, what an answer means, which redirects are followed.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_ENCODING, LOCATION, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::download::{self, Encoding, Expected, Failed, Stored};
use super::error::{of_status, retry_after};
use super::key::authorization;
use super::{ApiError, ErrorKind, Key, Page};
use crate::clock::Clock;
use crate::disk::DiskFile;
use crate::limits;
use crate::net::{Request, Response, Transport, is_inside, is_loopback, shown};
use crate::record::OwnKey;
use crate::words::{Principal, PrincipalKind, printable};

/// The API of one principal.
#[derive(Debug)]
pub struct Client {
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    key: Arc<Key>,
    /// `…/compliance/workspaces/{id}/logs` or the same for an organization.
    logs: Url,
}

/// Makes the file a download goes to, empty.
pub type Create<'a> = &'a (dyn Fn() -> std::io::Result<Box<dyn DiskFile>> + Send + Sync);

impl Client {
    /// A client under `base`, which ends in the version, such as `https://api.chatgpt.com/v1`.
    pub fn new(
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        key: Arc<Key>,
        base: &Url,
        principal: &Principal,
    ) -> Self {
        let of_organization = principal.kind == PrincipalKind::Organization;
        let kind = if of_organization { "organizations" } else { "workspaces" };
        let logs = below(base, &["compliance", kind, &principal.id, "logs"]);
        Self { transport, clock, key, logs }
    }

    /// The recognisable part of the key in use: upstream's records show it when the request was ours.
    pub fn own_key(&self) -> Option<OwnKey> {
        self.key.own()
    }

    /// Whether the key was refused and is not to be tried now.
    pub fn is_refused(&self) -> bool {
        self.key.secret().is_err()
    }

    /// One page of at most `limit` files after, and before, a moment; both as text, sent verbatim.
    pub async fn list(
        &self,
        event_type: &str,
        after: &str,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page, ApiError> {
        let what = format!("listing {event_type}");
        let mut url = self.logs.clone();
        url.query_pairs_mut().append_pair("event_type", event_type).append_pair("after", after);
        if let Some(before) = before {
            url.query_pairs_mut().append_pair("before", before);
        }
        url.query_pairs_mut().append_pair("limit", &limit.to_string());
        let (response, key) = self.ask(&what, &url).await?;
        if response.status != 200 {
            return Err(self.failure(&what, response, &key).await);
        }
        let encoding = encoding(&response);
        let body = tokio::time::timeout(limits::PAGE_TIME, read(response, limits::PAGE_BYTES)).await;
        let body = body
            .map_err(|_| ApiError::new(ErrorKind::Network, format!("{what}: the answer came too slowly")))?;
        let body = body?.ok_or_else(|| {
            ApiError::new(ErrorKind::Protocol, format!("{what}: the answer is larger than any page"))
        })?;
        let body = download::decode(&body, encoding, limits::PAGE_BYTES);
        body.and_then(|body| Page::read(&body)).ok_or_else(|| {
            ApiError::new(ErrorKind::Protocol, format!("{what}: the answer is no page of log files"))
        })
    }

    /// Downloads a log file of at most `most` bytes into the file that `create` makes; checks it against
    /// what was `expected`.
    pub async fn fetch(
        &self,
        file_id: &str,
        expected: Expected,
        most: u64,
        create: Create<'_>,
    ) -> Result<(Stored, Box<dyn DiskFile>), ApiError> {
        let (mut decode, mut attempt) = (true, 0);
        loop {
            attempt += 1;
            let Some(response) = self.open(file_id, attempt == limits::SIGNED_TRIES).await? else { continue };
            let encoding = if decode { encoding(&response) } else { Encoding::Identity };
            let file = create().map_err(|error| {
                ApiError::new(ErrorKind::Disk, format!("the spool cannot be written: {error}"))
            })?;
            match download::store(response.body, encoding, file, expected, most).await {
                // The listed hash may be that of the bytes as they travelled.
                Err(Failed::Mismatch(_))
                    if encoding != Encoding::Identity && attempt < limits::SIGNED_TRIES =>
                {
                    decode = false;
                }
                Err(failed) => return Err(failed.into()),
                Ok(stored) => return Ok(stored),
            }
        }
    }

    /// The bytes of a file, still to be read; `None` when a signed address was refused and a fresh one
    /// may help.
    async fn open(&self, file_id: &str, last: bool) -> Result<Option<Response>, ApiError> {
        let what = format!("downloading {}", printable(file_id));
        let mut url = below(&self.logs, &[file_id]);
        for _ in 0..=limits::REDIRECTS {
            let own = url.origin() == self.logs.origin();
            let (response, key) = if own {
                self.ask(&what, &url).await?
            } else {
                let request = Request { url: url.clone(), authorization: None };
                (self.transport.get(request).await?, SecretString::default())
            };
            match response.status {
                200 => return Ok(Some(response)),
                301 | 302 | 303 | 307 | 308 => url = self.next(&what, &url, &response)?,
                403 | 404 | 410 if !own && !last => return Ok(None),
                status if own => return Err(self.refusal(&what, status, response, &key).await),
                status => {
                    // No word about this file or key: only the signed address was refused.
                    let message = format!("{what}: {} answered {status}", shown(&url));
                    let kind = if status == 429 { ErrorKind::Limited } else { ErrorKind::Status };
                    return Err(ApiError {
                        after: self.wait_asked(&response),
                        ..ApiError::new(kind, message)
                    });
                }
            }
        }
        Err(ApiError::new(ErrorKind::Protocol, format!("{what}: more than {} redirects", limits::REDIRECTS)))
    }

    /// An answer of the API's own host to a download; 400 speaks of the id there, not of the stream.
    async fn refusal(&self, what: &str, status: u16, response: Response, key: &SecretString) -> ApiError {
        let mut error = self.failure(what, response, key).await;
        if status == 400 {
            error.kind = ErrorKind::Status;
        }
        error
    }

    /// Where a redirect leads, if one may go there.
    fn next(&self, what: &str, from: &Url, response: &Response) -> Result<Url, ApiError> {
        let wrong = |problem: &str| ApiError::new(ErrorKind::Protocol, format!("{what}: {problem}"));
        let location = response.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| wrong("a redirect without a location"))?;
        let next = from.join(location).map_err(|_| wrong("a redirect to no address"))?;
        let at_home = is_loopback(&self.logs);
        match next.scheme() {
            "https" if !is_inside(&next) || next.host() == self.logs.host() => Ok(next),
            "https" | "http" if is_loopback(&next) && at_home => Ok(next),
            "https" => Err(wrong("a redirect to an address inside, refused")),
            _ => Err(wrong("a redirect to an address that is not https, refused")),
        }
    }

    /// One request to the API itself, in its turn, with the key; a changed key is tried at once.
    ///
    /// Answers the key that was sent too: a body may show it, and must not be told with it.
    async fn ask(&self, what: &str, url: &Url) -> Result<(Response, SecretString), ApiError> {
        loop {
            self.key.secret()?;
            if !self.key.rate.turn(self.key.patience).await {
                let message = format!("{what}: the provider asked for a long pause of this key");
                return Err(ApiError::new(ErrorKind::Limited, message));
            }
            let secret = self.key.secret()?;
            let request = Request { url: url.clone(), authorization: Some(authorization(&secret)?) };
            let response = self.transport.get(request).await.map_err(|error| {
                ApiError::new(ErrorKind::Network, format!("{what}: {}: {error}", shown(url)))
            })?;
            match response.status {
                401 if self.key.refused(&secret) => {}
                401 => return Ok((response, secret)),
                429 => {
                    let wait = self.wait_asked(&response).unwrap_or(limits::RATE_PAUSE);
                    self.key.rate.pause(wait);
                    return Ok((response, secret));
                }
                _ => {
                    self.key.accepted();
                    return Ok((response, secret));
                }
            }
        }
    }

    fn wait_asked(&self, response: &Response) -> Option<std::time::Duration> {
        let value = response.headers.get(RETRY_AFTER)?.to_str().ok()?;
        retry_after(value, self.clock.now())
    }

    async fn failure(&self, what: &str, response: Response, key: &SecretString) -> ApiError {
        let (status, after) = (response.status, self.wait_asked(&response));
        let body = tokio::time::timeout(limits::ERROR_TIME, read_some(response, limits::ERROR_BODY_BYTES));
        let body = body.await.unwrap_or_default();
        ApiError { after, ..of_status(what, status, &body, key.expose_secret()) }
    }
}

/// What stands in a path as it is: the characters that RFC 3986 calls unreserved.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `base` with more segments, each percent-encoded; none of them is `.` or `..`, which no path can hold.
fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    let mut path = base.path().trim_end_matches('/').to_owned();
    for segment in segments {
        path.push('/');
        path.extend(utf8_percent_encode(segment, SEGMENT));
    }
    url.set_path(&path);
    url
}

fn encoding(response: &Response) -> Encoding {
    let value =
        response.headers.get(CONTENT_ENCODING).map_or("identity", |value| value.to_str().unwrap_or("?"));
    match value.trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Encoding::Gzip,
        "zstd" => Encoding::Zstd,
        // What the listed hash says decides: perhaps the name is wrong and the bytes are right.
        _ => Encoding::Identity,
    }
}

/// The whole body; `None` when it is longer than `most`.
async fn read(mut response: Response, most: usize) -> Result<Option<Vec<u8>>, ApiError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.body.next().await {
        let chunk: Bytes = chunk?;
        if body.len() + chunk.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// The beginning of a body; what cannot be read does not matter.
async fn read_some(mut response: Response, most: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = response.body.next().await {
        body.extend_from_slice(&chunk[..chunk.len().min(most - body.len())]);
        if body.len() == most {
            break;
        }
    }
    body
}
