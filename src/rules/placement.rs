//! Where the replicas of new partitions go (`StripedReplicaPlacer`, 4.3.1).
//!
//! # Goals, the more important first
//!
//! 1. *Racks.* The replicas of a partition stand in as many racks as there are. A rack is whatever
//!    fails together; brokers that name none form one rack of their own. Racks of unequal size are
//!    the operator's affair: the only broker of a small rack gets a replica of nearly everything.
//! 2. *Brokers.* Leaders and replicas are spread evenly, and the same set of brokers does not come
//!    back all the time: when one broker fails, its leaders should scatter over many others.
//! 3. *The living first.* Within a rack a fenced broker is used only when its unfenced ones are
//!    used up.
//!
//! # Constraints
//!
//! - No broker holds two replicas of one partition, so the replication factor is at most the number
//!   of brokers, fenced ones counted.
//! - The first replica, which will lead, is unfenced. Without an unfenced broker nothing is placed.
//!
//! # How
//!
//! Round robin over racks, and within each rack round robin over its brokers, from a random start.
//! Every partition starts one rack further and, in each rack it touches, one broker further. That
//! draws stripes. Three racks of three brokers, starting at the first of each:
//!
//! ```text
//! partition 0:  A0 B0 C0
//! partition 1:  B1 C1 A1
//! partition 2:  C2 A2 B2
//! ```
//!
//! Stripes repeat. So after as many partitions as there are unfenced brokers, racks and brokers are
//! shuffled and the striping begins anew.
//!
//! A partition with more replicas than racks goes round again and takes the next broker of each
//! rack; a rack without a broker left is passed over. The leader is found first: the first rack from
//! the start that has an unfenced broker. The other replicas then walk from the start again and pass
//! the leader's rack over once, because it has had its turn.
//!
//! Load, disk space and what was placed before do not count; nor does this look at log directories
//! (see [`directory_of`]).

use kafka_protocol::error::ResponseError;

use crate::clock::Dice;
use crate::ids::{BrokerId, Uuid, directory};
use crate::refusal::Refusal;
use crate::rules::features::gate;

/// A broker that may be given replicas.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its id.
    pub id: BrokerId,
    /// Its rack, if it names one.
    pub rack: Option<&'a str>,
    /// Fenced brokers get replicas last, and never lead.
    pub fenced: bool,
    /// Registered over HTTP: nobody watches whether it lives.
    pub sessionless: bool,
}

/// The candidates sorted into racks. Made once per request; each topic is placed from a fresh,
/// random start.
#[derive(Clone, Debug)]
pub struct Racks {
    /// In the order of their names, the nameless one first.
    racks: Vec<Rack>,
    brokers: usize,
    unfenced: usize,
}

impl Racks {
    /// Sorts these brokers into racks. Sessionless ones count only where no broker with a live
    /// session is among them.
    pub fn of<'a>(candidates: impl Iterator<Item = Candidate<'a>>) -> Self {
        let mut candidates: Vec<Candidate<'a>> = candidates.collect();
        if candidates
            .iter()
            .any(|broker| !broker.fenced && !broker.sessionless)
        {
            candidates.retain(|broker| !broker.sessionless);
        }
        candidates.sort_unstable_by_key(|broker| (broker.rack, broker.id));
        let brokers = candidates.len();
        let unfenced = candidates.iter().filter(|broker| !broker.fenced).count();
        let same_rack = |a: &Candidate<'a>, b: &Candidate<'a>| a.rack == b.rack;
        let racks = candidates.chunk_by(same_rack).map(Rack::of).collect();
        Self {
            racks,
            brokers,
            unfenced,
        }
    }

    /// The replicas of so many partitions of one topic, the preferred leader of each first.
    /// INVALID_REPLICATION_FACTOR if there are too few brokers or none that could lead.
    pub fn place(
        &self,
        partitions: usize,
        replication_factor: i16,
        dice: &Dice,
    ) -> Result<Vec<Vec<BrokerId>>, Refusal> {
        let replicas = self.check(replication_factor)?;
        let mut stripes = Stripes::start(self, dice);
        Ok((0..partitions)
            .map(|_| stripes.next(replicas, dice))
            .collect())
    }

    fn check(&self, replication_factor: i16) -> Result<usize, Refusal> {
        let fault = match usize::try_from(replication_factor) {
            Err(_) | Ok(0) => {
                format!("Invalid replication factor {replication_factor}: it must be positive.")
            }
            Ok(_) if self.unfenced == 0 => {
                "All brokers are currently fenced, or have all their log directories cordoned."
                    .to_owned()
            }
            Ok(wanted) if wanted > self.brokers => format!(
                "The target replication factor of {wanted} cannot be reached because only {} \
                 broker(s) are registered or some brokers have all their log directories cordoned.",
                self.brokers
            ),
            Ok(wanted) => return Ok(wanted),
        };
        Err(Refusal::new(ResponseError::InvalidReplicationFactor, fault))
    }
}

