//! The side room: what Kafka's records cannot say and people still ask for. It is replicated with
//! the entries and travels in the side file of a snapshot, but takes no metadata offset, so brokers
//! never see it.

use crate::ids::BrokerId;

/// A replicated change of the side room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SideChange {
    /// The broker was registered over HTTP: it has no session, is never fenced for silence, and
    /// changes only over HTTP. A registration by frame of the same id clears it (at apply).
    Sessionless {
        /// Which broker.
        broker: BrokerId,
    },
}
