//! `bootstrap.checkpoint` and the snapshot at offset 0: what a new cluster begins with, as files in
//! Kafka's snapshot format.
//!
//! The first holds the records that the first leader writes into the empty log (feature levels, SCRAM
//! users) and no control records but header and footer: Kafka's reader stops at others. The second
//! holds control records only: kraft.version and the voters.

use std::io;
use std::path::Path;

use anyhow::{Context, bail};
use bytes::Bytes;

use crate::ids::{Millis, Voter};
use crate::records::Record;
use crate::records::batch::{Batch, CutTail};
use crate::records::control::ControlRecord;

/// Name of the file with the first records, in every log directory.
pub const BOOTSTRAP_FILE: &str = "bootstrap.checkpoint";
/// Directory of the metadata log, in the metadata directory.
pub const LOG_DIRECTORY: &str = "__cluster_metadata-0";
/// Name of the snapshot at offset 0, in the directory of the metadata log.
pub const VOTERS_FILE: &str = "00000000000000000000-0000000000.checkpoint";

/// The text of a `bootstrap.checkpoint` with these records.
pub fn bootstrap(
    records: &[Record],
    metadata_version: i16,
    now: Millis,
) -> anyhow::Result<Vec<u8>> {
    let header = [ControlRecord::SnapshotHeader {
        last_contained_log_time: 0,
    }];
    let header = Batch::control(0, 0, now, &header)?;
    let body = Batch::build(header.next_offset(), 0, now, metadata_version, records)?;
    let footer = Batch::control(body.next_offset(), 0, now, &[ControlRecord::SnapshotFooter])?;
    Ok([header.0, body.0, footer.0].concat())
}

/// The text of the snapshot at offset 0 with these voters.
pub fn voters(voters: &[Voter], now: Millis) -> anyhow::Result<Vec<u8>> {
    let header = [
        ControlRecord::SnapshotHeader {
            last_contained_log_time: now,
        },
        ControlRecord::KRaftVersion(1),
        ControlRecord::KRaftVoters(voters.to_vec()),
    ];
    let header = Batch::control(0, 0, now, &header)?;
    let footer = Batch::control(
        header.next_offset(),
        0,
        now,
        &[ControlRecord::SnapshotFooter],
    )?;
    Ok([header.0, footer.0].concat())
}

/// The records of the directory's `bootstrap.checkpoint`; `None` if there is no such file.
pub fn read_bootstrap(directory: &Path) -> anyhow::Result<Option<Vec<Record>>> {
    let mut records = Vec::new();
    let found = read(&directory.join(BOOTSTRAP_FILE), |batch| {
        if !batch.is_control() {
            records.extend(batch.decode()?);
        }
        Ok(())
    })?;
    Ok(found.then_some(records))
}

/// The voters of the directory's snapshot at offset 0; `None` if there is none or it names none.
pub fn read_voters(directory: &Path) -> anyhow::Result<Option<Vec<Voter>>> {
    let mut voters = None;
    read(&directory.join(LOG_DIRECTORY).join(VOTERS_FILE), |batch| {
        if batch.is_control() {
            for record in batch.decode_control()? {
                if let ControlRecord::KRaftVoters(found) = record {
                    voters = Some(found);
                }
            }
        }
        Ok(())
    })?;
    Ok(voters)
}

/// Hands each batch of the file over, checked; `false` if there is no such file.
fn read(path: &Path, each: impl FnMut(&Batch) -> anyhow::Result<()>) -> anyhow::Result<bool> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    read_batches(bytes, each).with_context(|| format!("{} is damaged", path.display()))?;
    Ok(true)
}

fn read_batches(
    bytes: Bytes,
    mut each: impl FnMut(&Batch) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let batches = Batch::split(bytes, CutTail::Refuse)?;
    let first = batches.first().context("it is empty")?;
    first.verify()?;
    if !first.is_control() {
        bail!("it does not begin with a snapshot header");
    }
    for batch in &batches {
        batch.verify()?;
        each(batch)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::features::Levels;
    use crate::ids::{BrokerId, Endpoint, parse_base64};

    const BOOTSTRAP: &[u8] =
        include_bytes!("../../tests/data/formatted/controller/bootstrap.checkpoint");
    const VOTERS: &[u8] = include_bytes!(
        "../../tests/data/formatted/controller/00000000000000000000-0000000000.checkpoint"
    );

    /// Kafka reads its clock for each batch; we do it once. With its times in place the bytes agree.
    fn with_times_of(mine: &[u8], kafkas: &[u8]) -> Vec<u8> {
        let split = |bytes: &[u8]| {
            Batch::split(Bytes::copy_from_slice(bytes), CutTail::Refuse).expect("whole")
        };
        let (mine, kafkas) = (split(mine), split(kafkas));
        assert_eq!(mine.len(), kafkas.len());
        let again = |(mine, kafkas): (&Batch, &Batch)| {
            let (base, epoch, time) = (mine.base_offset(), mine.epoch(), kafkas.time());
            let batch = if mine.is_control() {
                Batch::control(base, epoch, time, &mine.decode_control().expect("control"))
            } else {
                Batch::build(base, epoch, time, 30, &mine.decode().expect("data"))
            };
            batch.expect("valid").0
        };
        mine.iter()
            .zip(&kafkas)
            .map(again)
            .collect::<Vec<_>>()
            .concat()
    }

    #[test]
    fn the_files_are_kafkas() {
        let records = Levels::choose(None, &[], 1).expect("defaults").records();
        let mine = bootstrap(&records, 30, 0).expect("valid");
        assert_eq!(with_times_of(&mine, BOOTSTRAP), BOOTSTRAP);

        let voter = Voter {
            id: BrokerId(3000),
            directory_id: parse_base64("2Qw-k9fZRgOOLIEHUcMsnQ").expect("a uuid"),
            endpoints: vec![Endpoint {
                name: "CONTROLLER".to_owned(),
                host: "127.0.0.1".to_owned(),
                port: 21193,
            }],
        };
        // The header's time is that of its own field.
        let mine = voters(&[voter], 1_795_396_874_654).expect("valid");
        assert_eq!(with_times_of(&mine, VOTERS), VOTERS);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(BOOTSTRAP_FILE);
        let check = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("written");
            let error = read_bootstrap(directory.path()).expect_err("damaged");
            assert_eq!(error.to_string(), format!("{} is damaged", path.display()));
        };
        check(b"");
        check(&BOOTSTRAP[..BOOTSTRAP.len() - 1]);
        let mut flipped = BOOTSTRAP.to_vec();
        flipped[200] ^= 1;
        check(&flipped);
        std::fs::write(&path, BOOTSTRAP).expect("written");
        assert_eq!(
            read_bootstrap(directory.path())
                .expect("whole")
                .expect("there")
                .len(),
            6
        );
    }
}
