//! FindCoordinator (10): which broker coordinates a group, a transactional id or a share partition.
//!
//! As a broker answers it (`KafkaApis.getCoordinator`, 4.3.1): a hash of the key picks a partition of
//! the internal topic, and that partition's leader coordinates. It is a write because the topic may
//! be missing: then it is created first, by CreateTopics' own rules, if any broker is live. From
//! version 4 on one request asks for many keys; share partitions can be asked for from 6 on.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, FindCoordinatorRequest, FindCoordinatorResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::api::{Write, message};
use crate::ids::{NO_BROKER, parse_base64};
use crate::records::Record;
use crate::refusal::Refusal;
use crate::rules::configs::Layers;
use crate::rules::nodes::{Node, Reach};
use crate::rules::{Ctx, Decision};

/// Most live brokers that an internal topic is spread over where nothing is configured.
const REPLICATION_FACTOR_MAX: usize = 3;

impl Write for FindCoordinatorRequest {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<Self::Response>, Refusal> {
        let mut records = Vec::new();
        let finder = Finder::prepare(self.key_type, ctx, &mut records);
        let find = |key: &StrBytes| finder.as_ref().map_err(Clone::clone)?.find(key);
        let response = if ctx.version < 4 {
            let found = find(&self.key);
            let node = found.as_ref().ok().and_then(Option::as_ref);
            single(node, outcome(&found, node))
        } else {
            let coordinators = self.coordinator_keys.iter().map(|key| {
                let found = find(key);
                let node = found.as_ref().ok().and_then(Option::as_ref);
                coordinator(key, node, outcome(&found, node))
            });
            FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
        };
        Ok(Decision::write(records, response))
    }

    /// Clients know no other error that makes them ask again later.
    fn refuse(&self, refusal: &Refusal) -> Self::Response {
        let later = unavailable(refusal.text.clone());
        if self.coordinator_keys.is_empty() {
            return single(None, Some(later));
        }
        let refused = self
            .coordinator_keys
            .iter()
            .map(|key| coordinator(key, None, Some(later.clone())));
        FindCoordinatorResponse::default().with_coordinators(refused.collect())
    }
}

/// What is wrong with a finding, if anything is.
fn outcome(found: &Result<Option<Node>, Refusal>, node: Option<&Node>) -> Option<Refusal> {
    match found {
        Err(refusal) => Some(refusal.clone()),
        Ok(_) if node.is_none() => Some(unavailable("The coordinator is not available.")),
        Ok(_) => None,
    }
}

fn unavailable(text: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(ResponseError::CoordinatorNotAvailable, text)
}

/// A kind of coordinator, with the leaders of its topic's partitions.
struct Finder {
    kind: Kind,
    /// By partition index; `None` where no live broker leads it.
    leaders: Vec<Option<Node>>,
}

impl Finder {
    /// Looks the topic up, or adds the records that create it.
    fn prepare(key_type: i8, ctx: &Ctx<'_>, records: &mut Vec<Record>) -> Result<Self, Refusal> {
        let kind = Kind::of(key_type, ctx.version)?;
        let reach = Reach::of(&ctx.view);
        let live = |leader: BrokerId| reach.get(leader).filter(|node| !node.fenced).cloned();
        if let Some(topic) = ctx.image.topic_by_name(kind.topic()) {
            let leaders = topic.partitions().map(|it| live(it.leader()?)).collect();
            return Ok(Self { kind, leaders });
        }
        if !ctx.image.brokers().any(|broker| !broker.fenced) {
            return Err(unavailable("No broker is live."));
        }
        *records = create(kind, ctx)?;
        let partitions = records.iter().filter_map(|record| match record {
            Record::Partition(record) => Some(live(record.leader)),
            _ => None,
        });
        Ok(Self {
            kind,
            leaders: partitions.collect(),
        })
    }

    /// The coordinator of this key.
    fn find(&self, key: &str) -> Result<Option<Node>, Refusal> {
        if self.kind == Kind::Share && !is_share_partition(key) {
            return Err(Refusal::new(
                ResponseError::InvalidRequest,
                format!("{key} is not a share partition: group:topic id:partition"),
            ));
        }
        let index = partition_of(key, self.leaders.len());
        Ok(index.and_then(|index| self.leaders.get(index).cloned().flatten()))
    }
}

