use super::*;

fn load(file: &str, environment: &[(&str, &str)], overrides: &[&str]) -> anyhow::Result<Settings> {
    let mut given = parse_properties(file.as_bytes())?;
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    given.extend(from_environment(environment));
    for text in overrides {
        let (key, value) = text.split_once('=').expect("tests write key=value");
        given.insert(key.to_owned(), value.to_owned());
    }
    Settings::from_given(given)
}

#[track_caller]
fn refused(file: &str, expected: &str) {
    let error = load(file, &[], &[]).expect_err("must be refused");
    assert_eq!(format!("{error:#}"), expected);
}

#[test]
fn later_sources_win() {
    let file = "node.id=1\nnum.partitions = 2\ndefault.replication.factor: 3\n";
    let environment = [
        ("KAFKA_NUM_PARTITIONS", "4"),
        ("KAFKA_DEFAULT_REPLICATION_FACTOR", "5"),
    ];
    let settings = load(file, &environment, &["default.replication.factor=6"]).expect("valid");
    let found = (
        settings.node_id.0,
        settings.num_partitions,
        settings.default_replication_factor,
    );
    assert_eq!(found, (1, 4, 6));
    assert_eq!(settings.given["default.replication.factor"], "6");
    assert_eq!(settings.notes, Vec::<String>::new());
}

#[test]
fn only_known_names_of_the_environment_count() {
    let strange = [
        ("YAKT_PORT", "tcp://10.0.0.1:80"),
        ("KAFKA_HEAP_OPTS", "-Xmx1G"),
        ("NODE_ID", "5"),
    ];
    let settings = load("", &strange, &[]).expect("valid");
    assert_eq!(settings.given, BTreeMap::new());
}

#[test]
fn nothing_given_is_the_embedded_default() {
    let settings = load("", &[], &[]).expect("valid");
    assert_eq!(
        format!("{settings:?}"),
        format!("{:?}", Settings::default())
    );
    assert_eq!(settings.bootstrap_server(), "127.0.0.1:9093");
}

#[test]
fn a_wrong_value_stops_the_start_with_key_value_and_what_is_allowed() {
    refused(
        "num.partitions=0",
        "num.partitions=0: it must be a whole number from 1 to 2147483647",
    );
    refused(
        "node.id=-1",
        "node.id=-1: it must be a whole number from 0 to 2147483647",
    );
    refused(
        "auto.leader.rebalance.enable=yes",
        "auto.leader.rebalance.enable=yes: it must be true or false",
    );
    refused(
        "process.roles=broker,controller",
        "process.roles=broker,controller: YAKt is a controller; it must be controller, and brokers run beside it",
    );
    refused(
        "yakt.histroy=1",
        "yakt.histroy=1: there is no such key; known are yakt.http.listeners, yakt.http.writes, \
         yakt.history.retention.ms, yakt.history.retention.bytes",
    );
    refused(
        "yakt.history.retention.ms=-2",
        "yakt.history.retention.ms=-2: it must be a whole number of at least -1",
    );
    refused(
        "node.id=3\ncontroller.quorum.voters=1@a:1,2@b:2",
        "node.id=3: it must be one of controller.quorum.voters=1@a:1,2@b:2",
    );
    refused(
        "controller.listener.names=CTRL",
        "controller.listener.names=CTRL: its first name must be one of listeners",
    );
    refused(
        "listeners=CONTROLLER://:9093,PLAINTEXT://:9092",
        "listeners=PLAINTEXT: a controller may only have listeners that controller.listener.names names",
    );
    refused(
        "listener.security.protocol.map=CONTROLLER:SSL",
        "listener.security.protocol.map=CONTROLLER:SSL: this version speaks PLAINTEXT only",
    );
    refused(
        "listener.security.protocol.map=OTHER:PLAINTEXT",
        "listener.security.protocol.map: it must say which protocol CONTROLLER speaks",
    );
    refused(
        "controller.quorum.fetch.timeout.ms=100",
        "controller.quorum.fetch.timeout.ms=100: it must be at least 180, three heartbeats of the quorum",
    );
    refused(
        "bad=\\u12",
        "Malformed \\uxxxx encoding: not enough digits. (line_number = 1)",
    );
}

#[test]
fn the_election_timeout_gives_rafts_three_times() {
    let settings = load("controller.quorum.election.timeout.ms=1000", &[], &[]).expect("valid");
    let times = (
        settings.raft_heartbeat_ms,
        settings.raft_election_min_ms,
        settings.raft_election_max_ms,
    );
    assert_eq!(times, (166, 500, 1000));
    assert_eq!(settings.notes.len(), 1);
}

#[test]
fn http_may_write_by_default_only_on_loopback() {
    let writes = |file: &str| load(file, &[], &[]).expect("valid").yakt_http_writes;
    assert!(writes(""));
    assert!(writes("yakt.http.listeners="));
    assert!(writes(
        "yakt.http.listeners=http://[::1]:80,http://localhost:81"
    ));
    assert!(!writes(
        "yakt.http.listeners=http://127.0.0.1:80,http://0.0.0.0:81"
    ));
    assert!(writes(
        "yakt.http.listeners=http://:80\nyakt.http.writes=true"
    ));
    assert!(!writes("yakt.http.writes=false"));
}

#[test]
fn the_metadata_directory() {
    let dirs = |file: &str| {
        let settings = load(file, &[], &[]).expect("valid");
        (settings.metadata_log_dir, settings.log_dirs.len())
    };
    assert_eq!(dirs(""), ("yakt-data".into(), 1));
    assert_eq!(dirs("log.dirs=a, b"), ("a".into(), 2));
    assert_eq!(dirs("log.dir=a"), ("a".into(), 1));
    assert_eq!(dirs("log.dir=z\nlog.dirs=a"), ("a".into(), 1));
    assert_eq!(dirs("log.dirs=a\nmetadata.log.dir=m"), ("m".into(), 1));
}

#[test]
fn keys_without_use_are_named_once() {
    let settings = load(
        "log.cleaner.threads=2\nnum.io.threads=8\nnode.id=1",
        &[],
        &[],
    )
    .expect("valid");
    assert_eq!(
        settings.notes,
        ["ignored, since YAKt has no use for them: log.cleaner.threads, num.io.threads"]
    );
    assert_eq!(settings.given["num.io.threads"], "8");
}

#[test]
fn others_reach_this_node_by_its_advertised_listener() {
    let file =
        "listeners=CONTROLLER://0.0.0.0:9093\nadvertised.listeners=CONTROLLER://[fe80::1]:9193";
    assert_eq!(
        load(file, &[], &[]).expect("valid").bootstrap_server(),
        "[fe80::1]:9193"
    );
    assert_eq!(
        load("listeners=CONTROLLER://:9093", &[], &[])
            .expect("valid")
            .bootstrap_server(),
        "localhost:9093"
    );
}
