//! Work too long for one batch, carried on in slices between other requests.
//!
//! Fencing a broker that leads 100,000 partitions must not make everybody else wait. Its plan is
//! decided slice by slice against the `ahead` of that moment; the last slice writes the record that
//! makes it true (the fence). Until then the broker is *leaving*: not chosen for anything, and its
//! own heartbeats and registrations are held here. What a slice holds is a rule
//! ([`slice()`]); here is only whose turn it is.

use std::collections::VecDeque;

use crate::controller::Origin;
use crate::controller::core::{Ask, Decided, Waiting};
use crate::ids::BrokerId;
use crate::rules::brokers::{RECORDS_PER_SLICE_MAX, Slice, slice};
use crate::rules::{Ctx, Live, LiveChange, Plan};

/// Most proposals under way with which a further slice is decided: others' requests go between.
const SLICES_IN_FLIGHT_MAX: usize = 2;
/// Most requests of a leaving broker that are held; it sends one at a time.
const HELD_MAX: usize = 16;

/// The plans under way, oldest first.
#[derive(Default)]
pub(super) struct Plans(VecDeque<ActivePlan>);

/// A plan that did not fit its decision, and who waits for its end.
pub(super) struct ActivePlan {
    pub(super) plan: Plan,
    pub(super) origin: Origin,
    /// The answer, given with the last slice.
    pub(super) answer: Option<(Waiting, Decided)>,
    /// Requests of the broker that came in meanwhile.
    pub(super) held: Vec<Ask>,
}

impl ActivePlan {
    /// The next slice.
    pub(super) fn slice(&self, ctx: &Ctx<'_>) -> Slice {
        slice(ctx, &self.plan, self.plan.from, RECORDS_PER_SLICE_MAX)
    }
}

impl Plans {
    /// Keeps a plan that is not finished; the others have their turn first.
    pub(super) fn keep(&mut self, plan: ActivePlan) {
        self.0.push_back(plan);
    }

    /// Whether a slice may be decided while so many proposals are under way.
    pub(super) fn ready(&self, in_flight: usize) -> bool {
        !self.0.is_empty() && in_flight < SLICES_IN_FLIGHT_MAX
    }

    /// Takes the oldest plan, to decide its next slice.
    pub(super) fn take(&mut self) -> Option<ActivePlan> {
        self.0.pop_front()
    }

    /// Holds a request of a busy broker until its plan ends; gives it back if too many wait.
    pub(super) fn hold(&mut self, broker: BrokerId, ask: Ask) -> Option<Ask> {
        match self
            .0
            .iter_mut()
            .find(|active| active.plan.broker == broker)
        {
            Some(active) if active.held.len() < HELD_MAX => {
                active.held.push(ask);
                None
            }
            _ => Some(ask),
        }
    }

    /// Drops every plan; gives back whoever waited for one.
    pub(super) fn abandon(&mut self, live: &mut Live) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        for active in self.0.drain(..) {
            live.apply(LiveChange::PlanOver {
                broker: active.plan.broker,
            });
            waiting.extend(active.answer.map(|(waiting, _)| waiting));
            waiting.extend(active.held.into_iter().map(|ask| Waiting {
                request: ask.request,
                reply: ask.reply,
            }));
        }
        waiting
    }
}
