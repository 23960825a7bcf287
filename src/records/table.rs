//! THE TABLE: Kafka 4.3.1's 26 metadata records, one row per field.
//!
//! How to read it stands on top of `schema.rs`. A new field is one row; `tests/it/schemas.rs`
//! says whether it is Kafka's.

use super::codec::{self, DecodeError, EncodeError, Field, Message, Reader};
use super::schema::{self, Nullable, Row, Schema, message, or_zero, records, tag_of};
use crate::ids::{BrokerId, Uuid};

records! {
    /// A broker's registration as a whole: a new one, or its state in a snapshot.
    0 RegisterBroker RegisterBrokerRecord 0..=4 {
        0+         broker_id: BrokerId,
        2+         is_migrating_zk_broker: bool,
        0+         incarnation_id: Uuid,
        0+         broker_epoch: i64,
        0+         end_points: Vec<BrokerEndpoint>,
        0+         features: Vec<BrokerFeature>,
        /// None is "no rack"; Kafka's default is the empty string.
        0+         rack: Option<String> = Some(String::new()),
        0+         fenced: bool = true,
        1+         in_controlled_shutdown: bool,
        3+ (tag 0) log_dirs: Vec<Uuid>,
        /// None: the broker has not reported any yet.
        4+ (tag 1) cordoned_log_dirs: Option<Vec<Uuid>> = None,
    }
    /// A broker's registration ends.
    1 UnregisterBroker UnregisterBrokerRecord 0..=0 {
        0+ broker_id: BrokerId,
        0+ broker_epoch: i64,
    }
    /// A topic begins, without partitions.
    2 Topic TopicRecord 0..=0 {
        0+ name: String,
        0+ topic_id: Uuid,
    }
    /// A partition as a whole, epochs included: a new one, or its state in a snapshot.
    3 Partition PartitionRecord 0..=2 {
        0+         partition_id: i32 = -1,
        0+         topic_id: Uuid,
        0+         replicas: Vec<BrokerId>,
        0+         isr: Vec<BrokerId>,
        0+         removing_replicas: Vec<BrokerId>,
        0+         adding_replicas: Vec<BrokerId>,
        /// -1: leaderless.
        0+         leader: BrokerId = BrokerId(-1),
        0+         leader_epoch: i32 = -1,
        0+         partition_epoch: i32 = -1,
        /// Parallel to the replicas, or empty.
        1+         directories: Vec<Uuid>,
        0+ (tag 0) leader_recovery_state: i8,
        2+ (tag 1) eligible_leader_replicas: Option<Vec<BrokerId>> = None,
        2+ (tag 2) last_known_elr: Option<Vec<BrokerId>> = None,
    }
    /// One key of a resource's configuration.
    4 Config ConfigRecord 0..=0 {
        /// See [`crate::ids::ConfigKind`].
        0+ resource_type: i8,
        0+ resource_name: String,
        0+ name: String,
        /// None deletes the key; Kafka's default is the empty string.
        0+ value: Option<String> = Some(String::new()),
    }
    /// What changes in a partition. An absent field is no change; the partition epoch always grows.
    5 PartitionChange PartitionChangeRecord 0..=2 {
        0+         partition_id: i32 = -1,
        0+         topic_id: Uuid,
        0+ (tag 0) isr: Option<Vec<BrokerId>> = None,
        /// -2: no change; -1: now leaderless. Any other value also makes the leader epoch grow.
        0+ (tag 1) leader: i32 = -2,
        0+ (tag 2) replicas: Option<Vec<BrokerId>> = None,
        0+ (tag 3) removing_replicas: Option<Vec<BrokerId>> = None,
        0+ (tag 4) adding_replicas: Option<Vec<BrokerId>> = None,
        /// -1: no change.
        0+ (tag 5) leader_recovery_state: i8 = -1,
        2+ (tag 6) eligible_leader_replicas: Option<Vec<BrokerId>> = None,
        2+ (tag 7) last_known_elr: Option<Vec<BrokerId>> = None,
        1+ (tag 8) directories: Option<Vec<Uuid>> = None,
    }
    /// A broker is fenced; written only before 3.3.
    7 FenceBroker FenceBrokerRecord 0..=0 {
        0+ id: BrokerId,
        0+ epoch: i64,
    }
    /// A broker is unfenced; written only before 3.3.
    8 UnfenceBroker UnfenceBrokerRecord 0..=0 {
        0+ id: BrokerId,
        0+ epoch: i64,
    }
    /// A topic ends, with its partitions and its configuration.
    9 RemoveTopic RemoveTopicRecord 0..=0 {
        0+ topic_id: Uuid,
    }
    /// A delegation token: a new one, or one renewed or expired.
    10 DelegationToken DelegationTokenRecord 0..=0 {
        /// Principals are text like `User:alice`.
        0+ owner: String,
        0+ requester: String,
        0+ renewers: Vec<String>,
        0+ issue_timestamp: i64,
        0+ max_timestamp: i64,
        0+ expiration_timestamp: i64,
        0+ token_id: String,
    }
    /// A user's SCRAM credential.
    11 UserScramCredential UserScramCredentialRecord 0..=0 {
        0+ name: String,
        0+ mechanism: i8,
        0+ salt: Vec<u8>,
        0+ stored_key: Vec<u8>,
        0+ server_key: Vec<u8>,
        0+ iterations: i32,
    }
    /// A feature's finalized level; 0 takes the feature away.
    12 FeatureLevel FeatureLevelRecord 0..=0 {
        0+ name: String,
        0+ feature_level: i16,
    }
    /// One key of an entity's quotas.
    14 ClientQuota ClientQuotaRecord 0..=0 {
        0+ entity: Vec<EntityData>,
        0+ key: String,
        0+ value: f64,
        /// The key is taken away; the value then means nothing.
        0+ remove: bool,
    }
    /// A block of producer ids was handed out.
    15 ProducerIds ProducerIdsRecord 0..=0 {
        0+ broker_id: BrokerId,
        0+ broker_epoch: i64 = -1,
        /// The first id after the block.
        0+ next_producer_id: i64,
    }
    /// What changes in a broker's registration.
    17 BrokerRegistrationChange BrokerRegistrationChangeRecord 0..=3 {
        0+         broker_id: BrokerId,
        0+         broker_epoch: i64,
        /// -1: unfenced; 0: no change; 1: fenced.
        0+ (tag 0) fenced: i8,
        /// 0: no change; 1: the broker is shutting down.
        1+ (tag 1) in_controlled_shutdown: i8,
        /// Empty: no change.
        2+ (tag 2) log_dirs: Vec<Uuid>,
        /// None: no change.
        3+ (tag 3) cordoned_log_dirs: Option<Vec<Uuid>> = None,
    }
    /// An access control entry.
    18 AccessControlEntry AccessControlEntryRecord 0..=0 {
        0+ id: Uuid,
        0+ resource_type: i8,
        0+ resource_name: String,
        0+ pattern_type: i8,
        0+ principal: String,
        0+ host: String,
        0+ operation: i8,
        0+ permission_type: i8,
    }
    /// An access control entry ends.
    19 RemoveAccessControlEntry RemoveAccessControlEntryRecord 0..=0 {
        0+ id: Uuid,
    }
    /// Nothing, except that the offset moves on.
    20 NoOp NoOpRecord 0..=0 {}
    /// How far the move away from ZooKeeper was; of no effect in 4.x.
    21 ZkMigrationState ZkMigrationStateRecord 0..=0 {
        0+ zk_migration_state: i8,
    }
    /// A user's SCRAM credential ends.
    22 RemoveUserScramCredential RemoveUserScramCredentialRecord 0..=0 {
        0+ name: String,
        0+ mechanism: i8,
    }
    /// From here on nothing counts until the end of the transaction.
    23 BeginTransaction BeginTransactionRecord 0..=0 {
        0+ (tag 0) name: Option<String> = None,
    }
    /// The transaction's records count.
    24 EndTransaction EndTransactionRecord 0..=0 {}
    /// The transaction's records never were.
    25 AbortTransaction AbortTransactionRecord 0..=0 {
        0+ (tag 0) reason: Option<String> = None,
    }
    /// A delegation token ends.
    26 RemoveDelegationToken RemoveDelegationTokenRecord 0..=0 {
        0+ token_id: String,
    }
    /// A controller's registration.
    27 RegisterController RegisterControllerRecord 0..=0 {
        0+ controller_id: BrokerId,
        0+ incarnation_id: Uuid,
        0+ zk_migration_ready: bool,
        0+ end_points: Vec<ControllerEndpoint>,
        0+ features: Vec<ControllerFeature>,
    }
    /// Eligible leader replicas are forgotten: of one topic, or of all where the name is empty.
    28 ClearElr ClearElrRecord 0..=0 {
        0+ topic_name: String,
    }
}

