//! FetchSnapshot of the metadata log, versions 0 and 1: a snapshot file in pieces
//! (`KafkaRaftClient.handleFetchSnapshotRequest`, 4.3.1).
//!
//! Where Apache 4.3.1 fails to write its own partition errors (a field that may not be null is), an
//! empty piece goes with them here.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_snapshot_request::PartitionSnapshot as Wanted;
use kafka_protocol::messages::fetch_snapshot_response::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionSnapshot, SnapshotId as SnapshotIdOnWire,
    TopicSnapshot,
};
use kafka_protocol::messages::{FetchSnapshotRequest, FetchSnapshotResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::Published;
use super::fetch::Asked;
use super::snapshots::{Snapshot, SnapshotId};
use super::standing::{HOLD_MS, Standing, named_leader, standing};
use crate::ids::METADATA_TOPIC;

/// What to do about a FetchSnapshot.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Answer now.
    Answer(FetchSnapshotResponse),
    /// Answer now, with a piece of this file.
    Piece {
        /// The answer, still without it: see [`with_piece`].
        response: FetchSnapshotResponse,
        /// The file.
        snapshot: Arc<Snapshot>,
        /// Where the piece begins.
        position: u64,
        /// How long it may be.
        bytes_max: usize,
    },
    /// No news: wait for a change this long, then answer, or close where there is nothing to say.
    Hold(Option<FetchSnapshotResponse>, i64),
    /// Close the connection, so that the broker looks elsewhere.
    Close,
}

/// Decides about a request as things are now.
pub fn decide(request: &FetchSnapshotRequest, published: &Published, asked: &Asked<'_>) -> Verdict {
    if request
        .cluster_id
        .as_ref()
        .is_some_and(|id| id.as_str() != asked.cluster_id)
    {
        return Verdict::Answer(top_level(ResponseError::InconsistentClusterId));
    }
    let Some((topic, wanted)) = single_partition(request) else {
        return Verdict::Answer(top_level(ResponseError::InvalidRequest));
    };
    let answer = Answers {
        published,
        asked,
        topic,
        wanted,
    };
    if topic.as_str() != METADATA_TOPIC || wanted.partition != 0 {
        return Verdict::Answer(answer.error(ResponseError::UnknownTopicOrPartition));
    }
    match standing(
        published,
        wanted.current_leader_epoch,
        asked.now,
        asked.fetch_timeout_ms,
    ) {
        Standing::Leads => {}
        Standing::OutOfContact => return Verdict::Close,
        Standing::BeforeBarrier => return Verdict::Hold(None, HOLD_MS),
        Standing::Refuses { error, hold_ms: 0 } => return Verdict::Answer(answer.error(error)),
        Standing::Refuses { error, hold_ms } => {
            return Verdict::Hold(Some(answer.error(error)), hold_ms);
        }
    }
    let id = SnapshotId {
        epoch: wanted.snapshot_id.epoch,
        end_offset: wanted.snapshot_id.end_offset,
    };
    let kept = published
        .snapshots
        .iter()
        .find(|snapshot| snapshot.id() == id);
    let Some(snapshot) = kept.filter(|_| id != SnapshotId::default()) else {
        return Verdict::Answer(answer.error(ResponseError::SnapshotNotFound));
    };
    match u64::try_from(wanted.position) {
        Ok(position) if position < snapshot.bytes() => Verdict::Piece {
            response: answer.piece(snapshot),
            snapshot: Arc::clone(snapshot),
            position,
            bytes_max: usize::try_from(request.max_bytes).unwrap_or(0),
        },
        _ => Verdict::Answer(answer.error(ResponseError::PositionOutOfRange)),
    }
}

/// Puts the piece into an answer.
pub fn with_piece(mut response: FetchSnapshotResponse, piece: Bytes) -> FetchSnapshotResponse {
    let partition = response
        .topics
        .first_mut()
        .and_then(|topic| topic.partitions.first_mut());
    if let Some(partition) = partition {
        partition.unaligned_records = piece;
    }
    response
}

fn single_partition(request: &FetchSnapshotRequest) -> Option<(&TopicName, &Wanted)> {
    let [topic] = request.topics.as_slice() else {
        return None;
    };
    let [partition] = topic.partitions.as_slice() else {
        return None;
    };
    Some((&topic.name, partition))
}

fn top_level(error: ResponseError) -> FetchSnapshotResponse {
    FetchSnapshotResponse::default().with_error_code(error.code())
}

/// The answers that carry a partition. All of them name the leader and echo what was asked for.
#[derive(Clone, Copy)]
struct Answers<'a> {
    published: &'a Published,
    asked: &'a Asked<'a>,
    topic: &'a TopicName,
    wanted: &'a Wanted,
}

impl Answers<'_> {
    fn error(self, error: ResponseError) -> FetchSnapshotResponse {
        self.response(|partition| partition.error_code = error.code())
    }
    fn piece(self, snapshot: &Snapshot) -> FetchSnapshotResponse {
        self.response(|partition| {
            partition.size = i64::try_from(snapshot.bytes()).unwrap_or(i64::MAX);
            partition.position = self.wanted.position;
        })
    }

    fn response(self, fill: impl FnOnce(&mut PartitionSnapshot)) -> FetchSnapshotResponse {
        let leader = named_leader(self.published, self.asked.listener);
        let id = SnapshotIdOnWire::default()
            .with_end_offset(self.wanted.snapshot_id.end_offset)
            .with_epoch(self.wanted.snapshot_id.epoch);
        let named = LeaderIdAndEpoch::default()
            .with_leader_id(leader.id)
            .with_leader_epoch(leader.epoch);
        let mut partition = PartitionSnapshot::default()
            .with_index(self.wanted.partition)
            .with_snapshot_id(id)
            .with_current_leader(named);
        fill(&mut partition);
        let topic = TopicSnapshot::default()
            .with_name(self.topic.clone())
            .with_partitions(vec![partition]);
        let named = leader.endpoint.filter(|_| self.asked.version >= 1);
        let endpoint = named.map(|endpoint| {
            NodeEndpoint::default()
                .with_node_id(leader.id)
                .with_host(StrBytes::from_string(endpoint.host.clone()))
                .with_port(endpoint.port)
        });
        FetchSnapshotResponse::default()
            .with_topics(vec![topic])
            .with_node_endpoints(endpoint.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