#[derive(Clone, Debug)]
struct Rack {
    unfenced: Ring,
    fenced: Ring,
}

impl Rack {
    fn of(candidates: &[Candidate<'_>]) -> Self {
        let ring = |fenced| {
            let chosen = candidates.iter().filter(|broker| broker.fenced == fenced);
            Ring {
                brokers: chosen.map(|broker| broker.id).collect(),
                start: 0,
                taken: 0,
                round: 0,
            }
        };
        Self {
            unfenced: ring(false),
            fenced: ring(true),
        }
    }

    fn next(&mut self, round: usize) -> Option<BrokerId> {
        self.unfenced
            .next(round)
            .or_else(|| self.fenced.next(round))
    }
}

/// Brokers in a circle. Each round (one partition) may take every broker once, and starts one
/// further than the last round that touched the ring.
#[derive(Clone, Debug)]
struct Ring {
    brokers: Vec<BrokerId>,
    start: usize,
    taken: usize,
    round: usize,
}

impl Ring {
    fn next(&mut self, round: usize) -> Option<BrokerId> {
        if self.brokers.is_empty() {
            return None;
        }
        if self.round != round {
            self.round = round;
            self.taken = 0;
            self.start = (self.start + 1) % self.brokers.len();
        }
        if self.taken == self.brokers.len() {
            return None;
        }
        let broker = self.brokers[(self.start + self.taken) % self.brokers.len()];
        self.taken += 1;
        Some(broker)
    }
}

/// The placing of one topic under way.
struct Stripes {
    racks: Vec<Rack>,
    unfenced: usize,
    /// Which partition this is since the last shuffle.
    round: usize,
    /// The rack that the next partition starts at.
    start: usize,
}

impl Stripes {
    fn start(racks: &Racks, dice: &Dice) -> Self {
        let unfenced = racks.unfenced;
        let mut racks = racks.racks.clone();
        for rack in &mut racks {
            rack.fenced.start = dice.below(rack.fenced.brokers.len());
            rack.unfenced.start = dice.below(rack.unfenced.brokers.len());
        }
        let start = dice.below(racks.len());
        Self {
            racks,
            unfenced,
            round: 0,
            start,
        }
    }

    /// One partition. The caller has checked that there are enough brokers, and one unfenced: that
    /// is what ends both loops.
    fn next(&mut self, replicas: usize, dice: &Dice) -> Vec<BrokerId> {
        // With a single unfenced broker a shuffle changes nothing, but it would begin round 0 again
        // and again, in which the ring is used up already.
        if self.round == self.unfenced && self.unfenced > 1 {
            self.shuffle(dice);
            self.round = 0;
        }
        if self.start == self.racks.len() {
            self.start = 0;
        }
        let mut placed = Vec::with_capacity(replicas);
        let mut leaders_rack = self.start;
        loop {
            if let Some(leader) = self.racks[leaders_rack].unfenced.next(self.round) {
                placed.push(leader);
                break;
            }
            leaders_rack = (leaders_rack + 1) % self.racks.len();
        }
        let mut pass_over = Some(leaders_rack);
        let mut rack = self.start;
        while placed.len() < replicas {
            if pass_over == Some(rack) {
                pass_over = None;
            } else if let Some(broker) = self.racks[rack].next(self.round) {
                placed.push(broker);
            }
            rack = (rack + 1) % self.racks.len();
        }
        self.round += 1;
        self.start += 1;
        placed
    }

