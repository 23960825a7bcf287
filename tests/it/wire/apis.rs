//! The wire crate's own types for each API: what a client sends and how it reads the answer.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, Message, Request, StrBytes};

/// One API as a client knows it.
pub(super) struct Api {
    /// An ordinary request in this version.
    pub(super) sample: fn(i16) -> anyhow::Result<Bytes>,
    /// Decodes a request and encodes it again.
    pub(super) recode: fn(Bytes, i16) -> anyhow::Result<Bytes>,
    /// Reads an answer to its last byte; the text shows it.
    pub(super) read_answer: fn(Bytes, i16) -> anyhow::Result<String>,
}

fn encode<M: Message + Encodable>(message: &M, version: i16) -> anyhow::Result<Bytes> {
    let mut out = BytesMut::new();
    message.encode(&mut out, version.min(M::VERSIONS.max))?;
    Ok(out.freeze())
}

fn decode<M: Message + Decodable>(mut body: Bytes, version: i16) -> anyhow::Result<M> {
    let message = M::decode(&mut body, version.min(M::VERSIONS.max))?;
    anyhow::ensure!(body.is_empty(), "{} bytes are left over", body.len());
    Ok(message)
}

fn of<R: Request + Default>() -> Api
where
    R::Response: std::fmt::Debug,
{
    Api {
        sample: |version| encode(&R::default(), version),
        recode: |body, version| encode(&decode::<R>(body, version)?, version),
        read_answer: |body, version| Ok(format!("{:?}", decode::<R::Response>(body, version)?)),
    }
}

macro_rules! apis {
    ($($key:ident $request:ident)*) => {
        /// What the crate knows of this API.
        pub(super) fn api(key: ApiKey) -> Api {
            let api = match key {
                $(ApiKey::$key => of::<$request>(),)*
                other => panic!("{other:?} is new: add it to this list"),
            };
            match key {
                ApiKey::ApiVersions => Api { sample: api_versions, ..api },
                ApiKey::Produce => Api { sample: produce, ..api },
                _ => api,
            }
        }
    };
}

fn api_versions(version: i16) -> anyhow::Result<Bytes> {
    let request = ApiVersionsRequest::default();
    if version < 3 {
        return encode(&request, version);
    }
    let name = StrBytes::from_static_str("test");
    encode(
        &request
            .with_client_software_name(name.clone())
            .with_client_software_version(name),
        version,
    )
}

/// With the default acks of 0 no answer is expected.
fn produce(version: i16) -> anyhow::Result<Bytes> {
    encode(&ProduceRequest::default().with_acks(1), version)
}

apis! {
    Produce ProduceRequest  Fetch FetchRequest  ListOffsets ListOffsetsRequest
    Metadata MetadataRequest  OffsetCommit OffsetCommitRequest  OffsetFetch OffsetFetchRequest
    FindCoordinator FindCoordinatorRequest  JoinGroup JoinGroupRequest  Heartbeat HeartbeatRequest
    LeaveGroup LeaveGroupRequest  SyncGroup SyncGroupRequest  DescribeGroups DescribeGroupsRequest
    ListGroups ListGroupsRequest  SaslHandshake SaslHandshakeRequest
    ApiVersions ApiVersionsRequest  CreateTopics CreateTopicsRequest
    DeleteTopics DeleteTopicsRequest  DeleteRecords DeleteRecordsRequest
    InitProducerId InitProducerIdRequest  OffsetForLeaderEpoch OffsetForLeaderEpochRequest
    AddPartitionsToTxn AddPartitionsToTxnRequest  AddOffsetsToTxn AddOffsetsToTxnRequest
    EndTxn EndTxnRequest  TxnOffsetCommit TxnOffsetCommitRequest  DescribeAcls DescribeAclsRequest
    CreateAcls CreateAclsRequest  DeleteAcls DeleteAclsRequest
    DescribeConfigs DescribeConfigsRequest  AlterConfigs AlterConfigsRequest
    AlterReplicaLogDirs AlterReplicaLogDirsRequest  DescribeLogDirs DescribeLogDirsRequest
    SaslAuthenticate SaslAuthenticateRequest  CreatePartitions CreatePartitionsRequest
    CreateDelegationToken CreateDelegationTokenRequest
    RenewDelegationToken RenewDelegationTokenRequest
    ExpireDelegationToken ExpireDelegationTokenRequest
    DescribeDelegationToken DescribeDelegationTokenRequest  DeleteGroups DeleteGroupsRequest
    ElectLeaders ElectLeadersRequest  IncrementalAlterConfigs IncrementalAlterConfigsRequest
    AlterPartitionReassignments AlterPartitionReassignmentsRequest
    ListPartitionReassignments ListPartitionReassignmentsRequest
    OffsetDelete OffsetDeleteRequest  DescribeClientQuotas DescribeClientQuotasRequest
    AlterClientQuotas AlterClientQuotasRequest
    DescribeUserScramCredentials DescribeUserScramCredentialsRequest
    AlterUserScramCredentials AlterUserScramCredentialsRequest  Vote VoteRequest
    BeginQuorumEpoch BeginQuorumEpochRequest  EndQuorumEpoch EndQuorumEpochRequest
    DescribeQuorum DescribeQuorumRequest  AlterPartition AlterPartitionRequest
    UpdateFeatures UpdateFeaturesRequest  Envelope EnvelopeRequest
    FetchSnapshot FetchSnapshotRequest  DescribeCluster DescribeClusterRequest
    DescribeProducers DescribeProducersRequest  BrokerRegistration BrokerRegistrationRequest
    BrokerHeartbeat BrokerHeartbeatRequest  UnregisterBroker UnregisterBrokerRequest
    DescribeTransactions DescribeTransactionsRequest  ListTransactions ListTransactionsRequest
    AllocateProducerIds AllocateProducerIdsRequest
    ConsumerGroupHeartbeat ConsumerGroupHeartbeatRequest
    ConsumerGroupDescribe ConsumerGroupDescribeRequest
    ControllerRegistration ControllerRegistrationRequest
    AssignReplicasToDirs AssignReplicasToDirsRequest
    ListConfigResources ListConfigResourcesRequest
    DescribeTopicPartitions DescribeTopicPartitionsRequest
    ShareGroupHeartbeat ShareGroupHeartbeatRequest  ShareGroupDescribe ShareGroupDescribeRequest
    ShareFetch ShareFetchRequest  ShareAcknowledge ShareAcknowledgeRequest
    DescribeShareGroupOffsets DescribeShareGroupOffsetsRequest
    AlterShareGroupOffsets AlterShareGroupOffsetsRequest
    DeleteShareGroupOffsets DeleteShareGroupOffsetsRequest  AddRaftVoter AddRaftVoterRequest
    RemoveRaftVoter RemoveRaftVoterRequest  UpdateRaftVoter UpdateRaftVoterRequest
}
