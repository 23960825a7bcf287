//! Partitions by position: their rows, the side map of those that fit no row, and for each broker
//! the positions that name it. Which position belongs to which topic and index is the business of
//! [`topics`](super::topics).

use imbl::OrdMap;
use triomphe::Arc;

use crate::ids::{BrokerId, Offset, TopicId, Uuid};
use crate::records::PartitionChangeRecord;

use super::by_broker::{ByBroker, OnBroker};
use super::error::ApplyError;
use super::interner::{BrokerNumber, Interner};
use super::partition::{NO_LEADER_CHANGE, Partition, PartitionRef, leader, recovering};
use super::pvec::PVec;
use super::rows::{self, PartitionRow, Positions, RECOVERING};

/// All partitions. Clone is O(1).
#[derive(Clone, Default)]
pub(super) struct Partitions {
    rows: PVec<PartitionRow>,
    /// Those whose lists do not fit a row, by position.
    wide: OrdMap<u32, Arc<Partition>>,
    by_broker: ByBroker,
    interner: Arc<Interner>,
    count: u32,
    leaderless: u32,
    not_preferred: u32,
}

/// Changing.
impl Partitions {
    /// Adds a partition of the topic at this position, and returns its own position.
    pub(super) fn push(&mut self, topic: u32, value: &PartitionRef<'_>, stamp: Offset) -> u32 {
        let row = self.row(topic, value, stamp);
        let slot = self.rows.push(row);
        if row.is_wide() {
            self.wide.insert(slot, Arc::new(value.to_partition()));
        }
        self.count += 1;
        self.account(slot, 1);
        slot
    }

    /// Puts another value in a partition's place.
    pub(super) fn put(&mut self, slot: u32, value: &PartitionRef<'_>, stamp: Offset) {
        let Some(topic) = self.rows.get(slot).map(|row| row.topic) else {
            return;
        };
        let row = self.row(topic, value, stamp);
        self.account(slot, -1);
        if row.is_wide() {
            self.wide.insert(slot, Arc::new(value.to_partition()));
        } else {
            self.wide.remove(&slot);
        }
        self.write(slot, row);
        self.account(slot, 1);
    }

    /// Applies a change to a partition: see [`Partition::merge`].
    pub(super) fn change(
        &mut self,
        slot: u32,
        topic_id: TopicId,
        record: &PartitionChangeRecord,
        stamp: Offset,
    ) -> Result<(), ApplyError> {
        if let Some((before, after)) = self.changed_in_place(slot, record, stamp)? {
            self.move_leader(&before, &after);
            self.write(slot, after);
            return Ok(());
        }
        let unknown = ApplyError::UnknownPartition(topic_id, record.partition_id);
        let after = self.unpack(slot, topic_id).ok_or(unknown)?.merge(record)?;
        self.put(slot, &after.borrow(), stamp);
        Ok(())
    }

    /// Empties both ELRs of a partition and raises its epoch, unless they are empty.
    pub(super) fn clear_elr(&mut self, slot: u32, topic_id: TopicId, stamp: Offset) {
        let has_elr = self.get(slot).is_some_and(|row| match self.wide(slot) {
            Some(wide) => !wide.elr.is_empty() || !wide.last_known_elr.is_empty(),
            None => row.elr != Positions::EMPTY || row.last_known_elr != Positions::EMPTY,
        });
        if has_elr && let Some(mut partition) = self.unpack(slot, topic_id) {
            partition.elr.clear();
            partition.last_known_elr.clear();
            partition.partition_epoch += 1;
            self.put(slot, &partition.borrow(), stamp);
        }
    }

    /// Takes a partition out, and returns what it was.
    pub(super) fn remove(&mut self, slot: u32, topic_id: TopicId) -> Option<Partition> {
        let partition = self.unpack(slot, topic_id)?;
        self.account(slot, -1);
        self.count -= 1;
        self.wide.remove(&slot);
        self.rows.vacate(slot, PartitionRow::VACANT);
        Some(partition)
    }
}

/// Reading.
impl Partitions {
    /// The row at this position.
    pub(super) fn get(&self, slot: u32) -> Option<&PartitionRow> {
        self.rows.get(slot)
    }

