//! The quorum: openraft decides, fjall keeps, and no name of either leaves this room.
//!
//! ```text
//!  controller ──propose──▶ proposer task ──▶ openraft ──▶ Log ──▶ thread "raft-log" ──▶ fjall
//!      ▲                                        │  ▲
//!      │                                        │  └──── peers (network.rs, peer.rs)
//!      │                                        ▼
//!      └────────── events ◀── Leadership ◀── Machine ──▶ Published
//! ```
//!
//! In reading order:
//!
//! | files | what |
//! |---|---|
//! | [`types`] [`codec`] [`keys`] | what openraft is told about YAKt; where everything lies, in which bytes |
//! | [`store`] [`writer`] [`log`] [`quorum_state`] | the log on disk, and what this node promised |
//! | [`proposer`] [`pending`] [`machine`] [`guard`] [`index`] | from a proposal to its outcome: committed entries become the image |
//! | [`leadership`] [`role`] [`publisher`] [`pulse`] | who leads, the barrier, what the outside sees |
//! | [`snapshot`] [`checkpoint`] [`side_file`] [`pair`] [`files`] | the image as a pair of files |
//! | [`history`] [`upkeep`] | older batches from disk; when a snapshot is due and what may go |
//! | [`frames`] [`gate`] [`connection`] [`network`] [`peer`] [`forward`] | what peers say, who may talk, both sides of it |
//! | [`formation`] [`auto_join`] [`members`] [`handover`] | the first boot, voters that come and go, leadership handed over |
//! | [`config`] [`fault`] [`stopped`] | set-up, the end of a node, the store of one that is not running |

mod auto_join;
mod checkpoint;
mod codec;
mod config;
mod connection;
mod fault;
mod files;
mod formation;
mod forward;
mod frames;
mod gate;
pub mod guard;
mod handover;
mod history;
mod index;
mod keys;
mod leadership;
mod log;
mod machine;
mod members;
mod network;
mod pair;
mod peer;
mod pending;
mod proposer;
mod publisher;
mod pulse;
mod quorum_state;
mod role;
mod side_file;
mod snapshot;
mod stopped;
mod store;
mod types;
mod upkeep;
mod writer;

#[cfg(test)]
mod damage_test;
#[cfg(test)]
mod suite_test;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use openraft::{Raft, ReadPolicy};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::controller::{Proposal, Propose, QuorumEvent, Slow};
use crate::feed::Published;
use crate::feed::snapshots::SnapshotId;
use crate::ids::{BrokerId, Epoch, QuorumView, ReplicaState, Uuid, Voter};
use crate::refusal::Refusal;
use crate::settings::Settings;

pub use fault::Fault;
use forward::Forwarder;
use frames::Identity;
use gate::Gate;
use history::History;
use leadership::{Events, Leadership};
use machine::Machine;
use members::Members;
use network::Network;
use peer::Peer;
use pending::Pending;
use proposer::Proposer;
use publisher::Publisher;
use pulse::Pulse;
use snapshot::Snapshots;
pub use stopped::Stopped;
use store::Store;
use types::{Config, Member, epoch_of, raft_id};
use upkeep::Upkeep;

/// The private API that carries HTTP's writes to the leader; it is answered by `node`'s joints.
pub const HTTP_KEY: i16 = frames::FORWARD + 1;
/// A snapshot that was asked for is taken within this time.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(60);
/// Until then it is asked for again and again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What the quorum tells the controller, in order. It never holds more than one outcome for each
/// proposal in flight and a few events about leadership.
pub type QuorumEvents = mpsc::UnboundedReceiver<QuorumEvent>;

/// This node's share of the quorum. Clones are handles to the same one.
#[derive(Clone)]
pub struct Quorum(Arc<Inner>);

struct Inner {
    raft: Raft<Config, Machine>,
    proposer: Proposer,
    forwarder: Forwarder,
    peer: Peer,
    members: Members,
    pulse: Pulse,
    leadership: Leadership,
    publisher: Publisher,
    events: Events,
    fault: Fault,
    clock: Arc<dyn Clock>,
    settings: Arc<Settings>,
    running: Mutex<Option<Running>>,
}

/// What [`Quorum::stop`] takes apart.
struct Running {
    store: Store,
    tasks: Vec<JoinHandle<()>>,
}

