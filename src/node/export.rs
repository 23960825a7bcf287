//! Kafka's own files from the store of a stopped node.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use crate::clock::SystemClock;
use crate::feed::Published;
use crate::feed::snapshots::{self, Head, SnapshotId};
use crate::format::disk::LockedDirectory;
use crate::format::meta::Meta;
use crate::ids::Offset;
use crate::quorum::Stopped;
use crate::settings::Settings;

/// A segment is closed before it grows beyond this, Kafka's `metadata.log.segment.bytes`.
const SEGMENT_BYTES_MAX: usize = 1 << 30;
/// How much of the log is read at once.
const READ_BYTES_MAX: usize = 1024 * 1024;

/// Which of Kafka's files to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// The metadata log, as far back as it is kept.
    Log,
    /// A snapshot of the committed state.
    Snapshot,
}

/// Writes Kafka's files from the store of a stopped node into `output`, and gives back their paths.
/// A file that is there already is an error.
pub async fn export(settings: &Settings, what: Export, output: &Path) -> Result<Vec<PathBuf>> {
    let directory = &settings.metadata_log_dir;
    ensure!(
        Meta::read(directory)?.is_some_and(|meta| meta.node_id == settings.node_id),
        "{} is not formatted for node {}",
        directory.display(),
        settings.node_id.0
    );
    let _lock = LockedDirectory::take(directory)?;
    let stopped = Stopped::open(settings, Arc::new(SystemClock::new())).await?;
    let published = stopped.published();
    ensure!(
        published.image.end_offset() > 0,
        "{} holds no committed records yet",
        directory.display()
    );
    fs::create_dir_all(output).with_context(|| format!("cannot create {}", output.display()))?;
    let written = match what {
        Export::Log => write_log(published, output, SEGMENT_BYTES_MAX),
        Export::Snapshot => write_snapshot(published, output).map(|path| vec![path]),
    };
    stopped.close();
    written
}

/// Segments named by their first offset, as in `__cluster_metadata-0`.
fn write_log(published: &Published, output: &Path, segment_bytes: usize) -> Result<Vec<PathBuf>> {
    let tail = &published.tail;
    let mut next: Offset = tail.history().map_or(0, |history| history.first_offset());
    let mut segments: Vec<PathBuf> = Vec::new();
    let mut open: Option<(File, usize)> = None;
    while next < tail.end() {
        for batch in tail.slice(next, READ_BYTES_MAX)? {
            let fits = |&(_, size): &(File, usize)| size + batch.len() <= segment_bytes;
            let (mut file, size) = match open.take().filter(fits) {
                Some(open) => open,
                None => {
                    let path = output.join(format!("{:020}.log", batch.base_offset()));
                    let file = File::create_new(&path);
                    let file = file.with_context(|| format!("cannot create {}", path.display()))?;
                    segments.push(path);
                    (file, 0)
                }
            };
            file.write_all(&batch.0)
                .with_context(|| format!("cannot write to {}", output.display()))?;
            next = batch.next_offset();
            open = Some((file, size + batch.len()));
        }
    }
    Ok(segments)
}

fn write_snapshot(published: &Published, output: &Path) -> Result<PathBuf> {
    let image = &published.image;
    let features = image.features();
    let head = Head {
        last_contained_log_time: image.last_time(),
        kraft_version: features.kraft_version(),
        voters: features.voters().to_vec(),
    };
    let metadata_version = features
        .metadata_version()
        .context("the log is empty yet")?;
    let id = SnapshotId {
        epoch: image.last_epoch(),
        end_offset: image.end_offset(),
    };
    let path = output.join(id.file_name());
    snapshots::write(&path, id, &head, metadata_version, image.records())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::tail::Tail;
    use crate::records::batch::{Batch, CutTail};
    use crate::records::{NoOpRecord, Record};

    #[test]
    fn the_log_is_cut_into_segments() {
        let mut tail = Tail::default();
        let batch = |offset| {
            Batch::build(offset, 1, 0, 30, &[Record::from(NoOpRecord::default())]).expect("a batch")
        };
        let size = batch(0).len();
        for offset in 0..5 {
            tail.push(batch(offset));
        }
        let published = Published {
            tail,
            ..Published::default()
        };
        let output = tempfile::tempdir().expect("a directory");
        let segments = write_log(&published, output.path(), 2 * size + 1).expect("written");
        let names: Vec<_> = segments
            .iter()
            .map(|path| path.file_name().expect("a name"))
            .collect();
        assert_eq!(
            names,
            [
                "00000000000000000000.log",
                "00000000000000000002.log",
                "00000000000000000004.log"
            ]
        );
        let text: Vec<u8> = segments
            .iter()
            .flat_map(|path| fs::read(path).expect("readable"))
            .collect();
        let batches = Batch::split(text.into(), CutTail::Refuse).expect("whole");
        assert_eq!(batches, (0..5).map(batch).collect::<Vec<_>>());
        write_log(&published, output.path(), size).expect_err("the files are there");
    }
}
