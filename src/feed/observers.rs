//! Who reads the log, and how far each has come, as the leader of a term knows it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::tail::EpochEnd;
use crate::clock::Ticks;
use crate::ids::{BrokerId, Epoch, Millis, Offset, ReplicaState, Uuid};

/// An observer that was silent so long is forgotten (`LeaderState.OBSERVER_SESSION_TIMEOUT_MS`).
pub const OBSERVER_SILENT_MS: i64 = 300_000;
/// Most observers that are remembered, so that invented ids cost no memory: far more than brokers.
pub const OBSERVERS_MAX: usize = 10_000;

/// All observers of the present term. Shared by all connections.
#[derive(Debug, Default)]
pub struct Observers(Mutex<Term>);

#[derive(Debug, Default)]
struct Term {
    epoch: Epoch,
    observers: BTreeMap<(BrokerId, Uuid), Observer>,
}

#[derive(Debug)]
struct Observer {
    state: ReplicaState,
    /// The end of our log when it fetched before.
    end_then: Offset,
    seen: Ticks,
    ahead: Option<Ahead>,
}

/// A replica whose log ends where it cannot: beyond ours, or in another history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Which replica.
    pub replica: BrokerId,
    /// Where it wanted to go on.
    pub fetch_offset: Offset,
    /// Where the two logs part, as far as we know.
    pub ours: EpochEnd,
}

impl Observers {
    /// A valid fetch from `offset`, in the term `epoch`, while our log ended at `end`
    /// (`ReplicaState.updateFollowerState`, 4.3.1).
    pub fn fetched(
        &self,
        epoch: Epoch,
        replica: (BrokerId, Uuid),
        offset: Offset,
        end: Offset,
        (now, now_ms): (Ticks, Millis),
    ) {
        let mut term = self.term(epoch);
        let Some(observer) = term.observer(replica, now) else {
            return;
        };
        let state = &mut observer.state;
        if offset >= end {
            state.last_caught_up_ms = now_ms.max(state.last_caught_up_ms);
        } else if observer.end_then > 0 && offset >= observer.end_then {
            state.last_caught_up_ms = state.last_fetch_ms.max(state.last_caught_up_ms);
        }
        state.end_offset = offset;
        state.last_fetch_ms = now_ms.max(state.last_fetch_ms);
        observer.end_then = end;
        observer.ahead = None;
    }

    /// Whether this replica has fetched successfully in the term `epoch`.
    pub fn has_fetched(&self, epoch: Epoch, replica: (BrokerId, Uuid)) -> bool {
        let term = self.term(epoch);
        term.observers
            .get(&replica)
            .is_some_and(|observer| observer.state.end_offset >= 0)
    }

    /// A replica is ahead of us, see [`Observers::ahead`]. Says whether that is new.
    pub fn is_ahead(
        &self,
        epoch: Epoch,
        replica: (BrokerId, Uuid),
        ahead: Ahead,
        now: Ticks,
    ) -> bool {
        let mut term = self.term(epoch);
        let Some(observer) = term.observer(replica, now) else {
            return false;
        };
        observer.ahead.replace(ahead) != Some(ahead)
    }

    /// The replicas that are ahead of us and have not gone silent. There should be none: readiness
    /// is red while there is one.
    pub fn ahead(&self, now: Ticks) -> Vec<Ahead> {
        let mut term = self.lock();
        term.forget_silent(now);
        term.observers
            .values()
            .filter_map(|observer| observer.ahead)
            .collect()
    }

    /// All observers that fetched in the term `epoch`, in the order of their ids.
    pub fn rows(&self, epoch: Epoch, now: Ticks) -> Vec<ReplicaState> {
        let mut term = self.term(epoch);
        term.forget_silent(now);
        let fetched = term.observers.values().map(|observer| &observer.state);
        fetched
            .filter(|state| state.end_offset >= 0)
            .cloned()
            .collect()
    }

