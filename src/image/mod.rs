//! What is true: the state that the records add up to.
//!
//! An [`Image`] is built by applying records and read by everybody. It is a handful of persistent
//! containers: a clone copies a few pointers, keeps what it saw, and costs memory only where the
//! two then differ. So apply each record **once**, and hand out clones: applied to two images of
//! the same history, records make them grow apart in memory for good.
//!
//! Every object carries the [`Stamp`] of its last change, so "what changed since" needs no deltas
//! ([`changes`]). What an image is made of comes out again as records ([`snapshot`]).
//!
//! | file | holds |
//! |---|---|
//! | [`features`] [`cluster`] [`configs`] [`keyed`] | the small rooms |
//! | [`topics`] [`partitions`] [`partition`] [`views`] | topics and partitions: what records do, and how others see them |
//! | [`rows`] [`pvec`] [`names`] [`interner`] [`shards`] [`by_broker`] | how a million of them fit in 50 MB |
//! | [`side`] | what Kafka's records cannot say |
//! | [`changes`] [`times`] | what changed since when |
//! | [`snapshot`] [`side_file`] | out and in again |
//!
//! The image knows nothing of requests, clocks, tasks or JSON.

pub mod changes;
pub mod cluster;
pub mod configs;
pub mod error;
pub mod features;
pub mod keyed;
pub mod partition;
pub mod side;
pub mod snapshot;
pub mod views;

mod by_broker;
mod interner;
mod names;
mod partitions;
mod pvec;
mod rows;
mod shards;
mod side_file;
mod times;
mod topics;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::ids::{BrokerId, ConfigResource, Epoch, Millis, Offset, Stamp, TopicId, Uuid};
use crate::records::batch::Batch;
use crate::records::control::ControlRecord;
use crate::records::{
    AccessControlEntryRecord, DelegationTokenRecord, ProducerIdsRecord, Record,
    UserScramCredentialRecord,
};

pub use changes::{Change, Changed, Gone, Kinds};
pub use cluster::{Broker, Controller};
pub use configs::Config;
pub use error::ApplyError;
pub use features::Features;
pub use keyed::{QuotaEntity, Quotas, Stamped};
pub use partition::Partition;
pub use side::{BrokerStatus, Incarnation, ProducerBlock};
pub use snapshot::Loader;
pub use topics::Counts;
pub use views::{Brokers, Cursor, Directories, PartitionView, TopicView};

use changes::Tombstones;
use cluster::Cluster;
use configs::Configs;
use keyed::Keyed;
use side::{Side, SideChange};
use times::Times;
use topics::Topics;

/// The whole metadata state at one offset. Clone is O(1).
#[derive(Clone, Default)]
pub struct Image {
    end_offset: Offset,
    last_epoch: Epoch,
    last_time: Millis,
    features: Features,
    cluster: Cluster,
    topics: Topics,
    configs: Configs,
    quotas: Keyed<QuotaEntity, Quotas>,
    next_producer_id: Option<Stamped<i64>>,
    acls: Keyed<Uuid, AccessControlEntryRecord>,
    /// By mechanism, then user.
    credentials: Keyed<(i8, String), UserScramCredentialRecord>,
    tokens: Keyed<String, DelegationTokenRecord>,
    transaction: Option<Arc<Transaction>>,
    side: Side,
    tombstones: Tombstones,
    times: Times,
}

/// A metadata transaction that has begun and not ended.
struct Transaction {
    name: Option<String>,
    /// The image without it, in case it is aborted.
    before: Image,
}

/// Applying records.
impl Image {
    /// Applies a batch and the changes of the side room that travel with it: each record with its
    /// own offset and the batch's time. On an error the image is half changed: drop it.
    pub fn apply_batch(&mut self, batch: &Batch, side: &[SideChange]) -> Result<(), ApplyError> {
        let (base, epoch, time) = (batch.base_offset(), batch.epoch(), batch.time());
        if batch.is_control() {
            return self.apply_control(base, epoch, time, &batch.decode_control()?);
        }
        self.apply_records(base, epoch, time, &batch.decode()?, side)
    }

