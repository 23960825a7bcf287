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
//! | file | what |
//! |---|---|
//! | [`keys`] [`codec`] | where everything lies, and in which bytes |
//! | [`store`] [`writer`] [`log`] [`quorum_state`] | the log on disk, and what this node promised |
//! | [`machine`] [`guard`] [`pending`] [`index`] | committed entries become the image |
//! | [`snapshot`] [`checkpoint`] | the image as a pair of files |
//! | [`leadership`] [`publisher`] | who leads, and what the outside sees |
//! | [`network`] | peers |

mod checkpoint;
mod codec;
mod fault;
pub mod guard;
mod index;
mod keys;
mod leadership;
mod log;
mod machine;
mod network;
mod pending;
mod proposer;
mod publisher;
mod quorum_state;
mod snapshot;
mod store;
mod types;
mod writer;

#[cfg(test)]
mod suite_test;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use openraft::async_runtime::WatchReceiver;
use openraft::{Raft, ReadPolicy, SnapshotPolicy};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::controller::{Proposal, Propose, QuorumEvent, Slow};
use crate::feed::Published;
use crate::ids::{BrokerId, Epoch, QuorumView, Uuid, Voter};
use crate::refusal::{self, Refusal};
use crate::settings::Settings;

pub use fault::Fault;
use leadership::{Events, Leadership, Role};
use machine::Machine;
use pending::Pending;
use proposer::Proposer;
use publisher::Publisher;
use snapshot::Snapshots;
use store::Store;
use types::{Config, Member, epoch_of, raft_id};

/// What the quorum tells the controller, in order. It never holds more than one outcome for each
/// proposal in flight and a few events about leadership.
pub type QuorumEvents = mpsc::UnboundedReceiver<QuorumEvent>;

/// This node's share of the quorum. Clones are handles to the same one.
#[derive(Clone)]
pub struct Quorum(Arc<Inner>);

struct Inner {
    raft: Raft<Config, Machine>,
    proposer: Proposer,
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
    /// Opens the store and joins the quorum, or forms it where this is its first node.
    ///
    /// Returns when all that is known to be committed has been applied; events and the published
    /// image follow from there. Errors are one sentence for the operator.
    pub async fn start(
        settings: Arc<Settings>,
        clock: Arc<dyn Clock>,
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

        let (store, snapshots) = open(&settings, &fault).await?;
        let machine = Machine::new(
            pending.clone(),
            publisher.clone(),
            leadership.clone(),
            snapshots,
            fault.clone(),
        );
        let config = Arc::new(raft_config(&settings)?);
        let log = store.log.clone();
        let raft = Raft::new(node_id, config, network::Network, log, machine).await;
        let raft = raft.map_err(|error| start_error(&fault, &error))?;
        let (proposer, proposing) =
            Proposer::start(raft.clone(), pending, events.clone(), fault.clone());
        let watching = tokio::spawn(watch_role(raft.clone(), leadership.clone(), fault.clone()));

        let running = Running {
            store,
            tasks: vec![proposing, watching],
        };
        let inner = Inner {
            raft,
            proposer,
            leadership,
            publisher,
            events,
            fault,
            clock,
            settings,
            running: Mutex::new(Some(running)),
        };
        let quorum = Self(Arc::new(inner));
        quorum.form().await?;
        Ok((quorum, told, published))
    }

    /// Told when this node must not go on: end the process with status 1 and its sentence.
    pub fn fault(&self) -> &Fault {
        &self.0.fault
    }

    /// Whether a quorum acknowledged this leader lately: within 1.5 times
    /// `controller.quorum.fetch.timeout.ms`, the leader barrier counting as the first time. Only
    /// then may it answer Fetch and heartbeats; a voter that is a quorum by itself always may, a
    /// node that does not lead never.
    pub fn quorum_fresh(&self) -> bool {
        let Some(barrier) = self.0.leadership.barrier_passed() else {
            return false;
        };
        let limit_ms = self.0.settings.controller_quorum_fetch_timeout_ms * 3 / 2;
        if self.0.clock.ticks().ms_since(barrier) <= limit_ms {
            return true;
        }
        let mut voters = self.0.raft.voter_ids();
        if voters.next() == Some(raft_id(self.0.settings.node_id)) && voters.next().is_none() {
            return true;
        }
        let acked = self
            .0
            .raft
            .as_leader()
            .ok()
            .and_then(|leader| leader.last_quorum_acked());
        let limit = Duration::from_millis(limit_ms.unsigned_abs());
        acked.is_some_and(|acked| openraft::Instant::elapsed(&acked) <= limit)
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
        for task in &running.tasks {
            task.abort();
        }
        self.0.raft.shutdown().await.context("raft did not stop")?;
        let closing = tokio::task::spawn_blocking(move || running.store.close());
        closing.await.context("the store could not be closed")?;
        match self.0.fault.sentence() {
            None => Ok(()),
            Some(sentence) => Err(anyhow::anyhow!("{sentence}")),
        }
    }

