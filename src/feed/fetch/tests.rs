//! Every row of the check order, the barrier, the long poll, and what must never be said.

use kafka_protocol::messages::fetch_request::{FetchTopic, ReplicaState};

use super::*;
use crate::feed::testing::{CLUSTER, ME, OTHER, asked, follower, leader, with_snapshots};

/// What a Fetch asks for; the rest is as a broker of version 18 sends it.
#[derive(Clone, Copy)]
struct Ask {
    epoch: Epoch,
    offset: Offset,
    last_epoch: Epoch,
    high_watermark: Offset,
    max_wait_ms: i32,
    max_bytes: i32,
}

/// A broker that has everything.
const AT_END: Ask = Ask {
    epoch: 5,
    offset: 24,
    last_epoch: 5,
    high_watermark: 24,
    max_wait_ms: 500,
    max_bytes: 1_048_576,
};

fn request(ask: Ask) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_current_leader_epoch(ask.epoch)
        .with_fetch_offset(ask.offset)
        .with_last_fetched_epoch(ask.last_epoch)
        .with_high_watermark(ask.high_watermark);
    let topic = FetchTopic::default()
        .with_topic_id(METADATA_TOPIC_ID)
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_state(ReplicaState::default().with_replica_id(BrokerId(1)))
        .with_max_wait_ms(ask.max_wait_ms)
        .with_max_bytes(ask.max_bytes)
        .with_topics(vec![topic])
}

/// A verdict in one line: what is done, after how long, with which error, watermark and news.
fn line(verdict: &Verdict) -> String {
    let (what, response) = match verdict {
        Verdict::Answer(response) => ("answer".to_owned(), response),
        Verdict::Records {
            response,
            offset,
            bytes_max,
        } => (
            format!("records from {offset} up to {bytes_max} bytes"),
            response,
        ),
        Verdict::Park(response, wait_ms) => (format!("park {wait_ms}"), response),
        Verdict::Hold(response, wait_ms) => (format!("hold {wait_ms}"), response),
        Verdict::Ahead(response, wait_ms, end) => (
            format!("ahead of {}@{} {wait_ms}", end.offset, end.epoch),
            response,
        ),
        Verdict::Close => return "close".to_owned(),
    };
    let [topic] = response.responses.as_slice() else {
        return format!("{what}, top level {}", response.error_code);
    };
    let partition = &topic.partitions[0];
    let mut line = format!(
        "{what}, error {} hw {}",
        partition.error_code, partition.high_watermark
    );
    if partition.diverging_epoch.epoch >= 0 {
        let end = &partition.diverging_epoch;
        line += &format!(" diverging {}@{}", end.end_offset, end.epoch);
    }
    if partition.snapshot_id.epoch >= 0 {
        line += &format!(
            " snapshot {}@{}",
            partition.snapshot_id.end_offset, partition.snapshot_id.epoch
        );
    }
    let leader = &partition.current_leader;
    line + &format!(" leader {}@{}", leader.leader_id.0, leader.leader_epoch)
}

#[track_caller]
fn check(published: &Published, ask: Ask, expected: &str) {
    assert_eq!(line(&decide(&request(ask), published, &asked())), expected);
}

#[test]
fn a_request_for_something_else_is_refused_as_a_whole() {
    let top_level = |request: &FetchRequest| line(&decide(request, &leader(), &asked()));
    let good = request(AT_END);
    let cluster = |id: &str| {
        good.clone()
            .with_cluster_id(Some(StrBytes::from_string(id.into())))
    };
    assert_eq!(top_level(&cluster("other")), "answer, top level 104");
    assert_eq!(
        top_level(&cluster(CLUSTER)),
        "park 500, error 0 hw 24 leader 3000@5"
    );

    let topic = good.topics[0].clone();
    let two_partitions = vec![topic.partitions[0].clone(); 2];
    for topics in [
        vec![],
        vec![topic.clone(), topic.clone()],
        vec![topic.clone().with_topic_id(Uuid::from_u128(2))],
        vec![topic.clone().with_partitions(vec![])],
        vec![topic.clone().with_partitions(two_partitions)],
        vec![
            topic
                .clone()
                .with_partitions(vec![FetchPartition::default().with_partition(1)]),
        ],
    ] {
        assert_eq!(
            top_level(&good.clone().with_topics(topics)),
            "answer, top level 42"
        );
    }
    let both = cluster("other").with_topics(vec![]);
    assert_eq!(
        top_level(&both),
        "answer, top level 104",
        "the cluster id is looked at first"
    );
}

