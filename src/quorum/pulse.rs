//! Check-quorum: when did a quorum last acknowledge this leader?
//!
//! An isolated openraft leader does not step down by itself, so whoever answers brokers asks this
//! first ([`feed::Contact`](crate::feed::Contact)).

use std::sync::Arc;
use std::time::Duration;

use openraft::{Instant, Raft};

use super::machine::Machine;
use super::publisher::Publisher;
use super::types::Config;
use crate::clock::{Clock, Ticks};

/// How often a leader looks; a small part of any sensible fetch timeout.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks for as long as the node runs. A node that is a quorum by itself needs to hear nobody.
pub(super) async fn run(raft: Raft<Config, Machine>, publisher: Publisher, clock: Arc<dyn Clock>) {
    let mut published = publisher.subscribe();
    loop {
        let leads = published.wait_for(|now| now.quorum.active && now.quorum.voters.len() > 1);
        let Ok(contact) = leads.await.map(|now| now.contact.clone()) else {
            return;
        };
        let acked = raft
            .as_leader()
            .ok()
            .and_then(|leader| leader.last_quorum_acked());
        if let Some(acked) = acked {
            let ago = acked.elapsed().as_micros() as i64;
            contact.heard(Ticks(clock.ticks().0.saturating_sub(ago)));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
