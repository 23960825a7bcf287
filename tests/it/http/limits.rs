//! What is too much, too long or too slow.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use yakt::http::{BODY_BYTES_MAX, CONNECTIONS_MAX, HEADERS_MAX};

use super::client::{Client, raw};
use super::node::Node;

#[tokio::test]
async fn bodies_and_heads_are_bounded() {
    let node = Node::start().await;
    let address = node.address();
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(BODY_BYTES_MAX));
    let answer = raw(address, "POST", "/create_topic", &[], &long).await;
    assert_eq!(answer.status, 413, "{}", answer.body);

    let many: Vec<_> = (0..HEADERS_MAX + 1)
        .map(|n| (format!("X-{n}"), "y"))
        .collect();
    let many: Vec<_> = many
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    assert_eq!(raw(address, "GET", "/healthz", &many, "").await.status, 431);
    let big = "y".repeat(64 * 1024);
    assert_eq!(
        raw(address, "GET", "/healthz", &[("X-Big", &big)], "")
            .await
            .status,
        431
    );
    assert_eq!(raw(address, "GET", "/healthz", &[], "").await.status, 200);
}

#[tokio::test]
async fn a_body_that_breaks_off_or_is_no_text_is_an_error() {
    let node = Node::start().await;
    let client = Client::of(node.address()).await;
    for body in ["", "null", "{\"a\":", "\u{0}", "[1]", "\"text\""] {
        assert_eq!(
            client.post("/create_topic", body).await.status,
            400,
            "{body:?}"
        );
    }
    let mut stream = TcpStream::connect(node.address())
        .await
        .expect("it listens");
    stream
        .write_all(b"\x16\x03\x01 not http\r\n\r\n")
        .await
        .expect("it is written");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .await
        .expect("it is answered or closed");
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_crowd_waits_and_is_served_when_there_is_room() {
    let node = Node::start().await;
    let mut crowd = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        crowd.push(
            TcpStream::connect(node.address())
                .await
                .expect("it listens"),
        );
    }
    // The next one is in the backlog until somebody goes.
    let late = raw(node.address(), "GET", "/healthz", &[], "");
    let mut late = std::pin::pin!(late);
    let soon = tokio::time::timeout(Duration::from_millis(300), &mut late).await;
    assert!(soon.is_err(), "the bound holds");
    crowd.truncate(CONNECTIONS_MAX / 2);
    assert_eq!(late.await.status, 200);
}

#[tokio::test]
async fn a_stop_lets_answers_end() {
    let node = Node::start().await;
    let client = Client::of(node.address()).await;
    let next = client.get("/v1/deltas").await.json()["next"].clone();
    let path = format!("/v1/deltas?after={next}&wait=1");
    let poll = client.get(&path);
    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        node.http.stop().await;
    };
    let (answer, ()) = tokio::join!(poll, stop);
    assert_eq!(answer.status, 200);
}
