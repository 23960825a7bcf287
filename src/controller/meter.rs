//! What the loop counts: how long requests wait and take, how long commits take, who leads, who was
//! heard from. It looks on and changes nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;

use crate::clock::{Clock, Ticks};
use crate::controller::QuorumEvent;
use crate::controller::core::{Ask, Effects, Touch};
use crate::ids::BrokerId;
use crate::metrics::Metrics;

/// The loop's counting.
pub(super) struct Meter {
    pub(super) metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    /// Proposals under way, in the order of their tickets, and when each was made.
    proposed: VecDeque<(u64, Ticks)>,
    leader: Option<BrokerId>,
    /// Since when no leader is known.
    leaderless: Option<Ticks>,
}

impl Meter {
    pub(super) fn new(metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        let leaderless = Some(clock.ticks());
        Self {
            metrics,
            clock,
            proposed: VecDeque::new(),
            leader: None,
            leaderless,
        }
    }

    /// A request leaves the mailbox: its waiting ends, and its way to the answer begins.
    pub(super) fn took(&self, ask: &mut Ask) {
        let begun = self.clock.ticks();
        self.metrics.operations_started.inc();
        self.metrics.queue_time.note(ask.arrived, begun);
        let heartbeat = ask.request.heartbeat().is_some();
        let (metrics, clock) = (Arc::clone(&self.metrics), Arc::clone(&self.clock));
        let reply = std::mem::replace(&mut ask.reply, Box::new(|_| {}));
        ask.reply = Box::new(move |replied| {
            metrics.processing_time.note(begun, clock.ticks());
            match replied
                .result
                .as_ref()
                .err()
                .map(|(refusal, _)| refusal.code)
            {
                Some(ResponseError::RequestTimedOut) => {
                    metrics.operations_timed_out.inc();
                    metrics.heartbeats_timed_out.add(u64::from(heartbeat));
                }
                Some(ResponseError::UnknownServerError) => metrics.faults.inc(),
                _ => {}
            }
            reply(replied);
        });
    }

    /// Heartbeats seen at the door.
    pub(super) fn heard(&self, touches: &[Touch]) {
        touches
            .iter()
            .for_each(|touch| self.metrics.heard_from(touch.broker, touch.at));
    }

    /// News of the quorum, before the core hears them.
    pub(super) fn news(&mut self, event: &QuorumEvent, node: BrokerId) {
        match event {
            QuorumEvent::Leading { .. } => self.knows(Some(node)),
            QuorumEvent::Following { leader, .. } => {
                self.proposed.clear();
                self.knows(*leader);
            }
            QuorumEvent::Outcome { ticket, .. } => {
                while let Some((proposed, at)) = self.proposed.front().copied()
                    && proposed <= *ticket
                {
                    self.metrics.commit_latency.note(at, self.clock.ticks());
                    self.proposed.pop_front();
                }
            }
            QuorumEvent::Barrier { .. } | QuorumEvent::Voters(_) => {}
        }
    }

    fn knows(&mut self, leader: Option<BrokerId>) {
        if leader == self.leader {
            return;
        }
        self.leader = leader;
        let now = self.clock.ticks();
        if leader.is_none() {
            self.leaderless.get_or_insert(now);
            return;
        }
        self.metrics.leaders_seen.inc();
        if let Some(since) = self.leaderless.take() {
            self.metrics.election_latency.note(since, now);
        }
    }

    /// A step that began then is done, with these effects.
    pub(super) fn stepped(&mut self, begun: Ticks, effects: &Effects) {
        let now = self.clock.ticks();
        self.metrics
            .busy_us
            .add(u64::try_from(now.0 - begun.0).unwrap_or(0));
        self.metrics
            .unclean_elections
            .add(effects.elections.unclean);
        self.metrics
            .eligible_elections
            .add(effects.elections.eligible);
        self.proposed
            .extend(effects.proposals.iter().map(|it| (it.ticket, now)));
    }
}
