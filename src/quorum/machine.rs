//! The state machine: committed entries become the image, one after another.
//!
//! ```text
//! committed entries ──▶ guard ──▶ the proposal's own image (leader), or apply (everybody else)
//!                                     │ index: offset -> entry
//!                                     ▼
//!                        publish, once per run of entries ──▶ leader barrier ──▶ outcomes
//! ```
//!
//! In that order: who is told that a proposal is applied must find it in the published image, and
//! a new leader must not hear that it leads before everything committed is there.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine, Snapshot};

use super::codec;
use super::fault::Fault;
use super::guard::{Claim, Guard};
use super::history::History;
use super::index::{Index, Spot};
use super::leadership::Leadership;
use super::pair::Pair;
use super::pending::{Pending, Place};
use super::publisher::Publisher;
use super::snapshot::{Builder, Snapshots};
use super::types::{
    Applied, Change, Config, Entry, EntryPayload, LogId, SnapshotMeta, StoredMembership, epoch_of,
    term_of, uniform_voters,
};
use crate::feed::tail::Tail;
use crate::ids::Offset;
use crate::image::Image;
use crate::records::batch::Batch;

/// After so many entries of a long run the image is published although more are ready.
const PUBLISH_EVERY: usize = 4_096;

/// Debug builds compare images of up to so many partitions in full.
const COMPARED_PARTITIONS_MAX: usize = 1_000;

/// Everything that is the same on every node at one entry. Clone is O(1).
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) last: Option<LogId>,
    pub(super) membership: StoredMembership,
    pub(super) image: Image,
    pub(super) guard: Guard,
    pub(super) index: Index,
}

impl State {
    /// Offset of the next record.
    pub(super) fn end_offset(&self) -> Offset {
        self.image.end_offset()
    }
}

/// The state machine of one node.
pub(super) struct Machine {
    state: State,
    tail: Tail,
    /// The membership that the outside was told of last.
    shown_membership: Option<LogId>,
    pending: Pending,
    publisher: Publisher,
    leadership: Leadership,
    snapshots: Snapshots,
    history: History,
    fault: Fault,
}

impl Machine {
    pub(super) fn new(
        pending: Pending,
        publisher: Publisher,
        leadership: Leadership,
        snapshots: Snapshots,
        history: History,
        fault: Fault,
    ) -> Self {
        let state = State::default();
        let tail = new_tail(&state, &history);
        Self {
            state,
            tail,
            shown_membership: None,
            pending,
            publisher,
            leadership,
            snapshots,
            history,
            fault,
        }
    }

    fn apply_entry(&mut self, entry: Entry) -> Result<Applied> {
        let id = entry.log_id;
        let applied = match entry.payload {
            EntryPayload::Blank => Applied::Done,
            EntryPayload::Membership(membership) => {
                self.state.membership = StoredMembership::new(Some(id), membership);
                Applied::Done
            }
            EntryPayload::Normal(change) => self
                .apply_change(id, &change)
                .with_context(|| format!("entry {id}"))?,
        };
        self.state.last = Some(id);
        Ok(applied)
    }

    fn apply_change(&mut self, id: LogId, change: &Change) -> Result<Applied> {
        let batch = Batch(change.batch.clone());
        let place = Place {
            epoch: batch.epoch(),
            run: change.run,
            base_offset: batch.base_offset(),
        };
        let proposed = self.pending.take(place);
        let claim = Claim {
            term: u64::try_from(place.epoch).context("a batch of a negative epoch")?,
            run: place.run,
            base_offset: place.base_offset,
        };
        if !self
            .state
            .guard
            .pass(claim, term_of(&id), self.state.end_offset())
        {
            tracing::warn!(
                "entry {id}: batch at offset {} of run {} is void",
                place.base_offset,
                place.run
            );
            self.state.index.push_void(id.index);
            return Ok(Applied::Void);
        }
        let before =
            (cfg!(debug_assertions) && proposed.is_some()).then(|| self.state.image.clone());
        match proposed {
            Some(after) => self.state.image = after,
            None => apply(&mut self.state.image, &batch, change)?,
        }
        if let Some(mut image) = before {
            apply(&mut image, &batch, change)?;
            check_same(&image, &self.state.image)?;
        }
        let end = self.state.end_offset();
        if end != batch.next_offset() {
            bail!(
                "the batch ends at offset {}, the image after it at {end}",
                batch.next_offset()
            );
        }
        let spot = Spot {
            offset: place.base_offset,
            time: batch.time(),
            index: id.index,
        };
        self.state
            .index
            .push(spot, epoch_of(term_of(&id)), batch.len());
        self.snapshots.applied(batch.len() as u64);
        self.tail.push(batch);
        Ok(Applied::Done)
    }