    /// [`apply_batch`](Self::apply_batch) where the records are at hand.
    pub fn apply_records(
        &mut self,
        base_offset: Offset,
        epoch: Epoch,
        time: Millis,
        records: &[Record],
        side: &[SideChange],
    ) -> Result<(), ApplyError> {
        self.expect_next(base_offset)?;
        let features_before = self.features.epoch();
        for (offset, record) in (base_offset..).zip(records) {
            self.apply(record, Stamp { offset, time })?;
        }
        let stamp = Stamp {
            offset: self.end_offset - 1,
            time,
        };
        for change in side {
            self.apply_side(change, stamp)?;
        }
        if self.features.epoch() != features_before {
            self.features.changed_in = Some(stamp.offset);
        }
        self.last_epoch = epoch;
        Ok(())
    }

    /// Control records take offsets, too, and say who the voters are.
    pub fn apply_control(
        &mut self,
        base_offset: Offset,
        epoch: Epoch,
        time: Millis,
        records: &[ControlRecord],
    ) -> Result<(), ApplyError> {
        self.expect_next(base_offset)?;
        records.iter().for_each(|record| self.control(record));
        self.advance(Stamp {
            offset: base_offset + records.len() as i64 - 1,
            time,
        });
        self.last_epoch = epoch;
        Ok(())
    }

    /// Applies one record. On an error the image is half changed: drop it.
    pub fn apply(&mut self, record: &Record, stamp: Stamp) -> Result<(), ApplyError> {
        self.advance(stamp);
        self.change(record, stamp)
    }

    /// What each record does: log by log, Kafka's controller decides what is an error.
    fn change(&mut self, record: &Record, stamp: Stamp) -> Result<(), ApplyError> {
        match record {
            Record::RegisterBroker(it) => {
                let before = self.cluster.register(it, stamp)?;
                let now = self.cluster.brokers.get(&it.broker_id).cloned();
                now.iter()
                    .for_each(|now| self.side.registered(now, before.as_ref()));
            }
            Record::UnregisterBroker(it) => {
                let broker = self.cluster.unregister(it)?;
                self.side.closed(&broker, stamp);
                let (id, epoch, incarnation_id) = (broker.id, broker.epoch, broker.incarnation_id);
                self.tombstones.push(
                    stamp,
                    Gone::Broker {
                        id,
                        epoch,
                        incarnation_id,
                    },
                );
            }
            Record::FenceBroker(it) => {
                self.cluster.set_fenced(it.id, it.epoch, true, stamp)?;
                self.broker_changed(it.id);
            }
            Record::UnfenceBroker(it) => {
                self.cluster.set_fenced(it.id, it.epoch, false, stamp)?;
                self.broker_changed(it.id);
            }
            Record::BrokerRegistrationChange(it) => {
                self.cluster.change(it, stamp)?;
                self.broker_changed(it.broker_id);
            }
            Record::RegisterController(it) => self.cluster.register_controller(it, stamp)?,
            Record::Topic(it) => self.topics.create(it, stamp.offset)?,
            Record::Partition(it) => self.topics.set(it, stamp.offset)?,
            Record::PartitionChange(it) => self.topics.change(it, stamp.offset)?,
            Record::RemoveTopic(it) => {
                let gone = self.topics.remove(it)?;
                self.topic_gone(it.topic_id, gone, stamp);
            }
            Record::ClearElr(it) => self.topics.clear_elr(it, stamp.offset)?,
            Record::Config(it) => {
                let gone = self.configs.apply(it, stamp);
                self.bury(stamp, gone.map(Gone::Config));
            }
            Record::ClientQuota(it) => {
                let gone = keyed::apply_quota(&mut self.quotas, it, stamp);
                self.bury(stamp, gone.map(Gone::Quota));
            }
            Record::ProducerIds(it) => self.producer_ids(it, stamp)?,
            Record::AccessControlEntry(it) => self.acls.put(it.id, it.clone(), stamp),
            Record::RemoveAccessControlEntry(it) => {
                let gone = self
                    .acls
                    .remove(&it.id)
                    .ok_or(ApplyError::UnknownAcl(it.id))?;
                self.tombstones.push(stamp, Gone::Acl(gone.value.clone()));
            }
            Record::UserScramCredential(it) => {
                self.credentials
                    .put((it.mechanism, it.name.clone()), it.clone(), stamp);
            }
            Record::RemoveUserScramCredential(it) => {
                let gone = self.credentials.remove(&(it.mechanism, it.name.clone()));
                let unknown = || ApplyError::UnknownCredential(it.name.clone(), it.mechanism);
                let gone = gone.ok_or_else(unknown)?;
                self.tombstones
                    .push(stamp, Gone::Credential(gone.value.clone()));
            }
            Record::DelegationToken(it) => self.tokens.put(it.token_id.clone(), it.clone(), stamp),
            Record::RemoveDelegationToken(it) => {
                let gone = self.tokens.remove(&it.token_id);
                self.bury(stamp, gone.map(|gone| Gone::Token(gone.value.clone())));
            }
            Record::FeatureLevel(it) => {
                let was_there = self.features.get(&it.name).is_some();
                self.features.set(it, stamp)?;
                let gone = was_there && it.feature_level == 0;
                self.bury(stamp, gone.then(|| Gone::Feature(it.name.clone())));
            }
            Record::NoOp(_) | Record::ZkMigrationState(_) => {}
            Record::BeginTransaction(it) => self.begin(it.name.clone())?,
            Record::EndTransaction(_) => {
                let open = self.transaction.take();
                open.ok_or(ApplyError::TransactionOrder("EndTransactionRecord"))?;
            }
            Record::AbortTransaction(_) => self.abort()?,
        }
        Ok(())
    }

