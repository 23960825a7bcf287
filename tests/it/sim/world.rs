//! What may happen in the simulated world, and how likely it is.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use yakt::clock::{Dice, Ticks};
use yakt::controller::core::{Ask, Core, Effects, Event, Now, Replied, Touch};
use yakt::controller::{Outcome, QuorumEvent};
use yakt::ids::{BrokerId, Endpoint, Uuid, Voter};
use yakt::rules::Caller;
use yakt::rules::bootstrap::default_seeds;
use yakt::settings::Settings;

use super::brokers::{Asked, Deeds};
use super::log::{Applied, Effect, Log};

/// Controllers in the quorum.
const NODES: usize = 3;
/// Proposals that a step may commit.
const COMMITS_MAX: usize = 6;
/// Events that a failure shows.
const STORY_LINES: usize = 40;

/// One controller.
pub(super) struct Node {
    pub(super) core: Core,
    pub(super) applied: Applied,
    /// The term in which it was told that it leads.
    pub(super) leads: Option<u64>,
    /// A barrier that it waits for.
    barrier: Option<i32>,
}

/// Everything.
pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) nodes: Vec<Node>,
    pub(super) log: Log,
    pub(super) deeds: Deeds,
    pub(super) now: Now,
    /// Batches that the guard refused.
    pub(super) void: u64,
    /// Whether things still go wrong.
    trouble: bool,
    /// Refusals that their leader has not heard of yet: until then it goes on deciding in vain.
    late: VecDeque<(usize, u64)>,
    answers: Arc<Mutex<Vec<(u64, Replied)>>>,
    story: Rc<RefCell<VecDeque<String>>>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let settings = Arc::new(Settings {
            cluster_id: "sim".to_owned(),
            metadata_max_idle_interval_ms: 500,
            leader_imbalance_check_interval_seconds: 5,
            ..Settings::default()
        });
        let voters: Vec<Voter> = (0..NODES).map(voter).collect();
        let nodes = (0..NODES).map(|place| {
            let settings = Arc::new(Settings {
                node_id: voter(place).id,
                ..(*settings).clone()
            });
            let dice = Dice::seeded(seed.wrapping_mul(31).wrapping_add(place as u64));
            let mut core = Core::new(settings, default_seeds(30), dice);
            let told = QuorumEvent::Voters(voters.clone());
            core.step(
                Event::Quorum(told),
                Now {
                    millis: 0,
                    ticks: Ticks(0),
                },
            );
            Node {
                core,
                applied: Applied::default(),
                leads: None,
                barrier: None,
            }
        });
        Self {
            dice: Dice::seeded(seed),
            nodes: nodes.collect(),
            log: Log::default(),
            deeds: Deeds::default(),
            now: Now {
                millis: 1_700_000_000_000,
                ticks: Ticks(1),
            },
            void: 0,
            trouble: true,
            late: VecDeque::new(),
            answers: Arc::default(),
            story: Rc::default(),
        }
    }

    /// One thing happens, then time passes a little.
    pub(super) fn step(&mut self) {
        match self.dice.below(100) {
            0..=1 => self.elect(),
            2..=3 => self.jump_clock(),
            4..=39 => self.commit(),
            40..=64 => self.apply_somewhere(),
            65..=79 => self.client_asks(),
            80..=96 => self.broker_acts(),
            _ => self.broker_dies_or_returns(),
        }
        if self.log.leader.is_none() {
            self.elect();
        }
        self.pass_time(self.dice.below(60) as i64);
        if self.dice.below(4) == 0 {
            self.tell_refusals();
        }
        self.answer_barriers(false);
        self.collect_answers();
    }

    fn tell_refusals(&mut self) {
        while let Some((place, ticket)) = self.late.pop_front() {
            self.outcome(place, ticket, Outcome::NotAppended);
        }
    }

    /// No more trouble: one leader, everything commits and is applied everywhere.
    pub(super) fn calm_down(&mut self) {
        self.trouble = false;
        for _ in 0..200 {
            self.log.committed = self.log.entries.len();
            for place in 0..NODES {
                while self.apply_one(place) {}
            }
            self.tell_refusals();
            self.answer_barriers(true);
            self.collect_answers();
            self.pass_time(20);
        }
        for _ in 0..20 {
            self.tell_refusals();
            self.answer_barriers(true);
            self.log.committed = self.log.entries.len();
            for place in 0..NODES {
                while self.apply_one(place) {}
            }
        }
        self.collect_answers();
    }

    /// The last events, oldest first.
    pub(super) fn story(&self) -> String {
        self.story
            .borrow()
            .iter()
            .map(|line| format!("    {line}\n"))
            .collect()
    }

    fn tell(&self, line: String) {
        let mut story = self.story.borrow_mut();
        if story.len() == STORY_LINES {
            story.pop_front();
        }
        story.push_back(line);
    }

    fn elect(&mut self) {
        let node = self.dice.below(NODES);
        let uncommitted = self.log.entries.len() - self.log.committed;
        let kept = self.dice.below(uncommitted + 1);
        let lost = self.log.elect(node, kept);
        let (term, leader) = (self.log.term as i32, voter(node).id);
        self.tell(format!(
            "node {node} elected in term {term}, {} entries lost",
            lost.len()
        ));
        for (node, ticket) in lost {
            self.outcome(node, ticket, Outcome::Unknown);
        }
        for place in 0..NODES {
            // The old leader may hear of it late, and go on deciding in vain.
            if place != node && (self.nodes[place].leads.is_none() || self.dice.below(2) == 0) {
                self.nodes[place].leads = None;
                self.event(
                    place,
                    QuorumEvent::Following {
                        epoch: term,
                        leader: Some(leader),
                    },
                );
            }
        }
        self.nodes[node].leads = None;
    }

    fn jump_clock(&mut self) {
        let jump_ms = self.dice.below(40_000) as i64 - 20_000;
        self.tell(format!("the wall clock jumps by {jump_ms} ms"));
        self.now.millis += jump_ms;
    }

    fn commit(&mut self) {
        let most = self.log.entries.len() - self.log.committed;
        self.log.committed += most.min(1 + self.dice.below(COMMITS_MAX));
    }

    fn apply_somewhere(&mut self) {
        let place = self.dice.below(NODES);
        for _ in 0..=self.dice.below(COMMITS_MAX) {
            self.apply_one(place);
        }
    }

    /// Applies one committed entry on a node. `false`: there is none.
    pub(super) fn apply_one(&mut self, place: usize) -> bool {
        let node = &mut self.nodes[place];
        if node.applied.index >= self.log.committed {
            return false;
        }
        let entry = &self.log.entries[node.applied.index];
        let story = &self.story;
        let effect = node.applied.apply(entry).unwrap_or_else(|broken| {
            panic!(
                "node {place}: {broken}\n{}",
                story
                    .borrow()
                    .iter()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join("\n")
            );
        });
        match effect {
            Effect::Term => {
                if self.log.leader == Some(place) && entry.term == self.log.term {
                    let (epoch, image) = (entry.term as i32, node.applied.image.clone());
                    node.leads = Some(self.log.term);
                    self.tell(format!(
                        "node {place} leads at offset {}",
                        image.end_offset()
                    ));
                    self.event(place, QuorumEvent::Leading { epoch, image });
                }
            }
            Effect::Passed { node, ticket } if node == place => {
                self.outcome(place, ticket, Outcome::Applied);
            }
            Effect::Void { node, ticket } if node == place => {
                self.void += 1;
                self.tell(format!("a batch of node {node} is void"));
                self.outcome(place, ticket, Outcome::Void);
            }
            Effect::Passed { .. } | Effect::Void { .. } => {}
        }
        true
    }

    fn outcome(&mut self, place: usize, ticket: u64, outcome: Outcome) {
        self.event(place, QuorumEvent::Outcome { ticket, outcome });
    }

    fn event(&mut self, place: usize, event: QuorumEvent) {
        let effects = self.nodes[place].core.step(Event::Quorum(event), self.now);
        self.carry_out(place, effects);
    }

    fn carry_out(&mut self, place: usize, effects: Effects) {
        let Effects {
            proposals,
            replies,
            barrier,
            resign,
            elections: _,
        } = effects;
        for proposal in proposals {
            // A leader whose lease ran out refuses a single proposal now and then and takes the next:
            // that is what the guard is for.
            let refused = self.trouble && self.dice.below(30) == 0;
            let ticket = proposal.ticket;
            if refused || !self.log.append(place, proposal) {
                self.late.push_back((place, ticket));
            }
        }
        for (reply, replied) in replies {
            reply(replied);
        }
        if barrier.is_some() {
            self.nodes[place].barrier = barrier;
        }
        if resign.is_some() && self.log.leader == Some(place) {
            self.tell(format!("node {place} resigns"));
            self.elect();
        }
    }

    fn answer_barriers(&mut self, surely: bool) {
        for place in 0..NODES {
            let Some(epoch) = self.nodes[place].barrier else {
                continue;
            };
            if !surely && self.dice.below(3) != 0 {
                continue;
            }
            self.nodes[place].barrier = None;
            let leads = self.log.leader == Some(place) && self.log.term == epoch as u64;
            if !leads {
                self.event(place, QuorumEvent::Barrier { epoch, image: None });
                continue;
            }
            // Linearizable: everything that was appended by now is committed and applied first.
            self.log.committed = self.log.entries.len();
            while self.apply_one(place) {}
            let image = Some(self.nodes[place].applied.image.clone());
            self.event(place, QuorumEvent::Barrier { epoch, image });
        }
    }

    /// Moves both clocks and lets every controller do what is due.
    fn pass_time(&mut self, ms: i64) {
        self.now.millis += ms;
        self.now.ticks = self.now.ticks.plus_ms(ms);
        for place in 0..NODES {
            // A bounded number of turns: a plan goes on as soon as its slices are committed.
            for _ in 0..4 {
                let core = &self.nodes[place].core;
                let due = core.wake_at().is_some_and(|at| at <= self.now.ticks);
                if !due && !core.busy() {
                    break;
                }
                let effects = self.nodes[place].core.step(Event::Tick, self.now);
                self.carry_out(place, effects);
            }
        }
    }

    /// Sends a request to a node, as a client or broker that believes it leads.
    pub(super) fn ask(&mut self, place: usize, asked: Asked) {
        if !self.nodes[place].core.takes_asks() {
            return; // it waits in the mailbox of a leader that settles; here it is just not sent
        }
        let id = self.deeds.next_id();
        let (request, version) = asked.request();
        let arrived = self.now.ticks;
        if let Some((broker, epoch)) = request.heartbeat() {
            let touch = Touch {
                broker,
                epoch,
                at: arrived,
            };
            let effects = self.nodes[place]
                .core
                .step(Event::Touches(vec![touch]), self.now);
            self.carry_out(place, effects);
        }
        self.deeds.sent(id, asked);
        let answers = Arc::clone(&self.answers);
        let reply = Box::new(move |replied| {
            answers
                .lock()
                .expect("no answer panics")
                .push((id, replied));
        });
        let ask = Ask {
            request,
            caller: Caller::internal(),
            api: -1,
            version,
            arrived,
            reply,
        };
        let effects = self.nodes[place]
            .core
            .step(Event::Asks(vec![ask]), self.now);
        self.carry_out(place, effects);
    }

    /// The node that clients take for the leader; sometimes they are wrong.
    pub(super) fn believed_leader(&self) -> usize {
        match self.log.leader {
            Some(leader) if self.dice.below(20) != 0 => leader,
            _ => self.dice.below(NODES),
        }
    }

    fn collect_answers(&mut self) {
        let answers = std::mem::take(&mut *self.answers.lock().expect("no answer panics"));
        for (id, replied) in answers {
            self.deeds.answered(id, replied);
        }
    }
}

/// A controller's identity.
fn voter(place: usize) -> Voter {
    let id = BrokerId(3000 + place as i32);
    let endpoint = Endpoint {
        name: "CONTROLLER".to_owned(),
        host: "localhost".to_owned(),
        port: 9093,
    };
    Voter {
        id,
        directory_id: Uuid::from_u128(1000 + place as u128),
        endpoints: vec![endpoint],
    }
}
