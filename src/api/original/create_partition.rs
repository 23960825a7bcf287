//! Adds one partition with its replicas, ISR and leader. Its index need not follow the last one's:
//! Kafka's next partition is then the highest index plus one.

use serde::{Deserialize, Serialize};

use super::Done;
use crate::ids::{BrokerId, PartitionIndex, TopicId};
use crate::records::PartitionRecord;
use crate::refusal::{self, Refusal};
use crate::rules::electorate::is_active;
use crate::rules::{Ctx, Decision, new_partitions};

/// The highest index: a partition's count, its index plus one, must fit Kafka's 32 bits.
const INDEX_MAX: PartitionIndex = i32::MAX - 1;

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreatePartition {
    /// Id of its topic.
    pub topic_id: TopicId,
    /// Its index.
    pub index: PartitionIndex,
    /// Registered brokers, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync; empty: all that are unfenced.
    pub isr: Vec<i32>,
    /// The one of those that leads; absent: the first.
    pub leader: Option<i32>,
}

impl CreatePartition {
    pub(super) fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<Done>, Refusal> {
        let topic = ctx
            .image
            .topic(self.topic_id)
            .ok_or_else(refusal::unknown_topic_id)?;
        let index = self.index;
        if !(0..=INDEX_MAX).contains(&index) {
            return Err(refusal::invalid_request(
                "A partition's id cannot be negative.",
            ));
        }
        if topic.partition(index).is_some() {
            return Err(refusal::partition_exists(topic.name(), index));
        }
        let replicas = ids(&self.replicas);
        new_partitions::check_assignment(ctx, &replicas, None)?;
        let record = new_partitions::record(ctx, self.topic_id, index, replicas);
        let record = record.ok_or_else(|| new_partitions::none_active_by_hand(index))?;
        let record = self.with_isr_and_leader(ctx, record)?;
        Ok(Decision::write(
            vec![record.into()],
            Done::Partition { index },
        ))
    }

    /// The record with the ISR and the leader that were asked for.
    fn with_isr_and_leader(
        &self,
        ctx: &Ctx<'_>,
        mut record: PartitionRecord,
    ) -> Result<PartitionRecord, Refusal> {
        let no = |text: String| Err(new_partitions::assignment(text));
        if !self.isr.is_empty() {
            let isr = ids(&self.isr);
            for (place, id) in isr.iter().enumerate() {
                if !record.replicas.contains(id) || isr[..place].contains(id) {
                    return no(format!(
                        "The ISR includes {}, which is not a replica, or twice.",
                        id.0
                    ));
                }
                if !is_active(ctx, *id) {
                    return no(format!(
                        "The ISR includes broker {}, which is fenced.",
                        id.0
                    ));
                }
            }
            record.leader = isr[0];
            record.isr = isr;
        }
        if let Some(leader) = self.leader.map(BrokerId) {
            if !record.isr.contains(&leader) {
                return no(format!("The leader {} is not in the ISR.", leader.0));
            }
            record.leader = leader;
        }
        Ok(record)
    }
}

fn ids(numbers: &[i32]) -> Vec<BrokerId> {
    numbers.iter().copied().map(BrokerId).collect()
}
