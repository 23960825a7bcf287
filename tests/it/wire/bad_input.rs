//! Bytes that are no requests: the connection is closed and counted, others never notice.

use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use yakt::metrics::Closed;

use super::server::{Server, frame};

const METADATA: i16 = ApiKey::Metadata as i16;

/// Each of these, on a connection of its own, ends that connection for this reason.
fn bad_frames() -> Vec<(&'static str, Vec<u8>, Closed)> {
    let with_length = |length: i32, rest: &[u8]| [&length.to_be_bytes(), rest].concat();
    let array_of = |count: [u8; 4]| frame(METADATA, 1, 1, &count);
    let create = ApiKey::CreateTopics as i16;
    vec![
        (
            "negative length",
            with_length(-1, &[0; 20]),
            Closed::FrameLength,
        ),
        (
            "least length",
            with_length(i32::MIN, &[]),
            Closed::FrameLength,
        ),
        (
            "2 GB",
            with_length(i32::MAX, &[0; 100]),
            Closed::FrameLength,
        ),
        (
            "100 MiB and one",
            with_length(104_857_601, &[]),
            Closed::FrameLength,
        ),
        (
            "an HTTP request",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            Closed::FrameLength,
        ),
        (
            "a TLS hello",
            vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc],
            Closed::FrameLength,
        ),
        ("zero length", with_length(0, &[]), Closed::Header),
        (
            "half a header",
            with_length(5, &[0, 3, 0, 1, 0]),
            Closed::Header,
        ),
        (
            "client id too long",
            with_length(10, &[0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff]),
            Closed::Header,
        ),
        ("unknown key", frame(999, 0, 1, &[]), Closed::UnknownApi),
        ("negative key", frame(-1, 0, 1, &[]), Closed::UnknownApi),
        (
            "a key that brokers dropped",
            frame(7, 1, 1, &[0; 8]),
            Closed::UnknownApi,
        ),
        (
            "unknown version",
            frame(METADATA, 14, 1, &[0; 9]),
            Closed::UnsupportedVersion,
        ),
        (
            "negative version",
            frame(METADATA, -1, 1, &[0; 9]),
            Closed::UnsupportedVersion,
        ),
        ("no body", frame(METADATA, 1, 1, &[]), Closed::Malformed),
        (
            "half a body",
            frame(METADATA, 4, 1, &[0, 0, 0, 1, 0, 4, b'n']),
            Closed::Malformed,
        ),
        (
            "2^31 - 1 topics",
            array_of([0x7f, 0xff, 0xff, 0xff]),
            Closed::Malformed,
        ),
        (
            "-2 topics",
            array_of([0xff, 0xff, 0xff, 0xfe]),
            Closed::Malformed,
        ),
        (
            "2^31 - 1 tags",
            { frame(METADATA, 12, 1, &[1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x07]) },
            Closed::Malformed,
        ),
        (
            "4 billion topics, compact",
            { frame(METADATA, 12, 1, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0]) },
            Closed::Malformed,
        ),
        (
            "no UTF-8",
            frame(METADATA, 1, 1, &[0, 0, 0, 1, 0, 1, 0xff]),
            Closed::Malformed,
        ),
        (
            "null where a name must be",
            { frame(create, 4, 1, &[0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 1, 0, 1]) },
            Closed::Malformed,
        ),
        (
            "acks 0 and data",
            {
                frame(
                    ApiKey::Produce as i16,
                    3,
                    1,
                    &[0xff, 0xff, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0],
                )
            },
            Closed::NoAnswerWanted,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_frames_end_their_own_connection_and_are_counted() {
    let server = Server::leading().await;
    let mut bystander = server.connect().await;
    for (what, bytes, why) in bad_frames() {
        let before = server.metrics.connections_closed(why);
        let mut client = server.connect().await;
        client.raw(&bytes).await;
        assert_eq!(client.receive().await, None, "{what} was answered");
        server.closed(why, before + 1).await;
        assert!(bystander.works().await, "after {what}");
    }
    assert_eq!(server.metrics.connections.get(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_before_a_bad_frame_is_answered_first() {
    let server = Server::leading().await;
    for (what, bytes, _) in bad_frames() {
        let mut client = server.connect().await;
        let good = frame(ApiKey::ApiVersions as i16, 0, 5, &[]);
        client.raw(&[good, bytes].concat()).await;
        assert_eq!(client.correlation().await, Some(5), "before {what}");
        assert_eq!(client.receive().await, None, "{what} was answered");
    }
}

/// librdkafka sends such, and Kafka does not look behind the last field.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_after_the_last_field_are_ignored() {
    let server = Server::leading().await;
    let mut client = server.connect().await;
    let all_topics = [0xff, 0xff, 0xff, 0xff];
    let plain = client.ask(ApiKey::Metadata, 1, &all_topics).await.unwrap();
    let longer = [&all_topics[..], &[7; 100]].concat();
    let again = client.ask(ApiKey::Metadata, 1, &longer).await;
    assert_eq!(again, Some(plain));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_senders_are_waited_for() {
    let server = Server::leading().await;
    let mut slow = server.connect().await;
    for byte in frame(ApiKey::ApiVersions as i16, 0, 9, &[]) {
        slow.raw(&[byte]).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(slow.correlation().await, Some(9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bytes_never_end_the_server() {
    let server = Server::leading().await;
    let mut state = 7_u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as u8
    };
    for round in 0..300_u16 {
        let mut client = server.connect().await;
        // Mostly in a frame, with a key and version that exist, so that it comes as far as it can.
        let garbage: Vec<u8> = (0..random()).map(|_| random() & random()).collect();
        let row = &yakt::api::TABLE[usize::from(round) % yakt::api::TABLE.len()];
        match round % 4 {
            0 => client.raw(&garbage).await,
            _ => {
                client
                    .send(row.key as i16, *row.versions.end(), 1, &garbage)
                    .await
            }
        }
    }
    assert!(server.connect().await.works().await);
    assert_eq!(server.metrics.connections_closed(Closed::Failed), 0);
}
