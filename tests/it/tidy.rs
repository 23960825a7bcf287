//! Rules about the code itself: who may import whom, and what every file owes its reader.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The rooms that every room may use.
const VOCABULARY: &[&str] = &["ids", "clock", "refusal", "settings", "metrics"];

/// Crates and modules that only some rooms may know: what, and who.
const RESERVED: &[(&str, &[&str])] = &[
    ("openraft", &["quorum"]),
    ("fjall", &["quorum"]),
    ("lsm_tree", &["quorum"]),
    ("axum", &["http", "node"]),
    ("utoipa", &["http"]),
    ("clap", &["cli"]),
    ("tracing_subscriber", &["cli"]),
    ("java_properties", &["settings"]),
    ("prometheus_client", &["metrics", "http"]),
    ("serde_json", &["http", "quorum", "cli"]),
    (
        "tokio",
        &[
            "feed",
            "controller",
            "quorum",
            "wire",
            "http",
            "node",
            "cli",
        ],
    ),
    (
        "std::fs",
        // http reads /proc alone, for the metrics page.
        &[
            "settings", "format", "feed", "quorum", "http", "node", "cli",
        ],
    ),
    (
        "std::time",
        &[
            "clock",
            "feed",
            "controller",
            "quorum",
            "wire",
            "http",
            "node",
            "cli",
        ],
    ),
    (
        "std::thread",
        &[
            "feed",
            "controller",
            "quorum",
            "wire",
            "http",
            "node",
            "cli",
        ],
    ),
    ("rand", &["clock"]),
];

/// Which rooms a room may import, beside [`VOCABULARY`] and itself. ARCHITECTURE.md says why.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("ids", &[]),
    ("clock", &[]),
    ("refusal", &[]),
    ("settings", &[]),
    ("metrics", &[]),
    ("records", &[]),
    ("image", &["records"]),
    ("rules", &["image", "records"]),
    ("api", &["rules", "image", "records"]),
    ("format", &["rules", "records"]),
    ("feed", &["image", "records"]),
    // The trait by which the controller asks for replication is the controller's own.
    ("controller", &["feed", "api", "rules", "image", "records"]),
    ("quorum", &["controller", "feed", "image", "records"]),
    (
        "wire",
        &["controller", "feed", "api", "rules", "image", "records"],
    ),
    (
        "http",
        &["controller", "feed", "api", "rules", "image", "records"],
    ),
];

/// They join the rooms, so they may import everything.
const ASSEMBLY: &[&str] = &["node", "cli", "main", "lib"];

#[test]
fn rooms_import_only_what_they_may() {
    let mut wrong = BTreeSet::new();
    for file in sources() {
        let room = room_of(&file);
        if is_test_code(&file) || ASSEMBLY.contains(&room.as_str()) {
            continue;
        }
        let code = without_tests(&read(&file));
        wrong.extend(
            forbidden_imports(&room, &code).map(|what| format!("{room} must not import {what}")),
        );
    }
    assert!(
        wrong.is_empty(),
        "{}",
        wrong.into_iter().collect::<Vec<_>>().join("\n")
    );
}

fn forbidden_imports<'a>(room: &'a str, code: &'a str) -> impl Iterator<Item = String> + 'a {
    let allowed = MAY_IMPORT
        .iter()
        .find(|(name, _)| *name == room)
        .map(|(_, allowed)| *allowed);
    let allowed = allowed.unwrap_or_else(|| panic!("{room} has no row in MAY_IMPORT"));
    let rooms = imported_rooms(code).into_iter().filter(move |other| {
        other != room && !VOCABULARY.contains(&other.as_str()) && !allowed.contains(&other.as_str())
    });
    let reserved = RESERVED
        .iter()
        .filter(move |(what, who)| !who.contains(&room) && mentions(code, what))
        .map(|(what, _)| (*what).to_owned());
    rooms.chain(reserved)
}

/// Rooms named in `crate::room` and `use crate::{room, other::…}`.
fn imported_rooms(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (place, _) in code.match_indices("crate::") {
        let rest = &code[place + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => rooms.extend(first_word(rest)),
            Some(list) => rooms.extend(top_level_entries(list).filter_map(first_word)),
        }
    }
    let known = |room: &String| {
        MAY_IMPORT.iter().any(|(name, _)| name == room) || ASSEMBLY.contains(&room.as_str())
    };
    rooms.into_iter().filter(known).collect()
}

