//! The only place where image types become JSON: one struct for each thing as `/v1` shows it, and
//! how each is made from the image. The original endpoints' records are in
//! [`records`](super::records).
//!
//! What must stay secret has no field here: salts, keys and token secrets are never read, values of
//! sensitive configuration keys are null.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::ids::{BrokerId, ConfigKind, ConfigResource, Endpoint, Uuid, base64};
use crate::image::{
    Broker, BrokerStatus, Config, Controller, Image, Incarnation, Partition, PartitionView,
    ProducerBlock, QuotaEntity, Quotas, TopicView,
};
use crate::records::{AccessControlEntryRecord, DelegationTokenRecord, UserScramCredentialRecord};
use crate::rules::config_keys::{self, BROKER};

/// A uuid as Kafka writes it.
pub(super) fn id(id: Uuid) -> String {
    base64(id).to_string()
}

/// Security protocols by their numbers (`SecurityProtocol`, 4.3.1).
pub(super) const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

/// The name of a security protocol.
pub(super) fn protocol(number: i16) -> String {
    let known = usize::try_from(number)
        .ok()
        .and_then(|number| PROTOCOLS.get(number));
    known.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

/// A listener as others reach it.
#[derive(Serialize, ToSchema)]
pub(super) struct EndpointJson {
    /// Listener name.
    pub(super) name: String,
    /// Host name or address.
    pub(super) host: String,
    /// TCP port.
    pub(super) port: u16,
    /// PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL; null where the log does not say.
    pub(super) security_protocol: Option<String>,
}

impl From<&Endpoint> for EndpointJson {
    fn from(it: &Endpoint) -> Self {
        Self {
            name: it.name.clone(),
            host: it.host.clone(),
            port: it.port,
            security_protocol: None,
        }
    }
}

/// Levels that a node supports of a feature.
#[derive(Serialize, ToSchema)]
pub(super) struct SupportedJson {
    /// The lowest.
    min: i16,
    /// The highest.
    max: i16,
}

/// What a broker is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum StatusJson {
    /// Registered by frame, and no heartbeat has unfenced it yet.
    Init,
    /// Fenced.
    Fenced,
    /// Unfenced.
    Alive,
    /// Unregistered.
    Closed,
}

impl From<BrokerStatus> for StatusJson {
    fn from(status: BrokerStatus) -> Self {
        match status {
            BrokerStatus::Init => Self::Init,
            BrokerStatus::Fenced => Self::Fenced,
            BrokerStatus::Alive => Self::Alive,
            BrokerStatus::Closed => Self::Closed,
        }
    }
}

/// A registered broker.
#[derive(Serialize, ToSchema)]
pub(super) struct BrokerJson {
    /// Its id.
    id: i32,
    /// Offset of its registration.
    epoch: i64,
    /// New with each start of its process; the `internalUUID` of the original endpoints.
    incarnation_id: String,
    /// What it is at the moment.
    status: StatusJson,
    /// It may neither lead nor be in sync.
    fenced: bool,
    /// It wants to stop.
    in_controlled_shutdown: bool,
    /// Registered over HTTP: it has no session and changes only over HTTP.
    sessionless: bool,
    /// Its rack.
    rack: Option<String>,
    /// Its listeners.
    endpoints: Vec<EndpointJson>,
    /// What it supports of each feature.
    features: BTreeMap<String, SupportedJson>,
    /// Its log directories that work.
    log_dirs: Vec<String>,
    /// Those it takes no new replicas into.
    cordoned_log_dirs: Vec<String>,
}

impl BrokerJson {
    pub(super) fn new(image: &Image, it: &Broker, life: Option<&Incarnation>) -> Self {
        let end_points = it.end_points.iter().map(|it| EndpointJson {
            name: it.name.clone(),
            host: it.host.clone(),
            port: it.port,
            security_protocol: Some(protocol(it.security_protocol)),
        });
        let supported = it.features.iter().map(|it| {
            let range = SupportedJson {
                min: it.min_supported_version,
                max: it.max_supported_version,
            };
            (it.name.clone(), range)
        });
        let by_fence = if it.fenced {
            StatusJson::Fenced
        } else {
            StatusJson::Alive
        };
        Self {
            id: it.id.0,
            epoch: it.epoch,
            incarnation_id: id(it.incarnation_id),
            status: life.map_or(by_fence, |life| image.status(life).into()),
            fenced: it.fenced,
            in_controlled_shutdown: it.in_controlled_shutdown,
            sessionless: life.is_some_and(|life| life.sessionless),
            rack: it.rack.clone(),
            endpoints: end_points.collect(),
            features: supported.collect(),
            log_dirs: it.log_dirs.iter().copied().map(id).collect(),
            cordoned_log_dirs: it
                .cordoned_log_dirs
                .iter()
                .flatten()
                .copied()
                .map(id)
                .collect(),
        }
    }
}

