//! From a proposal to its outcome: exactly one for each, whatever happens to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use openraft::Raft;
use openraft::error::ClientWriteError;
use openraft::raft::ClientWriteResult;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::codec;
use super::fault::Fault;
use super::leadership::Events;
use super::machine::Machine;
use super::pending::{Pending, Place};
use super::types::{Applied, Change, CommittedLeaderId, Config, Reply};
use crate::controller::{Outcome, Proposal, QuorumEvent};

/// Most proposals without an outcome; more are not appended.
pub(super) const PROPOSALS_IN_FLIGHT_MAX: usize = 65_536;

/// The controller's side of it.
pub(super) struct Proposer {
    queue: mpsc::UnboundedSender<Ready>,
    pending: Pending,
    report: Report,
    closed: AtomicBool,
}

/// Counts what is in flight and reports what becomes of it.
#[derive(Clone)]
struct Report {
    events: Events,
    in_flight: Arc<AtomicUsize>,
}

struct Ready {
    term: u64,
    change: Change,
    reply: Reply<ClientWriteResult<Config>>,
}

impl Proposer {
    /// Starts the one task that writes, so that the order of proposals is the order of the log.
    pub(super) fn start(
        raft: Raft<Config, Machine>,
        pending: Pending,
        events: Events,
        fault: Fault,
    ) -> (Self, JoinHandle<()>) {
        let (queue, mut ready) = mpsc::unbounded_channel::<Ready>();
        let ended = fault.clone();
        let task = fault.guard("the proposer", async move {
            while let Some(Ready {
                term,
                change,
                reply,
            }) = ready.recv().await
            {
                let leader = CommittedLeaderId::new(term);
                let write = raft.write(change).with_leader(leader).responder(reply);
                if let Err(error) = write.await {
                    // The reply was dropped with it and has reported; raft itself has ended.
                    tracing::debug!("not proposed: {error}; {:?}", ended.sentence());
                }
            }
        });
        let report = Report {
            events,
            in_flight: Arc::default(),
        };
        (
            Self {
                queue,
                pending,
                report,
                closed: AtomicBool::new(false),
            },
            task,
        )
    }

    /// Nothing more is appended: the node stops.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Hands a proposal over. Never blocks.
    pub(super) fn propose(&self, proposal: Proposal) {
        let Proposal {
            ticket,
            epoch,
            run,
            batch,
            side,
            origins,
            after,
        } = proposal;
        let full = self.report.in_flight.load(Ordering::Relaxed) >= PROPOSALS_IN_FLIGHT_MAX;
        if full || self.closed.load(Ordering::Acquire) {
            return self.report.tell(ticket, Outcome::NotAppended);
        }
        // The pair of the check in `machine`: one record that cannot be read ends every broker.
        if let Err(error) = batch.verify() {
            tracing::error!("a batch of ours is damaged and is not proposed: {error}");
            return self.report.tell(ticket, Outcome::NotAppended);
        }
        let Ok(term) = u64::try_from(epoch) else {
            return self.report.tell(ticket, Outcome::NotAppended);
        };
        let place = Place {
            epoch,
            run,
            base_offset: batch.base_offset(),
        };
        let change = Change {
            run,
            origins: codec::encode_origins(&origins),
            side: codec::encode_side(&side),
            batch: batch.0,
        };
        self.report.in_flight.fetch_add(1, Ordering::Relaxed);
        self.pending.push(ticket, place, after);
        let (report, pending) = (self.report.clone(), self.pending.clone());
        let reply = Reply::new(move |result| {
            let outcome = outcome(result);
            if matches!(outcome, Outcome::NotAppended | Outcome::Unknown) {
                pending.forget(ticket);
            }
            report.in_flight.fetch_sub(1, Ordering::Relaxed);
            report.tell(ticket, outcome);
        });
        // Where the task has ended, dropping the reply reports.
        self.queue
            .send(Ready {
                term,
                change,
                reply,
            })
            .ok();
    }
}

impl Report {
    fn tell(&self, ticket: u64, outcome: Outcome) {
        self.events
            .send(QuorumEvent::Outcome { ticket, outcome })
            .ok();
    }
}

fn outcome(result: Option<ClientWriteResult<Config>>) -> Outcome {
    match result {
        Some(Ok(written)) => match written.data {
            Applied::Done => Outcome::Applied,
            Applied::Void => Outcome::Void,
        },
        // openraft refuses before it appends, and says so with this error only.
        Some(Err(ClientWriteError::ForwardToLeader(_))) => Outcome::NotAppended,
        Some(Err(_)) | None => Outcome::Unknown,
    }
}
