//! Metadata (3): the nodes of the cluster and the topics a client asks for, as a broker would tell.
//!
//! Apache's controllers do not answer it; YAKt does, on any node and from its own image, so that a
//! client that knows nothing of KRaft can be bootstrapped here (`KafkaApis.handleTopicMetadataRequest`
//! and `KRaftMetadataCache.partitionMetadata`, 4.3.1). What a client is told of nodes is in
//! [`nodes`]. It never creates a topic.
//!
//! Version notes: 0 asks for all topics with an empty list, later ones with null; 0 reports replicas
//! that cannot be reached as an error; from 6 on a leader without a fitting listener has an error of
//! its own; topic ids may be asked for from 12 on; 8 to 10 carry the cluster's operations.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::api::{Read, authorized};
use crate::ids::{NO_BROKER, Uuid};
use crate::image::{PartitionView, TopicView};
use crate::rules::electorate::is_online;
use crate::rules::nodes::{self, Node, Reach};
use crate::rules::{View, names};

impl Read for MetadataRequest {
    fn answer(&self, view: &View<'_>) -> MetadataResponse {
        if let Some(refused) = refused(self, view.version) {
            return refused;
        }
        let (reach, controller) = (Reach::of(view), nodes::controller_node(view));
        let response = MetadataResponse::default()
            .with_cluster_id(Some(StrBytes::from_string(
                view.settings.cluster_id.clone(),
            )))
            .with_controller_id(controller.as_ref().map_or(NO_BROKER, |node| node.id))
            .with_brokers(
                live_nodes(&reach, controller.as_ref())
                    .map(broker)
                    .collect(),
            )
            .with_topics(topics(self, view, &reach));
        // Only versions 8 to 10 have the field, but a client of another version cannot ask either.
        if self.include_cluster_authorized_operations {
            return response.with_cluster_authorized_operations(authorized::ON_CLUSTER);
        }
        response
    }
}

/// Versions 10 and 11 have topic ids on the wire, but Kafka takes names only before 12.
fn refused(request: &MetadataRequest, version: i16) -> Option<MetadataResponse> {
    let asked = request.topics.as_deref().unwrap_or_default();
    let fits = |topic: &MetadataRequestTopic| topic.name.is_some() && topic.topic_id.is_nil();
    if version >= 12 || asked.iter().all(fits) {
        return None;
    }
    let topics = asked.iter().map(|topic| {
        let name = topic.name.clone().unwrap_or_default();
        unknown(ResponseError::InvalidRequest, Some(name)).with_topic_id(topic.topic_id)
    });
    Some(MetadataResponse::default().with_topics(topics.collect()))
}

/// The live brokers, and the controller unless a broker carries its id.
fn live_nodes<'a>(
    reach: &'a Reach,
    controller: Option<&'a Node>,
) -> impl Iterator<Item = &'a Node> {
    let live = reach.nodes().filter(|node| !node.fenced);
    live.chain(controller.filter(|node| !reach.is_live(node.id)))
}

fn broker(node: &Node) -> MetadataResponseBroker {
    MetadataResponseBroker::default()
        .with_node_id(node.id)
        .with_host(StrBytes::from_string(node.host.clone()))
        .with_port(i32::from(node.port))
        .with_rack(node.rack.clone().map(StrBytes::from_string))
}

/// The topics asked for: all, those of the ids if there is any id among them, or those of the names.
/// A topic that is asked for twice is told of once.
fn topics(request: &MetadataRequest, view: &View<'_>, reach: &Reach) -> Vec<MetadataResponseTopic> {
    let operations = if request.include_topic_authorized_operations {
        authorized::ON_TOPIC
    } else {
        authorized::NOT_ASKED
    };
    let found = |topic: TopicView<'_>| {
        described(topic, view, reach).with_topic_authorized_operations(operations)
    };
    let asked = match &request.topics {
        Some(asked) if !(view.version == 0 && asked.is_empty()) => asked,
        _ => return view.image.topics().map(found).collect(),
    };
    let ids: BTreeSet<Uuid> = asked
        .iter()
        .map(|it| it.topic_id)
        .filter(|it| !it.is_nil())
        .collect();
    if !ids.is_empty() {
        let by_id = ids.into_iter().map(|id| match view.image.topic(id) {
            Some(topic) => found(topic),
            None => unknown(ResponseError::UnknownTopicId, None).with_topic_id(id),
        });
        return by_id.collect();
    }
    let names: BTreeSet<&str> = asked
        .iter()
        .filter_map(|it| it.name.as_deref())
        .map(|it| &**it)
        .collect();
    let by_name = names
        .into_iter()
        .map(|name| match view.image.topic_by_name(name) {
            Some(topic) => found(topic),
            None => missing(name).with_topic_authorized_operations(operations),
        });
    by_name.collect()
}

/// No topic has this name, or none may have it.
fn missing(name: &str) -> MetadataResponseTopic {
    let error = names::check_topic_name(name).map_or_else(
        |refusal| refusal.code,
        |()| ResponseError::UnknownTopicOrPartition,
    );
    unknown(error, Some(topic_name(name))).with_is_internal(names::is_internal(name))
}

fn unknown(error: ResponseError, name: Option<TopicName>) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_error_code(error.code())
        .with_name(name)
}

pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn described(topic: TopicView<'_>, view: &View<'_>, reach: &Reach) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_name(Some(topic_name(topic.name())))
        .with_topic_id(topic.id())
        .with_is_internal(names::is_internal(topic.name()))
        .with_partitions(
            topic
                .partitions()
                .map(|it| partition(it, view, reach))
                .collect(),
        )
}

fn partition(
    partition: PartitionView<'_>,
    view: &View<'_>,
    reach: &Reach,
) -> MetadataResponsePartition {
    let (mut replicas, mut isr) = (partition.replicas().to_vec(), partition.isr().to_vec());
    if view.version == 0 {
        replicas.retain(|id| reach.is_live(*id));
        isr.retain(|id| reach.is_live(*id));
    }
    let all_shown =
        replicas.len() == partition.replicas().len() && isr.len() == partition.isr().len();
    let leader = partition.leader().filter(|id| reach.get(*id).is_some());
    let leader_is_registered = partition
        .leader()
        .is_some_and(|id| view.image.broker(id).is_some());
    let error = match leader {
        Some(_) if all_shown => 0,
        Some(_) => ResponseError::ReplicaNotAvailable.code(),
        None if leader_is_registered && view.version >= 6 => ResponseError::ListenerNotFound.code(),
        None => ResponseError::LeaderNotAvailable.code(),
    };
    MetadataResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(partition.index())
        .with_leader_id(leader.unwrap_or(NO_BROKER))
        .with_leader_epoch(partition.leader_epoch())
        .with_replica_nodes(replicas)
        .with_isr_nodes(isr)
        .with_offline_replicas(offline_replicas(partition, view, reach))
}

/// The replicas whose broker is not registered, fenced or out of reach, or whose directory failed
/// (`KRaftMetadataCache.getOfflineReplicas`, 4.3.1).
pub(super) fn offline_replicas(
    partition: PartitionView<'_>,
    view: &View<'_>,
    reach: &Reach,
) -> Vec<BrokerId> {
    let (replicas, directories) = (partition.replicas(), partition.directories());
    let mut offline = Vec::new();
    for (id, directory) in replicas.iter().zip(directories.iter()) {
        let kept = view
            .image
            .broker(*id)
            .is_some_and(|broker| is_online(broker, *directory));
        if !kept || !reach.is_live(*id) {
            offline.push(*id);
        }
    }
    offline
}

#[cfg(test)]
mod tests;
