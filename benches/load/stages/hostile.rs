//! Connections that announce a big frame and send nothing more, while a canary goes on working.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::BROKERS;
use crate::client::Client;
use crate::fleet::{Broker, Fleet};
use crate::plan::Size;
use crate::process;
use crate::report::Sheet;
use crate::stats::Samples;
use crate::subject::{Cluster, Site, Subject};

const CONNECTIONS: usize = 64;
/// Below the limit of both subjects, so that neither refuses it at sight.
const ANNOUNCED_BYTES: i32 = 99_000_000;
/// Between two requests of the canary.
const CANARY_PAUSE: Duration = Duration::from_millis(20);
/// How long the canary waits for an answer.
const CANARY_PATIENCE: Duration = Duration::from_millis(1_000);

pub(super) async fn measure(
    subject: Subject,
    site: &Site,
    size: &Size,
    sheet: &mut Sheet,
) -> Result<()> {
    let mut cluster = Cluster::start(site, subject, 1).await?;
    let fleet = Fleet::register(&mut cluster, BROKERS).await?;
    let client = cluster.connect().await?;
    let node = &cluster.nodes[0];
    // What a few ordinary requests make grow is not the attack's.
    let mut canary = Canary::new(client, &node.address, fleet.broker(0));
    canary.sing(node.pid(), Duration::from_secs(1)).await;
    let before = process::resident_mb(node.pid());
    let (sung, errors) = (canary.latencies.len(), canary.errors);

    let mut attackers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(&node.address).await?;
        stream.write_all(&ANNOUNCED_BYTES.to_be_bytes()).await?;
        attackers.push(stream);
    }
    let most = canary.sing(node.pid(), size.hostile).await;
    drop(attackers);
    sheet.note(subject, "hostile.rss", most - before);
    sheet.note(subject, "hostile.errors", (canary.errors - errors) as f64);
    sheet.note(
        subject,
        "hostile.answers",
        (canary.latencies.len() - sung) as f64,
    );
    Ok(())
}

/// Somebody who wants nothing but to be served: by turns over its own connection and over a new one.
struct Canary {
    client: Option<Client>,
    address: String,
    broker: Broker,
    latencies: Samples,
    errors: usize,
}

impl Canary {
    fn new(client: Client, address: &str, broker: Broker) -> Self {
        Self {
            client: Some(client),
            address: address.to_owned(),
            broker,
            latencies: Samples::default(),
            errors: 0,
        }
    }

    /// Asks for so long, and gives back the most resident memory seen, in MB.
    async fn sing(&mut self, pid: u32, time: Duration) -> f64 {
        let (began, mut most, mut fresh) = (Instant::now(), 0.0_f64, false);
        while began.elapsed() < time {
            if fresh {
                self.client = None;
            }
            fresh = !fresh;
            let asked = Instant::now();
            match tokio::time::timeout(CANARY_PATIENCE, self.ask()).await {
                Ok(Ok(())) => self.latencies.push(asked.elapsed()),
                _ => {
                    self.errors += 1;
                    self.client = None;
                }
            }
            most = most.max(process::resident_mb(pid));
            tokio::time::sleep(CANARY_PAUSE).await;
        }
        most
    }

    async fn ask(&mut self) -> Result<()> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(&self.address).await?,
        };
        let answer = client.call(&self.broker.allocation()).await?;
        self.client = Some(client);
        crate::client::ok(answer.error_code)
    }
}
