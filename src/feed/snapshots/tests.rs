//! Files written, read, damaged, served and retired; and Kafka's own.

use std::sync::Arc;

use super::*;
use crate::ids::{BrokerId, Endpoint, Uuid};
use crate::records::{ConfigRecord, FeatureLevelRecord, TopicRecord};

const ID: SnapshotId = SnapshotId {
    epoch: 3,
    end_offset: 1234,
};

fn head() -> Head {
    let endpoint = Endpoint {
        name: "CONTROLLER".into(),
        host: "h".into(),
        port: 9093,
    };
    let directory_id = Uuid::from_u128(7);
    let voters = vec![Voter {
        id: BrokerId(1),
        directory_id,
        endpoints: vec![endpoint],
    }];
    Head {
        last_contained_log_time: 1_000,
        kraft_version: 1,
        voters,
    }
}

fn records(count: u128) -> Vec<Record> {
    let feature = FeatureLevelRecord {
        name: "metadata.version".into(),
        feature_level: 30,
    };
    let topic = |n| {
        TopicRecord {
            name: format!("t{n}"),
            topic_id: Uuid::from_u128(n),
        }
        .into()
    };
    std::iter::once(feature.into())
        .chain((1..count).map(topic))
        .collect()
}

fn contents(path: &Path) -> anyhow::Result<(Head, Vec<Record>)> {
    let contents = read(path)?;
    let head = contents.head.clone();
    let mut records = Vec::new();
    for batch in contents {
        records.extend(batch?.decode()?);
    }
    Ok((head, records))
}

#[test]
fn names_are_kafkas() {
    assert_eq!(ID.file_name(), "00000000000000001234-0000000003.checkpoint");
    assert_eq!(SnapshotId::parse(&ID.file_name()), Some(ID));
    for other in [
        "00000000000000001234-0000000003.checkpoint.part",
        "1234-3.checkpoint",
        "+0000000000000001234-0000000003.checkpoint",
        "00000000000000001234-9999999999.checkpoint",
        "00000000000000001234.log",
    ] {
        assert_eq!(SnapshotId::parse(other), None, "{other}");
    }
    assert!(
        ID < SnapshotId {
            epoch: 4,
            end_offset: 0
        }
    );
}

#[test]
fn what_is_written_is_read_and_always_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for count in [1, 1024, 1025, 3000] {
        let path = folder.path().join(count.to_string());
        let written = write(&path, ID, &head(), 30, records(count)).unwrap();
        assert_eq!(contents(&path).unwrap(), (head(), records(count)));
        let bytes = fs::read(&path).unwrap();
        assert_eq!(
            written,
            Written {
                bytes: bytes.len() as u64,
                crc: crc32c::crc32c(&bytes)
            }
        );
        let again = folder.path().join("again");
        assert_eq!(
            write(&again, ID, &head(), 30, records(count)).unwrap(),
            written
        );
        fs::remove_file(again).unwrap();
    }
}

#[test]
fn records_that_fill_a_batch_go_into_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    let value = Some("x".repeat(30_000));
    let config = ConfigRecord {
        resource_type: 2,
        value,
        ..Default::default()
    };
    let many = vec![Record::from(config); 600];
    write(&path, ID, &head(), 30, many.clone()).unwrap();
    assert_eq!(contents(&path).unwrap().1, many);
    assert_eq!(read(&path).unwrap().count(), 3);

    let name = "x".repeat(40_000);
    let poison = Record::from(TopicRecord {
        name,
        topic_id: Uuid::nil(),
    });
    let other = folder.path().join("poison");
    let error = write(&other, ID, &head(), 30, [records(1), vec![poison]].concat()).unwrap_err();
    assert!(format!("{error:#}").contains("over 32767"), "{error:#}");
}

#[test]
fn a_damaged_or_cut_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole");
    write(&path, ID, &head(), 30, records(10)).unwrap();
    let bytes = fs::read(&path).unwrap();
    let damaged = folder.path().join("damaged");
    for length in 0..bytes.len() {
        fs::write(&damaged, &bytes[..length]).unwrap();
        assert!(contents(&damaged).is_err(), "cut to {length}");
    }
    fs::write(&damaged, [&bytes[..], &bytes[..]].concat()).unwrap();
    assert!(contents(&damaged).is_err());
    let footer = Batch::control(0, 3, 0, &[ControlRecord::SnapshotFooter]).unwrap();
    fs::write(&damaged, footer.0).unwrap();
    assert!(contents(&damaged).is_err());
}

#[test]
fn kafkas_own_snapshots_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden/snapshots");
    let ids = list(&folder).unwrap();
    assert_eq!(ids.len(), 6, "bootstrap.checkpoint is none");
    assert!(ids.is_sorted());
    let target = tempfile::tempdir().unwrap();
    for id in ids {
        let (head, records) = contents(&folder.join(id.file_name())).unwrap();
        assert_eq!(head.kraft_version, 1);
        let path = target.path().join(id.file_name());
        let written = write(&path, id, &head, 30, records.clone()).unwrap();
        assert_eq!(contents(&path).unwrap(), (head, records));
        // Only times differ: Kafka's batches carry the moment of writing.
        assert_eq!(
            written.bytes,
            fs::metadata(folder.join(id.file_name())).unwrap().len()
        );
    }
}

#[test]
fn a_retired_file_goes_when_its_last_reader_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(ID.file_name());
    write(&path, ID, &head(), 30, records(3)).unwrap();
    let kept = Arc::new(Snapshot::open(folder.path(), ID).unwrap());
    let reader = kept.clone();
    let whole = kept.read_at(0, usize::MAX).unwrap();
    assert_eq!(whole.len() as u64, kept.bytes());
    assert_eq!(kept.read_at(10, 5).unwrap(), whole.slice(10..15));
    assert!(kept.read_at(kept.bytes(), 5).unwrap().is_empty());

    assert!(!kept.is_being_downloaded(Ticks(0)));
    kept.touch(Ticks(0));
    assert!(kept.is_being_downloaded(Ticks(0).plus_ms(DOWNLOAD_IDLE_MS - 1)));
    assert!(!kept.is_being_downloaded(Ticks(0).plus_ms(DOWNLOAD_IDLE_MS)));

    kept.retire();
    drop(kept);
    assert!(path.exists());
    drop(reader);
    assert!(!path.exists());
}
