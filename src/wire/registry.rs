//! Who is connected: permits, silence, and who has to go first.
//!
//! Everybody comes in as a stranger. Who registers a broker or fetches metadata becomes known, who
//! speaks as another node a peer, and each of the three has seats of its own: five thousand idle
//! strangers cannot lock out a broker. Where a kind is full, the one of it that has been silent
//! longest goes. Silence is counted from the last whole request, or from the last answer sent to its
//! end, so that bytes that trickle in without ever becoming a request do not count.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Context;

use futures::task::AtomicWaker;
use tokio::sync::Notify;

use crate::clock::{Clock, Ticks};
use crate::metrics::Closed;

/// What a connection has shown itself to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nothing yet, or any client.
    Stranger,
    /// It registered a broker, sent its heartbeat or fetched metadata.
    Known,
    /// Another YAKt node.
    Peer,
}

/// How many connections of each kind there may be.
#[derive(Clone, Copy, Debug)]
pub struct Seats {
    /// Clients.
    pub strangers: usize,
    /// Brokers and observers: each stock broker keeps up to six.
    pub known: usize,
    /// Other nodes of the quorum.
    pub peers: usize,
}

/// Descriptors that connections leave to the store, snapshots, HTTP and the runtime.
const DESCRIPTORS_KEPT: u64 = 256;

impl Seats {
    /// Seats where nothing is short.
    pub const MOST: Self = Self {
        strangers: 8_192,
        known: 4_096,
        peers: 128,
    };

    /// Seats for so many connections in all: a sixteenth for peers, a third for the known.
    pub fn within(total: usize) -> Self {
        let Self {
            strangers,
            known,
            peers,
        } = Self::MOST;
        let peers = peers.min((total / 16).max(1));
        let known = known.min((total / 3).max(1));
        let rest = total.saturating_sub(peers).saturating_sub(known);
        Self {
            strangers: strangers.min(rest.max(1)),
            known,
            peers,
        }
    }

    /// As many as `max.connections` and this process's file descriptors allow. The limit of the
    /// latter is first raised as far as it goes, as a JVM does.
    pub fn allowed(max_connections: usize) -> Self {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // Where raising is refused, what there is must do.
        let _ = setrlimit(
            Resource::Nofile,
            rustix::process::Rlimit {
                current: limit.maximum,
                ..limit
            },
        );
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let free = descriptors.saturating_sub(DESCRIPTORS_KEPT.min(descriptors / 2));
        Self::within(max_connections.min(usize::try_from(free).unwrap_or(usize::MAX)))
    }

    fn of(&self, standing: Standing) -> usize {
        match standing {
            Standing::Stranger => self.strangers,
            Standing::Known => self.known,
            Standing::Peer => self.peers,
        }
    }
}

/// All connections of this node's Kafka listeners.
pub struct Registry {
    seats: Seats,
    clock: Arc<dyn Clock>,
    guests: Mutex<Guests>,
    /// Told when the last one goes.
    gone: Notify,
}

#[derive(Default)]
struct Guests {
    all: BTreeMap<u64, Arc<Guest>>,
    count: [usize; 3],
    next: u64,
    stopping: bool,
}

const STAY: u8 = 0;
const FINISH: u8 = 1;
const LEAVE: u8 = 2;

/// What a connection has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Stay,
    /// Answer what is under way, then go: the node stops.
    Finish,
    /// Go at once.
    Leave(Closed),
}

/// What the registry and a connection know of each other.
struct Guest {
    standing: AtomicU8,
    /// When the last whole request came, in ticks.
    heard: AtomicI64,
    /// Waits for an answer of ours, which is not silence.
    waiting: AtomicBool,
    /// Whether it still counts for its kind; an evicted one does not from that moment on.
    counted: AtomicBool,
    /// [`STAY`], [`FINISH`], or [`LEAVE`] and a [`Closed`].
    verdict: AtomicU8,
    waker: AtomicWaker,
}

impl Guest {
    fn standing(&self) -> Standing {
        match self.standing.load(Ordering::Relaxed) {
            0 => Standing::Stranger,
            1 => Standing::Known,
            _ => Standing::Peer,
        }
    }

    fn send_away(&self, why: Closed) {
        self.tell(LEAVE.saturating_add(why as u8));
    }

    fn tell(&self, verdict: u8) {
        self.verdict.store(verdict, Ordering::Release);
        self.waker.wake();
    }

    fn is_leaving(&self) -> bool {
        self.verdict.load(Ordering::Acquire) >= LEAVE
    }
}

