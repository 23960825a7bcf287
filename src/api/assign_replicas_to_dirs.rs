//! AssignReplicasToDirs (73): a broker with several log directories says which one holds a replica.
//!
//! A directory that the controller does not know to be online counts as failed: the assignment is
//! stored, and the broker leaves the ISR and leadership of these partitions
//! (`ReplicationControlManager.handleAssignReplicasToDirs`, 4.3.1).

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::assign_replicas_to_dirs_response as response;
use kafka_protocol::messages::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse};

use crate::api::Write;
use crate::ids::{BrokerId, PartitionIndex, TopicId, Uuid};
use crate::image::Broker;
use crate::records::Record;
use crate::refusal::{self, Refusal};
use crate::rules::election::Election;
use crate::rules::electorate::{Electorate, is_online, metadata_version};
use crate::rules::features::gate;
use crate::rules::{Ctx, Decision, brokers};

impl Write for AssignReplicasToDirsRequest {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<AssignReplicasToDirsResponse>, Refusal> {
        if metadata_version(ctx.image) < gate::DIRECTORIES {
            return Err(refusal::unsupported_version(
                "Directory assignment is not supported yet.",
            ));
        }
        let broker = brokers::registered(ctx, self.broker_id, self.broker_epoch)?;
        let mut work = Assignment {
            ctx,
            broker,
            electorate: Electorate::of(ctx),
            records: Vec::new(),
            failed: BTreeSet::new(),
        };
        let mut directories = Vec::with_capacity(self.directories.len());
        for directory in &self.directories {
            let mut topics = Vec::with_capacity(directory.topics.len());
            for topic in &directory.topics {
                let partitions = topic.partitions.iter().map(|partition| {
                    let index = partition.partition_index;
                    let outcome = work.assign(directory.id, topic.topic_id, index);
                    response::PartitionData::default()
                        .with_partition_index(index)
                        .with_error_code(outcome.err().map_or(0, |error| error.code()))
                });
                let answer = response::TopicData::default().with_topic_id(topic.topic_id);
                topics.push(answer.with_partitions(partitions.collect()));
            }
            let answer = response::DirectoryData::default().with_id(directory.id);
            directories.push(answer.with_topics(topics));
        }
        work.leave_failed();
        let response = AssignReplicasToDirsResponse::default().with_directories(directories);
        Ok(Decision::write(work.records, response))
    }

    fn refuse(&self, refusal: &Refusal) -> AssignReplicasToDirsResponse {
        AssignReplicasToDirsResponse::default().with_error_code(refusal.code())
    }

    fn broker(&self) -> Option<BrokerId> {
        Some(self.broker_id)
    }
}

struct Assignment<'a> {
    ctx: &'a Ctx<'a>,
    broker: &'a Broker,
    electorate: Electorate<'a>,
    records: Vec<Record>,
    /// Partitions whose replica is now known to be in a directory that is not online.
    failed: BTreeSet<(TopicId, PartitionIndex)>,
}

impl Assignment<'_> {
    fn assign(
        &mut self,
        directory: Uuid,
        topic_id: TopicId,
        index: PartitionIndex,
    ) -> Result<(), ResponseError> {
        let topic = self
            .ctx
            .view
            .image
            .topic(topic_id)
            .ok_or(ResponseError::UnknownTopicId)?;
        let view = topic
            .partition(index)
            .ok_or(ResponseError::UnknownTopicOrPartition)?;
        let partition = view.to_owned();
        if !partition.replicas.contains(&self.broker.id) {
            return Err(ResponseError::NotLeaderOrFollower);
        }
        let record = self.electorate.change(topic, &partition, |change| {
            change.directory = Some((self.broker.id, directory));
            change.election = Election::Online;
        });
        self.records.extend(record.map(Record::from));
        if !is_online(self.broker, directory) {
            self.failed.insert((topic_id, index));
        }
        Ok(())
    }

    /// As if the directory had failed just now. Decided, as in Kafka, on the partitions as they were
    /// before the request: the records before these change directories only.
    fn leave_failed(&mut self) {
        let electorate = Electorate::of(self.ctx).without(self.broker.id);
        for (topic_id, index) in &self.failed {
            let Some(view) = self.ctx.view.image.partition(*topic_id, *index) else {
                continue;
            };
            let partition = view.to_owned();
            let record = electorate.change(view.topic(), &partition, |change| {
                change.leave_isr(self.broker.id);
            });
            self.records.extend(record.map(Record::from));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::scene::{Scene, directory_id, topic_id};
    use kafka_protocol::messages::assign_replicas_to_dirs_request as ask;

    fn request(
        scene: &Scene,
        directory: Uuid,
        topic: &str,
        index: i32,
    ) -> AssignReplicasToDirsRequest {
        let partition = ask::PartitionData::default().with_partition_index(index);
        let topic = ask::TopicData::default()
            .with_topic_id(topic_id(topic))
            .with_partitions(vec![partition]);
        let directory = ask::DirectoryData::default()
            .with_id(directory)
            .with_topics(vec![topic]);
        let broker = scene.image.broker(BrokerId(1)).expect("it is on the scene");
        AssignReplicasToDirsRequest::default()
            .with_broker_id(broker.id)
            .with_broker_epoch(broker.epoch)
            .with_directories(vec![directory])
    }

    #[track_caller]
    fn check(directory: Uuid, topic: &str, index: i32, code: i16, written: &[&str]) {
        let mut scene = Scene::new().brokers(2).topic("a", &[&[1, 2], &[2]]).begin();
        let request = request(&scene, directory, topic, index);
        let answer = scene.tell(&request, 0);
        assert_eq!(answer.directories[0].id, directory);
        assert_eq!(
            answer.directories[0].topics[0].partitions[0].error_code,
            code
        );
        assert_eq!(scene.written(), written);
    }

    #[test]
    fn a_replica_is_where_its_broker_says() {
        check(directory_id(1), "a", 0, 0, &[]);
        check(directory_id(1), "b", 0, 100, &[]);
        check(directory_id(1), "a", 9, 3, &[]);
        check(directory_id(1), "a", 1, 6, &[]);
        // A directory that is not known to be online counts as failed.
        let written = ["a-0 directories=[777, 102]", "a-0 isr=[2] leader=2"];
        check(Uuid::from_u128(777), "a", 0, 0, &written);
    }

    #[test]
    fn the_whole_request_is_refused_for_kafkas_reasons() {
        let mut scene = Scene::new().brokers(1);
        let wrong_epoch = request(&scene, directory_id(1), "a", 0).with_broker_epoch(9);
        assert_eq!(scene.tell(&wrong_epoch, 0).error_code, 77);
        let mut old = Scene::at(16).brokers(1);
        let request = request(&old, directory_id(1), "a", 0);
        assert_eq!(old.tell(&request, 0).error_code, 35);
    }
}
