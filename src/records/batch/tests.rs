//! Batches that Kafka wrote, damaged ones, bounds, and random records there and back.

use proptest::prelude::*;

use super::*;
use crate::ids::{BrokerId, Endpoint, Uuid, Voter};
use crate::records::tests::{hex, ids, partition};
use crate::records::{
    ConfigRecord, NoOpRecord, PartitionChangeRecord, PartitionRecord, STRING_BYTES_MAX,
};

#[test]
fn the_first_batch_of_a_quorum_has_kafkas_bytes() {
    let directory = Uuid::from_u128(0x49c9e847a951415c902fe53bf878f18c);
    let endpoint = Endpoint {
        name: "CONTROLLER".into(),
        host: "localhost".into(),
        port: 24001,
    };
    let voter = Voter {
        id: BrokerId(1),
        directory_id: directory,
        endpoints: vec![endpoint],
    };
    let records = [
        ControlRecord::LeaderChange {
            leader: BrokerId(1),
            voters: ids(&[1]),
            granting_voters: ids(&[1]),
        },
        ControlRecord::KRaftVersion(1),
        ControlRecord::KRaftVoters(vec![voter]),
    ];
    let batch = Batch::control(0, 1, 0x1a206055fbe, &records).unwrap();
    let expected = hex(
        "0000000000000000 000000a2 00000001 02 0a0fe562 0020 00000002
        000001a206055fbe 000001a206055fbe ffffffffffffffff ffff ffffffff 00000003
        3a 00 00 00 08 00000002 26 0000 00000001 02 00000001 00 02 00000001 00 00 00
        1e 00 00 02 08 00000005 0a 0000 0001 00 00
        8201 00 00 04 08 00000006 6e 0000 02 00000001 49c9e847a951415c902fe53bf878f18c
        02 0b434f4e54524f4c4c4552 0a6c6f63616c686f7374 5dc1 00 0000 0001 00 00 00 00",
    );
    assert_eq!(batch.0.as_ref(), expected);
    batch.verify().unwrap();
    assert_eq!(batch.decode_control().unwrap(), records);
    assert!(batch.decode().unwrap().is_empty());
    assert_eq!(
        (batch.base_offset(), batch.next_offset(), batch.epoch()),
        (0, 3, 1)
    );

    let footer = Batch::control(8, 0, 0x1a20604e49a, &[ControlRecord::SnapshotFooter]).unwrap();
    let expected = hex(
        "0000000000000008 0000003f 00000000 02 f303dd8c 0020 00000000
        000001a20604e49a 000001a20604e49a ffffffffffffffff ffff ffffffff 00000001
        1a 00 00 00 08 00000004 06 0000 00 00",
    );
    assert_eq!(footer.0.as_ref(), expected);
}

fn some_batch() -> Batch {
    let records = [partition().into(), NoOpRecord {}.into()];
    Batch::build(7, 3, 1_000, 30, &records).unwrap()
}

#[test]
fn a_batch_moves_without_a_new_checksum() {
    let batch = some_batch();
    let moved = batch.with_base(100, 9);
    moved.verify().unwrap();
    assert_eq!(
        (moved.base_offset(), moved.next_offset(), moved.epoch()),
        (100, 102, 9)
    );
    assert_eq!(moved.decode(), batch.decode());
    assert_eq!(moved.with_base(7, 3), batch);
}

#[test]
fn a_damaged_batch_is_found() {
    let batch = some_batch();
    batch.verify().unwrap();
    for at in (8..12).chain(16..batch.len()) {
        let mut bytes = batch.0.to_vec();
        bytes[at] ^= 1;
        assert!(Batch(bytes.into()).verify().is_err(), "byte {at}");
    }
    assert!(Batch(batch.0.slice(..batch.len() - 1)).verify().is_err());
    assert!(Batch(Default::default()).verify().is_err());
    assert_eq!(Batch(Default::default()).base_offset(), 0);
}

