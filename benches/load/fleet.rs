//! Brokers made of nothing but frames: they register, send heartbeats, and are unfenced.

use std::time::Duration;

use anyhow::{Result, bail};
use kafka_protocol::messages::broker_registration_request::{Feature, Listener};
use kafka_protocol::messages::{
    AllocateProducerIdsRequest, BrokerHeartbeatRequest, BrokerId, BrokerRegistrationRequest,
};
use kafka_protocol::protocol::StrBytes;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::client::{Client, ok};
use crate::subject::Cluster;

const HEARTBEAT: Duration = Duration::from_secs(2);
/// Requests until a broker must be registered, and unfenced.
const ATTEMPTS_MAX: usize = 1_000;
/// Between two of them.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Brokers 1, 2, … Dropping the fleet silences them.
pub(crate) struct Fleet {
    brokers: Vec<Broker>,
    beating: JoinHandle<()>,
}

/// A broker as its controller knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broker {
    pub(crate) id: BrokerId,
    pub(crate) epoch: i64,
}

impl Broker {
    /// A request of this broker's for a block of producer ids.
    pub(crate) fn allocation(self) -> AllocateProducerIdsRequest {
        AllocateProducerIdsRequest::default()
            .with_broker_id(self.id)
            .with_broker_epoch(self.epoch)
    }

    fn heartbeat(self) -> BrokerHeartbeatRequest {
        BrokerHeartbeatRequest::default()
            .with_broker_id(self.id)
            .with_broker_epoch(self.epoch)
            // It claims to have read everything: unfencing asks for no less.
            .with_current_metadata_offset(i64::MAX)
    }
}

impl Fleet {
    /// Registers so many brokers, and returns when all are unfenced.
    pub(crate) async fn register(cluster: &mut Cluster<'_>, count: i32) -> Result<Self> {
        let mut client = cluster.connect().await?;
        let mut brokers = Vec::new();
        for id in 1..=count {
            let request = registration(&client, id, &cluster.id);
            brokers.push(register(&mut client, &request).await?);
        }
        for broker in &brokers {
            unfence(&mut client, *broker).await?;
        }
        let addresses = cluster.nodes.iter().map(|it| it.address.clone()).collect();
        let beating = tokio::spawn(beat(addresses, brokers.clone()));
        Ok(Self { brokers, beating })
    }

    /// One of the brokers.
    pub(crate) fn broker(&self, at: usize) -> Broker {
        self.brokers[at % self.brokers.len()]
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

fn registration(client: &Client, id: i32, cluster_id: &str) -> BrokerRegistrationRequest {
    let listener = Listener::default()
        .with_name(StrBytes::from_static_str("PLAINTEXT"))
        .with_host(StrBytes::from_static_str("127.0.0.1"))
        .with_port(30_000 + id as u16);
    let features = client.versions().features().map(|(name, least, most)| {
        Feature::default()
            .with_name(name)
            .with_min_supported_version(least)
            .with_max_supported_version(most)
    });
    BrokerRegistrationRequest::default()
        .with_broker_id(BrokerId(id))
        .with_cluster_id(StrBytes::from_string(cluster_id.to_owned()))
        .with_incarnation_id(Uuid::new_v4())
        .with_listeners(vec![listener])
        .with_features(features.collect())
        .with_log_dirs(vec![Uuid::new_v4()])
        .with_previous_broker_epoch(-1)
}

/// A controller that has just been elected may send everybody away for a moment.
async fn register(client: &mut Client, request: &BrokerRegistrationRequest) -> Result<Broker> {
    let mut error_code = 0;
    for _ in 0..ATTEMPTS_MAX {
        let answer = client.call(request).await?;
        if answer.error_code == 0 {
            return Ok(Broker {
                id: request.broker_id,
                epoch: answer.broker_epoch,
            });
        }
        error_code = answer.error_code;
        tokio::time::sleep(ASK_AGAIN).await;
    }
    ok(error_code)?;
    bail!("broker {} is not registered", request.broker_id.0)
}

async fn unfence(client: &mut Client, broker: Broker) -> Result<()> {
    for _ in 0..ATTEMPTS_MAX {
        let answer = client.call(&broker.heartbeat()).await?;
        ok(answer.error_code)?;
        if !answer.is_fenced {
            return Ok(());
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
    bail!("broker {} stays fenced", broker.id.0)
}

/// Keeps every session alive at whichever controller leads. Where none does, the sessions run.
async fn beat(addresses: Vec<String>, brokers: Vec<Broker>) {
    let mut client = None;
    loop {
        tokio::time::sleep(HEARTBEAT / brokers.len() as u32).await;
        for broker in &brokers {
            if client.is_none() {
                client = leader(&addresses).await;
            }
            let Some(known) = &mut client else { break };
            let answer = known.call(&broker.heartbeat()).await;
            if !answer.is_ok_and(|answer| answer.error_code == 0) {
                client = None;
                break;
            }
            tokio::time::sleep(HEARTBEAT / brokers.len() as u32).await;
        }
    }
}

async fn leader(addresses: &[String]) -> Option<Client> {
    for address in addresses {
        if crate::subject::quorum_state(address).await.is_ok() {
            return Client::connect(address).await.ok();
        }
    }
    None
}
