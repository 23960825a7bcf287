//! What is measured, how often, and in which order the subjects take turns.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use crate::process::Machine;
use crate::report::{self, Sheet};
use crate::stages::{self, Stage};
use crate::subject::{Site, Subject};

/// Measures YAKt, and Apache Kafka's controller beside it in the same run: first YAKt, then Apache
/// with its append linger at 0, then Apache with its defaults; in the next run the other way about.
/// Prints a table of medians (least to most) with ratios and targets.
#[derive(Parser)]
#[command(name = "scripts/bench")]
pub(crate) struct Plan {
    /// One run of short loads: shows that everything works; its figures mean little.
    #[arg(long)]
    quick: bool,
    /// Only these stages, as a list with commas.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STAGE")]
    only: Vec<Stage>,
    /// Who is measured.
    #[arg(long, value_enum, default_value_t = Who::Both)]
    subject: Who,
    /// How many runs; of each figure the table has the median.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20))]
    runs: Option<u32>,
    /// Also into docs/benchmarks.md, with a dated line.
    #[arg(long)]
    write: bool,
    /// Apache Kafka's jars.
    #[arg(long, value_name = "DIR", default_value = "target/compat/libs")]
    kafka_libs: PathBuf,
    /// The binary to measure; else the one built beside this program.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_yakt"))]
    yakt: PathBuf,
    /// Cargo says this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The value of `--subject`.
#[derive(Clone, Copy, ValueEnum)]
enum Who {
    Yakt,
    Apache,
    Both,
}

impl Who {
    fn subjects(self) -> &'static [Subject] {
        match self {
            Self::Yakt => &[Subject::Yakt],
            Self::Apache => &[Subject::Tuned, Subject::Apache],
            Self::Both => &[Subject::Yakt, Subject::Tuned, Subject::Apache],
        }
    }
}

/// How long and how much each stage may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Before anything is measured under load; a JVM needs it.
    pub(crate) warm_up: Duration,
    /// Of each closed loop.
    pub(crate) time: Duration,
    /// Of each closed loop.
    pub(crate) requests_max: u64,
    /// Until resident memory is read.
    pub(crate) idle: Duration,
    pub(crate) restarts: usize,
    pub(crate) propagations: usize,
    pub(crate) bulk_partitions: usize,
    pub(crate) hostile: Duration,
    pub(crate) failovers: usize,
    pub(crate) syncs: usize,
}

const FULL: Size = Size {
    warm_up: Duration::from_secs(6),
    time: Duration::from_secs(4),
    requests_max: 200_000,
    idle: Duration::from_secs(60),
    restarts: 3,
    propagations: 200,
    bulk_partitions: 100_000,
    hostile: Duration::from_secs(5),
    failovers: 10,
    syncs: 1_000,
};

const QUICK: Size = Size {
    warm_up: Duration::from_secs(1),
    time: Duration::from_millis(1_500),
    requests_max: 50_000,
    idle: Duration::from_secs(3),
    restarts: 2,
    propagations: 50,
    bulk_partitions: 20_000,
    hostile: Duration::from_secs(2),
    failovers: 2,
    syncs: 300,
};

/// Runs of a full measurement.
const RUNS: u32 = 3;

impl Plan {
    /// Measures, and shows the table.
    pub(crate) async fn carry_out(self) -> Result<()> {
        let subjects = self.subject.subjects();
        let site = Site::new(&self.yakt, &self.kafka_libs)?;
        ensure!(
            subjects == [Subject::Yakt] || site.has_apache(),
            "Apache Kafka's jars are not in {}: scripts/setup brings them",
            self.kafka_libs.display()
        );
        let size = if self.quick { QUICK } else { FULL };
        let runs = self.runs.unwrap_or(if self.quick { 1 } else { RUNS });
        let stages = if self.only.is_empty() {
            Stage::value_variants()
        } else {
            &self.only
        };
        let (began, mut sheet, mut machine) =
            (Instant::now(), Sheet::new(subjects), Machine::look());
        for run in 1..=runs {
            let mut turns = subjects.to_vec();
            if run % 2 == 0 {
                turns.reverse();
            }
            for stage in stages {
                eprintln!("run {run} of {runs}: {}", stage.about());
                stages::measure(*stage, &turns, &site, &size, &mut sheet).await;
                machine.look_again();
            }
        }
        let text = report::markdown(&sheet, &machine, runs, began.elapsed());
        println!("{text}");
        if self.write {
            let date = report::today();
            report::write(&text, &date, &sheet).context("docs/benchmarks.md")?;
        }
        ensure!(
            sheet.troubles().is_empty(),
            "not everything could be measured"
        );
        Ok(())
    }
}
