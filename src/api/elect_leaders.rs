//! ElectLeaders (43): an operator wants partitions led by their first replica, or by anybody at all.
//!
//! Asked for all partitions, those that need no election are left out of the answer. Partitions named
//! twice are each judged as they were before the request. Version 0 knows preferred elections only
//! (`ReplicationControlManager.electLeaders`, 4.3.1).

use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::api::{Write, message};
use crate::ids::PartitionIndex;
use crate::image::PartitionView;
use crate::records::{PartitionChangeRecord, Record};
use crate::refusal::{self, Refusal};
use crate::rules::election::Election;
use crate::rules::electorate::Electorate;
use crate::rules::{Ctx, Decision, RECORDS_PER_DECISION_MAX};

impl Write for ElectLeadersRequest {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<ElectLeadersResponse>, Refusal> {
        let mut work = Elections {
            ctx,
            electorate: Electorate::of(ctx),
            election: election(self.election_type)?,
            records: Vec::new(),
        };
        let results = match &self.topic_partitions {
            Some(asked) => asked
                .iter()
                .map(|topic| work.some(&topic.topic, &topic.partitions))
                .collect::<Result<_, _>>()?,
            None => work.all()?,
        };
        let response = ElectLeadersResponse::default().with_replica_election_results(results);
        Ok(Decision::write(work.records, response))
    }

    fn refuse(&self, refusal: &Refusal) -> ElectLeadersResponse {
        let each = |topic: &kafka_protocol::messages::elect_leaders_request::TopicPartitions| {
            let partitions = topic.partitions.iter();
            let results = partitions.map(|index| result(*index, Err(refusal.clone())));
            topic_result(topic.topic.clone(), results.collect())
        };
        let asked = self.topic_partitions.iter().flatten();
        ElectLeadersResponse::default()
            .with_error_code(refusal.code())
            .with_replica_election_results(asked.map(each).collect())
    }

    fn timeout_ms(&self) -> Option<i32> {
        Some(self.timeout_ms)
    }
}

fn election(code: i8) -> Result<Election, Refusal> {
    match code {
        0 => Ok(Election::Preferred),
        1 => Ok(Election::Unclean),
        other => Err(refusal::invalid_request(format!(
            "Unknown election type {other}"
        ))),
    }
}

struct Elections<'a> {
    ctx: &'a Ctx<'a>,
    electorate: Electorate<'a>,
    election: Election,
    records: Vec<Record>,
}

impl Elections<'_> {
    /// The partitions that were asked for, each with its result.
    fn some(
        &mut self,
        name: &TopicName,
        partitions: &[PartitionIndex],
    ) -> Result<ReplicaElectionResult, Refusal> {
        let topic = self.ctx.view.image.topic_by_name(name);
        let mut results = Vec::with_capacity(partitions.len());
        for index in partitions {
            let partition = match topic {
                None => Err(refusal::no_such_topic(name)),
                Some(topic) => topic
                    .partition(*index)
                    .ok_or_else(|| refusal::no_such_partition(name, *index)),
            };
            let outcome = partition.and_then(|partition| self.elect(partition));
            results.push(result(*index, self.keep(outcome)?));
        }
        Ok(topic_result(name.clone(), results))
    }

    /// Every topic, with the partitions that were in need of an election.
    fn all(&mut self) -> Result<Vec<ReplicaElectionResult>, Refusal> {
        let mut topics = Vec::new();
        for topic in self.ctx.view.image.topics() {
            let mut results = Vec::new();
            for partition in topic.partitions() {
                if !self.needs_election(partition) {
                    continue;
                }
                let outcome = self.elect(partition);
                results.push(result(partition.index(), self.keep(outcome)?));
            }
            let name = TopicName(StrBytes::from_string(topic.name().to_owned()));
            topics.push(topic_result(name, results));
        }
        Ok(topics)
    }

    fn needs_election(&self, partition: PartitionView<'_>) -> bool {
        match self.election {
            Election::Preferred => partition.leader() != partition.preferred_leader(),
            _ => partition.leader().is_none(),
        }
    }

    fn elect(&self, view: PartitionView<'_>) -> Result<PartitionChangeRecord, Refusal> {
        if !self.needs_election(view) {
            return Err(refusal::election_not_needed());
        }
        let partition = view.to_owned();
        let record = self.electorate.change(view.topic(), &partition, |change| {
            change.election = self.election;
        });
        record.ok_or_else(|| match self.election {
            Election::Preferred => refusal::preferred_leader_not_available(),
            _ => refusal::eligible_leaders_not_available(),
        })
    }

    /// Keeps the record of an election that took place; too many end the request.
    fn keep(
        &mut self,
        outcome: Result<PartitionChangeRecord, Refusal>,
    ) -> Result<Result<(), Refusal>, Refusal> {
        match outcome {
            Err(refusal) => Ok(Err(refusal)),
            Ok(_) if self.records.len() >= RECORDS_PER_DECISION_MAX => {
                Err(refusal::too_many_records())
            }
            Ok(record) => {
                self.records.push(record.into());
                Ok(Ok(()))
            }
        }
    }
}