/// A registered controller.
#[derive(Serialize, ToSchema)]
pub(super) struct ControllerJson {
    /// Its node id.
    id: i32,
    /// New with each start of its process.
    incarnation_id: String,
    /// Its listeners.
    endpoints: Vec<EndpointJson>,
}

impl From<&Controller> for ControllerJson {
    fn from(it: &Controller) -> Self {
        let end_points = it.end_points.iter().map(|it| EndpointJson {
            name: it.name.clone(),
            host: it.host.clone(),
            port: it.port,
            security_protocol: Some(protocol(it.security_protocol)),
        });
        Self {
            id: it.id.0,
            incarnation_id: id(it.incarnation_id),
            endpoints: end_points.collect(),
        }
    }
}

/// A topic.
#[derive(Serialize, ToSchema)]
pub(super) struct TopicJson {
    /// Its name.
    name: String,
    /// Its id.
    id: String,
    /// How many partitions it has.
    partition_count: usize,
}

impl From<TopicView<'_>> for TopicJson {
    fn from(it: TopicView<'_>) -> Self {
        Self {
            name: it.name().to_owned(),
            id: id(it.id()),
            partition_count: it.partition_count(),
        }
    }
}

/// A topic with all that belongs to it.
#[derive(Serialize, ToSchema)]
pub(super) struct TopicDetailsJson {
    /// Its name.
    name: String,
    /// Its id.
    id: String,
    /// What was configured for it; sensitive values are null.
    config: BTreeMap<String, Option<String>>,
    /// Its partitions by index.
    partitions: Vec<PartitionJson>,
}

impl TopicDetailsJson {
    pub(super) fn new(image: &Image, it: TopicView<'_>) -> Self {
        let resource = ConfigResource::topic(it.name());
        Self {
            name: it.name().to_owned(),
            id: id(it.id()),
            config: image
                .config(&resource)
                .map(|it| shown(&resource, it))
                .unwrap_or_default(),
            partitions: it.partitions().map(PartitionJson::from).collect(),
        }
    }
}

/// A partition.
#[derive(Serialize, ToSchema)]
pub(super) struct PartitionJson {
    /// Name of its topic.
    topic: String,
    /// Id of its topic.
    topic_id: String,
    /// Its index.
    partition: i32,
    /// The broker that leads it; null: nobody.
    leader: Option<i32>,
    /// Grows with each change of the leader.
    leader_epoch: i32,
    /// Grows with each change.
    partition_epoch: i32,
    /// Brokers that hold it, the preferred leader first.
    replicas: Vec<i32>,
    /// Those in sync.
    isr: Vec<i32>,
    /// Those that may be elected though not in sync.
    elr: Vec<i32>,
    /// Those that were so last.
    last_known_elr: Vec<i32>,
    /// Replicas that a reassignment adds.
    adding: Vec<i32>,
    /// Replicas that it takes away.
    removing: Vec<i32>,
    /// Log directory of each replica.
    directories: Vec<String>,
    /// Its leader was elected uncleanly and recovers.
    recovering: bool,
}

impl From<PartitionView<'_>> for PartitionJson {
    fn from(it: PartitionView<'_>) -> Self {
        Self::new(it.topic_name(), &it.to_owned())
    }
}

impl PartitionJson {
    pub(super) fn new(topic: &str, it: &Partition) -> Self {
        Self {
            topic: topic.to_owned(),
            topic_id: id(it.topic_id),
            partition: it.index,
            leader: it.leader.map(|leader| leader.0),
            leader_epoch: it.leader_epoch,
            partition_epoch: it.partition_epoch,
            replicas: ids(&it.replicas),
            isr: ids(&it.isr),
            elr: ids(&it.elr),
            last_known_elr: ids(&it.last_known_elr),
            adding: ids(&it.adding),
            removing: ids(&it.removing),
            directories: it.directories.iter().copied().map(id).collect(),
            recovering: it.recovering,
        }
    }
}

/// Broker ids as numbers.
pub(super) fn ids(ids: &[BrokerId]) -> Vec<i32> {
    ids.iter().map(|id| id.0).collect()
}

/// What was configured for a resource.
#[derive(Serialize, ToSchema)]
pub(super) struct ConfigJson {
    /// topic, broker, client-metrics or group.
    resource_type: &'static str,
    /// Its name; empty: the default of all brokers.
    resource_name: String,
    /// The keys that are set; sensitive values are null.
    config: BTreeMap<String, Option<String>>,
}

impl ConfigJson {
    pub(super) fn new(resource: &ConfigResource, config: &Config) -> Self {
        Self {
            resource_type: resource_type(resource.kind),
            resource_name: resource.name.clone(),
            config: shown(resource, config),
        }
    }
}

/// The word for a kind of resource.
pub(super) fn resource_type(kind: ConfigKind) -> &'static str {
    match kind {
        ConfigKind::Topic => "topic",
        ConfigKind::Broker => "broker",
        ConfigKind::ClientMetrics => "client-metrics",
        ConfigKind::Group => "group",
    }
}

