//! When the leader does what nobody asks for. What it then does is a rule (`rules/chores.rs`).

use crate::clock::Ticks;
use crate::settings::Settings;

/// Pause between two runs of a chore that had more to do than one run may
/// (`PeriodicTaskFlag`'s immediate reschedule, 4.3.1).
const GO_ON_MS: i64 = 10;

/// A chore whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A broker's session is over: fence it.
    Expiry,
    /// Give partitions back to their preferred leaders.
    Balance,
    /// Elect leaders from outside the ISR where the topic allows it.
    Unclean,
    /// Nothing was written for long: a NoOp shows that the log lives.
    Idle,
}

/// When each periodic chore is due next. Sessions are not in it: `Live` knows their exact ends.
pub(super) struct Timetable {
    balance: Periodic,
    unclean: Periodic,
    idle: Periodic,
}

/// Something done again and again; never, where it has no period.
struct Periodic {
    every_ms: Option<i64>,
    at: Ticks,
}

impl Timetable {
    pub(super) fn new(settings: &Settings, now: Ticks) -> Self {
        let balance_ms = settings
            .leader_imbalance_check_interval_seconds
            .saturating_mul(1000);
        let balance_ms = if settings.auto_leader_rebalance_enable {
            balance_ms
        } else {
            0
        };
        Self {
            balance: Periodic::new(balance_ms, now),
            unclean: Periodic::new(settings.unclean_leader_election_interval_ms, now),
            idle: Periodic::new(settings.metadata_max_idle_interval_ms, now),
        }
    }

    /// A batch was written: the log is not idle.
    pub(super) fn wrote(&mut self, now: Ticks) {
        self.idle.put_off(now);
    }

    /// The balance was looked at; `more`: the run was full.
    pub(super) fn balanced(&mut self, more: bool, now: Ticks) {
        self.balance.done(more, now);
    }

    /// Unclean elections were held; `more`: the run was full.
    pub(super) fn elected_unclean(&mut self, more: bool, now: Ticks) {
        self.unclean.done(more, now);
    }

    /// The earliest moment at which a periodic chore is due.
    pub(super) fn next_due(&self) -> Option<Ticks> {
        [&self.balance, &self.unclean, &self.idle]
            .into_iter()
            .filter_map(Periodic::next)
            .min()
    }

    /// A chore that is due now, if any; `expiry` is the end of the next session. A periodic one is
    /// put off to its next time.
    pub(super) fn take_due(&mut self, expiry: Option<Ticks>, now: Ticks) -> Option<Due> {
        if expiry.is_some_and(|at| at <= now) {
            return Some(Due::Expiry);
        }
        let periodic = [
            (&mut self.balance, Due::Balance),
            (&mut self.unclean, Due::Unclean),
            (&mut self.idle, Due::Idle),
        ];
        periodic
            .into_iter()
            .find_map(|(chore, due)| chore.take(now).then_some(due))
    }
}

impl Periodic {
    /// Zero or less: never.
    fn new(every_ms: i64, now: Ticks) -> Self {
        Self {
            every_ms: (every_ms > 0).then_some(every_ms),
            at: now.plus_ms(every_ms),
        }
    }

    fn next(&self) -> Option<Ticks> {
        self.every_ms.map(|_| self.at)
    }

    fn take(&mut self, now: Ticks) -> bool {
        let is_due = self.next().is_some_and(|at| at <= now);
        if is_due {
            self.put_off(now);
        }
        is_due
    }

    fn put_off(&mut self, now: Ticks) {
        self.at = now.plus_ms(self.every_ms.unwrap_or(0));
    }

    fn done(&mut self, more: bool, now: Ticks) {
        if more {
            self.at = now.plus_ms(GO_ON_MS);
        }
    }
}
