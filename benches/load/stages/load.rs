//! Small writes against one controller, after a warm-up.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kafka_protocol::protocol::Request;

use super::BROKERS;
use super::topics::{Allocate, ONE, name};
use crate::client::{Client, PATIENCE};
use crate::fleet::Fleet;
use crate::observer::Observer;
use crate::plan::Size;
use crate::pressure::{Felt, Job, Pressure, press};
use crate::process;
use crate::report::Sheet;
use crate::stats::Samples;
use crate::subject::{Cluster, Site, Subject};

/// Pause before each creation whose way to an observer is timed: everything is at rest then.
const REST: Duration = Duration::from_millis(10);
/// The names of these topics begin above those of the closed loops.
const PROPAGATION_FIRST: u64 = 1 << 40;

pub(super) async fn measure(
    subject: Subject,
    site: &Site,
    size: &Size,
    sheet: &mut Sheet,
) -> Result<()> {
    let mut cluster = Cluster::start(site, subject, 1).await?;
    let fleet = Fleet::register(&mut cluster, BROKERS).await?;
    let bench = Bench {
        client: cluster.connect().await?,
        address: cluster.nodes[0].address.clone(),
        pid: cluster.nodes[0].pid(),
        size: *size,
        numbers: Arc::default(),
    };
    let allocate = Allocate(fleet.broker(0));
    let half = size.warm_up / 2;
    bench.press(64, 1, half, ONE).await?;
    bench.press(64, 1, half, allocate).await?;

    let (felt, _) = bench.press(1, 1, size.time, ONE).await?;
    sheet.note(subject, "create.1.p50", felt.latencies.ms(0.5));
    sheet.note(subject, "create.1.p99", felt.latencies.ms(0.99));
    let above = felt.latencies.ms(0.5) - 1.5 * sheet.last(subject, "floor.p50");
    sheet.note(subject, "create.1.above", above);
    let (felt, cpu) = bench.press(64, 1, size.time, ONE).await?;
    sheet.note(subject, "create.64", felt.per_second);
    sheet.note(subject, "create.64.p99", felt.latencies.ms(0.99));
    sheet.note(subject, "create.64.cpu", cpu);
    let (felt, _) = bench.press(8, 8, size.time, ONE).await?;
    sheet.note(subject, "create.8x8", felt.per_second);
    let (felt, _) = bench.press(1, 1, size.time, allocate).await?;
    sheet.note(subject, "allocate.1.p50", felt.latencies.ms(0.5));
    let (felt, cpu) = bench.press(64, 1, size.time, allocate).await?;
    sheet.note(subject, "allocate.64", felt.per_second);
    sheet.note(subject, "allocate.64.p99", felt.latencies.ms(0.99));
    sheet.note(subject, "allocate.64.cpu", cpu);

    let propagated = propagate(&cluster, size.propagations).await;
    let propagated = propagated.context("propagation")?;
    sheet.note(subject, "observer.p50", propagated.ms(0.5));
    sheet.note(subject, "observer.p99", propagated.ms(0.99));
    Ok(())
}

struct Bench {
    client: Client,
    address: String,
    pid: u32,
    size: Size,
    numbers: Arc<AtomicU64>,
}

impl Bench {
    /// What a closed loop feels, and the microseconds of processor time that the controller spends
    /// on each request of it.
    async fn press<J>(
        &self,
        connections: usize,
        depth: usize,
        time: Duration,
        job: J,
    ) -> Result<(Felt, f64)>
    where
        J: Job,
        <J::Request as Request>::Response: Send,
    {
        let pressure = Pressure {
            connections,
            depth,
            time,
            requests_max: self.size.requests_max,
        };
        let before = process::cpu_seconds(self.pid);
        let versions = self.client.versions();
        let felt = press(&self.address, versions, pressure, job, &self.numbers).await?;
        let busy = process::cpu_seconds(self.pid) - before;
        let each = busy * 1e6 / felt.latencies.len() as f64;
        Ok((felt, each))
    }
}

/// From sending CreateTopics to the committed record at an observer.
async fn propagate(cluster: &Cluster<'_>, times: usize) -> Result<Samples> {
    let address = &cluster.nodes[0].address;
    let mut observer = Observer::follow(address, &cluster.id).await?;
    let mut client = Client::connect(address).await?;
    let mut samples = Samples::default();
    for number in (PROPAGATION_FIRST..).take(times) {
        tokio::time::sleep(REST).await;
        let request = ONE.request(number);
        let name = name(number, 0);
        let began = Instant::now();
        let seen = tokio::time::timeout(PATIENCE, observer.see(name.as_bytes()));
        let (answer, seen) = tokio::join!(client.call(&request), seen);
        ONE.check(&answer?)?;
        samples.push(
            seen.context("the observer waits in vain")??
                .duration_since(began),
        );
    }
    Ok(samples)
}
