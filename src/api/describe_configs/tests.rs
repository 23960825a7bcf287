use super::*;
use crate::rules::scene::{NODE, Scene};

fn scene() -> Scene {
    let mut scene = Scene::new()
        .racks(&["r1", "r2"])
        .topic("t", &[&[1]])
        .config(ConfigResource::topic("t"), "flush.ms", " 9 ")
        .config(ConfigResource::cluster(), "message.max.bytes", "7")
        .config(ConfigResource::cluster(), "no.such.key", "secret")
        .config(ConfigResource::broker(BrokerId(1)), "log.retention.ms", "8")
        .config(
            ConfigResource::broker(BrokerId(1)),
            "leader.replication.throttled.rate",
            "5",
        )
        .config(
            ConfigResource {
                kind: ConfigKind::Group,
                name: "g".to_owned(),
            },
            "share.session.timeout.ms",
            "50000",
        );
    for (key, value) in [
        ("log.retention.hours", "2"),
        ("ssl.key.password", "secret"),
        ("listener.name.controller.ssl.key.password", "secret"),
        ("listener.name.controller.plain.sasl.jaas.config", "secret"),
        ("super.users", "User:secret"),
        ("yakt.http.listeners", "http://127.0.0.1:5012"),
        ("group.share.heartbeat.interval.ms", "6000"),
    ] {
        scene
            .settings
            .given
            .insert(key.to_owned(), value.to_owned());
    }
    scene
}

fn describe(kind: i8, name: &str, keys: &[&str]) -> DescribeConfigsResult {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(Some(keys.iter().map(|key| text(key)).collect()));
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true);
    request.answer(&scene().ctx(4)).results.remove(0)
}

/// Describes one key as `VALUE SOURCE [SYNONYM=VALUE SOURCE …]`, with `ro` and `secret` where so.
#[track_caller]
fn check(kind: i8, name: &str, key: &str, expected: &str) {
    let result = describe(kind, name, &[key]);
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
    let [entry] = &result.configs[..] else {
        panic!("{key}: {:?}", result.configs)
    };
    let shown = |value: &Option<StrBytes>| value.as_deref().unwrap_or("-").to_owned();
    let synonyms: Vec<String> = entry
        .synonyms
        .iter()
        .map(|it| format!("{}={} {}", it.name, shown(&it.value), it.source))
        .collect();
    let mut line = format!(
        "{} {} {synonyms:?}",
        shown(&entry.value),
        entry.config_source
    );
    line.push_str(if entry.read_only { " ro" } else { "" });
    line.push_str(if entry.is_sensitive { " secret" } else { "" });
    assert_eq!(line.replace('"', ""), expected, "{key}");
}

#[track_caller]
fn refused(kind: i8, name: &str, code: i16) {
    let result = describe(kind, name, &[]);
    assert_eq!(
        (result.error_code, result.configs.len()),
        (code, 0),
        "{:?}",
        result.error_message
    );
}

#[test]
fn topics() {
    check(2, "t", "flush.ms", "9 1 [flush.ms=9 1]");
    check(
        2,
        "t",
        "max.message.bytes",
        "7 3 [message.max.bytes=7 3, message.max.bytes=1048588 5]",
    );
    // As in Kafka: only who speaks under the first synonym's name is heard, and those after.
    check(2, "t", "retention.ms", "7200000 5 []");
    check(2, "t", "remote.storage.enable", "false 5 []");
    assert_eq!(describe(2, "t", &[]).configs.len(), 33);
    assert_eq!(describe(2, "t", &["no.such.key"]).configs.len(), 0);
    refused(2, "nosuch", 3);
    refused(2, "a/b", 17);
    refused(2, "", 17);
}

