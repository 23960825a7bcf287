//! The whole leader as one synchronous step: an event in, effects out. No task, no clock, no socket.
//!
//! ```text
//!   Ask ─────────►┌──────────────────────────────┐──► proposals   (in order, into the log)
//!   Leading ─────►│ ahead = committed + proposed │
//!   Outcome ─────►│ live  = who was heard when   │──► replies     (each released by the outcome
//!   Barrier ─────►│ parked answers, plans        │                 of its own proposal)
//!   Tick ────────►└──────────────────────────────┘──► barrier, resign
//! ```
//!
//! A decision looks at `ahead`, so requests are decided one after another without waiting for the
//! disk. What one step decides goes into the log as one proposal. An answer is parked under the
//! proposal that holds its records; one that writes nothing waits for the newest proposal it was
//! decided on. Whenever a proposal ends in another way than applied, `ahead` may
//! hold what will never be true: the leader *settles*: it stops deciding, lets what is in flight
//! end, asks for a barrier and begins a new run on the committed image.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::api::{Answer, AnyWrite};
use crate::clock::{Dice, Ticks};
use crate::controller::draft::{self, Draft, Rejected, Written};
use crate::controller::plans::{ActivePlan, Plans};
use crate::controller::timetable::{Due, Timetable};
use crate::controller::{Origin, Outcome, Proposal, QuorumEvent};
use crate::ids::{BrokerEpoch, BrokerId, Epoch, Millis, Offset, QuorumView, Voter};
use crate::image::Image;
use crate::image::side::SideChange;
use crate::records::control::ControlRecord;
use crate::records::{NoOpRecord, Record};
use crate::refusal::{self, Refusal};
use crate::rules::chores;
use crate::rules::{Caller, Ctx, Decision, Live, LiveChange, View};
use crate::settings::Settings;

/// Most proposals under way before the leader leaves requests in the mailbox. While one is synced
/// and one waits, those that come go into the log together: the more come, the less each costs.
pub const PROPOSALS_IN_FLIGHT_MAX: usize = 4;

/// Pause between two barriers of a leader that settles.
const BARRIER_RETRY_MS: i64 = 20;

/// The controller's own work, where an API's number is asked for.
const CHORE: i16 = -1;

/// Chores rest for so long after one that failed.
const CHORES_REST_MS: i64 = 1_000;

/// A request as it waits in the mailbox.
pub struct Ask {
    /// What is asked.
    pub request: Box<dyn AnyWrite>,
    /// Who asks.
    pub caller: Caller,
    /// Kafka's number of the API; -1 for a request that has none (HTTP's own).
    pub api: i16,
    /// Version of the request.
    pub version: i16,
    /// When it came in at the door.
    pub arrived: Ticks,
    /// Where the answer goes.
    pub reply: ReplyTo,
}

/// Takes the answer to where it is waited for.
pub type ReplyTo = Box<dyn FnOnce(Replied) + Send>;

/// How a request ended.
pub struct Replied {
    /// The answer, or the refusal with the answer that says it.
    pub result: Result<Box<dyn Answer>, (Refusal, Box<dyn Answer>)>,
    /// The end offset from which an image holds what was answered; 0 where nothing was decided.
    pub offset: Offset,
}

/// A broker's heartbeat as the door saw it, before the mailbox.
#[derive(Clone, Copy, Debug)]
pub struct Touch {
    /// Which broker.
    pub broker: BrokerId,
    /// The epoch it claims; only its registered one counts.
    pub epoch: BrokerEpoch,
    /// When.
    pub at: Ticks,
}

/// Everything that can make the leader act.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and none is kept"
)]
pub enum Event {
    /// Requests, in the order in which they are decided.
    Asks(Vec<Ask>),
    /// Heartbeats seen at the door since the last time.
    Touches(Vec<Touch>),
    /// News from the quorum.
    Quorum(QuorumEvent),
    /// The moment that [`Core::wake_at`] named has come, and the brokers' mailbox is empty.
    Tick,
}

