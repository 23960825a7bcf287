//! A controller that belongs to no quorum yet asks to be let in, where
//! `controller.quorum.auto.join.enable` says so.
//!
//! It asks as an operator would: with Kafka's own AddRaftVoter, at any of
//! `controller.quorum.bootstrap.servers`; whoever is asked passes it on to the leader.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::add_raft_voter_request::Listener;
use kafka_protocol::messages::{AddRaftVoterRequest, AddRaftVoterResponse, ApiKey};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::connection::Connection;
use super::formation;
use super::gate::Gate;
use super::types::Member;
use crate::ids::Endpoint;
use crate::settings::Settings;

/// How often it asks.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// A bootstrap server takes a connection within this time.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// The one version that is spoken. Its headers are flexible: they end with tagged fields.
const VERSION: i16 = 0;

/// Asks until the membership names this node.
pub(super) async fn run(gate: Gate, settings: Arc<Settings>) {
    let mut told = String::new();
    while gate.member(gate.me().node).is_none() {
        tokio::time::sleep(ASK_EVERY).await;
        for (host, port) in &settings.controller_quorum_bootstrap_servers {
            let answer = match ask(&settings, host, *port).await {
                Ok(()) => return,
                Err(error) => format!("{host}:{port} does not let this node join: {error:#}"),
            };
            if answer != told {
                tracing::info!("{answer}");
                told = answer;
            }
        }
    }
}

async fn ask(settings: &Settings, host: &str, port: u16) -> Result<()> {
    let own = formation::own_member(settings).context("this node has no address for others")?;
    let server = Endpoint {
        name: String::new(),
        host: host.to_owned(),
        port,
    };
    let server = Member {
        endpoints: vec![server],
        ..Member::default()
    };
    let mut connection = Connection::open(&server, CONNECT_WITHIN).await?;
    let mut body = BytesMut::new();
    request(settings, &own).encode(&mut body, VERSION)?;
    let answer = connection.ask(ApiKey::AddRaftVoter as i16, |out| {
        out.push(0); // no tagged fields in the header
        out.extend_from_slice(&body);
    });
    let mut answer: Bytes = answer.await?;
    ensure!(!answer.is_empty(), "an empty answer");
    let _no_tagged_fields = answer.split_to(1);
    let answer = AddRaftVoterResponse::decode(&mut answer, VERSION)?;
    let text = answer.error_message.unwrap_or_default();
    ensure!(
        answer.error_code == 0,
        "error {}, {text}",
        answer.error_code
    );
    Ok(())
}

fn request(settings: &Settings, own: &Member) -> AddRaftVoterRequest {
    let listeners = own.endpoints.iter().map(|endpoint| {
        Listener::default()
            .with_name(StrBytes::from_string(endpoint.name.clone()))
            .with_host(StrBytes::from_string(endpoint.host.clone()))
            .with_port(endpoint.port)
    });
    AddRaftVoterRequest::default()
        .with_cluster_id(Some(StrBytes::from_string(settings.cluster_id.clone())))
        .with_timeout_ms(i32::try_from(ASK_EVERY.as_millis()).unwrap_or(i32::MAX))
        .with_voter_id(settings.node_id.0)
        .with_voter_directory_id(own.directory_id)
        .with_listeners(listeners.collect())
}
