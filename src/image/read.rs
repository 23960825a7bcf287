//! What can be asked of an image. All of it is O(1) or O(log n) but for what is gone through.

use crate::ids::{
    BrokerId, ConfigResource, Epoch, Millis, Offset, PartitionIndex, Stamp, TopicId, Uuid,
};
use crate::records::{AccessControlEntryRecord, DelegationTokenRecord, UserScramCredentialRecord};

use super::Image;
use super::cluster::{Broker, Controller};
use super::configs::Config;
use super::features::Features;
use super::keyed::{QuotaEntity, Quotas, Stamped};
use super::side::{BrokerStatus, Incarnation, ProducerBlock};
use super::topics::Counts;
use super::views::{Cursor, PartitionView, TopicView};

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
    pub(super) fn stamp_at(&self, offset: Offset) -> Stamp {
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
    pub fn partition(&self, topic: TopicId, index: PartitionIndex) -> Option<PartitionView<'_>> {
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
        self.naming(broker, from).filter(move |it| it.is_on(broker))
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
            .filter(move |it| it.is_in_sync(broker))
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
