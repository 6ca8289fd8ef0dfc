//! `AUTH_LOG`: people signing in and out, and somebody who tries.

use super::Maker;
use super::people::PEOPLE;

const ACTIONS: [&str; 14] = [
    "login_success",
    "login_success",
    "login_success",
    "login_success",
    "native_login_success",
    "token_issued",
    "token_issued",
    "logout_success",
    "native_logout_success",
    "token_revoked",
    "password_reset_initiated",
    "password_reset_success",
    "password_login_sentinel_challenge",
    "signup_success",
];

/// One record; at times a row of failures of one account from one address.
pub(super) fn record(maker: &mut Maker) {
    if maker.one_in(40) {
        let person = maker.person();
        for _ in 0..=maker.below(6) {
            maker.open(|maker| maker.user(person));
            maker.request("203.0.113.254");
            action(maker, "password_login_invalid_password", "password");
        }
        return;
    }
    let person = maker.person();
    maker.open(|maker| maker.user(person));
    match maker.below(25) {
        0 => {
            maker.raw(",\"request_metadata\":null");
        }
        1 => {
            maker.raw(",\"request_metadata\":{}");
        }
        _ => maker.request(person.ip),
    }
    let name = maker.pick(&ACTIONS);
    let provider = if person.id == PEOPLE[11].id { "password" } else { "samlp|example-idp" };
    action(maker, name, provider);
}

fn action(maker: &mut Maker, name: &str, provider: &str) {
    maker.raw(",\"action_data\":{\"action\":\"").raw(name).raw("\"").text("auth_provider_name", provider);
    if name == "token_issued" {
        maker.text("application_name", "Stock desk").raw(r#","granted_scopes":["openid","profile"]"#);
    }
    maker.raw("}");
    maker.close();
}
