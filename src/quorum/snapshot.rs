//! Snapshots: always a pair of files, committed by the second one.
//!
//! * `<end offset>-<epoch>.checkpoint`: the image as records, in Kafka's own format, the same bytes
//!   on every node. Brokers download it.
//! * `<index>.yakt`: what raft and YAKt need beside it, and the length and checksum of the first.
//!
//! Two renames are not atomic, so the checkpoint is synced and named first, and the rename of the
//! `.yakt` commits the pair; a checkpoint without one is swept away at start. At least
//! [`KEPT_MIN`] pairs are kept, so that a broker a little behind needs no download.
//!
//! ```text
//! side file: magic "YAKT", format u8 = 1, body, crc32c u32 of all before it
//! body: last log id, membership (codec.rs), end offset i64, epoch i32, log time i64, guard, index,
//!       checkpoint length u64 and crc32c u32, side room u32 length and bytes
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes};
use openraft::storage::{RaftSnapshotBuilder, Snapshot};
use tokio::sync::oneshot;

use super::checkpoint;
use super::codec::{self, Input};
use super::fault::Fault;
use super::guard::Guard;
use super::index::Index;
use super::log::Log;
use super::machine::State;
use super::publisher::Publisher;
use super::types::{CommittedLeaderId, Config, LogId, Member, SnapshotMeta, StoredMembership};
use super::writer::Op;
use crate::clock::{Clock, Ticks};
use crate::feed::snapshots::{self as feed, SnapshotId, Written};
use crate::ids::Millis;
use crate::settings::Settings;

/// How many pairs are kept at least.
const KEPT_MIN: usize = 2;
/// Suffix of the side files.
const SIDE: &str = ".yakt";
/// Suffix of whatever is not finished.
const TEMPORARY: &str = ".tmp";

const MAGIC: &[u8; 4] = b"YAKT";
const FORMAT: u8 = 1;

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

fn crc_of(mut file: &File) -> io::Result<u32> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; 256 * 1024];
    let mut crc = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(crc);
        }
        crc = crc32c::crc32c_append(crc, &buffer[..read]);
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

/// What the side file of a kept pair says, without what only a restart needs.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// The last entry in it; `None` in one that was taken before the first.
    pub(super) last: Option<LogId>,
    pub(super) membership: StoredMembership,
    pub(super) id: SnapshotId,
    pub(super) time: Millis,
    pub(super) checkpoint: Written,
}

/// A pair that is kept, with its checkpoint open for brokers.
#[derive(Clone)]
struct Open {
    kept: Kept,
    file: Arc<feed::Snapshot>,
}

impl Kept {
    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: self.last,
            last_membership: self.membership.clone(),
        }
    }

    /// Index of the last entry in it.
    pub(super) fn index(&self) -> u64 {
        self.last.map_or(0, |last| last.index)
    }

    fn side_name(&self) -> String {
        side_name(self.index())
    }
}

fn side_name(index: u64) -> String {
    format!("{index:020}{SIDE}")
}

/// The snapshots of one node. Clones share one state.
#[derive(Clone)]
pub(super) struct Snapshots(Arc<Shared>);

struct Shared {
    directory: PathBuf,
    clock: Arc<dyn Clock>,
    /// Oldest first.
    kept: Mutex<Vec<Open>>,
    log: Mutex<Option<Log>>,
    publisher: Mutex<Option<Publisher>>,
    history_floor: AtomicU64,
    /// Bytes of batches that were applied since the last snapshot was begun.
    new_bytes: AtomicU64,
    /// When it was begun.
    begun: Mutex<Ticks>,
    fault: Fault,
}

