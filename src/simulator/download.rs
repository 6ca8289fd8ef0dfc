//! The API's half of a download: an address that is good for a minute.

use axum::http::{StatusCode, header};
use axum::response::Response;

use super::answer;
use super::catalogue::RETENTION;
use super::chaos::{At, Case, UNSUPPORTED};
use super::query::Query;
use super::state::State;
use super::truth::principal;
use crate::words::PrincipalKind;

/// A signed address is good for this long, seconds.
const GOOD_FOR: i64 = 60;

/// Answers a request for a log file.
pub(super) fn answer(state: &State, kind: PrincipalKind, id: &str, query: &Query) -> Response {
    let digits = id.strip_prefix("eclf_").unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return answer::error(StatusCode::BAD_REQUEST, "Malformed log_file_id");
    }
    let now = state.now();
    let file = state.catalogue.find(id).map(|place| (place, &state.catalogue.files[place]));
    let kept = file.filter(|(_, file)| file.kind == kind && file.end <= now && file.end > now - RETENTION);
    let Some((place, file)) = kept else { return answer::missing() };
    if state.chaos && file.event_type == UNSUPPORTED {
        return answer::error(StatusCode::BAD_REQUEST, &format!("Invalid event_type {UNSUPPORTED}"));
    }
    if let Some(case) = file.case.filter(|case| state.chaos && case.at() == At::Download) {
        let again = format!("/v1/compliance/{}/{}/logs/{id}?loop=1", route(kind), principal(kind));
        if case == Case::RedirectLoop && query.get("loop").is_some() {
            return redirect(Some(&again));
        }
        let number = state.count_download(place);
        if let Some(response) = fault(state, case, id, number, &again) {
            state.show(case);
            return response;
        }
    }
    redirect(Some(&signed(state, id, now + GOOD_FOR)))
}

/// What a case does at the `number`th request for its file.
fn fault(state: &State, case: Case, id: &str, number: u32, again: &str) -> Option<Response> {
    let times = match case {
        Case::Gone404 | Case::Gone410 => u32::MAX,
        Case::Html500 => 2,
        _ => 1,
    };
    if number > times {
        return None;
    }
    match case {
        Case::PlainLocation => Some(redirect(Some("http://files.example.com/files/plain?sig=0&expires=0"))),
        Case::NoLocation => Some(redirect(None)),
        Case::RedirectLoop => Some(redirect(Some(again))),
        Case::SignedExpired => Some(redirect(Some(&signed(state, id, state.now() - 1)))),
        case => answer::fault(case, state.now()),
    }
}

fn route(kind: PrincipalKind) -> &'static str {
    if kind == PrincipalKind::Organization { "organizations" } else { "workspaces" }
}

fn signed(state: &State, id: &str, expires: i64) -> String {
    format!("http://{}/files/{id}?sig={}&expires={expires}", state.files, state.signature(id, expires))
}

fn redirect(location: Option<&str>) -> Response {
    let response = answer::text(StatusCode::TEMPORARY_REDIRECT, "text/plain", "");
    match location {
        Some(location) => answer::with_header(response, header::LOCATION, location),
        None => response,
    }
}
