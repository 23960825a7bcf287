//! `/v1`: quorum, cluster, brokers, topics and snapshots as today's programs like them.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Doors;
use super::json::{self, BrokerJson, EndpointJson, FeatureJson, TopicDetailsJson, TopicJson};
use super::openapi::Parameter;
use super::original::{check_writes, role};
use super::reply::{Problem, Reply};
use crate::feed::Published;
use crate::feed::snapshots::{Snapshot, SnapshotId};
use crate::ids::{Offset, ReplicaState, Uuid};

/// Most topics of an answer.
const TOPICS_MAX: usize = 10_000;
/// Most bytes of a snapshot that are read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// The quorum.
#[derive(Serialize, ToSchema)]
pub(super) struct QuorumJson {
    /// Node id; null: no leader is known.
    leader: Option<i32>,
    /// The newest term this node knows.
    term: i32,
    /// What this node is: leader, follower, candidate or learner.
    role: &'static str,
    /// End of the committed log as this node knows it.
    high_watermark: i64,
    /// Those who vote.
    voters: Vec<ReplicaJson>,
    /// Those who only follow: brokers and nodes that joined.
    observers: Vec<ReplicaJson>,
}

/// A voter or an observer.
#[derive(Serialize, ToSchema)]
struct ReplicaJson {
    /// Node id.
    id: i32,
    /// Its metadata directory.
    directory_id: String,
    /// Its first controller listener; null for an observer.
    endpoint: Option<EndpointJson>,
    /// End of its log; null where this node does not know.
    end_offset: Option<i64>,
    /// How many records it is behind; null where this node does not know.
    lag: Option<i64>,
}

/// `GET /v1/quorum`.
pub(super) async fn quorum(State(doors): State<Doors>) -> Reply<QuorumJson> {
    let now = doors.now();
    let (quorum, end) = (&now.quorum, now.image.end_offset());
    let replicas = doors.replicas(&now);
    let state_of = |id: i32, directory: Uuid| {
        let same = |it: &&ReplicaState| {
            it.id == id && (it.directory_id == directory || directory.is_nil())
        };
        replicas.iter().find(same)
    };
    let voters = quorum.voters.iter().map(|voter| {
        let known = state_of(voter.id.0, voter.directory_id).map(|it| it.end_offset);
        let own = (voter.id.0 == quorum.node_id).then_some(end);
        let endpoint = voter.endpoints.first().map(EndpointJson::from);
        replica(voter.id.0, voter.directory_id, endpoint, own.or(known), end)
    });
    let is_voter = |it: &ReplicaState| {
        let same = |id: i32, directory: Uuid| {
            it.id == id && (it.directory_id == directory || directory.is_nil())
        };
        quorum
            .voters
            .iter()
            .any(|voter| same(voter.id.0, voter.directory_id))
    };
    let observers = replicas.iter().filter(|it| !is_voter(it));
    let observers =
        observers.map(|it| replica(it.id.0, it.directory_id, None, Some(it.end_offset), end));
    let answer = QuorumJson {
        leader: quorum.leader.map(|leader| leader.0),
        term: quorum.epoch,
        role: role(&now),
        high_watermark: end,
        voters: voters.collect(),
        observers: observers.collect(),
    };
    Reply::at_end(&now.image, answer)
}

fn replica(
    id: i32,
    directory_id: Uuid,
    endpoint: Option<EndpointJson>,
    end_offset: Option<Offset>,
    end: Offset,
) -> ReplicaJson {
    let end_offset = end_offset.filter(|offset| *offset >= 0);
    ReplicaJson {
        id,
        directory_id: json::id(directory_id),
        endpoint,
        end_offset,
        lag: end_offset.map(|offset| (end - offset).max(0)),
    }
}

/// The cluster in numbers.
#[derive(Serialize, ToSchema)]
pub(super) struct ClusterJson {
    /// Its id.
    cluster_id: String,
    /// The node that answers.
    node_id: i32,
    /// Node id of the active controller.
    controller: Option<i32>,
    /// Registered brokers.
    brokers: usize,
    /// Those that are unfenced.
    live_brokers: usize,
    /// Topics.
    topics: usize,
    /// Partitions.
    partitions: usize,
    /// Partitions that nobody leads.
    leaderless_partitions: usize,
    /// Finalized features, by name.
    features: Vec<FeatureJson>,
}

/// `GET /v1/cluster`.
pub(super) async fn cluster(State(doors): State<Doors>) -> Reply<ClusterJson> {
    let now = doors.now();
    let (image, counts) = (&now.image, now.image.counts());
    let features = image.features().iter();
    let features = features.map(|(name, level, _)| FeatureJson {
        name: name.to_owned(),
        level,
    });
    let answer = ClusterJson {
        cluster_id: doors.settings.cluster_id.clone(),
        node_id: now.quorum.node_id,
        controller: now.quorum.leader.map(|leader| leader.0),
        brokers: image.brokers().count(),
        live_brokers: image.brokers().filter(|broker| !broker.fenced).count(),
        topics: counts.topics,
        partitions: counts.partitions,
        leaderless_partitions: counts.leaderless,
        features: features.collect(),
    };
    Reply::at_end(image, answer)
}

/// The registered brokers.
#[derive(Serialize, ToSchema)]
pub(super) struct BrokersJson {
    /// By id.
    brokers: Vec<BrokerJson>,
}

/// `GET /v1/brokers`.
pub(super) async fn brokers(State(doors): State<Doors>) -> Reply<BrokersJson> {
    let now = doors.now();
    let image = &now.image;
    let brokers = image
        .brokers()
        .map(|it| BrokerJson::new(image, it, image.incarnation(it.incarnation_id)));
    Reply::at_end(
        image,
        BrokersJson {
            brokers: brokers.collect(),
        },
    )
}