impl Snapshots {
    /// Finds the pairs in the metadata directory, and sweeps away what is not finished. Blocks.
    pub(super) fn open(directory: &Path, clock: Arc<dyn Clock>, fault: Fault) -> Result<Self> {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let mut kept = Vec::new();
        let mut checkpoints = Vec::new();
        let listing = fs::read_dir(directory);
        for entry in listing.with_context(|| format!("cannot list {}", directory.display()))? {
            let name = entry
                .context("cannot list the metadata directory")?
                .file_name();
            let Some(name) = name.to_str() else { continue };
            if name.ends_with(&format!("{SIDE}{TEMPORARY}"))
                || name.ends_with(&format!(".checkpoint{TEMPORARY}"))
            {
                fs::remove_file(directory.join(name)).ok();
            } else if name.ends_with(SIDE) {
                match read_side(&directory.join(name)).and_then(|side| present(directory, side)) {
                    Ok(pair) => kept.push(pair),
                    Err(error) => tracing::error!("the snapshot {name} is ignored: {error:#}"),
                }
            } else if let Some(id) = SnapshotId::parse(name) {
                checkpoints.push(id);
            }
        }
        kept.sort_by_key(|open: &Open| open.kept.index());
        for id in checkpoints {
            if !kept.iter().any(|open| open.kept.id == id) {
                fs::remove_file(directory.join(id.file_name())).ok();
            }
        }
        Ok(Self(Arc::new(Shared {
            directory: directory.to_owned(),
            begun: Mutex::new(clock.ticks()),
            clock,
            kept: Mutex::new(kept),
            log: Mutex::default(),
            publisher: Mutex::default(),
            history_floor: AtomicU64::new(0),
            new_bytes: AtomicU64::new(0),
            fault,
        })))
    }

    /// The log beside them, whose history floor an installation moves, and where the files that
    /// brokers may download are shown.
    pub(super) fn attach(&self, log: Log, history_floor: u64, publisher: Publisher) {
        *lock(&self.0.log) = Some(log);
        *lock(&self.0.publisher) = Some(publisher);
        self.0.history_floor.store(history_floor, Ordering::Release);
        self.show();
    }

    /// Index of the newest snapshot's last entry.
    pub(super) fn end(&self) -> Option<u64> {
        lock(&self.0.kept).last().map(|open| open.kept.index())
    }

    /// The oldest and the newest pair.
    pub(super) fn oldest_and_newest(&self) -> Option<(Kept, Kept)> {
        let kept = lock(&self.0.kept);
        Some((kept.first()?.kept.clone(), kept.last()?.kept.clone()))
    }

    /// First index that history may read.
    pub(super) fn history_floor(&self) -> u64 {
        self.0.history_floor.load(Ordering::Acquire)
    }

    /// Shows brokers what they may download.
    fn show(&self) {
        let files = lock(&self.0.kept)
            .iter()
            .map(|open| Arc::clone(&open.file))
            .collect();
        if let Some(publisher) = &*lock(&self.0.publisher) {
            publisher.edit(|published| published.snapshots = Arc::new(files));
        }
    }

