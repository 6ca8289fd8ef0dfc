//! Which class of event a record becomes, and which activity of that class.
//!
//! A class is chosen only where the record has what it requires; everything else is a Base Event.

use super::Version;
use crate::format::mapping::{View, plain};
use crate::format::verbs::{Subject, Verb};
use crate::record::json;

/// A class with one of its activities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) kind: Kind,
    pub(super) uid: u16,
    pub(super) name: &'static str,
    pub(super) activity: u8,
    /// The schema's name of the activity; none for one that it does not know.
    pub(super) activity_name: Option<&'static str>,
    /// The role that was given or taken, a JSON token.
    pub(super) privilege: Option<String>,
}

/// Classes, by what they have attributes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Base,
    Finding,
    /// Account Change or User Management.
    User,
    Authentication,
    Entity,
    Access,
    Group,
    Api,
}

/// Longest name of a role.
const MAX_ROLE: usize = 256;
/// An activity that the class does not know.
const OTHER: u8 = 99;

impl Class {
    fn new(kind: Kind, uid: u16, name: &'static str, activity: (u8, Option<&'static str>)) -> Self {
        Self { kind, uid, name, activity: activity.0, activity_name: activity.1, privilege: None }
    }

    /// The category of the class.
    pub(super) fn category(&self) -> (u16, &'static str) {
        match self.uid / 1000 {
            0 => (0, "Uncategorized"),
            2 => (2, "Findings"),
            3 => (3, "Identity & Access Management"),
            _ => (6, "Application Activity"),
        }
    }

    /// Whether it tells where a request came from.
    pub(super) fn has_endpoint(&self) -> bool {
        !matches!(self.kind, Kind::Base | Kind::Finding)
    }

    /// Whether `user` is who was acted on.
    pub(super) fn has_target_user(&self) -> bool {
        matches!(self.kind, Kind::User | Kind::Access)
    }
}

/// For what is not known.
pub(super) fn base() -> Class {
    Class::new(Kind::Base, 0, "Base Event", (OTHER, None))
}

/// The class of a record.
pub(super) fn of(view: &View<'_>, version: Version) -> Class {
    let record = view.record;
    let found = match record.category {
        "prompt" | "response" | "tool" | "app" | "agent" | "conversation" => Some(api(view)),
        "auth" => view.user_id().or(view.user_email()).map(|_| login(view)),
        "finding" => record.target.id.map(|_| finding()),
        "admin" => Some(admin(view, version)),
        _ => None,
    };
    found.unwrap_or_else(base)
}

fn api(view: &View<'_>) -> Class {
    let read = view.verb == Verb::Read;
    let activity = if read { (2, Some("Read")) } else { (1, Some("Create")) };
    Class::new(Kind::Api, 6003, "API Activity", activity)
}

fn login(view: &View<'_>) -> Class {
    let action = view.action.to_ascii_lowercase();
    let activity = if action.contains("logout") {
        (2, Some("Logoff"))
    } else if action.contains("login") {
        (1, Some("Logon"))
    } else if action == "token_issued" {
        (3, Some("Authentication Ticket"))
    } else {
        (OTHER, None)
    };
    Class::new(Kind::Authentication, 3002, "Authentication", activity)
}

fn finding() -> Class {
    Class::new(Kind::Finding, 2004, "Detection Finding", (2, Some("Update")))
}

fn admin(view: &View<'_>, version: Version) -> Class {
    let verb = view.verb;
    if verb == Verb::Read {
        return api(view);
    }
    let target = &view.record.target;
    // The first id of an action may be that of the workspace it happened in.
    let own = target.id.and_then(plain) != Some(view.record.origin.principal.id.as_str());
    match view.subject {
        Subject::User if own && target.id.or(target.name).or(target.email).is_some() => {
            role(view, verb).unwrap_or_else(|| user(verb, version))
        }
        Subject::Group if own && target.id.or(target.name).is_some() => group(&view.action, verb),
        _ => entity(verb),
    }
}

fn entity(verb: Verb) -> Class {
    let activity = match verb {
        Verb::Create => (1, "Create"),
        Verb::Read => (2, "Read"),
        Verb::Update => (3, "Update"),
        Verb::Delete => (4, "Delete"),
        Verb::Enable => (8, "Enable"),
        Verb::Disable => (9, "Disable"),
    };
    Class::new(Kind::Entity, 3004, "Entity Management", (activity.0, Some(activity.1)))
}

fn user(verb: Verb, version: Version) -> Class {
    let (uid, name, numbers) = match version {
        Version::V1_8 => (3001, "Account Change", [1, 6, 2, 5]),
        Version::V1_9 => (3007, "User Management", [1, 3, 4, 5]),
    };
    let activity = match verb {
        Verb::Create => (numbers[0], Some("Create")),
        Verb::Delete => (numbers[1], Some("Delete")),
        Verb::Enable => (numbers[2], Some("Enable")),
        Verb::Disable => (numbers[3], Some("Disable")),
        Verb::Read | Verb::Update => (OTHER, None),
    };
    Class::new(Kind::User, uid, name, activity)
}

fn group(action: &str, verb: Verb) -> Class {
    let members = action.split('_').any(|word| word == "USER" || word == "USERS");
    let activity = match (verb, members) {
        (Verb::Create, true) => (3, Some("Add User")),
        (Verb::Delete, true) => (4, Some("Remove User")),
        (Verb::Delete, false) => (5, Some("Delete")),
        (Verb::Create, false) => (6, Some("Create")),
        _ => (OTHER, None),
    };
    Class::new(Kind::Group, 3006, "Group Management", activity)
}

/// A role that was given or taken, if the record says which.
fn role(view: &View<'_>, verb: Verb) -> Option<Class> {
    if !view.full || !view.action.split('_').any(|word| word == "ROLE" || word == "ROLES") {
        return None;
    }
    let mut rest = Vec::new();
    view.record.write_unmapped(&mut rest);
    let [data] = json::first(std::str::from_utf8(&rest).ok()?, ["action_data"])?;
    let named = json::first(data?, ["new_role", "role"])?.into_iter().flatten().next();
    let token = named.filter(|token| json::is_text(token) && token.len() <= MAX_ROLE)?;
    let activity =
        if verb == Verb::Delete { (2, Some("Revoke Privileges")) } else { (1, Some("Assign Privileges")) };
    let class = Class::new(Kind::Access, 3005, "User Access Management", activity);
    Some(Class { privilege: Some(token.to_owned()), ..class })
}
