//! Requests inside requests: a broker's Envelope, and what a follower forwards.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    AllocateProducerIdsResponse, ApiKey, DescribeQuorumRequest, EnvelopeRequest, EnvelopeResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable};
use yakt::metrics::Closed;
use yakt::settings::Settings;
use yakt::wire::forward::FORWARD_KEY;

use super::apis::api;
use super::server::{Client, Server, frame, leader};

/// `User:alice` as a broker serializes it.
const ALICE: &[u8] = b"\0\0\x05User\x06alice\0\0";
const V4: &[u8] = &[10, 1, 2, 3];

fn unregister(broker: u8) -> Vec<u8> {
    // Behind the length prefix: an envelope holds none.
    frame(
        ApiKey::UnregisterBroker as i16,
        0,
        501,
        &[0, 0, 0, broker, 0],
    )
    .split_off(4)
}

async fn envelope(
    client: &mut Client,
    request: Vec<u8>,
    principal: Option<&'static [u8]>,
    address: &'static [u8],
) -> EnvelopeResponse {
    let envelope = EnvelopeRequest::default()
        .with_request_data(request.into())
        .with_request_principal(principal.map(Bytes::from_static))
        .with_client_host_address(Bytes::from_static(address));
    let mut body = BytesMut::new();
    envelope.encode(&mut body, 0).unwrap();
    let mut answer = client
        .ask(ApiKey::Envelope, 0, &body)
        .await
        .expect("an envelope is answered");
    EnvelopeResponse::decode(&mut answer, 0).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_is_answered_as_the_client_inside_it() {
    let server = Server::leading().await;
    *server.fakes.hold.lock().unwrap() = true;
    let mut client = server.connect().await;
    let waiting = tokio::spawn(async move {
        let answer = envelope(&mut client, unregister(9), Some(ALICE), V4).await;
        (client, answer)
    });
    let held = server.fakes.held(1).await.pop().unwrap();
    let caller = &held.caller;
    assert_eq!(
        (caller.principal.as_str(), caller.host.as_str()),
        ("User:alice", "10.1.2.3")
    );
    assert_eq!(
        (caller.listener.as_str(), caller.forwarded),
        ("CONTROLLER", true)
    );
    assert_eq!(held.api, ApiKey::UnregisterBroker as i16);
    held.decide(&server.fakes);
    let (_, answer) = waiting.await.unwrap();
    // No broker 9: the inner answer says so, the envelope says nothing of it.
    let inner = answer.response_data.expect("an inner answer");
    assert_eq!(
        (answer.error_code, &inner[..5]),
        (0, &[0, 0, 1, 0xf5, 0][..])
    );
    let text = (api(ApiKey::UnregisterBroker).read_answer)(inner.slice(5..), 0).unwrap();
    assert!(text.contains("error_code: 102"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envelopes_that_cannot_be_opened_say_why() {
    let server = Server::leading().await;
    let mut client = server.connect().await;
    let inner =
        |key: ApiKey, version, body: &[u8]| frame(key as i16, version, 1, body).split_off(4);
    let good = || unregister(1);
    let v6 = &[0; 16];
    for (what, request, principal, address, code) in [
        ("IPv6", good(), Some(ALICE), &v6[..], 0),
        ("no principal", good(), None, V4, 97),
        (
            "principal of a version to come",
            good(),
            Some(&b"\0\x01\x05User"[..]),
            V4,
            97,
        ),
        ("half a principal", good(), Some(&ALICE[..9]), V4, 97),
        ("half an address", good(), Some(ALICE), &V4[..3], 42),
        ("no request", vec![], Some(ALICE), V4, 35),
        (
            "unknown API",
            frame(999, 0, 1, &[]).split_off(4),
            Some(ALICE),
            V4,
            35,
        ),
        (
            "not for envelopes",
            inner(ApiKey::ApiVersions, 0, &[]),
            Some(ALICE),
            V4,
            42,
        ),
        (
            "an envelope",
            inner(ApiKey::Envelope, 0, &[1, 0, 1, 0]),
            Some(ALICE),
            V4,
            42,
        ),
        (
            "unknown version",
            inner(ApiKey::UnregisterBroker, 9, &[0; 5]),
            Some(ALICE),
            V4,
            35,
        ),
        (
            "half a body",
            inner(ApiKey::UnregisterBroker, 0, &[0; 3]),
            Some(ALICE),
            V4,
            35,
        ),
        (
            "no UTF-8",
            inner(ApiKey::DeleteTopics, 5, &[2, 2, 0xff, 0, 0, 0, 9, 0]),
            Some(ALICE),
            V4,
            35,
        ),
        (
            "bytes left over",
            inner(ApiKey::UnregisterBroker, 0, &[0; 6]),
            Some(ALICE),
            V4,
            0,
        ),
    ] {
        let answer = envelope(&mut client, request, principal, address).await;
        assert_eq!(answer.error_code, code, "{what}");
        assert_eq!(answer.response_data.is_some(), code == 0, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_at_the_wrong_node_sends_the_broker_on() {
    let server = Server::with(Settings::default(), leader(3001)).await;
    let mut client = server.connect().await;
    let mut body = BytesMut::new();
    DescribeQuorumRequest::default()
        .encode(&mut body, 2)
        .unwrap();
    let quorum = frame(ApiKey::DescribeQuorum as i16, 2, 1, &body).split_off(4);
    let answer = envelope(&mut client, quorum, Some(ALICE), V4).await;
    assert_eq!((answer.error_code, answer.response_data), (41, None));
    assert!(
        server.fakes.forwarded.lock().unwrap().is_empty(),
        "brokers find the leader themselves"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reaches_a_follower_goes_to_the_leader_and_back() {
    let settings = Settings {
        cluster_id: "one".to_owned(),
        ..Settings::default()
    };
    let follower = Server::with(settings.clone(), leader(3001)).await;
    let leading = Server::with(settings, leader(3000)).await;
    // What the follower sends is what the leader understands: carried by hand here.
    let mut client = follower.connect().await;
    client
        .send(ApiKey::UnregisterBroker as i16, 0, 7, &[0, 0, 0, 9, 0])
        .await;
    let refused = client.receive().await.unwrap();
    let text = (api(ApiKey::UnregisterBroker).read_answer)(refused.slice(5..), 0).unwrap();
    assert!(
        text.contains("error_code: 41"),
        "the leader was not reached: {text}"
    );
    let sent = follower
        .fakes
        .forwarded
        .lock()
        .unwrap()
        .pop()
        .expect("it was forwarded");

    let mut peer = leading.connect().await;
    peer.send(FORWARD_KEY, 0, 1, &sent).await;
    let answer = peer.receive().await.unwrap();
    assert_eq!(
        answer[4..12],
        7_i64.to_be_bytes(),
        "the offset it is true from"
    );
    let text = (api(ApiKey::UnregisterBroker).read_answer)(answer.slice(12..), 0).unwrap();
    assert!(text.contains("error_code: 102"), "{text}");

    // The answer goes back unchanged, once this node is as far as the leader was.
    let far = [&0_i64.to_be_bytes()[..], &answer[12..]].concat();
    *follower.fakes.forward_answer.lock().unwrap() = Some(far.into());
    client
        .send(ApiKey::UnregisterBroker as i16, 0, 8, &[0, 0, 0, 9, 0])
        .await;
    assert_eq!(client.receive().await.unwrap()[5..], answer[12..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_own_requests_are_not_forwarded() {
    let follower = Server::with(Settings::default(), leader(3001)).await;
    let mut client = follower.connect().await;
    let body = (api(ApiKey::AllocateProducerIds).sample)(0).unwrap();
    let mut answer = client
        .ask(ApiKey::AllocateProducerIds, 0, &body)
        .await
        .unwrap();
    // The fake decides it here; the controller of a follower refuses it.
    AllocateProducerIdsResponse::decode(&mut answer, 0).unwrap();
    assert!(follower.fakes.forwarded.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwarded_garbage_ends_the_peers_connection() {
    let settings = Settings {
        cluster_id: "one".to_owned(),
        ..Settings::default()
    };
    let server = Server::with(settings, leader(3000)).await;
    let mut other_cluster = BytesMut::new();
    other_cluster.put_slice(b"\0\x03two\0\0\0\0\0\0\xff\xff\0\x40\0\0\0\0\0\x09\0");
    let mut unknown_api = BytesMut::new();
    unknown_api.put_slice(b"\0\x03one\0\0\0\0\0\0\xff\xff\0\x07\0\0\0\0\0\x09\0");
    for (nth, body) in [&[][..], &[0, 9], &other_cluster, &unknown_api]
        .into_iter()
        .enumerate()
    {
        let mut peer = server.connect().await;
        peer.send(FORWARD_KEY, 0, 1, body).await;
        assert_eq!(peer.receive().await, None);
        server.closed(Closed::Peer, nth as u64 + 1).await;
    }
}
