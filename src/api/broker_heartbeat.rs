//! BrokerHeartbeat (63): a broker is alive, says how far it has read, and asks for its next state.
//!
//! | is | asks | becomes |
//! |---|---|---|
//! | fenced | to stop | stopped |
//! | fenced | to be unfenced, and has read its own registration | unfenced |
//! | unfenced | to be fenced, or to be fenced and stop | fenced, stopped |
//! | unfenced | to stop while it leads something | shutting down |
//! | unfenced | to stop while it leads nothing | stopped |
//! | shutting down | anything, leads nothing, and all have read that | stopped |
//!
//! Version 2 added the cordoned directories as tagged field 1, which the wire crate does not know
//! yet: its frames are read as version 1, and the field is among the unknown ones
//! (`BrokerHeartbeatManager.calculateNextBrokerState`, 4.3.1).

use std::collections::BTreeSet;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::{BrokerHeartbeatRequest, BrokerHeartbeatResponse};

use crate::api::Write;
use crate::ids::{BrokerEpoch, BrokerId, Uuid};
use crate::image::Broker;
use crate::records::BrokerRegistrationChangeRecord;
use crate::refusal::{self, Refusal};
use crate::rules::electorate::metadata_version;
use crate::rules::features::gate;
use crate::rules::{Ctx, Decision, LiveChange, Plan, brokers};

/// The first version with cordoned directories, and their tag.
const CORDONED: (i16, i32) = (2, 1);

impl Write for BrokerHeartbeatRequest {
    fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<BrokerHeartbeatResponse>, Refusal> {
        let broker = brokers::registered(ctx, self.broker_id, self.broker_epoch)?;
        if ctx.image.is_sessionless(broker.id) {
            return Err(refusal::no_registration(broker.id));
        }
        if ctx.live.is_busy(broker.id) {
            return Err(refusal::broker_is_busy(broker.id));
        }
        let cordoned = cordoned_log_dirs(self, ctx.version)?;
        let now = State::of(ctx, broker);
        let next = next_state(self, ctx, broker, now);
        let response = BrokerHeartbeatResponse::default()
            .with_is_caught_up(self.current_metadata_offset >= broker.registered_at)
            .with_is_fenced(matches!(next, State::Fenced | State::Stopped))
            .with_should_shut_down(next == State::Stopped);
        let mut decision = Decision::answer(response).with_live(LiveChange::Heartbeat {
            broker: broker.id,
            epoch: broker.epoch,
            at: ctx.ticks,
            metadata_offset: self.current_metadata_offset,
        });
        if next != now {
            let plan = match next {
                State::Fenced | State::Stopped => Plan::fence(broker),
                State::Unfenced => Plan::unfence(broker),
                State::ShuttingDown => Plan::shut_down(broker),
            };
            decision = brokers::carry_out(decision, ctx, plan);
        }
        // A broker repeats its directories with every heartbeat: while its partitions are being gone
        // through they can wait for the next one.
        if decision.plan.is_none()
            && metadata_version(ctx.image) >= gate::DIRECTORIES
            && let Some(plan) = Plan::directories_offline(broker, &self.offline_log_dirs)
        {
            decision = brokers::carry_out(decision, ctx, plan);
        }
        if decision.plan.is_none() && metadata_version(ctx.image) >= gate::CORDONED_DIRECTORIES {
            decision
                .records
                .extend(cordon(broker, cordoned).map(Into::into));
        }
        Ok(decision)
    }

    fn refuse(&self, refusal: &Refusal) -> BrokerHeartbeatResponse {
        BrokerHeartbeatResponse::default().with_error_code(refusal.code())
    }

    fn broker(&self) -> Option<BrokerId> {
        Some(self.broker_id)
    }

