//! Time and chance. The only file that may ask the operating system for either
//! (`clippy.toml` holds the rest of the code to it).

use std::cell::RefCell;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::ids::{Millis, Uuid, directory};

/// Monotonic time in microseconds since some moment before the process began to work.
/// Deadlines and sessions count in it; it never goes back and knows no leap or NTP step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(pub i64);

impl Ticks {
    /// This moment and so many milliseconds more.
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1000)))
    }
    /// Milliseconds from `earlier` to this moment, negative if it is the later one.
    pub fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0) / 1000
    }
}

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Wall-clock time, for records and people.
    fn now(&self) -> Millis;
    /// Monotonic time, for deadlines.
    fn ticks(&self) -> Ticks;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Starts counting ticks now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    fn now(&self) -> Millis {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |past| past.as_millis() as Millis)
    }
    fn ticks(&self) -> Ticks {
        Ticks(self.origin.elapsed().as_micros() as i64)
    }
}

/// A clock that moves only when told to, for tests and the simulator.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: AtomicI64,
    ticks: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `now` and zero ticks.
    pub fn at(now: Millis) -> Self {
        Self {
            now: AtomicI64::new(now),
            ticks: AtomicI64::new(0),
        }
    }
    /// Lets time pass on both hands.
    pub fn advance_ms(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
        self.ticks.fetch_add(ms * 1000, Ordering::SeqCst);
    }
    /// Sets the wall clock alone, as NTP does.
    pub fn jump_to(&self, now: Millis) {
        self.now.store(now, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        self.now.load(Ordering::SeqCst)
    }
    fn ticks(&self) -> Ticks {
        Ticks(self.ticks.load(Ordering::SeqCst))
    }
}

/// Chance, from a seed. A decision draws ids and placement from it, so a test with a fixed seed
/// always sees the same records.
#[derive(Debug)]
pub struct Dice(RefCell<SmallRng>);

impl Dice {
    /// Dice that always fall the same way.
    pub fn seeded(seed: u64) -> Self {
        Self(RefCell::new(SmallRng::seed_from_u64(seed)))
    }
    /// Dice seeded by the operating system.
    pub fn from_entropy() -> Self {
        Self(RefCell::new(SmallRng::from_os_rng()))
    }
    /// A number from 0 to `bound` - 1; 0 where `bound` is 0.
    pub fn below(&self, bound: usize) -> usize {
        if bound == 0 {
            0
        } else {
            self.0.borrow_mut().random_range(0..bound)
        }
    }
    /// A random id as Kafka makes them: version 4, never a reserved one, and its text never begins
    /// with `-`, which command lines would take for an option (`Uuid.randomUuid`, 4.3.1).
    pub fn uuid(&self) -> Uuid {
        loop {
            let id = uuid::Builder::from_random_bytes(self.0.borrow_mut().random()).into_uuid();
            let begins_with_dash = id.as_u128() >> 122 == 62;
            if !directory::is_reserved(id) && !begins_with_dash {
                return id;
            }
        }
    }
}
