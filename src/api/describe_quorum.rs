//! DescribeQuorum (55): who votes, who watches, and how far each has come.
//!
//! Only the leader knows, so every other node answers NOT_LEADER_OR_FOLLOWER and the client looks
//! for the leader (`KafkaRaftClient.handleDescribeQuorumRequest`, 4.3.1). Version 2 adds directory
//! ids, messages and the voters' listeners.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{DescribeQuorumRequest, DescribeQuorumResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::api::Read;
use crate::ids::{self, METADATA_TOPIC, NO_BROKER, QuorumView, Voter};
use crate::rules::View;

impl Read for DescribeQuorumRequest {
    fn answer(&self, view: &View<'_>) -> DescribeQuorumResponse {
        if !asks_for_the_metadata_partition(self) {
            return echo(self, ResponseError::UnknownTopicOrPartition);
        }
        let quorum = view.quorum;
        if quorum.leader.is_none_or(|leader| leader != quorum.node_id) {
            return echo(self, ResponseError::NotLeaderOrFollower);
        }
        let (voters, observers) = replicas(quorum, view.image.end_offset(), view.version);
        let partition = PartitionData::default()
            .with_leader_id(quorum.leader.unwrap_or(NO_BROKER))
            .with_leader_epoch(quorum.epoch)
            .with_high_watermark(if quorum.active {
                view.image.end_offset()
            } else {
                -1
            })
            .with_current_voters(voters)
            .with_observers(observers);
        let response = DescribeQuorumResponse::default().with_topics(vec![
            TopicData::default()
                .with_topic_name(TopicName(METADATA_TOPIC.into()))
                .with_partitions(vec![partition]),
        ]);
        if view.version < 2 {
            return response;
        }
        response.with_nodes(quorum.voters.iter().map(node).collect())
    }
}

/// Exactly `__cluster_metadata`-0, as Kafka demands.
fn asks_for_the_metadata_partition(request: &DescribeQuorumRequest) -> bool {
    let [topic] = request.topics.as_slice() else {
        return false;
    };
    let [partition] = topic.partitions.as_slice() else {
        return false;
    };
    topic.topic_name.as_str() == METADATA_TOPIC && partition.partition_index == 0
}

/// The partitions that were asked for, each with this error.
fn echo(request: &DescribeQuorumRequest, error: ResponseError) -> DescribeQuorumResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            PartitionData::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error.code())
        });
        TopicData::default()
            .with_topic_name(topic.topic_name.clone())
            .with_partitions(partitions.collect())
    });
    DescribeQuorumResponse::default().with_topics(topics.collect())
}

/// Voters in the order of the voter set, each with a row even where nothing is known of it, and
/// after them whoever else fetches.
fn replicas(
    quorum: &QuorumView,
    end_offset: ids::Offset,
    version: i16,
) -> (Vec<ReplicaState>, Vec<ReplicaState>) {
    let is_voter = |state: &ids::ReplicaState| {
        quorum
            .voters
            .iter()
            .any(|voter| is_replica_of(voter, state))
    };
    let voters = quorum.voters.iter().map(|voter| {
        let known = quorum
            .replicas
            .iter()
            .find(|state| is_replica_of(voter, state));
        let mut state = known.cloned().unwrap_or(ids::ReplicaState {
            id: voter.id,
            directory_id: voter.directory_id,
            end_offset: -1,
            last_fetch_ms: -1,
            last_caught_up_ms: -1,
        });
        if quorum.leader == Some(voter.id) {
            // The leader's own log ends where its image does, or behind it.
            state.end_offset = state.end_offset.max(end_offset);
        }
        row(&state, version)
    });
    let observers = quorum
        .replicas
        .iter()
        .filter(|state| !is_voter(state))
        .map(|state| row(state, version));
    (voters.collect(), observers.collect())
}

/// A voter is a pair of ids; one whose directory id is not known yet is known by the first alone.
fn is_replica_of(voter: &Voter, state: &ids::ReplicaState) -> bool {
    voter.id == state.id
        && (voter.directory_id == state.directory_id || voter.directory_id.is_nil())
}

