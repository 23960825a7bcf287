//! The writes of the HTTP door. Most are what no Kafka request can say: a broker registered without a
//! process behind it, a topic without partitions, a partition with its ISR and leader; the rest are
//! Kafka's own requests, carried out by their own decisions.
//!
//! They are decided on the leader like every Kafka request, under the same rules, and make the same
//! records. A follower passes them on as JSON.
//!
//! A broker that is registered here is *sessionless*: it has no heartbeats, so it is never fenced
//! for silence, and it changes only here. A registration by frame under the same id replaces it.

mod change_broker;
mod create_partition;
mod create_topic;
mod move_replicas;
mod register_broker;

#[cfg(test)]
mod tests;

use std::any::Any;

use bytes::BytesMut;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{AllocateProducerIdsRequest, UnregisterBrokerRequest};
use serde::{Deserialize, Serialize};

use crate::api::{Answer, AnyWrite, Write};
use crate::ids::{BrokerEpoch, BrokerId, PartitionIndex, TopicId, Uuid};
use crate::image::{Broker, Incarnation};
use crate::records::BrokerEndpoint;
use crate::refusal::{self, Refusal};
use crate::rules::{Ctx, Decision};

pub use change_broker::{ChangeBroker, Status};
pub use create_partition::CreatePartition;
pub use create_topic::CreateTopic;
pub use move_replicas::MoveReplicas;
pub use register_broker::RegisterBroker;

/// The API number of these writes in the origin of their batches; the controller's chores have -1.
pub const KEY: i16 = -2;

/// One of these writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Change {
    /// Registers a sessionless broker.
    RegisterBroker(RegisterBroker),
    /// Changes one, up to unregistering it.
    ChangeBroker(ChangeBroker),
    /// Creates a topic without partitions.
    CreateTopic(CreateTopic),
    /// Adds one partition to a topic.
    CreatePartition(CreatePartition),
    /// Begins a reassignment that adds or removes replicas.
    MoveReplicas(MoveReplicas),
    /// Kafka's UnregisterBroker: any broker, whichever door it came in by.
    UnregisterBroker {
        /// Which life of it: its incarnation id.
        incarnation_id: Uuid,
    },
    /// Kafka's AllocateProducerIds.
    AllocateProducerIds {
        /// For which life of a broker: its incarnation id.
        incarnation_id: Uuid,
    },
    /// Writes nothing: its answer comes once everything decided before it is committed.
    Nothing,
}

/// What became of a [`Change`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Done {
    /// The life of the broker that was registered or changed.
    Broker {
        /// Its incarnation id.
        incarnation_id: Uuid,
        /// Its id.
        broker_id: i32,
    },
    /// The topic that was created.
    Topic {
        /// Its id.
        topic_id: TopicId,
    },
    /// The partition that was created or changed.
    Partition {
        /// Its index.
        index: PartitionIndex,
    },
    /// The broker is unregistered.
    Unregistered,
    /// A block of producer ids.
    ProducerIds {
        /// Its first id.
        first: i64,
    },
    /// Everything before it is committed.
    Nothing,
    /// It was refused.
    Refused {
        /// Kafka's code.
        code: i16,
        /// A sentence.
        text: String,
    },
}

impl Change {
    /// Decides; see [`AnyWrite::decide`].
    pub fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<Done>, Refusal> {
        match self {
            Self::RegisterBroker(request) => request.decide(ctx),
            Self::ChangeBroker(request) => request.decide(ctx),
            Self::CreateTopic(request) => request.decide(ctx),
            Self::CreatePartition(request) => request.decide(ctx),
            Self::MoveReplicas(request) => request.decide(ctx),
            Self::UnregisterBroker { incarnation_id } => {
                let (_, broker) = living(ctx, *incarnation_id)?;
                let request = UnregisterBrokerRequest::default().with_broker_id(broker.id);
                Ok(request.decide(ctx)?.map(|_| Done::Unregistered))
            }
            Self::AllocateProducerIds { incarnation_id } => {
                let (_, broker) = living(ctx, *incarnation_id)?;
                let request = AllocateProducerIdsRequest::default()
                    .with_broker_id(broker.id)
                    .with_broker_epoch(broker.epoch);
                let block = request.decide(ctx)?;
                Ok(block.map(|block| Done::ProducerIds {
                    first: block.producer_id_start.0,
                }))
            }
            Self::Nothing => Ok(Decision::answer(Done::Nothing)),
        }
    }
}

impl AnyWrite for Change {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<Box<dyn Answer>>, Refusal> {
        Ok(self
            .decide(ctx)?
            .map(|done| Box::new(done) as Box<dyn Answer>))
    }
    fn refuse(&self, refusal: &Refusal) -> Box<dyn Answer> {
        Box::new(Done::Refused {
            code: refusal.code(),
            text: refusal.text.to_string(),
        })
    }
    fn timeout_ms(&self) -> Option<i32> {
        None
    }
    /// A broker's own requests go by a mailbox of their own; these come from people.
    fn broker(&self) -> Option<BrokerId> {
        None
    }
    fn heartbeat(&self) -> Option<(BrokerId, BrokerEpoch)> {
        None
    }
}

impl Done {
    /// A refusal becomes one again.
    pub fn into_result(self) -> Result<Self, Refusal> {
        match self {
            Self::Refused { code, text } => {
                let code = ResponseError::try_from_code(code);
                Err(Refusal::new(
                    code.unwrap_or(ResponseError::UnknownServerError),
                    text,
                ))
            }
            done => Ok(done),
        }
    }
}

impl Answer for Done {
    fn append_to(&self, _out: &mut BytesMut, _version: i16) -> anyhow::Result<()> {
        anyhow::bail!("the HTTP door's answers are not Kafka messages")
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// The broker that lives under this incarnation id.
fn living<'a>(
    ctx: &Ctx<'a>,
    incarnation_id: Uuid,
) -> Result<(&'a Incarnation, &'a Broker), Refusal> {
    let life = ctx.image.incarnation(incarnation_id);
    let life = life.ok_or_else(|| refusal::no_incarnation(incarnation_id))?;
    match ctx.image.broker(life.broker_id) {
        Some(broker) if broker.incarnation_id == life.id => Ok((life, broker)),
        _ => Err(refusal::invalid_request(
            "The broker is CLOSED; register it again.",
        )),
    }
}

/// The endpoint of a broker at this address, named like its protocol as a stock broker's is. Host and
/// port go together; without them the broker is for placement only and never listed as a node.
fn end_points(
    host: Option<&str>,
    port: Option<u16>,
    security_protocol: i16,
) -> Result<Vec<BrokerEndpoint>, Refusal> {
    let name = match security_protocol {
        0 => "PLAINTEXT",
        1 => "SSL",
        2 => "SASL_PLAINTEXT",
        3 => "SASL_SSL",
        other => {
            return Err(refusal::invalid_registration(format!(
                "No security protocol is {other}."
            )));
        }
    };
    match (host, port) {
        (None, None) => Ok(Vec::new()),
        (Some(host), Some(port)) if port > 0 => Ok(vec![BrokerEndpoint {
            name: name.to_owned(),
            host: host.to_owned(),
            port,
            security_protocol,
        }]),
        _ => Err(refusal::invalid_registration(
            "A broker that can be reached has a host and a port above 0; one for placement only has \
             neither.",
        )),
    }
}
