//! From what a partition should become to the one record that makes it so, or to none.
//!
//! Whoever wants to change a partition (a leader its ISR, an operator its replicas, the controller
//! after a broker fell silent) states the target in a [`PartitionChange`]. Everything else follows
//! from the same rules, in the same order, every time: a reassignment that can end ends, replicas
//! that fall out of a too small ISR become *eligible* (ELR), a leader is elected where the old one
//! cannot stay, epochs rise where brokers must notice (`PartitionChangeBuilder`, 4.3.1).
//!
//! A worked example, three replicas of which two must be in sync, ELR on:
//!
//! | event | ISR | ELR | leader | last known |
//! |---|---|---|---|---|
//! | 3 falls silent | 1 2 | | 1 | |
//! | 2 falls silent | 1 | 2 | 1 | |
//! | 1 falls silent | | 1 2 | none | 1 |
//! | 2 is back | 2 | 1 | 2 | |
//! | 1 has caught up | 2 1 | | 2 | |

use std::borrow::Cow;

use super::features::gate;
use super::reassignment::{self, without};
use crate::ids::{BrokerId, NO_BROKER, Uuid};
use crate::image::Partition;
use crate::image::partition::NO_LEADER_CHANGE;
use crate::records::PartitionChangeRecord;

/// How far an election may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// The first replica if it is in sync, else as [`Election::Online`].
    Preferred,
    /// Keep the leader if it is in sync, else the first replica that is.
    Online,
    /// As [`Election::Online`], and if nobody is in sync the first replica that is alive: data that
    /// only others had is lost.
    Unclean,
}

/// What a partition should become. Starts as no change at all.
#[derive(Clone, Debug)]
pub struct PartitionChange<'a> {
    /// How it is now.
    pub partition: &'a Partition,
    /// The ISR it should have.
    pub isr: Cow<'a, [BrokerId]>,
    /// The replicas it should have, those on their way out included.
    pub replicas: Cow<'a, [BrokerId]>,
    /// Replicas that should be dropped once others are in sync.
    pub removing: Cow<'a, [BrokerId]>,
    /// Replicas that should get in sync first.
    pub adding: Cow<'a, [BrokerId]>,
    /// A replica that reports another directory.
    pub directory: Option<(BrokerId, Uuid)>,
    /// A replica that came back without what it had acknowledged: it leaves the ELR, too.
    pub unclean_shutdown: Option<BrokerId>,
    /// How its leader may be elected.
    pub election: Election,
    /// Whether its leader should still have to tidy up after an unclean election.
    pub recovering: bool,
}

/// What the change has to know of the cluster.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The finalized `metadata.version`.
    pub metadata_version: i16,
    /// Eligible leader replicas are on.
    pub elr: bool,
    /// How many replicas must be in sync: below, those that fall out stay eligible.
    pub min_isr: usize,
    /// Whether this replica could lead: its broker is active and its directory online.
    pub acceptable: &'a dyn Fn(BrokerId) -> bool,
    /// The directory of a replica that is new on this broker.
    pub default_directory: &'a dyn Fn(BrokerId) -> Uuid,
}

impl<'a> PartitionChange<'a> {
    /// No change of this partition, as a start.
    pub fn of(partition: &'a Partition) -> Self {
        Self {
            partition,
            isr: Cow::Borrowed(&partition.isr),
            replicas: Cow::Borrowed(&partition.replicas),
            removing: Cow::Borrowed(&partition.removing),
            adding: Cow::Borrowed(&partition.adding),
            directory: None,
            unclean_shutdown: None,
            election: Election::Online,
            recovering: partition.recovering,
        }
    }

    /// This broker should not be in the ISR any more.
    pub fn leave_isr(&mut self, broker: BrokerId) {
        if self.isr.contains(&broker) {
            self.isr.to_mut().retain(|replica| *replica != broker);
        }
    }

