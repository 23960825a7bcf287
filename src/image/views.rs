//! How others see topics and partitions: light values that borrow the image. Nobody outside this
//! room sees a row.

use std::fmt;
use std::ops::Deref;

use crate::ids::{BrokerId, Epoch, Offset, PartitionIndex, Stamp, TopicId, Uuid};

use super::Image;
use super::partition::Partition;
use super::partitions::Partitions;
use super::rows::{PACKED_MAX, PartitionRow, Positions, RECOVERING, TopicRow};

/// A topic.
#[derive(Clone, Copy)]
pub struct TopicView<'a> {
    image: &'a Image,
    slot: u32,
    row: &'a TopicRow,
}

impl<'a> TopicView<'a> {
    pub(super) fn at(image: &'a Image, slot: u32) -> Option<Self> {
        Some(Self {
            image,
            slot,
            row: image.topics.get(slot)?,
        })
    }
    /// Its id.
    pub fn id(self) -> TopicId {
        self.row.id
    }
    /// Its name.
    pub fn name(self) -> &'a str {
        self.image.topics.name(self.slot)
    }
    /// When it was created. Its partitions have stamps of their own.
    pub fn stamp(self) -> Stamp {
        self.image.stamp_at(self.row.stamp)
    }
    pub(super) fn offset(self) -> Offset {
        self.row.stamp
    }
    /// How many partitions it has. Their indexes need not be dense.
    pub fn partition_count(self) -> usize {
        self.row.count as usize
    }
    /// The index that comes next: the highest one and one more.
    pub fn next_partition_index(self) -> PartitionIndex {
        self.image.topics.next_index(self.slot)
    }
    /// The partition with this index.
    pub fn partition(self, index: PartitionIndex) -> Option<PartitionView<'a>> {
        PartitionView::at(self.image, self.image.topics.slot(self.slot, index)?)
    }
    /// All partitions, in the order of their indexes.
    pub fn partitions(self) -> impl Iterator<Item = PartitionView<'a>> + use<'a> {
        let image = self.image;
        image
            .topics
            .slots(self.slot)
            .filter_map(move |slot| PartitionView::at(image, slot))
    }
}

/// Where in a broker's partitions a walk stands. It stays good as the image changes: partitions
/// that are added later come after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub(super) u32);

/// A partition. Lists are unpacked when asked for, so ask once.
#[derive(Clone, Copy)]
pub struct PartitionView<'a> {
    image: &'a Image,
    slot: u32,
    row: &'a PartitionRow,
    wide: Option<&'a Partition>,
}