#[test]
fn numbers_that_cannot_be_are_refused_before_leadership_is_looked_at() {
    let nobody = follower(None);
    let expected = "answer, error 42 hw -1 leader -1@5";
    check(
        &nobody,
        Ask {
            max_wait_ms: -1,
            ..AT_END
        },
        expected,
    );
    check(
        &nobody,
        Ask {
            offset: -1,
            ..AT_END
        },
        expected,
    );
    check(
        &nobody,
        Ask {
            last_epoch: -1,
            ..AT_END
        },
        expected,
    );
    check(
        &nobody,
        Ask {
            last_epoch: 6,
            ..AT_END
        },
        expected,
    );
}

#[test]
fn errors_about_leadership_are_held_unless_they_are_news() {
    let [other, nobody] = [follower(Some(OTHER)), follower(None)];
    let older = Ask {
        epoch: 4,
        last_epoch: 4,
        ..AT_END
    };
    let newer = Ask { epoch: 6, ..AT_END };
    check(&leader(), older, "answer, error 74 hw -1 leader 3000@5");
    check(&other, older, "answer, error 74 hw -1 leader 3001@5");
    check(&nobody, older, "answer, error 74 hw -1 leader -1@5");
    check(&leader(), newer, "hold 500, error 75 hw -1 leader 3000@5");
    check(&nobody, newer, "hold 500, error 75 hw -1 leader -1@5");
    check(&nobody, AT_END, "hold 500, error 6 hw -1 leader -1@5");
    check(&other, AT_END, "hold 50, error 6 hw -1 leader 3001@5");
    // Never longer than the asker is ready to wait.
    check(
        &nobody,
        Ask {
            max_wait_ms: 20,
            ..AT_END
        },
        "hold 20, error 6 hw -1 leader -1@5",
    );
    check(
        &nobody,
        Ask {
            max_wait_ms: 9_000,
            ..AT_END
        },
        "hold 500, error 6 hw -1 leader -1@5",
    );
}

#[test]
fn a_leader_before_its_barrier_says_nothing_real() {
    let mut published = leader();
    published.quorum.active = false;
    let nothing = "hold 500, error 0 hw -1 leader 3000@5";
    check(&published, AT_END, nothing);
    check(
        &published,
        Ask {
            offset: 0,
            last_epoch: 0,
            ..AT_END
        },
        nothing,
    );
    check(
        &published,
        Ask {
            offset: 99,
            ..AT_END
        },
        nothing,
    );
    check(
        &published,
        Ask {
            epoch: 4,
            last_epoch: 4,
            ..AT_END
        },
        nothing,
    );
    check(&published, Ask { epoch: 6, ..AT_END }, nothing);
    let published = with_snapshots(published, &[(2, 4)]);
    check(
        &published,
        Ask {
            offset: 0,
            last_epoch: 0,
            ..AT_END
        },
        nothing,
    );
}

#[test]
fn a_leader_without_its_quorum_closes() {
    let decide_at = |published: &Published, ms| {
        let asked = Asked {
            now: Ticks(0).plus_ms(ms),
            ..asked()
        };
        line(&decide(&request(AT_END), published, &asked))
    };
    let good = "park 500, error 0 hw 24 leader 3000@5";
    assert_eq!(decide_at(&leader(), 3_000), good);
    assert_eq!(decide_at(&leader(), 3_001), "close");
    let mut alone = leader();
    let me = alone.quorum.voters[0].clone();
    alone.quorum.voters = vec![me].into();
    assert_eq!(decide_at(&alone, 1_000_000), good);
    assert_eq!(
        decide_at(&follower(Some(OTHER)), 1_000_000),
        "hold 50, error 6 hw -1 leader 3001@5"
    );
}

