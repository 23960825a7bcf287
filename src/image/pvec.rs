//! The persistent vector: a radix tree whose leaves hold a few dozen rows side by side.
//!
//! ```text
//! root: a vector of nodes ── 32 nodes ── 32 leaves ── 26 rows
//! ```
//!
//! A clone copies one pointer. A change copies the nodes on its path that another clone still
//! holds, and nothing else. Every node knows the newest stamp below it, so that "changed since"
//! visits only what changed. Positions are never used twice; a leaf without any live row is given
//! back. 26 rows of 48 bytes fill an allocator's size class of 1,280 almost exactly.

use arrayvec::ArrayVec;
use triomphe::Arc;

use crate::ids::Offset;

const LEAF: usize = 26;
const FAN: usize = 32;
const PER_NODE: usize = LEAF * FAN;
const PER_ROOT: usize = PER_NODE * FAN;

/// A row of a [`PVec`].
pub(super) trait Row: Clone {
    /// Offset of the row's last change.
    fn stamp(&self) -> Offset;
    /// The row was taken out and only keeps its place.
    fn is_vacant(&self) -> bool;
}

#[derive(Clone)]
struct Branch<C> {
    newest: Offset,
    children: ArrayVec<Option<Arc<C>>, FAN>,
}

#[derive(Clone)]
struct Leaf<T> {
    newest: Offset,
    rows: ArrayVec<T, LEAF>,
}

type Node<T> = Branch<Leaf<T>>;
type Root<T> = Branch<Node<T>>;

/// A persistent vector of rows, at most `u32::MAX` of them. Clone is O(1).
#[derive(Clone)]
pub(super) struct PVec<T> {
    root: Arc<Vec<Option<Arc<Root<T>>>>>,
    len: u32,
}

impl<T> Default for PVec<T> {
    fn default() -> Self {
        Self {
            root: Arc::new(Vec::new()),
            len: 0,
        }
    }
}

impl<T: Row> PVec<T> {
    /// Positions given out so far, vacant ones included.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// The row at this position, unless it is vacant.
    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        let at = slot as usize;
        let root = self.root.get(at / PER_ROOT)?.as_ref()?;
        let node = root.children.get(at % PER_ROOT / PER_NODE)?.as_ref()?;
        let leaf = node.children.get(at % PER_NODE / LEAF)?.as_ref()?;
        leaf.rows.get(at % LEAF).filter(|row| !row.is_vacant())
    }

    /// The row at this position for a change stamped `stamp`; `None` if vacant or never given out.
    pub(super) fn edit(&mut self, slot: u32, stamp: Offset) -> Option<&mut T> {
        self.get(slot)?;
        let at = slot as usize;
        let root = Arc::make_mut(Arc::make_mut(&mut self.root)[at / PER_ROOT].as_mut()?);
        root.newest = root.newest.max(stamp);
        let node = Arc::make_mut(root.children[at % PER_ROOT / PER_NODE].as_mut()?);
        node.newest = node.newest.max(stamp);
        let leaf = Arc::make_mut(node.children[at % PER_NODE / LEAF].as_mut()?);
        leaf.newest = leaf.newest.max(stamp);
        Some(&mut leaf.rows[at % LEAF])
    }

    /// Adds a row and returns its position.
    pub(super) fn push(&mut self, row: T) -> u32 {
        let slot = self.len;
        let at = slot as usize;
        let stamp = row.stamp();
        let roots = Arc::make_mut(&mut self.root);
        if roots.len() == at / PER_ROOT {
            roots.push(Some(Arc::new(Branch::new())));
        }
        let root = last(roots.last_mut());
        root.newest = root.newest.max(stamp);
        if root.children.len() == at % PER_ROOT / PER_NODE {
            root.children.push(Some(Arc::new(Branch::new())));
        }
        let node = last(root.children.last_mut());
        node.newest = node.newest.max(stamp);
        if node.children.len() == at % PER_NODE / LEAF {
            node.children.push(Some(Arc::new(Leaf {
                newest: stamp,
                rows: ArrayVec::new(),
            })));
        }
        let leaf = last(node.children.last_mut());
        leaf.newest = leaf.newest.max(stamp);
        leaf.rows.push(row);
        self.len += 1;
        slot
    }

    /// Puts `vacant` in a row's place, and gives its leaf back if that was the last live row of a
    /// full one.
    pub(super) fn vacate(&mut self, slot: u32, vacant: T) {
        let Some(row) = self.edit(slot, Offset::MIN) else {
            return;
        };
        *row = vacant;
        let at = slot as usize;
        let roots = Arc::make_mut(&mut self.root);
        let root = last(roots.get_mut(at / PER_ROOT));
        let node = last(root.children.get_mut(at % PER_ROOT / PER_NODE));
        let leaf = &mut node.children[at % PER_NODE / LEAF];
        if leaf
            .as_ref()
            .is_some_and(|leaf| leaf.rows.is_full() && leaf.rows.iter().all(T::is_vacant))
        {
            *leaf = None;
        }
        if node.is_spent() {
            root.children[at % PER_ROOT / PER_NODE] = None;
        }
        if root.is_spent() {
            roots[at / PER_ROOT] = None;
        }
    }

    /// All rows that are not vacant, with their positions, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.since(Offset::MIN)
    }

    /// The rows with a stamp above `after`, with their positions, in the order of positions.
    pub(super) fn since(&self, after: Offset) -> impl Iterator<Item = (u32, &T)> {
        let newer = move |newest: Offset| newest > after || after == Offset::MIN;
        let roots = self.root.iter().enumerate();
        roots
            .filter_map(move |(i, root)| Some((i, root.as_ref().filter(|it| newer(it.newest))?)))
            .flat_map(move |(i, root)| {
                let nodes = root.children.iter().enumerate();
                nodes.filter_map(move |(j, node)| {
                    Some((
                        i * PER_ROOT + j * PER_NODE,
                        node.as_ref().filter(|it| newer(it.newest))?,
                    ))
                })
            })
            .flat_map(move |(base, node)| {
                let leaves = node.children.iter().enumerate();
                leaves.filter_map(move |(k, leaf)| {
                    Some((
                        base + k * LEAF,
                        leaf.as_ref().filter(|it| newer(it.newest))?,
                    ))
                })
            })
            .flat_map(move |(base, leaf)| {
                let rows = leaf.rows.iter().enumerate();
                rows.filter(move |(_, row)| !row.is_vacant() && newer(row.stamp()))
                    .map(move |(n, row)| ((base + n) as u32, row))
            })
    }
}

