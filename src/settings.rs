//! Configuration: Kafka's own keys in Kafka's own file format, and YAKt's, which begin with `yakt.`.
//!
//! Everything is read, checked and typed once at start; the rest of the code sees [`Settings`] only.
//! Fields carry Kafka's key, snake-cased; times are in milliseconds and sizes in bytes as there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::ids::{BrokerId, Endpoint, Uuid};

/// All that can be configured, with Kafka's defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `node.id`.
    pub node_id: BrokerId,
    /// From `meta.properties` of the metadata directory.
    pub cluster_id: String,
    /// From `meta.properties` of the metadata directory: the other half of this voter's identity.
    pub directory_id: Uuid,
    /// `metadata.log.dir`, else the first of `log.dirs`.
    pub metadata_log_dir: PathBuf,
    /// `listeners`: where the Kafka listener binds, by listener name.
    pub listeners: Vec<Endpoint>,
    /// `advertised.listeners`, if set: how others reach this node.
    pub advertised_listeners: Vec<Endpoint>,
    /// `controller.listener.names`, upper case; the first is what brokers look up.
    pub controller_listener_names: Vec<String>,
    /// `controller.quorum.voters`: id and address. Empty where the quorum is found by bootstrap servers.
    pub controller_quorum_voters: Vec<(BrokerId, String, u16)>,
    /// `controller.quorum.bootstrap.servers`.
    pub controller_quorum_bootstrap_servers: Vec<(String, u16)>,
    /// `controller.quorum.fetch.timeout.ms`: check-quorum counts in it.
    pub controller_quorum_fetch_timeout_ms: i64,
    /// Raft heartbeat interval; from `controller.quorum.election.timeout.ms` where that is set.
    pub raft_heartbeat_ms: u64,
    /// Raft election timeout, least.
    pub raft_election_min_ms: u64,
    /// Raft election timeout, most.
    pub raft_election_max_ms: u64,
    /// `broker.session.timeout.ms`.
    pub broker_session_timeout_ms: i64,
    /// `broker.heartbeat.interval.ms`.
    pub broker_heartbeat_interval_ms: i64,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `min.insync.replicas`.
    pub min_insync_replicas: i32,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election_enable: bool,
    /// `auto.leader.rebalance.enable`.
    pub auto_leader_rebalance_enable: bool,
    /// `leader.imbalance.check.interval.seconds`.
    pub leader_imbalance_check_interval_seconds: i64,
    /// `leader.imbalance.per.broker.percentage`.
    pub leader_imbalance_per_broker_percentage: i32,
    /// `offsets.topic.num.partitions`, default 50.
    pub offsets_topic_num_partitions: i32,
    /// `offsets.topic.replication.factor` where set; else min(3, live brokers).
    pub offsets_topic_replication_factor: Option<i16>,
    /// `transaction.state.log.num.partitions`, default 50.
    pub transaction_state_log_num_partitions: i32,
    /// `transaction.state.log.replication.factor` where set; else min(3, live brokers).
    pub transaction_state_log_replication_factor: Option<i16>,
    /// `share.coordinator.state.topic.num.partitions`, default 50.
    pub share_coordinator_state_topic_num_partitions: i32,
    /// `share.coordinator.state.topic.replication.factor` where set; else min(3, live brokers).
    pub share_coordinator_state_topic_replication_factor: Option<i16>,
    /// `metadata.max.idle.interval.ms`: a NoOp after that long without a record; 0: never.
    pub metadata_max_idle_interval_ms: i64,
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub metadata_log_max_record_bytes_between_snapshots: u64,
    /// `metadata.log.max.snapshot.interval.ms`; 0: never by time.
    pub metadata_log_max_snapshot_interval_ms: i64,
    /// `yakt.history.retention.ms`; -1: all, 0: only what the newest snapshot but one needs.
    pub yakt_history_retention_ms: i64,
    /// `yakt.history.retention.bytes`; -1: no bound.
    pub yakt_history_retention_bytes: i64,
    /// `yakt.http.listeners`: addresses as `host:port`; empty: no HTTP.
    pub yakt_http_listeners: Vec<String>,
    /// `yakt.http.writes`: whether HTTP may write; by default only on loopback.
    pub yakt_http_writes: bool,
    /// Every key of the file, the environment and the overrides as it was given, for DescribeConfigs.
    pub given: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        let listener = Endpoint {
            name: "CONTROLLER".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 9093,
        };
        Self {
            node_id: BrokerId(3000),
            cluster_id: String::new(),
            directory_id: Uuid::nil(),
            metadata_log_dir: PathBuf::from("yakt-data"),
            listeners: vec![listener],
            advertised_listeners: Vec::new(),
            controller_listener_names: vec!["CONTROLLER".to_owned()],
            controller_quorum_voters: Vec::new(),
            controller_quorum_bootstrap_servers: Vec::new(),
            controller_quorum_fetch_timeout_ms: 2_000,
            raft_heartbeat_ms: 60,
            raft_election_min_ms: 200,
            raft_election_max_ms: 350,
            broker_session_timeout_ms: 9_000,
            broker_heartbeat_interval_ms: 2_000,
            num_partitions: 1,
            default_replication_factor: 1,
            min_insync_replicas: 1,
            unclean_leader_election_enable: false,
            auto_leader_rebalance_enable: true,
            leader_imbalance_check_interval_seconds: 300,
            leader_imbalance_per_broker_percentage: 10,
            offsets_topic_num_partitions: 50,
            offsets_topic_replication_factor: None,
            transaction_state_log_num_partitions: 50,
            transaction_state_log_replication_factor: None,
            share_coordinator_state_topic_num_partitions: 50,
            share_coordinator_state_topic_replication_factor: None,
            metadata_max_idle_interval_ms: 500,
            metadata_log_max_record_bytes_between_snapshots: 20 * 1024 * 1024,
            metadata_log_max_snapshot_interval_ms: 3_600_000,
            yakt_history_retention_ms: 7 * 24 * 3_600_000,
            yakt_history_retention_bytes: 1 << 30,
            yakt_http_listeners: vec!["127.0.0.1:5012".to_owned()],
            yakt_http_writes: true,
            given: BTreeMap::new(),
        }
    }
}
