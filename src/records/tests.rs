//! Bytes that Kafka 4.3.1's own classes produced, and records that must be refused.

use bytes::BytesMut;

use super::*;
use crate::ids::{BrokerId, Uuid};

const T: Uuid = Uuid::from_u128(0x01020304050607081112131415161718);
const D: Uuid = Uuid::from_u128(0x21222324252627283132333435363738);
const UNASSIGNED: Uuid = crate::ids::directory::UNASSIGNED;

pub(in crate::records) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

pub(in crate::records) fn ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

/// The record has exactly these bytes in this version, and they read back as the record.
#[track_caller]
fn check(record: impl Into<Record>, version: i16, bytes: &str) {
    let record = record.into();
    let mut out = BytesMut::new();
    record.encode_version(version, &mut out).unwrap();
    assert_eq!(out.as_ref(), hex(bytes), "{record:?}");
    assert_eq!(out.len(), record.value_size(version));
    assert_eq!(Record::decode(&out), Ok((record, version)));
}

#[track_caller]
fn refused(bytes: &str, reason: &str) {
    let error = Record::decode(&hex(bytes)).unwrap_err().to_string();
    assert!(error.contains(reason), "{error}");
}

fn register_broker() -> RegisterBrokerRecord {
    RegisterBrokerRecord {
        broker_id: BrokerId(5),
        incarnation_id: T,
        broker_epoch: 16,
        end_points: vec![BrokerEndpoint {
            name: "EXT".into(),
            host: "h".into(),
            port: 9092,
            security_protocol: 0,
        }],
        features: vec![BrokerFeature {
            name: "metadata.version".into(),
            min_supported_version: 7,
            max_supported_version: 30,
        }],
        rack: None,
        ..Default::default()
    }
}

pub(in crate::records) fn partition() -> PartitionRecord {
    PartitionRecord {
        partition_id: 0,
        topic_id: T,
        replicas: ids(&[5, 6]),
        isr: ids(&[5]),
        leader: BrokerId(5),
        leader_epoch: 3,
        partition_epoch: 4,
        ..Default::default()
    }
}

fn partition_change() -> PartitionChangeRecord {
    PartitionChangeRecord {
        partition_id: 0,
        topic_id: T,
        ..Default::default()
    }
}

fn registration_change() -> BrokerRegistrationChangeRecord {
    BrokerRegistrationChangeRecord {
        broker_id: BrokerId(5),
        broker_epoch: 16,
        ..Default::default()
    }
}

#[test]
fn broker_records_have_kafkas_bytes() {
    let body = "000000000000001002044558540268238400000002116d657461646174612e76657273696f6e0007001e00000100";
    let start = "000000050001020304050607081112131415161718";
    let v = |version: &str, tail: &str| format!("0100{version}{start}{body}{tail}");
    check(
        register_broker(),
        1,
        &format!("0100010000000501020304050607081112131415161718{body}00"),
    );
    check(register_broker(), 2, &v("02", "00"));
    let with_dirs = RegisterBrokerRecord {
        log_dirs: vec![D],
        ..register_broker()
    };
    check(
        with_dirs.clone(),
        3,
        &v("03", "0100110221222324252627283132333435363738"),
    );
    let cordoned = RegisterBrokerRecord {
        cordoned_log_dirs: Some(vec![]),
        ..with_dirs
    };
    check(
        cordoned,
        4,
        &v("04", "0200110221222324252627283132333435363738010101"),
    );

    let unregister = UnregisterBrokerRecord {
        broker_id: BrokerId(5),
        broker_epoch: 16,
    };
    check(unregister, 0, "01010000000005000000000000001000");
    let fence = FenceBrokerRecord {
        id: BrokerId(5),
        epoch: 16,
    };
    check(fence, 0, "01070000000005000000000000001000");
    let unfence = UnfenceBrokerRecord {
        id: BrokerId(5),
        epoch: 16,
    };
    check(unfence, 0, "01080000000005000000000000001000");

    let change = registration_change;
    check(
        BrokerRegistrationChangeRecord {
            fenced: -1,
            ..change()
        },
        0,
        "011100000000050000000000000010010001ff",
    );
    check(
        BrokerRegistrationChangeRecord {
            in_controlled_shutdown: 1,
            ..change()
        },
        1,
        "01110100000005000000000000001001010101",
    );
    check(
        BrokerRegistrationChangeRecord {
            log_dirs: vec![D],
            ..change()
        },
        2,
        "0111020000000500000000000000100102110221222324252627283132333435363738",
    );
    check(
        BrokerRegistrationChangeRecord {
            cordoned_log_dirs: Some(vec![]),
            ..change()
        },
        3,
        "01110300000005000000000000001001030101",
    );
    let controller = RegisterControllerRecord {
        controller_id: BrokerId(1),
        incarnation_id: T,
        zk_migration_ready: false,
        end_points: vec![ControllerEndpoint {
            name: "CTL".into(),
            host: "h".into(),
            port: 9093,
            security_protocol: 0,
        }],
        features: vec![ControllerFeature {
            name: "kraft.version".into(),
            min_supported_version: 0,
            max_supported_version: 1,
        }],
    };
    check(
        controller,
        0,
        "011b00000000010102030405060708111213141516171800020443544c02682385000000020e6b726166742e76657273696f6e000000010000",
    );
}

