//! Records and answers as lines of text.

use std::fmt::Write as _;

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::{
    AllocateProducerIdsResponse, AlterPartitionResponse, BrokerHeartbeatResponse,
    CreatePartitionsResponse, CreateTopicsResponse, DeleteTopicsResponse,
    IncrementalAlterConfigsResponse,
};
use yakt::controller::core::Replied;
use yakt::ids::{BrokerId, TopicId};
use yakt::image::Image;
use yakt::records::Record;
use yakt::records::batch::Batch;

/// The records of a batch, a line each. `before` is the image that it meets: it knows the names.
pub(super) fn batch(before: &Image, batch: &Batch) -> Vec<String> {
    if batch.is_control() {
        return Vec::new();
    }
    let records = batch.decode().expect("a proposed batch is readable");
    let name = |id: TopicId| {
        let new = records.iter().find_map(|record| match record {
            Record::Topic(topic) if topic.topic_id == id => Some(topic.name.clone()),
            _ => None,
        });
        new.or_else(|| before.topic(id).map(|topic| topic.name().to_owned()))
            .unwrap_or_else(|| "?".to_owned())
    };
    records.iter().map(|record| line(record, &name)).collect()
}

fn line(record: &Record, name: &dyn Fn(TopicId) -> String) -> String {
    let mut out = record.name().to_owned();
    match record {
        Record::RegisterBroker(broker) => {
            let rack = broker.rack.as_deref().unwrap_or("-");
            write!(
                out,
                " {} rack={rack} fenced={}",
                broker.broker_id.0, broker.fenced
            )
        }
        Record::UnregisterBroker(broker) => write!(out, " {}", broker.broker_id.0),
        Record::BrokerRegistrationChange(change) => {
            let fenced = match change.fenced {
                -1 => " unfenced",
                1 => " fenced",
                _ => "",
            };
            let stopping = if change.in_controlled_shutdown == 1 {
                " in-controlled-shutdown"
            } else {
                ""
            };
            write!(out, " {}{fenced}{stopping}", change.broker_id.0)
        }
        Record::Topic(topic) => write!(out, " {}", topic.name),
        Record::RemoveTopic(topic) => write!(out, " {}", name(topic.topic_id)),
        Record::Partition(partition) => write!(
            out,
            " {}-{} replicas={} isr={} leader={} epoch={}/{}",
            name(partition.topic_id),
            partition.partition_id,
            ids(&partition.replicas),
            ids(&partition.isr),
            partition.leader.0,
            partition.leader_epoch,
            partition.partition_epoch
        ),
        Record::PartitionChange(change) => {
            write!(out, " {}-{}", name(change.topic_id), change.partition_id).expect("memory");
            let lists = [
                ("replicas", &change.replicas),
                ("isr", &change.isr),
                ("adding", &change.adding_replicas),
                ("removing", &change.removing_replicas),
                ("elr", &change.eligible_leader_replicas),
                ("last-known-elr", &change.last_known_elr),
            ];
            for (what, list) in lists {
                if let Some(list) = list {
                    write!(out, " {what}={}", ids(list)).expect("memory");
                }
            }
            match change.leader {
                -2 => Ok(()),
                leader => write!(out, " leader={leader}"),
            }
        }
        Record::Config(config) => {
            let value = config.value.as_deref().unwrap_or("(removed)");
            let resource = match config.resource_type {
                2 => "topic",
                4 => "broker",
                _ => "other",
            };
            write!(
                out,
                " {resource} {:?} {}={value}",
                config.resource_name, config.name
            )
        }
        Record::ProducerIds(ids) => {
            write!(
                out,
                " broker={} next={}",
                ids.broker_id.0, ids.next_producer_id
            )
        }
        Record::ClearElr(clear) => write!(out, " {:?}", clear.topic_name),
        Record::FeatureLevel(level) => write!(out, " {}={}", level.name, level.feature_level),
        other => write!(out, " {other:?}"),
    }
    .expect("memory");
    out
}

/// What an answer says beyond "done": errors, and what a broker must know.
pub(super) fn answer(replied: Replied) -> Vec<String> {
    let answer = match replied.result {
        Ok(answer) => answer.into_any(),
        Err((refusal, _)) => return vec![format!("! {:?}: {refusal}", refusal.code)],
    };
    let mut lines = Vec::new();
    let mut refused = |what: &str, code: i16, text: Option<&str>| {
        if let Some(error) = code.err() {
            lines.push(told(what, error, text));
        }
    };
    if let Some(response) = answer.downcast_ref::<CreateTopicsResponse>() {
        for topic in &response.topics {
            refused(
                topic.name.as_str(),
                topic.error_code,
                topic.error_message.as_deref(),
            );
        }
    } else if let Some(response) = answer.downcast_ref::<DeleteTopicsResponse>() {
        for topic in &response.responses {
            let name = topic.name.as_ref().map_or("?", |name| name.as_str());
            refused(name, topic.error_code, topic.error_message.as_deref());
        }
    } else if let Some(response) = answer.downcast_ref::<CreatePartitionsResponse>() {
        for topic in &response.results {
            refused(
                topic.name.as_str(),
                topic.error_code,
                topic.error_message.as_deref(),
            );
        }
    } else if let Some(response) = answer.downcast_ref::<IncrementalAlterConfigsResponse>() {
        for resource in &response.responses {
            refused(
                &resource.resource_name,
                resource.error_code,
                resource.error_message.as_deref(),
            );
        }
    } else if let Some(response) = answer.downcast_ref::<AlterPartitionResponse>() {
        for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
            refused(
                &partition.partition_index.to_string(),
                partition.error_code,
                None,
            );
        }
    } else if let Some(response) = answer.downcast_ref::<AllocateProducerIdsResponse>() {
        lines.push(format!("> ids from {}", response.producer_id_start.0));
    } else if let Some(response) = answer.downcast_ref::<BrokerHeartbeatResponse>()
        && response.should_shut_down
    {
        lines.push("> may stop".to_owned());
    }
    lines
}

/// A partition as it is now.
pub(super) fn partition(image: &Image, partition: &str) -> String {
    let (name, index) = partition.rsplit_once('-').expect("topic-index");
    let index = index.parse().expect("an index");
    let found = image
        .topic_by_name(name)
        .and_then(|topic| topic.partition(index));
    let Some(now) = found else {
        return format!("{partition} does not exist");
    };
    format!(
        "{partition} replicas={} isr={} leader={} elr={} epoch={}/{}",
        ids(&now.replicas()),
        ids(&now.isr()),
        now.leader().map_or(-1, |leader| leader.0),
        ids(&now.elr()),
        now.leader_epoch(),
        now.partition_epoch()
    )
}

fn told(what: &str, error: ResponseError, text: Option<&str>) -> String {
    match text {
        Some(text) => format!("! {what}: {error:?}: {text}"),
        None => format!("! {what}: {error:?}"),
    }
}

fn ids(list: &[BrokerId]) -> String {
    let list: Vec<String> = list.iter().map(|id| id.0.to_string()).collect();
    format!("[{}]", list.join(","))
}
