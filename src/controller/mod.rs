//! The leader's loop: requests are decided one after another against the image that holds
//! everything proposed so far, and answered when their own proposal is committed.

pub mod core;
pub mod handle;
mod draft;
mod meter;
mod plans;
pub mod task;
mod timetable;
pub mod voters;

use std::future::Future;
use std::pin::Pin;

use crate::ids::{BrokerId, Epoch, Uuid, Voter};
use crate::image::Image;
use crate::image::side::SideChange;
use crate::records::batch::Batch;
use crate::refusal::Refusal;

/// Who caused a batch, kept beside it in the log for the question "who changed what".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// For example `User:ANONYMOUS`.
    pub principal: String,
    /// The client id of the request header; empty if none.
    pub client_id: String,
    /// Number of the Kafka API; -1 for the controller's own chores.
    pub api: i16,
}

impl Origin {
    /// The controller itself.
    pub fn chore() -> Self {
        Self {
            principal: String::new(),
            client_id: String::new(),
            api: -1,
        }
    }
}

/// A batch on its way into the log, with the image that it leads to.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Names this proposal in its [`Outcome`]; rises by one with each.
    pub ticket: u64,
    /// The term in which it was decided. Proposed in another one it is not appended.
    pub epoch: Epoch,
    /// The unbroken life of `ahead` in which it was decided; from 1 within each term.
    pub run: u32,
    /// The records, as they are written, replicated and served.
    pub batch: Batch,
    /// Changes of the side room that go with them.
    pub side: Vec<SideChange>,
    /// Who caused how many of the records, in their order.
    pub origins: Vec<(u32, Origin)>,
    /// The image after it. Published as it is when the guard lets the batch pass on the leader.
    pub after: Image,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Committed and applied.
    Applied,
    /// Committed, but the guard found it decided on another state: it changed nothing.
    Void,
    /// Not appended: nothing was written.
    NotAppended,
    /// It may be committed later or never.
    Unknown,
}

/// What the quorum tells the controller. One queue, in order.
#[derive(Clone, Debug)]
pub enum QuorumEvent {
    /// This node leads `epoch` and has applied the first entry of its own term: the barrier is
    /// passed, and this is the committed image to begin on.
    Leading {
        /// The term.
        epoch: Epoch,
        /// Everything committed before it.
        image: Image,
    },
    /// This node does not lead (any more).
    Following {
        /// The newest term known.
        epoch: Epoch,
        /// Its leader, if known.
        leader: Option<BrokerId>,
    },
    /// A proposal's end. Every proposal gets exactly one.
    Outcome {
        /// Which.
        ticket: u64,
        /// What became of it.
        outcome: Outcome,
    },
    /// The answer to [`Propose::barrier`]: still leader of `epoch`, and everything committed is in
    /// this image; `None`: no quorum answered, or leadership is lost.
    Barrier {
        /// The term the barrier was asked for in.
        epoch: Epoch,
        /// The committed image.
        image: Option<Image>,
    },
    /// The committed uniform voter set changed. What was applied before the barrier is told before
    /// [`QuorumEvent::Leading`].
    Voters(Vec<Voter>),
}

/// A future without its type, for the few slow calls of [`Propose`].
pub type Slow<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The controller's side of the quorum. `quorum` implements it over openraft, the simulator over a
/// vector; no openraft name passes this line.
pub trait Propose: Send + Sync + 'static {
    /// Hands a proposal over. Never blocks; order of calls is order in the log. The outcome comes as
    /// [`QuorumEvent::Outcome`].
    fn propose(&self, proposal: Proposal);
    /// Asks for a linearizable barrier; the answer comes as [`QuorumEvent::Barrier`].
    fn barrier(&self, epoch: Epoch);
    /// Gives leadership up: to a voter that is caught up where there is one, else by an election.
    fn resign(&self, epoch: Epoch);
    /// Makes this observer a voter (AddRaftVoter's checks and its two membership steps).
    fn add_voter(&self, voter: Voter) -> Slow<Result<(), Refusal>>;
    /// Takes this voter out.
    fn remove_voter(&self, id: BrokerId, directory_id: Uuid) -> Slow<Result<(), Refusal>>;
    /// Replaces a voter's endpoints.
    fn update_voter(&self, voter: Voter) -> Slow<Result<(), Refusal>>;
}
