//! From offsets and times to raft entries.
//!
//! Raft numbers entries, Kafka numbers records, and void batches repeat offsets that were given to
//! others, so the raw log cannot be searched by offset. This index is kept at apply, where it is
//! known what counted: one spot every [`SPOT_BYTES`] of batches, and the indexes of the void ones,
//! which a reader that goes on from a spot must skip. It travels in the side file of a snapshot and
//! is derived again above it; nothing here is ever synced by itself.

use anyhow::{Result, ensure};
use bytes::BufMut;
use imbl::{OrdSet, Vector};

use super::codec::Input;
use crate::feed::tail::EpochStart;
use crate::ids::{Epoch, Millis, Offset};

/// Distance of two spots in bytes of batches.
pub(super) const SPOT_BYTES: u64 = 16 * 1024;

/// A batch that counted, as a place to begin reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// Offset of its first record.
    pub(super) offset: Offset,
    /// Its log time.
    pub(super) time: Millis,
    /// Index of its entry.
    pub(super) index: u64,
}

/// The index. Clone is O(1).
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Index {
    spots: Vector<Spot>,
    voids: OrdSet<u64>,
    epochs: Vector<EpochStart>,
    bytes_since_spot: u64,
}

impl Index {
    /// A batch counted.
    pub(super) fn push(&mut self, spot: Spot, epoch: Epoch, bytes: usize) {
        if self.spots.is_empty() || self.bytes_since_spot >= SPOT_BYTES {
            self.spots.push_back(spot);
            self.bytes_since_spot = 0;
        }
        self.bytes_since_spot += bytes as u64;
        if self.epochs.last().is_none_or(|last| last.epoch < epoch) {
            self.epochs.push_back(EpochStart {
                epoch,
                offset: spot.offset,
            });
        }
    }

    /// The batch of this entry was void.
    pub(super) fn push_void(&mut self, index: u64) {
        self.voids.insert(index);
    }

    /// Whether the batch of this entry was void.
    pub(super) fn is_void(&self, index: u64) -> bool {
        self.voids.contains(&index)
    }

    /// The last spot at or before this offset.
    pub(super) fn spot_for_offset(&self, offset: Offset) -> Option<Spot> {
        let after = partition_point(&self.spots, |spot| spot.offset <= offset);
        self.spots.get(after.checked_sub(1)?).copied()
    }

    /// The last spot before this time, so that the first batch of that time or later is at or
    /// behind it; the first spot if none is before.
    pub(super) fn spot_for_time(&self, time: Millis) -> Option<Spot> {
        let after = partition_point(&self.spots, |spot| spot.time < time);
        self.spots.get(after.saturating_sub(1)).copied()
    }

    /// The first spot: history begins there.
    pub(super) fn first_spot(&self) -> Option<Spot> {
        self.spots.front().copied()
    }

    /// The last spot at or before this entry.
    pub(super) fn spot_at_index(&self, index: u64) -> Option<Spot> {
        let after = partition_point(&self.spots, |spot| spot.index <= index);
        self.spots.get(after.checked_sub(1)?).copied()
    }

    /// All spots, oldest first.
    pub(super) fn spots(&self) -> impl Iterator<Item = Spot> + '_ {
        self.spots.iter().copied()
    }

    /// Forgets what lies below this entry; what is known of epochs stays.
    pub(super) fn forget_below(&mut self, index: u64) {
        // The spot before the new floor goes, too: a reader must not begin below the floor.
        while self.spots.front().is_some_and(|spot| spot.index < index) {
            self.spots.pop_front();
        }
        while self.voids.get_min().is_some_and(|void| *void < index) {
            self.voids = self.voids.without_min().1;
        }
    }

    /// Where each epoch began, oldest first.
    pub(super) fn epochs(&self) -> impl Iterator<Item = EpochStart> + '_ {
        self.epochs.iter().copied()
    }

    /// The newest epoch that has a record; 0 if there is none.
    pub(super) fn last_epoch(&self) -> Epoch {
        self.epochs.last().map_or(0, |last| last.epoch)
    }

    /// Appends it to a snapshot's side file.
    pub(super) fn encode(&self, out: &mut impl BufMut) {
        out.put_u32(self.spots.len() as u32);
        for spot in &self.spots {
            out.put_i64(spot.offset);
            out.put_i64(spot.time);
            out.put_u64(spot.index);
        }
        out.put_u32(self.voids.len() as u32);
        for index in &self.voids {
            out.put_u64(*index);
        }
        out.put_u32(self.epochs.len() as u32);
        for start in &self.epochs {
            out.put_u32(start.epoch as u32);
            out.put_i64(start.offset);
        }
        out.put_u64(self.bytes_since_spot);
    }

    /// The inverse of [`Index::encode`].
    pub(super) fn decode(input: &mut Input) -> Result<Self> {
        let mut index = Self::default();
        for _ in 0..input.u32()? {
            index.spots.push_back(Spot {
                offset: input.i64()?,
                time: input.i64()?,
                index: input.u64()?,
            });
        }
        for _ in 0..input.u32()? {
            index.voids.insert(input.u64()?);
        }
        for _ in 0..input.u32()? {
            let start = EpochStart {
                epoch: input.u32()? as Epoch,
                offset: input.i64()?,
            };
            ensure!(
                start.epoch > index.last_epoch(),
                "epoch starts are out of order"
            );
            index.epochs.push_back(start);
        }
        index.bytes_since_spot = input.u64()?;
        Ok(index)
    }
}

fn partition_point(spots: &Vector<Spot>, before: impl Fn(&Spot) -> bool) -> usize {
    let (mut low, mut high) = (0, spots.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if spots.get(middle).is_some_and(&before) {
            low = middle + 1
        } else {
            high = middle
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Index {
        let mut index = Index::default();
        for batch in 0..10 {
            let spot = Spot {
                offset: batch * 3,
                time: 100 + batch / 2,
                index: 5 + batch as u64,
            };
            index.push(spot, if batch < 4 { 1 } else { 7 }, SPOT_BYTES as usize / 2);
        }
        index.push_void(9);
        index
    }

    #[test]
    fn a_spot_lies_at_or_before_what_is_looked_for() {
        let index = sample();
        let offset = |offset| index.spot_for_offset(offset).map(|spot| spot.offset);
        assert_eq!(
            [offset(-1), offset(0), offset(5), offset(6), offset(999)],
            [None, Some(0), Some(0), Some(6), Some(24)]
        );
        let time = |time| index.spot_for_time(time).map(|spot| spot.offset);
        assert_eq!(
            [time(0), time(100), time(101), time(103), time(999)],
            [Some(0), Some(0), Some(0), Some(12), Some(24)]
        );
        assert!(index.is_void(9) && !index.is_void(8));
        let epochs: Vec<_> = index
            .epochs()
            .map(|start| (start.epoch, start.offset))
            .collect();
        assert_eq!(epochs, [(1, 0), (7, 12)]);
    }

    #[test]
    fn what_lies_below_the_floor_is_forgotten_but_not_the_epochs() {
        let mut index = sample();
        index.forget_below(10);
        assert_eq!(index.spot_for_offset(999).map(|spot| spot.index), Some(13));
        assert_eq!(index.spot_for_offset(17), None);
        assert!(!index.is_void(9));
        assert_eq!(index.epochs().count(), 2);
    }

    #[test]
    fn it_is_kept_in_a_snapshot() {
        let index = sample();
        let mut bytes = Vec::new();
        index.encode(&mut bytes);
        let mut input = Input(bytes.into());
        assert_eq!(Index::decode(&mut input).unwrap(), index);
        input.end().unwrap();
    }
}
