//! What each record does, and when it is refused (`facts` of Kafka's controller, 4.3.1).

use super::*;
use crate::records::batch::Batch;
use crate::records::control::ControlRecord;

/// An image with metadata.version 30 and a broker 1 of epoch 1.
fn with_broker() -> Build {
    let mut build = Build::default();
    build.add(metadata_version(30));
    build.add(register(1, 1));
    build
}

/// The same with a topic `t` of one partition on brokers 1 and 2.
fn with_topic() -> Build {
    let mut build = with_broker();
    build.add(TopicRecord {
        name: "t".to_owned(),
        topic_id: topic_id(0),
    });
    build.add(partition(0, 0, &[1, 2]));
    build
}

fn change_of(broker: i32, epoch: i64) -> BrokerRegistrationChangeRecord {
    BrokerRegistrationChangeRecord {
        broker_id: BrokerId(broker),
        broker_epoch: epoch,
        ..BrokerRegistrationChangeRecord::default()
    }
}

#[test]
fn a_broker_registers_changes_and_leaves() {
    let mut build = with_broker();
    let broker = build.image.broker(BrokerId(1)).unwrap();
    assert_eq!(
        (broker.fenced, broker.registered_at, broker.stamp.offset),
        (true, 1, 1)
    );

    let dirs = [Uuid::from_u128(u128::MAX), Uuid::from_u128(5)].to_vec();
    let log_dirs = dirs.clone();
    build.add(BrokerRegistrationChangeRecord {
        fenced: -1,
        log_dirs,
        ..change_of(1, 1)
    });
    let broker = build.image.broker(BrokerId(1)).unwrap();
    assert!(broker.is_active());
    assert_eq!(broker.log_dirs, dirs, "sorted as signed numbers");
    assert_eq!((broker.registered_at, broker.stamp.offset), (1, 2));

    let cordoned_log_dirs = Some(vec![]);
    build.add(BrokerRegistrationChangeRecord {
        in_controlled_shutdown: 1,
        cordoned_log_dirs,
        ..change_of(1, 1)
    });
    let broker = build.image.broker(BrokerId(1)).unwrap();
    assert!(broker.in_controlled_shutdown && !broker.fenced && !broker.is_active());
    assert_eq!(
        (&broker.log_dirs, &broker.cordoned_log_dirs),
        (&dirs, &Some(vec![]))
    );

    build.add(FenceBrokerRecord {
        id: BrokerId(1),
        epoch: 1,
    });
    assert!(build.image.broker(BrokerId(1)).unwrap().fenced);
    build.add(UnfenceBrokerRecord {
        id: BrokerId(1),
        epoch: 1,
    });
    assert!(!build.image.broker(BrokerId(1)).unwrap().fenced);
    build.add(UnregisterBrokerRecord {
        broker_id: BrokerId(1),
        broker_epoch: 1,
    });
    assert_eq!(build.image.brokers().count(), 0);
}

#[test]
fn broker_records_that_do_not_fit_are_refused() {
    let build = with_broker();
    let check = |record: Record, expect: ApplyError| {
        let mut image = build.image.clone();
        assert_eq!(image.apply_records(2, 1, 0, &[record], &[]), Err(expect));
    };
    let stale = ApplyError::BrokerEpoch {
        broker: BrokerId(1),
        expected: 1,
        found: 9,
    };
    let unknown = ApplyError::UnknownBroker(BrokerId(7));
    check(change_of(1, 9).into(), stale.clone());
    check(change_of(7, 1).into(), unknown.clone());
    check(
        UnregisterBrokerRecord {
            broker_id: BrokerId(1),
            broker_epoch: 9,
        }
        .into(),
        stale.clone(),
    );
    check(
        UnregisterBrokerRecord {
            broker_id: BrokerId(7),
            broker_epoch: 1,
        }
        .into(),
        unknown.clone(),
    );
    check(
        FenceBrokerRecord {
            id: BrokerId(1),
            epoch: 9,
        }
        .into(),
        stale.clone(),
    );
    check(
        UnfenceBrokerRecord {
            id: BrokerId(7),
            epoch: 1,
        }
        .into(),
        unknown,
    );
    let odd = BrokerRegistrationChangeRecord {
        fenced: 2,
        ..change_of(1, 1)
    };
    check(odd.into(), ApplyError::BadField("fenced", 2));
    let odd = BrokerRegistrationChangeRecord {
        in_controlled_shutdown: -1,
        ..change_of(1, 1)
    };
    check(odd.into(), ApplyError::BadField("inControlledShutdown", -1));
    let mut nameless = register(2, 2);
    nameless.end_points[0].name.clear();
    check(nameless.into(), ApplyError::BadListener(BrokerId(2)));
    let end_point = ControllerEndpoint {
        name: "C".to_owned(),
        security_protocol: 4,
        ..Default::default()
    };
    let controller = RegisterControllerRecord {
        controller_id: BrokerId(3000),
        end_points: vec![end_point],
        ..Default::default()
    };
    check(controller.into(), ApplyError::BadListener(BrokerId(3000)));
}

