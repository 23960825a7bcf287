//! What a partition and a topic look like in memory: fixed rows without pointers, so that copying
//! a leaf of them is one move of bytes and dropping one frees one block.

use crate::ids::{BrokerId, Epoch, Offset, PartitionIndex, TopicId, Uuid};

use super::interner::{BrokerNumber, Interner};
use super::partition::PartitionRef;
use super::pvec::Row;

/// Replicas that fit a row. A partition with more is wide.
pub(super) const PACKED_MAX: usize = 4;

/// Its lists do not fit a row and stand in the side map of wide partitions.
const WIDE: u8 = 1;
/// The leader was elected uncleanly.
pub(super) const RECOVERING: u8 = 2;
const VACANT: u8 = 4;

/// One partition in 48 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartitionRow {
    pub(super) stamp: Offset,
    /// Position of its topic's row.
    pub(super) topic: u32,
    pub(super) index: PartitionIndex,
    pub(super) leader_epoch: Epoch,
    pub(super) partition_epoch: i32,
    pub(super) replicas: [BrokerNumber; PACKED_MAX],
    /// Number of each replica's directory among its broker's.
    pub(super) directories: [u8; PACKED_MAX],
    pub(super) leader: BrokerNumber,
    pub(super) isr: Positions,
    pub(super) elr: Positions,
    pub(super) last_known_elr: Positions,
    pub(super) flags: u8,
}

impl Row for PartitionRow {
    fn stamp(&self) -> Offset {
        self.stamp
    }
    fn is_vacant(&self) -> bool {
        self.flags & VACANT != 0
    }
}

impl PartitionRow {
    pub(super) const VACANT: Self = Self {
        stamp: 0,
        topic: 0,
        index: 0,
        leader_epoch: 0,
        partition_epoch: 0,
        replicas: [BrokerNumber::NONE; PACKED_MAX],
        directories: [0; PACKED_MAX],
        leader: BrokerNumber::NONE,
        isr: Positions::EMPTY,
        elr: Positions::EMPTY,
        last_known_elr: Positions::EMPTY,
        flags: VACANT,
    };

    /// The partition as a row, if it has an ordinary shape and everybody in it a number. Who has
    /// none yet is numbered by [`number`] first.
    pub(super) fn pack(
        interner: &Interner,
        topic: u32,
        value: &PartitionRef<'_>,
        stamp: Offset,
    ) -> Option<Self> {
        let ordinary = value.replicas.len() <= PACKED_MAX
            && value.adding.is_empty()
            && value.removing.is_empty();
        if !ordinary {
            return None;
        }
        let mut row = Self::without_lists(topic, value, stamp);
        row.flags &= !WIDE;
        for (at, id) in value.replicas.iter().enumerate() {
            let number = interner.find(*id)?;
            row.replicas[at] = number;
            row.directories[at] = interner.find_directory(number, value.directory(at))?;
        }
        if let Some(id) = value.leader {
            row.leader = interner.find(id)?;
        }
        row.isr = Positions::of(value.isr, value.replicas)?;
        row.elr = Positions::of(value.elr, value.replicas)?;
        row.last_known_elr = Positions::of(value.last_known_elr, value.replicas)?;
        Some(row)
    }

    /// The row of a partition whose lists stand in the side map.
    pub(super) fn without_lists(topic: u32, value: &PartitionRef<'_>, stamp: Offset) -> Self {
        let mut row = Self {
            stamp,
            topic,
            index: value.index,
            leader_epoch: value.leader_epoch,
            partition_epoch: value.partition_epoch,
            flags: WIDE,
            ..Self::VACANT
        };
        row.set_recovering(value.recovering);
        row
    }

    pub(super) fn is_wide(&self) -> bool {
        self.flags & WIDE != 0
    }

    pub(super) fn set_recovering(&mut self, recovering: bool) {
        self.flags = self.flags & !RECOVERING | if recovering { RECOVERING } else { 0 };
    }

    /// Led by its preferred leader.
    pub(super) fn is_led_by_first(&self) -> bool {
        self.leader != BrokerNumber::NONE && self.leader == self.replicas[0]
    }

    /// Replicas by number, in order. Empty where the row is wide.
    pub(super) fn replica_numbers(&self) -> &[BrokerNumber] {
        let count = self
            .replicas
            .iter()
            .take_while(|it| **it != BrokerNumber::NONE)
            .count();
        &self.replicas[..count]
    }

    /// The leader, if there is one, is a replica. Always so, unless somebody wrote odd records.
    pub(super) fn is_led_from_within(&self) -> bool {
        self.leader == BrokerNumber::NONE || self.position(self.leader).is_some()
    }

