//! A partition as a plain value, and how records change it (`PartitionRegistration`, 4.3.1).

use std::borrow::Cow;

use crate::ids::{BrokerId, Epoch, NO_BROKER, PartitionIndex, TopicId, Uuid, directory};
use crate::records::{PartitionChangeRecord, PartitionRecord};

use super::error::ApplyError;

/// `leader` of a PartitionChangeRecord that leaves the leader as it is.
pub const NO_LEADER_CHANGE: i32 = -2;

/// A partition with all its lists. The image packs it; rules work on this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its topic.
    pub topic_id: TopicId,
    /// Its number within the topic.
    pub index: PartitionIndex,
    /// Replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// The log directory of each replica, in the order of `replicas`.
    pub directories: Vec<Uuid>,
    /// Replicas in sync.
    pub isr: Vec<BrokerId>,
    /// Replicas outside the ISR that may still be elected without losing data.
    pub elr: Vec<BrokerId>,
    /// Those that were in `elr` before their data became doubtful.
    pub last_known_elr: Vec<BrokerId>,
    /// Replicas that a reassignment adds.
    pub adding: Vec<BrokerId>,
    /// Replicas that a reassignment will remove.
    pub removing: Vec<BrokerId>,
    /// The leader, if there is one.
    pub leader: Option<BrokerId>,
    /// Grows by one with each change of leader.
    pub leader_epoch: Epoch,
    /// Grows by one with each change at all.
    pub partition_epoch: i32,
    /// The leader was elected uncleanly and has not caught up with itself yet.
    pub recovering: bool,
}

impl Partition {
    /// The partition that this record sets, epochs included.
    pub fn from_record(record: &PartitionRecord) -> Result<Self, ApplyError> {
        Ok(PartitionRef::from_record(record)?.to_partition())
    }

    /// This partition after the change. A field that is absent is kept; a leader that is present
    /// raises the leader epoch even if it is the same; the partition epoch always rises
    /// (`PartitionRegistration.merge`, 4.3.1).
    pub fn merge(&self, record: &PartitionChangeRecord) -> Result<Self, ApplyError> {
        let list =
            |new: &Option<Vec<BrokerId>>, old: &Vec<BrokerId>| new.as_ref().unwrap_or(old).clone();
        let replicas = list(&record.replicas, &self.replicas);
        let directories = record.directories.as_ref().unwrap_or(&self.directories);
        let changes_leader = record.leader != NO_LEADER_CHANGE;
        let partition = Self {
            topic_id: self.topic_id,
            index: self.index,
            directories: or_migrating(directories, replicas.len()).into_owned(),
            replicas,
            isr: list(&record.isr, &self.isr),
            elr: list(&record.eligible_leader_replicas, &self.elr),
            last_known_elr: list(&record.last_known_elr, &self.last_known_elr),
            adding: list(&record.adding_replicas, &self.adding),
            removing: list(&record.removing_replicas, &self.removing),
            leader: if changes_leader {
                leader(BrokerId(record.leader))
            } else {
                self.leader
            },
            leader_epoch: self.leader_epoch + i32::from(changes_leader),
            partition_epoch: self.partition_epoch + 1,
            recovering: match record.leader_recovery_state {
                -1 => self.recovering,
                state => recovering(state)?,
            },
        };
        if partition.directories.len() != partition.replicas.len() {
            return Err(ApplyError::BadPartition(self.topic_id, self.index));
        }
        Ok(partition)
    }

    /// The record that sets exactly this partition.
    pub fn to_record(&self) -> PartitionRecord {
        let unless_empty = |list: &Vec<BrokerId>| (!list.is_empty()).then(|| list.clone());
        PartitionRecord {
            partition_id: self.index,
            topic_id: self.topic_id,
            replicas: self.replicas.clone(),
            isr: self.isr.clone(),
            removing_replicas: self.removing.clone(),
            adding_replicas: self.adding.clone(),
            leader: self.leader.unwrap_or(NO_BROKER),
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            directories: self.directories.clone(),
            leader_recovery_state: i8::from(self.recovering),
            eligible_leader_replicas: unless_empty(&self.elr),
            last_known_elr: unless_empty(&self.last_known_elr),
        }
    }

