//! The table: one row per request, in the order of their numbers; its fields in wire order.
//!
//! How to read it: `string("rack").nullable().since(4)` is a field of version 4 and later that may be
//! null; `.until(5)` one of version 5 and earlier; `.tag(0)` one of the tagged section. The number
//! after the key is the first flexible version. Names and versions are those of Kafka 4.3.1's
//! message schemas, also where the wire crate ends a version earlier (BrokerHeartbeat 2,
//! AddRaftVoter 1).

use kafka_protocol::messages::ApiKey;

use super::{Field, Item, Kind, Shape};

/// No version is flexible.
const NEVER: i16 = i16::MAX;
const INT8: Item = Item::Fixed(1);
const INT32: Item = Item::Fixed(4);
const INT64: Item = Item::Fixed(8);
const UUID: Item = Item::Fixed(16);
const STRING: Item = Item::String;

impl Shape {
    const fn of(key: ApiKey, flexible_since: i16, fields: &'static [Field]) -> Self {
        Self {
            key,
            flexible_since,
            fields,
        }
    }
}

impl Field {
    const fn of(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            since: 0,
            until: i16::MAX,
            nullable_since: i16::MAX,
            tag: None,
        }
    }
    const fn since(self, since: i16) -> Self {
        Self { since, ..self }
    }
    const fn until(self, until: i16) -> Self {
        Self { until, ..self }
    }
    const fn between(self, since: i16, until: i16) -> Self {
        Self {
            since,
            until,
            ..self
        }
    }
    const fn nullable(self) -> Self {
        self.nullable_since(0)
    }
    const fn nullable_since(self, nullable_since: i16) -> Self {
        Self {
            nullable_since,
            ..self
        }
    }
    const fn tag(self, tag: u32) -> Self {
        Self {
            tag: Some(tag),
            ..self
        }
    }
}

const fn boolean(name: &'static str) -> Field {
    Field::of(name, Kind::Fixed(1))
}
const fn int8(name: &'static str) -> Field {
    Field::of(name, Kind::Fixed(1))
}
const fn int16(name: &'static str) -> Field {
    Field::of(name, Kind::Fixed(2))
}
const fn int32(name: &'static str) -> Field {
    Field::of(name, Kind::Fixed(4))
}
const fn int64(name: &'static str) -> Field {
    Field::of(name, Kind::Fixed(8))
}
const fn float64(name: &'static str) -> Field {
    Field::of(name, Kind::Fixed(8))
}
const fn uuid(name: &'static str) -> Field {
    Field::of(name, Kind::Fixed(16))
}
const fn string(name: &'static str) -> Field {
    Field::of(name, Kind::String)
}
const fn bytes(name: &'static str) -> Field {
    Field::of(name, Kind::Bytes)
}
const fn structure(name: &'static str, fields: &'static [Field]) -> Field {
    Field::of(name, Kind::Struct(fields))
}
const fn array(name: &'static str, item: Item) -> Field {
    Field::of(name, Kind::Array(item))
}
const fn structs(name: &'static str, fields: &'static [Field]) -> Field {
    Field::of(name, Kind::Array(Item::Struct(fields)))
}

