//! The host that signed addresses lead to.
//!
//! Refuses whoever sends it a credential of the API, and counts that. A file's bytes are made for each
//! request and handed on in pieces.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;

use super::answer;
use super::chaos::{At, Case};
use super::query::Query;
use super::state::State;

/// Bytes of one piece.
const PIECE: usize = 64 * 1024;
/// A stalled body ends after this time.
const STALL: Duration = Duration::from_secs(3);

/// How a body ends before it should.
#[derive(Clone, Copy)]
enum End {
    Whole,
    Broken,
    Stalled,
}

/// Answers one request.
pub(super) async fn answer(Shared(state): Shared<Arc<State>>, request: Request<Body>) -> Response {
    for name in [header::AUTHORIZATION, header::COOKIE] {
        if request.headers().contains_key(&name) {
            state.leaked();
            state.violate(format!("signed host: {name} was sent"));
            return answer::xml(StatusCode::BAD_REQUEST, "InvalidArgument", "one credential only");
        }
    }
    if request.method() != Method::GET {
        state.violate(format!("signed host: {} was sent, only GET is allowed", request.method()));
        return answer::xml(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "only GET is allowed");
    }
    let id = request.uri().path().strip_prefix("/files/").unwrap_or_default();
    let Some(place) = state.catalogue.find(id) else {
        return answer::xml(StatusCode::NOT_FOUND, "BlobNotFound", "there is no such file");
    };
    if !is_good(&state, id, &Query::of(request.uri())) {
        return answer::xml(StatusCode::FORBIDDEN, "AuthenticationFailed", "signature wrong or expired");
    }
    let case = state.catalogue.files[place].case.filter(|case| state.chaos && case.at() == At::Signed);
    // Which tries meet a fault: the first; only a compressed file stays what it is.
    let first = case.is_some() && state.count_signed(place) == 1;
    let case = case.filter(|case| first || *case == Case::Gzip);
    case.inspect(|case| {
        state.show(*case);
    });
    if case == Some(Case::SignedRefused) {
        return answer::xml(StatusCode::FORBIDDEN, "AuthenticationFailed", "the signature was revoked");
    }
    file(state, place, case).await
}

fn is_good(state: &State, id: &str, query: &Query) -> bool {
    let expires = query.get("expires").and_then(|text| text.parse::<i64>().ok());
    expires.is_some_and(|expires| {
        expires > state.now() && query.get("sig") == Some(state.signature(id, expires).as_str())
    })
}

async fn file(state: Arc<State>, place: usize, case: Option<Case>) -> Response {
    let Ok(_permit) = state.makers.acquire().await else { return broken() };
    let making = state.clone();
    let made = tokio::task::spawn_blocking(move || {
        making.catalogue.files[place].bytes().and_then(|bytes| edit(bytes, case))
    });
    let Ok(Ok(bytes)) = made.await else { return broken() };
    if state.chaos
        && let Some(case) = state.catalogue.files[place].case.filter(|case| case.at() == At::Bytes)
    {
        state.show(case);
    }
    let (length, end) = match case {
        Some(Case::Truncated) => (bytes.len() / 2, End::Broken),
        Some(Case::Stalled) => (bytes.len() / 2, End::Stalled),
        _ => (bytes.len(), End::Whole),
    };
    let declared = bytes.len().to_string();
    state.serve(length as u64);
    let response = answer::text(StatusCode::OK, "application/octet-stream", body(bytes, length, end));
    let response = answer::with_header(response, header::CONTENT_LENGTH, &declared);
    if case == Some(Case::Gzip) {
        return answer::with_header(response, header::CONTENT_ENCODING, "gzip");
    }
    response
}

/// Changes what the listed hash or size speaks of, or compresses it.
fn edit(mut bytes: Vec<u8>, case: Option<Case>) -> io::Result<Vec<u8>> {
    let middle = bytes.len() / 2;
    match case {
        Some(Case::WrongHash) => bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 1),
        Some(Case::WrongSize) => bytes.truncate(bytes.len().saturating_sub(7)),
        Some(Case::Gzip) => {
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            packed.write_all(&bytes)?;
            return packed.finish();
        }
        _ => {}
    }
    Ok(bytes)
}

/// The first `length` bytes in pieces, and then the `end`.
fn body(bytes: Vec<u8>, length: usize, end: End) -> Body {
    let mut bytes = Bytes::from(bytes);
    bytes.truncate(length);
    Body::from_stream(stream::unfold((bytes, false), move |(mut rest, over)| async move {
        if over {
            return None;
        }
        if !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(PIECE));
            return Some((Ok(piece), (rest, false)));
        }
        match end {
            End::Whole => return None,
            // What was sent should arrive before the connection ends.
            End::Broken => tokio::time::sleep(Duration::from_millis(20)).await,
            End::Stalled => tokio::time::sleep(STALL).await,
        }
        // Fewer bytes than were declared: the connection is closed.
        Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), (rest, true)))
    }))
}

fn broken() -> Response {
    answer::xml(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "the file could not be read")
}