#[test]
fn topic_records_have_kafkas_bytes() {
    check(
        TopicRecord {
            name: "t1".into(),
            topic_id: T,
        },
        0,
        "0102000374310102030405060708111213141516171800",
    );
    check(
        RemoveTopicRecord { topic_id: T },
        0,
        "0109000102030405060708111213141516171800",
    );
    let start = "00000000010203040506070811121314151617180300000005000000060200000005010100000005";
    check(partition(), 0, &format!("010300{start}000000030000000400"));
    let v1 = PartitionRecord {
        directories: vec![D, UNASSIGNED],
        ..partition()
    };
    let dirs = "032122232425262728313233343536373800000000000000000000000000000001";
    check(
        v1.clone(),
        1,
        &format!("010301{start}0000000300000004{dirs}00"),
    );
    let v2 = PartitionRecord {
        eligible_leader_replicas: Some(ids(&[6])),
        ..v1
    };
    check(
        v2,
        2,
        &format!("010302{start}0000000300000004{dirs}0101050200000006"),
    );

    let start = "0000000001020304050607081112131415161718";
    let v0 = PartitionChangeRecord {
        isr: Some(ids(&[6])),
        leader: 6,
        ..partition_change()
    };
    check(v0, 0, &format!("010500{start}0200050200000006010400000006"));
    let v1 = PartitionChangeRecord {
        directories: Some(vec![D, D]),
        ..partition_change()
    };
    let both = "2122232425262728313233343536373821222324252627283132333435363738";
    check(v1, 1, &format!("010501{start}01082103{both}"));
    let v2 = PartitionChangeRecord {
        leader: -1,
        isr: Some(vec![]),
        eligible_leader_replicas: Some(ids(&[5])),
        last_known_elr: Some(vec![]),
        ..partition_change()
    };
    check(
        v2,
        2,
        &format!("010502{start}040001010104ffffffff06050200000005070101"),
    );
    check(
        ClearElrRecord {
            topic_name: String::new(),
        },
        0,
        "011c000100",
    );
    check(
        ClearElrRecord {
            topic_name: "t1".into(),
        },
        0,
        "011c0003743100",
    );
}

#[test]
fn the_other_records_have_kafkas_bytes() {
    let config = ConfigRecord {
        resource_type: 2,
        resource_name: "t1".into(),
        name: "retention.ms".into(),
        value: Some("1".into()),
    };
    check(config, 0, "010400020374310d726574656e74696f6e2e6d73023100");
    let config = ConfigRecord {
        resource_type: 4,
        resource_name: String::new(),
        name: "x".into(),
        value: None,
    };
    check(config, 0, "010400040102780000");
    let token = DelegationTokenRecord {
        owner: "User:o".into(),
        requester: "User:r".into(),
        renewers: vec!["User:w".into()],
        issue_timestamp: 1,
        max_timestamp: 2,
        expiration_timestamp: 3,
        token_id: "k".into(),
    };
    check(
        token,
        0,
        "010a0007557365723a6f07557365723a720207557365723a77000000000000000100000000000000020000000000000003026b00",
    );
    let scram = UserScramCredentialRecord {
        name: "u".into(),
        mechanism: 1,
        salt: vec![1],
        stored_key: vec![2],
        server_key: vec![3],
        iterations: 4096,
    };
    check(scram, 0, "010b000275010201020202030000100000");
    let feature = FeatureLevelRecord {
        name: "metadata.version".into(),
        feature_level: 30,
    };
    check(feature, 0, "010c00116d657461646174612e76657273696f6e001e00");
    let user = |name: Option<&str>| EntityData {
        entity_type: "user".into(),
        entity_name: name.map(str::to_owned),
    };
    let quota = ClientQuotaRecord {
        entity: vec![user(Some("bob"))],
        key: "producer_byte_rate".into(),
        value: 1024.0,
        remove: false,
    };
    check(
        quota,
        0,
        "010e0002057573657204626f62001370726f64756365725f627974655f7261746540900000000000000000",
    );
    let quota = ClientQuotaRecord {
        entity: vec![user(None)],
        key: "k".into(),
        value: 0.0,
        remove: true,
    };
    check(quota, 0, "010e000205757365720000026b00000000000000000100");
    let ids = ProducerIdsRecord {
        broker_id: BrokerId(5),
        broker_epoch: 16,
        next_producer_id: 1000,
    };
    check(ids, 0, "010f0000000005000000000000001000000000000003e800");
    let acl = AccessControlEntryRecord {
        id: T,
        resource_type: 2,
        resource_name: "t1".into(),
        pattern_type: 3,
        principal: "User:a".into(),
        host: "*".into(),
        operation: 3,
        permission_type: 3,
    };
    check(
        acl,
        0,
        "01120001020304050607081112131415161718020374310307557365723a61022a030300",
    );
    check(
        RemoveAccessControlEntryRecord { id: T },
        0,
        "0113000102030405060708111213141516171800",
    );
    check(NoOpRecord {}, 0, "01140000");
    check(
        ZkMigrationStateRecord {
            zk_migration_state: 3,
        },
        0,
        "0115000300",
    );
    let scram = RemoveUserScramCredentialRecord {
        name: "u".into(),
        mechanism: 2,
    };
    check(scram, 0, "01160002750200");
    check(BeginTransactionRecord { name: None }, 0, "01170000");
    check(
        BeginTransactionRecord {
            name: Some("ab".into()),
        },
        0,
        "011700010003036162",
    );
    check(EndTransactionRecord {}, 0, "01180000");
    check(
        AbortTransactionRecord {
            reason: Some("ab".into()),
        },
        0,
        "011900010003036162",
    );
    check(
        RemoveDelegationTokenRecord {
            token_id: "k".into(),
        },
        0,
        "011a00026b00",
    );
}

