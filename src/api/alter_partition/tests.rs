//! Reports of an ISR as (partition, report) -> the error code and what is written.

use super::*;
use crate::ids::TopicId;
use crate::rules::scene::{Scene, ids, numbers, topic_id};

/// The leader of a partition reports this ISR with everybody's right epochs.
struct Report {
    scene: Scene,
    sender: i32,
    topic: TopicId,
    version: i16,
    wanted: PartitionData,
}

impl Report {
    /// a-0 on 1, 2 and 3, led by 1, of which 3 is out of sync, in leader epoch 0.
    fn of(isr: &[i32]) -> Self {
        let scene = Scene::new().brokers(4).topic("a", &[&[1, 2, 3]]);
        Self::on(scene.partition("a", 0, &[1, 2], 1, &[]).begin(), isr)
    }

    fn on(scene: Scene, isr: &[i32]) -> Self {
        let members = isr.iter().map(|id| {
            let epoch = scene
                .image
                .broker(BrokerId(*id))
                .map_or(-1, |broker| broker.epoch);
            BrokerState::default()
                .with_broker_id(BrokerId(*id))
                .with_broker_epoch(epoch)
        });
        let wanted = PartitionData::default()
            .with_new_isr_with_epochs(members.collect())
            .with_new_isr(ids(isr));
        Self {
            scene,
            sender: 1,
            topic: topic_id("a"),
            version: 3,
            wanted,
        }
    }

    fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn send(&mut self) -> alter_partition_response::PartitionData {
        let sender = BrokerId(self.sender);
        let epoch = self
            .scene
            .image
            .broker(sender)
            .map_or(-1, |broker| broker.epoch);
        let mut wanted = self.wanted.clone();
        if self.version < 3 {
            wanted.new_isr_with_epochs.clear();
        } else {
            wanted.new_isr.clear();
        }
        let topic = TopicData::default()
            .with_topic_id(self.topic)
            .with_partitions(vec![wanted]);
        let request = AlterPartitionRequest::default()
            .with_broker_id(sender)
            .with_broker_epoch(epoch)
            .with_topics(vec![topic]);
        let answer = self.scene.tell(&request, self.version);
        assert_eq!(answer.error_code, 0);
        answer.topics[0].partitions[0].clone()
    }

    #[track_caller]
    fn check(mut self, code: i16, written: &[&str]) {
        assert_eq!(self.send().error_code, code);
        assert_eq!(self.scene.written(), written);
    }
}

#[test]
fn the_isr_is_what_the_leader_says() {
    let mut report = Report::of(&[1, 2, 3]);
    let answer = report.send();
    assert_eq!(numbers(&answer.isr), [1, 2, 3]);
    let state = (
        answer.leader_id.0,
        answer.leader_epoch,
        answer.partition_epoch,
    );
    assert_eq!(state, (1, 0, 1));
    assert_eq!(report.scene.written(), ["a-0 isr=[1, 2, 3]"]);
    Report::of(&[1]).check(0, &["a-0 isr=[1]"]);
    Report::of(&[1, 2]).check(0, &[]);
    Report::of(&[1, 3])
        .but(|it| it.version = 2)
        .check(0, &["a-0 isr=[1, 3]"]);
}

/// The recorded answers of rpc 8.2 and the table of rpc 3.7, in its order.
#[test]
fn a_report_is_refused_for_kafkas_reasons() {
    let report = || Report::of(&[1, 2, 3]);
    report().but(|it| it.topic = topic_id("b")).check(100, &[]);
    report()
        .but(|it| it.wanted.partition_index = 1)
        .check(3, &[]);
    report().but(|it| it.wanted.leader_epoch = 1).check(41, &[]);
    report()
        .but(|it| it.wanted.partition_epoch = 1)
        .check(41, &[]);
    report()
        .but(|it| it.wanted.leader_epoch = -1)
        .check(74, &[]);
    report().but(|it| it.sender = 2).check(42, &[]);
    report()
        .but(|it| it.wanted.partition_epoch = -1)
        .check(95, &[]);
    Report::of(&[1, 2, 2]).check(42, &[]);
    Report::of(&[1, 4]).check(42, &[]);
    Report::of(&[2, 3]).check(42, &[]);
    Report::of(&[]).check(42, &[]);
    report()
        .but(|it| it.wanted.leader_recovery_state = 1)
        .check(42, &[]);
    report()
        .but(|it| it.wanted.leader_recovery_state = 9)
        .check(42, &[]);
    Report::of(&[1])
        .but(|it| it.wanted.leader_recovery_state = 1)
        .check(42, &[]);
    report()
        .but(|it| it.wanted.new_isr_with_epochs[2].broker_epoch = 5)
        .check(107, &[]);
    report()
        .but(|it| it.wanted.new_isr_with_epochs[2].broker_epoch = -1)
        .check(0, &["a-0 isr=[1, 2, 3]"]);
}

#[test]
fn whoever_is_fenced_or_leaving_does_not_get_in_sync() {
    let fenced = Scene::new()
        .brokers(3)
        .topic("a", &[&[1, 2, 3]])
        .fenced(&[3]);
    Report::on(fenced.begin(), &[1, 2, 3]).check(107, &[]);
    Report::of(&[1, 2, 3])
        .but(|it| {
            let (broker, kind) = (BrokerId(3), crate::rules::PlanKind::Fence);
            it.scene
                .live
                .apply(crate::rules::LiveChange::PlanBegun { broker, kind });
        })
        .check(107, &[]);
}

#[test]
fn a_leader_that_tidied_up_says_so() {
    let recovering = || {
        let mut scene = Scene::new().brokers(2).topic("a", &[&[1, 2]]);
        let partition = scene
            .image
            .partition(topic_id("a"), 0)
            .expect("it is on the scene");
        let mut record = partition.to_owned().to_record();
        (record.isr, record.leader_recovery_state) = (ids(&[1]), 1);
        scene.write([record]);
        scene.begin()
    };
    let still = |it: &mut Report| it.wanted.leader_recovery_state = 1;
    Report::on(recovering(), &[1]).but(still).check(0, &[]);
    Report::on(recovering(), &[1, 2]).but(still).check(42, &[]);
    Report::on(recovering(), &[1, 2]).check(0, &["a-0 isr=[1, 2] recovery=0"]);
}

#[test]
fn the_end_of_a_reassignment_may_cost_the_leadership() {
    let moving = || {
        let mut scene = Scene::new().brokers(3).topic("a", &[&[3, 2, 1]]);
        let partition = scene
            .image
            .partition(topic_id("a"), 0)
            .expect("it is on the scene");
        let mut record = partition.to_owned().to_record();
        record.adding_replicas = ids(&[3]);
        record.removing_replicas = ids(&[1]);
        (record.isr, record.leader) = (ids(&[1, 2]), BrokerId(1));
        scene.write([record]);
        scene.begin()
    };
    Report::on(moving(), &[1, 2, 3]).check(
        108,
        &["a-0 isr=[2, 3] leader=3 replicas=[3, 2] removing=[] adding=[] directories=[103, 102]"],
    );
}

#[test]
fn a_sender_in_another_epoch_is_not_heard_at_all() {
    let mut scene = Scene::new().brokers(1);
    for (broker_id, epoch) in [(1, 999), (9, 1)] {
        let request = AlterPartitionRequest::default()
            .with_broker_id(BrokerId(broker_id))
            .with_broker_epoch(epoch);
        assert_eq!(scene.tell(&request, 3).error_code, 77);
    }
}
