use super::*;
use crate::image::BrokerStatus;
use crate::rules::scene::{NODE, Scene, topic_id};

fn register(id: i32) -> RegisterBroker {
    RegisterBroker {
        broker_id: id,
        host: None,
        port: None,
        security_protocol: 0,
        rack: None,
        fenced: false,
    }
}

fn change(incarnation_id: Uuid) -> ChangeBroker {
    ChangeBroker {
        incarnation_id,
        host: None,
        port: None,
        security_protocol: None,
        status: None,
    }
}

/// Decides and applies; gives what was written and the life of the broker, if it is about one.
#[track_caller]
fn make(scene: &mut Scene, request: Change) -> (Vec<String>, Uuid) {
    let decision = request.decide(&scene.ctx(0)).expect("it is allowed");
    let done = scene.apply(decision);
    let Done::Broker { incarnation_id, .. } = done else {
        return (scene.written(), Uuid::nil());
    };
    (scene.written(), incarnation_id)
}

#[track_caller]
fn refused(scene: &Scene, request: Change, code: ResponseError) {
    let refusal = request.decide(&scene.ctx(0)).expect_err("it is refused");
    assert_eq!(refusal.code, code, "{refusal}");
}

#[test]
fn a_broker_without_a_process_is_registered_changed_and_unregistered() {
    let mut scene = Scene::new().begin();
    let epoch = scene.image.end_offset();
    let (written, life) = make(&mut scene, Change::RegisterBroker(register(7)));
    assert_eq!(written, [format!("register 7 epoch={epoch} unfenced")]);
    let registered = scene.image.broker(7.into()).expect("it is there");
    assert!(registered.end_points.is_empty() && registered.log_dirs.len() == 1);
    assert!(scene.image.is_sessionless(7.into()) && !scene.live.is_tracked(7.into()));
    let state = |scene: &Scene| {
        let life = scene.image.incarnation(life).expect("its life is kept");
        (scene.image.status(life), life.changes)
    };
    assert_eq!(state(&scene), (BrokerStatus::Alive, 0));

    let fenced = ChangeBroker {
        status: Some(Status::Fenced),
        ..change(life)
    };
    let (written, _) = make(&mut scene, Change::ChangeBroker(fenced));
    assert_eq!(written, ["broker 7 fenced=1"]);
    assert_eq!(state(&scene), (BrokerStatus::Fenced, 1));

    // An address and a status together are one change.
    let moved = ChangeBroker {
        host: Some("h".to_owned()),
        port: Some(9092),
        status: Some(Status::Alive),
        ..change(life)
    };
    let (written, _) = make(&mut scene, Change::ChangeBroker(moved.clone()));
    assert_eq!(written, [format!("register 7 epoch={epoch} unfenced")]);
    assert_eq!(state(&scene), (BrokerStatus::Alive, 2));
    let (written, _) = make(
        &mut scene,
        Change::ChangeBroker(ChangeBroker {
            status: Some(Status::Fenced),
            ..moved
        }),
    );
    assert_eq!(written, [format!("register 7 epoch={epoch} fenced")]);
    assert_eq!(state(&scene), (BrokerStatus::Fenced, 3));
    assert!(scene.image.is_sessionless(7.into()), "a change keeps it so");
    assert_eq!(
        scene
            .image
            .broker(7.into())
            .expect("it is there")
            .end_points[0]
            .host,
        "h"
    );

    // A change of nothing is a change.
    let (written, _) = make(&mut scene, Change::ChangeBroker(change(life)));
    assert_eq!(written, ["broker 7"]);
    assert_eq!(state(&scene), (BrokerStatus::Fenced, 4));

    let closed = ChangeBroker {
        status: Some(Status::Closed),
        ..change(life)
    };
    let (written, _) = make(&mut scene, Change::ChangeBroker(closed.clone()));
    assert_eq!(written, ["unregister 7"]);
    assert_eq!(state(&scene).0, BrokerStatus::Closed);
    refused(
        &scene,
        Change::ChangeBroker(closed),
        ResponseError::InvalidRequest,
    );
    make(&mut scene, Change::RegisterBroker(register(7)));
}

