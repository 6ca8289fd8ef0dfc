//! The API's routes: who may ask, and what is asked.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::Response;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::query::Query;
use super::state::State;
use super::{API_KEY, analytics, answer, download, listing, truth};
use crate::words::PrincipalKind;

/// Answers one request.
pub(super) async fn answer(Shared(state): Shared<Arc<State>>, request: Request<Body>) -> Response {
    let path = request.uri().path().to_owned();
    if request.method() != Method::GET {
        state.violate(format!("{} {path}: only GET is allowed", request.method()));
        return answer::with_header(
            answer::detail(StatusCode::METHOD_NOT_ALLOWED, &json!("Method Not Allowed")),
            header::ALLOW,
            "GET",
        );
    }
    let decoded: Vec<_> =
        path.split('/').skip(1).map(|part| percent_decode_str(part).decode_utf8_lossy()).collect();
    let parts: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
    match parts[..] {
        ["simulator", "truth"] => return as_json(&truth::of(&state)),
        ["simulator", "violations"] => return as_json(&state.violations()),
        ["simulator", "summary"] => return as_json(&truth::summary(&state)),
        ["simulator", "cases"] => return as_json(&state.shown()),
        _ => {}
    }
    if state.refuses_key() || !is_authorized(request.headers()) {
        return answer::error(StatusCode::UNAUTHORIZED, "Incorrect API key provided.");
    }
    let query = Query::of(request.uri());
    match parts[..] {
        ["v1", "compliance", kind, id, ref rest @ ..] => {
            let kind = match kind {
                "workspaces" => PrincipalKind::Workspace,
                "organizations" => PrincipalKind::Organization,
                _ => return not_found(),
            };
            if id != truth::principal(kind) {
                return forbidden();
            }
            match rest {
                ["logs"] => listing::answer(&state, kind, &query),
                ["logs", file] => download::answer(&state, kind, file, &query),
                ["max_event_time"] => listing::max_event_time(&state, kind, &query),
                _ => not_found(),
            }
        }
        ["v1", "analytics", "codex", "workspaces", id, report] => {
            if id == super::WORKSPACE {
                analytics::answer(&state, report, &query)
            } else {
                forbidden()
            }
        }
        _ => not_found(),
    }
}

fn as_json<T: serde::Serialize>(value: &T) -> Response {
    let value = serde_json::to_value(value).unwrap_or(Value::Null);
    answer::json(StatusCode::OK, &value)
}

fn is_authorized(headers: &HeaderMap) -> bool {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let key = value.and_then(|value| value.split_once(' '));
    key.is_some_and(|(scheme, key)| scheme.eq_ignore_ascii_case("bearer") && key.trim() == API_KEY)
}

fn forbidden() -> Response {
    answer::detail(StatusCode::FORBIDDEN, &json!("API key is not authorized for this principal"))
}

/// No such route.
pub(super) fn not_found() -> Response {
    answer::detail(StatusCode::NOT_FOUND, &json!("Not Found"))
}
