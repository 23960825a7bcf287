//! DescribeTopicPartitions (75): topics page by page, with eligible leader replicas.
//!
//! As a broker answers it (`DescribeTopicPartitionsRequestHandler` and
//! `KRaftMetadataCache.describeTopicResponse`, 4.3.1): topics in name order, from the cursor on, up
//! to a limit of partitions; where more are left, a cursor says where to go on. What a client is told
//! of nodes is as in [`super::metadata`].

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};

use crate::api::metadata::{self, topic_name};
use crate::api::{Read, authorized};
use crate::ids::{NO_BROKER, PartitionIndex};
use crate::image::{PartitionView, TopicView};
use crate::rules::nodes::Reach;
use crate::rules::{View, names};

/// `max.request.partition.size.limit`: most partitions in one answer.
const PARTITIONS_MAX: usize = 2000;

impl Read for DescribeTopicPartitionsRequest {
    fn answer(&self, view: &View<'_>) -> DescribeTopicPartitionsResponse {
        let (start_topic, start_index) = match &self.cursor {
            Some(cursor) => (cursor.topic_name.as_str(), cursor.partition_index),
            None => ("", 0),
        };
        let asked: BTreeSet<&str> = self
            .topics
            .iter()
            .map(|topic| topic.name.as_str())
            .collect();
        let is_asked = asked.is_empty() || self.cursor.is_none() || asked.contains(start_topic);
        if start_index < 0 || !is_asked {
            return refused(self);
        }
        let mut page = Page {
            view,
            reach: Reach::of(view),
            left: usize::try_from(self.response_partition_limit)
                .unwrap_or(0)
                .clamp(1, PARTITIONS_MAX),
            response: DescribeTopicPartitionsResponse::default(),
        };
        if asked.is_empty() {
            for topic in view.image.topics_from(start_topic) {
                let start = if topic.name() == start_topic {
                    start_index
                } else {
                    0
                };
                if !page.add(topic, start) {
                    break;
                }
            }
        } else {
            for name in asked.range(start_topic..) {
                let start = if *name == start_topic { start_index } else { 0 };
                let goes_on = match view.image.topic_by_name(name) {
                    Some(topic) => page.add(topic, start),
                    None => page.add_missing(name),
                };
                if !goes_on {
                    break;
                }
            }
        }
        page.response
    }
}

/// An answer while it is filled.
struct Page<'a> {
    view: &'a View<'a>,
    reach: Reach,
    /// Partitions that still fit.
    left: usize,
    response: DescribeTopicPartitionsResponse,
}

impl Page<'_> {
    /// Adds a topic from this partition on, as far as it fits. `false`: the page is full.
    fn add(&mut self, topic: TopicView<'_>, start: PartitionIndex) -> bool {
        if self.left == 0 {
            self.go_on_at(topic.name(), 0);
            return false;
        }
        let mut rest = topic.partitions().skip_while(|it| it.index() < start);
        let shown: Vec<_> = rest
            .by_ref()
            .take(self.left)
            .map(|it| partition(it, self.view, &self.reach))
            .collect();
        self.left -= shown.len();
        self.response.topics.push(
            DescribeTopicPartitionsResponseTopic::default()
                .with_name(Some(topic_name(topic.name())))
                .with_topic_id(topic.id())
                .with_is_internal(names::is_internal(topic.name()))
                .with_partitions(shown)
                .with_topic_authorized_operations(authorized::ON_TOPIC),
        );
        if let Some(next) = rest.next() {
            self.go_on_at(topic.name(), next.index());
            return false;
        }
        true
    }

    /// Adds a name that no topic has. `false`: the page is full.
    fn add_missing(&mut self, name: &str) -> bool {
        if self.left == 0 {
            self.go_on_at(name, 0);
            return false;
        }
        let error = names::check_topic_name(name).map_or_else(
            |refusal| refusal.code,
            |()| ResponseError::UnknownTopicOrPartition,
        );
        self.response.topics.push(
            DescribeTopicPartitionsResponseTopic::default()
                .with_error_code(error.code())
                .with_name(Some(topic_name(name)))
                .with_is_internal(names::is_internal(name))
                .with_topic_authorized_operations(authorized::ON_TOPIC),
        );
        true
    }

    fn go_on_at(&mut self, name: &str, index: PartitionIndex) {
        let cursor = Cursor::default()
            .with_topic_name(topic_name(name))
            .with_partition_index(index);
        self.response.next_cursor = Some(cursor);
    }
}

