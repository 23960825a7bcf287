//! What the leader does when things go wrong under it. That nothing acknowledged is ever lost, whatever
//! the order of events, is the simulation's business.

use std::sync::{Arc, Mutex};

use kafka_protocol::messages::{AllocateProducerIdsRequest, BrokerHeartbeatRequest};

use super::*;
use crate::api::erase;
use crate::ids::Uuid;
use crate::rules::bootstrap::default_seeds;
use crate::rules::scene::Scene;

const EPOCH: Epoch = 3;

/// A leader whose proposals are applied only when a test says so.
struct Leader {
    core: Core,
    now: Now,
    proposed: Vec<Proposal>,
    effects: Effects,
    answers: Arc<Mutex<Vec<Result<(), Refusal>>>>,
}

impl Leader {
    /// Elected over this image, by these voters; nothing that it has proposed is applied yet.
    fn elected(image: Image, voters: Vec<Voter>) -> Self {
        let settings = Settings::default();
        let now = Now {
            millis: 1_000,
            ticks: Ticks(1_000_000),
        };
        let mut leader = Self {
            core: Core::new(Arc::new(settings), default_seeds(30), Dice::seeded(1)),
            now,
            proposed: Vec::new(),
            effects: Effects::default(),
            answers: Arc::default(),
        };
        if !voters.is_empty() {
            leader.hear(QuorumEvent::Voters(voters));
        }
        let epoch = EPOCH;
        leader.hear(QuorumEvent::Leading { epoch, image });
        leader
    }

    fn hear(&mut self, event: QuorumEvent) {
        self.step(Event::Quorum(event));
    }

    fn step(&mut self, event: Event) {
        let mut effects = self.core.step(event, self.now);
        self.proposed.append(&mut effects.proposals);
        for (reply, replied) in effects.replies.drain(..) {
            reply(replied);
        }
        self.effects = effects;
    }

    fn outcome(&mut self, ticket: u64, outcome: Outcome) {
        self.hear(QuorumEvent::Outcome { ticket, outcome });
    }

    /// Everything proposed is applied.
    fn apply(&mut self) {
        for proposal in std::mem::take(&mut self.proposed) {
            self.outcome(proposal.ticket, Outcome::Applied);
        }
    }

    fn pass_ms(&mut self, ms: i64) {
        self.now.millis += ms;
        self.now.ticks = self.now.ticks.plus_ms(ms);
    }

    /// Asks for producer ids, which writes a record.
    fn ask(&mut self, request: Box<dyn AnyWrite>) {
        let answers = Arc::clone(&self.answers);
        let reply = Box::new(move |replied: Replied| {
            let said = replied
                .result
                .map(drop)
                .map_err(|(refusal, _answer)| refusal);
            answers.lock().unwrap().push(said);
        });
        self.step(Event::Asks(vec![Ask {
            request,
            caller: Caller::internal(),
            api: 67,
            version: 0,
            arrived: self.now.ticks,
            reply,
        }]));
    }

    fn answers(&self) -> Vec<Result<(), Refusal>> {
        std::mem::take(&mut *self.answers.lock().unwrap())
    }

    /// The control records of what was proposed, batch by batch.
    fn control(&self) -> Vec<Vec<ControlRecord>> {
        let batches = self.proposed.iter().filter(|it| it.batch.is_control());
        batches
            .map(|it| it.batch.decode_control().unwrap())
            .collect()
    }
}

fn voters() -> Vec<Voter> {
    vec![Voter {
        id: Settings::default().node_id,
        directory_id: Uuid::from_u128(7),
        endpoints: Vec::new(),
    }]
}

/// One broker, which takes producer ids.
fn scene() -> Scene {
    Scene::new().brokers(1)
}

fn producer_ids(scene: &Scene) -> Box<dyn AnyWrite> {
    let broker = scene.image.broker(BrokerId(1)).unwrap();
    erase(
        AllocateProducerIdsRequest::default()
            .with_broker_id(broker.id)
            .with_broker_epoch(broker.epoch),
    )
}

#[test]
fn a_term_begins_with_its_leader_and_the_voters() {
    let leader = Leader::elected(Image::default(), voters());
    let [first] = leader.control().try_into().unwrap();
    assert!(matches!(
        &first[..],
        [
            ControlRecord::LeaderChange { .. },
            ControlRecord::KRaftVersion(1),
            ControlRecord::KRaftVoters(written)
        ] if *written == voters()
    ));
    assert!(leader.proposed[0].batch.is_control(), "it comes first");
}

/// An empty voter set in the log would tell brokers that there is no controller.
#[test]
fn voters_that_are_not_known_are_not_written() {
    let mut leader = Leader::elected(Image::default(), Vec::new());
    assert_eq!(leader.control()[0].len(), 1);
    leader.proposed.clear();
    leader.hear(QuorumEvent::Voters(voters()));
    let expected = [
        ControlRecord::KRaftVersion(1),
        ControlRecord::KRaftVoters(voters()),
    ];
    assert_eq!(leader.control(), [expected]);
}

