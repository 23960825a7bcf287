//! Follows what openraft says about this node: who leads, whether it may campaign.

use openraft::Raft;
use openraft::async_runtime::WatchReceiver;

use super::fault::Fault;
use super::gate::Gate;
use super::leadership::{Leadership, Role};
use super::machine::Machine;
use super::types::Config;

/// Watches until openraft stops; a stop in good order ends this task first.
pub(super) async fn watch(
    raft: Raft<Config, Machine>,
    leadership: Leadership,
    gate: Gate,
    fault: Fault,
) {
    let mut metrics = raft.server_metrics();
    let mut told = false;
    loop {
        let role = {
            let seen = metrics.borrow_and_update();
            gate.learn(seen.membership_config.membership());
            let term = seen.vote.leader_id.term;
            let elected = seen.vote.committed.then_some(seen.vote.leader_id.voted_for);
            let leader = seen
                .current_leader
                .filter(|leader| Some(*leader) == elected);
            Role { term, leader }
        };
        let may_campaign = gate.may_campaign();
        if !may_campaign && !told {
            tracing::error!(
                "the quorum knows this node under another directory id: it neither votes nor stands \
                 for election until the leader has let it back in"
            );
        }
        told = !may_campaign;
        raft.runtime_config().elect(may_campaign);
        leadership.changed(role);
        if metrics.changed().await.is_err() {
            break;
        }
    }
    fault.raise("raft has stopped".to_owned());
}
