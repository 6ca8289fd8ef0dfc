//! From a request to its answer: what there is, and the headers that every answer has.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use tracing::warn;

use super::admit::{Refusal, admit};
use super::picture::Picture;
use super::{Site, view};
use crate::collect::Progress;
use crate::health::{Liveness, liveness, readiness};
use crate::ledger::{LedgerError, Viewer};
use crate::metrics::{self, Scrape};
use crate::status::Status;

type Answer = Response<Full<Bytes>>;

const STYLE: &str = include_str!("style.css");
const ICON: &str = include_str!("icon.svg");

/// What a browser may do with an answer: show it, with our own style, and nothing else.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Between two loads of a page that reloads, seconds; only who asks for it gets it.
const RELOAD: &str = "30";

impl Site {
    pub(super) async fn answer<B>(&self, request: &Request<B>) -> Answer {
        let head = matches!(*request.method(), Method::GET | Method::HEAD);
        if !head {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        if let Err(refused) = self.admitted(request).await {
            return refused;
        }
        match request.uri().path() {
            "/" => self.page(request.uri().query() == Some("reload")).await,
            "/metrics" => self.metrics().await,
            "/healthz" => self.healthz().await,
            "/readyz" => self.readyz().await,
            "/style.css" => made(StatusCode::OK, "text/css; charset=utf-8", STYLE),
            "/icon.svg" => made(StatusCode::OK, "image/svg+xml", ICON),
            _ => text(StatusCode::NOT_FOUND, "there is /, /metrics, /healthz and /readyz\n"),
        }
    }

    /// The token is read for each request: a new one holds at once, and none is kept here.
    async fn admitted<B>(&self, request: &Request<B>) -> Result<(), Answer> {
        let token = match self.token.clone() {
            None => None,
            Some(place) => match tokio::task::spawn_blocking(move || place.read()).await {
                Ok(Ok(token)) => Some(token),
                Ok(Err(error)) => {
                    warn!(%error, "the token of [http] cannot be read: nobody is let in");
                    return Err(text(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "the token cannot be read: see the log\n",
                    ));
                }
                Err(_) => return Err(text(StatusCode::INTERNAL_SERVER_ERROR, "the token cannot be read\n")),
            },
        };
        admit(request, token.as_ref()).map_err(|refusal| {
            let mut answer = text(refusal.status(), refusal.text());
            if refusal == Refusal::Token {
                let value = HeaderValue::from_static("Basic realm=\"custodex\", charset=\"UTF-8\"");
                answer.headers_mut().append(header::WWW_AUTHENTICATE, value);
                let value = HeaderValue::from_static("Bearer realm=\"custodex\"");
                answer.headers_mut().append(header::WWW_AUTHENTICATE, value);
            }
            answer
        })
    }

    /// Looks at the ledger beside its thread.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Viewer) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, Answer> {
        let unreadable = |problem: String| text(StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n"));
        let reader = self.readers.clone().acquire_owned().await;
        let ledger = self.shared.ledger.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let _reader = reader;
            look(&ledger.viewer()?)
        });
        match looked.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(unreadable(error.to_string())),
            Err(_) => Err(unreadable("the ledger could not be looked at: see the log".to_owned())),
        }
    }

    async fn status(&self) -> Result<Status, Answer> {
        let (now, most) = (self.shared.ground.clock.now(), self.shared.spool_max_bytes);
        self.look(move |viewer| Status::view(viewer, now, true, most)).await
    }

    async fn page(&self, reload: bool) -> Answer {
        let (now, most) = (self.shared.ground.clock.now(), self.shared.spool_max_bytes);
        let picture = match self.look(move |viewer| Picture::take(viewer, now, most)).await {
            Ok(picture) => picture,
            Err(answer) => return answer,
        };
        let stuck = self.shared.vitals.pulses.stuck();
        let shown = view::page(&picture, &self.instance, &stuck, reload);
        let mut answer = made(StatusCode::OK, HTML, shown);
        if reload {
            answer.headers_mut().insert(header::REFRESH, HeaderValue::from_static(RELOAD));
        }
        answer
    }

    async fn metrics(&self) -> Answer {
        let status = match self.status().await {
            Ok(status) => status,
            Err(answer) => return answer,
        };
        let Liveness { stuck, .. } = liveness(&self.shared).await;
        let readiness = readiness(&status, &stuck);
        let scrape = Scrape {
            status: &status,
            now: self.shared.ground.clock.now(),
            started: self.started,
            spool_max_bytes: self.shared.spool_max_bytes,
            progress_bytes: Progress::get(&self.shared.progress.bytes),
            vitals: &self.shared.vitals,
            stuck: &stuck,
            readiness: &readiness,
        };
        made(StatusCode::OK, metrics::CONTENT_TYPE, metrics::render(&scrape))
    }

    async fn healthz(&self) -> Answer {
        let liveness = liveness(&self.shared).await;
        json(liveness.alive, &liveness)
    }

    async fn readyz(&self) -> Answer {
        let Liveness { stuck, .. } = liveness(&self.shared).await;
        match self.status().await {
            Ok(status) => {
                let readiness = readiness(&status, &stuck);
                json(readiness.ready, &readiness)
            }
            Err(answer) => answer,
        }
    }
}

fn json(well: bool, what: &impl Serialize) -> Answer {
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match serde_json::to_string(what) {
        Ok(text) => made(status, "application/json", format!("{text}\n")),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "this cannot be told\n"),
    }
}

fn text(status: StatusCode, words: impl Into<Bytes>) -> Answer {
    made(status, PLAIN, words)
}

fn made(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}