    /// Whether a reassignment is under way.
    pub fn is_reassigning(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// The replica that should lead: the first one.
    pub fn preferred_leader(&self) -> Option<BrokerId> {
        self.replicas.first().copied()
    }

    /// The directory of this broker's replica; `None` if it holds none.
    pub fn directory(&self, broker: BrokerId) -> Option<Uuid> {
        let at = self
            .replicas
            .iter()
            .position(|replica| *replica == broker)?;
        self.directories.get(at).copied()
    }

    /// The same, borrowed.
    pub(super) fn borrow(&self) -> PartitionRef<'_> {
        PartitionRef {
            topic_id: self.topic_id,
            index: self.index,
            replicas: &self.replicas,
            directories: &self.directories,
            isr: &self.isr,
            elr: &self.elr,
            last_known_elr: &self.last_known_elr,
            adding: &self.adding,
            removing: &self.removing,
            leader: self.leader,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            recovering: self.recovering,
        }
    }
}

/// A partition whose lists belong to somebody else: to a record or to a [`Partition`].
pub(super) struct PartitionRef<'a> {
    pub(super) topic_id: TopicId,
    pub(super) index: PartitionIndex,
    pub(super) replicas: &'a [BrokerId],
    /// As many as replicas, or none at all: MIGRATING each.
    directories: &'a [Uuid],
    pub(super) isr: &'a [BrokerId],
    pub(super) elr: &'a [BrokerId],
    pub(super) last_known_elr: &'a [BrokerId],
    pub(super) adding: &'a [BrokerId],
    pub(super) removing: &'a [BrokerId],
    pub(super) leader: Option<BrokerId>,
    pub(super) leader_epoch: Epoch,
    pub(super) partition_epoch: i32,
    pub(super) recovering: bool,
}

impl<'a> PartitionRef<'a> {
    /// The partition that this record sets. Refused if directories and replicas differ in number,
    /// the index is negative, or the recovery state is unknown.
    pub(super) fn from_record(record: &'a PartitionRecord) -> Result<Self, ApplyError> {
        let directories = if is_migrating(&record.directories) {
            &[]
        } else {
            &*record.directories
        };
        let fits = directories.is_empty() || directories.len() == record.replicas.len();
        if record.partition_id < 0 || !fits {
            return Err(ApplyError::BadPartition(
                record.topic_id,
                record.partition_id,
            ));
        }
        Ok(Self {
            topic_id: record.topic_id,
            index: record.partition_id,
            replicas: &record.replicas,
            directories,
            isr: &record.isr,
            elr: record
                .eligible_leader_replicas
                .as_deref()
                .unwrap_or_default(),
            last_known_elr: record.last_known_elr.as_deref().unwrap_or_default(),
            adding: &record.adding_replicas,
            removing: &record.removing_replicas,
            leader: leader(record.leader),
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
            recovering: recovering(record.leader_recovery_state)?,
        })
    }

    /// The directory of the replica at this place.
    pub(super) fn directory(&self, at: usize) -> Uuid {
        self.directories
            .get(at)
            .copied()
            .unwrap_or(directory::MIGRATING)
    }

    /// Everybody the partition names, once, in the order of ids.
    pub(super) fn members(&self) -> Vec<BrokerId> {
        let lists = [self.replicas, self.isr, self.elr, self.last_known_elr];
        let mut all: Vec<BrokerId> = lists.concat();
        all.extend(self.leader);
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The same with lists of its own.
    pub(super) fn to_partition(&self) -> Partition {
        Partition {
            topic_id: self.topic_id,
            index: self.index,
            replicas: self.replicas.to_vec(),
            directories: or_migrating(self.directories, self.replicas.len()).into_owned(),
            isr: self.isr.to_vec(),
            elr: self.elr.to_vec(),
            last_known_elr: self.last_known_elr.to_vec(),
            adding: self.adding.to_vec(),
            removing: self.removing.to_vec(),
            leader: self.leader,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            recovering: self.recovering,
        }
    }
}

/// A list without any real id stands for MIGRATING on each replica, whatever its length.
fn or_migrating(ids: &[Uuid], replicas: usize) -> Cow<'_, [Uuid]> {
    if is_migrating(ids) {
        vec![directory::MIGRATING; replicas].into()
    } else {
        ids.into()
    }
}

fn is_migrating(ids: &[Uuid]) -> bool {
    ids.iter().all(|id| *id == directory::MIGRATING)
}

pub(super) fn recovering(state: i8) -> Result<bool, ApplyError> {
    match state {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(ApplyError::BadField(
            "leaderRecoveryState",
            i64::from(other),
        )),
    }
}

