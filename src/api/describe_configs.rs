//! DescribeConfigs (32), v1 to v4 (`ConfigHelper.handleDescribeConfigsRequest`, 4.3.1): every key of
//! a resource with its value, who says it, and on request all who say anything about it.
//!
//! Any node answers, from its own image and its own file: a topic's configuration is the one it
//! would have on a broker with this node's file, as with Kafka's controllers. Beyond Kafka, other
//! registered brokers are described as far as this node knows them: what was set for them, what
//! their registration says, and defaults.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::alter_configs::BROKER_LOGGER;
use super::{Read, message};
use crate::ids::{BrokerId, ConfigKind, ConfigResource};
use crate::refusal::{self, Refusal};
use crate::rules::View;
use crate::rules::config_keys::{self, BROKER, CLIENT_METRICS, GROUP, Key, TOPIC, Update};
use crate::rules::configs::values::canonical;
use crate::rules::configs::{Layers, Overrides, Source, overrides};
use crate::rules::names::{check_topic_name, shorten};

impl Read for DescribeConfigsRequest {
    /// One result per resource, in the order of the request, its keys in the order of their names.
    /// Keys that are asked for and do not exist are left out.
    fn answer(&self, view: &View<'_>) -> Self::Response {
        let unknown = self
            .resources
            .iter()
            .find(|resource| !is_known(resource.resource_type));
        let whole = unknown.map(|resource| unexpected_type(resource.resource_type));
        let result = |resource: &DescribeConfigsResource| {
            let described = whole.clone().map_or_else(|| describe(view, resource), Err);
            let result = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            match described {
                Ok(entries) => {
                    let keys = resource.configuration_keys.as_deref().unwrap_or_default();
                    let is_asked = |entry: &Entry| {
                        keys.is_empty() || keys.iter().any(|key| **key == *entry.name)
                    };
                    let asked = entries.into_iter().filter(is_asked);
                    let configs = asked.map(|entry| shown(entry, self.include_synonyms));
                    result.with_configs(configs.collect())
                }
                Err(refusal) => result
                    .with_error_code(refusal.code())
                    .with_error_message(message(&refusal)),
            }
        };
        let results = self.resources.iter().map(result).collect();
        DescribeConfigsResponse::default().with_results(results)
    }
}

fn is_known(resource_type: i8) -> bool {
    resource_type == BROKER_LOGGER || ConfigKind::from_code(resource_type).is_some()
}

fn unexpected_type(resource_type: i8) -> Refusal {
    refusal::invalid_request(format!("Unexpected resource type {resource_type}."))
}

/// One key of a resource.
struct Entry {
    name: String,
    /// Its row, if it has one. A key without is not shown: it may be a secret.
    key: Option<&'static Key>,
    value: Option<String>,
    read_only: bool,
    /// All who say anything about it, best first.
    voices: Vec<Voice>,
}

/// Somebody who gives a key a value.
struct Voice {
    name: String,
    value: String,
    source: Source,
}

/// All keys of a resource.
fn describe(view: &View<'_>, asked: &DescribeConfigsResource) -> Result<Vec<Entry>, Refusal> {
    let name = asked.resource_name.as_str();
    let Some(kind) = ConfigKind::from_code(asked.resource_type) else {
        return loggers(view, name);
    };
    let resource = ConfigResource {
        kind,
        name: name.to_owned(),
    };
    let set = overrides(view.image, &resource);
    match kind {
        ConfigKind::Topic => {
            check_topic_name(name)?;
            if view.image.topic_by_name(name).is_none() {
                return Err(refusal::unknown_topic());
            }
            let layers = Layers::of(view);
            Ok(entries(TOPIC, &set, Source::Topic, |key| {
                below_topic(&layers, key)
            }))
        }
        ConfigKind::Broker if name.is_empty() => Ok(cluster_default(&set)),
        ConfigKind::Broker => broker(view, name, set),
        ConfigKind::ClientMetrics if name.is_empty() => Err(refusal::invalid_request(
            "Client metrics subscription name must not be empty",
        )),
        ConfigKind::ClientMetrics => {
            let default = |key: &Key| (key.default.map(str::to_owned), Vec::new());
            Ok(entries(
                CLIENT_METRICS,
                &set,
                Source::ClientMetrics,
                default,
            ))
        }
        ConfigKind::Group if name.is_empty() => {
            Err(refusal::invalid_request("Group name must not be empty"))
        }
        ConfigKind::Group => {
            let layers = Layers::of(view);
            Ok(entries(GROUP, &set, Source::Group, |key| {
                below_group(&layers, key)
            }))
        }
    }
}

