//! The records' structs. (To be produced by the table macro; names and types are final.)

use crate::ids::{BrokerId, Uuid};

macro_rules! stub {
    ($($key:literal $variant:ident $record:ident { $($field:ident : $ty:ty),* $(,)? })*) => {
        $(
            #[derive(Clone, Debug, Default, PartialEq)]
            pub struct $record { $(pub $field: $ty),* }
        )*
        /// One metadata record.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Record { $($variant($record)),* }
        $(impl From<$record> for Record { fn from(record: $record) -> Self { Self::$variant(record) } })*
    };
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct BrokerEndpoint {
    pub name: String,
    pub host: String,
    pub port: u16,
    pub security_protocol: i16,
}
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BrokerFeature {
    pub name: String,
    pub min_supported_version: i16,
    pub max_supported_version: i16,
}
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControllerEndpoint {
    pub name: String,
    pub host: String,
    pub port: u16,
    pub security_protocol: i16,
}
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControllerFeature {
    pub name: String,
    pub min_supported_version: i16,
    pub max_supported_version: i16,
}
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntityData {
    pub entity_type: String,
    pub entity_name: Option<String>,
}

stub! {
    0 RegisterBroker RegisterBrokerRecord {
        broker_id: BrokerId, is_migrating_zk_broker: bool, incarnation_id: Uuid, broker_epoch: i64,
        end_points: Vec<BrokerEndpoint>, features: Vec<BrokerFeature>, rack: Option<String>,
        fenced: bool, in_controlled_shutdown: bool, log_dirs: Vec<Uuid>,
        cordoned_log_dirs: Option<Vec<Uuid>>,
    }
    1 UnregisterBroker UnregisterBrokerRecord { broker_id: BrokerId, broker_epoch: i64 }
    2 Topic TopicRecord { name: String, topic_id: Uuid }
    3 Partition PartitionRecord {
        partition_id: i32, topic_id: Uuid, replicas: Vec<BrokerId>, isr: Vec<BrokerId>,
        removing_replicas: Vec<BrokerId>, adding_replicas: Vec<BrokerId>, leader: BrokerId,
        leader_epoch: i32, partition_epoch: i32, directories: Vec<Uuid>, leader_recovery_state: i8,
        eligible_leader_replicas: Option<Vec<BrokerId>>, last_known_elr: Option<Vec<BrokerId>>,
    }
    4 Config ConfigRecord { resource_type: i8, resource_name: String, name: String, value: Option<String> }
    5 PartitionChange PartitionChangeRecord {
        partition_id: i32, topic_id: Uuid, isr: Option<Vec<BrokerId>>, leader: i32,
        replicas: Option<Vec<BrokerId>>, removing_replicas: Option<Vec<BrokerId>>,
        adding_replicas: Option<Vec<BrokerId>>, leader_recovery_state: i8,
        eligible_leader_replicas: Option<Vec<BrokerId>>, last_known_elr: Option<Vec<BrokerId>>,
        directories: Option<Vec<Uuid>>,
    }
    7 FenceBroker FenceBrokerRecord { id: BrokerId, epoch: i64 }
    8 UnfenceBroker UnfenceBrokerRecord { id: BrokerId, epoch: i64 }
    9 RemoveTopic RemoveTopicRecord { topic_id: Uuid }
    10 DelegationToken DelegationTokenRecord {
        owner: String, requester: String, renewers: Vec<String>, issue_timestamp: i64,
        max_timestamp: i64, expiration_timestamp: i64, token_id: String,
    }
    11 UserScramCredential UserScramCredentialRecord {
        name: String, mechanism: i8, salt: Vec<u8>, stored_key: Vec<u8>, server_key: Vec<u8>, iterations: i32,
    }
    12 FeatureLevel FeatureLevelRecord { name: String, feature_level: i16 }
    14 ClientQuota ClientQuotaRecord { entity: Vec<EntityData>, key: String, value: f64, remove: bool }
    15 ProducerIds ProducerIdsRecord { broker_id: BrokerId, broker_epoch: i64, next_producer_id: i64 }
    17 BrokerRegistrationChange BrokerRegistrationChangeRecord {
        broker_id: BrokerId, broker_epoch: i64, fenced: i8, in_controlled_shutdown: i8,
        log_dirs: Vec<Uuid>, cordoned_log_dirs: Option<Vec<Uuid>>,
    }
    18 AccessControlEntry AccessControlEntryRecord {
        id: Uuid, resource_type: i8, resource_name: String, pattern_type: i8, principal: String,
        host: String, operation: i8, permission_type: i8,
    }
    19 RemoveAccessControlEntry RemoveAccessControlEntryRecord { id: Uuid }
    20 NoOp NoOpRecord { }
    21 ZkMigrationState ZkMigrationStateRecord { zk_migration_state: i8 }
    22 RemoveUserScramCredential RemoveUserScramCredentialRecord { name: String, mechanism: i8 }
    23 BeginTransaction BeginTransactionRecord { name: Option<String> }
    24 EndTransaction EndTransactionRecord { }
    25 AbortTransaction AbortTransactionRecord { reason: Option<String> }
    26 RemoveDelegationToken RemoveDelegationTokenRecord { token_id: String }
    27 RegisterController RegisterControllerRecord {
        controller_id: BrokerId, incarnation_id: Uuid, zk_migration_ready: bool,
        end_points: Vec<ControllerEndpoint>, features: Vec<ControllerFeature>,
    }
    28 ClearElr ClearElrRecord { topic_name: String }
}
