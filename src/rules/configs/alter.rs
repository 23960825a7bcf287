//! Changes the configuration of one resource (`ConfigurationControlManager`, 4.3.1): what
//! IncrementalAlterConfigs, AlterConfigs and CreateTopics have in common.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;

use super::validate;
use super::{CORDONED_LOG_DIRS, Layers, MIN_INSYNC_REPLICAS, Overrides};
use crate::ids::{BrokerId, ConfigKind, ConfigResource};
use crate::records::{ClearElrRecord, ConfigRecord, Record};
use crate::refusal::Refusal;
use crate::rules::Ctx;
use crate::rules::config_keys;
use crate::rules::features::gate;

/// Longest name or value that brokers can read in a record, in bytes.
pub const TEXT_BYTES_MAX: usize = 32_767;

/// What is to become of the keys of one resource, in the order of the keys.
#[derive(Clone, Debug, Default)]
pub struct Changes<'a> {
    /// The new value of each key that was named; `None` deletes it.
    pub named: BTreeMap<&'a str, Option<String>>,
    /// Keys that are deleted because they were not named (AlterConfigs replaces the whole set).
    pub unnamed: Vec<&'a str>,
}

/// The records that make these changes, explicit ones first. The refusal concerns the whole
/// resource. `is_new`: the resource is created by the same decision, so it need not exist yet.
pub fn records(
    ctx: &Ctx<'_>,
    resource: &ConfigResource,
    existing: &Overrides<'_>,
    changes: &Changes<'_>,
    layers: &Layers<'_>,
    is_new: bool,
) -> Result<Vec<Record>, Refusal> {
    let written = written(resource, existing, changes);
    let elr = ctx.image.features().elr_enabled();
    let mut resulting = known(resource.kind, existing);
    for (key, value) in &written {
        check_key(ctx, resource, existing, key, *value, elr)?;
        match value {
            Some(value) => resulting.insert(key, value),
            None => resulting.remove(key),
        };
    }
    validate::resource(resource.kind, &resource.name, existing, &resulting, layers)?;
    if !is_new {
        check_exists(ctx, resource)?;
    }
    let record = |(name, value): (&str, Option<&str>)| {
        Record::from(ConfigRecord {
            resource_type: resource.kind as i8,
            resource_name: resource.name.clone(),
            name: name.to_owned(),
            value: value.map(str::to_owned),
        })
    };
    Ok(written.into_iter().map(record).collect())
}

/// What is set and means anything. Old logs may hold keys that were abolished since; they must not
/// stand in the way of other changes (`SupportedConfigChecker`, 4.3.1).
fn known<'a>(kind: ConfigKind, existing: &Overrides<'a>) -> Overrides<'a> {
    let is_known = |key: &str| {
        kind == ConfigKind::Broker || config_keys::find(config_keys::of(kind), key).is_some()
    };
    existing
        .iter()
        .filter(|(key, _)| is_known(key))
        .map(|(key, value)| (*key, *value))
        .collect()
}

/// Key and value of each record: only real changes, except for brokers, which reload what a record
/// names even if its value stays (KAFKA-14136).
fn written<'a>(
    resource: &ConfigResource,
    existing: &Overrides<'_>,
    changes: &'a Changes<'_>,
) -> Vec<(&'a str, Option<&'a str>)> {
    let named = changes
        .named
        .iter()
        .map(|(key, value)| (*key, value.as_deref()));
    let is_change = |(key, value): &(&str, Option<&str>)| {
        resource.kind == ConfigKind::Broker || existing.get(key).copied() != *value
    };
    let unnamed = changes.unnamed.iter().map(|key| (*key, None));
    named.filter(is_change).chain(unnamed).collect()
}

