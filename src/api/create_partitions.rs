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

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::create_partitions_request::CreatePartitionsAssignment;
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::rules::scene::{Scene, ids, numbers};

    /// `NAME COUNT`, then the assignments as `1,2`; `-` stands for none at all.
    fn topic(text: &str) -> CreatePartitionsTopic {
        let mut words = text.split(' ');
        let name = StrBytes::from_string(words.next().unwrap_or_default().to_owned());
        let count = words.next().unwrap_or_default().parse().unwrap();
        let assignment = |word: &str| {
            let brokers: Vec<i32> = word.split(',').map(|id| id.parse().unwrap()).collect();
            CreatePartitionsAssignment::default().with_broker_ids(ids(&brokers))
        };
        let words: Vec<&str> = words.collect();
        let by_hand = !words.is_empty();
        let assignments = words
            .into_iter()
            .filter(|word| *word != "-")
            .map(assignment);
        let assignments: Vec<_> = assignments.collect();
        CreatePartitionsTopic::default()
            .with_name(TopicName(name))
            .with_count(count)
            .with_assignments(by_hand.then_some(assignments))
    }

    fn request(topics: &[&str]) -> CreatePartitionsRequest {
        let topics = topics.iter().map(|text| topic(text)).collect();
        CreatePartitionsRequest::default().with_topics(topics)
    }

    fn scene() -> Scene {
        Scene::new()
            .brokers(3)
            .topic("a", &[&[1, 2], &[2, 3]])
            .topic("b", &[&[1]])
    }

    /// Adds partitions and compares the codes and what was written, as `INDEX:REPLICAS`.
    #[track_caller]
    fn check(topics: &[&str], codes: &[i16], written: &[&str]) {
        let decision = request(topics).decide(&scene().ctx(3)).unwrap();
        let found: Vec<i16> = decision
            .response
            .results
            .iter()
            .map(|it| it.error_code)
            .collect();
        assert_eq!(found, codes, "{topics:?}: {:?}", decision.response);
        let line = |record: &Record| match record {
            Record::Partition(it) => format!("{}:{:?}", it.partition_id, numbers(&it.replicas)),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            decision.records.iter().map(line).collect::<Vec<_>>(),
            written,
            "{topics:?}"
        );
    }

    #[test]
    fn by_hand() {
        check(&["a 4 3,1 1,2"], &[0], &["2:[3, 1]", "3:[1, 2]"]);
        for (text, code) in [
            ("nosuch 2", 3),
            ("a 2", 37),
            ("a 1", 37),
            ("a -1", 37),
            ("a 4 1,2", 39),
            ("a 3 -", 39),
            ("a 3 1", 39),
            ("a 3 1,1", 39),
            ("a 3 1,9", 39),
        ] {
            check(&[text], &[code], &[]);
        }
        check(&["a 3 1,2", "b 2 3", "b 3 1"], &[42, 0], &["2:[1, 2]"]);
    }

    #[test]
    fn placed_with_as_many_replicas_as_before() {
        let decision = request(&["a 12", "b 3"]).decide(&scene().ctx(3)).unwrap();
        let factor = |record: &Record| match record {
            Record::Partition(it) => it.replicas.len(),
            other => panic!("{other:?}"),
        };
        let factors: Vec<usize> = decision.records.iter().map(factor).collect();
        assert_eq!(factors, [vec![2; 10], vec![1; 2]].concat());
    }

    #[test]
    fn fenced_brokers() {
        let scene = scene().fenced(&[1]);
        let decision = request(&["a 3 1,2", "b 2 1"])
            .decide(&scene.ctx(3))
            .unwrap();
        let codes: Vec<i16> = decision
            .response
            .results
            .iter()
            .map(|it| it.error_code)
            .collect();
        assert_eq!(codes, [0, 39]);
        let Record::Partition(partition) = &decision.records[0] else {
            panic!("a partition")
        };
        assert_eq!(numbers(&partition.isr), [2]);
        let decision = request(&["b 2"])
            .decide(&scene.fenced(&[2, 3]).ctx(3))
            .unwrap();
        assert_eq!(decision.response.results[0].error_code, 38);
    }

    #[test]
    fn too_many_partitions_are_none() {
        let decision = request(&["a 10003", "b 10001"])
            .decide(&scene().ctx(3))
            .unwrap();
        let codes: Vec<i16> = decision
            .response
            .results
            .iter()
            .map(|it| it.error_code)
            .collect();
        assert_eq!((codes, decision.records.len()), (vec![44, 0], 10_000));
    }

    #[test]
    fn validating_only_writes_nothing() {
        let request = request(&["a 3", "b 1"]).with_validate_only(true);
        let decision = request.decide(&scene().ctx(3)).unwrap();
        let codes: Vec<i16> = decision
            .response
            .results
            .iter()
            .map(|it| it.error_code)
            .collect();
        assert_eq!((codes, decision.records.len()), (vec![0, 37], 0));
    }
}
