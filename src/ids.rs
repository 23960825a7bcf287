//! Words that every room uses: ids, offsets, epochs, and the quorum as plain data.
//!
//! Kafka's widths are kept (`int32` node ids and leader epochs, `int64` offsets and broker epochs),
//! so nothing is converted on the way from the wire to a record.

use std::fmt;
use std::sync::Arc;

/// A node's id, broker or controller: one space for both, so that no broker can carry a voter's id.
/// It is the wire crate's own newtype, so requests and records need no conversion.
pub use kafka_protocol::messages::BrokerId;
pub use uuid::Uuid;

/// A topic's id. Kafka writes it as URL-safe base64 without padding: see [`base64()`].
pub type TopicId = Uuid;
/// A partition's number within its topic.
pub type PartitionIndex = i32;
/// A position in the metadata log: dense over all committed records, the same on every node.
pub type Offset = i64;
/// A leader epoch: raft's term, and for partitions the count of their leader changes.
pub type Epoch = i32;
/// A broker's epoch: the base offset of the batch that registered it.
pub type BrokerEpoch = i64;
/// Wall-clock time in milliseconds since 1970, as records carry it.
pub type Millis = i64;

/// The topic that holds the metadata log.
pub const METADATA_TOPIC: &str = "__cluster_metadata";
/// Its id (`AAAAAAAAAAAAAAAAAAAAAQ`).
pub const METADATA_TOPIC_ID: Uuid = Uuid::from_u128(1);
/// "No broker": a leaderless partition, an unknown leader.
pub const NO_BROKER: BrokerId = BrokerId(-1);

/// Directory ids with a meaning of their own (`DirectoryId`, 4.3.1); the first hundred are reserved.
pub mod directory {
    use super::Uuid;

    /// The replica comes from a version without directory ids.
    pub const MIGRATING: Uuid = Uuid::from_u128(0);
    /// The broker will say later which directory it chose.
    pub const UNASSIGNED: Uuid = Uuid::from_u128(1);
    /// The directory failed.
    pub const LOST: Uuid = Uuid::from_u128(2);

    /// Whether Kafka keeps this id for itself.
    pub fn is_reserved(id: Uuid) -> bool {
        id.as_u128() < 100
    }
}

/// When and where something changed last: the offset of the record and the log time of its batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Offset of the record that made the change.
    pub offset: Offset,
    /// Log time of its batch, in milliseconds since 1970; never falls along the log.
    pub time: Millis,
}

/// One listener of a node as others reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Listener name, upper case, for example `CONTROLLER`.
    pub name: String,
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A member of the quorum that may vote. Its identity is the pair of both ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// `node.id`.
    pub id: BrokerId,
    /// `directory.id` of its metadata directory; zero while not known yet.
    pub directory_id: Uuid,
    /// Its controller listeners, the default one first.
    pub endpoints: Vec<Endpoint>,
}

/// How far a voter or an observer has come, as the leader of the moment knows it. Times are -1 and
/// the end offset is -1 where unknown; the leader's own row carries the time at which the rows were
/// gathered (`LeaderState.describeReplicaState`, 4.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaState {
    /// Its node id.
    pub id: BrokerId,
    /// Its metadata directory; zero if it did not say.
    pub directory_id: Uuid,
    /// The end of its log.
    pub end_offset: Offset,
    /// When it fetched (or, a voter, acknowledged) last.
    pub last_fetch_ms: Millis,
    /// When it last had everything the leader had.
    pub last_caught_up_ms: Millis,
}

/// The quorum as this node sees it now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuorumView {
    /// This node's id.
    pub node_id: i32,
    /// The newest leader epoch (raft term) this node knows.
    pub epoch: Epoch,
    /// The leader in that epoch, if known.
    pub leader: Option<BrokerId>,
    /// This node leads and has applied the first entry of its own term: only then may it give
    /// brokers real answers (the leader barrier).
    pub active: bool,
    /// The committed uniform voter set.
    pub voters: Arc<Vec<Voter>>,
    /// Voters and observers with their positions; empty on a node that does not lead.
    pub replicas: Arc<Vec<ReplicaState>>,
}

