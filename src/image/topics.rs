//! Topics and partitions: rows in persistent vectors, and the indexes over them. What a record does
//! to them is decided here and in [`partition`](super::partition); others read through the views.

use imbl::OrdMap;
use triomphe::Arc;

use crate::ids::{BrokerId, Offset, PartitionIndex, TopicId};
use crate::records::{
    ClearElrRecord, PartitionChangeRecord, PartitionRecord, RemoveTopicRecord, TopicRecord,
};

use super::by_broker::ByBroker;
use super::error::ApplyError;
use super::interner::{BrokerNumber, Interner};
use super::names::{NAME_BYTES_MAX, Names};
use super::partition::{self, NO_LEADER_CHANGE, Partition};
use super::pvec::PVec;
use super::rows::{self, PartitionRow, Positions, RECOVERING, Run, Shape, TopicRow, WIDE};

/// All topics and partitions. Clone is O(1).
#[derive(Clone, Default)]
pub(super) struct Topics {
    pub(super) rows: PVec<TopicRow>,
    names: Names,
    by_id: super::shards::Shards,
    pub(super) partitions: PVec<PartitionRow>,
    /// The runs of topics that have more than one, by the topic's position.
    split: OrdMap<u32, Arc<Vec<Run>>>,
    /// Partitions whose lists do not fit a row, by their position.
    wide: OrdMap<u32, Arc<Partition>>,
    by_broker: ByBroker,
    interner: Arc<Interner>,
    counts: Counts,
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
        if self.find_name(&record.name).is_some() || self.find(record.topic_id).is_some() {
            return Err(ApplyError::TopicExists(record.name.clone()));
        }
        if record.name.len() > NAME_BYTES_MAX {
            return Err(ApplyError::NameTooLong(record.topic_id));
        }
        let slot = self.rows.push(TopicRow {
            id: record.topic_id,
            stamp,
            first: 0,
            count: 0,
        });
        self.names.push(slot, &record.name);
        self.by_id.insert(record.topic_id, slot);
        self.counts.topics += 1;
        Ok(())
    }

    /// RemoveTopicRecord: the topic and all its partitions go.
    pub(super) fn remove(&mut self, record: &RemoveTopicRecord) -> Result<Removed, ApplyError> {
        let unknown = ApplyError::UnknownTopic(record.topic_id);
        let slot = self.find(record.topic_id).ok_or(unknown)?;
        let name = self.name(slot).to_owned();
        let slots: Vec<u32> = self.slots(slot).collect();
        let partitions = slots.iter().map(|at| self.take(*at)).collect();
        self.split.remove(&slot);
        self.by_id.remove(record.topic_id, slot);
        self.rows.vacate(slot, TopicRow::VACANT);
        self.names.remove(slot);
        self.counts.topics -= 1;
        Ok(Removed { name, partitions })
    }

    /// PartitionRecord: the partition is exactly this now, whether it was there or not.
    pub(super) fn set(
        &mut self,
        record: &PartitionRecord,
        stamp: Offset,
    ) -> Result<(), ApplyError> {
        let topic = self
            .find(record.topic_id)
            .ok_or(ApplyError::UnknownTopic(record.topic_id))?;
        let bad = || ApplyError::BadPartition(record.topic_id, record.partition_id);
        let migrating = record.directories.iter().all(|id| id.is_nil());
        if record.partition_id < 0
            || !migrating && record.directories.len() != record.replicas.len()
        {
            return Err(bad());
        }
        let shape = Shape {
            replicas: &record.replicas,
            directories: if migrating { &[] } else { &record.directories },
            isr: &record.isr,
            elr: record
                .eligible_leader_replicas
                .as_deref()
                .unwrap_or_default(),
            last_known_elr: record.last_known_elr.as_deref().unwrap_or_default(),
            adding: &record.adding_replicas,
            removing: &record.removing_replicas,
            leader: partition::leader(record.leader),
        };
        let recovering = partition::recovering(record.leader_recovery_state)?;
        let mut row = self.pack(&shape);
        row.stamp = stamp;
        row.topic = topic;
        row.index = record.partition_id;
        row.leader_epoch = record.leader_epoch;
        row.partition_epoch = record.partition_epoch;
        row.flags |= if recovering { RECOVERING } else { 0 };
        let wide = if row.flags & WIDE != 0 {
            Some(Partition::from_record(record)?)
        } else {
            None
        };
        self.place(row, wide);
        Ok(())
    }

    /// PartitionChangeRecord: see [`Partition::merge`].
    pub(super) fn change(
        &mut self,
        record: &PartitionChangeRecord,
        stamp: Offset,
    ) -> Result<(), ApplyError> {
        let topic = self
            .find(record.topic_id)
            .ok_or(ApplyError::UnknownTopic(record.topic_id))?;
        let unknown = || ApplyError::UnknownPartition(record.topic_id, record.partition_id);
        let slot = self.slot(topic, record.partition_id).ok_or_else(unknown)?;
        if let Some(after) = self.changed_in_place(slot, record, stamp)? {
            self.replace(slot, after, None);
            return Ok(());
        }
        let after = self.partition(slot).ok_or_else(unknown)?.merge(record)?;
        self.overwrite(slot, after, stamp);
        Ok(())
    }

    /// ClearElrRecord: partitions that have eligible leader replicas lose them, and their epoch
    /// rises. An empty name means all topics.
    pub(super) fn clear_elr(
        &mut self,
        record: &ClearElrRecord,
        stamp: Offset,
    ) -> Result<(), ApplyError> {
        let slots: Vec<u32> = if record.topic_name.is_empty() {
            self.partitions.iter().map(|(slot, _)| slot).collect()
        } else {
            let unknown = || ApplyError::UnknownTopicName(record.topic_name.clone());
            self.slots(self.find_name(&record.topic_name).ok_or_else(unknown)?)
                .collect()
        };
        for slot in slots {
            if self.has_elr(slot)
                && let Some(mut partition) = self.partition(slot)
            {
                partition.elr.clear();
                partition.last_known_elr.clear();
                partition.partition_epoch += 1;
                self.overwrite(slot, partition, stamp);
            }
        }
        Ok(())
    }
}

