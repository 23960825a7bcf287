//! The leader's soft state: who was heard from when. Never replicated, rebuilt by every leader.
//!
//! Only brokers with a session stand here. A broker that was registered over HTTP has none: it is
//! never silent, and nobody waits for it. Touches carry the moment at which the heartbeat arrived,
//! so a heartbeat that had to wait is not judged late (`BrokerHeartbeatTracker`,
//! `BrokerHeartbeatManager`, 4.3.1).

use std::collections::{BTreeMap, BTreeSet};

use super::PlanKind;
use crate::clock::Ticks;
use crate::ids::{BrokerEpoch, BrokerId, Offset};
use crate::image::Image;

/// What the leader knows of its brokers beyond the records.
#[derive(Clone, Debug, Default)]
pub struct Live {
    brokers: BTreeMap<BrokerId, Pulse>,
    /// Every broker that was heard from, the longest silent first. Times as in [`Pulse::contact`].
    contacts: BTreeSet<(Ticks, BrokerId)>,
    /// Microseconds in which the controller itself was away. Contacts are kept on a clock that stood
    /// still meanwhile, so that all deadlines move by a pause without being touched.
    away: i64,
    /// Brokers whose partitions are being gone through; with or without a session.
    plans: BTreeMap<BrokerId, PlanKind>,
    producer_ids: Option<ProducerIdBlock>,
}

/// One broker's signs of life.
#[derive(Clone, Debug)]
struct Pulse {
    epoch: BrokerEpoch,
    /// Its newest heartbeat, on the clock that stands still while the controller is away.
    contact: Option<Ticks>,
    metadata_offset: Offset,
    shutdown_offset: Option<Offset>,
}

/// Producer ids that this node took for its own clients and has not given out yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The id to give out next.
    pub next: i64,
    /// The first id behind the block.
    pub end: i64,
}

/// A change of soft state that a decision asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveChange {
    /// A broker registered by frame. In a new epoch it starts without a session.
    Registered {
        /// Which broker.
        broker: BrokerId,
        /// Its epoch from now on.
        epoch: BrokerEpoch,
    },
    /// A broker has no session any more: unregistered, or registered over HTTP.
    Forgotten {
        /// Which broker.
        broker: BrokerId,
    },
    /// A heartbeat in the right epoch.
    Heartbeat {
        /// Whose.
        broker: BrokerId,
        /// Its epoch.
        epoch: BrokerEpoch,
        /// When it came in.
        at: Ticks,
        /// How far that broker has applied the metadata log.
        metadata_offset: Offset,
    },
    /// A broker was silent for too long: its session is over.
    SessionOver {
        /// Which broker.
        broker: BrokerId,
    },
    /// A broker is fenced from now on, and therefore no longer in a controlled shutdown.
    Fenced {
        /// Which broker.
        broker: BrokerId,
    },
    /// A broker may stop once every active broker has read the log up to here.
    ShuttingDown {
        /// Which broker.
        broker: BrokerId,
        /// Offset of the last record that moved its leaderships away.
        offset: Offset,
    },
    /// The controller begins to go through a broker's partitions.
    PlanBegun {
        /// Which broker.
        broker: BrokerId,
        /// What is done to them.
        kind: PlanKind,
    },
    /// The controller is through with a broker's partitions, or has given up.
    PlanOver {
        /// Which broker.
        broker: BrokerId,
    },
    /// What is left of this node's own producer ids.
    ProducerIds(ProducerIdBlock),
}

impl Live {
    /// The soft state of a new leader, or of one that had to begin again: every unfenced broker was
    /// just heard from, so that a fail-over fences nobody. Fenced ones have no session until they
    /// send a heartbeat.
    pub fn begin(image: &Image, now: Ticks) -> Self {
        let mut live = Self::default();
        for broker in image
            .brokers()
            .filter(|broker| !image.is_sessionless(broker.id))
        {
            live.register(broker.id, broker.epoch);
            if !broker.fenced {
                live.touch(broker.id, broker.epoch, now);
            }
        }
        live
    }

