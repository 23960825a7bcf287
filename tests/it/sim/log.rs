//! Raft as the controllers see it. Only what is committed is shared; how a majority agrees is
//! openraft's own business (and tested over the real store elsewhere).

use yakt::controller::Proposal;
use yakt::image::Image;
use yakt::image::side::SideChange;
use yakt::quorum::guard::{Claim, Guard};
use yakt::records::batch::Batch;

/// An entry of the replicated log.
pub(super) struct Entry {
    pub(super) term: u64,
    pub(super) content: Content,
}

#[expect(
    clippy::large_enum_variant,
    reason = "nearly every entry is the large one"
)]
pub(super) enum Content {
    /// The first entry of a term.
    Blank,
    /// A proposal, with the node and the ticket that wait for its outcome.
    Batch {
        node: usize,
        ticket: u64,
        run: u32,
        batch: Batch,
        side: Vec<SideChange>,
        after: Image,
    },
}

/// The log of the quorum, and how much of it is committed.
#[derive(Default)]
pub(super) struct Log {
    pub(super) entries: Vec<Entry>,
    pub(super) committed: usize,
    pub(super) term: u64,
    /// Who leads the term.
    pub(super) leader: Option<usize>,
}

impl Log {
    /// Appends what a leader proposes. `false`: it does not lead that term any more.
    pub(super) fn append(&mut self, node: usize, proposal: Proposal) -> bool {
        if self.leader != Some(node) || proposal.epoch as u64 != self.term {
            return false;
        }
        let Proposal {
            ticket,
            epoch,
            run,
            batch,
            side,
            after,
            ..
        } = proposal;
        let content = Content::Batch {
            node,
            ticket,
            run,
            batch,
            side,
            after,
        };
        self.entries.push(Entry {
            term: epoch as u64,
            content,
        });
        true
    }

    /// A new leader in a new term: of the entries that were not committed, it has the first `kept`;
    /// the rest is lost. Gives back whose proposals those were.
    pub(super) fn elect(&mut self, node: usize, kept: usize) -> Vec<(usize, u64)> {
        let end = (self.committed + kept).min(self.entries.len());
        let lost = self
            .entries
            .drain(end..)
            .filter_map(|entry| match entry.content {
                Content::Batch { node, ticket, .. } => Some((node, ticket)),
                Content::Blank => None,
            });
        let lost = lost.collect();
        self.term += 1;
        self.leader = Some(node);
        self.entries.push(Entry {
            term: self.term,
            content: Content::Blank,
        });
        lost
    }

    /// What two runs of one seed must have in common.
    pub(super) fn digest(&self) -> Vec<(u64, Vec<u8>)> {
        let bytes = |entry: &Entry| match &entry.content {
            Content::Blank => Vec::new(),
            Content::Batch { batch, .. } => batch.0.to_vec(),
        };
        self.entries
            .iter()
            .map(|entry| (entry.term, bytes(entry)))
            .collect()
    }
}

/// One node's applied state: what `quorum/machine.rs` keeps, without disk and tasks.
#[derive(Default)]
pub(super) struct Applied {
    pub(super) index: usize,
    pub(super) image: Image,
    guard: Guard,
}

/// What applying an entry meant.
pub(super) enum Effect {
    /// The first entry of a term.
    Term,
    /// A batch that passed the guard.
    Passed { node: usize, ticket: u64 },
    /// A batch that changed nothing.
    Void { node: usize, ticket: u64 },
}

impl Applied {
    /// Applies the next committed entry. `own`: this node proposed it and may take the image that
    /// came with it; it is compared with an independent apply all the same.
    pub(super) fn apply(&mut self, entry: &Entry) -> Result<Effect, String> {
        self.index += 1;
        let Content::Batch {
            node,
            ticket,
            run,
            batch,
            side,
            after,
        } = &entry.content
        else {
            return Ok(Effect::Term);
        };
        let (node, ticket) = (*node, *ticket);
        let claim = Claim {
            term: batch.epoch() as u64,
            run: *run,
            base_offset: batch.base_offset(),
        };
        if !self.guard.pass(claim, entry.term, self.image.end_offset()) {
            return Ok(Effect::Void { node, ticket });
        }
        self.image.apply_batch(batch, side).map_err(|error| {
            format!(
                "a committed batch does not apply at {}: {error}",
                batch.base_offset()
            )
        })?;
        if after.end_offset() != self.image.end_offset()
            || !after.records().eq(self.image.records())
        {
            return Err(format!(
                "the image that the leader decided on differs from the one that its batch at {} makes",
                batch.base_offset()
            ));
        }
        Ok(Effect::Passed { node, ticket })
    }
}
