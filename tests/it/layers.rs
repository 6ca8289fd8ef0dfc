//! Data flows one way: no module imports one above it, and stages do not see each other.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What every module may rest on.
const WORDS: &[&str] =
    &["clock", "digest", "limits", "record", "recovery", "refusal", "secret", "units", "vitals", "words"];

/// Beside the words, what each module may import of the crate. A module that is not here is a defect.
const ALLOWED: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("digest", &[]),
    ("limits", &[]),
    ("record", &[]),
    ("recovery", &[]),
    ("refusal", &[]),
    ("secret", &[]),
    ("units", &[]),
    ("vitals", &[]),
    ("words", &[]),
    ("disk", &[]),
    ("ground", &["disk"]),
    ("net", &[]),
    ("ledger", &["disk"]),
    ("spool", &["disk"]),
    ("source", &["disk", "net"]),
    ("format", &[]),
    ("archive", &[]),
    ("sink", &["archive", "disk", "ground", "net"]),
    ("config", &["format", "ledger", "net", "sink", "source"]),
    ("collect", &["disk", "ground", "ledger", "source", "spool"]),
    ("deliver", &["archive", "collect", "disk", "format", "ground", "ledger", "sink", "spool"]),
    ("status", &["collect", "ledger"]),
    ("health", &["collect", "ledger", "status"]),
    ("metrics", &["health", "status"]),
    ("page", &["collect", "health", "ledger", "metrics", "status"]),
    ("simulator", &[]),
    (
        "daemon",
        &[
            "archive", "collect", "config", "deliver", "disk", "format", "ground", "health", "ledger", "net",
            "page", "sink", "source", "spool", "status",
        ],
    ),
    (
        "cli",
        &[
            "archive",
            "collect",
            "config",
            "daemon",
            "deliver",
            "disk",
            "format",
            "ground",
            "ledger",
            "net",
            "simulator",
            "sink",
            "source",
            "spool",
            "status",
        ],
    ),
];

#[test]
fn no_module_imports_one_above_it() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for_each_source(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut |path, text| {
        let module = module_of(path);
        let tests = path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests");
        if tests || matches!(module.as_str(), "lib" | "main") {
            return;
        }
        let Some(may) = allowed.get(module.as_str()) else {
            return wrong.push(format!("src/{module}: give it a place in tests/it/layers.rs"));
        };
        for other in imports(text) {
            if other != module && !WORDS.contains(&other.as_str()) && !may.contains(&other.as_str()) {
                wrong.push(format!(
                    "{} imports crate::{other}, which lies above or beside it",
                    path.display()
                ));
            }
        }
    });
    assert!(wrong.is_empty(), "data flows one way:\n{}", wrong.join("\n"));
}

/// The simulator must not hide the client's mistakes by sharing them.
#[test]
fn the_simulator_parses_nothing_with_the_programs_own_code() {
    for_each_source(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/simulator")), &mut |path, text| {
        assert!(!imports(text).contains(&"record".to_owned()), "{}", path.display());
    });
}

#[test]
fn no_file_is_too_long_to_read() {
    for_each_source(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut |path, text| {
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines: split it", path.display());
        assert!(text.starts_with("//!"), "{} does not say what it owns", path.display());
    });
}

fn for_each_source(folder: &Path, each: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            for_each_source(&path, each);
        } else if path.extension().is_some_and(|end| end == "rs") {
            each(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

fn module_of(path: &Path) -> String {
    let inside = path.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

/// The first segment behind every `crate::`, also inside braces.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let names =
            rest.strip_prefix('{').map_or(rest, |inner| inner.split_once('}').map_or(inner, |(all, _)| all));
        let several = rest.starts_with('{');
        for name in names.split(',').take(if several { usize::MAX } else { 1 }) {
            let word: String = name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.push(word);
        }
    }
    found
}