    /// So many bytes of batches were applied.
    pub(super) fn applied(&self, bytes: u64) {
        self.0.new_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether it is time for one: after as many bytes as configured, or as the last one is long if
    /// that is more, or after the configured time if anything has been applied since.
    pub(super) fn is_due(&self, settings: &Settings) -> bool {
        let new_bytes = self.0.new_bytes.load(Ordering::Relaxed);
        let last_bytes = lock(&self.0.kept)
            .last()
            .map_or(0, |open| open.kept.checkpoint.bytes);
        let enough = settings
            .metadata_log_max_record_bytes_between_snapshots
            .max(last_bytes);
        let interval_ms = settings.metadata_log_max_snapshot_interval_ms;
        let waited_ms = self.0.clock.ticks().ms_since(*lock(&self.0.begun));
        new_bytes > 0 && (new_bytes >= enough || (interval_ms > 0 && waited_ms >= interval_ms))
    }

    /// Writes this state when openraft asks for it.
    pub(super) fn builder(&self, state: State) -> Builder {
        self.0.new_bytes.store(0, Ordering::Relaxed);
        *lock(&self.0.begun) = self.0.clock.ticks();
        Builder {
            snapshots: self.clone(),
            state,
        }
    }

    /// The newest pair, opened.
    pub(super) async fn current(
        &self,
    ) -> Result<Option<Snapshot<CommittedLeaderId, u64, Member, Pair>>> {
        let newest = lock(&self.0.kept).last().map(|open| open.kept.clone());
        newest.map(|newest| self.open_pair(&newest)).transpose()
    }

    fn open_pair(&self, kept: &Kept) -> Result<Snapshot<CommittedLeaderId, u64, Member, Pair>> {
        let open = |name: String| {
            let path = self.0.directory.join(name);
            File::open(&path).with_context(|| format!("cannot open {}", path.display()))
        };
        let pair = Pair {
            side: open(kept.side_name())?,
            checkpoint: open(kept.id.file_name())?,
            received: None,
        };
        Ok(Snapshot {
            meta: kept.meta(),
            snapshot: pair,
        })
    }

    /// Takes the state from a pair: the newest kept one at start, or one that was received.
    pub(super) async fn install(&self, meta: &SnapshotMeta, pair: Pair) -> Result<State> {
        let last = meta.last_log_id;
        let is_kept = lock(&self.0.kept)
            .last()
            .is_some_and(|open| open.kept.last == last);
        if !is_kept {
            self.raise_history_floor(last.map_or(0, |last| last.index + 1))
                .await?;
        }
        let snapshots = self.clone();
        let work =
            tokio::task::spawn_blocking(move || snapshots.install_blocking(last, pair, is_kept));
        work.await
            .context("the task that installs a snapshot panicked")?
    }

    /// Durable before anything of the snapshot is: an uncommitted tail below it must never be taken
    /// for history.
    pub(super) async fn raise_history_floor(&self, floor: u64) -> Result<()> {
        let log = lock(&self.0.log).clone();
        if let Some(log) = log {
            let (done, told) = oneshot::channel();
            log.writer().send(Op::HistoryFloor { floor, done });
            told.await
                .context("the thread that writes the log has ended")??;
        }
        self.0.history_floor.store(floor, Ordering::Release);
        Ok(())
    }

    fn install_blocking(&self, last: Option<LogId>, pair: Pair, is_kept: bool) -> Result<State> {
        let bytes = read_all(&pair.side).context("cannot read the side file")?;
        let side = Side::decode(bytes)?;
        ensure!(
            side.kept.last == last,
            "the side file is of {:?}, not of {last:?}",
            side.kept.last
        );
        let directory = &self.0.directory;
        let path = match &pair.received {
            Some(received) => received.checkpoint.clone(),
            None => directory.join(side.kept.id.file_name()),
        };
        if !is_kept && pair.received.is_none() {
            copy_from(&pair.checkpoint, &path)?;
        }
        let mut state = side.state(&path)?;
        if !is_kept {
            self.commit_received(&side, &pair)?;
        }
        state.index.forget_below(self.history_floor());
        Ok(state)
    }

    /// Names a received pair and lets all older ones go: between them and this one are entries
    /// that this node does not have.
    fn commit_received(&self, side: &Side, pair: &Pair) -> Result<()> {
        let directory = &self.0.directory;
        let checkpoint = directory.join(side.kept.id.file_name());
        if let Some(received) = &pair.received
            && !checkpoint.exists()
        {
            rename(&received.checkpoint, &checkpoint)?;
        }
        sync_directory(directory)?;
        write_side(directory, &side.encode(), &side.kept)?;
        let new = self.opened(side.kept.clone())?;
        let older = std::mem::replace(&mut *lock(&self.0.kept), vec![new]);
        self.remove(older);
        self.show();
        Ok(())
    }

    fn opened(&self, kept: Kept) -> Result<Open> {
        let twin = lock(&self.0.kept)
            .iter()
            .find(|open| open.kept.id == kept.id)
            .cloned();
        let file = match twin {
            Some(twin) => twin.file,
            None => Arc::new(feed::Snapshot::open(&self.0.directory, kept.id)?),
        };
        Ok(Open { kept, file })
    }

    /// Writes a pair of this state. Blocks.
    fn build(&self, state: &State) -> Result<Kept> {
        let last = state.last;
        let image = &state.image;
        let id = SnapshotId {
            epoch: image.last_epoch(),
            end_offset: image.end_offset(),
        };
        let directory = &self.0.directory;
        let twin = lock(&self.0.kept)
            .iter()
            .find(|open| open.kept.id == id)
            .map(|open| open.kept.clone());
        if let Some(twin) = twin.as_ref().filter(|twin| twin.last == last) {
            return Ok(twin.clone());
        }
        let written = match twin {
            // Only entries without records in between: the same id is the same file.
            Some(twin) => twin.checkpoint,
            None => {
                let temporary = directory.join(format!("{}{TEMPORARY}", id.file_name()));
                fs::remove_file(&temporary).ok();
                let written = checkpoint::write(&temporary, id, image)?;
                rename(&temporary, &directory.join(id.file_name()))?;
                sync_directory(directory)?;
                written
            }
        };
        let kept = Kept {
            last,
            membership: state.membership.clone(),
            id,
            time: image.last_time(),
            checkpoint: written,
        };
        let side = Side {
            kept: kept.clone(),
            guard: state.guard,
            index: state.index.clone(),
            side: image.side_bytes().into(),
        };
        write_side(directory, &side.encode(), &kept)?;
        let new = self.opened(kept.clone())?;
        lock(&self.0.kept).push(new);
        self.prune();
        self.show();
        Ok(kept)
    }

    /// Lets old pairs go, oldest first, but none that a broker is in the middle of downloading.
    fn prune(&self) {
        let now = self.0.clock.ticks();
        let older = {
            let mut kept = lock(&self.0.kept);
            let surplus = kept.len().saturating_sub(KEPT_MIN);
            let free = |open: &&Open| !open.file.is_being_downloaded(now);
            let count = kept.iter().take(surplus).take_while(free).count();
            kept.drain(..count).collect()
        };
        self.remove(older);
    }

    fn remove(&self, older: Vec<Open>) {
        let kept = lock(&self.0.kept);
        for Open { kept: pair, file } in older {
            if !kept.iter().any(|other| other.kept.last == pair.last) {
                fs::remove_file(self.0.directory.join(pair.side_name())).ok();
            }
            if !kept.iter().any(|other| other.kept.id == pair.id) {
                file.retire();
            }
        }
    }
}

/// Writes one snapshot, off the tasks that raft runs on.
pub(super) struct Builder {
    snapshots: Snapshots,
    state: State,
}

impl RaftSnapshotBuilder<Config> for Builder {
    type SnapshotData = Pair;