    /// Where in the replicas this broker stands.
    pub(super) fn position(&self, broker: BrokerNumber) -> Option<u8> {
        self.replica_numbers()
            .iter()
            .position(|it| *it == broker)
            .map(|at| at as u8)
    }
}

/// Gives a number to every broker and directory of this partition that has none yet, as far as numbers
/// go. Also to strangers in its lists: whoever is numbered later must find all they are named in.
pub(super) fn number(interner: &mut Interner, value: &PartitionRef<'_>) {
    for id in value.members() {
        let _ = interner.find(id).or_else(|| interner.add(id));
    }
    for (at, id) in value.replicas.iter().enumerate() {
        let directory = value.directory(at);
        if let Some(broker) = interner.find(*id)
            && interner.find_directory(broker, directory).is_none()
        {
            interner.add_directory(broker, directory);
        }
    }
}

/// A list of up to four of a row's replicas: their positions, four bits each, in the list's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Positions(u16);

impl Positions {
    /// The empty list. A group of four bits all set ends a list.
    pub(super) const EMPTY: Self = Self(u16::MAX);

    /// The list as positions, if it is short enough and everybody in it is one of `replicas`.
    pub(super) fn of(list: &[BrokerId], replicas: &[BrokerId]) -> Option<Self> {
        let position = |id| {
            replicas
                .iter()
                .position(|replica| *replica == id)
                .map(|at| at as u8)
        };
        Self::by(list, position)
    }

    /// The same, with `position` to tell where a broker stands among the replicas.
    pub(super) fn by(list: &[BrokerId], position: impl Fn(BrokerId) -> Option<u8>) -> Option<Self> {
        if list.len() > PACKED_MAX {
            return None;
        }
        let mut bits = Self::EMPTY.0;
        for (at, id) in list.iter().enumerate() {
            bits &= !(0xf << (4 * at)) | u16::from(position(*id)?) << (4 * at);
        }
        Some(Self(bits))
    }

    /// The positions, in order.
    pub(super) fn iter(self) -> impl Iterator<Item = u8> {
        (0..PACKED_MAX)
            .map(move |at| (self.0 >> (4 * at) & 0xf) as u8)
            .take_while(|it| *it != 0xf)
    }

    pub(super) fn contains(self, position: u8) -> bool {
        self.iter().any(|it| it == position)
    }
}

/// One topic in 32 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct TopicRow {
    pub(super) id: TopicId,
    pub(super) stamp: Offset,
    /// Partition `i` of a whole topic is at `first + i`; see the constants for other topics.
    pub(super) first: u32,
    /// How many partitions it has.
    pub(super) count: u32,
}

impl TopicRow {
    /// `first` of a topic whose partitions do not stand side by side from index 0 on: it has runs.
    pub(super) const SPLIT: u32 = u32::MAX;
    const GONE: u32 = u32::MAX - 1;

    pub(super) const VACANT: Self = Self {
        id: Uuid::nil(),
        stamp: 0,
        first: Self::GONE,
        count: 0,
    };
}

impl TopicRow {
    pub(super) fn is_split(&self) -> bool {
        self.first == Self::SPLIT
    }
}

impl Row for TopicRow {
    fn stamp(&self) -> Offset {
        self.stamp
    }
    fn is_vacant(&self) -> bool {
        self.first == Self::GONE
    }
}

/// Partitions of a topic that stand side by side: `index`, `index + 1`, … at `slot`, `slot + 1`, …
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) index: PartitionIndex,
    pub(super) slot: u32,
    pub(super) count: u32,
}

impl Run {
    /// Whether a partition with this index at this position is the next one of the run.
    pub(super) fn goes_on_with(&self, index: PartitionIndex, slot: u32) -> bool {
        i64::from(self.index) + i64::from(self.count) == i64::from(index)
            && self.slot + self.count == slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_as_small_as_promised() {
        assert_eq!(size_of::<PartitionRow>(), 48);
        assert_eq!(size_of::<TopicRow>(), 32);
    }

    #[test]
    fn positions_keep_order_and_refuse_strangers() {
        let ids = |list: &[i32]| list.iter().map(|id| BrokerId(*id)).collect::<Vec<_>>();
        let replicas = ids(&[5, 6, 7, 8]);
        let check = |list: &[i32], expect: Option<&[u8]>| {
            let positions = Positions::of(&ids(list), &replicas);
            let found = positions.map(|it| it.iter().collect::<Vec<_>>());
            assert_eq!(found.as_deref(), expect, "{list:?}");
        };
        check(&[], Some(&[]));
        check(&[8, 5], Some(&[3, 0]));
        check(&[5, 6, 7, 8], Some(&[0, 1, 2, 3]));
        check(&[9], None);
    }
}
