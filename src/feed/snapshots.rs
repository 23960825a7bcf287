//! Snapshot files in Kafka's own format, `<end offset>-<epoch>.checkpoint`.
//!
//! A file is a run of record batches with offsets of its own, from 0: a control batch that begins
//! with SnapshotHeader, data batches, a control batch with SnapshotFooter. Brokers and peers get
//! these bytes as they are, so the same id always has the same bytes on every node: records come in
//! a fixed order and every batch carries the log time of the last batch that the snapshot contains.
//!
//! [`write()`] and [`read()`] know the content, [`Snapshot`] serves a finished file by position. When a
//! snapshot is taken and which ones are kept is `quorum`'s business.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use anyhow::{Context, bail, ensure};
use bytes::{Bytes, BytesMut};

use crate::clock::Ticks;
use crate::ids::{Epoch, Millis, Offset, Voter};
use crate::records::Record;
use crate::records::batch::{Batch, BatchBuilder, HEADER_BYTES};
use crate::records::control::ControlRecord;

/// Most records in one batch of a snapshot, so that reading and writing hold little at a time.
pub const RECORDS_PER_BATCH_MAX: usize = 1024;
/// After so many bytes the file is synced: one sync at the end would stall the log's own.
const SYNC_EVERY_BYTES: usize = 1024 * 1024;
/// Largest piece of a file that is read at once, whatever a request asks for.
pub const CHUNK_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A download asks for its next chunk well within this time; until then its file is in use.
pub const DOWNLOAD_IDLE_MS: i64 = 10_000;

const SUFFIX: &str = ".checkpoint";

/// Names a snapshot. The greater id is the newer one: the epoch counts first, as in Kafka.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    /// Epoch of the last batch in it.
    pub epoch: Epoch,
    /// Everything below this offset is in it.
    pub end_offset: Offset,
}

impl SnapshotId {
    /// The file's name: both numbers padded with zeros, the offset first.
    pub fn file_name(self) -> String {
        format!("{self}{SUFFIX}")
    }

    /// The id in a file's name; `None` if it is no finished snapshot's.
    pub fn parse(file_name: &str) -> Option<Self> {
        let (offset, epoch) = file_name.strip_suffix(SUFFIX)?.split_once('-')?;
        let digits =
            |text: &str, count| text.len() == count && text.bytes().all(|c| c.is_ascii_digit());
        if !digits(offset, 20) || !digits(epoch, 10) {
            return None;
        }
        Some(Self {
            epoch: epoch.parse().ok()?,
            end_offset: offset.parse().ok()?,
        })
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:010}", self.end_offset, self.epoch)
    }
}

/// What a snapshot says before its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Log time of the last batch in it.
    pub last_contained_log_time: Millis,
    /// The finalized kraft.version.
    pub kraft_version: i16,
    /// The voter set at that offset; empty where unknown.
    pub voters: Vec<Voter>,
}

/// What [`write()`] has put on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file's length.
    pub bytes: u64,
    /// CRC-32C of the whole file.
    pub crc: u32,
}

/// Writes a whole snapshot file and syncs it. `path` is usually a temporary name: renaming it, and
/// syncing its folder, is the caller's step. Blocks; an existing file is an error.
pub fn write(
    path: &Path,
    id: SnapshotId,
    head: &Head,
    metadata_version: i16,
    records: impl IntoIterator<Item = Record>,
) -> anyhow::Result<Written> {
    let context = || format!("writing the snapshot {}", path.display());
    let file = File::create_new(path).with_context(context)?;
    let mut writer = Writer {
        file,
        id,
        head,
        metadata_version,
        next_offset: 0,
        bytes: 0,
        unsynced: 0,
        crc: 0,
    };
    writer.write_all(records).with_context(context)?;
    writer.file.sync_all().with_context(context)?;
    Ok(Written {
        bytes: writer.bytes,
        crc: writer.crc,
    })
}