    async fn build_snapshot(
        &mut self,
    ) -> io::Result<Snapshot<CommittedLeaderId, u64, Member, Pair>> {
        let (snapshots, state) = (self.snapshots.clone(), self.state.clone());
        let build = move || {
            let kept = snapshots.build(&state)?;
            snapshots.open_pair(&kept)
        };
        let built = tokio::task::spawn_blocking(build).await;
        let built = built.context("the task that takes a snapshot panicked");
        built.and_then(|built| built).map_err(|error| {
            let fault = &self.snapshots.0.fault;
            fault.raise(format!("cannot take a snapshot: {error:#}"));
            fault.as_io()
        })
    }
}

/// A side file's whole content.
struct Side {
    kept: Kept,
    guard: Guard,
    index: Index,
    side: Bytes,
}

impl Side {
    fn encode(&self) -> Vec<u8> {
        let kept = &self.kept;
        let mut out = Vec::new();
        out.put_slice(MAGIC);
        out.put_u8(FORMAT);
        codec::put_log_id(&mut out, kept.last.as_ref());
        codec::put_stored_membership(&mut out, &kept.membership);
        out.put_i64(kept.id.end_offset);
        out.put_i32(kept.id.epoch);
        out.put_i64(kept.time);
        self.guard.encode(&mut out);
        self.index.encode(&mut out);
        out.put_u64(kept.checkpoint.bytes);
        out.put_u32(kept.checkpoint.crc);
        out.put_u32(self.side.len() as u32);
        out.put_slice(&self.side);
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        out
    }

