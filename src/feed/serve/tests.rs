//! Long polls over a real watch channel.

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_snapshot_request::{
    PartitionSnapshot, SnapshotId, TopicSnapshot,
};
use kafka_protocol::messages::{BrokerId, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::*;
use crate::clock::ManualClock;
use crate::feed::tail::tests::batch;
use crate::feed::testing::{CLUSTER, OTHER, follower, leader, with_snapshots};
use crate::ids::{METADATA_TOPIC, METADATA_TOPIC_ID};
use crate::records::batch::{Batch, CutTail};

struct Node {
    published: watch::Sender<Arc<Published>>,
    clock: Arc<ManualClock>,
    feed: Feed,
}

fn node(first: Published) -> Node {
    let (published, receiver) = watch::channel(Arc::new(first));
    let clock = Arc::new(ManualClock::at(1_000));
    let feed = Feed::new(receiver, clock.clone(), CLUSTER, 2_000);
    Node {
        published,
        clock,
        feed,
    }
}

impl Node {
    fn publish(&self, edit: impl FnOnce(&mut Published)) {
        self.published
            .send_modify(|published| edit(Arc::make_mut(published)));
    }
}

fn request(epoch: i32, offset: i64, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_current_leader_epoch(epoch)
        .with_fetch_offset(offset)
        .with_last_fetched_epoch(5);
    let topic = FetchTopic::default()
        .with_topic_id(METADATA_TOPIC_ID)
        .with_partitions(vec![partition]);
    let mut request = FetchRequest::default()
        .with_max_wait_ms(max_wait_ms)
        .with_max_bytes(1_048_576)
        .with_topics(vec![topic]);
    request.replica_state.replica_id = BrokerId(1);
    request
}

/// Error, high watermark and base offsets of the batches in an answer.
fn shape(response: Option<FetchResponse>) -> (i16, i64, Vec<i64>) {
    let response = response.expect("an answer");
    let partition = &response.responses[0].partitions[0];
    let records = partition.records.clone().unwrap();
    let batches = Batch::split(records, CutTail::Refuse).unwrap();
    let offsets = batches.iter().map(Batch::base_offset).collect();
    (partition.error_code, partition.high_watermark, offsets)
}

#[tokio::test]
async fn a_parked_fetch_gets_the_batch_that_is_committed_next() {
    let node = node(leader());
    let request = request(5, 24, 60_000);
    let fetch = node.feed.fetch(&request, 18, "CONTROLLER");
    let commit = async {
        tokio::task::yield_now().await;
        node.publish(|published| published.tail.push(batch(24, 5, 3)));
    };
    let (answer, ()) = tokio::join!(fetch, commit);
    assert_eq!(shape(answer), (0, 27, vec![24]));
    let rows = node.feed.observers().rows(5, node.clock.ticks());
    assert_eq!(
        (rows[0].id, rows[0].end_offset, rows[0].last_fetch_ms),
        (BrokerId(1), 24, 1_000)
    );
}

#[tokio::test]
async fn a_parked_fetch_ends_empty_when_its_time_is_over() {
    let node = node(leader());
    let request = request(5, 24, 1);
    let fetch = node.feed.fetch(&request, 18, "CONTROLLER");
    let time = async {
        tokio::task::yield_now().await;
        node.clock.advance_ms(1);
    };
    let (answer, ()) = tokio::join!(fetch, time);
    assert_eq!(shape(answer), (0, 24, vec![]));
}

#[tokio::test]
async fn a_fetch_held_at_the_barrier_goes_on_behind_it() {
    let mut before = leader();
    before.quorum.active = false;
    let node = node(before);
    let request = request(5, 22, 60_000);
    let fetch = node.feed.fetch(&request, 18, "CONTROLLER");
    let pass = async {
        tokio::task::yield_now().await;
        node.publish(|published| published.quorum.active = true);
    };
    let (answer, ()) = tokio::join!(fetch, pass);
    assert_eq!(shape(answer), (0, 24, vec![22]));
}

#[tokio::test]
async fn a_held_error_becomes_news_when_a_leader_is_elected() {
    let node = node(follower(None));
    let request = request(5, 24, 60_000);
    let fetch = node.feed.fetch(&request, 18, "CONTROLLER");
    let elect = async {
        tokio::task::yield_now().await;
        node.publish(|published| {
            published.quorum.epoch = 6;
            published.quorum.leader = Some(BrokerId(OTHER));
        });
    };
    let (answer, ()) = tokio::join!(fetch, elect);
    assert_eq!(shape(answer), (74, -1, vec![]));
}

#[tokio::test]
async fn a_parked_fetch_is_closed_when_the_quorum_falls_silent_or_the_node_stops() {
    let silent = node(leader());
    let request = request(5, 24, 60_000);
    let fetch = silent.feed.fetch(&request, 18, "CONTROLLER");
    let silence = async {
        tokio::task::yield_now().await;
        silent.clock.advance_ms(3_001);
        silent.publish(|_| {});
    };
    assert_eq!(tokio::join!(fetch, silence).0, None);

    let Node {
        published,
        feed,
        clock: _clock,
    } = node(leader());
    let fetch = feed.fetch(&request, 18, "CONTROLLER");
    let stop = async {
        tokio::task::yield_now().await;
        drop(published);
    };
    assert_eq!(tokio::join!(fetch, stop).0, None);
}

#[tokio::test]
async fn a_replica_ahead_of_us_rings_the_bell() {
    let node = node(leader());
    let mut request = request(5, 30, 0);
    request.topics[0].partitions[0].high_watermark = 30;
    let answer = node.feed.fetch(&request, 18, "CONTROLLER").await;
    assert_eq!(shape(answer), (0, -1, vec![]));
    let ahead = node.feed.observers().ahead(node.clock.ticks());
    assert_eq!(ahead.len(), 1);
    assert_eq!((ahead[0].fetch_offset, ahead[0].ours.offset), (30, 24));
}

#[tokio::test]
async fn a_snapshot_comes_in_pieces() {
    let node = node(with_snapshots(leader(), &[(2, 4)]));
    let mut file = Vec::new();
    while file.len() < 10 {
        let id = SnapshotId::default().with_epoch(2).with_end_offset(4);
        let partition = PartitionSnapshot::default()
            .with_current_leader_epoch(5)
            .with_snapshot_id(id)
            .with_position(file.len() as i64);
        let name = TopicName(StrBytes::from_static_str(METADATA_TOPIC));
        let topic = TopicSnapshot::default()
            .with_name(name)
            .with_partitions(vec![partition]);
        let request = FetchSnapshotRequest::default()
            .with_max_bytes(4)
            .with_topics(vec![topic]);
        let answer = node
            .feed
            .fetch_snapshot(&request, 1, "CONTROLLER")
            .await
            .unwrap();
        let partition = &answer.topics[0].partitions[0];
        assert_eq!((partition.error_code, partition.size), (0, 10));
        assert!(partition.unaligned_records.len() <= 4);
        file.extend_from_slice(&partition.unaligned_records);
    }
    assert_eq!(file, b"0123456789");
    assert!(node.published.borrow().snapshots[0].is_being_downloaded(node.clock.ticks()));
}
