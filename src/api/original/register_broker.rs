//! Registers a sessionless broker: YAKt fills in its incarnation, its directory and the features
//! that this release supports.

use serde::{Deserialize, Serialize};

use super::{Done, end_points};
use crate::api::broker_registration::check_id;
use crate::ids::{BrokerId, Uuid};
use crate::image::side::SideChange;
use crate::records::{BrokerFeature, RegisterBrokerRecord};
use crate::refusal::{self, Refusal};
use crate::rules::electorate::metadata_version;
use crate::rules::features::{FEATURES, gate};
use crate::rules::{Ctx, Decision, LiveChange, Plan, View, brokers};

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegisterBroker {
    /// The id, not in use by a broker or a voter.
    pub broker_id: i32,
    /// Where clients reach it; together with `port`.
    pub host: Option<String>,
    /// Where clients reach it; together with `host`.
    pub port: Option<u16>,
    /// Number of the security protocol it speaks there.
    pub security_protocol: i16,
    /// Its rack.
    pub rack: Option<String>,
    /// Whether it starts fenced.
    pub fenced: bool,
}

impl RegisterBroker {
    pub(super) fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<Done>, Refusal> {
        let broker_id = BrokerId(self.broker_id);
        check_id(&ctx.view, broker_id)?;
        if ctx.live.is_busy(broker_id) {
            return Err(refusal::broker_is_busy(broker_id));
        }
        if ctx.image.broker(broker_id).is_some() {
            return Err(refusal::duplicate_broker_registration());
        }
        let record = RegisterBrokerRecord {
            broker_id,
            incarnation_id: ctx.dice.uuid(),
            broker_epoch: ctx.image.end_offset(),
            end_points: end_points(self.host.as_deref(), self.port, self.security_protocol)?,
            features: supported_features(),
            rack: self.rack.clone(),
            fenced: self.fenced,
            log_dirs: log_dirs(ctx, broker_id),
            ..RegisterBrokerRecord::default()
        };
        let done = Done::Broker {
            incarnation_id: record.incarnation_id,
            broker_id: broker_id.0,
        };
        decide_registration(ctx, record, done)
    }
}

/// The directory of the last sessionless broker under this id, so that it has its partitions again,
/// or else a new one.
fn log_dirs(ctx: &Ctx<'_>, broker: BrokerId) -> Vec<Uuid> {
    if metadata_version(ctx.image) < gate::DIRECTORIES {
        return Vec::new();
    }
    let closed = ctx.image.closed_brokers();
    let before = closed
        .filter(|(life, _)| life.broker_id == broker && life.sessionless)
        .last();
    match before {
        Some((_, registration)) if !registration.log_dirs.is_empty() => {
            registration.log_dirs.clone()
        }
        _ => vec![ctx.dice.uuid()],
    }
}

/// Everything this release supports: a sessionless broker holds no feature back.
fn supported_features() -> Vec<BrokerFeature> {
    let supported = FEATURES.iter().map(|feature| BrokerFeature {
        name: feature.name.to_owned(),
        min_supported_version: feature.min,
        max_supported_version: feature.max,
    });
    supported.collect()
}

/// Writes a sessionless broker's registration. If it is unfenced by it, partitions that were waiting
/// for this broker are decided on the image as it is behind the record, since before it there is
/// nobody to elect.
pub(super) fn decide_registration(
    ctx: &Ctx<'_>,
    record: RegisterBrokerRecord,
    done: Done,
) -> Result<Decision<Done>, Refusal> {
    let broker = record.broker_id;
    let side = vec![SideChange::Sessionless { broker }];
    let unfenced = !record.fenced;
    let records = vec![record.into()];
    let mut image = ctx.image.clone();
    image
        .apply_records(
            image.end_offset(),
            image.last_epoch(),
            ctx.now,
            &records,
            &side,
        )
        .map_err(|error| refusal::invalid_registration(error.to_string()))?;

    let mut decision = Decision {
        side,
        ..Decision::write(records, done)
    }
    .with_live(LiveChange::Forgotten { broker });
    if let Some(registered) = image.broker(broker).filter(|_| unfenced) {
        let mut plan = Plan::unfence(registered);
        plan.last.clear();
        let behind = Ctx {
            view: View {
                image: &image,
                ..ctx.view
            },
            ..*ctx
        };
        decision = brokers::carry_out(decision, &behind, plan);
    }
    Ok(decision)
}
