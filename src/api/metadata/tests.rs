use kafka_protocol::protocol::Decodable;

use super::*;
use crate::api::testing::{World, broker, fence, partition, registration, topic};
use crate::ids::directory;
use crate::records::{PartitionRecord, Record, TopicRecord};

/// Asks for these topics; `*` for all.
fn ask(names: &[&str]) -> MetadataRequest {
    if names == ["*"] {
        return MetadataRequest::default().with_topics(None);
    }
    let named = |name: &&str| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    MetadataRequest::default().with_topics(Some(names.iter().map(named).collect()))
}

/// Nodes as `id@host:port`, then the controller, then each topic with its error and partitions:
/// `index:leader/replicas/isr/offline!error`.
fn told(world: &World, request: &MetadataRequest, version: i16) -> String {
    let response = world.answer(request, version);
    let nodes = response
        .brokers
        .iter()
        .map(|it| format!("{}@{}:{}", *it.node_id, it.host, it.port));
    let mut lines = vec![nodes.collect::<Vec<_>>().join(" ")];
    lines.push(format!("controller {}", *response.controller_id));
    let ids = |ids: &[BrokerId]| {
        ids.iter()
            .map(|id| id.to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    for topic in &response.topics {
        let name = topic.name.as_ref().map_or("null", |name| name.as_str());
        let mut line = format!("{name}!{}", topic.error_code);
        for it in &topic.partitions {
            line += &format!(
                " {}:{}/{}/{}/{}!{}",
                it.partition_index,
                it.leader_id.0,
                ids(&it.replica_nodes),
                ids(&it.isr_nodes),
                ids(&it.offline_replicas),
                it.error_code
            );
        }
        lines.push(line);
    }
    lines.join("\n")
}

#[track_caller]
fn check(world: &World, request: &MetadataRequest, version: i16, expect: &str) {
    assert_eq!(
        told(world, request, version),
        expect,
        "in version {version}"
    );
}

fn two_brokers() -> World {
    World::of(vec![
        broker(1),
        broker(2),
        topic("orders", 10),
        partition(10, 0, &[1, 2]),
        partition(10, 1, &[2, 1]),
        topic("__consumer_offsets", 11),
    ])
}

#[test]
fn brokers_and_the_controller_are_nodes_and_topics_come_in_name_order() {
    let world = two_brokers();
    let all = "1@host1:9092 2@host2:9092 3000@127.0.0.1:9093\ncontroller 3000\n__consumer_offsets!0\n\
               orders!0 0:1/1,2/1,2/!0 1:2/2,1/2,1/!0";
    check(&world, &ask(&["*"]), 12, all);
    // Version 0 means all topics with an empty list, names no controller and no offline replicas.
    check(
        &world,
        &ask(&[]),
        0,
        &all.replace("controller 3000", "controller -1"),
    );
    check(
        &world,
        &ask(&["orders"]),
        13,
        &all.replace("__consumer_offsets!0\n", ""),
    );
    let none = "1@host1:9092 2@host2:9092 3000@127.0.0.1:9093\ncontroller 3000";
    check(&world, &ask(&[]), 1, none);
    let response = world.answer(&ask(&["*"]), 13);
    assert_eq!(response.brokers[0].rack.as_deref(), Some("r1"));
    assert_eq!(
        response
            .topics
            .iter()
            .map(|it| it.is_internal)
            .collect::<Vec<_>>(),
        [true, false]
    );
    assert_eq!(response.topics[1].topic_id, Uuid::from_u128(10));
    assert_eq!(response.topics[1].partitions[0].leader_epoch, 7);
}

#[test]
fn unknown_topics_have_the_errors_of_a_broker_and_are_not_created() {
    let world = two_brokers();
    let nodes = "1@host1:9092 2@host2:9092 3000@127.0.0.1:9093\ncontroller 3000\n";
    let request = ask(&["nosuch", "nosuch", "bad name", "orders"]);
    let topics = "bad name!17\nnosuch!3\norders!0 0:1/1,2/1,2/!0 1:2/2,1/2,1/!0";
    check(
        &world,
        &request.with_allow_auto_topic_creation(true),
        12,
        &format!("{nodes}{topics}"),
    );

    let by_id = |id: u128| MetadataRequestTopic::default().with_topic_id(Uuid::from_u128(id));
    let request = MetadataRequest::default().with_topics(Some(vec![by_id(11), by_id(99)]));
    check(
        &world,
        &request,
        12,
        &format!("{nodes}__consumer_offsets!0\nnull!100"),
    );
    // Before version 12 ids are on the wire but not taken, nor are null names.
    assert_eq!(told(&world, &request, 10), "\ncontroller -1\n!42\n!42");
}

#[test]
fn a_fenced_broker_is_not_listed_and_its_replicas_are_offline() {
    let mut world = two_brokers();
    world.write(vec![fence(2)]);
    let nodes = "1@host1:9092 3000@127.0.0.1:9093\ncontroller 3000\n";
    // Kafka's controller takes the leadership away with the fence; until then a broker still names
    // the fenced leader.
    let topic = "orders!0 0:1/1,2/1,2/2!0 1:2/2,1/2,1/2!0";
    check(&world, &ask(&["orders"]), 9, &format!("{nodes}{topic}"));
    let nodes = nodes.replace("controller 3000", "controller -1");
    let topic = "orders!0 0:1/1/1/!9 1:2/1/1/!9";
    check(&world, &ask(&["orders"]), 0, &format!("{nodes}{topic}"));
}

#[test]
fn leaders_that_are_gone_or_out_of_reach_have_errors_of_their_own() {
    let leaderless = PartitionRecord {
        partition_id: 0,
        topic_id: Uuid::from_u128(10),
        replicas: vec![BrokerId(1)],
        leader: NO_BROKER,
        directories: vec![directory::LOST],
        ..PartitionRecord::default()
    };
    let secure = registration(3, &[("SSL", 1)]);
    let world = World::of(vec![
        broker(1),
        crate::records::RegisterBrokerRecord {
            fenced: false,
            ..secure
        }
        .into(),
        topic("t", 10),
        leaderless.into(),
        partition(10, 1, &[3]),
    ]);
    let nodes = "1@host1:9092 3000@127.0.0.1:9093\ncontroller 3000\n";
    check(
        &world,
        &ask(&["t"]),
        6,
        &format!("{nodes}t!0 0:-1/1//1!5 1:-1/3/3/3!72"),
    );
    check(
        &world,
        &ask(&["t"]),
        5,
        &format!("{nodes}t!0 0:-1/1//1!5 1:-1/3/3/3!5"),
    );
}

#[test]
fn an_endpoint_of_the_same_listener_wins_over_one_of_the_same_protocol() {
    let both = registration(1, &[("SSL", 1), ("PLAINTEXT", 0), ("CONTROLLER", 0)]);
    let other = registration(2, &[("SSL", 1), ("INSIDE", 0), ("OUTSIDE", 0)]);
    let no_endpoint = registration(3, &[]);
    let live = [both, other, no_endpoint].map(|it| {
        crate::records::RegisterBrokerRecord {
            fenced: false,
            ..it
        }
        .into()
    });
    let world = World::of(live.to_vec());
    check(
        &world,
        &ask(&[]),
        12,
        "1@host1:9094 2@host2:9093 3000@127.0.0.1:9093\ncontroller 3000",
    );
}

#[test]
fn the_controller_is_named_by_what_it_advertises_or_where_the_client_came_in() {
    let mut world = World::of(vec![]);
    world.lead(3000, "0.0.0.0");
    world.settings.listeners[0].host = "0.0.0.0".to_owned();
    check(&world, &ask(&[]), 12, "\ncontroller -1");
    world.caller.local_addr = Some("[::ffff:192.168.1.5]:9093".parse().expect("an address"));
    check(
        &world,
        &ask(&[]),
        12,
        "3000@192.168.1.5:9093\ncontroller 3000",
    );
    let advertised = crate::ids::Endpoint {
        name: "CONTROLLER".to_owned(),
        host: "yakt.example".to_owned(),
        port: 19093,
    };
    world.settings.advertised_listeners = vec![advertised];
    check(
        &world,
        &ask(&[]),
        12,
        "3000@yakt.example:19093\ncontroller 3000",
    );
    // A follower names the leader as the voter set has it, and nobody while none is known.
    world.lead(3001, "10.0.0.7");
    check(&world, &ask(&[]), 12, "3001@10.0.0.7:9093\ncontroller 3001");
    world.quorum.leader = None;
    check(&world, &ask(&[]), 12, "\ncontroller -1");
}

#[test]
fn operations_are_told_to_those_who_ask() {
    let world = two_brokers();
    let silent = world.answer(&ask(&["orders"]), 9);
    assert_eq!(silent.topics[0].topic_authorized_operations, i32::MIN);
    let request = ask(&["orders"])
        .with_include_topic_authorized_operations(true)
        .with_include_cluster_authorized_operations(true);
    let told = world.answer(&request, 9);
    assert_eq!(told.topics[0].topic_authorized_operations, 3576);
    assert_eq!(told.cluster_authorized_operations, 8096);
}

/// Recorded answers of a Kafka 4.3.1 broker, asked for again in a world that is built from them. Only
/// the order of topics, the controller and, in old versions, what cannot be seen in them may differ.
#[test]
fn recorded_answers_of_a_broker_are_given_again() {
    let frames = include_str!("../../../tests/data/clients/metadata.jsonl");
    for line in frames.lines() {
        let frame: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let version = frame["api_version"].as_i64().expect("a version") as i16;
        let hex = |field: &str| unhex(frame[field].as_str().expect("hex"));
        let mut request = hex("request_hex");
        let header_version = frame["header_version"].as_i64().expect("a version") as i16;
        kafka_protocol::messages::RequestHeader::decode(&mut request, header_version)
            .expect("header");
        let request = MetadataRequest::decode(&mut request, version).expect("a request");
        let mut response = hex("response_hex");
        let header_version = if version >= 9 { 1 } else { 0 };
        kafka_protocol::messages::ResponseHeader::decode(&mut response, header_version)
            .expect("header");
        let mut expect = MetadataResponse::decode(&mut response, version).expect("a response");

        let mut world = world_of(&expect);
        world.settings.cluster_id = expect.cluster_id.as_ref().expect("an id").to_string();
        world.quorum.leader = None;
        let mut answer = world.answer(&request, version);
        answer.controller_id = expect.controller_id;
        for response in [&mut answer, &mut expect] {
            response
                .topics
                .sort_by_key(|topic| topic.name.as_ref().map(|name| name.to_string()));
            response.topics.iter_mut().for_each(|topic| {
                // Kafka lists the dead first in no order of its own.
                topic
                    .partitions
                    .iter_mut()
                    .for_each(|it| it.offline_replicas.sort());
                if version < 10 {
                    topic.topic_id = Uuid::nil();
                }
            });
        }
        assert_eq!(answer, expect, "{}", frame["scenario"]);
    }
}

/// Brokers, topics and partitions as a response tells of them.
fn world_of(response: &MetadataResponse) -> World {
    let mut records: Vec<Record> = Vec::new();
    let mut live = Vec::new();
    for node in &response.brokers {
        let mut record = registration(node.node_id.0, &[("PLAINTEXT", 0)]);
        record.fenced = false;
        record.rack = node.rack.as_ref().map(|rack| rack.to_string());
        record.end_points[0].host = node.host.to_string();
        record.end_points[0].port = node.port as u16;
        records.push(record.into());
        live.push(node.node_id);
    }
    for (number, topic) in response.topics.iter().enumerate() {
        let name = topic.name.as_ref().expect("a name").to_string();
        let topic_id = if topic.topic_id.is_nil() {
            Uuid::from_u128(500 + number as u128)
        } else {
            topic.topic_id
        };
        records.push(TopicRecord { name, topic_id }.into());
        for it in &topic.partitions {
            let directory = |id: &BrokerId| {
                let failed = live.contains(id) && it.offline_replicas.contains(id);
                if failed {
                    directory::LOST
                } else {
                    directory::UNASSIGNED
                }
            };
            let record = PartitionRecord {
                partition_id: it.partition_index,
                topic_id,
                replicas: it.replica_nodes.clone(),
                isr: it.isr_nodes.clone(),
                leader: it.leader_id,
                leader_epoch: it.leader_epoch,
                directories: it.replica_nodes.iter().map(directory).collect(),
                ..PartitionRecord::default()
            };
            records.push(record.into());
        }
    }
    World::of(records)
}

fn unhex(text: &str) -> bytes::Bytes {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(digit).collect()
}