    fn control(&mut self, record: &ControlRecord) {
        match record {
            ControlRecord::KRaftVersion(level) => self.features.set_kraft_version(*level),
            ControlRecord::KRaftVoters(voters) => self.features.set_voters(voters.clone()),
            ControlRecord::LeaderChange { .. }
            | ControlRecord::SnapshotHeader { .. }
            | ControlRecord::SnapshotFooter => {}
        }
    }

    fn apply_side(&mut self, change: &SideChange, stamp: Stamp) -> Result<(), ApplyError> {
        match change {
            SideChange::Sessionless { broker: id } => {
                let unknown = ApplyError::UnknownBroker(*id);
                let broker = self.cluster.brokers.get(id).cloned().ok_or(unknown)?;
                let broker = Arc::new(Broker {
                    stamp,
                    ..Broker::clone(&broker)
                });
                self.side.sessionless(&broker);
                self.cluster.brokers.insert(*id, broker);
            }
        }
        Ok(())
    }

    fn expect_next(&self, found: Offset) -> Result<(), ApplyError> {
        let expected = self.end_offset;
        if found == expected {
            Ok(())
        } else {
            Err(ApplyError::NotNext { expected, found })
        }
    }

    fn advance(&mut self, stamp: Stamp) {
        self.end_offset = self.end_offset.max(stamp.offset + 1);
        self.last_time = self.last_time.max(stamp.time);
        self.times.note(stamp.offset, stamp.time);
    }

    fn broker_changed(&mut self, id: BrokerId) {
        if let Some(broker) = self.cluster.brokers.get(&id) {
            self.side.changed(broker);
        }
    }

    fn topic_gone(&mut self, id: TopicId, gone: topics::Removed, stamp: Stamp) {
        for partition in gone.partitions {
            self.tombstones.push(
                stamp,
                Gone::Partition {
                    topic: gone.name.clone(),
                    partition,
                },
            );
        }
        let config = self.configs.remove_topic(&gone.name);
        self.bury(stamp, config.map(Gone::Config));
        self.tombstones.push(
            stamp,
            Gone::Topic {
                id,
                name: gone.name,
            },
        );
    }

    fn bury(&mut self, stamp: Stamp, gone: Option<Gone>) {
        if let Some(gone) = gone {
            self.tombstones.push(stamp, gone);
        }
    }