impl Quorum {
    /// Opens the store and joins the quorum, or helps to form it. `voters` are those that the
    /// directory was formatted with; where there are none, those of `controller.quorum.voters` form
    /// it, and where there are none of these either, this node waits for a leader to call.
    ///
    /// Returns when all that is known to be committed has been applied; events and the published
    /// image follow from there. Errors are one sentence for the operator.
    pub async fn start(
        settings: Arc<Settings>,
        clock: Arc<dyn Clock>,
        voters: Vec<Voter>,
    ) -> Result<(Self, QuorumEvents, watch::Receiver<Arc<Published>>)> {
        let fault = Fault::new();
        let (events, told) = mpsc::unbounded_channel();
        let node_id = raft_id(settings.node_id);
        let quorum = QuorumView {
            node_id: settings.node_id.0,
            ..QuorumView::default()
        };
        let publisher = Publisher::new(Published {
            quorum,
            ..Published::default()
        });
        let published = publisher.subscribe();
        let leadership = Leadership::new(
            node_id,
            Arc::clone(&clock),
            publisher.clone(),
            events.clone(),
        );
        let pending = Pending::default();

        let (store, snapshots) = open(&settings, &clock, &publisher, &fault).await?;
        store
            .log
            .watch_votes(Arc::clone(&clock), settings.raft_election_min_ms as i64 / 3);
        let history = History::new(store.entries.clone());
        let machine = Machine::new(
            pending.clone(),
            publisher.clone(),
            leadership.clone(),
            snapshots.clone(),
            history.clone(),
            fault.clone(),
        );
        let me = Identity {
            node: node_id,
            directory: settings.directory_id,
        };
        let gate = Gate::new(settings.cluster_id.clone(), me);
        let config = Arc::new(config::raft_config(&settings)?);
        let network = Network(gate.clone());
        let raft = Raft::new(node_id, config, network, store.log.clone(), machine).await;
        let raft = raft.map_err(|error| start_error(&fault, &error))?;

        let members = formation::initial_members(&settings, &voters);
        let directory = settings.metadata_log_dir.clone();
        let text = formation::voters_text(&members);
        let members_of = Members::new(raft.clone(), gate.clone(), Arc::clone(&settings));
        let peer = Peer::new(
            raft.clone(),
            gate.clone(),
            store.log.clone(),
            members_of.clone(),
            directory,
            text,
        );
        let (proposer, proposing) =
            Proposer::start(raft.clone(), pending, events.clone(), fault.clone());
        let patience = Duration::from_millis(settings.controller_quorum_fetch_timeout_ms as u64);
        let (forwarder, forwarding) = Forwarder::start(publisher.clone(), patience, &fault);
        let watching = role::watch(
            raft.clone(),
            leadership.clone(),
            gate.clone(),
            fault.clone(),
        );
        let pulse = Pulse {
            raft: raft.clone(),
            publisher: publisher.clone(),
            history: history.clone(),
            clock: Arc::clone(&clock),
            caught_up: Arc::default(),
        };
        let mut tasks = vec![
            proposing,
            forwarding,
            fault.guard("the watch over raft", watching),
            fault.guard("the leader's pulse", pulse.clone().run()),
        ];
        let upkeep = Upkeep {
            raft: raft.clone(),
            settings: Arc::clone(&settings),
            clock: Arc::clone(&clock),
            snapshots: snapshots.clone(),
            history,
            log: store.log.clone(),
            entries: store.entries.clone(),
        };
        tasks.push(fault.guard("the upkeep of the log", upkeep.run()));
        let in_order = members_of.clone().keep_in_order();
        tasks.push(fault.guard("the upkeep of the membership", in_order));
        if members.contains_key(&node_id) {
            let forming = form(raft.clone(), gate, members, fault.clone());
            tasks.push(fault.guard("the forming of the quorum", forming));
        } else if settings.controller_quorum_auto_join_enable {
            let joining = auto_join::run(gate, Arc::clone(&settings));
            tasks.push(fault.guard("the joining of the quorum", joining));
        }
        let inner = Inner {
            raft,
            proposer,
            forwarder,
            peer,
            members: members_of,
            pulse,
            leadership,
            publisher,
            events,
            fault,
            clock,
            settings,
            running: Mutex::new(Some(Running { store, tasks })),
        };
        Ok((Self(Arc::new(inner)), told, published))
    }

    /// Told when this node must not go on: end the process with status 1 and its sentence.
    pub fn fault(&self) -> &Fault {
        &self.0.fault
    }

    /// Whether this node leads and may answer Fetch and heartbeats: see
    /// [`Published::is_in_charge`].
    pub fn quorum_fresh(&self) -> bool {
        let timeout_ms = self.0.settings.controller_quorum_fetch_timeout_ms;
        self.0
            .publisher
            .current()
            .is_in_charge(self.0.clock.ticks(), timeout_ms)
    }

    /// Every member of the quorum with its position, as this leader knows it now; empty on a node
    /// that does not lead.
    pub fn replicas(&self) -> Vec<ReplicaState> {
        self.0.pulse.replicas()
    }

    /// Answers a frame of another node, whose header the listener has taken off. `None` closes the
    /// connection. Frames of one connection are to be handed over in the order they came, each
    /// future polled at once, and answered in that order.
    pub fn answer_peer(&self, key: i16, version: i16, body: Bytes) -> Slow<Option<Bytes>> {
        let peer = self.0.peer.clone();
        Box::pin(async move { peer.answer(key, version, body).await })
    }

    /// Sends the body of a [`frames::FORWARD`] frame to the leader known now, and gives back the
    /// body of its answer. Order of calls is order of arrival. An error means that nobody knows
    /// whether it arrived.
    pub fn forward(&self, body: Bytes) -> Slow<Result<Bytes>> {
        Box::pin(self.0.forwarder.send(frames::FORWARD, body))
    }

