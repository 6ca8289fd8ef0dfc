//! The built-in detectors, one line each. Never a pattern that takes more than linear time.

use super::shapes::{self, See};

/// A secret that can be told by how it begins.
pub(super) struct Prefixed {
    pub(super) name: &'static str,
    /// How it begins, or what stands before it.
    pub(super) starts: &'static [&'static str],
    /// From there; a group `secret` is what is taken of it, else all.
    pub(super) pattern: &'static str,
    /// Whether the start must not stand inside a word.
    pub(super) apart: bool,
    /// What else must hold for the secret.
    pub(super) check: fn(&str) -> bool,
}

/// A secret that can be told by its shape alone.
pub(super) struct Shape {
    pub(super) name: &'static str,
    /// None is shorter.
    pub(super) least: usize,
    /// What each of its kind has in it, where there is such a thing.
    pub(super) sign: Option<&'static str>,
    pub(super) find: fn(&str, &mut See<'_>),
}

/// Values told by the key they have; in running text, by the word before them.
pub(super) const ASSIGNED: &str = "password";

const fn any(name: &'static str, starts: &'static [&'static str], pattern: &'static str) -> Prefixed {
    Prefixed { name, starts, pattern, apart: false, check: |_| true }
}

const fn apart(
    name: &'static str,
    starts: &'static [&'static str],
    pattern: &'static str,
    check: fn(&str) -> bool,
) -> Prefixed {
    Prefixed { name, starts, pattern, apart: true, check }
}

/// Told by their beginnings. Of two that begin at one place, the longer wins, then the first.
pub(super) const PREFIXED: &[Prefixed] = &[
    apart("anthropic_key", &["sk-ant-"], "sk-ant-[A-Za-z0-9_-]{20,}", |_| true),
    apart("openai_key", &["sk-"], "sk-[A-Za-z0-9_-]{20,}", is_random),
    any("aws_access_key", &["AKIA", "ASIA", "ABIA", "ACCA"], r"A[A-Z]{3}[A-Z0-9]{16}(?-u:\b)"),
    any(
        "aws_secret_key",
        &["ecretAccessKey", "ecret_access_key", "ECRET_ACCESS_KEY", "aws_secret", "AWS_SECRET", "AKIA"],
        r#"(?:AKIA[A-Z0-9]{16}|[A-Za-z_]{10,24})[\s"'\\:=,;|>]{1,12}(?P<secret>[A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+]|$)"#,
    ),
    any(
        "github_token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        "(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})",
    ),
    any(
        "gitlab_token",
        &["glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-", "gloas-", "glimt-", "glagent-", "glft-"],
        "gl[a-z]{2,5}-[A-Za-z0-9_.-]{20,}",
    ),
    any(
        "slack_token",
        &["xoxa-", "xoxb-", "xoxe-", "xoxe.", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-"],
        "x(?:ox[a-z]|app)[.-][A-Za-z0-9.-]{10,}",
    ),
    any(
        "slack_webhook",
        &["hooks.slack.com/"],
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<secret>[A-Za-z0-9/_-]{20,})",
    ),
    any(
        "google_key",
        &["AIza", "ya29.", "GOCSPX-"],
        r"(?:AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{28})",
    ),
    any(
        "stripe_key",
        &["sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"],
        "(?:[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{24,})",
    ),
    apart("twilio_key", &["SK"], r"SK[0-9a-f]{32}(?-u:\b)", |_| true),
    apart("sendgrid_key", &["SG."], r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}", |_| true),
    apart("npm_token", &["npm_"], r"npm_[A-Za-z0-9]{36}(?-u:\b)", |_| true),
    any("pypi_token", &["pypi-"], "pypi-[A-Za-z0-9_-]{50,}"),
    any("rubygems_key", &["rubygems_"], "rubygems_[0-9a-f]{48}"),
    any("docker_token", &["dckr_pat_", "dckr_oat_"], "dckr_[po]at_[A-Za-z0-9_-]{24,}"),
    any(
        "azure_key",
        &["AccountKey=", "SharedAccessKey=", "sharedaccesskey=", "accountkey="],
        "[A-Za-z]+=(?P<secret>[A-Za-z0-9+/]{43,86}={1,2})",
    ),
    any("azure_sas", &["?sig=", "&sig=", ";sig="], "[?&;]sig=(?P<secret>[A-Za-z0-9%+/_-]{43,}=?)"),
    apart("huggingface_token", &["hf_"], "hf_[A-Za-z0-9]{30,}", |_| true),
    any("digitalocean_token", &["dop_v1_", "doo_v1_", "dor_v1_"], "do[opr]_v1_[0-9a-f]{64}"),
    apart("databricks_token", &["dapi"], "dapi[0-9a-f]{32}(?:-[0-9])?", |_| true),
    any("vault_token", &["hvs.", "hvb.", "hvr."], r"hv[sbr]\.[A-Za-z0-9_-]{24,}"),
    any("grafana_token", &["glsa_", "glc_"], "gl(?:sa|c)_[A-Za-z0-9+/_=]{32,}"),
    any("shopify_token", &["shpat_", "shpca_", "shppa_", "shpss_"], "shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    any("atlassian_token", &["ATATT3", "ATCTT3"], "AT[AC]TT3[A-Za-z0-9_=-]{60,}"),
    apart("linear_key", &["lin_api_"], "lin_api_[A-Za-z0-9]{40}", |_| true),
    any("postman_key", &["PMAK-"], "PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    apart("groq_key", &["gsk_"], "gsk_[A-Za-z0-9]{40,}", |_| true),
    apart("xai_key", &["xai-"], "xai-[A-Za-z0-9]{60,}", |_| true),
    any("newrelic_key", &["NRAK-"], "NRAK-[A-Z0-9]{27}"),
    any("age_key", &["AGE-SECRET-KEY-1"], "AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    any(
        "jwt",
        &["eyJ"],
        r"eyJ[A-Za-z0-9_-]{8,}\.(?:eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?|[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+){3})",
    ),
    apart(
        "bearer_token",
        &["bearer ", "Bearer ", "BEARER "],
        r"[A-Za-z]+\s+(?P<secret>[A-Za-z0-9._~+/=:-]{12,})",
        |text| text.bytes().any(|byte| byte.is_ascii_digit()),
    ),
    Prefixed {
        name: "authorization",
        starts: &["uthorization", "UTHORIZATION"],
        pattern: r#"[A-Za-z]+[\s"'\\:=,]{1,10}(?:(?i:basic|bearer|token|digest|apikey|negotiate)\s+)?(?P<secret>[A-Za-z0-9._~+/=-]{8,})"#,
        apart: false,
        check: |text| text.bytes().any(|byte| byte.is_ascii_digit() || byte == b'='),
    },
    any(
        "url_password",
        &["://"],
        r#"://[^\s/?#@:"'<>\\]{0,128}:(?P<secret>[^\s/@"'<>\\${}*][^\s/@"'<>\\]{0,255})@"#,
    ),
    Prefixed {
        name: ASSIGNED,
        starts: &[
            "assword",
            "ASSWORD",
            "passwd",
            "PASSWD",
            "assphrase",
            "ASSPHRASE",
            "ecret",
            "ECRET",
            "pi_key",
            "PI_KEY",
            "piKey",
            "pikey",
            "APIKEY",
            "_token",
            "_TOKEN",
        ],
        pattern: r#"[A-Za-z_]{4,16}\\*["']?\s{0,3}[=:]\s{0,3}\\*(?:"(?P<double>[^"\\\s]{6,128})\\*"|'(?P<single>[^'\\\s]{6,128})\\*'|(?P<secret>[^\s"'\\,;&<>(){}\[\]$%*]{6,128})(?:[\s"'\\,;&<]|$))"#,
        apart: false,
        check: |text| {
            text.bytes().any(|byte| byte.is_ascii_digit()) && text.bytes().any(|b| b.is_ascii_alphabetic())
        },
    },
];

/// Told by their shapes.
pub(super) const SHAPES: &[Shape] = &[
    Shape { name: "private_key", least: 11, sign: Some(shapes::PEM), find: shapes::private_keys },
    Shape { name: "card_number", least: 13, sign: None, find: shapes::cards },
    Shape { name: "iban", least: 15, sign: None, find: shapes::ibans },
    Shape { name: "email", least: 6, sign: None, find: shapes::emails },
];

/// Characters of which many are random: a digit, and a capital or 32 and more without a break.
fn is_random(text: &str) -> bool {
    let body = text.strip_prefix("sk-").unwrap_or(text);
    let whole = body.len() >= 32 && body.bytes().all(|byte| byte.is_ascii_alphanumeric());
    !body.starts_with("ant-")
        && body.bytes().any(|byte| byte.is_ascii_digit())
        && (whole || body.bytes().any(|byte| byte.is_ascii_uppercase()))
}

/// Whether a value is secret because of its key.
pub(super) fn is_secret_key(key: &str) -> bool {
    const KEYS: [&str; 15] = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "clientsecret",
        "apikey",
        "accesstoken",
        "refreshtoken",
        "authtoken",
        "idtoken",
        "secretkey",
        "secretaccesskey",
        "privatekey",
        "sessiontoken",
        "xapikey",
    ];
    // The last letter of each of them, or what may stand behind it.
    let last = key.as_bytes().last().is_some_and(|last| b"dentyDENTY_-".contains(last));
    if !last || !(6..=24).contains(&key.len()) {
        return false;
    }
    let (mut plain, mut length) = ([0; 24], 0);
    for byte in key.bytes().filter(|byte| *byte != b'_' && *byte != b'-') {
        plain[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    KEYS.iter().any(|known| known.as_bytes() == &plain[..length])
}
