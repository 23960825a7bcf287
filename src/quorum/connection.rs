//! One TCP connection to a peer: frames out, answers in, in order.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frames;
use super::types::Member;

/// Longest answer of a peer.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A peer that says nothing for so long after it was asked is gone, whatever TCP believes.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// An open connection. Dropped with an answer outstanding it is closed, so that no answer is ever
/// taken for another one's.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    inbox: BytesMut,
    correlation: i32,
    /// How long an answer may take.
    pub(super) patience: Duration,
}

impl Connection {
    /// Connects to a member's first listener.
    pub(super) async fn open(member: &Member, within: Duration) -> Result<Self> {
        let endpoint = member
            .endpoints
            .first()
            .context("the peer has no address")?;
        let address = (endpoint.host.as_str(), endpoint.port);
        let stream = timeout(within, TcpStream::connect(address)).await;
        let stream = stream
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))
            .and_then(|stream| stream)
            .with_context(|| format!("{}:{} cannot be reached", endpoint.host, endpoint.port))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            inbox: BytesMut::new(),
            correlation: 0,
            patience: ANSWER_WITHIN,
        })
    }

    /// Sends a request and gives back the correlation id that its answer will carry.
    pub(super) async fn send(&mut self, key: i16, body: impl FnOnce(&mut Vec<u8>)) -> Result<i32> {
        self.correlation = self.correlation.wrapping_add(1);
        let frame = frames::request(key, self.correlation, body);
        // A peer that takes nothing any more holds up whoever writes, and its answers with it.
        timeout(self.patience, self.stream.write_all(&frame))
            .await
            .context("the peer takes nothing")?
            .context("cannot send to the peer")?;
        Ok(self.correlation)
    }

    /// The body of the next answer. Can be dropped and called again: nothing read is lost.
    pub(super) async fn receive(&mut self, correlation: i32) -> Result<Bytes> {
        loop {
            if let Some(mut frame) = self.next_frame()? {
                ensure!(
                    frame.get_i32() == correlation,
                    "a peer's answer is out of order"
                );
                return Ok(frame);
            }
            let read = timeout(self.patience, self.stream.read_buf(&mut self.inbox)).await;
            let read = read
                .context("the peer does not answer")?
                .context("cannot hear the peer")?;
            ensure!(read > 0, "the peer closed the connection");
        }
    }

    /// One request and its answer.
    pub(super) async fn ask(&mut self, key: i16, body: impl FnOnce(&mut Vec<u8>)) -> Result<Bytes> {
        let correlation = self.send(key, body).await?;
        self.receive(correlation).await
    }

    fn next_frame(&mut self) -> Result<Option<Bytes>> {
        let Some(prefix) = self.inbox.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = usize::try_from(i32::from_be_bytes(*prefix)).context("a negative length")?;
        ensure!(
            (4..=ANSWER_BYTES_MAX).contains(&length),
            "an answer of {length} bytes"
        );
        if self.inbox.len() < 4 + length {
            return Ok(None);
        }
        self.inbox.advance(4);
        Ok(Some(self.inbox.split_to(length).freeze()))
    }
}