    fn heartbeat(&self) -> Option<(BrokerId, BrokerEpoch)> {
        Some((self.broker_id, self.broker_epoch))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fenced,
    Unfenced,
    ShuttingDown,
    /// It may end its process now.
    Stopped,
}

impl State {
    fn of(ctx: &Ctx<'_>, broker: &Broker) -> Self {
        if ctx.live.shutdown_offset(broker.id).is_some() {
            Self::ShuttingDown
        } else if broker.fenced {
            Self::Fenced
        } else {
            Self::Unfenced
        }
    }
}

fn next_state(
    request: &BrokerHeartbeatRequest,
    ctx: &Ctx<'_>,
    broker: &Broker,
    now: State,
) -> State {
    let leads_nothing = || ctx.image.leader_count(broker.id) == 0;
    match now {
        State::Fenced if request.want_shut_down => State::Stopped,
        State::Fenced if request.want_fence => State::Fenced,
        State::Fenced if request.current_metadata_offset >= broker.registered_at => State::Unfenced,
        State::Fenced => State::Fenced,
        State::Unfenced if request.want_fence && request.want_shut_down => State::Stopped,
        State::Unfenced if request.want_fence => State::Fenced,
        State::Unfenced if request.want_shut_down && leads_nothing() => State::Stopped,
        State::Unfenced if request.want_shut_down => State::ShuttingDown,
        State::Unfenced => State::Unfenced,
        State::ShuttingDown if leads_nothing() && all_have_read(ctx, broker.id) => State::Stopped,
        State::ShuttingDown => State::ShuttingDown,
        State::Stopped => State::Stopped,
    }
}

/// Whether every active broker has read that this one leads nothing any more, so that no client is
/// sent to it.
fn all_have_read(ctx: &Ctx<'_>, broker: BrokerId) -> bool {
    let unfenced = |other| {
        ctx.view
            .image
            .broker(other)
            .is_some_and(|other| !other.fenced)
    };
    let offset = ctx.live.shutdown_offset(broker).unwrap_or(-1);
    offset <= ctx.live.lowest_active_offset(unfenced)
}

/// The record for directories that are to get no new replicas, if they are others than before. A
/// broker that has not read its configuration yet says nothing about them.
fn cordon(broker: &Broker, cordoned: Option<Vec<Uuid>>) -> Option<BrokerRegistrationChangeRecord> {
    let cordoned = cordoned?;
    if let Some(before) = &broker.cordoned_log_dirs {
        let before: BTreeSet<_> = before.iter().collect();
        if before == cordoned.iter().collect() {
            return None;
        }
    }
    let cordoned_log_dirs = Some(cordoned);
    Some(BrokerRegistrationChangeRecord {
        cordoned_log_dirs,
        ..brokers::change_of(broker)
    })
}

/// The field that the wire crate does not know: a compact nullable array of uuids, null where it is
/// absent.
fn cordoned_log_dirs(
    request: &BrokerHeartbeatRequest,
    version: i16,
) -> Result<Option<Vec<Uuid>>, Refusal> {
    let (since, tag) = CORDONED;
    let Some(field) = request
        .unknown_tagged_fields
        .get(&tag)
        .filter(|_| version >= since)
    else {
        return Ok(None);
    };
    let malformed = || refusal::invalid_request("The cordoned directories are not a list of ids.");
    let mut field: Bytes = field.clone();
    // The length and one more; zero says null.
    let Some(length) = unsigned_varint(&mut field)
        .ok_or_else(malformed)?
        .checked_sub(1)
    else {
        return Ok(None);
    };
    if field.len() as u64 != u64::from(length) * 16 {
        return Err(malformed());
    }
    let ids = std::iter::from_fn(|| field.has_remaining().then(|| field.get_u128()));
    Ok(Some(ids.map(Uuid::from_u128).collect()))
}

fn unsigned_varint(bytes: &mut Bytes) -> Option<u32> {
    let mut value = 0u32;
    for shift in (0..35).step_by(7) {
        let byte = if bytes.has_remaining() {
            bytes.get_u8()
        } else {
            return None;
        };
        value |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests;
