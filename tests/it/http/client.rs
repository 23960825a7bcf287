//! A client in a few lines, so that nothing is between a test and the bytes, and the check that every
//! answer is what `/openapi.json` says.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::schema;

/// How long an answer may take, beyond what it was told to wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// Talks to one node and knows its OpenAPI document.
pub(super) struct Client {
    address: SocketAddr,
    document: Value,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
    /// The end offset it is true for.
    pub(super) fn offset(&self) -> i64 {
        self.header("YAKt-Offset")
            .and_then(|it| it.parse().ok())
            .expect("every answer has it")
    }
}

impl Client {
    pub(super) async fn of(address: SocketAddr) -> Self {
        let document = raw(address, "GET", "/openapi.json", &[], "").await.json();
        Self { address, document }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "").await
    }
    pub(super) async fn post(&self, path: &str, body: &str) -> Answer {
        self.call("POST", path, body).await
    }
    pub(super) async fn delete(&self, path: &str, body: &str) -> Answer {
        self.call("DELETE", path, body).await
    }

    /// Asks, and checks the answer against the document.
    pub(super) async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let answer = raw(self.address, method, path, &[], body).await;
        schema::check_answer(&self.document, method, path, answer.status, &answer.body);
        assert!(answer.header("YAKt-Offset").is_some() && answer.header("YAKt-Time").is_some());
        answer
    }
}

/// One request on a connection of its own.
pub(super) async fn raw(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let talk = async {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        // A server that refuses early closes while we still write; its answer is what counts.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        bytes
    };
    let bytes = tokio::time::timeout(PATIENCE, talk)
        .await
        .expect("an answer in time");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|it| it.parse().ok())
        .expect("a status line");
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if chunked {
        unchunk(body)
    } else {
        body.to_owned()
    };
    Answer {
        status,
        head: head.to_owned(),
        body,
    }
}

fn unchunk(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        if size == 0 {
            break;
        }
        whole += &rest[..size];
        text = &rest[size + 2..];
    }
    whole
}