#[test]
fn this_node() {
    let node = &NODE.0.to_string();
    check(4, node, "node.id", "3000 4 [node.id=3000 4] ro");
    check(
        4,
        node,
        "listeners",
        "CONTROLLER://127.0.0.1:9093 4 [listeners=CONTROLLER://127.0.0.1:9093 4, listeners=PLAINTEXT://:9092 5]",
    );
    check(
        4,
        node,
        "log.retention.hours",
        "2 4 [log.retention.hours=2 4, log.retention.hours=168 5] ro",
    );
    check(4, node, "log.retention.ms", "- 5 []");
    check(4, node, "num.partitions", "1 5 [num.partitions=1 5] ro");
    check(
        4,
        node,
        "ssl.key.password",
        "- 4 [ssl.key.password=- 4] secret",
    );
    let listener = "listener.name.controller.";
    check(
        4,
        node,
        &format!("{listener}ssl.key.password"),
        &format!("- 4 [{listener}ssl.key.password=- 4, ssl.key.password=- 4] ro secret"),
    );
    check(
        4,
        node,
        &format!("{listener}plain.sasl.jaas.config"),
        &format!("- 4 [{listener}plain.sasl.jaas.config=- 4] ro secret"),
    );
    check(4, node, "super.users", "- 4 [super.users=- 4] ro secret");
    check(
        4,
        node,
        "yakt.http.listeners",
        "http://127.0.0.1:5012 4 [yakt.http.listeners=http://127.0.0.1:5012 4] ro",
    );
    check(4, node, "no.such.key", "- 3 [no.such.key=- 3] ro secret");
    // 340 keys of Kafka's; set and not among them are three of listeners and users, one of ours, one
    // that nobody knows.
    assert_eq!(describe(4, node, &[]).configs.len(), 340 + 5);
}

#[test]
fn brokers() {
    check(4, "1", "node.id", "1 4 [node.id=1 4] ro");
    check(4, "1", "broker.rack", "r1 4 [broker.rack=r1 4] ro");
    check(
        4,
        "1",
        "log.retention.ms",
        "8 2 [log.retention.ms=8 2, log.retention.hours=168 5]",
    );
    check(
        4,
        "1",
        "leader.replication.throttled.rate",
        "5 2 [leader.replication.throttled.rate=5 2]",
    );
    check(
        4,
        "1",
        "message.max.bytes",
        "7 3 [message.max.bytes=7 3, message.max.bytes=1048588 5]",
    );
    check(4, "2", "log.retention.ms", "- 5 []");
    check(4, "", "message.max.bytes", "7 3 [message.max.bytes=7 3]");
    // Beside what is set here, a new cluster's min.insync.replicas.
    assert_eq!(describe(4, "", &[]).configs.len(), 3);
    refused(4, "99", 42);
    refused(4, "one", 42);
}

#[test]
fn groups_and_subscriptions() {
    check(
        32,
        "g",
        "share.session.timeout.ms",
        "50000 8 [share.session.timeout.ms=50000 8, group.share.session.timeout.ms=45000 5]",
    );
    let heartbeat = "group.share.heartbeat.interval.ms";
    check(
        32,
        "g",
        "share.heartbeat.interval.ms",
        &format!("6000 4 [{heartbeat}=6000 4, {heartbeat}=5000 5]"),
    );
    check(
        32,
        "new",
        "share.isolation.level",
        "read_uncommitted 5 [share.isolation.level=read_uncommitted 5]",
    );
    check(16, "new", "interval.ms", "300000 5 []");
    refused(32, "", 42);
    refused(16, "", 42);
}

#[test]
fn loggers() {
    assert_eq!(describe(8, "3000", &[]).error_code, 0);
    refused(8, "1", 42);
    refused(8, "", 42);
    refused(8, "x", 42);
}

#[test]
fn an_unknown_type_spoils_the_request() {
    let resource = |kind| DescribeConfigsResource::default().with_resource_type(kind);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource(2), resource(77)]);
    let results = request.answer(&scene().ctx(4)).results;
    assert!(
        results.iter().all(|result| result.error_code == 42),
        "{results:?}"
    );
}