    fn producer_ids(&mut self, it: &ProducerIdsRecord, stamp: Stamp) -> Result<(), ApplyError> {
        let before = self.next_producer_id();
        if let Some(before) = before
            && it.next_producer_id <= before
        {
            let found = it.next_producer_id;
            return Err(ApplyError::ProducerIdNotRising {
                expected_above: before,
                found,
            });
        }
        let incarnation = self
            .broker(it.broker_id)
            .map(|broker| broker.incarnation_id);
        self.side.block_given(it, incarnation, before, stamp);
        self.next_producer_id = Some(Stamped {
            value: it.next_producer_id,
            stamp,
        });
        Ok(())
    }

    fn begin(&mut self, name: Option<String>) -> Result<(), ApplyError> {
        if self.transaction.is_some() {
            return Err(ApplyError::TransactionOrder("BeginTransactionRecord"));
        }
        self.transaction = Some(Arc::new(Transaction {
            name,
            before: self.clone(),
        }));
        Ok(())
    }

    /// Everything since Begin never was; only the offsets stay used.
    fn abort(&mut self) -> Result<(), ApplyError> {
        let open = self.transaction.take();
        let open = open.ok_or(ApplyError::TransactionOrder("AbortTransactionRecord"))?;
        let now = std::mem::replace(self, open.before.clone());
        self.end_offset = now.end_offset;
        self.last_time = now.last_time;
        self.times = now.times;
        Ok(())
    }
}

/// Where in the log it stands.
impl Image {
    /// The offset that comes next: the image is true for everything below it.
    pub fn end_offset(&self) -> Offset {
        self.end_offset
    }
    /// Epoch of the last batch; 0 before the first.
    pub fn last_epoch(&self) -> Epoch {
        self.last_epoch
    }
    /// Log time of the last batch; 0 before the first.
    pub fn last_time(&self) -> Millis {
        self.last_time
    }
    /// The name of a metadata transaction that has begun and not ended (empty if it has none).
    /// Such an image must be neither published nor written as a snapshot.
    pub fn open_transaction(&self) -> Option<&str> {
        self.transaction
            .as_ref()
            .map(|open| open.name.as_deref().unwrap_or_default())
    }
    /// The log time of this offset: exact for the newest ones, an older time where that is
    /// forgotten.
    pub fn time_of(&self, offset: Offset) -> Millis {
        self.times.at(offset)
    }
    /// An offset to ask [`changes`](Self::changes) with, so that nothing with a log time of `time`
    /// or later is missed. -1 where that is further back than times are known.
    pub fn offset_before(&self, time: Millis) -> Offset {
        self.times.before(time, self.end_offset).unwrap_or(-1)
    }
    /// The stamp with this offset.
    fn stamp_at(&self, offset: Offset) -> Stamp {
        Stamp {
            offset,
            time: self.times.at(offset),
        }
    }
}

/// Features, brokers, controllers.
impl Image {
    /// Finalized features, kraft.version and voters.
    pub fn features(&self) -> &Features {
        &self.features
    }
    /// The broker registered under this id.
    pub fn broker(&self, id: BrokerId) -> Option<&Broker> {
        self.cluster.brokers.get(&id).map(|it| &**it)
    }
    /// All registered brokers, in the order of ids.
    pub fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.cluster.brokers.values().map(|it| &**it)
    }
    /// The controller registered under this id.
    pub fn controller(&self, id: BrokerId) -> Option<&Controller> {
        self.cluster.controllers.get(&id).map(|it| &**it)
    }
    /// All registered controllers, in the order of ids.
    pub fn controllers(&self) -> impl Iterator<Item = &Controller> {
        self.cluster.controllers.values().map(|it| &**it)
    }
}

