//! Answers, in the several shapes in which such services say no.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};

use super::chaos::Case;

/// A body of some type.
pub(super) fn text(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// JSON.
pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    text(status, "application/json", body.to_string())
}

/// `{"error":{"message":…}}`.
pub(super) fn error(status: StatusCode, message: &str) -> Response {
    let body =
        json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}});
    json(status, &body)
}

/// `{"detail":…}`.
pub(super) fn detail(status: StatusCode, detail: &Value) -> Response {
    json(status, &json!({ "detail": detail }))
}

/// What a validator answers.
pub(super) fn invalid(problems: Vec<Value>) -> Response {
    detail(StatusCode::UNPROCESSABLE_ENTITY, &Value::Array(problems))
}

/// What the signed host answers.
pub(super) fn xml(status: StatusCode, code: &str, message: &str) -> Response {
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    text(status, "application/xml", body)
}

/// Text that is a header's value, if it may be one.
pub(super) fn with_header(mut response: Response, name: header::HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// A date as HTTP writes it.
pub(super) fn http_date(second: i64) -> String {
    let at = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
    DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap_or_default()
}

/// The answer of a fault that may meet any request.
pub(super) fn fault(case: Case, now: i64) -> Option<Response> {
    let limited = || error(StatusCode::TOO_MANY_REQUESTS, "Rate limit reached. Please slow down.");
    let page = |status: StatusCode| {
        let body =
            format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n");
        text(status, "text/html; charset=utf-8", body)
    };
    Some(match case {
        Case::LimitedSeconds => with_header(limited(), header::RETRY_AFTER, "2"),
        Case::LimitedDate => with_header(limited(), header::RETRY_AFTER, &http_date(now + 2)),
        Case::LimitedBare => limited(),
        Case::Html500 => page(StatusCode::INTERNAL_SERVER_ERROR),
        Case::Html502 => page(StatusCode::BAD_GATEWAY),
        Case::DeniedStream => {
            detail(StatusCode::FORBIDDEN, &json!("API key is not authorized for this event type"))
        }
        Case::Invalid422 => invalid(vec![super::query::missing("after")]),
        Case::MissingOnce | Case::Gone404 => missing(),
        Case::Gone410 => json(StatusCode::GONE, &json!({"message": "This log file is no longer available"})),
        _ => return None,
    })
}

/// No such file.
pub(super) fn missing() -> Response {
    json(StatusCode::NOT_FOUND, &json!({"message": "Log file not found"}))
}