/// The keys of a table: what is set, or what `below` says, being value and voices.
fn entries(
    table: &'static [Key],
    set: &Overrides<'_>,
    source: Source,
    below: impl Fn(&'static Key) -> (Option<String>, Vec<Voice>),
) -> Vec<Entry> {
    let shown = table
        .iter()
        .filter(|key| !key.internal || set.contains_key(key.name));
    let entry = |key: &'static Key| {
        let (mut value, mut voices) = below(key);
        if let Some(text) = set.get(key.name) {
            let text = canonical(key, text);
            voices.insert(
                0,
                Voice {
                    name: key.name.to_owned(),
                    value: text.clone(),
                    source,
                },
            );
            value = Some(text);
        }
        Entry {
            name: key.name.to_owned(),
            key: Some(key),
            value,
            read_only: false,
            voices,
        }
    };
    shown.map(entry).collect()
}

fn below_topic(layers: &Layers<'_>, key: &'static Key) -> (Option<String>, Vec<Voice>) {
    let value = layers.resolve(key).value.map(|text| canonical(key, &text));
    let voices = key
        .behind
        .first()
        .map(|synonym| broker_voices(layers, synonym.name));
    (value, voices.unwrap_or_default())
}

fn below_group(layers: &Layers<'_>, key: &'static Key) -> (Option<String>, Vec<Voice>) {
    let (value, mut voices) = below_topic(layers, key);
    if let (true, Some(default)) = (key.behind.is_empty(), key.default) {
        let (name, value) = (key.name.to_owned(), default.to_owned());
        voices.push(Voice {
            name,
            value,
            source: Source::Default,
        });
    }
    (value, voices)
}

/// What is set for all brokers, and nothing else.
fn cluster_default(set: &Overrides<'_>) -> Vec<Entry> {
    let layers = Layers {
        cluster: set.clone(),
        ..Layers::default()
    };
    let names = set.keys().map(|name| (*name).to_owned());
    let mut entries: Vec<Entry> = names.map(|name| broker_entry(&layers, name)).collect();
    for entry in &mut entries {
        entry
            .voices
            .retain(|voice| voice.source == Source::DynamicDefaultBroker);
    }
    entries
}

/// A node by its id: this one with its file, a registered broker with its registration.
fn broker(view: &View<'_>, name: &str, node: Overrides<'_>) -> Result<Vec<Entry>, Refusal> {
    let id = BrokerId(broker_id(name)?);
    let facts = if id == view.settings.node_id {
        own_facts(view)
    } else if let Some(broker) = view.image.broker(id) {
        let rack = broker.rack.clone().map(|rack| ("broker.rack", rack));
        let ids = [
            ("node.id", id.0.to_string()),
            ("broker.id", id.0.to_string()),
        ];
        ids.into_iter()
            .chain(rack)
            .map(|(key, text)| (key.to_owned(), text))
            .collect()
    } else {
        return Err(refusal::invalid_request(format!(
            "Unexpected broker id, expected {} or empty string, but received {}",
            view.settings.node_id.0, id.0
        )));
    };
    let given: Overrides<'_> = facts.iter().map(|(key, text)| (&**key, &**text)).collect();
    let cluster = overrides(view.image, &ConfigResource::cluster());
    let layers = Layers {
        node,
        cluster,
        given,
    };
    let public = BROKER
        .iter()
        .filter(|key| !key.internal)
        .map(|key| key.name);
    let set = layers
        .each()
        .into_iter()
        .flat_map(|(layer, _)| layer.keys().copied());
    let names: BTreeSet<&str> = public.chain(set).collect();
    Ok(names
        .into_iter()
        .map(|name| broker_entry(&layers, name.to_owned()))
        .collect())
}

/// What this node runs with: its file, and what it chose where the file is silent.
fn own_facts(view: &View<'_>) -> BTreeMap<String, String> {
    let settings = view.settings;
    let listener = |it: &crate::ids::Endpoint| format!("{}://{}:{}", it.name, it.host, it.port);
    let listeners: Vec<String> = settings.listeners.iter().map(listener).collect();
    let mut facts: BTreeMap<String, String> = [
        ("node.id", settings.node_id.0.to_string()),
        ("broker.id", settings.node_id.0.to_string()),
        ("process.roles", "controller".to_owned()),
        ("listeners", listeners.join(",")),
        (
            "controller.listener.names",
            settings.controller_listener_names.join(","),
        ),
        ("log.dirs", settings.metadata_log_dir.display().to_string()),
    ]
    .map(|(key, text)| (key.to_owned(), text))
    .into();
    facts.extend(settings.given.clone());
    facts
}

fn broker_entry(layers: &Layers<'_>, name: String) -> Entry {
    let key = broker_key(&name);
    let set = layers
        .each()
        .into_iter()
        .find_map(|(layer, _)| layer.get(&*name).copied());
    let value = match (key, set) {
        (Some(key), set) => set.or(key.default).map(|text| canonical(key, text)),
        (None, set) => set.map(str::to_owned),
    };
    let row = config_keys::find(BROKER, &name);
    let read_only = row.is_none_or(|row| row.update == Update::ReadOnly);
    let voices = broker_voices(layers, &name);
    Entry {
        name,
        key,
        value,
        read_only,
        voices,
    }
}