fn result(index: PartitionIndex, outcome: Result<(), Refusal>) -> PartitionResult {
    let (code, text) = match outcome {
        Ok(()) => (0, None),
        Err(refusal) => (refusal.code(), message(&refusal)),
    };
    PartitionResult::default()
        .with_partition_id(index)
        .with_error_code(code)
        .with_error_message(text)
}

fn topic_result(name: TopicName, results: Vec<PartitionResult>) -> ReplicaElectionResult {
    ReplicaElectionResult::default()
        .with_topic(name)
        .with_partition_result(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::scene::Scene;
    use kafka_protocol::messages::elect_leaders_request::TopicPartitions;

    /// a-0 is led by its first replica, a-1 could be, a-2 cannot be, a-3 is led by nobody.
    fn scene() -> Scene {
        Scene::new()
            .feature(crate::rules::features::ELR_VERSION, 0)
            .brokers(3)
            .topic("a", &[&[1, 2], &[1, 2], &[3, 1], &[3, 2]])
            .partition("a", 1, &[2, 1], 2, &[])
            .partition("a", 2, &[3, 1], 1, &[])
            .partition("a", 3, &[3], -1, &[])
            .fenced(&[3])
            .begin()
    }

    fn asked(topic: &'static str, partitions: &[i32]) -> Option<Vec<TopicPartitions>> {
        let topic = TopicName(StrBytes::from_static_str(topic));
        let asked = TopicPartitions::default().with_topic(topic);
        Some(vec![asked.with_partitions(partitions.to_vec())])
    }

    /// The results as `partition: code` and what was written.
    #[track_caller]
    fn check(
        election_type: i8,
        asked: Option<Vec<TopicPartitions>>,
        results: &[(i32, i16)],
        written: &[&str],
    ) {
        let mut scene = scene();
        let request = ElectLeadersRequest::default()
            .with_election_type(election_type)
            .with_topic_partitions(asked);
        let answer = scene.tell(&request, 2);
        let all = answer
            .replica_election_results
            .iter()
            .flat_map(|topic| &topic.partition_result);
        let found: Vec<_> = all
            .map(|result| (result.partition_id, result.error_code))
            .collect();
        assert!(
            answer
                .replica_election_results
                .iter()
                .flat_map(|topic| &topic.partition_result)
                .all(|result| (result.error_code == 0) == result.error_message.is_none()),
            "whoever succeeded has nothing to explain"
        );
        assert_eq!(found, results);
        assert_eq!(scene.written(), written);
    }

    #[test]
    fn preferred_elections() {
        let results = [(0, 84), (1, 0), (2, 80), (3, 80), (9, 3)];
        check(0, asked("a", &[0, 1, 2, 3, 9]), &results, &["a-1 leader=1"]);
        check(0, None, &[(1, 0), (2, 80), (3, 80)], &["a-1 leader=1"]);
        check(0, asked("b", &[0]), &[(0, 3)], &[]);
        check(
            0,
            asked("a", &[1, 1]),
            &[(1, 0), (1, 0)],
            &["a-1 leader=1", "a-1 leader=1"],
        );
    }

    #[test]
    fn unclean_elections() {
        let elected = ["a-3 isr=[2] leader=2 recovery=1"];
        check(1, asked("a", &[0, 3]), &[(0, 84), (3, 0)], &elected);
        check(1, None, &[(3, 0)], &elected);
    }

    #[test]
    fn an_unknown_type_is_refused_as_a_whole_and_for_each() {
        let request = ElectLeadersRequest::default()
            .with_election_type(7)
            .with_topic_partitions(asked("a", &[0]));
        let answer = scene().tell(&request, 2);
        assert_eq!(answer.error_code, 42);
        let result = &answer.replica_election_results[0].partition_result[0];
        assert_eq!(result.error_code, 42);
        assert_eq!(
            result.error_message.as_deref(),
            Some("Unknown election type 7")
        );
    }
}
