//! Who leads, and the leader barrier.
//!
//! openraft says "elected" as soon as a quorum has voted, but the new leader may not yet have
//! applied what its predecessor had already shown to brokers. So leading begins only when the first
//! entry of the own term has been *applied*: then everything committed before it has been, too.
//! Both halves meet here under one lock, whichever comes last announces it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::publisher::Publisher;
use super::types::{epoch_of, kafka_id};
use crate::clock::Clock;
use crate::controller::QuorumEvent;
use crate::ids::Voter;

/// Where events for the controller go. Unbounded by type, bounded by use: one outcome for each of
/// at most `PROPOSALS_IN_FLIGHT_MAX` proposals, and a few of the rest.
pub(super) type Events = mpsc::UnboundedSender<QuorumEvent>;

/// Clones share one state.
#[derive(Clone)]
pub(super) struct Leadership(Arc<Shared>);

struct Shared {
    node_id: u64,
    clock: Arc<dyn Clock>,
    publisher: Publisher,
    events: Events,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    role: Role,
    /// Term of the newest applied entry.
    applied: u64,
    /// The term that was announced as led by this node.
    announced: Option<u64>,
    voters: Arc<Vec<Voter>>,
}

/// What openraft says about this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Role {
    /// Newest term known.
    pub(super) term: u64,
    /// Its leader, if known.
    pub(super) leader: Option<u64>,
}

impl Leadership {
    pub(super) fn new(
        node_id: u64,
        clock: Arc<dyn Clock>,
        publisher: Publisher,
        events: Events,
    ) -> Self {
        let inner = Mutex::default();
        Self(Arc::new(Shared {
            node_id,
            clock,
            publisher,
            events,
            inner,
        }))
    }

    /// openraft's view changed.
    pub(super) fn changed(&self, role: Role) {
        self.with(|shared, inner| {
            if inner.role == role {
                return;
            }
            inner.role = role;
            if inner
                .announced
                .is_some_and(|term| role.term != term || role.leader != Some(shared.node_id))
            {
                inner.announced = None;
            }
            if inner.announced.is_none() {
                shared.show(inner);
                let leader = role.leader.map(kafka_id);
                shared.tell(QuorumEvent::Following {
                    epoch: epoch_of(role.term),
                    leader,
                });
            }
            shared.announce(inner);
        });
    }

    /// The machine has applied, and published, an entry of this term.
    pub(super) fn applied(&self, term: u64) {
        self.with(|shared, inner| {
            if inner.applied != term {
                inner.applied = term;
                shared.announce(inner);
            }
        });
    }

    /// The uniform voter set, applied.
    pub(super) fn voters(&self, voters: Vec<Voter>) {
        self.with(|shared, inner| {
            if *inner.voters != voters {
                inner.voters = Arc::new(voters.clone());
                shared.show(inner);
                shared.tell(QuorumEvent::Voters(voters));
            }
        });
    }

    /// The term that was announced as led by this node.
    pub(super) fn leading(&self) -> Option<u64> {
        self.with(|_, inner| inner.announced)
    }

    fn with<T>(&self, work: impl FnOnce(&Shared, &mut Inner) -> T) -> T {
        work(
            &self.0,
            &mut self.0.inner.lock().unwrap_or_else(PoisonError::into_inner),
        )
    }
}

impl Shared {
    /// Announces leadership if both halves are there and it has not been.
    fn announce(&self, inner: &mut Inner) {
        let Role { term, leader } = inner.role;
        let leads = leader == Some(self.node_id) && inner.applied == term && term > 0;
        if !leads || inner.announced.is_some() {
            return;
        }
        inner.announced = Some(term);
        self.show(inner);
        self.publisher.current().contact.heard(self.clock.ticks());
        let image = self.publisher.current().image.clone();
        self.tell(QuorumEvent::Leading {
            epoch: epoch_of(term),
            image,
        });
    }

    fn show(&self, inner: &Inner) {
        let Role { term, leader } = inner.role;
        let active = inner.announced.is_some();
        self.publisher.edit(|published| {
            let quorum = &mut published.quorum;
            quorum.epoch = epoch_of(term);
            quorum.leader = leader.map(kafka_id);
            quorum.active = active;
            if !active {
                quorum.replicas = Arc::default();
            }
            quorum.voters = Arc::clone(&inner.voters);
        });
    }

    fn tell(&self, event: QuorumEvent) {
        // Nobody listens any more: the node is stopping.
        self.events.send(event).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::feed::Published;

    enum Step {
        Role(u64, Option<u64>),
        Applied(u64),
    }
    use Step::{Applied, Role as Changed};

    #[track_caller]
    fn check(steps: &[Step], expected: &[&str]) {
        let (events, mut told) = mpsc::unbounded_channel();
        let clock = Arc::new(ManualClock::default());
        let publisher = Publisher::new(Published::default());
        let leadership = Leadership::new(1, clock, publisher.clone(), events);
        for step in steps {
            match *step {
                Changed(term, leader) => leadership.changed(Role { term, leader }),
                Applied(term) => leadership.applied(term),
            }
        }
        let mut shown = Vec::new();
        while let Ok(event) = told.try_recv() {
            shown.push(match event {
                QuorumEvent::Leading { epoch, .. } => format!("leading {epoch}"),
                QuorumEvent::Following { epoch, leader } => {
                    format!("following {epoch} {}", leader.map_or(-1, |leader| leader.0))
                }
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(shown, expected);
        let leads = shown.last().is_some_and(|last| last.starts_with("leading"));
        assert_eq!(publisher.current().quorum.active, leads);
        assert_eq!(leadership.leading().is_some(), leads);
    }

    #[test]
    fn leading_begins_when_the_own_term_is_applied() {
        check(&[Changed(2, Some(1)), Applied(1)], &["following 2 1"]);
        check(
            &[Changed(2, Some(1)), Applied(2)],
            &["following 2 1", "leading 2"],
        );
        check(
            &[Applied(2), Changed(2, Some(1))],
            &["following 2 1", "leading 2"],
        );
        check(
            &[Changed(2, Some(1)), Applied(2), Applied(2)],
            &["following 2 1", "leading 2"],
        );
    }

    #[test]
    fn leading_ends_with_the_term() {
        check(
            &[
                Changed(2, Some(1)),
                Applied(2),
                Changed(3, None),
                Changed(3, Some(2)),
                Applied(3),
            ],
            &[
                "following 2 1",
                "leading 2",
                "following 3 -1",
                "following 3 2",
            ],
        );
        check(
            &[
                Changed(2, Some(1)),
                Applied(2),
                Changed(4, Some(1)),
                Applied(4),
            ],
            &["following 2 1", "leading 2", "following 4 1", "leading 4"],
        );
    }
}