#[test]
fn a_controller_registers_and_replaces_itself() {
    let mut build = with_broker();
    for incarnation in [1, 2] {
        build.add(RegisterControllerRecord {
            controller_id: BrokerId(3000),
            incarnation_id: Uuid::from_u128(incarnation),
            ..Default::default()
        });
    }
    let found: Vec<_> = build
        .image
        .controllers()
        .map(|it| it.incarnation_id)
        .collect();
    assert_eq!(found, [Uuid::from_u128(2)]);
}

#[test]
fn a_topic_begins_empty_grows_and_ends_with_its_configuration() {
    let mut build = with_topic();
    let config = ConfigRecord {
        resource_type: ConfigKind::Topic as i8,
        resource_name: "t".to_owned(),
        name: "retention.ms".to_owned(),
        value: Some("1".to_owned()),
    };
    build.add(config);
    let topic = build.image.topic_by_name("t").unwrap();
    assert_eq!(
        (
            topic.id(),
            topic.partition_count(),
            topic.next_partition_index()
        ),
        (topic_id(0), 1, 1)
    );
    assert_eq!(topic.partition(0).unwrap().leader(), Some(BrokerId(1)));
    assert_eq!(topic.partition(0).unwrap().stamp().time, 1_003_000);
    assert_eq!(build.image.leader_count(BrokerId(1)), 1);
    assert_eq!(build.image.replica_count(BrokerId(2)), 1);

    let removed = build.add(RemoveTopicRecord {
        topic_id: topic_id(0),
    });
    let image = &build.image;
    assert_eq!(
        (image.counts(), image.configs().count()),
        (Counts::default(), 0)
    );
    assert_eq!(
        (
            image.leader_count(BrokerId(1)),
            image.replica_count(BrokerId(2))
        ),
        (0, 0)
    );
    assert!(image.topic(topic_id(0)).is_none() && image.topic_by_name("t").is_none());
    let kinds =
        |changes: Vec<Change<'_>>| changes.iter().map(|it| it.stamp.offset).collect::<Vec<_>>();
    assert_eq!(
        kinds(image.changes(removed - 1, Kinds::ALL)),
        [removed; 3],
        "partition, configuration, topic"
    );
    build.add(TopicRecord {
        name: "t".to_owned(),
        topic_id: topic_id(1),
    });
}

