//! Topics as text: `NAME PARTITIONS/RF` or `NAME 0=1,2 1=2,3` by hand, then `key=value` or `key` for
//! a key without value.

use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopicConfig,
};

use super::*;
use crate::ids::Uuid;
use crate::rules::features::ELR_VERSION;
use crate::rules::scene::{Scene, ids};

fn topic(text: &str) -> CreatableTopic {
    let mut words = text.split(' ');
    let name = StrBytes::from_string(words.next().unwrap_or_default().to_owned());
    let mut topic = CreatableTopic::default()
        .with_name(TopicName(name))
        .with_num_partitions(-1)
        .with_replication_factor(-1);
    for word in words {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        match (word.split_once('/'), word.split_once('=')) {
            (Some((count, factor)), _) => {
                topic.num_partitions = count.parse().unwrap();
                topic.replication_factor = factor.parse().unwrap();
            }
            (_, Some((index, brokers))) if index.parse::<i32>().is_ok() => {
                let brokers = brokers.split(',').filter(|id| !id.is_empty());
                let brokers: Vec<i32> = brokers.map(|id| id.parse().unwrap()).collect();
                let assignment = CreatableReplicaAssignment::default()
                    .with_partition_index(index.parse().unwrap())
                    .with_broker_ids(ids(&brokers));
                topic.assignments.push(assignment);
            }
            (_, config) => {
                let (key, value) = config.unzip();
                let config = CreatableTopicConfig::default()
                    .with_name(text(key.unwrap_or(word)))
                    .with_value(value.map(text));
                topic.configs.push(config);
            }
        }
    }
    topic
}

fn request(topics: &[&str]) -> CreateTopicsRequest {
    CreateTopicsRequest::default().with_topics(topics.iter().map(|text| topic(text)).collect())
}

/// Creates topics and compares the codes, in the order of the answer, with what is expected.
#[track_caller]
fn check(scene: &Scene, topics: &[&str], codes: &[i16]) -> Vec<CreatableTopicResult> {
    let decision = request(topics)
        .decide(&scene.ctx(7))
        .expect("not refused as a whole");
    let results = decision.response.topics;
    let found: Vec<i16> = results.iter().map(|it| it.error_code).collect();
    assert_eq!(found, codes, "{topics:?}: {results:?}");
    for result in &results {
        assert_eq!(result.error_code == 0, result.error_message.is_none());
        assert_eq!(result.error_code == 0, result.topic_id != Uuid::nil());
    }
    results
}

/// Where replicas and ISR of each record are, by the order of the records.
fn placed(records: &[Record]) -> Vec<(Vec<i32>, Vec<i32>)> {
    let numbers = crate::rules::scene::numbers;
    let placed = records.iter().filter_map(|record| match record {
        Record::Partition(it) => {
            assert_eq!((it.leader_epoch, it.partition_epoch), (0, 0));
            assert_eq!(it.leader, it.isr[0]);
            assert_eq!(it.directories.len(), it.replicas.len());
            Some((numbers(&it.replicas), numbers(&it.isr)))
        }
        _ => None,
    });
    placed.collect()
}

#[test]
fn what_kafka_refuses() {
    let none = Scene::new();
    check(&none, &["a 1/1"], &[38]);
    let scene = Scene::new().brokers(2).topic("old", &[&[1, 2]]);
    for (text, code) in [
        ("a 1/3", 38),
        ("a 1/0", 38),
        ("a 1/-2", 38),
        ("a/b 1/1", 17),
        (". 1/1", 17),
        (" 1/1", 17),
        ("a 0/1", 37),
        ("a -2/1", 37),
        ("a 0/0", 38),
        ("a 1/1 no.such.key=1", 40),
        ("a 1/1 retention.ms", 40),
        ("a 1/1 retention.ms=-2", 40),
        ("a 1/1 min.compaction.lag.ms=2 max.compaction.lag.ms=1", 40),
        ("a 1/-1 0=1", 42),
        ("a -1/1 0=1", 42),
        ("a 1=1", 39),
        ("a 0=1 2=1", 39),
        ("a 0=1 0=2", 39),
        ("a 0=9", 39),
        ("a 0=1,1", 39),
        ("a 0=", 39),
        ("a 0=1,2 1=1", 39),
        ("__cluster_metadata 1/1", 42),
        ("old 1/1", 36),
        ("old 1/9 no.such.key=1", 36),
        ("new 1/1", 0),
        ("new", 0),
        ("new 0=2,1 1=1,2 retention.ms=5", 0),
    ] {
        check(&scene, &[text], &[code]);
    }
    check(&scene, &[], &[]);
}

