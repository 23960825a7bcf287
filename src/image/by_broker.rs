//! Which partitions a broker has to do with: a set of row positions per broker.
//!
//! The set holds every partition that names the broker anywhere, so it changes only when replicas
//! do, never when a leader or an ISR does; whoever asks for "led by" filters by row. A set is cut
//! into pages of 65,536 positions, each a sorted list while it is short and a bitmap afterwards.

use triomphe::Arc;

use crate::ids::Offset;

use super::interner::BrokerNumber;
use super::pvec::{PVec, Row};

/// A page's list becomes a bitmap above this length, where a bitmap is the smaller one.
const LIST_MAX: usize = 4096;
const WORDS: usize = 1024;

/// The index over all brokers. Clone is O(1).
#[derive(Clone, Default)]
pub(super) struct ByBroker(PVec<OnBroker>);

/// One broker's part in the partitions.
#[derive(Clone, Default)]
pub(super) struct OnBroker {
    /// How many partitions it holds a replica of.
    pub(super) replicas: u32,
    /// How many partitions it leads.
    pub(super) leaders: u32,
    pages: Arc<Vec<(u16, Arc<Page>)>>,
}

#[derive(Clone)]
enum Page {
    List(Vec<u16>),
    Bits(Box<[u64; WORDS]>),
}

impl Row for OnBroker {
    fn stamp(&self) -> Offset {
        Offset::MIN
    }
    fn is_vacant(&self) -> bool {
        false
    }
}

impl ByBroker {
    /// This broker's part, if it ever had one.
    pub(super) fn get(&self, broker: BrokerNumber) -> Option<&OnBroker> {
        self.0.get(u32::from(broker.0))
    }

    /// This broker's part, to be changed.
    pub(super) fn edit(&mut self, broker: BrokerNumber) -> &mut OnBroker {
        let at = u32::from(broker.0);
        while self.0.len() <= at {
            self.0.push(OnBroker::default());
        }
        self.0.edit(at, Offset::MIN).expect("it was just made")
    }
}

impl OnBroker {
    /// Positions from `from` on, in order.
    pub(super) fn slots(&self, from: u32) -> impl Iterator<Item = u32> + use<'_> {
        let first = (from >> 16) as u16;
        let start = self.pages.partition_point(|(page, _)| *page < first);
        self.pages[start..]
            .iter()
            .flat_map(|(page, slots)| {
                let base = u32::from(*page) << 16;
                slots.iter().map(move |low| base | u32::from(low))
            })
            .skip_while(move |slot| *slot < from)
    }

    /// Adds a position; twice is harmless.
    pub(super) fn insert(&mut self, slot: u32) {
        let (high, low) = ((slot >> 16) as u16, slot as u16);
        let pages = Arc::make_mut(&mut self.pages);
        match pages.binary_search_by_key(&high, |(page, _)| *page) {
            Ok(at) => Arc::make_mut(&mut pages[at].1).insert(low),
            Err(at) => pages.insert(at, (high, Arc::new(Page::List(vec![low])))),
        }
    }

    /// Takes a position out; a missing one is harmless.
    pub(super) fn remove(&mut self, slot: u32) {
        let (high, low) = ((slot >> 16) as u16, slot as u16);
        let pages = Arc::make_mut(&mut self.pages);
        if let Ok(at) = pages.binary_search_by_key(&high, |(page, _)| *page) {
            let page = Arc::make_mut(&mut pages[at].1);
            page.remove(low);
            if page.is_empty() {
                pages.remove(at);
            }
        }
    }
}

impl Page {
    fn insert(&mut self, low: u16) {
        match self {
            Self::List(list) => {
                // Positions are given out in rising order, so most go to the end.
                if list.last().is_some_and(|last| *last < low) {
                    list.push(low);
                } else if let Err(at) = list.binary_search(&low) {
                    list.insert(at, low);
                }
                if list.len() > LIST_MAX {
                    let mut bits = Box::new([0; WORDS]);
                    list.iter()
                        .for_each(|low| bits[usize::from(low >> 6)] |= 1 << (low & 63));
                    *self = Self::Bits(bits);
                }
            }
            Self::Bits(bits) => bits[usize::from(low >> 6)] |= 1 << (low & 63),
        }
    }

    fn remove(&mut self, low: u16) {
        match self {
            Self::List(list) => {
                if let Ok(at) = list.binary_search(&low) {
                    list.remove(at);
                }
            }
            Self::Bits(bits) => bits[usize::from(low >> 6)] &= !(1 << (low & 63)),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::List(list) => list.is_empty(),
            Self::Bits(bits) => bits.iter().all(|word| *word == 0),
        }
    }

    fn iter(&self) -> impl Iterator<Item = u16> + use<'_> {
        let (list, bits) = match self {
            Self::List(list) => (list.as_slice(), None),
            Self::Bits(bits) => (&[][..], Some(bits)),
        };
        let set = bits
            .into_iter()
            .flat_map(|bits| bits.iter().enumerate())
            .flat_map(|(n, word)| {
                let mut left = *word;
                std::iter::from_fn(move || {
                    let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                    left &= left - 1;
                    Some((n * 64 + bit) as u16)
                })
            });
        list.iter().copied().chain(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_set_is_a_set_as_list_and_as_bitmap() {
        let mut on = OnBroker::default();
        let mut expected = BTreeSet::new();
        // A fixed stride walks over several pages, up and down, sparse and dense.
        for step in 0..30_000_u32 {
            let slot = step.wrapping_mul(7919) % 200_000;
            on.insert(slot);
            expected.insert(slot);
        }
        for slot in (0..200_000).step_by(3) {
            on.remove(slot);
            expected.remove(&slot);
        }
        assert!(on.slots(0).eq(expected.iter().copied()));
        assert!(on.slots(70_001).eq(expected.range(70_001..).copied()));
        (0..200_000).for_each(|slot| on.remove(slot));
        assert!(on.pages.is_empty());
    }

    #[test]
    fn a_full_page_becomes_a_bitmap() {
        let mut on = OnBroker::default();
        (0..10_000).for_each(|slot| on.insert(slot));
        assert!(matches!(*on.pages[0].1, Page::Bits(_)));
        assert!(on.slots(9_990).eq(9_990..10_000));
    }
}
