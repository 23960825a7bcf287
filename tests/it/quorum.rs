//! The quorum from outside: nodes in this process, real stores, real sockets.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use yakt::clock::SystemClock;
use yakt::controller::{Origin, Outcome, Proposal, Propose, QuorumEvent};
use yakt::feed::Published;
use yakt::ids::{BrokerId, Epoch, Uuid};
use yakt::image::Image;
use yakt::quorum::{Quorum, QuorumEvents};
use yakt::records::batch::Batch;
use yakt::records::{NoOpRecord, Record, TopicRecord};
use yakt::settings::Settings;

const PATIENCE: Duration = Duration::from_secs(20);

/// A node and what it tells.
struct Node {
    quorum: Quorum,
    events: QuorumEvents,
    published: watch::Receiver<Arc<Published>>,
}

impl Node {
    async fn start(settings: Settings) -> Self {
        let clock = Arc::new(SystemClock::new());
        let (quorum, events, published) = Quorum::start(Arc::new(settings), clock).await.unwrap();
        Self {
            quorum,
            events,
            published,
        }
    }

    async fn event(&mut self) -> QuorumEvent {
        timeout(PATIENCE, self.events.recv())
            .await
            .expect("no event")
            .expect("no more events")
    }

    /// Waits until it leads.
    async fn leading(&mut self) -> (Epoch, Image) {
        loop {
            if let QuorumEvent::Leading { epoch, image } = self.event().await {
                return (epoch, image);
            }
        }
    }

    /// Waits for the next outcomes, in the order they come.
    async fn outcomes(&mut self, count: usize) -> Vec<(u64, Outcome)> {
        let mut outcomes = Vec::new();
        while outcomes.len() < count {
            if let QuorumEvent::Outcome { ticket, outcome } = self.event().await {
                outcomes.push((ticket, outcome));
            }
        }
        outcomes
    }

    fn end_offset(&self) -> i64 {
        self.published.borrow().image.end_offset()
    }
}

fn alone(directory: &Path) -> Settings {
    Settings {
        node_id: BrokerId(1),
        cluster_id: "test-cluster".to_owned(),
        directory_id: Uuid::from_u128(0x1000),
        metadata_log_dir: directory.to_owned(),
        ..Settings::default()
    }
}

/// Decides batches as the controller does: each on everything before it.
struct Decider {
    epoch: Epoch,
    run: u32,
    ticket: u64,
    ahead: Image,
}

impl Decider {
    fn new(epoch: Epoch, ahead: Image) -> Self {
        Self {
            epoch,
            run: 1,
            ticket: 0,
            ahead,
        }
    }

    fn decide(&mut self, records: &[Record]) -> Proposal {
        let batch = Batch::build(self.ahead.end_offset(), self.epoch, 1_000, 30, records).unwrap();
        self.ahead.apply_batch(&batch, &[]).unwrap();
        self.ticket += 1;
        Proposal {
            ticket: self.ticket,
            epoch: self.epoch,
            run: self.run,
            batch,
            side: Vec::new(),
            origin: Origin::default(),
            after: self.ahead.clone(),
        }
    }

    fn topic(&mut self, name: &str) -> Proposal {
        let topic_id = Uuid::from_u128(0x7000 + self.ahead.end_offset() as u128);
        self.decide(&[TopicRecord {
            name: name.to_owned(),
            topic_id,
        }
        .into()])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_leads_commits_and_remembers() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = Node::start(alone(directory.path())).await;
    let (epoch, image) = node.leading().await;
    assert_eq!((epoch, image.end_offset()), (1, 0));
    assert!(node.published.borrow().quorum.active);
    assert!(node.quorum.quorum_fresh());

    let mut decider = Decider::new(epoch, image);
    for name in ["a", "b", "c"] {
        node.quorum.propose(decider.topic(name));
    }
    let applied: Vec<_> = (1..=3).map(|ticket| (ticket, Outcome::Applied)).collect();
    assert_eq!(node.outcomes(3).await, applied);
    assert_eq!(node.end_offset(), 3);
    node.quorum.stop().await.unwrap();
    drop(node);

    let mut node = Node::start(alone(directory.path())).await;
    let (epoch, image) = node.leading().await;
    assert_eq!((epoch, image.end_offset()), (2, 3));
    assert!(image.topic_by_name("b").is_some());
    node.quorum.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_decided_on_another_state_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = Node::start(alone(directory.path())).await;
    let (epoch, image) = node.leading().await;
    let mut decider = Decider::new(epoch, image.clone());
    node.quorum.propose(decider.topic("a"));
    // This one gets lost on the way: all that was decided on it is void.
    decider.topic("lost");
    node.quorum.propose(decider.topic("b"));
    node.quorum.propose(decider.topic("c"));
    let expected = [
        (1, Outcome::Applied),
        (3, Outcome::Void),
        (4, Outcome::Void),
    ];
    assert_eq!(node.outcomes(3).await, expected);

    // Settling: a barrier, a new run on what was really applied.
    node.quorum.barrier(epoch);
    let QuorumEvent::Barrier {
        image: Some(image), ..
    } = node.event().await
    else {
        panic!("no barrier")
    };
    assert_eq!(image.end_offset(), 1);
    decider.run += 1;
    decider.ahead = image;
    node.quorum.propose(decider.topic("b"));
    assert_eq!(node.outcomes(1).await, [(5, Outcome::Applied)]);
    assert_eq!(node.end_offset(), 2);

    // A proposal of another term is not even appended.
    decider.epoch += 1;
    node.quorum.propose(decider.decide(&[NoOpRecord {}.into()]));
    assert_eq!(node.outcomes(1).await, [(6, Outcome::NotAppended)]);
    node.quorum.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_belongs_to_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(alone(directory.path())).await;
    let clock = Arc::new(SystemClock::new());
    let second = Quorum::start(Arc::new(alone(directory.path())), clock).await;
    let sentence = format!("{:#}", second.err().unwrap());
    assert!(
        sentence.contains(directory.path().to_str().unwrap()),
        "{sentence}"
    );
    assert!(
        sentence.contains(&std::process::id().to_string()),
        "{sentence}"
    );
    node.quorum.stop().await.unwrap();
}