    /// Forms the quorum where nothing is there yet.
    async fn form(&self) -> Result<()> {
        let initialized = self.0.raft.is_initialized().await;
        if initialized.map_err(|error| start_error(&self.0.fault, &error))? {
            return Ok(());
        }
        let settings = &self.0.settings;
        if settings
            .controller_quorum_voters
            .iter()
            .any(|(id, ..)| *id != settings.node_id)
        {
            return Ok(());
        }
        let member = Member {
            directory_id: settings.directory_id,
            endpoints: advertised(settings),
        };
        let members = BTreeMap::from([(raft_id(settings.node_id), member)]);
        self.0
            .raft
            .initialize(members)
            .await
            .context("cannot form the quorum")
    }
}

async fn open(settings: &Settings, fault: &Fault) -> Result<(Store, Snapshots)> {
    let (directory, fault) = (settings.metadata_log_dir.clone(), fault.clone());
    let opening = tokio::task::spawn_blocking(move || {
        let snapshots = Snapshots::open(&directory)?;
        let store = Store::open(&directory, snapshots.end(), log::CACHE_BYTES_MAX, fault)?;
        snapshots.attach(store.log.clone(), store.history_floor);
        Ok((store, snapshots))
    });
    opening.await.context("opening the store panicked")?
}

/// The listeners that others reach this node by.
fn advertised(settings: &Settings) -> Vec<crate::ids::Endpoint> {
    let all = if settings.advertised_listeners.is_empty() {
        &settings.listeners
    } else {
        &settings.advertised_listeners
    };
    let names = &settings.controller_listener_names;
    names
        .iter()
        .filter_map(|name| all.iter().find(|one| &one.name == name).cloned())
        .collect()
}

fn start_error(fault: &Fault, error: &dyn std::error::Error) -> anyhow::Error {
    match fault.sentence() {
        Some(sentence) => anyhow::anyhow!("{sentence}"),
        None => anyhow::anyhow!("cannot start raft: {error}"),
    }
}

fn raft_config(settings: &Settings) -> Result<openraft::Config> {
    let config = openraft::Config {
        cluster_name: settings.cluster_id.clone(),
        heartbeat_interval: settings.raft_heartbeat_ms,
        election_timeout_min: settings.raft_election_min_ms,
        election_timeout_max: settings.raft_election_max_ms,
        enable_pre_vote: Some(true),
        // A restarted leader must be elected again: its term is Kafka's epoch.
        enable_leader_restore: Some(false),
        snapshot_policy: SnapshotPolicy::Never,
        // Also bounds how long a new leader probes for the end of a follower's log.
        max_in_snapshot_log_to_keep: 20_000,
        replication_lag_threshold: 200_000,
        purge_batch_size: 1_000,
        max_payload_entries: 1_024,
        max_append_entries: Some(4_096),
        install_snapshot_timeout: 10_000,
        snapshot_max_chunk_size: 1024 * 1024,
        backoff: "10ms 20ms ...200ms".to_owned(),
        ..openraft::Config::default()
    };
    config.validate().context("raft's timeouts")
}

/// Follows what openraft says about this node, until it stops.
async fn watch_role(raft: Raft<Config, Machine>, leadership: Leadership, fault: Fault) {
    let mut metrics = raft.server_metrics();
    loop {
        let (role, voters) = {
            let seen = metrics.borrow_and_update();
            let term = seen.vote.leader_id.term;
            let leader = seen
                .current_leader
                .filter(|leader| seen.vote.committed && *leader == seen.vote.leader_id.voted_for);
            let membership = seen.committed_membership_config.membership();
            let uniform = membership.get_joint_config().len() == 1;
            let voters = uniform.then(|| voters(membership));
            (Role { term, leader }, voters)
        };
        leadership.changed(role);
        if let Some(voters) = voters {
            leadership.voters(voters);
        }
        if metrics.changed().await.is_err() {
            break;
        }
    }
    // A stop in good order ends this task first.
    fault.raise("raft has stopped".to_owned());
}

fn voters(membership: &types::Membership) -> Vec<Voter> {
    let ids = membership.voter_ids();
    ids.filter_map(|id| Some(membership.get_node(&id)?.voter(id)))
        .collect()
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

    fn resign(&self, _epoch: Epoch) {}

    fn add_voter(&self, _voter: Voter) -> Slow<Result<(), Refusal>> {
        Box::pin(std::future::ready(Err(refusal::not_controller(None))))
    }

    fn remove_voter(&self, _id: BrokerId, _directory_id: Uuid) -> Slow<Result<(), Refusal>> {
        Box::pin(std::future::ready(Err(refusal::not_controller(None))))
    }

    fn update_voter(&self, _voter: Voter) -> Slow<Result<(), Refusal>> {
        Box::pin(std::future::ready(Err(refusal::not_controller(None))))
    }
}
