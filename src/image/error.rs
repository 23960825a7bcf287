//! Why a record cannot be applied.

use std::fmt;

use crate::ids::{BrokerEpoch, BrokerId, Offset, PartitionIndex, TopicId, Uuid, base64};
use crate::records::DecodeError;

/// A record that does not fit the state before it. In a valid log this never happens: it means
/// corruption or a bug, and the process that sees it stops. The image is left half changed and
/// must be dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyError {
    /// The batch does not begin where the image ends.
    NotNext {
        /// The offset that comes next.
        expected: Offset,
        /// The batch's base offset.
        found: Offset,
    },
    /// The batch cannot be read.
    Unreadable(String),
    /// No broker is registered under this id.
    UnknownBroker(BrokerId),
    /// The record is about another registration of this broker.
    BrokerEpoch {
        /// Which broker.
        broker: BrokerId,
        /// Its epoch in the image.
        expected: BrokerEpoch,
        /// The epoch in the record.
        found: BrokerEpoch,
    },
    /// A listener has no name, or a security protocol that does not exist.
    BadListener(BrokerId),
    /// A topic of this name or id is there already.
    TopicExists(String),
    /// The topic's name is longer than any that Kafka allows.
    NameTooLong(TopicId),
    /// No topic has this id.
    UnknownTopic(TopicId),
    /// No topic has this name.
    UnknownTopicName(String),
    /// The topic has no partition with this index.
    UnknownPartition(TopicId, PartitionIndex),
    /// Directories do not match replicas in number, or the index is negative.
    BadPartition(TopicId, PartitionIndex),
    /// A field holds a value that its record does not define.
    BadField(&'static str, i64),
    /// The feature has no such level here.
    BadFeatureLevel(String, i16),
    /// Producer ids never go back.
    ProducerIdNotRising {
        /// The next id in the image.
        expected_above: i64,
        /// The next id in the record.
        found: i64,
    },
    /// No access control entry has this id.
    UnknownAcl(Uuid),
    /// The user has no credential of this mechanism.
    UnknownCredential(String, i8),
    /// Begin inside a metadata transaction, or End or Abort outside of one.
    TransactionOrder(&'static str),
    /// A record that changes state step by step stands in a snapshot, which only has whole ones.
    NotInSnapshots(&'static str),
}

impl From<DecodeError> for ApplyError {
    fn from(error: DecodeError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNext { expected, found } => {
                write!(
                    f,
                    "a batch begins at offset {found}, but {expected} comes next"
                )
            }
            Self::Unreadable(why) => write!(f, "a batch cannot be read: {why}"),
            Self::UnknownBroker(BrokerId(id)) => write!(f, "broker {id} is not registered"),
            Self::BrokerEpoch {
                broker: BrokerId(id),
                expected,
                found,
            } => {
                write!(
                    f,
                    "broker {id} has epoch {expected}, the record says {found}"
                )
            }
            Self::BadListener(BrokerId(id)) => {
                write!(
                    f,
                    "node {id} has a listener without a name or with an unknown protocol"
                )
            }
            Self::TopicExists(name) => write!(f, "topic {name} exists already"),
            Self::NameTooLong(id) => write!(f, "the name of topic {} is too long", base64(*id)),
            Self::UnknownTopic(id) => write!(f, "no topic has the id {}", base64(*id)),
            Self::UnknownTopicName(name) => write!(f, "no topic is named {name}"),
            Self::UnknownPartition(id, index) => {
                write!(f, "topic {} has no partition {index}", base64(*id))
            }
            Self::BadPartition(id, index) => {
                write!(f, "partition {index} of topic {} is malformed", base64(*id))
            }
            Self::BadField(field, value) => write!(f, "{field} cannot be {value}"),
            Self::BadFeatureLevel(name, level) => write!(f, "feature {name} has no level {level}"),
            Self::ProducerIdNotRising {
                expected_above,
                found,
            } => {
                write!(
                    f,
                    "the next producer id goes from {expected_above} back to {found}"
                )
            }
            Self::UnknownAcl(id) => write!(f, "no access control entry has the id {}", base64(*id)),
            Self::UnknownCredential(user, mechanism) => {
                write!(
                    f,
                    "user {user} has no SCRAM credential of mechanism {mechanism}"
                )
            }
            Self::TransactionOrder(record) => {
                write!(f, "{record} does not fit the metadata transaction's state")
            }
            Self::NotInSnapshots(record) => write!(f, "{record} cannot stand in a snapshot"),
        }
    }
}

impl std::error::Error for ApplyError {}
