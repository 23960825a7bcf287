//! The side room: what Kafka's records cannot say and people still ask for. It is replicated with
//! the entries and travels in the side file of a snapshot, but takes no metadata offset, so brokers
//! never see it.
//!
//! Most of it is derived while records are applied: what each incarnation of a broker was and
//! became, and the newest block of producer ids of each broker.

use std::sync::Arc;

use imbl::{OrdMap, Vector};

use crate::ids::{BrokerEpoch, BrokerId, Stamp, Uuid};
use crate::records::ProducerIdsRecord;

use super::cluster::Broker;

/// Most incarnations kept after they ended; the oldest are forgotten first.
pub const CLOSED_MAX: usize = 1_000;
/// Most brokers whose newest block of producer ids is kept.
pub const PRODUCER_BLOCKS_MAX: usize = 10_000;
/// How many producer ids a block has (`ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`, 4.3.1).
pub const PRODUCER_BLOCK_SIZE: i64 = 1_000;

/// A replicated change of the side room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SideChange {
    /// The broker was registered over HTTP: it has no session, is never fenced for silence, and
    /// changes only over HTTP. Goes with every RegisterBrokerRecord of such a broker: one without
    /// it comes from a frame, and clears the flag.
    Sessionless {
        /// Which broker.
        broker: BrokerId,
    },
}

/// What a broker is to those who ask over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BrokerStatus {
    /// Registered by frame, and no heartbeat has unfenced it yet.
    Init,
    /// Fenced.
    Fenced,
    /// Unfenced.
    Alive,
    /// Unregistered, or replaced by a later start of the same broker.
    Closed,
}

/// One life of a broker, from its registration until it is unregistered or replaced.
#[derive(Clone, Debug, PartialEq)]
pub struct Incarnation {
    /// Its incarnation id: the `internalUUID` of the original endpoints.
    pub id: Uuid,
    /// The broker it is a life of.
    pub broker_id: BrokerId,
    /// It was registered over HTTP and has no session.
    pub sessionless: bool,
    /// How many times it changed since it registered.
    pub changes: u32,
    /// When it registered.
    pub registered: Stamp,
    /// When it changed last, if ever.
    pub changed: Option<Stamp>,
    /// A heartbeat has unfenced it at least once.
    pub was_unfenced: bool,
    /// Its last registration, once it ended; while it lives its broker has it.
    pub closed: Option<Arc<Broker>>,
}

impl Incarnation {
    /// When it registered, changed or ended last.
    pub fn stamp(&self) -> Stamp {
        self.changed.unwrap_or(self.registered)
    }
}

/// A block of producer ids, the newest that a broker got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerBlock {
    /// Who got it: a broker, or a YAKt node for InitProducerId.
    pub broker_id: BrokerId,
    /// The epoch it asked with.
    pub broker_epoch: BrokerEpoch,
    /// The incarnation of the broker at that time, if it was registered.
    pub incarnation_id: Option<Uuid>,
    /// Its first id.
    pub first: i64,
    /// The first id behind it.
    pub next: i64,
    /// When it was given.
    pub stamp: Stamp,
}

/// All of it. Clone is O(1).
#[derive(Clone, Default)]
pub(super) struct Side {
    pub(super) incarnations: OrdMap<Uuid, Arc<Incarnation>>,
    /// Ended incarnations, the oldest first.
    pub(super) closed: Vector<Uuid>,
    pub(super) blocks: OrdMap<BrokerId, Arc<ProducerBlock>>,
}

impl Side {
    /// A broker registered, in the place of `before` if that is another life of it.
    pub(super) fn registered(&mut self, broker: &Broker, before: Option<&Arc<Broker>>) {
        if let Some(before) = before.filter(|it| it.incarnation_id != broker.incarnation_id) {
            self.closed(before, broker.stamp);
        }
        let id = broker.incarnation_id;
        let was = self.incarnations.get(&id).cloned();
        if was.as_ref().is_some_and(|was| was.closed.is_some()) {
            self.closed.retain(|other| *other != id);
        }
        let registered = was.as_ref().map_or(broker.stamp, |was| was.registered);
        let now = Incarnation {
            id,
            broker_id: broker.id,
            sessionless: false,
            changes: was.as_ref().map_or(0, |was| was.changes + 1),
            registered,
            changed: was.as_ref().map(|_| broker.stamp),
            was_unfenced: !broker.fenced || was.is_some_and(|was| was.was_unfenced),
            closed: None,
        };
        self.incarnations.insert(id, Arc::new(now));
    }

    /// The registration of a broker changed.
    pub(super) fn changed(&mut self, broker: &Broker) {
        self.edit(broker.incarnation_id, |life| {
            life.changes += 1;
            life.changed = Some(broker.stamp);
            life.was_unfenced |= !broker.fenced;
        });
    }

    /// A life of a broker ended.
    pub(super) fn closed(&mut self, broker: &Arc<Broker>, stamp: Stamp) {
        self.edit(broker.incarnation_id, |life| {
            life.changes += 1;
            life.changed = Some(stamp);
            life.closed = Some(broker.clone());
        });
        self.closed.push_back(broker.incarnation_id);
        while self.closed.len() > CLOSED_MAX {
            if let Some(oldest) = self.closed.pop_front() {
                self.incarnations.remove(&oldest);
            }
        }
    }

    /// SideChange::Sessionless.
    pub(super) fn sessionless(&mut self, broker: &Broker) {
        self.edit(broker.incarnation_id, |life| {
            life.sessionless = true;
            if broker.stamp > life.stamp() {
                life.changed = Some(broker.stamp);
            }
        });
    }

    /// A block of producer ids was given; `before` is the next id as it was.
    pub(super) fn block_given(
        &mut self,
        record: &ProducerIdsRecord,
        incarnation_id: Option<Uuid>,
        before: Option<i64>,
        stamp: Stamp,
    ) {
        // Snapshots carry the next id under no broker.
        if record.broker_id.0 < 0 {
            return;
        }
        let next = record.next_producer_id;
        let block = ProducerBlock {
            broker_id: record.broker_id,
            broker_epoch: record.broker_epoch,
            incarnation_id,
            first: before.unwrap_or_else(|| (next - PRODUCER_BLOCK_SIZE).max(0)),
            next,
            stamp,
        };
        self.blocks.insert(record.broker_id, Arc::new(block));
        if self.blocks.len() > PRODUCER_BLOCKS_MAX {
            let oldest = self.blocks.values().min_by_key(|block| block.stamp);
            if let Some(oldest) = oldest.map(|block| block.broker_id) {
                self.blocks.remove(&oldest);
            }
        }
    }

    fn edit(&mut self, id: Uuid, change: impl FnOnce(&mut Incarnation)) {
        if let Some(life) = self.incarnations.get(&id) {
            let mut life = Incarnation::clone(life);
            change(&mut life);
            self.incarnations.insert(id, Arc::new(life));
        }
    }
}