/// What is to be done now. The loop carries it out in this order.
#[derive(Default)]
pub struct Effects {
    /// To be handed to the quorum in this order.
    pub proposals: Vec<Proposal>,
    /// To be given back.
    pub replies: Vec<(ReplyTo, Replied)>,
    /// Ask the quorum for a barrier in this term.
    pub barrier: Option<Epoch>,
    /// Give up leadership of this term.
    pub resign: Option<Epoch>,
    /// Leaders that the proposals elect from outside the ISR.
    pub elections: Elections,
}

/// Elections that cost something, or could have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elections {
    /// Data may be lost.
    pub unclean: u64,
    /// From the eligible leader replicas.
    pub eligible: u64,
}

impl Elections {
    /// Counts a change of a partition of this image.
    fn count(&mut self, image: &Image, record: &Record) {
        let Record::PartitionChange(change) = record else {
            return;
        };
        let Some(before) = image.partition(change.topic_id, change.partition_id) else {
            return;
        };
        let leader = BrokerId(change.leader);
        if leader.0 < 0 || before.isr().contains(&leader) {
            return;
        }
        if before.elr().contains(&leader) {
            self.eligible += 1;
        } else if change.leader_recovery_state == 1 {
            self.unclean += 1;
        }
    }
}

/// The time as the loop read it for this step.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Wall clock.
    pub millis: Millis,
    /// Monotonic clock.
    pub ticks: Ticks,
}

/// The controller's state on one node, leader or not.
pub struct Core {
    settings: Arc<Settings>,
    seeds: Vec<Record>,
    dice: Dice,
    /// The caller of background work.
    chores: Caller,
    quorum: QuorumView,
    next_ticket: u64,
    lead: Option<Lead>,
}

/// What only a leader has.
struct Lead {
    epoch: Epoch,
    run: u32,
    ahead: Image,
    /// What this step writes, applied to `ahead` already; its answers are parked last.
    draft: Option<Draft>,
    live: Live,
    parked: VecDeque<Parked>,
    plans: Plans,
    timetable: Timetable,
    settling: Option<Settling>,
    last_step: Ticks,
    /// Until then no chore is begun: one of them has failed.
    chores_rest_until: Ticks,
}

/// The answers that wait for one proposal.
struct Parked {
    ticket: u64,
    ended: bool,
    end: Offset,
    answers: Vec<(Waiting, Decided)>,
}

/// What was decided for a request; told once that is certain. A refusal waits like an answer: it,
/// too, may rest on what is not committed yet.
pub(super) type Decided = Result<Box<dyn Answer>, Refusal>;

/// Where an answer goes, and the request, which knows how to say no.
pub(super) struct Waiting {
    pub(super) request: Box<dyn AnyWrite>,
    pub(super) reply: ReplyTo,
}

