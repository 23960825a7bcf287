//! IncrementalAlterConfigs (44), v0 and v1: single keys are set, deleted, or, where they hold
//! lists, appended to and subtracted from (`ControllerApis.handleIncrementalAlterConfigs`,
//! `ConfigurationControlManager.incrementalAlterConfigs`, 4.3.1).

use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::Write;
use super::alter_configs::{Outcome, Resource, alter_all};
use crate::ids::ConfigKind;
use crate::refusal::{self, Refusal};
use crate::rules::config_keys::{self, Type};
use crate::rules::configs::Overrides;
use crate::rules::configs::alter::Changes;
use crate::rules::names::shorten;
use crate::rules::{Ctx, Decision};

impl Write for IncrementalAlterConfigsRequest {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<Self::Response>, Refusal> {
        let mut altered = alter_all(ctx, &self.resources)?;
        if self.validate_only {
            altered.records.clear();
        }
        let responses = altered.outcomes.iter().map(response).collect();
        let answer = IncrementalAlterConfigsResponse::default().with_responses(responses);
        Ok(Decision::write(altered.records, answer))
    }

    fn refuse(&self, refusal: &Refusal) -> Self::Response {
        let all = self
            .resources
            .iter()
            .map(|resource| Outcome::refused(resource, refusal.clone()));
        let responses = all.map(|outcome| response(&outcome)).collect();
        IncrementalAlterConfigsResponse::default().with_responses(responses)
    }
}

fn response(outcome: &Outcome) -> AlterConfigsResourceResponse {
    AlterConfigsResourceResponse::default()
        .with_error_code(outcome.code())
        .with_error_message(outcome.message())
        .with_resource_type(outcome.resource_type)
        .with_resource_name(outcome.resource_name.clone())
}

impl Resource for AlterConfigsResource {
    fn kind(&self) -> i8 {
        self.resource_type
    }
    fn name(&self) -> &StrBytes {
        &self.resource_name
    }
    fn changes<'a>(
        &'a self,
        kind: ConfigKind,
        existing: &Overrides<'a>,
    ) -> Result<Changes<'a>, Refusal> {
        let mut changes = Changes::default();
        // The last operation on a key given twice counts, as in Kafka's controller; brokers refuse
        // such a request before they forward it.
        for config in &self.configs {
            let key = &*config.name;
            changes
                .named
                .insert(key, new_value(kind, config, existing.get(key).copied())?);
        }
        Ok(changes)
    }
    /// This node has no loggers whose levels could be set one by one
    /// (`RuntimeLoggerManager.applyChangesForResource`, 4.3.1).
    fn logger(&self, ctx: &Ctx<'_>) -> Result<(), Refusal> {
        let node_id = ctx.settings.node_id.0;
        match self.resource_name.parse::<i32>() {
            Err(_) => {
                let name = shorten(&self.resource_name);
                let text = format!("Node id must be an integer, but it is: {name}");
                return Err(refusal::invalid_request(text));
            }
            Ok(id) if id != node_id => {
                let text = format!("Unexpected node id. Expected {node_id}, but received {id}");
                return Err(refusal::invalid_request(text));
            }
            Ok(_) => {}
        }
        match self.configs.first() {
            None => Ok(()),
            Some(config) if matches!(config.config_operation, SET | DELETE) => {
                let name = shorten(&config.name);
                Err(refusal::invalid_config(format!(
                    "Logger {name} does not exist!"
                )))
            }
            Some(config) => Err(refusal::invalid_request(format!(
                "Operation {} is not allowed for the BROKER_LOGGER resource",
                config.config_operation
            ))),
        }
    }
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// The value that a key has after one operation, given the one it has now; `None`: deleted.
fn new_value(
    kind: ConfigKind,
    config: &AlterableConfig,
    current: Option<&str>,
) -> Result<Option<String>, Refusal> {
    let given = config.value.as_deref();
    let operation = match config.config_operation {
        SET => return Ok(given.map(str::to_owned)),
        DELETE => return Ok(None),
        APPEND => "APPEND",
        SUBTRACT => "SUBTRACT",
        // Kafka 4.3.1 fails inside here and gives its leadership up; we say no.
        unknown => {
            return Err(refusal::invalid_request(format!(
                "Unknown config operation {unknown}."
            )));
        }
    };
    let name = shorten(&config.name);
    let key = config_keys::find(config_keys::of(kind), &config.name);
    let Some(key) = key.filter(|key| key.kind == Type::List) else {
        let text = format!("Can't {operation} to key {name} because its type is not LIST.");
        return Err(refusal::invalid_config(text));
    };
    let given = given.ok_or_else(|| {
        refusal::invalid_request(format!("Null value not supported for {operation}: {name}"))
    })?;
    let base = current.or(key.default).unwrap_or_default();
    let mut elements: Vec<&str> = base
        .split(',')
        .filter(|element| !element.is_empty())
        .collect();
    for element in java_split(given) {
        match elements.iter().position(|other| *other == element) {
            Some(place) if operation == "SUBTRACT" => {
                elements.remove(place);
            }
            None if operation == "APPEND" => elements.push(element),
            _ => {}
        }
    }
    Ok(Some(elements.join(",")))
}