#[test]
fn topics_are_judged_one_by_one() {
    let scene = Scene::new().brokers(2).topic("a_b", &[&[1]]);
    // Duplicates come last; the third occurrence makes them no better.
    check(
        &scene,
        &["x 1/1", "y 1/1", "x 1/1", "z 1/9", "x 1/1"],
        &[0, 38, 42],
    );
    check(&scene, &["a.b 1/1", "a-b 1/1"], &[17, 0]);
    // Kafka creates both of these; we take the first.
    let results = check(&scene, &["c.d 1/1", "c_d 1/1"], &[0, 17]);
    let text = results[1].error_message.clone().unwrap();
    assert!(text.contains("collides with existing topic"), "{text}");
}

#[test]
fn records_come_in_kafkas_order() {
    let mut scene = Scene::new().brokers(3).begin();
    let texts = ["a 2/2 retention.ms=5 min.insync.replicas=2", "b 0=2,1"];
    let decision = request(&texts).decide(&scene.ctx(7)).unwrap();
    let kinds: Vec<&str> = decision
        .records
        .iter()
        .map(|record| match record {
            Record::Topic(_) => "topic",
            Record::Config(it) => match it.name.as_str() {
                "min.insync.replicas" => "min isr",
                _ => "config",
            },
            Record::ClearElr(it) => {
                assert_eq!(it.topic_name, "a");
                "clear elr"
            }
            Record::Partition(_) => "partition",
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        "topic",
        "min isr",
        "config",
        "clear elr",
        "partition",
        "partition",
        "topic",
        "partition",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(placed(&decision.records)[2], (vec![2, 1], vec![2, 1]));
    scene.apply(decision);
    assert_eq!(scene.image.topic_by_name("a").unwrap().partition_count(), 2);

    let without_elr = Scene::new().feature(ELR_VERSION, 0).brokers(3);
    let decision = request(&texts).decide(&without_elr.ctx(7)).unwrap();
    assert!(
        !decision
            .records
            .iter()
            .any(|record| matches!(record, Record::ClearElr(_)))
    );
}

#[test]
fn fenced_replicas_begin_outside_the_isr() {
    let scene = Scene::new().brokers(3).fenced(&[2]);
    let decision = request(&["a 0=2,1,3", "b 0=2"])
        .decide(&scene.ctx(7))
        .unwrap();
    assert_eq!(placed(&decision.records), [(vec![2, 1, 3], vec![1, 3])]);
    assert_eq!(decision.response.topics[1].error_code, 39);
    // Placed automatically a fenced broker is used only if need be, and never leads.
    let decision = request(&["c 30/2", "d 30/3"])
        .decide(&scene.ctx(7))
        .unwrap();
    for (replicas, isr) in placed(&decision.records) {
        assert!(isr.len() == 2 && !isr.contains(&2), "{isr:?}");
        assert!(
            replicas.len() == 3 || !replicas.contains(&2),
            "{replicas:?}"
        );
    }
}

#[test]
fn brokers_on_their_way_out_get_no_replicas() {
    use crate::rules::LiveChange;
    let mut scene = Scene::new().brokers(2);
    let offset = scene.image.end_offset();
    scene.live.apply(LiveChange::ShuttingDown {
        broker: BrokerId(2),
        offset,
    });
    let decision = request(&["a 20/1"]).decide(&scene.ctx(7)).unwrap();
    assert!(
        placed(&decision.records)
            .iter()
            .all(|(replicas, _)| replicas == &[1])
    );
    check(&scene, &["b 1/2"], &[38]);
}

#[test]
fn defaults_are_the_controllers() {
    let mut scene = Scene::new().brokers(3);
    scene.settings.num_partitions = 4;
    scene.settings.default_replication_factor = 2;
    let result = check(&scene, &["a"], &[0]).remove(0);
    assert_eq!((result.num_partitions, result.replication_factor), (4, 2));
    let result = check(&scene, &["a -1/3"], &[0]).remove(0);
    assert_eq!((result.num_partitions, result.replication_factor), (4, 3));
}

#[test]
fn the_answer_tells_every_configuration() {
    let mut scene = Scene::new()
        .brokers(1)
        .config(ConfigResource::cluster(), "message.max.bytes", "7")
        .config(
            ConfigResource::broker(crate::rules::scene::NODE),
            "log.segment.bytes",
            "8",
        );
    scene
        .settings
        .given
        .insert("log.retention.hours".to_owned(), "2".to_owned());
    let result = check(&scene, &["a 1/1 flush.ms=9"], &[0]).remove(0);
    let configs = result.configs.unwrap();
    assert_eq!(configs.len(), 33);
    assert!(configs.is_sorted_by(|one, next| one.name.as_str() < next.name.as_str()));
    let check = |name: &str, value: &str, source: i8| {
        let config = configs.iter().find(|config| &*config.name == name).unwrap();
        assert_eq!(config.value.as_deref(), Some(value), "{name}");
        assert_eq!(config.config_source, source, "{name}");
        assert!(!config.read_only && !config.is_sensitive);
    };
    check("flush.ms", "9", 1);
    check("segment.bytes", "8", 2);
    check("max.message.bytes", "7", 3);
    check("retention.ms", "7200000", 4);
    check("cleanup.policy", "delete", 5);
    // Before version 5 there is no room for it.
    let decision = request(&["a 1/1"]).decide(&scene.ctx(4)).unwrap();
    assert_eq!(decision.response.topics[0].configs, Some(Vec::new()));
}

#[test]
fn validating_only_writes_nothing() {
    let scene = Scene::new().brokers(1);
    let request = request(&["a 1/1", "b 1/2"]).with_validate_only(true);
    let decision = request.decide(&scene.ctx(7)).unwrap();
    assert!(decision.records.is_empty());
    let codes: Vec<i16> = decision
        .response
        .topics
        .iter()
        .map(|it| it.error_code)
        .collect();
    assert_eq!(codes, [0, 38]);
}

#[test]
fn huge_requests_are_refused_as_a_whole() {
    let scene = Scene::new().brokers(1);
    let check = |texts: &[&str], refused: bool| {
        let outcome = request(texts).decide(&scene.ctx(7));
        let code = outcome.as_ref().err().map(|refusal| refusal.code);
        assert_eq!(
            code,
            refused.then_some(ResponseError::PolicyViolation),
            "{texts:?}"
        );
        if let Ok(decision) = outcome {
            assert!(decision.records.len() <= RECORDS_PER_DECISION_MAX);
        }
    };
    check(&["a 9999/1"], false);
    check(&["a 10000/1"], true);
    check(&["a 10001/1"], true);
    check(&["a 2147483647/1", "b 2147483647/1"], true);
    // What will fail counts, what is left out does not.
    check(&["a 5000/9", "b 5001/1"], true);
    check(&["a 9000/1", "a 9000/1", "b 9000/1"], false);
    let refused = request(&["a 10001/1"]);
    let answer = refused.refuse(&refusal::too_many_records());
    assert_eq!(answer.topics[0].error_code, 44);
}