    /// The record that makes it so; `None` if there is nothing to change.
    pub fn record(mut self, terms: &Terms<'_>) -> Option<PartitionChangeRecord> {
        let now = self.partition;
        let mut record = no_change(now);

        self.complete_reassignment();
        let mut elr = self.eligible(terms);

        let elected = self.elect(&elr, terms);
        if elected.leader != now.leader {
            let isr_of_one = Vec::from_iter(elected.leader);
            if covers(&elr, &isr_of_one) && elected.leader.is_some() {
                elr = without(&elr, &isr_of_one);
                self.isr = Cow::Owned(isr_of_one.clone());
            }
            record.leader = leader_code(elected.leader);
            if elected.unclean {
                record.isr = Some(isr_of_one);
                if !now.recovering {
                    record.leader_recovery_state = i8::from(true);
                }
            }
        }
        // A replica that is dropped must notice, even under the same leader.
        if record.leader == NO_LEADER_CHANGE && !covers(&self.replicas, &now.replicas) {
            record.leader = leader_code(now.leader);
        }
        let unclean = record.isr.is_some();
        if unclean || !terms.elr {
            elr.clear();
        }
        if elr != now.elr {
            record.eligible_leader_replicas = Some(elr);
        }
        // Without ELR the last replica stays in the ISR, so that it alone can lead again.
        let may_write_isr = !self.isr.is_empty() || terms.elr;
        if record.isr.is_none() && may_write_isr && *self.isr != *now.isr {
            record.isr = Some(self.isr.to_vec());
        }
        if terms.metadata_version < gate::NO_EPOCH_BUMP_ON_SHRINK
            && record.leader == NO_LEADER_CHANGE
            && record
                .isr
                .as_ref()
                .is_some_and(|isr| !covers(isr, &now.isr))
        {
            record.leader = leader_code(now.leader);
        }
        if terms.elr {
            self.remember_last_leader(&mut record);
        }
        self.write_assignment(&mut record, terms);
        if self.recovering != now.recovering {
            record.leader_recovery_state = i8::from(self.recovering);
        }
        (record != no_change(now)).then_some(record)
    }

    fn complete_reassignment(&mut self) {
        let end = reassignment::complete(&self.replicas, &self.adding, &self.removing, &self.isr);
        if let Some(end) = end {
            self.isr = Cow::Owned(end.isr);
            self.replicas = Cow::Owned(end.replicas);
            self.removing = Cow::Borrowed(&[]);
            self.adding = Cow::Borrowed(&[]);
        }
    }

    /// Who stays eligible to lead although not in sync any more, ascending: whoever was in sync or
    /// eligible while the ISR is too small for anything newer to have been acknowledged without them.
    fn eligible(&self, terms: &Terms<'_>) -> Vec<BrokerId> {
        if !terms.elr {
            return self.partition.elr.clone();
        }
        if self.isr.len() >= terms.min_isr {
            return Vec::new();
        }
        let before = self.partition.elr.iter().chain(&self.partition.isr);
        let mut eligible: Vec<BrokerId> = before
            .copied()
            .filter(|replica| !self.isr.contains(replica))
            .filter(|replica| self.unclean_shutdown != Some(*replica))
            .collect();
        eligible.sort_unstable();
        eligible.dedup();
        eligible
    }

    fn elect(&self, elr: &[BrokerId], terms: &Terms<'_>) -> Elected {
        let in_sync = |replica: &BrokerId| {
            let candidates: &[BrokerId] = if self.isr.is_empty() { elr } else { &self.isr };
            candidates.contains(replica) && (terms.acceptable)(*replica)
        };
        let clean = |leader: BrokerId| Elected {
            leader: Some(leader),
            unclean: false,
        };
        let unclean = |leader: BrokerId| Elected {
            leader: Some(leader),
            unclean: true,
        };

        let preferred = self
            .replicas
            .first()
            .filter(|_| self.election == Election::Preferred);
        if let Some(leader) = preferred.filter(|replica| in_sync(replica)) {
            return clean(*leader);
        }
        if let Some(leader) = self.partition.leader.filter(|leader| in_sync(leader)) {
            return clean(leader);
        }
        if let Some(leader) = self.replicas.iter().find(|replica| in_sync(replica)) {
            return clean(*leader);
        }
        // Nobody is left who surely has everything. Who led last has most, and may lead again
        // without asking whether unclean elections are allowed.
        if terms.elr && self.isr.is_empty() && elr.is_empty() {
            if let [last] = self.partition.last_known_elr[..] {
                if (terms.acceptable)(last) {
                    return unclean(last);
                }
            }
        }
        if self.election == Election::Unclean {
            let alive = self
                .replicas
                .iter()
                .find(|replica| (terms.acceptable)(**replica));
            if let Some(leader) = alive {
                return unclean(*leader);
            }
        }
        Elected {
            leader: None,
            unclean: false,
        }
    }

