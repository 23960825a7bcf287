//! Every counter, gauge and timer by name. Whoever counts is handed an `Arc<Metrics>`; there are no
//! globals. What the published image and quorum say already (brokers, topics, offsets, leader) is
//! not counted again: the metrics page reads it there.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::clock::Ticks;
use crate::ids::BrokerId;

/// API numbers from 0 up to this one have metrics of their own; the rest share the last.
const API_KEY_MAX: usize = 127;

/// All that is counted on one node.
#[derive(Debug, Default)]
pub struct Metrics {
    apis: Apis,
    heartbeats: Mutex<BTreeMap<BrokerId, Ticks>>,

    /// Kafka connections accepted.
    pub connections_accepted: Counter,
    /// Kafka connections open now.
    pub connections: Gauge,
    /// Kafka connections closed because of what they sent.
    pub connections_faulted: Counter,
    /// Kafka connections refused or closed for want of a permit.
    pub connections_refused: Counter,
    connections_closed: [Counter; Closed::ALL.len()],

    /// Requests and chores that the controller began (`EventQueueOperationsStartedCount`).
    pub operations_started: Counter,
    /// Requests whose deadline passed in the mailbox (`EventQueueOperationsTimedOutCount`).
    pub operations_timed_out: Counter,
    /// Heartbeats among those (`TimedOutBrokerHeartbeatCount`).
    pub heartbeats_timed_out: Counter,
    /// Time in the mailbox (`EventQueueTimeMs`).
    pub queue_time: Timer,
    /// From the look at a write until it is committed (`EventQueueProcessingTimeMs`).
    pub processing_time: Timer,
    /// Time that the controller's loop spent working, in microseconds.
    pub busy_us: Counter,
    /// Faults of this node (`MetadataErrorCount`).
    pub faults: Counter,
    /// Times that a leader became known (`NewActiveControllersCount`).
    pub leaders_seen: Counter,
    /// Partitions whose leader was elected from outside the ISR (`UncleanLeaderElectionsPerSec`).
    pub unclean_elections: Counter,
    /// Partitions whose leader came from the eligible leader replicas.
    pub eligible_elections: Counter,

    /// From proposing a batch to its commit, on the leader.
    pub commit_latency: Timer,
    /// From losing a leader to knowing the next.
    pub election_latency: Timer,

    /// Snapshots that were loaded (`HandleLoadSnapshotCount`).
    pub snapshots_loaded: Counter,
}

impl Metrics {
    /// What is counted of one API.
    pub fn api(&self, key: i16) -> &Api {
        let last = self.apis.0.len() - 1;
        &self.apis.0[usize::try_from(key).unwrap_or(last).min(last)]
    }
    /// Notes that a Kafka connection ended.
    pub fn connection_closed(&self, why: Closed) {
        self.connections.add(-1);
        self.connections_closed[why as usize].inc();
        match why {
            Closed::Evicted => self.connections_refused.inc(),
            _ if why.is_fault() => self.connections_faulted.inc(),
            _ => {}
        }
    }
    /// How many Kafka connections ended for this reason.
    pub fn connections_closed(&self, why: Closed) -> u64 {
        self.connections_closed[why as usize].get()
    }
    /// Notes a sign of life from a broker.
    pub fn heard_from(&self, broker: BrokerId, at: Ticks) {
        self.heard().insert(broker, at);
    }
    /// When each broker was heard from last, as far as it was here.
    pub fn heartbeats(&self) -> BTreeMap<BrokerId, Ticks> {
        self.heard().clone()
    }
    fn heard(&self) -> std::sync::MutexGuard<'_, BTreeMap<BrokerId, Ticks>> {
        self.heartbeats
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Why a Kafka connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The client closed it.
    ByClient,
    /// Reading or writing failed.
    Io,
    /// No whole request came for `connections.max.idle.ms`.
    Idle,
    /// The listener was full, and of the strangers this one had been silent longest.
    Evicted,
    /// The node stops.
    Stopping,
    /// The answer is an error, and the client asked for no answer.
    NoAnswerWanted,
    /// The node gives no answers now: its quorum does not hear it.
    NotNow,
    /// A length below zero or above the longest frame.
    FrameLength,
    /// The request header cannot be read.
    Header,
    /// No API has this number.
    UnknownApi,
    /// The API is not answered, or not in this version.
    UnsupportedVersion,
    /// The body is not a request of its API and version.
    Malformed,
    /// Big requests of all connections together would take too much memory.
    Memory,
    /// A peer's frame was refused.
    Peer,
    /// An answer panicked or could not be encoded.
    Failed,
}

impl Closed {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::ByClient,
        Self::Io,
        Self::Idle,
        Self::Evicted,
        Self::Stopping,
        Self::NoAnswerWanted,
        Self::NotNow,
        Self::FrameLength,
        Self::Header,
        Self::UnknownApi,
        Self::UnsupportedVersion,
        Self::Malformed,
        Self::Memory,
        Self::Peer,
        Self::Failed,
    ];

    /// Whether what the client sent was the reason.
    pub fn is_fault(self) -> bool {
        self as usize >= Self::FrameLength as usize
    }
}