    /// The same under [`HTTP_KEY`], for writes that came in by HTTP. `None`: no other node leads.
    pub fn forward_http(&self, body: Bytes) -> Option<Slow<Result<Bytes>>> {
        let now = self.0.publisher.current();
        now.quorum
            .leader
            .filter(|leader| leader.0 != now.quorum.node_id)?;
        Some(Box::pin(self.0.forwarder.send(HTTP_KEY, body)))
    }

    /// Takes a snapshot of what is committed now, and gives back its id once it is kept.
    pub fn take_snapshot(&self) -> Slow<Result<SnapshotId>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let mut published = inner.publisher.subscribe();
            let end = published.borrow().image.end_offset();
            let taking = async {
                loop {
                    inner
                        .raft
                        .trigger()
                        .snapshot()
                        .await
                        .context("raft has stopped")?;
                    let taken = published.wait_for(|now| {
                        now.latest_snapshot()
                            .is_some_and(|newest| newest.end_offset >= end)
                    });
                    // While another one is being taken, openraft drops the request.
                    if let Ok(taken) = tokio::time::timeout(ASK_AGAIN_AFTER, taken).await {
                        return taken?.latest_snapshot().context("there is no snapshot");
                    }
                }
            };
            let taken = tokio::time::timeout(SNAPSHOT_WITHIN, taking).await;
            taken.context("the snapshot takes too long")?
        })
    }

    /// Stops: leadership handed over, log flushed, store closed. What was proposed and has no
    /// outcome yet gets [`Outcome::Unknown`](crate::controller::Outcome::Unknown).
    pub async fn stop(&self) -> Result<()> {
        let running = self
            .0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(running) = running else {
            return Ok(());
        };
        self.0.proposer.close();
        handover::hand_over(&self.0.raft, self.0.heartbeat()).await;
        let Running { store, tasks } = running;
        for task in tasks {
            // Gone before raft is: one that outlives it takes the stop for a fault.
            task.abort();
            task.await.ok();
        }
        self.0.raft.shutdown().await.context("raft did not stop")?;
        let closing = tokio::task::spawn_blocking(move || store.close());
        closing.await.context("the store could not be closed")?;
        match self.0.fault.sentence() {
            None => Ok(()),
            Some(sentence) => Err(anyhow::anyhow!("{sentence}")),
        }
    }
}

async fn open(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    publisher: &Publisher,
    fault: &Fault,
) -> Result<(Store, Snapshots)> {
    let (directory, fault) = (settings.metadata_log_dir.clone(), fault.clone());
    let (clock, publisher) = (Arc::clone(clock), publisher.clone());
    let opening = tokio::task::spawn_blocking(move || {
        let snapshots = Snapshots::open(&directory, clock, fault.clone())?;
        let store = Store::open(&directory, snapshots.end(), log::CACHE_BYTES_MAX, fault)?;
        snapshots.attach(store.log.clone(), store.history_floor, publisher);
        Ok((store, snapshots))
    });
    opening.await.context("opening the store panicked")?
}

async fn form(
    raft: Raft<Config, Machine>,
    gate: Gate,
    members: BTreeMap<u64, Member>,
    fault: Fault,
) {
    if let Err(error) = formation::form(raft, gate, members).await {
        fault.raise(format!("{error:#}"));
    }
}

fn start_error(fault: &Fault, error: &dyn std::error::Error) -> anyhow::Error {
    match fault.sentence() {
        Some(sentence) => anyhow::anyhow!("{sentence}"),
        None => anyhow::anyhow!("cannot start raft: {error}"),
    }
}

impl Propose for Quorum {
    fn propose(&self, proposal: Proposal) {
        self.0.proposer.propose(proposal);
    }

    fn barrier(&self, epoch: Epoch) {
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            let passed = inner
                .raft
                .ensure_linearizable(ReadPolicy::ReadIndex)
                .await
                .is_ok()
                && inner.leadership.leading().map(epoch_of) == Some(epoch);
            let image = passed.then(|| inner.publisher.current().image.clone());
            inner
                .events
                .send(QuorumEvent::Barrier { epoch, image })
                .ok();
        });
    }

    fn resign(&self, epoch: Epoch) {
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            if inner.leadership.leading().map(epoch_of) == Some(epoch) {
                handover::resign(&inner.raft, inner.heartbeat()).await;
            }
        });
    }

    fn add_voter(&self, voter: Voter) -> Slow<Result<(), Refusal>> {
        let members = self.0.members.clone();
        Box::pin(async move { members.add(voter).await })
    }

    fn remove_voter(&self, id: BrokerId, directory_id: Uuid) -> Slow<Result<(), Refusal>> {
        let members = self.0.members.clone();
        Box::pin(async move { members.remove(id, directory_id).await })
    }

    fn update_voter(&self, voter: Voter) -> Slow<Result<(), Refusal>> {
        let members = self.0.members.clone();
        Box::pin(async move { members.update(voter).await })
    }
}

impl Inner {
    fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.settings.raft_heartbeat_ms)
    }
}
