//! The raft log as openraft sees it: fjall behind, a cache of its newest entries in front.
//!
//! Entries can be read the moment [`RaftLogStorage::append`] returns, long before they are durable:
//! they stand in the cache. Only entries that fjall has are ever dropped from it. Everything here is
//! O(memory), except [`RaftLogStorage::save_vote`], which must wait for the disk, and cold reads,
//! which are bounded by [`READ_BYTES_MAX`].

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use fjall::Keyspace;
use futures::Stream;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{OptionalSend, entry::RaftEntry};
use tokio::sync::oneshot;

use super::codec;
use super::keys;
use super::types::{Config, Entry, EntryPayload, LogId, Vote};
use super::writer::{Op, Writer};
use crate::clock::Clock;

/// Bytes of entries in the cache; it grows from nothing.
pub(super) const CACHE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes after which a bounded read ends.
const READ_BYTES_MAX: usize = 1024 * 1024;
/// What an entry costs beside its payload.
const ENTRY_OVERHEAD: usize = 128;

/// The log. Clones share one state.
#[derive(Clone)]
pub(super) struct Log(Arc<Shared>);

struct Shared {
    keyspace: Keyspace,
    writer: Writer,
    cache_bytes_max: usize,
    memory: Mutex<Memory>,
    slow_votes: OnceLock<SlowVotes>,
}

/// A vote must be durable well within the time that voters have to answer.
struct SlowVotes {
    clock: Arc<dyn Clock>,
    limit_ms: i64,
}

/// What the store was found to hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
    /// The last entry, or `purged` if there is none above it.
    pub(super) last: Option<LogId>,
}

struct Memory {
    found: Found,
    /// Index of the first entry: 0, except where a log begins later by its own wish.
    first: u64,
    sequence: u64,
    truncations: u64,
    cache: VecDeque<Cached>,
    bytes: usize,
}

struct Cached {
    entry: Entry,
    sequence: u64,
    size: usize,
}

impl Log {
    pub(super) fn new(
        keyspace: Keyspace,
        writer: Writer,
        found: Found,
        cache_bytes_max: usize,
    ) -> Self {
        let memory = Memory {
            found,
            first: 0,
            sequence: 0,
            truncations: 0,
            cache: VecDeque::new(),
            bytes: 0,
        };
        Self(Arc::new(Shared {
            keyspace,
            writer,
            cache_bytes_max,
            memory: Mutex::new(memory),
            slow_votes: OnceLock::new(),
        }))
    }

    /// From now on votes that take longer than this to be durable are complained about.
    pub(super) fn watch_votes(&self, clock: Arc<dyn Clock>, limit_ms: i64) {
        self.0
            .slow_votes
            .get_or_init(|| SlowVotes { clock, limit_ms });
    }

    /// The thread behind it.
    pub(super) fn writer(&self) -> &Writer {
        &self.0.writer
    }

    /// The end of the log, committed or not.
    pub(super) fn last(&self) -> Option<LogId> {
        self.memory().found.last
    }

    /// Up to here raft has given its entries up.
    pub(super) fn purged(&self) -> Option<LogId> {
        self.memory().found.purged
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entries of `start..end` that raft still has, until `bytes_max` is reached (at least one).
    fn read(&self, start: u64, end: u64, bytes_max: usize) -> Result<Vec<Entry>> {
        loop {
            let truncations = self.memory().truncations;
            let entries = self.read_once(start, end, bytes_max);
            // A new leader may have cut the log under a reader that still served the old one.
            if entries.is_ok() || self.memory().truncations == truncations {
                return entries;
            }
        }
    }

    fn read_once(&self, start: u64, end: u64, bytes_max: usize) -> Result<Vec<Entry>> {
        let (start, end, mut cached) = {
            let memory = self.memory();
            let start = start.max(memory.found.purged.map_or(memory.first, |id| id.index + 1));
            let end = end.min(memory.found.last.map_or(0, |id| id.index + 1));
            (start, end, memory.cached(start, end, bytes_max))
        };
        if start >= end {
            return Ok(Vec::new());
        }
        let cold_end = cached.first().map_or(end, |entry| entry.log_id.index);
        if start == cold_end {
            return Ok(cached);
        }
        let mut entries = Vec::new();
        let more = self.read_cold(start, cold_end, bytes_max, &mut entries)?;
        if more {
            entries.append(&mut cached);
        }
        Ok(entries)
    }

    /// Reads `start..end` from fjall; whether it got to the end within `bytes_max`.
    fn read_cold(
        &self,
        start: u64,
        end: u64,
        bytes_max: usize,
        entries: &mut Vec<Entry>,
    ) -> Result<bool> {
        let mut bytes = 0;
        let mut next = start;
        for item in self
            .0
            .keyspace
            .range(keys::log_key(start)..keys::log_key(end))
        {
            let (key, value) = item.into_inner().context("cannot read the log")?;
            let index = keys::log_index(&key).context("the log holds a key that is no index")?;
            ensure!(
                index == next,
                "the log has a hole: entry {next} is missing before {index}"
            );
            entries.push(codec::decode_entry(index, Bytes::copy_from_slice(&value))?);
            next += 1;
            bytes += value.len();
            if bytes >= bytes_max {
                return Ok(next == end);
            }
        }
        ensure!(
            next == end,
            "the log has a hole: entries {next} to {} are missing",
            end - 1
        );
        Ok(true)
    }
}

impl Memory {
    fn cached(&self, start: u64, end: u64, bytes_max: usize) -> Vec<Entry> {
        let Some(front) = self.cache.front().map(|cached| cached.entry.log_id.index) else {
            return Vec::new();
        };
        let skip = start.max(front) - front;
        let mut entries = Vec::new();
        let mut bytes = 0;
        let newer = self.cache.iter().skip(skip as usize);
        for cached in newer.take_while(|cached| cached.entry.log_id.index < end) {
            entries.push(cached.entry.clone());
            bytes += cached.size;
            if bytes >= bytes_max {
                break;
            }
        }
        entries
    }