    fn remember_last_leader(&self, record: &mut PartitionChangeRecord) {
        let now = self.partition;
        if record.leader == NO_BROKER.0 && now.last_known_elr.is_empty() {
            // Kafka would note "no leader" as the last one where there was none before either.
            record.last_known_elr = now.leader.map(|leader| vec![leader]);
        } else if record.leader >= 0 && !now.last_known_elr.is_empty() {
            record.last_known_elr = Some(Vec::new());
        }
    }

    fn write_assignment(&self, record: &mut PartitionChangeRecord, terms: &Terms<'_>) {
        let now = self.partition;
        let replicas_change = *self.replicas != *now.replicas;
        if terms.metadata_version >= gate::DIRECTORIES
            && (replicas_change || self.directory.is_some())
        {
            let directories: Vec<Uuid> = self
                .replicas
                .iter()
                .map(|replica| self.directory(*replica, terms))
                .collect();
            if directories != now.directories {
                record.directories = Some(directories);
            }
        }
        if replicas_change {
            record.replicas = Some(self.replicas.to_vec());
        }
        if *self.removing != *now.removing {
            record.removing_replicas = Some(self.removing.to_vec());
        }
        if *self.adding != *now.adding {
            record.adding_replicas = Some(self.adding.to_vec());
        }
    }

    fn directory(&self, replica: BrokerId, terms: &Terms<'_>) -> Uuid {
        match self.directory {
            Some((reporter, directory)) if reporter == replica => directory,
            _ => self
                .partition
                .directory(replica)
                .unwrap_or_else(|| (terms.default_directory)(replica)),
        }
    }
}

/// The outcome of an election: who leads, if anybody can.
struct Elected {
    leader: Option<BrokerId>,
    unclean: bool,
}

fn leader_code(leader: Option<BrokerId>) -> i32 {
    leader.unwrap_or(NO_BROKER).0
}

/// A record that changes nothing.
fn no_change(partition: &Partition) -> PartitionChangeRecord {
    PartitionChangeRecord {
        topic_id: partition.topic_id,
        partition_id: partition.index,
        ..PartitionChangeRecord::default()
    }
}

