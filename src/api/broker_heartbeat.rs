//! BrokerHeartbeat (63): a broker is alive, says how far it has read, and asks for its next state.
//!
//! | is | asks | becomes |
//! |---|---|---|
//! | fenced | to stop | stopped |
//! | fenced | to be unfenced, and has read its own registration | unfenced |
//! | unfenced | to be fenced, or to be fenced and stop | fenced, stopped |
//! | unfenced | to stop while it leads something | shutting down |
//! | unfenced | to stop while it leads nothing | stopped |
//! | shutting down | anything, leads nothing, and all have read that | stopped |
//!
//! Version 2 added the cordoned directories as tagged field 1, which the wire crate does not know
//! yet: its frames are read as version 1, and the field is among the unknown ones
//! (`BrokerHeartbeatManager.calculateNextBrokerState`, 4.3.1).

use std::collections::BTreeSet;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::{BrokerHeartbeatRequest, BrokerHeartbeatResponse};

use crate::api::Write;
use crate::ids::{BrokerEpoch, BrokerId, Uuid};
use crate::image::Broker;
use crate::records::BrokerRegistrationChangeRecord;
use crate::refusal::{self, Refusal};
use crate::rules::electorate::metadata_version;
use crate::rules::features::gate;
use crate::rules::{Ctx, Decision, LiveChange, Plan, brokers};

/// The first version with cordoned directories, and their tag.
const CORDONED: (i16, i32) = (2, 1);

impl Write for BrokerHeartbeatRequest {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<BrokerHeartbeatResponse>, Refusal> {
        let broker = brokers::registered(ctx, self.broker_id, self.broker_epoch)?;
        if ctx.image.is_sessionless(broker.id) {
            return Err(refusal::no_registration(broker.id));
        }
        if ctx.live.is_busy(broker.id) {
            return Err(refusal::broker_is_busy(broker.id));
        }
        let cordoned = cordoned_log_dirs(self, ctx.version)?;
        let now = State::of(ctx, broker);
        let next = next_state(self, ctx, broker, now);
        let response = BrokerHeartbeatResponse::default()
            .with_is_caught_up(self.current_metadata_offset >= broker.registered_at)
            .with_is_fenced(matches!(next, State::Fenced | State::Stopped))
            .with_should_shut_down(next == State::Stopped);
        let mut decision = Decision::answer(response).with_live(LiveChange::Heartbeat {
            broker: broker.id,
            epoch: broker.epoch,
            at: ctx.ticks,
            metadata_offset: self.current_metadata_offset,
        });
        if next != now {
            let plan = match next {
                State::Fenced | State::Stopped => Plan::fence(broker),
                State::Unfenced => Plan::unfence(broker),
                State::ShuttingDown => Plan::shut_down(broker),
            };
            decision = brokers::carry_out(decision, ctx, plan);
        }
        // A broker repeats its directories with every heartbeat: while its partitions are being gone
        // through they can wait for the next one.
        if decision.plan.is_none() && metadata_version(ctx.image) >= gate::DIRECTORIES {
            if let Some(plan) = Plan::directories_offline(broker, &self.offline_log_dirs) {
                decision = brokers::carry_out(decision, ctx, plan);
            }
        }
        if decision.plan.is_none() && metadata_version(ctx.image) >= gate::CORDONED_DIRECTORIES {
            decision
                .records
                .extend(cordon(broker, cordoned).map(Into::into));
        }
        Ok(decision)
    }

    fn refuse(&self, refusal: &Refusal) -> BrokerHeartbeatResponse {
        BrokerHeartbeatResponse::default().with_error_code(refusal.code())
    }

    fn broker(&self) -> Option<BrokerId> {
        Some(self.broker_id)
    }

