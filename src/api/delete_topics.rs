//! DeleteTopics (20), v1 to v6 (`ControllerApis.deleteTopics`, 4.3.1).
//!
//! Topics are named by name or, from v6 on, by id. A deletion is one record; partitions and
//! configurations go with the topic when it is applied. Answers come in random order, so that their
//! places tell nothing about topics that the caller may not see.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Write, message};
use crate::ids::{TopicId, Uuid};
use crate::records::RemoveTopicRecord;
use crate::refusal::{self, Refusal};
use crate::rules::placement::shuffle;
use crate::rules::{Ctx, Decision, RECORDS_PER_DECISION_MAX};

impl Write for DeleteTopicsRequest {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<Self::Response>, Refusal> {
        check_enabled(ctx)?;
        let mut results = Vec::with_capacity(self.topics.len().max(self.topic_names.len()));
        let Named { names, ids } = named(self, &mut results);
        let mut refuse = |name: Option<&TopicName>, id: TopicId, refusal: &Refusal| {
            results.push(refused(name, id, refusal));
        };

        // What is to be deleted; `None` where an id was given more than once, in whichever way.
        let mut doomed: BTreeMap<TopicId, Option<TopicName>> = BTreeMap::new();
        for (id, times) in ids {
            if times > 1 {
                refuse(None, id, &refusal::invalid_request("Duplicate topic id."));
                doomed.insert(id, None);
            } else if let Some(topic) = ctx.image.topic(id) {
                let name = StrBytes::from_string(topic.name().to_owned());
                doomed.insert(id, Some(TopicName(name)));
            } else {
                refuse(None, id, &refusal::unknown_topic_id());
            }
        }
        for (name, times) in names.into_values() {
            if times > 1 {
                refuse(Some(name), Uuid::nil(), &refusal::duplicate_topic_name());
            } else if let Some(topic) = ctx.image.topic_by_name(name) {
                let id = topic.id();
                if doomed.insert(id, Some(name.clone())).is_some() {
                    doomed.insert(id, None);
                    refuse(Some(name), id, &given_twice());
                }
            } else {
                refuse(Some(name), Uuid::nil(), &refusal::unknown_topic());
            }
        }

        let mut records = Vec::new();
        for (topic_id, name) in doomed {
            let Some(name) = name else { continue };
            records.push(RemoveTopicRecord { topic_id }.into());
            results.push(deleted(name, topic_id));
        }
        if records.len() > RECORDS_PER_DECISION_MAX {
            return Err(refusal::too_many_records());
        }
        shuffle(&mut results, ctx.dice);
        Ok(Decision::write(
            records,
            DeleteTopicsResponse::default().with_responses(results),
        ))
    }

    fn refuse(&self, refusal: &Refusal) -> Self::Response {
        let by_name = self
            .topic_names
            .iter()
            .map(|name| (Some(name), Uuid::nil()));
        let by_state = self
            .topics
            .iter()
            .map(|topic| (topic.name.as_ref(), topic.topic_id));
        // Where the whole request fails, Kafka leaves the message out of this answer.
        let results = by_name
            .chain(by_state)
            .map(|(name, id)| refused(name, id, refusal).with_error_message(None));
        DeleteTopicsResponse::default().with_responses(results.collect())
    }

    fn timeout_ms(&self) -> Option<i32> {
        Some(self.timeout_ms)
    }
}

fn check_enabled(ctx: &Ctx<'_>) -> Result<(), Refusal> {
    let given = ctx.settings.given.get("delete.topic.enable");
    match given.map(|text| text.trim().eq_ignore_ascii_case("false")) {
        Some(true) if ctx.version < 3 => Err(refusal::invalid_request(
            "This version does not support topic deletion.",
        )),
        Some(true) => Err(Refusal::new(
            ResponseError::TopicDeletionDisabled,
            "Topic deletion is disabled.",
        )),
        _ => Ok(()),
    }
}

/// What the request names, with how many times it does.
#[derive(Default)]
struct Named<'a> {
    names: BTreeMap<&'a str, (&'a TopicName, u32)>,
    ids: BTreeMap<TopicId, u32>,
}

/// Sorts names from ids. Entries that have neither or both are refused at once.
fn named<'a>(
    request: &'a DeleteTopicsRequest,
    results: &mut Vec<DeletableTopicResult>,
) -> Named<'a> {
    let mut named = Named::default();
    let mut add_name = |name: &'a TopicName| {
        named.names.entry(name.as_str()).or_insert((name, 0)).1 += 1;
    };
    request.topic_names.iter().for_each(&mut add_name);
    for topic in &request.topics {
        let id = topic.topic_id;
        match &topic.name {
            Some(name) if id.is_nil() => add_name(name),
            Some(name) => {
                let both = "You may not specify both topic name and topic id.";
                results.push(refused(Some(name), id, &refusal::invalid_request(both)));
            }
            None if id.is_nil() => {
                let neither = "Neither topic name nor id were specified.";
                results.push(refused(None, id, &refusal::invalid_request(neither)));
            }
            None => *named.ids.entry(id).or_default() += 1,
        }
    }
    named
}

