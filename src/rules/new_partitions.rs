//! What CreateTopics and CreatePartitions have in common: which brokers may get replicas, whether an
//! assignment by hand is sound, and the record that makes a partition.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;

use super::Ctx;
use super::electorate::{default_directory, is_active};
use super::placement::{Candidate, Racks};
use crate::ids::{BrokerId, PartitionIndex, TopicId};
use crate::image::Broker;
use crate::records::PartitionRecord;
use crate::refusal::Refusal;

/// Where new replicas may go now: all registered brokers, fenced ones too, except those on their way
/// out and those that take no replicas into any of their directories
/// (`BrokerHeartbeatManager.usableBrokers`, 4.3.1). Kafka asks its heartbeats alone who is on the way
/// out; we ask the registration as well, which outlives a change of leader.
pub fn racks(ctx: &Ctx<'_>) -> Racks {
    Racks::of(
        ctx.image
            .brokers()
            .filter(|broker| is_usable(ctx, broker))
            .map(|broker| Candidate {
                id: broker.id,
                rack: broker.rack.as_deref(),
                fenced: broker.fenced,
                sessionless: ctx.image.is_sessionless(broker.id),
            }),
    )
}

fn is_usable(ctx: &Ctx<'_>, broker: &Broker) -> bool {
    !broker.in_controlled_shutdown && !is_going(ctx, broker.id) && has_uncordoned_dirs(broker)
}

fn is_going(ctx: &Ctx<'_>, broker: BrokerId) -> bool {
    ctx.live.is_leaving(broker) || ctx.live.shutdown_offset(broker).is_some()
}

fn has_uncordoned_dirs(broker: &Broker) -> bool {
    let Some(cordoned) = &broker.cordoned_log_dirs else {
        return true;
    };
    broker.log_dirs.is_empty() || broker.log_dirs.iter().any(|dir| !cordoned.contains(dir))
}

/// Checks the replicas that somebody chose for one partition; INVALID_REPLICA_ASSIGNMENT. Fenced
/// brokers are welcome (`ReplicationControlManager.validateManualPartitionAssignment`, 4.3.1).
pub fn check_assignment(
    ctx: &Ctx<'_>,
    replicas: &[BrokerId],
    replication_factor: Option<usize>,
) -> Result<(), Refusal> {
    if replicas.is_empty() {
        return Err(assignment(
            "The manual partition assignment includes an empty replica list.",
        ));
    }
    let mut seen = BTreeSet::new();
    for id in replicas {
        if ctx.image.broker(*id).is_none() {
            return Err(assignment(format!(
                "The manual partition assignment includes broker {}, but no such broker is \
                 registered.",
                id.0
            )));
        }
        if !seen.insert(*id) {
            return Err(assignment(format!(
                "The manual partition assignment includes the broker {} more than once.",
                id.0
            )));
        }
    }
    match replication_factor {
        Some(expected) if expected != replicas.len() => Err(assignment(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is \
             not consistent with previous partitions, which have {expected} replica(s).",
            replicas.len()
        ))),
        _ => Ok(()),
    }
}

/// INVALID_REPLICA_ASSIGNMENT.
pub fn assignment(text: impl Into<String>) -> Refusal {
    Refusal::new(ResponseError::InvalidReplicaAssignment, text.into())
}

/// All replicas that somebody chose are fenced or on their way out.
pub fn none_active_by_hand(index: PartitionIndex) -> Refusal {
    assignment(format!(
        "All brokers specified in the manual partition assignment for partition {index} are fenced \
         or in controlled shutdown."
    ))
}

/// All replicas that the placer chose are fenced or on their way out.
pub fn none_active(replication_factor: usize) -> Refusal {
    Refusal::new(
        ResponseError::InvalidReplicationFactor,
        format!(
            "Unable to replicate the partition {replication_factor} time(s): All brokers are \
             currently fenced or in controlled shutdown."
        ),
    )
}

/// The record of a new partition: the active replicas are in sync, the first of them leads. `None`
/// if none is active.
pub fn record(
    ctx: &Ctx<'_>,
    topic_id: TopicId,
    partition_id: PartitionIndex,
    replicas: Vec<BrokerId>,
) -> Option<PartitionRecord> {
    let isr: Vec<BrokerId> = replicas
        .iter()
        .copied()
        .filter(|replica| is_active(ctx, *replica))
        .collect();
    let directory = |id: &BrokerId| default_directory(ctx.image, *id);
    let leader = *isr.first()?;
    Some(PartitionRecord {
        partition_id,
        topic_id,
        directories: replicas.iter().map(directory).collect(),
        replicas,
        isr,
        leader,
        leader_epoch: 0,
        partition_epoch: 0,
        ..PartitionRecord::default()
    })
}
