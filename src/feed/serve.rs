//! The waiting side of Fetch and FetchSnapshot: decide, wait for a change or for the time to run
//! out, decide again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use kafka_protocol::messages::{
    FetchRequest, FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse,
};
use tokio::sync::watch;

use super::Published;
use super::fetch::{self, Asked};
use super::fetch_snapshot;
use super::observers::{Ahead, Observers};
use super::snapshots::Snapshot;
use super::tail::{self, Tail};
use crate::clock::{Clock, Ticks};
use crate::ids::{Epoch, Offset, ReplicaState};

/// Serves the metadata log to observers. Clone is cheap; clones share what they know of them.
#[derive(Clone)]
pub struct Feed {
    published: watch::Receiver<Arc<Published>>,
    observers: Arc<Observers>,
    clock: Arc<dyn Clock>,
    cluster_id: Arc<str>,
    fetch_timeout_ms: i64,
}

impl Feed {
    /// Serves what is published. `fetch_timeout_ms` is `controller.quorum.fetch.timeout.ms`.
    pub fn new(
        published: watch::Receiver<Arc<Published>>,
        clock: Arc<dyn Clock>,
        cluster_id: &str,
        fetch_timeout_ms: i64,
    ) -> Self {
        let observers = Arc::default();
        Self {
            published,
            observers,
            clock,
            cluster_id: cluster_id.into(),
            fetch_timeout_ms,
        }
    }

    /// Who reads the log from this node.
    pub fn observers(&self) -> &Arc<Observers> {
        &self.observers
    }

    /// The observers that fetched from this node in this epoch lately, with their positions.
    pub fn observer_rows(&self, epoch: Epoch) -> Vec<ReplicaState> {
        self.observers.rows(epoch, self.clock.ticks())
    }

    /// Answers a Fetch, in its own time; `None` closes the connection. Dropping the future is
    /// harmless.
    pub async fn fetch(
        &self,
        request: &FetchRequest,
        version: i16,
        listener: &str,
    ) -> Option<FetchResponse> {
        use fetch::Verdict;
        let began = self.clock.ticks();
        let mut published = self.published.clone();
        loop {
            let now = Arc::clone(&published.borrow_and_update());
            let (answer, wait_ms) = match self.judge(request, &now, version, listener) {
                Verdict::Close => return None,
                Verdict::Answer(answer) => return Some(answer),
                Verdict::Records {
                    response,
                    offset,
                    bytes_max,
                } => {
                    let records = read(&now.tail, offset, bytes_max).await;
                    let records = records.inspect_err(report).ok()?;
                    return Some(fetch::with_records(response, records));
                }
                Verdict::Park(answer, wait_ms)
                | Verdict::Hold(answer, wait_ms)
                | Verdict::Ahead(answer, wait_ms, _) => (answer, wait_ms),
            };
            if !self.wait(&mut published, began.plus_ms(wait_ms)).await? {
                return Some(answer);
            }
        }
    }

    /// Decides, and keeps what the decision says about the replica.
    fn judge(
        &self,
        request: &FetchRequest,
        published: &Published,
        version: i16,
        listener: &str,
    ) -> fetch::Verdict {
        use fetch::Verdict;
        let epoch = published.quorum.epoch;
        let replica = fetch::replica(request, version);
        let mut asked = self.asked(version, listener);
        asked.fetched_before = self.observers.has_fetched(epoch, replica);
        let verdict = fetch::decide(request, published, &asked);
        let partition = request
            .topics
            .first()
            .and_then(|topic| topic.partitions.first());
        let offset = partition.map_or(-1, |partition| partition.fetch_offset);
        match &verdict {
            Verdict::Records { .. } | Verdict::Park(..) => {
                let times = (asked.now, self.clock.now());
                let end = published.tail.end();
                self.observers.fetched(epoch, replica, offset, end, times);
            }
            Verdict::Ahead(_, _, ours) => {
                let ahead = Ahead {
                    replica: replica.0,
                    fetch_offset: offset,
                    ours: *ours,
                };
                if self.observers.is_ahead(epoch, replica, ahead, asked.now) {
                    alarm(&ahead);
                }
            }
            Verdict::Answer(_) | Verdict::Hold(..) | Verdict::Close => {}
        }
        verdict
    }