/// Opens a snapshot file and reads its head; the data batches follow one by one, verified.
pub fn read(path: &Path) -> anyhow::Result<Contents> {
    let context = || format!("reading the snapshot {}", path.display());
    let file = File::open(path).with_context(context)?;
    let mut input = BufReader::with_capacity(SYNC_EVERY_BYTES, file);
    let first = next_batch(&mut input)
        .with_context(context)?
        .context("an empty file")
        .with_context(context)?;
    let head = read_head(&first).with_context(context)?;
    Ok(Contents {
        head,
        path: path.to_owned(),
        input,
        done: false,
    })
}

/// The ids of all finished snapshot files in a folder, oldest first.
pub fn list(folder: &Path) -> io::Result<Vec<SnapshotId>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(folder)? {
        ids.extend(entry?.file_name().to_str().and_then(SnapshotId::parse));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// A finished snapshot file, open for reading by position. Share it in an `Arc`: a retired one is
/// deleted when the last holder lets go.
#[derive(Debug)]
pub struct Snapshot {
    id: SnapshotId,
    path: PathBuf,
    file: File,
    bytes: u64,
    read_at: AtomicI64,
    retired: AtomicBool,
}

impl Snapshot {
    /// Opens the file of this id in a folder.
    pub fn open(folder: &Path, id: SnapshotId) -> anyhow::Result<Self> {
        let path = folder.join(id.file_name());
        let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        let bytes = file.metadata()?.len();
        let (read_at, retired) = (AtomicI64::new(i64::MIN), AtomicBool::new(false));
        Ok(Self {
            id,
            path,
            file,
            bytes,
            read_at,
            retired,
        })
    }

    /// Its id.
    pub fn id(&self) -> SnapshotId {
        self.id
    }
    /// The file's length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes from `position` on, at most `bytes_max` and never beyond the end. Blocks.
    pub fn read_at(&self, position: u64, bytes_max: usize) -> io::Result<Bytes> {
        let left = self.bytes.saturating_sub(position);
        let size = left.min(bytes_max.min(CHUNK_BYTES_MAX) as u64) as usize;
        let mut chunk = BytesMut::zeroed(size);
        self.file.read_exact_at(&mut chunk, position)?;
        Ok(chunk.freeze())
    }

    /// Notes that a download has just asked for a part of it.
    pub fn touch(&self, now: Ticks) {
        self.read_at.fetch_max(now.0, Ordering::Relaxed);
    }

    /// Whether somebody is in the middle of a download, as far as one can know between two chunks.
    pub fn is_being_downloaded(&self, now: Ticks) -> bool {
        let read_at = Ticks(self.read_at.load(Ordering::Relaxed));
        read_at.0 != i64::MIN && now.ms_since(read_at) < DOWNLOAD_IDLE_MS
    }

    /// Deletes the file once nobody holds it any more.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Acquire)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an old snapshot stays on the disk");
        }
    }
}

struct Writer<'a> {
    file: File,
    id: SnapshotId,
    head: &'a Head,
    metadata_version: i16,
    next_offset: Offset,
    bytes: u64,
    unsynced: usize,
    crc: u32,
}

