//! Who belongs to the quorum: voters come, go, move, and are let back in.
//!
//! A new voter is a learner first, and is promoted once its log has caught up. A voter whose
//! directory was lost answers with another directory id: the leader takes its old identity out,
//! adds the new one as a learner, and promotes it. That needs a majority of the others: one of one
//! and one of two cannot be let back.
//!
//! All changes go through one lock, one after another, on the leader.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kafka_protocol::error::ResponseError;
use openraft::async_runtime::WatchReceiver;
use openraft::{ChangeMembers, Raft};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::connection::Connection;
use super::formation;
use super::frames::{self, Status};
use super::gate::Gate;
use super::machine::Machine;
use super::types::{Config, Member, Membership, StoredMembership, raft_id};
use crate::ids::{BrokerId, Uuid, Voter};
use crate::refusal::Refusal;
use crate::settings::Settings;

/// How often the leader looks whether something is to be put right.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A learner that has not caught up by then is taken out again.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(600);
/// A learner this many entries behind the end has caught up: the rest is under way.
const LAG_MAX: u64 = 64;
/// How often a learner's progress is looked at.
const PROGRESS_EVERY: Duration = Duration::from_millis(20);
/// A node that is to become a voter answers within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Whoever only looks whether there is something to change is done within this time.
const FREE_WITHIN: Duration = Duration::from_millis(100);

/// Clones share one lock.
#[derive(Clone)]
pub(super) struct Members {
    raft: Raft<Config, Machine>,
    gate: Gate,
    settings: Arc<Settings>,
    changing: Arc<Mutex<()>>,
}

impl Members {
    pub(super) fn new(raft: Raft<Config, Machine>, gate: Gate, settings: Arc<Settings>) -> Self {
        Self {
            raft,
            gate,
            settings,
            changing: Arc::default(),
        }
    }

    /// AddRaftVoter: the checks that only raft can make, then both steps. What takes longer than
    /// `controller.quorum.request.timeout.ms` goes on, but is answered REQUEST_TIMED_OUT.
    pub(super) async fn add(&self, voter: Voter) -> Result<(), Refusal> {
        let changing = self.begin().await?;
        let id = raft_id(voter.id);
        let membership = self.effective();
        if membership.membership().voter_ids().any(|voter| voter == id) {
            let text = format!("The voter id for node {id} is already part of the set of voters.");
            return Err(Refusal::new(ResponseError::DuplicateVoter, text));
        }
        let member = Member::from(&voter);
        if let Err(error) = self.meet(id, &member).await {
            let text = format!("Node {id} cannot be reached as a voter: {error:#}");
            return Err(Refusal::new(ResponseError::RequestTimedOut, text));
        }
        let members = self.clone();
        self.within_limit(changing, async move {
            members.learn_and_promote(id, member).await
        })
        .await
    }

    /// RemoveRaftVoter. A leader that removes itself hands leadership over once that is committed.
    pub(super) async fn remove(&self, id: BrokerId, directory_id: Uuid) -> Result<(), Refusal> {
        let changing = self.begin().await?;
        let id = raft_id(id);
        self.check_known(id, directory_id)?;
        if self.effective().membership().voter_ids().count() == 1 {
            let text = format!("Node {id} is the last voter and cannot be removed.");
            return Err(Refusal::new(ResponseError::VoterNotFound, text));
        }
        let members = self.clone();
        let change = ChangeMembers::RemoveVoters(BTreeSet::from([id]));
        self.within_limit(changing, async move { members.change(change, false).await })
            .await
    }

    /// UpdateRaftVoter: other endpoints for the same identity.
    pub(super) async fn update(&self, voter: Voter) -> Result<(), Refusal> {
        let changing = self.begin().await?;
        let id = raft_id(voter.id);
        self.check_known(id, voter.directory_id)?;
        let members = self.clone();
        let change = ChangeMembers::SetNodes(BTreeMap::from([(id, Member::from(&voter))]));
        self.within_limit(changing, async move { members.change(change, true).await })
            .await
    }

    /// A change of membership by this leader, unless another one is under way. Housekeeping that only
    /// looks on is waited for.
    async fn begin(&self) -> Result<OwnedMutexGuard<()>, Refusal> {
        if !self.raft.is_leader() {
            let text = "This node does not lead the quorum.";
            return Err(Refusal::new(ResponseError::NotLeaderOrFollower, text));
        }
        let free = Arc::clone(&self.changing).lock_owned();
        let free = tokio::time::timeout(FREE_WITHIN, free).await;
        free.map_err(|_| {
            let text = "Another change of the voters is under way.";
            Refusal::new(ResponseError::RequestTimedOut, text)
        })
    }

