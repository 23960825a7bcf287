//! The listening side of the peers' traffic: one frame in, one answer out.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use openraft::Raft;
use openraft::async_runtime::WatchReceiver;
use openraft::storage::Snapshot;
use tokio::sync::Mutex;

use super::codec::{self, Input};
use super::frames::{self, Address, Hello, Part, SnapshotStep, Status};
use super::gate::Gate;
use super::log::Log;
use super::machine::Machine;
use super::members::Members;
use super::pair::{Pair, Received};
use super::types::{Config, Entry, SnapshotMeta, Vote, term_of};

/// Answers what other nodes ask. Clones share one state.
#[derive(Clone)]
pub(super) struct Peer(Arc<Shared>);

struct Shared {
    raft: Raft<Config, Machine>,
    gate: Gate,
    log: Log,
    members: Members,
    directory: PathBuf,
    /// The configured voters, as [`super::formation`] writes them.
    voters: String,
    receiving: Mutex<Option<Receiving>>,
}

/// A snapshot that is on its way in.
struct Receiving {
    from: u64,
    vote: Vote,
    meta: SnapshotMeta,
    side: Incoming,
    checkpoint: Incoming,
    received: Received,
}

struct Incoming {
    file: Arc<File>,
    bytes: u64,
    expected: u64,
}

impl Peer {
    pub(super) fn new(
        raft: Raft<Config, Machine>,
        gate: Gate,
        log: Log,
        members: Members,
        directory: PathBuf,
        voters: String,
    ) -> Self {
        let receiving = Mutex::default();
        Self(Arc::new(Shared {
            raft,
            gate,
            log,
            members,
            directory,
            voters,
            receiving,
        }))
    }

    /// The body of the answer; `None` closes the connection.
    pub(super) async fn answer(&self, key: i16, version: i16, body: Bytes) -> Option<Bytes> {
        if version != frames::VERSION {
            return None;
        }
        let mut input = Input(body);
        let address = frames::take_address(&mut input);
        let answered = match address {
            Ok(address) => self.answer_to(key, &address, input).await,
            Err(error) => Err(error),
        };
        match answered {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::warn!("a peer's request {key} makes no sense: {error:#}");
                None
            }
        }
    }

    async fn answer_to(&self, key: i16, address: &Address, mut input: Input) -> Result<Bytes> {
        let shared = &*self.0;
        let status = shared.gate.admit(address);
        if status != Status::Fine {
            return Ok(self.refuse(status, address));
        }
        match key {
            frames::APPEND => {
                let request = frames::take_append(&mut input)?;
                let term = request.vote.leader_id.term;
                let fits = |entry: &Entry| term_of(&entry.log_id) <= term;
                if !self.is_plausible(&request.vote) || !request.entries.iter().all(fits) {
                    return Ok(self.refuse(Status::Refused, address));
                }
                let Ok(response) = shared.raft.append_entries(request).await else {
                    return Ok(self.refuse(Status::Stopping, address));
                };
                Ok(self.fine(|out| frames::put_appended(out, &response)))
            }
            frames::VOTE | frames::PRE_VOTE => self.vote(key, address, &mut input).await,
            frames::SNAPSHOT => {
                let step = frames::take_snapshot_step(&mut input)?;
                match self.receive(address.from.node, step).await {
                    Ok(vote) => Ok(self.fine(|out| codec::put_vote(out, &vote))),
                    Err(error) => {
                        tracing::warn!("a snapshot from node {}: {error:#}", address.from.node);
                        *shared.receiving.lock().await = None;
                        Ok(self.refuse(Status::Refused, address))
                    }
                }
            }
            frames::HAND_OVER => {
                let request = frames::take_hand_over(&mut input)?;
                let Ok(response) = shared.raft.handle_transfer_leader(request).await else {
                    return Ok(self.refuse(Status::Stopping, address));
                };
                Ok(self.fine(|out| frames::put_handed_over(out, &response)))
            }
            frames::HELLO => {
                let voters = input.string()?;
                input.end()?;
                let initialized = shared.raft.is_initialized().await.unwrap_or(true);
                let hello = Hello {
                    empty: !initialized,
                    same_voters: voters == shared.voters,
                };
                Ok(self.fine(|out| frames::put_hello(out, hello)))
            }
            frames::MOVED => {
                let member = input.member()?;
                input.end()?;
                let voter = member.voter(address.from.node);
                match shared.members.update(voter).await {
                    Ok(()) => Ok(self.fine(|_| {})),
                    Err(refusal) => {
                        tracing::debug!("node {} moved: {refusal}", address.from.node);
                        Ok(self.refuse(Status::Refused, address))
                    }
                }
            }
            _ => bail!("an unknown request"),
        }
    }

    async fn vote(&self, key: i16, address: &Address, input: &mut Input) -> Result<Bytes> {
        let shared = &*self.0;
        let request = frames::take_vote_request(input)?;
        if !self.is_plausible(&request.vote) {
            return Ok(self.refuse(Status::Refused, address));
        }
        let status = shared
            .gate
            .admit_vote(address, request.last_log_id, shared.log.last());
        if status != Status::Fine {
            return Ok(self.refuse(status, address));
        }
        let response = if key == frames::VOTE {
            shared.raft.vote(request).await
        } else {
            shared.raft.pre_vote(request).await
        };
        let Ok(response) = response else {
            return Ok(self.refuse(Status::Stopping, address));
        };
        Ok(self.fine(|out| frames::put_voted(out, &response)))
    }

    fn is_plausible(&self, vote: &Vote) -> bool {
        let plausible = Gate::is_plausible(vote, self.own_vote().leader_id.term);
        if !plausible {
            tracing::error!("a peer claims term {}: refused", vote.leader_id.term);
        }
        plausible
    }

    fn own_vote(&self) -> Vote {
        self.0.raft.server_metrics().borrow_watched().vote
    }

    fn fine(&self, body: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        frames::answer(Status::Fine, self.0.gate.me(), body)
    }

    fn refuse(&self, status: Status, address: &Address) -> Bytes {
        tracing::debug!("node {} is refused: {status:?}", address.from.node);
        frames::answer(status, self.0.gate.me(), |_| {})
    }

    /// One step of receiving a snapshot; the answer is the newest vote here.
    async fn receive(&self, from: u64, step: SnapshotStep) -> Result<Vote> {
        let mut receiving = self.0.receiving.lock().await;
        match step {
            SnapshotStep::Begin {
                vote,
                meta,
                side_bytes,
                checkpoint_bytes,
            } => {
                ensure!(self.is_plausible(&vote), "a term out of all proportion");
                if self.own_vote() > vote {
                    return Ok(self.own_vote());
                }
                // The old one's files go first: the new ones have the same names.
                *receiving = None;
                let begun = Receiving::begin(&self.0.directory, from, vote, meta);
                *receiving = Some(begun?.expecting(side_bytes, checkpoint_bytes));
                Ok(vote)
            }
            SnapshotStep::Chunk {
                part,
                position,
                bytes,
            } => {
                let current = receiving.as_mut().filter(|current| current.from == from);
                let current = current.context("a chunk of nothing")?;
                current.write(part, position, bytes).await?;
                Ok(current.vote)
            }
            SnapshotStep::End { vote } => {
                let done = receiving
                    .take()
                    .filter(|done| done.from == from && done.vote == vote);
                let snapshot = done.context("an end of nothing")?.finish().await?;
                let response = self.0.raft.install_full_snapshot(vote, snapshot).await;
                Ok(response.context("raft has stopped")?.vote)
            }
        }
    }
}