fn covers(list: &[BrokerId], others: &[BrokerId]) -> bool {
    others.iter().all(|other| list.contains(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(list: &[i32]) -> Vec<BrokerId> {
        list.iter().copied().map(BrokerId).collect()
    }

    /// Three replicas in one directory each (1 in directory 101 and so on).
    fn partition(isr: &[i32], leader: i32) -> Partition {
        Partition {
            replicas: ids(&[1, 2, 3]),
            directories: (101..104).map(Uuid::from_u128).collect(),
            isr: ids(isr),
            leader: (leader >= 0).then_some(BrokerId(leader)),
            topic_id: Uuid::from_u128(7),
            index: 0,
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            adding: Vec::new(),
            removing: Vec::new(),
            leader_epoch: 0,
            partition_epoch: 0,
            recovering: false,
        }
    }

    struct Case {
        partition: Partition,
        alive: &'static [i32],
        elr: bool,
        min_isr: usize,
        metadata_version: i16,
    }

    impl Case {
        fn of(partition: Partition) -> Self {
            Self {
                partition,
                alive: &[1, 2, 3],
                elr: true,
                min_isr: 2,
                metadata_version: 30,
            }
        }
        fn alive(mut self, alive: &'static [i32]) -> Self {
            self.alive = alive;
            self
        }
        fn without_elr(mut self) -> Self {
            self.elr = false;
            self
        }
        fn at(mut self, metadata_version: i16) -> Self {
            self.metadata_version = metadata_version;
            self
        }
        fn record(
            &self,
            target: impl FnOnce(&mut PartitionChange<'_>),
        ) -> Option<PartitionChangeRecord> {
            let terms = Terms {
                metadata_version: self.metadata_version,
                elr: self.elr,
                min_isr: self.min_isr,
                acceptable: &|broker| self.alive.contains(&broker.0),
                default_directory: &|broker| Uuid::from_u128(100 + broker.0 as u128),
            };
            let mut change = PartitionChange::of(&self.partition);
            target(&mut change);
            change.record(&terms)
        }
        /// The record's fields that say something, as text.
        #[track_caller]
        fn check(&self, target: impl FnOnce(&mut PartitionChange<'_>), expected: &str) {
            assert_eq!(shown(self.record(target)), expected);
        }
    }

    fn shown(record: Option<PartitionChangeRecord>) -> String {
        let Some(record) = record else {
            return "nothing".to_owned();
        };
        let list = |name: &str, list: Option<Vec<BrokerId>>| {
            list.map(|list| {
                let list: Vec<i32> = list.iter().map(|broker| broker.0).collect();
                format!("{name}={list:?}")
            })
        };
        let fields = [
            list("isr", record.isr),
            (record.leader != NO_LEADER_CHANGE).then(|| format!("leader={}", record.leader)),
            list("replicas", record.replicas),
            list("removing", record.removing_replicas),
            list("adding", record.adding_replicas),
            (record.leader_recovery_state != -1)
                .then(|| format!("recovery={}", record.leader_recovery_state)),
            list("elr", record.eligible_leader_replicas),
            list("last", record.last_known_elr),
            record.directories.map(|directories| {
                let ids: Vec<u128> = directories.iter().map(Uuid::as_u128).collect();
                format!("directories={ids:?}")
            }),
        ];
        fields.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Kafka's own walk through a cluster that loses its brokers one by one and gets them back.
    #[test]
    fn a_shrinking_isr_leaves_eligible_replicas_behind() {
        let isr = |list: &'static [i32]| {
            move |change: &mut PartitionChange<'_>| change.isr = Cow::Owned(ids(list))
        };
        Case::of(partition(&[1, 2, 3], 1))
            .alive(&[1, 2])
            .check(isr(&[1, 2]), "isr=[1, 2]");
        Case::of(partition(&[1, 2], 1))
            .alive(&[1])
            .check(isr(&[1]), "isr=[1] elr=[2]");
        let with_elr = |mut partition: Partition, elr: &[i32], last: &[i32]| {
            partition.elr = ids(elr);
            partition.last_known_elr = ids(last);
            partition
        };
        Case::of(with_elr(partition(&[1], 1), &[2], &[]))
            .alive(&[])
            .check(isr(&[]), "isr=[] leader=-1 elr=[1, 2] last=[1]");
        Case::of(with_elr(partition(&[], -1), &[1, 2], &[1]))
            .alive(&[2])
            .check(isr(&[]), "isr=[2] leader=2 elr=[1] last=[]");
        Case::of(with_elr(partition(&[2], 2), &[1], &[])).check(isr(&[2, 1]), "isr=[2, 1] elr=[]");
        // All came back without their data: only who led last may lead again.
        let lost = with_elr(partition(&[], -1), &[], &[1]);
        Case::of(lost.clone())
            .alive(&[2])
            .check(isr(&[]), "nothing");
        Case::of(lost)
            .alive(&[1, 2])
            .check(isr(&[]), "isr=[1] leader=1 recovery=1 last=[]");
    }

    #[test]
    fn a_replica_that_lost_its_data_is_not_eligible() {
        let mut leaderless = partition(&[], -1);
        leaderless.elr = ids(&[1, 2]);
        leaderless.last_known_elr = ids(&[1]);
        Case::of(leaderless).alive(&[]).check(
            |change| change.unclean_shutdown = Some(BrokerId(2)),
            "elr=[1]",
        );
        Case::of(partition(&[2], 2)).alive(&[]).check(
            |change| {
                change.isr = Cow::Borrowed(&[]);
                change.unclean_shutdown = Some(BrokerId(2));
            },
            "isr=[] leader=-1 last=[2]",
        );
    }

    #[test]
    fn without_elr_the_last_replica_stays_in_sync() {
        let leave = |change: &mut PartitionChange<'_>| change.isr = Cow::Borrowed(&[]);
        Case::of(partition(&[1], 1))
            .without_elr()
            .alive(&[2])
            .check(leave, "leader=-1");
        let mut leftover = partition(&[1, 2], 1);
        leftover.elr = ids(&[3]);
        Case::of(leftover).without_elr().check(
            |change| change.isr = Cow::Owned(ids(&[1])),
            "isr=[1] elr=[]",
        );
    }

    #[test]
    fn elections_go_as_far_as_they_may() {
        let with = |election| move |change: &mut PartitionChange<'_>| change.election = election;
        let led_by_2 = || Case::of(partition(&[1, 2, 3], 2)).without_elr();
        led_by_2().check(with(Election::Online), "nothing");
        led_by_2().check(with(Election::Preferred), "leader=1");
        led_by_2()
            .alive(&[2, 3])
            .check(with(Election::Preferred), "nothing");
        led_by_2()
            .alive(&[3])
            .check(with(Election::Preferred), "leader=3");
        led_by_2()
            .alive(&[])
            .check(with(Election::Preferred), "leader=-1");
        // The order of the replicas decides, not that of the ISR.
        let out_of_order = || Case::of(partition(&[3, 1], 2)).without_elr();
        out_of_order().check(with(Election::Online), "leader=1");

        let lost = || Case::of(partition(&[1], -1)).without_elr().alive(&[2, 3]);
        lost().check(with(Election::Online), "nothing");
        lost().check(with(Election::Preferred), "nothing");
        lost().check(with(Election::Unclean), "isr=[2] leader=2 recovery=1");
    }

    #[test]
    fn an_unclean_leader_recovers_once() {
        let mut recovering = partition(&[1], 1);
        recovering.recovering = true;
        Case::of(recovering.clone()).alive(&[2]).check(
            |change| change.election = Election::Unclean,
            "isr=[2] leader=2",
        );
        Case::of(recovering).check(|change| change.recovering = false, "recovery=0");
    }

    #[test]
    fn a_reassignment_ends_with_any_change_that_lets_it() {
        let moving = || {
            let mut moving = partition(&[1, 2], 1);
            moving.replicas = ids(&[3, 2, 1]);
            moving.directories = [103, 102, 101].map(Uuid::from_u128).to_vec();
            moving.adding = ids(&[3]);
            moving.removing = ids(&[1]);
            Case::of(moving)
        };
        moving().check(|change| change.isr = Cow::Owned(ids(&[1, 2])), "nothing");
        moving().check(
            |change| change.isr = Cow::Owned(ids(&[1, 2, 3])),
            "isr=[2, 3] leader=3 replicas=[3, 2] removing=[] adding=[] directories=[103, 102]",
        );
        // Whoever leaves must notice, even if the leader stays.
        let mut shrinking = partition(&[1, 2, 3], 1);
        shrinking.removing = ids(&[3]);
        Case::of(shrinking).check(
            |_| (),
            "isr=[1, 2] leader=1 replicas=[1, 2] removing=[] directories=[101, 102]",
        );
    }

    #[test]
    fn directories_follow_the_replicas() {
        let start = |change: &mut PartitionChange<'_>| {
            change.replicas = Cow::Owned(ids(&[4, 1, 2, 3]));
            change.adding = Cow::Owned(ids(&[4]));
        };
        let case = || Case::of(partition(&[1, 2, 3], 1));
        let fields = "replicas=[4, 1, 2, 3] adding=[4]";
        case().check(start, &format!("{fields} directories=[104, 101, 102, 103]"));
        case().at(16).check(start, fields);
        let report = |id| {
            move |change: &mut PartitionChange<'_>| {
                change.directory = Some((BrokerId(2), Uuid::from_u128(id)));
            }
        };
        case().check(report(102), "nothing");
        case().check(report(202), "directories=[101, 202, 103]");
    }

    #[test]
    fn old_versions_take_an_epoch_for_a_smaller_isr() {
        let shrink = |change: &mut PartitionChange<'_>| change.isr = Cow::Owned(ids(&[1, 2]));
        let case = || Case::of(partition(&[1, 2, 3], 1)).without_elr();
        case().at(11).check(shrink, "isr=[1, 2] leader=1");
        case().at(12).check(shrink, "isr=[1, 2]");
    }
}