    /// Positions of all partitions that changed after this offset; of all for the least offset.
    pub(super) fn since(&self, after: Offset) -> impl Iterator<Item = u32> + use<'_> {
        self.rows.since(after).map(|(slot, _)| slot)
    }

    /// The lists of a partition that fits no row.
    pub(super) fn wide(&self, slot: u32) -> Option<&Partition> {
        self.wide.get(&slot).map(|wide| &**wide)
    }

    /// The partition at this position, which belongs to this topic, with all its lists.
    pub(super) fn unpack(&self, slot: u32, topic_id: TopicId) -> Option<Partition> {
        let row = self.rows.get(slot)?;
        if row.is_wide() {
            return self.wide(slot).cloned();
        }
        let replicas: Vec<BrokerId> = self.replicas(row).collect();
        let list = |at: Positions| at.iter().map(|at| replicas[usize::from(at)]).collect();
        Some(Partition {
            topic_id,
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

    /// The replicas in a packed row.
    pub(super) fn replicas<'a>(&'a self, row: &'a PartitionRow) -> impl Iterator<Item = BrokerId> {
        row.replica_numbers()
            .iter()
            .map(|number| self.interner.broker(*number))
    }

    /// The directory of each replica in a packed row.
    pub(super) fn directories<'a>(&'a self, row: &'a PartitionRow) -> impl Iterator<Item = Uuid> {
        let numbers = row.replica_numbers().iter().zip(row.directories);
        numbers.map(|(broker, directory)| self.interner.directory(*broker, directory))
    }

    /// The leader in a packed row.
    pub(super) fn leader(&self, row: &PartitionRow) -> Option<BrokerId> {
        (row.leader != BrokerNumber::NONE).then(|| self.interner.broker(row.leader))
    }

    /// The number of this broker in rows.
    pub(super) fn number(&self, broker: BrokerId) -> Option<BrokerNumber> {
        self.interner.find(broker)
    }

    /// How many there are; how many of them without a leader; how many not led by their first
    /// replica.
    pub(super) fn counts(&self) -> (u32, u32, u32) {
        (self.count, self.leaderless, self.not_preferred)
    }

    /// How many replicas this broker holds, and how many partitions it leads.
    pub(super) fn on_broker(&self, broker: BrokerId) -> (usize, usize) {
        let on = self.indexed(broker);
        on.map_or((0, 0), |on| (on.replicas as usize, on.leaders as usize))
    }

    /// Positions of the partitions that name this broker anywhere, from `from` on.
    pub(super) fn naming(
        &self,
        broker: BrokerId,
        from: u32,
    ) -> impl Iterator<Item = u32> + use<'_> {
        let indexed = self.indexed(broker);
        // Brokers beyond the last number are rare enough to be looked for one by one.
        let is_numbered = self.number(broker).is_some();
        let unnumbered = (!is_numbered).then(|| self.wide.range(from..));
        let named =
            move |(_, it): &(&u32, &Arc<Partition>)| it.borrow().members().contains(&broker);
        let unnumbered = unnumbered.into_iter().flatten().filter(named);
        let indexed = indexed.into_iter().flat_map(move |on| on.slots(from));
        indexed.chain(unnumbered.map(|(slot, _)| *slot))
    }

    fn indexed(&self, broker: BrokerId) -> Option<&OnBroker> {
        self.by_broker.get(self.number(broker)?)
    }
}

/// Rows, and what is derived from them.
impl Partitions {
    /// The value as a row, or as a wide row where it fits none.
    fn row(&mut self, topic: u32, value: &PartitionRef<'_>, stamp: Offset) -> PartitionRow {
        if let Some(row) = PartitionRow::pack(&self.interner, topic, value, stamp) {
            return row;
        }
        rows::number(Arc::make_mut(&mut self.interner), value);
        PartitionRow::pack(&self.interner, topic, value, stamp)
            .unwrap_or_else(|| PartitionRow::without_lists(topic, value, stamp))
    }

    fn write(&mut self, slot: u32, row: PartitionRow) {
        if let Some(place) = self.rows.edit(slot, row.stamp) {
            *place = row;
        }
    }

