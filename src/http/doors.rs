//! What lies behind the HTTP door: the published state for reads, the controller for writes, and for
//! a follower the way to the leader.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::api::original::{Change, Done, KEY};
use crate::clock::Clock;
use crate::controller::Slow;
use crate::controller::handle::Handle;
use crate::feed::Published;
use crate::feed::serve::Feed;
use crate::feed::snapshots::SnapshotId;
use crate::ids::{Offset, ReplicaState};
use crate::metrics::Metrics;
use crate::refusal::{self, Refusal};
use crate::rules::Caller;
use crate::settings::Settings;

/// How long an answer waits for this node to have applied what it says.
const APPLY_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a write waits for an answer of the controller, here or there.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(30);

/// All that a handler can turn to.
#[derive(Clone)]
pub struct Doors {
    /// The state that reads are answered from.
    pub published: watch::Receiver<Arc<Published>>,
    /// The metadata log as observers read it: it knows how far each has come.
    pub feed: Feed,
    /// The controller's mailbox.
    pub writes: Handle,
    /// The way to the leader, on a node that does not lead.
    pub leader: Arc<dyn Leader>,
    /// Where snapshots are made.
    pub snapshots: Arc<dyn Snapshots>,
    /// This node's configuration.
    pub settings: Arc<Settings>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// The way from a follower to the leader.
pub trait Leader: Send + Sync {
    /// Sends a body that the leader's [`answer_follower`] understands, and gives back its answer. An
    /// error means that nobody knows whether it arrived; `None`, that no leader is known.
    fn ask(&self, body: Bytes) -> Option<Slow<anyhow::Result<Bytes>>>;
}

/// Makes snapshots.
pub trait Snapshots: Send + Sync {
    /// Makes one of the state as it is now, or names the one that exists of it already.
    fn make(&self) -> Slow<Result<SnapshotId, Refusal>>;
}

/// What a follower sends.
#[derive(Serialize, Deserialize)]
struct Passed {
    cluster_id: String,
    principal: String,
    host: String,
    change: Change,
}

/// What it gets back: what was done, and the end offset from which an image holds it.
#[derive(Serialize, Deserialize)]
struct Answered {
    offset: Offset,
    done: Done,
}

impl Doors {
    /// The published state as it is now.
    pub(super) fn now(&self) -> Arc<Published> {
        self.published.borrow().clone()
    }

    /// The positions of voters and observers that this node knows; few where it does not lead.
    pub(super) fn replicas(&self, now: &Published) -> Vec<ReplicaState> {
        let mut replicas = now.quorum.replicas.as_ref().clone();
        replicas.extend(self.feed.observer_rows(now.quorum.epoch));
        replicas
    }

    /// Has a write decided by the leader and waits until this node has applied it. Gives what was
    /// done and a state that holds it.
    pub(super) async fn write(
        &self,
        change: Change,
        host: &str,
    ) -> Result<(Done, Arc<Published>), Refusal> {
        let here = self.now().quorum.active;
        let asked = async {
            if here {
                self.decide_here(change, caller("User:ANONYMOUS", host))
                    .await
            } else {
                self.pass_on(change, host).await
            }
        };
        let answered = tokio::time::timeout(WRITE_WAIT_MAX, asked).await;
        let (done, offset) = answered.map_err(|_| refusal::outcome_unknown())??;
        Ok((done, self.applied(offset).await?))
    }

    /// Waits until everything is applied here that was decided before now.
    pub(super) async fn catch_up(&self) -> Result<(), Refusal> {
        self.write(Change::Nothing, "").await.map(drop)
    }

    async fn decide_here(&self, change: Change, caller: Caller) -> Result<(Done, Offset), Refusal> {
        let reply = self.writes.submit(Box::new(change), caller, KEY, 0);
        let replied = reply.await.map_err(|_| refusal::outcome_unknown())?;
        let answer = replied.result.map_err(|(refusal, _)| refusal)?;
        match answer.into_any().downcast::<Done>() {
            Ok(done) => Ok((*done, replied.offset)),
            Err(_) => Err(refusal::internal()),
        }
    }

    async fn pass_on(&self, change: Change, host: &str) -> Result<(Done, Offset), Refusal> {
        let passed = Passed {
            cluster_id: self.settings.cluster_id.clone(),
            principal: "User:ANONYMOUS".to_owned(),
            host: host.to_owned(),
            change,
        };
        let body = serde_json::to_vec(&passed).map_err(|_| refusal::internal())?;
        let leader = self.now().quorum.leader;
        let asked = self
            .leader
            .ask(body.into())
            .ok_or_else(|| refusal::not_controller(leader))?;
        let answer = asked.await.map_err(|error| {
            tracing::debug!(%error, "passing a write on failed");
            refusal::outcome_unknown()
        })?;
        let Ok(Answered { offset, done }) = serde_json::from_slice(&answer) else {
            return Err(refusal::outcome_unknown());
        };
        Ok((done.into_result()?, offset))
    }

    /// The first state from here on that holds everything below this end offset.
    async fn applied(&self, offset: Offset) -> Result<Arc<Published>, Refusal> {
        let mut published = self.published.clone();
        let there = published.wait_for(|now| now.image.end_offset() >= offset);
        match tokio::time::timeout(APPLY_WAIT_MAX, there).await {
            Ok(Ok(now)) => Ok(now.clone()),
            // It is committed, but this node cannot answer for it.
            Ok(Err(_)) | Err(_) => Err(refusal::outcome_unknown()),
        }
    }
}

/// Decides on this node what a follower passed on. `None`: the body is not for this cluster.
pub async fn answer_follower(doors: &Doors, body: &[u8]) -> Option<Bytes> {
    let passed: Passed = serde_json::from_slice(body).ok()?;
    if passed.cluster_id != doors.settings.cluster_id {
        return None;
    }
    let caller = caller(&passed.principal, &passed.host);
    let refuse = |refusal: Refusal| Answered {
        offset: 0,
        done: Done::Refused {
            code: refusal.code(),
            text: refusal.text.into_owned(),
        },
    };
    let answered = match doors.decide_here(passed.change, caller).await {
        Ok((done, offset)) => Answered { offset, done },
        Err(refusal) => refuse(refusal),
    };
    serde_json::to_vec(&answered).ok().map(Bytes::from)
}

fn caller(principal: &str, host: &str) -> Caller {
    Caller {
        principal: principal.to_owned(),
        host: host.to_owned(),
        listener: "HTTP".to_owned(),
        ..Caller::internal()
    }
}
