//! Where an event belongs in ECS: kind, categories and types, which searches and detection rules go by.
//!
//! Each type is one that ECS expects of the category beside it.

use crate::format::mapping::View;
use crate::format::verbs::{Subject, Verb};
use crate::record::reader::Shape;

/// `event.kind`.
pub(super) fn kind(view: &View<'_>) -> &'static str {
    match view.record.raw.shape {
        Shape::Malformed => "pipeline_error",
        _ if view.record.category == "malformed" => "pipeline_error",
        _ if view.record.category == "usage" => "metric",
        _ => "event",
    }
}

/// `event.category` with `event.type`; nothing for what is not known.
pub(super) fn of(view: &View<'_>) -> Option<(&'static str, &'static [&'static str])> {
    match view.record.category {
        "prompt" | "response" | "tool" | "app" | "agent" | "conversation" | "usage" => {
            Some(("api", if view.verb == Verb::Read { &["access"] } else { &["info"] }))
        }
        "auth" => Some(("authentication", login(&view.action.to_ascii_lowercase()))),
        "finding" => Some(("vulnerability", &["info"])),
        "admin" => Some(admin(view)),
        _ => None,
    }
}

fn login(action: &str) -> &'static [&'static str] {
    if action.contains("logout") {
        &["end"]
    } else if action.contains("login") {
        &["start"]
    } else {
        &["info"]
    }
}

fn admin(view: &View<'_>) -> (&'static str, &'static [&'static str]) {
    let verb = view.verb;
    if verb == Verb::Read {
        return ("api", &["access"]);
    }
    match (view.subject, verb) {
        (Subject::User, Verb::Create) => ("iam", &["user", "creation"]),
        (Subject::User, Verb::Delete) => ("iam", &["user", "deletion"]),
        (Subject::User, _) => ("iam", &["user", "change"]),
        (Subject::Group, Verb::Create) => ("iam", &["group", "creation"]),
        (Subject::Group, Verb::Delete) => ("iam", &["group", "deletion"]),
        (Subject::Group, _) => ("iam", &["group", "change"]),
        (Subject::Other, Verb::Create) => ("configuration", &["creation"]),
        (Subject::Other, Verb::Delete) => ("configuration", &["deletion"]),
        (Subject::Other, _) => ("configuration", &["change"]),
    }
}
