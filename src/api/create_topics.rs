//! CreateTopics (19), v2 to v7 (`ControllerApis.createTopics`,
//! `ReplicationControlManager.createTopics`, 4.3.1).
//!
//! Topics are judged one by one: some may be created while others are refused. All that are created
//! go into one batch. From v5 on the answer tells the partitions, the replication factor and every
//! configuration of the new topic, from v7 on its id.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Write, message};
use crate::ids::{BrokerId, ConfigResource, METADATA_TOPIC, PartitionIndex, TopicId};
use crate::image::Image;
use crate::records::{Record, TopicRecord};
use crate::refusal::{self, Refusal};
use crate::rules::config_keys::{Key, TOPIC};
use crate::rules::configs::alter::{self, Changes};
use crate::rules::configs::{Layers, Overrides, Resolved};
use crate::rules::electorate::is_active;
use crate::rules::placement::Racks;
use crate::rules::{Ctx, Decision, RECORDS_PER_DECISION_MAX, names, new_partitions};

/// Most partitions that one request may ask for (`MAX_PARTITIONS_PER_BATCH`, 4.3.1).
const PARTITIONS_PER_REQUEST_MAX: i64 = 10_000;

impl Write for CreateTopicsRequest {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<Self::Response>, Refusal> {
        let mut named: BTreeMap<&str, (&TopicName, u32)> = BTreeMap::new();
        for topic in &self.topics {
            named.entry(&topic.name).or_insert((&topic.name, 0)).1 += 1;
        }
        let is_candidate = |topic: &&CreatableTopic| {
            named[topic.name.as_str()].1 == 1 && topic.name.as_str() != METADATA_TOPIC
        };
        let candidates: Vec<_> = self.topics.iter().filter(is_candidate).collect();
        check_total(&candidates, ctx)?;

        let mut draft = Draft::new(ctx);
        let mut results = Vec::with_capacity(self.topics.len());
        for topic in candidates {
            let created = draft.create(topic);
            results.push(created.unwrap_or_else(|refusal| refused(&topic.name, &refusal)));
            if draft.records.len() > RECORDS_PER_DECISION_MAX {
                return Err(refusal::too_many_records());
            }
        }
        for (name, times) in named.into_values() {
            if times > 1 {
                results.push(refused(name, &refusal::duplicate_topic_name()));
            } else if name.as_str() == METADATA_TOPIC {
                results.push(refused(name, &internal_topic()));
            }
        }
        let records = if self.validate_only {
            Vec::new()
        } else {
            draft.records
        };
        Ok(Decision::write(
            records,
            CreateTopicsResponse::default().with_topics(results),
        ))
    }

    fn refuse(&self, refusal: &Refusal) -> Self::Response {
        let results = self
            .topics
            .iter()
            .map(|topic| refused(&topic.name, refusal));
        CreateTopicsResponse::default().with_topics(results.collect())
    }

    fn timeout_ms(&self) -> Option<i32> {
        Some(self.timeout_ms)
    }
}

/// Refuses huge requests before anything is placed for them.
fn check_total(topics: &[&CreatableTopic], ctx: &Ctx<'_>) -> Result<(), Refusal> {
    let wanted = |topic: &&CreatableTopic| match topic.num_partitions {
        _ if !topic.assignments.is_empty() => topic.assignments.len() as i64,
        -1 => i64::from(ctx.settings.num_partitions),
        count => i64::from(count).max(0),
    };
    if topics.iter().map(wanted).sum::<i64>() > PARTITIONS_PER_REQUEST_MAX {
        return Err(Refusal::new(
            ResponseError::PolicyViolation,
            "Excessively large number of partitions per request.",
        ));
    }
    Ok(())
}

/// Whether a new topic may have this name: it is allowed, free, and metrics can tell it from others.
pub(super) fn check_name(image: &Image, name: &str) -> Result<(), Refusal> {
    if name == METADATA_TOPIC {
        return Err(internal_topic());
    }
    if image.topic_by_name(name).is_some() {
        return Err(refusal::topic_exists(name));
    }
    names::check_topic_name(name)?;
    if !names::has_collision_chars(name) {
        return Ok(());
    }
    let from = |start: &str| image.topics_from(start).next().map(|topic| topic.name());
    match names::find_collision(name, from) {
        Some(other) => Err(collision(name, other)),
        None => Ok(()),
    }
}

fn collision(name: &str, other: &str) -> Refusal {
    Refusal::new(
        ResponseError::InvalidTopicException,
        format!("Topic '{name}' collides with existing topic: {other}"),
    )
}

