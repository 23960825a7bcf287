//! What a broker does and a controller does not: partitions' data and groups' coordination.
//!
//! A client that was bootstrapped at YAKt may try its first data or group request here. Each is
//! answered with the error that makes it refresh its metadata and go to the brokers:
//! NOT_LEADER_OR_FOLLOWER for data, NOT_COORDINATOR for groups and transactions, in the field where
//! that API's clients look for it (`KafkaApis` and the requests' `getErrorResponse`, 4.3.1).

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::describe_share_group_offsets_response::DescribeShareGroupOffsetsResponseGroup;
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::*;

use crate::api::Read;
use crate::rules::View;

const NOT_LEADER: i16 = ResponseError::NotLeaderOrFollower.code();
const NOT_COORDINATOR: i16 = ResponseError::NotCoordinator.code();

/// Most answers repeat the request's tree with an error in it.
fn each<T, U>(items: &[T], answer: impl Fn(&T) -> U) -> Vec<U> {
    items.iter().map(answer).collect()
}

impl Read for ProduceRequest {
    fn answer(&self, _view: &View<'_>) -> ProduceResponse {
        ProduceResponse::default().with_responses(each(&self.topic_data, |topic| {
            TopicProduceResponse::default()
                .with_name(topic.name.clone())
                .with_topic_id(topic.topic_id)
                .with_partition_responses(each(&topic.partition_data, |partition| {
                    PartitionProduceResponse::default()
                        .with_index(partition.index)
                        .with_error_code(NOT_LEADER)
                        .with_base_offset(-1)
                }))
        }))
    }

    /// A producer with `acks=0` reads no answer; a broker that refuses it closes the connection.
    fn expects_answer(&self) -> bool {
        self.acks != 0
    }
}

impl Read for ListOffsetsRequest {
    fn answer(&self, _view: &View<'_>) -> ListOffsetsResponse {
        ListOffsetsResponse::default().with_topics(each(&self.topics, |topic| {
            ListOffsetsTopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(each(&topic.partitions, |partition| {
                    ListOffsetsPartitionResponse::default()
                        .with_partition_index(partition.partition_index)
                        .with_error_code(NOT_LEADER)
                }))
        }))
    }
}

impl Read for DeleteRecordsRequest {
    fn answer(&self, _view: &View<'_>) -> DeleteRecordsResponse {
        DeleteRecordsResponse::default().with_topics(each(&self.topics, |topic| {
            DeleteRecordsTopicResult::default()
                .with_name(topic.name.clone())
                .with_partitions(each(&topic.partitions, |partition| {
                    DeleteRecordsPartitionResult::default()
                        .with_partition_index(partition.partition_index)
                        .with_low_watermark(-1)
                        .with_error_code(NOT_LEADER)
                }))
        }))
    }
}

impl Read for OffsetForLeaderEpochRequest {
    fn answer(&self, _view: &View<'_>) -> OffsetForLeaderEpochResponse {
        OffsetForLeaderEpochResponse::default().with_topics(each(&self.topics, |topic| {
            OffsetForLeaderTopicResult::default()
                .with_topic(topic.topic.clone())
                .with_partitions(each(&topic.partitions, |partition| {
                    EpochEndOffset::default()
                        .with_partition(partition.partition)
                        .with_error_code(NOT_LEADER)
                }))
        }))
    }
}

impl Read for DescribeProducersRequest {
    fn answer(&self, _view: &View<'_>) -> DescribeProducersResponse {
        use describe_producers_response::{PartitionResponse, TopicResponse};
        DescribeProducersResponse::default().with_topics(each(&self.topics, |topic| {
            TopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(each(&topic.partition_indexes, |index| {
                    PartitionResponse::default()
                        .with_partition_index(*index)
                        .with_error_code(NOT_LEADER)
                }))
        }))
    }
}