/// The parameters of `/v1/topics`.
pub(super) const TOPICS_PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "from",
        about: "Begin at this name.",
        kind: "string",
    },
    Parameter {
        name: "limit",
        about: "How many topics at most.",
        kind: "integer",
    },
];

/// The query as it comes.
#[derive(Deserialize)]
pub(super) struct TopicsAsked {
    from: Option<String>,
    limit: Option<String>,
}

/// Topics.
#[derive(Serialize, ToSchema)]
pub(super) struct TopicsJson {
    /// By name.
    topics: Vec<TopicJson>,
    /// Ask from here on for more; null: that was all.
    next: Option<String>,
}

/// `GET /v1/topics`.
pub(super) async fn topics(
    State(doors): State<Doors>,
    Query(asked): Query<TopicsAsked>,
) -> Result<Reply<TopicsJson>, Problem> {
    let limit = match asked.limit.as_deref().map(str::parse) {
        None => TOPICS_MAX,
        Some(Ok(limit)) if (1..=TOPICS_MAX).contains(&limit) => limit,
        Some(_) => {
            return Err(Problem::bad(format!(
                "limit must be from 1 to {TOPICS_MAX}."
            )));
        }
    };
    let now = doors.now();
    let mut found = now
        .image
        .topics_from(asked.from.as_deref().unwrap_or_default());
    let topics: Vec<_> = found.by_ref().take(limit).map(TopicJson::from).collect();
    let next = found.next().map(|topic| topic.name().to_owned());
    Ok(Reply::at_end(&now.image, TopicsJson { topics, next }))
}

/// `GET /v1/topics/{name}`.
pub(super) async fn topic(
    State(doors): State<Doors>,
    Path(name): Path<String>,
) -> Result<Reply<TopicDetailsJson>, Problem> {
    let now = doors.now();
    let topic = now.image.topic_by_name(&name);
    let topic = topic.ok_or_else(|| Problem::not_found(format!("There is no topic {name}.")))?;
    Ok(Reply::at_end(
        &now.image,
        TopicDetailsJson::new(&now.image, topic),
    ))
}

/// A snapshot.
#[derive(Serialize, ToSchema)]
pub(super) struct SnapshotJson {
    /// Its id: end offset and epoch, as Kafka names the file.
    id: String,
    /// It holds everything below this offset.
    end_offset: i64,
    /// Epoch of the last batch in it.
    epoch: i32,
    /// Its size; null while that is not known here.
    bytes: Option<u64>,
}

impl SnapshotJson {
    fn new(id: SnapshotId, bytes: Option<u64>) -> Self {
        Self {
            id: name(id),
            end_offset: id.end_offset,
            epoch: id.epoch,
            bytes,
        }
    }
}

/// The id as the file is named, without its suffix.
fn name(id: SnapshotId) -> String {
    id.file_name().trim_end_matches(".checkpoint").to_owned()
}

/// The snapshots that are kept.
#[derive(Serialize, ToSchema)]
pub(super) struct SnapshotsJson {
    /// The oldest first.
    snapshots: Vec<SnapshotJson>,
}

/// `GET /v1/snapshots`.
pub(super) async fn snapshots(State(doors): State<Doors>) -> Reply<SnapshotsJson> {
    let now = doors.now();
    let kept = now
        .snapshots
        .iter()
        .map(|it| SnapshotJson::new(it.id(), Some(it.bytes())));
    Reply::at_end(
        &now.image,
        SnapshotsJson {
            snapshots: kept.collect(),
        },
    )
}

/// `POST /v1/snapshots`.
pub(super) async fn make_snapshot(
    State(doors): State<Doors>,
) -> Result<Reply<SnapshotJson>, Problem> {
    check_writes(&doors)?;
    let id = doors.snapshots.make().await?;
    let now = doors.now();
    let bytes = find(&now, id).map(|snapshot| snapshot.bytes());
    Ok(Reply::at_end(&now.image, SnapshotJson::new(id, bytes)))
}

/// `GET /v1/snapshots/{id}`: the file, as long as it takes; it is not deleted meanwhile.
pub(super) async fn snapshot(
    State(doors): State<Doors>,
    Path(asked): Path<String>,
) -> Result<Response, Problem> {
    let file_name = format!("{}.checkpoint", asked.trim_end_matches(".checkpoint"));
    let found = SnapshotId::parse(&file_name).and_then(|id| find(&doors.now(), id).cloned());
    let found =
        found.ok_or_else(|| Problem::not_found(format!("There is no snapshot {asked}.")))?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, found.bytes().to_string()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{file_name}\""),
        ),
    ];
    Ok((StatusCode::OK, headers, Body::from_stream(chunks(found))).into_response())
}

fn find(now: &Published, id: SnapshotId) -> Option<&Arc<Snapshot>> {
    now.snapshots.iter().find(|snapshot| snapshot.id() == id)
}

/// The file in pieces, each read off the runtime's threads when the one before it was taken.
fn chunks(snapshot: Arc<Snapshot>) -> impl futures::Stream<Item = io::Result<Bytes>> {
    futures::stream::try_unfold((snapshot, 0), async |(snapshot, position)| {
        let read = tokio::task::spawn_blocking(move || {
            let chunk = snapshot.read_at(position, CHUNK_BYTES);
            (snapshot, chunk)
        });
        let (snapshot, chunk) = read.await.map_err(io::Error::other)?;
        let chunk = chunk?;
        let next = position + chunk.len() as u64;
        Ok((!chunk.is_empty()).then_some((chunk, (snapshot, next))))
    })
}
