//! The committed log as this node serves it: the newest batches in memory, older ones from disk.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use imbl::Vector;

use super::snapshots::SnapshotId;
use crate::ids::{Epoch, Millis, Offset};
use crate::records::batch::Batch;

/// Most bytes of batches that are kept in memory, besides the newest batch, which always is. What
/// every broker is about to ask for is always among them.
pub const TAIL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a small batch costs beside its bytes, so that many of them are counted honestly.
const BATCH_OVERHEAD_BYTES: usize = 96;

/// Where older batches come from: the store. Its methods block on the disk.
pub trait History: fmt::Debug + Send + Sync {
    /// Whole committed batches, from the one that contains `offset` on: at least one, and no more
    /// than go into `bytes_max`. An error where `offset` is not kept or not committed.
    fn read(&self, offset: Offset, bytes_max: usize) -> anyhow::Result<Vec<Batch>>;
    /// The base offset of the first kept batch with a log time of at least `time`; `None` if all are
    /// older.
    fn offset_for_time(&self, time: Millis) -> anyhow::Result<Option<Offset>>;
    /// The first offset that is kept; with nothing kept the end of the log.
    fn first_offset(&self) -> Offset;
}

/// An epoch and the offset of its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: Epoch,
    /// The base offset of its first batch.
    pub offset: Offset,
}

/// An epoch and the offset behind its last record, as Kafka compares logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch.
    pub epoch: Epoch,
    /// The offset behind its last record.
    pub offset: Offset,
}

/// The committed log. Clone is O(1).
#[derive(Clone, Debug, Default)]
pub struct Tail {
    end: Offset,
    epochs: Vector<EpochStart>,
    batches: Vector<Batch>,
    bytes: usize,
    history: Option<Arc<dyn History>>,
}

impl Tail {
    /// A log that ends at `end`, with nothing in memory. `epochs` rise in both numbers and begin
    /// with the epoch at the log's start, which a snapshot remembers.
    pub fn new(
        end: Offset,
        epochs: impl IntoIterator<Item = EpochStart>,
        history: Arc<dyn History>,
    ) -> Self {
        let epochs = epochs.into_iter().collect();
        Self {
            end,
            epochs,
            history: Some(history),
            ..Self::default()
        }
    }

    /// The offset behind the last committed record: the high watermark.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Where every known epoch begins, oldest first.
    pub fn epochs(&self) -> &Vector<EpochStart> {
        &self.epochs
    }

    /// The store, for what lies before the log's start, too.
    pub fn history(&self) -> Option<&Arc<dyn History>> {
        self.history.as_ref()
    }

    /// A batch was committed. It begins where the log ends.
    pub fn push(&mut self, batch: Batch) {
        debug_assert_eq!(
            batch.base_offset(),
            self.end,
            "a batch that leaves a gap in the log"
        );
        self.end = batch.next_offset();
        if self
            .epochs
            .last()
            .is_none_or(|last| last.epoch < batch.epoch())
        {
            self.epochs.push_back(EpochStart {
                epoch: batch.epoch(),
                offset: batch.base_offset(),
            });
        }
        self.bytes += batch.len() + BATCH_OVERHEAD_BYTES;
        self.batches.push_back(batch);
        while self.bytes > TAIL_BYTES_MAX && self.batches.len() > 1 {
            let oldest = self.batches.pop_front().map_or(0, |batch| batch.len());
            self.bytes -= oldest + BATCH_OVERHEAD_BYTES;
        }
    }

    /// Whether [`Tail::slice`] from this offset needs no disk.
    pub fn is_in_memory(&self, offset: Offset) -> bool {
        let first = self.batches.front().map_or(self.end, Batch::base_offset);
        (first..=self.end).contains(&offset)
    }

