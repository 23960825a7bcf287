//! The list of what `/metrics` tells.

use serde_json::json;
use yakt::ids::BrokerId;

use super::client::Client;
use super::node::Node;

/// Gauges of `kafka.<domain>:type=<kind>`: in Strimzi's spelling, and with `_value` in Bitnami's.
const GAUGES: &[&str] = &[
    "kafka_controller_kafkacontroller_activecontrollercount",
    "kafka_controller_kafkacontroller_activebrokercount",
    "kafka_controller_kafkacontroller_fencedbrokercount",
    "kafka_controller_kafkacontroller_controlledshutdownbrokercount",
    "kafka_controller_kafkacontroller_brokerregistrationstate",
    "kafka_controller_kafkacontroller_timesincelastheartbeatreceivedms",
    "kafka_controller_kafkacontroller_globaltopiccount",
    "kafka_controller_kafkacontroller_globalpartitioncount",
    "kafka_controller_kafkacontroller_offlinepartitionscount",
    "kafka_controller_kafkacontroller_preferredreplicaimbalancecount",
    "kafka_controller_kafkacontroller_metadataerrorcount",
    "kafka_controller_kafkacontroller_ignoredstaticvoters",
    "kafka_controller_kafkacontroller_lastappliedrecordoffset",
    "kafka_controller_kafkacontroller_lastcommittedrecordoffset",
    "kafka_controller_kafkacontroller_lastappliedrecordtimestamp",
    "kafka_controller_kafkacontroller_lastappliedrecordlagms",
    "kafka_controller_kafkacontroller_timedoutbrokerheartbeatcount",
    "kafka_controller_kafkacontroller_eventqueueoperationsstartedcount",
    "kafka_controller_kafkacontroller_eventqueueoperationstimedoutcount",
    "kafka_controller_kafkacontroller_newactivecontrollerscount",
    "kafka_controller_controllereventmanager_avgidleratio",
    "kafka_server_metadataloader_currentmetadataversion",
    "kafka_server_metadataloader_currentcontrollerid",
    "kafka_server_metadataloader_handleloadsnapshotcount",
    "kafka_server_metadataloader_finalizedlevel",
    "kafka_server_snapshotemitter_latestsnapshotgeneratedbytes",
    "kafka_server_snapshotemitter_latestsnapshotgeneratedagems",
    "kafka_server_controllerserver_linux_disk_read_bytes",
    "kafka_server_controllerserver_linux_disk_write_bytes",
];

/// Meters: with `_total` in Strimzi's spelling, with `persec_count` in Bitnami's.
const METERS: &[&str] = &[
    "kafka_controller_controllerstats_uncleanleaderelections",
    "kafka_controller_controllerstats_electionfromeligibleleaderreplicas",
    "kafka_network_requestmetrics_requests",
    "kafka_network_requestmetrics_errors",
];

/// Histograms: with a `quantile` label in Strimzi's spelling, with `_99thpercentile` in Bitnami's.
const HISTOGRAMS: &[&str] = &[
    "kafka_controller_controllereventmanager_eventqueuetimems",
    "kafka_controller_controllereventmanager_eventqueueprocessingtimems",
    "kafka_network_requestmetrics_totaltimems",
];

/// Attributes of `kafka.server:type=<kind>`: `raftmetrics` is Strimzi's spelling, `raft_metrics`
/// Bitnami's.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("raft_metrics", "current_state"),
    ("raft_metrics", "current_leader"),
    ("raft_metrics", "current_vote"),
    ("raft_metrics", "current_epoch"),
    ("raft_metrics", "high_watermark"),
    ("raft_metrics", "log_end_offset"),
    ("raft_metrics", "log_end_epoch"),
    ("raft_metrics", "number_of_voters"),
    ("raft_metrics", "number_of_observers"),
    ("raft_metrics", "number_unknown_voter_connections"),
    ("raft_metrics", "uncommitted_voter_change"),
    ("raft_metrics", "commit_latency_avg"),
    ("raft_metrics", "commit_latency_max"),
    ("raft_metrics", "election_latency_avg"),
    ("raft_metrics", "election_latency_max"),
    ("raft_metrics", "append_records_rate"),
    ("raft_metrics", "fetch_records_rate"),
    ("node_metrics", "maximum_supported_level"),
    ("node_metrics", "minimum_supported_level"),
];

#[tokio::test]
async fn everything_kafkas_controllers_tell_is_there_in_both_spellings() {
    let node = Node::start().await;
    let client = Client::of(node.address()).await;
    let broker = json!({"name": "RegisterBrokerRecord", "fields": {"brokerId": 1}}).to_string();
    client.post("/register_broker", &broker).await;
    let metrics = &node.doors.metrics;
    metrics.heard_from(BrokerId(1), node.doors.clock.ticks());
    metrics.api(3).requests.inc();
    metrics.api(3).time.note_us(1500);

    let page = client.get("/metrics").await;
    assert!(
        page.header("content-type")
            .is_some_and(|it| it.starts_with("text/plain"))
    );
    let names: Vec<_> = page
        .body
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let mut wanted: Vec<String> = Vec::new();
    for name in GAUGES {
        wanted.extend([(*name).to_owned(), format!("{name}_value")]);
    }
    for name in METERS {
        wanted.extend([format!("{name}_total"), format!("{name}persec_count")]);
    }
    for name in HISTOGRAMS {
        wanted.push((*name).to_owned());
        wanted.extend(["count", "99thpercentile", "mean", "max"].map(|it| format!("{name}_{it}")));
    }
    for (kind, name) in ATTRIBUTES {
        wanted.push(format!("kafka_server_{kind}_{name}"));
        wanted.push(format!("kafka_server_{}_{name}", kind.replace('_', "")));
    }
    let missing: Vec<_> = wanted
        .iter()
        .filter(|name| !names.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?} in\n{}", page.body);

    for line in [
        "kafka_controller_kafkacontroller_activecontrollercount 1",
        "kafka_controller_kafkacontroller_activebrokercount_value 1",
        "kafka_controller_kafkacontroller_brokerregistrationstate{broker=\"1\"} 30",
        "kafka_server_raftmetrics_current_state{current_state=\"leader\"} 1",
        "kafka_server_metadataloader_finalizedlevel{featureName=\"metadataVersion\"} 30",
        "kafka_network_requestmetrics_requests_total{request=\"Metadata\"} 1",
    ] {
        assert!(
            page.body.lines().any(|it| it == line),
            "{line} is not in\n{}",
            page.body
        );
    }
    // The format wants all series of a name together, behind one TYPE line.
    let types: Vec<_> = page
        .body
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .collect();
    let distinct: std::collections::BTreeSet<_> = types.iter().collect();
    assert_eq!(types.len(), distinct.len());
}
