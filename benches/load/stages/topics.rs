//! The requests of which loads are made.

use anyhow::Result;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, CreateTopicsRequest,
    CreateTopicsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::client::ok;
use crate::fleet::Broker;
use crate::pressure::Job;

/// Copies of every partition.
const REPLICAS: i16 = 3;
const TIMEOUT_MS: i32 = 20_000;

/// Creates topics: in each request so many, with so many partitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Create {
    pub(super) topics: u64,
    pub(super) partitions: i32,
}

/// One topic of one partition.
pub(super) const ONE: Create = Create {
    topics: 1,
    partitions: 1,
};

/// The name of one topic in one request.
pub(super) fn name(number: u64, topic: u64) -> String {
    format!("bench-{number}-{topic}-topic")
}

impl Job for Create {
    type Request = CreateTopicsRequest;

    fn request(self, number: u64) -> CreateTopicsRequest {
        let topics = (0..self.topics).map(|topic| {
            CreatableTopic::default()
                .with_name(TopicName(StrBytes::from_string(name(number, topic))))
                .with_num_partitions(self.partitions)
                .with_replication_factor(REPLICAS)
        });
        CreateTopicsRequest::default()
            .with_topics(topics.collect())
            .with_timeout_ms(TIMEOUT_MS)
    }

    fn check(self, answer: &CreateTopicsResponse) -> Result<()> {
        let mut topics = answer.topics.iter();
        topics.try_for_each(|topic| ok(topic.error_code))
    }
}

/// Asks for blocks of producer ids, for one broker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allocate(pub(super) Broker);

impl Job for Allocate {
    type Request = AllocateProducerIdsRequest;

    fn request(self, _: u64) -> AllocateProducerIdsRequest {
        self.0.allocation()
    }

    fn check(self, answer: &AllocateProducerIdsResponse) -> Result<()> {
        ok(answer.error_code)
    }
}