#[test]
fn ids_in_use_and_half_addresses_are_refused() {
    let scene = Scene::new().brokers(1);
    let taken = ResponseError::DuplicateBrokerRegistration;
    refused(&scene, Change::RegisterBroker(register(1)), taken);
    refused(
        &scene,
        Change::RegisterBroker(register(NODE.0)),
        ResponseError::InvalidRegistration,
    );
    refused(
        &scene,
        Change::RegisterBroker(register(-1)),
        ResponseError::InvalidRegistration,
    );
    let half = RegisterBroker {
        host: Some("h".to_owned()),
        ..register(5)
    };
    refused(
        &scene,
        Change::RegisterBroker(half),
        ResponseError::InvalidRegistration,
    );
    let unknown = RegisterBroker {
        security_protocol: 9,
        ..register(5)
    };
    refused(
        &scene,
        Change::RegisterBroker(unknown),
        ResponseError::InvalidRegistration,
    );
    let nobody = Change::ChangeBroker(change(Uuid::from_u128(1)));
    refused(&scene, nobody, ResponseError::BrokerIdNotRegistered);
    let with_session = scene
        .image
        .broker(1.into())
        .expect("it is there")
        .incarnation_id;
    refused(
        &scene,
        Change::ChangeBroker(change(with_session)),
        ResponseError::InvalidRequest,
    );
}

#[test]
fn partitions_of_a_sessionless_broker_follow_its_status() {
    // Without eligible leader replicas the last one in sync is waited for, even unregistered.
    let mut scene = Scene::at(20).brokers(1).begin();
    let (_, life) = make(&mut scene, Change::RegisterBroker(register(7)));
    make(
        &mut scene,
        Change::CreateTopic(CreateTopic {
            name: "t".to_owned(),
        }),
    );
    let topic = scene.image.topic_by_name("t").expect("it is there");
    assert_eq!(topic.partition_count(), 0);
    let partition = CreatePartition {
        topic_id: topic.id(),
        index: 4,
        replicas: vec![7],
        isr: vec![],
        leader: None,
    };
    make(&mut scene, Change::CreatePartition(partition));
    let leader = |scene: &Scene| {
        let topic = scene.image.topic_by_name("t").expect("it is there");
        topic
            .partition(4)
            .expect("it is there")
            .leader()
            .map(|id| id.0)
    };
    assert_eq!(leader(&scene), Some(7));
    let moved = |status| {
        let (host, port) = (Some("h".to_owned()), Some(1));
        Change::ChangeBroker(ChangeBroker {
            host,
            port,
            status: Some(status),
            ..change(life)
        })
    };
    let (written, _) = make(&mut scene, moved(Status::Fenced));
    assert_eq!(
        written.len(),
        2,
        "the leadership goes before the fence: {written:?}"
    );
    assert_eq!(leader(&scene), None);
    make(&mut scene, moved(Status::Alive));
    assert_eq!(leader(&scene), Some(7));
    make(&mut scene, moved(Status::Closed));
    assert_eq!(leader(&scene), None);
    let (written, _) = make(&mut scene, Change::RegisterBroker(register(7)));
    assert_eq!(
        written.len(),
        2,
        "it leads again what waited for it: {written:?}"
    );
    assert_eq!(leader(&scene), Some(7));
}

#[test]
fn topics_and_partitions_are_checked() {
    let scene = Scene::new().brokers(3).topic("t", &[&[1, 2]]).fenced(&[3]);
    let name = |name: &str| {
        Change::CreateTopic(CreateTopic {
            name: name.to_owned(),
        })
    };
    refused(&scene, name("t"), ResponseError::TopicAlreadyExists);
    refused(
        &scene,
        name("bad name"),
        ResponseError::InvalidTopicException,
    );
    refused(
        &scene,
        name("__cluster_metadata"),
        ResponseError::InvalidRequest,
    );

    let good = CreatePartition {
        topic_id: topic_id("t"),
        index: 1,
        replicas: vec![2, 1],
        isr: vec![1],
        leader: Some(1),
    };
    assert!(
        Change::CreatePartition(good.clone())
            .decide(&scene.ctx(0))
            .is_ok()
    );
    let cases = [
        (
            CreatePartition {
                topic_id: Uuid::from_u128(5),
                ..good.clone()
            },
            ResponseError::UnknownTopicId,
        ),
        (
            CreatePartition {
                index: 0,
                ..good.clone()
            },
            ResponseError::InvalidPartitions,
        ),
        (
            CreatePartition {
                index: -1,
                ..good.clone()
            },
            ResponseError::InvalidRequest,
        ),
        (
            CreatePartition {
                replicas: vec![],
                ..good.clone()
            },
            ResponseError::InvalidReplicaAssignment,
        ),
        (
            CreatePartition {
                replicas: vec![1, 9],
                ..good.clone()
            },
            ResponseError::InvalidReplicaAssignment,
        ),
        (
            CreatePartition {
                isr: vec![3],
                ..good.clone()
            },
            ResponseError::InvalidReplicaAssignment,
        ),
        (
            CreatePartition {
                isr: vec![1, 1],
                ..good.clone()
            },
            ResponseError::InvalidReplicaAssignment,
        ),
        (
            CreatePartition {
                leader: Some(2),
                ..good.clone()
            },
            ResponseError::InvalidReplicaAssignment,
        ),
        (
            CreatePartition {
                replicas: vec![3],
                isr: vec![],
                leader: None,
                ..good.clone()
            },
            ResponseError::InvalidReplicaAssignment,
        ),
        (
            CreatePartition {
                replicas: vec![3, 1],
                isr: vec![3],
                leader: None,
                ..good
            },
            ResponseError::InvalidReplicaAssignment,
        ),
    ];
    for (request, code) in cases {
        refused(&scene, Change::CreatePartition(request), code);
    }
}

