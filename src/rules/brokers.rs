//! What a broker's coming and going does to every partition that it touches.
//!
//! A broker may lead a hundred thousand partitions. Going through them is a [`Plan`]: where it fits
//! one slice it is done within the decision, with its records in Kafka's own order; else the
//! controller carries it out slice by slice, while others get their turn, and the record that makes
//! it official (fenced, unfenced, unregistered, …) comes last. A leader that dies midway thereby
//! leaves a broker that still looks as it did, and its successor begins again
//! (`ReplicationControlManager.handleBrokerFenced` and its siblings, 4.3.1).

use super::electorate::Electorate;
use super::{Ctx, Decision, LiveChange, Plan, PlanKind};
use crate::ids::{BrokerEpoch, BrokerId, Uuid};
use crate::image::{self, Broker, PartitionView};
use crate::records::{
    BrokerRegistrationChangeRecord, PartitionChangeRecord, Record, RegisterBrokerRecord,
    UnregisterBrokerRecord,
};
use crate::refusal::{self, Refusal};

/// Most records of one slice of a plan: a few milliseconds of work, so that other requests get
/// their turn in between.
pub const RECORDS_PER_SLICE_MAX: usize = 2_000;
/// Most partitions that one slice looks at; most of them may need no record.
pub const PARTITIONS_PER_SLICE_MAX: usize = 50_000;

/// How far a plan has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Partitions where the broker is eligible come after those where it is in sync.
    eligible: bool,
    at: image::Cursor,
}

/// The next part of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// Written in one batch.
    pub records: Vec<Record>,
    /// Changes of soft state that go with it.
    pub live: Vec<LiveChange>,
    /// Where the next slice begins; `None` if this was the last one.
    pub next: Option<Cursor>,
}

/// The decision with this plan added: done at once where it fits one slice, else begun.
pub fn carry_out<R>(mut decision: Decision<R>, ctx: &Ctx<'_>, mut plan: Plan) -> Decision<R> {
    let slice = slice(ctx, &plan, plan.from, RECORDS_PER_SLICE_MAX);
    decision.records.extend(slice.records);
    match slice.next {
        None => decision.live.extend(slice.live),
        Some(next) => {
            plan.from = next;
            let (broker, kind) = (plan.broker, plan.kind);
            decision.live.push(LiveChange::PlanBegun { broker, kind });
            decision.plan = Some(plan);
        }
    }
    decision
}

/// The next slice of a plan, decided against the image as it is now. The last one writes
/// [`Plan::last`] and makes the plan's changes of soft state.
pub fn slice(ctx: &Ctx<'_>, plan: &Plan, from: Cursor, records_max: usize) -> Slice {
    let electorate = plan.electorate(ctx);
    let mut records = Vec::new();
    let mut looked_at = 0;
    let mut cursor = from;
    loop {
        for partition in ctx.image.naming(plan.broker, cursor.at) {
            if records.len() >= records_max || looked_at >= PARTITIONS_PER_SLICE_MAX {
                return Slice {
                    records,
                    live: Vec::new(),
                    next: Some(cursor),
                };
            }
            looked_at += 1;
            cursor.at = partition.next();
            if plan.touches(partition, cursor.eligible) {
                records.extend(plan.change(&electorate, partition).map(Record::from));
            }
        }
        if cursor.eligible || !plan.kind.leaves_elr() {
            break;
        }
        cursor = Cursor {
            eligible: true,
            at: image::Cursor::default(),
        };
    }
    plan.finish(ctx, records)
}

impl Plan {
    fn new(broker: BrokerId, kind: PlanKind, last: impl Into<Record>) -> Self {
        Self {
            broker,
            kind,
            directories: Vec::new(),
            last: vec![last.into()],
            live: Vec::new(),
            from: Cursor::default(),
        }
    }

    /// A broker is fenced: out of ISRs and leaderships.
    pub fn fence(broker: &Broker) -> Self {
        let record = BrokerRegistrationChangeRecord {
            fenced: 1,
            ..change_of(broker)
        };
        let mut plan = Self::new(broker.id, PlanKind::Fence, record);
        plan.live.push(LiveChange::Fenced { broker: broker.id });
        plan
    }

    /// A broker is unfenced: it leads what had no leader, where it may.
    pub fn unfence(broker: &Broker) -> Self {
        let record = BrokerRegistrationChangeRecord {
            fenced: -1,
            ..change_of(broker)
        };
        Self::new(broker.id, PlanKind::Unfence, record)
    }

    /// A broker begins to stop: out of ISRs and leaderships, but not fenced yet.
    pub fn shut_down(broker: &Broker) -> Self {
        let record = BrokerRegistrationChangeRecord {
            in_controlled_shutdown: 1,
            ..change_of(broker)
        };
        let mut plan = Self::new(broker.id, PlanKind::Shutdown, record);
        if broker.in_controlled_shutdown {
            plan.last.clear();
        }
        plan
    }

