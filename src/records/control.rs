//! Control records: what the raft layer says to itself in the log and in snapshots.
//!
//! Kafka ends the process of a node that meets a control record it does not know, so there are
//! exactly these five (`ControlRecordType`, 4.3.1). A key is two int16, version 0 and the type; the
//! value is a flexible message without a frame, always version 0, whose first field repeats the
//! version.

use bytes::{BufMut, BytesMut};

use super::codec::{self, DecodeError, EncodeError, Field, Message, Reader};
use super::schema::{self, Nullable, Row, Schema, message, or_zero, tag_of};
use crate::ids::{BrokerId, Endpoint, Millis, Uuid, Voter};

/// The range of kraft.version that every voter supports.
pub const KRAFT_VERSIONS: std::ops::RangeInclusive<i16> = 0..=1;

/// Length of a control record's key.
pub(super) const KEY_BYTES: usize = 4;

/// One control record. Written always as version 0, the only one Kafka's readers use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// A leader begins its epoch: the first record of each.
    LeaderChange {
        /// Who.
        leader: BrokerId,
        /// The voters of that moment.
        voters: Vec<BrokerId>,
        /// Those that voted for it.
        granting_voters: Vec<BrokerId>,
    },
    /// The first record of a snapshot.
    SnapshotHeader {
        /// Log time of the last batch that the snapshot contains.
        last_contained_log_time: Millis,
    },
    /// The last record of a snapshot.
    SnapshotFooter,
    /// The finalized kraft.version.
    KRaftVersion(i16),
    /// The voter set.
    KRaftVoters(Vec<Voter>),
}

impl ControlRecord {
    /// Kafka's number of the type.
    pub fn key(&self) -> i16 {
        match self {
            Self::LeaderChange { .. } => 2,
            Self::SnapshotHeader { .. } => 3,
            Self::SnapshotFooter => 4,
            Self::KRaftVersion(_) => 5,
            Self::KRaftVoters(_) => 6,
        }
    }

    /// Reads a control record from its key and value. A newer key version is read as version 0, as
    /// Kafka does; an unknown type is an error.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, DecodeError> {
        let mut key = Reader::new(key);
        let _version = i16::from_be_bytes(key.fixed()?);
        let kind = i16::from_be_bytes(key.fixed()?);
        let mut input = Reader::new(value);
        let record = match kind {
            2 => LeaderChangeMessage::read_record(&mut input)?.into(),
            3 => SnapshotHeaderRecord::read_record(&mut input)?.into(),
            4 => SnapshotFooterRecord::read_record(&mut input).map(|_| Self::SnapshotFooter)?,
            5 => Self::KRaftVersion(KRaftVersionRecord::read_record(&mut input)?.k_raft_version),
            6 => VotersRecord::read_record(&mut input)?.into(),
            _ => {
                return Err(DecodeError::new(format!(
                    "no control record has the type {kind}"
                )));
            }
        };
        input.end()?;
        Ok(record)
    }

    /// The value alone; an error where a string is over [`super::STRING_BYTES_MAX`].
    pub(super) fn value(&self) -> Result<BytesMut, EncodeError> {
        let ids = |voters: &[BrokerId]| {
            voters
                .iter()
                .map(|id| LeaderVoter { voter_id: *id })
                .collect()
        };
        match self {
            Self::LeaderChange {
                leader,
                voters,
                granting_voters,
            } => encoded(&LeaderChangeMessage {
                version: 0,
                leader_id: *leader,
                voters: ids(voters),
                granting_voters: ids(granting_voters),
            }),
            Self::SnapshotHeader {
                last_contained_log_time,
            } => encoded(&SnapshotHeaderRecord {
                version: 0,
                last_contained_log_timestamp: *last_contained_log_time,
            }),
            Self::SnapshotFooter => encoded(&SnapshotFooterRecord { version: 0 }),
            Self::KRaftVersion(level) => encoded(&KRaftVersionRecord {
                version: 0,
                k_raft_version: *level,
            }),
            Self::KRaftVoters(voters) => {
                let voters = voters.iter().map(VoterOfRecord::from).collect();
                encoded(&VotersRecord { version: 0, voters })
            }
        }
    }

    /// Appends the key.
    pub(super) fn put_key(&self, out: &mut BytesMut) {
        out.put_i16(0);
        out.put_i16(self.key());
    }
}