/// Looking up.
impl Topics {
    pub(super) fn find(&self, id: TopicId) -> Option<u32> {
        self.by_id.find(id, |slot| {
            self.rows.get(slot).is_some_and(|row| row.id == id)
        })
    }

    pub(super) fn find_name(&self, name: &str) -> Option<u32> {
        self.names.find(name)
    }

    /// The name of a topic that is there.
    pub(super) fn name(&self, slot: u32) -> &str {
        self.names.name(slot)
    }

    /// Positions of the topics named `from` or later, in the order of names.
    pub(super) fn named_from(&self, from: &str) -> impl Iterator<Item = u32> + use<'_> {
        self.names.from(from)
    }

    /// Position of the topic's partition with this index.
    pub(super) fn slot(&self, topic: u32, index: PartitionIndex) -> Option<u32> {
        let row = self.rows.get(topic)?;
        if row.first != TopicRow::SPLIT {
            let at = u32::try_from(index).ok().filter(|at| *at < row.count)?;
            return Some(row.first + at);
        }
        let runs = self.split.get(&topic)?;
        let run = &runs[runs
            .partition_point(|run| run.index <= index)
            .checked_sub(1)?];
        let at = (index - run.index) as u32;
        (at < run.count).then_some(run.slot + at)
    }

    /// Positions of the topic's partitions, in the order of their indexes.
    pub(super) fn slots(&self, topic: u32) -> impl Iterator<Item = u32> + use<'_> {
        let row = self.rows.get(topic).copied().unwrap_or(TopicRow::VACANT);
        let whole = if row.first == TopicRow::SPLIT {
            0..0
        } else {
            row.first..row.first.saturating_add(row.count)
        };
        let runs = self
            .split
            .get(&topic)
            .into_iter()
            .flat_map(|runs| runs.iter());
        whole.chain(runs.flat_map(|run| run.slot..run.slot + run.count))
    }

    /// The highest index in the topic, plus one.
    pub(super) fn next_index(&self, topic: u32) -> PartitionIndex {
        match self.split.get(&topic).and_then(|runs| runs.last()) {
            Some(run) => run.index + run.count as i32,
            None => self.rows.get(topic).map_or(0, |row| row.count as i32),
        }
    }

    /// The partition at this position with all its lists.
    pub(super) fn partition(&self, slot: u32) -> Option<Partition> {
        let row = self.partitions.get(slot)?;
        if row.flags & WIDE != 0 {
            return self.wide.get(&slot).map(|wide| Partition::clone(wide));
        }
        let replicas: Vec<BrokerId> = self.ids(row.replica_numbers()).collect();
        let list = |positions: Positions| {
            positions
                .iter()
                .map(|at| replicas[usize::from(at)])
                .collect()
        };
        Some(Partition {
            topic_id: self.rows.get(row.topic)?.id,
            index: row.index,
            directories: self.directories(row).collect(),
            isr: list(row.isr),
            elr: list(row.elr),
            last_known_elr: list(row.last_known_elr),
            adding: Vec::new(),
            removing: Vec::new(),
            leader: self.leader(row),
            leader_epoch: row.leader_epoch,
            partition_epoch: row.partition_epoch,
            recovering: row.flags & RECOVERING != 0,
            replicas,
        })
    }

    /// The lists of a wide partition.
    pub(super) fn wide(&self, slot: u32) -> Option<&Partition> {
        self.wide.get(&slot).map(|wide| &**wide)
    }

    /// The broker of each number.
    pub(super) fn ids<'a>(
        &'a self,
        numbers: &'a [BrokerNumber],
    ) -> impl Iterator<Item = BrokerId> + 'a {
        numbers.iter().map(|number| self.interner.broker(*number))
    }

    /// The directories of a packed row, in the order of its replicas.
    pub(super) fn directories<'a>(
        &'a self,
        row: &'a PartitionRow,
    ) -> impl Iterator<Item = crate::ids::Uuid> + 'a {
        let numbers = row.replica_numbers().iter().zip(row.directories);
        numbers.map(|(broker, directory)| self.interner.directory(*broker, directory))
    }

    /// The leader in a packed row.
    pub(super) fn leader(&self, row: &PartitionRow) -> Option<BrokerId> {
        (row.leader != BrokerNumber::NONE).then(|| self.interner.broker(row.leader))
    }

    pub(super) fn number(&self, broker: BrokerId) -> Option<BrokerNumber> {
        self.interner.find(broker)
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// How many replicas this broker holds, and how many partitions it leads.
    pub(super) fn on_broker(&self, broker: BrokerId) -> (usize, usize) {
        let on = self
            .number(broker)
            .and_then(|number| self.by_broker.get(number));
        on.map_or((0, 0), |on| (on.replicas as usize, on.leaders as usize))
    }

    /// Positions of the partitions that name this broker anywhere, from `from` on.
    pub(super) fn naming(
        &self,
        broker: BrokerId,
        from: u32,
    ) -> impl Iterator<Item = u32> + use<'_> {
        let number = self.number(broker);
        let indexed = number.and_then(|number| self.by_broker.get(number));
        // Brokers beyond the last number are rare enough to be looked for one by one.
        let unnumbered = number.is_none().then(|| self.wide.range(from..));
        let unnumbered = unnumbered.into_iter().flatten();
        let unnumbered =
            unnumbered.filter(move |(_, it)| Shape::of(it).members().contains(&broker));
        let indexed = indexed.into_iter().flat_map(move |on| on.slots(from));
        indexed.chain(unnumbered.map(|(slot, _)| *slot))
    }
}

