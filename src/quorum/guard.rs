//! The guard: whether a committed batch was decided on the state that it meets.
//!
//! The leader decides ahead of the log, on everything it has proposed so far. If one of its batches
//! does not come about, all later ones of the same unbroken life (*run*) were decided on a state
//! that never was. So a batch names its term, its run and its base offset, and every node judges it
//! alike, from replicated state alone:
//!
//! * its term is its entry's;
//! * its base offset is the next one;
//! * its run is newer than the last seen in that term, or the same and not broken.
//!
//! The first void batch breaks its run. Base offset and term alone would not do: after a void batch
//! a later one can fit the offset again by chance and apply to a state it was not decided on.

use anyhow::Result;
use bytes::BufMut;

use super::codec::Input;
use crate::ids::Offset;

/// What every node knows about the runs so far; part of the replicated state, kept in snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    term: u64,
    run: u32,
    broken: bool,
}

/// What a batch claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Term in which it was decided.
    pub term: u64,
    /// Run in which it was decided.
    pub run: u32,
    /// Offset of its first record.
    pub base_offset: Offset,
}

impl Guard {
    /// Judges the next committed batch, whose entry has term `entry_term` and whose records would
    /// begin at `next_offset`. `false`: it is void, and its run is broken.
    pub fn pass(&mut self, claim: Claim, entry_term: u64, next_offset: Offset) -> bool {
        if claim.term != entry_term {
            // Not this term's leader's own words; they say nothing about this term's runs.
            return false;
        }
        let newer = (claim.term, claim.run) > (self.term, self.run);
        let same = (claim.term, claim.run) == (self.term, self.run);
        if !newer && (!same || self.broken) {
            return false;
        }
        let fits = claim.base_offset == next_offset;
        *self = Self {
            term: claim.term,
            run: claim.run,
            broken: !fits,
        };
        fits
    }

    /// Appends it to a snapshot's side file.
    pub(super) fn encode(&self, out: &mut impl BufMut) {
        out.put_u64(self.term);
        out.put_u32(self.run);
        out.put_u8(u8::from(self.broken));
    }

