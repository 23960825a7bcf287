//! Topic ids to positions: a hash table in 4,096 pieces, of which a change copies one.

use hashbrown::HashTable;
use triomphe::Arc;

use crate::ids::{Offset, TopicId};

use super::pvec::{PVec, Row};

const SHARDS: u32 = 4096;

/// Finds the position of a topic by its id. Clone is O(1).
#[derive(Clone, Default)]
pub(super) struct Shards(PVec<Shard>);

/// Entries are 32 bits of the id's hash above the 32 bits of the position, so that a growing table
/// need not look at rows to hash its entries again.
#[derive(Clone, Default)]
struct Shard(Arc<HashTable<u64>>);

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
        let found = self.0.get(shard)?.0.find(spread(hash), |entry| {
            (entry >> 32) as u32 == hash && is_it(*entry as u32)
        });
        found.map(|entry| *entry as u32)
    }

    /// Adds an id that is not there yet.
    pub(super) fn insert(&mut self, id: TopicId, slot: u32) {
        while self.0.len() < SHARDS {
            self.0.push(Shard::default());
        }
        let (shard, hash) = place(id);
        let entry = u64::from(hash) << 32 | u64::from(slot);
        self.edit(shard)
            .insert_unique(spread(hash), entry, |old| spread((old >> 32) as u32));
    }

    /// Takes an id out.
    pub(super) fn remove(&mut self, id: TopicId, slot: u32) {
        let (shard, hash) = place(id);
        let entry = u64::from(hash) << 32 | u64::from(slot);
        if let Ok(found) = self
            .edit(shard)
            .find_entry(spread(hash), |other| *other == entry)
        {
            found.remove();
        }
    }

    fn edit(&mut self, shard: u32) -> &mut HashTable<u64> {
        let shard = self
            .0
            .edit(shard, Offset::MIN)
            .expect("all shards were made before the first id");
        Arc::make_mut(&mut shard.0)
    }
}

/// The shard of an id, and 32 bits of hash that do not depend on which shard it is.
fn place(id: TopicId) -> (u32, u32) {
    let (high, low) = id.as_u64_pair();
    let mixed = (high ^ low.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = mixed ^ mixed >> 29;
    ((mixed >> 32) as u32 % SHARDS, mixed as u32)
}

/// The table takes its filter from the top bits and its place from the bottom ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
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
        for n in 0..20_000 {
            shards.insert(id(n), n);
        }
        let before = shards.clone();
        shards.remove(id(5), 5);
        shards.remove(id(5), 5);
        for n in 0..20_000 {
            assert_eq!(before.find(id(n), |slot| slot == n), Some(n));
        }
        assert_eq!(shards.find(id(5), |slot| slot == 5), None);
        assert_eq!(shards.find(id(6), |slot| slot == 6), Some(6));
    }
}