/// The APIs whose answer has one error for everything.
macro_rules! not_coordinator {
    ($($request:ty),* $(,)?) => { $(
        impl Read for $request {
            fn answer(&self, _view: &View<'_>) -> Self::Response {
                <Self::Response>::default().with_error_code(NOT_COORDINATOR)
            }
        }
    )* };
}

not_coordinator!(
    HeartbeatRequest,
    LeaveGroupRequest,
    SyncGroupRequest,
    OffsetDeleteRequest,
    ConsumerGroupHeartbeatRequest,
    ShareGroupHeartbeatRequest,
    AlterShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsRequest,
    AddOffsetsToTxnRequest,
    EndTxnRequest,
);

impl Read for JoinGroupRequest {
    fn answer(&self, view: &View<'_>) -> JoinGroupResponse {
        // "No protocol" became null in version 7.
        let no_protocol = if view.version >= 7 {
            None
        } else {
            Some("".into())
        };
        JoinGroupResponse::default()
            .with_error_code(NOT_COORDINATOR)
            .with_generation_id(-1)
            .with_protocol_name(no_protocol)
    }
}

impl Read for OffsetCommitRequest {
    fn answer(&self, _view: &View<'_>) -> OffsetCommitResponse {
        OffsetCommitResponse::default().with_topics(each(&self.topics, |topic| {
            OffsetCommitResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(each(&topic.partitions, |partition| {
                    OffsetCommitResponsePartition::default()
                        .with_partition_index(partition.partition_index)
                        .with_error_code(NOT_COORDINATOR)
                }))
        }))
    }
}

impl Read for OffsetFetchRequest {
    /// Version 1 has only errors of partitions, versions 2 to 7 one for all, later ones one a group.
    fn answer(&self, view: &View<'_>) -> OffsetFetchResponse {
        let response = OffsetFetchResponse::default();
        match view.version {
            ..=1 => {
                response.with_topics(each(self.topics.as_deref().unwrap_or_default(), |topic| {
                    OffsetFetchResponseTopic::default()
                        .with_name(topic.name.clone())
                        .with_partitions(each(&topic.partition_indexes, |index| {
                            OffsetFetchResponsePartition::default()
                                .with_partition_index(*index)
                                .with_committed_offset(-1)
                                .with_metadata(Some("".into()))
                                .with_error_code(NOT_COORDINATOR)
                        }))
                }))
            }
            2..=7 => response.with_error_code(NOT_COORDINATOR),
            _ => response.with_groups(each(&self.groups, |group| {
                OffsetFetchResponseGroup::default()
                    .with_group_id(group.group_id.clone())
                    .with_error_code(NOT_COORDINATOR)
            })),
        }
    }
}

impl Read for DescribeGroupsRequest {
    fn answer(&self, _view: &View<'_>) -> DescribeGroupsResponse {
        DescribeGroupsResponse::default().with_groups(each(&self.groups, |group| {
            describe_groups_response::DescribedGroup::default()
                .with_group_id(group.clone())
                .with_error_code(NOT_COORDINATOR)
        }))
    }
}

impl Read for ConsumerGroupDescribeRequest {
    fn answer(&self, _view: &View<'_>) -> ConsumerGroupDescribeResponse {
        ConsumerGroupDescribeResponse::default().with_groups(each(&self.group_ids, |group| {
            consumer_group_describe_response::DescribedGroup::default()
                .with_group_id(group.clone())
                .with_error_code(NOT_COORDINATOR)
        }))
    }
}

impl Read for ShareGroupDescribeRequest {
    fn answer(&self, _view: &View<'_>) -> ShareGroupDescribeResponse {
        ShareGroupDescribeResponse::default().with_groups(each(&self.group_ids, |group| {
            share_group_describe_response::DescribedGroup::default()
                .with_group_id(group.clone())
                .with_error_code(NOT_COORDINATOR)
        }))
    }
}

impl Read for DeleteGroupsRequest {
    fn answer(&self, _view: &View<'_>) -> DeleteGroupsResponse {
        DeleteGroupsResponse::default().with_results(each(&self.groups_names, |group| {
            DeletableGroupResult::default()
                .with_group_id(group.clone())
                .with_error_code(NOT_COORDINATOR)
        }))
    }
}