    /// Makes one change.
    pub fn apply(&mut self, change: LiveChange) {
        match change {
            LiveChange::Registered { broker, epoch } => self.register(broker, epoch),
            LiveChange::Forgotten { broker } => self.forget(broker),
            LiveChange::Heartbeat {
                broker,
                epoch,
                at,
                metadata_offset,
            } => {
                // The decision saw the registration; who is not known here is known from now on.
                if self
                    .brokers
                    .get(&broker)
                    .is_none_or(|pulse| pulse.epoch != epoch)
                {
                    self.register(broker, epoch);
                }
                self.edit(broker, |pulse| pulse.metadata_offset = metadata_offset);
                self.touch(broker, epoch, at);
            }
            LiveChange::SessionOver { broker } => self.set_contact(broker, None),
            LiveChange::Fenced { broker } => {
                self.edit(broker, |pulse| pulse.shutdown_offset = None);
            }
            LiveChange::ShuttingDown { broker, offset } => {
                self.edit(broker, |pulse| {
                    pulse.shutdown_offset.get_or_insert(offset);
                });
            }
            LiveChange::PlanBegun { broker, kind } => {
                self.plans.insert(broker, kind);
            }
            LiveChange::PlanOver { broker } => {
                self.plans.remove(&broker);
            }
            LiveChange::ProducerIds(block) => self.producer_ids = Some(block),
        }
    }

    /// A heartbeat of this broker in this epoch came in at `at`. Harmless for brokers and epochs that
    /// are not known, and for touches out of order: only the newest counts.
    pub fn touch(&mut self, broker: BrokerId, epoch: BrokerEpoch, at: Ticks) {
        let Some(pulse) = self.brokers.get(&broker) else {
            return;
        };
        let at = Ticks(at.0.saturating_sub(self.away));
        if pulse.epoch == epoch && pulse.contact.is_none_or(|contact| contact < at) {
            self.set_contact(broker, Some(at));
        }
    }

    /// The controller was away for `ms`: every deadline moves by that much.
    pub fn grace(&mut self, ms: i64) {
        self.away = self.away.saturating_add(ms.saturating_mul(1000));
    }

    /// The moment from which the next session is over, if any broker has one. Brokers whose
    /// partitions are being gone through are left out: nothing could be done about them now.
    pub fn next_expiry(&self, timeout_ms: i64) -> Option<Ticks> {
        let (contact, _) = self
            .contacts
            .iter()
            .find(|(_, broker)| !self.is_busy(*broker))?;
        // A session lasts up to and including its last moment.
        Some(Ticks(
            contact
                .plus_ms(timeout_ms)
                .0
                .saturating_add(self.away)
                .saturating_add(1),
        ))
    }

    /// The broker that has been silent for longest, and longer than `timeout_ms`, with its epoch.
    pub fn expired(&self, now: Ticks, timeout_ms: i64) -> Option<(BrokerId, BrokerEpoch)> {
        if self.next_expiry(timeout_ms)? > now {
            return None;
        }
        let (_, broker) = self
            .contacts
            .iter()
            .find(|(_, broker)| !self.is_busy(*broker))?;
        let pulse = self.brokers.get(broker)?;
        Some((*broker, pulse.epoch))
    }

    /// Whether this broker was heard from in this epoch within `timeout_ms`.
    pub fn has_session(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        now: Ticks,
        timeout_ms: i64,
    ) -> bool {
        let pulse = self
            .brokers
            .get(&broker)
            .filter(|pulse| pulse.epoch == epoch);
        pulse
            .and_then(|pulse| pulse.contact)
            .is_some_and(|contact| contact.plus_ms(timeout_ms).0.saturating_add(self.away) >= now.0)
    }

    /// Up to where in the log this broker's leaderships were moved away, if it is in a controlled
    /// shutdown that this leader granted.
    pub fn shutdown_offset(&self, broker: BrokerId) -> Option<Offset> {
        self.brokers.get(&broker)?.shutdown_offset
    }

    /// The lowest offset up to which the brokers that `is_unfenced` and are not shutting down have
    /// read the log; [`Offset::MAX`] if there are none. Brokers without a session do not count: they
    /// never read it (`BrokerHeartbeatManager.lowestActiveOffset`, 4.3.1).
    pub fn lowest_active_offset(&self, is_unfenced: impl Fn(BrokerId) -> bool) -> Offset {
        self.brokers
            .iter()
            .filter(|(broker, pulse)| pulse.shutdown_offset.is_none() && is_unfenced(**broker))
            .map(|(_, pulse)| pulse.metadata_offset)
            .min()
            .unwrap_or(Offset::MAX)
    }