#[test]
fn what_kafka_refuses_is_refused() {
    refused("", "1 bytes wanted");
    refused("00140000", "frame version 0");
    refused("01060000", "number 6");
    refused("010d0000", "number 13");
    refused("01100000", "number 16");
    refused("011d0000", "number 29");
    refused("0114000000", "NoOpRecord: 1 bytes too many");
    refused("0114808004 00", "too large");
    refused(
        "01020000010203040506070811121314151617 1800",
        "TopicRecord v0: name: must not be null",
    );
    refused(
        "01020003 74",
        "TopicRecord v0: name: 2 bytes wanted, but 1 are left",
    );
    refused(
        "01020003 ffff 01020304050607081112131415161718 00",
        "TopicRecord v0: name: a string",
    );
    // PartitionChange v0 with directories, a field of version 1.
    refused(
        "01050000000000010203040506070811121314151617180108010100",
        "tag 8 is not valid for version 0",
    );
    // A payload that is longer than its value.
    refused("011700010004036162 00", "name: 1 bytes too many");
    // Elements of a version that is too high, as in RegisterBroker 5 with one endpoint.
    refused(
        "010005000000050001020304050607081112131415161718000000000000001002044558540268238400000001000100 00",
        "can't read version 5 of BrokerEndpoint",
    );
}

#[test]
fn the_future_is_read_as_far_as_it_fits() {
    let version_five = Record::decode(&hex("01140500")).unwrap();
    assert_eq!(version_five, (NoOpRecord {}.into(), 5));
    let unknown_tag = Record::decode(&hex("0114000163021234")).unwrap();
    assert_eq!(unknown_tag, (NoOpRecord {}.into(), 0));
}

#[test]
fn what_brokers_could_not_read_is_not_written() {
    let refused = |record: Record, version: i16, reason: &str| {
        let mut out = BytesMut::new();
        let error = record
            .encode_version(version, &mut out)
            .unwrap_err()
            .to_string();
        assert!(error.contains(reason), "{error}");
        assert!(out.is_empty());
    };
    let topic = TopicRecord {
        name: "x".repeat(STRING_BYTES_MAX + 1),
        topic_id: T,
    };
    refused(
        topic.into(),
        0,
        "TopicRecord v0: name: a string of 32768 bytes is over 32767",
    );
    let directories = PartitionRecord {
        directories: vec![D, D],
        ..partition()
    };
    refused(
        directories.into(),
        0,
        "directories is set, but needs version 1",
    );
    refused(NoOpRecord {}.into(), 1, "no such version");
    refused(NoOpRecord {}.into(), -1, "no such version");
    let mut out = BytesMut::new();
    let error = Record::from(BeginTransactionRecord { name: None })
        .encode(12, &mut out)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("needs metadata.version 13, but 12 is finalized"),
        "{error}"
    );
}

#[test]
fn metadata_version_decides_the_version() {
    let version = |record: Record, metadata_version| record.version_at(metadata_version).unwrap();
    for (metadata_version, broker, partition_version) in [
        (7, 1, 0),
        (8, 2, 0),
        (16, 2, 0),
        (17, 3, 1),
        (22, 3, 1),
        (23, 3, 2),
        (29, 3, 2),
        (30, 4, 2),
    ] {
        assert_eq!(version(register_broker().into(), metadata_version), broker);
        assert_eq!(
            version(partition().into(), metadata_version),
            partition_version
        );
        assert_eq!(
            version(partition_change().into(), metadata_version),
            partition_version
        );
    }
    let change = |change: BrokerRegistrationChangeRecord| version(change.into(), 30);
    assert_eq!(
        change(BrokerRegistrationChangeRecord {
            fenced: 1,
            ..registration_change()
        }),
        0
    );
    assert_eq!(change(registration_change()), 2);
    assert_eq!(
        change(BrokerRegistrationChangeRecord {
            in_controlled_shutdown: 1,
            ..registration_change()
        }),
        1
    );
    assert_eq!(
        change(BrokerRegistrationChangeRecord {
            log_dirs: vec![D],
            ..registration_change()
        }),
        2
    );
    assert_eq!(
        change(BrokerRegistrationChangeRecord {
            cordoned_log_dirs: Some(vec![]),
            ..registration_change()
        }),
        3
    );
}
