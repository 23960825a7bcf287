//! What the outside may see: the committed image, the newest batches, the snapshots, the quorum.
//!
//! `quorum` fills a watch channel with [`Published`]; everybody else reads it. On top of it stands
//! what observers of the metadata log ask for: [`fetch`] and [`fetch_snapshot`] decide, [`serve`]
//! waits. Nothing here knows a rule, an API of the controller, or raft: only committed data is ever
//! in sight, so nothing that was seen is taken back.

pub mod fetch;
pub mod fetch_snapshot;
pub mod observers;
pub mod serve;
pub mod snapshots;
pub mod tail;

mod standing;
#[cfg(test)]
mod testing;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::Ticks;
use crate::ids::{Offset, QuorumView};
use crate::image::Image;

use snapshots::{Snapshot, SnapshotId};
use tail::Tail;

/// One consistent state of this node, swapped whole. Clone is O(1).
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// The committed metadata.
    pub image: Image,
    /// Who leads, who votes.
    pub quorum: QuorumView,
    /// The committed log; its end is the high watermark.
    pub tail: Tail,
    /// The finished snapshots that are kept, oldest first.
    pub snapshots: Arc<Vec<Arc<Snapshot>>>,
    /// When a quorum last acknowledged this leader. It moves on without a publication.
    pub contact: Contact,
}

impl Published {
    /// Where the log begins for brokers: the end of the oldest snapshot that is kept. What is older
    /// is history, for HTTP only.
    pub fn log_start(&self) -> Offset {
        self.earliest_snapshot().map_or(0, |id| id.end_offset)
    }

    /// The oldest snapshot that is kept.
    pub fn earliest_snapshot(&self) -> Option<SnapshotId> {
        self.snapshots.first().map(|snapshot| snapshot.id())
    }

    /// The newest snapshot.
    pub fn latest_snapshot(&self) -> Option<SnapshotId> {
        self.snapshots.last().map(|snapshot| snapshot.id())
    }
}

/// The moment at which a quorum last acknowledged this node as its leader. Clones share it.
///
/// An isolated raft leader does not step down by itself. Who answers brokers asks first whether a
/// quorum was heard lately, and else closes their connections, so that they look elsewhere.
#[derive(Clone, Debug)]
pub struct Contact(Arc<AtomicI64>);

impl Default for Contact {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MIN)))
    }
}

impl Contact {
    /// Notes an acknowledgement; the barrier after an election is the first of a term.
    pub fn heard(&self, at: Ticks) {
        self.0.fetch_max(at.0, Ordering::Relaxed);
    }

    /// Whether the last acknowledgement is no older than one and a half fetch timeouts
    /// (`LeaderState.CHECK_QUORUM_TIMEOUT_FACTOR`, 4.3.1).
    pub fn is_fresh(&self, now: Ticks, fetch_timeout_ms: i64) -> bool {
        let heard = Ticks(self.0.load(Ordering::Relaxed));
        now.ms_since(heard) <= fetch_timeout_ms.saturating_mul(3) / 2
    }
}

impl Published {
    /// Whether this node may answer brokers as their leader: it has passed the barrier of its term
    /// and its quorum was heard lately. A voter that is a quorum by itself needs to hear nobody.
    pub fn is_in_charge(&self, now: Ticks, fetch_timeout_ms: i64) -> bool {
        let me = self.quorum.node_id;
        let alone = matches!(self.quorum.voters.as_slice(), [voter] if voter.id.0 == me);
        self.quorum.active && (alone || self.contact.is_fresh(now, fetch_timeout_ms))
    }
}
