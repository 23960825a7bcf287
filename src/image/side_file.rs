//! What records cannot carry, as bytes: the image's part of the file beside a snapshot.
//!
//! ```text
//! version 1 | end offset, epoch, time, feature epoch | complete since | times | tombstones
//! | incarnations | ended ones in order | producer blocks | one stamp per record of the snapshot
//! ```
//!
//! What was a record once is written as one, in its newest version. Stamps stand in the order of the snapshot's records, so they need no keys.

use std::sync::Arc;

use bytes::Bytes;

use crate::ids::{ConfigKind, ConfigResource, Offset, Stamp};
use crate::records::Record;

use super::Image;
use super::changes::Gone;
use super::cluster::{Broker, Cluster};
use super::error::ApplyError;
use super::keyed::QuotaEntity;
use super::partition::Partition;
use super::side::{Incarnation, ProducerBlock};
use super::side_codec::{Input, Writer, broken};
use super::snapshot::Item;

/// Version of the format; a reader refuses others.
const VERSION: u8 = 1;

impl Image {
    /// The image's part of the file beside its snapshot. Goes back in through
    /// [`Loader::new`](super::snapshot::Loader::new).
    pub fn side_bytes(&self) -> Vec<u8> {
        let mut out = Writer(vec![VERSION]);
        out.signed(self.end_offset);
        out.signed(i64::from(self.last_epoch));
        out.signed(self.last_time);
        out.signed(self.features.epoch().unwrap_or(-1));
        out.signed(self.complete_since());
        out.list(self.times.iter(), |out, (offset, time)| {
            out.stamp(Stamp { offset, time })
        });
        out.list(self.tombstones.iter(), |out, (stamp, gone)| {
            out.stamp(*stamp);
            out.gone(gone);
        });
        out.list(self.side.incarnations.values(), |out, life| out.life(life));
        out.list(self.side.closed.iter(), |out, id| out.uuid(*id));
        out.list(self.side.blocks.values(), |out, block| out.block(block));
        for item in self.items() {
            self.write_stamp(&mut out, &item);
        }
        out.0
    }

    fn write_stamp(&self, out: &mut Writer, item: &Item<'_>) {
        let stamp = item.stamp();
        out.signed(self.end_offset - stamp.offset);
        if !matches!(item, Item::Topic(_) | Item::Partition(_)) {
            out.signed(self.last_time - stamp.time);
        }
        if let Item::Broker(broker) = item {
            out.signed(self.end_offset - broker.registered_at);
        }
    }
}

/// Reads everything but the stamps into `image`, and returns the stamps to be taken one by one.
pub(super) fn read(bytes: Bytes, image: &mut Image) -> Result<Stamps, ApplyError> {
    let mut input = Input::new(bytes);
    if input.byte()? != VERSION {
        return Err(broken("it has another version"));
    }
    image.end_offset = input.signed()?;
    image.last_epoch = input.number()?;
    image.last_time = input.signed()?;
    let feature_epoch = input.signed()?;
    image.features.changed_in = (feature_epoch >= 0).then_some(feature_epoch);
    let complete_since = input.signed()?;
    image.tombstones.complete_since = (complete_since >= 0).then_some(complete_since);
    for _ in 0..input.count()? {
        let Stamp { offset, time } = input.stamp()?;
        image.times.note(offset, time);
    }
    for _ in 0..input.count()? {
        let stamp = input.stamp()?;
        image.tombstones.push(stamp, input.gone()?);
    }
    for _ in 0..input.count()? {
        let life = input.life()?;
        image.side.incarnations.insert(life.id, Arc::new(life));
    }
    for _ in 0..input.count()? {
        image.side.closed.push_back(input.uuid()?);
    }
    for _ in 0..input.count()? {
        let block = input.block()?;
        image.side.blocks.insert(block.broker_id, Arc::new(block));
    }
    Ok(Stamps {
        input,
        end_offset: image.end_offset,
        last_time: image.last_time,
    })
}

/// The stamps of a snapshot's records.
pub(super) struct Stamps {
    input: Input,
    end_offset: Offset,
    last_time: i64,
}

impl Stamps {
    /// The stamp of the next record.
    pub(super) fn next(&mut self, record: &Record) -> Result<Stamp, ApplyError> {
        let offset = self.end_offset.saturating_sub(self.input.signed()?);
        let is_row = matches!(record, Record::Topic(_) | Record::Partition(_));
        let time = if is_row {
            0
        } else {
            self.last_time.saturating_sub(self.input.signed()?)
        };
        Ok(Stamp { offset, time })
    }
    /// After the stamp of a broker: where it registered.
    pub(super) fn registered_at(&mut self) -> Result<Offset, ApplyError> {
        Ok(self.end_offset.saturating_sub(self.input.signed()?))
    }
    /// After the last record.
    pub(super) fn finish(self) -> Result<(), ApplyError> {
        if self.input.is_empty() {
            Ok(())
        } else {
            Err(broken("it has more stamps than records"))
        }
    }
}