impl Registry {
    /// Nobody is connected yet.
    pub fn new(seats: Seats, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            seats,
            clock,
            guests: Mutex::default(),
            gone: Notify::new(),
        })
    }

    /// A seat for a new connection; where strangers fill theirs, the most silent one loses its own.
    /// `None` once the node stops.
    pub fn admit(self: &Arc<Self>) -> Option<Seat> {
        let guest = Arc::new(Guest {
            standing: AtomicU8::new(Standing::Stranger as u8),
            heard: AtomicI64::new(self.clock.ticks().0),
            waiting: AtomicBool::new(false),
            verdict: AtomicU8::new(STAY),
            counted: AtomicBool::new(true),
            waker: AtomicWaker::new(),
        });
        let mut guests = self.lock();
        if guests.stopping {
            return None;
        }
        guests.make_room(Standing::Stranger, &self.seats);
        let id = guests.next;
        guests.next = id.wrapping_add(1);
        guests.all.insert(id, Arc::clone(&guest));
        guests.change(Standing::Stranger, 1);
        Some(Seat {
            id,
            guest,
            registry: Arc::clone(self),
        })
    }

    /// Sends the most silent stranger away, because something else than seats ran out.
    pub fn evict_one(&self) {
        self.lock().evict(Standing::Stranger);
    }

    /// Sends away whoever has been silent for so long.
    pub fn sweep(&self, idle_ms: i64) {
        let now = self.clock.ticks();
        for guest in self.lock().all.values() {
            let heard = Ticks(guest.heard.load(Ordering::Relaxed));
            let waiting = guest.waiting.load(Ordering::Relaxed);
            if !waiting && !guest.is_leaving() && now.ms_since(heard) >= idle_ms {
                guest.send_away(Closed::Idle);
            }
        }
    }

    /// Lets nobody in any more and asks everybody to finish.
    pub fn stop(&self) {
        let mut guests = self.lock();
        guests.stopping = true;
        guests
            .all
            .values()
            .filter(|guest| !guest.is_leaving())
            .for_each(|guest| guest.tell(FINISH));
    }

    /// Sends everybody away.
    pub fn cut_off(&self) {
        self.lock()
            .all
            .values()
            .for_each(|guest| guest.send_away(Closed::Stopping));
    }

    /// Waits until nobody is connected any more.
    pub async fn empty(&self) {
        loop {
            let gone = self.gone.notified();
            if self.is_empty() {
                return;
            }
            gone.await;
        }
    }

    /// How many are connected.
    pub fn len(&self) -> usize {
        self.lock().all.len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Guests> {
        self.guests
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Guests {
    fn make_room(&mut self, standing: Standing, seats: &Seats) {
        if self
            .count
            .get(standing as usize)
            .is_some_and(|count| *count >= seats.of(standing))
        {
            self.evict(standing);
        }
    }

    /// The evicted one stops counting at once, although its socket closes a moment later.
    fn evict(&mut self, standing: Standing) {
        let same_kind = |guest: &&Arc<Guest>| guest.standing() == standing && !guest.is_leaving();
        let silent = |guest: &&Arc<Guest>| guest.heard.load(Ordering::Relaxed);
        if let Some(guest) = self.all.values().filter(same_kind).min_by_key(silent) {
            guest.send_away(Closed::Evicted);
            guest.counted.store(false, Ordering::Relaxed);
            self.change(standing, -1);
        }
    }

    fn change(&mut self, standing: Standing, by: isize) {
        if let Some(count) = self.count.get_mut(standing as usize) {
            *count = count.saturating_add_signed(by);
        }
    }
}

/// A connection's place among all; free again when dropped.
pub struct Seat {
    id: u64,
    guest: Arc<Guest>,
    registry: Arc<Registry>,
}

impl Seat {
    /// A whole request has come.
    pub fn heard(&self, now: Ticks) {
        self.guest.heard.store(now.0, Ordering::Relaxed);
    }

    /// Whether it waits for us now.
    pub fn set_waiting(&self, waiting: bool) {
        self.guest.waiting.store(waiting, Ordering::Relaxed);
    }

    /// Raises its standing, if that is higher than before.
    pub fn promote(&self, standing: Standing) {
        let before = self.guest.standing();
        if standing <= before {
            return;
        }
        let mut guests = self.registry.lock();
        if !self.guest.counted.load(Ordering::Relaxed) {
            return;
        }
        guests.make_room(standing, &self.registry.seats);
        self.guest.standing.store(standing as u8, Ordering::Relaxed);
        guests.change(before, -1);
        guests.change(standing, 1);
    }

    /// What it has to do. The task is woken when that changes.
    pub fn verdict(&self, cx: &Context<'_>) -> Verdict {
        self.guest.waker.register(cx.waker());
        match self.guest.verdict.load(Ordering::Acquire) {
            STAY => Verdict::Stay,
            FINISH => Verdict::Finish,
            code => {
                let why = Closed::ALL.get(usize::from(code.saturating_sub(LEAVE)));
                Verdict::Leave(why.copied().unwrap_or(Closed::Stopping))
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut guests = self.registry.lock();
        guests.all.remove(&self.id);
        if self.guest.counted.load(Ordering::Relaxed) {
            guests.change(self.guest.standing(), -1);
        }
        if guests.all.is_empty() {
            self.registry.gone.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Finish, Leave, Stay};
    use super::*;
    use crate::clock::ManualClock;

    const SEATS: Seats = Seats {
        strangers: 3,
        known: 2,
        peers: 1,
    };

    const EVICTED: Verdict = Leave(Closed::Evicted);

    fn verdicts(seats: &[Seat]) -> Vec<Verdict> {
        let cx = Context::from_waker(std::task::Waker::noop());
        seats.iter().map(|seat| seat.verdict(&cx)).collect()
    }

    #[test]
    fn the_longest_silent_stranger_makes_room() {
        let clock = Arc::new(ManualClock::at(0));
        let registry = Registry::new(SEATS, clock.clone());
        let mut seats: Vec<Seat> = Vec::new();
        for _ in 0..3 {
            seats.push(registry.admit().unwrap());
            clock.advance_ms(1);
        }
        seats[0].heard(clock.ticks());
        seats.push(registry.admit().unwrap());
        assert_eq!(verdicts(&seats), [Stay, EVICTED, Stay, Stay]);
        // It is still there, but another one more sends the next away, not it again.
        seats.push(registry.admit().unwrap());
        assert_eq!(verdicts(&seats)[2], EVICTED);
        seats.truncate(0);
        assert!(registry.is_empty());
        assert_eq!(registry.lock().count, [0; 3]);
    }

    #[test]
    fn who_registers_or_is_a_peer_does_not_compete_with_strangers() {
        let clock = Arc::new(ManualClock::at(0));
        let registry = Registry::new(SEATS, clock.clone());
        let broker = registry.admit().unwrap();
        broker.promote(Standing::Known);
        broker.promote(Standing::Known);
        let peer = registry.admit().unwrap();
        peer.promote(Standing::Known);
        peer.promote(Standing::Peer);
        clock.advance_ms(10);
        let strangers: Vec<Seat> = (0..50).map(|_| registry.admit().unwrap()).collect();
        assert_eq!(verdicts(&[broker, peer]), [Stay, Stay]);
        let evicted = verdicts(&strangers)
            .iter()
            .filter(|verdict| **verdict == EVICTED)
            .count();
        assert_eq!(evicted, 47);
    }

    #[test]
    fn idle_ones_go_unless_they_wait_for_us() {
        let clock = Arc::new(ManualClock::at(0));
        let registry = Registry::new(SEATS, clock.clone());
        let seats = [(); 3].map(|()| registry.admit().unwrap());
        seats[1].set_waiting(true);
        clock.advance_ms(600);
        seats[2].heard(clock.ticks());
        clock.advance_ms(400);
        registry.sweep(1000);
        assert_eq!(verdicts(&seats), [Leave(Closed::Idle), Stay, Stay]);
        registry.stop();
        assert_eq!(verdicts(&seats), [Leave(Closed::Idle), Finish, Finish]);
        assert!(registry.admit().is_none());
        registry.cut_off();
        assert_eq!(verdicts(&seats), [Leave(Closed::Stopping); 3]);
    }

    #[test]
    fn seats_keep_a_share_for_brokers_and_peers_however_few_there_are() {
        let check = |total, strangers, known, peers| {
            let seats = Seats::within(total);
            let got = (seats.strangers, seats.known, seats.peers);
            assert_eq!(got, (strangers, known, peers), "{total}");
        };
        check(usize::MAX, 8_192, 4_096, 128);
        check(20_000, 8_192, 4_096, 128);
        check(768, 464, 256, 48);
        check(16, 10, 5, 1);
        check(0, 1, 1, 1);
        assert!(Seats::allowed(100).strangers <= 100);
    }
}