/// The row of a broker key, or of the general key that it sets for one listener.
fn broker_key(name: &str) -> Option<&'static Key> {
    let general = || {
        broker_synonyms(name)
            .pop()
            .and_then(|key| config_keys::find(BROKER, &key))
    };
    config_keys::find(BROKER, name)
        .or_else(general)
        .or_else(|| own_key(name))
}

/// Our own keys hold no secrets; they are shown as texts.
fn own_key(name: &str) -> Option<&'static Key> {
    const OWN: &Key = &Key {
        name: "yakt.",
        ..BROKER_TEXT
    };
    name.starts_with(OWN.name).then_some(OWN)
}

const BROKER_TEXT: Key = Key {
    name: "",
    kind: config_keys::Type::String,
    default: None,
    check: config_keys::Check::Any,
    internal: false,
    update: Update::ReadOnly,
    behind: &[],
};

/// All who say anything about a broker key, from the first that says it by this very name.
fn broker_voices(layers: &Layers<'_>, name: &str) -> Vec<Voice> {
    let synonyms = broker_synonyms(name);
    let mut voices = Vec::new();
    for (layer, source) in layers.each() {
        for synonym in &synonyms {
            if let Some(value) = layer.get(&**synonym) {
                let (name, value) = (synonym.to_string(), (*value).to_owned());
                voices.push(Voice {
                    name,
                    value,
                    source,
                });
            }
        }
    }
    for synonym in &synonyms {
        if let Some(default) = config_keys::find(BROKER, synonym).and_then(|key| key.default) {
            let (name, value) = (synonym.to_string(), default.to_owned());
            voices.push(Voice {
                name,
                value,
                source: Source::Default,
            });
        }
    }
    voices
        .into_iter()
        .skip_while(|voice| voice.name != name)
        .collect()
}

/// Keys that say the same in other units, and the general key behind one of a single listener
/// (`DynamicBrokerConfig.brokerConfigSynonyms`, 4.3.1).
fn broker_synonyms(name: &str) -> Vec<Cow<'_, str>> {
    const FAMILIES: [&[&str]; 3] = [
        &["log.roll.ms", "log.roll.hours"],
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        &[
            "log.retention.ms",
            "log.retention.minutes",
            "log.retention.hours",
        ],
    ];
    /// These are set per mechanism: `listener.name.LISTENER.MECHANISM.KEY`.
    const PER_MECHANISM: [&str; 5] = [
        "sasl.jaas.config",
        "sasl.login.callback.handler.class",
        "sasl.login.class",
        "sasl.server.callback.handler.class",
        "connections.max.reauth.ms",
    ];
    if let Some(family) = FAMILIES.iter().find(|family| family.contains(&name)) {
        return family.iter().map(|name| Cow::Borrowed(*name)).collect();
    }
    if name == "log.flush.interval.ms" {
        return vec![
            Cow::Borrowed(name),
            Cow::Borrowed("log.flush.scheduler.interval.ms"),
        ];
    }
    let listener = name
        .strip_prefix("listener.name.")
        .and_then(|rest| rest.split_once('.'));
    let Some((_, base)) = listener else {
        return vec![Cow::Borrowed(name)];
    };
    let general = PER_MECHANISM
        .iter()
        .find(|key| base.ends_with(**key))
        .copied();
    vec![Cow::Borrowed(name), Cow::Borrowed(general.unwrap_or(base))]
}

/// This node has no loggers whose levels could be told.
fn loggers(view: &View<'_>, name: &str) -> Result<Vec<Entry>, Refusal> {
    if name.is_empty() {
        return Err(refusal::invalid_request("Broker id must not be empty"));
    }
    let (id, own) = (broker_id(name)?, view.settings.node_id.0);
    if id != own {
        return Err(refusal::invalid_request(format!(
            "Unexpected broker id, expected {own} but received {id}"
        )));
    }
    Ok(Vec::new())
}

fn broker_id(name: &str) -> Result<i32, Refusal> {
    name.parse().map_err(|_| {
        let name = shorten(name);
        refusal::invalid_request(format!("Broker id must be an integer, but it is: {name}"))
    })
}

fn shown(entry: Entry, with_synonyms: bool) -> DescribeConfigsResourceResult {
    let is_sensitive = entry.key.is_none_or(Key::is_sensitive);
    let show = |text: String| (!is_sensitive).then(|| StrBytes::from_string(text));
    let source = entry
        .voices
        .first()
        .map_or(Source::Default, |voice| voice.source);
    let synonym = |voice: Voice| {
        DescribeConfigsSynonym::default()
            .with_name(StrBytes::from_string(voice.name))
            .with_value(show(voice.value))
            .with_source(voice.source as i8)
    };
    let voices = entry.voices.into_iter().filter(|_| with_synonyms);
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_string(entry.name))
        .with_value(entry.value.and_then(show))
        .with_read_only(entry.read_only)
        .with_config_source(source as i8)
        .with_is_sensitive(is_sensitive)
        .with_synonyms(voices.map(synonym).collect())
        .with_config_type(entry.key.map_or(0, |key| key.kind as i8))
        .with_documentation(None)
}

#[cfg(test)]
mod tests;