/// `CoordinatorType`, by its number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Group = 0,
    Transaction = 1,
    Share = 2,
}

impl Kind {
    fn of(key_type: i8, version: i16) -> Result<Self, Refusal> {
        match key_type {
            0 => Ok(Self::Group),
            1 => Ok(Self::Transaction),
            2 if version >= 6 => Ok(Self::Share),
            other => Err(Refusal::new(
                ResponseError::InvalidRequest,
                format!("Coordinators of type {other} cannot be asked for in this version."),
            )),
        }
    }

    fn topic(self) -> &'static str {
        match self {
            Self::Group => "__consumer_offsets",
            Self::Transaction => "__transaction_state",
            Self::Share => "__share_group_state",
        }
    }
}

/// The records of the internal topic as a broker would have it created
/// (`AutoTopicCreationManager.creatableTopic`, 4.3.1).
fn create(kind: Kind, ctx: &Ctx<'_>) -> Result<Vec<Record>, Refusal> {
    let settings = ctx.settings;
    let (partitions, replication_factor, prefix) = match kind {
        Kind::Group => (
            settings.offsets_topic_num_partitions,
            settings.offsets_topic_replication_factor,
            "offsets.topic",
        ),
        Kind::Transaction => (
            settings.transaction_state_log_num_partitions,
            settings.transaction_state_log_replication_factor,
            "transaction.state.log",
        ),
        Kind::Share => (
            settings.share_coordinator_state_topic_num_partitions,
            settings.share_coordinator_state_topic_replication_factor,
            "share.coordinator.state.topic",
        ),
    };
    let live = ctx.image.brokers().filter(|broker| !broker.fenced).count();
    let spread = live.min(REPLICATION_FACTOR_MAX) as i16;
    let replication_factor = replication_factor.unwrap_or(spread);
    let topic = CreatableTopic::default()
        .with_name(TopicName(kind.topic().into()))
        .with_num_partitions(partitions)
        .with_replication_factor(replication_factor)
        .with_configs(configs(kind, prefix, replication_factor, ctx));
    let decision = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .decide(ctx)?;
    match decision.response.topics.first() {
        Some(result) if result.error_code == 0 => Ok(decision.records),
        Some(result) => {
            let text = result
                .error_message
                .as_ref()
                .map_or_else(String::new, |it| it.to_string());
            Err(unavailable(format!(
                "{} could not be created: {text}",
                kind.topic()
            )))
        }
        None => Err(unavailable(format!(
            "{} could not be created.",
            kind.topic()
        ))),
    }
}

/// The configuration that the coordinators rely on (`groupMetadataTopicConfigs` and its siblings).
fn configs(
    kind: Kind,
    prefix: &str,
    replication_factor: i16,
    ctx: &Ctx<'_>,
) -> Vec<CreatableTopicConfig> {
    let layers = Layers::of(&ctx.view);
    let of_broker = |suffix: &str| layers.broker(&format!("{prefix}.{suffix}"));
    let min_isr = || {
        let key = format!("{prefix}.min.isr");
        let configured = layers
            .broker(&key)
            .and_then(|value| value.parse().ok())
            .unwrap_or(1);
        // Kafka's default of 2 goes with its default of three replicas.
        let fits = ctx.settings.given.contains_key(&key) || configured <= replication_factor;
        if fits { configured } else { replication_factor }.to_string()
    };
    let mut configs = match kind {
        Kind::Group => vec![
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "producer".to_owned()),
        ],
        Kind::Transaction => vec![
            ("unclean.leader.election.enable", "false".to_owned()),
            ("compression.type", "uncompressed".to_owned()),
            ("cleanup.policy", "compact".to_owned()),
            ("min.insync.replicas", min_isr()),
        ],
        Kind::Share => vec![
            ("cleanup.policy", "delete".to_owned()),
            ("compression.type", "producer".to_owned()),
            ("min.insync.replicas", min_isr()),
            ("retention.ms", "-1".to_owned()),
        ],
    };
    if let Some(bytes) = of_broker("segment.bytes") {
        configs.push(("segment.bytes", bytes.into_owned()));
    }
    let config = |(name, value): (&'static str, String)| {
        CreatableTopicConfig::default()
            .with_name(name.into())
            .with_value(Some(StrBytes::from_string(value)))
    };
    configs.into_iter().map(config).collect()
}

