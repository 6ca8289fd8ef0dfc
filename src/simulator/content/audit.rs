//! `AUDIT_LOG`: what administrators do, and the collector's own polling.

use super::Maker;
use super::people::PEOPLE;

/// Action and its data; `^` stands for an invented name, `~` for somebody's id.
const ACTIONS: [(&str, &str); 20] = [
    ("USER_ROLE_UPDATED", r#"{"user_id":"~","previous_role":"standard-user","role":"account-admin"}"#),
    ("USER_LOGGED_OUT_BY_ADMIN", r#"{"user_id":"~"}"#),
    ("INVITE_SEND", r#"{"email":"new.person@example.com","role":"standard-user"}"#),
    ("INVITE_ACCEPT", r#"{"invite_id":"inv-^","email":"new.person@example.com"}"#),
    ("GROUP_CREATE", r#"{"group_id":"group-^","name":"Lager & Logistik"}"#),
    ("GROUP_ADD_USER", r#"{"group_id":"group-^","user_id":"~"}"#),
    ("SAML_CONFIG_UPDATED", r#"{"connection_id":"conn-^","enabled":true}"#),
    ("SCIM_TOKEN_ROTATED", r#"{"directory_id":"dir-^"}"#),
    ("DOMAIN_VERIFIED", r#"{"domain":"example.com"}"#),
    ("WORKSPACE_SET_IP_ALLOWLIST", r#"{"allowed_ips":["192.0.2.0/24","2001:db8:7::/48"],"enabled":true}"#),
    ("WORKSPACE_SET_COMPLIANCE_API_IP_ALLOWLIST", r#"{"allowed_ips":["192.0.2.5/32"]}"#),
    ("WORKSPACE_TOGGLE_FEATURE", r#"{"feature":"codex_cloud","enabled":false}"#),
    ("PERSONAL_ACCESS_TOKEN_CREATE", r#"{"token_id":"pat-^","name":"nightly count","expires_at":null}"#),
    ("PERSONAL_ACCESS_TOKEN_REVOKE", r#"{"token_id":"pat-^"}"#),
    ("SESSION_REVOKE", r#"{"session_id":"web-^","user_id":"~"}"#),
    ("CONVERSATION_SHARE", r#"{"conversation_id":"conv-^","audience":"workspace"}"#),
    ("PLUGIN_INSTALL", r#"{"plugin_id":"plg-^","name":"release-notes"}"#),
    ("CUSTOM_GPT_UPDATE_SHARING", r#"{"gpt_id":"g-^","name":"Order \"desk\"","sharing":"link"}"#),
    ("SKILL_CREATE", r#"{"skill_id":"skill-^","skill_name":"count-shelves"}"#),
    ("FILE_DOWNLOAD", r#"{"file_id":"file-^","name":"stock été.csv"}"#),
];

/// One record.
pub(super) fn record(maker: &mut Maker) {
    if maker.one_in(3) {
        return own_poll(maker);
    }
    let (action, data) = maker.pick(&ACTIONS);
    let person = if maker.one_in(2) { &PEOPLE[11] } else { maker.person() };
    if maker.one_in(50) {
        maker.open(|maker| {
            maker.raw("null");
        });
    } else {
        maker.open(|maker| maker.user(person));
    }
    let result = if maker.one_in(15) { "BLOCKED" } else { "SUCCESS" };
    maker.text("action", action).text("action_result", result).text("action_privilege", "ADMIN");
    maker.request(person.ip);
    let name = maker.name("");
    let other = maker.person().id;
    maker.raw(",\"action_data\":").raw(&data.replace('^', &name).replace('~', other));
    maker.close();
}

fn own_poll(maker: &mut Maker) {
    maker.open(Maker::own_key);
    let list = maker.one_in(2);
    let action = if list { "LIST_WORKSPACE_LOG_FILES" } else { "DOWNLOAD_WORKSPACE_LOG_FILE" };
    maker.text("action", action).text("action_result", "SUCCESS").text("action_privilege", "ADMIN");
    maker.request("192.0.2.250");
    if list {
        let after = maker.plan.end - 7200;
        maker.raw(",\"action_data\":{\"limit\":100,\"after\":\"").time(after * 1_000_000, 0);
        maker.raw("\",\"before\":null,\"event_type\":[\"CODEX_LOG\"]}");
    } else {
        let file = maker.name("eclf_");
        maker.raw(",\"action_data\":{\"log_file_id\":\"").raw(&file).raw("\",\"event_type\":\"CODEX_LOG\"}");
    }
    maker.close();
}
