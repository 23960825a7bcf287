//! The configuration keys of Kafka 4.3.1: one row per key, taken from the definitions that Kafka
//! itself parses with (`LogConfig`, `AbstractKafkaConfig`, `GroupConfig`, `ClientMetricsConfigs`).
//!
//! Broker keys carry no [`Check`]: Kafka's controller stores what it is given for a broker, and the
//! broker that forwards the request has validated it.

mod broker;

pub use broker::BROKER;

use crate::ids::ConfigKind;

/// What a value is, as DescribeConfigs numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Type {
    /// `true` or `false`, in any case.
    Boolean = 1,
    /// Any text, trimmed.
    String = 2,
    /// 32 bits.
    Int = 3,
    /// 16 bits.
    Short = 4,
    /// 64 bits.
    Long = 5,
    /// A floating-point number.
    Double = 6,
    /// Texts with commas between them.
    List = 7,
    /// Name of a Java class.
    Class = 8,
    /// Never shown.
    Password = 9,
}

/// What a value must be beyond its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Anything of the type.
    Any,
    /// A number, this one or more.
    AtLeast(i64),
    /// A number between these two, both included.
    Between(i64, i64),
    /// From 1 to 9, or -1 for the default.
    GzipLevel,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A list of some of these texts, none twice.
    EachOf(&'static [&'static str]),
    /// A list without empty or repeated elements.
    Distinct,
    /// `*`, or a list of `partition:broker`.
    Replicas,
    /// `latest`, `earliest`, or `by_duration:` and an ISO 8601 duration.
    OffsetReset,
}

/// Whether a broker key can be changed while the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Only by a restart.
    ReadOnly,
    /// For one broker at a time.
    PerBroker,
    /// For one broker or for all.
    ClusterWide,
}

/// A broker key that stands behind a key of a topic or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// Its name.
    pub name: &'static str,
    /// What its value is multiplied by, for example hours to milliseconds.
    pub factor: i64,
}

/// One configuration key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Type of its values.
    pub kind: Type,
    /// The default as text; `None` if there is none.
    pub default: Option<&'static str>,
    /// What values must be.
    pub check: Check,
    /// Shown only where it was set.
    pub internal: bool,
    /// Whether it can change without a restart; for broker keys.
    pub update: Update,
    /// The broker keys that say what holds where a topic or group sets nothing, best first.
    pub behind: &'static [Synonym],
}

impl Key {
    /// Whether its values are never shown.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Type::Password
    }
}

/// The keys that a kind of resource has.
pub fn of(kind: ConfigKind) -> &'static [Key] {
    match kind {
        ConfigKind::Topic => TOPIC,
        ConfigKind::Broker => BROKER,
        ConfigKind::ClientMetrics => CLIENT_METRICS,
        ConfigKind::Group => GROUP,
    }
}

