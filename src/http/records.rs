//! The records of the original endpoints: `{"type", "name", "fields", "timestamp"}` under a key that
//! names the thing. Every field keeps the original's spelling; what the original did not have
//! (`brokerEpoch`, `leaderEpoch`) stands beside it.

use serde::Serialize;
use utoipa::ToSchema;

use super::json::{StatusJson, id, ids, protocol};
use crate::ids::{Millis, Stamp, Uuid};
use crate::image::{
    Broker, Change, Changed, Gone, Image, Incarnation, Partition, PartitionView, ProducerBlock,
    TopicView,
};

/// A record in its envelope.
#[derive(Serialize, ToSchema)]
pub(super) struct RecordJson {
    /// Always `metadata`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// RegisterBrokerRecord, TopicRecord, PartitionRecord, ProducerIdsRecord or
    /// RegistrationChangeBrokerRecord.
    name: &'static str,
    /// What it says.
    fields: FieldsJson,
    /// Log time of the change, seconds since 1970.
    timestamp: f64,
    /// Present and true where the thing is gone; then this is its last record.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<bool>,
}

/// What a record says.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum FieldsJson {
    /// RegisterBrokerRecord.
    Broker(BrokerFields),
    /// RegistrationChangeBrokerRecord.
    Change(ChangeFields),
    /// TopicRecord.
    Topic(TopicFields),
    /// PartitionRecord.
    Partition(PartitionFields),
    /// ProducerIdsRecord.
    Producer(ProducerFields),
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BrokerFields {
    /// Incarnation id.
    #[serde(rename = "internalUUID")]
    internal_uuid: String,
    /// Broker id.
    broker_id: i32,
    /// Host of its first endpoint.
    broker_host: Option<String>,
    /// Port of its first endpoint.
    broker_port: Option<u16>,
    /// Security protocol of its first endpoint.
    security_protocol: Option<String>,
    /// INIT, FENCED, ALIVE or CLOSED.
    broker_status: StatusJson,
    /// Rack.
    rack_id: Option<String>,
    /// How often it changed since it registered.
    epoch: u32,
    /// Kafka's broker epoch.
    broker_epoch: i64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ChangeFields {
    /// Incarnation id.
    broker_id: String,
    /// Host of its first endpoint.
    broker_host: Option<String>,
    /// Port of its first endpoint.
    broker_port: Option<u16>,
    /// Security protocol of its first endpoint.
    security_protocol: Option<String>,
    /// INIT, FENCED, ALIVE or CLOSED.
    broker_status: StatusJson,
    /// How often it changed since it registered.
    epoch: u32,
    /// Kafka's broker epoch.
    broker_epoch: i64,
}

#[derive(Serialize, ToSchema)]
struct TopicFields {
    /// Topic id.
    #[serde(rename = "topicUUID")]
    topic_uuid: String,
    /// Name.
    name: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PartitionFields {
    /// Index within its topic.
    partition_id: i32,
    /// Topic id.
    #[serde(rename = "topicUUID")]
    topic_uuid: String,
    /// Broker ids.
    replicas: Vec<i32>,
    /// Broker ids in sync.
    #[serde(rename = "ISR")]
    isr: Vec<i32>,
    /// Broker ids that a reassignment removes.
    removing_replicas: Vec<i32>,
    /// Broker ids that it adds.
    adding_replicas: Vec<i32>,
    /// Broker id; null: nobody.
    leader: Option<i32>,
    /// Grows with each change.
    partition_epoch: i32,
    /// Grows with each change of the leader.
    leader_epoch: i32,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProducerFields {
    /// Incarnation id of the broker; null for a node that never registered.
    broker_id: Option<String>,
    /// Kafka's broker epoch.
    broker_epoch: i64,
    /// First id of its newest block.
    producer_id: i64,
}

/// Records under the keys of the original.
pub(super) type Keyed = (String, RecordJson);

/// A broker's record.
pub(super) fn broker(image: &Image, it: &Broker, life: &Incarnation) -> RecordJson {
    let end_point = it.end_points.first();
    let fields = BrokerFields {
        internal_uuid: id(life.id),
        broker_id: it.id.0,
        broker_host: end_point.map(|it| it.host.clone()),
        broker_port: end_point.map(|it| it.port),
        security_protocol: end_point.map(|it| protocol(it.security_protocol)),
        broker_status: image.status(life).into(),
        rack_id: it.rack.clone(),
        epoch: life.changes,
        broker_epoch: it.epoch,
    };
    record(
        "RegisterBrokerRecord",
        FieldsJson::Broker(fields),
        life.stamp(),
    )
}

/// A topic's record.
pub(super) fn topic(it: TopicView<'_>) -> RecordJson {
    topic_named(it.name(), it.id(), it.stamp())
}

/// The records that a change is to the original's pollers, under their keys: a broker that changed
/// since it registered is two.
pub(super) fn of_change(image: &Image, change: &Change<'_>) -> Vec<Keyed> {
    match &change.what {
        Changed::Broker(it, Some(life)) | Changed::Closed(life, it) => of_broker(image, it, life),
        Changed::Topic(it) => vec![(topic_key(it.name()), topic(*it))],
        Changed::Partition(it) => {
            vec![(
                partition_key(it.topic_name(), it.index()),
                partition(&PartitionView::to_owned(*it), change.stamp),
            )]
        }
        Changed::ProducerBlock(it) => vec![(producer_key(it), producer(it))],
        Changed::Gone(Gone::Topic { id, name }) => {
            vec![(
                topic_key(name),
                deleted(topic_named(name, *id, change.stamp)),
            )]
        }
        Changed::Gone(Gone::Partition {
            topic,
            partition: it,
        }) => {
            vec![(
                partition_key(topic, it.index),
                deleted(partition(it, change.stamp)),
            )]
        }
        // The original knows nothing else. A broker that is gone is a closed one.
        Changed::Broker(_, None)
        | Changed::Feature(..)
        | Changed::Controller(_)
        | Changed::Config(..)
        | Changed::Quota(..)
        | Changed::Acl(_)
        | Changed::Credential(_)
        | Changed::Token(_)
        | Changed::Gone(_) => Vec::new(),
    }
}

fn of_broker(image: &Image, it: &Broker, life: &Incarnation) -> Vec<Keyed> {
    let mut records = vec![(
        format!("RegisterBrokerRecord:{}", id(life.id)),
        broker(image, it, life),
    )];
    if let Some(changed) = life.changed {
        let key = format!("RegistrationChangeBrokerRecord:{}", id(life.id));
        records.push((key, broker_change(image, it, life, changed)));
    }
    records
}

fn broker_change(image: &Image, it: &Broker, life: &Incarnation, changed: Stamp) -> RecordJson {
    let end_point = it.end_points.first();
    let fields = ChangeFields {
        broker_id: id(life.id),
        broker_host: end_point.map(|it| it.host.clone()),
        broker_port: end_point.map(|it| it.port),
        security_protocol: end_point.map(|it| protocol(it.security_protocol)),
        broker_status: image.status(life).into(),
        epoch: life.changes,
        broker_epoch: it.epoch,
    };
    record(
        "RegistrationChangeBrokerRecord",
        FieldsJson::Change(fields),
        changed,
    )
}

fn topic_key(name: &str) -> String {
    format!("TopicRecord:{name}")
}

fn topic_named(name: &str, topic_id: Uuid, stamp: Stamp) -> RecordJson {
    let fields = TopicFields {
        topic_uuid: id(topic_id),
        name: name.to_owned(),
    };
    record("TopicRecord", FieldsJson::Topic(fields), stamp)
}

fn partition_key(topic: &str, index: i32) -> String {
    format!("PartitionRecord:{topic}-{index}")
}

fn partition(it: &Partition, stamp: Stamp) -> RecordJson {
    let fields = PartitionFields {
        partition_id: it.index,
        topic_uuid: id(it.topic_id),
        replicas: ids(&it.replicas),
        isr: ids(&it.isr),
        removing_replicas: ids(&it.removing),
        adding_replicas: ids(&it.adding),
        leader: it.leader.map(|leader| leader.0),
        partition_epoch: it.partition_epoch,
        leader_epoch: it.leader_epoch,
    };
    record("PartitionRecord", FieldsJson::Partition(fields), stamp)
}

fn producer_key(it: &ProducerBlock) -> String {
    format!("ProducerIdsRecord:{}", it.first)
}

fn producer(it: &ProducerBlock) -> RecordJson {
    let fields = ProducerFields {
        broker_id: it.incarnation_id.map(id),
        broker_epoch: it.broker_epoch,
        producer_id: it.first,
    };
    record("ProducerIdsRecord", FieldsJson::Producer(fields), it.stamp)
}

fn record(name: &'static str, fields: FieldsJson, stamp: Stamp) -> RecordJson {
    RecordJson {
        kind: "metadata",
        name,
        fields,
        timestamp: seconds(stamp.time),
        deleted: None,
    }
}

fn deleted(record: RecordJson) -> RecordJson {
    RecordJson {
        deleted: Some(true),
        ..record
    }
}

fn seconds(time: Millis) -> f64 {
    time as f64 / 1000.0
}
