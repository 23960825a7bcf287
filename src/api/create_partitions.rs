//! CreatePartitions (37), v0 to v3 (`ReplicationControlManager.createPartitions`, 4.3.1).
//!
//! Adds partitions to topics, as many replicas each as the topic's first partition has. What is
//! placed already does not influence where the new ones go.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse, TopicName};

use super::{Write, message};
use crate::ids::BrokerId;
use crate::image::TopicView;
use crate::records::Record;
use crate::refusal::{self, Refusal};
use crate::rules::{Ctx, Decision, RECORDS_PER_DECISION_MAX, new_partitions};

impl Write for CreatePartitionsRequest {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<Self::Response>, Refusal> {
        let mut named: BTreeMap<&str, (&TopicName, u32)> = BTreeMap::new();
        for topic in &self.topics {
            named.entry(&topic.name).or_insert((&topic.name, 0)).1 += 1;
        }
        if named.len() > RECORDS_PER_DECISION_MAX {
            return Err(refusal::too_many_records());
        }
        let mut results = Vec::with_capacity(named.len());
        for (name, _) in named.values().filter(|(_, times)| *times > 1) {
            results.push(result(name, Some(&refusal::duplicate_topic_name())));
        }
        let mut records = Vec::new();
        for topic in self
            .topics
            .iter()
            .filter(|topic| named[topic.name.as_str()].1 == 1)
        {
            let room = RECORDS_PER_DECISION_MAX - records.len();
            let created = create(ctx, topic, room);
            results.push(result(&topic.name, created.as_ref().err()));
            records.extend(created.into_iter().flatten());
        }
        if self.validate_only {
            records.clear();
        }
        Ok(Decision::write(
            records,
            CreatePartitionsResponse::default().with_results(results),
        ))
    }

    fn refuse(&self, refusal: &Refusal) -> Self::Response {
        let results = self
            .topics
            .iter()
            .map(|topic| result(&topic.name, Some(refusal)));
        CreatePartitionsResponse::default().with_results(results.collect())
    }

    fn timeout_ms(&self) -> Option<i32> {
        Some(self.timeout_ms)
    }
}

fn result(name: &TopicName, refusal: Option<&Refusal>) -> CreatePartitionsTopicResult {
    // Kafka has no sentence here where the code says it all.
    let says_more = |it: &&Refusal| it.code != ResponseError::UnknownTopicOrPartition;
    CreatePartitionsTopicResult::default()
        .with_name(name.clone())
        .with_error_code(refusal.map_or(0, Refusal::code))
        .with_error_message(refusal.filter(says_more).and_then(message))
}

/// The records of one topic's new partitions, at most `room`: Kafka would write the first of too
/// many and then fail.
fn create(
    ctx: &Ctx<'_>,
    request: &CreatePartitionsTopic,
    room: usize,
) -> Result<Vec<Record>, Refusal> {
    let topic = ctx
        .image
        .topic_by_name(&request.name)
        .ok_or_else(refusal::unknown_topic)?;
    let additional = additional(&topic, request)?;
    if let Some(assignments) = &request.assignments
        && assignments.len() != additional
    {
        return Err(new_partitions::assignment(format!(
            "Attempted to add {additional} additional partition(s), but only {} assignment(s) were \
             specified.",
            assignments.len()
        )));
    }
    if additional > room {
        return Err(refusal::too_many_records());
    }
    let placed = place(ctx, &topic, request, additional)?;
    let mut records = Vec::with_capacity(additional);
    for (index, replicas) in (topic.next_partition_index()..).zip(placed) {
        let replication_factor = replicas.len();
        let record = new_partitions::record(ctx, topic.id(), index, replicas);
        let record = record.ok_or_else(|| match request.assignments {
            Some(_) => new_partitions::none_active_by_hand(index),
            None => new_partitions::none_active(replication_factor),
        })?;
        records.push(record.into());
    }
    Ok(records)
}

/// How many partitions are to be added.
fn additional(topic: &TopicView<'_>, request: &CreatePartitionsTopic) -> Result<usize, Refusal> {
    let (has, wanted) = (topic.partition_count(), i64::from(request.count));
    match wanted - has as i64 {
        0 => Err(invalid_partitions(format!(
            "Topic already has {has} partition(s)."
        ))),
        more if more < 0 => Err(invalid_partitions(format!(
            "The topic {} currently has {has} partition(s); {wanted} would not be an increase.",
            topic.name()
        ))),
        more => Ok(more as usize),
    }
}

/// The replicas of each new partition. A topic that has no partition yet, as HTTP can make it, gets
/// the default replication factor.
fn place(
    ctx: &Ctx<'_>,
    topic: &TopicView<'_>,
    request: &CreatePartitionsTopic,
    additional: usize,
) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    let mut factor = topic
        .partitions()
        .next()
        .map(|partition| partition.replicas().len());
    let Some(assignments) = &request.assignments else {
        let factor = factor.map_or(ctx.settings.default_replication_factor, |it| it as i16);
        return new_partitions::racks(ctx).place(additional, factor, ctx.dice);
    };
    for assignment in assignments {
        new_partitions::check_assignment(ctx, &assignment.broker_ids, factor)?;
        factor = Some(assignment.broker_ids.len());
    }
    Ok(assignments
        .iter()
        .map(|assignment| assignment.broker_ids.clone())
        .collect())
}

fn invalid_partitions(text: String) -> Refusal {
    Refusal::new(ResponseError::InvalidPartitions, text)
}