#[test]
fn a_run_is_split_into_batches() {
    let batches = [some_batch(), some_batch().with_base(9, 3)];
    let run: Vec<u8> = batches.iter().flat_map(|batch| batch.0.to_vec()).collect();
    assert_eq!(
        Batch::split(run.clone().into(), CutTail::Refuse).unwrap(),
        batches
    );
    for cut in [1, batches[1].len() - 1] {
        let cut: Bytes = run[..run.len() - cut].to_vec().into();
        assert_eq!(
            Batch::split(cut.clone(), CutTail::Ignore).unwrap(),
            batches[..1]
        );
        assert!(Batch::split(cut, CutTail::Refuse).is_err());
    }
    let mut other_magic = run;
    other_magic[16] = 1;
    assert!(Batch::split(other_magic.into(), CutTail::Ignore).is_err());
}

#[test]
fn batches_have_bounds() {
    assert!(Batch::build(0, 1, 0, 30, &[]).is_err());
    let value = "x".repeat(STRING_BYTES_MAX);
    let config = ConfigRecord {
        resource_type: 2,
        value: Some(value),
        ..Default::default()
    };
    let config = Record::from(config);
    let mut builder = BatchBuilder::new(0, 1, 0);
    while builder.push(&config, 30).is_ok() {}
    let count = builder.record_count();
    let batch = builder.finish().unwrap();
    assert!(batch.len() <= BATCH_BYTES_MAX && batch.len() + 40_000 > BATCH_BYTES_MAX);
    assert_eq!(batch.decode().unwrap().len(), count);
}

fn uuids() -> impl Strategy<Value = Vec<Uuid>> {
    prop::collection::vec(any::<u128>().prop_map(Uuid::from_u128), 0..4)
}

fn brokers() -> impl Strategy<Value = Vec<BrokerId>> {
    prop::collection::vec(any::<i32>().prop_map(BrokerId), 0..5)
}

prop_compose! {
    fn any_partition()(
        partition_id in any::<i32>(), topic_id in any::<u128>(), replicas in brokers(), isr in brokers(),
        leader in any::<i32>(), leader_epoch in any::<i32>(), directories in uuids(),
        leader_recovery_state in any::<i8>(), elr in prop::option::of(brokers()),
        last_known_elr in prop::option::of(brokers()),
    ) -> Record {
        PartitionRecord {
            partition_id, topic_id: Uuid::from_u128(topic_id), replicas, isr, leader: BrokerId(leader),
            leader_epoch, directories, leader_recovery_state, eligible_leader_replicas: elr,
            last_known_elr, ..Default::default()
        }.into()
    }
}

prop_compose! {
    fn any_change()(
        partition_id in any::<i32>(), isr in prop::option::of(brokers()), leader in -2..3,
        replicas in prop::option::of(brokers()), directories in prop::option::of(uuids()),
        leader_recovery_state in -1..2_i8, last_known_elr in prop::option::of(brokers()),
    ) -> Record {
        PartitionChangeRecord {
            partition_id, isr, leader, replicas, directories, leader_recovery_state, last_known_elr,
            ..Default::default()
        }.into()
    }
}

prop_compose! {
    fn any_config()(resource_type in any::<i8>(), name in ".{0,40}", value in prop::option::of(".{0,200}"))
        -> Record {
        ConfigRecord { resource_type, resource_name: name.clone(), name, value }.into()
    }
}

proptest! {
    #[test]
    fn records_come_back_from_a_batch(
        records in prop::collection::vec(prop_oneof![any_partition(), any_change(), any_config()], 1..40),
        base_offset in 0..i64::MAX / 2, epoch in 1..i32::MAX, time in any::<i64>(),
    ) {
        let batch = Batch::build(base_offset, epoch, time, 30, &records).unwrap();
        batch.verify().unwrap();
        prop_assert_eq!(batch.next_offset(), base_offset + records.len() as i64);
        prop_assert_eq!((batch.epoch(), batch.time()), (epoch, time));
        prop_assert_eq!(batch.decode().unwrap(), records);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), key in 0..29_u8) {
        let mut bytes = bytes;
        let _ = Record::decode(&bytes);
        bytes.splice(0..0, [1, key, 2]);
        let _ = Record::decode(&bytes);
        let batch = Batch(bytes.into());
        let _ = batch.verify();
        let _ = batch.raw_records().count();
    }
}
