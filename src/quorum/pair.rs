//! A snapshot on its way: the two open files that openraft hands from one place to the next.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::files::{crc_of, read_all};
use super::side_file::Side;

/// A snapshot as openraft hands it on: both files, opened, so that they stay readable although a
/// newer one may replace them.
#[derive(Debug)]
pub(super) struct Pair {
    /// The side file.
    pub(super) side: File,
    /// Kafka's file.
    pub(super) checkpoint: File,
    /// Where they lie, if they were received and wait for being named.
    pub(super) received: Option<Received>,
}

impl Pair {
    /// Whether both files are what the side file says. Blocks.
    pub(super) fn verify(self) -> Result<Self> {
        let side = Side::decode(read_all(&self.side).context("cannot read the side file")?)?;
        let written = side.kept.checkpoint;
        let length = self
            .checkpoint
            .metadata()
            .context("cannot read the checkpoint")?
            .len();
        ensure!(
            length == written.bytes,
            "{length} bytes, {} are announced",
            written.bytes
        );
        let crc = crc_of(&self.checkpoint).context("cannot read the checkpoint")?;
        ensure!(crc == written.crc, "the checkpoint has a wrong checksum");
        Ok(self)
    }
}

/// A pair that was received from a peer, under temporary names.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) side: PathBuf,
    pub(super) checkpoint: PathBuf,
}

impl Drop for Received {
    fn drop(&mut self) {
        // Named by now, or useless.
        fs::remove_file(&self.side).ok();
        fs::remove_file(&self.checkpoint).ok();
    }
}
