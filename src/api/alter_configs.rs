//! AlterConfigs (33), v0 to v2, the older of two ways to change configurations: what is given
//! replaces everything that was set before (`ControllerApis.handleLegacyAlterConfigs`,
//! `ConfigurationControlManager.legacyAlterConfigs`, 4.3.1).
//!
//! The file holds what it shares with IncrementalAlterConfigs: resources are judged one by one, and
//! all that pass go into one batch.

use std::collections::BTreeMap;

use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Write, message};
use crate::ids::{ConfigKind, ConfigResource};
use crate::records::Record;
use crate::refusal::{self, Refusal};
use crate::rules::configs::alter::{self, Changes};
use crate::rules::configs::{Layers, Overrides, overrides};
use crate::rules::{Ctx, Decision, RECORDS_PER_DECISION_MAX};

/// The type of resource that stands for a node's loggers. Their levels are never stored.
pub(super) const BROKER_LOGGER: i8 = 8;

impl Write for AlterConfigsRequest {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<Self::Response>, Refusal> {
        let mut altered = alter_all(ctx, &self.resources)?;
        if self.validate_only {
            altered.records.clear();
        }
        let responses = altered.outcomes.iter().map(response).collect();
        let answer = AlterConfigsResponse::default().with_responses(responses);
        Ok(Decision::write(altered.records, answer))
    }

    fn refuse(&self, refusal: &Refusal) -> Self::Response {
        let all = self
            .resources
            .iter()
            .map(|resource| Outcome::refused(resource, refusal.clone()));
        let responses = all.map(|outcome| response(&outcome)).collect();
        AlterConfigsResponse::default().with_responses(responses)
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
        _kind: ConfigKind,
        existing: &Overrides<'a>,
    ) -> Result<Changes<'a>, Refusal> {
        let given = self.configs.iter();
        let named: BTreeMap<&str, Option<String>> = given
            .map(|config| {
                (
                    &*config.name,
                    config.value.as_ref().map(|value| value.to_string()),
                )
            })
            .collect();
        let unnamed = existing
            .keys()
            .copied()
            .filter(|key| !named.contains_key(key))
            .collect();
        Ok(Changes { named, unnamed })
    }
    fn logger(&self, _ctx: &Ctx<'_>) -> Result<(), Refusal> {
        Err(refusal::invalid_request(
            "Unexpected resource type BROKER_LOGGER.",
        ))
    }
}

/// A resource as either of the two requests names it.
pub(super) trait Resource {
    /// Number of its type.
    fn kind(&self) -> i8;
    /// Its name.
    fn name(&self) -> &StrBytes;
    /// What the request wants of it, given what is set now.
    fn changes<'a>(
        &'a self,
        kind: ConfigKind,
        existing: &Overrides<'a>,
    ) -> Result<Changes<'a>, Refusal>;
    /// What becomes of it where it stands for a node's loggers.
    fn logger(&self, ctx: &Ctx<'_>) -> Result<(), Refusal>;
}

/// What became of one resource.
pub(super) struct Outcome {
    pub(super) resource_type: i8,
    pub(super) resource_name: StrBytes,
    refusal: Option<Refusal>,
}

impl Outcome {
    fn of(resource: &impl Resource, outcome: Result<(), Refusal>) -> Self {
        Self {
            resource_type: resource.kind(),
            resource_name: resource.name().clone(),
            refusal: outcome.err(),
        }
    }
    pub(super) fn refused(resource: &impl Resource, refusal: Refusal) -> Self {
        Self::of(resource, Err(refusal))
    }
    pub(super) fn code(&self) -> i16 {
        self.refusal.as_ref().map_or(0, Refusal::code)
    }
    pub(super) fn message(&self) -> Option<StrBytes> {
        self.refusal.as_ref().and_then(message)
    }
}

/// What is written and answered for all resources of a request.
pub(super) struct Altered {
    pub(super) records: Vec<Record>,
    pub(super) outcomes: Vec<Outcome>,
}

