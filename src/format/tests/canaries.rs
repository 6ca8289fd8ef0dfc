//! Secrets of every kind, each of its own, in every field of every kind of record: masked, none is in any output.

use super::lossless::{lines, write};
use super::rebuild::Tree;
use super::redact::{all_texts, redacted, rules};
use super::*;

/// How every number in a secret begins, and nothing else that is there.
const MARK: &str = "77007700";

/// One secret for each detector; `{N}` is the number that tells it from others, and `~` keeps scanners away.
#[rustfmt::skip]
const SECRETS: [&str; 40] = [
    "sk-~ant-api03-aBcDeFgH{N}", "sk-~aBcDeFgH{N}aBcDeFgH", "AKIA~{N}AB", "aws_secret_access_key = abcdefghijklmnopqrstuvwxyz{N}",
    "ghp_~abcdefghijklmnopqrstuv{N}", "glpat-~abcdef{N}", "xoxb-~{N}", "https://hooks.slack~.com/services/T00000/{N}",
    "AIza~abcdefghijklmnopqrstu{N}", "sk_~live_ab{N}", "SK~0123456789abcdef01{N}", "SG.~a1B2c3D4e5F6g7H8i9J0.{N}ab",
    "npm_~abcdefghijklmnopqrstuv{N}", "pypi-~aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgHiJ{N}", "rubygems_~0123456789abcdef0123456789abcdef01{N}",
    "dckr_~pat_abcdefghij{N}", "AccountKey=abcdefghijklmnopqrstuvwxyzabc{N}=", "https://x.net/c?sig=abcdefghijklmnopqrstuvwxyzabc{N}",
    "hf_~abcdefghijklmnop{N}", "dop_~v1_0123456789abcdef0123456789abcdef0123456789abcdef01{N}", "dapi~0123456789abcdef01{N}",
    "hvs.~abcdefghij{N}", "glsa_~abcdefghijklmnopqr{N}", "shpat_~0123456789abcdef01{N}",
    "ATATT3~abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrst{N}", "lin_~api_abcdefghijklmnopqrstuvwxyz{N}",
    "PMAK-~0123456789{N}-0123456789abcdef0123456789abcdef01", "gsk_~abcdefghijklmnopqrstuvwxyz{N}",
    "xai-~abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv{N}", "NRAK-~ABCDEFGHIJKLM{N}",
    "AGE-SECRET-KEY-1~ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQR{N}", "eyJ~hbGciOiJIUzI1NiJ9.eyJ{N}.{N}",
    "Bearer abc{N}", "Authorization: Basic {N}", "postgres://app:{N}@db.example.com/x", "password={N}a",
    "-----BEGIN PRIVATE KEY-----\nMIIE{N}\n-----END PRIVATE KEY-----", "{card}", "{iban}", "ada.{N}@example.com",
];

/// The secret of a detector with this number.
fn secret(which: usize, number: usize) -> String {
    let digits = format!("{MARK}{number:06}");
    match SECRETS[which] {
        "{card}" => card(&format!("4{digits}")),
        "{iban}" => iban(&format!("{digits}0000")),
        text => text.replace("{N}", &digits).replace('~', ""),
    }
}

/// Fifteen digits and the one that makes a card number of them.
fn card(digits: &str) -> String {
    let weigh = |(place, digit): (usize, u32)| {
        let doubled = if place.is_multiple_of(2) { digit * 2 } else { digit };
        doubled / 10 + doubled % 10
    };
    let sum: u32 = digits.chars().map(|c| c.to_digit(10).unwrap()).enumerate().map(weigh).sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

/// Eighteen digits as a German account, with the two that check them.
fn iban(digits: &str) -> String {
    let rest =
        format!("{digits}131400").bytes().fold(0, |rest, byte| (rest * 10 + u32::from(byte - b'0')) % 97);
    format!("DE{:02}{digits}", 98 - rest)
}

/// Puts a secret into every text of a token, and beside each, the detectors in turn.
fn plant(tree: &mut Tree, number: &mut usize) {
    let mut next = || {
        *number += 1;
        secret(*number % SECRETS.len(), *number)
    };
    match tree {
        Tree::Object(members) => {
            members.push((format!("key {}", next()), Tree::Token("1".to_owned())));
            for (_, value) in members.iter_mut() {
                plant(value, number);
            }
        }
        Tree::Token(token) if token.starts_with('"') => {
            let text = json::text(token).unwrap_or_default().into_owned();
            let inner = format!("{text} {} end", next());
            let inner = match *number % 3 {
                0 => serde_json::json!({ "a": [inner] }).to_string(),
                _ => inner,
            };
            *token = serde_json::to_string(&inner).unwrap().replace(MARK, "7\\u0037007700");
        }
        Tree::Token(_) => {}
    }
}

#[test]
fn every_secret_is_found_by_itself() {
    let mask = rules("{ action = 'mask' }");
    for which in 0..SECRETS.len() {
        let line = serde_json::json!({ "event_id": "e", "note": secret(which, which) }).to_string();
        assert!(line.contains(MARK));
        let (record, _) = redacted("CODEX_LOG", &line, &mask, FULL);
        assert!(!record.contains(MARK) && record.contains("[redacted:"), "{record}");
    }
}

#[test]
fn planted_secrets_get_into_no_output() {
    let mask = rules("{ action = 'mask' }");
    let mut number = 0;
    for (turn, (event_type, line)) in lines().into_iter().enumerate() {
        let mut tree = Tree::parse(&line, 0);
        plant(&mut tree, &mut number);
        // Whatever its fields, each record meets each detector.
        let all: Vec<String> = (0..SECRETS.len()).map(|which| secret(which, number + which)).collect();
        if let Tree::Object(members) = &mut tree {
            members.push(("all".to_owned(), Tree::Token(serde_json::to_string(&all).unwrap())));
        }
        let mut planted = String::new();
        write(&tree, &mut planted);
        // Rules come before formats, so each record meets one other in turn.
        for (name, format) in [("native", Format::Native), Format::ALL[turn % Format::ALL.len()]] {
            let options = Options { format, include_raw: turn % 4 < 2, prompts: true, ..FULL };
            let (record, told) = redacted(&event_type, &planted, &mask, options);
            let all = all_texts(&record) + &told;
            assert!(!all.contains(MARK), "{name} {event_type} {record}");
        }
    }
    assert!(number > 1000, "{number}");
}