    fn heartbeat(&self) -> Option<(BrokerId, BrokerEpoch)> {
        Some((self.broker_id, self.broker_epoch))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fenced,
    Unfenced,
    ShuttingDown,
    /// It may end its process now.
    Stopped,
}

impl State {
    fn of(ctx: &Ctx<'_>, broker: &Broker) -> Self {
        if ctx.live.shutdown_offset(broker.id).is_some() {
            Self::ShuttingDown
        } else if broker.fenced {
            Self::Fenced
        } else {
            Self::Unfenced
        }
    }
}

fn next_state(
    request: &BrokerHeartbeatRequest,
    ctx: &Ctx<'_>,
    broker: &Broker,
    now: State,
) -> State {
    let leads_nothing = || ctx.image.leader_count(broker.id) == 0;
    match now {
        State::Fenced if request.want_shut_down => State::Stopped,
        State::Fenced if request.want_fence => State::Fenced,
        State::Fenced if request.current_metadata_offset >= broker.registered_at => State::Unfenced,
        State::Fenced => State::Fenced,
        State::Unfenced if request.want_fence && request.want_shut_down => State::Stopped,
        State::Unfenced if request.want_fence => State::Fenced,
        State::Unfenced if request.want_shut_down && leads_nothing() => State::Stopped,
        State::Unfenced if request.want_shut_down => State::ShuttingDown,
        State::Unfenced => State::Unfenced,
        State::ShuttingDown if leads_nothing() && all_have_read(ctx, broker.id) => State::Stopped,
        State::ShuttingDown => State::ShuttingDown,
        State::Stopped => State::Stopped,
    }
}

/// Whether every active broker has read that this one leads nothing any more, so that no client is
/// sent to it.
fn all_have_read(ctx: &Ctx<'_>, broker: BrokerId) -> bool {
    let unfenced = |other| {
        ctx.view
            .image
            .broker(other)
            .is_some_and(|other| !other.fenced)
    };
    let offset = ctx.live.shutdown_offset(broker).unwrap_or(-1);
    offset <= ctx.live.lowest_active_offset(unfenced)
}

/// The record for directories that are to get no new replicas, if they are others than before. A
/// broker that has not read its configuration yet says nothing about them.
fn cordon(broker: &Broker, cordoned: Option<Vec<Uuid>>) -> Option<BrokerRegistrationChangeRecord> {
    let cordoned = cordoned?;
    if let Some(before) = &broker.cordoned_log_dirs {
        let before: BTreeSet<_> = before.iter().collect();
        if before == cordoned.iter().collect() {
            return None;
        }
    }
    let cordoned_log_dirs = Some(cordoned);
    Some(BrokerRegistrationChangeRecord {
        cordoned_log_dirs,
        ..brokers::change_of(broker)
    })
}

/// The field that the wire crate does not know: a compact nullable array of uuids, null where it is
/// absent.
fn cordoned_log_dirs(
    request: &BrokerHeartbeatRequest,
    version: i16,
) -> Result<Option<Vec<Uuid>>, Refusal> {
    let (since, tag) = CORDONED;
    let Some(field) = request
        .unknown_tagged_fields
        .get(&tag)
        .filter(|_| version >= since)
    else {
        return Ok(None);
    };
    let malformed = || refusal::invalid_request("The cordoned directories are not a list of ids.");
    let mut field: Bytes = field.clone();
    // The length and one more; zero says null.
    let Some(length) = unsigned_varint(&mut field)
        .ok_or_else(malformed)?
        .checked_sub(1)
    else {
        return Ok(None);
    };
    if field.len() as u64 != u64::from(length) * 16 {
        return Err(malformed());
    }
    let ids = std::iter::from_fn(|| field.has_remaining().then(|| field.get_u128()));
    Ok(Some(ids.map(Uuid::from_u128).collect()))
}

fn unsigned_varint(bytes: &mut Bytes) -> Option<u32> {
    let mut value = 0u32;
    for shift in (0..35).step_by(7) {
        let byte = if bytes.has_remaining() {
            bytes.get_u8()
        } else {
            return None;
        };
        value |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Offset, directory};
    use crate::rules::scene::{Scene, directory_id};

    /// A heartbeat of broker `id` in its epoch: it has read everything and wants to serve.
    fn request(scene: &Scene, id: i32) -> BrokerHeartbeatRequest {
        let broker = scene
            .image
            .broker(BrokerId(id))
            .expect("it is on the scene");
        BrokerHeartbeatRequest::default()
            .with_broker_id(broker.id)
            .with_broker_epoch(broker.epoch)
            .with_current_metadata_offset(scene.image.end_offset() - 1)
    }

    /// The answer's three flags as letters: Caught up, Fenced, Stop.
    fn send(scene: &mut Scene, request: &BrokerHeartbeatRequest) -> String {
        let answer = scene.tell(request, 2);
        assert_eq!(answer.error_code, 0);
        let flags = [
            (answer.is_caught_up, 'C'),
            (answer.is_fenced, 'F'),
            (answer.should_shut_down, 'S'),
        ];
        flags
            .iter()
            .filter(|(set, _)| *set)
            .map(|(_, letter)| letter)
            .collect()
    }

    #[track_caller]
    fn check(
        scene: &mut Scene,
        id: i32,
        want: impl FnOnce(&mut BrokerHeartbeatRequest),
        flags: &str,
        written: &[&str],
    ) {
        let mut request = request(scene, id);
        want(&mut request);
        assert_eq!(send(scene, &request), flags);
        assert_eq!(scene.written(), written);
    }

    /// Two brokers share the partition a-0, led by 1; broker 3 has nothing.
    fn scene() -> Scene {
        Scene::new().brokers(3).topic("a", &[&[1, 2]]).begin()
    }

    const NOTHING: fn(&mut BrokerHeartbeatRequest) = |_| ();
    const FENCE: fn(&mut BrokerHeartbeatRequest) = |it| it.want_fence = true;
    const STOP: fn(&mut BrokerHeartbeatRequest) = |it| it.want_shut_down = true;
    const BOTH: fn(&mut BrokerHeartbeatRequest) = |it| {
        it.want_fence = true;
        it.want_shut_down = true;
    };
    const BEHIND: fn(&mut BrokerHeartbeatRequest) = |it| it.current_metadata_offset = 0;

    #[test]
    fn every_state_leads_where_kafkas_does() {
        let gone = ["a-0 isr=[2] leader=2", "broker 1 fenced=1"];
        check(&mut scene(), 1, NOTHING, "C", &[]);
        check(&mut scene(), 1, FENCE, "CF", &gone);
        check(&mut scene(), 1, BOTH, "CFS", &gone);
        check(
            &mut scene(),
            1,
            STOP,
            "C",
            &["broker 1 stopping", "a-0 isr=[2] leader=2"],
        );
        check(
            &mut scene(),
            2,
            STOP,
            "CFS",
            &["a-0 isr=[1]", "broker 2 fenced=1"],
        );

        let fenced = || {
            scene()
                .partition("a", 0, &[], -1, &[1])
                .fenced(&[1])
                .begin()
        };
        check(&mut fenced(), 1, FENCE, "CF", &[]);
        check(&mut fenced(), 1, BEHIND, "F", &[]);
        check(&mut fenced(), 1, STOP, "CFS", &["broker 1 fenced=1"]);
        check(&mut fenced(), 1, BOTH, "CFS", &["broker 1 fenced=1"]);
        let back = ["broker 1 fenced=-1", "a-0 isr=[1] leader=1 elr=[]"];
        check(&mut fenced(), 1, NOTHING, "C", &back);
    }

    #[test]
    fn a_broker_stops_when_all_have_read_that_it_leads_nothing() {
        let mut scene = scene();
        check(
            &mut scene,
            1,
            STOP,
            "C",
            &["broker 1 stopping", "a-0 isr=[2] leader=2"],
        );
        let moved: Offset = scene.image.end_offset() - 1;
        assert_eq!(scene.live.shutdown_offset(BrokerId(1)), Some(moved));
        // Brokers 2 and 3 said last that they had read less.
        check(&mut scene, 1, STOP, "C", &[]);
        check(&mut scene, 2, NOTHING, "C", &[]);
        check(&mut scene, 1, STOP, "C", &[]);
        check(&mut scene, 3, NOTHING, "C", &[]);
        // There is no way back, whatever it asks for.
        check(&mut scene, 1, NOTHING, "CFS", &["broker 1 fenced=1"]);
        assert_eq!(scene.live.shutdown_offset(BrokerId(1)), None);
    }

    /// The one that is registered over HTTP never reads the log.
    #[test]
    fn nobody_waits_for_a_broker_without_a_session() {
        let mut scene = scene();
        scene.live.apply(LiveChange::Forgotten {
            broker: BrokerId(3),
        });
        check(
            &mut scene,
            1,
            STOP,
            "C",
            &["broker 1 stopping", "a-0 isr=[2] leader=2"],
        );
        check(&mut scene, 2, NOTHING, "C", &[]);
        check(&mut scene, 1, STOP, "CFS", &["broker 1 fenced=1"]);
    }

    #[test]
    fn a_new_leader_lets_a_broker_begin_to_stop_again() {
        let mut scene = scene();
        check(
            &mut scene,
            1,
            STOP,
            "C",
            &["broker 1 stopping", "a-0 isr=[2] leader=2"],
        );
        scene = scene.topic("b", &[&[1, 2]]).begin();
        scene.live = crate::rules::Live::begin(&scene.image, scene.ticks);
        check(&mut scene, 1, STOP, "C", &["b-0 isr=[2] leader=2"]);
        assert!(scene.live.shutdown_offset(BrokerId(1)).is_some());
    }

    #[test]
    fn only_a_registered_broker_in_its_epoch_is_heard() {
        let mut scene = scene();
        let wrong_epoch = request(&scene, 1).with_broker_epoch(999);
        assert_eq!(scene.tell(&wrong_epoch, 2).error_code, 77);
        let nobody = request(&scene, 1).with_broker_id(BrokerId(9));
        assert_eq!(scene.tell(&nobody, 2).error_code, 77);
    }

    #[test]
    fn failed_directories_lose_their_replicas() {
        let failed = |it: &mut BrokerHeartbeatRequest| {
            it.offline_log_dirs = vec![directory_id(1), directory::LOST];
        };
        check(
            &mut scene(),
            1,
            failed,
            "C",
            &["a-0 isr=[2] leader=2", "broker 1"],
        );
        let unknown = |it: &mut BrokerHeartbeatRequest| it.offline_log_dirs = vec![directory_id(2)];
        check(&mut scene(), 1, unknown, "C", &[]);
        let mut old = Scene::at(16).brokers(1).begin();
        check(&mut old, 1, failed, "C", &[]);
    }

    #[test]
    fn cordoned_directories_are_read_from_the_unknown_field() {
        let list = |ids: &[i32]| {
            let mut field = vec![ids.len() as u8 + 1];
            ids.iter()
                .for_each(|id| field.extend(directory_id(*id).as_bytes()));
            Bytes::from(field)
        };
        let cordon = |field: Bytes| {
            move |it: &mut BrokerHeartbeatRequest| {
                it.unknown_tagged_fields.insert(1, field);
            }
        };
        let mut scene = scene();
        check(&mut scene, 1, NOTHING, "C", &[]);
        check(&mut scene, 1, cordon(Bytes::from_static(&[0])), "C", &[]);
        check(
            &mut scene,
            1,
            cordon(list(&[])),
            "C",
            &["broker 1 cordoned=[]"],
        );
        check(&mut scene, 1, cordon(list(&[])), "C", &[]);
        check(
            &mut scene,
            1,
            cordon(list(&[1])),
            "C",
            &["broker 1 cordoned=[101]"],
        );
        // Version 1 has no such field, whatever stands there.
        let mut request = request(&scene, 1);
        request.unknown_tagged_fields.insert(1, list(&[]));
        assert_eq!(scene.tell(&request, 1).error_code, 0);
        assert_eq!(scene.written(), [""; 0]);
        for garbage in [&[][..], &[2, 0], &[0xff; 6], &[1, 0]] {
            request
                .unknown_tagged_fields
                .insert(1, Bytes::copy_from_slice(garbage));
            assert_eq!(scene.tell(&request, 2).error_code, 42, "{garbage:?}");
        }
    }

    #[test]
    fn a_broker_whose_partitions_are_being_moved_comes_back_later() {
        let mut scene = scene();
        let kind = crate::rules::PlanKind::Fence;
        scene.live.apply(LiveChange::PlanBegun {
            broker: BrokerId(1),
            kind,
        });
        let request = request(&scene, 1);
        assert_eq!(scene.tell(&request, 2).error_code, 7);
    }
}