pub(super) fn leader(id: BrokerId) -> Option<BrokerId> {
    (id != NO_BROKER).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(list: &[i32]) -> Vec<BrokerId> {
        list.iter().map(|id| BrokerId(*id)).collect()
    }

    fn before() -> Partition {
        Partition {
            topic_id: Uuid::from_u128(7),
            index: 3,
            replicas: ids(&[1, 2, 3]),
            directories: [101, 102, 103].map(Uuid::from_u128).to_vec(),
            isr: ids(&[1, 2]),
            elr: ids(&[3]),
            last_known_elr: ids(&[]),
            adding: ids(&[]),
            removing: ids(&[]),
            leader: Some(BrokerId(1)),
            leader_epoch: 4,
            partition_epoch: 9,
            recovering: false,
        }
    }

    /// A change that changes nothing but the partition epoch.
    fn nothing() -> PartitionChangeRecord {
        PartitionChangeRecord {
            partition_id: 3,
            topic_id: Uuid::from_u128(7),
            leader: NO_LEADER_CHANGE,
            leader_recovery_state: -1,
            isr: None,
            replicas: None,
            removing_replicas: None,
            adding_replicas: None,
            eligible_leader_replicas: None,
            last_known_elr: None,
            directories: None,
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut PartitionChangeRecord), expect: impl FnOnce(&mut Partition)) {
        let mut record = nothing();
        change(&mut record);
        let mut expected = Partition {
            partition_epoch: 10,
            ..before()
        };
        expect(&mut expected);
        assert_eq!(before().merge(&record), Ok(expected));
    }

    #[test]
    fn a_change_replaces_what_it_names_and_keeps_the_rest() {
        check(|_| {}, |_| {});
        check(|c| c.isr = Some(ids(&[1])), |p| p.isr = ids(&[1]));
        check(|c| c.isr = Some(ids(&[])), |p| p.isr = ids(&[]));
        check(
            |c| c.eligible_leader_replicas = Some(ids(&[])),
            |p| p.elr = ids(&[]),
        );
        check(
            |c| c.last_known_elr = Some(ids(&[2])),
            |p| p.last_known_elr = ids(&[2]),
        );
        check(
            |c| c.adding_replicas = Some(ids(&[4])),
            |p| p.adding = ids(&[4]),
        );
        check(
            |c| c.removing_replicas = Some(ids(&[1])),
            |p| p.removing = ids(&[1]),
        );
        check(
            |c| c.replicas = Some(ids(&[3, 2, 1])),
            |p| p.replicas = ids(&[3, 2, 1]),
        );
        check(|c| c.leader_recovery_state = 1, |p| p.recovering = true);
        check(|c| c.leader_recovery_state = 0, |p| p.recovering = false);
    }

    #[test]
    fn a_named_leader_raises_the_leader_epoch_even_if_it_is_the_same() {
        for (named, leader) in [(2, Some(BrokerId(2))), (1, Some(BrokerId(1))), (-1, None)] {
            check(
                |c| c.leader = named,
                |p| (p.leader, p.leader_epoch) = (leader, 5),
            );
        }
    }

    #[test]
    fn directories_follow_the_replicas_or_the_record_is_refused() {
        let new = [201, 202, 203].map(Uuid::from_u128).to_vec();
        check(
            |c| c.directories = Some(new.clone()),
            |p| p.directories = new.clone(),
        );
        check(
            |c| c.directories = Some(vec![]),
            |p| p.directories = vec![directory::MIGRATING; 3],
        );
        check(
            |c| (c.replicas, c.directories) = (Some(ids(&[1, 2])), Some(new[..2].to_vec())),
            |p| (p.replicas, p.directories) = (ids(&[1, 2]), new[..2].to_vec()),
        );
        let refused = Err(ApplyError::BadPartition(Uuid::from_u128(7), 3));
        let fewer = PartitionChangeRecord {
            replicas: Some(ids(&[1, 2])),
            ..nothing()
        };
        assert_eq!(before().merge(&fewer), refused);
        let short = PartitionChangeRecord {
            directories: Some(new[..2].to_vec()),
            ..nothing()
        };
        assert_eq!(before().merge(&short), refused);
        let migrating = Partition {
            directories: vec![directory::MIGRATING; 3],
            ..before()
        };
        assert_eq!(
            migrating.merge(&fewer).unwrap().directories,
            [directory::MIGRATING; 2]
        );
    }

    #[test]
    fn an_unknown_recovery_state_is_refused() {
        let record = PartitionChangeRecord {
            leader_recovery_state: 2,
            ..nothing()
        };
        assert_eq!(
            before().merge(&record),
            Err(ApplyError::BadField("leaderRecoveryState", 2))
        );
    }

    #[test]
    fn the_record_of_a_partition_sets_it_again() {
        let partition = before();
        assert_eq!(
            Partition::from_record(&partition.to_record()),
            Ok(partition)
        );
    }
}