fn internal_topic() -> Refusal {
    refusal::invalid_request(format!(
        "Creation of internal topic {METADATA_TOPIC} is prohibited."
    ))
}

fn refused(name: &TopicName, refusal: &Refusal) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name.clone())
        .with_error_code(refusal.code())
        .with_error_message(message(refusal))
}

/// The topics created so far, and what all topics of the request have in common.
struct Draft<'a> {
    ctx: &'a Ctx<'a>,
    records: Vec<Record>,
    layers: Layers<'a>,
    /// Made for the first topic that needs placing.
    racks: Option<Racks>,
    /// What the answer says of a topic without configurations of its own; made for the first.
    untouched: Option<Vec<CreatableTopicConfigs>>,
    /// Names of this request as metrics see them. The image knows only the topics before it.
    spellings: BTreeSet<String>,
}

impl<'a> Draft<'a> {
    fn new(ctx: &'a Ctx<'a>) -> Self {
        let layers = Layers::of(ctx);
        let (racks, untouched) = (None, None);
        Self {
            ctx,
            records: Vec::new(),
            layers,
            racks,
            untouched,
            spellings: BTreeSet::new(),
        }
    }

    /// Checks one topic and adds its records: topic, configurations, ELR, partitions.
    fn create(&mut self, topic: &CreatableTopic) -> Result<CreatableTopicResult, Refusal> {
        let name = topic.name.as_str();
        self.check_name(name)?;
        let overrides = creation_configs(topic)?;
        let resource = ConfigResource::topic(name);
        let mut configs = Vec::new();
        if !overrides.is_empty() {
            let named = overrides
                .iter()
                .map(|(key, value)| (*key, Some((*value).to_owned())));
            let changes = Changes {
                named: named.collect(),
                unnamed: Vec::new(),
            };
            let before = Overrides::new();
            configs = alter::records(self.ctx, &resource, &before, &changes, &self.layers, true)?;
            configs.extend(alter::clear_elr(self.ctx, &configs));
        }
        let topic_id = self.ctx.dice.uuid();
        let begin = self.records.len();
        self.records.push(
            TopicRecord {
                name: resource.name,
                topic_id,
            }
            .into(),
        );
        self.records.append(&mut configs);
        let partitions = match self.partitions(topic, topic_id) {
            Ok(partitions) => partitions,
            Err(refusal) => {
                self.records.truncate(begin);
                return Err(refusal);
            }
        };
        if names::has_collision_chars(name) {
            self.spellings.insert(name.replace('.', "_"));
        }
        let result = CreatableTopicResult::default()
            .with_name(topic.name.clone())
            .with_topic_id(topic_id)
            .with_error_message(None);
        if self.ctx.version < 5 {
            return Ok(result);
        }
        Ok(result
            .with_num_partitions(partitions.count)
            .with_replication_factor(partitions.replication_factor)
            .with_configs(Some(self.effective(&overrides))))
    }

    fn check_name(&self, name: &str) -> Result<(), Refusal> {
        check_name(self.ctx.image, name)?;
        if !names::has_collision_chars(name) {
            return Ok(());
        }
        let spelling = name.replace('.', "_");
        match self.spellings.get(&spelling) {
            Some(other) => Err(collision(name, other)),
            None => Ok(()),
        }
    }

    /// Adds the partitions' records.
    fn partitions(
        &mut self,
        topic: &CreatableTopic,
        topic_id: TopicId,
    ) -> Result<Partitions, Refusal> {
        let by_hand = !topic.assignments.is_empty();
        let placed = if by_hand {
            assigned(self.ctx, topic)?
        } else {
            self.place(topic)?
        };
        let replication_factor = placed.first().map_or(0, Vec::len);
        let count = placed.len() as i32;
        self.records.reserve(placed.len());
        for (index, replicas) in (0..).zip(placed) {
            let record = new_partitions::record(self.ctx, topic_id, index, replicas);
            let record = record.ok_or_else(|| match by_hand {
                true => new_partitions::none_active_by_hand(index),
                false => new_partitions::none_active(replication_factor),
            })?;
            self.records.push(record.into());
        }
        Ok(Partitions {
            count,
            replication_factor: replication_factor as i16,
        })
    }

