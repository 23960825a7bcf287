//! Which value a configuration has, and who says so.
//!
//! Kafka looks in layers (`KafkaConfigSchema.resolveEffectiveTopicConfig`, 4.3.1):
//!
//! 1. what was set for the topic or group itself,
//! 2. what was set for this node, under the broker keys that stand behind the key,
//! 3. what was set for all brokers, under the same,
//! 4. what this node's file says, under the same,
//! 5. the default of the key.
//!
//! "This node" is the controller that decides, which is why all voters should have the same file.

pub mod alter;
pub mod validate;
pub mod values;

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::View;
use super::config_keys::{self, Key, Synonym, TOPIC};
use crate::ids::ConfigResource;
use crate::image::Image;

/// Who says what a value is, as the protocol numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    /// Set for the topic.
    Topic = 1,
    /// Set for one broker.
    DynamicBroker = 2,
    /// Set for all brokers.
    DynamicDefaultBroker = 3,
    /// In the file of the node that answers.
    StaticBroker = 4,
    /// Nobody: the default.
    Default = 5,
    /// Set for the client-metrics subscription.
    ClientMetrics = 7,
    /// Set for the group.
    Group = 8,
}

/// What was set for one resource, by key.
pub type Overrides<'a> = BTreeMap<&'a str, &'a str>;

/// What is set for this resource.
pub fn overrides<'a>(image: &'a Image, resource: &ConfigResource) -> Overrides<'a> {
    image
        .config(resource)
        .into_iter()
        .flat_map(|config| config.iter())
        .collect()
}

/// A value and who says it. `None` where there is no value at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved<'a> {
    /// As text.
    pub value: Option<Cow<'a, str>>,
    /// Who says it.
    pub source: Source,
}

/// The layers under topics and groups, as one node sees them.
#[derive(Clone, Debug, Default)]
pub struct Layers<'a> {
    /// Set for this node.
    pub node: Overrides<'a>,
    /// Set for all brokers.
    pub cluster: Overrides<'a>,
    /// In this node's file.
    pub given: Overrides<'a>,
}

impl<'a> Layers<'a> {
    /// The layers of the node that decides or answers.
    pub fn of(view: &View<'a>) -> Self {
        Self {
            node: overrides(view.image, &ConfigResource::broker(view.settings.node_id)),
            cluster: overrides(view.image, &ConfigResource::cluster()),
            given: view
                .settings
                .given
                .iter()
                .map(|(key, text)| (&**key, &**text))
                .collect(),
        }
    }

    /// The layers with their sources, best first.
    pub fn each(&self) -> [(&Overrides<'a>, Source); 3] {
        [
            (&self.node, Source::DynamicBroker),
            (&self.cluster, Source::DynamicDefaultBroker),
            (&self.given, Source::StaticBroker),
        ]
    }

    /// The value of a topic or group key where the topic or group itself sets nothing.
    pub fn resolve(&self, key: &'static Key) -> Resolved<'a> {
        for (layer, source) in self.each() {
            for synonym in key.behind {
                if let Some(text) = layer.get(synonym.name) {
                    return Resolved {
                        value: Some(convert(*synonym, text)),
                        source,
                    };
                }
            }
        }
        Resolved {
            value: key.default.map(Cow::Borrowed),
            source: Source::Default,
        }
    }

    /// The value of a broker key.
    pub fn broker(&self, name: &str) -> Option<Cow<'a, str>> {
        let set = self
            .each()
            .into_iter()
            .find_map(|(layer, _)| layer.get(name).copied());
        set.or_else(|| config_keys::find(config_keys::BROKER, name)?.default)
            .map(Cow::Borrowed)
    }

    /// The value of a topic key, `overrides` being what was set for the topic.
    pub fn topic(&self, key: &'static Key, overrides: &Overrides<'a>) -> Resolved<'a> {
        match overrides.get(key.name) {
            Some(text) => Resolved {
                value: Some(Cow::Borrowed(text)),
                source: Source::Topic,
            },
            None => self.resolve(key),
        }
    }

    /// `min.insync.replicas` of a topic. A value that is no number counts as the default: dynamic
    /// broker configurations are stored unread.
    pub fn min_insync_replicas(&self, overrides: &Overrides<'a>) -> i32 {
        let text = self.topic_text(MIN_INSYNC_REPLICAS, overrides);
        text.and_then(|text| text.trim().parse().ok()).unwrap_or(1)
    }

    /// `unclean.leader.election.enable` of a topic.
    pub fn unclean_leader_election_enable(&self, overrides: &Overrides<'a>) -> bool {
        let text = self.topic_text(UNCLEAN_LEADER_ELECTION_ENABLE, overrides);
        text.is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
    }

    fn topic_text(&self, name: &str, overrides: &Overrides<'a>) -> Option<Cow<'a, str>> {
        self.topic(config_keys::find(TOPIC, name)?, overrides).value
    }
}

/// Hours and minutes become milliseconds; text that is no number stays what it is.
fn convert(synonym: Synonym, text: &str) -> Cow<'_, str> {
    match (synonym.factor, text.trim().parse::<i64>()) {
        (1, _) | (_, Err(_)) => Cow::Borrowed(text),
        (factor, Ok(number)) => Cow::Owned(number.saturating_mul(factor).to_string()),
    }
}

/// How many replicas must be in sync for a write with acks=all.
pub const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";
/// Whether a replica outside of the ISR may lead when no other is left.
pub const UNCLEAN_LEADER_ELECTION_ENABLE: &str = "unclean.leader.election.enable";
/// Log directories that get no new replicas.
pub const CORDONED_LOG_DIRS: &str = "cordoned.log.dirs";

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> Layers<'static> {
        Layers {
            node: [("log.retention.ms", "1")].into(),
            cluster: [("message.max.bytes", "2"), ("min.insync.replicas", "3")].into(),
            given: [
                ("message.max.bytes", "4"),
                ("log.roll.hours", "5"),
                ("log.retention.hours", "6"),
                ("log.roll.jitter.hours", "many"),
            ]
            .into(),
        }
    }

    #[test]
    fn layers_are_searched_in_order() {
        let overrides: Overrides<'_> = [("flush.ms", "7"), ("retention.bytes", "")].into();
        for (name, value, source) in [
            ("flush.ms", Some("7"), Source::Topic),
            ("retention.bytes", Some(""), Source::Topic),
            ("retention.ms", Some("1"), Source::DynamicBroker),
            ("max.message.bytes", Some("2"), Source::DynamicDefaultBroker),
            ("segment.ms", Some("18000000"), Source::StaticBroker),
            ("segment.jitter.ms", Some("many"), Source::StaticBroker),
            ("segment.bytes", Some("1073741824"), Source::Default),
            ("internal.segment.bytes", None, Source::Default),
        ] {
            let key = config_keys::find(TOPIC, name).unwrap();
            let expected = Resolved {
                value: value.map(Cow::Borrowed),
                source,
            };
            assert_eq!(layers().topic(key, &overrides), expected, "{name}");
        }
    }

    #[test]
    fn what_the_controller_itself_reads() {
        let check = |overrides: &[(&'static str, &'static str)], min_isr: i32, unclean: bool| {
            let overrides = overrides.iter().copied().collect();
            assert_eq!(layers().min_insync_replicas(&overrides), min_isr);
            assert_eq!(layers().unclean_leader_election_enable(&overrides), unclean);
        };
        check(&[], 3, false);
        check(
            &[
                ("min.insync.replicas", " 2 "),
                ("unclean.leader.election.enable", "TRUE"),
            ],
            2,
            true,
        );
        check(&[("min.insync.replicas", "two")], 1, false);
    }
}