impl Receiving {
    fn begin(
        directory: &std::path::Path,
        from: u64,
        vote: Vote,
        meta: SnapshotMeta,
    ) -> Result<Self> {
        let received = Received {
            side: directory.join("received.yakt.tmp"),
            checkpoint: directory.join("received.checkpoint.tmp"),
        };
        let create = |path: &PathBuf| {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(path);
            let file = file.with_context(|| format!("cannot create {}", path.display()))?;
            anyhow::Ok(Incoming {
                file: Arc::new(file),
                bytes: 0,
                expected: 0,
            })
        };
        let (side, checkpoint) = (create(&received.side)?, create(&received.checkpoint)?);
        Ok(Self {
            from,
            vote,
            meta,
            side,
            checkpoint,
            received,
        })
    }

    fn expecting(mut self, side_bytes: u64, checkpoint_bytes: u64) -> Self {
        (self.side.expected, self.checkpoint.expected) = (side_bytes, checkpoint_bytes);
        self
    }

    /// Writes a chunk and syncs it: a single sync at the end would stall the log's own.
    async fn write(&mut self, part: Part, position: u64, bytes: Bytes) -> Result<()> {
        let incoming = match part {
            Part::Side => &mut self.side,
            Part::Checkpoint => &mut self.checkpoint,
        };
        ensure!(
            position == incoming.bytes,
            "a chunk at {position}, not {}",
            incoming.bytes
        );
        incoming.bytes += bytes.len() as u64;
        ensure!(
            incoming.bytes <= incoming.expected,
            "more bytes than announced"
        );
        let file = Arc::clone(&incoming.file);
        let write = move || {
            file.write_all_at(&bytes, position)
                .and_then(|()| file.sync_data())
        };
        tokio::task::spawn_blocking(write)
            .await?
            .context("cannot write the snapshot")
    }

    /// Checks what was received against itself.
    async fn finish(self) -> Result<Whole> {
        for incoming in [&self.side, &self.checkpoint] {
            ensure!(
                incoming.bytes == incoming.expected,
                "the snapshot is cut short"
            );
        }
        let Self {
            meta,
            side,
            checkpoint,
            received,
            ..
        } = self;
        let open = |incoming: Incoming| incoming.file.try_clone();
        let pair = Pair {
            side: open(side)?,
            checkpoint: open(checkpoint)?,
            received: Some(received),
        };
        let pair = tokio::task::spawn_blocking(move || pair.verify()).await??;
        Ok(Snapshot {
            meta,
            snapshot: pair,
        })
    }
}

type Whole = Snapshot<super::types::CommittedLeaderId, u64, super::types::Member, Pair>;