fn partition(
    partition: PartitionView<'_>,
    view: &View<'_>,
    reach: &Reach,
) -> DescribeTopicPartitionsResponsePartition {
    let leader = partition.leader().filter(|id| reach.get(*id).is_some());
    DescribeTopicPartitionsResponsePartition::default()
        .with_partition_index(partition.index())
        .with_leader_id(leader.unwrap_or(NO_BROKER))
        .with_leader_epoch(partition.leader_epoch())
        .with_replica_nodes(partition.replicas().to_vec())
        .with_isr_nodes(partition.isr().to_vec())
        .with_eligible_leader_replicas(Some(partition.elr().to_vec()))
        .with_last_known_elr(Some(partition.last_known_elr().to_vec()))
        .with_offline_replicas(metadata::offline_replicas(partition, view, reach))
}

/// INVALID_REQUEST for every topic asked for: the API has no error of its own.
fn refused(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter().map(|topic| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_error_code(ResponseError::InvalidRequest.code())
            .with_name(Some(topic.name.clone()))
            .with_is_internal(false)
    });
    DescribeTopicPartitionsResponse::default().with_topics(topics.collect())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_topic_partitions_request::{
        Cursor as Start, TopicRequest,
    };

    use super::*;
    use crate::api::testing::{World, broker, partition, topic};

    fn world() -> World {
        let mut records = vec![
            broker(1),
            broker(2),
            topic("a", 10),
            topic("b", 11),
            topic("c", 12),
        ];
        records.extend((0..3).map(|index| partition(10, index, &[1, 2])));
        records.extend((0..2).map(|index| partition(12, index, &[2])));
        World::of(records)
    }

    /// `topic!error:first..last` for each, then the cursor.
    #[track_caller]
    fn check(names: &[&str], limit: i32, cursor: Option<(&str, i32)>, expect: &str) {
        let named = |name: &&str| TopicRequest::default().with_name(topic_name(name));
        let start = |(name, index)| {
            Start::default()
                .with_topic_name(topic_name(name))
                .with_partition_index(index)
        };
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(names.iter().map(named).collect())
            .with_response_partition_limit(limit)
            .with_cursor(cursor.map(start));
        let response = world().answer(&request, 0);
        let mut told = Vec::new();
        for topic in &response.topics {
            let name = topic.name.as_ref().expect("a name").as_str();
            let shown: Vec<_> = topic
                .partitions
                .iter()
                .map(|it| it.partition_index.to_string())
                .collect();
            told.push(format!("{name}!{}:{}", topic.error_code, shown.join(",")));
        }
        if let Some(next) = response.next_cursor {
            told.push(format!(
                "-> {} {}",
                next.topic_name.as_str(),
                next.partition_index
            ));
        }
        assert_eq!(told.join(" "), expect);
    }

    #[test]
    fn topics_come_page_by_page() {
        check(&[], 2000, None, "a!0:0,1,2 b!0: c!0:0,1");
        check(&[], 2, None, "a!0:0,1 -> a 2");
        check(&[], 2, Some(("a", 2)), "a!0:2 b!0: c!0:0 -> c 1");
        check(&[], 2, Some(("c", 1)), "c!0:1");
        check(&[], 3, None, "a!0:0,1,2 -> b 0");
        check(&[], -5, Some(("b", 0)), "b!0: c!0:0 -> c 1");
        check(&[], 9, Some(("bb", 0)), "c!0:0,1");
    }

    #[test]
    fn named_topics_come_in_order_and_the_cursor_is_one_of_them() {
        check(
            &["c", "nosuch", "a", "bad name"],
            9,
            None,
            "a!0:0,1,2 bad name!17: c!0:0,1 nosuch!3:",
        );
        check(
            &["c", "nosuch", "a"],
            5,
            None,
            "a!0:0,1,2 c!0:0,1 -> nosuch 0",
        );
        check(&["c", "nosuch"], 9, Some(("nosuch", 0)), "nosuch!3:");
        check(&["c"], 9, Some(("a", 0)), "c!42:");
        check(&["c"], 9, Some(("c", -1)), "c!42:");
    }

    #[test]
    fn a_partition_tells_all_a_broker_tells() {
        let request = DescribeTopicPartitionsRequest::default().with_response_partition_limit(1);
        let response = world().answer(&request, 0);
        let told = &response.topics[0];
        assert_eq!(
            (told.topic_authorized_operations, told.is_internal),
            (3576, false)
        );
        let ids = |ids: &[i32]| {
            ids.iter()
                .copied()
                .map(kafka_protocol::messages::BrokerId)
                .collect()
        };
        let expect = DescribeTopicPartitionsResponsePartition::default()
            .with_leader_id(1.into())
            .with_leader_epoch(7)
            .with_replica_nodes(ids(&[1, 2]))
            .with_isr_nodes(ids(&[1, 2]))
            .with_eligible_leader_replicas(Some(vec![]))
            .with_last_known_elr(Some(vec![]));
        assert_eq!(told.partitions, [expect]);
    }
}
