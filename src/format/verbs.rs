//! What an action's words say: what was done, and to what kind of thing. Schemas sort events by it.
//!
//! Upstream's actions are an open set; a word that is not known here reads as a change.

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Read,
    Update,
    Delete,
    Enable,
    Disable,
}

/// What it was done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    User,
    Group,
    Other,
}

/// Words by what they mean; the last one of an action that is here decides, but reading goes by the first.
const WORDS: [(&str, Verb); 29] = [
    ("ACTIVATE", Verb::Enable),
    ("ADD", Verb::Create),
    ("ADDED", Verb::Create),
    ("CREATE", Verb::Create),
    ("CREATED", Verb::Create),
    ("DEACTIVATE", Verb::Disable),
    ("DELETE", Verb::Delete),
    ("DELETED", Verb::Delete),
    ("DISABLE", Verb::Disable),
    ("DISABLED", Verb::Disable),
    ("DOWNLOAD", Verb::Read),
    ("ENABLE", Verb::Enable),
    ("ENABLED", Verb::Enable),
    ("EXPORT", Verb::Read),
    ("GET", Verb::Read),
    ("INSTALLED", Verb::Create),
    ("INVITE", Verb::Create),
    ("INVITED", Verb::Create),
    ("LINK", Verb::Create),
    ("LIST", Verb::Read),
    ("READ", Verb::Read),
    ("REMOVE", Verb::Delete),
    ("REMOVED", Verb::Delete),
    ("REVOKE", Verb::Delete),
    ("REVOKED", Verb::Delete),
    ("UNINSTALLED", Verb::Delete),
    ("UNLINK", Verb::Delete),
    ("UNSHARE", Verb::Delete),
    ("VIEW", Verb::Read),
];

fn meaning(word: &str) -> Option<Verb> {
    let found = WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
    found.map(|(_, verb)| *verb)
}

/// What an action does.
pub(super) fn of(action: &str) -> Verb {
    let mut words = action.split('_').filter_map(meaning);
    match words.next() {
        None => Verb::Update,
        Some(Verb::Read) => Verb::Read,
        Some(first) => words.next_back().unwrap_or(first),
    }
}

/// What an action of the audit log is about.
pub(super) fn subject(action: &str, event_type: &str) -> Subject {
    if event_type != "AUDIT_LOG" && event_type != "ADMIN_AUDIT_LOG" {
        return Subject::Other;
    }
    let has = |sought: &str| action.split('_').any(|word| word.eq_ignore_ascii_case(sought));
    let starts = |start: &str| action.get(..start.len()).is_some_and(|a| a.eq_ignore_ascii_case(start));
    if has("GROUP") && !has("CHAT") && !has("CHATS") {
        Subject::Group
    } else if starts("USER_") || (starts("INVITE_") && !starts("INVITE_SET_")) {
        Subject::User
    } else {
        Subject::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_an_action_say_what_it_does() {
        for (action, verb) in [
            ("LIST_WORKSPACE_LOG_FILES", Verb::Read),
            ("FILE_DOWNLOAD", Verb::Read),
            ("MEMORY_READ", Verb::Read),
            ("GROUP_ADD_USERS", Verb::Create),
            ("CONVERSATION_MESSAGE_RATING_DELETE", Verb::Delete),
            ("INVITE_DELETE", Verb::Delete),
            ("ACCESS_TOKEN_REVOKED", Verb::Delete),
            ("unlink", Verb::Delete),
            ("APP_ACTIVATE", Verb::Enable),
            ("WORKSPACE_TOGGLE_FEATURE", Verb::Update),
            ("", Verb::Update),
        ] {
            assert_eq!(of(action), verb, "{action}");
        }
        assert_eq!(subject("ADD_WORKSPACE_DIRECTORY_GROUP_USER", "AUDIT_LOG"), Subject::Group);
        assert_eq!(subject("DELETE_PROJECT_GROUP_CHAT", "AUDIT_LOG"), Subject::Other);
        assert_eq!(subject("USER_DELETE", "AUDIT_LOG"), Subject::User);
        assert_eq!(subject("INVITE_SET_ALLOW_EXTERNAL_DOMAINS", "AUDIT_LOG"), Subject::Other);
        assert_eq!(subject("USER_DELETE", "CODEX_LOG"), Subject::Other);
    }
}