/// Java's `split`: empty elements at the end do not count, but an empty text is one empty element.
fn java_split(text: &str) -> impl Iterator<Item = &str> {
    let trimmed = text.trim_end_matches(',');
    let count = if trimmed.is_empty() && !text.is_empty() {
        0
    } else {
        usize::MAX
    };
    trimmed.split(',').take(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ConfigResource;
    use crate::records::Record;
    use crate::rules::features::ELR_VERSION;
    use crate::rules::scene::Scene;

    /// `TYPE NAME` (`-` for the empty name), then `key=value` to set, `key+=value`, `key-=value`,
    /// `key!` to delete, `key` to set nothing at all, `key?` for an operation nobody knows.
    fn resource(text: &str) -> AlterConfigsResource {
        let mut words = text.split(' ');
        let kind = words.next().unwrap_or_default().parse().unwrap();
        let name = words.next().unwrap_or_default().trim_start_matches('-');
        let config = |word: &str| {
            let (key, operation, value) = if let Some(key) = word.strip_suffix('!') {
                (key, DELETE, None)
            } else if let Some(key) = word.strip_suffix('?') {
                (key, 9, None)
            } else if let Some((key, value)) = word.split_once("+=") {
                (key, APPEND, Some(value))
            } else if let Some((key, value)) = word.split_once("-=") {
                (key, SUBTRACT, Some(value))
            } else {
                let (key, value) = word.split_once('=').unzip();
                (key.unwrap_or(word), SET, value)
            };
            AlterableConfig::default()
                .with_name(StrBytes::from_string(key.to_owned()))
                .with_config_operation(operation)
                .with_value(value.map(|value| StrBytes::from_string(value.to_owned())))
        };
        AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_string(name.to_owned()))
            .with_configs(words.map(config).collect())
    }

    fn scene() -> Scene {
        let topic = ConfigResource::topic("t");
        Scene::new()
            .brokers(1)
            .topic("t", &[&[1]])
            .config(topic.clone(), "cleanup.policy", "compact")
            .config(topic, "retention.ms", "5")
            .config(
                ConfigResource::broker(crate::ids::BrokerId(1)),
                "background.threads",
                "5",
            )
            .begin()
    }

    fn line(record: &Record) -> String {
        match record {
            Record::Config(it) => {
                let value = it.value.as_deref().unwrap_or("!");
                format!("{} {}={value}", it.resource_name, it.name)
            }
            Record::ClearElr(it) => format!("clear {}", it.topic_name),
            other => panic!("{other:?}"),
        }
    }

    /// Alters, and compares codes and records.
    #[track_caller]
    fn check_in(scene: &Scene, resources: &[&str], codes: &[i16], written: &[&str]) {
        let resources: Vec<_> = resources.iter().map(|text| resource(text)).collect();
        let request = IncrementalAlterConfigsRequest::default().with_resources(resources);
        let decision = request.decide(&scene.ctx(1)).unwrap();
        let responses = &decision.response.responses;
        let found: Vec<i16> = responses.iter().map(|it| it.error_code).collect();
        assert_eq!(found, codes, "{responses:?}");
        assert_eq!(
            decision.records.iter().map(line).collect::<Vec<_>>(),
            written
        );
        let validated = request
            .with_validate_only(true)
            .decide(&scene.ctx(1))
            .unwrap();
        assert!(validated.records.is_empty() && validated.response == decision.response);
    }

    #[track_caller]
    fn check(resource: &str, code: i16, written: &[&str]) {
        check_in(&scene(), &[resource], &[code], written);
    }

    #[test]
    fn operations() {
        check(
            "2 t flush.ms=7 retention.ms!",
            0,
            &["t flush.ms=7", "t retention.ms=!"],
        );
        check(
            "2 t cleanup.policy+=delete",
            0,
            &["t cleanup.policy=compact,delete"],
        );
        check("2 t cleanup.policy-=compact", 0, &["t cleanup.policy="]);
        check(
            "2 t leader.replication.throttled.replicas+=0:1,1:1",
            0,
            &["t leader.replication.throttled.replicas=0:1,1:1"],
        );
        check("2 t flush.ms=1 flush.ms=2", 0, &["t flush.ms=2"]);
        check("2 t retention.ms", 0, &["t retention.ms=!"]);
        check(
            "4 1 log.cleanup.policy+=compact",
            0,
            &["1 log.cleanup.policy=delete,compact"],
        );
        check("2 t retention.ms+=5", 40, &[]);
        check("2 t no.such.key+=5", 40, &[]);
        check("2 t retention.ms?", 42, &[]);
        // What changes nothing is not written, except for brokers.
        check(
            "2 t retention.ms=5 flush.ms! cleanup.policy+=compact",
            0,
            &[],
        );
        check("4 1 background.threads=5", 0, &["1 background.threads=5"]);
        check("4 1 num.io.threads!", 0, &["1 num.io.threads=!"]);
    }

    #[test]
    fn resources() {
        check("2 nosuch retention.ms=5", 3, &[]);
        check("2 a/b retention.ms=5", 17, &[]);
        check("2 - retention.ms=5", 42, &[]);
        check("2 t no.such.key=5", 40, &[]);
        check("4 - what.ever=5", 0, &[" what.ever=5"]);
        check("4 99 what.ever=5", 102, &[]);
        check("4 3000 what.ever=5", 0, &["3000 what.ever=5"]);
        check("4 one what.ever=5", 42, &[]);
        check("16 sub interval.ms=100", 0, &["sub interval.ms=100"]);
        check("16 sub interval.ms=99", 42, &[]);
        check(
            "32 group consumer.session.timeout.ms=50000",
            0,
            &["group consumer.session.timeout.ms=50000"],
        );
        check("32 group consumer.session.timeout.ms=1", 40, &[]);
        check("77 t retention.ms=5", 35, &[]);
        check("0 t retention.ms=5", 35, &[]);
        check("8 3000 root=INFO", 40, &[]);
        check("8 3000 root+=INFO", 42, &[]);
        check("8 1 root=INFO", 42, &[]);
    }

    #[test]
    fn a_key_that_was_abolished_stands_in_nobodys_way() {
        let topic = ConfigResource::topic("t");
        let scene = scene()
            .config(topic, "message.format.version", "2.8")
            .begin();
        check_in(&scene, &["2 t flush.ms=7"], &[0], &["t flush.ms=7"]);
        check_in(&scene, &["2 t message.format.version=3.0"], &[40], &[]);
    }

    #[test]
    fn one_resource_does_not_harm_another() {
        let texts = [
            "2 t flush.ms=x",
            "8 1 a=b",
            "4 - a=1",
            "77 x",
            "16 s interval.ms=1",
            "16 s",
        ];
        check_in(&scene(), &texts, &[35, 42, 40, 0, 42], &[" a=1"]);
    }

    #[test]
    fn min_insync_replicas_while_eligible_leaders_are_kept() {
        check(
            "2 t min.insync.replicas=2",
            0,
            &["t min.insync.replicas=2", "clear t"],
        );
        check(
            "4 - min.insync.replicas=2",
            0,
            &[" min.insync.replicas=2", "clear "],
        );
        check("4 - min.insync.replicas!", 40, &[]);
        check("4 1 min.insync.replicas=2", 40, &[]);
        let off = scene().feature(ELR_VERSION, 0);
        check_in(
            &off,
            &["4 1 min.insync.replicas=2"],
            &[0],
            &["1 min.insync.replicas=2"],
        );
        check_in(
            &off,
            &["4 - min.insync.replicas!"],
            &[0],
            &[" min.insync.replicas=!"],
        );
    }

    #[test]
    fn cordoned_directories() {
        let broker = ConfigResource::broker(crate::ids::BrokerId(1));
        let mut scene = scene().config(broker, "cordoned.log.dirs", "/a,/b").begin();
        let check = |scene: &Scene, text: &str, code: i16| {
            let request = IncrementalAlterConfigsRequest::default();
            let request = request.with_resources(vec![resource(text)]);
            let decision = request.decide(&scene.ctx(1)).unwrap();
            assert_eq!(decision.response.responses[0].error_code, code, "{text}");
        };
        check(&scene, "4 1 cordoned.log.dirs=/b", 0);
        check(&scene, "4 1 cordoned.log.dirs=", 0);
        check(&scene, "4 1 cordoned.log.dirs!", 0);
        check(&scene, "4 1 cordoned.log.dirs=/b,/c", 40);
        scene.caller.forwarded = true;
        check(&scene, "4 1 cordoned.log.dirs=/b,/c", 0);
        check(&Scene::at(29).brokers(1), "4 1 cordoned.log.dirs=", 40);
    }

    #[test]
    fn what_brokers_could_not_read_is_refused() {
        let long = "x".repeat(32_768);
        check(&format!("4 - a={long}"), 40, &[]);
        check(&format!("4 - {long}=a"), 40, &[]);
        check(
            &format!("32 {long} share.isolation.level=read_committed"),
            40,
            &[],
        );
        check(&format!("4 - a={}", "é".repeat(20_000)), 40, &[]);
        let just = "x".repeat(32_767);
        check(&format!("4 - a={just}"), 0, &[&format!(" a={just}")]);
    }
}
