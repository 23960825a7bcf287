//! Kafka's half of a snapshot: the image as records, and back.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

use crate::feed::snapshots::{self, Head, SnapshotId, Written};
use crate::image::Image;
use crate::image::snapshot::Loader;
use crate::records::control::ControlRecord;

/// Writes the checkpoint file of this image under a temporary name, synced. Blocks.
pub(super) fn write(path: &Path, id: SnapshotId, image: &Image) -> Result<Written> {
    let features = image.features();
    let head = Head {
        last_contained_log_time: image.last_time(),
        kraft_version: features.kraft_version(),
        voters: features.voters().to_vec(),
    };
    let metadata_version = features.metadata_version().unwrap_or_default();
    snapshots::write(path, id, &head, metadata_version, image.records())
}

/// The image of a checkpoint file and the bytes of its side room. Blocks.
pub(super) fn read(path: &Path, id: SnapshotId, side: Bytes) -> Result<Image> {
    let contents = snapshots::read(path)?;
    let mut loader = Loader::new(id.end_offset, id.epoch, Some(side)).context("the side room")?;
    for record in head_records(&contents.head) {
        loader.control(&record);
    }
    for batch in contents {
        loader.batch(&batch?)?;
    }
    let image = loader.finish()?;
    let found = (image.end_offset(), image.last_epoch());
    ensure!(
        found == (id.end_offset, id.epoch),
        "it holds the image at {found:?}"
    );
    Ok(image)
}

fn head_records(head: &Head) -> Vec<ControlRecord> {
    let last_contained_log_time = head.last_contained_log_time;
    let mut records = vec![ControlRecord::SnapshotHeader {
        last_contained_log_time,
    }];
    if head.kraft_version > 0 {
        records.push(ControlRecord::KRaftVersion(head.kraft_version));
    }
    if !head.voters.is_empty() {
        records.push(ControlRecord::KRaftVoters(head.voters.clone()));
    }
    records
}
