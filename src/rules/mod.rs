//! What may happen next, as pure functions: no clock, no dice of their own, no disk, no socket.
//!
//! A rule looks at a [`Ctx`] and gives back values. Nothing here changes anything: records are
//! written by the controller, soft state changes travel as [`LiveChange`].

pub mod bootstrap;
pub mod brokers;
pub mod chores;
pub mod config_keys;
pub mod configs;
pub mod election;
pub mod electorate;
pub mod features;
pub mod live;
pub mod names;
pub mod new_partitions;
pub mod nodes;
pub mod placement;
pub mod reassignment;
#[cfg(test)]
pub(crate) mod scene;

use std::net::SocketAddr;

use crate::clock::{Dice, Ticks};
use crate::ids::{BrokerId, Millis, QuorumView, Uuid};
use crate::image::Image;
use crate::image::side::SideChange;
use crate::records::Record;
use crate::settings::Settings;

pub use live::{Live, LiveChange};

/// Most records that one request may write, Kafka's `MAX_RECORDS_PER_USER_OP`.
pub const RECORDS_PER_DECISION_MAX: usize = 10_000;

/// Who asks. It is part of every decision, although today everybody may do everything.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `User:ANONYMOUS` where the listener does not authenticate; in an Envelope the embedded one.
    pub principal: String,
    /// Address the request came from; in an Envelope the embedded client's.
    pub host: String,
    /// Name of the listener it came in by, upper case; `HTTP` for the other door.
    pub listener: String,
    /// The client id of the request header.
    pub client_id: Option<String>,
    /// The address of this node that the request came in by; `None` for HTTP and inside the node.
    /// It names a node that advertises none, since a wildcard listener has no name of its own.
    pub local_addr: Option<SocketAddr>,
    /// A broker forwarded it in an Envelope: an admin request on behalf of its client.
    pub forwarded: bool,
}

impl Caller {
    /// The node itself: background work, tests.
    pub fn internal() -> Self {
        Self {
            principal: "User:ANONYMOUS".to_owned(),
            host: "127.0.0.1".to_owned(),
            listener: "CONTROLLER".to_owned(),
            client_id: None,
            local_addr: None,
            forwarded: false,
        }
    }
}

/// What a read may look at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The committed state (for a decision: with everything proposed on top).
    pub image: &'a Image,
    /// Who leads, who votes.
    pub quorum: &'a QuorumView,
    /// Who asks.
    pub caller: &'a Caller,
    /// This node's configuration.
    pub settings: &'a Settings,
    /// Version of the request; the answer is encoded in the same one.
    pub version: i16,
}

/// What a decision may look at: a [`View`] over the `ahead` image, and what only the leader has.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    /// The part that reads have, too. Its image holds everything proposed so far.
    pub view: View<'a>,
    /// Soft state: heartbeats, sessions.
    pub live: &'a Live,
    /// Wall clock, for records.
    pub now: Millis,
    /// Monotonic clock, for sessions.
    pub ticks: Ticks,
    /// Chance: topic ids, placement.
    pub dice: &'a Dice,
}

impl<'a> std::ops::Deref for Ctx<'a> {
    type Target = View<'a>;
    fn deref(&self) -> &View<'a> {
        &self.view
    }
}

/// What was decided: the records to write and the answer to give once they are committed.
#[derive(Debug)]
pub struct Decision<R> {
    /// Written in one batch, all or none. Empty: the answer waits only for what was decided before.
    pub records: Vec<Record>,
    /// Changes of the side room, replicated with the records (alone they ride on a NoOpRecord).
    pub side: Vec<SideChange>,
    /// Changes of soft state, made at once.
    pub live: Vec<LiveChange>,
    /// Work too long for one batch, carried on in slices before the answer is given.
    pub plan: Option<Plan>,
    /// The answer.
    pub response: R,
}

impl<R> Decision<R> {
    /// An answer that writes nothing.
    pub fn answer(response: R) -> Self {
        Self {
            records: Vec::new(),
            side: Vec::new(),
            live: Vec::new(),
            plan: None,
            response,
        }
    }
    /// These records, then this answer.
    pub fn write(records: Vec<Record>, response: R) -> Self {
        Self {
            records,
            ..Self::answer(response)
        }
    }
    /// The same with a change of soft state.
    pub fn with_live(mut self, change: LiveChange) -> Self {
        self.live.push(change);
        self
    }
    /// The same with a plan to carry on before the answer is given.
    pub fn with_plan(mut self, plan: Plan) -> Self {
        self.plan = Some(plan);
        self
    }
    /// The same decision about another answer.
    pub fn map<S>(self, f: impl FnOnce(R) -> S) -> Decision<S> {
        Decision {
            records: self.records,
            side: self.side,
            live: self.live,
            plan: self.plan,
            response: f(self.response),
        }
    }
}

/// Work on every partition that a broker touches. It is done in slices, each decided against the
/// image as it is then, and the last slice writes `last` (the fence, the unregistration, …), so that
/// a leader that dies midway leaves a silent unfenced broker that its successor finds again.
///
/// Made and begun by [`brokers::carry_out`]: a decision that carries a plan holds its first slice in
/// `records`. The controller goes on with [`brokers::slice`] from `from`, without deciding anything
/// else before the first slice is proposed, and answers when the last one is committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The broker whose partitions are gone through.
    pub broker: BrokerId,
    /// What happens to each of them.
    pub kind: PlanKind,
    /// For [`PlanKind::DirectoriesOffline`]: which.
    pub directories: Vec<Uuid>,
    /// Written in the last slice, after all partitions.
    pub last: Vec<Record>,
    /// Changes of soft state that go with the last slice.
    pub live: Vec<LiveChange>,
    /// Where the next slice begins.
    pub from: brokers::Cursor,
}

/// What a [`Plan`] does to each partition of its broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanKind {
    /// Take it out of ISR and leadership: fencing, a restart under a new incarnation.
    Fence,
    /// The same, and out of the ELR, too: it comes back without what it had acknowledged.
    UncleanRestart,
    /// Elect it where a partition has no leader.
    Unfence,
    /// Move leadership away, it wants to stop.
    Shutdown,
    /// Take it out of ISR, ELR and leadership for good.
    Unregister,
    /// Take it out of ISR and leadership where its replica is in a directory that failed.
    DirectoriesOffline,
}

impl PlanKind {
    /// Whether the broker is on its way out as a whole.
    pub fn is_leaving(self) -> bool {
        match self {
            Self::Fence | Self::UncleanRestart | Self::Shutdown | Self::Unregister => true,
            Self::Unfence | Self::DirectoriesOffline => false,
        }
    }
}