/// The partition that a key belongs to: `Utils.abs(key.hashCode()) % partitions`. `None` without any.
fn partition_of(key: &str, partitions: usize) -> Option<usize> {
    let hash = java_hash(key);
    // Java's abs of the least integer is itself, so Kafka takes 0 for it.
    let positive = if hash == i32::MIN {
        0
    } else {
        hash.unsigned_abs()
    };
    (positive as usize).checked_rem(partitions)
}

/// `String.hashCode()`: over UTF-16 units, wrapping.
fn java_hash(text: &str) -> i32 {
    let step = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    text.encode_utf16().fold(0, step)
}

/// `group:topic id:partition` (`SharePartitionKey.validate`, 4.3.1).
fn is_share_partition(key: &str) -> bool {
    let parts: Vec<_> = key.split(':').collect();
    let [group, topic, partition] = parts.as_slice() else {
        return false;
    };
    !group.trim().is_empty() && parse_base64(topic).is_some() && partition.parse::<i32>().is_ok()
}

fn single(node: Option<&Node>, error: Option<Refusal>) -> FindCoordinatorResponse {
    FindCoordinatorResponse::default()
        .with_error_code(error.as_ref().map_or(0, Refusal::code))
        .with_error_message(error.as_ref().and_then(message))
        .with_node_id(node.map_or(NO_BROKER, |node| node.id))
        .with_host(node.map_or_else(StrBytes::default, |node| {
            StrBytes::from_string(node.host.clone())
        }))
        .with_port(node.map_or(-1, |node| i32::from(node.port)))
}