/// Judges every resource. Those that cannot be judged come first in the answer, loggers last.
pub(super) fn alter_all<R: Resource>(ctx: &Ctx<'_>, resources: &[R]) -> Result<Altered, Refusal> {
    let mut times: BTreeMap<(i8, &str), u32> = BTreeMap::new();
    for resource in resources {
        *times.entry((resource.kind(), resource.name())).or_default() += 1;
    }
    let layers = Layers::of(ctx);
    let (mut records, mut unclear, mut judged, mut loggers) = (vec![], vec![], vec![], vec![]);
    for resource in resources {
        let code = resource.kind();
        if code == BROKER_LOGGER {
            loggers.push(Outcome::of(resource, resource.logger(ctx)));
            continue;
        }
        let Some(kind) = ConfigKind::from_code(code) else {
            let refusal = refusal::unsupported_version(format!("Unknown resource type {code}."));
            unclear.push(Outcome::refused(resource, refusal));
            continue;
        };
        match times.get_mut(&(code, &**resource.name())) {
            Some(1) => {
                let altered = alter_one(ctx, resource, kind, &layers);
                judged.push(Outcome::of(
                    resource,
                    altered.map(|more| records.extend(more)),
                ));
            }
            // Named more than once: refused once, and changed not at all.
            Some(times) if *times > 1 => {
                *times = 0;
                let refusal = refusal::invalid_request("Duplicate resource.");
                unclear.push(Outcome::refused(resource, refusal));
            }
            _ => {}
        }
        if records.len() > RECORDS_PER_DECISION_MAX {
            return Err(refusal::too_many_records());
        }
    }
    records.extend(alter::clear_elr(ctx, &records));
    if records.len() > RECORDS_PER_DECISION_MAX {
        return Err(refusal::too_many_records());
    }
    let outcomes = [unclear, judged, loggers].into_iter().flatten().collect();
    Ok(Altered { records, outcomes })
}

fn alter_one(
    ctx: &Ctx<'_>,
    resource: &impl Resource,
    kind: ConfigKind,
    layers: &Layers<'_>,
) -> Result<Vec<Record>, Refusal> {
    let named = ConfigResource {
        kind,
        name: resource.name().to_string(),
    };
    let existing = overrides(ctx.image, &named);
    let changes = resource.changes(kind, &existing)?;
    alter::records(ctx, &named, &existing, &changes, layers, false)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::alter_configs_request::AlterableConfig;

    use super::*;
    use crate::ids::BrokerId;
    use crate::rules::scene::Scene;

    /// Alters one resource of a cluster whose topic `t` and broker 1 have configurations.
    #[track_caller]
    fn check(kind: i8, name: &str, configs: &[(&str, Option<&str>)], code: i16, written: &[&str]) {
        let topic = ConfigResource::topic("t");
        let scene = Scene::new()
            .brokers(1)
            .topic("t", &[&[1]])
            .config(topic.clone(), "flush.ms", "5")
            .config(topic, "min.insync.replicas", "2")
            .config(
                ConfigResource::broker(BrokerId(1)),
                "background.threads",
                "5",
            );
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let config = |(key, value): &(&str, Option<&str>)| {
            AlterableConfig::default()
                .with_name(text(key))
                .with_value(value.map(text))
        };
        let resource = AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configs(configs.iter().map(config).collect());
        let request = AlterConfigsRequest::default().with_resources(vec![resource]);
        let decision = request.decide(&scene.ctx(2)).unwrap();
        let response = &decision.response.responses[0];
        assert_eq!(response.error_code, code, "{response:?}");
        let line = |record: &Record| match record {
            Record::Config(it) => format!("{}={}", it.name, it.value.as_deref().unwrap_or("!")),
            Record::ClearElr(it) => format!("clear {}", it.topic_name),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            decision.records.iter().map(line).collect::<Vec<_>>(),
            written
        );
    }

    #[test]
    fn what_is_not_given_is_deleted() {
        let isr = ("min.insync.replicas", Some("2"));
        check(2, "t", &[isr, ("flush.ms", Some("5"))], 0, &[]);
        check(2, "t", &[isr, ("flush.ms", Some("6"))], 0, &["flush.ms=6"]);
        check(2, "t", &[isr, ("flush.ms", None)], 0, &["flush.ms=!"]);
        check(
            2,
            "t",
            &[isr, ("retention.ms", Some("7"))],
            0,
            &["retention.ms=7", "flush.ms=!"],
        );
        check(
            2,
            "t",
            &[],
            0,
            &["flush.ms=!", "min.insync.replicas=!", "clear t"],
        );
        check(
            4,
            "1",
            &[("background.threads", Some("5"))],
            0,
            &["background.threads=5"],
        );
    }

    #[test]
    fn refusals() {
        // The cluster has a min.insync.replicas of its own, which must stay while ELRs are kept.
        check(4, "", &[("a", Some("1"))], 40, &[]);
        check(2, "t", &[("no.such.key", Some("1"))], 40, &[]);
        check(2, "nosuch", &[], 3, &[]);
        check(4, "99", &[], 102, &[]);
        check(8, "3000", &[], 42, &[]);
        check(77, "t", &[], 35, &[]);
    }
}