impl<'a> PartitionView<'a> {
    pub(super) fn at(image: &'a Image, slot: u32) -> Option<Self> {
        let row = image.topics.partitions.get(slot)?;
        let wide = if row.is_wide() {
            image.topics.partitions.wide(slot)
        } else {
            None
        };
        Some(Self {
            image,
            slot,
            row,
            wide,
        })
    }
    /// Its topic.
    pub fn topic(self) -> TopicView<'a> {
        TopicView::at(self.image, self.row.topic).expect("a partition goes together with its topic")
    }
    /// Id of its topic.
    pub fn topic_id(self) -> TopicId {
        self.topic().id()
    }
    /// Name of its topic.
    pub fn topic_name(self) -> &'a str {
        self.image.topics.name(self.row.topic)
    }
    /// Its number within the topic.
    pub fn index(self) -> PartitionIndex {
        self.row.index
    }
    /// When it changed last.
    pub fn stamp(self) -> Stamp {
        self.image.stamp_at(self.row.stamp)
    }
    pub(super) fn offset(self) -> Offset {
        self.row.stamp
    }
    /// Where a walk over a broker's partitions goes on after this one.
    pub fn next(self) -> Cursor {
        Cursor(self.slot + 1)
    }
    /// Replicas, the preferred leader first.
    pub fn replicas(self) -> Brokers<'a> {
        match self.wide {
            Some(wide) => List::Wide(&wide.replicas),
            None => List::packed(self.store().replicas(self.row)),
        }
    }
    /// The log directory of each replica, in the order of the replicas.
    pub fn directories(self) -> Directories<'a> {
        match self.wide {
            Some(wide) => List::Wide(&wide.directories),
            None => List::packed(self.store().directories(self.row)),
        }
    }
    /// Replicas in sync.
    pub fn isr(self) -> Brokers<'a> {
        self.list(self.row.isr, |wide| &wide.isr)
    }
    /// Whether this broker holds a replica. Quicker than unpacking the list.
    pub fn is_on(self, broker: BrokerId) -> bool {
        match self.wide {
            Some(wide) => wide.replicas.contains(&broker),
            None => self.position(broker).is_some(),
        }
    }
    /// Whether this broker is in sync. Quicker than unpacking the list.
    pub fn is_in_sync(self, broker: BrokerId) -> bool {
        match self.wide {
            Some(wide) => wide.isr.contains(&broker),
            None => self
                .position(broker)
                .is_some_and(|at| self.row.isr.contains(at)),
        }
    }
    /// Replicas outside the ISR that may still be elected without losing data.
    pub fn elr(self) -> Brokers<'a> {
        self.list(self.row.elr, |wide| &wide.elr)
    }
    /// Those that were eligible before their data became doubtful.
    pub fn last_known_elr(self) -> Brokers<'a> {
        self.list(self.row.last_known_elr, |wide| &wide.last_known_elr)
    }
    /// Replicas that a reassignment adds.
    pub fn adding(self) -> &'a [BrokerId] {
        self.wide.map_or(&[], |wide| &wide.adding)
    }
    /// Replicas that a reassignment will remove.
    pub fn removing(self) -> &'a [BrokerId] {
        self.wide.map_or(&[], |wide| &wide.removing)
    }
    /// Whether a reassignment is under way.
    pub fn is_reassigning(self) -> bool {
        self.wide.is_some_and(Partition::is_reassigning)
    }
    /// The leader, if there is one.
    pub fn leader(self) -> Option<BrokerId> {
        match self.wide {
            Some(wide) => wide.leader,
            None => self.store().leader(self.row),
        }
    }
    /// The replica that should lead: the first one.
    pub fn preferred_leader(self) -> Option<BrokerId> {
        self.replicas().first().copied()
    }
    /// Grows by one with each change of leader.
    pub fn leader_epoch(self) -> Epoch {
        self.row.leader_epoch
    }
    /// Grows by one with each change at all.
    pub fn partition_epoch(self) -> i32 {
        self.row.partition_epoch
    }
    /// The leader was elected uncleanly and has not caught up with itself yet.
    pub fn recovering(self) -> bool {
        self.row.flags & RECOVERING != 0
    }
    /// The same as a plain value.
    pub fn to_owned(self) -> Partition {
        self.store()
            .unpack(self.slot, self.topic_id())
            .expect("the view was made from a row that is there")
    }

    fn position(self, broker: BrokerId) -> Option<u8> {
        self.row.position(self.store().number(broker)?)
    }

    fn store(self) -> &'a Partitions {
        &self.image.topics.partitions
    }

    fn list(
        self,
        packed: Positions,
        wide: impl Fn(&'a Partition) -> &'a Vec<BrokerId>,
    ) -> Brokers<'a> {
        match self.wide {
            Some(partition) => List::Wide(wide(partition)),
            None => {
                let replicas = self.replicas();
                List::packed(packed.iter().map(|at| replicas[usize::from(at)]))
            }
        }
    }
}

impl fmt::Debug for TopicView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} partitions)", self.name(), self.partition_count())
    }
}

impl fmt::Debug for PartitionView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{} {:?}",
            self.topic_name(),
            self.index(),
            (*self).to_owned()
        )
    }
}

/// Broker ids of a partition, as a slice.
pub type Brokers<'a> = List<'a, BrokerId>;
/// Directory ids of a partition, as a slice.
pub type Directories<'a> = List<'a, Uuid>;

/// A list unpacked from a row, or borrowed where rows cannot hold it. Use it as a slice.
#[derive(Clone, Copy)]
pub enum List<'a, T> {
    /// The first so many of these.
    Packed([T; PACKED_MAX], u8),
    /// All of these.
    Wide(&'a [T]),
}

impl<T: Copy + Default> List<'_, T> {
    fn packed(items: impl Iterator<Item = T>) -> Self {
        let mut list = [T::default(); PACKED_MAX];
        let mut count = 0;
        for (place, item) in list.iter_mut().zip(items) {
            *place = item;
            count += 1;
        }
        List::Packed(list, count)
    }
}

impl<T> Deref for List<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        match self {
            List::Packed(list, count) => &list[..usize::from(*count)],
            List::Wide(list) => list,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: PartialEq> PartialEq<[T]> for List<'_, T> {
    fn eq(&self, other: &[T]) -> bool {
        **self == *other
    }
}

impl<T: PartialEq> PartialEq<Vec<T>> for List<'_, T> {
    fn eq(&self, other: &Vec<T>) -> bool {
        **self == **other
    }
}
