//! `yakt` and `yakt run`: one node, in the foreground.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use tracing_subscriber::EnvFilter;

use super::banner::banner;
use super::{load, say};
use crate::clock::{Clock, Dice, SystemClock};
use crate::settings::keys;
use crate::{format, node};

/// What is logged where nobody says otherwise: YAKt's own news, and trouble of the libraries.
const LOG_FILTER: &str = "warn,yakt=info";

#[derive(Debug, Default, Args)]
pub(super) struct RunArgs {
    /// The node's properties file; the embedded defaults without one.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// A key that wins over the file and the environment.
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The cluster id to format with on the first start, and to insist on later; the environment's
    /// CLUSTER_ID by default.
    #[arg(long)]
    cluster_id: Option<String>,
}

/// Starts a node and returns when it has stopped. A directory that is not formatted yet is formatted.
pub(super) fn run(args: &RunArgs) -> anyhow::Result<()> {
    start_logging();
    let mut settings = load(args.file.as_deref(), &args.overrides)?;
    for note in &settings.notes {
        tracing::warn!("{note}");
    }
    let cluster_id = args
        .cluster_id
        .clone()
        .or_else(|| std::env::var("CLUSTER_ID").ok());
    let cluster_id = cluster_id.as_deref().filter(|id| !id.is_empty());
    let now = SystemClock::new().now();
    let opened = format::open(&mut settings, cluster_id, now, &Dice::from_entropy())?;
    for line in &opened.lines {
        say(line)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("cannot start the worker threads")?;
    runtime.block_on(node::run(settings, opened, |up| say(&banner(up))))
}

/// Logs go to standard error; `RUST_LOG`, else `YAKT_LOG`, says how much of them.
fn start_logging() {
    let wanted = ["RUST_LOG", "YAKT_LOG"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    let filter = EnvFilter::builder().parse_lossy(wanted.as_deref().unwrap_or(LOG_FILTER));
    let on_terminal = io::IsTerminal::is_terminal(&io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(on_terminal)
        .init();
}

/// The list of keys for `yakt run --help`.
pub(super) fn known_keys() -> String {
    let mut text = String::from("Keys, with the environment variable that sets each:\n");
    for key in keys::TABLE {
        write!(
            text,
            "\n  {} ({})\n      {}",
            key.name,
            key.environment_name(),
            key.about
        )
        .expect("a String takes everything");
        if matches!(key.kind, keys::Kind::Number(..)) {
            write!(text, "; {}", key.allowed()).expect("a String takes everything");
        }
    }
    text
}