/// Keys and values, without the values that are secret: a broker's key that nobody knows may be one.
fn shown(resource: &ConfigResource, config: &Config) -> BTreeMap<String, Option<String>> {
    let is_secret = |key: &str| {
        let known = config_keys::find(BROKER, key);
        resource.kind == ConfigKind::Broker && known.is_none_or(|key| key.is_sensitive())
    };
    let pair =
        |(key, value): (&str, &str)| (key.to_owned(), (!is_secret(key)).then(|| value.to_owned()));
    config.iter().map(pair).collect()
}

/// Quotas of an entity.
#[derive(Serialize, ToSchema)]
pub(super) struct QuotaJson {
    /// Its parts by type (user, client-id, ip); null: the default of that type.
    entity: BTreeMap<String, Option<String>>,
    /// Its quotas by key.
    quotas: BTreeMap<String, f64>,
}

impl QuotaJson {
    pub(super) fn new(entity: &QuotaEntity, quotas: &Quotas) -> Self {
        Self {
            entity: entity.0.iter().cloned().collect(),
            quotas: quotas.clone(),
        }
    }
}

/// A block of producer ids.
#[derive(Serialize, ToSchema)]
pub(super) struct ProducerIdsJson {
    /// Who got it.
    broker_id: i32,
    /// The epoch it asked with.
    broker_epoch: i64,
    /// Its first id.
    first: i64,
    /// The first id behind it.
    next: i64,
}

impl From<&ProducerBlock> for ProducerIdsJson {
    fn from(it: &ProducerBlock) -> Self {
        Self {
            broker_id: it.broker_id.0,
            broker_epoch: it.broker_epoch,
            first: it.first,
            next: it.next,
        }
    }
}

/// An access control entry, with Kafka's numbers for types and operations.
#[derive(Serialize, ToSchema)]
pub(super) struct AclJson {
    /// Its id.
    id: String,
    /// Number of its resource type.
    resource_type: i8,
    /// Name of its resource, or the prefix.
    resource_name: String,
    /// 3: literal, 4: prefixed.
    pattern_type: i8,
    /// Whom it is about.
    principal: String,
    /// From where; `*`: anywhere.
    host: String,
    /// Number of its operation.
    operation: i8,
    /// 2: denied, 3: allowed.
    permission_type: i8,
}

impl From<&AccessControlEntryRecord> for AclJson {
    fn from(it: &AccessControlEntryRecord) -> Self {
        Self {
            id: id(it.id),
            resource_type: it.resource_type,
            resource_name: it.resource_name.clone(),
            pattern_type: it.pattern_type,
            principal: it.principal.clone(),
            host: it.host.clone(),
            operation: it.operation,
            permission_type: it.permission_type,
        }
    }
}

/// A user's SCRAM credential, without what proves it.
#[derive(Serialize, ToSchema)]
pub(super) struct CredentialJson {
    /// The user.
    user: String,
    /// SCRAM-SHA-256 or SCRAM-SHA-512.
    mechanism: String,
    /// How often its hash is iterated.
    iterations: i32,
}

impl From<&UserScramCredentialRecord> for CredentialJson {
    fn from(it: &UserScramCredentialRecord) -> Self {
        Self {
            user: it.name.clone(),
            mechanism: mechanism(it.mechanism),
            iterations: it.iterations,
        }
    }
}

/// The name of a SCRAM mechanism.
pub(super) fn mechanism(number: i8) -> String {
    match number {
        1 => "SCRAM-SHA-256".to_owned(),
        2 => "SCRAM-SHA-512".to_owned(),
        other => other.to_string(),
    }
}

/// A delegation token, without its secret.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenJson {
    /// Its id.
    token_id: String,
    /// Whose it is.
    owner: String,
    /// Who asked for it.
    requester: String,
    /// Who may renew it.
    renewers: Vec<String>,
    /// When it was issued, milliseconds since 1970.
    issue_timestamp: i64,
    /// When it expires unless renewed.
    expiration_timestamp: i64,
    /// Until when it can be renewed.
    max_timestamp: i64,
}

impl From<&DelegationTokenRecord> for TokenJson {
    fn from(it: &DelegationTokenRecord) -> Self {
        Self {
            token_id: it.token_id.clone(),
            owner: it.owner.clone(),
            requester: it.requester.clone(),
            renewers: it.renewers.clone(),
            issue_timestamp: it.issue_timestamp,
            expiration_timestamp: it.expiration_timestamp,
            max_timestamp: it.max_timestamp,
        }
    }
}

/// The finalized level of a feature.
#[derive(Serialize, ToSchema)]
pub(super) struct FeatureJson {
    /// Its name.
    pub(super) name: String,
    /// Its level; 0 where it is gone.
    pub(super) level: i16,
}
