//! Scenarios as text: commands, and below the dashes the records and answers that they led to.
//!
//! A story runs on the real leader (`Core`), whose proposals commit at once, with a clock that only
//! the story moves. `scripts/stories --rewrite` writes what comes out into the files; commit only a
//! difference that you can explain.

mod stage;
mod tell;

use std::fmt::Write as _;
use std::path::Path;

use stage::Stage;

/// The line between a command and what came of it.
const DASHES: &str = "----";

#[test]
fn stories() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let rewrite = std::env::var_os("STORIES_REWRITE").is_some();
    let mut told = 0;
    let mut wrong = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of the stories")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    for path in files {
        told += 1;
        let written = std::fs::read_to_string(&path).expect("a readable story");
        let actual = tell_again(&written);
        if actual == written {
            continue;
        }
        if rewrite {
            std::fs::write(&path, actual).expect("a writable story");
        } else {
            wrong.push(difference(&path, &written, &actual));
        }
    }
    assert!(told > 0, "there are no stories in {}", folder.display());
    assert!(
        wrong.is_empty(),
        "{}\nscripts/stories --rewrite accepts it",
        wrong.join("\n")
    );
}

/// The story with everything below its dashes as it comes out now.
fn tell_again(written: &str) -> String {
    let mut stage = Stage::new();
    let mut out = String::new();
    let mut lines = written.lines().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            writeln!(out, "{line}").expect("memory");
            continue;
        }
        // Commands up to the dashes are one scene.
        let mut scene = vec![line];
        while let Some(line) = lines.next_if(|line| *line != DASHES) {
            scene.push(line);
        }
        lines.next();
        while lines.next_if(|line| !line.is_empty()).is_some() {}
        for command in &scene {
            writeln!(out, "{command}").expect("memory");
        }
        writeln!(out, "{DASHES}").expect("memory");
        for command in scene {
            for line in stage.play(command) {
                writeln!(out, "{line}").expect("memory");
            }
        }
    }
    out
}

/// The first line that differs, with its place.
fn difference(path: &Path, written: &str, actual: &str) -> String {
    let mut pairs = written.lines().zip(actual.lines()).enumerate();
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    match pairs.find(|(_, (a, b))| a != b) {
        Some((place, (a, b))) => format!("{name}:{}: written {a:?}, came out {b:?}", place + 1),
        None => format!("{name}: one is longer"),
    }
}
