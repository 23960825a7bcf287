//! Topics: which there are, and which position each of their partitions has. What a record does to
//! them is decided here; others read through the [views](super::views).

use imbl::OrdMap;
use triomphe::Arc;

use crate::ids::{Offset, PartitionIndex, TopicId};
use crate::records::{
    ClearElrRecord, PartitionChangeRecord, PartitionRecord, RemoveTopicRecord, TopicRecord,
};

use super::error::ApplyError;
use super::names::{NAME_BYTES_MAX, Names};
use super::partition::{Partition, PartitionRef};
use super::partitions::Partitions;
use super::pvec::PVec;
use super::rows::{Run, TopicRow};
use super::shards::Shards;

/// All topics and partitions. Clone is O(1).
#[derive(Clone, Default)]
pub(super) struct Topics {
    rows: PVec<TopicRow>,
    names: Names,
    by_id: Shards,
    /// The runs of topics that have more than one, by the topic's position.
    split: OrdMap<u32, Arc<Vec<Run>>>,
    pub(super) partitions: Partitions,
    count: usize,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Topics.
    pub topics: usize,
    /// Partitions of all topics.
    pub partitions: usize,
    /// Partitions without a leader.
    pub leaderless: usize,
    /// Partitions that are not led by their preferred leader; leaderless ones are among them.
    pub not_preferred: usize,
}

/// What a removed topic was.
pub(super) struct Removed {
    pub(super) name: String,
    pub(super) partitions: Vec<Partition>,
}

/// What records do.
impl Topics {
    /// TopicRecord: an empty topic of this id and name.
    pub(super) fn create(&mut self, record: &TopicRecord, stamp: Offset) -> Result<(), ApplyError> {
        if record.name.len() > NAME_BYTES_MAX {
            return Err(ApplyError::NameTooLong(record.topic_id));
        }
        let (id, slot) = (record.topic_id, self.rows.len());
        if self.find(id).is_some() || !self.names.insert(slot, &record.name) {
            return Err(ApplyError::TopicExists(record.name.clone()));
        }
        self.rows.push(TopicRow {
            id,
            stamp,
            first: 0,
            count: 0,
        });
        self.by_id.insert(id, slot);
        self.count += 1;
        Ok(())
    }

    /// RemoveTopicRecord: the topic and all its partitions go.
    pub(super) fn remove(&mut self, record: &RemoveTopicRecord) -> Result<Removed, ApplyError> {
        let id = record.topic_id;
        let topic = self.find(id).ok_or(ApplyError::UnknownTopic(id))?;
        let name = self.name(topic).to_owned();
        let slots: Vec<u32> = self.slots(topic).collect();
        let gone = slots
            .iter()
            .filter_map(|slot| self.partitions.remove(*slot, id));
        let partitions = gone.collect();
        self.split.remove(&topic);
        self.by_id.remove(id, topic);
        self.rows.vacate(topic, TopicRow::VACANT);
        self.names.remove(topic);
        self.count -= 1;
        Ok(Removed { name, partitions })
    }

    /// PartitionRecord: the partition is exactly this now, whether it was there or not.
    pub(super) fn set(
        &mut self,
        record: &PartitionRecord,
        stamp: Offset,
    ) -> Result<(), ApplyError> {
        let unknown = ApplyError::UnknownTopic(record.topic_id);
        let topic = self.find(record.topic_id).ok_or(unknown)?;
        let value = PartitionRef::from_record(record)?;
        match self.slot(topic, value.index) {
            Some(slot) => self.partitions.put(slot, &value, stamp),
            None => {
                let slot = self.partitions.push(topic, &value, stamp);
                self.grow(topic, value.index, slot);
            }
        }
        Ok(())
    }

    /// PartitionChangeRecord: see [`Partition::merge`].
    pub(super) fn change(
        &mut self,
        record: &PartitionChangeRecord,
        stamp: Offset,
    ) -> Result<(), ApplyError> {
        let id = record.topic_id;
        let topic = self.find(id).ok_or(ApplyError::UnknownTopic(id))?;
        let unknown = ApplyError::UnknownPartition(id, record.partition_id);
        let slot = self.slot(topic, record.partition_id).ok_or(unknown)?;
        self.partitions.change(slot, id, record, stamp)
    }

    /// ClearElrRecord: partitions that have eligible leader replicas lose them, and their epoch
    /// rises. An empty name means all topics.
    pub(super) fn clear_elr(
        &mut self,
        record: &ClearElrRecord,
        stamp: Offset,
    ) -> Result<(), ApplyError> {
        let topics: Vec<u32> = if record.topic_name.is_empty() {
            self.rows.iter().map(|(topic, _)| topic).collect()
        } else {
            let unknown = || ApplyError::UnknownTopicName(record.topic_name.clone());
            vec![self.find_name(&record.topic_name).ok_or_else(unknown)?]
        };
        for topic in topics {
            let Some(id) = self.get(topic).map(|row| row.id) else {
                continue;
            };
            let slots: Vec<u32> = self.slots(topic).collect();
            slots
                .iter()
                .for_each(|slot| self.partitions.clear_elr(*slot, id, stamp));
        }
        Ok(())
    }
}

