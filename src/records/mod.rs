//! What happened: Kafka's 26 metadata records, and the record batches they travel in.
//!
//! Knows nothing of the state that records add up to, nor of time, disk or network.
//!
//! A record's value: frame version 1, number and version of the record as unsigned varints, then
//! the body, and nothing behind it (`MetadataRecordSerde`, 4.3.1).

#![deny(clippy::indexing_slicing)]

pub mod batch;
pub mod control;
pub mod table;

mod codec;
mod schema;

#[cfg(test)]
mod tests;

use bytes::BytesMut;

use codec::Reader;

pub use codec::{DecodeError, EncodeError, STRING_BYTES_MAX};
pub use schema::{Row, Schema};
pub use table::*;

/// The only frame version there is.
const FRAME_VERSION: u32 = 1;

impl Record {
    /// Appends the record's value in the version that goes with `metadata_version`. Nothing is
    /// appended on an error: a string over [`STRING_BYTES_MAX`], a set field that the version does
    /// not have, or a record that is above the finalized metadata.version.
    pub fn encode(&self, metadata_version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode_version(self.version_at(metadata_version)?, out)
    }

    /// Appends the record's value in this version. Errors as [`Record::encode`].
    pub fn encode_version(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.check(version)?;
        self.write_value(version, out);
        Ok(())
    }

    /// Reads one record's value, and the version it was written in. Strict as Kafka is: a version
    /// above the newest known one is tried with the newest layout, leftover bytes are an error.
    pub fn decode(value: &[u8]) -> Result<(Self, i16), DecodeError> {
        let mut input = Reader::new(value);
        let frame = input.unsigned()?;
        if frame != FRAME_VERSION {
            return Err(DecodeError::new(format!("unknown frame version {frame}")));
        }
        let key = input.unsigned()?;
        let version = input.unsigned()?;
        let version = i16::try_from(version)
            .map_err(|_| DecodeError::new(format!("record version {version} is too large")))?;
        let record = Self::read_body(key, &mut input, version)?;
        input.end().map_err(|error| error.inside(record.name()))?;
        Ok((record, version))
    }

    /// The version in which Kafka 4.3.1 writes this record while `metadata_version` is finalized
    /// (`MetadataVersion.registerBrokerRecordVersion` and its siblings); a change of a broker's
    /// registration takes the lowest version that carries what is set. An error where brokers of
    /// that metadata.version would not understand it.
    pub fn version_at(&self, metadata_version: i16) -> Result<i16, EncodeError> {
        let version = match self {
            Self::RegisterBroker(_) => match metadata_version {
                ..=7 => 1,
                8..=16 => 2,
                17..=29 => 3,
                30.. => 4,
            },
            Self::Partition(_) | Self::PartitionChange(_) => match metadata_version {
                ..=16 => 0,
                17..=22 => 1,
                23.. => 2,
            },
            Self::BrokerRegistrationChange(change) => version_of_change(change),
            _ => 0,
        };
        let needed = self.metadata_version_needed(version);
        if metadata_version < needed {
            return Err(EncodeError::new(format!(
                "{} v{version} needs metadata.version {needed}, but {metadata_version} is finalized",
                self.name()
            )));
        }
        Ok(version)
    }

    /// The lowest metadata.version at which this record may be written in this version.
    fn metadata_version_needed(&self, version: i16) -> i16 {
        match self {
            Self::UserScramCredential(_) | Self::RemoveUserScramCredential(_) => 11,
            Self::BeginTransaction(_) | Self::EndTransaction(_) | Self::AbortTransaction(_) => 13,
            Self::DelegationToken(_) | Self::RemoveDelegationToken(_) => 14,
            Self::RegisterController(_) => 15,
            Self::ClearElr(_) => 23,
            Self::BrokerRegistrationChange(_) if version == 2 => 17,
            Self::BrokerRegistrationChange(_) if version == 3 => 30,
            _ => 0,
        }
    }

    /// Whether the record can be written in this version, with the reason why not.
    pub(crate) fn check(&self, version: i16) -> Result<(), EncodeError> {
        let checked = if (0..=self.version_max()).contains(&version) {
            self.check_body(version)
        } else {
            Err(EncodeError::new("no such version"))
        };
        checked.map_err(|error| error.inside(format_args!("{} v{version}", self.name())))
    }

    /// How many bytes the value takes in this version.
    pub(crate) fn value_size(&self, version: i16) -> usize {
        let header = codec::unsigned_size(FRAME_VERSION)
            + codec::unsigned_size(self.key() as u32)
            + codec::unsigned_size(version as u32);
        header + self.body_size(version)
    }

    /// Appends the value; [`Record::check`] has agreed to this version.
    pub(crate) fn write_value(&self, version: i16, out: &mut BytesMut) {
        codec::put_unsigned(out, FRAME_VERSION);
        codec::put_unsigned(out, self.key() as u32);
        codec::put_unsigned(out, version as u32);
        self.write_body(version, out);
    }
}

/// A change that sets nothing is what is left when a broker's last directory went offline: Kafka
/// writes the empty directory list as version 2 (`ClusterControlManager.handleDirectoriesOffline`).
fn version_of_change(change: &BrokerRegistrationChangeRecord) -> i16 {
    if change.cordoned_log_dirs.is_some() {
        3
    } else if !change.log_dirs.is_empty() {
        2
    } else if change.in_controlled_shutdown != 0 {
        1
    } else if change.fenced != 0 {
        0
    } else {
        2
    }
}