fn encoded<M: Message>(message: &M) -> Result<BytesMut, EncodeError> {
    message
        .check(0)
        .map_err(|error| error.inside(M::SCHEMA.name))?;
    let mut out = BytesMut::with_capacity(message.size(0));
    message.write(0, &mut out);
    Ok(out)
}

/// Reads a message as Kafka reads control records: in version 0, whatever it says of itself.
trait ReadRecord: Message {
    fn read_record(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Message::read(input, 0).map_err(|error| error.inside(Self::SCHEMA.name))
    }
}
impl<M: Message> ReadRecord for M {}

impl From<LeaderChangeMessage> for ControlRecord {
    fn from(message: LeaderChangeMessage) -> Self {
        let ids = |voters: Vec<LeaderVoter>| voters.iter().map(|voter| voter.voter_id).collect();
        Self::LeaderChange {
            leader: message.leader_id,
            voters: ids(message.voters),
            granting_voters: ids(message.granting_voters),
        }
    }
}

impl From<SnapshotHeaderRecord> for ControlRecord {
    fn from(record: SnapshotHeaderRecord) -> Self {
        Self::SnapshotHeader {
            last_contained_log_time: record.last_contained_log_timestamp,
        }
    }
}

impl From<VotersRecord> for ControlRecord {
    fn from(record: VotersRecord) -> Self {
        let endpoint = |from: VoterEndpoint| Endpoint {
            name: from.name,
            host: from.host,
            port: from.port,
        };
        let voter = |from: VoterOfRecord| Voter {
            id: from.voter_id,
            directory_id: from.voter_directory_id,
            endpoints: from.endpoints.into_iter().map(endpoint).collect(),
        };
        Self::KRaftVoters(record.voters.into_iter().map(voter).collect())
    }
}

impl From<&Voter> for VoterOfRecord {
    fn from(voter: &Voter) -> Self {
        let endpoint = |from: &Endpoint| VoterEndpoint {
            name: from.name.clone(),
            host: from.host.clone(),
            port: from.port,
        };
        Self {
            voter_id: voter.id,
            voter_directory_id: voter.directory_id,
            endpoints: voter.endpoints.iter().map(endpoint).collect(),
            k_raft_version_feature: VersionRange {
                min_supported_version: *KRAFT_VERSIONS.start(),
                max_supported_version: *KRAFT_VERSIONS.end(),
            },
        }
    }
}

message! {
    LeaderChangeMessage 0..=0 {
        0+ version: i16,
        0+ leader_id: BrokerId,
        0+ voters: Vec<LeaderVoter>,
        0+ granting_voters: Vec<LeaderVoter>,
    }
}

message! {
    LeaderVoter 0..=0 {
        0+ voter_id: BrokerId,
    }
}

message! {
    SnapshotHeaderRecord 0..=0 {
        0+ version: i16,
        0+ last_contained_log_timestamp: i64,
    }
}

message! {
    SnapshotFooterRecord 0..=0 {
        0+ version: i16,
    }
}

message! {
    KRaftVersionRecord 0..=0 {
        0+ version: i16,
        0+ k_raft_version: i16,
    }
}

message! {
    VotersRecord 0..=0 {
        0+ version: i16,
        0+ voters: Vec<VoterOfRecord>,
    }
}

message! {
    VoterOfRecord 0..=0 {
        0+ voter_id: BrokerId,
        0+ voter_directory_id: Uuid,
        0+ endpoints: Vec<VoterEndpoint>,
        0+ k_raft_version_feature: VersionRange,
    }
}

message! {
    VoterEndpoint 0..=0 {
        0+ name: String,
        0+ host: String,
        0+ port: u16,
    }
}

message! {
    VersionRange 0..=0 {
        0+ min_supported_version: i16,
        0+ max_supported_version: i16,
    }
}
