//! One file for each rule: `tests/fixtures/config/valid` and `invalid`; what the latter say is in `snapshots`.

use std::collections::BTreeMap;
use std::fs;

use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::*;
use crate::format::{Content, Format};
use crate::ledger::SinkStart;
use crate::source::openai::ComplianceConfig;
use crate::words::PrincipalKind;

const EXAMPLE: &str = include_str!("../../config.example.toml");

fn env(name: &str) -> Option<String> {
    match name {
        "API_KEY" => Some("sk-abcdefgh".to_owned()),
        "TOKEN" => Some("0123456789abcdef".to_owned()),
        "BLANK" => Some("\n".to_owned()),
        _ => None,
    }
}

fn parse(name: &str, text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new(name), Secrets::Checked, &env)
}

fn fixtures(folder: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config").join(folder);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn valid_files_are_taken() {
    for (name, text) in fixtures("valid") {
        parse("config.toml", &text).unwrap_or_else(|error| panic!("{name}:\n{error}"));
    }
}

#[test]
fn every_rule_has_its_own_words() {
    let settings = insta::Settings::clone_current();
    for (name, text) in fixtures("invalid") {
        let env = |variable: &str| match variable {
            "CREDENTIALS_DIRECTORY" if name == "secret_credential_missing" => Some("/nonexistent".to_owned()),
            _ => env(variable),
        };
        let result = Config::parse(&text, Path::new("config.toml"), Secrets::Checked, &env);
        let error = result.err().unwrap_or_else(|| panic!("{name} was taken"));
        assert!(!error.hint.is_empty(), "{name}");
        assert!(!error.to_string().contains("sk-a"), "{name} shows a secret");
        settings.bind(|| insta::assert_snapshot!(name.as_str(), error));
    }
}

#[test]
fn each_snapshot_has_its_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/snapshots");
    let mut rules: Vec<String> = fixtures("invalid").into_keys().collect();
    rules.extend(["several", "unreadable"].map(str::to_owned));
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let rule = name.rsplit("__").next().unwrap().trim_end_matches(".snap").to_owned();
        assert!(rules.contains(&rule), "no file of the name {rule}");
    }
}

#[test]
fn defaults_are_filled_in() {
    let config = parse("config.toml", &fixtures("valid")["least"]).unwrap();
    assert_eq!(config.data_dir, Path::new("/var/lib/custodex"));
    assert_eq!(config.instance, "custodex");
    assert_eq!(config.spool, SpoolConfig { keep: Duration::from_secs(604_800), max_bytes: 20_000_000_000 });
    let source = &config.sources[0];
    assert_eq!(source.name, "codex");
    assert_eq!(source.config.principal.kind, PrincipalKind::Workspace);
    assert_eq!(source.config.event_types, ["CODEX_LOG", "CODEX_SECURITY_LOG", "AUTH_LOG", "AUDIT_LOG"]);
    assert_eq!(source.config.base_url.as_str(), "https://api.chatgpt.com/v1");
    assert_eq!(source.config.poll_interval, Duration::from_secs(300));
    assert_eq!(source.config.start_from, Duration::from_secs(30 * 86_400));
    assert_eq!(source.config.requests_per_minute, 50);
    let sink = &config.sinks[0];
    assert_eq!((sink.name.as_str(), sink.kind, sink.start), ("screen", "stdout", SinkStart::Beginning));
    assert_eq!((sink.max_unconfirmed_records, sink.rate), (10_000, None));
    assert_eq!(sink.options, format::Options::default());
}

#[test]
fn everything_can_be_said() {
    let config = parse("config.toml", &fixtures("valid")["everything"]).unwrap();
    let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["zebra", "costs"], "in the order of the file");
    assert_eq!(config.sources[1].config.event_types, ["COSTS"]);
    assert_eq!(config.sources[1].config.principal.kind, PrincipalKind::Organization);
    let sink = &config.sinks[0];
    assert_eq!((sink.start, sink.max_unconfirmed_records, sink.rate), (SinkStart::Now, 500, Some(1000)));
    let options = format::Options {
        format: Format::Raw,
        include_raw: true,
        content: Content::Metadata,
        ..format::Options::default()
    };
    assert_eq!(sink.options, options);
    let debug = format!("{config:?}");
    assert!(debug.contains("http://proxy.example.com:3128/") && !debug.contains("hunter2"), "{debug}");
}

#[test]
fn several_faults_are_told_at_once_in_the_order_of_the_file() {
    let text = fixtures("valid")["least"].replace("API_KEY", "UNSET");
    let text = format!("colour = 1\n{text}format = \"xml\"\n[sinks.other]\ntype = \"fiel\"\n");
    let error = parse("config.toml", &text).unwrap_err();
    insta::assert_snapshot!("several", error);
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("latin.toml"), b"instance = \"caf\xe9\"").unwrap();
    fs::write(path("large.toml"), " ".repeat(1 << 21)).unwrap();
    fs::create_dir(path("folder.toml")).unwrap();
    let mut texts = Vec::new();
    for name in ["absent.toml", "folder.toml", "large.toml", "latin.toml"] {
        let error = Config::load(&path(name), Secrets::Checked, &env).unwrap_err();
        texts.push(error.to_string().replace(folder.path().to_str().unwrap(), "/etc/custodex"));
    }
    insta::assert_snapshot!("unreadable", texts.join("\n\n"));
    let denied = io::ErrorKind::PermissionDenied.into();
    assert_eq!(next_step(&denied), "let the user that runs this command read it, or run it as its owner");
}

