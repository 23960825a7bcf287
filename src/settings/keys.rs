//! THE TABLE of keys: name, what may stand there, what it does, and where it goes in [`Settings`].
//!
//! From the same rows come parsing, the names of environment variables and the list of keys that
//! `yakt run --help` prints. A key that is not here is either Kafka's (named once at start and
//! ignored) or a mistake (`yakt.` keys: the start stops).

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::{Settings, listeners};
use crate::ids::BrokerId;

/// A key that YAKt knows.
pub struct Key {
    /// As it stands in a properties file.
    pub name: &'static str,
    /// What may stand there, and the setter.
    pub kind: Kind,
    /// One line for people.
    pub about: &'static str,
}

/// What a value may be, with the function that stores it.
pub enum Kind {
    /// A whole number in this range.
    Number(RangeInclusive<i64>, fn(&mut Settings, i64)),
    /// `true` or `false`.
    Flag(fn(&mut Settings, bool)),
    /// Anything that the function accepts; its error says what is allowed.
    Text(fn(&mut Settings, &str) -> Result<(), String>),
}

impl Key {
    const fn number(
        name: &'static str,
        range: RangeInclusive<i64>,
        set: fn(&mut Settings, i64),
        about: &'static str,
    ) -> Self {
        Self {
            name,
            kind: Kind::Number(range, set),
            about,
        }
    }

    const fn flag(name: &'static str, set: fn(&mut Settings, bool), about: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Flag(set),
            about,
        }
    }

    const fn text(
        name: &'static str,
        set: fn(&mut Settings, &str) -> Result<(), String>,
        about: &'static str,
    ) -> Self {
        Self {
            name,
            kind: Kind::Text(set),
            about,
        }
    }

    /// Stores the value. The error names key, value and what is allowed.
    pub fn set(&self, settings: &mut Settings, value: &str) -> Result<(), String> {
        let value = value.trim();
        self.try_set(settings, value)
            .map_err(|allowed| format!("{}={value}: {allowed}", self.name))
    }

    fn try_set(&self, settings: &mut Settings, value: &str) -> Result<(), String> {
        match &self.kind {
            Kind::Number(range, set) => {
                let number = value.parse().ok().filter(|number| range.contains(number));
                set(settings, number.ok_or_else(|| self.allowed())?);
            }
            Kind::Flag(set) => match value.to_ascii_lowercase().as_str() {
                "true" => set(settings, true),
                "false" => set(settings, false),
                _ => return Err(self.allowed()),
            },
            Kind::Text(set) => set(settings, value)?,
        }
        Ok(())
    }

    /// What may stand there, as a sentence.
    pub fn allowed(&self) -> String {
        match &self.kind {
            Kind::Number(range, _) => match (*range.start(), *range.end()) {
                (least, LONG_MAX) => format!("it must be a whole number of at least {least}"),
                (least, most) => format!("it must be a whole number from {least} to {most}"),
            },
            Kind::Flag(_) => "it must be true or false".to_owned(),
            Kind::Text(_) => "it must be text of the form that Kafka documents".to_owned(),
        }
    }

    /// The environment variable that sets this key: `KAFKA_NODE_ID` for `node.id`,
    /// `YAKT_HTTP_LISTENERS` for `yakt.http.listeners`, as Kafka's container image spells them.
    pub fn environment_name(&self) -> String {
        let mut name = String::new();
        if !self.name.starts_with("yakt.") {
            name.push_str("KAFKA_");
        }
        for letter in self.name.chars() {
            match letter {
                '.' => name.push('_'),
                '_' => name.push_str("__"),
                '-' => name.push_str("___"),
                other => name.push(other.to_ascii_uppercase()),
            }
        }
        name
    }
}

/// The row of this key, if YAKt has a use for it.
pub fn find(name: &str) -> Option<&'static Key> {
    TABLE.iter().find(|key| key.name == name)
}

const INT_MAX: i64 = i32::MAX as i64;
const SHORT_MAX: i64 = i16::MAX as i64;
const LONG_MAX: i64 = i64::MAX;
/// The shortest election time-out that still leaves raft whole milliseconds to work with.
const ELECTION_TIMEOUT_MS_MIN: i64 = 60;

