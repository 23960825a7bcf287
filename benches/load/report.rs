//! What was measured, as Markdown.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::figures::{self, Better, Figure, TABLE};
use crate::process::Machine;
use crate::stats::median;
use crate::subject::Subject;

/// Where `--write` writes.
const PAPER: &str = "docs/benchmarks.md";
/// Its parts: the newest table stands between the first two, dated lines follow the third.
const TABLE_BEGINS: &str = "<!-- table: written by scripts/bench --write -->";
const TABLE_ENDS: &str = "<!-- end of table -->";
const LINES_BEGIN: &str = "<!-- lines: newest last -->";

/// The figures of a dated line.
const IN_A_LINE: &[&str] = &[
    "floor.p50",
    "start.write",
    "idle.rss",
    "create.1.p50",
    "create.64",
    "create.8x8",
    "allocate.64",
    "failover.kill.p90",
    "failover.term.p50",
];

/// All values of all figures, one for each run of each subject (several for the floor).
pub(crate) struct Sheet {
    subjects: Vec<Subject>,
    values: Vec<(Subject, &'static str, f64)>,
    troubles: Vec<String>,
}

impl Sheet {
    pub(crate) fn new(subjects: &[Subject]) -> Self {
        Self {
            subjects: subjects.to_vec(),
            values: Vec::new(),
            troubles: Vec::new(),
        }
    }

    pub(crate) fn note(&mut self, subject: Subject, key: &'static str, value: f64) {
        let figure = figures::find(key);
        let digits = figure.digits;
        eprintln!("  {}: {}: {value:.digits$}", subject.name(), figure.about);
        self.values.push((subject, key, value));
    }

    /// Something could not be measured.
    pub(crate) fn trouble(&mut self, subject: Subject, what: String) {
        let trouble = format!("{}: {what}", subject.name());
        eprintln!("  {trouble}");
        self.troubles.push(trouble);
    }

    pub(crate) fn troubles(&self) -> &[String] {
        &self.troubles
    }

    /// The value noted last.
    pub(crate) fn last(&self, subject: Subject, key: &str) -> f64 {
        self.of(subject, key).last().copied().unwrap_or(f64::NAN)
    }

    fn of(&self, subject: Subject, key: &str) -> Vec<f64> {
        let mine = self
            .values
            .iter()
            .filter(|it| it.0 == subject && it.1 == key);
        mine.map(|it| it.2).collect()
    }

    fn median(&self, subject: Subject, key: &str) -> f64 {
        median(&self.of(subject, key))
    }
}

/// The table, with what must be known to read it.
pub(crate) fn markdown(sheet: &Sheet, machine: &Machine, runs: u32, took: Duration) -> String {
    let mut text = format!(
        "{}: median (least to most) of {runs} runs on {}, load average {:.1} to {:.1}, {} s in all; \
         generator and controllers share the cores. × is how many times better YAKt is.\n\n",
        today(),
        machine.name,
        machine.load.0,
        machine.load.1,
        took.as_secs()
    );
    let others = sheet.subjects.iter().filter(|it| **it != Subject::Yakt);
    let others: Vec<Subject> = others.copied().collect();
    let compares = others.len() < sheet.subjects.len();
    let mut head = vec!["Figure".to_owned()];
    head.extend(sheet.subjects.iter().map(|it| it.name().to_owned()));
    if compares {
        head.extend(others.iter().map(|it| format!("× {}", it.name())));
        head.push("target".to_owned());
    }
    row(&mut text, &head);
    row(&mut text, &vec!["---".to_owned(); head.len()]);
    for figure in TABLE {
        if sheet.values.iter().any(|it| it.1 == figure.key) {
            row(&mut text, &cells(sheet, figure, &others, compares));
        }
    }
    for trouble in &sheet.troubles {
        let _ = writeln!(text, "\nNot measured: {trouble}");
    }
    text
}

fn cells(sheet: &Sheet, figure: &Figure, others: &[Subject], compares: bool) -> Vec<String> {
    let mut cells = vec![figure.about.to_owned()];
    let value = |subject: &Subject| {
        let values = sheet.of(*subject, figure.key);
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let digits = figure.digits;
        match values.len() {
            0 => "–".to_owned(),
            1 => format!("{:.digits$}", values[0]),
            _ => format!(
                "{:.digits$} ({least:.digits$} to {most:.digits$})",
                median(&values)
            ),
        }
    };
    cells.extend(sheet.subjects.iter().map(value));
    if !compares {
        return cells;
    }
    let mine = sheet.median(Subject::Yakt, figure.key);
    for other in others {
        let theirs = sheet.median(*other, figure.key);
        let ratio = match figure.better {
            Better::Less => theirs / mine,
            Better::More => mine / theirs,
            Better::Neither => f64::NAN,
        };
        let shown = ratio.is_finite() && mine > 0.0 && theirs > 0.0;
        cells.push(if shown {
            format!("{ratio:.1}")
        } else {
            String::new()
        });
    }
    cells.push(target(figure, mine));
    cells
}

fn target(figure: &Figure, mine: f64) -> String {
    let Some(target) = figure.target else {
        return String::new();
    };
    let sign = if figure.better == Better::More {
        "≥"
    } else {
        "≤"
    };
    let verdict = if figure.is_met(mine) {
        "met"
    } else {
        "**missed**"
    };
    format!("{sign} {target}: {verdict}")
}

fn row(text: &mut String, cells: &[String]) {
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// Puts the table into the paper in place of the last one, and a line behind the others.
pub(crate) fn write(table: &str, date: &str, sheet: &Sheet) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAPER);
    let paper = std::fs::read_to_string(&path)?;
    let parts = paper.split_once(TABLE_BEGINS).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(TABLE_ENDS)?;
        after.contains(LINES_BEGIN).then_some((before, after))
    });
    let Some((before, after)) = parts else {
        anyhow::bail!("the marks between which the table stands are gone");
    };
    let after = after.trim_end();
    let line = line(date, sheet);
    let paper = format!("{before}{TABLE_BEGINS}\n\n{table}\n{TABLE_ENDS}{after}\n{line}\n");
    std::fs::write(path, paper)?;
    Ok(())
}

/// YAKt's medians of a day in one line.
fn line(date: &str, sheet: &Sheet) -> String {
    let figures = IN_A_LINE.iter().map(|key| {
        let (figure, value) = (figures::find(key), sheet.median(Subject::Yakt, key));
        let digits = figure.digits;
        format!("{key} {value:.digits$}")
    });
    let figures: Vec<String> = figures.collect();
    format!("- {date}: {}", figures.join(", "))
}

/// The day, as people write it.
pub(crate) fn today() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let days = now.map_or(0, |now| now.as_secs() / 86_400) as i64;
    date(days)
}

/// The day so many days after 1970-01-01, by counting eras of 400 years that begin in March.
fn date(days: i64) -> String {
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + later)
}
