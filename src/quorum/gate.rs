//! The gate before raft: who may talk to whom.
//!
//! A voter is a node id *and* a directory id. A node that lost its directory and came back under
//! its old id has forgotten its votes and its log; if it took part, it could vote away committed
//! data. So peers address each other by both, and
//!
//! * whoever is addressed by another directory id than its own neither votes nor acknowledges;
//! * whoever finds itself in the membership under another directory id does not stand for election;
//! * a candidate that is known under another directory id gets no vote, unless its log is ahead: then
//!   it may know a membership that this node has yet to learn;
//! * a term that does not fit Kafka's epoch, or is far above one's own, is refused: one forged vote
//!   must not end the quorum.
//!
//! Appends are not judged by the sender's directory id: a leader was elected by a quorum, and the
//! entry that explains a new id may be the very one it sends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frames::{Address, Identity, Status};
use super::types::{LogId, Member, Membership, Vote};
use crate::ids::Uuid;

/// A term this far above one's own is no accident: even endless elections need days for it.
const TERM_LEAP_MAX: u64 = 1_000_000;

/// Clones share one state.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    cluster_id: String,
    me: Identity,
    /// The effective membership's.
    members: Mutex<BTreeMap<u64, Member>>,
    /// What nodes answered to when asked last: their identity, and whether they accepted the
    /// address.
    heard: Mutex<BTreeMap<u64, Heard>>,
}

/// How a node answered last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) identity: Identity,
    pub(super) status: Status,
}

