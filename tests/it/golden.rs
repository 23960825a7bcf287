//! Logs and snapshots that Kafka 4.3.1 wrote: every batch verifies, every record decodes and
//! encodes to the same bytes, and a batch built anew from its records is the same batch.

use std::fs;
use std::path::PathBuf;

use bytes::BytesMut;
use yakt::records::Record;
use yakt::records::batch::{Batch, CutTail};

/// The metadata.version that was finalized all along.
const METADATA_VERSION: i16 = 30;

fn folder(name: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/golden")
        .join(name);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

/// Checks one file and says how many data and control records were in it.
fn check(file: &PathBuf) -> (usize, usize) {
    let bytes = fs::read(file).unwrap().into();
    let mut data = 0;
    let mut control = 0;
    for batch in Batch::split(bytes, CutTail::Refuse).unwrap() {
        let place = format!("{} at {}", file.display(), batch.base_offset());
        batch
            .verify()
            .unwrap_or_else(|error| panic!("{place}: {error}"));
        let rebuilt = if batch.is_control() {
            let records = batch
                .decode_control()
                .unwrap_or_else(|error| panic!("{place}: {error}"));
            control += records.len();
            Batch::control(batch.base_offset(), batch.epoch(), batch.time(), &records)
        } else {
            let records = batch
                .decode()
                .unwrap_or_else(|error| panic!("{place}: {error}"));
            data += records.len();
            check_each_record(&batch, &place);
            let (base, epoch, time) = (batch.base_offset(), batch.epoch(), batch.time());
            Batch::build(base, epoch, time, METADATA_VERSION, &records)
        };
        assert_eq!(rebuilt, Ok(batch), "{place}");
    }
    (data, control)
}

fn check_each_record(batch: &Batch, place: &str) {
    for raw in batch.raw_records() {
        let raw = raw.unwrap();
        let (record, version) = Record::decode(raw.value).unwrap();
        let mut again = BytesMut::new();
        record.encode_version(version, &mut again).unwrap();
        assert_eq!(again.as_ref(), raw.value, "{place}: {record:?}");
        let written = record.version_at(METADATA_VERSION);
        assert_eq!(written, Ok(version), "{place}: {record:?}");
    }
}

#[test]
fn recorded_logs_are_read_and_written_to_the_byte() {
    let counts: Vec<_> = folder("log").iter().map(check).collect();
    assert_eq!(counts, [(3780, 6), (423, 1)]);
}

#[test]
fn recorded_snapshots_are_read_and_written_to_the_byte() {
    let files = folder("snapshots");
    let counts: Vec<_> = files.iter().map(check).collect();
    assert_eq!(
        counts,
        [
            (0, 4),
            (34, 4),
            (89, 4),
            (127, 4),
            (174, 4),
            (174, 4),
            (6, 2)
        ]
    );
}