/// What is counted of one API (`kafka.network:type=RequestMetrics`).
#[derive(Debug, Default)]
pub struct Api {
    /// Requests answered.
    pub requests: Counter,
    /// Answers that hold an error.
    pub errors: Counter,
    /// From the whole frame's arrival to its answer's.
    pub time: Timer,
}

#[derive(Debug)]
struct Apis(Vec<Api>);

impl Default for Apis {
    fn default() -> Self {
        Self(
            std::iter::repeat_with(Api::default)
                .take(API_KEY_MAX + 1)
                .collect(),
        )
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }
    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
    /// The count now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }
    /// Changes it by so much.
    pub fn add(&self, change: i64) {
        self.0.fetch_add(change, Ordering::Relaxed);
    }
    /// Its value now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Times since the process began: count, sum, greatest, and quantiles within a tenth.
///
/// Eight buckets per power of two of microseconds, up to 71 minutes. They are made at the first
/// time noted, so that an API nobody calls costs nothing.
#[derive(Debug, Default)]
pub struct Timer {
    buckets: std::sync::OnceLock<Vec<AtomicU64>>,
    count: Counter,
    sum_us: Counter,
    max_us: AtomicU64,
}

const BUCKETS: usize = 8 * 33;

impl Timer {
    /// Notes one duration.
    pub fn note_us(&self, us: i64) {
        let us = u64::try_from(us).unwrap_or(0).min(u64::from(u32::MAX));
        let buckets = self.buckets.get_or_init(|| {
            std::iter::repeat_with(AtomicU64::default)
                .take(BUCKETS)
                .collect()
        });
        buckets[bucket(us)].fetch_add(1, Ordering::Relaxed);
        self.count.inc();
        self.sum_us.add(us);
        self.max_us.fetch_max(us, Ordering::Relaxed);
    }
    /// Notes the time from one moment to another.
    pub fn note(&self, from: Ticks, to: Ticks) {
        self.note_us(to.0.saturating_sub(from.0));
    }
    /// How many were noted.
    pub fn count(&self) -> u64 {
        self.count.get()
    }
    /// Their sum in milliseconds.
    pub fn sum_ms(&self) -> f64 {
        self.sum_us.get() as f64 / 1000.0
    }
    /// Their mean in milliseconds; 0 where none was noted.
    pub fn mean_ms(&self) -> f64 {
        self.sum_ms() / self.count().max(1) as f64
    }
    /// The greatest in milliseconds.
    pub fn max_ms(&self) -> f64 {
        self.max_us.load(Ordering::Relaxed) as f64 / 1000.0
    }
    /// The duration in milliseconds that this share (0 to 1) of them does not exceed.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let Some(buckets) = self.buckets.get() else {
            return 0.0;
        };
        let rank = (share * self.count() as f64).ceil() as u64;
        let mut seen = 0;
        for (index, bucket) in buckets.iter().enumerate() {
            seen += bucket.load(Ordering::Relaxed);
            if seen >= rank && seen > 0 {
                return (bucket_end_us(index) as f64 / 1000.0).min(self.max_ms());
            }
        }
        self.max_ms()
    }
}

/// The bucket of a duration: its power of two, and its next three bits.
fn bucket(us: u64) -> usize {
    if us < 8 {
        return us as usize;
    }
    let power = us.ilog2() as usize;
    (power - 2) * 8 + ((us >> (power - 3)) & 7) as usize
}

/// The greatest duration in a bucket.
fn bucket_end_us(index: usize) -> u64 {
    if index < 8 {
        return index as u64;
    }
    let (power, eighth) = (index / 8 + 2, index as u64 % 8);
    ((8 + eighth + 1) << (power - 3)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_all_durations_without_a_gap() {
        for us in (0..5000).chain([1 << 20, (1 << 31) + 7, u64::from(u32::MAX)]) {
            let index = bucket(us);
            assert!(
                index < BUCKETS && us <= bucket_end_us(index),
                "{us} in {index}"
            );
            assert!(
                index == 0 || us > bucket_end_us(index - 1),
                "{us} in {index}"
            );
        }
    }

    #[test]
    fn quantiles_are_within_a_tenth_or_so() {
        let timer = Timer::default();
        assert_eq!(timer.quantile_ms(0.99), 0.0);
        (1..=1000).for_each(|ms| timer.note_us(ms * 1000));
        assert_eq!(
            (timer.count(), timer.max_ms(), timer.mean_ms()),
            (1000, 1000.0, 500.5)
        );
        for share in [0.5, 0.9, 0.99, 1.0] {
            let error = timer.quantile_ms(share) / (share * 1000.0) - 1.0;
            assert!((-0.01..0.13).contains(&error), "{share}: off by {error}");
        }
    }

    #[test]
    fn every_reason_has_its_own_place() {
        let metrics = Metrics::default();
        for (place, why) in Closed::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, place);
            metrics.connection_closed(why);
            assert_eq!(metrics.connections_closed(why), 1);
        }
        assert_eq!(metrics.connections_faulted.get(), 8);
        assert_eq!(metrics.connections_refused.get(), 1);
    }

    #[test]
    fn every_api_number_has_a_place() {
        let metrics = Metrics::default();
        for key in [0, 67, 127, 128, i16::MAX, -1] {
            metrics.api(key).requests.inc();
        }
        assert_eq!(metrics.api(1000).requests.get(), 4);
    }
}