/// Changing rows, with everything that is derived from them.
impl Topics {
    /// The shape as a row, or a wide row where it fits none.
    fn pack(&mut self, shape: &Shape<'_>) -> PartitionRow {
        if let Some(row) = PartitionRow::pack(&self.interner, shape) {
            return row;
        }
        rows::number(Arc::make_mut(&mut self.interner), shape);
        let wide = PartitionRow {
            flags: WIDE,
            ..PartitionRow::VACANT
        };
        PartitionRow::pack(&self.interner, shape).unwrap_or(wide)
    }

    /// The row after a change that leaves replicas and directories alone, which is nearly every
    /// one; `None` where the change needs the partition's full lists.
    fn changed_in_place(
        &self,
        slot: u32,
        record: &PartitionChangeRecord,
        stamp: Offset,
    ) -> Result<Option<PartitionRow>, ApplyError> {
        let Some(row) = self.partitions.get(slot) else {
            return Ok(None);
        };
        let none = |list: &Option<Vec<BrokerId>>| list.as_ref().is_none_or(Vec::is_empty);
        let simple = row.flags & WIDE == 0
            && record.replicas.is_none()
            && record.directories.is_none()
            && none(&record.adding_replicas)
            && none(&record.removing_replicas);
        if !simple {
            return Ok(None);
        }
        let position = |id| row.position(self.number(id)?);
        let list = |new: &Option<Vec<BrokerId>>, old| match new {
            Some(list) => Positions::by(list, position),
            None => Some(old),
        };
        let mut after = PartitionRow {
            stamp,
            partition_epoch: row.partition_epoch + 1,
            ..*row
        };
        let lists = (
            list(&record.isr, row.isr),
            list(&record.eligible_leader_replicas, row.elr),
            list(&record.last_known_elr, row.last_known_elr),
        );
        let (Some(isr), Some(elr), Some(last_known_elr)) = lists else {
            return Ok(None);
        };
        (after.isr, after.elr, after.last_known_elr) = (isr, elr, last_known_elr);
        if record.leader != NO_LEADER_CHANGE {
            let leader = partition::leader(BrokerId(record.leader)).map(|id| self.number(id));
            let Some(leader) = leader.unwrap_or(Some(BrokerNumber::NONE)) else {
                return Ok(None);
            };
            after.leader = leader;
            after.leader_epoch += 1;
        }
        if record.leader_recovery_state != -1 {
            let recovering = partition::recovering(record.leader_recovery_state)?;
            after.flags = if recovering {
                after.flags | RECOVERING
            } else {
                after.flags & !RECOVERING
            };
        }
        Ok(Some(after))
    }

