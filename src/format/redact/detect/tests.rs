//! What each detector finds, and what it leaves alone.

use super::*;

fn all() -> Detectors {
    Detectors::new(|_| true, Vec::new())
}

/// Detector, texts with the secret between `«` and `»`, texts without one.
type Case = (&'static str, &'static [&'static str], &'static [&'static str]);

/// Parts of secrets are put together so that no scanner takes this file for a leak.
fn spell(text: &str) -> String {
    text.replace("{A36}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8")
        .replace("{H32}", "0123456789abcdef0123456789abcdef")
        .replace("{H24}", "0123456789abcdef01234567")
        .replace("{B40}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
        .replace("{B44}", "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789+/AbCdE")
        .replace('~', "")
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("anthropic_key", &["«sk-~ant-api03-{A36}»", "key: «sk-~ant-{A36}-x»!", "a\\n«sk-~ant-admin01-{A36}»"],
        &["sk-ant-short", "task-ant-{A36}", "ant-api03-{A36}"]),
    ("openai_key", &["«sk-~{A36}»", "(«sk-~proj-{A36}_-x»)", "x=%3D«sk-~svcacct-{A36}»", "«sk-~{H32}»"],
        &["task-{A36}", "sk-loading-spinner-container-2x", "sk-...9zZ9", "risk-sk-1"]),
    ("aws_access_key", &["«AKIA~IOSFODNN7EXAMPLE»", "id «ASIA~IOSFODNN7EXAMPLE».", "x«AKIA~ABCDEFGHIJKLMNOP»"],
        &["AKIAIOSFODNN7", "AKIAiosfodnn7example", "AKIAIOSFODNN7EXAMPLETOOLONG"]),
    ("aws_secret_key", &["aws_secret_access_key = «{B40}»", "\"SecretAccessKey\": \"«{B40}»\"",
        "AWS_SECRET_ACCESS_KEY=«{B40}»\n", "\\\"SecretAccessKey\\\": \\\"«{B40}»\\\""],
        &["sha {B40}", "aws_secret_access_key = short", "SecretAccessKey {A36}"]),
    ("github_token", &["«ghp_~{A36}»", "token=«gho_~{A36}».", "«github_pat_~{A36}_{A36}»"],
        &["ghp_short", "ghx_{A36}", "github_pattern_{A36}"]),
    ("gitlab_token", &["«glpat-~a1B2c3D4e5F6g7H8i9J0»", "«gldt-~a1B2c3D4e5F6g7H8i9J0» ", "\"«glrt-~t1_B2c3D4e5F6g7H8i9J0»\""],
        &["glpat-short", "glpat_a1B2c3D4e5F6g7H8i9J0", "gl-a1B2c3D4e5F6g7H8i9J0"]),
    ("slack_token", &["«xoxb-~1234567890-abcdefghij»", "«xoxp-~1234567890-1234567890»", "«xapp-~1-A0B1C2D3E4-12345»"],
        &["xoxb-", "xoxo hugs", "xapp-1"]),
    ("slack_webhook", &["https://hooks.slack~.com/services/«T00000000/B00000000/XXXXXXXXXXXX»",
        "hooks.slack~.com/workflows/«T00000000/A000000000/1234»", "hooks.slack~.com/triggers/«T00000000/1234567890/abc»"],
        &["https://hooks.slack~.com/services/", "hooks.slack.com/help/aaaaaaaaaaaaaaaaaaaaaaaa", "slack.com/services/T00000000/B00000000/X"]),
    ("google_key", &["«AIza~SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q»", "«ya29.~a0AfH6SMBx1234567890abc»", "«GOCSPX-~a1B2c3D4e5F6g7H8i9J0k1L2m3N4»"],
        &["AIzaShort", "ya29.short", "GOCSPX-short"]),
    ("stripe_key", &["«sk_~live_a1B2c3D4e5F6g7H8»", "«rk_~test_a1B2c3D4e5F6g7H8i9»", "«whsec_~a1B2c3D4e5F6g7H8i9J0k1L2»"],
        &["sk_live_short", "pk_live_a1B2c3D4e5F6g7H8", "task_live_x"]),
    ("twilio_key", &["«SK~{H32}»", "=«SK~{H32}»;", "x («SK~{H32}»)"], &["SK0123", "TASK{H32}", "SK{A36}"]),
    ("sendgrid_key", &["«SG.~a1B2c3D4e5F6g7H8i9J0.{A36}»", "k=«SG.~a1B2c3D4e5F6g7H8i9J0kl.{A36}»", "\"«SG.~a1B2c3D4e5F6g7H8.a1B2c3D4e5F6g7H8»\""],
        &["SG.short.short", "SG.Singapore", "MSG.a1B2c3D4e5F6g7H8i9J0.{A36}"]),
    ("npm_token", &["«npm_~{A36}»", "_authToken=«npm_~{A36}»", "'«npm_~{A36}»'"], &["npm_config_registry", "npm_short", "xnpm_{A36}"]),
    ("pypi_token", &["«pypi-~AgEIcHlwaS5vcmc{A36}{A36}»", "x «pypi-~{A36}{A36}»", "p=«pypi-~{A36}_{A36}-»"], &["pypi-mirror", "pypi-{A36}", "pypi {A36}{A36}"]),
    ("rubygems_key", &["«rubygems_~{H32}0123456789abcdef»", "k: «rubygems_~{H24}{H24}»", "=«rubygems_~{H24}{H24}»"], &["rubygems_api", "rubygems_{A36}", "rubygems_{H32}"]),
    ("docker_token", &["«dckr_~pat_a1B2c3D4e5F6g7H8i9J0k1L2»", "-p «dckr_~pat_{A36}»", "«dckr_~oat_{A36}»"], &["dckr_pat_short", "docker_pat_{A36}", "dckr_xat_{A36}"]),
    ("azure_key", &["AccountKey=«{B44}{B44}==»;", "SharedAccessKey=«{B44}=»", "x;AccountKey=«{B44}{B44}==»"],
        &["AccountKey=", "AccountKey=short==", "PublicKey={B44}="]),
    ("azure_sas", &["https://x.net/c?sv=1&sig=«{A36}abcdefg%3D»", "?sig=«{A36}abcdefgh»", ";sig=«{A36}abcdefgh»"],
        &["?sig=short", "design={A36}abcdefgh", "&signature={A36}abcdefgh"]),
    ("huggingface_token", &["«hf_~{A36}»", "HF=«hf_~{A36}»", "\"«hf_~{A36}»\""], &["hf_hub_download", "hf_short", "self_{A36}"]),
    ("digitalocean_token", &["«dop_~v1_{H32}{H32}»", "«doo_~v1_{H32}{H32}» x", "t=«dor_~v1_{H32}{H32}»"], &["dop_v1_{H32}", "dox_v1_{H32}{H32}", "dop_v2_{H32}{H32}"]),
    ("databricks_token", &["«dapi~{H32}»", "«dapi~{H32}-2»", "k «dapi~{H32}»"], &["dapi", "dapi{H24}", "xdapi{H32}"]),
    ("vault_token", &["«hvs.~{A36}»", "«hvb.~{A36}» ", "t=«hvr.~{A36}»"], &["hvs.short", "hvx.{A36}", "hvs {A36}"]),
    ("grafana_token", &["«glsa_~{A36}_0a1b2c3d»", "«glc_~{A36}»", "x «glc_~{A36}==»"], &["glsa_short", "glx_{A36}", "glc_x"]),
    ("shopify_token", &["«shpat_~{H32}»", "«shpca_~{H32}»", "t «shpss_~{H32}»"], &["shpat_short", "shpzz_{H32}", "shpat-{H32}"]),
    ("atlassian_token", &["«ATATT3~{A36}{A36}»", "x «ATATT3~{A36}{A36}=0A»", "t:«ATCTT3~{A36}{A36}»"], &["ATATT3short", "ATATT4{A36}{A36}", "ATATT3{A36}"]),
    ("linear_key", &["«lin_~api_{A36}abcd»", "x «lin_~api_{A36}abcd»", "\"«lin_~api_{A36}abcd»\""], &["lin_api_short", "lin_oapi_{A36}abcd", "berlin_api_{A36}abcd"]),
    ("postman_key", &["«PMAK-~{H24}-{H32}ab»", "x «PMAK-~{H24}-{H32}ab»", "k=«PMAK-~{H24}-{H32}ab»"], &["PMAK-x", "PMAK-{H24}", "PMAX-{H24}-{H32}ab"]),
    ("groq_key", &["«gsk_~{A36}abcd»", "x «gsk_~{A36}abcd»", "\"«gsk_~{A36}abcd{A36}»\""], &["gsk_short", "xgsk_{A36}abcd", "gsk-{A36}abcd"]),
    ("xai_key", &["«xai-~{A36}{A36}»", "x «xai-~{A36}{A36}»", "\"«xai-~{A36}{A36}»\""], &["xai-short", "axai-{A36}{A36}", "xai_{A36}{A36}"]),
    ("newrelic_key", &["«NRAK-~ABCDEFGHIJKLMNOPQRSTUVWXYZ0»", "x «NRAK-~ABCDEFGHIJKLMNOPQRSTUVWXYZ1»", "k=«NRAK-~ABCDEFGHIJKLMNOPQRSTUVWXYZ2»"], &["NRAK-short", "NRAK-{A36}", "NRAL-ABCDEFGHIJKLMNOPQRSTUVWXYZ0"]),
    ("age_key", &["«AGE-SECRET-KEY-1~ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGHIJKLMNOPQRSTUV»", "x «AGE-SECRET-KEY-1~QQQQQQQQQQQQQQQQQQQQQQQQQQQQQ0QQQQQQQQQQQQQQQQQQQQQQQQQQQQ»", "k=«AGE-SECRET-KEY-1~AAAAAAAAAAAAAAAAAAAAAAAAAAAAA0AAAAAAAAAAAAAAAAAAAAAAAAAAAA»"], &["AGE-SECRET-KEY-1short", "AGE-SECRET-KEY", "age1{A36}"]),
    ("jwt", &["«eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN»", "a «eyJhbGciOiJub25lIn0.eyJzdWIiOiIxMjM0In0.»", "t=«eyJhbGciOiJSU0EtT0FFUCJ9.aaaa.bbbb.cccc.dddd»"],
        &["eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9.x", "eyJ."]),
    ("bearer_token", &["-H 'X: Bearer «a1b2c3d4e5f6g7»'", "bearer «0123456789ab»", "(Bearer «abc.def-123_456~7»)"], &["Bearer authentication", "a bearer of news", "Forbearer 0123456789abc"]),
    ("authorization", &["Authorization: Basic «dXNlcjpwYXNzd29yZA==»", "\"Authorization\": \"token «a1b2c3d4e5»\"", "authorization=«a1b2c3d4e5»"], &["Authorization: none", "authorization code flow", "Authorization: Basic"]),
    ("url_password", &["postgres://app:«hunter2»@db.example.com/x", "https://:«s3cr3t»@host", "amqp://u:«p%40ss»@h"], &["https://example.com:8080/a", "http://user@host/", "https://u:${PASS}@host"]),
    ("password", &["password=«hunter2»", "PASSWORD: \"«correct-horse»\"", "{\\\"client_secret\\\":\\\"«abc-def-ghi»\\\"}", "api_key='«a1b2c3d4»'", "db_password = «s3cretz»;"],
        &["password: required", "password = getpass()", "password=$DB_PASS", "forgot your password?", "secret: string"]),
    ("private_key", &["«-----BEGIN PRIVATE KEY-----\nMIIEvQIB\n-----END PRIVATE KEY-----»", "x «-----BEGIN RSA PRIVATE KEY-----\\nProc-Type: 4,ENCRYPTED\\nMIIE\\n-----END RSA PRIVATE KEY-----» y", "«-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk»"],
        &["-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----\nMIIE\n-----END PUBLIC KEY-----", "----- BEGIN PRIVATE KEY"]),
    ("card_number", &["«4111 1111 1111 1111»", "no. «5555-5555-5555-4444».", "«378282246310005»", "2026 «4111111111111111» 12"],
        &["4111 1111 1111 1112", "1753179600000", "11111111-2222-4333-8444-555555555555", "0.4111111111111111", "20260722-100000-1234"]),
    ("iban", &["«DE89370400440532013000»", "to «GB82 WEST 1234 5698 7654 32»!", "«NL91ABNA0417164300»"], &["DE88370400440532013000", "GB82 WEST 1234", "XX89370400440532013000"]),
    ("email", &["«ada@example.com»", "<«Ada.Lovelace+x@mail.example.co.uk»>", "a\\n«bob@example.org».", "«jürgen@münchen.example»"],
        &["@handle", "user@localhost", "a @ b.c", "git@", "x@1.2"]),
];

#[test]
fn each_finds_its_own_and_nothing_else() {
    let names: Vec<&str> = CASES.iter().map(|(name, ..)| *name).collect();
    for name in names_of_all() {
        assert!(names.contains(&name), "{name} has no examples");
    }
    for (name, secrets, others) in CASES {
        assert!(secrets.len() >= 3 && others.len() >= 3, "{name}");
        let one = Detectors::new(|known| known == *name, Vec::new());
        for marked in *secrets {
            let marked = spell(marked);
            let text = marked.replace(['«', '»'], "");
            let found: Vec<&str> = one.find(&text).into_iter().map(|found| &text[found.range]).collect();
            let expected = marked.split_once('«').and_then(|(_, rest)| rest.split_once('»')).unwrap().0;
            assert_eq!(found, [expected], "{name} in {text}");
            let all = all().find(&text);
            let start = text.find(expected).unwrap();
            let covered = all
                .iter()
                .any(|found| found.range.start <= start && found.range.end >= start + expected.len());
            assert!(covered, "{text}: {all:?}");
        }
        for text in *others {
            let text = spell(text);
            assert_eq!(one.find(&text), [], "{name} in {text}");
        }
    }
}

fn names_of_all() -> Vec<&'static str> {
    names().collect()
}

#[test]
fn keys_say_that_a_value_is_secret() {
    let all = all();
    for key in ["password", "client_secret", "API-KEY", "accessToken"] {
        assert!(all.by_key(key).is_some(), "{key}");
    }
    for key in ["pwd", "password_hint", "access_token_id", "name"] {
        assert!(all.by_key(key).is_none(), "{key}");
    }
}

/// What takes the square of its size would not end.
#[test]
fn a_text_full_of_starts_ends() {
    let detectors = all();
    let pieces = [
        "eyJ",
        "sk-",
        "://",
        "@",
        "password=",
        "-----BEGIN ",
        "4 ",
        "a@a.",
        "SK",
        "DE89 ",
        "Bearer ",
        "uthorization:",
        "-----BEGIN PRIVATE KEY-----\u{1}",
        "ecret=a",
        "xoxa-",
        "AKIA",
    ];
    for piece in pieces {
        detectors.find(&piece.repeat(200_000 / piece.len()));
    }
}