#[test]
fn replicas_are_moved_by_reassignments() {
    let scene = || Scene::new().brokers(3).topic("t", &[&[1, 2]]).begin();
    let moved = |adding: &[i32], removing: &[i32]| {
        Change::MoveReplicas(MoveReplicas {
            topic_id: None,
            index: 0,
            adding: adding.to_vec(),
            removing: removing.to_vec(),
        })
    };
    let mut added = scene();
    let (written, _) = make(&mut added, moved(&[3], &[]));
    assert_eq!(
        written,
        ["t-0 replicas=[1, 2, 3] adding=[3] directories=[101, 102, 103]"]
    );
    let (written, _) = make(&mut added, moved(&[], &[3]));
    assert_eq!(
        written,
        ["t-0 leader=1 replicas=[1, 2] adding=[] directories=[101, 102]"]
    );

    let (written, _) = make(&mut scene(), moved(&[], &[1]));
    assert_eq!(
        written,
        ["t-0 isr=[2] leader=2 replicas=[2] directories=[102]"]
    );

    let wrong = ResponseError::InvalidReplicaAssignment;
    for (adding, removing) in [
        (vec![], vec![]),
        (vec![1], vec![]),
        (vec![], vec![3]),
        (vec![], vec![1, 2]),
        (vec![9], vec![]),
    ] {
        refused(&scene(), moved(&adding, &removing), wrong);
    }
    let two = Scene::new()
        .brokers(3)
        .topic("t", &[&[1]])
        .topic("u", &[&[1]]);
    refused(&two, moved(&[2], &[]), ResponseError::InvalidRequest);
    let none = Scene::new().brokers(3);
    refused(
        &none,
        moved(&[2], &[]),
        ResponseError::UnknownTopicOrPartition,
    );
}

#[test]
fn kafkas_own_requests_go_by_their_own_decisions() {
    let mut scene = Scene::new().brokers(1).begin();
    let incarnation_id = scene
        .image
        .broker(1.into())
        .expect("it is there")
        .incarnation_id;
    let allocate = Change::AllocateProducerIds { incarnation_id };
    let decision = allocate.decide(&scene.ctx(0)).expect("it is allowed");
    assert_eq!(scene.apply(decision), Done::ProducerIds { first: 0 });
    let unregister = Change::UnregisterBroker { incarnation_id };
    let decision = unregister.decide(&scene.ctx(0)).expect("it is allowed");
    assert_eq!(scene.apply(decision), Done::Unregistered);
    assert_eq!(
        scene.written(),
        ["producer ids of 1 below 1000", "unregister 1"]
    );
    for request in [allocate, unregister] {
        refused(&scene, request, ResponseError::InvalidRequest);
    }
    let nobody = Change::UnregisterBroker {
        incarnation_id: Uuid::nil(),
    };
    refused(&scene, nobody, ResponseError::BrokerIdNotRegistered);
}

#[test]
fn a_refusal_goes_there_and_back() {
    let request = Change::RegisterBroker(register(7));
    let refused = request.refuse(&refusal::invalid_request("no")).into_any();
    let refused = *refused.downcast::<Done>().expect("an answer of ours");
    assert_eq!(
        refused.into_result().expect_err("a refusal"),
        refusal::invalid_request("no")
    );
}