fn coordinator(key: &StrBytes, node: Option<&Node>, error: Option<Refusal>) -> Coordinator {
    Coordinator::default()
        .with_key(key.clone())
        .with_error_code(error.as_ref().map_or(0, Refusal::code))
        .with_error_message(error.as_ref().and_then(message))
        .with_node_id(node.map_or(NO_BROKER, |node| node.id))
        .with_host(node.map_or_else(StrBytes::default, |node| {
            StrBytes::from_string(node.host.clone())
        }))
        .with_port(node.map_or(-1, |node| i32::from(node.port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::scene::Scene;

    /// Asks for these keys, carries the decision out, and tells each key's `id@host:port` or error.
    fn ask(scene: &mut Scene, version: i16, key_type: i8, keys: &[&str]) -> Vec<String> {
        let text = |key: &&str| StrBytes::from_string((*key).to_owned());
        let request = FindCoordinatorRequest::default().with_key_type(key_type);
        let request = if version < 4 {
            request.with_key(text(&keys[0]))
        } else {
            request.with_coordinator_keys(keys.iter().map(text).collect())
        };
        let response = request.decide(&scene.ctx(version)).expect("an answer");
        let response = scene.apply(response);
        let mut bytes = bytes::BytesMut::new();
        kafka_protocol::protocol::Encodable::encode(&response, &mut bytes, version)
            .expect("in this version");
        if version < 4 {
            let told = match response.error_code {
                0 => format!("{}@{}:{}", response.node_id.0, response.host, response.port),
                error => format!("!{error}"),
            };
            return vec![told];
        }
        let told = |it: &Coordinator| match it.error_code {
            0 => format!("{} {}@{}:{}", it.key, it.node_id.0, it.host, it.port),
            error => format!("{} !{error}", it.key),
        };
        response.coordinators.iter().map(told).collect()
    }

    #[test]
    fn keys_are_hashed_as_in_java() {
        let cases = [
            ("", 0),
            ("a", 97),
            ("my-group", -1906497762),
            ("\u{1F600}", 1772899),
        ];
        for (text, hash) in cases {
            assert_eq!(java_hash(text), hash, "{text}");
        }
        // "polygenelubricants" hashes to the least integer, whose absolute value Java cannot say.
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(partition_of("polygenelubricants", 50), Some(0));
        assert_eq!(partition_of("a", 50), Some(47));
        assert_eq!(partition_of("a", 0), None);
    }

    #[test]
    fn the_partitions_leader_coordinates() {
        let scene = Scene::new()
            .brokers(2)
            .topic("__consumer_offsets", &[&[1], &[2], &[1]]);
        // 97 mod 3 is 1, 98 mod 3 is 2.
        let mut scene = scene
            .partition("__consumer_offsets", 2, &[], -1, &[])
            .begin();
        assert_eq!(
            ask(&mut scene, 6, 0, &["a", "b"]),
            ["a 2@localhost:9002", "b !15"]
        );
        for version in 0..=3 {
            assert_eq!(ask(&mut scene, version, 0, &["a"]), ["2@localhost:9002"]);
            assert_eq!(ask(&mut scene, version, 0, &["b"]), ["!15"]);
        }
        assert!(scene.written().is_empty());
        let mut scene = scene.fenced(&[2]);
        assert_eq!(ask(&mut scene, 4, 0, &["a"]), ["a !15"]);
    }

    #[test]
    fn a_missing_topic_is_created_first() {
        let mut scene = Scene::new().brokers(4).begin();
        let told = ask(&mut scene, 4, 1, &["t1", "t2"]);
        assert!(
            told.iter().all(|it| it.contains("@localhost:900")),
            "{told:?}"
        );
        let topic = scene
            .image
            .topic_by_name("__transaction_state")
            .expect("it was created");
        assert_eq!(topic.partition_count(), 50);
        assert_eq!(topic.partition(0).expect("it is there").replicas().len(), 3);
        let config = |key: &str| {
            let resource = crate::ids::ConfigResource::topic("__transaction_state");
            scene.image.config_value(&resource, key).map(str::to_owned)
        };
        assert_eq!(config("cleanup.policy").as_deref(), Some("compact"));
        assert_eq!(config("min.insync.replicas").as_deref(), Some("2"));
        assert_eq!(config("segment.bytes").as_deref(), Some("104857600"));
        // What was answered before it was there is what the topic says now.
        assert_eq!(ask(&mut scene, 4, 1, &["t1", "t2"]), told);
    }

    #[test]
    fn settings_shape_the_topic_and_without_brokers_there_is_none() {
        let mut scene = Scene::new().brokers(1).begin();
        scene.settings.offsets_topic_num_partitions = 7;
        ask(&mut scene, 0, 0, &["g"]);
        let topic = scene
            .image
            .topic_by_name("__consumer_offsets")
            .expect("it was created");
        assert_eq!(topic.partition_count(), 7);
        scene
            .settings
            .share_coordinator_state_topic_replication_factor = Some(3);
        let key = format!(
            "g:{}:0",
            crate::ids::base64(crate::ids::Uuid::from_u128(1 << 100))
        );
        assert_eq!(
            ask(&mut scene, 6, 2, &[&key]),
            [format!("{key} !15")],
            "three on one do not fit"
        );

        let mut scene = Scene::new().brokers(1).fenced(&[1]).begin();
        assert_eq!(ask(&mut scene, 6, 0, &["g"]), ["g !15"]);
        assert!(scene.written().is_empty());
    }

    #[test]
    fn share_partitions_have_a_form_and_a_version() {
        let mut scene = Scene::new().brokers(1).begin();
        let good = format!(
            "g:{}:0",
            crate::ids::base64(crate::ids::Uuid::from_u128(1 << 100))
        );
        assert_eq!(ask(&mut scene, 6, 2, &["bad", &good])[0], "bad !42");
        assert_eq!(ask(&mut scene, 5, 2, &[&good]), [format!("{good} !42")]);
        assert_eq!(ask(&mut scene, 6, 3, &["g"]), ["g !42"]);
    }
}
