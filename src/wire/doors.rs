//! What lies behind the Kafka door, as this room sees it: five traits and the published state.
//! `node` joins them to the rooms that do the work; tests put fakes there.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use tokio::sync::{oneshot, watch};

use crate::api::{Answer, AnyWrite};
use crate::clock::Clock;
use crate::controller::Slow;
use crate::controller::core::Replied;
use crate::controller::handle::Handle;
use crate::feed::Published;
use crate::metrics::Metrics;
use crate::rules::Caller;
use crate::settings::Settings;

/// All that a connection can turn to.
#[derive(Clone)]
pub struct Doors {
    /// The state that reads are answered from.
    pub published: watch::Receiver<Arc<Published>>,
    /// The controller's mailbox.
    pub writes: Arc<dyn Writes>,
    /// The metadata log for observers: rows of kind `Feed`.
    pub feed: Arc<dyn Serve>,
    /// Raft's state and membership: rows of kind `Quorum`.
    pub quorum: Arc<dyn Serve>,
    /// The way to the leader for what reaches a follower.
    pub forward: Arc<dyn Forward>,
    /// Frames of other YAKt nodes.
    pub peers: Arc<dyn PeerDoor>,
    /// This node's configuration.
    pub settings: Arc<Settings>,
    /// Deadlines and silence are measured with it.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// The controller's mailbox.
pub trait Writes: Send + Sync {
    /// Puts a write into the mailbox without waiting: order of calls is order of decisions. The
    /// answer comes when what it rests on is committed; a receiver whose sender is gone means that
    /// the controller has stopped.
    fn submit(
        &self,
        request: Box<dyn AnyWrite>,
        caller: Caller,
        api: i16,
        version: i16,
    ) -> oneshot::Receiver<Replied>;
}

impl Writes for Handle {
    fn submit(
        &self,
        request: Box<dyn AnyWrite>,
        caller: Caller,
        api: i16,
        version: i16,
    ) -> oneshot::Receiver<Replied> {
        Self::submit(self, request, caller, api, version)
    }
}

/// A request for a room that answers on its own time.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which API.
    pub api: ApiKey,
    /// In which version.
    pub version: i16,
    /// The body; its shape has been walked, so it is safe to decode.
    pub body: Bytes,
    /// Who asks.
    pub caller: Arc<Caller>,
}

/// How a room answered.
pub enum Served {
    /// With this.
    Answer(Box<dyn Answer>),
    /// With this, which says that another node leads: to a broker's Envelope that is NOT_CONTROLLER.
    NotLeader(Box<dyn Answer>),
    /// Not at all: the client shall look elsewhere.
    Close,
}

/// A room that answers an API on its own time, such as a parked Fetch.
pub trait Serve: Send + Sync {
    /// The answer to come. Dropped when the client goes away or the node stops.
    fn serve(&self, call: Call) -> Slow<Served>;
}

/// The way from a follower to the leader.
pub trait Forward: Send + Sync {
    /// Sends the body of a peer frame with key [`super::forward::FORWARD_KEY`] to the leader that is
    /// known now, and gives back the body of its answer. Order of calls is order of arrival. An error
    /// means that nobody knows whether it arrived.
    fn send(&self, body: Bytes) -> Slow<anyhow::Result<Bytes>>;
}

/// A frame of another YAKt node.
#[derive(Clone, Debug)]
pub struct PeerCall {
    /// The private API, from [`super::frame::PEER_KEY_MIN`] on.
    pub key: i16,
    /// Its version.
    pub version: i16,
    /// The frame behind its header, as it came: nothing in it is checked.
    pub body: Bytes,
}

/// Where peers' frames go.
pub trait PeerDoor: Send + Sync {
    /// The body of the answer; `None` closes the connection. Called in the order of arrival, and
    /// each future is polled at once, so several can be under way; answers leave in that order too.
    fn answer(&self, call: PeerCall) -> Slow<Option<Bytes>>;
}