    /// A broker is unregistered.
    pub fn unregister(broker: &Broker) -> Self {
        let record = UnregisterBrokerRecord {
            broker_id: broker.id,
            broker_epoch: broker.epoch,
        };
        let mut plan = Self::new(broker.id, PlanKind::Unregister, record);
        plan.live.push(LiveChange::Forgotten { broker: broker.id });
        plan
    }

    /// A broker starts anew under this registration. `clean` says that it lost nothing.
    pub fn restart(ctx: &Ctx<'_>, record: RegisterBrokerRecord, clean: bool) -> Self {
        let (broker, epoch) = (record.broker_id, record.broker_epoch);
        let unclean = ctx.image.features().elr_enabled() && !clean;
        let kind = if unclean {
            PlanKind::UncleanRestart
        } else {
            PlanKind::Fence
        };
        let mut plan = Self::new(broker, kind, record);
        plan.live.push(LiveChange::Registered { broker, epoch });
        plan
    }

    /// Directories of a broker failed; `None` if none of them was known to be online. Where none
    /// remains the record changes nothing: such a broker stops by itself.
    pub fn directories_offline(broker: &Broker, offline: &[Uuid]) -> Option<Self> {
        let (failed, remaining): (Vec<Uuid>, Vec<Uuid>) =
            broker.log_dirs.iter().partition(|id| offline.contains(id));
        if failed.is_empty() {
            return None;
        }
        let record = BrokerRegistrationChangeRecord {
            log_dirs: remaining,
            ..change_of(broker)
        };
        let mut plan = Self::new(broker.id, PlanKind::DirectoriesOffline, record);
        plan.directories = failed;
        Some(plan)
    }

    fn electorate<'a>(&self, ctx: &'a Ctx<'a>) -> Electorate<'a> {
        match self.kind {
            PlanKind::Unfence => Electorate::of(ctx).with(self.broker),
            _ => Electorate::of(ctx).without(self.broker),
        }
    }

    /// Whether this plan may change this partition. Looks at the packed row only, so that a walk over
    /// everything a broker holds stays cheap.
    fn touches(&self, partition: PartitionView<'_>, eligible: bool) -> bool {
        match self.kind {
            PlanKind::Unfence => partition.leader().is_none(),
            PlanKind::DirectoriesOffline => {
                let (replicas, directories) = (partition.replicas(), partition.directories());
                let mut places = replicas.iter().zip(&*directories);
                places.any(|(id, place)| *id == self.broker && self.directories.contains(place))
            }
            _ if eligible => partition.elr().contains(&self.broker),
            _ => partition.isr().contains(&self.broker),
        }
    }

    fn change(
        &self,
        electorate: &Electorate<'_>,
        view: PartitionView<'_>,
    ) -> Option<PartitionChangeRecord> {
        let partition = view.to_owned();
        electorate.change(view.topic(), &partition, |change| {
            if self.kind != PlanKind::Unfence {
                change.leave_isr(self.broker);
            }
            if self.kind.leaves_elr() {
                change.unclean_shutdown = Some(self.broker);
            }
        })
    }

    /// The last slice: what makes the plan official comes where Kafka writes it.
    fn finish(&self, ctx: &Ctx<'_>, changes: Vec<Record>) -> Slice {
        let first = matches!(self.kind, PlanKind::Unfence | PlanKind::Shutdown);
        let (before, after) = if first {
            (&self.last[..], &[][..])
        } else {
            (&[][..], &self.last[..])
        };
        let mut records = before.to_vec();
        records.extend(changes);
        records.extend_from_slice(after);

        let mut live = self.live.clone();
        let broker = self.broker;
        if self.kind == PlanKind::Shutdown {
            let offset = ctx.image.end_offset() + records.len() as i64 - 1;
            live.push(LiveChange::ShuttingDown { broker, offset });
        }
        if ctx.live.is_busy(broker) {
            live.push(LiveChange::PlanOver { broker });
        }
        Slice {
            records,
            live,
            next: None,
        }
    }
}

impl PlanKind {
    /// Whether the broker loses its place among the eligible, too.
    fn leaves_elr(self) -> bool {
        matches!(self, Self::UncleanRestart | Self::Unregister)
    }
}

/// The registration of a broker that speaks of itself in this epoch
/// (`ClusterControlManager.checkBrokerEpoch`, 4.3.1).
pub fn registered<'a>(
    ctx: &Ctx<'a>,
    broker: BrokerId,
    epoch: BrokerEpoch,
) -> Result<&'a Broker, Refusal> {
    let registration = ctx
        .view
        .image
        .broker(broker)
        .ok_or_else(|| refusal::no_registration(broker))?;
    if registration.epoch != epoch {
        return Err(refusal::stale_broker_epoch(registration.epoch, epoch));
    }
    Ok(registration)
}