    /// Shows what was applied, then tells who waits for it.
    fn publish(&mut self, told: &mut Vec<(ApplyResponder<Config>, Applied)>) {
        self.state
            .index
            .forget_below(self.snapshots.history_floor());
        self.history.applied(&self.state);
        self.publisher.edit(|published| {
            published.image.clone_from(&self.state.image);
            published.tail.clone_from(&self.tail);
        });
        // Before the barrier: a leader begins with the voters of the log it begins on.
        let membership = &self.state.membership;
        if self.shown_membership != *membership.log_id() {
            self.shown_membership = *membership.log_id();
            if let Some(voters) = uniform_voters(membership.membership()) {
                self.leadership.voters(voters);
            }
        }
        if let Some(last) = &self.state.last {
            self.leadership.applied(term_of(last));
        }
        for (responder, applied) in told.drain(..) {
            responder.send(applied);
        }
    }

    /// Replaces everything by what a snapshot holds.
    pub(super) fn replace(&mut self, state: State) {
        self.tail = new_tail(&state, &self.history);
        self.state = state;
        self.publish(&mut Vec::new());
    }

    fn fatal(&self, error: &anyhow::Error) -> io::Error {
        self.fault.raise(format!("cannot apply the log: {error:#}"));
        self.fault.as_io()
    }
}

/// The log as it is with this state: nothing of it in memory yet.
fn new_tail(state: &State, history: &History) -> Tail {
    let history = Arc::new(history.clone());
    Tail::new(state.end_offset(), state.index.epochs(), history)
}

/// Applies a batch to an image, as followers and replay do.
fn apply(image: &mut Image, batch: &Batch, change: &Change) -> Result<()> {
    batch.verify().context("the batch is damaged")?;
    let side = codec::decode_side(&change.side)?;
    image
        .apply_batch(batch, &side)
        .context("the records cannot be applied")?;
    Ok(())
}

/// Debug builds apply each proposal a second time and compare: what the leader publishes must be
/// what everybody else computes.
fn check_same(applied: &Image, proposed: &Image) -> Result<()> {
    let of = |image: &Image| (image.end_offset(), image.last_epoch(), image.last_time());
    let small = applied.counts().partitions <= COMPARED_PARTITIONS_MAX;
    if of(applied) != of(proposed) || (small && applied != proposed) {
        bail!(
            "the proposal's image at {:?} is not what its records lead to",
            of(proposed)
        );
    }
    Ok(())
}

impl RaftStateMachine<Config> for Machine {
    type SnapshotData = Pair;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.state.last, self.state.membership.clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Config>>> + Unpin + OptionalSend,
    {
        let mut entries = pin!(entries);
        let mut told = Vec::new();
        let mut unpublished = 0;
        while let Some(item) = entries.next().await {
            let (entry, responder) = item.map_err(|error| self.fatal(&error.into()))?;
            let applied = self
                .apply_entry(entry)
                .map_err(|error| self.fatal(&error))?;
            told.extend(responder.map(|responder| (responder, applied)));
            unpublished += 1;
            if unpublished == PUBLISH_EVERY {
                self.publish(&mut told);
                unpublished = 0;
            }
        }
        self.publish(&mut told);
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.snapshots.builder(self.state.clone())
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, pair: Pair) -> io::Result<()> {
        let state = self.snapshots.install(meta, pair).await;
        let state = state.map_err(|error| {
            self.fault
                .raise(format!("cannot install a snapshot: {error:#}"));
            self.fault.as_io()
        })?;
        self.replace(state);
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<
        Option<Snapshot<super::types::CommittedLeaderId, u64, super::types::Member, Pair>>,
    > {
        self.snapshots
            .current()
            .await
            .map_err(|error| self.fatal(&error))
    }
}