#[test]
fn topic_records_that_do_not_fit_are_refused() {
    let build = with_topic();
    let check = |record: Record, expect: ApplyError| {
        let mut image = build.image.clone();
        assert_eq!(image.apply_records(4, 1, 0, &[record], &[]), Err(expect));
    };
    let exists = ApplyError::TopicExists("t".to_owned());
    check(
        TopicRecord {
            name: "t".to_owned(),
            topic_id: topic_id(9),
        }
        .into(),
        exists,
    );
    let exists = ApplyError::TopicExists("u".to_owned());
    check(
        TopicRecord {
            name: "u".to_owned(),
            topic_id: topic_id(0),
        }
        .into(),
        exists,
    );
    let unknown = ApplyError::UnknownTopic(topic_id(9));
    check(partition(9, 0, &[1]).into(), unknown.clone());
    check(
        RemoveTopicRecord {
            topic_id: topic_id(9),
        }
        .into(),
        unknown.clone(),
    );
    let change = |topic, index| PartitionChangeRecord {
        partition_id: index,
        topic_id: topic_id(topic),
        ..Default::default()
    };
    check(change(9, 0).into(), unknown);
    check(
        change(0, 1).into(),
        ApplyError::UnknownPartition(topic_id(0), 1),
    );
    check(
        partition(0, -1, &[1]).into(),
        ApplyError::BadPartition(topic_id(0), -1),
    );
    let mut short = partition(0, 1, &[1, 2]);
    short.directories.pop();
    check(short.into(), ApplyError::BadPartition(topic_id(0), 1));
    let odd = PartitionRecord {
        leader_recovery_state: 2,
        ..partition(0, 1, &[1])
    };
    check(odd.into(), ApplyError::BadField("leaderRecoveryState", 2));
    let unnamed = ApplyError::UnknownTopicName("u".to_owned());
    check(
        ClearElrRecord {
            topic_name: "u".to_owned(),
        }
        .into(),
        unnamed,
    );
}

#[test]
fn partitions_need_not_come_in_order_nor_be_dense() {
    let mut build = with_topic();
    build.add(TopicRecord {
        name: "u".to_owned(),
        topic_id: topic_id(1),
    });
    for (topic, index) in [(1, 7), (0, 1), (1, 2), (1, 0), (1, 1), (0, 2), (1, 8)] {
        build.add(partition(topic, index, &[index]));
    }
    let topic = build.image.topic(topic_id(1)).unwrap();
    let found: Vec<_> = topic
        .partitions()
        .map(|it| (it.index(), it.replicas()[0].0))
        .collect();
    assert_eq!(found, [(0, 0), (1, 1), (2, 2), (7, 7), (8, 8)]);
    assert_eq!(
        (topic.partition_count(), topic.next_partition_index()),
        (5, 9)
    );
    assert!(
        topic.partition(3).is_none()
            && topic.partition(-1).is_none()
            && topic.partition(9).is_none()
    );
    assert_eq!(
        build
            .image
            .topic(topic_id(0))
            .unwrap()
            .next_partition_index(),
        3
    );
    build.add(partition(1, 7, &[1, 2]));
    let again = build.image.partition(topic_id(1), 7).unwrap();
    assert_eq!(
        (again.replicas().len(), again.topic().partition_count()),
        (2, 5),
        "set, not added"
    );
}

#[test]
fn clearing_the_elr_raises_the_epoch_of_those_that_had_one() {
    let mut build = with_topic();
    build.add(TopicRecord {
        name: "u".to_owned(),
        topic_id: topic_id(1),
    });
    let elr = |topic, list: &[i32]| PartitionRecord {
        eligible_leader_replicas: Some(ids(list)),
        ..partition(topic, 1, &[1, 2, 3, 4, 5])
    };
    build.add(elr(0, &[2]));
    build.add(elr(1, &[3]));
    let state = |image: &Image| {
        let of = |topic, index| {
            let partition = image.partition(topic_id(topic), index).unwrap();
            (partition.elr().len(), partition.partition_epoch())
        };
        [of(0, 0), of(0, 1), of(1, 1)]
    };
    assert_eq!(state(&build.image), [(0, 0), (1, 0), (1, 0)]);
    build.add(ClearElrRecord {
        topic_name: "t".to_owned(),
    });
    assert_eq!(state(&build.image), [(0, 0), (0, 1), (1, 0)]);
    build.add(ClearElrRecord {
        topic_name: String::new(),
    });
    assert_eq!(state(&build.image), [(0, 0), (0, 1), (0, 1)]);
}