#[test]
fn an_empty_replica_takes_the_snapshot_where_there_is_one() {
    let empty = Ask {
        offset: 0,
        last_epoch: 0,
        high_watermark: -1,
        ..AT_END
    };
    check(
        &leader(),
        empty,
        "records from 0 up to 1048576 bytes, error 0 hw 24 leader 3000@5",
    );
    let bootstrap = with_snapshots(leader(), &[(0, 0)]);
    check(
        &bootstrap,
        empty,
        "records from 0 up to 1048576 bytes, error 0 hw 24 leader 3000@5",
    );
    let published = with_snapshots(leader(), &[(2, 4), (4, 14)]);
    check(
        &published,
        empty,
        "answer, error 0 hw 24 snapshot 14@4 leader 3000@5",
    );
}

#[test]
fn a_replica_behind_the_log_takes_the_newest_snapshot() {
    let published = with_snapshots(leader(), &[(4, 12), (4, 16)]);
    let snapshot = "answer, error 0 hw 24 snapshot 16@4 leader 3000@5";
    let ask = |offset, last_epoch| Ask {
        offset,
        last_epoch,
        high_watermark: -1,
        ..AT_END
    };
    check(&published, ask(10, 4), snapshot); // below the log's start
    check(&published, ask(12, 2), snapshot); // at its start, in another epoch
    check(&published, ask(14, 3), snapshot); // an epoch before the oldest snapshot's
    let records =
        |from| format!("records from {from} up to 1048576 bytes, error 0 hw 24 leader 3000@5");
    check(&published, ask(12, 4), &records(12));
    check(&published, ask(20, 4), &records(20));
}

#[test]
fn a_replica_with_another_history_is_told_where_to_truncate() {
    let ask = |offset, last_epoch| Ask {
        offset,
        last_epoch,
        high_watermark: -1,
        ..AT_END
    };
    let diverging = |end| format!("answer, error 0 hw 24 diverging {end} leader 3000@5");
    check(&leader(), ask(12, 2), &diverging("10@2")); // epoch 2 was shorter here
    check(&leader(), ask(15, 3), &diverging("10@2")); // there was no epoch 3
    check(&leader(), ask(30, 5), &diverging("24@5")); // beyond our end
    check(&leader(), ask(3, 1), &diverging("0@1")); // before our first epoch
}

#[test]
fn no_replica_is_told_to_truncate_what_it_knows_as_committed() {
    let ask = |high_watermark| Ask {
        offset: 12,
        last_epoch: 2,
        high_watermark,
        ..AT_END
    };
    check(
        &leader(),
        ask(10),
        "answer, error 0 hw 24 diverging 10@2 leader 3000@5",
    );
    check(
        &leader(),
        ask(11),
        "ahead of 10@2 500, error 0 hw -1 leader 3000@5",
    );
    let beyond = Ask {
        offset: 30,
        high_watermark: 30,
        ..AT_END
    };
    check(
        &leader(),
        beyond,
        "ahead of 24@5 500, error 0 hw -1 leader 3000@5",
    );

    // Older versions do not say what they know: what counts is whether they were served before.
    let old = |fetched_before| {
        let asked = Asked {
            version: 17,
            fetched_before,
            ..asked()
        };
        line(&decide(&request(ask(i64::MAX)), &leader(), &asked))
    };
    assert_eq!(old(true), "ahead of 10@2 500, error 0 hw -1 leader 3000@5");
    assert_eq!(
        old(false),
        "answer, error 0 hw 24 diverging 10@2 leader 3000@5"
    );
}

