//! The quorum from outside: nodes in this process, real stores, real sockets.

mod cluster;
pub(crate) mod node;

use std::path::Path;
use std::sync::Arc;

use yakt::clock::SystemClock;
use yakt::controller::{Outcome, Propose, QuorumEvent};
use yakt::ids::{BrokerId, Uuid};
use yakt::quorum::Quorum;
use yakt::records::NoOpRecord;
use yakt::settings::Settings;

use node::{Decider, Node};

fn alone(directory: &Path) -> Settings {
    let me = BrokerId(1);
    Settings {
        node_id: me,
        cluster_id: "test-cluster".to_owned(),
        directory_id: Uuid::from_u128(0x1000),
        metadata_log_dir: directory.to_owned(),
        controller_quorum_voters: vec![(me, "127.0.0.1".to_owned(), 9093)],
        ..Settings::default()
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
    let second = Quorum::start(Arc::new(alone(directory.path())), clock, Vec::new()).await;
    let sentence = format!("{:#}", second.err().unwrap());
    assert!(
        sentence.contains(directory.path().to_str().unwrap()),
        "{sentence}"
    );
    assert!(sentence.contains("in use"), "{sentence}");
    node.quorum.stop().await.unwrap();
}