    /// Replicas for a topic that leaves them to us.
    fn place(&mut self, topic: &CreatableTopic) -> Result<Vec<Vec<BrokerId>>, Refusal> {
        let settings = self.ctx.settings;
        let replication_factor = match topic.replication_factor {
            -1 => settings.default_replication_factor,
            factor if factor < 1 => {
                return Err(Refusal::new(
                    ResponseError::InvalidReplicationFactor,
                    "Replication factor must be larger than 0, or -1 to use the default value.",
                ));
            }
            factor => factor,
        };
        let count = match topic.num_partitions {
            -1 => settings.num_partitions,
            count if count < 1 => {
                return Err(Refusal::new(
                    ResponseError::InvalidPartitions,
                    "Number of partitions was set to an invalid non-positive value.",
                ));
            }
            count => count,
        };
        let racks = self
            .racks
            .get_or_insert_with(|| new_partitions::racks(self.ctx));
        racks
            .place(count as usize, replication_factor, self.ctx.dice)
            .map_err(|refusal| {
                let text = format!(
                    "Unable to replicate the partition {replication_factor} time(s): {refusal}"
                );
                Refusal::new(refusal.code, text)
            })
    }

    /// All configurations of a new topic, as the answer tells them.
    fn effective(&mut self, overrides: &Overrides<'_>) -> Vec<CreatableTopicConfigs> {
        let layers = &self.layers;
        let untouched = self.untouched.get_or_insert_with(|| {
            let shown = TOPIC.iter().filter(|key| !key.internal);
            shown.map(|key| entry(key, layers.resolve(key))).collect()
        });
        if overrides.is_empty() {
            return untouched.clone();
        }
        let shown = TOPIC
            .iter()
            .filter(|key| !key.internal || overrides.contains_key(key.name));
        shown
            .map(|key| entry(key, layers.topic(key, overrides)))
            .collect()
    }
}

struct Partitions {
    count: i32,
    replication_factor: i16,
}

fn entry(key: &Key, resolved: Resolved<'_>) -> CreatableTopicConfigs {
    let value = match resolved.value {
        // The defaults are most of an answer; they need no copy.
        Some(value) if key.default == Some(&*value) => key.default.map(StrBytes::from_static_str),
        value => value.map(|value| StrBytes::from_string(value.into_owned())),
    };
    CreatableTopicConfigs::default()
        .with_name(StrBytes::from_static_str(key.name))
        .with_value(value)
        .with_config_source(resolved.source as i8)
}

/// The configurations that a topic is to begin with. The last of a key given twice counts.
fn creation_configs(topic: &CreatableTopic) -> Result<Overrides<'_>, Refusal> {
    let without_value = topic.configs.iter().filter(|config| config.value.is_none());
    let without_value: Vec<&str> = without_value.map(|config| config.name.as_str()).collect();
    if !without_value.is_empty() {
        let names = names::shorten(&without_value.join(","));
        return Err(refusal::invalid_config(format!(
            "Null value not supported for topic configs: {names}"
        )));
    }
    let given = topic.configs.iter();
    Ok(given
        .filter_map(|config| Some((&*config.name, &**config.value.as_ref()?)))
        .collect())
}

/// Replicas for a topic that brings its own.
fn assigned(ctx: &Ctx<'_>, topic: &CreatableTopic) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    let not_default = if topic.replication_factor != -1 {
        Some("replication factor")
    } else if topic.num_partitions != -1 {
        Some("numPartitions")
    } else {
        None
    };
    if let Some(field) = not_default {
        return Err(refusal::invalid_request(format!(
            "A manual partition assignment was specified, but {field} was not set to -1."
        )));
    }
    let mut placed: BTreeMap<PartitionIndex, &[BrokerId]> = BTreeMap::new();
    let mut replication_factor = None;
    for assignment in &topic.assignments {
        let index = assignment.partition_index;
        if placed.insert(index, &assignment.broker_ids).is_some() {
            return Err(new_partitions::assignment(format!(
                "Found multiple manual partition assignments for partition {index}"
            )));
        }
        new_partitions::check_assignment(ctx, &assignment.broker_ids, replication_factor)?;
        replication_factor = Some(assignment.broker_ids.len());
        if !assignment.broker_ids.iter().any(|id| is_active(ctx, *id)) {
            return Err(new_partitions::none_active_by_hand(index));
        }
    }
    if !placed.keys().copied().eq(0..placed.len() as PartitionIndex) {
        return Err(new_partitions::assignment(
            "partitions should be a consecutive 0-based integer sequence",
        ));
    }
    Ok(placed.into_values().map(<[BrokerId]>::to_vec).collect())
}

#[cfg(test)]
mod tests;
