//! Handing leadership over.
//!
//! A transfer that was begun cannot be taken back in its term: the leader accepts nothing any more,
//! whether the chosen one takes over or not. So it goes only to a voter that answers now and whose
//! log reaches as far as the leader's.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::{Instant, Raft};

use super::machine::Machine;
use super::types::Config;

/// How long a leader that stops waits for a voter to have everything.
const READY_WITHIN: Duration = Duration::from_millis(300);
/// How long it waits for that voter to take over.
const TAKEN_WITHIN: Duration = Duration::from_millis(500);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// A voter that acknowledged within this many heartbeats answers now.
const FRESH_HEARTBEATS: u32 = 4;

/// Hands leadership to a voter that is ready, waiting for one if need be. Whether it is handed
/// over; `false` also where this node does not lead, or no voter is ready in time.
pub(super) async fn hand_over(raft: &Raft<Config, Machine>, heartbeat: Duration) -> bool {
    if raft.voter_ids().count() < 2 {
        return false;
    }
    let ready = tokio::time::timeout(READY_WITHIN, async {
        loop {
            if !raft.is_leader() {
                return None;
            }
            if let Some(voter) = ready_voter(raft, heartbeat * FRESH_HEARTBEATS) {
                return Some(voter);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    let Ok(Some(voter)) = ready.await else {
        return false;
    };
    tracing::info!("leadership is handed to node {voter}");
    transfer(raft, voter).await
}

/// Gives leadership up: to a voter that is ready, or else by falling silent, so that the others
/// elect whom they like.
pub(super) async fn resign(raft: &Raft<Config, Machine>, heartbeat: Duration) {
    let metrics = raft.metrics().borrow_watched().clone();
    let me = metrics.id;
    let ready = ready_voter(raft, heartbeat * FRESH_HEARTBEATS);
    let any = || metrics.membership_config.voter_ids().find(|id| *id != me);
    let Some(voter) = ready.or_else(any) else {
        return;
    };
    tracing::warn!("leadership of term {} is given up", metrics.current_term);
    transfer(raft, voter).await;
}

/// A voter that acknowledged within `fresh` and whose log is as long as this leader's.
fn ready_voter(raft: &Raft<Config, Machine>, fresh: Duration) -> Option<u64> {
    let metrics = raft.metrics().borrow_watched().clone();
    let last = metrics.last_log_index?;
    let heartbeats = metrics.heartbeat.as_ref()?;
    let matched = metrics.replication.as_ref()?;
    let is_ready = |id: &u64| {
        let acked = heartbeats.get(id).and_then(Option::as_ref);
        let reached = matched.get(id).and_then(Option::as_ref);
        *id != metrics.id
            && acked.is_some_and(|acked| acked.elapsed() <= fresh)
            && reached.is_some_and(|reached| reached.index == last)
    };
    metrics.membership_config.voter_ids().find(is_ready)
}

async fn transfer(raft: &Raft<Config, Machine>, voter: u64) -> bool {
    let mut metrics = raft.server_metrics();
    let term = metrics.borrow_watched().vote.leader_id.term;
    if raft.trigger().transfer_leader(voter).await.is_err() {
        return false;
    }
    let taken = tokio::time::timeout(TAKEN_WITHIN, async {
        while metrics.borrow_and_update().vote.leader_id.term == term {
            if metrics.changed().await.is_err() {
                return;
            }
        }
    });
    taken.await.is_ok()
}