fn row(state: &ids::ReplicaState, version: i16) -> ReplicaState {
    let row = ReplicaState::default()
        .with_replica_id(state.id)
        .with_log_end_offset(state.end_offset);
    if version < 1 {
        return row;
    }
    let row = row
        .with_last_fetch_timestamp(state.last_fetch_ms)
        .with_last_caught_up_timestamp(state.last_caught_up_ms);
    if version < 2 {
        return row;
    }
    row.with_replica_directory_id(state.directory_id)
}

fn node(voter: &Voter) -> Node {
    let listeners = voter.endpoints.iter().map(|endpoint| {
        Listener::default()
            .with_name(StrBytes::from_string(endpoint.name.clone()))
            .with_host(StrBytes::from_string(endpoint.host.clone()))
            .with_port(endpoint.port)
    });
    Node::default()
        .with_node_id(voter.id)
        .with_listeners(listeners.collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kafka_protocol::messages::describe_quorum_request;

    use super::*;
    use crate::api::testing::{World, broker};
    use crate::ids::{BrokerId, Uuid};

    fn ask(topic: &str, partitions: &[i32]) -> DescribeQuorumRequest {
        let partition = |index: &i32| {
            describe_quorum_request::PartitionData::default().with_partition_index(*index)
        };
        DescribeQuorumRequest::default().with_topics(vec![
            describe_quorum_request::TopicData::default()
                .with_topic_name(TopicName(StrBytes::from_string(topic.to_owned())))
                .with_partitions(partitions.iter().map(partition).collect()),
        ])
    }

    fn state(id: i32, directory: u128, end_offset: i64) -> ids::ReplicaState {
        ids::ReplicaState {
            id: BrokerId(id),
            directory_id: Uuid::from_u128(directory),
            end_offset,
            last_fetch_ms: 50,
            last_caught_up_ms: 40,
        }
    }

    #[test]
    fn the_leader_tells_of_voters_and_observers() {
        let mut world = World::of(vec![broker(1), broker(2)]);
        let response = world.answer(&ask(METADATA_TOPIC, &[0]), 2);
        let told = &response.topics[0].partitions[0];
        assert_eq!(
            (told.leader_id.0, told.leader_epoch, told.high_watermark),
            (3000, 4, 2)
        );
        assert_eq!((told.current_voters.len(), told.observers.len()), (1, 0));
        assert_eq!(told.current_voters[0].log_end_offset, 2);
        assert_eq!(told.current_voters[0].last_fetch_timestamp, -1);
        assert_eq!(response.nodes.len(), 1);
        assert_eq!(response.nodes[0].listeners[0].port, 9093);

        // A node under a voter's id but with another directory is an observer.
        world.quorum.replicas = Arc::new(vec![
            state(3000, 3000, 2),
            state(1, 9, 1),
            state(3000, 5, 0),
        ]);
        let response = world.answer(&ask(METADATA_TOPIC, &[0]), 2);
        let told = &response.topics[0].partitions[0];
        let ends = |states: &[ReplicaState]| {
            states
                .iter()
                .map(|it| (it.replica_id.0, it.log_end_offset))
                .collect::<Vec<_>>()
        };
        assert_eq!(ends(&told.current_voters), [(3000, 2)]);
        assert_eq!(ends(&told.observers), [(1, 1), (3000, 0)]);
        assert_eq!(told.observers[0].last_caught_up_timestamp, 40);

        world.quorum.active = false;
        let response = world.answer(&ask(METADATA_TOPIC, &[0]), 1);
        assert_eq!(response.topics[0].partitions[0].high_watermark, -1);
        world.answer(&ask(METADATA_TOPIC, &[0]), 0);
    }

    #[test]
    fn others_and_other_partitions_are_refused() {
        #[track_caller]
        fn check(world: &World, request: DescribeQuorumRequest, expect: &[i16]) {
            let response = world.answer(&request, 1);
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            assert_eq!(
                partitions.map(|it| it.error_code).collect::<Vec<_>>(),
                expect
            );
        }
        let mut world = World::of(vec![]);
        check(&world, ask("orders", &[0]), &[3]);
        check(&world, ask(METADATA_TOPIC, &[0, 1]), &[3, 3]);
        check(&world, DescribeQuorumRequest::default(), &[]);
        world.lead(3001, "10.0.0.7");
        check(&world, ask(METADATA_TOPIC, &[0]), &[6]);
        world.quorum.leader = None;
        check(&world, ask(METADATA_TOPIC, &[0]), &[6]);
    }
}
