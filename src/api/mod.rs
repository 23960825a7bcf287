//! The table of APIs: what is answered, in which versions, by which function.
//!
//! One row per API. From the same rows come dispatch ([`find`]), the ApiVersions answer, metric
//! labels and the test that sends every advertised pair once. A read answers from the published
//! image on the connection's own task; a write goes through the controller's mailbox and is decided
//! there; the rest name the room that serves them.

mod allocate_producer_ids;
mod alter_configs;
mod alter_partition;
mod api_versions;
mod assign_replicas_to_dirs;
mod authorized;
mod broker_heartbeat;
mod broker_registration;
mod controller_registration;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_delegation_token;
mod describe_log_dirs;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_user_scram_credentials;
mod elect_leaders;
mod find_coordinator;
mod incremental_alter_configs;
mod init_producer_id;
mod list_config_resources;
mod list_groups;
mod list_transactions;
mod metadata;
mod not_here;
pub mod original;
mod sasl;
mod unregister_broker;

#[cfg(test)]
mod testing;

pub use api_versions::unsupported_api_versions;

use std::any::Any;
use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, Message, Request, StrBytes};

use crate::ids::{BrokerEpoch, BrokerId};
use crate::refusal::Refusal;
use crate::rules::{Ctx, Decision, View};

/// A request that is answered from the published image alone, on any node.
pub trait Read: Request {
    /// The answer. Errors go into the API's own fields.
    fn answer(&self, view: &View<'_>) -> Self::Response;
    /// Whether the client reads an answer at all. If not, its error is that the connection closes.
    fn expects_answer(&self) -> bool {
        true
    }
}

/// A request that may write. It is decided on the leader, one after another.
pub trait Write: Request + Send + 'static {
    /// Decides: which records to write, what to answer once they are committed. Changes nothing.
    /// A refusal of single elements goes into the response; `Err` refuses the request as a whole.
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<Self::Response>, Refusal>;
    /// The answer that carries this refusal, in the field that the API has for it.
    fn refuse(&self, refusal: &Refusal) -> Self::Response;
    /// How long the request may wait before it is looked at, in milliseconds, where the API has a
    /// timeout field that Kafka honours (`rpc.md` lists five).
    fn timeout_ms(&self) -> Option<i32> {
        None
    }
    /// The broker that speaks of itself, where it is one: its requests have a mailbox of their own,
    /// and wait while the controller goes through that broker's partitions.
    fn broker(&self) -> Option<BrokerId> {
        None
    }
    /// The broker and the epoch it claims, where the request is a sign of life.
    fn heartbeat(&self) -> Option<(BrokerId, BrokerEpoch)> {
        None
    }
}