#[test]
fn a_term_whose_first_batch_was_lost_begins_again() {
    let mut leader = Leader::elected(Image::default(), voters());
    for proposal in std::mem::take(&mut leader.proposed) {
        leader.outcome(proposal.ticket, Outcome::NotAppended);
    }
    assert_eq!(leader.effects.barrier, Some(EPOCH));
    let image = Some(Image::default());
    let epoch = EPOCH;
    leader.hear(QuorumEvent::Barrier { epoch, image });
    assert_eq!(leader.control()[0].len(), 3);
    assert_eq!(leader.proposed[0].run, 2);
    assert_eq!(leader.proposed[0].batch.base_offset(), 0);
}

#[test]
fn a_leader_that_cannot_settle_keeps_nobody_waiting() {
    let scene = scene();
    let mut leader = Leader::elected(scene.image.clone(), voters());
    leader.apply();
    for _ in 0..2 {
        leader.ask(producer_ids(&scene));
    }
    let [stuck, lost] = std::mem::take(&mut leader.proposed).try_into().unwrap();
    leader.outcome(lost.ticket, Outcome::NotAppended);
    assert_eq!(leader.answers().len(), 1, "the lost one is answered");
    assert!(!leader.core.takes_asks(), "others wait");
    leader.pass_ms(2 * Settings::default().raft_election_max_ms as i64);
    assert!(
        leader
            .core
            .wake_at()
            .is_some_and(|at| at <= leader.now.ticks)
    );
    leader.step(Event::Tick);
    assert_eq!(leader.effects.resign, Some(EPOCH));
    assert_eq!(leader.answers(), [Err(refusal::outcome_unknown())]);
    assert!(leader.core.takes_asks(), "to send them elsewhere");
    leader.ask(producer_ids(&scene));
    assert_eq!(leader.answers(), [Err(refusal::not_controller(None))]);

    // Nobody took over, and the quorum is back: it goes on where the log is.
    leader.outcome(stuck.ticket, Outcome::Applied);
    assert_eq!(leader.effects.barrier, Some(EPOCH));
    let (epoch, image) = (EPOCH, Some(stuck.after));
    leader.hear(QuorumEvent::Barrier { epoch, image });
    leader.ask(producer_ids(&scene));
    leader.apply();
    assert_eq!(leader.answers(), [Ok(())]);
}

/// A controller that was stopped for almost a session wakes up to brokers that had no chance to be
/// heard.
#[test]
fn brokers_are_not_blamed_for_the_controllers_absence() {
    let mut scene = scene();
    scene = scene.topic("a", &[&[1]]);
    let mut leader = Leader::elected(scene.image.clone(), voters());
    leader.apply();
    let fenced = |leader: &Leader| {
        leader
            .core
            .ahead()
            .unwrap()
            .broker(BrokerId(1))
            .unwrap()
            .fenced
    };
    let timeout_ms = Settings::default().broker_session_timeout_ms;
    leader.pass_ms(timeout_ms - 100);
    leader.step(Event::Tick);
    leader.apply();
    for _ in 0..20 {
        leader.pass_ms(timeout_ms / 20 - 1);
        leader.step(Event::Tick);
        leader.apply();
        assert!(!fenced(&leader), "it still has what it missed");
    }
    leader.pass_ms(200);
    leader.step(Event::Tick);
    assert!(fenced(&leader), "now it has had its whole session");
}

/// Nobody is heard from, and yet the core is woken so often that a pause shows.
#[test]
fn a_leader_with_sessions_is_woken_often() {
    let leader = Leader::elected(scene().image, voters());
    let wake = leader.core.wake_at().unwrap();
    let timeout_ms = Settings::default().broker_session_timeout_ms;
    assert!(wake.ms_since(leader.now.ticks) < timeout_ms / 8);
}

/// What panics is refused, and the next request is decided as if nothing had been.
#[test]
fn a_panic_is_its_own_requests_failure() {
    struct Panics(Box<dyn AnyWrite>);
    impl AnyWrite for Panics {
        fn decide(&self, _: &Ctx<'_>) -> Result<Decision<Box<dyn Answer>>, Refusal> {
            panic!("on purpose")
        }
        fn refuse(&self, refusal: &Refusal) -> Box<dyn Answer> {
            self.0.refuse(refusal)
        }
        fn timeout_ms(&self) -> Option<i32> {
            None
        }
        fn broker(&self) -> Option<BrokerId> {
            None
        }
        fn heartbeat(&self) -> Option<(BrokerId, BrokerEpoch)> {
            None
        }
    }
    let scene = scene();
    let mut leader = Leader::elected(scene.image.clone(), voters());
    leader.apply();
    leader.ask(Box::new(Panics(erase(BrokerHeartbeatRequest::default()))));
    assert_eq!(leader.answers(), [Err(refusal::internal())]);
    leader.ask(producer_ids(&scene));
    leader.apply();
    assert_eq!(leader.answers(), [Ok(())]);
}