    /// Whether this broker has a session or could have one by a heartbeat: it registered by frame.
    pub fn is_tracked(&self, broker: BrokerId) -> bool {
        self.brokers.contains_key(&broker)
    }

    /// Whether the controller is going through this broker's partitions: its heartbeats and
    /// registrations wait.
    pub fn is_busy(&self, broker: BrokerId) -> bool {
        self.plans.contains_key(&broker)
    }

    /// Whether this broker is on its way out: it must not be elected, nor enter an ISR, nor be given
    /// a replica, although its records still say unfenced.
    pub fn is_leaving(&self, broker: BrokerId) -> bool {
        self.plans
            .get(&broker)
            .is_some_and(|kind| kind.is_leaving())
    }

    /// What is left of this node's own producer ids.
    pub fn producer_ids(&self) -> Option<ProducerIdBlock> {
        self.producer_ids
    }

    fn register(&mut self, broker: BrokerId, epoch: BrokerEpoch) {
        let same_epoch = self
            .brokers
            .get(&broker)
            .is_some_and(|pulse| pulse.epoch == epoch);
        let contact = self.brokers.get(&broker).and_then(|pulse| pulse.contact);
        self.forget(broker);
        self.brokers.insert(broker, Pulse::new(epoch));
        if same_epoch {
            self.set_contact(broker, contact);
        }
    }

    fn forget(&mut self, broker: BrokerId) {
        self.set_contact(broker, None);
        self.brokers.remove(&broker);
    }

    fn set_contact(&mut self, broker: BrokerId, contact: Option<Ticks>) {
        let Some(pulse) = self.brokers.get_mut(&broker) else {
            return;
        };
        if let Some(old) = std::mem::replace(&mut pulse.contact, contact) {
            self.contacts.remove(&(old, broker));
        }
        if let Some(new) = contact {
            self.contacts.insert((new, broker));
        }
    }

    fn edit(&mut self, broker: BrokerId, edit: impl FnOnce(&mut Pulse)) {
        if let Some(pulse) = self.brokers.get_mut(&broker) {
            edit(pulse);
        }
    }
}

