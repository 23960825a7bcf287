//! Out and in again: an image as records, in Kafka's order, and the image that such records make.
//!
//! What records cannot carry (stamps, tombstones, times, the side room) goes as bytes into a file
//! beside them: see `side_file.rs`. With both, nothing is lost.

use bytes::Bytes;

use crate::ids::{BrokerId, ConfigResource, Epoch, Offset, Stamp};
use crate::records::batch::Batch;
use crate::records::control::ControlRecord;
use crate::records::{
    AccessControlEntryRecord, ClientQuotaRecord, ConfigRecord, DelegationTokenRecord,
    FeatureLevelRecord, PartitionRecord, ProducerIdsRecord, Record, RegisterBrokerRecord,
    TopicRecord, UserScramCredentialRecord,
};

use super::Image;
use super::cluster::{Broker, Controller};
use super::error::ApplyError;
use super::features::METADATA_VERSION;
use super::keyed::{QuotaEntity, Stamped};
use super::side_file::{self, Stamps};
use super::views::{PartitionView, TopicView};

/// What a snapshot has a record of.
#[derive(Clone, Copy)]
pub(super) enum Item<'a> {
    Feature(&'a str, i16, Stamp),
    Broker(&'a Broker),
    Controller(&'a Controller),
    Topic(TopicView<'a>),
    Partition(PartitionView<'a>),
    Config(&'a ConfigResource, &'a str, &'a str, Stamp),
    Quota(&'a QuotaEntity, &'a str, f64, Stamp),
    ProducerIds(i64, Stamp),
    Acl(&'a Stamped<AccessControlEntryRecord>),
    Credential(&'a Stamped<UserScramCredentialRecord>),
    Token(&'a Stamped<DelegationTokenRecord>),
}

/// Out.
impl Image {
    /// The records that make this image: those a snapshot holds between header and footer, always
    /// in the same order (`MetadataImage.write`, 4.3.1, which leaves the order inside a group to
    /// chance). Written at the image's own metadata.version, no field is above its version.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let metadata_version = self.features.metadata_version().unwrap_or_default();
        self.items().map(move |item| item.record(metadata_version))
    }

    /// The control records that a snapshot begins with: one batch.
    pub fn snapshot_header(&self) -> Vec<ControlRecord> {
        let mut records = vec![ControlRecord::SnapshotHeader {
            last_contained_log_time: self.last_time,
        }];
        let kraft_version = self.features.kraft_version();
        if kraft_version > 0 {
            records.push(ControlRecord::KRaftVersion(kraft_version));
            if !self.features.voters().is_empty() {
                records.push(ControlRecord::KRaftVoters(self.features.voters().to_vec()));
            }
        }
        records
    }

    /// Everything that a snapshot has a record of, in the order of records.
    pub(super) fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let feature = |(name, level, stamp)| Item::Feature(name, level, stamp);
        let is_first = |item: &Item<'_>| matches!(item, Item::Feature(METADATA_VERSION, ..));
        let first = self.features.iter().map(feature).filter(is_first);
        let others = self
            .features
            .iter()
            .map(feature)
            .filter(move |item| !is_first(item));
        let topics = self.topics().flat_map(|topic| {
            std::iter::once(Item::Topic(topic)).chain(topic.partitions().map(Item::Partition))
        });
        let configs = self.configs().flat_map(|(resource, config)| {
            let stamp = config.stamp();
            config
                .iter()
                .map(move |(key, value)| Item::Config(resource, key, value, stamp))
        });
        let quotas = self.quotas().flat_map(|(entity, quotas)| {
            let keys = quotas.value.iter();
            keys.map(move |(key, value)| Item::Quota(entity, key, *value, quotas.stamp))
        });
        let next = self.next_producer_id.iter();
        first
            .chain(others)
            .chain(self.brokers().map(Item::Broker))
            .chain(self.controllers().map(Item::Controller))
            .chain(topics)
            .chain(configs)
            .chain(quotas)
            .chain(next.map(|next| Item::ProducerIds(next.value, next.stamp)))
            .chain(self.acls().map(Item::Acl))
            .chain(self.scram_credentials().map(Item::Credential))
            .chain(self.delegation_tokens().map(Item::Token))
    }
}

impl Item<'_> {
    fn record(&self, metadata_version: i16) -> Record {
        match *self {
            Self::Feature(name, feature_level, _) => FeatureLevelRecord {
                name: name.to_owned(),
                feature_level,
            }
            .into(),
            Self::Broker(broker) => registration(broker, metadata_version).into(),
            Self::Controller(controller) => controller.to_record().into(),
            Self::Topic(topic) => TopicRecord {
                name: topic.name().to_owned(),
                topic_id: topic.id(),
            }
            .into(),
            Self::Partition(partition) => state(partition, metadata_version).into(),
            Self::Config(resource, key, value, _) => ConfigRecord {
                resource_type: resource.kind as i8,
                resource_name: resource.name.clone(),
                name: key.to_owned(),
                value: Some(value.to_owned()),
            }
            .into(),
            Self::Quota(entity, key, value, _) => ClientQuotaRecord {
                entity: entity.to_data(),
                key: key.to_owned(),
                value,
                remove: false,
            }
            .into(),
            // Who got the last block is not state: Kafka writes nobody.
            Self::ProducerIds(next_producer_id, _) => ProducerIdsRecord {
                broker_id: BrokerId(-1),
                broker_epoch: -1,
                next_producer_id,
            }
            .into(),
            Self::Acl(acl) => acl.value.clone().into(),
            Self::Credential(credential) => credential.value.clone().into(),
            Self::Token(token) => token.value.clone().into(),
        }
    }

    /// The stamp of its last change; without the time for topics and partitions, which is found by
    /// the offset.
    pub(super) fn stamp(&self) -> Stamp {
        match *self {
            Self::Feature(.., stamp)
            | Self::Config(.., stamp)
            | Self::Quota(.., stamp)
            | Self::ProducerIds(_, stamp) => stamp,
            Self::Broker(broker) => broker.stamp,
            Self::Controller(controller) => controller.stamp,
            Self::Topic(topic) => Stamp {
                offset: topic.offset(),
                time: 0,
            },
            Self::Partition(partition) => Stamp {
                offset: partition.offset(),
                time: 0,
            },
            Self::Acl(acl) => acl.stamp,
            Self::Credential(credential) => credential.stamp,
            Self::Token(token) => token.stamp,
        }
    }
}

/// The registration without what this metadata.version cannot say.
fn registration(broker: &Broker, metadata_version: i16) -> RegisterBrokerRecord {
    let mut record = broker.to_record();
    if metadata_version < 8 {
        record.is_migrating_zk_broker = false;
    }
    if metadata_version < 17 {
        record.log_dirs.clear();
    }
    if metadata_version < 30 {
        record.cordoned_log_dirs = None;
    }
    record
}

/// The partition without what this metadata.version cannot say.
fn state(partition: PartitionView<'_>, metadata_version: i16) -> PartitionRecord {
    let mut record = partition.to_owned().to_record();
    if metadata_version < 17 {
        record.directories.clear();
    }
    if metadata_version < 23 {
        record.eligible_leader_replicas = None;
        record.last_known_elr = None;
    }
    record
}

/// In: makes an image from the records of a snapshot, one after another.
pub struct Loader {
    image: Image,
    stamps: Option<Stamps>,
    /// Stamp of everything where no side file says better.
    at_end: Stamp,
}

impl Loader {
    /// Begins the image that ends at this offset and epoch. With the bytes that
    /// [`Image::side_bytes`] gave, it will be the very image they came from; without them, as with
    /// a snapshot of Apache's, everything looks as if it had changed at the end.
    pub fn new(end_offset: Offset, epoch: Epoch, side: Option<Bytes>) -> Result<Self, ApplyError> {
        let mut image = Image {
            end_offset,
            last_epoch: epoch,
            ..Image::default()
        };
        let at_end = Stamp {
            offset: end_offset - 1,
            time: 0,
        };
        image.tombstones.complete_since = Some(at_end.offset);
        let stamps = side
            .map(|bytes| side_file::read(bytes, &mut image))
            .transpose()?;
        if image.end_offset != end_offset {
            return Err(ApplyError::NotNext {
                expected: end_offset,
                found: image.end_offset,
            });
        }
        Ok(Self {
            image,
            stamps,
            at_end,
        })
    }

    /// Applies the next batch of the snapshot, control batches included.
    pub fn batch(&mut self, batch: &Batch) -> Result<(), ApplyError> {
        for record in batch.decode_control()? {
            self.control(&record);
        }
        batch
            .decode()?
            .iter()
            .try_for_each(|record| self.record(record))
    }

    /// Applies the next record of the snapshot.
    pub fn record(&mut self, record: &Record) -> Result<(), ApplyError> {
        use Record::{AbortTransaction, BeginTransaction, EndTransaction};
        if matches!(
            record,
            BeginTransaction(_) | EndTransaction(_) | AbortTransaction(_)
        ) {
            return Err(ApplyError::NotInSnapshots(record.name()));
        }
        let Some(stamps) = &mut self.stamps else {
            return self.image.change(record, self.at_end);
        };
        let stamp = stamps.next(record)?;
        match record {
            // The side room came with the file.
            Record::RegisterBroker(it) => {
                self.image.cluster.register(it, stamp)?;
                let registered_at = stamps.registered_at()?;
                self.image
                    .cluster
                    .set_registered_at(it.broker_id, registered_at);
                Ok(())
            }
            record => self.image.change(record, stamp),
        }
    }

    /// Applies a control record from the snapshot's header.
    pub fn control(&mut self, record: &ControlRecord) {
        if let ControlRecord::SnapshotHeader {
            last_contained_log_time,
        } = record
            && self.stamps.is_none()
        {
            self.at_end.time = *last_contained_log_time;
            self.image.last_time = *last_contained_log_time;
            self.image
                .times
                .note(self.at_end.offset, *last_contained_log_time);
        }
        self.image.control(record);
    }

    /// The image, once all records were applied.
    pub fn finish(mut self) -> Result<Image, ApplyError> {
        self.stamps.take().map_or(Ok(()), Stamps::finish)?;
        Ok(self.image)
    }
}

/// Two images are equal if they say the same to everybody, whatever their rows look like.
impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        self.features.kraft_version() == other.features.kraft_version()
            && self.features.voters() == other.features.voters()
            && self.open_transaction() == other.open_transaction()
            && self.records().eq(other.records())
            && self.side_bytes() == other.side_bytes()
    }
}