impl<C> Branch<C> {
    fn new() -> Self {
        Self {
            newest: Offset::MIN,
            children: ArrayVec::new(),
        }
    }
    /// Every place was given out and every child given back.
    fn is_spent(&self) -> bool {
        self.children.is_full() && self.children.iter().all(Option::is_none)
    }
}

/// The node on the right edge. It is always there: a node is given back only when it is full, and
/// then the next push makes a new one.
fn last<C: Clone>(child: Option<&mut Option<Arc<C>>>) -> &mut C {
    let child = child.and_then(Option::as_mut);
    Arc::make_mut(child.expect("a node with room left, or just edited, is never given back"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Cell(Offset, u32);

    impl Row for Cell {
        fn stamp(&self) -> Offset {
            self.0
        }
        fn is_vacant(&self) -> bool {
            self.1 == u32::MAX
        }
    }

    const VACANT: Cell = Cell(0, u32::MAX);

    fn filled(n: u32) -> PVec<Cell> {
        let mut rows = PVec::default();
        for i in 0..n {
            assert_eq!(rows.push(Cell(i64::from(i), i)), i);
        }
        rows
    }

    #[test]
    fn rows_are_where_they_were_put_across_every_level() {
        let n = (PER_ROOT * 2 + PER_NODE + LEAF + 3) as u32;
        let rows = filled(n);
        for slot in [0, 25, 26, 831, 832, 26_623, 26_624, n - 1] {
            assert_eq!(rows.get(slot), Some(&Cell(i64::from(slot), slot)));
        }
        assert_eq!(rows.get(n), None);
        assert!(rows.iter().map(|(slot, _)| slot).eq(0..n));
    }

    #[test]
    fn a_clone_keeps_what_it_saw() {
        let mut rows = filled(1000);
        let before = rows.clone();
        rows.edit(500, 5000).unwrap().1 = 7;
        rows.edit(500, 5000).unwrap().0 = 5000;
        rows.push(Cell(5001, 1));
        rows.vacate(3, VACANT);
        assert_eq!(before.get(500), Some(&Cell(500, 500)));
        assert_eq!((before.len(), before.get(3)), (1000, Some(&Cell(3, 3))));
        assert_eq!(rows.get(500), Some(&Cell(5000, 7)));
        assert_eq!((rows.len(), rows.get(3)), (1001, None));
    }

    #[test]
    fn since_finds_exactly_the_newer_rows() {
        let mut rows = filled(60_000);
        for slot in [7, 30_000, 59_999] {
            rows.edit(slot, 70_000).unwrap().0 = 70_000;
        }
        let newer: Vec<u32> = rows.since(59_998).map(|(slot, _)| slot).collect();
        assert_eq!(newer, [7, 30_000, 59_999]);
        assert_eq!(rows.since(70_000).count(), 0);
    }

    #[test]
    fn emptied_nodes_are_given_back_and_new_rows_go_behind_them() {
        let n = (PER_ROOT + 5) as u32;
        let mut rows = filled(n);
        for slot in 0..n {
            rows.vacate(slot, VACANT);
        }
        assert!(rows.root[0].is_none(), "a whole root node is empty");
        assert_eq!(rows.push(Cell(1, 1)), n);
        assert_eq!(rows.iter().count(), 1);
        rows.vacate(0, VACANT); // twice is harmless
    }
}