/// Looking up.
impl Topics {
    /// The row at this position.
    pub(super) fn get(&self, topic: u32) -> Option<&TopicRow> {
        self.rows.get(topic)
    }

    /// Positions of all topics created after this offset.
    pub(super) fn since(&self, after: Offset) -> impl Iterator<Item = u32> + use<'_> {
        self.rows.since(after).map(|(topic, _)| topic)
    }

    /// Position of the topic with this id.
    pub(super) fn find(&self, id: TopicId) -> Option<u32> {
        let is_it = |topic| self.rows.get(topic).is_some_and(|row| row.id == id);
        // Partitions mostly follow their new topic.
        let newest = self.rows.len().checked_sub(1);
        newest
            .filter(|topic| is_it(*topic))
            .or_else(|| self.by_id.find(id, is_it))
    }

    /// Position of the topic with this name.
    pub(super) fn find_name(&self, name: &str) -> Option<u32> {
        self.names.find(name)
    }

    /// The name of a topic that is there.
    pub(super) fn name(&self, topic: u32) -> &str {
        self.names.name(topic)
    }

    /// Positions of the topics named `from` or later, in the order of names.
    pub(super) fn named_from(&self, from: &str) -> impl Iterator<Item = u32> + use<'_> {
        self.names.from(from)
    }

    pub(super) fn counts(&self) -> Counts {
        let (partitions, leaderless, not_preferred) = self.partitions.counts();
        Counts {
            topics: self.count,
            partitions: partitions as usize,
            leaderless: leaderless as usize,
            not_preferred: not_preferred as usize,
        }
    }
}

/// Where a topic's partitions are: mostly side by side from index 0 on. Where they came out of
/// order, late, or with gaps, the topic is split into runs.
impl Topics {
    /// Position of the topic's partition with this index.
    pub(super) fn slot(&self, topic: u32, index: PartitionIndex) -> Option<u32> {
        let row = self.rows.get(topic)?;
        if !row.is_split() {
            let at = u32::try_from(index).ok().filter(|at| *at < row.count)?;
            return Some(row.first + at);
        }
        let runs = self.split.get(&topic)?;
        let behind = runs.partition_point(|run| run.index <= index);
        let run = &runs[behind.checked_sub(1)?];
        let at = (index - run.index) as u32;
        (at < run.count).then_some(run.slot + at)
    }

    /// Positions of the topic's partitions, in the order of their indexes.
    pub(super) fn slots(&self, topic: u32) -> impl Iterator<Item = u32> + use<'_> {
        let whole = self.rows.get(topic).filter(|row| !row.is_split());
        let whole = whole.map_or(0..0, |row| row.first..row.first + row.count);
        let runs = self
            .split
            .get(&topic)
            .into_iter()
            .flat_map(|runs| runs.iter());
        whole.chain(runs.flat_map(|run| run.slot..run.slot + run.count))
    }

    /// The highest index in the topic, plus one if there is one more.
    pub(super) fn next_index(&self, topic: u32) -> PartitionIndex {
        match self.split.get(&topic).and_then(|runs| runs.last()) {
            Some(run) => run.index.saturating_add(run.count as i32),
            None => self.rows.get(topic).map_or(0, |row| row.count as i32),
        }
    }

    /// Notes where a new partition is.
    fn grow(&mut self, topic: u32, index: PartitionIndex, slot: u32) {
        // Partitions carry their own stamps: growing is no change of the topic itself.
        let Some(row) = self.rows.edit(topic, Offset::MIN) else {
            return;
        };
        let before = *row;
        row.count += 1;
        let goes_on = !before.is_split()
            && index as u32 == before.count
            && (before.count == 0 || before.first + before.count == slot);
        if goes_on {
            row.first = slot - before.count;
            return;
        }
        row.first = TopicRow::SPLIT;
        let runs = Arc::make_mut(self.split.entry(topic).or_default());
        if !before.is_split() && before.count > 0 {
            runs.push(Run {
                index: 0,
                slot: before.first,
                count: before.count,
            });
        }
        let at = runs.partition_point(|run| run.index < index);
        match at.checked_sub(1).map(|at| &mut runs[at]) {
            Some(run) if run.goes_on_with(index, slot) => run.count += 1,
            _ => runs.insert(
                at,
                Run {
                    index,
                    slot,
                    count: 1,
                },
            ),
        }
    }
}