/// A [`Read`] without its type.
pub trait AnyRead: Send {
    /// See [`Read::answer`].
    fn answer(&self, view: &View<'_>) -> Box<dyn Answer>;
    /// See [`Read::expects_answer`].
    fn expects_answer(&self) -> bool;
}

/// A [`Write`] without its type, as it waits in the controller's mailbox.
pub trait AnyWrite: Send {
    /// See [`Write::decide`].
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<Box<dyn Answer>>, Refusal>;
    /// See [`Write::refuse`].
    fn refuse(&self, refusal: &Refusal) -> Box<dyn Answer>;
    /// See [`Write::timeout_ms`].
    fn timeout_ms(&self) -> Option<i32>;
    /// See [`Write::broker`].
    fn broker(&self) -> Option<BrokerId>;
    /// See [`Write::heartbeat`].
    fn heartbeat(&self) -> Option<(BrokerId, BrokerEpoch)>;
}

/// A response without its type. It is encoded on the connection's task, not in the controller.
pub trait Answer: Any + Send {
    /// Appends the body in this version, without header. After an error `out` may hold a part of it.
    fn append_to(&self, out: &mut BytesMut, version: i16) -> anyhow::Result<()>;
    /// The response itself, for the HTTP door.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<T: Message + Encodable + Any + Send> Answer for T {
    fn append_to(&self, out: &mut BytesMut, version: i16) -> anyhow::Result<()> {
        Encodable::encode(self, out, known::<T>(version))
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

struct Typed<R>(R);

impl<R: Read + Send> AnyRead for Typed<R>
where
    R::Response: Send + 'static,
{
    fn answer(&self, view: &View<'_>) -> Box<dyn Answer> {
        Box::new(self.0.answer(view))
    }
    fn expects_answer(&self) -> bool {
        self.0.expects_answer()
    }
}

impl<R: Write> AnyWrite for Typed<R>
where
    R::Response: Send + 'static,
{
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<Box<dyn Answer>>, Refusal> {
        Ok(self
            .0
            .decide(ctx)?
            .map(|response| Box::new(response) as Box<dyn Answer>))
    }
    fn refuse(&self, refusal: &Refusal) -> Box<dyn Answer> {
        Box::new(self.0.refuse(refusal))
    }
    fn timeout_ms(&self) -> Option<i32> {
        self.0.timeout_ms()
    }
    fn broker(&self) -> Option<BrokerId> {
        self.0.broker()
    }
    fn heartbeat(&self) -> Option<(BrokerId, BrokerEpoch)> {
        self.0.heartbeat()
    }
}

/// Takes the type from a write, so that the controller's mailbox can hold it.
pub fn erase<R: Write>(request: R) -> Box<dyn AnyWrite>
where
    R::Response: Send + 'static,
{
    Box::new(Typed(request))
}

/// Reads a request body; whatever is left over is ignored, as in Kafka.
/// Callers have walked the body's shape first: the decoder itself trusts every length in it.
pub fn decode<R: Request>(mut body: Bytes, version: i16) -> anyhow::Result<R> {
    R::decode(&mut body, known::<R>(version))
}

/// The version that the wire crate knows it by. BrokerHeartbeat 2 differs from 1 by one tag that 1
/// keeps as unknown, and not at all in its answer; without it no broker would ever unfence.
fn known<M: Message>(version: i16) -> i16 {
    version.min(M::VERSIONS.max)
}

/// The sentence of a refusal for the message field that most answers have; null where it has none.
fn message(refusal: &Refusal) -> Option<StrBytes> {
    (!refusal.text.is_empty()).then(|| StrBytes::from_string(refusal.text.to_string()))
}

/// Who serves an API.
#[derive(Clone, Copy)]
pub enum Kind {
    /// The published image, on any node.
    Read(fn(Bytes, i16) -> anyhow::Result<Box<dyn AnyRead>>),
    /// The controller, on the leader; a follower forwards or refuses.
    Write(fn(Bytes, i16) -> anyhow::Result<Box<dyn AnyWrite>>),
    /// `feed`: the metadata log as observers read it.
    Feed,
    /// `controller/voters.rs`: raft's own state and membership.
    Quorum,
    /// `wire`: the connection itself (Envelope).
    Session,
}

/// One API.
pub struct Row {
    /// Kafka's number and name for it.
    pub key: ApiKey,
    /// The versions that are answered, and advertised.
    pub versions: RangeInclusive<i16>,
    /// Who serves it.
    pub kind: Kind,
}

impl Row {
    const fn of<R: Request>(versions: RangeInclusive<i16>, key: ApiKey, kind: Kind) -> Self {
        assert!(
            key as i16 == R::KEY,
            "the row names another API than its request type"
        );
        Self {
            key,
            versions,
            kind,
        }
    }
}

const fn read<R: Read + Send + 'static>(key: ApiKey, versions: RangeInclusive<i16>) -> Row
where
    R::Response: Send + 'static,
{
    Row::of::<R>(
        versions,
        key,
        Kind::Read(|body, version| Ok(Box::new(Typed(decode::<R>(body, version)?)))),
    )
}

const fn write<R: Write>(key: ApiKey, versions: RangeInclusive<i16>) -> Row
where
    R::Response: Send + 'static,
{
    Row::of::<R>(
        versions,
        key,
        Kind::Write(|body, version| Ok(erase(decode::<R>(body, version)?))),
    )
}

/// A row that another room serves.
const fn served<R: Request>(key: ApiKey, versions: RangeInclusive<i16>, kind: Kind) -> Row {
    Row::of::<R>(versions, key, kind)
}

/// The table: one row per API, in the order of their numbers.
pub const TABLE: &[Row] = &[
    read::<ProduceRequest>(ApiKey::Produce, 3..=13),
    served::<FetchRequest>(ApiKey::Fetch, 4..=18, Kind::Feed),
    read::<ListOffsetsRequest>(ApiKey::ListOffsets, 1..=10),
    read::<MetadataRequest>(ApiKey::Metadata, 0..=13),
    read::<OffsetCommitRequest>(ApiKey::OffsetCommit, 2..=9),
    read::<OffsetFetchRequest>(ApiKey::OffsetFetch, 1..=9),
    write::<FindCoordinatorRequest>(ApiKey::FindCoordinator, 0..=6),
    read::<JoinGroupRequest>(ApiKey::JoinGroup, 0..=9),
    read::<HeartbeatRequest>(ApiKey::Heartbeat, 0..=4),
    read::<LeaveGroupRequest>(ApiKey::LeaveGroup, 0..=5),
    read::<SyncGroupRequest>(ApiKey::SyncGroup, 0..=5),
    read::<DescribeGroupsRequest>(ApiKey::DescribeGroups, 0..=6),
    read::<ListGroupsRequest>(ApiKey::ListGroups, 0..=5),
    read::<SaslHandshakeRequest>(ApiKey::SaslHandshake, 0..=1),
    read::<ApiVersionsRequest>(ApiKey::ApiVersions, 0..=4),
    write::<CreateTopicsRequest>(ApiKey::CreateTopics, 2..=7),
    write::<DeleteTopicsRequest>(ApiKey::DeleteTopics, 1..=6),
    read::<DeleteRecordsRequest>(ApiKey::DeleteRecords, 0..=2),
    write::<InitProducerIdRequest>(ApiKey::InitProducerId, 0..=5),
    read::<OffsetForLeaderEpochRequest>(ApiKey::OffsetForLeaderEpoch, 2..=4),
    read::<AddPartitionsToTxnRequest>(ApiKey::AddPartitionsToTxn, 0..=5),
    read::<AddOffsetsToTxnRequest>(ApiKey::AddOffsetsToTxn, 0..=4),
    read::<EndTxnRequest>(ApiKey::EndTxn, 0..=5),
    read::<TxnOffsetCommitRequest>(ApiKey::TxnOffsetCommit, 0..=5),
    read::<DescribeConfigsRequest>(ApiKey::DescribeConfigs, 1..=4),
    write::<AlterConfigsRequest>(ApiKey::AlterConfigs, 0..=2),
    read::<DescribeLogDirsRequest>(ApiKey::DescribeLogDirs, 1..=4),
    read::<SaslAuthenticateRequest>(ApiKey::SaslAuthenticate, 0..=2),
    write::<CreatePartitionsRequest>(ApiKey::CreatePartitions, 0..=3),
    read::<DescribeDelegationTokenRequest>(ApiKey::DescribeDelegationToken, 1..=3),
    read::<DeleteGroupsRequest>(ApiKey::DeleteGroups, 0..=2),
    write::<ElectLeadersRequest>(ApiKey::ElectLeaders, 0..=2),
    write::<IncrementalAlterConfigsRequest>(ApiKey::IncrementalAlterConfigs, 0..=1),
    read::<OffsetDeleteRequest>(ApiKey::OffsetDelete, 0..=0),
    read::<DescribeClientQuotasRequest>(ApiKey::DescribeClientQuotas, 0..=1),
    read::<DescribeUserScramCredentialsRequest>(ApiKey::DescribeUserScramCredentials, 0..=0),
    served::<DescribeQuorumRequest>(ApiKey::DescribeQuorum, 0..=2, Kind::Quorum),
    write::<AlterPartitionRequest>(ApiKey::AlterPartition, 2..=3),
    served::<EnvelopeRequest>(ApiKey::Envelope, 0..=0, Kind::Session),
    served::<FetchSnapshotRequest>(ApiKey::FetchSnapshot, 0..=1, Kind::Feed),
    read::<DescribeClusterRequest>(ApiKey::DescribeCluster, 0..=2),
    read::<DescribeProducersRequest>(ApiKey::DescribeProducers, 0..=0),
    write::<BrokerRegistrationRequest>(ApiKey::BrokerRegistration, 0..=4),
    write::<BrokerHeartbeatRequest>(ApiKey::BrokerHeartbeat, 0..=2),
    write::<UnregisterBrokerRequest>(ApiKey::UnregisterBroker, 0..=0),
    read::<DescribeTransactionsRequest>(ApiKey::DescribeTransactions, 0..=0),
    read::<ListTransactionsRequest>(ApiKey::ListTransactions, 0..=2),
    write::<AllocateProducerIdsRequest>(ApiKey::AllocateProducerIds, 0..=0),
    read::<ConsumerGroupHeartbeatRequest>(ApiKey::ConsumerGroupHeartbeat, 0..=1),
    read::<ConsumerGroupDescribeRequest>(ApiKey::ConsumerGroupDescribe, 0..=1),
    write::<ControllerRegistrationRequest>(ApiKey::ControllerRegistration, 0..=0),
    write::<AssignReplicasToDirsRequest>(ApiKey::AssignReplicasToDirs, 0..=0),
    read::<ListConfigResourcesRequest>(ApiKey::ListConfigResources, 0..=1),
    read::<DescribeTopicPartitionsRequest>(ApiKey::DescribeTopicPartitions, 0..=0),
    read::<ShareGroupHeartbeatRequest>(ApiKey::ShareGroupHeartbeat, 1..=1),
    read::<ShareGroupDescribeRequest>(ApiKey::ShareGroupDescribe, 1..=1),
    served::<AddRaftVoterRequest>(ApiKey::AddRaftVoter, 0..=0, Kind::Quorum),
    served::<RemoveRaftVoterRequest>(ApiKey::RemoveRaftVoter, 0..=0, Kind::Quorum),
    served::<UpdateRaftVoterRequest>(ApiKey::UpdateRaftVoter, 0..=0, Kind::Quorum),
    read::<DescribeShareGroupOffsetsRequest>(ApiKey::DescribeShareGroupOffsets, 0..=0),
    read::<AlterShareGroupOffsetsRequest>(ApiKey::AlterShareGroupOffsets, 0..=0),
    read::<DeleteShareGroupOffsetsRequest>(ApiKey::DeleteShareGroupOffsets, 0..=0),
];

/// The row of this API, if it is answered at all (in whichever version).
pub fn find(key: i16) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.key as i16 == key)
}
