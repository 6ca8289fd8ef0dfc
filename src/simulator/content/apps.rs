//! `APP_LOG` and `APP_AUTH_LOG`: connected apps.

use super::Maker;

const APPS: [(&str, &str, &str); 4] = [
    ("app-wiki", "wiki", "SERVICE"),
    ("app-orders", "orders", "OPEN_API"),
    ("app-tickets", "tickets", "MCP"),
    ("app-mail", "mail", "FIRST_PARTY_ECOSYSTEM"),
];

/// A request to an app and, mostly, its response.
pub(super) fn call(maker: &mut Maker) {
    let person = maker.person();
    let (id, name, kind) = maker.pick(&APPS);
    let conversation = maker.name("conv-");
    let failed = maker.one_in(20);
    for direction in ["request", if failed { "error" } else { "response" }] {
        maker.open(|maker| maker.user(person));
        maker.text("app_id", id).text("app_name", name).text("app_type", kind);
        maker.text("conversation_id", &conversation).text("log_type", direction);
        let length = maker.length(200);
        match direction {
            "request" => {
                maker.raw(",\"input\":{\"query\":\"").prose(length);
                maker.raw("\",\"filters\":{\"open\":true,\"since\":null,\"n\":20}}");
            }
            "response" => {
                maker.raw(r#","output":[{"display_title":"Shelf B7 – ✓","display_url":"https://wiki.example.com/p/7","text":""#);
                maker.prose(length).raw("\",\"score\":0.8310}]");
            }
            _ => {
                maker.raw(",\"input\":null");
            }
        }
        maker.close();
    }
}

/// Somebody links or unlinks an app.
pub(super) fn link(maker: &mut Maker) {
    let person = maker.person();
    let (id, ..) = maker.pick(&APPS);
    let link = maker.name("link-");
    let action = if maker.one_in(4) { "unlink" } else { "link" };
    maker.open(|maker| maker.user(person));
    maker.text("app_id", id).text("link_id", &link).text("action", action);
    maker.close();
}
