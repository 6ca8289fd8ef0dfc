//! `COSTS`: hourly rows of the organization; they come hours late.

use super::Maker;
use crate::simulator::ORGANIZATION;

/// One row.
pub(super) fn record(maker: &mut Maker) {
    let person = maker.person();
    maker.open(|maker| {
        maker.raw(r#"{"type":"SYSTEM","id":"costs_exporter"}"#);
    });
    let second = maker.plan.costs_hour();
    maker.raw(",\"payload\":{\"day\":\"");
    let day = maker.out.len();
    maker.time(second * 1_000_000, 0);
    maker.out.truncate(day + 10);
    maker.raw("\"").number("hour", u64::try_from(second.rem_euclid(86_400) / 3600).unwrap_or(0));
    maker.text("organization_id", ORGANIZATION);
    maker.raw(",\"identity\":{\"user_id\":\"").raw(person.id).raw("\",\"email\":\"").raw(person.mail);
    maker.raw("@example.com\"").text("name", person.name);
    let groups = maker.pick(&[
        r#","groups":[]}"#,
        r#","groups":[{"id":"5d41402abc4b2a76b9719d911017c592","name":"Lager"}]}"#,
        r#","groups":[{"id":"7d793037a0760186574b0282f2f435e7","name":null}]}"#,
        "}",
    ]);
    maker.raw(groups);
    let product = maker.pick(&["codex", "codex", "chatgpt"]);
    maker.text("product", product).text("surface", "cli").text("client", person.client);
    maker.text("model", "gpt-5.5-codex").text("service_tier", "default");
    let (input, output) = (maker.below(90_000) + 100, maker.below(9_000) + 10);
    maker.raw(",\"measures\":{\"usage\":{\"text_input_tokens\":").digits(input);
    maker.number("text_cached_input_tokens", input / 3).number("text_output_tokens", output);
    let cents = input / 90 + output / 7;
    maker.raw("},\"billing\":[{\"sku\":\"codex.text.input\",\"quantity\":{\"value\":").digits(input);
    maker.raw(",\"unit\":\"tokens\"},\"cost\":{\"value\":").digits(cents / 100).raw(".");
    maker.digits(cents % 100 / 10).digits(cents % 10).raw(",\"unit\":\"CREDITS\"}}]}}");
    maker.close();
}