    /// Drops the oldest entries that fjall has, until the rest fits.
    fn shrink(&mut self, bytes_max: usize, written: u64) {
        while self.bytes > bytes_max
            && self
                .cache
                .front()
                .is_some_and(|cached| cached.sequence <= written)
        {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(cached) = self.cache.pop_front() {
            self.bytes -= cached.size;
        }
    }
}

fn size(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(change) => {
            ENTRY_OVERHEAD + change.batch.len() + change.origins.len() + change.side.len()
        }
        _ => ENTRY_OVERHEAD,
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

fn io_error(error: anyhow::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{error:#}"))
}

impl RaftLogReader<Config> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<Entry>> {
        let (start, end) = bounds(&range);
        self.read(start, end, usize::MAX).map_err(io_error)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, READ_BYTES_MAX).map_err(io_error)
    }

    async fn entries_stream<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend {
        let (start, end) = bounds(&range);
        let log = self.clone();
        let pieces = futures::stream::try_unfold(start, move |next| {
            let piece = log.read(next, end, READ_BYTES_MAX).map_err(io_error);
            futures::future::ready(piece.map(|piece| {
                let last = piece.last()?.log_id.index;
                Some((futures::stream::iter(piece.into_iter().map(Ok)), last + 1))
            }))
        });
        futures::TryStreamExt::try_flatten(pieces)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.memory().found.vote)
    }
}

impl RaftLogStorage<Config> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Config>> {
        let memory = self.memory();
        Ok(LogState {
            last_purged_log_id: memory.found.purged,
            last_log_id: memory.found.last,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.memory().found.vote = Some(*vote);
        let slow_votes = self.0.slow_votes.get();
        let begun = slow_votes.map(|slow| slow.clock.ticks());
        let (done, durable) = oneshot::channel();
        self.0.writer.send(Op::Vote { vote: *vote, done });
        let ended = io::Error::other("the thread that writes the log has ended");
        durable.await.map_err(|_| ended)??;
        if let (Some(slow), Some(begun)) = (slow_votes, begun) {
            let took_ms = slow.clock.ticks().ms_since(begun);
            if took_ms > slow.limit_ms {
                tracing::warn!(
                    "this disk took {took_ms} ms to make a vote durable; elections may fail: raise \
                     controller.quorum.election.timeout.ms or use a faster disk"
                );
            }
        }
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.memory().found.committed = committed;
        self.0.writer.marks(|marks| marks.committed = committed);
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.memory().found.committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Config>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let written = self.0.writer.marks(|marks| marks.written);
        let mut memory = self.memory();
        memory.sequence += 1;
        let sequence = memory.sequence;
        let mut encoded = Vec::new();
        for entry in entries {
            encoded.push((entry.index(), codec::encode_entry(&entry)));
            let size = size(&entry);
            if memory.found.last.is_none() {
                memory.first = entry.log_id.index;
            }
            memory.found.last = Some(entry.log_id);
            memory.bytes += size;
            memory.cache.push_back(Cached {
                entry,
                sequence,
                size,
            });
        }
        memory.shrink(self.0.cache_bytes_max, written);
        let last = memory.found.last;
        drop(memory);
        match last {
            Some(last) if !encoded.is_empty() => {
                self.0.writer.send(Op::Append {
                    sequence,
                    entries: encoded,
                    last,
                    done: callback,
                });
            }
            _ => callback.io_completed(Ok(())),
        }
        Ok(())
    }

    async fn truncate_after(&mut self, after: Option<LogId>) -> io::Result<()> {
        let mut memory = self.memory();
        let first = after.map_or(0, |id| id.index + 1);
        let Some(last) = memory.found.last.filter(|last| last.index >= first) else {
            return Ok(());
        };
        while memory
            .cache
            .back()
            .is_some_and(|cached| cached.entry.log_id.index >= first)
        {
            if let Some(cached) = memory.cache.pop_back() {
                memory.bytes -= cached.size;
            }
        }
        memory.found.last = after;
        memory.truncations += 1;
        drop(memory);
        self.0.writer.send(Op::Truncate {
            first,
            last: last.index,
            after,
        });
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let mut memory = self.memory();
        while memory
            .cache
            .front()
            .is_some_and(|cached| cached.entry.log_id.index <= upto.index)
        {
            memory.pop_front();
        }
        memory.found.purged = memory.found.purged.max(Some(upto));
        memory.found.last = memory.found.last.max(Some(upto));
        drop(memory);
        self.0.writer.send(Op::Purge { upto });
        Ok(())
    }
}