fn given_twice() -> Refusal {
    refusal::invalid_request("The provided topic name maps to an ID that was already supplied.")
}

fn deleted(name: TopicName, id: TopicId) -> DeletableTopicResult {
    DeletableTopicResult::default()
        .with_name(Some(name))
        .with_topic_id(id)
        .with_error_message(None)
}

fn refused(name: Option<&TopicName>, id: TopicId, refusal: &Refusal) -> DeletableTopicResult {
    DeletableTopicResult::default()
        .with_name(name.cloned())
        .with_topic_id(id)
        .with_error_code(refusal.code())
        .with_error_message(message(refusal))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::delete_topics_request::DeleteTopicState;

    use super::*;
    use crate::records::Record;
    use crate::rules::scene::{Scene, topic_id};

    fn name(text: &str) -> TopicName {
        TopicName(StrBytes::from_string(text.to_owned()))
    }

    /// What is to be deleted: `NAME`, `#NAME` by the id of the topic of that name, `NAME#NAME` by
    /// both, `` by neither.
    fn request(entries: &[&str]) -> DeleteTopicsRequest {
        let state = |text: &&str| {
            let (by_name, by_id) = text.split_once('#').unwrap_or((*text, ""));
            let id = if by_id.is_empty() {
                Uuid::nil()
            } else {
                topic_id(by_id)
            };
            DeleteTopicState::default()
                .with_name((!by_name.is_empty()).then(|| name(by_name)))
                .with_topic_id(id)
        };
        DeleteTopicsRequest::default().with_topics(entries.iter().map(state).collect())
    }

    /// Deletes, and compares the answers (`NAME#CODE`, sorted) and how many records there are.
    #[track_caller]
    fn check(entries: &[&str], answers: &[&str], records: usize) {
        let scene = Scene::new()
            .brokers(1)
            .topic("a", &[&[1]])
            .topic("b", &[&[1]]);
        let decision = request(entries).decide(&scene.ctx(6)).unwrap();
        let responses = decision.response.responses;
        let line = |it: &DeletableTopicResult| {
            let name = it.name.as_ref().map_or("", |name| name.as_str());
            format!("{name}#{}", it.error_code)
        };
        let mut found: Vec<String> = responses.iter().map(line).collect();
        found.sort();
        assert_eq!(found, answers, "{entries:?}");
        assert_eq!(decision.records.len(), records, "{entries:?}");
    }

    #[test]
    fn by_name_and_by_id() {
        check(&["a"], &["a#0"], 1);
        check(&["#a"], &["a#0"], 1);
        check(&["a", "#b"], &["a#0", "b#0"], 2);
        check(&["nosuch", "#nosuch", "a"], &["#100", "a#0", "nosuch#3"], 1);
        check(&[], &[], 0);
    }

    #[test]
    fn contradictions() {
        check(&[""], &["#42"], 0);
        check(&["a#a"], &["a#42"], 0);
        check(&["a", "a", "a", "b"], &["a#42", "b#0"], 1);
        check(&["#a", "#a"], &["#42"], 0);
        check(&["a", "#a"], &["a#42"], 0);
        check(&["#a", "#a", "a"], &["#42", "a#42"], 0);
    }

    #[test]
    fn old_versions_know_names_only() {
        let mut scene = Scene::new().brokers(1).topic("a", &[&[1]]);
        let request = DeleteTopicsRequest::default().with_topic_names(vec![name("a"), name("b")]);
        let decision = request.decide(&scene.ctx(5)).unwrap();
        let removed = RemoveTopicRecord {
            topic_id: topic_id("a"),
        };
        assert_eq!(decision.records, [Record::from(removed)]);
        assert_eq!(scene.apply(decision).responses.len(), 2);
        assert!(scene.image.topic_by_name("a").is_none());
    }

    #[test]
    fn deletion_can_be_switched_off() {
        let mut scene = Scene::new();
        scene
            .settings
            .given
            .insert("delete.topic.enable".to_owned(), "false".to_owned());
        for (version, code) in [(1, 42), (2, 42), (3, 73), (6, 73)] {
            let request = request(&["a"]);
            let refusal = request.decide(&scene.ctx(version)).unwrap_err();
            let answer = request.refuse(&refusal).responses.remove(0);
            assert_eq!((answer.error_code, answer.error_message), (code, None));
        }
    }
}