impl Read for DescribeShareGroupOffsetsRequest {
    fn answer(&self, _view: &View<'_>) -> DescribeShareGroupOffsetsResponse {
        DescribeShareGroupOffsetsResponse::default().with_groups(each(&self.groups, |group| {
            DescribeShareGroupOffsetsResponseGroup::default()
                .with_group_id(group.group_id.clone())
                .with_error_code(NOT_COORDINATOR)
        }))
    }
}

impl Read for AddPartitionsToTxnRequest {
    /// From version 4 on, one request may carry several transactions; before, its own fields do.
    fn answer(&self, view: &View<'_>) -> AddPartitionsToTxnResponse {
        let refuse = |topics: &[add_partitions_to_txn_request::AddPartitionsToTxnTopic]| {
            each(topics, |topic| {
                AddPartitionsToTxnTopicResult::default()
                    .with_name(topic.name.clone())
                    .with_results_by_partition(each(&topic.partitions, |index| {
                        AddPartitionsToTxnPartitionResult::default()
                            .with_partition_index(*index)
                            .with_partition_error_code(NOT_COORDINATOR)
                    }))
            })
        };
        let response = AddPartitionsToTxnResponse::default();
        if view.version < 4 {
            response.with_results_by_topic_v3_and_below(refuse(&self.v3_and_below_topics))
        } else {
            response.with_results_by_transaction(each(&self.transactions, |transaction| {
                AddPartitionsToTxnResult::default()
                    .with_transactional_id(transaction.transactional_id.clone())
                    .with_topic_results(refuse(&transaction.topics))
            }))
        }
    }
}

impl Read for TxnOffsetCommitRequest {
    fn answer(&self, _view: &View<'_>) -> TxnOffsetCommitResponse {
        TxnOffsetCommitResponse::default().with_topics(each(&self.topics, |topic| {
            TxnOffsetCommitResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(each(&topic.partitions, |partition| {
                    TxnOffsetCommitResponsePartition::default()
                        .with_partition_index(partition.partition_index)
                        .with_error_code(NOT_COORDINATOR)
                }))
        }))
    }
}

