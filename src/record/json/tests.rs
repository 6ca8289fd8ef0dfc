//! That texts are read as `serde_json` reads them, and written as it writes them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::*;

/// What `serde_json` takes for the members of an object, the keys unescaped where they can be.
fn reference(text: &str) -> Option<Vec<(String, String)>> {
    struct Pairs;
    impl<'de> serde::de::Visitor<'de> for Pairs {
        type Value = Vec<(String, String)>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                pairs.push((key.get().to_owned(), value.get().to_owned()));
            }
            Ok(pairs)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let pairs = serde::Deserializer::deserialize_map(&mut deserializer, Pairs).ok()?;
    deserializer.end().ok().map(|()| pairs)
}

fn ours(text: &str) -> Option<Vec<(String, String)>> {
    let members = members(text)?;
    Some(members.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

/// Every object of a tree, by reading it again.
fn assert_tree(text: &str) {
    let (tree, expected) = (tree::Tree::read(text), reference(text));
    assert_eq!(tree.is_some(), expected.is_some(), "{text}");
    let Some(tree) = tree else { return };
    let mut left = vec![(0, text.to_owned())];
    while let Some((object, text)) = left.pop() {
        let expected = reference(&text).unwrap();
        let fields = tree.fields_of(object);
        let found: Vec<_> = fields
            .iter()
            .map(|field| (tree.token(field.key).to_owned(), tree.token(field.value).to_owned()))
            .collect();
        assert_eq!(found, expected, "{text}");
        let name = |key: &str| self::text(key).map_or_else(|| key.to_owned(), Cow::into_owned);
        let mut firsts = BTreeMap::new();
        for (at, (key, _)) in expected.iter().enumerate() {
            firsts.entry(name(key)).or_insert(at);
        }
        let repeats = firsts.len() < expected.len();
        assert!(!repeats || tree.may_repeat(object), "{text}");
        for (name, at) in firsts {
            assert_eq!(tree.find(object, &name), Some(tree.range(object).start + at), "{name} in {text}");
        }
        assert_eq!(tree.find(object, "none such"), None);
        let inner = fields.iter().filter(|field| field.child() != 0);
        left.extend(inner.map(|field| (field.child(), tree.token(field.value).to_owned())));
    }
}

fn assert_same(text: &str) {
    assert_eq!(is_valid(text), serde_json::from_str::<IgnoredAny>(text).is_ok(), "{text:?}");
    assert_eq!(ours(text), reference(text), "{text:?}");
    assert_tree(text);
}

#[rustfmt::skip]
const VALUES: &[&str] = &[
    "0", "-0", "01", "-", "-01", "1.", ".5", "1.5", "1e5", "1E+5", "1e", "1e-", "1e400", "0e0", "0.0e-0",
    "123456789012345678901234567890", "+1", "1_0", "true", "tru", "truee", "nul", "null", "False", "false",
    "\"\"", "\"a", "\"\\u00e9\"", "\"\\u00g9\"", "\"\\ud83d\"", "\"\\ud83d\\u0041\"", "\"\\udc00\"",
    "\"\\x\"", "\"\\", "\"\\u12\"", "\"\\\"\"", "\"\\/\\b\\f\\n\\r\\t\\\\\"", "\"a\tb\"", "\"\u{7f}\"",
    "\"\u{1f}\"", "\"\u{0}\"", "\"é\u{2028}\"", "[]", "[ ]", "[1,]", "[,]", "[1 2]", "[1,2]", "[[],[[]]]", "[}",
    "{]", "{}", "{ }", "{,}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":1 \"b\":2}", "{a:1}", "{1:1}",
    "{\"a\" : 1}", "{\"a\":1}}", "{\"a\":[{\"b\":[]}]}", "", " ", "\u{feff}1", "1 1", "// a", "'a'", "\u{a0}1",
    "\u{b}1", "{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{\"f\":1}}}}}}",
    "{\"a\":1,\"a\":2,\"\\u0061\":3,\"\\ud83d\":4}",
];

#[test]
fn what_is_valid_is_what_serde_json_finds_valid() {
    for value in VALUES {
        assert_same(value);
        assert_same(&format!(" \r\n\t{value}\t "));
        assert_same(&format!("{{\"k\":{value}}}"));
        assert_same(&format!("{{\"k\":{value},\"l\":[0,{value} ,{{\"m\" :{value}}}]}}"));
        assert_same(&format!("[{value}]"));
    }
}

#[test]
fn every_place_in_a_string_is_looked_at() {
    for length in 0..90 {
        for odd in ["", "\"", "\\", "\\n", "\u{1f}", " ", "é", "\u{7f}", "\n", "\\u00e9", "\\u00e"] {
            let text = format!("\"{}{odd}{}\"", "a".repeat(length), "é".repeat(length / 3));
            assert_same(&text);
            assert_same(&format!("{{{text}:{text}}}"));
        }
    }
}

#[test]
fn depth_is_no_matter() {
    for depth in [1, 63, 64, 65, 128, 129, 100_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]"), ("{\"a\":[", "]}")] {
            let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert_eq!(is_valid(&text), serde_json::from_str::<IgnoredAny>(&text).is_ok());
            assert!(is_valid(&text) && members(&format!("{{\"k\":{text}}}")).is_some());
            assert!(!is_valid(&text[..text.len() - 1]) && !is_valid(&format!("{text}]")));
            assert!(!is_valid(&text.replacen('}', "]", 1)) || !text.contains('}'));
        }
    }
}

