//! The rules of a partition change, each as (partition, who is alive, target) -> the record's fields.

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
