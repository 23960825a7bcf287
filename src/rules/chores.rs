//! What the leader does unasked: decisions like any other, made when their time has come.
//!
//! The controller calls them with a fresh [`Ctx`] and carries out what they decide. A chore that says
//! there is more to do is called again soon, after others had their turn (`PeriodicTask`s of
//! `QuorumController`, 4.3.1).

use super::election::Election;
use super::electorate::{Electorate, is_active};
use super::{Ctx, Decision, LiveChange, Plan, brokers};
use crate::clock::Ticks;
use crate::image::PartitionView;
use crate::records::{NoOpRecord, PartitionChangeRecord, Record};

/// Most elections of one run of a balancing chore (`maxElectionsPerImbalance`, 4.3.1).
pub const ELECTIONS_PER_RUN_MAX: usize = 1_000;

/// Fences the broker that has been silent for longest, if its session is over. One at a time, so that
/// each is judged on what the one before left.
///
/// `None` if nobody's session is over. A broker that is fenced already only loses its session; Kafka
/// would write once more that it is fenced (`ReplicationControlManager.maybeFenceOneStaleBroker`,
/// 4.3.1).
pub fn fence_silent(ctx: &Ctx<'_>) -> Option<Decision<()>> {
    let timeout_ms = ctx.settings.broker_session_timeout_ms;
    let (broker, epoch) = ctx.live.expired(ctx.ticks, timeout_ms)?;
    let decision = Decision::answer(()).with_live(LiveChange::SessionOver { broker });
    let registration = ctx.view.image.broker(broker);
    Some(match registration {
        Some(_) if ctx.image.is_sessionless(broker) => {
            decision.with_live(LiveChange::Forgotten { broker })
        }
        None => decision.with_live(LiveChange::Forgotten { broker }),
        Some(registration) if registration.fenced => decision,
        // The session was another life's. This one gets a whole session to be heard from.
        Some(registration) if registration.epoch != epoch => {
            decision.with_live(LiveChange::Heartbeat {
                broker,
                epoch: registration.epoch,
                at: ctx.ticks,
                metadata_offset: -1,
            })
        }
        Some(registration) => brokers::carry_out(decision, ctx, Plan::fence(registration)),
    })
}

/// The moment from which [`fence_silent`] has something to do.
pub fn next_fencing(ctx: &Ctx<'_>) -> Option<Ticks> {
    ctx.live.next_expiry(ctx.settings.broker_session_timeout_ms)
}

/// Gives leadership back to first replicas that are in sync. The answer says whether the run was
/// full: there may be more.
pub fn elect_preferred(ctx: &Ctx<'_>) -> Decision<bool> {
    if ctx.image.counts().not_preferred == 0 {
        return Decision::answer(false);
    }
    let electorate = Electorate::of(ctx);
    let imbalanced = ctx
        .image
        .partitions()
        .filter(|partition| may_change_leader(ctx, *partition));
    full_run(imbalanced.filter_map(|partition| elect(&electorate, partition, Election::Preferred)))
}

/// Whether a preferred election could change this partition, by a look at its row: while a broker is
/// down hundreds of thousands wait for it, and nothing comes of trying each.
fn may_change_leader(ctx: &Ctx<'_>, partition: PartitionView<'_>) -> bool {
    let (leader, preferred) = (partition.leader(), partition.preferred_leader());
    match preferred {
        _ if leader == preferred => false,
        Some(preferred) if leader.is_some() => {
            partition.isr().contains(&preferred) && is_active(ctx, preferred)
        }
        _ => true,
    }
}

/// Elects a leader for partitions that have none where their topic may give data up for it. The
/// answer says whether the run was full: there may be more.
pub fn elect_unclean(ctx: &Ctx<'_>) -> Decision<bool> {
    if ctx.image.counts().leaderless == 0 {
        return Decision::answer(false);
    }
    let electorate = Electorate::of(ctx);
    let leaderless = ctx
        .image
        .partitions()
        .filter(|partition| partition.leader().is_none());
    let allowed = leaderless.filter(|partition| electorate.topic(partition.topic()).unclean);
    full_run(allowed.filter_map(|partition| elect(&electorate, partition, Election::Unclean)))
}

/// A record that says nothing, so that observers see a log that is alive.
pub fn no_op() -> Decision<()> {
    Decision::write(vec![NoOpRecord {}.into()], ())
}

fn elect(
    electorate: &Electorate<'_>,
    view: PartitionView<'_>,
    election: Election,
) -> Option<PartitionChangeRecord> {
    electorate.change(view.topic(), &view.to_owned(), |change| {
        change.election = election
    })
}

