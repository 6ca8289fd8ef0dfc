//! The wire: requests with token, channel and cookies, and their answers.
//!
//! Owns the token as it was last read. An error names neither it nor anything that was sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::RequestBuilder;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HOST, HeaderValue, RETRY_AFTER, SET_COOKIE,
};
use secrecy::ExposeSecret;

use super::client::{Client, endpoint};
use super::config::SplunkHecConfig;
use super::cookie::Jar;
use super::encode::is_packed;
use super::reply::retry_after;
use crate::limits;
use crate::net::{plain, shown};
use crate::recovery::Recovery;
use crate::sink::SinkError;

const EVENT: &str = "/services/collector/event";
const ACK: &str = "/services/collector/ack";
const HEALTH: &str = "/services/collector/health";
const CHANNEL: &str = "X-Splunk-Request-Channel";

/// An answer, read to its end or to its bound.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) cookies: Vec<HeaderValue>,
    pub(super) body: Vec<u8>,
}

/// The way to one collector.
pub(super) struct Link {
    config: Arc<SplunkHecConfig>,
    channel: String,
    client: Option<Client>,
    token: Option<HeaderValue>,
    jar: Jar,
}

impl Link {
    pub(super) fn new(config: Arc<SplunkHecConfig>, channel: String) -> Self {
        Self { config, channel, client: None, token: None, jar: Jar::default() }
    }

    /// A request that hands over a body.
    pub(super) fn events(&mut self, body: Bytes) -> Result<RequestBuilder, SinkError> {
        let mut request = self.request(reqwest::Method::POST, EVENT)?;
        if is_packed(&body) {
            request = request.header(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body))
    }

    /// A request that asks which ids are acknowledged.
    pub(super) fn question(&mut self, ids: &[u64]) -> Result<RequestBuilder, SinkError> {
        let body = serde_json::json!({ "acks": ids }).to_string();
        let request = self.request(reqwest::Method::POST, ACK)?;
        Ok(request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body))
    }

    /// A request that asks how the collector is.
    pub(super) fn health(&mut self) -> Result<RequestBuilder, SinkError> {
        self.request(reqwest::Method::GET, HEALTH)
    }

    /// Takes what an answer says for later requests.
    pub(super) fn learn(&mut self, answer: &Answer) {
        answer.cookies.iter().for_each(|cookie| self.jar.take(cookie));
    }

    /// Reads the token again; whether it is another one than was refused.
    pub(super) fn has_new_token(&mut self) -> Result<bool, SinkError> {
        let token = read_token(&self.config)?;
        let new = self.token.as_ref() != Some(&token);
        self.token = Some(token);
        Ok(new)
    }

    fn request(&mut self, method: reqwest::Method, path: &str) -> Result<RequestBuilder, SinkError> {
        let token = match &self.token {
            Some(token) => token.clone(),
            None => self.token.insert(read_token(&self.config)?).clone(),
        };
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(Client::new(&self.config)?),
        };
        let mut request = client
            .http(&self.config)
            .request(method, endpoint(&self.config, path))
            .header(AUTHORIZATION, token)
            .header(CHANNEL, &self.channel);
        if self.config.tls.server_name.is_some() {
            request = request.header(HOST, host(&self.config));
        }
        if let Some(cookies) = self.jar.header() {
            request = request.header(COOKIE, cookies);
        }
        Ok(request)
    }
}

/// Sends a request and reads its answer. Needs nothing of the link, so that it can outlive who asked.
pub(super) async fn exchange(request: RequestBuilder, to: String) -> Result<Answer, SinkError> {
    let trouble = |error| {
        SinkError::new(format!("cannot reach {to}: {}", plain(error)), Recovery::Retry { after: None })
    };
    let mut response = request.send().await.map_err(trouble)?;
    let headers = response.headers();
    let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(retry_after);
    let cookies = headers.get_all(SET_COOKIE).iter().take(limits::HEC_COOKIES).cloned().collect();
    let mut answer =
        Answer { status: response.status().as_u16(), retry_after: after, cookies, body: Vec::new() };
    while let Some(chunk) = response.chunk().await.map_err(trouble)? {
        let room = limits::HEC_REPLY_BYTES - answer.body.len();
        answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if answer.body.len() == limits::HEC_REPLY_BYTES {
            break;
        }
    }
    Ok(answer)
}

/// The collector for people.
pub(super) fn name(config: &SplunkHecConfig) -> String {
    shown(&config.url)
}

/// The host of the address, when the request's own carries another name.
fn host(config: &SplunkHecConfig) -> String {
    let host = config.url.host_str().unwrap_or_default();
    config.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn read_token(config: &SplunkHecConfig) -> Result<HeaderValue, SinkError> {
    let token = config
        .token
        .read()
        .map_err(|error| SinkError::new(error.problem, Recovery::Pause { hint: error.hint }))?;
    let header = HeaderValue::from_str(&format!("Splunk {}", token.expose_secret()));
    let mut header = header.map_err(|_| {
        let hint = "put the token of a HEC input there, and nothing else".into();
        SinkError::new(format!("{} is no token", config.token), Recovery::Pause { hint })
    })?;
    header.set_sensitive(true);
    Ok(header)
}
