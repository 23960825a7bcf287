//! The store of a node that is not running: what it knows to be committed, without raft and without
//! a vote.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures::stream;
use openraft::storage::{RaftLogReader, RaftLogStorage, RaftStateMachine};
use tokio::sync::mpsc;

use super::fault::Fault;
use super::history::History;
use super::leadership::Leadership;
use super::machine::Machine;
use super::pending::Pending;
use super::publisher::Publisher;
use super::store::Store;
use super::types::raft_id;
use crate::clock::Clock;
use crate::feed::Published;
use crate::settings::Settings;

/// Entries that are applied at a time.
const ENTRIES_MAX: u64 = 4_096;

/// An opened store. Another process cannot open it until [`Stopped::close`].
pub struct Stopped {
    published: Arc<Published>,
    store: Store,
}

impl Stopped {
    /// Opens the store of the metadata directory and applies what is known to be committed. Errors
    /// are one sentence for the operator, as in [`super::Quorum::start`].
    pub async fn open(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let fault = Fault::new();
        let publisher = Publisher::new(Published::default());
        let (events, _nobody) = mpsc::unbounded_channel();
        let node_id = raft_id(settings.node_id);
        let leadership = Leadership::new(node_id, Arc::clone(&clock), publisher.clone(), events);
        let (store, snapshots) = super::open(settings, &clock, &publisher, &fault).await?;
        let newest = snapshots.current().await?;
        let history = History::new(store.entries.clone());
        let pending = Pending::default();
        let mut machine = Machine::new(
            pending,
            publisher.clone(),
            leadership,
            snapshots,
            history,
            fault,
        );
        let mut next = 0;
        if let Some(newest) = newest {
            next = newest.meta.last_log_id.map_or(0, |last| last.index + 1);
            machine
                .install_snapshot(&newest.meta, newest.snapshot)
                .await?;
        }
        apply_committed(&mut machine, &store, next).await?;
        Ok(Self {
            published: publisher.current(),
            store,
        })
    }

    /// The committed image, log and snapshots.
    pub fn published(&self) -> &Published {
        &self.published
    }

    /// Lets others open the store. Blocks.
    pub fn close(self) {
        drop(self.published);
        self.store.close();
    }
}

async fn apply_committed(machine: &mut Machine, store: &Store, mut next: u64) -> Result<()> {
    let mut log = store.log.clone();
    let committed = log.read_committed().await?;
    let end = committed.map_or(0, |committed| committed.index + 1);
    while next < end {
        let until = end.min(next + ENTRIES_MAX);
        let entries = log.try_get_log_entries(next..until).await?;
        let last = entries
            .last()
            .context("a committed entry is missing")?
            .log_id
            .index;
        let entries = entries.into_iter().map(|entry| Ok((entry, None)));
        machine.apply(stream::iter(entries)).await?;
        next = last + 1;
    }
    Ok(())
}