    /// Answers a FetchSnapshot; `None` closes the connection.
    pub async fn fetch_snapshot(
        &self,
        request: &FetchSnapshotRequest,
        version: i16,
        listener: &str,
    ) -> Option<FetchSnapshotResponse> {
        use fetch_snapshot::Verdict;
        let began = self.clock.ticks();
        let mut published = self.published.clone();
        loop {
            let now = Arc::clone(&published.borrow_and_update());
            let asked = self.asked(version, listener);
            let (answer, wait_ms) = match fetch_snapshot::decide(request, &now, &asked) {
                Verdict::Close => return None,
                Verdict::Answer(answer) => return Some(answer),
                Verdict::Piece {
                    response,
                    snapshot,
                    position,
                    bytes_max,
                } => {
                    snapshot.touch(asked.now);
                    let piece = read_piece(snapshot, position, bytes_max).await;
                    let piece = piece.inspect_err(report).ok()?;
                    return Some(fetch_snapshot::with_piece(response, piece));
                }
                Verdict::Hold(answer, wait_ms) => (answer, wait_ms),
            };
            if !self.wait(&mut published, began.plus_ms(wait_ms)).await? {
                return answer;
            }
        }
    }

    fn asked<'a>(&'a self, version: i16, listener: &'a str) -> Asked<'a> {
        Asked {
            version,
            listener,
            cluster_id: &self.cluster_id,
            now: self.clock.ticks(),
            fetch_timeout_ms: self.fetch_timeout_ms,
            fetched_before: false,
        }
    }

    /// Waits for a change: true. False if `until` is over already; `None` when the node stops.
    async fn wait(
        &self,
        published: &mut watch::Receiver<Arc<Published>>,
        until: Ticks,
    ) -> Option<bool> {
        let left_ms = until.ms_since(self.clock.ticks());
        if left_ms <= 0 {
            return Some(false);
        }
        let left = Duration::from_millis(left_ms.unsigned_abs());
        match tokio::time::timeout(left, published.changed()).await {
            Ok(Err(_stopped)) => None,
            Ok(Ok(())) | Err(_) => Some(true),
        }
    }
}

/// Whole batches as one run of bytes; goes to a thread that may block only where it has to.
async fn read(tail: &Tail, offset: Offset, bytes_max: usize) -> anyhow::Result<Bytes> {
    let batches = if tail.is_in_memory(offset) {
        tail.slice(offset, bytes_max)
    } else {
        let tail = tail.clone();
        tokio::task::spawn_blocking(move || tail.slice(offset, bytes_max)).await?
    };
    let batches = batches.with_context(|| format!("reading the log at offset {offset}"))?;
    Ok(tail::join(&batches))
}

async fn read_piece(
    snapshot: Arc<Snapshot>,
    position: u64,
    bytes_max: usize,
) -> anyhow::Result<Bytes> {
    let path = snapshot.path().display().to_string();
    let read = tokio::task::spawn_blocking(move || snapshot.read_at(position, bytes_max));
    read.await?
        .with_context(|| format!("reading {path} at {position}"))
}

fn report(error: &anyhow::Error) {
    tracing::error!("a fetch of the metadata log fails: {error:#}");
}

fn alarm(ahead: &Ahead) {
    tracing::error!(
        replica = ahead.replica.0,
        fetch_offset = ahead.fetch_offset,
        our_epoch = ahead.ours.epoch,
        our_end = ahead.ours.offset,
        "a replica has records that were never committed here: this quorum may have lost some"
    );
}

#[cfg(test)]
mod tests;
