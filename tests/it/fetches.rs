//! Recorded Fetch and FetchSnapshot requests get the answers that Kafka 4.3.1 gave, byte for byte
//! where the answer can be the same.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{
    ApiKey, FetchRequest, FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse,
    RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable};
use yakt::clock::Ticks;
use yakt::feed::Published;
use yakt::feed::fetch::{self, Asked, Verdict};
use yakt::feed::fetch_snapshot;
use yakt::feed::snapshots::{Snapshot, SnapshotId};
use yakt::feed::tail;
use yakt::ids::{BrokerId, Endpoint, QuorumView, Uuid, Voter};
use yakt::records::batch::{Batch, CutTail};

/// The controller that answered, and how brokers reached it.
const CONTROLLER: i32 = 3000;
const PORT: u16 = 21193;
const CLUSTER: &str = "CNi-Mi4bQci9gi1TsXKryQ";

struct Frame {
    name: String,
    api: i16,
    version: i16,
    request: Bytes,
    response: Bytes,
}

fn frames() -> Vec<Frame> {
    let text = fs::read_to_string(data("fetches.jsonl")).unwrap();
    let frame = |(line, text): (usize, &str)| {
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        let short = |name: &str| i16::try_from(json[name].as_i64().unwrap()).unwrap();
        let bytes = |name: &str| {
            let hex = json[name].as_str().unwrap();
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            Bytes::from_iter((0..hex.len()).step_by(2).map(byte))
        };
        let (api, version) = (short("api_key"), short("api_version"));
        let mut request = bytes("request_hex");
        let mut response = bytes("response_hex");
        let key = ApiKey::try_from(api).unwrap();
        RequestHeader::decode(&mut request, key.request_header_version(version)).unwrap();
        ResponseHeader::decode(&mut response, key.response_header_version(version)).unwrap();
        let name = format!("line {}, {}", line + 1, json["scenario"]);
        Frame {
            name,
            api,
            version,
            request,
            response,
        }
    };
    text.lines().enumerate().map(frame).collect()
}

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/golden")
        .join(name)
}

fn decode<M: Decodable>(mut bytes: Bytes, version: i16) -> M {
    let message = M::decode(&mut bytes, version).unwrap();
    assert!(!bytes.has_remaining());
    message
}

fn encode<M: Encodable>(message: &M, version: i16) -> Bytes {
    let mut out = BytesMut::new();
    message.encode(&mut out, version).unwrap();
    out.freeze()
}

/// The controller, leading this epoch, with the recorded log up to `end`.
fn published(epoch: i32, end: i64) -> Published {
    let endpoint = Endpoint {
        name: "CONTROLLER".into(),
        host: "127.0.0.1".into(),
        port: PORT,
    };
    let (id, directory_id) = (BrokerId(CONTROLLER), Uuid::nil());
    let voter = Voter {
        id,
        directory_id,
        endpoints: vec![endpoint],
    };
    let quorum = QuorumView {
        node_id: CONTROLLER,
        epoch,
        leader: Some(id),
        active: true,
        voters: Arc::new(vec![voter]),
        ..QuorumView::default()
    };
    let mut published = Published {
        quorum,
        ..Published::default()
    };
    let log = fs::read(data("log/00000000000000000000.log")).unwrap();
    let batches = Batch::split(log.into(), CutTail::Refuse).unwrap();
    let committed = batches
        .into_iter()
        .take_while(|batch| batch.next_offset() <= end);
    committed.for_each(|batch| published.tail.push(batch));
    published
}

fn asked(version: i16) -> Asked<'static> {
    Asked {
        version,
        listener: "CONTROLLER",
        cluster_id: CLUSTER,
        now: Ticks::default(),
        fetch_timeout_ms: 2_000,
        fetched_before: false,
    }
}

#[test]
fn recorded_fetches_are_answered_as_kafka_did() {
    let mut compared = 0;
    for frame in frames()
        .into_iter()
        .filter(|frame| frame.api == ApiKey::Fetch as i16)
    {
        let request: FetchRequest = decode(frame.request.clone(), frame.version);
        let kafkas = without_cut_tail(decode(frame.response.clone(), frame.version));
        let partition = kafkas
            .responses
            .first()
            .map(|topic| topic.partitions[0].clone());
        let partition = partition.unwrap_or_default();
        let state = state_of(&partition);
        let ours = match fetch::decide(&request, &state, &asked(frame.version)) {
            Verdict::Answer(response) | Verdict::Park(response, _) | Verdict::Hold(response, _) => {
                response
            }
            Verdict::Records {
                response,
                offset,
                bytes_max,
            } => {
                let batches = state.tail.slice(offset, bytes_max).unwrap();
                fetch::with_records(response, tail::join(&batches))
            }
            other => panic!("{}: {other:?}", frame.name),
        };
        let ours = as_kafka_saw_it(ours, &partition);
        assert_eq!(ours, kafkas, "{}", frame.name);
        assert_eq!(
            encode(&ours, frame.version),
            encode(&kafkas, frame.version),
            "{}",
            frame.name
        );
        compared += 1;
    }
    assert_eq!(compared, 56);
}

