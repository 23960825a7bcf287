//! What a leader knows of the others: when a quorum last acknowledged it, and how far each has come.
//!
//! An isolated openraft leader does not step down by itself, so whoever answers brokers asks first
//! whether a quorum was heard lately ([`feed::Contact`](crate::feed::Contact)).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::{Instant, Raft};

use super::history::History;
use super::machine::Machine;
use super::publisher::Publisher;
use super::types::{Config, kafka_id};
use crate::clock::{Clock, Ticks};
use crate::ids::{Millis, ReplicaState};

/// How often a leader looks; a small part of any sensible fetch timeout.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The positions are shown once in so many looks: showing them wakes everybody who waits.
const LOOKS_PER_SHOW: u32 = 10;

/// Clones share one memory.
#[derive(Clone)]
pub(super) struct Pulse {
    pub(super) raft: Raft<Config, Machine>,
    pub(super) publisher: Publisher,
    pub(super) history: History,
    pub(super) clock: Arc<dyn Clock>,
    /// When each member last had everything.
    pub(super) caught_up: Arc<Mutex<BTreeMap<u64, Millis>>>,
}

impl Pulse {
    /// Looks for as long as the node runs. A node that is a quorum by itself needs to hear nobody.
    pub(super) async fn run(self) {
        let mut published = self.publisher.subscribe();
        let mut looks = 0;
        loop {
            let leads = published.wait_for(|now| now.quorum.active && now.quorum.voters.len() > 1);
            let Ok(contact) = leads.await.map(|now| now.contact.clone()) else {
                return;
            };
            let acked = self
                .raft
                .as_leader()
                .ok()
                .and_then(|leader| leader.last_quorum_acked());
            if let Some(acked) = acked {
                let ago = acked.elapsed().as_micros() as i64;
                contact.heard(Ticks(self.clock.ticks().0.saturating_sub(ago)));
            }
            let rows = self.replicas();
            if looks % LOOKS_PER_SHOW == 0 {
                self.publisher.edit(|published| {
                    if published.quorum.active {
                        published.quorum.replicas = Arc::new(rows);
                    }
                });
            }
            looks = looks.wrapping_add(1);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Every member of the quorum as this leader knows it; empty on a node that does not lead.
    pub(super) fn replicas(&self) -> Vec<ReplicaState> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let (Some(matched), Some(heartbeats)) = (&metrics.replication, &metrics.heartbeat) else {
            return Vec::new();
        };
        let now = self.clock.now();
        let committed = metrics.local_committed.map(|committed| committed.index);
        let mut caught_up = self
            .caught_up
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let row = |(id, member): (&u64, &super::types::Member)| {
            let own = *id == metrics.id;
            let reached = matched
                .get(id)
                .and_then(Option::as_ref)
                .map(|reached| reached.index);
            let acked = heartbeats.get(id).and_then(Option::as_ref);
            let acked = acked.map(|acked| now - acked.elapsed().as_millis() as Millis);
            let last_fetch_ms = if own { now } else { acked.unwrap_or(-1) };
            if own || reached >= committed {
                caught_up.insert(*id, last_fetch_ms);
            }
            let end = reached.map(|reached| self.history.end_offset_at(reached));
            ReplicaState {
                id: kafka_id(*id),
                directory_id: member.directory_id,
                end_offset: if own {
                    self.history.end_offset()
                } else {
                    end.unwrap_or(-1)
                },
                last_fetch_ms,
                last_caught_up_ms: caught_up.get(id).copied().unwrap_or(-1),
            }
        };
        metrics.membership_config.nodes().map(row).collect()
    }
}
