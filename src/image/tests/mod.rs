//! Tests of the image as a whole; those of one file stand at its end.

mod arms;
mod histories;

use super::side::SideChange;
use super::*;
use crate::ids::*;
use crate::records::*;

/// An image under construction: each record is a batch of its own, a second after the last.
#[derive(Default)]
pub(super) struct Build {
    pub(super) image: Image,
}

impl Build {
    /// Applies the record at the next offset.
    #[track_caller]
    pub(super) fn add(&mut self, record: impl Into<Record>) -> Offset {
        self.try_add(record).expect("the record fits")
    }

    /// The same, where it may not fit; then the image stays as it was.
    pub(super) fn try_add(&mut self, record: impl Into<Record>) -> Result<Offset, ApplyError> {
        self.try_add_with(record, &[])
    }

    pub(super) fn try_add_with(
        &mut self,
        record: impl Into<Record>,
        side: &[SideChange],
    ) -> Result<Offset, ApplyError> {
        let offset = self.image.end_offset();
        let mut after = self.image.clone();
        let time = 1_000_000 + offset * 1000;
        after.apply_records(offset, 1, time, &[record.into()], side)?;
        self.image = after;
        Ok(offset)
    }
}

pub(super) fn ids(list: &[i32]) -> Vec<BrokerId> {
    list.iter().map(|id| BrokerId(*id)).collect()
}

pub(super) fn topic_id(n: u32) -> Uuid {
    Uuid::from_u128(0x7000 + u128::from(n))
}

pub(super) fn metadata_version(level: i16) -> FeatureLevelRecord {
    FeatureLevelRecord {
        name: features::METADATA_VERSION.to_owned(),
        feature_level: level,
    }
}

pub(super) fn register(id: i32, epoch: i64) -> RegisterBrokerRecord {
    RegisterBrokerRecord {
        broker_id: BrokerId(id),
        incarnation_id: Uuid::from_u128(0xb000 + id as u128 * 1000 + epoch as u128),
        broker_epoch: epoch,
        end_points: vec![BrokerEndpoint {
            name: "PLAINTEXT".to_owned(),
            host: format!("broker-{id}"),
            port: 9092,
            security_protocol: 0,
        }],
        rack: None,
        log_dirs: vec![Uuid::from_u128(0xd000 + id as u128)],
        ..RegisterBrokerRecord::default()
    }
}

pub(super) fn partition(topic: u32, index: i32, replicas: &[i32]) -> PartitionRecord {
    let replicas = ids(replicas);
    PartitionRecord {
        partition_id: index,
        topic_id: topic_id(topic),
        isr: replicas.clone(),
        leader: replicas.first().copied().unwrap_or(BrokerId(-1)),
        leader_epoch: 0,
        partition_epoch: 0,
        directories: replicas
            .iter()
            .map(|id| Uuid::from_u128(0xd000 + id.0 as u128))
            .collect(),
        replicas,
        ..PartitionRecord::default()
    }
}

/// The image that comes of writing this one down and reading it again, with its side bytes or not.
pub(super) fn reloaded(image: &Image, with_side: bool) -> Image {
    let side = with_side.then(|| image.side_bytes().into());
    let mut loader = Loader::new(image.end_offset(), image.last_epoch(), side).expect("it reads");
    image
        .snapshot_header()
        .iter()
        .for_each(|record| loader.control(record));
    for record in image.records() {
        loader
            .record(&record)
            .expect("a snapshot's records fit each other");
    }
    loader.finish().expect("nothing is left over")
}