#[test]
fn configurations_are_set_and_deleted_key_by_key() {
    let mut build = Build::default();
    let mut set = |kind: i8, name: &str, key: &str, value: Option<&str>| {
        build.add(ConfigRecord {
            resource_type: kind,
            resource_name: name.to_owned(),
            name: key.to_owned(),
            value: value.map(str::to_owned),
        });
        build.image.clone()
    };
    set(4, "", "b", Some("1"));
    set(4, "", "a", Some("2"));
    set(4, "", "b", Some("3"));
    set(8, "1", "a logger", Some("DEBUG"));
    let image = set(4, "1", "a", Some("5"));
    let cluster: Vec<_> = image
        .config(&ConfigResource::cluster())
        .unwrap()
        .iter()
        .collect();
    assert_eq!(cluster, [("a", "2"), ("b", "3")]);
    assert_eq!(image.configs().count(), 2, "loggers are no configuration");
    assert_eq!(
        image.config_value(&ConfigResource::broker(BrokerId(1)), "a"),
        Some("5")
    );
    set(4, "1", "none", None);
    let image = set(4, "1", "a", None);
    assert_eq!(image.config(&ConfigResource::broker(BrokerId(1))), None);
    let gone = image.changes(5, Kinds::CONFIG);
    assert!(matches!(
        gone[..],
        [Change {
            what: Changed::Gone(Gone::Config(_)),
            ..
        }]
    ));
}

#[test]
fn quotas_are_set_and_removed_key_by_key() {
    let part = |kind: &str, name: Option<&str>| EntityData {
        entity_type: kind.to_owned(),
        entity_name: name.map(str::to_owned),
    };
    let quota = |entity: Vec<EntityData>, key: &str, value, remove| ClientQuotaRecord {
        entity,
        key: key.to_owned(),
        value,
        remove,
    };
    let both = vec![part("user", None), part("client-id", Some("c"))];
    let mut build = Build::default();
    build.add(quota(both.clone(), "rate", 1.5, false));
    build.add(quota(
        both.iter().rev().cloned().collect(),
        "rate",
        2.5,
        false,
    ));
    build.add(quota(both.clone(), "other", 3.0, false));
    let entity = QuotaEntity::new(&both);
    assert_eq!(
        build.image.quotas().count(),
        1,
        "the order of parts does not matter"
    );
    assert_eq!(build.image.quota(&entity).unwrap().get("rate"), Some(&2.5));
    build.add(quota(both.clone(), "rate", 0.0, true));
    build.add(quota(both.clone(), "other", 0.0, true));
    assert_eq!(build.image.quota(&entity), None);
    build.add(quota(both, "other", 0.0, true));
}

#[test]
fn producer_ids_only_rise_and_each_broker_keeps_its_newest_block() {
    let mut build = with_broker();
    let block = |broker: i32, next| ProducerIdsRecord {
        broker_id: BrokerId(broker),
        broker_epoch: 1,
        next_producer_id: next,
    };
    build.add(block(1, 1000));
    build.add(block(2, 2000));
    build.add(block(1, 3000));
    let blocks: Vec<_> = build
        .image
        .producer_blocks()
        .map(|it| (it.broker_id.0, it.first, it.next))
        .collect();
    assert_eq!(blocks, [(1, 2000, 3000), (2, 1000, 2000)]);
    assert_eq!(build.image.next_producer_id(), Some(3000));
    let refused = Err(ApplyError::ProducerIdNotRising {
        expected_above: 3000,
        found: 3000,
    });
    assert_eq!(build.try_add(block(2, 3000)), refused);
}

#[test]
fn acls_credentials_and_tokens_come_and_go() {
    let mut build = Build::default();
    let id = Uuid::from_u128(5);
    build.add(AccessControlEntryRecord {
        id,
        ..Default::default()
    });
    build.add(UserScramCredentialRecord {
        name: "u".to_owned(),
        mechanism: 1,
        ..Default::default()
    });
    build.add(DelegationTokenRecord {
        token_id: "k".to_owned(),
        ..Default::default()
    });
    build.add(DelegationTokenRecord {
        token_id: "k".to_owned(),
        expiration_timestamp: 7,
        ..Default::default()
    });
    let image = &build.image;
    assert_eq!((image.acl(id).is_some(), image.acl_count()), (true, 1));
    assert!(image.scram_credential(1, "u").is_some() && image.scram_credential(2, "u").is_none());
    assert_eq!(image.delegation_token("k").unwrap().expiration_timestamp, 7);

    build.add(RemoveAccessControlEntryRecord { id });
    build.add(RemoveUserScramCredentialRecord {
        name: "u".to_owned(),
        mechanism: 1,
    });
    build.add(RemoveDelegationTokenRecord {
        token_id: "k".to_owned(),
    });
    assert_eq!(build.image.records().count(), 0);
    assert_eq!(
        build.image.changes(3, Kinds::ALL).len(),
        3,
        "three tombstones"
    );
    assert_eq!(
        build.try_add(RemoveAccessControlEntryRecord { id }),
        Err(ApplyError::UnknownAcl(id))
    );
    let unknown = Err(ApplyError::UnknownCredential("u".to_owned(), 1));
    let again = RemoveUserScramCredentialRecord {
        name: "u".to_owned(),
        mechanism: 1,
    };
    assert_eq!(build.try_add(again), unknown);
    build.add(RemoveDelegationTokenRecord {
        token_id: "k".to_owned(),
    });
}