/// Topics and partitions.
impl Image {
    /// The topic with this id.
    pub fn topic(&self, id: TopicId) -> Option<TopicView<'_>> {
        TopicView::at(self, self.topics.find(id)?)
    }
    /// The topic with this name.
    pub fn topic_by_name(&self, name: &str) -> Option<TopicView<'_>> {
        TopicView::at(self, self.topics.find_name(name)?)
    }
    /// All topics, in the order of names.
    pub fn topics(&self) -> impl Iterator<Item = TopicView<'_>> {
        self.topics_from("")
    }
    /// The topics named `name` or later, in the order of names.
    pub fn topics_from(&self, name: &str) -> impl Iterator<Item = TopicView<'_>> + use<'_> {
        self.topics
            .named_from(name)
            .filter_map(|slot| TopicView::at(self, slot))
    }
    /// The partition with this index of the topic with this id.
    pub fn partition(&self, topic: TopicId, index: i32) -> Option<PartitionView<'_>> {
        PartitionView::at(self, self.topics.slot(self.topics.find(topic)?, index)?)
    }
    /// All partitions, in no order that means anything.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionView<'_>> {
        self.topics
            .partitions
            .since(Offset::MIN)
            .filter_map(|slot| PartitionView::at(self, slot))
    }
    /// How many topics and partitions there are, and how many partitions lack a leader.
    pub fn counts(&self) -> Counts {
        self.topics.counts()
    }
    /// The partitions that this broker holds a replica of, from a cursor on. To go through them in
    /// slices, go on from [`PartitionView::next`] of the last one, on a later image if need be.
    pub fn partitions_on(
        &self,
        broker: BrokerId,
        from: Cursor,
    ) -> impl Iterator<Item = PartitionView<'_>> + use<'_> {
        self.naming(broker, from)
            .filter(move |it| it.replicas().contains(&broker))
    }
    /// The partitions that this broker leads, from a cursor on.
    pub fn led_by(
        &self,
        broker: BrokerId,
        from: Cursor,
    ) -> impl Iterator<Item = PartitionView<'_>> + use<'_> {
        self.naming(broker, from)
            .filter(move |it| it.leader() == Some(broker))
    }
    /// The partitions whose ISR this broker is in, from a cursor on.
    pub fn in_isr_of(
        &self,
        broker: BrokerId,
        from: Cursor,
    ) -> impl Iterator<Item = PartitionView<'_>> + use<'_> {
        self.naming(broker, from)
            .filter(move |it| it.isr().contains(&broker))
    }
    /// The partitions that this broker holds a replica of and nobody leads, from a cursor on.
    pub fn leaderless_on(
        &self,
        broker: BrokerId,
        from: Cursor,
    ) -> impl Iterator<Item = PartitionView<'_>> + use<'_> {
        self.partitions_on(broker, from)
            .filter(|it| it.leader().is_none())
    }
    /// The partitions that name this broker anywhere: as replica, leader, in the ISR or an ELR.
    pub fn naming(
        &self,
        broker: BrokerId,
        from: Cursor,
    ) -> impl Iterator<Item = PartitionView<'_>> + use<'_> {
        self.topics
            .partitions
            .naming(broker, from.0)
            .filter_map(|slot| PartitionView::at(self, slot))
    }
    /// How many partitions this broker holds a replica of. O(1).
    pub fn replica_count(&self, broker: BrokerId) -> usize {
        self.topics.partitions.on_broker(broker).0
    }
    /// How many partitions this broker leads. O(1).
    pub fn leader_count(&self, broker: BrokerId) -> usize {
        self.topics.partitions.on_broker(broker).1
    }
}

