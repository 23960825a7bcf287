//! Topic ids to positions: a hash table in 4,096 pieces, of which a change copies one.
//!
//! An entry is a single number, so a look-up into a table far larger than the processor's caches
//! waits for memory once, not three times.

use triomphe::Arc;

use crate::ids::{Offset, TopicId};

use super::pvec::{PVec, Row};

const SHARDS: u32 = 4096;
const EMPTY: u64 = 0;

/// Finds the position of a topic by its id. Clone is O(1).
#[derive(Clone, Default)]
pub(super) struct Shards(PVec<Shard>);

#[derive(Clone, Default)]
struct Shard(Arc<Table>);

/// Open addressing: an id's entry is at its hash's place, or behind it before the next empty one.
/// Entries hold 32 bits of hash above the position and one, so that a growing table need not look
/// at rows to hash its entries again. There are none, or a power of two of them.
#[derive(Clone, Default)]
struct Table {
    entries: Vec<u64>,
    count: usize,
}

impl Row for Shard {
    fn stamp(&self) -> Offset {
        Offset::MIN
    }
    fn is_vacant(&self) -> bool {
        false
    }
}

impl Shards {
    /// The position for which `is_it` holds among those whose id has this id's hash.
    pub(super) fn find(&self, id: TopicId, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let (shard, hash) = place(id);
        let table = &self.0.get(shard)?.0;
        let mut at = table.probe(hash);
        while table.entries.get(at).is_some_and(|entry| *entry != EMPTY) {
            let (other, slot) = parts(table.entries[at]);
            if other == hash && is_it(slot) {
                return Some(slot);
            }
            at = table.probe(at as u32 + 1);
        }
        None
    }

    /// Adds an id that is not there yet.
    pub(super) fn insert(&mut self, id: TopicId, slot: u32) {
        while self.0.len() < SHARDS {
            self.0.push(Shard::default());
        }
        let (shard, hash) = place(id);
        self.edit(shard)
            .insert(u64::from(hash) << 32 | u64::from(slot + 1));
    }

    /// Takes an id out.
    pub(super) fn remove(&mut self, id: TopicId, slot: u32) {
        if self.find(id, |other| other == slot).is_some() {
            let (shard, hash) = place(id);
            self.edit(shard)
                .remove(u64::from(hash) << 32 | u64::from(slot + 1));
        }
    }

    fn edit(&mut self, shard: u32) -> &mut Table {
        let shard = self.0.edit(shard, Offset::MIN);
        Arc::make_mut(&mut shard.expect("all shards were made before the first id").0)
    }
}

impl Table {
    /// The place of this number, which is a hash or a place that may lie behind the end.
    fn probe(&self, number: u32) -> usize {
        number as usize & self.entries.len().wrapping_sub(1)
    }

    fn insert(&mut self, entry: u64) {
        // Never more than three quarters full, so there is an empty place to stop at.
        if 4 * (self.count + 1) > 3 * self.entries.len() {
            let larger = vec![EMPTY; (2 * self.entries.len()).max(8)];
            let old = std::mem::replace(&mut self.entries, larger);
            old.into_iter()
                .filter(|entry| *entry != EMPTY)
                .for_each(|entry| self.set(entry));
        }
        self.set(entry);
        self.count += 1;
    }

    fn set(&mut self, entry: u64) {
        let mut at = self.probe(parts(entry).0);
        while self.entries[at] != EMPTY {
            at = self.probe(at as u32 + 1);
        }
        self.entries[at] = entry;
    }

    /// Takes out an entry that is there.
    fn remove(&mut self, entry: u64) {
        let mut at = self.probe(parts(entry).0);
        while self.entries[at] != entry {
            at = self.probe(at as u32 + 1);
        }
        self.entries[at] = EMPTY;
        self.count -= 1;
        // Those behind it may have been pushed on by it.
        loop {
            at = self.probe(at as u32 + 1);
            match std::mem::replace(&mut self.entries[at], EMPTY) {
                EMPTY => return,
                pushed => self.set(pushed),
            }
        }
    }
}

/// Hash and position of an entry.
fn parts(entry: u64) -> (u32, u32) {
    ((entry >> 32) as u32, (entry as u32).wrapping_sub(1))
}

/// The shard of an id, and 32 bits of hash that do not depend on which shard it is.
fn place(id: TopicId) -> (u32, u32) {
    let (high, low) = id.as_u64_pair();
    let mixed = (high ^ low.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = mixed ^ mixed >> 29;
    ((mixed >> 32) as u32 % SHARDS, mixed as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uuid;

    #[test]
    fn ids_are_found_until_they_are_removed() {
        let id = |n: u32| Uuid::from_u128(u128::from(n) * 0x1_0000_0001);
        let mut shards = Shards::default();
        assert_eq!(shards.find(id(1), |_| true), None);
        for n in 0..40_000 {
            shards.insert(id(n), n);
        }
        let before = shards.clone();
        for n in (0..40_000).filter(|n| n % 3 != 0) {
            shards.remove(id(n), n);
            shards.remove(id(n), n);
        }
        for n in 0..40_000 {
            assert_eq!(before.find(id(n), |slot| slot == n), Some(n));
            assert_eq!(
                shards.find(id(n), |slot| slot == n),
                (n % 3 == 0).then_some(n)
            );
        }
    }

    #[test]
    fn ids_of_one_hash_stay_apart() {
        let mut table = Table::default();
        let entry = |slot: u64| 6 << 32 | slot;
        (1..=5).for_each(|slot| table.insert(entry(slot)));
        table.insert(7 << 32 | 9);
        table.remove(entry(2));
        table.remove(entry(1));
        let mut left = table.entries.clone();
        left.retain(|entry| *entry != EMPTY);
        left.sort();
        assert_eq!(
            (left, table.count),
            (vec![entry(3), entry(4), entry(5), 7 << 32 | 9], 4)
        );
        assert_eq!(
            table.entries[table.probe(6)],
            entry(3),
            "nothing stands behind a gap"
        );
    }
}