    fn decode(mut bytes: Bytes) -> Result<Self> {
        ensure!(bytes.len() > 9, "a side file of {} bytes", bytes.len());
        let crc = bytes.split_off(bytes.len() - 4).get_u32();
        ensure!(
            crc == crc32c::crc32c(&bytes),
            "a side file with a wrong checksum"
        );
        let mut input = Input(bytes);
        ensure!(*input.take(4)? == *MAGIC, "no side file");
        let format = input.u8()?;
        ensure!(
            format == FORMAT,
            "a side file of format {format}; this YAKt reads {FORMAT}"
        );
        let last = input.log_id()?;
        let membership = input.stored_membership()?;
        let id = SnapshotId {
            end_offset: input.i64()?,
            epoch: input.u32()? as i32,
        };
        let time = input.i64()?;
        let guard = Guard::decode(&mut input)?;
        let index = Index::decode(&mut input)?;
        let checkpoint = Written {
            bytes: input.u64()?,
            crc: input.u32()?,
        };
        let side = input.u32()? as usize;
        let side = input.take(side)?;
        input.end()?;
        let kept = Kept {
            last,
            membership,
            id,
            time,
            checkpoint,
        };
        Ok(Self {
            kept,
            guard,
            index,
            side,
        })
    }

    /// The state, with the image from the checkpoint at `path`.
    fn state(&self, path: &Path) -> Result<State> {
        let image = checkpoint::read(path, self.kept.id, self.side.clone())
            .with_context(|| format!("cannot load {}", path.display()))?;
        Ok(State {
            last: self.kept.last,
            membership: self.kept.membership.clone(),
            image,
            guard: self.guard,
            index: self.index.clone(),
        })
    }
}

fn read_side(path: &Path) -> Result<Kept> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let kept = Side::decode(bytes.into())?.kept;
    let name = path.file_name().and_then(|name| name.to_str());
    ensure!(
        name == Some(&kept.side_name()),
        "it is the side file of {:?}",
        kept.last
    );
    Ok(kept)
}

/// A pair whose checkpoint is there in full; its checksum is compared when it is loaded or sent.
fn present(directory: &Path, kept: Kept) -> Result<Open> {
    let path = directory.join(kept.id.file_name());
    let length = fs::metadata(&path)
        .with_context(|| format!("no {}", path.display()))?
        .len();
    if length != kept.checkpoint.bytes {
        bail!(
            "{} is {length} bytes long, not {}",
            path.display(),
            kept.checkpoint.bytes
        );
    }
    let file = Arc::new(feed::Snapshot::open(directory, kept.id)?);
    Ok(Open { kept, file })
}

fn write_side(directory: &Path, bytes: &[u8], kept: &Kept) -> Result<()> {
    let path = directory.join(kept.side_name());
    let temporary = directory.join(format!("{}{TEMPORARY}", kept.side_name()));
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().with_context(|| format!("cannot write {}", temporary.display()))?;
    rename(&temporary, &path)?;
    sync_directory(directory)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to)
        .with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}

fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .with_context(|| format!("cannot sync {}", directory.display()))
}

fn read_all(mut file: &File) -> Result<Bytes> {
    use std::io::{Read, Seek, SeekFrom};
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

fn copy_from(mut file: &File, path: &Path) -> Result<()> {
    use std::io::{Seek, SeekFrom};
    let mut copy = || -> io::Result<()> {
        file.seek(SeekFrom::Start(0))?;
        let mut out = File::create(path)?;
        io::copy(&mut file, &mut out)?;
        out.sync_all()
    };
    copy().with_context(|| format!("cannot copy a snapshot to {}", path.display()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