/// The small rooms.
impl Image {
    /// The configuration of this resource, if any key is set on it.
    pub fn config(&self, resource: &ConfigResource) -> Option<&Config> {
        self.configs.get(resource)
    }
    /// The value of one key of this resource, if it is set on it.
    pub fn config_value(&self, resource: &ConfigResource, key: &str) -> Option<&str> {
        self.config(resource)?.get(key)
    }
    /// All configurations, in the order of resources.
    pub fn configs(&self) -> impl Iterator<Item = (&ConfigResource, &Config)> {
        self.configs.iter()
    }
    /// The quotas of this entity.
    pub fn quota(&self, entity: &QuotaEntity) -> Option<&Stamped<Quotas>> {
        self.quotas.get(entity)
    }
    /// All client quotas, in the order of entities.
    pub fn quotas(&self) -> impl Iterator<Item = (&QuotaEntity, &Stamped<Quotas>)> {
        self.quotas.iter()
    }
    /// The first producer id not given out yet; `None` before the first block.
    pub fn next_producer_id(&self) -> Option<i64> {
        self.next_producer_id.as_ref().map(|next| next.value)
    }
    /// The access control entry with this id.
    pub fn acl(&self, id: Uuid) -> Option<&Stamped<AccessControlEntryRecord>> {
        self.acls.get(&id)
    }
    /// All access control entries, in the order of ids.
    pub fn acls(&self) -> impl Iterator<Item = &Stamped<AccessControlEntryRecord>> {
        self.acls.iter().map(|(_, it)| it)
    }
    /// How many access control entries there are.
    pub fn acl_count(&self) -> usize {
        self.acls.len()
    }
    /// The user's credential of this mechanism (1: SHA-256, 2: SHA-512).
    pub fn scram_credential(
        &self,
        mechanism: i8,
        user: &str,
    ) -> Option<&Stamped<UserScramCredentialRecord>> {
        self.credentials.get(&(mechanism, user.to_owned()))
    }
    /// All SCRAM credentials, in the order of mechanisms, then users.
    pub fn scram_credentials(&self) -> impl Iterator<Item = &Stamped<UserScramCredentialRecord>> {
        self.credentials.iter().map(|(_, it)| it)
    }
    /// The delegation token with this id.
    pub fn delegation_token(&self, id: &str) -> Option<&Stamped<DelegationTokenRecord>> {
        self.tokens.get(&id.to_owned())
    }
    /// All delegation tokens, in the order of ids.
    pub fn delegation_tokens(&self) -> impl Iterator<Item = &Stamped<DelegationTokenRecord>> {
        self.tokens.iter().map(|(_, it)| it)
    }
}

/// The side room.
impl Image {
    /// One life of a broker, by its incarnation id; ended ones are kept for a while.
    pub fn incarnation(&self, id: Uuid) -> Option<&Incarnation> {
        self.side.incarnations.get(&id).map(|it| &**it)
    }
    /// All lives of brokers that are known, in the order of their incarnation ids.
    pub fn incarnations(&self) -> impl Iterator<Item = &Incarnation> {
        self.side.incarnations.values().map(|it| &**it)
    }
    /// The lives that ended, each with its last registration, the oldest first.
    pub fn closed_brokers(&self) -> impl Iterator<Item = (&Incarnation, &Broker)> {
        let lives = self
            .side
            .closed
            .iter()
            .filter_map(|id| self.incarnation(*id));
        lives.filter_map(|life| Some((life, &**life.closed.as_ref()?)))
    }
    /// The registration that this life has now, or had last.
    pub fn broker_of(&self, life: &Incarnation) -> Option<&Broker> {
        match self.incarnation(life.id)?.closed.as_ref() {
            Some(broker) => Some(broker),
            None => self.broker(life.broker_id),
        }
    }
    /// What this life of a broker is to those who ask over HTTP.
    pub fn status(&self, life: &Incarnation) -> BrokerStatus {
        match self
            .broker(life.broker_id)
            .filter(|_| life.closed.is_none())
        {
            None => BrokerStatus::Closed,
            Some(broker) if !broker.fenced => BrokerStatus::Alive,
            Some(_) if life.sessionless || life.was_unfenced => BrokerStatus::Fenced,
            Some(_) => BrokerStatus::Init,
        }
    }
    /// Whether this broker was registered over HTTP and has no session.
    pub fn is_sessionless(&self, broker: BrokerId) -> bool {
        let life = self
            .broker(broker)
            .and_then(|it| self.incarnation(it.incarnation_id));
        life.is_some_and(|life| life.sessionless)
    }
    /// The newest block of producer ids of each broker, in the order of broker ids.
    pub fn producer_blocks(&self) -> impl Iterator<Item = &ProducerBlock> {
        self.side.blocks.values().map(|it| &**it)
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("end_offset", &self.end_offset)
            .field("last_epoch", &self.last_epoch)
            .field("brokers", &self.cluster.brokers.len())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
