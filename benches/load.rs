//! YAKt and Apache Kafka's controller under the same load, side by side: `scripts/bench --help`.
//!
//! Speaks only the wire protocol, starts and stops what it measures, and takes every latency at the
//! client's socket. Generator and subject share the machine's cores, as they did for every figure in
//! `docs/benchmarks.md`.
//!
//! | file | what |
//! |---|---|
//! | `plan` | which stage measures what, and in which order the subjects take turns |
//! | `stages` | one file per stage: start, idle, load, bulk, hostile, failover |
//! | `figures` `report` | the table of figures with their targets; medians and ratios as Markdown |
//! | `subject` `process` | controllers as processes: format, start, kill; what Linux tells about them |
//! | `client` `fleet` `observer` | frames: one connection; brokers that register and beat; a follower of the log |
//! | `pressure` `stats` | closed loops of so many connections and requests; percentiles |
//! | `floor` | what the disk alone can do |

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark tells the time"
)]

#[path = "load/client.rs"]
mod client;
#[path = "load/figures.rs"]
mod figures;
#[path = "load/fleet.rs"]
mod fleet;
#[path = "load/floor.rs"]
mod floor;
#[path = "load/observer.rs"]
mod observer;
#[path = "load/plan.rs"]
mod plan;
#[path = "load/pressure.rs"]
mod pressure;
#[path = "load/process.rs"]
mod process;
#[path = "load/report.rs"]
mod report;
#[path = "load/stages/mod.rs"]
mod stages;
#[path = "load/stats.rs"]
mod stats;
#[path = "load/subject.rs"]
mod subject;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

fn main() -> ExitCode {
    match run(plan::Plan::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: plan::Plan) -> Result<()> {
    // One thread: a generator that spreads over all cores takes them from what it measures.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::select! {
            done = plan.carry_out() => done,
            // Dropping the plan ends its processes.
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    })
}
