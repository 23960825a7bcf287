//! Replaying the recorded log up to N gives what Kafka wrote into its snapshot N, and an image made
//! from that snapshot says the same.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use yakt::image::{Image, Loader};
use yakt::records::Record;
use yakt::records::batch::{Batch, CutTail};
use yakt::records::control::ControlRecord;

/// Leader epochs of the recorded snapshots, by the offset they end at.
const SNAPSHOTS: [(i64, i32); 5] = [(265, 1), (1936, 1), (3400, 5), (4553, 8), (4962, 9)];

fn batches(name: &str) -> Vec<Batch> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden");
    let bytes: Bytes = fs::read(folder.join(name)).unwrap().into();
    Batch::split(bytes, CutTail::Refuse).unwrap()
}

fn snapshot(end: i64, epoch: i32) -> Vec<Batch> {
    batches(&format!("snapshots/{end:020}-{epoch:010}.checkpoint"))
}

fn loaded(end: i64, epoch: i32) -> Image {
    let mut loader = Loader::new(end, epoch, None).unwrap();
    let batches = snapshot(end, epoch);
    batches
        .iter()
        .for_each(|batch| loader.batch(batch).unwrap());
    loader.finish().unwrap()
}

/// Replays from `image` on and compares with each snapshot passed.
fn replay(mut image: Image, log: &str, expected: &[(i64, i32)]) {
    let mut expected = expected.iter();
    let mut next = expected.next();
    for batch in batches(log) {
        if batch.base_offset() < image.end_offset() {
            continue;
        }
        image
            .apply_batch(&batch, &[])
            .unwrap_or_else(|error| panic!("{error} at {batch:?}"));
        if let Some((end, epoch)) = next.filter(|(end, _)| *end == image.end_offset()) {
            same(&image, *end, *epoch);
            next = expected.next();
        }
    }
    assert_eq!(next, None, "the log ends before it");
}

fn same(image: &Image, end: i64, epoch: i32) {
    let kafkas = snapshot(end, epoch);
    let written: Vec<Record> = kafkas.iter().flat_map(|it| it.decode().unwrap()).collect();
    let ours: Vec<Record> = image.records().collect();
    let restored = loaded(end, epoch).records().collect();
    for records in [&written, &ours, &restored] {
        assert!(
            records.iter().map(group).is_sorted(),
            "groups stand in Kafka's order"
        );
    }
    let written = plain(written);
    assert_eq!(plain(ours), written, "snapshot {end}");
    assert_eq!(plain(restored), written, "snapshot {end}");
    let control: Vec<ControlRecord> = kafkas
        .iter()
        .flat_map(|batch| batch.decode_control().unwrap())
        .collect();
    let header = image.snapshot_header();
    assert_eq!(header[..], control[..control.len() - 1], "snapshot {end}");
    assert_eq!(image.last_epoch(), epoch);
}

/// The records without the orders that Kafka leaves to its hash tables.
fn plain(mut records: Vec<Record>) -> Vec<Record> {
    for record in &mut records {
        match record {
            Record::RegisterBroker(it) => {
                it.end_points.sort_by(|a, b| a.name.cmp(&b.name));
                it.features.sort_by(|a, b| a.name.cmp(&b.name));
            }
            Record::RegisterController(it) => {
                it.end_points.sort_by(|a, b| a.name.cmp(&b.name));
                it.features.sort_by(|a, b| a.name.cmp(&b.name));
            }
            Record::ClientQuota(it) => {
                it.entity.sort_by(|a, b| a.entity_type.cmp(&b.entity_type));
            }
            _ => {}
        }
    }
    records.sort_by_key(|record| format!("{record:?}"));
    records
}

/// Which part of a snapshot a record belongs to.
fn group(record: &Record) -> usize {
    match record {
        Record::FeatureLevel(it) if it.name == "metadata.version" => 0,
        Record::FeatureLevel(_) => 1,
        Record::RegisterBroker(_) => 2,
        Record::RegisterController(_) => 3,
        Record::Topic(_) | Record::Partition(_) => 4,
        Record::Config(_) => 5,
        Record::ClientQuota(_) => 6,
        Record::ProducerIds(_) => 7,
        Record::AccessControlEntry(_) => 8,
        Record::UserScramCredential(_) => 9,
        Record::DelegationToken(_) => 10,
        other => panic!("{} in a snapshot", other.name()),
    }
}

#[test]
fn the_recorded_log_adds_up_to_the_recorded_snapshots() {
    replay(
        Image::default(),
        "log/00000000000000000000.log",
        &SNAPSHOTS[..3],
    );
}

#[test]
fn the_log_goes_on_from_a_snapshot() {
    replay(
        loaded(4553, 8),
        "log/00000000000000004553.log",
        &SNAPSHOTS[4..],
    );
}
