//! Pipelines: decided together, answered in order, and nobody waits for somebody else's Fetch.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use yakt::feed::Contact;
use yakt::ids::Stamp;
use yakt::metrics::Closed;
use yakt::records::{FeatureLevelRecord, Record};
use yakt::wire::connection::IN_FLIGHT_MAX;

use super::apis::api;
use super::server::{Client, PEER_KEY, Server, frame, leader};

const ALLOCATE: ApiKey = ApiKey::AllocateProducerIds;

fn sample(key: ApiKey, version: i16) -> Vec<u8> {
    (api(key).sample)(version).unwrap().to_vec()
}

async fn nothing_comes(client: &Client) -> bool {
    let soon = Duration::from_millis(60);
    tokio::time::timeout(soon, client.stream.readable())
        .await
        .is_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_writes_are_decided_together_and_answered_in_order() {
    let server = Server::leading().await;
    *server.fakes.hold.lock().unwrap() = true;
    let mut client = server.connect().await;
    let body = sample(ALLOCATE, 0);
    let pipeline: Vec<u8> = (0..8)
        .flat_map(|id| frame(ALLOCATE as i16, 0, id, &body))
        .collect();
    client.raw(&pipeline).await;
    let held = server.fakes.held(8).await;
    assert!(held.iter().all(|held| held.api == ALLOCATE as i16));
    assert_eq!(held[0].caller.client_id.as_deref(), Some("test"));
    assert_eq!(held[0].caller.host, "127.0.0.1");
    assert_eq!(held[0].caller.local_addr, Some(server.address));
    // The last is ready first, and waits for the others.
    let mut late = held.into_iter().rev();
    for held in late.by_ref().take(7) {
        held.decide(&server.fakes);
    }
    assert!(nothing_comes(&client).await);
    late.for_each(|held| held.decide(&server.fakes));
    for id in 0..8 {
        assert_eq!(client.correlation().await, Some(id));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_sees_what_the_writes_before_it_have_done() {
    let server = Server::leading().await;
    *server.fakes.hold.lock().unwrap() = true;
    let mut client = server.connect().await;
    client
        .send(ALLOCATE as i16, 0, 1, &sample(ALLOCATE, 0))
        .await;
    client
        .send(
            ApiKey::ApiVersions as i16,
            4,
            2,
            &sample(ApiKey::ApiVersions, 4),
        )
        .await;
    let held = server.fakes.held(1).await;
    assert!(
        nothing_comes(&client).await,
        "the read waits for the write before it"
    );
    // The image moves on with the write, and the read must see that.
    let mut after = leader(3000);
    let level = FeatureLevelRecord {
        name: "metadata.version".to_owned(),
        feature_level: 29,
    };
    after
        .image
        .apply(&Record::FeatureLevel(level), Stamp { offset: 0, time: 0 })
        .unwrap();
    server.published.send_replace(after.into());
    held.into_iter().for_each(|held| held.decide(&server.fakes));
    assert_eq!(client.correlation().await, Some(1));
    let frame = client.receive().await.unwrap();
    let answer = (api(ApiKey::ApiVersions).read_answer)(frame.slice(4..), 4).unwrap();
    assert!(answer.contains("max_version_level: 29"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_fetch_parks_only_its_own_connection() {
    let server = Server::leading().await;
    let mut parked = server.connect().await;
    parked
        .send(ApiKey::Fetch as i16, 17, 1, &sample(ApiKey::Fetch, 17))
        .await;
    parked.send(ApiKey::ApiVersions as i16, 0, 2, &[]).await;
    assert!(nothing_comes(&parked).await);
    let mut other = server.connect().await;
    assert!(other.works().await);
    server.fakes.news.send_replace(true);
    assert_eq!(parked.correlation().await, Some(1));
    assert_eq!(parked.correlation().await, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_too_much_at_once_is_held_up_not_dropped() {
    let server = Server::leading().await;
    *server.fakes.hold.lock().unwrap() = true;
    let mut client = server.connect().await;
    let body = sample(ALLOCATE, 0);
    let count = IN_FLIGHT_MAX as i32 * 3;
    let all: Vec<u8> = (0..count)
        .flat_map(|id| frame(ALLOCATE as i16, 0, id, &body))
        .collect();
    client.raw(&all).await;
    let first = server.fakes.held(IN_FLIGHT_MAX).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(
        server.fakes.held.lock().unwrap().is_empty(),
        "no more than the bound are under way"
    );
    *server.fakes.hold.lock().unwrap() = false;
    first
        .into_iter()
        .for_each(|held| held.decide(&server.fakes));
    for id in 0..count {
        assert_eq!(client.correlation().await, Some(id));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_held_up_and_harms_nobody() {
    let server = Server::leading().await;
    let mut lazy = server.connect().await;
    // Some 300 bytes each, a million and a half of them: far more than any buffer takes.
    let ask = frame(ApiKey::ApiVersions as i16, 0, 1, &[]);
    let many = ask.repeat(1000);
    let mut sent = 0;
    while sent < 1500 {
        let write = tokio::io::AsyncWriteExt::write_all(&mut lazy.stream, &many);
        match tokio::time::timeout(Duration::from_millis(200), write).await {
            Ok(written) => written.unwrap(),
            Err(_) => break,
        }
        sent += 1;
    }
    assert!(
        sent < 1500,
        "the server reads on although nobody reads its answers"
    );
    assert!(server.connect().await.works().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_frames_overlap_and_are_answered_in_order() {
    let server = Server::leading().await;
    let mut peer = server.connect().await;
    for id in 0..4 {
        peer.send(PEER_KEY, 3, id, &[id as u8; 5]).await;
    }
    for id in 0..4_i32 {
        let answer = peer.receive().await.unwrap();
        assert_eq!(answer, [&id.to_be_bytes()[..], &[id as u8; 5]].concat());
    }
    assert_eq!(server.fakes.peer_calls.lock().unwrap().len(), 4);
    peer.send(PEER_KEY + 1, 0, 5, &[]).await;
    assert_eq!(peer.receive().await, None);
    server.closed(Closed::Peer, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_answers_under_way_go_out() {
    let server = Server::leading().await;
    *server.fakes.hold.lock().unwrap() = true;
    let mut client = server.connect().await;
    let mut idle = server.connect().await;
    assert!(idle.works().await);
    client
        .send(ALLOCATE as i16, 0, 5, &sample(ALLOCATE, 0))
        .await;
    let held = server.fakes.held(1).await;
    let Server {
        wire,
        fakes,
        address,
        metrics,
        ..
    } = server;
    let stopping = tokio::spawn(wire.stop());
    assert_eq!(idle.receive().await, None);
    held.into_iter().for_each(|held| held.decide(&fakes));
    assert_eq!(client.correlation().await, Some(5));
    assert_eq!(client.receive().await, None);
    stopping.await.unwrap();
    assert_eq!(metrics.connections_closed(Closed::Stopping), 2);
    assert_eq!(metrics.connections.get(), 0);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

/// A leader whose quorum does not hear it may have been replaced: a broker that it went on answering
/// would never look for the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_closes_brokers_and_nobody_else() {
    let server = Server::leading().await;
    let heartbeat = sample(ApiKey::BrokerHeartbeat, 1);
    let registration = sample(ApiKey::BrokerRegistration, 4);
    let mut client = server.connect().await;
    let heard = client.ask(ApiKey::BrokerHeartbeat, 1, &heartbeat).await;
    assert!(heard.is_some());
    server.published.send_modify(|published| {
        let mut cut_off = (**published).clone();
        cut_off.contact = Contact::default();
        *published = Arc::new(cut_off);
    });
    assert!(client.works().await);
    assert_eq!(
        client.ask(ApiKey::BrokerHeartbeat, 1, &heartbeat).await,
        None
    );
    let mut client = server.connect().await;
    let heard = client
        .ask(ApiKey::BrokerRegistration, 4, &registration)
        .await;
    assert_eq!(heard, None);
    server.closed(Closed::NotNow, 2).await;
    // One that does not lead says so instead.
    server.published.send_replace(Arc::new(leader(3001)));
    let mut client = server.connect().await;
    let heard = client.ask(ApiKey::BrokerHeartbeat, 1, &heartbeat).await;
    assert!(heard.is_some());
}
