//! `/metrics`: what Kafka's controllers tell by JMX, as far as it exists without a JVM, in the names
//! that dashboards know.
//!
//! There are two families of names, after the two configurations of the JMX exporter that most
//! dashboards were made with; every value comes in both:
//!
//! | Kafka's MBean | Strimzi's names (and the exporter's own example) | Bitnami's names |
//! |---|---|---|
//! | `kafka.controller:type=KafkaController,name=X` | `kafka_controller_kafkacontroller_x` | `…_x_value` |
//! | `…,name=XPerSec` (a meter) | `…_x_total` | `…_xpersec_count` |
//! | `…,name=X` (a histogram) | `…_x_count`, `…_x{quantile="0.99"}` | `…_x_count`, `…_x_99thpercentile` |
//! | `kafka.server:type=raft-metrics`, attribute `x-y` | `kafka_server_raftmetrics_x_y` | `kafka_server_raft_metrics_x_y` |
//!
//! YAKt's own counts begin with `yakt_`. Left out, because there is no such thing here: idle ratios
//! of threads that YAKt does not have, client channels' metrics, mutation quotas.

mod page;

use std::sync::{Arc, Mutex};

use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use kafka_protocol::messages::ApiKey;

use super::Doors;
use super::original::role;
use crate::clock::Ticks;
use crate::feed::Published;
use crate::ids::{BrokerId, Offset};
use crate::image::Broker;
use crate::metrics::{Closed, Metrics};
use crate::rules::features::FEATURES;
use page::{Page, label};

/// Rates are taken over at least this long.
const RATE_WINDOW_MS: i64 = 1000;

/// `GET /metrics`.
pub(super) async fn page(
    State(doors): State<Doors>,
    Extension(rates): Extension<Arc<Rates>>,
) -> impl IntoResponse {
    let now = doors.now();
    let mut page = Page::default();
    controller(&mut page, &doors, &now);
    let rate = rates.since_last(&doors, &now);
    event_manager(&mut page, &doors.metrics, rate);
    raft(&mut page, &doors, &now, rate);
    loader_and_snapshots(&mut page, &doors, &now);
    requests(&mut page, &doors.metrics);
    own(&mut page, &doors);
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        page.text(),
    )
}

/// `kafka.controller:type=KafkaController` and `ControllerStats`.
fn controller(page: &mut Page, doors: &Doors, now: &Published) {
    let (image, quorum, metrics) = (&now.image, &now.quorum, &doors.metrics);
    let count = |is: fn(&Broker) -> bool| image.brokers().filter(|it| is(it)).count() as f64;
    let counts = image.counts();
    let end = image.end_offset() as f64;
    let static_voters_ignored = !doors.settings.controller_quorum_voters.is_empty()
        && image.features().kraft_version() >= 1;
    let gauges = [
        ("ActiveControllerCount", f64::from(u8::from(quorum.active))),
        ("ActiveBrokerCount", count(|it| !it.fenced)),
        ("FencedBrokerCount", count(|it| it.fenced)),
        (
            "ControlledShutdownBrokerCount",
            count(|it| it.in_controlled_shutdown),
        ),
        ("GlobalTopicCount", counts.topics as f64),
        ("GlobalPartitionCount", counts.partitions as f64),
        ("OfflinePartitionsCount", counts.leaderless as f64),
        (
            "PreferredReplicaImbalanceCount",
            counts.not_preferred as f64,
        ),
        ("MetadataErrorCount", metrics.faults.get() as f64),
        (
            "IgnoredStaticVoters",
            f64::from(u8::from(static_voters_ignored)),
        ),
        ("LastAppliedRecordOffset", end - 1.0),
        ("LastCommittedRecordOffset", end - 1.0),
        ("LastAppliedRecordTimestamp", image.last_time() as f64),
        (
            "LastAppliedRecordLagMs",
            (doors.clock.now() - image.last_time()).max(0) as f64,
        ),
        (
            "TimedOutBrokerHeartbeatCount",
            metrics.heartbeats_timed_out.get() as f64,
        ),
        (
            "EventQueueOperationsStartedCount",
            metrics.operations_started.get() as f64,
        ),
        (
            "EventQueueOperationsTimedOutCount",
            metrics.operations_timed_out.get() as f64,
        ),
        (
            "NewActiveControllersCount",
            metrics.leaders_seen.get() as f64,
        ),
    ];
    for (name, value) in gauges {
        page.gauge(
            "controller",
            "KafkaController",
            name,
            [(String::new(), value)],
        );
    }
    let states = image
        .brokers()
        .map(|it| (broker_label(it.id), f64::from(registration_state(it))));
    page.gauge(
        "controller",
        "KafkaController",
        "BrokerRegistrationState",
        states,
    );
    if quorum.active {
        let (heard, ticks) = (metrics.heartbeats(), doors.clock.ticks());
        let longest = doors.settings.broker_session_timeout_ms;
        let silence = image.brokers().filter_map(|it| {
            let at = heard.get(&it.id)?;
            Some((
                broker_label(it.id),
                ticks.ms_since(*at).clamp(0, longest) as f64,
            ))
        });
        page.gauge(
            "controller",
            "KafkaController",
            "TimeSinceLastHeartbeatReceivedMs",
            silence,
        );
    }
    let unclean = metrics.unclean_elections.get() as f64;
    let eligible = metrics.eligible_elections.get() as f64;
    let meters = [
        ("UncleanLeaderElections", unclean),
        ("ElectionFromEligibleLeaderReplicas", eligible),
    ];
    for (name, value) in meters {
        page.meter(
            "controller",
            "ControllerStats",
            name,
            [(String::new(), value)],
        );
    }
}

