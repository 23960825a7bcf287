//! Which offset was written when: exact for the newest batches, coarser the further back.

use imbl::Vector;

use crate::ids::{Millis, Offset};

/// Most entries kept. When they are full, every second one of the older half is forgotten, so that
/// what lies n entries back is known to about n / 8,000 of its age.
pub(super) const TIMES_MAX: usize = 16_384;

/// Pairs of (first offset, log time), both rising: one for each batch whose time is newer than the
/// one before. Clone is O(1).
#[derive(Clone, Default)]
pub(super) struct Times(Vector<(Offset, Millis)>);

impl Times {
    /// Notes that a batch begins at this offset with this time.
    pub(super) fn note(&mut self, offset: Offset, time: Millis) {
        if self
            .0
            .last()
            .is_some_and(|(at, newest)| *newest >= time || *at >= offset)
        {
            return;
        }
        if self.0.len() >= TIMES_MAX {
            let newer = self.0.split_off(TIMES_MAX / 2);
            let mut kept: Vector<_> = self.0.iter().step_by(2).copied().collect();
            kept.append(newer);
            self.0 = kept;
        }
        self.0.push_back((offset, time));
    }

    /// The log time of this offset, or an older one where that is forgotten. 0 if nothing is known.
    pub(super) fn at(&self, offset: Offset) -> Millis {
        if let Some((_, time)) = self.0.last().filter(|(at, _)| *at <= offset) {
            return *time;
        }
        let behind = partition_point(&self.0, |(at, _)| *at <= offset);
        behind
            .checked_sub(1)
            .and_then(|i| self.0.get(i))
            .map_or(0, |(_, time)| *time)
    }

    /// An offset such that everything with a log time of at least `time` comes after it; `None` if
    /// no such offset is known. `end` is the end of the log.
    pub(super) fn before(&self, time: Millis, end: Offset) -> Option<Offset> {
        let older = partition_point(&self.0, |(_, other)| *other < time);
        if older == self.0.len() && older > 0 {
            return Some(end - 1);
        }
        older
            .checked_sub(1)
            .and_then(|i| self.0.get(i))
            .map(|(offset, _)| *offset)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Offset, Millis)> + '_ {
        self.0.iter().copied()
    }
}

/// How many entries from the start satisfy `holds`, which is true of a first part and false of the
/// rest.
fn partition_point(
    entries: &Vector<(Offset, Millis)>,
    holds: impl Fn(&(Offset, Millis)) -> bool,
) -> usize {
    let (mut low, mut high) = (0, entries.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if entries.get(middle).is_some_and(&holds) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_exact() {
        let mut times = Times::default();
        for (offset, time) in [(0, 1000), (3, 1000), (5, 1010), (9, 2000)] {
            times.note(offset, time);
        }
        let at = [0, 4, 5, 8, 9, 100].map(|offset| times.at(offset));
        assert_eq!(at, [1000, 1000, 1010, 1010, 2000, 2000]);
        let before = [1000, 1001, 1010, 2000, 2001].map(|time| times.before(time, 12));
        assert_eq!(before, [None, Some(0), Some(0), Some(5), Some(11)]);
        assert_eq!(Times::default().before(5, 0), None);
    }

    #[test]
    fn old_ones_get_coarse_but_nothing_is_ever_lost() {
        let mut times = Times::default();
        let end = 10 * TIMES_MAX as i64;
        for offset in 0..end {
            times.note(offset, offset * 7);
        }
        assert!(times.0.len() <= TIMES_MAX);
        for offset in (0..end).step_by(1001) {
            assert!(times.at(offset) <= offset * 7);
            assert!(
                times
                    .before(offset * 7, end)
                    .is_none_or(|before| before < offset)
            );
        }
        assert_eq!(times.at(end - 5), (end - 5) * 7);
    }
}
