//! `yakt export`: Kafka's own files from YAKt's store.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{load, say};
use crate::node;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    what: What,
    /// The node's properties file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Where to write; made if it is missing.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The metadata log, as segments of __cluster_metadata-0.
    #[arg(long)]
    log: bool,
    /// The newest snapshot, as a .checkpoint file.
    #[arg(long)]
    snapshot: bool,
}

/// Writes the files and names each.
pub(super) fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let settings = load(Some(&args.config), &[])?;
    let kind = if args.what.log {
        node::Export::Log
    } else {
        node::Export::Snapshot
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("cannot start the worker threads")?;
    for file in runtime.block_on(node::export(&settings, kind, &args.output))? {
        say(&file.display().to_string())?;
    }
    Ok(())
}