    /// What is known in this term: a new one begins with nothing.
    fn term(&self, epoch: Epoch) -> MutexGuard<'_, Term> {
        let mut term = self.lock();
        if term.epoch != epoch {
            *term = Term {
                epoch,
                ..Term::default()
            };
        }
        term
    }

    fn lock(&self) -> MutexGuard<'_, Term> {
        // Each change is one assignment after another of plain numbers: a panic leaves no half.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Term {
    /// The row of this replica; consumers have none, nor do strangers beyond the bound.
    fn observer(&mut self, replica: (BrokerId, Uuid), now: Ticks) -> Option<&mut Observer> {
        if self.observers.len() >= OBSERVERS_MAX {
            self.forget_silent(now);
        }
        let (id, directory_id) = replica;
        let full = self.observers.len() >= OBSERVERS_MAX;
        if id.0 < 0 || (full && !self.observers.contains_key(&replica)) {
            return None;
        }
        let (end_offset, last_fetch_ms, last_caught_up_ms) = (-1, -1, -1);
        let state = ReplicaState {
            id,
            directory_id,
            end_offset,
            last_fetch_ms,
            last_caught_up_ms,
        };
        let unknown = Observer {
            state,
            end_then: -1,
            seen: now,
            ahead: None,
        };
        let observer = self.observers.entry(replica).or_insert(unknown);
        observer.seen = now;
        Some(observer)
    }

    fn forget_silent(&mut self, now: Ticks) {
        self.observers
            .retain(|_, observer| now.ms_since(observer.seen) < OBSERVER_SILENT_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLICA: (BrokerId, Uuid) = (BrokerId(1), Uuid::from_u128(7));

    fn at(ms: i64) -> (Ticks, Millis) {
        (Ticks(ms * 1000), ms)
    }

    #[test]
    fn progress_is_kafkas() {
        let observers = Observers::default();
        let check = |offset, end, ms, expected: (Offset, Millis, Millis)| {
            observers.fetched(3, REPLICA, offset, end, at(ms));
            let rows = observers.rows(3, at(ms).0);
            let [row] = rows.as_slice() else {
                panic!("{rows:?}")
            };
            assert_eq!(
                (row.end_offset, row.last_fetch_ms, row.last_caught_up_ms),
                expected
            );
        };
        check(0, 10, 100, (0, 100, -1));
        check(10, 12, 200, (10, 200, 100)); // it has now what was the end a fetch ago
        check(11, 13, 300, (11, 300, 100));
        check(13, 13, 400, (13, 400, 400));
        assert!(observers.has_fetched(3, REPLICA));
        assert!(
            observers.rows(4, at(500).0).is_empty(),
            "a new term knows nobody"
        );
        assert!(!observers.has_fetched(3, REPLICA));
    }

    #[test]
    fn the_silent_and_consumers_are_not_listed() {
        let observers = Observers::default();
        observers.fetched(1, (BrokerId(-1), Uuid::nil()), 0, 1, at(0));
        observers.fetched(1, REPLICA, 0, 1, at(0));
        assert_eq!(observers.rows(1, at(OBSERVER_SILENT_MS - 1).0).len(), 1);
        assert!(observers.rows(1, at(OBSERVER_SILENT_MS).0).is_empty());
    }

    #[test]
    fn invented_ids_are_bounded() {
        let observers = Observers::default();
        for id in 0..OBSERVERS_MAX as i32 + 10 {
            observers.fetched(1, (BrokerId(id), Uuid::nil()), 0, 1, at(0));
        }
        assert_eq!(observers.rows(1, at(0).0).len(), OBSERVERS_MAX);
    }

    #[test]
    fn the_bell_rings_once_and_stops_when_all_is_well() {
        let observers = Observers::default();
        let ours = EpochEnd {
            epoch: 1,
            offset: 5,
        };
        let ahead = Ahead {
            replica: REPLICA.0,
            fetch_offset: 9,
            ours,
        };
        assert!(observers.is_ahead(1, REPLICA, ahead, at(0).0));
        assert!(!observers.is_ahead(1, REPLICA, ahead, at(1).0));
        assert_eq!(observers.ahead(at(1).0), [ahead]);
        assert!(!observers.has_fetched(1, REPLICA));
        observers.fetched(1, REPLICA, 5, 5, at(2));
        assert!(observers.ahead(at(2).0).is_empty());
    }
}
