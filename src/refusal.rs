//! Every "no" that YAKt can say: Kafka's error code, a sentence, and the HTTP status that goes with
//! it. Made only by constructors named for their meaning, so that one meaning has one code, one
//! sentence and one status on every door.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;

use crate::ids::{BrokerEpoch, BrokerId, PartitionIndex, Uuid, base64};

/// An expected "no": the client sees the code and the sentence in the API's own error field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's code.
    pub code: ResponseError,
    /// A sentence for people; on the wire only where the API has a message field.
    pub text: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with this code and sentence. Prefer a constructor of this file that names the
    /// meaning; add one where it is missing.
    pub fn new(code: ResponseError, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
    /// The number on the wire.
    pub fn code(&self) -> i16 {
        self.code.code()
    }
    /// Whether the same request may succeed later or elsewhere without a change.
    pub fn retriable(&self) -> bool {
        self.code.is_retriable()
    }
    /// The HTTP status that fits. 503 says that nothing was written, 504 that it may have been.
    pub fn http_status(&self) -> u16 {
        if *self == outcome_unknown() {
            return 504;
        }
        use ResponseError::*;
        match self.code {
            UnknownTopicOrPartition
            | UnknownTopicId
            | BrokerIdNotRegistered
            | SnapshotNotFound
            | ResourceNotFound => 404,
            ClusterAuthorizationFailed | TopicAuthorizationFailed | GroupAuthorizationFailed => 403,
            NotController
            | NotLeaderOrFollower
            | CoordinatorNotAvailable
            | BrokerNotAvailable
            | ThrottlingQuotaExceeded
            // Said only of requests that were not looked at in time.
            | RequestTimedOut => 503,
            UnknownServerError | KafkaStorageError => 500,
            _ => 400,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

/// The right request at the wrong node. Nothing was written.
pub fn not_controller(leader: Option<BrokerId>) -> Refusal {
    match leader {
        Some(BrokerId(id)) => Refusal::new(
            ResponseError::NotController,
            format!("The active controller appears to be node {id}."),
        ),
        None => Refusal::new(
            ResponseError::NotController,
            "No controller appears to be active.",
        ),
    }
}

/// Leadership was lost, or a proposal became void, before the answer was certain: it may or may not
/// have been written. Kafka answers NOT_CONTROLLER here, and clients try again.
pub fn outcome_unknown() -> Refusal {
    Refusal::new(
        ResponseError::NotController,
        "The controller changed while the request was under way; it may or may not have taken effect.",
    )
}

/// The deadline passed before the request was looked at. Nothing was written.
pub fn timed_out() -> Refusal {
    Refusal::new(
        ResponseError::RequestTimedOut,
        "The request timed out before it could be started.",
    )
}

/// The mailbox is full. Nothing was written.
pub fn overloaded() -> Refusal {
    Refusal::new(
        ResponseError::RequestTimedOut,
        "The controller has too many requests waiting; try again.",
    )
}

/// A fault of our own. The log says more.
pub fn internal() -> Refusal {
    Refusal::new(
        ResponseError::UnknownServerError,
        "The controller failed at this request; its log says why.",
    )
}

/// What was asked for cannot be written as a record that every broker can read (a string longer than
/// 32,767 bytes, a batch over 8 MiB).
pub fn unencodable(why: &str) -> Refusal {
    Refusal::new(
        ResponseError::InvalidRequest,
        format!("The change cannot be written: {why}."),
    )
}

/// A broker speaks of itself that is not registered.
pub fn no_registration(broker: BrokerId) -> Refusal {
    Refusal::new(
        ResponseError::StaleBrokerEpoch,
        format!("No broker registration found for broker id {}", broker.0),
    )
}

/// A broker speaks of itself in an epoch that is over, or that never was.
pub fn stale_broker_epoch(current: BrokerEpoch, claimed: BrokerEpoch) -> Refusal {
    Refusal::new(
        ResponseError::StaleBrokerEpoch,
        format!("Expected broker epoch {current}, but got broker epoch {claimed}"),
    )
}

/// The broker that is spoken of does not exist.
pub fn broker_id_not_registered(broker: BrokerId) -> Refusal {
    Refusal::new(
        ResponseError::BrokerIdNotRegistered,
        format!("Broker ID {} is not currently registered", broker.0),
    )
}

/// A broker or a tool of another cluster came here.
pub fn inconsistent_cluster_id(ours: &str, theirs: &str) -> Refusal {
    Refusal::new(
        ResponseError::InconsistentClusterId,
        format!("Expected cluster ID {ours}, but got cluster ID {theirs}"),
    )
}

/// Another process carries this broker id, and was heard from within its session.
pub fn duplicate_broker_registration() -> Refusal {
    Refusal::new(
        ResponseError::DuplicateBrokerRegistration,
        "Another broker is registered with that broker id. If the broker was recently restarted \
         this should self-resolve once its session is over.",
    )
}

/// A broker cannot be registered like this.
pub fn invalid_registration(why: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(ResponseError::InvalidRegistration, why)
}

/// A broker carries the id of a node of the quorum. Node ids and broker ids are one space: a broker
/// whose id is the leader's ends itself.
pub fn id_of_a_voter(id: BrokerId) -> Refusal {
    let id = id.0;
    invalid_registration(format!(
        "Broker id {id} belongs to controller {id}; a broker needs an id that no controller has."
    ))
}

/// The finalized metadata.version, or the caller's software, is too old or too new for this.
pub fn unsupported_version(why: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(ResponseError::UnsupportedVersion, why)
}

/// The request contradicts itself or the protocol.
pub fn invalid_request(why: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(ResponseError::InvalidRequest, why)
}

/// This broker's partitions are being gone through; the request may be sent again a little later.
pub fn broker_is_busy(broker: BrokerId) -> Refusal {
    Refusal::new(
        ResponseError::RequestTimedOut,
        format!(
            "The partitions of broker {} are still being moved; try again.",
            broker.0
        ),
    )
}

/// One request asks for more records than one batch may hold.
pub fn too_many_records() -> Refusal {
    Refusal::new(
        ResponseError::PolicyViolation,
        "Unable to perform excessively large batch operation.",
    )
}

/// There is no producer id left to give.
pub fn producer_ids_exhausted() -> Refusal {
    Refusal::new(
        ResponseError::UnknownServerError,
        "All producer ids have been given out.",
    )
}

/// ZooKeeper's time is over.
pub fn no_zookeeper_brokers() -> Refusal {
    Refusal::new(
        ResponseError::BrokerIdNotRegistered,
        "Controller does not support registering ZK brokers.",
    )
}

/// A log directory is another broker's.
pub fn directory_taken(by: BrokerId, id: Uuid) -> Refusal {
    invalid_registration(format!(
        "Broker {} is already registered with directory {}",
        by.0,
        base64(id)
    ))
}

/// A broker does not support a feature at the level on which the cluster works.
pub fn feature_out_of_range(name: &str, level: i16, range: &RangeInclusive<i16>) -> Refusal {
    unsupported_version(format!(
        "Unable to register because the broker does not support finalized version {level} of \
         {name}. The broker wants a version between {} and {}, inclusive.",
        range.start(),
        range.end()
    ))
}

/// Groups and transactions are coordinated by brokers.
pub fn not_coordinator() -> Refusal {
    Refusal::new(
        ResponseError::NotCoordinator,
        "This node coordinates no group or transaction.",
    )
}

/// A topic of this name does not exist.
pub fn no_such_topic(name: &str) -> Refusal {
    Refusal::new(
        ResponseError::UnknownTopicOrPartition,
        format!("No such topic as {name}"),
    )
}

/// The topic has no partition of this number.
pub fn no_such_partition(topic: &str, index: PartitionIndex) -> Refusal {
    Refusal::new(
        ResponseError::UnknownTopicOrPartition,
        format!("No such partition as {topic}-{index}"),
    )
}

/// The partition is led as wanted.
pub fn election_not_needed() -> Refusal {
    Refusal::new(
        ResponseError::ElectionNotNeeded,
        "Leader election not needed for topic partition.",
    )
}

/// The first replica is not in sync or not alive.
pub fn preferred_leader_not_available() -> Refusal {
    Refusal::new(
        ResponseError::PreferredLeaderNotAvailable,
        "The preferred leader was not available.",
    )
}

/// No replica is alive that could lead.
pub fn eligible_leaders_not_available() -> Refusal {
    Refusal::new(
        ResponseError::EligibleLeadersNotAvailable,
        "Eligible topic partition leaders are not available.",
    )
}

/// A topic of this name exists.
pub fn topic_exists(name: &str) -> Refusal {
    Refusal::new(
        ResponseError::TopicAlreadyExists,
        format!("Topic '{name}' already exists."),
    )
}

/// No topic has this name.
pub fn unknown_topic() -> Refusal {
    Refusal::new(
        ResponseError::UnknownTopicOrPartition,
        "This server does not host this topic-partition.",
    )
}

/// No topic has this id.
pub fn unknown_topic_id() -> Refusal {
    Refusal::new(
        ResponseError::UnknownTopicId,
        "This server does not host this topic ID.",
    )
}

/// One request names a topic twice; neither is looked at.
pub fn duplicate_topic_name() -> Refusal {
    Refusal::new(ResponseError::InvalidRequest, "Duplicate topic name.")
}

/// A configuration key is unknown, or its value is none that it takes.
pub fn invalid_config(why: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(ResponseError::InvalidConfig, why)
}

/// No life of a broker, past ones included, has this incarnation id.
pub fn no_incarnation(id: Uuid) -> Refusal {
    Refusal::new(
        ResponseError::BrokerIdNotRegistered,
        format!("No broker has the id {}.", base64(id)),
    )
}

/// The topic has such a partition already.
pub fn partition_exists(topic: &str, index: PartitionIndex) -> Refusal {
    Refusal::new(
        ResponseError::InvalidPartitions,
        format!("Topic {topic} has a partition {index} already."),
    )
}

/// A raft request at a node that does not lead. Unlike [`not_controller`] it is the answer of the
/// metadata partition itself.
pub fn not_leader(leader: Option<BrokerId>) -> Refusal {
    let text = match leader {
        Some(BrokerId(id)) => format!("The leader of the quorum is node {id}."),
        None => "The quorum has no leader that is known here.".to_owned(),
    };
    Refusal::new(ResponseError::NotLeaderOrFollower, text)
}

/// A raft request from an epoch that is over.
pub fn fenced_leader_epoch(asked: i32, epoch: i32) -> Refusal {
    Refusal::new(
        ResponseError::FencedLeaderEpoch,
        format!("Epoch {asked} is over; the quorum is in epoch {epoch}."),
    )
}

/// A raft request from an epoch that has not come yet, as far as this node knows.
pub fn unknown_leader_epoch(asked: i32, epoch: i32) -> Refusal {
    Refusal::new(
        ResponseError::UnknownLeaderEpoch,
        format!("Epoch {asked} is not known here; the quorum is in epoch {epoch}."),
    )
}

/// AddRaftVoter of an id that votes already, in whichever directory.
pub fn duplicate_voter(id: BrokerId) -> Refusal {
    Refusal::new(
        ResponseError::DuplicateVoter,
        format!("Node {} is a voter already.", id.0),
    )
}

/// A change or removal of a voter that is not in the voter set, or is the last one.
pub fn voter_not_found(id: BrokerId) -> Refusal {
    Refusal::new(
        ResponseError::VoterNotFound,
        format!(
            "Node {} with that directory is not a voter that could go or change.",
            id.0
        ),
    )
}

/// A voter that cannot be one.
pub fn invalid_voter(why: &str) -> Refusal {
    Refusal::new(
        ResponseError::InvalidRequest,
        format!("The voter cannot be taken: {why}."),
    )
}

/// The last change of the voter set is not committed yet. Nothing was written.
pub fn voters_not_ready() -> Refusal {
    Refusal::new(
        ResponseError::RequestTimedOut,
        "The voter set is being changed or not known yet; try again.",
    )
}