    fn check_known(&self, id: u64, directory_id: Uuid) -> Result<(), Refusal> {
        let membership = self.effective();
        let is_voter = membership.membership().voter_ids().any(|voter| voter == id);
        let known = membership
            .membership()
            .get_node(&id)
            .map(|member| member.directory_id);
        match known.filter(|_| is_voter) {
            Some(known) if known == directory_id || known.is_nil() => Ok(()),
            _ => {
                let text = format!("Node {id} with this directory id is not among the voters.");
                Err(Refusal::new(ResponseError::VoterNotFound, text))
            }
        }
    }

    /// Runs a change to its end, but waits for it only as long as Kafka does.
    async fn within_limit(
        &self,
        changing: OwnedMutexGuard<()>,
        change: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Result<(), Refusal> {
        let running = tokio::spawn(async move {
            let changed = change.await;
            drop(changing);
            changed
        });
        let limit = self
            .settings
            .controller_quorum_request_timeout_ms
            .unsigned_abs();
        let text = match tokio::time::timeout(Duration::from_millis(limit), running).await {
            Ok(Ok(Ok(()))) => return Ok(()),
            Ok(Ok(Err(error))) => format!("The voters were not changed: {error:#}"),
            Ok(Err(_)) => "The change of the voters was broken off.".to_owned(),
            Err(_) => "The change of the voters goes on; its end is not known yet.".to_owned(),
        };
        Err(Refusal::new(ResponseError::RequestTimedOut, text))
    }

    async fn learn_and_promote(&self, id: u64, member: Member) -> Result<()> {
        self.raft
            .add_learner(id, member, false)
            .await
            .context("it cannot become a learner")?;
        self.promote(id).await
    }

    /// Makes a learner a voter once it has caught up; one that does not is taken out again.
    async fn promote(&self, id: u64) -> Result<()> {
        let caught_up = tokio::time::timeout(CAUGHT_UP_WITHIN, self.caught_up(id)).await;
        match caught_up {
            Ok(caught_up) => caught_up?,
            Err(_) => {
                let change = ChangeMembers::RemoveNodes(BTreeSet::from([id]));
                self.change(change, false).await?;
                bail!("node {id} does not catch up and is taken out again");
            }
        }
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([id])), true)
            .await
    }

    /// Waits until a learner's log has come close to this leader's end.
    async fn caught_up(&self, id: u64) -> Result<()> {
        loop {
            {
                let metrics = self.raft.metrics();
                let metrics = metrics.borrow_watched();
                let matched = metrics.replication.as_ref().context("leadership is lost")?;
                let reached = matched
                    .get(&id)
                    .and_then(Option::as_ref)
                    .map(|reached| reached.index);
                let last = metrics.last_log_index.unwrap_or_default();
                if reached.is_some_and(|reached| reached + LAG_MAX >= last) {
                    return Ok(());
                }
            }
            tokio::time::sleep(PROGRESS_EVERY).await;
        }
    }

    async fn change(&self, change: ChangeMembers<u64, Member>, retain: bool) -> Result<()> {
        self.raft
            .change_membership(change, retain)
            .await
            .context("the membership")?;
        Ok(())
    }

    fn effective(&self) -> Arc<StoredMembership> {
        Arc::clone(
            &self
                .raft
                .server_metrics()
                .borrow_watched()
                .membership_config,
        )
    }

    /// Whether that node is there, is who it is said to be, and belongs to this cluster.
    async fn meet(&self, id: u64, member: &Member) -> Result<()> {
        let mut connection = Connection::open(member, ANSWER_WITHIN).await?;
        connection.patience = ANSWER_WITHIN;
        let heard = formation::ask(&self.gate, &mut connection, id, member, "")
            .await?
            .0;
        ensure!(
            heard.status == Status::Fine,
            "it answers {:?}",
            heard.status
        );
        ensure!(
            heard.identity.directory == member.directory_id,
            "its directory id is another one"
        );
        Ok(())
    }

    /// Puts right what is not as it should be, for as long as the node runs: directory ids that
    /// are not known yet, a change that a dead leader left half done, voters that were wiped.
    pub(super) async fn keep_in_order(self) {
        let mut told = BTreeSet::new();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let done = if self.raft.is_leader() {
                self.put_right(&mut told).await
            } else {
                self.tell_own_address().await
            };
            if let Err(error) = done {
                tracing::warn!("the membership stays as it is for now: {error:#}");
            }
        }
    }

    async fn put_right(&self, told: &mut BTreeSet<u64>) -> Result<()> {
        let Ok(_changing) = Arc::clone(&self.changing).try_lock_owned() else {
            return Ok(());
        };
        let metrics = self.raft.server_metrics().borrow_watched().clone();
        if metrics.membership_config.log_id() != metrics.committed_membership_config.log_id() {
            return Ok(());
        }
        let membership = metrics.membership_config.membership();
        if let [_, goal] = membership.get_joint_config().as_slice() {
            tracing::info!("a change of voters that was left half done is finished");
            return self
                .change(ChangeMembers::ReplaceAllVoters(goal.clone()), false)
                .await;
        }
        let mut learned = BTreeMap::new();
        for (id, member) in membership.nodes() {
            match self.as_it_is(*id, member) {
                Some((now, Status::Fine)) if now != *member => {
                    learned.insert(*id, now);
                }
                Some((now, Status::OtherIdentity)) => {
                    return self.let_back_in(membership, *id, now, told).await;
                }
                _ => {}
            }
        }
        if !learned.is_empty() {
            return self.change(ChangeMembers::SetNodes(learned), true).await;
        }
        // Learners are voters to be: the leader that began with them may be gone.
        let answers = |id: &u64| {
            self.gate
                .heard(*id)
                .is_some_and(|heard| heard.status == Status::Fine)
        };
        match membership.learner_ids().find(answers) {
            Some(id) => self.promote(id).await,
            None => Ok(()),
        }
    }

    /// A member as it showed itself last; `None` if it has not, or somebody else answers there.
    fn as_it_is(&self, id: u64, member: &Member) -> Option<(Member, Status)> {
        if id == self.gate.me().node {
            return Some((formation::own_member(&self.settings)?, Status::Fine));
        }
        let heard = self
            .gate
            .heard(id)
            .filter(|heard| heard.identity.node == id)?;
        let directory_id = heard.identity.directory;
        let is_new = !directory_id.is_nil() && directory_id != member.directory_id;
        let now = Member {
            directory_id,
            endpoints: member.endpoints.clone(),
        };
        match heard.status {
            Status::Fine if member.directory_id.is_nil() && is_new => Some((now, Status::Fine)),
            Status::OtherIdentity if is_new => Some((now, Status::OtherIdentity)),
            _ => None,
        }
    }

    async fn let_back_in(
        &self,
        membership: &Membership,
        id: u64,
        now: Member,
        told: &mut BTreeSet<u64>,
    ) -> Result<()> {
        let is_voter = membership.voter_ids().any(|voter| voter == id);
        if is_voter && membership.voter_ids().count() <= 2 {
            if told.insert(id) {
                bail!(
                    "node {id} has lost its directory, and one of two voters cannot be let back in: \
                     its vote is needed to take it out. Restore its directory from a backup"
                );
            }
            return Ok(());
        }
        tracing::warn!(
            "node {id} has lost its directory: it is taken out and let back in under its new one"
        );
        let taken_out = if is_voter {
            ChangeMembers::RemoveVoters(BTreeSet::from([id]))
        } else {
            ChangeMembers::RemoveNodes(BTreeSet::from([id]))
        };
        self.change(taken_out, false).await?;
        if is_voter {
            self.learn_and_promote(id, now).await
        } else {
            self.raft
                .add_learner(id, now, false)
                .await
                .context("it cannot become a learner")?;
            Ok(())
        }
    }

    /// A voter that moved, or a node that wants to be one, says so to the leader.
    async fn tell_own_address(&self) -> Result<()> {
        let me = self.gate.me();
        let Some(own) = formation::own_member(&self.settings) else {
            return Ok(());
        };
        let Some(known) = self.gate.member(me.node) else {
            return Ok(());
        };
        if known.endpoints == own.endpoints || known.directory_id != me.directory {
            return Ok(());
        }
        let Some(leader) = self.raft.current_leader().await else {
            return Ok(());
        };
        let Some(member) = self.gate.member(leader) else {
            return Ok(());
        };
        let mut connection = Connection::open(&member, ANSWER_WITHIN).await?;
        let answer = connection.ask(frames::MOVED, |out| {
            frames::put_address(out, &self.gate.address(leader, member.directory_id));
            super::codec::put_member(out, &own);
        });
        let mut input = super::codec::Input(answer.await?);
        let (status, _) = frames::take_answer(&mut input)?;
        ensure!(
            status == Status::Fine,
            "the leader does not take this node's new address"
        );
        Ok(())
    }
}