    /// The row before and after a change that leaves replicas and directories alone, which is
    /// nearly every one; `None` where the change needs the partition's full lists.
    fn changed_in_place(
        &self,
        slot: u32,
        record: &PartitionChangeRecord,
        stamp: Offset,
    ) -> Result<Option<(PartitionRow, PartitionRow)>, ApplyError> {
        let none = |list: &Option<Vec<BrokerId>>| list.as_ref().is_none_or(Vec::is_empty);
        let simple = record.replicas.is_none()
            && record.directories.is_none()
            && none(&record.adding_replicas)
            && none(&record.removing_replicas);
        let Some(before) = self.rows.get(slot).filter(|row| simple && !row.is_wide()) else {
            return Ok(None);
        };
        let mut after = *before;
        after.stamp = stamp;
        after.partition_epoch += 1;
        if record.leader_recovery_state != -1 {
            after.set_recovering(recovering(record.leader_recovery_state)?);
        }
        if record.leader != NO_LEADER_CHANGE {
            let number = leader(BrokerId(record.leader)).map(|id| self.number(id));
            let Some(number) = number.unwrap_or(Some(BrokerNumber::NONE)) else {
                return Ok(None);
            };
            after.leader = number;
            after.leader_epoch += 1;
        }
        let position = |id| before.position(self.number(id)?);
        for (list, place) in [
            (&record.isr, &mut after.isr),
            (&record.eligible_leader_replicas, &mut after.elr),
            (&record.last_known_elr, &mut after.last_known_elr),
        ] {
            if let Some(list) = list {
                let Some(positions) = Positions::by(list, position) else {
                    return Ok(None);
                };
                *place = positions;
            }
        }
        let ordinary = before.is_led_from_within() && after.is_led_from_within();
        Ok(ordinary.then_some((*before, after)))
    }

    /// Counts a new leader among the same replicas.
    fn move_leader(&mut self, before: &PartitionRow, after: &PartitionRow) {
        if before.leader == after.leader {
            return;
        }
        for (row, step) in [(before, -1), (after, 1)] {
            if row.leader != BrokerNumber::NONE {
                add(&mut self.by_broker.edit(row.leader).leaders, step);
            }
            self.tally(
                row.leader != BrokerNumber::NONE,
                row.is_led_by_first(),
                step,
            );
        }
    }

    /// Counts the partition at this position in (1) or out (-1), for everybody it names.
    fn account(&mut self, slot: u32, step: i32) {
        let Some(row) = self.rows.get(slot) else {
            return;
        };
        let by_broker = &mut self.by_broker;
        let mut role = |number: BrokerNumber, is_replica: bool, leads: bool| {
            let on = by_broker.edit(number);
            add(&mut on.replicas, step * i32::from(is_replica));
            add(&mut on.leaders, step * i32::from(leads));
            if step > 0 {
                on.insert(slot)
            } else {
                on.remove(slot)
            }
        };
        if let Some(wide) = self.wide.get(&slot) {
            let numbered = |id: BrokerId| Some((id, self.interner.find(id)?));
            for (id, number) in wide.borrow().members().into_iter().filter_map(numbered) {
                role(number, wide.replicas.contains(&id), wide.leader == Some(id));
            }
            let is_preferred = wide.leader.is_some() && wide.leader == wide.preferred_leader();
            return self.tally(wide.leader.is_some(), is_preferred, step);
        }
        let row = *row;
        for (at, number) in row.replica_numbers().iter().enumerate() {
            // Nobody is counted twice, not even where records name a replica twice.
            if row.position(*number) == Some(at as u8) {
                role(*number, true, row.leader == *number);
            }
        }
        if !row.is_led_from_within() {
            role(row.leader, false, true);
        }
        self.tally(
            row.leader != BrokerNumber::NONE,
            row.is_led_by_first(),
            step,
        );
    }

    fn tally(&mut self, has_leader: bool, is_preferred: bool, step: i32) {
        add(&mut self.leaderless, step * i32::from(!has_leader));
        add(&mut self.not_preferred, step * i32::from(!is_preferred));
    }
}

/// Moves a count, which never falls below zero: nothing is counted out that was not counted in.
fn add(count: &mut u32, step: i32) {
    *count = count.wrapping_add_signed(step);
}
