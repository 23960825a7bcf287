//! Every "no" that YAKt can say: Kafka's error code, a sentence, and the HTTP status that goes with
//! it. Made only by constructors named for their meaning, so that one meaning has one code, one
//! sentence and one status on every door.

use std::borrow::Cow;
use std::fmt;

use kafka_protocol::error::ResponseError;

use crate::ids::BrokerId;

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
            | ThrottlingQuotaExceeded => 503,
            RequestTimedOut => 504,
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