impl Waiting {
    fn release(self, decided: Decided, offset: Offset) -> (ReplyTo, Replied) {
        match decided {
            Ok(answer) => (
                self.reply,
                Replied {
                    result: Ok(answer),
                    offset,
                },
            ),
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn refuse(self, refusal: Refusal) -> (ReplyTo, Replied) {
        let answer = self.request.refuse(&refusal);
        (
            self.reply,
            Replied {
                result: Err((refusal, answer)),
                offset: 0,
            },
        )
    }
}

/// The leader has stopped deciding and waits until it knows again what is true.
struct Settling {
    barrier_asked: bool,
    retry_at: Ticks,
    resign_at: Ticks,
    /// Patience has ended once: leadership was offered, and nobody is kept waiting any more.
    given_up: bool,
}

impl Core {
    /// A controller that does not lead yet. `seeds`: the records that formatting chose for the first
    /// leader of an empty log.
    pub fn new(settings: Arc<Settings>, seeds: Vec<Record>, dice: Dice) -> Self {
        let quorum = QuorumView {
            node_id: settings.node_id.0,
            ..QuorumView::default()
        };
        Self {
            settings,
            seeds,
            dice,
            chores: Caller::internal(),
            quorum,
            next_ticket: 1,
            lead: None,
        }
    }

    /// This node.
    pub(super) fn node_id(&self) -> BrokerId {
        self.settings.node_id
    }

    /// Whether requests are welcome now. A leader that settles or has its hands full leaves them in
    /// the mailbox; one that does not lead, or has given up, takes them to send them elsewhere.
    pub fn takes_asks(&self) -> bool {
        self.lead.as_ref().is_none_or(|lead| match &lead.settling {
            Some(settling) => settling.given_up,
            None => lead.parked.len() < PROPOSALS_IN_FLIGHT_MAX,
        })
    }

    /// The image with everything proposed on top, while this node leads.
    pub fn ahead(&self) -> Option<&Image> {
        self.lead.as_ref().map(|lead| &lead.ahead)
    }

    /// When the next [`Event::Tick`] is due: an exact deadline, not a poll.
    pub fn wake_at(&self) -> Option<Ticks> {
        let lead = self.lead.as_ref()?;
        if let Some(settling) = &lead.settling {
            let retry =
                (!settling.barrier_asked && lead.parked.is_empty()).then_some(settling.retry_at);
            return retry.into_iter().chain([settling.resign_at]).min();
        }
        let timeout_ms = self.settings.broker_session_timeout_ms;
        let expiry = lead.live.next_expiry(timeout_ms);
        // While there are sessions, silence of the core must be told from silence of the brokers.
        let sign_of_life = expiry.map(|_| lead.last_step.plus_ms((timeout_ms / 16).max(1)));
        let chore = expiry.into_iter().chain(lead.timetable.next_due()).min();
        let chore = chore.map(|at| at.max(lead.chores_rest_until));
        chore.into_iter().chain(sign_of_life).min()
    }

    /// Whether a plan's next slice may be decided now: a [`Event::Tick`] is welcome at once.
    pub fn busy(&self) -> bool {
        self.lead
            .as_ref()
            .is_some_and(|lead| lead.settling.is_none() && lead.plans.ready(lead.parked.len()))
    }

    /// One event, and what follows from it.
    pub fn step(&mut self, event: Event, now: Now) -> Effects {
        let mut effects = Effects::default();
        self.notice_absence(now);
        match event {
            Event::Asks(asks) => asks
                .into_iter()
                .for_each(|ask| self.on_ask(ask, now, &mut effects)),
            Event::Touches(touches) => self.on_touches(&touches),
            Event::Quorum(QuorumEvent::Leading { epoch, image }) => {
                self.on_leading(epoch, image, now, &mut effects);
            }
            Event::Quorum(QuorumEvent::Following { epoch, leader }) => {
                self.on_following(epoch, leader, &mut effects);
            }
            Event::Quorum(QuorumEvent::Outcome { ticket, outcome }) => {
                self.on_outcome(ticket, outcome, now, &mut effects);
            }
            Event::Quorum(QuorumEvent::Barrier { epoch, image }) => {
                self.on_barrier(epoch, image, now, &mut effects);
            }
            Event::Quorum(QuorumEvent::Voters(voters)) => self.on_voters(voters, now, &mut effects),
            Event::Tick => self.on_tick(now, &mut effects),
        }
        self.hand_over(now, &mut effects);
        effects
    }

    /// A core that was away (a stopped process, a starved machine, a step that took long) has heard
    /// nobody in the meantime and must not blame the brokers for it: every session grows by the gap.
    /// [`Core::wake_at`] sees to it that two steps of a leader with sessions are never that far apart.
    fn notice_absence(&mut self, now: Now) {
        let Some(lead) = &mut self.lead else { return };
        let timeout_ms = self.settings.broker_session_timeout_ms;
        let away_ms = now.ticks.ms_since(lead.last_step);
        lead.last_step = now.ticks;
        if away_ms > timeout_ms / 8 && lead.live.next_expiry(timeout_ms).is_some() {
            tracing::warn!(
                away_ms,
                "the controller was away; every broker session grows by that"
            );
            lead.live.grace(away_ms);
        }
    }

    fn on_ask(&mut self, ask: Ask, now: Now, effects: &mut Effects) {
        let waiting = Waiting {
            request: ask.request,
            reply: ask.reply,
        };
        let Some(lead) = &mut self.lead else {
            effects
                .replies
                .push(waiting.refuse(refusal::not_controller(self.quorum.leader)));
            return;
        };
        if lead.settling.is_some() {
            effects
                .replies
                .push(waiting.refuse(refusal::not_controller(None)));
            return;
        }
        if let Some(timeout_ms) = waiting.request.timeout_ms()
            && ask.arrived.plus_ms(i64::from(timeout_ms)) <= now.ticks
        {
            effects.replies.push(waiting.refuse(refusal::timed_out()));
            return;
        }
        if let Some(broker) = waiting.request.broker()
            && lead.live.is_busy(broker)
        {
            let ask = Ask {
                request: waiting.request,
                reply: waiting.reply,
                ..ask
            };
            if let Some(ask) = lead.plans.hold(broker, ask) {
                let waiting = Waiting {
                    request: ask.request,
                    reply: ask.reply,
                };
                effects.replies.push(waiting.refuse(refusal::overloaded()));
            }
            return;
        }
        let ctx = Self::ctx(
            lead,
            &self.quorum,
            &self.settings,
            &self.dice,
            &ask.caller,
            ask.version,
            now,
        );
        let decided = unless_it_panics(ask.api, || waiting.request.decide(&ctx));
        let decision = match decided {
            Some(Ok(decision)) => decision,
            Some(Err(refusal)) => {
                self.park(waiting, Err(refusal), effects);
                return;
            }
            None => {
                effects.replies.push(waiting.refuse(refusal::internal()));
                return;
            }
        };
        let origin = Origin {
            principal: ask.caller.principal,
            client_id: ask.caller.client_id.unwrap_or_default(),
            api: ask.api,
        };
        let decision = decision.map(|answer| Some((waiting, Ok(answer))));
        self.carry_out(decision, origin, now, effects);
    }

    /// Turns a decision into a proposal and parks its answer, or begins its plan. `false`: it could
    /// not be written, and nothing has changed.
    fn carry_out(
        &mut self,
        decision: Decision<Option<(Waiting, Decided)>>,
        origin: Origin,
        now: Now,
        effects: &mut Effects,
    ) -> bool {
        let Decision {
            mut records,
            side,
            live,
            plan,
            response: mut answer,
        } = decision;
        if records.is_empty() && !side.is_empty() {
            // The side room takes no offset: what changes in it rides on a record, so that whoever
            // polls by offset sees it.
            records.push(NoOpRecord {}.into());
        }
        if !records.is_empty()
            && let Err(refusal) = self.propose(&records, &side, &origin, now, effects)
        {
            // Nothing was decided after all: soft state stays as it was, too.
            if let Some((waiting, _)) = answer {
                effects.replies.push(waiting.refuse(refusal));
            }
            return false;
        }
        let Some(lead) = &mut self.lead else {
            return false;
        };
        for change in live {
            lead.live.apply(change);
        }
        if let Some(plan) = plan {
            // Its first slice is in this decision; the answer comes with the last.
            let (answer, held) = (answer.take(), Vec::new());
            lead.plans.keep(ActivePlan {
                plan,
                origin,
                answer,
                held,
            });
        }
        if let Some((waiting, decided)) = answer {
            self.park(waiting, decided, effects);
        }
        true
    }

    /// Writes what was decided into the draft of this step, and applies it to `ahead`.
    fn propose(
        &mut self,
        records: &[Record],
        side: &[SideChange],
        origin: &Origin,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let Some(lead) = self.lead.as_mut().filter(|lead| lead.settling.is_none()) else {
            return Err(refusal::not_controller(None));
        };
        let mut elections = effects.elections;
        records
            .iter()
            .for_each(|record| elections.count(&lead.ahead, record));
        let begun = lead.draft.take();
        let mut draft = begun.unwrap_or_else(|| Draft::begin(&lead.ahead, lead.epoch, now.millis));
        let is_first = draft.is_empty();
        match draft.add(records, side, origin, &mut lead.ahead) {
            Ok(()) => {}
            Err(Rejected::Unencodable(error)) if is_first => {
                return Err(refusal::unencodable(&error));
            }
            Err(Rejected::Unencodable(_)) => {
                // Alone it may not be too much.
                lead.draft = Some(draft);
                self.hand_over(now, effects);
                return self.propose(records, side, origin, now, effects);
            }
            Err(Rejected::Spoilt(error)) => {
                self.spoil(!is_first, &error, now, effects);
                return Err(refusal::internal());
            }
        }
        let is_complete = draft.is_complete();
        lead.draft = Some(draft);
        if is_first {
            self.park_answers_of_next();
        }
        effects.elections = elections;
        if is_complete {
            self.hand_over(now, effects);
        }
        Ok(())
    }

    /// Hands over what the draft of this step holds.
    fn hand_over(&mut self, now: Now, effects: &mut Effects) {
        let Some(lead) = &mut self.lead else { return };
        let Some(draft) = lead.draft.take() else {
            return;
        };
        match draft.finish() {
            Ok(written) => self.submit(written, now, effects),
            Err(error) => self.spoil(true, &error, now, effects),
        }
    }

    /// Proposes what was applied to `ahead`; its answers are parked last.
    fn submit(&mut self, written: Written, now: Now, effects: &mut Effects) {
        let Some(lead) = &mut self.lead else { return };
        let Some(parked) = lead.parked.back_mut() else {
            return;
        };
        parked.end = lead.ahead.end_offset();
        lead.timetable.wrote(now.ticks);
        effects.proposals.push(Proposal {
            ticket: parked.ticket,
            epoch: lead.epoch,
            run: lead.run,
            batch: written.batch,
            side: written.side,
            origins: written.origins,
            after: lead.ahead.clone(),
        });
    }

    /// A place for the answers that will wait for the next proposal.
    fn park_answers_of_next(&mut self) {
        let Some(lead) = &mut self.lead else { return };
        lead.parked.push_back(Parked {
            ticket: self.next_ticket,
            ended: false,
            end: lead.ahead.end_offset(),
            answers: Vec::new(),
        });
        self.next_ticket += 1;
    }

    /// A decision was written that cannot be applied, or not be read: a fault of ours. `ahead` holds
    /// what will never be true, and the draft is lost, with all whose answers (`has_answers`) it has.
    fn spoil(&mut self, has_answers: bool, error: &str, now: Now, effects: &mut Effects) {
        let Some(lead) = &mut self.lead else { return };
        tracing::error!(%error, "a decision made a batch that does not apply; it is dropped");
        if has_answers && let Some(parked) = lead.parked.pop_back() {
            // It was never handed over: its ticket is free again.
            self.next_ticket = parked.ticket;
            let refused = parked.answers.into_iter();
            let refused = refused.map(|(waiting, _)| waiting.refuse(refusal::internal()));
            effects.replies.extend(refused);
        }
        self.settle(now);
    }

    /// What wrote nothing waits for everything that it was decided on.
    fn park(&mut self, waiting: Waiting, decided: Decided, effects: &mut Effects) {
        let Some(lead) = &mut self.lead else { return };
        match lead.parked.back_mut() {
            Some(parked) => parked.answers.push((waiting, decided)),
            None => effects
                .replies
                .push(waiting.release(decided, lead.ahead.end_offset())),
        }
    }

    fn on_touches(&mut self, touches: &[Touch]) {
        let Some(lead) = &mut self.lead else { return };
        for touch in touches {
            lead.live.touch(touch.broker, touch.epoch, touch.at);
        }
    }

    fn on_leading(&mut self, epoch: Epoch, image: Image, now: Now, effects: &mut Effects) {
        self.drop_lead(effects);
        self.quorum.epoch = epoch;
        self.quorum.leader = Some(self.settings.node_id);
        self.quorum.active = true;
        let live = Live::begin(&image, now.ticks);
        self.lead = Some(Lead {
            epoch,
            run: 1,
            ahead: image,
            draft: None,
            live,
            parked: VecDeque::new(),
            plans: Plans::default(),
            timetable: Timetable::new(&self.settings, now.ticks),
            settling: None,
            last_step: now.ticks,
            chores_rest_until: now.ticks,
        });
        self.begin_term(now, effects);
    }

    /// What a term begins with; again after settling, if it did not come about.
    fn begin_term(&mut self, now: Now, effects: &mut Effects) {
        let Some(lead) = &self.lead else { return };
        if lead.ahead.last_epoch() == lead.epoch {
            self.write_voters(now, effects);
        } else {
            self.propose_leader_change(now, effects);
        }
        self.propose_bootstrap(now, effects);
    }

    /// The first batch of a term: LeaderChange, and the voter set where the log does not say it yet.
    fn propose_leader_change(&mut self, now: Now, effects: &mut Effects) {
        let Some(lead) = &self.lead else { return };
        let voters = self.quorum.voters.as_ref();
        let mut records = vec![ControlRecord::LeaderChange {
            leader: self.settings.node_id,
            voters: voters.iter().map(|voter| voter.id).collect(),
            // Who granted is openraft's secret; that a majority did is all that the record tells.
            granting_voters: voters.iter().map(|voter| voter.id).collect(),
        }];
        records.extend(self.unwritten_voters(&lead.ahead));
        self.propose_control(&records, now, effects);
    }

    /// What the log does not say yet about who votes. Brokers resolve the controller's address through
    /// it alone.
    fn unwritten_voters(&self, image: &Image) -> Vec<ControlRecord> {
        let (features, voters) = (image.features(), &self.quorum.voters);
        let is_written = features.kraft_version() >= 1 && features.voters() == voters;
        if is_written || voters.is_empty() {
            return Vec::new();
        }
        vec![
            ControlRecord::KRaftVersion(1),
            ControlRecord::KRaftVoters(voters.as_ref().clone()),
        ]
    }

    /// Control records never share a batch with others.
    fn propose_control(&mut self, records: &[ControlRecord], now: Now, effects: &mut Effects) {
        self.hand_over(now, effects);
        let Some(lead) = self.lead.as_mut().filter(|lead| lead.settling.is_none()) else {
            return;
        };
        match draft::control(&mut lead.ahead, lead.epoch, now.millis, records) {
            Ok(written) => {
                self.park_answers_of_next();
                self.submit(written, now, effects);
            }
            Err(Rejected::Unencodable(error)) => {
                tracing::error!(%error, "a control batch could not be written");
            }
            Err(Rejected::Spoilt(error)) => self.spoil(false, &error, now, effects),
        }
    }

    /// What a log without metadata.version begins with, and the end of a transaction that a dead
    /// leader left open (`ActivationRecordsGenerator`, 4.3.1).
    fn propose_bootstrap(&mut self, now: Now, effects: &mut Effects) {
        let Some(lead) = &self.lead else { return };
        let records = crate::rules::bootstrap::activation(&lead.ahead, &self.seeds, &self.settings);
        if records.is_empty() {
            return;
        }
        if let Err(refusal) = self.propose(&records, &[], &Origin::chore(), now, effects) {
            tracing::error!(%refusal, "the bootstrap records could not be written");
        }
    }

    fn on_following(&mut self, epoch: Epoch, leader: Option<BrokerId>, effects: &mut Effects) {
        self.drop_lead(effects);
        self.quorum.epoch = epoch;
        self.quorum.leader = leader;
        self.quorum.active = false;
    }

    /// Gives up `ahead` and everything that waited on it. What was proposed may still be committed.
    fn drop_lead(&mut self, effects: &mut Effects) {
        let Some(lead) = self.lead.take() else { return };
        for parked in lead.parked {
            for (waiting, _) in parked.answers {
                effects
                    .replies
                    .push(waiting.refuse(refusal::outcome_unknown()));
            }
        }
        let (mut plans, mut live) = (lead.plans, lead.live);
        for waiting in plans.abandon(&mut live) {
            effects
                .replies
                .push(waiting.refuse(refusal::outcome_unknown()));
        }
    }

    fn on_outcome(&mut self, ticket: u64, outcome: Outcome, now: Now, effects: &mut Effects) {
        let Some(lead) = &mut self.lead else { return };
        // Tickets are dense, so the place follows from the first. One that is not there belongs to an
        // earlier leadership of this node: its answers are long gone.
        let first = lead.parked.front().map_or(ticket, |parked| parked.ticket);
        let place = ticket
            .checked_sub(first)
            .and_then(|place| usize::try_from(place).ok());
        let Some(parked) = place.and_then(|place| lead.parked.get_mut(place)) else {
            return;
        };
        parked.ended = true;
        let end = parked.end;
        for (waiting, decided) in std::mem::take(&mut parked.answers) {
            effects.replies.push(match outcome {
                Outcome::Applied => waiting.release(decided, end),
                Outcome::Void | Outcome::NotAppended => {
                    waiting.refuse(refusal::not_controller(None))
                }
                Outcome::Unknown => waiting.refuse(refusal::outcome_unknown()),
            });
        }
        while lead.parked.front().is_some_and(|parked| parked.ended) {
            lead.parked.pop_front();
        }
        if outcome != Outcome::Applied {
            self.settle(now);
        }
        self.settle_further(now, effects);
    }

    /// Stops deciding until it is certain again what is true.
    fn settle(&mut self, now: Now) {
        let Some(lead) = &mut self.lead else { return };
        if lead.settling.is_none() {
            let patience_ms = 2 * self.settings.raft_election_max_ms as i64;
            lead.settling = Some(Settling {
                barrier_asked: false,
                retry_at: now.ticks,
                resign_at: now.ticks.plus_ms(patience_ms),
                given_up: false,
            });
        }
    }

    /// Offers leadership to others when settling takes too long, and keeps nobody waiting for what
    /// this node may never learn.
    fn lose_patience(&mut self, now: Now, effects: &mut Effects) {
        let Some(lead) = &mut self.lead else { return };
        let Some(settling) = lead
            .settling
            .as_mut()
            .filter(|it| it.resign_at <= now.ticks)
        else {
            return;
        };
        let patience_ms = 2 * self.settings.raft_election_max_ms as i64;
        settling.resign_at = now.ticks.plus_ms(patience_ms);
        settling.given_up = true;
        effects.resign = Some(lead.epoch);
        let parked = lead.parked.iter_mut();
        let parked = parked.flat_map(|parked| std::mem::take(&mut parked.answers));
        let parked = parked.map(|(waiting, _)| waiting);
        let waiting = parked.chain(lead.plans.abandon(&mut lead.live));
        let unknown = waiting.map(|waiting| waiting.refuse(refusal::outcome_unknown()));
        effects.replies.extend(unknown);
    }

    /// Once nothing is in flight, what is committed can be asked for.
    fn settle_further(&mut self, now: Now, effects: &mut Effects) {
        let Some(lead) = &mut self.lead else { return };
        if let Some(settling) = &mut lead.settling
            && lead.parked.is_empty()
            && !settling.barrier_asked
            && settling.retry_at <= now.ticks
        {
            settling.barrier_asked = true;
            effects.barrier = Some(lead.epoch);
        }
    }

    fn on_barrier(&mut self, epoch: Epoch, image: Option<Image>, now: Now, effects: &mut Effects) {
        let Some(lead) = &mut self.lead else { return };
        if lead.epoch != epoch || lead.settling.is_none() {
            return;
        }
        let Some(image) = image else {
            // No quorum answered. Ask again a little later, until patience ends and an election decides.
            if let Some(settling) = &mut lead.settling {
                settling.barrier_asked = false;
                settling.retry_at = now.ticks.plus_ms(BARRIER_RETRY_MS);
            }
            return;
        };
        lead.settling = None;
        lead.run += 1;
        lead.ahead = image;
        // Plans begin again from what is true: their broker is still silent, or still asks.
        for waiting in lead.plans.abandon(&mut lead.live) {
            effects
                .replies
                .push(waiting.refuse(refusal::outcome_unknown()));
        }
        // Soft state may rest on what never came true: a registration, a block of producer ids.
        lead.live = Live::begin(&lead.ahead, now.ticks);
        tracing::warn!(
            epoch,
            run = lead.run,
            "settled: deciding again on the committed image"
        );
        self.begin_term(now, effects);
    }

    fn on_voters(&mut self, voters: Vec<Voter>, now: Now, effects: &mut Effects) {
        self.quorum.voters = Arc::new(voters);
        self.write_voters(now, effects);
    }

    /// The voter set in the log follows the committed membership.
    fn write_voters(&mut self, now: Now, effects: &mut Effects) {
        let Some(lead) = &self.lead else { return };
        let records = self.unwritten_voters(&lead.ahead);
        if lead.settling.is_none() && !records.is_empty() {
            self.propose_control(&records, now, effects);
        }
    }

    fn on_tick(&mut self, now: Now, effects: &mut Effects) {
        let Some(lead) = &mut self.lead else { return };
        if lead.settling.is_some() {
            self.lose_patience(now, effects);
            self.settle_further(now, effects);
            return;
        }
        self.write_voters(now, effects);
        self.run_plans(now, effects);
        self.run_chores(now, effects);
    }

    /// One slice of each plan that may go on.
    fn run_plans(&mut self, now: Now, effects: &mut Effects) {
        let Some(lead) = &mut self.lead else { return };
        if !lead.plans.ready(lead.parked.len()) {
            return;
        }
        let Some(mut active) = lead.plans.take() else {
            return;
        };
        let ctx = Self::ctx(
            lead,
            &self.quorum,
            &self.settings,
            &self.dice,
            &self.chores,
            0,
            now,
        );
        let slice = unless_it_panics(CHORE, || active.slice(&ctx)).filter(|slice| {
            slice.records.is_empty()
                || self
                    .propose(&slice.records, &[], &active.origin, now, effects)
                    .is_ok()
        });
        let Some(lead) = &mut self.lead else { return };
        let written = slice.is_some();
        if let Some(slice) = slice {
            for change in slice.live {
                lead.live.apply(change);
            }
            if let Some(next) = slice.next {
                active.plan.from = next;
                lead.plans.keep(active);
                return;
            }
        } else {
            lead.chores_rest_until = now.ticks.plus_ms(CHORES_REST_MS);
        }
        lead.live.apply(LiveChange::PlanOver {
            broker: active.plan.broker,
        });
        match active.answer {
            Some((waiting, decided)) if written => self.park(waiting, decided, effects),
            Some((waiting, _)) => effects.replies.push(waiting.refuse(refusal::internal())),
            None => {}
        }
        for ask in active.held {
            self.on_ask(ask, now, effects);
        }
    }

    /// Everything whose time has come, one decision after another. After one that fails they rest: it
    /// would fail again at once.
    fn run_chores(&mut self, now: Now, effects: &mut Effects) {
        let expiry_ms = self.settings.broker_session_timeout_ms;
        while let Some(lead) = self
            .lead
            .as_mut()
            .filter(|it| it.settling.is_none() && it.chores_rest_until <= now.ticks)
        {
            let expiry = lead.live.next_expiry(expiry_ms);
            let Some(due) = lead.timetable.take_due(expiry, now.ticks) else {
                return;
            };
            let decided = unless_it_panics(CHORE, || self.decide_chore(due, now));
            let done = decided.flatten().is_some_and(|decision| {
                self.carry_out(decision.map(|()| None), Origin::chore(), now, effects)
            });
            if let Some(lead) = self.lead.as_mut().filter(|_| !done) {
                lead.chores_rest_until = now.ticks.plus_ms(CHORES_REST_MS);
            }
        }
    }

    fn decide_chore(&mut self, due: Due, now: Now) -> Option<Decision<()>> {
        let lead = self.lead.as_mut()?;
        let ctx = Self::ctx(
            lead,
            &self.quorum,
            &self.settings,
            &self.dice,
            &self.chores,
            0,
            now,
        );
        Some(match due {
            Due::Expiry => chores::fence_silent(&ctx)?,
            Due::Balance => {
                let decision = chores::elect_preferred(&ctx);
                lead.timetable.balanced(decision.response, now.ticks);
                decision.map(drop)
            }
            Due::Unclean => {
                let decision = chores::elect_unclean(&ctx);
                lead.timetable.elected_unclean(decision.response, now.ticks);
                decision.map(drop)
            }
            Due::Idle => chores::no_op(),
        })
    }

    fn ctx<'a>(
        lead: &'a Lead,
        quorum: &'a QuorumView,
        settings: &'a Settings,
        dice: &'a Dice,
        caller: &'a Caller,
        version: i16,
        now: Now,
    ) -> Ctx<'a> {
        let view = View {
            image: &lead.ahead,
            quorum,
            caller,
            settings,
            version,
        };
        Ctx {
            view,
            live: &lead.live,
            now: now.millis,
            ticks: now.ticks,
            dice,
        }
    }
}

/// What a decision comes to; `None` if it panics. Decisions change nothing, so that is the failure of
/// this one alone, not of the node.
fn unless_it_panics<T>(api: i16, decide: impl FnOnce() -> T) -> Option<T> {
    let decided = catch_unwind(AssertUnwindSafe(decide)).ok();
    if decided.is_none() {
        tracing::error!(api, "a decision panicked; nothing comes of it");
    }
    decided
}

#[cfg(test)]
mod tests;