/// The row of this name in a table ordered by name.
pub fn find(table: &'static [Key], name: &str) -> Option<&'static Key> {
    let place = table.binary_search_by(|key| key.name.cmp(name)).ok()?;
    Some(&table[place])
}

const COMPRESSION: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
const LONG_MAX: &str = "9223372036854775807";

/// Keys of topics, by name.
pub const TOPIC: &[Key] = &[
    list("cleanup.policy", Some("delete"))
        .check(Check::EachOf(&["compact", "delete"]))
        .behind(&[same("log.cleanup.policy")]),
    int("compression.gzip.level", Some("-1"))
        .check(Check::GzipLevel)
        .behind(&[same("compression.gzip.level")]),
    int("compression.lz4.level", Some("9"))
        .between(1, 17)
        .behind(&[same("compression.lz4.level")]),
    string("compression.type", Some("producer"))
        .check(Check::OneOf(COMPRESSION))
        .behind(&[same("compression.type")]),
    int("compression.zstd.level", Some("3"))
        .between(-131_072, 22)
        .behind(&[same("compression.zstd.level")]),
    long("delete.retention.ms", Some("86400000"))
        .at_least(0)
        .behind(&[same("log.cleaner.delete.retention.ms")]),
    long("file.delete.delay.ms", Some("60000"))
        .at_least(0)
        .behind(&[same("log.segment.delete.delay.ms")]),
    long("flush.messages", Some(LONG_MAX))
        .at_least(1)
        .behind(&[same("log.flush.interval.messages")]),
    long("flush.ms", Some(LONG_MAX)).at_least(0).behind(&[
        same("log.flush.interval.ms"),
        same("log.flush.scheduler.interval.ms"),
    ]),
    list("follower.replication.throttled.replicas", Some("")).check(Check::Replicas),
    int("index.interval.bytes", Some("4096"))
        .at_least(0)
        .behind(&[same("log.index.interval.bytes")]),
    int("internal.segment.bytes", None).internal(),
    list("leader.replication.throttled.replicas", Some("")).check(Check::Replicas),
    long("local.retention.bytes", Some("-2"))
        .at_least(-2)
        .behind(&[same("log.local.retention.bytes")]),
    long("local.retention.ms", Some("-2"))
        .at_least(-2)
        .behind(&[same("log.local.retention.ms")]),
    long("max.compaction.lag.ms", Some(LONG_MAX))
        .at_least(1)
        .behind(&[same("log.cleaner.max.compaction.lag.ms")]),
    int("max.message.bytes", Some("1048588"))
        .at_least(0)
        .behind(&[same("message.max.bytes")]),
    long("message.timestamp.after.max.ms", Some("3600000"))
        .at_least(0)
        .behind(&[same("log.message.timestamp.after.max.ms")]),
    long("message.timestamp.before.max.ms", Some(LONG_MAX))
        .at_least(0)
        .behind(&[same("log.message.timestamp.before.max.ms")]),
    string("message.timestamp.type", Some("CreateTime"))
        .check(Check::OneOf(&["CreateTime", "LogAppendTime"]))
        .behind(&[same("log.message.timestamp.type")]),
    double("min.cleanable.dirty.ratio", Some("0.5"))
        .between(0, 1)
        .behind(&[same("log.cleaner.min.cleanable.ratio")]),
    long("min.compaction.lag.ms", Some("0"))
        .at_least(0)
        .behind(&[same("log.cleaner.min.compaction.lag.ms")]),
    int("min.insync.replicas", Some("1"))
        .at_least(1)
        .behind(&[same("min.insync.replicas")]),
    boolean("preallocate", Some("false")).behind(&[same("log.preallocate")]),
    boolean("remote.log.copy.disable", Some("false")),
    boolean("remote.log.delete.on.disable", Some("false")),
    boolean("remote.storage.enable", Some("false")),
    long("retention.bytes", Some("-1")).behind(&[same("log.retention.bytes")]),
    long("retention.ms", Some("604800000"))
        .at_least(-1)
        .behind(&[
            same("log.retention.ms"),
            minutes("log.retention.minutes"),
            hours("log.retention.hours"),
        ]),
    int("segment.bytes", Some("1073741824"))
        .at_least(1_048_576)
        .behind(&[same("log.segment.bytes")]),
    int("segment.index.bytes", Some("10485760"))
        .at_least(4)
        .behind(&[same("log.index.size.max.bytes")]),
    long("segment.jitter.ms", Some("0"))
        .at_least(0)
        .behind(&[same("log.roll.jitter.ms"), hours("log.roll.jitter.hours")]),
    long("segment.ms", Some("604800000"))
        .at_least(1)
        .behind(&[same("log.roll.ms"), hours("log.roll.hours")]),
    boolean("unclean.leader.election.enable", Some("false"))
        .behind(&[same("unclean.leader.election.enable")]),
];

/// Keys of client-metrics subscriptions, by name.
pub const CLIENT_METRICS: &[Key] = &[
    int("interval.ms", Some("300000")),
    list("match", Some("")).check(Check::Distinct),
    list("metrics", Some("")).check(Check::Distinct),
];

/// Keys of groups, by name.
pub const GROUP: &[Key] = &[
    int("consumer.assignment.interval.ms", Some("1000"))
        .at_least(0)
        .behind(&[same("group.consumer.assignment.interval.ms")]),
    int("consumer.heartbeat.interval.ms", Some("5000"))
        .at_least(1)
        .behind(&[same("group.consumer.heartbeat.interval.ms")]),
    int("consumer.session.timeout.ms", Some("45000"))
        .at_least(1)
        .behind(&[same("group.consumer.session.timeout.ms")]),
    int("share.assignment.interval.ms", Some("1000"))
        .at_least(0)
        .behind(&[same("group.share.assignment.interval.ms")]),
    string("share.auto.offset.reset", Some("latest")).check(Check::OffsetReset),
    int("share.delivery.count.limit", Some("5"))
        .at_least(2)
        .behind(&[same("group.share.delivery.count.limit")]),
    int("share.heartbeat.interval.ms", Some("5000"))
        .at_least(1)
        .behind(&[same("group.share.heartbeat.interval.ms")]),
    string("share.isolation.level", Some("read_uncommitted"))
        .check(Check::OneOf(&["read_committed", "read_uncommitted"])),
    int("share.partition.max.record.locks", Some("2000"))
        .at_least(100)
        .behind(&[same("group.share.partition.max.record.locks")]),
    int("share.record.lock.duration.ms", Some("30000"))
        .at_least(1000)
        .behind(&[same("group.share.record.lock.duration.ms")]),
    boolean("share.renew.acknowledge.enable", Some("true")),
    int("share.session.timeout.ms", Some("45000"))
        .at_least(1)
        .behind(&[same("group.share.session.timeout.ms")]),
    int("streams.assignment.interval.ms", Some("1000"))
        .at_least(0)
        .behind(&[same("group.streams.assignment.interval.ms")]),
    int("streams.heartbeat.interval.ms", Some("5000"))
        .at_least(1)
        .behind(&[same("group.streams.heartbeat.interval.ms")]),
    int("streams.initial.rebalance.delay.ms", Some("3000"))
        .at_least(0)
        .behind(&[same("group.streams.initial.rebalance.delay.ms")]),
    int("streams.num.standby.replicas", Some("0"))
        .at_least(0)
        .behind(&[same("group.streams.num.standby.replicas")]),
    int("streams.session.timeout.ms", Some("45000"))
        .at_least(1)
        .behind(&[same("group.streams.session.timeout.ms")]),
];

// How rows are written.

const fn key(name: &'static str, kind: Type, default: Option<&'static str>) -> Key {
    let (check, update) = (Check::Any, Update::ReadOnly);
    Key {
        name,
        kind,
        default,
        check,
        internal: false,
        update,
        behind: &[],
    }
}

const fn boolean(name: &'static str, default: Option<&'static str>) -> Key {
    key(name, Type::Boolean, default)
}

const fn string(name: &'static str, default: Option<&'static str>) -> Key {
    key(name, Type::String, default)
}

const fn short(name: &'static str, default: Option<&'static str>) -> Key {
    key(name, Type::Short, default)
}

const fn int(name: &'static str, default: Option<&'static str>) -> Key {
    key(name, Type::Int, default)
}

const fn long(name: &'static str, default: Option<&'static str>) -> Key {
    key(name, Type::Long, default)
}

const fn double(name: &'static str, default: Option<&'static str>) -> Key {
    key(name, Type::Double, default)
}

const fn list(name: &'static str, default: Option<&'static str>) -> Key {
    key(name, Type::List, default)
}

const fn class(name: &'static str, default: Option<&'static str>) -> Key {
    key(name, Type::Class, default)
}

const fn password(name: &'static str) -> Key {
    key(name, Type::Password, None)
}

const fn same(name: &'static str) -> Synonym {
    Synonym { name, factor: 1 }
}

const fn minutes(name: &'static str) -> Synonym {
    Synonym {
        name,
        factor: 60_000,
    }
}

const fn hours(name: &'static str) -> Synonym {
    Synonym {
        name,
        factor: 3_600_000,
    }
}

impl Key {
    const fn check(self, check: Check) -> Self {
        Self { check, ..self }
    }
    const fn at_least(self, least: i64) -> Self {
        self.check(Check::AtLeast(least))
    }
    const fn between(self, least: i64, most: i64) -> Self {
        self.check(Check::Between(least, most))
    }
    const fn behind(self, behind: &'static [Synonym]) -> Self {
        Self { behind, ..self }
    }
    const fn internal(self) -> Self {
        Self {
            internal: true,
            ..self
        }
    }
    const fn per_broker(self) -> Self {
        Self {
            update: Update::PerBroker,
            ..self
        }
    }
    const fn cluster_wide(self) -> Self {
        Self {
            update: Update::ClusterWide,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_in_order_so_that_search_works() {
        for table in [TOPIC, BROKER, GROUP, CLIENT_METRICS] {
            assert!(table.is_sorted_by(|one, next| one.name < next.name));
            for row in table {
                assert_eq!(find(table, row.name), Some(row));
            }
            assert_eq!(find(table, "no.such.key"), None);
        }
    }

    #[test]
    fn what_stands_behind_a_key_is_a_broker_key() {
        for key in TOPIC.iter().chain(GROUP) {
            for (place, synonym) in key.behind.iter().enumerate() {
                let row = find(BROKER, synonym.name).expect(synonym.name);
                // The first speaks the same unit, the others may be coarser.
                assert!(place > 0 || synonym.factor == 1, "{}", key.name);
                if key.behind.len() == 1 && row.kind == key.kind {
                    assert_eq!(row.default, key.default, "{}", key.name);
                }
            }
        }
    }

    #[test]
    fn sizes_of_the_tables_are_those_of_4_3_1() {
        let public = |table: &[Key]| table.iter().filter(|key| !key.internal).count();
        assert_eq!(public(TOPIC), 33);
        assert_eq!(public(BROKER), 340);
        assert_eq!(public(GROUP), 17);
        assert_eq!(public(CLIENT_METRICS), 3);
    }
}
