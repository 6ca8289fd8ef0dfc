//! Who acts on the daemon, as the audit trail tells it: the user the system names, and who stands behind `sudo`.

use crate::ledger::Actor;
use crate::secret::{environment, read_text};
use crate::words::printable;

/// Names of users.
const USERS: &str = "/etc/passwd";
/// No list of users is larger; where it is, they are shown by number.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// The user of this process.
pub(super) fn here() -> Actor {
    user(rustix::process::geteuid().as_raw(), on_behalf_of())
}

/// A user by number; `on_behalf_of` is their own word.
pub(super) fn user(id: u32, on_behalf_of: Option<String>) -> Actor {
    let users = read_text(USERS.as_ref(), MOST_BYTES).ok().flatten().unwrap_or_default();
    Actor::user(id, name(&users, id), on_behalf_of.map(|name| printable(&name)))
}

/// Who called `sudo`, if somebody did.
pub(super) fn on_behalf_of() -> Option<String> {
    environment("SUDO_USER").filter(|name| !name.is_empty())
}

fn name(users: &str, id: u32) -> Option<String> {
    let of = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    };
    users.lines().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names() {
        let users = "root:x:0:0:root:/root:/bin/sh\nodd\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(name(users, 1000).as_deref(), Some("ann"));
        assert_eq!((name(users, 0).as_deref(), name(users, 7)), (Some("root"), None));
    }
}