/// `ControllerMetadataMetrics.BrokerRegistrationState`, 4.3.1.
fn registration_state(broker: &Broker) -> u8 {
    match (broker.fenced, broker.in_controlled_shutdown) {
        (true, _) => 10,
        (false, true) => 20,
        (false, false) => 30,
    }
}

fn broker_label(id: BrokerId) -> String {
    label("broker", &id.0.to_string())
}

/// `kafka.controller:type=ControllerEventManager`.
fn event_manager(page: &mut Page, metrics: &Metrics, rates: Rate) {
    let timers = [
        ("EventQueueTimeMs", &metrics.queue_time),
        ("EventQueueProcessingTimeMs", &metrics.processing_time),
    ];
    for (name, timer) in timers {
        page.histogram(
            "controller",
            "ControllerEventManager",
            name,
            &[(String::new(), timer)],
        );
    }
    let idle = [(String::new(), rates.idle)];
    page.gauge("controller", "ControllerEventManager", "AvgIdleRatio", idle);
}

/// `kafka.server:type=raft-metrics`.
fn raft(page: &mut Page, doors: &Doors, now: &Published, rates: Rate) {
    let (image, quorum, metrics) = (&now.image, &now.quorum, &doors.metrics);
    page.attribute(
        "raft-metrics",
        "current-state",
        [(label("current_state", role(now)), 1.0)],
    );
    let mut attributes = vec![
        (
            "current-leader",
            quorum.leader.map_or(-1.0, |leader| f64::from(leader.0)),
        ),
        // A raft vote names the leader it was given to.
        (
            "current-vote",
            quorum.leader.map_or(-1.0, |leader| f64::from(leader.0)),
        ),
        ("current-epoch", f64::from(quorum.epoch)),
        ("high-watermark", image.end_offset() as f64),
        ("log-end-offset", image.end_offset() as f64),
        ("log-end-epoch", f64::from(image.last_epoch())),
        ("number-of-voters", quorum.voters.len() as f64),
        ("number-unknown-voter-connections", 0.0),
        ("commit-latency-avg", metrics.commit_latency.mean_ms()),
        ("commit-latency-max", metrics.commit_latency.max_ms()),
        ("election-latency-avg", metrics.election_latency.mean_ms()),
        ("election-latency-max", metrics.election_latency.max_ms()),
        // What the log grows by, a leader appends and all others fetch.
        (
            "append-records-rate",
            if quorum.active { rates.records } else { 0.0 },
        ),
        (
            "fetch-records-rate",
            if quorum.active { 0.0 } else { rates.records },
        ),
    ];
    if quorum.active {
        let replicas = doors.replicas(now);
        let observers = replicas.iter().filter(|it| !quorum.is_voter(it.id)).count();
        attributes.push(("number-of-observers", observers as f64));
        // The voters as the log has them follow those that raft has committed.
        let changing = image.features().voters() != &quorum.voters;
        attributes.push(("uncommitted-voter-change", f64::from(u8::from(changing))));
    }
    for (name, value) in attributes {
        page.attribute("raft-metrics", name, [(String::new(), value)]);
    }
}