/// What is checked of each record before the resulting set as a whole.
fn check_key(
    ctx: &Ctx<'_>,
    resource: &ConfigResource,
    existing: &Overrides<'_>,
    key: &str,
    value: Option<&str>,
    elr: bool,
) -> Result<(), Refusal> {
    let is_broker = resource.kind == ConfigKind::Broker;
    if is_broker && elr && key == MIN_INSYNC_REPLICAS {
        if !resource.name.is_empty() {
            return Err(invalid_config(
                "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
            ));
        }
        if value.is_none() {
            return Err(invalid_config(
                "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
            ));
        }
    }
    if is_broker && key == CORDONED_LOG_DIRS {
        check_cordoned(ctx, existing, value.unwrap_or_default())?;
    }
    let longest = value
        .unwrap_or_default()
        .len()
        .max(key.len())
        .max(resource.name.len());
    if longest > TEXT_BYTES_MAX {
        return Err(invalid_config(format!(
            "The configuration value cannot be added because it exceeds the maximum value size of \
             {TEXT_BYTES_MAX} bytes."
        )));
    }
    Ok(())
}

/// Controllers know directories by id only. What did not come through the broker itself may
/// therefore take entries away, but add none.
fn check_cordoned(ctx: &Ctx<'_>, existing: &Overrides<'_>, value: &str) -> Result<(), Refusal> {
    if ctx.image.features().metadata_version() < Some(gate::CORDONED_DIRECTORIES) {
        return Err(invalid_config(
            "The cordoned.log.dirs configuration value cannot be set because it requires \
             metadata.version >= 4.3-IV0",
        ));
    }
    let dirs = |text: &'_ str| -> Vec<String> {
        text.split(',')
            .map(|dir| dir.trim().to_owned())
            .filter(|dir| !dir.is_empty())
            .collect()
    };
    let before = dirs(existing.get(CORDONED_LOG_DIRS).copied().unwrap_or_default());
    if !ctx.caller.forwarded && dirs(value).iter().any(|dir| !before.contains(dir)) {
        return Err(invalid_config(
            "When updating cordoned.log.dirs via controllers, the new value must be a subset of \
             the current configuration value.",
        ));
    }
    Ok(())
}

/// Whether there is such a resource. Groups and subscriptions come into being by being configured.
fn check_exists(ctx: &Ctx<'_>, resource: &ConfigResource) -> Result<(), Refusal> {
    let name = &resource.name;
    match resource.kind {
        ConfigKind::Topic if ctx.image.topic_by_name(name).is_none() => Err(Refusal::new(
            ResponseError::UnknownTopicOrPartition,
            format!("The topic '{name}' does not exist."),
        )),
        ConfigKind::Broker if !name.is_empty() && !is_node(ctx, name) => Err(Refusal::new(
            ResponseError::BrokerIdNotRegistered,
            format!("No node with id {name} found."),
        )),
        _ => Ok(()),
    }
}

fn is_node(ctx: &Ctx<'_>, name: &str) -> bool {
    name.parse().map(BrokerId).is_ok_and(|id| {
        ctx.image.broker(id).is_some()
            || ctx.quorum.is_voter(id)
            || ctx.image.controller(id).is_some()
    })
}

/// What must follow these records while eligible leader replicas are kept: a new
/// `min.insync.replicas` makes them doubtful, for one topic or, by a broker default, for all.
pub fn clear_elr(ctx: &Ctx<'_>, records: &[Record]) -> Vec<Record> {
    if !ctx.image.features().elr_enabled() {
        return Vec::new();
    }
    let cleared = records.iter().filter_map(|record| match record {
        Record::Config(config) if config.name == MIN_INSYNC_REPLICAS => {
            let is_topic = config.resource_type == ConfigKind::Topic as i8;
            let topic_name = if is_topic {
                config.resource_name.clone()
            } else {
                String::new()
            };
            Some(Record::from(ClearElrRecord { topic_name }))
        }
        _ => None,
    });
    cleared.collect()
}

fn invalid_config(text: impl Into<String>) -> Refusal {
    Refusal::new(ResponseError::InvalidConfig, text.into())
}
