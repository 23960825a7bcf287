//! Assembly: what is started in which order, and stopped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::format::Opened;
use crate::settings::Settings;

/// A node that is up, as the start tells about it.
#[derive(Clone, Copy, Debug)]
pub struct Up<'a> {
    /// Its configuration.
    pub settings: &'a Settings,
    /// The addresses that its Kafka listeners really have.
    pub kafka: &'a [SocketAddr],
    /// The addresses that its HTTP listeners really have.
    pub http: &'a [SocketAddr],
}

/// Runs a node until SIGTERM or SIGINT, and tells by `is_up` when its listeners take connections.
pub async fn run(
    settings: Settings,
    opened: Opened,
    is_up: impl FnOnce(&Up<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let _ = (settings, opened, is_up);
    anyhow::bail!("the node is not assembled yet")
}

/// Which of Kafka's files to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// The metadata log.
    Log,
    /// The newest snapshot.
    Snapshot,
}

/// Writes Kafka's files from the store of a stopped node into `output` and gives back their paths.
pub fn export(settings: &Settings, what: Export, output: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let _ = (settings, what, output);
    anyhow::bail!("the store is not assembled yet")
}
