//! The command line: what may be said, and who does it.

mod banner;
mod export;
mod run;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::clock::{Clock, Dice, SystemClock};
use crate::format::{self, Controllers, Format};
use crate::ids::base64;
use crate::settings::Settings;

/// The Kafka control plane as one small binary. Without a command it starts one node with defaults:
/// Kafka on 127.0.0.1:9093, HTTP on 127.0.0.1:5012, data in ./yakt-data.
#[derive(Debug, Parser)]
#[command(name = "yakt", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a node, from an Apache controller.properties file if one is named.
    #[command(after_long_help = run::known_keys())]
    Run(run::RunArgs),
    /// Prepare the data directories of a node, as kafka-storage format does.
    Format(FormatArgs),
    /// Print a random uuid, for a cluster id.
    RandomUuid,
    /// Show what the data directories hold, as kafka-storage info does.
    Info {
        /// The node's properties file.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Write Kafka's own files from the store of a stopped node.
    Export(export::ExportArgs),
}

#[derive(Debug, Args)]
struct FormatArgs {
    /// The node's properties file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// The cluster id, the same for all nodes: see yakt random-uuid.
    #[arg(short = 't', long)]
    cluster_id: String,
    /// This node alone is the quorum.
    #[arg(short, long, conflicts_with_all = ["initial_controllers", "no_initial_controllers"])]
    standalone: bool,
    /// The quorum's first voters; say the same on all of them.
    #[arg(short = 'I', long, value_name = "ID@HOST:PORT:DIRECTORY_ID,...")]
    #[arg(conflicts_with = "no_initial_controllers")]
    initial_controllers: Option<String>,
    /// The node joins a quorum that is there.
    #[arg(short = 'N', long)]
    no_initial_controllers: bool,
    /// The release whose feature levels the cluster begins on; the newest by default.
    #[arg(short, long, value_name = "VERSION")]
    release_version: Option<String>,
    /// The level of a single feature.
    #[arg(short, long = "feature", value_name = "FEATURE=LEVEL")]
    features: Vec<String>,
    /// A user that exists from the start, for example SCRAM-SHA-256=[name=alice,password=secret].
    #[arg(short = 'S', long = "add-scram", value_name = "SCRAM")]
    scram: Vec<String>,
    /// Leave directories that are formatted already, and format the others.
    #[arg(short = 'g', long)]
    ignore_formatted: bool,
}

/// Does what the process's arguments say. An error is one sentence on standard error, status 1.
pub fn main() -> ExitCode {
    let command_line = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        Err(error) => {
            let _ = error.print(); // help and version go to standard output
            return if error.use_stderr() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match carry_out(command_line.command) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "yakt: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Option<Command>) -> anyhow::Result<ExitCode> {
    match command {
        None => run::run(&run::RunArgs::default())?,
        Some(Command::Run(args)) => run::run(&args)?,
        Some(Command::Format(args)) => say(&format_directories(args)?.join("\n"))?,
        Some(Command::RandomUuid) => say(&base64(Dice::from_entropy().uuid()).to_string())?,
        Some(Command::Export(args)) => export::export(&args)?,
        Some(Command::Info { config }) => {
            let (text, well) = format::info(&load(Some(&config), &[])?);
            say(text.trim_end_matches('\n'))?;
            return Ok(if well {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn format_directories(args: FormatArgs) -> anyhow::Result<Vec<String>> {
    let settings = load(Some(&args.config), &[])?;
    let controllers = match (
        args.standalone,
        args.initial_controllers,
        args.no_initial_controllers,
    ) {
        (true, ..) => Controllers::Standalone,
        (false, Some(list), _) => Controllers::Initial(list),
        (false, None, true) => Controllers::None,
        (false, None, false) => Controllers::Configured,
    };
    let ask = Format {
        cluster_id: args.cluster_id,
        controllers,
        release_version: args.release_version,
        features: args.features,
        scram: args.scram,
        ignore_formatted: args.ignore_formatted,
    };
    format::format(
        &settings,
        &ask,
        SystemClock::new().now(),
        &Dice::from_entropy(),
    )
}

/// Settings from the file, the process's environment and the overrides.
fn load(file: Option<&Path>, overrides: &[String]) -> anyhow::Result<Settings> {
    let environment = std::env::vars_os();
    let environment = environment
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Settings::load(file, environment, overrides)
}

/// Prints a line, or several.
fn say(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{text}").context("cannot write to standard output")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn kafka_storages_short_options_work() {
        let args = "yakt format -t abc -c a.properties -s -r 4.0 -f group.version=1 -S x -g";
        let parsed = CommandLine::try_parse_from(args.split(' ')).expect("valid");
        let Some(Command::Format(args)) = parsed.command else {
            panic!("{parsed:?}")
        };
        assert!(args.standalone && args.ignore_formatted);
        assert_eq!((args.features.len(), args.scram.len()), (1, 1));
        for wrong in ["-s -N", "-s -I 1@a:1:b", "-N -I 1@a:1:b", "-x"] {
            let args = format!("yakt format -t abc -c a.properties {wrong}");
            CommandLine::try_parse_from(args.split(' ')).expect_err(wrong);
        }
    }
}
