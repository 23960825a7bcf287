//! Closed loops: so many connections, each with so many requests under way all the time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kafka_protocol::protocol::Request;

use crate::client::{Client, PATIENCE, Versions};
use crate::stats::Samples;

/// How hard to press, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pressure {
    pub(crate) connections: usize,
    pub(crate) depth: usize,
    pub(crate) time: Duration,
    pub(crate) requests_max: u64,
}

/// What came of it.
pub(crate) struct Felt {
    pub(crate) per_second: f64,
    pub(crate) latencies: Samples,
}

/// A kind of request: made from its number, and its answer looked at.
pub(crate) trait Job: Copy + Send + Sync + 'static {
    type Request: Request + Send + Sync;
    fn request(self, number: u64) -> Self::Request;
    fn check(self, answer: &<Self::Request as Request>::Response) -> Result<()>;
}

/// Presses on one controller. The first request that is not answered well ends it with an error.
pub(crate) async fn press<J>(
    address: &str,
    versions: &Arc<Versions>,
    pressure: Pressure,
    job: J,
    numbers: &Arc<AtomicU64>,
) -> Result<Felt>
where
    J: Job,
    <J::Request as Request>::Response: Send,
{
    let mut clients = Vec::new();
    for _ in 0..pressure.connections {
        clients.push(Client::connect_as(address, versions).await?);
    }
    let until = numbers.load(Ordering::Relaxed) + pressure.requests_max;
    let began = Instant::now();
    let end = began + pressure.time;
    let mut workers = tokio::task::JoinSet::new();
    for client in clients {
        let numbers = Arc::clone(numbers);
        workers.spawn(work(client, pressure.depth, end, until, job, numbers));
    }
    let mut latencies = Samples::default();
    let all = async {
        while let Some(done) = workers.join_next().await {
            latencies.append(done??);
        }
        anyhow::Ok(())
    };
    let bounded = tokio::time::timeout(pressure.time + PATIENCE, all).await;
    bounded.context("answers stay out")??;
    let per_second = latencies.len() as f64 / began.elapsed().as_secs_f64();
    Ok(Felt {
        per_second,
        latencies,
    })
}

async fn work<J: Job>(
    mut client: Client,
    depth: usize,
    end: Instant,
    until: u64,
    job: J,
    numbers: Arc<AtomicU64>,
) -> Result<Samples> {
    let mut latencies = Samples::default();
    let mut under_way = VecDeque::with_capacity(depth);
    loop {
        let now = Instant::now();
        while under_way.len() < depth && now < end {
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            if number >= until {
                break;
            }
            client.begin(&job.request(number))?;
            under_way.push_back(now);
        }
        client.send().await?;
        if under_way.is_empty() {
            return Ok(latencies);
        }
        // Everything that has arrived is taken before more is sent, as a pipelining client would.
        while let Some(sent) = under_way.pop_front() {
            let answer = client.answer::<J::Request>().await?;
            latencies.push(sent.elapsed());
            job.check(&answer)?;
            if !client.has_answer() {
                break;
            }
        }
    }
}