    /// The inverse of [`Guard::encode`].
    pub(super) fn decode(input: &mut Input) -> Result<Self> {
        Ok(Self {
            term: input.u64()?,
            run: input.u32()?,
            broken: input.flag()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Batches as (term of the batch, run, base offset, term of the entry), each one record long,
    /// and which of them pass.
    #[track_caller]
    fn check(batches: &[(u64, u32, Offset, u64)], expected: &str) {
        let mut guard = Guard::default();
        let mut next_offset = 0;
        let passed: String = batches
            .iter()
            .map(|&(term, run, base_offset, entry_term)| {
                let passes = guard.pass(
                    Claim {
                        term,
                        run,
                        base_offset,
                    },
                    entry_term,
                    next_offset,
                );
                next_offset += Offset::from(passes);
                if passes { 'y' } else { 'n' }
            })
            .collect();
        assert_eq!(passed, expected, "{batches:?}");
    }

    #[test]
    fn batches_in_order_pass() {
        check(
            &[(1, 1, 0, 1), (1, 1, 1, 1), (1, 2, 2, 1), (2, 1, 3, 2)],
            "yyyy",
        );
    }

    #[test]
    fn a_gap_breaks_its_run_but_not_the_next() {
        check(
            &[(1, 1, 0, 1), (1, 1, 2, 1), (1, 1, 1, 1), (1, 2, 1, 1)],
            "ynny",
        );
    }

    #[test]
    fn an_offset_that_fits_again_by_chance_stays_void() {
        // The second was lost, the third meets the offset of the first again after a new run.
        check(
            &[(1, 1, 0, 1), (1, 1, 9, 1), (1, 1, 1, 1), (1, 1, 2, 1)],
            "ynnn",
        );
    }

    #[test]
    fn an_older_run_or_another_term_stays_void() {
        check(&[(1, 2, 0, 1), (1, 1, 1, 1), (1, 2, 1, 1)], "yny");
        check(
            &[(1, 1, 0, 2), (2, 1, 0, 2), (1, 9, 1, 2), (2, 1, 1, 2)],
            "nyny",
        );
    }

    #[test]
    fn it_is_kept_in_a_snapshot() {
        let guard = Guard {
            term: 7,
            run: 3,
            broken: true,
        };
        let mut bytes = Vec::new();
        guard.encode(&mut bytes);
        assert_eq!(bytes.len(), 13);
        assert_eq!(Guard::decode(&mut Input(bytes.into())).unwrap(), guard);
    }

    /// A small world, walked through exhaustively. A leader decides batches ahead: each one names
    /// the history it was decided on. Any of them may be lost on the way, or held up and appended
    /// after later ones, even in another term; the leader begins a new run, on what was really
    /// applied, whenever nothing is under way. Then, on every path:
    ///
    /// * what passes meets exactly the history it was decided on, in the term it was decided in;
    /// * after a void batch nothing of its run passes any more.
    #[test]
    fn whatever_passes_was_decided_on_the_state_it_meets() {
        let mut walked = 0;
        World::default().walk(10, &mut walked);
        assert!(
            walked > 100_000,
            "the model is too small to mean anything: {walked}"
        );
    }

    #[derive(Clone)]
    struct Proposed {
        claim: Claim,
        entry_term: u64,
        batch: u32,
        decided_on: Vec<u32>,
    }

    #[derive(Clone, Default)]
    struct World {
        guard: Guard,
        /// What was applied: the identities of the batches, in order.
        applied: Vec<u32>,
        /// What the leader believes: applied and everything it has decided since.
        ahead: Vec<u32>,
        term: u64,
        run: u32,
        next_batch: u32,
        /// In the log, not applied yet.
        log: Vec<Proposed>,
        /// Held up on its way into the log.
        held: Option<Proposed>,
        /// Terms and runs that had a void batch of their own term.
        broken: Vec<(u64, u32)>,
    }

    impl World {
        const STEPS: [fn(&mut Self) -> bool; 7] = [
            Self::elect,
            Self::decide,
            Self::lose,
            Self::hold_up,
            Self::let_go,
            Self::apply,
            Self::restart_run,
        ];

        fn walk(&self, depth: u32, walked: &mut u64) {
            *walked += 1;
            if depth == 0 {
                return;
            }
            for step in Self::STEPS {
                let mut world = self.clone();
                if step(&mut world) {
                    world.walk(depth - 1, walked);
                }
            }
        }

        /// A new leader, which has applied everything in the log (the barrier).
        fn elect(&mut self) -> bool {
            while self.apply() {}
            (self.term, self.run) = (self.term + 1, 1);
            self.ahead.clone_from(&self.applied);
            true
        }

        fn decide(&mut self) -> bool {
            let base_offset = self.ahead.len() as Offset;
            let claim = Claim {
                term: self.term,
                run: self.run,
                base_offset,
            };
            let decided_on = self.ahead.clone();
            let batch = self.next_batch;
            self.log.push(Proposed {
                claim,
                entry_term: self.term,
                batch,
                decided_on,
            });
            self.ahead.push(batch);
            self.next_batch += 1;
            self.term > 0
        }

        /// The newest proposal is not appended; the leader does not know yet.
        fn lose(&mut self) -> bool {
            self.log.pop().is_some()
        }

        /// The newest proposal is held up.
        fn hold_up(&mut self) -> bool {
            if self.held.is_none() {
                self.held = self.log.pop();
                return self.held.is_some();
            }
            false
        }

        /// It is appended after all, in the term of now.
        fn let_go(&mut self) -> bool {
            let Some(mut held) = self.held.take() else {
                return false;
            };
            held.entry_term = self.term;
            self.log.push(held);
            true
        }

        fn apply(&mut self) -> bool {
            if self.log.is_empty() {
                return false;
            }
            let Proposed {
                claim,
                entry_term,
                batch,
                decided_on,
            } = self.log.remove(0);
            let run = (claim.term, claim.run);
            if self
                .guard
                .pass(claim, entry_term, self.applied.len() as Offset)
            {
                assert_eq!(self.applied, decided_on, "{claim:?} met another state");
                assert_eq!(claim.term, entry_term, "{claim:?} passed in another term");
                assert!(
                    !self.broken.contains(&run),
                    "{claim:?} passed in a broken run"
                );
                self.applied.push(batch);
            } else if claim.term == entry_term {
                self.broken.push(run);
            }
            true
        }

        /// `ahead` is built anew on what was applied, once everything under way in this term has
        /// an outcome. Without that wait the guard would not be enough: a batch of the old run could
        /// take the place of a lost one of the new.
        fn restart_run(&mut self) -> bool {
            if self
                .held
                .as_ref()
                .is_some_and(|held| held.claim.term == self.term)
            {
                return false;
            }
            while self.apply() {}
            self.run += 1;
            self.ahead.clone_from(&self.applied);
            self.term > 0
        }
    }
}
