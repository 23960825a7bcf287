//! Kafka's half of a snapshot: the image as records, and back.

use std::path::Path;

use anyhow::{Result, ensure};
use bytes::Bytes;

use super::machine::State;
use super::snapshot::Kept;
use crate::feed::snapshots::{self, Head, SnapshotId, Written};
use crate::image::Image;

/// Writes the checkpoint file of this state under a temporary name, synced. Blocks.
pub(super) fn write(path: &Path, id: SnapshotId, state: &State) -> Result<Written> {
    ensure!(id.end_offset == 0, "the image cannot be written yet");
    let head = Head {
        last_contained_log_time: state.image.last_time(),
        ..Head::default()
    };
    snapshots::write(path, id, &head, 0, [])
}

/// The side room as bytes.
pub(super) fn side_bytes(_image: &Image) -> Bytes {
    Bytes::new()
}

/// The image of a checkpoint file and the bytes of its side room.
pub(super) fn read(path: &Path, kept: &Kept, _side: &Bytes) -> Result<Image> {
    ensure!(kept.id.end_offset == 0, "the image cannot be read yet");
    snapshots::read(path)?;
    Ok(Image::default())
}