impl QuorumView {
    /// The leader as a voter, with its endpoints, if both are known.
    pub fn leader_voter(&self) -> Option<&Voter> {
        let leader = self.leader?;
        self.voters.iter().find(|voter| voter.id == leader)
    }

    /// Whether this id belongs to a voter; brokers may not carry it.
    pub fn is_voter(&self, id: BrokerId) -> bool {
        self.voters.iter().any(|voter| voter.id == id)
    }
}

/// What a configuration belongs to (`ConfigResource.Type`, as records number it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigKind {
    /// A topic, by name.
    Topic = 2,
    /// A broker by its id as decimal text; the empty name is the cluster-wide default.
    Broker = 4,
    /// A client-metrics subscription.
    ClientMetrics = 16,
    /// A consumer, share or streams group.
    Group = 32,
}

impl ConfigKind {
    /// The kind with this number, if configurations of it are kept (loggers are not).
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            2 => Some(Self::Topic),
            4 => Some(Self::Broker),
            16 => Some(Self::ClientMetrics),
            32 => Some(Self::Group),
            _ => None,
        }
    }
}

/// A thing that can be configured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// What it is.
    pub kind: ConfigKind,
    /// Its name; empty for the cluster-wide broker default.
    pub name: String,
}

impl ConfigResource {
    /// The configuration of a topic.
    pub fn topic(name: impl Into<String>) -> Self {
        Self {
            kind: ConfigKind::Topic,
            name: name.into(),
        }
    }
    /// The configuration of one broker.
    pub fn broker(id: BrokerId) -> Self {
        Self {
            kind: ConfigKind::Broker,
            name: id.0.to_string(),
        }
    }
    /// The default for all brokers.
    pub fn cluster() -> Self {
        Self {
            kind: ConfigKind::Broker,
            name: String::new(),
        }
    }
}

/// Shows a uuid as Kafka does: 22 characters of URL-safe base64.
pub fn base64(id: Uuid) -> impl fmt::Display {
    struct Shown(Uuid);
    impl fmt::Display for Shown {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            const DIGITS: &[u8; 64] =
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let bits = self.0.as_u128();
            // 21 digits of six bits, and the last two bits padded with four zeros.
            for place in 0..22 {
                let six = if place < 21 {
                    bits >> (122 - 6 * place)
                } else {
                    bits << 4
                };
                let digit = DIGITS[(six & 0x3f) as usize];
                fmt::Write::write_char(f, digit as char)?;
            }
            Ok(())
        }
    }
    Shown(id)
}

/// Reads a uuid from Kafka's base64 form. `None` if it is not one.
pub fn parse_base64(text: &str) -> Option<Uuid> {
    let text = text.strip_suffix("==").unwrap_or(text);
    if text.len() != 22 {
        return None;
    }
    let mut bits: u128 = 0;
    for (place, byte) in text.bytes().enumerate() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        // The last digit carries only two bits; Java's decoder ignores the rest, and so do we.
        bits = if place < 21 {
            bits << 6 | u128::from(six)
        } else {
            bits << 2 | u128::from(six >> 4)
        };
    }
    Some(Uuid::from_u128(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_kafkas() {
        assert_eq!(
            base64(METADATA_TOPIC_ID).to_string(),
            "AAAAAAAAAAAAAAAAAAAAAQ"
        );
        for bits in [0, 1, u128::MAX, 0x0102_0304_0506_0708_1112_1314_1516_1718] {
            let id = Uuid::from_u128(bits);
            assert_eq!(parse_base64(&base64(id).to_string()), Some(id));
        }
        assert_eq!(parse_base64("short"), None);
        assert_eq!(parse_base64("AAAAAAAAAAAAAAAAAAAA!Q"), None);
    }
}