message! {
    /// A listener of a broker.
    pub BrokerEndpoint 0..=4 {
        0+ name: String,
        0+ host: String,
        0+ port: u16,
        0+ security_protocol: i16,
    }
}

message! {
    /// The range of a feature that a broker supports.
    pub BrokerFeature 0..=4 {
        0+ name: String,
        0+ min_supported_version: i16,
        0+ max_supported_version: i16,
    }
}

message! {
    /// A listener of a controller.
    pub ControllerEndpoint 0..=0 {
        0+ name: String,
        0+ host: String,
        0+ port: u16,
        0+ security_protocol: i16,
    }
}

message! {
    /// The range of a feature that a controller supports.
    pub ControllerFeature 0..=0 {
        0+ name: String,
        0+ min_supported_version: i16,
        0+ max_supported_version: i16,
    }
}

message! {
    /// One part of a quota's entity: a user, a client id or an address.
    pub EntityData 0..=0 {
        0+ entity_type: String,
        /// None is the default entity of that type; Kafka's default value is the empty string.
        0+ entity_name: Option<String> = Some(String::new()),
    }
}

/// The table as data: all records by number, then the elements of their arrays.
pub fn schemas() -> impl Iterator<Item = Schema> {
    RECORD_SCHEMAS.iter().copied().chain([
        BrokerEndpoint::SCHEMA,
        BrokerFeature::SCHEMA,
        ControllerEndpoint::SCHEMA,
        ControllerFeature::SCHEMA,
        EntityData::SCHEMA,
    ])
}
