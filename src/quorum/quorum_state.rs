//! What this node promised, kept a second time: the vote, and how far its log certainly reached.
//!
//! fjall can open a damaged journal with synced entries silently gone. For raft that is not a loss
//! of data on one node but a lie: the node would vote and acknowledge as if it had never had them,
//! and could help to elect a leader without committed data. So beside the database lies this small
//! file, and a store that fell behind it does not start.
//!
//! The watermark is the log id of min(durable, *committed*): entries that are only durable may be
//! truncated lawfully and must not be watched.
//!
//! ```text
//! two slots of 64 bytes at 0 and 4096, written in turn:
//!   magic "YQS1", sequence u64, vote (optional: u8, then 17 bytes), watermark (optional log id),
//!   zeros, crc32c u32 of the 60 bytes before it
//! ```

use std::cmp::Ordering;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bytes::{BufMut, Bytes};

use super::codec::{self, Input};
use super::types::{LogId, Vote};

/// Name of the file within the metadata directory.
pub(super) const FILE: &str = "quorum-state";

const MAGIC: &[u8; 4] = b"YQS1";
const SLOT_BYTES: usize = 64;
const SLOT_AT: [u64; 2] = [0, 4096];

/// What was promised.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Promise {
    /// The vote that was given last.
    pub(super) vote: Option<Vote>,
    /// Up to here the log was durable and committed.
    pub(super) watermark: Option<LogId>,
}

/// The open file.
#[derive(Debug)]
pub(super) struct QuorumState {
    path: PathBuf,
    file: File,
    sequence: u64,
    promise: Promise,
}

impl QuorumState {
    /// Opens the file, or makes it where there is none. An existing file in which neither slot can
    /// be read is an error: it once held a promise.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(FILE);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Self::create(directory, path);
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot open {}", path.display()));
            }
        };
        let newest = SLOT_AT
            .iter()
            .filter_map(|at| read_slot(&file, *at))
            .max_by_key(|slot| slot.0);
        let Some((sequence, promise)) = newest else {
            bail!(
                "{} is damaged: neither of its two slots can be read. It holds the vote this node \
                 gave; without it the node must not vote. {REJOIN}",
                path.display()
            );
        };
        Ok(Self {
            path,
            file,
            sequence,
            promise,
        })
    }

    fn create(directory: &Path, path: PathBuf) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path);
        let file = file.with_context(|| format!("cannot create {}", path.display()))?;
        let mut state = Self {
            path,
            file,
            sequence: 0,
            promise: Promise::default(),
        };
        state.write(Promise::default())?;
        state.write(Promise::default())?;
        state.sync()?;
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .with_context(|| format!("cannot sync {}", directory.display()))?;
        Ok(state)
    }

    /// What the file says.
    pub(super) fn promise(&self) -> Promise {
        self.promise
    }

    /// Writes the vote and makes it durable.
    pub(super) fn save_vote(&mut self, vote: Vote) -> Result<()> {
        self.write(Promise {
            vote: Some(vote),
            ..self.promise
        })?;
        self.sync()
    }

    /// Moves the watermark forward, without waiting for the disk: what it says is already durable
    /// elsewhere, so it may come late but never too early.
    pub(super) fn raise_watermark(&mut self, to: LogId) -> Result<()> {
        if self
            .promise
            .watermark
            .is_some_and(|now| now.index >= to.index)
        {
            return Ok(());
        }
        self.write(Promise {
            watermark: Some(to),
            ..self.promise
        })
    }

    /// Waits until what was written is on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        self.file
            .sync_data()
            .with_context(|| format!("cannot sync {}", self.path.display()))
    }

    fn write(&mut self, promise: Promise) -> Result<()> {
        let sequence = self.sequence + 1;
        let slot = encode_slot(sequence, &promise);
        let at = SLOT_AT[(sequence % 2) as usize];
        let written = self.file.write_all_at(&slot, at);
        written.with_context(|| format!("cannot write {}", self.path.display()))?;
        (self.sequence, self.promise) = (sequence, promise);
        Ok(())
    }
}

/// How a node whose store lost something comes back; ends every such message.
pub(super) const REJOIN: &str = "To let this node rejoin: stop it, move its metadata directory away, \
     format a new one with the same cluster id, and start it; the leader takes it back as a learner \
     and promotes it once it has caught up. Do this on one node at a time, and only while a majority \
     of the others is healthy.";

