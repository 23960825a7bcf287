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
        if terms.elr
            && self.isr.is_empty()
            && elr.is_empty()
            && let [last] = self.partition.last_known_elr[..]
            && (terms.acceptable)(last)
        {
            return unclean(last);
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
mod tests;