impl Writer {
    fn life(&mut self, life: &Incarnation) {
        self.uuid(life.id);
        self.signed(i64::from(life.broker_id.0));
        self.flag(life.sessionless);
        self.unsigned(u64::from(life.changes));
        self.stamp(life.registered);
        self.option(life.changed, Self::stamp);
        self.flag(life.was_unfenced);
        self.option(life.closed.as_ref(), |out, broker| {
            out.record(broker.to_record());
            out.signed(broker.registered_at);
            out.stamp(broker.stamp);
        });
    }
    fn block(&mut self, block: &ProducerBlock) {
        self.signed(i64::from(block.broker_id.0));
        self.signed(block.broker_epoch);
        self.option(block.incarnation_id, Self::uuid);
        self.signed(block.first);
        self.signed(block.next);
        self.stamp(block.stamp);
    }
    fn gone(&mut self, gone: &Gone) {
        match gone {
            Gone::Feature(name) => {
                self.0.push(0);
                self.bytes(name.as_bytes());
            }
            Gone::Broker {
                id,
                epoch,
                incarnation_id,
            } => {
                self.0.push(1);
                self.signed(i64::from(id.0));
                self.signed(*epoch);
                self.uuid(*incarnation_id);
            }
            Gone::Topic { id, name } => {
                self.0.push(2);
                self.uuid(*id);
                self.bytes(name.as_bytes());
            }
            Gone::Partition { topic, partition } => {
                self.0.push(3);
                self.bytes(topic.as_bytes());
                self.record(partition.to_record());
            }
            Gone::Config(resource) => {
                self.0.push(4);
                self.0.push(resource.kind as u8);
                self.bytes(resource.name.as_bytes());
            }
            Gone::Quota(entity) => {
                self.0.push(5);
                self.list(entity.0.iter(), |out, (kind, name)| {
                    out.bytes(kind.as_bytes());
                    out.option(name.as_ref(), |out, name| out.bytes(name.as_bytes()));
                });
            }
            Gone::Acl(record) => {
                self.0.push(6);
                self.record(record.clone());
            }
            Gone::Credential(record) => {
                self.0.push(7);
                self.record(record.clone());
            }
            Gone::Token(record) => {
                self.0.push(8);
                self.record(record.clone());
            }
        }
    }
}

impl Input {
    fn life(&mut self) -> Result<Incarnation, ApplyError> {
        Ok(Incarnation {
            id: self.uuid()?,
            broker_id: self.broker_id()?,
            sessionless: self.flag()?,
            changes: u32::try_from(self.unsigned()?).map_err(|_| broken("a count is too large"))?,
            registered: self.stamp()?,
            changed: self.option(Self::stamp)?,
            was_unfenced: self.flag()?,
            closed: self.option(Self::closed)?,
        })
    }
    fn closed(&mut self) -> Result<Arc<Broker>, ApplyError> {
        let Record::RegisterBroker(record) = self.record()? else {
            return Err(broken("a registration is something else"));
        };
        let registered_at = self.signed()?;
        let stamp = self.stamp()?;
        let mut alone = Cluster::default();
        alone.register(&record, stamp)?;
        alone.set_registered_at(record.broker_id, registered_at);
        let broker = alone.brokers.get(&record.broker_id).cloned();
        broker.ok_or(ApplyError::UnknownBroker(record.broker_id))
    }
    fn block(&mut self) -> Result<ProducerBlock, ApplyError> {
        Ok(ProducerBlock {
            broker_id: self.broker_id()?,
            broker_epoch: self.signed()?,
            incarnation_id: self.option(Self::uuid)?,
            first: self.signed()?,
            next: self.signed()?,
            stamp: self.stamp()?,
        })
    }
    fn gone(&mut self) -> Result<Gone, ApplyError> {
        Ok(match self.byte()? {
            0 => Gone::Feature(self.text()?),
            1 => Gone::Broker {
                id: self.broker_id()?,
                epoch: self.signed()?,
                incarnation_id: self.uuid()?,
            },
            2 => Gone::Topic {
                id: self.uuid()?,
                name: self.text()?,
            },
            3 => {
                let topic = self.text()?;
                match self.record()? {
                    Record::Partition(it) => Gone::Partition {
                        topic,
                        partition: Partition::from_record(&it)?,
                    },
                    _ => return Err(broken("a partition is something else")),
                }
            }
            4 => {
                let kind = ConfigKind::from_code(self.byte()? as i8);
                let kind = kind.ok_or_else(|| broken("a resource has no such kind"))?;
                Gone::Config(ConfigResource {
                    kind,
                    name: self.text()?,
                })
            }
            5 => {
                let mut parts = Vec::new();
                for _ in 0..self.count()? {
                    parts.push((self.text()?, self.option(Self::text)?));
                }
                Gone::Quota(QuotaEntity(parts))
            }
            6..=8 => match self.record()? {
                Record::AccessControlEntry(it) => Gone::Acl(it),
                Record::UserScramCredential(it) => Gone::Credential(it),
                Record::DelegationToken(it) => Gone::Token(it),
                _ => return Err(broken("a tombstone is something else")),
            },
            _ => return Err(broken("a tombstone has no such kind")),
        })
    }
}