impl Read for DescribeTransactionsRequest {
    fn answer(&self, _view: &View<'_>) -> DescribeTransactionsResponse {
        DescribeTransactionsResponse::default().with_transaction_states(each(
            &self.transactional_ids,
            |id| {
                TransactionState::default()
                    .with_transactional_id(id.clone())
                    .with_error_code(NOT_COORDINATOR)
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::api::{find, testing};

    /// In every version that is advertised the answer holds this error, where a client reads it.
    #[track_caller]
    fn check<R: Read>(error: i16, request: R)
    where
        R::Response: Debug,
    {
        let row = find(R::KEY).expect("the API is in the table");
        for version in row.versions.clone() {
            let answer = format!("{:?}", testing::answer(&request, version));
            assert!(
                answer.contains(&format!("error_code: {error}")),
                "v{version}: {answer}"
            );
        }
    }

    #[test]
    fn data_is_with_the_leaders() {
        let topic = || TopicName("orders".into());
        check(
            6,
            ProduceRequest::default().with_topic_data(vec![
                produce_request::TopicProduceData::default()
                    .with_name(topic())
                    .with_partition_data(vec![produce_request::PartitionProduceData::default()]),
            ]),
        );
        check(
            6,
            ListOffsetsRequest::default().with_topics(vec![
                list_offsets_request::ListOffsetsTopic::default()
                    .with_name(topic())
                    .with_partitions(vec![list_offsets_request::ListOffsetsPartition::default()]),
            ]),
        );
        check(
            6,
            DeleteRecordsRequest::default().with_topics(vec![
                delete_records_request::DeleteRecordsTopic::default()
                    .with_name(topic())
                    .with_partitions(vec![
                        delete_records_request::DeleteRecordsPartition::default(),
                    ]),
            ]),
        );
        check(
            6,
            OffsetForLeaderEpochRequest::default().with_topics(vec![
                offset_for_leader_epoch_request::OffsetForLeaderTopic::default()
                    .with_topic(topic())
                    .with_partitions(vec![
                        offset_for_leader_epoch_request::OffsetForLeaderPartition::default(),
                    ]),
            ]),
        );
        check(
            6,
            DescribeProducersRequest::default().with_topics(vec![
                describe_producers_request::TopicRequest::default()
                    .with_name(topic())
                    .with_partition_indexes(vec![0]),
            ]),
        );
    }

    #[test]
    fn groups_are_with_their_coordinators() {
        let group = || GroupId("readers".into());
        let topic = || TopicName("orders".into());
        check(16, JoinGroupRequest::default());
        check(16, SyncGroupRequest::default());
        check(16, HeartbeatRequest::default());
        check(16, LeaveGroupRequest::default());
        check(16, OffsetDeleteRequest::default());
        check(16, ConsumerGroupHeartbeatRequest::default());
        check(16, ShareGroupHeartbeatRequest::default());
        check(16, AlterShareGroupOffsetsRequest::default());
        check(16, DeleteShareGroupOffsetsRequest::default());
        check(
            16,
            DescribeGroupsRequest::default().with_groups(vec![group()]),
        );
        check(
            16,
            DeleteGroupsRequest::default().with_groups_names(vec![group()]),
        );
        check(
            16,
            ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]),
        );
        check(
            16,
            ShareGroupDescribeRequest::default().with_group_ids(vec![group()]),
        );
        check(
            16,
            DescribeShareGroupOffsetsRequest::default().with_groups(vec![
                describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup::default(
                )
                .with_group_id(group()),
            ]),
        );
        check(
            16,
            OffsetCommitRequest::default().with_topics(vec![
                offset_commit_request::OffsetCommitRequestTopic::default()
                    .with_name(topic())
                    .with_partitions(vec![
                        offset_commit_request::OffsetCommitRequestPartition::default(),
                    ]),
            ]),
        );
        check(
            16,
            OffsetFetchRequest::default()
                .with_topics(Some(vec![
                    offset_fetch_request::OffsetFetchRequestTopic::default()
                        .with_name(topic())
                        .with_partition_indexes(vec![0]),
                ]))
                .with_groups(vec![
                    offset_fetch_request::OffsetFetchRequestGroup::default().with_group_id(group()),
                ]),
        );
    }

    #[test]
    fn transactions_are_with_their_coordinators() {
        let topic = || TopicName("orders".into());
        check(16, AddOffsetsToTxnRequest::default());
        check(16, EndTxnRequest::default());
        check(
            16,
            DescribeTransactionsRequest::default()
                .with_transactional_ids(vec![TransactionalId("t".into())]),
        );
        let topics = vec![
            add_partitions_to_txn_request::AddPartitionsToTxnTopic::default()
                .with_name(topic())
                .with_partitions(vec![0]),
        ];
        check(
            16,
            AddPartitionsToTxnRequest::default()
                .with_v3_and_below_topics(topics.clone())
                .with_transactions(vec![
                    add_partitions_to_txn_request::AddPartitionsToTxnTransaction::default()
                        .with_topics(topics),
                ]),
        );
        check(
            16,
            TxnOffsetCommitRequest::default().with_topics(vec![
                txn_offset_commit_request::TxnOffsetCommitRequestTopic::default()
                    .with_name(topic())
                    .with_partitions(vec![
                        txn_offset_commit_request::TxnOffsetCommitRequestPartition::default(),
                    ]),
            ]),
        );
    }

    #[test]
    fn a_producer_without_acks_reads_no_answer() {
        assert!(!ProduceRequest::default().with_acks(0).expects_answer());
        assert!(ProduceRequest::default().with_acks(-1).expects_answer());
        assert!(HeartbeatRequest::default().expects_answer());
    }
}
