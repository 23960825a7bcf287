//! Topic names: from position to name, from name to position, and in order.
//!
//! Names stand in blocks of sixteen by position, so a name costs little more than its letters. The
//! order is a list of positions, cut into pieces that are found by a name which bounds them from
//! below; inside a piece, names are looked up by position and compared.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use crate::ids::Offset;

use super::pvec::{PVec, Row};

/// Longest name kept, in bytes. Kafka's own limit for topics is 249.
pub(super) const NAME_BYTES_MAX: usize = 4_000;

const PER_BLOCK: usize = 16;
const PER_PIECE: usize = 64;

/// The names of all topics. Clone is O(1).
#[derive(Clone, Default)]
pub(super) struct Names {
    blocks: PVec<Block>,
    /// Positions by name, in pieces. The key of a piece is no greater than any name in it, and
    /// greater than all before; the first key is empty.
    order: OrdMap<Arc<str>, Arc<Vec<u32>>>,
}

/// The names of sixteen positions, one behind the other.
#[derive(Clone)]
struct Block {
    text: Arc<str>,
    /// Where each name ends.
    ends: [u16; PER_BLOCK],
    /// How many of the positions were named.
    named: u8,
    /// Which of them still are, one bit each.
    live: u16,
}

impl Row for Block {
    fn stamp(&self) -> Offset {
        Offset::MIN
    }
    fn is_vacant(&self) -> bool {
        self.live == 0 && usize::from(self.named) == PER_BLOCK
    }
}

impl Block {
    fn new(named: u8) -> Self {
        Self {
            text: "".into(),
            ends: [0; PER_BLOCK],
            named,
            live: 0,
        }
    }

    fn name(&self, at: usize) -> &str {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[usize::from(start)..usize::from(self.ends[at])]
    }

    fn push(&mut self, name: &str) {
        let at = usize::from(self.named);
        self.text = [&*self.text, name].concat().into();
        self.ends[at] = self.text.len() as u16;
        self.live |= 1 << at;
        self.named += 1;
    }
}

impl Names {
    /// The name of a position that has one.
    pub(super) fn name(&self, slot: u32) -> &str {
        let block = self.blocks.get(slot / PER_BLOCK as u32);
        block.map_or("", |block| block.name(slot as usize % PER_BLOCK))
    }

    /// The position of this name.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        let (_, piece) = self.order.get_prev(name)?;
        Some(piece[self.place(piece, name).ok()?])
    }

    /// Positions in the order of their names, beginning with the first name not before `from`.
    pub(super) fn from(&self, from: &str) -> impl Iterator<Item = u32> + use<'_> {
        let first = self.order.get_prev(from).map(|(_, piece)| {
            let at = self.place(piece, from).unwrap_or_else(|at| at);
            piece[at..].iter()
        });
        let rest = self
            .order
            .range::<_, str>((Bound::Excluded(from), Bound::Unbounded));
        first
            .into_iter()
            .flatten()
            .chain(rest.flat_map(|(_, piece)| piece.iter()))
            .copied()
    }

    /// Names a position: the next one that has none. `false`, and nothing is done, if the name is
    /// taken. It must not be too long.
    pub(super) fn insert(&mut self, slot: u32, name: &str) -> bool {
        if !self.sort_in(slot, name) {
            return false;
        }
        let number = slot / PER_BLOCK as u32;
        if number == self.blocks.len() {
            self.blocks.push(Block::new(0));
        }
        let block = self.blocks.edit(number, Offset::MIN);
        block
            .expect("a block is kept until all its positions were named")
            .push(name);
        true
    }

    /// Takes a position's name away.
    pub(super) fn remove(&mut self, slot: u32) {
        let name = self.name(slot).to_owned();
        self.sort_out(&name);
        let number = slot / PER_BLOCK as u32;
        let Some(block) = self.blocks.edit(number, Offset::MIN) else {
            return;
        };
        let live = block.live & !(1 << (slot as usize % PER_BLOCK));
        if live == 0 && usize::from(block.named) == PER_BLOCK {
            self.blocks.vacate(number, Block::new(PER_BLOCK as u8));
        } else {
            block.live = live;
        }
    }

    fn sort_in(&mut self, slot: u32, name: &str) -> bool {
        if self.order.is_empty() {
            self.order.insert("".into(), Arc::default());
        }
        let Some((bound, piece)) = self.order.get_prev(name) else {
            return false;
        };
        let Err(at) = self.place(piece, name) else {
            return false;
        };
        let is_last = at == piece.len();
        let bound = bound.clone();
        let Some(piece) = self.order.get_mut(&bound).map(Arc::make_mut) else {
            return false;
        };
        if piece.len() < PER_PIECE {
            piece.insert(at, slot);
        } else if is_last {
            // Names that come in order leave full pieces behind.
            self.order.insert(name.into(), Arc::new(vec![slot]));
        } else {
            let mut upper = piece.split_off(PER_PIECE / 2);
            match at.checked_sub(PER_PIECE / 2) {
                Some(at) if at > 0 => upper.insert(at, slot),
                _ => piece.insert(at, slot),
            }
            let bound = self.name(upper[0]).into();
            self.order.insert(bound, Arc::new(upper));
        }
        true
    }

    fn sort_out(&mut self, name: &str) {
        let Some((bound, piece)) = self.order.get_prev(name) else {
            return;
        };
        let Ok(at) = self.place(piece, name) else {
            return;
        };
        let bound = bound.clone();
        let Some(piece) = self.order.get_mut(&bound).map(Arc::make_mut) else {
            return;
        };
        piece.remove(at);
        if piece.is_empty() && !bound.is_empty() {
            self.order.remove(&bound);
        }
    }

    fn place(&self, piece: &[u32], name: &str) -> Result<usize, usize> {
        match piece.last() {
            // The common case of names that come in order.
            Some(last) if self.name(*last) < name => Err(piece.len()),
            _ => piece.binary_search_by(|slot| self.name(*slot).cmp(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn names_are_found_in_order_while_they_come_and_go() {
        let mut names = Names::default();
        let mut expected = BTreeMap::new();
        assert_eq!((names.find("a"), names.from("").count()), (None, 0));
        let name = |n: u32| format!("{:x}", n.wrapping_mul(0x9e37_79b9) % 50_000);
        for slot in 0..5_000 {
            // Every other name comes in order, the rest all over the place.
            let name = if slot % 2 == 0 {
                format!("x{slot:05}")
            } else {
                name(slot)
            };
            if !expected.contains_key(&name) {
                assert!(names.insert(expected.len() as u32, &name));
                expected.insert(name, expected.len() as u32);
            } else {
                assert!(!names.insert(expected.len() as u32, &name));
            }
        }
        let before = names.clone();
        let all = expected.clone();
        for (name, slot) in &all {
            if slot % 3 != 0 || (600..700).contains(slot) {
                names.remove(*slot);
                expected.remove(name);
            }
        }
        for (names, expected) in [(&before, &all), (&names, &expected)] {
            assert!(names.from("").eq(expected.values().copied()));
            for from in ["0", "7a", "x", "x00100", "y", "zz"] {
                let rest = expected.range(from.to_owned()..).map(|(_, slot)| *slot);
                assert!(names.from(from).eq(rest), "{from}");
            }
            for (name, slot) in expected {
                assert_eq!(
                    (names.find(name), names.name(*slot)),
                    (Some(*slot), name.as_str())
                );
            }
        }
        assert_eq!(names.find(&name(1)), expected.get(&name(1)).copied());
        assert!(
            names.blocks.get(650 / PER_BLOCK as u32).is_none(),
            "its text is given back"
        );
    }
}