#[test]
fn features_are_finalized_within_what_is_supported() {
    let mut build = Build::default();
    let level = |name: &str, feature_level| FeatureLevelRecord {
        name: name.to_owned(),
        feature_level,
    };
    let elr = features::ELIGIBLE_LEADER_REPLICAS_VERSION;
    assert_eq!(build.image.features().metadata_version(), None);
    build.add(metadata_version(25));
    build.add(level(elr, 1));
    build.add(level("kraft.version", 9));
    build.add(level("no.such.feature", 0));
    assert_eq!(build.image.features().epoch(), Some(3));
    assert!(build.image.features().elr_enabled());
    let found: Vec<_> = build
        .image
        .features()
        .iter()
        .map(|(name, level, _)| (name, level))
        .collect();
    assert_eq!(found, [(elr, 1), ("metadata.version", 25)]);
    for (name, high) in [
        ("metadata.version", 31),
        ("metadata.version", 6),
        (elr, 2),
        ("new", 1),
    ] {
        let refused = Err(ApplyError::BadFeatureLevel(name.to_owned(), high));
        assert_eq!(build.try_add(level(name, high)), refused);
    }
    build.add(level(elr, 0));
    assert_eq!(build.image.features().level(elr), 0);
}

#[test]
fn a_transaction_is_seen_while_it_is_open_and_an_aborted_one_never_was() {
    let mut build = with_broker();
    let begin = BeginTransactionRecord {
        name: Some("n".to_owned()),
    };
    build.add(begin.clone());
    assert_eq!(build.image.open_transaction(), Some("n"));
    let nested = Err(ApplyError::TransactionOrder("BeginTransactionRecord"));
    assert_eq!(build.try_add(begin.clone()), nested);
    build.add(register(2, 2));
    build.add(EndTransactionRecord {});
    assert_eq!(
        (
            build.image.open_transaction(),
            build.image.brokers().count()
        ),
        (None, 2)
    );
    build.add(begin);
    build.add(register(3, 3));
    build.add(AbortTransactionRecord { reason: None });
    assert_eq!(
        (
            build.image.open_transaction(),
            build.image.brokers().count()
        ),
        (None, 2)
    );
    assert_eq!(
        (build.image.end_offset(), build.image.last_time()),
        (8, 1_007_000)
    );
    for record in [
        EndTransactionRecord {}.into(),
        Record::from(AbortTransactionRecord { reason: None }),
    ] {
        assert_eq!(
            build.try_add(record.clone()),
            Err(ApplyError::TransactionOrder(record.name()))
        );
    }
}

#[test]
fn records_without_effect_move_the_offset_on() {
    let mut build = with_broker();
    let before: Vec<_> = build.image.records().collect();
    build.add(NoOpRecord {});
    build.add(ZkMigrationStateRecord {
        zk_migration_state: 3,
    });
    assert_eq!(build.image.end_offset(), 4);
    assert!(build.image.records().eq(before));
}