    /// Whole batches, from the one that contains `offset` on: at least one, and no more than go into
    /// `bytes_max`; none at or beyond the end. Reads the disk where [`Tail::is_in_memory`] says no.
    pub fn slice(&self, offset: Offset, bytes_max: usize) -> anyhow::Result<Vec<Batch>> {
        if offset >= self.end {
            return Ok(Vec::new());
        }
        if !self.is_in_memory(offset) {
            let history = self.history.as_ref();
            let history = history.ok_or_else(|| anyhow::anyhow!("offset {offset} is not kept"))?;
            let mut batches = history.read(offset, bytes_max)?;
            // The store may be ahead of this published state, whose end is the high watermark.
            batches.retain(|batch| batch.next_offset() <= self.end);
            return Ok(batches);
        }
        let found = self
            .batches
            .binary_search_by_key(&offset, Batch::base_offset);
        let first = found.unwrap_or_else(|behind| behind.saturating_sub(1));
        let mut batches = Vec::new();
        let mut bytes = 0;
        for batch in self.batches.iter().skip(first) {
            bytes += batch.len();
            if bytes > bytes_max && !batches.is_empty() {
                break;
            }
            batches.push(batch.clone());
        }
        Ok(batches)
    }

    /// Where this log's share in `epoch` ends, exactly as Kafka looks it up
    /// (`KafkaRaftLog.endOffsetForEpoch`, `LeaderEpochFileCache.endOffsetFor`, 4.3.1): the epoch that
    /// is found may be a lower one, and then the asker's log has diverged.
    pub fn end_of_epoch(&self, epoch: Epoch, earliest_snapshot: Option<SnapshotId>) -> EpochEnd {
        let snapshot_epoch = earliest_snapshot.map_or(0, |id| id.epoch);
        let newest = self
            .epochs
            .last()
            .map_or(snapshot_epoch, |newest| newest.epoch);
        if epoch >= newest {
            return EpochEnd {
                epoch: newest,
                offset: self.end,
            };
        }
        let higher = self.epochs.iter().find(|start| start.epoch > epoch);
        let offset = higher.map_or(self.end, |start| start.offset);
        match self.epochs.iter().rfind(|start| start.epoch <= epoch) {
            Some(found) => EpochEnd {
                epoch: found.epoch,
                offset,
            },
            None => match earliest_snapshot {
                Some(id) if id.end_offset == offset => EpochEnd {
                    epoch: id.epoch,
                    offset,
                },
                _ => EpochEnd { epoch, offset },
            },
        }
    }
}

