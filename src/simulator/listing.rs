//! Listings of log files, and the newest moment of each event type.

use axum::http::{StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::answer;
use super::catalogue::{File, end_time};
use super::chaos::{self, Case};
use super::query::{Query, missing};
use super::state::State;
use crate::digest::hex;
use crate::words::PrincipalKind;

/// The largest page.
const PAGE: i64 = 100;
/// Under chaos the API's clock is this far ahead, seconds.
const SKEW: i64 = 3600;

/// What a list request asks for.
struct Asked {
    /// Places of streams.
    streams: Vec<usize>,
    after: Timestamp,
    before: Option<Timestamp>,
    limit: usize,
}

/// Answers a list request.
pub(super) fn answer(state: &State, kind: PrincipalKind, query: &Query) -> Response {
    let asked = match read(state, kind, query) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let now = state.now();
    let fault = asked.streams.first().and_then(|stream| state.fault_of_listing(*stream));
    if let Some(response) = fault.and_then(|case| answer::fault(case, now)) {
        return response;
    }
    let response = match fault {
        Some(Case::UnsupportedType) => unsupported(state.catalogue.streams[asked.streams[0]].event_type),
        Some(Case::EmptyButMore) => page(&[], true, None),
        other => files(state, &asked, other, now),
    };
    if state.chaos {
        state.show(Case::ClockSkew);
        return answer::with_header(response, header::DATE, &answer::http_date(now + SKEW));
    }
    response
}

fn files(state: &State, asked: &Asked, fault: Option<Case>, now: i64) -> Response {
    // Small pages could not move on past a boundary that comes again.
    let inclusive = fault == Some(Case::InclusiveAfter) && asked.limit == 100;
    let mut found: Vec<&File> = Vec::new();
    for stream in &asked.streams {
        for place in &state.catalogue.streams[*stream].files {
            let file = &state.catalogue.files[*place];
            let end = Timestamp::from_second(file.end).unwrap_or(Timestamp::MAX);
            let later = end > asked.after || inclusive && end == asked.after;
            if later
                && asked.before.is_none_or(|before| end < before)
                && state.is_listed(*stream, *place, now)
            {
                found.push(file);
            }
        }
    }
    found.sort_by(|a, b| (a.end, &a.id).cmp(&(b.end, &b.id)));
    let more = found.len() > asked.limit;
    found.truncate(asked.limit);
    for case in found.iter().filter_map(|file| file.case).filter(|case| case.at() == chaos::At::Catalogue) {
        state.show(case);
    }
    let last = found.last().map(|file| file.end_time());
    match fault {
        Some(Case::MoreWithoutEnd) => return page(&found, true, None),
        Some(Case::MoreWithoutMoving) => {
            return page(&found, true, Some(&end_time(asked.after.as_second())));
        }
        _ => {}
    }
    if !more && asked.before.is_none() {
        asked.streams.iter().for_each(|stream| state.reached_end(*stream));
    }
    page(&found, more, last.as_deref())
}

fn page(files: &[&File], more: bool, last: Option<&str>) -> Response {
    let data: Vec<_> = files
        .iter()
        .map(|file| {
            let end_time = file.end_time();
            json!({
                "id": file.id,
                "event_type": file.event_type,
                "file_name": format!("{}_{end_time}.jsonl", file.event_type),
                "end_time": end_time,
                "file_size": file.size,
                "file_sha256": hex(&file.sha256),
            })
        })
        .collect();
    let body = json!({"object": "list", "data": data, "has_more": more, "last_end_time": last});
    answer::json(StatusCode::OK, &body)
}

fn read(state: &State, kind: PrincipalKind, query: &Query) -> Result<Asked, Box<Response>> {
    note_violations(state, query);
    let names = query.all("event_type");
    let mut problems = Vec::new();
    if names.is_empty() {
        problems.push(missing("event_type"));
    }
    if query.get("after").is_none() {
        problems.push(missing("after"));
    }
    let limit = query.number("limit", (1, PAGE)).unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    if !problems.is_empty() {
        return Err(Box::new(answer::invalid(problems)));
    }
    let streams = streams(state, kind, &names)?;
    let malformed = |text: String| {
        let message = format!("Invalid timestamp {text:?}: expected ISO 8601");
        Box::new(answer::error(StatusCode::BAD_REQUEST, &message))
    };
    let after = query.moment("after").map_err(malformed)?.unwrap_or(Timestamp::MIN);
    let before = query.moment("before").map_err(malformed)?;
    let limit = usize::try_from(limit.unwrap_or(PAGE)).unwrap_or(1);
    Ok(Asked { streams, after, before, limit })
}

fn note_violations(state: &State, query: &Query) {
    if query.all("event_type").len() > 1 {
        state.violate("list: more than one event_type in a request".to_owned());
    }
    if query.get("after").is_none() {
        state.violate("list: no after".to_owned());
    }
    for key in ["after", "before"] {
        if query.has_raw_plus(key) {
            state.violate(format!("list: {key} is not percent-encoded"));
        }
    }
    if query.get("limit").and_then(|limit| limit.parse::<i64>().ok()).is_some_and(|limit| limit > PAGE) {
        state.violate("list: limit is over 100".to_owned());
    }
}

/// Places of the named streams; 400 for a name that is not one of this principal.
fn streams(state: &State, kind: PrincipalKind, names: &[&str]) -> Result<Vec<usize>, Box<Response>> {
    let mut places = Vec::new();
    for name in names {
        let place = state.catalogue.streams.iter().position(|stream| stream.event_type == *name);
        let place = place.ok_or_else(|| Box::new(unsupported(name)))?;
        let owner = state.catalogue.streams[place].kind;
        if owner != kind {
            let of_organization = owner == PrincipalKind::Organization;
            let scope = if of_organization { "organization" } else { "workspace" };
            let route = format!("{scope}s");
            let message = format!("{name} is scoped to a {scope}. Use /v1/compliance/{route}/…/logs");
            return Err(Box::new(answer::error(StatusCode::BAD_REQUEST, &message)));
        }
        if !places.contains(&place) {
            places.push(place);
        }
    }
    Ok(places)
}

fn unsupported(name: &str) -> Response {
    answer::error(StatusCode::BAD_REQUEST, &format!("Invalid event_type {name}"))
}

/// Answers which moment the newest records of each event type have.
pub(super) fn max_event_time(state: &State, kind: PrincipalKind, query: &Query) -> Response {
    let names = query.all("event_type");
    if names.is_empty() {
        return answer::invalid(vec![missing("event_type")]);
    }
    let places = match streams(state, kind, &names) {
        Ok(places) => places,
        Err(response) => return *response,
    };
    let now = state.now();
    let mut newest = Map::new();
    for place in places {
        let stream = &state.catalogue.streams[place];
        let listed = stream.files.iter().rev().find(|file| state.is_listed(place, **file, now));
        let at = listed.and_then(|file| Timestamp::from_second(state.catalogue.files[*file].end).ok());
        let at = at.map_or(Value::Null, |at| Value::String(format!("{at:.6}")));
        newest.insert(stream.event_type.to_owned(), at);
    }
    answer::json(StatusCode::OK, &json!({ "max_event_time": newest }))
}
