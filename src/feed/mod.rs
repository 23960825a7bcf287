//! What the outside may see: the committed image, the newest batches, the quorum.

pub mod snapshots;

use crate::ids::QuorumView;
use crate::image::Image;

/// One consistent state of this node, swapped whole. Clone is O(1).
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// The committed metadata.
    pub image: Image,
    /// Who leads, who votes.
    pub quorum: QuorumView,
}