/// The batches as one run of bytes; no copy where there is only one.
pub fn join(batches: &[Batch]) -> Bytes {
    match batches {
        [] => Bytes::new(),
        [batch] => batch.0.clone(),
        _ => {
            let mut run = BytesMut::with_capacity(batches.iter().map(Batch::len).sum());
            batches
                .iter()
                .for_each(|batch| run.extend_from_slice(&batch.0));
            run.freeze()
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::records::NoOpRecord;

    pub(in crate::feed) fn batch(offset: Offset, epoch: Epoch, records: usize) -> Batch {
        let records = vec![NoOpRecord {}.into(); records];
        Batch::build(offset, epoch, offset, 30, &records).unwrap()
    }

    /// A store of batches in memory.
    #[derive(Debug)]
    pub(in crate::feed) struct Store(pub Vec<Batch>);

    impl History for Store {
        fn read(&self, offset: Offset, bytes_max: usize) -> anyhow::Result<Vec<Batch>> {
            let mut bytes = 0;
            let behind = self.0.iter().filter(|batch| batch.next_offset() > offset);
            let fits = |batch: &&Batch| {
                bytes += batch.len();
                bytes == batch.len() || bytes <= bytes_max
            };
            Ok(behind.take_while(fits).cloned().collect())
        }
        fn offset_for_time(&self, time: Millis) -> anyhow::Result<Option<Offset>> {
            Ok(self
                .0
                .iter()
                .find(|batch| batch.time() >= time)
                .map(Batch::base_offset))
        }
        fn first_offset(&self) -> Offset {
            self.0.first().map_or(0, Batch::base_offset)
        }
    }

    fn offsets(batches: Vec<Batch>) -> Vec<Offset> {
        batches.iter().map(Batch::base_offset).collect()
    }

    #[test]
    fn slices_are_whole_batches_and_at_least_one() {
        let mut tail = Tail::default();
        for n in 0..10 {
            tail.push(batch(n * 2, 1, 2));
        }
        let size = batch(0, 1, 2).len();
        let slice = |offset, bytes_max| offsets(tail.slice(offset, bytes_max).unwrap());
        assert_eq!(slice(0, usize::MAX).len(), 10);
        assert_eq!(slice(4, 3 * size), [4, 6, 8]);
        assert_eq!(
            slice(5, 2 * size),
            [4, 6],
            "the batch that contains the offset"
        );
        assert_eq!(slice(4, 0), [4]);
        assert_eq!(slice(18, 1), [18]);
        assert!(slice(20, 1).is_empty());
        assert!(slice(99, 1).is_empty());
        assert_eq!(join(&tail.slice(0, 2 * size).unwrap()).len(), 2 * size);
    }

    #[test]
    fn memory_is_bounded_and_the_rest_comes_from_history() {
        let per_batch = 20_000;
        let size = batch(0, 1, per_batch).len() + BATCH_OVERHEAD_BYTES;
        let count = TAIL_BYTES_MAX / size + 3;
        let stored: Vec<_> = (0..count)
            .map(|n| batch((n * per_batch) as i64, 1, per_batch))
            .collect();
        let mut tail = Tail::new(0, [], Arc::new(Store(stored.clone())));
        stored.iter().for_each(|batch| tail.push(batch.clone()));
        assert!(tail.bytes <= TAIL_BYTES_MAX);
        assert_eq!(tail.batches.len(), count - 3);
        assert!(!tail.is_in_memory(0));
        assert!(tail.is_in_memory((3 * per_batch) as i64));
        assert!(tail.is_in_memory(tail.end()));
        assert_eq!(tail.slice(0, 1).unwrap(), stored[..1]);
        assert_eq!(tail.slice((3 * per_batch) as i64, 1).unwrap(), stored[3..4]);

        let earlier = Tail::new(per_batch as i64, [], Arc::new(Store(stored.clone())));
        assert_eq!(
            earlier.slice(0, usize::MAX).unwrap(),
            stored[..1],
            "not beyond its own end"
        );
    }

    #[test]
    fn epochs_end_where_kafka_says() {
        let epochs = [(2, 0), (4, 10), (7, 25)];
        let epochs = epochs.map(|(epoch, offset)| EpochStart { epoch, offset });
        let tail = Tail::new(40, epochs, Arc::new(Store(Vec::new())));
        let check = |epoch, snapshot: Option<(Epoch, Offset)>, expected: (Epoch, Offset)| {
            let snapshot = snapshot.map(|(epoch, end_offset)| SnapshotId { epoch, end_offset });
            let found = tail.end_of_epoch(epoch, snapshot);
            assert_eq!((found.epoch, found.offset), expected, "epoch {epoch}");
        };
        check(7, None, (7, 40)); // the newest
        check(9, None, (7, 40)); // above all known
        check(4, None, (4, 25));
        check(5, None, (4, 25)); // none of that epoch: the largest below
        check(2, None, (2, 10));
        check(1, None, (1, 0)); // below all known
        check(1, Some((2, 0)), (2, 0)); // replaced by the earliest snapshot's id
        check(1, Some((2, 5)), (1, 0));
        let empty = Tail::new(100, [], Arc::new(Store(Vec::new())));
        let snapshot = Some(SnapshotId {
            epoch: 3,
            end_offset: 100,
        });
        assert_eq!(
            empty.end_of_epoch(3, snapshot),
            EpochEnd {
                epoch: 3,
                offset: 100
            }
        );
        assert_eq!(
            empty.end_of_epoch(3, None),
            EpochEnd {
                epoch: 0,
                offset: 100
            }
        );
    }
}