impl Gate {
    pub(super) fn new(cluster_id: String, me: Identity) -> Self {
        let (members, heard) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shared {
            cluster_id,
            me,
            members,
            heard,
        }))
    }

    /// This node.
    pub(super) fn me(&self) -> Identity {
        self.0.me
    }

    /// How a request to this node begins.
    pub(super) fn address(&self, node: u64, directory: Uuid) -> Address {
        Address {
            cluster_id: self.0.cluster_id.clone(),
            from: self.0.me,
            to: Identity { node, directory },
        }
    }

    /// The membership changed.
    pub(super) fn learn(&self, membership: &Membership) {
        let members = membership.nodes().map(|(id, member)| (*id, member.clone()));
        *lock(&self.0.members) = members.collect();
    }

    /// A member as the effective membership has it.
    pub(super) fn member(&self, node: u64) -> Option<Member> {
        lock(&self.0.members).get(&node).cloned()
    }

    /// Whether this node may stand for election.
    pub(super) fn may_campaign(&self) -> bool {
        self.agrees(self.0.me)
    }

    /// Whether a request for anything but a vote may pass.
    pub(super) fn admit(&self, address: &Address) -> Status {
        let Address { cluster_id, to, .. } = address;
        if *cluster_id != self.0.cluster_id {
            Status::OtherCluster
        } else if to.node != self.0.me.node
            || (!to.directory.is_nil() && to.directory != self.0.me.directory)
        {
            Status::OtherIdentity
        } else {
            Status::Fine
        }
    }

    /// Whether a request for a vote may pass: the candidate's log ends at `candidate`, this node's
    /// at `own`.
    pub(super) fn admit_vote(
        &self,
        address: &Address,
        candidate: Option<LogId>,
        own: Option<LogId>,
    ) -> Status {
        match self.admit(address) {
            Status::Fine if !self.agrees(self.0.me) => Status::OtherIdentity,
            Status::Fine if !self.agrees(address.from) && candidate <= own => Status::Stranger,
            status => status,
        }
    }

    /// Whether a vote's term is one that may come up while this node is at `own_term`.
    pub(super) fn is_plausible(vote: &Vote, own_term: u64) -> bool {
        let term = vote.leader_id.term;
        i32::try_from(term).is_ok() && term <= own_term.saturating_add(TERM_LEAP_MAX)
    }

    /// A node answered.
    pub(super) fn hear(&self, node: u64, heard: Heard) {
        lock(&self.0.heard).insert(node, heard);
    }

    /// How a node answered last.
    pub(super) fn heard(&self, node: u64) -> Option<Heard> {
        lock(&self.0.heard).get(&node).copied()
    }

    /// The membership does not know the node under another directory id.
    fn agrees(&self, identity: Identity) -> bool {
        let members = lock(&self.0.members);
        let known = members.get(&identity.node);
        let known = known.map(|member| member.directory_id);
        known.is_none_or(|known| known.is_nil() || known == identity.directory)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::quorum::types::{Member, log_id};

    const OLD: Uuid = Uuid::from_u128(100);
    const NEW: Uuid = Uuid::from_u128(200);

    /// Node 1 with directory `mine`, to whom node 2 is known as `known`.
    fn gate(mine: Uuid, me_known_as: Uuid, known: Uuid) -> Gate {
        let gate = Gate::new(
            "c".into(),
            Identity {
                node: 1,
                directory: mine,
            },
        );
        let member = |directory_id| Member {
            directory_id,
            endpoints: Vec::new(),
        };
        let nodes = BTreeMap::from([(1, member(me_known_as)), (2, member(known))]);
        gate.learn(&Membership::new(vec![BTreeSet::from([1, 2])], nodes).unwrap());
        gate
    }

    fn from_2(directory: Uuid, to: Uuid) -> Address {
        Address {
            cluster_id: "c".into(),
            from: Identity { node: 2, directory },
            to: Identity {
                node: 1,
                directory: to,
            },
        }
    }

    #[test]
    fn who_is_addressed_by_another_identity_takes_no_part() {
        let gate = gate(NEW, NEW, OLD);
        assert_eq!(gate.admit(&from_2(OLD, NEW)), Status::Fine);
        assert_eq!(gate.admit(&from_2(OLD, Uuid::nil())), Status::Fine);
        assert_eq!(gate.admit(&from_2(OLD, OLD)), Status::OtherIdentity);
        let mut other = from_2(OLD, NEW);
        other.to.node = 3;
        assert_eq!(gate.admit(&other), Status::OtherIdentity);
        other.cluster_id = "d".into();
        assert_eq!(gate.admit(&other), Status::OtherCluster);
    }

    #[test]
    fn a_wiped_node_neither_votes_nor_campaigns_until_it_is_known_again() {
        let wiped = gate(NEW, OLD, OLD);
        assert!(!wiped.may_campaign());
        let address = from_2(OLD, Uuid::nil());
        assert_eq!(
            wiped.admit_vote(&address, None, None),
            Status::OtherIdentity
        );
        // Not even so far that it would not catch up.
        assert_eq!(wiped.admit(&from_2(OLD, NEW)), Status::Fine);
        let known_again = gate(NEW, NEW, OLD);
        assert!(known_again.may_campaign());
        assert_eq!(known_again.admit_vote(&address, None, None), Status::Fine);
    }

    #[test]
    fn a_stranger_gets_a_vote_only_with_a_longer_log() {
        let gate = gate(NEW, Uuid::nil(), OLD);
        let vote = |directory, candidate, own| {
            gate.admit_vote(
                &from_2(directory, NEW),
                Some(log_id(1, candidate)),
                Some(log_id(1, own)),
            )
        };
        assert_eq!(vote(OLD, 5, 5), Status::Fine);
        assert_eq!(vote(NEW, 5, 5), Status::Stranger);
        assert_eq!(vote(NEW, 6, 5), Status::Fine);
    }

    #[test]
    fn a_term_out_of_all_proportion_is_refused() {
        let plausible = |term, own| Gate::is_plausible(&Vote::new(term, 1), own);
        assert!(plausible(5, 0) && plausible(TERM_LEAP_MAX + 5, 5));
        assert!(!plausible(TERM_LEAP_MAX + 6, 5));
        assert!(plausible(i32::MAX as u64, i32::MAX as u64 - 1));
        assert!(!plausible(i32::MAX as u64 + 1, i32::MAX as u64));
    }
}