fn full_run(elections: impl Iterator<Item = PartitionChangeRecord>) -> Decision<bool> {
    let records: Vec<Record> = elections
        .take(ELECTIONS_PER_RUN_MAX)
        .map(Record::from)
        .collect();
    let full = records.len() == ELECTIONS_PER_RUN_MAX;
    Decision::write(records, full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{BrokerId, ConfigResource};
    use crate::rules::configs::UNCLEAN_LEADER_ELECTION_ENABLE;
    use crate::rules::scene::Scene;

    #[track_caller]
    fn check(scene: &mut Scene, chore: fn(&Ctx<'_>) -> Decision<bool>, expected: &[&str]) {
        let decision = chore(&scene.ctx(0));
        assert!(!scene.apply(decision), "few elections are not a full run");
        assert_eq!(scene.written(), expected);
    }

    #[test]
    fn the_longest_silent_broker_is_fenced_first() {
        let mut scene = Scene::new()
            .brokers(3)
            .topic("a", &[&[1, 2, 3], &[2, 1]])
            .begin();
        scene.advance_ms(1);
        scene.hear(1);
        scene.advance_ms(8_999);
        scene.hear(3);
        assert!(
            fence_silent(&scene.ctx(0)).is_none(),
            "a session lasts nine seconds"
        );
        scene.advance_ms(10);
        assert!(next_fencing(&scene.ctx(0)).is_some_and(|at| at < scene.ticks));

        let decision = fence_silent(&scene.ctx(0)).expect("broker 2 is silent");
        scene.apply(decision);
        let expected = [
            "a-0 isr=[1, 3]",
            "a-1 isr=[1] leader=1",
            "broker 2 fenced=1",
        ];
        assert_eq!(scene.written(), expected);
        let decision = fence_silent(&scene.ctx(0)).expect("broker 1 is silent");
        scene.apply(decision);
        let expected = [
            "a-0 isr=[3] leader=3",
            "a-1 isr=[] leader=-1 elr=[1] last=[1]",
            "broker 1 fenced=1",
        ];
        assert_eq!(scene.written(), expected);
        assert!(fence_silent(&scene.ctx(0)).is_none());
    }

    #[test]
    fn a_session_of_nobody_ends_without_a_word() {
        let mut scene = Scene::new().brokers(2).fenced(&[1]).begin();
        scene.advance_ms(9_001);
        let decision = fence_silent(&scene.ctx(0)).expect("its session is over");
        scene.apply(decision);
        assert_eq!(scene.written(), [""; 0]);
        assert_eq!(
            scene.live.expired(scene.ticks, 9_000).map(|it| it.0),
            Some(BrokerId(2))
        );
    }

    #[test]
    fn leadership_goes_back_to_the_first_replica() {
        let mut scene = Scene::new()
            .brokers(3)
            .topic("a", &[&[1, 2], &[2, 3], &[3, 1], &[1, 3]])
            .partition("a", 0, &[2, 1], 2, &[])
            .partition("a", 2, &[1], 1, &[])
            .partition("a", 3, &[], -1, &[1])
            .begin();
        check(
            &mut scene,
            elect_preferred,
            &["a-0 leader=1", "a-3 isr=[1] leader=1 elr=[]"],
        );
        check(&mut scene, elect_preferred, &[]);
    }

    #[test]
    fn data_is_given_up_only_where_that_is_allowed() {
        let scene = || {
            Scene::new()
                .feature(crate::rules::features::ELR_VERSION, 0)
                .brokers(2)
                .topic("a", &[&[1, 2]])
                .topic("b", &[&[1, 2]])
                .partition("a", 0, &[1], -1, &[])
                .partition("b", 0, &[1], -1, &[])
                .fenced(&[1])
        };
        check(&mut scene().begin(), elect_unclean, &[]);
        let mut allowed = scene()
            .config(
                ConfigResource::topic("b"),
                UNCLEAN_LEADER_ELECTION_ENABLE,
                "true",
            )
            .begin();
        check(
            &mut allowed,
            elect_unclean,
            &["b-0 isr=[2] leader=2 recovery=1"],
        );
        let mut everywhere = scene()
            .config(
                ConfigResource::cluster(),
                UNCLEAN_LEADER_ELECTION_ENABLE,
                "true",
            )
            .config(
                ConfigResource::topic("b"),
                UNCLEAN_LEADER_ELECTION_ENABLE,
                "false",
            )
            .begin();
        check(
            &mut everywhere,
            elect_unclean,
            &["a-0 isr=[2] leader=2 recovery=1"],
        );
    }
}