impl Pulse {
    fn new(epoch: BrokerEpoch) -> Self {
        Self {
            epoch,
            contact: None,
            metadata_offset: -1,
            shutdown_offset: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT_MS: i64 = 9_000;
    const A: BrokerId = BrokerId(1);
    const B: BrokerId = BrokerId(2);

    fn ms(ms: i64) -> Ticks {
        Ticks(ms * 1000)
    }

    /// Brokers 1 and 2 in epochs 10 and 20, both heard from at 0.
    fn two() -> Live {
        let mut live = Live::default();
        live.apply(LiveChange::Registered {
            broker: A,
            epoch: 10,
        });
        live.apply(LiveChange::Registered {
            broker: B,
            epoch: 20,
        });
        live.touch(A, 10, ms(0));
        live.touch(B, 20, ms(0));
        live
    }

    #[test]
    fn a_session_ends_just_after_its_timeout() {
        let mut live = two();
        live.touch(B, 20, ms(500));
        let over = Ticks(ms(9_000).0 + 1);
        assert_eq!(live.next_expiry(TIMEOUT_MS), Some(over));
        assert_eq!(live.expired(ms(9_000), TIMEOUT_MS), None);
        assert!(live.has_session(A, 10, ms(9_000), TIMEOUT_MS));
        assert_eq!(live.expired(over, TIMEOUT_MS), Some((A, 10)));
        assert!(!live.has_session(A, 10, over, TIMEOUT_MS));
        live.apply(LiveChange::SessionOver { broker: A });
        assert_eq!(live.expired(over, TIMEOUT_MS), None);
        assert_eq!(live.expired(ms(9_501), TIMEOUT_MS), Some((B, 20)));
    }

    #[test]
    fn only_the_newest_touch_in_the_right_epoch_counts() {
        let mut live = two();
        live.touch(A, 11, ms(8_000));
        live.touch(BrokerId(9), 1, ms(8_000));
        assert_eq!(live.expired(ms(9_001), TIMEOUT_MS), Some((A, 10)));
        live.touch(A, 10, ms(7_000));
        live.touch(A, 10, ms(6_000));
        assert!(live.has_session(A, 10, ms(16_000), TIMEOUT_MS));
        assert!(!live.is_tracked(BrokerId(9)));
    }

    #[test]
    fn a_pause_of_the_controller_moves_every_deadline() {
        let mut live = two();
        live.grace(5_000);
        assert_eq!(live.expired(ms(14_000), TIMEOUT_MS), None);
        live.touch(B, 20, ms(6_000));
        assert_eq!(live.expired(ms(14_001), TIMEOUT_MS), Some((A, 10)));
        live.apply(LiveChange::SessionOver { broker: A });
        assert_eq!(live.next_expiry(TIMEOUT_MS), Some(Ticks(ms(15_000).0 + 1)));
    }

    #[test]
    fn a_new_epoch_has_no_session_and_an_amended_one_keeps_it() {
        let mut live = two();
        live.apply(LiveChange::Registered {
            broker: A,
            epoch: 10,
        });
        live.apply(LiveChange::Registered {
            broker: B,
            epoch: 21,
        });
        assert!(live.has_session(A, 10, ms(1), TIMEOUT_MS));
        assert!(!live.has_session(B, 21, ms(1), TIMEOUT_MS));
        live.apply(LiveChange::Forgotten { broker: A });
        assert_eq!(live.next_expiry(TIMEOUT_MS), None);
    }

    #[test]
    fn a_broker_under_a_plan_is_left_alone() {
        let mut live = two();
        live.touch(B, 20, ms(1_000));
        live.apply(LiveChange::PlanBegun {
            broker: A,
            kind: PlanKind::Fence,
        });
        assert!(live.is_busy(A) && live.is_leaving(A) && !live.is_leaving(B));
        assert_eq!(live.expired(ms(60_000), TIMEOUT_MS), Some((B, 20)));
        live.apply(LiveChange::PlanOver { broker: A });
        assert_eq!(live.expired(ms(60_000), TIMEOUT_MS), Some((A, 10)));
        live.apply(LiveChange::PlanBegun {
            broker: A,
            kind: PlanKind::Unfence,
        });
        assert!(live.is_busy(A) && !live.is_leaving(A));
    }

    #[test]
    fn the_slowest_active_broker_is_waited_for() {
        let mut live = two();
        let heartbeat = |broker: BrokerId, metadata_offset| LiveChange::Heartbeat {
            broker,
            epoch: i64::from(broker.0) * 10,
            at: ms(1),
            metadata_offset,
        };
        live.apply(heartbeat(A, 100));
        assert_eq!(
            live.lowest_active_offset(|_| true),
            -1,
            "nothing heard from 2 yet"
        );
        live.apply(heartbeat(B, 70));
        assert_eq!(live.lowest_active_offset(|_| true), 70);
        assert_eq!(live.lowest_active_offset(|broker| broker == A), 100);
        live.apply(LiveChange::ShuttingDown {
            broker: B,
            offset: 90,
        });
        live.apply(LiveChange::ShuttingDown {
            broker: B,
            offset: 95,
        });
        assert_eq!(live.shutdown_offset(B), Some(90), "set once, on entry");
        assert_eq!(live.lowest_active_offset(|_| true), 100);
        live.apply(LiveChange::Fenced { broker: B });
        assert_eq!(live.shutdown_offset(B), None);
        assert_eq!(live.lowest_active_offset(|_| false), Offset::MAX);
    }

    /// After a fail-over every unfenced broker was just heard from; nobody knows of the fenced ones.
    #[test]
    fn a_new_leader_fences_nobody() {
        let scene = crate::rules::scene::Scene::new().brokers(3).fenced(&[2]);
        let live = Live::begin(&scene.image, ms(100_000));
        let sessions = [1, 2, 3].map(|id| {
            let broker = scene
                .image
                .broker(BrokerId(id))
                .expect("it is on the scene");
            live.has_session(broker.id, broker.epoch, ms(109_000), TIMEOUT_MS)
        });
        assert_eq!(sessions, [true, false, true]);
        assert!(
            live.is_tracked(BrokerId(2)),
            "its next heartbeat gives it one"
        );
    }
}
