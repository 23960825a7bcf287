//! Opening the store: promise, database, and the checks that come before any vote.

use std::fs;
use std::path::Path;
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use fjall::{Database, Keyspace};

use super::codec;
use super::fault::Fault;
use super::keys;
use super::log::{Found, Log};
use super::quorum_state::{self, QuorumState};
use super::types::LogId;
use super::writer::{Op, Writer};

/// Block cache of the database; it grows from nothing.
const BLOCK_CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Most journal that a restart has to replay.
const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// fjall can hang with a single one (its issue 257).
const WORKER_THREADS: usize = 2;

/// The open store. It belongs to this process until [`Store::close`].
pub(super) struct Store {
    pub(super) log: Log,
    pub(super) entries: Keyspace,
    pub(super) history_floor: u64,
    writer: JoinHandle<()>,
}

impl Store {
    /// Opens or creates the store in `directory` and checks it against what this node promised.
    /// Entries above `snapshot_end` (index of the newest snapshot) are read and verified one by
    /// one. Blocks; every error is one sentence for the operator.
    pub(super) fn open(
        directory: &Path,
        snapshot_end: Option<u64>,
        cache_bytes_max: usize,
        fault: Fault,
    ) -> Result<Self> {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let path = directory.join(keys::STORE_DIR);
        let had_promise = directory.join(quorum_state::FILE).exists();
        // The promise comes first: a crash between the two leaves an empty one, never none.
        let state = QuorumState::open(directory)?;
        let (database, entries, meta) = open_database(&path)?;
        let found = look(&entries, &meta)?;
        ensure!(
            had_promise || (found.vote.is_none() && found.last.is_none()),
            "{} holds a log, but {} beside it, which holds the vote of this node, is missing. {}",
            path.display(),
            quorum_state::FILE,
            quorum_state::REJOIN
        );
        quorum_state::check(&state.promise(), found.vote, found.last)
            .with_context(|| path.display().to_string())?;
        verify(&entries, &found, snapshot_end).with_context(|| path.display().to_string())?;
        let history_floor = read_floor(&meta)?;
        let log_end = found.last;
        let committed = found.committed;
        let (writer, thread) = Writer::start(
            database,
            entries.clone(),
            meta,
            state,
            log_end,
            committed,
            fault,
        )?;
        let log = Log::new(entries.clone(), writer, found, cache_bytes_max);
        Ok(Self {
            log,
            entries,
            history_floor,
            writer: thread,
        })
    }

    /// Makes everything durable and ends the thread. Blocks.
    pub(super) fn close(self) {
        self.log.writer().send(Op::Stop);
        if self.writer.join().is_err() {
            tracing::error!("the thread that writes the log panicked");
        }
    }
}

fn open_database(path: &Path) -> Result<(Database, Keyspace, Keyspace)> {
    let open = || -> fjall::Result<_> {
        let database = Database::builder(path)
            .cache_size(BLOCK_CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(WORKER_THREADS)
            .open()?;
        let entries = database.keyspace(keys::LOG, keys::log_options)?;
        let meta = database.keyspace(keys::META, keys::meta_options)?;
        Ok((database, entries, meta))
    };
    let (database, entries, meta) = match open() {
        Ok(opened) => opened,
        Err(fjall::Error::Locked) => {
            bail!("the store {} is in use by another process", path.display())
        }
        Err(error) => bail!(
            "cannot open the store {}: {error}. If its disk lost or damaged data: {}",
            path.display(),
            quorum_state::REJOIN
        ),
    };
    let format = meta
        .get(keys::META_FORMAT)
        .context("cannot read the store")?;
    match format.as_deref() {
        None => {
            let mut batch = database
                .batch()
                .durability(Some(fjall::PersistMode::SyncAll));
            batch.insert(&meta, keys::META_FORMAT, [keys::FORMAT]);
            batch
                .commit()
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Some([keys::FORMAT]) => {}
        Some(other) => bail!(
            "the store {} has format {other:?}; this YAKt reads format {}",
            path.display(),
            keys::FORMAT
        ),
    }
    Ok((database, entries, meta))
}

fn look(entries: &Keyspace, meta: &Keyspace) -> Result<Found> {
    let read = |key| meta.get(key).context("cannot read the store");
    let vote = read(keys::META_VOTE)?
        .map(|bytes| codec::decode_vote(&bytes))
        .transpose()?;
    let log_id = |key| -> Result<Option<LogId>> {
        Ok(read(key)?
            .map(|bytes| codec::decode_log_id(&bytes))
            .transpose()?
            .flatten())
    };
    let (committed, purged) = (log_id(keys::META_COMMITTED)?, log_id(keys::META_PURGED)?);
    let stored = match entries.last_key_value() {
        None => None,
        Some(item) => {
            let (key, value) = item
                .into_inner()
                .context("cannot read the end of the log")?;
            let index = keys::log_index(&key).context("the log holds a key that is no index")?;
            Some(codec::peek_log_id(index, &value)?)
        }
    };
    // Below the purge mark may lie a tail that was never committed.
    let last = stored.filter(|last| purged.is_none_or(|purged| last.index > purged.index));
    Ok(Found {
        vote,
        committed,
        purged,
        last: last.or(purged),
    })
}

fn read_floor(meta: &Keyspace) -> Result<u64> {
    let floor = meta
        .get(keys::META_HISTORY_FLOOR)
        .context("cannot read the store")?;
    match floor {
        None => Ok(0),
        Some(bytes) => keys::log_index(&bytes).context("the history floor is no index"),
    }
}

/// Reads every entry above the newest snapshot: none may be missing, none damaged.
fn verify(entries: &Keyspace, found: &Found, snapshot_end: Option<u64>) -> Result<()> {
    let Some(last) = found.last else {
        return Ok(());
    };
    let start = found
        .purged
        .map(|purged| purged.index)
        .max(snapshot_end)
        .map_or(0, |at| at + 1);
    let mut next = start;
    let mut term = 0;
    for item in entries.range(keys::log_key(start)..) {
        let (key, value) = item.into_inner().context("cannot read the log")?;
        let index = keys::log_index(&key).context("the log holds a key that is no index")?;
        ensure!(
            index == next,
            "the log has a hole: entry {next} is missing, {index} is there. {}",
            quorum_state::REJOIN
        );
        let entry = codec::decode_entry(index, Bytes::copy_from_slice(&value))
            .with_context(|| format!("the log is damaged. {}", quorum_state::REJOIN))?;
        let entry_term = super::types::term_of(&entry.log_id);
        ensure!(
            entry_term >= term,
            "the log is damaged: the term falls at entry {index}"
        );
        (next, term) = (index + 1, entry_term);
    }
    ensure!(
        next > last.index,
        "the log has a hole: entries {next} to {} are missing. {}",
        last.index,
        quorum_state::REJOIN
    );
    Ok(())
}