/// `kafka.server:type=MetadataLoader`, `SnapshotEmitter`, `node-metrics`, `ControllerServer`.
fn loader_and_snapshots(page: &mut Page, doors: &Doors, now: &Published) {
    let (image, metrics) = (&now.image, &doors.metrics);
    let version = image.features().metadata_version().map_or(-1.0, f64::from);
    let leader = now.quorum.leader.map_or(-1.0, |leader| f64::from(leader.0));
    let (snapshot_bytes, snapshot_age) = newest_snapshot(doors, now);
    let gauges = [
        ("MetadataLoader", "CurrentMetadataVersion", version),
        ("MetadataLoader", "CurrentControllerId", leader),
        (
            "MetadataLoader",
            "HandleLoadSnapshotCount",
            metrics.snapshots_loaded.get() as f64,
        ),
        (
            "SnapshotEmitter",
            "LatestSnapshotGeneratedBytes",
            snapshot_bytes,
        ),
        (
            "SnapshotEmitter",
            "LatestSnapshotGeneratedAgeMs",
            snapshot_age,
        ),
    ];
    for (kind, name, value) in gauges {
        page.gauge("server", kind, name, [(String::new(), value)]);
    }
    let levels = image.features().iter();
    let levels =
        levels.map(|(name, level, _)| (label("featureName", &camel_case(name)), f64::from(level)));
    page.gauge("server", "MetadataLoader", "FinalizedLevel", levels);
    let supported = |level: fn(&crate::rules::features::Feature) -> i16| {
        let row = move |it| (label("feature_name", &dashed(it)), f64::from(level(it)));
        FEATURES.iter().map(row)
    };
    page.attribute(
        "node-metrics",
        "maximum-supported-level",
        supported(|it| it.max),
    );
    page.attribute(
        "node-metrics",
        "minimum-supported-level",
        supported(|it| it.min),
    );
    if let Some((read, written)) = disk_bytes() {
        page.gauge(
            "server",
            "ControllerServer",
            "linux-disk-read-bytes",
            [(String::new(), read)],
        );
        let written = [(String::new(), written)];
        page.gauge(
            "server",
            "ControllerServer",
            "linux-disk-write-bytes",
            written,
        );
    }
}

/// Size of the newest snapshot, and how many milliseconds ago it was finished; zeros before the first.
fn newest_snapshot(doors: &Doors, now: &Published) -> (f64, f64) {
    let Some(snapshot) = now.snapshots.last() else {
        return (0.0, 0.0);
    };
    let finished = std::fs::metadata(snapshot.path()).and_then(|file| file.modified());
    let since_1970 = finished
        .ok()
        .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let age = since_1970.map_or(0, |it| doors.clock.now() - it.as_millis() as i64);
    (snapshot.bytes() as f64, age.max(0) as f64)
}

/// `metadata.version` as `metadataVersion`.
fn camel_case(name: &str) -> String {
    let mut parts = name.split('.');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, part| {
        let (head, tail) = part.split_at_checked(1).unwrap_or((part, ""));
        whole + &head.to_ascii_uppercase() + tail
    })
}

/// `metadata.version` as `metadata-version`.
fn dashed(feature: &crate::rules::features::Feature) -> String {
    feature.name.replace('.', "-")
}