/// Every request that the Kafka listener may be sent.
#[rustfmt::skip] // a field per line would be a thousand lines
pub(super) static SHAPES: &[Shape] = &[
    Shape::of(ApiKey::Produce, 9, &[
        string("transactional_id").nullable(), int16("acks"), int32("timeout_ms"),
        structs("topic_data", &[
            string("name").until(12), uuid("topic_id").since(13),
            structs("partition_data", &[int32("index"), bytes("records").nullable()]),
        ]),
    ]),
    Shape::of(ApiKey::Fetch, 12, &[
        string("cluster_id").nullable().since(12).tag(0), int32("replica_id").until(14),
        structure("replica_state", &[
            int32("replica_id"), int64("replica_epoch"),
        ]).since(15).tag(1),
        int32("max_wait_ms"), int32("min_bytes"), int32("max_bytes"), int8("isolation_level"),
        int32("session_id").since(7), int32("session_epoch").since(7),
        structs("topics", &[
            string("topic").until(12), uuid("topic_id").since(13),
            structs("partitions", &[
                int32("partition"), int32("current_leader_epoch").since(9), int64("fetch_offset"),
                int32("last_fetched_epoch").since(12), int64("log_start_offset").since(5),
                int32("partition_max_bytes"), uuid("replica_directory_id").since(17).tag(0),
                int64("high_watermark").since(18).tag(1),
            ]),
        ]),
        structs("forgotten_topics_data", &[
            string("topic").until(12), uuid("topic_id").since(13), array("partitions", INT32),
        ]).since(7),
        string("rack_id").since(11),
    ]),
    Shape::of(ApiKey::ListOffsets, 6, &[
        int32("replica_id"), int8("isolation_level").since(2),
        structs("topics", &[
            string("name"),
            structs("partitions", &[
                int32("partition_index"), int32("current_leader_epoch").since(4),
                int64("timestamp"),
            ]),
        ]),
        int32("timeout_ms").since(10),
    ]),
    Shape::of(ApiKey::Metadata, 9, &[
        structs("topics", &[
            uuid("topic_id").since(10), string("name").nullable_since(10),
        ]).nullable_since(1),
        boolean("allow_auto_topic_creation").since(4),
        boolean("include_cluster_authorized_operations").between(8, 10),
        boolean("include_topic_authorized_operations").since(8),
    ]),
    Shape::of(ApiKey::OffsetCommit, 8, &[
        string("group_id"), int32("generation_id_or_member_epoch"), string("member_id"),
        string("group_instance_id").nullable().since(7), int64("retention_time_ms").until(4),
        structs("topics", &[
            string("name").until(9), uuid("topic_id").since(10),
            structs("partitions", &[
                int32("partition_index"), int64("committed_offset"),
                int32("committed_leader_epoch").since(6), string("committed_metadata").nullable(),
            ]),
        ]),
    ]),
    Shape::of(ApiKey::OffsetFetch, 6, &[
        string("group_id").until(7),
        structs("topics", &[
            string("name"), array("partition_indexes", INT32),
        ]).nullable_since(2).until(7),
        structs("groups", &[
            string("group_id"), string("member_id").nullable().since(9),
            int32("member_epoch").since(9),
            structs("topics", &[
                string("name").until(9), uuid("topic_id").since(10),
                array("partition_indexes", INT32),
            ]).nullable(),
        ]).since(8),
        boolean("require_stable").since(7),
    ]),
    Shape::of(ApiKey::FindCoordinator, 3, &[
        string("key").until(3), int8("key_type").since(1),
        array("coordinator_keys", STRING).since(4),
    ]),
    Shape::of(ApiKey::JoinGroup, 6, &[
        string("group_id"), int32("session_timeout_ms"), int32("rebalance_timeout_ms").since(1),
        string("member_id"), string("group_instance_id").nullable().since(5),
        string("protocol_type"), structs("protocols", &[string("name"), bytes("metadata")]),
        string("reason").nullable().since(8),
    ]),
    Shape::of(ApiKey::Heartbeat, 4, &[
        string("group_id"), int32("generation_id"), string("member_id"),
        string("group_instance_id").nullable().since(3),
    ]),
    Shape::of(ApiKey::LeaveGroup, 4, &[
        string("group_id"), string("member_id").until(2),
        structs("members", &[
            string("member_id"), string("group_instance_id").nullable(),
            string("reason").nullable().since(5),
        ]).since(3),
    ]),
    Shape::of(ApiKey::SyncGroup, 4, &[
        string("group_id"), int32("generation_id"), string("member_id"),
        string("group_instance_id").nullable().since(3),
        string("protocol_type").nullable().since(5), string("protocol_name").nullable().since(5),
        structs("assignments", &[string("member_id"), bytes("assignment")]),
    ]),
    Shape::of(ApiKey::DescribeGroups, 5, &[
        array("groups", STRING), boolean("include_authorized_operations").since(3),
    ]),
    Shape::of(ApiKey::ListGroups, 3, &[
        array("states_filter", STRING).since(4), array("types_filter", STRING).since(5),
    ]),
    Shape::of(ApiKey::SaslHandshake, NEVER, &[string("mechanism")]),
    Shape::of(ApiKey::ApiVersions, 3, &[
        string("client_software_name").since(3), string("client_software_version").since(3),
    ]),
    Shape::of(ApiKey::CreateTopics, 5, &[
        structs("topics", &[
            string("name"), int32("num_partitions"), int16("replication_factor"),
            structs("assignments", &[int32("partition_index"), array("broker_ids", INT32)]),
            structs("configs", &[string("name"), string("value").nullable()]),
        ]),
        int32("timeout_ms"), boolean("validate_only"),
    ]),
    Shape::of(ApiKey::DeleteTopics, 4, &[
        structs("topics", &[string("name").nullable(), uuid("topic_id")]).since(6),
        array("topic_names", STRING).until(5), int32("timeout_ms"),
    ]),
    Shape::of(ApiKey::DeleteRecords, 2, &[
        structs("topics", &[
            string("name"), structs("partitions", &[int32("partition_index"), int64("offset")]),
        ]),
        int32("timeout_ms"),
    ]),
    Shape::of(ApiKey::InitProducerId, 2, &[
        string("transactional_id").nullable(), int32("transaction_timeout_ms"),
        int64("producer_id").since(3), int16("producer_epoch").since(3),
        boolean("enable2_pc").since(6), boolean("keep_prepared_txn").since(6),
    ]),
    Shape::of(ApiKey::OffsetForLeaderEpoch, 4, &[
        int32("replica_id").since(3),
        structs("topics", &[
            string("topic"),
            structs("partitions", &[
                int32("partition"), int32("current_leader_epoch"), int32("leader_epoch"),
            ]),
        ]),
    ]),
    Shape::of(ApiKey::AddPartitionsToTxn, 3, &[
        structs("transactions", &[
            string("transactional_id"), int64("producer_id"), int16("producer_epoch"),
            boolean("verify_only"),
            structs("topics", &[string("name"), array("partitions", INT32)]),
        ]).since(4),
        string("v3_and_below_transactional_id").until(3),
        int64("v3_and_below_producer_id").until(3), int16("v3_and_below_producer_epoch").until(3),
        structs("v3_and_below_topics", &[string("name"), array("partitions", INT32)]).until(3),
    ]),
    Shape::of(ApiKey::AddOffsetsToTxn, 3, &[
        string("transactional_id"), int64("producer_id"), int16("producer_epoch"),
        string("group_id"),
    ]),
    Shape::of(ApiKey::EndTxn, 3, &[
        string("transactional_id"), int64("producer_id"), int16("producer_epoch"),
        boolean("committed"),
    ]),
    Shape::of(ApiKey::TxnOffsetCommit, 3, &[
        string("transactional_id"), string("group_id"), int64("producer_id"),
        int16("producer_epoch"), int32("generation_id").since(3), string("member_id").since(3),
        string("group_instance_id").nullable().since(3),
        structs("topics", &[
            string("name"),
            structs("partitions", &[
                int32("partition_index"), int64("committed_offset"),
                int32("committed_leader_epoch").since(2), string("committed_metadata").nullable(),
            ]),
        ]),
    ]),
    Shape::of(ApiKey::DescribeAcls, 2, &[
        int8("resource_type_filter"), string("resource_name_filter").nullable(),
        int8("pattern_type_filter"), string("principal_filter").nullable(),
        string("host_filter").nullable(), int8("operation"), int8("permission_type"),
    ]),
    Shape::of(ApiKey::CreateAcls, 2, &[
        structs("creations", &[
            int8("resource_type"), string("resource_name"), int8("resource_pattern_type"),
            string("principal"), string("host"), int8("operation"), int8("permission_type"),
        ]),
    ]),
    Shape::of(ApiKey::DeleteAcls, 2, &[
        structs("filters", &[
            int8("resource_type_filter"), string("resource_name_filter").nullable(),
            int8("pattern_type_filter"), string("principal_filter").nullable(),
            string("host_filter").nullable(), int8("operation"), int8("permission_type"),
        ]),
    ]),
    Shape::of(ApiKey::DescribeConfigs, 4, &[
        structs("resources", &[
            int8("resource_type"), string("resource_name"),
            array("configuration_keys", STRING).nullable(),
        ]),
        boolean("include_synonyms"), boolean("include_documentation").since(3),
    ]),
    Shape::of(ApiKey::AlterConfigs, 2, &[
        structs("resources", &[
            int8("resource_type"), string("resource_name"),
            structs("configs", &[string("name"), string("value").nullable()]),
        ]),
        boolean("validate_only"),
    ]),
    Shape::of(ApiKey::AlterReplicaLogDirs, 2, &[
        structs("dirs", &[
            string("path"), structs("topics", &[string("name"), array("partitions", INT32)]),
        ]),
    ]),
    Shape::of(ApiKey::DescribeLogDirs, 2, &[
        structs("topics", &[string("topic"), array("partitions", INT32)]).nullable(),
    ]),
    Shape::of(ApiKey::SaslAuthenticate, 2, &[bytes("auth_bytes")]),
    Shape::of(ApiKey::CreatePartitions, 2, &[
        structs("topics", &[
            string("name"), int32("count"),
            structs("assignments", &[array("broker_ids", INT32)]).nullable(),
        ]),
        int32("timeout_ms"), boolean("validate_only"),
    ]),
    Shape::of(ApiKey::CreateDelegationToken, 2, &[
        string("owner_principal_type").nullable().since(3),
        string("owner_principal_name").nullable().since(3),
        structs("renewers", &[string("principal_type"), string("principal_name")]),
        int64("max_lifetime_ms"),
    ]),
    Shape::of(ApiKey::RenewDelegationToken, 2, &[bytes("hmac"), int64("renew_period_ms")]),
    Shape::of(ApiKey::ExpireDelegationToken, 2, &[bytes("hmac"), int64("expiry_time_period_ms")]),
    Shape::of(ApiKey::DescribeDelegationToken, 2, &[
        structs("owners", &[string("principal_type"), string("principal_name")]).nullable(),
    ]),
    Shape::of(ApiKey::DeleteGroups, 2, &[array("groups_names", STRING)]),
    Shape::of(ApiKey::ElectLeaders, 2, &[
        int8("election_type").since(1),
        structs("topic_partitions", &[string("topic"), array("partitions", INT32)]).nullable(),
        int32("timeout_ms"),
    ]),
    Shape::of(ApiKey::IncrementalAlterConfigs, 1, &[
        structs("resources", &[
            int8("resource_type"), string("resource_name"),
            structs("configs", &[
                string("name"), int8("config_operation"), string("value").nullable(),
            ]),
        ]),
        boolean("validate_only"),
    ]),
    Shape::of(ApiKey::AlterPartitionReassignments, 0, &[
        int32("timeout_ms"), boolean("allow_replication_factor_change").since(1),
        structs("topics", &[
            string("name"),
            structs("partitions", &[
                int32("partition_index"), array("replicas", INT32).nullable(),
            ]),
        ]),
    ]),
    Shape::of(ApiKey::ListPartitionReassignments, 0, &[
        int32("timeout_ms"),
        structs("topics", &[string("name"), array("partition_indexes", INT32)]).nullable(),
    ]),
    Shape::of(ApiKey::OffsetDelete, NEVER, &[
        string("group_id"),
        structs("topics", &[string("name"), structs("partitions", &[int32("partition_index")])]),
    ]),
    Shape::of(ApiKey::DescribeClientQuotas, 1, &[
        structs("components", &[
            string("entity_type"), int8("match_type"), string("match").nullable(),
        ]),
        boolean("strict"),
    ]),
    Shape::of(ApiKey::AlterClientQuotas, 1, &[
        structs("entries", &[
            structs("entity", &[string("entity_type"), string("entity_name").nullable()]),
            structs("ops", &[string("key"), float64("value"), boolean("remove")]),
        ]),
        boolean("validate_only"),
    ]),
    Shape::of(ApiKey::DescribeUserScramCredentials, 0, &[
        structs("users", &[string("name")]).nullable(),
    ]),
    Shape::of(ApiKey::AlterUserScramCredentials, 0, &[
        structs("deletions", &[string("name"), int8("mechanism")]),
        structs("upsertions", &[
            string("name"), int8("mechanism"), int32("iterations"), bytes("salt"),
            bytes("salted_password"),
        ]),
    ]),
    Shape::of(ApiKey::Vote, 0, &[
        string("cluster_id").nullable(), int32("voter_id").since(1),
        structs("topics", &[
            string("topic_name"),
            structs("partitions", &[
                int32("partition_index"), int32("replica_epoch"), int32("replica_id"),
                uuid("replica_directory_id").since(1), uuid("voter_directory_id").since(1),
                int32("last_offset_epoch"), int64("last_offset"), boolean("pre_vote").since(2),
            ]),
        ]),
    ]),
    Shape::of(ApiKey::BeginQuorumEpoch, 1, &[
        string("cluster_id").nullable(), int32("voter_id").since(1),
        structs("topics", &[
            string("topic_name"),
            structs("partitions", &[
                int32("partition_index"), uuid("voter_directory_id").since(1), int32("leader_id"),
                int32("leader_epoch"),
            ]),
        ]),
        structs("leader_endpoints", &[string("name"), string("host"), int16("port")]).since(1),
    ]),
    Shape::of(ApiKey::EndQuorumEpoch, 1, &[
        string("cluster_id").nullable(),
        structs("topics", &[
            string("topic_name"),
            structs("partitions", &[
                int32("partition_index"), int32("leader_id"), int32("leader_epoch"),
                array("preferred_successors", INT32).until(0),
                structs("preferred_candidates", &[
                    int32("candidate_id"), uuid("candidate_directory_id"),
                ]).since(1),
            ]),
        ]),
        structs("leader_endpoints", &[string("name"), string("host"), int16("port")]).since(1),
    ]),
    Shape::of(ApiKey::DescribeQuorum, 0, &[
        structs("topics", &[
            string("topic_name"), structs("partitions", &[int32("partition_index")]),
        ]),
    ]),
    Shape::of(ApiKey::AlterPartition, 2, &[
        int32("broker_id"), int64("broker_epoch"),
        structs("topics", &[
            uuid("topic_id"),
            structs("partitions", &[
                int32("partition_index"), int32("leader_epoch"), array("new_isr", INT32).until(2),
                structs("new_isr_with_epochs", &[
                    int32("broker_id"), int64("broker_epoch"),
                ]).since(3),
                int8("leader_recovery_state"), int32("partition_epoch"),
            ]),
        ]),
    ]),
    Shape::of(ApiKey::UpdateFeatures, 0, &[
        int32("timeout_ms"),
        structs("feature_updates", &[
            string("feature"), int16("max_version_level"), boolean("allow_downgrade").until(0),
            int8("upgrade_type").since(1),
        ]),
        boolean("validate_only").since(1),
    ]),
    Shape::of(ApiKey::Envelope, 0, &[
        bytes("request_data"), bytes("request_principal").nullable(),
        bytes("client_host_address"),
    ]),
    Shape::of(ApiKey::FetchSnapshot, 0, &[
        string("cluster_id").nullable().tag(0), int32("replica_id"), int32("max_bytes"),
        structs("topics", &[
            string("name"),
            structs("partitions", &[
                int32("partition"), int32("current_leader_epoch"),
                structure("snapshot_id", &[int64("end_offset"), int32("epoch")]),
                int64("position"), uuid("replica_directory_id").since(1).tag(0),
            ]),
        ]),
    ]),
    Shape::of(ApiKey::DescribeCluster, 0, &[
        boolean("include_cluster_authorized_operations"), int8("endpoint_type").since(1),
        boolean("include_fenced_brokers").since(2),
    ]),
    Shape::of(ApiKey::DescribeProducers, 0, &[
        structs("topics", &[string("name"), array("partition_indexes", INT32)]),
    ]),
    Shape::of(ApiKey::BrokerRegistration, 0, &[
        int32("broker_id"), string("cluster_id"), uuid("incarnation_id"),
        structs("listeners", &[
            string("name"), string("host"), int16("port"), int16("security_protocol"),
        ]),
        structs("features", &[
            string("name"), int16("min_supported_version"), int16("max_supported_version"),
        ]),
        string("rack").nullable(), boolean("is_migrating_zk_broker").since(1),
        array("log_dirs", UUID).since(2), int64("previous_broker_epoch").since(3),
    ]),
    Shape::of(ApiKey::BrokerHeartbeat, 0, &[
        int32("broker_id"), int64("broker_epoch"), int64("current_metadata_offset"),
        boolean("want_fence"), boolean("want_shut_down"),
        array("offline_log_dirs", UUID).since(1).tag(0),
        array("cordoned_log_dirs", UUID).nullable().since(2).tag(1),
    ]),
    Shape::of(ApiKey::UnregisterBroker, 0, &[int32("broker_id")]),
    Shape::of(ApiKey::DescribeTransactions, 0, &[array("transactional_ids", STRING)]),
    Shape::of(ApiKey::ListTransactions, 0, &[
        array("state_filters", STRING), array("producer_id_filters", INT64),
        int64("duration_filter").since(1), string("transactional_id_pattern").nullable().since(2),
    ]),
    Shape::of(ApiKey::AllocateProducerIds, 0, &[int32("broker_id"), int64("broker_epoch")]),
    Shape::of(ApiKey::ConsumerGroupHeartbeat, 0, &[
        string("group_id"), string("member_id"), int32("member_epoch"),
        string("instance_id").nullable(), string("rack_id").nullable(),
        int32("rebalance_timeout_ms"), array("subscribed_topic_names", STRING).nullable(),
        string("subscribed_topic_regex").nullable().since(1),
        string("server_assignor").nullable(),
        structs("topic_partitions", &[uuid("topic_id"), array("partitions", INT32)]).nullable(),
    ]),
    Shape::of(ApiKey::ConsumerGroupDescribe, 0, &[
        array("group_ids", STRING), boolean("include_authorized_operations"),
    ]),
    Shape::of(ApiKey::ControllerRegistration, 0, &[
        int32("controller_id"), uuid("incarnation_id"), boolean("zk_migration_ready"),
        structs("listeners", &[
            string("name"), string("host"), int16("port"), int16("security_protocol"),
        ]),
        structs("features", &[
            string("name"), int16("min_supported_version"), int16("max_supported_version"),
        ]),
    ]),
    Shape::of(ApiKey::AssignReplicasToDirs, 0, &[
        int32("broker_id"), int64("broker_epoch"),
        structs("directories", &[
            uuid("id"),
            structs("topics", &[
                uuid("topic_id"), structs("partitions", &[int32("partition_index")]),
            ]),
        ]),
    ]),
    Shape::of(ApiKey::ListConfigResources, 0, &[array("resource_types", INT8).since(1)]),
    Shape::of(ApiKey::DescribeTopicPartitions, 0, &[
        structs("topics", &[string("name")]), int32("response_partition_limit"),
        structure("cursor", &[string("topic_name"), int32("partition_index")]).nullable(),
    ]),
    Shape::of(ApiKey::ShareGroupHeartbeat, 1, &[
        string("group_id"), string("member_id"), int32("member_epoch"),
        string("rack_id").nullable(), array("subscribed_topic_names", STRING).nullable(),
    ]),
    Shape::of(ApiKey::ShareGroupDescribe, 1, &[
        array("group_ids", STRING), boolean("include_authorized_operations"),
    ]),
    Shape::of(ApiKey::ShareFetch, 1, &[
        string("group_id").nullable(), string("member_id").nullable(),
        int32("share_session_epoch"), int32("max_wait_ms"), int32("min_bytes"),
        int32("max_bytes"), int32("max_records"), int32("batch_size"),
        int8("share_acquire_mode").since(2), boolean("is_renew_ack").since(2),
        structs("topics", &[
            uuid("topic_id"),
            structs("partitions", &[
                int32("partition_index"),
                structs("acknowledgement_batches", &[
                    int64("first_offset"), int64("last_offset"), array("acknowledge_types", INT8),
                ]),
            ]),
        ]),
        structs("forgotten_topics_data", &[uuid("topic_id"), array("partitions", INT32)]),
    ]),
    Shape::of(ApiKey::ShareAcknowledge, 1, &[
        string("group_id").nullable(), string("member_id").nullable(),
        int32("share_session_epoch"), boolean("is_renew_ack").since(2),
        structs("topics", &[
            uuid("topic_id"),
            structs("partitions", &[
                int32("partition_index"),
                structs("acknowledgement_batches", &[
                    int64("first_offset"), int64("last_offset"), array("acknowledge_types", INT8),
                ]),
            ]),
        ]),
    ]),
    Shape::of(ApiKey::AddRaftVoter, 0, &[
        string("cluster_id").nullable(), int32("timeout_ms"), int32("voter_id"),
        uuid("voter_directory_id"),
        structs("listeners", &[string("name"), string("host"), int16("port")]),
        boolean("ack_when_committed").since(1),
    ]),
    Shape::of(ApiKey::RemoveRaftVoter, 0, &[
        string("cluster_id").nullable(), int32("voter_id"), uuid("voter_directory_id"),
    ]),
    Shape::of(ApiKey::UpdateRaftVoter, 0, &[
        string("cluster_id").nullable(), int32("current_leader_epoch"), int32("voter_id"),
        uuid("voter_directory_id"),
        structs("listeners", &[string("name"), string("host"), int16("port")]),
        structure("k_raft_version_feature", &[
            int16("min_supported_version"), int16("max_supported_version"),
        ]),
    ]),
    Shape::of(ApiKey::DescribeShareGroupOffsets, 0, &[
        structs("groups", &[
            string("group_id"),
            structs("topics", &[string("topic_name"), array("partitions", INT32)]).nullable(),
        ]),
    ]),
    Shape::of(ApiKey::AlterShareGroupOffsets, 0, &[
        string("group_id"),
        structs("topics", &[
            string("topic_name"),
            structs("partitions", &[int32("partition_index"), int64("start_offset")]),
        ]),
    ]),
    Shape::of(ApiKey::DeleteShareGroupOffsets, 0, &[
        string("group_id"), structs("topics", &[string("topic_name")]),
    ]),
];
