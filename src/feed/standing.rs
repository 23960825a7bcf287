//! What this node is to somebody that asks for the log, and whom it names as leader.

use kafka_protocol::error::ResponseError;

use super::Published;
use crate::clock::Ticks;
use crate::ids::{BrokerId, Endpoint, Epoch, NO_BROKER};

/// Longest that an answer without news is held, and the answer of a leader before its barrier. Well
/// under the two seconds after which a broker gives a request up.
pub(super) const HOLD_MS: i64 = 500;
/// The same for "that one leads", which may or may not be news to a broker of the same epoch.
pub(super) const HOLD_KNOWN_LEADER_MS: i64 = 50;

/// How this node stands to an asker that believes in some epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It leads that epoch, and may say all it knows.
    Leads,
    /// It leads, but has not applied the first entry of its own term: what it has published may be
    /// less than the asker has already seen.
    BeforeBarrier,
    /// It leads, but no quorum was heard lately: somebody else may.
    OutOfContact,
    /// It refuses, after so long: a broker answers an error without news by asking again at once,
    /// thousands of times a second.
    Refuses { error: ResponseError, hold_ms: i64 },
}

/// Kafka's leader validation (`KafkaRaftClient.validateLeaderOnlyRequest`, 4.3.1), and before it
/// what a raft leader of our kind has to ask itself.
pub(super) fn standing(
    published: &Published,
    epoch: Epoch,
    now: Ticks,
    fetch_timeout_ms: i64,
) -> Standing {
    let quorum = &published.quorum;
    let leads = quorum.leader == Some(BrokerId(quorum.node_id));
    if leads && !quorum.active {
        return Standing::BeforeBarrier;
    }
    if leads && !published.is_in_charge(now, fetch_timeout_ms) {
        return Standing::OutOfContact;
    }
    let refuses = |error, hold_ms| Standing::Refuses { error, hold_ms };
    if epoch < quorum.epoch {
        refuses(ResponseError::FencedLeaderEpoch, 0)
    } else if epoch > quorum.epoch {
        refuses(ResponseError::UnknownLeaderEpoch, HOLD_MS)
    } else if leads {
        Standing::Leads
    } else if quorum.leader.is_none() {
        refuses(ResponseError::NotLeaderOrFollower, HOLD_MS)
    } else {
        refuses(ResponseError::NotLeaderOrFollower, HOLD_KNOWN_LEADER_MS)
    }
}

/// The leader as an answer names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NamedLeader<'a> {
    /// Its id, -1 if unknown.
    pub(super) id: BrokerId,
    /// The newest epoch.
    pub(super) epoch: Epoch,
    /// Where it is reached through the listener that the asker came in by.
    pub(super) endpoint: Option<&'a Endpoint>,
}

/// Names the leader with the endpoint of this listener, or of its default one where it has no such
/// listener. A leader without any known endpoint is not named: a broker that is told an id and does
/// not know how to reach it ends its process.
pub(super) fn named_leader<'a>(published: &'a Published, listener: &str) -> NamedLeader<'a> {
    let epoch = published.quorum.epoch;
    let endpoint = published.quorum.leader_voter().and_then(|voter| {
        let same = voter
            .endpoints
            .iter()
            .find(|endpoint| endpoint.name == listener);
        same.or_else(|| voter.endpoints.first())
            .map(|endpoint| (voter.id, endpoint))
    });
    match endpoint {
        Some((id, endpoint)) => NamedLeader {
            id,
            epoch,
            endpoint: Some(endpoint),
        },
        None => NamedLeader {
            id: NO_BROKER,
            epoch,
            endpoint: None,
        },
    }
}