/// What this process read from and wrote to disks, as Linux counts it.
fn disk_bytes() -> Option<(f64, f64)> {
    let text = std::fs::read_to_string("/proc/self/io").ok()?;
    let value = |name: &str| -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    Some((value("read_bytes:")?, value("write_bytes:")?))
}

/// `kafka.network:type=RequestMetrics`, of the APIs that were asked for.
fn requests(page: &mut Page, metrics: &Metrics) {
    let asked: Vec<_> = (0..=i16::from(i8::MAX))
        .filter_map(|key| Some((ApiKey::try_from(key).ok()?, metrics.api(key))))
        .filter(|(_, api)| api.requests.get() > 0)
        .map(|(key, api)| (label("request", &format!("{key:?}")), api))
        .collect();
    let requests = asked
        .iter()
        .map(|(label, api)| (label.clone(), api.requests.get() as f64));
    page.meter("network", "RequestMetrics", "Requests", requests);
    let errors = asked
        .iter()
        .map(|(label, api)| (label.clone(), api.errors.get() as f64));
    page.meter("network", "RequestMetrics", "Errors", errors);
    let times: Vec<_> = asked
        .iter()
        .map(|(label, api)| (label.clone(), &api.time))
        .collect();
    page.histogram("network", "RequestMetrics", "TotalTimeMs", &times);
}

/// YAKt's own.
fn own(page: &mut Page, doors: &Doors) {
    let metrics = &doors.metrics;
    page.one(
        "yakt_connections",
        "gauge",
        [(String::new(), metrics.connections.get() as f64)],
    );
    let accepted = metrics.connections_accepted.get() as f64;
    page.one(
        "yakt_connections_accepted_total",
        "counter",
        [(String::new(), accepted)],
    );
    let closed = Closed::ALL.map(|why| {
        let why_label = label("reason", &format!("{why:?}").to_ascii_lowercase());
        (why_label, metrics.connections_closed(why) as f64)
    });
    page.one("yakt_connections_closed_total", "counter", closed);
    let ahead = doors.feed.observers().ahead(doors.clock.ticks()).len() as f64;
    page.one("yakt_replicas_ahead", "gauge", [(String::new(), ahead)]);
}

/// Rates since the page was asked for last, or a little longer.
#[derive(Default)]
pub(super) struct Rates(Mutex<Window>);

#[derive(Default)]
struct Window {
    from: Option<Counted>,
    rate: Rate,
}

/// Counts at a moment.
#[derive(Clone, Copy)]
struct Counted {
    at: Ticks,
    busy_us: u64,
    end: Offset,
}

/// What they came to, per second, and which share of the time the controller was idle.
#[derive(Clone, Copy)]
struct Rate {
    idle: f64,
    records: f64,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            idle: 1.0,
            records: 0.0,
        }
    }
}

impl Rates {
    fn since_last(&self, doors: &Doors, published: &Published) -> Rate {
        let now = Counted {
            at: doors.clock.ticks(),
            busy_us: doors.metrics.busy_us.get(),
            end: published.image.end_offset(),
        };
        let mut window = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let from = *window.from.get_or_insert(now);
        let ms = now.at.ms_since(from.at);
        if ms >= RATE_WINDOW_MS {
            let records = (now.end - from.end).max(0) as f64 * 1000.0 / ms as f64;
            let busy = now.busy_us.saturating_sub(from.busy_us) as f64 / (ms as f64 * 1000.0);
            window.rate = Rate {
                idle: (1.0 - busy).clamp(0.0, 1.0),
                records,
            };
            window.from = Some(now);
        }
        window.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feature_names_are_spelled_as_kafka_spells_them() {
        assert_eq!(camel_case("metadata.version"), "metadataVersion");
        assert_eq!(
            camel_case("eligible.leader.replicas.version"),
            "eligibleLeaderReplicasVersion"
        );
        assert_eq!(dashed(&FEATURES[0]), "metadata-version");
    }
}