#[test]
fn a_fetch_at_the_end_waits_unless_there_is_something_to_say() {
    check(&leader(), AT_END, "park 500, error 0 hw 24 leader 3000@5");
    check(
        &leader(),
        Ask {
            max_wait_ms: 0,
            ..AT_END
        },
        "answer, error 0 hw 24 leader 3000@5",
    );
    check(
        &leader(),
        Ask {
            high_watermark: 23,
            ..AT_END
        },
        "answer, error 0 hw 24 leader 3000@5",
    );
    check(
        &leader(),
        Ask {
            high_watermark: -1,
            ..AT_END
        },
        "answer, error 0 hw 24 leader 3000@5",
    );
    check(
        &leader(),
        Ask {
            high_watermark: i64::MAX,
            ..AT_END
        },
        "park 500, error 0 hw 24 leader 3000@5",
    );
    let long = Ask {
        max_wait_ms: i32::MAX,
        ..AT_END
    };
    check(&leader(), long, "park 60000, error 0 hw 24 leader 3000@5");
    let old = Asked {
        version: 17,
        ..asked()
    };
    let unknown = request(Ask {
        high_watermark: -1,
        ..AT_END
    });
    assert_eq!(
        line(&decide(&unknown, &leader(), &old)),
        "park 500, error 0 hw 24 leader 3000@5"
    );
}

#[test]
fn sizes_are_bounded() {
    let ask = |max_bytes| Ask {
        offset: 4,
        last_epoch: 2,
        max_bytes,
        ..AT_END
    };
    check(
        &leader(),
        ask(10),
        "records from 4 up to 10 bytes, error 0 hw 24 leader 3000@5",
    );
    check(
        &leader(),
        ask(-1),
        "records from 4 up to 0 bytes, error 0 hw 24 leader 3000@5",
    );
    let most = format!("records from 4 up to {FETCH_BYTES_MAX} bytes, error 0 hw 24 leader 3000@5");
    check(&leader(), ask(i32::MAX), &most);
}

#[test]
fn a_replica_under_the_leaders_own_id_is_refused() {
    let state = ReplicaState::default().with_replica_id(BrokerId(ME));
    let mine = request(AT_END).with_replica_state(state);
    assert_eq!(
        line(&decide(&mine, &leader(), &asked())),
        "answer, error -1 hw -1 leader 3000@5"
    );
    let consumer = request(AT_END).with_replica_state(ReplicaState::default());
    assert_eq!(
        line(&decide(&consumer, &leader(), &asked())),
        "park 500, error 0 hw 24 leader 3000@5"
    );
}

#[test]
fn the_leader_is_named_as_the_listener_reaches_it() {
    let endpoint = |published: &Published, asked: &Asked<'_>| {
        let (Verdict::Park(response, _) | Verdict::Hold(response, _)) =
            decide(&request(AT_END), published, asked)
        else {
            panic!("an answer without news waits")
        };
        response
            .node_endpoints
            .first()
            .map(|node| (node.node_id.0, node.host.to_string(), node.port))
    };
    let by = |listener| Asked {
        listener,
        ..asked()
    };
    let at = |port| Some((OTHER, "h3001".to_owned(), port));
    let other = follower(Some(OTHER));
    assert_eq!(endpoint(&other, &by("CONTROLLER")), at(9093));
    assert_eq!(endpoint(&other, &by("SECURE")), at(9094));
    assert_eq!(endpoint(&other, &by("UNKNOWN")), at(9093));
    assert_eq!(
        endpoint(
            &other,
            &Asked {
                version: 16,
                ..asked()
            }
        ),
        None
    );
    // A leader that nobody can reach is not named at all.
    let mut stranger = follower(Some(4000));
    assert_eq!(endpoint(&stranger, &asked()), None);
    check(&stranger, AT_END, "hold 50, error 6 hw -1 leader -1@5");
    stranger.quorum.voters = Default::default();
    check(&stranger, AT_END, "hold 50, error 6 hw -1 leader -1@5");
}
