//! Adds replicas to a partition or removes some: a reassignment from those it has now, or is to have
//! once the reassignment under way is over.

use serde::{Deserialize, Serialize};

use super::Done;
use crate::ids::{BrokerId, PartitionIndex, TopicId};
use crate::image::PartitionView;
use crate::refusal::{self, Refusal};
use crate::rules::electorate::Electorate;
use crate::rules::{Ctx, Decision, new_partitions, reassignment};

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MoveReplicas {
    /// Id of the topic; may be absent where the index alone says which partition is meant.
    pub topic_id: Option<TopicId>,
    /// Index of the partition.
    pub index: PartitionIndex,
    /// Brokers to add.
    pub adding: Vec<i32>,
    /// Replicas to remove.
    pub removing: Vec<i32>,
}

impl MoveReplicas {
    pub(super) fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<Done>, Refusal> {
        let view = self.partition(ctx)?;
        let partition = view.to_owned();
        let target = self.target(ctx, view)?;
        let start = reassignment::start(&partition.replicas, &target);
        let change = Electorate::of(ctx).change(view.topic(), &partition, |change| {
            change.replicas = start.replicas.into();
            change.adding = start.adding.into();
            change.removing = start.removing.into();
        });
        let records = change.into_iter().map(Into::into).collect();
        Ok(Decision::write(
            records,
            Done::Partition { index: self.index },
        ))
    }

    /// The partition that is meant.
    fn partition<'a>(&self, ctx: &Ctx<'a>) -> Result<PartitionView<'a>, Refusal> {
        let Some(topic_id) = self.topic_id else {
            let mut found = ctx
                .image
                .topics()
                .filter_map(|topic| topic.partition(self.index));
            let first = found
                .next()
                .ok_or_else(|| refusal::no_such_partition("any topic", self.index))?;
            return match found.next() {
                None => Ok(first),
                Some(second) => Err(refusal::invalid_request(format!(
                    "Both {} and {} have a partition {}: say which by topicUUID.",
                    first.topic_name(),
                    second.topic_name(),
                    self.index
                ))),
            };
        };
        let topic = ctx
            .image
            .topic(topic_id)
            .ok_or_else(refusal::unknown_topic_id)?;
        let partition = topic.partition(self.index);
        partition.ok_or_else(|| refusal::no_such_partition(topic.name(), self.index))
    }

    /// The replicas it is to have in the end.
    fn target(
        &self,
        ctx: &Ctx<'_>,
        partition: PartitionView<'_>,
    ) -> Result<Vec<BrokerId>, Refusal> {
        let mut target = reassignment::without(&partition.replicas(), partition.removing());
        let no = |text: String| Err(new_partitions::assignment(text));
        if self.adding.is_empty() && self.removing.is_empty() {
            return no("There is nothing to add or remove.".to_owned());
        }
        for id in self.removing.iter().copied().map(BrokerId) {
            let Some(place) = target.iter().position(|replica| *replica == id) else {
                return no(format!("Broker {} is not a replica.", id.0));
            };
            target.remove(place);
        }
        for id in self.adding.iter().copied().map(BrokerId) {
            if target.contains(&id) {
                return no(format!("Broker {} is a replica already.", id.0));
            }
            target.push(id);
        }
        new_partitions::check_assignment(ctx, &target, None)?;
        Ok(target)
    }
}