#[test]
fn batches_follow_each_other_without_a_gap_and_control_batches_name_the_voters() {
    let mut image = Image::default();
    let voter = Voter {
        id: BrokerId(3000),
        directory_id: Uuid::from_u128(9),
        endpoints: vec![Endpoint {
            name: "C".to_owned(),
            host: "h".to_owned(),
            port: 1,
        }],
    };
    let control = [
        ControlRecord::KRaftVersion(1),
        ControlRecord::KRaftVoters(vec![voter.clone()]),
    ];
    image
        .apply_batch(&Batch::control(0, 3, 50, &control).unwrap(), &[])
        .unwrap();
    assert_eq!(
        (image.end_offset(), image.last_epoch(), image.last_time()),
        (2, 3, 50)
    );
    assert_eq!(image.features().level("kraft.version"), 1);
    assert_eq!(**image.features().voters(), [voter]);
    let records = [metadata_version(30).into(), NoOpRecord {}.into()];
    let batch = Batch::build(2, 4, 60, 30, &records).unwrap();
    image.apply_batch(&batch, &[]).unwrap();
    assert_eq!(
        (image.end_offset(), image.last_epoch(), image.last_time()),
        (4, 4, 60)
    );
    assert_eq!(
        image.features().epoch(),
        Some(3),
        "the last offset of the batch"
    );
    let gap = Err(ApplyError::NotNext {
        expected: 4,
        found: 2,
    });
    assert_eq!(image.apply_batch(&batch, &[]), gap);
    assert_eq!(reloaded(&image, true), image);
}

#[test]
fn an_incarnation_lives_from_its_registration_to_its_end() {
    let mut build = Build::default();
    build.add(metadata_version(30));
    let life = |build: &Build, epoch| {
        let life = build
            .image
            .incarnation(register(1, epoch).incarnation_id)
            .unwrap();
        (
            build.image.status(life),
            life.changes,
            life.sessionless,
            life.stamp().offset,
        )
    };
    build.add(register(1, 1));
    assert_eq!(life(&build, 1), (BrokerStatus::Init, 0, false, 1));
    build.add(BrokerRegistrationChangeRecord {
        fenced: -1,
        ..change_of(1, 1)
    });
    assert_eq!(life(&build, 1), (BrokerStatus::Alive, 1, false, 2));
    build.add(BrokerRegistrationChangeRecord {
        fenced: 1,
        ..change_of(1, 1)
    });
    assert_eq!(life(&build, 1), (BrokerStatus::Fenced, 2, false, 3));

    // Another start of the same broker, this time over HTTP.
    let sessionless = [SideChange::Sessionless {
        broker: BrokerId(1),
    }];
    build.try_add_with(register(1, 4), &sessionless).unwrap();
    assert_eq!(life(&build, 1), (BrokerStatus::Closed, 3, false, 4));
    assert_eq!(life(&build, 4), (BrokerStatus::Fenced, 0, true, 4));
    assert!(build.image.is_sessionless(BrokerId(1)));
    assert_eq!(build.image.closed_brokers().next().unwrap().1.epoch, 1);

    // The same one again, by frame.
    build.add(register(1, 4));
    assert_eq!(life(&build, 4), (BrokerStatus::Init, 1, false, 5));
    build.add(UnregisterBrokerRecord {
        broker_id: BrokerId(1),
        broker_epoch: 4,
    });
    assert_eq!(life(&build, 4), (BrokerStatus::Closed, 2, false, 6));
    let known = build
        .image
        .incarnation(register(1, 4).incarnation_id)
        .unwrap();
    assert_eq!(
        build.image.broker_of(known).unwrap().end_points[0].host,
        "broker-1"
    );
    build.add(register(1, 4));
    assert_eq!(life(&build, 4), (BrokerStatus::Init, 3, false, 7));
    assert_eq!(build.image.closed_brokers().count(), 1);

    let unknown = Err(ApplyError::UnknownBroker(BrokerId(9)));
    let strange = [SideChange::Sessionless {
        broker: BrokerId(9),
    }];
    assert_eq!(build.try_add_with(NoOpRecord {}, &strange), unknown);
}

