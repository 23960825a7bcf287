//! Snapshots: always a pair of files, committed by the second one.
//!
//! * `<end offset>-<epoch>.checkpoint`: the image as records, in Kafka's own format, the same bytes
//!   on every node. Brokers download it.
//! * `<index>.yakt`: what raft and YAKt need beside it, and the length and checksum of the first.
//!
//! Two renames are not atomic, so the checkpoint is synced and named first, and the rename of the
//! `.yakt` commits the pair; a checkpoint without one is swept away at start. At least
//! [`KEPT_MIN`] pairs are kept, so that a broker a little behind needs no download.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use openraft::storage::{RaftSnapshotBuilder, Snapshot};
use tokio::sync::oneshot;

use super::checkpoint;
use super::fault::Fault;
use super::files::{TEMPORARY, copy_from, read_all, rename, sync_directory};
use super::log::Log;
use super::machine::State;
use super::pair::Pair;
use super::publisher::Publisher;
use super::side_file::{Kept, SIDE, Side, read_side, write_side};
use super::types::{CommittedLeaderId, Config, LogId, Member, SnapshotMeta};
use super::writer::Op;
use crate::clock::{Clock, Ticks};
use crate::feed::snapshots::{self as feed, SnapshotId};
use crate::settings::Settings;

/// How many pairs are kept at least.
const KEPT_MIN: usize = 2;

/// A pair that is kept, with its checkpoint open for brokers.
#[derive(Clone)]
struct Open {
    kept: Kept,
    file: Arc<feed::Snapshot>,
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
        let mut side = Side::decode(bytes)?;
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
            self.commit_received(&mut side, &pair)?;
        }
        state.index.forget_below(self.history_floor());
        Ok(state)
    }

    /// Names a received pair and lets all older ones go: between them and this one are entries
    /// that this node does not have.
    fn commit_received(&self, side: &mut Side, pair: &Pair) -> Result<()> {
        let directory = &self.0.directory;
        let checkpoint = directory.join(side.kept.id.file_name());
        let twin = lock(&self.0.kept)
            .iter()
            .find(|open| open.kept.id == side.kept.id)
            .map(|open| open.kept.checkpoint);
        match (twin, &pair.received) {
            (Some(own), _) => {
                // A checkpoint's bytes never change while brokers may be reading them.
                if own != side.kept.checkpoint {
                    tracing::error!("{} was written here with other bytes", checkpoint.display());
                    side.kept.checkpoint = own;
                }
            }
            (None, Some(received)) => rename(&received.checkpoint, &checkpoint)?,
            (None, None) => {}
        }
        sync_directory(directory)?;
        write_side(directory, side)?;
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
        write_side(directory, &side)?;
        let kept = self.keep(self.opened(kept)?);
        self.prune();
        self.show();
        Ok(kept)
    }

    /// Keeps a pair that was written here, and gives back the newest one: a leader may have sent one
    /// while this one was written.
    fn keep(&self, new: Open) -> Kept {
        let mut kept = lock(&self.0.kept);
        match kept.last().map(|newest| newest.kept.clone()) {
            Some(newest) if newest.index() > new.kept.index() => {
                drop(kept);
                self.remove(vec![new]);
                newest
            }
            _ => {
                let own = new.kept.clone();
                kept.push(new);
                own
            }
        }
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
