//! AlterPartition (56): a partition's leader reports who is in sync.
//!
//! The controller trusts the leader's word about its followers, but not that it still is the leader,
//! nor that the followers still are who they were: both may have changed while the request was under
//! way. Version 3 brings the followers' epochs (`ReplicationControlManager.alterPartition`, 4.3.1).

use std::borrow::Cow;
use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use kafka_protocol::messages::{
    AlterPartitionRequest, AlterPartitionResponse, alter_partition_response,
};

use crate::api::Write;
use crate::ids::{BrokerEpoch, BrokerId, NO_BROKER, PartitionIndex};
use crate::image::partition::NO_LEADER_CHANGE;
use crate::image::{Partition, TopicView};
use crate::records::Record;
use crate::refusal::Refusal;
use crate::rules::electorate::{Electorate, is_active};
use crate::rules::{Ctx, Decision, brokers};

/// The first version in which each member of the ISR comes with its epoch.
const TELLS_EPOCHS: i16 = 3;
/// "Whichever epoch the broker has": of older versions, and of leaders that do not know it.
const ANY_EPOCH: BrokerEpoch = -1;

impl Write for AlterPartitionRequest {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<AlterPartitionResponse>, Refusal> {
        brokers::registered(ctx, self.broker_id, self.broker_epoch)?;
        let electorate = Electorate::of(ctx);
        let mut records = Vec::new();
        let topics = self.topics.iter().map(|topic| {
            let answers = alter_topic(self, topic, ctx, &electorate, &mut records);
            alter_partition_response::TopicData::default()
                .with_topic_id(topic.topic_id)
                .with_partitions(answers)
        });
        let response = AlterPartitionResponse::default().with_topics(topics.collect());
        Ok(Decision::write(records, response))
    }

    fn refuse(&self, refusal: &Refusal) -> AlterPartitionResponse {
        AlterPartitionResponse::default().with_error_code(refusal.code())
    }

    fn broker(&self) -> Option<BrokerId> {
        Some(self.broker_id)
    }
}

fn alter_topic(
    request: &AlterPartitionRequest,
    topic: &TopicData,
    ctx: &Ctx<'_>,
    electorate: &Electorate<'_>,
    records: &mut Vec<Record>,
) -> Vec<alter_partition_response::PartitionData> {
    let view = ctx.image.topic(topic.topic_id);
    let mut answers = Vec::with_capacity(topic.partitions.len());
    for wanted in &topic.partitions {
        let outcome = match view {
            Some(view) => alter(request.broker_id, wanted, view, ctx, electorate, records),
            None => Err(ResponseError::UnknownTopicId),
        };
        answers.push(answer(wanted.partition_index, outcome));
    }
    answers
}

fn answer(
    index: PartitionIndex,
    outcome: Result<Partition, ResponseError>,
) -> alter_partition_response::PartitionData {
    let answer = alter_partition_response::PartitionData::default().with_partition_index(index);
    match outcome {
        Ok(partition) => answer
            .with_leader_id(partition.leader.unwrap_or(NO_BROKER))
            .with_leader_epoch(partition.leader_epoch)
            .with_isr(partition.isr)
            .with_leader_recovery_state(i8::from(partition.recovering))
            .with_partition_epoch(partition.partition_epoch),
        Err(error) => answer.with_error_code(error.code()),
    }
}

/// One partition: how it is after the change, or why it is not changed as asked.
fn alter(
    sender: BrokerId,
    wanted: &PartitionData,
    topic: TopicView<'_>,
    ctx: &Ctx<'_>,
    electorate: &Electorate<'_>,
    records: &mut Vec<Record>,
) -> Result<Partition, ResponseError> {
    let partition = topic.partition(wanted.partition_index);
    let partition = partition
        .ok_or(ResponseError::UnknownTopicOrPartition)?
        .to_owned();
    let isr = wanted_isr(wanted, ctx.version);
    check(sender, wanted, &isr, &partition)?;
    if isr.iter().any(|member| !is_eligible(ctx, member)) {
        return Err(ResponseError::IneligibleReplica);
    }
    let record = electorate.change(topic, &partition, |change| {
        change.isr = Cow::Owned(isr.iter().map(|member| member.broker_id).collect());
        change.recovering = wanted.leader_recovery_state == 1;
    });
    let Some(record) = record else {
        return Ok(partition);
    };
    let after = partition
        .merge(&record)
        .map_err(|_| ResponseError::UnknownServerError)?;
    let other_leader = record.leader != NO_LEADER_CHANGE && record.leader != sender.0;
    records.push(record.into());
    // The change is made, but it ended a reassignment under which the sender does not lead any
    // more: it has to read that before it asks again.
    if other_leader {
        Err(ResponseError::NewLeaderElected)
    } else {
        Ok(after)
    }
}

/// Whether the sender may say this, by what it knows. An epoch newer than ours means that *we* are
/// behind: the answer makes it look for a newer controller.
fn check(
    sender: BrokerId,
    wanted: &PartitionData,
    isr: &[BrokerState],
    partition: &Partition,
) -> Result<(), ResponseError> {
    if wanted.leader_epoch > partition.leader_epoch
        || wanted.partition_epoch > partition.partition_epoch
    {
        return Err(ResponseError::NotController);
    }
    if wanted.leader_epoch < partition.leader_epoch {
        return Err(ResponseError::FencedLeaderEpoch);
    }
    if partition.leader != Some(sender) {
        return Err(ResponseError::InvalidRequest);
    }
    if wanted.partition_epoch < partition.partition_epoch {
        return Err(ResponseError::InvalidUpdateVersion);
    }
    let distinct: BTreeSet<_> = isr.iter().map(|member| member.broker_id).collect();
    let all_are_replicas = distinct.iter().all(|id| partition.replicas.contains(id));
    if distinct.len() != isr.len() || !all_are_replicas || !distinct.contains(&sender) {
        return Err(ResponseError::InvalidRequest);
    }
    // A leader that still tidies up after an unclean election is in sync with nobody.
    match wanted.leader_recovery_state {
        0 => Ok(()),
        1 if partition.recovering && isr.len() == 1 => Ok(()),
        _ => Err(ResponseError::InvalidRequest),
    }
}

fn wanted_isr(wanted: &PartitionData, version: i16) -> Cow<'_, [BrokerState]> {
    if version >= TELLS_EPOCHS {
        return Cow::Borrowed(&wanted.new_isr_with_epochs);
    }
    let any_epoch = |id: &BrokerId| {
        BrokerState::default()
            .with_broker_id(*id)
            .with_broker_epoch(ANY_EPOCH)
    };
    Cow::Owned(wanted.new_isr.iter().map(any_epoch).collect())
}

/// Whether this broker may be in sync: it is the one that the leader knows, and means to stay.
fn is_eligible(ctx: &Ctx<'_>, member: &BrokerState) -> bool {
    let broker = ctx.view.image.broker(member.broker_id);
    is_active(ctx, member.broker_id)
        && broker.is_some_and(|broker| [ANY_EPOCH, broker.epoch].contains(&member.broker_epoch))
}

#[cfg(test)]
mod tests;
