//! What openraft is told about YAKt: ids, payload, members, and how a proposal's fate is reported.

use std::fmt;

use bytes::Bytes;
use openraft::OptionalSend;
use openraft::raft::responder::Responder;
use openraft::type_config::alias;
use openraft::vote::leader_id_std;

use crate::ids::{BrokerId, Endpoint, Epoch, Uuid, Voter};

/// The types that openraft works with. Standard leader ids: one leader per term, so that a term can
/// be Kafka's leader epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Config {}

impl openraft::RaftTypeConfig for Config {
    type D = Change;
    type R = Applied;
    type NodeId = u64;
    type Node = Member;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = openraft::impls::Vote<LeaderId>;
    type Payload = openraft::EntryPayload<Change, u64, Member>;
    type Entry = openraft::Entry<leader_id_std::CommittedLeaderId<u64>, Self::Payload>;
    type AsyncRuntime = openraft::TokioRuntime;
    type Responder<T>
        = Reply<T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>;

pub(super) type LogId = alias::LogIdOf<Config>;
pub(super) type Vote = alias::VoteOf<Config>;
pub(super) type Entry = alias::EntryOf<Config>;
pub(super) type EntryPayload = alias::EntryPayloadOf<Config>;
pub(super) type Membership = openraft::Membership<u64, Member>;
pub(super) type StoredMembership = alias::StoredMembershipOf<Config>;
pub(super) type SnapshotMeta = alias::SnapshotMetaOf<Config>;
pub(super) type CommittedLeaderId = alias::CommittedLeaderIdOf<Config>;

/// The term of a log id.
pub(super) fn term_of(id: &LogId) -> u64 {
    **id.committed_leader_id()
}

/// A log id from its two numbers.
pub(super) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}

/// A term as Kafka's leader epoch. The door refuses terms that do not fit, so this cannot fail for
/// any term that raft accepted; the end of the range is where it stops counting.
pub(super) fn epoch_of(term: u64) -> Epoch {
    Epoch::try_from(term).unwrap_or(Epoch::MAX)
}

/// A node id as openraft counts it. Kafka's ids are never negative.
pub(super) fn raft_id(id: BrokerId) -> u64 {
    u64::try_from(id.0).unwrap_or(u64::MAX)
}

/// A raft node id as Kafka's.
pub(super) fn kafka_id(id: u64) -> BrokerId {
    BrokerId(i32::try_from(id).unwrap_or(-1))
}

/// The payload of a Normal entry: a batch as the leader decided it, and what goes with it. The rare
/// parts stay encoded, so that a clone costs three reference counts.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The unbroken life of the leader's `ahead` in which it was decided.
    pub run: u32,
    /// Who caused how many of its records ([`super::codec::encode_origins`]).
    pub origins: Bytes,
    /// Changes of the side room ([`super::codec::decode_side`]).
    pub side: Bytes,
    /// The Kafka record batch, byte for byte as brokers get it.
    pub batch: Bytes,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Change(run {}, {} bytes)", self.run, self.batch.len())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What applying an entry came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// It changed the image (or was no batch at all).
    Done,
    /// The guard found it decided on another state: it changed nothing.
    Void,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A member of the quorum: the other half of its identity, and where it is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Member {
    /// `directory.id`; zero until it is known.
    pub directory_id: Uuid,
    /// Its controller listeners, the default one first.
    pub endpoints: Vec<Endpoint>,
}

impl Member {
    /// The member as the rest of YAKt sees it.
    pub(super) fn voter(&self, id: u64) -> Voter {
        Voter {
            id: kafka_id(id),
            directory_id: self.directory_id,
            endpoints: self.endpoints.clone(),
        }
    }
}

impl From<&Voter> for Member {
    fn from(voter: &Voter) -> Self {
        Self {
            directory_id: voter.directory_id,
            endpoints: voter.endpoints.clone(),
        }
    }
}

/// The voters of a membership, unless it is between two sets of them.
pub(super) fn uniform_voters(membership: &Membership) -> Option<Vec<Voter>> {
    if membership.get_joint_config().len() != 1 {
        return None;
    }
    let ids = membership.voter_ids();
    Some(
        ids.filter_map(|id| Some(membership.get_node(&id)?.voter(id)))
            .collect(),
    )
}

/// Where openraft reports the end of one write. Called exactly once: with the result, or with
/// `None` where openraft dropped it unanswered (it stopped).
pub(super) struct Reply<T>(Option<Box<dyn FnOnce(Option<T>) + Send>>);

impl<T> Reply<T> {
    /// A reply that calls this function.
    pub(super) fn new(report: impl FnOnce(Option<T>) + Send + 'static) -> Self {
        Self(Some(Box::new(report)))
    }
}

impl<T: OptionalSend + 'static> Responder<Config, T> for Reply<T> {
    fn on_complete(mut self, result: T) {
        if let Some(report) = self.0.take() {
            report(Some(result));
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(report) = self.0.take() {
            report(None);
        }
    }
}
