//! What records do to the image.

use std::sync::Arc;

use crate::ids::{BrokerId, Epoch, Millis, Offset, Stamp, TopicId};
use crate::records::batch::Batch;
use crate::records::control::ControlRecord;
use crate::records::{ProducerIdsRecord, Record};

use super::changes::Gone;
use super::cluster::Broker;
use super::error::ApplyError;
use super::keyed::{self, Stamped};
use super::side::SideChange;
use super::{Image, Transaction, topics};

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
        for (offset, record) in (base_offset..).zip(records) {
            self.advance(Stamp { offset, time });
            self.control(record);
        }
        self.last_epoch = epoch;
        Ok(())
    }

    /// Applies one record. On an error the image is half changed: drop it.
    pub fn apply(&mut self, record: &Record, stamp: Stamp) -> Result<(), ApplyError> {
        self.advance(stamp);
        self.change(record, stamp)
    }

    /// What each record does. What is an error in Kafka's controller is one here; its loader would
    /// let some pass.
    #[deny(
        clippy::wildcard_enum_match_arm,
        reason = "a new record must say what it does"
    )]
    pub(super) fn change(&mut self, record: &Record, stamp: Stamp) -> Result<(), ApplyError> {
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

    /// What each control record does.
    pub(super) fn control(&mut self, record: &ControlRecord) {
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
