//! The one thread that writes to the store.
//!
//! ```text
//!  raft task ──append, vote, truncate, purge──▶ bounded FIFO ──▶ thread "raft-log"
//!      ▲                                                           │ takes what waits, ≤ 4 MiB
//!      │                                                           │ one fjall batch, one fdatasync
//!      └────────────── callbacks, in order ◀──────────────────────┘
//! ```
//!
//! While one fdatasync runs the next group collects, so the group grows with the load and nobody
//! sets a linger time. One FIFO and one journal make every prefix durable: a later fdatasync covers
//! each earlier truncation, purge and commit mark, which therefore need none of their own. A failed
//! write is never tried again, for nobody knows what the disk holds after it: every waiting
//! callback gets the error, all later ones too, and the process ends.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode};
use openraft::storage::IOFlushed;
use tokio::sync::oneshot;

use super::codec;
use super::fault::Fault;
use super::keys;
use super::quorum_state::QuorumState;
use super::types::{Config, LogId, Vote};

/// Most operations that wait for the thread. Proposals are bounded far below it, so a full queue
/// means that the disk has stopped.
const QUEUE_MAX: usize = 8_192;
/// Bytes at which a group is closed although more is waiting.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// After this long without an operation, marks that no group carried along are written.
const IDLE: Duration = Duration::from_millis(500);

/// One thing to write. Order of sending is order on the disk.
pub(super) enum Op {
    /// Entries, by index, without a gap.
    Append {
        /// Counts appends, see [`Marks::written`].
        sequence: u64,
        /// Index and encoded entry.
        entries: Vec<(u64, Vec<u8>)>,
        /// Log id of the last of them.
        last: LogId,
        /// Told when they are durable.
        done: IOFlushed<Config>,
    },
    /// A vote; `done` is told when it is durable, here and in `quorum-state`.
    Vote {
        vote: Vote,
        done: oneshot::Sender<io::Result<()>>,
    },
    /// The entries `first..=last` are taken away; the log then ends at `after`.
    Truncate {
        first: u64,
        last: u64,
        after: Option<LogId>,
    },
    /// Raft needs nothing up to here.
    Purge { upto: LogId },
    /// History may read from `floor` on only.
    HistoryFloor {
        floor: u64,
        done: oneshot::Sender<io::Result<()>>,
    },
    /// The last operation: what came before is made durable, then the thread ends.
    Stop,
}

/// What the thread and the log tell each other beside the queue.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Sequence of the newest append that can be read from fjall.
    pub(super) written: u64,
    /// Newest committed log id; written with the next group.
    pub(super) committed: Option<LogId>,
}

/// The sending side. Dropping the last clone ends the thread.
#[derive(Clone)]
pub(super) struct Writer {
    /// Boxed, because the channel reserves all its places from the start.
    queue: SyncSender<Box<Op>>,
    marks: Arc<Mutex<Marks>>,
    fault: Fault,
}

impl Writer {
    /// Starts the thread. `durable` is the log's end as the store was opened.
    pub(super) fn start(
        database: Database,
        log: Keyspace,
        meta: Keyspace,
        state: QuorumState,
        durable: Option<LogId>,
        committed: Option<LogId>,
        fault: Fault,
    ) -> Result<(Self, JoinHandle<()>)> {
        let (queue, operations) = sync_channel(QUEUE_MAX);
        let marks = Arc::new(Mutex::new(Marks {
            written: 0,
            committed,
        }));
        let thread = Thread {
            database,
            log,
            meta,
            state,
            durable,
            committed_on_disk: committed,
            marks: Arc::clone(&marks),
            fault: fault.clone(),
        };
        let handle = std::thread::Builder::new()
            .name("raft-log".to_owned())
            .spawn(move || thread.run(&operations))
            .context("cannot start the thread that writes the log")?;
        Ok((
            Self {
                queue,
                marks,
                fault,
            },
            handle,
        ))
    }