#[test]
fn secrets_are_left_alone_where_nothing_is_sent() {
    let text = fixtures("invalid").remove("secret_env_unset").unwrap();
    let path = Path::new("config.toml");
    assert!(Config::parse(&text, path, Secrets::Unread, &env).is_ok());
}

#[test]
fn the_path_comes_from_the_environment_or_is_the_usual_one() {
    assert_eq!(default_path(&|_| None), Path::new("/etc/custodex/config.toml"));
    let set = |name: &str| (name == "CUSTODEX_CONFIG").then(|| "mine.toml".to_owned());
    assert_eq!(default_path(&set), Path::new("mine.toml"));
}

/// The example as it is, with its defaults (`#key = …`) or also its examples (`#   key = …`) written out.
fn example(written: &[&str]) -> Config {
    let mut text = String::new();
    for line in EXAMPLE.lines() {
        let mark = written.iter().find(|mark| {
            line.strip_prefix(**mark).is_some_and(|rest| {
                rest.starts_with('[')
                    || (rest.starts_with(|c: char| c.is_ascii_lowercase()) && rest.contains(" = "))
            })
        });
        text.push_str(mark.map_or(line, |mark| &line[mark.len()..]));
        text.push('\n');
    }
    let path = Path::new("config.example.toml");
    Config::parse(&text, path, Secrets::Unread, &env).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_example_tells_the_defaults() {
    // It shows what the whole program has.
    if !cfg!(feature = "s3") {
        return;
    }
    let (plain, mut written) = (example(&[]), example(&["#"]));
    written.sha256 = plain.sha256;
    assert_eq!(format!("{plain:#?}"), format!("{written:#?}"));
    example(&["#", "#   "]);
}

#[test]
fn the_example_has_every_key() {
    // It shows what the whole program has.
    if !cfg!(feature = "s3") {
        return;
    }
    let sections: Vec<&str> = EXAMPLE.split("\n[").collect();
    let of = |kind: &str| {
        let line = format!("type = \"{kind}\"");
        EXAMPLE
            .split("[s")
            .find(|part| part.contains(&line))
            .unwrap_or_else(|| panic!("no {kind}"))
            .to_owned()
    };
    let has = |part: &str, key: &str| {
        let found = part.lines().any(|line| {
            line.trim_start_matches(['#', ' ']).strip_prefix(key).is_some_and(|rest| rest.starts_with(" = "))
        });
        assert!(found, "`{key}` is missing in\n{part}");
    };
    for key in ["data_dir", "instance"] {
        has(sections[0], key);
    }
    for key in ["keep", "max_bytes"] {
        has(of_header(&sections, "spool]"), key);
    }
    has(of_header(&sections, "custody]"), "signing_key");
    for key in ["listen", "token"] {
        has(EXAMPLE.split("   [http]").nth(1).unwrap(), key);
    }
    for key in ["proxy", "ca_file"] {
        has(of_header(&sections, "network]"), key);
    }
    for key in known(|keys| ComplianceConfig::read(keys).map(drop)) {
        has(EXAMPLE, &key);
    }
    for kind in TYPES {
        for key in known(|keys| (kind.read)(keys).map(drop)) {
            has(&of(kind.name), &key);
        }
    }
    for key in read::COMMON {
        has(&of("file"), key);
    }
    let rules = EXAMPLE.lines().find(|line| line.starts_with("#   redact = ")).unwrap();
    for key in ["field", "action", "key", "to", "patterns", "name", "regex"] {
        assert!(rules.contains(&format!("{key} = ")), "`{key}` is missing in {rules}");
    }
    for action in ["drop", "hmac", "sha256", "truncate", "mask"] {
        assert!(EXAMPLE.contains(&format!("#   {action} ")), "`{action}` is not explained");
    }
}

fn of_header<'a>(sections: &[&'a str], header: &str) -> &'a str {
    sections.iter().find(|section| section.starts_with(header)).unwrap()
}

/// The keys that a reader knows, as it tells those who write another.
fn known(read: impl Fn(ValueDeserializer<'_>) -> Result<(), toml::de::Error>) -> Vec<String> {
    let table = DeValue::parse("{ zzz = 1 }").unwrap().into_inner();
    let error = read(ValueDeserializer::from(Spanned::new(0..0, table))).unwrap_err();
    error.message().split('`').skip(3).step_by(2).map(str::to_owned).collect()
}