/// A change of this registration, as a start.
pub fn change_of(broker: &Broker) -> BrokerRegistrationChangeRecord {
    BrokerRegistrationChangeRecord {
        broker_id: broker.id,
        broker_epoch: broker.epoch,
        ..BrokerRegistrationChangeRecord::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::scene::Scene;

    /// Lets broker 1 go through this plan and gives what was written.
    fn carried_out(scene: &mut Scene, plan: fn(&Broker) -> Plan) -> Vec<String> {
        let broker = scene.image.broker(BrokerId(1)).expect("it is on the scene");
        let decision = carry_out(Decision::answer(()), &scene.ctx(0), plan(broker));
        scene.apply(decision);
        scene.written()
    }

    #[track_caller]
    fn check(mut scene: Scene, plan: fn(&Broker) -> Plan, expected: &[&str]) {
        assert_eq!(carried_out(&mut scene, plan), expected);
    }

    fn three() -> Scene {
        Scene::new()
            .brokers(3)
            .topic("a", &[&[1, 2, 3], &[2, 3], &[2, 1]])
    }

    #[test]
    fn what_makes_it_official_stands_where_kafka_writes_it() {
        check(
            three().begin(),
            Plan::fence,
            &[
                "a-0 isr=[2, 3] leader=2",
                "a-2 isr=[2]",
                "broker 1 fenced=1",
            ],
        );
        check(
            three().begin(),
            Plan::shut_down,
            &[
                "broker 1 stopping",
                "a-0 isr=[2, 3] leader=2",
                "a-2 isr=[2]",
            ],
        );
        check(
            three().begin(),
            Plan::unregister,
            &["a-0 isr=[2, 3] leader=2", "a-2 isr=[2]", "unregister 1"],
        );
        let back = three()
            .fenced(&[1, 2])
            .partition("a", 0, &[], -1, &[1, 2])
            .partition("a", 2, &[], -1, &[2]);
        check(
            back.begin(),
            Plan::unfence,
            &["broker 1 fenced=-1", "a-0 isr=[1] leader=1 elr=[2]"],
        );
    }

    #[test]
    fn whoever_is_struck_off_is_not_waited_for() {
        let eligible = three().fenced(&[1]).partition("a", 0, &[2], 2, &[1]);
        check(
            eligible
                .config(
                    crate::ids::ConfigResource::cluster(),
                    "min.insync.replicas",
                    "2",
                )
                .begin(),
            Plan::unregister,
            &["a-2 isr=[2]", "a-0 elr=[]", "unregister 1"],
        );
    }

    #[test]
    fn a_failed_directory_takes_its_replicas_along() {
        fn plan(broker: &Broker) -> Plan {
            Plan::directories_offline(broker, &[crate::rules::scene::directory_id(1)])
                .expect("it was online")
        }
        check(
            three().begin(),
            plan,
            &["a-0 isr=[2, 3] leader=2", "a-2 isr=[2]", "broker 1"],
        );
    }

    /// More partitions than one slice takes: others get their turn, and the fence comes last.
    #[test]
    fn a_long_plan_is_cut_into_slices() {
        let replicas: Vec<&[i32]> = vec![&[1, 2]; 2 * RECORDS_PER_SLICE_MAX + 5];
        let mut scene = Scene::new().brokers(2).topic("a", &replicas).begin();
        let broker = scene.image.broker(BrokerId(1)).expect("it is on the scene");
        let decision = carry_out(Decision::answer(()), &scene.ctx(0), Plan::fence(broker));
        assert_eq!(decision.records.len(), RECORDS_PER_SLICE_MAX);
        let begun = LiveChange::PlanBegun {
            broker: BrokerId(1),
            kind: PlanKind::Fence,
        };
        assert_eq!(decision.live, [begun]);
        scene.apply(decision);
        let written = scene.written();
        assert_eq!(written.len(), replicas.len() + 1);
        assert_eq!(
            written.last().map(String::as_str),
            Some("broker 1 fenced=1")
        );
        assert_eq!(scene.image.leader_count(BrokerId(1)), 0);
        assert!(!scene.live.is_busy(BrokerId(1)));
    }

    #[test]
    fn nobody_moves_to_a_broker_on_its_way_out() {
        let mut scene = three().begin();
        let (broker, kind) = (BrokerId(2), PlanKind::Fence);
        scene.live.apply(LiveChange::PlanBegun { broker, kind });
        let written = carried_out(&mut scene, Plan::fence);
        assert_eq!(written[0], "a-0 isr=[2, 3] leader=3");
    }

    #[test]
    fn slices_begin_where_the_last_one_ended() {
        let replicas: Vec<&[i32]> = vec![&[1, 2, 3]; 20_000];
        let scene = Scene::new().brokers(3).topic("a", &replicas);
        let plan = Plan::fence(scene.image.broker(BrokerId(1)).expect("it is on the scene"));
        let mut next = Some(Cursor::default());
        let (mut slices, mut records) = (0, 0);
        while let Some(from) = next {
            let slice = slice(&scene.ctx(0), &plan, from, RECORDS_PER_SLICE_MAX);
            (slices, records) = (slices + 1, records + slice.records.len());
            next = slice.next;
        }
        assert_eq!((slices, records), (10, 20_001));
    }
}