    fn has_elr(&self, slot: u32) -> bool {
        match self.wide(slot) {
            Some(wide) => !wide.elr.is_empty() || !wide.last_known_elr.is_empty(),
            None => self.partitions.get(slot).is_some_and(|row| {
                row.elr != Positions::EMPTY || row.last_known_elr != Positions::EMPTY
            }),
        }
    }

    /// Sets the partition at this position to a full value.
    fn overwrite(&mut self, slot: u32, partition: Partition, stamp: Offset) {
        let Some(topic) = self.partitions.get(slot).map(|row| row.topic) else {
            return;
        };
        let mut row = self.pack(&Shape::of(&partition));
        row.stamp = stamp;
        row.topic = topic;
        row.index = partition.index;
        row.leader_epoch = partition.leader_epoch;
        row.partition_epoch = partition.partition_epoch;
        row.flags |= if partition.recovering { RECOVERING } else { 0 };
        let wide = (row.flags & WIDE != 0).then_some(partition);
        self.replace(slot, row, wide);
    }

    /// Puts a row where its topic and index belong.
    fn place(&mut self, row: PartitionRow, wide: Option<Partition>) {
        if let Some(slot) = self.slot(row.topic, row.index) {
            self.replace(slot, row, wide);
            return;
        }
        let slot = self.partitions.push(row);
        if let Some(wide) = wide {
            self.wide.insert(slot, Arc::new(wide));
        }
        self.grow(row.topic, row.index, slot);
        self.account(slot, true);
    }

    /// Puts another row in the place of one.
    fn replace(&mut self, slot: u32, row: PartitionRow, wide: Option<Partition>) {
        let Some(before) = self.partitions.get(slot).copied() else {
            return;
        };
        let packed = (before.flags | row.flags) & WIDE == 0;
        let same_members = packed
            && before.replicas == row.replicas
            && before.is_led_from_within()
            && row.is_led_from_within();
        if same_members {
            self.move_leader(&before, &row);
        } else {
            self.account(slot, false);
        }
        match wide {
            Some(wide) => drop(self.wide.insert(slot, Arc::new(wide))),
            None if before.flags & WIDE != 0 => drop(self.wide.remove(&slot)),
            None => {}
        }
        if let Some(place) = self.partitions.edit(slot, row.stamp) {
            *place = row;
        }
        if !same_members {
            self.account(slot, true);
        }
    }