impl Writer<'_> {
    fn write_all(&mut self, records: impl IntoIterator<Item = Record>) -> anyhow::Result<()> {
        self.write_control(&head_records(self.head))?;
        let mut batch = self.begin();
        for record in records {
            // The batch may be full in bytes before it is full in records; an empty one never is.
            if let Err(error) = batch.push(&record, self.metadata_version) {
                ensure!(!batch.is_empty(), error);
                self.write(batch.finish()?)?;
                batch = self.begin();
                batch.push(&record, self.metadata_version)?;
            }
            if batch.record_count() == RECORDS_PER_BATCH_MAX {
                self.write(batch.finish()?)?;
                batch = self.begin();
            }
        }
        if !batch.is_empty() {
            self.write(batch.finish()?)?;
        }
        self.write_control(&[ControlRecord::SnapshotFooter])
    }

    fn begin(&self) -> BatchBuilder {
        BatchBuilder::new(
            self.next_offset,
            self.id.epoch,
            self.head.last_contained_log_time,
        )
    }

    fn write_control(&mut self, records: &[ControlRecord]) -> anyhow::Result<()> {
        let time = self.head.last_contained_log_time;
        self.write(Batch::control(
            self.next_offset,
            self.id.epoch,
            time,
            records,
        )?)
    }

    fn write(&mut self, batch: Batch) -> anyhow::Result<()> {
        self.file.write_all(&batch.0)?;
        self.crc = crc32c::crc32c_append(self.crc, &batch.0);
        self.next_offset = batch.next_offset();
        self.bytes += batch.len() as u64;
        self.unsynced += batch.len();
        if self.unsynced >= SYNC_EVERY_BYTES {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(())
    }
}

fn head_records(head: &Head) -> Vec<ControlRecord> {
    let last_contained_log_time = head.last_contained_log_time;
    let mut records = vec![ControlRecord::SnapshotHeader {
        last_contained_log_time,
    }];
    if head.kraft_version >= 1 {
        records.push(ControlRecord::KRaftVersion(head.kraft_version));
        if !head.voters.is_empty() {
            records.push(ControlRecord::KRaftVoters(head.voters.clone()));
        }
    }
    records
}

fn read_head(batch: &Batch) -> anyhow::Result<Head> {
    let records = batch.decode_control()?;
    let Some(ControlRecord::SnapshotHeader {
        last_contained_log_time,
    }) = records.first()
    else {
        bail!("it does not begin with a snapshot header");
    };
    let mut head = Head {
        last_contained_log_time: *last_contained_log_time,
        ..Head::default()
    };
    for record in records {
        match record {
            ControlRecord::KRaftVersion(level) => head.kraft_version = level,
            ControlRecord::KRaftVoters(voters) => head.voters = voters,
            _ => {}
        }
    }
    Ok(head)
}

/// A snapshot as it is read: its head, then its data batches. It must end with a footer: a file
/// that was cut would otherwise pass for a cluster from which topics were deleted.
#[derive(Debug)]
pub struct Contents {
    /// What stands before the records.
    pub head: Head,
    path: PathBuf,
    input: BufReader<File>,
    done: bool,
}

impl Iterator for Contents {
    type Item = anyhow::Result<Batch>;

    /// After an error comes nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let batch = self.next_data_batch();
        self.done = !matches!(batch, Ok(Some(_)));
        batch
            .with_context(|| format!("reading the snapshot {}", self.path.display()))
            .transpose()
    }
}

impl Contents {
    fn next_data_batch(&mut self) -> anyhow::Result<Option<Batch>> {
        loop {
            let batch = next_batch(&mut self.input)?.context("it ends without a footer")?;
            if !batch.is_control() {
                return Ok(Some(batch));
            }
            if batch
                .decode_control()?
                .contains(&ControlRecord::SnapshotFooter)
            {
                ensure!(
                    next_batch(&mut self.input)?.is_none(),
                    "something stands behind the footer"
                );
                return Ok(None);
            }
        }
    }
}

/// The next batch, verified; `None` at the end of the input.
fn next_batch(input: &mut impl Read) -> anyhow::Result<Option<Batch>> {
    let mut bytes = Vec::new();
    if input
        .by_ref()
        .take(HEADER_BYTES as u64)
        .read_to_end(&mut bytes)?
        == 0
    {
        return Ok(None);
    }
    let size = Batch::size_at_start(&bytes)?.context("a batch is cut")?;
    input
        .by_ref()
        .take((size - HEADER_BYTES) as u64)
        .read_to_end(&mut bytes)?;
    ensure!(bytes.len() == size, "a batch is cut");
    let batch = Batch(bytes.into());
    batch.verify()?;
    Ok(Some(batch))
}

#[cfg(test)]
mod tests;