/// A piece of JSON, or of what is nearly JSON.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just(",".to_owned()),
        Just(":".to_owned()),
        Just(" ".to_owned()),
        Just("\"a\":".to_owned()),
        Just("\"event_id\":".to_owned()),
        "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?",
        "(true|false|null)",
        "\"[ -~é\u{0}-\u{1f}]{0,12}\"",
        "\"(a|\\\\[\"\\\\/bfnrtux]|\\\\u[0-9a-fd]{4}){0,4}\"",
    ]
}

/// A valid value, with blanks here and there.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
        "(true|false|null)",
        "\"(\\PC|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}){0,40}\"".prop_filter("valid", |text| is_valid(text)),
    ];
    let key = "\"(a|b|\\\\u0061|session_id|[ -!#-\\[\\]-~]{0,9})\"";
    leaf.prop_recursive(7, 60, 6, move |inner| {
        let member = (key, "[ \t]{0,2}", inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(" ,"))),
            prop::collection::vec(member, 0..40).prop_map(|members| {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|(key, blank, value)| format!("{key}{blank}:{blank}{value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn pieces_are_taken_as_serde_json_takes_them(pieces in prop::collection::vec(piece(), 0..14)) {
        assert_same(&pieces.concat());
        assert_same(&format!("{{\"k\":{}}}", pieces.concat()));
    }

    #[test]
    fn valid_texts_are_read_alike_and_broken_ones_refused_alike(
        text in value(),
        at in any::<prop::sample::Index>(),
        odd in "[\\[\\]{},:\"\\\\0-9a \u{0}-\u{1f}é-]",
    ) {
        assert_same(&text);
        let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        if !bounds.is_empty() {
            let at = bounds[at.index(bounds.len())];
            assert_same(&text[..at]);
            assert_same(&format!("{}{odd}{}", &text[..at], &text[at..]));
            let mut without = text.clone();
            without.remove(at);
            assert_same(&without);
        }
    }

    #[test]
    fn numbers_become_their_digits(number in any::<u64>(), shift in 0..64) {
        for number in [number >> shift, 0, u64::MAX] {
            let mut out = Vec::new();
            push_number(number, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }

    #[test]
    fn texts_become_the_tokens_of_serde_json(text in "(\\PC|[\u{0}-\u{7f}]){0,80}") {
        let mut out = Vec::new();
        push_text(&text, &mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
    }
}
