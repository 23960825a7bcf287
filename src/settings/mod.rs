//! Configuration: Kafka's own keys in Kafka's own file format, and YAKt's, which begin with `yakt.`.
//!
//! Everything is read, checked and typed once at start; the rest of the code sees [`Settings`] only.
//! Fields carry Kafka's key, snake-cased; times are in milliseconds and sizes in bytes as there.
//!
//! Order: the file, then the environment, then overrides; the later one wins. [`keys::TABLE`] says
//! which keys there are.

pub mod keys;
pub mod listeners;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::ids::{BrokerId, Endpoint, Uuid};
use keys::Key;
use listeners::{PLAINTEXT, ProtocolMap, is_loopback, join, protocol_of};

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
    /// `log.dirs`: all directories that `format` prepares. YAKt itself keeps its data in
    /// [`Self::metadata_log_dir`].
    pub log_dirs: Vec<PathBuf>,
    /// `listeners`: where the Kafka listener binds, by listener name. An empty host: all interfaces.
    pub listeners: Vec<Endpoint>,
    /// `advertised.listeners`, if set: how others reach this node.
    pub advertised_listeners: Vec<Endpoint>,
    /// `listener.security.protocol.map`, if set, by listener name.
    pub listener_security_protocol_map: Option<ProtocolMap>,
    /// `controller.listener.names`, upper case; the first is what brokers look up.
    pub controller_listener_names: Vec<String>,
    /// `controller.quorum.voters`: id and address. Empty where the quorum is found by bootstrap servers.
    pub controller_quorum_voters: Vec<(BrokerId, String, u16)>,
    /// `controller.quorum.bootstrap.servers`.
    pub controller_quorum_bootstrap_servers: Vec<(String, u16)>,
    /// `controller.quorum.fetch.timeout.ms`: check-quorum counts in it.
    pub controller_quorum_fetch_timeout_ms: i64,
    /// `controller.quorum.request.timeout.ms`: how long adding or removing a voter may take.
    pub controller_quorum_request_timeout_ms: i64,
    /// `controller.quorum.auto.join.enable`: a controller that is no voter yet adds itself.
    pub controller_quorum_auto_join_enable: bool,
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
    /// `unclean.leader.election.interval.ms`.
    pub unclean_leader_election_interval_ms: i64,
    /// `auto.leader.rebalance.enable`.
    pub auto_leader_rebalance_enable: bool,
    /// `leader.imbalance.check.interval.seconds`.
    pub leader_imbalance_check_interval_seconds: i64,
    /// `leader.imbalance.per.broker.percentage`.
    pub leader_imbalance_per_broker_percentage: i32,
    /// `delete.topic.enable`.
    pub delete_topic_enable: bool,
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
    /// `socket.request.max.bytes`: a longer frame closes its connection.
    pub socket_request_max_bytes: i32,
    /// `connections.max.idle.ms`; -1: never.
    pub connections_max_idle_ms: i64,
    /// `max.connections` of the Kafka listener.
    pub max_connections: i32,
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
    /// What the start tells about this configuration, once: keys without use, derived times.
    pub notes: Vec<String>,
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
            log_dirs: vec![PathBuf::from("yakt-data")],
            listeners: vec![listener],
            advertised_listeners: Vec::new(),
            listener_security_protocol_map: None,
            controller_listener_names: vec!["CONTROLLER".to_owned()],
            controller_quorum_voters: Vec::new(),
            controller_quorum_bootstrap_servers: Vec::new(),
            controller_quorum_fetch_timeout_ms: 2_000,
            controller_quorum_request_timeout_ms: 2_000,
            controller_quorum_auto_join_enable: false,
            raft_heartbeat_ms: 60,
            raft_election_min_ms: 200,
            raft_election_max_ms: 350,
            broker_session_timeout_ms: 9_000,
            broker_heartbeat_interval_ms: 2_000,
            num_partitions: 1,
            default_replication_factor: 1,
            min_insync_replicas: 1,
            unclean_leader_election_enable: false,
            unclean_leader_election_interval_ms: 300_000,
            auto_leader_rebalance_enable: true,
            leader_imbalance_check_interval_seconds: 300,
            leader_imbalance_per_broker_percentage: 10,
            delete_topic_enable: true,
            offsets_topic_num_partitions: 50,
            offsets_topic_replication_factor: None,
            transaction_state_log_num_partitions: 50,
            transaction_state_log_replication_factor: None,
            share_coordinator_state_topic_num_partitions: 50,
            share_coordinator_state_topic_replication_factor: None,
            metadata_max_idle_interval_ms: 500,
            metadata_log_max_record_bytes_between_snapshots: 20 * 1024 * 1024,
            metadata_log_max_snapshot_interval_ms: 3_600_000,
            socket_request_max_bytes: 100 * 1024 * 1024,
            connections_max_idle_ms: 600_000,
            max_connections: i32::MAX,
            yakt_history_retention_ms: 7 * 24 * 3_600_000,
            yakt_history_retention_bytes: 1 << 30,
            yakt_http_listeners: vec!["127.0.0.1:5012".to_owned()],
            yakt_http_writes: true,
            given: BTreeMap::new(),
            notes: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads a properties file (none: the embedded defaults), the environment and `key=value`
    /// overrides. The error is one sentence that names the key, the value and what is allowed.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &[String],
    ) -> anyhow::Result<Self> {
        let mut given = match file {
            Some(path) => read_file(path)?,
            None => BTreeMap::new(),
        };
        given.extend(from_environment(environment));
        for text in overrides {
            let (key, value) = text
                .split_once('=')
                .with_context(|| format!("--override {text}: it must be key=value"))?;
            given.insert(key.trim().to_owned(), value.to_owned());
        }
        Self::from_given(given)
    }

    /// Types and checks these keys, and fills in what follows from them.
    pub fn from_given(given: BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut settings = Self {
            given,
            ..Self::default()
        };
        let given = settings.given.clone();
        if let Some(unknown) = given
            .keys()
            .find(|key| is_ours(key) && keys::find(key).is_none())
        {
            let known: Vec<&str> = keys::TABLE
                .iter()
                .map(|key| key.name)
                .filter(|key| is_ours(key))
                .collect();
            let value = &given[unknown];
            bail!(
                "{unknown}={value}: there is no such key; known are {}",
                known.join(", ")
            );
        }
        if given.contains_key("log.dirs") || given.contains_key("log.dir") {
            settings.log_dirs.clear();
        }
        for key in keys::TABLE {
            if let Some(value) = given.get(key.name) {
                key.set(&mut settings, value).map_err(anyhow::Error::msg)?;
            }
        }
        settings.derive();
        settings.check_listeners()?;
        settings.check_quorum()?;
        settings.take_notes();
        Ok(settings)
    }

    /// Values that follow from others where they are not set themselves.
    fn derive(&mut self) {
        if !self.given.contains_key("metadata.log.dir") {
            self.metadata_log_dir.clone_from(&self.log_dirs[0]);
        }
        if !self.given.contains_key("yakt.http.writes") {
            self.yakt_http_writes = self
                .yakt_http_listeners
                .iter()
                .all(|address| is_loopback(address));
        }
    }

    /// `KafkaConfig.validateValues` for a node that is a controller only, 4.3.1.
    fn check_listeners(&self) -> anyhow::Result<()> {
        let names = &self.controller_listener_names;
        let first = &names[0];
        ensure!(
            self.listeners
                .iter()
                .any(|listener| listener.name == *first),
            "controller.listener.names={}: its first name must be one of listeners",
            names.join(",")
        );
        for listener in self.listeners.iter().chain(&self.advertised_listeners) {
            ensure!(
                names.contains(&listener.name),
                "listeners={}: a controller may only have listeners that controller.listener.names names",
                listener.name
            );
        }
        for listener in &self.listeners {
            let map = self.listener_security_protocol_map.as_ref();
            match protocol_of(&listener.name, map, names) {
                Some(PLAINTEXT) => {}
                Some(protocol) => bail!(
                    "listener.security.protocol.map={}:{protocol}: this version speaks {PLAINTEXT} only",
                    listener.name
                ),
                None => bail!(
                    "listener.security.protocol.map: it must say which protocol {} speaks",
                    listener.name
                ),
            }
        }
        Ok(())
    }

    fn check_quorum(&self) -> anyhow::Result<()> {
        let voters = &self.controller_quorum_voters;
        if !voters.is_empty() && !voters.iter().any(|(id, ..)| *id == self.node_id) {
            bail!(
                "node.id={}: it must be one of controller.quorum.voters={}",
                self.node_id.0,
                self.given
                    .get("controller.quorum.voters")
                    .map_or("", String::as_str)
            );
        }
        let least = 3 * self.raft_heartbeat_ms as i64;
        ensure!(
            self.controller_quorum_fetch_timeout_ms >= least,
            "controller.quorum.fetch.timeout.ms={}: it must be at least {least}, three heartbeats of the quorum",
            self.controller_quorum_fetch_timeout_ms
        );
        Ok(())
    }

    fn take_notes(&mut self) {
        if let Some(timeout) = self.given.get("controller.quorum.election.timeout.ms") {
            self.notes.push(format!(
                "controller.quorum.election.timeout.ms={timeout}: the leader sends a heartbeat every {} ms, \
                 and an election begins after {} to {} ms of silence",
                self.raft_heartbeat_ms, self.raft_election_min_ms, self.raft_election_max_ms
            ));
        }
        if self.broker_heartbeat_interval_ms > self.broker_session_timeout_ms / 2 {
            self.notes.push(format!(
                "broker.heartbeat.interval.ms={} should be at most half of broker.session.timeout.ms={}",
                self.broker_heartbeat_interval_ms, self.broker_session_timeout_ms
            ));
        }
        if self.given.contains_key("authorizer.class.name") {
            self.notes.push(
                "authorizer.class.name is set, but this version lets everybody do everything: \
                 keep strangers away from its listeners"
                    .to_owned(),
            );
        }
        let unused: Vec<&str> = self
            .given
            .keys()
            .map(String::as_str)
            .filter(|key| keys::find(key).is_none())
            .collect();
        if !unused.is_empty() {
            self.notes.push(format!(
                "ignored, since YAKt has no use for them: {}",
                unused.join(", ")
            ));
        }
    }

    /// How others reach this node's controller listener: `advertised.listeners`, else `listeners`.
    /// An empty host: by the interface they came in on.
    pub fn controller_endpoint(&self) -> &Endpoint {
        let name = &self.controller_listener_names[0];
        let all = self.advertised_listeners.iter().chain(&self.listeners);
        all.into_iter()
            .find(|listener| listener.name == *name)
            .expect("check_listeners found the first controller listener among listeners")
    }

    /// What brokers put into `controller.quorum.bootstrap.servers` to find this node.
    pub fn bootstrap_server(&self) -> String {
        let endpoint = self.controller_endpoint();
        let unspecified = endpoint.host.is_empty()
            || endpoint
                .host
                .parse()
                .is_ok_and(|host: std::net::IpAddr| host.is_unspecified());
        join(
            if unspecified {
                "localhost"
            } else {
                &endpoint.host
            },
            endpoint.port,
        )
    }
}

fn is_ours(key: &str) -> bool {
    key.starts_with("yakt.")
}

fn read_file(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse_properties(&text).with_context(|| format!("cannot read {}", path.display()))
}

/// Reads the text of a Java properties file. Of a key that stands twice the last value counts.
pub fn parse_properties(text: &[u8]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    java_properties::PropertiesIter::new(text).read_into(|key, value| {
        found.insert(key, value);
    })?;
    Ok(found)
}

/// The known keys that the environment sets. Everything else in it is none of our business:
/// Kubernetes, for one, injects `YAKT_PORT` and the like.
fn from_environment(
    environment: impl IntoIterator<Item = (String, String)>,
) -> BTreeMap<String, String> {
    let keys: BTreeMap<String, &Key> = keys::TABLE
        .iter()
        .map(|key| (key.environment_name(), key))
        .collect();
    let known = |(name, value)| keys.get(&name).map(|key| (key.name.to_owned(), value));
    environment.into_iter().filter_map(known).collect()
}

#[cfg(test)]
mod tests;
