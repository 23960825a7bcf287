//! A node in this process, and a leader's way of deciding batches.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use yakt::clock::SystemClock;
use yakt::controller::{Outcome, Proposal, Propose, QuorumEvent};
use yakt::feed::Published;
use yakt::ids::{Epoch, Uuid};
use yakt::image::Image;
use yakt::quorum::{Quorum, QuorumEvents};
use yakt::records::batch::Batch;
use yakt::records::{Record, TopicRecord};
use yakt::settings::Settings;

const PATIENCE: Duration = Duration::from_secs(30);

/// A node and what it tells.
pub(crate) struct Node {
    pub(crate) quorum: Quorum,
    pub(crate) events: QuorumEvents,
    pub(crate) published: watch::Receiver<Arc<Published>>,
}

impl Node {
    pub(crate) async fn start(settings: Settings) -> Self {
        let clock = Arc::new(SystemClock::new());
        let started = Quorum::start(Arc::new(settings), clock, Vec::new()).await;
        let (quorum, events, published) = started.unwrap();
        Self {
            quorum,
            events,
            published,
        }
    }

    pub(crate) async fn event(&mut self) -> QuorumEvent {
        timeout(PATIENCE, self.events.recv())
            .await
            .expect("no event")
            .expect("no more events")
    }

    /// Waits until it leads.
    pub(crate) async fn leading(&mut self) -> (Epoch, Image) {
        loop {
            if let QuorumEvent::Leading { epoch, image } = self.event().await {
                return (epoch, image);
            }
        }
    }

    /// Waits for the next outcomes, in the order they come.
    pub(crate) async fn outcomes(&mut self, count: usize) -> Vec<(u64, Outcome)> {
        let mut outcomes = Vec::new();
        while outcomes.len() < count {
            if let QuorumEvent::Outcome { ticket, outcome } = self.event().await {
                outcomes.push((ticket, outcome));
            }
        }
        outcomes
    }

    /// Waits for a barrier to be passed.
    pub(crate) async fn barrier(&mut self, epoch: Epoch) -> Image {
        loop {
            if let Some(image) = self.try_barrier(epoch).await {
                return image;
            }
        }
    }

    /// Asks for a barrier; `None` where leadership is lost or no quorum answers.
    pub(crate) async fn try_barrier(&mut self, epoch: Epoch) -> Option<Image> {
        self.quorum.barrier(epoch);
        loop {
            if let QuorumEvent::Barrier { image, .. } = self.event().await {
                return image;
            }
        }
    }

    pub(crate) fn end_offset(&self) -> i64 {
        self.published.borrow().image.end_offset()
    }

    /// Waits until something published is so.
    pub(crate) async fn until(
        &mut self,
        what: impl FnMut(&Arc<Published>) -> bool,
    ) -> Arc<Published> {
        let found = timeout(PATIENCE, self.published.wait_for(what)).await;
        Arc::clone(&found.expect("it never came").expect("it stopped"))
    }
}

/// Decides batches as the controller does: each on everything before it.
pub(crate) struct Decider {
    pub(crate) epoch: Epoch,
    pub(crate) run: u32,
    pub(crate) ticket: u64,
    pub(crate) ahead: Image,
}

impl Decider {
    pub(crate) fn new(epoch: Epoch, ahead: Image) -> Self {
        Self {
            epoch,
            run: 1,
            ticket: 0,
            ahead,
        }
    }

    pub(crate) fn decide(&mut self, records: &[Record]) -> Proposal {
        let batch = Batch::build(self.ahead.end_offset(), self.epoch, 1_000, 30, records).unwrap();
        self.ahead.apply_batch(&batch, &[]).unwrap();
        self.ticket += 1;
        Proposal {
            ticket: self.ticket,
            epoch: self.epoch,
            run: self.run,
            batch,
            side: Vec::new(),
            origins: Vec::new(),
            after: self.ahead.clone(),
        }
    }

    pub(crate) fn topic(&mut self, name: &str) -> Proposal {
        let topic_id = Uuid::from_u128(0x7000 + self.ahead.end_offset() as u128);
        self.decide(&[TopicRecord {
            name: name.to_owned(),
            topic_id,
        }
        .into()])
    }
}