#[test]
fn ended_lives_and_tombstones_are_kept_within_their_bounds() {
    let mut build = Build::default();
    build.add(metadata_version(30));
    for n in 1..=side::CLOSED_MAX as i64 + 5 {
        build.add(register(1, n));
    }
    assert_eq!(build.image.closed_brokers().count(), side::CLOSED_MAX);
    assert_eq!(build.image.incarnations().count(), side::CLOSED_MAX + 1);
    assert_eq!(build.image.complete_since(), -1);

    let mut image = build.image;
    let create = TopicRecord {
        name: "t".to_owned(),
        topic_id: topic_id(0),
    };
    image
        .apply(
            &create.into(),
            Stamp {
                offset: 5000,
                time: 1,
            },
        )
        .unwrap();
    for index in 0..changes::TOMBSTONES_MAX as i32 {
        let stamp = Stamp {
            offset: 5001 + i64::from(index),
            time: 1,
        };
        image
            .apply(&partition(0, index, &[1]).into(), stamp)
            .unwrap();
    }
    let removed = Stamp {
        offset: 50_000,
        time: 2,
    };
    image
        .apply(
            &RemoveTopicRecord {
                topic_id: topic_id(0),
            }
            .into(),
            removed,
        )
        .unwrap();
    assert_eq!(
        image.complete_since(),
        50_000,
        "one tombstone too many went"
    );
}

#[test]
fn times_lead_to_offsets_and_back() {
    let mut build = with_topic();
    build.add(NoOpRecord {});
    assert_eq!(build.image.time_of(3), 1_003_000);
    assert_eq!(build.image.offset_before(1_003_000), 2);
    assert_eq!(build.image.offset_before(5), -1);
    assert_eq!(build.image.offset_before(9_999_999), 4);
    let changed = build
        .image
        .changes(build.image.offset_before(1_003_000), Kinds::ALL);
    assert!(matches!(
        changed[..],
        [Change {
            what: Changed::Partition(_),
            ..
        }]
    ));
}

#[test]
fn snapshots_leave_out_what_an_old_metadata_version_cannot_say() {
    for (level, cordoned, directories, elr) in [
        (30, true, true, true),
        (17, false, true, false),
        (7, false, false, false),
    ] {
        let mut build = Build::default();
        build.add(metadata_version(level));
        build.add(RegisterBrokerRecord {
            cordoned_log_dirs: Some(vec![]),
            ..register(1, 1)
        });
        build.add(TopicRecord {
            name: "t".to_owned(),
            topic_id: topic_id(0),
        });
        let eligible_leader_replicas = Some(ids(&[1]));
        build.add(PartitionRecord {
            eligible_leader_replicas,
            ..partition(0, 0, &[1])
        });
        let records: Vec<_> = build.image.records().collect();
        let Record::RegisterBroker(broker) = &records[1] else {
            panic!("{records:?}")
        };
        let Record::Partition(state) = &records[3] else {
            panic!("{records:?}")
        };
        assert_eq!(broker.cordoned_log_dirs.is_some(), cordoned);
        assert_eq!(!broker.log_dirs.is_empty(), directories);
        assert_eq!(!state.directories.is_empty(), directories);
        assert_eq!(state.eligible_leader_replicas.is_some(), elr);
        Batch::build(0, 1, 0, level, &records).expect("every record can be written");
    }
    assert_eq!(directory::MIGRATING, Uuid::nil());
}

#[test]
fn damaged_side_bytes_are_an_error() {
    let mut build = with_topic();
    build.add(RegisterBrokerRecord {
        cordoned_log_dirs: Some(vec![]),
        ..register(1, 4)
    });
    build.add(RemoveTopicRecord {
        topic_id: topic_id(0),
    });
    build.add(ProducerIdsRecord {
        broker_id: BrokerId(1),
        broker_epoch: 4,
        next_producer_id: 1000,
    });
    let image = build.image;
    let read = |side: Vec<u8>| {
        let mut loader = Loader::new(image.end_offset(), 1, Some(side.into()))?;
        image
            .records()
            .try_for_each(|record| loader.record(&record))?;
        loader.finish()
    };
    let whole = image.side_bytes();
    assert_eq!(read(whole.clone()), Ok(image.clone()));
    for length in 0..whole.len() {
        assert!(
            read(whole[..length].to_vec()).is_err(),
            "cut to {length} bytes"
        );
    }
    assert!(read([&*whole, &[0]].concat()).is_err(), "one byte too many");
    for at in 0..whole.len() {
        for damage in [1, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= damage;
            // An error or another image, but never a panic.
            let _ = read(damaged);
        }
    }
    let other = Loader::new(image.end_offset() + 1, 1, Some(whole.into()));
    assert!(other.is_err(), "it belongs to another snapshot");
}
