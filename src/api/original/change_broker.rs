//! Changes a sessionless broker: its address, its status, up to unregistering it. Each change is one
//! record of that broker, so that its count of changes grows by one.

use serde::{Deserialize, Serialize};

use super::register_broker::decide_registration;
use super::{Done, end_points, living};
use crate::ids::Uuid;
use crate::image::Broker;
use crate::image::side::SideChange;
use crate::records::RegisterBrokerRecord;
use crate::refusal::{self, Refusal};
use crate::rules::{Ctx, Decision, Plan, brokers};

/// What is asked for. What is absent stays.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeBroker {
    /// Which life of a broker: its incarnation id.
    pub incarnation_id: Uuid,
    /// Another host.
    pub host: Option<String>,
    /// Another port.
    pub port: Option<u16>,
    /// Number of another security protocol.
    pub security_protocol: Option<i16>,
    /// Another status.
    pub status: Option<Status>,
}

/// A status that a broker can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It may neither lead nor be in sync.
    Fenced,
    /// It may.
    Alive,
    /// It is unregistered.
    Closed,
}

impl ChangeBroker {
    pub(super) fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<Done>, Refusal> {
        let (life, broker) = living(ctx, self.incarnation_id)?;
        if !life.sessionless {
            return Err(refusal::invalid_request(
                "The broker registered by a Kafka frame and has heartbeats: it changes only by them.",
            ));
        }
        if ctx.live.is_busy(broker.id) {
            return Err(refusal::broker_is_busy(broker.id));
        }
        let done = Done::Broker {
            incarnation_id: life.id,
            broker_id: broker.id.0,
        };
        let fenced = match self.status {
            Some(Status::Closed) => {
                return Ok(brokers::carry_out(
                    Decision::answer(done),
                    ctx,
                    Plan::unregister(broker),
                ));
            }
            Some(status) => status == Status::Fenced,
            None => broker.fenced,
        };
        if self.host.is_none() && self.port.is_none() && self.security_protocol.is_none() {
            return Ok(with_status(ctx, broker, fenced, Decision::answer(done)));
        }
        self.move_and_set_status(ctx, broker, fenced, done)
    }

    /// Addresses are only in a whole registration, so one is written, of the same life and epoch.
    fn move_and_set_status(
        &self,
        ctx: &Ctx<'_>,
        broker: &Broker,
        fenced: bool,
        done: Done,
    ) -> Result<Decision<Done>, Refusal> {
        let now = broker.end_points.first();
        let host = self.host.as_deref().or_else(|| now.map(|it| &*it.host));
        let port = self.port.or_else(|| now.map(|it| it.port));
        let of_now = || now.map(|it| it.security_protocol);
        let security_protocol = self.security_protocol.or_else(of_now).unwrap_or_default();
        let record = RegisterBrokerRecord {
            end_points: end_points(host, port, security_protocol)?,
            fenced,
            ..broker.to_record()
        };
        if broker.fenced || !fenced {
            return decide_registration(ctx, record, done);
        }
        // To be fenced it first loses its leaderships, and the registration is the last record.
        let side = vec![SideChange::Sessionless { broker: broker.id }];
        let mut plan = Plan::fence(broker);
        plan.last = vec![record.clone().into()];
        let decision = Decision {
            side,
            ..Decision::answer(done.clone())
        };
        let decision = brokers::carry_out(decision, ctx, plan);
        if decision.plan.is_none() {
            return Ok(decision);
        }
        // Too much for one batch, and the side room's change must be in the registration's. So the
        // address changes first, and the fence follows in slices as a change of its own.
        let moved = decide_registration(
            ctx,
            RegisterBrokerRecord {
                fenced: false,
                ..record
            },
            done,
        )?;
        Ok(brokers::carry_out(moved, ctx, Plan::fence(broker)))
    }
}

/// Fences or unfences; a record is written even where nothing changes, because the change was made.
fn with_status(
    ctx: &Ctx<'_>,
    broker: &Broker,
    fenced: bool,
    mut decision: Decision<Done>,
) -> Decision<Done> {
    match (broker.fenced, fenced) {
        (false, true) => brokers::carry_out(decision, ctx, Plan::fence(broker)),
        (true, false) => brokers::carry_out(decision, ctx, Plan::unfence(broker)),
        _ => {
            decision.records.push(brokers::change_of(broker).into());
            decision
        }
    }
}