/// Compares the store with what was promised. `Err` says in one sentence what is missing.
pub(super) fn check(promise: &Promise, vote: Option<Vote>, last: Option<LogId>) -> Result<()> {
    if let Some(promised) = promise.vote {
        let fell_behind = match vote {
            None => true,
            // Two votes of one term for different nodes do not compare: that is no later vote either.
            Some(vote) => vote.partial_cmp(&promised).is_none_or(Ordering::is_lt),
        };
        if fell_behind {
            let stored = vote.map_or_else(|| "no vote".to_owned(), |vote| format!("vote {vote}"));
            bail!("the store holds {stored}, but this node has given vote {promised}. {REJOIN}");
        }
    }
    // Terms never fall along a log: an end of a lower term is an old tail, whatever its index.
    if let Some(watermark) = promise.watermark
        && last.is_none_or(|last| last.index < watermark.index || last < watermark)
    {
        let end = last.map_or_else(|| "is empty".to_owned(), |last| format!("ends at {last}"));
        bail!(
            "the log {end}, but committed entries up to {watermark} had been on this disk: \
             the store lost synced data. {REJOIN}"
        );
    }
    Ok(())
}

fn encode_slot(sequence: u64, promise: &Promise) -> [u8; SLOT_BYTES] {
    let mut out = Vec::with_capacity(SLOT_BYTES);
    out.put_slice(MAGIC);
    out.put_u64(sequence);
    out.put_u8(u8::from(promise.vote.is_some()));
    if let Some(vote) = &promise.vote {
        codec::put_vote(&mut out, vote);
    }
    codec::put_log_id(&mut out, promise.watermark.as_ref());
    out.resize(SLOT_BYTES - 4, 0);
    let crc = crc32c::crc32c(&out);
    out.put_u32(crc);
    out.try_into().expect("filled to exactly this length above")
}

fn read_slot(file: &File, at: u64) -> Option<(u64, Promise)> {
    let mut slot = [0; SLOT_BYTES];
    file.read_exact_at(&mut slot, at).ok()?;
    let (body, crc) = slot.split_at(SLOT_BYTES - 4);
    if crc32c::crc32c(body).to_be_bytes() != crc {
        return None;
    }
    let mut input = Input(Bytes::copy_from_slice(body));
    if *input.take(4).ok()? != *MAGIC {
        return None;
    }
    let sequence = input.u64().ok()?;
    let vote = if input.flag().ok()? {
        Some(input.vote().ok()?)
    } else {
        None
    };
    let watermark = input.log_id().ok()?;
    Some((sequence, Promise { vote, watermark }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quorum::types::log_id;

    #[test]
    fn what_was_promised_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = QuorumState::open(directory.path()).unwrap();
        assert_eq!(state.promise(), Promise::default());
        state.save_vote(Vote::new(3, 1)).unwrap();
        state.raise_watermark(log_id(2, 10)).unwrap();
        state.raise_watermark(log_id(2, 9)).unwrap();
        drop(state);
        let state = QuorumState::open(directory.path()).unwrap();
        let expected = Promise {
            vote: Some(Vote::new(3, 1)),
            watermark: Some(log_id(2, 10)),
        };
        assert_eq!(state.promise(), expected);
    }

    #[test]
    fn a_torn_slot_leaves_the_other_one() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = QuorumState::open(directory.path()).unwrap();
        state.raise_watermark(log_id(1, 1)).unwrap();
        state.raise_watermark(log_id(1, 2)).unwrap();
        let newest = SLOT_AT[(state.sequence % 2) as usize];
        state.file.write_all_at(&[0xff; 30], newest).unwrap();
        drop(state);
        let state = QuorumState::open(directory.path()).unwrap();
        assert_eq!(state.promise().watermark, Some(log_id(1, 1)));
        state.file.write_all_at(&[0xff; 30], SLOT_AT[0]).unwrap();
        state.file.write_all_at(&[0xff; 30], SLOT_AT[1]).unwrap();
        let error = QuorumState::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("is damaged"), "{error}");
    }

    #[test]
    fn a_store_that_fell_behind_is_refused() {
        let promise = Promise {
            vote: Some(Vote::new(4, 2)),
            watermark: Some(log_id(3, 100)),
        };
        let fine = [(4, 100), (5, 100), (4, 101)];
        for (term, index) in fine {
            check(&promise, Some(Vote::new(term, 2)), Some(log_id(3, index))).unwrap();
        }
        check(
            &promise,
            Some(Vote::new_committed(4, 2)),
            Some(log_id(3, 100)),
        )
        .unwrap();
        let refused = |vote, last| check(&promise, vote, last).unwrap_err().to_string();
        assert!(refused(None, Some(log_id(3, 100))).contains("has given vote"));
        assert!(refused(Some(Vote::new(3, 9)), Some(log_id(3, 100))).contains("has given vote"));
        assert!(refused(Some(Vote::new(4, 2)), Some(log_id(3, 99))).contains("lost synced data"));
        assert!(refused(Some(Vote::new(4, 2)), None).contains("lost synced data"));
        // A tail of an older leader, long enough, which the lost entries had replaced.
        let older = Some(log_id(2, 120));
        assert!(refused(Some(Vote::new(4, 2)), older).contains("lost synced data"));
        check(&Promise::default(), None, None).unwrap();
    }
}