    /// Queues an operation. Where the thread has ended, the operation's callback gets the error.
    pub(super) fn send(&self, op: Op) {
        let refused = match self.queue.try_send(Box::new(op)) {
            Ok(()) => return,
            // Waiting here stops the raft task, which is what a disk that stopped must do.
            Err(TrySendError::Full(op)) => match self.queue.send(op) {
                Ok(()) => return,
                Err(refused) => refused.0,
            },
            Err(TrySendError::Disconnected(op)) => op,
        };
        fail(*refused, &self.fault);
    }

    /// Access to the marks.
    pub(super) fn marks<T>(&self, look: impl FnOnce(&mut Marks) -> T) -> T {
        look(&mut self.marks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

enum Waiting {
    Append(IOFlushed<Config>),
    Other(oneshot::Sender<io::Result<()>>),
}

impl Waiting {
    fn tell(self, result: io::Result<()>) {
        match self {
            Self::Append(done) => done.io_completed(result),
            // Nobody waits any more: nothing to tell.
            Self::Other(done) => drop(done.send(result)),
        }
    }
}

fn fail(op: Op, fault: &Fault) {
    match op {
        Op::Append { done, .. } => Waiting::Append(done).tell(Err(fault.as_io())),
        Op::Vote { done, .. } | Op::HistoryFloor { done, .. } => {
            Waiting::Other(done).tell(Err(fault.as_io()));
        }
        Op::Truncate { .. } | Op::Purge { .. } | Op::Stop => {}
    }
}

struct Thread {
    database: Database,
    log: Keyspace,
    meta: Keyspace,
    state: QuorumState,
    durable: Option<LogId>,
    committed_on_disk: Option<LogId>,
    marks: Arc<Mutex<Marks>>,
    fault: Fault,
}

/// What is written with one fdatasync.
struct Group {
    batch: OwnedWriteBatch,
    bytes: usize,
    /// Somebody waits for the disk.
    sync: bool,
    stop: bool,
    waiting: Vec<Waiting>,
    /// The last of each; a key may stand only once in a fjall batch.
    vote: Option<Vote>,
    purged: Option<LogId>,
    floor: Option<u64>,
    sequence: Option<u64>,
    end: Option<Option<LogId>>,
}

impl Thread {
    fn run(mut self, operations: &Receiver<Box<Op>>) {
        loop {
            let first = match operations.recv_timeout(IDLE) {
                Ok(op) => Some(op),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut group = self.group();
            let written = self.collect(&mut group, first, operations);
            let waiting = std::mem::take(&mut group.waiting);
            let stop = group.stop;
            match written.and_then(|()| self.write(group)) {
                Ok(()) => waiting.into_iter().for_each(|waiting| waiting.tell(Ok(()))),
                Err(error) => return self.give_up(&error, waiting, operations),
            }
            if stop {
                break;
            }
        }
        // A clean end: what the last group left open is made durable too.
        let mut group = self.group();
        group.sync = true;
        if let Err(error) = self.write(group).and_then(|()| self.state.sync()) {
            self.give_up(&error, Vec::new(), operations);
        }
        tracing::debug!("the log is closed");
    }

    fn group(&self) -> Group {
        Group {
            batch: self.database.batch(),
            bytes: 0,
            sync: false,
            stop: false,
            waiting: Vec::new(),
            vote: None,
            purged: None,
            floor: None,
            sequence: None,
            end: None,
        }
    }

    fn collect(
        &self,
        group: &mut Group,
        first: Option<Box<Op>>,
        more: &Receiver<Box<Op>>,
    ) -> Result<()> {
        let mut next = first;
        while let Some(op) = next {
            self.add(group, *op)?;
            next = if group.bytes < GROUP_BYTES_MAX && !group.stop {
                more.try_recv().ok()
            } else {
                None
            };
        }
        Ok(())
    }

    fn add(&self, group: &mut Group, op: Op) -> Result<()> {
        match op {
            Op::Append {
                sequence,
                entries,
                last,
                done,
            } => {
                for (index, value) in entries {
                    group.bytes += value.len();
                    group.batch.insert(&self.log, keys::log_key(index), value);
                }
                group.waiting.push(Waiting::Append(done));
                (group.sequence, group.end, group.sync) = (Some(sequence), Some(Some(last)), true);
            }
            Op::Vote { vote, done } => {
                group.waiting.push(Waiting::Other(done));
                (group.vote, group.sync) = (Some(vote), true);
            }
            Op::Truncate { first, last, after } => {
                // An index written and removed in one fjall batch would have an undefined winner.
                let collected = std::mem::replace(&mut group.batch, self.database.batch());
                commit(collected, PersistMode::Buffer)?;
                let mut removal = self.database.batch();
                for index in first..=last {
                    removal.remove(&self.log, keys::log_key(index));
                }
                commit(removal, PersistMode::Buffer)?;
                group.end = Some(after);
            }
            Op::Purge { upto } => group.purged = Some(upto),
            Op::HistoryFloor { floor, done } => {
                group.waiting.push(Waiting::Other(done));
                (group.floor, group.sync) = (Some(floor), true);
            }
            Op::Stop => group.stop = true,
        }
        Ok(())
    }

    fn write(&mut self, mut group: Group) -> Result<()> {
        let committed = self
            .marks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .committed;
        if let Some(vote) = &group.vote {
            group
                .batch
                .insert(&self.meta, keys::META_VOTE, codec::encode_vote(vote));
        }
        if let Some(upto) = &group.purged {
            let value = codec::encode_log_id(Some(upto));
            group.batch.insert(&self.meta, keys::META_PURGED, value);
        }
        if let Some(floor) = group.floor {
            let value = floor.to_be_bytes();
            group
                .batch
                .insert(&self.meta, keys::META_HISTORY_FLOOR, value);
        }
        if committed != self.committed_on_disk {
            let value = codec::encode_log_id(committed.as_ref());
            group.batch.insert(&self.meta, keys::META_COMMITTED, value);
        }
        let mode = if group.sync {
            PersistMode::SyncData
        } else {
            PersistMode::Buffer
        };
        if !group.batch.is_empty() {
            commit(group.batch, mode)?;
        } else if group.sync {
            self.database
                .persist(PersistMode::SyncData)
                .context("cannot sync the log")?;
        }
        self.committed_on_disk = committed;
        if let Some(sequence) = group.sequence {
            self.marks
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .written = sequence;
        }
        if let Some(end) = group.end {
            self.durable = end;
        }
        self.keep_promises(group.vote, committed)
    }

    /// After the store has it, `quorum-state` gets it too.
    fn keep_promises(&mut self, vote: Option<Vote>, committed: Option<LogId>) -> Result<()> {
        // The watermark first, so that the vote's fsync covers it.
        if let (Some(durable), Some(committed)) = (self.durable, committed) {
            let reached = if durable.index < committed.index {
                durable
            } else {
                committed
            };
            self.state.raise_watermark(reached)?;
        }
        vote.map_or(Ok(()), |vote| self.state.save_vote(vote))
    }

    /// Tells everybody who waits, now and later, that nothing more is written.
    fn give_up(&self, error: &anyhow::Error, waiting: Vec<Waiting>, later: &Receiver<Box<Op>>) {
        self.fault.raise(format!(
            "cannot write the log in {}: {error:#}",
            self.database_path().display()
        ));
        for waiting in waiting {
            waiting.tell(Err(self.fault.as_io()));
        }
        while let Ok(op) = later.recv() {
            fail(*op, &self.fault);
        }
    }

    fn database_path(&self) -> &std::path::Path {
        // <directory>/raft/keyspaces/<id>: people know the directory.
        let path = self.log.path();
        path.ancestors().nth(2).unwrap_or(path)
    }
}

fn commit(batch: OwnedWriteBatch, mode: PersistMode) -> Result<()> {
    batch.durability(Some(mode)).commit().context("fjall")
}
