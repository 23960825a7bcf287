//! Forwarding: a request that reaches a follower is passed to the leader with its caller, and its
//! answer passed back once this node has applied what it says.
//!
//! It travels as a peer frame with a key of its own. The request, version 0, numbers big-endian:
//!
//! ```text
//! cluster id: string   principal: string   host: string   listener: string
//! client id: string, length 0xffff if none   api: i16   api version: i16   body: the rest
//! ```
//!
//! where a string is its length as u16 and UTF-8. The answer is the end offset (i64) from which an
//! image holds what is answered, then the response body of that API and version.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use tokio::sync::watch;

use crate::api::AnyWrite;
use crate::controller::Slow;
use crate::feed::Published;
use crate::ids::Offset;
use crate::metrics::Closed;
use crate::refusal;
use crate::rules::Caller;

use super::doors::{Call, Doors};
use super::frame::PEER_KEY_MIN;
use super::turn::Outcome;

/// The private API that forwards; raft's own are below it.
pub const FORWARD_KEY: i16 = PEER_KEY_MIN + 100;
/// How long a forwarded write's answer waits for this node to have applied it. It is committed by
/// then: a node that lags further says yes all the same.
const APPLY_PATIENCE: Duration = Duration::from_secs(5);
const NO_CLIENT_ID: u16 = u16::MAX;

/// Forwards a write. What becomes of it when the leader does not answer, nobody knows.
pub fn write(doors: &Doors, call: Call, write: Box<dyn AnyWrite>) -> Slow<Outcome> {
    let answer = doors.forward.send(put(&call, &doors.settings.cluster_id));
    let published = doors.published.clone();
    Box::pin(async move {
        match answer.await.and_then(take_answer) {
            Ok((offset, body)) => {
                applied(published, offset).await;
                Outcome::Body(body)
            }
            Err(error) => {
                tracing::debug!(api = ?call.api, %error, "forwarding failed");
                let refusal = refusal::outcome_unknown();
                let answer = write.refuse(&refusal);
                Outcome::Refused(refusal, answer)
            }
        }
    })
}

/// Forwards what only raft's leader can answer or do; where it does not answer, this node says what
/// it says to such requests.
pub fn quorum(doors: &Doors, call: Call) -> Slow<Outcome> {
    let answer = doors.forward.send(put(&call, &doors.settings.cluster_id));
    let here = Arc::clone(&doors.quorum);
    Box::pin(async move {
        match answer.await.and_then(take_answer) {
            Ok((_, body)) => Outcome::Body(body),
            Err(_) => here.serve(call).await.into(),
        }
    })
}

async fn applied(mut published: watch::Receiver<Arc<Published>>, offset: Offset) {
    let there = published.wait_for(|now| now.image.end_offset() >= offset);
    let _ = tokio::time::timeout(APPLY_PATIENCE, there).await;
}

fn put(call: &Call, cluster_id: &str) -> Bytes {
    let Caller {
        principal,
        host,
        listener,
        client_id,
        ..
    } = call.caller.as_ref();
    let mut out = BytesMut::with_capacity(call.body.len().saturating_add(128));
    for text in [cluster_id, principal, host, listener] {
        put_text(&mut out, text);
    }
    match client_id {
        Some(id) => put_text(&mut out, id),
        None => out.put_u16(NO_CLIENT_ID),
    }
    out.put_i16(call.api as i16);
    out.put_i16(call.version);
    out.put_slice(&call.body);
    out.freeze()
}

/// None of these comes near the limit: Kafka's strings end at 32,767 bytes.
fn put_text(out: &mut BytesMut, text: &str) {
    let text = text
        .get(..usize::from(NO_CLIENT_ID).saturating_sub(1))
        .unwrap_or(text);
    out.put_u16(text.len() as u16);
    out.put_slice(text.as_bytes());
}

/// Reads what a follower forwarded. Its body's shape is not walked yet.
pub fn read(mut body: Bytes, cluster_id: &str) -> Result<Call, Closed> {
    if take_text(&mut body)? != Some(cluster_id.to_owned()) {
        return Err(Closed::Peer);
    }
    let mut text = || take_text(&mut body);
    let (principal, host, listener, client_id) = (text()?, text()?, text()?, text()?);
    let caller = Caller {
        principal: principal.ok_or(Closed::Peer)?,
        host: host.ok_or(Closed::Peer)?,
        listener: listener.ok_or(Closed::Peer)?,
        client_id,
        ..Caller::internal()
    };
    let api = body.try_get_i16().map_err(|_| Closed::Peer)?;
    let api = ApiKey::try_from(api).map_err(|()| Closed::Peer)?;
    let version = body.try_get_i16().map_err(|_| Closed::Peer)?;
    Ok(Call {
        api,
        version,
        body,
        caller: Arc::new(caller),
    })
}

fn take_text(body: &mut Bytes) -> Result<Option<String>, Closed> {
    let length = body.try_get_u16().map_err(|_| Closed::Peer)?;
    if length == NO_CLIENT_ID {
        return Ok(None);
    }
    if body.len() < usize::from(length) {
        return Err(Closed::Peer);
    }
    let text = body.split_to(usize::from(length));
    String::from_utf8(text.to_vec())
        .map(Some)
        .map_err(|_| Closed::Peer)
}

fn take_answer(mut answer: Bytes) -> anyhow::Result<(Offset, Bytes)> {
    let offset = answer.try_get_i64()?;
    Ok((offset, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        for client_id in [None, Some(String::new()), Some("kcat".to_owned())] {
            let caller = Caller {
                principal: "User:alice".to_owned(),
                host: "::1".to_owned(),
                client_id,
                ..Caller::internal()
            };
            let body = Bytes::from_static(b"body");
            let call = Call {
                api: ApiKey::CreateTopics,
                version: 7,
                body,
                caller: Arc::new(caller),
            };
            let sent = put(&call, "a cluster");
            let read = read(sent.clone(), "a cluster").unwrap();
            assert_eq!(format!("{read:?}"), format!("{call:?}"));
            assert_eq!(
                super::read(sent.clone(), "another").unwrap_err(),
                Closed::Peer
            );
            for end in 0..sent.len() - call.body.len() {
                let cut = super::read(sent.slice(..end), "a cluster");
                assert_eq!(cut.unwrap_err(), Closed::Peer);
            }
        }
    }
}
