//! Fetch of the metadata log, versions 4 to 18, as observers send it: Kafka's checks in Kafka's
//! order (`KafkaRaftClient.handleFetchRequest`, `tryCompleteFetchRequest`, 4.3.1), with a few rules
//! of our own where a careless answer would end every broker's process.
//!
//! Only committed records are served, so the high watermark is always the end of the log. A high
//! watermark that goes back, or a divergence below one that was seen, is fatal to brokers: hence the
//! barrier of a new leader, and [`Verdict::Ahead`].
//!
//! [`decide`] is a pure function of the request and the state; [`super::serve`] waits and asks again.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{
    EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
    SnapshotId as SnapshotIdOnWire,
};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use kafka_protocol::protocol::StrBytes;

use super::Published;
use super::snapshots::SnapshotId;
use super::standing::{HOLD_MS, Standing, named_leader, standing};
use super::tail::EpochEnd;
use crate::clock::Ticks;
use crate::ids::{BrokerId, Epoch, METADATA_TOPIC_ID, Offset, Uuid};

/// Most bytes of records in one answer beyond its first batch, whatever the request asks for.
pub const FETCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest long poll, whatever the request asks for.
pub const WAIT_MS_MAX: i64 = 60_000;

/// Requests of this version and later say which high watermark they know.
const VERSION_WITH_HIGH_WATERMARK: i16 = 18;
/// What a request says that does not know of that field.
const HIGH_WATERMARK_NOT_SAID: Offset = i64::MAX;

/// Who asks, and what has to be known beside the request.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Version of the request.
    pub version: i16,
    /// The listener that it came in by, upper case.
    pub listener: &'a str,
    /// This cluster.
    pub cluster_id: &'a str,
    /// Now.
    pub now: Ticks,
    /// `controller.quorum.fetch.timeout.ms`.
    pub fetch_timeout_ms: i64,
    /// Whether this replica has fetched successfully from this leader in its present term.
    pub fetched_before: bool,
}

/// What to do about a Fetch.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Answer now.
    Answer(FetchResponse),
    /// A valid fetch: answer now, with records from here on.
    Records {
        /// The answer, still without them: see [`with_records`].
        response: FetchResponse,
        /// Where they begin.
        offset: Offset,
        /// How many bytes of them.
        bytes_max: usize,
    },
    /// A valid fetch at the end of the log: wait for news this long, then answer.
    Park(FetchResponse, i64),
    /// No news, or none that may be told yet: wait for a change this long, then answer.
    Hold(FetchResponse, i64),
    /// The replica's log ends beyond ours or in another history, although all it ever got was
    /// committed. Whatever went wrong, no broker shall die of it: wait, answer nothing, ring a bell.
    Ahead(FetchResponse, i64, EpochEnd),
    /// Close the connection, so that the broker looks elsewhere.
    Close,
}

/// Who sends the request: its id (-1: a consumer) and its metadata directory.
pub fn replica(request: &FetchRequest, version: i16) -> (BrokerId, Uuid) {
    let id = if version >= 15 {
        request.replica_state.replica_id
    } else {
        request.replica_id
    };
    let partition = request
        .topics
        .first()
        .and_then(|topic| topic.partitions.first());
    (
        id,
        partition.map_or(Uuid::nil(), |partition| partition.replica_directory_id),
    )
}

/// Decides about a request as things are now.
pub fn decide(request: &FetchRequest, published: &Published, asked: &Asked<'_>) -> Verdict {
    if request
        .cluster_id
        .as_ref()
        .is_some_and(|id| id.as_str() != asked.cluster_id)
    {
        return Verdict::Answer(top_level(ResponseError::InconsistentClusterId));
    }
    let Some(partition) = metadata_partition(request) else {
        return Verdict::Answer(top_level(ResponseError::InvalidRequest));
    };
    let answer = Answers { published, asked };
    if request.max_wait_ms < 0
        || partition.fetch_offset < 0
        || partition.last_fetched_epoch < 0
        || partition.last_fetched_epoch > partition.current_leader_epoch
    {
        return Verdict::Answer(answer.error(ResponseError::InvalidRequest));
    }
    let wait_ms = i64::from(request.max_wait_ms).min(WAIT_MS_MAX);
    let epoch = partition.current_leader_epoch;
    match standing(published, epoch, asked.now, asked.fetch_timeout_ms) {
        Standing::Leads => {}
        Standing::OutOfContact => return Verdict::Close,
        Standing::BeforeBarrier => return Verdict::Hold(answer.nothing(), wait_ms.min(HOLD_MS)),
        Standing::Refuses { error, hold_ms: 0 } => return Verdict::Answer(answer.error(error)),
        Standing::Refuses { error, hold_ms } => {
            return Verdict::Hold(answer.error(error), wait_ms.min(hold_ms));
        }
    }
    match position(
        published,
        partition.fetch_offset,
        partition.last_fetched_epoch,
    ) {
        Position::Snapshot(id) => Verdict::Answer(answer.snapshot(id)),
        Position::Diverging(end) if may_truncate(partition, end, asked) => {
            Verdict::Answer(answer.diverging(end))
        }
        Position::Diverging(end) => Verdict::Ahead(answer.nothing(), wait_ms.min(HOLD_MS), end),
        Position::Valid if replica(request, asked.version).0.0 == published.quorum.node_id => {
            Verdict::Answer(answer.error(ResponseError::UnknownServerError))
        }
        Position::Valid => valid(request, partition, answer, wait_ms),
    }
}