/// Cuts `a, b::{c, d}} …` into `a` and `b::{c, d}`.
fn top_level_entries(list: &str) -> impl Iterator<Item = &str> {
    let (mut depth, mut start, mut entries) = (0, 0, Vec::new());
    for (place, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                entries.push(&list[start..place]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                entries.push(&list[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    entries.into_iter()
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text
        .trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!word.is_empty()).then_some(word)
}

/// Whether the code (not its comments) goes into this crate or module.
fn mentions(code: &str, what: &str) -> bool {
    let path = format!("{what}::");
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    code.lines().filter(is_code).any(|line| {
        line.match_indices(&path).any(|(place, _)| {
            let before = line[..place].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
        })
    })
}

#[test]
fn the_import_check_sees_what_it_should() {
    let found = |room: &str, code: &str| forbidden_imports(room, code).collect::<Vec<_>>();
    assert_eq!(found("image", "use tokio::sync::watch;"), ["tokio"]);
    assert_eq!(
        found("image", "use crate::records::Record;"),
        Vec::<String>::new()
    );
    assert_eq!(
        found("image", "use crate::{ids, rules::{View, live::Live}, api};"),
        ["api", "rules"]
    );
    assert_eq!(
        found("rules", "let x = crate::feed::Published::new();"),
        ["feed"]
    );
    assert_eq!(
        found("rules", "// tokio::spawn is not for us"),
        Vec::<String>::new()
    );
    assert_eq!(found("feed", "openraft::Raft::new()"), ["openraft"]);
}

#[test]
fn every_room_has_a_row() {
    let known: BTreeSet<&str> = MAY_IMPORT
        .iter()
        .map(|(room, _)| *room)
        .chain(ASSEMBLY.iter().copied())
        .collect();
    for file in sources() {
        let room = room_of(&file);
        assert!(
            known.contains(room.as_str()),
            "{} belongs to no room",
            file.display()
        );
    }
}

#[test]
fn every_source_file_says_what_it_is() {
    for file in sources() {
        let text = read(&file);
        assert!(
            text.starts_with("//! ") || is_test_code(&file),
            "{} must begin with a //! sentence",
            file.display()
        );
    }
}

#[test]
fn nothing_points_outside_of_the_repository() {
    let words = [
        concat!("/wo", "rk/"),
        concat!("sha", "red/facts"),
        concat!("sha", "red/golden"),
        concat!("../sha", "red"),
    ];
    for file in tracked() {
        // Recorded data and lock files are what they are.
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        for word in words {
            assert!(!text.contains(word), "{} names {word}", file.display());
        }
    }
}

#[test]
fn every_script_can_be_run_and_explains_itself() {
    let root = root();
    for file in tracked() {
        let relative = file.strip_prefix(&root).expect("below the root");
        let is_script = relative.starts_with("scripts")
            || relative == Path::new("compat/run")
            || relative == Path::new(".ci/run");
        if !is_script {
            continue;
        }
        let help = Command::new(&file).arg("--help").output();
        let help =
            help.unwrap_or_else(|error| panic!("{} cannot be run: {error}", relative.display()));
        let text = String::from_utf8_lossy(&help.stdout);
        assert!(
            help.status.success() && text.contains("usage:"),
            "{} --help: {text}",
            relative.display()
        );
    }
}

/// The room of a file: the first part of its path below `src`.
fn room_of(file: &Path) -> String {
    let relative = file.strip_prefix(root().join("src")).expect("below src");
    let first = relative.components().next().expect("a file");
    first
        .as_os_str()
        .to_string_lossy()
        .trim_end_matches(".rs")
        .to_owned()
}

fn is_test_code(file: &Path) -> bool {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    name == "tests"
        || name == "testing"
        || name.ends_with("_test")
        || name.ends_with("_tests")
        || file
            .components()
            .any(|part| part.as_os_str() == "tests" || part.as_os_str() == "testing")
}

/// The code up to its tests, which stand at the end of a file and may import what they like.
fn without_tests(code: &str) -> String {
    let end = code.find("#[cfg(test)]\nmod ").unwrap_or(code.len());
    code[..end].to_owned()
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![root().join("src")];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of the sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// All files under version control.
fn tracked() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output()
        .expect("git runs");
    let names = String::from_utf8(output.stdout).expect("file names are UTF-8");
    names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(|name| root().join(name))
        .filter(|file| file.exists())
        .collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
