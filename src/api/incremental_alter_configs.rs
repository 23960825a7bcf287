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
use crate::rules::config_keys::{self, Key, Type};
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
    let key = config_keys::find(keys_of(kind), &config.name);
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

fn keys_of(kind: ConfigKind) -> &'static [Key] {
    match kind {
        ConfigKind::Topic => config_keys::TOPIC,
        ConfigKind::Broker => config_keys::BROKER,
        ConfigKind::ClientMetrics => config_keys::CLIENT_METRICS,
        ConfigKind::Group => config_keys::GROUP,
    }
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