/// The table, in the order in which people think of the keys.
#[rustfmt::skip]
pub static TABLE: &[Key] = &[
    Key::text("process.roles", |_, value| match value {
        "controller" => Ok(()),
        _ => Err("YAKt is a controller; it must be controller, and brokers run beside it".to_owned()),
    }, "always controller"),
    Key::number("node.id", 0..=INT_MAX, |settings, value| settings.node_id = BrokerId(value as i32),
        "this node's id; brokers may not use it"),
    Key::text("controller.quorum.voters", |settings, value| {
        settings.controller_quorum_voters = listeners::parse_voters(value)?;
        Ok(())
    }, "all voters as id@host:port,..."),
    Key::text("controller.quorum.bootstrap.servers", |settings, value| {
        settings.controller_quorum_bootstrap_servers = listeners::parse_servers(value)?;
        Ok(())
    }, "where other controllers are found, as host:port,..."),
    Key::text("controller.listener.names", |settings, value| {
        settings.controller_listener_names = listeners::parse_names(value)?;
        Ok(())
    }, "names of the controller listeners; brokers use the first"),
    Key::text("listeners", |settings, value| {
        settings.listeners = listeners::parse_listeners(value)?;
        Ok(())
    }, "where the Kafka listener binds, as NAME://host:port; no host: all interfaces"),
    Key::text("advertised.listeners", |settings, value| {
        settings.advertised_listeners = listeners::parse_advertised(value)?;
        Ok(())
    }, "how brokers, clients and the other controllers reach this node"),
    Key::text("listener.security.protocol.map", |settings, value| {
        settings.listener_security_protocol_map = Some(listeners::parse_protocols(value)?);
        Ok(())
    }, "protocol of each listener; this version speaks PLAINTEXT"),
    Key::text("log.dirs", |settings, value| {
        settings.log_dirs = value.split(',').map(str::trim).filter(|dir| !dir.is_empty()).map(PathBuf::from).collect();
        if settings.log_dirs.is_empty() { Err("it must name at least one directory".to_owned()) } else { Ok(()) }
    }, "data directories; the metadata goes into the first"),
    Key::text("log.dir", |settings, value| {
        if settings.log_dirs.is_empty() { settings.log_dirs = vec![PathBuf::from(value)]; }
        Ok(())
    }, "the data directory where log.dirs is not set"),
    Key::text("metadata.log.dir", |settings, value| {
        settings.metadata_log_dir = PathBuf::from(value);
        if value.is_empty() { Err("it must name a directory".to_owned()) } else { Ok(()) }
    }, "directory of the metadata, if not the first of log.dirs"),

    Key::number("controller.quorum.election.timeout.ms", ELECTION_TIMEOUT_MS_MIN..=INT_MAX, |settings, value| {
        settings.raft_heartbeat_ms = value as u64 / 6;
        settings.raft_election_min_ms = value as u64 / 2;
        settings.raft_election_max_ms = value as u64;
    }, "longest silence of a leader before an election; unset: 350, and 200 at least"),
    Key::number("controller.quorum.fetch.timeout.ms", 1..=INT_MAX, |settings, value| settings.controller_quorum_fetch_timeout_ms = value,
        "a leader that no majority answered for 1.5 times this stops answering"),
    Key::number("controller.quorum.request.timeout.ms", 1..=INT_MAX, |settings, value| settings.controller_quorum_request_timeout_ms = value,
        "how long adding or removing a voter may take"),
    Key::flag("controller.quorum.auto.join.enable", |settings, value| settings.controller_quorum_auto_join_enable = value,
        "a controller that is no voter yet adds itself"),

    Key::number("broker.session.timeout.ms", 1..=INT_MAX, |settings, value| settings.broker_session_timeout_ms = value,
        "a broker silent for this long is fenced"),
    Key::number("broker.heartbeat.interval.ms", 1..=INT_MAX, |settings, value| settings.broker_heartbeat_interval_ms = value,
        "how often brokers send heartbeats"),
    Key::number("num.partitions", 1..=INT_MAX, |settings, value| settings.num_partitions = value as i32,
        "partitions of a topic that does not say how many"),
    Key::number("default.replication.factor", 1..=SHORT_MAX, |settings, value| settings.default_replication_factor = value as i16,
        "replicas of a topic that does not say how many"),
    Key::number("min.insync.replicas", 1..=INT_MAX, |settings, value| settings.min_insync_replicas = value as i32,
        "default of the topic configuration of that name"),
    Key::flag("unclean.leader.election.enable", |settings, value| settings.unclean_leader_election_enable = value,
        "whether a replica that is not in sync may lead, where the topic does not say"),
    Key::number("unclean.leader.election.interval.ms", 1..=LONG_MAX, |settings, value| settings.unclean_leader_election_interval_ms = value,
        "how often partitions are searched that only an unclean election can help"),
    Key::flag("auto.leader.rebalance.enable", |settings, value| settings.auto_leader_rebalance_enable = value,
        "whether leadership goes back to preferred replicas by itself"),
    Key::number("leader.imbalance.check.interval.seconds", 1..=INT_MAX, |settings, value| settings.leader_imbalance_check_interval_seconds = value,
        "how often that is looked at"),
    Key::number("leader.imbalance.per.broker.percentage", 0..=100, |settings, value| settings.leader_imbalance_per_broker_percentage = value as i32,
        "share of a broker's partitions led elsewhere that is tolerated"),
    Key::flag("delete.topic.enable", |settings, value| settings.delete_topic_enable = value,
        "whether topics may be deleted"),
    Key::number("offsets.topic.num.partitions", 1..=INT_MAX, |settings, value| settings.offsets_topic_num_partitions = value as i32,
        "partitions of __consumer_offsets"),
    Key::number("offsets.topic.replication.factor", 1..=SHORT_MAX, |settings, value| settings.offsets_topic_replication_factor = Some(value as i16),
        "its replicas; unset: three, or as many as brokers are alive"),
    Key::number("transaction.state.log.num.partitions", 1..=INT_MAX, |settings, value| settings.transaction_state_log_num_partitions = value as i32,
        "partitions of __transaction_state"),
    Key::number("transaction.state.log.replication.factor", 1..=SHORT_MAX, |settings, value| settings.transaction_state_log_replication_factor = Some(value as i16),
        "its replicas; unset: three, or as many as brokers are alive"),
    Key::number("share.coordinator.state.topic.num.partitions", 1..=INT_MAX, |settings, value| settings.share_coordinator_state_topic_num_partitions = value as i32,
        "partitions of __share_group_state"),
    Key::number("share.coordinator.state.topic.replication.factor", 1..=SHORT_MAX, |settings, value| settings.share_coordinator_state_topic_replication_factor = Some(value as i16),
        "its replicas; unset: three, or as many as brokers are alive"),

    Key::number("metadata.max.idle.interval.ms", 0..=INT_MAX, |settings, value| settings.metadata_max_idle_interval_ms = value,
        "a NoOp record is written after this long without a record; 0: never"),
    Key::number("metadata.log.max.record.bytes.between.snapshots", 1..=LONG_MAX, |settings, value| settings.metadata_log_max_record_bytes_between_snapshots = value as u64,
        "a snapshot is made after this many bytes of records"),
    Key::number("metadata.log.max.snapshot.interval.ms", 0..=LONG_MAX, |settings, value| settings.metadata_log_max_snapshot_interval_ms = value,
        "a snapshot is made after this long, if anything changed; 0: only by size"),

    Key::number("socket.request.max.bytes", 1..=INT_MAX, |settings, value| settings.socket_request_max_bytes = value as i32,
        "a longer frame closes its connection"),
    Key::number("connections.max.idle.ms", -1..=LONG_MAX, |settings, value| settings.connections_max_idle_ms = value,
        "a connection silent for this long is closed; -1: never"),
    Key::number("max.connections", 0..=INT_MAX, |settings, value| settings.max_connections = value as i32,
        "most connections of the Kafka listener"),

    Key::text("yakt.http.listeners", |settings, value| {
        settings.yakt_http_listeners = listeners::parse_http(value)?;
        Ok(())
    }, "where the HTTP listener binds, as http://host:port,...; empty: no HTTP"),
    Key::flag("yakt.http.writes", |settings, value| settings.yakt_http_writes = value,
        "whether HTTP may write; unset: only where all its listeners are on loopback"),
    Key::number("yakt.history.retention.ms", -1..=LONG_MAX, |settings, value| settings.yakt_history_retention_ms = value,
        "how long history is kept; 0: only what the newest snapshot but one needs, -1: for ever"),
    Key::number("yakt.history.retention.bytes", -1..=LONG_MAX, |settings, value| settings.yakt_history_retention_bytes = value,
        "how much history is kept; -1: no bound"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_names_are_unique_and_spelled_as_kafkas_image_does() {
        let names: std::collections::BTreeSet<String> =
            TABLE.iter().map(Key::environment_name).collect();
        assert_eq!(names.len(), TABLE.len());
        assert!(names.contains("KAFKA_CONTROLLER_QUORUM_BOOTSTRAP_SERVERS"));
        assert!(names.contains("YAKT_HTTP_LISTENERS"));
    }

    #[test]
    fn every_row_says_what_it_does_and_refuses_nonsense() {
        for key in TABLE {
            assert!(!key.about.is_empty(), "{}", key.name);
            if matches!(key.kind, Kind::Number(..) | Kind::Flag(_)) {
                let refused = key
                    .set(&mut Settings::default(), "soon")
                    .expect_err(key.name);
                assert_eq!(refused, format!("{}=soon: {}", key.name, key.allowed()));
            }
        }
    }
}
