//! The checks in their order, and pieces of a file.

use kafka_protocol::messages::fetch_snapshot_request::{
    SnapshotId as WantedId, TopicSnapshot as WantedTopic,
};

use super::*;
use crate::clock::Ticks;
use crate::feed::testing::{OTHER, asked, follower, leader, with_snapshots};
use crate::ids::{Epoch, Offset};

fn request(
    epoch: Epoch,
    (id_epoch, end_offset): (Epoch, Offset),
    position: i64,
) -> FetchSnapshotRequest {
    let id = WantedId::default()
        .with_epoch(id_epoch)
        .with_end_offset(end_offset);
    let partition = Wanted::default()
        .with_current_leader_epoch(epoch)
        .with_snapshot_id(id)
        .with_position(position);
    let name = TopicName(StrBytes::from_static_str(METADATA_TOPIC));
    let topic = WantedTopic::default()
        .with_name(name)
        .with_partitions(vec![partition]);
    FetchSnapshotRequest::default()
        .with_max_bytes(4)
        .with_topics(vec![topic])
}

/// A verdict in one line.
fn line(verdict: &Verdict) -> String {
    let (what, response) = match verdict {
        Verdict::Answer(response) => ("answer".to_owned(), response),
        Verdict::Piece {
            response,
            position,
            bytes_max,
            ..
        } => (format!("piece {position}+{bytes_max}"), response),
        Verdict::Hold(Some(response), wait_ms) => (format!("hold {wait_ms}"), response),
        Verdict::Hold(None, wait_ms) => return format!("hold {wait_ms}, close"),
        Verdict::Close => return "close".to_owned(),
    };
    let [topic] = response.topics.as_slice() else {
        return format!("{what}, top level {}", response.error_code);
    };
    let partition = &topic.partitions[0];
    let (leader, id) = (&partition.current_leader, &partition.snapshot_id);
    format!(
        "{what}, error {} {}@{} size {} position {} leader {}@{}",
        partition.error_code,
        id.end_offset,
        id.epoch,
        partition.size,
        partition.position,
        leader.leader_id.0,
        leader.leader_epoch,
    )
}

#[test]
fn the_checks_stand_in_kafkas_order() {
    let published = with_snapshots(leader(), &[(0, 0), (2, 4)]);
    let check = |request: &FetchSnapshotRequest, expected: &str| {
        assert_eq!(line(&decide(request, &published, &asked())), expected);
    };
    let good = request(5, (2, 4), 3);
    check(
        &good,
        "piece 3+4, error 0 4@2 size 10 position 3 leader 3000@5",
    );
    let other_cluster = good
        .clone()
        .with_cluster_id(Some(StrBytes::from_static_str("other")));
    check(&other_cluster.with_topics(vec![]), "answer, top level 104");
    check(&good.clone().with_topics(vec![]), "answer, top level 42");
    let refused =
        |error, id: &str| format!("answer, error {error} {id} size 0 position 0 leader 3000@5");
    let mut other_topic = request(4, (2, 4), 3);
    other_topic.topics[0].name = TopicName(StrBytes::from_static_str("orders"));
    check(&other_topic, &refused(3, "4@2"));
    let mut other_partition = good.clone();
    other_partition.topics[0].partitions[0].partition = 1;
    check(&other_partition, &refused(3, "4@2"));
    check(&request(4, (9, 9), 3), &refused(74, "9@9"));
    check(&request(5, (9, 9), 99), &refused(98, "9@9"));
    check(&request(5, (0, 0), 0), &refused(98, "0@0"));
    check(&request(5, (2, 4), -1), &refused(99, "4@2"));
    check(&request(5, (2, 4), 10), &refused(99, "4@2"));
    check(
        &request(6, (2, 4), 3),
        "hold 500, error 75 4@2 size 0 position 0 leader 3000@5",
    );
}

#[test]
fn only_a_leader_in_charge_gives_pieces() {
    let with = |published| with_snapshots(published, &[(2, 4)]);
    let at = |published: &Published, ms| {
        let asked = Asked {
            now: Ticks(0).plus_ms(ms),
            ..asked()
        };
        line(&decide(&request(5, (2, 4), 0), published, &asked))
    };
    assert_eq!(at(&with(leader()), 3_001), "close");
    let mut before_barrier = with(leader());
    before_barrier.quorum.active = false;
    assert_eq!(at(&before_barrier, 0), "hold 500, close");
    let other = with(follower(Some(OTHER)));
    assert_eq!(
        at(&other, 0),
        "hold 50, error 6 4@2 size 0 position 0 leader 3001@5"
    );
}
