//! Committed batches from disk: what lies before the tail that is kept in memory.
//!
//! The log is kept once: these are raft's own entries. Raft gives them up long before they go
//! (`retention.rs` decides that), so a reader finds them by the index that the machine keeps,
//! and skips what was void. Nothing above the last applied entry is history.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use fjall::Keyspace;
use imbl::Vector;

use super::codec;
use super::index::{Index, Spot};
use super::keys;
use super::machine::State;
use super::types::EntryPayload;
use crate::feed::tail;
use crate::ids::{Millis, Offset};
use crate::records::batch::Batch;

/// Clones share one state.
#[derive(Clone)]
pub(super) struct History(Arc<Shared>);

struct Shared {
    entries: Keyspace,
    known: Mutex<Known>,
}

/// Of so many runs of entries it is remembered exactly where they ended.
const RECENT_MAX: usize = 4_096;

/// What was applied last.
#[derive(Clone, Default)]
struct Known {
    index: Index,
    applied: Option<u64>,
    end: Offset,
    /// The newest runs: index of the last entry, and the offset behind it.
    recent: Vector<(u64, Offset)>,
}

impl History {
    pub(super) fn new(entries: Keyspace) -> Self {
        Self(Arc::new(Shared {
            entries,
            known: Mutex::default(),
        }))
    }

    /// The machine has published this state.
    pub(super) fn applied(&self, state: &State) {
        let mut known = self.known();
        known.index = state.index.clone();
        known.applied = state.last.map(|last| last.index);
        known.end = state.end_offset();
        let run = (known.applied.unwrap_or_default(), known.end);
        if known.recent.last() != Some(&run) {
            known.recent.push_back(run);
        }
        if known.recent.len() > RECENT_MAX {
            known.recent.pop_front();
        }
    }

    /// The offset behind the last record that was applied.
    pub(super) fn end_offset(&self) -> Offset {
        self.known().end
    }

    /// The offset behind the last record of the log up to this entry: exact for the newest entries,
    /// a little less for older ones.
    pub(super) fn end_offset_at(&self, index: u64) -> Offset {
        let known = self.known();
        if known.applied.is_none_or(|applied| applied <= index) {
            return known.end;
        }
        let recent = known.recent.iter().rev().find(|(last, _)| *last <= index);
        let spot = || {
            known
                .index
                .spot_at_index(index)
                .map_or(0, |spot| spot.offset)
        };
        recent.map_or_else(spot, |(_, end)| *end)
    }

    /// The index as it was published last.
    pub(super) fn index(&self) -> Index {
        self.known().index.clone()
    }

    /// What lies below this entry is about to go.
    pub(super) fn forget_below(&self, floor: u64) {
        self.known().index.forget_below(floor);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives batch after batch that counted, from a spot on, until `take` has enough.
    fn scan(&self, from: Spot, known: &Known, mut take: impl FnMut(Batch) -> bool) -> Result<()> {
        let Some(applied) = known.applied else {
            return Ok(());
        };
        let range = keys::log_key(from.index)..=keys::log_key(applied);
        for (expected, item) in (from.index..).zip(self.0.entries.range(range)) {
            let (key, value) = item.into_inner().context("cannot read the log")?;
            let index = keys::log_index(&key).context("the log holds a key that is no index")?;
            ensure!(
                index == expected,
                "the log has a hole: entry {expected} is missing"
            );
            if known.index.is_void(index) {
                continue;
            }
            let entry = codec::decode_entry(index, Bytes::copy_from_slice(&value))?;
            if let EntryPayload::Normal(change) = entry.payload
                && !take(Batch(change.batch))
            {
                break;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "History(up to {:?})", self.known().applied)
    }
}

impl tail::History for History {
    fn read(&self, offset: Offset, bytes_max: usize) -> Result<Vec<Batch>> {
        let known = self.known().clone();
        let spot = known.index.spot_for_offset(offset);
        let spot = spot.filter(|_| offset < known.end);
        let spot = spot.with_context(|| format!("offset {offset} is not kept"))?;
        let mut batches: Vec<Batch> = Vec::new();
        let mut bytes = 0;
        self.scan(spot, &known, |batch| {
            if batch.next_offset() <= offset {
                return true;
            }
            bytes += batch.len();
            let fits = batches.is_empty() || bytes <= bytes_max;
            if fits {
                batches.push(batch);
            }
            fits
        })?;
        ensure!(
            !batches.is_empty(),
            "offset {offset} is not on the disk yet"
        );
        Ok(batches)
    }

    fn offset_for_time(&self, time: Millis) -> Result<Option<Offset>> {
        let known = self.known().clone();
        let Some(spot) = known.index.spot_for_time(time) else {
            return Ok(None);
        };
        let mut found = None;
        self.scan(spot, &known, |batch| {
            found = (batch.time() >= time).then(|| batch.base_offset());
            found.is_none()
        })?;
        Ok(found)
    }

    fn first_offset(&self) -> Offset {
        let known = self.known();
        known
            .index
            .first_spot()
            .map_or(known.end, |spot| spot.offset)
    }
}