/// Kafka may cut the last batch where the bytes that were asked for end; whole ones come here.
fn without_cut_tail(mut response: FetchResponse) -> FetchResponse {
    if let Some(topic) = response.responses.first_mut() {
        let records = topic.partitions[0].records.take().unwrap();
        let whole = Batch::split(records, CutTail::Ignore).unwrap();
        topic.partitions[0].records = Some(tail::join(&whole));
    }
    response
}

/// The state in which Kafka gave this answer, as far as the answer shows it.
fn state_of(partition: &PartitionData) -> Published {
    let records = partition.records.clone().unwrap_or_default();
    let last = Batch::split(records, CutTail::Refuse).unwrap().pop();
    let end = last
        .map_or(-1, |batch| batch.next_offset())
        .max(partition.high_watermark);
    let end = if end < 0 { i64::MAX } else { end };
    let epoch = partition.current_leader.leader_epoch.max(1);
    let mut state = published(epoch, end);
    if partition.snapshot_id.epoch >= 0 {
        let id = SnapshotId {
            epoch: partition.snapshot_id.epoch,
            end_offset: partition.snapshot_id.end_offset,
        };
        state.snapshots = Arc::new(vec![Arc::new(snapshot_file(id, b"content"))]);
    }
    state
}

/// Kafka tells uncommitted records, and its log may begin before its oldest snapshot.
fn as_kafka_saw_it(mut ours: FetchResponse, kafkas: &PartitionData) -> FetchResponse {
    if let Some(topic) = ours.responses.first_mut() {
        let partition = &mut topic.partitions[0];
        partition.log_start_offset = kafkas.log_start_offset;
        if kafkas.high_watermark < partition.high_watermark {
            partition.high_watermark = kafkas.high_watermark;
        }
    }
    ours
}

#[test]
fn recorded_snapshot_fetches_are_answered_as_kafka_did_or_meant() {
    let mut errors = Vec::new();
    for frame in frames()
        .into_iter()
        .filter(|frame| frame.api == ApiKey::FetchSnapshot as i16)
    {
        let request: FetchSnapshotRequest = decode(frame.request.clone(), frame.version);
        let kafkas: FetchSnapshotResponse = decode(frame.response.clone(), frame.version);
        let sent = kafkas
            .topics
            .first()
            .map(|topic| topic.partitions[0].clone());
        let epoch = sent
            .as_ref()
            .map_or(3, |partition| partition.current_leader.leader_epoch);
        let mut state = published(epoch, i64::MAX);
        let content = sent
            .as_ref()
            .map_or(Bytes::new(), |sent| sent.unaligned_records.clone());
        let wanted = &request.topics[0].partitions[0].snapshot_id;
        let id = SnapshotId {
            epoch: wanted.epoch,
            end_offset: wanted.end_offset,
        };
        if !frame.name.contains("unknown") {
            state.snapshots = Arc::new(vec![Arc::new(snapshot_file(id, &content))]);
        }
        match fetch_snapshot::decide(&request, &state, &asked(frame.version)) {
            fetch_snapshot::Verdict::Piece {
                response,
                snapshot,
                position,
                bytes_max,
            } => {
                let piece = snapshot.read_at(position, bytes_max).unwrap();
                let ours = fetch_snapshot::with_piece(response, piece);
                assert_eq!(
                    encode(&ours, frame.version),
                    frame.response,
                    "{}",
                    frame.name
                );
            }
            fetch_snapshot::Verdict::Answer(ours) if kafkas.error_code > 0 => {
                assert_eq!(
                    encode(&ours, frame.version),
                    frame.response,
                    "{}",
                    frame.name
                );
            }
            // Kafka cannot write these: its client gets -1 for all of them.
            fetch_snapshot::Verdict::Answer(ours) => {
                assert_eq!(kafkas.error_code, -1, "{}", frame.name);
                errors.push(ours.topics[0].partitions[0].error_code);
            }
            other => panic!("{}: {other:?}", frame.name),
        }
    }
    // Unknown, bootstrap snapshot, unknown, bootstrap snapshot, position, old leader epoch.
    assert_eq!(errors, [98, 98, 98, 98, 99, 74]);
}

fn snapshot_file(id: SnapshotId, content: &[u8]) -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(id.file_name()), content).unwrap();
    Snapshot::open(folder.path(), id).unwrap()
}