/// A valid fetch. It waits at the end of the log, unless even an empty answer says something new:
/// the high watermark, to a replica of version 18 that knows a lower one.
fn valid(
    request: &FetchRequest,
    partition: &FetchPartition,
    answer: Answers<'_>,
    wait_ms: i64,
) -> Verdict {
    let end = answer.published.tail.end();
    let response = answer.good();
    if partition.fetch_offset < end {
        let bytes_max = usize::try_from(request.max_bytes)
            .unwrap_or(0)
            .min(FETCH_BYTES_MAX);
        return Verdict::Records {
            response,
            offset: partition.fetch_offset,
            bytes_max,
        };
    }
    let knows_less =
        answer.asked.version >= VERSION_WITH_HIGH_WATERMARK && partition.high_watermark < end;
    if wait_ms == 0 || knows_less {
        return Verdict::Answer(response);
    }
    Verdict::Park(response, wait_ms)
}

/// Where a replica's log stands in ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Valid,
    Diverging(EpochEnd),
    Snapshot(SnapshotId),
}

/// Kafka's comparison of logs (`ReplicatedLog.validateOffsetAndEpoch`, 4.3.1). An empty replica
/// takes a snapshot wherever there is one: that is always less work than the log.
fn position(published: &Published, offset: Offset, last_epoch: Epoch) -> Position {
    let snapshots = published
        .earliest_snapshot()
        .zip(published.latest_snapshot());
    if offset == 0
        && let Some((_, latest)) = snapshots
        && latest != SnapshotId::default()
    {
        return Position::Snapshot(latest);
    }
    let start = published.log_start();
    if start == 0 && offset == 0 {
        return Position::Valid;
    }
    if let Some((earliest, latest)) = snapshots
        && (offset < start
            || (offset == start && last_epoch != earliest.epoch)
            || last_epoch < earliest.epoch)
    {
        return Position::Snapshot(latest);
    }
    let end = published
        .tail
        .end_of_epoch(last_epoch, snapshots.map(|(earliest, _)| earliest));
    if end.epoch != last_epoch || end.offset < offset {
        return Position::Diverging(end);
    }
    Position::Valid
}

/// Whether a replica may be told to truncate to this end: not below what it takes for committed.
/// Versions that do not say what that is get it only before their first fetch in this term.
fn may_truncate(partition: &FetchPartition, end: EpochEnd, asked: &Asked<'_>) -> bool {
    let said = asked.version >= VERSION_WITH_HIGH_WATERMARK
        && partition.high_watermark != HIGH_WATERMARK_NOT_SAID;
    if said {
        end.offset >= partition.high_watermark
    } else {
        end.offset >= partition.fetch_offset || !asked.fetched_before
    }
}

/// The one partition that can be fetched here, if the request is for it and nothing else.
fn metadata_partition(request: &FetchRequest) -> Option<&FetchPartition> {
    let [topic] = request.topics.as_slice() else {
        return None;
    };
    let [partition] = topic.partitions.as_slice() else {
        return None;
    };
    (topic.topic_id == METADATA_TOPIC_ID && partition.partition == 0).then_some(partition)
}

fn top_level(error: ResponseError) -> FetchResponse {
    FetchResponse::default().with_error_code(error.code())
}

/// Puts the records into an answer to a valid fetch.
pub fn with_records(mut response: FetchResponse, records: Bytes) -> FetchResponse {
    let partition = response
        .responses
        .first_mut()
        .and_then(|topic| topic.partitions.first_mut());
    if let Some(partition) = partition {
        partition.records = Some(records);
    }
    response
}

/// The answers that carry a partition. All of them name the leader.
#[derive(Clone, Copy)]
struct Answers<'a> {
    published: &'a Published,
    asked: &'a Asked<'a>,
}

impl Answers<'_> {
    fn error(self, error: ResponseError) -> FetchResponse {
        self.response(|partition| partition.error_code = error.code())
    }
    /// No error and no content, not even a high watermark.
    fn nothing(self) -> FetchResponse {
        self.response(|_| {})
    }
    fn good(self) -> FetchResponse {
        self.response(|partition| partition.high_watermark = self.published.tail.end())
    }
    fn snapshot(self, id: SnapshotId) -> FetchResponse {
        self.response(|partition| {
            partition.high_watermark = self.published.tail.end();
            partition.snapshot_id = SnapshotIdOnWire::default()
                .with_end_offset(id.end_offset)
                .with_epoch(id.epoch);
        })
    }
    fn diverging(self, end: EpochEnd) -> FetchResponse {
        self.response(|partition| {
            partition.high_watermark = self.published.tail.end();
            partition.diverging_epoch = EpochEndOffset::default()
                .with_epoch(end.epoch)
                .with_end_offset(end.offset);
        })
    }

    fn response(self, fill: impl FnOnce(&mut PartitionData)) -> FetchResponse {
        let leader = named_leader(self.published, self.asked.listener);
        let named = LeaderIdAndEpoch::default()
            .with_leader_id(leader.id)
            .with_leader_epoch(leader.epoch);
        let mut partition = PartitionData::default()
            .with_high_watermark(-1)
            .with_log_start_offset(self.published.log_start())
            .with_current_leader(named);
        fill(&mut partition);
        let topic = FetchableTopicResponse::default()
            .with_topic_id(METADATA_TOPIC_ID)
            .with_partitions(vec![partition]);
        // Kafka names endpoints to followers from version 17 on (`RaftUtil.singletonFetchResponse`).
        let named = leader.endpoint.filter(|_| self.asked.version >= 17);
        let endpoint = named.map(|endpoint| {
            NodeEndpoint::default()
                .with_node_id(leader.id)
                .with_host(StrBytes::from_string(endpoint.host.clone()))
                .with_port(i32::from(endpoint.port))
        });
        FetchResponse::default()
            .with_responses(vec![topic])
            .with_node_endpoints(endpoint.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