    /// Counts a new leader among the same replicas.
    fn move_leader(&mut self, before: &PartitionRow, after: &PartitionRow) {
        if before.leader == after.leader {
            return;
        }
        for (row, present) in [(before, false), (after, true)] {
            let leads = row.leader != BrokerNumber::NONE;
            if leads {
                let leaders = &mut self.by_broker.edit(row.leader).leaders;
                *leaders = if present { *leaders + 1 } else { *leaders - 1 };
            }
            tally(&mut self.counts.leaderless, !leads, present);
            tally(
                &mut self.counts.not_preferred,
                !leads || row.leader != row.replicas[0],
                present,
            );
        }
    }

    /// Takes a partition out, and returns what it was.
    fn take(&mut self, slot: u32) -> Partition {
        let partition = self
            .partition(slot)
            .expect("a topic's positions hold its partitions");
        self.account(slot, false);
        self.wide.remove(&slot);
        self.partitions.vacate(slot, PartitionRow::VACANT);
        partition
    }

    /// Adds a new position to the topic's runs.
    fn grow(&mut self, topic: u32, index: PartitionIndex, slot: u32) {
        // Partitions carry their own stamps: growing is no change of the topic itself.
        let Some(row) = self.rows.edit(topic, Offset::MIN) else {
            return;
        };
        let (before, count) = (*row, row.count);
        row.count += 1;
        let is_whole = before.first != TopicRow::SPLIT;
        if is_whole && index as u32 == count && (count == 0 || before.first + count == slot) {
            row.first = slot - count;
            return;
        }
        row.first = TopicRow::SPLIT;
        let runs = self.split.entry(topic).or_default();
        let runs = Arc::make_mut(runs);
        if is_whole && count > 0 {
            runs.push(Run {
                index: 0,
                slot: before.first,
                count,
            });
        }
        let at = runs.partition_point(|run| run.index < index);
        match at.checked_sub(1).map(|at| &mut runs[at]) {
            Some(run) if run.index + run.count as i32 == index && run.slot + run.count == slot => {
                run.count += 1;
            }
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

    /// Counts the partition at this position in, or out again.
    fn account(&mut self, slot: u32, present: bool) {
        let Some(row) = self.partitions.get(slot).copied() else {
            return;
        };
        let (leader, preferred) = match self.wide.get(&slot) {
            Some(wide) => {
                let wide = wide.clone();
                for id in Shape::of(&wide).members() {
                    self.index(
                        id,
                        slot,
                        present,
                        wide.replicas.contains(&id),
                        wide.leader == Some(id),
                    );
                }
                (
                    wide.leader.is_some(),
                    wide.leader.is_some() && wide.leader == wide.preferred_leader(),
                )
            }
            None => {
                for (at, number) in row.replica_numbers().iter().enumerate() {
                    let first = row.position(*number) == Some(at as u8);
                    self.index_number(
                        *number,
                        slot,
                        present,
                        first,
                        first && row.leader == *number,
                    );
                }
                let leads = row.leader != BrokerNumber::NONE;
                if leads && row.position(row.leader).is_none() {
                    self.index_number(row.leader, slot, present, false, true);
                }
                (leads, leads && row.replicas[0] == row.leader)
            }
        };
        tally(&mut self.counts.partitions, true, present);
        tally(&mut self.counts.leaderless, !leader, present);
        tally(&mut self.counts.not_preferred, !preferred, present);
    }

    fn index(&mut self, id: BrokerId, slot: u32, present: bool, replica: bool, leads: bool) {
        if let Some(number) = self.number(id) {
            self.index_number(number, slot, present, replica, leads);
        }
    }

    fn index_number(
        &mut self,
        number: BrokerNumber,
        slot: u32,
        present: bool,
        replica: bool,
        leads: bool,
    ) {
        let on = self.by_broker.edit(number);
        let step = |count: &mut u32, counts: bool| {
            *count = if present {
                *count + u32::from(counts)
            } else {
                *count - u32::from(counts)
            };
        };
        step(&mut on.replicas, replica);
        step(&mut on.leaders, leads);
        if present {
            on.insert(slot);
        } else {
            on.remove(slot);
        }
    }
}

fn tally(count: &mut usize, counts: bool, present: bool) {
    *count = if present {
        *count + usize::from(counts)
    } else {
        *count - usize::from(counts)
    };
}
