//! Heartbeats as (state, what is wanted) -> the answer's flags and what is written.

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