    fn shuffle(&mut self, dice: &Dice) {
        shuffle(&mut self.racks, dice);
        for rack in &mut self.racks {
            shuffle(&mut rack.fenced.brokers, dice);
            shuffle(&mut rack.unfenced.brokers, dice);
        }
    }
}

/// Puts the items into a random order.
pub fn shuffle<T>(items: &mut [T], dice: &Dice) {
    for last in (1..items.len()).rev() {
        items.swap(last, dice.below(last + 1));
    }
}

/// The log directory that a new replica is recorded with, given the directories its broker
/// registered (`None`: no such broker): only a broker with exactly one leaves no choice
/// (`ClusterControlManager.defaultDir`, 4.3.1).
pub fn directory_of(log_dirs: Option<&[Uuid]>, metadata_version: i16) -> Uuid {
    match log_dirs {
        _ if metadata_version < gate::DIRECTORIES => directory::MIGRATING,
        None => directory::UNASSIGNED,
        Some([]) => directory::MIGRATING,
        Some([only]) => *only,
        Some(_) => directory::UNASSIGNED,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// Brokers as `id`, `id@rack`, with `!` behind for fenced and `~` for sessionless.
    fn racks(brokers: &str) -> Racks {
        Racks::of(brokers.split_whitespace().map(|text| {
            let name = text.trim_end_matches(['!', '~']);
            let (id, rack) = name
                .split_once('@')
                .map_or((name, None), |(id, rack)| (id, Some(rack)));
            Candidate {
                id: BrokerId(id.parse().unwrap()),
                rack,
                fenced: text.contains('!'),
                sessionless: text.contains('~'),
            }
        }))
    }

    fn place(brokers: &str, partitions: usize, rf: i16, seed: u64) -> Vec<Vec<i32>> {
        let placed = racks(brokers)
            .place(partitions, rf, &Dice::seeded(seed))
            .unwrap();
        placed
            .into_iter()
            .map(|replicas| replicas.into_iter().map(|id| id.0).collect())
            .collect()
    }

    #[test]
    fn draws_stripes_over_racks() {
        let brokers = "0@a 1@a 2@a 10@b 11@b 12@b 20@c 21@c 22@c";
        for seed in 0..50 {
            for (partition, replicas) in place(brokers, 9, 3, seed).iter().enumerate() {
                let racks: Vec<i32> = replicas.iter().map(|id| id / 10).collect();
                assert_eq!(
                    racks.iter().collect::<BTreeSet<_>>().len(),
                    3,
                    "{replicas:?}"
                );
                assert_eq!(racks[1], (racks[0] + 1) % 3, "the walk keeps its order");
                let first = place(brokers, 1, 3, seed)[0][0] / 10;
                assert_eq!(
                    racks[0],
                    (first + partition as i32) % 3,
                    "one rack further each time"
                );
            }
        }
    }

    #[test]
    fn one_rack_steps_by_one_broker() {
        for seed in 0..20 {
            let placed = place("1 2 3", 3, 2, seed);
            let leaders: BTreeSet<i32> = placed.iter().map(|replicas| replicas[0]).collect();
            assert_eq!(
                leaders.len(),
                3,
                "every broker leads once in a round: {placed:?}"
            );
            for replicas in placed {
                assert_eq!(
                    replicas[1],
                    replicas[0] % 3 + 1,
                    "neighbours before the first shuffle"
                );
            }
        }
    }

    #[test]
    fn fenced_brokers_come_last_and_never_lead() {
        for seed in 0..20 {
            for replicas in place("1@a 2@a! 3@b! 4@b!", 40, 3, seed) {
                assert_eq!(replicas[0], 1, "the only unfenced one leads: {replicas:?}");
            }
            for replicas in place("1 2 3 4! 5!", 40, 3, seed) {
                assert!(
                    replicas.iter().all(|id| *id <= 3),
                    "enough living: {replicas:?}"
                );
            }
            for replicas in place("1 2 3 4! 5!", 40, 4, seed) {
                assert!(
                    replicas[..3].iter().all(|id| *id <= 3),
                    "fenced last: {replicas:?}"
                );
            }
        }
    }

    #[test]
    fn sessionless_brokers_only_without_living_ones() {
        assert!(
            place("1 2~ 3~", 10, 1, 7)
                .iter()
                .all(|replicas| replicas == &[1])
        );
        assert!(
            place("1! 2~ 3~", 10, 2, 7)
                .iter()
                .all(|replicas| !replicas.contains(&1))
        );
        assert_eq!(place("2~ 3~", 1, 2, 7)[0].len(), 2);
    }

    #[test]
    fn refusals() {
        let check = |brokers: &str, rf: i16, text: &str| {
            let refusal = racks(brokers).place(1, rf, &Dice::seeded(1)).unwrap_err();
            assert_eq!(refusal.code, ResponseError::InvalidReplicationFactor);
            assert!(refusal.text.contains(text), "{}", refusal.text);
        };
        check("", 1, "All brokers are currently fenced");
        check("1! 2!", 1, "All brokers are currently fenced");
        check("1 2", 3, "only 2 broker(s)");
        check("1 2!", 3, "only 2 broker(s)");
        check("1 2", 0, "must be positive");
        check("1 2", -5, "must be positive");
        check("1 2~", 2, "only 1 broker(s)");
    }

    #[test]
    fn directories_of_new_replicas() {
        let (one, two) = (Uuid::from_u128(1000), Uuid::from_u128(2000));
        for (log_dirs, metadata_version, expected) in [
            (Some(&[one][..]), 30, one),
            (Some(&[one, two]), 30, directory::UNASSIGNED),
            (Some(&[]), 30, directory::MIGRATING),
            (None, 30, directory::UNASSIGNED),
            (Some(&[one]), 16, directory::MIGRATING),
            (Some(&[one]), 17, one),
        ] {
            assert_eq!(directory_of(log_dirs, metadata_version), expected);
        }
    }

    proptest! {
        /// The goals and constraints of the essay, on any cluster.
        #[test]
        fn goals_hold(
            cluster in proptest::collection::btree_map(0..40_i32, (0..4_u8, any::<bool>()), 1..12),
            partitions in 1..40_usize,
            rf in 1..6_i16,
            seed: u64,
        ) {
            const NAMES: [Option<&str>; 4] = [None, Some("a"), Some("b"), Some("c")];
            let candidates = cluster.iter().map(|(id, (rack, fenced))| Candidate {
                id: BrokerId(*id),
                rack: NAMES[usize::from(*rack)],
                fenced: *fenced,
                sessionless: false,
            });
            let unfenced = cluster.values().filter(|(_, fenced)| !fenced).count();
            let placed = Racks::of(candidates).place(partitions, rf, &Dice::seeded(seed));
            let Ok(placed) = placed else {
                prop_assert!(unfenced == 0 || cluster.len() < rf as usize);
                return Ok(());
            };
            let mut sizes = BTreeMap::new();
            for (rack, _) in cluster.values() {
                *sizes.entry(*rack).or_insert(0) += 1;
            }
            prop_assert_eq!(placed.len(), partitions);
            for replicas in placed {
                prop_assert_eq!(replicas.len(), rf as usize);
                prop_assert_eq!(replicas.iter().collect::<BTreeSet<_>>().len(), rf as usize);
                prop_assert!(!cluster[&replicas[0].0].1, "an unfenced leader");
                let used: BTreeSet<u8> = replicas.iter().map(|id| cluster[&id.0].0).collect();
                prop_assert_eq!(used.len(), sizes.len().min(rf as usize), "all racks are used");
            }
        }
    }
}
